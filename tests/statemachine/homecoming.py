"""Both Regions and all four of their state machines on the way home: the primary was lost, and DR has been made active.

The state machines, both ledgers, `survey`, `record`, and `switch` but for letting go of HOLD, are the product's own.
Databases, instances and DNS are played, and so is time where a test takes hours.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from botocore.exceptions import EndpointConnectionError
from jsonata.timebox import Timebox
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.backend.execution import Execution
from moto.stepfunctions.parser.models import stepfunctions_parser_backends
from relight.head import Head, State
from relight.retired import Retired, retired_name
from relight.run import Run
from relight.settings import SurveySettings
from relight.step import Outcome as Said
from relight.step import perform
from relight.steps import survey
from relight.steps.survey import Survey
from relight.switches import switches

from lab.seam import Seams
from tests.statemachine.harness import REGION, Machine, Outcome, load, machine, until
from tests.statemachine.standby import (
    ACCOUNT,
    DEFINITION,
    FUNCTIONS,
    PRIMARY,
    RAISED,
    STEADY,
    TABLE,
    Standby,
    client,
    substitutions,
)
from tests.statemachine.table import Item, Table
from tests.unit.rds import Rds

HOME, AWAY = PRIMARY, REGION
FAILOVER, FAILBACK = "relight-shop-failover", "relight-shop-failback"
WAY_HOME = Path(DEFINITION).with_name("failback.asl.yaml")
STEPS = ("survey", "retire", "reprotect", "compare", "objects")
DATABASES = {HOME: "shop-primary", AWAY: "shop-dr"}
HEAD = {"pk": {"S": "region"}, "sk": {"S": "head"}}
GO_HOME = {"reason": "the primary Region is well again"}
STAND_BY = {"reason": "there must be a standby", "to": "protected"}
EPOCH = 4
"""At which DR has become active."""
PACE = 0.02
"""Of a wait: long enough for the other executions to come a step further."""

type Difference = dict[str, Any]


class FarTable(Table):
    """The other Region's, which may not be reached."""

    reached = True

    def get_item(self, **given: Any) -> dict[str, Any]:
        """As boto3 answers, or does not."""
        self._look()
        return super().get_item(**given)

    def update_item(self, **given: Any) -> dict[str, Any]:
        """As boto3 answers, or does not."""
        self._look()
        return super().update_item(**given)

    def _look(self) -> None:
        if not self.reached:
            raise EndpointConnectionError(endpoint_url="https://dynamodb.far.amazonaws.com/")


class Machines:
    """Step Functions with nothing between where it is asked most: how an execution stands."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._client = client("stepfunctions", region)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def describe_execution(self, **given: Any) -> dict[str, Any]:
        """As boto3 answers."""
        for each in stepfunctions_parser_backends[ACCOUNT][self._region].state_machines:
            for execution in list(each.executions):
                if execution.execution_arn == given["executionArn"] and execution.exec_status is not None:
                    found = execution.to_describe_output() | {"status": execution.exec_status.value}
                    return {key: value for key, value in found.items() if value is not None}
        answer: dict[str, Any] = self._client.describe_execution(**given)
        return answer


class VirtualTime:
    """A clock that stands still while anything is at work, and goes on to the next that waits once all of them do."""

    def __init__(self) -> None:
        self.now = float(int(time.time()))
        self._lock = threading.Lock()
        self._waiting: dict[int, float] = {}

    def __call__(self) -> float:
        return self.now

    @contextmanager
    def at_work(self, executions: Callable[[], int]) -> Iterator[None]:
        """In the place of the executor's; `executions` tells how many are running. No branch of a Parallel may wait."""
        seams = Seams()
        seams.replace(Timebox, "current_milli_time", staticmethod(lambda: int(self.now * 1000)))
        seams.wrap(Execution, "__init__", self._beginning)
        seams.replace(WaitFunction, "_wait_interval", self._waiter(executions))
        try:
            yield
        finally:
            seams.undo()

    def _beginning(self, original: Callable[..., None]) -> Callable[..., None]:
        def begin(execution: Any, *given: Any, **named: Any) -> None:
            original(execution, *given, **named)
            execution.start_date = datetime.fromtimestamp(self.now, UTC)

        return begin

    def _waiter(self, executions: Callable[[], int]) -> Callable[..., None]:
        def wait(_function: Any, env: Any, wait_seconds: float) -> None:
            me = threading.get_ident()
            with self._lock:
                mine = self._waiting[me] = self.now + wait_seconds
            try:
                while env.is_running() and self.now < mine:
                    self._go_on(executions)
                    if self.now < mine:
                        time.sleep(0.001)
            finally:
                with self._lock:
                    self._waiting.pop(me, None)

        return wait

    def _go_on(self, executions: Callable[[], int]) -> None:
        with self._lock:
            if self._waiting and len(self._waiting) >= executions():
                self.now = max(self.now, min(self._waiting.values()))


class Side(Standby):
    """One Region: what its steps are told to do, and what they have done."""

    peer: "Side"

    def __init__(self, world: "Homecoming", here: str, there: str) -> None:
        self.world = world
        self._far = FarTable(there, client("dynamodb", there), self._before_update_there)
        super().__init__(here=here, there=there, clock=world.clock)
        self.database = DATABASES[here]
        self.rds = Rds(client("rds").meta.service_model, status={}, source={})
        self.differences: list[Difference] = []
        """What the comparison of the databases finds; named by `name`."""
        self.differences_total: int | None = None
        """Where it is more than those."""
        self.lost_rows = 0
        self.answer: str | None = None
        """What each question is answered with: `approve`, `stay`, `decline`, any other word, or nothing.

        `call back` calls the first one back, as what the facts have overtaken, and approves the next.
        """
        self.build_seconds = 0.0
        """How long RDS takes for a replica."""
        self.built_at: list[float] = []
        """When RDS was asked for one."""
        self.promotions = 0
        self.failback: Machine

    def _table_of_the_peer(self) -> Table:
        return self._far

    @property
    def reaches_the_peer(self) -> bool:
        """Whether the other Region answers."""
        return self._far.reached

    @reaches_the_peer.setter
    def reaches_the_peer(self, reached: bool) -> None:
        self._far.reached = reached

    def begin(self) -> None:
        """With the clients of both Regions, once their machines exist."""
        role = {HOME: "primary", AWAY: "dr"}[self.here]
        given = {
            "REPLICA_ID": self.database,
            "PEER_DATABASE_ID": self.peer.database,
            "FAILOVER_MACHINE": machine_arn(self.here, FAILOVER),
            "FAILBACK_MACHINE": machine_arn(self.here, FAILBACK),
            "PEER_FAILBACK_MACHINE": machine_arn(self.there, FAILBACK),
            "GUEST_SECONDS": "2700",
            "LEASE_TERM_SECONDS": "0",
            "LOOK_AGAIN_SECONDS": str(self.world.look_again),
        }
        machines: Any = Machines(self.here)
        others: Any = Machines(self.there)
        rds: Any = self.peer.rds
        looking = self.settings(SurveySettings, **given)
        self.survey = Survey(looking, self.ledger, self.peer_ledger, machines, others, rds, self.clock)
        self.role = role

    @property
    def handlers(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        """All functions of the Region."""
        more = {name: lambda event, name=name: self._handle(name, event) for name in STEPS}
        return super().handlers | more

    def start(self, given: Mapping[str, Any], name: str | None = None) -> str:
        """A failback of this Region; its ARN."""
        return self.failback.start(dict(given), name)

    def go(self, given: Mapping[str, Any]) -> Outcome:
        """A failback of this Region, from its start to its end."""
        return self.failback.outcome(self.start(given))

    def arn(self, name: str, of: str = FAILBACK) -> str:
        """Of an execution of that name."""
        return f"{machine_arn(self.here, of).replace(':stateMachine:', ':execution:')}:{name}"

    def lock(self, owner: str) -> None:
        """Have somebody hold the lock of this Region, for long."""
        self.write_head("SET #owner = :owner, expires_at = :far", {":owner": {"S": owner}, ":far": {"N": "9999999999"}})

    def write_head(self, expression: str, values: Item) -> None:
        """Into this Region's ledger, whatever it says."""
        names = {"#owner": "owner", "#state": "state"}
        client("dynamodb", self.here).update_item(
            TableName=TABLE,
            Key=HEAD,
            UpdateExpression=expression,
            ExpressionAttributeNames={short: name for short, name in names.items() if short in expression},
            **({"ExpressionAttributeValues": values} if values else {}),
        )

    def forget(self) -> None:
        """Count the steps anew."""
        until(lambda: len(self.gone) == len(self.looks), "the end of each handler")
        for noted in (self.looks, self.ended, self.gone):
            noted.clear()

    # What is at work here.

    @property
    def follows(self) -> bool:
        """Whether the database is there, as a replica of the other Region's."""
        return self.database in self.rds.source and self.rds.status.get(self.database) == "available"

    @property
    def takes_writes(self) -> bool:
        """Whether the application of this Region can write into its database."""
        primary = self.database in self.rds.status and self.database not in self.rds.source
        return primary and not self.peer.stopped and not self.peer.fenced

    @property
    def published(self) -> dict[str, float]:
        """The switches of this Region, as its guard publishes them each minute from the ledger."""
        return switches(self.ledger.head(), self.here, HOME)

    def _acts(self, what: str) -> None:
        """A handler is about to change something: where it can be held."""
        self.machine.holds.pass_by(what)

    def _before_update(self, key: Item) -> None:
        if key == HEAD:
            self._acts("write")

    def _before_update_there(self, key: Item) -> None:
        if key == HEAD:
            self._acts("write there")

    # The steps.

    def _handle(self, function: str, event: dict[str, Any]) -> Any:
        said = super()._handle(function, event)
        if event.get("what") == "ask" and self.answer is not None:
            again = self.answer == "call back" and event["asked"] > 1
            self.reply(event["token"], "approve" if again else self.answer)
        return said

    def reply(self, token: str, answer: str) -> None:
        """Answer a question."""
        machines = client("stepfunctions", self.here)
        no = {"decline": ("Declined", '{"by": "ann", "because": "not today"}'), "call back": ("FactsChanged", "so")}
        if answer in no:
            error, cause = no[answer]
            machines.send_task_failure(taskToken=token, error=error, cause=cause)
            return
        word = "" if answer == "approve" else f'"answer": "{answer}", '
        machines.send_task_success(taskToken=token, output=f'{{{word}"by": "ann", "because": "it is quiet now"}}')

    def _answer(self, function: str, step: str, event: dict[str, Any]) -> dict[str, Any]:
        if function != "survey":
            return super()._answer(function, step, event)
        intent = survey.Intent(event["intent"])
        if intent is survey.Intent.HEAR:
            self._break(step)
            return self.survey.hear().as_dict()
        run = Run.from_event(event)

        def ensure() -> Said:
            self._break(step)
            return self.survey.ensure(run, intent, event)

        return perform(f"survey ({intent})", run, self.ledger, self.clock, ensure)

    def _assess(self, run: Run, event: Mapping[str, Any]) -> dict[str, Any]:
        verdict = super()._assess(run, event)
        return verdict | ({"mode": event["mode"], "finding": "by_hand"} if event["mode"] else {})

    def _look(self, step: str, run: Run) -> Said:
        return _ENSURES[step](self, run) if step in _ENSURES else super()._look(step, run)

    def _retire(self, run: Run) -> Said:
        epoch = self.ledger.require(run).active_epoch
        if self.database in self.rds.source:
            kept = self.ledger.retired()
            retired = {"instance": kept[-1].instance} if kept else None
            return Said.done(f"{self.database} is a replica already", retired=retired, why="it follows")
        name = retired_name(self.database, epoch)
        if self.database in self.rds.status:
            self._acts("rename")
            self.ledger.require(run)
            self.rds.status[name] = self.rds.status.pop(self.database)
            self.ledger.keep_retired(Retired(name, self.database, epoch, run.id, self.clock(), name))
        return Said.done(f"kept as {name}", retired={"instance": name, "host": name, "port": 5432}, why="kept")

    def _reprotect(self, run: Run) -> Said:
        if self.database not in self.rds.status:
            self._acts("create")
            self.ledger.require(run)
            self.rds.status[self.database] = "creating"
            self.rds.source[self.database] = f"arn:aws:rds:{self.there}:{ACCOUNT}:db:{self.peer.database}"
            self.built_at.append(self.clock())
        left = self.built_at[-1] + self.build_seconds - self.clock() if self.built_at else 0.0
        if left > 0 or self._must_wait("reprotect"):
            return Said.wait(f"{self.database} is creating", self.world.look_again)
        self.rds.status[self.database] = "available"
        self.peer.stopped = False  # the database that was stopped is another one now
        return Said.done(f"{self.database} follows {self.peer.database}, 0 s behind", lag_seconds=0.0, gib=20)

    def _compare(self, _run: Run) -> Said:
        total = len(self.differences) if self.differences_total is None else self.differences_total
        report = f"s3://evidence/{self.here}/consistency.json"
        facts = {"tables": 3, "rows": 12, "differences": self.differences, "differences_total": total}
        return Said.done(f"{total} differences in 3 tables", **facts, report=report)

    def _find(self, _run: Run) -> Said:
        facts = {"rows": self.lost_rows, "tables": {"shop_order": self.lost_rows}}
        return Said.done(f"{self.lost_rows} rows are only there", **facts, report="s3://evidence/reconciliation.json")

    def _objects(self, _run: Run) -> Said:
        facts = {"objects": 7, "differences": [], "differences_total": 0, "pending": 0, "failed": 0, "job": None}
        return Said.done("no difference in 7 objects", **facts, report="s3://evidence/objects.json")

    def _settle(self, _run: Run) -> Said:
        self._resize(RAISED)
        return Said.done("capacity is settled")

    def _release(self, run: Run) -> Said:
        if any(self.peer.published.values()):
            return Said.wait("the other Region's switches are not back", 1)
        self.ledger.release_hold(run)
        return Said.done("clients come here without HOLD")

    def _open(self, run: Run) -> Said:
        self.ledger.require(run)
        self.peer.fenced = False
        return super()._open(run)

    def _empty(self, run: Run) -> Said:
        self.peer._resize(STEADY)
        return super()._empty(run)

    def _verify(self, _run: Run) -> Said:
        if not self.takes_writes or self.capacity != RAISED:
            return Said.wait("no write is taken here", 1)
        return Said.done("an order was written and read back")

    def _traffic(self, _run: Run) -> Said:
        if self.world.answered_by() != self.here:
            return Said.wait("DNS does not answer this Region yet", 1)
        return Said.done("the site is answered from here")

    def _promote(self, run: Run) -> Said:
        self.ledger.open_door(run, self.database, self.clock())
        self._acts("promote")
        self._break("promote (begun)")
        if self._must_wait("promote"):
            return Said.wait("promote is under way", 1)
        self.ledger.require(run)
        if self.database in self.rds.source:
            self.world.split += [side.here for side in self.world.sides if side.takes_writes]
            del self.rds.source[self.database]
            self.promotions += 1
        self.ledger.activate(run, self.here)
        return Said.done(f"{self.database} is promoted and took a write")


_ENSURES: Mapping[str, Callable[[Side, Run], Said]] = {
    "retire keep": Side._retire,
    "reprotect": Side._reprotect,
    "compare database": Side._compare,
    "compare lost": Side._find,
    "objects": Side._objects,
    "scale ready": Side._raise,
    "scale settle": Side._settle,
    "switch release": Side._release,
    "fence open": Side._open,
    "fence empty": Side._empty,
    "verify writes": Side._verify,
    "verify traffic": Side._traffic,
}


class Homecoming:
    """Both Regions."""

    def __init__(self, clock: Callable[[], float], look_again: int) -> None:
        self.clock = clock
        self.look_again = look_again
        self.split: list[str] = []
        """The Regions that took writes at the moment in which another one was promoted."""
        self.home, self.away = Side(self, HOME, AWAY), Side(self, AWAY, HOME)
        self.home.peer, self.away.peer = self.away, self.home
        self.sides = (self.home, self.away)

    def prepare(self) -> None:
        """What the templates make, and what the loss of the primary has left: DR is active, and home is cut off."""
        self.home.prepare()
        self.away.make_stores()
        for side in self.sides:
            side.begin()
        self.make_active(self.away, EPOCH)

    def make_active(self, side: Side, epoch: int) -> None:
        """As a failover to that Region has left it, and the other ledger has heard of it; or, at 0, as it began."""
        for each in self.sides:
            each.rds.status, each.rds.source = {each.database: "available"}, {}
            each.capacity, each.fenced = (RAISED, epoch > 0) if each is side else (STEADY, False)
            item: Any = {**HEAD, "active": {"S": side.here}, "state": {"S": "steady"}}
            numbers = {"epoch": epoch, "active_epoch": epoch} | ({"ended_at": 1} if each is side and epoch else {})
            item |= {name: {"N": str(number)} for name, number in numbers.items()}
            each.ledger.dynamodb.put_item(TableName=TABLE, Item=item)
        if epoch == 0:
            side.peer.rds.source = {side.peer.database: f"arn:aws:rds:{side.here}:{ACCOUNT}:db:{side.database}"}

    def picture(self) -> dict[str, Any]:
        """All that a run could move, in both Regions."""
        return {
            side.here: (
                *((head := side.ledger.head()).active, head.active_epoch, head.state, head.home),
                *(dict(side.rds.status), dict(side.rds.source), list(side.built_at), side.promotions),
                *(side.capacity, side.fenced, side.stopped, side.published),
            )
            for side in self.sides
        }

    def answered_by(self) -> str:
        """The Region that DNS leads clients to."""
        led_away = self.away.published["GO"] and not self.home.published["HOLD"]
        return AWAY if led_away else HOME

    def writable(self) -> list[str]:
        """The Regions whose application can write."""
        return [side.here for side in self.sides if side.takes_writes]

    def running(self) -> int:
        """How many executions are at work, in both Regions."""
        return self.home.machine.running(HOME, AWAY)

    def settle(self) -> None:
        """Until nothing is at work any more."""
        until(lambda: self.running() == 0, "the end of all executions")

    # What has come of it.

    def assert_home(self) -> None:
        """Where it began before the primary was lost, and nothing is left of the way."""
        heads = self._assert_free()
        assert [head.active for head in heads] == [HOME, HOME]
        assert heads[0].active_epoch == heads[1].active_epoch > 1
        assert self.writable() == [HOME]
        assert self.away.follows
        assert (self.home.promotions, self.split) == (1, [])
        assert (self.home.capacity, self.away.capacity) == (RAISED, STEADY)
        assert self.away.published == {"STOP": 0.0, "GO": 0.0}
        assert self.home.published == {"HOLD": 0.0}
        assert self.answered_by() == HOME
        assert [retired.of for side in self.sides for retired in side.ledger.retired()] == [*DATABASES.values()]
        assert [len(side.built_at) for side in self.sides] == [1, 1]

    def assert_stands_by(self) -> None:
        """Home is the standby of DR, which goes on serving as it did all the while."""
        self.assert_unmoved()
        assert self.home.follows
        assert (len(self.home.built_at), len(self.away.built_at)) == (1, 0)
        assert [retired.instance for retired in self.home.ledger.retired()] == ["shop-primary-retired-4"]

    def assert_unmoved(self, *, free: bool = True) -> None:
        """DR serves, and nothing was promoted, switched, stopped or left raised; `free` are both locks."""
        heads = self._assert_free() if free else [side.ledger.head() for side in self.sides]
        assert [(head.active, head.active_epoch) for head in heads] == [(AWAY, EPOCH)] * 2
        assert self.writable() == [AWAY]
        assert self.answered_by() == AWAY
        assert (self.home.promotions, self.away.promotions, self.split) == (0, 0, [])
        assert (self.home.capacity, self.away.capacity) == (STEADY, RAISED)
        assert self.home.published == {"HOLD": 0.0}

    def _assert_free(self) -> list[Head]:
        heads = [side.ledger.head() for side in self.sides]
        for head in heads:
            assert (head.owner, head.state, head.promotion, head.quiesce) == (None, State.STEADY, None, None)
            assert (head.capacity_before, head.held, head.granting_stopped_at) == (None, False, None)
        return heads


def machine_arn(region: str, name: str) -> str:
    """Of a state machine."""
    return f"arn:aws:states:{region}:{ACCOUNT}:stateMachine:{name}"


def held_at(side: str, name: str = FAILBACK) -> str:
    """As a hold names the executions of a state machine of that Region."""
    return f"{side}:{name}"


@cache
def definitions(region: str, **changed: int | str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Failover and failback of a Region, with function names for their ARNs."""
    given: dict[str, int | str] = {"DecideSeconds": 60, "RunSeconds": 60, "ReprotectSeconds": 60, "CompareSeconds": 60}
    given |= {"AskAgainSeconds": 60, "ApprovalSeconds": 60, "HardenSeconds": 60} | changed
    named = {f"{name.capitalize()}Function": name for name in (*FUNCTIONS, *STEPS)}
    own = {"LedgerTable": TABLE, "FailoverMachine": machine_arn(region, FAILOVER)}
    own["Role"] = {HOME: "primary", AWAY: "dr"}[region]
    values = {name: str(value) for name, value in given.items()}
    shared = {name: values[name] for name in ("DecideSeconds", "RunSeconds", "HardenSeconds")}
    return load(DEFINITION, substitutions(**shared)), load(WAY_HOME, {**named, **own, **values})


@contextmanager
def homecoming(clock: VirtualTime | None = None, look_again: int = 3, **changed: int | str) -> Iterator[Homecoming]:
    """Both Regions at work, each wait cut short, or by that clock. `changed` overrides substitutions of home's."""
    world = Homecoming(clock or time.time, look_again)
    failover, failback = definitions(HOME, **changed)
    theirs = definitions(AWAY)
    elsewhere = {AWAY: world.away.handlers}
    with machine(failover, world.home.handlers, PACE, HOME, FAILOVER, elsewhere) as running:
        world.home.machine = running
        world.home.failback = running.beside(failback, FAILBACK)
        world.away.machine = running.beside(theirs[0], FAILOVER, AWAY)
        world.away.failback = running.beside(theirs[1], FAILBACK, AWAY)
        world.prepare()
        for region in (HOME, AWAY):
            of_its_tasks: dict[str, Any] = {"dynamodb": Table(region, client("dynamodb", region))}
            of_its_tasks["stepfunctions"] = Machines(region)
            running.workflows._clients |= {(region, service): one for service, one in of_its_tasks.items()}
        try:
            if clock is None:
                yield world
            else:
                with clock.at_work(world.running):
                    yield world
        finally:
            for region in (HOME, AWAY):
                running.workflows.lose(region)
            running.holds.see_all_off()
            # A handler that outlives this would call the real AWS.
            until(lambda: all(len(side.gone) == len(side.looks) for side in world.sides), "the end of each handler")
