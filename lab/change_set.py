"""Change sets: what an update would change, told as CloudFormation tells it, without looking inside nested stacks.

It goes by what is written: a resource whose text differs, or that refers to a parameter whose value differs, is
changed. CloudFormation lists every nested stack of an update, changed or not (`Automatic`), and with it what takes an
output of one (`Dynamic`), because it does not know before it has looked inside. What the lab does not tell is
Replacement.
"""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.expression import as_text, references
from lab.resources.registry import NESTED_STACK
from lab.template import Template, load

NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."


@dataclass
class ChangeSet:
    """A change set that was asked for."""

    id: str
    name: str
    kind: str
    """CREATE or UPDATE."""
    text: str
    path: Path
    parameters: dict[str, str]
    changes: list[dict[str, Any]]
    status: str = "CREATE_COMPLETE"
    execution: str = "AVAILABLE"
    reason: str | None = None
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    @staticmethod
    def new_id(region: str, account: str, name: str) -> str:
        """An ARN of its own."""
        return f"arn:aws:cloudformation:{region}:{account}:changeSet/{name}/{secrets.token_hex(16)}"


def additions(template: Template) -> list[dict[str, Any]]:
    """What creating the stack would add."""
    return [_change("Add", name, resource["Type"], []) for name, resource in template.resources.items()]


def changes(
    before: Template, after: Template, values_before: Mapping[str, Any], values_after: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """What updating it would change; the values are those that parameters are given."""
    altered = _altered(before, after, values_before, values_after)
    found = [
        _change("Remove", name, resource["Type"], [])
        for name, resource in before.resources.items()
        if name not in after.resources
    ]
    for name, resource in after.resources.items():
        if name not in before.resources:
            found.append(_change("Add", name, resource["Type"], []))
        elif details := list(_details(before, after, name, altered)):
            found.append(_change("Modify", name, resource["Type"], details))
    return found


def is_empty(before: Template, after: Template, found: list[dict[str, Any]]) -> bool:
    """Whether there is nothing to do at all: no change, and no other output."""
    return not found and before.body.get("Outputs") == after.body.get("Outputs")


def _altered(
    before: Template, after: Template, values_before: Mapping[str, Any], values_after: Mapping[str, Any]
) -> frozenset[str]:
    """Parameters whose value differs, and conditions that depend on one, or are written differently."""

    def value(template: Template, values: Mapping[str, Any], name: str) -> str | None:
        declared = (template.body.get("Parameters") or {}).get(name)
        return None if declared is None else as_text(values.get(name, declared.get("Default", "")))

    names = {*(before.body.get("Parameters") or {}), *(after.body.get("Parameters") or {})}
    altered = {name for name in names if value(before, values_before, name) != value(after, values_after, name)}
    old, new = before.body.get("Conditions") or {}, after.body.get("Conditions") or {}
    while True:
        more = {name for name in new if old.get(name) != new[name] or altered & set(_names(new[name]))} - altered
        if not more:
            return frozenset(altered)
        altered |= more


def _details(before: Template, after: Template, name: str, altered: frozenset[str]) -> Iterator[dict[str, Any]]:
    old, new = before.resources[name], after.resources[name]
    shared = before.body.get("Globals") != after.body.get("Globals") and new["Type"].startswith("AWS::Serverless::")
    if old != new or shared or before.body.get("Mappings") != after.body.get("Mappings"):
        yield {"ChangeSource": "DirectModification", "Evaluation": "Static"}
    for named in sorted(altered & set(_names([new, after.body.get("Globals", {})] if shared else new))):
        yield {"ChangeSource": "ParameterReference", "Evaluation": "Static", "CausingEntity": named}
    if new["Type"] == NESTED_STACK:
        yield {"ChangeSource": "Automatic", "Evaluation": "Dynamic"}
    for resource, attribute in references(new.get("Properties") or {}, name):
        if attribute and after.resources.get(resource, {}).get("Type") == NESTED_STACK:
            entity = f"{resource}.{attribute}"
            yield {"ChangeSource": "ResourceAttribute", "Evaluation": "Dynamic", "CausingEntity": entity}


def _names(node: Any) -> Iterator[str]:
    """Each parameter, resource and condition that `node` names."""
    if isinstance(node, list):
        for item in node:
            yield from _names(item)
    if not isinstance(node, dict):
        return
    yield from (name for name, _ in references(node, "a change set"))
    if isinstance(node.get("Condition"), str):
        yield node["Condition"]
    match node.get("Fn::If"):
        case [str() as name, *_]:
            yield name
    for item in node.values():
        yield from _names(item)


def _change(action: str, name: str, kind: str, details: list[dict[str, Any]]) -> dict[str, Any]:
    told = [{"Target": {"Attribute": "Properties"}, **detail} for detail in details]
    resource = {"Action": action, "LogicalResourceId": name, "ResourceType": kind, "Details": told}
    return {"Type": "Resource", "ResourceChange": resource}


def read(path: Path) -> Template:
    """The template that a change set was made from."""
    return load(path)
