"""What the network lets through, on real sockets."""

import errno
import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path as File

import pytest

from lab.errors import PortBusy
from lab.network import Network, Path, Relay
from lab.pipe import data_plane
from lab.region import GLOBAL, Shared, Side, Vantage, access_key, place_of, side_of, vantage_of

SILENCE_SECONDS = 0.15


def until(true: Callable[[], bool], what: str, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


class Echo:
    """A server that sends back what it gets, on any number of connections."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.listener.getsockname()
        self.live: list[socket.socket] = []
        self.heard: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.live.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while data := connection.recv(65536):
                self.heard.append(data)
                connection.sendall(data)

    def close(self) -> None:
        self.listener.close()
        for connection in self.live:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


class Gate:
    def __init__(self) -> None:
        self.path = Path.OPEN
        self.admits = True


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def relay(echo: Echo, gate: Gate) -> Iterator[Relay]:
    relay = Relay(("127.0.1.99", 0), echo.address, lambda: gate.path, admit=lambda: gate.admits)
    relay.start()
    yield relay
    relay.stop()


def turn(relay: Relay, gate: Gate, path: Path) -> None:
    """Change the gate and wait until the relay has looked."""
    gate.path = path
    relay.poke()
    data_plane().call(lambda: None)


def dial(relay: Relay) -> socket.socket:
    connection = socket.create_connection(relay.address, timeout=5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def ask(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    answer = b""
    while len(answer) < len(data):
        part = connection.recv(65536)
        assert part, "the connection ended"
        answer += part
    return answer


def is_silent(connection: socket.socket) -> bool:
    connection.settimeout(SILENCE_SECONDS)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(5)
    return False


def is_refused(relay: Relay) -> bool:
    try:
        dial(relay).close()
    except ConnectionRefusedError:
        return True
    return False


def test_names_of_places_and_keys() -> None:
    assert side_of("eu-west-1") is Side.PRIMARY
    assert place_of("eu-central-1") is Side.DR
    assert place_of(GLOBAL) is Shared.GLOBAL
    with pytest.raises(ValueError, match="eu-north-1"):
        place_of("eu-north-1")
    assert {vantage_of(access_key(vantage)) for vantage in Vantage} == set(Vantage)
    assert {len(access_key(vantage)) for vantage in Vantage} == {20}
    assert vantage_of("AKIA1234567890123456") is Vantage.OUTSIDE


def test_a_lost_region_is_reached_by_nobody_else_and_reaches_nobody() -> None:
    network = Network()
    network.lose(Side.PRIMARY, Path.REFUSED)
    assert network.state(Vantage.OUTSIDE, Side.PRIMARY) is Path.REFUSED
    assert network.state(Vantage.DR, Side.PRIMARY) is Path.REFUSED
    assert network.state(Vantage.PRIMARY, Side.DR) is Path.REFUSED
    assert network.state(Vantage.PRIMARY, Shared.GLOBAL) is Path.REFUSED
    assert network.state(Vantage.PRIMARY, Side.PRIMARY) is Path.OPEN
    assert network.state(Vantage.OUTSIDE, Side.DR) is Path.OPEN
    assert network.state(Vantage.DR, Shared.GLOBAL) is Path.OPEN


def test_restoring_one_place_leaves_the_other_loss_as_it_is() -> None:
    network = Network()
    network.lose(Side.PRIMARY, Path.BLACK_HOLED)
    network.lose(Shared.GLOBAL, Path.REFUSED)
    network.restore(Side.PRIMARY)
    assert network.state(Vantage.OUTSIDE, Side.PRIMARY) is Path.OPEN
    assert network.state(Vantage.PRIMARY, Shared.GLOBAL) is Path.REFUSED
    network.restore(Shared.GLOBAL)
    assert {network.state(vantage, place) for vantage in Vantage for place in (*Side, *Shared)} == {Path.OPEN}


def test_a_cut_between_the_regions_does_not_concern_the_outside() -> None:
    network = Network()
    changes: list[Path] = []
    unsubscribe = network.subscribe(lambda: changes.append(network.state(Vantage.DR, Side.PRIMARY)))
    network.cut_between()
    assert changes == [Path.BLACK_HOLED]
    assert network.state(Vantage.PRIMARY, Side.DR) is Path.BLACK_HOLED
    assert network.state(Vantage.OUTSIDE, Side.PRIMARY) is Path.OPEN
    assert network.state(Vantage.DR, Shared.GLOBAL) is Path.OPEN
    unsubscribe()
    network.restore(Side.PRIMARY)
    assert changes == [Path.BLACK_HOLED]
    assert network.state(Vantage.PRIMARY, Side.DR) is Path.OPEN


def test_the_databases_alone_can_be_cut_off_from_each_other() -> None:
    network = Network()
    between = Vantage.PRIMARY, Side.DR
    network.cut_databases()
    assert (network.database_state(*between), network.state(*between)) == (Path.BLACK_HOLED, Path.OPEN)
    network.lose(Side.PRIMARY, Path.REFUSED)
    assert network.database_state(*between) is Path.REFUSED
    network.restore(Side.PRIMARY)
    assert network.database_state(*between) is Path.OPEN


def test_bytes_pass_unchanged_and_ends_are_passed_on(relay: Relay, echo: Echo) -> None:
    data = os.urandom(3_000_000)
    with dial(relay) as connection:
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        answer = bytearray()
        while len(answer) < len(data):
            answer += connection.recv(65536)
        sender.join()
        assert bytes(answer) == data
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    until(lambda: relay.connections == 0, "the relay keeps a connection that has ended")


def test_refused_resets_what_lives_and_refuses_what_is_new(relay: Relay, gate: Gate) -> None:
    with dial(relay) as live:
        assert ask(live, b"before") == b"before"
        turn(relay, gate, Path.REFUSED)
        with pytest.raises(ConnectionResetError):
            live.recv(1)
    assert is_refused(relay)
    turn(relay, gate, Path.OPEN)
    with dial(relay) as again:
        assert ask(again, b"after") == b"after"


def test_a_black_hole_silences_both_directions_and_keeps_what_lives(relay: Relay, gate: Gate, echo: Echo) -> None:
    with dial(relay) as live:
        assert ask(live, b"before") == b"before"
        turn(relay, gate, Path.BLACK_HOLED)
        live.sendall(b"into the dark")
        echo.live[0].sendall(b"from the dark")
        assert is_silent(live)
        assert echo.heard == [b"before"]
        turn(relay, gate, Path.OPEN)
        expected = len(b"into the dark") + len(b"from the dark")
        answer = b""
        while len(answer) < expected:
            answer += live.recv(100)
        assert echo.heard == [b"before", b"into the dark"]


def test_a_black_hole_answers_nothing_new_and_delivers_none_of_it_later(relay: Relay, gate: Gate, echo: Echo) -> None:
    turn(relay, gate, Path.BLACK_HOLED)
    with dial(relay) as new:
        new.sendall(b"lost")
        assert is_silent(new)
        turn(relay, gate, Path.OPEN)
        with pytest.raises(ConnectionResetError):
            new.recv(1)
    with dial(relay) as later:
        assert ask(later, b"heard") == b"heard"
    assert echo.heard == [b"heard"]


def test_a_black_hole_can_turn_into_a_refusal(relay: Relay, gate: Gate) -> None:
    with dial(relay) as live:
        ask(live, b"x")
        turn(relay, gate, Path.BLACK_HOLED)
        turn(relay, gate, Path.REFUSED)
        with pytest.raises(ConnectionResetError):
            live.recv(1)
    turn(relay, gate, Path.BLACK_HOLED)
    with dial(relay) as new:
        assert is_silent(new)


def test_admission_rules_over_new_connections_only(relay: Relay, gate: Gate) -> None:
    with dial(relay) as live:
        assert ask(live, b"1") == b"1"
        gate.admits = False
        turn(relay, gate, Path.OPEN)
        with dial(relay) as new:
            new.sendall(b"?")
            assert is_silent(new)
        assert ask(live, b"2") == b"2"


def test_the_gate_is_asked_without_a_poke(relay: Relay, gate: Gate) -> None:
    gate.path = Path.REFUSED
    until(lambda: is_refused(relay), "the gate's change was not noticed")


def test_a_target_that_is_gone_resets_the_client(gate: Gate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        nobody = gone.getsockname()
    relay = Relay(("127.0.0.1", 0), nobody, lambda: gate.path)
    relay.start()
    try:
        with pytest.raises(ConnectionResetError), dial(relay) as connection:
            connection.recv(1)
        until(lambda: relay.connections == 0, "the relay keeps a connection that has no target")
    finally:
        relay.stop()


def test_a_busy_port_is_named(relay: Relay, echo: Echo) -> None:
    second = Relay(relay.address, echo.address, lambda: Path.OPEN)
    with pytest.raises(PortBusy, match=f"127.0.1.99:{relay.address[1]}"):
        second.start()


def test_a_port_taken_meanwhile_is_taken_back(relay: Relay, gate: Gate) -> None:
    turn(relay, gate, Path.REFUSED)
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(relay.address)
        thief.listen()
        turn(relay, gate, Path.OPEN)

    def serves() -> bool:
        with suppress(OSError), dial(relay) as connection:
            return ask(connection, b"x") == b"x"
        return False

    until(serves, "the relay did not come back to its port")


@pytest.mark.linux
@pytest.mark.parametrize("path", list(Path))
def test_stop_leaves_nothing(echo: Echo, path: Path) -> None:
    def descriptors() -> int:
        return len(list(File("/proc/self/fd").iterdir()))

    gate = Gate()
    data_plane()
    gc.collect()
    before = descriptors()
    relay = Relay(("127.0.0.1", 0), echo.address, lambda: gate.path)
    relay.start()
    live = dial(relay)
    assert ask(live, b"x") == b"x"
    turn(relay, gate, path)
    relay.stop()
    with pytest.raises(OSError) as ended:
        live.recv(1)
    assert ended.value.errno == errno.ECONNRESET
    live.close()
    assert is_refused(relay)
    until(lambda: descriptors() == before, "stop() left descriptors open")
