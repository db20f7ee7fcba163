"""Readiness: whether a failover to this Region would work now. Pure: facts in, sentences out.

The table is a list of small checks, each with three levels. FAIL says that a failover would fail, be refused, or lose
more than it may; WARN that something is worth a look or could not be seen; PASS is everything else, and never a guess.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from relight.checks import capacity, database, ledger, orchestrator, storage, traffic, watch
from relight.head import State
from relight.practice import DAY, age_days
from relight.readiness_check import Area, Check, Level, Row
from relight.readiness_facts import NotSeen, ReadinessFacts, Unseen, known

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relight.head import Head

__all__ = ["ROWS", "Area", "Check", "Level", "Readiness", "ReadinessFacts", "Row", "blocking", "judge", "score"]

ROWS: tuple[Row, ...] = (
    *ledger.ROWS,
    *database.ROWS,
    *capacity.ROWS,
    *traffic.ROWS,
    *storage.ROWS,
    *watch.ROWS,
    *orchestrator.ROWS,
)
OFF_DUTY = "off_duty"


@dataclass(frozen=True)
class Readiness:
    """What a look at everything has come to, at `at` (epoch seconds), in `region`.

    `score` is 100 where all is well, 50 to 99 where something is to be looked at, and below 50 where a failover would
    not work. `on_duty` is False in the active Region: there nothing waits to be failed over to, and nothing is judged.
    `version` is the orchestrator's, for the other Region to compare.
    """

    at: float
    region: str
    score: int
    checks: tuple[Check, ...]
    version: str
    on_duty: bool = True
    practised_days: float | None = None
    """Since a drill last succeeded that touched something, or else since this Region is there; None where unknown."""

    @property
    def ready(self) -> bool:
        """Nothing fails."""
        return not self.of(Level.FAIL)

    def of(self, level: Level) -> tuple[Check, ...]:
        """The checks of a level, in the order of the table."""
        return tuple(check for check in self.checks if check.level is level)

    @property
    def sentence(self) -> str:
        """For a notice, an event or the head of a table."""
        if not self.on_duty:
            return self.checks[0].sentence
        failing, warning = self.of(Level.FAIL), self.of(Level.WARN)
        if failing:
            more = f", and {len(failing) - 1} more" if len(failing) > 1 else ""
            return f"{self.region} is not ready for a failover: {failing[0].name}: {failing[0].sentence}{more}"
        said = f"{self.region} is ready for a failover"
        return f"{said}; {len(warning)} of {len(self.checks)} checks ask for a look" if warning else said

    def to_dict(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {
            "at": self.at,
            "region": self.region,
            "on_duty": self.on_duty,
            "ready": self.ready,
            "score": self.score,
            "sentence": self.sentence,
            "version": self.version,
            "practised_days": self.practised_days,
            "checks": [asdict(check) | {"area": check.area.value, "level": check.level.value} for check in self.checks],
        }

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Readiness:
        """As it was kept."""
        checks = tuple(
            Check(one["name"], Area(one["area"]), Level(one["level"]), one["sentence"], one["todo"])
            for one in kept["checks"]
        )
        days = kept.get("practised_days")
        return cls(
            float(kept["at"]), kept["region"], int(kept["score"]), checks, kept["version"], kept["on_duty"], days
        )


def score(checks: Sequence[Check]) -> int:
    """0 to 100: 100 only where all checks pass, below 50 wherever one fails, by the share of those that pass."""
    passed = sum(check.level is Level.PASS for check in checks)
    if checks and passed == len(checks):
        return 100
    share = passed / max(1, len(checks))
    return int(49 * share) if any(check.level is Level.FAIL for check in checks) else 50 + int(49 * share)


def serves(head: Head | Unseen, here: str) -> bool:
    """Whether this Region is active, and nothing is changing that: then a failover to it is no question.

    Where its ledger does not say, it is one.
    """
    return not isinstance(head, Unseen) and head.active == here and head.state is State.STEADY


def off_duty(here: str, peer: str, version: str, now: float) -> Readiness:
    """What is said in the active Region."""
    said = f"{here} is the active Region; the readiness of its standby is judged in {peer}"
    return Readiness(now, here, 100, (Check(OFF_DUTY, Area.LEDGER, Level.PASS, said, ""),), version, on_duty=False)


def judge(facts: ReadinessFacts, now: float) -> Readiness:
    """Every check of the table at `now` (epoch seconds); in the active Region one, which says so."""
    version = facts.orchestrator.version
    if serves(facts.ledger.head, facts.here):
        return off_duty(facts.here, facts.peer, version, now)
    checks = tuple(row.judge(facts, now) for row in ROWS)
    return Readiness(now, facts.here, score(checks), checks, version, practised_days=_practised_days(facts, now))


def _practised_days(facts: ReadinessFacts, now: float) -> float | None:
    try:
        ago = age_days(known(facts.ledger.drills), now)
        return facts.age(now) / DAY if ago is None else ago
    except NotSeen:
        return None


def blocking(readiness: Readiness) -> tuple[Check, ...]:
    """The checks whose FAIL goes with something that holds an automatic failover up (docs/readiness.md says why)."""
    held = {row.name for row in ROWS if row.held_up_by}
    return tuple(check for check in readiness.of(Level.FAIL) if check.name in held)
