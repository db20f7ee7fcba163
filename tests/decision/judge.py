"""The rules, in whatever order, judged over the whole space by the laws.

Outer cells that no rule and no law can tell apart are one `Group`; within it every set of inner cells is an int.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from itertools import product
from math import prod
from operator import or_

from relight.decision import Action, Finding, Rule
from relight.rules import RULES
from relight.run import Mode

from tests.decision.claim import Atom
from tests.decision.oracle import LAWS, TRUTHS, Law
from tests.decision.plane import ALL, BITS, Predicate, Tree, alike, lowest, plane, settle, tree_of
from tests.decision.space import Cell

type Rules = Sequence[Rule]


@dataclass(frozen=True)
class Group:
    """So many outer cells, of which `outer` is one, and sets of inner cells.

    `matches`: where each rule would. `planned`: where each is in that mode. `spoken_of`: where each law says something.
    `forbidden`: where some law forbids such a verdict. `untrue`: where a finding would not be so.
    """

    outer: Cell
    count: int
    matches: Mapping[Finding, int]
    planned: Mapping[Finding, int]
    spoken_of: Mapping[str, int]
    forbidden: Mapping[tuple[Action, Mode], int]
    untrue: Mapping[Finding, int]

    def hits(self, rules: Rules = RULES) -> Iterator[tuple[Rule, int]]:
        """Where each rule is the first that matches; a rule that is so nowhere is left out."""
        left = ALL
        for rule in rules:
            hit = self.matches[rule.finding] & left
            left &= ~hit
            if hit:
                yield rule, hit
        assert not left, f"no rule matches {self.cell(left)}"

    def by_mode(self, rule: Rule, hit: int) -> tuple[tuple[Mode, int], ...]:
        """The cells of a hit whose verdict is in each mode."""
        planned = self.planned[rule.finding]
        return (Mode.PLANNED, hit & planned), (Mode.EMERGENCY, hit & ~planned)

    def broken(self, law: Law, rules: Rules = RULES) -> int:
        """The cells whose verdict breaks a law."""
        where = self.spoken_of[law.sentence]
        verdicts = (
            (rule, mode, cells & where) for rule, hit in self.hits(rules) for mode, cells in self.by_mode(rule, hit)
        )
        return reduce(or_, (cells for rule, mode, cells in verdicts if law.breaks(rule.action, mode)), 0)

    def wrong(self, rules: Rules) -> int:
        """The cells whose verdict breaks any law, or says what is not so."""
        found = 0
        for rule, hit in self.hits(rules):
            found |= hit & self.untrue[rule.finding]
            for mode, cells in self.by_mode(rule, hit):
                found |= cells & self.forbidden[rule.action, mode]
        return found

    def cell(self, inner: int) -> Cell:
        """A whole cell of this group and of a set of inner cells that is not empty."""
        return {**self.outer, **lowest(inner)}


def _says(atom: Atom) -> Predicate:
    return lambda case: atom.says(case.facts, case.policy)


def _planned(rule: Rule) -> Predicate:
    return lambda case: rule.mode(case) is Mode.PLANNED


def _group(outer: Cell, count: int, rules: Mapping[Finding, tuple[Tree, Tree]], atoms: Mapping[Atom, Tree]) -> Group:
    where = {atom: plane(settle(tree, outer)) for atom, tree in atoms.items()}.__getitem__
    spoken_of = {law.sentence: law.when.where(where) for law in LAWS}
    return Group(
        outer,
        count,
        matches={finding: plane(settle(when, outer)) for finding, (when, _) in rules.items()},
        planned={finding: plane(settle(mode, outer)) for finding, (_, mode) in rules.items()},
        spoken_of=spoken_of,
        forbidden={
            (action, mode): reduce(or_, (spoken_of[law.sentence] for law in LAWS if law.breaks(action, mode)), 0)
            for action, mode in product(Action, Mode)
        },
        untrue={finding: ALL & ~truth.where(where) for finding, truth in TRUTHS.items()},
    )


@dataclass(frozen=True)
class Grouping:
    """The outer cells in groups. `stands_for`: the value that speaks for a value of an axis, being alike."""

    groups: tuple[Group, ...]
    stands_for: Mapping[str, Mapping[str, str]]
    number: Mapping[tuple[str, ...], int]


@cache
def _grouping() -> Grouping:
    rules = {rule.finding: (tree_of(rule.when), tree_of(_planned(rule))) for rule in RULES}
    claims = [law.when for law in LAWS] + list(TRUTHS.values())
    atoms = {atom: tree_of(_says(atom)) for claim in claims for atom in claim.atoms}
    trees = [tree for pair in rules.values() for tree in pair] + list(atoms.values())
    classes = alike(trees)
    count: dict[tuple[int, ...], int] = {}
    first: dict[tuple[int, ...], Cell] = {}
    key_of: dict[tuple[str, ...], tuple[int, ...]] = {}
    for labels in product(*classes.values()):
        outer = dict(zip(classes, (label[0] for label in labels), strict=True))
        key = key_of[tuple(outer.values())] = tuple(id(settle(tree, outer)) for tree in trees)
        count[key] = count.get(key, 0) + prod(map(len, labels))
        first.setdefault(key, outer)
    numbers = {key: number for number, key in enumerate(first)}
    return Grouping(
        tuple(_group(outer, count[key], rules, atoms) for key, outer in first.items()),
        {axis: {label: alike[0] for alike in found for label in alike} for axis, found in classes.items()},
        {outer: numbers[key] for outer, key in key_of.items()},
    )


def groups() -> tuple[Group, ...]:
    """All outer cells, in groups."""
    return _grouping().groups


def group_of(cell: Cell) -> Group:
    """The group to which a cell belongs."""
    found = _grouping()
    outer = tuple(alike[cell[axis]] for axis, alike in found.stands_for.items())
    return found.groups[found.number[outer]]


def size() -> int:
    """How many cells the groups stand for."""
    return sum(group.count for group in groups()) * BITS


def wrong(rules: Rules) -> Cell | None:
    """A cell whose verdict breaks a law or says what is not so, in this order of rules; None where there is none."""
    return next((group.cell(found) for group in groups() if (found := group.wrong(rules))), None)
