"""`retire`: keep the old database under another name, so that its own is free for the new replica.

Its writes are stopped, a snapshot is taken, it is renamed, and nothing is ever deleted. Whatever state the database is
found in has one way on from there, and each look begins anew: who comes after one that died, or lost an answer, finds
what it has done.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight import database, estimate
from relight.errors import AlreadyActive, DatabaseCheckFailed, DatabaseNotKept, NotAReplicaOfThePeer
from relight.retired import Retired, retired_name
from relight.shape import grown, restoration, same_life, shape_of
from relight.step import Outcome
from relight.steps.promote import SERVING, replicates

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_rds import RDSClient
    from mypy_boto3_rds.type_defs import DBInstanceTypeDef, DBSnapshotTypeDef

    from relight.ledger import Ledger
    from relight.run import Run
    from relight.settings import RetireSettings

# RDS takes a snapshot in these, and renames; of the second it may say that it will not just now.
READY = frozenset({"available", "storage-optimization"})
# RDS is not at work on it, and neither snapshots nor renames it. What is left is a person's to decide.
BROKEN = frozenset(
    {
        "failed",
        "restore-error",
        "incompatible-network",
        "incompatible-option-group",
        "incompatible-parameters",
        "incompatible-restore",
        "incompatible-credentials",
        "inaccessible-encryption-credentials",
        "inaccessible-encryption-credentials-recoverable",
    }
)
# No server runs that could be asked.
OFF = frozenset({"stopped", "stopping"})
# While RDS renames, it may know neither name for a while; it takes about ten minutes.
RENAMING_SECONDS = 1800
# RDS is at work on it, or has no room just now.
LATER = frozenset(
    {
        "DBInstanceNotFound",
        "DBInstanceAlreadyExists",
        "DBSnapshotAlreadyExists",
        "InvalidDBInstanceState",
        "InvalidDBSnapshotState",
        "InsufficientDBInstanceCapacity",
    }
)
NOT_ASKED: tuple[type[Exception], ...] = (DatabaseCheckFailed, BotoCoreError, ClientError)
NO_SNAPSHOT = frozenset({"DBSnapshotNotFound", "DBSnapshotNotFoundFault"})


def code_of(error: ClientError) -> str:
    """The code of RDS's refusal, without the word that some of them end with."""
    return str(error.response["Error"]["Code"]).removesuffix("Fault")


def snapshot_of(rds: RDSClient, name: str) -> DBSnapshotTypeDef | None:
    """The snapshot of that name; None where there is none. BotoCoreError or ClientError where RDS does not say."""
    try:
        return next(iter(rds.describe_db_snapshots(DBSnapshotIdentifier=name)["DBSnapshots"]), None)
    except ClientError as error:
        if error.response["Error"]["Code"] in NO_SNAPSHOT:
            return None
        raise


@dataclass(frozen=True)
class Retire:
    """One look at the old database, under both names."""

    settings: RetireSettings
    ledger: Ledger
    rds: RDSClient
    functions: LambdaClient
    clock: Callable[[], float]

    def keep(self, run: Run) -> Outcome:
        """Do what is next to keep it; done when it can be read under its new name, or there is nothing to be kept.

        AlreadyActive: this Region's database is nobody's old one. NotAReplicaOfThePeer: the name is a replica's of
        somebody else. DatabaseNotKept: it can be neither kept nor passed over, and what a person has to do.
        """
        s, head = self.settings, self.ledger.require(run)
        if head.active == s.aws_region or head.door_opened:
            raise AlreadyActive(f"{s.aws_region} is active, or is being activated: {s.replica_id} is not retired")
        keeping = Keeping(self, run, retired_name(s.replica_id, head.active_epoch), head.active_epoch)
        try:
            return keeping.look()
        except BotoCoreError as error:
            return self.wait(f"RDS of this Region does not answer ({type(error).__name__}): it is asked again")

    def wait(self, sentence: str, **facts: Any) -> Outcome:
        """Look again at the usual time."""
        return Outcome.wait(sentence, self.settings.look_again_seconds, **facts)


@dataclass(frozen=True)
class Keeping:
    """One old database on its way to one name."""

    step: Retire
    run: Run
    name: str
    epoch: int

    @property
    def old_id(self) -> str:
        """Its name until then."""
        return self.step.settings.replica_id

    def look(self) -> Outcome:
        """What there is under each name decides."""
        rds = self.step.rds
        old, kept = database.instance(rds, self.old_id), database.instance(rds, self.name)
        if old is None:
            return self._look_for_it(kept)
        if source := old.get("ReadReplicaSourceDBInstanceIdentifier"):
            return self._replaced(source, kept)
        if kept is not None and same_life(shape_of(old), shape_of(kept)):
            return self.step.wait(f"{self.old_id} has just been renamed to {self.name}")
        if kept is not None:
            raise DatabaseNotKept(
                f"there are both {self.old_id}, which is no replica, and {self.name}: Relight does not know which of "
                f"them was active before. Rename or delete the one that is of no use, and start again"
            )
        return self._retire(old)

    # Its name is free, or its successor's, already.

    def _replaced(self, source: str, kept: DBInstanceTypeDef | None) -> Outcome:
        s = self.step.settings
        if not replicates(source, s.peer_region, s.peer_database_id):
            raise NotAReplicaOfThePeer(
                f"{self.old_id} replicates from {source}, not from {s.peer_database_id} in {s.peer_region}: give it "
                f"another name, and start again"
            )
        if self._noted() is None:
            return self._nothing(f"{self.old_id} is {s.peer_database_id}'s replica, and nothing was retired before")
        if kept is None:
            return self._nothing(f"{self.old_id} is {s.peer_database_id}'s replica, and {self.name} is gone")
        return self._readable(kept)

    def _look_for_it(self, kept: DBInstanceTypeDef | None) -> Outcome:
        """Nothing has the old name: it is renamed, about to be, or gone."""
        if kept is not None:
            snapshot = snapshot_of(self.step.rds, self.name)
            self._note(None if snapshot is None else self.name)
            return self._readable(kept)
        called = self._remembered().get("rename_called_at", 0)
        noted = self._noted()
        if noted is not None and self.step.clock() - max(noted.retired_at, called) < RENAMING_SECONDS:
            return self.step.wait(f"RDS knows neither {self.old_id} nor {self.name}: it is being renamed")
        snapshot = snapshot_of(self.step.rds, self.name)
        if snapshot is None:
            return self._nothing(f"{self.old_id} is gone, and there is no snapshot {self.name}: nothing can be kept")
        return self._await_snapshot(snapshot) or self._restore()

    def _nothing(self, why: str) -> Outcome:
        return Outcome.done(why, retired=None, why=why)

    def _restore(self) -> Outcome:
        """From its snapshot, so that it can be told what was lost."""
        shape = self.step.ledger.shape(self.old_id)
        if shape is None:
            raise DatabaseNotKept(
                f"{self.old_id} is gone, and what it was like is not known: restore the snapshot {self.name} under the "
                f"name {self.name} into the subnets of the databases, or delete that snapshot, and start again"
            )
        self._note(self.name)
        refused = self._ask(
            lambda: self.step.rds.restore_db_instance_from_db_snapshot(**restoration(shape, self.name, self.name))
        )
        return self.step.wait(refused or f"{self.old_id} is gone: {self.name} is being restored from its snapshot")

    def _readable(self, kept: DBInstanceTypeDef) -> Outcome:
        """It has its new name. Done when it serves, so that what was lost can be read."""
        status = kept["DBInstanceStatus"]
        if status in BROKEN:
            raise DatabaseNotKept(
                f"{self.name} is {status}, and cannot be read. Its snapshot is {self.name}: bring it back to life, or "
                f"rename or delete it and start again, and it is restored from there"
            )
        if status == "stopped":
            return self._start(self.name)
        if status == "storage-full":
            return self._make_room(kept)
        endpoint = kept.get("Endpoint")
        if status not in SERVING | READY or not endpoint or "Address" not in endpoint:
            return self.step.wait(f"{self.name} is {status}; a rename takes about ten minutes")
        noted = self._noted()
        where = {
            "instance": self.name,
            "host": endpoint["Address"],
            "port": int(endpoint.get("Port", 5432)),
            "snapshot": noted.snapshot if noted else None,
        }
        endpoint_of_it = {"host": where["host"], "port": where["port"]}
        dropped = self._drop_slots(endpoint=endpoint_of_it)
        stopped, writes = self._told_of_writes(endpoint=endpoint_of_it)
        why = f"{self.old_id} is kept as {self.name}"
        return Outcome.done(
            f"{why}; {_slots(dropped)}; {writes}", retired=where, why=why, slots_dropped=dropped, writes_stopped=stopped
        )

    # It has its old name still.

    def _retire(self, old: DBInstanceTypeDef) -> Outcome:
        snapshot = snapshot_of(self.step.rds, self.name)
        self._keep_shape(old, begun=snapshot is not None)
        status = old["DBInstanceStatus"]
        pending = old.get("PendingModifiedValues", {}).get("DBInstanceIdentifier")
        if status == "renaming" or pending == self.name:
            return self.step.wait(f"{self.old_id} is {status}, and is being renamed to {self.name}")
        stopped, writes = (None, "") if status in BROKEN | OFF else self._stop_writes()
        if snapshot is not None:
            self._require_its_own(snapshot, old)
            if waits := self._await_snapshot(snapshot):
                return waits
        if status in BROKEN:
            kept = f"Its snapshot {self.name} is kept" if snapshot else f"There is no snapshot {self.name} of it"
            raise DatabaseNotKept(
                f"{self.old_id} is {status}: RDS neither snapshots nor renames it. {kept}. Bring it back to life, or "
                f"restore it to its latest time under the name {self.name} if what was lost matters; then delete "
                f"{self.old_id} yourself, and start again"
            )
        if status == "stopped":
            return self._start(self.old_id)
        if status == "storage-full":
            return self._make_room(old)
        if status not in READY:
            return self.step.wait(f"{self.old_id} is {status}: RDS neither snapshots nor renames it just now")
        outcome = self._rename() if snapshot else self._take_snapshot(old)
        return replace(
            outcome, sentence=f"{outcome.sentence}; {writes}", facts={**outcome.facts, "writes_stopped": stopped}
        )

    def _keep_shape(self, old: DBInstanceTypeDef, *, begun: bool) -> None:
        """Before anything else. One from before this instance was hardened stays; one of its predecessor does not.

        In the home Region it stays neither: what a person has made home by staying is to be as it is now.
        """
        ledger, settings = self.step.ledger, self.step.settings
        now, before = shape_of(old), ledger.shape(self.old_id)
        if before is not None:
            at_home = ledger.head().home_or(settings.home_region) == settings.aws_region
            same = same_life(before, now)
            if same:  # whatever room was made for it since
                now["AllocatedStorage"] = before.get("AllocatedStorage", now["AllocatedStorage"])
            if not same or (at_home and not begun and before != now):
                ledger.forget_shape(self.old_id)
        ledger.keep_shape(self.old_id, now, self.step.clock())

    def _require_its_own(self, snapshot: DBSnapshotTypeDef, old: DBInstanceTypeDef) -> None:
        one, other = snapshot.get("DbiResourceId"), old.get("DbiResourceId")
        if (one != other) if one and other else snapshot.get("DBInstanceIdentifier") != self.old_id:
            raise DatabaseNotKept(
                f"the snapshot {self.name} is of another instance than {self.old_id}, which would be kept without one: "
                f"copy it under another name, delete it, and start again"
            )

    def _await_snapshot(self, snapshot: DBSnapshotTypeDef) -> Outcome | None:
        """None where it is there."""
        status, percent = snapshot.get("Status"), snapshot.get("PercentProgress", 0)
        if status == "available":
            return None
        if status not in {"creating", "copying", "backing-up", "pending"}:
            raise DatabaseNotKept(f"the snapshot {self.name} is {status}: delete it, and start again")
        facts: dict[str, Any] = {"gib": snapshot.get("AllocatedStorage"), "percent": percent}
        said = f"the snapshot {self.name} is being taken: {percent} % done"
        if (began := snapshot.get("SnapshotCreateTime")) and 0 < percent < 100:
            left = estimate.told(self.step.clock() - began.timestamp(), snapshot["AllocatedStorage"], percent)
            said = f"the snapshot {self.name} is being taken: {left}"
        return self.step.wait(said, **facts)

    def _take_snapshot(self, old: DBInstanceTypeDef) -> Outcome:
        refused = self._ask(
            lambda: self.step.rds.create_db_snapshot(DBSnapshotIdentifier=self.name, DBInstanceIdentifier=self.old_id)
        )
        said = refused or f"the snapshot {self.name} is being taken before anything else"
        return self.step.wait(said, gib=old.get("AllocatedStorage"), percent=0)

    def _rename(self) -> Outcome:
        """Noted before the call, so that who comes after a lost answer knows what it finds."""
        dropped = self._drop_slots()
        self._note(self.name)
        self._remember(rename_called_at=self.step.clock())
        refused = self._ask(
            lambda: self.step.rds.modify_db_instance(
                DBInstanceIdentifier=self.old_id,
                NewDBInstanceIdentifier=self.name,
                DeletionProtection=True,
                ApplyImmediately=True,
            )
        )
        said = refused or f"{self.old_id} is being renamed to {self.name}, which takes about ten minutes"
        return self.step.wait(f"{said}; {_slots(dropped)}", slots_dropped=dropped)

    # Under either name.

    def _start(self, identifier: str) -> Outcome:
        """RDS would do so by itself after seven days."""
        refused = self._ask(lambda: self.step.rds.start_db_instance(DBInstanceIdentifier=identifier))
        return self.step.wait(refused or f"{identifier} was stopped, and is being started; it stays fenced")

    def _make_room(self, full: DBInstanceTypeDef) -> Outcome:
        """Once: RDS does nothing else with an instance whose disk is full, and takes its snapshot only after that."""
        identifier = full["DBInstanceIdentifier"]
        if "AllocatedStorage" in full.get("PendingModifiedValues", {}):
            return self.step.wait(f"{identifier} is storage-full, and its disk is being made larger")
        made = self._remembered().get("made_room", {})
        if identifier in made:
            was = made[identifier]
            if full.get("AllocatedStorage", 0) <= was:
                return self.step.wait(f"{identifier} is storage-full, and RDS has been asked for more than {was} GiB")
            raise DatabaseNotKept(
                f"{identifier} is full again at {full.get('AllocatedStorage')} GiB, after it was made larger: "
                f"make it larger yourself, or find what fills it, and start again"
            )
        wanted = grown(full)
        refused = self._ask(
            lambda: self.step.rds.modify_db_instance(DBInstanceIdentifier=identifier, ApplyImmediately=True, **wanted)
        )
        if refused:
            return self.step.wait(refused)
        self._remember(made_room={**made, identifier: full["AllocatedStorage"]})
        return self.step.wait(f"{identifier} was full: its disk is made {wanted['AllocatedStorage']} GiB large")

    def _ask(self, call: Callable[[], object]) -> str | None:
        """Make the call; why RDS will not just now, if so. DatabaseNotKept where it never will."""
        try:
            call()
        except ClientError as error:
            code, message = code_of(error), error.response["Error"]["Message"]
            if code in LATER:
                return f"RDS will not just now: {message}"
            if code.endswith("QuotaExceeded"):
                raise DatabaseNotKept(
                    f"{self.old_id} cannot be kept: {message} ({code}). Raise the quota or make room, and start again"
                ) from None
            raise
        return None

    def _stop_writes(self) -> tuple[bool, str]:
        """Fence it at the database, too, as soon as it answers; whether that is confirmed, and what is said of it.

        Nothing waits for it. Nothing has to be taken back either: its successor is a replica of the active database,
        and this one is kept to be read.
        """
        try:
            said = database.ask(self.step.functions, self.step.settings.dbcheck_function, "stop")
            stopped, why = bool(said["stopped"]), str(said["sentence"])
        except NOT_ASKED as error:
            stopped, why = False, f"{type(error).__name__}: {error}"
        told = "its writes are stopped" if stopped else f"that its writes are stopped is not confirmed ({why})"
        if self._remembered().get("writes") != (now := {"stopped": stopped, "told": told}):
            self._remember(writes=now)
        return stopped, told

    def _told_of_writes(self, **given: Any) -> tuple[bool | None, str]:
        """What this run was told when it had them stopped; of one that another has renamed, what it says itself."""
        known = self._remembered().get("writes")
        if known is not None:
            return known["stopped"], known["told"]
        try:
            said = database.ask(self.step.functions, self.step.settings.dbcheck_function, "state", **given)
        except NOT_ASKED:
            said = {"reached": False}
        if not said["reached"]:
            return None, "whether its writes are stopped is not known"
        stopped = bool(said.get("writes_stopped"))
        return stopped, "its writes are stopped" if stopped else "its writes have not been stopped"

    def _drop_slots(self, **given: Any) -> list[str] | None:
        """The slots that nobody reads, dropped: they would fill its disk. None where it could not be asked."""
        try:
            said = database.ask(self.step.functions, self.step.settings.dbcheck_function, "drop_slots", **given)
        except NOT_ASKED:
            return None
        return [str(slot) for slot in said["dropped"]] if "dropped" in said else None

    def _remembered(self) -> dict[str, Any]:
        return self.step.ledger.progress(self.run.id, "retire") or {}

    def _remember(self, **more: Any) -> None:
        self.step.ledger.keep_progress(self.run, "retire", {**self._remembered(), **more})

    def _noted(self) -> Retired | None:
        return next((one for one in self.step.ledger.retired() if one.instance == self.name), None)

    def _note(self, snapshot: str | None) -> None:
        self.step.ledger.keep_retired(
            Retired(self.name, self.old_id, self.epoch, self.run.id, self.step.clock(), snapshot)
        )


def _slots(dropped: list[str] | None) -> str:
    if dropped is None:
        return "its replication slots could not be looked at"
    return f"dropped slots that nobody reads: {', '.join(dropped)}" if dropped else "no slot of it keeps anything back"
