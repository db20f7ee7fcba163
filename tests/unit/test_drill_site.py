"""The site of a drill on moto: made of the standby's launch template, seen to be healthy, and never anything else's."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from moto.elbv2.models import FakeHealthStatus, FakeTargetGroup
from relight.errors import RunSuperseded, SiteNotBuilt
from relight.ledger import Ledger
from relight.run import Run
from relight.settings import DrillSettings
from relight.step import Outcome
from relight.steps.drill_site import TEMPLATE, Blueprint, DrillSite
from relight.steps.remains import Remains

from lab.instance import environment_of
from lab.seam import Seams
from tests.unit.conftest import Clients
from tests.unit.practice import SETTINGS
from tests.unit.rds import error
from tests.unit.standby import HERE, HOME, Clock, take_lock

NAME = "relight-shop-drill-1"
USER_DATA = """#!/bin/bash
cat >/etc/relight/app.env <<'ENV'
AWS_REGION=eu-central-1
HOME_REGION=eu-west-1
DATABASE_HOST=shop-dr.example
DATABASE_PORT=5432
DATA_BUCKET=shop-data
PORT=8000
RELIGHT_LEASE_TERM_SECONDS=15
ENV
systemctl start relight-release
"""
ENDPOINT = {"host": "shop-dr-drill-1.example", "port": 5432}


@dataclass
class Scene:
    """A Region with the standby's own group, at zero, and room for a drill."""

    clients: Callable[[str], Any]
    ledger: Ledger
    clock: Clock
    run: Run
    settings: DrillSettings
    health: dict[str, str] = field(default_factory=dict)

    @property
    def site(self) -> DrillSite:
        ec2, groups, stacks, balancing = map(self.clients, ("ec2", "autoscaling", "cloudformation", "elbv2"))
        return DrillSite(self.settings, self.ledger, ec2, groups, stacks, balancing, self.clock)

    def look(self) -> Outcome:
        return self.site.ensure(self.run, ENDPOINT)

    def stack(self) -> dict[str, Any]:
        return dict(self.clients("cloudformation").describe_stacks(StackName=NAME)["Stacks"][0])

    def data(self, name: str = NAME) -> dict[str, Any]:
        """Of a launch template, its first version."""
        answer = self.clients("ec2").describe_launch_template_versions(LaunchTemplateName=name, Versions=["1"])
        return dict(answer["LaunchTemplateVersions"][0]["LaunchTemplateData"])

    def group(self, name: str) -> dict[str, Any]:
        answer = self.clients("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
        return dict(answer["AutoScalingGroups"][0])

    def standbys_own(self, user_data: str = USER_DATA, *, mixed: bool = False, name: str = "shop-dr") -> None:
        """The group `shop-dr`, from its launch template."""
        self.clients("ec2").create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData={
                "ImageId": "ami-12c6146b",
                "InstanceType": "t4g.small",
                "IamInstanceProfile": {"Arn": "arn:aws:iam::123456789012:instance-profile/shop"},
                "NetworkInterfaces": [{"DeviceIndex": 0, "Groups": ["sg-app"]}],
                "UserData": base64.b64encode(user_data.encode()).decode(),
            },
        )
        own = {"LaunchTemplateName": name, "Version": "1"}
        self.clients("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName="shop-dr",
            MinSize=0,
            MaxSize=4,
            VPCZoneIdentifier=",".join(self.settings.subnet_ids or ()),
            **(
                {"MixedInstancesPolicy": {"LaunchTemplate": {"LaunchTemplateSpecification": own}}}
                if mixed
                else {"LaunchTemplate": own}
            ),
        )


@pytest.fixture
def scene(ledger: Ledger, clients: Clients, clock: Clock, run: Run) -> Iterator[Scene]:
    ec2 = clients("ec2", HERE)
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
    groups = [
        ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"] for name in ("app", "front")
    ]
    settings = replace(
        SETTINGS,
        vpc_id=vpc,
        subnet_ids=tuple(subnets[:2]),
        public_subnet_ids=tuple(subnets[1:3]),
        security_group=groups[0],
        balancer_security_group=groups[1],
    )
    scene = Scene(lambda name: clients(name, HERE), ledger, clock, run, settings)

    def health_for(original: Callable[..., Any]) -> Callable[..., Any]:
        def answer(group: Any, target: dict[str, Any], backend: Any) -> Any:
            state = scene.health.get("state", "healthy")
            reason = None if state == "healthy" else "Target.FailedHealthChecks"
            return FakeHealthStatus(target["Id"], "8000", "8000", state, reason, reason)

        return answer

    seams = Seams()
    seams.wrap(FakeTargetGroup, "health_for", health_for)
    try:
        yield scene
    finally:
        seams.undo()


def test_it_has_a_group_and_a_balancer_of_its_own_and_is_done_when_enough_is_healthy(scene: Scene) -> None:
    scene.standbys_own()
    scene.health["state"] = "unhealthy"
    assert scene.look().sentence == f"the stack {NAME} is being made: a balancer, and its instances (1)"
    waits = scene.look()
    assert (waits.status, waits.look_again_seconds) == ("WAIT", 2)
    assert waits.sentence == ("0 of 1 instances of the drill's site are healthy, 1 needed (Target.FailedHealthChecks)")
    scene.health["state"] = "healthy"
    scene.clock.advance(240)
    done = scene.look()
    (balancer,) = scene.clients("elbv2").describe_load_balancers(Names=["shop-drill-1"])["LoadBalancers"]
    assert done.facts == {
        "stack": NAME,
        "balancer": balancer["DNSName"],
        "url": f"http://{balancer['DNSName']}",
        "healthy": 1,
        "seconds": 240.0,
    }
    scene.clock.advance(600)
    assert scene.look().facts == done.facts
    own = scene.group("shop-drill-1")
    assert (own["MinSize"], own["DesiredCapacity"], own["MaxSize"], own["HealthCheckType"]) == (1, 1, 1, "EC2")
    standby = scene.group("shop-dr")
    assert (standby["MinSize"], standby["DesiredCapacity"], standby["TargetGroupARNs"]) == (0, 0, [])
    assert (balancer["Scheme"], balancer["SecurityGroups"]) == (
        "internet-facing",
        [scene.settings.balancer_security_group],
    )


def test_its_instances_write_to_the_throwaway_and_have_no_more_than_the_drills_own(scene: Scene) -> None:
    scene.standbys_own()
    scene.look()
    data = scene.data()
    told = environment_of(base64.b64decode(data["UserData"]).decode())
    assert (told["DATABASE_HOST"], told["DATABASE_PORT"]) == (ENDPOINT["host"], "5432")
    assert (told["DATA_BUCKET"], told["RELIGHT_DRILL"], told["HOME_REGION"]) == ("shop-drill", "1", HOME)
    assert told["RELIGHT_LEASE_TERM_SECONDS"] == "0"
    assert data["NetworkInterfaces"][0]["Groups"] == [scene.settings.security_group]
    assert data["IamInstanceProfile"]["Arn"] == scene.settings.instance_profile_arn
    assert (data["ImageId"], data["InstanceType"]) == ("ami-12c6146b", "t4g.small")
    assert environment_of(base64.b64decode(scene.data("shop-dr")["UserData"]).decode())["DATABASE_HOST"] == (
        "shop-dr.example"
    ), "the standby's own is as it was"


def test_everything_of_it_carries_its_tags(scene: Scene) -> None:
    scene.standbys_own()
    scene.look()
    wanted = {"relight:drill": "run-1", "relight:application": "shop"}
    rds: Any = scene.clients("rds")
    sight = Remains(scene.settings, rds, scene.clients("ec2"), scene.clients("cloudformation")).look()
    assert [str(one) for one in sight.of("run-1")] == [f"stack {NAME}", f"launch template {NAME}"]
    text = TEMPLATE.read_text()
    assert text.count("Key: relight:drill, Value: !Ref Run") == 3, "balancer, target group and group"
    assert text.count("Key: relight:application, Value: !Ref Application") == 3
    group = scene.group("shop-drill-1")
    assert wanted.items() <= {tag["Key"]: tag["Value"] for tag in group["Tags"]}.items()
    assert all(tag["PropagateAtLaunch"] for tag in group["Tags"] if tag["Key"] in wanted)


def test_it_listens_as_the_region_does(scene: Scene) -> None:
    certificate = scene.clients("acm").request_certificate(DomainName="shop.example")["CertificateArn"]
    scene.settings = replace(scene.settings, certificate_arn=certificate, site_port=8443)
    scene.standbys_own()
    scene.look()
    assert str(scene.look().facts["url"]).startswith("https://")
    assert str(scene.look().facts["url"]).endswith(":8443")
    balancing = scene.clients("elbv2")
    (balancer,) = balancing.describe_load_balancers(Names=["shop-drill-1"])["LoadBalancers"]
    (listener,) = balancing.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    assert (listener["Protocol"], listener["Port"]) == ("HTTPS", 8443)
    assert listener["Certificates"] == [{"CertificateArn": certificate}]


def test_a_group_of_several_types_has_a_launch_template_too(scene: Scene) -> None:
    scene.standbys_own(mixed=True)
    scene.look()
    assert scene.look().status == "DONE"


# Where there is none.


def left_out(scene: Scene, why: str) -> None:
    done = scene.look()
    assert done.status == "DONE"
    assert why in done.facts["left_out"]
    assert (done.facts["stack"], done.facts["url"]) == (None, None)
    assert scene.site.left_out(scene.run)
    assert scene.clients("cloudformation").describe_stacks()["Stacks"] == []


@pytest.mark.parametrize(
    "name", ["subnet_ids", "public_subnet_ids", "security_group", "instance_profile_arn", "bucket", "site_role_arn"]
)
def test_without_what_keeps_it_apart_it_is_left_out(scene: Scene, name: str) -> None:
    scene.standbys_own()
    missing: dict[str, Any] = {name: None}
    scene.settings = replace(scene.settings, **missing)
    left_out(scene, f"nothing is given of what keeps a drill apart: {name.upper()}")


@pytest.mark.parametrize("user_data", ["#!/bin/bash\ntrue\n", ""])
def test_instances_that_are_not_ours_are_left_out(scene: Scene, user_data: str) -> None:
    scene.standbys_own(user_data)
    left_out(scene, "are not told by /etc/relight/app.env which database is theirs")


def test_a_group_without_a_launch_template_is_left_out(scene: Scene) -> None:
    left_out(scene, "shop-dr is made from no launch template")


def test_user_data_that_is_no_text_is_not_ours(scene: Scene) -> None:
    scene.standbys_own()
    ec2 = scene.clients("ec2")
    ec2.create_launch_template_version(
        LaunchTemplateName="shop-dr",
        LaunchTemplateData={"UserData": base64.b64encode(b"\x1f\x8b\xff\xfe").decode()},
    )
    own = {"LaunchTemplateName": "shop-dr", "Version": "2"}
    scene.clients("autoscaling").update_auto_scaling_group(AutoScalingGroupName="shop-dr", LaunchTemplate=own)
    assert not isinstance(scene.site.blueprint(), Blueprint)


# What stands in the way.


def test_it_waits_for_the_address_of_the_database(scene: Scene) -> None:
    scene.standbys_own()
    assert scene.site.ensure(scene.run, None).sentence == "the throwaway database has no address yet"


def test_a_launch_template_that_is_there_already_is_used(scene: Scene) -> None:
    """Whoever has made it may have died before the stack."""
    scene.standbys_own()
    blueprint = scene.site.blueprint()
    assert isinstance(blueprint, Blueprint)
    first = scene.site._template(scene.run, blueprint, ENDPOINT)
    scene.look()
    assert scene.look().status == "DONE"
    assert scene.group("shop-drill-1")["LaunchTemplate"]["LaunchTemplateId"] == first


def test_what_is_somebody_elses_is_left_alone(scene: Scene) -> None:
    scene.standbys_own()
    scene.clients("ec2").create_launch_template(LaunchTemplateName=NAME, LaunchTemplateData={"ImageId": "ami-1"})
    with pytest.raises(SiteNotBuilt, match="not this drill's: it is left alone"):
        scene.look()
    body = '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}'
    scene.clients("cloudformation").create_stack(StackName=NAME, TemplateBody=body)
    with pytest.raises(SiteNotBuilt, match="not this drill's: it is left alone"):
        scene.look()


def test_a_stack_that_was_rolled_back_says_why(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.standbys_own()
    scene.look()
    stack = {**scene.stack(), "StackStatus": "ROLLBACK_COMPLETE"}
    stacks = Rolled(stack, [("Group", "CREATE_FAILED", "cancelled"), ("Balancer", "CREATE_FAILED", "no address left")])
    site = replace(scene.site, stacks=stacks)
    with pytest.raises(SiteNotBuilt, match=f"{NAME} is ROLLBACK_COMPLETE: Balancer: no address left"):
        site.ensure(scene.run, ENDPOINT)
    stacks.events.clear()
    with pytest.raises(SiteNotBuilt, match="why is not told"):
        site.ensure(scene.run, ENDPOINT)
    stacks.silent = True
    with pytest.raises(SiteNotBuilt, match="why is not told"):
        site.ensure(scene.run, ENDPOINT)
    stack["StackStatus"] = "CREATE_IN_PROGRESS"
    assert site.ensure(scene.run, ENDPOINT).sentence == f"the stack {NAME} is CREATE_IN_PROGRESS"


def test_what_cloudformation_refuses_ends_the_drill(scene: Scene) -> None:
    scene.standbys_own()
    stacks = scene.clients("cloudformation")
    refusing = Refusing(stacks, error("ValidationError", "no such role", "CreateStack"))
    site = replace(scene.site, stacks=refusing)
    with pytest.raises(SiteNotBuilt, match=r"CloudFormation refuses .*: no such role \(ValidationError\)"):
        site.ensure(scene.run, ENDPOINT)
    refusing.refusal = error("InternalFailure", "sorry", "CreateStack", 500)
    with pytest.raises(type(refusing.refusal), match="sorry"):
        site.ensure(scene.run, ENDPOINT)


def test_a_handler_that_comes_late_makes_nothing(scene: Scene) -> None:
    scene.standbys_own()
    take_lock(scene.ledger, "failover-1", scene.clock())
    with pytest.raises(RunSuperseded):
        scene.look()
    assert len(scene.clients("ec2").describe_launch_templates()["LaunchTemplates"]) == 1


def test_a_balancer_that_is_not_there_cannot_be_asked(scene: Scene) -> None:
    with pytest.raises(SiteNotBuilt, match="with a balancer that could be asked"):
        scene.site.balancer(scene.run)


@dataclass
class Refusing:
    """CloudFormation, which makes nothing."""

    stacks: Any
    refusal: Exception

    def create_stack(self, **_: Any) -> None:
        raise self.refusal

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stacks, name)


@dataclass
class Rolled:
    """CloudFormation with one stack, and what has happened to it, newest first."""

    stack: dict[str, Any]
    events: list[tuple[str, str, str]]
    silent: bool = False

    def get_paginator(self, name: str) -> "Rolled":
        return replace(self, silent=self.silent and name == "describe_stack_events")

    def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
        if self.silent:
            raise EndpointConnectionError(endpoint_url="https://cloudformation")
        names = ("LogicalResourceId", "ResourceStatus", "ResourceStatusReason")
        events = [dict(zip(names, event, strict=True)) for event in self.events]
        yield {"Stacks": [self.stack], "StackEvents": events}
