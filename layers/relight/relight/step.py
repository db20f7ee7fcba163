"""The step contract: look, do what is missing, say DONE or WAIT with a sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from relight.ledger import Ledger
    from relight.run import Run


class Status(StrEnum):
    """DONE: nothing is missing any more. WAIT: look again later."""

    DONE = "DONE"
    WAIT = "WAIT"


@dataclass(frozen=True)
class Outcome:
    """What one look of a step came to. `look_again_seconds` is whole, because Step Functions waits in whole seconds."""

    status: Status
    sentence: str
    look_again_seconds: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def done(cls, sentence: str, **facts: Any) -> Outcome:
        """Nothing is missing."""
        return cls(Status.DONE, sentence, 0, facts)

    @classmethod
    def wait(cls, sentence: str, seconds: float, **facts: Any) -> Outcome:
        """Something is under way; look again after so many seconds (rounded down, so that no step is late)."""
        return cls(Status.WAIT, sentence, int(seconds), facts)

    def as_dict(self) -> dict[str, Any]:
        """The answer of the function."""
        return {
            "status": self.status.value,
            "sentence": self.sentence,
            "look_again_seconds": self.look_again_seconds,
            "facts": self.facts,
        }


def perform(
    name: str, run: Run, ledger: Ledger, clock: Callable[[], float], ensure: Callable[[], Outcome]
) -> dict[str, Any]:
    """Run one look of a step for a run that still holds the lock, and keep its story in the timeline.

    Raises RunSuperseded, and changes nothing, where the run lost its lock: a handler whose execution was stopped
    may come late (aws-facts: StopExecution does not stop a running handler).
    """
    ledger.require(run)
    ledger.step_began(run, name, clock())
    try:
        outcome = ensure()
    except Exception as error:
        ledger.step_says(run, name, clock(), f"{type(error).__name__}: {error}", done=False)
        raise
    done = outcome.status is Status.DONE
    ledger.step_says(run, name, clock(), outcome.sentence, done=done, facts=outcome.facts)
    return outcome.as_dict()
