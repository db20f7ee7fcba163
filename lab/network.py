"""Who can reach whom between the Regions and the world, and the relay that makes a connection obey it."""

import threading
from collections.abc import Callable
from enum import StrEnum
from itertools import product
from typing import TYPE_CHECKING

from lab.region import Place, Shared, Side, Vantage

if TYPE_CHECKING:
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
    """The state of each path from a vantage to a place. Everything is open at first. Safe in any thread."""

    def __init__(self) -> None:
        self._paths: dict[tuple[Vantage, Place], Path] = dict.fromkeys(product(Vantage, PLACES), Path.OPEN)
        self._lost: dict[Place, Path] = {}
        self._subscribers: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def state(self, vantage: Vantage, place: Place) -> Path:
        with self._lock:
            return self._paths[vantage, place]

    def set(self, vantage: Vantage, place: Place, path: Path) -> None:
        """Change one path in one direction."""
        self._change({(vantage, place): path})

    def lose(self, place: Place, how: Path) -> None:
        """Nobody reaches that place any more, and from inside it nobody reaches anything outside it."""
        with self._lock:
            self._lost[place] = how
        self._change(dict.fromkeys(_around(place), how))

    def cut_between(self, how: Path = Path.BLACK_HOLED) -> None:
        """The two Regions do not reach each other; the world outside reaches both."""
        self._change({(Vantage.of(side), side.other): how for side in Side})

    def restore(self, place: Place) -> None:
        """Open each path to and from that place, but those that end in another place that is still lost."""
        with self._lock:
            self._lost.pop(place, None)
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
