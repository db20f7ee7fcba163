"""What an existing workload is refused for: each reason by itself, on answers shaped as boto3 gives them."""

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from relight_cli.adoption import Record, Side, look, problems, record
from relight_cli.aws import Aws
from relight_cli.preflight import Preflight
from relight_cli.samconfig import Environment, Slot, StackSettings
from relight_cli.stack import Stacks

ACCOUNT = "111122223333"
HOME, DR = "eu-west-1", "eu-central-1"
type Answers = dict[str, dict[str, Any]]
PRIMARY_ARN = f"arn:aws:rds:{HOME}:{ACCOUNT}:db:orders"


def group_arn(region: str, name: str) -> str:
    return (
        f"arn:aws:autoscaling:{region}:{ACCOUNT}:autoScalingGroup:5b1c2d3e-0f1a-4b2c-8d3e-4f5a6b7c8d9e"
        f":autoScalingGroupName/{name}"
    )


def answers(region: str, database: str, group: str, peer: tuple[str, str], octet: int) -> dict[str, Any]:
    balancer = f"app/{group}/50dc6c495c0c9188"
    targets = f"targetgroup/{group}/73e2d6bc24d8a067"
    return {
        "region": region,
        "given": {
            "ExistingDatabaseId": database,
            "PeerDatabaseId": peer[0],
            "ExistingDatabaseHost": f"{database}.c7tj4example.{region}.rds.amazonaws.com",
            "ExistingGroupArns": f"{group_arn(region, group)}, {group_arn(region, 'workers')}",
            "PeerGroupNames": f"{peer[1]}, workers",
            "ExistingNetworkAclId": "acl-0123456789abcdef0",
            "ExistingAppCidrs": f"10.{octet}.16.0/20,10.{octet}.32.0/20",
            "ExistingBalancerName": f"{group}-1234567890.{region}.elb.amazonaws.com",
            "ExistingBalancerZoneId": "Z32O12XQLNTSW2",
            "ExistingBalancerFullName": balancer,
            "ExistingTargetGroupFullName": targets,
        },
        "database": {
            "DBInstanceIdentifier": database,
            "DBInstanceArn": f"arn:aws:rds:{region}:{ACCOUNT}:db:{database}",
            "Engine": "postgres",
            "IAMDatabaseAuthenticationEnabled": True,
            "BackupRetentionPeriod": 7,
            "Endpoint": {"Address": f"{database}.c7tj4example.{region}.rds.amazonaws.com", "Port": 5432},
            "DBSubnetGroup": {"Subnets": [{"SubnetIdentifier": "subnet-a"}, {"SubnetIdentifier": "subnet-b"}]},
        },
        "groups": [
            {
                "AutoScalingGroupName": group,
                "HealthCheckType": "EC2",
                "TargetGroupARNs": [f"arn:aws:elasticloadbalancing:{region}:{ACCOUNT}:{targets}"],
            },
            {"AutoScalingGroupName": "workers", "HealthCheckType": "EC2", "TargetGroupARNs": []},
        ],
        "balancer": {
            "Type": "application",
            "Scheme": "internet-facing",
            "CanonicalHostedZoneId": "Z32O12XQLNTSW2",
            "LoadBalancerArn": f"arn:aws:elasticloadbalancing:{region}:{ACCOUNT}:loadbalancer/{balancer}",
        },
        "target_groups": [{"HealthCheckPath": "/health/ready"}],
        "acl": {
            "Entries": [{"Egress": False, "RuleNumber": 100, "RuleAction": "allow", "CidrBlock": f"10.{octet}.0.0/16"}],
            "Associations": [{"SubnetId": "subnet-a"}, {"SubnetId": "subnet-b"}],
        },
        "check_cidrs": [f"10.{octet}.64.0/24"],
    }


def healthy() -> Answers:
    """Two Regions with nothing wrong."""
    primary = answers(HOME, "orders", "web", ("orders-dr", "web-dr"), 10)
    dr = answers(DR, "orders-dr", "web-dr", ("orders", "web"), 20)
    dr["database"]["ReadReplicaSourceDBInstanceIdentifier"] = PRIMARY_ARN
    return {"primary": primary, "dr": dr}


def judged(told: Answers, leads: Record | None = None) -> list[str]:
    return problems(Side(**told["primary"]), Side(**told["dr"]), leads)


def test_a_workload_that_can_be_failed_over_has_no_problems() -> None:
    assert judged(healthy(), Record("shop.example.com", "web-1234567890.eu-west-1.elb.amazonaws.com.")) == []


def test_a_fence_that_stands_is_not_in_its_own_way() -> None:
    told = healthy()
    told["primary"]["acl"]["Entries"].append(
        {"Egress": False, "RuleNumber": 1, "RuleAction": "deny", "CidrBlock": "10.10.16.0/20"}
    )
    assert judged(told) == []


def change(side: str, path: str, value: Any) -> Callable[[Answers], None]:
    """Set what `path` names (`a/b`; a number counts) to `value`; None takes it away."""

    def spoil(told: Answers) -> None:
        *ahead, last = path.split("/")
        at: Any = told[side]
        for step in ahead:
            at = at[int(step)] if step.isdigit() else at[step]
        at[int(last) if last.isdigit() else last] = value

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (change("dr", "database/Engine", "aurora-postgresql"), "orders-dr is Aurora .*failover-global-cluster"),
        (change("dr", "database/DBClusterIdentifier", "trio"), "belongs to the Multi-AZ DB cluster trio"),
        (change("primary", "database/Engine", "mysql"), "orders is mysql: .* PostgreSQL"),
        (change("primary", "database/Engine", "mariadb"), "orders is mariadb"),
        (change("primary", "database", None), "eu-west-1: there is no DB instance orders"),
        (change("primary", "database/MasterUserSecret", {}), "the master password of orders is managed by RDS"),
        (change("dr", "database/IAMDatabaseAuthenticationEnabled", False), "orders-dr has no IAM authentication"),
        (change("dr", "database/Endpoint/Port", 5433), "orders-dr is at .*:5433, and not at .*:5432"),
        (change("primary", "database/BackupRetentionPeriod", 0), "orders has no automated backups"),
        (change("primary", "database/ReadReplicaSourceDBInstanceIdentifier", "x"), "orders is a replica itself"),
        (change("dr", "database/ReadReplicaSourceDBInstanceIdentifier", ""), "orders-dr replicates from nothing"),
        (change("dr", "database/ReadReplicaSourceDBInstanceIdentifier", "orders"), "within its own Region"),
        (
            change("dr", "database/ReadReplicaSourceDBInstanceIdentifier", PRIMARY_ARN + "2"),
            "and not from .*:db:orders$",
        ),
        (change("dr", "given/PeerDatabaseId", "other"), "PeerDatabaseId is not the ExistingDatabaseId of eu-west-1"),
        (change("dr", "groups", []), "eu-central-1: there is no Auto Scaling group web-dr"),
        (change("dr", "groups/0/HealthCheckType", "EC2,ELB"), "web-dr has the health check ELB"),
        (change("dr", "groups/1/LoadBalancerNames", ["old"]), "workers is behind a Classic Load Balancer"),
        (change("dr", "groups/0/TargetGroupARNs", []), "no Auto Scaling group is behind targetgroup/web-dr/"),
        (change("dr", "given/PeerGroupNames", "workers,web"), "PeerGroupNames are not .* eu-west-1, in the same order"),
        (change("dr", "given/PeerGroupNames", "web"), "PeerGroupNames are not"),
        (change("dr", "balancer", None), "there is no load balancer web-dr-1234567890"),
        (change("dr", "balancer/Scheme", "internal"), "is internal: Route 53's checkers cannot reach it"),
        (change("dr", "balancer/Type", "network"), "is of type network"),
        (change("dr", "balancer/CanonicalHostedZoneId", "Z1"), "the hosted zone of .* is Z1"),
        (change("dr", "given/ExistingBalancerFullName", "app/x/1"), "ExistingBalancerFullName is not the end of"),
        (change("dr", "target_groups", [{"HealthCheckPath": "/health/ready"}] * 2), "several target groups"),
        (change("dr", "target_groups/0/HealthCheckPath", "/"), "asks / and not /health/ready.*GoAfter to verify"),
        (change("primary", "acl", None), "there is no network ACL acl-0123456789abcdef0"),
        (change("primary", "acl/Entries/0/RuleNumber", 2), "the rules 2 of acl-.* are taken"),
        (change("primary", "acl/Associations/1/SubnetId", "subnet-z"), "does not cover subnet-b"),
        (change("primary", "check_cidrs", ["10.10.20.0/24"]), "the fence would cut it off as well"),
    ],
)
def test_each_reason_to_refuse_is_found_alone_and_told_with_its_reason(
    spoil: Callable[[Answers], None], said: str
) -> None:
    told = copy.deepcopy(healthy())
    spoil(told)
    found = judged(told)
    assert found, "nothing was found"
    assert len(found) <= 2, "one fault is not told in many ways"
    assert re.search(said, "\n".join(found)), found


@pytest.mark.parametrize(
    ("alias", "said"),
    [
        ("a1234567890abcdef.awsglobalaccelerator.com.", "follows its endpoints' health by itself"),
        ("d111111abcdef8.cloudfront.net.", "give Domain the name of its origin"),
    ],
)
def test_what_stands_in_front_is_told_apart(alias: str, said: str) -> None:
    (found,) = judged(healthy(), Record("shop.example.com", alias))
    assert said in found


@pytest.mark.parametrize(
    ("record_sets", "leads"),
    [
        ([], None),
        ([{"Name": "shop.example.com.", "Type": "A", "ResourceRecords": [{"Value": "192.0.2.1"}]}], None),
        (
            [{"Name": "shop.example.com.", "Type": "A", "AliasTarget": {"DNSName": "d1.cloudfront.net."}}],
            Record("shop.example.com", "d1.cloudfront.net."),
        ),
        (
            [{"Name": "shop.example.com.", "Type": "CNAME", "ResourceRecords": [{"Value": "d1.cloudfront.net"}]}],
            Record("shop.example.com", "d1.cloudfront.net"),
        ),
    ],
)
def test_where_the_domain_leads_is_read_from_its_records(record_sets: list[dict[str, Any]], leads: Record) -> None:
    assert record(record_sets) == leads


@pytest.mark.parametrize(("create", "asked"), [("false", True), ("true", False)])
def test_a_deployment_asks_after_a_workload_that_exists(tmp_path: Path, create: str, asked: bool) -> None:
    stacks = {
        slot: StackSettings(slot, slot, slot, HOME, tmp_path / "template.yaml", {"CreateWorkload": create})
        for slot in Slot
    }
    environment = Environment("prod", tmp_path / "samconfig.toml", ACCOUNT, stacks)
    names = Preflight(environment, Aws(), Stacks(Aws())).names()
    assert ("existing workload" in names) is asked


def test_a_shallow_readiness_may_be_asked_anywhere_and_its_instances_may_be_replaced_by_it() -> None:
    told = healthy()
    for side in told.values():
        side["given"]["ReadinessIsDeep"] = "false"
        side["target_groups"][0]["HealthCheckPath"] = "/"
        side["groups"][0]["HealthCheckType"] = "ELB"
    assert judged(told) == []


def test_without_a_network_acl_there_is_none_to_be_wrong() -> None:
    told = healthy()
    told["primary"]["given"]["ExistingNetworkAclId"] = ""
    told["primary"]["acl"] = None
    assert judged(told) == []


@pytest.fixture
def nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")


def client(service: str) -> Any:
    session: Any = boto3.session.Session(region_name=DR)
    return session.client(service)


@pytest.mark.usefixtures("nobodys")
def test_the_facts_are_asked_of_aws() -> None:
    with mock_aws():
        ec2 = client("ec2")
        subnet = ec2.describe_subnets()["Subnets"][0]
        acl = ec2.describe_network_acls()["NetworkAcls"][0]["NetworkAclId"]
        balancing = client("elbv2")
        subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]][:2]
        balancer = balancing.create_load_balancer(Name="web", Subnets=subnets)["LoadBalancers"][0]
        targets = balancing.create_target_group(Name="web", Protocol="HTTP", Port=80, VpcId=subnet["VpcId"])
        balancing.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": targets["TargetGroups"][0]["TargetGroupArn"]}],
        )
        given = {
            "ExistingDatabaseId": "orders-dr",
            "ExistingGroupArns": group_arn(DR, "web"),
            "ExistingBalancerName": f"dualstack.{balancer['DNSName']}",
            "ExistingNetworkAclId": acl,
            "ExistingCheckSubnetIds": subnet["SubnetId"],
        }
        seen = look(DR, given, client)
        assert (seen.database, list(seen.groups)) == (None, [])
        assert seen.balancer is not None
        assert seen.balancer["LoadBalancerArn"] == balancer["LoadBalancerArn"]
        assert [group["TargetGroupName"] for group in seen.target_groups] == ["web"]
        assert seen.acl is not None
        assert seen.acl["NetworkAclId"] == acl
        assert seen.check_cidrs == [subnet["CidrBlock"]]

        nothing = look(DR, {"ExistingDatabaseId": "x"}, client)
        assert (nothing.database, nothing.balancer, nothing.acl, nothing.check_cidrs) == (None, None, None, [])
