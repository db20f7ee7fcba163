"""A drill begun and followed: its steps as the ledger has them, its question, and what it came to.

The state machine refuses what it refuses; here only the Region is chosen, and two starts in a minute are told apart.
"""

import json
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from relight.drill import Kind
from relight.moment import lasting
from relight.telling import one_line

from relight_cli.aws import Aws, code_of
from relight_cli.deployed import Deployed
from relight_cli.document import say, show, show_with
from relight_cli.evidence import shelves
from relight_cli.exit_code import Exit, Refused
from relight_cli.reaching import identity, reaching, reading
from relight_cli.standby import SILENT, acting
from relight_cli.surroundings import relight_here

WINDOW_SECONDS = 60.0
"""Two starts within it share a name, so that one of them finds the other."""
PAUSE_SECONDS = 2.0
"""Between two looks at a drill that is followed."""
SILENCE_SECONDS = 300.0
"""For so long AWS may be silent while a drill is followed: it goes on in any case."""
ASKS = frozenset({Kind.PROMOTE, Kind.GAMEDAY})
"""What costs something beyond the throwaway asks a person first."""
_REFUSALS = frozenset({"InputInvalid", "LockUnavailable"})
"""Errors with which the state machine ends before anything is there."""
_STOOD_DOWN = frozenset({"STOOD_DOWN", "ALREADY_IN_PROGRESS"})
_LONGEST = 1000


@dataclass(frozen=True)
class Wanted:
    """What the person has asked for."""

    kind: Kind
    because: str
    keep_minutes: int | None = None

    def as_input(self, by: str) -> str:
        """The execution's input; the same wish of the same person is the same text."""
        given: dict[str, Any] = {"kind": self.kind.value, "reason": f"{self.because} (by {by})"}
        kept = {} if self.keep_minutes is None else {"keep_minutes": self.keep_minutes}
        return json.dumps(given | kept, sort_keys=True)


@dataclass(frozen=True)
class Begun:
    """The drill that is on now."""

    region: str
    execution: str
    wanted: Wanted
    new: bool
    """Whether this call has started it."""

    @property
    def run(self) -> str:
        """Its id."""
        return self.execution.rpartition(":")[2]


@dataclass(frozen=True)
class Ended:
    """How it ended, as an exit code and for people; `drill` is what its evidence measured, None where there is none."""

    status: str
    sentence: str
    code: Exit
    drill: dict[str, Any] | None = None


def ended(found: dict[str, Any]) -> Ended:
    """From what Step Functions describes. Pure."""
    status = str(found["status"])
    if status == "SUCCEEDED":
        said = _object(found.get("output"))
        status = str(said.get("status") or status)
        sentence = str(said.get("sentence") or status)
        code = {"SUCCEEDED": Exit.DONE}.get(status, Exit.DRILL_FAILED)
        return Ended(status, one_line(sentence, _LONGEST), Exit.DRILL_REFUSED if status in _STOOD_DOWN else code)
    cause = str(found.get("cause") or "no cause was given")
    cause = str(_object(cause).get("errorMessage") or cause)
    error = str(found.get("error") or status)
    refused = status == "FAILED" and error in _REFUSALS
    sentence = f"{error}: {cause}" if error != status else cause
    return Ended(status, one_line(sentence, _LONGEST), Exit.DRILL_REFUSED if refused else Exit.DRILL_FAILED)


def _object(given: object) -> dict[str, Any]:
    try:
        found = json.loads(given) if isinstance(given, str) else None
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


@dataclass
class Drilling:
    """One drill on its way. What is said meanwhile goes to `show`, a line each."""

    deployed: Deployed
    aws: Aws
    show: Callable[[str], None]
    clock: Callable[[], float] = time.time
    pause: float = PAUSE_SECONDS
    _told: dict[str, str] = field(default_factory=dict, repr=False)
    _asked: int = 0

    def begin(self, wanted: Wanted) -> Begun:
        """Start it, or find the one that was started in the same minute. Refused where it cannot be started."""
        with acting(self.deployed, self.aws) as region:
            by = identity(self.deployed, self.aws, dict.fromkeys((region, *self.deployed.regions)))
            given, machine = wanted.as_input(by), self._machine(region, by)
            name = f"drill-{wanted.kind}-{int(self.clock() // WINDOW_SECONDS)}"
            execution = f"{machine.replace(':stateMachine:', ':execution:', 1)}:{name}"
            begun = self._start(region, machine, execution, wanted, given)
        for line in self._beginning(begun):
            self.show(line)
        return begun

    def _machine(self, region: str, by: str) -> str:
        partition, account = by.split(":")[1], by.split(":")[4]
        return f"arn:{partition}:states:{region}:{account}:stateMachine:relight-{self.deployed.application}-drill"

    def _start(self, region: str, machine: str, execution: str, wanted: Wanted, given: str) -> Begun:
        name = execution.rpartition(":")[2]
        with reaching(region, "start the drill"):
            try:
                states = self.aws.client("stepfunctions", region)
                states.start_execution(stateMachineArn=machine, name=name, input=given)
            except ClientError as error:
                if code_of(error) == "StateMachineDoesNotExist":
                    what = f"there is no state machine relight-{self.deployed.application}-drill in {region}"
                    do = "deploy this version of Relight there first"
                    raise Refused(what, do=do, code=Exit.CONFIGURATION) from error
                if code_of(error) != "ExecutionAlreadyExists":
                    raise
            else:
                return Begun(region, execution, wanted, new=True)
        if _object(self._describe(region, execution).get("input")) != _object(given):
            what = f"another drill was started in {region} in this minute: {name}"
            raise Refused(what, do="wait for its end", code=Exit.RUN_ON)
        return Begun(region, execution, wanted, new=False)

    def _beginning(self, begun: Begun) -> Iterator[str]:
        state = "has been started" if begun.new else "was started in this minute already"
        yield f"{begun.run} in {begun.region} {state} ({begun.wanted.kind}), because: {begun.wanted.because}"
        if begun.wanted.kind in ASKS:
            yield f"  it asks before it goes on; the answer: {self._approve(begun)}"
        console = f"https://{begun.region}.console.aws.amazon.com/states/home?region={begun.region}"
        yield f"  in a browser: {console}#/v2/executions/details/{begun.execution}"

    def _approve(self, begun: Begun) -> str:
        return f"{relight_here()} approve {begun.run} {self._there(begun)} --reason 'WHY'"

    def _there(self, begun: Begun) -> str:
        return f"--app {shlex.quote(self.deployed.application)} --region {begun.region}"

    def follow(self, begun: Begun) -> Ended:
        """Show what it says until it has ended. Refused where AWS is silent for too long; it goes on nevertheless."""
        silent_since: float | None = None
        while True:
            try:
                found = self._describe(begun.region, begun.execution)
                self._tell(begun)
            except Refused as refused:
                silent_since = self.clock() if silent_since is None else silent_since
                if refused.code is not Exit.NO_ANSWER or self.clock() - silent_since > SILENCE_SECONDS:
                    raise
            else:
                silent_since = None
                if found["status"] != "RUNNING":
                    return self._came_to(begun, ended(found))
            time.sleep(self.pause)

    def _describe(self, region: str, execution: str) -> dict[str, Any]:
        with reaching(region, "ask for the drill"):
            return dict(self.aws.client("stepfunctions", region).describe_execution(executionArn=execution))

    def _tell(self, begun: Begun) -> None:
        """What its steps have said since the last look, and its question."""
        with reading(self.deployed, begun.region, self.aws) as ledger:
            steps = ledger.timeline(begun.run)[1]
            question, answer = ledger.question(begun.run), ledger.answer(begun.run)
        for step in steps:
            took = "" if step.ended is None else f" ({lasting(step.ended - step.started)})"
            said = f"  {step.name}: {one_line(step.sentence, _LONGEST) or 'begun'}{took}"
            if self._told.get(step.name) != said:
                self.show(said)
            self._told[step.name] = said
        is_open = question is not None and (answer is None or answer.at < question.asked_at)
        if question is not None and is_open and question.asked > self._asked:
            self._asked = question.asked
            self.show(f"  it asks: {one_line(question.sentence, _LONGEST)}")
            self.show(f"  the answer: {self._approve(begun)}")

    def _came_to(self, begun: Begun, end: Ended) -> Ended:
        """With what its evidence measured, as far as there is any, and with its sentence where there was none."""
        document: dict[str, Any] = {}
        try:
            (shelf,) = shelves(Deployed(self.deployed.application, (begun.region,)), self.aws)
            document = _object((shelf.read(begun.run, "run.json") or b"").decode(errors="replace"))
        except Refused as refused:
            if refused.code not in SILENT:
                raise
        drill, kept = document.get("drill"), document.get("sentence")
        sentence = one_line(kept, _LONGEST) if end.sentence == end.status and isinstance(kept, str) else end.sentence
        return Ended(end.status, sentence, end.code, drill if isinstance(drill, dict) else None)

    def closing(self, begun: Begun, end: Ended) -> Iterator[str]:
        """What it came to, for people."""
        if end.code is Exit.DONE:
            yield f"{begun.run} in {begun.region} ended {end.status}: {end.sentence}"
        if end.drill is not None:
            yield from measured(end.drill)
            yield f"  all of it: {relight_here()} report {begun.run} {self._there(begun)}"


def measured(drill: dict[str, Any]) -> Iterator[str]:
    """What the evidence of a drill says of it, a line each. Pure."""
    for name, word in (("restore_seconds", "restored"), ("promote_seconds", "promoted")):
        seconds = drill.get(name)
        if isinstance(seconds, int | float):
            yield f"  {word} in {seconds:.0f} s"
    left = drill.get("left_over")
    if isinstance(left, list):
        yield f"  left over: {', '.join(one_line(str(name), 200) for name in left) or 'nothing'}"


def conduct(deployed: Deployed, wanted: Wanted, *, follow: bool, as_json: bool) -> int:
    """Start it and follow it: the exit code. Refused, with the drill's own words, where it did not succeed.

    As JSON that is in the document.
    """
    drilling = Drilling(deployed, Aws(), show=_silent if as_json else say, pause=PAUSE_SECONDS)
    begun = drilling.begin(wanted)
    end = drilling.follow(begun) if follow else None
    failed = None
    if end is not None and end.code is not Exit.DONE:
        failed = Refused(f"{begun.run} in {begun.region} ended {end.status}: {end.sentence}", code=end.code)
    if as_json and failed is not None:
        return show_with(as_document(begun, end), failed, failed.code)
    if as_json:
        show(as_document(begun, end))
    elif end is not None:
        for line in drilling.closing(begun, end):
            print(line)
    if failed is not None:
        raise failed
    return Exit.DONE


def as_document(begun: Begun, end: Ended | None) -> dict[str, object]:
    """As JSON has it; what is not known yet is null."""
    return {
        "run": begun.run,
        "region": begun.region,
        "execution": begun.execution,
        "kind": begun.wanted.kind.value,
        "started": begun.new,
        "status": None if end is None else end.status,
        "sentence": None if end is None else end.sentence,
        "drill": None if end is None else end.drill,
    }


def _silent(_: str) -> None:
    """JSON stands alone on stdout."""
