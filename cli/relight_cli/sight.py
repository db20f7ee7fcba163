"""What each Region says of itself now: every part as it was seen, or why it was not.

All Regions are asked at once, and each of them for several things at once, in threads that nobody waits for once the
time is over: a Region that is lost may swallow whatever is sent there.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError
from relight import metrics
from relight.drill import Drill
from relight.head import Head
from relight.lag import Lag
from relight.ledger import Ledger, StepStory
from relight.question import Answer, Question
from relight.signal import Signal, View
from relight.telling import one_line

from relight_cli.aws import Aws, code_of
from relight_cli.deployed import Deployed
from relight_cli.evidence import Shelf
from relight_cli.exit_code import Exit, Refused
from relight_cli.inspecting import Look, look
from relight_cli.reaching import identity, reaching, reading
from relight_cli.recounting import Past, past

PATIENCE_SECONDS = 3.0
"""For all answers together: beside them the command has to start, and to show them, within five."""
KINDS = ("failover", "failback", "drill")
"""The state machines of a Region."""
EVIDENCE_SECONDS = 30.0
"""How long what the evidence says is not asked again: a run that ends is seen to end before it is written."""
_CONFIG = Config(connect_timeout=2, read_timeout=2.5, retries={"total_max_attempts": 2, "mode": "standard"})
_RUNS_AT_ONCE = 10
_DOCUMENTS = 5
_LONGEST = 300
_LOST = frozenset({Exit.NO_ANSWER, Exit.NO_LEDGER, Exit.NO_CREDENTIALS, Exit.EXPIRED})
"""Reasons for which nothing else is asked of a ledger."""


@dataclass(frozen=True)
class Unseen:
    """Why something could not be seen, and the exit code that stands for it."""

    why: str
    code: Exit

    @classmethod
    def by(cls, refused: Refused) -> "Unseen":
        """As AWS, or this machine, has it."""
        return cls(one_line(refused.sentence, _LONGEST), refused.code)


@dataclass(frozen=True)
class Story:
    """How far a run has come, as the ledger has it."""

    steps: tuple[StepStory, ...] = ()
    question: Question | None = None
    answer: Answer | None = None

    @property
    def under_way(self) -> tuple[StepStory, ...]:
        """The steps that have begun and are not done, in the order in which they began."""
        return tuple(step for step in self.steps if step.ended is None)

    def asks(self, now: float) -> Question | None:
        """What it asks a person just now; an answer to the question before is none."""
        question, answer = self.question, self.answer
        if question is None or question.expires_at <= now:
            return None
        return None if answer is not None and answer.at >= question.asked_at else question


@dataclass(frozen=True)
class Running:
    """An execution that goes on, by the word of Step Functions; `since` is epoch seconds."""

    run: str
    kind: str
    region: str
    execution: str
    since: float
    because: str
    """Why it was started; empty where that is not said."""


type Figures = Mapping[str, tuple[float, float] | None]
"""The switches of a Region: the newest value that was published, and when (epoch seconds)."""


@dataclass(frozen=True)
class Sight:
    """One Region. None in a part is what was looked for and is not there."""

    region: str
    head: Head | Unseen
    signals: Mapping[View, Signal] | Unseen
    readiness: Look | Unseen | None
    drills: Sequence[Drill] | Unseen
    switches: Figures | Unseen
    lag: Lag | Unseen | None
    runs: Sequence[Running]
    runs_unseen: Unseen | None
    """Why not all that runs is known."""
    stories: Mapping[str, Story]
    last_run: Past | Unseen | None

    @property
    def silent(self) -> Unseen | None:
        """Why its ledger, without which a Region has not answered, could not be read."""
        return self.head if isinstance(self.head, Unseen) else None

    @property
    def unseen(self) -> list[tuple[str, Unseen]]:
        """What could not be seen of it: what it is called, and why."""
        parts = {
            "its ledger": self.head,
            "its signals": self.signals,
            "its readiness": self.readiness,
            "its drills": self.drills,
            "its switches": self.switches,
            "its lag": self.lag,
            "what runs there": self.runs_unseen,
            "its last run": self.last_run,
        }
        return [(name, part) for name, part in parts.items() if isinstance(part, Unseen)]


class Hasty(Aws):
    """Clients that give up within the time that a person waits, for threads that ask at once."""

    def __init__(self) -> None:
        """As Aws."""
        super().__init__()
        self._one_at_a_time = threading.Lock()
        self._hasty: dict[tuple[str, str], Any] = {}

    def client(self, service: str, region: str) -> Any:
        """The client of that service. Refused as with Aws."""
        with self._one_at_a_time:  # a session makes its clients one at a time
            if (service, region) not in self._hasty:
                self._hasty[service, region] = self._make(service, region, _CONFIG)
            return self._hasty[service, region]


def at_once(questions: Sequence[Callable[[], object]], seconds: float) -> None:
    """Ask all of them, until each is answered or the time is over. What is late then goes on, and holds nobody up."""
    deadline = time.monotonic() + seconds
    threads = [threading.Thread(target=question, daemon=True) for question in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def attempt[T](question: Callable[[], T]) -> T | Unseen:
    """The answer, or why there is none."""
    try:
        return question()
    except Refused as refused:
        return Unseen.by(refused)
    except (KeyError, TypeError, ValueError) as error:
        said = f"it says something that this version of Relight does not understand ({type(error).__name__})"
        return Unseen(said, Exit.CONFIGURATION)


@dataclass
class Onlooker:
    """Looks at both Regions, as often as it is asked to. What does not change from look to look is asked once."""

    deployed: Deployed
    aws: Aws
    clock: Callable[[], float] = time.time
    seconds: float = PATIENCE_SECONDS
    _who: dict[str, str] = field(default_factory=dict, repr=False)
    _evidence: dict[str, tuple[float, Past | None]] = field(default_factory=dict, repr=False)

    def look(self, *more: Callable[[], object]) -> tuple[Sight, ...]:
        """Both Regions, in the order of their deployment; `more` is asked beside them."""
        sheets: dict[str, dict[str, Any]] = {region: {} for region in self.deployed.regions}
        lanes = (self._ask_ledger, self._ask_figures, self._ask_runs, self._ask_evidence)
        at_once(
            [*(partial(lane, region, sheet) for region, sheet in sheets.items() for lane in lanes), *more], self.seconds
        )
        # Copied: what is late may still write into them.
        return tuple(self._sight(region, dict(sheet)) for region, sheet in sheets.items())

    @property
    def late(self) -> Unseen:
        """What has not answered when the time is over."""
        return Unseen(f"no answer within {self.seconds:g} s", Exit.NO_ANSWER)

    def _sight(self, region: str, sheet: dict[str, Any]) -> Sight:
        late = self.late
        runs = [sheet.get(f"runs of {kind}", late) for kind in KINDS]
        stories = {name.removeprefix("story of "): told for name, told in sheet.items() if name.startswith("story of ")}
        return Sight(
            region=region,
            runs=sorted(
                (one for some in runs if not isinstance(some, Unseen) for one in some), key=lambda one: one.since
            ),
            runs_unseen=next((some for some in runs if isinstance(some, Unseen)), None),
            stories={run: told for run, told in stories.items() if isinstance(told, Story)},
            **{
                name: sheet.get(name, late)
                for name in ("head", "signals", "readiness", "drills", "switches", "lag", "last_run")
            },
        )

    def ledger[T](self, region: str, question: Callable[[Ledger], T]) -> T:
        """What a Region's ledger answers. Refused where it does not."""
        with reading(self.deployed, region, self.aws) as found:
            # Of an empty ledger home is active: the Region that is last.
            return question(replace(found, home_region=self.deployed.regions[-1]))

    def arn(self, region: str, kind: str) -> str:
        """The state machine of that kind. Refused where nobody says in which account."""
        if region not in self._who:
            self._who[region] = identity(self.deployed, self.aws, [region])
        partition, account = self._who[region].split(":")[1], self._who[region].split(":")[4]
        return f"arn:{partition}:states:{region}:{account}:stateMachine:relight-{self.deployed.application}-{kind}"

    def story(self, region: str, run: str) -> Story:
        """What a Region's ledger has of a run. Refused where it does not answer."""

        def told(ledger: Ledger) -> Story:
            return Story(tuple(ledger.timeline(run)[1]), ledger.question(run), ledger.answer(run))

        return self.ledger(region, told)

    def _ask_ledger(self, region: str, sheet: dict[str, Any]) -> None:
        head = sheet["head"] = attempt(lambda: self.ledger(region, Ledger.head))
        if isinstance(head, Unseen) and head.code in _LOST:
            sheet |= dict.fromkeys(("signals", "readiness", "drills"), head)
            return
        sheet["signals"] = attempt(lambda: self.ledger(region, Ledger.signals))
        sheet["readiness"] = attempt(lambda: self._readiness(region))
        sheet["drills"] = attempt(lambda: self.ledger(region, Ledger.drills))
        owner = head.owner if isinstance(head, Head) else None
        if owner is not None and f":{region}:" in owner:
            run = owner.rpartition(":")[2]
            sheet[f"story of {run}"] = attempt(lambda: self.story(region, run))

    def _readiness(self, region: str) -> Look | None:
        found = self.ledger(region, Ledger.readiness)
        return None if found is None else look(region, found, f"the ledger {self.deployed.table}")

    def _ask_figures(self, region: str, sheet: dict[str, Any]) -> None:
        is_home = region == self.deployed.regions[-1]
        names = metrics.SWITCHES[is_home]
        found = attempt(lambda: self._figures(region, names, "primary" if is_home else "dr"))
        if isinstance(found, Unseen):
            sheet |= {"switches": found, "lag": found}
            return
        newest = {name: found.get(name.lower(), []) for name in names}
        sheet["switches"] = {name: (one[0][1], one[0][0]) if one else None for name, one in newest.items()}
        lag = found.get("lag", [])
        sheet["lag"] = Lag(lag[0][1], lag[0][0]) if lag else None

    def _figures(self, region: str, names: Sequence[str], side: str) -> dict[str, metrics.Series]:
        """What `guard` has published, and the lag of the database by the name that the template gives it."""
        application = self.deployed.application
        queries = [
            metrics.query(name.lower(), f"Relight/Switches/{application}", name, {}, 60, "Maximum") for name in names
        ]
        replica = {"DBInstanceIdentifier": f"{application}-{side}"}
        queries.append(metrics.query("lag", "AWS/RDS", "ReplicaLag", replica, 60, "Maximum"))
        with reaching(region, "ask for the switches"):
            client = self.aws.client("cloudwatch", region)
            return metrics.ask(client, queries, self.clock(), metrics.RECENT_SECONDS)

    def _ask_runs(self, region: str, sheet: dict[str, Any]) -> None:
        for kind in KINDS:
            found = sheet[f"runs of {kind}"] = attempt(partial(self._running, region, kind))
            for one in [] if isinstance(found, Unseen) else found:
                sheet[f"story of {one.run}"] = attempt(partial(self.story, region, one.run))

    def _running(self, region: str, kind: str) -> list[Running]:
        machine = self.arn(region, kind)
        with reaching(region, f"ask which {kind} runs"):
            states = self.aws.client("stepfunctions", region)
            try:
                found = states.list_executions(
                    stateMachineArn=machine, statusFilter="RUNNING", maxResults=_RUNS_AT_ONCE
                )["executions"]
            except ClientError as error:
                if code_of(error) == "StateMachineDoesNotExist":
                    return []  # what is not there runs nothing
                raise
            given = [states.describe_execution(executionArn=one["executionArn"]).get("input") for one in found]
        return [
            Running(one["name"], kind, region, one["executionArn"], one["startDate"].timestamp(), because(said))
            for one, said in zip(found, given, strict=True)
        ]

    def _ask_evidence(self, region: str, sheet: dict[str, Any]) -> None:
        asked_at, before = self._evidence.get(region, (0.0, None))
        if asked_at and time.monotonic() - asked_at < EVIDENCE_SECONDS:
            sheet["last_run"] = before
            return
        found = sheet["last_run"] = attempt(lambda: self._last_run(region))
        if not isinstance(found, Unseen):
            self._evidence[region] = time.monotonic(), found

    def _last_run(self, region: str) -> Past | None:
        """The newest of those that are no drills, by the evidence."""
        account = self.arn(region, KINDS[0]).split(":")[4]
        shelf = Shelf(region, f"relight-evidence-{self.deployed.application}-{account}-{region}", self.aws)
        for at, run in shelf.runs()[:_DOCUMENTS]:
            document = json.loads(shelf.read(run, "run.json") or b"{}")
            if isinstance(document, dict) and document.get("kind") != "drill":
                return past(region, run, document, at)
        return None


def because(given: object) -> str:
    """Why an execution was started, by its input; empty where that says nothing. Pure."""
    try:
        said = json.loads(given) if isinstance(given, str) else None
    except ValueError:
        return ""
    return one_line(str(said.get("reason", "")), _LONGEST) if isinstance(said, dict) else ""
