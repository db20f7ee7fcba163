"""What a drill does, from the question whether it may begin to the last thing of it, and what readiness looks at."""

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from botocore import xform_name
from relight.inspection_orchestrator import FUNCTIONS as OF_A_FAILOVER

from lab.permission import ACCOUNT
from tests.permissions.estate import DOMAIN, HERE, HOME, MACHINE_NAME, Estate, client
from tests.permissions.way_home import DONE, FAR, WAY_HOME, execution
from tests.statemachine.drilling import BALANCER, Cloud
from tests.statemachine.harness import Machine, Outcome
from tests.unit.loopback import LOCALHOST

DRILL, RUN, EPOCH = "relight-shop-drill", "drill-1", 9
THROWAWAY, SITE = f"shop-dr-drill-{EPOCH}", f"relight-shop-drill-{EPOCH}"
BACKUP = f"arn:aws:rds:{HERE}:{ACCOUNT}:auto-backup:ab-0f0e0d0c0b0a09080706050403"
STANDBY = {"active": HOME, "active_epoch": 1, "epoch": EPOCH, "state": "steady"}
OF_RDS = (
    *("DescribeDBInstances", "DescribeDBSnapshots", "DescribeDBInstanceAutomatedBackups", "DescribeAccountAttributes"),
    *("RestoreDBInstanceToPointInTime", "RestoreDBInstanceFromDBSnapshot", "CreateDBInstanceReadReplica"),
    *("CopyDBSnapshot", "PromoteReadReplica", "DeleteDBInstance", "DeleteDBSnapshot"),
)
OF_STACKS = ("DescribeStacks", "DescribeStackEvents", "CreateStack", "DeleteStack")
OF_EC2 = (
    *("DescribeLaunchTemplates", "DescribeLaunchTemplateVersions", "DescribeInstanceTypes", "DescribeInstances"),
    *("CreateLaunchTemplate", "DeleteLaunchTemplate"),
)


def clouded(estate: Estate) -> Cloud:
    """What a drill finds in AWS, and what it makes there, in the place of moto's; it is asked of no other database."""
    cloud = Cloud(time.time, lambda _: None)
    regions = {HERE: cloud.rds, HOME: cloud.peer}

    def of_rds(name: str, region: str, asked: Mapping[str, Any]) -> Any:
        return getattr(regions[region], name)(**asked)

    def of(thing: Any, name: str, _region: str, asked: Mapping[str, Any]) -> Any:
        return getattr(thing, name)(**asked) or {}

    health = {"TargetHealth": {"State": "healthy"}}
    estate.recorder.stand_ins = {
        **{("rds", each): partial(of_rds, xform_name(each)) for each in OF_RDS},
        **{("cloudformation", each): partial(of, cloud.stacks, xform_name(each)) for each in OF_STACKS},
        **{("ec2", each): partial(of, cloud.templates, xform_name(each)) for each in OF_EC2},
        ("autoscaling", "DescribeAutoScalingGroups"): lambda _, asked: cloud.groups(**asked),
        ("elbv2", "DescribeTargetHealth"): lambda *_: {"TargetHealthDescriptions": [health, health]},
        ("service-quotas", "GetServiceQuota"): lambda _, asked: cloud.quota(**asked),
    }

    def hear(payload: Mapping[str, Any]) -> Any:
        said = cloud.ears.invoke(FunctionName="relight-shop-dbcheck", Payload=json.dumps(payload).encode())
        return json.loads(said["Payload"].read())

    estate.told = {"state": hear, "write": hear}
    estate.names.records[BALANCER, "A"] = [LOCALHOST]
    return cloud


def begun(estate: Estate) -> dict[str, Any]:
    """A drill that holds the lock of DR, which stands by."""
    owner = execution(DRILL, RUN)
    estate.head("dr", **STANDBY, owner=owner, expires_at=FAR)
    estate.head("primary", **STANDBY | {"epoch": 1})
    return {"id": RUN, "owner": owner, "epoch": EPOCH, "started_at": time.time(), "mode": "planned"}


def until_done(estate: Estate, cloud: Cloud, **event: Any) -> dict[str, Any]:
    """Look until the step is done; AWS comes one phase further at each look."""
    said: dict[str, Any] = {}
    for _ in range(12):
        said = estate.call("drill", event)
        if said["status"] == "DONE":
            return said
        cloud.tick()
    raise AssertionError(f"the drill comes to no end: {said}")


def taken_away(estate: Estate, cloud: Cloud, run: Mapping[str, Any]) -> None:
    """Nothing is left, and the standby is what it was."""
    said = until_done(estate, cloud, run=run, intent="teardown")
    assert said["facts"]["left_over"] == []
    assert not cloud.stacks.there.keys() | cloud.templates.there.keys() | cloud.rds.snapshots.keys()
    assert cloud.rds.instances.keys() == {"shop-dr"}


def a_restore_is_rehearsed(estate: Estate) -> None:
    """Of a copy of the other Region's snapshot, with a site of its own."""
    cloud, run = clouded(estate), begun(estate)
    for intent in ("plan", "database", "site", "writes"):
        said = until_done(estate, cloud, run=run, intent=intent, kind="restore")
        assert cloud.rds.instances.keys() == ({"shop-dr"} if intent == "plan" else {"shop-dr", THROWAWAY})
    assert said["facts"]["order"]
    assert cloud.stacks.there.keys() == {SITE}
    assert {"CopyDBSnapshot", "RestoreDBInstanceFromDBSnapshot"} <= set(cloud.made)
    taken_away(estate, cloud, run)


def a_promotion_is_rehearsed(estate: Estate) -> None:
    """Of a replica of its own, which is timed."""
    cloud, run = clouded(estate), begun(estate)
    for intent in ("plan", "database", "promote"):
        said = until_done(estate, cloud, run=run, intent=intent, kind="promote")
    assert said["facts"]["promote_seconds"] >= 0
    assert {"CreateDBInstanceReadReplica", "PromoteReadReplica"} <= set(cloud.made)
    taken_away(estate, cloud, run)


def a_drill_is_foreseen(estate: Estate) -> None:
    """By a person who asks beforehand, whatever kind of run has died with the lock."""
    clouded(estate)
    for machine in (MACHINE_NAME, WAY_HOME, DRILL):
        estate.head("dr", **STANDBY, owner=execution(machine, "dead"), expires_at=FAR)
        said = estate.call("drill", {"intent": "preview", "kind": "restore"})
        assert said["may_begin"], said


def a_dead_drill_is_swept_up(estate: Estate) -> None:
    """It was made of a replicated backup; CloudFormation has given up its site, and says why."""
    cloud, run = clouded(estate), begun(estate)
    window = {"EarliestTime": datetime(2026, 11, 1, tzinfo=UTC), "LatestTime": datetime(2026, 11, 20, tzinfo=UTC)}
    backup = {"DBInstanceAutomatedBackupsArn": BACKUP, "DBInstanceIdentifier": "shop-primary", "RestoreWindow": window}
    cloud.rds.backups = [{**backup, "Region": HOME, "Status": "replicating", "AllocatedStorage": 20, "Encrypted": True}]
    for intent in ("plan", "database"):
        until_done(estate, cloud, run=run, intent=intent, kind="restore")
    cloud.stacks.becomes = "CREATE_FAILED"
    site = {"run": run, "intent": "site", "kind": "restore"}
    assert estate.call("drill", site)["status"] == "WAIT"
    cloud.tick()
    try:
        estate.call("drill", site)
    except Exception as error:  # of the class that this sandbox has
        assert "Balancer: no room" in str(error)
    else:
        raise AssertionError("the site was built")
    assert "RestoreDBInstanceToPointInTime" in cloud.made
    for _ in range(3):
        said = estate.call("drill", {"intent": "sweep"})
        cloud.tick()
    assert said["sentence"] == "nothing is left of a drill that is over"
    assert cloud.rds.instances.keys() == {"shop-dr"}
    head = client("dynamodb", HERE).get_item(TableName="relight-shop", Key={"pk": {"S": "region"}, "sk": {"S": "head"}})
    assert "owner" not in head["Item"], "its lock is given back"


def a_game_day_goes_home(estate: Estate) -> None:
    """By the other Region's own machine, which is started once and followed."""
    run = begun(estate)
    estate.waiting(WAY_HOME, HOME)
    said = estate.call("drill", {"run": run, "intent": "home"})
    assert "has been started" in said["sentence"], said
    assert "is at work" in estate.call("drill", {"run": run, "intent": "home"})["sentence"]


# The state machine.


def practice(estate: Estate, payload: Mapping[str, Any], answer: bool = False) -> Outcome:
    """An execution of the drill's machine to its end; `answer` is that a person approves it."""
    machine: Machine = estate.another("drill")
    started = machine.start(payload)
    if answer:
        machine.client.send_task_success(taskToken=estate.question(), output=json.dumps({"by": "ada"}))
    return machine.outcome(started)


def scripted(event: Mapping[str, Any]) -> dict[str, Any]:
    """The steps of a drill have scenarios of their own: here they say at once that they are done."""
    facts: dict[str, Any] = {"would": ["nothing"], "left_over": [], "ended": "SUCCEEDED"}
    return DONE | {"sentence": f"{event['intent']} is played", "facts": facts}


def the_machine_of_drills(estate: Estate) -> None:
    """From its lock, which dead runs of each kind had, to its record; an alarm has changed meanwhile."""
    estate.scripted["drill"] = scripted
    alarms = client("cloudwatch", HERE)
    alarms.put_metric_alarm(
        AlarmName="relight-shop-primary-down",
        Namespace="Relight",
        MetricName="Down.from_dr",
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )
    alarms.set_alarm_state(AlarmName="relight-shop-primary-down", StateValue="ALARM", StateReason="lost for a moment")
    for dead in (MACHINE_NAME, WAY_HOME, DRILL):
        estate.head("dr", **STANDBY, owner=execution(dead, "dead"), expires_at=FAR)
        ended = practice(estate, {"reason": "by schedule", "kind": "restore"})
        assert ended.output["status"] == "SUCCEEDED", ended
        assert {"Take over the lock", "Take everything away", "Record"} <= set(ended.states)


def a_game_day_is_started(estate: Estate) -> None:
    """A real failover, planned, which a person has approved; and home again."""
    estate.scripted["drill"] = scripted
    estate.stream()
    estate.call("probe", {})
    ended = practice(estate, {"reason": "we practise", "kind": "gameday"}, answer=True)
    assert ended.output["status"] == "SUCCEEDED", ended
    assert {"Ask a person", "Fail over", "Follow the failover", "Go home again"} <= set(ended.states)
    assert (estate.writable(HERE), estate.writable(HOME)) == (True, False)


# What readiness looks at.


def readiness_is_judged(estate: Estate) -> None:
    """Of a standby with all that there is to be looked at."""
    cloud = Cloud(time.time, lambda _: None)
    cloud.rds.instances["shop-dr"]["KmsKeyId"] = f"arn:aws:kms:{HERE}:{ACCOUNT}:key/data"
    data = {
        "ImageId": "ami-1",
        "InstanceType": "t4g.small",
        "CapacityReservationSpecification": {"CapacityReservationPreference": "open"},
    }
    group = {
        "AutoScalingGroupName": "shop-dr",
        "MinSize": 0,
        "DesiredCapacity": 0,
        "MaxSize": 4,
        "HealthCheckType": "EC2",
        "AvailabilityZones": [f"{HERE}a"],
        "LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "1"},
    }
    balancer = {"DNSName": f"shop-dr-1.{HERE}.elb.amazonaws.com", "LoadBalancerArn": "arn", "State": {"Code": "active"}}
    role = f"arn:aws:iam::{ACCOUNT}:role/relight-shop-RoleOfAFunction"
    answers: dict[tuple[str, str], Any] = {
        ("autoscaling", "DescribeAutoScalingGroups"): {"AutoScalingGroups": [group]},
        ("ec2", "DescribeLaunchTemplateVersions"): {"LaunchTemplateVersions": [{"LaunchTemplateData": data}]},
        ("ec2", "DescribeImages"): {"Images": [{"ImageId": "ami-1", "State": "available"}]},
        ("ec2", "DescribeInstanceTypeOfferings"): {"InstanceTypeOfferings": []},
        ("ec2", "DescribeInstances"): {"Reservations": []},
        ("ec2", "DescribeInstanceTypes"): {"InstanceTypes": []},
        ("ec2", "DescribeCapacityReservations"): {"CapacityReservations": []},
        ("service-quotas", "GetServiceQuota"): {"Quota": {"Value": 32.0}},
        ("elbv2", "DescribeLoadBalancers"): {"LoadBalancers": [balancer]},
        ("elbv2", "DescribeTargetGroups"): {"TargetGroups": []},
        ("elbv2", "DescribeListeners"): {"Listeners": []},
        ("route53", "ListHostedZones"): {"HostedZones": [{"Id": "/hostedzone/Z0EXAMPLE", "Name": f"{DOMAIN}."}]},
        ("route53", "ListResourceRecordSets"): {"ResourceRecordSets": []},
        ("route53", "ListHealthChecks"): {"HealthChecks": []},
        ("lambda", "GetFunction"): {"Configuration": {"Role": role}},
    }
    estate.recorder.stand_ins = {called: partial(_said, answer) for called, answer in answers.items()}
    estate.recorder.stand_ins["iam", "SimulatePrincipalPolicy"] = lambda _, asked: {
        "EvaluationResults": [
            {"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": "allowed"}
            for action in asked["ActionNames"]
            for resource in asked["ResourceArns"]
        ]
    }
    regions = {HERE: cloud.rds, HOME: cloud.peer}
    estate.recorder.stand_ins["rds", "DescribeDBInstances"] = lambda region, asked: regions[
        region
    ].describe_db_instances(**asked)
    estate.stream()
    estate.head("dr", **STANDBY)
    said = estate.call("readiness", {})
    levels = {check["name"]: (check["level"], check["sentence"]) for check in said["checks"]}
    assert said["on_duty"], said["sentence"]
    assert levels["permissions"][0] == "PASS", levels
    assert len({name for name, (level, _) in levels.items() if level == "PASS"}) > 10
    assert len(OF_A_FAILOVER) == 6
    assert estate.call("readiness", {})["score"] == said["score"], "what was kept is read again"


def _said(answer: Any, _region: str, _asked: Mapping[str, Any]) -> Any:
    return answer


SCENARIOS: dict[str, Callable[[Estate], None]] = {
    play.__name__.replace("_", " "): play
    for play in (
        a_restore_is_rehearsed,
        a_promotion_is_rehearsed,
        a_drill_is_foreseen,
        a_dead_drill_is_swept_up,
        a_game_day_goes_home,
        the_machine_of_drills,
        a_game_day_is_started,
        readiness_is_judged,
    )
}
