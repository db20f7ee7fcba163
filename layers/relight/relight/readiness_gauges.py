"""What readiness tells CloudWatch, and when. Pure.

CloudWatch charges a metric by the hours in which it is told. So the score is told when it has changed, and four times a
day; and once a day how many days ago a drill succeeded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from relight.readiness import Readiness

SCORE_SECONDS = 6 * 3600.0
AGE_SECONDS = 24 * 3600.0


def gauges(before: Mapping[str, Any] | None, readiness: Readiness) -> dict[str, float]:
    """The metrics to be told now; `before` is what was told before (`news.heard`). None of a Region that is active."""
    if not readiness.on_duty:
        return {}
    told: dict[str, float] = {}
    at = None if before is None or not before["on_duty"] else float(before["at"])
    if at is None or before is None or before["score"] != readiness.score or _later(at, readiness.at, SCORE_SECONDS):
        told["ReadinessScore"] = float(readiness.score)
    if readiness.practised_days is not None and (at is None or _later(at, readiness.at, AGE_SECONDS)):
        told["DrillAgeDays"] = readiness.practised_days
    return told


def _later(before: float, now: float, seconds: float) -> bool:
    """Whether another part of the day, of so many seconds, has begun since."""
    return now // seconds > before // seconds
