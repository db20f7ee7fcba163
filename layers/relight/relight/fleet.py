"""The instances of a superseded Region: taken away, because they would work for a database that is not theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mypy_boto3_autoscaling import AutoScalingClient

    from relight.head import Capacity


def standing_by(group: str) -> str:
    """Under which name a Region's own ledger keeps the sizes that a group had while that Region stood by.

    Not under the group's own: the groups of both Regions may be called the same, and what the other Region's had while
    it served is kept under theirs.
    """
    return f"{group}, standing by"


def empty(
    groups: AutoScalingClient,
    names: Sequence[str],
    still: Callable[[], bool],
    before: Callable[[str], Capacity | None],
) -> str:
    """Each of these groups as it was while its Region stood by, by `before`; without instances where that is unknown.

    Why not all of them are so; one does not hold up the others. `still` is asked before each call: one may take long,
    and a Region that is active again needs its instances.
    """
    refused: list[str] = []
    for name in names:
        if not still():
            return "; ".join([*refused, "it is not to be emptied any more"])
        try:
            sizes = before(name)
            if sizes is None:
                groups.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=0, DesiredCapacity=0)
            else:
                groups.update_auto_scaling_group(
                    AutoScalingGroupName=name,
                    MinSize=sizes.minimum,
                    DesiredCapacity=sizes.desired,
                    MaxSize=sizes.maximum,
                )
        except (BotoCoreError, ClientError) as error:
            refused.append(f"{name}: {type(error).__name__}: {error}")
    return "; ".join(refused)
