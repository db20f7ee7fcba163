"""What `relight cost` says: arithmetic by hand, counted from the templates, within the limits, nothing forgotten."""

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from relight import drill_plan, readiness_gauges
from relight.gauges import gauges
from relight.ledger import Head, State
from relight.readiness import Readiness
from relight_cli.bill import (
    MOST_A_FAILOVER,
    MOST_A_MONTH,
    MOST_ALTOGETHER,
    OWN,
    Estimate,
    Line,
    Owner,
    as_document,
    estimate,
    owner,
    total,
)
from relight_cli.command import run
from relight_cli.exit_code import Refused
from relight_cli.inventory import Resource, resources
from relight_cli.laps import Loop, Passage, loops, passage
from relight_cli.practice import minutes
from relight_cli.prices import EVERYWHERE, FILE, Prices, load
from relight_cli.rates import FREE, RATES, uses
from relight_cli.samconfig import Slot, environment
from relight_cli.workings import ASSUMPTIONS, RARE_METRICS, READINESS_METRICS, Workings

from lab.expression import Expression, Scope
from tests.template.reading import ROOT

SOURCES = ("https://aws.amazon.com/", "https://pricing.us-east-1.amazonaws.com/")
HOME, DR = "eu-west-1", "eu-central-1"
REGIONS = {Slot.PRIMARY: HOME, Slot.DR: DR, Slot.GLOBAL: "us-east-1"}


@cache
def deployed() -> tuple[Resource, ...]:
    return tuple(resources(environment(ROOT / "samconfig.toml", "prod")))


@cache
def reckoned() -> Estimate:
    return estimate(environment(ROOT / "samconfig.toml", "prod"), load())


def usd_of(lines: Iterable[Line]) -> Mapping[str, Decimal]:
    found: Counter[str] = Counter()
    for line in lines:
        found[line.price.key] += line.usd  # type: ignore[assignment]
    return found  # type: ignore[return-value]


def nothing(*_: str) -> Any:
    raise KeyError


PLAIN = Expression(Scope({}, {}, {}, nothing, nothing, lambda _: []), "here")


def made(kind: str, slot: Slot = Slot.DR, stack: str = "watch", name: str = "Thing", **properties: Any) -> Resource:
    """A resource with these properties, as if a template held it."""
    return Resource(slot, stack, REGIONS[slot], name, kind, "made.yaml:1", properties, PLAIN)


def workings(*made_of: Resource) -> Workings:
    return Workings(made_of, "shop", "eu-west-1")


def used(resource: Resource, *beside: Resource) -> dict[str, Decimal]:
    """What a month of a resource uses, by price."""
    found: dict[str, Decimal] = {}
    for use in uses(resource, workings(resource, *beside)):
        found[use.key] = found.get(use.key, Decimal(0)) + use.quantity
    return found


def function(short: str, **variables: str) -> Resource:
    return made(
        "AWS::Lambda::Function",
        name=short.title(),
        FunctionName=f"relight-shop-{short}",
        MemorySize=128,
        Architectures=["arm64"],
        Environment={"Variables": variables},
    )


def each_minute(name: str, state: str = "ENABLED") -> Resource:
    target = {"Arn": f"{name}.Arn"}
    return made("AWS::Scheduler::Schedule", ScheduleExpression="rate(1 minute)", State=state, Target=target)


PROBE = function("probe", SAMPLES="6", SAMPLE_SECONDS="10", FRESH_SECONDS="90")

# The limits, over the real templates


def test_the_orchestrator_costs_at_most_20_usd_a_month() -> None:
    assert Decimal(10) < total(reckoned().orchestrator) <= MOST_A_MONTH == 20


def test_with_all_that_it_brings_along_it_costs_at_most_23_usd_a_month() -> None:
    found = reckoned()
    assert found.altogether == total(found.orchestrator) + total(found.beside)
    assert found.altogether <= MOST_ALTOGETHER == 23


def test_a_failover_costs_less_than_5_cents() -> None:
    assert Decimal("0.001") < total(reckoned().failover) < MOST_A_FAILOVER == Decimal("0.05")


def test_what_counts_against_the_limit_is_there() -> None:
    own = usd_of(reckoned().orchestrator)
    parts = {"lambda-arm64", "dynamodb-write", "alarm", "metric", "metric-put", "health-check", "dashboard", "schedule"}
    assert parts <= own.keys() <= OWN
    assert {"log-ingest", "kms-key", "s3-storage", "sns-publish"} <= usd_of(reckoned().beside).keys()
    assert {line.price.region for line in reckoned().orchestrator} >= {"eu-west-1", "eu-central-1"}


def test_the_pilot_light_is_a_replica_a_balancer_and_no_instance() -> None:
    light = usd_of(reckoned().pilot_light)
    assert light["database db.t4g.medium"] > 0
    assert light["alb"] == 730 * Decimal("0.027")
    assert light["nat"] > 0
    assert light["transfer-between"] > 0
    assert not [key for key in light if key.startswith("instance ")]


# Nothing is forgotten


def test_every_type_of_the_templates_is_priced_or_free_with_a_reason() -> None:
    kinds = {resource.kind for resource in deployed()}
    assert kinds <= FREE.keys() | RATES.keys()
    assert not FREE.keys() & RATES.keys()
    assert all(len(reason.split()) >= 2 for reason in FREE.values())


def test_a_new_type_is_refused_until_somebody_says_what_it_costs() -> None:
    with pytest.raises(Refused, match="AWS::MSK::Cluster"):
        used(made("AWS::MSK::Cluster"))


def test_every_stack_has_an_owner_that_the_rule_names() -> None:
    by_stack: dict[str, set[Owner]] = {}
    for resource in deployed():
        by_stack.setdefault(resource.stack, set()).add(owner(resource, deployed()))
    ours = {stack for stack, owners in by_stack.items() if owners == {Owner.ORCHESTRATOR}}
    assert ours == {"template", "watch", "failover", "drill", "ledger", "dashboard", "global"}
    assert {stack for stack, owners in by_stack.items() if len(owners) == 2} == {"keys", "observability"}


def test_an_alarm_belongs_to_whose_metric_it_reads() -> None:
    def alarm(name: str, **properties: Any) -> Resource:
        return made("AWS::CloudWatch::Alarm", stack="observability", name=name, **properties)

    silenced = {"MetricStat": {"Metric": {"Namespace": "AWS/RDS"}}}
    busy, stop = alarm("Busy", Metrics=[silenced]), alarm("Stop", Namespace="Relight/Switches/shop")
    freeze = alarm("Freeze", Namespace="Relight/Switches/shop")
    both = alarm("Both", AlarmRule='ALARM("Busy")', ActionsSuppressor="Freeze")
    beside = [busy, stop, freeze, both]
    assert [owner(one, beside) for one in beside] == [
        Owner.WORKLOAD,
        Owner.ORCHESTRATOR,
        Owner.WORKLOAD,
        Owner.WORKLOAD,
    ]


def test_each_metric_that_the_code_publishes_is_counted() -> None:
    """A metric costs 0.30 USD a month; one that is not known here would not be on the bill."""
    source = "".join(path.read_text() for path in sorted((ROOT / "layers/relight/relight").rglob("*.py")))
    in_code = {piece.split('"')[0] for piece in source.split('self.metric("')[1:]}
    known = workings(*deployed())
    counted = {name for found in deployed() if found.kind == "AWS::Lambda::Function" for name in known.metrics(found)}
    assert in_code - RARE_METRICS <= counted
    assert {"STOP", "GO", "HOLD", "Down.from_dr"} <= counted
    look = Readiness(0.0, DR, 100, (), "1", practised_days=1.0)
    assert readiness_gauges.gauges(None, look).keys() == READINESS_METRICS.keys() <= counted
    assert source.count("put_metric_data(") == 1
    definition = (ROOT / "statemachine" / "failover.asl.yaml").read_text()
    in_runs = {piece.split("\n")[0].strip() for piece in definition.split("MetricName:")[1:]}
    assert in_runs <= RARE_METRICS
    away = Head(True, 1, DR, State.STEADY, ended_at=1.0, frozen_until=3.0)
    assert (in_code - counted) | in_runs | set(gauges(away, DR, HOME, 2.0)) == RARE_METRICS, "no more are called rare"
    assert not gauges(Head(True, 1, HOME, State.STEADY), DR, HOME, 2.0), "nor is anything told while nothing happens"


def test_each_metric_of_ours_that_an_alarm_reads_is_counted() -> None:
    known = workings(*deployed())
    counted = {name for found in deployed() if found.kind == "AWS::Lambda::Function" for name in known.metrics(found)}
    read = {
        alarm.value("MetricName")
        for alarm in deployed()
        if alarm.kind == "AWS::CloudWatch::Alarm" and str(alarm.value("Namespace", "")).startswith("Relight")
    }
    assert read
    assert read - RARE_METRICS <= counted


# Quantities, by hand


def test_the_probe_by_hand() -> None:
    month = used(PROBE, each_minute("Probe"))
    calls = Decimal(730 * 60)
    assert month["lambda-request"] == calls == 43_800
    assert month["lambda-arm64"] == calls * 51 * 128 / 1024 == 279_225
    # At 0 s and at 30 s four signals each; the primary's capacity, and what keeps its database safe, once.
    assert month["dynamodb-write"] == calls * 10
    assert month["dynamodb-read"] == calls * 19
    assert month["dns-query"] == calls * 6
    assert month["metric"] == 2
    assert month["log-ingest"] == calls * 3000 / 10**9


def test_the_probe_of_the_active_region_reads_its_ledger_and_goes() -> None:
    home = [replace(one, slot=Slot.PRIMARY) for one in (PROBE, each_minute("Probe"), function("dbcheck"))]
    month = used(*home)
    calls = Decimal(730 * 60)
    assert month["lambda-request"] == month["dynamodb-read"] == calls
    assert month["lambda-arm64"] == calls * Decimal("0.1") * 128 / 1024
    assert month["log-ingest"] == calls * 1000 / 10**9
    assert month["metric"] == 0
    assert not {"dns-query", "dynamodb-write"} & month.keys()
    assert used(home[2], home[0], home[1]).get("lambda-request") is None, "it asks no database"


def test_a_schedule_that_is_off_costs_nothing() -> None:
    off = each_minute("Probe", "DISABLED")
    assert used(PROBE, off) == {}
    assert used(off)["schedule"] == 0


def test_dbcheck_is_called_by_its_schedule_and_by_each_sample() -> None:
    dbcheck = function("dbcheck")
    month = used(dbcheck, each_minute("Dbcheck"), PROBE, each_minute("Probe"))
    assert month["lambda-request"] == 43_800 * 7
    assert used(dbcheck, each_minute("Dbcheck"))["lambda-request"] == 43_800


def test_where_its_region_is_active_the_guard_asks_dbcheck_too() -> None:
    def there(of: Resource, slot: Slot) -> Resource:
        return replace(of, slot=slot, region=REGIONS[slot])

    for slot, calls in ((Slot.PRIMARY, 2), (Slot.DR, 1)):
        dbcheck, guard = there(function("dbcheck"), slot), there(function("guard"), slot)
        schedules = [there(each_minute(name), slot) for name in ("Dbcheck", "Guard")]
        assert used(dbcheck, guard, *schedules)["lambda-request"] == calls * 43_800


def test_readiness_by_hand() -> None:
    half_hourly = made(
        "AWS::Scheduler::Schedule", ScheduleExpression="rate(30 minutes)", Target={"Arn": "Readiness.Arn"}
    )
    look = made(
        "AWS::Lambda::Function",
        name="Readiness",
        FunctionName="relight-shop-readiness",
        MemorySize=512,
        Architectures=["arm64"],
    )
    month = used(look, half_hourly)
    assert month["lambda-request"] == 1460
    assert month["lambda-arm64"] == 1460 * 5 * 512 / 1024
    # Sixteen kilobytes of checks are written once, and read here and by the other Region; eight more items.
    assert month["dynamodb-write"] == 1460 * 17
    assert month["dynamodb-read"] == 1460 * 16
    assert month["metric-get"] == 1460 * 5
    # Told four times a day, and once: each for an hour.
    assert round(month["metric"] * 24, 6) == 4 + 1
    active = used(*(replace(one, slot=Slot.PRIMARY) for one in (look, half_hourly)))
    assert active["lambda-arm64"] == 1460 * Decimal("0.2") * 512 / 1024
    assert active["metric"] == 0
    assert not {"metric-get", "s3-get"} & active.keys()
    dbcheck = function("dbcheck")
    assert used(dbcheck, look, half_hourly)["lambda-request"] == 1460, "it asks the database in the standby only"


@pytest.mark.parametrize(
    ("written", "firings"),
    [
        ("rate(1 minute)", 43_800),
        ("rate(5 minutes)", 8_760),
        ("rate(1 hour)", 730),
        ("rate(2 days)", "15.20833333"),
        ("cron(0 6 * * ? *)", "30.41666667"),
        ("cron(0 6 ? * MON *)", "4.34523810"),
        ("cron(30 6 ? * MON,THU *)", "8.69047619"),
        ("cron(0 6 ? * TUE#1 *)", 1),
    ],
)
def test_how_often_a_schedule_fires(written: str, firings: object) -> None:
    schedule = made("AWS::Scheduler::Schedule", ScheduleExpression=written, State="ENABLED", Target={"Arn": "x"})
    assert round(used(schedule)["schedule"], 8) == Decimal(str(firings))


@pytest.mark.parametrize(
    "written", ["cron(0/5 3 * * ? *)", "cron(0 3 1 * ? *)", "cron(0 3 ? JAN MON *)", "at(2027-01-01T00:00:00)"]
)
def test_a_schedule_that_nobody_can_count_is_refused(written: str) -> None:
    with pytest.raises(Refused, match=r"how often (cron|at)"):
        used(made("AWS::Scheduler::Schedule", ScheduleExpression=written, Target={"Arn": "x"}))


def test_a_scheduled_function_that_nobody_has_thought_about_is_refused() -> None:
    with pytest.raises(Refused, match="how long a call of surprise takes"):
        used(function("surprise"), each_minute("Surprise"))


@pytest.mark.parametrize(
    ("config", "options"),
    [
        ({"Type": "CALCULATED"}, 0),
        ({"Type": "CLOUDWATCH_METRIC"}, 0),
        ({"Type": "HTTP", "RequestInterval": 30}, 0),
        ({"Type": "HTTPS", "RequestInterval": 30}, 1),
        ({"Type": "HTTPS_STR_MATCH", "RequestInterval": 10}, 3),
        ({"Type": "HTTPS_STR_MATCH", "RequestInterval": 10, "MeasureLatency": True}, 4),
    ],
)
def test_health_checks_and_their_options(config: dict[str, Any], options: int) -> None:
    month = used(made("AWS::Route53::HealthCheck", HealthCheckConfig=config))
    assert month == {"health-check": 1, "health-check-option": options}


def test_an_alarm_costs_by_the_metrics_that_it_reads() -> None:
    assert used(made("AWS::CloudWatch::Alarm", MetricName="STOP")) == {"alarm": 1}
    of_three = [{"Id": "sum", "Expression": "a + b + c"}, *({"Id": one, "MetricStat": {}} for one in "abc")]
    assert used(made("AWS::CloudWatch::Alarm", Metrics=of_three)) == {"alarm": 3}


def test_a_database_in_one_zone_and_in_two() -> None:
    one = made("AWS::RDS::DBInstance", DBInstanceClass="db.t4g.medium", AllocatedStorage="20", MultiAZ="false")
    assert used(one) == {"database db.t4g.medium": 730, "database-storage": 20, "transfer-between": 20}
    two = made(
        "AWS::RDS::DBInstance",
        DBInstanceClass="db.t4g.medium",
        AllocatedStorage="20",
        MultiAZ="true",
        SourceDBInstanceIdentifier="arn",
    )
    assert used(two) == {"database db.t4g.medium": 1460, "database-storage": 40}


def test_a_balancer_an_endpoint_and_a_warm_pool() -> None:
    kind = "AWS::ElasticLoadBalancingV2::LoadBalancer"
    assert used(made(kind, Subnets=["a", "b"])) == {"alb": 730, "public-ipv4": 1460}
    assert used(made(kind, Subnets=["a", "b"], Scheme="internal")) == {"alb": 730}
    endpoint = made("AWS::EC2::VPCEndpoint", VpcEndpointType="Interface", SubnetIds=["a", "b"])
    assert used(endpoint) == {"interface-endpoint": 1460}
    assert used(made("AWS::EC2::VPCEndpoint", VpcEndpointType="Gateway")) == {}
    launch = made(
        "AWS::EC2::LaunchTemplate",
        LaunchTemplateData={"InstanceType": "t4g.small", "BlockDeviceMappings": [{"Ebs": {"VolumeSize": 16}}]},
    )
    assert used(made("AWS::AutoScaling::WarmPool", MinSize=2), launch) == {"gp3": 32}
    assert used(made("AWS::AutoScaling::AutoScalingGroup", MinSize="0", DesiredCapacity="0"), launch) == {}
    two = made("AWS::AutoScaling::AutoScalingGroup", DesiredCapacity="2")
    assert used(two, launch) == {"instance t4g.small": 1460, "gp3": 32}


def test_a_line_is_quantity_times_price() -> None:
    price = load().of("metric", "eu-west-1")
    assert Line("x", "x", Decimal(7), price, "").usd == Decimal("2.1")


def test_what_the_templates_hold_moves_the_figure() -> None:
    """The alarms on the bill are those of the templates, and one more would be 0.10 USD more."""
    ours = [
        found
        for found in deployed()
        if found.kind == "AWS::CloudWatch::Alarm" and owner(found, deployed()) is Owner.ORCHESTRATOR
    ]
    metrics = sum(
        max(1, len([entry for entry in found.value("Metrics") or [] if "MetricStat" in entry])) for found in ours
    )
    assert usd_of(reckoned().orchestrator)["alarm"] == metrics * Decimal("0.1")
    probe = next(line for line in reckoned().orchestrator if line.resource == "Probe" and "lambda" in line.price.key)
    assert replace(probe, quantity=probe.quantity * 2).usd == probe.usd * 2


# One run


def test_the_loops_of_a_definition() -> None:
    machine = {
        "States": {
            "Ensure": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Next": "Done"},
            "Done": {"Type": "Choice", "Choices": [{"Next": "End"}], "Default": "Wait for DNS"},
            "Wait for DNS": {"Type": "Wait", "Next": "Ensure"},
            "Sleep": {"Type": "Wait", "Next": "End"},
            "End": {"Type": "Succeed"},
        }
    }
    assert list(loops(machine)) == [Loop("Wait for DNS", 3, 1)]


def test_a_run_by_hand(tmp_path: Path) -> None:
    inner = {
        "Ensure": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Next": "Wait for DNS"},
        "Wait for DNS": {"Type": "Wait", "Next": "Ensure"},
    }
    outer = {"States": {"Both": {"Type": "Parallel", "Branches": [{"States": inner}]}, "End": {"Type": "Succeed"}}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(outer))
    # Four states once, and 120 s of laps of two states and one call, each 10 s.
    assert passage(tmp_path / "run.yaml", Decimal(10)) == Passage(4, 4 + 12 * 2, 1 + 12)


def test_a_new_loop_is_refused_until_somebody_says_how_long_it_lasts(tmp_path: Path) -> None:
    states = {"Nap": {"Type": "Wait", "Next": "Look"}, "Look": {"Type": "Pass", "Next": "Nap"}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({"States": states}))
    with pytest.raises(Refused, match="Nap"):
        passage(tmp_path / "run.yaml", Decimal(10))


# Drills


def test_a_drill_costs_what_its_database_and_its_site_do_for_as_long_as_it_takes() -> None:
    """By hand: 20 GiB of `db.t4g.medium`, two instances, and the balancer with its two addresses."""
    drills, gib, hour = reckoned().drills, Decimal(20), load().of
    assert minutes("restore", gib) == 45
    assert minutes("promote", gib) == 75
    for kind, lasts in (("restore", Decimal("0.75")), ("promote", Decimal("1.25"))):
        a_month = {"database db.t4g.medium": 1, "alb": 1, "public-ipv4": 2, "instance t4g.small": 2}
        by_hand = sum((hour(key, DR).usd * number * lasts for key, number in a_month.items()), Decimal(0))
        by_hand += gib * hour("database-storage", DR).usd * lasts / 730
        by_hand += gib * hour("transfer-between", DR).usd if kind == "promote" else 0
        of_the_run = {"transition", "lambda-arm64", "lambda-request", "dynamodb-write", "dynamodb-read"}
        beside = of_the_run | {"sns-publish", "sns-email", "s3-put", "log-ingest"}
        assert round(total(one for one in drills[kind] if one.price.key not in beside), 9) == round(by_hand, 9)
    assert total(drills["plan"]) < Decimal("0.02")


def test_what_is_scheduled_is_a_plan_each_week_and_a_restore_each_month() -> None:
    found = reckoned()
    assert {kind: round(times, 2) for kind, times in found.drills_a_month.items()} == {
        "plan": Decimal("4.35"),
        "restore": 1,
    }
    a_restore, a_plan = (total(found.drills[kind]) for kind in ("restore", "plan"))
    assert a_restore < found.practice < a_restore + 5 * a_plan < 1


def test_the_prices_that_a_drill_tells_are_those_of_the_table() -> None:
    """It runs where no table is, so it has some of them with it."""

    def price(key: str) -> float:
        return float(load().of(key, DR).usd)

    known = {f"database {kind}": usd for kind, usd in drill_plan.DATABASE_HOUR.items()}
    known |= {f"instance {kind}": usd for kind, usd in drill_plan.INSTANCE_HOUR.items()}
    assert {key: price(key) for key in known} == known
    assert pytest.approx(price("alb") + 2 * price("public-ipv4")) == drill_plan.BALANCER_HOUR
    assert pytest.approx(price("database-storage") / 730) == drill_plan.STORAGE_GIB_HOUR
    assert pytest.approx(price("database-backup") / 730) == drill_plan.SNAPSHOT_GIB_HOUR
    assert price("transfer-between") == drill_plan.TRANSFER_GIB


def test_the_run_of_the_project_has_all_its_loops() -> None:
    found = reckoned().passage
    assert found.states > 50
    assert found.transitions > 2 * found.states
    assert found.calls > 50


def test_the_page_says_what_is_reckoned() -> None:
    """docs/cost.md, its first table."""
    found, page = reckoned(), (ROOT / "docs" / "cost.md").read_text()
    rows = {cells[1].strip(): cells[2:4] for row in page.splitlines() if len(cells := row.split("|")) == 5}
    reckoned_as = {
        "the orchestrator, a month": total(found.orchestrator),
        "what these bring": total(found.beside),
        "the orchestrator altogether": found.altogether,
        "one failover": total(found.failover),
        "the drills that are scheduled": found.practice,
        "one drill of the kind `restore`": total(found.drills["restore"]),
        "one drill of the kind `promote`": total(found.drills["promote"]),
    }
    said = {
        beginning: next(cells[0].strip() for text, cells in rows.items() if text.startswith(beginning))
        for beginning in reckoned_as
    }
    assert said == {beginning: f"{each:.2f}" for beginning, each in reckoned_as.items()}
    assert f"({found.passage.transitions} state transitions" in page


# The price table


def test_each_price_has_its_date_its_source_and_its_honesty() -> None:
    table = load()
    for price in table:
        assert price.usd > 0, price.key
        assert date(2025, 1, 1) < price.as_of <= table.looked_up, price.key
        assert price.source.startswith(("https://aws.amazon.com/", "https://pricing.us-east-1.amazonaws.com/")), (
            price.key
        )
        assert isinstance(price.checked, bool)
        if not price.checked:
            assert price.as_of == table.looked_up, f"{price.key}: what was not seen has no older date"


def test_each_price_holds_in_both_regions_of_the_examples() -> None:
    table = load()
    for key in table.table:
        for region in ("eu-west-1", "eu-central-1"):
            assert table.of(key, region).region in {region, EVERYWHERE}


def test_each_price_is_used() -> None:
    names = ("rates.py", "bill.py", "practice.py", "workings.py")
    source = "".join((FILE.parent / name).read_text() for name in names)
    for key in tomllib.loads(FILE.read_text()):
        if key != "looked_up" and " " not in key and not key.startswith("lambda-"):
            assert f'"{key}"' in source, key


def test_a_region_without_prices_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="'alb' in ap-south-1"):
        load().of("alb", "ap-south-1")
    with pytest.raises(Refused, match="'flight'"):
        Prices(date(2026, 1, 1), {}).of("flight", "eu-west-1")


# The command


def test_the_command_shows_all_four_answers(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert run(["cost"]) == 0
    said = capfd.readouterr().out
    for words in ("The orchestrator, a month", "One failover", "The pilot light, a month", "70 USD a plan and month"):
        assert words in said
    assert "One drill of the kind promote" in said
    assert "Scheduled in a month: 4.3 plan, 1.0 restore" in said
    for name in ASSUMPTIONS:
        assert f"  {name} = " in said
    assert "general knowledge" in said


def test_the_command_as_json(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert run(["cost", "--json", "--env", "prod"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document == json.loads(json.dumps(as_document(reckoned())))
    section = document["orchestrator_a_month"]
    assert Decimal(section["usd"]) <= Decimal(section["at_most"])
    assert abs(sum(Decimal(line["usd"]) for line in section["lines"]) - Decimal(section["usd"])) < Decimal("0.001")
    assert all(line["price"]["source"] and line["because"] for line in section["lines"])


def test_above_a_limit_is_exit_code_1(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("relight_cli.bill.MOST_A_MONTH", Decimal(1))
    assert run(["cost", "--json"]) == 1
    capfd.readouterr()


def test_an_unknown_environment_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["cost", "--env", "none", "--config", str(ROOT / "samconfig.toml")]) == 2
    complaint = capfd.readouterr().err
    assert complaint.count("\n") == 1
    assert "none" in complaint
