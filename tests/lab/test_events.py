"""EventBridge and its Scheduler: from what stacks make in moto down to the target that is called."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.backends import get_backend

from lab.alarms import Alarms
from lab.events import Events
from lab.health_event import HealthEvent
from lab.network import Network, Path
from lab.region import Side
from lab.target_input import moment, target_input
from lab.timings import LAB
from lab.workflow import Workflows

DR, PRIMARY, GLOBAL = "eu-central-1", "eu-west-1", "us-east-1"
ACCOUNT = "123456789012"
FUNCTION = f"arn:aws:lambda:{DR}:{ACCOUNT}:function:probe"
DR_BUS = {"Arn": f"arn:aws:events:{DR}:{ACCOUNT}:event-bus/default", "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/forward"}
MACHINE = f"arn:aws:states:{DR}:{ACCOUNT}:stateMachine:failover"
ALARM = {
    "source": "aws.cloudwatch",
    "detail-type": "CloudWatch Alarm State Change",
    "detail": {"alarmName": "down", "state": {"value": "ALARM", "reason": 'it said "no"'}, "n": [1, 2]},
}
PATTERN = {"source": ["aws.cloudwatch"], "detail": {"alarmName": ["down"], "state": {"value": ["ALARM"]}}}


class Stage:
    """Rules and schedules that run, and what they called."""

    def __init__(self) -> None:
        self.called: list[tuple[str, str, Any]] = []
        self.failing: set[str] = set()
        self.network = Network()
        self.events = Events(replace(LAB, minute=0.3, event_delay=0.01), self.network, self._call, self._call)

    def _call(self, region: str, name: str, payload: Any) -> None:
        self.called.append((region, name, payload))
        if name in self.failing:
            raise ConnectionRefusedError(name)

    def rule(self, *targets: Any, region: str = DR, state: str = "ENABLED", pattern: Any = PATTERN) -> None:
        client: Any = boto3.client("events", region_name=region)
        client.put_rule(Name="down", EventPattern=json.dumps(pattern), State=state)
        numbered = [{"Id": str(number)} | target for number, target in enumerate(targets)]
        client.put_targets(Rule="down", Targets=numbered)

    def schedule(
        self, arn: str = FUNCTION, *, region: str = DR, state: str = "ENABLED", name: str = "each", **more: Any
    ) -> None:
        client: Any = boto3.client("scheduler", region_name=region)
        client.create_schedule(
            Name=name,
            ScheduleExpression=more.pop("expression", "rate(1 minute)"),
            FlexibleTimeWindow={"Mode": "OFF"},
            State=state,
            Target={"Arn": arn, "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/r", **more},
        )

    def names(self) -> list[str]:
        return [name for _, name, _ in self.called]

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not holds():
            assert time.monotonic() < deadline, self.called
            time.sleep(0.01)

    def settle(self) -> None:
        """Wait until an event that was emitted now has been delivered."""
        self.rule(
            {"Arn": f"arn:aws:lambda:{GLOBAL}:{ACCOUNT}:function:last"}, region=GLOBAL, pattern={"source": ["last"]}
        )
        self.events.emit(GLOBAL, {"source": "last", "detail-type": "", "detail": {}})
        self.until(lambda: self.names()[-1:] == ["last"])
        self.called.pop()


@pytest.fixture
def stage() -> Iterator[Stage]:
    with mock_aws():
        made = Stage()
        made.events.install()
        made.events.start()
        yield made
        made.events.stop()


# Rules


def test_an_event_reaches_the_targets_of_the_rules_that_match(stage: Stage) -> None:
    stage.rule({"Arn": FUNCTION}, {"Arn": f"{FUNCTION}:live"}, {"Arn": MACHINE})
    stage.events.emit(DR, ALARM)
    stage.until(lambda: len(stage.called) == 3)
    assert sorted(stage.names()) == sorted(["probe", "probe", MACHINE])
    event = stage.called[0][2]
    assert event["detail"] == ALARM["detail"]
    assert event.keys() == {
        "version",
        "id",
        "detail-type",
        "source",
        "account",
        "time",
        "region",
        "resources",
        "detail",
    }


@pytest.mark.parametrize(
    ("state", "event"),
    [
        ("DISABLED", ALARM),
        ("ENABLED", ALARM | {"detail": {"alarmName": "down", "state": {"value": "OK"}}}),
        ("ENABLED", ALARM | {"source": "else"}),
    ],
)
def test_a_disabled_rule_and_one_that_does_not_match_do_nothing(stage: Stage, state: str, event: Any) -> None:
    stage.rule({"Arn": FUNCTION}, state=state)
    stage.events.emit(DR, event)
    stage.settle()
    assert stage.called == []


def test_a_rule_of_another_region_does_not_see_it(stage: Stage) -> None:
    stage.rule({"Arn": FUNCTION})
    stage.events.emit(PRIMARY, ALARM)
    stage.settle()
    assert stage.called == []


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ({"account": [ACCOUNT], "region": [DR]}, True),
        ({"account": ["210987654321"]}, False),
        ({"region": [PRIMARY]}, False),
        ({"region": [{"anything-but": [PRIMARY]}]}, True),
    ],
)
def test_account_and_region_are_matched(stage: Stage, pattern: dict[str, Any], matches: bool) -> None:
    stage.rule({"Arn": FUNCTION}, pattern=PATTERN | pattern)
    stage.events.emit(DR, ALARM)
    stage.settle()
    assert bool(stage.called) is matches


def test_an_event_may_be_old_and_may_come_twice(stage: Stage) -> None:
    stage.rule({"Arn": MACHINE})
    old = datetime.now(UTC) - timedelta(minutes=6)
    for _ in range(2):
        stage.events.emit(DR, ALARM | {"id": "the same", "time": old})
    stage.until(lambda: len(stage.called) == 2)
    assert {(event["id"], event["time"]) for _, _, event in stage.called} == {("the same", moment(old))}


def test_a_state_machine_is_started_with_the_whole_event() -> None:
    with mock_aws():
        workflows = Workflows(lambda *_: (None, None))
        workflows.install()
        events = Events(replace(LAB, event_delay=0.01), Network(), lambda *_: None, workflows.start)
        events.start()
        try:
            answer = {"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}
            states: Any = boto3.client("stepfunctions", region_name=DR)
            machine = states.create_state_machine(
                name="failover", definition=json.dumps(answer), roleArn=f"arn:aws:iam::{ACCOUNT}:role/r"
            )["stateMachineArn"]
            client: Any = boto3.client("events", region_name=DR)
            client.put_rule(Name="down", EventPattern=json.dumps(PATTERN))
            client.put_targets(Rule="down", Targets=[{"Id": "1", "Arn": machine}])
            sent = events.emit(DR, ALARM)
            deadline = time.monotonic() + 10
            while not (ended := [run for run in workflows.executions(DR) if run.status == "SUCCEEDED"]):
                assert time.monotonic() < deadline
                time.sleep(0.01)
        finally:
            events.stop()
            workflows.uninstall()
    event = json.loads(ended[0].output or "")
    assert (event["id"], event["source"], event["account"], event["region"]) == (sent, "aws.cloudwatch", ACCOUNT, DR)
    assert event["detail"] == ALARM["detail"]


def test_nobody_puts_events_in_the_name_of_aws(stage: Stage) -> None:
    stage.rule({"Arn": FUNCTION}, pattern={"source": [{"prefix": ""}]})
    client: Any = boto3.client("events", region_name=DR)
    forged = {"Source": "aws.cloudwatch", "DetailType": ALARM["detail-type"], "Detail": json.dumps(ALARM["detail"])}
    answer = client.put_events(Entries=[forged, forged | {"Source": "relight"}])
    assert [entry.get("ErrorCode") for entry in answer["Entries"]] == ["NotAuthorizedForSourceException", None]
    stage.until(lambda: len(stage.called) == 1)
    assert stage.called[0][2]["source"] == "relight"


# AWS Health


def health(**more: Any) -> HealthEvent:
    started = datetime(2026, 3, 1, 5, 1, 10, tzinfo=UTC)
    return HealthEvent(PRIMARY, "RDS", "AWS_RDS_OPERATIONAL_ISSUE", started, **more)


def test_an_event_of_aws_health_reaches_a_function(stage: Stage) -> None:
    stage.rule({"Arn": FUNCTION}, pattern={"source": ["aws.health"], "detail": {"eventTypeCategory": ["issue"]}})
    stage.events.emit(DR, health().message())
    stage.events.emit(DR, health(category="scheduledChange").message())
    stage.settle()
    ((region, name, event),) = stage.called
    assert (region, name) == (DR, "probe")
    assert (event["detail-type"], event["region"]) == ("AWS Health Event", DR)
    detail = event["detail"]
    assert (detail["service"], detail["eventRegion"], detail["statusCode"]) == ("RDS", PRIMARY, "open")
    assert detail["startTime"] == "Sun, 01 Mar 2026 05:01:10 GMT"
    assert "endTime" not in detail


def test_an_event_of_aws_health_keeps_its_arn_until_it_has_ended(stage: Stage) -> None:
    stage.rule(DR_BUS, region=PRIMARY, pattern={"source": ["aws.health"]})
    stage.rule({"Arn": FUNCTION}, pattern={"source": ["aws.health"]})
    begun = health()
    over = replace(begun, status="closed", ended=begun.started + timedelta(hours=1))
    for event in (begun, over):
        stage.events.emit(PRIMARY, event.message())
    stage.until(lambda: len(stage.called) == 2)
    details = [event["detail"] for _, _, event in stage.called]
    assert {detail["eventArn"] for detail in details} == {begun.arn}
    assert "Sun, 01 Mar 2026 06:01:10 GMT" in [detail.get("endTime") for detail in details]


def test_put_events_delivers_and_tells_of_bad_entries(stage: Stage) -> None:
    stage.rule({"Arn": FUNCTION}, pattern={"source": ["relight"]})
    client: Any = boto3.client("events", region_name=DR)
    entry = {"Source": "relight", "DetailType": "Run", "Detail": json.dumps({"a": 1})}
    answer = client.put_events(Entries=[entry, entry | {"Detail": "{"}])
    assert answer["FailedEntryCount"] == 1
    stage.until(lambda: len(stage.called) == 1)
    event = stage.called[0][2]
    assert (event["detail"], event["detail-type"], event["region"]) == ({"a": 1}, "Run", DR)
    assert event["id"] == answer["Entries"][0]["EventId"]
    assert event["time"].endswith("Z")


def test_topics_and_queues_are_targets(stage: Stage) -> None:
    topic = boto3.client("sns", region_name=DR).create_topic(Name="people")["TopicArn"]
    sqs: Any = boto3.client("sqs", region_name=DR)
    queue = sqs.create_queue(QueueName="kept")["QueueUrl"]
    stage.rule({"Arn": topic, "Input": '"wake up"'}, {"Arn": f"arn:aws:sqs:{DR}:{ACCOUNT}:kept"})
    stage.events.emit(DR, ALARM)
    backend = get_backend("sns")[ACCOUNT][DR]
    stage.until(lambda: bool(backend.topics[topic].sent_notifications))
    assert backend.topics[topic].sent_notifications[0][1] == '"wake up"'
    found: list[Any] = []

    def received() -> bool:
        found.extend(sqs.receive_message(QueueUrl=queue).get("Messages", []))
        return bool(found)

    stage.until(received)
    assert json.loads(found[0]["Body"])["source"] == "aws.cloudwatch"


def test_an_event_is_forwarded_to_another_region_and_keeps_its_own(stage: Stage) -> None:
    stage.rule(DR_BUS, region=GLOBAL)
    stage.rule({"Arn": FUNCTION})
    sent = stage.events.emit(GLOBAL, ALARM)
    stage.until(lambda: len(stage.called) == 1)
    assert (stage.called[0][2]["id"], stage.called[0][2]["region"]) == (sent, GLOBAL)


def test_an_event_is_forwarded_once_there_is_a_way_again(stage: Stage) -> None:
    stage.network.cut_between(Path.BLACK_HOLED)
    stage.rule(DR_BUS, region=PRIMARY)
    stage.rule({"Arn": FUNCTION})
    stage.events.emit(PRIMARY, ALARM)
    stage.settle()
    assert stage.called == []
    stage.network.restore(Side.DR)
    stage.until(lambda: len(stage.called) == 1)


# The alarm on the endpoint is judged in us-east-1 only, and the run that it starts is in DR.


def endpoint(stage: Stage) -> None:
    """A rule in us-east-1 that forwards to DR's bus, and one there that starts the state machine."""
    boto3.client("sqs", region_name=GLOBAL).create_queue(QueueName="dead")
    letters = {"DeadLetterConfig": {"Arn": f"arn:aws:sqs:{GLOBAL}:{ACCOUNT}:dead"}}
    stage.rule({**DR_BUS, **letters, "RetryPolicy": {"MaximumRetryAttempts": 1}}, region=GLOBAL)
    stage.rule({"Arn": MACHINE, "Input": '{"trigger": "automatic"}'}, pattern=PATTERN | {"region": [GLOBAL]})


@pytest.fixture
def alarms(stage: Stage) -> Iterator[Alarms]:
    made = Alarms(replace(LAB, minute=0.3), stage.events.emit)
    made.start()
    boto3.client("cloudwatch", region_name=GLOBAL).put_metric_alarm(
        AlarmName="down",
        Namespace="AWS/Route53",
        MetricName="HealthCheckStatus",
        Dimensions=[{"Name": "HealthCheckId", "Value": "one"}],
        Statistic="Minimum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="LessThanThreshold",
    )
    yield made
    made.stop()


def test_the_endpoint_seen_down_from_us_east_1_starts_a_run_in_dr(stage: Stage, alarms: Alarms) -> None:
    endpoint(stage)
    alarms.put(GLOBAL, "AWS/Route53", "HealthCheckStatus", 0.0, {"HealthCheckId": "one"})
    stage.until(lambda: stage.called == [(DR, MACHINE, {"trigger": "automatic"})])


def test_the_same_alarm_of_dr_itself_is_another_one(stage: Stage) -> None:
    endpoint(stage)
    stage.events.emit(DR, ALARM)
    stage.settle()
    assert stage.called == []


def test_without_us_east_1_nothing_is_forwarded(stage: Stage, alarms: Alarms) -> None:
    endpoint(stage)
    alarms.lose(GLOBAL)
    stage.events.lose(GLOBAL)
    alarms.put(GLOBAL, "AWS/Route53", "HealthCheckStatus", 0.0, {"HealthCheckId": "one"})
    stage.events.emit(GLOBAL, ALARM)
    stage.schedule(FUNCTION.replace("probe", "guard"), name="other")
    stage.until(lambda: stage.names().count("guard") >= 4)  # several of the alarm's periods
    assert MACHINE not in stage.names()


def test_what_a_lost_dr_cannot_take_is_kept_in_us_east_1(stage: Stage) -> None:
    endpoint(stage)
    stage.events.lose(DR)
    stage.events.emit(GLOBAL, ALARM)
    sqs: Any = boto3.client("sqs", region_name=GLOBAL)
    stage.until(lambda: bool(stage.events.dead_letters))
    ((region, why),) = stage.events.dead_letters
    assert region == GLOBAL
    assert f"{DR} cannot be reached from {GLOBAL}" in why
    (kept,) = dead(sqs, sqs.get_queue_url(QueueName="dead")["QueueUrl"])
    assert (kept["detail"], kept["region"]) == (ALARM["detail"], GLOBAL)


def test_a_bus_in_another_region_takes_nothing_without_a_role(stage: Stage) -> None:
    target = {"Arn": DR_BUS["Arn"], "RetryPolicy": {"MaximumRetryAttempts": 0}}
    stage.rule(target, region=GLOBAL)
    stage.rule({"Arn": FUNCTION})
    stage.events.emit(GLOBAL, ALARM)
    stage.until(lambda: bool(stage.events.dead_letters))
    assert "from a role only" in stage.events.dead_letters[0][1]
    assert stage.called == []


# Targets that fail


def dead(client: Any, url: str) -> list[Any]:
    return [json.loads(message["Body"]) for message in client.receive_message(QueueUrl=url).get("Messages", [])]


@pytest.mark.parametrize(
    ("policy", "attempts"),
    [({"MaximumRetryAttempts": 2}, 3), ({"MaximumRetryAttempts": 0}, 1), ({"MaximumEventAgeInSeconds": 60}, 2)],
)
def test_what_cannot_be_delivered_goes_to_the_dead_letter_queue(
    stage: Stage, policy: dict[str, int], attempts: int
) -> None:
    sqs: Any = boto3.client("sqs", region_name=DR)
    url = sqs.create_queue(QueueName="dead")["QueueUrl"]
    stage.failing = {"probe"}
    letters = {"Arn": f"arn:aws:sqs:{DR}:{ACCOUNT}:dead"}
    stage.rule({"Arn": FUNCTION, "Input": '{"a": 1}', "RetryPolicy": policy, "DeadLetterConfig": letters})
    stage.events.emit(DR, ALARM)
    stage.until(lambda: bool(stage.events.dead_letters))
    assert "ConnectionRefusedError" in stage.events.dead_letters[0][1]
    assert stage.names() == ["probe"] * attempts
    assert dead(sqs, url) == [{"a": 1}]


def test_many_failing_targets_do_not_hold_up_the_others(stage: Stage) -> None:
    stage.failing = {"none"}
    stage.rule(*[{"Arn": f"arn:aws:lambda:{DR}:{ACCOUNT}:function:none"}] * 5)
    for _ in range(20):
        stage.events.emit(DR, ALARM)
    stage.until(lambda: len(stage.called) >= 100)
    stage.rule({"Arn": FUNCTION}, pattern={"source": ["other"]}, region=PRIMARY)
    stage.events.emit(PRIMARY, {"source": "other", "detail-type": "", "detail": {}})
    stage.until(lambda: "probe" in stage.names())


# Schedules


def test_a_schedule_calls_its_target_each_minute(stage: Stage) -> None:
    stage.schedule(Input='{"why": "schedule"}')
    stage.schedule(MACHINE, name="machine")
    stage.until(lambda: stage.names().count("probe") >= 3 and stage.names().count(MACHINE) >= 3)
    assert (DR, "probe", {"why": "schedule"}) in stage.called
    assert (DR, MACHINE, {}) in stage.called


def test_a_scheduled_rule_calls_its_target_with_an_event(stage: Stage) -> None:
    client: Any = boto3.client("events", region_name=DR)
    client.put_rule(Name="each", ScheduleExpression="rate(1 minute)")
    client.put_targets(Rule="each", Targets=[{"Id": "1", "Arn": FUNCTION}])
    stage.until(lambda: len(stage.called) >= 2)
    assert (stage.called[0][2]["source"], stage.called[0][2]["detail-type"]) == ("aws.events", "Scheduled Event")


def test_a_disabled_schedule_does_nothing_and_one_that_is_enabled_later_does(stage: Stage) -> None:
    stage.schedule(state="DISABLED")
    stage.schedule(FUNCTION.replace("probe", "guard"), name="other")
    stage.until(lambda: stage.names().count("guard") >= 3)
    assert "probe" not in stage.names()
    client: Any = boto3.client("scheduler", region_name=DR)
    schedule = client.get_schedule(Name="each")
    wanted = ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")
    client.update_schedule(**{key: schedule[key] for key in wanted}, State="ENABLED")
    stage.until(lambda: "probe" in stage.names())


def test_a_longer_rate_is_rarer(stage: Stage) -> None:
    stage.schedule(FUNCTION.replace("probe", "guard"), name="often")
    stage.schedule(expression="rate(1 hour)")
    stage.schedule(expression="cron(0 * * * ? *)", name="cron", arn=FUNCTION.replace("probe", "never"))
    stage.until(lambda: stage.names().count("guard") >= 4)
    assert stage.names().count("probe") == 0, "it comes first when an hour is over"
    assert "never" not in stage.names(), "its hour does not come round in the lab"
    stage.events.fire(DR, "cron")
    stage.until(lambda: "never" in stage.names())
    with pytest.raises(KeyError):
        stage.events.fire(DR, "none")


# A Region that is lost


def test_nothing_runs_in_a_lost_region(stage: Stage) -> None:
    stage.schedule()
    stage.until(lambda: len(stage.called) >= 1)
    stage.rule({"Arn": FUNCTION})
    stage.events.lose(DR)
    stage.settle()
    before = len(stage.called)
    stage.events.emit(DR, ALARM)
    stage.schedule(FUNCTION.replace("probe", "guard").replace(DR, PRIMARY), region=PRIMARY)
    stage.until(lambda: stage.names().count("guard") >= 3)
    assert stage.names().count("probe") == before
    stage.events.restore(DR)
    stage.until(lambda: stage.names().count("probe") > before)


def test_what_a_lost_region_had_on_its_way_is_gone(stage: Stage) -> None:
    stage.failing = {"probe"}
    stage.rule({"Arn": FUNCTION})
    stage.events.emit(DR, ALARM)
    stage.until(lambda: len(stage.called) >= 1)
    stage.events.lose(DR)
    stage.settle()
    tried = len(stage.called)
    stage.schedule(FUNCTION.replace("probe", "guard").replace(DR, PRIMARY), region=PRIMARY)
    stage.until(lambda: stage.names().count("guard") >= 4)  # longer than any pause between two attempts
    assert stage.names().count("probe") == tried
    assert stage.events.dead_letters == []


# What a target is given


@pytest.mark.parametrize(
    ("target", "given"),
    [
        ({"Input": '{"a": [1]}'}, {"a": [1]}),
        ({"InputPath": "$.detail.state.value"}, "ALARM"),
        ({"InputPath": "$.detail.n[1]"}, 2),
        (
            {"InputTemplate": '{"alarm": <name>, "why": "because <why>"}'},
            {"alarm": "down", "why": 'because it said "no"'},
        ),
        ({"InputTemplate": '"<name> of <state>"'}, 'down of {"value": "ALARM", "reason": "it said \\"no\\""}'),
        ({"InputTemplate": '{"whole": <aws.events.event.json>}'}, {"whole": {**ALARM, "time": "t"}}),
        ({"InputTemplate": '{"gone": "<gone>"}'}, {"gone": ""}),
        ({}, {**ALARM, "time": "t"}),
    ],
)
def test_input(target: dict[str, Any], given: Any) -> None:
    if "InputTemplate" in target:
        paths = {"name": "$.detail.alarmName", "why": "$.detail.state.reason", "state": "$.detail.state", "gone": "$.x"}
        target = {"InputTransformer": {"InputPathsMap": paths, **target}}
    assert target_input(target, {**ALARM, "time": "t"}) == given


def test_an_input_path_that_leads_nowhere_costs_the_event(stage: Stage) -> None:
    stage.rule({"Arn": FUNCTION, "InputPath": "$.detail.none"})
    stage.events.emit(DR, ALARM)
    stage.until(lambda: len(stage.events.dead_letters) == 1)
    assert stage.called == []


def test_a_moment_is_written_as_an_event_has_it() -> None:
    assert moment(0) == "1970-01-01T00:00:00Z"
    assert moment("2026-01-01T00:00:00Z") == "2026-01-01T00:00:00Z"
