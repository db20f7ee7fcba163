"""What a container reaches of the lab: rewritten variables, relays that let in whom they may, names."""

import http.server
import socket
import threading
from collections.abc import Iterator

import pytest
from relight import endpoint, names

from lab.dns import NameServer, Record
from lab.engine import Bridge
from lab.gateway import Gateway, OutOfReach
from lab.region import Vantage

BRIDGE = Bridge("relight-test", "127.0.0.9", ("127.0.0.0/8",))
"""Loopback stands for the engine's bridge: no container is needed for what is tested here."""


class _Zone:
    def answer(self, name: str, rtype: str, vantage: Vantage) -> list[Record] | None:
        place = {"primary.shop.test": "127.0.0.1", "dr.shop.test": "127.0.0.2"}.get(name)
        return [Record(name, "A", 1, place)] if place and rtype == "A" else None


class _Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("X-Relight-Region", "eu-west-1")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def zone() -> Iterator[str]:
    server = NameServer(_Zone(), Vantage.DR, "127.0.0.1")
    server.start()
    yield "{}:{}".format(*server.address)
    server.stop()


@pytest.fixture
def site() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a connection that is reset is no news
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_a_site_is_reached_by_its_name(zone: str, site: int) -> None:
    """As a function asks for it: the name by the zone's own servers, the first address, the port of the URL."""
    with Gateway(BRIDGE) as gateway:
        own = gateway.rewritten({"NAME_SERVERS": zone, "PEER_URL": f"http://primary.shop.test:{site}/ready"})
        assert own["NAME_SERVERS"].startswith("127.0.0.9:")
        said = endpoint.request(own["PEER_URL"], lambda host: names.ask(host, "A", (own["NAME_SERVERS"],), 5)[0], 5)
    assert (said.status, said.region, said.address) == (200, "eu-west-1", "127.0.0.9")


def test_two_names_are_still_told_apart(zone: str) -> None:
    """Whoever compares where names lead sees the difference."""
    with Gateway(BRIDGE) as gateway:
        server = gateway.rewritten({"NAME_SERVERS": zone})["NAME_SERVERS"]
        here, there = (names.ask(f"{side}.shop.test", "A", (server,), 5) for side in ("dr", "primary"))
        assert names.ask("none.shop.test", "A", (server,), 5) == []
    assert here == ["127.0.0.9", "127.0.0.2"]
    assert not set(there) <= set(here)


def test_only_the_engines_containers_are_let_in(site: int) -> None:
    """Nobody else gets a byte, wherever the bridge's address can be reached from."""
    closed = Bridge("relight-test", "127.0.0.9", ("172.29.0.0/16",))
    with Gateway(closed) as gateway:
        own = gateway.rewritten({"AWS_ENDPOINT_URL": f"http://127.0.0.1:{site}"})
        with pytest.raises(endpoint.Unreachable):
            endpoint.request(own["AWS_ENDPOINT_URL"], lambda host: host, 5)


def test_nothing_listens_once_it_is_over(site: int) -> None:
    """The bridge's address is used no longer than needed."""
    with Gateway(BRIDGE) as gateway:
        database = {"DATABASE_HOST": "127.0.0.1", "DATABASE_PORT": str(site)}
        own = gateway.rewritten(database)
        place = own["DATABASE_HOST"], int(own["DATABASE_PORT"])
        assert gateway.rewritten(database) == own
        socket.create_connection(place, 5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(place, 5)


def test_what_would_lead_nowhere_is_refused() -> None:
    """A variable that is new, and names loopback, is not overlooked."""
    with Gateway(BRIDGE) as gateway, pytest.raises(OutOfReach, match="NEW_URL"):
        gateway.rewritten({"NEW_URL": "http://127.0.0.1:1/"})
