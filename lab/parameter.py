"""The parameters that a stack is given, held to what its template allows: AllowedValues, patterns, limits, rules."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from lab.errors import StackRefused
from lab.expression import Expression, as_text
from lab.template import Template

_LIMITS = ["AllowedValues", "AllowedPattern", "MinLength", "MaxLength", "MinValue", "MaxValue"]
_KEYS = frozenset([*_LIMITS, "Type", "Default", "ConstraintDescription", "NoEcho", "Description"])
_SSM = re.compile(r"AWS::SSM::Parameter::Value<(.+)>")
# Types of AWS's own whose value is text. That a thing of that id exists is not checked.
_PLAIN = re.compile(r"String|Number|AWS::EC2::\S+::(Id|Name|GroupName|KeyName)|AWS::Route53::HostedZone::Id")


def resolve(
    template: Template, given: Mapping[str, Any], stored: Callable[[str], str | None], where: str = ""
) -> dict[str, Any]:
    """The value of each parameter: text, or a list of texts.

    `stored` is what the SSM parameter of a name says (None: there is none). StackRefused with the first violation.
    """
    declared: dict[str, dict[str, Any]] = template.body.get("Parameters") or {}
    for name in given:
        if name not in declared:
            raise StackRefused(f"there is no parameter {name}", where=where or template.path.name, do="leave it out")
    return {name: _Parameter(template, name, declared[name], stored).resolve(given) for name in declared}


def check(template: Template, given: Mapping[str, Any], stored: Callable[[str], str | None]) -> None:
    """StackRefused when one of these values is not allowed; others may follow later."""
    declared = template.body.get("Parameters") or {}
    for name in given:
        _Parameter(template, name, declared[name], stored).resolve(given)


def check_rules(template: Template, expression: Callable[[str], Expression]) -> None:
    """StackRefused with the description of the first assertion that does not hold."""
    for name, rule in (template.body.get("Rules") or {}).items():
        rules = expression(f"{template.where(name)} Rules.{name}")
        if "RuleCondition" in rule and not rules.holds(rule["RuleCondition"]):
            continue
        for assertion in rule["Assertions"]:
            if not rules.holds(assertion["Assert"]):
                raise rules.refusal(
                    assertion.get("AssertDescription", "the rule does not hold"), "change the parameters"
                )


class _Parameter:
    def __init__(
        self, template: Template, name: str, declared: Mapping[str, Any], stored: Callable[[str], str | None]
    ) -> None:
        self._where = f"{template.where(name)} {name}"
        self._name = name
        self._declared = declared
        self._stored = stored
        for key in declared:
            if key not in _KEYS:
                raise self._refusal(f"the lab does not know {key} of a parameter", "remove it")

    def resolve(self, given: Mapping[str, Any]) -> str | list[str]:
        if self._name not in given and "Default" not in self._declared:
            raise self._refusal("the parameter has no value and no default", "give it a value")
        text = as_text(given.get(self._name, self._declared.get("Default")))
        if isinstance(given.get(self._name), list):
            text = ",".join(as_text(item) for item in given[self._name])
        kind = str(self._declared.get("Type", ""))
        from_ssm = _SSM.fullmatch(kind)
        if from_ssm:
            self._check(text)
            value = self._stored(text)
            if value is None:
                raise self._refusal(f"there is no SSM parameter {text}", "create it, or name another one")
            kind, text = from_ssm[1], value
        listed = re.fullmatch(r"List<(.+)>", kind)
        if listed or kind == "CommaDelimitedList":
            items = [item.strip() for item in text.split(",")] if text else []
            for item in items:
                self._check_kind(listed[1] if listed else "String", item)
                if not from_ssm:
                    self._check(item)
            return items
        self._check_kind(kind, text)
        if not from_ssm:
            self._check(text)
        return text

    def _check_kind(self, kind: str, text: str) -> None:
        if not _PLAIN.fullmatch(kind):
            raise self._refusal(f"the lab does not know the parameter type {kind}", "use String, Number or a list")
        if kind == "Number" and not re.fullmatch(r"[-+]?\d+(\.\d+)?", text):
            raise self._refusal(f"{text!r} is no number", "give a number")

    def _check(self, text: str) -> None:
        declared = self._declared
        allowed = [as_text(value) for value in declared.get("AllowedValues", [text])]
        if text not in allowed:
            raise self._violation(text, f"is none of {', '.join(allowed)}")
        if "AllowedPattern" in declared and not re.fullmatch(declared["AllowedPattern"], text):
            raise self._violation(text, f"does not match {declared['AllowedPattern']}")
        for key, size in (("Length", len), ("Value", float)):
            if f"Min{key}" in declared and size(text) < float(declared[f"Min{key}"]):
                raise self._violation(text, f"is below Min{key} {declared[f'Min{key}']}")
            if f"Max{key}" in declared and size(text) > float(declared[f"Max{key}"]):
                raise self._violation(text, f"is above Max{key} {declared[f'Max{key}']}")

    def _violation(self, text: str, what: str) -> StackRefused:
        hidden = str(self._declared.get("NoEcho", "")).lower() == "true"
        return self._refusal(
            f"{'****' if hidden else repr(text)} {what}", self._declared.get("ConstraintDescription", "")
        )

    def _refusal(self, what: str, do: str) -> StackRefused:
        return StackRefused(what, where=self._where, do=do or "give another value")
