"""What follows from the facts by arithmetic, and how a rule that matches becomes a verdict."""

from dataclasses import replace
from typing import Any

import pytest
from relight.decision import Action, Case, Finding, Rule, Verdict, verdict_of
from relight.facts import BUSY, PROMOTABLE, Facts, Replica, Trigger
from relight.head import Head, Quiesce
from relight.run import Mode
from relight.signal import Seen, Signal, View

from tests.unit.situation import (
    ABANDONED,
    DOOR_OPEN,
    LOST,
    POLICY,
    READY,
    STEADY,
    STILL_STOPPED,
    began,
    facts,
    seen,
    signal,
    signals,
)
from tests.unit.standby import NOW


def case(of: Facts = LOST, **policy: Any) -> Case:
    return Case(of, replace(POLICY, **policy))


@pytest.mark.parametrize("what", [Seen.UP, Seen.DOWN])
def test_a_view_counts_until_it_has_been_silent_for_longer_than_is_fresh(what: Seen) -> None:
    assert case(seen(View.OUTSIDE, what, silent=90, age=200)).seen(View.OUTSIDE) is what
    assert case(seen(View.OUTSIDE, what, silent=90.5, age=200)).seen(View.OUTSIDE) is Seen.UNKNOWN


def test_a_view_that_nobody_has_is_unknown() -> None:
    assert case(facts(signals={})).view(View.CONTROL) == Signal.unknown(View.CONTROL)


def test_only_a_person_can_insist() -> None:
    assert case(facts(trigger=Trigger.MANUAL, forced=True)).forced
    assert not case(facts(trigger=Trigger.AUTOMATIC, forced=True)).forced
    assert not case(facts(trigger=Trigger.MANUAL)).forced


def test_the_hold_down_counts_from_the_last_view_that_went_down() -> None:
    ages = signals(
        outside=signal(View.OUTSIDE, Seen.DOWN, 50),
        from_dr=signal(View.FROM_DR, Seen.DOWN, 40),
        stream=signal(View.STREAM, Seen.DOWN, 30),
    )
    found = case(facts(signals=ages))
    assert (found.down_since, found.unanswered_since) == (NOW - 30, NOW - 40)
    assert (found.hold_down_left, found.agreement_left) == (30, 20)


def test_a_view_that_is_not_down_is_not_counted_from() -> None:
    found = case(facts(signals=signals(outside=signal(View.OUTSIDE, Seen.UNKNOWN, 5))))
    assert found.down_since == NOW - 70
    nothing = case(facts(signals={}))
    assert (nothing.down_since, nothing.hold_down_left) == (NOW, 60)


def test_where_the_application_answers_the_hold_down_is_the_databases() -> None:
    assert (case().database_only, case().hold_down) == (False, (NOW - 70, 60))
    answering = case(seen(View.FROM_DR, Seen.DOWN, answered=True))
    assert (answering.database_only, answering.hold_down, answering.hold_down_left) == (True, (NOW - 70, 300), 230)


@pytest.mark.parametrize(
    ("age", "mute", "left", "database_only"),
    [
        (70, 70, -10, False),
        (250, 60, 0, False),
        # One answer that does not come in time makes no lost Region of a lost database.
        (250, 1, 50, True),
        (250, 15, 45, True),
        (290, 15, 10, True),
        (300, 1, 0, True),
    ],
)
def test_a_regions_hold_down_counts_from_when_nothing_answered_any_more(
    age: float, mute: float, left: float, database_only: bool
) -> None:
    down = {view: signal(view, Seen.DOWN, age) for view in (View.OUTSIDE, View.FROM_DR, View.STREAM)}
    here = replace(down[View.FROM_DR], mute_since=NOW - mute)
    found = case(facts(signals=signals(**{**down, View.FROM_DR: here})))
    assert (found.hold_down_left, found.database_only) == (left, database_only)


@pytest.mark.parametrize(
    ("changed", "loss"),
    [
        ({"last_replayed_at": NOW - 100}, 30),
        ({"last_replayed_at": NOW - 70}, 0),
        ({"last_replayed_at": NOW - 1}, 0),
        ({"last_replayed_at": None}, None),
        # Clients were served until both of the application's views were down, whatever fell silent before that: a way
        # between the Regions that broke two hours ago kept all writes since then from arriving here.
        (
            {
                "last_replayed_at": NOW - 7205,
                "signals": signals(
                    from_dr=signal(View.FROM_DR, Seen.DOWN, 7200), stream=signal(View.STREAM, Seen.DOWN, 7200)
                ),
            },
            7135,
        ),
        ({"last_replayed_at": NOW - 100, "signals": signals(outside=signal(View.OUTSIDE, Seen.DOWN, 500))}, 30),
        # As long as one of the two does not say so, they may be served still.
        ({"last_replayed_at": NOW - 100, "signals": signals(outside=signal(View.OUTSIDE, Seen.UNKNOWN))}, 100),
        ({"last_replayed_at": NOW - 100, "signals": signals(from_dr=signal(View.FROM_DR, Seen.UP))}, 100),
        (
            {
                "last_replayed_at": NOW - 100,
                "signals": signals(outside=signal(View.OUTSIDE, Seen.DOWN, 500, silent=91)),
            },
            100,
        ),
    ],
)
def test_the_loss_is_from_the_newest_commit_here_until_clients_were_served_last(
    changed: dict[str, Any], loss: float | None
) -> None:
    assert case(facts(**changed)).loss == loss


@pytest.mark.parametrize(
    ("replica", "known", "ready"),
    [
        (READY, True, True),
        (replace(READY, engine=None), True, True),
        (replace(READY, engine="mysql"), False, True),
        (replace(READY, engine="aurora-postgresql"), False, True),
        (replace(READY, status="storage-full"), True, False),
        (Replica(None, None), True, False),
        (None, True, False),
    ],
)
def test_what_can_be_promoted(replica: Replica | None, known: bool, ready: bool) -> None:
    found = case(facts(replica=replica))
    assert (found.engine_known, found.replica_ready) == (known, ready)


@pytest.mark.parametrize("status", sorted(PROMOTABLE))
def test_a_replica_that_can_be_promoted_after_a_wait_is_ready(status: str) -> None:
    assert case(facts(replica=replace(READY, status=status))).replica_ready


def test_whatever_is_being_changed_on_purpose_comes_back_by_itself() -> None:
    assert BUSY < PROMOTABLE
    assert "available" not in BUSY


@pytest.mark.parametrize(
    ("head", "abandoned"),
    [
        (STEADY, False),
        (ABANDONED, True),
        (STILL_STOPPED, True),
        (replace(ABANDONED, quiesce=Quiesce(NOW - 5, None)), True),
        # Behind the one-way door nothing is abandoned: it is gone on with.
        (DOOR_OPEN, False),
        (replace(DOOR_OPEN, quiesce=Quiesce(NOW - 5, "0/1")), False),
    ],
)
def test_what_an_earlier_run_left_behind(head: Head, abandoned: bool) -> None:
    assert case(facts(head=head)).abandoned is abandoned


@pytest.mark.parametrize(
    ("asked", "stream", "mode"),
    [
        (None, Seen.UP, Mode.PLANNED),
        (None, Seen.DOWN, Mode.EMERGENCY),
        (None, Seen.UNKNOWN, Mode.EMERGENCY),
        (Mode.EMERGENCY, Seen.UP, Mode.EMERGENCY),
        (Mode.PLANNED, Seen.UP, Mode.PLANNED),
    ],
)
def test_the_mode_of_a_run_by_hand(asked: Mode | None, stream: Seen, mode: Mode) -> None:
    looked = replace(seen(View.STREAM, stream), trigger=Trigger.MANUAL, mode=asked)
    assert case(looked).mode_by_hand is mode


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("quiesce", [None, Quiesce(NOW, None), Quiesce(NOW, "0/1")])
def test_a_promotion_that_has_begun_goes_on_as_it_began(quiesce: Quiesce | None, mode: Mode) -> None:
    """Whatever an earlier run, which may have been a planned one, has left."""
    assert case(facts(head=replace(began(mode), quiesce=quiesce))).mode_half_done is mode
    assert case(facts(head=STEADY)).mode_half_done is Mode.EMERGENCY


def rule(action: Action) -> Rule:
    return Rule(
        Finding.DOWN_TOO_SHORT,
        action,
        lambda c: True,
        lambda c: "because",
        "when",
        "what it means",
        look_again=lambda c: 4.5,
        mode=lambda c: Mode.PLANNED,
    )


def test_only_a_verdict_that_waits_says_for_how_long() -> None:
    assert verdict_of(rule(Action.WAIT), case()).look_again_seconds == 4.5
    assert verdict_of(rule(Action.ASK), case()).look_again_seconds == 0


def test_a_verdict_carries_the_loss_and_the_mode_whatever_it_is() -> None:
    found = verdict_of(rule(Action.ASK), case(facts(last_replayed_at=NOW - 75)))
    assert (found.estimated_loss_seconds, found.mode) == (5, Mode.PLANNED)


def test_the_verdict_is_what_the_state_machine_reads() -> None:
    verdict = Verdict(Action.WAIT, Finding.DOWN_TOO_SHORT, "down for 1 s", 3.9, 2.5, Mode.PLANNED)
    assert verdict.as_dict() == {
        "action": "wait",
        "finding": "down_too_short",
        "sentence": "down for 1 s",
        "look_again_seconds": 3,
        "estimated_loss_seconds": 2.5,
        "mode": "planned",
    }
