"""What a drill stands on: apart from everything that serves, and nothing of anybody else's within its reach."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from lab.template import load
from tests.template.reading import ROOT, as_list, statements, text, written
from tests.template.region import ACCOUNT, REGIONS, Region, region
from tests.template.test_bring_your_own import existing

ROLES = ["primary", "dr"]
TAGGED = {"Null": {"aws:ResourceTag/relight:drill": "false"}}
# The longest name that AWS takes for a load balancer and for a target group.
LONGEST_BALANCER = 32
RDS_MADE = {
    *("rds:RestoreDBInstanceToPointInTime", "rds:RestoreDBInstanceFromDBSnapshot", "rds:CreateDBInstanceReadReplica"),
    *("rds:CopyDBSnapshot", "rds:AddTagsToResource"),
}


def granted(side: str, **parameters: str) -> list[dict[str, Any]]:
    """The statements of the function's role."""
    return list(statements(region(side, **parameters)["Drill/DrillFunctionRole"]))


def resources(given: Mapping[str, Any]) -> list[str]:
    return [str(each) for each in as_list(given["Resource"])]


# What its function may do.


@pytest.mark.parametrize("side", ROLES)
def test_nothing_is_promoted_or_deleted_without_the_tags_of_a_drill_of_this_application(side: str) -> None:
    here = f"arn:aws:rds:{REGIONS[side]}:{ACCOUNT}"
    allowed = {
        "rds:PromoteReadReplica": {f"{here}:db:shop-{side}-drill-*"},
        "rds:DeleteDBInstance": {f"{here}:db:shop-{side}-drill-*"},
        "rds:DeleteDBSnapshot": {f"{here}:snapshot:shop-{side}-drill-*"},
        "ec2:DeleteLaunchTemplate": {f"arn:aws:ec2:{REGIONS[side]}:{ACCOUNT}:launch-template/*"},
        "cloudformation:DeleteStack": {
            f"arn:aws:cloudformation:{REGIONS[side]}:{ACCOUNT}:stack/relight-shop-drill-*/*"
        },
    }
    tagged = {"StringEquals": {"aws:ResourceTag/relight:application": "shop"}, **TAGGED}
    found: dict[str, set[str]] = {}
    for each in granted(side):
        for action in as_list(each["Action"]):
            if ":Delete" in action or ":Promote" in action:
                found.setdefault(action, set()).update(resources(each))
                assert each.get("Condition") == tagged, action
    assert found == allowed


@pytest.mark.parametrize("side", ROLES)
def test_what_it_makes_carries_the_tag_and_the_name_of_a_drill(side: str) -> None:
    for each in granted(side):
        making = set(as_list(each["Action"])) & RDS_MADE
        named = [one for one in resources(each) if ":db:shop-" in one or ":snapshot:shop-" in one]
        if making and any(f":{REGIONS[side]}:" in one for one in named):
            assert all(one.endswith("-drill-*") for one in named), making
            assert each["Condition"] == {
                "StringEquals": {"aws:RequestTag/relight:application": "shop"},
                "Null": {"aws:RequestTag/relight:drill": "false"},
            }


def test_a_name_that_is_cut_short_is_one_of_a_drills_all_the_same() -> None:
    """An identifier that is not ours may have 63 characters, which is as many as RDS takes."""
    found = {one for each in granted("dr", **existing("dr")) for one in resources(each) if "-drill-" in one}
    rds = {one.rpartition(":")[2] for one in found if one.startswith("arn:aws:rds:")}
    assert rds == {"*-drill-*"}


def test_where_the_workload_is_not_ours_it_makes_no_site() -> None:
    actions = {action for each in granted("dr", **existing("dr")) for action in as_list(each["Action"])}
    assert not {action for action in actions if action.startswith(("cloudformation:Create", "ec2:Create", "iam:"))}
    assert not [path for path in region("dr", **existing("dr")).resources if path.startswith("DrillSite/")]


# Where its site stands.


def routes(deployed: Region, subnet: str) -> Iterator[Mapping[str, Any]]:
    """The routes of a subnet, beside those to its own network."""
    tables = {
        each["RouteTableId"]
        for each in deployed.of("AWS::EC2::SubnetRouteTableAssociation").values()
        if each["SubnetId"] == subnet
    }
    assert len(tables) == 1
    yield from (each for each in deployed.of("AWS::EC2::Route").values() if each["RouteTableId"] in tables)


@pytest.mark.parametrize("side", ROLES)
def test_its_instances_have_no_way_out(side: str) -> None:
    """Neither to mail, nor to payment, nor to anybody: only the endpoints of S3, DynamoDB and Secrets Manager."""
    deployed = region(side)
    subnets = deployed["Drill/DrillFunction"]["Environment"]["Variables"]["SUBNET_IDS"].split(",")
    assert len(subnets) == 2
    for subnet in subnets:
        assert list(routes(deployed, subnet)) == []
        assert deployed[subnet]["MapPublicIpOnLaunch"] is False


@pytest.mark.parametrize("side", ROLES)
def test_its_security_groups_know_each_other_and_nothing_that_serves(side: str) -> None:
    deployed = region(side)
    own = {path for path in deployed.of("AWS::EC2::SecurityGroup") if path.startswith("DrillSite/")}
    assert len(own) == 3
    known = own | {"Network/CheckSecurityGroup", "Network/EndpointSecurityGroup"}
    mentioned = {
        str(value)
        for path, each in deployed.resources.items()
        if path.startswith("DrillSite/") and each.type.startswith("AWS::EC2::SecurityGroup")
        for rule in [each.properties, *_rules(each.properties)]
        for key, value in rule.items()
        if key in {"GroupId", "SourceSecurityGroupId", "DestinationSecurityGroupId"}
    }
    assert {each.removesuffix(".GroupId") for each in mentioned} <= known


def _rules(group: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for key in ("SecurityGroupIngress", "SecurityGroupEgress"):
        yield from group.get(key, [])


@pytest.mark.parametrize("side", ROLES)
def test_what_it_writes_to_replicates_nowhere_and_goes_after_a_week(side: str) -> None:
    bucket = region(side)["DrillSite/Bucket"]
    assert "ReplicationConfiguration" not in bucket
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert (rule["Status"], rule["ExpirationInDays"]) == ("Enabled", 7)


def test_its_names_fit() -> None:
    """Of the longest application, and of an epoch that nobody will see."""
    site = load(ROOT / "layers" / "relight" / "relight" / "drill_site.yaml")
    names = [text(each["Properties"]["Name"]) for each in site.resources.values() if "Name" in each["Properties"]]
    assert names == ["${Application}-drill-${Epoch}"] * 2
    longest = written().body["Parameters"]["Application"]["MaxLength"]
    filled = names[0].replace("${Application}", "a" * longest).replace("${Epoch}", "9999999")
    assert len(filled) <= LONGEST_BALANCER
