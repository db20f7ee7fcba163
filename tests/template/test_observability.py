"""The alarms and the dashboard: who is told of what, what may keep it silent, and that nothing old is acted on."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from moto import mock_aws
from moto.backends import get_backend
from relight import readiness_gauges
from relight.gauges import gauges
from relight.ledger import Head, State
from relight.probe import MEASURED
from relight.readiness import Readiness
from relight.switches import switches

from lab.alarm_rule import read
from lab.alarms import Alarms
from lab.cloud import Cloud
from lab.metric_math import formula
from lab.network import Network
from lab.stack import Stacks
from lab.timings import LAB
from tests.template.reading import ROOT
from tests.template.region import ACCOUNT, REGIONS, Region, global_stack, region

ROLES = ["primary", "dr"]
ALARM, COMPOSITE = "AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"
SWITCHES = "Relight/Switches/shop"
HOME, DR = REGIONS["primary"], REGIONS["dr"]
FUNCTIONS = sorted(path.name for path in (ROOT / "functions").iterdir() if (path / "handler.py").exists())
# What the function readiness publishes of the standby, each half hour.
READINESS = ("ReadinessScore", "DrillAgeDays")
# What AWS publishes, by namespace: the dimensions, and the metrics that it documents for them.
PUBLISHED: dict[str, dict[tuple[str, ...], set[str]]] = {
    "AWS/ApplicationELB": {
        ("LoadBalancer",): {"HTTPCode_ELB_5XX_Count", "HTTPCode_Target_5XX_Count", "TargetResponseTime"},
        ("LoadBalancer", "TargetGroup"): {"HealthyHostCount"},
    },
    "AWS/AutoScaling": {("AutoScalingGroupName",): {"GroupDesiredCapacity", "GroupInServiceInstances"}},
    "AWS/EC2": {("AutoScalingGroupName",): {"CPUUtilization", "CPUSurplusCreditsCharged"}},
    "AWS/Lambda": {("FunctionName",): {"Errors"}},
    "AWS/RDS": {
        ("DBInstanceIdentifier",): {
            "CPUUtilization",
            "CPUSurplusCreditsCharged",
            "FreeStorageSpace",
            "OldestReplicationSlotLag",
            "ReplicaLag",
            "TransactionLogsDiskUsage",
        }
    },
    "AWS/Route53": {("HealthCheckId",): {"HealthCheckStatus"}},
    "AWS/SQS": {("QueueName",): {"ApproximateNumberOfMessagesVisible"}},
    "AWS/States": {
        ("StateMachineArn",): {
            "ExecutionsStarted",
            "ExecutionsSucceeded",
            "ExecutionsFailed",
            "ExecutionsTimedOut",
            "ExecutionsAborted",
        }
    },
}


def published_by_relight(namespace: str, name: str, where: str) -> bool:
    """Whether a function of that Region really publishes it: asked of the code that does."""
    if namespace == "Relight":  # in whichever Region is the standby
        return name in {"Ready", "Down.outside", *READINESS, *(f"Down.{view.value}" for view in MEASURED)}
    active = Head(True, 1, where, State.STEADY, ended_at=1.0, frozen_until=3.0)
    return name in switches(active, where, HOME) | gauges(active, where, HOME, 2.0)


def alarms(role: str) -> dict[str, Mapping[str, Any]]:
    """All alarms of a Region's stacks by logical id, composite ones too."""
    found = region(role).of(ALARM) | region(role).of(COMPOSITE)
    return {path.rpartition("/")[2]: properties for path, properties in found.items()}


def metrics(alarm: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Namespace, name and dimensions of what an alarm looks at."""
    stats = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
    for metric in stats or ([alarm] if "MetricName" in alarm else []):
        dimensions = {each["Name"]: each["Value"] for each in metric.get("Dimensions", [])}
        yield metric["Namespace"], metric["MetricName"], dimensions


def exists(namespace: str, name: str, dimensions: Mapping[str, str], where: str) -> bool:
    """Whether somebody publishes that metric, by these dimensions, in that Region."""
    if namespace == SWITCHES:
        return not dimensions and published_by_relight(namespace, name, where)
    if namespace == "Relight":
        return dimensions == {"service": "shop"} and published_by_relight(namespace, name, where)
    return name in PUBLISHED.get(namespace, {}).get(tuple(sorted(dimensions)), set())


def things(role: str) -> set[str]:
    """What dimensions may name in that Region: the names, and the ARNs, of what its stacks make."""
    here = region(role)
    named = ("FunctionName", "QueueName", "DBInstanceIdentifier", "AutoScalingGroupName")
    found = {
        str(resource.properties[key])
        for resource in here.resources.values()
        for key in named & resource.properties.keys()
    }
    full = {f"Compute/{name}" for name in ("Balancer.LoadBalancerFullName", "Targets.TargetGroupFullName")}
    return found | full | {resource.arn for resource in here.resources.values() if resource.arn}


# The switches, exactly as Route 53 reads them: a standard metric's stream, no percentile.


@pytest.mark.parametrize(
    ("role", "alarm", "metric", "unhealthy"),
    [
        ("dr", "Stop", "STOP", "GreaterThanOrEqualToThreshold"),
        ("dr", "NoGo", "GO", "LessThanThreshold"),
        ("primary", "Hold", "HOLD", "GreaterThanOrEqualToThreshold"),
    ],
)
def test_a_switch_means_what_it_says(role: str, alarm: str, metric: str, unhealthy: str) -> None:
    """STOP and HOLD take traffic away at 1, GO at anything but 1; no data is no value."""
    found = alarms(role)[alarm]
    assert (found["MetricName"], found["ComparisonOperator"], found["Threshold"]) == (metric, unhealthy, 1)
    assert (found["Statistic"], found["EvaluationPeriods"], found["TreatMissingData"]) == ("Maximum", 1, "missing")
    assert (found["Namespace"], found["Period"]) == (SWITCHES, 60)
    assert not {"Metrics", "ExtendedStatistic", "Dimensions", "AlarmActions"} & found.keys()


def test_the_switches_are_published_where_the_alarms_look() -> None:
    for function in ("Failover/Switch", "Watch/Guard"):
        variables = region("dr")[function]["Environment"]["Variables"]
        assert variables["SWITCH_NAMESPACE"] == SWITCHES


# Every alarm.


@pytest.mark.parametrize("role", ROLES)
def test_each_alarm_looks_at_what_somebody_publishes(role: str) -> None:
    found = [(name, *metric) for name, alarm in alarms(role).items() for metric in metrics(alarm)]
    assert len(found) > 15
    for name, namespace, metric, dimensions in found:
        assert exists(namespace, metric, dimensions, REGIONS[role]), (name, namespace, metric, dimensions)
        assert {value for key, value in dimensions.items() if key != "service"} <= things(role), (name, dimensions)


@pytest.mark.parametrize("role", ROLES)
def test_each_alarm_says_what_it_means_and_what_to_do_first(role: str) -> None:
    for name, alarm in alarms(role).items():
        said = alarm["AlarmDescription"]
        assert said.endswith("."), name
        if name not in {"Stop", "NoGo", "Hold", "Maintenance"}:  # these call nobody
            assert re.search(r"\b[Ff]irst\b", said), name
            assert len(said.split()) >= 15, name


@pytest.mark.parametrize("role", ROLES)
def test_metric_math_can_be_computed_and_stays_within_ten_metrics(role: str) -> None:
    for name, alarm in alarms(role).items():
        queries = alarm.get("Metrics", [])
        ids = [query["Id"] for query in queries if "MetricStat" in query]
        for query in queries:
            if "Expression" in query:
                assert formula(query["Expression"], ids)(dict.fromkeys(ids, 2.0)) is not None, name
                assert "ReturnData" not in query, name
            else:
                assert query["ReturnData"] is False, name
        assert len(ids) <= 10, name


TOLD_AT_ONCE = {
    "primary": {"ProbeSilent", "GuardSilent", "NotReady", "RunFailed", "EventLost", "FunctionErrors"},
    "dr": {
        "PrimaryDown",
        "ProbeSilent",
        "GuardSilent",
        "NotReady",
        "Unprotected",
        "NotPractised",
        "RunFailed",
        "EventLost",
        "FunctionErrors",
    },
}
ACTING_ON_NOTHING = {"Stop", "NoGo", "Hold", "Maintenance"}


@pytest.mark.parametrize("role", ROLES)
def test_the_orchestrators_own_alarms_tell_people_and_cannot_be_kept_silent(role: str) -> None:
    topic = region(role).resources["Ledger/Topic"].arn
    told = {name for name, alarm in alarms(role).items() if topic in alarm.get("AlarmActions", [])}
    assert told == TOLD_AT_ONCE[role] | {"Attention"}
    assert all("ActionsEnabled" not in alarm for alarm in alarms(role).values())


@pytest.mark.parametrize("role", ROLES)
def test_the_workloads_alarms_act_through_the_composite_alarm_only(role: str) -> None:
    every = alarms(role)
    names = {alarm["AlarmName"]: name for name, alarm in every.items()}
    rule = read(every["Attention"]["AlarmRule"])
    children = {names[child] for child in rule.names}
    assert children == every.keys() - TOLD_AT_ONCE[role] - ACTING_ON_NOTHING - {"Attention"}
    assert all("AlarmActions" not in every[child] for child in children)
    for child in rule.names:
        assert rule.holds(dict.fromkeys(rule.names, "OK").__or__({child: "ALARM"}).get), child
    assert not rule.holds(lambda _: "OK")
    assert not rule.holds(lambda _: "INSUFFICIENT_DATA")


@pytest.mark.parametrize("role", ROLES)
def test_a_freeze_keeps_the_composite_alarm_silent(role: str) -> None:
    every = alarms(role)
    suppressor = every["Attention"]["ActionsSuppressor"]
    assert suppressor == every["Maintenance"]["AlarmName"] == "relight-shop-maintenance"
    assert every["Maintenance"]["TreatMissingData"] == "notBreaching", "unknown is no maintenance"
    # The guard publishes each minute, and an alarm is judged each minute.
    assert every["Attention"]["ActionsSuppressorWaitPeriod"] >= 120
    assert every["Attention"]["ActionsSuppressorExtensionPeriod"] > 0


def test_what_only_one_role_needs_is_there_once() -> None:
    only_dr = alarms("dr").keys() - alarms("primary").keys()
    only_primary = alarms("primary").keys() - alarms("dr").keys()
    assert (only_dr, only_primary) == ({"Stop", "NoGo", "PrimaryDown", "Unprotected", "NotPractised"}, {"Hold"})


# What some of them stand for.


@pytest.mark.parametrize("role", ROLES)
def test_one_alarm_is_on_the_errors_of_each_function_that_is_at_work_in_both_regions_each_minute(role: str) -> None:
    """What a run calls is told by the run's own failure; what a rule calls, or a schedule now and then, by its dead
    letter. So is the probe, which is at work only where a Region is the standby."""
    here = region(role)
    schedules = here.of("AWS::Scheduler::Schedule").values()
    called = {each["Target"]["Arn"] for each in schedules if each["ScheduleExpression"] == "rate(1 minute)"}
    functions = {r.arn: r.properties for r in here.resources.values() if r.type == "AWS::Lambda::Function"}
    found = {dimensions["FunctionName"] for _, _, dimensions in metrics(alarms(role)["FunctionErrors"])}
    scheduled = {functions[arn]["FunctionName"] for arn in called}
    assert scheduled - found == {"relight-shop-probe"}
    assert found <= scheduled
    for target in (schedule["Target"] for schedule in schedules):
        assert target["DeadLetterConfig"]["Arn"] == here.resources["Ledger/DeadLetters"].arn
        if target["Arn"] in functions:  # a state machine is started or not, and has a record
            assert functions[target["Arn"]]["DeadLetterConfig"]["TargetArn"] == target["DeadLetterConfig"]["Arn"]


@pytest.mark.parametrize("role", ROLES)
def test_a_failover_that_fails_or_takes_too_long_is_told(role: str) -> None:
    """Of a failback and a drill each stage has a deadline, and the record that follows it tells people."""
    looked_at = {
        (name, dimensions["StateMachineArn"].rpartition("-")[2])
        for _, name, dimensions in metrics(alarms(role)["RunFailed"])
    }
    assert looked_at == {
        ("ExecutionsFailed", "failover"),
        ("ExecutionsTimedOut", "failover"),
    }


def test_that_nobody_has_practised_for_too_long_is_told_once_a_day() -> None:
    """By whoever tells it: the standby's readiness, once in each day."""
    alarm = alarms("dr")["NotPractised"]
    variables = next(
        each["Environment"]["Variables"]
        for each in region("dr").of("AWS::Lambda::Function").values()
        if each["FunctionName"] == "relight-shop-readiness"
    )
    assert (alarm["Period"], alarm["EvaluationPeriods"]) == (readiness_gauges.AGE_SECONDS, 1)
    assert float(alarm["Threshold"]) == float(variables["DRILL_DAYS"])
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    told = readiness_gauges.gauges(None, Readiness(0.0, DR, 100, (), "1", practised_days=1.0))
    assert alarm["MetricName"] in told
    assert alarm["Dimensions"] == [{"Name": "service", "Value": variables["POWERTOOLS_SERVICE_NAME"]}]
    assert alarm["TreatMissingData"] == "missing", "a Region that is active tells nothing"


def test_a_readiness_that_cannot_tell_when_there_was_a_drill_leaves_a_dead_letter() -> None:
    """Without data there is no alarm on drills."""
    (letters,) = (dimensions["QueueName"] for _, _, dimensions in metrics(alarms("dr")["EventLost"]))
    queue = region("dr").resources["Ledger/DeadLetters"]
    assert queue.properties["QueueName"] == letters
    assert region("dr")["Watch/ReadinessEachHalfHour"]["Target"]["DeadLetterConfig"] == {"Arn": queue.arn}
    assert region("dr")["Watch/Readiness"]["DeadLetterConfig"] == {"TargetArn": queue.arn}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("silent", ["ProbeSilent", "GuardSilent"])
def test_silence_is_an_alarm(role: str, silent: str) -> None:
    alarm = alarms(role)[silent]
    assert (alarm["Statistic"], alarm["ComparisonOperator"]) == ("SampleCount", "LessThanThreshold")
    assert alarm["TreatMissingData"] == "breaching"
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 300


def test_what_is_unknown_neither_alarms_nor_reassures() -> None:
    assert alarms("dr")["Unprotected"]["TreatMissingData"] == "missing"
    for role in ROLES:
        for name in ("NotReady", "ReplicaBehind"):
            assert alarms(role)[name]["TreatMissingData"] == "missing", name


def test_the_slots_alarm_comes_before_its_limit() -> None:
    settings = region("primary")["Database/Settings"]["Parameters"]
    limit = int(settings["max_slot_wal_keep_size"]) * 1024**2
    assert alarms("primary")["SlotBehind"]["Threshold"] == limit / 2


def test_what_the_groups_alarms_look_at_is_collected() -> None:
    for role in ROLES:
        (collected,) = region(role)["Compute/Group"]["MetricsCollection"]
        assert collected == {"Granularity": "1Minute"}, "and all metrics"


# The dashboard.


def widgets() -> list[dict[str, Any]]:
    body = json.loads(region("dr")["Dashboard/Dashboard"]["DashboardBody"])
    found: list[dict[str, Any]] = body["widgets"]
    return found


def test_there_is_one_dashboard_and_it_outlives_the_primary() -> None:
    assert not region("primary").of("AWS::CloudWatch::Dashboard")
    assert not global_stack().of("AWS::CloudWatch::Dashboard")
    assert [d["DashboardName"] for d in region("dr").of("AWS::CloudWatch::Dashboard").values()] == ["relight-shop"]


def test_it_reads_from_who_is_active_down_to_the_workload() -> None:
    headings = [w["properties"]["markdown"] for w in sorted(widgets(), key=lambda w: w["y"]) if w["type"] == "text"]
    questions = [heading.removeprefix("## ").partition("?")[0] for heading in headings]
    assert questions == [
        "Who is active",
        "Can we fail over now",
        "How far behind are we",
        "When did we last practise",
        "What runs",
        "Is the workload well",
    ]


def below(question: str) -> list[dict[str, Any]]:
    """The widgets that answer a question."""
    ordered = sorted(widgets(), key=lambda w: (w["y"], w["x"]))
    headings = [w for w in ordered if w["type"] == "text"]
    (heading,) = (w for w in headings if w["properties"]["markdown"].startswith(f"## {question}"))
    end = next((w["y"] for w in headings if w["y"] > heading["y"]), float("inf"))
    return [w for w in ordered if heading["y"] < w["y"] < end]


@pytest.mark.parametrize(
    ("question", "answers"),
    [
        ("Who is active", {"STOP", "GO", "HOLD", "UnprotectedSeconds"}),
        ("Can we fail over now", {"ReadinessScore", "Ready", "MAINTENANCE", "ApproximateNumberOfMessagesVisible"}),
        ("How far behind are we", {"ReplicaLag", "OldestReplicationSlotLag", "FreeStorageSpace"}),
        ("When did we last practise", {"DrillAgeDays", "ExecutionsSucceeded", "ExecutionsFailed"}),
        ("What runs", {"ExecutionsStarted", "Errors"}),
    ],
)
def test_each_question_is_answered_below_it(question: str, answers: set[str]) -> None:
    assert answers <= {metric[1] for widget in below(question) for metric in widget["properties"]["metrics"]}


def test_drills_are_shown_for_longer_than_the_longest_pause_between_two_of_them() -> None:
    age, drills = below("When did we last practise")
    assert age["properties"]["start"] == "-P3D", "told once a day, and a dashboard shows three hours by itself"
    assert (drills["properties"]["start"], drills["properties"]["period"]) == ("-P35D", 86400), "one is each month"
    machines = {metric[3].rpartition(":")[2] for metric in drills["properties"]["metrics"]}
    assert machines == {"relight-shop-drill"}


def test_readiness_is_shown_for_longer_than_the_pause_between_two_tellings() -> None:
    score = below("Can we fail over now")[0]
    assert score["properties"]["start"] == "-P2D", "told four times a day where it does not change"


def test_it_is_within_what_cloudwatch_takes() -> None:
    """500 widgets; 500 metrics in one and 2,500 altogether (CloudWatch service quotas)."""
    many = [len(widget["properties"].get("metrics", [])) for widget in widgets()]
    assert len(many) <= 500
    assert max(many) <= 500
    assert sum(many) <= 2500
    assert all(1 <= widget["height"] <= 1000 and 1 <= widget["width"] <= 24 for widget in widgets())


def test_its_widgets_lie_side_by_side_on_the_grid() -> None:
    taken: set[tuple[int, int]] = set()
    for widget in widgets():
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not cells & taken, widget
        assert widget["x"] + widget["width"] <= 24
        taken |= cells


def shown() -> Iterator[tuple[str, str, dict[str, str], str]]:
    """Namespace, name, dimensions and Region of each metric on the dashboard; what is searched for as what is found."""
    for widget in widgets():
        properties = widget["properties"]
        for metric in properties.get("metrics", []):
            *parts, options = metric if isinstance(metric[-1], dict) else [*metric, {}]
            where = options.get("region", properties["region"])
            if not parts:
                schema, name, dimension = re.findall(
                    r"\{([^}]*)\} MetricName=\"(\w+)\" (\S+=\"[^\"]*\")", options["expression"]
                )[0]
                namespace, *keys = schema.split(",")
                yield namespace, name, dict.fromkeys(keys, dimension.partition('"')[2].rstrip('"')), where
            else:
                namespace, name, *rest = parts
                yield namespace, name, dict(zip(rest[::2], rest[1::2], strict=True)), where


def test_every_metric_on_it_is_one_that_somebody_publishes() -> None:
    found = list(shown())
    assert len(found) > 40
    for namespace, name, dimensions, where in found:
        assert exists(namespace, name, dimensions, where), (namespace, name, dimensions, where)


def test_every_thing_on_it_is_in_that_region() -> None:
    balancers = {where: f"app/shop-{role}/" for role, where in REGIONS.items()}
    queues = {resource["QueueName"] for resource in global_stack().of("AWS::SQS::Queue").values()}
    inside = {REGIONS[role]: things(role) | {balancers[REGIONS[role]]} for role in ROLES} | {"us-east-1": queues}
    for namespace, name, dimensions, where in shown():
        assert {value for key, value in dimensions.items() if key != "service"} <= inside[where], (namespace, name)


def test_it_shows_both_regions() -> None:
    assert {where for *_, where in shown()} == {HOME, DR, "us-east-1"}
    for role in ROLES:
        assert region(role)["Compute/Balancer"]["Name"] == f"shop-{role}", (
            "a balancer's full name begins with app/<Name>/"
        )


# Old news does no harm.


def everything() -> list[Region]:
    return [*(region(role) for role in ROLES), global_stack()]


def targets() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for found in everything():
        for path, schedule in found.of("AWS::Scheduler::Schedule").items():
            yield f"{found.name} {path}", schedule["Target"]
        for path, rule in found.of("AWS::Events::Rule").items():
            for target in rule["Targets"]:
                yield f"{found.name} {path}", target


# Nothing is done because of what AWS says of its health, and what is kept of an old database is kept for days: an hour
# makes no difference.
IN_NO_HURRY = (
    *("Failover/RecordHealth", "Failover/HealthForward", "Failback/RetireEachDay"),
    # A look at what there is, and drills: ten minutes, or an hour, make them no worse.
    *("Watch/ReadinessEachHalfHour", "Drill/DrillFunctionSweep", "Drill/DrillPlan", "Drill/DrillRestore"),
)


def test_what_cannot_be_delivered_in_two_minutes_is_kept_and_never_comes_late() -> None:
    queues = {
        resource.arn
        for found in everything()
        for resource in found.resources.values()
        if resource.type == "AWS::SQS::Queue"
    }
    assert len(list(targets())) >= 15
    for name, target in targets():
        longest = 3600 if name.endswith(IN_NO_HURRY) else 120
        assert 0 < target["RetryPolicy"]["MaximumEventAgeInSeconds"] <= longest, name
        letters = target["DeadLetterConfig"]["Arn"]
        assert letters in queues, name
        assert letters.split(":")[3] == name.partition(" ")[0], "in the same Region"


@pytest.mark.parametrize("role", ROLES)
def test_a_function_that_is_called_asynchronously_gets_no_old_news_either(role: str) -> None:
    here = region(role)
    called = {str(target["Arn"]) for name, target in targets() if name.startswith(here.name)}
    functions = {r.arn: r.properties for r in here.resources.values() if r.type == "AWS::Lambda::Function"}
    configured = {each["FunctionName"]: each for each in here.of("AWS::Lambda::EventInvokeConfig").values()}
    asynchronous = [functions[arn] for arn in called & functions.keys()]
    assert {each["FunctionName"] for each in asynchronous} == {
        f"relight-shop-{n}" for n in ("probe", "guard", "dbcheck", "readiness", "record", "retire", "drill")
    }
    unhurried = {f"relight-shop-{n}" for n in ("readiness", "record", "retire", "drill")}
    for function in asynchronous:
        longest = 3600 if function["FunctionName"] in unhurried else 120
        assert configured[function["FunctionName"]]["MaximumEventAgeInSeconds"] <= longest
        assert function["DeadLetterConfig"] == {"TargetArn": here.resources["Ledger/DeadLetters"].arn}


def test_a_dead_letter_is_an_alarm_or_on_the_dashboard() -> None:
    """Where the endpoint's alarm cannot be forwarded, neither can one on its dead letters."""
    for role in ROLES:
        ((_, _, dimensions),) = metrics(alarms(role)["EventLost"])
        assert dimensions == {"QueueName": region(role)["Ledger/DeadLetters"]["QueueName"]}
    on_it = {d.get("QueueName") for *_, d, where in shown() if where == "us-east-1"}
    assert on_it == {queue["QueueName"] for queue in global_stack().of("AWS::SQS::Queue").values()}


# The same stack in the lab, where the alarms are really judged.


FAST = replace(LAB, minute=0.6)


class Stage:
    """stacks/observability.yaml of one role in the lab, and who was told."""

    def __init__(self, role: str, alarms: Alarms, cloud: Cloud) -> None:
        self.region = REGIONS[role]
        self.alarms = alarms
        self.maintenance = self.errors = 0.0
        self.ended = threading.Event()
        self.topic = cloud.client("sns", self.region).create_topic(Name="people")["TopicArn"]
        given = {
            "Application": "shop",
            "Role": role,
            "DrillDays": "45",
            "TopicArn": self.topic,
            "MachineArn": f"arn:aws:states:{self.region}:{ACCOUNT}:stateMachine:relight-shop-failover",
            "BalancerFullName": "app/shop/1",
            "TargetsFullName": "targetgroup/shop/1",
            "GroupName": f"shop-{role}",
            "DatabaseId": f"shop-{role}",
        }
        Stacks(cloud).create("observability", self.region, ROOT / "stacks" / "observability.yaml", given)

    def state(self, name: str) -> str | None:
        return self.alarms.state(self.region, f"relight-shop-{name}")

    def publish(self, namespace: str, name: str, value: float, **dimensions: str) -> None:
        self.alarms.put(self.region, namespace, name, value, dimensions)

    def publish_what_is_said(self) -> None:
        """Four times a minute, until the end: `maintenance` and `errors`, as guard and a balancer would."""
        while not self.ended.wait(FAST.minute / 4):
            self.publish(SWITCHES, "MAINTENANCE", self.maintenance)
            self.publish("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", self.errors, LoadBalancer="app/shop/1")

    def told(self) -> list[str]:
        topic = get_backend("sns")[ACCOUNT][self.region].topics[self.topic]
        return [subject.replace("relight-shop-", "") for _, _, subject, *_ in topic.sent_notifications]

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 15
        while not holds():
            assert time.monotonic() < deadline, self.told()
            time.sleep(0.02)


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with mock_aws():
        cloud = Cloud(Network())
        judging = Alarms(FAST, lambda *_: None)
        judging.start()
        yield Stage(request.param, judging, cloud)
        judging.stop()
        cloud.stop()


@pytest.mark.parametrize("stage", ROLES, indirect=True)
def test_without_data_the_silence_of_the_watchers_is_told_and_nothing_else(stage: Stage) -> None:
    names = [alarm["AlarmName"].removeprefix("relight-shop-") for alarm in alarms_of(stage).values()]
    stage.until(lambda: all(stage.state(name) for name in names))
    silent = {"guard-silent", "probe-silent"} & set(names)
    assert {name for name in names if stage.state(name) == "ALARM"} == silent
    stage.until(lambda: {f"ALARM: {name}" for name in silent} <= set(stage.told()))
    assert not [
        told for told in stage.told() if told.startswith("ALARM") and told.removeprefix("ALARM: ") not in silent
    ]


def alarms_of(stage: Stage) -> dict[str, Mapping[str, Any]]:
    return alarms(next(role for role, name in REGIONS.items() if name == stage.region))


@pytest.mark.parametrize("stage", ["primary"], indirect=True)
def test_people_hear_of_the_workload_but_not_before_a_freeze_is_over(stage: Stage) -> None:
    publishing = threading.Thread(target=stage.publish_what_is_said)
    stage.maintenance = 1
    publishing.start()
    try:
        stage.until(lambda: stage.state("maintenance") == "ALARM")
        stage.errors = 10
        stage.until(lambda: stage.state("site-errors") == stage.state("attention") == "ALARM")
        assert "ALARM: attention" not in stage.told()
        stage.maintenance = 0
        stage.until(lambda: stage.told()[-1:] == ["ALARM: attention"])
        assert stage.state("maintenance") == "OK"
        stage.errors = 0
        stage.until(lambda: stage.told()[-1:] == ["OK: attention"])
    finally:
        stage.ended.set()
        publishing.join()
