"""How long something that is only good to have is waited for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class TooSlow(Exception):
    """It took longer than there is time."""


@dataclass(frozen=True)
class Patience:
    """Until a moment (epoch seconds)."""

    clock: Callable[[], float]
    until: float

    def check(self, who: str) -> None:
        """TooSlow where the time is over; asked before the next call."""
        if self.clock() > self.until:
            raise TooSlow(f"{who} took too long to tell all")
