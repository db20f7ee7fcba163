"""Two at once, in the whole machine: triggers, people, take-overs, a drill in the way, an answer in the last moment."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from relight.policy import Approval

from tests.statemachine.harness import until
from tests.statemachine.pair import APPLICATION_LOST, HEAD, LOST, WELL, Pair, pair
from tests.statemachine.standby import AUTOMATIC, TABLE, client
from tests.statemachine.test_failover import MANUAL, alarm
from tests.statemachine.test_interruption import assert_settled, dead_owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from relight.question import Question

    from tests.statemachine.harness import Outcome
    from tests.statemachine.hold import Hold

pytestmark = pytest.mark.race

BY_PROBE, BY_HAND = AUTOMATIC, MANUAL
OUTSIDE = {"alarmName": "relight-shop-endpoint", "state": {"value": "ALARM"}}
# Made when they are sent: an event of five minutes ago starts nothing.
PAIRS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "two alarms": lambda: (alarm(), alarm(region="us-east-1", detail=OUTSIDE)),
    "one event, delivered twice": lambda: (alarm(),) * 2,
    "the probe and a person": lambda: (BY_PROBE, BY_HAND),
    "two people": lambda: (BY_HAND, {"reason": "I pressed it too"}),
}
ORDERS = {"one after the other": (0, 1), "the other first": (1, 0), "at once": None}


@pytest.fixture
def both() -> Iterator[Pair]:
    with pair() as made:
        yield made


def started(both: Pair, place: str, *given: Any) -> list[Hold]:
    """A run of each, all held at that state."""
    held = []
    for payload in given:
        held.append(both.machine.holds.hold(place))
        both.machine.start(payload)
        held[-1].wait()
    return held


def let_go(held: list[Hold], order: tuple[int, ...] | None) -> None:
    """Each in its turn, once what the one before was held at is over; or all at once."""
    for number in order or ():
        held[number].see_off()
    for each in held:
        each.let_go()


def results(both: Pair, held: list[Hold]) -> dict[str, Outcome]:
    """How the runs ended: the one that failed over, and the one that found it at work."""
    ended = [both.machine.outcome(each.execution) for each in held]
    return {outcome.output["status"]: outcome for outcome in ended}


def assert_one_did_it(both: Pair, held: list[Hold], *, epoch: int) -> None:
    """One run failed over, and the other one names it."""
    by_status = results(both, held)
    assert set(by_status) == {"SUCCEEDED", "ALREADY_IN_PROGRESS"}
    (winner,) = (each.execution for each in held if both.ledger.timeline(each.execution.rpartition(":")[2])[1])
    assert winner in by_status["ALREADY_IN_PROGRESS"].output["sentence"]
    assert both.ledger.head().epoch == epoch
    assert_settled(both, active=True)


# Triggers.


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("given", PAIRS.values(), ids=PAIRS)
def test_of_two_triggers_one_fails_over(
    both: Pair, given: Callable[[], tuple[Any, Any]], order: tuple[int, ...] | None
) -> None:
    at_work = both.machine.holds.hold("Promote replica")
    held = started(both, "Take lock", *given())
    let_go(held, order)
    winner = at_work.wait()
    until(lambda: any(both.machine.has_ended(each.execution) for each in held), "the end of the other")
    assert not both.machine.has_ended(winner)
    at_work.let_go()
    assert_one_did_it(both, held, epoch=1)


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_of_two_take_overs_of_one_dead_owner_one_succeeds(both: Pair, order: tuple[int, ...] | None) -> None:
    dead_owner(both)
    at_work = both.machine.holds.hold("Promote replica")
    held = started(both, "Take over the lock", BY_PROBE, BY_HAND)
    let_go(held, order)
    at_work.wait()
    until(lambda: any(both.machine.has_ended(each.execution) for each in held), "the end of the other")
    at_work.let_go()
    assert_one_did_it(both, held, epoch=2)


# A drill.


def status(execution: str) -> tuple[str, str | None]:
    """Of an execution, with its error."""
    found = client("stepfunctions").describe_execution(executionArn=execution)
    return found["status"], found.get("error")


def test_a_real_failover_stops_a_drill(both: Pair) -> None:
    drill = both.start_drill()
    assert both.ledger.head().owner == drill

    ended = both.run()

    assert ended.output["status"] == "SUCCEEDED"
    assert status(drill) == ("ABORTED", "Preempted")
    assert both.ledger.head().epoch == 2
    assert_settled(both, active=True)


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_of_two_triggers_during_a_drill_one_fails_over(both: Pair, order: tuple[int, ...] | None) -> None:
    drill = both.start_drill()
    at_work = both.machine.holds.hold("Promote replica")
    held = started(both, "Stop what makes room", BY_PROBE, BY_HAND)
    let_go(held, order)
    at_work.wait()
    until(lambda: any(both.machine.has_ended(each.execution) for each in held), "the end of the other")
    at_work.let_go()
    assert status(drill)[0] == "ABORTED"
    assert_one_did_it(both, held, epoch=2)


def test_a_drill_that_ends_by_itself_in_that_moment_is_in_nobodys_way(both: Pair) -> None:
    drill = both.start_drill()
    (held,) = started(both, "Stop what makes room", BY_PROBE)
    both.end_drill()
    until(lambda: status(drill)[0] == "SUCCEEDED", "the end of the drill")
    held.let_go()
    assert both.machine.outcome(held.execution).output["status"] == "SUCCEEDED"
    assert_settled(both, active=True)


# People.


def asked(both: Pair, execution: str) -> Question:
    """What the run asks."""
    found: Question = until(lambda: both.ledger.question(execution.rpartition(":")[2]), "the question")
    return found


def at_once(*acts: Callable[[], bool]) -> list[bool]:
    """What each came to, begun at the same instant."""
    came: list[bool] = [False] * len(acts)
    line = threading.Barrier(len(acts), timeout=30)

    def act(number: int) -> None:
        line.wait()
        came[number] = acts[number]()

    threads = [threading.Thread(target=act, args=(number,)) for number in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return came


def call_back(token: str) -> bool:
    """As `probe` does; False where the question is over."""
    machines = client("stepfunctions")
    try:
        machines.send_task_failure(taskToken=token, error="FactsChanged", cause="the primary answers again")
    except machines.exceptions.TaskTimedOut:
        return False
    return True


def waiting(both: Pair) -> tuple[str, str]:
    """A run that asks, and its token."""
    both.policy = replace(both.policy, approval=Approval.APPROVE)
    execution = both.machine.start(AUTOMATIC)
    token = asked(both, execution).token
    until(lambda: "record ask" in both.gone, "the end of asking")
    return execution, token


@pytest.mark.parametrize("_again", range(4))
def test_of_a_yes_and_a_no_at_once_one_counts(both: Pair, _again: int) -> None:
    execution, token = waiting(both)
    yes, no = at_once(lambda: both.reply(token, "approve"), lambda: both.reply(token, "decline"))
    assert [yes, no].count(True) == 1
    ended = both.machine.outcome(execution)
    assert ended.output["status"] == ("SUCCEEDED" if yes else "STOOD_DOWN")
    assert_settled(both, active=yes)
    answer = both.ledger.answer(execution.rpartition(":")[2])
    assert answer is not None
    assert answer.answer == ("approved" if yes else "declined")


@pytest.mark.parametrize("over", [True, False], ids=["it is over", "it is plain"])
@pytest.mark.parametrize("_again", range(3))
def test_of_an_approval_and_a_call_back_at_once_one_counts(both: Pair, over: bool, _again: int) -> None:
    execution, token = waiting(both)
    both.see(WELL if over else LOST)
    both.policy = replace(both.policy, approval=Approval.AUTO)
    approved, called_back = at_once(lambda: both.reply(token, "approve"), lambda: call_back(token))
    assert [approved, called_back].count(True) == 1
    ended = both.machine.outcome(execution)
    assert ended.output["status"] == ("STOOD_DOWN" if over else "SUCCEEDED")
    assert_settled(both, active=not over)
    assert (both.ledger.answer(execution.rpartition(":")[2]) is not None) is approved


@pytest.mark.parametrize("early", [0.06, 0.02, 0.0, -0.02], ids=lambda early: f"{early:+.2f} s")
def test_an_approval_in_the_last_moment_counts_or_is_refused(early: float) -> None:
    with pair(AskAgainSeconds=1, ApprovalSeconds=1) as both:
        entered = both.machine.holds.hold("Ask a person")
        both.policy = replace(both.policy, approval=Approval.APPROVE)
        execution = both.machine.start(AUTOMATIC)
        entered.wait()
        entered.let_go()
        over = time.time() + 1
        token = asked(both, execution).token
        until(lambda: time.time() >= over - early, "the last moment")

        counts = both.reply(token, "approve")

        ended = both.machine.outcome(execution)
        assert ended.output["status"] == ("SUCCEEDED" if counts else "STOOD_DOWN")
        assert_settled(both, active=counts)
        answer = both.ledger.answer(execution.rpartition(":")[2])
        assert answer is not None
        assert answer.answer == ("approved" if counts else "unanswered")


def test_what_is_called_back_again_and_again_is_not_asked_for_ever() -> None:
    with pair(ApprovalSeconds=0) as both:
        execution, token = waiting(both)
        assert call_back(token)
        ended = both.machine.outcome(execution)
        assert ended.output["status"] == "STOOD_DOWN"
        assert ended.output["sentence"].startswith("there is no time left to ask again: ")
        assert_settled(both, active=False)


# The lock.


def expire(both: Pair) -> None:
    """Let the lock's time be over, which is longer than the time of any execution."""
    both.ledger.dynamodb.update_item(
        TableName=TABLE,
        Key=HEAD,
        UpdateExpression="SET expires_at = :past",
        ExpressionAttributeValues={":past": {"N": "1"}},
    )


MID_STEP = (
    "Warm up: write 1",
    "Switch to this Region: write 1",
    "Switch to this Region: write 2",
    "Stop writes: write 1",
    "Stop writes: write 2",
    "Promote replica: write 1",
    "Promote replica: write 2",
    "Promote replica: write 3",
    "Record: write 1",
)


@pytest.mark.parametrize("place", MID_STEP)
def test_a_run_whose_lock_expires_in_mid_step_spoils_nothing_of_the_next(both: Pair, place: str) -> None:
    if place.startswith("Stop"):
        both.see(APPLICATION_LOST)
    held = both.machine.holds.hold(place)
    first = both.machine.start(MANUAL)
    held.wait()
    expire(both)
    both.see(LOST)
    both.answer = "approve"

    assert both.run().status == "SUCCEEDED"

    after = both.ledger.head()
    held.see_off()
    assert both.machine.outcome(first).status == "FAILED"
    assert both.ledger.head() == after
    assert_settled(both, active=True, calls=2)


@pytest.mark.parametrize("place", ["Switch to this Region: write 1", "Promote replica: write 1", "Record: write 1"])
def test_a_handler_that_goes_on_just_after_the_take_over_writes_nothing(both: Pair, place: str) -> None:
    held = both.machine.holds.hold(place)
    both.machine.start(AUTOMATIC)
    both.machine.stop(held.wait())
    taken_over = both.machine.holds.hold("Open the run")
    second = both.machine.start(AUTOMATIC)
    taken_over.wait()
    before = both.ledger.head()
    held.see_off()
    assert both.ledger.head() == before
    taken_over.let_go()
    assert both.machine.outcome(second).status == "SUCCEEDED"
    assert_settled(both, active=True)
