"""The orchestrator of a Region: what its functions may do, what wakes them, and what tells people that nothing did."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
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
    "elasticloadbalancing:DescribeTargetHealth",
    "ec2:DescribeNetworkAcls",
    "cloudwatch:GetMetricData",
    "cloudwatch:PutMetricData",
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
NARROWED = {"ec2:DescribeNetworkAcls": "ec2:Region", "cloudwatch:PutMetricData": "cloudwatch:namespace"}
# What changes the world outside the ledger, and who alone may do it.
ALONE = {
    "rds:PromoteReadReplica": {"Promote"},
    "rds:ModifyDBInstance": {"Harden"},
    "autoscaling:UpdateAutoScalingGroup": {"Fence", "Guard", "Scale"},
    "autoscaling:ResumeProcesses": {"Scale"},
    "ec2:CreateNetworkAclEntry": {"Fence", "Guard"},
    "ec2:DeleteNetworkAclEntry": {"Fence", "Guard"},
    "cloudwatch:PutMetricData": {"Switch", "Guard"},
    "states:StartExecution": {"Probe"},
    "states:SendTaskFailure": {"Probe"},
    "states:StopExecution": set(),
    "rds-db:connect": {"Dbcheck"},
    "s3:PutObject": {"Record"},
    "sns:Publish": {"Record"},
    "lambda:InvokeFunction": {"Assess", "Guard", "Probe", "Promote", "Quiesce"},
}
# Only these may reach into the other Region, each at best effort; a planned run alone needs an answer, of `quiesce`.
REACHING = {"Assess", "Fence", "Guard", "Probe", "Quiesce", "Record"}
# What AWS says of its health decides nothing, so it may come late; it is for the evidence.
FOR_THE_EVIDENCE = {"Failover/RecordHealth", "Failover/HealthForward"}

# What is not named after the application.
NOT_BY_THE_APPLICATION = {
    "ec2": "network-acl/",
    "events": "event-bus/default",
    "kms": "key/topic",
    "rds-db": "dbuser:*/relight_check",
}


def functions(of: Region) -> dict[str, Mapping[str, Any]]:
    """The functions by the name that their stack gives them: `Probe`."""
    return {path.rpartition("/")[2]: each for path, each in of.of("AWS::Lambda::Function").items()}


def roles(of: Region) -> dict[str, Mapping[str, Any]]:
    """The roles of functions, schedules, rules and the state machine: `ProbeRole`."""
    found = {path: each for path, each in of.of("AWS::IAM::Role").items() if path.startswith(("Watch/", "Failover/"))}
    return {path.rpartition("/")[2]: each for path, each in found.items()}


def role_of(function: str) -> Mapping[str, Any]:
    return roles(region("dr"))[f"{function}Role"]


def actions(role: Mapping[str, Any]) -> set[str]:
    return {action for statement in statements(role) for action in as_list(statement["Action"])}


def ledger_actions(function: str) -> set[str]:
    return {action for action in actions(role_of(function)) if action.startswith("dynamodb:")}


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
            if each.stack in {"watch", "failover", "ledger"}
        }
        for role in ROLES
    )
    assert primary == dr


def test_functions_run_on_one_runtime_and_end_before_the_state_machine_gives_them_up() -> None:
    for name, function in functions(region("dr")).items():
        assert function["Runtime"] == "python3.13", name
        assert function["Handler"] == "handler.handler", name
        # The shortest TimeoutSeconds of a step that is awaited; the fence is given up sooner, and the probe is no step.
        assert name == "Probe" or function["Timeout"] < 60, name


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
                if resource == "*" or resource.startswith("arn:aws:s3:::relight-evidence-shop-"):
                    continue
                service, where, account, named = re.fullmatch(
                    r"arn:(?:aws|\*):([a-z0-9-]+):(.*?):(.*?):(.*)", resource
                ).groups()  # type: ignore[union-attr]
                # A list of names becomes ARNs without them; the condition says where, and groups are the account's own.
                if service == "autoscaling" and where == "*":
                    where, account = statement["Condition"]["StringEquals"]["aws:RequestedRegion"], ACCOUNT
                assert (where in REGIONS.values(), account) == (True, ACCOUNT), (name, resource)
                assert NOT_BY_THE_APPLICATION.get(service, "shop") in named, (name, resource)


@pytest.mark.parametrize("action", sorted(ALONE))
def test_what_changes_the_world_is_allowed_to_those_who_must(action: str) -> None:
    assert {name for name in functions(region("dr")) if action in actions(role_of(name))} == ALONE[action]


def test_only_these_functions_reach_into_the_other_region() -> None:
    here = {name for name in functions(region("dr")) if REGIONS["primary"] in json.dumps(role_of(name)["Policies"])}
    assert here == REACHING


def test_no_function_may_delete_from_a_ledger_or_read_all_of_it() -> None:
    for name in functions(region("dr")):
        assert ledger_actions(name) <= {
            f"dynamodb:{verb}" for verb in ("GetItem", "PutItem", "UpdateItem", "Query")
        } | ({"dynamodb:BatchWriteItem"} if name == "Probe" else set())


def test_the_state_machine_stops_drills_and_no_failover() -> None:
    (allowed,) = [s for s in statements(role_of("Failover")) if "states:StopExecution" in as_list(s["Action"])]
    here = REGIONS["dr"]
    assert as_list(allowed["Resource"]) == [f"arn:aws:states:{here}:{ACCOUNT}:execution:relight-shop-drill:*"]


def test_the_state_machine_invokes_its_steps_and_nothing_else() -> None:
    machine = region("dr")["Failover/Failover"]
    steps = {value for name, value in machine["DefinitionSubstitutions"].items() if name.endswith("Function")}
    allowed = [s for s in statements(role_of("Failover")) if "lambda:InvokeFunction" in as_list(s["Action"])]
    assert [set(statement["Resource"]) for statement in allowed] == [steps]


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
        longest = 3600 if name in FOR_THE_EVIDENCE else 120
        assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] <= longest, name


def test_schedules_come_each_minute_and_are_not_caught_up() -> None:
    for name, schedule in region("dr").of("AWS::Scheduler::Schedule").items():
        assert schedule["ScheduleExpression"] == "rate(1 minute)", name
        assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}, name
        assert schedule["Target"]["RetryPolicy"] == {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0}, name


def test_what_a_schedule_calls_is_not_retried_with_old_news() -> None:
    configured = {each["FunctionName"]: each for each in region("dr").of("AWS::Lambda::EventInvokeConfig").values()}
    evidence = configured.pop("relight-shop-record")
    assert configured.keys() == {f"relight-shop-{name}" for name in ("probe", "guard", "dbcheck")}
    for each in configured.values():
        assert (each["MaximumRetryAttempts"], each["MaximumEventAgeInSeconds"]) == (0, 60)
    assert (evidence["MaximumRetryAttempts"], evidence["MaximumEventAgeInSeconds"]) == (2, 3600)


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
    for name in ("ProbeEachMinute", "GuardEachMinute", "DbcheckEachMinute"):
        assert "State" not in schedules[f"Watch/{name}"], name


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
        # Neither notifications nor access logs are kept.
        if resource["Type"] in HOLDING_DATA and (stack, name) not in {("keys", "Topic"), ("storage", "Logs")}:
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
