"""Drills in a rehearsal: a person starts them while clients order, and what they leave alone is watched meanwhile.

The drills are the orchestrator's own affair: the lab starts their executions as an operator does, approves what asks,
and looks: at the clients' log, at the primary's own word on who streams from it, at what a drill's instances can reach,
and at what is left in both Regions in the end.
"""

import json
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Self

import psycopg
from botocore.exceptions import BotoCoreError, ClientError

from lab.attempts import Attempt
from lab.environment import APPLICATION
from lab.evidence import DRILL, Evidence
from lab.left_over import is_throwaway, left_over
from lab.options import DrillKind, Options, Reply
from lab.person import Person
from lab.postgres import Postgres
from lab.readying import await_ready, look, prepare
from lab.region import REGION_NAME, Side
from lab.report import Drilled, Readied, Result, Status
from lab.score import Facts, Figures, client_failures, score
from lab.stage import Stage
from lab.timings import Timings
from lab.workflow import ExecutionRecord
from lab.world import World

_LOOK_SECONDS = 0.1
_LONGEST_MINUTES = 60.0
"""Scaled minutes after which a drill is waited for no longer."""
_LEFT_MINUTES = 10.0
"""Scaled minutes in which nothing of a drill must be left, once it has ended."""
_SWEEP_MINUTES = 30.0
_PASS_MINUTES = 2.0
"""Scaled minutes that the sweeper has in all for what a dead drill has left, and between two of its passes."""


class StreamWatch:
    """A context manager: while it is there, the primary's server is asked ten times a second who streams from it."""

    def __init__(self, source: Postgres, slot: str) -> None:
        """`slot` is what the replica calls itself."""
        self._source = source
        self._slot = slot
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream-watch", daemon=True)
        self._samples = 0
        self._breaks: list[str] = []

    @property
    def always(self) -> bool | None:
        """Whether it was streaming each time, over the same connection; None where nobody could be asked."""
        return None if not self._samples else not self._breaks

    @property
    def breaks(self) -> tuple[str, ...]:
        """What was seen instead, each once."""
        return tuple(dict.fromkeys(self._breaks))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._source.session(timeout=5) as connection:
                self._watch(connection)
        except psycopg.Error as error:
            self._breaks.append(f"the primary did not answer: {type(error).__name__}")

    def _watch(self, connection: "psycopg.Connection[tuple[Any, ...]]") -> None:
        first: tuple[Any, ...] | None = None
        while not self._stop.wait(_LOOK_SECONDS):
            rows = connection.execute(
                "SELECT pid, backend_start, state FROM pg_stat_replication WHERE application_name = %s", (self._slot,)
            ).fetchall()
            self._samples += 1
            now = rows[0] if rows else None
            if now is None or now[2] != "streaming":
                self._breaks.append("not streaming" if now is None else str(now[2]))
            elif first is not None and now[:2] != first[:2]:
                self._breaks.append("streaming over another connection")
            first = first or now


class Drilling:
    """Leads a rehearsal through its drills, and keeps what it sees of them for the result."""

    def __init__(self, stage: Stage, options: Options, timings: Timings) -> None:
        self._stage = stage
        self._options = options
        self._world = stage.world
        self._minute = timings.minute
        self._person = stage.exits.enter_context(Person(stage.world, Reply.APPROVE, stage.observer.does))
        self.evidence = Evidence(stage.world, Side.DR, DRILL)
        self._drilled: list[Drilled] = []
        self._waited_in_vain: list[str] = []
        self._streaming: bool | None = None
        self._breaks: tuple[str, ...] = ()
        self._left: tuple[str, ...] | None = None
        self._readied: tuple[Readied | None, Readied | None, Readied | None] = (None, None, None)
        """The active Region's, and the standby's before and after."""

    # -- on the way ---------------------------------------------------------------------------------------------

    def go(self, kinds: Sequence[DrillKind]) -> None:
        """A person starts a drill of each kind, one after the other, and waits until nothing of it is left.

        Both Regions say before it how ready they are, and the standby once more after it.
        """
        self._stage.observer.does("upload a release, subscribe to what is told, and ask each Region how ready it is")
        prepare(self._world)
        # The active Region says its version by it, as its schedule does every half hour.
        active = look(self._world, Side.PRIMARY)
        before = await_ready(self._world, self._minute)
        self.evidence.note_before()
        self._await_backup(kinds)
        source, standing = (self._world.databases.database(side, self._world.database_id(side)) for side in Side)
        if source.server is None:
            raise RuntimeError("the primary has no server")
        with StreamWatch(source.server, standing.slot) as watch:
            for kind in kinds:
                self._drill(kind)
            self.note_left()
        self._streaming, self._breaks = watch.always, watch.breaks
        self._stage.observer.does("ask the standby once more how ready it is")
        self._readied = (active, before, await_ready(self._world, self._minute))

    def begin(self, kind: DrillKind) -> None:
        """A person starts a drill, and it gets as far as to have its throwaway database."""
        self._await_backup([kind])
        self._start(kind)
        self._until("the drill's throwaway database", lambda: self._throwaway() is not None)

    def await_end(self) -> None:
        """Until no drill is under way, whatever became of it, and the sweeper has left nothing of it.

        The sweeper's hours come round faster than in the lab's time: nobody learns anything by waiting for them.
        """
        self._until("the end of the drill", lambda: not self.evidence.running())
        deadline = time.monotonic() + _SWEEP_MINUTES * self._minute
        while time.monotonic() < deadline:
            self._world.events.fire(REGION_NAME[Side.DR], f"relight-{APPLICATION}-sweep")
            self.note_left(_PASS_MINUTES)
            if self._left == ():
                return

    def note_left(self, minutes: float = _LEFT_MINUTES) -> None:
        """What is left of drills, once nothing is, or after so many scaled minutes."""
        deadline = time.monotonic() + minutes * self._minute
        while True:
            with suppress(BotoCoreError, ClientError):  # something goes at this very moment
                self._left = left_over(self._world)
            if self._left == () or time.monotonic() > deadline:
                return
            time.sleep(self._minute / 10)

    def _await_backup(self, kinds: Collection[DrillKind]) -> None:
        """A night has passed: there is a snapshot that RDS has made by itself."""
        if DrillKind.RESTORE not in kinds:
            return
        identifier = self._world.database_id(Side.PRIMARY)
        made = self._world.databases.back_up(Side.PRIMARY, identifier)
        rds = self._world.cloud.client("rds", REGION_NAME[Side.PRIMARY])

        def there() -> bool:
            (snapshot,) = rds.describe_db_snapshots(DBSnapshotIdentifier=made)["DBSnapshots"]
            return bool(snapshot["Status"] == "available")

        self._until("an automated snapshot of the primary", there)

    def _start(self, kind: DrillKind) -> str | None:
        try:
            return self._person.start(DRILL, kind=kind.value)
        except (BotoCoreError, ClientError) as error:
            self._waited_in_vain.append(f"the drill ({kind}) could not be started: {error}")
            return None

    def _drill(self, kind: DrillKind) -> None:
        self._stage.observer.does(f"a drill: {kind}")
        started, arn, site = time.time(), self._start(kind), _Site()
        ended: list[ExecutionRecord] = []

        def over() -> bool:
            ended[:] = [run for run in self.evidence.runs() if run.arn == arn and run.status != "RUNNING"]
            return bool(ended)

        if arn is not None:
            self._until(f"the end of the drill ({kind})", over, site.look)
        self._drilled.append(self._row(kind, started, site, ended[0] if ended else None))

    def _row(self, kind: DrillKind, started: float, site: "_Site", run: ExecutionRecord | None) -> Drilled:
        record = {} if run is None else self.evidence.record(run)
        measured = record.get("drill") or {}
        return Drilled(
            kind=kind.value,
            run=None if run is None else run.name,
            status=_status(run),
            started=started,
            ended=time.time(),
            promote_seconds=measured.get("promote_seconds"),
            restore_seconds=measured.get("restore_seconds"),
            instances=len(site.seen),
            marked=site.marked,
            reached_standing=site.reached_standing,
            ways_out=tuple(sorted(site.ways_out)),
        )

    def _throwaway(self) -> Any | None:
        found = (each for each in self._world.databases.all(Side.DR) if is_throwaway(each.identifier))
        return next(found, None)

    def _until(
        self, what: str, holds: Callable[[], bool], meanwhile: Callable[[World], object] = lambda _: None
    ) -> None:
        deadline = time.monotonic() + _LONGEST_MINUTES * self._minute
        while not holds():
            if time.monotonic() > deadline:
                self._waited_in_vain.append(f"{what}: not within {_LONGEST_MINUTES:.0f} scaled minutes")
                return
            meanwhile(self._world)
            time.sleep(_LOOK_SECONDS)

    # -- afterwards ---------------------------------------------------------------------------------------------

    def figures(self, attempts: Collection[Attempt]) -> Figures:
        """Nothing was lost, so there is no time to recovery."""
        return replace(score(attempts, Facts(active_ids=self.evidence.order_ids(Side.PRIMARY))), rto_seconds=None)

    def amend(self, result: Result, attempts: Collection[Attempt]) -> Result:
        """The result, with what the drills came to."""
        result = replace(
            result,
            left_over=self._left,
            waited_in_vain=(*result.waited_in_vain, *self._waited_in_vain),
            answers=result.answers + self._person.answered,
        )
        if not self._drilled:
            return result
        begun, over = self._drilled[0].started, self._drilled[-1].ended
        active, before, after = self._readied
        return replace(
            result,
            readiness_active=active,
            readiness=before,
            readiness_after=after,
            drills=tuple(self._drilled),
            client_failures=client_failures(attempts, begun, over),
            standby_streaming_always=self._streaming,
            standby_seen=self._breaks,
            promote_seconds=_last(one.promote_seconds for one in self._drilled if one.kind == DrillKind.PROMOTE),
            restore_seconds=_last(one.restore_seconds for one in self._drilled if one.kind == DrillKind.RESTORE),
        )


class _Site:
    """What was seen of the instances of a drill while they lived."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.marked: bool | None = None
        self.reached_standing: bool | None = None
        self.ways_out: set[str] = set()

    def look(self, world: World) -> None:
        """At each instance of a drill's group that is there now; its groups may change while it lives."""
        standing = world.database_id(Side.DR)
        for group, instance, environment in world.groups.instances(Side.DR):
            if not is_throwaway(group):
                continue
            reaches = world.databases.admits(Side.DR, instance, standing)
            self.reached_standing = bool(self.reached_standing) or reaches
            marked = environment.get("RELIGHT_DRILL") == "1"
            self.marked = marked if self.marked is None else self.marked and marked
            if str(instance.id) not in self.seen:
                self.seen.add(str(instance.id))
                self.ways_out |= set(_ways_out(world, str(instance.subnet_id)))


def _ways_out(world: World, subnet: str) -> list[str]:
    """Where the subnet's own table sends what is for the internet."""
    ec2 = world.cloud.client("ec2", REGION_NAME[Side.DR])
    tables = ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])["RouteTables"]
    return [
        next((str(value) for key, value in route.items() if key.endswith(("GatewayId", "InstanceId"))), "somewhere")
        for table in tables
        for route in table["Routes"]
        if route.get("DestinationCidrBlock") == "0.0.0.0/0"
    ]


def _status(run: ExecutionRecord | None) -> Status:
    """How a drill's execution ended, by its own word."""
    if run is None:
        return Status.UNFINISHED
    said = json.loads(run.output) if run.output else {}
    if run.status != "SUCCEEDED" or said.get("status") not in set(Status):
        return Status.FAILED
    return Status(said["status"])


def _last[T](values: Iterable[T | None]) -> T | None:
    """The last one that was measured."""
    found = [value for value in values if value is not None]
    return found[-1] if found else None
