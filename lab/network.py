"""Who can reach whom between the Regions and the world, and the relay that makes a connection obey it."""

import socket
import threading
from collections.abc import Callable
from enum import StrEnum
from itertools import product
from typing import TYPE_CHECKING

from lab.pipe import Address, Door, Pipe, data_plane
from lab.region import Place, Shared, Side, Vantage, site_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator


class Path(StrEnum):
    """What happens to a connection on its way."""

    OPEN = "open"
    REFUSED = "refused"
    """It is reset at once, as by a host that is up and has no such port."""
    BLACK_HOLED = "black-holed"
    """Nothing answers, and what was open before stays open and silent."""


PLACES: tuple[Place, ...] = (*Side, *Shared)


class Network:
    """The state of each path from a vantage to a place. Everything is open at first. Safe in any thread.

    Where the primary Region is us-east-1, the global control planes are a part of it and share its paths.
    """

    def __init__(self) -> None:
        self._paths: dict[tuple[Vantage, Place], Path] = dict.fromkeys(product(Vantage, PLACES), Path.OPEN)
        self._lost: dict[Place, Path] = {}
        self._databases = Path.OPEN
        self._subscribers: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def state(self, vantage: Vantage, place: Place) -> Path:
        with self._lock:
            return self._paths[vantage, site_of(place)]

    def database_state(self, vantage: Vantage, place: Place) -> Path:
        """The path of what one Region's database says to the other's: that of all others, unless it alone is cut."""
        with self._lock:
            path = self._paths[vantage, site_of(place)]
            return self._databases if path is Path.OPEN else path

    def set(self, vantage: Vantage, place: Place, path: Path) -> None:
        """Change one path in one direction."""
        self._change({(vantage, site_of(place)): path})

    def lose(self, place: Place, how: Path) -> None:
        """Nobody reaches that place any more, and from inside it nobody reaches anything outside it."""
        place = site_of(place)
        with self._lock:
            self._lost[place] = how
        self._change(dict.fromkeys(_around(place), how))

    def cut_between(self, how: Path = Path.BLACK_HOLED) -> None:
        """The two Regions do not reach each other; the world outside reaches both."""
        self._change({(Vantage.of(side), side.other): how for side in Side})

    def cut_databases(self, how: Path = Path.BLACK_HOLED) -> None:
        """The two Regions' databases do not reach each other; all else does, and clients go on writing.

        Used some seconds before a loss, it makes sure that there are writes which no replica has received.
        """
        with self._lock:
            self._databases = how
        self._change({})

    def restore(self, place: Place) -> None:
        """Open each path to and from that place, but those that end in another place that is still lost.

        The databases reach each other again wherever all else does.
        """
        place = site_of(place)
        with self._lock:
            self._lost.pop(place, None)
            self._databases = Path.OPEN
            lost = {edge: how for other, how in self._lost.items() for edge in _around(other)}
        self._change({edge: lost.get(edge, Path.OPEN) for edge in _around(place)})

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after each change, in the thread that made it. Returns what ends the subscription."""
        with self._lock:
            self._subscribers.append(callback)

        def unsubscribe() -> None:
            with self._lock:
                if callback in self._subscribers:
                    self._subscribers.remove(callback)

        return unsubscribe

    def _change(self, paths: dict[tuple[Vantage, Place], Path]) -> None:
        with self._lock:
            self._paths.update(paths)
            subscribers = list(self._subscribers)
        for callback in subscribers:
            callback()


def _around(place: Place) -> "Iterator[tuple[Vantage, Place]]":
    """Each path that crosses the border of that place, in either direction."""
    for vantage, end in product(Vantage, PLACES):
        inward = end is place and vantage.side is not place
        outward = vantage.side is place and end is not place
        if inward or outward:
            yield vantage, end


class Relay:
    """Forwards TCP connections to one target as long as the gate says that the path is open. Safe in any thread.

    The gate rules over live connections and new ones: REFUSED resets them, BLACK_HOLED silences them. `admit`, if
    given, rules over new ones only, as a security group does: while it says no they are left without an answer, and
    live ones go on. Both are asked in the data plane's thread, so they must not block.
    """

    def __init__(
        self,
        listen: Address,
        target: Address,
        gate: Callable[[], Path],
        *,
        admit: Callable[[], bool] = lambda: True,
        look_every: float = 0.2,
    ) -> None:
        """`look_every` is how often, in seconds, gate and `admit` are asked when nobody pokes."""
        self._plane = data_plane()
        self._target = target
        self._gate = gate
        self._admit = admit
        self._look_every = look_every
        self._door = Door(self._plane.loop, listen, self._enter)
        self._pipes: set[Pipe] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def address(self) -> Address:
        """Where it listens; a port 0 is replaced by the real one once it is started."""
        return self._door.address

    @property
    def connections(self) -> int:
        """How many live connections it holds, silenced ones included."""
        return self._plane.call(lambda: len(self._pipes))

    def start(self) -> None:
        """Listen, and obey the gate from now on; PortBusy if another program has the address."""
        self._plane.call(self._start)

    def stop(self) -> None:
        """Reset every connection and give the address up."""
        self._plane.call(self._stop)

    def poke(self) -> None:
        """Ask the gate now instead of at the next look."""
        self._plane.post(self._look)

    def set_target(self, target: Address) -> None:
        """Where new connections go; live ones stay where they are."""
        self._target = target

    def _start(self) -> None:
        self._door.open()
        self._timer = self._plane.loop.call_later(self._look_every, self._tick)
        try:
            self._look()
        except BaseException:
            self._stop()
            raise

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._door.refuse()
        for pipe in list(self._pipes):
            pipe.reset()

    def _tick(self) -> None:
        self._timer = self._plane.loop.call_later(self._look_every, self._tick)
        self._look()

    def _look(self) -> None:
        if self._timer is None:
            return
        path = self._gate()
        if path is Path.REFUSED:
            self._door.refuse()
            for pipe in list(self._pipes):
                pipe.reset()
            return
        for pipe in self._pipes:
            pipe.set_dark(path is Path.BLACK_HOLED)
        if path is Path.OPEN and self._admit():
            self._door.admit()
        else:
            self._door.ignore()

    def _enter(self, client: socket.socket) -> None:
        self._pipes.add(Pipe(self._plane.loop, client, self._target, self._pipes.discard))
