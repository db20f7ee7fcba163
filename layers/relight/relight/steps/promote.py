"""`promote`: the one-way door. Done only when the instance is no replica, is available, and takes a write (rule 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight import database
from relight.errors import DatabaseCheckFailed, EngineNotSupported, NotAReplicaOfThePeer, ReplicaNotFound
from relight.facts import ENGINE
from relight.run import Mode
from relight.step import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_rds import RDSClient

    from relight.ledger import Head, Ledger
    from relight.run import Run
    from relight.settings import PromoteSettings

# After a call that RDS accepted, the instance may go on saying `available` for a while; only then is it asked again.
CALL_AGAIN_SECONDS = 300
# What RDS may be doing with an instance that serves: its first backup begins with the promotion (docs/decisions/0006).
SERVING = frozenset({"available", "backing-up"})


def replicates(source: str, peer_region: str, peer_id: str) -> bool:
    """Whether `source` (an ARN across Regions, a bare identifier within one) is the peer's database."""
    parts = source.split(":")
    return parts[0] == "arn" and parts[3:4] == [peer_region] and parts[5:] == ["db", peer_id]


def _waited(head: Head) -> dict[str, Any]:
    """Seconds from the last grant of a lease to the call, which is what the lease has cost."""
    called = head.promotion.called_at if head.promotion is not None else None
    if called is None or head.granting_stopped_at is None:
        return {}
    return {"waited_seconds": round(max(0.0, called - head.granting_stopped_at), 3)}


@dataclass(frozen=True)
class Promote:
    """One look at the replica."""

    settings: PromoteSettings
    ledger: Ledger
    rds: RDSClient
    functions: LambdaClient
    clock: Callable[[], float]

    def ensure(self, run: Run) -> Outcome:
        """Promote where it is still a replica; wait while RDS works; prove a write; note that this Region is active."""
        identifier = self.settings.replica_id
        try:
            replica = database.describe(self.rds, identifier)
        except BotoCoreError:
            return Outcome.wait("RDS of this Region does not answer", self.settings.look_again_seconds)
        if replica.status is None:
            raise ReplicaNotFound(f"no database instance is called {identifier} in {self.settings.aws_region}")
        head = self.ledger.head()
        if replica.source is None:
            return self._prove(run, head, replica.status)
        if not replicates(replica.source, self.settings.peer_region, self.settings.peer_database_id):
            raise NotAReplicaOfThePeer(
                f"{identifier} replicates from {replica.source}, not from {self.settings.peer_database_id} "
                f"in {self.settings.peer_region}"
            )
        if replica.engine not in {ENGINE, None}:
            raise EngineNotSupported(f"{identifier} is of the engine {replica.engine}; Relight promotes {ENGINE} only")
        return self._await_lease(run, head) or self._promote(run, head, replica.status)

    def _await_lease(self, run: Run, head: Head) -> Outcome | None:
        """Wait until nobody on the old side can commit by a write lease any more; None where nobody can."""
        lease_seconds = self.settings.lease_seconds
        # Of a planned run it has been confirmed at the database itself that nobody writes there. What an earlier run
        # may have noted counts for no emergency: writes may have been let in again since.
        confirmed = run.mode is Mode.PLANNED and head.quiesce is not None and head.quiesce.lsn is not None
        if lease_seconds <= 0 or confirmed or head.door_opened:
            return None
        if head.granting_stopped_at is None:
            return self._wait("this Region still grants the old side its write lease")
        left = head.granting_stopped_at + lease_seconds - self.clock()
        if left <= 0:
            return None
        said = f"the old side may write until its lease runs out, in {math.ceil(left)} s"
        return Outcome.wait(said, min(self.settings.look_again_seconds, math.ceil(left)))

    def _promote(self, run: Run, head: Head, status: str) -> Outcome:
        identifier = self.settings.replica_id
        if status != "available":
            return self._wait(f"{identifier} is {status}: RDS promotes only what is available")
        called = head.promotion.called_at if head.promotion and head.promotion.instance == identifier else None
        if called is not None and self.clock() - called < CALL_AGAIN_SECONDS:
            return self._wait(f"RDS has accepted the promotion of {identifier} and has not begun it yet")
        return self._call(run, head)

    def _call(self, run: Run, head: Head) -> Outcome:
        identifier = self.settings.replica_id
        # Written before the call, so that a run that dies in between is known to have opened the door.
        self.ledger.open_door(run, identifier, None)
        try:
            self.rds.promote_read_replica(
                DBInstanceIdentifier=identifier, BackupRetentionPeriod=self.settings.backup_retention_days
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in {"InvalidDBInstanceState", "InvalidDBInstanceStateFault"}:
                # Nothing was opened where RDS refused the first call outright; a 5xx may come after it has begun.
                if head.promotion is None and error.response["ResponseMetadata"]["HTTPStatusCode"] < 500:
                    self.ledger.close_door(run)
                raise
            # The call is made once and not repeated by the client: so refused, nothing of it has begun.
            if head.promotion is None:
                self.ledger.close_door(run)
            return self._wait(f"RDS will not promote {identifier} just now: {error.response['Error']['Message']}")
        self.ledger.open_door(run, identifier, self.clock())
        return self._wait(f"{identifier} is being promoted")

    def _prove(self, run: Run, head: Head, status: str) -> Outcome:
        identifier = self.settings.replica_id
        ours = head.promotion is not None and head.promotion.instance == identifier
        if not ours and head.active != self.settings.aws_region:
            raise NotAReplicaOfThePeer(f"{identifier} is no replica, and Relight has not promoted it")
        if status not in SERVING:
            return self._wait(f"{identifier} is no replica any more and is {status}")
        try:
            answer = self._write()
        except (DatabaseCheckFailed, BotoCoreError, ClientError) as error:  # behind the door: only forward
            return self._wait(f"{identifier} is {status}, but could not be asked to write: {error}", soon=True)
        if not answer["writable"]:
            return self._wait(f"{identifier} is {status}, and does not take writes: {answer['sentence']}", soon=True)
        promoted_at = self.clock()  # taken first: `scale`, beside it, calls capacity healthy as soon as this is active
        self.ledger.activate(run, self.settings.aws_region)
        self.ledger.mark(run, "t4", promoted_at)
        waited = _waited(head) if self.settings.lease_seconds > 0 else {}
        return Outcome.done(f"{identifier} is promoted and took a write", instance=identifier, **waited)

    def _write(self) -> dict[str, Any]:
        """Have a write taken. The replica was told by replication that writes are stopped where its source was."""
        function = self.settings.dbcheck_function
        answer = database.ask(self.functions, function, "write")
        if answer["reached"] and not answer["in_recovery"] and answer.get("writes_stopped"):
            database.ask(self.functions, function, "allow")
            answer = database.ask(self.functions, function, "write")
        return answer

    def _wait(self, sentence: str, *, soon: bool = False) -> Outcome:
        return Outcome.wait(sentence, self.settings.look_again_seconds / (5 if soon else 1))
