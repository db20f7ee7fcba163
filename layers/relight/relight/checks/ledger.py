"""What stands in the way in the ledgers, and what a failover would need of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relight.head import State
from relight.moment import lasting, told
from relight.readiness_check import Area, Row, fails, is_young, passes, warns
from relight.readiness_facts import Unseen, known
from relight.signal import Seen, View

if TYPE_CHECKING:
    from relight.head import Head
    from relight.readiness_check import Judgement
    from relight.readiness_facts import ReadinessFacts

# The probe is called each minute, and keeps a signal three times in `FreshSeconds`, which are 600 at most.
STALE_SECONDS = 300.0
SILENT_SECONDS = 600.0


def lost_since(facts: ReadinessFacts, now: float) -> float | None:
    """Since when the active Region is down: both views that ask its application say so, and lately; None while not.

    From the later of the two on, as the decision counts a loss (`Case.loss`): one view alone may be the way between the
    Regions, which breaks the stream, too, and what has not arrived since then would be lost all the same.
    """
    signals = facts.ledger.signals
    if isinstance(signals, Unseen):
        return None
    asked = [signals[view].at(now, STALE_SECONDS) for view in (View.OUTSIDE, View.FROM_DR)]
    return max(one.since for one in asked) if all(one.seen is Seen.DOWN for one in asked) else None


def _ledger(facts: ReadinessFacts, now: float) -> Judgement:
    head = known(facts.ledger.head)
    at_work = head.owner is not None and head.expires_at > now
    if head.door_opened and not at_work:
        return fails(f"the promotion that epoch {head.epoch} has begun was not brought to its end, and no run is at it")
    if at_work:
        return warns(f"a run holds the lock: {(head.owner or '').rpartition(':')[2]}")
    if head.state is not State.STEADY:
        return warns("the ledger says that this Region is being activated, and no run is at it")
    if head.frozen_at(now):
        return warns(f"failover is frozen until {told(head.frozen_until or 0)}: {head.frozen_because or 'no reason'}")
    return _agreement(facts, head)


def _agreement(facts: ReadinessFacts, head: Head) -> Judgement:
    other = facts.ledger.peer_head
    if not isinstance(other, Unseen) and other.active != head.active:
        return warns(f"{facts.here} takes {head.active} for the active Region, {facts.peer} takes {other.active}")
    also = "" if isinstance(other, Unseen) else ", and both ledgers say so"
    return passes(f"{head.active} is active since epoch {head.active_epoch}{also}; no run, no freeze")


def _kept(facts: ReadinessFacts, now: float) -> Judgement:
    capacity = known(facts.ledger.capacity)
    parts = {
        "capacity": all(sizes is not None for sizes in capacity.values()),
        "database": known(facts.ledger.database) is not None,
        "release": facts.storage.release_key is None or known(facts.ledger.release) is not None,
    }
    lacking = [name for name, there in parts.items() if not there]
    if not lacking:
        return passes("capacity, database and release of the other Region are kept here")
    said = f"of the other Region, {' and '.join(lacking)} have not been seen yet"
    if is_young(facts, now):
        return passes(f"{said}; this Region has been there for {lasting(facts.age(now))} only")
    return warns(f"{said}: a failover would take the defaults")


def _views(facts: ReadinessFacts, now: float) -> Judgement:
    signals = known(facts.ledger.signals)
    silent = {view: now - signals[view].last_seen for view in View if now - signals[view].last_seen > STALE_SECONDS}
    if silent:
        if is_young(facts, now) and all(signals[view].last_seen <= 0 for view in silent):
            return passes("the probe has not watched yet; it does so each minute")
        worst = max(silent.values())
        said = f"the probe has kept nothing of {', '.join(silent)} for {lasting(worst)}"
        return fails(said) if worst > SILENT_SECONDS else warns(said)
    blind = [view for view in (View.OUTSIDE, View.CONTROL) if signals[view].seen is not Seen.UP]
    if blind:
        return warns("; ".join(f"{view}: {signals[view].sentence}" for view in blind))
    return passes("the probe sees the active Region from outside and from here, and keeps what it sees")


ROWS = (
    Row(
        "ledger",
        Area.LEDGER,
        _ledger,
        "No run and no freeze is in the way, and both ledgers name the same active Region.",
        "A run holds the lock, failover is frozen, or the two ledgers name different active Regions.",
        "A promotion was begun, and no run is there to bring it to its end.",
        "Follow the run that is named; `relight unfreeze`. Start the failover machine where a promotion was left.",
    ),
    Row(
        "kept",
        Area.LEDGER,
        _kept,
        "The primary's last capacity, database properties and release are kept in this ledger.",
        "One of them was never seen, and this Region is older than 15 minutes.",
        None,
        "Look at the log of the probe, which keeps capacity and properties each minute while the primary is up; the "
        "release is kept by each look at readiness.",
    ),
    Row(
        "views",
        Area.WATCH,
        _views,
        "The probe has kept every view lately, sees the site from outside, and proves its own connectivity.",
        "A view is silent for more than five minutes, or the one from outside or this Region's connectivity is not UP.",
        "A view is silent for more than ten minutes: nobody watches the primary.",
        "Look at the log of the probe, and at its schedule. A view that is not UP says why in its sentence.",
    ),
)
