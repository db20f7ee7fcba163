"""The project's templates as the tests read them: SAM transformed, and values as one Region has them."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lab.template import Template, load, transform

ROOT = Path(__file__).parents[2]
REGIONS = {"primary": "eu-west-1", "dr": "eu-central-1"}
STACKS = sorted(path.stem for path in (ROOT / "stacks").glob("*.yaml"))


@cache
def written(name: str = "template") -> Template:
    """`template.yaml` or a template of stacks/, before any transform."""
    return load(ROOT / "template.yaml" if name == "template" else ROOT / "stacks" / f"{name}.yaml")


@cache
def deployed(role: str) -> Template:
    """template.yaml as CloudFormation gets it for the Region of that role."""
    peer = REGIONS["dr" if role == "primary" else "primary"]
    return transform(written(), REGIONS[role], {"Role": role, "PeerRegion": peer})


def of_type(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    """The properties of each resource of that type, by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in template.resources.items()
        if resource["Type"] == kind
    }


def in_role(value: Any, role: str) -> Any:
    """`value` with what its conditions on the role come to."""
    match value:
        case {"Fn::If": ["IsDr" | "IsPrimary" as condition, yes, no]}:
            return in_role(yes if (condition == "IsDr") == (role == "dr") else no, role)
        case dict():
            return {key: in_role(item, role) for key, item in value.items()}
        case list():
            return [in_role(item, role) for item in value]
        case _:
            return value


def statements(properties: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The statements of an IAM role's own policies."""
    for policy in properties.get("Policies", []):
        yield from policy["PolicyDocument"]["Statement"]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def text(value: Any) -> str:
    """A reference as it was written: the text of Fn::Sub, `Name.Attribute` or the name of a Ref."""
    match value:
        case {"Fn::Sub": [str(template), *_]} | {"Fn::Sub": str(template)}:
            return template
        case {"Fn::GetAtt": [name, attribute]}:
            return f"{name}.{attribute}"
        case {"Ref": name}:
            return str(name)
        case _:
            return str(value)


def mentions(value: Any, wanted: str) -> bool:
    """Whether a Ref, GetAtt or Sub anywhere in `value` names `wanted`."""
    match value:
        case {"Ref": name}:
            return bool(name == wanted)
        case {"Fn::GetAtt": [name, *_]}:
            return bool(name == wanted)
        case dict():
            return any(mentions(item, wanted) for item in value.values())
        case list():
            return any(mentions(item, wanted) for item in value)
        case str():
            return f"${{{wanted}}}" in value or f"${{{wanted}." in value
        case _:
            return False
