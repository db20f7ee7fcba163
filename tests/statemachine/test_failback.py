"""The way home run from its definition, in both Regions: each end that it can have, and what it leaves behind."""

from collections.abc import Callable, Iterator
from time import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from relight import hold

from tests.statemachine.harness import Outcome, until
from tests.statemachine.homecoming import (
    AWAY,
    EPOCH,
    FAILOVER,
    GO_HOME,
    HEAD,
    HOME,
    STAND_BY,
    Homecoming,
    Side,
    VirtualTime,
    held_at,
    homecoming,
)
from tests.statemachine.standby import AUTOMATIC, RAISED, STEADY, TABLE, StepBrokenError, client
from tests.statemachine.table import Item

pytestmark = pytest.mark.failback

BROKEN = StepBrokenError("the API said no")
DIFFERENCES = [{"name": f"missing_row:shop_order:{key}", "kind": "missing_row"} for key in range(1, 4)]
IMPATIENT: dict[str, Any] = {"AskAgainSeconds": 1, "ApprovalSeconds": 2}
NAMES = [each["name"] for each in DIFFERENCES]


@pytest.fixture
def both() -> Iterator[Homecoming]:
    with homecoming() as made:
        yield made


def status(execution: str) -> tuple[str, str | None]:
    """Of an execution, with its error."""
    found = client("stepfunctions", execution.split(":")[3]).describe_execution(executionArn=execution)
    return found["status"], found.get("error")


# The way through.


def test_a_lost_region_is_brought_home(both: Homecoming) -> None:
    """From the loss of the primary on: failed over, kept, rebuilt, compared, switched over, and the pilot lit again."""
    both.make_active(both.home, 0)
    both.away.reaches_the_peer = False
    assert both.away.run(AUTOMATIC).output["status"] == "SUCCEEDED"
    assert both.answered_by() == AWAY
    both.away.reaches_the_peer = True
    both.home.lost_rows = 17
    both.home.answer = "approve"

    ended = both.home.go(GO_HOME)

    assert (ended.output["status"], ended.output["finding"]) == ("SUCCEEDED", "home")
    assert ended.output["sentence"].startswith("home: this Region serves")
    both.assert_home()
    asked = next(text for text in both.home.messages() if "may eu-west-1 take over" in text)
    assert "17 rows exist only in" in asked
    assert "ended SUCCEEDED: home" in both.home.messages()[-1]
    assert "ended SUCCEEDED: this Region stands by again" in both.away.messages()[-1]


def test_a_way_home_is_told_in_its_parts(both: Homecoming) -> None:
    """Their order, whose lock it was when, and what the evidence names of it."""
    both.home.answer = "approve"
    both.home.lost_rows = 2
    execution = both.home.start(GO_HOME)
    ended = both.home.failback.outcome(execution)

    assert_order(both)
    (switchover,) = both.home.machine.executions()
    asked = next(payload["run"] for name, payload in ended.calls if name == "quiesce")
    assert (asked["owner"], asked["mode"], asked["epoch"]) == (switchover, "planned", EPOCH + 2)
    assert both.home.evidence(switchover)["status"] == "SUCCEEDED"
    assert both.home.ledger.head().active_epoch == EPOCH + 2
    kept = both.home.evidence(execution)
    assert (kept["kind"], kept["status"], kept["to"], kept["accepted"]) == ("failback", "SUCCEEDED", "home", [])
    assert kept["retired"]["retired"]["instance"] == "shop-primary-retired-4"
    assert (kept["reconciliation"]["rows"], kept["comparison"]["tables"]) == (2, 3)
    assert kept["switchover"] == switchover.rpartition(":")[2]
    assert kept["light"]["execution"].startswith(both.away.arn("light-"))


def assert_order(both: Homecoming) -> None:
    """Each part comes after the one before."""
    first = list(dict.fromkeys(both.home.looks))
    steps = ["survey hear", "survey look", "retire keep", "reprotect", "compare database", "objects", "compare lost"]
    decided = ["record ask", "record answer", "scale ready"]
    assert first[: len(steps + decided)] == steps + decided
    assert first.index("quiesce stop") < first.index("quiesce replayed") < first.index("promote")
    back = ["scale settle", "survey leave", "switch release", "survey light"]
    assert first[-len(back) :] == back
    assert both.away.looks[: len(steps)] == steps
    assert not {"record ask", "scale ready", "promote"} & set(both.away.looks)


def test_long_stages_are_looked_at_again_and_the_other_lock_is_kept_meanwhile(both: Homecoming) -> None:
    both.home.waits = {"retire keep": 1, "reprotect": 2, "compare database": 1, "objects": 1, "compare lost": 1}
    both.home.waits |= {"scale ready": 1, "scale settle": 1, "switch release": 1}
    both.home.answer = "approve"

    assert both.home.go(GO_HOME).output["status"] == "SUCCEEDED"

    assert both.home.looks.count("reprotect") == 3
    assert both.home.looks.count("survey renew") == 7
    both.assert_home()


def test_nobody_is_asked_where_only_a_standby_is_wanted(both: Homecoming) -> None:
    ended = both.home.go(STAND_BY)

    assert (ended.output["status"], ended.output["finding"]) == ("SUCCEEDED", "protected")
    assert "shop-primary follows shop-dr" in ended.output["sentence"]
    assert not {"record ask", "scale ready", "survey light"} & set(both.home.looks)
    assert not both.away.fenced
    both.assert_stands_by()


def test_to_stand_by_twice_builds_nothing_twice(both: Homecoming) -> None:
    for _ in range(2):
        assert both.home.go(STAND_BY).output["finding"] == "protected"
    both.assert_stands_by()


def test_a_standby_that_was_rebuilt_can_be_gone_home_with(both: Homecoming) -> None:
    both.home.go(STAND_BY)
    both.home.answer = "approve"
    assert both.home.go(GO_HOME).output["finding"] == "home"
    both.assert_home()


def test_what_was_lost_in_the_meantime_is_where_the_epoch_comes_from(both: Homecoming) -> None:
    """The ledger of the Region that was lost knows nothing of what was done without it."""
    client("dynamodb", HOME).delete_item(TableName=TABLE, Key=HEAD)
    both.home.answer = "approve"
    assert both.home.go(GO_HOME).output["finding"] == "home"
    both.assert_home()


# A person decides.


def test_staying_moves_nothing_and_makes_the_other_region_home_in_both_ledgers(both: Homecoming) -> None:
    both.home.answer = "stay"

    ended = both.home.go(GO_HOME)

    assert (ended.output["status"], ended.output["finding"]) == ("SUCCEEDED", "stays")
    assert ended.output["sentence"].startswith("the other Region is home from now on")
    both.assert_stands_by()
    assert [side.ledger.head().home for side in both.sides] == [AWAY, AWAY]
    assert not both.away.fenced


@pytest.mark.parametrize(
    ("answer", "finding", "sentence"),
    [
        ("decline", "Declined", "declined by ann: not today"),
        ("perhaps", "Declined", "declined by ann: it is quiet now"),
        (None, "Unanswered", "nobody answered in time"),
    ],
)
def test_without_an_approval_nothing_moves(answer: str | None, finding: str, sentence: str) -> None:
    with homecoming(**({} if answer else IMPATIENT)) as both:
        both.home.answer = answer
        execution = both.home.start(GO_HOME)
        ended = both.home.failback.outcome(execution)

        assert (ended.output["status"], ended.output["finding"]) == ("STOOD_DOWN", finding)
        assert ended.output["sentence"].startswith(f"{sentence}; the active Region goes on serving")
        both.assert_stands_by()
        assert both.home.evidence(execution)["status"] == "STOOD_DOWN"
        assert both.home.ledger.head().refused_at is None
        assert not {"scale ready", "quiesce stop"} & set(both.home.looks)


def test_who_does_not_answer_is_asked_again_and_the_other_lock_is_kept_meanwhile() -> None:
    with homecoming(**IMPATIENT) as both:
        execution = both.home.start(GO_HOME, "asking")
        second = until(lambda: (found := both.home.ledger.question("asking")) and found.asked == 2 and found, "asking")
        assert both.away.ledger.head().owner == execution
        both.home.reply(second.token, "approve")
        assert both.home.failback.outcome(execution).output["finding"] == "home"
        both.assert_home()


# Differences.


def test_differences_are_named_and_refused(both: Homecoming) -> None:
    both.home.differences = DIFFERENCES

    ended = both.home.go(GO_HOME)

    assert (ended.output["status"], ended.output["finding"]) == ("STOOD_DOWN", "Differences")
    assert ", ".join(NAMES) in ended.output["sentence"]
    assert "3 in all" in ended.output["sentence"]
    assert "record ask" not in both.home.looks
    both.assert_stands_by()


@pytest.mark.parametrize("to", ["home", "protected"])
def test_differences_that_a_person_has_reviewed_are_let_pass(both: Homecoming, to: str) -> None:
    both.home.differences = DIFFERENCES
    both.home.answer = "approve"

    ended = both.home.go({**GO_HOME, "to": to, "accept": [*NAMES, "of_another:day"]})

    assert ended.output["finding"] == to


def test_one_difference_that_nobody_has_accepted_is_enough(both: Homecoming) -> None:
    both.home.differences = DIFFERENCES

    ended = both.home.go({**GO_HOME, "accept": NAMES[:2]})

    assert ended.output["finding"] == "Differences"
    assert f"differ: {NAMES[2]} (3 in all" in ended.output["sentence"]
    both.assert_stands_by()


def test_more_differences_than_can_be_named_cannot_be_accepted(both: Homecoming) -> None:
    both.home.differences = [{"name": f"missing_row:shop_order:{key}"} for key in range(50)]
    both.home.differences_total = 51

    ended = both.home.go({**GO_HOME, "accept": [each["name"] for each in both.home.differences]})

    assert ended.output["finding"] == "Differences"
    assert "51 in all" in ended.output["sentence"]
    both.assert_stands_by()


# Refused before anything is touched.


def active_already(both: Homecoming) -> None:
    both.home.answer = "approve"
    assert both.home.go(GO_HOME).status == "SUCCEEDED"
    both.assert_home()


def never_failed_over(both: Homecoming) -> None:
    both.make_active(both.home, 0)


def nobody_has_written(both: Homecoming) -> None:
    both.make_active(both.home, 0)
    for region in (HOME, AWAY):
        client("dynamodb", region).delete_item(TableName=TABLE, Key=HEAD)


def drill_in_the_peer(both: Homecoming) -> None:
    both.away.start_drill()


def run_in_the_peer(both: Homecoming) -> None:
    held = both.away.machine.holds.hold("Open the run", held_at(AWAY, FAILOVER))
    both.away.machine.start(AUTOMATIC, name="living")
    held.wait()


def promoting_in_the_peer(both: Homecoming) -> None:
    both.away.write_head("SET #state = :promoting", {":promoting": {"S": "promoting"}})


def unreachable_peer(both: Homecoming) -> None:
    both.home.reaches_the_peer = False


def half_promoted(both: Homecoming) -> None:
    promotion = {"instance": {"S": "shop-primary"}, "run": {"S": "died"}, "epoch": {"N": "4"}, "called_at": {"N": "1"}}
    values = {":promoting": {"S": "promoting"}, ":promotion": {"M": promotion}}
    both.home.write_head("SET #state = :promoting, promotion = :promotion", values)


REFUSALS: dict[str, tuple[Callable[[Homecoming], None], str, str]] = {
    "home is active already": (active_already, "AlreadyActive", "eu-west-1 is active already, since epoch 6"),
    "never failed over": (never_failed_over, "NeverFailedOver", "no run has ever made eu-central-1 active"),
    "nothing ever happened": (nobody_has_written, "NeverFailedOver", "no run has ever made eu-central-1 active"),
    "a drill in the other Region": (drill_in_the_peer, "DrillInProgress", "a drill is under way in eu-central-1"),
    "a run in the other Region": (run_in_the_peer, "AnotherRunInProgress", "execution:relight-shop-failover:living"),
    "the other Region is promoting": (promoting_in_the_peer, "AnotherRunInProgress", "is being activated"),
    "the other Region does not answer": (unreachable_peer, "PeerUnreachable", "eu-central-1 does not answer"),
}


@pytest.mark.parametrize(("prepare", "finding", "sentence"), REFUSALS.values(), ids=REFUSALS)
def test_what_stands_in_the_way_is_refused_and_nothing_moves(
    both: Homecoming, prepare: Callable[[Homecoming], None], finding: str, sentence: str
) -> None:
    prepare(both)
    before, theirs = both.picture(), head_of(both.away)
    both.home.forget()

    ended = both.home.go(GO_HOME)

    assert ended.status == "SUCCEEDED"
    assert (ended.output["status"], ended.output["finding"]) == ("STOOD_DOWN", finding)
    assert sentence in ended.output["sentence"]
    assert both.picture() == before
    assert head_of(both.away) == theirs
    assert both.home.ledger.head().owner is None
    assert not {"retire keep", "reprotect"} & set(both.home.looks)
    assert "ended STOOD_DOWN" in both.home.messages()[-1]


def head_of(side: Side) -> Item:
    """As it lies in the table, without the epoch, which only grows."""
    item = side.ledger.dynamodb.get_item(TableName=TABLE, Key=HEAD).get("Item", {})
    return {name: value for name, value in item.items() if name not in {"epoch", "pk", "sk", *_NOTHING}}


# Who is active since nobody ever changed it is told to the other ledger, too, and changes nothing.
_NOTHING = ("active", "active_epoch", "state")


@pytest.mark.parametrize("prepare", [active_already, drill_in_the_peer], ids=["active", "drill"])
def test_a_standby_is_refused_for_the_same_reasons(both: Homecoming, prepare: Callable[[Homecoming], None]) -> None:
    prepare(both)
    before = both.picture()
    assert both.home.go(STAND_BY).output["finding"] in {"AlreadyActive", "DrillInProgress"}
    assert both.picture() == before


def test_a_drill_here_is_not_disturbed(both: Homecoming) -> None:
    drill = both.home.start_drill()
    before = both.picture()

    ended = both.home.go(GO_HOME)

    assert ended.output == {
        "status": "ALREADY_IN_PROGRESS",
        "finding": "in_progress",
        "sentence": f"already in progress: {drill}",
    }
    assert both.picture() == before
    assert both.home.ledger.head().owner == drill
    assert status(drill)[0] == "RUNNING"


def test_a_promotion_that_was_begun_is_for_a_failover_to_finish(both: Homecoming) -> None:
    """Its capacity stays: behind the one-way door there is only forward."""
    half_promoted(both)
    both.home.capacity = RAISED

    ended = both.home.go(GO_HOME)

    assert (ended.status, ended.error) == ("FAILED", "FailbackFailed")
    assert ended.cause is not None
    assert "a failover run goes on from there" in ended.cause
    assert "behind the one-way door" in ended.cause
    assert both.home.ledger.head().door_opened
    assert "scale restore" not in both.home.looks
    assert [side.ledger.head().owner for side in both.sides] == [None, None]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"reason": "  "},
        {"reason": 5},
        {"reason": "real", "to": "dr"},
        {"reason": "real", "accept": "all"},
        {"reason": "real", "accept": [1]},
        {"reason": "real", "parent": 5},
        {"to": "home"},
    ],
)
def test_a_bad_request_is_refused_before_anything_is_touched(both: Homecoming, given: dict[str, Any]) -> None:
    ended = both.home.go(given)

    assert (ended.status, ended.error) == ("FAILED", "InputInvalid")
    assert ended.cause  # which test_inputs.py reads
    assert ended.states == ["Read the request", "Refuse the request"]


def test_home_is_not_where_the_dr_region_is(both: Homecoming) -> None:
    both.make_active(both.home, EPOCH)
    ended = both.away.go({"reason": "I mean it", "to": "home"})
    assert (ended.output["status"], ended.output["finding"]) == ("STOOD_DOWN", "InputInvalid")


# Others that want the lock.


def test_a_second_failback_ends_quietly(both: Homecoming) -> None:
    held = both.home.failback.holds.hold("Build the replica")
    first = both.home.start(GO_HOME)
    held.wait()
    both.home.answer = "approve"

    second = both.home.go(GO_HOME)

    assert second.output["status"] == "ALREADY_IN_PROGRESS"
    assert first in second.output["sentence"]
    held.let_go()
    assert both.home.failback.outcome(first).output["finding"] == "home"
    both.assert_home()


@pytest.mark.parametrize("state", ["Build the replica", "Warm up"])
def test_a_failover_stops_a_failback_that_has_not_switched_over(both: Homecoming, state: str) -> None:
    """The active Region is lost while the way home is being built: whoever is asked to fail over does not wait."""
    both.home.answer = "approve"
    held = both.home.failback.holds.hold(state, held_at(HOME))
    failback = both.home.start(GO_HOME)
    held.wait()
    both.home.verdicts[0] = {"action": "stand_down", "finding": "dr_not_ready", "sentence": "there is no replica yet"}

    ended = both.home.run(AUTOMATIC)

    assert ended.output["finding"] == "dr_not_ready"
    assert "Stop what makes room" in ended.states
    assert status(failback) == ("ABORTED", "Preempted")
    held.see_off()
    both.assert_unmoved(free=False)
    assert both.home.ledger.head().owner is None
    both.home.verdicts[0] = {"action": "proceed", "finding": "region_lost", "sentence": "lost"}
    assert both.home.go(GO_HOME).output["finding"] == "home"
    both.assert_home()


def test_a_failover_that_comes_while_the_switchover_is_at_work_ends_quietly(both: Homecoming) -> None:
    both.home.answer = "approve"
    held = both.home.failback.holds.hold("Promote replica", held_at(HOME, FAILOVER))
    failback = both.home.start(GO_HOME)
    switchover = held.wait()

    ended = both.home.run(AUTOMATIC)

    assert ended.output["status"] == "ALREADY_IN_PROGRESS"
    assert switchover in ended.output["sentence"]
    held.let_go()
    assert both.home.failback.outcome(failback).output["finding"] == "home"
    both.assert_home()


def test_a_failover_of_the_active_region_does_not_disturb_a_failback(both: Homecoming) -> None:
    """It has nothing to do there, and finds the guest."""
    held = both.home.failback.holds.hold("Build the replica")
    failback = both.home.start(STAND_BY)
    held.wait()

    ended = both.away.run(AUTOMATIC)

    assert ended.output["status"] == "ALREADY_IN_PROGRESS"
    assert failback in ended.output["sentence"]
    held.let_go()
    assert both.home.failback.outcome(failback).output["finding"] == "protected"
    both.assert_stands_by()


def test_behind_the_switchover_the_lock_is_waited_for(both: Homecoming) -> None:
    """Whoever had it for a moment: what was switched over is brought to its end."""
    both.home.answer = "approve"
    holds = both.home.failback.holds
    before = holds.hold("Switch over", held_at(HOME))
    failback = both.home.start(GO_HOME)
    before.wait()
    behind = holds.hold("Take lock", held_at(HOME))
    before.let_go()
    behind.wait()
    both.home.start_drill()
    behind.let_go()
    until(lambda: "Wait for the lock" in both.home.failback.states(failback), "the waiting")

    both.home.end_drill()

    assert both.home.failback.outcome(failback).output["finding"] == "home"
    both.assert_home()


def test_what_was_left_over_from_before_is_stopped(both: Homecoming) -> None:
    """A run of the lost Region that wakes up with it would go on where it stood."""
    both.away.write_head("REMOVE ended_at", {})
    held = both.home.machine.holds.hold("Begin", held_at(HOME, FAILOVER))
    left_over = both.home.machine.start(AUTOMATIC, name="asleep")
    held.wait()

    assert both.home.go(STAND_BY).output["finding"] == "protected"

    assert status(left_over) == ("ABORTED", "LeftOver")
    held.see_off()
    both.assert_stands_by()


def test_a_run_that_was_stopped_there_does_not_keep_the_other_lock(both: Homecoming) -> None:
    held = both.away.machine.holds.hold("Open the run", held_at(AWAY, FAILOVER))
    both.away.machine.start(AUTOMATIC, name="dead")
    both.away.machine.stop(held.wait())
    held.see_off()

    assert both.home.go(STAND_BY).output["finding"] == "protected"
    both.assert_stands_by()


# The same with the parts exchanged.


def test_dr_becomes_the_standby_of_a_home_that_was_activated_in_an_emergency(both: Homecoming) -> None:
    """DR was active, and home its standby; then DR was lost, and home failed over by the same code."""
    both.home.go(STAND_BY)
    both.home.fenced = False
    failed_over = both.home.run(AUTOMATIC)
    assert failed_over.output["status"] == "SUCCEEDED"
    assert both.answered_by() == HOME

    ended = both.away.go({"reason": "the other Region is back"})

    assert (ended.output["status"], ended.output["finding"]) == ("SUCCEEDED", "protected")
    heads = [side.ledger.head() for side in both.sides]
    assert [(head.active, head.owner) for head in heads] == [(HOME, None)] * 2
    assert both.writable() == [HOME]
    assert both.away.follows
    assert (both.home.promotions, both.away.promotions, both.split) == (1, 0, [])
    assert (both.home.capacity, both.away.capacity) == (RAISED, STEADY)
    assert [retired.instance for retired in both.away.ledger.retired()] == [f"shop-dr-retired-{heads[0].active_epoch}"]
    # No failback of home is at work that would let go of HOLD; its guard does.
    assert hold.is_due(heads[0], heads[1], HOME, time())


# Steps that fail.

BUILDING = ["survey look", "retire keep", "reprotect", "compare database", "objects", "compare lost", "record ask"]
STAGES = {
    "survey look": "Ready to go home",
    "retire keep": "Keep the old database",
    "reprotect": "Build the replica",
    "compare database": "Compare the databases",
    "objects": "Compare the objects",
    "compare lost": "Find what was lost",
    "record ask": "Ask a person",
    "scale ready": "Warm up",
    "survey stay": "Make the other side home",
    "survey leave": "Settle",
    "scale settle": "Settle",
    "switch release": "Let go of HOLD",
    "survey light": "Light the pilot again",
}


def assert_red(both: Homecoming, ended: Outcome, *sentences: str) -> None:
    """A red execution that says where, in people's ears too, and free locks."""
    assert (ended.status, ended.error) == ("FAILED", "FailbackFailed")
    assert ended.cause is not None
    assert all(sentence in ended.cause for sentence in sentences), ended.cause
    assert [side.ledger.head().owner for side in both.sides] == [None, None]
    assert "ended FAILED" in both.home.messages()[-1]


@pytest.mark.parametrize("step", [*BUILDING, "scale ready", "survey stay"])
def test_a_failure_before_the_switchover_says_where_and_moves_nothing(both: Homecoming, step: str) -> None:
    both.home.answer = "stay" if step == "survey stay" else "approve"
    both.home.breaks = {step: BROKEN}

    ended = both.home.go(GO_HOME)

    assert_red(both, ended, "StepBrokenError: the API said no", f"(in: {STAGES[step]})")
    both.assert_unmoved()


@pytest.mark.parametrize("step", ["scale settle", "switch release", "survey light"])
def test_a_failure_behind_the_switchover_leaves_home_active_and_the_next_goes_on(both: Homecoming, step: str) -> None:
    both.home.answer = "approve"
    both.home.breaks = {step: BROKEN}

    ended = both.home.go(GO_HOME)

    assert_red(both, ended, "StepBrokenError", f"(in: {STAGES[step]})")
    assert (both.writable(), both.home.capacity) == ([HOME], RAISED)
    assert both.answered_by() == HOME
    both.home.breaks = {}
    both.home.forget()
    assert both.home.go(GO_HOME).output["finding"] == "home"
    assert not {"retire keep", "record ask", "quiesce stop"} & set(both.home.looks)
    both.assert_home()


@pytest.mark.parametrize("step", ["assess", "switch engage", "quiesce stop", "quiesce replayed", "promote"])
def test_a_switchover_that_does_not_come_to_the_promotion_is_undone(both: Homecoming, step: str) -> None:
    both.home.answer = "approve"
    both.home.breaks = {step: BROKEN}

    ended = both.home.go(GO_HOME)

    assert_red(both, ended, "SwitchoverFailed: the switchover arn:aws:states:eu-west-1:", "is FAILED")
    both.assert_unmoved()


def test_a_switchover_that_stands_down_is_told_and_undone(both: Homecoming) -> None:
    both.home.answer = "approve"
    both.home.verdicts[0] = {"action": "stand_down", "finding": "frozen", "sentence": "changes are frozen"}

    ended = both.home.go(GO_HOME)

    assert (ended.output["status"], ended.output["finding"]) == ("STOOD_DOWN", "NotSwitchedOver")
    assert "ended STOOD_DOWN: changes are frozen" in ended.output["sentence"]
    both.assert_stands_by()


@pytest.mark.parametrize("step", ["promote (begun)", "verify writes"])
def test_a_switchover_that_fails_behind_the_door_is_finished_by_the_next_failover(both: Homecoming, step: str) -> None:
    both.home.answer = "approve"
    both.home.breaks = {step: BROKEN}

    ended = both.home.go(GO_HOME)

    assert_red(both, ended, "SwitchoverFailed", "(behind the one-way door")
    assert both.home.ledger.head().door_opened
    assert both.home.capacity == RAISED
    assert "scale restore" not in both.home.looks
    both.home.breaks = {}
    both.home.verdicts[0] = {"action": "proceed", "finding": "half_done", "sentence": "half done"}
    assert both.home.run(AUTOMATIC).output["status"] == "SUCCEEDED"
    assert both.home.go(GO_HOME).output["finding"] == "home"
    both.assert_home()


@pytest.mark.parametrize("step", ["reprotect", "objects", "scale ready"])
def test_a_deadline_names_the_stage_that_it_passed_in(step: str) -> None:
    with homecoming(VirtualTime()) as both:
        both.home.waits = {step: 10_000}
        both.home.answer = "approve"
        ended = both.home.go(GO_HOME)
        assert_red(both, ended, f"DeadlinePassed: {STAGES[step]} took too long: ", f"(in: {STAGES[step]})")
        both.assert_unmoved()


def test_a_pilot_that_cannot_be_lit_is_red_and_home_serves(both: Homecoming) -> None:
    both.home.answer = "approve"
    both.away.breaks = {"reprotect": BROKEN}

    ended = both.home.go(GO_HOME)

    assert_red(both, ended, "PilotNotLit: light-eu-west-1-", "(in: Build the replica)", "(in: Light the pilot again)")
    assert (both.writable(), both.answered_by()) == ([HOME], HOME)
    both.away.breaks = {}
    assert both.home.go(GO_HOME).output["finding"] == "home"
    both.assert_home()


def test_differences_in_the_pilot_are_told_by_who_lit_it(both: Homecoming) -> None:
    both.home.answer = "approve"
    both.away.differences = DIFFERENCES

    ended = both.home.go(GO_HOME)

    assert_red(both, ended, "PilotNotLit: light-eu-west-1-", "STOOD_DOWN", NAMES[0])
    assert both.writable() == [HOME]


def test_another_region_that_becomes_active_meanwhile_ends_it(both: Homecoming) -> None:
    """What is being built is a replica of what is not active any more."""

    def change() -> None:
        both.away.write_head("SET active_epoch = :epoch", {":epoch": {"N": "9"}})

    both.home.waits = {"reprotect": 1}
    both.home.during = {"reprotect": change}

    ended = both.home.go(GO_HOME)

    assert_red(
        both, ended, "AnotherRunInProgress: the other ledger says now that eu-central-1 is active, since epoch 9"
    )


def test_a_peer_that_is_away_for_a_while_delays_nothing(both: Homecoming) -> None:
    def leave_alone() -> None:
        both.home.reaches_the_peer = both.home.looks.count("reprotect") != 1

    both.home.waits = {"reprotect": 2}
    both.home.during = {"reprotect": leave_alone}

    assert both.home.go(STAND_BY).output["finding"] == "protected"
    both.assert_stands_by()


def test_capacity_that_cannot_be_put_back_is_told(both: Homecoming) -> None:
    both.home.answer = "approve"
    both.home.waits = {"scale ready": 1}
    both.home.breaks = {"scale restore": BROKEN, "survey renew": BROKEN, "quiesce stop": BROKEN}

    ended = both.home.go(GO_HOME)

    assert_red(both, ended, "SwitchoverFailed", "capacity could not be put back: StepBrokenError")
    assert both.writable() == [AWAY]


def test_a_record_that_fails_makes_it_red(both: Homecoming) -> None:
    both.home.breaks = {"record": BROKEN}

    ended = both.home.go(STAND_BY)

    assert (ended.status, ended.error) == ("FAILED", "FailbackFailed")
    assert ended.cause == "the run is over, and its record failed: StepBrokenError"
    both.assert_stands_by()


def test_what_a_step_raises_for_a_moment_is_tried_again(both: Homecoming) -> None:
    def mend() -> None:
        if both.home.looks.count("retire keep") > 1:
            both.home.breaks = {}

    error: Any = {"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}
    both.home.breaks = {"retire keep": ClientError(error, "ModifyDBInstance")}
    both.home.during = {"retire keep": mend}

    assert both.home.go(STAND_BY).output["finding"] == "protected"
    both.assert_stands_by()
