"""What is broken in a rehearsal, and when.

Nothing here touches the orchestrator: processes end, paths close, AWS's own statuses change, an operator calls an API.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lab.control import ControlTarget
from lab.network import Path
from lab.options import Fault, Lost, Options
from lab.region import REGION_NAME, Shared, Side, Vantage
from lab.timings import Timings
from lab.world import World

_HOW = {Lost.REFUSED: Path.REFUSED, Lost.BLACK_HOLED: Path.BLACK_HOLED}
_FLAPS = 3
_LONGEST_LOOKS = 20
"""So many looks of Route 53's checkers are waited for a change of what they see."""


@dataclass(frozen=True)
class Inflicted:
    """When the fault began (epoch seconds), and how far the replica had received the log then; None if nothing was."""

    at: float | None
    received_lsn: int | None
    over: Callable[[], bool] = lambda: True
    """Whether the fault has done all that it does by itself."""
    returned_at: float | None = None
    """When the lost Region was brought back (epoch seconds)."""


@dataclass(frozen=True)
class _Scene:
    """Where something is broken, and how."""

    world: World
    options: Options
    timings: Timings
    control: ControlTarget

    @property
    def how(self) -> Path:
        return _HOW[self.options.way_lost]


def inflict(world: World, options: Options, timings: Timings, control: ControlTarget) -> Inflicted:
    """Break what the options name. What mends itself does so from a thread of its own."""
    return _FAULTS[options.fault](_Scene(world, options, timings, control))


def cut_stream(world: World) -> None:
    """What the primary's database commits from now on reaches no replica, while all else goes on as before."""
    world.network.cut_databases(Path.BLACK_HOLED)


def bring_back(world: World, inflicted: Inflicted) -> Inflicted:
    """The lost primary is back, with what runs there: its schedules, its functions, its APIs, its servers."""
    at = time.time()
    world.revive(Side.PRIMARY)
    return replace(inflicted, returned_at=at)


def _nothing(_: _Scene) -> Inflicted:
    return Inflicted(None, None)


def _primary_lost(scene: _Scene) -> Inflicted:
    at = time.time()
    scene.world.lose(Side.PRIMARY, scene.how)
    return Inflicted(at, _received(scene.world, Side.DR))


def _dr_lost(scene: _Scene) -> Inflicted:
    """The DR Region goes dark while it is the active one, and the primary, rebuilt, is its standby."""
    at = time.time()
    scene.world.lose(Side.DR, scene.how)
    return Inflicted(at, _received(scene.world, Side.PRIMARY))


def _network_cut(scene: _Scene) -> Inflicted:
    at = time.time()
    scene.world.network.cut_between(scene.how)
    return Inflicted(at, None)


def _false_alarm(scene: _Scene) -> Inflicted:
    """The primary's site is out of reach for a while, shorter than the hold-down; nothing of it is lost."""
    world, at = scene.world, time.time()
    seconds = world.detection_seconds() + world.hold_down_seconds() / 2
    _set(world, (Vantage.OUTSIDE, Vantage.DR), scene.how)
    over = _later(seconds, lambda: _set(world, (Vantage.OUTSIDE, Vantage.DR), Path.OPEN))
    return Inflicted(at, None, over.is_set)


def _app_lost(scene: _Scene) -> Inflicted:
    """The machines of the application lose power, and AWS has no others: the group launches in vain."""
    at = time.time()
    scene.world.groups.lose_instances(Side.PRIMARY)
    return Inflicted(at, None)


def _database_lost(scene: _Scene) -> Inflicted:
    """The server of the primary's database dies and stays dead; RDS says so."""
    at = time.time()
    scene.world.databases.fail(Side.PRIMARY, scene.world.database_id(Side.PRIMARY))
    return Inflicted(at, _received(scene.world, Side.DR))


def _database_rebooting(scene: _Scene) -> Inflicted:
    """An operator reboots the primary's database, and it takes longer than the hold-down of a lost one."""
    world, at = scene.world, time.time()
    identifier = world.database_id(Side.PRIMARY)
    hold_down = float(world.function_environment("assess")["DATABASE_HOLD_DOWN_SECONDS"])
    world.databases.reboot_seconds = world.detection_seconds() + hold_down + scene.timings.minute
    world.cloud.client("rds", REGION_NAME[Side.PRIMARY]).reboot_db_instance(DBInstanceIdentifier=identifier)
    record = world.databases.database(Side.PRIMARY, identifier).record
    return Inflicted(at, None, lambda: bool(record.status == "available"))


def _dr_isolated(scene: _Scene) -> Inflicted:
    """First the way to the other Regions is lost, then, when a run has been started over that, every other one."""
    world, network, at = scene.world, scene.world.network, time.time()
    struck = threading.Event()
    before = world.lambdas.callbacks

    def look(region: str, name: str, payload: Any) -> None:
        if region == REGION_NAME[Side.DR] and isinstance(payload, dict) and "run" in payload and not struck.is_set():
            struck.set()
            world.name_servers[Vantage.DR].stop()
            scene.control.cut(scene.how)
        before.start(region, name, payload)

    world.lambdas.callbacks = replace(before, start=look)
    network.cut_between(scene.how)
    network.set(Vantage.DR, Shared.GLOBAL, scene.how)
    return Inflicted(at, None, struck.is_set)


def _revived_primary(scene: _Scene) -> Inflicted:
    """Nobody reaches the primary, and it reaches nobody, while all that serves there lives on; later it comes back."""
    at = time.time()
    scene.world.lose(Side.PRIMARY, Path.BLACK_HOLED)
    return Inflicted(at, _received(scene.world, Side.DR))


def _dns_flapping(scene: _Scene) -> Inflicted:
    """The DR Region cannot reach the primary, and what Route 53's checkers see comes and goes within the hold-down.

    The way is open again as soon as they have seen the loss, so that it lasts as long as they need to see the end of
    it. Nothing but the hold-down's demand for an unbroken loss, and the veto, stand between that and a promotion.
    """
    world, at = scene.world, time.time()
    patience, pause = _LONGEST_LOOKS * world.endpoint_interval(), 2 * world.endpoint_interval()
    over = threading.Event()

    def flap() -> None:
        for _ in range(_FLAPS):
            for path, healthy in ((scene.how, False), (Path.OPEN, True)):
                world.network.set(Vantage.OUTSIDE, Side.PRIMARY, path)
                _await_checkers(world, patience, healthy=healthy)
            time.sleep(pause)
        world.network.set(Vantage.DR, Side.PRIMARY, Path.OPEN)
        over.set()

    world.network.set(Vantage.DR, Side.PRIMARY, scene.how)
    threading.Thread(target=flap, name="flapping", daemon=True).start()
    return Inflicted(at, None, over.is_set)


def _await_checkers(world: World, patience: float, *, healthy: bool) -> None:
    """Until Route 53's checkers say so of the primary, or `patience` seconds have passed."""
    deadline = time.monotonic() + patience
    while world.healthy("Endpoint") is not healthy and time.monotonic() < deadline:
        time.sleep(0.05)


_FAULTS: Mapping[Fault, Callable[[_Scene], Inflicted]] = {
    Fault.PRIMARY_LOST: _primary_lost,
    Fault.NETWORK_CUT: _network_cut,
    Fault.FALSE_ALARM: _false_alarm,
    Fault.NONE: _nothing,
    Fault.APP_LOST: _app_lost,
    Fault.DATABASE_LOST: _database_lost,
    Fault.DATABASE_REBOOTING: _database_rebooting,
    Fault.DR_ISOLATED: _dr_isolated,
    Fault.REVIVED_PRIMARY: _revived_primary,
    # As the primary is us-east-1 there, AWS's global control planes are lost with it.
    Fault.US_EAST_1_LOST: _primary_lost,
    Fault.DNS_FLAPPING: _dns_flapping,
    Fault.DR_LOST_WHILE_ACTIVE: _dr_lost,
}


def _received(world: World, standby: Side) -> int:
    """What has arrived at the standby's replica once nothing arrives any more."""
    server = world.databases.database(standby, world.database_id(standby)).server
    if server is None:
        raise RuntimeError("the replica has no server")
    before, now = -1, server.received_lsn()
    while before != now:
        time.sleep(0.1)
        before, now = now, server.received_lsn()
    return now


def _set(world: World, vantages: tuple[Vantage, ...], path: Path) -> None:
    for vantage in vantages:
        world.network.set(vantage, Side.PRIMARY, path)


def _later(seconds: float, what: Callable[[], None]) -> threading.Event:
    """Do it then; the event is set when it is done."""
    done = threading.Event()

    def act() -> None:
        what()
        done.set()

    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()
    return done
