"""DNS over UDP: name servers that answer for the hosted zones, and a resolver that caches as long as it is told to.

Zone transfers, TCP, EDNS options and DNSSEC are not imitated.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from dnslib import QTYPE, RCODE, RR, DNSError, DNSHeader, DNSQuestion, DNSRecord

from lab.errors import PortBusy
from lab.network import Path
from lab.pipe import Address
from lab.region import Vantage

_LOG = logging.getLogger(__name__)
_LARGEST_MESSAGE = 4096
_RESOLVER_THREADS = 8


@dataclass(frozen=True)
class Record:
    """One resource record. Names have no trailing dot; `value` is written as in a zone file, so TXT is quoted."""

    name: str
    rtype: str
    ttl: int
    """Seconds."""
    value: str


class Zone(Protocol):
    """What a name server answers from."""

    def answer(self, name: str, rtype: str, vantage: Vantage) -> list[Record] | None:
        """The records for that lower-case name as seen from there: none if it has other types only, None if unknown."""


class _Server:
    """A UDP socket, a thread that reads from it, and an answer for each message that parses."""

    def __init__(self, host: str, port: int, name: str) -> None:
        self.address: Address = (host, port)
        self._name = name
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Answer from now on; PortBusy if another program has the address."""
        host, port = self.address
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            server.bind(self.address)
        except OSError as error:
            server.close()
            raise PortBusy(
                f"cannot serve DNS: {error.strerror}", where=f"{host}:{port}", do="stop what listens there"
            ) from error
        self._socket = server
        self.address = server.getsockname()
        self._thread = threading.Thread(target=self._serve, args=(server,), name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer nothing more and give the address up."""
        if self._socket is None or self._thread is None:
            return
        server, self._socket = self._socket, None
        with suppress(OSError):
            server.sendto(b"", self.address)  # wakes the thread, which sees that it is to end
        self._thread.join()
        server.close()

    def _serve(self, server: socket.socket) -> None:
        while self._socket is server:
            try:
                message, sender = server.recvfrom(_LARGEST_MESSAGE)
            except ConnectionError:
                continue
            try:
                request = DNSRecord.parse(message)
            except DNSError:
                continue
            if request.header.qr == 0 and request.questions:
                self._handle(request, sender)

    def _handle(self, request: DNSRecord, sender: Address) -> None:
        self._send(self._reply(request), sender)

    def _reply(self, request: DNSRecord) -> DNSRecord | None:
        raise NotImplementedError

    def _send(self, reply: DNSRecord | None, receiver: Address) -> None:
        server = self._socket
        if reply is not None and server is not None:
            with suppress(OSError):
                server.sendto(reply.pack(), receiver)


class NameServer(_Server):
    """An authoritative server for a zone, as those see it who ask from one vantage.

    It says nothing at all while its gate is not open, which is how a Region that is cut off finds it.
    """

    def __init__(
        self, zone: Zone, vantage: Vantage, host: str, *, port: int = 0, gate: Callable[[], Path] = lambda: Path.OPEN
    ) -> None:
        super().__init__(host, port, f"dns-{vantage}")
        self._zone = zone
        self._vantage = vantage
        self._gate = gate

    def _reply(self, request: DNSRecord) -> DNSRecord | None:
        if self._gate() is not Path.OPEN:
            return None
        reply = request.reply(ra=0, aa=1)
        name = str(request.q.qname).rstrip(".").lower()
        try:
            records = self._zone.answer(name, str(QTYPE[request.q.qtype]), self._vantage)
            answers = [_resource_record(record) for record in records or ()]
        except Exception:
            _LOG.exception("the zone has no answer for %s", name)
            reply.header.rcode = RCODE.SERVFAIL
            return reply
        if records is None:
            reply.header.rcode = RCODE.NXDOMAIN
        reply.add_answer(*answers)
        return reply


@dataclass(frozen=True)
class Answer:
    """What is remembered of an upstream's reply: its code and its records with the TTLs they came with."""

    rcode: int
    records: Sequence[RR]


class Cache:
    """Answers by question for as long as their TTL says. Time is an argument: seconds of any monotonic clock.

    An answer without records lives for `negative_seconds`; one that is no answer (SERVFAIL) is not kept.
    """

    def __init__(self, negative_seconds: float = 1.0) -> None:
        self._negative_seconds = negative_seconds
        self._kept: dict[tuple[str, int], tuple[float, Answer]] = {}
        self._lock = threading.Lock()

    def put(self, question: tuple[str, int], answer: Answer, now: float) -> None:
        if answer.rcode not in (RCODE.NOERROR, RCODE.NXDOMAIN):
            return
        seconds = min((record.ttl for record in answer.records), default=self._negative_seconds)
        with self._lock:
            self._kept[question] = (now, answer)
            if seconds <= 0:
                del self._kept[question]

    def get(self, question: tuple[str, int], now: float) -> Answer | None:
        """The answer with what remains of each TTL, rounded down; None if there is none that is still good."""
        with self._lock:
            kept = self._kept.get(question)
            if kept is None:
                return None
            since, answer = kept
            lifetime = min((record.ttl for record in answer.records), default=self._negative_seconds)
            if now - since >= lifetime:
                del self._kept[question]
                return None
        return Answer(answer.rcode, [_aged(record, now - since) for record in answer.records])


class Resolver(_Server):
    """A caching resolver that asks one name server. Where that one does not answer, the reply is SERVFAIL."""

    def __init__(
        self,
        upstream: Address,
        host: str,
        *,
        port: int = 0,
        patience: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`patience`: how many seconds the upstream may take."""
        super().__init__(host, port, "dns-resolver")
        self._upstream = upstream
        self._patience = patience
        self._clock = clock
        self._cache = Cache()
        self._pool: ThreadPoolExecutor | None = None

    def start(self) -> None:
        self._pool = ThreadPoolExecutor(_RESOLVER_THREADS, thread_name_prefix="dns-resolver")
        super().start()

    def stop(self) -> None:
        super().stop()
        if self._pool is not None:
            self._pool.shutdown()

    def _handle(self, request: DNSRecord, sender: Address) -> None:
        """Without waiting, so that a silent upstream delays nobody else's answer."""
        if self._pool is not None:
            self._pool.submit(lambda: self._send(self._reply(request), sender))

    def _reply(self, request: DNSRecord) -> DNSRecord:
        question = (str(request.q.qname).lower(), request.q.qtype)
        answer = self._cache.get(question, self._clock())
        if answer is None:
            answer = self._ask(request)
            self._cache.put(question, answer, self._clock())
        reply = request.reply(ra=1, aa=0)
        reply.header.rcode = answer.rcode
        reply.add_answer(*answer.records)
        return reply

    def _ask(self, request: DNSRecord) -> Answer:
        query = DNSRecord(DNSHeader(rd=1), q=DNSQuestion(request.q.qname, request.q.qtype))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
            way.settimeout(self._patience)
            try:
                way.connect(self._upstream)
                way.send(query.pack())
                reply = DNSRecord.parse(way.recv(_LARGEST_MESSAGE))
            except (OSError, DNSError):
                return Answer(RCODE.SERVFAIL, ())
        if reply.header.id != query.header.id:
            return Answer(RCODE.SERVFAIL, ())
        return Answer(reply.header.rcode, reply.rr)


def _resource_record(record: Record) -> RR:
    (parsed,) = RR.fromZone(f"{record.name}. {record.ttl} IN {record.rtype} {record.value}")
    return parsed


def _aged(record: RR, seconds: float) -> RR:
    return RR(record.rname, record.rtype, record.rclass, max(0, int(record.ttl - seconds)), record.rdata)
