"""How many states a run goes through, read off its definition: each state once, and the laps of its loops."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from relight_cli.exit_code import Exit, Refused

# Seconds that a run stands in each of its loops. Generous: of a failover twice what the rehearsal with AWS's intervals
# took, and half an hour for the hardening, in which RDS makes a standby in another zone and a first backup.
WAITS: Mapping[str, int] = {
    "Hold down": 120,
    "Wait for instances": 300,
    "Wait for the promotion": 480,
    "Wait for capacity": 480,
    "Wait for a write": 60,
    "Wait for DNS": 120,
    "Wait for writes to stop": 30,
    "Wait for the last write": 30,
    "Wait for the hardening": 1800,
    # Of a drill; of a game day its two runs are counted by themselves.
    "Wait for the throwaway database": 3600,
    "Wait for the throwaway promotion": 600,
    "Wait for the site": 600,
    "Wait for the write": 60,
    "Wait until it is gone": 900,
    "Wait for the failover": 0,
    "Serve from here for a while": 0,
    "Wait for the way home": 0,
    "Wait for the lock": 0,
}


@dataclass(frozen=True)
class Loop:
    """A Wait and the states between one of its visits and the next."""

    name: str
    length: int
    calls: int
    """Of these states, those that call a function."""


@dataclass(frozen=True)
class Passage:
    """What one run comes to."""

    states: int
    transitions: int
    calls: int


def passage(definition: Path, look_again: Decimal, *, waiting: bool = True) -> Passage:
    """One run that looks again after so many seconds. Refused where a loop is new and nobody said how long it lasts.

    Each state counts once, also those that only a failure reaches: more than a run sees, and never less. One that is
    not `waiting` stands in no loop.
    """
    machines = list(_machines(yaml.safe_load(definition.read_text(encoding="utf-8"))))
    states = sum(len(machine["States"]) for machine in machines)
    once = sum(_is_call(state) for machine in machines for state in machine["States"].values())
    transitions, calls = states, once
    for machine in machines:
        for loop in loops(machine):
            laps = round(_seconds(loop.name, definition) / look_again) if waiting else 0
            transitions += laps * loop.length
            calls += laps * loop.calls
    return Passage(states, transitions, calls)


def _seconds(name: str, definition: Path) -> int:
    if name not in WAITS:
        raise Refused(
            f"how long a run stands in {name!r} is not known",
            where=str(definition),
            do="say so in relight_cli/laps.py",
            code=Exit.CONFIGURATION,
        )
    return WAITS[name]


def loops(machine: Mapping[str, Any]) -> Iterator[Loop]:
    """The loops of one machine or branch: from each Wait the shortest way back to it."""
    states = machine["States"]
    for name, state in states.items():
        if state["Type"] == "Wait":
            way = _way_back(name, states)
            if way:
                yield Loop(name, len(way), sum(_is_call(states[step]) for step in way))


def _way_back(start: str, states: Mapping[str, Any]) -> list[str]:
    ways = [[follower] for follower in _followers(states[start])]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        if way[-1] == start:
            return way
        if way[-1] not in seen:
            seen.add(way[-1])
            ways += [[*way, follower] for follower in _followers(states[way[-1]])]
    return []


def _followers(state: Mapping[str, Any]) -> list[str]:
    branches = [choice["Next"] for choice in state.get("Choices", [])]
    return [*branches, *(state[key] for key in ("Next", "Default") if key in state)]


def _machines(machine: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield machine
    for state in machine["States"].values():
        for branch in state.get("Branches", []):
            yield from _machines(branch)


def _is_call(state: Mapping[str, Any]) -> bool:
    return str(state.get("Resource", "")).startswith("arn:aws:states:::lambda:invoke")
