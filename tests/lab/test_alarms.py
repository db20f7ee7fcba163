"""CloudWatch alarms: the tables of AWS's page on missing data, and the changes that real metrics lead to."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.backends import get_backend

from lab.alarm import Definition, evaluate, judge
from lab.alarms import Alarms
from lab.region import GLOBAL
from lab.timings import LAB

REGION = "eu-central-1"
ACCOUNT = "123456789012"
FAST = replace(LAB, minute=0.6)
LETTER = {"-": None, "0": False, "X": True}
SHORT = {"OK": "OK", "ALARM": "ALARM", "?": "INSUFFICIENT_DATA", "same": "same"}


def definition(**changed: Any) -> Definition:
    metric = ("Relight", "Lag", frozenset[tuple[str, str]]())
    basic = Definition(metric, "Average", 60.0, 1, 1, 5.0, "GreaterThanOrEqualToThreshold", "missing")
    return replace(basic, **changed)


# From the page "Configuring how CloudWatch alarms treat missing data": three of three, then two of three.
@pytest.mark.parametrize("treatment", ["missing", "ignore", "breaching", "notBreaching"])
@pytest.mark.parametrize(
    ("needed", "seen", "missing", "ignore", "breaching", "not_breaching"),
    [
        (3, "0 - X - X", "OK", "OK", "OK", "OK"),
        (3, "0 - - - -", "OK", "OK", "OK", "OK"),
        (3, "- - - - -", "?", "same", "ALARM", "OK"),
        (3, "0 X X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
        (3, "- - X - -", "ALARM", "same", "ALARM", "OK"),
        (2, "0 - X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
        (2, "0 0 X 0 X", "ALARM", "ALARM", "ALARM", "ALARM"),
        (2, "0 - X - -", "OK", "OK", "ALARM", "OK"),
        (2, "- - - - 0", "OK", "OK", "ALARM", "OK"),
        (2, "- - - X -", "ALARM", "same", "ALARM", "OK"),
    ],
)
def test_missing_data_is_treated_as_awss_tables_say(
    treatment: str, needed: int, seen: str, missing: str, ignore: str, breaching: str, not_breaching: str
) -> None:
    expected = {"missing": missing, "ignore": ignore, "breaching": breaching, "notBreaching": not_breaching}[treatment]
    found = judge(definition(periods=3, needed=needed, missing=treatment), [LETTER[c] for c in seen.split()], "same")
    assert found == SHORT[expected]


def test_one_new_breaching_point_after_a_gap_is_no_alarm_yet() -> None:
    assert judge(definition(periods=3, needed=3), [None, None, None, None, True], "OK") == "OK"


@pytest.mark.parametrize(
    ("statistic", "comparison", "values", "state"),
    [
        ("Average", "GreaterThanOrEqualToThreshold", [4, 6], "ALARM"),
        ("Average", "GreaterThanThreshold", [4, 6], "OK"),
        ("Maximum", "GreaterThanThreshold", [4, 6], "ALARM"),
        ("Minimum", "LessThanThreshold", [4, 6], "ALARM"),
        ("Sum", "GreaterThanThreshold", [3, 3], "ALARM"),
        ("SampleCount", "LessThanOrEqualToThreshold", [9, 9, 9, 9, 9], "ALARM"),
        ("SampleCount", "LessThanThreshold", [9, 9, 9, 9, 9], "OK"),
    ],
)
def test_each_statistic_and_comparison(statistic: str, comparison: str, values: list[float], state: str) -> None:
    points = [(605.0, value) for value in values]
    assert evaluate(definition(statistic=statistic, comparison=comparison), points, 610.0, "OK") == state


def test_the_running_period_counts_once_it_has_a_point() -> None:
    two = definition(periods=2, needed=2)
    assert evaluate(two, [(550.0, 9.0)], 610.0, "OK") == "OK"
    assert evaluate(two, [(490.0, 9.0), (550.0, 9.0)], 610.0, "OK") == "ALARM"
    assert evaluate(two, [(490.0, 9.0), (550.0, 9.0), (605.0, 1.0)], 610.0, "ALARM") == "OK"


@pytest.mark.parametrize("change", [{"statistic": None}, {"comparison_operator": "GreaterThanUpperThreshold"}])
def test_what_is_not_imitated_is_refused(change: dict[str, Any]) -> None:
    alarm = SimpleNamespace(
        name="odd",
        namespace="n",
        metric_name="m",
        dimensions=[],
        statistic="Sum",
        period=60,
        evaluation_periods=1,
        datapoints_to_alarm=None,
        threshold=1,
        comparison_operator="LessThanThreshold",
        treat_missing_data=None,
    )
    with pytest.raises(KeyError, match="odd"):
        Definition.of(SimpleNamespace(**vars(alarm) | change), 60.0)


# With moto, a clock and threads


class Stage:
    """Alarms that run, and what they told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []
        self.events: list[dict[str, Any]] = []
        self.alarms = Alarms(FAST, self._hear)
        self.client: Any = boto3.client("cloudwatch", region_name=REGION)
        self.topic = boto3.client("sns", region_name=REGION).create_topic(Name="people")["TopicArn"]

    def _hear(self, region: str, event: dict[str, Any]) -> None:
        self.events.append(event)
        self.told.append((region, event["detail"]["alarmName"], event["detail"]["state"]["value"]))

    def define(self, name: str = "lag", **changed: Any) -> None:
        basic = {
            "AlarmName": name,
            "Namespace": "Relight",
            "MetricName": "Lag",
            "Dimensions": [{"Name": "service", "Value": "shop"}],
            "Statistic": "Maximum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 5,
            "ComparisonOperator": "GreaterThanThreshold",
            "AlarmActions": [self.topic],
        }
        self.client.put_metric_alarm(**basic | changed)

    def lag(self, value: float) -> None:
        self.alarms.put(REGION, "Relight", "Lag", value, {"service": "shop"})

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not holds():
            assert time.monotonic() < deadline, self.told
            time.sleep(0.01)

    def sent(self) -> list[str]:
        topic = get_backend("sns")[ACCOUNT][REGION].topics[self.topic]
        return [subject for _, _, subject, *_ in topic.sent_notifications]

    def shown(self, name: str = "lag") -> str:
        return str(self.client.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"])


@pytest.fixture
def stage() -> Iterator[Stage]:
    with mock_aws():
        made = Stage()
        made.alarms.start()
        yield made
        made.alarms.stop()


def test_an_alarm_begins_without_data_and_follows_its_metric(stage: Stage) -> None:
    stage.define()
    stage.until(lambda: stage.alarms.state(REGION, "lag") == "INSUFFICIENT_DATA")
    assert stage.shown() == "INSUFFICIENT_DATA"
    stage.lag(1)
    stage.until(lambda: stage.told == [(REGION, "lag", "OK")])
    stage.lag(9)
    stage.until(lambda: stage.told[1:2] == [(REGION, "lag", "ALARM")])
    assert stage.shown() == "ALARM"
    assert stage.sent() == ["ALARM: lag"]


def test_the_event_has_the_shape_of_awss(stage: Stage) -> None:
    stage.define()
    stage.lag(9)
    stage.until(lambda: len(stage.events) == 1)
    event = stage.events[0]
    assert (event["source"], event["detail-type"]) == ("aws.cloudwatch", "CloudWatch Alarm State Change")
    assert event["resources"] == [f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:lag"]
    assert event["detail"]["previousState"]["value"] == "INSUFFICIENT_DATA"
    assert event["detail"]["state"].keys() == {"value", "reason", "timestamp"}
    metric = event["detail"]["configuration"]["metrics"][0]["metricStat"]["metric"]
    assert metric == {"namespace": "Relight", "name": "Lag", "dimensions": {"service": "shop"}}


def test_a_threshold_that_is_changed_is_used(stage: Stage) -> None:
    stage.define(TreatMissingData="ignore")
    stage.lag(4)
    stage.until(lambda: stage.shown() == "OK")
    stage.define(TreatMissingData="ignore", Threshold=3)
    stage.lag(4)
    stage.until(lambda: stage.shown() == "ALARM")
    assert [state for *_, state in stage.told] == ["OK", "ALARM"]


def test_only_the_same_dimensions_count(stage: Stage) -> None:
    stage.define()
    stage.alarms.put(REGION, "Relight", "Lag", 9, {"service": "other"})
    stage.alarms.put(REGION, "Relight", "Lag", 9, {})
    stage.lag(1)
    stage.until(lambda: stage.shown() == "OK")


@pytest.mark.parametrize(
    "datum",
    [
        {"Value": 9.0},
        {"Values": [1.0, 9.0], "Counts": [5.0, 1.0]},
        {"StatisticValues": {"SampleCount": 4, "Sum": 12, "Minimum": 1, "Maximum": 9}},
    ],
)
def test_whatever_put_metric_data_takes_counts(stage: Stage, datum: dict[str, Any]) -> None:
    stage.define()
    dimensions = [{"Name": "service", "Value": "shop"}]
    stage.client.put_metric_data(
        Namespace="Relight", MetricData=[{"MetricName": "Lag", "Dimensions": dimensions, **datum}]
    )
    stage.until(lambda: stage.shown() == "ALARM")


def test_an_embedded_document_becomes_metrics(stage: Stage) -> None:
    stage.define()
    directive = {"Namespace": "Relight", "Dimensions": [["service"]], "Metrics": [{"Name": "Lag", "Unit": "Seconds"}]}
    about = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
    stage.alarms.put_embedded(REGION, {"_aws": about, "service": "shop", "Lag": [2.0, 9.0]})
    stage.until(lambda: stage.shown() == "ALARM")


def test_setting_a_state_is_told_lasts_until_the_next_look_and_is_not_seen_by_route_53(stage: Stage) -> None:
    stage.define(TreatMissingData="notBreaching")
    stage.until(lambda: stage.alarms.state(REGION, "lag") == "OK")
    stage.client.set_alarm_state(AlarmName="lag", StateValue="ALARM", StateReason="a test")
    assert (REGION, "lag", "ALARM") in stage.told
    assert stage.alarms.state(REGION, "lag") == "OK"
    stage.until(lambda: stage.told[-1] == (REGION, "lag", "OK"))


@pytest.mark.parametrize("actions", [{"ActionsEnabled": False}, {"AlarmActions": ["arn:aws:sns:x:1:none"]}])
def test_an_alarm_changes_without_its_actions_too(stage: Stage, actions: dict[str, Any]) -> None:
    stage.define(**actions)
    stage.lag(9)
    stage.until(lambda: stage.shown() == "ALARM")
    assert stage.sent() == []


def test_an_alarm_that_cannot_be_judged_does_not_keep_the_others_from_it(stage: Stage) -> None:
    stage.define("percentile", ExtendedStatistic="p99", Statistic="")
    stage.define()
    stage.lag(9)
    stage.until(lambda: stage.shown() == "ALARM")
    assert stage.alarms.state(REGION, "percentile") is None


def test_messages_in_a_queue_are_a_metric(stage: Stage) -> None:
    sqs: Any = boto3.client("sqs", region_name=REGION)
    queue = sqs.create_queue(QueueName="dead")["QueueUrl"]
    stage.define(
        Namespace="AWS/SQS",
        MetricName="ApproximateNumberOfMessagesVisible",
        Dimensions=[{"Name": "QueueName", "Value": "dead"}],
        Threshold=0,
    )
    stage.until(lambda: stage.shown() == "OK")
    sqs.send_message(QueueUrl=queue, MessageBody="lost")
    stage.until(lambda: stage.shown() == "ALARM")


def test_a_lost_region_is_judged_no_more_and_us_east_1_is(stage: Stage) -> None:
    stage.define()
    stage.lag(1)
    stage.until(lambda: stage.shown() == "OK")
    stage.alarms.lose(REGION)
    stage.lag(9)
    boto3.client("cloudwatch", region_name=GLOBAL).put_metric_alarm(
        AlarmName="status",
        Namespace="AWS/Route53",
        MetricName="HealthCheckStatus",
        Statistic="Minimum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="LessThanThreshold",
    )
    stage.alarms.put(GLOBAL, "AWS/Route53", "HealthCheckStatus", 0.0, {})
    stage.until(lambda: stage.told[-1] == (GLOBAL, "status", "ALARM"))
    assert stage.shown() == "OK"
