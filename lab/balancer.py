"""An Application Load Balancer with one target group, as far as a failover sees it.

It forwards TCP connections and reads no HTTP, so that, unlike AWS's, a connection stays with one target: when that
target is taken out of service the connection is closed as soon as nothing is under way on it. Stickiness, TLS,
rules and X-Forwarded-For are not imitated.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from lab.network import Network, Path
from lab.pipe import Address, Door, Pipe, data_plane, reset
from lab.target import TargetCheck, TargetHealth, TargetRecord, apologise, examine

if TYPE_CHECKING:
    from lab.region import Side, Vantage

_SWEEP_SECONDS = 0.05
_IDLE_SECONDS = 0.1


class _Listener:
    """The balancer as it is seen from one vantage: a door, and what came in through it."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.pipes: set[Pipe] = set()
        self.apologies: set[asyncio.Task[None]] = set()
        self.dark = False

    def obey(self, path: Path) -> None:
        self.dark = path is Path.BLACK_HOLED
        if path is not Path.OPEN:
            for apology in self.apologies:
                apology.cancel()
        if path is Path.REFUSED:
            self.door.refuse()
            for pipe in list(self.pipes):
                pipe.reset()
            return
        for pipe in self.pipes:
            pipe.set_dark(self.dark)
        if self.dark:
            self.door.ignore()
        else:
            self.door.admit()


class _Target:
    """A registered target, with the task that checks it."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.record = TargetRecord()
        self.task: asyncio.Task[None] | None = None


class Balancer:
    """Listens once per vantage and forwards each connection to a target in service, in turn. Safe in any thread.

    In service are the healthy targets; where none is, and `fail_open` is set as on AWS, all that are unhealthy.
    Nobody in service: the answer is 503; a target that refuses the connection: 502.
    """

    def __init__(
        self,
        listen: "Sequence[tuple[Vantage, str, int]]",
        network: Network,
        side: "Side",
        check: TargetCheck,
        *,
        fail_open: bool = True,
        drain_seconds: float = 5.0,
    ) -> None:
        """`drain_seconds`: how long a connection with a request under way may outlive its target's registration."""
        self._plane = data_plane()
        self._network = network
        self._side = side
        self._check = check
        self._fail_open = fail_open
        self._drain_seconds = drain_seconds
        self._listeners = {vantage: self._listener(vantage, (host, port)) for vantage, host, port in listen}
        self._targets: dict[str, _Target] = {}
        self._gone: dict[Address, float] = {}
        self._turn = 0
        self._sweep: asyncio.TimerHandle | None = None
        self._unsubscribe: Callable[[], None] | None = None

    def start(self) -> None:
        """Listen, check the targets, obey the network; PortBusy if another program has one of the addresses."""
        self._unsubscribe = self._network.subscribe(lambda: self._plane.post(self._obey))
        try:
            self._plane.call(self._start)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Reset every connection and give the addresses up. The targets are forgotten."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        self._plane.call(self._stop)

    def set_targets(self, targets: Mapping[str, Address]) -> None:
        """Register these by id, and deregister every other. One whose address changed counts as a new one."""
        wanted = dict(targets)
        self._plane.call(lambda: self._register(wanted))

    def health(self) -> dict[str, TargetHealth]:
        """What each registered target is: state, reason, description, in the words of DescribeTargetHealth."""
        return self._plane.call(lambda: {name: target.record.health for name, target in self._targets.items()})

    def address(self, vantage: "Vantage") -> Address:
        """Where it listens for those who come from there; a port 0 is replaced by the real one once it is started."""
        return self._listeners[vantage].door.address

    @property
    def connections(self) -> int:
        """How many live connections it forwards, silenced ones included."""
        return self._plane.call(lambda: sum(len(listener.pipes) for listener in self._listeners.values()))

    def _listener(self, vantage: "Vantage", address: Address) -> _Listener:
        return _Listener(Door(self._plane.loop, address, partial(self._enter, vantage)))

    def _start(self) -> None:
        for listener in self._listeners.values():
            listener.door.open()
        self._sweep = self._plane.loop.call_later(_SWEEP_SECONDS, self._tick)
        for target in self._targets.values():
            target.task = self._plane.loop.create_task(self._watch(target))
        self._obey()

    def _stop(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._register({})
        for listener in self._listeners.values():
            listener.obey(Path.REFUSED)

    def _obey(self) -> None:
        """Let each vantage see what the network says of its path. Nothing, once the balancer is stopped."""
        if self._sweep is None:
            return
        for vantage, listener in self._listeners.items():
            listener.obey(self._network.state(vantage, self._side))

    def _register(self, wanted: dict[str, Address]) -> None:
        for name, target in list(self._targets.items()):
            if wanted.get(name) != target.address:
                if target.task is not None:
                    target.task.cancel()
                self._gone[target.address] = self._plane.loop.time()
                del self._targets[name]
        for name, address in wanted.items():
            if name not in self._targets:
                self._gone.pop(address, None)
                target = self._targets[name] = _Target(address)
                if self._sweep is not None:
                    target.task = self._plane.loop.create_task(self._watch(target))

    async def _watch(self, target: _Target) -> None:
        """Check the target at every interval, however long a check takes."""
        due = self._plane.loop.time()
        while True:
            target.record.observe(await examine(target.address, self._check), self._check)
            due = max(due + self._check.interval, self._plane.loop.time())
            await asyncio.sleep(due - self._plane.loop.time())

    def _in_service(self) -> list[Address]:
        states = {name: target.record.health.state for name, target in self._targets.items()}
        serving = [name for name, state in states.items() if state == "healthy"]
        if not serving and self._fail_open:
            serving = [name for name, state in states.items() if state == "unhealthy"]
        return [self._targets[name].address for name in serving]

    def _tick(self) -> None:
        """Close the connections that have no target in service any more, each when nothing is under way on it."""
        loop = self._plane.loop
        self._sweep = loop.call_later(_SWEEP_SECONDS, self._tick)
        serving = set(self._in_service())
        listeners = self._listeners.values()
        used = {pipe.target for listener in listeners for pipe in listener.pipes}
        self._gone = {address: since for address, since in self._gone.items() if address in used}
        for pipe in [pipe for listener in listeners if not listener.dark for pipe in listener.pipes]:
            if pipe.target in serving:
                continue
            overdue = loop.time() - self._gone.get(pipe.target, loop.time()) >= self._drain_seconds
            if overdue or pipe.idle_since(_IDLE_SECONDS):
                pipe.close()

    def _enter(self, vantage: "Vantage", client: socket.socket) -> None:
        serving = self._in_service()
        if not serving:
            self._apologise(vantage, HTTPStatus.SERVICE_UNAVAILABLE, client)
            return
        self._turn += 1
        listener = self._listeners[vantage]
        target = serving[self._turn % len(serving)]
        unreachable = partial(self._apologise, vantage, HTTPStatus.BAD_GATEWAY)
        listener.pipes.add(Pipe(self._plane.loop, client, target, listener.pipes.discard, unreachable))

    def _apologise(self, vantage: "Vantage", status: HTTPStatus, client: socket.socket) -> None:
        listener = self._listeners[vantage]
        if listener.dark:
            reset(client)
            return
        task = self._plane.loop.create_task(_answer(client, status))
        listener.apologies.add(task)
        task.add_done_callback(listener.apologies.discard)
        task.add_done_callback(lambda _: client.close())


async def _answer(client: socket.socket, status: HTTPStatus) -> None:
    try:
        reader, writer = await asyncio.open_connection(sock=client)
    except OSError:
        return
    await apologise(reader, writer, status)
