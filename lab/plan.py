"""What a template asks for, checked before anything is made: known types, properties and names, in which order."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from lab.errors import StackRefused
from lab.expression import conditions, intrinsic, references
from lab.resources.kind import Kind
from lab.resources.registry import KINDS, NESTED_STACK
from lab.template import Template

PSEUDO_PARAMETERS = frozenset(
    [
        "AWS::AccountId",
        "AWS::NoValue",
        "AWS::NotificationARNs",
        "AWS::Partition",
        "AWS::Region",
        "AWS::StackId",
        "AWS::StackName",
        "AWS::URLSuffix",
    ]
)
_SECTIONS = frozenset(
    [
        "AWSTemplateFormatVersion",
        "Conditions",
        "Description",
        "Mappings",
        "Metadata",
        "Outputs",
        "Parameters",
        "Resources",
        "Rules",
    ]
)
_RESOURCE_KEYS = frozenset(
    [
        "Condition",
        "DeletionPolicy",
        "DependsOn",
        "Metadata",
        "Properties",
        "Type",
        # No instance is replaced by a rolling update here: what exists stays on its launch template's version.
        "UpdatePolicy",
        "UpdateReplacePolicy",
    ]
)
_NESTED_PROPERTIES = frozenset({"TemplateURL", "Parameters", "Tags", "TimeoutInMinutes"})


@dataclass(frozen=True)
class Plan:
    """A transformed template and the nested templates it needs, by the logical id of their stack."""

    template: Template
    nested: Mapping[str, "Plan"]

    def where(self, logical_id: str) -> str:
        """`template.yaml:12 Network AWS::EC2::VPC`, for messages."""
        return f"{self.template.where(logical_id)} {logical_id} {self.template.resources[logical_id]['Type']}"

    def kind(self, logical_id: str) -> Kind:
        """What the lab makes of that resource; not for a nested stack."""
        return KINDS[self.template.resources[logical_id]["Type"]]

    def check(self) -> None:
        """StackRefused with the first thing that the lab neither does nor knows to be harmless."""
        body = self.template.body
        for section in body:
            if section not in _SECTIONS:
                raise StackRefused(f"the lab does not know the section {section}", where=self._file, do="remove it")
        for logical_id in self.template.resources:
            if logical_id in (body.get("Parameters") or {}):
                where = self.where(logical_id)
                raise StackRefused(f"{logical_id} is a parameter and a resource", where=where, do="rename one")
            self._check_resource(logical_id)
        for name, condition in (body.get("Conditions") or {}).items():
            self._check_references(condition, f"{self.template.where(name)} Conditions.{name}", resources=False)
        for name, output in (body.get("Outputs") or {}).items():
            where = f"{self.template.where(name)} Outputs.{name}"
            if "Export" in output:
                do = "pass the value as a parameter"
                raise StackRefused("an export ties other stacks to this one", where=where, do=do)
            self._check_conditions([output["Condition"]] if "Condition" in output else [], where)
            self._check_references(output, where)

    def order(self, holds: Callable[[str], bool]) -> list[str]:
        """The resources whose condition holds, each after those that it refers to."""
        present = [
            name
            for name, resource in self.template.resources.items()
            if "Condition" not in resource or holds(resource["Condition"])
        ]
        graph = {name: self._needs(name, holds) & set(present) for name in present}
        try:
            return list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            loop = " -> ".join(error.args[1])
            raise StackRefused(f"these need each other: {loop}", where=self._file, do="break the circle") from error

    @property
    def _file(self) -> str:
        return self.template.path.name

    def _needs(self, logical_id: str, holds: Callable[[str], bool]) -> set[str]:
        resource = self.template.resources[logical_id]
        named = references(resource.get("Properties") or {}, self.where(logical_id), holds)
        return {name for name, _ in named} | set(_as_list(resource.get("DependsOn")))

    def _check_resource(self, logical_id: str) -> None:
        resource, where = self.template.resources[logical_id], self.where(logical_id)
        for key in resource:
            if key not in _RESOURCE_KEYS:
                raise StackRefused(f"the lab does not know {key} of a resource", where=where, do="remove it")
        properties = resource.get("Properties") or {}
        if resource["Type"] != NESTED_STACK and resource["Type"] not in KINDS:
            do = "use a type that it makes, or add a kind to lab/resources"
            raise StackRefused("the lab does not know this type of resource", where=where, do=do)
        self._check_properties(logical_id, properties)
        for name, value in properties.items():
            self._check_references(value, f"{where}.{name}")
        for name in _as_list(resource.get("DependsOn")):
            if name not in self.template.resources:
                raise StackRefused(f"DependsOn names {name}, which is no resource", where=where, do="correct the name")
        self._check_conditions([resource["Condition"]] if "Condition" in resource else [], where)

    def _check_properties(self, logical_id: str, properties: Mapping[str, Any]) -> None:
        where = self.where(logical_id)
        if intrinsic(properties, where):
            raise StackRefused("Properties as a whole cannot be an intrinsic", where=where, do="write them out")
        if logical_id in self.nested:
            self._check_nested(logical_id, properties)
            return
        kind = self.kind(logical_id)
        for name in properties:
            if name not in kind.properties and name not in kind.harmless:
                do = "remove it, implement it in lab/resources, or list it there as harmless with the reason"
                raise StackRefused("the lab does not know this property", where=f"{where}.{name}", do=do)
        if kind.check:
            kind.check(self.template, logical_id, where, dict(properties))

    def _check_nested(self, logical_id: str, properties: Mapping[str, Any]) -> None:
        where, plan = self.where(logical_id), self.nested[logical_id]
        _refuse_unknown(properties, _NESTED_PROPERTIES, where, "property", "remove it")
        given = properties.get("Parameters", {})
        declared = plan.template.body.get("Parameters") or {}
        _refuse_unknown(given, declared, where, f"parameter of {plan.template.path.name}", "leave it out")
        for name, parameter in declared.items():
            if name not in given and "Default" not in parameter:
                problem = f"{plan.template.path.name} needs the parameter {name}"
                raise StackRefused(problem, where=where, do="give it a value")
        plan.check()

    def _check_conditions(self, names: Iterable[str], where: str) -> None:
        for name in names:
            if name not in (self.template.body.get("Conditions") or {}):
                do = "define it under Conditions"
                raise StackRefused(f"there is no condition {name}", where=where, do=do)

    def _check_references(self, node: Any, where: str, *, resources: bool = True) -> None:
        self._check_conditions(conditions(node, where), where)
        known = PSEUDO_PARAMETERS | (self.template.body.get("Parameters") or {}).keys()
        for name, attribute in references(node, where):
            if attribute is None and name in known:
                continue
            if not resources or name not in self.template.resources:
                raise StackRefused(f"{name} is not defined in this template", where=where, do="correct the name")
            if attribute is not None and not self._has_attribute(name, attribute):
                do = "ask for one that the lab knows"
                raise StackRefused(f"GetAtt {name}.{attribute}: there is no such attribute", where=where, do=do)

    def _has_attribute(self, logical_id: str, attribute: str) -> bool:
        if logical_id in self.nested:
            outputs = self.nested[logical_id].template.body.get("Outputs") or {}
            return attribute.removeprefix("Outputs.") in outputs and attribute.startswith("Outputs.")
        kind = KINDS.get(self.template.resources[logical_id]["Type"])
        return kind is None or attribute in kind.attributes


def _refuse_unknown(given: Iterable[str], known: Iterable[str], where: str, what: str, do: str) -> None:
    for name in given:
        if name not in set(known):
            raise StackRefused(f"there is no {what} {name}", where=where, do=do)


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
