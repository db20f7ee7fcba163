"""template.yaml: what the functions may do, what wakes them, and what tells people that nothing did."""

import json
import re
from typing import Any

import pytest
from relight.signal import View

from tests.template.reading import ROOT, as_list, deployed, in_role, mentions, of_type, statements, text, written

ROLES = ["primary", "dr"]
FUNCTIONS = sorted(path.name for path in (ROOT / "functions").iterdir() if (path / "handler.py").exists())
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
IN_VPC = "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
# Calls that take no resource: describing in these services, metrics, and the configuration of log delivery.
WITHOUT_RESOURCE = {
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeScalingActivities",
    "elasticloadbalancing:DescribeTargetHealth",
    "ec2:DescribeNetworkAcls",
    "cloudwatch:PutMetricData",
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
    "autoscaling:UpdateAutoScalingGroup": {"Scale"},
    "autoscaling:ResumeProcesses": {"Scale"},
    "ec2:CreateNetworkAclEntry": {"Fence", "Guard"},
    "ec2:DeleteNetworkAclEntry": {"Fence", "Guard"},
    "cloudwatch:PutMetricData": {"Switch", "Guard"},
    "states:StartExecution": {"Probe"},
    "rds-db:connect": {"Dbcheck"},
    "s3:PutObject": {"Record"},
    "sns:Publish": {"Record"},
    "lambda:InvokeFunction": {"Assess", "Probe", "Promote"},
}
# Only these may reach into the other Region, each at best effort.
REACHING = {"Assess", "Fence", "Guard", "Probe", "Record"}


def role_of(function: str) -> dict[str, Any]:
    return of_type(deployed("dr"), "AWS::IAM::Role")[f"{function}Role"]


def actions(role: dict[str, Any]) -> set[str]:
    return {action for statement in statements(role) for action in as_list(statement["Action"])}


def ledger_actions(function: str) -> set[str]:
    return {action for action in actions(role_of(function)) if action.startswith("dynamodb:")}


@pytest.mark.parametrize("role", ROLES)
def test_each_function_of_the_project_is_deployed(role: str) -> None:
    deployed_names = {
        text(properties["FunctionName"]) for properties in of_type(deployed(role), "AWS::Lambda::Function").values()
    }
    assert deployed_names == {f"relight-${{Application}}-{name}" for name in FUNCTIONS}


def test_both_regions_get_the_same_resources() -> None:
    """Roles, rules and schedules exist from deployment on, also for the way home."""
    primary, dr = ({n: r["Type"] for n, r in deployed(role).resources.items()} for role in ROLES)
    assert primary == dr


def test_functions_run_on_one_runtime_and_end_before_the_state_machine_gives_them_up() -> None:
    for name, function in of_type(deployed("dr"), "AWS::Lambda::Function").items():
        assert function["Runtime"] == "python3.13", name
        assert function["Handler"] == "handler.handler", name
        # The shortest TimeoutSeconds of a step that is awaited; the fence is given up sooner, and the probe is no step.
        assert name == "Probe" or function["Timeout"] < 60, name


# Who may do what.


def test_each_function_has_a_role_of_its_own() -> None:
    functions = of_type(deployed("dr"), "AWS::Lambda::Function")
    assert {name: text(function["Role"]) for name, function in functions.items()} == {
        name: f"{name}Role.Arn" for name in functions
    }


def test_no_role_has_more_than_its_own_statements_and_the_right_to_log() -> None:
    for name, role in of_type(deployed("dr"), "AWS::IAM::Role").items():
        allowed = {BASIC, IN_VPC} if name == "DbcheckRole" else {BASIC}
        assert set(role.get("ManagedPolicyArns", [])) <= allowed, name


def test_no_action_has_a_wildcard() -> None:
    for name, role in of_type(deployed("dr"), "AWS::IAM::Role").items():
        assert all("*" not in action and ":" in action for action in actions(role)), name


def test_only_what_takes_no_resource_is_allowed_on_all() -> None:
    for name, role in of_type(deployed("dr"), "AWS::IAM::Role").items():
        for statement in statements(role):
            if "*" in as_list(statement["Resource"]):
                assert set(as_list(statement["Action"])) <= WITHOUT_RESOURCE, name
                for action in as_list(statement["Action"]):
                    keys = [key for test in statement.get("Condition", {}).values() for key in test]
                    assert action not in NARROWED or NARROWED[action] in keys, (name, action)


def test_each_other_resource_is_one_of_ours() -> None:
    """An ARN names the application, or comes from a resource or a parameter; account and Region are never open."""
    for name, role in of_type(deployed("dr"), "AWS::IAM::Role").items():
        for statement in statements(role):
            for resource in map(text, as_list(statement["Resource"])):
                if resource.startswith("arn:"):
                    assert ":*:*" not in resource, name
                    assert re.search(r"\$\{(AWS::Region|PeerRegion)\}:\$\{AWS::AccountId\}:", resource), name
                    assert re.search(r"\$\{(Application|Acl|Id)\}", resource), (name, resource)


@pytest.mark.parametrize("action", sorted(ALONE))
def test_what_changes_the_world_is_allowed_to_those_who_must(action: str) -> None:
    functions = of_type(deployed("dr"), "AWS::Lambda::Function")
    assert {name for name in functions if action in actions(role_of(name))} == ALONE[action]


def test_only_these_functions_reach_into_the_other_region() -> None:
    functions = of_type(deployed("dr"), "AWS::Lambda::Function")
    assert {name for name in functions if mentions(role_of(name)["Policies"], "PeerRegion")} == REACHING


def test_no_function_may_delete_from_a_ledger_or_read_all_of_it() -> None:
    for name in of_type(deployed("dr"), "AWS::Lambda::Function"):
        assert ledger_actions(name) <= {
            f"dynamodb:{verb}" for verb in ("GetItem", "PutItem", "UpdateItem", "Query")
        } | ({"dynamodb:BatchWriteItem"} if name == "Probe" else set())


def test_the_state_machine_invokes_its_steps_and_nothing_else() -> None:
    machine = written().resources["Failover"]["Properties"]
    steps = {text(value) for name, value in machine["DefinitionSubstitutions"].items() if name.endswith("Function")}
    allowed = [s for s in statements(role_of("Failover")) if "lambda:InvokeFunction" in as_list(s["Action"])]
    assert [set(map(text, statement["Resource"])) for statement in allowed] == [steps]


# What wakes them.


def targets() -> dict[str, dict[str, Any]]:
    schedules = of_type(deployed("dr"), "AWS::Scheduler::Schedule")
    rules = of_type(deployed("dr"), "AWS::Events::Rule")
    return {name: schedule["Target"] for name, schedule in schedules.items()} | {
        name: target for name, rule in rules.items() for target in rule["Targets"]
    }


def test_what_cannot_be_delivered_is_kept_and_does_not_come_late() -> None:
    assert targets()
    for name, target in targets().items():
        assert text(target["DeadLetterConfig"]["Arn"]) == "DeadLetters.Arn", name
        assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] <= 120, name


def test_schedules_come_each_minute_and_are_not_caught_up() -> None:
    for name, schedule in of_type(deployed("dr"), "AWS::Scheduler::Schedule").items():
        assert schedule["ScheduleExpression"] == "rate(1 minute)", name
        assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}, name
        assert schedule["Target"]["RetryPolicy"] == {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0}, name


def test_what_a_schedule_calls_is_not_retried_with_old_news() -> None:
    configured = of_type(deployed("dr"), "AWS::Lambda::EventInvokeConfig").values()
    assert {each["FunctionName"]["Ref"] for each in configured} == {"Probe", "Guard", "Dbcheck"}
    for each in configured:
        assert (each["MaximumRetryAttempts"], each["MaximumEventAgeInSeconds"]) == (0, 60)


def test_only_what_may_send_it_reaches_the_dead_letter_queue() -> None:
    for name in of_type(deployed("dr"), "AWS::Scheduler::Schedule"):
        assert "sqs:SendMessage" in actions(of_type(deployed("dr"), "AWS::IAM::Role")[f"{name}Role"]), name
    (policy,) = of_type(deployed("dr"), "AWS::SQS::QueuePolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    (source,) = statement["Condition"]["ArnLike"].values()
    assert source["Fn::Sub"].endswith(":rule/relight-${Application}-*")


@pytest.mark.parametrize(("role", "state"), [("primary", "DISABLED"), ("dr", "ENABLED")])
def test_the_probe_watches_from_the_standby_only(role: str, state: str) -> None:
    schedules = of_type(deployed(role), "AWS::Scheduler::Schedule")
    assert in_role(schedules["ProbeEachMinute"]["State"], role) == state
    assert all("State" not in schedules[name] for name in ("GuardEachMinute", "DbcheckEachMinute"))


def test_the_alarm_of_the_lost_primary_starts_a_run_that_judges_for_itself() -> None:
    (rule,) = of_type(deployed("dr"), "AWS::Events::Rule").values()
    alarm = written("observability").resources["PrimaryDown"]["Properties"]
    assert rule["EventPattern"]["detail"] == {"alarmName": [alarm["AlarmName"]], "state": {"value": ["ALARM"]}}
    given = json.loads(rule["Targets"][0]["Input"])
    assert (given["trigger"], set(given)) == ("automatic", {"trigger", "reason"})


def test_the_alarms_on_the_probe_look_at_what_it_publishes() -> None:
    variables = written().body["Globals"]["Function"]["Environment"]["Variables"]
    for name in ("PrimaryDown", "ProbeSilent"):
        alarm = written("observability").resources[name]["Properties"]
        assert alarm["Namespace"] == variables["POWERTOOLS_METRICS_NAMESPACE"]
        assert alarm["MetricName"] == f"Down.{View.FROM_DR}"
        assert alarm["Dimensions"] == [{"Name": "service", "Value": variables["POWERTOOLS_SERVICE_NAME"]}]
    assert written("observability").resources["ProbeSilent"]["Properties"]["TreatMissingData"] == "breaching"


def test_people_hear_of_each_failure() -> None:
    alarms = of_type(written("observability"), "AWS::CloudWatch::Alarm")
    told = {name for name, alarm in alarms.items() if alarm.get("AlarmActions") == [{"Ref": "TopicArn"}]}
    assert told == {"PrimaryDown", "ProbeSilent", "RunFailed", "EventLost"}


# What must outlive the stack.


@pytest.mark.parametrize("stack", ["template", "compute", "database", "network"])
def test_what_holds_data_outlives_its_stack(stack: str) -> None:
    holding = {
        "AWS::DynamoDB::Table",
        "AWS::KMS::Key",
        "AWS::RDS::DBInstance",
        "AWS::S3::Bucket",
        "AWS::SecretsManager::Secret",
    }
    for name, resource in written(stack).resources.items():
        if resource["Type"] in holding and name != "TopicKey":  # notifications are not kept
            assert resource.get("DeletionPolicy") == "Retain", name
            assert resource.get("UpdateReplacePolicy") == "Retain", name


def test_the_ledger_is_a_plain_table_with_its_history() -> None:
    """A global table is no lock: two Regions' conditional writes may both succeed."""
    (ledger,) = of_type(deployed("dr"), "AWS::DynamoDB::Table").values()
    assert [key["AttributeName"] for key in ledger["KeySchema"]] == ["pk", "sk"]
    assert ledger["DeletionProtectionEnabled"]
    assert ledger["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert not of_type(deployed("dr"), "AWS::DynamoDB::GlobalTable")
