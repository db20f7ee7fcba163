"""Everything the decision may look at, gathered before it and frozen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from relight.head import State
from relight.signal import Seen, Signal, View

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relight.head import Head
    from relight.run import Mode

# What RDS calls an instance that is being changed on purpose: it will answer again by itself.
BUSY = frozenset(
    {"rebooting", "modifying", "upgrading", "maintenance", "renaming", "resetting-master-credentials", "starting"}
)
# A replica in one of these can be promoted now, or after a wait.
PROMOTABLE = BUSY | frozenset({"available", "backing-up", "storage-optimization", "configuring-enhanced-monitoring"})


# The engine whose promotion Relight knows; a promoted replica of another one behaves otherwise.
ENGINE = "postgres"


class Trigger(StrEnum):
    """Who started the run: the machinery, or a person, for whom the quorum is skipped."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


@dataclass(frozen=True)
class Replica:
    """The database of this Region as RDS describes it; `status` is None where RDS knows no such instance."""

    status: str | None
    source: str | None  # identifier or ARN of what it replicates from; None once promoted
    engine: str | None = None  # as RDS names it; None where nobody has looked


@dataclass(frozen=True)
class Facts:
    """What is known at `now` (epoch seconds). Signals are as gathered; the decision applies their freshness."""

    now: float
    here: str
    head: Head
    asked_by: str | None  # owner of the run that asks; None for the probe
    trigger: Trigger
    forced: bool
    signals: Mapping[View, Signal]
    replica: Replica | None  # None: RDS of this Region did not answer
    peer_database: str | None  # status; None: the peer's RDS did not answer
    last_replayed_at: float | None  # newest commit or heartbeat known to be here
    mode: Mode | None = None  # as a person has asked for; None leaves it to the decision

    @property
    def locked_by_another(self) -> bool:
        """A run that is not ours holds a lock that has not expired."""
        return self.head.owner not in {None, self.asked_by} and self.head.expires_at > self.now

    @property
    def activating(self) -> bool:
        """The ledger says that this Region is being activated."""
        return self.head.state is State.PROMOTING

    @property
    def first_bad(self) -> float | None:
        """t0: when the oldest view that is DOWN first was so."""
        return min(
            (s.since for s in self.signals.values() if s.seen is Seen.DOWN and s.view is not View.CONTROL), default=None
        )
