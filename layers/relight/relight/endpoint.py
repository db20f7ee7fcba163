"""One HTTP request to an address of our choosing, by name: a connection of its own each time, TLS verified."""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Unreachable(Exception):
    """No HTTP answer: the name did not resolve, nothing listened, TLS failed, or time ran out."""


@dataclass(frozen=True)
class Answer:
    """Whatever the other end said."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    address: str = ""

    @property
    def region(self) -> str | None:
        """The Region that served it, as the application says."""
        return self.headers.get("x-relight-region")


@cache
def _tls() -> ssl.SSLContext:
    """One for all requests: reading the certificates takes 25 ms of a CPU, and the probe has a fraction of one."""
    return ssl.create_default_context()


class _Connection(http.client.HTTPConnection):
    """Connects to `address`, whatever the name resolves to elsewhere; speaks TLS for the name if asked to."""

    def __init__(self, host: str, port: int, address: str, timeout: float, *, tls: bool) -> None:
        super().__init__(host, port, timeout=timeout)
        self._address = address
        self._tls = tls

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), self.timeout)
        if self._tls:
            self.sock = _tls().wrap_socket(self.sock, server_hostname=self.host)


def request(
    url: str,
    resolve: Callable[[str], str],
    timeout: float,
    *,
    method: str = "GET",
    body: bytes | None = None,
) -> Answer:
    """Ask `url` once, at the address that `resolve` gives for its host; Unreachable says why there is no answer."""
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    host = parts.hostname or ""
    port = parts.port or (443 if tls else 80)
    try:
        address = resolve(host)
        connection = _Connection(host, port, address, timeout, tls=tls)
        try:
            target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
            headers = {"User-Agent": "relight", "Connection": "close"}
            if body is not None:
                headers["Content-Type"] = "application/json"
            connection.request(method, target, body=body, headers=headers)
            response = connection.getresponse()
            seen = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, response.read(65536), seen, address)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{host}: {type(error).__name__}: {error}") from None
