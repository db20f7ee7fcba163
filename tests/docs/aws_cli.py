"""What the AWS CLI would say to a command line, by botocore's models of the services: no CLI is needed for it."""

import json
import re
from functools import cache
from typing import Any

import jmespath  # type: ignore[import-untyped]
from botocore import xform_name
from botocore.session import get_session

_GLOBAL = frozenset({"region", "query", "output", "profile", "endpoint-url", "no-cli-pager", "cli-binary-format"})
_PAGED = frozenset({"max-items", "page-size", "starting-token"})
_S3 = {"cp": {"recursive"}, "ls": {"recursive"}, "rm": {"recursive"}}
_RENAMED = {"s3api": "s3"}
# Options that the CLI has beside those of the service, and what they stand for.
_CLI_ONLY = {
    ("rds", "create-db-instance-read-replica"): {"source-region": ""},
    ("ec2", "create-network-acl-entry"): {"ingress": "Egress", "egress": "Egress"},
    ("ec2", "delete-network-acl-entry"): {"ingress": "Egress", "egress": "Egress"},
    ("iam", "create-virtual-mfa-device"): {"outfile": "", "bootstrap-method": ""},
    ("stepfunctions", "send-task-success"): {"task-output": "output"},
}
# The CLI takes one word behind the options.
_POSITIONAL = {("lambda", "invoke"): 1}


def complaint(words: tuple[str, ...]) -> str:
    """Why the CLI would refuse `aws SERVICE OPERATION ...`; empty where it would not."""
    if len(words) < 3:
        return "a service and an operation are missing"
    service, operation = words[1:3]
    given, alone, twice = _options(words[3:])
    if twice:
        return f"--{twice} is given twice"
    if unclear := _no_query(given):
        return unclear
    if service == "s3":
        return "" if operation in _S3 and given.keys() <= _S3[operation] | _GLOBAL else f"s3 {operation}"
    try:
        return _against_the_model(service, operation, given, alone)
    except LookupError as error:
        return str(error.args[0])


def _against_the_model(service: str, operation: str, given: dict[str, str], alone: list[str]) -> str:
    """The same, of an operation of a service; LookupError where there is none."""
    allowed, required, booleans, kinds = _model(service, operation)
    extra = _CLI_ONLY.get((service, operation), {})
    called = f"{service} {operation}"
    if unknown := sorted(given.keys() - allowed - booleans - extra.keys() - _GLOBAL - _PAGED):
        return f"{called} knows no --{unknown[0]}"
    meant = {name.removeprefix("no-") if name in booleans else name for name in given}
    meant |= {xform_name(extra[name], "-") for name in given if extra.get(name)}
    if missing := sorted(required - meant):
        return f"{called} needs --{missing[0]}"
    if len(alone) != _POSITIONAL.get((service, operation), 0):
        return f"{called}: {alone} stand alone"
    return _not_json(given, kinds)


def _no_query(given: dict[str, str]) -> str:
    try:
        jmespath.compile(given.get("query") or "@")
    except jmespath.exceptions.JMESPathError as error:
        return f"--query: {error}"
    return ""


def _not_json(given: dict[str, str], kinds: dict[str, str]) -> str:
    for name, value in given.items():
        # One brace alone is written to be refused.
        if (
            value.startswith("{")
            and value != "{"
            and (kinds.get(name) in {"structure", "map"} or name in {"input", "payload"})
        ):
            try:
                json.loads(re.sub(r"\$\w+", "1", value))
            except ValueError as error:
                return f"--{name} is no JSON: {error}"
    return ""


def _options(words: tuple[str, ...]) -> tuple[dict[str, str], list[str], str]:
    given: dict[str, str] = {}
    alone: list[str] = []
    name, values = "", 0
    for word in words:
        if word.startswith("--"):
            name, _, value = word.removeprefix("--").partition("=")
            if name in given:
                return given, alone, name
            given[name], values = value, 0
        elif not name or (values and name in {"cli-binary-format", "payload", "region", "query", "output"}):
            alone.append(word)
        else:
            given[name] = given[name] or word
            values += 1
    return given, alone, ""


@cache
def _model(service: str, operation: str) -> tuple[set[str], set[str], set[str], dict[str, str]]:
    """Its options, those that it needs, the `no-` ones, and of which kind each is; LookupError for an unknown one."""
    model = _service(_RENAMED.get(service, service))
    named = {xform_name(one, "-"): one for one in model.operation_names}
    if operation not in named:
        raise LookupError(f"{service} has no operation {operation}")
    shape = model.operation_model(named[operation]).input_shape
    members: dict[str, Any] = {} if shape is None else dict(shape.members)
    required = set() if shape is None else {xform_name(one, "-") for one in shape.required_members}
    kinds = {xform_name(one, "-"): kind.type_name for one, kind in members.items()}
    return set(kinds), required, {f"no-{one}" for one, kind in kinds.items() if kind == "boolean"}, kinds


@cache
def _service(name: str) -> Any:
    session = get_session()
    if name not in session.get_available_services():
        raise LookupError(f"there is no service {name}")
    return session.get_service_model(name)
