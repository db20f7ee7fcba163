"""Facts for the decision: a primary that is lost beyond doubt, of which each test changes what it is about."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from relight.decision import Finding
from relight.facts import Facts, Replica, Trigger
from relight.head import Head, Promotion, Quiesce, State
from relight.ledger import Ledger
from relight.policy import Approval, Policy
from relight.run import Mode
from relight.signal import Seen, Signal, View

from tests.unit.standby import HERE, HOME, NOW

POLICY = Policy(
    approval=Approval.AUTO,
    hold_down_seconds=60,
    database_hold_down_seconds=300,
    fresh_seconds=90,
    max_data_loss_seconds=300,
    cooldown_seconds=3600,
    look_again_seconds=10,
)
STEADY = Head(True, 1, HOME, State.STEADY)
DOOR_OPEN = Head(True, 4, HOME, State.PROMOTING, promotion=Promotion("shop-dr", "failover-4-1", 4, NOW - 50))


def began(mode: Mode) -> Head:
    """A promotion has begun, in that mode."""
    return replace(DOOR_OPEN, promotion=Promotion("shop-dr", "failover-4-1", 4, NOW - 50, mode))


ABANDONED = Head(True, 4, HOME, State.PROMOTING)
STILL_STOPPED = replace(STEADY, quiesce=Quiesce(NOW - 400, "0/5000"))
READY = Replica("available", f"arn:aws:rds:{HOME}:123456789012:db:shop-primary", "postgres")
OTHER_RUN = "arn:aws:states:eu-central-1:123456789012:execution:relight-shop-failover:other"


def signal(view: View, seen: Seen, age: float = 70, *, answered: bool = False, silent: float = 1) -> Signal:
    """A view that has been so for `age` seconds and was last seen `silent` seconds ago."""
    return Signal(view, seen, NOW - age, NOW - silent, f"{view.value} says {seen.value}", answered)


def keep_signals(ledger: Ledger, signals: Iterable[Signal]) -> None:
    """Let the ledger remember what was seen, whatever it remembered before."""
    for signal in signals:
        assert ledger.move_signal(signal, ledger.signals()[signal.view])


def signals(**changed: Signal) -> dict[View, Signal]:
    """DOWN from outside, from here and on the stream for 70 s; this Region's own connectivity is proven."""
    seen = {view: signal(view, Seen.DOWN) for view in (View.OUTSIDE, View.FROM_DR, View.STREAM)}
    return {**seen, View.CONTROL: signal(View.CONTROL, Seen.UP), **{View(name): s for name, s in changed.items()}}


LOST = Facts(
    now=NOW,
    here=HERE,
    head=STEADY,
    asked_by=None,
    trigger=Trigger.AUTOMATIC,
    forced=False,
    signals=signals(),
    replica=READY,
    peer_database=None,
    last_replayed_at=NOW - 75,
)


def facts(**changed: Any) -> Facts:
    """LOST, but for what is changed."""
    return replace(LOST, **changed)


def seen(view: View, what: Seen, age: float = 70, **more: Any) -> Facts:
    """LOST, but for one view."""
    return facts(signals=signals(**{view.value: signal(view, what, age, **more)}))


# For each finding, facts and policy that come to it, and the sentence that the person on call reads.
BY_FINDING: dict[Finding, tuple[Facts, Policy, str]] = {
    Finding.FROZEN: (
        facts(head=replace(STEADY, frozen_until=NOW + 5, frozen_because="database upgrade")),
        POLICY,
        "failover is frozen by an operator: database upgrade",
    ),
    Finding.ALREADY_ACTIVE: (
        facts(head=replace(STEADY, active=HERE)),
        POLICY,
        "eu-central-1 is active already, there is nothing to fail over from",
    ),
    Finding.IN_PROGRESS: (
        facts(head=replace(STEADY, owner=OTHER_RUN, expires_at=NOW + 1)),
        POLICY,
        f"another run is in progress: {OTHER_RUN}",
    ),
    Finding.HALF_DONE: (
        facts(head=DOOR_OPEN),
        POLICY,
        "a promotion was begun (epoch 4) and its run did not end: going on from there",
    ),
    Finding.COOLDOWN: (
        facts(head=replace(STEADY, ended_at=NOW - 3599)),
        POLICY,
        "the last failover ended less than 3600 s ago",
    ),
    Finding.ENGINE_NOT_SUPPORTED: (
        facts(replica=replace(READY, engine="mysql")),
        POLICY,
        "the replica's engine is mysql; only postgres can be promoted here",
    ),
    Finding.NOT_A_REPLICA: (
        facts(replica=replace(READY, source=None)),
        POLICY,
        "the database of eu-central-1 replicates from nothing: there is nothing to promote here",
    ),
    Finding.DR_NOT_READY: (
        facts(replica=replace(READY, status="failed")),
        POLICY,
        "the replica of this Region cannot be promoted: its status is failed",
    ),
    Finding.PLANNED_IMPOSSIBLE: (
        facts(trigger=Trigger.MANUAL, mode=Mode.PLANNED),
        POLICY,
        "planned mode needs a live replication stream (stream says DOWN)",
    ),
    Finding.MODE_NEEDED: (
        facts(trigger=Trigger.MANUAL, signals=signals(outside=signal(View.OUTSIDE, Seen.UP))),
        POLICY,
        "say which mode: the active Region may be alive (stream: stream says DOWN)",
    ),
    Finding.BY_HAND: (facts(trigger=Trigger.MANUAL), POLICY, "started by hand"),
    Finding.ABANDONED: (
        facts(head=ABANDONED, signals=signals(stream=signal(View.STREAM, Seen.UP))),
        POLICY,
        "an earlier run ended before its promotion, and the database is alive: what it changed is undone",
    ),
    Finding.NEVER_UP: (
        facts(signals=signals(from_dr=replace(signal(View.FROM_DR, Seen.DOWN), ever_up=False))),
        POLICY,
        "the active Region was never seen up from here, so there is nothing yet to fail over from",
    ),
    Finding.PRIMARY_UP: (
        facts(signals=signals(outside=signal(View.OUTSIDE, Seen.UP), from_dr=signal(View.FROM_DR, Seen.UP))),
        POLICY,
        "the active Region answers again, from outside and from here: a false alarm, or over by itself",
    ),
    Finding.UP_FROM_OUTSIDE: (
        seen(View.OUTSIDE, Seen.UP),
        POLICY,
        "clients outside reach the active Region, whatever is seen from here (from_dr says DOWN)",
    ),
    Finding.DR_ISOLATED: (
        seen(View.CONTROL, Seen.DOWN),
        POLICY,
        "this Region cannot prove its own connectivity (control says DOWN), so it does not count",
    ),
    Finding.SECOND_VIEW_AWAITED: (
        facts(signals=signals(outside=signal(View.OUTSIDE, Seen.DOWN, 59), from_dr=signal(View.FROM_DR, Seen.UP))),
        POLICY,
        "from outside the active Region is down; from here: from_dr says UP",
    ),
    Finding.ONE_VIEW_ONLY: (
        seen(View.FROM_DR, Seen.UP),
        POLICY,
        "only one view says so; from here: from_dr says UP",
    ),
    Finding.PEER_DATABASE_BUSY: (
        facts(peer_database="rebooting"),
        POLICY,
        "the active Region's database is rebooting: it will answer again by itself",
    ),
    Finding.APPLICATION_DOWN_TOO_SHORT: (
        facts(signals=signals(from_dr=signal(View.FROM_DR, Seen.DOWN, 12), stream=signal(View.STREAM, Seen.UP))),
        POLICY,
        "the application does not answer for 12 s of the 60 s that it must last; its database still replicates",
    ),
    Finding.APPLICATION_LOST: (
        seen(View.STREAM, Seen.UP),
        POLICY,
        "the application is lost but its database is alive and replicates: mode `planned` would lose nothing",
    ),
    Finding.STREAM_UNKNOWN: (
        seen(View.STREAM, Seen.UNKNOWN),
        POLICY,
        "the replication stream cannot be judged (stream says UNKNOWN)",
    ),
    Finding.DOWN_TOO_SHORT: (
        seen(View.STREAM, Seen.DOWN, age=12),
        POLICY,
        "down for 12 s of the 60 s that it must last",
    ),
    Finding.OUTSIDE_UNKNOWN: (
        seen(View.OUTSIDE, Seen.UNKNOWN),
        POLICY,
        "nothing is known from outside (outside says UNKNOWN)",
    ),
    Finding.DATA_LOSS_UNKNOWN: (
        facts(last_replayed_at=None),
        POLICY,
        "how much would be lost is unknown: neither a commit nor a heartbeat is known here",
    ),
    Finding.DATA_LOSS_TOO_LARGE: (
        facts(last_replayed_at=NOW - 70 - 301),
        POLICY,
        "about 301 s of writes would be lost, the limit is 300 s",
    ),
    Finding.STOPPED_BY_US: (
        facts(head=STILL_STOPPED),
        POLICY,
        "a planned run has stopped the active Region's writes and could not let them in again; it may be alive",
    ),
    Finding.POLICY_MANUAL: (
        facts(),
        replace(POLICY, approval=Approval.MANUAL),
        "the active Region is lost, and by policy only a person starts a failover",
    ),
    Finding.POLICY_APPROVE: (
        facts(),
        replace(POLICY, approval=Approval.APPROVE),
        "the active Region is lost, and by policy a person approves a failover",
    ),
    Finding.DATABASE_LOST: (
        facts(
            signals=signals(
                outside=signal(View.OUTSIDE, Seen.DOWN, 310),
                from_dr=signal(View.FROM_DR, Seen.DOWN, 305, answered=True),
                stream=signal(View.STREAM, Seen.DOWN, 301),
            ),
            last_replayed_at=NOW - 320,
        ),
        POLICY,
        "the active Region's database is lost for 301 s; its application still answers",
    ),
    Finding.REGION_LOST: (
        facts(),
        POLICY,
        "the active Region is lost, from outside, from here and on the replication stream, unbroken for 70 s",
    ),
}
