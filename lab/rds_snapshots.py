"""Snapshots of RDS instances that hold data: real copies of what a server had, from which others are made.

moto keeps their records. One that RDS makes by itself (`automated`) with an instance is a record at first: its data are
taken when somebody copies or restores it, and its time is that moment from then on. `RdsSnapshots.back_up` makes one
with its data at once, as the backup window does every night.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

import psycopg
from moto.core.utils import utcnow
from moto.rds.exceptions import (
    DBInstanceAlreadyExists,
    DBInstanceNotFoundError,
    DBSnapshotNotFoundFault,
    InvalidParameterCombination,
    InvalidParameterValue,
    RDSClientError,
)
from moto.rds.models import DBInstance, DBSnapshot, RDSBackend

from lab.database import Database, EndedError
from lab.errors import LabError
from lab.network import Path
from lab.postgres import Backup, PostgresError
from lab.rds_record import complete, existing, given, require_state
from lab.region import Vantage, side_of
from lab.seam import Seams, require

if TYPE_CHECKING:
    from lab.rds import Databases

_LOOK_SECONDS = 0.1
_TROUBLE = (LabError, PostgresError, psycopg.Error, OSError)
# Of the instance that a snapshot is of; all else is as RDS has it for a new one, unless the call says so.
_KEPT = (
    "allocated_storage",
    "auto_minor_version_upgrade",
    "backup_retention_period",
    "copy_tags_to_snapshot",
    "db_instance_class",
    "db_name",
    "engine",
    "engine_version",
    "kms_key_id",
    "master_username",
    "port",
    "preferred_backup_window",
    "preferred_maintenance_window",
    "storage_encrypted",
    "storage_type",
)

require(RDSBackend, "get_db_snapshot", "_validate_db_identifier", "create_auto_snapshot")
require(DBSnapshot, "snapshot_create_time", "arn")


class RdsSnapshots:
    """Installs itself over moto's RDS."""

    def __init__(self, databases: "Databases") -> None:
        self._databases = databases
        self._record: Callable[..., Any] = RDSBackend.create_db_snapshot
        self._taking = Lock()
        """Held while the data of an automated snapshot are taken, and while those of a copy are given to it."""

    def install(self, seams: Seams) -> None:
        """MotoChangedError if a place to be taken is not there."""
        self._record = RDSBackend.create_db_snapshot
        seams.wrap(RDSBackend, "create_db_snapshot", self._create)
        seams.wrap(RDSBackend, "delete_db_snapshot", self._delete)
        seams.wrap(RDSBackend, "copy_db_snapshot", self._copy)
        seams.replace(RDSBackend, "restore_db_instance_from_db_snapshot", self._restore())

    def begin(self, backend: Any, instance: str, identifier: str, **more: Any) -> Any:
        """moto's record of a snapshot that has nothing in it yet."""
        snapshot = self._record(backend, instance, identifier, **more)
        snapshot.status = "creating"
        snapshot.percent_progress = 0
        snapshot.backup = None
        snapshot.origin = backend.databases[instance]
        return snapshot

    def back_up(self, backend: Any, database: Database) -> Any:
        """Begin an automated snapshot, as RDS does in the backup window; BusyError while something is under way."""
        identifier = f"rds:{database.identifier}-{utcnow():%Y-%m-%d-%H-%M}"
        # One of the same minute that nobody has asked for has no data.
        backend.database_snapshots.pop(identifier, None)
        snapshot = self.begin(backend, database.identifier, identifier, snapshot_type="automated")
        database.snapshot(snapshot)
        return snapshot

    @staticmethod
    def forget_automated(backend: Any, record: Any) -> None:
        """The automated snapshots of an instance go with it."""
        for name, kept in list(backend.database_snapshots.items()):
            if kept.snapshot_type == "automated" and kept.database.arn == record.arn:
                del backend.database_snapshots[name]
                if kept.backup is not None:
                    kept.backup.destroy()

    def data_of(self, snapshot: Any) -> Callable[[], Backup]:
        """What gives the data of a snapshot, and may take its time for it.

        The refusal of RDS where there is nothing in it yet, and the lab's own where nothing ever will be.
        """
        if snapshot.status != "available":
            raise _invalid_snapshot(f"The snapshot {snapshot.db_snapshot_identifier} is {snapshot.status}.")
        origin = self._databases.of(snapshot.origin) if hasattr(snapshot, "origin") else None
        if getattr(snapshot, "backup", None) is None and (origin is None or origin.server is None):
            raise RDSClientError(
                "NotImplemented", "The lab keeps no data of a snapshot that RDS made by itself of an instance now gone."
            )
        return lambda: self._taken(snapshot, origin)

    def restored(
        self,
        backend: Any,
        like: Any,
        wanted: Mapping[str, Any],
        data: Callable[[], Backup],
        *,
        once: bool = False,
        **kept: Any,
    ) -> Any:
        """A new instance with these data, made from the record `like`: `kept` and then `wanted` say what differs.

        `once`: nobody else needs the data.
        """
        identifier = wanted["db_instance_identifier"]
        backend._validate_db_identifier(identifier)
        if identifier in backend.databases:
            raise DBInstanceAlreadyExists
        if int(wanted.get("allocated_storage", like.allocated_storage)) < int(like.allocated_storage):
            raise InvalidParameterValue("The allocated storage size cannot be less than that of the source.")
        inherited = {name: getattr(like, name) for name in _KEPT}
        record = DBInstance(backend, **(inherited | kept | dict(wanted)))
        complete(record, wanted)
        backend.databases[identifier] = record
        self._databases.add(record).restore(data, once=once)
        return record

    def _taken(self, snapshot: Any, origin: Database | None) -> Backup:
        with self._taking:
            if snapshot.backup is None:
                if origin is None:
                    raise PostgresError(f"the instance of {snapshot.db_snapshot_identifier} is gone")
                snapshot.backup = origin.back_up()
                snapshot.created = snapshot.original_snapshot_create_time = utcnow()
            backup: Backup = snapshot.backup
            return backup

    def _create(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def create_db_snapshot(
            backend: Any,
            db_instance_identifier: str,
            db_snapshot_identifier: str,
            snapshot_type: str = "manual",
            **more: Any,
        ) -> Any:
            if snapshot_type != "manual":
                made = original(backend, db_instance_identifier, db_snapshot_identifier, snapshot_type, **more)
                made.backup, made.origin = None, backend.databases[db_instance_identifier]
                return made
            database = self._databases.of(existing(backend, db_instance_identifier))
            if database is None:
                raise DBInstanceNotFoundError(db_instance_identifier)
            require_state(database, "available")
            snapshot = self.begin(backend, db_instance_identifier, db_snapshot_identifier, **more)
            database.snapshot(snapshot)
            return snapshot

        return create_db_snapshot

    def _delete(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def delete_db_snapshot(backend: Any, db_snapshot_identifier: str) -> Any:
            snapshot = backend.database_snapshots.get(db_snapshot_identifier)
            if snapshot is not None and snapshot.status == "creating":
                raise _invalid_snapshot(f"Cannot delete the snapshot {db_snapshot_identifier}: it is being created.")
            if snapshot is not None and snapshot.snapshot_type == "automated":
                raise _invalid_snapshot(f"The snapshot {db_snapshot_identifier} is not a manual snapshot.")
            with self._taking:
                backup = getattr(snapshot, "backup", None)
                # One that is being copied is given up.
                deleted = original(backend, db_snapshot_identifier)
            if backup is not None:
                backup.destroy()
            return deleted

        return delete_db_snapshot

    def _copy(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def copy_db_snapshot(
            backend: Any,
            source_db_snapshot_identifier: str,
            target_db_snapshot_identifier: str,
            kms_key_id: str | None = None,
            tags: list[dict[str, str]] | None = None,
            copy_tags: bool | None = False,
            **_: Any,
        ) -> Any:
            here = backend.region_name
            source = backend.get_db_snapshot(source_db_snapshot_identifier)
            abroad = source.region != here
            if abroad and not self._reaches(here, source.region):
                raise RDSClientError("InternalFailure", f"RDS of {here} gets no answer from {source.region}.")
            data = self.data_of(source)
            if abroad and source.encrypted and not kms_key_id:
                raise InvalidParameterCombination(
                    f"To copy an encrypted snapshot from {source.region} a KmsKeyId of {here} is needed."
                )
            made = original(
                backend, source_db_snapshot_identifier, target_db_snapshot_identifier, kms_key_id, tags, copy_tags
            )
            made.tags = list(tags or (source.tags if copy_tags else []))
            made.status, made.percent_progress, made.backup = "copying", 0, None
            made.source_db_snapshot_identifier, made.source_region = source.arn, source.region
            self._databases.spawn(partial(self._fill, made, source.region, data))
            return made

        return copy_db_snapshot

    def _fill(self, made: Any, source: str, data: Callable[[], Backup]) -> None:
        """Give a copy its data, over a path that is open all the while."""
        here, side = made.region, side_of(made.region)
        began, seconds = time.monotonic(), self._databases.timings.rds_copying
        try:
            backup = data()
            while (gone := time.monotonic() - began) < seconds:
                self._databases.pause(side, min(_LOOK_SECONDS, seconds - gone))
                made.percent_progress = min(99, int(100 * gone / seconds))
                if not self._reaches(here, source):
                    raise PostgresError(f"{source} cannot be reached from {here} any more")
            copied = backup.twin(self._databases.new_folder(side))
        except EndedError:
            made.status = "failed"
        except _TROUBLE as error:
            made.status = "failed"
            self._databases.trouble(f"copy {made.db_snapshot_identifier} of a snapshot: {error}")
        else:
            self._give(made, copied)

    def _give(self, made: Any, copied: Backup) -> None:
        with self._taking:
            given_up = made.backend.database_snapshots.get(made.db_snapshot_identifier) is not made
            if not given_up:
                made.backup, made.percent_progress, made.status = copied, 100, "available"
        if given_up:
            copied.destroy()

    def _reaches(self, here: str, there: str) -> bool:
        if here == there:
            return True
        return self._databases.network.state(Vantage.of(side_of(here)), side_of(there)) is Path.OPEN

    def _restore(self) -> Callable[..., Any]:
        def restore_db_instance_from_db_snapshot(backend: Any, from_snapshot_id: str, overrides: Any) -> Any:
            wanted = given(overrides)
            wanted.pop("db_snapshot_identifier", None)
            snapshot = backend.get_db_snapshot(from_snapshot_id)
            if snapshot.region != backend.region_name:
                raise DBSnapshotNotFoundFault(from_snapshot_id)
            tags = {"tags": snapshot.tags} if snapshot.database.copy_tags_to_snapshot else {}
            return self.restored(
                backend, snapshot.database, wanted, self.data_of(snapshot), kms_key_id=snapshot.kms_key_id, **tags
            )

        return restore_db_instance_from_db_snapshot


def _invalid_snapshot(message: str) -> RDSClientError:
    return RDSClientError("InvalidDBSnapshotState", message)
