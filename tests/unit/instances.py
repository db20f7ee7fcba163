"""RDS of one Region as the way home asks it, in memory: phases that end when told to, refusals of AWS, and deaths.

Parameters are checked against boto3's own model of the API.
"""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import EndpointConnectionError, ParamValidationError, ReadTimeoutError
from botocore.validate import ParamValidator

from tests.unit.rds import error
from tests.unit.standby import HERE, HOME, NOW, Clock

OLD, ACTIVE = "shop-primary", "shop-dr"
KEPT = f"{OLD}-retired-7"
ACTIVE_ARN = f"arn:aws:rds:{HERE}:123456789012:db:{ACTIVE}"
LIFE = "db-OLD"
# As DescribeDBInstances tells what stacks/database.yaml has made in the primary Region.
AS_THE_TEMPLATE_HAS_IT: dict[str, Any] = {
    "DBInstanceIdentifier": OLD,
    "DBInstanceArn": f"arn:aws:rds:{HOME}:123456789012:db:{OLD}",
    "DbiResourceId": LIFE,
    "DBInstanceStatus": "available",
    "Engine": "postgres",
    "EngineVersion": "18.1",
    "DBInstanceClass": "db.t4g.small",
    "AllocatedStorage": 20,
    "MaxAllocatedStorage": 100,
    "StorageType": "gp3",
    "Iops": 3000,
    "StorageThroughput": 125,
    "StorageEncrypted": True,
    "KmsKeyId": f"arn:aws:kms:{HOME}:123456789012:key/1",
    "MultiAZ": True,
    "PubliclyAccessible": False,
    "BackupRetentionPeriod": 14,
    "PreferredBackupWindow": "01:00-01:30",
    "PreferredMaintenanceWindow": "thu:02:00-thu:02:30",
    "AutoMinorVersionUpgrade": True,
    "IAMDatabaseAuthenticationEnabled": True,
    "EnabledCloudwatchLogsExports": ["postgresql"],
    "DatabaseInsightsMode": "standard",
    "PerformanceInsightsEnabled": True,
    "PerformanceInsightsRetentionPeriod": 7,
    "PerformanceInsightsKMSKeyId": f"arn:aws:kms:{HOME}:123456789012:key/1",
    "MonitoringInterval": 0,
    "DeletionProtection": True,
    "CopyTagsToSnapshot": True,
    "NetworkType": "IPV4",
    "DBSubnetGroup": {"DBSubnetGroupName": "shop-subnets"},
    "DBParameterGroups": [{"DBParameterGroupName": "shop-settings", "ParameterApplyStatus": "in-sync"}],
    "OptionGroupMemberships": [{"OptionGroupName": "default:postgres-18", "Status": "in-sync"}],
    "VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-1", "Status": "active"}],
    "TagList": [{"Key": "aws:cloudformation:stack-name", "Value": "x"}, {"Key": "team", "Value": "shop"}],
    "DBInstanceAutomatedBackupsReplications": [
        {"DBInstanceAutomatedBackupsArn": f"arn:aws:rds:{HERE}:1:auto-backup:ab-1"}
    ],
    "Endpoint": {"Address": f"{OLD}.abc.{HOME}.rds.amazonaws.com", "Port": 5432},
    "PendingModifiedValues": {},
}
PROTECTED = "Cannot delete protected DB Instance, please disable deletion protection and try again."
_TOLD_AS = {
    "EnableIAMDatabaseAuthentication": "IAMDatabaseAuthenticationEnabled",
    "EnablePerformanceInsights": "PerformanceInsightsEnabled",
    "EnableCloudwatchLogsExports": "EnabledCloudwatchLogsExports",
}
_NOT_TOLD = {"DBInstanceIdentifier", "SourceDBInstanceIdentifier", "SourceRegion", "DBSnapshotIdentifier", "Port"}


def _group(name: str, status: str) -> dict[str, str]:
    return {"DBParameterGroupName": name, "ParameterApplyStatus": status}


class Died(Exception):
    """The handler was killed here."""


@dataclass
class Strikes:
    """Counts what changes the world, and kills the handler just before or just after one of them."""

    before: int | None = None
    after: int | None = None
    count: int = 0

    def around[T](self, call: Callable[[], T]) -> T:
        """Make the call, or die; each strike comes once."""
        self.count += 1
        if self.before == self.count:
            raise Died
        said = call()
        if self.after == self.count:
            raise Died
        return said


@dataclass
class Instances:
    """Instances and snapshots by name. `tick` lets what is under way come one phase further."""

    model: Any
    clock: Clock
    region: str = HOME
    strikes: Strikes = field(default_factory=Strikes)
    instances: dict[str, dict[str, Any]] = field(default_factory=dict)
    snapshots: dict[str, dict[str, Any]] = field(default_factory=dict)
    refusals: dict[str, Exception] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    reached: bool = True
    lives: int = 0
    coming: dict[str, dict[str, Any]] = field(default_factory=dict)  # by life: what RDS does after its answer

    def add(self, **told: Any) -> dict[str, Any]:
        """The instance as the template has it, with what is told otherwise."""
        made = json.loads(json.dumps(AS_THE_TEMPLATE_HAS_IT)) | told
        self.instances[made["DBInstanceIdentifier"]] = made
        return dict(made)

    def made(self, operation: str) -> list[dict[str, Any]]:
        """The parameters of the calls that RDS has taken."""
        return [given for name, given in self.calls if name == operation]

    # Looks.

    def describe_db_instances(self, **given: Any) -> dict[str, Any]:
        self._take("DescribeDBInstances", given)
        return {"DBInstances": [dict(self._instance(given["DBInstanceIdentifier"], "DescribeDBInstances"))]}

    def describe_db_snapshots(self, **given: Any) -> dict[str, Any]:
        self._take("DescribeDBSnapshots", given)
        name = given.get("DBSnapshotIdentifier")
        if name is None:
            of, kind = given["DBInstanceIdentifier"], given.get("SnapshotType", "manual")
            found = [one for one in self.snapshots.values() if one["DBInstanceIdentifier"] == of]
            return {"DBSnapshots": [one for one in found if one.get("SnapshotType", "manual") == kind]}
        if name not in self.snapshots:
            raise error("DBSnapshotNotFound", f"DBSnapshot {name} not found.", "DescribeDBSnapshots", 404)
        return {"DBSnapshots": [dict(self.snapshots[name])]}

    # Changes.

    def create_db_snapshot(self, **given: Any) -> dict[str, Any]:
        def create() -> None:
            of = self._in("CreateDBSnapshot", given, "available", "storage-optimization")
            name = given["DBSnapshotIdentifier"]
            if name in self.snapshots:
                raise error("DBSnapshotAlreadyExists", f"{name} exists", "CreateDBSnapshot")
            self._snapshot(name, of)
            of["DBInstanceStatus"] = "backing-up"

        return self._change("CreateDBSnapshot", given, create)

    def modify_db_instance(self, **given: Any) -> dict[str, Any]:
        def modify() -> None:
            found = self._in("ModifyDBInstance", given, "available", "storage-optimization", "storage-full")
            if found["DBInstanceStatus"] == "storage-full" and "AllocatedStorage" not in given:
                raise error("InvalidDBInstanceState", "it is storage-full", "ModifyDBInstance")
            new = given.get("NewDBInstanceIdentifier")
            if new in self.instances:
                raise error("DBInstanceAlreadyExists", f"{new} exists", "ModifyDBInstance")
            if new:
                found["PendingModifiedValues"]["DBInstanceIdentifier"] = new
            for key in ("MultiAZ", "AllocatedStorage", "BackupRetentionPeriod"):
                if key in given:
                    found["PendingModifiedValues"][key] = given[key]
            at_once = {
                key: value
                for key, value in given.items()
                if key in found and key not in {"DBInstanceIdentifier", "MultiAZ", "AllocatedStorage"}
            }
            if "DeletionProtection" in at_once:
                coming = self.coming.setdefault(found["DbiResourceId"], {})
                coming["DeletionProtection"] = at_once.pop("DeletionProtection")
            if group := given.get("DBParameterGroupName"):
                found["DBParameterGroups"] = [_group(group, "applying")]
            found.update(at_once)

        return self._change("ModifyDBInstance", given, modify)

    def reboot_db_instance(self, **given: Any) -> dict[str, Any]:
        def reboot() -> None:
            self._in("RebootDBInstance", given, "available")["DBInstanceStatus"] = "rebooting"

        return self._change("RebootDBInstance", given, reboot)

    def start_db_instance(self, **given: Any) -> dict[str, Any]:
        def start() -> None:
            self._in("StartDBInstance", given, "stopped")["DBInstanceStatus"] = "starting"

        return self._change("StartDBInstance", given, start)

    def restore_db_instance_from_db_snapshot(self, **given: Any) -> dict[str, Any]:
        def restore() -> None:
            snapshot = self.snapshots[given["DBSnapshotIdentifier"]]
            assert snapshot["Status"] == "available"
            self._new("RestoreDBInstanceFromDBSnapshot", given, {"AllocatedStorage": snapshot["AllocatedStorage"]})

        return self._change("RestoreDBInstanceFromDBSnapshot", given, restore)

    def create_db_instance_read_replica(self, **given: Any) -> dict[str, Any]:
        def create() -> None:
            source = given["SourceDBInstanceIdentifier"]
            if "DBParameterGroupName" in given:
                raise error(
                    "InvalidParameterCombination",
                    "A parameter group can't be specified during Read Replica creation for the following DB engine: "
                    "postgres",
                    "CreateDBInstanceReadReplica",
                )
            # What RDS chooses where it is not told, and what it does not take at creation.
            chosen = {
                "ReadReplicaSourceDBInstanceIdentifier": source,
                "AllocatedStorage": 30,
                "BackupRetentionPeriod": 0,
                "PreferredBackupWindow": "22:00-22:30",
                "PreferredMaintenanceWindow": "sun:03:00-sun:03:30",
                "DatabaseInsightsMode": "standard",
            }
            self._new("CreateDBInstanceReadReplica", given, chosen)

        return self._change("CreateDBInstanceReadReplica", given, create)

    def delete_db_instance(self, **given: Any) -> dict[str, Any]:
        def delete() -> None:
            found = self._instance(given["DBInstanceIdentifier"], "DeleteDBInstance")
            if found["DeletionProtection"]:
                raise error("InvalidParameterCombination", PROTECTED, "DeleteDBInstance")
            self._snapshot(given["FinalDBSnapshotIdentifier"], found)
            found["DBInstanceStatus"] = "deleting"

        return self._change("DeleteDBInstance", given, delete)

    def describe_db_instance_automated_backups(self, **given: Any) -> dict[str, Any]:
        self._take("DescribeDBInstanceAutomatedBackups", given)
        return {"DBInstanceAutomatedBackups": [{"KmsKeyId": "arn:key/dr", "BackupRetentionPeriod": 14}]}

    def start_db_instance_automated_backups_replication(self, **given: Any) -> dict[str, Any]:
        return self._change("StartDBInstanceAutomatedBackupsReplication", given, lambda: None)

    # Time.

    def tick(self) -> None:
        """One phase further: RDS brings each thing it is doing nearer to its end."""
        for name, snapshot in self.snapshots.items():
            if snapshot["Status"] == "creating":
                self.snapshots[name] = snapshot | {"Status": "available", "PercentProgress": 100}
        for name, found in list(self.instances.items()):
            self._on(name, found)

    def _on(self, name: str, found: dict[str, Any]) -> None:
        found.update(self.coming.pop(found["DbiResourceId"], {}))
        (group,) = found["DBParameterGroups"]
        if group.get("ParameterApplyStatus") == "applying":
            found["DBParameterGroups"] = [_group(group["DBParameterGroupName"], "pending-reboot")]
        elif found["DBInstanceStatus"] == "rebooting":
            found["DBParameterGroups"] = [_group(group["DBParameterGroupName"], "in-sync")]
        pending, status = found["PendingModifiedValues"], found["DBInstanceStatus"]
        if status == "deleting":
            del self.instances[name]
        elif status in {"creating", "starting", "backing-up", "rebooting"}:
            found["DBInstanceStatus"] = "available"
        elif "DBInstanceIdentifier" in pending and status != "renaming":
            found["DBInstanceStatus"] = "renaming"
        elif status == "renaming":
            new = pending.pop("DBInstanceIdentifier")
            del self.instances[name]
            found |= {"DBInstanceIdentifier": new, "DBInstanceStatus": "rebooting"}
            found["Endpoint"] = {"Address": f"{new}.abc.{self.region}.rds.amazonaws.com", "Port": 5432}
            self.instances[new] = found
        elif pending and status in {"available", "storage-full"}:
            found["DBInstanceStatus"] = "modifying"
        elif status == "modifying":
            found.update(pending)
            found |= {"DBInstanceStatus": "available", "PendingModifiedValues": {}}

    def _snapshot(self, name: str, of: dict[str, Any]) -> None:
        self.snapshots[name] = {
            "DBSnapshotIdentifier": name,
            "DBInstanceIdentifier": of["DBInstanceIdentifier"],
            "DbiResourceId": of["DbiResourceId"],
            "AllocatedStorage": of["AllocatedStorage"],
            "Status": "creating",
            "PercentProgress": 0,
            "SnapshotCreateTime": datetime.fromtimestamp(self.clock(), UTC),
        }

    def _new(self, operation: str, given: dict[str, Any], chosen: dict[str, Any]) -> None:
        name = given["DBInstanceIdentifier"]
        if name in self.instances:
            raise error("DBInstanceAlreadyExists", f"{name} exists", operation)
        self.lives += 1
        told = {_TOLD_AS.get(key, key): value for key, value in given.items() if key not in _NOT_TOLD}
        groups = told.pop("VpcSecurityGroupIds", [])
        self.instances[name] = {
            "DBInstanceIdentifier": name,
            "DBInstanceArn": f"arn:aws:rds:{self.region}:123456789012:db:{name}",
            "DbiResourceId": f"db-NEW{self.lives}",
            "DBInstanceStatus": "creating",
            "Engine": "postgres",
            "StorageEncrypted": "KmsKeyId" in given,
            "InstanceCreateTime": datetime.fromtimestamp(self.clock(), UTC),
            "Endpoint": {"Address": f"{name}.abc.{self.region}.rds.amazonaws.com", "Port": given.get("Port", 5432)},
            "PendingModifiedValues": {},
            **chosen,
            **told,
            "VpcSecurityGroups": [{"VpcSecurityGroupId": group, "Status": "active"} for group in groups],
            "DBSubnetGroup": {"DBSubnetGroupName": given.get("DBSubnetGroupName", "default")},
            "DBParameterGroups": [_group(given.get("DBParameterGroupName", "default.postgres18"), "in-sync")],
            "TagList": given.get("Tags", []),
        }

    def _in(self, operation: str, given: dict[str, Any], *statuses: str) -> dict[str, Any]:
        found = self._instance(given["DBInstanceIdentifier"], operation)
        if found["DBInstanceStatus"] not in statuses:
            raise error("InvalidDBInstanceState", f"it is {found['DBInstanceStatus']}", operation)
        return found

    def _instance(self, identifier: str, operation: str) -> dict[str, Any]:
        if identifier not in self.instances:
            raise error("DBInstanceNotFound", f"DBInstance {identifier} not found.", operation, 404)
        return self.instances[identifier]

    def _take(self, operation: str, given: dict[str, Any]) -> None:
        if not self.reached:
            raise EndpointConnectionError(endpoint_url=f"https://rds.{self.region}.amazonaws.com/")
        report = ParamValidator().validate(given, self.model.operation_model(operation).input_shape)
        if report.has_errors():
            raise ParamValidationError(report=report.generate_report())

    def _change(self, operation: str, given: dict[str, Any], change: Callable[[], None]) -> dict[str, Any]:
        self._take(operation, given)
        refusal = self.refusals.get(operation)
        if refusal is not None and not isinstance(refusal, ReadTimeoutError):
            raise refusal

        def take() -> None:
            change()
            self.calls.append((operation, given))

        self.strikes.around(take)
        if refusal is not None:  # taken, and the answer is lost
            raise refusal
        return {}


@dataclass
class Ears:
    """The function `dbcheck` of that Region: what it knows of slots, and of the replica that it stands beside."""

    clock: Clock
    unread: list[str] = field(default_factory=lambda: ["rds_dr"])
    reached: bool = True
    receiver: str | None = "streaming"
    behind: float = 0.4
    stopped: bool = True  # what it answers where it is asked to stop the writes
    asked: list[dict[str, Any]] = field(default_factory=list)

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 (boto3's names)
        """Lambda's answer."""
        event = json.loads(Payload)
        self.asked.append(event)
        return {"Payload": io.BytesIO(json.dumps(self._say(event["check"])).encode())}

    def _say(self, check: str) -> dict[str, Any]:
        if not self.reached:
            return {"reached": False, "writable": False, "stopped": False, "sentence": "unreachable: timed out"}
        if check == "stop":
            why = "no client can write" if self.stopped else "sessions that may write and have not ended: 1"
            return {"reached": True, "in_recovery": False, "stopped": self.stopped, "sentence": why}
        if check == "drop_slots":
            dropped, self.unread = self.unread, []
            return {"reached": True, "dropped": dropped, "sentence": "dropped"}
        if check == "slots":
            return {"reached": True, "slots": [{"name": name, "active": False} for name in self.unread]}
        return {
            "reached": True,
            "in_recovery": self.receiver is not None,
            "writable": self.receiver is None,
            "writes_stopped": self.stopped,
            "last_replayed_at": self.clock() - self.behind,
            "heartbeat_at": self.clock() - self.behind - 20,
            "receiver": None if self.receiver is None else {"status": self.receiver, "last_message_at": NOW},
            "sentence": "it is a replica",
        }


@dataclass
class DyingTable:
    """DynamoDB whose writes are struck, too."""

    dynamodb: Any
    strikes: Strikes

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.dynamodb, name)
        if name in {"update_item", "put_item", "delete_item"}:
            return lambda **given: self.strikes.around(lambda: call(**given))
        return call
