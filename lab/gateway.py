"""What of the lab's loopback addresses a container reaches: relays at the one address of the engine's bridge.

A function finds everything by its variables, so they are what is rewritten: each address of loopback becomes a port of
the bridge. Names of DNS keep their answers, with the bridge's address before the true ones: who connects takes the
first, who compares where two names lead still sees the difference. Only the engine's containers are let in.
"""

import ipaddress
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from dnslib import QTYPE, RR, A, DNSError, DNSHeader, DNSQuestion, DNSRecord

from lab.dns import _Server
from lab.engine import Bridge
from lab.errors import LabError
from lab.network import Path, Relay
from lab.pipe import Address, Pipe, reset

_DNS_PORT, _HTTP_PORT = 53, 80
_PATIENCE_SECONDS = 2.0
_THREADS = 8
_LARGEST_MESSAGE = 4096
_URLS = frozenset({"AWS_ENDPOINT_URL", "PEER_URL", "SELF_URL", "SITE_URL"})
_LISTS_OF_URLS = frozenset({"CONTROL_TARGETS"})
_LISTS_OF_SERVERS = frozenset({"NAME_SERVERS", "RESOLVER"})
_HOST, _PORT = "DATABASE_HOST", "DATABASE_PORT"


class OutOfReach(LabError):
    """A variable names a loopback address in a way that nobody here knows to rewrite."""


class Gateway:
    """A context manager: what the variables of functions name is reachable on the bridge for as long as it lasts."""

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge
        self._relays: dict[object, Relay] = {}
        self._names: dict[Address, _Names] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for relay in self._relays.values():
                relay.stop()
            for server in self._names.values():
                server.stop()
            self._relays.clear()
            self._names.clear()

    def rewritten(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The variables of a function as it needs them in a container. OutOfReach for what would lead nowhere there."""
        own = dict(variables)
        servers = _split(own.get("NAME_SERVERS", ""))
        for name in own.keys() & _URLS:
            own[name] = self._url(own[name], servers)
        for name in own.keys() & _LISTS_OF_URLS:
            own[name] = ",".join(self._url(url, servers) for url in _split(own[name]))
        for name in own.keys() & _LISTS_OF_SERVERS:
            own[name] = ",".join(self._server(server) for server in _split(own[name]))
        if _HOST in own and is_loopback(own[_HOST]):
            port = self._relay((own[_HOST], int(own[_PORT])))[1]
            own |= {_HOST: self.bridge.address, _PORT: str(port)}
        for name, value in own.items():
            rest = value.replace(self.bridge.address, "")
            if "127." in rest or "localhost" in rest:
                raise OutOfReach(
                    f"{name} is {value}, which no container reaches", where="in the variables of a function"
                )
        return own

    def _url(self, url: str, servers: list[str]) -> str:
        """The same with a port of the bridge; a name stays, since DNS leads it there."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _HTTP_PORT
        if is_loopback(host):
            place = "{}:{}".format(*self._relay((host, port)))
        elif servers and parts.port:
            place = f"{host}:{self._site(host, port, servers)}"
        else:
            return url
        return urlunsplit(parts._replace(netloc=place))

    def _relay(self, target: Address) -> Address:
        """Where the bridge leads to that address."""
        return self._begin(target, lambda: _Guarded(self.bridge, target))

    def _site(self, host: str, port: int, servers: list[str]) -> int:
        """At which port the bridge leads to wherever that name leads now."""
        key = (host, port, *servers)
        return self._begin(key, lambda: _Named(self.bridge, port, lambda: _resolved(host, servers)))[1]

    def _begin(self, key: object, make: Callable[[], Relay]) -> Address:
        with self._lock:
            if key not in self._relays:
                relay = make()
                relay.start()
                self._relays[key] = relay
            return self._relays[key].address

    def _server(self, server: str) -> str:
        """A name server, or a resolver, on the bridge; `host` or `host:port`."""
        host, _, port = server.partition(":")
        if not is_loopback(host):
            return server
        upstream = (host, int(port or _DNS_PORT))
        with self._lock:
            if upstream not in self._names:
                names = _Names(self.bridge, upstream)
                names.start()
                self._names[upstream] = names
            return "{}:{}".format(*self._names[upstream].address)


def is_loopback(host: str) -> bool:
    """Whether that is an address, or the name, of this machine itself. Pure."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _split(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


class _Guarded(Relay):
    """A relay on the bridge that lets in whom the bridge admits, and resets all others."""

    def __init__(self, bridge: Bridge, target: Address) -> None:
        super().__init__((bridge.address, 0), target, lambda: Path.OPEN)
        self._bridge = bridge

    def _enter(self, client: socket.socket) -> None:
        if self._bridge.admits(client.getpeername()[0]):
            self._admit_it(client)
        else:
            reset(client)

    def _admit_it(self, client: socket.socket) -> None:
        super()._enter(client)


class _Named(_Guarded):
    """One whose target is asked for anew with each connection: it is wherever a name leads."""

    def __init__(self, bridge: Bridge, port: int, resolve: Callable[[], str | None]) -> None:
        super().__init__(bridge, ("127.0.0.1", port))
        self._to_port = port
        self._resolve = resolve

    def _admit_it(self, client: socket.socket) -> None:
        # Not in the loop's thread: an answer may take its time.
        threading.Thread(target=self._find, args=(client,), name="gateway", daemon=True).start()

    def _find(self, client: socket.socket) -> None:
        host = self._resolve()
        self._plane.post(lambda: self._lead(client, host))

    def _lead(self, client: socket.socket, host: str | None) -> None:
        if host is None or self._timer is None:
            reset(client)
        else:
            self._pipes.add(Pipe(self._plane.loop, client, (host, self._to_port), self._pipes.discard))


class _Names(_Server):
    """Hands questions on to a name server, and puts the bridge's address before the addresses that it answers."""

    def __init__(self, bridge: Bridge, upstream: Address) -> None:
        super().__init__(bridge.address, 0, "dns-gateway")
        self._bridge = bridge
        self._upstream = upstream
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="dns-gateway")

    def stop(self) -> None:
        super().stop()
        self._pool.shutdown()

    def _handle(self, request: DNSRecord, sender: Address) -> None:
        """Without waiting, so that a server that is silent delays nobody else's answer; nor does it answer then."""
        if self._bridge.admits(sender[0]):
            self._pool.submit(lambda: self._send(self._reply(request), sender))

    def _reply(self, request: DNSRecord) -> DNSRecord | None:
        found = _asked(request.q, self._upstream)
        if found is None:
            return None
        reply = request.reply(ra=0, aa=1)
        reply.header.rcode = found.header.rcode
        addresses = [record for record in found.rr if record.rtype == QTYPE.A]
        if any(is_loopback(str(record.rdata)) for record in addresses):
            first = addresses[0]
            reply.add_answer(RR(first.rname, QTYPE.A, ttl=first.ttl, rdata=A(self._bridge.address)))
        reply.add_answer(*found.rr)
        return reply


def _asked(question: DNSQuestion, upstream: Address) -> DNSRecord | None:
    """What that server answers; None where it answers nothing in time."""
    query = DNSRecord(DNSHeader(rd=1), q=question)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.settimeout(_PATIENCE_SECONDS)
        try:
            way.connect(upstream)
            way.send(query.pack())
            return DNSRecord.parse(way.recv(_LARGEST_MESSAGE))
        except (OSError, DNSError):
            return None


def _resolved(host: str, servers: list[str]) -> str | None:
    """The first address that the first of these servers to answer gives for that name."""
    for server in servers:
        address, _, port = server.partition(":")
        found = _asked(DNSQuestion(host, QTYPE.A), (address, int(port or _DNS_PORT)))
        if found is not None:
            return next((str(record.rdata) for record in found.rr if record.rtype == QTYPE.A), None)
    return None
