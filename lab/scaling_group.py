"""One Auto Scaling Group: its instances follow the desired capacity, each with a real process behind it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from moto.autoscaling.models import ASG_NAME_TAG, InstanceState
from moto.backends import get_backend

from lab.cloud import ACCOUNT
from lab.errors import LabError
from lab.instance import Instance
from lab.region import Side
from lab.scaling_activity import Activity, stamp
from lab.seam import require
from lab.timings import Timings

if TYPE_CHECKING:
    from lab.loadbalancing import LoadBalancers


RUNNING_SHARE = 0.5
"""The part of `instance_boot` after which EC2 says `running` and the group `InService`; the rest is the start of the
operating system, after which the application is started."""
TERMINATED = "an EC2 health check indicating it has been terminated or stopped"
RESTART_SECONDS = 1.0
"""After how long a process that ended by itself is started again, as systemd does."""

require(InstanceState, "launch_template")


class Closable(Protocol):
    def close(self) -> None: ...


@dataclass
class Machine:
    """What an instance is made of once its place in the lab is known."""

    process: Instance
    address: str
    slot: int
    """Which of the side's instance addresses it has."""
    way_to_database: Closable | None
    """The relay between this instance and its database."""
    environment: Mapping[str, str]
    """What its user data tell the application."""


@dataclass
class Member:
    """An instance of a group, from its launch to its end."""

    state: Any
    """moto's InstanceState: what DescribeAutoScalingGroups says of it."""
    machine: Machine
    launch: Activity
    launched: float
    start_at: float | None
    """When the application is to be started; None while it runs."""
    in_service: float | None = None
    illness: str = ""
    """What the health check found, as the cause of the replacement tells it."""
    end: Activity | None = None

    @property
    def instance_id(self) -> str:
        return str(self.state.instance.id)


class Site(Protocol):
    """What a group needs of the lab around it."""

    timings: Timings
    load_balancers: "LoadBalancers"
    cwd: Path
    capacity_error: dict[str, str]
    launches: list[tuple[str, float]]
    terminations: list[tuple[str, float]]

    def machine(self, side: Side, instance: Any, port: int | None) -> Machine: ...

    def release(self, side: Side, machine: Machine) -> None: ...


class ScalingGroup:
    """Keeps one group of moto's as its numbers and suspended processes say. All methods in the reconciler's thread."""

    def __init__(self, side: Side, group: Any, site: Site) -> None:
        self.group = group
        self.activities: list[Activity] = []
        self.members: list[Member] = []
        self.reason = "a user request created an AutoScalingGroup"
        """Why the desired capacity is what it is, as the causes of activities tell it."""
        self.side = side
        self._site = site
        self._retry_at = 0.0
        self._turn = count()

    def tick(self, now: float) -> None:
        """Look at the group and do what is missing."""
        self._adopt(now)
        for member in list(self.members):
            if member.end is not None:
                self._finish(member)
            elif self._ec2_state(member) not in ("pending", "running"):
                self._begin_end(member, "an instance was taken out of service in response to an EC2 health check")
            else:
                self._advance(member, now)
        self._replace_unhealthy(now)
        self._follow_desired(now)

    def disband(self) -> bool:
        """End every instance of a group that was deleted; True when none is left."""
        for member in list(self.members):
            if member.end is None:
                self._begin_end(member, "the AutoScalingGroup was deleted")
            self._finish(member)
        return not self.members

    def attach_all(self) -> None:
        """Register the instances that are in service with the group's target groups, as a newly attached one needs."""
        if not self._suspended("AddToLoadBalancer"):
            for member in self._active():
                if member.state.lifecycle_state == "InService":
                    self._register(member)

    def lose(self) -> None:
        """The power goes: the processes are gone, and nobody records it."""
        for member in self.members:
            member.machine.process.kill()

    def crash(self) -> None:
        """Every instance is gone, also one that has just been launched; the group finds that out by itself."""
        for member in self.members:
            member.machine.process.crash()
            member.state.health_status = "Unhealthy"
            member.illness = TERMINATED

    def _advance(self, member: Member, now: float) -> None:
        boot = self._site.timings.instance_boot
        if member.state.lifecycle_state == "Pending" and now >= member.launched + boot * RUNNING_SHARE:
            self._enter_service(member, now)
        process = member.machine.process
        if member.start_at is None:
            ended_by_itself = process.exit_code is not None and process.exit_code >= 0
            member.start_at = now + RESTART_SECONDS if ended_by_itself else None
        elif now >= member.start_at:
            member.start_at = None
            process.start(self._site.cwd)

    def _enter_service(self, member: Member, now: float) -> None:
        instance = member.state.instance
        instance._state.name, instance._state.code = "running", 16
        member.state.lifecycle_state = "InService"
        member.in_service = now
        member.launch.succeed()
        # AWS adds an instance when it comes into service, and never makes up for it when AddToLoadBalancer was
        # suspended at that moment.
        if not self._suspended("AddToLoadBalancer"):
            self._register(member)

    def _register(self, member: Member) -> None:
        self._site.load_balancers.register(self.group.region, self.group.target_group_arns, member.instance_id)

    def _replace_unhealthy(self, now: float) -> None:
        if not self._suspended("HealthCheck"):
            for member in self._active():
                cause = self._illness(member, now)
                if cause:
                    member.state.health_status = "Unhealthy"
                    member.illness = cause
        if self._suspended("ReplaceUnhealthy") or self._suspended("Terminate"):
            return
        for member in self._active():
            if member.state.health_status == "Unhealthy":
                cause = member.illness or "a user health-check"
                self._begin_end(member, f"an instance was taken out of service in response to {cause}")

    def _illness(self, member: Member, now: float) -> str:
        exit_code = member.machine.process.exit_code
        if exit_code is not None and exit_code < 0:
            return TERMINATED
        if self.group.health_check_type != "ELB" or member.in_service is None:
            return ""
        grace = float(self.group.health_check_grace_period or 0) * self._site.timings.target_check_scale
        if now < member.in_service + grace:
            return ""
        sick = self._site.load_balancers.says_unhealthy(
            self.group.region, self.group.target_group_arns, member.instance_id
        )
        return "an ELB system health check failure" if sick else ""

    def _follow_desired(self, now: float) -> None:
        active = self._active()
        missing = int(self.group.desired_capacity) - len(active)
        if missing > 0 and now >= self._retry_at and not self._suspended("Launch"):
            for _ in range(missing):
                if not self._launch(now):
                    self._retry_at = now + self._site.timings.minute
                    break
        elif missing < 0 and not self._suspended("Terminate"):
            for member in self._surplus(active, -missing):
                self._begin_end(
                    member,
                    "an instance was taken out of service in response to a difference between desired and actual "
                    f"capacity, shrinking the capacity from {len(active)} to {self.group.desired_capacity}",
                )

    def _launch(self, now: float) -> bool:
        subnet, zone = self._next_place()
        activity = self._activity(
            "Launching a new EC2 instance",
            "an instance was started in response to a difference between desired and actual capacity, increasing the "
            f"capacity from {len(self._active())} to {self.group.desired_capacity}",
        )
        refusal = self._site.capacity_error.get(self.group.region)
        if refusal is not None:
            activity.fail(refusal.replace("{type}", self.group.instance_type).replace("{zone}", zone))
            return False
        instance = self._run_instance(subnet, zone)
        try:
            machine = self._site.machine(self.side, instance, self._port())
        except (ValueError, LabError) as error:
            get_backend("ec2")[ACCOUNT][self.group.region].terminate_instances([instance.id])
            activity.fail(str(error))
            return False
        instance._state.name, instance._state.code = "pending", 0
        instance.autoscaling_group = self.group
        state = InstanceState(
            instance,
            lifecycle_state="Pending",
            protected_from_scale_in=self.group.new_instances_protected_from_scale_in,
        )
        activity.description = f"Launching a new EC2 instance: {instance.id}"
        self.members.append(Member(state, machine, activity, now, start_at=now + self._site.timings.instance_boot))
        self.group.instance_states.append(state)
        self._site.launches.append((instance.id, time.time()))
        return True

    def _run_instance(self, subnet: str | None, zone: str) -> Any:
        group = self.group
        template = group.ec2_launch_template
        version = template.get_version(group.launch_template_version) if template else None
        reservation = get_backend("ec2")[ACCOUNT][group.region].run_instances(
            group.image_id,
            1,
            group.user_data,
            group.security_groups,
            instance_type=group.instance_type,
            tags={"instance": group.get_propagated_tags() | group.instance_tags | {ASG_NAME_TAG: group.name}},
            placement=zone,
            launch_config=group.launch_config,
            launch_template={"LaunchTemplateId": template.id, "Version": version.number} if version else None,
            security_group_ids=_interface_groups(version.data) if version else [],
            is_instance_type_default=False,
            associate_public_ip=group.launch_config.associate_public_ip_address if group.launch_config else None,
            subnet_id=subnet,
            region_name=group.region,
        )
        instance = reservation.instances[0]
        require(instance, "_state", "private_ip", "security_groups", "user_data")
        return instance

    def _next_place(self) -> tuple[str | None, str]:
        """The subnets in turn, which is how AWS keeps the zones balanced."""
        turn = next(self._turn)
        zones: list[str] = list(self.group.availability_zones)
        if not self.group.vpc_zone_identifier:
            return None, zones[turn % len(zones)]
        subnets = self.group.vpc_zone_identifier.split(",")
        subnet = subnets[turn % len(subnets)]
        return subnet, str(get_backend("ec2")[ACCOUNT][self.group.region].get_subnet(subnet).availability_zone)

    def _port(self) -> int | None:
        return self._site.load_balancers.port(self.group.region, self.group.target_group_arns)

    def _begin_end(self, member: Member, cause: str) -> None:
        """Take it out of the load balancer at once; the process gets its time to finish."""
        if not member.launch.ended:
            member.launch.cancel("The instance was terminated before it was in service.")
        member.state.lifecycle_state = "Terminating"
        member.end = self._activity(f"Terminating EC2 instance: {member.instance_id}", cause)
        self._site.load_balancers.forget(self.group.region, member.instance_id)
        member.machine.process.stop()

    def _finish(self, member: Member) -> None:
        if not member.machine.process.stop():
            return
        if self._ec2_state(member) in ("pending", "running"):
            get_backend("ec2")[ACCOUNT][self.group.region].terminate_instances([member.instance_id])
        if member.state in self.group.instance_states:
            self.group.instance_states.remove(member.state)
        self.members.remove(member)
        self._site.release(self.side, member.machine)
        self._site.terminations.append((member.instance_id, time.time()))
        if member.end is not None:
            member.end.succeed()

    def _adopt(self, now: float) -> None:
        """Instances that AttachInstances put into the group get a process too."""
        known = {id(member.state) for member in self.members}
        for state in list(self.group.instance_states):
            if id(state) not in known:
                machine = self._site.machine(self.side, state.instance, self._port())
                activity = self._activity(f"Attaching an existing EC2 instance: {state.instance.id}", self.reason)
                activity.succeed()
                self.members.append(Member(state, machine, activity, now, start_at=now, in_service=now))

    def _surplus(self, active: list[Member], number: int) -> list[Member]:
        """The oldest of the zone that has the most, again and again; protected ones never."""
        left = [member for member in active if not member.state.protected_from_scale_in]
        chosen: list[Member] = []
        while left and len(chosen) < number:
            zones = [member.state.availability_zone for member in left]
            victim = max(left, key=lambda member: (zones.count(member.state.availability_zone), -member.launched))
            left.remove(victim)
            chosen.append(victim)
        return chosen

    def _active(self) -> list[Member]:
        """Those that count towards the desired capacity: not ending, not detached, not in standby."""
        return [
            member
            for member in self.members
            if member.end is None
            and member.state in self.group.instance_states
            and member.state.lifecycle_state in ("Pending", "InService")
        ]

    def _suspended(self, process: str) -> bool:
        return any(entry["ProcessName"] == process for entry in self.group.suspended_processes)

    def _ec2_state(self, member: Member) -> str:
        return str(member.state.instance.state)

    def _activity(self, description: str, cause: str) -> Activity:
        at = stamp()
        text = f"At {at} {self.reason}.  At {at} {cause}."
        activity = Activity(self.group.name, self.group.arn, description, text)
        self.activities.append(activity)
        return activity


def _interface_groups(data: Mapping[str, Any]) -> list[str]:
    """The security groups that a launch template gives to its network interfaces; moto looks for them at its top."""
    return [group for interface in data.get("NetworkInterfaces", []) for group in interface.get("Groups", [])]
