"""What the corners of a look make of AWS's answers: DNS records, health checks, certificates, S3's figures, IAM."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from relight import inspection_database, inspection_orchestrator, inspection_storage, inspection_traffic, metrics
from relight.inspection_orchestrator import UNKNOWN_UUID, Asked, calls, simulated
from relight.inspection_traffic import certified, checked, recorded
from relight.readiness_facts import Backlog, Certificate, HealthCheck, NotSeen, Permission, Record, ReplicationRule
from relight.settings import ReadinessSettings

from tests.unit.conftest import Clients
from tests.unit.deployed import BUCKET, NAMESPACE, PEER_BUCKET, Deployed
from tests.unit.loopback import NameServer, WebServer
from tests.unit.rds import Dbcheck
from tests.unit.standby import HERE, MACHINE, NOW, Clock
from tests.unit.test_inspection_capacity import Ec2

pytestmark = pytest.mark.readiness

MEASURED = ReplicationRule("from-primary", True, BUCKET, True)


@pytest.fixture
def settings(names: NameServer, web: WebServer, clients: Clients) -> Callable[..., ReadinessSettings]:
    found = Deployed(clients, Clock(), names, web, topic="arn:aws:sns:eu-central-1:123456789012:relight-shop")
    return found.settings


def test_the_zone_that_lies_nearest_is_the_site_s(aws: None, clients: Clients) -> None:
    route53 = clients("route53", HERE)
    for name, private in (("example", False), ("shop.example", False), ("a.shop.example", False), ("other", False)):
        config = {"Comment": "", "PrivateZone": private}
        route53.create_hosted_zone(Name=name, CallerReference=name, HostedZoneConfig=config)
    zones = {zone["Name"]: zone["Id"] for zone in route53.list_hosted_zones()["HostedZones"]}
    simple = {"Name": "shop.example", "Type": "A", "TTL": 300, "ResourceRecords": [{"Value": "192.0.2.1"}]}
    change = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": simple}]}
    route53.change_resource_record_sets(HostedZoneId=zones["shop.example."], ChangeBatch=change)
    assert recorded(route53, "shop.example") == (Record(None, None, None, 300),)
    assert recorded(route53, "www.shop.example") == ()
    assert recorded(route53, "shop.test") is None


def test_a_health_check_says_what_it_watches() -> None:
    switch = {
        "Type": "CLOUDWATCH_METRIC",
        "AlarmIdentifier": {"Name": "relight-shop-stop", "Region": HERE},
        "InsufficientDataHealthStatus": "LastKnownStatus",
        "Disabled": True,
    }
    both = {"Type": "CALCULATED", "ChildHealthChecks": ["4", "5"], "HealthThreshold": 2}
    endpoint = {"Type": "HTTPS", "FullyQualifiedDomainName": "primary.shop.example", "Inverted": True}
    found = checked(
        Ec2(
            list_health_checks={
                "HealthChecks": [
                    {"Id": str(number), "HealthCheckConfig": one} for number, one in enumerate((switch, endpoint, both))
                ]
            }
        )
    )
    assert found == (
        HealthCheck("0", "CLOUDWATCH_METRIC", True, False, ("relight-shop-stop", HERE), "LastKnownStatus", None),
        HealthCheck("1", "HTTPS", False, True, None, None, "primary.shop.example"),
        HealthCheck("2", "CALCULATED", False, False, None, None, None, frozenset({"4", "5"}), 2),
    )


@pytest.mark.parametrize(
    ("look", "operation", "key"),
    [
        (checked, "list_health_checks", "HealthChecks"),
        (lambda route53: recorded(route53, "shop.example"), "list_hosted_zones", "HostedZones"),
    ],
)
def test_what_lies_behind_the_pages_that_are_read_was_not_seen(look: Any, operation: str, key: str) -> None:
    """An account of many, whose health check or zone may be on the next page."""
    pages = [{key: [], "IsTruncated": True}] * 4
    with pytest.raises(NotSeen, match="more than 0"):
        look(Ec2(**{operation: pages}))


def test_a_certificate_of_acm() -> None:
    until = datetime(2027, 1, 1, tzinfo=UTC)
    told = {
        "Status": "ISSUED",
        "NotAfter": until,
        "DomainName": "shop.example",
        "SubjectAlternativeNames": ["shop.example", "*.shop.example"],
    }
    found = certified(Ec2(describe_certificate={"Certificate": told}), (f"arn:aws:acm:{HERE}:1:certificate/1",))
    assert found == Certificate("ISSUED", until.timestamp(), ("shop.example", "*.shop.example"))


@pytest.mark.parametrize("certificates", [(), ("arn:aws:iam::123456789012:server-certificate/old",)])
def test_a_certificate_that_is_not_acm_s_was_not_seen(certificates: tuple[str, ...]) -> None:
    with pytest.raises(NotSeen):
        certified(Ec2(), certificates)


def test_no_balancer_s_name_is_not_no_balancer(aws: None, clients: Clients) -> None:
    with pytest.raises(NotSeen):
        inspection_traffic.balancing(clients("elbv2", HERE), None, listeners=True)
    assert inspection_traffic.balancing(clients("elbv2", HERE), "nobody.elb.amazonaws.com", listeners=True) is None


def test_what_is_on_its_way_here_is_read_here(
    aws: None, clients: Clients, settings: Callable[..., ReadinessSettings]
) -> None:
    cloudwatch = clients("cloudwatch", HERE)
    where = {"SourceBucket": PEER_BUCKET, "DestinationBucket": BUCKET, "RuleId": "from-primary"}
    given = [{"Name": key, "Value": value} for key, value in where.items()]
    at = datetime.fromtimestamp(NOW, UTC) - timedelta(minutes=2)
    for name, value in (("OperationsPendingReplication", 4.0), ("ReplicationLatency", 61.0)):
        cloudwatch.put_metric_data(
            Namespace="AWS/S3",
            MetricData=[{"MetricName": name, "Dimensions": given, "Value": value, "Timestamp": at}],
        )
    assert inspection_storage.waiting(cloudwatch, settings(), (MEASURED,), NOW) == Backlog(4, 61)
    assert inspection_storage.waiting(cloudwatch, settings(), (MEASURED,), NOW + 7200) is None, "no figures are no zero"


@pytest.mark.parametrize(
    "rules", [None, (), (ReplicationRule("off", False, BUCKET, True),), (ReplicationRule("x", True, "other", True),)]
)
def test_without_a_measured_rule_nothing_is_asked(rules: Any, settings: Callable[..., ReadinessSettings]) -> None:
    assert inspection_storage.waiting(None, settings(), rules, NOW) is None


def test_the_newest_figure_of_a_switch_counts(aws: None, clients: Clients) -> None:
    cloudwatch = clients("cloudwatch", HERE)
    for minutes, value in ((5, 0.0), (2, 1.0), (9, 0.0)):
        at = datetime.fromtimestamp(NOW, UTC) - timedelta(minutes=minutes)
        data = [{"MetricName": "STOP", "Value": value, "Timestamp": at}]
        cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=data)
    stop = metrics.query("stop", NAMESPACE, "STOP", {}, 60, "Maximum")
    go = metrics.query("go", NAMESPACE, "GO", {}, 60, "Maximum")
    found = metrics.ask(cloudwatch, [stop, go], NOW, 900)
    assert [value for _, value in found["stop"]] == [1.0, 0.0, 0.0]
    assert found.get("go", []) == []


def test_what_dbcheck_cannot_say_was_not_seen() -> None:
    unreached: Any = Dbcheck(reached=False)
    with pytest.raises(NotSeen, match="it is not there"):
        inspection_database.streaming(unreached, "dbcheck")


def test_iam_is_asked_about_what_the_policies_name(settings: Callable[..., ReadinessSettings]) -> None:
    asked = calls(settings())
    database = f"arn:aws:rds:{HERE}:123456789012:db:shop-dr"
    dbcheck = f"arn:aws:lambda:{HERE}:123456789012:function:relight-shop-dbcheck"
    assert ("rds:PromoteReadReplica", database) in asked["promote"].pairs
    assert {("lambda:InvokeFunction", dbcheck)} <= {*asked["promote"].pairs} & {*asked["probe"].pairs}
    group = f"arn:aws:autoscaling:{HERE}:123456789012:autoScalingGroup:{UNKNOWN_UUID}:autoScalingGroupName/shop-dr"
    assert set(asked["scale"].pairs) == {
        (f"autoscaling:{what}", group) for what in ("UpdateAutoScalingGroup", "ResumeProcesses")
    }
    assert asked["switch"].context == {"cloudwatch:namespace": NAMESPACE}
    assert asked["probe"].pairs[0] == ("states:StartExecution", MACHINE)


def test_the_machine_is_asked_about_every_function_that_it_calls(settings: Callable[..., ReadinessSettings]) -> None:
    definition = (Path(__file__).parents[2] / "statemachine/failover.asl.yaml").read_text(encoding="utf-8")
    steps = {name.lower() for name in re.findall(r"\$\{(\w+)Function\}", definition)}
    prefix = f"arn:aws:lambda:{HERE}:123456789012:function:relight-shop-"
    asked = calls(settings())[inspection_orchestrator.MACHINE].pairs
    assert {("lambda:InvokeFunction", prefix + name) for name in steps} == set(asked) - {asked[0]}
    assert asked[0] == ("dynamodb:UpdateItem", f"arn:aws:dynamodb:{HERE}:123456789012:table/relight-shop")


ASKED = Asked((("rds:PromoteReadReplica", "db"), ("lambda:InvokeFunction", "dbcheck")))
MEANT = (Permission("rds:PromoteReadReplica", "allowed"), Permission("lambda:InvokeFunction", "explicitDeny"))


def result(action: str, resource: str, decision: str) -> dict[str, Any]:
    return {"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": decision}


def below(resource: str, decision: str) -> dict[str, Any]:
    return {"EvalResourceName": resource, "EvalResourceDecision": decision}


@pytest.mark.parametrize(
    "results",
    [
        [
            result("rds:PromoteReadReplica", "db", "allowed"),
            result("rds:PromoteReadReplica", "dbcheck", "implicitDeny"),
            result("lambda:InvokeFunction", "db", "implicitDeny"),
            result("lambda:InvokeFunction", "dbcheck", "explicitDeny"),
        ],
        [
            result("rds:PromoteReadReplica", "*", "implicitDeny")
            | {"ResourceSpecificResults": [below("db", "allowed"), below("dbcheck", "implicitDeny")]},
            result("lambda:InvokeFunction", "*", "implicitDeny")
            | {"ResourceSpecificResults": [below("db", "implicitDeny"), below("dbcheck", "explicitDeny")]},
        ],
    ],
)
def test_of_what_iam_judges_the_calls_count_that_are_made(results: list[dict[str, Any]]) -> None:
    """Promoting a function is denied, and nobody wants to."""
    assert simulated(Ec2(simulate_principal_policy={"EvaluationResults": results}), "role", ASKED) == MEANT


def test_what_iam_says_nothing_of_was_not_seen() -> None:
    silent = Ec2(simulate_principal_policy={"EvaluationResults": [result("rds:PromoteReadReplica", "db", "allowed")]})
    with pytest.raises(NotSeen, match="says nothing of lambda:InvokeFunction"):
        simulated(silent, "role", ASKED)
