"""stacks/global.yaml: which side DNS leads to, what Route 53's checkers look at, and who hears of what they see."""

from contextlib import nullcontext
from typing import Any

import pytest

from lab.errors import StackRefused
from lab.expression import Expression, Scope
from lab.parameter import check as parameters_check
from lab.parameter import check_rules, resolve
from tests.template.reading import written
from tests.template.region import ACCOUNT, REGIONS, global_stack, region

DOMAIN = "shop.example.com"
GIVEN = {
    "Domain": DOMAIN,
    "HostedZoneId": "Z0123456789",
    "PrimaryRegion": "eu-west-1",
    "DrRegion": "eu-central-1",
    "PrimaryBalancerName": "shop-primary-1.eu-west-1.elb.amazonaws.com",
    "PrimaryBalancerZoneId": "Z32O12XQLNTSW2",
    "DrBalancerName": "shop-dr-1.eu-central-1.elb.amazonaws.com",
    "DrBalancerZoneId": "Z215JYRZR1TBD5",
}


def of(name: str, **parameters: str) -> Any:
    return global_stack(**parameters)[name]


# Route 53 answers with the primary when the secondary is unhealthy, so the pair of switches makes the table.


@pytest.mark.parametrize(
    ("record", "failover", "check", "role"),
    [("SitePrimary", "PRIMARY", "Stop", "primary"), ("SiteSecondary", "SECONDARY", "GoAndNotHeld", "dr")],
)
def test_the_site_follows_its_switches_and_the_readiness_behind_them(
    record: str, failover: str, check: str, role: str
) -> None:
    found = of(record)
    assert (found["Name"], found["Type"], found["Failover"], found["HealthCheckId"]) == (DOMAIN, "A", failover, check)
    assert found["AliasTarget"]["EvaluateTargetHealth"] is True
    assert found["AliasTarget"]["DNSName"] == region(role).outputs["BalancerName"]


@pytest.mark.parametrize(
    ("check", "role", "alarm"), [("Stop", "dr", "Stop"), ("Go", "dr", "NoGo"), ("Hold", "primary", "Hold")]
)
def test_each_switch_is_behind_the_alarm_of_its_own_region(check: str, role: str, alarm: str) -> None:
    config = of(check)["HealthCheckConfig"]
    assert config["Type"] == "CLOUDWATCH_METRIC"
    assert config["InsufficientDataHealthStatus"] == "LastKnownStatus"
    name = region(role)[f"Observability/{alarm}"]["AlarmName"]
    assert config["AlarmIdentifier"] == {"Name": name, "Region": REGIONS[role]}


def test_the_secondary_needs_go_and_not_hold() -> None:
    config = of("GoAndNotHeld")["HealthCheckConfig"]
    assert config == {"Type": "CALCULATED", "ChildHealthChecks": ["Go", "Hold"], "HealthThreshold": 2}


@pytest.mark.parametrize("record", ["primary", "dr"])
def test_each_region_is_always_reached_by_its_own_name(record: str) -> None:
    found = of({"primary": "PrimaryAlways", "dr": "DrAlways"}[record])
    assert found["Name"] == f"{record}.{DOMAIN}"
    assert found["AliasTarget"]["DNSName"] == region(record).outputs["BalancerName"]
    assert found["AliasTarget"]["EvaluateTargetHealth"] is False
    assert not {"HealthCheckId", "Failover"} & found.keys()


def test_what_is_seen_from_outside_is_told_in_dns() -> None:
    up, down = of("SeenUp"), of("SeenDown")
    for record in (up, down):
        assert (record["Name"], record["Type"], record["TTL"]) == (f"_seen.{DOMAIN}", "TXT", "10")
    assert (up["Failover"], up["ResourceRecords"], up["HealthCheckId"]) == ("PRIMARY", ['"up"'], "Endpoint")
    assert (down["Failover"], down["ResourceRecords"]) == ("SECONDARY", ['"down"'])
    assert "HealthCheckId" not in down


def test_what_is_seen_of_dr_is_told_under_a_name_of_its_own() -> None:
    up, down = of("SeenDrUp"), of("SeenDrDown")
    for record in (up, down):
        assert (record["Name"], record["Type"], record["TTL"]) == (f"_seen-dr.{DOMAIN}", "TXT", "10")
    assert (up["Failover"], up["ResourceRecords"], up["HealthCheckId"]) == ("PRIMARY", ['"up"'], "EndpointDr")
    assert (down["Failover"], down["ResourceRecords"], down.get("HealthCheckId")) == ("SECONDARY", ['"down"'], None)


@pytest.mark.parametrize(("role", "pair"), [("dr", "SeenUp"), ("primary", "SeenDrUp")])
def test_each_region_asks_for_what_is_seen_of_the_other_one(role: str, pair: str) -> None:
    for function in ("Watch/Probe", "Failover/Assess"):
        assert region(role)[function]["Environment"]["Variables"]["SEEN_NAME"] == of(pair)["Name"]


@pytest.mark.parametrize(("scheme", "kind", "sni"), [("https", "HTTPS", True), ("http", "HTTP", None)])
def test_dr_is_looked_at_every_thirty_seconds_and_one_look_decides(scheme: str, kind: str, sni: bool | None) -> None:
    """A look costs; where the words of the page are not looked for, its status has to say whether it is ready."""
    config = of("EndpointDr", Scheme=scheme)["HealthCheckConfig"]
    assert (config["Type"], config.get("EnableSNI")) == (kind, sni)
    assert (config["FullyQualifiedDomainName"], config["ResourcePath"]) == (f"dr.{DOMAIN}", "/health/ready")
    assert (config["RequestInterval"], config["FailureThreshold"], config.get("SearchString")) == (30, 1, None)
    assert config["Regions"] == of("Endpoint")["HealthCheckConfig"]["Regions"]
    assert of("EndpointDr", ReadinessPath="/up")["HealthCheckConfig"]["ResourcePath"] == "/up"
    records = global_stack().of("AWS::Route53::RecordSet")
    assert [name for name, record in records.items() if record.get("HealthCheckId") == "EndpointDr"] == ["SeenDrUp"]


def test_an_owner_who_cuts_over_by_hand_gets_all_but_the_records_of_the_site() -> None:
    """A failover record cannot share name and type with the simple record that is there."""
    whole, without = set(global_stack().resources), set(global_stack(SiteRecords="false").resources)
    assert whole - without == {"SitePrimary", "SiteSecondary"}
    assert global_stack(SiteRecords="false").outputs["SiteCheckIds"] == "Stop,GoAndNotHeld"


# The endpoint, as Route 53's checkers see it.


@pytest.mark.parametrize(
    ("scheme", "kind", "sni"), [("https", "HTTPS_STR_MATCH", True), ("http", "HTTP_STR_MATCH", None)]
)
def test_the_endpoint_is_looked_at_every_ten_seconds_from_three_regions(
    scheme: str, kind: str, sni: bool | None
) -> None:
    config = of("Endpoint", Scheme=scheme)["HealthCheckConfig"]
    assert (config["Type"], config.get("EnableSNI")) == (kind, sni)
    assert (config["FullyQualifiedDomainName"], config["ResourcePath"]) == (f"primary.{DOMAIN}", "/health/ready")
    assert (config["RequestInterval"], int(config["FailureThreshold"]), config["SearchString"]) == (10, 3, "ready")
    assert len(set(config["Regions"])) >= 3


def test_an_application_that_has_another_readiness_is_asked_for_that_one() -> None:
    config = of("Endpoint", ReadinessPath="/up", ReadinessText="")["HealthCheckConfig"]
    assert (config["Type"], config["ResourcePath"]) == ("HTTPS", "/up")
    assert "SearchString" not in config
    assert of("Endpoint", ReadinessText="it is up")["HealthCheckConfig"]["SearchString"] == "it is up"


def test_the_detector_is_on_no_record_of_the_site() -> None:
    records = global_stack().of("AWS::Route53::RecordSet")
    assert [name for name, record in records.items() if record.get("HealthCheckId") == "Endpoint"] == ["SeenUp"]


def test_its_alarm_is_where_its_metric_is_and_unknown_is_not_down() -> None:
    alarm = of("EndpointDown")
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Route53", "HealthCheckStatus")
    assert alarm["Dimensions"] == [{"Name": "HealthCheckId", "Value": "Endpoint"}]
    assert (alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"]) == ("Minimum", "LessThanThreshold", 1)
    assert alarm["TreatMissingData"] == "missing"
    assert alarm["AlarmName"] == "relight-shop-endpoint"


def event(state: str, *, where: str = "us-east-1", alarm: str = "relight-shop-endpoint") -> dict[str, Any]:
    return {
        "source": "aws.cloudwatch",
        "detail-type": "CloudWatch Alarm State Change",
        "account": ACCOUNT,
        "region": where,
        "detail": {"alarmName": alarm, "state": {"value": state}},
    }


def matches(pattern: Any, found: Any) -> bool:
    """EventBridge's matching, as far as exact values go."""
    return all(
        matches(wanted, found.get(key, {})) if isinstance(wanted, dict) else found.get(key) in wanted
        for key, wanted in pattern.items()
    )


def test_its_change_of_state_starts_a_run_in_the_dr_region() -> None:
    rule, heard = of("EndpointEvents"), region("dr")["Failover/FailoverPrimaryUnseen"]
    (target,) = rule["Targets"]
    assert target["Arn"] == f"arn:aws:events:{REGIONS['dr']}:{ACCOUNT}:event-bus/default"
    assert [matches(rule["EventPattern"], event(state)) for state in ("ALARM", "OK")] == [True, True]
    assert [matches(heard["EventPattern"], event(state)) for state in ("ALARM", "OK")] == [True, False]
    assert not matches(heard["EventPattern"], event("ALARM", where=REGIONS["dr"]))
    assert not matches(heard["EventPattern"], event("ALARM") | {"account": "210987654321"})
    assert not matches(rule["EventPattern"], event("ALARM", alarm="relight-shop-attention"))
    assert not {"Input", "InputPath", "InputTransformer"} & heard["Targets"][0].keys(), "the run reads the whole event"
    assert heard["Targets"][0]["Arn"] == region("dr").resources["Failover/Failover"].arn


def test_the_rule_may_put_events_on_that_bus_and_nothing_else() -> None:
    role, (target,) = of("ForwardRole"), of("EndpointEvents")["Targets"]
    assert target["RoleArn"] == "ForwardRole.Arn"
    (policy,) = role["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"], statement["Resource"]) == (
        "Allow",
        "events:PutEvents",
        target["Arn"],
    )
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "events.amazonaws.com"}
    own = f"arn:aws:events:us-east-1:{ACCOUNT}:rule/{of('EndpointEvents')['Name']}"
    assert trust["Condition"]["ArnEquals"] == {"aws:SourceArn": own}


def test_what_cannot_be_forwarded_is_kept_and_does_not_come_late() -> None:
    (target,) = of("EndpointEvents")["Targets"]
    assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] <= 120
    assert target["DeadLetterConfig"] == {"Arn": global_stack().resources["DeadLetters"].arn}
    (statement,) = of("DeadLettersPolicy")["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": "EndpointEvents.Arn"}}


def test_nothing_is_forwarded_to_the_bus_that_it_is_on() -> None:
    found = global_stack(DrRegion="us-east-1")
    assert not found.of("AWS::Events::Rule")
    assert "EndpointDown" in found.resources, "the DR Region's own rule hears it"


# Parameters.


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("Domain", "shop.example.com", True),
        ("Domain", "shop.example.com.", False),
        ("Domain", "Shop.example.com", False),
        ("Domain", "shop", False),
        ("Domain", "-shop.example.com", False),
        ("HostedZoneId", "Z0123456789ABCDEF", True),
        ("HostedZoneId", "/hostedzone/Z0123456789ABCDEF", False),
        ("SiteRecords", "false", True),
        ("SiteRecords", "no", False),
        ("PrimaryRegion", "Ireland", False),
        ("DrRegion", "us-gov-west-1", True),
        ("SitePort", "0", False),
        ("ReadinessPath", "up", False),
        ("ReadinessText", "", True),
        ("ReadinessText", "bereit für Aufträge", False),
        ("SitePort", "65536", False),
        ("PrimaryBalancerName", "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/x/1", False),
        ("DrBalancerZoneId", "", False),
        ("FailureThreshold", "11", False),
        ("Application", "shop-", False),
        ("Scheme", "HTTPS", False),
    ],
)
def test_parameters_take_what_they_mean(name: str, value: str, taken: bool) -> None:
    with nullcontext() if taken else pytest.raises(StackRefused, match=name):
        parameters_check(written("global"), GIVEN | {name: value}, lambda _: None)


def test_each_parameter_says_what_it_takes() -> None:
    for name, parameter in written("global").body["Parameters"].items():
        assert {"AllowedPattern", "AllowedValues", "MinValue"} & parameter.keys(), name
        assert parameter["ConstraintDescription"], name


def rules(region_name: str, **parameters: str) -> None:
    template = written("global")
    scope = Scope(
        parameters={"AWS::Region": region_name} | resolve(template, GIVEN | parameters, lambda _: None),
        mappings={},
        conditions=template.body["Conditions"],
        ref=str,
        attribute=lambda name, attribute: f"{name}.{attribute}",
        zones=lambda _: [],
    )
    check_rules(template, lambda where: Expression(scope, where))


def test_two_regions_and_us_east_1() -> None:
    rules("us-east-1")
    with pytest.raises(StackRefused, match="PrimaryRegion and DrRegion are equal"):
        rules("us-east-1", DrRegion="eu-west-1")
    with pytest.raises(StackRefused, match="belongs to us-east-1"):
        rules("eu-west-1")
