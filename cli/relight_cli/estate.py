"""What a Region has of an application, as `relight doctor` looks at it: stack, ledger, state machines, functions."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from relight.head import Head
from relight.moment import told

from relight_cli.aws import Aws, code_of
from relight_cli.check import Check, failed, not_made, passed, warned
from relight_cli.deployed import Deployed
from relight_cli.exit_code import Refused
from relight_cli.needs import FUNCTIONS, MACHINES, OUTPUTS, On, Place
from relight_cli.reaching import reaching, reading
from relight_cli.stack import Found, Stacks, obstacle, remedy

# Where SAM has put what belongs to a template; each Region's copy lies elsewhere.
_ADDRESS = re.compile(r"https://[^\s\"']*amazonaws\.com[^\s\"']*|s3://[^\s\"']+")
_MISSING = frozenset({"StateMachineDoesNotExist", "ResourceNotFoundException"})
_DEPLOY = "deploy this version of Relight there: relight deploy"
_STALLED = frozenset({"Failed", "Inactive", "DELETING"})


@dataclass
class Held:
    """What was found in a Region."""

    checks: list[Check] = field(default_factory=list)
    template: str | None = None
    """A digest of the stack's template; None where it could not be read."""
    version: str | None = None
    """The orchestrator's, as its last look at readiness wrote it into the ledger; None where none did."""


@dataclass(frozen=True)
class Estate:
    """One Region's part of an application."""

    deployed: Deployed
    region: str
    aws: Aws

    def look(self, caller: str) -> Held:
        """Everything, one after another. What cannot be seen is a check that says why."""
        held = Held()
        self._stack(held)
        self._ledger(held)
        place = Place.of(self.deployed.application, self.region, caller)
        self._parts(held, "state machines", MACHINES, lambda name: self._machine(place, name))
        self._parts(held, "functions", FUNCTIONS, self._function)
        return held

    @property
    def _stack_name(self) -> str:
        return f"relight-{self.deployed.application}"

    def _stack(self, held: Held) -> None:
        try:
            with reaching(self.region, f"describe the stack {self._stack_name}"):
                found = Stacks(self.aws).describe(self._stack_name, self.region)
        except Refused as refused:
            held.checks.append(not_made("stack", _plain(refused, self.region), self.region, needed=False))
            return
        held.checks += judge_stack(found, self._stack_name, self.region)
        if found is not None:
            held.template = self._template()

    def _template(self) -> str | None:
        try:
            with reaching(self.region, "read its template"):
                found = self.aws.client("cloudformation", self.region).get_template(StackName=self._stack_name)
        except Refused:
            return None
        return digest(found["TemplateBody"])

    def _ledger(self, held: Held) -> None:
        try:
            with reading(self.deployed, self.region, self.aws) as ledger:
                head, seen = ledger.head(), ledger.readiness()
                empty = (
                    not head.written and seen is None and not any(one.last_seen for one in ledger.signals().values())
                )
        except Refused as refused:
            held.checks.append(not_made("ledger", refused, self.region))
            return
        held.version = None if seen is None else str(seen.get("version", "")) or None
        if empty:
            todo = "right after the first deployment wait half an hour; later, look at the log of readiness and guard"
            held.checks.append(warned("ledger", "it is empty: nothing has written to it yet", todo, self.region))
            return
        looked = f", readiness was looked at last at {told(float(seen['at']))}" if seen else ""
        held.checks.append(passed("ledger", f"{standing(head)}{looked}", self.region))

    def _parts(self, held: Held, kind: str, names: tuple[str, ...], state: Callable[[str], str]) -> None:
        """One check for all of a kind; `state` says what keeps one from working, or raises what boto3 raises."""
        wrong = []
        for name in names:
            try:
                with reaching(self.region, f"look at {self._stack_name}-{name}"):
                    try:
                        said = state(f"{self._stack_name}-{name}")
                    except ClientError as error:
                        if code_of(error) not in _MISSING:
                            raise
                        said = "does not exist"
            except Refused as refused:
                held.checks.append(not_made(kind, refused, self.region, needed=False))
                return
            wrong += [f"{self._stack_name}-{name} {said}"] if said else []
        if wrong:
            held.checks.append(failed(kind, ", ".join(wrong), _DEPLOY, self.region))
        else:
            held.checks.append(passed(kind, f"all {len(names)} are there", self.region))

    def _machine(self, place: Place, name: str) -> str:
        arn = place.resource(On.MACHINE, name.removeprefix(f"{self._stack_name}-"))
        found = self.aws.client("stepfunctions", self.region).describe_state_machine(stateMachineArn=arn)
        return _state(found.get("status"))

    def _function(self, name: str) -> str:
        found = self.aws.client("lambda", self.region).get_function_configuration(FunctionName=name)
        # Inactive is only one that was not called for weeks; the next call makes it active.
        return _state(found.get("State") if found.get("State") != "Inactive" else None)


def standing(head: Head) -> str:
    """Which Region a ledger calls active, in a sentence. Pure.

    One that knows of no activation names merely the Region in which it was asked.
    """
    if not head.written:
        return "it says that no run has been yet"
    if not head.active_epoch:
        return f"it says that no run has activated a Region yet ({head.state}), epoch {head.epoch}"
    return f"it says that {head.active} is active ({head.state}), epoch {head.epoch}"


def _state(said: str | None) -> str:
    return f"is {said}" if said in _STALLED else ""


def _plain(refused: Refused, region: str) -> Refused:
    """`Stacks` has said already why, without telling a denied call from others: by its cause."""
    cause = refused.__cause__
    if not isinstance(cause, ClientError):
        return refused
    try:
        with reaching(region, refused.where):
            raise cause
    except Refused as told_anew:
        return told_anew


def judge_stack(found: Found | None, name: str, region: str) -> Iterator[Check]:
    """Whether a stack is there, could be deployed now, and tells what the commands need."""
    if found is None or not found.exists:
        yield failed("stack", f"there is no stack {name}", "check application, Region and account", region)
        return
    if why := obstacle(found):
        check = warned if found.status.endswith("_IN_PROGRESS") else failed
        yield check("stack", f"{why}: nothing can be deployed there now", remedy(found), region)
    else:
        yield passed("stack", f"{name} is {found.status}", region)
    missing = [output for output in OUTPUTS if output not in found.outputs]
    if missing:
        yield failed("stack outputs", f"{name} does not tell {', '.join(missing)}", _DEPLOY, region)
    else:
        yield passed("stack outputs", f"all {len(OUTPUTS)} that commands and people need", region)


def digest(template: str | Mapping[str, Any]) -> str:
    """Of a template as CloudFormation keeps it, without the addresses that differ from Region to Region. Pure."""
    text = template if isinstance(template, str) else json.dumps(template, sort_keys=True)
    return hashlib.sha256(_ADDRESS.sub("", text).encode()).hexdigest()[:12]


def compare(held: Mapping[str, Held]) -> Iterator[Check]:
    """Whether both Regions have the same of what they should have the same of. Pure."""
    todo = "deploy the same version to both Regions: relight deploy"
    said = {
        "template": ({region: one.template for region, one in held.items()}, "allow cloudformation:GetTemplate"),
        "version": ({region: one.version for region, one in held.items()}, "wait for a look at readiness in each"),
    }
    for name, (of, to_see) in said.items():
        unseen = [region for region, value in of.items() if value is None]
        listed = ", ".join(f"{region} {value}" for region, value in of.items())
        if unseen or len(of) < 2:
            which = " and ".join(unseen) or "one Region"
            yield warned(name, f"that of {which} could not be seen, so that nothing is compared", to_see)
        elif len(set(of.values())) > 1:
            yield failed(name, f"the Regions have different ones: {listed}", todo)
        else:
            yield passed(name, f"it is the same in both Regions: {next(iter(of.values()))}")
