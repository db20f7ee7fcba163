"""An Auto Scaling group and its target group on moto, whose instances come, and get healthy, when a test says so.

The operations that moto answers otherwise than AWS are the lab's own (`lab.scaling_api`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.autoscaling.models import InstanceState
from moto.backends import get_backend
from moto.elbv2.models import FakeHealthStatus, FakeTargetGroup
from relight.ledger import Capacity

from lab.scaling_activity import INSUFFICIENT_CAPACITY, Activity
from lab.scaling_api import ScalingApi
from lab.seam import Seams
from tests.unit.conftest import Clients
from tests.unit.standby import HERE

ACCOUNT, NAME, IMAGE = "123456789012", "shop-dr", "ami-12c6146b"
SHORT = INSUFFICIENT_CAPACITY.format(type="t4g.small", zone="eu-central-1a")


@dataclass
class Fleet:
    """The group `shop-dr`, and others that a test adds."""

    groups: Any
    balancing: Any
    ec2: Any
    target_group: str
    region: str = HERE
    health: dict[str, str] = field(default_factory=dict)
    activities: list[Activity] = field(default_factory=list)

    def add(self, name: str, sizes: Capacity, *target_groups: str) -> None:
        """One more group, behind these target groups or behind none."""
        self.groups.create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchConfigurationName=NAME,
            MinSize=sizes.minimum,
            DesiredCapacity=sizes.desired,
            MaxSize=sizes.maximum,
            AvailabilityZones=[f"{self.region}a"],
            TargetGroupARNs=list(target_groups),
        )

    def describe(self, name: str = NAME) -> dict[str, Any]:
        """The group as the API shows it."""
        found = self.groups.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return dict(found[0])

    def sizes(self, name: str = NAME) -> Capacity:
        """Its sizes as the API shows them."""
        group = self.describe(name)
        return Capacity(group["MinSize"], group["DesiredCapacity"], group["MaxSize"])

    def resize(self, sizes: Capacity, name: str = NAME) -> None:
        """As an operator does by hand."""
        self.groups.update_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=sizes.minimum,
            DesiredCapacity=sizes.desired,
            MaxSize=sizes.maximum,
        )

    def suspended(self) -> set[str]:
        """Names of the processes that are suspended."""
        return {process["ProcessName"] for process in self.describe()["SuspendedProcesses"]}

    def launch(self, health: str = "healthy", name: str = NAME) -> str:
        """Let one more instance come to a group, of that health in the first of its target groups."""
        answer = self.ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1, InstanceType="t4g.small")
        identifier: str = answer["Instances"][0]["InstanceId"]
        group = get_backend("autoscaling")[ACCOUNT][self.region].autoscaling_groups[name]
        instance = get_backend("ec2")[ACCOUNT][self.region].get_instance(identifier)
        group.instance_states.append(InstanceState(instance, autoscaling_group=group))
        for arn in self.describe(name)["TargetGroupARNs"][:1]:
            self.balancing.register_targets(TargetGroupArn=arn, Targets=[{"Id": identifier}])
        self.health[identifier] = health
        return identifier

    def fail(self, message: str, at: float) -> None:
        """Let a launch fail, at that time, for the reason that AWS gives in `message`."""
        activity = Activity(
            NAME, "arn", "Launching a new EC2 instance", "cause", start_time=datetime.fromtimestamp(at, UTC)
        )
        activity.fail(message)
        self.activities.insert(0, activity)


@contextmanager
def make_fleet(clients: Clients, region: str = HERE) -> Iterator[Fleet]:
    """At min 0, desired 0, max 1, without instances."""
    groups, balancing, ec2 = clients("autoscaling", region), clients("elbv2", region), clients("ec2", region)
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    made = balancing.create_target_group(Name=NAME, Protocol="HTTP", Port=8000, VpcId=vpc, TargetType="instance")
    fleet = Fleet(groups, balancing, ec2, made["TargetGroups"][0]["TargetGroupArn"], region)

    def health_for(original: Callable[..., Any]) -> Callable[..., Any]:
        def answer(group: Any, target: dict[str, Any], backend: Any) -> Any:
            state = fleet.health[target["Id"]]
            reason = None if state == "healthy" else "Target.FailedHealthChecks"
            return FakeHealthStatus(target["Id"], "8000", "8000", state, reason, reason)

        return answer

    seams = Seams()
    ScalingApi(lambda group, why: None, lambda region, name: fleet.activities, lambda group: None).install(seams)
    seams.wrap(FakeTargetGroup, "health_for", health_for)
    try:
        groups.create_launch_configuration(LaunchConfigurationName=NAME, ImageId=IMAGE, InstanceType="t4g.small")
        fleet.add(NAME, Capacity(0, 0, 1), fleet.target_group)
        yield fleet
    finally:
        seams.undo()
