"""`relight deploy`: the phases one after the other, each prepared by the SAM CLI and carried out here.

Nothing is remembered between two calls: what has been done is read from the stacks, so that a deployment that was
interrupted goes on where it was, and one that has been done does nothing.
"""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import typer
from rich.console import Console

from lab.template import Template
from relight_cli import configuration, release
from relight_cli.aws import Aws, asking
from relight_cli.document import progress, show, show_with
from relight_cli.exit_code import Exit, Refused
from relight_cli.phases import Phase, phases, values
from relight_cli.plan import Plan, plan
from relight_cli.preflight import Preflight
from relight_cli.sam import Sam
from relight_cli.samconfig import REGIONAL, Environment, Slot
from relight_cli.stack import FAILED_FIRST, NESTED, Found, Stacks, changes_nothing, require_ready

_POLICY = Path("stacks/policy.json")


@dataclass(frozen=True)
class Wishes:
    """What the command line asks for beside the environment."""

    plan: bool = False
    json: bool = False
    yes: bool = False
    skip_build: bool = False
    delete_failed: bool = False
    release: Path | None = None
    stack_minutes: float = 120.0
    """How long one operation on one stack may take."""
    switch_minutes: float = 10.0
    """How long to wait for the first data of the switches."""
    look_every: float = 5.0
    """Seconds between two looks at what is on its way."""


@dataclass
class Deployment:
    """One call of `relight deploy`."""

    environment: Environment
    wishes: Wishes
    aws: Aws
    console: Console
    """Where the progress is told."""
    outputs: dict[Slot, Mapping[str, str]] = field(default_factory=dict)
    changed: int = 0
    done: list[dict[str, object]] = field(default_factory=list)
    """What became of each phase, as JSON has it."""

    def __post_init__(self) -> None:
        """Read the templates. Refused when one cannot be read."""
        self.stacks = Stacks(self.aws, look_every=self.wishes.look_every)
        self.loaded: Mapping[Slot, Template] = configuration.templates(self.environment)
        self.preflight = Preflight(self.environment, self.aws, self.stacks)

    def check_configuration(self) -> None:
        """Refused for whatever is wrong without asking AWS, in either order of the phases."""
        for peer_exists in (False, True):
            configuration.check(self.environment, self.loaded, phases(peer_exists=peer_exists))

    def show_plan(self) -> Exit:
        """Print what would be done. The code is the one that a deployment would be refused with, as far as is known."""
        code = self.preflight.look()
        made = plan(self.environment, self.loaded, self.preflight)
        if self.wishes.json:
            self._show_as_json(made, code)
        else:
            made.show(self.console)
        return code

    def _show_as_json(self, made: Plan, code: Exit) -> None:
        refused = next((one for one in made.checked if one.code is not Exit.DONE), None)
        if refused is None:
            show(made.as_document())
        else:
            show_with(made.as_document(), Refused(refused.sentence, where=refused.name, code=code), code)

    def run(self) -> Exit:
        """Carry it out. Refused where it cannot go on; what has been done stays, and the next call goes on from it."""
        sam = Sam.find(self.environment.folder)
        with sam.alone():
            return self._run(sam)

    def _run(self, sam: Sam) -> Exit:
        file = release.find(self.environment, self.wishes.release)
        self.preflight.require(deletes_failed=True)
        if file is None and self.environment.own_workload:
            release.require_uploaded(self.environment, self.aws)
        plan(self.environment, self.loaded, self.preflight).show(self.console)
        self._agree("deploy this?")
        self._delete_failed()
        if not self.wishes.skip_build:
            self._say("sam build")
            sam.build(self.environment.home_region)
        found = self.preflight.found or {}
        peer = found.get(Slot.DR)
        self.outputs = {slot: stack.outputs for slot, stack in found.items() if stack is not None and stack.exists}
        if file is not None:
            self._upload(file, [slot for slot in REGIONAL if slot in self.outputs])
        for phase in phases(peer_exists=peer is not None and peer.exists):
            if phase.slot is Slot.GLOBAL:
                self._await_switches()
            before = self.changed
            self._carry_out(phase, sam)
            if file is not None and phase.slot in REGIONAL and self.changed > before:
                self._upload(file, [phase.slot])
        self._end("nothing to do: everything is as it should be" if not self.changed else "deployed")
        return Exit.DONE

    def _end(self, sentence: str) -> None:
        self._say(sentence)
        if self.wishes.json:
            names = {"environment": self.environment.name, "application": self.environment.application}
            show({**names, "account": self.environment.account, "phases": self.done, "sentence": sentence})

    def _say(self, sentence: str) -> None:
        self.console.print(sentence, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def _agree(self, question: str) -> None:
        agree(question, self.wishes.yes)

    def _delete_failed(self) -> None:
        """Delete, with consent, stacks whose first creation failed: nothing else can be done to them."""
        for slot, found in (self.preflight.found or {}).items():
            if found is None or found.status != FAILED_FIRST:
                continue
            if not self.wishes.delete_failed:
                if self.wishes.yes:
                    require_ready(found)
                self._agree(f"{found.name} in {found.region} failed when it was first created. Delete it?")
            since = time.time()
            self._say(f"delete {found.name} in {found.region}, whose first creation failed")
            with asking(f"delete {found.name}"):
                client = self.stacks.client(found.region)
                client.update_termination_protection(EnableTerminationProtection=False, StackName=found.stack_id)
                client.delete_stack(StackName=found.stack_id)
            left = self.stacks.wait(found, self._say, self.wishes.stack_minutes * 60)
            require_ready(left)
            for one in self.stacks.skipped(found, since):
                self._say(f"  it leaves {one.kind} {one.physical_id} behind, which the next creation will collide with")
            if self.preflight.found is not None:
                self.preflight.found[slot] = None

    def _carry_out(self, phase: Phase, sam: Sam) -> None:
        settings = self.environment.stacks[phase.slot]
        before = self.stacks.look(settings)
        require_ready(before)
        self._say(f"{phase.name}: {settings.stack_name} in {settings.region}")
        change_set = sam.prepare(self.environment, settings, self._parameters(phase))
        if change_set is None or self._is_empty(change_set, settings.region):
            self._say(f"{phase.name}: nothing to do")
            after = before
        else:
            after = self._execute(phase, change_set)
        became = {"phase": phase.name, "stack": settings.stack_name, "region": settings.region}
        status = None if after is None else after.status
        self.done.append({**became, "changed": after is not before, "status": status})
        if after is not None:
            self.outputs[phase.slot] = after.outputs
            self._protect(after, settings.slot)

    def _parameters(self, phase: Phase) -> dict[str, str]:
        servers = ",".join(self.preflight.zone.name_servers) if self.preflight.zone else None
        declared = self.loaded[phase.slot].body.get("Parameters") or {}
        found = values(phase, self.environment, declared, self.outputs, servers)
        missing = [f"{name} ({value.source})" for name, value in found.items() if value.value is None]
        if missing:
            what = f"{phase.name} lacks {', '.join(missing)}"
            raise Refused(what, do="look at the stack that should have it", code=Exit.STACK)
        # Defaults are passed too: a stack keeps the value that it was given once, whatever the template says later.
        return {name: value.value for name, value in found.items() if value.value is not None}

    def _is_empty(self, change_set: str, region: str) -> bool:
        client = self.stacks.client(region)
        with asking("look at the change set"):
            pages = client.get_paginator("describe_change_set").paginate(ChangeSetName=change_set)
            changes = [change for page in pages for change in page.get("Changes", [])]
            if not changes_nothing(changes):
                return False
            client.delete_change_set(ChangeSetName=change_set)
        return True

    def _execute(self, phase: Phase, change_set: str) -> Found | None:
        settings, since = self.environment.stacks[phase.slot], time.time()
        with asking(f"execute the change set of {settings.stack_name}"):
            self.stacks.client(settings.region).execute_change_set(ChangeSetName=change_set)
        self.changed += 1
        started = self.stacks.look(settings)
        if started is None:
            raise Refused(f"{settings.stack_name} in {settings.region} is gone", code=Exit.STACK)
        ended = self.stacks.wait(started, lambda said: self._say(f"  {said}"), self.wishes.stack_minutes * 60)
        if ended is None or ended.status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
            failures = self.stacks.failures(started, since - 5)
            why = failures[0].sentence if failures else (ended.reason if ended else "it was deleted")
            state = ended.status if ended else "gone"
            raise Refused(
                f"{phase.name} failed, {settings.stack_name} in {settings.region} is {state}: {why}",
                do="mend the cause and run this again",
                code=Exit.OTHERWISE,
            )
        self._say(f"{phase.name}: {ended.status}")
        return ended

    def _protect(self, found: Found, slot: Slot) -> None:
        """No deletion by accident, and no replacement of what holds data, in this stack and those nested in it."""
        client = self.stacks.client(found.region)
        with asking(f"protect {found.name}"):
            if not found.protected:
                client.update_termination_protection(EnableTerminationProtection=True, StackName=found.stack_id)
            file = self.environment.folder / _POLICY
            if slot is Slot.GLOBAL or not file.exists():
                return
            body = file.read_text(encoding="utf-8")
            nested = [one.physical_id for one in self.stacks.resources(found) if one.kind == NESTED]
            for stack_id in [found.stack_id, *nested]:
                if client.get_stack_policy(StackName=stack_id).get("StackPolicyBody") != body:
                    client.set_stack_policy(StackName=stack_id, StackPolicyBody=body)

    def _upload(self, file: Path, slots: list[Slot]) -> None:
        for slot in slots:
            self._say(f"  {release.upload(self.environment, slot, file, self.aws)}")

    def _await_switches(self) -> None:
        """Health checks over a metric without data would be unknown, and stay so: wait for the first data."""
        deadline = time.monotonic() + self.wishes.switch_minutes * 60
        said = False
        while missing := self._silent_switches():
            if not said:
                self._say(f"wait for the first data of the switches: {', '.join(missing)}")
                said = True
            if time.monotonic() > deadline:
                raise Refused(
                    f"no data of {', '.join(missing)} after {self.wishes.switch_minutes:g} minutes",
                    where="the function guard publishes them each minute",
                    do="look at its log, then run this again",
                    code=Exit.NO_SWITCH_DATA,
                )
            time.sleep(self.wishes.look_every)

    def _silent_switches(self) -> list[str]:
        missing = []
        for slot, names in SWITCHES.items():
            region = self.environment.stacks[slot].region
            wanted = [f"relight-{self.environment.application}-{name}" for name in names]
            with asking(f"look at the switches of {region}"):
                answer = self.aws.client("cloudwatch", region).describe_alarms(AlarmNames=wanted)
            states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in answer["MetricAlarms"]}
            missing += [f"{name} in {region}" for name in wanted if states.get(name) not in {"OK", "ALARM"}]
        return missing


SWITCHES: Mapping[Slot, tuple[str, ...]] = {Slot.PRIMARY: ("hold",), Slot.DR: ("stop", "no-go")}
"""The alarms behind the health checks of the global stack, by the Region that publishes them."""


def agree(question: str, yes: bool, ask: Callable[..., bool] = typer.confirm) -> None:
    """Refused unless a person says yes, or has said so on the command line."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused("nobody can be asked here", where=question, do="give --yes", code=Exit.NO_CONSENT)
    if not ask(question, default=False, err=True):
        raise Refused("nothing was changed", code=Exit.NO_CONSENT)


def conduct(environment: Environment, wishes: Wishes) -> int:
    """Deploy, or say what that would do: the exit code."""
    deployment = Deployment(environment, wishes, Aws(), progress(as_json=wishes.json))
    deployment.check_configuration()
    return deployment.show_plan() if wishes.plan else deployment.run()
