"""One look of a step: for the run that holds the lock only, and with its story in the timeline."""

import pytest
from relight.errors import ReplicaNotFound, RunSuperseded
from relight.ledger import Ledger
from relight.run import Run
from relight.step import Outcome, perform

from tests.unit.standby import Clock, head_item, take_lock


def test_a_step_that_waits_and_then_is_done_has_one_story(ledger: Ledger, run: Run, clock: Clock) -> None:
    began = clock()
    said = perform("promote", run, ledger, clock, lambda: Outcome.wait("under way", 9.7, percent=50))
    assert said == {"status": "WAIT", "sentence": "under way", "look_again_seconds": 9, "facts": {"percent": 50}}
    (story,) = ledger.timeline(run.id)[1]
    assert (story.started, story.ended, story.sentence, story.facts) == (began, None, "under way", {"percent": 50})

    clock.advance(20)
    said = perform("promote", run, ledger, clock, lambda: Outcome.done("it is there"))
    assert said == {"status": "DONE", "sentence": "it is there", "look_again_seconds": 0, "facts": {}}
    (story,) = ledger.timeline(run.id)[1]
    assert (story.name, story.started, story.ended, story.sentence) == ("promote", began, clock(), "it is there")


def test_a_step_that_fails_says_why_in_the_timeline_and_fails(ledger: Ledger, run: Run, clock: Clock) -> None:
    def fail() -> Outcome:
        raise ReplicaNotFound("no database instance is called x")

    with pytest.raises(ReplicaNotFound):
        perform("promote", run, ledger, clock, fail)
    (story,) = ledger.timeline(run.id)[1]
    assert (story.ended, story.sentence) == (None, "ReplicaNotFound: no database instance is called x")


def test_a_run_that_lost_its_lock_does_nothing_and_leaves_no_trace(ledger: Ledger, run: Run, clock: Clock) -> None:
    take_lock(ledger, "run-2", clock())
    before, done = head_item(ledger), []

    def act() -> Outcome:
        done.append("acted")
        return Outcome.done("acted")

    with pytest.raises(RunSuperseded):
        perform("promote", run, ledger, clock, act)
    assert not done
    assert head_item(ledger) == before
    assert ledger.timeline(run.id) == ({}, [])
