"""Stacks: a small CloudFormation that makes what a template asks for, and refuses what the lab does not imitate.

It evaluates parameters, rules, conditions and intrinsics, orders resources by what they refer to, and makes each by
the API calls that CloudFormation would make. What it does not do: change sets, drift, exports, macros other than
SAM, checking that a parameter of an AWS type names something that exists, and undoing the changes in place
of an update that fails half-way.
"""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import ClientError

from lab.deployment import ACCOUNT, Deployment, Record, Stack, delete
from lab.errors import StackRefused
from lab.plan import Plan
from lab.region import GLOBAL
from lab.resources.kind import Place, Runtime
from lab.resources.registry import NESTED_STACK
from lab.stack_policy import StackPolicy
from lab.template import Template, load, transform

__all__ = ["Clients", "Record", "Runtime", "Stack", "Stacks"]

_IN_US_EAST_1 = frozenset({"iam", "route53"})


class Clients(Protocol):
    """Where stacks get their boto3 clients from."""

    def client(self, service: str, region: str) -> Any: ...


class Stacks:
    """All stacks of the lab. Different stacks may be made by different threads at once."""

    def __init__(
        self, clients: Clients, runtime: Runtime | None = None, ssm_values: Mapping[str, str] | None = None
    ) -> None:
        """`ssm_values` are public SSM parameters of AWS by name, such as those of machine images.

        Without a runtime, functions are configured and cannot run.
        """
        self._clients = clients
        self._runtime = runtime
        self._ssm_values = dict(ssm_values or {})
        self._stacks: dict[tuple[str, str], Stack] = {}
        self._layers: dict[str, Path] = {}
        self._read: dict[Path, tuple[tuple[int, int], Template]] = {}
        self._lock = threading.Lock()

    def check(self, region: str, template_path: Path, parameters: Mapping[str, Any]) -> None:
        """Refuse now what `create` would refuse before making anything: TemplateError, StackRefused."""
        self._deployment(Stack("check", region, template_path, dict(parameters))).check()

    def create(
        self,
        name: str,
        region: str,
        template_path: Path,
        parameters: Mapping[str, Any],
        tags: Mapping[str, str] | None = None,
    ) -> Stack:
        """Make a stack and wait until its resources can be used. The tags are given to each that takes tags.

        TemplateError or StackRefused, of one line; what was made until then has been deleted again.
        """
        if self.get(name, region):
            raise StackRefused(f"the stack {name} exists already", where=region, do="update or delete it")
        stack = Stack(name, region, template_path, dict(parameters), tags=dict(tags or {}))
        deployment = self._deployment(stack)
        deployment.check()
        deployment.run()
        with self._lock:
            self._stacks[name, region] = stack
        return stack

    def update(self, name: str, region: str, template_path: Path, parameters: Mapping[str, Any]) -> Stack:
        """Bring a stack to what the template says now; parameters that are not given keep their values.

        Nothing is called for a resource whose properties are the same. A change that would replace a resource that
        holds data is refused.
        """
        stack = self._existing(name, region)
        changed = replace(stack, template_path=template_path, parameters=stack.parameters | dict(parameters))
        deployment = self._deployment(changed)
        deployment.check()
        try:
            deployment.run()
        finally:
            # Also after a failure: what was changed has been changed.
            with self._lock:
                self._stacks[name, region] = changed
        return changed

    def protect(self, name: str, region: str, policy: str) -> None:
        """Give a stack and those nested in it now this stack policy (JSON text), as `relight deploy` does.

        AWS has one policy for each stack: one that is nested later has none until this is called again. StackRefused
        where SetStackPolicy would not take it.
        """
        parsed = StackPolicy.parse(policy)
        for stack in _with_nested(self._existing(name, region)):
            stack.policy = parsed

    def delete(self, name: str, region: str) -> None:
        """Delete a stack, last made first; resources with DeletionPolicy Retain stay. StackRefused when one cannot."""
        stack = self._existing(name, region)
        problems = delete(self, stack, reversed(stack.records.values()))
        if problems:
            raise problems[0]
        with self._lock:
            del self._stacks[name, region]

    def get(self, name: str, region: str) -> Stack | None:
        with self._lock:
            return self._stacks.get((name, region))

    def stored(self, name: str, region: str) -> str | None:
        """The value of an SSM parameter, AWS's public ones included; None when there is none."""
        if name in self._ssm_values:
            return self._ssm_values[name]
        try:
            return str(self._clients.client("ssm", region).get_parameter(Name=name)["Parameter"]["Value"])
        except ClientError:
            return None

    def zones(self, region: str) -> list[str]:
        """Names of a Region's Availability Zones."""
        answer = self._clients.client("ec2", region).describe_availability_zones()
        return sorted(zone["ZoneName"] for zone in answer["AvailabilityZones"])

    def place(self, stack: Stack, artefacts: Mapping[str, Path]) -> Place:
        """What the resources of a stack have in common."""

        def client(service: str, region: str | None = None) -> Any:
            return self._clients.client(service, GLOBAL if service in _IN_US_EAST_1 else region or stack.region)

        return Place(stack.region, ACCOUNT, stack.name, client, artefacts, self._layers, self._runtime)

    def _existing(self, name: str, region: str) -> Stack:
        stack = self.get(name, region)
        if stack is None:
            raise StackRefused(f"there is no stack {name}", where=region, do="create it")
        return stack

    def _deployment(self, stack: Stack) -> Deployment:
        plan = self._plan(stack.template_path, stack.region, stack.parameters)
        plan.check()
        return Deployment(self, stack, plan)

    def _plan(self, path: Path, region: str, parameters: Mapping[str, Any]) -> Plan:
        template = transform(self._load(path), region, {name: str(value) for name, value in parameters.items()})
        nested: dict[str, Plan] = {}
        for name, resource in template.resources.items():
            if resource["Type"] == NESTED_STACK:
                url = (resource.get("Properties") or {}).get("TemplateURL")
                if not isinstance(url, str):
                    do = "name a file relative to this template"
                    raise StackRefused("TemplateURL must be a path", where=f"{template.where(name)} {name}", do=do)
                nested[name] = self._plan(path.parent / url, region, {})
        return Plan(template, nested)

    def _load(self, path: Path) -> Template:
        """The template of that file, read again only when it has changed."""
        stat = path.stat() if path.exists() else None
        state = (stat.st_mtime_ns, stat.st_size) if stat else (0, 0)
        read = self._read.get(path)
        if read is None or read[0] != state:
            read = self._read[path] = state, load(path)
        return read[1]


def _with_nested(stack: Stack) -> Iterator[Stack]:
    yield stack
    for record in stack.records.values():
        if record.nested is not None:
            yield from _with_nested(record.nested)
