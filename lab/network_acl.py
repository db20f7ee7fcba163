"""The entries of network ACLs, of which moto forgets to say that one is not there.

A run and the guard of the other Region may lift the same fence at the same instant. AWS tells the slower of them
InvalidNetworkAclEntry.NotFound; moto fails with an error of its own, as a fault of the server.
"""

import threading
from collections.abc import Callable
from typing import Any, Self

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.network_acls import NetworkAclBackend

from lab.seam import Seams, require

require(NetworkAclBackend, "create_network_acl_entry", "delete_network_acl_entry")


class _NoSuchEntry(EC2ClientError):  # type: ignore[misc]  # moto is untyped
    def __init__(self, acl: str, rule: int) -> None:
        super().__init__(
            "InvalidNetworkAclEntry.NotFound", f"The network acl entry {rule} of {acl} could not be found."
        )


class NetworkAclEntries:
    """A context manager: while it is there, entries come and go one at a time, and a missing one is said to be."""

    def __init__(self) -> None:
        self._seams = Seams()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._seams.wrap(NetworkAclBackend, "create_network_acl_entry", self._alone)
        self._seams.wrap(NetworkAclBackend, "delete_network_acl_entry", self._told)
        return self

    def __exit__(self, *_: object) -> None:
        self._seams.undo()

    def _alone(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def create(*positional: Any, **named: Any) -> Any:
            with self._lock:
                return original(*positional, **named)

        return create

    def _told(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def delete(backend: Any, network_acl_id: str, rule_number: int, egress: bool) -> Any:
            with self._lock:
                try:
                    return original(backend, network_acl_id, rule_number, egress)
                except StopIteration:
                    raise _NoSuchEntry(network_acl_id, rule_number) from None

        return delete
