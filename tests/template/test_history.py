"""An execution of Step Functions has at most 25,000 events: one more ends it, and no Catch sees that. By arithmetic."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from relight.decision import Action, Finding
from relight.rules import RULES

from tests.template.reading import ROOT, written

LIMIT = 25_000
# Entered, scheduled, started, succeeded, exited; a Choice and a Wait each entered and exited.
LAP = 5 + 2 + 2
# A question, and the Parallel that it comes back to: more than enough of them.
ROUND = 50
# From the request to the lock, from one loop to the next, and a way back: each once, retries included.
BETWEEN = 200
SOON = 5
"""Steps that are nearly there look so many times as often."""
DURATIONS = ("ApprovalSeconds", "AskAgainSeconds", "DecideSeconds", "RunSeconds", "QuiesceSeconds", "HardenSeconds")
# Since when each loop looks less and less often. Stopping writes is short by itself: nobody can write meanwhile.
GROWING = {
    "Hold down": "started",
    "Wait for instances": "decided",
    "Wait for the promotion": "decided",
    "Wait for capacity": "decided",
    "Wait for a write": "decided",
    "Wait for DNS": "decided",
    "Wait for the hardening": "proven",
}
EVEN = {"Wait for writes to stop", "Wait for the last write"}


def laps(seconds: float, asked: float) -> int:
    """How often a loop looks, if its handler takes no time: each wait is a hundredth of the time gone by at least."""
    count, gone = 0, 0
    while gone <= seconds:
        count, gone = count + 1, gone + max(int(asked), gone // 100, 1)
    return count


def parameter(name: str, bound: str = "Default") -> int:
    return int(written().body["Parameters"][name][bound])


def definition() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "statemachine" / "failover.asl.yaml").read_text())
    return found


def questions() -> int:
    """After so many a run stands down, however often it is called back, or approved for what is asked no more."""
    (limit,) = re.findall(r"\$asked >= (\d+)", str(definition()["States"]["What was decided"]))
    return int(limit)


@pytest.mark.parametrize(
    ("bound", "looking"), [("Default", "MinValue"), ("Default", "Default"), ("MaxValue", "Default")]
)
def test_the_longest_run_stays_within_the_history_of_an_execution(bound: str, looking: str) -> None:
    """A planned one that hesitates as long as it may, and is nearly there in every loop.

    It asks as often as it may; or a person has started it, then it waits for instances first and asks nobody.
    """
    look_again = parameter("LookAgainSeconds", looking)
    seconds = {name: parameter(name, bound) for name in DURATIONS}
    hesitating = seconds["ApprovalSeconds"] + seconds["AskAgainSeconds"] + seconds["DecideSeconds"]
    asking = questions() * ROUND + laps(hesitating, look_again) * LAP
    by_hand = (laps(seconds["DecideSeconds"], look_again) + laps(seconds["RunSeconds"], look_again)) * LAP
    # Writes stop, and then arrive, within one deadline.
    quiesce = (seconds["QuiesceSeconds"] // look_again + 2) * LAP
    # Promotion beside capacity, or writes beside traffic; all of them within one deadline.
    after = 2 * laps(seconds["RunSeconds"], look_again / SOON) * LAP
    harden = laps(seconds["HardenSeconds"], look_again) * LAP
    assert max(asking, by_hand) + quiesce + after + harden + BETWEEN < LIMIT


def test_nobody_is_asked_about_a_run_that_waits_for_instances() -> None:
    """What the reckoning before rests on."""
    assert "by_hand" in definition()["States"]["Can it wait for instances"]["Choices"][0]["Condition"]
    before = RULES[: [rule.finding for rule in RULES].index(Finding.BY_HAND)]
    assert before
    assert Action.ASK not in {rule.action for rule in before}


def test_each_loop_looks_less_and_less_often() -> None:
    """What `laps` reckons with."""
    waits = dict(_waits(definition()))
    assert waits.keys() == GROWING.keys() | EVEN
    for name, since in GROWING.items():
        assert f"$floor(($millis() - ${since}) / 100000)" in waits[name], name


def test_a_person_can_be_asked_for_as_long_as_the_defaults_say() -> None:
    assert questions() > parameter("ApprovalSeconds") // parameter("AskAgainSeconds") + 1


def test_steps_that_are_nearly_there_do_not_look_all_the_time() -> None:
    assert parameter("LookAgainSeconds") / SOON >= 1


def test_the_run_ends_by_its_own_deadlines_and_not_by_the_outer_net() -> None:
    """An execution that times out neither records nor releases anything."""
    instances = parameter("RunSeconds", "MaxValue")  # as long again, where a planned run waits for them first
    longest = sum(parameter(name, "MaxValue") for name in DURATIONS) + instances
    assert longest + 3600 < definition()["TimeoutSeconds"]


def _waits(block: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, state in block["States"].items():
        if state["Type"] == "Wait":
            yield name, str(state["Seconds"])
        for branch in state.get("Branches", []):
            yield from _waits(branch)
