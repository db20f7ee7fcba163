"""The shape of a database: what of its description is kept, so that its successor is made like it. Pure.

A shape is JSON, in the words of the calls that make an instance. What CreateDBInstanceReadReplica takes is in
`creation`; what only ModifyDBInstance takes, or what came out otherwise, in `lacking`. Backups are in neither: RDS
creates a replica without them, and they would stand in the way of its promotion (docs/decisions/0004). They come back
with the promotion, and what `properties` says of them with `harden`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relight.ledger import DatabaseProperties

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

type Shape = dict[str, Any]

LIFE = "DbiResourceId"
# Kept under the name under which DescribeDBInstances tells it, which is the name that the calls take.
_SAME = (
    LIFE,
    "Engine",
    "EngineVersion",
    "DBInstanceClass",
    "AllocatedStorage",
    "MaxAllocatedStorage",
    "StorageType",
    "Iops",
    "StorageThroughput",
    "DedicatedLogVolume",
    "StorageEncrypted",
    "KmsKeyId",
    "MultiAZ",
    "PubliclyAccessible",
    "BackupRetentionPeriod",
    "PreferredBackupWindow",
    "PreferredMaintenanceWindow",
    "AutoMinorVersionUpgrade",
    "CopyTagsToSnapshot",
    "DeletionProtection",
    "MonitoringInterval",
    "MonitoringRoleArn",
    "NetworkType",
    "DatabaseInsightsMode",
    "PerformanceInsightsRetentionPeriod",
    "PerformanceInsightsKMSKeyId",
)
_RENAMED = {
    "IAMDatabaseAuthenticationEnabled": "EnableIAMDatabaseAuthentication",
    "PerformanceInsightsEnabled": "EnablePerformanceInsights",
}
# What both CreateDBInstanceReadReplica and RestoreDBInstanceFromDBSnapshot take as it is.
_BOTH = (
    "DBInstanceClass",
    "DedicatedLogVolume",
    "MultiAZ",
    "PubliclyAccessible",
    "AutoMinorVersionUpgrade",
    "CopyTagsToSnapshot",
    "DeletionProtection",
    "EnableIAMDatabaseAuthentication",
    "EnableCloudwatchLogsExports",
    "OptionGroupName",
    "DBSubnetGroupName",
    "VpcSecurityGroupIds",
    "StorageType",
    "NetworkType",
    "Port",
    "Tags",
)
_INSIGHTS = ("EnablePerformanceInsights", "PerformanceInsightsRetentionPeriod", "PerformanceInsightsKMSKeyId")
# ModifyDBInstance takes them as they are. The first three CreateDBInstanceReadReplica does not take; the rest it does,
# and a replica that somebody else has made may lack them. Class, subnets, key and storage type are left to creation: to
# change them afterwards is an outage, or impossible.
_MODIFIABLE = (
    "PreferredBackupWindow",
    "PreferredMaintenanceWindow",
    "DatabaseInsightsMode",
    "MultiAZ",
    "AutoMinorVersionUpgrade",
    "CopyTagsToSnapshot",
    "DeletionProtection",
    "EnableIAMDatabaseAuthentication",
    "VpcSecurityGroupIds",
)
_WINDOWS = ("PreferredBackupWindow", "PreferredMaintenanceWindow")
# CreateDBInstanceReadReplica refuses it for PostgreSQL, and a replica in another Region begins with RDS's own.
PARAMETERS = "DBParameterGroupName"
# It takes a role that whoever asks for it has to pass on (iam:PassRole). Relight passes on none of a stranger's making.
MONITORING = "MonitoringInterval"
# RDS gives gp3 below that a fixed rate, and takes none.
_GP3_HAS_A_RATE_FROM_GIB = 400
_OF_ITS_REGION = (
    "KmsKeyId",
    "PerformanceInsightsKMSKeyId",
    "DBParameterGroupName",
    "OptionGroupName",
    "DBSubnetGroupName",
    "VpcSecurityGroupIds",
    *_WINDOWS,
)


def shape_of(found: Mapping[str, Any]) -> Shape:
    """What DescribeDBInstances tells of an instance and its successor has to have, too; what is not told is left out.

    `Replicates` are the ARNs of its backups in another Region.
    """
    shape = {key: found[key] for key in _SAME if found.get(key) is not None}
    shape |= {new: bool(found[old]) for old, new in _RENAMED.items() if found.get(old) is not None}
    shape["EnableCloudwatchLogsExports"] = sorted(found.get("EnabledCloudwatchLogsExports", []))
    shape["VpcSecurityGroupIds"] = sorted(group["VpcSecurityGroupId"] for group in found.get("VpcSecurityGroups", []))
    shape["Tags"] = [
        {"Key": tag["Key"], "Value": tag["Value"]}
        for tag in sorted(found.get("TagList", []), key=lambda tag: str(tag["Key"]))
        if not tag["Key"].startswith("aws:")  # CloudFormation's own, which nobody else can give
    ]
    backups = found.get("DBInstanceAutomatedBackupsReplications", [])
    one_each: dict[str, Any] = {
        "DBParameterGroupName": _first(found.get("DBParameterGroups", []), "DBParameterGroupName"),
        "OptionGroupName": _first(found.get("OptionGroupMemberships", []), "OptionGroupName"),
        "DBSubnetGroupName": found.get("DBSubnetGroup", {}).get("DBSubnetGroupName"),
        "Port": found.get("Endpoint", {}).get("Port"),
        "Replicates": sorted(backup["DBInstanceAutomatedBackupsArn"] for backup in backups) or None,
    }
    return shape | {key: value for key, value in one_each.items() if value is not None}


def _first(groups: Sequence[Mapping[str, Any]], name: str) -> str | None:
    """The group that RDS has not made itself: its own it finds without being told."""
    given = [str(group[name]) for group in groups]
    return next((group for group in given if not group.startswith(("default:", "default."))), None)


def same_life(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether both are of one and the same instance, whatever it has been called."""
    return one.get(LIFE) is not None and one.get(LIFE) == other.get(LIFE)


def properties(shape: Mapping[str, Any]) -> DatabaseProperties:
    """What kept the instance safe."""
    return DatabaseProperties(
        multi_az=bool(shape.get("MultiAZ", False)),
        backup_retention_days=int(shape.get("BackupRetentionPeriod", 0)),
        deletion_protection=bool(shape.get("DeletionProtection", False)),
    )


def like_its_source(source: Mapping[str, Any], given: Mapping[str, Any]) -> Shape:
    """The shape of a replica whose predecessor nobody has seen: its source's, with what its own Region has.

    Windows are RDS's choice then, and it is protected against deletion.
    """
    shape = {key: value for key, value in shape_of(source).items() if key not in {LIFE, "Replicates", *_OF_ITS_REGION}}
    return shape | {"DeletionProtection": True} | {key: value for key, value in given.items() if value}


def creation(shape: Mapping[str, Any], identifier: str, source: Mapping[str, Any], region: str) -> dict[str, Any]:
    """The parameters of CreateDBInstanceReadReplica: a replica like `shape` of an instance that lies in `region`.

    Its disk is never smaller than its source's, and it is encrypted where its source is. What only a person can give
    it (`by_hand`) and its parameter group (`lacking`) come afterwards.
    """
    gib = max(int(shape.get("AllocatedStorage", 0)), int(source["AllocatedStorage"]))
    wanted = {key: shape[key] for key in _BOTH if shape.get(key) not in (None, [])}
    wanted |= _given_if(shape, "EnablePerformanceInsights", _INSIGHTS) | _rate(shape, gib)
    if gib > int(source["AllocatedStorage"]):
        wanted["AllocatedStorage"] = gib
    if int(shape.get("MaxAllocatedStorage", 0)) > gib:
        wanted["MaxAllocatedStorage"] = shape["MaxAllocatedStorage"]
    if source.get("StorageEncrypted") and shape.get("KmsKeyId"):
        wanted["KmsKeyId"] = shape["KmsKeyId"]
    return wanted | {
        "DBInstanceIdentifier": identifier,
        "SourceDBInstanceIdentifier": source["DBInstanceArn"],
        "SourceRegion": region,
    }


def restoration(shape: Mapping[str, Any], identifier: str, snapshot: str) -> dict[str, Any]:
    """The parameters of RestoreDBInstanceFromDBSnapshot: an instance to read what was lost from, so without a standby.

    `dbcheck` signs in by IAM, so that has to be on.
    """
    wanted = {key: shape[key] for key in (*_BOTH, PARAMETERS) if shape.get(key) not in (None, [])}
    return wanted | {
        "DBInstanceIdentifier": identifier,
        "DBSnapshotIdentifier": snapshot,
        "MultiAZ": False,
        "DeletionProtection": True,
        "EnableIAMDatabaseAuthentication": True,
    }


def lacking(shape: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What ModifyDBInstance has to be told so that an instance like `now` (a shape, too) becomes one like `shape`.

    What RDS does not tell of it is not known to be missing.
    """
    changes = {key: shape[key] for key in _MODIFIABLE if _differs(shape, now, key)}
    if changes.keys() & set(_WINDOWS):  # together: each must not overlap the other's old place
        changes |= {key: shape[key] for key in _WINDOWS if key in shape}
    if not shape.get("VpcSecurityGroupIds"):
        changes.pop("VpcSecurityGroupIds", None)
    if shape.get(PARAMETERS, now.get(PARAMETERS)) != now.get(PARAMETERS):  # none is told of one that has RDS's own
        changes[PARAMETERS] = shape[PARAMETERS]
    logs = set(shape.get("EnableCloudwatchLogsExports", [])), set(now.get("EnableCloudwatchLogsExports", []))
    if logs[0] != logs[1]:
        told = {"EnableLogTypes": sorted(logs[0] - logs[1]), "DisableLogTypes": sorted(logs[1] - logs[0])}
        changes["CloudwatchLogsExportConfiguration"] = {key: types for key, types in told.items() if types}
    if _differs(shape, now, "EnablePerformanceInsights"):
        changes |= _given_if(shape, "EnablePerformanceInsights", _INSIGHTS) or {"EnablePerformanceInsights": False}
    return changes | _limit(shape, now)


def by_hand(shape: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """What an instance like `now` lacks of `shape` and Relight may not give it, and what a person does about each."""
    interval, role = shape.get(MONITORING), shape.get("MonitoringRoleArn")
    if not interval or not role or now.get(MONITORING) == interval:
        return {}
    how = f"Enhanced Monitoring every {interval} s needs a role that Relight may not pass on: modify it yourself"
    return {MONITORING: f"{how}, with --monitoring-interval {interval} --monitoring-role-arn {role}"}


def applied(found: Mapping[str, Any]) -> str | None:
    """How far its parameter group is (`in-sync`, `pending-reboot`, ...), as DescribeDBInstances tells."""
    return next((group.get("ParameterApplyStatus") for group in found.get("DBParameterGroups", [])), None)


def _differs(shape: Mapping[str, Any], now: Mapping[str, Any], key: str) -> bool:
    return key in shape and key in now and shape[key] != now[key]


def _limit(shape: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """How far its disk may grow by itself. A limit that is not above the disk is none, for RDS and here."""
    gib = int(now.get("AllocatedStorage", 0))
    wanted = max(int(shape.get("MaxAllocatedStorage", 0)), gib)
    has = max(int(now.get("MaxAllocatedStorage", 0)), gib)
    return {"MaxAllocatedStorage": wanted} if gib and wanted != has else {}


def _given_if(shape: Mapping[str, Any], switch: str, keys: Sequence[str]) -> dict[str, Any]:
    """What belongs together and is refused where the first of it is off."""
    return {key: shape[key] for key in keys if shape.get(key) is not None} if shape.get(switch) else {}


def _rate(shape: Mapping[str, Any], gib: int) -> dict[str, Any]:
    """Operations and throughput, where RDS takes them for a disk of that size."""
    if shape.get("StorageType") == "gp3" and gib < _GP3_HAS_A_RATE_FROM_GIB:
        return {}
    return {key: shape[key] for key in ("Iops", "StorageThroughput") if shape.get(key)}


def grown(found: Mapping[str, Any]) -> dict[str, Any]:
    """What ModifyDBInstance is told so that a full disk has room again: a fifth more, and 5 GiB at least."""
    has = int(found["AllocatedStorage"])
    gib = has + max(5, -(-has // 5))
    return {"AllocatedStorage": gib, **_rate(found, gib)}
