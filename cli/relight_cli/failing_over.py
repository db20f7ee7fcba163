"""A failover by hand: what would happen now, or the run itself, begun, followed, and told how it ended.

The state machine judges. Here the Region is found, two starts in a minute are told apart, and what overrides the
findings is confirmed by whoever types the name of the Region.
"""

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import typer
from botocore.exceptions import ClientError
from relight.fleet import standing_by
from relight.head import capacity_of, values_of
from relight.ledger import Capacity, Head, Ledger
from relight.moment import lasting, told
from relight.telling import one_line

from relight_cli import following
from relight_cli.ahead import ahead, costs, goes_on, needs_a_person
from relight_cli.aws import Aws, code_of
from relight_cli.complaint import complain
from relight_cli.deployed import Deployed
from relight_cli.execution import describe, execution_of, kind_of, machine_of, name_of, said_in
from relight_cli.exit_code import Exit, Refused
from relight_cli.failover import Mode
from relight_cli.following import LONGEST, Ended, Following, going_on, printed, silent, there, watching
from relight_cli.reaching import identity, invoked, reaching, reading
from relight_cli.standby import acting
from relight_cli.surroundings import aws_here, relight_here

WINDOW_SECONDS = 60.0
"""Two starts within it, by the same facts, share a name, so that one of them finds the other."""
_STANDBY_VIEWS = ("outside", "from_dr", "stream", "control")
_KIND = "failover"


@dataclass(frozen=True)
class Wanted:
    """What the person has asked for."""

    because: str
    mode: Mode | None = None
    force: bool = False

    def as_input(self, by: str) -> str:
        """The execution's input; the same wish of the same person is the same text."""
        return json.dumps({"reason": f"{self.because} (by {by})", **self._options()}, sort_keys=True)

    def as_question(self, instead_of: str | None) -> dict[str, object]:
        """What `assess` is asked beforehand."""
        owner = {} if instead_of is None else {"instead_of": instead_of}
        return {"preview": True, "reason": self.because or "a preview", **self._options(), **owner}

    def _options(self) -> dict[str, object]:
        mode = {} if self.mode is None else {"mode": self.mode.value}
        return {**mode, **({"force": True} if self.force else {})}


# What would happen.


@dataclass(frozen=True)
class Foreseen:
    """What `assess` says would be decided now, and what the ledger knows beside it. Times are epoch seconds."""

    region: str
    verdict: Mapping[str, Any]
    capacity: Mapping[str, Capacity]
    readiness: Mapping[str, Any] | None

    @property
    def goes_on(self) -> bool:
        """Whether a run would activate the Region, and ask nobody."""
        return goes_on(self.verdict)

    def as_document(self) -> dict[str, object]:
        """As JSON has it."""
        said = self.verdict
        return {
            "region": self.region,
            "goes_on": self.goes_on,
            "verdict": dict(said),
            "steps": [{"state": one.state, "sentence": one.sentence} for one in ahead(said, self.capacity)],
            "capacity": {
                name: {"min": sizes.minimum, "desired": sizes.desired, "max": sizes.maximum}
                for name, sizes in self.capacity.items()
            },
            "readiness": None if self.readiness is None else {k: self.readiness.get(k) for k in _READINESS},
            "costs": costs(said),
            "needs_a_person": needs_a_person(said),
        }


_INPUT = "InputInvalid"
_READINESS = ("at", "ready", "score", "sentence")


def ask_beforehand(deployed: Deployed, region: str, aws: Aws, question: Mapping[str, object]) -> dict[str, Any]:
    """What the function `assess` of a Region foresees. Refused where it does not answer, or fails."""
    name = f"relight-{deployed.application}-assess"
    body, failed = invoked(aws, region, name, question)
    if failed:
        error = body.get("errorType")
        message = one_line(f"{error}: {body.get('errorMessage')}", LONGEST)
        if error == _INPUT:
            raise Refused(f"{name} in {region} refuses: {message}", code=Exit.BAD_INPUT)
        # One of before knows no preview, and asks for the run that is missing.
        do = f"see its log; a run may go on all the same: {relight_here()} failover --reason WHY"
        raise Refused(f"{name} in {region} failed: {message}", do=do, code=Exit.AWS)
    if body.get("preview") is not True:
        do = "deploy this version of Relight there first"
        raise Refused(f"{name} in {region} knows no preview", do=do, code=Exit.CONFIGURATION)
    return body


def foreseen(deployed: Deployed, wanted: Wanted, aws: Aws) -> Foreseen:
    """What a run in the Region that stands by would do now. Refused where that Region does not say."""
    with acting(deployed, aws) as region:
        verdict = ask_beforehand(deployed, region, aws, wanted.as_question(None))
        owner = verdict.get("owner")
        if verdict["finding"] == "in_progress" and owner and _is_over(aws, region, owner):
            verdict = ask_beforehand(deployed, region, aws, wanted.as_question(owner))
        with reading(deployed, region, aws) as ledger:
            return Foreseen(region, verdict, last_sizes(ledger), ledger.readiness())


def last_sizes(ledger: Ledger) -> dict[str, Capacity]:
    """The sizes of the groups of the active Region, by name, as they were last seen from here."""
    found = ledger.dynamodb.query(
        TableName=ledger.table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": "capacity"}},
        ConsistentRead=True,
    )
    kept = [values_of(one) for one in found["Items"]]
    # The sizes that this Region's own groups have while it stands by lie beside them.
    return {one["sk"]: capacity_of(one) for one in kept if not one["sk"].endswith(standing_by(""))}


def _is_over(aws: Aws, region: str, owner: str) -> bool:
    """Whether the owner of a lock is known not to be at work; one of another Region is not asked about, as in a run."""
    if owner.split(":")[3:4] != [region]:
        return False
    found = describe(aws, region, owner)
    return found is None or found["status"] != "RUNNING"


def lines(seen: Foreseen) -> Iterator[str]:
    """What would happen, for people: a line each. Pure."""
    said = seen.verdict
    word = "would go ahead" if seen.goes_on else "would NOT go ahead"
    at = float(said["at"])
    yield f"a failover to {seen.region} {word}, by the facts of {told(at)}; nothing was changed"
    yield f"  verdict: {said['action']}, {said['finding']}, mode {said['mode']}: {_short(said['sentence'])}"
    yield f"  active: {said['active']} (epoch {said['epoch']}, {said['state']}); policy {said['policy']}"
    itself = said["by_itself"]
    yield f"  left alone: {itself['action']}, {itself['finding']}: {_short(itself['sentence'])}"
    for name in _STANDBY_VIEWS:
        view = said["views"][name]
        yield f"  {name}: {view['seen']} {_since(view, at)}: {_short(view['sentence'])}"
    lag = said["lag_seconds"]
    yield f"  newest write known here: {'unknown' if lag is None else f'{lasting(lag)} ago'}"
    yield f"  costs in data: {costs(said)}"
    yield f"  readiness: {_ready(seen.readiness, at)}"
    yield "step by step:"
    for number, one in enumerate(ahead(said, seen.capacity), start=1):
        yield f"  {number}. {one.state}: {_short(one.sentence)}"
    yield f"needs a person: {needs_a_person(said)}"


def _short(sentence: object) -> str:
    return one_line(str(sentence), LONGEST)


def _since(view: Mapping[str, Any], at: float) -> str:
    if not view["last_seen"]:
        return "never seen"
    return f"for {lasting(at - view['since'])}, seen {lasting(at - view['last_seen'])} ago"


def _ready(kept: Mapping[str, Any] | None, at: float) -> str:
    if kept is None:
        return "never looked at; relight readiness looks now"
    return (
        f"{_short(kept.get('sentence'))} (looked at {lasting(at - float(kept['at']))} ago, score {kept.get('score')})"
    )


def foresee(deployed: Deployed, wanted: Wanted, *, as_json: bool) -> int:
    """Say what would happen: the exit code. 0 where it would go ahead, 1 where it would not, or would ask."""
    if sys.stderr.isatty() and not as_json:
        complain("looking in every direction, which takes some seconds; nothing is changed")
    seen = foreseen(deployed, wanted, Aws())
    if as_json:
        following.as_json(seen.as_document())
    else:
        for line in lines(seen):
            printed(line)
        yours = f"{relight_here()} failover {there(deployed, seen.region)} --reason 'WHY'"
        printed(f"start it: {yours}" if seen.goes_on else f"what the finding means: {relight_here()} explain")
    return Exit.DONE if seen.goes_on else Exit.OTHERWISE


# The run.


@dataclass(frozen=True)
class Begun:
    """The failover that is on now."""

    region: str
    execution: str
    wanted: Wanted
    by: str
    new: bool
    """Whether this call has started it."""

    @property
    def run(self) -> str:
        """Its id."""
        return name_of(self.execution)


def _typed(question: str) -> str | None:
    """What a person types; None where nobody can be asked."""
    return str(typer.prompt(question, default="", show_default=False)) if sys.stdin.isatty() else None


def _nobody(_: str) -> None:
    """Nobody can be asked."""


@dataclass(frozen=True)
class FailingOver:
    """A failover on its way. What is said meanwhile goes to `show`, a line each."""

    deployed: Deployed
    aws: Aws
    show: Callable[[str], None]
    clock: Callable[[], float] = time.time
    confirm: Callable[[str], str | None] = _typed

    def begin(self, wanted: Wanted, yes_activate: str | None = None) -> Begun:
        """Start it, or find it on already. Refused where another run is on, or nobody has confirmed a forced one."""
        with acting(self.deployed, self.aws) as region:
            if wanted.force:
                self._consent(region, wanted, yes_activate)
            by = identity(self.deployed, self.aws, dict.fromkeys((region, *self.deployed.regions)))
            with reading(self.deployed, region, self.aws) as ledger:
                head = ledger.head()
            begun = self._on_already(region, head, wanted, by) or self._start(region, head, wanted, by)
        for line in beginning(self.deployed, begun):
            self.show(line)
        return begun

    def _consent(self, region: str, wanted: Wanted, yes_activate: str | None) -> None:
        """Refused unless the Region that is to be activated was typed, or named on the command line."""
        if yes_activate is None:
            self._tell_what_is_overridden(region, wanted)
            yes_activate = self.confirm(f"this overrides every finding; type {region} to activate it")
        if yes_activate is not None and yes_activate.strip() == region:
            return
        do = f"type its name, or give --yes-activate {region}; without --force nothing has to be confirmed"
        raise Refused(f"nobody has confirmed that {region} is to become active", do=do, code=Exit.NO_CONSENT)

    def _tell_what_is_overridden(self, region: str, wanted: Wanted) -> None:
        """Best effort: whoever forces a failover may do so because just this does not answer."""
        calm = Wanted(wanted.because, wanted.mode)
        try:
            said = ask_beforehand(self.deployed, region, self.aws, calm.as_question(None))
        except Refused as refused:
            self.show(f"what would be overridden is not known: {refused.sentence}")
            return
        self.show(f"without --force: {said['action']}, {said['finding']}: {_short(said['sentence'])}")

    def _on_already(self, region: str, head: Head, wanted: Wanted, by: str) -> Begun | None:
        """The failover that holds the lock, where it was asked for in these words; Refused for another one.

        A drill and a failback make room, and of what the other Region runs the state machine judges.
        """
        owner = head.owner or ""
        if kind_of(owner) != _KIND or owner.split(":")[3:4] != [region]:
            return None
        found = describe(self.aws, region, owner)
        if found is None or found["status"] != "RUNNING":
            return None  # the state machine takes a dead run's lock over
        if said_in(found.get("input")) == said_in(wanted.as_input(by)):
            return Begun(region, owner, wanted, by, new=False)
        raise self._on(region, owner, found)

    def _on(self, region: str, owner: str, found: Mapping[str, Any]) -> Refused:
        run, options = name_of(owner), there(self.deployed, region)
        with reading(self.deployed, region, self.aws) as ledger:
            question, answer = ledger.question(run), ledger.answer(run)
        why = one_line(str(said_in(found.get("input")).get("reason") or "an alarm"), 200)
        what = f"a failover is on in {region} already: {run} (because: {why})"
        if question is not None and (answer is None or answer.at < question.asked_at):
            do = f"it asks, so answer it: {relight_here()} approve {run} {options} --reason 'WHY'"
        else:
            do = f"{watching(self.deployed, run)}; or {relight_here()} cancel {run} {options} --reason 'WHY'"
        return Refused(what, do=do, code=Exit.RUN_ON)

    def _start(self, region: str, head: Head, wanted: Wanted, by: str) -> Begun:
        machine, given = machine_of(self.deployed, _KIND, region, by), wanted.as_input(by)
        # With the epoch, so that a run that has stood down within the minute can be started again in another mode.
        name = f"failover-{head.epoch + 1}-by-hand-{int(self.clock() // WINDOW_SECONDS)}"
        execution = execution_of(machine, name)
        with reaching(region, "start the failover"):
            try:
                self.aws.client("stepfunctions", region).start_execution(
                    stateMachineArn=machine, name=name, input=given
                )
            except ClientError as error:
                if code_of(error) == "StateMachineDoesNotExist":
                    what = f"there is no state machine relight-{self.deployed.application}-{_KIND} in {region}"
                    do = "check application and Region, or deploy Relight there first"
                    raise Refused(what, do=do, code=Exit.CONFIGURATION) from error
                if code_of(error) != "ExecutionAlreadyExists":
                    raise
            else:
                return Begun(region, execution, wanted, by, new=True)
        found = describe(self.aws, region, execution) or {}
        if said_in(found.get("input")) == said_in(given):
            return Begun(region, execution, wanted, by, new=False)
        raise self._on(region, execution, found)


def beginning(deployed: Deployed, begun: Begun) -> Iterator[str]:
    """What is on now, and how to go on with it, for people: a line each."""
    state = "has been started" if begun.new else "is on already"
    forced = ", forced" if begun.wanted.force else ""
    mode = "" if begun.wanted.mode is None else f", mode {begun.wanted.mode}"
    yield f"{begun.run} in {begun.region} {state}{mode}{forced}, because: {begun.wanted.because}"
    yield f"  the same by hand: {by_hand(begun)}"
    yield from going_on(deployed, begun.region, begun.execution)


def by_hand(begun: Begun) -> str:
    """The plain command that starts the same run."""
    machine = begun.execution.rpartition(":")[0].replace(":execution:", ":stateMachine:", 1)
    given = shlex.quote(begun.wanted.as_input(begun.by))
    start = f"{aws_here()} stepfunctions start-execution --region {begun.region} --state-machine-arn {machine}"
    return f"{start} --name {begun.run} --input {given}"


def as_document(begun: Begun, end: Ended | None) -> dict[str, object]:
    """As JSON has it; what is not known yet is null."""
    return {
        "run": begun.run,
        "region": begun.region,
        "execution": begun.execution,
        "started": begun.new,
        "because": begun.wanted.because,
        "by": begun.by,
        "mode": begun.wanted.mode,
        "force": begun.wanted.force,
        "status": None if end is None else end.status,
        "finding": None if end is None else end.finding,
        "sentence": None if end is None else end.sentence,
    }


def conduct(deployed: Deployed, wanted: Wanted, yes_activate: str | None, *, follow: bool, as_json: bool) -> int:
    """Start it and follow it: the exit code. Refused, with the run's own words, where it did not succeed."""
    aws, show = Aws(), silent if as_json else printed
    # With JSON there is no room for a question.
    failing = FailingOver(deployed, aws, show, confirm=_nobody if as_json else _typed)
    begun = failing.begin(wanted, yes_activate)
    if not follow:
        return _told(deployed, begun, None, as_json=as_json)
    try:
        end = Following(deployed, aws, begun.region, begun.execution, show, pause=following.PAUSE_SECONDS).to_its_end()
    except KeyboardInterrupt:
        show(f"{begun.run} goes on in AWS")
        for line in going_on(deployed, begun.region, begun.execution):
            show(line)
        if as_json:
            following.as_json(as_document(begun, None))
        raise
    return _told(deployed, begun, end, as_json=as_json)


def _told(deployed: Deployed, begun: Begun, end: Ended | None, *, as_json: bool) -> int:
    if as_json:
        following.as_json(as_document(begun, end))
        return Exit.DONE if end is None else end.code
    if end is None:
        return Exit.DONE
    said = f"{begun.run} in {begun.region} ended {end.status}: {end.sentence}"
    if end.code is Exit.DONE:
        printed(said)
        printed(f"  all of it: {relight_here()} report {begun.run} {there(deployed, begun.region)}")
        return Exit.DONE
    raise Refused(said, do=_next(end), code=end.code)


def _next(end: Ended) -> str:
    """What whoever started it can do now."""
    if end.status == "STOOD_DOWN":
        return f"{relight_here()} {f'explain --finding {end.finding}' if end.finding else 'failover --plan'}"
    if end.status == "ALREADY_IN_PROGRESS":
        return f"follow the run that is named: {relight_here()} watch"
    return f"{relight_here()} failover --plan says how things are now; the runs before: {relight_here()} history"
