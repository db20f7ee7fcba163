"""What a way home has come to, from the clients' log and what was noted on the way. Pure: no clock, nothing guessed."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lab.attempts import Attempt
from lab.region import REGION_NAME, Side
from lab.report import Answered, Result, Status, Switchover
from lab.score import (
    Figures,
    Handover,
    acknowledgements,
    handover,
    missing,
    outage_seconds,
    outages,
)

_TABLE = "shop_order"


@dataclass(frozen=True)
class Half:
    """What the failover came to, as it stood before the lost Region came back."""

    until: float
    """What clients saw until then belongs to it (epoch seconds)."""
    figures: Figures

    @property
    def lost(self) -> frozenset[str]:
        """The acknowledged orders that the failover has lost."""
        return frozenset(self.figures.missing_writes or ())


@dataclass(frozen=True)
class Passage:
    """One planned change of the active Region: when a person started it, to which side, and its run's own phases."""

    to: Side
    started: float
    phases: Mapping[str, float | None]
    """t0 to t8; empty where nothing was promoted."""

    def handover(self, attempts: Iterable[Attempt], until: float) -> Handover:
        """How writes moved there, before `until`, when the next change was begun."""
        regions = REGION_NAME[self.to.other], REGION_NAME[self.to]
        return handover([a for a in attempts if a.got <= until], *regions, self.started, self.phases.get("t6"))


@dataclass(frozen=True)
class Journey:
    """All that was noted on the way."""

    half: Half | None = None
    """None where nothing was lost."""
    status: Status = Status.NO_RUN
    """Of the last failback, or of the first change of the active Region that failed."""
    passages: tuple[Passage, ...] = ()
    home_promoted: float | None = None
    """When PostgreSQL was promoted at home (epoch seconds): clients write there before the run has learnt of it."""
    reconciled: tuple[str, ...] | None = None
    """The orders that the newest reconciliation report names as being in a retired database alone."""
    drift: tuple[str, ...] | None = None
    """What is not as it was before all began; None where nobody looked."""
    held: bool | None = None
    """Whether HOLD was 1 at the end; None where it does not matter."""
    waited_in_vain: tuple[str, ...] = ()
    answers: tuple[Answered, ...] = ()
    home_ids: frozenset[str] | None = None
    """All orders in home's database at the end; None where it could not be read."""


def reconciled(report: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of the orders that a reconciliation report names as being in the retired database alone."""
    rows = (row for table in report["tables"] if table["name"] == _TABLE for row in table["rows"])
    return tuple(str(row["key"]["id"]) for row in rows if row["active"] is None)


def amended(result: Result, journey: Journey, attempts: Collection[Attempt]) -> Result:
    """The result of what was lost or switched over, with what the whole journey came to."""
    acknowledged = acknowledgements(attempts)
    changed = switchovers(journey.passages, attempts, acknowledged, journey.home_ids)
    last = changed[-1] if changed else None
    late = _late_at_home(attempts, journey)
    both = None if result.writes_on_both_sides_ids is None else (*result.writes_on_both_sides_ids, *late)
    return replace(
        result,
        status=journey.status,
        attempts=len(attempts),
        acknowledged_writes=len(acknowledged),
        missing_writes=missing(acknowledged, journey.home_ids),
        lost_in_failover=None if journey.half is None else journey.half.figures.missing_writes,
        reconciled=journey.reconciled,
        writes_on_both_sides=None if both is None else len(both),
        writes_on_both_sides_ids=both,
        home_started_at=journey.passages[0].started if journey.passages else None,
        home_phases=dict(journey.passages[-1].phases) if journey.passages else {},
        read_only_seconds=None if last is None else last.read_only_seconds,
        home_outage_seconds=None if last is None else last.outage_seconds,
        switchovers=changed,
        circle_drift=journey.drift,
        held=journey.held,
        waited_in_vain=journey.waited_in_vain,
        answers=result.answers + journey.answers,
    )


def switchovers(
    passages: Sequence[Passage],
    attempts: Collection[Attempt],
    acknowledged: Mapping[str, float],
    home_ids: Collection[str] | None,
) -> tuple[Switchover, ...]:
    """A row for each planned change of the active Region that has promoted one."""
    rows = []
    last = max((attempt.got for attempt in attempts), default=math.inf)
    ends = [*(passage.started for passage in passages[1:]), last]
    for number, (passage, until) in enumerate(zip(passages, ends, strict=False), 1):
        if passage.phases.get("t4") is None:
            continue
        moved = passage.handover(attempts, until)
        within = {order: at for order, at in acknowledged.items() if passage.started <= at <= until}
        rows.append(
            Switchover(
                number=number,
                active=REGION_NAME[passage.to],
                started=passage.started,
                read_only_seconds=moved.read_only_seconds,
                outage_seconds=_outage(attempts, moved.last_old, until),
                promotion_seconds=_between(passage.phases, "t2", "t4"),
                seconds=until - passage.started,
                acknowledged_writes=len(within),
                missing_writes=missing(within, home_ids),
            )
        )
    return tuple(rows)


def _between(phases: Mapping[str, float | None], first: str, last: str) -> float | None:
    begin, end = phases.get(first), phases.get(last)
    return None if begin is None or end is None else end - begin


def _late_at_home(attempts: Collection[Attempt], journey: Journey) -> tuple[str, ...]:
    """What the Region that came back has acknowledged before its replica was promoted: the other one was active."""
    if journey.half is None:
        return ()
    region, since = REGION_NAME[Side.PRIMARY], journey.half.until
    before = math.inf if journey.home_promoted is None else journey.home_promoted
    return tuple(a.id for a in attempts if a.acknowledged and a.region == region and since < a.got < before)


def _outage(attempts: Iterable[Attempt], since: float | None, until: float) -> float | None:
    """The longest time around a change in which clients had no write acknowledged; None where it did not begin."""
    if since is None:
        return None
    seen = [attempt for attempt in attempts if attempt.got <= until]
    return outage_seconds(max(outages(seen, since), key=lambda outage: outage.seconds, default=None))
