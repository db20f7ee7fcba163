"""A run followed to its end: what its steps say as they say it, its question, and how its execution ended."""

import json
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from relight.moment import lasting
from relight.telling import one_line

from relight_cli.aws import Aws
from relight_cli.deployed import Deployed
from relight_cli.execution import describe, name_of, said_in
from relight_cli.exit_code import Exit, Refused
from relight_cli.reaching import reading
from relight_cli.surroundings import aws_here, relight_here

PAUSE_SECONDS = 2.0
"""Between two looks at a run that is followed."""
SILENCE_SECONDS = 300.0
"""For so long AWS may be silent while a run is followed: it goes on in any case."""
LONGEST = 1000
"""Characters of a sentence that is shown."""
_CODES = {"SUCCEEDED": Exit.DONE, "ALREADY_IN_PROGRESS": Exit.RUN_ON}


@dataclass(frozen=True)
class Ended:
    """How it ended, in a word, as a sentence, and as an exit code; `finding` is empty where the machine says none."""

    status: str
    finding: str
    sentence: str
    code: Exit


def ended(found: dict[str, Any]) -> Ended:
    """From what Step Functions describes. Pure."""
    status = str(found["status"])
    if status == "SUCCEEDED":
        said = said_in(found.get("output"))
        status = str(said.get("status") or status)
        sentence = one_line(str(said.get("sentence") or status), LONGEST)
        return Ended(status, str(said.get("finding") or ""), sentence, _CODES.get(status, Exit.OTHERWISE))
    cause = str(found.get("cause") or "no cause was given")
    cause = str(said_in(cause).get("errorMessage") or cause)
    error = str(found.get("error") or status)
    sentence = one_line(cause if error == status else f"{error}: {cause}", LONGEST)
    return Ended(status, error, sentence, Exit.BAD_INPUT if error == "InputInvalid" else Exit.OTHERWISE)


def there(deployed: Deployed, region: str) -> str:
    """The options that lead any command to that application and Region."""
    return f"--app {shlex.quote(deployed.application)} --region {region}"


def watching(deployed: Deployed, run: str) -> str:
    """The command that follows a run; it looks at both Regions."""
    region, peer = (*deployed.regions, "PEER-REGION")[:2]
    return f"{relight_here()} watch --run {run} {there(deployed, region)} --peer-region {peer}"


def described_by(region: str, execution: str) -> str:
    """The plain command that says how it stands."""
    return f"{aws_here()} stepfunctions describe-execution --region {region} --execution-arn {execution}"


def console(region: str, execution: str) -> str:
    """Where a browser shows it."""
    return f"https://{region}.console.aws.amazon.com/states/home?region={region}#/v2/executions/details/{execution}"


def going_on(deployed: Deployed, region: str, execution: str) -> Iterator[str]:
    """How to see a run through that is on in AWS, a line each."""
    run, options = name_of(execution), there(deployed, region)
    yield f"  watch it:  {watching(deployed, run)}"
    yield f"  cancel it: {relight_here()} cancel {run} {options} --reason 'WHY'"
    yield f"  by hand:   {described_by(region, execution)}"
    yield f"  browser:   {console(region, execution)}"


@dataclass
class Following:
    """A run that is on. What it says goes to `show`, a line each; `clock` and `pause` are seconds."""

    deployed: Deployed
    aws: Aws
    region: str
    execution: str
    show: Callable[[str], None]
    clock: Callable[[], float] = time.time
    pause: float = PAUSE_SECONDS
    _told: dict[str, str] = field(default_factory=dict, repr=False)
    _asked: int = 0

    @property
    def run(self) -> str:
        """Its id."""
        return name_of(self.execution)

    def to_its_end(self) -> Ended:
        """Show what it says until it has ended. Refused where AWS is silent for too long; it goes on nevertheless."""
        silent_since: float | None = None
        while True:
            try:
                found = describe(self.aws, self.region, self.execution)
                self.tell()
            except Refused as refused:
                silent_since = self.clock() if silent_since is None else silent_since
                if refused.code not in {Exit.NO_ANSWER, Exit.AWS} or self.clock() - silent_since > SILENCE_SECONDS:
                    raise
            else:
                silent_since = None
                if found is None:
                    what = f"Step Functions of {self.region} does not know {self.run}"
                    raise Refused(what, do="check application and Region", code=Exit.UNKNOWN_RUN)
                if found["status"] not in {"RUNNING", "PENDING_REDRIVE"}:
                    return ended(found)
            time.sleep(self.pause)

    def tell(self) -> None:
        """What its steps have said since the last look, and its question."""
        with reading(self.deployed, self.region, self.aws) as ledger:
            steps = ledger.timeline(self.run)[1]
            question, answer = ledger.question(self.run), ledger.answer(self.run)
        for step in steps:
            took = "" if step.ended is None else f" ({lasting(step.ended - step.started)})"
            said = f"  {step.name}: {one_line(step.sentence, LONGEST) or 'begun'}{took}"
            if self._told.get(step.name) != said:
                self.show(said)
            self._told[step.name] = said
        is_open = question is not None and (answer is None or answer.at < question.asked_at)
        if question is not None and is_open and question.asked > self._asked:
            self._asked = question.asked
            options = there(self.deployed, self.region)
            self.show(f"  it asks: {one_line(question.sentence, LONGEST)}")
            self.show(f"  the answer: {relight_here()} approve {self.run} {options} --reason 'WHY', or relight decline")


def silent(_: str) -> None:
    """JSON stands alone on stdout."""


def printed(line: str) -> None:
    """At once, so that a pipe sees it when it happens."""
    print(line, flush=True)


def as_json(document: dict[str, object]) -> None:
    """The one document on stdout."""
    print(json.dumps(document, indent=2), flush=True)
