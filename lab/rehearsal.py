"""The rehearsal: deploy, let clients order, break something, touch nothing more, and measure what happens.

The orchestrator is never called from here: a Region is lost, and the lab waits. What only people start, the way home,
is started by the lab's person on call.
"""

import os
import shutil
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import psutil
from rich.console import Console

from lab import binaries
from lab.attempts import Attempt, read
from lab.client import ClientSettings, ClientsOutside
from lab.control import ControlTarget
from lab.drilling import Drilling
from lab.ending import expected, problems
from lab.environment import APPLICATION, DOMAIN
from lab.evidence import Evidence, standing_promotions
from lab.fault import Inflicted, bring_back, cut_stream, inflict
from lab.homeward import Homeward
from lab.interrupts import shield
from lab.kept import Kept, noted, notes
from lab.kept_runs import keep_runs
from lab.memory import MemoryWatch, tree
from lab.network_acl import NetworkAclEntries
from lab.observer import Observer
from lab.options import STEPS_HOME, Fault, Lost, Options, Reply
from lab.orders import seed
from lab.person import Person
from lab.region import GLOBAL, PRIMARY_NAME, REGION_NAME, Side, Vantage, alb_address, set_primary
from lab.report import Result, publish
from lab.saboteur import Saboteur
from lab.score import score
from lab.stage import Stage
from lab.timings import Timings, leased, promotion_of, timings
from lab.view import View
from lab.witness import Witness
from lab.world import World, until

_STEADY_MINUTES = 20.0
_SILENT_PROBE_MINUTES = 5.0
_SETTLE_MINUTES = 2.0
_RETURN_MINUTES = 4.0
"""Scaled minutes that are watched after a lost Region's return."""
_GUARD_MINUTES = 2.0
"""Scaled minutes after its return in which a superseded Region must have been fenced."""
_NO_RUN_MINUTES = 8.0
"""Scaled minutes in which a run must have been started, or none will be."""
_SWITCHOVER_PROMOTION_SECONDS = 1.0
_LONGEST_MINUTES = 40.0
"""Scaled minutes until an end must have been seen; the run's own deadline comes long before."""


def rehearse(options: Options, console: Console) -> Result:
    """Rehearse once, and leave nothing behind. LabError where this machine or the input does not allow it."""
    started = time.time()
    folder = binaries.folder()
    with ExitStack() as exits:
        exits.callback(shutil.rmtree, folder, ignore_errors=True)
        exits.callback(set_primary, PRIMARY_NAME)
        set_primary(GLOBAL if options.fault is Fault.US_EAST_1_LOST else PRIMARY_NAME)
        conduct = _Conduct(options, console, folder, started)
        result = conduct.run()
    return conclude(result, conduct.left())


def profile(options: Options) -> Timings:
    """The timings that the options ask for, with the write lease switched on where they say so.

    A rehearsal of switchovers has promotions of a second, so that it shows what all the rest of one takes.
    """
    chosen = timings(options.timings)
    if options.switchovers:
        chosen = promotion_of(chosen, _SWITCHOVER_PROMOTION_SECONDS)
    return leased(chosen) if options.lease else chosen


def conclude(result: Result, left: tuple[int, ...]) -> Result:
    """The result with what can be said only when all has been taken down: which processes are still there."""
    whole = replace(result, pids_left=left, ended=time.time())
    return replace(whole, problems=problems(whole))


class _Conduct:
    """One rehearsal under way."""

    def __init__(self, options: Options, console: Console, folder: Path, started: float) -> None:
        self._options = options
        self._console = console
        self._folder = folder
        self._started = started
        self._timings = profile(options)
        self._processes: dict[int, float] = {}
        self._inflicted = Inflicted(None, None)
        self._witness: Witness | None = None
        self._person: Person | None = None
        self._homeward: Homeward | None = None
        self._drilling: Drilling | None = None

    def run(self) -> Result:
        """Everything from the first process to the figures; on the way out all of it is taken down."""
        with ExitStack() as exits:
            view = exits.enter_context(View(self._console))
            memory = exits.enter_context(MemoryWatch())
            exits.enter_context(NetworkAclEntries())
            world = exits.enter_context(
                World(
                    self._timings,
                    self._folder,
                    port=self._options.port,
                    mode=self._options.lambda_mode,
                    template=self._options.template,
                )
            )
            exits.callback(self._remember_processes)
            control = exits.enter_context(ControlTarget(world.cloud.port))
            parameters = {**world.timings.parameters, "ControlTargets": control.url}
            world.timings = replace(world.timings, parameters=parameters)
            observer = exits.enter_context(Observer(world, view, self._options, self._started))
            clients, evidence = self._story(world, observer, control, exits)
            self._await_runs(evidence)
            attempts = self._stop_clients(clients)
            # The last events of the fault may have started one more meanwhile.
            self._await_runs(evidence)
            result = self._measure(world, evidence, attempts, memory)
            result = replace(result, reports=self._keep_runs(world, observer))
            if self._options.keep:
                self._keep(world, view, result)
            self._remember_processes()
            # From here on it is only taken down, and a signal must not leave half of it behind.
            shield()
        return result

    def _story(
        self, world: World, observer: Observer, control: ControlTarget, exits: ExitStack
    ) -> tuple[ClientsOutside, Evidence]:
        world.deploy(observer.does)
        observer.does(f"put {self._options.seed_orders} orders into the database")
        seed(world, self._options.seed_orders)
        observer.does("let clients order, until all is steady")
        clients = exits.enter_context(ClientsOutside(self._client_settings(world)))
        observer.follow(clients.settings.log)
        self._await_steady(world, observer)
        self._witness = exits.enter_context(Witness(world))
        reply = self._options.answer if self._options.fault is Fault.APP_LOST else Reply.NONE
        self._person = exits.enter_context(Person(world, reply, observer.does))
        stage = Stage(world, observer, control, exits, clients.settings.log)
        if self._options.switchovers:
            evidence = self._switch_over(stage)
        elif self._options.drill:
            evidence = self._drill(stage)
        elif self._options.fault is Fault.DR_LOST_WHILE_ACTIVE:
            evidence = self._lose_both_in_turn(stage)
        else:
            evidence = self._lose(stage)
        observer.does("measure")
        return clients, evidence

    def _lose(self, stage: Stage) -> Evidence:
        """One fault and what comes of it, and the way home where that was asked for."""
        options, evidence = self._options, Evidence(stage.world)
        if options.during_drill:
            self._drilling = Drilling(stage, options, self._timings)
            self._drilling.begin(options.during_drill)
        if not options.circle:
            self._strike(stage, options, evidence)
            if self._drilling is not None:
                stage.observer.does("wait until nothing of the drill is left")
                self._drilling.await_end()
            return evidence
        homeward = self._homeward = Homeward(stage, options, self._timings)
        homeward.note_before()
        stage.observer.does("cut the stream between the databases, and let clients write on")
        cut_stream(stage.world)
        homeward.await_unreceived()
        self._strike(stage, options, evidence)
        homeward.note_half(evidence, self._inflicted)
        self._bring_back(stage, homeward)
        homeward.go(steps=options.kill_orchestrator_at)
        stage.observer.does("the circle is closed: wait until it is where it began")
        homeward.note_drift()
        return evidence

    def _lose_both_in_turn(self, stage: Stage) -> Evidence:
        """The primary, which comes back as the standby of DR, and then DR: the parts exchanged."""
        options, first = self._options, Evidence(stage.world)
        homeward = self._homeward = Homeward(stage, options, self._timings)
        self._strike(stage, replace(options, fault=Fault.PRIMARY_LOST, lost=Lost.REFUSED), first)
        homeward.note_half(first, self._inflicted)
        self._bring_back(stage, homeward)
        homeward.go(to="protected")
        stage.observer.does("wait until the rebuilt standby sees all of the active Region")
        homeward.await_watched()
        self._witness = stage.exits.enter_context(Witness(stage.world, Side.PRIMARY))
        second = Evidence(stage.world, Side.PRIMARY)
        self._strike(stage, options, second)
        return second

    def _switch_over(self, stage: Stage) -> Evidence:
        """Nothing is lost: a person switches over to the DR Region, and home again, and so on."""
        homeward = self._homeward = Homeward(stage, self._options, self._timings)
        evidence = Evidence(stage.world, Side.PRIMARY)
        evidence.note_before()
        homeward.switch_over(self._options.switchovers)
        return evidence

    def _drill(self, stage: Stage) -> Evidence:
        """Nothing is lost: a person lets drill, in one way after the other."""
        drilling = self._drilling = Drilling(stage, self._options, self._timings)
        drilling.go(self._options.drill)
        return drilling.evidence

    def _bring_back(self, stage: Stage, homeward: Homeward) -> None:
        stage.observer.does("the lost Region comes back")
        self._inflicted = bring_back(stage.world, self._inflicted)
        homeward.await_fenced()

    def _strike(self, stage: Stage, options: Options, evidence: Evidence) -> None:
        """Break what the options name, wait for an end, and bring back what comes back by itself."""
        evidence.note_before(database_only=options.fault is Fault.DATABASE_LOST)
        steps = [step for step in options.kill_orchestrator_at if step not in STEPS_HOME]
        with Saboteur(stage.world, steps) as saboteur:
            stage.observer.does(f"fault: {options.fault}")
            self._inflicted = inflict(stage.world, options, self._timings, stage.control)
            stage.observer.lost(self._inflicted.at)
            stage.observer.does("wait, and touch nothing")
            self._wait(evidence, saboteur)
        if options.fault is Fault.REVIVED_PRIMARY:
            stage.observer.does("the primary comes back; watch")
            self._inflicted = bring_back(stage.world, self._inflicted)
        # Whether it stays so is seen on the way home, where there is one.
        if options.fault is self._options.fault and not options.circle and not options.during_drill:
            self._settle()

    def _client_settings(self, world: World) -> ClientSettings:
        return ClientSettings(
            resolver=world.resolver.address,
            name=DOMAIN,
            port=world.web_port,
            log=self._folder / "clients.jsonl",
            run=f"order-{int(self._started)}",
            clients=self._options.clients,
            pinned=self._options.pinned,
        )

    def _await_steady(self, world: World, observer: Observer) -> None:
        """Steady for as long as Route 53's checkers take to be sure: what was wrong before must not count after.

        A probe that says nothing is waited for, but not for ever: whoever disabled it wants to see what comes of that.
        """
        since: list[float] = []
        without_probe = time.monotonic() + _SILENT_PROBE_MINUTES * self._timings.minute

        def lasting() -> bool:
            heard = observer.signals_up() or time.monotonic() > without_probe
            if not (heard and self._steady(world, observer)):
                since.clear()
                return False
            since.append(time.monotonic())
            return since[-1] - since[0] >= world.detection_seconds()

        until("the lab became steady", lasting, _STEADY_MINUTES * self._timings.minute)

    @staticmethod
    def _steady(world: World, observer: Observer) -> bool:
        """Clients are served by the primary, and the replica streams."""
        return (
            world.route53.answer_of(DOMAIN, Vantage.OUTSIDE) is Side.PRIMARY
            and world.healthy("Endpoint")
            and world.healthy("Stop")
            and world.databases.database(Side.DR, world.database_id(Side.DR)).streams()
            and observer.recent_good() > 0
        )

    def _wait(self, evidence: Evidence, saboteur: Saboteur) -> None:
        """Until an end is seen that this fault may have, and the fault itself is over."""
        deadline = time.monotonic() + _LONGEST_MINUTES * self._timings.minute
        if self._options.fault is Fault.NONE:
            time.sleep(_SETTLE_MINUTES * self._timings.minute)
            return
        started_by = time.monotonic() + _NO_RUN_MINUTES * self._timings.minute
        while time.monotonic() < deadline:
            if saboteur.finished and self._inflicted.over() and evidence.ended(expected(self._options)):
                return
            if time.monotonic() > started_by and not evidence.started():
                return
            time.sleep(0.1)

    def _settle(self) -> None:
        """Long enough to see whether it stays so: a run that stood down may be followed by another one, a failover's
        clients go on writing for a while, and a Region that is back may do harm."""
        returned = self._inflicted.returned_at is not None
        time.sleep((_RETURN_MINUTES if returned else _SETTLE_MINUTES) * self._timings.minute)

    def _await_runs(self, evidence: Evidence) -> None:
        """Until no run is under way, so that each has the end that it will have."""
        deadline = time.monotonic() + _LONGEST_MINUTES * self._timings.minute
        while time.monotonic() < deadline and evidence.running():
            time.sleep(0.1)

    @staticmethod
    def _stop_clients(clients: ClientsOutside) -> tuple[Attempt, ...]:
        clients.stop()
        return read(clients.settings.log)

    def _measure(self, world: World, evidence: Evidence, attempts: tuple[Attempt, ...], memory: MemoryWatch) -> Result:
        homeward, drilling = self._homeward, self._drilling
        if homeward is not None:
            figures = homeward.figures(evidence, self._inflicted, attempts)
        elif drilling is not None and self._options.drill:
            figures = drilling.figures(attempts)
        else:
            figures = score(attempts, evidence.facts(self._inflicted))
        memory.sample()
        options = self._options
        result = Result(
            **evidence.fields(),
            **figures.fields(),
            expected=expected(options),
            fault=options.fault.value,
            lost=options.way_lost.value,
            timings=options.timings.value,
            seed_orders=options.seed_orders,
            clients=options.clients,
            killed_orchestrator_at=",".join(options.kill_orchestrator_at) or None,
            answer=options.answer.value if options.fault is Fault.APP_LOST else None,
            lease=options.lease,
            circle=options.circle,
            switchovers_asked=options.switchovers,
            drills_asked=tuple(kind.value for kind in options.drill),
            during_drill=options.during_drill and options.during_drill.value,
            decisions=() if self._witness is None else self._witness.decided,
            answers=() if self._person is None else self._person.answered,
            started=self._started,
            ended=time.time(),
            lost_at=self._inflicted.at,
            returned_at=self._inflicted.returned_at,
            old_side_wrote_limit_seconds=(
                _GUARD_MINUTES * self._timings.minute if options.fault is Fault.REVIVED_PRIMARY else None
            ),
            promotions=standing_promotions(world),
            peak_memory_mib=memory.peak_mib,
        )
        result = result if homeward is None else homeward.amend(result, attempts)
        return result if drilling is None else drilling.amend(result, attempts)

    @staticmethod
    def _keep_runs(world: World, observer: Observer) -> tuple[str, ...]:
        """The reports that are kept; what came of the rehearsal is told all the same where none can be."""
        try:
            return keep_runs(world)
        except OSError as error:
            observer.does(f"no report could be kept: {error}")
            return ()

    def _keep(self, world: World, view: View, result: Result) -> None:
        """Leave it running until Ctrl-C; what it came to is said and written before."""
        view.__exit__()
        publish(conclude(result, ()), self._options.json, self._console)
        with ExitStack() as note:
            lines = list(_addresses(world))
            try:
                note.enter_context(noted(_kept(world), notes()))
            except OSError as error:
                lines.append(f"  relight --lab will not find it: {error}")
            for line in lines:
                self._console.print(line, soft_wrap=True, markup=False, highlight=False)
            with suppress(KeyboardInterrupt):
                threading.Event().wait()

    def _remember_processes(self) -> None:
        """All that this rehearsal has started and that still runs, by id and time of creation (ids are used again)."""
        for pid in tree([os.getpid()]) - {os.getpid()}:
            try:
                self._processes[pid] = psutil.Process(pid).create_time()
            except psutil.Error:
                continue

    def left(self) -> tuple[int, ...]:
        """Which of them are still there, a moment after the end."""
        deadline = time.monotonic() + 5
        while (alive := tuple(pid for pid, made in self._processes.items() if _alive(pid, made))) and (
            time.monotonic() < deadline
        ):
            time.sleep(0.05)
        return alive


def _alive(pid: int, made: float) -> bool:
    try:
        process = psutil.Process(pid)
        return process.create_time() == made and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _kept(world: World) -> Kept:
    host, port = world.resolver.address
    return Kept(
        endpoint_url=world.cloud.endpoint_url,
        application=APPLICATION,
        regions=(REGION_NAME[Side.DR], REGION_NAME[Side.PRIMARY]),
        site=f"http://{DOMAIN}:{world.web_port}/",
        resolver=f"{host}:{port}",
        pid=os.getpid(),
        started=psutil.Process().create_time(),
    )


def _addresses(world: World) -> tuple[str, ...]:
    host, port = world.resolver.address
    return (
        "",
        "The lab is still running. Ctrl-C ends it.",
        f"  the Regions' API   {world.cloud.endpoint_url} (as AWS_ENDPOINT_URL, with any credentials)",
        f"  the Regions        {', '.join(REGION_NAME.values())}",
        "  relight            .venv/bin/relight --lab history, and whatever else it knows",
        f"  the site           http://{DOMAIN}:{world.web_port}/, resolved by {host}:{port} (UDP)",
        *(f"  {side.value:<18} http://{alb_address(side, Vantage.OUTSIDE)}:{world.web_port}/" for side in Side),
    )
