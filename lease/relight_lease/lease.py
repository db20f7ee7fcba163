"""How long a grant lasts, on a clock that nobody sets and that goes on while the machine is suspended."""

import math
import time
from collections.abc import Callable

type Clock = Callable[[], float]
"""Seconds from any beginning; never goes back."""

# Linux's CLOCK_MONOTONIC stands still while the machine is suspended; macOS's, where there is no BOOTTIME, does not.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Seconds since the machine was started, suspension counted."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """The right to write, until its term is over or it is taken away."""

    def __init__(self, term: float, clock: Clock = now) -> None:
        """`term` is in seconds of that clock."""
        self.term = term
        self.clock = clock
        self._end = -math.inf

    def grant(self, asked_at: float) -> None:
        """The store has said yes to what was asked at that time of the clock, from when the term counts.

        Not from the answer: the store may have changed its mind between its answer and the answer's arrival.
        """
        self._end = asked_at + self.term

    def take_away(self) -> None:
        """The store has said no."""
        self._end = -math.inf

    def end(self) -> float | None:
        """When it runs out, by its clock; None where it is not held now."""
        end = self._end
        return end if self.clock() < end else None
