"""Moments and durations as people read them. Pure; a moment is epoch seconds."""

from __future__ import annotations

from datetime import UTC, datetime


def told(at: float) -> str:
    """The moment in UTC, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def lasting(seconds: float) -> str:
    """A duration by its two largest units: `2 h 5 min`, `40 s`; of what has passed nothing is left: `0 s`."""
    left = max(0, round(seconds))
    units = [(left // 86400, "d"), (left // 3600 % 24, "h"), (left // 60 % 60, "min"), (left % 60, "s")]
    first = next((index for index, (count, _) in enumerate(units) if count), len(units) - 1)
    (count, unit), *rest = units[first : first + 2]
    return " ".join([f"{count} {unit}", *(f"{less} {name}" for less, name in rest if less)])
