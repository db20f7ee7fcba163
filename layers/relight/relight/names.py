"""Names asked of DNS: of the zone's own name servers, so that no cache stands between, or of a resolver."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class NoAnswer(Exception):
    """None of the servers gave a usable answer in time."""


def _server(text: str) -> tuple[str, int]:
    """`host` or `host:port` as an address and a port."""
    host, _, port = text.partition(":")
    return socket.gethostbyname(host), int(port or 53)


def ask(name: str, kind: str, servers: Sequence[str], timeout: float) -> list[str]:
    """The records of `kind` (A, TXT) that the first server to answer gives for `name`, over UDP.

    Each server is given an equal share of `timeout` seconds. NoAnswer where none answered; an empty list where the
    name has no such record.
    """
    why = "no name server is configured"
    for server in servers:
        try:
            address, port = _server(server)
            query = dns.message.make_query(name, kind)
            answer = dns.query.udp(query, address, timeout=timeout / len(servers), port=port)
        except (dns.exception.DNSException, OSError) as error:
            why = f"{server}: {type(error).__name__}"
            continue
        if answer.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
            why = f"{server}: {dns.rcode.to_text(answer.rcode())}"
            continue
        wanted = dns.rdatatype.from_text(kind)
        return [
            record.to_text().strip('"') for records in answer.answer for record in records if record.rdtype == wanted
        ]
    raise NoAnswer(why)


def resolver(server: str | None, timeout: float) -> Callable[[str], str]:
    """How a client outside resolves a name: by the system's resolver, or by the one at `server` (host or host:port)."""

    def resolve(host: str) -> str:
        if server is None:
            return socket.gethostbyname(host)
        try:
            addresses = ask(host, "A", (server,), timeout)
        except NoAnswer as error:
            raise OSError(f"{host} does not resolve: {error}") from None
        if not addresses:
            raise OSError(f"{host} has no address")
        return addresses[0]

    return resolve
