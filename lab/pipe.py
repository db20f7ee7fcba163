"""What relays and balancers are made of: one loop in one thread, doors that listen, pipes that carry bytes.

Pipes work on bare sockets instead of asyncio's transports, because a transport goes on writing what it has
buffered, and in a black hole no byte may pass.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import cache

from lab.errors import PortBusy

type Address = tuple[str, int]

_CHUNK = 65536
_BACKLOG = 128
_ANSWER_SECONDS = 10.0
_REBIND_SECONDS = 0.05
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class DataPlane:
    """The loop that carries the lab's traffic, in a daemon thread."""

    def __init__(self) -> None:
        self.loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="data-plane", daemon=True)
        self._thread.start()

    def call[T](self, function: Callable[[], T]) -> T:
        """Run `function` in the loop's thread and return what it returns or raise what it raises."""
        if threading.current_thread() is self._thread:
            return function()
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(function())
            except Exception as error:
                done.set_exception(error)

        self.loop.call_soon_threadsafe(run)
        return done.result(_ANSWER_SECONDS)

    def post(self, function: Callable[[], object]) -> None:
        """Run `function` in the loop's thread soon; do not wait for it."""
        self.loop.call_soon_threadsafe(function)


@cache
def data_plane() -> DataPlane:
    """The one that all relays and balancers share."""
    return DataPlane()


def reset(connection: socket.socket) -> None:
    """Close with a TCP reset, so that the other end learns at once that nobody is there."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    connection.close()


class Door:
    """A listening address that can be shut, opened and ignored without losing its port. For the loop's thread only."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, address: Address, enter: Callable[[socket.socket], None]
    ) -> None:
        """`enter` takes over each accepted connection. Port 0 means any free one; `address` then says which."""
        self.address = address
        self._loop = loop
        self._enter = enter
        self._listener: socket.socket | None = None
        self._admitting = False
        self._rebind: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Bind and listen, and admit nobody yet; PortBusy if another program has the address."""
        host, port = self.address
        try:
            self._bind()
        except OSError as error:
            raise PortBusy(
                f"cannot listen: {error.strerror}", where=f"{host}:{port}", do="stop what listens there"
            ) from error

    def admit(self) -> None:
        """Accept connections. Those that came while they were ignored are reset: on a real network they never began."""
        if self._admitting:
            return
        self._admitting = True
        if self._listener is None:
            self._bind_again()
            return
        for connection in self._waiting():
            reset(connection)
        self._loop.add_reader(self._listener, self._accept)

    def ignore(self) -> None:
        """Leave connections in the backlog, where nobody answers them."""
        if self._admitting and self._listener is not None:
            self._loop.remove_reader(self._listener)
        self._admitting = False
        if self._listener is None:
            self._bind_again()

    def refuse(self) -> None:
        """Listen no more. Connections are refused, and those in the backlog reset."""
        if self._rebind is not None:
            self._rebind.cancel()
            self._rebind = None
        self._admitting = False
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _bind(self) -> None:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setblocking(False)
            listener.bind(self.address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        self._listener = listener
        self.address = listener.getsockname()

    def _bind_again(self) -> None:
        """While a door is shut, an outgoing connection may have taken its port; then it is tried until it is free."""
        if self._rebind is not None:
            self._rebind.cancel()
            self._rebind = None
        try:
            self._bind()
        except OSError:
            self._rebind = self._loop.call_later(_REBIND_SECONDS, self._bind_again)
            return
        if self._admitting and self._listener is not None:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for connection in self._waiting():
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._enter(connection)

    def _waiting(self) -> list[socket.socket]:
        """What stands in the backlog now."""
        found: list[socket.socket] = []
        while self._listener is not None and len(found) <= _BACKLOG:
            try:
                found.append(self._listener.accept()[0])
            except (BlockingIOError, ConnectionAbortedError):
                break
        return found


class _Flow:
    """The bytes of one direction. What the sink does not take yet waits, and nothing more is read until it has."""

    def __init__(self, pipe: "Pipe", source: socket.socket, sink: socket.socket) -> None:
        self.ended = False
        self._pipe = pipe
        self._loop = pipe.loop
        self._source = source
        self._sink = sink
        self._waiting = memoryview(b"")
        self._blocked = False

    def resume(self) -> None:
        if self._blocked:
            self._loop.add_writer(self._sink, self._pour)
        elif not self.ended:
            self._loop.add_reader(self._source, self._draw)

    def pause(self) -> None:
        self._loop.remove_reader(self._source)
        self._loop.remove_writer(self._sink)

    def _draw(self) -> None:
        try:
            data = self._source.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._pipe.reset()
            return
        self._pipe.note(self)
        if data:
            self._waiting = memoryview(data)
            self._pour()
            return
        self.ended = True
        self._loop.remove_reader(self._source)
        with suppress(OSError):
            self._sink.shutdown(socket.SHUT_WR)
        self._pipe.flow_ended()

    def _pour(self) -> None:
        try:
            taken = self._sink.send(self._waiting)
        except (BlockingIOError, InterruptedError):
            taken = 0
        except OSError:
            self._pipe.reset()
            return
        self._waiting = self._waiting[taken:]
        if bool(self._waiting) is not self._blocked:
            self.pause()
            self._blocked = not self._blocked
            self.resume()


class Pipe:
    """A client's connection, the one to its target, and what flows between. For the loop's thread only."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        client: socket.socket,
        target: Address,
        ended: Callable[["Pipe"], None],
        unreachable: Callable[[socket.socket], None] = reset,
    ) -> None:
        """Connect to the target. `ended` is called once; `unreachable` gets the client if the target refuses."""
        self.loop = loop
        self.target = target
        self._client = client
        self._server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._server.setblocking(False)
        self._server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ended = ended
        self._unreachable = unreachable
        self._connected = False
        self._dark = False
        self._over = False
        self._request = _Flow(self, client, self._server)
        self._answer = _Flow(self, self._server, client)
        self._last: _Flow | None = None
        self._last_at = loop.time()
        self._server.connect_ex(target)
        loop.add_writer(self._server, self._dialled)

    def set_dark(self, dark: bool) -> None:
        """In the dark both connections stay open, and no byte passes in either direction."""
        if dark is self._dark or self._over:
            return
        self._dark = dark
        if not self._connected:
            return
        for flow in (self._request, self._answer):
            if dark:
                flow.pause()
            else:
                flow.resume()

    def idle_since(self, seconds: float) -> bool:
        """Has nothing been asked that is not answered, and has nothing moved for so long?"""
        return self._last is not self._request and self.loop.time() - self._last_at >= seconds

    def close(self) -> None:
        """End both connections in the orderly way."""
        self._end(lambda connection: connection.close())

    def reset(self) -> None:
        """End both connections with a TCP reset."""
        self._end(reset)

    def note(self, flow: _Flow) -> None:
        self._last = flow
        self._last_at = self.loop.time()

    def flow_ended(self) -> None:
        if self._request.ended and self._answer.ended:
            self.close()

    def _dialled(self) -> None:
        self.loop.remove_writer(self._server)
        if self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._over = True
            self._server.close()
            self._ended(self)
            self._unreachable(self._client)
            return
        self._connected = True
        if not self._dark:
            self._request.resume()
            self._answer.resume()

    def _end(self, close: Callable[[socket.socket], None]) -> None:
        if self._over:
            return
        self._over = True
        for connection in (self._client, self._server):
            self.loop.remove_reader(connection)
            self.loop.remove_writer(connection)
            close(connection)
        self._ended(self)
