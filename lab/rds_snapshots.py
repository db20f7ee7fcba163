"""Snapshots of RDS instances that hold data: real copies of what a server had, from which others are made.

moto keeps their records. What RDS makes by itself (`automated`) is a record and nothing else: it cannot be restored.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from moto.rds.exceptions import DBInstanceAlreadyExists, DBInstanceNotFoundError, InvalidParameterValue, RDSClientError
from moto.rds.models import DBInstance, DBSnapshot, RDSBackend

from lab.postgres import Backup
from lab.rds_record import complete, existing, given, require_state
from lab.seam import Seams, require

if TYPE_CHECKING:
    from lab.rds import Databases

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
require(DBSnapshot, "snapshot_create_time")


class RdsSnapshots:
    """Installs itself over moto's RDS."""

    def __init__(self, databases: "Databases") -> None:
        self._databases = databases
        self._record: Callable[..., Any] = RDSBackend.create_db_snapshot

    def install(self, seams: Seams) -> None:
        """MotoChangedError if a place to be taken is not there."""
        self._record = RDSBackend.create_db_snapshot
        seams.wrap(RDSBackend, "create_db_snapshot", self._create)
        seams.wrap(RDSBackend, "delete_db_snapshot", self._delete)
        seams.replace(RDSBackend, "restore_db_instance_from_db_snapshot", self._restore())
        seams.replace(RDSBackend, "copy_db_snapshot", _refuse_copy)

    def begin(self, backend: Any, instance: str, identifier: str, **more: Any) -> Any:
        """moto's record of a snapshot that has nothing in it yet."""
        snapshot = self._record(backend, instance, identifier, **more)
        snapshot.status = "creating"
        snapshot.percent_progress = 0
        snapshot.backup = None
        return snapshot

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
                made.backup = None
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
            backup = getattr(snapshot, "backup", None)
            deleted = original(backend, db_snapshot_identifier)
            if backup is not None:
                backup.destroy()
            return deleted

        return delete_db_snapshot

    def _restore(self) -> Callable[..., Any]:
        def restore_db_instance_from_db_snapshot(backend: Any, from_snapshot_id: str, overrides: Any) -> Any:
            wanted = given(overrides)
            identifier = wanted["db_instance_identifier"]
            snapshot = backend.get_db_snapshot(from_snapshot_id)
            backup = _backup_of(snapshot)
            backend._validate_db_identifier(identifier)
            if identifier in backend.databases:
                raise DBInstanceAlreadyExists
            if int(wanted.get("allocated_storage", snapshot.allocated_storage)) < int(snapshot.allocated_storage):
                raise InvalidParameterValue("The allocated storage size cannot be less than that of the snapshot.")
            wanted.pop("db_snapshot_identifier", None)
            kept = {name: getattr(snapshot.database, name) for name in _KEPT}
            tags = {"tags": snapshot.tags} if snapshot.database.copy_tags_to_snapshot else {}
            record = DBInstance(backend, **(kept | tags | wanted))
            complete(record, wanted)
            backend.databases[identifier] = record
            self._databases.add(record).restore(backup)
            return record

        return restore_db_instance_from_db_snapshot


def _backup_of(snapshot: Any) -> Backup:
    """What is in the snapshot; the refusal of RDS where nothing is yet, and the lab's own where nothing ever is."""
    if snapshot.status != "available":
        raise _invalid_snapshot(f"The snapshot {snapshot.db_snapshot_identifier} is {snapshot.status}.")
    backup = getattr(snapshot, "backup", None)
    if not isinstance(backup, Backup):
        raise RDSClientError("NotImplemented", "The lab keeps no data of the snapshots that RDS makes by itself.")
    return backup


def _invalid_snapshot(message: str) -> RDSClientError:
    return RDSClientError("InvalidDBSnapshotState", message)


def _refuse_copy(*_: Any, **__: Any) -> Any:
    raise RDSClientError("NotImplemented", "The lab does not imitate copy_db_snapshot.")
