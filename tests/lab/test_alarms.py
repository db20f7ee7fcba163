"""CloudWatch alarms: the tables of AWS's page on missing data, and the changes that real metrics lead to."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.backends import get_backend

from lab import composite
from lab.alarm import Definition, evaluate, judge
from lab.alarm_rule import RuleRefused, read
from lab.alarms import Alarms
from lab.composite import Suppression
from lab.metric_math import formula
from lab.region import GLOBAL
from lab.timings import LAB

REGION = "eu-central-1"
ACCOUNT = "123456789012"
FAST = replace(LAB, minute=0.6)
LETTER = {"-": None, "0": False, "X": True}
SHORT = {"OK": "OK", "ALARM": "ALARM", "?": "INSUFFICIENT_DATA", "same": "same"}


LAG = ("Relight", "Lag", frozenset[tuple[str, str]]())


def definition(statistic: str = "Average", **changed: Any) -> Definition:
    alone = formula("m", ["m"])
    basic = Definition({"m": (LAG, statistic)}, alone, 60.0, 1, 1, 5.0, "GreaterThanOrEqualToThreshold", "missing")
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
        ("p99", "GreaterThanThreshold", [1.0] * 98 + [9.0, 9.0], "ALARM"),
        ("p99", "GreaterThanThreshold", [1.0] * 99 + [9.0], "OK"),
        ("p50", "LessThanThreshold", [1.0, 4.0, 9.0], "ALARM"),
    ],
)
def test_each_statistic_and_comparison(statistic: str, comparison: str, values: list[float], state: str) -> None:
    points = [(605.0, value) for value in values]
    assert evaluate(definition(statistic=statistic, comparison=comparison), {LAG: points}, 610.0, "OK") == state


def test_the_running_period_counts_once_it_has_a_point() -> None:
    two = definition(periods=2, needed=2)
    assert evaluate(two, {LAG: [(550.0, 9.0)]}, 610.0, "OK") == "OK"
    assert evaluate(two, {LAG: [(490.0, 9.0), (550.0, 9.0)]}, 610.0, "OK") == "ALARM"
    assert evaluate(two, {LAG: [(490.0, 9.0), (550.0, 9.0), (605.0, 1.0)]}, 610.0, "ALARM") == "OK"


# Metric math


@pytest.mark.parametrize(
    ("expression", "values", "result"),
    [
        ("a", [3, 1], 3),
        ("a - b", [3, 1], 2),
        ("100 * a / (a + b)", [3, 1], 75),
        ("a - b", [3, None], None),
        ("a / b", [3, 0], None),
        ("SUM(METRICS())", [3, 1], 4),
        ("SUM(METRICS())", [None, 1], 1),
        ("SUM(METRICS())", [None, None], None),
        ("MAX([a, b])", [3, 1], 3),
        ("MIN([a, b]) + 1", [3, 1], 2),
    ],
)
def test_metric_math(expression: str, values: list[float | None], result: float | None) -> None:
    assert formula(expression, ["a", "b"])(dict(zip("ab", values, strict=True))) == result


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("FILL(a, 0)", "FILL"),
        ("a - c", "no c in"),
        ("SUM(a)", "not a"),
        ("a >", "cannot read"),
        ("a ** 2", "a \\*\\* 2"),
        ("ANOMALY_DETECTION_BAND(a, 2)", "ANOMALY_DETECTION_BAND"),
    ],
)
def test_metric_math_that_is_not_imitated_is_refused_by_name(expression: str, said: str) -> None:
    with pytest.raises(KeyError, match=said):
        formula(expression, ["a", "b"])


def test_periods_of_several_metrics_are_computed_one_by_one() -> None:
    wanted, there = (("Groups", name, frozenset[tuple[str, str]]()) for name in ("Wanted", "There"))
    missing = definition(
        operands={"wanted": (wanted, "Maximum"), "there": (there, "Minimum")},
        formula=formula("wanted - there", ["wanted", "there"]),
        threshold=1.0,
        periods=2,
        needed=2,
    )
    points = {wanted: [(490.0, 2.0), (550.0, 2.0)], there: [(490.0, 2.0), (500.0, 1.0), (550.0, 1.0)]}
    assert evaluate(missing, points, 610.0, "OK") == "ALARM"
    assert evaluate(missing, points | {there: [(490.0, 2.0), (550.0, 1.0)]}, 610.0, "ALARM") == "OK"
    assert evaluate(missing, points | {there: []}, 610.0, "OK") == "INSUFFICIENT_DATA"


# Composite alarms


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ('ALARM("up")', False),
        ("ALARM(down)", True),
        ('OK("up") AND ALARM("down")', True),
        ('NOT OK("up") OR INSUFFICIENT_DATA("new")', True),
        ('ALARM("up") OR OK("up") AND NOT (ALARM("down") OR ALARM("new"))', False),
        ('(ALARM("down") OR OK("up")) AND NOT ALARM("up")', True),
        ("ALARM(arn:aws:cloudwatch:eu-west-1:123456789012:alarm:down)", True),
        ("TRUE", True),
        ("NOT NOT FALSE", False),
    ],
)
def test_a_rule_holds_by_the_states_of_others(rule: str, holds: bool) -> None:
    states = {"up": "OK", "down": "ALARM", "new": "INSUFFICIENT_DATA"}
    assert read(rule).holds(states.get) is holds


@pytest.mark.parametrize(
    "rule", ["", "ALARM", "ALARM(", "ALARM(a", "BROKEN(a)", "ALARM(a) OK(b)", "ALARM(a) AND", "(OK(a)", 'OK("a)']
)
def test_what_is_no_rule_is_refused(rule: str) -> None:
    with pytest.raises(RuleRefused, match=r"rule|state"):
        read(rule)


def told(suppression: Suppression, *looks: tuple[float, str, bool]) -> list[tuple[float, str]]:
    """When actions were taken, and of which state: each look is a time, the alarm's state, and the suppressor's."""
    found = [(now, suppression.due(now, state, suppressed=suppressed)) for now, state, suppressed in looks]
    return [(now, state) for now, state in found if state]


def test_a_change_waits_for_the_suppressor() -> None:
    looks = [(0, "OK", False), (9, "OK", False), (10, "ALARM", False), (14, "ALARM", False), (15, "ALARM", False)]
    assert told(Suppression(wait=5), *looks) == [(9, "OK"), (15, "ALARM")]


def test_what_happens_while_the_suppressor_is_in_alarm_is_not_acted_on() -> None:
    looks = [(0, "OK", False), (10, "ALARM", False), (13, "ALARM", True), (30, "OK", True), (40, "OK", False)]
    later = [(50, "OK", False), (60, "ALARM", False), (66, "ALARM", False)]
    assert told(Suppression(wait=5, extension=9), *looks, *later) == [(50, "OK"), (66, "ALARM")]


def test_what_still_stands_when_the_extension_is_over_is_acted_on() -> None:
    looks = [(0, "OK", True), (1, "ALARM", True), (20, "ALARM", False), (28, "ALARM", False), (29, "ALARM", False)]
    assert told(Suppression(wait=5, extension=9), *looks) == [(29, "ALARM")]


def test_a_state_is_acted_on_once() -> None:
    assert told(Suppression(), (0, "ALARM", False), (1, "ALARM", False), (2, "OK", False)) == [(0, "ALARM"), (2, "OK")]


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
    without_composites = composite.install()
    with mock_aws():
        made = Stage()
        made.alarms.start()
        yield made
        made.alarms.stop()
    without_composites()


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


def test_changes_of_a_state_are_remembered(stage: Stage) -> None:
    stage.define(TreatMissingData="notBreaching")
    stage.until(lambda: stage.alarms.state(REGION, "lag") == "OK")
    stage.client.set_alarm_state(AlarmName="lag", StateValue="ALARM", StateReason="a test")
    found = stage.client.describe_alarm_history(AlarmName="lag", ScanBy="TimestampAscending")["AlarmHistoryItems"]
    states = [json.loads(each["HistoryData"]) for each in found]
    changes = [(each["oldState"]["stateValue"], each["newState"]["stateValue"]) for each in states]
    assert changes[:2] == [("INSUFFICIENT_DATA", "OK"), ("OK", "ALARM")]
    later = {"AlarmName": "lag", "StartDate": found[1]["Timestamp"], "MaxRecords": 1, "ScanBy": "TimestampAscending"}
    assert stage.client.describe_alarm_history(**later)["AlarmHistoryItems"] == [found[1]]
    assert stage.client.describe_alarm_history(AlarmName="none")["AlarmHistoryItems"] == []


@pytest.mark.parametrize("actions", [{"ActionsEnabled": False}, {"AlarmActions": ["arn:aws:sns:x:1:none"]}])
def test_an_alarm_changes_without_its_actions_too(stage: Stage, actions: dict[str, Any]) -> None:
    stage.define(**actions)
    stage.lag(9)
    stage.until(lambda: stage.shown() == "ALARM")
    assert stage.sent() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Statistic": "", "ExtendedStatistic": "pr5"}, "lag: the lab has no statistic pr5"),
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "lag: the lab judges no GreaterThanUpperThreshold"),
        ({"EvaluateLowSampleCountPercentile": "ignore"}, "does not count the samples"),
    ],
)
def test_what_is_not_imitated_is_refused_when_it_is_put(stage: Stage, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ClientError, match=said):
        stage.define(**change)
    assert stage.client.describe_alarms(AlarmNames=["lag"])["MetricAlarms"] == []


def test_a_percentile_is_judged(stage: Stage) -> None:
    stage.define(ExtendedStatistic="p99", Statistic="")
    stage.lag(9)
    stage.until(lambda: stage.shown() == "ALARM")


def query(name: str, metric: str, *, shown: bool = False) -> dict[str, Any]:
    dimensions = [{"Name": "service", "Value": "shop"}]
    stat = {"Metric": {"Namespace": "Relight", "MetricName": metric, "Dimensions": dimensions}}
    return {"Id": name, "MetricStat": stat | {"Period": 60, "Stat": "Sum"}, "ReturnData": shown}


def put_sum(stage: Stage, expression: str = "SUM(METRICS())") -> None:
    stage.client.put_metric_alarm(
        AlarmName="sum",
        Metrics=[query("a", "Lag"), query("b", "Errors"), {"Id": "all", "Expression": expression}],
        EvaluationPeriods=1,
        Threshold=5,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )


def test_an_alarm_on_metric_math_follows_all_its_metrics(stage: Stage) -> None:
    put_sum(stage)
    stage.lag(3)
    stage.until(lambda: stage.shown("sum") == "OK")
    for _ in range(2):  # whichever period they fall into, one has enough
        stage.lag(3)
        stage.alarms.put(REGION, "Relight", "Errors", 2, {"service": "shop"})
    stage.until(lambda: stage.shown("sum") == "ALARM")
    metrics = stage.events[-1]["detail"]["configuration"]["metrics"]
    assert [metric["id"] for metric in metrics] == ["a", "b", "all"]
    assert metrics[0]["metricStat"]["stat"] == "Sum"
    assert metrics[2] == {"id": "all", "expression": "SUM(METRICS())", "returnData": True}


def test_metric_math_that_is_not_imitated_is_refused_when_it_is_put(stage: Stage) -> None:
    with pytest.raises(ClientError, match=r"sum: the lab computes no RATE\(a\)"):
        put_sum(stage, "RATE(a)")


def put_composite(stage: Stage, **changed: Any) -> None:
    basic = {
        "AlarmName": "attention",
        "AlarmRule": 'ALARM("lag") OR ALARM("sum")',
        "AlarmActions": [stage.topic],
        "OKActions": [stage.topic],
    }
    stage.client.put_composite_alarm(**basic | changed)


def test_a_composite_alarm_follows_its_rule_and_acts(stage: Stage) -> None:
    stage.define(AlarmActions=[])
    put_sum(stage)
    put_composite(stage)
    stage.lag(1)
    stage.until(lambda: stage.sent() == ["OK: attention"])
    stage.lag(9)
    stage.until(lambda: stage.sent()[1:] == ["ALARM: attention"])
    (shown,) = stage.client.describe_alarms(AlarmTypes=["CompositeAlarm"], AlarmNames=["attention"])["CompositeAlarms"]
    assert (shown["StateValue"], shown["AlarmRule"]) == ("ALARM", 'ALARM("lag") OR ALARM("sum")')
    assert stage.alarms.state(REGION, "attention") == "ALARM"
    event = next(event for event in stage.events if event["detail"]["alarmName"] == "attention")
    assert event["detail"]["configuration"]["alarmRule"] == shown["AlarmRule"]


def test_a_composite_alarm_is_silent_while_its_suppressor_is_in_alarm(stage: Stage) -> None:
    stage.define(AlarmActions=[], TreatMissingData="ignore")
    stage.define("maintenance", MetricName="Maintenance", AlarmActions=[], TreatMissingData="ignore")
    stage.alarms.put(REGION, "Relight", "Maintenance", 9, {"service": "shop"})
    stage.until(lambda: stage.shown("maintenance") == "ALARM")
    suppressor = {"ActionsSuppressor": "maintenance", "ActionsSuppressorWaitPeriod": 60}
    put_composite(stage, AlarmRule="ALARM(lag)", **suppressor, ActionsSuppressorExtensionPeriod=60)
    stage.lag(9)
    stage.until(lambda: (REGION, "attention", "ALARM") in stage.told)
    ended = time.monotonic()
    assert stage.sent() == []

    def over() -> bool:
        stage.alarms.put(REGION, "Relight", "Maintenance", 1, {"service": "shop"})
        return stage.shown("maintenance") == "OK"

    stage.until(over)
    stage.until(lambda: stage.sent() == ["ALARM: attention"])
    assert time.monotonic() - ended > FAST.minute * 0.9, "the extension was not waited for"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"AlarmRule": "ALARM(gone)"}, "names gone, which is no other alarm"),
        ({"AlarmRule": "ALARM(attention)"}, "names attention, which is no other alarm"),
        ({"AlarmRule": "BROKEN(lag)"}, "'BROKEN' is no state of an alarm"),
        ({"ActionsSuppressor": "lag"}, "a suppressor needs a wait period"),
        ({"ActionsSuppressorWaitPeriod": 60}, "a suppressor needs a wait period"),
    ],
)
def test_a_composite_alarm_that_cannot_work_is_refused(stage: Stage, change: dict[str, Any], said: str) -> None:
    stage.define()
    with pytest.raises(ClientError, match=said):
        put_composite(stage, **{"AlarmRule": "ALARM(lag)"} | change)


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
