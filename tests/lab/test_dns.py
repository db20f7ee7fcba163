"""DNS over real UDP sockets, asked with dnspython, which shares no code with the servers."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path as File

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from lab.dns import NameServer, Record, Resolver
from lab.errors import PortBusy
from lab.network import Path
from lab.pipe import Address
from lab.region import Vantage

Ask = Callable[..., dns.message.Message]


class Table:
    """A zone whose answers the test writes, and which counts the questions."""

    def __init__(self) -> None:
        self.records = [
            Record("shop.test", "A", 3, "127.0.1.10"),
            Record("shop.test", "A", 3, "127.0.1.11"),
            Record("_seen.shop.test", "TXT", 10, '"up"'),
            Record("long.shop.test", "TXT", 10, '"one; two" "three"'),
            Record("www.shop.test", "CNAME", 60, "shop.test"),
            Record("zero.shop.test", "A", 0, "127.0.1.10"),
        ]
        self.asked: list[str] = []
        self.broken = False

    def answer(self, name: str, rtype: str, vantage: Vantage) -> list[Record] | None:
        self.asked.append(name)
        if self.broken:
            raise RuntimeError("no health check of that id")
        here = [record for record in self.records if record.name == name]
        if vantage is Vantage.DR:
            here = [Record(record.name, record.rtype, record.ttl, "127.0.1.12") for record in here]
        return [record for record in here if record.rtype in (rtype, "CNAME")] if here else None


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def server(table: Table) -> Iterator[NameServer]:
    server = NameServer(table, Vantage.OUTSIDE, "127.0.0.1")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def resolver(server: NameServer, clock: Clock) -> Iterator[Resolver]:
    resolver = Resolver(server.address, "127.0.0.1", patience=0.2, clock=clock)
    resolver.start()
    yield resolver
    resolver.stop()


def ask(address: Address, name: str, rtype: str = "A", timeout: float = 5.0) -> dns.message.Message:
    query = dns.message.make_query(name, rtype)
    return dns.query.udp(query, address[0], port=address[1], timeout=timeout)


def found(message: dns.message.Message) -> list[tuple[str, str, int, str]]:
    return sorted(
        (str(rrset.name), dns.rdatatype.to_text(rrset.rdtype), rrset.ttl, str(item))
        for rrset in message.answer
        for item in rrset
    )


def test_an_authoritative_answer(server: NameServer) -> None:
    answer = ask(server.address, "Shop.TEST")
    assert [(kind, ttl, value) for _, kind, ttl, value in found(answer)] == [
        ("A", 3, "127.0.1.10"),
        ("A", 3, "127.0.1.11"),
    ]
    assert answer.flags & dns.flags.AA
    assert not answer.flags & dns.flags.RA


def test_text_is_strings(server: NameServer) -> None:
    (rrset,) = ask(server.address, "_seen.shop.test", "TXT").answer
    assert rrset.ttl == 10
    assert rrset[0].strings == (b"up",)
    (rrset,) = ask(server.address, "long.shop.test", "TXT").answer
    assert rrset[0].strings == (b"one; two", b"three")


def test_a_name_without_that_type_and_a_name_that_is_not(server: NameServer) -> None:
    nodata = ask(server.address, "shop.test", "AAAA")
    assert (nodata.rcode(), nodata.answer) == (dns.rcode.NOERROR, [])
    unknown = ask(server.address, "shop.test", "TYPE999")
    assert (unknown.rcode(), unknown.answer) == (dns.rcode.NOERROR, [])
    missing = ask(server.address, "nowhere.shop.test")
    assert (missing.rcode(), missing.answer) == (dns.rcode.NXDOMAIN, [])
    assert missing.flags & dns.flags.AA


def test_each_vantage_has_its_own_answer(table: Table) -> None:
    server = NameServer(table, Vantage.DR, "127.0.0.1")
    server.start()
    try:
        assert {value for *_, value in found(ask(server.address, "shop.test"))} == {"127.0.1.12"}
    finally:
        server.stop()


def test_a_zone_that_cannot_say_is_a_failure_and_not_the_end(server: NameServer, table: Table) -> None:
    table.broken = True
    assert ask(server.address, "shop.test").rcode() == dns.rcode.SERVFAIL
    table.broken = False
    assert ask(server.address, "shop.test").rcode() == dns.rcode.NOERROR


def test_rubbish_is_ignored(server: NameServer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for rubbish in (b"", b"x", bytes(12), bytes(range(200))):
            client.sendto(rubbish, server.address)
    assert found(ask(server.address, "_seen.shop.test", "TXT"))


def test_a_shut_gate_is_silence(table: Table) -> None:
    path = Path.BLACK_HOLED
    server = NameServer(table, Vantage.DR, "127.0.0.1", gate=lambda: path)
    server.start()
    try:
        with pytest.raises(dns.exception.Timeout):
            ask(server.address, "shop.test", timeout=0.2)
        path = Path.OPEN
        assert found(ask(server.address, "shop.test"))
    finally:
        server.stop()


def test_the_resolver_keeps_an_answer_for_its_ttl_and_no_longer(resolver: Resolver, table: Table, clock: Clock) -> None:
    first = ask(resolver.address, "shop.test")
    assert {ttl for _, _, ttl, _ in found(first)} == {3}
    assert first.flags & dns.flags.RA
    assert not first.flags & dns.flags.AA
    table.records = [Record("shop.test", "A", 3, "127.0.2.10")]
    clock.now += 1.5
    assert {(ttl, value) for _, _, ttl, value in found(ask(resolver.address, "SHOP.test"))} == {
        (1, "127.0.1.10"),
        (1, "127.0.1.11"),
    }
    clock.now += 1.4
    assert {ttl for _, _, ttl, _ in found(ask(resolver.address, "shop.test"))} == {0}
    assert table.asked == ["shop.test"]
    clock.now += 0.1
    assert [(ttl, value) for _, _, ttl, value in found(ask(resolver.address, "shop.test"))] == [(3, "127.0.2.10")]


def test_the_resolver_keeps_types_apart_and_passes_a_chain_on(resolver: Resolver, table: Table) -> None:
    table.records.append(Record("_seen.shop.test", "A", 10, "127.0.0.1"))
    assert [kind for _, kind, _, _ in found(ask(resolver.address, "_seen.shop.test", "TXT"))] == ["TXT"]
    assert [kind for _, kind, _, _ in found(ask(resolver.address, "_seen.shop.test", "A"))] == ["A"]
    assert found(ask(resolver.address, "www.shop.test")) == [("www.shop.test.", "CNAME", 60, "shop.test.")]


def test_a_missing_name_is_kept_briefly(resolver: Resolver, table: Table, clock: Clock) -> None:
    assert ask(resolver.address, "new.shop.test").rcode() == dns.rcode.NXDOMAIN
    table.records.append(Record("new.shop.test", "A", 3, "127.0.1.10"))
    clock.now += 0.9
    assert ask(resolver.address, "new.shop.test").rcode() == dns.rcode.NXDOMAIN
    clock.now += 0.1
    assert found(ask(resolver.address, "new.shop.test"))


def test_a_ttl_of_zero_is_not_kept(resolver: Resolver, table: Table) -> None:
    ask(resolver.address, "zero.shop.test")
    ask(resolver.address, "zero.shop.test")
    assert table.asked == ["zero.shop.test"] * 2


def test_a_silent_upstream_is_servfail_and_not_remembered(resolver: Resolver, server: NameServer) -> None:
    address = server.address
    server.stop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(address)
        assert ask(resolver.address, "shop.test").rcode() == dns.rcode.SERVFAIL
    server.start()
    assert found(ask(resolver.address, "shop.test"))


def test_what_is_kept_outlives_the_upstream(resolver: Resolver, server: NameServer, clock: Clock) -> None:
    ask(resolver.address, "shop.test")
    server.stop()
    assert found(ask(resolver.address, "shop.test"))
    clock.now += 3
    assert ask(resolver.address, "shop.test").rcode() == dns.rcode.SERVFAIL


def test_a_busy_port_is_named(server: NameServer, table: Table) -> None:
    host, port = server.address
    with pytest.raises(PortBusy, match=f"{host}:{port}"):
        NameServer(table, Vantage.DR, host, port=port).start()


@pytest.mark.linux
def test_stop_leaves_nothing(table: Table) -> None:
    def descriptors() -> int:
        return len(list(File("/proc/self/fd").iterdir()))

    before = descriptors()
    server = NameServer(table, Vantage.OUTSIDE, "127.0.0.1")
    server.start()
    resolver = Resolver(server.address, "127.0.0.1")
    resolver.start()
    assert found(ask(resolver.address, "shop.test"))
    resolver.stop()
    server.stop()
    deadline = time.monotonic() + 5
    while descriptors() != before:
        assert time.monotonic() < deadline, "stop() left descriptors open"
        time.sleep(0.005)
