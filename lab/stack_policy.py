"""Stack policies: what an update of a stack may do to which of its resources, in CloudFormation's own words."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Self

from lab.errors import StackRefused

_STATEMENT = frozenset({"Effect", "Action", "NotAction", "Principal", "Resource", "NotResource", "Condition"})
_PREFIX = "LogicalResourceId/"


class Change(StrEnum):
    """What an update does to a resource."""

    MODIFY = "Update:Modify"
    REPLACE = "Update:Replace"
    DELETE = "Update:Delete"


@dataclass(frozen=True)
class StackPolicy:
    """A policy as SetStackPolicy takes it. With one, whatever it does not allow is denied."""

    statements: tuple[Mapping[str, Any], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """The policy of that JSON text; StackRefused where SetStackPolicy would not take it."""
        try:
            statements = [dict(statement) for statement in json.loads(text)["Statement"]]
        except (ValueError, TypeError, KeyError) as error:
            raise _refusal(f"it is no JSON object with a list Statement ({error})") from error
        for statement in statements:
            _check(statement)
        return cls(tuple(statements))

    def refusal(self, change: Change, logical_id: str, resource_type: str) -> str | None:
        """Why the policy forbids this change, as CloudFormation says it; None where it allows it."""
        matching = [
            (number, statement["Effect"])
            for number, statement in enumerate(self.statements, 1)
            if _matches(statement, change, logical_id, resource_type)
        ]
        denying = [number for number, effect in matching if effect == "Deny"]
        if denying:
            by = f"Statement [#{denying[0]}] does not allow [{change}] for resource [{_PREFIX}{logical_id}]"
            return f"Action denied by stack policy: {by}"
        if not matching:
            return f"Action not allowed by stack policy: no statement allows [{change}] for [{_PREFIX}{logical_id}]"
        return None


def _check(statement: Mapping[str, Any]) -> None:
    unknown = sorted(statement.keys() - _STATEMENT)
    if unknown:
        raise _refusal(f"there is no {unknown[0]} in a statement of a stack policy")
    if statement.get("Effect") not in {"Allow", "Deny"}:
        raise _refusal("Effect must be Allow or Deny")
    if statement.get("Principal") != "*":
        raise _refusal('Principal must be "*": a stack policy holds for everybody')
    for action in _either(statement, "Action"):
        if action not in {"Update:*", *Change}:
            raise _refusal(f"{action} is no action of a stack policy")
    for resource in _either(statement, "Resource"):
        if resource != "*" and not resource.startswith(_PREFIX):
            raise _refusal(f'a resource is "*" or {_PREFIX}<logical id>, not {resource}')
    conditions = statement.get("Condition", {})
    if conditions.keys() - {"StringEquals", "StringLike"} or any(
        key.keys() != {"ResourceType"} for key in conditions.values()
    ):
        raise _refusal("a condition is StringEquals or StringLike of ResourceType")


def _either(statement: Mapping[str, Any], key: str) -> list[str]:
    """What a statement says of `key` or of its opposite; StackRefused where it says both or neither."""
    given = [name for name in (key, f"Not{key}") if name in statement]
    if len(given) != 1:
        raise _refusal(f"a statement has either {key} or Not{key}")
    return _listed(statement[given[0]])


def _matches(statement: Mapping[str, Any], change: Change, logical_id: str, resource_type: str) -> bool:
    return (
        _among(statement, "Action", change)
        and _among(statement, "Resource", f"{_PREFIX}{logical_id}")
        and all(_holds(*condition, resource_type) for condition in _conditions(statement))
    )


def _among(statement: Mapping[str, Any], key: str, value: str) -> bool:
    if key in statement:
        return any(fnmatchcase(value, pattern) for pattern in _listed(statement[key]))
    return not any(fnmatchcase(value, pattern) for pattern in _listed(statement[f"Not{key}"]))


def _conditions(statement: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    for operator, keys in statement.get("Condition", {}).items():
        yield operator, _listed(keys["ResourceType"])


def _holds(operator: str, wanted: list[str], resource_type: str) -> bool:
    if operator == "StringEquals":
        return resource_type in wanted
    return any(fnmatchcase(resource_type, pattern) for pattern in wanted)


def _listed(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _refusal(what: str) -> StackRefused:
    return StackRefused(f"SetStackPolicy: {what}", where="the stack policy", do="correct it")
