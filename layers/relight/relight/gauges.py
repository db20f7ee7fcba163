"""What `guard` tells of its Region beside the switches, from the ledger's head alone.

MAINTENANCE is 1 while an operator's freeze lasts: it keeps the workload's alarms from waking people. UnprotectedSeconds
is how long this Region has been active without a standby behind it; only the Region that is not home tells it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relight.head import Head


def gauges(head: Head, here: str, home: str, now: float) -> dict[str, float]:
    """The values at `now` (epoch seconds). What is unknown is left out, so that it reads as no data."""
    told = {"MAINTENANCE": float(head.frozen_at(now))}
    unprotected = _unprotected_seconds(head, here, home, now)
    return told if unprotected is None else told | {"UnprotectedSeconds": unprotected}


def _unprotected_seconds(head: Head, here: str, home: str, now: float) -> float | None:
    """Since the promotion that made this Region active, or since its run ended; None at home and where unknown."""
    if here == home:
        return None
    if head.active != here:
        return 0.0
    called = head.promotion.called_at if head.promotion is not None else None
    began = head.ended_at if called is None else called
    return None if began is None else max(0.0, now - began)
