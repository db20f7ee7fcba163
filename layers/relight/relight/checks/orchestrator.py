"""Relight itself: its machine and functions, what they may do, their version, and when they were last practised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relight.drill import Kind
from relight.evidence import End
from relight.moment import lasting
from relight.readiness_check import Area, Row, fails, is_young, passes, warns
from relight.readiness_facts import Unseen, known

if TYPE_CHECKING:
    from relight.drill import Drill
    from relight.readiness_check import Judgement
    from relight.readiness_facts import Function, ReadinessFacts

DAY = 86400.0
# Each Region says its version with each look at its readiness, every half hour.
SAID_SECONDS = 7200.0
# A plan touches nothing, so it proves nothing of what it plans.
PRACTISED = frozenset({Kind.RESTORE, Kind.PROMOTE, Kind.GAMEDAY})


def _machinery(facts: ReadinessFacts, now: float) -> Judgement:
    machine = known(facts.orchestrator.machine)
    if machine is None:
        return fails("Step Functions knows no failover machine here")
    if machine.status != "ACTIVE":
        return fails(f"the failover machine is {machine.status}")
    functions = {name: known(told) for name, told in facts.orchestrator.functions.items()}
    if missing := [name for name, one in functions.items() if one is None]:
        return fails(f"Lambda knows no function {', '.join(missing)}")
    there = {name: one for name, one in functions.items() if one is not None}
    if dead := [f"{name} {_why(one)}" for name, one in there.items() if one.state == "Failed" or one.concurrency == 0]:
        return fails(", ".join(dead))
    if asleep := [f"{name} is {one.state}" for name, one in there.items() if one.state != "Active"]:
        return warns(f"{', '.join(asleep)}: its first call fails or comes late")
    return passes(f"the failover machine and {len(there)} of its functions are active")


def _why(function: Function) -> str:
    return "may not run at all (its reserved concurrency is 0)" if function.concurrency == 0 else f"is {function.state}"


def _permissions(facts: ReadinessFacts, now: float) -> Judgement:
    found = facts.orchestrator.permissions
    denied = [
        f"{name} may not {one.action} ({one.decision})"
        for name, told in found.items()
        if not isinstance(told, Unseen)
        for one in told
        if one.decision != "allowed"
    ]
    if denied:
        return fails(", ".join(dict.fromkeys(denied)))
    actions = sorted({one.action for told in found.values() for one in known(told)})
    return passes(f"by IAM's simulation the failover may {', '.join(actions)}")


def _version(facts: ReadinessFacts, now: float) -> Judgement:
    here, there = facts.orchestrator.version, known(facts.ledger.peer_version)
    if there is None:
        said = f"{facts.peer} has not said its version"
        if is_young(facts, now, SAID_SECONDS):
            return passes(f"{said} yet; it does so every half hour. Here it is {here}")
        return warns(said)
    if here == there:
        return passes(f"{here} in both Regions")
    said = f"{here} here, {there} in {facts.peer}"
    return fails(said) if here.partition("+")[0] != there.partition("+")[0] else warns(said)


def _drill(facts: ReadinessFacts, now: float) -> Judgement:
    drills = known(facts.ledger.drills)
    if left := [f"{one.run}: {', '.join(one.left)}" for one in drills if one.left and one.ended_at is not None]:
        return warns(f"something is left of the drill {'; '.join(left)}")
    last = last_practised(drills)
    if last is None:
        return _never(facts, now)
    succeeded = last.status == End.SUCCEEDED
    ago = now - (last.ended_at or last.began_at)
    said = f"the last drill ({last.kind}) {'succeeded' if succeeded else 'failed'} {lasting(ago)} ago"
    if not succeeded:
        return fails(said)
    return warns(said) if ago > facts.drill_days * DAY else passes(said)


def _never(facts: ReadinessFacts, now: float) -> Judgement:
    """No drill that touched something has ever come to an end."""
    said = "there was no drill"
    if is_young(facts, now, facts.drill_days * DAY):
        return passes(f"{said} yet; this Region has been there for {lasting(facts.age(now))} only")
    machine = facts.orchestrator.machine
    known_age = machine is not None and not isinstance(machine, Unseen)
    since = f", in the {lasting(facts.age(now))} that this Region has been there" if known_age else ""
    return warns(f"{said} that touched anything and came to its end{since}")


def last_practised(drills: tuple[Drill, ...]) -> Drill | None:
    """The last drill that touched something and came to an end; None where there was none."""
    ended = [one for one in drills if one.kind in PRACTISED and one.status in {End.SUCCEEDED, End.FAILED}]
    return ended[-1] if ended else None


ROWS = (
    Row(
        "machinery",
        Area.ORCHESTRATOR,
        _machinery,
        "The failover machine and the functions that it calls are active.",
        "A function is not active, as Lambda makes those that nobody has called for weeks.",
        "The machine or a function is missing, failed, or may not run (reserved concurrency 0).",
        "Call the function once, or deploy this Region's stack again.",
    ),
    Row(
        "permissions",
        Area.ORCHESTRATOR,
        _permissions,
        "By IAM's simulation the probe may start a run, the machine may take the lock and call its functions, and the "
        "functions may promote, scale, switch and tell.",
        None,
        "One of them may not.",
        "Look at the role of who is named, at permission boundaries and at the organisation's policies.",
    ),
    Row(
        "version",
        Area.ORCHESTRATOR,
        _version,
        "Both Regions run the same layer of Relight, to the byte.",
        "They differ in their sources, or the other Region has not said its version for two hours.",
        "They differ in their version.",
        "Deploy both Regions' stacks from the same build.",
    ),
    Row(
        "drill",
        Area.DRILL,
        _drill,
        "The last drill succeeded, and is not older than the configured days; or this Region is younger than that.",
        "It is older, there never was one, or something of one is left.",
        "The last drill failed.",
        "Run one: `relight drill`. What is left of one the sweeper removes within the hour.",
    ),
)
