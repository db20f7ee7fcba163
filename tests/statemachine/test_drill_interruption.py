"""A drill that is stopped at any of its states, by hand or by a failover that needs the lock: nothing is left of it.

One story is stopped at each of its states in turn. The handler of each state, where it has one, goes on late.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.statemachine.drilling import GAMEDAY, PROMOTE, RESTORE, Drills, drilling, practice, unheard
from tests.statemachine.harness import until
from tests.statemachine.homecoming import AWAY, FAILOVER, VirtualTime, held_at
from tests.statemachine.standby import AUTOMATIC, DEFINITION, DRILL, StepBrokenError, client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.statemachine.hold import Hold

pytestmark = pytest.mark.drill

BROKEN = StepBrokenError("the API said no")
HELD = held_at(AWAY, DRILL)


def nothing(_both: Drills) -> None:
    """As it is."""


def dead_owner(both: Drills) -> None:
    """A drill that was stopped holds the lock."""
    held = both.away.drill.holds.hold("Open the run", HELD)
    both.start(RESTORE)
    both.away.drill.stop(held.wait())
    held.see_off()


def living_owner(both: Drills) -> None:
    """A failover holds the lock."""
    both.at_work = both.away.machine.holds.hold("Open the run", held_at(AWAY, FAILOVER))
    both.away.machine.start(AUTOMATIC)
    both.at_work.wait()


def no_ledger(both: Drills) -> None:
    """It does not answer."""
    both.away.drill.holds.fails["Take lock"] = unheard("UpdateItem")


def slow_site(both: Drills) -> None:
    """It takes a write when it is asked once more."""
    answers = [201, 503]

    def turn() -> None:
        both.away.shop.write_status = answers[-1]
        answers.reverse()

    both.away.during = {"drill writes": turn}


@dataclass(frozen=True, eq=False)
class Story:
    """A way through the machine: what goes before, what is answered, and what goes wrong."""

    name: str
    given: Mapping[str, Any] = field(default_factory=lambda: RESTORE)
    answer: str | None = "approve"
    breaks: tuple[str, ...] = ()
    before: Callable[[Drills], None] = nothing
    options: Mapping[str, Any] = field(default_factory=dict)

    def prepare(self, both: Drills) -> None:
        """Before each start."""
        both.away.answer = self.answer
        both.away.breaks = dict.fromkeys(self.breaks, BROKEN)
        both.away.during = {}
        both.away.shop.write_status = 201
        self.before(both)


STORIES = (
    Story("promote", PROMOTE),
    Story("restore", before=slow_site),
    Story("kept", {**RESTORE, "keep_minutes": 1}),
    Story("declined", PROMOTE, answer="decline"),
    Story("unanswered", PROMOTE, answer=None, options={"AskAgainSeconds": 1, "ApprovalSeconds": 0}),
    Story("failed", breaks=("drill site",)),
    Story("not recorded", breaks=("record",)),
    Story("a dead owner", before=dead_owner),
    Story("a living owner", before=living_owner),
    Story("no ledger", before=no_ledger),
    Story("a bad request", {}),
    Story("a game day", GAMEDAY, options={"children": False}),
    Story("not home", GAMEDAY, breaks=("drill home",), options={"children": False}),
)
each_story = pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
STATES = practice()["States"]
# Where a lock is waited for behind a game day: test_drill.py.
ELSEWHERE = {"Wait for the lock"}


@cache
def way_of(story: Story) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The states that a drill of that story enters, and where its handlers change something, as it comes to them."""
    with drilling(**story.options) as both:
        story.prepare(both)
        ended = both.go(story.given)
        passed = both.away.drill.holds.passed
        acts = (place for place in dict.fromkeys(passed) if place.partition(": ")[0] in STATES)
        return tuple(dict.fromkeys(ended.states)), tuple(acts)


def states_of(story: Story) -> list[str]:
    """Those of them that no story before this one enters."""
    before = {state for each in STORIES[: STORIES.index(story)] for state in way_of(each)[0]}
    return [state for state in way_of(story)[0] if state not in before]


def holds_the_lock(both: Drills, execution: str) -> bool:
    """Whether that execution does."""
    return both.away.ledger.head().owner == execution


class Stopping:
    """One world in which drills of a story are stopped again and again."""

    def __init__(self, both: Drills, story: Story) -> None:
        self.both, self.story = both, story

    def hold_at(self, place: str) -> Hold:
        """A drill that has come to that state, or into the middle of its handler."""
        self.story.prepare(self.both)
        held = self.both.away.drill.holds.hold(place, HELD)
        execution = self.both.start(self.story.given)
        held.wait_unless(lambda: self.both.away.drill.has_ended(execution))
        assert held.execution == execution, f"no drill comes to {place!r}"
        return held

    def stop_at(self, place: str, *, late: bool) -> None:
        """Kill it there; `late` goes on what is at work only once the sweeper has been there."""
        held = self.hold_at(place)
        self.both.away.drill.stop(held.execution)
        if not late:
            held.see_off()
        self._sweeps_up(held.execution)
        self.both.goes_on(held)
        self._sweeps_up(held.execution)
        self.let_go()

    def _sweeps_up(self, execution: str) -> None:
        head = self.both.away.ledger.head()
        self.both.sweep_up()
        self.both.assert_nothing_left()
        assert not holds_the_lock(self.both, execution)
        after = self.both.away.ledger.head()
        assert (after.epoch, after.state, after.active) == (head.epoch, head.state, head.active)
        assert all(not one.left for one in self.both.practised)

    def let_go(self) -> None:
        """Who held the lock ends, and the ledger answers."""
        self.both.away.drill.holds.fails.clear()
        if self.story.before is living_owner:
            self.both.at_work.let_go()
            self.both.settle()
            self.both.renew()


# By hand.


@each_story
def test_of_a_drill_that_is_stopped_at_any_of_its_states_nothing_is_left(story: Story) -> None:
    """And the next one begins and ends as if there had been none."""
    states = states_of(story)
    with drilling(**story.options) as both:
        stopping = Stopping(both, story)
        for state in states:
            stopping.stop_at(state, late=True)
        STORIES[0].prepare(both)
        ended = both.go(RESTORE)
        assert (ended.status, ended.output["finding"]) == ("SUCCEEDED", "rehearsed"), ended
        both.assert_as_before()
        assert all(one.ended_at is not None for one in both.practised)


@pytest.mark.parametrize("late", [True, False], ids=["after the sweep", "before it"])
@pytest.mark.parametrize("story", STORIES[:2], ids=lambda story: story.name)
def test_of_what_handlers_do_when_they_go_on_from_the_middle_of_their_work_nothing_is_left(
    story: Story, late: bool
) -> None:
    """They are held before each call that changes something, and before each write to the head."""
    places = way_of(story)[1]
    made = {"promote": "CreateDBInstanceReadReplica", "restore": "RestoreDBInstanceFromDBSnapshot"}[story.name]
    assert {f"Make the throwaway database: {made}", "Build the site: CreateStack"} <= {*places}
    assert {"Take everything away: DeleteDBInstance", "Take everything away: DeleteStack"} <= {*places}
    with drilling() as both:
        stopping = Stopping(both, story)
        for place in places:
            stopping.stop_at(place, late=late)


def test_each_state_is_one_at_which_a_drill_is_stopped() -> None:
    assert {state for story in STORIES for state in way_of(story)[0]} == STATES.keys() - ELSEWHERE


def test_a_drill_that_was_stopped_keeps_the_next_one_waiting_until_the_sweeper_has_come() -> None:
    with drilling() as both:
        held = both.away.drill.holds.hold("Try a write", HELD)
        both.start(RESTORE)
        both.away.drill.stop(held.wait())
        held.see_off()

        refused = both.go(RESTORE)

        assert (refused.output["status"], refused.output["finding"]) == ("STOOD_DOWN", "DrillRefused")
        assert "an earlier drill has left something over: stack relight-shop-drill-1" in refused.output["sentence"]
        assert len(both.there) == 4, "what was refused has touched nothing"
        both.sweep_up()
        assert both.go(RESTORE).output["finding"] == "rehearsed"
        both.assert_as_before()


# The sweeper, beside a drill that is at work.


def test_the_sweeper_leaves_a_drill_that_is_at_work_alone() -> None:
    with drilling() as both:
        places = ["Make the throwaway database", "Build the site", "Try a write", "Is everything gone", "Record"]
        holds = [both.away.drill.holds.hold(place, HELD) for place in places]
        execution = both.start(RESTORE)
        for held, following in pairwise([*holds, None]):
            assert held is not None
            held.wait()
            before = both.there
            said = both.away.drilling.sweep()
            assert (both.there, said["swept"], said["left"], len(said["at_work"])) == (before, [], [], len(before))
            assert holds_the_lock(both, execution)
            held.let_go()
            if following is not None:
                following.wait()

        assert both.away.drill.outcome(execution).output["finding"] == "rehearsed"
        both.assert_as_before()


def test_a_drill_that_ends_beside_the_sweeper_has_noted_how_it_ended() -> None:
    with drilling() as both:
        held = both.away.drill.holds.hold("Record", HELD)
        execution = both.start(RESTORE)
        held.wait()
        told: Any = both.away.drilling.machines
        asked = 0

        def describe(**given: Any) -> Any:
            nonlocal asked
            asked += 1
            if asked == 2:  # first for the lock, then for what is remembered of it
                held.let_go()
                until(lambda: both.away.drill.has_ended(execution), "its end")
            return told.describe_execution(**given)

        both.away.watch(SimpleNamespace(describe_execution=describe, exceptions=told.exceptions))
        both.sweep()

        assert asked == 2
        assert [one.status for one in both.practised] == ["SUCCEEDED"]


# By a failover.

SERVED = {"promote", "restore", "kept", "declined", "failed", "not recorded", "a dead owner"}


def preempts(both: Drills, held: Hold, then: Callable[[Drills], None] = nothing) -> None:
    """A failover that comes now takes the lock, and comes to its end; nothing of the drill is left then.

    What is late goes on after `then`.
    """
    drill, had = held.execution, holds_the_lock(both, held.execution)
    both.away.breaks = {}

    ended = both.away.run(AUTOMATIC)

    assert (ended.status, ended.output["status"]) == ("SUCCEEDED", "SUCCEEDED"), held.place
    found = client("stepfunctions").describe_execution(executionArn=drill)
    assert (found["status"], found.get("error")) == (("ABORTED", "Preempted") if had else ("RUNNING", None))
    active = both.away.ledger.head()
    then(both)
    both.goes_on(held)
    assert both.away.drill.has_ended(drill)
    both.sweep_up()
    both.assert_nothing_left()
    after = both.away.ledger.head()
    assert (after.active, after.active_epoch, after.state, after.owner) == (AWAY, active.epoch, active.state, None)
    both.renew()


@pytest.mark.parametrize("story", [story for story in STORIES if story.name in SERVED], ids=lambda story: story.name)
def test_a_failover_stops_a_drill_at_any_of_its_states_and_succeeds(story: Story) -> None:
    states = states_of(story)
    with drilling(**story.options) as both:
        stopping = Stopping(both, story)
        for state in states:
            preempts(both, stopping.hold_at(state))


@pytest.mark.parametrize("state", ["Open the run", "Build the site", "Take everything away", "Record"])
def test_a_failover_begins_at_once_where_a_drill_was_killed(state: str) -> None:
    with drilling() as both:
        stopping = Stopping(both, STORIES[1])
        held = stopping.hold_at(state)
        both.away.drill.stop(held.execution)

        ended = both.away.run(AUTOMATIC)

        assert ended.output["status"] == "SUCCEEDED"
        assert "Stop what makes room" not in ended.states
        head = both.away.ledger.head()
        held.see_off()
        both.sweep_up()
        both.assert_nothing_left()
        assert both.away.ledger.head() == head


def active_already(both: Drills) -> None:
    """As the rules say it."""
    both.away.verdicts[0] = {"action": "stand_down", "finding": "already_active", "sentence": "it is active already"}


@pytest.mark.parametrize("state", ["Ask a person", "Fail over"])
def test_a_failover_stops_a_game_day_that_has_not_failed_over(state: str) -> None:
    """What the game day has started late finds that there is nothing to do."""
    game_day = next(story for story in STORIES if story.name == "a game day")
    with drilling() as both:
        preempts(both, Stopping(both, game_day).hold_at(state), then=active_already)


def test_a_failover_that_comes_while_a_game_day_fails_over_ends_quietly() -> None:
    """What it would do is being done."""
    with drilling() as both:
        both.away.answer = both.home.answer = "approve"
        held = both.away.machine.holds.hold("Promote replica", held_at(AWAY, FAILOVER))
        drill = both.start(GAMEDAY)
        child = held.wait()

        ended = both.away.run(AUTOMATIC)

        assert ended.output["status"] == "ALREADY_IN_PROGRESS"
        assert child in ended.output["sentence"]
        held.let_go()
        assert both.away.drill.outcome(drill).output["finding"] == "rehearsed"
        both.assert_home()


@pytest.mark.parametrize("state", ["Follow the failover", "Go home again"])
def test_a_game_day_that_is_killed_leaves_its_runs_alone(state: str) -> None:
    """The failover comes to its end; home again goes who is asked to by hand."""
    with drilling() as both:
        both.away.answer = both.home.answer = "approve"
        held = both.away.drill.holds.hold(state, HELD)
        both.start(GAMEDAY)
        both.away.drill.stop(held.wait())
        until(lambda: both.running() == 0, "the end of the failover")
        both.sweep()
        held.see_off()
        both.settle()
        if both.home.failback.executions():  # what came late has started it
            both.assert_home()
            return

        assert both.away.ledger.head().active == AWAY
        assert both.home.go({"reason": "home again"}).output["finding"] == "home"
        both.assert_home()


# Long drills, by a clock that goes on when everything waits, and by arithmetic.

HOUR = 3600.0
EVENTS = 25_000
"""An execution with one more is ended by Step Functions, and no Catch sees that."""


def test_a_copy_of_eleven_hours_fits_into_the_history_of_an_execution() -> None:
    clock = VirtualTime()
    with drilling(clock, DrillSeconds=43200) as both:
        began = clock()
        rds = both.away.cloud.rds
        rds.stuck = True

        def come() -> None:
            rds.stuck = clock() < began + 11 * HOUR

        both.away.during = {"drill database": come}
        execution = both.start(RESTORE)

        assert both.away.drill.outcome(execution).output["finding"] == "rehearsed"

        both.assert_as_before()
        assert 11 * HOUR <= clock() - began < 11.5 * HOUR
        assert both.away.drill.events(execution) < EVENTS / 8


def laps(seconds: float, asked: float, part: int) -> int:
    """How often a loop looks whose handler takes no time, and which waits for a part of the time gone by at least."""
    count, gone = 0, 0.0
    while gone <= seconds:
        count, gone = count + 1, gone + max(1, asked, math.floor(gone / part))
    return count


@cache
def parameters() -> Mapping[str, Any]:
    """Of the template: its part that has no function of CloudFormation in it."""
    text = (DEFINITION.parents[1] / "template.yaml").read_text()
    found: dict[str, Mapping[str, Any]] = yaml.safe_load(text[text.index("\nParameters:") : text.index("\nRules:")])
    return found["Parameters"]


def seconds(bound: str, *names: str) -> Iterator[int]:
    """What the template gives by default, or lets a person choose at most or at least."""
    return (int(parameters()[f"{name}Seconds"][bound]) for name in names)


def events_of(*names: str) -> int:
    """What entering, doing twice (the first attempt fails) and leaving these states writes into the history."""
    return sum(8 if STATES[name]["Type"] == "Task" else 2 for name in names)


LOOPS = {
    "Make the throwaway database": ("Is the throwaway database there", "Wait for the throwaway database", 30),
    "Promote the throwaway": ("Is the throwaway promoted", "Wait for the throwaway promotion", 100),
    "Build the site": ("Is the site up", "Wait for the site", 30),
    "Try a write": ("Does the write work", "Wait for the write", 30),
    "Take everything away": ("Is everything gone", "Wait until it is gone", 30),
    "Follow the failover": ("Has it failed over", "Wait for the failover", 30),
    "Go home again": ("Is it home again", "Wait for the way home", 30),
}


def looking(lasts: Mapping[str, float]) -> int:
    """The events of these loops, by their tasks, with how long each of them lasts."""
    loops = {task: LOOPS[task] for task in lasts}
    return sum(laps(lasts[task], 1, part) * events_of(task, look, wait) for task, (look, wait, part) in loops.items())


def test_each_loop_is_reckoned_with() -> None:
    waits = {name for name, state in STATES.items() if state["Type"] == "Wait"}
    assert waits == {wait for _, wait, _ in LOOPS.values()} | {
        "Keep it for people",
        "Serve from here for a while",
        "Wait for the lock",
    }
    for task, (look, wait, part) in LOOPS.items():
        assert (STATES[task]["Next"], STATES[look]["Default"] == wait or "failover" in wait) == (look, True)
        assert STATES[wait]["Next"] == task
        assert f"/ {part}000)" in STATES[wait]["Seconds"]


@pytest.mark.parametrize("bound", ["Default", "MaxValue"])
def test_a_drill_with_every_stage_at_its_deadline_fits_into_the_history_of_an_execution(bound: str) -> None:
    """With a look each second at first, every task tried twice, and every stage as long as all of them may take."""
    drill, teardown, run, harden, rebuild, ask, again, decide = seconds(
        bound, "Drill", "Teardown", "Run", "Harden", "Reprotect", "Approval", "AskAgain", "Decide"
    )
    copies = dict.fromkeys(list(LOOPS)[:4], drill) | {"Take everything away": teardown}
    game = {"Follow the failover": 4 * run + harden, "Go home again": 4 * run + harden + ask + 2 * rebuild}
    lock = ["Take lock", "Who holds the lock", "Is it this run", "Is its owner alive", "Is another run in progress"]
    waiting = laps(decide, 1, 10) * events_of(*lock, "Wait for the lock")
    asking = min(100, ask // again + 2) * events_of("Ask a person", "Is there time to ask again")
    assert asking + max(looking(copies), looking(game) + waiting) + events_of(*STATES) < EVENTS


def test_a_drill_ends_by_its_own_deadlines_and_not_by_the_outer_net() -> None:
    """An execution that times out neither records nor releases anything."""
    drill, teardown, run, harden, rebuild, ask, again, decide = seconds(
        "MaxValue", "Drill", "Teardown", "Run", "Harden", "Reprotect", "Approval", "AskAgain", "Decide"
    )
    failover: int = yaml.safe_load(DEFINITION.read_text())["TimeoutSeconds"]
    kept = 480 * 60
    copies = drill + kept + teardown
    game = failover + kept + 4 * run + harden + ask + 2 * rebuild
    assert 2 * decide + ask + again + max(copies, game) + HOUR < practice()["TimeoutSeconds"]
