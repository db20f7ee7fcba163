"""Every order in which two runs can reach the head of a ledger, with deaths, lost answers and late handlers in between.

What takes, takes over, bars and releases is read from failover.asl.yaml and evaluated; what handlers write is written
by the product's own `Ledger`; DynamoDB is moto's. Where several things can come next, all of them are tried. A world
that was seen before is not tried again, which covers all orders without walking through each.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from relight.errors import RunSuperseded
from relight.head import Head, head_of
from relight.head import State as Stand
from relight.ledger import Ledger
from relight.probe import left_over
from relight.run import Run

from lab.query import evaluate
from tests.statemachine.harness import load
from tests.statemachine.standby import DEFINITION, substitutions
from tests.unit.standby import HEAD, HERE, HOME, NOW, TABLE, execution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.statemachine.table import Table

    type Move = tuple[str, World]
    type Act = Callable[[Ledger, Run, Handler], Any]

STATES: Mapping[str, Any] = load(DEFINITION, substitutions())["States"]
REFUSED = "DynamoDB.ConditionalCheckFailedException"
REPLICA = "shop-dr"
FAR = 10**15
"""A deadline that nobody reaches (milliseconds)."""
PLANS = {"emergency": ("engage", "promote"), "planned": ("engage", "stop", "promote"), "stand down": ()}


class Life(StrEnum):
    """The status of an execution as DescribeExecution tells it."""

    RUNNING = "RUNNING"
    ENDED = "SUCCEEDED"
    STOPPED = "ABORTED"


@dataclass(frozen=True)
class Handler:
    """A handler that is at work: which, where in it, and whether it has read of an open door."""

    name: str
    at: int = 0
    door_was_open: bool = False

    @property
    def act(self) -> str:
        """What it does next."""
        return HANDLERS[self.name][self.at]


@dataclass(frozen=True)
class Actor:
    """One run: its execution, and those of its handlers that are at work though nobody waits for them any more."""

    name: str
    at: str = "Take lock"
    variables: tuple[tuple[str, Any], ...] = (("decide_by", FAR),)
    life: Life = Life.RUNNING
    plan: tuple[str, ...] = ()
    at_work: Handler | None = None
    late: tuple[Handler, ...] = ()
    may_be_stopped: bool = True
    may_lose: bool = True
    """One more answer of DynamoDB to this run may be lost."""

    @property
    def owner(self) -> str:
        """Its ARN."""
        return execution(self.name)

    @property
    def run(self) -> Run:
        """As its handlers know it, at the epoch that it was given."""
        return Run(self.name, self.owner, int(dict(self.variables).get("epoch", 0)), NOW)

    @property
    def has_lock(self) -> bool:
        """Whether it goes by having been given the lock."""
        return self.life is Life.RUNNING and self.at not in LOCKING | {"Release lock"}

    def goes(self, at: str, **more: Any) -> Actor:
        """The same, elsewhere."""
        return replace(self, at=at, **more)

    def knows(self, **more: Any) -> Actor:
        """The same with variables assigned."""
        return replace(self, variables=tuple(sorted((dict(self.variables) | more).items())))


LOCKING = frozenset(
    {"Take lock", "Who holds the lock", "Is it this run", "Is its owner alive", "Is another run in progress"}
    | {"Take over the lock", "Stop what makes room"}
)
HANDLERS = {
    "engage": ("begin_promoting", "stop_granting"),
    "stop": ("begin_quiesce", "note_quiesced"),
    "promote": ("look", "open_door", "call", "note_call"),
    "activate": ("activate",),
    "clear": ("set_steady",),
    "resume": ("end_quiesce",),
    "succeeded": ("require", "finish"),
    "failed": ("require", "look_at_door", "finish"),
    "close": ("close_door",),
}


@dataclass(frozen=True)
class World:
    """All there is at one moment. `head` is the item as text, empty where there is none."""

    head: str
    actors: tuple[Actor, ...]
    accepted: bool = False
    """RDS has accepted a call to promote."""

    @property
    def read(self) -> Head:
        """The head as the product reads it."""
        return _read(self.head)

    def having(self, actor: Actor, **more: Any) -> World:
        """The same with that actor in the place of the one of its name."""
        return replace(self, actors=tuple(actor if a.name == actor.name else a for a in self.actors), **more)


@cache
def _read(head: str) -> Head:
    return head_of(json.loads(head) if head else None, HOME)


class BrokenError(AssertionError):
    """What must never be, can be; the message tells the way to it."""


@dataclass
class Interleavings:
    """All that can follow from one moment. `table` is moto's; only the head that is being tried is in it."""

    table: Table
    states: Mapping[str, Any] = field(default_factory=lambda: STATES)
    """Of the definition."""
    acts: Mapping[str, Act] = field(default_factory=lambda: ACTS)
    """What handlers write."""
    plans: frozenset[str] = frozenset(PLANS)
    """What a run may decide on."""
    expires: Life | None = None
    """Locks may expire whose owners are in that status; `RUNNING`, though their time does not allow it."""
    unknown: bool = False
    """Whether the door could be barred may stay unknown."""
    following: dict[World, tuple[World, ...]] = field(default_factory=dict)
    came_from: dict[World, tuple[str, World | None]] = field(default_factory=dict)
    _written: dict[tuple[str, str], tuple[str, Any]] = field(default_factory=dict)

    def explore(self, start: World) -> None:
        """Try all that can follow; BrokenError where an invariant does not hold."""
        self.came_from[start] = ("the beginning", None)
        ahead = [start]
        while ahead:
            world = ahead.pop()
            found: dict[World, str] = {}
            for label, after in self._moves(world):
                found.setdefault(after, label)
            self.following[world] = tuple(found)
            for after, label in found.items():
                if after not in self.came_from:
                    self.came_from[after] = (label, world)
                    ahead.append(after)
                    self._check(after)
            if not found:
                self._check_end(world)

    def orders(self) -> int:
        """In how many orders all of it can happen."""
        start = next(iter(self.came_from))
        counted: dict[World, int] = {}
        ahead = [start]
        while ahead:
            world = ahead[-1]
            missing = [after for after in self.following[world] if after not in counted]
            if missing:
                ahead.extend(missing)
                continue
            counted[world] = sum(counted[after] for after in self.following[world]) or 1
            ahead.pop()
        return counted[start]

    def way(self, world: World) -> list[str]:
        """What has led to it."""
        labels: list[str] = []
        at: World | None = world
        while at is not None:
            label, at = self.came_from[at]
            labels.append(label)
        return labels[::-1]

    # What must hold.

    def _break(self, world: World, what: str) -> None:
        raise BrokenError("\n".join([f"{what}: {world.head}", *self.way(world)]))

    def _check(self, world: World) -> None:
        head = world.read
        if head.state is Stand.STEADY and head.granting_stopped_at is not None:
            self._break(world, "steady, and leases are not granted")
        if world.accepted and not (head.door_opened or head.active == HERE):
            self._break(world, "RDS promotes, and the ledger does not say so")
        owners = [actor.name for actor in world.actors if actor.has_lock]
        if len(owners) > 1 and self.expires is not Life.RUNNING:
            self._break(world, f"two owners: {owners}")

    def _check_end(self, world: World) -> None:
        head = world.read
        if head.owner is not None and all(actor.life is Life.ENDED for actor in world.actors):
            self._break(world, "all have ended, and the lock is not free")
        settled = head.state is Stand.STEADY and head.quiesce is None
        if not (settled or head.door_opened or left_over(head, HERE)):
            self._break(world, "something is left, and nobody will pick it up")

    # What can come next.

    def _moves(self, world: World) -> Iterator[Move]:
        # Both are alike, so the first may well be the first.
        at_first = not world.head and all(actor.life is Life.RUNNING for actor in world.actors)
        for actor in world.actors[:1] if at_first else world.actors:
            for number, handler in enumerate(actor.late):
                rest = actor.late[:number] + actor.late[number + 1 :]
                for label, after, on in self._act(world, actor, handler):
                    late = replace(actor, late=rest if on is None else (*rest, on))
                    yield f"{actor.name}, late: {label}", after.having(late)
            if actor.life is Life.RUNNING:
                yield from self._go_on(world, actor)
                yield from self._is_stopped(world, actor)
        yield from self._expire(world)

    def _is_stopped(self, world: World, actor: Actor) -> Iterator[Move]:
        if actor.may_be_stopped:
            late = (*actor.late, actor.at_work) if actor.at_work else actor.late
            gone = replace(actor, life=Life.STOPPED, at_work=None, late=late, plan=(), may_lose=False)
            yield f"{actor.name} is stopped", world.having(gone)

    def _expire(self, world: World) -> Iterator[Move]:
        owner = next((actor for actor in world.actors if actor.owner == world.read.owner), None)
        if owner is None or owner.life is not self.expires:
            return
        item = json.loads(world.head)
        if item["expires_at"]["N"] != "0":
            yield "the lock expires", replace(world, head=_text(item | {"expires_at": {"N": "0"}}))

    def _go_on(self, world: World, actor: Actor) -> Iterator[Move]:
        if actor.at_work is not None:
            yield from self._work(world, actor, actor.at_work)
        elif actor.at == "decide":
            for plan, steps in PLANS.items():
                if plan in self.plans & _decided(world.read):
                    yield f"{actor.name} decides: {plan}", world.having(_begins(actor, steps))
        else:
            yield from self._at_state(world, actor)

    # Handlers.

    def _work(self, world: World, actor: Actor, handler: Handler) -> Iterator[Move]:
        for label, after, on in self._act(world, actor, handler):
            said = f"{actor.name}: {label}"
            if on is not None:
                yield said, after.having(replace(actor, at_work=on))
            else:
                for then, next_actor in _afterwards(actor, handler, label, after):
                    yield f"{said}{then}", after.having(next_actor)
        if handler.name in {"promote", "activate"}:  # beside it, capacity or its deadline fails
            fails = replace(actor, at_work=None, late=(*actor.late, handler), plan=())
            yield f"{actor.name} fails beside {handler.name}", world.having(fails.goes("Bar the door"))

    def _act(self, world: World, actor: Actor, handler: Handler) -> Iterator[tuple[str, World, Handler | None]]:
        """What the handler's next act comes to: how it is called, the world after it, and the handler if it goes on."""
        act = handler.act
        if act == "call":
            yield from self._call(world, handler)
            return
        if act == "look" and world.accepted:  # no replica any more
            yield "look", world, Handler("activate")
            return
        head, said = self._write(world, actor, act, handler)
        if said is None:
            yield f"{act} refused", world, None
            return
        on = replace(handler, at=handler.at + 1, door_was_open=said) if act in {"look", "look_at_door"} else None
        if act == "look_at_door" and said:
            on = None  # the door stays open for the next run
        if on is None and handler.at + 1 < len(HANDLERS[handler.name]) and act != "look_at_door":
            on = replace(handler, at=handler.at + 1)
        yield act, replace(world, head=head), on

    def _call(self, world: World, handler: Handler) -> Iterator[tuple[str, World, Handler | None]]:
        if world.accepted:
            yield "call: RDS says not now", world, None
            return
        if not (world.read.door_opened or world.read.active == HERE):
            self._break(world, "a call to promote behind a door that is not open")
        yield "call", replace(world, accepted=True), replace(handler, at=handler.at + 1)
        closing = replace(handler, name="close", at=0)
        yield "call refused", world, None if handler.door_was_open else closing

    def _write(self, world: World, actor: Actor, act: str, handler: Handler) -> tuple[str, Any]:
        """The head after an act of a handler, and what it was told; None where it was refused."""
        key = (world.head, f"{actor.name} {actor.run.epoch} {act} {handler.name}")
        if key not in self._written:
            self._written[key] = self._do(world, actor, act, handler)
        after, said = self._written[key]
        if said is not None and after != world.head:
            self._is_its_own(world, actor, act)
        return after, said

    def _is_its_own(self, world: World, actor: Actor, act: str) -> None:
        head = world.read
        if (head.owner, head.epoch) != (actor.owner, actor.run.epoch):
            self._break(world, f"{act} of {actor.name}, which is superseded, has landed")

    def _do(self, world: World, actor: Actor, act: str, handler: Handler) -> tuple[str, Any]:
        client: Any = self.table
        ledger = Ledger(client, TABLE, HOME)
        self._put(world.head)
        try:
            said = self.acts[act](ledger, actor.run, handler)
        except RunSuperseded:
            return world.head, None
        return self._head(), bool(said)

    # The machine's own states.

    def _at_state(self, world: World, actor: Actor) -> Iterator[Move]:
        state = self.states[actor.at]
        label = f"{actor.name}: {actor.at}"
        if state["Resource"].endswith("sfn:describeExecution"):
            holder = dict(actor.variables)["holder"]
            status = next(other.life for other in world.actors if other.owner == holder)
            yield f"{label}: {status}", world.having(self._assign(actor, state, {"Status": status.value}))
            return
        head, result = self._call_dynamodb(world, actor, state)
        if result is None:
            yield f"{label}: refused", world.having(self._refused(actor, state))
            return
        self._is_well_taken(world, actor, head)
        done = self._assign(actor, state, result)
        yield label, world.having(done, head=head)
        if actor.may_lose and head != world.head:
            yield f"{label}, and the answer is lost", world.having(replace(actor, may_lose=False), head=head)
        if actor.at == "Bar the door" and self.unknown:
            unknown = replace(actor, may_lose=False, plan=("failed",), at_work=Handler("failed"))
            yield f"{label}, and nobody knows", world.having(unknown, head=head)
            yield f"{label} does not answer", world.having(unknown)

    def _is_well_taken(self, world: World, actor: Actor, head: str) -> None:
        before, after = world.read, _read(head)
        if after.owner == before.owner:
            if after.epoch != before.epoch:
                self._break(world, "the epoch has changed without the owner")
            return
        if after.owner is None:
            if before.owner != actor.owner:
                self._break(world, f"{actor.name} has released the lock of another")
            return
        if after.epoch != before.epoch + 1:
            self._break(world, "the epoch has not grown by one")
        holder = next((other for other in world.actors if other.owner == before.owner), None)
        if holder is not None and Life.RUNNING is holder.life is not self.expires:
            self._break(world, f"the lock was taken from {holder.name}, which is at work")

    def _assign(self, actor: Actor, state: Mapping[str, Any], result: Mapping[str, Any]) -> Actor:
        given = {"states": {"result": result}, **dict(actor.variables)}
        assigned = {name: evaluated(text, given) for name, text in state.get("Assign", {}).items()}
        return self._settle(actor.knows(**assigned).goes(state["Next"]))

    def _refused(self, actor: Actor, state: Mapping[str, Any]) -> Actor:
        catch = next(catch for catch in state["Catch"] if {REFUSED, "States.ALL"} & set(catch["ErrorEquals"]))
        if actor.at == "Bar the door":
            return replace(actor, plan=("failed",), at_work=Handler("failed"))
        return self._settle(actor.goes(catch["Next"]))

    def _settle(self, actor: Actor) -> Actor:
        """Through states that touch nothing, to the next that does."""
        while True:
            if actor.at == "Open the run":
                return actor.goes("decide")
            if actor.at == "Undo":
                return replace(actor, at_work=Handler("clear"))
            if actor.at in {"How did it end", "Already in progress", "Give up on the lock"}:
                return actor.goes("over", life=Life.ENDED)
            state = self.states[actor.at]
            if state["Type"] != "Choice":
                return actor
            actor = actor.goes(_chosen(actor, state))

    def _call_dynamodb(self, world: World, actor: Actor, state: Mapping[str, Any]) -> tuple[str, Any]:
        known = json.dumps(dict(actor.variables) | {"me": actor.owner}, sort_keys=True)
        key = (world.head, f"{actor.at} {known}")
        if key not in self._written:
            self._written[key] = self._really_call(world, state, known)
        return self._written[key]

    def _really_call(self, world: World, state: Mapping[str, Any], known: str) -> tuple[str, Any]:
        given = arguments(json.dumps(state["Arguments"]), known)
        self._put(world.head)
        if state["Resource"].endswith("getItem"):
            return world.head, self.table.get_item(**given)
        try:
            answer = self.table.update_item(**given)
        except ClientError:
            return world.head, None
        return self._head(), answer

    def _put(self, head: str) -> None:
        self.table.clear(TABLE, HEAD)
        if head:
            self.table.put_item(TableName=TABLE, Item=json.loads(head))

    def _head(self) -> str:
        return _text(self.table.get_item(TableName=TABLE, Key=HEAD)["Item"])


def _text(item: Mapping[str, Any]) -> str:
    return json.dumps(item, sort_keys=True)


def _decided(head: Head) -> frozenset[str]:
    """What the rules can come to, of a head: forward behind the door, nothing where this Region is active."""
    if head.door_opened:
        return frozenset({"emergency", "stand down"})
    return frozenset({"stand down"} if head.active == HERE else PLANS)


def _begins(actor: Actor, steps: tuple[str, ...]) -> Actor:
    """A run that has decided on these steps; without any it stands down."""
    if not steps:
        return replace(actor, plan=("failed",)).goes("Bar the door")
    return replace(actor, plan=steps, at_work=Handler(steps[0])).goes("at work")


def _afterwards(actor: Actor, handler: Handler, label: str, world: World) -> Iterator[tuple[str, Actor]]:
    """What a run does once a handler that it waits for has come to its end: how that is called, and the run."""
    free = replace(actor, at_work=None)
    ending = handler.name in {"succeeded", "failed"}
    if ending:
        yield "", replace(free, plan=()).goes("Release lock")
    elif handler.name in {"clear", "resume"}:  # whatever came of it
        then = "resume" if handler.name == "clear" and world.read.quiesce is not None else "failed"
        yield "", replace(free, at_work=Handler(then))
    elif "refused" in label or handler.name == "close":
        yield ", and fails", replace(free, plan=()).goes("Bar the door")
    elif handler.name == "promote":  # it waits, and looks again
        yield "", replace(free, at_work=Handler("promote"))
    else:
        yield from _next_step(free, handler)


def _next_step(free: Actor, handler: Handler) -> Iterator[tuple[str, Actor]]:
    if handler.name == "activate":
        yield ", and is proven", replace(free, at_work=Handler("succeeded"))
    else:
        left = free.plan[free.plan.index(handler.name) + 1 :]
        yield "", replace(free, at_work=Handler(left[0]))
    yield ", and then fails", replace(free, plan=()).goes("Bar the door")


def _chosen(actor: Actor, state: Mapping[str, Any]) -> str:
    given = dict(actor.variables) | {"me": actor.owner}
    for choice in state["Choices"]:
        if evaluated(choice["Condition"], given):
            return str(choice["Next"])
    return str(state["Default"])


def evaluated(text: Any, variables: Mapping[str, Any]) -> Any:
    """A text of the definition, with these variables."""
    if not (isinstance(text, str) and text.startswith("{%")):
        return text
    return _evaluated(text, json.dumps(variables, sort_keys=True))


@cache
def _evaluated(text: str, variables: str) -> Any:
    return evaluate(text.removeprefix("{%").removesuffix("%}"), json.loads(variables))


@cache
def arguments(template: str, variables: str) -> dict[str, Any]:
    """The Arguments of a task."""
    given = json.loads(variables)

    def filled(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: filled(item) for key, item in node.items()}
        return evaluated(node, given)

    found: dict[str, Any] = filled(json.loads(template))
    return found


def _open_door(ledger: Ledger, run: Run, handler: Handler) -> None:
    ledger.open_door(run, REPLICA, None if handler.act == "open_door" else NOW)


def _finish(ledger: Ledger, run: Run, handler: Handler) -> None:
    ledger.finish(run, succeeded=handler.name == "succeeded", now=NOW)


ACTS: Mapping[str, Act] = {
    "require": lambda ledger, run, _: ledger.require(run) and None,
    "look": lambda ledger, run, _: ledger.require(run).promotion is not None,
    "look_at_door": lambda ledger, _run, _: ledger.head().door_opened,
    "begin_promoting": lambda ledger, run, _: ledger.begin_promoting(run, HERE, withhold_go=False),
    "stop_granting": lambda ledger, run, _: ledger.stop_granting(run, NOW),
    "begin_quiesce": lambda ledger, run, _: ledger.begin_quiesce(run, NOW),
    "note_quiesced": lambda ledger, run, _: ledger.note_quiesced(run, "0/1000"),
    "open_door": _open_door,
    "note_call": _open_door,
    "close_door": lambda ledger, run, _: ledger.close_door(run),
    "activate": lambda ledger, run, _: ledger.activate(run, HERE),
    "set_steady": lambda ledger, run, _: ledger.set_state(run, Stand.STEADY),
    "end_quiesce": lambda ledger, run, _: ledger.end_quiesce(run),
    "finish": _finish,
}
