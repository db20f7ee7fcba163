"""A run that was stopped or timed out, driven on where it stopped; or a new one with the same input.

Step Functions keeps what the run has assigned, its deadlines too, and its StartTime stays that of the first attempt:
so each deadline that was passed meanwhile ends the run at its first look. The lock is its owner's, until somebody takes
it over, which the next run does. Both are looked at before anything is driven on. Every step is level-triggered: a new
run goes on from what is there, and is what helps wherever this does not.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from relight.moment import lasting
from relight.telling import one_line

from relight_cli import following
from relight_cli.aws import Aws, code_of
from relight_cli.deployed import Deployed
from relight_cli.execution import Known, describe, execution_of, find, machine_of, name_of
from relight_cli.exit_code import Exit, Refused
from relight_cli.following import LONGEST, Ended, Following, ended, going_on, printed, silent, there, watching
from relight_cli.reaching import identity, reaching
from relight_cli.surroundings import aws_here, relight_here

DRIVEN_ON = frozenset({"ABORTED", "TIMED_OUT"})
"""Their last state is the one that was interrupted; that of a FAILED run is its end."""
LONGEST_NAME = 80
"""Characters that Step Functions takes as the name of an execution."""
_EVENTS = 2000
"""Of a history, from its end: a deadline is assigned anew at each stage."""
_LOCKING = dict.fromkeys(("Take lock", "Who holds the lock", "Is it this run", "Take over the lock"), "decide_by")
_DEADLINES: Mapping[str, Mapping[str, str | None]] = {
    "failover": _LOCKING
    | {
        "Warm up and decide": "decide_by",
        "Ask a person": "ask_until",
        "Bring instances into service": "deadline",
        "Are instances in service": "deadline",
        "Wait for instances": "deadline",
        "Switch and fence": "deadline",
        "Stop writes": "quiesce_by",
        "Have writes stopped": "quiesce_by",
        "Wait for writes to stop": "quiesce_by",
        "See the last write arrive": "quiesce_by",
        "Has it arrived": "quiesce_by",
        "Wait for the last write": "quiesce_by",
        "Promote and bring capacity up": "deadline",
        "Prove it": "deadline",
        "Harden": None,
        "Stand down": None,
        "Explain the failure": None,
        "Bar the door": None,
        "Undo": None,
        "Record": None,
        "Release lock": None,
    },
    "failback": {
        "Ask a person": "ask_until",
        **dict.fromkeys(
            (
                "Ready to go home",
                "Keep the old database",
                "Build the replica",
                "Compare the databases",
                "Compare the objects",
                "Find what was lost",
                "Warm up",
                "Follow the switchover",
                "Settle",
                "Let go of HOLD",
                "Light the pilot again",
                "Is there time left",
                "Wait",
            ),
            "by",
        ),
        "Record": None,
    },
}
"""The variable that ends each state's waiting, by machine; None where nothing does. Inner states are not named."""


@dataclass(frozen=True)
class Place:
    """Where a run stopped: the last state that has a say, and until when it may wait there (epoch seconds)."""

    state: str | None
    until: float | None


def place(kind: str, events: Iterable[Mapping[str, Any]]) -> Place:
    """From a history, newest event first. Pure; a state that is not known here has no deadline."""
    deadlines = _DEADLINES.get(kind, {})
    state: str | None = None
    values: dict[str, float] = {}
    for event in events:
        entered = event.get("stateEnteredEventDetails")
        if state is None and entered and entered["name"] in deadlines:
            state = str(entered["name"])
        assigned = (event.get("stateExitedEventDetails") or {}).get("assignedVariables") or {}
        for name, value in assigned.items():
            number = _number(value)
            if number is not None:
                values.setdefault(name, number)
    variable = deadlines.get(state or "")
    until = values.get(variable) if variable else None
    return Place(state, None if until is None else until / 1000)


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


def objection(found: Known, where: Place, now: float) -> Refused | None:
    """Why it cannot be driven on where it stopped, or None. Pure."""
    run = f"{found.run} in {found.region}"
    said = _of_its_status(found, run)
    if said is None and found.kind == "drill":
        said = f"{run} was a drill: what it had made is swept as soon as it is stopped"
    if said is None and found.described.get("redriveStatus", "REDRIVABLE") != "REDRIVABLE":
        why = one_line(str(found.described.get("redriveStatusReason") or "it does not say why"), LONGEST)
        said = f"Step Functions drives {run} on no more: {why}"
    if said is None and not found.holds:
        holder = f"{name_of(found.head.owner)} holds it" if found.head.owner else "it was given back"
        said = f"{run} has lost its lock ({holder}), so its steps would all be refused"
    if said is None and where.until is not None and now >= where.until:
        said = f"{run} stopped in {where.state!r}, whose time was over {lasting(now - where.until)} ago: it would fail"
    return None if said is None else Refused(said, code=Exit.NOT_REDRIVEN)


def _of_its_status(found: Known, run: str) -> str | None:
    if found.execution is None:
        return f"{run} is remembered by the ledger alone: Step Functions has forgotten it"
    if found.status in DRIVEN_ON:
        return None
    if found.status == "FAILED":
        end = ended(found.described)
        return f"{run} failed, and its last state would only fail again: {end.sentence}"
    return f"{run} is {'at work' if found.status == 'RUNNING' else found.status}: there is nothing to drive on"


def no_use_anew(found: Known) -> str | None:
    """Why a new run with the same input would come to nothing either, or None."""
    if found.execution is None or found.status in {"RUNNING", "SUCCEEDED"}:
        return "a run that is at work or has succeeded is not begun again"
    given = found.input
    if "parent" in given:
        return f"it was the switchover of {name_of(str(given['parent']))}: start that one again"
    if "source" in given and "reason" not in given:
        return f"an alarm's event had started it, and an old one starts nothing: {relight_here()} failover --reason WHY"
    if given.get("force") is True:
        return f"it was forced: {relight_here()} failover --force --reason WHY asks for a confirmation first"
    return None


@dataclass(frozen=True)
class Driven:
    """The run that is on now. `anew` is whether it is another one than that which stopped."""

    region: str
    execution: str
    of: str
    anew: bool
    state: str | None


@dataclass(frozen=True)
class Redriving:
    """One run on its way again. What is said goes to `show`, a line each."""

    deployed: Deployed
    aws: Aws
    show: Callable[[str], None]
    clock: Callable[[], float] = field(default=time.time)

    def drive(self, run: str, *, anew: bool) -> Driven:
        """Drive it on, or start another one where that was asked for. Refused where neither can succeed."""
        by = identity(self.deployed, self.aws, self.deployed.regions)
        found = find(self.deployed, run, self.aws, by)
        where = self._place(found) if found.status in DRIVEN_ON else Place(None, None)
        refused = objection(found, where, self.clock())
        if refused is None:
            return self._redrive(found, where)
        if not anew:
            raise self._instead(found, refused)
        return self._anew(found, refused)

    def _place(self, found: Known) -> Place:
        events: list[Mapping[str, Any]] = []
        with reaching(found.region, "read the run's history"):
            pages = self.aws.client("stepfunctions", found.region).get_paginator("get_execution_history")
            for page in pages.paginate(executionArn=found.execution, reverseOrder=True, PaginationConfig=_PAGES):
                events += page["events"]
        # Whatever the order in which they came.
        return place(found.kind, sorted(events, key=lambda event: int(event["id"]), reverse=True))

    def _redrive(self, found: Known, where: Place) -> Driven:
        assert found.execution is not None, "a run without an execution was objected to"
        with reaching(found.region, "drive the run on"):
            try:
                self.aws.client("stepfunctions", found.region).redrive_execution(executionArn=found.execution)
            except ClientError as error:
                if code_of(error) != "ExecutionNotRedrivable":
                    raise
                what = f"Step Functions does not drive {found.run} in {found.region} on: {error}"
                raise self._instead(found, Refused(one_line(what, LONGEST), code=Exit.NOT_REDRIVEN)) from error
        self.show(f"{found.run} in {found.region} goes on from {where.state or 'where it stopped'!r}")
        self.show(f"  the same by hand: {by_hand(found.region, found.execution)}")
        return Driven(found.region, found.execution, found.run, False, where.state)

    def _instead(self, found: Known, refused: Refused) -> Refused:
        """The same, with what helps."""
        again = f"{relight_here()} redrive {found.run} {there(self.deployed, found.region)} --anew"
        if found.status == "RUNNING":
            do = watching(self.deployed, found.run)
        else:
            do = (
                no_use_anew(found)
                or f"{again} starts another one with the same input, which goes on from what is there"
            )
        return Refused(refused.what, where=refused.where, do=do, code=refused.code)

    def _anew(self, found: Known, refused: Refused) -> Driven:
        useless = no_use_anew(found)
        if useless is not None:
            raise Refused(refused.what, do=useless, code=Exit.NOT_REDRIVEN)
        self._require_room(found)
        self.show(refused.what)
        machine = machine_of(self.deployed, found.kind, found.region, found.execution or "")
        name = anew_name(found.run, self.clock())
        with reaching(found.region, "start the run"):
            try:
                self.aws.client("stepfunctions", found.region).start_execution(
                    stateMachineArn=machine, name=name, input=json.dumps(found.input, sort_keys=True)
                )
            except ClientError as error:
                if code_of(error) != "ExecutionAlreadyExists":
                    raise
        execution = execution_of(machine, name)
        self.show(f"{name} in {found.region} has been started with the input of {found.run}")
        for line in going_on(self.deployed, found.region, execution):
            self.show(line)
        return Driven(found.region, execution, found.run, True, None)

    def _require_room(self, found: Known) -> None:
        """Refused while another run is on in that Region: it would only say that it is."""
        owner = found.head.owner
        if owner is None or owner == found.execution or owner.split(":")[3:4] != [found.region]:
            return
        holder = describe(self.aws, found.region, owner)
        if holder is not None and holder["status"] == "RUNNING":
            what = f"{name_of(owner)} is on in {found.region}"
            raise Refused(what, do=watching(self.deployed, name_of(owner)), code=Exit.RUN_ON)


_PAGES = {"MaxItems": _EVENTS, "PageSize": 1000}


def anew_name(run: str, now: float) -> str:
    """The name of the run that is begun in its place; two starts in a minute share it. Pure."""
    suffix = f"-anew-{int(now // 60)}"
    return run.partition("-anew-")[0][: LONGEST_NAME - len(suffix)] + suffix


def by_hand(region: str, execution: str) -> str:
    """The plain command that does the same."""
    return f"{aws_here()} stepfunctions redrive-execution --region {region} --execution-arn {execution}"


def as_document(driven: Driven, end: Ended | None) -> dict[str, object]:
    """As JSON has it; what is not known yet is null."""
    return {
        "run": name_of(driven.execution),
        "region": driven.region,
        "execution": driven.execution,
        "of": driven.of,
        "anew": driven.anew,
        "from_state": driven.state,
        "status": None if end is None else end.status,
        "finding": None if end is None else end.finding,
        "sentence": None if end is None else end.sentence,
    }


def closing(driven: Driven, end: Ended) -> Iterator[str]:
    """What it came to, for people."""
    yield f"{name_of(driven.execution)} in {driven.region} ended {end.status}: {end.sentence}"


def conduct(deployed: Deployed, run: str, *, anew: bool, follow: bool, as_json: bool) -> int:
    """Drive it on, and follow it: the exit code. Refused, with its own words, where it did not succeed."""
    aws, show = Aws(), silent if as_json else printed
    driven = Redriving(deployed, aws, show).drive(run, anew=anew)
    pause = following.PAUSE_SECONDS
    end = Following(deployed, aws, driven.region, driven.execution, show, pause=pause).to_its_end() if follow else None
    if as_json:
        following.as_json(as_document(driven, end))
        return Exit.DONE if end is None else end.code
    if end is None:
        return Exit.DONE
    if end.code is not Exit.DONE:
        (said,) = closing(driven, end)
        raise Refused(said, do="relight history has what came before", code=end.code)
    for line in closing(driven, end):
        printed(line)
    return Exit.DONE
