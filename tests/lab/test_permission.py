"""What a call needs and what a policy gives, against AWS's reference of actions and resources as cfn-lint has it."""

import json
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import permission
from lab.permission import (
    ACCOUNT,
    Allow,
    Call,
    Need,
    PermissionUnknown,
    allowed,
    allows,
    denied,
    known_operations,
    needs,
    reads_only,
    statements,
    unused,
    without,
)
from tests.permissions.roles import given as given_to
from tests.template.region import REGIONS, global_stack, region

HERE = "eu-central-1"
TABLE = f"arn:aws:dynamodb:{HERE}:{ACCOUNT}:table/relight-shop"
# Metrics can be in a data set, which ours are not.
OF_DATA_SETS = {"cloudwatch:GetMetricData", "cloudwatch:PutMetricData"}
# A stack is the resource of who names one, and a metric alarm of who wants no others: of all of them nothing is.
OF_ALL = {"cloudformation:DescribeStacks", "cloudwatch:DescribeAlarms", "cloudwatch:DescribeAlarmHistory"}
# One of everything that an operation's parameters may name.
PARAMETERS: dict[str, Any] = {
    "AlarmName": "relight-shop-stop",
    "AlarmNames": ["relight-shop-stop"],
    "AutoScalingGroupName": "shop-dr",
    "Bucket": "evidence",
    "CertificateArn": f"arn:aws:acm:{HERE}:{ACCOUNT}:certificate/1",
    "DBInstanceAutomatedBackupsArn": f"arn:aws:rds:{HERE}:{ACCOUNT}:auto-backup:ab-1",
    "DBInstanceIdentifier": "shop-dr",
    "DBParameterGroupName": "shop-settings",
    "DBSnapshotIdentifier": "shop-dr-retired-4",
    "DBUsername": "relight_check",
    "Entries": [{"Source": "relight"}],
    "FinalDBSnapshotIdentifier": "shop-dr-retired-4-final",
    "FunctionName": "relight-shop-dbcheck",
    "HostedZoneId": "/hostedzone/Z1",
    "JobId": "0f0e0d0c-0000-4000-8000-000000000000",
    "Key": "runs/1/run.json",
    "KeyId": f"arn:aws:kms:{HERE}:{ACCOUNT}:key/2",
    "KmsKeyId": f"arn:aws:kms:{HERE}:{ACCOUNT}:key/2",
    "Namespace": "Relight/Switches/shop",
    "NetworkAclId": "acl-1",
    "PolicySourceArn": f"arn:aws:iam::{ACCOUNT}:role/relight-shop-promote",
    "QueueUrl": f"https://sqs.{HERE}.amazonaws.com/{ACCOUNT}/relight-shop-dead",
    "QuotaCode": "L-1216C47A",
    "RequestItems": {"relight-shop": []},
    "ResourceName": f"arn:aws:rds:{HERE}:{ACCOUNT}:db:shop-dr",
    "RoleARN": f"arn:aws:iam::{ACCOUNT}:role/relight-shop-drill-site",
    "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/relight-shop-batch",
    "SecretId": "relight/shop/database",
    "ServiceCode": "ec2",
    "SourceDBInstanceAutomatedBackupsArn": f"arn:aws:rds:{HERE}:{ACCOUNT}:auto-backup:ab-1",
    "SourceDBSnapshotIdentifier": f"arn:aws:rds:{HERE}:{ACCOUNT}:snapshot:rds:shop-primary-2026-01-31-01-00",
    "StackName": "relight-shop-drill-7",
    "TagSpecifications": [{"ResourceType": "launch-template", "Tags": []}],
    "TargetDBInstanceIdentifier": "shop-dr-drill-7",
    "TargetDBSnapshotIdentifier": "shop-dr-drill-7",
    "SourceDBInstanceArn": f"arn:aws:rds:{HERE}:{ACCOUNT}:db:shop-dr",
    "SourceDBInstanceIdentifier": f"arn:aws:rds:{HERE}:{ACCOUNT}:db:shop-primary",
    "TableName": "relight-shop",
    "Tags": [{"Key": "team", "Value": "shop"}],
    "TopicArn": f"arn:aws:sns:{HERE}:{ACCOUNT}:relight-shop",
    "executionArn": f"arn:aws:states:{HERE}:{ACCOUNT}:execution:relight-shop-failover:1",
    "stateMachineArn": f"arn:aws:states:{HERE}:{ACCOUNT}:stateMachine:relight-shop-failover",
}


def policy(**statement: Any) -> list[permission.Statement]:
    return statements([{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}])


@cache
def reference() -> dict[str, Any]:
    """By service: actions, with the kinds of resource that each has, and the formats of those."""
    spec = find_spec("cfnlint")  # which takes seconds to import
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "data" / "AdditionalSpecs" / "Policies.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def action_of(name: str) -> dict[str, Any]:
    """What AWS says of an action; KeyError for one that there is not."""
    service, _, verb = name.partition(":")
    found: dict[str, Any] = reference()[service]["Actions"][verb.lower()]
    return found


def formats(name: str) -> list[str]:
    """The ARNs, as patterns, of what an action can be allowed on."""
    kinds = reference()[name.partition(":")[0]]["Resources"]
    values = {"Partition": "aws", "Region": HERE, "Account": ACCOUNT}
    return [
        re.sub(r"\$\{(\w+)\}", lambda match: values.get(match[1], ".*"), arn)
        for kind in action_of(name).get("Resources", [])
        for arn in kinds[kind.lower()]["ARNFormats"]
    ]


# Calls.


@pytest.mark.parametrize(("service", "operation"), known_operations())
def test_a_call_needs_what_aws_says_of_its_action(service: str, operation: str) -> None:
    """Each need is of an existing action, on a resource of a kind that the action has."""
    key = f"arn:aws:kms:{HERE}:{ACCOUNT}:key/1"
    found = needs(
        Call(service, operation, PARAMETERS, HERE), {PARAMETERS["TopicArn"]: key, "arn:aws:s3:::evidence": key}
    )
    assert found
    for need in found:
        kinds = formats(need.action)
        if need.resource == "*":
            assert kinds == [] or need.action in OF_DATA_SETS
        else:
            assert any(re.fullmatch(kind, need.resource) for kind in kinds), need


@pytest.mark.parametrize(("service", "operation"), known_operations())
def test_each_operation_is_one_of_boto3s(service: str, operation: str) -> None:
    model = boto3.session.Session().client(service, region_name=HERE).meta.service_model  # type: ignore[call-overload]
    assert operation in {*model.operation_names, "GenerateDBAuthToken"}


def test_an_operation_that_nobody_has_looked_up_is_refused() -> None:
    with pytest.raises(PermissionUnknown, match=r"s3 DeleteObject is called and lab/permission.py does not know it"):
        needs(Call("s3", "DeleteObject", {"Bucket": "evidence", "Key": "1"}, HERE))


def test_each_table_of_a_batch_is_asked_for() -> None:
    found = needs(Call("dynamodb", "BatchWriteItem", {"RequestItems": {"one": [], "two": []}}, HERE))
    assert [need.resource.rpartition("/")[2] for need in found] == ["one", "two"]


def test_a_call_to_the_peer_is_of_its_region() -> None:
    peer = "eu-west-1"
    (invoked,) = needs(Call("lambda", "Invoke", {"FunctionName": "relight-shop-dbcheck"}, peer))
    assert str(invoked) == f"lambda:InvokeFunction on arn:aws:lambda:{peer}:{ACCOUNT}:function:relight-shop-dbcheck"
    (updated,) = needs(Call("autoscaling", "UpdateAutoScalingGroup", {"AutoScalingGroupName": "shop-primary"}, peer))
    assert updated.resource.startswith(f"arn:aws:autoscaling:{peer}:{ACCOUNT}:autoScalingGroup:")
    assert updated.resource.endswith(":autoScalingGroupName/shop-primary")
    assert {need.context["aws:requestedregion"] for need in (invoked, updated)} == {peer}


def test_who_publishes_to_an_encrypted_topic_uses_its_key() -> None:
    topic, key = PARAMETERS["TopicArn"], f"arn:aws:kms:{HERE}:{ACCOUNT}:key/1"
    call = Call("sns", "Publish", {"TopicArn": topic}, HERE)
    assert [str(need) for need in needs(call)] == [f"sns:Publish on {topic}"]
    _, *with_key = needs(call, {topic: key})
    assert [need.action for need in with_key] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert {need.context["kms:viaservice"] for need in with_key} == {f"sns.{HERE}.amazonaws.com"}


def test_a_password_that_boto3_signs_is_a_connection() -> None:
    (need,) = needs(Call("rds", "GenerateDBAuthToken", {"DBUsername": "relight_check"}, HERE))
    assert need.action == "rds-db:connect"
    open_to_any_instance = f"arn:aws:rds-db:{HERE}:{ACCOUNT}:dbuser:*/relight_check"
    assert allowed(policy(Action="rds-db:connect", Resource=open_to_any_instance), need)
    assert not allowed(policy(Action="rds-db:connect", Resource=f"{open_to_any_instance}er"), need)


# Policies.


@pytest.mark.parametrize("name", [*REGIONS, "global"])
def test_each_action_that_a_role_allows_exists(name: str) -> None:
    deployed = global_stack() if name == "global" else region(name, FlowLogs="true")
    every = [each for path in deployed.of("AWS::IAM::Role") for each in allows(given_to(deployed, path))]
    assert every
    for allow in every:
        # What CloudFormation's handlers read for the site of a drill changes with them.
        if allow.action.endswith("Describe*"):
            assert allow.resource == "*", allow
            continue
        assert action_of(allow.action) is not None, allow
        # Where an action has kinds of resource, everything is too much; where it has none, only everything works.
        of_all = allow.resource == "*" and allow.action in OF_ALL
        if not of_all and allow.action not in OF_DATA_SETS and not allow.action.startswith("logs:"):
            assert (allow.resource == "*") is (formats(allow.action) == []), allow


@pytest.mark.parametrize(
    ("statement", "passes"),
    [
        ({"Action": "dynamodb:GetItem", "Resource": TABLE}, True),
        ({"Action": "DynamoDB:getitem", "Resource": TABLE}, True),
        ({"Action": ["dynamodb:PutItem", "dynamodb:Get*"], "Resource": ["x", TABLE]}, True),
        ({"Action": "dynamodb:GetIte?", "Resource": "*"}, True),
        ({"Action": "*", "Resource": f"{TABLE[:-1]}?"}, True),
        ({"NotAction": "dynamodb:PutItem", "Resource": TABLE}, True),
        ({"Action": "dynamodb:GetItem", "NotResource": f"{TABLE}-2"}, True),
        (
            {"Action": "dynamodb:GetItem", "Resource": TABLE, "Condition": {"Bool": {"aws:SecureTransport": "true"}}},
            True,
        ),
        (
            {"Action": "dynamodb:GetItem", "Resource": TABLE, "Condition": {"Bool": {"aws:SecureTransport": False}}},
            False,
        ),
        ({"Action": "dynamodb:GetItem", "Resource": TABLE, "Condition": {"StringEquals": {"ec2:Region": HERE}}}, False),
        (
            {"Action": "dynamodb:GetItem", "Resource": TABLE, "Condition": {"StringNotEquals": {"ec2:Region": HERE}}},
            True,
        ),
        (
            {"Action": "dynamodb:GetItem", "Resource": TABLE, "Condition": {"StringLikeIfExists": {"ec2:Region": "x"}}},
            True,
        ),
        (
            {
                "Action": "dynamodb:GetItem",
                "Resource": TABLE,
                "Condition": {"StringEquals": {"aws:RequestedRegion": ["a", HERE]}},
            },
            True,
        ),
        ({"Action": "dynamodb:GetItems", "Resource": TABLE}, False),
        ({"Action": "dynamodb:GetItem", "Resource": TABLE.upper()}, False),
        ({"Action": "dynamodb:GetItem", "Resource": f"{TABLE}/index/*"}, False),
        ({"Action": "dynamodb:GetItem", "Resource": TABLE.replace(HERE, "eu-west-1")}, False),
        ({"NotAction": "dynamodb:*", "Resource": TABLE}, False),
        ({"Action": "dynamodb:GetItem", "NotResource": TABLE}, False),
        ({"Effect": "Deny", "Action": "dynamodb:GetItem", "Resource": TABLE}, False),
    ],
)
def test_a_statement_gives_what_it_says(statement: dict[str, Any], passes: bool) -> None:
    (need,) = needs(Call("dynamodb", "GetItem", {"TableName": "relight-shop"}, HERE))
    assert allowed(policy(**statement), need) is passes


def test_what_has_no_resource_is_allowed_on_everything_only() -> None:
    (need,) = needs(Call("ec2", "DescribeNetworkAcls", {}, HERE))
    narrow = {"StringEquals": {"ec2:Region": HERE}}
    assert allowed(policy(Action=need.action, Resource="*", Condition=narrow), need)
    assert not allowed(policy(Action=need.action, Resource=f"arn:aws:ec2:{HERE}:{ACCOUNT}:network-acl/*"), need)
    (elsewhere,) = needs(Call("ec2", "DescribeNetworkAcls", {}, "eu-west-1"))
    assert not allowed(policy(Action=need.action, Resource="*", Condition=narrow), elsewhere)


def test_the_namespace_limits_what_metrics_are_put() -> None:
    given_by = policy(
        Action="cloudwatch:PutMetricData",
        Resource="*",
        Condition={"StringEquals": {"cloudwatch:namespace": "Relight/Switches/shop"}},
    )
    for namespace, passes in (("Relight/Switches/shop", True), ("Relight/Switches/other", False)):
        assert (
            allowed(given_by, needs(Call("cloudwatch", "PutMetricData", {"Namespace": namespace}, HERE))[0]) is passes
        )


def test_the_partition_key_limits_what_is_read_of_a_table() -> None:
    limited = policy(
        Action="dynamodb:GetItem",
        Resource=TABLE,
        Condition={"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["region"]}},
    )
    for key, passes in (("region", True), ("signal", False)):
        given_by = {"TableName": "relight-shop", "Key": {"pk": {"S": key}, "sk": {"S": "head"}}}
        assert allowed(limited, needs(Call("dynamodb", "GetItem", given_by, HERE))[0]) is passes
    assert allowed(limited, Need("dynamodb:GetItem", TABLE)), "all of no values, as on AWS"


def test_a_key_must_be_there_or_must_not() -> None:
    """Null: of a tag that nobody knows the value of."""
    tagged = Need("rds:DeleteDBInstance", "arn:1", {"aws:resourcetag/relight:drill": "drill-1"})
    for value, of_tagged, of_untagged in (("false", True, False), ("true", False, True)):
        given_by = policy(Action="rds:*", Resource="*", Condition={"Null": {"aws:ResourceTag/relight:drill": value}})
        assert allowed(given_by, tagged) is of_tagged
        assert allowed(given_by, Need("rds:DeleteDBInstance", "arn:1")) is of_untagged


def test_what_a_call_tags_is_in_its_context() -> None:
    """Of RDS, CloudFormation and EC2; and CloudFormation wants the right to tag beside the right to make."""
    tags = [{"Key": "relight:drill", "Value": "drill-1"}]
    made = needs(Call("cloudformation", "CreateStack", {"StackName": "relight-shop-drill-7", "Tags": tags}, HERE))
    assert [need.action for need in made] == ["cloudformation:CreateStack", "cloudformation:TagResource"]
    named = {"LaunchTemplateName": "relight-shop-drill-7"}
    specified = [{"ResourceType": "launch-template", "Tags": tags}]
    made += needs(Call("ec2", "CreateLaunchTemplate", named | {"TagSpecifications": specified}, HERE))
    assert {need.context["aws:requesttag/relight:drill"] for need in made} == {"drill-1"}


@pytest.mark.parametrize(
    ("service", "operation", "wanted"),
    [
        ("rds", "DescribeDBInstances", {"rds:DescribeDBInstances": {"db:*"}}),
        ("rds", "DescribeDBSnapshots", {"rds:DescribeDBSnapshots": {"db:*", "snapshot:*"}}),
        (
            *("rds", "DescribeDBInstanceAutomatedBackups"),
            {"rds:DescribeDBInstanceAutomatedBackups": {"auto-backup:*", "db:*"}},
        ),
        # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
        (
            *("cloudformation", "DescribeStacks"),
            {"cloudformation:DescribeStacks": {"*"}, "cloudformation:ListStacks": {"*"}},
        ),
        ("cloudwatch", "DescribeAlarms", {"cloudwatch:DescribeAlarms": {"alarm:*"}}),
    ],
)
def test_who_names_nothing_asks_for_all(service: str, operation: str, wanted: dict[str, set[str]]) -> None:
    found: dict[str, set[str]] = {}
    for need in needs(Call(service, operation, {}, HERE)):
        found.setdefault(need.action, set()).add(need.resource.split(":", 5)[-1])
    assert found == wanted


def test_composite_alarms_are_told_to_who_may_look_at_all() -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html"""
    asked = {"AlarmNamePrefix": "relight-shop-", "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}
    assert [need.resource for need in needs(Call("cloudwatch", "DescribeAlarms", asked, HERE))] == ["*"]


def test_a_deny_is_stronger_than_any_allow() -> None:
    both = policy(Action="*", Resource="*") + policy(Effect="Deny", Action="dynamodb:*", Resource=TABLE)
    assert not allowed(both, Need("dynamodb:GetItem", TABLE))
    assert allowed(both, Need("dynamodb:GetItem", f"{TABLE}-2"))


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ({"Action": "s3:GetObject", "Resource": "*", "Principal": "*"}, "Principal"),
        ({"Action": "s3:GetObject"}, "needs an action and a resource"),
        ({"Action": "s3:GetObject", "Resource": "arn:aws:s3:::${aws:username}/*"}, "policy variables"),
        ({"Effect": "Perhaps", "Action": "s3:GetObject", "Resource": "*"}, "no Effect"),
    ],
)
def test_what_is_not_understood_is_refused(statement: dict[str, Any], problem: str) -> None:
    with pytest.raises(PermissionUnknown, match=problem):
        policy(**statement)


def test_an_unknown_operator_is_refused() -> None:
    given_by = policy(Action="*", Resource="*", Condition={"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}})
    with pytest.raises(PermissionUnknown, match="IpAddress"):
        allowed(given_by, Need("s3:GetObject", "*"))


def test_an_allow_of_everything_but_something_cannot_be_exact() -> None:
    with pytest.raises(PermissionUnknown, match="nobody has named"):
        list(allows(policy(NotAction="iam:*", Resource="*")))


@pytest.mark.parametrize(
    ("action", "reads"),
    [
        ("ec2:DescribeNetworkAcls", True),
        ("dynamodb:Query", True),
        ("dynamodb:BatchWriteItem", False),
        ("kms:Decrypt", False),
        ("rds-db:connect", False),
    ],
)
def test_what_only_reads(action: str, reads: bool) -> None:
    assert reads_only(action) is reads


# Too much and too little.

ACTIONS = ["dynamodb:GetItem", "dynamodb:PutItem", "sns:Publish"]
NEEDS = st.lists(st.builds(Need, st.sampled_from(ACTIONS), st.sampled_from(["arn:1", "arn:2", "arn:3"])), min_size=1)


@given(wanted=NEEDS)
def test_exactly_what_is_needed_is_neither_too_much_nor_too_little(wanted: list[Need]) -> None:
    exact = [each for need in set_of(wanted) for each in policy(Action=need.action, Resource=need.resource)]
    assert denied(exact, wanted) == []
    assert unused(exact, wanted) == []
    for allow in allows(exact):
        lost = denied(without(exact, allow), wanted)
        assert [(need.action, need.resource) for need in lost] == [(allow.action, allow.resource)]


def set_of(wanted: list[Need]) -> list[Need]:
    return list({(need.action, need.resource): need for need in wanted}.values())


def test_less_one_action_on_one_resource_leaves_the_others() -> None:
    both = policy(Action=["sns:Publish", "dynamodb:GetItem"], Resource=["arn:1", "arn:2"])
    left = without(both, Allow(0, "sns:Publish", "arn:1"))
    assert {str(allow) for allow in allows(left)} == {
        "sns:Publish on arn:2",
        "dynamodb:GetItem on arn:1",
        "dynamodb:GetItem on arn:2",
    }
