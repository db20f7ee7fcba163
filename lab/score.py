"""From the clients' log and the facts of a rehearsal to its figures. Pure: no clock, no files, nothing guessed.

What the figures mean is written in docs/rehearsal.md. Where a figure cannot be known it is None.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from lab.attempts import Attempt

# Rule 10 of the design: t3 (fenced) happens beside the promotion and has no place of its own in the order.
_ORDER = (("t0", "t1", "t2", "t4", "t5", "t6"), ("t5", "t7", "t8"))
PHASES = tuple(f"t{number}" for number in range(9))


@dataclass(frozen=True)
class Outage:
    """A span in which no client had a write acknowledged, and in which at least one sample was bad."""

    last_good: float | None
    """The acknowledgement before it; None when the log has none."""
    first_bad: float
    """When the first bad sample of the span was sent, but not before the loss."""
    first_good: float | None
    """The acknowledgement that ended it; None when it was not seen to end."""
    seen_until: float
    """The end of the span as far as the log goes."""

    @property
    def seconds(self) -> float:
        """From the first bad sample to the end, or to the end of the log."""
        return self.seen_until - self.first_bad


def outages(attempts: Collection[Attempt], since: float | None = None) -> tuple[Outage, ...]:
    """Every outage in the clients' log after `since` (epoch seconds; None for the whole log), in order.

    A read that succeeds does not end an outage: a replica can answer reads.
    """
    begin = float("-inf") if since is None else since
    good = sorted(attempt.got for attempt in attempts if attempt.acknowledged and attempt.good)
    bad = sorted(max(attempt.sent, begin) for attempt in attempts if not attempt.good and attempt.got >= begin)
    end = max((attempt.got for attempt in attempts), default=begin)
    found: dict[int, Outage] = {}
    for moment in bad:
        gap = bisect_right(good, moment)
        if gap not in found:
            first_good = good[gap] if gap < len(good) else None
            found[gap] = Outage(
                last_good=good[gap - 1] if gap else None,
                first_bad=moment,
                first_good=first_good,
                seen_until=end if first_good is None else first_good,
            )
    return tuple(found.values())


def client_failures(attempts: Iterable[Attempt], since: float, until: float) -> int:
    """How many attempts that were under way between these moments had another end than the one that was hoped for."""
    return sum(not attempt.good for attempt in attempts if attempt.got >= since and attempt.sent <= until)


def longest_outage(attempts: Collection[Attempt], since: float | None = None) -> Outage | None:
    """The outage that RTO is taken from; None when no sample was bad."""
    return max(outages(attempts, since), key=lambda outage: outage.seconds, default=None)


def rto_seconds(outage: Outage | None) -> float | None:
    """From the first bad sample to the first acknowledged write; None without an outage or without its end."""
    return None if outage is None or outage.first_good is None else outage.first_good - outage.first_bad


def outage_seconds(outage: Outage | None) -> float | None:
    """From the last good answer to the next one: 0.0 without an outage, None without either end."""
    if outage is None:
        return 0.0
    if outage.first_good is None or outage.last_good is None:
        return None
    return outage.first_good - outage.last_good


def acknowledgements(attempts: Iterable[Attempt]) -> dict[str, float]:
    """When each order was first acknowledged: id to epoch seconds, in the order of the acknowledgements."""
    first: dict[str, float] = {}
    for attempt in sorted(attempts, key=lambda attempt: attempt.got):
        if attempt.acknowledged:
            first.setdefault(attempt.id, attempt.got)
    return first


def missing(acknowledged: Mapping[str, float], active_ids: Collection[str] | None) -> tuple[str, ...] | None:
    """The acknowledged orders that the active database has not got; None when nobody could look into it."""
    if active_ids is None:
        return None
    present = frozenset(active_ids)
    return tuple(order for order in acknowledged if order not in present)


def rpo_seconds(
    acknowledged: Mapping[str, float], missing_ids: Sequence[str] | None, lost_at: float | None
) -> float | None:
    """Seconds of acknowledged writes lost: from the oldest missing acknowledgement to the loss.

    To the newest missing one, where that came after the loss. 0.0 when none is missing; None when that is not known.
    """
    if missing_ids is None:
        return None
    times = [acknowledged[order] for order in missing_ids if order in acknowledged]
    if not times:
        return 0.0
    return max(times) - min(times) if lost_at is None else max(lost_at, *times) - min(times)


@dataclass(frozen=True)
class Streamed:
    """Missing orders, told apart by whether the replica had received their commit when the Region was lost."""

    streamed: tuple[str, ...] = ()
    not_streamed: tuple[str, ...] = ()
    unplaced: tuple[str, ...] = ()
    """The lost database's log has no commit of them, or it is not known how far the replica had come."""


def by_streaming(missing_ids: Iterable[str], commit_lsns: Mapping[str, int], received_lsn: int | None) -> Streamed:
    """Sort the missing orders. LSNs are byte positions in the write-ahead log; a commit AT the received one is in."""
    streamed: list[str] = []
    not_streamed: list[str] = []
    unplaced: list[str] = []
    for order in missing_ids:
        commit = commit_lsns.get(order)
        if commit is None or received_lsn is None:
            unplaced.append(order)
        else:
            (streamed if commit <= received_lsn else not_streamed).append(order)
    return Streamed(tuple(streamed), tuple(not_streamed), tuple(unplaced))


def acknowledged_by_old_side(
    attempts: Iterable[Attempt],
    old_region: str,
    promotions: int,
    promoted_at: float | None,
    committed_before: Collection[str] = (),
) -> Mapping[str, float] | None:
    """When the old primary last acknowledged each order after t4, when there was another database that took writes.

    An acknowledgement that does not say its Region counts too; one of an order that the old database is known to have
    committed before t4 does not: it was on its way while nobody could reach that Region. Empty without a promotion;
    None when there was one and its moment is not known.
    """
    if promotions == 0:
        return {}
    if promoted_at is None:
        return None
    return {
        attempt.id: attempt.got
        for attempt in sorted(attempts, key=lambda attempt: attempt.got)
        if attempt.acknowledged
        and attempt.got > promoted_at
        and attempt.region in (old_region, None)
        and attempt.id not in committed_before
    }


def old_side_wrote_seconds(both_sides: Mapping[str, float] | None, returned_at: float | None) -> float | None:
    """From the old primary's return to the last write that it acknowledged; 0.0 when it acknowledged none after it.

    None when it did not return, or its acknowledgements are not known.
    """
    if both_sides is None or returned_at is None:
        return None
    return max((got - returned_at for got in both_sides.values() if got > returned_at), default=0.0)


def old_side_answers(attempts: Iterable[Attempt], old_region: str, returned_at: float | None) -> int | None:
    """How often the application in the old primary answered, whatever it said, since its return; None without one."""
    if returned_at is None:
        return None
    return sum(attempt.region == old_region and attempt.got > returned_at for attempt in attempts)


def led_back(attempts: Iterable[Attempt], old_addresses: Collection[str], returned_at: float | None) -> int | None:
    """How often DNS led a client to the old primary since its return; None without one."""
    if returned_at is None:
        return None
    return sum(
        attempt.sent > returned_at and not frozenset(attempt.answer).isdisjoint(old_addresses) for attempt in attempts
    )


def answered_before(
    attempts: Iterable[Attempt], dr_region: str, promoted_at: float | None, dr_addresses: Collection[str] = ()
) -> tuple[Attempt, ...]:
    """Whatever DR answered, good or bad, before t4 (None: at any time, as it was never promoted).

    An answer is DR's by its header, or by the address that it came from.
    """
    return tuple(
        attempt
        for attempt in attempts
        if attempt.status is not None
        and (attempt.region == dr_region or attempt.address in dr_addresses)
        and (promoted_at is None or attempt.got < promoted_at)
    )


@dataclass(frozen=True)
class Handover:
    """From the last write that the old active Region acknowledged to the first that the new one did (epoch seconds)."""

    last_old: float | None
    first_new: float | None

    @property
    def read_only_seconds(self) -> float | None:
        """How long nobody took writes; negative where both did, None where one of the moments was not seen."""
        if self.last_old is None or self.first_new is None:
            return None
        return self.first_new - self.last_old


def handover(
    attempts: Iterable[Attempt], old_region: str, new_region: str, since: float, verified: float | None = None
) -> Handover:
    """How writes moved from one Region to the other after `since`, at which the old one alone was active.

    `verified` is when the run's own write was acknowledged by the new one; DNS leads no client there before that.
    """
    acknowledged = [attempt for attempt in attempts if attempt.acknowledged and attempt.got >= since]
    old = [attempt.got for attempt in acknowledged if attempt.region == old_region]
    new = [attempt.got for attempt in acknowledged if attempt.region == new_region]
    if verified is not None:
        new.append(verified)
    return Handover(max(old, default=None), min(new, default=None))


def dns_answered(attempts: Iterable[Attempt], addresses: Collection[str], since: float | None = None) -> float | None:
    """When DNS first gave a client outside one of these addresses after `since`; None when it never did."""
    begin = float("-inf") if since is None else since
    seen = (a.sent for a in attempts if a.sent >= begin and not frozenset(a.answer).isdisjoint(addresses))
    return min(seen, default=None)


def out_of_order(phases: Mapping[str, float | None]) -> tuple[str, ...]:
    """A sentence for each pair of phases that rule 10 has the other way round. Phases not seen are passed over."""
    sentences = []
    for chain in _ORDER:
        seen = [(name, moment) for name in chain if (moment := phases.get(name)) is not None]
        for (earlier, before), (later, after) in pairwise(seen):
            if after < before:
                sentences.append(f"{later} is {before - after:.3f} s before {earlier}")
    return tuple(sentences)


def record_rto_seconds(phases: Mapping[str, float | None]) -> float | None:
    """RTO as the run recorded it: t8 - t0; None where it did not see one of them."""
    first, last = phases.get("t0"), phases.get("t8")
    return None if first is None or last is None else last - first


@dataclass(frozen=True)
class Floor:
    """What RTO cannot be better than, from configured values alone. All in seconds but `threshold`."""

    interval: float
    """Between two samples of the slowest view that the quorum needs."""
    threshold: int
    """Bad samples in a row that make it DOWN."""
    hold_down: float
    fence_bound: float
    """How long the fence may take before it is given up."""
    promotion: float
    boot: float
    """From an instance's launch until it serves."""
    ttl: float
    lease: float = 0.0
    """How long the promotion waits until the old primary's write lease has surely run out; 0 without one."""

    @property
    def seconds(self) -> float:
        """Detection + hold-down + the longer of fence bound and lease + the longer of promotion and boot + TTL."""
        detection = self.interval * self.threshold
        before = detection + self.hold_down + max(self.fence_bound, self.lease)
        return before + max(self.promotion, self.boot) + self.ttl


@dataclass(frozen=True)
class Facts:
    """What is known of a rehearsal besides the clients' log."""

    lost_at: float | None = None
    """When the fault began; None when nothing was broken."""
    old_region: str = ""
    old_addresses: frozenset[str] = frozenset()
    """Where a client outside reaches the old primary."""
    old_committed_before: frozenset[str] = frozenset()
    """The ids of all orders that the old primary's database had committed before t4, as far as it can be asked."""
    old_committed_after: frozenset[str] | None = None
    """Those that it has committed since, acknowledged or not; None where it cannot be asked."""
    returned_at: float | None = None
    """When the lost Region came back; None where it did not."""
    active_ids: frozenset[str] | None = None
    """The ids of all orders in the database that is active at the end."""
    commit_lsns: Mapping[str, int] = field(default_factory=dict)
    """Of the lost database, read from its data directory afterwards."""
    received_lsn: int | None = None
    """How far the replica had received the write-ahead log at the loss."""
    promotions: int = 0
    promoted_at: float | None = None
    """t4."""


@dataclass(frozen=True)
class Figures:
    """What the clients outside saw, in figures. The names are those of the result document."""

    t_first_bad: float | None
    t_first_good_after: float | None
    rto_seconds: float | None
    outage_seconds: float | None
    rpo_seconds: float | None
    outages: tuple[Outage, ...]
    attempts: int
    acknowledged_writes: int
    unacknowledged_writes: int
    """Orders that were sent and never settled: the client does not know, and neither side owes them anything."""
    missing_writes: tuple[str, ...] | None
    missing_streamed: Streamed | None
    both_sides: Mapping[str, float] | None
    """Each order that the old primary acknowledged after t4, and when it last did."""
    old_side_commits: int | None
    """How many orders the old primary's database has committed after t4, acknowledged or not."""
    old_side_wrote_seconds: float | None
    old_side_answers: int | None
    led_back: int | None

    @property
    def writes_on_both_sides(self) -> tuple[str, ...] | None:
        """The ids of those that the old primary acknowledged after t4."""
        return None if self.both_sides is None else tuple(self.both_sides)

    @property
    def missing_streamed_writes(self) -> int | None:
        """How many streamed writes are missing; None while one missing write cannot be placed."""
        if self.missing_streamed is None or self.missing_streamed.unplaced:
            return None
        return len(self.missing_streamed.streamed)

    def fields(self) -> dict[str, Any]:
        """The figures as keyword arguments of the result."""
        names = ("rto_seconds", "outage_seconds", "rpo_seconds", "outages", "attempts", "acknowledged_writes")
        more = ("unacknowledged_writes", "missing_writes", "missing_streamed_writes")
        late = ("old_side_commits", "old_side_wrote_seconds", "old_side_answers", "led_back")
        both = self.writes_on_both_sides
        return {name: getattr(self, name) for name in (*names, *more, *late)} | {
            "writes_on_both_sides": None if both is None else len(both),
            "writes_on_both_sides_ids": both,
        }


def score(attempts: Collection[Attempt], facts: Facts) -> Figures:
    """All figures of one rehearsal."""
    spans = outages(attempts, facts.lost_at)
    longest = longest_outage(attempts, facts.lost_at)
    acknowledged = acknowledgements(attempts)
    absent = missing(acknowledged, facts.active_ids)
    written = {attempt.id for attempt in attempts if attempt.kind == "write"}
    both = acknowledged_by_old_side(
        attempts, facts.old_region, facts.promotions, facts.promoted_at, facts.old_committed_before
    )
    return Figures(
        t_first_bad=None if longest is None else longest.first_bad,
        t_first_good_after=None if longest is None else longest.first_good,
        rto_seconds=rto_seconds(longest),
        outage_seconds=outage_seconds(longest),
        rpo_seconds=rpo_seconds(acknowledged, absent, facts.lost_at),
        outages=spans,
        attempts=len(attempts),
        acknowledged_writes=len(acknowledged),
        unacknowledged_writes=len(written - acknowledged.keys()),
        missing_writes=absent,
        missing_streamed=None if absent is None else by_streaming(absent, facts.commit_lsns, facts.received_lsn),
        both_sides=both,
        old_side_commits=None if facts.old_committed_after is None else len(facts.old_committed_after),
        old_side_wrote_seconds=old_side_wrote_seconds(both, facts.returned_at),
        old_side_answers=old_side_answers(attempts, facts.old_region, facts.returned_at),
        led_back=led_back(attempts, facts.old_addresses, facts.returned_at),
    )
