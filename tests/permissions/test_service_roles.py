"""The roles that AWS's services and the instances take on: what each needs is written here, and its role says the same.

No code of ours calls anything by them, so there is nothing to record.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from lab.permission import Need, Statement, allowed, allows, denied, unused, without
from tests.permissions.operator import PATH as OPERATOR
from tests.permissions.roles import CALLERS, given, role_path, trusted
from tests.template.region import ACCOUNT, REGIONS, Region, global_stack, region

PARAMETERS = {"FlowLogs": "true", "AccessLogs": "true"}
# What a target of a schedule or a rule is called by, by the service in its ARN.
TARGETS = {"lambda": "lambda:InvokeFunction", "states": "states:StartExecution", "events": "events:PutEvents"}
type Needs = Sequence[Need]


def place(name: str) -> Region:
    return global_stack() if name == "global" else region(name, **PARAMETERS)


def via(service: str, where: str) -> dict[str, str]:
    return {"kms:viaservice": f"{service}.{where}.amazonaws.com"}


def of_a_region(deployed: Region) -> dict[str, tuple[str, Needs]]:
    """Who takes a role on, and what it needs, by the role's path."""
    found = dict(_schedules(deployed)) | dict(_rules(deployed)) | dict(_buckets(deployed)) | dict(_jobs(deployed))
    for flows in deployed.of("AWS::EC2::FlowLog").values():
        found[_path(flows["DeliverLogsPermissionArn"])] = "vpc-flow-logs.amazonaws.com", _flow_log(deployed, flows)
    for path, profile in deployed.of("AWS::IAM::InstanceProfile").items():
        own = f"relight-drill-shop-{ACCOUNT}-{deployed.name}" if path.startswith("DrillSite/") else None
        found[str(profile["Roles"][0])] = "ec2.amazonaws.com", _instance(deployed, own)
    if "DrillSite/SiteRole" in deployed.resources:
        found["DrillSite/SiteRole"] = "cloudformation.amazonaws.com", _site(deployed)
    return found


def _path(arn: str) -> str:
    return arn.removesuffix(".Arn")


def _schedules(deployed: Region) -> Iterator[tuple[str, tuple[str, Needs]]]:
    """https://docs.aws.amazon.com/scheduler/latest/UserGuide/setting-up.html#setting-up-execution-role"""
    for schedule in deployed.of("AWS::Scheduler::Schedule").values():
        target = schedule["Target"]
        wanted = [_target(target["Arn"]), Need("sqs:SendMessage", target["DeadLetterConfig"]["Arn"])]
        yield _path(target["RoleArn"]), ("scheduler.amazonaws.com", wanted)


def _rules(deployed: Region) -> Iterator[tuple[str, tuple[str, Needs]]]:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-manage-iam-access.html#target-permissions

    Its dead-letter queue lets EventBridge in by a policy of its own.
    """
    for rule in deployed.of("AWS::Events::Rule").values():
        for target in rule["Targets"]:
            if "RoleArn" in target:
                yield _path(target["RoleArn"]), ("events.amazonaws.com", [_target(target["Arn"])])


def _target(arn: str) -> Need:
    return Need(TARGETS[arn.split(":")[2]], arn)


def _buckets(deployed: Region) -> Iterator[tuple[str, tuple[str, Needs]]]:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/setting-repl-config-perm-overview.html and, for the keys,
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-config-for-kms-objects.html"""
    for bucket in deployed.of("AWS::S3::Bucket").values():
        if "ReplicationConfiguration" not in bucket:
            continue
        replication = bucket["ReplicationConfiguration"]
        (rule,) = replication["Rules"]
        (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        source, target = f"arn:aws:s3:::{bucket['BucketName']}", rule["Destination"]["Bucket"]
        peer_key = rule["Destination"]["EncryptionConfiguration"]["ReplicaKmsKeyID"]
        peer = peer_key.split(":")[3]
        wanted = [
            *(Need(f"s3:{name}", source) for name in ("GetReplicationConfiguration", "ListBucket")),
            *(Need(f"s3:GetObjectVersion{name}", f"{source}/state/1") for name in ("ForReplication", "Acl", "Tagging")),
            *(Need(f"s3:Replicate{name}", f"{target}/state/1") for name in ("Object", "Delete", "Tags")),
            Need(
                "kms:Decrypt", encryption["ServerSideEncryptionByDefault"]["KMSMasterKeyID"], via("s3", deployed.name)
            ),
            *(Need(f"kms:{name}", peer_key, via("s3", peer)) for name in ("Encrypt", "GenerateDataKey")),
        ]
        yield _path(replication["Role"]), ("s3.amazonaws.com", wanted)


def _jobs(deployed: Region) -> Iterator[tuple[str, tuple[str, Needs]]]:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-batch-replication-policies.html

    Less what it does with a list of objects, or a report, that it keeps.
    """
    for bucket in deployed.of("AWS::S3::Bucket").values():
        if "ReplicationConfiguration" not in bucket:
            continue
        (rule,) = bucket["ReplicationConfiguration"]["Rules"]
        peer = rule["Destination"]["Bucket"]
        (role,) = [
            name
            for name, role in deployed.of("AWS::IAM::Role").items()
            if "batchoperations.s3.amazonaws.com" in str(role["AssumeRolePolicyDocument"])
        ]
        wanted = [
            *(Need(f"s3:{name}", peer) for name in ("GetReplicationConfiguration", "PutInventoryConfiguration")),
            Need("s3:InitiateReplication", f"{peer}/state/1"),
        ]
        yield role, ("batchoperations.s3.amazonaws.com", wanted)


def _flow_log(deployed: Region, flows: Mapping[str, Any]) -> Needs:
    """https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-iam-role.html, less the group, which exists."""
    group = f"arn:aws:logs:{deployed.name}:{ACCOUNT}:log-group:{_log_group(deployed, flows)}"
    names = ("CreateLogStream", "DescribeLogStreams", "PutLogEvents")
    every = Need("logs:DescribeLogGroups", f"arn:aws:logs:{deployed.name}:{ACCOUNT}:log-group:any")
    return [*(Need(f"logs:{name}", f"{group}:log-stream:eni-1") for name in names), every]


def _log_group(deployed: Region, flows: Mapping[str, Any]) -> str:
    groups = [group["LogGroupName"] for group in deployed.of("AWS::Logs::LogGroup").values()]
    return str(next(name for name in groups if name == flows["LogGroupName"]))


def _site(deployed: Region) -> Needs:
    """What CloudFormation does to make the site of a drill, and to delete it.

    By the handlers of these types of resources, and for the group by
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-launch-template-permissions.html:
    Auto Scaling asks whether who makes it may run instances of its launch template, which it does by a role of its own
    then.
    """
    where = deployed.name
    balancing, ec2 = (f"arn:aws:{service}:{where}:{ACCOUNT}" for service in ("elasticloadbalancing", "ec2"))
    balancer, group, listener = (
        f"{balancing}:{kind}shop-drill-7/1" for kind in ("loadbalancer/app/", "targetgroup/", "listener/app/")
    )
    scaling = f"arn:aws:autoscaling:{where}:{ACCOUNT}:autoScalingGroup:1:autoScalingGroupName/shop-drill-7"
    template = f"{ec2}:launch-template/lt-1"
    of_it = {"ec2:launchtemplate": template}
    made = [f"{ec2}:{kind}/1" for kind in ("instance", "volume", "network-interface", "subnet", "security-group")]
    needed = {
        balancer: ("CreateLoadBalancer", "ModifyLoadBalancerAttributes", "DeleteLoadBalancer", "CreateListener"),
        group: ("CreateTargetGroup", "ModifyTargetGroupAttributes", "DeleteTargetGroup"),
        listener: ("ModifyListenerAttributes", "DeleteListener"),
    }
    # As the handlers of AWS::AutoScaling::AutoScalingGroup and AWS::ElasticLoadBalancingV2::* declare them.
    read = ("elasticloadbalancing:Describe", "autoscaling:Describe", "ec2:Describe")
    return [
        *(Need(f"elasticloadbalancing:{name}", on) for on, names in needed.items() for name in names),
        *(Need("elasticloadbalancing:AddTags", on) for on in (balancer, group, listener)),
        *(Need(f"autoscaling:{verb}AutoScalingGroup", scaling) for verb in ("Create", "Update", "Delete")),
        Need("autoscaling:CreateOrUpdateTags", scaling),
        *(Need(f"{what}*", "*") for what in read),
        Need("ec2:RunInstances", template, {"aws:resourcetag/relight:drill": "drill-1"} | of_it),
        *(Need("ec2:RunInstances", on, of_it) for on in (*made, f"arn:aws:ec2:{where}::image/ami-1")),
        *(Need("ec2:CreateTags", on, {"ec2:createaction": "RunInstances"}) for on in made[:2]),
        Need("iam:PassRole", "DrillSite/InstanceRole.Arn", {"iam:passedtoservice": "ec2.amazonaws.com"}),
    ]


def _instance(deployed: Region, apart: str | None) -> Needs:
    """What user data, the boot gate, the application and the CloudWatch agent do; those of a drill write `apart`."""
    where = deployed.name
    bucket = f"arn:aws:s3:::relight-data-shop-{ACCOUNT}-{where}"
    state = f"arn:aws:s3:::{apart}/state/1" if apart else f"{bucket}/state/1"
    (template,) = deployed.of("AWS::EC2::LaunchTemplate").values()
    assert template["LaunchTemplateData"]["IamInstanceProfile"]
    key = f"arn:aws:kms:{where}:{ACCOUNT}:key/data"
    group = f"arn:aws:logs:{where}:{ACCOUNT}:log-group:/relight/shop/{deployed.role}/application"
    return [
        *(Need("s3:GetObject", f"{bucket}/{name}") for name in ("releases/1.tar.gz", "static/1.css")),
        *(Need(f"s3:{verb}Object", state) for verb in ("Get", "Put")),
        Need(
            "secretsmanager:GetSecretValue",
            f"arn:aws:secretsmanager:{where}:{ACCOUNT}:secret:relight/shop/database-aB1cD2",
        ),
        *(Need("kms:Decrypt", key, via(service, where)) for service in ("s3", "secretsmanager")),
        Need("kms:GenerateDataKey", key, via("s3", where)),
        *(
            Need(f"logs:{name}", f"{group}:log-stream:i-1")
            for name in ("CreateLogStream", "DescribeLogStreams", "PutLogEvents")
        ),
        # The boot gate, has the other Region taken over; and the write lease, which one is active.
        *(_item_of(name, "region") for name in REGIONS.values()),
    ]


def _item_of(where: str, key: str) -> Need:
    """To read what lies in that Region's ledger under a partition key."""
    table = f"arn:aws:dynamodb:{where}:{ACCOUNT}:table/relight-shop"
    return Need("dynamodb:GetItem", table, {"dynamodb:leadingkeys": key})


each_place = pytest.mark.parametrize("name", [*REGIONS, "global"])


@each_place
def test_each_role_is_somebodys(name: str) -> None:
    """A new role needs a row here, or code that calls something by it; a person's is judged by itself."""
    deployed = place(name)
    ours = {OPERATOR, *(role_path(deployed, caller.name) for caller in CALLERS)} if name != "global" else set()
    assert set(deployed.of("AWS::IAM::Role")) == ours | of_a_region(deployed).keys()


@each_place
def test_a_service_may_do_what_it_must_and_nothing_else(name: str) -> None:
    deployed = place(name)
    for path, (service, wanted) in of_a_region(deployed).items():
        granted = given(deployed, path)
        assert [str(need) for need in denied(granted, wanted)] == [], path
        assert [str(allow) for allow in unused(granted, wanted)] == [], path
        assert trusted(deployed[path]) == {service}, path
        assert not deployed[path].get("ManagedPolicyArns"), path


@each_place
def test_a_lost_and_an_additional_allow_are_found(name: str) -> None:
    deployed = place(name)
    for path, (_, wanted) in of_a_region(deployed).items():
        granted = given(deployed, path)
        assert [str(allow) for allow in allows(granted) if not denied(without(granted, allow), wanted)] == [], path
        more = Statement(True, ("s3:DeleteObject",), ("arn:aws:s3:::relight-data-shop/*",))
        assert len(unused([*granted, more], wanted)) == 1, path


@pytest.mark.parametrize("name", REGIONS)
def test_an_instance_reads_who_is_active_and_no_question_s_token(name: str) -> None:
    deployed = region(name)
    profiles = deployed.of("AWS::IAM::InstanceProfile").values()
    assert len(profiles) == 2, "its own, and that of a drill"
    for profile in profiles:
        its_own = given(deployed, str(profile["Roles"][0]))
        for where in REGIONS.values():
            keys = ("region", "run#failover-4-1", "signal", "health")
            assert [key for key in keys if allowed(its_own, _item_of(where, key))] == ["region"]


@pytest.mark.parametrize("name", REGIONS)
def test_an_instance_of_a_drill_changes_nothing_that_the_application_has(name: str) -> None:
    deployed = region(name)
    changed = [allow for allow in allows(given(deployed, "DrillSite/InstanceRole")) if allow.action == "s3:PutObject"]
    its_own = f"arn:aws:s3:::relight-drill-shop-{ACCOUNT}-{deployed.name}/state/*"
    assert [allow.resource for allow in changed] == [its_own]


@pytest.mark.parametrize("name", REGIONS)
def test_the_site_of_a_drill_is_all_that_its_role_may_delete_or_start_instances_of(name: str) -> None:
    deployed = region(name)
    granted = given(deployed, "DrillSite/SiteRole")
    deleted = {allow.resource.rpartition("/")[2] for allow in allows(granted) if ":Delete" in allow.action}
    assert deleted == {"shop-drill-*"}
    untagged = Need("ec2:RunInstances", f"arn:aws:ec2:{deployed.name}:{ACCOUNT}:launch-template/lt-shop-{name}")
    assert not allowed(granted, untagged)
