"""The way home in a rehearsal: the lost Region comes back, a person starts the failback, and what came of it.

Only what a person can do is done here: a failback is started, started again where it was stopped, and answered.
"""

import json
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lab.attempts import Attempt
from lab.drift import Estate, against_templates, changed_by_update, drift, estate, is_retired
from lab.evidence import FAILBACK, FAILOVER, Evidence
from lab.fault import Inflicted
from lab.homecoming import Half, Journey, Passage, amended, reconciled
from lab.options import Fault, Options, Reply, Step
from lab.person import Person
from lab.region import REGION_NAME, Side
from lab.report import Result, Status
from lab.saboteur import Saboteur
from lab.score import Facts, Figures, score
from lab.stage import Stage
from lab.timings import Timings
from lab.workflow import ExecutionRecord

_LONGEST_MINUTES = 100.0
"""Scaled minutes after which a failback, with all the times that it was started, is waited for no longer."""
_BACK_MINUTES = 10.0
"""Scaled minutes in which a Region that is back must be fenced and emptied, and in which a circle must be closed."""
_UNRECEIVED = 10
"""So many acknowledged writes at least are on the primary alone before it is lost."""
_BUSY = frozenset({"ALREADY_IN_PROGRESS", "AnotherRunInProgress"})
"""As a run that found another one at work says it, by its status or by its finding."""


class Homeward:
    """Leads one rehearsal home, and keeps what it sees on the way for the result."""

    def __init__(self, stage: Stage, options: Options, timings: Timings) -> None:
        self._stage = stage
        self._options = options
        self._world = stage.world
        self._minute = timings.minute
        # At home whoever is asked goes home. In the DR Region nobody asks: what a person starts there is approved.
        self._people = {
            side: stage.exits.enter_context(Person(stage.world, reply, stage.observer.does, side))
            for side, reply in ((Side.PRIMARY, Reply.APPROVE), (Side.DR, Reply.NONE))
        }
        self._failbacks = Evidence(stage.world, Side.PRIMARY, FAILBACK)
        self._waited_in_vain: list[str] = []
        self._half: Half | None = None
        self._status = Status.NO_RUN
        self._reconciled: tuple[str, ...] | None = None
        self._passages: list[Passage] = []
        self._before: Estate = {}
        self._drift: tuple[str, ...] | None = None

    # -- on the way ---------------------------------------------------------------------------------------------

    def note_before(self) -> None:
        """How all is before anything is broken."""
        self._before = estate(self._world)

    def note_drift(self) -> None:
        """What is not as it was before, once nothing changes any more, or after so long that it will not any more."""
        deadline = time.monotonic() + _BACK_MINUTES * self._minute
        while drift(self._before, estate(self._world)) and time.monotonic() < deadline:
            time.sleep(self._minute / 6)
        called = changed_by_update(self._world)
        self._drift = (*called, *drift(self._before, estate(self._world)), *against_templates(self._world))

    def await_unreceived(self) -> None:
        """Until enough writes that clients may rely on are in the primary's database alone."""
        evidence = Evidence(self._world)

        def enough() -> bool:
            at_the_replica = evidence.order_ids(Side.DR) or frozenset()
            return len(self._stage.acknowledged() - at_the_replica) >= _UNRECEIVED

        self._until("writes that no replica had received", enough, _BACK_MINUTES)

    def note_half(self, evidence: Evidence, inflicted: Inflicted) -> None:
        """What the failover came to, while the lost Region is still away."""
        attempts = self._stage.attempts()
        self._half = Half(time.time(), score(attempts, evidence.facts(inflicted)))

    def await_fenced(self) -> None:
        """Until the Region that is back has its database, and its guard has taken its instances."""
        world, home = self._world, Side.PRIMARY

        def quiet() -> bool:
            with suppress(KeyError):
                status = world.databases.database(home, world.database_id(home)).record.status
                return status == "available" and world.wanted(home) == 0 and not world.groups.states(home)
            return False

        self._until("the Region that is back was emptied by its guard", quiet, _BACK_MINUTES)

    def await_watched(self) -> None:
        """Until home, the standby now, sees the active Region UP in every view."""
        observer = self._stage.observer
        self._until("home's probe saw the DR Region", lambda: observer.signals_up(Side.PRIMARY), _BACK_MINUTES)

    def go(self, to: str | None = None, steps: Collection[Step] = ()) -> None:
        """A person starts the failback, and again each time that it was stopped, until one has come to an end."""
        self._failbacks.forget()
        switchovers = Evidence(self._world, Side.PRIMARY, FAILOVER)
        switchovers.forget()
        started, said = time.time(), {} if to is None else {"to": to}
        deadline = time.monotonic() + _LONGEST_MINUTES * self._minute
        with Saboteur(self._world, steps):
            run = self._run(Side.PRIMARY, FAILBACK, said)
            while run is not None and not _at_its_end(run) and time.monotonic() < deadline:
                run = self._run(Side.PRIMARY, FAILBACK, said)
        self._status = self._failbacks.status()
        self._reconciled = self._newest_report()
        self._passages.append(Passage(Side.PRIMARY, started, _phases(switchovers)))

    def switch_over(self, count: int) -> None:
        """A person switches over to the DR Region and home again, in turn, `count` times in all; less if one fails."""
        for number in range(1, count + 1, 2):
            self._stage.observer.does(f"switchovers {number} and {number + 1} of {count}")
            there = Evidence(self._world, Side.DR, FAILOVER)
            there.forget()
            started = time.time()
            self._run(Side.DR, FAILOVER, {"mode": "planned"})
            self._passages.append(Passage(Side.DR, started, _phases(there)))
            self._status = there.status()
            if self._status is Status.SUCCEEDED:
                self.go()
            if self._status is not Status.SUCCEEDED:
                return
            self._delete_retired()

    def _delete_retired(self) -> None:
        """A person deletes what was kept, as one may whose replica is equal: it would fill this machine otherwise."""
        for side in Side:
            rds = self._world.cloud.client("rds", REGION_NAME[side])
            for instance in rds.describe_db_instances()["DBInstances"]:
                name = instance["DBInstanceIdentifier"]
                if is_retired(name):
                    rds.modify_db_instance(DBInstanceIdentifier=name, DeletionProtection=False, ApplyImmediately=True)
                    self._world.databases.wait(side, name)
                    rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
            for snapshot in rds.describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]:
                rds.delete_db_snapshot(DBSnapshotIdentifier=snapshot["DBSnapshotIdentifier"])

    def _run(self, side: Side, machine: str, said: Mapping[str, Any]) -> ExecutionRecord | None:
        """One execution that a person starts, from its start to its end; None where there was no end, or no start."""
        region = REGION_NAME[side]
        executions = self._world.workflows.executions

        def nothing_runs() -> bool:
            return all(run.status != "RUNNING" for each in Side for run in executions(REGION_NAME[each]))

        self._until("no run in either Region", nothing_runs, _LONGEST_MINUTES)
        try:
            arn = self._people[side].start(machine, **said)
        except (BotoCoreError, ClientError) as error:
            self._waited_in_vain.append(f"the {machine} could not be started: {error}")
            return None
        ended: list[ExecutionRecord] = []

        def over() -> bool:
            ended[:] = [run for run in executions(region) if run.arn == arn and run.status != "RUNNING"]
            return bool(ended)

        self._until(f"the end of the {machine}", over, _LONGEST_MINUTES)
        return ended[0] if ended else None

    def _newest_report(self) -> tuple[str, ...] | None:
        """What the newest reconciliation report of these failbacks names; None where none has been written."""
        for run in reversed(self._failbacks.runs()):
            report = self._failbacks.document(run, "reconciliation.json")
            if report:
                return reconciled(report)
        return None

    def _until(self, what: str, holds: Callable[[], bool], minutes: float) -> None:
        deadline = time.monotonic() + minutes * self._minute
        while not holds():
            if time.monotonic() > deadline:
                self._waited_in_vain.append(f"{what}: not within {minutes:.0f} scaled minutes")
                return
            time.sleep(0.1)

    # -- afterwards ---------------------------------------------------------------------------------------------

    def figures(self, evidence: Evidence, inflicted: Inflicted, attempts: Collection[Attempt]) -> Figures:
        """Of the loss that is measured: a circle's is the first half, and where the parts were exchanged the second."""
        if self._options.fault is Fault.NONE:
            # Nothing was lost, so there is no time to recovery: each switchover has an outage of its own.
            active = next((passage.to for passage in reversed(self._passages) if passage.phases), Side.PRIMARY)
            return replace(score(attempts, Facts(active_ids=evidence.order_ids(active))), rto_seconds=None)
        if self._half is not None and self._options.circle:
            return self._half.figures
        lost = frozenset() if self._half is None else self._half.lost
        return score([each for each in attempts if each.id not in lost], evidence.facts(inflicted))

    def _home_promoted(self) -> float | None:
        own = self._world.database_id(Side.PRIMARY)
        return next((at for name, at in self._world.databases.promotions if name == own), None)

    def amend(self, result: Result, attempts: Collection[Attempt]) -> Result:
        """The result, with what the way home came to."""
        counts = self._options.fault is not Fault.DR_LOST_WHILE_ACTIVE
        journey = Journey(
            half=self._half,
            status=self._status if counts else result.status,
            passages=tuple(self._passages),
            home_promoted=self._home_promoted(),
            reconciled=self._reconciled,
            drift=self._drift,
            held=None if counts else self._world.switch(Side.PRIMARY, "HOLD") == 1,
            waited_in_vain=tuple(self._waited_in_vain),
            answers=tuple(answer for person in self._people.values() for answer in person.answered),
            home_ids=Evidence(self._world).order_ids(Side.PRIMARY),
        )
        return amended(result, journey, attempts)


def _phases(runs: Evidence) -> Mapping[str, float | None]:
    """Those of the last run that has succeeded; empty where none has."""
    run = runs.last_run(Status.SUCCEEDED)
    return {} if run is None else dict(runs.record(run).get("phases", {}))


def _at_its_end(run: ExecutionRecord) -> bool:
    """One that was stopped, or gave way to another, is started again by whoever wants to go home."""
    said = json.loads(run.output) if run.output else {}
    return run.status != "ABORTED" and _BUSY.isdisjoint({said.get("status"), said.get("finding")})
