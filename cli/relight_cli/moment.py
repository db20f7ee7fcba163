"""Moments as people write and read them. Pure; a moment is epoch seconds."""

import re
from datetime import UTC, datetime

_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(\d{1,5})d)?(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?")
FORMS = "an ISO time with its zone, such as 2026-11-23T18:00Z, or a duration such as 90m, 2h or 1d12h"


def moment(text: str, after: float) -> float:
    """An ISO time with its zone, or as much later than `after`. ValueError with a sentence for anything else."""
    wanted = text.strip()
    lasting = _DURATION.fullmatch(wanted)
    if wanted and lasting:
        return after + sum(
            int(count or 0) * _SECONDS[unit] for unit, count in zip("dhms", lasting.groups(), strict=True)
        )
    try:
        at = datetime.fromisoformat(wanted)
        if at.tzinfo is None:
            raise ValueError(f"{text!r} says no zone")
        return at.timestamp()
    except (OverflowError, ValueError):
        raise ValueError(f"{text!r} is not {FORMS}") from None


def told(at: float) -> str:
    """The moment in UTC, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def lasting(seconds: float) -> str:
    """A duration as people say it, its two largest units: `2 h 5 min`, `40 s`; nothing is left of what has passed."""
    left = max(0, round(seconds))
    units = [(left // 86400, "d"), (left // 3600 % 24, "h"), (left // 60 % 60, "min"), (left % 60, "s")]
    first = next((index for index, (count, _) in enumerate(units) if count), len(units) - 1)
    return " ".join(f"{count} {unit}" for count, unit in units[first : first + 2] if count or unit == units[first][1])
