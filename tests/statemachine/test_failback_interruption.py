"""A way home that is stopped at any of its states, and started again by a person: the same end, whatever comes late.

One story is stopped at each of its states in turn, each time one further on. The handler of each state, where it has
one, goes on late: beside the next run, or when all is over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from botocore.exceptions import ClientError
from relight.probe import left_over

from tests.statemachine.harness import until
from tests.statemachine.homecoming import (
    AWAY,
    FAILOVER,
    GO_HOME,
    HOME,
    STAND_BY,
    Homecoming,
    VirtualTime,
    definitions,
    held_at,
    homecoming,
)
from tests.statemachine.standby import AUTOMATIC, DEFINITION, StepBrokenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.statemachine.hold import Hold

pytestmark = pytest.mark.failback

BROKEN = StepBrokenError("the API said no")
SILENT: Any = {
    "Error": {"Code": "InternalServerError", "Message": "Internal server error"},
    "ResponseMetadata": {"HTTPStatusCode": 500, "RequestId": "lost"},
}
EVERY_STAGE = dict.fromkeys(
    ("retire keep", "reprotect", "compare database", "objects", "compare lost", "scale ready", "scale settle"), 1
) | {"switch release": 1}


def nothing(_both: Homecoming) -> None:
    """As it is."""


def dead_owner(both: Homecoming) -> None:
    """A failback that was stopped holds both locks."""
    held = both.home.failback.holds.hold("Build the replica")
    both.home.start(GO_HOME, "dead")
    both.home.failback.stop(held.wait())
    held.see_off()


def living_owner(both: Homecoming) -> None:
    """A drill holds the lock."""
    both.home.start_drill()


def no_ledger(both: Homecoming) -> None:
    """It does not answer."""
    both.home.failback.holds.fails["Take lock"] = ClientError(SILENT, "UpdateItem")


def half_promoted(both: Homecoming) -> None:
    """A switchover that was stopped behind the one-way door."""
    both.home.answer = "approve"
    both.home.breaks = {"verify writes": BROKEN}
    assert both.home.go(GO_HOME).status == "FAILED"
    both.home.breaks = {}


def heal_promotion(both: Homecoming) -> None:
    """The next failover, as `probe` starts it, goes on behind the door."""
    both.home.verdicts[0] = {"action": "proceed", "finding": "half_done", "sentence": "half done"}
    assert both.home.run(AUTOMATIC).output["status"] == "SUCCEEDED"


def let_go(both: Homecoming) -> None:
    """Who had the lock has ended, and the ledger answers."""
    both.home.failback.holds.fails.clear()
    if hasattr(both.home, "_rehearsal"):
        both.home.end_drill()
        both.settle()


@dataclass(frozen=True, eq=False)
class Story:
    """A way through the machine: what goes before, what is answered and goes wrong, and where it comes to at last."""

    name: str
    ends: Callable[[Homecoming], None]
    given: Mapping[str, Any] = field(default_factory=lambda: GO_HOME)
    answer: str | None = "approve"
    breaks: tuple[str, ...] = ()
    waits: Mapping[str, int] = field(default_factory=dict)
    before: Callable[[Homecoming], None] = nothing
    cure: Callable[[Homecoming], None] = nothing
    at_last: Mapping[str, Any] | None = None
    """What a person starts at the end, where it is not the same again."""

    def prepare(self, both: Homecoming) -> None:
        """Before each start."""
        both.home.answer = self.answer
        both.home.breaks = dict.fromkeys(self.breaks, BROKEN)
        both.home.waits = dict(self.waits)


STORIES = (
    Story("home", Homecoming.assert_home, waits=EVERY_STAGE),
    Story("a standby", Homecoming.assert_stands_by, given=STAND_BY),
    Story("stay", Homecoming.assert_stands_by, answer="stay"),
    Story("declined", Homecoming.assert_stands_by, answer="decline"),
    Story("asked again", Homecoming.assert_home, answer="call back"),
    Story("failed", Homecoming.assert_stands_by, breaks=("compare database",), at_last=STAND_BY),
    Story("not recorded", Homecoming.assert_stands_by, given=STAND_BY, breaks=("record",)),
    # Else its lock is given back before this one asks for it.
    Story("a dead owner", Homecoming.assert_stands_by, given=STAND_BY, breaks=("survey hear",), before=dead_owner),
    Story("a living owner", Homecoming.assert_stands_by, given=STAND_BY, before=living_owner, cure=let_go),
    Story("no ledger", Homecoming.assert_stands_by, given=STAND_BY, before=no_ledger, cure=let_go),
    Story("behind the door", Homecoming.assert_home, before=half_promoted, cure=heal_promotion),
    Story("a bad request", Homecoming.assert_stands_by, given={}, at_last=STAND_BY),
)
each_story = pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
STATES = definitions(HOME)[1]["States"]
# What it starts is a run of its own, and not late: who stops the one that waits for it does not stop it.
AT_ONCE = {"Switch over"}
# Where a lock is waited for behind the switchover: test_failback.py.
ELSEWHERE = {"Wait for the lock"}


@cache
def way_of(story: Story) -> tuple[str, ...]:
    """The states that a run of that story enters, as it comes to them first."""
    with homecoming() as both:
        story.before(both)
        story.prepare(both)
        return tuple(dict.fromkeys(both.home.go(story.given).states))


@cache
def acts_of(story: Story) -> tuple[str, ...]:
    """Where the handlers of a run of that story change something, as it comes to them first."""
    with homecoming() as both:
        held = both.home.failback.holds
        story.prepare(both)
        ended = both.home.go(story.given)
        return tuple(place for place in dict.fromkeys(held.passed) if place.partition(": ")[0] in {*ended.states})


def states_of(story: Story) -> list[str]:
    """Those of them that no story before this one enters."""
    before = {state for each in STORIES[: STORIES.index(story)] for state in way_of(each)}
    return [state for state in way_of(story) if state not in before]


class Telling:
    """One world in which a story is stopped again and again."""

    def __init__(self, both: Homecoming, story: Story, *, beside: bool) -> None:
        self.both, self.story, self.beside = both, story, beside
        self.late: list[Hold] = []
        story.before(both)

    def stop_at(self, place: str) -> bool:
        """Start a run, and stop it at that state, or in its handler's middle; False where it does not come to it."""
        state = place.partition(": ")[0]
        self.story.prepare(self.both)
        failback = self.both.home.failback
        held = failback.holds.hold(place, held_at(HOME))
        execution = self.both.home.start(self.story.given)
        held.wait_unless(lambda: failback.has_ended(execution))
        reached = held.execution == execution
        if reached:
            self._hear_late()
            failback.stop(execution)
        held.expect_nobody()
        if reached and "Resource" in STATES[state] and state not in AT_ONCE:
            self.late.append(held)
        else:
            held.see_off()
        until(
            lambda: self.both.running() <= self._held_anyway, "the end of the switchover, and of who lights the pilot"
        )
        return reached

    @property
    def _held_anyway(self) -> int:
        return int(hasattr(self.both.home, "_rehearsal") and self.story.before is living_owner)

    def _hear_late(self) -> None:
        """What was held until now goes on, beside a run that is at work."""
        if self.beside and self.late:
            # But for what that run has started: it comes to its end first, so that it is not taken for late.
            until(lambda: self.both.running() <= 1 + self._held_anyway, "the end of what it has started")
        while self.beside and self.late:
            self._is_harmless(self.late.pop())

    def _is_harmless(self, held: Hold) -> None:
        before = self.both.picture(), [side.ledger.head() for side in self.both.sides]
        held.see_off()
        assert (self.both.picture(), [side.ledger.head() for side in self.both.sides]) == before, held.place

    def end(self) -> None:
        """Nothing stops the next one any more."""
        self.story.prepare(self.both)
        self.both.home.breaks = {}
        self.story.cure(self.both)
        ended = self.both.home.go(self.story.at_last or self.story.given)
        assert ended.status == "SUCCEEDED", ended.cause
        self.both.settle()
        for held in self.late:
            self._is_harmless(held)
        self.story.ends(self.both)


def told(story: Story, places: Iterable[str], *, beside: bool) -> set[str]:
    """The places at which it was stopped. Where one is not come to any more, the story begins anew."""
    left = list(places)
    stopped: set[str] = set()
    while left:
        with homecoming() as both:
            telling = Telling(both, story, beside=beside)
            first = left[0]
            while left and telling.stop_at(left[0]):
                stopped.add(left.pop(0))
            assert first in stopped, f"no run comes to {first!r}"
            telling.end()
    return stopped


@each_story
def test_a_run_that_is_stopped_at_any_of_its_states_comes_to_the_same_end(story: Story) -> None:
    """What was at work goes on beside the next run."""
    assert told(story, states_of(story), beside=True) == set(states_of(story))


def test_handlers_that_begin_when_all_is_over_harm_nothing() -> None:
    story = STORIES[0]
    handled = [state for state in states_of(story) if ":::lambda:" in STATES[state].get("Resource", "")]
    assert told(story, handled, beside=False) == set(handled)


@pytest.mark.parametrize("beside", [True, False], ids=["beside the next run", "when all is over"])
def test_handlers_that_go_on_from_the_middle_of_their_work_harm_nothing(beside: bool) -> None:
    """They are held before each write to a head, and before each call that acts outside of the ledgers."""
    story, places = STORIES[0], acts_of(STORIES[0])
    acts = {"Ready to go home: write there", "Keep the old database: rename", "Build the replica: create"}
    assert acts | {"Warm up: write", "Is the other side as it was: write there", "Record: write"} <= set(places)
    assert told(story, places, beside=beside) == set(places)


def test_each_state_is_one_at_which_a_run_is_stopped() -> None:
    assert {state for story in STORIES for state in way_of(story)} == STATES.keys() - ELSEWHERE


# What it has started.


@pytest.mark.parametrize("state", ["Stop writes", "Promote replica: write"])
def test_a_switchover_that_is_killed_before_the_door_is_undone_by_the_next_failover_run(state: str) -> None:
    """As `probe` starts it; nobody is asked meanwhile to go home past writes that are stopped."""
    with homecoming() as both:
        both.home.answer = "approve"
        held = both.home.machine.holds.hold(state, held_at(HOME, FAILOVER))
        failback = both.home.start(GO_HOME)
        both.home.machine.stop(held.wait())
        ended = both.home.failback.outcome(failback)
        assert (ended.status, ended.error) == ("FAILED", "FailbackFailed")
        assert "is ABORTED" in str(ended.cause)
        held.see_off()
        assert left_over(both.home.ledger.head(), HOME) or state == "Stop writes"
        both.home.verdicts[0] = {"action": "stand_down", "finding": "primary_up", "sentence": "DR is well"}

        if both.home.stopped:
            assert "let nobody in again" in both.home.go(GO_HOME).output["sentence"]
        undone = both.home.run(AUTOMATIC)
        assert undone.status == "SUCCEEDED", undone.cause

        assert both.writable() == [AWAY]
        both.home.verdicts[0] = {"action": "proceed", "finding": "by_hand", "sentence": "by hand"}
        assert both.home.go(GO_HOME).output["finding"] == "home"
        both.assert_home()


def test_a_switchover_that_is_killed_behind_the_door_is_finished_by_the_next_failover_run() -> None:
    with homecoming() as both:
        both.home.answer = "approve"
        held = both.home.machine.holds.hold("Promote replica: promote", held_at(HOME, FAILOVER))
        failback = both.home.start(GO_HOME)
        both.home.machine.stop(held.wait())
        ended = both.home.failback.outcome(failback)
        assert "behind the one-way door" in str(ended.cause)
        held.see_off()

        heal_promotion(both)

        assert both.writable() == [HOME]
        assert both.home.go(GO_HOME).output["finding"] == "home"
        both.assert_home()


@pytest.mark.parametrize("state", ["Build the replica", "Record"])
def test_who_lights_the_pilot_may_be_killed_too(state: str) -> None:
    with homecoming() as both:
        both.home.answer = "approve"
        held = both.away.machine.holds.hold(state, held_at(AWAY))
        failback = both.home.start(GO_HOME)
        both.away.failback.stop(held.wait())
        ended = both.home.failback.outcome(failback)
        assert "PilotNotLit: light-eu-west-1-" in str(ended.cause)
        assert both.writable() == [HOME]

        assert both.home.go(GO_HOME).output["status"] in {"SUCCEEDED", "STOOD_DOWN"}

        held.see_off()
        both.assert_home()


def test_who_starts_again_while_the_pilot_is_being_lit_follows_that() -> None:
    with homecoming() as both:
        both.home.answer = "approve"
        held = both.away.machine.holds.hold("Build the replica", held_at(AWAY))
        failback = both.home.start(GO_HOME)
        lights = held.wait()
        both.home.failback.stop(failback)
        second = both.home.start(GO_HOME)
        until(lambda: both.home.looks.count("survey light") > both.home.looks.count("survey look"), "the following")

        held.let_go()

        both.home.failback.outcome(second)
        both.settle()
        assert both.away.failback.has_ended(lights)
        assert both.home.go(GO_HOME).output["status"] in {"SUCCEEDED", "STOOD_DOWN"}
        both.assert_home()


# Long builds, by a clock that goes on when everything waits.

HOUR = 3600.0
AT_LENGTH: dict[str, Any] = {"ReprotectSeconds": 86400, "CompareSeconds": 10800}
EVENTS = 25_000
"""An execution with one more is ended by Step Functions, and no Catch sees that."""


def test_a_replica_of_six_hours_survives_an_interruption() -> None:
    clock = VirtualTime()
    with homecoming(clock, look_again=60, **AT_LENGTH) as both:
        began = clock()
        both.home.build_seconds = 6 * HOUR
        first = both.home.start(STAND_BY)
        until(lambda: clock() > began + 3 * HOUR, "the middle")
        both.home.failback.stop(first)
        assert both.home.failback.events(first) < EVENTS / 8
        at_half = clock()

        second = both.home.start(STAND_BY)
        assert both.home.failback.outcome(second).output["finding"] == "protected"

        both.assert_stands_by()
        assert 6 * HOUR <= clock() - began < 6.2 * HOUR
        assert clock() - at_half < 3.2 * HOUR


def test_a_replica_of_a_day_fits_into_the_history_of_an_execution() -> None:
    clock = VirtualTime()
    with homecoming(clock, look_again=60, **AT_LENGTH) as both:
        began = clock()
        both.home.build_seconds = 24 * HOUR - 900
        execution = both.home.start(STAND_BY)
        assert both.home.failback.outcome(execution).output["finding"] == "protected"
        both.assert_stands_by()
        assert clock() - began < 24.5 * HOUR
        assert both.home.failback.events(execution) < EVENTS / 3


# By arithmetic: what no test can wait for.


def laps(seconds: float, asked: float, part: int, longest: float = math.inf) -> int:
    """How often a loop looks whose handler takes no time, and which waits for a part of the time gone by at least."""
    count, gone = 0, 0.0
    while gone <= seconds:
        count, gone = count + 1, gone + max(1, min(longest, max(asked, gone // part)))
    return count


@cache
def parameters() -> Mapping[str, Any]:
    """Of the template: its part that has no function of CloudFormation in it."""
    text = (DEFINITION.parents[1] / "template.yaml").read_text()
    found: dict[str, Mapping[str, Any]] = yaml.safe_load(text[text.index("\nParameters:") : text.index("\nRules:")])
    return found["Parameters"]


def parameter(name: str, bound: str) -> int:
    """A number that the template gives by default, or lets a person choose at most or at least."""
    return int(parameters()[name][bound])


def events_of(*names: str) -> int:
    """What entering, doing and leaving these states writes into the history."""
    return sum(5 if STATES[name]["Type"] == "Task" else 2 for name in names)


@pytest.mark.parametrize(
    ("bound", "looking"), [("Default", "MinValue"), ("Default", "Default"), ("MaxValue", "Default")]
)
def test_a_way_home_with_every_stage_at_its_deadline_fits_into_the_history_of_an_execution(
    bound: str, looking: str
) -> None:
    build, compare, run, decide, ask, again, harden = (
        parameter(f"{name}Seconds", bound)
        for name in ("Reprotect", "Compare", "Run", "Decide", "Approval", "AskAgain", "Harden")
    )
    soon, later = parameter("LookAgainSeconds", looking), parameter("RebuildAgainSeconds", looking)
    around = ["Is there time left", "Wait", "Whose lock is to be kept", "Go on"]
    lap = events_of("Build the replica", "Does it follow", "Is the other side as it was", *around)
    stages = [(compare, later)] * 4 + [(build, later)] + [(run, soon)] * 3 + [(build + 4 * compare, later)]
    in_stages = sum(laps(seconds, asked, 10, 900) * lap for seconds, asked in stages)
    questions = min(100, ask // again + 2)
    states = ("Is there time to ask again", "Is the other side as it was before asking", "Ask a person")
    asking = questions * events_of(*states, "Ask a person")  # put twice, where its message fails
    follow = events_of("Follow the switchover", "Has it switched over", "Wait for the switchover")
    following = laps(3 * run + harden, 1, 30) * follow
    lock = events_of("Take lock", "Who holds the lock", "Is it this run", "Is its owner alive")
    waiting = laps(decide, 1, 10) * (lock + events_of("Is another run in progress", "Wait for the lock"))
    between = 2 * events_of(*STATES)
    assert in_stages + asking + following + waiting + between < EVENTS


def test_a_way_home_ends_by_its_own_deadlines_and_not_by_the_outer_net() -> None:
    """An execution that times out neither records nor releases anything."""
    build, compare, run, decide, ask, again, harden = (
        parameter(f"{name}Seconds", "MaxValue")
        for name in ("Reprotect", "Compare", "Run", "Decide", "Approval", "AskAgain", "Harden")
    )
    longest = 2 * build + 8 * compare + 6 * run + 2 * decide + ask + again + harden
    assert longest + HOUR < definitions(HOME)[1]["TimeoutSeconds"]


def test_the_clock_and_the_arithmetic_come_to_the_same() -> None:
    """As many events as reckoned, of a replica that is looked at for an hour."""
    clock = VirtualTime()
    with homecoming(clock, look_again=60, **AT_LENGTH) as both:
        both.home.build_seconds = HOUR
        execution = both.home.start(STAND_BY)
        both.home.failback.outcome(execution)
        looked = laps(HOUR - 1, 60, 10, 900) + 1
        assert both.home.looks.count("reprotect") == looked
        around = ["Is there time left", "Wait", "Whose lock is to be kept", "Go on", "Is the other side as it was"]
        entered = both.home.failback.states(execution)
        assert {entered.count(state) for state in around} == {looked - 1}
        ends = 2  # of the execution: started, succeeded
        assert both.home.failback.events(execution) == ends + sum(map(events_of, entered))
