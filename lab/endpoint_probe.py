"""One request of a Route 53 health checker to an endpoint, over a connection of its own."""

import http.client
import socket
import ssl
import threading
from contextlib import suppress
from functools import cache

from lab.health_check import HealthCheck
from lab.pipe import Address

_SEARCHED_BYTES = 5120
_FLOOR_SECONDS = 0.8
"""Below it, a busy machine would look like a dead one."""


class EndpointProbe:
    """Asks an endpoint, within AWS's limits: 4 s to connect, 2 s to answer, times the scale but not below 0.8 s.

    AWS asks from many places and takes their vote; here there is one.
    """

    def __init__(self, scale: float) -> None:
        self._connect_seconds = max(4 * scale, _FLOOR_SECONDS)
        self._answer_seconds = max(2 * scale, _FLOOR_SECONDS)
        self._connection: socket.socket | None = None
        self._abandoned = False
        self._lock = threading.Lock()

    def passes(self, check: HealthCheck, address: Address) -> bool:
        """Does the endpoint answer as this check wants it?"""
        try:
            with socket.create_connection(address, timeout=self._connect_seconds) as connection:
                with self._lock:
                    self._connection = connection
                    if self._abandoned:
                        return False
                return self._answers(check, connection)
        except (OSError, http.client.HTTPException):
            return False
        finally:
            with self._lock:
                self._connection = None

    def abandon(self) -> None:
        """End the request that is under way in another thread, and let no other begin."""
        with self._lock:
            self._abandoned = True
            if self._connection is not None:
                with suppress(OSError):
                    self._connection.shutdown(socket.SHUT_RDWR)

    def _answers(self, check: HealthCheck, connection: socket.socket) -> bool:
        if check.type == "TCP":
            return True
        connection.settimeout(self._answer_seconds)
        if not check.is_tls:
            return _http(check, connection)
        name = check.fqdn if check.enable_sni else None
        with _unverified().wrap_socket(connection, server_hostname=name) as secured:
            return _http(check, secured)


def _http(check: HealthCheck, connection: socket.socket) -> bool:
    host = check.fqdn or check.ip_address
    connection.sendall(
        f"GET {check.path} HTTP/1.1\r\nHost: {host}:{check.port}\r\n"
        "User-Agent: Amazon-Route53-Health-Check-Service\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode()
    )
    answer = http.client.HTTPResponse(connection, method="GET")
    try:
        answer.begin()
        if not 200 <= answer.status <= 399:
            return False
        if check.type.endswith("STR_MATCH"):
            return (check.search_string or "").encode() in answer.read(_SEARCHED_BYTES)
        return True
    finally:
        answer.close()


@cache
def _unverified() -> ssl.SSLContext:
    """Route 53's checkers do not validate certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
