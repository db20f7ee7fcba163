"""Where the zone's own name servers lead clients: to this Region, or elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from relight import names

if TYPE_CHECKING:
    from collections.abc import Sequence


def elsewhere(domain: str, self_url: str, servers: Sequence[str], timeout: float) -> str | None:
    """Why clients of `domain` are not all led to this Region, as a sentence; None where they are.

    This Region is whatever the name in `self_url` leads to, which always is this Region. `timeout` is in seconds.
    """
    host = urlsplit(self_url).hostname or ""
    try:
        site, here = (set(names.ask(name, "A", servers, timeout)) for name in (domain, host))
    except names.NoAnswer as error:
        return f"no name server of the zone answers: {error}"
    if not site or not site <= here:
        return f"DNS does not answer this Region: {', '.join(sorted(site)) or 'nothing'}"
    return None
