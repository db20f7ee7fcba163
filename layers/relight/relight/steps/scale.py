"""`scale`: bring this Region's capacity up to the primary's last known one, or back to what it was."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from relight.errors import CapacityGroupNotFound
from relight.ledger import Capacity
from relight.step import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_autoscaling.type_defs import AutoScalingGroupTypeDef
    from mypy_boto3_elbv2 import ElasticLoadBalancingv2Client

    from relight.ledger import Ledger
    from relight.run import Run
    from relight.settings import ScaleSettings

# Suspended, these two keep a scale-up from ever serving (aws-facts §2.5).
NEEDED = ("Launch", "AddToLoadBalancer")
OUT_OF_CAPACITY = ("InsufficientInstanceCapacity", "InsufficientHostCapacity", "VcpuLimitExceeded", "MaxSpotInstance")


class Intent(StrEnum):
    """`warm`: raise, and do not wait. `serve`: raise, and wait until enough of it is healthy. `restore`: undo."""

    WARM = "warm"
    SERVE = "serve"
    RESTORE = "restore"


def raised(now: Capacity, target: int) -> Capacity:
    """The sizes that hold `target` instances: never smaller than now, and max only where it would be in the way."""
    return Capacity(max(now.minimum, target), max(now.desired, target), max(now.maximum, target))


def enough(wanted: int, healthy_percent: int) -> int:
    """How many of the wanted instances must be healthy; at least one where any is wanted."""
    return max(min(wanted, 1), math.ceil(wanted * healthy_percent / 100))


def shortage(activities: Sequence[Any], since: float) -> str | None:
    """Why launches failed for lack of capacity since then, in AWS's words; None where none did."""
    for activity in activities:
        message = activity.get("StatusMessage", "")
        failed = activity["StatusCode"] == "Failed" and activity["StartTime"].timestamp() >= since
        if failed and any(code in message for code in OUT_OF_CAPACITY):
            return str(message)
    return None


@dataclass(frozen=True)
class Scale:
    """One look at the group. Never scales down, but to restore what it raised itself."""

    settings: ScaleSettings
    ledger: Ledger
    groups: AutoScalingClient
    balancing: ElasticLoadBalancingv2Client
    clock: Callable[[], float]

    def ensure(self, run: Run, intent: Intent) -> Outcome:
        """Raise, resume, and look; or restore."""
        group = self._group()
        sizes = Capacity(group["MinSize"], group["DesiredCapacity"], group["MaxSize"])
        if intent is Intent.RESTORE:
            return self._restore(run, sizes)
        primary = self.ledger.capacity()
        target = primary.desired if primary and primary.desired > 0 else self.settings.default_capacity
        wanted = raised(sizes, target)
        self._resume(group)
        if wanted != sizes:
            self.ledger.remember_capacity(run, sizes)
            self._resize(wanted)
        return self._look(run, intent, group, wanted)

    def _look(self, run: Run, intent: Intent, group: AutoScalingGroupTypeDef, wanted: Capacity) -> Outcome:
        short = shortage(self._activities(), run.started_at) if len(group["Instances"]) < wanted.desired else None
        facts: dict[str, Any] = {"wanted": wanted.desired, "present": len(group["Instances"]), "shortage": short}
        if intent is Intent.WARM:
            return Outcome.done(f"capacity is on its way: {wanted.desired} wanted", **facts)
        healthy, reasons = self._healthy(group)
        needed = enough(wanted.desired, self.settings.healthy_percent)
        said = f"{healthy} of {wanted.desired} instances are healthy, {needed} needed"
        if short:
            said += f"; launches fail for lack of capacity: {short}"
        facts |= {"healthy": healthy, "reasons": reasons}
        # Before the promotion no instance can be ready (rule 5), so health counts only once it has been noted.
        promoted = self.ledger.head().active == self.settings.aws_region
        if healthy >= needed and promoted:
            self.ledger.mark(run, "t5", self.clock())
            return Outcome.done(said, **facts)
        # The last lap is short: everything is there, and only the balancer has to notice.
        soon = promoted and len(group["Instances"]) >= needed
        pause = self.settings.look_again_seconds / (5 if soon else 1)
        return Outcome.wait(said if promoted else f"{said}; the database is not promoted yet", pause, **facts)

    def _restore(self, run: Run, sizes: Capacity) -> Outcome:
        # Asked again at the last moment: what a late handler restored would be taken from the run that came after.
        before = self.ledger.require(run).capacity_before
        if before is None:
            return Outcome.done("nothing was raised, nothing to restore", restored=None)
        if before != sizes:
            self._resize(before)
        self.ledger.forget_capacity(run)
        return Outcome.done(
            f"capacity is back at min {before.minimum}, desired {before.desired}, max {before.maximum}",
            restored=before.desired,
        )

    def _group(self) -> AutoScalingGroupTypeDef:
        name = self.settings.group_name
        found = self.groups.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        if not found:
            raise CapacityGroupNotFound(f"no Auto Scaling group is called {name} in {self.settings.aws_region}")
        return found[0]

    def _resume(self, group: AutoScalingGroupTypeDef) -> None:
        suspended = {process["ProcessName"] for process in group.get("SuspendedProcesses", [])}
        if blocked := [name for name in NEEDED if name in suspended]:
            self.groups.resume_processes(AutoScalingGroupName=self.settings.group_name, ScalingProcesses=blocked)

    def _resize(self, sizes: Capacity) -> None:
        self.groups.update_auto_scaling_group(
            AutoScalingGroupName=self.settings.group_name,
            MinSize=sizes.minimum,
            DesiredCapacity=sizes.desired,
            MaxSize=sizes.maximum,
        )

    def _activities(self) -> list[Any]:
        answer = self.groups.describe_scaling_activities(AutoScalingGroupName=self.settings.group_name, MaxRecords=20)
        return list(answer["Activities"])

    def _healthy(self, group: AutoScalingGroupTypeDef) -> tuple[int, dict[str, str]]:
        """Instances that every target group of the ASG calls healthy, and why the others are not."""
        per_group: list[set[str]] = []
        reasons: dict[str, str] = {}
        for arn in group.get("TargetGroupARNs", []):
            targets = self.balancing.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
            per_group.append({t["Target"]["Id"] for t in targets if t["TargetHealth"]["State"] == "healthy"})
            reasons |= {
                t["Target"]["Id"]: t["TargetHealth"].get("Reason", t["TargetHealth"]["State"])
                for t in targets
                if t["TargetHealth"]["State"] != "healthy"
            }
        return (len(set.intersection(*per_group)) if per_group else 0), reasons
