"""Every kind of resource that the lab makes, by its type."""

from collections.abc import Mapping

from lab.resources import (
    capacity,
    database,
    dns,
    event,
    firewall,
    function,
    identity,
    message,
    monitoring,
    network,
    secret,
    storage,
    workflow,
)
from lab.resources.kind import Kind

_MODULES = (
    capacity,
    database,
    dns,
    event,
    firewall,
    function,
    identity,
    message,
    monitoring,
    network,
    secret,
    storage,
    workflow,
)
KINDS: Mapping[str, Kind] = {kind.type: kind for module in _MODULES for kind in module.KINDS}
NESTED_STACK = "AWS::CloudFormation::Stack"
"""The one type that is no kind: a stack in a stack."""
