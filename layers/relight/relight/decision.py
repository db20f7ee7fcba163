"""The decision: an ordered table of rules over frozen facts. First match wins; the last rule always matches.

Pure: no clock, no network, no AWS. Each rule has a finding from a closed vocabulary and the sentence that the person
on call will read. The order is the argument: what forbids comes before what delays, what delays before what asks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from relight.facts import BUSY, PROMOTABLE, Facts, Trigger
from relight.policy import Approval, Policy
from relight.signal import Seen, Signal, View

if TYPE_CHECKING:
    from collections.abc import Callable


class Action(StrEnum):
    """What the verdict asks the run to do."""

    PROCEED = "proceed"
    ASK = "ask"
    WAIT = "wait"
    STAND_DOWN = "stand_down"
    REFUSE = "refuse"


class Finding(StrEnum):
    """Why. A closed vocabulary: every rule has one, and docs and metrics use the same words."""

    FROZEN = "frozen"
    ALREADY_ACTIVE = "already_active"
    IN_PROGRESS = "in_progress"
    HALF_DONE = "half_done"
    COOLDOWN = "cooldown"
    DR_NOT_READY = "dr_not_ready"
    BY_HAND = "by_hand"
    NEVER_UP = "never_up"
    PRIMARY_UP = "primary_up"
    UP_FROM_OUTSIDE = "up_from_outside"
    DR_ISOLATED = "dr_isolated"
    ONE_VIEW_ONLY = "one_view_only"
    PEER_DATABASE_BUSY = "peer_database_busy"
    APPLICATION_LOST = "application_lost"
    STREAM_UNKNOWN = "stream_unknown"
    DOWN_TOO_SHORT = "down_too_short"
    OUTSIDE_UNKNOWN = "outside_unknown"
    DATA_LOSS_UNKNOWN = "data_loss_unknown"
    DATA_LOSS_TOO_LARGE = "data_loss_too_large"
    POLICY_MANUAL = "policy_manual"
    POLICY_APPROVE = "policy_approve"
    DATABASE_LOST = "database_lost"
    REGION_LOST = "region_lost"


@dataclass(frozen=True)
class Verdict:
    """What `assess` decided, why, and how soon to look again where it waits (seconds)."""

    action: Action
    finding: Finding
    sentence: str
    look_again_seconds: float = 0.0
    estimated_loss_seconds: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The verdict as the state machine reads it. The wait is rounded down: looking early costs one lap."""
        return {
            "action": self.action.value,
            "finding": self.finding.value,
            "sentence": self.sentence,
            "look_again_seconds": math.floor(self.look_again_seconds),
            "estimated_loss_seconds": self.estimated_loss_seconds,
        }


@dataclass(frozen=True)
class Case:
    """Facts under a policy, and what follows from them by arithmetic: the rules only read it."""

    facts: Facts
    policy: Policy

    def view(self, view: View) -> Signal:
        """The signal of a view as it counts now: silent or stale is UNKNOWN."""
        return self.facts.signals.get(view, Signal.unknown(view)).at(self.facts.now, self.policy.fresh_seconds)

    def seen(self, view: View) -> Seen:
        """The state of a view as it counts now."""
        return self.view(view).seen

    @property
    def automatic(self) -> bool:
        """Nobody asked for this run, so the quorum decides."""
        return self.facts.trigger is Trigger.AUTOMATIC

    @property
    def database_only(self) -> bool:
        """The application still speaks HTTP, while its database is gone."""
        return self.view(View.FROM_DR).answered

    @property
    def hold_down(self) -> float:
        """How long the quorum must have been DOWN without a break."""
        return self.policy.database_hold_down_seconds if self.database_only else self.policy.hold_down_seconds

    @property
    def down_since(self) -> float:
        """When the last view that is DOWN became so: from here on all of them were."""
        views = (View.OUTSIDE, View.FROM_DR, View.STREAM)
        return max((self.view(v).since for v in views if self.seen(v) is Seen.DOWN), default=self.facts.now)

    @property
    def hold_down_left(self) -> float:
        """Seconds until the hold-down has passed."""
        return self.down_since + self.hold_down - self.facts.now

    @property
    def loss(self) -> float | None:
        """Estimated seconds of lost writes: first bad sample minus newest commit here; None is unknown."""
        first_bad, replayed = self.facts.first_bad, self.facts.last_replayed_at
        if replayed is None:
            return None
        return max(0.0, (self.facts.now if first_bad is None else first_bad) - replayed)

    @property
    def replica_ready(self) -> bool:
        """The replica is there, and can be promoted now or after a wait."""
        return self.facts.replica is not None and self.facts.replica.status in PROMOTABLE


@dataclass(frozen=True)
class Rule:
    """One row: if `when`, then `action` with `finding`; `because` is a template over the case."""

    when: Callable[[Case], bool]
    action: Action
    finding: Finding
    because: Callable[[Case], str]
    look_again: Callable[[Case], float] = lambda case: case.policy.look_again_seconds


def _frozen(case: Case) -> bool:
    """A freeze keeps runs from beginning; one that stood down behind the one-way door would undo what is open."""
    until = case.facts.head.frozen_until
    if until is None or case.facts.head.door_opened:
        return False
    return until > case.facts.now and not case.facts.forced


def _cooling(case: Case) -> bool:
    ended = case.facts.head.ended_at
    return case.automatic and ended is not None and case.facts.now < ended + case.policy.cooldown_seconds


def _loss_sentence(case: Case) -> str:
    return f"about {case.loss:.0f} s of writes would be lost, the limit is {case.policy.max_data_loss_seconds:.0f} s"


RULES: tuple[Rule, ...] = (
    Rule(
        _frozen,
        Action.STAND_DOWN,
        Finding.FROZEN,
        lambda c: f"failover is frozen by an operator: {c.facts.head.frozen_because or 'no reason given'}",
    ),
    Rule(
        lambda c: c.facts.head.active == c.facts.here and not c.facts.head.door_opened,
        Action.STAND_DOWN,
        Finding.ALREADY_ACTIVE,
        lambda c: f"{c.facts.here} is active already, there is nothing to fail over from",
    ),
    Rule(
        lambda c: c.facts.locked_by_another,
        Action.STAND_DOWN,
        Finding.IN_PROGRESS,
        lambda c: f"another run is in progress: {c.facts.head.owner}",
    ),
    # Behind the one-way door there is only forward, whatever the views say now (rule 6).
    Rule(
        lambda c: c.facts.head.door_opened,
        Action.PROCEED,
        Finding.HALF_DONE,
        lambda c: (
            f"a promotion was begun (epoch {c.facts.head.promotion and c.facts.head.promotion.epoch}) and its run did "
            "not end: going on from there"
        ),
    ),
    Rule(
        _cooling,
        Action.STAND_DOWN,
        Finding.COOLDOWN,
        lambda c: f"the last failover ended less than {c.policy.cooldown_seconds:.0f} s ago",
    ),
    Rule(
        lambda c: not c.replica_ready and not c.facts.forced,
        Action.STAND_DOWN,
        Finding.DR_NOT_READY,
        lambda c: (
            "the replica of this Region cannot be promoted: "
            + (
                "RDS did not answer"
                if c.facts.replica is None
                else f"its status is {c.facts.replica.status or 'not found'}"
            )
        ),
    ),
    # A person who starts a run has decided; the quorum is for the machinery.
    Rule(
        lambda c: not c.automatic,
        Action.PROCEED,
        Finding.BY_HAND,
        lambda c: "started by hand" + (", forced" if c.facts.forced else ""),
    ),
    # A Region that is only being set up is not lost: whoever deploys would be woken by their own work.
    Rule(
        lambda c: not c.view(View.FROM_DR).ever_up,
        Action.STAND_DOWN,
        Finding.NEVER_UP,
        lambda c: "the primary was never seen up from here, so there is nothing yet to fail over from",
    ),
    Rule(
        lambda c: c.seen(View.OUTSIDE) is Seen.UP and c.seen(View.FROM_DR) is Seen.UP,
        Action.STAND_DOWN,
        Finding.PRIMARY_UP,
        lambda c: "the primary answers again, from outside and from here: a false alarm, or over by itself",
    ),
    Rule(
        lambda c: c.seen(View.OUTSIDE) is Seen.UP,
        Action.STAND_DOWN,
        Finding.UP_FROM_OUTSIDE,
        lambda c: f"clients outside reach the primary, whatever is seen from here ({c.view(View.FROM_DR).sentence})",
    ),
    Rule(
        lambda c: c.seen(View.CONTROL) is not Seen.UP,
        Action.STAND_DOWN,
        Finding.DR_ISOLATED,
        lambda c: (
            f"this Region cannot prove its own connectivity ({c.view(View.CONTROL).sentence}), so it does not count"
        ),
    ),
    Rule(
        lambda c: c.seen(View.FROM_DR) is not Seen.DOWN,
        Action.STAND_DOWN,
        Finding.ONE_VIEW_ONLY,
        lambda c: f"only one view says so; from here: {c.view(View.FROM_DR).sentence}",
    ),
    Rule(
        lambda c: c.facts.peer_database in BUSY,
        Action.WAIT,
        Finding.PEER_DATABASE_BUSY,
        lambda c: f"the primary's database is {c.facts.peer_database}: it will answer again by itself",
    ),
    Rule(
        lambda c: c.seen(View.STREAM) is Seen.UP,
        Action.ASK,
        Finding.APPLICATION_LOST,
        lambda c: "the application is lost but its database is alive and replicates: mode `planned` would lose nothing",
    ),
    Rule(
        lambda c: c.hold_down_left > 0,
        Action.WAIT,
        Finding.DOWN_TOO_SHORT,
        lambda c: f"down for {c.facts.now - c.down_since:.0f} s of the {c.hold_down:.0f} s that it must last",
        # The lap after the next one must not come late: sleep no longer than what is left.
        lambda c: min(c.policy.look_again_seconds, c.hold_down_left),
    ),
    Rule(
        lambda c: c.seen(View.STREAM) is not Seen.DOWN,
        Action.ASK,
        Finding.STREAM_UNKNOWN,
        lambda c: f"the replication stream cannot be judged ({c.view(View.STREAM).sentence})",
    ),
    Rule(
        lambda c: c.seen(View.OUTSIDE) is not Seen.DOWN,
        Action.ASK,
        Finding.OUTSIDE_UNKNOWN,
        lambda c: f"nothing is known from outside ({c.view(View.OUTSIDE).sentence})",
    ),
    Rule(
        lambda c: c.loss is None,
        Action.ASK,
        Finding.DATA_LOSS_UNKNOWN,
        lambda c: "how much would be lost is unknown: neither a commit nor a heartbeat is known here",
    ),
    Rule(
        lambda c: c.loss is not None and c.loss > c.policy.max_data_loss_seconds,
        Action.ASK,
        Finding.DATA_LOSS_TOO_LARGE,
        _loss_sentence,
    ),
    Rule(
        lambda c: c.policy.approval is Approval.MANUAL,
        Action.REFUSE,
        Finding.POLICY_MANUAL,
        lambda c: "the primary is lost, and by policy only a person starts a failover",
    ),
    Rule(
        lambda c: c.policy.approval is Approval.APPROVE,
        Action.ASK,
        Finding.POLICY_APPROVE,
        lambda c: "the primary is lost, and by policy a person approves a failover",
    ),
    Rule(
        lambda c: c.database_only,
        Action.PROCEED,
        Finding.DATABASE_LOST,
        lambda c: (
            f"the primary's database is lost for {c.facts.now - c.down_since:.0f} s; its application still answers"
        ),
    ),
    Rule(
        lambda c: True,
        Action.PROCEED,
        Finding.REGION_LOST,
        lambda c: (
            "the primary Region is lost, from outside, from here and on the replication stream, "
            f"unbroken for {c.facts.now - c.down_since:.0f} s"
        ),
    ),
)


def decide(facts: Facts, policy: Policy) -> Verdict:
    """The first rule that matches. Total: the last rule matches whatever reaches it."""
    case = Case(facts, policy)
    rule = next(rule for rule in RULES if rule.when(case))
    look_again = rule.look_again(case) if rule.action is Action.WAIT else 0.0
    return Verdict(rule.action, rule.finding, rule.because(case), look_again, case.loss)


def starts_a_run(verdict: Verdict) -> bool:
    """Whether the probe starts a run on it: also while the hold-down runs, so that capacity warms up beside it."""
    return verdict.action in {Action.PROCEED, Action.ASK} or verdict.finding is Finding.DOWN_TOO_SHORT
