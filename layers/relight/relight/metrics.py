"""CloudWatch's figures that readiness needs, in one call for each Region: lag, switches, the primary's busiest hour."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from relight.lag import Lag
from relight.readiness_facts import Unseen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future

    from mypy_boto3_cloudwatch import CloudWatchClient

    from relight.inquiry import Inquiry
    from relight.settings import ReadinessSettings

type Series = list[tuple[float, float]]  # (epoch seconds, value), newest first

RECENT_SECONDS = 900
DAY_SECONDS = 86400
SWITCHES = {True: ("HOLD",), False: ("STOP", "GO")}
"""What a Region publishes, by whether it was home at deployment."""


def query(name: str, namespace: str, metric: str, dimensions: Mapping[str, str], period: int, stat: str) -> Any:
    """One query of GetMetricData; `name` begins with a small letter."""
    given = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    found = {"Namespace": namespace, "MetricName": metric, "Dimensions": given}
    return {"Id": name, "MetricStat": {"Metric": found, "Period": period, "Stat": stat}}


def ask(cloudwatch: CloudWatchClient, queries: list[Any], now: float, seconds: int) -> dict[str, Series]:
    """The series of the last `seconds`, by the query's name. Raises what boto3 raises."""
    answer = cloudwatch.get_metric_data(
        MetricDataQueries=queries,
        StartTime=datetime.fromtimestamp(now - seconds, UTC),
        EndTime=datetime.fromtimestamp(now, UTC),
        ScanBy="TimestampDescending",
    )
    return {
        one["Id"]: sorted(
            ((at.timestamp(), value) for at, value in zip(one["Timestamps"], one["Values"], strict=True)), reverse=True
        )
        for one in answer["MetricDataResults"]
    }


def _switch_queries(namespace: str, names: tuple[str, ...]) -> list[Any]:
    return [query(name.lower(), namespace, name, {}, 60, "Maximum") for name in names]


@dataclass(frozen=True)
class Metrics:
    """The figures of both Regions, under way."""

    inquiry: Inquiry
    is_home: bool
    own: Future[dict[str, Series] | Unseen]
    peer: Future[dict[str, Series] | Unseen]

    @classmethod
    def send(cls, inquiry: Inquiry, s: ReadinessSettings, own: Any, peer: Any, now: float) -> Metrics:
        """Ask CloudWatch in both Regions."""
        is_home = s.aws_region == s.home_region
        lag = query("lag", "AWS/RDS", "ReplicaLag", {"DBInstanceIdentifier": s.replica_id}, 60, "Maximum")
        here = [lag, *_switch_queries(s.switch_namespace, SWITCHES[is_home])]
        busy = {"DBInstanceIdentifier": s.peer_database_id}
        there = [
            query("connections", "AWS/RDS", "DatabaseConnections", busy, 3600, "Average"),
            *_switch_queries(s.switch_namespace, SWITCHES[not is_home]),
        ]
        return cls(
            inquiry,
            is_home,
            inquiry.send(lambda: ask(own, here, now, RECENT_SECONDS)),
            inquiry.send(lambda: ask(peer, there, now, DAY_SECONDS)),
        )

    def lag(self) -> Lag | Unseen | None:
        """How far behind CloudWatch calls the replica; None without data."""
        found = self.inquiry.told(self.own)
        if isinstance(found, Unseen):
            return found
        series = found.get("lag", [])
        return Lag(series[0][1], series[0][0]) if series else None

    def switches(self) -> dict[str, tuple[float, float] | None] | Unseen:
        """This Region's switches: newest value, and when; None without data."""
        return self._newest(self.inquiry.told(self.own), SWITCHES[self.is_home])

    def peer_switches(self) -> dict[str, tuple[float, float] | None] | Unseen:
        """The other Region's."""
        return self._newest(self.inquiry.told(self.peer), SWITCHES[not self.is_home])

    def busiest_hour(self) -> int | Unseen | None:
        """The hour of the day (UTC) in which the primary had most connections; None without data."""
        found = self.inquiry.told(self.peer)
        if isinstance(found, Unseen):
            return found
        series = found.get("connections", [])
        return datetime.fromtimestamp(max(series, key=lambda one: one[1])[0], UTC).hour if series else None

    @staticmethod
    def _newest(
        found: dict[str, Series] | Unseen, names: tuple[str, ...]
    ) -> dict[str, tuple[float, float] | None] | Unseen:
        if isinstance(found, Unseen):
            return found
        newest = {name: found.get(name.lower(), []) for name in names}
        return {name: (series[0][1], series[0][0]) if series else None for name, series in newest.items()}
