"""Two runs at one ledger, in every order: one owner at a time, one promotion, nothing of a superseded run.

Each case is some tens of thousands of worlds, which are reached in billions of orders.
"""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from relight.ledger import Ledger
from relight.run import Run

from tests.statemachine.table import Table
from tests.unit.conftest import Clients
from tests.unit.interleaving import (
    ACTS,
    REPLICA,
    STATES,
    Actor,
    BrokenError,
    Handler,
    Interleavings,
    Life,
    World,
)
from tests.unit.standby import HEAD, HERE

pytestmark = pytest.mark.race


@dataclass(frozen=True)
class Case:
    """What may happen to the runs beside each other."""

    stopped: tuple[str, ...] = ()
    """Which of the runs, at any moment; its handlers go on."""
    lost: bool = False
    """One answer of DynamoDB to each run."""
    inherited: bool = False
    """A third run has died with the lock, and its handler is about to open the door."""
    more: dict[str, Any] = field(default_factory=dict)

    def worlds(self, table: Table, **changed: Any) -> Interleavings:
        """All that can follow; BrokenError where an invariant does not hold."""
        found = Interleavings(table, **self.more, **changed)
        found.explore(World(HELD if self.inherited else "", (*((DEAD,) if self.inherited else ()), *self._runs())))
        return found

    def _runs(self) -> list[Actor]:
        return [Actor(name, may_be_stopped=name in self.stopped, may_lose=self.lost) for name in ("first", "second")]


DEAD = Actor("dead", "at work", life=Life.STOPPED, late=(Handler("promote", 1),)).knows(epoch=4)
HELD = json.dumps(
    {
        **HEAD,
        "owner": {"S": DEAD.owner},
        "epoch": {"N": "4"},
        "expires_at": {"N": str(10**12)},
        "state": {"S": "promoting"},
    },
    sort_keys=True,
)


CASES = {
    "each may be stopped": Case(stopped=("first", "second")),
    "answers are lost": Case(lost=True),
    "the lock of a dead run expires": Case(stopped=("first",), more={"expires": Life.STOPPED}),
    "both take over from a dead run": Case(inherited=True, more={"plans": frozenset({"emergency", "stand down"})}),
    "the lock expires in mid-step": Case(more={"expires": Life.RUNNING}),
}


@pytest.fixture
def table(ledger: Ledger, clients: Clients) -> Table:
    """The ledger's, without boto3 between."""
    return Table(HERE, clients("dynamodb", HERE))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_in_no_order_do_two_runs_spoil_each_others_work(case: Case, table: Table) -> None:
    found = case.worlds(table)
    assert found.orders() > 10**6
    ends = [world for world, after in found.following.items() if not after]
    assert any(world.accepted and world.read.active == HERE and world.read.promotion is None for world in ends)
    assert any(not world.accepted and world.read.active != HERE for world in ends)
    # The second goes on behind the door that the first has opened.
    goes_on = (w for w in ends if w.actors[0].life is Life.STOPPED and w.actors[1].life is Life.ENDED)
    assert not case.stopped or any(w.accepted and w.read.epoch == 2 and w.read.ended_at for w in goes_on)


def test_a_door_that_may_be_barred_or_not_is_left_as_it_is(table: Table) -> None:
    Case(more={"unknown": True}).worlds(table)


# What is wrong is found.


def without_condition(state: str, left: str) -> dict[str, Any]:
    """The definition's states, where that one writes whenever `left` holds."""
    states = copy.deepcopy(dict(STATES))
    arguments = states[state]["Arguments"]
    arguments["ConditionExpression"] = left
    if state == "Take over the lock":
        del arguments["ExpressionAttributeValues"][":dead"]
    return states


def open_any_door(ledger: Ledger, run: Run, _handler: Handler) -> None:
    """As `open_door`, whether this Region is being activated or not."""
    promotion = {"instance": REPLICA, "run": run.id, "epoch": run.epoch, "called_at": None}
    ledger._change(run, "SET promotion = :promotion", {":promotion": promotion})


def quiesce_for_anybody(ledger: Ledger, _run: Run, _handler: Handler) -> None:
    """As `begin_quiesce`, whoever asks."""
    ledger._write_head("SET quiesce = :quiesce", {":quiesce": {"began": 1.0, "lsn": None}})


STOPPED, TAKEN_OVER, EXPIRED = "each may be stopped", "both take over from a dead run", "the lock expires in mid-step"
BROKEN: dict[str, tuple[str, Callable[[], dict[str, Any]], str]] = {
    "a lock that is taken whoever has it": (
        STOPPED,
        lambda: {"states": without_condition("Take lock", "attribute_not_exists(nobody)")},
        "the lock was taken from",
    ),
    "a lock that is taken over from anybody": (
        TAKEN_OVER,
        lambda: {"states": without_condition("Take over the lock", "attribute_exists(#owner)")},
        "the lock was taken from",
    ),
    "a lock that is released by anybody": (
        EXPIRED,
        lambda: {"states": without_condition("Release lock", "attribute_exists(#owner)")},
        "has released the lock of another",
    ),
    "a bar that does not mind a promotion": (
        STOPPED,
        lambda: {"states": without_condition("Bar the door", "#owner = :me")},
        "a call to promote",
    ),
    "a door that opens behind the bar": (
        STOPPED,
        lambda: {"acts": {**ACTS, "open_door": open_any_door}},
        "a call to promote",
    ),
    "a write of a superseded run": (
        STOPPED,
        lambda: {"acts": {**ACTS, "begin_quiesce": quiesce_for_anybody}},
        "has landed",
    ),
}


@pytest.mark.parametrize(("case", "broken", "what"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_found(case: str, broken: Callable[[], dict[str, Any]], what: str, table: Table) -> None:
    with pytest.raises(BrokenError, match=what):
        CASES[case].worlds(table, **broken())
