"""The clients outside, against a real HTTP server and a real name server on loopback."""

import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dnslib
import dnslib.server
import pytest

from lab.attempts import Attempt, AttemptLog, Failure, Kind, read
from lab.client import Client, ClientSettings, ClientsOutside
from lab.dns import NameServer, Record, Resolver
from lab.region import Vantage
from lab.score import dns_answered
from lab.site import Site

NAME = "shop.example.test"
PATIENCE = 15.0


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; fail when it does not come."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not seen within {PATIENCE:.0f} s: {what}"
        time.sleep(0.01)


class Shop(http.server.ThreadingHTTPServer):
    """A shop on loopback that can be told to misbehave."""

    daemon_threads = True

    def __init__(self, host: str, port: int = 0, region: str = "eu-west-1") -> None:
        self.region = region
        self.orders: dict[str, bytes] = {}
        self.bodies: dict[str, set[bytes]] = {}
        self.hosts: set[str] = set()
        self.connections = 0
        self.mood = "good"
        """good, unavailable, committed-unsaid, silent, late, half or garbage: how an order is answered."""
        self.free = threading.Event()
        super().__init__((host, port), _Handler)
        self.port = int(self.server_address[1])
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self.free.set()
        self.shutdown()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Shop

    def setup(self) -> None:
        self.server.connections += 1
        super().setup()

    def log_message(self, *_: object) -> None:
        pass

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def answer(self, status: int, body: bytes, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("X-Relight-Region", self.server.region)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        shop = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        order = json.loads(body)["id"]
        shop.hosts.add(self.headers["Host"])
        shop.bodies.setdefault(order, set()).add(body)
        if shop.mood in ("good", "committed-unsaid", "half"):
            shop.orders[order] = body
        self.close_connection = shop.mood != "good"
        match shop.mood:
            case "good":
                self.answer(201, body)
            case "unavailable":
                self.answer(503, b"")
            case "half":
                self.answer(201, body, len(body) + 10)
            case "garbage":
                self.wfile.write(b"I am no HTTP\r\n\r\n")
            case "400" | "409":
                self.answer(int(shop.mood), b"{}")
            case "silent":
                shop.free.wait(PATIENCE)
            case "late":
                shop.free.wait(PATIENCE)
                self.answer(201, body)

    def do_GET(self) -> None:
        known = self.path == "/" or self.path.removeprefix("/orders/") in self.server.orders
        self.answer(200 if known else 404, b"<html>")


class Names:
    """A name server that answers with the addresses it is told to."""

    def __init__(self) -> None:
        self.addresses: list[str] = ["127.0.0.1"]
        self.silent = False
        self.asked = 0
        self.server = dnslib.server.DNSServer(self, port=0, address="127.0.0.1", logger=_Quiet()).server
        self.at = ("127.0.0.1", int(self.server.server_address[1]))
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def resolve(self, request: Any, _: Any) -> Any:
        """dnslib's hook."""
        self.asked += 1
        reply = request.reply()
        if self.silent:
            # Not the answer to this question: whoever asked goes on waiting.
            reply.header.id = request.header.id ^ 1
        for address in self.addresses:
            reply.add_answer(dnslib.RR(NAME, rdata=dnslib.A(address), ttl=0))
        return reply

    def close(self) -> None:
        """Stop answering."""
        self.server.shutdown()
        self.server.server_close()


class _Quiet:
    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_: None


@pytest.fixture
def names() -> Iterator[Names]:
    server = Names()
    yield server
    server.close()


@pytest.fixture
def shop() -> Iterator[Shop]:
    server = Shop("127.0.0.1")
    yield server
    server.close()


def settings(names: Names, port: int, log: Path, **more: Any) -> ClientSettings:
    quick: dict[str, Any] = {"timeout": 0.5, "pause": 0.005, "retry_after": 0.02, "clients": 1}
    return ClientSettings(resolver=names.at, name=NAME, port=port, log=log, run="r1", **(quick | more))


@contextmanager
def working(given: ClientSettings) -> Iterator[AttemptLog]:
    """One client in a thread of this process; its log as it grows."""
    stop = threading.Event()
    log = os.open(given.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    thread = threading.Thread(target=Client(given, 0, log).work, args=(stop,))
    thread.start()
    try:
        yield AttemptLog(given.log)
    finally:
        stop.set()
        thread.join()
        os.close(log)


def blank() -> Attempt:
    return Attempt(kind=Kind.WRITE, id="x", client=0, sent=time.time(), got=0.0)


def ask(names: Names, port: int, timeout: float = 0.3) -> Attempt:
    """One order, sent once."""
    return Site(names.at, NAME, port, timeout=timeout).ask(blank(), "POST", "/orders", b'{"id": "x"}')


def test_a_process_of_clients_orders_reads_and_keeps_a_log(names: Names, shop: Shop, tmp_path: Path) -> None:
    given = settings(names, shop.port, tmp_path / "clients.jsonl", clients=3)
    with ClientsOutside(given) as outside:
        log, seen = AttemptLog(given.log), list[Attempt]()

        def all_kinds() -> bool:
            seen.extend(log.new())
            return {attempt.kind for attempt in seen} == set(Kind) and len({a.client for a in seen}) == 3

        until(all_kinds, "writes, reads and pages of three clients")
    assert outside.process is not None
    assert outside.process.returncode == 0
    attempts = read(given.log)
    acknowledged = {attempt.id for attempt in attempts if attempt.acknowledged}
    assert acknowledged == shop.orders.keys()
    assert all(re.fullmatch(r"r1-[0-9]+-[0-9]+", order) for order in acknowledged)
    assert all(attempt.good and attempt.region == "eu-west-1" for attempt in attempts)
    assert all(attempt.address == "127.0.0.1" and attempt.answer == ("127.0.0.1",) for attempt in attempts)
    assert all(attempt.sent <= attempt.got for attempt in attempts)
    assert shop.hosts == {f"{NAME}:{shop.port}"}


def test_the_process_ignores_ctrl_c_and_stops_at_sigterm(names: Names, shop: Shop, tmp_path: Path) -> None:
    given = settings(names, shop.port, tmp_path / "clients.jsonl")
    with ClientsOutside(given) as outside:
        assert outside.process is not None
        until(lambda: bool(shop.orders), "an order")
        outside.process.send_signal(signal.SIGINT)
        before = len(shop.orders)
        until(lambda: len(shop.orders) > before + 3, "orders after Ctrl-C")
        outside.process.terminate()
        assert outside.process.wait(PATIENCE) == 0


def test_the_process_ends_when_its_parent_is_gone(names: Names, shop: Shop, tmp_path: Path) -> None:
    given = settings(names, shop.port, tmp_path / "clients.jsonl")
    parent = "import subprocess, sys, time; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", parent, *given.command()], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        until(lambda: bool(shop.orders), "an order")
        process.kill()
    until(lambda: not Path(f"/proc/{child}").exists() or "Z" in _state(child), "the end of the clients")


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_an_unacknowledged_write_is_sent_again_with_the_same_id_and_body(
    names: Names, shop: Shop, tmp_path: Path
) -> None:
    shop.mood = "committed-unsaid"
    with working(settings(names, shop.port, tmp_path / "log", retry_after=0.1)) as log:
        until(lambda: len(shop.orders) >= 5, "five orders that were never acknowledged")
        unsaid = set(shop.orders)
        assert not any(attempt.acknowledged for attempt in log.new())
        shop.mood = "good"
        settled: set[str] = set()

        def all_settled() -> bool:
            settled.update(attempt.id for attempt in log.new() if attempt.acknowledged)
            return unsaid <= settled

        until(all_settled, "an acknowledgement of each")
    assert all(len(bodies) == 1 for bodies in shop.bodies.values())


@pytest.mark.parametrize("status", [400, 409])
def test_an_order_refused_for_good_is_not_sent_again(names: Names, shop: Shop, tmp_path: Path, status: int) -> None:
    shop.mood = str(status)
    with working(settings(names, shop.port, tmp_path / "log")):
        until(lambda: len(shop.bodies) >= 10, "ten orders")
    writes = [attempt for attempt in read(tmp_path / "log") if attempt.kind is Kind.WRITE]
    assert len(writes) == len({attempt.id for attempt in writes})
    assert {(attempt.status, attempt.good) for attempt in writes} == {(status, False)}


def test_an_order_refused_for_now_is_sent_again(names: Names, shop: Shop, tmp_path: Path) -> None:
    shop.mood = "unavailable"
    with working(settings(names, shop.port, tmp_path / "log")) as log:
        seen: list[Attempt] = []

        def repeated() -> bool:
            seen.extend(log.new())
            return len(seen) > len({attempt.id for attempt in seen}) + 5

        until(repeated, "orders sent again after 503")
    assert {(attempt.status, attempt.error, attempt.good) for attempt in seen if attempt.kind is Kind.WRITE} == {
        (503, None, False)
    }


def test_clients_follow_the_name(names: Names, shop: Shop, tmp_path: Path) -> None:
    other = Shop("127.0.0.2", shop.port, region="eu-central-1")
    try:
        with working(settings(names, shop.port, tmp_path / "log")):
            until(lambda: bool(shop.orders), "an order at the first address")
            names.addresses = ["127.0.0.2"]
            until(lambda: bool(other.orders), "an order at the second address")
    finally:
        other.close()
    regions = [str(attempt.region) for attempt in read(tmp_path / "log") if attempt.good]
    assert regions == sorted(regions, reverse=True), "no client goes back to where the name does not lead"


def test_clients_stay_where_the_resolver_sends_them_until_the_ttl_has_passed(shop: Shop, tmp_path: Path) -> None:
    other = Shop("127.0.0.2", shop.port, region="eu-central-1")
    zone = _Zone()
    server = NameServer(zone, Vantage.OUTSIDE, "127.0.0.1")
    server.start()
    resolver = Resolver(server.address, "127.0.0.1", clock=lambda: zone.now)
    resolver.start()
    given = ClientSettings(resolver.address, NAME, shop.port, tmp_path / "log", "r1", clients=1, pause=0.005)
    try:
        with working(given):
            until(lambda: bool(shop.orders), "an order at the first address")
            zone.address = "127.0.0.2"
            before = len(shop.orders)
            until(lambda: len(shop.orders) > before + 10, "orders at the first address while its TTL runs")
            assert not other.orders
            zone.now += 3.0
            until(lambda: bool(other.orders), "an order at the second address")
    finally:
        resolver.stop()
        server.stop()
        other.close()
    moved = dns_answered(read(tmp_path / "log"), {"127.0.0.2"})
    assert moved is not None
    assert zone.asked == 2


class _Zone:
    """One address record with a TTL of three seconds, on a clock that only the test moves."""

    address, now, asked = "127.0.0.1", 0.0, 0

    def answer(self, name: str, rtype: str, vantage: Vantage) -> list[Record] | None:
        self.asked += 1
        return [Record(name, rtype, 3, self.address)] if (name, vantage) == (NAME, Vantage.OUTSIDE) else None


def test_a_connection_kept_alive_stays_where_it_is(names: Names, shop: Shop, tmp_path: Path) -> None:
    with working(settings(names, shop.port, tmp_path / "log", keep_alive=True)):
        until(lambda: bool(shop.orders), "an order")
        names.addresses = []
        before = len(shop.orders)
        until(lambda: len(shop.orders) > before + 5, "orders without a name")
    assert (shop.connections, names.asked) == (1, 1)


def test_a_pinned_client_asks_for_the_name_once_and_comes_back_to_where_it_was(
    names: Names, shop: Shop, tmp_path: Path
) -> None:
    with working(settings(names, shop.port, tmp_path / "log", pinned=1, patience=0.2)) as log:
        until(lambda: bool(shop.orders), "an order")
        names.addresses = ["127.0.0.3"]
        seen: list[Attempt] = []

        def failed() -> bool:
            seen.extend(log.new())
            return any(attempt.error is Failure.RESET for attempt in seen)

        shop.mood = "committed-unsaid"
        until(failed, "a broken connection")
        shop.mood = "good"
        before = len(shop.orders)
        until(lambda: len(shop.orders) > before + 5, "orders at the old address, over a new connection")
    assert shop.connections > 1
    assert names.asked == 1
    assert {attempt.address for attempt in read(tmp_path / "log")} == {"127.0.0.1"}


def test_a_patient_client_still_waits_when_the_answer_comes_at_last(names: Names, shop: Shop, tmp_path: Path) -> None:
    shop.mood = "late"
    with working(settings(names, shop.port, tmp_path / "log", pinned=1, patience=PATIENCE, timeout=0.05)) as log:
        until(lambda: bool(shop.bodies), "an order that is not answered")
        assert log.new() == ()
        shop.free.set()
        until(lambda: any(attempt.acknowledged for attempt in log.new()), "the late answer")


def test_whoever_waits_for_ever_is_left_behind(names: Names, shop: Shop, tmp_path: Path) -> None:
    shop.mood = "silent"
    given = settings(names, shop.port, tmp_path / "log", clients=3, pinned=1, patience=10 * PATIENCE)
    with ClientsOutside(given) as outside:
        until(lambda: len(shop.bodies) >= 3, "an order of each client")
        assert outside.process is not None
        outside.process.terminate()
        assert outside.process.wait(PATIENCE) == 0
    assert 0 not in {attempt.client for attempt in read(tmp_path / "log")}


def test_which_clients_are_pinned_and_which_of_them_are_patient(names: Names, tmp_path: Path) -> None:
    given = settings(names, 1, tmp_path / "log", clients=5, pinned=3, patience=60, timeout=1)
    assert [given.pins(number) for number in range(5)] == [True, True, True, False, False]
    assert [given.limit(number) for number in range(5)] == [60, 1, 60, 1, 1]


@pytest.mark.parametrize(
    ("mood", "status", "error"),
    [
        ("good", 201, None),
        ("unavailable", 503, None),
        ("committed-unsaid", None, Failure.RESET),
        ("silent", None, Failure.TIMEOUT),
        ("half", 201, Failure.RESET),
        ("garbage", None, Failure.MALFORMED),
    ],
)
def test_how_an_attempt_ends(names: Names, shop: Shop, mood: str, status: int | None, error: Failure | None) -> None:
    shop.mood = mood
    attempt = ask(names, shop.port)
    assert (attempt.status, attempt.error) == (status, error)
    assert attempt.good is (mood == "good")
    assert attempt.acknowledged is (status == 201)
    assert attempt.sent <= attempt.got


def test_nobody_listening_is_refused(names: Names, shop: Shop) -> None:
    shop.close()
    assert ask(names, shop.port).error is Failure.REFUSED


def test_a_name_without_an_address(names: Names, shop: Shop) -> None:
    names.addresses = []
    attempt = ask(names, shop.port)
    assert (attempt.error, attempt.address, attempt.answer) == (Failure.DNS_EMPTY, None, ())


def test_a_silent_resolver(names: Names, shop: Shop) -> None:
    names.silent = True
    assert ask(names, shop.port).error is Failure.DNS_SILENT


def test_addresses_take_turns(names: Names, shop: Shop) -> None:
    names.addresses = ["127.0.0.1", "127.0.0.3"]
    site = Site(names.at, NAME, shop.port, timeout=0.5)
    ends = [site.ask(blank(), "GET", "/") for _ in range(4)]
    assert [attempt.address for attempt in ends] == ["127.0.0.1", "127.0.0.3"] * 2
    assert [attempt.error for attempt in ends] == [None, Failure.REFUSED] * 2


def test_the_log_survives_lines_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = AttemptLog(path)
    assert log.new() == ()
    good = blank().line()
    path.write_bytes(good + b"\n" + b"nonsense\n" + b'{"kind": "write"}\n' + b"[1]\n" + good[:20])
    assert len(log.new()) == 1
    assert log.unreadable == 3
    with path.open("ab") as file:
        file.write(good[20:])
    assert log.new() == (blank_of(good),)
    assert log.new() == ()
    assert log.unreadable == 3


def blank_of(line: bytes) -> Attempt:
    attempt = Attempt.of(line)
    assert attempt is not None
    return attempt


def test_the_command_line_says_what_the_settings_say(names: Names, tmp_path: Path) -> None:
    given = settings(names, 8080, tmp_path / "a b", keep_alive=True, clients=7, pinned=2, patience=9.5)
    assert ClientSettings.parse(given.command()[3:]) == given


def test_a_resolver_without_a_port_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        ClientSettings.parse(
            ["--resolver", "127.0.0.1", "--name", NAME, "--port", "1", "--log", str(tmp_path / "l"), "--run", "r"]
        )
    assert ended.value.code == 2
