"""The control target answers whoever can reach it, and can be cut off."""

import http.client
import http.server
import threading
import time
from collections.abc import Iterator

import pytest

from lab.control import ControlTarget
from lab.network import Path


class _Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(403)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def target() -> Iterator[ControlTarget]:
    """A control target before something that refuses, which is an answer too."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Api) as api:
        thread = threading.Thread(target=api.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        with ControlTarget(int(api.server_address[1])) as made:
            yield made
        api.shutdown()
        thread.join()


def status(target: ControlTarget) -> int:
    """Ask it once."""
    host, port = target.address
    connection = http.client.HTTPConnection(host, port, timeout=0.5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


def test_it_answers_where_its_url_says(target: ControlTarget) -> None:
    assert target.url == "http://{}:{}".format(*target.address)
    assert status(target) == 403


@pytest.mark.parametrize("how", [Path.REFUSED, Path.BLACK_HOLED])
def test_nobody_reaches_it_once_it_is_cut(target: ControlTarget, how: Path) -> None:
    target.cut(how)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            status(target)
        except OSError:
            break
    with pytest.raises(OSError, match="refused" if how is Path.REFUSED else "timed out"):
        status(target)
