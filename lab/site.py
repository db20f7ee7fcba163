"""The site as a client outside reaches it: by name, through a resolver, over TCP, within a time limit."""

import http.client
import time
from dataclasses import replace

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rdatatype

from lab.attempts import Attempt, Failure

REGION_HEADER = "X-Relight-Region"


class NoAnswerError(Exception):
    """The attempt ended before an answer."""

    def __init__(self, failure: Failure) -> None:
        """The word that the log gets."""
        self.failure = failure
        super().__init__(failure)


class Site:
    """The site as one client reaches it: by name, through the resolver, over a connection."""

    def __init__(
        self,
        resolver: tuple[str, int],
        name: str,
        port: int,
        *,
        timeout: float,
        keep_alive: bool = False,
        pinned: bool = False,
    ) -> None:
        """`timeout` is for a whole attempt; a connection kept alive is used for as long as it works.

        `pinned`: once the name was answered, it is never asked for again, whatever becomes of the connection.
        """
        self._resolver = resolver
        self._name = name
        self._port = port
        self._timeout = timeout
        self._keep_alive = keep_alive
        self._pinned = pinned
        self._known: tuple[str, ...] = ()
        self._turn = 0
        self._kept: tuple[http.client.HTTPConnection, str] | None = None

    def ask(self, attempt: Attempt, method: str, path: str, body: bytes | None = None) -> Attempt:
        """Carry the attempt out: the same attempt with its end filled in. Nothing is raised."""
        deadline = time.monotonic() + self._timeout
        kept, self._kept = self._kept, None
        connection: http.client.HTTPConnection | None = None
        try:
            if kept is not None:
                connection, address = kept
                attempt = replace(attempt, address=address)
            else:
                addresses = self._known
                if not addresses:
                    addresses = self._resolve(deadline)
                    attempt = replace(attempt, answer=addresses)
                    self._known = addresses if self._pinned else ()
                address = addresses[self._turn % len(addresses)]
                self._turn += 1
                attempt = replace(attempt, address=address)
                connection = http.client.HTTPConnection(address, self._port, timeout=_left(deadline))
                connection.connect()
            attempt = self._exchange(attempt, connection, deadline, (method, path, body))
        except (NoAnswerError, OSError, http.client.HTTPException) as error:
            attempt = replace(attempt, error=_word(error))
        if connection is not None and self._keep_alive and attempt.error is None and connection.sock is not None:
            self._kept = (connection, address)
        elif connection is not None:
            connection.close()
        return replace(attempt, got=time.time())

    def close(self) -> None:
        """Close the connection that is kept, if one is."""
        if self._kept is not None:
            self._kept[0].close()
            self._kept = None

    def _resolve(self, deadline: float) -> tuple[str, ...]:
        query = dns.message.make_query(self._name, dns.rdatatype.A)
        query.flags |= dns.flags.RD
        host, port = self._resolver
        try:
            answer = dns.query.udp(query, host, timeout=_left(deadline), port=port, ignore_unexpected=True)
        except (dns.exception.DNSException, OSError) as error:
            raise NoAnswerError(Failure.DNS_SILENT) from error
        addresses = tuple(
            record.address for rrset in answer.answer if rrset.rdtype == dns.rdatatype.A for record in rrset
        )
        if not addresses:
            raise NoAnswerError(Failure.DNS_EMPTY)
        return addresses

    def _exchange(
        self,
        attempt: Attempt,
        connection: http.client.HTTPConnection,
        deadline: float,
        request: tuple[str, str, bytes | None],
    ) -> Attempt:
        method, path, body = request
        headers = {"Host": f"{self._name}:{self._port}", "Accept": "*/*"}
        headers |= {"Content-Type": "application/json"} if body is not None else {}
        headers |= {} if self._keep_alive else {"Connection": "close"}
        wire = connection.sock
        wire.settimeout(_left(deadline))
        connection.request(method, path, body, headers)
        wire.settimeout(_left(deadline))
        response = connection.getresponse()
        # From here on the client has seen the status, even if the rest never comes.
        attempt = replace(attempt, status=response.status, region=response.getheader(REGION_HEADER))
        try:
            wire.settimeout(_left(deadline))
            response.read()
        except (NoAnswerError, OSError, http.client.HTTPException) as error:
            return replace(attempt, error=_word(error))
        return attempt


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise NoAnswerError(Failure.TIMEOUT)
    return left


def _word(error: Exception) -> Failure:
    match error:
        case NoAnswerError():
            return error.failure
        case TimeoutError():
            return Failure.TIMEOUT
        case ConnectionRefusedError():
            return Failure.REFUSED
        case ConnectionResetError() | ConnectionAbortedError() | BrokenPipeError() | http.client.IncompleteRead():
            return Failure.RESET
        case http.client.HTTPException():
            return Failure.MALFORMED
        case _:
            return Failure.UNREACHABLE
