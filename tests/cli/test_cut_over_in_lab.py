"""`relight cut-over` as a process: balancers and health checks come from the global stack, and the record gives way."""

import json
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
from relight_cli.exit_code import Exit

from lab.binaries import folder
from tests.cli.estate import DOMAIN, ROOT, Estate

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.linux,
    pytest.mark.timeout(300),
]

STACK = "relight-shop-staging-global"
BALANCERS = {
    "PrimaryBalancerName": "one.eu-west-1.elb.amazonaws.com",
    "PrimaryBalancerZoneId": "Z32O12XQLNTSW2",
    "DrBalancerName": "two.eu-central-1.elb.amazonaws.com",
    "DrBalancerZoneId": "Z215JYRZR1TBD5",
}
SIMPLE = {"Name": f"{DOMAIN}.", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.1"}]}
WORDS = ("cut-over", "--env", "staging", "--look-every", "0.1")


@pytest.fixture
def estate() -> Iterator[Estate]:
    place = folder()
    try:
        with Estate(place, databases=False) as estate:
            yield estate
    finally:
        shutil.rmtree(place, ignore_errors=True)


def create_global(estate: Estate, site_records: str) -> None:
    cloudformation = estate.client("cloudformation")
    given = {
        **BALANCERS,
        "Application": "shop-staging",
        "Domain": DOMAIN,
        "HostedZoneId": estate.zone_id,
        "PrimaryRegion": "eu-west-1",
        "DrRegion": "eu-central-1",
        "SiteRecords": site_records,
    }
    made = cloudformation.create_change_set(
        StackName=STACK,
        ChangeSetName="first",
        ChangeSetType="CREATE",
        TemplateBody=(ROOT / "stacks/global.yaml").read_text(),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    cloudformation.execute_change_set(ChangeSetName=made["Id"])
    deadline = time.monotonic() + 60
    while (stack := cloudformation.describe_stacks(StackName=STACK)["Stacks"][0])["StackStatus"] != "CREATE_COMPLETE":
        assert stack["StackStatus"].endswith("_IN_PROGRESS"), stack["StackStatusReason"]
        assert time.monotonic() < deadline
        time.sleep(0.1)


def change(estate: Estate, batch: dict[str, Any]) -> None:
    estate.client("route53").change_resource_record_sets(HostedZoneId=estate.zone_id, ChangeBatch=batch)


def site(estate: Estate) -> list[dict[str, Any]]:
    listed = estate.client("route53").list_resource_record_sets(HostedZoneId=estate.zone_id)["ResourceRecordSets"]
    return [one for one in listed if one["Name"] == f"{DOMAIN}."]


def test_a_simple_record_gives_way_to_the_pair_and_can_come_back(estate: Estate) -> None:
    ended = estate.relight(*WORDS, "--yes")
    assert ended.returncode == Exit.STACK
    assert "the global stack does not exist yet" in ended.stderr

    create_global(estate, "false")
    change(estate, {"Changes": [{"Action": "CREATE", "ResourceRecordSet": SIMPLE}]})
    ended = estate.relight(*WORDS, "--plan")
    assert ended.returncode == 0, ended.stderr
    assert [one.get("Failover") for one in site(estate)] == [None]
    assert estate.relight(*WORDS).returncode == Exit.NO_CONSENT

    ended = estate.relight(*WORDS, "--yes")
    assert ended.returncode == 0, ended.stderr
    pair = {one["Failover"]: one for one in site(estate)}
    assert {role: one["AliasTarget"]["DNSName"].rstrip(".") for role, one in pair.items()} == {
        "PRIMARY": BALANCERS["PrimaryBalancerName"],
        "SECONDARY": BALANCERS["DrBalancerName"],
    }
    cloudformation = estate.client("cloudformation")
    made = cloudformation.list_stack_resources(StackName=STACK)["StackResourceSummaries"]
    checks = {one["PhysicalResourceId"] for one in made if one["ResourceType"] == "AWS::Route53::HealthCheck"}
    own = {one["HealthCheckId"] for one in pair.values()}
    assert len(own) == 2
    assert own <= checks
    assert "has the failover pair already" in estate.relight(*WORDS, "--yes").stdout

    change(estate, json.loads((estate.project / "build/cut-over-staging-back.json").read_text()))
    assert [one["ResourceRecords"] for one in site(estate)] == [SIMPLE["ResourceRecords"]]


def test_where_the_global_stack_has_the_pair_nothing_is_cut_over(estate: Estate) -> None:
    create_global(estate, "true")
    ended = estate.relight(*WORDS, "--yes")
    assert ended.returncode == Exit.RECORD
    assert "the global stack makes the failover pair itself" in ended.stderr
