"""Bringing one stack, and those nested in it, to what its template says."""

import secrets
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import ClientError, ParamValidationError

from lab import dynamic_reference, parameter
from lab.errors import StackRefused
from lab.expression import Expression, Scope, as_text, references
from lab.plan import Plan
from lab.resources.kind import Kind, Made, Place, Properties, Request
from lab.resources.registry import NESTED_STACK
from lab.stack_policy import Change, StackPolicy

ACCOUNT = "123456789012"


class Surroundings(Protocol):
    """What a deployment asks of the world beside API calls on its own resources."""

    def place(self, stack: "Stack", artefacts: Mapping[str, Path]) -> Place: ...

    def stored(self, name: str, region: str) -> str | None:
        """The value of an SSM parameter; None when there is none."""

    def zones(self, region: str) -> list[str]:
        """Names of a Region's Availability Zones."""


@dataclass
class Record:
    """A resource of a stack as it was last made."""

    where: str
    properties: Properties
    """Evaluated, with dynamic references as they were written."""
    made: Made
    kind: Kind | None
    """None for a nested stack."""
    nested: "Stack | None" = None
    retained: bool = False
    settled: bool = True
    deleted: bool = False
    """A deletion of the stack that failed on another resource has deleted this one."""


@dataclass
class Stack:
    """A stack that exists."""

    name: str
    region: str
    template_path: Path
    parameters: dict[str, Any]
    """As they were given."""
    stack_id: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict, repr=False)
    """By logical id, in the order in which they were made."""
    policy: StackPolicy | None = field(default=None, repr=False)
    """What updates of this stack may do; a nested stack has one of its own."""
    tags: dict[str, str] = field(default_factory=dict)
    """Given to each of its resources that takes tags; not to those of a nested stack."""

    def __post_init__(self) -> None:
        if not self.stack_id:
            suffix = f"{secrets.token_hex(4)}-{secrets.token_hex(2)}-4000-8000-{secrets.token_hex(6)}"
            self.stack_id = f"arn:aws:cloudformation:{self.region}:{ACCOUNT}:stack/{self.name}/{suffix}"

    @property
    def resources(self) -> dict[str, str]:
        """Physical id of each resource by its logical id."""
        return {name: record.made.physical_id for name, record in self.records.items()}

    def nested(self, logical_id: str) -> "Stack":
        """The stack inside this one. KeyError when there is none of that name."""
        stack = self.records[logical_id].nested
        if stack is None:
            raise KeyError(logical_id)
        return stack


class Deployment:
    """One creation or update. `check` makes nothing; `run` makes it so, or deletes again what it has made."""

    def __init__(self, surroundings: Surroundings, stack: Stack, plan: Plan) -> None:
        self._surroundings = surroundings
        self._stack = stack
        self._plan = plan
        self._before = dict(stack.records)
        self._created: list[Record] = []
        self._obsolete: list[Record] = []
        self._place = surroundings.place(stack, plan.template.artefacts)
        self._scope = Scope(
            parameters=self._pseudo_parameters() | self._parameters(),
            mappings=plan.template.body.get("Mappings") or {},
            conditions=plan.template.body.get("Conditions") or {},
            ref=self._ref,
            attribute=self._attribute,
            zones=surroundings.zones,
        )

    def check(self) -> None:
        """StackRefused for whatever can be known to be wrong before anything is made."""
        parameter.check_rules(self._plan.template, self._expression)
        for name in self._scope.conditions:
            self._expression(f"{self._plan.template.where(name)} Conditions.{name}").condition(name)
        for name in self._order():
            if name in self._plan.nested:
                self._check_nested(name)
        for name in self._gone():
            self._allow(Change.DELETE, name, self._before[name])

    def run(self) -> None:
        """Make, change and delete until the stack is what its plan says."""
        try:
            for name in self._order():
                self._ensure(name)
            for name in list(self._stack.records):
                self._settle(name)
            self._stack.outputs = self._outputs()
        except Exception as error:
            left = self._roll_back()
            if left and isinstance(error, StackRefused):
                what = f"{error.what}; beside that, {', '.join(left)} could not be deleted again"
                raise StackRefused(what, where=error.where, do=error.do) from error
            raise
        self._obsolete += [self._stack.records.pop(name) for name in self._gone()]
        problems = delete(self._surroundings, self._stack, reversed(self._obsolete))
        if problems:
            raise problems[0]

    def _parameters(self) -> dict[str, Any]:
        def stored(name: str) -> str | None:
            return self._surroundings.stored(name, self._stack.region)

        return parameter.resolve(self._plan.template, self._stack.parameters, stored)

    def _pseudo_parameters(self) -> dict[str, Any]:
        return {
            "AWS::AccountId": ACCOUNT,
            "AWS::NotificationARNs": [],
            "AWS::Partition": "aws",
            "AWS::Region": self._stack.region,
            "AWS::StackId": self._stack.stack_id,
            "AWS::StackName": self._stack.name,
            "AWS::URLSuffix": "amazonaws.com",
        }

    def _expression(self, where: str) -> Expression:
        return Expression(self._scope, where)

    def _order(self) -> list[str]:
        return self._plan.order(self._expression(self._plan.template.path.name).condition)

    def _gone(self) -> list[str]:
        """What the stack still has and the template has no more."""
        wanted = set(self._order())
        return [name for name in self._stack.records if name not in wanted]

    def _allow(self, change: Change, name: str, record: Record) -> None:
        """StackRefused where the stack's policy forbids to change that resource so."""
        of_type = NESTED_STACK if record.kind is None else record.kind.type
        refusal = self._stack.policy and self._stack.policy.refusal(change, name, of_type)
        if refusal:
            raise StackRefused(refusal, where=record.where, do="leave it as it is, or change the policy knowingly")

    def _check_nested(self, name: str) -> None:
        """Check those parameters of a nested stack that depend on no resource."""
        where = self._plan.where(name)
        given = (self._plan.template.resources[name].get("Properties") or {}).get("Parameters", {})
        holds = self._expression(where).condition
        resources = self._plan.template.resources
        known = {
            key: self._expression(f"{where}.{key}").value(value)
            for key, value in given.items()
            if not any(found in resources for found, _ in references(value, where, holds))
        }
        template = self._plan.nested[name].template
        parameter.check(template, known, lambda key: self._surroundings.stored(key, self._stack.region))

    def _evaluated(self, name: str) -> Properties:
        where = self._plan.where(name)
        properties = self._plan.template.resources[name].get("Properties") or {}
        known = self._plan.kind(name).properties if name not in self._plan.nested else frozenset(properties)
        evaluated = {
            key: value
            for key, value in (
                (key, self._expression(f"{where}.{key}").value({"": node}).get(""))
                for key, node in properties.items()
                if key in known
            )
            if value is not None
        }
        if self._stack.tags and "Tags" in known and name not in self._plan.nested:
            evaluated["Tags"] = _tagged(evaluated.get("Tags", []), self._stack.tags)
        return evaluated

    def _ensure(self, name: str) -> None:
        properties = self._evaluated(name)
        if name in self._plan.nested:
            self._ensure_nested(name, properties)
            return
        before, kind = self._before.get(name), self._plan.kind(name)
        if before is None:
            self._create(name, kind, properties)
            return
        if before.kind is not kind:
            self._replace(name, kind, properties, before, frozenset({"Type"}))
            return
        changed = frozenset(
            key for key in before.properties.keys() | properties if before.properties.get(key) != properties.get(key)
        )
        if not changed:
            return
        replacing = kind.replacing(before.properties, properties)
        if replacing or kind.update is None:
            self._replace(name, kind, properties, before, replacing)
            return
        self._allow(Change.MODIFY, name, before)
        where = self._plan.where(name)
        request = replace(self._request(name, where, properties), before=before.properties)
        with reporting(where):
            made = kind.update(request, before.made, changed)
        before.made, before.properties, before.where, before.settled = made, properties, where, False

    def _replace(
        self, name: str, kind: Kind, properties: Properties, before: Record, replacing: frozenset[str]
    ) -> None:
        """Make another one in its place; the old one is deleted at the end."""
        self._allow(Change.REPLACE, name, before)
        if before.kind is not None and before.kind.holds_data:
            problem = f"a change of {', '.join(sorted(replacing))} would replace it and its data"
            where = self._plan.where(name)
            raise StackRefused(problem, where=where, do="give the new one another logical id, or leave it as it is")
        before.retained = self._plan.template.resources[name].get("UpdateReplacePolicy") == "Retain"
        self._obsolete.append(before)
        self._create(name, kind, properties)

    def _request(self, name: str, where: str, properties: Properties) -> Request:
        resolved = dynamic_reference.resolve(properties, self._place.client, where)
        policy = self._plan.template.resources[name].get("UpdatePolicy") or {}
        return Request(self._place, name, where, resolved, update_policy=policy)

    def _create(self, name: str, kind: Kind, properties: Properties) -> None:
        where = self._plan.where(name)
        request = self._request(name, where, properties)
        with reporting(where):
            made = kind.create(request)
        self._remember(name, Record(where, properties, made, kind, settled=False))

    def _remember(self, name: str, record: Record) -> None:
        record.retained = self._plan.template.resources[name].get("DeletionPolicy") == "Retain"
        # At the end, also when it takes the place of another: deletion goes by the order in which things were made.
        self._stack.records.pop(name, None)
        self._stack.records[name] = record
        self._created.append(record)

    def _ensure_nested(self, name: str, properties: Properties) -> None:
        plan, before = self._plan.nested[name], self._before.get(name)
        given = dict(properties.get("Parameters", {}))
        if before is not None and before.nested is not None:
            if before.properties != properties:
                self._allow(Change.MODIFY, name, before)
            child = before.nested
            child.parameters, child.template_path = given, plan.template.path
        else:
            child_name = f"{self._stack.name}-{name}-{secrets.token_hex(6)}".upper()
            child = Stack(child_name, self._stack.region, plan.template.path, given)
        deployment = Deployment(self._surroundings, child, plan)
        deployment.check()
        deployment.run()
        if before is None or before.nested is None:
            self._remember(name, Record(self._plan.where(name), properties, Made(child.stack_id), None, nested=child))
        else:
            before.properties = properties

    def _ref(self, name: str) -> str:
        self._settle(name)
        return self._stack.records[name].made.physical_id

    def _attribute(self, name: str, attribute: str) -> Any:
        self._settle(name)
        record = self._stack.records[name]
        if record.nested is not None:
            return record.nested.outputs[attribute.removeprefix("Outputs.")]
        return record.made.attributes[attribute]

    def _settle(self, name: str) -> None:
        """Wait until a resource can be used. KeyError when the stack does not have it."""
        record = self._stack.records[name]
        if record.settled:
            return
        if record.kind is not None and record.kind.settle is not None:
            request = Request(self._place, name, record.where, record.properties)
            with reporting(record.where):
                record.made = record.kind.settle(request, record.made)
        record.settled = True

    def _outputs(self) -> dict[str, str]:
        outputs: dict[str, str] = {}
        for name, output in (self._plan.template.body.get("Outputs") or {}).items():
            expression = self._expression(f"{self._plan.template.where(name)} Outputs.{name}")
            if "Condition" in output and not expression.condition(output["Condition"]):
                continue
            value = expression.value(output["Value"])
            if isinstance(value, list | dict):
                raise expression.refusal("an output is text, this is a list", "use Fn::Join")
            outputs[name] = as_text(value)
        return outputs

    def _roll_back(self) -> list[str]:
        """Delete what was created; logical ids of what could not be."""
        names = {id(record): name for name, record in self._stack.records.items()}
        left = []
        for record in reversed(self._created):
            record.retained = False
            name = names.get(id(record), record.made.physical_id)
            if delete(self._surroundings, self._stack, [record]):
                left.append(name)
            self._stack.records.pop(name, None)
        # What would have been replaced is still there.
        for name, record in self._before.items():
            self._stack.records.setdefault(name, record)
        return left


def _tagged(own: Any, tags: Mapping[str, str]) -> Any:
    """A resource's own tags, and those of its stack that it does not have; an Auto Scaling group passes them on."""
    if isinstance(own, Mapping):
        return {**tags, **own}
    there = {tag["Key"] for tag in own}
    passed_on = {"PropagateAtLaunch": True} if any("PropagateAtLaunch" in tag for tag in own) else {}
    return [*own, *({"Key": key, "Value": value} | passed_on for key, value in tags.items() if key not in there)]


def delete(surroundings: Surroundings, stack: Stack, records: Iterable[Record]) -> list[StackRefused]:
    """Delete resources in this order, but for retained ones; each that cannot be deleted is reported."""
    problems: list[StackRefused] = []
    present = {record.made.physical_id for record in stack.records.values()}
    place = surroundings.place(stack, {})
    for record in records:
        superseded = record.made.physical_id in present and record not in stack.records.values()
        if record.retained or superseded or record.deleted:
            continue
        before = len(problems)
        if record.nested is not None:
            problems += delete(surroundings, record.nested, reversed(record.nested.records.values()))
        elif record.kind is not None:
            try:
                with reporting(record.where):
                    record.kind.delete(Request(place, "", record.where, record.properties), record.made)
            except StackRefused as error:
                problems.append(error)
        record.deleted = len(problems) == before
    return problems


@contextmanager
def reporting(where: str) -> Generator[None]:
    """What an API answers to bad input, as a refusal of one line."""
    try:
        yield
    except ClientError as error:
        answer = error.response["Error"]
        said = f"{answer['Code']}: {answer['Message']}"
        if error.response["ResponseMetadata"]["HTTPStatusCode"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
            said = "moto failed, or does not know this call; its traceback is in the log"
        raise StackRefused(f"{error.operation_name}: {said}", where=where) from error
    except ParamValidationError as error:
        problem = str(error).split("\n", 1)[-1].split(", must be one of")[0]
        raise StackRefused(problem, where=where, do="correct the property") from error
    except KeyError as error:
        raise StackRefused(f"the property {error} is missing", where=where, do="add it") from error
