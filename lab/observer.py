"""Looks at the world a few times a second, for the view and for whoever waits for it to be steady."""

import threading
import time
from collections import deque
from pathlib import Path
from typing import Self

import psycopg

from lab.attempts import Attempt, AttemptLog, per_second
from lab.environment import APPLICATION, DOMAIN
from lab.evidence import Evidence
from lab.network import Path as NetworkPath
from lab.options import Options
from lab.region import REGION_NAME, Side, Vantage, alb_address, side_of
from lab.report import StepRecord
from lab.snapshot import RegionState, Snapshot, StepState
from lab.view import View
from lab.workflow import ExecutionRecord
from lab.world import World

_EVERY_SECONDS = 0.25
_SHOWN_SECONDS = 60
_SWITCHES = {Side.PRIMARY: ("HOLD",), Side.DR: ("STOP", "GO")}


class Observer:
    """A context manager with a thread of its own. It only looks."""

    def __init__(self, world: World, view: View, options: Options, started: float) -> None:
        self._world = world
        self._view = view
        self._options = options
        self._started = started
        self._doing = "start the Regions' APIs"
        self._lost_at: float | None = None
        self._log: AttemptLog | None = None
        self._attempts: deque[Attempt] = deque(maxlen=20_000)
        self._acknowledged = 0
        self._evidence = {REGION_NAME[side]: Evidence(world, side) for side in Side}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
        self._lag: dict[Side, tuple[float, float | None]] = {}
        self._told: dict[str, tuple[bool, list[StepRecord]]] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def does(self, what: str) -> None:
        """The rehearsal does something else now."""
        self._doing = what

    def follow(self, log: Path) -> None:
        """Read the clients' log from now on."""
        self._log = AttemptLog(log)

    def lost(self, at: float | None) -> None:
        """The fault began then."""
        self._lost_at = at

    def recent_good(self) -> int:
        """Good answers to clients within the last second."""
        now = time.time()
        return sum(attempt.good and attempt.got > now - 1 for attempt in list(self._attempts))

    def signals_up(self, watching: Side = Side.DR) -> bool:
        """Whether that side's probe has seen the other one UP in every view, by its ledger."""
        answer = self._world.cloud.client("dynamodb", REGION_NAME[watching]).query(
            TableName=f"relight-{APPLICATION}",
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": "signal"}},
        )
        seen = [item["seen"]["S"] for item in answer["Items"]]
        return len(seen) == 4 and set(seen) == {"UP"}

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_SECONDS):
            try:
                snapshot = self.snapshot()
            # A look that fails while things come and go must end nothing.
            except Exception as error:
                self._view.say(f"(cannot look just now: {type(error).__name__}: {error})")
                continue
            self._view.update(snapshot)

    def snapshot(self) -> Snapshot:
        """The state of this moment."""
        now = time.time()
        if self._log is not None:
            fresh = self._log.new()
            self._attempts.extend(fresh)
            self._acknowledged += sum(attempt.acknowledged for attempt in fresh)
        shown = [attempt for attempt in list(self._attempts) if attempt.got > now - _SHOWN_SECONDS]
        side = self._world.route53.answer_of(DOMAIN, Vantage.OUTSIDE)
        return Snapshot(
            now=now,
            started=self._started,
            doing=self._doing,
            fault=self._options.fault.value,
            timings=self._options.timings.value,
            lost_at=self._lost_at,
            regions=tuple(self._region(each) for each in Side),
            dns="" if side is None else f"{side.value} {alb_address(side, Vantage.OUTSIDE)}",
            run=self._run_status(),
            steps=tuple(self._steps()),
            tallies=per_second(shown, now, _SHOWN_SECONDS) if self._log is not None else (),
            acknowledged=self._acknowledged,
        )

    def _region(self, side: Side) -> RegionState:
        world = self._world
        path = world.network.state(Vantage.OUTSIDE, side)
        health = {name: state.state for name, state in world.balancers.health(side).items()}
        role, status = self._database(side)
        return RegionState(
            side=side.value,
            region=REGION_NAME[side],
            reach="reachable" if path is NetworkPath.OPEN else path.value,
            instances=dict.fromkeys(world.groups.states(side), "pending") | health,
            wanted=world.wanted(side),
            database_role=role,
            database_status=status if path is NetworkPath.OPEN else "out of reach",
            lag_seconds=self._replica_lag(side, role),
            switches={name: world.switch(side, name) for name in _SWITCHES[side]},
        )

    def _database(self, side: Side) -> tuple[str, str]:
        try:
            database = self._world.databases.database(side, self._world.database_id(side))
        except KeyError:
            return "none", ""
        return ("primary" if database.source is None else "replica"), str(database.record.status)

    def _replica_lag(self, side: Side, role: str) -> float | None:
        """Asked once a second: each question is a connection."""
        if role != "replica":
            return None
        asked, lag = self._lag.get(side, (0.0, None))
        if time.monotonic() - asked >= 1:
            lag = self._ask_lag(side)
            self._lag[side] = (time.monotonic(), lag)
        return lag

    def _ask_lag(self, side: Side) -> float | None:
        try:
            server = self._world.databases.database(side, self._world.database_id(side)).server
            if server is None:
                return None
            rows = server.sql("SELECT extract(epoch FROM now() - pg_last_xact_replay_timestamp())", timeout=2)
        except (KeyError, psycopg.Error):  # it is restarted in the course of its promotion, or has just been renamed
            return None
        return None if rows[0][0] is None else float(rows[0][0])

    def _run_status(self) -> str:
        """The run at work; where none is, the last one."""
        runs = self._runs()
        at_work = [run for _, run in runs if run.status == "RUNNING"] or [run for _, run in runs[-1:]]
        return f"{at_work[0].name} {at_work[0].status}" if at_work else ""

    def _steps(self) -> list[StepState]:
        """Of every run that did something; those of a second and later one carry its number."""
        told = (self._steps_of(region, run) for region, run in self._runs())
        return [
            StepState(step.name if number == 1 else f"{step.name} #{number}", step.started, step.ended, step.sentence)
            for number, steps in enumerate((steps for steps in told if steps), 1)
            for step in steps
        ]

    def _runs(self) -> list[tuple[str, ExecutionRecord]]:
        """Every execution of both Regions, with its Region, oldest first."""
        found = [(region, run) for region in self._evidence for run in self._world.workflows.executions(region)]
        return sorted(found, key=lambda pair: pair[1].started)

    def _steps_of(self, region: str, run: ExecutionRecord) -> list[StepRecord]:
        """A run that has ended is read once more only; what was told of one whose Region is lost stays."""
        ended, steps = self._told.get(run.arn, (False, []))
        lost = self._world.network.state(Vantage.OUTSIDE, side_of(region)) is not NetworkPath.OPEN
        if not ended and not lost:
            steps = self._evidence[region].steps(run.name)
            self._told[run.arn] = run.status != "RUNNING", steps
        return steps
