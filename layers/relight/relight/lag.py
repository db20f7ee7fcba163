"""The replica's lag as CloudWatch has it: what is left to look at where `dbcheck` cannot be asked.

It comes late, and of an idle source it says more than is true, so it never makes the stream DOWN by its size: a small
lag is UP, -1 (replication is not active) is DOWN, and the rest, a figure that is no longer fresh included, is UNKNOWN.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from relight.signal import Sample, Seen

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

WINDOW_SECONDS = 300
PERIOD_SECONDS = 60
NOT_ACTIVE = -1.0


@dataclass(frozen=True)
class Lag:
    """Seconds that the replica was behind at `at` (epoch seconds); NOT_ACTIVE where nothing replicated."""

    seconds: float
    at: float

    @property
    def replayed_at(self) -> float | None:
        """When what the replica had was written, as far as that follows; None where nothing replicated."""
        return None if self.seconds < 0 else self.at - self.seconds


def newest(cloudwatch: CloudWatchClient, replica_id: str, now: float) -> Lag | None:
    """The newest figure of the last five minutes; None where there is none, or CloudWatch does not answer."""
    end = datetime.fromtimestamp(now, UTC)
    try:
        answer = cloudwatch.get_metric_data(
            MetricDataQueries=[
                {
                    "Id": "lag",
                    "MetricStat": {
                        "Metric": {
                            "Namespace": "AWS/RDS",
                            "MetricName": "ReplicaLag",
                            "Dimensions": [{"Name": "DBInstanceIdentifier", "Value": replica_id}],
                        },
                        "Period": PERIOD_SECONDS,
                        "Stat": "Maximum",
                    },
                }
            ],
            StartTime=end - timedelta(seconds=WINDOW_SECONDS),
            EndTime=end,
            ScanBy="TimestampDescending",
        )
    except (BotoCoreError, ClientError):
        return None
    found = answer["MetricDataResults"][0]
    values = sorted(zip(found["Timestamps"], found["Values"], strict=True), reverse=True)
    return Lag(values[0][1], values[0][0].timestamp()) if values else None


def sample(lag: Lag | None, fresh_seconds: float, at: float) -> Sample:
    """The replication stream as far as a lag tells.

    A lag of up to `fresh_seconds` is small, and a figure is fresh for as long from the end of its minute on.
    """
    unasked = "the database of this Region could not be asked"
    if lag is None:
        return Sample(at, Seen.UNKNOWN, f"{unasked}, and CloudWatch knows no lag of the last {WINDOW_SECONDS} s")
    old = at - lag.at
    if old > fresh_seconds + PERIOD_SECONDS:
        return Sample(at, Seen.UNKNOWN, f"{unasked}, and CloudWatch's newest lag is of {old:.0f} s ago")
    if lag.seconds < 0:
        return Sample(at, Seen.DOWN, f"{unasked}; CloudWatch says that replication is not active")
    if lag.seconds <= fresh_seconds:
        return Sample(at, Seen.UP, f"{unasked}; CloudWatch says that it is {lag.seconds:.0f} s behind")
    return Sample(
        at, Seen.UNKNOWN, f"{unasked}; CloudWatch says {lag.seconds:.0f} s behind, which may be an idle source"
    )
