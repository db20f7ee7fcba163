"""EventBridge: rules with their targets, buses and their policies, and the scheduler. moto keeps the definitions."""

from typing import Any

from lab.resources.call import OneCall
from lab.resources.kind import Kind, Made, Properties, Request

_RULE = frozenset({"Name", "Description", "EventBusName", "EventPattern", "ScheduleExpression", "State", "RoleArn"})


def _put_rule(request: Request, name: str) -> str:
    own = request.properties
    given = {key: own[key] for key in _RULE - {"Name"} if key in own}
    arn = request.call("events", "put_rule", Name=name, Tags=own.get("Tags"), **given)["RuleArn"]
    if own.get("Targets"):
        answer = request.call(
            "events", "put_targets", Rule=name, EventBusName=own.get("EventBusName"), Targets=own["Targets"]
        )
        if answer.get("FailedEntryCount"):
            raise request.refusal(f"a target is refused: {answer['FailedEntries'][0].get('ErrorMessage')}")
    return str(arn)


def _rule_name(request: Request, made: Made) -> str:
    return made.physical_id.rsplit("|", 1)[-1]


def _create_rule(request: Request) -> Made:
    name = str(request.properties.get("Name") or request.name())
    bus = request.properties.get("EventBusName")
    return Made(f"{bus}|{name}" if bus else name, {"Arn": _put_rule(request, name)})


def _remove_targets(request: Request, name: str, keep: frozenset[str] = frozenset()) -> None:
    bus = request.properties.get("EventBusName")
    present = request.call("events", "list_targets_by_rule", Rule=name, EventBusName=bus)["Targets"]
    gone = [target["Id"] for target in present if target["Id"] not in keep]
    if gone:
        request.call("events", "remove_targets", Rule=name, EventBusName=bus, Ids=gone)


def _update_rule(request: Request, made: Made, changed: frozenset[str]) -> Made:
    name = _rule_name(request, made)
    if "Targets" in changed:
        _remove_targets(request, name, frozenset(target["Id"] for target in request.properties.get("Targets", [])))
    return Made(made.physical_id, {"Arn": _put_rule(request, name)})


def _delete_rule(request: Request, made: Made) -> None:
    name = _rule_name(request, made)
    _remove_targets(request, name)
    request.call("events", "delete_rule", Name=name, EventBusName=request.properties.get("EventBusName"))


def _put_bus_policy(request: Request) -> Made:
    own = request.properties
    given: Properties = {key: own[key] for key in ("Action", "Principal", "Condition") if key in own}
    if "Statement" in own:
        statement = own["Statement"] | {"Sid": own["StatementId"]}
        given = {"Policy": {"Version": "2012-10-17", "Statement": [statement]}}
    else:
        given["StatementId"] = own["StatementId"]
    request.call("events", "put_permission", EventBusName=own.get("EventBusName"), **given)
    return Made(own["StatementId"])


def _update_bus_policy(request: Request, _: Made, __: frozenset[str]) -> Made:
    return _put_bus_policy(request)


def _delete_bus_policy(request: Request, made: Made) -> None:
    bus = request.properties.get("EventBusName")
    request.call("events", "remove_permission", StatementId=made.physical_id, EventBusName=bus)


def _create_schedule(request: Request) -> Made:
    own: dict[str, Any] = {"Name": request.name()} | request.properties
    arn = request.call("scheduler", "create_schedule", **own)["ScheduleArn"]
    return Made(own["Name"], {"Arn": arn})


def _update_schedule(request: Request, made: Made, _: frozenset[str]) -> Made:
    request.call("scheduler", "update_schedule", **{"Name": made.physical_id} | request.properties)
    return made


def _delete_schedule(request: Request, made: Made) -> None:
    group = request.properties.get("GroupName")
    request.call("scheduler", "delete_schedule", Name=made.physical_id, GroupName=group)


KINDS = [
    Kind(
        type="AWS::Events::Rule",
        properties=_RULE | {"Targets", "Tags"},
        create=_create_rule,
        update=_update_rule,
        delete=_delete_rule,
        fixed=frozenset({"Name", "EventBusName"}),
        attributes=frozenset({"Arn"}),
    ),
    OneCall(
        type="AWS::Events::EventBus",
        service="events",
        create="create_event_bus",
        properties="Name Description",
        tags="list",
        physical_id="{given[Name]}",
        attributes={"Arn": "{answer[EventBusArn]}", "Name": "{id}"},
        delete="delete_event_bus",
        delete_by={"Name": "{id}"},
    ).kind,
    Kind(
        type="AWS::Events::EventBusPolicy",
        properties=frozenset({"EventBusName", "StatementId", "Statement", "Action", "Principal", "Condition"}),
        create=_put_bus_policy,
        update=_update_bus_policy,
        delete=_delete_bus_policy,
        fixed=frozenset({"EventBusName", "StatementId"}),
    ),
    Kind(
        type="AWS::Scheduler::Schedule",
        properties=frozenset(
            [
                "Description",
                "EndDate",
                "FlexibleTimeWindow",
                "GroupName",
                "KmsKeyArn",
                "Name",
                "ScheduleExpression",
                "ScheduleExpressionTimezone",
                "StartDate",
                "State",
                "Target",
            ]
        ),
        create=_create_schedule,
        update=_update_schedule,
        delete=_delete_schedule,
        fixed=frozenset({"Name", "GroupName"}),
        attributes=frozenset({"Arn"}),
    ),
    OneCall(
        type="AWS::Scheduler::ScheduleGroup",
        service="scheduler",
        create="create_schedule_group",
        properties="Name",
        name="Name",
        tags="list",
        physical_id="{given[Name]}",
        attributes={"Arn": "{answer[ScheduleGroupArn]}"},
        delete="delete_schedule_group",
        delete_by={"Name": "{id}"},
    ).kind,
]
