"""The operator's role allows what the commands call, all of it and nothing else; and who may take it on."""

from typing import Any

import pytest

from lab.permission import ACCOUNT, Need, Statement, allowed, allows, denied, reads_only, unused, without
from tests.permissions.operator import (
    PATH,
    THROUGH_THE_PACKAGE,
    WITHOUT_LEAVE,
    called,
    changes,
    wanted,
)
from tests.permissions.roles import given
from tests.template.region import REGIONS, region

ARN = "arn:aws:{}:eu-central-1:123456789012:{}"
TABLE = ARN.format("dynamodb", "table/relight-shop")
HEAD = {"pk": {"S": "region"}, "sk": {"S": "head"}}
# Each would do harm that nobody should be able to do by hand, or go past what the run of a state machine looks at.
TOO_MUCH = [
    *(Need(f"dynamodb:{name}Item", TABLE, {"dynamodb:leadingkeys": "region"}) for name in ("Put", "Delete")),
    *(
        Need("lambda:InvokeFunction", ARN.format("lambda", f"function:relight-shop-{name}"))
        for name in ("promote", "fence")
    ),
    # A retired database may hold the only copy of lost writes: to delete it is nobody's business on the night.
    Need("lambda:InvokeFunction", ARN.format("lambda", "function:relight-shop-retire")),
    Need("lambda:InvokeFunction", ARN.format("lambda", "function:relight-shop-staging-assess")),
    Need("states:StartExecution", ARN.format("states", "stateMachine:relight-shop-staging-failover")),
    Need("states:UpdateStateMachine", ARN.format("states", "stateMachine:relight-shop-failover")),
    Need("rds:PromoteReadReplica", ARN.format("rds", "db:shop-dr")),
    Need("s3:PutObject", f"arn:aws:s3:::relight-evidence-shop-{ACCOUNT}-eu-central-1/runs/1/run.json"),
    Need("s3:GetObject", f"arn:aws:s3:::relight-data-shop-{ACCOUNT}-eu-central-1/state/1"),
    Need("cloudformation:UpdateStack", ARN.format("cloudformation", "stack/relight-shop/1")),
    Need("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "Relight/Switches/shop"}),
    Need("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/relight-shop-operator-eu-central-1"),
    Need("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/admin"),
]

each_side = pytest.mark.parametrize("side", REGIONS)


def role(side: str) -> list[Statement]:
    return given(region(side), PATH)


@each_side
def test_no_call_of_a_command_is_without_an_allow(side: str) -> None:
    assert [str(need) for need in denied(role(side), wanted())] == []


@each_side
def test_nothing_is_allowed_that_no_command_calls(side: str) -> None:
    assert [str(allow) for allow in unused(role(side), wanted())] == []


@each_side
def test_each_single_allow_is_missed_where_it_is_deleted(side: str) -> None:
    granted, needed = role(side), wanted()
    assert [str(allow) for allow in allows(granted) if not denied(without(granted, allow), needed)] == []


def test_the_code_of_the_commands_calls_what_is_allowed_and_all_of_it() -> None:
    """By the names of the calls in their modules: one that the table has forgotten is found here."""
    granted = {allow.action for allow in allows(role("dr"))}
    found = called()
    assert {action: found[action] for action in found.keys() - granted - WITHOUT_LEAVE} == {}
    assert granted - found.keys() <= THROUGH_THE_PACKAGE


@each_side
def test_what_would_do_harm_is_not_allowed(side: str) -> None:
    granted = role(side)
    assert [str(need) for need in TOO_MUCH if allowed(granted, need)] == []


@each_side
def test_no_action_has_a_wildcard_and_only_what_has_no_resource_is_on_everything(side: str) -> None:
    for statement in role(side):
        assert statement.allow
        assert not [action for action in statement.actions if "*" in action or "?" in action]
        if "*" in statement.resources:
            assert set(statement.actions) <= {
                *("states:SendTaskSuccess", "states:SendTaskFailure", "cloudwatch:GetMetricData")
            }


def update(expression: str, **more: Any) -> list[Need]:
    return list(changes({"Key": HEAD, "UpdateExpression": expression, **more}, TABLE))


@pytest.mark.parametrize(
    ("request_of", "passes"),
    [
        (update("SET frozen_until = :until"), True),
        (update("REMOVE frozen_from, frozen_until, frozen_because, frozen_by"), True),
        (update("SET frozen_until = :until, epoch = :epoch"), False),
        (update("REMOVE #owner, expires_at", ExpressionAttributeNames={"#owner": "owner"}), False),
        (update("SET active = :region"), False),
        (update("SET frozen_until = :until", ReturnValues="ALL_OLD"), False),
        (update("SET frozen_until = :until", Key={"pk": {"S": "run#1"}, "sk": {"S": "question"}}), False),
    ],
)
def test_of_a_ledger_only_a_freeze_can_be_written(request_of: list[Need], passes: bool) -> None:
    assert request_of
    assert (denied(role("dr"), request_of) == []) is passes


# Who it is.


@each_side
def test_only_principals_of_this_account_with_mfa_take_it_on(side: str) -> None:
    """An identity provider's sessions have no MFA in AWS's sense, so that it is an IAM user who does."""
    properties = region(side)[PATH]
    (statement,) = properties["AssumeRolePolicyDocument"]["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Action": "sts:AssumeRole",
        "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}},
    }
    assert not properties.get("ManagedPolicyArns")


def test_the_two_regions_roles_have_names_of_their_own_and_allow_the_same() -> None:
    """Roles are global: with one name the second stack could not be made."""
    names = {side: region(side)[PATH]["RoleName"] for side in REGIONS}
    assert names == {side: f"relight-shop-operator-{where}" for side, where in REGIONS.items()}
    assert all(region(side).outputs["OperatorRole"] for side in REGIONS)
    one, other = ({(allow.action, allow.resource) for allow in allows(role(side))} for side in REGIONS)
    assert one == other


@each_side
def test_reading_is_all_that_it_may_do_beside_runs_answers_and_freezes(side: str) -> None:
    changing = {allow.action for allow in allows(role(side)) if not reads_only(allow.action)}
    assert changing == {
        "dynamodb:UpdateItem",
        "lambda:InvokeFunction",
        *(f"states:{name}" for name in ("StartExecution", "StopExecution", "RedriveExecution")),
        *(f"states:SendTask{name}" for name in ("Success", "Failure")),
    }
