"""GetMetricData in the lab: periods, statistics, the window and its order."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from lab.alarms import Alarms
from lab.metric_data import Query
from lab.timings import LAB

REGION = "eu-central-1"
METRIC = {"Namespace": "AWS/RDS", "MetricName": "ReplicaLag"}
REPLICA = [{"Name": "DBInstanceIdentifier", "Value": "shop-dr"}]


def query(statistic: str = "Maximum", **metric: Any) -> dict[str, Any]:
    stat = {"Metric": METRIC | {"Dimensions": REPLICA} | metric, "Period": 60, "Stat": statistic}
    return {"Id": "lag", "MetricStat": stat}


@pytest.mark.parametrize(
    ("statistic", "values"),
    [("Maximum", [4.0, 2.0, -1.0]), ("Minimum", [1.0, 2.0, -1.0]), ("SampleCount", [2.0, 1.0, 1.0])],
)
def test_periods_are_aligned_to_the_clock_and_those_without_data_are_left_out(
    statistic: str, values: list[float]
) -> None:
    asked = Query.of(query(statistic), 60)
    points = {asked.key: [(59.9, 9.0), (60.0, 1.0), (119.9, 4.0), (130.0, 2.0), (250.0, -1.0), (300.0, 9.0)]}
    found = asked.series(points, 100.0, 300.0)
    assert [value for _, value in found] == values
    assert [at for at, _ in found] == [60.0, 120.0, 240.0]


def test_a_minute_is_as_long_as_the_labs() -> None:
    asked = Query.of(query(), 3.0)
    assert asked.series({asked.key: [(3.0, 1.0), (5.9, 2.0), (6.0, 3.0)]}, 0.0, 9.0) == [(3.0, 2.0), (6.0, 3.0)]


# Through the API


@pytest.fixture(params=[60.0, 6.0], ids=["real minutes", "a tenth"])
def minute(request: pytest.FixtureRequest) -> float:
    return float(request.param)


@pytest.fixture
def cloudwatch(minute: float) -> Iterator[Any]:
    with mock_aws():
        alarms = Alarms(replace(LAB, minute=minute), lambda *_: None)
        alarms.start()
        yield boto3.client("cloudwatch", region_name=REGION)
        alarms.stop()


@pytest.fixture
def put(cloudwatch: Any, minute: float) -> Callable[..., datetime]:
    """Publishes a value as so many minutes old; when it was."""

    def publish(value: float, minutes: float, dimensions: Any = REPLICA) -> datetime:
        at = datetime.now(UTC) - timedelta(seconds=minutes * minute)
        data = {"MetricName": "ReplicaLag", "Value": value, "Dimensions": dimensions, "Timestamp": at}
        cloudwatch.put_metric_data(Namespace="AWS/RDS", MetricData=[data])
        return at

    return publish


def asked(cloudwatch: Any, *queries: Any, **more: Any) -> list[tuple[datetime, float]]:
    now = datetime.now(UTC)
    answer = cloudwatch.get_metric_data(
        MetricDataQueries=list(queries) or [query()], StartTime=now - timedelta(minutes=5), EndTime=now, **more
    )
    (result,) = answer["MetricDataResults"]
    assert (result["Id"], result["StatusCode"]) == ("lag", "Complete")
    return list(zip(result["Timestamps"], result["Values"], strict=True))


@pytest.mark.parametrize("order", [{}, {"ScanBy": "TimestampDescending"}])
def test_the_last_five_minutes_come_newest_first(
    cloudwatch: Any, put: Callable[..., datetime], minute: float, order: Any
) -> None:
    for value, minutes in ((30.0, 20), (3.0, 3), (2.0, 2), (-1.0, 1)):
        newest = put(value, minutes)
    put(99.0, 1, dimensions=[{"Name": "DBInstanceIdentifier", "Value": "other"}])
    found = asked(cloudwatch, **order)
    assert [value for _, value in found] == [-1.0, 2.0, 3.0]
    assert timedelta(seconds=-1) < newest - found[0][0] < timedelta(seconds=minute)


def test_oldest_first_is_had_for_the_asking(cloudwatch: Any, put: Callable[..., datetime]) -> None:
    put(1.0, 3)
    put(2.0, 1)
    assert [value for _, value in asked(cloudwatch, ScanBy="TimestampAscending")] == [1.0, 2.0]


def test_an_empty_window_has_no_values(cloudwatch: Any, put: Callable[..., datetime]) -> None:
    put(1.0, 9)
    assert asked(cloudwatch) == []
    assert asked(cloudwatch, query(MetricName="Unknown")) == []


def test_what_is_not_imitated_is_refused(cloudwatch: Any) -> None:
    with pytest.raises(ClientError, match="no metric math"):
        asked(cloudwatch, {"Id": "lag", "Expression": "SUM(METRICS())"})
    with pytest.raises(ClientError, match="no statistic TM"):
        asked(cloudwatch, query("TM(10%:90%)"))
    now = datetime.now(UTC)
    with pytest.raises(ClientError, match="EndTime must be greater"):
        cloudwatch.get_metric_data(MetricDataQueries=[query()], StartTime=now, EndTime=now)
