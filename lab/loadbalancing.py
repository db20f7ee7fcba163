"""Elastic Load Balancing behind moto's API: each load balancer of a Region is a real one on loopback.

moto keeps load balancers, listeners, target groups and what is registered in them. Here the target group of each one's
first listener gets a balancer that forwards to the registered instances and checks their health; DescribeTargetHealth
says what it found. Listener ports, TLS and rules are not imitated: each vantage reaches the balancer on the web port.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from moto.backends import get_backend
from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, FakeTargetGroup

from lab.balancer import Balancer
from lab.cloud import ACCOUNT
from lab.network import Network
from lab.pipe import Address
from lab.region import BALANCERS, REGION_NAME, Side, Vantage, alb_address
from lab.seam import Seams, require
from lab.target import REGISTERING, TargetCheck, TargetHealth
from lab.timings import Timings

NOT_IN_USE = TargetHealth("unused", "Target.NotInUse", "Target group is not configured to receive traffic")

require(ELBv2Backend, "register_targets", "notify_terminate_instances", "_get_target_group_arns_from")
require(FakeTargetGroup, "health_for", "register", "deregister_terminated_instances")


class _Balanced:
    """A load balancer of moto's with the balancer that plays it."""

    def __init__(self, place: int, name: str, group: str, check: TargetCheck, balancer: Balancer) -> None:
        self.place = place
        """Which of the side's addresses it has."""
        self.dns_name = name
        self.group = group
        self.check = check
        self.balancer = balancer
        self.targets: dict[str, Address] = {}

    def show(self, targets: dict[str, Address]) -> None:
        if targets != self.targets:
            self.balancer.set_targets(targets)
            self.targets = targets


class LoadBalancers:
    """The load balancers of both Regions. A side's first one is that of its workload; others come and go."""

    def __init__(self, network: Network, timings: Timings, web_port: int) -> None:
        """`web_port` is where they listen, at the addresses of `lab.region.alb_address`."""
        self.web_port = web_port
        self._network = network
        self._timings = timings
        self._hosts: dict[str, str] = {}
        self._balanced: dict[tuple[Side, str], _Balanced] = {}
        """By side and ARN."""
        self._lock = threading.RLock()
        self._seams = Seams()

    def install(self) -> None:
        """Answer DescribeTargetHealth with what was found. MotoChangedError if moto is not as expected."""
        self._seams.wrap(FakeTargetGroup, "health_for", self._health_for)

    def stop(self) -> None:
        """Close every balancer and undo `install`."""
        with self._lock:
            for balanced in self._balanced.values():
                balanced.balancer.stop()
            self._balanced.clear()
            self._seams.undo()

    # -- for Route 53 and whoever looks on --------------------------------------------------------------------

    def healthy_targets(self, alb_dns_name: str) -> bool:
        """Has the load balancer of that name at least one healthy target? False for a name that nobody has."""
        balanced = self._named(alb_dns_name)
        return balanced is not None and any(health.state == "healthy" for health in balanced.balancer.health().values())

    def alb_address(self, alb_dns_name: str, vantage: Vantage) -> str | None:
        """Where the load balancer of that name is reached from there; None for a name that nobody has."""
        balanced = self._named(alb_dns_name)
        return balanced.balancer.address(vantage)[0] if balanced is not None else None

    def health(self, side: Side) -> dict[str, TargetHealth]:
        """Instance id to health, of the targets of that side's first load balancer."""
        with self._lock:
            first = next((one for (of, _), one in self._balanced.items() if of is side and one.place == 0), None)
        return first.balancer.health() if first else {}

    # -- for the groups ---------------------------------------------------------------------------------------

    def place(self, instance_id: str, host: str) -> None:
        """That instance answers there."""
        with self._lock:
            self._hosts[instance_id] = host

    def displace(self, instance_id: str) -> None:
        """That instance is no more."""
        with self._lock:
            self._hosts.pop(instance_id, None)

    def register(self, region: str, target_groups: Sequence[str], instance_id: str) -> None:
        """Register a running instance with those target groups that exist."""
        backend = get_backend("elbv2")[ACCOUNT][region]
        for arn in target_groups:
            group = backend.target_groups.get(arn)
            if group is not None:
                backend.register_targets(arn, [{"Id": instance_id, "Port": group.port}])

    def forget(self, region: str, instance_id: str) -> None:
        """Take an instance that ends out of every target group, and out of the balancers at once."""
        get_backend("elbv2")[ACCOUNT][region].notify_terminate_instances([instance_id])
        self.sync()

    def port(self, region: str, target_groups: Sequence[str]) -> int | None:
        """The port on which these target groups expect an instance; None if there is no group."""
        groups = get_backend("elbv2")[ACCOUNT][region].target_groups
        return next((int(groups[arn].port) for arn in target_groups if arn in groups), None)

    def says_unhealthy(self, region: str, target_groups: Sequence[str], instance_id: str) -> bool:
        """Has a balancer of one of these target groups found that instance unhealthy?"""
        groups = get_backend("elbv2")[ACCOUNT][region].target_groups
        found = [self._found(groups[arn], instance_id) for arn in target_groups if arn in groups]
        return any(health.state == "unhealthy" for health in found)

    def sync(self) -> None:
        """Give each load balancer its balancer, and each balancer its targets. PortBusy if an address is taken."""
        with self._lock:
            for side in Side:
                self._sync(side)

    def _sync(self, side: Side) -> None:
        backend = get_backend("elbv2")[ACCOUNT][REGION_NAME[side]]
        present = dict(backend.load_balancers)
        for of, arn in [key for key in self._balanced if key[0] is side and key[1] not in present]:
            self._balanced.pop((of, arn)).balancer.stop()
        for balancer in present.values():
            self._follow(side, balancer, _first_group(backend, balancer))

    def _follow(self, side: Side, balancer: Any, group: Any | None) -> None:
        """Let one load balancer have a balancer with its targets; none while it forwards to no target group."""
        key = side, str(balancer.arn)
        old = self._balanced.get(key)
        check = None if group is None else self._check(group)
        if old is not None and (group is None or (old.group, old.check) != (group.arn, check)):
            self._balanced.pop(key).balancer.stop()
            old = None
        if group is None or check is None:
            return
        if old is None:
            old = self._balanced[key] = self._open(side, balancer, group, check)
        targets = list(group.targets.values())
        old.show(
            {
                str(target["Id"]): (self._hosts[target["Id"]], int(target["Port"] or group.port))
                for target in targets
                if target["Id"] in self._hosts
            }
        )

    def _open(self, side: Side, balancer: Any, group: Any, check: TargetCheck) -> _Balanced:
        taken = {one.place for (of, _), one in self._balanced.items() if of is side}
        place = min(set(range(BALANCERS + 1)) - taken)
        listen = [(vantage, alb_address(side, vantage, place), self.web_port) for vantage in Vantage]
        made = Balancer(listen, self._network, side, check)
        made.start()
        return _Balanced(place, balancer.dns_name, group.arn, check, made)

    def _check(self, group: Any) -> TargetCheck:
        scale = self._timings.target_check_scale
        return TargetCheck(
            path=group.health_check_path or "/",
            interval=float(group.health_check_interval_seconds) * scale,
            timeout=float(group.health_check_timeout_seconds) * scale,
            healthy_threshold=int(group.healthy_threshold_count),
            unhealthy_threshold=int(group.unhealthy_threshold_count),
            matcher=str((group.matcher or {}).get("HttpCode", "200")),
        )

    def _named(self, alb_dns_name: str) -> _Balanced | None:
        wanted = alb_dns_name.rstrip(".").lower().removeprefix("dualstack.")
        with self._lock:
            return next((one for one in self._balanced.values() if one.dns_name.lower() == wanted), None)

    def _found(self, group: Any, instance_id: str) -> TargetHealth:
        with self._lock:
            balanced = next((one for one in self._balanced.values() if one.group == group.arn), None)
        if balanced is None:
            return REGISTERING if group.load_balancer_arns else NOT_IN_USE
        return balanced.balancer.health().get(instance_id, REGISTERING)

    def _health_for(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def health_for(group: Any, target: dict[str, Any], ec2_backend: Any) -> Any:
            answer = original(group, target, ec2_backend)
            if answer.status != "healthy":
                return answer
            found = self._found(group, target["Id"])
            return FakeHealthStatus(
                answer.instance_id,
                answer.port,
                answer.health_check_port,
                found.state,
                found.reason,
                found.description,
            )

        return health_for


def _first_group(backend: Any, balancer: Any) -> Any | None:
    """The target group to which the load balancer's first listener forwards."""
    for listener in list(balancer.listeners.values()):
        for action in listener.default_actions:
            if action.type == "forward":
                arn = next(iter(backend._get_target_group_arns_from(action.data)), None)
                return backend.target_groups.get(arn)
    return None
