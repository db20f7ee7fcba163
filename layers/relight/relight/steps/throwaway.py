"""The throwaway database of a drill: restored from a backup, or a replica that is promoted and timed.

It is made like the standing replica, beside it, and of that one nothing is ever asked but what it is like.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from relight import database, estimate
from relight.drill import TAG, Kind, throwaway
from relight.drill_plan import (
    APPLICATION_TAG,
    Origin,
    Place,
    Source,
    copying,
    creation,
    local_snapshot,
    peer_snapshot,
    replicated_backup,
    tags,
    tags_of,
)
from relight.errors import BackupNotFound, DatabaseCheckFailed, InputInvalid, PeerUnreachable, ThrowawayNotBuilt
from relight.moment import lasting
from relight.step import Outcome
from relight.steps.promote import CALL_AGAIN_SECONDS, SERVING
from relight.steps.reprotect import LITTLE_SECONDS, REMEDY, TRY_AGAIN
from relight.steps.retire import BROKEN, LATER, code_of, snapshot_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_rds import RDSClient
    from mypy_boto3_rds.type_defs import DBInstanceTypeDef, DBSnapshotTypeDef

    from relight.ledger import Ledger
    from relight.run import Run
    from relight.settings import DrillSettings

DATABASE, PROMOTION = "drill database", "drill promotion"
"""Under which names the ledger keeps how far they have come."""
SOON = 5


@dataclass(frozen=True)
class Throwaway:
    """One look at it."""

    settings: DrillSettings
    ledger: Ledger
    rds: RDSClient
    peer_rds: RDSClient
    functions: LambdaClient
    clock: Callable[[], float]

    # Where the data come from.

    def source(self, kind: Kind) -> Source | None:
        """What a drill of that kind begins with; None where there is nothing.

        The other Region is asked only where this one has no backup, or the data are to be replicated: PeerUnreachable
        where it does not answer then.
        """
        s = self.settings
        if kind is Kind.PROMOTE:
            primary = self.primary()
            return None if primary is None else _replicated(primary)
        try:
            backups = self.rds.get_paginator("describe_db_instance_automated_backups").paginate()
            here = replicated_backup(
                (one for page in backups for one in page["DBInstanceAutomatedBackups"]),
                s.peer_region,
                s.peer_database_id,
            )
            if here is None:
                pages = self.rds.get_paginator("describe_db_snapshots").paginate()
                here = local_snapshot((one for page in pages for one in page["DBSnapshots"]), s.application)
        except (BotoCoreError, ClientError) as error:
            raise BackupNotFound(f"RDS of {s.aws_region} does not tell which backups it has: {error}") from error
        return here or self._there()

    def _there(self) -> Source | None:
        def snapshots() -> Source | None:
            asked = self.peer_rds.get_paginator("describe_db_snapshots")
            pages = asked.paginate(DBInstanceIdentifier=self.settings.peer_database_id)
            return peer_snapshot(one for page in pages for one in page["DBSnapshots"])

        return self._ask_peer(snapshots)

    def primary(self) -> DBInstanceTypeDef | None:
        """The peer's database; None where there is none of that name. PeerUnreachable."""
        return self._ask_peer(lambda: database.instance(self.peer_rds, self.settings.peer_database_id))

    def _ask_peer[T](self, act: Callable[[], T]) -> T:
        try:
            return act()
        except (BotoCoreError, ClientError) as error:
            raise PeerUnreachable(
                f"RDS of {self.settings.peer_region} does not answer: {type(error).__name__}: {error}"
            ) from error

    # It is made.

    def ensure(self, run: Run, kind: Kind) -> Outcome:
        """Have it made where it is missing, and wait until it can be asked; a replica until it follows.

        ThrowawayNotBuilt where RDS refuses or gives up, BackupNotFound and PeerUnreachable where there is nothing to
        make it from any more.
        """
        if kind not in {Kind.RESTORE, Kind.PROMOTE}:
            raise InputInvalid(f"a drill of the kind {kind} has no database of its own")
        try:
            found = self._found(run)
            return self._make(run, kind) if found is None else self._follow(run, kind, found)
        except ParamValidationError:  # no answer will ever come
            raise
        except BotoCoreError as error:
            return self._wait(f"RDS of this Region does not answer ({type(error).__name__}): it is asked again")

    def name(self, run: Run) -> str:
        """Its identifier, and that of the copy of a snapshot."""
        return throwaway(self.settings.replica_id, run.epoch)

    def _found(self, run: Run) -> DBInstanceTypeDef | None:
        """The run's own; None where it is not there. ThrowawayNotBuilt where its name is somebody else's."""
        found = database.instance(self.rds, self.name(run))
        if found is not None:
            self._require_own(run, found)
        return found

    def _require_own(self, run: Run, found: Mapping[str, Any]) -> None:
        tagged = tags_of(found)
        if tagged.get(TAG) != run.id or tagged.get(APPLICATION_TAG) != self.settings.application:
            raise ThrowawayNotBuilt(
                f"{self.name(run)} is there already, and not this drill's: it is left alone; rename it, and start again"
            )

    def _make(self, run: Run, kind: Kind) -> Outcome:
        known = self.ledger.progress(run.id, DATABASE)
        if known is None:
            source = self.source(kind)
            if source is None:
                raise BackupNotFound(f"there is nothing that {self.name(run)} could be made from")
            # Written before the call: who comes after a lost answer knows since when it is waited for, and for what.
            known = {"source": source.to_dict(), "called_at": self.clock(), "built_at": None}
        self.ledger.keep_progress(run, DATABASE, known)  # the lock is looked at once more by that
        source = Source.from_dict(known["source"])
        if source.origin is Origin.COPY and (waits := self._copied(run, source, known)) is not None:
            return waits
        return self._create(run, source, known)

    def _copied(self, run: Run, source: Source, known: Mapping[str, Any]) -> Outcome | None:
        """Have the snapshot copied here; None where that is done."""
        name, tagged = self.name(run), self._tags(run)
        copy = snapshot_of(self.rds, name)
        if copy is None:
            wanted = copying(source, self._place(), name, tagged)
            return self._call(lambda: self.rds.copy_db_snapshot(**wanted), f"{source.told()} is on its way", known)
        self._require_own(run, copy)
        if copy.get("Status") == "available":
            return None
        return self._wait(f"the snapshot {name} is {self._copy_told(copy, known)}", **self._facts(run, known))

    def _copy_told(self, copy: DBSnapshotTypeDef, known: Mapping[str, Any]) -> str:
        if copy.get("Status") not in {"creating", "copying", "pending"}:
            raise ThrowawayNotBuilt(f"the copy of a snapshot {copy['DBSnapshotIdentifier']} is {copy.get('Status')}")
        elapsed = self.clock() - float(known["called_at"])
        percent = copy.get("PercentProgress", 0)
        return f"being copied: {estimate.told(elapsed, copy.get('AllocatedStorage', 0), percent)}"

    def _create(self, run: Run, source: Source, known: Mapping[str, Any]) -> Outcome:
        s = self.settings
        standby = database.instance(self.rds, s.replica_id)
        if standby is None:
            raise ThrowawayNotBuilt(f"{s.replica_id} is gone: what a throwaway has to be like is not known")
        wanted = creation(source, standby, self._place(), self.name(run), self._tags(run))
        calls: dict[Origin, Callable[[], object]] = {
            Origin.BACKUP: lambda: self.rds.restore_db_instance_to_point_in_time(**wanted),
            Origin.SNAPSHOT: lambda: self.rds.restore_db_instance_from_db_snapshot(**wanted),
            Origin.COPY: lambda: self.rds.restore_db_instance_from_db_snapshot(**wanted),
            Origin.REPLICA: lambda: self.rds.create_db_instance_read_replica(**wanted),
        }
        return self._call(calls[source.origin], f"{self.name(run)} is being made from {source.told()}", known)

    def _call(self, call: Callable[[], object], said: str, known: Mapping[str, Any]) -> Outcome:
        facts = {"called_at": known["called_at"], "source": known["source"]}
        try:
            call()
        except ClientError as error:
            code, message = code_of(error), error.response["Error"]["Message"]
            if code in LATER | TRY_AGAIN:
                return self._wait(f"RDS will not just now: {message}", **facts)
            if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                raise
            remedy = REMEDY.get(code, "put right what it names")
            raise ThrowawayNotBuilt(
                f"RDS refuses a throwaway database: {message} ({code}); {remedy}, and start again"
            ) from None
        return self._wait(said, **facts)

    def _place(self) -> Place:
        s = self.settings
        return Place(s.subnet_group, s.database_security_group, s.data_key_arn)

    def _tags(self, run: Run) -> list[dict[str, str]]:
        return tags(run.id, self.settings.application, self.name(run))

    # It is there.

    def _follow(self, run: Run, kind: Kind, found: DBInstanceTypeDef) -> Outcome:
        name, status = self.name(run), found["DBInstanceStatus"]
        known = self.ledger.progress(run.id, DATABASE) or self._seen(found)
        facts = self._facts(run, known)
        if status in BROKEN:
            raise ThrowawayNotBuilt(f"{name} is {status}, and comes no further")
        endpoint = _endpoint(found)
        if status not in SERVING or endpoint is None:
            how_long = estimate.told(self.clock() - known["called_at"], found.get("AllocatedStorage", 0), None)
            return self._wait(f"{name} is {status}: {how_long}", **facts)
        why = self._not_yet(run, kind, endpoint)
        if why is not None:
            return self._wait(f"{name} is {status}, and {why}", soon=True, **facts)
        if known["built_at"] is None:
            known = {**known, "built_at": self.clock()}
            self.ledger.keep_progress(run, DATABASE, known)
        seconds = round(known["built_at"] - known["called_at"], 3)
        facts |= {"host": endpoint["host"], "port": endpoint["port"], "seconds": seconds}
        source = known["source"] and Source.from_dict(known["source"]).told()
        return Outcome.done(f"{name} answers, made in {lasting(seconds)} from {source or 'what is not known'}", **facts)

    def _not_yet(self, run: Run, kind: Kind, endpoint: Mapping[str, Any]) -> str | None:
        """Why it cannot be used; None where it can. A promotion is timed from where a failover's would begin."""
        try:
            said = self._dbcheck("state", endpoint)
        except (DatabaseCheckFailed, BotoCoreError, ClientError) as error:
            return f"could not be asked: {type(error).__name__}: {error}"
        if not said["reached"]:
            return f"does not answer: {said['sentence']}"
        if kind is Kind.RESTORE:
            return None if said["writable"] else f"takes no writes: {said['sentence']}"
        if not said["in_recovery"]:  # promoted by this drill, or `promote` says that it was not
            return None
        return _behind(said, self.clock())

    @staticmethod
    def _seen(found: DBInstanceTypeDef) -> dict[str, Any]:
        """What an instance tells of itself where the ledger has nothing."""
        return {"source": None, "called_at": found["InstanceCreateTime"].timestamp(), "built_at": None}

    def _facts(self, run: Run, known: Mapping[str, Any]) -> dict[str, Any]:
        return {"instance": self.name(run), "source": known["source"], "called_at": known["called_at"]}

    # It is promoted.

    def promote(self, run: Run) -> Outcome:
        """Promote it, and take the time to its first write. Done when it is no replica, is available, and takes one.

        `promote_seconds` runs from the call, however often it had to be made, to the first write that was seen to be
        accepted: it is late by up to a fifth of a look. ThrowawayNotBuilt where there is nothing to promote.
        """
        try:
            found = self._found(run)
        except BotoCoreError as error:
            return self._wait(f"RDS of this Region does not answer ({type(error).__name__}): it is asked again")
        name, known = self.name(run), self.ledger.progress(run.id, PROMOTION) or None
        if found is None:
            raise ThrowawayNotBuilt(f"there is no {name}: it cannot be promoted")
        status = found["DBInstanceStatus"]
        if status in BROKEN:
            raise ThrowawayNotBuilt(f"{name} is {status}, and comes no further")
        if found.get("ReadReplicaSourceDBInstanceIdentifier"):
            return self._promote(run, status, known)
        if known is None:
            raise ThrowawayNotBuilt(f"{name} is no replica, and this drill has not promoted it: nothing can be timed")
        return self._prove(run, found, known)

    def _promote(self, run: Run, status: str, known: Mapping[str, Any] | None) -> Outcome:
        name, now = self.name(run), self.clock()
        if status != "available":
            why = f"{name} is {status}"
            if known is None:
                return self._wait(f"{why}: RDS promotes only what is available")
            return self._wait(f"{why}: it is being promoted", soon=True)
        if known is not None and now - known["asked_at"] < CALL_AGAIN_SECONDS:
            return self._wait(f"RDS has accepted the promotion of {name} and has not begun it yet", soon=True)
        # Written before the call; the first call's time stays.
        called_at = now if known is None else known["called_at"]
        self._keep(run, {"called_at": called_at, "asked_at": now, "promoted_at": None})
        try:
            self.rds.promote_read_replica(
                DBInstanceIdentifier=name, BackupRetentionPeriod=self.settings.backup_retention_days
            )
        except BotoCoreError as error:
            return self._wait(f"RDS has not said whether it promotes {name} ({type(error).__name__})", soon=True)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                raise
            if known is None:  # refused outright, nothing of it has begun: the time runs from the call that is taken
                self._keep(run, None)
            if code_of(error) in LATER | TRY_AGAIN:
                return self._wait(f"RDS will not promote {name} just now: {error.response['Error']['Message']}")
            raise
        return self._wait(f"{name} is being promoted", soon=True)

    def _prove(self, run: Run, found: DBInstanceTypeDef, known: Mapping[str, Any]) -> Outcome:
        name, status, endpoint = self.name(run), found["DBInstanceStatus"], _endpoint(found)
        if status not in SERVING or endpoint is None:
            return self._wait(f"{name} is no replica any more and is {status}", soon=True)
        if known["promoted_at"] is None:
            why = self._write(endpoint)
            if why is not None:
                return self._wait(f"{name} is {status}, and {why}", soon=True)
            known = {**known, "promoted_at": self.clock()}
            self._keep(run, known)
        seconds = round(known["promoted_at"] - known["called_at"], 3)
        said = f"{name} was promoted and took a write after {lasting(seconds)}"
        return Outcome.done(said, instance=name, called_at=known["called_at"], promote_seconds=seconds)

    def _keep(self, run: Run, known: Mapping[str, Any] | None) -> None:
        self.ledger.keep_progress(run, PROMOTION, known or {})

    # It is asked.

    def endpoint(self, run: Run) -> dict[str, Any] | None:
        """Host and port; None while it has none. BotoCoreError, ClientError, ThrowawayNotBuilt."""
        found = self._found(run)
        return None if found is None else _endpoint(found)

    def write(self, run: Run) -> Outcome:
        """A write at the database itself, for a drill that has no site. Done when one was taken."""
        try:
            endpoint = self.endpoint(run)
        except BotoCoreError as error:
            return self._wait(f"RDS of this Region does not answer ({type(error).__name__}): it is asked again")
        if endpoint is None:
            raise ThrowawayNotBuilt(f"there is no {self.name(run)} that could take a write")
        why = self._write(endpoint)
        if why is not None:
            return self._wait(f"{self.name(run)} {why}", soon=True)
        self.ledger.mark(run, "t6", self.clock())
        return Outcome.done(f"{self.name(run)} took a write", order=None)

    def _write(self, endpoint: Mapping[str, Any]) -> str | None:
        """Why no write was taken; None where one was."""
        try:
            said = self._dbcheck("write", endpoint)
        except (DatabaseCheckFailed, BotoCoreError, ClientError) as error:
            return f"could not be asked to write: {type(error).__name__}: {error}"
        return None if said["writable"] else f"does not take writes: {said['sentence']}"

    def _dbcheck(self, check: str, endpoint: Mapping[str, Any]) -> dict[str, Any]:
        there: dict[str, Any] = {"endpoint": dict(endpoint)}
        return database.ask(self.functions, self.settings.dbcheck_function, check, **there)

    def _wait(self, sentence: str, *, soon: bool = False, **facts: Any) -> Outcome:
        return Outcome.wait(sentence, self.settings.look_again_seconds / (SOON if soon else 1), **facts)


def _replicated(primary: DBInstanceTypeDef) -> Source:
    gib, encrypted = int(primary.get("AllocatedStorage", 0)), bool(primary.get("StorageEncrypted"))
    return Source(Origin.REPLICA, primary["DBInstanceArn"], gib, None, encrypted)


def _endpoint(found: DBInstanceTypeDef) -> dict[str, Any] | None:
    told = found.get("Endpoint", {})
    return {"host": told["Address"], "port": int(told.get("Port", 5432))} if "Address" in told else None


def _behind(said: Mapping[str, Any], now: float) -> str | None:
    """Why a replica does not follow yet; None where it does."""
    if (said.get("receiver") or {}).get("status") != "streaming":
        return "does not stream yet"
    moments = [at for at in (said.get("last_replayed_at"), said.get("heartbeat_at")) if at is not None]
    if not moments:
        return "nothing tells yet how far it is behind"
    lag = max(0.0, now - max(moments))
    return f"is {lasting(lag)} behind" if lag > LITTLE_SECONDS else None
