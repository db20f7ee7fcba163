"""CloudFormation's stacks as the command line looks at them: what state one is in, what it did, and waiting for it."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from relight_cli.aws import Aws, asking, code_of
from relight_cli.exit_code import Exit, Refused
from relight_cli.samconfig import StackSettings
from relight_cli.surroundings import aws_here

NESTED = "AWS::CloudFormation::Stack"
FAILED_FIRST = "ROLLBACK_COMPLETE"
_READY = frozenset(
    {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"}
)
# A change set was made for a stack that does not exist yet, and never executed.
_EMPTY = frozenset({"REVIEW_IN_PROGRESS"})
_DO = {
    "UPDATE_ROLLBACK_FAILED": "{aws} cloudformation continue-update-rollback --stack-name {name} --region {region}",
    "ROLLBACK_FAILED": "delete it: {aws} cloudformation delete-stack --stack-name {name} --region {region}",
    "CREATE_FAILED": "delete it: {aws} cloudformation delete-stack --stack-name {name} --region {region}",
    "DELETE_FAILED": "end the deletion with relight destroy",
    FAILED_FIRST: "its first creation failed: delete it, or let this command do so with --delete-failed",
}
_TIMEOUT = "wait until the operation has ended, then run this again"


@dataclass(frozen=True)
class Found:
    """A stack as CloudFormation describes it."""

    stack_id: str
    name: str
    region: str
    status: str
    reason: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    protected: bool = False

    @property
    def exists(self) -> bool:
        """Whether it has resources: a stack under review has none yet."""
        return self.status not in _EMPTY


def obstacle(found: Found | None) -> str:
    """Why a stack cannot be deployed as it is, with what to do; empty where it can. Pure."""
    if found is None or found.status in _READY | _EMPTY:
        return ""
    return f"the stack {found.name} in {found.region} is {found.status}"


def remedy(found: Found) -> str:
    """What a person can do about a stack in that state."""
    return _DO.get(found.status, _TIMEOUT).format(aws=aws_here(), name=found.name, region=found.region)


def require_ready(found: Found | None) -> None:
    """Refused where the stack is in a state that it cannot be deployed from."""
    why = obstacle(found)
    if why and found is not None:
        raise Refused(why, where=found.reason, do=remedy(found), code=Exit.STACK)


@dataclass(frozen=True)
class Failure:
    """The event that a failure began with."""

    stack: str
    resource: str
    kind: str
    reason: str

    @property
    def sentence(self) -> str:
        """On one line."""
        return f"{self.resource} ({self.kind}) in {self.stack}: {' '.join(self.reason.split())}"


@dataclass(frozen=True)
class Resource:
    """A resource of a stack."""

    stack_id: str
    logical_id: str
    physical_id: str
    kind: str
    status: str = ""


class Stacks:
    """The stacks of one environment. Asks AWS each time: nothing is remembered between two calls."""

    def __init__(self, aws: Aws, *, look_every: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        """`look_every` is how often, in seconds, a stack that is being changed is looked at."""
        self._aws = aws
        self._look_every = look_every
        self._clock = clock

    def client(self, region: str) -> Any:
        """CloudFormation in that Region."""
        return self._aws.client("cloudformation", region)

    def look(self, settings: StackSettings) -> Found | None:
        """The stack of these settings; None where there is none."""
        return self.describe(settings.stack_name, settings.region)

    def describe(self, name_or_id: str, region: str) -> Found | None:
        """The stack of that name or id; None where there is none."""
        with asking(f"describe the stack {name_or_id} in {region}"):
            try:
                answer = self.client(region).describe_stacks(StackName=name_or_id)
            except ClientError as error:
                if code_of(error) == "ValidationError" and "does not exist" in str(error):
                    return None
                raise
        stack = answer["Stacks"][0]
        return Found(
            stack_id=stack["StackId"],
            name=stack["StackName"],
            region=region,
            status=stack["StackStatus"],
            reason=stack.get("StackStatusReason", ""),
            outputs={output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])},
            parameters={one["ParameterKey"]: one.get("ParameterValue", "") for one in stack.get("Parameters", [])},
            protected=bool(stack.get("EnableTerminationProtection")),
        )

    def resources(self, found: Found, *, nested: bool = True) -> list[Resource]:
        """The resources of a stack, and of those nested in it."""
        with asking(f"list the resources of {found.name}"):
            pages = self.client(found.region).get_paginator("list_stack_resources").paginate(StackName=found.stack_id)
            here = [
                Resource(
                    found.stack_id,
                    one["LogicalResourceId"],
                    one.get("PhysicalResourceId", ""),
                    one["ResourceType"],
                    one["ResourceStatus"],
                )
                for page in pages
                for one in page["StackResourceSummaries"]
            ]
        below: list[Resource] = []
        for one in here if nested else []:
            child = self.describe(one.physical_id, found.region) if one.kind == NESTED and one.physical_id else None
            below += self.resources(child) if child else []
        return here + below

    def wait(self, found: Found, say: Callable[[str], None], seconds: float) -> Found | None:
        """Until nothing is on its way in a stack any more; None when it is gone. Refused when that takes too long."""
        deadline, heard = self._clock() + seconds, ""
        while True:
            now = self.describe(found.stack_id, found.region)
            if now is None or now.status == "DELETE_COMPLETE":
                return None
            if not now.status.endswith("_IN_PROGRESS"):
                return now
            if now.status != heard:
                heard = now.status
                say(f"{now.name}: {now.status}")
            if self._clock() > deadline:
                what = f"{now.name} in {now.region} is {now.status} after {seconds / 60:.0f} minutes"
                raise Refused(what, do=_TIMEOUT, code=Exit.STACK)
            time.sleep(self._look_every)

    def skipped(self, found: Found, since: float) -> list[Resource]:
        """What a deletion left standing because its template says Retain. `since` in epoch seconds."""
        return [
            Resource(
                event["StackId"],
                event["LogicalResourceId"],
                event.get("PhysicalResourceId", ""),
                event["ResourceType"],
                event["ResourceStatus"],
            )
            for event in self._events(found.stack_id, found.region, since)
            if event["ResourceStatus"] == "DELETE_SKIPPED" and event["ResourceType"] != NESTED
        ]

    def failures(self, found: Found, since: float) -> list[Failure]:
        """What a failed operation says for itself, first things first, nested stacks included; no cancellations."""
        listed: list[Failure] = []
        stack_ids, seen = [found.stack_id], {found.stack_id}
        for stack_id in stack_ids:
            for event in reversed(self._events(stack_id, found.region, since)):
                physical = event.get("PhysicalResourceId", "")
                if event["ResourceType"] == NESTED and physical and physical not in seen:
                    seen.add(physical)
                    stack_ids.append(physical)
                if event["ResourceStatus"].endswith("_FAILED") and _tells(event):
                    name = event["StackName"]
                    listed.append(Failure(name, event["LogicalResourceId"], event["ResourceType"], _reason(event)))
        # A nested stack's own failure only says that something in it failed.
        return [one for one in listed if one.kind != NESTED] or listed

    def _events(self, stack_id: str, region: str, since: float) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        with asking(f"read the events of {stack_id}"):
            pages = self.client(region).get_paginator("describe_stack_events").paginate(StackName=stack_id)
            for page in pages:
                events = [event for event in page["StackEvents"] if event["Timestamp"].timestamp() >= since]
                found += events
                if len(events) < len(page["StackEvents"]):
                    break
        return found


def _reason(event: Mapping[str, Any]) -> str:
    return str(event.get("ResourceStatusReason", ""))


def _tells(event: Mapping[str, Any]) -> bool:
    return "cancelled" not in _reason(event).lower() and event.get("PhysicalResourceId") != event["StackId"]


def changes_nothing(changes: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a change set would leave everything as it is. Pure.

    CloudFormation lists each nested stack in every change set of its parent, because it has not looked inside
    (`Automatic`), and with it whatever takes an output of that stack (`Dynamic`). Where nothing else changes, nothing
    can: the address of a nested template holds its digest, so that a new one is a change of the parent's own.
    """
    listed = list(changes)
    for change in listed:
        resource = change.get("ResourceChange", {})
        details = resource.get("Details", [])
        if resource.get("Action") != "Modify" or not details:
            return False
        if not all(_may_be_nothing(detail) for detail in details):
            return False
    # One that lists nothing is of what it does not list: outputs, tags.
    return bool(listed)


def _may_be_nothing(detail: Mapping[str, Any]) -> bool:
    source, entity = detail.get("ChangeSource"), str(detail.get("CausingEntity", ""))
    if source == "Automatic":
        return True
    # `Network.Outputs.VpcId` is an output of a nested stack.
    return detail.get("Evaluation") == "Dynamic" and source == "ResourceAttribute" and ".Outputs." in entity
