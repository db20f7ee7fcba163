"""Automated backups of RDS instances: those of a Region's own, their replication to the other Region, and what is
restored from them to a point in time.

There are no archived logs behind them. What is restored is as the source is when it is asked for, or as it was when its
Region was lost: a little newer than the restore window tells, never as of another moment. Replication costs nothing
before somebody restores from it; that its data arrive late is not imitated.
"""

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.rds.exceptions import (
    DBInstanceNotFoundError,
    InvalidParameterCombination,
    InvalidParameterValue,
    RDSClientError,
)
from moto.rds.models import RDSBackend
from moto.rds.responses import RDSResponse

from lab.cloud import ACCOUNT
from lab.database import Database
from lab.network import Path
from lab.rds_record import given, invalid_state
from lab.rds_snapshots import RdsSnapshots
from lab.region import REGION_NAME, Side, Vantage, side_of
from lab.seam import Seams, require

if TYPE_CHECKING:
    from lab.rds import Databases

_TOLD = (
    "allocated_storage",
    "availability_zone",
    "dbi_resource_id",
    "engine",
    "engine_version",
    "iops",
    "license_model",
    "master_username",
    "port",
    "storage_type",
)
require(RDSResponse(), "automated_parameter_parsing")


@dataclass
class Replicated:
    """The automated backups of one instance as the other Region keeps them."""

    source: Database
    side: Side
    """Where they are kept."""
    key: str | None
    days: int
    began: float = field(default_factory=time.time)
    id: str = field(default_factory=lambda: f"ab-{secrets.token_hex(13)}")
    seen_until: float | None = None
    """To when it could be restored when that was last known (epoch seconds)."""

    @property
    def arn(self) -> str:
        return f"arn:aws:rds:{REGION_NAME[self.side]}:{ACCOUNT}:auto-backup:{self.id}"


class RdsBackups:
    """Installs itself over moto's RDS."""

    def __init__(self, databases: "Databases", snapshots: RdsSnapshots) -> None:
        self._databases = databases
        self._snapshots = snapshots
        self._replicated: list[Replicated] = []

    def install(self, seams: Seams) -> None:
        """MotoChangedError if a place to be taken is not there, or if moto can replicate backups itself now."""
        seams.replace(RDSResponse, "describe_db_instance_automated_backups", _answering(self._describe))
        seams.add(RDSResponse, "start_db_instance_automated_backups_replication", _answering(self._start))
        seams.add(RDSResponse, "stop_db_instance_automated_backups_replication", _answering(self._stop))
        seams.replace(RDSBackend, "restore_db_instance_to_point_in_time", self._restore())

    # -- replication --------------------------------------------------------------------------------------------

    def _start(self, region: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        arn = str(asked["source_db_instance_arn"])
        source, side = self._of_arn(arn), side_of(region)
        if source.side is side:
            raise InvalidParameterValue("Automated backups are replicated to another Region than the instance's.")
        if source.latest_restorable is None:
            raise invalid_state(f"Automated backups are not enabled for {source.identifier}.")
        if any(one.source is source for one in self._replicated):
            raise InvalidParameterValue(f"The automated backups of {source.identifier} are replicated already.")
        key = asked.get("kms_key_id")
        if source.record.storage_encrypted and key is None:
            raise InvalidParameterCombination(f"Backups of an encrypted instance need a KmsKeyId of {region}.")
        made = Replicated(source, side, key, int(asked.get("backup_retention_period", 7)))
        self._replicated.append(made)
        source.record.db_instance_automated_backups_replications = [{"DBInstanceAutomatedBackupsArn": made.arn}]
        return {"DBInstanceAutomatedBackup": self._told(made, status="pending")}

    def _stop(self, _: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        source = self._of_arn(str(asked["source_db_instance_arn"]))
        ended = next((one for one in self._replicated if one.source is source), None)
        if ended is None:
            raise _not_found(f"The automated backups of {source.identifier} are not replicated.")
        self._replicated.remove(ended)
        source.record.db_instance_automated_backups_replications = []
        return {"DBInstanceAutomatedBackup": self._told(ended, status="retained")}

    # -- what there is ------------------------------------------------------------------------------------------

    def _describe(self, region: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        side, arn = side_of(region), asked.get("db_instance_automated_backups_arn")
        told = [self._told(one) for one in self._replicated if one.side is side]
        told += [self._own(database) for database in self._databases.all(side) if database.latest_restorable]
        wanted = {
            "DBInstanceAutomatedBackupsArn": arn,
            "DBInstanceIdentifier": asked.get("db_instance_identifier"),
            "DbiResourceId": asked.get("dbi_resource_id"),
        }
        found = [one for one in told if all(value is None or one.get(name) == value for name, value in wanted.items())]
        if arn is not None and not found:
            raise _not_found(f"There are no automated backups {arn}.")
        return {"DBInstanceAutomatedBackups": [one for one in found if _passes(one, asked.get("filters") or ())]}

    def _own(self, database: Database) -> dict[str, Any]:
        return _told(database) | {
            "Status": "active",
            "Encrypted": bool(database.record.storage_encrypted),
            "KmsKeyId": database.record.kms_key_id if database.record.storage_encrypted else None,
            "BackupRetentionPeriod": int(database.record.backup_retention_period or 0),
            "RestoreWindow": _window(database.latest_restorable, database.record.created),
        }

    def _told(self, one: Replicated, status: str = "replicating") -> dict[str, Any]:
        if self._reaches(one):
            one.seen_until = one.source.latest_restorable
        return _told(one.source) | {
            "Status": status,
            "DBInstanceAutomatedBackupsArn": one.arn,
            "Encrypted": one.key is not None,
            "KmsKeyId": one.key,
            "BackupRetentionPeriod": one.days,
            "RestoreWindow": {} if status == "pending" else _window(one.seen_until, one.began),
        }

    def _reaches(self, one: Replicated) -> bool:
        return self._databases.network.state(Vantage.of(one.side), one.source.side) is Path.OPEN

    # -- restoring ----------------------------------------------------------------------------------------------

    def _restore(self) -> Callable[..., Any]:
        def restore_db_instance_to_point_in_time(
            backend: Any, source_db_identifier: str | None, target_db_identifier: str, overrides: Any
        ) -> Any:
            wanted = given(overrides)
            named = [wanted.pop(name, None) for name in _SOURCES]
            if sum(value is not None for value in named) != 1:
                raise InvalidParameterCombination("Exactly one of the source's names must be given.")
            _require_latest(wanted.pop("use_latest_restorable_time", False), wanted.pop("restore_time", None))
            wanted.pop("target_db_instance_identifier", None)
            wanted["db_instance_identifier"] = target_db_identifier
            source, key = self._source(side_of(backend.region_name), *named)
            kept = {"kms_key_id": key, "db_name": source.record.db_name}
            # Nobody else has these data, so that they are deleted when the instance has its own.
            return self._snapshots.restored(backend, source.record, wanted, source.back_up, once=True, **kept)

        return restore_db_instance_to_point_in_time

    def _source(
        self, side: Side, identifier: str | None, resource: str | None, arn: str | None
    ) -> tuple[Database, str | None]:
        """What is restored, and the key of the Region in which that is done."""
        if arn is not None:
            found = next((one for one in self._replicated if one.arn == arn and one.side is side), None)
            if found is None:
                raise _not_found(f"There are no automated backups {arn} in {REGION_NAME[side]}.")
            if self._told(found)["RestoreWindow"] == {}:
                raise RDSClientError("InvalidDBInstanceAutomatedBackupState", f"{arn} can be restored to no time yet.")
            return found.source, found.key
        for database in self._databases.all(side):
            if database.identifier == str(identifier).lower() or database.record.dbi_resource_id == resource:
                if database.latest_restorable is None:
                    why = f"{database.identifier} has no automated backups."
                    raise RDSClientError("PointInTimeRestoreNotEnabled", why)
                return database, database.record.kms_key_id
        raise DBInstanceNotFoundError(identifier or resource)

    def _of_arn(self, arn: str) -> Database:
        found = (one for one in self._databases.all() if one.record.db_instance_arn == arn)
        database = next(found, None)
        if database is None:
            raise DBInstanceNotFoundError(arn)
        return database


_SOURCES = (
    "source_db_instance_identifier",
    "source_dbi_resource_id",
    "source_db_instance_automated_backups_arn",
)


def _answering(action: Callable[[str, Mapping[str, Any]], dict[str, Any]]) -> Callable[[Any], ActionResult]:
    return lambda response: ActionResult(action(str(response.region), given(response.params)))


def _told(database: Database) -> dict[str, Any]:
    """What the description of any automated backup holds of its instance."""
    record = database.record
    names = {"dbi_resource_id": "DbiResourceId"}
    told = {
        names.get(name, "".join(part.title() for part in name.split("_"))): getattr(record, name, None)
        for name in _TOLD
    }
    return told | {
        "DBInstanceArn": record.db_instance_arn,
        "DBInstanceIdentifier": database.identifier,
        "Region": record.region,
        "InstanceCreateTime": record.created,
        "BackupTarget": "region",
    }


def _window(latest: float | None, since: float | datetime) -> dict[str, Any]:
    """From when to when it can be restored; nothing before the first backup."""
    if latest is None:
        return {}
    begin = since if isinstance(since, datetime) else datetime.fromtimestamp(since, UTC)
    end = datetime.fromtimestamp(latest, UTC)
    begin = begin if begin.tzinfo else begin.replace(tzinfo=UTC)
    return {"EarliestTime": min(begin, end - timedelta(seconds=1)), "LatestTime": end}


def _passes(one: Mapping[str, Any], filters: Iterable[Mapping[str, Any]]) -> bool:
    names = {
        "status": "Status",
        "db-instance-id": "DBInstanceIdentifier",
        "dbi-resource-id": "DbiResourceId",
    }
    for each in filters:
        if each["Name"] not in names:
            raise InvalidParameterValue(f"Unrecognized filter name: {each['Name']}")
        told = str(one[names[each["Name"]]])
        if not any(told in (value, value.rpartition(":")[2]) for value in each["Values"]):
            return False
    return True


def _require_latest(latest: Any, moment: Any) -> None:
    if latest and moment:
        raise InvalidParameterCombination("RestoreTime cannot be given with UseLatestRestorableTime.")
    if moment:
        raise RDSClientError("NotImplemented", "The lab restores to the latest restorable time, and to no other.")
    if not latest:
        raise InvalidParameterCombination("Either UseLatestRestorableTime or RestoreTime must be given.")


def _not_found(message: str) -> RDSClientError:
    return RDSClientError("DBInstanceAutomatedBackupNotFound", message)
