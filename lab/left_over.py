"""What is still there of a drill: found by name and by tag, in both Regions, as nobody who made it could tell."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg
from botocore.exceptions import BotoCoreError, ClientError

from lab.network import Path
from lab.region import REGION_NAME, Side, Vantage
from lab.world import World

TAG = "relight:drill"
_NAME = re.compile(r"-drill-\d+")
_RUNNING = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped", "shutting-down"]}

type Found = Iterator[tuple[str, Sequence[Mapping[str, str]]]]
"""Names, each with its tags."""


def is_throwaway(name: str) -> bool:
    """Whether that is what something is called that lives for one drill only."""
    return _NAME.search(name) is not None


def left_over(world: World) -> tuple[str, ...]:
    """All of drills that is there now, as `<side>: <kind> <name>`; of a Region that is lost nothing can be told."""
    found: list[str] = []
    for side in Side:
        if world.network.state(Vantage.OUTSIDE, side) is not Path.OPEN:
            continue
        client = partial(world.cloud.client, region=REGION_NAME[side])
        for kind, look in _KINDS.items():
            found += [
                f"{side}: {kind} {name}"
                for name, tags in look(client)
                if is_throwaway(name) or any(tag["Key"] == TAG for tag in tags)
            ]
        found += [f"{side}: replication slot {slot}" for slot in _slots(world, side)]
    return tuple(sorted(found))


def _slots(world: World, side: Side) -> list[str]:
    """Those of that side's database that no replica that is to stay reads from."""
    standing = [database for database in world.databases.all() if not is_throwaway(database.identifier)]
    known = {database.slot for database in standing}
    found: list[str] = []
    for server in (database.server for database in standing if database.side is side):
        if server is not None and server.is_running():
            with suppress(psycopg.Error):  # it is just restarted
                found += [str(row[0]) for row in server.sql("SELECT slot_name FROM pg_replication_slots")]
    return [slot for slot in found if slot not in known]


type Client = Callable[[str], Any]


def _instances(client: Client) -> Found:
    for each in client("rds").describe_db_instances()["DBInstances"]:
        yield each["DBInstanceIdentifier"], each.get("TagList", [])


def _snapshots(client: Client) -> Found:
    for each in client("rds").describe_db_snapshots()["DBSnapshots"]:
        yield each["DBSnapshotIdentifier"], each.get("TagList", [])


def _stacks(client: Client) -> Found:
    for each in client("cloudformation").describe_stacks()["Stacks"]:
        yield each["StackName"], each.get("Tags", [])


def _templates(client: Client) -> Found:
    for each in client("ec2").describe_launch_templates()["LaunchTemplates"]:
        yield each["LaunchTemplateName"], each.get("Tags", [])


def _machines(client: Client) -> Found:
    for reservation in client("ec2").describe_instances(Filters=[_RUNNING])["Reservations"]:
        for each in reservation["Instances"]:
            # Without a name of its own it is its group's.
            group = (tag["Value"] for tag in each.get("Tags", []) if tag["Key"] == "aws:autoscaling:groupName")
            yield f"{each['InstanceId']} of {next(group, 'no group')}", each.get("Tags", [])


def _groups(client: Client) -> Found:
    for each in client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]:
        yield each["AutoScalingGroupName"], each.get("Tags", [])


def _balancers(client: Client) -> Found:
    found = client("elbv2").describe_load_balancers()["LoadBalancers"]
    yield from _with_tags(client, {each["LoadBalancerArn"]: each["LoadBalancerName"] for each in found})


def _targets(client: Client) -> Found:
    found = client("elbv2").describe_target_groups()["TargetGroups"]
    yield from _with_tags(client, {each["TargetGroupArn"]: each["TargetGroupName"] for each in found})


def _with_tags(client: Client, names: Mapping[str, str]) -> Found:
    """The names of what has these ARNs; one that goes at this very moment has no tags any more."""
    for arn, name in names.items():
        tags: Sequence[Mapping[str, str]] = []
        with suppress(BotoCoreError, ClientError):
            tags = client("elbv2").describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"]
        yield name, tags


_KINDS: Mapping[str, Callable[[Client], Found]] = {
    "database": _instances,
    "snapshot": _snapshots,
    "stack": _stacks,
    "launch template": _templates,
    "instance": _machines,
    "group": _groups,
    "balancer": _balancers,
    "target group": _targets,
}
