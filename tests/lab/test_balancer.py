"""Which target a client reaches through the balancer, on real sockets."""

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path as File

import pytest

from lab.balancer import Balancer
from lab.errors import PortBusy
from lab.network import Network, Path
from lab.pipe import data_plane
from lab.region import Side, Vantage, alb_address
from lab.target import FAILED, HEALTHY, TIMED_OUT, TargetCheck, TargetRecord, mismatch

CHECK = TargetCheck("/ready", interval=0.02, timeout=0.3, healthy_threshold=2, unhealthy_threshold=2)


def until(true: Callable[[], bool], what: str, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


class App(ThreadingHTTPServer):
    """An application that says its name, and 200 or 503 when it is asked whether it is ready."""

    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), AppHandler)
        self.name = name
        self.ready = 200
        self.hold = threading.Event()
        self.hold.set()
        self.held = threading.Event()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def at(self) -> tuple[str, int]:
        host, port = self.server_address[:2]
        return str(host), int(port)

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a health check that is done with a slow answer hangs up, and so does a lost Region."""

    def die(self) -> None:
        self.hold.set()
        self.shutdown()
        self.server_close()


class AppHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: App

    def do_GET(self) -> None:
        if self.path == "/slow":
            self.server.held.set()
            self.server.hold.wait(5)
        body = self.server.name.encode()
        self.send_response(self.server.ready if self.path == "/ready" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Nothing: the test's output is not the place."""


@pytest.fixture
def apps() -> Iterator[list[App]]:
    apps = [App("a"), App("b")]
    yield apps
    for app in apps:
        app.die()


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def balancer(network: Network) -> Iterator[Balancer]:
    yield from started(network)


def started(network: Network, *, fail_open: bool = True) -> Iterator[Balancer]:
    listen = [(vantage, alb_address(Side.PRIMARY, vantage), 0) for vantage in Vantage]
    balancer = Balancer(listen, network, Side.PRIMARY, CHECK, fail_open=fail_open)
    balancer.start()
    yield balancer
    balancer.stop()


def register(balancer: Balancer, *apps: App) -> None:
    balancer.set_targets({app.name: app.at for app in apps})


def states(balancer: Balancer) -> dict[str, str]:
    return {name: health.state for name, health in balancer.health().items()}


def await_states(balancer: Balancer, **wanted: str) -> None:
    until(lambda: states(balancer) == wanted, f"the targets did not become {wanted}")


def client(balancer: Balancer, vantage: Vantage = Vantage.OUTSIDE) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(*balancer.address(vantage), timeout=5)


def get(connection: http.client.HTTPConnection, path: str = "/") -> tuple[int, str]:
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def fetch(balancer: Balancer, vantage: Vantage = Vantage.OUTSIDE) -> tuple[int, str]:
    connection = client(balancer, vantage)
    try:
        return get(connection)
    finally:
        connection.close()


def test_a_new_target_needs_one_pass_and_a_failed_one_the_threshold() -> None:
    check = TargetCheck(healthy_threshold=3, unhealthy_threshold=2)
    record = TargetRecord()
    assert tuple(record.health) == ("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
    story = [
        (FAILED, "initial"),
        (HEALTHY, "healthy"),
        (FAILED, "healthy"),
        (HEALTHY, "healthy"),
        (FAILED, "healthy"),
        (TIMED_OUT, "unhealthy"),
        (HEALTHY, "unhealthy"),
        (HEALTHY, "unhealthy"),
        (mismatch(503), "unhealthy"),
        (HEALTHY, "unhealthy"),
        (HEALTHY, "unhealthy"),
        (HEALTHY, "healthy"),
    ]
    seen = []
    for result, _ in story:
        record.observe(result, check)
        seen.append((result, record.health.state))
    assert seen == story


@pytest.mark.parametrize(
    ("matcher", "passes", "fails"), [("200", 200, 204), ("200,204", 204, 203), ("200-299,301", 301, 300)]
)
def test_matchers(matcher: str, passes: int, fails: int) -> None:
    check = TargetCheck(matcher=matcher)
    assert check.accepts(passes)
    assert not check.accepts(fails)


def test_a_matcher_that_is_no_list_of_codes_is_refused() -> None:
    with pytest.raises(ValueError, match="2xx"):
        TargetCheck(matcher="2xx")


def test_new_connections_take_turns_and_a_kept_one_stays(balancer: Balancer, apps: list[App]) -> None:
    register(balancer, *apps)
    await_states(balancer, a="healthy", b="healthy")
    assert {fetch(balancer)[1] for _ in range(4)} == {"a", "b"}
    kept = client(balancer)
    assert len({get(kept) for _ in range(6)}) == 1
    kept.close()
    until(lambda: balancer.connections == 0, "the balancer keeps connections that have ended")


def test_no_target_is_a_proper_503_also_to_a_post(balancer: Balancer) -> None:
    connection = client(balancer)
    connection.request("POST", "/orders", body=b"x" * 200_000)
    answer = connection.getresponse()
    assert answer.status == 503
    assert answer.getheader("Content-Type") == "text/plain"
    assert answer.read() == b"503 Service Unavailable\n"
    connection.close()


def test_a_target_that_refuses_is_a_502(balancer: Balancer, apps: list[App]) -> None:
    register(balancer, apps[0])
    await_states(balancer, a="healthy")
    apps[0].die()
    assert fetch(balancer)[0] in {502, 503}
    until(lambda: balancer.health()["a"] == FAILED, "a dead target was not found out")
    assert fetch(balancer)[0] == 502


def test_an_unready_target_gets_nothing_while_another_is_healthy(balancer: Balancer, apps: list[App]) -> None:
    register(balancer, *apps)
    await_states(balancer, a="healthy", b="healthy")
    kept = [client(balancer) for _ in range(2)]
    assert {get(connection)[1] for connection in kept} == {"a", "b"}
    apps[0].ready = 503
    await_states(balancer, a="unhealthy", b="healthy")
    assert balancer.health()["a"] == mismatch(503)
    assert balancer.health()["a"].reason == "Target.ResponseCodeMismatch"
    assert {fetch(balancer)[1] for _ in range(4)} == {"b"}
    until(lambda: balancer.connections == 1, "the idle connection to the unready target stays open")
    for connection in kept:
        connection.close()
    apps[0].ready = 200
    await_states(balancer, a="healthy", b="healthy")


def test_all_unhealthy_fails_open_as_on_aws(balancer: Balancer, apps: list[App]) -> None:
    for app in apps:
        app.ready = 503
    register(balancer, *apps)
    await_states(balancer, a="unhealthy", b="unhealthy")
    assert {fetch(balancer) for _ in range(4)} == {(200, "a"), (200, "b")}


def test_failing_open_can_be_turned_off(network: Network, apps: list[App]) -> None:
    apps[0].ready = 503
    for balancer in started(network, fail_open=False):
        register(balancer, apps[0])
        await_states(balancer, a="unhealthy")
        assert fetch(balancer)[0] == 503


def test_a_silent_target_times_out(balancer: Balancer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        balancer.set_targets({"mute": silent.getsockname()})
        until(lambda: balancer.health()["mute"] == TIMED_OUT, "a silent target was not found out")


def test_deregistration_lets_the_request_under_way_end(balancer: Balancer, apps: list[App]) -> None:
    register(balancer, *apps)
    await_states(balancer, a="healthy", b="healthy")
    busy = client(balancer)
    name = get(busy)[1]
    app = next(app for app in apps if app.name == name)
    other = next(app for app in apps if app.name != name)
    app.hold.clear()
    busy.request("GET", "/slow")
    assert app.held.wait(5)
    register(balancer, other)
    assert {fetch(balancer)[1] for _ in range(3)} == {other.name}
    app.hold.set()
    assert busy.getresponse().read().decode() == name
    until(lambda: balancer.connections == 0, "the connection outlives its target's registration")
    assert set(balancer.health()) == {other.name}


def test_losing_the_last_target_closes_the_idle_connection(balancer: Balancer, apps: list[App]) -> None:
    register(balancer, apps[0])
    await_states(balancer, a="healthy")
    kept = client(balancer)
    get(kept)
    register(balancer)
    assert kept.sock.recv(1) == b""
    kept.close()


def test_each_vantage_has_its_own_fate(balancer: Balancer, network: Network, apps: list[App]) -> None:
    register(balancer, apps[0])
    await_states(balancer, a="healthy")
    network.cut_between(Path.REFUSED)
    data_plane().call(lambda: None)
    assert fetch(balancer, Vantage.OUTSIDE) == (200, "a")
    with pytest.raises(ConnectionRefusedError):
        fetch(balancer, Vantage.DR)
    network.restore(Side.DR)
    data_plane().call(lambda: None)
    assert fetch(balancer, Vantage.DR) == (200, "a")


def test_a_black_holed_region_holds_its_clients_and_says_nothing(
    balancer: Balancer, network: Network, apps: list[App]
) -> None:
    register(balancer, apps[0])
    await_states(balancer, a="healthy")
    kept = client(balancer)
    get(kept)
    network.lose(Side.PRIMARY, Path.BLACK_HOLED)
    data_plane().call(lambda: None)
    register(balancer)
    kept.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        get(kept)
    assert fetch(balancer, Vantage.PRIMARY)[0] == 503
    network.lose(Side.PRIMARY, Path.REFUSED)
    with pytest.raises(ConnectionResetError):
        kept.sock.recv(1)
    kept.close()


def test_a_busy_port_is_named(balancer: Balancer, network: Network) -> None:
    host, port = balancer.address(Vantage.OUTSIDE)
    second = Balancer([(Vantage.DR, "127.0.1.12", 0), (Vantage.OUTSIDE, host, port)], network, Side.PRIMARY, CHECK)
    with pytest.raises(PortBusy, match=f"{host}:{port}"):
        second.start()


@pytest.mark.linux
def test_stop_leaves_nothing(network: Network, apps: list[App]) -> None:
    def descriptors() -> int:
        return len(list(File("/proc/self/fd").iterdir()))

    data_plane()
    before = descriptors()
    for balancer in started(network):
        register(balancer, apps[0])
        await_states(balancer, a="healthy")
        kept = client(balancer)
        get(kept)
        balancer.stop()
        with pytest.raises(ConnectionResetError):
            kept.sock.recv(1)
        kept.close()
        with pytest.raises(ConnectionRefusedError):
            fetch(balancer)
    until(lambda: descriptors() == before, "stop() left descriptors open")
