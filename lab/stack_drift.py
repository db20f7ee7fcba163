"""What CloudFormation's drift detection would say of a stack: where what its template says is not what the APIs say.

Looked at are databases, Auto Scaling groups, DNS records and health checks, in nested stacks as well: what a failover
changes, and a failback has to put back. Only what the template gives is compared. A password cannot be read back.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from lab.deployment import Record, Stack
from lab.expression import as_text
from lab.region import GLOBAL

type Client = Callable[[str, str], Any]
"""The boto3 client of a service in a Region."""

_GROUP = ("MinSize", "MaxSize", "DesiredCapacity", "HealthCheckType", "HealthCheckGracePeriod", "TargetGroupARNs")
_RECORD = ("Name", "Type", "SetIdentifier", "Failover", "TTL", "HealthCheckId", "AliasTarget")
_INSTANCE: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "DBInstanceIdentifier": lambda told: told["DBInstanceIdentifier"],
    "DBName": lambda told: told.get("DBName"),
    "DBParameterGroupName": lambda told: [group["DBParameterGroupName"] for group in told["DBParameterGroups"]],
    "DBSubnetGroupName": lambda told: told.get("DBSubnetGroup", {}).get("DBSubnetGroupName"),
    "EnableCloudwatchLogsExports": lambda told: told.get("EnabledCloudwatchLogsExports", []),
    "EnableIAMDatabaseAuthentication": lambda told: told["IAMDatabaseAuthenticationEnabled"],
    "EnablePerformanceInsights": lambda told: told.get("PerformanceInsightsEnabled"),
    "Port": lambda told: told.get("Endpoint", {}).get("Port"),
    "SourceDBInstanceIdentifier": lambda told: told.get("ReadReplicaSourceDBInstanceIdentifier"),
    "Tags": lambda told: told.get("TagList", []),
    "VPCSecurityGroups": lambda told: [group["VpcSecurityGroupId"] for group in told["VpcSecurityGroups"]],
} | {
    name: lambda told, name=name: told.get(name)
    for name in (
        "AllocatedStorage",
        "AutoMinorVersionUpgrade",
        "BackupRetentionPeriod",
        "CopyTagsToSnapshot",
        "DBInstanceClass",
        "DatabaseInsightsMode",
        "DeletionProtection",
        "Engine",
        "KmsKeyId",
        "MaxAllocatedStorage",
        "MultiAZ",
        "PerformanceInsightsKMSKeyId",
        "PerformanceInsightsRetentionPeriod",
        "PreferredBackupWindow",
        "PreferredMaintenanceWindow",
        "PubliclyAccessible",
        "StorageEncrypted",
        "StorageType",
    )
}


def stack_drift(stack: Stack, client: Client) -> list[str]:
    """A sentence for each property that is not as the stack's template gives it, and for each resource that is gone."""
    return list(_of_stack(stack, client))


def _of_stack(stack: Stack, client: Client) -> Iterator[str]:
    for name, record in stack.records.items():
        if record.nested is not None:
            yield from _of_stack(record.nested, client)
        elif record.kind is not None and record.kind.type in _LOOKS:
            told = _LOOKS[record.kind.type](record, stack.region, client)
            for what, wanted, found in told:
                if _plain(wanted) != _plain(found):
                    yield f"{stack.name} {name}: {what} is {_shown(found)}, the template says {_shown(wanted)}"


type _Compared = Iterator[tuple[str, Any, Any]]
"""What is compared, what the template says, and what there is."""


def _instance(record: Record, region: str, client: Client) -> _Compared:
    identifier = record.made.physical_id
    try:
        told = client("rds", region).describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
    except ClientError as error:
        yield f"the database {identifier}", "there", error.response["Error"]["Code"]
        return
    yield "DBInstanceArn", record.made.attributes["DBInstanceArn"], told["DBInstanceArn"]
    endpoint = told.get("Endpoint", {})
    for name in ("Address", "Port"):
        yield f"Endpoint.{name}", record.made.attributes[f"Endpoint.{name}"], endpoint.get(name)
    # The engine's version is what RDS upgrades by itself, and a primary has no source to be compared.
    for name in _INSTANCE.keys() & record.properties.keys():
        yield name, record.properties[name], _INSTANCE[name](told)
    if "SourceDBInstanceIdentifier" not in record.properties:
        yield "SourceDBInstanceIdentifier", None, told.get("ReadReplicaSourceDBInstanceIdentifier")


def _group(record: Record, region: str, client: Client) -> _Compared:
    names = [record.made.physical_id]
    groups = client("autoscaling", region).describe_auto_scaling_groups(AutoScalingGroupNames=names)
    if not groups["AutoScalingGroups"]:
        yield f"the group {names[0]}", "there", None
        return
    told = groups["AutoScalingGroups"][0]
    for name in _GROUP:
        if name in record.properties:
            yield name, record.properties[name], told.get(name)
    yield "SuspendedProcesses", [], [process["ProcessName"] for process in told["SuspendedProcesses"]]


def _record(record: Record, _: str, client: Client) -> _Compared:
    own = record.properties
    if "HostedZoneId" not in own:
        return
    route53 = client("route53", GLOBAL)
    answer = route53.list_resource_record_sets(
        HostedZoneId=own["HostedZoneId"], StartRecordName=own["Name"], StartRecordType=own["Type"]
    )
    wanted = (_dotted(own["Name"]), own["Type"], own.get("SetIdentifier"))
    for told in answer["ResourceRecordSets"]:
        if (_dotted(told["Name"]), told["Type"], told.get("SetIdentifier")) == wanted:
            break
    else:
        yield f"the record {own['Type']} {own['Name']}", "there", None
        return
    for name in _RECORD:
        if name in own and name != "Name":
            yield name, own[name], told.get(name)
    if "ResourceRecords" in own:
        yield "ResourceRecords", own["ResourceRecords"], [one["Value"] for one in told["ResourceRecords"]]


def _check(record: Record, _: str, client: Client) -> _Compared:
    try:
        answer = client("route53", GLOBAL).get_health_check(HealthCheckId=record.made.physical_id)
    except ClientError as error:
        yield f"the health check {record.made.physical_id}", "there", error.response["Error"]["Code"]
        return
    told = answer["HealthCheck"]["HealthCheckConfig"]
    for name, wanted in record.properties["HealthCheckConfig"].items():
        yield name, wanted, told.get(name)


_LOOKS: Mapping[str, Callable[[Record, str, Client], _Compared]] = {
    "AWS::RDS::DBInstance": _instance,
    "AWS::AutoScaling::AutoScalingGroup": _group,
    "AWS::Route53::RecordSet": _record,
    "AWS::Route53::HealthCheck": _check,
}


def _dotted(name: str) -> str:
    return f"{name.rstrip('.').lower()}."


def _plain(value: Any) -> Any:
    """Without what a template may write in several ways: numbers and truths as text, one item for a list of it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if key != "DNSName"} | (
            {"DNSName": _dotted(str(value["DNSName"]))} if "DNSName" in value else {}
        )
    if isinstance(value, list):
        plain = sorted((_plain(item) for item in value), key=str)
        return plain[0] if len(plain) == 1 and isinstance(plain[0], str) else plain
    return value if value is None else as_text(value)


def _shown(value: Any) -> str:
    return "not there" if value is None else str(value)
