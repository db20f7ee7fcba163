"""Auto Scaling Groups and load balancers of the lab through boto3: real processes behind real balancers."""

import base64
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from lab.autoscaling import Autoscaling
from lab.instance import environment_of
from lab.loadbalancing import LoadBalancers
from lab.network import Network
from lab.network import Path as NetworkPath
from lab.port import free_port
from lab.region import REGION_NAME, Side, Vantage, alb_address
from lab.scaling_activity import INSUFFICIENT_CAPACITY
from lab.timings import LAB

TIMINGS = replace(LAB, minute=0.4, instance_boot=0.3, target_check_scale=0.03)
SIDE = Side.DR
REGION = REGION_NAME[SIDE]
HOSTS = [alb_address(side, vantage) for side in Side for vantage in Vantage]

# Serves its environment; healthy as long as the file exists; /leave ends it with exit code 1.
STAND_IN = """
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/leave":
            os._exit(1)
        self.send_response(200 if os.path.exists(os.environ["READY_FILE"]) else 503)
        self.end_headers()
        self.wfile.write(json.dumps(dict(os.environ)).encode())
    def log_message(self, *_):
        pass
host, port = os.environ["BIND"].split(":")
HTTPServer((host, int(port)), Handler).serve_forever()
"""

USER_DATA = """#!/bin/bash
mkdir -p /etc/relight
cat >/etc/relight/app.env <<'ENV'
AWS_REGION=eu-central-1
DATABASE_HOST=127.0.2.20
DATABASE_PORT=5432
# a remark
READY_FILE={ready}
ENV
systemctl enable --now relight-app
"""


class Way:
    """Stands for the relay to the database."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Ways:
    def __init__(self) -> None:
        self.opened: list[Way] = []

    def open_way(self, side: Side, instance: Any, host: str, environment: Mapping[str, str]) -> Way:
        assert (side, environment["DATABASE_HOST"]) == (SIDE, "127.0.2.20")
        assert str(instance.private_ip).startswith("10.2.")
        self.opened.append(Way(host))
        return self.opened[-1]


class Fleet:
    """A group `web` behind a load balancer in the DR Region, and what can be seen of both."""

    def __init__(self, folder: Path) -> None:
        self.ready = folder / "ready"
        self.ready.touch()
        self.ways = Ways()
        self.network = Network()
        self.balancers = LoadBalancers(self.network, TIMINGS, free_port(HOSTS))
        self.autoscaling = Autoscaling(
            TIMINGS,
            self.balancers,
            folder / "logs",
            command=[sys.executable, "-S", "-c", STAND_IN],
            cwd=folder,
            environment=lambda vantage, region: {"CALLS_FROM": f"{vantage} in {region}"},
            ways=self.ways,
        )
        self.client: Any = boto3.client("autoscaling", region_name=REGION)
        self.elb: Any = boto3.client("elbv2", region_name=REGION)

    def build(self) -> None:
        ec2 = boto3.client("ec2", region_name=REGION)
        vpc = ec2.create_vpc(CidrBlock="10.2.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.2.{n}.0/24", AvailabilityZone=f"{REGION}{zone}")["Subnet"]
            for n, zone in enumerate("ab")
        ]
        ids = [subnet["SubnetId"] for subnet in subnets]
        balancer = self.elb.create_load_balancer(Name="web", Subnets=ids)["LoadBalancers"][0]
        self.name = balancer["DNSName"]
        self.targets = self.elb.create_target_group(
            Name="web",
            Protocol="HTTP",
            Port=8000,
            VpcId=vpc,
            HealthCheckPath="/health/ready",
            HealthCheckIntervalSeconds=10,
            HealthCheckTimeoutSeconds=8,
            HealthyThresholdCount=2,
            UnhealthyThresholdCount=2,
        )["TargetGroups"][0]["TargetGroupArn"]
        self.elb.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.targets}],
        )
        user_data = base64.b64encode(USER_DATA.format(ready=self.ready).encode()).decode()
        ec2.create_launch_template(
            LaunchTemplateName="web",
            LaunchTemplateData={"ImageId": "ami-12345678", "InstanceType": "t4g.small", "UserData": user_data},
        )
        self.client.create_auto_scaling_group(
            AutoScalingGroupName="web",
            MinSize=0,
            MaxSize=3,
            DesiredCapacity=0,
            LaunchTemplate={"LaunchTemplateName": "web", "Version": "$Latest"},
            VPCZoneIdentifier=",".join(ids),
            TargetGroupARNs=[self.targets],
            HealthCheckType="EC2",
            HealthCheckGracePeriod=5,
        )

    def desire(self, number: int) -> None:
        self.client.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=number)

    def group(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.describe_auto_scaling_groups(AutoScalingGroupNames=["web"])[
            "AutoScalingGroups"
        ][0]
        return found

    def states(self) -> list[str]:
        return sorted(instance["LifecycleState"] for instance in self.group()["Instances"])

    def instances(self) -> list[str]:
        return sorted(
            instance["InstanceId"]
            for instance in self.group()["Instances"]
            if instance["LifecycleState"] == "InService"
        )

    def health(self) -> dict[str, str]:
        answer = self.elb.describe_target_health(TargetGroupArn=self.targets)["TargetHealthDescriptions"]
        return {one["Target"]["Id"]: one["TargetHealth"]["State"] for one in answer}

    def activities(self, status: str) -> list[dict[str, Any]]:
        answer = self.client.describe_scaling_activities(AutoScalingGroupName="web")["Activities"]
        return [activity for activity in answer if activity["StatusCode"] == status]

    def suspend(self, *processes: str) -> None:
        self.client.suspend_processes(AutoScalingGroupName="web", ScalingProcesses=list(processes))

    def resume(self, *processes: str) -> None:
        self.client.resume_processes(AutoScalingGroupName="web", ScalingProcesses=list(processes))

    def serve(self, number: int) -> list[str]:
        """Scale to that number and wait until each instance is healthy."""
        self.desire(number)
        until(lambda: sorted(self.health().values()) == ["healthy"] * number == ["healthy"] * len(self.instances()))
        return self.instances()

    def ask(self, path: str = "/") -> dict[str, str]:
        """What the application answers to a client outside, through the load balancer."""
        host = self.balancers.alb_address(self.name, Vantage.OUTSIDE)
        with urllib.request.urlopen(f"http://{host}:{self.balancers.web_port}{path}", timeout=5) as answer:
            environment: dict[str, str] = json.load(answer)
            return environment


def until[T](look: Callable[[], T], seconds: float = 15) -> T:
    """What `look` returns as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return seen


def error_of(call: Callable[..., Any], **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    error = refused.value.response["Error"]
    return str(error["Code"]), str(error["Message"])


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        made = Fleet(tmp_path)
        made.balancers.install()
        made.autoscaling.install()
        try:
            made.build()
            made.autoscaling.start()
            yield made
        finally:
            pids = made.autoscaling.processes().values()
            made.autoscaling.stop()
            made.balancers.stop()
            assert not any(psutil.pid_exists(pid) for pid in pids)
            assert made.autoscaling.processes() == {}
            assert all(way.closed for way in made.ways.opened)
    assert made.autoscaling.errors == []


def test_an_instance_is_a_process_that_the_load_balancer_finds_healthy(fleet: Fleet) -> None:
    assert fleet.states() == []
    assert not fleet.balancers.healthy_targets(fleet.name)
    seen: list[str] = []

    def watch() -> bool:
        seen.extend(set(fleet.states()) | set(fleet.health().values()))
        return list(fleet.health().values()) == ["healthy", "healthy"]

    fleet.desire(2)
    until(watch)
    assert [word for word in dict.fromkeys(seen) if word in ("Pending", "InService")] == ["Pending", "InService"]
    assert "initial" in seen
    assert fleet.balancers.healthy_targets(fleet.name)
    assert len({instance["AvailabilityZone"] for instance in fleet.group()["Instances"]}) == 2

    environment = fleet.ask()
    assert environment["BIND"] in ("127.0.2.100:8000", "127.0.2.101:8000")
    assert environment["PGHOSTADDR"] == environment["BIND"].split(":")[0]
    assert (environment["AWS_REGION"], environment["DATABASE_HOST"]) == ("eu-central-1", "127.0.2.20")
    assert environment["CALLS_FROM"] == "dr in eu-central-1"
    assert {fleet.ask()["BIND"] for _ in range(4)} == {"127.0.2.100:8000", "127.0.2.101:8000"}

    pids = fleet.autoscaling.processes()
    assert sorted(pids) == fleet.instances()
    fleet.desire(0)
    until(lambda: fleet.states() == [] and not any(psutil.pid_exists(pid) for pid in pids.values()))
    assert fleet.health() == {}
    done = fleet.activities("Successful")
    assert [one["Description"].split(":")[0] for one in done] == ["Terminating EC2 instance"] * 2 + [
        "Launching a new EC2 instance"
    ] * 2
    assert "changing the desired capacity from 2 to 0" in done[0]["Cause"]
    assert [len(fleet.autoscaling.launches), len(fleet.autoscaling.terminations)] == [2, 2]


def test_suspended_processes_are_honoured(fleet: Fleet) -> None:
    fleet.suspend("Launch")
    fleet.desire(1)
    held = time.monotonic() + 3 * TIMINGS.instance_boot
    until(lambda: time.monotonic() > held)
    assert fleet.states() == []
    fleet.suspend("AddToLoadBalancer")
    fleet.resume("Launch")
    until(lambda: fleet.states() == ["InService"] and fleet.autoscaling.processes())
    assert fleet.health() == {}
    fleet.resume("AddToLoadBalancer")
    (first,) = fleet.instances()
    fleet.desire(2)
    until(lambda: list(fleet.health().values()) == ["healthy"])
    assert first not in fleet.health(), "AWS does not make up for an instance that it did not add"
    fleet.elb.register_targets(TargetGroupArn=fleet.targets, Targets=[{"Id": first}])
    until(lambda: list(fleet.health().values()) == ["healthy", "healthy"])
    fleet.suspend("Terminate")
    fleet.desire(0)
    held = time.monotonic() + 2 * TIMINGS.instance_boot
    until(lambda: time.monotonic() > held)
    assert len(fleet.autoscaling.processes()) == 2
    fleet.resume()
    until(lambda: fleet.states() == [])


def test_a_launch_that_finds_no_capacity_says_so_and_is_tried_again(fleet: Fleet) -> None:
    fleet.autoscaling.capacity_error[REGION] = INSUFFICIENT_CAPACITY
    fleet.desire(1)
    failed = until(lambda: fleet.activities("Failed"))[0]
    assert "do not have sufficient t4g.small capacity" in failed["StatusMessage"]
    assert "InsufficientInstanceCapacity" in failed["StatusMessage"]
    assert failed["StatusMessage"] in failed["Description"]
    assert fleet.states() == []
    del fleet.autoscaling.capacity_error[REGION]
    until(lambda: list(fleet.health().values()) == ["healthy"])


def test_instances_that_are_lost_do_not_come_back_before_there_is_capacity(fleet: Fleet) -> None:
    lost = fleet.serve(1)
    fleet.desire(2)
    until(lambda: len(fleet.states()) == 2)  # the second has only just been launched
    pids = fleet.autoscaling.processes().values()
    fleet.autoscaling.lose_instances(SIDE)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    until(lambda: fleet.states() == [] and fleet.health() == {})
    assert "EC2 health check" in fleet.activities("Successful")[0]["Cause"]
    assert "InsufficientInstanceCapacity" in until(lambda: fleet.activities("Failed"))[0]["StatusMessage"]
    held = time.monotonic() + 2 * TIMINGS.instance_boot
    until(lambda: time.monotonic() > held)
    assert (fleet.states(), fleet.autoscaling.processes()) == ([], {})
    del fleet.autoscaling.capacity_error[REGION]
    until(lambda: list(fleet.health().values()) == ["healthy", "healthy"])
    assert not set(lost) & set(fleet.instances())


def test_lost_instances_are_not_replaced_while_launch_is_suspended(fleet: Fleet) -> None:
    fleet.serve(1)
    fleet.suspend("Launch")
    fleet.autoscaling.lose_instances(SIDE)
    del fleet.autoscaling.capacity_error[REGION]
    until(lambda: fleet.states() == [])
    held = time.monotonic() + 3 * TIMINGS.instance_boot
    until(lambda: time.monotonic() > held)
    assert (fleet.states(), fleet.activities("Failed")) == ([], [])
    fleet.resume("Launch")
    until(lambda: list(fleet.health().values()) == ["healthy"])


def test_limits_are_those_of_aws(fleet: Fleet) -> None:
    set_desired, update = fleet.client.set_desired_capacity, fleet.client.update_auto_scaling_group
    code, message = error_of(set_desired, AutoScalingGroupName="web", DesiredCapacity=4)
    assert (code, message) == (
        "ValidationError",
        "New SetDesiredCapacity value 4 is above max value 3 for the AutoScalingGroup.",
    )
    assert error_of(update, AutoScalingGroupName="web", DesiredCapacity=4)[0] == "ValidationError"
    assert error_of(update, AutoScalingGroupName="web", MinSize=4)[0] == "ValidationError"
    assert error_of(set_desired, AutoScalingGroupName="nobody", DesiredCapacity=1)[0] == "ValidationError"
    update(AutoScalingGroupName="web", MinSize=1, MaxSize=4)
    group = fleet.group()
    assert (group["MinSize"], group["DesiredCapacity"], group["MaxSize"]) == (1, 1, 4), "desired yields to the limits"
    update(AutoScalingGroupName="web", MinSize=0, DesiredCapacity=0)
    until(lambda: fleet.states() == [])
    fleet.client.delete_auto_scaling_group(AutoScalingGroupName="web", ForceDelete=True)
    assert fleet.client.describe_auto_scaling_groups()["AutoScalingGroups"] == []


def test_only_the_elb_health_check_replaces_an_instance_whose_target_is_unhealthy(fleet: Fleet) -> None:
    (first,) = fleet.serve(1)
    fleet.ready.unlink()
    until(lambda: list(fleet.health().values()) == ["unhealthy"])
    held = time.monotonic() + 1
    until(lambda: time.monotonic() > held)
    assert fleet.instances() == [first]
    assert fleet.autoscaling.terminations == []
    fleet.client.update_auto_scaling_group(AutoScalingGroupName="web", HealthCheckType="ELB")
    until(lambda: [name for name, _ in fleet.autoscaling.terminations] == [first])
    ended = [
        one for one in fleet.activities("Successful") if first in one["Description"] and "Term" in one["Description"]
    ]
    assert "ELB system health check failure" in ended[0]["Cause"]


def test_a_lost_process_or_instance_is_replaced_and_one_that_ends_is_started_again(fleet: Fleet) -> None:
    (first,) = fleet.serve(1)
    until(lambda: first in fleet.autoscaling.processes())
    pid = fleet.autoscaling.processes()[first]
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        fleet.ask("/leave")
    until(lambda: fleet.autoscaling.processes().get(first, pid) != pid)
    assert fleet.instances() == [first], "systemd starts it again on the same instance"

    os.kill(fleet.autoscaling.processes()[first], signal.SIGKILL)
    until(lambda: fleet.instances() not in ([], [first]))
    (second,) = fleet.instances()
    boto3.client("ec2", region_name=REGION).terminate_instances(InstanceIds=[second])
    until(lambda: fleet.instances() not in ([], [second]) and list(fleet.health().values()) == ["healthy"])
    assert second not in fleet.health()
    fleet.client.terminate_instance_in_auto_scaling_group(
        InstanceId=fleet.instances()[0], ShouldDecrementDesiredCapacity=True
    )
    until(lambda: fleet.states() == [] and fleet.autoscaling.processes() == {})
    assert fleet.group()["DesiredCapacity"] == 0


def test_a_lost_region_loses_its_processes_and_starts_none(fleet: Fleet) -> None:
    fleet.serve(1)
    fleet.autoscaling.lose(SIDE, NetworkPath.BLACK_HOLED)
    assert len(fleet.autoscaling.processes()) == 1
    fleet.autoscaling.lose(SIDE, NetworkPath.REFUSED)
    assert fleet.autoscaling.processes() == {}
    until(lambda: list(fleet.health().values()) == ["unhealthy"])
    assert not fleet.balancers.healthy_targets(fleet.name)
    held = time.monotonic() + 2 * TIMINGS.instance_boot
    until(lambda: time.monotonic() > held)
    assert fleet.autoscaling.processes() == {}


@pytest.mark.parametrize(
    ("user_data", "complaint"),
    [("#!/bin/bash\n", "does not write /etc/relight/app.env"), ("cat >/etc/relight/app.env <<ENV\nX\nENV\n", "'X'")],
)
def test_user_data_that_starts_nothing_is_refused(user_data: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        environment_of(user_data)


def test_a_group_of_several_types_launches_from_its_launch_template(fleet: Fleet) -> None:
    ec2: Any = boto3.client("ec2", region_name=REGION)
    subnet = fleet.group()["VPCZoneIdentifier"].split(",")[0]
    vpc = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["VpcId"]
    admitted = ec2.create_security_group(GroupName="app", Description="app", VpcId=vpc)["GroupId"]
    interface = {"DeviceIndex": 0, "AssociatePublicIpAddress": False, "Groups": [admitted]}
    data = ec2.describe_launch_template_versions(LaunchTemplateName="web", Versions=["1"])["LaunchTemplateVersions"][0]
    ec2.create_launch_template(
        LaunchTemplateName="private", LaunchTemplateData=data["LaunchTemplateData"] | {"NetworkInterfaces": [interface]}
    )
    fleet.client.create_auto_scaling_group(
        AutoScalingGroupName="mixed",
        MinSize=1,
        MaxSize=1,
        MixedInstancesPolicy={
            "InstancesDistribution": {"OnDemandPercentageAboveBaseCapacity": 100},
            "LaunchTemplate": {
                "LaunchTemplateSpecification": {"LaunchTemplateName": "private", "Version": "1"},
                "Overrides": [{"InstanceType": "t4g.small"}, {"InstanceType": "m7g.large"}],
            },
        },
        VPCZoneIdentifier=subnet,
        TargetGroupARNs=[fleet.targets],
    )
    until(lambda: list(fleet.health().values()) == ["healthy"])
    (instance,) = fleet.health()
    described = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    assert [group["GroupId"] for group in described["SecurityGroups"]] == [admitted]
    assert described["InstanceType"] == "t4g.small"
