"""A retired database: the old active one, kept under another name until a person lets it be deleted. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Retired:
    """What is known of it. Times are epoch seconds."""

    instance: str  # its name now
    of: str  # the identifier that it had, and that its successor has
    epoch: int  # of the activation by which it was superseded
    run: str  # that retired it
    retired_at: float
    snapshot: str | None  # taken before anything was done to it; None where it was gone already


def retired_name(identifier: str, epoch: int) -> str:
    """The name under which it is kept; RDS takes 63 characters."""
    suffix = f"-retired-{epoch}"
    return identifier[: 63 - len(suffix)].rstrip("-") + suffix
