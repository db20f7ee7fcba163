"""What the story of a rehearsal plays on."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lab.attempts import Attempt, read
from lab.control import ControlTarget
from lab.observer import Observer
from lab.score import acknowledgements
from lab.world import World


@dataclass(frozen=True)
class Stage:
    """The world with all that was deployed, clients that order from it, and whoever looks on."""

    world: World
    observer: Observer
    control: ControlTarget
    exits: ExitStack
    log: Path
    """The clients'."""

    def attempts(self) -> tuple[Attempt, ...]:
        """What the clients have tried so far."""
        return read(self.log)

    def acknowledged(self) -> frozenset[str]:
        """The orders that clients may rely on by now."""
        return frozenset(acknowledgements(self.attempts()))
