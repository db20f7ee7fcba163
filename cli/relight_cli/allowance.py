"""What the caller may do: by IAM's own simulation, or by calls that change nothing whatever AWS answers.

The simulation asks IAM, which is in us-east-1, and is itself a permission. Without it each action is called in a way
that cannot succeed at anything: about a run that is not there, with an input that is no JSON, with a condition that is
never true, or as a dry run. An answer about the matter says that the caller was let through. That AWS gives such an
answer only to those who may call is its habit, and not its promise (docs/doctor.md).
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import ClientError

from relight_cli.aws import NO_ANSWER, Aws, code_of, throttled
from relight_cli.blockade import GLOBAL
from relight_cli.check import Check, failed, passed, warned
from relight_cli.exit_code import Exit, Refused
from relight_cli.needs import NEEDS, RUN, Need, On, Place

_NAME = "permissions"
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403", "Forbidden"})
_LET_THROUGH: Mapping[str, frozenset[str]] = {
    "dynamodb:UpdateItem": frozenset({"ConditionalCheckFailedException"}),
    "states:StartExecution": frozenset({"InvalidExecutionInput"}),
    "states:DescribeExecution": frozenset({"ExecutionDoesNotExist"}),
    "states:GetExecutionHistory": frozenset({"ExecutionDoesNotExist"}),
    "states:StopExecution": frozenset({"ExecutionDoesNotExist"}),
    "states:RedriveExecution": frozenset({"ExecutionDoesNotExist"}),
    "states:SendTaskSuccess": frozenset({"InvalidToken", "TaskDoesNotExist", "TaskTimedOut"}),
    "states:SendTaskFailure": frozenset({"InvalidToken", "TaskDoesNotExist", "TaskTimedOut"}),
    "s3:GetObject": frozenset({"404", "NoSuchKey", "NotFound"}),
    "cloudformation:GetTemplate": frozenset({"ValidationError"}),
}
"""What AWS answers to a caller who may do it, and did nothing."""
_SILENT = "no answer"
_HEAD = {"pk": {"S": "region"}, "sk": {"S": "head"}}


class Verdict(StrEnum):
    """May the caller?"""

    ALLOWED = "allowed"
    DENIED = "denied"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Judged:
    """One action on one resource."""

    need: Need
    resource: str
    verdict: Verdict
    why: str = ""
    """Why it is not known."""


@dataclass(frozen=True)
class Judgement:
    """All of a Region, and how it was found out."""

    place: Place
    judged: list[Judged]
    how: str

    @property
    def silent(self) -> bool:
        """Whether the Region has answered nothing at all."""
        return all(one.why == _SILENT for one in self.judged)

    def of(self, verdict: Verdict) -> list[Judged]:
        """Those that came out so."""
        return [one for one in self.judged if one.verdict is verdict]

    def checks(self) -> Iterator[Check]:
        """One for each action that is denied, one for all that is unknown, or one that says that all is well. Pure."""
        region = self.place.region
        for need in dict.fromkeys(one.need for one in self.of(Verdict.DENIED)):
            resources = [one.resource for one in self.of(Verdict.DENIED) if one.need == need]
            sentence = f"{need.action} is denied on {' and '.join(resources)} ({self.how})"
            yield (failed if need.required else warned)(_NAME, sentence, _allow(need), region)
        unknown = self.of(Verdict.UNKNOWN)
        if unknown:
            listed = ", ".join(dict.fromkeys(f"{one.need.action} ({one.why})" for one in unknown))
            sentence = f"it could not be seen ({self.how}) whether these are allowed: {listed}"
            yield warned(_NAME, sentence, "allow iam:SimulatePrincipalPolicy on yourself, or try it in a drill", region)
        if len(self.of(Verdict.ALLOWED)) == len(self.judged):
            yield passed(_NAME, f"all {len(self.judged)} calls of the commands are allowed ({self.how})", region)


def _allow(need: Need) -> str:
    return f"relight {' and '.join(need.commands[:3])} needs it; use the operator's role, or allow it"


# By simulation.


def principal(caller: str, iam: Any) -> str | None:
    """Whose policies are to be simulated, by the ARN of who calls; None for one that has none of its own."""
    _, partition, service, _, account, rest = caller.split(":", 5)
    kind, _, name = rest.partition("/")
    if service == "iam" and kind == "user":
        return caller
    if kind != "assumed-role":
        return None
    role = name.partition("/")[0]
    try:
        # The ARN of a session leaves the role's path out.
        return str(iam.get_role(RoleName=role)["Role"]["Arn"])
    except ClientError:
        return f"arn:{partition}:iam::{account}:role/{role}"


def simulated(aws: Aws, caller: str, places: Iterable[Place], needs: Iterable[Need] = NEEDS) -> list[Judgement]:
    """What IAM says that it would say. Raises what boto3 raises; Refused for a caller without policies of its own."""
    wanted, there = list(needs), list(places)
    iam = aws.client("iam", GLOBAL)
    source = principal(caller, iam)
    if source is None:
        raise Refused(f"IAM simulates nothing for {caller}", code=Exit.AWS)
    said: dict[tuple[str, str], tuple[Verdict, str]] = {}
    for resources, actions in _together(wanted, there).items():
        pages = iam.get_paginator("simulate_principal_policy").paginate(
            PolicySourceArn=source, ActionNames=actions, ResourceArns=list(resources)
        )
        for page in pages:
            for one in page["EvaluationResults"]:
                said |= dict(_decisions(one))
    unsaid = (Verdict.UNKNOWN, "IAM's simulation says nothing of it")
    return [
        Judgement(
            place,
            [
                Judged(need, resource, *said.get((need.action, resource), unsaid))
                for need in wanted
                for resource in place.resources(need)
            ],
            "by IAM's simulation",
        )
        for place in there
    ]


def _together(needs: list[Need], places: list[Place]) -> dict[tuple[str, ...], list[str]]:
    """The actions on the same resources, for one call each."""
    found: dict[tuple[str, ...], list[str]] = {}
    for need in needs:
        resources = dict.fromkeys(resource for place in places for resource in place.resources(need))
        found.setdefault(tuple(resources), []).append(need.action)
    return found


def _decisions(found: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], tuple[Verdict, str]]]:
    action = found["EvalActionName"]
    specific = found.get("ResourceSpecificResults", [])
    if not specific:
        yield (action, found["EvalResourceName"]), _verdict(found["EvalDecision"], found)
    for one in specific:
        yield (action, one["EvalResourceName"]), _verdict(one["EvalResourceDecision"], one)


def _verdict(decision: str, found: Mapping[str, Any]) -> tuple[Verdict, str]:
    if decision == "allowed":
        return Verdict.ALLOWED, ""
    missing = found.get("MissingContextValues", [])
    if decision == "implicitDeny" and missing:
        return Verdict.UNKNOWN, f"it depends on {', '.join(missing)}"
    return Verdict.DENIED, ""


# By calls.


def called(aws: Aws, place: Place, needs: Iterable[Need] = NEEDS) -> Judgement:
    """What AWS answers to calls that change nothing."""
    judged = []
    silent = ""
    for need in needs:
        for name, resource in zip(need.names, place.resources(need), strict=True):
            if silent:
                judged.append(Judged(need, resource, Verdict.UNKNOWN, silent))
                continue
            verdict, why = _called(aws, place, need, name)
            silent = why if why == _SILENT else ""
            judged.append(Judged(need, resource, verdict, why))
    return Judgement(place, judged, "by calls that change nothing")


def _called(aws: Aws, place: Place, need: Need, name: str) -> tuple[Verdict, str]:
    try:
        _CALLS[need.action](aws, place, name)
    except ClientError as error:
        code = code_of(error)
        if code in _DENIED:
            return Verdict.DENIED, ""
        if code in _LET_THROUGH.get(need.action, frozenset()):
            return Verdict.ALLOWED, ""
        return Verdict.UNKNOWN, "AWS throttles" if throttled(error) else code
    except NO_ANSWER:
        return Verdict.UNKNOWN, _SILENT
    return Verdict.ALLOWED, ""


def _states(aws: Aws, place: Place) -> Any:
    return aws.client("stepfunctions", place.region)


def _update(aws: Aws, place: Place, _: str) -> None:
    aws.client("dynamodb", place.region).update_item(
        TableName=f"relight-{place.application}",
        Key=_HEAD,
        UpdateExpression="REMOVE relight_doctor",
        # Of no item is this true, so that nothing is written, not even where there is none yet.
        ConditionExpression="attribute_exists(pk) AND attribute_not_exists(pk)",
    )


def _query(aws: Aws, place: Place, _: str) -> None:
    aws.client("dynamodb", place.region).query(
        TableName=f"relight-{place.application}",
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"run#{RUN}"}},
        Limit=1,
    )


def _metrics(aws: Aws, place: Place, _: str) -> None:
    now = time.time()
    metric = {"Metric": {"Namespace": "Relight", "MetricName": RUN}, "Period": 60, "Stat": "Maximum"}
    aws.client("cloudwatch", place.region).get_metric_data(
        MetricDataQueries=[{"Id": "doctor", "MetricStat": metric}], StartTime=now - 60, EndTime=now
    )


_CALLS: Mapping[str, Callable[[Aws, Place, str], Any]] = {
    "dynamodb:GetItem": lambda aws, place, _: aws.client("dynamodb", place.region).get_item(
        TableName=f"relight-{place.application}", Key=_HEAD
    ),
    "dynamodb:Query": _query,
    "dynamodb:UpdateItem": _update,
    # "{" is no JSON: Step Functions starts nothing with it.
    "states:StartExecution": lambda aws, place, name: _states(aws, place).start_execution(
        stateMachineArn=place.resource(On.MACHINE, name), name=RUN, input="{"
    ),
    "states:ListExecutions": lambda aws, place, name: _states(aws, place).list_executions(
        stateMachineArn=place.resource(On.MACHINE, name), maxResults=1
    ),
    "states:DescribeExecution": lambda aws, place, name: _states(aws, place).describe_execution(
        executionArn=place.resource(On.EXECUTION, name)
    ),
    "states:GetExecutionHistory": lambda aws, place, name: _states(aws, place).get_execution_history(
        executionArn=place.resource(On.EXECUTION, name), maxResults=1
    ),
    "states:StopExecution": lambda aws, place, name: _states(aws, place).stop_execution(
        executionArn=place.resource(On.EXECUTION, name)
    ),
    "states:RedriveExecution": lambda aws, place, name: _states(aws, place).redrive_execution(
        executionArn=place.resource(On.EXECUTION, name)
    ),
    "states:DescribeStateMachine": lambda aws, place, name: _states(aws, place).describe_state_machine(
        stateMachineArn=place.resource(On.MACHINE, name)
    ),
    "states:SendTaskSuccess": lambda aws, place, _: _states(aws, place).send_task_success(taskToken=RUN, output="{}"),
    "states:SendTaskFailure": lambda aws, place, _: _states(aws, place).send_task_failure(taskToken=RUN),
    "cloudwatch:GetMetricData": _metrics,
    "lambda:InvokeFunction": lambda aws, place, name: aws.client("lambda", place.region).invoke(
        FunctionName=f"relight-{place.application}-{name}", InvocationType="DryRun"
    ),
    "lambda:GetFunctionConfiguration": lambda aws, place, name: aws.client(
        "lambda", place.region
    ).get_function_configuration(FunctionName=f"relight-{place.application}-{name}"),
    "s3:ListBucket": lambda aws, place, _: aws.client("s3", place.region).list_objects_v2(
        Bucket=_bucket(place), Prefix="runs/", MaxKeys=1
    ),
    "s3:GetObject": lambda aws, place, _: aws.client("s3", place.region).head_object(
        Bucket=_bucket(place), Key=f"runs/{RUN}/run.json"
    ),
    "cloudformation:DescribeStacks": lambda aws, place, _: aws.client("cloudformation", place.region).describe_stacks(
        StackName=f"relight-{place.application}"
    ),
    "cloudformation:GetTemplate": lambda aws, place, _: aws.client("cloudformation", place.region).get_template(
        StackName=f"relight-{place.application}"
    ),
}


def _bucket(place: Place) -> str:
    return place.resource(On.BUCKET).rpartition(":")[2]
