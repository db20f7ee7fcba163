"""What is broken in a rehearsal, and when."""

import threading
import time
from dataclasses import dataclass

from lab.network import Path
from lab.options import Fault, Lost, Options
from lab.region import Side, Vantage
from lab.timings import Timings
from lab.world import World

_HOW = {Lost.REFUSED: Path.REFUSED, Lost.BLACK_HOLED: Path.BLACK_HOLED}


@dataclass(frozen=True)
class Inflicted:
    """When the fault began (epoch seconds), and how far the replica had received the log then; None if nothing was."""

    at: float | None
    received_lsn: int | None


def inflict(world: World, options: Options, timings: Timings) -> Inflicted:
    """Break what the options name. A false alarm mends itself, from a thread of its own."""
    match options.fault:
        case Fault.PRIMARY_LOST:
            at = time.time()
            world.lose(Side.PRIMARY, _HOW[options.lost])
            return Inflicted(at, _received(world))
        case Fault.NETWORK_CUT:
            at = time.time()
            world.network.cut_between(_HOW[options.lost])
            return Inflicted(at, None)
        case Fault.FALSE_ALARM:
            at = time.time()
            _hide(world, _HOW[options.lost], world.detection_seconds() + world.hold_down_seconds() / 2)
            return Inflicted(at, None)
        case Fault.NONE:
            return Inflicted(None, None)


def _received(world: World) -> int:
    """What has arrived at the replica once nothing arrives any more."""
    server = world.databases.database(Side.DR, world.database_id(Side.DR)).server
    if server is None:
        raise RuntimeError("the replica has no server")
    before, now = -1, server.received_lsn()
    while before != now:
        time.sleep(0.1)
        before, now = now, server.received_lsn()
    return now


def _hide(world: World, how: Path, seconds: float) -> None:
    """The primary's site is out of reach for a while, shorter than the hold-down; nothing of it is lost."""
    seen_from = (Vantage.OUTSIDE, Vantage.DR)
    for vantage in seen_from:
        world.network.set(vantage, Side.PRIMARY, how)

    def mend() -> None:
        for vantage in seen_from:
            world.network.set(vantage, Side.PRIMARY, Path.OPEN)

    timer = threading.Timer(seconds, mend)
    timer.daemon = True
    timer.start()
