"""EC2 Auto Scaling behind moto's API: the groups' numbers become processes.

moto keeps the groups, their limits and suspended processes, and answers for them; it would make its instances at
once and healthy. Here a reconciler launches and ends them, in both Regions, and records why.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from moto.backends import get_backend

from lab.cloud import ACCOUNT
from lab.errors import LabError
from lab.instance import Instance, environment_of
from lab.loadbalancing import LoadBalancers
from lab.network import Path as NetworkPath
from lab.region import REGION_NAME, Side, Vantage, instance_address, side_of
from lab.scaling_activity import INSUFFICIENT_CAPACITY, Activity
from lab.scaling_api import ScalingApi
from lab.scaling_group import Closable, Machine, ScalingGroup
from lab.seam import Seams
from lab.timings import Timings

_TICK_SECONDS = 0.1
_STOP_SECONDS = 5.0
_log = logging.getLogger(__name__)


class WaysToDatabases(Protocol):
    """Opens the way from one instance to its database, which network ACLs and security groups rule."""

    def open_way(self, side: Side, instance: Any, host: str, environment: Mapping[str, str]) -> Closable | None:
        """Listen on `host` and the DATABASE_PORT of the environment; None when it names no database of the lab."""
        ...


class Autoscaling:
    """The groups of both Regions. `install`, then `start`; `stop` leaves no process and undoes `install`."""

    def __init__(
        self,
        timings: Timings,
        load_balancers: LoadBalancers,
        folder: Path,
        *,
        command: Sequence[str],
        cwd: Path,
        environment: Callable[[Vantage, str], Mapping[str, str]],
        ways: WaysToDatabases | None = None,
    ) -> None:
        """`command` serves the application and is run in `cwd`, with the environment that the user data writes and
        what `environment` (see lab.cloud.Cloud.environment) says of the lab's API for a vantage and Region; output
        goes to files in `folder`."""
        self.timings = timings
        self.load_balancers = load_balancers
        self.cwd = cwd
        self.capacity_error: dict[str, str] = {}
        """Region name to the message with which each launch there fails, for as long as it stands here."""
        self.launches: list[tuple[str, float]] = []
        self.terminations: list[tuple[str, float]] = []
        """Instance id and Unix time, of every instance of either Region."""
        self.errors: list[str] = []
        """What the reconciler could not do, each once; empty in a lab that is as it should be."""
        self._folder = folder
        self._command = list(command)
        self._environment = environment
        self._ways = ways
        self._seams = Seams()
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._groups: dict[tuple[Side, str], ScalingGroup] = {}
        self._slots: dict[Side, set[int]] = {side: set() for side in Side}
        self._lost: set[Side] = set()

    def install(self) -> None:
        """Take the place of the parts of moto that make instances up. MotoChangedError if they are not there."""
        ScalingApi(self._changed, self._activities, self._attach).install(self._seams)

    def start(self) -> None:
        """Follow the groups from now on, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="autoscaling", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End every process and take the seams out; nothing is left after it."""
        self._ended.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)
        with self._lock:
            self._end_processes()
            self._seams.undo()

    def lose(self, side: Side, how: NetworkPath) -> None:
        """The Region of that side is gone: refused, its machines lose power; black-holed, they run on unseen."""
        if how is not NetworkPath.REFUSED:
            return
        with self._lock:
            self._lost.add(side)
            for group in self._of(side):
                group.lose()

    def revive(self, side: Side) -> None:
        """The Region is back: its groups find their machines without power, and replace them."""
        with self._lock:
            self._lost.discard(side)
        self._wake.set()

    def lose_instances(self, side: Side) -> None:
        """All machines of that side lose power, and AWS has no others there as long as `capacity_error` says so.

        The Region lives on: its groups end what is dead, and launch in vain.
        """
        with self._lock:
            self.capacity_error[REGION_NAME[side]] = INSUFFICIENT_CAPACITY
            for group in self._of(side):
                group.crash()
        self._wake.set()

    def processes(self) -> dict[str, int]:
        """Instance id to process id, of the processes that run now."""
        with self._lock:
            machines = [member.machine for group in self._groups.values() for member in group.members]
            return {m.process.instance_id: m.process.pid for m in machines if m.process.running and m.process.pid}

    def states(self, side: Side) -> dict[str, str]:
        """Instance id to lifecycle state (Pending, InService, Terminating), for the live view."""
        with self._lock:
            members = [member for group in self._of(side) for member in group.members]
            return {member.instance_id: str(member.state.lifecycle_state) for member in members}

    def instances(self, side: Side) -> list[tuple[str, Any, Mapping[str, str]]]:
        """Each instance of that side that does not end: its group's name, moto's object, what its user data tell."""
        with self._lock:
            found = [(group.group, member) for group in self._of(side) for member in group.members]
            return [
                (str(group.name), member.state.instance, member.machine.environment)
                for group, member in found
                if member.end is None
            ]

    def logs(self) -> list[Path]:
        """The files to which the processes write, also those of processes that have ended."""
        return sorted(self._folder.glob("*.log"))

    # -- what a group needs (see scaling_group.Site) -----------------------------------------------------------

    def machine(self, side: Side, instance: Any, port: int | None) -> Machine:
        """An address, an environment and a way to the database for a new instance.

        ValueError if its user data says nothing, OSError if its address is taken.
        """
        environment = environment_of(instance.user_data.decode() if instance.user_data else "")
        slot = min(set(range(len(self._slots[side]) + 1)) - self._slots[side])
        host = instance_address(side, slot)
        port = port or int(environment.get("PORT", "8000"))
        way = self._ways.open_way(side, instance, host, environment) if self._ways else None
        additions = {
            **self._environment(Vantage.of(side), REGION_NAME[side]),
            "BIND": f"{host}:{port}",
        } | ({"PGHOSTADDR": host} if way else {})
        self._slots[side].add(slot)
        process = Instance(instance.id, self._command, environment | additions, self._folder)
        self.load_balancers.place(instance.id, host)
        return Machine(process, host, slot, way, environment)

    def release(self, side: Side, machine: Machine) -> None:
        """Give its address and its way to the database back."""
        self.load_balancers.displace(machine.process.instance_id)
        self._slots[side].discard(machine.slot)
        if machine.way_to_database is not None:
            machine.way_to_database.close()

    # -- the reconciler ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ended.is_set():
            with self._lock:
                for side in Side:
                    if side not in self._lost:
                        self._tick(side)
                self._sync()
            self._wake.wait(_TICK_SECONDS)
            self._wake.clear()
        # The processes count the end of this thread as the end of their parent: they end with it.
        with self._lock:
            self._end_processes()

    def _tick(self, side: Side) -> None:
        backend = get_backend("autoscaling")[ACCOUNT][REGION_NAME[side]]
        present = dict(backend.autoscaling_groups)
        for name, group in present.items():
            if (side, name) not in self._groups:
                self._groups[side, name] = ScalingGroup(side, group, self)
        for (of, name), followed in list(self._groups.items()):
            if of is not side:
                continue
            try:
                if present.get(name) is followed.group:
                    followed.tick(time.monotonic())
                elif followed.disband():
                    del self._groups[of, name]
            except Exception as error:
                self._note(f"group {name} in {REGION_NAME[side]}: {type(error).__name__}: {error}")

    def _sync(self) -> None:
        try:
            self.load_balancers.sync()
        except (LabError, ValueError) as error:
            self._note(str(error))

    def _note(self, error: str) -> None:
        if error not in self.errors:
            self.errors.append(error)
            _log.exception("auto scaling: %s", error)

    def _end_processes(self) -> None:
        processes = [member.machine.process for group in self._groups.values() for member in group.members]
        deadline = time.monotonic() + _STOP_SECONDS
        for process in processes:
            process.stop()
        while time.monotonic() < deadline and not all(process.stop() for process in processes):
            time.sleep(0.02)
        for group in self._groups.values():
            for member in list(group.members):
                member.machine.process.kill()
                group.members.remove(member)
                self.release(group.side, member.machine)

    def _of(self, side: Side) -> list[ScalingGroup]:
        return [group for (of, _), group in self._groups.items() if of is side]

    # -- what the API needs (see scaling_api.ScalingApi) ------------------------------------------------------

    def _changed(self, group: Any, reason: str) -> None:
        with self._lock:
            side = side_of(group.region)
            followed = self._groups.get((side, group.name))
            if followed is None or followed.group is not group:
                followed = self._groups.setdefault((side, group.name), ScalingGroup(side, group, self))
            followed.reason = reason
        self._wake.set()

    def _activities(self, region: str, name: str | None) -> list[Activity]:
        with self._lock:
            groups = [group for group in self._of(side_of(region)) if name in (None, group.group.name)]
            activities = [activity for group in groups for activity in group.activities]
        return sorted(activities, key=lambda activity: activity.start_time, reverse=True)

    def _attach(self, group: Any) -> None:
        with self._lock:
            followed = self._groups.get((side_of(group.region), group.name))
            if followed is not None and followed.group is group:
                followed.attach_all()
