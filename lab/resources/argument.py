"""Property values as arguments of API calls.

They are fitted to botocore's model of the call, as CloudFormation does: "30" becomes 30 where a number is due, a
policy document becomes JSON text, one value becomes a list of one, and `RoleArn` finds the argument `roleArn`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape


def tag_argument(form: str, tags: Sequence[Mapping[str, str]] | Mapping[str, str]) -> dict[str, Any]:
    """CloudFormation's tags as an argument of a call: `list`, `map`, `lower` or `ec2:<resource type>`."""
    pairs = list(tags.items()) if isinstance(tags, Mapping) else [(tag["Key"], tag["Value"]) for tag in tags]
    listed = [{"Key": key, "Value": value} for key, value in pairs]
    if form == "map":
        return {"Tags": dict(pairs)}
    if form == "lower":
        return {"tags": [{"key": key, "value": value} for key, value in pairs]}
    if form.startswith("ec2:") and not listed:
        return {}
    if form.startswith("ec2:"):
        return {"TagSpecifications": [{"ResourceType": form.removeprefix("ec2:"), "Tags": listed}]}
    return {"Tags": listed}


def fit(shape: Shape, value: Any) -> Any:
    """`value` in the types that botocore expects; what does not fit is left for botocore to refuse."""
    match shape:
        case StructureShape() if isinstance(value, dict):
            members = {name.lower(): name for name in shape.members}
            named = {name if name in shape.members else members.get(name.lower(), name): name for name in value}
            return {
                member: fit(shape.members[member], value[name]) if member in shape.members else value[name]
                for member, name in named.items()
            }
        case ListShape():
            return [fit(shape.member, item) for item in (value if isinstance(value, list) else [value])]
        case MapShape() if isinstance(value, dict):
            return {key: fit(shape.value, item) for key, item in value.items()}
    return _fit_scalar(shape.type_name, value)


def _fit_scalar(type_name: str, value: Any) -> Any:
    try:
        fitted = _FITTERS[type_name, type(value)](value)
    except (KeyError, ValueError):
        return value
    return fitted


_FITTERS: Mapping[tuple[str, type], Callable[[Any], Any]] = {
    ("boolean", str): {"true": True, "false": False}.__getitem__,
    ("string", bool): lambda value: "true" if value else "false",
    ("string", int): str,
    ("string", float): str,
    ("string", dict): json.dumps,
    ("integer", str): int,
    ("long", str): int,
    ("float", str): float,
    ("double", str): float,
}
