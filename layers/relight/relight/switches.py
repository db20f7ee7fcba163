"""The switches of this Region: metrics behind Route 53 health checks, a pure function of the ledger's head.

STOP = 1 makes the primary record unhealthy, GO = 1 the secondary one healthy (both published in the DR Region);
HOLD = 1, published in the home Region, makes the secondary one unhealthy again. Where GO waits for `verify`, STOP does
not: while the secondary record is unhealthy Route 53 answers with the primary one in any case, so an early STOP turns
nobody away, and its minute of latency runs beside the promotion. Going home, HOLD is what GO is on the way out: it
waits for `verify` where that one does. Published every minute from deployment on, so that a silent switch is a finding
and never a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relight.ledger import Head, State

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricDatumTypeDef


def switches(head: Head, here: str, home: str) -> dict[str, float]:
    """The values that the ledger's head calls for; `home` is the Region that was home at deployment.

    `held` alone holds nothing in a Region that is neither active nor being activated by a run of its own: HOLD would
    draw the clients of the active Region away. (What the other Region is doing is mirrored as `promoting`, too.)
    """
    if here == home:
        own = head.state is State.PROMOTING and (head.owner is not None or head.promotion is not None)
        serving = head.active == here or own
        return {"HOLD": float(serving and head.held and not head.go_withheld)}
    engaged = float(head.active == here or head.state is State.PROMOTING)
    return {"STOP": engaged, "GO": engaged and float(not head.go_withheld)}


def publish(cloudwatch: CloudWatchClient, namespace: str, values: dict[str, float]) -> None:
    """Put the values in one call; by PutMetricData and not through a log, because seconds count here.

    A metric whose name ends with Seconds has that unit, all others have none.
    """
    data: list[MetricDatumTypeDef] = [
        {"MetricName": name, "Value": value, "Unit": "Seconds" if name.endswith("Seconds") else "None"}
        for name, value in values.items()
    ]
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)
