"""The way home, begun: which Region it is for, the run that is there already, and the execution of `failback`.

The state machine judges for itself whether the way is open. What it refuses it refuses within seconds, so the command
waits for that, and no longer: the rest takes hours, and goes on in AWS.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from relight.ledger import Head, Ledger
from relight.moment import told
from relight.telling import one_line

from relight_cli.aws import Aws, code_of
from relight_cli.deployed import Deployed
from relight_cli.document import say, show
from relight_cli.exit_code import Exit, Refused
from relight_cli.failback import To
from relight_cli.reaching import identity, reaching, reading
from relight_cli.surroundings import aws_here

WINDOW_SECONDS = 60.0
"""Two starts within it share a name, so that one of them finds the other."""
_SILENT = frozenset({Exit.NO_ANSWER, Exit.NO_LEDGER, Exit.DENIED, Exit.AWS})
_REFUSALS = {
    "AlreadyActive": Exit.NO_WAY_HOME,
    "NeverFailedOver": Exit.NO_WAY_HOME,
    "DrillInProgress": Exit.RUN_ON,
    "AnotherRunInProgress": Exit.RUN_ON,
    "in_progress": Exit.RUN_ON,
}
"""By the finding of the state machine; what else it refuses is another end."""
_JUDGED = ("retire", "reprotect", "compare", "objects", "scale", "ask")
"""A run that has entered one of these steps was let through."""
_LONGEST = 1000


@dataclass(frozen=True)
class Wanted:
    """What the person has asked for."""

    to: To
    because: str
    accept: list[str] | None = None

    def as_input(self, by: str) -> str:
        """The execution's input; the same wish of the same person is the same text."""
        given: dict[str, Any] = {"reason": f"{self.because} (by {by})", "to": self.to.value}
        return json.dumps(given | ({} if self.accept is None else {"accept": self.accept}), sort_keys=True)


@dataclass(frozen=True)
class Reading:
    """A Region's ledger; `head` is None where it could not be read, and `trouble` says why."""

    region: str
    head: Head | None
    trouble: Refused | None = None


@dataclass(frozen=True)
class Begun:
    """The run that is on now."""

    region: str
    execution: str
    wanted: Wanted
    by: str
    new: bool
    """Whether this call has started it; else it was on already."""

    @property
    def run(self) -> str:
        """Its id."""
        return self.execution.rpartition(":")[2]


def read(deployed: Deployed, region: str, aws: Aws) -> Reading:
    """A Region's ledger, or why it could not be read. Refused where nobody can ask at all."""
    try:
        with reading(deployed, region, aws) as ledger:
            return Reading(region, ledger.head())
    except Refused as refused:
        if refused.code not in _SILENT:
            raise
        return Reading(region, None, refused)


def target(readings: list[Reading], to: To) -> Reading:
    """The ledger of the Region that this is for. Refused where that is not known. Pure; the deployed home is the last.

    Home is what a person has made home, by the word of the ledger that knows of the later activation. A standby is what
    is not active.
    """
    if len(readings) == 1:
        found = readings[0]
    else:
        known = [one for one in readings if one.head is not None]
        if not known:
            raise readings[0].trouble or _unknown()
        latest = max((one.head for one in known if one.head is not None), key=lambda head: head.active_epoch)
        deployed = readings[-1].region
        wanted = latest.home_or(deployed)
        if to is To.PROTECTED:
            active = latest.active if any(one.region == latest.active for one in readings) else deployed
            wanted = next(one.region for one in readings if one.region != active)
        found = next((one for one in readings if one.region == wanted), readings[-1])
    if found.head is None:
        raise found.trouble or _unknown()
    return found


def _unknown() -> Refused:
    return Refused("no ledger says which Region this is for", do="give --region", code=Exit.NO_ANSWER)


def objection(readings: list[Reading], region: str, to: To) -> Refused | None:
    """Why nothing is started there, as far as the ledgers alone tell; None where they do not forbid it. Pure."""
    heads = [one.head for one in readings if one.head is not None]
    if len(heads) == 2 and max(head.active_epoch for head in heads) == 0:
        what = f"there never was a failover: {region} has no way home to go"
        return Refused(what, do="nothing is to be done", code=Exit.NO_WAY_HOME)
    if to is To.PROTECTED and len(heads) == 2 and all(head.active == region for head in heads):
        what = f"{region} is active, and no standby"
        return Refused(what, do="give the other Region's name with --region", code=Exit.NO_WAY_HOME)
    return None


@dataclass(frozen=True)
class GoingHome:
    """One way home on its way. What is said meanwhile goes to `show`, a line each."""

    deployed: Deployed
    aws: Aws
    show: Callable[[str], None]
    clock: Callable[[], float] = time.time
    judged_seconds: float = 20.0
    """How long the state machine may take to refuse, until it is not waited for."""
    _pause: float = field(default=0.5, repr=False)

    def begin(self, wanted: Wanted) -> Begun:
        """Start it, or find it on already. Refused where it cannot be, or the state machine stands it down at once."""
        readings = [read(self.deployed, region, self.aws) for region in self.deployed.regions]
        found = target(readings, wanted.to)
        refused = objection(readings, found.region, wanted.to)
        if refused is not None:
            raise refused
        assert found.head is not None, "one that cannot be read was refused"
        by = identity(self.deployed, self.aws, dict.fromkeys((found.region, *self.deployed.regions)))
        given = wanted.as_input(by)
        begun = self._on_already(found.region, found.head, given, wanted, by)
        if begun is None:
            begun = self._start(found.region, found.head, given, wanted, by)
        for line in lines(begun):
            self.show(line)
        self._await_judgement(begun)
        return begun

    def _machine(self, region: str, by: str) -> str:
        partition, account = by.split(":")[1], by.split(":")[4]
        return f"arn:{partition}:states:{region}:{account}:stateMachine:relight-{self.deployed.application}-failback"

    def _on_already(self, region: str, head: Head, given: str, wanted: Wanted, by: str) -> Begun | None:
        """The failback that holds the lock, where it was asked for in these very words; Refused for any other run."""
        if head.owner is None:
            return None
        found = self._holder(region, head.owner)
        if found is None or found["status"] != "RUNNING":
            return None  # the state machine takes a dead run's lock over
        if _same(found.get("input"), given):
            return Begun(region, head.owner, wanted, by, new=False)
        raise _on(region, head.owner, found)

    def _start(self, region: str, head: Head, given: str, wanted: Wanted, by: str) -> Begun:
        machine = self._machine(region, by)
        name = f"failback-{head.epoch + 1}-{int(self.clock() // WINDOW_SECONDS)}"
        execution = f"{machine.replace(':stateMachine:', ':execution:', 1)}:{name}"
        states = self.aws.client("stepfunctions", region)
        with reaching(region, "start the failback"):
            try:
                states.start_execution(stateMachineArn=machine, name=name, input=given)
            except ClientError as error:
                if code_of(error) == "StateMachineDoesNotExist":
                    what = f"there is no state machine relight-{self.deployed.application}-failback in {region}"
                    do = "deploy this version of Relight there first"
                    raise Refused(what, do=do, code=Exit.CONFIGURATION) from error
                if code_of(error) != "ExecutionAlreadyExists":
                    raise
                return self._begun_by_another(region, execution, given, wanted, by)
        return Begun(region, execution, wanted, by, new=True)

    def _begun_by_another(self, region: str, execution: str, given: str, wanted: Wanted, by: str) -> Begun:
        """A start of the same minute took the name."""
        found = self._describe(region, execution)
        if found is not None and _same(found.get("input"), given):
            return Begun(region, execution, wanted, by, new=False)
        raise _on(region, execution, found or {})

    def _holder(self, region: str, owner: str) -> dict[str, Any] | None:
        """The run that holds a lock: perhaps one of the other Region. If that is lost, nothing is known of it."""
        of = owner.split(":")[3:4] or [region]
        try:
            return self._describe(of[0], owner)
        except Refused as refused:
            if of == [region] or refused.code not in _SILENT:
                raise
            return None

    def _describe(self, region: str, execution: str) -> dict[str, Any] | None:
        with reaching(region, "ask for the run"):
            try:
                return dict(self.aws.client("stepfunctions", region).describe_execution(executionArn=execution))
            except ClientError as error:
                if code_of(error) not in {"ExecutionDoesNotExist", "InvalidArn"}:
                    raise
                return None

    def _await_judgement(self, begun: Begun) -> None:
        """Until it is let through, or for a moment; Refused where it was stood down, or has failed."""
        deadline = time.monotonic() + self.judged_seconds
        while True:
            found = self._describe(begun.region, begun.execution) or {"status": "RUNNING"}
            if found["status"] != "RUNNING":
                return _ended(begun, found)
            if time.monotonic() >= deadline or self._let_through(begun):
                return None
            time.sleep(min(self._pause, self.judged_seconds))

    def _let_through(self, begun: Begun) -> bool:
        with reading(self.deployed, begun.region, self.aws) as ledger:
            return any(step.name.startswith(_JUDGED) for step in _steps(ledger, begun.run))


def _steps(ledger: Ledger, run: str) -> list[Any]:
    return list(ledger.timeline(run)[1])


def _same(one: object, other: str) -> bool:
    """Whether two inputs say the same."""
    try:
        return isinstance(one, str) and json.loads(one) == json.loads(other)
    except ValueError:
        return False


def _on(region: str, execution: str, found: dict[str, Any]) -> Refused:
    run = execution.rpartition(":")[2]
    what = "a drill" if "-drill:" in execution else "a run"
    since = f" since {told(found['startDate'].timestamp())}" if "startDate" in found else ""
    wanted = _reason(found.get("input"))
    asked = f" (asked for: {wanted})" if wanted else ""
    do = f"wait for its end; {_follow(region, execution)}"
    return Refused(f"{what} is on in {region}{since}: {run}{asked}", do=do, code=Exit.RUN_ON)


def _reason(given: object) -> str:
    try:
        said = json.loads(given) if isinstance(given, str) else None
    except ValueError:
        return ""
    return one_line(str(said.get("reason", "")), 200) if isinstance(said, dict) else ""


def _ended(begun: Begun, found: dict[str, Any]) -> None:
    """Nothing where it succeeded, which a run that had nothing left to do can at once."""
    try:
        end = json.loads(found.get("output") or "{}")
    except ValueError:
        end = {}
    status = str(end.get("status") or found["status"])
    if status == "SUCCEEDED":
        return
    sentence = one_line(str(end.get("sentence") or found.get("cause") or found["status"]), _LONGEST)
    code = _REFUSALS.get(str(end.get("finding")), Exit.OTHERWISE)
    raise Refused(f"{begun.run} in {begun.region} ended {status}: {sentence}", code=code)


def _follow(region: str, execution: str) -> str:
    return f"{aws_here()} stepfunctions describe-execution --region {region} --execution-arn {execution}"


def lines(begun: Begun) -> Iterator[str]:
    """What is on now and how to follow it, for people: a line each."""
    way = "to go home" if begun.wanted.to is To.HOME else "to make the Region a standby again"
    state = "has been started" if begun.new else "is on already"
    yield f"{begun.run} in {begun.region} {state}, {way}, because: {begun.wanted.because}"
    if begun.wanted.accept is not None:
        yield f"  accepted differences: {len(begun.wanted.accept)}"
    if begun.wanted.to is To.HOME:
        yield "  it may take hours until the replica is built and compared; then it asks, before anything is switched"
    yield f"  follow it with: {_follow(begun.region, begun.execution)}"
    console = f"https://{begun.region}.console.aws.amazon.com/states/home?region={begun.region}"
    yield f"  or in a browser: {console}#/v2/executions/details/{begun.execution}"


def as_document(begun: Begun) -> dict[str, object]:
    """The run as JSON has it."""
    return {
        "run": begun.run,
        "region": begun.region,
        "execution": begun.execution,
        "to": begun.wanted.to.value,
        "because": begun.wanted.because,
        "by": begun.by,
        "accept": begun.wanted.accept or [],
        "started": begun.new,
    }


def conduct(deployed: Deployed, wanted: Wanted, *, as_json: bool) -> int:
    """Begin it, and say so: the exit code."""
    begun = GoingHome(deployed, Aws(), show=_silent if as_json else say).begin(wanted)
    if as_json:
        show(as_document(begun))
    return Exit.DONE


def _silent(_: str) -> None:
    """JSON stands alone on stdout."""
