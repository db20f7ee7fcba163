"""Each role allows what its function or state machine calls, all of it and nothing else."""

import pytest

from lab.permission import ACCOUNT, Allow, Need, Statement, allowed, allows, denied, reads_only, unused, without
from tests.permissions.estate import IN_BOTH, Estate, brought
from tests.permissions.recording import MACHINES, Caller
from tests.permissions.roles import CALLERS, LOG_DELIVERY, asked, given, mirrored, role_path, trusted
from tests.template.region import REGIONS, region

BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
IN_VPC = "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
# What changes something and takes no resource, and the condition key that stands in for one. Answering for a waiting
# task has not even that: who does it must know the task's token. Nor has configuring the delivery of a state machine's
# logs: it is AWS's documented set, and nothing of ours calls it.
OF_THE_LOGS = {need.action for need in LOG_DELIVERY}
WITHOUT_RESOURCE = {
    "cloudwatch:PutMetricData": "cloudwatch:namespace",
    # A job that does not exist yet; the role that is passed on limits it, too.
    "s3:CreateJob": "aws:requestedregion",
    "states:SendTaskFailure": "",
    "states:SendTaskSuccess": "",
    **dict.fromkeys(OF_THE_LOGS, ""),
}
# Each would do harm that no role of ours should be able to do.
TOO_MUCH = [
    ("dynamodb:DeleteItem", "arn:aws:dynamodb:eu-central-1:123456789012:table/relight-shop"),
    ("dynamodb:DeleteTable", "arn:aws:dynamodb:eu-west-1:123456789012:table/relight-shop"),
    ("ec2:DeleteNetworkAcl", "arn:aws:ec2:eu-west-1:123456789012:network-acl/acl-0peer"),
    ("iam:PassRole", "arn:aws:iam::123456789012:role/relight"),
    ("lambda:InvokeFunction", "arn:aws:lambda:eu-west-1:123456789012:function:relight-shop-promote"),
    ("rds:*", "arn:aws:rds:eu-central-1:123456789012:db:shop-dr"),
    ("rds:DeleteDBInstance", "arn:aws:rds:eu-central-1:123456789012:db:shop-dr"),
    ("rds:ModifyDBInstance", "arn:aws:rds:eu-west-1:123456789012:db:shop-primary"),
    ("rds:PromoteReadReplica", "arn:aws:rds:eu-west-1:123456789012:db:shop-primary"),
    ("route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/Z0EXAMPLE"),
    ("s3:DeleteObject", "arn:aws:s3:::relight-evidence-shop-123456789012-eu-central-1/runs/*"),
    ("states:SendTaskSuccess", "*"),
    ("states:StopExecution", "arn:aws:states:eu-central-1:123456789012:execution:relight-shop-failover:*"),
]
# Who needs something of that kind for its own work, and how its statement limits it is tested by itself.
ITS_OWN = {
    **{Caller("dr", name): {"dynamodb:DeleteItem"} for name in ("harden", "reprotect", "retire")},
    Caller("dr", "survey"): {"states:StopExecution"},
    Caller("primary", "harden"): {"rds:ModifyDBInstance"},
}

# What fences and is fenced otherwise where no network ACL is ours.
WITHOUT_AN_ACL = [Caller("dr", "fence"), Caller("dr", "guard"), Caller("primary", "guard")]

each_caller = pytest.mark.parametrize("caller", CALLERS, ids=lambda caller: f"{caller.name}-{caller.side}")


def of(estate: Estate, caller: Caller) -> tuple[list[Statement], list[Need]]:
    """What the caller's role allows, and what the caller asks for."""
    deployed = estate.regions[caller.side]
    return given(deployed, role_path(deployed, caller.name)), asked(estate, caller)


@each_caller
def test_no_call_is_without_an_allow(played: Estate, caller: Caller) -> None:
    granted, wanted = of(played, caller)
    assert wanted, "no scenario has it call anything"
    assert [str(need) for need in denied(granted, wanted)] == []


@each_caller
def test_nothing_is_allowed_that_no_scenario_uses(played: Estate, caller: Caller) -> None:
    """Reading included."""
    assert [str(allow) for allow in unused(*of(played, caller))] == []


@pytest.mark.parametrize("own", [True, False], ids=["own", "brought"])
@pytest.mark.parametrize("side", REGIONS)
def test_what_changes_something_names_what_it_may_change(side: str, own: bool) -> None:
    """In every role of a Region, those included that AWS's services take on."""
    deployed = region(side, **({} if own else brought(side)))
    for path in deployed.of("AWS::IAM::Role"):
        for statement in given(deployed, path):
            for action in statement.actions:
                if "*" not in statement.resources or reads_only(action):
                    continue
                assert action in WITHOUT_RESOURCE, f"{path} may {action} on everything"
                narrowed = {key for _, key, _ in statement.conditions}
                assert WITHOUT_RESOURCE[action] in narrowed | {""}, f"{path} may {action} without a limit"
                assert action not in OF_THE_LOGS or path in {role_path(deployed, name) for name in MACHINES}


@each_caller
def test_a_role_has_its_own_statements_and_the_right_to_log(played: Estate, caller: Caller) -> None:
    """AWS's managed policies hold the wildcards that Lambda's logs, and its interfaces in a VPC, cannot do without."""
    deployed = played.regions[caller.side]
    role = deployed[role_path(deployed, caller.name)]
    in_vpc = caller.name == "dbcheck"
    managed = set() if caller.name in MACHINES else {BASIC, IN_VPC} if in_vpc else {BASIC}
    assert set(role.get("ManagedPolicyArns", [])) == managed
    assert trusted(role) == {"states.amazonaws.com" if caller.name in MACHINES else "lambda.amazonaws.com"}
    if caller.name not in MACHINES:
        assert any(
            function["FunctionName"] == f"relight-shop-{caller.name}" and ("VpcConfig" in function) is in_vpc
            for function in deployed.of("AWS::Lambda::Function").values()
        )


def test_the_roles_of_the_primary_are_those_of_dr_seen_from_there() -> None:
    """What is not played there must not differ."""
    dr, primary = region("dr"), region("primary")
    ours = {path: dr[path].get("Policies", []) for path in dr.of("AWS::IAM::Role")}
    theirs = {path: primary[path].get("Policies", []) for path in primary.of("AWS::IAM::Role")}
    assert ours.keys() == theirs.keys()
    differing = {path for path in ours if mirrored(ours[path]) != mirrored(mirrored(theirs[path]))}
    assert differing <= {role_path(dr, name) for name in IN_BOTH}


@pytest.mark.parametrize("side", REGIONS)
def test_of_a_ledger_only_what_is_to_be_forgotten_can_be_deleted(side: str) -> None:
    """Neither the head nor a run."""
    deployed = region(side)
    table = f"arn:aws:dynamodb:{deployed.name}:{ACCOUNT}:table/relight-shop"
    keys = ("region", "run#failover-4-1", "signal", "capacity", "shape", "retired")
    deletable = {
        path: {
            key
            for key in keys
            if allowed(given(deployed, path), Need("dynamodb:DeleteItem", table, {"dynamodb:leadingkeys": key}))
        }
        for path in deployed.of("AWS::IAM::Role")
    }
    assert {path: found for path, found in deletable.items() if found} == {
        role_path(deployed, "harden"): {"shape"},
        role_path(deployed, "reprotect"): {"shape"},
        role_path(deployed, "retire"): {"shape", "retired"},
    }


def test_of_a_peer_that_is_not_known_yet_no_network_acl_may_be_changed() -> None:
    """Before the other stack exists its network ACL has no id: then none is named, and not all of them."""
    alone = region("dr", PeerNetworkAclId="")
    changed = [allow for allow in allows(given(alone, role_path(alone, "fence"))) if "Entry" in allow.action]
    assert [allow for allow in changed if f":{REGIONS['dr']}:" not in allow.resource] == []


@pytest.mark.parametrize("caller", WITHOUT_AN_ACL, ids=lambda caller: f"{caller.name}-{caller.side}")
def test_where_no_network_acl_is_ours_both_hold_for_the_other_fence(unfenceable: Estate, caller: Caller) -> None:
    """No call is without an allow, and nothing is allowed that is not called."""
    granted, wanted = of(unfenceable, caller)
    assert wanted
    assert [str(need) for need in denied(granted, wanted)] == []
    assert [str(allow) for allow in unused(granted, wanted)] == []
    assert not [need for need in wanted if need.action.startswith("ec2:")]


def test_of_a_workload_that_exists_already_only_what_was_named_may_be_changed() -> None:
    deployed = region("dr", **brought("dr"))
    changed = {
        allow.resource.split(":", 5)[5].removeprefix("autoScalingGroup:*:")
        for path in deployed.of("AWS::IAM::Role")
        for allow in allows(given(deployed, path))
        if allow.action.split(":")[0] in {"autoscaling", "rds", "ec2"} and not reads_only(allow.action)
    }
    assert changed == {
        *("autoScalingGroupName/store", "autoScalingGroupName/workers", "db:store"),
        # In the other Region. The database there is replicated from, and nothing else.
        *("autoScalingGroupName/store-peer", "autoScalingGroupName/workers-peer", "network-acl/acl-0peer"),
        *("db:store-peer", "auto-backup:*"),
        # What Relight makes of the database: its identifier may be so long that it is cut short in these.
        *("db:*-retired-*", "snapshot:*-retired-*"),
        *("db:*-drill-*", "snapshot:*-drill-*"),
        # What a throwaway is made from: whichever snapshot is the newest, of either Region.
        "snapshot:*",
        # What is made of it has the groups that it had, whatever they are called.
        *("subgrp:*", "pg:*", "og:*"),
    }
    sources = {
        allow.action
        for path in deployed.of("AWS::IAM::Role")
        for allow in allows(given(deployed, path))
        if allow.resource.endswith(":db:store-peer") and not reads_only(allow.action)
    }
    assert sources == {"rds:CreateDBInstanceReadReplica"}


# What would be wrong is found.


@each_caller
def test_each_single_allow_is_missed_where_it_is_deleted(played: Estate, caller: Caller) -> None:
    granted, wanted = of(played, caller)
    every = list(allows(granted))
    assert every
    assert [str(allow) for allow in every if not denied(without(granted, allow), wanted)] == []


@each_caller
def test_an_allow_too_many_is_found(played: Estate, caller: Caller) -> None:
    """As a statement of its own, and beside the actions that a statement has already."""
    granted, wanted = of(played, caller)
    for action, resource in TOO_MUCH:
        more = Statement(True, (action,), (resource,))
        expected = [] if action in ITS_OWN.get(caller, ()) else [Allow(len(granted), action, resource)]
        assert unused([*granted, more], wanted) == expected
    for index, statement in enumerate(granted):
        wider = Statement(True, (*statement.actions, "iam:CreateRole"), statement.resources, statement.conditions)
        found = unused([*granted[:index], wider, *granted[index + 1 :]], wanted)
        assert found == [Allow(index, "iam:CreateRole", resource) for resource in statement.resources]


@each_caller
def test_a_resource_too_many_is_found(played: Estate, caller: Caller) -> None:
    granted, wanted = of(played, caller)
    for index, statement in enumerate(granted):
        elsewhere = tuple(f"{resource}-of-another" for resource in statement.resources if resource != "*")
        wider = Statement(True, statement.actions, statement.resources + elsewhere, statement.conditions)
        found = unused([*granted[:index], wider, *granted[index + 1 :]], wanted)
        assert {allow.resource for allow in found} == set(elsewhere)


def test_both_regions_are_played_where_they_differ() -> None:
    assert {caller.name for caller in CALLERS if caller.side == "primary"} == set(IN_BOTH)
