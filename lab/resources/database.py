"""RDS: subnet groups, parameter groups, and instances that may be replicas of another Region's."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError
from moto.rds.responses import RDSResponse

from lab.resources.call import OneCall
from lab.resources.kind import Kind, Made, Properties, Request

_DEADLINE = 120.0
"""Seconds until an instance has to be available: a copy of a database over loopback is never slower."""

_INSTANCE = frozenset(
    [
        "AllocatedStorage",
        "AutoMinorVersionUpgrade",
        "AutomaticBackupReplicationKmsKeyId",
        "AutomaticBackupReplicationRegion",
        "AutomaticBackupReplicationRetentionPeriod",
        "AvailabilityZone",
        "BackupRetentionPeriod",
        "CACertificateIdentifier",
        "CopyTagsToSnapshot",
        "DBInstanceClass",
        "DBInstanceIdentifier",
        "DBName",
        "DBParameterGroupName",
        "DBSubnetGroupName",
        "DatabaseInsightsMode",
        "DeletionProtection",
        "EnableCloudwatchLogsExports",
        "EnableIAMDatabaseAuthentication",
        "EnablePerformanceInsights",
        "Engine",
        "EngineVersion",
        "KmsKeyId",
        "ManageMasterUserPassword",
        "MasterUserPassword",
        "MasterUsername",
        "MaxAllocatedStorage",
        "MonitoringInterval",
        "MonitoringRoleArn",
        "MultiAZ",
        "PerformanceInsightsKMSKeyId",
        "PerformanceInsightsRetentionPeriod",
        "Port",
        "PreferredBackupWindow",
        "PreferredMaintenanceWindow",
        "PubliclyAccessible",
        "SourceDBInstanceIdentifier",
        "StorageEncrypted",
        "StorageType",
        "Tags",
        "VPCSecurityGroups",
    ]
)
# A replica takes these from its source: its call has no such arguments. CloudFormation ignores the engine there.
_IGNORED_OF_REPLICA = frozenset({"Engine", "EngineVersion"})
_REFUSED_OF_REPLICA = frozenset({"DBName", "ManageMasterUserPassword", "MasterUsername", "MasterUserPassword"})
# Neither does it know these, or refuses them of PostgreSQL: CloudFormation modifies the replica as soon as it is
# available, and reboots it then, so that the parameter group counts.
_AFTER_REPLICATION = frozenset(
    {"BackupRetentionPeriod", "DBParameterGroupName", "PreferredBackupWindow", "PreferredMaintenanceWindow"}
)
# CloudFormation starts and stops that by calls in the other Region.
_BACKUP_REPLICATION = frozenset(
    [
        "AutomaticBackupReplicationKmsKeyId",
        "AutomaticBackupReplicationRegion",
        "AutomaticBackupReplicationRetentionPeriod",
    ]
)
_RENAMED = {"VPCSecurityGroups": "VpcSecurityGroupIds"}
_FIXED = frozenset(
    [
        "DBInstanceIdentifier",
        "DBName",
        "DBSubnetGroupName",
        "Engine",
        "KmsKeyId",
        "MasterUsername",
        "Port",
        "StorageEncrypted",
    ]
)
_SOMETIMES_FIXED: Mapping[str, Callable[[Any, Any], bool]] = {
    "AvailabilityZone": lambda _, after: after is not None,
    "PerformanceInsightsKMSKeyId": lambda before, _: before is not None,
    # Without a source a replica is promoted; no instance becomes a replica, or that of another one.
    "SourceDBInstanceIdentifier": lambda _, after: after is not None,
}


def _arguments(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {_RENAMED.get(key, key): value for key, value in properties.items() if key not in _BACKUP_REPLICATION}


def _check_backup_replication(request: Request) -> None:
    """What CloudFormation itself refuses of it, before any call."""
    own = request.properties
    given = sorted(_BACKUP_REPLICATION & own.keys())
    if given and "AutomaticBackupReplicationRegion" not in own:
        raise request.refusal(f"{given[0]} needs AutomaticBackupReplicationRegion", "give both or neither")
    if given and str(own.get("BackupRetentionPeriod")) == "0":
        raise request.refusal("without backups there are none to replicate", "raise BackupRetentionPeriod")


def _create_instance(request: Request) -> Made:
    # RDS writes identifiers in lower case.
    _check_backup_replication(request)
    own = {"DBInstanceIdentifier": request.name(63).lower()} | request.properties
    if "SourceDBInstanceIdentifier" in own:
        foreign = sorted(_REFUSED_OF_REPLICA & own.keys())
        if foreign:
            raise request.refusal(f"a replica takes {foreign[0]} from its source", "leave it out for a replica")
        return _replicate(request, own)
    answer = request.call("rds", "create_db_instance", **_arguments(own))
    return _made(answer["DBInstance"])


def _replicate(request: Request, own: Properties) -> Made:
    given = {key: value for key, value in own.items() if key not in _IGNORED_OF_REPLICA | _AFTER_REPLICATION}
    made = _made(request.call("rds", "create_db_instance_read_replica", **_arguments(given))["DBInstance"])
    later = {key: own[key] for key in _AFTER_REPLICATION & own.keys()}
    if later:
        made = _settle_instance(request, made)
        _modify(request, made, later)
    if "DBParameterGroupName" in later:
        _settle_instance(request, made)
        request.call("rds", "reboot_db_instance", DBInstanceIdentifier=made.physical_id)
    return made


def _made(instance: Mapping[str, Any]) -> Made:
    """What is known of an instance; its endpoint only once it is available."""
    endpoint = instance.get("Endpoint") or {}
    return Made(
        instance["DBInstanceIdentifier"],
        {
            "DBInstanceArn": instance["DBInstanceArn"],
            "DbiResourceId": instance.get("DbiResourceId", ""),
            "Endpoint.Address": endpoint.get("Address", ""),
            "Endpoint.Port": str(endpoint.get("Port", "")),
        },
    )


def _knows_replication() -> bool:
    """Whether there are databases of the lab behind the API: moto by itself does not know these calls."""
    return hasattr(RDSResponse, "start_db_instance_automated_backups_replication")


def _settle_instance(request: Request, made: Made) -> Made:
    settled = _settled(request, made, lambda _: True)
    if "AutomaticBackupReplicationRegion" in request.properties and _knows_replication():
        _replicate_backups(request, settled)
    return settled


def _replicate_backups(request: Request, made: Made) -> None:
    """In the other Region, unless that is done already. The lab takes another key or retention for no change."""
    own = request.properties
    answer = request.call("rds", "describe_db_instances", DBInstanceIdentifier=made.physical_id)
    if answer["DBInstances"][0].get("DBInstanceAutomatedBackupsReplications"):
        return
    wanted = {
        "SourceDBInstanceArn": made.attributes["DBInstanceArn"],
        "KmsKeyId": own.get("AutomaticBackupReplicationKmsKeyId"),
        "BackupRetentionPeriod": int(own.get("AutomaticBackupReplicationRetentionPeriod", 7)),
    }
    elsewhere = request.place.client("rds", own["AutomaticBackupReplicationRegion"])
    elsewhere.start_db_instance_automated_backups_replication(
        **{name: value for name, value in wanted.items() if value is not None}
    )


def _stop_replication(request: Request, made: Made) -> None:
    region = request.before.get("AutomaticBackupReplicationRegion")
    if region and _knows_replication():
        arn = made.attributes["DBInstanceArn"]
        client = request.place.client("rds", region)
        client.stop_db_instance_automated_backups_replication(SourceDBInstanceArn=arn)


def _settled(request: Request, made: Made, holds: Callable[[Mapping[str, Any]], bool]) -> Made:
    """The instance as soon as it is available and `holds` is true of what is described."""
    deadline = time.monotonic() + _DEADLINE
    while True:
        answer = request.call("rds", "describe_db_instances", DBInstanceIdentifier=made.physical_id)
        instance = answer["DBInstances"][0]
        if instance["DBInstanceStatus"] == "available" and instance.get("Endpoint") and holds(instance):
            return _made(instance)
        if instance["DBInstanceStatus"] == "failed" or time.monotonic() > deadline:
            raise request.refusal(f"{made.physical_id} is {instance['DBInstanceStatus']}, not available", "see its log")
        time.sleep(0.1)


def _update_instance(request: Request, made: Made, changed: frozenset[str]) -> Made:
    _check_backup_replication(request)
    if "SourceDBInstanceIdentifier" in changed:
        _promote(request, made)
    if "AutomaticBackupReplicationRegion" in changed:
        _stop_replication(request, made)
    own = {key: request.properties.get(key) for key in changed - {"Tags", "SourceDBInstanceIdentifier"}}
    wanted = _arguments(own)
    if "EnableCloudwatchLogsExports" in wanted:
        wanted["CloudwatchLogsExportConfiguration"] = _log_exports(request, wanted.pop("EnableCloudwatchLogsExports"))
    if wanted:
        _modify(request, made, wanted)
    return made


def _modify(request: Request, made: Made, wanted: Mapping[str, Any]) -> None:
    """As soon as RDS takes it: an instance may be backed up, or modified by somebody else, just now."""
    identifier, deadline = made.physical_id, time.monotonic() + _DEADLINE
    while True:
        try:
            request.call("rds", "modify_db_instance", DBInstanceIdentifier=identifier, ApplyImmediately=True, **wanted)
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidDBInstanceState" or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _promote(request: Request, made: Made) -> None:
    """What CloudFormation does to a replica whose source has gone from the template."""
    request.call(
        "rds",
        "promote_read_replica",
        DBInstanceIdentifier=made.physical_id,
        BackupRetentionPeriod=request.properties.get("BackupRetentionPeriod"),
        PreferredBackupWindow=request.properties.get("PreferredBackupWindow"),
    )
    _settled(request, made, lambda instance: "ReadReplicaSourceDBInstanceIdentifier" not in instance)


def _log_exports(request: Request, wanted: list[str] | None) -> dict[str, list[str]]:
    before, after = set(request.before.get("EnableCloudwatchLogsExports", [])), set(wanted or [])
    return {"EnableLogTypes": sorted(after - before), "DisableLogTypes": sorted(before - after)}


def _delete_instance(request: Request, made: Made) -> None:
    request.call(
        "rds",
        "delete_db_instance",
        DBInstanceIdentifier=made.physical_id,
        SkipFinalSnapshot=True,
        DeleteAutomatedBackups=True,
    )


def _create_parameters(request: Request) -> Made:
    own = dict(request.properties)
    own["DBParameterGroupName"] = name = str(own.get("DBParameterGroupName") or request.name(255)).lower()
    own["DBParameterGroupFamily"] = own.pop("Family")
    parameters = own.pop("Parameters", {})
    request.call("rds", "create_db_parameter_group", **own)
    _set_parameters(request, name, parameters)
    return Made(name, {"DBParameterGroupName": name})


def _set_parameters(request: Request, name: str, parameters: Mapping[str, Any]) -> None:
    items = [
        {"ParameterName": key, "ParameterValue": value, "ApplyMethod": "pending-reboot"}
        for key, value in parameters.items()
    ]
    for start in range(0, len(items), 20):  # the API takes twenty at a time
        batch = items[start : start + 20]
        request.call("rds", "modify_db_parameter_group", DBParameterGroupName=name, Parameters=batch)


def _update_parameters(request: Request, made: Made, _: frozenset[str]) -> Made:
    _set_parameters(request, made.physical_id, request.properties.get("Parameters", {}))
    return made


def _delete_parameters(request: Request, made: Made) -> None:
    request.call("rds", "delete_db_parameter_group", DBParameterGroupName=made.physical_id)


KINDS = [
    OneCall(
        type="AWS::RDS::DBSubnetGroup",
        service="rds",
        create="create_db_subnet_group",
        properties="DBSubnetGroupName DBSubnetGroupDescription SubnetIds",
        name="DBSubnetGroupName",
        tags="list",
        physical_id="{answer[DBSubnetGroup][DBSubnetGroupName]}",
        update="modify_db_subnet_group",
        update_by={"DBSubnetGroupName": "{id}"},
        fixed="DBSubnetGroupName",
        delete="delete_db_subnet_group",
        delete_by={"DBSubnetGroupName": "{id}"},
    ).kind,
    Kind(
        type="AWS::RDS::DBParameterGroup",
        properties=frozenset({"DBParameterGroupName", "Description", "Family", "Parameters", "Tags"}),
        create=_create_parameters,
        update=_update_parameters,
        delete=_delete_parameters,
        fixed=frozenset({"DBParameterGroupName", "Description", "Family"}),
        attributes=frozenset({"DBParameterGroupName"}),
    ),
    Kind(
        type="AWS::RDS::DBInstance",
        properties=_INSTANCE,
        create=_create_instance,
        update=_update_instance,
        delete=_delete_instance,
        settle=_settle_instance,
        fixed=_FIXED,
        sometimes_fixed=_SOMETIMES_FIXED,
        attributes=frozenset({"DBInstanceArn", "DbiResourceId", "Endpoint.Address", "Endpoint.Port"}),
        harmless={
            "SourceRegion": "the ARN of the source names its Region",
            "AllowMajorVersionUpgrade": "the lab has one version of PostgreSQL",
            "DeleteAutomatedBackups": "backups are not imitated",
        },
        holds_data=True,
    ),
]
