"""CloudFormation's API: moto parses the query protocol and renders the answers, what they say comes from the lab."""

from collections.abc import Callable, Mapping
from typing import Any

from moto.cloudformation.exceptions import CloudFormationError
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult, EmptyResult

from lab.cloudformation import CloudFormation, Event, Invalid, Kept, Wanted, parameters_of
from lab.expression import as_text
from lab.packaged import object_at
from lab.seam import Seams, require

type Answer = Mapping[str, Any] | None
type Action = Callable[[CloudFormation, "Asked"], Answer]


class Asked:
    """One call: its Region and what it was given."""

    def __init__(self, response: Any, fetch: Callable[[str], Callable[[str, str], bytes]]) -> None:
        """`response` is moto's, which has parsed the call."""
        self.region = str(response.region)
        self._response = response
        self._fetch = fetch

    def text(self, name: str) -> str:
        """A parameter of the call; no text where it is not given."""
        return str(self._response._get_param(name) or "")

    def items(self, name: str) -> list[Any]:
        """A list among the parameters."""
        return list(self._response._get_param(name) or [])

    def flag(self, name: str) -> bool:
        """A boolean among the parameters."""
        return str(self._response._get_param(name)).lower() == "true"

    def template(self) -> str:
        """The template that the call holds, or names in S3. Invalid when there is none."""
        if self.text("TemplateBody"):
            return self.text("TemplateBody")
        try:
            return self._fetch(self.region)(*object_at(self.text("TemplateURL"))).decode()
        except KeyError:
            raise Invalid("Either Template URL or Template Body must be specified.") from None


def install(seams: Seams, stacks: CloudFormation, fetch: Callable[[str], Callable[[str, str], bytes]]) -> None:
    """Let the lab answer; whatever else CloudFormation can do is refused. MotoChangedError if moto has changed."""
    require(CloudFormationResponse, "_get_param", "RESPONSE_KEY_PATH_TO_TRANSFORMER", *_REPLACED, *_REFUSED)
    # These fit moto's own objects, and not plain data.
    seams.replace(CloudFormationResponse, "RESPONSE_KEY_PATH_TO_TRANSFORMER", {})
    for name, action in {**_REPLACED, **dict.fromkeys(_REFUSED, _refuse)}.items():
        seams.replace(CloudFormationResponse, name, _answering(action, stacks, fetch))
    for name, action in _ADDED.items():
        seams.add(CloudFormationResponse, name, _answering(action, stacks, fetch))


def _answering(action: Action, stacks: CloudFormation, fetch: Any) -> Callable[[Any], Any]:
    def answer(response: Any) -> Any:
        try:
            told = action(stacks, Asked(response, fetch))
        except Invalid as error:
            refused = CloudFormationError(error.message)
            refused.code = error.code
            raise refused from error
        return EmptyResult() if told is None else ActionResult(told)

    return answer


def _refuse(_: CloudFormation, __: Asked) -> Answer:
    raise Invalid("the lab's CloudFormation changes stacks by change sets, and does not know this call")


def _create_stack(stacks: CloudFormation, asked: Asked) -> Answer:
    wanted = Wanted(
        name="",
        kind="CREATE",
        text=asked.template(),
        parameters=asked.items("Parameters"),
        tags={tag["Key"]: tag["Value"] for tag in asked.items("Tags")},
    )
    return {"StackId": stacks.create(asked.region, asked.text("StackName"), wanted, asked.text("RoleARN"))}


def _create_change_set(stacks: CloudFormation, asked: Asked) -> Answer:
    wanted = Wanted(
        name=asked.text("ChangeSetName"),
        kind=asked.text("ChangeSetType") or "UPDATE",
        text=asked.template(),
        parameters=asked.items("Parameters"),
        tags={tag["Key"]: tag["Value"] for tag in asked.items("Tags")},
    )
    arn, stack_id = stacks.prepare(asked.region, asked.text("StackName"), wanted)
    return {"Id": arn, "StackId": stack_id}


def _describe_change_set(stacks: CloudFormation, asked: Asked) -> Answer:
    kept, made = stacks.change_set(asked.region, asked.text("ChangeSetName"), asked.text("StackName"))
    return {
        "ChangeSetName": made.name,
        "ChangeSetId": made.id,
        "StackId": kept.stack_id,
        "StackName": kept.name,
        "CreationTime": made.created,
        "ExecutionStatus": made.execution,
        "Status": made.status,
        "StatusReason": made.reason,
        "Parameters": _parameters(made.parameters),
        "Changes": made.changes,
    }


def _list_change_sets(stacks: CloudFormation, asked: Asked) -> Answer:
    kept = stacks.find(asked.region, asked.text("StackName"))
    told = [
        {
            "ChangeSetId": made.id,
            "ChangeSetName": made.name,
            "StackId": kept.stack_id,
            "StackName": kept.name,
            "Status": made.status,
            "ExecutionStatus": made.execution,
            "CreationTime": made.created,
        }
        for made in kept.change_sets
    ]
    return {"Summaries": told}


def _execute_change_set(stacks: CloudFormation, asked: Asked) -> Answer:
    stacks.execute(asked.region, asked.text("ChangeSetName"), asked.text("StackName"))
    return None


def _delete_change_set(stacks: CloudFormation, asked: Asked) -> Answer:
    stacks.forget(asked.region, asked.text("ChangeSetName"), asked.text("StackName"))
    return None


def _describe_stacks(stacks: CloudFormation, asked: Asked) -> Answer:
    name = asked.text("StackName")
    found = [stacks.find(asked.region, name)] if name else stacks.all(asked.region)
    return {"Stacks": [_stack(kept) for kept in found]}


def _stack(kept: Kept) -> dict[str, Any]:
    declared = parameters_of(kept)
    values = {name: as_text(parameter.get("Default", "")) for name, parameter in declared.items()} | kept.parameters
    hidden = {name for name, parameter in declared.items() if as_text(parameter.get("NoEcho", "")) == "true"}
    outputs = kept.engine.outputs if kept.engine is not None and not kept.gone else {}
    return {
        "StackId": kept.stack_id,
        "StackName": kept.name,
        "CreationTime": kept.created,
        "StackStatus": kept.status,
        "StackStatusReason": kept.reason or None,
        "DisableRollback": False,
        "RoleARN": kept.role or None,
        "Parameters": _parameters({name: "****" if name in hidden else value for name, value in values.items()}),
        "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()],
        "EnableTerminationProtection": kept.protected,
        "Tags": [{"Key": key, "Value": value} for key, value in kept.tags.items()],
        **({"ParentId": kept.parent.stack_id} if kept.parent else {}),
    }


def _parameters(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]


def _list_stacks(stacks: CloudFormation, asked: Asked) -> Answer:
    wanted = set(asked.items("StackStatusFilter"))
    told = [_stack(kept) for kept in stacks.all(asked.region) if not wanted or kept.status in wanted]
    return {"StackSummaries": told}


def _list_stack_resources(stacks: CloudFormation, asked: Asked) -> Answer:
    kept = stacks.find(asked.region, asked.text("StackName"))
    return {"StackResourceSummaries": _resources(kept)}


def _describe_stack_resources(stacks: CloudFormation, asked: Asked) -> Answer:
    kept = stacks.find(asked.region, asked.text("StackName"))
    wanted = asked.text("LogicalResourceId")
    told = [one for one in _resources(kept) if not wanted or one["LogicalResourceId"] == wanted]
    return {"StackResources": [one | {"Timestamp": one["LastUpdatedTimestamp"]} for one in told]}


def _resources(kept: Kept) -> list[dict[str, Any]]:
    return [
        {
            "LogicalResourceId": logical_id,
            "PhysicalResourceId": physical_id,
            "ResourceType": kind,
            "ResourceStatus": status,
            "LastUpdatedTimestamp": kept.created,
        }
        for logical_id, physical_id, kind, status in kept.resources()
    ]


def _describe_stack_events(stacks: CloudFormation, asked: Asked) -> Answer:
    kept = stacks.find(asked.region, asked.text("StackName"))
    return {"StackEvents": [_event(event) for event in reversed(kept.events)]}


def _event(event: Event) -> dict[str, Any]:
    return {
        "StackId": event.stack_id,
        "EventId": event.id,
        "StackName": event.stack_name,
        "LogicalResourceId": event.logical_id,
        "PhysicalResourceId": event.physical_id,
        "ResourceType": event.kind,
        "Timestamp": event.at,
        "ResourceStatus": event.status,
        "ResourceStatusReason": event.reason or None,
    }


def _delete_stack(stacks: CloudFormation, asked: Asked) -> Answer:
    stacks.delete(asked.region, asked.text("StackName"), asked.items("RetainResources"))
    return None


def _get_template(stacks: CloudFormation, asked: Asked) -> Answer:
    return {"TemplateBody": stacks.find(asked.region, asked.text("StackName")).text}


def _get_template_summary(stacks: CloudFormation, asked: Asked) -> Answer:
    kept = stacks.find(asked.region, asked.text("StackName"))
    told = [
        {"ParameterKey": name, "ParameterType": str(parameter.get("Type", "String"))}
        for name, parameter in parameters_of(kept).items()
    ]
    return {"Parameters": told}


def _update_termination_protection(stacks: CloudFormation, asked: Asked) -> Answer:
    flag = asked.flag("EnableTerminationProtection")
    return {"StackId": stacks.protect(asked.region, asked.text("StackName"), flag)}


def _set_stack_policy(stacks: CloudFormation, asked: Asked) -> Answer:
    stacks.set_policy(asked.region, asked.text("StackName"), asked.text("StackPolicyBody"))
    return None


def _get_stack_policy(stacks: CloudFormation, asked: Asked) -> Answer:
    return {"StackPolicyBody": stacks.find(asked.region, asked.text("StackName")).policy or None}


_REPLACED: Mapping[str, Action] = {
    "create_change_set": _create_change_set,
    "create_stack": _create_stack,
    "delete_change_set": _delete_change_set,
    "delete_stack": _delete_stack,
    "describe_change_set": _describe_change_set,
    "describe_stack_events": _describe_stack_events,
    "describe_stack_resources": _describe_stack_resources,
    "describe_stacks": _describe_stacks,
    "execute_change_set": _execute_change_set,
    "get_stack_policy": _get_stack_policy,
    "get_template": _get_template,
    "get_template_summary": _get_template_summary,
    "list_change_sets": _list_change_sets,
    "list_stack_resources": _list_stack_resources,
    "list_stacks": _list_stacks,
    "set_stack_policy": _set_stack_policy,
}
_ADDED: Mapping[str, Action] = {"update_termination_protection": _update_termination_protection}
_REFUSED = ("update_stack", "create_stack_set", "describe_stack_resource", "list_exports")
