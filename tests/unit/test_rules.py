"""Each rule by itself: that it is reached, what it says, and what it asks of the run and of the probe.

Their order, and what holds of all of them together, is proved in tests/decision.
"""

from dataclasses import replace
from typing import Any

import pytest
from relight.decision import Action, Finding, Verdict
from relight.facts import BUSY, Facts, Replica, Trigger
from relight.policy import Approval
from relight.rules import RULES, WARMING, decide, starts_a_run
from relight.run import Mode
from relight.signal import Seen, View

from tests.unit.situation import (
    ABANDONED,
    BY_FINDING,
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

MEANT = {
    Finding.HALF_DONE: Action.PROCEED,
    Finding.BY_HAND: Action.PROCEED,
    Finding.DATABASE_LOST: Action.PROCEED,
    Finding.REGION_LOST: Action.PROCEED,
    Finding.PEER_DATABASE_BUSY: Action.WAIT,
    Finding.SECOND_VIEW_AWAITED: Action.WAIT,
    Finding.APPLICATION_DOWN_TOO_SHORT: Action.WAIT,
    Finding.DOWN_TOO_SHORT: Action.WAIT,
    Finding.APPLICATION_LOST: Action.ASK,
    Finding.STREAM_UNKNOWN: Action.ASK,
    Finding.OUTSIDE_UNKNOWN: Action.ASK,
    Finding.DATA_LOSS_UNKNOWN: Action.ASK,
    Finding.DATA_LOSS_TOO_LARGE: Action.ASK,
    Finding.POLICY_APPROVE: Action.ASK,
    Finding.STOPPED_BY_US: Action.ASK,
    Finding.POLICY_MANUAL: Action.REFUSE,
    Finding.NOT_A_REPLICA: Action.REFUSE,
    Finding.MODE_NEEDED: Action.REFUSE,
    Finding.PLANNED_IMPOSSIBLE: Action.REFUSE,
    Finding.ENGINE_NOT_SUPPORTED: Action.REFUSE,
}
ALIVE = signals(stream=signal(View.STREAM, Seen.UP))


def test_each_rule_has_a_finding_of_its_own_and_each_finding_a_rule() -> None:
    assert [rule.finding for rule in RULES] == list(dict.fromkeys(rule.finding for rule in RULES))
    assert {rule.finding for rule in RULES} == set(Finding) == set(BY_FINDING)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.finding))
def test_each_rule_says_to_people_when_it_matches_and_what_that_means(rule: Any) -> None:
    for text in (rule.condition, rule.means):
        assert text[0].isupper() or text.startswith("`")
        assert text.endswith(".")
        assert "\n" not in text
        assert "|" not in text, "it goes into tables"
    assert rule.action is MEANT.get(rule.finding, Action.STAND_DOWN)


@pytest.mark.parametrize("finding", Finding)
def test_each_rule_is_reached_and_says_why(finding: Finding) -> None:
    case, policy, sentence = BY_FINDING[finding]
    verdict = decide(case, policy)
    assert (verdict.finding, verdict.sentence) == (finding, sentence)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"replica": None}, "the replica of this Region cannot be promoted: RDS did not answer"),
        ({"replica": Replica(None, None)}, "the replica of this Region cannot be promoted: its status is not found"),
        ({"trigger": Trigger.MANUAL, "forced": True}, "started by hand, forced"),
        (
            {"trigger": Trigger.MANUAL, "signals": ALIVE},
            (
                "started by hand; the database of the other Region is alive, so its writes are stopped first and none "
                "is lost"
            ),
        ),
        ({"trigger": Trigger.MANUAL, "signals": ALIVE, "mode": Mode.PLANNED}, "started by hand"),
        ({"trigger": Trigger.MANUAL, "signals": ALIVE, "mode": Mode.EMERGENCY}, "started by hand"),
        ({"head": replace(STEADY, frozen_until=NOW + 1)}, "failover is frozen by an operator: no reason given"),
        (
            {"signals": signals(control=signal(View.CONTROL, Seen.UP, 200, silent=100))},
            "this Region cannot prove its own connectivity (silent for 100 s (control says UP)), so it does not count",
        ),
        (
            {"signals": signals(outside=signal(View.OUTSIDE, Seen.UNKNOWN), from_dr=signal(View.FROM_DR, Seen.UP))},
            "no view says that it is down; from here: from_dr says UP",
        ),
    ],
)
def test_sentences_of_the_other_cases_of_a_rule(changed: dict[str, Any], sentence: str) -> None:
    assert decide(facts(**changed), POLICY).sentence == sentence


def test_the_hold_down_ends_exactly_and_is_not_slept_past() -> None:
    too_soon = decide(seen(View.OUTSIDE, Seen.DOWN, age=59.5), POLICY)
    assert (too_soon.finding, too_soon.look_again_seconds) == (Finding.DOWN_TOO_SHORT, 0.5)
    assert decide(seen(View.OUTSIDE, Seen.DOWN, age=60), POLICY).finding is Finding.REGION_LOST
    assert decide(seen(View.OUTSIDE, Seen.DOWN, age=10), POLICY).look_again_seconds == 10


def test_the_hold_down_of_a_database_is_longer() -> None:
    verdict = decide(seen(View.FROM_DR, Seen.DOWN, answered=True), POLICY)
    assert (verdict.finding, verdict.sentence) == (
        Finding.DOWN_TOO_SHORT,
        "down for 70 s of the 300 s that it must last",
    )


def test_the_second_view_is_awaited_for_the_hold_down_of_a_region() -> None:
    def outside_only(age: float) -> Verdict:
        return decide(
            facts(
                signals=signals(
                    outside=signal(View.OUTSIDE, Seen.DOWN, age), from_dr=signal(View.FROM_DR, Seen.UNKNOWN)
                )
            ),
            POLICY,
        )

    assert (outside_only(55).finding, outside_only(55).look_again_seconds) == (Finding.SECOND_VIEW_AWAITED, 5)
    assert outside_only(60).finding is Finding.ONE_VIEW_ONLY


def test_a_live_stream_asks_once_the_application_has_been_gone_for_long_enough() -> None:
    def gone(age: float) -> Verdict:
        return decide(
            facts(signals=signals(from_dr=signal(View.FROM_DR, Seen.DOWN, age), stream=ALIVE[View.STREAM])), POLICY
        )

    assert (gone(57).finding, gone(57).look_again_seconds) == (Finding.APPLICATION_DOWN_TOO_SHORT, 3)
    assert (gone(60).finding, gone(60).mode) == (Finding.APPLICATION_LOST, Mode.PLANNED)


@pytest.mark.parametrize("status", sorted(BUSY))
def test_a_database_that_is_being_changed_on_purpose_is_waited_for(status: str) -> None:
    verdict = decide(facts(peer_database=status), POLICY)
    assert (verdict.finding, verdict.look_again_seconds) == (Finding.PEER_DATABASE_BUSY, 10)


def test_a_loss_of_just_the_limit_is_within_it() -> None:
    assert decide(facts(last_replayed_at=NOW - 370), POLICY).finding is Finding.REGION_LOST
    assert decide(facts(last_replayed_at=NOW - 370.5), POLICY).finding is Finding.DATA_LOSS_TOO_LARGE


def test_writes_that_are_still_stopped_are_no_lost_application() -> None:
    verdict = decide(facts(head=STILL_STOPPED, signals=ALIVE), POLICY)
    assert (verdict.finding, verdict.action) == (Finding.ABANDONED, Action.STAND_DOWN)


def test_what_an_earlier_run_left_does_not_hold_up_a_real_loss() -> None:
    assert decide(facts(head=ABANDONED), POLICY).finding is Finding.REGION_LOST


def test_where_its_writes_are_stopped_by_us_a_person_says_whether_it_is_a_loss() -> None:
    assert decide(facts(head=STILL_STOPPED), POLICY).action is Action.ASK


@pytest.mark.parametrize(
    ("outside", "here", "stream", "needed"),
    [
        (Seen.DOWN, Seen.DOWN, Seen.DOWN, False),
        (Seen.DOWN, Seen.DOWN, Seen.UNKNOWN, False),
        # The stream is dead, and nothing says that the primary is alive.
        (Seen.UNKNOWN, Seen.DOWN, Seen.DOWN, False),
        (Seen.UNKNOWN, Seen.UNKNOWN, Seen.DOWN, False),
        (Seen.UNKNOWN, Seen.DOWN, Seen.UNKNOWN, True),
        (Seen.UP, Seen.DOWN, Seen.DOWN, True),
        (Seen.DOWN, Seen.UP, Seen.DOWN, True),
        (Seen.UP, Seen.UP, Seen.UNKNOWN, True),
    ],
)
def test_without_a_mode_nothing_is_lost_by_hand_while_the_primary_may_be_alive(
    outside: Seen, here: Seen, stream: Seen, needed: bool
) -> None:
    by_view = {View.OUTSIDE: outside, View.FROM_DR: here, View.STREAM: stream}
    looked = facts(
        trigger=Trigger.MANUAL, signals=signals(**{view.value: signal(view, what) for view, what in by_view.items()})
    )
    assert (decide(looked, POLICY).finding is Finding.MODE_NEEDED) is needed
    for said in ({"mode": Mode.EMERGENCY}, {"forced": True}):
        assert decide(replace(looked, **said), POLICY).finding is Finding.BY_HAND


@pytest.mark.parametrize("finding", Finding)
def test_only_what_a_person_chose_or_is_offered_is_planned(finding: Finding) -> None:
    case, policy, _ = BY_FINDING[finding]
    expected = Mode.PLANNED if finding is Finding.APPLICATION_LOST else Mode.EMERGENCY
    assert decide(case, policy).mode is expected


def test_a_planned_promotion_that_has_begun_goes_on_as_one() -> None:
    assert decide(facts(head=began(Mode.PLANNED)), POLICY).mode is Mode.PLANNED
    assert decide(facts(head=began(Mode.EMERGENCY)), POLICY).mode is Mode.EMERGENCY


# What the probe starts a run on.


def starts(finding: Finding, refused_at: float | None = None) -> bool:
    case, policy, _ = BY_FINDING[finding]
    return starts_a_run(decide(case, policy), replace(case.head, refused_at=refused_at), NOW, 900)


@pytest.mark.parametrize("finding", Finding)
def test_a_run_is_started_to_proceed_to_ask_and_to_warm_up_beside_the_hold_down(finding: Finding) -> None:
    wanted = MEANT.get(finding) in {Action.PROCEED, Action.ASK} or finding in WARMING
    assert starts(finding) is wanted


def test_a_hold_down_is_what_capacity_warms_up_beside() -> None:
    assert {Finding.DOWN_TOO_SHORT, Finding.APPLICATION_DOWN_TOO_SHORT} == WARMING


@pytest.mark.parametrize("finding", Finding)
@pytest.mark.parametrize(("refused", "quiet"), [(899, True), (900, False)])
def test_after_a_refusal_only_what_would_ask_again_is_quiet_for_a_while(
    finding: Finding, refused: float, quiet: bool
) -> None:
    asks = MEANT.get(finding) is Action.ASK or finding is Finding.APPLICATION_DOWN_TOO_SHORT
    assert starts(finding, NOW - refused) is (starts(finding) and not (asks and quiet))


def test_what_has_become_plain_does_not_wait_until_it_may_ask_again() -> None:
    approve = replace(POLICY, approval=Approval.APPROVE)
    refused = replace(STEADY, refused_at=NOW - 10)
    lost: Facts = facts(head=refused)
    assert not starts_a_run(decide(lost, approve), refused, NOW, 900)
    assert starts_a_run(decide(lost, POLICY), refused, NOW, 900)


def test_a_replica_of_another_engine_is_refused_even_to_a_person_who_insists() -> None:
    forced = facts(trigger=Trigger.MANUAL, forced=True, replica=replace(READY, engine="mariadb"))
    assert decide(forced, POLICY).action is Action.REFUSE
