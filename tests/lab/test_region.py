"""What the Regions are called, and a primary in us-east-1, where AWS's global control planes are."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import boto3
import dns.message
import dns.query
import pytest
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError

from lab import region
from lab.cloud import ACCOUNT, Cloud
from lab.dns import NameServer
from lab.events import Events
from lab.network import Network, Path
from lab.region import (
    GLOBAL,
    REGION_NAME,
    Shared,
    Side,
    Vantage,
    access_key,
    place_of,
    region_names,
    side_of,
    vantage_in,
)
from lab.route53 import Route53, moto_backend
from lab.timings import LAB

DR = REGION_NAME[Side.DR]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def at_home() -> Iterator[None]:
    yield
    region.set_primary(region.PRIMARY_NAME)


@pytest.fixture
def in_us_east_1(at_home: None) -> None:
    region.set_primary(GLOBAL)


def test_the_primary_is_called_what_one_says(at_home: None) -> None:
    assert region_names() == ("eu-west-1", DR, GLOBAL)
    region.set_primary("ap-southeast-2")
    assert dict(REGION_NAME) == {Side.PRIMARY: "ap-southeast-2", Side.DR: DR}
    assert side_of("ap-southeast-2") is Side.PRIMARY
    assert (place_of(GLOBAL), vantage_in(GLOBAL)) == (Shared.GLOBAL, Vantage.OUTSIDE)
    with pytest.raises(ValueError, match="eu-west-1"):
        side_of("eu-west-1")


@pytest.mark.parametrize("name", [DR, "nowhere", "", "us-east-1; rm"])
def test_what_is_no_name_for_the_primary_is_refused(at_home: None, name: str) -> None:
    with pytest.raises(ValueError, match=r"Region"):
        region.set_primary(name)
    assert REGION_NAME[Side.PRIMARY] == region.PRIMARY_NAME


@pytest.mark.usefixtures("in_us_east_1")
def test_in_us_east_1_the_primary_and_the_global_control_planes_are_one_place() -> None:
    assert region_names() == (GLOBAL, DR)
    assert (place_of(GLOBAL), side_of(GLOBAL), vantage_in(GLOBAL)) == (Side.PRIMARY, Side.PRIMARY, Vantage.PRIMARY)
    network = Network()
    network.cut_between(Path.REFUSED)
    assert network.state(Vantage.DR, Shared.GLOBAL) is Path.REFUSED
    assert network.state(Vantage.OUTSIDE, Shared.GLOBAL) is Path.OPEN
    network.restore(Side.PRIMARY)
    for lost in (Side.PRIMARY, Shared.GLOBAL):
        network.lose(lost, Path.BLACK_HOLED)
        assert {network.state(Vantage.DR, place) for place in (Side.PRIMARY, Shared.GLOBAL)} == {Path.BLACK_HOLED}
        assert network.state(Vantage.PRIMARY, Shared.GLOBAL) is Path.OPEN
        assert network.state(Vantage.PRIMARY, Side.DR) is Path.BLACK_HOLED
        network.restore(lost)
        assert network.state(Vantage.DR, Shared.GLOBAL) is Path.OPEN


# Its loss


class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Nothing: the test's output is not the place."""


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def cloud(in_us_east_1: None, network: Network) -> Iterator[Cloud]:
    made = Cloud(network)
    yield made
    made.stop()


def once(cloud: Cloud, service: str, name: str, vantage: Vantage) -> Any:
    """A client that does not try again."""
    session: Any = boto3.session.Session(access_key(vantage), "x", region_name=name)
    config = Config(retries={"total_max_attempts": 1}, proxies={})
    return session.client(service, endpoint_url=cloud.endpoint_url, config=config)


@pytest.mark.parametrize(
    ("service", "operation", "name"),
    [
        ("route53", "list_hosted_zones", DR),
        ("iam", "list_roles", DR),
        ("sts", "get_caller_identity", GLOBAL),
        ("dynamodb", "list_tables", GLOBAL),
    ],
)
def test_the_control_planes_go_with_the_region(
    cloud: Cloud, network: Network, service: str, operation: str, name: str
) -> None:
    getattr(once(cloud, service, name, Vantage.DR), operation)()
    network.lose(Side.PRIMARY, Path.REFUSED)
    for vantage in (Vantage.DR, Vantage.OUTSIDE):
        with pytest.raises(ConnectionClosedError):
            getattr(once(cloud, service, name, vantage), operation)()
    once(cloud, "dynamodb", DR, Vantage.DR).list_tables()
    once(cloud, "sts", DR, Vantage.DR).get_caller_identity()


def test_route_53_goes_on_checking_and_answering(cloud: Cloud, network: Network) -> None:
    site = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    route53 = Route53(
        moto_backend(ACCOUNT),
        alarm_state=lambda *_: None,
        healthy_targets=lambda _: True,
        alb_address=lambda *_: None,
        health_check_scale=0.002,
        alias_ttl=3,
    )
    route53.install()
    route53.start()
    server = NameServer(route53.zones, Vantage.DR, "127.0.0.1")
    server.start()
    api = cloud.client("route53", GLOBAL)
    zone = api.create_hosted_zone(Name="east.test", CallerReference=uuid.uuid4().hex)["HostedZone"]["Id"]
    config = {
        "Type": "HTTP",
        "IPAddress": "127.0.0.1",
        "Port": site.server_port,
        "ResourcePath": "/",
        "RequestInterval": 10,
        "FailureThreshold": 1,
    }
    check = api.create_health_check(CallerReference=uuid.uuid4().hex, HealthCheckConfig=config)["HealthCheck"]["Id"]

    def record(kind: str, value: str, **more: str) -> dict[str, Any]:
        text = {"Type": "TXT", "TTL": 10, "ResourceRecords": [{"Value": f'"{value}"'}]}
        return {"Name": "_seen.east.test", "SetIdentifier": kind, "Failover": kind, **text, **more}

    changes = [record("PRIMARY", "up", HealthCheckId=check), record("SECONDARY", "down")]
    api.change_resource_record_sets(
        HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": it} for it in changes]}
    )

    def seen() -> str:
        host, port = server.address
        answer = dns.query.udp(dns.message.make_query("_seen.east.test", "TXT"), host, port=port, timeout=5)
        return str(answer.answer[0][0].strings[0].decode())

    try:
        until(lambda: seen() == "up")
        network.lose(Side.PRIMARY, Path.REFUSED)
        site.shutdown()
        site.server_close()
        with pytest.raises(ConnectionClosedError):
            once(cloud, "route53", DR, Vantage.DR).list_hosted_zones()
        until(lambda: seen() == "down")
    finally:
        server.stop()
        route53.stop()


def test_what_us_east_1_forwards_crosses_the_border_between_the_regions(cloud: Cloud, network: Network) -> None:
    called: list[tuple[str, str]] = []
    events = Events(LAB, network, lambda *_: None, lambda name, machine, _: called.append((name, machine)))
    events.install()
    events.start()
    machine = f"arn:aws:states:{DR}:{ACCOUNT}:stateMachine:failover"
    bus = {"Arn": f"arn:aws:events:{DR}:{ACCOUNT}:event-bus/default", "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/r"}
    for name, target in ((GLOBAL, bus), (DR, {"Arn": machine})):
        rules = cloud.client("events", name)
        rules.put_rule(Name="down", EventPattern=json.dumps({"source": ["aws.cloudwatch"], "region": [GLOBAL]}))
        rules.put_targets(Rule="down", Targets=[{"Id": "1", **target}])
    alarm = {"source": "aws.cloudwatch", "detail-type": "CloudWatch Alarm State Change", "detail": {}}
    try:
        events.emit(GLOBAL, alarm)
        until(lambda: called == [(DR, machine)])
        network.cut_between(Path.REFUSED)
        events.emit(GLOBAL, alarm | {"id": "late"})
        events.emit(DR, alarm | {"region": GLOBAL})
        until(lambda: len(called) == 2)
        network.restore(Side.PRIMARY)
        until(lambda: len(called) == 3)
    finally:
        events.stop()
