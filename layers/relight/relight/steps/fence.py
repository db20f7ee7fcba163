"""`fence`: cut the peer's writes where they land, lift that again, and empty the peer once this Region is active; or
let this Region's own application in, which was cut off while this Region was the old side.

Bounded, never blocking; what came of it is recorded. With the peer's network ACL, or through its `dbcheck` where that
one is not ours.
"""

from __future__ import annotations

from concurrent.futures import TimeoutError as FenceTimeout
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from relight import database, fleet
from relight.errors import DatabaseCheckFailed
from relight.step import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_lambda import LambdaClient

    from relight.head import Capacity
    from relight.ledger import Ledger
    from relight.network_acl import NetworkAcl
    from relight.run import Run
    from relight.settings import FenceSettings


class Intent(StrEnum):
    """`cut`: the peer writes no more. `lift`: it may again. `empty`: its instances go; only behind the promotion.

    `open`: this Region's own application reaches its database.
    """

    CUT = "cut"
    LIFT = "lift"
    EMPTY = "empty"
    OPEN = "open"


class Fence(StrEnum):
    """What is known of the fence. `unknown`: it was asked for, and nothing came back in time."""

    FENCED = "fenced"
    LIFTED = "lifted"
    OPEN = "open"
    KEPT = "kept"
    UNKNOWN = "unknown"
    FAILED = "failed"


class Emptied(StrEnum):
    """What is known of the peer's capacity. `unknown` as above; the peer's guard repeats it."""

    DONE = "done"
    UNKNOWN = "unknown"
    FAILED = "failed"


@dataclass(frozen=True)
class Peer:
    """What can be done in the other Region; `acl` is None where its network ACL is not known to this Region."""

    acl: NetworkAcl | None
    functions: LambdaClient
    groups: AutoScalingClient
    ledger: Ledger | None = None


@dataclass(frozen=True)
class Fencing:
    """One attempt at the peer. The threads outlive it: what hangs there must not hold us up.

    `acl` is that of this Region; None where it is not ours.
    """

    settings: FenceSettings
    ledger: Ledger
    peer: Peer
    clock: Callable[[], float]
    threads: ThreadPoolExecutor
    acl: NetworkAcl | None = None

    def ensure(self, run: Run, intent: Intent) -> Outcome:
        """What the intent asks for; always DONE."""
        doing = {Intent.CUT: self.cut, Intent.LIFT: self.lift, Intent.EMPTY: self.empty, Intent.OPEN: self.open}
        return doing[intent](run)

    def cut(self, run: Run) -> Outcome:
        """Fence the peer, or give up after `fence_seconds`: a lost Region cannot be asked, and must not hold us up."""
        answered, why = self._attempt(self._cut)
        self.ledger.mark(run, "t3", self.clock())
        if answered:
            return Outcome.done("the peer's application is cut off from its database", fence=Fence.FENCED.value)
        if answered is None:
            said = f"the fence was asked for, and the peer did not answer within {self.settings.fence_seconds:g} s"
            return Outcome.done(said, fence=Fence.UNKNOWN.value)
        return Outcome.done(f"the peer could not be fenced: {why}", fence=Fence.FAILED.value)

    def lift(self, run: Run) -> Outcome:
        """Let the peer's application in again, after a run that stood down; never while this Region is active."""
        head = self.ledger.head()
        if head.active == self.settings.aws_region or head.door_opened:
            return Outcome.done("this Region is active, or about to be: the peer stays fenced", fence=Fence.KEPT.value)
        answered, why = self._attempt(lambda: self._lift(run))
        itself = "its guard lifts a fence itself"
        if answered:
            return Outcome.done("the peer is not fenced", fence=Fence.LIFTED.value)
        if answered is None:
            said = f"the peer did not answer within {self.settings.fence_seconds:g} s: {itself}"
            return Outcome.done(said, fence=Fence.UNKNOWN.value)
        return Outcome.done(f"the peer could not be asked ({why}): {itself}", fence=Fence.FAILED.value)

    def empty(self, run: Run) -> Outcome:
        """Take the peer's instances, now that this Region serves: they would work for a database that is not theirs.

        What they were the ledger knows already: `probe` has kept it while the peer was well. Where the peer stood by
        before it served, its groups are as they were then: its own ledger knows.
        """
        names = self.settings.peer_group_names

        def active() -> bool:
            return self.ledger.require(run).active == self.settings.aws_region

        if not active():
            said = "this Region is not active, so the peer keeps its instances"
            return Outcome.done(said, emptied=Emptied.FAILED.value)
        if not names:
            said = "the peer's Auto Scaling groups are not configured here: they keep what they have"
            return Outcome.done(said, emptied=Emptied.FAILED.value)
        answered, why = self._attempt(lambda: fleet.empty(self.peer.groups, names, active, self._before))
        if answered:
            said = f"the peer keeps no more instances than a standby: {', '.join(names)}"
            return Outcome.done(said, emptied=Emptied.DONE.value)
        itself = "its guard empties it"
        if answered is None:
            said = f"the peer did not answer within {self.settings.fence_seconds:g} s: {itself}"
            return Outcome.done(said, emptied=Emptied.UNKNOWN.value)
        return Outcome.done(f"the peer could not be emptied ({why}): {itself}", emptied=Emptied.FAILED.value)

    def open(self, run: Run) -> Outcome:
        """Let this Region's application reach its database; only for a Region that is activated, or is a standby.

        It was cut off while this Region was the old side. Where the network ACL is not ours, the database itself was
        stopped, and its promotion lets writes in again.
        """
        if self.acl is None:
            said = "this Region's network ACL is not ours: its application was never cut off by it"
            return Outcome.done(said, fence=Fence.OPEN.value)
        acl = self.acl

        def lift() -> str:
            self.ledger.require(run)
            acl.lift()
            return ""

        answered, why = self._attempt(lift)
        if answered:
            return Outcome.done("this Region's application reaches its database", fence=Fence.OPEN.value)
        if answered is None:
            said = f"EC2 did not answer within {self.settings.fence_seconds:g} s whether the application is let in"
            return Outcome.done(said, fence=Fence.UNKNOWN.value)
        return Outcome.done(f"this Region's application is not let in: {why}", fence=Fence.FAILED.value)

    def _before(self, name: str) -> Capacity | None:
        """How large a group of the peer was while that Region stood by; None where its ledger does not say."""
        try:
            return self.peer.ledger.capacity(fleet.standing_by(name)) if self.peer.ledger is not None else None
        except (BotoCoreError, ClientError):
            return None

    def _cut(self) -> str:
        """Why the peer is not fenced; empty where it is."""
        if self.peer.acl is not None:
            self.peer.acl.deny()
            return ""
        answer = database.ask(self.peer.functions, self.settings.peer_dbcheck_function, "stop")
        return "" if answer["stopped"] else str(answer["sentence"])

    def _lift(self, run: Run) -> str:
        """Why the peer is not let in; empty where it is."""
        if self.peer.acl is not None:
            self.peer.acl.lift()
            return ""

        def ours() -> bool:
            self.ledger.require(run)
            return True

        answer = database.let_in(self.peer.functions, self.settings.peer_dbcheck_function, ours)
        return "" if answer["allowed"] else str(answer["sentence"])

    def _attempt(self, act: Callable[[], str]) -> tuple[bool | None, str]:
        """True: it is so. False: it is not, and why. None: nobody knows, it took too long."""
        try:
            why = self.threads.submit(act).result(timeout=self.settings.fence_seconds)
        except FenceTimeout:
            return None, ""
        except (BotoCoreError, ClientError, DatabaseCheckFailed) as error:
            return False, f"{type(error).__name__}: {error}"
        return not why, why
