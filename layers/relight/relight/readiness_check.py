"""One check of readiness: what it asks, how it judges, and what people read of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from relight.readiness_facts import NotSeen

if TYPE_CHECKING:
    from collections.abc import Callable

    from relight.decision import Finding
    from relight.readiness_facts import ReadinessFacts


class Level(StrEnum):
    """FAIL: a failover would fail, be refused or lose more than it may. WARN: it is worth a look, or was not seen."""

    PASS = "PASS"  # noqa: S105 - it is a level
    WARN = "WARN"
    FAIL = "FAIL"


class Area(StrEnum):
    """What a check is about."""

    LEDGER = "ledger"
    DATABASE = "database"
    CAPACITY = "capacity"
    TRAFFIC = "traffic"
    STORAGE = "storage"
    WATCH = "watch"
    ORCHESTRATOR = "orchestrator"
    DRILL = "drill"


@dataclass(frozen=True)
class Check:
    """What a check has come to: one sentence, and what to do; `todo` is empty where nothing is."""

    name: str
    area: Area
    level: Level
    sentence: str
    todo: str


type Judgement = tuple[Level, str]


def passes(sentence: str) -> Judgement:
    """It is as it should be."""
    return Level.PASS, sentence


def warns(sentence: str) -> Judgement:
    """A failover would work, perhaps later or with less."""
    return Level.WARN, sentence


def fails(sentence: str) -> Judgement:
    """A failover would not."""
    return Level.FAIL, sentence


@dataclass(frozen=True)
class Row:
    """A check in the table. `when_*` say for people when it has that level.

    `when_warn` None: only where something could not be seen. `when_fail` None: never. `held_up_by` are the findings
    by which the decision holds an automatic failover up for the same reason; none for most.
    """

    name: str
    area: Area
    look: Callable[[ReadinessFacts, float], Judgement]
    when_pass: str
    when_warn: str | None
    when_fail: str | None
    todo: str
    held_up_by: tuple[Finding, ...] = ()

    def judge(self, facts: ReadinessFacts, now: float) -> Check:
        """What it comes to at `now` (epoch seconds)."""
        try:
            level, sentence = self.look(facts, now)
        except NotSeen as error:
            level, sentence = Level.WARN, f"could not be seen: {error}"
        return Check(self.name, self.area, level, sentence, "" if level is Level.PASS else self.todo)


# What is done each minute, or soon after a deployment, need not have been done yet in a Region that is this young.
YOUNG_SECONDS = 900.0


def is_young(facts: ReadinessFacts, now: float, seconds: float = YOUNG_SECONDS) -> bool:
    """This Region's stack is younger than that; where its age is unknown it is not."""
    try:
        return facts.age(now) < seconds
    except NotSeen:
        return False
