"""What may be so of facts under a policy: claims that can be joined, of one case or of all of them at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING

from tests.decision.plane import ALL

if TYPE_CHECKING:
    from collections.abc import Callable

    from relight.facts import Facts
    from relight.policy import Policy


class Claim:
    """Joined by `&`, `|` and `~`."""

    def holds(self, facts: Facts, policy: Policy) -> bool:
        """Of one case."""
        raise NotImplementedError

    def where(self, plane: Callable[[Atom], int]) -> int:
        """The cells of which it holds, given those of its atoms."""
        raise NotImplementedError

    @property
    def atoms(self) -> frozenset[Atom]:
        """What it is made of."""
        raise NotImplementedError

    def __and__(self, other: Claim) -> Claim:
        """Both."""
        return Joined((self, other), all, and_)

    def __or__(self, other: Claim) -> Claim:
        """Either, or both."""
        return Joined((self, other), any, or_)

    def __invert__(self) -> Claim:
        """Not so."""
        return Not(self)


@dataclass(frozen=True, eq=False)
class Atom(Claim):
    """A claim that is looked up in the facts."""

    says: Callable[[Facts, Policy], bool]

    def holds(self, facts: Facts, policy: Policy) -> bool:
        """Of one case."""
        return self.says(facts, policy)

    def where(self, plane: Callable[[Atom], int]) -> int:
        """Given."""
        return plane(self)

    @property
    def atoms(self) -> frozenset[Atom]:
        """Itself."""
        return frozenset({self})


@dataclass(frozen=True, eq=False)
class Joined(Claim):
    """All of some claims, or any of them."""

    parts: tuple[Claim, ...]
    of_one: Callable[[tuple[bool, ...]], bool]
    of_all: Callable[[int, int], int]

    def holds(self, facts: Facts, policy: Policy) -> bool:
        """Of one case."""
        return self.of_one(tuple(part.holds(facts, policy) for part in self.parts))

    def where(self, plane: Callable[[Atom], int]) -> int:
        """Joined."""
        return reduce(self.of_all, (part.where(plane) for part in self.parts))

    @property
    def atoms(self) -> frozenset[Atom]:
        """Those of its parts."""
        return frozenset().union(*(part.atoms for part in self.parts))


@dataclass(frozen=True, eq=False)
class Not(Claim):
    """The contrary."""

    part: Claim

    def holds(self, facts: Facts, policy: Policy) -> bool:
        """Of one case."""
        return not self.part.holds(facts, policy)

    def where(self, plane: Callable[[Atom], int]) -> int:
        """All other cells."""
        return ALL & ~self.part.where(plane)

    @property
    def atoms(self) -> frozenset[Atom]:
        """Those of what it denies."""
        return self.part.atoms
