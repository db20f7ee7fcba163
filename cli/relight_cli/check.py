"""What `relight doctor` looks at: one check, its level, what was seen, and what a person can do about it.

Unknown is not well and not unwell: what could not be seen is a WARN that says why.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from relight.readiness_check import Level

from relight_cli.aws import throttled
from relight_cli.exit_code import Exit, Refused

LEVELS = (Level.FAIL, Level.WARN, Level.PASS)
"""The worst first."""


@dataclass(frozen=True)
class Check:
    """One check, as it came out."""

    name: str
    level: Level
    sentence: str
    todo: str = ""
    region: str | None = None
    """None where it is about this machine or about both Regions."""
    without: str | None = None
    """The Region that was refused meanwhile; None where nothing was."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def passed(name: str, sentence: str, region: str | None = None) -> Check:
    """All is as it should be."""
    return Check(name, Level.PASS, sentence, region=region)


def warned(name: str, sentence: str, todo: str, region: str | None = None) -> Check:
    """It is worth a look, or could not be seen."""
    return Check(name, Level.WARN, sentence, todo, region)


def failed(name: str, sentence: str, todo: str, region: str | None = None) -> Check:
    """A failover, or whoever operates it, would miss it."""
    return Check(name, Level.FAIL, sentence, todo, region)


def not_made(name: str, refused: Refused, region: str | None = None, *, needed: bool = True) -> Check:
    """Why something could not be looked at. `needed` is whether the commands need the same call."""
    if throttled(refused.__cause__):
        sentence = f"it could not be seen, AWS throttles: {refused.where or refused.what}"
        return warned(name, sentence, "run this again in a minute", region)
    sentence = f"{refused.what}{f' ({refused.where})' if refused.where else ''}"
    if not needed and refused.code in {Exit.DENIED, Exit.AWS}:
        return warned(name, f"it could not be seen: {sentence}", refused.do, region)
    return failed(name, sentence, refused.do, region)


def well(checks: Iterable[Check]) -> bool:
    """No check fails."""
    return all(check.level is not Level.FAIL for check in checks)


def counts(checks: Iterable[Check]) -> Mapping[Level, int]:
    """How many there are of each level, the worst first."""
    found = [check.level for check in checks]
    return {level: found.count(level) for level in LEVELS if level in found}
