"""What there is in both Regions, as whoever looks through the APIs sees it, and how it differs from what there was.

What a failback keeps on purpose is no difference: retired databases, their snapshots, what is written down of runs.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from lab.environment import APPLICATION, DOMAIN, stack_name
from lab.region import GLOBAL, REGION_NAME, Side, Vantage
from lab.stack_drift import stack_drift
from lab.world import World

type Estate = Mapping[str, Any]
"""What there is by what it is called; values as JSON has them."""

_RETIRED = re.compile(r"-retired-\d+(-\w+)*$")
_OF_THE_MOMENT = frozenset(
    [
        # Another instance has taken the place of the first one: these are its own.
        "CertificateDetails",
        "DbiResourceId",
        "InstanceCreateTime",
        "LatestRestorableTime",
        "StatusInfos",
    ]
)
_SWITCHES = {Side.PRIMARY: ("HOLD",), Side.DR: ("STOP", "GO")}
_LONGEST = 200


def estate(world: World) -> Estate:
    """What there is now: databases, groups, network ACLs, buckets' rules, ledgers, records, health checks, switches."""
    found: dict[str, Any] = {}
    for side in Side:
        for name, value in _of_side(world, side):
            found[f"{side}: {name}"] = value
    for name, value in _global(world):
        found[name] = value
    # As JSON has it, so that dates and sets compare as they are written.
    return dict(json.loads(json.dumps(found, default=str)))


def drift(before: Estate, after: Estate) -> tuple[str, ...]:
    """A sentence for each thing that is not as it was. Pure."""
    return tuple(
        f"{name} is {_shown(after, name)}; it was {_shown(before, name)}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    )


def changed_by_update(world: World) -> tuple[str, ...]:
    """A sentence for each API call that changes something when every stack is updated with its own template."""
    with world.calls.changing() as calls:
        for side in Side:
            world.stacks.update(stack_name(), REGION_NAME[side], world.template, {})
        path = world.template.parent / "stacks" / "global.yaml"
        world.stacks.update(f"{stack_name()}-global", GLOBAL, path, {})
    return tuple(f"an update of the stacks with the same templates calls {call}" for call in dict.fromkeys(calls))


def against_templates(world: World) -> tuple[str, ...]:
    """A sentence for each thing that is not as the stacks' own templates say, as drift detection tells it."""
    regional = (world.stacks.get(stack_name(), REGION_NAME[side]) for side in Side)
    stacks = (*regional, world.stacks.get(f"{stack_name()}-global", GLOBAL))
    found = (stack_drift(stack, world.cloud.client) for stack in stacks if stack is not None)
    return tuple(sentence for sentences in found for sentence in sentences)


def is_retired(database: str) -> bool:
    """Whether that is what a failback calls a database that it keeps."""
    return _RETIRED.search(database) is not None


def _shown(found: Estate, name: str) -> str:
    text = json.dumps(found[name], sort_keys=True) if name in found else "not there"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _of_side(world: World, side: Side) -> Iterator[tuple[str, Any]]:
    region = REGION_NAME[side]
    yield from _databases(world, region)
    yield from _groups(world, side)
    for name in _SWITCHES[side]:
        yield f"switch {name}", world.switch(side, name)
    outputs = world.stacks_made[side].outputs
    acls = world.cloud.client("ec2", region).describe_network_acls(NetworkAclIds=[outputs["NetworkAclId"]])
    yield "network ACL", sorted(json.dumps(entry, sort_keys=True) for entry in acls["NetworkAcls"][0]["Entries"])
    yield from _buckets(world, region)
    yield from _ledger(world, region)


def _ledger(world: World, region: str) -> Iterator[tuple[str, Any]]:
    """Its head, as one reads it in which nothing has been written yet: home is active, nothing is on its way."""
    head = world.cloud.client("dynamodb", region).get_item(
        TableName=f"relight-{APPLICATION}", Key={"pk": {"S": "region"}, "sk": {"S": "head"}}, ConsistentRead=True
    )
    found = head.get("Item", {})
    for name, at_first in (("active", {"S": REGION_NAME[Side.PRIMARY]}), ("state", {"S": "steady"})):
        yield f"ledger: {name}", found.get(name, at_first)["S"]
    for name in ("owner", "held", "home", "quiesce", "capacity_before", "go_withheld"):
        value = found.get(name)
        yield f"ledger: {name}", None if value in ({"BOOL": False}, {"NULL": True}) else value


def _databases(world: World, region: str) -> Iterator[tuple[str, Any]]:
    for instance in world.cloud.client("rds", region).describe_db_instances()["DBInstances"]:
        name = instance["DBInstanceIdentifier"]
        if is_retired(name):
            continue
        yield f"database {name}", "there"
        for key, value in instance.items():
            if key not in _OF_THE_MOMENT:
                yield f"database {name}: {key}", value


def _groups(world: World, side: Side) -> Iterator[tuple[str, Any]]:
    scaling = world.cloud.client("autoscaling", REGION_NAME[side])
    for group in scaling.describe_auto_scaling_groups()["AutoScalingGroups"]:
        name = f"group {group['AutoScalingGroupName']}"
        for key in ("MinSize", "DesiredCapacity", "MaxSize", "HealthCheckType", "TargetGroupARNs"):
            yield f"{name}: {key}", group[key]
        yield f"{name}: suspended", sorted(each["ProcessName"] for each in group["SuspendedProcesses"])
        yield f"{name}: instances", sorted(each["LifecycleState"] for each in group["Instances"])
    yield "healthy targets", sorted(str(health.state) for health in world.balancers.health(side).values())


def _buckets(world: World, region: str) -> Iterator[tuple[str, Any]]:
    s3 = world.cloud.client("s3", region)
    for bucket in s3.list_buckets()["Buckets"]:
        name = bucket["Name"]
        if not name.endswith(region):
            continue
        try:
            rules = s3.get_bucket_replication(Bucket=name)["ReplicationConfiguration"]
        except ClientError:
            rules = None
        yield f"replication of {name}", rules


def _global(world: World) -> Iterator[tuple[str, Any]]:
    route53 = world.cloud.client("route53", GLOBAL)
    for zone in route53.list_hosted_zones()["HostedZones"]:
        records = route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
        for record in records:
            name = f"record {record['Type']} {record['Name']} {record.get('SetIdentifier', '')}".strip()
            yield name, record
    for name, physical in world.global_stack.resources.items():
        if _is_check(world, name):
            check = route53.get_health_check(HealthCheckId=physical)["HealthCheck"]["HealthCheckConfig"]
            yield f"health check {name}", check
            yield f"health check {name}: healthy", world.healthy(name)
    side = world.route53.answer_of(DOMAIN, Vantage.OUTSIDE)
    yield f"answer to {DOMAIN}", None if side is None else side.value


def _is_check(world: World, logical_id: str) -> bool:
    kind = world.global_stack.records[logical_id].kind
    return kind is not None and kind.type == "AWS::Route53::HealthCheck"
