"""CloudFormation's intrinsic functions, evaluated and checked; one that the lab does not know is refused."""

import base64
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lab.errors import StackRefused

_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")
_CONDITION_FUNCTIONS = frozenset(
    ["Condition", "Fn::And", "Fn::Contains", "Fn::EachMemberIn", "Fn::Equals", "Fn::Not", "Fn::Or"]
)


class _NoValue:
    """What Ref AWS::NoValue leaves behind: its property or list item does not exist."""


NO_VALUE: Final = _NoValue()


@dataclass(frozen=True)
class Scope:
    """What names mean in one stack."""

    parameters: Mapping[str, Any]
    """Parameters and pseudo parameters: text, or a list of texts."""
    mappings: Mapping[str, Any]
    conditions: Mapping[str, Any]
    """The expressions of the section Conditions."""
    ref: Callable[[str], Any]
    """Physical id of a resource; KeyError when the stack has no resource of that name."""
    attribute: Callable[[str, str], Any]
    """GetAtt of a resource; KeyError when it has no such attribute."""
    zones: Callable[[str], list[str]]
    """Names of the Availability Zones of a Region."""


class Expression:
    """Evaluates the values of one part of a template. `where` opens each refusal."""

    def __init__(self, scope: Scope, where: str) -> None:
        self._scope = scope
        self._where = where

    def value(self, node: Any) -> Any:
        """`node` with each intrinsic replaced by what it yields; StackRefused where one cannot be evaluated."""
        if isinstance(node, list):
            items = [self.value(item) for item in node]
            return [item for item in items if item is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        found = intrinsic(node, self._where)
        if found is None:
            values = {key: self.value(item) for key, item in node.items()}
            return {key: item for key, item in values.items() if item is not NO_VALUE}
        name, argument = found
        if name in _CONDITION_FUNCTIONS:
            return self.holds(node)
        return _FUNCTIONS[name](self, argument)

    def holds(self, node: Any) -> bool:
        """Whether a condition is true."""
        found = intrinsic(node, self._where) or _condition_reference(node)
        if found is None or found[0] not in _CONDITION_FUNCTIONS:
            raise self.refusal("a condition must be Fn::Equals, Fn::And, Fn::Or, Fn::Not, Fn::Contains or Condition")
        name, argument = found
        if name == "Condition":
            return self.condition(str(argument))
        if name == "Fn::Not":
            return not self.holds(argument[0])
        if name in {"Fn::And", "Fn::Or"}:
            each = (self.holds(item) for item in argument)
            return all(each) if name == "Fn::And" else any(each)
        return self._compare(name, *(self.value(item) for item in self._arguments(name, argument, 2)))

    def condition(self, name: str) -> bool:
        """Whether the condition of that name is true."""
        if name not in self._scope.conditions:
            raise self.refusal(f"there is no condition {name}", "define it under Conditions")
        return self.holds(self._scope.conditions[name])

    def refusal(self, what: str, do: str = "") -> StackRefused:
        return StackRefused(what, where=self._where, do=do)

    def _arguments(self, name: str, argument: Any, *counts: int) -> list[Any]:
        if not isinstance(argument, list) or len(argument) not in counts:
            raise self.refusal(f"{name} takes a list of {' or '.join(str(count) for count in counts)}")
        return argument

    @staticmethod
    def _compare(name: str, left: Any, right: Any) -> bool:
        if name == "Fn::Equals":
            return as_text(left) == as_text(right)
        allowed = {as_text(item) for item in (left if name == "Fn::Contains" else right)}
        return as_text(right) in allowed if name == "Fn::Contains" else {as_text(item) for item in left} <= allowed

    def _ref(self, name: Any) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in self._scope.parameters:
            return self._scope.parameters[name]
        try:
            return self._scope.ref(name)
        except KeyError:
            raise self.refusal(f"Ref {name} names nothing in this template", "name a resource or a parameter") from None

    def _get_att(self, argument: Any) -> Any:
        resource, attribute = self._arguments("Fn::GetAtt", argument, 2)
        try:
            return self._scope.attribute(resource, self.value(attribute))
        except KeyError:
            raise self.refusal(f"GetAtt {resource}.{attribute}: there is no such attribute") from None

    def _sub(self, argument: Any) -> str:
        text, own = (argument, {}) if isinstance(argument, str) else self._arguments("Fn::Sub", argument, 2)
        values = {key: self.value(item) for key, item in own.items()}

        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in values:
                return as_text(values[name])
            found = self._get_att(name.split(".", 1)) if "." in name else self._ref(name)
            if isinstance(found, list | dict):
                raise self.refusal(f"Fn::Sub: ${{{name}}} is a list", "use Fn::Join")
            return as_text(found)

        return _PLACEHOLDER.sub(replace, text)

    def _join(self, argument: Any) -> str:
        separator, items = self._arguments("Fn::Join", argument, 2)
        if not isinstance(separator, str):
            raise self.refusal("Fn::Join takes a text as its delimiter, and nothing that has to be worked out")
        values = self.value(items)
        if not isinstance(values, list):
            raise self.refusal("Fn::Join takes a list as its second argument")
        return separator.join(as_text(item) for item in values)

    def _select(self, argument: Any) -> Any:
        index, items = (self.value(item) for item in self._arguments("Fn::Select", argument, 2))
        if not isinstance(items, list) or not 0 <= int(index) < len(items):
            raise self.refusal(f"Fn::Select: there is no item {index}")
        return items[int(index)]

    def _split(self, argument: Any) -> list[str]:
        separator, text = self._arguments("Fn::Split", argument, 2)
        return as_text(self.value(text)).split(separator)

    def _if(self, argument: Any) -> Any:
        name, yes, no = self._arguments("Fn::If", argument, 3)
        return self.value(yes if self.condition(name) else no)

    def _find_in_map(self, argument: Any) -> Any:
        keys = [self.value(item) for item in self._arguments("Fn::FindInMap", argument, 3)]
        found: Any = self._scope.mappings
        for key in keys:
            if not isinstance(found, dict) or key not in found:
                raise self.refusal(f"Fn::FindInMap {'.'.join(map(str, keys))}: there is no {key}", "add it to Mappings")
            found = found[key]
        return found

    def _cidr(self, argument: Any) -> list[str]:
        block, count, *bits = (self.value(item) for item in self._arguments("Fn::Cidr", argument, 2, 3))
        network = ipaddress.ip_network(block)
        blocks = network.subnets(new_prefix=network.max_prefixlen - int(bits[0] if bits else 8))
        found = [str(part) for part, _ in zip(blocks, range(int(count)), strict=False)]
        if len(found) < int(count):
            raise self.refusal(f"Fn::Cidr: {block} has no {count} such blocks")
        return found

    def _get_azs(self, argument: Any) -> list[str]:
        return self._scope.zones(self.value(argument) or self._scope.parameters["AWS::Region"])

    def _base64(self, argument: Any) -> str:
        return base64.b64encode(as_text(self.value(argument)).encode()).decode()


_FUNCTIONS: Mapping[str, Callable[[Expression, Any], Any]] = {
    "Ref": Expression._ref,
    "Fn::Base64": Expression._base64,
    "Fn::Cidr": Expression._cidr,
    "Fn::FindInMap": Expression._find_in_map,
    "Fn::GetAZs": Expression._get_azs,
    "Fn::GetAtt": Expression._get_att,
    "Fn::If": Expression._if,
    "Fn::Join": Expression._join,
    "Fn::Select": Expression._select,
    "Fn::Split": Expression._split,
    "Fn::Sub": Expression._sub,
}


def intrinsic(node: Any, where: str) -> tuple[str, Any] | None:
    """Name and argument when `node` is an intrinsic function, None when it is plain data.

    StackRefused for one that the lab does not know. A `Condition` with text is none: it is a key of IAM's too.
    """
    if not isinstance(node, dict):
        return None
    names = [key for key in node if key == "Ref" or str(key).startswith("Fn::")]
    if not names:
        return None
    name = names[0]
    if name == "Fn::ImportValue":
        raise StackRefused(f"{name} ties this stack to another one", where=where, do="pass the value as a parameter")
    if name not in _FUNCTIONS and name not in _CONDITION_FUNCTIONS:
        raise StackRefused(f"the lab does not know the intrinsic {name}", where=where, do="use another one")
    if len(node) > 1:
        raise StackRefused(f"{name} stands beside other keys", where=where, do="give it a place of its own")
    return name, node[name]


def conditions(node: Any, where: str) -> Iterator[str]:
    """The name of each condition that an Fn::If in `node` asks for."""
    if isinstance(node, list):
        for item in node:
            yield from conditions(item, where)
    if isinstance(node, dict):
        match intrinsic(node, where):
            case "Fn::If", [str() as name, *_]:
                yield name
        yield from conditions(list(node.values()), where)


def references(node: Any, where: str, holds: Callable[[str], bool] | None = None) -> Iterator[tuple[str, str | None]]:
    """Each name that `node` refers to, with the attribute for GetAtt and None for Ref.

    With `holds`, which says whether a condition is true, only the branch of each Fn::If that is taken counts.
    """
    if isinstance(node, list):
        for item in node:
            yield from references(item, where, holds)
    if not isinstance(node, dict):
        return
    match intrinsic(node, where):
        case "Ref", str() as name:
            yield name, None
        case "Fn::GetAtt", [str() as name, str() as attribute]:
            yield name, attribute
        case "Fn::Sub", argument:
            text, own = argument if isinstance(argument, list) else (argument, {})
            yield from references(list(own.values()), where, holds)
            yield from _placeholders(text, own)
        case "Fn::If", [str() as name, yes, no] if holds is not None:
            yield from references(yes if holds(name) else no, where, holds)
        case _:
            yield from references(list(node.values()), where, holds)


def as_text(value: Any) -> str:
    """A value as CloudFormation writes it into text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _placeholders(text: str, own: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    for name in _PLACEHOLDER.findall(text):
        if name.startswith("!") or name in own:
            continue
        resource, _, attribute = name.partition(".")
        yield resource, attribute or None


def _condition_reference(node: Any) -> tuple[str, Any] | None:
    if isinstance(node, dict) and len(node) == 1 and isinstance(node.get("Condition"), str):
        return "Condition", node["Condition"]
    return None
