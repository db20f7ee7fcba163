"""The operations on RDS instances that moto answers otherwise than AWS, put right.

Each function here takes the place of a method of moto's backend. What AWS refuses is refused with AWS's error code;
what the lab does not imitate is refused with a sentence that says so.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.rds.exceptions import (
    DBInstanceAlreadyExists,
    DBInstanceNotFoundError,
    DBParameterGroupNotFoundError,
    InvalidParameterCombination,
    InvalidParameterValue,
    RDSClientError,
)
from moto.rds.models import DBInstance, RDSBackend

from lab.binaries import run
from lab.database import Database
from lab.modification import modification
from lab.rds_backups import RdsBackups
from lab.rds_record import (
    apply_status,
    complete,
    existing,
    given,
    group_told,
    invalid_state,
    require_state,
    tell_insights,
)
from lab.rds_snapshots import RdsSnapshots
from lab.region import side_of
from lab.seam import Seams, require

if TYPE_CHECKING:
    from lab.rds import Databases

_NOT_IMITATED = (
    "create_db_cluster",
    "switchover_blue_green_deployment",
)
_INHERITED = (
    "engine",
    "engine_version",
    "db_instance_class",
    "allocated_storage",
    "storage_type",
    "storage_encrypted",
    "db_name",
    "master_username",
    "port",
)

require(RDSBackend, "_validate_db_identifier", "find_db_from_id", "create_db_snapshot", "add_event")
require(
    DBInstance, "update", "db_parameter_groups", "db_parameter_group_status_list", "vpc_security_group_membership_list"
)
require(DBInstance, "get_cfn_attribute")
require(DBInstance, "backup_retention_period")


class RdsApi:
    """Installs itself over moto's RDS."""

    def __init__(self, databases: "Databases") -> None:
        self._databases = databases
        self.snapshots = RdsSnapshots(databases)
        self._backups = RdsBackups(databases, self.snapshots)

    def install(self, seams: Seams) -> None:
        """MotoChangedError if a place to be taken is not there."""
        self.snapshots.install(seams)
        self._backups.install(seams)
        seams.wrap(RDSBackend, "create_db_instance", self._create)
        seams.wrap(RDSBackend, "describe_db_instances", self._describe)
        seams.wrap(RDSBackend, "modify_db_instance", self._modify)
        seams.replace(RDSBackend, "create_db_instance_read_replica", self._replicate())
        seams.replace(RDSBackend, "promote_read_replica", self._promote())
        seams.replace(RDSBackend, "delete_db_instance", self._delete())
        seams.replace(RDSBackend, "reboot_db_instance", self._begin("reboot", "available"))
        seams.replace(RDSBackend, "stop_db_instance", self._begin("stop_server", "available"))
        seams.replace(RDSBackend, "start_db_instance", self._begin("start_server", "stopped"))
        for name in _NOT_IMITATED:
            seams.replace(RDSBackend, name, _refusal(name))
        seams.replace(DBInstance, "address", property(self._address))
        seams.wrap(DBInstance, "endpoint", self._endpoint)
        seams.replace(DBInstance, "db_parameter_group_status_list", property(group_told))
        seams.replace(DBInstance, "latest_restorable_time", property(self._latest_restorable_time))

    def _create(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def create_db_instance(backend: Any, db_kwargs: Any) -> Any:
            wanted = given(db_kwargs)
            _refuse_the_unknown(wanted)
            password = wanted.get("master_user_password")
            if not wanted.get("master_username") or not password:
                raise InvalidParameterCombination("MasterUsername and MasterUserPassword are required.")
            record = original(backend, wanted | {"engine_version": wanted.get("engine_version") or _version()})
            complete(record, wanted)
            self._databases.add(record).create(str(password))
            return record

        return create_db_instance

    def _replicate(self) -> Callable[..., Any]:
        def create_db_instance_read_replica(backend: Any, db_kwargs: Any) -> Any:
            wanted = given(db_kwargs)
            _refuse_the_unknown(wanted)
            identifier, source_name = wanted["db_instance_identifier"], wanted.pop("source_db_instance_identifier")
            backend._validate_db_identifier(identifier)
            if identifier in backend.databases:
                raise DBInstanceAlreadyExists
            source_record = backend.find_db_from_id(source_name)
            source = self._database(source_record)
            require_state(source, "available")
            if not int(source_record.backup_retention_period or 0):
                raise invalid_state("Automated backups are not enabled for this database instance.")
            _require_key(source_record, backend.region_name, wanted.get("kms_key_id"))
            if wanted.get("db_parameter_group_name"):
                raise InvalidParameterCombination(
                    "A parameter group can't be specified during Read Replica creation for the following DB engine: "
                    "postgres"
                )
            inherited = {name: getattr(source_record, name) for name in _INHERITED}
            if source_record.region == backend.region_name:  # in another Region it has that Region's own
                inherited["db_parameter_group_name"] = source_record.db_parameter_group_name
            # A replica has neither its own backups nor its source's second zone unless it is told to.
            defaults = {"backup_retention_period": 0, "multi_az": False, "source_db_instance_identifier": source_name}
            record = DBInstance(backend, **(inherited | defaults | wanted))
            record.set_as_replica()
            complete(record, wanted)
            backend.databases[identifier] = record
            source_record.add_replica(record)
            self._databases.add(record).replicate(source)
            return record

        return create_db_instance_read_replica

    def _describe(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def describe_db_instances(backend: Any, db_instance_identifier: Any = None, filters: Any = None) -> Any:
            records = original(backend, db_instance_identifier, filters)
            for record in records:
                database = self._databases.of(record)
                if database is not None:
                    database.refresh()
            return records

        return describe_db_instances

    def _modify(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def modify_db_instance(backend: Any, db_instance_identifier: str, db_kwargs: Any) -> Any:
            record = existing(backend, db_instance_identifier)
            database = self._database(record)
            require_state(database, "available", "storage-full")
            found = modification(record, given(db_kwargs))
            if database.full and found.new_name and "allocated_storage" not in found.now:
                raise invalid_state(f"Instance {database.identifier} is storage-full and cannot be restarted.")
            record.pending_modified_values = record.pending_modified_values | found.later | found.shown

            def apply() -> None:
                original(backend, record.db_instance_identifier, dict(found.now))
                tell_insights(record, found.now)
                record.parameter_apply_status = apply_status(record, found.now)
                applied = {*found.now, "db_instance_identifier"} if found.new_name else {*found.now}
                left = {name: value for name, value in record.pending_modified_values.items() if name not in applied}
                record.pending_modified_values = left

            if found.nothing:
                return record
            _require_group(backend, found.now)
            if found.new_name:
                backend._validate_db_identifier(found.new_name)
                if found.new_name in backend.databases:
                    raise DBInstanceAlreadyExists
                address = self._databases.address(database.side, found.new_name)
                database.rename(found.new_name.lower(), address, apply, found.password)
            else:
                database.modify(apply, found.password, adds_a_zone=found.adds_a_zone)
            return record

        return modify_db_instance

    def _promote(self) -> Callable[..., Any]:
        def promote_read_replica(backend: Any, db_kwargs: Any) -> Any:
            wanted = given(db_kwargs)
            record = existing(backend, wanted["db_instance_identifier"])
            database = self._database(record)
            if not record.is_replica:
                raise invalid_state("DB Instance is not a read replica.")
            require_state(database, "available")
            database.promote()
            record.backup_retention_period = int(wanted.get("backup_retention_period", 1))
            if wanted.get("preferred_backup_window"):
                record.preferred_backup_window = wanted["preferred_backup_window"]
            return record

        return promote_read_replica

    def _delete(self) -> Callable[..., Any]:
        def delete_db_instance(
            backend: Any,
            db_instance_identifier: str,
            final_db_snapshot_identifier: str | None = None,
            skip_final_snapshot: bool | None = False,
            delete_automated_backups: bool | None = True,
        ) -> Any:
            record = existing(backend, db_instance_identifier)
            database = self._database(record)
            if record.deletion_protection:
                raise InvalidParameterCombination(
                    "Cannot delete protected DB Instance, please disable deletion protection and try again."
                )
            if database.busy:
                raise invalid_state(f"Instance {db_instance_identifier} has an operation under way.")
            _require_last_words(record, final_db_snapshot_identifier, bool(skip_final_snapshot))
            last = None
            if final_db_snapshot_identifier:
                last = self.snapshots.begin(backend, db_instance_identifier, final_db_snapshot_identifier)
            if delete_automated_backups:
                self.snapshots.forget_automated(backend, record)
            database.delete(last)
            return record

        return delete_db_instance

    def _begin(self, what: str, needed: str) -> Callable[..., Any]:
        """An operation without parameters that begins in one state."""

        def begin(backend: Any, db_instance_identifier: str, snapshot: Any = None) -> Any:
            if snapshot:
                raise InvalidParameterValue("The lab makes no snapshot of an instance that it stops.")
            record = existing(backend, db_instance_identifier)
            database = self._database(record)
            require_state(database, needed)
            if what == "stop_server" and (record.is_replica or record.replicas):
                raise invalid_state("Cannot stop an instance that is a read replica or has one.")
            getattr(database, what)()
            return record

        return begin

    def _address(self, record: Any) -> str:
        database = self._databases.of(record)
        if database is not None:
            return database.address
        # A snapshot keeps a copy of the record, and nothing listens for it.
        return self._databases.address(side_of(record.region), record.db_instance_identifier)

    def _latest_restorable_time(self, record: Any) -> datetime | None:
        database = self._databases.of(record)
        latest = None if database is None else database.latest_restorable
        return None if latest is None else datetime.fromtimestamp(latest, UTC)

    def _endpoint(self, original: property) -> property:
        """There is none before the instance exists."""

        def endpoint(record: Any) -> Any:
            database = self._databases.of(record)
            creating = database is not None and database.server is None
            return None if creating or original.fget is None else original.fget(record)

        return property(endpoint)

    def _database(self, record: Any) -> Database:
        database = self._databases.of(record)
        if database is None:
            raise DBInstanceNotFoundError(record.db_instance_identifier)
        return database


def _require_group(backend: Any, changes: Mapping[str, Any]) -> None:
    name = changes.get("db_parameter_group_name")
    if name is not None and str(name).lower() not in backend.db_parameter_groups:
        raise DBParameterGroupNotFoundError(name)


def _require_last_words(record: Any, final: str | None, skip: bool) -> None:
    """Which instance is deleted with a last snapshot, and which must be without one."""
    if skip and final:
        raise InvalidParameterCombination("FinalDBSnapshotIdentifier cannot be given with SkipFinalSnapshot.")
    if record.is_replica and final:
        raise InvalidParameterCombination("FinalDBSnapshotIdentifier cannot be given when deleting a read replica.")
    if not (skip or final or record.is_replica):
        raise InvalidParameterCombination(
            "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified."
        )
    if final and record.status == "failed":
        raise invalid_state("Instance has failed: it can only be deleted with SkipFinalSnapshot.")


def _require_key(source_record: Any, region: str, key: str | None) -> None:
    """A replica of an encrypted instance in another Region needs a key of its own Region."""
    if not source_record.storage_encrypted or source_record.region == region:
        return
    if key is None:
        raise InvalidParameterCombination(
            "Cannot create a cross region read replica from an encrypted instance without a KmsKeyId of this Region."
        )
    if key.startswith("arn:") and key.split(":")[3] != region:
        raise RDSClientError("KMSKeyNotAccessibleFault", f"The key {key} is not in {region}.")


def _refuse_the_unknown(wanted: dict[str, Any]) -> None:
    if wanted.get("engine", "postgres") != "postgres":
        raise InvalidParameterValue(f"The lab imitates the engine postgres only, not {wanted['engine']}.")
    for name in ("db_cluster_identifier", "manage_master_user_password"):
        if wanted.get(name):
            raise InvalidParameterValue(f"The lab does not imitate the parameter {name} of an RDS instance.")


def _refusal(name: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise RDSClientError("NotImplemented", f"The lab does not imitate {name}.")

    return refuse


def _version() -> str:
    """The version of the servers, such as "18.0"."""
    return run("postgres", "--version").split()[-1]
