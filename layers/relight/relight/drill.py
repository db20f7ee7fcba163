"""A drill: its kinds, the names of what lives only for it, and what is remembered of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

TAG = "relight:drill"
"""The tag of everything that lives for a drill only; its value is the run's id."""


class Kind(StrEnum):
    """What a drill rehearses.

    `plan`: every check, and what would be done; nothing is touched. `restore`: a throwaway database from the latest
    backup. `promote`: a throwaway replica, promoted and timed. `gameday`: a real failover in planned mode, and the way
    home.
    """

    PLAN = "plan"
    RESTORE = "restore"
    PROMOTE = "promote"
    GAMEDAY = "gameday"


@dataclass(frozen=True)
class Drill:
    """What the ledger remembers of one. Times are epoch seconds; `left` names what is still there of it."""

    run: str
    kind: Kind
    epoch: int
    began_at: float
    ended_at: float | None = None
    status: str | None = None  # as the evidence has it; None while it is under way, or where it was stopped
    left: tuple[str, ...] = ()


def throwaway(identifier: str, epoch: int) -> str:
    """The name of a drill's database, and of the copy of a snapshot that it is made from; RDS takes 63 characters."""
    suffix = f"-drill-{epoch}"
    return identifier[: 63 - len(suffix)].rstrip("-") + suffix


def site_name(application: str, epoch: int) -> str:
    """The name of the stack of a drill's site, and of its launch template."""
    return f"relight-{application}-drill-{epoch}"
