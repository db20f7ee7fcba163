"""Moments as people write them; `relight.moment` says how they read them. Pure; a moment is epoch seconds."""

import re
from datetime import datetime

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
