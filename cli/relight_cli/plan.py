"""What a deployment would do, as data: each phase with its stack and the origin of each of its parameters."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from lab.template import Template
from relight_cli.phases import Origin, Phase, Value, phases, values
from relight_cli.preflight import Checked, Preflight, Result
from relight_cli.samconfig import Environment, Slot

_ORIGINS = {Origin.GIVEN: "given", Origin.SET: "set by this pass", Origin.DEFAULT: "default"}
_STYLES = {Result.PASSED: "green", Result.REFUSED: "red", Result.NOT_MADE: "yellow"}


@dataclass(frozen=True)
class Step:
    """One phase as it would be carried out."""

    phase: Phase
    stack: str
    region: str
    template: str
    state: str
    parameters: Mapping[str, Value]

    @property
    def told(self) -> Mapping[str, Value]:
        """Those that are no defaults."""
        return {name: value for name, value in self.parameters.items() if value.origin is not Origin.DEFAULT}


@dataclass(frozen=True)
class Plan:
    """All phases, what is checked before them, and what happens beside them."""

    environment: Environment
    steps: tuple[Step, ...]
    checked: tuple[Checked, ...]
    beside: tuple[str, ...]

    def as_document(self) -> dict[str, Any]:
        """For programs: every parameter, defaults included."""
        return {
            "schema": 1,
            "environment": self.environment.name,
            "account": self.environment.account,
            "application": self.environment.application,
            "phases": [_document(step) for step in self.steps],
            "beside": list(self.beside),
            "checks": [
                {"check": checked.name, "result": checked.result.value, "sentence": checked.sentence}
                for checked in self.checked
            ],
        }

    def show(self, console: Console) -> None:
        """For people: what is given, taken and set; how many defaults stay."""
        console.print(
            f"{self.environment.name}: application {self.environment.application}, account {self.environment.account}"
        )
        for number, step in enumerate(self.steps, 1):
            console.print(
                f"\n[bold]{number}. {step.phase.name}[/]: stack {step.stack} in {step.region}, {step.template}",
                highlight=False,
            )
            if step.state:
                console.print(f"   now: {step.state}", highlight=False)
            for line in self._lines(number - 1):
                console.print(f"   {line}", highlight=False, markup=False, emoji=False)
        console.print()
        for sentence in self.beside:
            console.print(f"- {sentence}", highlight=False, markup=False)
        console.print("\n[bold]Checks[/]")
        for checked in self.checked:
            style = _STYLES[checked.result]
            said = escape(f"{checked.name}: {checked.sentence}")
            console.print(f"[{style}]{checked.result:<8}[/]  {said}", highlight=False)

    def _lines(self, index: int) -> Iterator[str]:
        """The parameters of one phase; of a second pass over a stack those that differ from the first."""
        step = self.steps[index]
        before = next((n for n, one in enumerate(self.steps[:index]) if one.phase.slot is step.phase.slot), None)
        told = step.told
        if before is not None:
            known = self.steps[before].parameters
            told = {name: value for name, value in told.items() if known.get(name) != value}
        for name, value in told.items():
            yield f"{name:<24} {_shown(value)}"
        if before is not None:
            yield f"and everything else as in {before + 1}"
        elif len(step.parameters) > len(step.told):
            yield f"and {len(step.parameters) - len(step.told)} default values"


def plan(environment: Environment, loaded: Mapping[Slot, Template], preflight: Preflight) -> Plan:
    """The plan from what is known: the templates always, the stacks and the zone where they could be asked for."""
    found = preflight.found
    peer = (found or {}).get(Slot.DR)
    # What was asked and does not exist has no outputs yet, and will have some by the time they are needed.
    outputs = {slot: stack.outputs for slot, stack in (found or {}).items() if stack is not None and stack.outputs}
    servers = ",".join(preflight.zone.name_servers) if preflight.zone else None
    steps = []
    for phase in phases(peer_exists=peer is not None and peer.exists):
        settings = environment.stacks[phase.slot]
        stack = (found or {}).get(phase.slot)
        steps.append(
            Step(
                phase,
                settings.stack_name,
                settings.region,
                _named(settings.template, environment.folder),
                "" if found is None else stack.status if stack else "does not exist",
                values(phase, environment, loaded[phase.slot].body.get("Parameters") or {}, outputs, servers),
            )
        )
    return Plan(environment, tuple(steps), tuple(preflight.checked), _beside(environment))


def _beside(environment: Environment) -> tuple[str, ...]:
    more = [
        "each stack is protected against deletion, and its stack policy keeps what holds data from being replaced",
        "global waits until both Regions have published their switches",
    ]
    if environment.own_workload:
        buckets = " and ".join(environment.data_bucket.values())
        more.insert(0, f"the release of the application is uploaded to {buckets}")
    if environment.given(Slot.PRIMARY, "Scheme", "https") == "http":
        more.append("WARNING: the site is served without TLS (Scheme=http)")
    return tuple(more)


def _named(template: Path, folder: Path) -> str:
    return str(template.relative_to(folder) if template.is_relative_to(folder) else template)


def _shown(value: Value) -> str:
    origin = _ORIGINS.get(value.origin) or value.source
    return f"<- {origin}" if value.value is None else f"{value.value or '(empty)'}  ({origin})"


def _document(step: Step) -> dict[str, Any]:
    return {
        "phase": step.phase.name,
        "stack": step.stack,
        "region": step.region,
        "template": step.template,
        "state": step.state or None,
        "parameters": [
            {"name": name, "value": value.value, "origin": value.origin.value, "source": value.source or None}
            for name, value in step.parameters.items()
        ],
    }
