"""The orchestrator of a Region: what its functions may do, what wakes them, and what tells people that nothing did."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
import yaml
from relight.signal import View

from tests.template.reading import ROOT, STACKS, as_list, statements, written
from tests.template.region import ACCOUNT, REGIONS, Region, global_stack, keys, region

ROLES = ["primary", "dr"]
FUNCTIONS = sorted(path.name for path in (ROOT / "functions").iterdir() if (path / "handler.py").exists())
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
IN_VPC = "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
# Calls that take no resource: describing in these services, metrics, answering for a waiting task (its token names it),
# and the configuration of log delivery.
WITHOUT_RESOURCE = {
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeScalingActivities",
    "cloudformation:DescribeStacks",  # of all stacks
    "cloudformation:ListStacks",
    "cloudwatch:DescribeAlarms",  # composite ones, too: whoever may not look at all alarms is not told of them
    "cloudwatch:DescribeAlarmHistory",
    *(f"elasticloadbalancing:Describe{what}" for what in ("Listeners", "LoadBalancers")),
    *(f"elasticloadbalancing:DescribeTarget{what}" for what in ("Groups", "Health")),
    *(f"ec2:DescribeInstance{what}" for what in ("s", "Types", "TypeOfferings")),
    *(f"ec2:DescribeLaunchTemplate{what}" for what in ("s", "Versions")),
    *(f"ec2:Describe{what}" for what in ("CapacityReservations", "Images", "NetworkAcls")),
    *("events:ListRules", "events:ListRuleNamesByTarget", "scheduler:ListSchedules"),
    "rds:DescribeAccountAttributes",
    *("route53:ListHealthChecks", "route53:ListHostedZones"),
    "cloudwatch:GetMetricData",
    "cloudwatch:GetMetricStatistics",
    "cloudwatch:PutMetricData",
    "s3:CreateJob",
    "states:SendTaskFailure",
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
}
# Of these a condition takes the place of the resource.
NARROWED = {
    "ec2:DescribeNetworkAcls": "ec2:Region",
    "cloudwatch:PutMetricData": "cloudwatch:namespace",
    "s3:CreateJob": "aws:RequestedRegion",
}
# What changes the world outside the ledger, and who alone may do it. `Failover`, `Failback` and `Drill` are the state
# machines. What a drill does is done to what carries its tag (test_drill_stack.py).
ALONE = {
    "rds:PromoteReadReplica": {"Promote", "DrillFunction"},
    # Hardening; a new name and room for what is kept; what the creation of a replica does not take.
    "rds:ModifyDBInstance": {"Harden", "Retire", "Reprotect"},
    "rds:StartDBInstanceAutomatedBackupsReplication": {"Harden"},
    "rds:StartDBInstance": {"Retire"},
    "rds:CreateDBSnapshot": {"Retire"},
    "rds:RestoreDBInstanceFromDBSnapshot": {"Retire", "DrillFunction"},
    "rds:RestoreDBInstanceToPointInTime": {"DrillFunction"},
    "rds:CopyDBSnapshot": {"DrillFunction"},
    "rds:DeleteDBInstance": {"Retire", "DrillFunction"},
    "rds:DeleteDBSnapshot": {"DrillFunction"},
    "rds:CreateDBInstanceReadReplica": {"Reprotect", "DrillFunction"},
    "rds:AddTagsToResource": {"Retire", "Reprotect", "DrillFunction"},
    "rds:RebootDBInstance": {"Reprotect"},
    "ec2:CreateLaunchTemplate": {"DrillFunction"},
    "ec2:CreateTags": {"DrillFunction"},
    "ec2:DeleteLaunchTemplate": {"DrillFunction"},
    "cloudformation:CreateStack": {"DrillFunction"},
    "cloudformation:TagResource": {"DrillFunction"},
    "cloudformation:DeleteStack": {"DrillFunction"},
    "kms:CreateGrant": {"Harden", "Retire", "Reprotect", "DrillFunction"},
    "iam:PassRole": {"Objects", "DrillFunction"},
    "autoscaling:UpdateAutoScalingGroup": {"Fence", "Guard", "Scale"},
    "autoscaling:ResumeProcesses": {"Scale"},
    "ec2:CreateNetworkAclEntry": {"Fence", "Guard"},
    "ec2:DeleteNetworkAclEntry": {"Fence", "Guard"},
    "cloudwatch:PutMetricData": {"Switch", "Guard", "Failover"},
    # The probe a failover; the failback its switchover; survey the other Region's failback, which lights the pilot. A
    # game day both; schedules a drill.
    "states:StartExecution": {"Probe", "Survey", "Failback", "FailoverPrimaryDown", "FailoverPrimaryUnseen"}
    | {"Drill", "DrillFunction", "DrillPlan", "DrillRestore"},
    "states:SendTaskFailure": {"Probe"},
    # A failover what holds the lock and gives way; survey what was left over from before the failure.
    "states:StopExecution": {"Failover", "Survey"},
    "rds-db:connect": {"Dbcheck"},
    "s3:PutObject": {"Record", "Compare", "Objects"},
    "s3:CreateJob": {"Objects"},
    "s3:DeleteObject": set(),
    "sns:Publish": {"Record", "Guard", "Retire"},
    "events:PutEvents": {"HealthForward", "Record", "Readiness"},
    "sqs:SendMessage": {"Probe", "Guard", "Dbcheck", "Readiness", "Record", "Retire", "DrillFunction"}
    | {"ProbeEachMinute", "GuardEachMinute", "DbcheckEachMinute", "ReadinessEachHalfHour", "RetireEachDay"}
    | {"DrillFunctionSweep", "DrillPlan", "DrillRestore"},
}
# What only looks, and what the calls above need beside them.
BESIDE = re.compile(
    r"dynamodb:|lambda:InvokeFunction$|kms:(Decrypt|DescribeKey|GenerateDataKey)$|logs:"
    r"|iam:SimulatePrincipalPolicy$|[a-z0-9-]+:(Describe|Get|List)[A-Za-z]+$"
)
# Who asks which `dbcheck`, its own Region's and the other one's: nobody calls any other function.
ASKING = {
    "own": {"Assess", "Guard", "Probe", "Promote", "Quiesce", "Retire", "Reprotect", "Compare"}
    | {"DrillFunction", "Readiness"},
    # A network ACL is the fence here; where it is not ours, `fence` asks too (test_bring_your_own.py).
    "peer": {"Quiesce", "Compare"},
}
# Only these may reach into the other Region, each for what only that Region knows or can do. On the failover's way it
# is at best effort, but for `quiesce` of a planned run; the way home needs both Regions, and says so where one is away.
REACHING = {
    "Assess": {"rds"},
    "Fence": {"autoscaling", "dynamodb", "ec2"},
    "Guard": {"dynamodb", "states"},
    "Harden": {"kms", "rds"},
    "Probe": {"rds"},
    "Quiesce": {"lambda"},
    "Record": {"dynamodb"},
    "Scale": {"dynamodb"},
    "Survey": {"dynamodb", "rds", "states"},
    "Reprotect": {"kms", "rds"},
    "Compare": {"lambda"},
    "Objects": {"s3"},
    # Beside all runs: what is away then is what readiness tells, and what a drill is refused for.
    "Readiness": {"dynamodb", "rds", "s3", "secretsmanager"},
    "DrillFunction": {"dynamodb", "kms", "rds", "states"},
}
# HOLD is let go of by what the DR Region's alarms say of STOP and GO, and it is the home Region's.
AT_HOME = {"Guard": {"cloudwatch"}, "Switch": {"cloudwatch"}}
# What of the other Region they may change: of its database nothing but by its `dbcheck`.
CHANGING_THERE = {
    "Fence": {"autoscaling:UpdateAutoScalingGroup", "ec2:CreateNetworkAclEntry", "ec2:DeleteNetworkAclEntry"},
    # It begins there what this Region's database sends; the replica is made here, of a source there.
    "Harden": {"kms:CreateGrant", "rds:StartDBInstanceAutomatedBackupsReplication"},
    "Reprotect": {"kms:CreateGrant", "rds:CreateDBInstanceReadReplica"},
    "Quiesce": {"lambda:InvokeFunction"},
    "Compare": {"lambda:InvokeFunction"},
    "Record": {"dynamodb:UpdateItem"},
    "Survey": {"dynamodb:UpdateItem", "states:StartExecution"},
    "Objects": {"s3:CreateJob"},
    # What is read there for a throwaway here; and the way home of a game day.
    "DrillFunction": {
        *("kms:CreateGrant", "rds:CreateDBInstanceReadReplica", "rds:CopyDBSnapshot", "states:StartExecution")
    },
}
# Whatever a ledger holds is kept, but for what an instance was like that is gone, and that it is kept.
FORGETTING = {"Harden": {"shape"}, "Reprotect": {"shape"}, "Retire": {"retired", "shape"}}
# What AWS says of its health decides nothing, so it may come late; it is for the evidence. And a day is long.
FOR_THE_EVIDENCE = {"Failover/RecordHealth", "Failover/HealthForward"}
# What does not come each minute: when, for how many seconds it may come late, and how often it is tried again.
UNHURRIED = {
    "Failback/RetireEachDay": ("rate(1 day)", 3600, 2),
    "Watch/ReadinessEachHalfHour": ("rate(30 minutes)", 300, 0),
    "Drill/DrillFunctionSweep": ("rate(1 hour)", 600, 0),
    "Drill/DrillPlan": ("cron(0 6 ? * MON *)", 3600, 3),
    "Drill/DrillRestore": ("cron(0 6 ? * TUE#1 *)", 3600, 3),
}

MADE_OF_GROUPS = {
    *("rds:RestoreDBInstanceFromDBSnapshot", "rds:RestoreDBInstanceToPointInTime", "rds:CreateDBInstanceReadReplica")
}
# What is not named after the application, by service: the whole of the last part of an ARN, and what it is allowed for.
ANY = None
EVERYWHERE = {"iam": ACCOUNT, "route53": ""}
"""Services whose ARNs name no Region, and what they name as the account."""
NOT_BY_THE_APPLICATION: dict[str, dict[str, set[str] | None]] = {
    "acm": {r"certificate/1": {"acm:DescribeCertificate"}},
    "cloudwatch": {r"alarm:\*": {"cloudwatch:DescribeAlarms"}},
    # AWS numbers launch templates; those of a drill carry its tag.
    "ec2": {
        r"network-acl/[\w/.-]+": ANY,
        r"launch-template/\*": {"ec2:CreateLaunchTemplate", "ec2:CreateTags", "ec2:DeleteLaunchTemplate"},
    },
    "events": {r"event-bus/default": ANY},
    # SAM names roles after the stacks, which CloudFormation names.
    "iam": {r"role/\*": {"iam:SimulatePrincipalPolicy"}},
    "kms": {r"key/topic": {"kms:Decrypt", "kms:GenerateDataKey"}, r"key/data": {"kms:CreateGrant", "kms:DescribeKey"}},
    "rds-db": {r"dbuser:\*/relight_check": ANY},
    # Groups keep the names that they had, which CloudFormation has made; AWS numbers backups and snapshots of its own.
    "rds": {
        r"(subgrp|og):\*": MADE_OF_GROUPS,
        r"pg:\*": MADE_OF_GROUPS | {"rds:ModifyDBInstance", "rds:DescribeDBParameters"},
        r"auto-backup:\*": {
            "rds:DescribeDBInstanceAutomatedBackups",
            "rds:RestoreDBInstanceToPointInTime",
            "rds:StartDBInstanceAutomatedBackupsReplication",
        },
        r"snapshot:\*": {"rds:DescribeDBSnapshots", "rds:RestoreDBInstanceFromDBSnapshot", "rds:CopyDBSnapshot"},
        # What drills have left is found by looking through all that there is.
        r"db:\*": {f"rds:DescribeDB{what}" for what in ("Instances", "Snapshots", "InstanceAutomatedBackups")},
    },
    "route53": {r"hostedzone/\*": {"route53:ListResourceRecordSets"}},
    "servicequotas": {r"ec2/L-1216C47A": {"servicequotas:GetServiceQuota"}},
    "s3": {r"job/\*": {"s3:DescribeJob"}},
}


def functions(of: Region) -> dict[str, Mapping[str, Any]]:
    """The functions by the name that their stack gives them: `Probe`."""
    return {path.rpartition("/")[2]: each for path, each in of.of("AWS::Lambda::Function").items()}


def roles(of: Region) -> dict[str, Mapping[str, Any]]:
    """The roles of functions, schedules, rules and the state machines: `ProbeRole`."""
    ours = ("Watch/", "Failover/", "Failback/", "Drill/")
    found = {path: each for path, each in of.of("AWS::IAM::Role").items() if path.startswith(ours)}
    return {path.rpartition("/")[2]: each for path, each in found.items()}


def role_of(function: str, side: str = "dr") -> Mapping[str, Any]:
    return roles(region(side))[f"{function}Role"]


def actions(role: Mapping[str, Any]) -> set[str]:
    return {action for statement in statements(role) for action in as_list(statement["Action"])}


def in_peer(side: str, role: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each action of a role with each resource that lies in the other Region; `*` where a condition says which one."""
    peer = REGIONS["dr" if side == "primary" else "primary"]
    found = []
    for statement in statements(role):
        by_condition = statement.get("Condition", {}).get("StringEquals", {}).get("aws:RequestedRegion") == peer
        for resource in as_list(statement["Resource"]):
            if by_condition or peer in resource:
                found += [(action, resource) for action in as_list(statement["Action"])]
    return found


def tasks(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each state of a definition that calls a function, by the name that its stack gives the function."""
    match value:
        case {"Type": "Task", "Arguments": {"FunctionName": str(name)}, "TimeoutSeconds": int()}:
            function = name.removeprefix("${").removesuffix("}").removesuffix("Function")
            yield "DrillFunction" if function == "Drill" else function, value  # its machine has the shorter name
        case dict():
            for item in value.values():
                yield from tasks(item)
        case list():
            for item in value:
                yield from tasks(item)


@cache
def calls() -> list[tuple[str, dict[str, Any]]]:
    """What all state machines call."""
    definitions = (ROOT / "statemachine").glob("*.asl.yaml")
    return [found for path in sorted(definitions) for found in tasks(yaml.safe_load(path.read_text()))]


def is_news(task: Mapping[str, Any]) -> bool:
    return bool(task["Arguments"]["Payload"].get("what") == "news")


def awaited() -> dict[str, int]:
    """The shortest TimeoutSeconds with which a state machine awaits each function; a question is awaited for longer."""
    found: dict[str, int] = {}
    for function, task in calls():
        if not is_news(task):
            found[function] = min(task["TimeoutSeconds"], found.get(function, task["TimeoutSeconds"]))
    return found


@pytest.mark.parametrize("role", ROLES)
def test_each_function_of_the_project_is_deployed(role: str) -> None:
    names = {each["FunctionName"] for each in functions(region(role)).values()}
    assert names == {f"relight-shop-{name}" for name in FUNCTIONS}


def test_both_regions_get_the_same_orchestrator() -> None:
    """Roles, rules and schedules exist from deployment on, also for the way home."""
    primary, dr = (
        {
            path: each.type
            for path, each in region(role).resources.items()
            if each.stack in {"watch", "failover", "failback", "drill", "drill_site", "ledger"}
        }
        for role in ROLES
    )
    assert primary == dr


def test_functions_run_on_one_runtime_and_end_before_the_state_machine_gives_them_up() -> None:
    for name, function in functions(region("dr")).items():
        assert function["Runtime"] == "python3.13", name
        assert function["Handler"] == "handler.handler", name

    # The fence is given up sooner: what hangs there must not hold a run up.
    late = {name for name, seconds in awaited().items() if functions(region("dr"))[name]["Timeout"] >= seconds}
    assert late == {"Fence"}
    # What no state machine awaits comes by a schedule.
    watching = functions(region("dr")).keys() - awaited().keys()
    assert watching == {"Probe", "Guard", "Dbcheck", "Readiness"}
    # Readiness is asked by a person, too, who sees an answer within the half minute.
    assert functions(region("dr"))["Readiness"]["Timeout"] <= 30


def test_news_is_given_up_soon_and_nothing_fails_of_it() -> None:
    """Each kind of run says that it has begun; a failover, beside the fence, what was decided."""
    news = [task for _, task in calls() if is_news(task)]
    assert sorted(task["TimeoutSeconds"] for task in news) == [3, 3, 20, 20]
    for task in news:
        (caught,) = task["Catch"]
        assert caught["ErrorEquals"] == ["States.ALL"]
        assert caught["Next"] == task.get("Next", "Not said")


# Who may do what.


def test_each_function_has_a_role_of_its_own() -> None:
    assert all(each["Role"].endswith(f"/{name}Role.Arn") for name, each in functions(region("dr")).items())


def test_no_role_has_more_than_its_own_statements_and_the_right_to_log() -> None:
    for name, role in roles(region("dr")).items():
        allowed = {BASIC, IN_VPC} if name == "DbcheckRole" else {BASIC}
        assert set(role.get("ManagedPolicyArns", [])) <= allowed, name


def test_no_action_has_a_wildcard() -> None:
    for name, role in roles(region("dr")).items():
        assert all("*" not in action and ":" in action for action in actions(role)), name


def test_only_what_takes_no_resource_is_allowed_on_all() -> None:
    for name, role in roles(region("dr")).items():
        for statement in statements(role):
            if "*" in as_list(statement["Resource"]):
                assert set(as_list(statement["Action"])) <= WITHOUT_RESOURCE, name
                for action in as_list(statement["Action"]):
                    tests = [key for test in statement.get("Condition", {}).values() for key in test]
                    assert action not in NARROWED or NARROWED[action] in tests, (name, action)


@pytest.mark.parametrize("role", ROLES)
def test_each_other_resource_is_one_of_ours(role: str) -> None:
    """An ARN names the application; account and Region are never open."""
    for name, each in roles(region(role)).items():
        for statement in statements(each):
            for resource in as_list(statement["Resource"]):
                if resource == "*" or re.match(r"arn:aws:s3:::relight-(evidence|data)-shop-", resource):
                    continue
                if resource in {"Storage/PeerBatchRole.Arn", "DrillSite/SiteRole.Arn"}:
                    assert statement["Action"] == "iam:PassRole"
                    continue
                service, where, account, named = re.fullmatch(
                    r"arn:(?:aws|\*):([a-z0-9-]+):(.*?):(.*?):(.*)", resource
                ).groups()  # type: ignore[union-attr]
                # A list of names becomes ARNs without them; the condition says where, and groups are the account's own.
                if service == "autoscaling" and where == "*":
                    where, account = statement["Condition"]["StringEquals"]["aws:RequestedRegion"], ACCOUNT
                assert where in REGIONS.values() or (service in EVERYWHERE and not where), (name, resource)
                assert account == EVERYWHERE.get(service, ACCOUNT), (name, resource)
                others = NOT_BY_THE_APPLICATION.get(service, {})
                known = [allowed for pattern, allowed in others.items() if re.fullmatch(pattern, named)]
                if known:
                    assert known == [ANY] or set(as_list(statement["Action"])) <= set(known[0] or ()), (name, resource)
                else:
                    assert "shop" in named, (name, resource)


@pytest.mark.parametrize("action", sorted(ALONE))
def test_what_changes_the_world_is_allowed_to_those_who_must(action: str) -> None:
    """Functions, state machines, schedules and rules, in both Regions."""
    for side in ROLES:
        found = {name.removesuffix("Role") for name, role in roles(region(side)).items() if action in actions(role)}
        assert found == ALONE[action]


def test_every_action_that_changes_the_world_is_in_the_table() -> None:
    for side in ROLES:
        allowed = {action for role in roles(region(side)).values() for action in actions(role)}
        assert {action for action in allowed if not BESIDE.match(action)} <= ALONE.keys()


@pytest.mark.parametrize("side", ROLES)
def test_dbcheck_is_the_only_function_that_a_function_calls(side: str) -> None:
    peer = REGIONS["dr" if side == "primary" else "primary"]
    dbcheck = {
        key: f"arn:aws:lambda:{where}:{ACCOUNT}:function:relight-shop-dbcheck"
        for key, where in (("own", REGIONS[side]), ("peer", peer))
    }
    asked: dict[str, set[str]] = {key: set() for key in dbcheck}
    for name in functions(region(side)):
        for statement in statements(role_of(name, side)):
            if "lambda:InvokeFunction" in as_list(statement["Action"]):
                assert set(as_list(statement["Resource"])) <= set(dbcheck.values()), name
                for key, arn in dbcheck.items():
                    asked[key] |= {name} if arn in as_list(statement["Resource"]) else set()
    assert asked == ASKING


@pytest.mark.parametrize("side", ROLES)
def test_only_these_functions_reach_into_the_other_region(side: str) -> None:
    found = {
        name: {action.partition(":")[0] for action, _ in in_peer(side, role_of(name, side))}
        for name in functions(region(side))
    }
    beside = AT_HOME if side == "primary" else {}
    wanted = {name: REACHING.get(name, set()) | beside.get(name, set()) for name in REACHING.keys() | beside.keys()}
    assert {name: services for name, services in found.items() if services} == wanted


@pytest.mark.parametrize("side", ROLES)
def test_of_the_other_region_only_this_is_changed(side: str) -> None:
    looks = re.compile(r"[a-z0-9-]+:(Describe|Get|List)")
    found = {
        name: {action for action, _ in in_peer(side, role_of(name, side)) if not looks.match(action)}
        for name in functions(region(side))
    }
    assert {name: changes for name, changes in found.items() if changes} == CHANGING_THERE


@pytest.mark.parametrize("side", ROLES)
def test_of_a_ledger_only_what_is_gone_is_deleted_and_never_all_of_it_read(side: str) -> None:
    verbs = {"BatchGetItem", "GetItem", "PutItem", "UpdateItem", "Query", "DeleteItem"}
    own = f"arn:aws:dynamodb:{REGIONS[side]}:{ACCOUNT}:table/relight-shop"
    forgetting = {}
    for name, role in roles(region(side)).items():
        for statement in statements(role):
            used = {
                action.partition(":")[2] for action in as_list(statement["Action"]) if action.startswith("dynamodb:")
            }
            assert used <= verbs, name
            if "DeleteItem" in used:
                assert (used, statement["Resource"]) == ({"DeleteItem"}, own), name
                keys_of = statement["Condition"]["ForAllValues:StringEquals"]["dynamodb:LeadingKeys"]
                forgetting[name.removesuffix("Role")] = set(keys_of)
    assert forgetting == FORGETTING


@pytest.mark.parametrize("side", ROLES)
def test_a_database_is_deleted_under_a_retired_name_only(side: str) -> None:
    """And nothing else is done to one of another name than making a snapshot of it, and renaming it."""
    here = f"arn:aws:rds:{REGIONS[side]}:{ACCOUNT}"
    old, kept, snapshot = (
        f"{here}:db:shop-{side}",
        f"{here}:db:shop-{side}-retired-*",
        f"{here}:snapshot:shop-{side}-retired-*",
    )
    allowed: dict[str, set[str]] = {}
    for statement in statements(role_of("Retire", side)):
        for action in as_list(statement["Action"]):
            allowed.setdefault(action, set()).update(as_list(statement["Resource"]))
    assert allowed["rds:DeleteDBInstance"] == {kept}
    assert allowed["rds:ModifyDBInstance"] == allowed["rds:StartDBInstance"] == {old, kept}
    assert allowed["rds:CreateDBSnapshot"] == {old, kept, snapshot}
    assert allowed["rds:AddTagsToResource"] == {kept, snapshot}
    assert {each for each in allowed["rds:RestoreDBInstanceFromDBSnapshot"] if ":db:" in each} == {kept}


@pytest.mark.parametrize("side", ROLES)
def test_a_replica_is_built_of_the_other_database_under_the_own_name(side: str) -> None:
    other = "dr" if side == "primary" else "primary"
    (statement,) = [
        s for s in statements(role_of("Reprotect", side)) if s["Action"] == "rds:CreateDBInstanceReadReplica"
    ]
    assert {each for each in statement["Resource"] if ":db:" in each} == {
        f"arn:aws:rds:{REGIONS[side]}:{ACCOUNT}:db:shop-{side}",
        f"arn:aws:rds:{REGIONS[other]}:{ACCOUNT}:db:shop-{other}",
    }


# A replica is encrypted with its own Region's key, and what it is built of with its source's; the backups of a promoted
# database with that of the Region where they are kept.
KEYS = {
    "Harden": {"peer"},
    "Retire": {"own"},
    "Reprotect": {"own", "peer"},
    "DrillFunction": {"own", "peer"},
}


@pytest.mark.parametrize("role", KEYS)
@pytest.mark.parametrize("side", ROLES)
def test_a_key_is_granted_through_rds_only(side: str, role: str) -> None:
    of = {"own": REGIONS[side], "peer": REGIONS["dr" if side == "primary" else "primary"]}
    granting = [each for each in statements(role_of(role, side)) if "kms:CreateGrant" in as_list(each["Action"])]
    through = {each["Resource"]: each["Condition"] for each in granting}
    assert through == {
        f"arn:aws:kms:{of[which]}:{ACCOUNT}:key/data": {
            "StringEquals": {"kms:ViaService": f"rds.{of[which]}.amazonaws.com"}
        }
        for which in KEYS[role]
    }


@pytest.mark.parametrize(
    ("function", "role", "service"),
    [
        ("Objects", "Storage/PeerBatchRole.Arn", "batchoperations.s3.amazonaws.com"),
        ("DrillFunction", "DrillSite/SiteRole.Arn", "cloudformation.amazonaws.com"),
    ],
)
@pytest.mark.parametrize("side", ROLES)
def test_only_a_role_that_is_made_for_it_is_passed_on_and_to_its_service_only(
    side: str, function: str, role: str, service: str
) -> None:
    (statement,) = [s for s in statements(role_of(function, side)) if s["Action"] == "iam:PassRole"]
    assert statement["Resource"] == role
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": service}}


def executions(side: str, role: str, action: str) -> set[str]:
    """The executions or machines that a role may do that with, as `Region:machine`."""
    found = {
        resource
        for statement in statements(role_of(role, side))
        if action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }
    return {re.sub(r"arn:aws:states:(.*?):\d+:[A-Za-z]+:relight-shop-(\w+)(:\*)?", r"\1:\2", each) for each in found}


@pytest.mark.parametrize("side", ROLES)
def test_no_machine_stops_a_failover_and_survey_stops_what_is_left_over_at_home(side: str) -> None:
    """A failover takes the lock from a drill and a failback; what began before the failure is ended by `survey`."""
    here = REGIONS[side]
    assert executions(side, "Failover", "states:StopExecution") == {f"{here}:failback", f"{here}:drill"}
    assert executions(side, "Survey", "states:StopExecution") == {f"{here}:failover", f"{here}:failback"}


@pytest.mark.parametrize("side", ROLES)
def test_what_starts_a_run_starts_that_run_only(side: str) -> None:
    here, peer = REGIONS[side], REGIONS["dr" if side == "primary" else "primary"]
    assert executions(side, "Probe", "states:StartExecution") == {f"{here}:failover"}
    assert executions(side, "Failback", "states:StartExecution") == {f"{here}:failover"}
    assert executions(side, "Survey", "states:StartExecution") == {f"{peer}:failback"}


@pytest.mark.parametrize("side", ROLES)
def test_a_game_day_starts_a_failover_here_and_the_way_home_there(side: str) -> None:
    here, peer = REGIONS[side], REGIONS["dr" if side == "primary" else "primary"]
    assert executions(side, "Drill", "states:StartExecution") == {f"{here}:failover"}
    assert executions(side, "DrillFunction", "states:StartExecution") == {f"{peer}:failback"}
    assert {name: executions(side, f"Drill{name}", "states:StartExecution") for name in ("Plan", "Restore")} == {
        "Plan": {f"{here}:drill"},
        "Restore": {f"{here}:drill"},
    }


@pytest.mark.parametrize("machine", ["Failover", "Failback", "Drill"])
def test_a_state_machine_invokes_its_steps_and_nothing_else(machine: str) -> None:
    given = region("dr")[f"{machine}/{machine}"]["DefinitionSubstitutions"]
    steps = {value for name, value in given.items() if name.endswith("Function")}
    names = {each["FunctionName"] for each in functions(region("dr")).values()}
    called = {step.rpartition(":")[2] if ":" in step else name_at(step) for step in steps}
    assert called <= names
    allowed = [s for s in statements(role_of(machine)) if "lambda:InvokeFunction" in as_list(s["Action"])]
    assert [set(statement["Resource"]) for statement in allowed] == [steps]


def name_at(path: str) -> str:
    """The name of the function at such a path as `Failover/Scale.Arn`."""
    return str(region("dr")[path.removesuffix(".Arn")]["FunctionName"])


# What wakes them.


def targets() -> dict[str, dict[str, Any]]:
    schedules = region("dr").of("AWS::Scheduler::Schedule")
    rules = region("dr").of("AWS::Events::Rule")
    return {name: schedule["Target"] for name, schedule in schedules.items()} | {
        name: target for name, rule in rules.items() for target in rule["Targets"]
    }


def test_what_cannot_be_delivered_is_kept_and_does_not_come_late() -> None:
    assert targets()
    queue = region("dr").resources["Ledger/DeadLetters"].arn
    for name, target in targets().items():
        assert target["DeadLetterConfig"]["Arn"] == queue, name
        longest = 3600 if name in FOR_THE_EVIDENCE else UNHURRIED.get(name, ("", 120, 0))[1]
        assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] <= longest, name


def test_schedules_come_each_minute_and_are_not_caught_up() -> None:
    """But for what is about money or practice, or asks a great deal."""
    schedules = region("dr").of("AWS::Scheduler::Schedule")
    assert UNHURRIED.keys() < schedules.keys()
    for name, schedule in schedules.items():
        each, age, retries = UNHURRIED.get(name, ("rate(1 minute)", 60, 0))
        assert schedule["ScheduleExpression"] == each, name
        assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}, name
        policy = {"MaximumEventAgeInSeconds": age, "MaximumRetryAttempts": retries}
        assert schedule["Target"]["RetryPolicy"] == policy, name


def test_the_schedule_of_each_day_only_looks() -> None:
    """Deleting takes a person's name and reason, which no schedule has."""
    assert json.loads(region("dr")["Failback/RetireEachDay"]["Target"]["Input"]) == {"intent": "watch"}


def test_what_a_schedule_calls_is_not_retried_with_old_news() -> None:
    configured = {each["FunctionName"]: each for each in region("dr").of("AWS::Lambda::EventInvokeConfig").values()}
    patient = [configured.pop(f"relight-shop-{name}") for name in ("record", "retire")]
    for name, seconds in (("readiness", 300), ("drill", 600)):  # before the next one comes
        each = configured.pop(f"relight-shop-{name}")
        assert (each["MaximumRetryAttempts"], each["MaximumEventAgeInSeconds"]) == (0, seconds)
    assert configured.keys() == {f"relight-shop-{name}" for name in ("probe", "guard", "dbcheck")}
    for each in configured.values():
        assert (each["MaximumRetryAttempts"], each["MaximumEventAgeInSeconds"]) == (0, 60)
    for each in patient:
        assert (each["MaximumRetryAttempts"], each["MaximumEventAgeInSeconds"]) == (2, 3600)


def test_only_what_may_send_it_reaches_the_dead_letter_queue() -> None:
    for path in region("dr").of("AWS::Scheduler::Schedule"):
        assert "sqs:SendMessage" in actions(roles(region("dr"))[f"{path.rpartition('/')[2]}Role"]), path
    (policy,) = region("dr").of("AWS::SQS::QueuePolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    (source,) = statement["Condition"]["ArnLike"].values()
    assert source.endswith(":rule/relight-shop-*")


@pytest.mark.parametrize("role", ROLES)
def test_what_looks_each_minute_is_called_in_both_regions(role: str) -> None:
    """Which of them is the standby is for the probe to read in its ledger: nothing is switched over for it."""
    schedules = region(role).of("AWS::Scheduler::Schedule")
    for name in ("ProbeEachMinute", "GuardEachMinute", "DbcheckEachMinute", "ReadinessEachHalfHour"):
        assert "State" not in schedules[f"Watch/{name}"], name
    assert "State" not in schedules["Drill/DrillFunctionSweep"]


@pytest.mark.parametrize(("role", "state"), [("primary", "DISABLED"), ("dr", "ENABLED")])
def test_drills_are_scheduled_where_there_is_a_standby_from_deployment_on(role: str, state: str) -> None:
    """In the home Region one can be started by hand, while that stands by."""
    schedules = region(role).of("AWS::Scheduler::Schedule")
    found = {kind: schedules[f"Drill/Drill{kind.title()}"] for kind in ("plan", "restore")}
    assert {each["State"] for each in found.values()} == {state}
    for kind, each in found.items():
        assert each["Target"]["Arn"] == region(role).resources["Drill/Drill"].arn
        asked = {"reason": "by schedule", "kind": kind, "trigger": "schedule"}
        assert json.loads(each["Target"]["Input"]) == asked
    schedules = region("dr", DrillPlanSchedule="none", DrillRestoreSchedule="none").of("AWS::Scheduler::Schedule")
    assert {schedules[f"Drill/Drill{kind}"]["State"] for kind in ("Plan", "Restore")} == {"DISABLED"}


@pytest.mark.parametrize(("role", "state"), [("primary", "DISABLED"), ("dr", "ENABLED")])
def test_an_alarm_starts_runs_in_the_standby_only(role: str, state: str) -> None:
    """Where home is the standby, its probe alone starts runs: these only make it sooner."""
    rules = region(role).of("AWS::Events::Rule")
    assert {rules[f"Failover/Failover{name}"]["State"] for name in ("PrimaryDown", "PrimaryUnseen")} == {state}
    assert all("State" not in rules[path] for path in FOR_THE_EVIDENCE)


def test_the_alarm_of_the_lost_primary_starts_a_run_that_judges_for_itself() -> None:
    rule = region("dr")["Failover/FailoverPrimaryDown"]
    alarm = region("dr")["Observability/PrimaryDown"]
    assert rule["EventPattern"]["detail"] == {"alarmName": [alarm["AlarmName"]], "state": {"value": ["ALARM"]}}
    assert rule["EventPattern"]["account"] == [ACCOUNT]
    assert rule["EventPattern"]["region"] == [REGIONS["dr"]]
    # The whole event, so that the run itself sees how old it is and whose.
    assert not {"Input", "InputPath", "InputTransformer"} & rule["Targets"][0].keys()


@pytest.mark.parametrize("role", ROLES)
def test_what_aws_says_of_either_region_is_kept_in_both_and_goes_round_in_no_circle(role: str) -> None:
    here = region(role)
    peer = REGIONS["dr" if role == "primary" else "primary"]
    kept, forwarded = here["Failover/RecordHealth"], here["Failover/HealthForward"]
    assert kept["EventPattern"] == {"source": ["aws.health"]}
    assert forwarded["EventPattern"] == {"source": ["aws.health"], "region": [here.name]}
    (target,) = forwarded["Targets"]
    assert target["Arn"] == f"arn:aws:events:{peer}:{ACCOUNT}:event-bus/default"
    role_taken = roles(here)["HealthForwardRole"]
    assert target["RoleArn"] == "Failover/HealthForwardRole.Arn"
    assert [(s["Action"], s["Resource"]) for s in statements(role_taken)] == [("events:PutEvents", target["Arn"])]
    (trust,) = role_taken["AssumeRolePolicyDocument"]["Statement"]
    own = f"arn:aws:events:{here.name}:{ACCOUNT}:rule/{forwarded['Name']}"
    assert trust["Condition"]["ArnEquals"] == {"aws:SourceArn": own}


def test_the_alarms_on_the_probe_look_at_what_it_publishes() -> None:
    variables = functions(region("dr"))["Probe"]["Environment"]["Variables"]
    alarm = region("dr")["Observability/PrimaryDown"]
    assert alarm["Namespace"] == variables["POWERTOOLS_METRICS_NAMESPACE"]
    assert alarm["MetricName"] == f"Down.{View.FROM_DR}"
    assert alarm["Dimensions"] == [{"Name": "service", "Value": variables["POWERTOOLS_SERVICE_NAME"]}]
    for role in ROLES:  # in the active Region the probe publishes nothing, and is called all the same
        silent = region(role)["Observability/ProbeSilent"]
        assert (silent["Namespace"], silent["MetricName"], silent["Statistic"]) == (
            "AWS/Lambda",
            "Errors",
            "SampleCount",
        )
        assert silent["Dimensions"] == [{"Name": "FunctionName", "Value": "relight-shop-probe"}]
        assert silent["TreatMissingData"] == "breaching"


# What must outlive the stack.

HOLDING_DATA = {
    "AWS::DynamoDB::Table",
    "AWS::KMS::Key",
    "AWS::RDS::DBInstance",
    "AWS::S3::Bucket",
    "AWS::SecretsManager::Secret",
}


@pytest.mark.parametrize("stack", STACKS)
def test_what_holds_data_outlives_its_stack(stack: str) -> None:
    for name, resource in written(stack).resources.items():
        # Neither notifications nor access logs are kept, nor what drills have written.
        passing = {("keys", "Topic"), ("storage", "Logs"), ("drill_site", "Bucket")}
        if resource["Type"] in HOLDING_DATA and (stack, name) not in passing:
            assert resource.get("DeletionPolicy") == "Retain", name
            assert resource.get("UpdateReplacePolicy") == "Retain", name


def test_something_holds_data() -> None:
    kinds = {each.type for each in [*region("primary").resources.values(), *keys("primary").resources.values()]}
    assert kinds >= HOLDING_DATA
    assert not HOLDING_DATA & {each.type for each in global_stack().resources.values()}


def test_the_ledger_is_a_plain_table_with_its_history() -> None:
    """A global table is no lock: two Regions' conditional writes may both succeed."""
    (ledger,) = region("dr").of("AWS::DynamoDB::Table").values()
    assert [key["AttributeName"] for key in ledger["KeySchema"]] == ["pk", "sk"]
    assert ledger["DeletionProtectionEnabled"]
    assert ledger["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    # By this name no lock, run or signal goes: only what AWS said of its health has such an attribute.
    assert ledger["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}
    assert not region("dr").of("AWS::DynamoDB::GlobalTable")
