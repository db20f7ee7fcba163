"""A DR Region for the failover's state machine: its ledger, and steps that keep the step contract.

The ledger, `switch` and `record` are the product's own, on moto; what would wait for RDS, instances or DNS is played.
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from time import time
from typing import Any

import boto3
from moto.backends import get_backend
from relight.ledger import Capacity, Ledger
from relight.record import Recorder
from relight.run import Run
from relight.settings import RecordSettings, Settings, SwitchSettings
from relight.step import Outcome as Said
from relight.step import perform
from relight.steps.switch import Intent, Switch

from tests.statemachine.harness import REGION, Machine, Outcome, load, machine
from tests.statemachine.hold import Hold
from tests.statemachine.table import Table

ACCOUNT = "123456789012"
PRIMARY = "eu-west-1"
TABLE = "relight-shop"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:relight-shop"
BUCKET = "evidence"
MACHINE = "relight-shop-failover"
DRILL = "relight-shop-drill"
DEFINITION = Path(__file__).parents[2] / "statemachine" / "failover.asl.yaml"
FUNCTIONS = ("assess", "scale", "promote", "fence", "switch", "quiesce", "verify", "harden", "record")
AUTOMATIC = {"trigger": "automatic", "reason": "probe: region_lost"}

STEADY = Capacity(minimum=0, desired=0, maximum=4)
RAISED = Capacity(minimum=2, desired=2, maximum=4)

PROCEED = {"action": "proceed", "finding": "region_lost", "sentence": "the primary Region is lost"}
WAIT = {"action": "wait", "finding": "down_too_short", "sentence": "down for 3 s of 60 s", "look_again_seconds": 1}


class StepBrokenError(Exception):
    """What a step raises that is told to break. No Retry names it."""


@cache
def client(service: str, region: str = REGION) -> Any:
    """One client per service: making one takes longer than most of these runs."""
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    session: Any = boto3.session.Session()
    return session.client(service, region_name=region, **keys)


class Standby:
    """The Region, and what its steps are told to do. A step is named as in `looks`: `scale warm`, `verify writes`..."""

    def __init__(
        self,
        go_after: str = "decision",
        here: str = REGION,
        there: str = PRIMARY,
        clock: Callable[[], float] = time,
    ) -> None:
        self.here, self.there, self.clock = here, there, clock
        self.verdicts: deque[dict[str, Any]] = deque([PROCEED])
        """What `assess` answers, one after the other; the last one again and again."""
        self.breaks: dict[str, Exception] = {}
        """Steps that raise. `promote` breaks before the one-way door, `promote (begun)` behind it."""
        self.waits: dict[str, int] = {}
        """Steps that say WAIT so many times before DONE."""
        self.during: dict[str, Callable[[], object]] = {}
        """Called while that step's handler is at work."""
        self.looks: list[str] = []
        """The steps in the order in which they were called."""
        self.ended: list[str] = []
        """The steps in the order in which they answered."""
        self.gone: list[str] = []
        """The steps in the order in which their handlers came to an end, with an answer or without one."""
        self.news: list[str] = []
        """What the event bus was told while runs went on: `started`, `decided`, `active`."""
        self.capacity = STEADY
        self.fenced = False
        self.let_in = False
        """This Region's own application reaches its database, whoever cut it off before."""
        self.stopped = False
        """The peer's database takes no writes."""
        self.emptied = False
        self.hardened = False
        self.promoted = False
        self.switches = {"STOP": 0.0, "GO": 0.0}
        self.machine: Machine
        self._rehearsal: Hold
        own: Any = Table(here, client("dynamodb", here), self._before_update)
        others: Any = self._table_of_the_peer()
        self.ledger = Ledger(own, TABLE, PRIMARY)
        self.peer_ledger = Ledger(others, TABLE, PRIMARY)
        switching = self.settings(SwitchSettings, GO_AFTER=go_after)
        self._switch = Switch(switching, self.ledger, client("cloudwatch", here), self.clock)
        keeping, telling = client("s3", here), client("sns", here)
        recording = self.settings(RecordSettings)
        self._recorder = Recorder(recording, self.ledger, self.peer_ledger, keeping, telling, self.clock)
        self._lock = threading.Lock()

    def _table_of_the_peer(self) -> Table:
        return Table(self.there, client("dynamodb", self.there))

    def settings[Kind: Settings](self, kind: type[Kind], **changed: str) -> Kind:
        """As `settings`, of this Region."""
        own = {"AWS_REGION": self.here, "PEER_REGION": self.there, "TOPIC_ARN": topic(self.here)}
        return settings(kind, **own | {"EVIDENCE_BUCKET": bucket(self.here)} | changed)

    def run(self, payload: Any = AUTOMATIC) -> Outcome:
        """One execution from its start to its end."""
        return self.machine.outcome(self.machine.start(payload))

    @property
    def handlers(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        return {name: partial(self._handle, name) for name in FUNCTIONS}

    def prepare(self) -> None:
        """What the template makes."""
        for region in (REGION, PRIMARY):
            keys = [("pk", "HASH"), ("sk", "RANGE")]
            client("dynamodb", region).create_table(
                TableName=TABLE,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key, _ in keys],
                KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys],
            )
        self.make_stores()

    def make_stores(self) -> None:
        """The evidence's, and the topic."""
        where = {"LocationConstraint": self.here}
        client("s3", self.here).create_bucket(Bucket=bucket(self.here), CreateBucketConfiguration=where)
        client("sns", self.here).create_topic(Name=TOPIC.rpartition(":")[2])

    def messages(self) -> list[str]:
        """What people were told, oldest first."""
        told = get_backend("sns")[ACCOUNT][self.here].topics[topic(self.here)].sent_notifications
        return [sent[1] for sent in told]

    def evidence(self, execution: str) -> dict[str, Any]:
        """The record of the run of that name or ARN."""
        key = f"runs/{execution.rpartition(':')[2]}/run.json"
        evidence: dict[str, Any] = json.loads(
            client("s3", self.here).get_object(Bucket=bucket(self.here), Key=key)["Body"].read()
        )
        return evidence

    # A rehearsal.

    def start_drill(self) -> str:
        """A drill that takes and releases the lock as the failover does, and is at work until `end_drill`; its ARN."""
        failover = load(DEFINITION, substitutions())["States"]
        take, release = ({k: v for k, v in failover[name].items() if k != "Catch"} for name in _LOCKING)
        begin = {"Type": "Pass", "Assign": {"me": "{% $states.context.Execution.Id %}"}, "Next": "Take lock"}
        states = {
            "Begin": begin,
            "Take lock": take | {"Next": "Rehearse"},
            "Rehearse": {"Type": "Pass", "Next": "Release lock"},
            "Release lock": {k: v for k, v in release.items() if k != "Next"} | {"End": True},
        }
        self._rehearsal = self.machine.holds.hold("Rehearse")
        drill = {"QueryLanguage": "JSONata", "StartAt": "Begin", "States": states}
        self.machine.beside(drill, DRILL).start({}, name="drill")
        return self._rehearsal.wait()

    def end_drill(self) -> None:
        """Let it come to its end."""
        self._rehearsal.let_go()

    def _before_update(self, key: dict[str, Any]) -> None:
        """A handler is about to change an item of the ledger."""

    def _handle(self, function: str, event: dict[str, Any]) -> Any:
        detail = event.get("intent") or event.get("what") or ""
        step = f"{function} {detail}".strip().removesuffix(" end")
        if step == "record news":
            self.news.append(event["news"])
            return self._answer(function, step, event)
        self.looks.append(step)
        try:
            self.during.get(step, lambda: None)()
            answer = self._answer(function, step, event)
            self.ended.append(step)
        finally:
            self.gone.append(step)
        return answer

    def _answer(self, function: str, step: str, event: dict[str, Any]) -> dict[str, Any]:
        run = Run.from_event(event)
        if function == "assess":
            return self._assess(run, event)
        if function == "record":
            self._break(step)
            return self._recorder.record(run, event)
        return perform(step, run, self.ledger, self.clock, lambda: self._ensure(step, run))

    def _assess(self, run: Run, event: Mapping[str, Any]) -> dict[str, Any]:
        self.ledger.require(run)
        self._break("assess")
        with self._lock:
            verdict = self.verdicts.popleft() if len(self.verdicts) > 1 else self.verdicts[0]
        approved = verdict["action"] == "ask" and verdict["finding"] == event["approved"]
        return verdict | {"action": "proceed"} if approved else verdict

    def _break(self, step: str) -> None:
        if step in self.breaks:
            raise self.breaks[step]

    def _ensure(self, step: str, run: Run) -> Said:
        self._break(step)
        if step == "promote":
            return self._promote(run)
        return Said.wait(f"{step} is under way", 1) if self._must_wait(step) else self._look(step, run)

    def _must_wait(self, step: str) -> bool:
        with self._lock:
            waits = self.waits.get(step, 0)
            self.waits[step] = waits - 1
        return waits > 0

    def _look(self, step: str, run: Run) -> Said:
        return _ENSURES[step](self, run)

    def _raise(self, run: Run) -> Said:
        if self.capacity != RAISED:
            self.ledger.remember_capacity(run, {"shop-dr": self.capacity})
            self._resize(RAISED)
        return Said.done("2 instances wanted")

    def _restore(self, run: Run) -> Said:
        before = self.ledger.require(run).capacity_before
        if before is not None:
            self._resize(before["shop-dr"])
            self.ledger.forget_capacity(run)
        return Said.done("as before")

    def _resize(self, capacity: Capacity) -> None:
        self.capacity = capacity

    def _fence(self, fenced: bool, _run: Run) -> Said:
        self.fenced = fenced
        return Said.done("fenced" if fenced else "not fenced", fence="fenced" if fenced else "lifted")

    def _open(self, _run: Run) -> Said:
        self.let_in = True
        return Said.done("this Region's application reaches its database", fence="open")

    def _empty(self, _run: Run) -> Said:
        self.emptied = True
        return Said.done("the old side is at 0", emptied="done")

    def _harden(self, _run: Run) -> Said:
        self.hardened = True
        return Said.done("hardened")

    def _stop(self, run: Run) -> Said:
        self.ledger.begin_quiesce(run, self.clock())
        self.stopped = True
        self.ledger.note_quiesced(run, "0/1000")
        return Said.done("writes have stopped", lsn="0/1000")

    def _resume(self, run: Run) -> Said:
        if self.ledger.head().quiesce is not None:
            self.stopped = False
            self.ledger.end_quiesce(run)
        return Said.done("writes are let in")

    def _turn(self, intent: Intent, run: Run) -> Said:
        said = self._switch.ensure(run, intent)
        self.switches = said.facts["switches"]
        return said

    def _traffic(self, _run: Run) -> Said:
        if self.switches["GO"]:
            return Said.done("the site is answered from here")
        return Said.wait("DNS does not answer this Region yet", 1)

    def _promote(self, run: Run) -> Said:
        self.ledger.open_door(run, "shop-dr", self.clock())
        self._break("promote (begun)")
        if self._must_wait("promote"):
            return Said.wait("promote is under way", 1)
        self.promoted = True
        self.ledger.activate(run, self.here)
        return Said.done("shop-dr is promoted and took a write")


_LOCKING = ("Take lock", "Release lock")
_ENSURES: Mapping[str, Callable[[Standby, Run], Said]] = {
    "scale warm": Standby._raise,
    "scale ready": Standby._raise,
    "scale serve": Standby._raise,
    "scale restore": Standby._restore,
    "fence cut": lambda standby, run: standby._fence(True, run),
    "fence lift": lambda standby, run: standby._fence(False, run),
    "fence open": Standby._open,
    "fence empty": Standby._empty,
    "quiesce stop": Standby._stop,
    "quiesce replayed": lambda standby, run: Said.done("the last write is here"),
    "quiesce resume": Standby._resume,
    "harden": Standby._harden,
    "switch engage": lambda standby, run: standby._turn(Intent.ENGAGE, run),
    "switch go": lambda standby, run: standby._turn(Intent.GO, run),
    "switch clear": lambda standby, run: standby._turn(Intent.CLEAR, run),
    "verify writes": lambda standby, run: Said.done("an order was written and read back"),
    "verify traffic": Standby._traffic,
}


def topic(region: str) -> str:
    """The ARN of that Region's."""
    return TOPIC.replace(REGION, region)


def bucket(region: str) -> str:
    """The name of that Region's."""
    return BUCKET if region == REGION else f"{BUCKET}-{region}"


def settings[Kind: Settings](kind: type[Kind], **changed: str) -> Kind:
    """The settings of a function of the DR Region, as the template gives them."""
    return kind.from_env(
        {
            "AWS_REGION": REGION,
            "HOME_REGION": PRIMARY,
            "PEER_REGION": PRIMARY,
            "LEDGER_TABLE": TABLE,
            "PEER_LEDGER_TABLE": TABLE,
            "SWITCH_NAMESPACE": "Relight/Switches/shop",
            "EVIDENCE_BUCKET": BUCKET,
            "TOPIC_ARN": TOPIC,
            "APPLICATION": "shop",
            "RTO_SECONDS": "900",
            "MAX_DATA_LOSS_SECONDS": "300",
            "PEER_CONNECT_SECONDS": "2",
            "PEER_READ_SECONDS": "5",
            "DOMAIN": "shop.example.com",
            "NAME_SERVERS": "127.0.0.1",
            "SELF_URL": "https://dr.shop.example.com",
            "SAMPLE_TIMEOUT_SECONDS": "2",
            "LOOK_AGAIN_SECONDS": "1",
            **changed,
        }
    )


def substitutions(**changed: int | str) -> dict[str, str]:
    """The template's DefinitionSubstitutions, with function names for their ARNs."""
    given: dict[str, int | str] = {"DecideSeconds": 60, "RunSeconds": 60, "AskAgainSeconds": 60, "ApprovalSeconds": 60}
    given |= {"WarmSeconds": 60, "QuiesceSeconds": 60, "HardenSeconds": 60, "GoAfter": "decision"}
    named = {f"{name.capitalize()}Function": name for name in FUNCTIONS}
    values = {key: str(value) for key, value in (given | changed).items()}
    return {"Application": "shop", "LedgerTable": TABLE, **named, **values}


@cache
def _definition(**changed: int | str) -> dict[str, Any]:
    return load(DEFINITION, substitutions(**changed))


@contextmanager
def standby(**changed: int | str) -> Iterator[Standby]:
    """A Region with its state machine, waits and pauses cut to nothing. `changed` overrides substitutions."""
    with at_work(Standby(str(changed.get("GoAfter", "decision"))), **changed) as region:
        yield region


@contextmanager
def at_work[Kind: Standby](region: Kind, **changed: int | str) -> Iterator[Kind]:
    """That Region, as `standby`."""
    with machine(_definition(**changed), region.handlers, name=MACHINE) as running:
        region.machine = running
        region.prepare()
        yield region
