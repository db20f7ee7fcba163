"""Servers on 127.0.0.1 for what the core asks over sockets: names and pages."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from dnslib import QTYPE, RCODE, RR
from dnslib import TXT as TEXT
from dnslib import A as ADDRESS
from dnslib.server import BaseResolver, DNSServer

LOCALHOST = "127.0.0.1"


class NameServer(BaseResolver):  # type: ignore[misc]
    """An authoritative server on UDP; `records` may change while it runs."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.rcode = "NOERROR"
        self._server = DNSServer(self, address=LOCALHOST, port=0, logger=_Silent())
        self.port = int(self._server.server.server_address[1])

    @property
    def at(self) -> str:
        """host:port, as settings name a server."""
        return f"{LOCALHOST}:{self.port}"

    def resolve(self, request: Any, handler: Any) -> Any:
        """dnslib's hook."""
        reply = request.reply()
        name, kind = str(request.q.qname).rstrip("."), QTYPE[request.q.qtype]
        reply.header.rcode = getattr(RCODE, self.rcode)
        for value in self.records.get((name, kind), []):
            data = TEXT(value) if kind == "TXT" else ADDRESS(value)
            reply.add_answer(RR(name, request.q.qtype, rdata=data, ttl=10))
        return reply

    def __enter__(self) -> Self:
        _serve(self._server.server)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.server.shutdown()
        self._server.server.server_close()


def _serve(server: Any) -> None:
    """Until `shutdown`, which is heard at once and not after the library's half second."""
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


class _Silent:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *given: None


@dataclass
class WebServer:
    """Pages on HTTP. `orders` are those of the shop, `region` is who it says it is; the rest makes it misbehave."""

    region: str | None = "eu-central-1"
    pages: dict[str, tuple[int, str]] = field(default_factory=dict)
    orders: dict[str, Any] = field(default_factory=dict)
    write_status: int = 201
    read_status: int = 200
    change: Callable[[Any], Any] = lambda order: order
    port: int = 0

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, str]:
        """What the shop would say, or does in a test that wants it otherwise."""
        if path in self.pages:
            return self.pages[path]
        if method == "POST" and path == "/orders":
            order = json.loads(body)
            if self.write_status == 201:
                self.orders[order["id"]] = order
            return self.write_status, json.dumps(order)
        wanted = path.removeprefix("/orders/")
        if self.read_status != 200 or wanted not in self.orders:
            return (self.read_status if self.read_status != 200 else 404), json.dumps({"error": "no"})
        return 200, json.dumps(self.change({**self.orders[wanted], "region": self.region}))

    def __enter__(self) -> Self:
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                status, text = web.answer(self.command, self.path, self.rfile.read(length))
                self.send_response(status)
                if web.region is not None:
                    self.send_header("X-Relight-Region", web.region)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            do_POST = do_GET  # noqa: N815 (the library's name)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the library's name)
                """A test reads no log."""

        self._server = ThreadingHTTPServer((LOCALHOST, 0), Handler)
        self.port = self._server.server_address[1]
        _serve(self._server)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def black_hole() -> Iterator[int]:
    """A port that takes connections and never says a word, as a path that swallows packets."""
    with socket.create_server((LOCALHOST, 0)) as server:
        yield int(server.getsockname()[1])


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server((LOCALHOST, 0)) as server:
        return int(server.getsockname()[1])
