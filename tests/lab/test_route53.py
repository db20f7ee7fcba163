"""Which side Route 53 leads to: the truth tables, and checkers and zones over moto's API and real sockets."""

import itertools
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import dns.message
import dns.query
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from lab.dns import NameServer, Record
from lab.health_check import HealthCheck, Streak, fault_of, found_by_alarm, found_by_children
from lab.hosted_zone import RecordSet, choose
from lab.region import Side, Vantage, alb_address
from lab.route53 import Route53, moto_backend

ACCOUNT = "123456789012"
DOMAIN = "shop.test"
ALB = {Side.PRIMARY: "one.eu-west-1.elb.amazonaws.com", Side.DR: "two.eu-central-1.elb.amazonaws.com"}
SCALE = 0.002
"""A RequestInterval of 10 s is 20 ms."""


def until(true: Callable[[], bool], what: str, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


class World:
    """What Route 53 looks at, as the test wants it."""

    def __init__(self) -> None:
        self.alarms: dict[tuple[str, str], str] = {}
        self.healthy = {ALB[Side.PRIMARY], ALB[Side.DR]}
        self.published: list[tuple[str, bool]] = []

    def alarm_state(self, region: str, name: str) -> str | None:
        return self.alarms.get((region, name))

    def healthy_targets(self, name: str) -> bool:
        return name in self.healthy

    def alb_address(self, name: str, vantage: Vantage) -> str | None:
        return next((alb_address(side, vantage) for side in Side if ALB[side] == name), None)


class Endpoint(ThreadingHTTPServer):
    """A site whose answer the test chooses."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), EndpointHandler)
        self.code = 200
        self.body = b"we take orders"
        self.hosts: list[str] = []
        self.connections = 0
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def port(self) -> int:
        return self.server_port

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class EndpointHandler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_GET(self) -> None:
        self.server.hosts.append(self.headers["Host"])
        self.send_response(self.server.code)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Nothing: the test's output is not the place."""


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        yield boto3.client("route53", region_name="us-east-1")


@pytest.fixture
def route53(api: Any, world: World) -> Iterator[Route53]:
    route53 = Route53(
        moto_backend(ACCOUNT),
        alarm_state=world.alarm_state,
        healthy_targets=world.healthy_targets,
        alb_address=world.alb_address,
        health_check_scale=SCALE,
        alias_ttl=3,
        publish=lambda check, healthy: world.published.append((check, healthy)),
        minute=0.3,
    )
    route53.install()
    route53.start()
    yield route53
    route53.stop()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    yield endpoint
    endpoint.close()


@pytest.fixture
def zone(api: Any) -> str:
    made: str = api.create_hosted_zone(Name=DOMAIN, CallerReference="zone")["HostedZone"]["Id"]
    return made


def make_check(api: Any, **config: Any) -> str:
    made: str = api.create_health_check(CallerReference=uuid.uuid4().hex, HealthCheckConfig=config)["HealthCheck"]["Id"]
    return made


def on_alarm(api: Any, name: str, **config: Any) -> str:
    alarm = {"Region": "eu-west-1", "Name": name}
    return make_check(api, Type="CLOUDWATCH_METRIC", AlarmIdentifier=alarm, **config)


def add(api: Any, zone: str, name: str, rtype: str = "A", **record: Any) -> None:
    change = {"Action": "UPSERT", "ResourceRecordSet": {"Name": name, "Type": rtype, **record}}
    api.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [change]})


def alias(name: str, *, evaluate: bool = True) -> dict[str, Any]:
    return {"AliasTarget": {"HostedZoneId": "Z32O12XQLNTSW2", "DNSName": name, "EvaluateTargetHealth": evaluate}}


def failover(kind: str, check_id: str | None = None) -> dict[str, Any]:
    check = {"HealthCheckId": check_id} if check_id else {}
    return {"SetIdentifier": kind.lower(), "Failover": kind} | check


def text(value: str, ttl: int = 10) -> dict[str, Any]:
    return {"TTL": ttl, "ResourceRecords": [{"Value": f'"{value}"'}]}


# -- the decisions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("primary", "secondary", "answered"),
    [(True, True, "PRIMARY"), (True, False, "PRIMARY"), (False, True, "SECONDARY"), (False, False, "PRIMARY")],
)
def test_the_failover_truth_table(primary: bool, secondary: bool, answered: str) -> None:
    pair = [RecordSet(DOMAIN, "A", failover=kind) for kind in ("SECONDARY", "PRIMARY")]
    healthy = {"PRIMARY": primary, "SECONDARY": secondary}
    assert [record.failover for record in choose(pair, lambda record: healthy[str(record.failover)])] == [answered]


def test_half_a_pair_and_a_simple_record_are_answered_even_when_unhealthy() -> None:
    for kind in ("PRIMARY", "SECONDARY", None):
        record = RecordSet(DOMAIN, "A", failover=kind)
        assert choose([record], lambda _: False) == [record]
    assert choose([], lambda _: True) == []


def test_a_streak_changes_after_the_threshold_both_ways() -> None:
    streak = Streak()
    seen = []
    for passed in (False, False, True, False, False, False, True, True, False, True, True, True):
        streak.observe(passed, 3)
        seen.append(streak.healthy)
    assert seen == [True] * 5 + [False] * 6 + [True]


@pytest.mark.parametrize("last_known", [True, False])
@pytest.mark.parametrize("policy", ["Healthy", "Unhealthy", "LastKnownStatus"])
def test_an_alarm_without_data_follows_the_policy(policy: str, last_known: bool) -> None:
    assert found_by_alarm("OK", policy, last_known)
    assert not found_by_alarm("ALARM", policy, last_known)
    expected = {"Healthy": True, "Unhealthy": False, "LastKnownStatus": last_known}[policy]
    assert found_by_alarm("INSUFFICIENT_DATA", policy, last_known) is expected
    assert found_by_alarm(None, policy, last_known) is expected


def test_children_are_counted_against_the_threshold() -> None:
    for children in itertools.product([True, False], repeat=3):
        assert found_by_children(children, 2) is (sum(children) >= 2)
    assert found_by_children([False], 0)
    assert not found_by_children([True, True], 3)


@pytest.mark.parametrize(
    ("disabled", "inverted", "found", "status"),
    [
        (False, False, True, True),
        (False, False, False, False),
        (False, True, True, False),
        (False, True, False, True),
        (True, False, False, True),
        (True, True, False, False),
    ],
)
def test_disabled_counts_as_found_healthy_and_may_be_inverted(
    disabled: bool, inverted: bool, found: bool, status: bool
) -> None:
    assert HealthCheck("id", "HTTP", disabled=disabled, inverted=inverted).status(found) is status


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"Type": "RECOVERY_CONTROL"}, "RECOVERY_CONTROL"),
        ({"Type": "CLOUDWATCH_METRIC"}, "AlarmIdentifier"),
        ({"Type": "CALCULATED"}, "HealthThreshold"),
        ({"Type": "HTTP"}, "FullyQualifiedDomainName"),
        ({"Type": "TCP", "IPAddress": "127.0.0.1", "RequestInterval": 20}, "RequestInterval"),
    ],
)
def test_what_route_53_or_the_lab_would_not_take(config: dict[str, Any], word: str) -> None:
    assert word in (fault_of(config) or "")


# -- moto's API ---------------------------------------------------------------------------------------------------


def test_nothing_of_a_health_check_is_dropped(api: Any, route53: Route53) -> None:
    child = on_alarm(api, "stop", Inverted=True, InsufficientDataHealthStatus="LastKnownStatus")
    config = api.get_health_check(HealthCheckId=child)["HealthCheck"]["HealthCheckConfig"]
    assert config["AlarmIdentifier"] == {"Region": "eu-west-1", "Name": "stop"}
    assert config["InsufficientDataHealthStatus"] == "LastKnownStatus"
    assert config["Inverted"] is True
    tls = {
        "Type": "HTTPS_STR_MATCH",
        "FullyQualifiedDomainName": DOMAIN,
        "ResourcePath": "/health/ready",
        "SearchString": "ready",
        "RequestInterval": 10,
        "FailureThreshold": 2,
        "EnableSNI": True,
        "Disabled": True,
        "Regions": ["us-east-1", "eu-west-1", "sa-east-1"],
    }
    kept = api.get_health_check(HealthCheckId=make_check(api, **tls))["HealthCheck"]["HealthCheckConfig"]
    assert {name: kept[name] for name in tls} == tls
    assert kept["Port"] == 443
    parent = make_check(api, Type="CALCULATED", ChildHealthChecks=[child], HealthThreshold=1)
    kept = api.get_health_check(HealthCheckId=parent)["HealthCheck"]["HealthCheckConfig"]
    assert (kept["ChildHealthChecks"], kept["HealthThreshold"]) == ([child], 1)


def test_an_update_is_kept_and_takes_effect(api: Any, route53: Route53, world: World) -> None:
    check = on_alarm(api, "stop", InsufficientDataHealthStatus="Unhealthy")
    assert not route53.status(check)
    other = {"Region": "eu-central-1", "Name": "go"}
    updated = api.update_health_check(
        HealthCheckId=check, AlarmIdentifier=other, InsufficientDataHealthStatus="Healthy", Inverted=False
    )["HealthCheck"]
    assert updated["HealthCheckConfig"]["AlarmIdentifier"] == other
    assert updated["HealthCheckVersion"] == 2
    until(lambda: route53.status(check), "the changed policy has no effect")
    world.alarms["eu-central-1", "go"] = "ALARM"
    until(lambda: not route53.status(check), "the changed alarm has no effect")


def test_what_cannot_be_imitated_is_refused(api: Any, route53: Route53) -> None:
    with pytest.raises(ClientError, match="RECOVERY_CONTROL"):
        make_check(api, Type="RECOVERY_CONTROL", RoutingControlArn="arn:aws:route53-recovery-control::1:c/x")


def test_stopping_leaves_moto_as_it_was(api: Any, route53: Route53) -> None:
    route53.stop()
    check = api.get_health_check(HealthCheckId=on_alarm(api, "stop"))["HealthCheck"]
    assert "AlarmIdentifier" not in check["HealthCheckConfig"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("health-check")]


# -- checkers -----------------------------------------------------------------------------------------------------


def http_check(api: Any, endpoint: Endpoint, **config: Any) -> str:
    wanted = {"Type": "HTTP", "IPAddress": "127.0.0.1", "RequestInterval": 10, "FailureThreshold": 3} | config
    return make_check(api, Port=endpoint.port, **wanted)


def test_an_endpoint_is_really_asked(api: Any, route53: Route53, endpoint: Endpoint) -> None:
    check = http_check(api, endpoint, FullyQualifiedDomainName=DOMAIN)
    assert route53.status(check)
    assert route53.last_change(check) is None
    until(lambda: len(endpoint.hosts) >= 2, "the endpoint is not asked")
    assert set(endpoint.hosts) == {f"{DOMAIN}:{endpoint.port}"}
    before = time.time()
    endpoint.code = 503
    until(lambda: not route53.status(check), "an endpoint that says 503 stays healthy")
    assert before <= (route53.last_change(check) or 0.0) <= time.time()
    report = api.get_health_check_status(HealthCheckId=check)["HealthCheckObservations"][0]["StatusReport"]
    assert report["Status"] == "Failure"
    endpoint.code = 302
    until(lambda: route53.status(check), "an endpoint that answers again stays unhealthy")
    assert route53.statuses() == {check: True}


def test_the_status_of_each_check_is_published_every_minute(api: Any, route53: Route53, world: World) -> None:
    check = on_alarm(api, "stop")
    until(lambda: (check, True) in world.published, "a healthy check is not published")
    world.alarms["eu-west-1", "stop"] = "ALARM"
    until(lambda: world.published[-1] == (check, False), "an unhealthy check is not published")
    before, began = len(world.published), time.monotonic()
    until(lambda: len(world.published) >= before + 3, "it is published once only")
    assert time.monotonic() - began > 2 * 0.3, "it is published more often than once a minute"


def test_a_string_is_looked_for_in_what_route_53_reads(api: Any, route53: Route53, endpoint: Endpoint) -> None:
    here = http_check(api, endpoint, Type="HTTP_STR_MATCH", SearchString="orders")
    until(lambda: len(endpoint.hosts) >= 4, "the endpoint is not asked")
    assert route53.status(here)
    endpoint.body = b" " * 5120 + b"orders"
    until(lambda: not route53.status(here), "the string counts although it comes too late")


def test_a_closed_port_and_a_silent_one_are_unhealthy(api: Any, route53: Route53) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        config = {"IPAddress": "127.0.0.1", "Port": port, "RequestInterval": 10, "FailureThreshold": 1}
        tcp = make_check(api, Type="TCP", **config)
        http = make_check(api, Type="HTTP", **config)
        tls = make_check(api, Type="HTTPS", **config)
        assert route53.status(tcp)
        until(lambda: not route53.status(http), "a silent endpoint is healthy over HTTP")
        until(lambda: not route53.status(tls), "a silent endpoint is healthy over HTTPS")
        assert route53.status(tcp)
    until(lambda: not route53.status(tcp), "a closed port is healthy")


def test_a_name_is_resolved_in_the_zone_as_the_outside_sees_it(
    api: Any, zone: str, route53: Route53, endpoint: Endpoint
) -> None:
    name = f"primary.{DOMAIN}"
    check = make_check(
        api, Type="HTTP", FullyQualifiedDomainName=name, Port=endpoint.port, RequestInterval=10, FailureThreshold=1
    )
    until(lambda: not route53.status(check), "a name that does not exist is healthy")
    add(api, zone, name, TTL=5, ResourceRecords=[{"Value": "127.0.0.1"}])
    until(lambda: route53.status(check), "the name is not resolved")


def test_disabled_is_healthy_and_asks_nobody(api: Any, route53: Route53, endpoint: Endpoint) -> None:
    endpoint.code = 500
    check = http_check(api, endpoint, FailureThreshold=1)
    until(lambda: not route53.status(check), "500 is healthy")
    api.update_health_check(HealthCheckId=check, Disabled=True)
    until(lambda: route53.status(check), "a disabled check is unhealthy")
    until(lambda: not endpoint_threads(), "a disabled check still asks")


def endpoint_threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("health-check-")]


def test_a_deleted_check_is_forgotten(api: Any, route53: Route53, endpoint: Endpoint) -> None:
    check = http_check(api, endpoint)
    until(lambda: route53.statuses() == {check: True}, "the check is not looked at")
    api.delete_health_check(HealthCheckId=check)
    until(lambda: route53.statuses() == {} and not endpoint_threads(), "a deleted check goes on")
    with pytest.raises(KeyError, match=check):
        route53.status(check)


def test_the_last_known_status_of_an_alarm_outlives_its_data(api: Any, route53: Route53, world: World) -> None:
    new = on_alarm(api, "go", InsufficientDataHealthStatus="LastKnownStatus", Inverted=True)
    assert not route53.status(new)
    world.alarms["eu-west-1", "go"] = "ALARM"
    until(lambda: route53.status(new), "an inverted check on an alarm is unhealthy")
    world.alarms["eu-west-1", "go"] = "INSUFFICIENT_DATA"
    route53.checker._look()
    assert route53.status(new)
    world.alarms.clear()
    route53.checker._look()
    assert route53.status(new)


def test_a_calculated_check_follows_its_children(api: Any, route53: Route53, world: World) -> None:
    go, hold = on_alarm(api, "go", Inverted=True), on_alarm(api, "hold")
    both = make_check(api, Type="CALCULATED", ChildHealthChecks=[go, hold], HealthThreshold=2)
    nested = make_check(api, Type="CALCULATED", ChildHealthChecks=[both], HealthThreshold=1, Inverted=True)
    assert (route53.status(both), route53.status(nested)) == (False, True)
    world.alarms |= {("eu-west-1", "go"): "ALARM", ("eu-west-1", "hold"): "OK"}
    until(lambda: route53.status(both) and not route53.status(nested), "two healthy children do not make a healthy one")
    world.alarms["eu-west-1", "hold"] = "ALARM"
    until(lambda: not route53.status(both), "one healthy child of two is enough")


# -- zones --------------------------------------------------------------------------------------------------------


@pytest.fixture
def site(api: Any, zone: str, route53: Route53) -> str:
    """The records of a pilot light: the domain as a failover pair with the switches, and a name for each side."""
    stop = on_alarm(api, "stop")
    go = on_alarm(api, "go", Inverted=True)
    hold = on_alarm(api, "hold")
    gate = make_check(api, Type="CALCULATED", ChildHealthChecks=[go, hold], HealthThreshold=2)
    add(api, zone, DOMAIN, **failover("PRIMARY", stop), **alias(ALB[Side.PRIMARY]))
    add(api, zone, DOMAIN, **failover("SECONDARY", gate), **alias(f"dualstack.{ALB[Side.DR]}."))
    add(api, zone, f"primary.{DOMAIN}", **alias(ALB[Side.PRIMARY], evaluate=False))
    add(api, zone, f"dr.{DOMAIN}", **alias(ALB[Side.DR], evaluate=False))
    return stop


def test_an_alias_is_the_load_balancer_as_each_vantage_reaches_it(site: str, route53: Route53) -> None:
    for vantage in Vantage:
        expected = [Record(f"dr.{DOMAIN}", "A", 3, alb_address(Side.DR, vantage))]
        assert route53.zones.answer(f"dr.{DOMAIN}", "A", vantage) == expected
    assert route53.zones.answer(f"dr.{DOMAIN}", "AAAA", Vantage.OUTSIDE) == []


def test_the_switches_and_the_targets_decide(site: str, route53: Route53, world: World) -> None:
    some_targets: list[set[Side]] = [set(), {Side.PRIMARY}, {Side.DR}, {Side.PRIMARY, Side.DR}]
    on_or_off = [False, True]
    for targets, stop, go, hold in itertools.product(some_targets, on_or_off, on_or_off, on_or_off):
        world.healthy = {ALB[side] for side in targets}
        for name, on in (("stop", stop), ("go", go), ("hold", hold)):
            world.alarms["eu-west-1", name] = "ALARM" if on else "OK"
        route53.checker._look()
        primary = Side.PRIMARY in targets and not stop
        secondary = Side.DR in targets and go and not hold
        expected = Side.PRIMARY if primary or not secondary else Side.DR
        assert route53.answer_of(DOMAIN) is expected, (targets, stop, go, hold)


def test_the_zone_is_served_over_dns(site: str, route53: Route53, world: World) -> None:
    server = NameServer(route53.zones, Vantage.DR, "127.0.0.1")
    server.start()
    try:
        world.healthy = {ALB[Side.DR]}
        world.alarms["eu-west-1", "go"] = "ALARM"
        until(lambda: route53.answer_of(DOMAIN) is Side.DR, "the secondary is not answered")
        query = dns.message.make_query(DOMAIN, "A")
        (rrset,) = dns.query.udp(query, server.address[0], port=server.address[1], timeout=5).answer
        assert (rrset.ttl, [item.address for item in rrset]) == (3, [alb_address(Side.DR, Vantage.DR)])
    finally:
        server.stop()


def test_a_text_pair_tells_what_the_checker_sees(api: Any, zone: str, route53: Route53, endpoint: Endpoint) -> None:
    check = http_check(api, endpoint, FailureThreshold=1)
    add(api, zone, f"_seen.{DOMAIN}", "TXT", **failover("PRIMARY", check), **text("up"))
    add(api, zone, f"_seen.{DOMAIN}", "TXT", **failover("SECONDARY"), **text("down"))

    def says() -> list[Record] | None:
        return route53.zones.answer(f"_seen.{DOMAIN}", "TXT", Vantage.DR)

    assert says() == [Record(f"_seen.{DOMAIN}", "TXT", 10, '"up"')]
    endpoint.code = 503
    until(lambda: says() == [Record(f"_seen.{DOMAIN}", "TXT", 10, '"down"')], "the pair does not follow its check")


def test_an_alias_to_another_name_takes_its_records_and_its_health(
    api: Any, zone: str, site: str, route53: Route53, world: World
) -> None:
    add(api, zone, f"one.{DOMAIN}", **failover("PRIMARY"), **alias(f"primary.{DOMAIN}"))
    add(api, zone, f"one.{DOMAIN}", **failover("SECONDARY"), **alias(f"dr.{DOMAIN}"))
    add(api, zone, f"primary.{DOMAIN}", **alias(ALB[Side.PRIMARY]))
    assert route53.answer_of(f"one.{DOMAIN}") is Side.PRIMARY
    world.healthy = {ALB[Side.DR]}
    expected = [Record(f"one.{DOMAIN}", "A", 3, alb_address(Side.DR, Vantage.DR))]
    assert route53.zones.answer(f"one.{DOMAIN}", "A", Vantage.DR) == expected


def test_an_alias_to_itself_is_an_error(api: Any, zone: str, route53: Route53) -> None:
    add(api, zone, f"loop.{DOMAIN}", **alias(f"loop.{DOMAIN}"))
    with pytest.raises(ValueError, match="leads back to itself"):
        route53.zones.answer(f"loop.{DOMAIN}", "A", Vantage.OUTSIDE)


def test_a_cname_is_followed_within_the_zone(api: Any, zone: str, site: str, route53: Route53) -> None:
    add(api, zone, f"www.{DOMAIN}", "CNAME", TTL=60, ResourceRecords=[{"Value": f"dr.{DOMAIN}."}])
    chain = [
        Record(f"www.{DOMAIN}", "CNAME", 60, f"dr.{DOMAIN}."),
        Record(f"dr.{DOMAIN}", "A", 3, alb_address(Side.DR, Vantage.OUTSIDE)),
    ]
    assert route53.zones.answer(f"www.{DOMAIN}", "A", Vantage.OUTSIDE) == chain
    assert route53.zones.answer(f"www.{DOMAIN}", "CNAME", Vantage.OUTSIDE) == chain[:1]
    assert route53.answer_of(f"www.{DOMAIN}") is Side.DR


def test_names_that_are_not_and_names_that_only_have_names_below(api: Any, zone: str, route53: Route53) -> None:
    add(api, zone, f"a.b.{DOMAIN}", "TXT", **text("x"))
    assert route53.zones.answer(f"b.{DOMAIN}", "TXT", Vantage.OUTSIDE) == []
    assert route53.zones.answer(f"c.{DOMAIN}", "TXT", Vantage.OUTSIDE) is None
    assert route53.zones.answer("elsewhere.test", "A", Vantage.OUTSIDE) is None
    assert route53.answer_of("elsewhere.test") is None
    soa = route53.zones.answer(DOMAIN, "SOA", Vantage.OUTSIDE)
    assert soa is not None
    assert soa[0].value.startswith("ns-2048")


def test_other_routing_policies_are_refused(api: Any, zone: str, route53: Route53) -> None:
    add(api, zone, f"w.{DOMAIN}", Weight=1, SetIdentifier="w", TTL=5, ResourceRecords=[{"Value": "127.0.0.1"}])
    with pytest.raises(ValueError, match="weight"):
        route53.zones.answer(f"w.{DOMAIN}", "A", Vantage.OUTSIDE)
