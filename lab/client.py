"""The clients outside: a process that orders from the site all the while, and keeps a log of its own.

Each client is a thread that resolves the site's name at each new connection (it keeps no answer: honouring the TTL is
the resolver's work), sends one request, writes down how that went, and goes on. A write that got no acknowledgement is
sent again later with the same id and body, as a careful client does, until an answer settles it.

A pinned client is the other kind, of which there are many: it asks for the name once, keeps its connection for as long
as it works, and waits for an answer much longer.

    python -m lab.client --resolver 127.0.0.1:5353 --name shop.example.test --port 8080 --log clients.jsonl --run r1
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lab.attempts import Attempt, Kind
from lab.site import Site

_GOLDEN = 0.6180339887
_READ_EVERY, _PAGE_EVERY = 6, 25
_SETTLED = frozenset({201, 400, 409})
"""Answers after which sending the same order again would be pointless."""


@dataclass(frozen=True)
class ClientSettings:
    """What the clients need to know; all of it is given on the command line of their process."""

    resolver: tuple[str, int]
    """The lab's resolver: address and UDP port."""
    name: str
    """The site's name, asked of the resolver and sent as Host."""
    port: int
    log: Path
    run: str
    """First part of each order's id."""
    clients: int = 4
    timeout: float = 1.5
    """Seconds for a whole attempt: resolving, connecting, sending, reading."""
    pause: float = 0.1
    """Least seconds between two attempts of a client; the most is twice that."""
    retry_after: float = 1.0
    """Seconds until an unacknowledged write is sent again."""
    keep_alive: bool = False
    """Keep a connection for as long as it works, whatever DNS says meanwhile."""
    pinned: int = 0
    """So many of the clients, the first ones, keep connection and address for ever."""
    patience: float = 300.0
    """Seconds for a whole attempt of a pinned client with an even number; the others give up after `timeout`."""

    def pins(self, client: int) -> bool:
        """Whether that client keeps its connection and address."""
        return client < self.pinned

    def limit(self, client: int) -> float:
        """Seconds for a whole attempt of that client."""
        return self.patience if self.pins(client) and client % 2 == 0 else self.timeout

    def command(self) -> list[str]:
        """The command line of a process that runs these clients."""
        host, port = self.resolver
        words = ["--resolver", f"{host}:{port}", "--name", self.name, "--port", str(self.port), "--log", str(self.log)]
        words += ["--run", self.run, "--clients", str(self.clients), "--timeout", str(self.timeout)]
        words += ["--pause", str(self.pause), "--retry-after", str(self.retry_after)]
        words += ["--pinned", str(self.pinned), "--patience", str(self.patience)]
        return [sys.executable, "-m", "lab.client", *words, *(["--keep-alive"] if self.keep_alive else [])]

    @classmethod
    def parse(cls, words: Sequence[str]) -> Self:
        """The settings of a command line; argparse's own message and exit code 2 where they are wrong."""
        parser = argparse.ArgumentParser(prog="python -m lab.client", description="Order from the site all the while.")
        parser.add_argument("--resolver", required=True, metavar="ADDRESS:PORT")
        parser.add_argument("--name", required=True)
        parser.add_argument("--port", required=True, type=int)
        parser.add_argument("--log", required=True, type=Path)
        parser.add_argument("--run", required=True)
        parser.add_argument("--clients", type=int, default=cls.clients)
        parser.add_argument("--timeout", type=float, default=cls.timeout)
        parser.add_argument("--pause", type=float, default=cls.pause)
        parser.add_argument("--retry-after", type=float, default=cls.retry_after)
        parser.add_argument("--pinned", type=int, default=cls.pinned)
        parser.add_argument("--patience", type=float, default=cls.patience)
        parser.add_argument("--keep-alive", action="store_true")
        given = vars(parser.parse_args(words))
        host, _, port = given.pop("resolver").rpartition(":")
        if not host or not port.isdecimal():
            parser.error("--resolver takes ADDRESS:PORT")
        return cls(resolver=(host, int(port)), **given)


@dataclass(frozen=True)
class Order:
    """What a client orders. The body follows from the id, so that a second sending is the same to the byte."""

    id: str
    number: int

    @property
    def body(self) -> bytes:
        """The JSON document that is posted."""
        return json.dumps({"id": self.id, "item": f"item {self.number % 97}", "quantity": self.number % 9 + 1}).encode()


class Client:
    """One client: what it has ordered, what it still has to hear about, and when it does what."""

    def __init__(self, settings: ClientSettings, number: int, log: int) -> None:
        """`log` is a file descriptor opened for appending: each line goes out whole, in one write."""
        self._settings = settings
        self._number = number
        self._log = log
        pinned = settings.pins(number)
        self._site = Site(
            settings.resolver,
            settings.name,
            settings.port,
            timeout=settings.limit(number),
            keep_alive=settings.keep_alive or pinned,
            pinned=pinned,
        )
        self._count = 0
        self._orders = 0
        self._unsettled: deque[tuple[float, Order]] = deque()
        self._acknowledged: deque[str] = deque(maxlen=200)

    def work(self, stop: threading.Event) -> None:
        """Attempt after attempt until `stop` is set; the attempt under way is finished and logged."""
        # Clients that all began at the same instant would all see the loss at the same instant.
        begin = self._settings.pause * 2 * (self._number / max(1, self._settings.clients))
        if not stop.wait(begin):
            while True:
                os.write(self._log, self._next().line())
                self._count += 1
                # Evenly spread without chance, so that two rehearsals load the site alike.
                spread = (self._number + self._count) * _GOLDEN % 1
                if stop.wait(self._settings.pause * (1 + spread)):
                    break
        self._site.close()

    def _next(self) -> Attempt:
        due = bool(self._unsettled) and self._unsettled[0][0] <= time.monotonic()
        if due:
            return self._write(self._unsettled.popleft()[1])
        if self._count % _PAGE_EVERY == _PAGE_EVERY - 1:
            return self._site.ask(self._blank(Kind.PAGE, ""), "GET", "/")
        if self._count % _READ_EVERY == _READ_EVERY - 1 and self._acknowledged:
            order = self._acknowledged[self._count % len(self._acknowledged)]
            return self._site.ask(self._blank(Kind.READ, order), "GET", f"/orders/{order}")
        self._orders += 1
        return self._write(Order(f"{self._settings.run}-{self._number}-{self._orders}", self._orders))

    def _write(self, order: Order) -> Attempt:
        attempt = self._site.ask(self._blank(Kind.WRITE, order.id), "POST", "/orders", order.body)
        if attempt.acknowledged:
            self._acknowledged.append(order.id)
        elif attempt.status not in _SETTLED:
            self._unsettled.append((time.monotonic() + self._settings.retry_after, order))
        return attempt

    def _blank(self, kind: Kind, order: str) -> Attempt:
        now = time.time()
        return Attempt(kind=kind, id=order, client=self._number, sent=now, got=now)


class ClientsOutside:
    """The clients' process, as its parent holds it. A context manager: started on entry, stopped on exit."""

    def __init__(self, settings: ClientSettings) -> None:
        self.settings = settings
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the process; its log appears with the first attempt."""
        self.process = subprocess.Popen(self.settings.command(), stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def stop(self) -> None:
        """Let the attempts under way end, then the process; kill it if it takes longer than that may take."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(self.settings.timeout + 3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def main(words: Sequence[str] | None = None) -> int:
    """Run the clients until SIGTERM, or until the parent is gone."""
    settings = ClientSettings.parse(sys.argv[1:] if words is None else words)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    # Ctrl-C reaches the whole process group: who started the clients decides when they stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    log = os.open(settings.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    clients = [Client(settings, number, log) for number in range(settings.clients)]
    # A patient one may wait for minutes yet: it is left behind with whatever it waits for.
    threads = [
        threading.Thread(
            target=client.work, args=(stop,), name="client", daemon=settings.limit(number) != settings.timeout
        )
        for number, client in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    while not stop.wait(0.5):
        if os.getppid() != parent:
            stop.set()
    patience = time.monotonic() + settings.timeout
    for thread in threads:
        thread.join(max(0.0, patience - time.monotonic()) if thread.daemon else None)
    if not any(thread.is_alive() for thread in threads):
        with contextlib.suppress(OSError):
            os.close(log)
    return 0


if __name__ == "__main__":
    sys.exit(main())
