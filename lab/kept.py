"""Where a rehearsal that was kept can be found: a note of it for each user, which goes when it ends.

The note lies in the user's own folder of states (`XDG_STATE_HOME`, else `~/.local/state`), so that it is found from
wherever a person works. One whose process is gone is no note.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Kept:
    """A rehearsal that is left running: where its Regions' API and its site are."""

    endpoint_url: str
    application: str
    regions: tuple[str, ...]
    """The DR Region first."""
    site: str
    resolver: str
    """host:port, over UDP."""
    pid: int
    started: float
    """When that process was started, epoch seconds: process ids are used again."""

    @property
    def alive(self) -> bool:
        """Whether its process is still there."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started) < 1
        except psutil.Error:
            return False


def notes(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the notes of this user lie."""
    state = environment.get("XDG_STATE_HOME", "")
    home = Path(environment.get("HOME") or Path.home())
    return (Path(state) if state.startswith("/") else home / ".local/state") / "relight" / "kept"


def find(where: Path) -> Kept | None:
    """The newest that is still running; None without one. What cannot be read is no note."""
    found: list[Kept] = []
    for path in where.glob("*.json"):
        with suppress(OSError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
            given = json.loads(path.read_text())
            kept = Kept(**given | {"regions": tuple(given["regions"])})
            found += [kept] if kept.alive else []
    return max(found, key=lambda kept: kept.started, default=None)


@contextmanager
def noted(kept: Kept, where: Path) -> Iterator[Path]:
    """Leave a note of it, for as long as the block lasts. OSError where the folder cannot be written."""
    where.mkdir(parents=True, exist_ok=True)
    path = where / f"{kept.pid}.json"
    path.write_text(json.dumps(asdict(kept), indent=2) + "\n")
    try:
        yield path
    finally:
        with suppress(OSError):
            path.unlink()
