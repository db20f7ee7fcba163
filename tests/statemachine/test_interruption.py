"""A run that is stopped at any of its states, and started again: the same end, one promotion, a free lock.

Each state of the definition is entered by a scenario, the run is stopped there, and a fresh one is started as `probe`
would start it. The handler of that state, where it has one, is held until that run is over; then it goes on, late.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from relight.head import State
from relight.policy import Approval
from relight.switches import switches

from tests.statemachine.harness import REGION, load, until
from tests.statemachine.pair import APPLICATION_LOST, EMPTY, LOST, REBOOTING, SERVING, WELL, Outlook, Pair, pair
from tests.statemachine.standby import (
    AUTOMATIC,
    DEFINITION,
    PRIMARY,
    RAISED,
    STEADY,
    StepBrokenError,
    substitutions,
)
from tests.statemachine.test_failover import MANUAL, alarm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from relight.head import Head

    from tests.statemachine.hold import Hold

pytestmark = pytest.mark.interruption

BROKEN = StepBrokenError("the API said no")
SILENT: Any = {
    "Error": {"Code": "InternalServerError", "Message": "Internal server error"},
    "ResponseMetadata": {"HTTPStatusCode": 500, "RequestId": "lost"},
}


def nobody(_both: Pair) -> None:
    """The lock is free."""


def dead_owner(both: Pair) -> None:
    """A run that was stopped holds the lock."""
    held = both.machine.holds.hold("Open the run")
    both.machine.start(AUTOMATIC, name="dead")
    both.machine.stop(held.wait())
    held.see_off()


def living_owner(both: Pair) -> Callable[[], object]:
    """A run that is at work holds the lock; how it is let go on to its end."""
    held = both.machine.holds.hold("Promote replica")
    living = both.machine.start(AUTOMATIC, name="living")
    held.wait()

    def go_on() -> None:
        held.let_go()
        assert both.machine.outcome(living).status == "SUCCEEDED"

    return go_on


def promoted_first(both: Pair) -> None:
    """Nobody holds the lock, and capacity is looked at only once this Region is active."""
    both.during = {"scale serve": lambda: both.promoted_now.wait(10)}


def hesitant(both: Pair) -> None:
    """Nobody holds the lock, and the facts are gathered until the time to decide is over."""
    over = time.time() + 1.1
    both.during = {"assess": lambda: until(lambda: time.time() > over, "the end of the time")}


def drill(both: Pair) -> None:
    """A rehearsal holds the lock."""
    both.start_drill()


@dataclass(frozen=True)
class Scenario:
    """A way through the machine: how things are, what goes wrong on the way, and whether this Region is active then."""

    name: str
    active: bool
    outlook: Outlook = LOST
    first: tuple[Outlook, ...] = ()
    """What the first looks see, before `outlook`."""
    given: Callable[[], Any] = lambda: AUTOMATIC
    approval: Approval = Approval.AUTO
    answer: str | None = None
    breaks: tuple[str, ...] = ()
    waits: Mapping[str, int] = field(default_factory=dict)
    fails: Mapping[str, Exception] = field(default_factory=dict)
    holds: tuple[str, ...] = ()
    """States that come to no end while the run is under way."""
    owner: Callable[[Pair], Callable[[], object] | None] = nobody
    changed: Mapping[str, int | str] = field(default_factory=dict)

    def prepare(self, both: Pair) -> Callable[[], object]:
        """All of it. What is returned lets go on whoever has the lock and is not the run that this is about."""
        both.see(*self.first, self.outlook)
        both.policy = replace(both.policy, approval=self.approval)
        both.answer = self.answer
        go_on = self.owner(both)
        both.breaks = dict.fromkeys(self.breaks, BROKEN)
        both.waits = dict(self.waits)
        both.machine.holds.fails.update(self.fails)
        for place in self.holds:
            both.machine.holds.hold(place)
        return go_on or (lambda: None)

    def cure(self, both: Pair) -> None:
        """Nothing goes wrong any more; that nobody answers is not wrong."""
        both.breaks, both.waits = {}, {}
        both.machine.holds.expect_nobody_more()
        promoted_first(both)
        for state in self.fails.keys() - {"Ask a person"}:
            del both.machine.holds.fails[state]


SLOW = dict.fromkeys(("promote", "scale serve", "verify writes", "verify traffic", "harden"), 1)
FOREVER = 10_000
AT_ONCE = {"RunSeconds": 0}
# The first that enters a state is the one that is interrupted there.
SCENARIOS = (
    Scenario("a lost Region", True, first=(REBOOTING,), waits=SLOW, changed={"GoAfter": "verify"}),
    Scenario(
        "planned", True, WELL, given=lambda: MANUAL, waits={"scale ready": 1, "quiesce stop": 1, "quiesce replayed": 1}
    ),
    Scenario("an alarm", True, given=alarm),
    Scenario("approved", True, APPLICATION_LOST, answer="approve"),
    Scenario("declined", False, approval=Approval.APPROVE, answer="decline"),
    Scenario(
        "unanswered", False, APPLICATION_LOST, fails={"Ask a person": TimeoutError()}, changed={"ApprovalSeconds": 0}
    ),
    Scenario(
        "planned, not confirmed",
        False,
        WELL,
        given=lambda: MANUAL,
        waits={"quiesce replayed": FOREVER},
        changed={"QuiesceSeconds": 0},
    ),
    Scenario("a false alarm", False, WELL),
    Scenario("not to be decided", False, WELL, first=(REBOOTING,), owner=hesitant, changed={"DecideSeconds": 1}),
    Scenario("without facts", True, breaks=("assess",)),
    Scenario(
        "best effort",
        True,
        breaks=("scale warm", "fence cut", "fence open", "record news", "record tell", "harden", "fence empty"),
    ),
    Scenario("not switched", True, breaks=("switch engage",)),
    Scenario("not undone", False, WELL, breaks=("scale restore", "switch clear", "fence lift", "quiesce resume")),
    Scenario("a long promotion", True, waits={"promote": FOREVER}, holds=("Bring capacity up",), changed=AT_ONCE),
    Scenario("a long scale-up", True, waits={"scale serve": FOREVER}, holds=("Promote replica",), changed=AT_ONCE),
    Scenario(
        "no writes",
        True,
        waits={"verify writes": FOREVER},
        holds=("Confirm traffic",),
        owner=promoted_first,
        changed=AT_ONCE,
    ),
    Scenario(
        "no traffic",
        True,
        waits={"verify traffic": FOREVER},
        holds=("Verify writes",),
        owner=promoted_first,
        changed=AT_ONCE,
    ),
    Scenario("an old event", False, WELL, given=lambda: alarm(time="2026-01-01T00:00:00Z")),
    Scenario("a bad request", False, WELL, given=dict),
    Scenario("a dead owner", True, owner=dead_owner),
    Scenario("a living owner", True, owner=living_owner),
    Scenario("a drill", True, owner=drill),
    Scenario("no lock", True, fails={"Take lock": ClientError(SILENT, "UpdateItem")}),
)


def states_of(block: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each state, those of branches too."""
    for name, state in block["States"].items():
        yield name, state
        for branch in state.get("Branches", []):
            yield from states_of(branch)


STATES = dict(states_of(load(DEFINITION, substitutions())))
HANDLED = [name for name, state in STATES.items() if ":::lambda:" in state.get("Resource", "")]


@dataclass
class Ways:
    """For each state, and each place in a handler, the scenarios that come to it."""

    states: dict[str, list[Scenario]]
    places: dict[str, list[Scenario]]


@pytest.fixture(scope="module")
def ways() -> Ways:
    """Each scenario without an interruption: it ends as it says."""
    found = Ways({}, {})
    for scenario in SCENARIOS:
        with pair(**scenario.changed) as both:
            go_on = scenario.prepare(both)
            ended = both.run(scenario.given())
            go_on()
            assert ended.status == "FAILED" or (both.ledger.head().active == REGION) is scenario.active, scenario.name
            for state in dict.fromkeys(ended.states):
                found.states.setdefault(state, []).append(scenario)
            for place in dict.fromkeys(both.machine.holds.passed):
                found.places.setdefault(place, []).append(scenario)
    return found


def interrupted(both: Pair, scenario: Scenario, place: str) -> Hold:
    """A run of that scenario, stopped at that place; what was at work beside it has come to its end."""
    go_on = scenario.prepare(both)
    held = both.machine.holds.hold(place)
    execution = both.machine.start(scenario.given(), name="first")
    held.wait()
    both.machine.stop(execution)
    state, _, inside = place.partition(": ")
    if "Resource" not in STATES[state]:
        held.see_off()
    until(lambda: len(both.looks) - len(both.gone) == bool(inside), "the end of what goes on beside it")
    go_on()
    return held


def becomes_active(scenario: Scenario, head: Head, outlook: Outlook) -> bool:
    """Whether the next run makes this Region active, of what the one that was stopped has left behind."""
    if head.door_opened or head.active == REGION:
        return True
    begun = head.state is State.PROMOTING or head.quiesce is not None
    undone = outlook is WELL or (begun and outlook.stream is WELL.stream)
    return scenario.active and not undone


def assert_settled(both: Pair, *, active: bool, free: bool = True, calls: int = 1) -> None:
    """Nothing is on its way, nothing is left behind, and everything fits the ledger.

    `free` is the lock, and `calls` how often RDS may have been asked to promote.
    """
    head = both.ledger.head()
    assert (head.state, head.promotion, head.quiesce) == (State.STEADY, None, None)
    assert (head.capacity_before, head.granting_stopped_at, head.go_withheld) == (None, None, False)
    assert (head.owner is None) or not free
    assert head.active == (REGION if active else PRIMARY)
    assert both.switches == switches(head, REGION, PRIMARY)
    assert len(both.replica.promotions) in (range(1, calls + 1) if active else [0])
    assert both.database.writable is active
    assert both.groups.sizes == (RAISED if active else STEADY)
    assert both.peer_groups.sizes == (EMPTY if active else SERVING)
    assert cut_off(both) is active
    assert not (active and both.own_acl.cut)


def cut_off(both: Pair) -> bool | None:
    """Whether the primary's application can write nothing; None where it is neither cut off nor let in."""
    if both.acl.cut:
        return True
    return False if both.peer_database.writable else None


def next_run(both: Pair, scenario: Scenario, *, active: bool) -> None:
    """The run that comes after, as `probe` starts it; where it starts none, there is nothing to be done."""
    scenario.cure(both)
    if not both.probe_starts_a_run():
        both.guard()
        assert_settled(both, active=active, free=False)
    second = both.run(AUTOMATIC)
    assert second.status == "SUCCEEDED", second.cause
    if scenario.breaks:
        both.guard()
    assert_settled(both, active=active)


def assert_late_is_harmless(both: Pair, held: Hold, *, active: bool) -> None:
    """What was held goes on now: the ledger stays as it is, and what is outside of it at most for a minute."""
    before = both.ledger.head()
    held.see_off()
    assert both.ledger.head() == before
    if cut_off(both) is not active:
        both.guard()
    assert_settled(both, active=active)


@pytest.mark.parametrize("state", STATES)
def test_a_run_that_is_stopped_at_a_state_is_brought_to_its_end_by_the_next(state: str, ways: Ways) -> None:
    assert state in ways.states, "no scenario enters it"
    scenario = ways.states[state][0]
    with pair(**scenario.changed) as both:
        held = interrupted(both, scenario, state)
        active = becomes_active(scenario, both.ledger.head(), both.outlooks[-1])
        next_run(both, scenario, active=active)
        assert_late_is_harmless(both, held, active=active)


# A handler in the middle of its work: held before each write to the head, and before each call that acts outside of it.


def places(ways: Ways, state: str) -> Iterator[tuple[str, Scenario]]:
    """The places in the handler of that state, each with a scenario that comes to it."""
    found = [place for place in ways.places if place.startswith(f"{state}: ")]
    return ((place, ways.places[place][0]) for place in found)


@pytest.mark.parametrize("state", HANDLED)
def test_a_handler_that_goes_on_beside_the_next_run_harms_nothing(state: str, ways: Ways) -> None:
    """The primary is lost by now. What was held goes on when the next run is about to promote."""
    for place, scenario in places(ways, state):
        with pair(**scenario.changed) as both:
            held = interrupted(both, scenario, place)
            both.see(LOST)
            both.answer = "approve"
            scenario.cure(both)
            about_to_promote = both.machine.holds.hold("Promote replica")
            second = both.machine.start(AUTOMATIC)
            about_to_promote.wait_unless(partial(both.machine.has_ended, second))
            held.see_off()
            about_to_promote.let_go()
            ended = both.machine.outcome(second)
            assert ended.status == "SUCCEEDED", ended.cause
            if not both.acl.cut:
                both.guard()
            # RDS is asked again where it was never noted that it has accepted the first call.
            assert_settled(both, active=True, calls=2 if state == "Promote replica" else 1)


@pytest.mark.parametrize("state", HANDLED)
def test_a_handler_that_goes_on_after_the_next_run_has_undone_its_work_harms_nothing(state: str, ways: Ways) -> None:
    """The primary is well by now."""
    for place, scenario in places(ways, state):
        with pair(**scenario.changed) as both:
            if state == "Bring capacity up":  # with the door still shut
                both.machine.holds.hold("Promote replica")
            held = interrupted(both, scenario, place)
            if both.ledger.head().door_opened or both.ledger.head().active == REGION:
                continue  # only forward: that is the test before this one
            both.see(WELL)
            next_run(both, scenario, active=False)
            assert_late_is_harmless(both, held, active=False)


def test_what_acts_can_be_held(ways: Ways) -> None:
    """Else the two tests before this one would prove nothing."""
    acts = {"Promote replica: promote", "Cut the old side off: cut", "Lift the fence: lift", "Stop writes: stop"}
    acts |= {
        "Let this side's application in: own lift",
        "Let writes in: allow",
        "Empty the old side: resize",
        "Warm up: resize",
        "Restore capacity: resize",
    }
    writes = {
        "Switch to this Region: write 2",
        "Promote replica: write 3",
        "Let traffic come: write 1",
        "Record: write 1",
    }
    assert acts | writes <= ways.places.keys()
