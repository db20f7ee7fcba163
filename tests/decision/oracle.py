"""What must hold of the decision, in the words of the design: laws over raw facts, apart from the product's rules.

Nothing here asks `Case` or the rules for its answer; a law that the rules break is a defect of the rules.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from relight.decision import Action, Finding
from relight.facts import Facts, Trigger
from relight.head import State
from relight.policy import Approval, Policy
from relight.run import Mode
from relight.signal import Seen, View

from tests.decision.claim import Atom, Claim

CAN_BE_PROMOTED = frozenset({"available", "modifying"})
APPLICATION = (View.OUTSIDE, View.FROM_DR)
QUORUM = (*APPLICATION, View.STREAM)


def counts(facts: Facts, policy: Policy, view: View) -> Seen:
    """What a view says now; silent for too long it says nothing."""
    said = facts.signals[view]
    return said.seen if facts.now - said.last_seen <= policy.fresh_seconds else Seen.UNKNOWN


def down_for(facts: Facts, policy: Policy, view: View, seconds: float) -> bool:
    """DOWN, freshly, and for so long without a break."""
    return counts(facts, policy, view) is Seen.DOWN and facts.now - facts.signals[view].since >= seconds


def lost_at_most(facts: Facts, policy: Policy) -> float | None:
    """Seconds of writes: clients may have been served until both views of the application were DOWN."""
    if facts.last_replayed_at is None:
        return None
    agreed = all(counts(facts, policy, view) is Seen.DOWN for view in APPLICATION)
    served_until = max(facts.signals[view].since for view in APPLICATION) if agreed else facts.now
    return max(0.0, served_until - facts.last_replayed_at)


def _answers(facts: Facts, policy: Policy) -> bool:
    here = facts.signals[View.FROM_DR]
    return here.answered or facts.now - here.mute_since < policy.hold_down_seconds


def _affordable(facts: Facts, policy: Policy) -> bool:
    loss = lost_at_most(facts, policy)
    return loss is not None and loss <= policy.max_data_loss_seconds


def _frozen(facts: Facts, _policy: Policy) -> bool:
    head = facts.head
    if head.frozen_until is None or facts.now >= head.frozen_until:
        return False
    return head.frozen_from is None or facts.now >= head.frozen_from


def _is(view: View, seen: Seen) -> Claim:
    return Atom(lambda facts, policy: counts(facts, policy, view) is seen)


def _lasts(view: View, database: bool = False) -> Claim:
    def says(facts: Facts, policy: Policy) -> bool:
        return down_for(
            facts, policy, view, policy.database_hold_down_seconds if database else policy.hold_down_seconds
        )

    return Atom(says)


# Who asks, and what the ledger says.
NOBODY = Atom(lambda f, _p: f.trigger is Trigger.AUTOMATIC)
INSISTS = Atom(lambda f, _p: f.trigger is Trigger.MANUAL and f.forced)
DOOR = Atom(lambda f, _p: f.head.promotion is not None and f.head.state is State.PROMOTING)
BEGAN_PLANNED = Atom(lambda f, _p: f.head.promotion is not None and f.head.promotion.mode is Mode.PLANNED)
STOPPED_BY_US = Atom(lambda f, _p: f.head.quiesce is not None)
LOCKED = Atom(lambda f, _p: f.head.owner not in {None, f.asked_by} and f.head.expires_at > f.now)
FROZEN = Atom(_frozen)
COOLING = Atom(lambda f, p: f.head.ended_at is not None and f.now - f.head.ended_at < p.cooldown_seconds)
ACTIVE = Atom(lambda f, _p: f.head.active == f.here)
LEFT_BEHIND = ~DOOR & Atom(lambda f, _p: f.head.state is State.PROMOTING or f.head.quiesce is not None)
MACHINERY = NOBODY & ~DOOR
PERSON = ~NOBODY & ~DOOR
# What there is to fail over to.
PROMOTABLE = Atom(lambda f, _p: f.replica is not None and f.replica.status in CAN_BE_PROMOTED)
OTHER_ENGINE = Atom(lambda f, _p: f.replica is not None and f.replica.engine not in {None, "postgres"})
NO_REPLICA = Atom(lambda f, _p: f.replica is not None and f.replica.status is not None and f.replica.source is None)
# What is seen.
OUTSIDE_UP, OUTSIDE_DOWN = _is(View.OUTSIDE, Seen.UP), _is(View.OUTSIDE, Seen.DOWN)
HERE_UP, HERE_DOWN = _is(View.FROM_DR, Seen.UP), _is(View.FROM_DR, Seen.DOWN)
ALIVE, SILENT = _is(View.STREAM, Seen.UP), _is(View.STREAM, Seen.DOWN)
CONNECTED = _is(View.CONTROL, Seen.UP)
ANSWERS = Atom(_answers)
EVER_UP = Atom(lambda f, _p: f.signals[View.FROM_DR].ever_up)
BUSY = Atom(lambda f, _p: f.peer_database == "rebooting")
REGION_DOWN = _lasts(View.OUTSIDE) & _lasts(View.FROM_DR) & _lasts(View.STREAM)
DATABASE_DOWN = _lasts(View.OUTSIDE, True) & _lasts(View.FROM_DR, True) & _lasts(View.STREAM, True)
THE_QUORUM = CONNECTED & REGION_DOWN & (~ANSWERS | DATABASE_DOWN)
BLIP = (OUTSIDE_DOWN & ~_lasts(View.OUTSIDE)) | (HERE_DOWN & ~_lasts(View.FROM_DR))
SUSPECTED = (
    EVER_UP
    & CONNECTED
    & ~BUSY
    & _lasts(View.FROM_DR, True)
    & ((~OUTSIDE_UP & ~OUTSIDE_DOWN) | _lasts(View.OUTSIDE, True))
    & (~SILENT | _lasts(View.STREAM, True))
)
# What it would cost, and what is allowed.
AFFORDABLE = Atom(_affordable)
TELLABLE = Atom(lambda f, _p: f.last_replayed_at is not None)
AUTO = Atom(lambda _f, p: p.approval is Approval.AUTO)
MANUAL = Atom(lambda _f, p: p.approval is Approval.MANUAL)
MAY_BE_ALIVE = OUTSIDE_UP | HERE_UP | (~(OUTSIDE_DOWN & HERE_DOWN) & ~SILENT)
NO_MODE = Atom(lambda f, _p: f.mode is None)
ASKS_FOR_PLANNED = Atom(lambda f, _p: f.mode is Mode.PLANNED)
ASKS_FOR_EMERGENCY = Atom(lambda f, _p: f.mode is Mode.EMERGENCY)
MAY_BEGIN = ~ACTIVE & ~LOCKED & ~OTHER_ENGINE & ~NO_REPLICA
FREE = MACHINERY & MAY_BEGIN & ~FROZEN & ~COOLING & PROMOTABLE & EVER_UP


@dataclass(frozen=True)
class Law:
    """Wherever `when` holds, the action is none of `never`; `modes` narrows that to verdicts in one of them."""

    sentence: str
    when: Claim
    never: frozenset[Action]
    modes: frozenset[Mode] = field(default=frozenset(Mode))

    def breaks(self, action: Action, mode: Mode) -> bool:
        """Whether a verdict breaks it, where it speaks of the case."""
        return action in self.never and mode in self.modes


def _never(*actions: Action) -> frozenset[Action]:
    return frozenset(actions)


def _only(actions: Iterable[Action]) -> frozenset[Action]:
    return frozenset(Action) - frozenset(actions)


ON = _never(Action.PROCEED, Action.ASK)
MOVES = _never(Action.PROCEED, Action.ASK, Action.WAIT)
_STOPS = _only({Action.STAND_DOWN})
_GOES_ON = _only({Action.PROCEED})
_EMERGENCY, _PLANNED = frozenset({Mode.EMERGENCY}), frozenset({Mode.PLANNED})

SAFETY: tuple[Law, ...] = (
    Law(
        "without the quorum, unbroken for the hold-down, the machinery promotes nothing",
        MACHINERY & ~THE_QUORUM,
        _never(Action.PROCEED),
    ),
    Law("a fresh UP from outside vetoes", MACHINERY & OUTSIDE_UP, MOVES),
    Law("what is not DOWN from here sets nothing on: unknown is not down", MACHINERY & ~HERE_DOWN, ON),
    Law(
        "one view that stays alone ends the run: it is not waited for any longer",
        MACHINERY & ~HERE_DOWN & ~(OUTSIDE_DOWN & ~_lasts(View.OUTSIDE)),
        MOVES,
    ),
    Law("a Region that cannot prove its own connectivity sets nothing on", MACHINERY & ~CONNECTED, MOVES),
    Law(
        "a live stream forbids an emergency by the machinery, and that one is offered",
        MACHINERY & ALIVE,
        ON,
        _EMERGENCY,
    ),
    Law("a database that is being changed on purpose is waited for", MACHINERY & BUSY, ON),
    Law(
        "the machinery promotes nothing where the loss is unknown or beyond its limit",
        MACHINERY & ~AFFORDABLE,
        _never(Action.PROCEED),
    ),
    Law("the machinery promotes only by the policy auto", MACHINERY & ~AUTO, _never(Action.PROCEED)),
    Law(
        "the machinery plans nothing: to stop writes is for a person to choose",
        MACHINERY,
        _never(Action.PROCEED),
        _PLANNED,
    ),
    Law("for what has not lasted nobody is asked", MACHINERY & BLIP, ON),
    Law("what was never up cannot be lost", MACHINERY & ~EVER_UP, MOVES),
    Law(
        "what an earlier run did to a living database is no reason for another", MACHINERY & LEFT_BEHIND & ALIVE, MOVES
    ),
    Law("while another run holds the lock all others stand down", LOCKED, _STOPS),
    Law("a freeze holds, unless a person insists", FROZEN & ~DOOR & ~INSISTS, _STOPS),
    Law("what is active is not failed over to", ACTIVE & ~DOOR, _STOPS),
    Law("after a failover the machinery rests", MACHINERY & COOLING, _STOPS),
    Law("another engine is never promoted, not even with force", OTHER_ENGINE & ~DOOR, MOVES),
    Law(
        "nothing begins where there is nothing to promote, unless a person insists",
        ~PROMOTABLE & ~DOOR & ~INSISTS,
        MOVES,
    ),
    Law("what replicates from nothing is not promoted, not even with force", NO_REPLICA & ~DOOR, MOVES),
    Law(
        "a person who names no mode loses nothing while the primary may be alive, unless with force",
        PERSON & NO_MODE & ~INSISTS & MAY_BE_ALIVE,
        _never(Action.PROCEED),
        _EMERGENCY,
    ),
    Law("an outage of our own doing is put to a person", MACHINERY & STOPPED_BY_US, _never(Action.PROCEED)),
    Law("planned mode needs a live stream", PERSON & ASKS_FOR_PLANNED & ~ALIVE, MOVES),
    Law(
        "a person who started a run is neither asked nor kept waiting",
        PERSON,
        _never(Action.ASK, Action.WAIT),
    ),
    Law(
        "a run by hand loses nothing that it need not, unless that was asked for",
        PERSON & ALIVE & ~ASKS_FOR_EMERGENCY,
        _never(Action.PROCEED),
        _EMERGENCY,
    ),
)

LIVENESS: tuple[Law, ...] = (
    Law("behind the one-way door there is only forward", DOOR & ~LOCKED, _GOES_ON),
    Law("a promotion goes on in the mode in which it began", DOOR & BEGAN_PLANNED, _never(Action.PROCEED), _EMERGENCY),
    Law(
        "where all speaks for it the machinery goes on",
        FREE & THE_QUORUM & ~BUSY & AFFORDABLE & AUTO & ~STOPPED_BY_US,
        _GOES_ON,
    ),
    Law(
        "where all speaks for it and the policy is manual, that is said, and nobody is asked",
        FREE & THE_QUORUM & ~BUSY & AFFORDABLE & MANUAL & ~STOPPED_BY_US,
        _only({Action.REFUSE}),
    ),
    Law(
        "a suspicion that has lasted is decided, or put to a person, and not let go",
        FREE & SUSPECTED & ~MANUAL & ~(LEFT_BEHIND & ALIVE),
        _only(ON),
    ),
    Law(
        "a run that an alarm began does not end before the second view can have followed",
        FREE & CONNECTED & OUTSIDE_DOWN & ~_lasts(View.OUTSIDE) & ~(LEFT_BEHIND & ALIVE),
        _never(Action.STAND_DOWN, Action.REFUSE),
    ),
    Law(
        "a person who starts a run that can be done has it done",
        PERSON
        & MAY_BEGIN
        & (~FROZEN | INSISTS)
        & (PROMOTABLE | INSISTS)
        & (~ASKS_FOR_PLANNED | ALIVE)
        & (~NO_MODE | INSISTS | ALIVE | ~MAY_BE_ALIVE),
        _GOES_ON,
    ),
)
LAWS = SAFETY + LIVENESS

# What is so wherever a finding is given: the words that a person reads are true.
TRUTHS: dict[Finding, Claim] = {
    Finding.FROZEN: FROZEN & ~DOOR & ~INSISTS,
    Finding.ALREADY_ACTIVE: ACTIVE & ~DOOR,
    Finding.IN_PROGRESS: LOCKED,
    Finding.HALF_DONE: DOOR,
    Finding.COOLDOWN: NOBODY & COOLING,
    Finding.ENGINE_NOT_SUPPORTED: OTHER_ENGINE,
    Finding.NOT_A_REPLICA: NO_REPLICA,
    Finding.DR_NOT_READY: ~PROMOTABLE,
    Finding.MODE_NEEDED: ~NOBODY & NO_MODE & MAY_BE_ALIVE & ~ALIVE,
    Finding.STOPPED_BY_US: THE_QUORUM & AFFORDABLE & STOPPED_BY_US,
    Finding.PLANNED_IMPOSSIBLE: ~NOBODY & ASKS_FOR_PLANNED & ~ALIVE,
    Finding.BY_HAND: ~NOBODY,
    Finding.ABANDONED: LEFT_BEHIND & ALIVE,
    Finding.NEVER_UP: ~EVER_UP,
    Finding.PRIMARY_UP: OUTSIDE_UP & HERE_UP,
    Finding.UP_FROM_OUTSIDE: OUTSIDE_UP & ~HERE_UP,
    Finding.DR_ISOLATED: ~CONNECTED & ~OUTSIDE_UP,
    Finding.SECOND_VIEW_AWAITED: OUTSIDE_DOWN & ~HERE_DOWN & CONNECTED,
    Finding.ONE_VIEW_ONLY: ~HERE_DOWN & CONNECTED & ~OUTSIDE_UP,
    Finding.PEER_DATABASE_BUSY: BUSY & HERE_DOWN,
    Finding.APPLICATION_DOWN_TOO_SHORT: ALIVE & HERE_DOWN & BLIP,
    Finding.APPLICATION_LOST: ALIVE & HERE_DOWN & ~BLIP,
    Finding.DOWN_TOO_SHORT: ~ALIVE & HERE_DOWN & (~REGION_DOWN | (ANSWERS & ~DATABASE_DOWN)),
    Finding.STREAM_UNKNOWN: ~ALIVE & ~SILENT & HERE_DOWN,
    Finding.OUTSIDE_UNKNOWN: ~OUTSIDE_UP & ~OUTSIDE_DOWN & SILENT,
    Finding.DATA_LOSS_UNKNOWN: THE_QUORUM & ~TELLABLE,
    Finding.DATA_LOSS_TOO_LARGE: THE_QUORUM & TELLABLE & ~AFFORDABLE,
    Finding.POLICY_MANUAL: THE_QUORUM & AFFORDABLE & MANUAL,
    Finding.POLICY_APPROVE: THE_QUORUM & AFFORDABLE & ~MANUAL & ~AUTO,
    Finding.DATABASE_LOST: THE_QUORUM & ANSWERS,
    Finding.REGION_LOST: THE_QUORUM & ~ANSWERS,
}
