"""The decision: what a rule is, what it may read, and how the first of them that matches becomes a verdict.

Pure: no clock, no network, no AWS. The rules themselves are in `relight.rules`, in their order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from relight.facts import ENGINE, PROMOTABLE, Facts, Trigger
from relight.run import Mode
from relight.signal import Seen, Signal, View

if TYPE_CHECKING:
    from collections.abc import Callable

    from relight.policy import Policy


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
    ENGINE_NOT_SUPPORTED = "engine_not_supported"
    NOT_A_REPLICA = "not_a_replica"
    DR_NOT_READY = "dr_not_ready"
    PLANNED_IMPOSSIBLE = "planned_impossible"
    MODE_NEEDED = "mode_needed"
    BY_HAND = "by_hand"
    ABANDONED = "abandoned"
    NEVER_UP = "never_up"
    PRIMARY_UP = "primary_up"
    UP_FROM_OUTSIDE = "up_from_outside"
    DR_ISOLATED = "dr_isolated"
    SECOND_VIEW_AWAITED = "second_view_awaited"
    ONE_VIEW_ONLY = "one_view_only"
    PEER_DATABASE_BUSY = "peer_database_busy"
    APPLICATION_DOWN_TOO_SHORT = "application_down_too_short"
    APPLICATION_LOST = "application_lost"
    DOWN_TOO_SHORT = "down_too_short"
    STREAM_UNKNOWN = "stream_unknown"
    OUTSIDE_UNKNOWN = "outside_unknown"
    DATA_LOSS_UNKNOWN = "data_loss_unknown"
    DATA_LOSS_TOO_LARGE = "data_loss_too_large"
    STOPPED_BY_US = "stopped_by_us"
    POLICY_MANUAL = "policy_manual"
    POLICY_APPROVE = "policy_approve"
    DATABASE_LOST = "database_lost"
    REGION_LOST = "region_lost"


@dataclass(frozen=True)
class Verdict:
    """What `assess` decided, why, and how soon to look again where it waits (seconds).

    `mode` is how the run goes on, now or once a person has approved.
    """

    action: Action
    finding: Finding
    sentence: str
    look_again_seconds: float = 0.0
    estimated_loss_seconds: float | None = None
    mode: Mode = Mode.EMERGENCY

    def as_dict(self) -> dict[str, Any]:
        """The verdict as the state machine reads it. The wait is rounded down: looking early costs one lap."""
        return {
            "action": self.action.value,
            "finding": self.finding.value,
            "sentence": self.sentence,
            "look_again_seconds": math.floor(self.look_again_seconds),
            "estimated_loss_seconds": self.estimated_loss_seconds,
            "mode": self.mode.value,
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
    def forced(self) -> bool:
        """A person insists. The machinery cannot: what is forced without a person counts as if it were not."""
        return self.facts.forced and not self.automatic

    @property
    def database_only(self) -> bool:
        """The application still speaks, or spoke less than a Region's hold-down ago, while its database is gone.

        One answer that does not come in time makes no lost Region of a lost database.
        """
        here = self.view(View.FROM_DR)
        return here.answered or self.facts.now - here.mute_since < self.policy.hold_down_seconds

    def _since(self, *views: View) -> float:
        return max((self.view(v).since for v in views if self.seen(v) is Seen.DOWN), default=self.facts.now)

    @property
    def down_since(self) -> float:
        """When the last view that is DOWN became so: from here on all of them were."""
        return self._since(View.OUTSIDE, View.FROM_DR, View.STREAM)

    @property
    def unanswered_since(self) -> float:
        """The same of the two views that ask the application, whatever the database does."""
        return self._since(View.OUTSIDE, View.FROM_DR)

    @property
    def hold_down(self) -> tuple[float, float]:
        """Since when the quorum counts, and how long it must last without a break: whichever is over sooner.

        A Region's loss counts from when nothing answered any more, a database's from when all were DOWN.
        """
        database = self.down_since, self.policy.database_hold_down_seconds
        here = self.view(View.FROM_DR)
        if here.answered:
            return database
        return min(database, (max(self.down_since, here.mute_since), self.policy.hold_down_seconds), key=sum)

    @property
    def hold_down_left(self) -> float:
        """Seconds until the hold-down has passed."""
        return sum(self.hold_down) - self.facts.now

    @property
    def agreement_left(self) -> float:
        """Seconds until what the application's views say has lasted as long as a Region's loss must."""
        return self.unanswered_since + self.policy.hold_down_seconds - self.facts.now

    @property
    def loss(self) -> float | None:
        """Seconds of writes that may be lost, at most; None is unknown.

        From the newest commit here until both views that ask the application said DOWN; until now where one does not.
        Not until the first bad sample of any view: where the way between the Regions broke hours before the active
        Region was lost, hours of writes would look like none.
        """
        replayed = self.facts.last_replayed_at
        if replayed is None:
            return None
        agreed = all(self.seen(view) is Seen.DOWN for view in (View.OUTSIDE, View.FROM_DR))
        return max(0.0, (self.unanswered_since if agreed else self.facts.now) - replayed)

    @property
    def engine_known(self) -> bool:
        """The replica's engine is the one whose promotion Relight knows, or nobody has said which it is."""
        return self.facts.replica is None or self.facts.replica.engine in {None, ENGINE}

    @property
    def replica_ready(self) -> bool:
        """The replica is there, and can be promoted now or after a wait."""
        return self.facts.replica is not None and self.facts.replica.status in PROMOTABLE

    @property
    def abandoned(self) -> bool:
        """An earlier run began to activate this Region and ended before its promotion, leaving its work behind.

        Or it was undone but for the peer's writes, which are still stopped.
        """
        head = self.facts.head
        return not head.door_opened and (self.facts.activating or head.quiesce is not None)

    @property
    def mode_by_hand(self) -> Mode:
        """The mode of a run started by hand: as asked; else `planned` wherever nothing needs to be lost."""
        if self.facts.mode is not None:
            return self.facts.mode
        return Mode.PLANNED if self.seen(View.STREAM) is Seen.UP else Mode.EMERGENCY

    @property
    def mode_half_done(self) -> Mode:
        """The mode in which a promotion that has begun goes on."""
        promotion = self.facts.head.promotion
        return promotion.mode if promotion is not None else Mode.EMERGENCY


def _emergency(_case: Case) -> Mode:
    return Mode.EMERGENCY


def _later(case: Case) -> float:
    return case.policy.look_again_seconds


@dataclass(frozen=True)
class Rule:
    """One row: if `when`, then `action` with `finding`.

    `condition` and `means` are for people: when the row matches, and what that tells whoever is on call. `because` is
    the sentence of one case.
    """

    finding: Finding
    action: Action
    when: Callable[[Case], bool]
    because: Callable[[Case], str]
    condition: str
    means: str
    look_again: Callable[[Case], float] = _later
    mode: Callable[[Case], Mode] = _emergency


def verdict_of(rule: Rule, case: Case) -> Verdict:
    """What a rule that matches makes of its case."""
    look_again = rule.look_again(case) if rule.action is Action.WAIT else 0.0
    return Verdict(rule.action, rule.finding, rule.because(case), look_again, case.loss, rule.mode(case))
