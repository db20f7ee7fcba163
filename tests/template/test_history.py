"""An execution of Step Functions has at most 25,000 events: one more ends it, and no Catch sees that. By arithmetic."""

from typing import Any

import pytest
import yaml

from tests.template.reading import ROOT, written

LIMIT = 25_000
# Entered, scheduled, started, succeeded, exited; a Choice and a Wait each entered and exited.
LAP = 5 + 2 + 2
# A question, and the Parallel that it comes back to: more than enough of them.
ROUND = 50
SOON = 5
"""Steps that are nearly there look so many times as often."""


def laps(seconds: float, asked: float) -> int:
    """How often a loop looks, if its handler takes no time: each wait is a hundredth of the time gone by at least."""
    count, gone = 0, 0
    while gone <= seconds:
        count, gone = count + 1, gone + max(int(asked), gone // 100, 1)
    return count


def parameter(name: str, bound: str = "Default") -> int:
    return int(written().body["Parameters"][name][bound])


@pytest.mark.parametrize("bound", ["Default", "MaxValue"])
def test_the_longest_run_stays_within_the_history_of_an_execution(bound: str) -> None:
    look_again = parameter("LookAgainSeconds")
    asking, deciding = parameter("ApprovalSeconds"), parameter("DecideSeconds")
    again = parameter("AskAgainSeconds")
    # The worst is to hesitate as long as one may before each question; a question itself makes few events.
    rounds = asking // (again + deciding) + 2
    before = rounds * (ROUND + deciding // look_again * LAP)
    # Promotion beside capacity, or writes beside traffic; all of them within one deadline.
    after = 2 * laps(parameter("RunSeconds", bound), look_again / SOON) * LAP
    assert before + after + 200 < LIMIT


def test_each_loop_after_the_decision_looks_less_and_less_often() -> None:
    """What `laps` reckons with."""
    waits = list(_waits(yaml.safe_load((ROOT / "statemachine" / "failover.asl.yaml").read_text())))
    decided = [wait for wait in waits if "$decided" in wait]
    assert len(decided) == len(waits) - 1, "all but the hold-down"
    assert all(wait.endswith("$floor(($millis() - $decided) / 100000)]) %}") for wait in decided)


def test_steps_that_are_nearly_there_do_not_look_all_the_time() -> None:
    assert parameter("LookAgainSeconds") / SOON >= 1


def test_the_run_ends_by_its_own_deadlines_and_not_by_the_outer_net() -> None:
    """An execution that times out neither records nor releases anything."""
    definition = yaml.safe_load((ROOT / "statemachine" / "failover.asl.yaml").read_text())
    names = ("ApprovalSeconds", "AskAgainSeconds", "DecideSeconds", "RunSeconds")
    assert sum(parameter(name, "MaxValue") for name in names) + 3600 < definition["TimeoutSeconds"]


def _waits(block: dict[str, Any]) -> list[str]:
    found = []
    for state in block["States"].values():
        if state["Type"] == "Wait":
            found.append(str(state["Seconds"]))
        for branch in state.get("Branches", []):
            found.extend(_waits(branch))
    return found
