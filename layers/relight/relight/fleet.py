"""The instances of a superseded Region: taken away, because they would work for a database that is not theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mypy_boto3_autoscaling import AutoScalingClient


def empty(groups: AutoScalingClient, names: Sequence[str], still: Callable[[], bool]) -> str:
    """No instances in any of these groups; max stays. Why not all of them are so; one does not hold up the others.

    `still` is asked before each call: one may take long, and a Region that is active again needs its instances.
    """
    refused: list[str] = []
    for name in names:
        if not still():
            return "; ".join([*refused, "it is not to be emptied any more"])
        try:
            groups.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=0, DesiredCapacity=0)
        except (BotoCoreError, ClientError) as error:
            refused.append(f"{name}: {type(error).__name__}: {error}")
    return "; ".join(refused)
