"""How long ago a failover was last practised. Pure; times are epoch seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relight.drill import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relight.drill import Drill

DAY = 86400.0


def age_days(drills: Iterable[Drill], now: float) -> float | None:
    """Days since a drill last succeeded that touched something; None where none ever has: no data, and not 0."""
    succeeded = (
        drill.ended_at
        for drill in drills
        if drill.kind is not Kind.PLAN and drill.status == "SUCCEEDED" and drill.ended_at is not None
    )
    last = max(succeeded, default=None)
    return None if last is None else max(0.0, now - last) / DAY
