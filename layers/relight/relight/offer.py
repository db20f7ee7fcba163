"""The offer to go home: once for each activation of another Region, after this Region has been well for a while.

Nobody goes home by itself: that is a person's decision, and this only says that it can be made.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from relight.head import State
from relight.moment import lasting, told
from relight.telling import TOLD, Notice, Teller

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_sns import SNSClient

    from relight.head import Head
    from relight.ledger import Ledger
    from relight.settings import OfferSettings


class Move(StrEnum):
    """What a watch does about the offer."""

    NONE = "none"
    FORGET = "forget"  # since when it has been well
    NOTE = "note"  # that it is well from now on
    OFFER = "offer"


def move(own: Head, other: Head, here: str, home: str, *, well: bool, now: float, wait_seconds: float) -> Move:
    """What to do, from both heads; `well` is whether all worked in this watch. Pure; `now` is epoch seconds."""
    away = other.written and other.active != here and other.state is State.STEADY
    if not well or not away or own.home_or(home) != here:
        return Move.NONE if own.well_since is None else Move.FORGET
    if own.well_since is None:
        return Move.NOTE
    # A run here is going home already, or makes this Region a standby.
    waited = now - own.well_since >= wait_seconds
    return Move.OFFER if waited and own.owner is None and own.offered_epoch < other.active_epoch else Move.NONE


@dataclass(frozen=True)
class Offer:
    """What the guard of a Region says to people about the way home."""

    settings: OfferSettings
    ledger: Ledger
    sns: SNSClient
    clock: Callable[[], float]

    def consider(self, own: Head, other: Head, well: bool) -> str | None:
        """Offer it where it is due: the sentence that people were told, or None. Raises what boto3 raises.

        People are told before that is kept: rather twice than never.
        """
        here, now = self.settings.topic_arn.split(":")[3], self.clock()
        wait, home = self.settings.offer_seconds, self.ledger.home_region
        due = move(own, other, here, home, well=well, now=now, wait_seconds=wait)
        if due in {Move.NOTE, Move.FORGET}:
            self.ledger.note_well(now if due is Move.NOTE else None)
        if due is not Move.OFFER:
            return None
        notice = notice_of(self.settings.application, here, other, own.well_since or now, now)
        Teller(self.sns, self.settings.topic_arn, self.settings.application).tell("none", notice)
        self.ledger.note_offered(other.active_epoch)
        return notice.text.partition("\n")[0]


def notice_of(application: str, here: str, other: Head, since: float, now: float) -> Notice:
    """What people are told, for the Region `here` that has been well `since` then (epoch seconds). Pure."""
    where = f"--app {shlex.quote(application)} --region {here} --reason 'WHY'"
    lines = [
        f"{application}: {here} has been well for {lasting(now - since)}, since {told(since)}: you can go home.",
        f"{other.active} is active since epoch {other.active_epoch}. Nothing goes home by itself.",
        "This begins it: it keeps the old database, builds a replica, compares, and asks before it switches over:",
        f"relight failback {where}",
        f"If {other.active} is lost, what stands by is what was rebuilt here. To rebuild it, and no more:",
        f"relight failback --to protected {where}",
        "This is said once.",
    ]
    return Notice.of(f"Relight {application}: you can go home to {here}", lines, TOLD)
