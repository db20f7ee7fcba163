"""A kind of resource: which properties it takes and which API calls make, change and delete it.

Most kinds are one call each: `lab.resources.call`.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lab.errors import StackRefused
from lab.resources.argument import fit
from lab.template import Template

type Properties = dict[str, Any]


class Runtime(Protocol):
    """What runs the code of Lambda functions."""

    def define_function(
        self,
        region: str,
        name: str,
        code_dir: Path,
        handler: str,
        environment: Mapping[str, str],
        timeout_seconds: int,
        layer_dirs: Sequence[Path],
        memory: int,
    ) -> None:
        """Know the function of that name from now on; a second call replaces the first. Memory in MiB."""


@dataclass(frozen=True)
class Place:
    """Where a resource is made: what is the same for all resources of one stack in one Region."""

    region: str
    account: str
    stack: str
    client: Callable[..., Any]
    """The boto3 client of a service in this Region, or in the one that is named beside it."""
    artefacts: Mapping[str, Path]
    """Local path behind each invented S3 address."""
    layers: dict[str, Path]
    """Directory of each layer version by its ARN."""
    runtime: Runtime | None


@dataclass(frozen=True)
class Made:
    """A resource that exists."""

    physical_id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """One resource to be made, changed or deleted."""

    place: Place
    logical_id: str
    where: str
    """Template, line, logical id and type, for messages."""
    properties: Properties
    before: Properties = field(default_factory=dict)
    """For an update: the properties until now."""
    update_policy: Mapping[str, Any] = field(default_factory=dict)

    def call(self, service: str, operation: str, **arguments: Any) -> Any:
        """One API call; arguments that are None are left out. Raises what boto3 raises."""
        client = self.place.client(service)
        model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation])
        given = {name: value for name, value in arguments.items() if value is not None}
        return getattr(client, operation)(**(fit(model.input_shape, given) if model.input_shape else {}))

    def name(self, limit: int = 64) -> str:
        """A name of its own for a resource that the template gives none, as CloudFormation makes them."""
        ending = f"-{secrets.token_hex(6)}"
        return f"{self.place.stack}-{self.logical_id}"[: limit - len(ending)].rstrip("-") + ending

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.place.region}:{self.place.account}:{resource}"

    def refusal(self, what: str, do: str = "change the template") -> StackRefused:
        return StackRefused(what, where=self.where, do=do)

    def one(self, *names: str) -> str:
        """The only one of these properties that is given."""
        given = [name for name in names if name in self.properties]
        if len(given) != 1:
            raise self.refusal(f"exactly one of {', '.join(names)} is needed")
        return given[0]


class Check(Protocol):
    """What a kind checks before anything is made. Properties still contain their intrinsics."""

    def __call__(self, template: Template, logical_id: str, where: str, properties: Properties) -> None: ...


@dataclass(frozen=True)
class Kind:
    """A resource type that the lab makes."""

    type: str
    properties: frozenset[str]
    """What it implements: the properties that reach an API call."""
    create: Callable[[Request], Made]
    delete: Callable[[Request, Made], None]
    update: Callable[[Request, Made, frozenset[str]], Made] | None = None
    """Makes a change in place; told the names of the changed properties."""
    fixed: frozenset[str] = frozenset()
    """Properties whose change needs another resource in its place."""
    sometimes_fixed: Mapping[str, Callable[[Any, Any], bool]] = field(default_factory=dict)
    """Properties where that depends on the change: told the values before and after, None where there is none."""
    attributes: frozenset[str] = frozenset()
    """What GetAtt may ask for."""
    harmless: Mapping[str, str] = field(default_factory=dict)
    """Properties that are accepted and not sent, each with the reason."""
    settle: Callable[[Request, Made], Made] | None = None
    """Waits until the resource can be used; called before the first resource that refers to it, and at the end."""
    check: Check | None = None
    holds_data: bool = False
    """It is never replaced."""

    def replacing(self, before: Properties, after: Properties) -> frozenset[str]:
        """Those of the changed properties whose change needs another resource in its place; empty for no change."""
        changed = frozenset(name for name in before.keys() | after if before.get(name) != after.get(name))
        if self.update is None:
            return changed
        values = {name: (before.get(name), after.get(name)) for name in changed & self.sometimes_fixed.keys()}
        return changed & self.fixed | {name for name in values if self.sometimes_fixed[name](*values[name])}
