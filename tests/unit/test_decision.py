"""The decision: total, well-formed, safe in every combination, and in the order that its argument needs."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relight.decision import RULES, Action, Case, Finding, Verdict, decide, starts_a_run
from relight.facts import BUSY, PROMOTABLE, Facts, Replica, Trigger
from relight.ledger import Head, State
from relight.policy import Approval, Policy
from relight.signal import Seen, Signal, View

from tests.unit.situation import (
    BY_FINDING,
    DOOR_OPEN,
    LOST,
    OTHER_RUN,
    POLICY,
    READY,
    STEADY,
    facts,
    seen,
    signal,
    signals,
)
from tests.unit.standby import HERE, HOME, NOW

QUORUM = (View.OUTSIDE, View.FROM_DR, View.STREAM)
MEANT = {
    Finding.HALF_DONE: Action.PROCEED,
    Finding.BY_HAND: Action.PROCEED,
    Finding.DATABASE_LOST: Action.PROCEED,
    Finding.REGION_LOST: Action.PROCEED,
    Finding.PEER_DATABASE_BUSY: Action.WAIT,
    Finding.DOWN_TOO_SHORT: Action.WAIT,
    Finding.APPLICATION_LOST: Action.ASK,
    Finding.STREAM_UNKNOWN: Action.ASK,
    Finding.OUTSIDE_UNKNOWN: Action.ASK,
    Finding.DATA_LOSS_UNKNOWN: Action.ASK,
    Finding.DATA_LOSS_TOO_LARGE: Action.ASK,
    Finding.POLICY_APPROVE: Action.ASK,
    Finding.POLICY_MANUAL: Action.REFUSE,
}


def well_formed(verdict: Verdict) -> None:
    """A verdict that the state machine and the person on call can work with."""
    assert verdict.action is MEANT.get(verdict.finding, Action.STAND_DOWN)
    assert verdict.sentence.strip() == verdict.sentence
    assert len(verdict.sentence) > 10
    assert "None" not in verdict.sentence
    assert "nan" not in verdict.sentence
    assert verdict.look_again_seconds >= 0
    assert verdict.action is Action.WAIT or verdict.look_again_seconds == 0


def safe(facts: Facts, policy: Policy, verdict: Verdict) -> None:
    """What must hold whenever the machinery proceeds by itself, in the words of the design and not of the rules."""
    if verdict.action is not Action.PROCEED or facts.trigger is Trigger.MANUAL or verdict.finding is Finding.HALF_DONE:
        return
    for view in QUORUM:
        was = facts.signals[view]
        assert was.seen is Seen.DOWN, view
        assert facts.now - was.last_seen <= policy.fresh_seconds, view
        assert facts.now - was.since >= policy.hold_down_seconds, view
        if facts.signals[View.FROM_DR].answered:
            assert facts.now - was.since >= policy.database_hold_down_seconds, view
    control = facts.signals[View.CONTROL]
    assert control.seen is Seen.UP
    assert facts.now - control.last_seen <= policy.fresh_seconds
    assert policy.approval is Approval.AUTO
    assert facts.replica is not None
    assert facts.head.active != facts.here
    assert facts.peer_database not in BUSY
    assert facts.head.owner in {None, facts.asked_by} or facts.head.expires_at <= facts.now
    assert verdict.estimated_loss_seconds is not None
    assert verdict.estimated_loss_seconds <= policy.max_data_loss_seconds


def views(view: View) -> list[Signal]:
    return [
        signal(view, Seen.UP),
        signal(view, Seen.DOWN),
        signal(view, Seen.DOWN, 59),
        signal(view, Seen.UNKNOWN),
        signal(view, Seen.DOWN, 500, silent=91),
    ]


def test_every_combination_comes_to_a_verdict_that_is_well_formed_and_safe() -> None:
    heads = [
        STEADY,
        Head(False, 0, HOME, State.STEADY),
        DOOR_OPEN,
        replace(STEADY, active=HERE),
        replace(STEADY, ended_at=NOW - 60),
        replace(STEADY, frozen_until=NOW + 60),
        replace(STEADY, owner=OTHER_RUN, expires_at=NOW + 60),
        replace(STEADY, owner=OTHER_RUN, expires_at=NOW - 1),
    ]
    policies = [replace(POLICY, approval=approval) for approval in Approval]
    answering = [signal(View.FROM_DR, Seen.DOWN, age, answered=True) for age in (70, 400)]
    looks = itertools.product(
        views(View.OUTSIDE),
        views(View.FROM_DR) + answering,
        [*views(View.STREAM), signal(View.STREAM, Seen.DOWN, 400)],
        (signal(View.CONTROL, Seen.UP), signal(View.CONTROL, Seen.DOWN)),
    )
    reached: set[Finding] = set()
    for outside, here, stream, control in looks:
        gathered = {s.view: s for s in (outside, here, stream, control)}
        for trigger, replica, loss, head in itertools.product(
            Trigger, (READY, Replica("failed", None)), (75, 900, None), heads
        ):
            case = replace(
                LOST,
                signals=gathered,
                trigger=trigger,
                replica=replica,
                last_replayed_at=None if loss is None else NOW - loss,
                head=head,
            )
            for policy in policies:
                verdict = decide(case, policy)
                well_formed(verdict)
                safe(case, policy, verdict)
                reached.add(verdict.finding)
    assert reached == set(Finding) - {Finding.PEER_DATABASE_BUSY, Finding.DATABASE_LOST, Finding.NEVER_UP}


def some_signal(view: View) -> st.SearchStrategy[Signal]:
    return st.builds(
        lambda seen, silent, age, answered: Signal(view, seen, NOW - silent - age, NOW - silent, "seen", answered),
        st.sampled_from(Seen),
        st.sampled_from([0.0, 5.0, 89.9, 90.0, 90.1, 4000.0]),
        st.sampled_from([0.0, 30.0, 59.9, 60.0, 61.0, 299.9, 300.0, 301.0, 9000.0]),
        st.booleans(),
    )


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    moment = st.sampled_from([None, NOW - 4000, NOW - 1, NOW, NOW + 1, NOW + 4000])
    head = replace(
        draw(st.sampled_from([STEADY, DOOR_OPEN])),
        active=draw(st.sampled_from([HERE, HOME])),
        state=draw(st.sampled_from(State)),
        owner=draw(st.sampled_from([None, OTHER_RUN, "mine"])),
        expires_at=draw(moment) or 0.0,
        ended_at=draw(moment),
        frozen_until=draw(moment),
    )
    status = st.sampled_from([None, "available", "failed", "backing-up", "rebooting", "something-new"])
    return replace(
        LOST,
        head=head,
        asked_by=draw(st.sampled_from([None, "mine"])),
        trigger=draw(st.sampled_from(Trigger)),
        forced=draw(st.booleans()),
        signals={view: draw(some_signal(view)) for view in View if draw(st.integers(0, 9)) or view in QUORUM},
        replica=draw(st.none() | st.builds(Replica, status, st.none())),
        peer_database=draw(status),
        last_replayed_at=draw(moment),
    )


@given(any_facts(), st.sampled_from(Approval))
def test_any_facts_come_to_a_verdict_that_is_well_formed_and_safe(case: Facts, approval: Approval) -> None:
    policy = replace(POLICY, approval=approval)
    verdict = decide(case, policy)
    well_formed(verdict)
    if View.CONTROL in case.signals:
        safe(case, policy, verdict)
    else:
        assert verdict.finding not in {Finding.REGION_LOST, Finding.DATABASE_LOST}
    assert RULES[-1].when(Case(case, policy)), "the last rule must match whatever reaches it"


def test_each_rule_has_a_finding_of_its_own_and_each_finding_a_rule() -> None:
    assert [rule.finding for rule in RULES] == list(dict.fromkeys(rule.finding for rule in RULES))
    assert {rule.finding for rule in RULES} == set(Finding) == set(BY_FINDING)


@pytest.mark.parametrize("finding", Finding)
def test_each_rule_is_reached_and_says_why(finding: Finding) -> None:
    case, policy, sentence = BY_FINDING[finding]
    verdict = decide(case, policy)
    assert (verdict.finding, verdict.sentence) == (finding, sentence)
    well_formed(verdict)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"replica": None}, "the replica of this Region cannot be promoted: RDS did not answer"),
        ({"replica": Replica(None, None)}, "the replica of this Region cannot be promoted: its status is not found"),
        ({"trigger": Trigger.MANUAL, "forced": True}, "started by hand, forced"),
        ({"head": replace(STEADY, frozen_until=NOW + 1)}, "failover is frozen by an operator: no reason given"),
        (
            {"signals": signals(control=signal(View.CONTROL, Seen.UP, 200, silent=100))},
            "this Region cannot prove its own connectivity (silent for 100 s (control says UP)), so it does not count",
        ),
    ],
)
def test_sentences_of_the_other_cases_of_a_rule(changed: dict[str, Any], sentence: str) -> None:
    assert decide(facts(**changed), POLICY).sentence == sentence


@pytest.mark.parametrize(
    ("first", "case"),
    [
        (Finding.FROZEN, facts(trigger=Trigger.MANUAL, head=replace(STEADY, frozen_until=NOW + 1))),
        (Finding.IN_PROGRESS, facts(head=replace(DOOR_OPEN, owner=OTHER_RUN, expires_at=NOW + 1))),
        (Finding.IN_PROGRESS, facts(trigger=Trigger.MANUAL, head=replace(STEADY, owner="x", expires_at=NOW + 1))),
        # Behind the one-way door there is only forward: nothing but another run's lock holds it up.
        (Finding.HALF_DONE, facts(head=replace(DOOR_OPEN, frozen_until=NOW + 1))),
        (Finding.HALF_DONE, facts(head=replace(DOOR_OPEN, active=HERE))),
        (Finding.HALF_DONE, facts(head=replace(DOOR_OPEN, ended_at=NOW - 1))),
        (Finding.HALF_DONE, facts(head=DOOR_OPEN, replica=None)),
        (Finding.HALF_DONE, facts(head=DOOR_OPEN, signals=BY_FINDING[Finding.PRIMARY_UP][0].signals)),
        (Finding.ALREADY_ACTIVE, facts(trigger=Trigger.MANUAL, forced=True, head=replace(STEADY, active=HERE))),
        (Finding.DR_NOT_READY, facts(trigger=Trigger.MANUAL, replica=None)),
        (Finding.BY_HAND, facts(trigger=Trigger.MANUAL, signals=BY_FINDING[Finding.PRIMARY_UP][0].signals)),
        (Finding.BY_HAND, facts(trigger=Trigger.MANUAL, head=replace(STEADY, ended_at=NOW - 1))),
        (Finding.BY_HAND, facts(trigger=Trigger.MANUAL, forced=True, replica=None)),
        (
            Finding.BY_HAND,
            facts(trigger=Trigger.MANUAL, forced=True, head=replace(STEADY, frozen_until=NOW + 1)),
        ),
        # A veto from outside comes before anything that is seen, or not seen, from here.
        (
            Finding.UP_FROM_OUTSIDE,
            facts(signals=signals(outside=signal(View.OUTSIDE, Seen.UP), control=signal(View.CONTROL, Seen.DOWN))),
        ),
        (
            Finding.DR_ISOLATED,
            facts(signals=signals(from_dr=signal(View.FROM_DR, Seen.UNKNOWN), control=signal(View.CONTROL, Seen.DOWN))),
        ),
        # A live stream asks at once: there is nothing that waiting would show.
        (
            Finding.APPLICATION_LOST,
            facts(signals=signals(stream=signal(View.STREAM, Seen.UP), outside=signal(View.OUTSIDE, Seen.DOWN, 1))),
        ),
        # What asks a person comes after the hold-down, so that nobody is called for a blip.
        (
            Finding.DOWN_TOO_SHORT,
            facts(
                signals=signals(stream=signal(View.STREAM, Seen.UNKNOWN), outside=signal(View.OUTSIDE, Seen.DOWN, 1))
            ),
        ),
        (
            Finding.DOWN_TOO_SHORT,
            facts(last_replayed_at=None, signals=signals(stream=signal(View.STREAM, Seen.DOWN, 1))),
        ),
    ],
)
def test_what_comes_first_where_more_than_one_rule_matches(first: Finding, case: Facts) -> None:
    assert decide(case, POLICY).finding is first


def test_the_hold_down_counts_from_the_last_view_that_went_down_and_ends_exactly() -> None:
    too_soon = decide(seen(View.OUTSIDE, Seen.DOWN, age=59.5), POLICY)
    assert (too_soon.finding, too_soon.look_again_seconds) == (Finding.DOWN_TOO_SHORT, 0.5)
    assert decide(seen(View.OUTSIDE, Seen.DOWN, age=60), POLICY).finding is Finding.REGION_LOST
    assert decide(seen(View.OUTSIDE, Seen.DOWN, age=10), POLICY).look_again_seconds == 10


def test_where_the_application_answers_the_hold_down_is_the_databases() -> None:
    answering = seen(View.FROM_DR, Seen.DOWN, answered=True)
    verdict = decide(answering, POLICY)
    assert verdict.finding is Finding.DOWN_TOO_SHORT
    assert verdict.sentence == "down for 70 s of the 300 s that it must last"


def test_a_view_counts_until_it_has_been_silent_for_longer_than_is_fresh() -> None:
    assert decide(seen(View.OUTSIDE, Seen.DOWN, silent=90, age=200), POLICY).finding is Finding.REGION_LOST
    assert decide(seen(View.OUTSIDE, Seen.DOWN, silent=90.5, age=200), POLICY).finding is Finding.OUTSIDE_UNKNOWN
    assert decide(seen(View.OUTSIDE, Seen.UP, silent=90.5, age=200), POLICY).finding is Finding.OUTSIDE_UNKNOWN


def test_the_loss_is_from_the_first_bad_sample_back_to_the_newest_commit() -> None:
    first = facts(signals=signals(stream=signal(View.STREAM, Seen.DOWN, 100)), last_replayed_at=NOW - 130)
    assert decide(first, POLICY).estimated_loss_seconds == 30
    assert decide(facts(last_replayed_at=NOW - 10), POLICY).estimated_loss_seconds == 0
    assert decide(facts(last_replayed_at=NOW - 370), POLICY).finding is Finding.REGION_LOST


@pytest.mark.parametrize("status", sorted(PROMOTABLE))
def test_a_replica_that_can_be_promoted_after_a_wait_is_ready(status: str) -> None:
    assert decide(facts(replica=Replica(status, READY.source)), POLICY).finding is Finding.REGION_LOST


@pytest.mark.parametrize("status", sorted(BUSY))
def test_a_database_that_is_being_changed_on_purpose_is_waited_for(status: str) -> None:
    verdict = decide(facts(peer_database=status), POLICY)
    assert (verdict.finding, verdict.look_again_seconds) == (Finding.PEER_DATABASE_BUSY, 10)


def test_a_run_is_started_to_proceed_to_ask_and_to_warm_up_beside_the_hold_down() -> None:
    starting = {finding for finding, (case, policy, _) in BY_FINDING.items() if starts_a_run(decide(case, policy))}
    assert starting == {f for f, action in MEANT.items() if action in {Action.PROCEED, Action.ASK}} | {
        Finding.DOWN_TOO_SHORT
    }


def test_the_verdict_is_what_the_state_machine_reads() -> None:
    verdict = Verdict(Action.WAIT, Finding.DOWN_TOO_SHORT, "down for 1 s", 3.9, 2.5)
    assert verdict.as_dict() == {
        "action": "wait",
        "finding": "down_too_short",
        "sentence": "down for 1 s",
        "look_again_seconds": 3,
        "estimated_loss_seconds": 2.5,
    }
