"""`fence`: cut the peer's writes where they land. Bounded, never blocking; what came of it is recorded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FenceTimeout
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from relight.step import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from relight.ledger import Ledger
    from relight.network_acl import NetworkAcl
    from relight.run import Run


class Fence(StrEnum):
    """What is known of the fence. `unknown`: it was asked for, and nothing came back in time."""

    FENCED = "fenced"
    LIFTED = "lifted"
    KEPT = "kept"
    UNKNOWN = "unknown"
    FAILED = "failed"


@dataclass(frozen=True)
class Fencing:
    """One attempt at the peer's network ACL; `acl` is None where the peer's is not known to this Region."""

    acl: NetworkAcl | None
    ledger: Ledger
    fence_seconds: float
    clock: Callable[[], float]
    threads: ThreadPoolExecutor
    here: str  # this Region

    def cut(self, run: Run) -> Outcome:
        """Fence the peer, or give up after `fence_seconds`: a lost Region cannot be asked, and must not hold us up."""
        fence, why = self._attempt(lambda acl: acl.deny())
        self.ledger.mark(run, "t3", self.clock())
        said = {
            Fence.FENCED: "the peer's application is cut off from its database",
            Fence.UNKNOWN: f"the fence was asked for, and the peer did not answer within {self.fence_seconds:g} s",
            Fence.FAILED: f"the peer could not be fenced: {why}",
        }
        return Outcome.done(said[fence], fence=fence.value)

    def lift(self) -> Outcome:
        """Let the peer's application in again, after a run that stood down; never while this Region is active."""
        if self.ledger.head().active == self.here:
            return Outcome.done("this Region is active, so the peer stays fenced", fence=Fence.KEPT.value)
        fence, why = self._attempt(lambda acl: acl.lift())
        fence = Fence.LIFTED if fence is Fence.FENCED else fence
        said = {
            Fence.LIFTED: "the peer is not fenced",
            Fence.UNKNOWN: f"the peer did not answer within {self.fence_seconds:g} s: its guard lifts a fence itself",
            Fence.FAILED: f"the peer could not be asked ({why}): its guard lifts a fence itself",
        }
        return Outcome.done(said[fence], fence=fence.value)

    def _attempt(self, act: Callable[[NetworkAcl], bool]) -> tuple[Fence, str]:
        if self.acl is None:
            return Fence.FAILED, "its network ACL is not configured here"
        try:
            self.threads.submit(act, self.acl).result(timeout=self.fence_seconds)
        except FenceTimeout:
            return Fence.UNKNOWN, ""
        except (BotoCoreError, ClientError) as error:
            return Fence.FAILED, f"{type(error).__name__}: {error}"
        return Fence.FENCED, ""
