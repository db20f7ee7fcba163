"""Predicates over the whole space at once: a set of cells is an int, a bit for each cell of the inner axes.

What a predicate says is found out by watching it read: whenever it reads an axis that is still open, it is asked again
for each value of that axis. The tree that comes of it is exhaustive, because what is not read cannot change the answer.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from relight.decision import Case
from relight.facts import Facts
from relight.head import Head
from relight.policy import Policy
from relight.signal import Signal, View

from tests.decision.space import AXES, BY_NAME, INNER, OUTER, Cell, facts_of, policy_of

type Predicate = Callable[[Case], bool]

_AXES_OF = {
    of: {field: axis.name for axis in AXES if axis.of == of for field in axis.fields}
    for of in ("facts", "head", "policy", "signals")
}
_OUTER = frozenset(axis.name for axis in OUTER)
_open: set[str] = set()


class _Open(BaseException):
    """An axis was read whose value is not chosen yet."""

    def __init__(self, axis: str) -> None:
        self.axis = axis


def _read(of: str, name: str) -> None:
    axis = _AXES_OF[of].get(name)
    if axis in _open:
        raise _Open(axis)


class _WatchedFacts(Facts):
    def __getattribute__(self, name: str) -> Any:
        _read("facts", name)
        return super().__getattribute__(name)


class _WatchedHead(Head):
    def __getattribute__(self, name: str) -> Any:
        _read("head", name)
        return super().__getattribute__(name)


class _WatchedPolicy(Policy):
    def __getattribute__(self, name: str) -> Any:
        _read("policy", name)
        return super().__getattribute__(name)


class _WatchedSignals(Mapping[View, Signal]):
    """Whoever goes through all of them reads each; how many there are is no secret."""

    def __init__(self, signals: Mapping[View, Signal]) -> None:
        self._signals = signals

    def __getitem__(self, view: View) -> Signal:
        _read("signals", view.value)
        return self._signals[view]

    def __iter__(self) -> Iterator[View]:
        return iter(self._signals)

    def __len__(self) -> int:
        return len(self._signals)


def case_of(cell: Cell) -> Case:
    """The case of a cell, plain."""
    return Case(facts_of(cell), policy_of(cell))


def _watched(cell: Cell) -> Case:
    _open.clear()
    facts = facts_of(cell, _WatchedHead, _WatchedSignals, _WatchedFacts)
    policy = policy_of(cell, _WatchedPolicy)
    _open.update(BY_NAME.keys() - cell.keys())
    return Case(facts, policy)


@dataclass(frozen=True, eq=False)
class Fork:
    """The predicate reads this axis here, and goes on as its value says. Two that say the same are one object."""

    axis: str
    ways: tuple["Tree", ...]  # in the order of the axis' values


type Tree = bool | Fork
_forks: dict[tuple[str, tuple[int, ...]], Fork] = {}


def _fork(axis: str, ways: tuple[Tree, ...]) -> Tree:
    """Forking nowhere is going straight on."""
    if all(way is ways[0] for way in ways):
        return ways[0]
    return _forks.setdefault((axis, tuple(map(id, ways))), Fork(axis, ways))


def tree_of(predicate: Predicate, chosen: Cell | None = None) -> Tree:
    """Everything that a predicate can say, from what is chosen already."""
    known = dict(chosen or {})
    try:
        return bool(predicate(_watched(known)))
    except _Open as read:
        axis = read.axis
    return _fork(axis, tuple(tree_of(predicate, {**known, axis: label}) for label in BY_NAME[axis].values))


BITS = prod(len(axis) for axis in INNER)
ALL = (1 << BITS) - 1


def _cylinders() -> dict[str, list[int]]:
    """For each value of each inner axis the set of all inner cells that have it."""
    found: dict[str, list[int]] = {}
    stride = 1
    for axis in reversed(INNER):
        period = stride * len(axis)
        everywhere = ALL // ((1 << period) - 1)
        found[axis.name] = [(((1 << stride) - 1) << (number * stride)) * everywhere for number in range(len(axis))]
        stride = period
    return found


_CYLINDERS = _cylinders()
_planes: dict[int, int] = {}


def plane(tree: Tree) -> int:
    """The inner cells for which a tree says yes; it must not fork by an outer axis any more."""
    if isinstance(tree, bool):
        return ALL if tree else 0
    if id(tree) not in _planes:
        found = 0
        for cylinder, way in zip(_CYLINDERS[tree.axis], tree.ways, strict=True):
            found |= cylinder & plane(way)
        _planes[id(tree)] = found
    return _planes[id(tree)]


def settle(tree: Tree, outer: Cell) -> Tree:
    """What is left of a tree once the outer axes have their values."""
    while isinstance(tree, Fork) and tree.axis in _OUTER:
        tree = tree.ways[NUMBER[tree.axis][outer[tree.axis]]]
    if isinstance(tree, bool) or not _forks_outside(tree):
        return tree
    return _fork(tree.axis, tuple(settle(way, outer) for way in tree.ways))


NUMBER = {axis.name: {label: number for number, label in enumerate(axis.values)} for axis in AXES}
_outside: dict[int, bool] = {}


def _forks_outside(tree: Tree) -> bool:
    """Whether an outer axis is read somewhere in it."""
    if isinstance(tree, bool):
        return False
    if id(tree) not in _outside:
        _outside[id(tree)] = tree.axis in _OUTER or any(_forks_outside(way) for way in tree.ways)
    return _outside[id(tree)]


def alike(trees: list[Tree]) -> dict[str, list[list[str]]]:
    """The values of each outer axis in classes: within one, no tree goes on otherwise for one than for another."""
    rows: dict[str, list[tuple[Tree, ...]]] = {axis.name: [] for axis in OUTER}
    seen: set[int] = set()
    waiting = list(trees)
    while waiting:
        tree = waiting.pop()
        if isinstance(tree, bool) or id(tree) in seen:
            continue
        seen.add(id(tree))
        waiting.extend(tree.ways)
        if tree.axis in _OUTER:
            rows[tree.axis].append(tree.ways)
    found: dict[str, list[list[str]]] = {}
    for axis in OUTER:
        classes: dict[tuple[int, ...], list[str]] = {}
        for number, label in enumerate(axis.values):
            key = tuple(id(ways[number]) for ways in rows[axis.name])
            classes.setdefault(key, []).append(label)
        found[axis.name] = list(classes.values())
    return found


def inner_cell(bit: int) -> Cell:
    """The inner cell that a bit stands for."""
    found: dict[str, str] = {}
    for axis in reversed(INNER):
        bit, number = divmod(bit, len(axis))
        found[axis.name] = list(axis.values)[number]
    return found


def number_of(cell: Cell) -> int:
    """The bit that stands for the inner part of a cell."""
    number = 0
    for axis in INNER:
        number = number * len(axis) + NUMBER[axis.name][cell[axis.name]]
    return number


def lowest(cells: int) -> Cell:
    """One inner cell of a set that is not empty."""
    return inner_cell((cells & -cells).bit_length() - 1)
