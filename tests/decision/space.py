"""The space of facts that the decision is proved over: axes, each with the values that could matter, and its size.

A cell is one value of each axis. Axes that people and ledgers change are `OUTER`, what is seen of the world is `INNER`;
`relight` knows nothing of that division (see `tests.decision.plane`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

from relight.facts import Facts, Replica, Trigger
from relight.head import Head, Promotion, Quiesce, State
from relight.policy import Approval, Policy
from relight.run import Mode
from relight.signal import Seen, Signal, View

from tests.unit.situation import LOST, OTHER_RUN, POLICY, READY, STEADY, signal
from tests.unit.standby import HERE, HOME, NOW

MINE = "arn:aws:states:eu-central-1:123456789012:execution:relight-shop-failover:mine"
DOOR = Promotion("shop-dr", "failover-4-1", 4, NOW - 50)
STOPPED = Quiesce(NOW - 60, "0/1")

type Cell = Mapping[str, str]


@dataclass(frozen=True)
class Axis:
    """One thing that may be so or otherwise. `fields` are those of Facts, of its head, or of Policy that it sets."""

    name: str
    of: str  # "facts", "head", "policy" or "signals"
    values: Mapping[str, Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def fields(self) -> frozenset[str]:
        """All that its values set."""
        return frozenset(field for value in self.values.values() for field in value)


def _ages(view: View) -> dict[str, Signal]:
    """DOWN for less than either hold-down, for less than the longer one, and for longer than both."""
    return {
        "down 30": signal(view, Seen.DOWN, 30),
        "down 70": signal(view, Seen.DOWN, 70),
        "down 400": signal(view, Seen.DOWN, 400),
    }


def _view(view: View, *more: tuple[str, Signal]) -> Axis:
    values = {
        "down 70": signal(view, Seen.DOWN, 70),  # the first of each axis is that of a primary that is lost
        **_ages(view),
        "up": signal(view, Seen.UP),
        "unknown": signal(view, Seen.UNKNOWN),
        "stale up": signal(view, Seen.UP, 500, silent=91),
        "stale down": signal(view, Seen.DOWN, 500, silent=91),
        **dict(more),
    }
    return Axis(view.value, "signals", {name: {view.value: seen} for name, seen in values.items()})


def _control() -> Axis:
    view = View.CONTROL
    seen = {
        "up": signal(view, Seen.UP),
        "down": signal(view, Seen.DOWN),
        "unknown": signal(view, Seen.UNKNOWN),
        "stale up": signal(view, Seen.UP, 500, silent=91),
    }
    return Axis("control", "signals", {name: {"control": at} for name, at in seen.items()})


def _axis(name: str, of: str, **values: Mapping[str, Any]) -> Axis:
    return Axis(name, of, {label.replace("_", " "): value for label, value in values.items()})


def _person() -> Axis:
    def asks(trigger: Trigger, forced: bool, mode: Mode | None) -> Mapping[str, Any]:
        return {"trigger": trigger, "forced": forced, "mode": mode}

    values = {"nobody": asks(Trigger.AUTOMATIC, False, None), "nobody, forced": asks(Trigger.AUTOMATIC, True, None)}
    for mode, forced in product([None, *Mode], [False, True]):
        name = " ".join(["by hand", *([mode.value] if mode else []), *(["forced"] if forced else [])])
        values[name] = asks(Trigger.MANUAL, forced, mode)
    return Axis("person", "facts", values)


_HERE = View.FROM_DR
INNER: tuple[Axis, ...] = (
    _view(View.OUTSIDE),
    _view(
        _HERE,
        *((f"answers, {name}", replace(at, answered=True)) for name, at in _ages(_HERE).items()),
        *(
            (f"answered lately, {name}", replace(at, mute_since=NOW - 10))
            for name, at in _ages(_HERE).items()
            if name != "down 30"
        ),
        ("never up", replace(signal(_HERE, Seen.DOWN), ever_up=False)),
    ),
    _view(View.STREAM),
    _control(),
    _axis("peer", "facts", silent={"peer_database": None}, available={"peer_database": "available"},
          rebooting={"peer_database": "rebooting"}),
    _axis("loss", "facts", small={"last_replayed_at": NOW - 75}, beyond={"last_replayed_at": NOW - 5000},
          unknown={"last_replayed_at": None}),
    _axis("policy", "policy", **{approval.value: {"approval": approval} for approval in Approval}),
)  # fmt: skip
OUTER: tuple[Axis, ...] = (
    _axis(
        "replica",
        "facts",
        ready={"replica": READY},
        busy={"replica": replace(READY, status="modifying")},
        failed={"replica": replace(READY, status="storage-full")},
        missing={"replica": Replica(None, None)},
        silent={"replica": None},
        mysql={"replica": replace(READY, engine="mysql")},
        engine_unknown={"replica": replace(READY, engine=None)},
        no_replica={"replica": replace(READY, source=None)},
    ),
    _axis(
        "lock",
        "head",
        free={"owner": None, "expires_at": 0.0},
        mine={"owner": MINE, "expires_at": NOW + 60},
        anothers={"owner": OTHER_RUN, "expires_at": NOW + 60},
        expired={"owner": OTHER_RUN, "expires_at": NOW - 1},
    ),
    _axis(
        "freeze",
        "head",
        none={"frozen_from": None, "frozen_until": None},
        now={"frozen_from": None, "frozen_until": NOW + 60},
        window={"frozen_from": NOW - 60, "frozen_until": NOW + 60},
        ahead={"frozen_from": NOW + 60, "frozen_until": NOW + 600},
        over={"frozen_from": NOW - 600, "frozen_until": NOW - 60},
    ),
    _axis(
        "ended",
        "head",
        never={"ended_at": None},
        long_ago={"ended_at": NOW - 3601},
        lately={"ended_at": NOW - 60},
    ),
    _axis(
        "work",
        "head",
        none={"state": State.STEADY, "promotion": None, "quiesce": None},
        abandoned={"state": State.PROMOTING, "promotion": None, "quiesce": None},
        abandoned_while_stopping={"state": State.PROMOTING, "promotion": None, "quiesce": Quiesce(NOW - 60, None)},
        still_stopped={"state": State.STEADY, "promotion": None, "quiesce": STOPPED},
        door_open={"state": State.PROMOTING, "promotion": DOOR, "quiesce": None},
        door_open_once_stopped={"state": State.PROMOTING, "promotion": DOOR, "quiesce": STOPPED},
        door_open_planned={
            "state": State.PROMOTING,
            "promotion": replace(DOOR, mode=Mode.PLANNED),
            "quiesce": STOPPED,
        },
        door_closed={"state": State.STEADY, "promotion": DOOR, "quiesce": None},
    ),
    _axis("active", "head", there={"active": HOME}, here={"active": HERE}),
    _person(),
)
AXES = OUTER + INNER
BY_NAME = {axis.name: axis for axis in AXES}
SIZE = prod(len(axis) for axis in AXES)
LOST_CELL: Cell = {axis.name: next(iter(axis.values)) for axis in AXES}


def fields_of(cell: Cell, of: str) -> dict[str, Any]:
    """What a cell sets of the facts, of the head, of the policy or of the signals."""
    found: dict[str, Any] = {}
    for name, label in cell.items():
        if BY_NAME[name].of == of:
            found |= BY_NAME[name].values[label]
    return found


def facts_of(
    cell: Cell,
    head: Callable[..., Head] = Head,
    signals: Callable[[dict[View, Signal]], Mapping[View, Signal]] = dict,
    facts: Callable[..., Facts] = Facts,
) -> Facts:
    """The facts of a cell; of an axis that it leaves out, those of a primary that is lost."""
    whole = {**LOST_CELL, **cell}
    seen = {View(name): at for name, at in fields_of(whole, "signals").items()}
    return facts(
        now=NOW,
        here=HERE,
        head=head(written=True, epoch=STEADY.epoch, **fields_of(whole, "head")),
        asked_by=MINE,
        signals=signals(seen),
        **fields_of(whole, "facts"),
    )


def policy_of(cell: Cell, policy: Callable[..., Policy] = Policy) -> Policy:
    """The policy of a cell."""
    set_by_cell = fields_of({**LOST_CELL, **cell}, "policy")
    given = {name: getattr(POLICY, name) for name in Policy.__dataclass_fields__}
    return policy(**(given | set_by_cell))


def cells(axes: tuple[Axis, ...]) -> Iterator[Cell]:
    """All cells of some axes."""
    names = [axis.name for axis in axes]
    for labels in product(*(axis.values for axis in axes)):
        yield dict(zip(names, labels, strict=True))


assert LOST.asked_by is None  # the probe asks for nobody; whoever asks here holds `MINE` where the lock is `mine`
