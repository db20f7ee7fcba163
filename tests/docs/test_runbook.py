"""The runbook leads from each symptom to a page of one form: what you see, what it means, what to do, whom to wake."""

import re

import pytest
from relight.decision import Finding

from tests.docs.pages import Page, page, pages
from tests.template.reading import STACKS, written

pytestmark = pytest.mark.docs

SECTIONS = ["What you see", "What it means", "Do first", "Wake", "Do not"]
SITUATIONS = [one for one in pages() if one.path.startswith("docs/runbook/")]


@pytest.mark.parametrize("one", SITUATIONS, ids=[one.path for one in SITUATIONS])
def test_each_situation_is_told_in_the_same_order(one: Page) -> None:
    assert [line.removeprefix("## ") for line in one.lines if line.startswith("## ")] == SECTIONS
    assert {command.program for command in one.commands()} == {"relight", "aws"}


def test_the_index_has_each_situation() -> None:
    linked = {link for _, link in page("docs/runbook.md").links()}
    assert {one.path.removeprefix("docs/") for one in SITUATIONS} <= linked


def test_each_alarm_leads_to_a_page() -> None:
    alarms = {
        str(resource["Properties"]["AlarmName"]).rpartition("}-")[2].rstrip("'}")
        for stack in STACKS
        for resource in written(stack).body["Resources"].values()
        if "AlarmName" in resource.get("Properties", {})
    }
    said = "\n".join("\n".join(one.lines) for one in SITUATIONS)
    assert len(alarms) > 20
    # HOLD has its own alarm behind the health check, and is written there as the switch that it is.
    known = set(re.findall(r"(?:`|\brelight-shop-)([a-z-]+)\b", said.replace("`relight-shop-", "relight-shop-")))
    assert alarms - {"hold"} - known == set()


def test_each_finding_leads_to_a_page() -> None:
    said = "\n".join("\n".join(one.lines) for one in SITUATIONS)
    goes_on = {"by_hand", "region_lost", "database_lost"}  # a failover is on then
    assert {one.value for one in Finding} - goes_on - set(re.findall(r"`(\w+)`", said)) == set()
