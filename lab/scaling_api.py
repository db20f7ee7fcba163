"""The operations of EC2 Auto Scaling that moto answers otherwise than AWS, put right.

Limits are checked as AWS checks them, a change of the desired capacity only writes it down, and the activities are
what really happened. Instances are the reconciler's affair.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult

from lab.scaling_activity import Activity
from lab.seam import Seams, require

_MOST_ACTIVITIES = 100
require(AutoScalingResponse, "_get_param", "_get_int_param")


class ScalingApi:
    """Installs itself over moto's Auto Scaling."""

    def __init__(
        self,
        changed: Callable[[Any, str], None],
        activities: Callable[[str, str | None], Sequence[Activity]],
        attach: Callable[[Any], None],
    ) -> None:
        """`changed` hears of a group and why its desired capacity is a new one; `activities` knows those of a Region
        and group, newest first; `attach` registers the instances of a group that got a target group."""
        self._changed = changed
        self._activities = activities
        self._attach = attach

    def install(self, seams: Seams) -> None:
        """MotoChangedError if a place to be taken is not there."""
        seams.wrap(AutoScalingBackend, "create_auto_scaling_group", self._create)
        seams.wrap(AutoScalingBackend, "update_auto_scaling_group", self._update)
        seams.wrap(AutoScalingBackend, "suspend_processes", _of_known_group)
        seams.wrap(AutoScalingBackend, "resume_processes", _of_known_group)
        seams.replace(AutoScalingBackend, "set_desired_capacity", self._set_desired())
        seams.replace(AutoScalingBackend, "delete_auto_scaling_group", self._delete())
        seams.replace(AutoScalingBackend, "update_attached_target_groups", self._update_target_groups())
        seams.replace(FakeAutoScalingGroup, "set_desired_capacity", _write_desired)
        seams.replace(FakeAutoScalingGroup, "replace_autoscaling_group_instances", _leave_to_reconciler)
        seams.replace(AutoScalingResponse, "describe_scaling_activities", self._describe_activities())

    def _create(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def create_auto_scaling_group(backend: Any, **wanted: Any) -> Any:
            least, most = _whole(wanted["min_size"]), _whole(wanted["max_size"])
            desired = least if wanted["desired_capacity"] in (None, "") else _whole(wanted["desired_capacity"])
            _check(least, desired, most)
            wanted |= {"min_size": least, "max_size": most, "desired_capacity": desired}
            group = original(backend, **wanted)
            self._changed(
                group, f"a user request created an AutoScalingGroup changing the desired capacity to {desired}"
            )
            return group

        return create_auto_scaling_group

    def _update(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def update_auto_scaling_group(backend: Any, name: str, **wanted: Any) -> Any:
            group = _known(backend, name)
            before = group.desired_capacity
            least = group.min_size if wanted.get("min_size") is None else _whole(wanted["min_size"])
            most = group.max_size if wanted.get("max_size") is None else _whole(wanted["max_size"])
            # Without a wish of its own the desired capacity yields to the new limits.
            desired = wanted.get("desired_capacity")
            desired = min(max(before, least), most) if desired is None else _whole(desired)
            _check(least, desired, most)
            wanted |= {"min_size": least, "max_size": most, "desired_capacity": desired}
            wanted["mixed_instances_policy"] = wanted.get("mixed_instances_policy") or _kept_policy(group, wanted)
            reason = (
                f"a user request update of AutoScalingGroup constraints to min: {least}, max: {most}, desired: "
                f"{desired} changing the desired capacity from {before} to {desired}"
            )
            self._changed(group, reason)  # first, because the group is followed all the while
            original(backend, name, **wanted)
            self._changed(group, reason)
            return group

        return update_auto_scaling_group

    def _set_desired(self) -> Callable[..., None]:
        def set_desired_capacity(backend: Any, group_name: str, desired_capacity: int | None) -> None:
            group = _known(backend, group_name)
            before, desired = group.desired_capacity, _whole(desired_capacity)
            for word, limit, beyond in (
                ("above max", group.max_size, desired > group.max_size),
                ("below min", group.min_size, desired < group.min_size),
            ):
                if beyond:
                    raise ValidationError(
                        f"New SetDesiredCapacity value {desired} is {word} value {limit} for the AutoScalingGroup."
                    )
            reason = (
                "a user request explicitly set group desired capacity changing the desired capacity from "
                f"{before} to {desired}"
            )
            self._changed(group, reason)  # first, because the group is followed all the while
            group.set_desired_capacity(desired)
            self._changed(group, reason)

        return set_desired_capacity

    def _delete(self) -> Callable[..., None]:
        def delete_auto_scaling_group(backend: Any, group_name: str) -> None:
            group = _known(backend, group_name)
            del backend.autoscaling_groups[group_name]
            self._changed(group, "a user request deleted the AutoScalingGroup")

        return delete_auto_scaling_group

    def _update_target_groups(self) -> Callable[..., None]:
        def update_attached_target_groups(backend: Any, group_name: str) -> None:
            self._attach(backend.autoscaling_groups[group_name])

        return update_attached_target_groups

    def _describe_activities(self) -> Callable[..., Any]:
        def describe_scaling_activities(response: Any) -> Any:
            name = response._get_param("AutoScalingGroupName")
            wanted = response._get_param("ActivityIds", [])
            most = response._get_int_param("MaxRecords") or _MOST_ACTIVITIES
            found = self._activities(response.region, name)
            chosen = [activity for activity in found if not wanted or activity.activity_id in wanted]
            return ActionResult({"Activities": chosen[:most]})

        return describe_scaling_activities


def _kept_policy(group: Any, wanted: Mapping[str, Any]) -> Any:
    """moto would forget the policy of a group that is updated without naming it again.

    A launch template takes its place. moto shows its template by id and by name, and takes one of them.
    """
    if wanted.get("launch_template") or not group.mixed_instances_policy:
        return None
    policy = copy.deepcopy(group.mixed_instances_policy)
    policy["LaunchTemplate"]["LaunchTemplateSpecification"].pop("LaunchTemplateName", None)
    return policy


def _known(backend: Any, name: str) -> Any:
    if name not in backend.autoscaling_groups:
        raise ValidationError(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
    return backend.autoscaling_groups[name]


def _of_known_group(original: Callable[..., Any]) -> Callable[..., Any]:
    def checked(backend: Any, group_name: str, scaling_processes: list[str]) -> Any:
        _known(backend, group_name)
        return original(backend, group_name, scaling_processes)

    return checked


def _check(least: int, desired: int, most: int) -> None:
    if least > most:
        raise ValidationError(f"Max bound, {most}, must be greater than or equal to min bound, {least}")
    if not least <= desired <= most:
        raise ValidationError(
            f"Desired capacity:{desired} must be between the specified min size:{least} and max size:{most}"
        )


def _whole(value: Any) -> int:
    """Templates give numbers as text."""
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ValidationError(f"{value!r} is not a number of instances") from None


def _write_desired(group: Any, new_capacity: int | None) -> None:
    group.desired_capacity = _whole(group.min_size if new_capacity is None else new_capacity)


def _leave_to_reconciler(group: Any, count_needed: int, propagated_tags: dict[str, str]) -> None:
    """moto would put new instances in the place of terminated ones here."""
