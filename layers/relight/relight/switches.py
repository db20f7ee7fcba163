"""The switches of this Region: metrics behind Route 53 health checks, a pure function of the ledger's head.

STOP = 1 makes the primary record unhealthy, GO = 1 the secondary one healthy (both published in the DR Region);
HOLD = 1, published in the home Region, makes the secondary one unhealthy again. Published every minute from
deployment on, so that a silent switch is a finding and never a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relight.ledger import Head, State

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient


def switches(head: Head, here: str, home: str) -> dict[str, float]:
    """The values that the ledger's head calls for."""
    if here == home:
        return {"HOLD": 0.0}
    engaged = float(head.active == here or head.state is State.PROMOTING)
    return {"STOP": engaged, "GO": engaged}


def publish(cloudwatch: CloudWatchClient, namespace: str, values: dict[str, float]) -> None:
    """Put the values; by PutMetricData and not through a log, because seconds count here."""
    cloudwatch.put_metric_data(
        Namespace=namespace, MetricData=[{"MetricName": name, "Value": value} for name, value in values.items()]
    )
