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


def laps(seconds: float, asked: float, part: int = 100) -> int:
    """How often a loop looks, if its handler takes no time: each wait is a part of the time gone by at least."""
    count, gone = 0, 0
    while gone <= seconds:
        count, gone = count + 1, gone + max(int(asked), gone // part, 1)
    return count


def parameter(name: str, bound: str = "Default") -> int:
    return int(written().body["Parameters"][name][bound])


def definition(machine: str = "failover") -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "statemachine" / f"{machine}.asl.yaml").read_text())
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


# Drills.

# Each loop waits for such a part of the time gone by since it began, at least.
OF_A_DRILL = {
    "Wait for the throwaway database": 30,
    "Wait for the throwaway promotion": 100,
    "Wait for the site": 30,
    "Wait for the write": 30,
    "Wait until it is gone": 30,
    "Wait for the failover": 30,
    "Wait for the way home": 30,
    "Wait for the lock": 10,
}
# For people who look at it; once in a run.
KEPT = {"Keep it for people", "Serve from here for a while"}
# Whoever has the lock is looked at, and whether they live.
LOCK = 3 * 5 + 3 * 2
LONGEST_KEPT = 480 * 60


def drill_seconds(bound: str) -> dict[str, int]:
    names = (*DURATIONS, "DrillSeconds", "TeardownSeconds", "ReprotectSeconds")
    return {name.removesuffix("Seconds"): parameter(name, bound) for name in names}


def way_back(seconds: dict[str, int]) -> int:
    """How long the way home of a game day may take."""
    return 4 * seconds["Run"] + seconds["Harden"] + seconds["Approval"] + 2 * seconds["Reprotect"]


@pytest.mark.parametrize(
    ("bound", "looking"), [("Default", "MinValue"), ("Default", "Default"), ("MaxValue", "Default")]
)
def test_the_longest_drill_stays_within_the_history_of_an_execution(bound: str, looking: str) -> None:
    """Of a throwaway, where each step takes all the time that they have together; or a game day, which waits for two
    other runs, and twice for the lock. Either may ask as often as it may."""
    seconds, look_again = drill_seconds(bound), parameter("LookAgainSeconds", looking)
    asking = min(100, seconds["Approval"] // seconds["AskAgain"] + 2) * ROUND
    steps = ("throwaway database", "throwaway promotion", "site", "write")
    parts = [OF_A_DRILL[f"Wait for the {step}"] for step in steps]
    practising = sum(laps(seconds["Drill"], look_again / SOON, part) for part in parts) * LAP
    away = laps(seconds["Teardown"], look_again, 30) * LAP
    following = laps(definition()["TimeoutSeconds"], 1, 30) * LAP
    homeward = laps(way_back(seconds), look_again, 30) * LAP
    locks = 2 * laps(seconds["Decide"], 1, 10) * (LOCK + 2)
    assert asking + max(practising + away, following + homeward) + locks + BETWEEN < LIMIT


def test_each_loop_of_a_drill_looks_less_and_less_often() -> None:
    waits = dict(_waits(definition("drill")))
    assert waits.keys() == OF_A_DRILL.keys() | KEPT
    for name, part in OF_A_DRILL.items():
        assert f"$floor(($millis() - $began) / {part}000)" in waits[name], name
    for name in KEPT:
        assert waits[name] == "{% $keep_minutes * 60 %}"


def test_a_drill_ends_by_its_own_deadlines_and_not_by_the_outer_net() -> None:
    """One that times out takes nothing away: the sweeper would have to."""
    seconds = drill_seconds("MaxValue")
    asked = seconds["Decide"] + seconds["Approval"] + seconds["AskAgain"]
    rehearsed = seconds["Drill"] + LONGEST_KEPT + seconds["Teardown"]
    # While a failover is seen to run it is waited for, and it has a net of its own.
    moved = definition()["TimeoutSeconds"] + LONGEST_KEPT + way_back(seconds) + seconds["Decide"]
    assert asked + max(rehearsed, moved) + 3600 < definition("drill")["TimeoutSeconds"]


def test_the_lock_of_a_drill_outlives_it() -> None:
    """So an expired one has no living owner."""
    text = (ROOT / "statemachine" / "drill.asl.yaml").read_text()
    terms = set(re.findall(r"\$floor\(\$millis\(\) / 1000\) \+ (\d+)", text))
    assert terms
    assert min(map(int, terms)) > definition("drill")["TimeoutSeconds"]


def _waits(block: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, state in block["States"].items():
        if state["Type"] == "Wait":
            yield name, str(state["Seconds"])
        for branch in state.get("Branches", []):
            yield from _waits(branch)
