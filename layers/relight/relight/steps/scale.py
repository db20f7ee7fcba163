"""`scale`: bring this Region's capacity up to the active Region's last known one, or back to what it was.

Of one Auto Scaling group or several: all of them are raised, each to what its counterpart in the peer had while that
one served, and all of them must be healthy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight import fleet
from relight.errors import CapacityGroupNotFound, RunSuperseded
from relight.ledger import Capacity
from relight.step import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

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
    """`warm`: raise, and do not wait. `serve`: raise, and wait until enough of it is healthy. `restore`: undo.

    `ready`: raise, and wait until enough of it is in service, healthy or not: before the promotion none can be.
    `settle`: the sizes that this Region had when it served last.
    """

    WARM = "warm"
    SERVE = "serve"
    RESTORE = "restore"
    READY = "ready"
    SETTLE = "settle"


def raised(now: Capacity, target: int) -> Capacity:
    """The sizes that hold `target` instances: never smaller than now, and max only where it would be in the way."""
    return Capacity(max(now.minimum, target), max(now.desired, target), max(now.maximum, target))


def settled(now: Capacity, served: Capacity | None, stood_by: Capacity | None) -> Capacity:
    """The sizes of a group whose Region serves again. Nothing that runs now is taken.

    As they were when it `served` last; where nobody knows that, as now, with at least the maximum of before the raise.
    """
    if served is None:
        return Capacity(now.minimum, now.desired, max(now.maximum, stood_by.maximum if stood_by else 0))
    desired = max(now.desired, served.desired)
    return Capacity(served.minimum, desired, max(served.maximum, desired))


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
class Look:
    """What one look at a group saw: instances wanted, there, in service, needed and healthy, and what keeps others."""

    wanted: int
    present: int
    in_service: int
    needed: int
    healthy: int
    reasons: Mapping[str, str]
    shortage: str | None

    @property
    def sentence(self) -> str:
        """For the person on call."""
        said = f"{self.healthy} of {self.wanted} instances are healthy, {self.needed} needed"
        return f"{said}; launches fail for lack of capacity: {self.shortage}" if self.shortage else said


def told(looks: Mapping[str, Look]) -> tuple[str, dict[str, Any]]:
    """The sentence and the facts of all groups together; a group is named where there are several."""
    parts = [look.sentence if len(looks) == 1 else f"{name}: {look.sentence}" for name, look in looks.items()]
    facts: dict[str, Any] = {
        "wanted": sum(look.wanted for look in looks.values()),
        "present": sum(look.present for look in looks.values()),
        "shortage": next((look.shortage for look in looks.values() if look.shortage), None),
        "healthy": sum(look.healthy for look in looks.values()),
        "reasons": {instance: why for look in looks.values() for instance, why in look.reasons.items()},
        "groups": {
            name: {"wanted": look.wanted, "present": look.present, "healthy": look.healthy}
            for name, look in looks.items()
        },
    }
    return "; ".join(parts), facts


@dataclass(frozen=True)
class Scale:
    """One look at the groups. Never scales down, but to restore what it raised itself."""

    settings: ScaleSettings
    ledger: Ledger
    groups: AutoScalingClient
    balancing: ElasticLoadBalancingv2Client
    clock: Callable[[], float]
    peer_ledger: Ledger | None = None

    def ensure(self, run: Run, intent: Intent) -> Outcome:
        """Raise, resume, and look; or restore, or settle."""
        groups = self._groups()
        sizes = {name: _sizes(group) for name, group in groups.items()}
        if intent is Intent.RESTORE:
            return self._restore(run, sizes)
        if intent is Intent.SETTLE:
            return self._settle(sizes)
        wanted = {name: raised(now, self._target(name)) for name, now in sizes.items()}
        if wanted != sizes:
            self.ledger.remember_capacity(run, sizes)
            self._keep_standing_by()

        def bring_up(name: str) -> None:
            self._resume(groups[name])
            if wanted[name] != sizes[name]:
                self._resize(name, wanted[name])

        self._each(groups, bring_up)
        if wanted != sizes:
            self._take_back_if_undone(run, sizes)
        looks = {name: self._look(run, group, wanted[name]) for name, group in groups.items()}
        if intent is Intent.WARM:
            _, facts = told(looks)
            return Outcome.done(f"capacity is on its way: {facts['wanted']} wanted", **facts)
        return self._ready(looks) if intent is Intent.READY else self._serve(run, looks)

    def _keep_standing_by(self) -> None:
        """Keep what the groups of a standby were before anybody raised them, for when this Region stands by again."""
        head = self.ledger.head()
        if head.active != self.settings.aws_region:
            for name, before in (head.capacity_before or {}).items():
                self.ledger.keep_capacity(fleet.standing_by(name), before, self.clock())

    def _take_back_if_undone(self, run: Run, sizes: Mapping[str, Capacity]) -> None:
        """What was raised late, behind the back of a run that has put the sizes back meanwhile, is put back again."""
        head = self.ledger.head()
        if head.capacity_before is None and head.active != self.settings.aws_region:
            self._each(sizes, lambda name: self._resize(name, sizes[name]))
            raise RunSuperseded(f"run {run.id} was undone while it brought capacity up: it is put back")

    def _serve(self, run: Run, looks: Mapping[str, Look]) -> Outcome:
        said, facts = told(looks)
        # Before the promotion no instance can be ready (rule 5), so health counts only once it has been noted.
        promoted = self.ledger.head().active == self.settings.aws_region
        if promoted and all(look.healthy >= look.needed for look in looks.values()):
            self.ledger.mark(run, "t5", self.clock())
            return Outcome.done(said, **facts)
        # The last lap is short: everything is there, and only the balancer has to notice.
        soon = promoted and all(look.present >= look.needed for look in looks.values())
        pause = self.settings.look_again_seconds / (5 if soon else 1)
        return Outcome.wait(said if promoted else f"{said}; the database is not promoted yet", pause, **facts)

    def _ready(self, looks: Mapping[str, Look]) -> Outcome:
        _, facts = told(looks)
        here, needed = (sum(look.in_service for look in looks.values()), sum(look.needed for look in looks.values()))
        said = f"{here} of {facts['wanted']} instances are in service, {needed} needed"
        if facts["shortage"]:
            said = f"{said}; launches fail for lack of capacity: {facts['shortage']}"
        facts["in_service"] = here
        if all(look.in_service >= look.needed for look in looks.values()):
            return Outcome.done(said, **facts)
        return Outcome.wait(said, self.settings.look_again_seconds, **facts)

    def _settle(self, sizes: Mapping[str, Capacity]) -> Outcome:
        """What an operator set for a Region that serves was lost with the way there and back; it is given back."""
        if self.ledger.head().active != self.settings.aws_region:
            return Outcome.wait(
                "this Region is not active: there is nothing to settle", self.settings.look_again_seconds
            )
        wanted = {
            name: settled(now, self._served(name), self.ledger.capacity(fleet.standing_by(name)))
            for name, now in sizes.items()
        }
        self._each(
            (name for name in sizes if wanted[name] != sizes[name]), lambda name: self._resize(name, wanted[name])
        )
        shown = [f"{name}: min {to.minimum}, desired {to.desired}, max {to.maximum}" for name, to in wanted.items()]
        return Outcome.done(
            f"capacity is settled at {'; '.join(shown)}",
            groups={name: {"min": to.minimum, "desired": to.desired, "max": to.maximum} for name, to in wanted.items()},
        )

    def _served(self, name: str) -> Capacity | None:
        """What a group of this Region was when it served last: the peer has kept it, and may not say."""
        try:
            return self.peer_ledger.capacity(name) if self.peer_ledger is not None else None
        except (BotoCoreError, ClientError):
            return None

    def _restore(self, run: Run, sizes: Mapping[str, Capacity]) -> Outcome:
        # Asked again at the last moment: what a late handler restored would be taken from the run that came after.
        before = self.ledger.require(run).capacity_before
        if before is None:
            return Outcome.done("nothing was raised, nothing to restore", restored=None)
        raised_ones = (name for name, now in sizes.items() if before.get(name, now) != now)
        self._each(raised_ones, lambda name: self._resize(name, before[name]))
        self.ledger.forget_capacity(run)
        parts = [
            f"{'' if len(sizes) == 1 else f'{name}: '}min {was.minimum}, desired {was.desired}, max {was.maximum}"
            for name, was in before.items()
        ]
        restored = sum(was.desired for was in before.values())
        return Outcome.done(f"capacity is back at {'; '.join(parts)}", restored=restored)

    @staticmethod
    def _each(names: Iterable[str], act: Callable[[str], None]) -> None:
        """Act on every group, so that one that AWS refuses to change does not hold up the others; then raise."""
        refused: ClientError | None = None
        for name in names:
            try:
                act(name)
            except ClientError as error:
                refused = refused or error
        if refused is not None:
            raise refused

    def _target(self, name: str) -> int:
        """How many instances its counterpart in the peer had; the default where that was never seen, or none."""
        counterpart = self.settings.counterparts[name]
        served = self.ledger.capacity(counterpart) if counterpart else None
        return served.desired if served and served.desired > 0 else self.settings.default_capacity

    def _groups(self) -> dict[str, AutoScalingGroupTypeDef]:
        """The groups by name; CapacityGroupNotFound names those that are missing."""
        names = list(self.settings.counterparts)
        answer = self.groups.describe_auto_scaling_groups(AutoScalingGroupNames=names, MaxRecords=100)
        found = {group["AutoScalingGroupName"]: group for group in answer["AutoScalingGroups"]}
        if missing := [name for name in names if name not in found]:
            raise CapacityGroupNotFound(
                f"no Auto Scaling group is called {', '.join(missing)} in {self.settings.aws_region}"
            )
        return {name: found[name] for name in names}

    def _resume(self, group: AutoScalingGroupTypeDef) -> None:
        suspended = {process["ProcessName"] for process in group.get("SuspendedProcesses", [])}
        if blocked := [name for name in NEEDED if name in suspended]:
            name = group["AutoScalingGroupName"]
            self.groups.resume_processes(AutoScalingGroupName=name, ScalingProcesses=blocked)

    def _resize(self, name: str, sizes: Capacity) -> None:
        self.groups.update_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=sizes.minimum,
            DesiredCapacity=sizes.desired,
            MaxSize=sizes.maximum,
        )

    def _look(self, run: Run, group: AutoScalingGroupTypeDef, wanted: Capacity) -> Look:
        present = len(group["Instances"])
        short = shortage(self._activities(group), run.started_at) if present < wanted.desired else None
        healthy, reasons = self._healthy(group)
        needed = enough(wanted.desired, self.settings.healthy_percent)
        in_service = sum(instance["LifecycleState"] == "InService" for instance in group["Instances"])
        return Look(wanted.desired, present, in_service, needed, healthy, reasons, short)

    def _activities(self, group: AutoScalingGroupTypeDef) -> list[Any]:
        name = group["AutoScalingGroupName"]
        answer = self.groups.describe_scaling_activities(AutoScalingGroupName=name, MaxRecords=20)
        return list(answer["Activities"])

    def _healthy(self, group: AutoScalingGroupTypeDef) -> tuple[int, dict[str, str]]:
        """Instances that every target group of the ASG calls healthy, and why the others are not.

        Of a group behind no balancer (workers), those that are in service.
        """
        if not group.get("TargetGroupARNs"):
            states = {instance["InstanceId"]: str(instance["LifecycleState"]) for instance in group["Instances"]}
            waiting = {name: state for name, state in states.items() if state != "InService"}
            return len(states) - len(waiting), waiting
        healthy = own = {instance["InstanceId"] for instance in group["Instances"]}  # others may share a target group
        reasons: dict[str, str] = {}
        for arn in group["TargetGroupARNs"]:
            targets = self.balancing.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
            healthy = healthy & {t["Target"]["Id"] for t in targets if t["TargetHealth"]["State"] == "healthy"}
            reasons |= {
                t["Target"]["Id"]: t["TargetHealth"].get("Reason", t["TargetHealth"]["State"])
                for t in targets
                if t["TargetHealth"]["State"] != "healthy" and t["Target"]["Id"] in own
            }
        return len(healthy), reasons


def _sizes(group: AutoScalingGroupTypeDef) -> Capacity:
    return Capacity(group["MinSize"], group["DesiredCapacity"], group["MaxSize"])
