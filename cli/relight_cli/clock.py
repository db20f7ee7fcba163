"""This machine's clock against AWS's. Pure, but for reading a header.

AWS refuses a signature whose time is more than five minutes away from its own (Signature Version 4; S3 and others allow
15), so that a clock may be the reason why nobody can do anything. An answer's header Date has AWS's time in whole
seconds, also where the call itself was refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from relight.moment import lasting

from relight_cli.check import Check, failed, passed, warned

WARN_SECONDS = 60.0
FAIL_SECONDS = 240.0
"""A minute before a signature would be refused."""
_NAME = "clock"
_TODO = "set it by NTP (timedatectl set-ntp true), then sign in again"


@dataclass(frozen=True)
class Reading:
    """One answer: when it was asked for and came, by this machine's clock, and the time in it; all epoch seconds."""

    asked: float
    came: float
    there: float

    @property
    def ahead(self) -> float:
        """By how many seconds this machine's clock is ahead, give or take half of `doubt`."""
        # The header leaves out up to a second.
        return (self.asked + self.came) / 2 - (self.there + 0.5)

    @property
    def doubt(self) -> float:
        """Seconds that the answer was on its way, and the header's own."""
        return self.came - self.asked + 1


def reading(metadata: Mapping[str, Any], asked: float, came: float) -> Reading | None:
    """Of an answer's ResponseMetadata; None where nothing in it says what time it is."""
    try:
        told = parsedate_to_datetime(metadata["HTTPHeaders"]["date"])
    except (KeyError, TypeError, ValueError):
        return None
    return Reading(asked, came, told.replace(tzinfo=told.tzinfo or UTC).timestamp())


def judge(readings: list[Reading]) -> Check:
    """The check; the answer that took least counts."""
    if not readings:
        return warned(_NAME, "no Region has said what time it is", "compare this machine's clock with another one's")
    ahead = min(readings, key=lambda one: one.doubt).ahead
    off = f"this machine's clock is {lasting(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} AWS's"
    if abs(ahead) >= FAIL_SECONDS:
        return failed(_NAME, f"{off}: AWS refuses what is signed 5 minutes off", _TODO)
    if abs(ahead) >= WARN_SECONDS:
        return warned(_NAME, f"{off}: at 5 minutes AWS refuses every call", _TODO)
    return passed(_NAME, off)
