"""One execution of a run, found by its name in the Regions of an application, with what the ledger there says of it.

Step Functions knows whether it is at work, the ledger what it has done: each is asked, and neither is believed alone.
"""

import json
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError
from relight.head import Head
from relight.ledger import StepStory
from relight.question import Answer, Question

from relight_cli.aws import Aws, code_of
from relight_cli.deployed import Deployed
from relight_cli.exit_code import Exit, Refused
from relight_cli.reaching import reaching, reading
from relight_cli.standby import SILENT

KINDS = ("failover", "failback", "drill")
"""The state machines whose executions are runs."""
_UNKNOWN = frozenset({"ExecutionDoesNotExist", "StateMachineDoesNotExist", "InvalidArn"})


def name_of(execution: str | None) -> str:
    """The run's id: the last part of its execution's ARN; empty where there is none."""
    return (execution or "").rpartition(":")[2]


def kind_of(execution: str) -> str:
    """Which of the state machines it is of: the end of that machine's name."""
    return (execution.split(":")[6:7] or [""])[0].rpartition("-")[2]


def machine_of(deployed: Deployed, kind: str, region: str, by: str) -> str:
    """The state machine's ARN in a Region, in the account of whoever asks (`by` is an ARN)."""
    partition, account = by.split(":")[1], by.split(":")[4]
    return f"arn:{partition}:states:{region}:{account}:stateMachine:relight-{deployed.application}-{kind}"


def execution_of(machine: str, name: str) -> str:
    """The ARN of that machine's execution."""
    return f"{machine.replace(':stateMachine:', ':execution:', 1)}:{name}"


def said_in(given: object) -> dict[str, Any]:
    """What a text of JSON says, where it is an object; else nothing."""
    try:
        found = json.loads(given) if isinstance(given, str) else None
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def describe(aws: Aws, region: str, execution: str) -> dict[str, Any] | None:
    """As Step Functions has it; None where it does not know it. Refused where it does not answer."""
    with reaching(region, "ask for the run"):
        try:
            return dict(aws.client("stepfunctions", region).describe_execution(executionArn=execution))
        except ClientError as error:
            if code_of(error) not in _UNKNOWN:
                raise
            return None


@dataclass(frozen=True)
class Known:
    """What a Region knows of a run. Times are epoch seconds."""

    region: str
    run: str
    head: Head
    execution: str | None
    """Its ARN; None where Step Functions knows none of that name (any more)."""
    described: dict[str, Any]
    """As Step Functions has it; empty without an execution."""
    question: Question | None
    answer: Answer | None
    marks: dict[str, float]
    steps: tuple[StepStory, ...]

    @property
    def known(self) -> bool:
        """Whether there is such a run here."""
        return self.execution is not None or bool(self.steps or self.marks or self.question)

    @property
    def kind(self) -> str:
        """The state machine's: `failover`, `failback` or `drill`; empty where that is not known."""
        return kind_of(self.execution or "")

    @property
    def status(self) -> str:
        """RUNNING, or how it ended; UNKNOWN where only the ledger remembers it."""
        return str(self.described.get("status", "UNKNOWN"))

    @property
    def holds(self) -> bool:
        """Whether the lock is its own."""
        return self.execution is not None and self.head.owner == self.execution

    @property
    def input(self) -> dict[str, Any]:
        """What it was started with."""
        return said_in(self.described.get("input"))

    @property
    def asks(self) -> bool:
        """Whether its newest question is open."""
        question, answer = self.question, self.answer
        return question is not None and (answer is None or answer.at < question.asked_at)

    @property
    def last_words(self) -> str:
        """What it said last; empty where it said nothing."""
        return self.steps[-1].sentence if self.steps else ""

    @property
    def stopped_at(self) -> float | None:
        """When its execution ended; None while it is at work, or where that is not known."""
        ended = self.described.get("stopDate")
        return None if ended is None else float(ended.timestamp())


def look(deployed: Deployed, region: str, run: str, aws: Aws, by: str) -> Known:
    """What one Region knows of a run. Refused where it does not answer."""
    with reading(deployed, region, aws) as ledger:
        head, question, answer = ledger.head(), ledger.question(run), ledger.answer(run)
        marks, steps = ledger.timeline(run)
    execution, described = _execution(deployed, region, run, aws, by)
    return Known(region, run, head, execution, described, question, answer, marks, tuple(steps))


def _execution(deployed: Deployed, region: str, run: str, aws: Aws, by: str) -> tuple[str | None, dict[str, Any]]:
    for kind in KINDS:
        execution = execution_of(machine_of(deployed, kind, region, by), run)
        found = describe(aws, region, execution)
        if found is not None:
            return execution, found
    return None, {}


def find(deployed: Deployed, run: str, aws: Aws, by: str) -> Known:
    """The Region that knows the run, and what it knows. Of several Regions one may be lost: the others are asked still.

    Refused where none knows it, or one that may know it does not answer.
    """
    elsewhere: list[Known] = []
    silent: list[Refused] = []
    for region in deployed.regions:
        try:
            found = look(deployed, region, run, aws, by)
        except Refused as refused:
            if refused.code not in SILENT:
                raise
            silent.append(refused)
            continue
        if found.known:
            return found
        elsewhere.append(found)
    if not elsewhere:
        raise silent[0]
    raise _unknown(run, elsewhere, silent)


def _unknown(run: str, elsewhere: list[Known], silent: list[Refused]) -> Refused:
    where = " and ".join(one.region for one in elsewhere)
    if silent:
        what = f"there is no run {run} in {where}, and elsewhere: {silent[0].what}"
        return Refused(what, where=silent[0].where, do=silent[0].do, code=silent[0].code)
    if not any(one.head.written or one.head.owner for one in elsewhere):
        what = f"the ledger of {where} is empty: no run was ever there"
        return Refused(what, do="check application and Region", code=Exit.NO_LEDGER)
    owners = [f"{name_of(one.head.owner)} in {one.region}" for one in elsewhere if one.head.owner]
    do = f"the lock is held by {' and '.join(owners)}" if owners else "relight history lists the runs"
    return Refused(f"there is no run {run} in {where}", do=do, code=Exit.UNKNOWN_RUN)
