"""The cut-over on the lab's Route 53: one batch, and a resolver that asks all the while always gets an answer."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import boto3
import dns.message
import dns.query
import dns.rcode
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from relight_cli.records import CutOver, Target, cut_over

from lab.dns import NameServer
from lab.region import Side, Vantage, alb_address
from lab.route53 import Route53, moto_backend

DOMAIN = "shop.test"
ALB = {Side.PRIMARY: "one.eu-west-1.elb.amazonaws.com", Side.DR: "two.eu-central-1.elb.amazonaws.com"}
OLD = "192.0.2.1"
SIMPLE = {"Name": f"{DOMAIN}.", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": OLD}]}


class Zone:
    """A zone behind a name server, with a health check for each record of the pair."""

    def __init__(self, api: Any, route53: Route53, states: dict[str, str]) -> None:
        self.api = api
        self.route53 = route53
        self.states = states
        self.id = str(api.create_hosted_zone(Name=DOMAIN, CallerReference="zone")["HostedZone"]["Id"])
        self.targets = [
            Target(name, f"Z{side.upper()}", self._check(switch))
            for (side, name), switch in zip(ALB.items(), ("stop", "no-go"), strict=True)
        ]

    def _check(self, alarm: str) -> str:
        config = {
            "Type": "CLOUDWATCH_METRIC",
            "AlarmIdentifier": {"Name": alarm, "Region": "eu-central-1"},
            "InsufficientDataHealthStatus": "LastKnownStatus",
        }
        made = self.api.create_health_check(CallerReference=alarm, HealthCheckConfig=config)
        return str(made["HealthCheck"]["Id"])

    def change(self, batch: dict[str, Any]) -> None:
        self.api.change_resource_record_sets(HostedZoneId=self.id, ChangeBatch=batch)

    def add(self, *records: dict[str, Any]) -> None:
        self.change({"Changes": [{"Action": "CREATE", "ResourceRecordSet": record} for record in records]})

    def listed(self) -> list[dict[str, Any]]:
        answer = self.api.list_resource_record_sets(HostedZoneId=self.id)
        own = {"NS", "SOA"}  # the domain is the zone's own name here
        here = [one for one in answer["ResourceRecordSets"] if one["Name"] == f"{DOMAIN}."]
        return [one for one in here if one["Type"] not in own]

    def cut_over(self) -> CutOver:
        made = cut_over(self.listed(), DOMAIN, *self.targets)
        assert made is not None
        return made


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Zone]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    states = {"stop": "OK", "no-go": "ALARM"}
    with mock_aws():
        route53 = Route53(
            moto_backend("123456789012"),
            alarm_state=lambda _, name: states.get(name),
            healthy_targets=lambda _: True,
            alb_address=lambda name, vantage: next(
                (alb_address(side, vantage) for side in Side if ALB[side] == name), None
            ),
            health_check_scale=0.002,
            alias_ttl=3,
        )
        route53.install()
        route53.start()
        yield Zone(boto3.client("route53", region_name="us-east-1"), route53, states)
        route53.stop()


class Asking:
    """A resolver that asks again and again, and keeps what it was told."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self.told: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> "Asking":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._stop.is_set():
            query = dns.message.make_query(DOMAIN, "A")
            answer = dns.query.udp(query, self._address[0], port=self._address[1], timeout=5)
            addresses = [str(item) for rrset in answer.answer for item in rrset]
            self.told.append(addresses[0] if addresses else dns.rcode.to_text(answer.rcode()) + " without an answer")

    def more(self, count: int = 20) -> None:
        """Wait for that many more answers."""
        deadline, wanted = time.monotonic() + 20, len(self.told) + count
        while len(self.told) < wanted:
            assert time.monotonic() < deadline, "the resolver got no answers"
            time.sleep(0.005)


def test_a_resolver_always_gets_an_answer(zone: Zone) -> None:
    zone.add(SIMPLE)
    made = zone.cut_over()
    new = alb_address(Side.PRIMARY, Vantage.OUTSIDE)
    server = NameServer(zone.route53.zones, Vantage.OUTSIDE, "127.0.0.1")
    server.start()
    try:
        with Asking(server.address) as asking:
            for _ in range(5):
                asking.more()
                zone.change(made.forward)
                asking.more()
                assert asking.told[-1] == new
                zone.change(made.back)
            asking.more()
    finally:
        server.stop()
    assert set(asking.told) == {OLD, new}
    assert zone.listed() == [SIMPLE]


def test_after_it_the_switches_decide(zone: Zone) -> None:
    zone.add(SIMPLE)
    zone.change(zone.cut_over().forward)
    assert zone.route53.answer_of(DOMAIN) is Side.PRIMARY
    zone.states.update({"stop": "ALARM", "no-go": "OK"})
    deadline = time.monotonic() + 10
    while zone.route53.answer_of(DOMAIN) is not Side.DR:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_failover_record_beside_a_simple_one_is_refused(zone: Zone) -> None:
    zone.add(SIMPLE)
    pair = [one["ResourceRecordSet"] for one in zone.cut_over().forward["Changes"] if one["Action"] == "CREATE"]
    with pytest.raises(ClientError, match=r"InvalidChangeBatch.*other RRSets exist with the same name and type"):
        zone.add(*pair)
    assert zone.listed() == [SIMPLE]
    zone.change({"Changes": [{"Action": "DELETE", "ResourceRecordSet": SIMPLE}]})
    zone.add(*pair)
    with pytest.raises(ClientError, match="InvalidChangeBatch"):
        zone.add(SIMPLE)


def test_a_batch_of_which_one_change_is_wrong_changes_nothing(zone: Zone) -> None:
    zone.add(SIMPLE)
    batch = zone.cut_over().forward
    batch["Changes"][0]["ResourceRecordSet"]["TTL"] = 61
    with pytest.raises(ClientError):
        zone.change(batch)
    assert zone.listed() == [SIMPLE]


def test_a_pair_of_one_name_is_deleted_without_that_of_another(zone: Zone) -> None:
    """Their identifiers are the same."""
    zone.add(SIMPLE)
    made = zone.cut_over()
    others = [
        one["ResourceRecordSet"] | {"Name": f"other.{DOMAIN}."}
        for one in made.forward["Changes"]
        if one["Action"] == "CREATE"
    ]
    zone.add(*others)
    zone.change(made.forward)
    zone.change(made.back)
    names = [one["Name"] for one in zone.api.list_resource_record_sets(HostedZoneId=zone.id)["ResourceRecordSets"]]
    assert names.count(f"other.{DOMAIN}.") == 2
