"""docs/security.md: what each function and state machine may change is what the templates give its role."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docs.pages import page
from tests.template.reading import STACKS, written

pytestmark = pytest.mark.docs

_LOOKS = re.compile(r":(Get|Describe|List|Query|BatchGet|Simulate)")
# What each of them may do in its own ledger and logs, and with the keys of what it is given, is said in one sentence.
_COMMON = ("dynamodb:", "logs:", "kms:")


def statements(value: Any) -> Iterator[dict[str, Any]]:
    """Every statement of a policy, whichever way a condition decides."""
    if isinstance(value, dict):
        if "Effect" in value:
            yield value
        for item in value.values():
            yield from statements(item)
    elif isinstance(value, list):
        for item in value:
            yield from statements(item)


def changes() -> dict[str, set[str]]:
    """What each of them may change, by its name as people say it."""
    found = {}
    for stack in STACKS:
        for name, resource in written(stack).body["Resources"].items():
            kind = resource["Type"].rpartition(":")[2]
            if kind not in {"Function", "StateMachine"}:
                continue
            given: set[str] = set()
            for statement in statements(resource["Properties"].get("Policies", [])):
                actions = statement["Action"]
                given |= {actions} if isinstance(actions, str) else set(actions)
            called = name.removesuffix("Function").lower() + (" (the machine)" if kind == "StateMachine" else "")
            found[called] = {one for one in given if not _LOOKS.search(one) and not one.startswith(_COMMON)}
    return found


def test_the_table_says_what_each_may_change() -> None:
    said = {}
    for line in page("docs/security.md").lines:
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 3 and (name := re.fullmatch(r"`(\w+)`( \(the machine\))?", cells[0])):
            said[name[1] + (name[2] or "")] = set(re.findall(r"`(\w+:\w+)`", cells[1].replace("rds-db", "rdsdb")))
    wanted = {name: {one.replace("rds-db", "rdsdb") for one in given} for name, given in changes().items()}
    assert said == wanted
