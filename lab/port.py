"""Ports of loopback addresses: which are free."""

import socket
from collections.abc import Sequence

from lab.errors import PortBusy


def free_port(hosts: Sequence[str]) -> int:
    """A port that is free on every one of these addresses now. Raises PortBusy."""
    for _ in range(100):
        with socket.socket() as probe:
            probe.bind((hosts[0], 0))
            port: int = probe.getsockname()[1]
        try:
            for host in hosts:
                require_free(host, port)
        except PortBusy:
            continue
        return port
    raise PortBusy("no port is free on all addresses at once", where=", ".join(hosts))


def require_free(host: str, port: int) -> None:
    """Raise PortBusy when a server of ours could not listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortBusy(
                f"cannot listen: {error.strerror}", where=f"{host}:{port}", do="free it or choose another"
            ) from error
