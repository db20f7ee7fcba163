"""What an environment consists of once it is deployed: each resource of its five stacks and of those nested in them.

Read from the templates themselves: SAM transformed, conditions and values evaluated with the environment's parameters.
What only AWS knows (an ARN, an id) is a text that names where it comes from.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lab.expression import Expression, Scope, as_text
from lab.template import Template, load, transform
from relight_cli.phases import UNKNOWN, phases, values
from relight_cli.samconfig import Environment, Slot

NESTED = "AWS::CloudFormation::Stack"
ZONES = ("a", "b", "c")
_LISTS = ("CommaDelimitedList", "List<", "AWS::SSM::Parameter::Value<List<")


@dataclass(frozen=True)
class Resource:
    """One resource of one stack."""

    slot: Slot
    stack: str
    """The template that it stands in: `template`, `watch`, ..."""
    region: str
    name: str
    kind: str
    where: str
    _properties: Mapping[str, Any] = field(repr=False)
    _expression: Expression = field(repr=False)

    def value(self, name: str, default: Any = None) -> Any:
        """One property, evaluated; `default` where it is not given."""
        if name not in self._properties:
            return default
        return self._expression.value({"": self._properties[name]}).get("", default)


def resources(environment: Environment) -> list[Resource]:
    """Everything that the environment deploys, in its last state: each Region knows the other one."""
    last = {phase.slot: phase for phase in phases(peer_exists=True)}
    found: list[Resource] = []
    for slot, settings in environment.stacks.items():
        declared = load(settings.template).body.get("Parameters") or {}
        given = values(last[slot], environment, declared, {}, None)
        known = {name: UNKNOWN if value.value is None else value.value for name, value in given.items()}
        found += _Stack(slot, settings.template, settings.region, known, environment.account).resources()
    return found


@dataclass(frozen=True)
class _Stack:
    slot: Slot
    path: Path
    region: str
    given: Mapping[str, Any]
    account: str

    def resources(self) -> Iterator[Resource]:
        """Those whose condition holds, and those of nested stacks after the stack that nests them."""
        for name, resource in self.template.resources.items():
            where = self.template.where(name)
            if "Condition" in resource and not self.expression(where).condition(resource["Condition"]):
                continue
            yield Resource(
                slot=self.slot,
                stack=self.path.stem,
                region=self.region,
                name=name,
                kind=resource["Type"],
                where=where,
                _properties=resource.get("Properties") or {},
                _expression=self.expression(where),
            )
            if resource["Type"] == NESTED:
                yield from self.nested(name).resources()

    @cached_property
    def template(self) -> Template:
        return transform(load(self.path), self.region, {name: as_text(value) for name, value in self.given.items()})

    def expression(self, where: str) -> Expression:
        return Expression(self.scope, where)

    @cached_property
    def scope(self) -> Scope:
        return Scope(
            parameters=self.parameters | self.pseudo_parameters,
            mappings=self.template.body.get("Mappings") or {},
            conditions=self.template.body.get("Conditions") or {},
            ref=self.ref,
            attribute=self.attribute,
            zones=lambda region: [f"{region}{zone}" for zone in ZONES],
        )

    @property
    def pseudo_parameters(self) -> dict[str, Any]:
        return {
            "AWS::AccountId": self.account,
            "AWS::Partition": "aws",
            "AWS::Region": self.region,
            "AWS::StackName": self.path.stem,
            "AWS::StackId": self.path.stem,
            "AWS::URLSuffix": "amazonaws.com",
        }

    @property
    def parameters(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, declared in (self.template.body.get("Parameters") or {}).items():
            value = self.given.get(name, declared.get("Default", UNKNOWN))
            if declared["Type"].startswith(_LISTS) and not isinstance(value, list):
                value = [item.strip() for item in as_text(value).split(",")] if value != "" else []
            found[name] = value if isinstance(value, list) else as_text(value)
        return found

    def ref(self, name: str) -> str:
        if name not in self.template.resources:
            raise KeyError(name)
        return name

    def attribute(self, name: str, attribute: str) -> Any:
        if self.template.resources[name]["Type"] != NESTED:
            return f"{name}.{attribute}"
        return self.nested(name).output(attribute.removeprefix("Outputs."))

    def nested(self, name: str) -> "_Stack":
        if name not in self._children:
            properties = self.template.resources[name]["Properties"]
            given = self.expression(self.template.where(name)).value(properties.get("Parameters") or {})
            path = self.path.parent / properties["TemplateURL"]
            # A list arrives in a nested stack as CloudFormation passes it on: joined.
            flat = {
                key: ",".join(map(as_text, item)) if isinstance(item, list) else item for key, item in given.items()
            }
            self._children[name] = _Stack(self.slot, path, self.region, flat, self.account)
        return self._children[name]

    @cached_property
    def _children(self) -> "dict[str, _Stack]":
        return {}

    def output(self, name: str) -> Any:
        outputs = self.template.body.get("Outputs") or {}
        return self.expression(f"{self.path.name} Outputs.{name}").value(outputs[name]["Value"])
