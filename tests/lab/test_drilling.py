"""What a drill finds in the lab: a site of its own that a stack makes at run time, quotas, a simulation of permissions.

And what a rehearsal of drills sees of them, and makes of what it has seen.
"""

import base64
import json
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rdatatype
import pytest
from botocore.exceptions import ClientError
from moto.moto_api._internal import moto_api_backend
from rich.console import Console

from lab import cloudformation_api
from lab.attempts import Attempt, Kind
from lab.autoscaling import Autoscaling
from lab.cloud import ACCOUNT, Cloud
from lab.cloudformation import CloudFormation
from lab.dns import NameServer, Resolver
from lab.ending import expected, problems
from lab.errors import OptionRefused
from lab.hosted_zone import HostedZones
from lab.left_over import is_throwaway
from lab.loadbalancing import LoadBalancers
from lab.network import Network
from lab.options import DrillKind, Fault, Options
from lab.port import free_port
from lab.quotas import STANDARD_VCPUS, Quotas
from lab.region import BALANCERS, REGION_NAME, Side, Vantage, alb_address, instance_address
from lab.report import Answered, Capacity, Drilled, Execution, Readied, Result, ScalingGroup, Status, closing
from lab.route53 import moto_backend
from lab.score import client_failures
from lab.seam import Seams
from lab.stack import Stacks
from lab.timings import LAB

SIDE = Side.DR
REGION = REGION_NAME[SIDE]
RUN, NAME = "run-7", "relight-shop-drill-7"
TIMINGS = replace(LAB, instance_boot=0.2, target_check_scale=0.03)
HOSTS = [alb_address(SIDE, vantage, place) for vantage in Vantage for place in range(BALANCERS)]
PORT = free_port([instance_address(SIDE, k) for k in range(4)])

# Serves its environment.
STAND_IN = """
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(dict(os.environ)).encode())
    def log_message(self, *_):
        pass
host, port = os.environ["BIND"].split(":")
HTTPServer((host, int(port)), Handler).serve_forever()
"""
USER_DATA = """#!/bin/bash
cat >/etc/relight/app.env <<'ENV'
AWS_REGION=eu-central-1
DATABASE_HOST=127.0.2.20
DATABASE_PORT=5432
ENV
systemctl enable --now relight-app
"""
SITE = """
Parameters:
  Name: { Type: String }
  VpcId: { Type: String }
  SubnetIds: { Type: CommaDelimitedList }
  Template: { Type: String }
  Port: { Type: Number }
Resources:
  Balancer:
    Type: AWS::ElasticLoadBalancingV2::LoadBalancer
    Properties: { Name: !Ref Name, Type: application, Scheme: internet-facing, Subnets: !Ref SubnetIds }
  Targets:
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties:
      Name: !Ref Name
      VpcId: !Ref VpcId
      Protocol: HTTP
      Port: !Ref Port
      HealthCheckPath: /health/ready
      HealthCheckIntervalSeconds: 5
      HealthCheckTimeoutSeconds: 4
      HealthyThresholdCount: 2
  Listener:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Properties:
      LoadBalancerArn: !Ref Balancer
      Port: 80
      Protocol: HTTP
      DefaultActions: [{ Type: forward, TargetGroupArn: !Ref Targets }]
  Group:
    Type: AWS::AutoScaling::AutoScalingGroup
    DependsOn: Listener
    Properties:
      AutoScalingGroupName: !Ref Name
      MinSize: "1"
      MaxSize: "1"
      VPCZoneIdentifier: !Ref SubnetIds
      LaunchTemplate: { LaunchTemplateId: !Ref Template, Version: "1" }
      TargetGroupARNs: [!Ref Targets]
      Tags: [{ Key: Name, Value: !Ref Name, PropagateAtLaunch: true }]
Outputs:
  BalancerName: { Value: !GetAtt Balancer.DNSName }
"""


def until[T](look: Callable[[], T], seconds: float = 20) -> T:
    """What `look` returns as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return seen


class Dr:
    """The DR Region with a standing site, and room for a drill's."""

    def __init__(self, folder: Path) -> None:
        network = Network()
        self.cloud = Cloud(network)
        self.balancers = LoadBalancers(network, TIMINGS, free_port(HOSTS))
        self.groups = Autoscaling(
            TIMINGS,
            self.balancers,
            folder / "logs",
            command=[sys.executable, "-S", "-c", STAND_IN],
            cwd=folder,
            environment=lambda *_: {},
        )
        self.stacks = CloudFormation(Stacks(self.cloud), folder, lambda _: _nothing, seconds_per_step=0.2)
        zones = HostedZones(
            moto_backend(ACCOUNT), lambda _: True, self.balancers.healthy_targets, self.balancers.alb_address, 60
        )
        self.name_servers = {vantage: NameServer(zones, vantage, "127.0.0.1") for vantage in Vantage}
        self.quotas = Quotas()
        self.seams = Seams()

    def client(self, service: str) -> Any:
        return self.cloud.client(service, REGION)

    def build(self) -> None:
        ec2, iam = self.client("ec2"), self.client("iam")
        self.vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        made = [
            ec2.create_subnet(VpcId=self.vpc, CidrBlock=f"10.20.{n}.0/24", AvailabilityZone=f"{REGION}{zone}")
            for n, zone in enumerate("ab")
        ]
        self.subnets = ",".join(each["Subnet"]["SubnetId"] for each in made)
        trust = {
            "Effect": "Allow",
            "Principal": {"Service": "cloudformation.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        self.role = iam.create_role(RoleName="site", AssumeRolePolicyDocument=document)["Role"]["Arn"]
        self.template("shop-dr", USER_DATA)
        self.create("relight-shop", "shop-dr")
        assert self.settled("relight-shop")["StackStatus"] == "CREATE_COMPLETE"

    def template(self, name: str, user_data: str) -> None:
        self.client("ec2").create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData={
                "ImageId": "ami-12345678",
                "InstanceType": "t4g.small",
                "UserData": base64.b64encode(user_data.encode()).decode(),
            },
            TagSpecifications=[{"ResourceType": "launch-template", "Tags": [{"Key": "relight:drill", "Value": RUN}]}],
        )

    def create(self, stack: str, name: str, **more: Any) -> Any:
        found = self.client("ec2").describe_launch_templates(LaunchTemplateNames=[name])["LaunchTemplates"][0]
        given = {
            "Name": name,
            "VpcId": self.vpc,
            "SubnetIds": self.subnets,
            "Template": found["LaunchTemplateId"],
            "Port": str(PORT),
        }
        return self.client("cloudformation").create_stack(
            StackName=stack,
            TemplateBody=SITE,
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
            **more,
        )

    def settled(self, stack: str) -> dict[str, Any]:
        """The stack, once nothing is on its way."""

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
            return None if found["StackStatus"].endswith("_IN_PROGRESS") else found

        found = until(look)
        assert found is not None
        return found

    def resolved(self, name: str, vantage: Vantage = Vantage.OUTSIDE) -> list[str]:
        """What a resolver there is told."""
        resolver = Resolver(self.name_servers[vantage].address, "127.0.0.1")
        resolver.start()
        try:
            host, port = resolver.address
            answer = dns.query.udp(dns.message.make_query(name, dns.rdatatype.A), host, port=port, timeout=5)
        finally:
            resolver.stop()
        return [record.address for rrset in answer.answer for record in rrset]

    def ask(self, name: str) -> dict[str, str]:
        """What answers at the address of that name, to a client outside."""
        url = f"http://{self.resolved(name)[0]}:{self.balancers.web_port}/"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return dict(json.load(answer))

    def serves(self, name: str) -> bool:
        return self.balancers.healthy_targets(name)

    def names(self) -> dict[str, list[str]]:
        """What there is, by its kind."""
        elb, scaling, ec2 = self.client("elbv2"), self.client("autoscaling"), self.client("ec2")
        running = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
        instances = [
            tag["Value"]
            for reservation in ec2.describe_instances(Filters=running)["Reservations"]
            for instance in reservation["Instances"]
            for tag in instance["Tags"]
            if tag["Key"] == "Name"
        ]
        return {
            "balancers": [each["LoadBalancerName"] for each in elb.describe_load_balancers()["LoadBalancers"]],
            "targets": [each["TargetGroupName"] for each in elb.describe_target_groups()["TargetGroups"]],
            "groups": [
                each["AutoScalingGroupName"] for each in scaling.describe_auto_scaling_groups()["AutoScalingGroups"]
            ],
            "instances": instances,
        }


def _nothing(bucket: str, key: str) -> bytes:
    raise KeyError(f"{bucket}/{key}")


@pytest.fixture(scope="module")
def dr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dr]:
    made = Dr(tmp_path_factory.mktemp("dr"))
    try:
        made.balancers.install()
        made.groups.install()
        made.groups.start()
        made.quotas.install(made.seams)
        cloudformation_api.install(made.seams, made.stacks, lambda _: _nothing)
        for server in made.name_servers.values():
            server.start()
        made.build()
        yield made
    finally:
        made.stacks.join(20)
        for server in made.name_servers.values():
            server.stop()
        made.groups.stop()
        made.balancers.stop()
        made.seams.undo()
        made.cloud.stop()
        moto_api_backend.reset()
    assert made.groups.errors == []


STANDING = {
    "balancers": ["shop-dr"],
    "targets": ["shop-dr"],
    "groups": ["shop-dr"],
    "instances": ["shop-dr"],
}


def test_a_drills_site_stands_beside_the_standing_one_and_goes_without_a_trace(dr: Dr) -> None:
    (standing,) = (each["DNSName"] for each in dr.client("elbv2").describe_load_balancers()["LoadBalancers"])
    until(lambda: dr.serves(standing))
    before = dr.resolved(standing)

    # As the drill does: from the standing template, with another environment.
    (version,) = dr.client("ec2").describe_launch_template_versions(LaunchTemplateName="shop-dr")[
        "LaunchTemplateVersions"
    ]
    user_data = base64.b64decode(version["LaunchTemplateData"]["UserData"]).decode()
    dr.template(NAME, user_data.replace("DATABASE_HOST=127.0.2.20", "DATABASE_HOST=127.0.2.40\nRELIGHT_DRILL=1"))
    dr.create(NAME, NAME, RoleARN=dr.role, Tags=[{"Key": "relight:drill", "Value": RUN}])
    made = dr.settled(NAME)
    assert (made["StackStatus"], made["RoleARN"]) == ("CREATE_COMPLETE", dr.role)
    (name,) = (output["OutputValue"] for output in made["Outputs"])
    until(lambda: dr.serves(name))

    environment = dr.ask(name)
    assert (environment["RELIGHT_DRILL"], environment["DATABASE_HOST"]) == ("1", "127.0.2.40")
    standing_environment = dr.ask(standing)
    assert "RELIGHT_DRILL" not in standing_environment
    assert standing_environment["BIND"] != environment["BIND"]
    assert dr.resolved(standing) == before == [alb_address(SIDE, Vantage.OUTSIDE)]
    assert {vantage: dr.resolved(name, vantage) for vantage in Vantage} == {
        vantage: [alb_address(SIDE, vantage, 1)] for vantage in Vantage
    }
    assert list(dr.balancers.health(SIDE)) != [], "what is told of the Region is of the standing site"
    assert _tagged(dr) == {"balancer", "group", "instance", "targets", "template"}

    dr.client("cloudformation").delete_stack(StackName=NAME, RoleARN=dr.role)
    dr.client("ec2").delete_launch_template(LaunchTemplateName=NAME)
    with pytest.raises(ClientError, match="does not exist"):
        until(lambda: dr.settled(NAME)["StackStatus"] == "DELETE_COMPLETE")
    until(lambda: dr.names() == STANDING)
    until(lambda: dr.resolved(name) == [])
    assert dr.resolved(standing) == before
    assert dr.serves(standing)


def _tagged(dr: Dr) -> set[str]:
    """What carries the tag of the drill."""
    elb, ec2 = dr.client("elbv2"), dr.client("ec2")
    balancers = {each["LoadBalancerArn"]: "balancer" for each in elb.describe_load_balancers()["LoadBalancers"]}
    targets = {each["TargetGroupArn"]: "targets" for each in elb.describe_target_groups()["TargetGroups"]}
    told = elb.describe_tags(ResourceArns=[*balancers, *targets])["TagDescriptions"]
    wanted = {"Key": "relight:drill", "Value": RUN}
    found = {(balancers | targets)[each["ResourceArn"]] for each in told if wanted in each["Tags"]}
    groups = dr.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    of_groups = [tag for group in groups for tag in group["Tags"]]
    found |= {"group" for tag in of_groups if (tag["Key"], tag["Value"]) == ("relight:drill", RUN)}
    of_kind = {"instance": "instance", "launch-template": "template"}
    tags = ec2.describe_tags(Filters=[{"Name": "tag:relight:drill", "Values": [RUN]}])["Tags"]
    return found | {of_kind[tag["ResourceType"]] for tag in tags}


def test_a_stack_that_is_deleted_while_it_is_made_leaves_nothing(dr: Dr) -> None:
    dr.template(NAME, USER_DATA)
    dr.create(NAME, NAME)
    with pytest.raises(ClientError, match="AlreadyExists"):
        dr.create(NAME, NAME)
    until(lambda: NAME in dr.names()["balancers"])
    dr.client("cloudformation").delete_stack(StackName=NAME)
    with pytest.raises(ClientError, match="does not exist"):
        until(lambda: dr.settled(NAME)["StackStatus"] == "DELETE_COMPLETE")
    dr.client("ec2").delete_launch_template(LaunchTemplateName=NAME)
    until(lambda: dr.names() == STANDING)


def test_a_stack_that_is_deleted_before_anything_is_made_makes_nothing(dr: Dr) -> None:
    dr.template(NAME, USER_DATA)
    dr.create(NAME, NAME)
    dr.client("cloudformation").delete_stack(StackName=NAME)
    with pytest.raises(ClientError, match="does not exist"):
        until(lambda: dr.settled(NAME)["StackStatus"] == "DELETE_COMPLETE")
    dr.client("ec2").delete_launch_template(LaunchTemplateName=NAME)
    assert dr.names() == STANDING


def test_a_stack_is_made_by_a_role_that_there_is_or_not_at_all(dr: Dr) -> None:
    with pytest.raises(ClientError, match="invalid or cannot be assumed"):
        dr.create("other", "shop-dr", RoleARN=f"arn:aws:iam::{ACCOUNT}:role/never")
    with pytest.raises(ClientError, match="does not exist"):
        dr.settled("other")


def test_a_quota_is_told_and_what_counts_against_it(dr: Dr) -> None:
    quotas = dr.client("service-quotas")

    def vcpus() -> float:
        return float(quotas.get_service_quota(ServiceCode="ec2", QuotaCode=STANDARD_VCPUS)["Quota"]["Value"])

    assert vcpus() == 64
    dr.quotas.set(REGION, STANDARD_VCPUS, 4)
    assert vcpus() == 4
    with pytest.raises(ClientError, match="NoSuchResource"):
        quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-00000000")
    until(lambda: dr.names()["instances"] == ["shop-dr"])
    (reservation,) = dr.client("ec2").describe_instances(
        Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    )["Reservations"]
    (instance,) = reservation["Instances"]
    (kind,) = dr.client("ec2").describe_instance_types(InstanceTypes=["t4g.small"])["InstanceTypes"]
    cpus = instance["CpuOptions"]
    assert kind["VCpuInfo"]["DefaultVCpus"] == cpus["CoreCount"] * cpus["ThreadsPerCore"] == 2


def test_an_account_tells_what_it_has_of_rds_and_that_it_has_reserved_no_capacity(dr: Dr) -> None:
    told = {each["AccountQuotaName"]: each for each in dr.client("rds").describe_account_attributes()["AccountQuotas"]}
    assert told["DBInstances"] == {"AccountQuotaName": "DBInstances", "Used": 0, "Max": 40}
    assert dr.client("ec2").describe_capacity_reservations()["CapacityReservations"] == []


def test_a_simulation_says_what_a_roles_policies_give(dr: Dr) -> None:
    iam = dr.client("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    role = iam.create_role(RoleName="promote", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    database = f"arn:aws:rds:{REGION}:{ACCOUNT}:db:shop-dr"
    given = [
        {"Effect": "Allow", "Action": "rds:PromoteReadReplica", "Resource": database},
        {
            "Effect": "Allow",
            "Action": "dynamodb:GetItem",
            "Resource": "*",
            "Condition": {"StringEquals": {"dynamodb:LeadingKeys": "region"}},
        },
        {"Effect": "Deny", "Action": "rds:DeleteDBInstance", "Resource": "*"},
    ]
    iam.put_role_policy(
        RoleName="promote",
        PolicyName="own",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": given}),
    )

    def simulated(action: str, *resources: str, **context: str) -> dict[str, Any]:
        entries = [
            {"ContextKeyName": key.replace("_", ":"), "ContextKeyValues": [value], "ContextKeyType": "string"}
            for key, value in context.items()
        ]
        more = {"ResourceArns": list(resources)} if resources else {}
        (found,) = iam.simulate_principal_policy(
            PolicySourceArn=role, ActionNames=[action], ContextEntries=entries, **more
        )["EvaluationResults"]
        return dict(found)

    promoted = simulated("rds:PromoteReadReplica", database)
    assert (promoted["EvalDecision"], promoted["EvalResourceName"]) == ("allowed", database)
    assert [each["SourcePolicyId"] for each in promoted["MatchedStatements"]] == ["own"]
    assert simulated("rds:PromoteReadReplica", f"{database}-other")["EvalDecision"] == "implicitDeny"
    assert simulated("rds:PromoteReadReplica")["EvalDecision"] == "implicitDeny"
    assert simulated("rds:DeleteDBInstance", database)["EvalDecision"] == "explicitDeny"
    without = simulated("dynamodb:GetItem")
    assert (without["EvalDecision"], without["MissingContextValues"]) == ("implicitDeny", ["dynamodb:leadingkeys"])
    assert simulated("dynamodb:GetItem", dynamodb_LeadingKeys="region")["EvalDecision"] == "allowed"
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.simulate_principal_policy(PolicySourceArn=f"{role}-never", ActionNames=["s3:GetObject"])


# What a rehearsal makes of drills.


def attempt(sent: float, got: float, status: int | None = 201) -> Attempt:
    return Attempt(kind=Kind.WRITE, id="r-1", client=0, sent=sent, got=got, status=status)


def test_an_attempt_that_failed_counts_when_a_drill_was_under_way_at_any_moment_of_it() -> None:
    tried = [attempt(1, 2, 503), attempt(9, 11, None), attempt(12, 13), attempt(19, 21, 500), attempt(22, 23, 503)]
    assert client_failures(tried, 10, 20) == 2
    assert client_failures([attempt(12, 13)], 10, 20) == 0


@pytest.mark.parametrize(
    ("name", "lives"),
    [
        ("shop-dr-drill-7", True),
        ("relight-shop-drill-12", True),
        ("shop-dr", False),
        ("relight-shop-drill", False),
        ("shop-dr-retired-4", False),
    ],
)
def test_what_lives_for_one_drill_only_is_known_by_its_name(name: str, lives: bool) -> None:
    assert is_throwaway(name) is lives


def drilled(kind: str = "promote", **changes: Any) -> Drilled:
    made = Drilled(
        kind=kind,
        run=f"run-{kind}",
        status=Status.SUCCEEDED,
        started=100.0,
        ended=120.0,
        promote_seconds=7.1 if kind == "promote" else None,
        restore_seconds=2.2 if kind == "restore" else None,
        instances=1,
        marked=True,
        reached_standing=False,
        ways_out=(),
    )
    return replace(made, **changes)


READY = Readied(score=100, seconds=1.5, calls=55, checks=42, not_passed=())
ACTIVE = Readied(score=100, seconds=0.2, calls=3, checks=1, not_passed=())


def rehearsed(**changes: Any) -> Result:
    """A rehearsal of both drills as it should end."""
    options = Options(fault=Fault.NONE, drill=(DrillKind.PROMOTE, DrillKind.RESTORE))
    size = Capacity(0, 0, 4)
    result = Result(
        status=Status.SUCCEEDED,
        expected=expected(options),
        fault="none",
        lost="refused",
        timings="lab",
        started=90.0,
        ended=150.0,
        attempts=1000,
        acknowledged_writes=900,
        missing_writes=(),
        missing_streamed_writes=0,
        writes_on_both_sides=0,
        drills_asked=tuple(kind.value for kind in options.drill),
        readiness=READY,
        readiness_active=ACTIVE,
        readiness_after=READY,
        drills=(drilled("promote"), drilled("restore")),
        client_failures=0,
        standby_streaming_always=True,
        left_over=(),
        promote_seconds=7.1,
        restore_seconds=2.2,
        executions=(Execution("run-promote", "SUCCEEDED", REGION, machine="drill"),),
        answers=(Answered("run-promote", "approve", 0, 101.0, "approved"),),
        asg=ScalingGroup(size, size),
    )
    return replace(result, **changes)


def test_drills_that_touched_nothing_ended_as_they_should() -> None:
    assert problems(rehearsed()) == ()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"drills": (drilled("promote"),)}, "no drill (restore) was made"),
        ({"drills": (drilled("promote", status=Status.FAILED), drilled("restore"))}, "drill (promote) ended FAILED"),
        ({"drills": (drilled("promote", promote_seconds=None), drilled("restore"))}, "has not told how long"),
        ({"drills": (drilled("promote"), drilled("restore", restore_seconds=None))}, "has not told how long"),
        ({"drills": (drilled("promote", restore_seconds=2.0), drilled("restore"))}, "how long a restore took, and"),
        ({"drills": (drilled("promote"), drilled("restore", promote_seconds=7.0))}, "how long a promotion took, and"),
        ({"drills": (drilled("promote"), drilled("restore", instances=0))}, "nothing was verified"),
        ({"drills": (drilled("promote", marked=False), drilled("restore"))}, "RELIGHT_DRILL=1"),
        ({"drills": (drilled("promote", reached_standing=True), drilled("restore"))}, "reached the standing replica"),
        ({"drills": (drilled("promote", ways_out=("nat-1",)), drilled("restore"))}, "had a way out, by nat-1"),
        ({"readiness": None}, "nobody asked about the readiness of the standby before"),
        (
            {"readiness": replace(READY, score=97, not_passed=("lag: WARN: behind",))},
            "the readiness of the standby before the drills was 97 of 100: lag: WARN: behind",
        ),
        ({"readiness_active": replace(ACTIVE, score=None)}, "the active Region before the drills was None of 100"),
        ({"readiness_after": replace(READY, calls=60)}, "after the drills took 60 API calls; fewer than 60 is right"),
        ({"client_failures": 3}, "3 attempts of clients failed"),
        ({"client_failures": None}, "not known how clients fared"),
        ({"standby_streaming_always": False, "standby_seen": ("catchup",)}, "all the while: catchup"),
        ({"standby_streaming_always": None}, "all the while: nobody looked"),
        ({"left_over": ("dr: stack relight-shop-drill-7",)}, "left over from a drill: dr: stack relight-shop-drill-7"),
        ({"left_over": None}, "nobody looked whether"),
        ({"promotions": 1}, "a standing replica was promoted 1 times"),
        ({"asg": ScalingGroup(Capacity(0, 0, 4), Capacity(0, 2, 4))}, "the Auto Scaling group is at"),
        ({"missing_writes": ("r-1",)}, "1 acknowledged writes are missing, and no Region was lost"),
        ({"answers": ()}, "asked nobody"),
        ({"executions": (Execution("run-promote", "FAILED", REGION, machine="drill"),)}, "is FAILED"),
    ],
)
def test_each_thing_that_a_drill_did_wrong_is_said(changes: dict[str, Any], sentence: str) -> None:
    found = problems(rehearsed(**changes))
    assert len(found) == 1, found
    assert sentence in found[0]


def test_the_closing_table_says_what_drills_took_and_left_alone() -> None:
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(closing(rehearsed()))
    text = capture.get()
    for words in ("7.10 s", "2.20 s", "all the while", "left over", "--drill promote,restore", "100 of 100", "55 API"):
        assert words in text
    assert "RTO" not in text


@pytest.mark.parametrize(
    "changes",
    [
        {"drill": (DrillKind.RESTORE,)},
        {"drill": (DrillKind.RESTORE,), "fault": Fault.NONE, "switchovers": 2},
        {"drill": (DrillKind.RESTORE,), "fault": Fault.NONE, "during_drill": DrillKind.RESTORE},
        {"during_drill": DrillKind.PLAN},
        {"during_drill": DrillKind.RESTORE, "fault": Fault.APP_LOST},
        {"during_drill": DrillKind.RESTORE, "circle": True},
    ],
)
def test_drills_in_which_something_else_happens_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(OptionRefused):
        Options(**changes)


def test_a_region_may_be_lost_during_a_drill() -> None:
    assert expected(Options(during_drill=DrillKind.RESTORE)) is Status.SUCCEEDED
