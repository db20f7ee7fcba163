"""What the commands of an operator call, as far as it can be read from their code and from the table of `doctor`."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from relight.ledger import Ledger
from relight_cli import needs
from relight_cli.needs import NEEDS, On, Place

from lab.permission import ACCOUNT, Need
from tests.template.region import REGIONS

PATH = "Operator/Role"
"""Where the role is among a Region's resources."""
CLI = Path(__file__).parents[2] / "cli" / "relight_cli"
# Of those who deploy, who rehearse, and who clean up: other principals.
DEPLOYERS = frozenset(
    {
        *("account", "adoption", "certificate", "cut_over", "cutting_over", "deploy", "deploying", "destroy"),
        *("destroying", "inventory", "may_deploy", "permission", "release", "remains", "retired", "retiring"),
        *("stack", "standing", "zone", "configuration", "rehearsing"),
    }
)
# No leave is needed, or the command goes on without: IAM is asked first, and each call by itself where IAM may not be.
WITHOUT_LEAVE = frozenset({"sts:GetCallerIdentity", "iam:SimulatePrincipalPolicy", "iam:GetRole"})
# What is called through the package, and not in the command's own words.
THROUGH_THE_PACKAGE = frozenset(
    {
        *("cloudformation:DescribeStacks", "cloudwatch:GetMetricData"),
        *(f"dynamodb:{name}" for name in ("GetItem", "Query", "UpdateItem")),
    }
)
NAMES_IN_IAM = {"stepfunctions": "states"}
ACTIONS = {
    "lambda:Invoke": "lambda:InvokeFunction",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
}


@cache
def operations(service: str) -> dict[str, str]:
    """A service's operations by boto3's names for them."""
    client: Any = boto3.client(service, region_name=REGIONS["dr"])  # type: ignore[call-overload]
    return dict(client.meta.method_to_api_mapping)


def called() -> dict[str, set[str]]:
    """The actions that the modules of the operator's commands call, each with the modules that do."""
    found: dict[str, set[str]] = {}
    for path in sorted(CLI.glob("*.py")):
        if path.stem in DEPLOYERS:
            continue
        for action in _called(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(action, set()).add(path.stem)
    return found


def _called(module: ast.Module) -> Iterator[str]:
    services = {
        str(node.args[0].value)
        for node in ast.walk(module)
        if isinstance(node, ast.Call)
        and _name(node) == "client"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    for service in services:
        for name in _names(module):
            if name in operations(service):
                action = f"{NAMES_IN_IAM.get(service, service)}:{operations(service)[name]}"
                yield ACTIONS.get(action, action)


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _names(module: ast.Module) -> Iterator[str]:
    """Of methods that are called, and of what a paginator is for."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            yield _name(node)
            if _name(node) == "get_paginator" and isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value)


def wanted() -> list[Need]:
    """All that the commands need in both Regions."""
    found = [need for side in REGIONS for need in _in_region(REGIONS[side])]
    return [*found, Need("cloudwatch:GetMetricData", "*")]


def _in_region(name: str) -> Iterator[Need]:
    place = Place("shop", name, ACCOUNT)
    for need in NEEDS:
        for resource in place.resources(need):
            if need.action != "dynamodb:UpdateItem":
                yield Need(need.action, resource)
    for machine in needs.MACHINES:
        yield Need("states:GetExecutionHistory", place.resource(On.EXECUTION, machine))
    for request in written():
        yield from changes(request, place.resource(On.TABLE))


def changes(request: dict[str, Any], table: str) -> Iterator[Need]:
    """What an UpdateItem needs: a need for each attribute that it names, because all of them must be allowed."""
    said = " ".join(str(request.get(name, "")) for name in ("UpdateExpression", "ConditionExpression"))
    plain = re.sub(r":\w+|\b(SET|REMOVE|AND|OR|NOT|if_not_exists|attribute_(not_)?exists)\b", " ", said)
    names = request.get("ExpressionAttributeNames", {})
    used = {names.get(word, word) for word in re.findall(r"#?\w+", plain)} | request["Key"].keys()
    key = {"dynamodb:leadingkeys": request["Key"]["pk"]["S"]}
    returned = {"dynamodb:returnvalues": str(request.get("ReturnValues", "NONE"))}
    for attribute in sorted(used):
        yield Need("dynamodb:UpdateItem", table, key | returned | {"dynamodb:attributes": attribute})


def written() -> list[dict[str, Any]]:
    """The requests by which the commands change a ledger, and that of `doctor`, which changes nothing."""
    table = _Table()
    ledger = Ledger(table, "relight-shop", REGIONS["primary"])  # type: ignore[arg-type]
    ledger.freeze(1.0, 2.0, "a release", "ann")
    ledger.unfreeze()
    head = {"pk": {"S": "region"}, "sk": {"S": "head"}}
    never = "attribute_exists(pk) AND attribute_not_exists(pk)"
    table.update_item(Key=head, UpdateExpression="REMOVE relight_doctor", ConditionExpression=never)
    return table.requests


class _Table:
    """Takes what is written to a table, and keeps the request."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    def update_item(self, **request: Any) -> None:
        self.requests.append(request)
