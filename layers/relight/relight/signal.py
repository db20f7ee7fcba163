"""One view of the primary: UP, DOWN or UNKNOWN, since when, and when it was last seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class View(StrEnum):
    """From where, or at what, we look."""

    OUTSIDE = "outside"  # what Route 53's checkers see, asked through DNS
    FROM_DR = "from_dr"  # our own samples of the peer's readiness page
    STREAM = "stream"  # the replication stream into this Region's replica
    CONTROL = "control"  # this Region's own connectivity


class Seen(StrEnum):
    """Three-valued on purpose: unknown is not down, and not up (rule 7)."""

    UP = "UP"
    DOWN = "DOWN"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Sample:
    """One look: when it began (epoch seconds), what it saw, and the sentence that explains it."""

    at: float
    seen: Seen
    sentence: str
    answered: bool = False  # something at the other end spoke HTTP to us, whatever it said


@dataclass(frozen=True)
class Signal:
    """The state of a view: unbroken since `since`, last seen at `last_seen` (all epoch seconds).

    `mute_since`: since when nothing at the other end has answered; while something does, when that was last seen.
    """

    view: View
    seen: Seen
    since: float
    last_seen: float
    sentence: str
    answered: bool = False
    ever_up: bool = True  # it was UP at some time; what was never up cannot be lost
    mute_since: float = 0.0

    @classmethod
    def unknown(cls, view: View, sentence: str = "nothing has been seen yet") -> Signal:
        """A view that says nothing."""
        return cls(view, Seen.UNKNOWN, 0.0, 0.0, sentence, ever_up=False)

    def at(self, now: float, fresh_seconds: float) -> Signal:
        """The same signal as it counts now: silent for longer than `fresh_seconds`, it is UNKNOWN."""
        if self.seen is Seen.UNKNOWN or now - self.last_seen <= fresh_seconds:
            return self
        return replace(self, seen=Seen.UNKNOWN, sentence=f"silent for {now - self.last_seen:.0f} s ({self.sentence})")


def observe(before: Signal | None, view: View, sample: Sample, fresh_seconds: float) -> Signal:
    """The signal after one more sample. `since` is kept only while the state is the same and was never silent."""
    if before is None:
        first = Signal(view, sample.seen, sample.at, sample.at, sample.sentence, sample.answered)
        return replace(first, ever_up=sample.seen is Seen.UP, mute_since=sample.at)
    if sample.at < before.last_seen:
        return _late(before, sample)
    unbroken = before.seen is sample.seen is before.at(sample.at, fresh_seconds).seen
    since = before.since if unbroken else sample.at
    mute = unbroken and not sample.answered and not before.answered
    return Signal(
        view,
        sample.seen,
        since,
        sample.at,
        sample.sentence,
        sample.answered,
        sample.seen is Seen.UP or before.ever_up,
        before.mute_since if mute else sample.at,
    )


def _late(before: Signal, sample: Sample) -> Signal:
    """A sample that arrives after a newer one moves the signal no way back, but what it saw otherwise has broken it."""
    broken = sample.seen is not before.seen and sample.at >= before.since
    spoke = sample.answered and sample.at >= before.mute_since
    return replace(
        before,
        since=before.last_seen if broken else before.since,
        ever_up=sample.seen is Seen.UP or before.ever_up,
        mute_since=before.last_seen if broken or spoke else before.mute_since,
    )
