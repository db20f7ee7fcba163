"""Which orchestrator this is: the version of the package, and a digest of all that the package holds.

Two Regions with the same text have the same core, whenever each was deployed and however it was packed. The handlers of
the functions and the state machines are no part of the package, and not of the digest: `sam build` stamps nothing.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

from relight import __version__

COMPILED = "__pycache__"
"""What Python makes of the sources, or does not, as it may be."""


def digest(folder: Path) -> str:
    """The first twelve hex digits of the SHA-256 over names and contents of a package's files, compiled ones aside."""
    found = sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and COMPILED not in path.parts):
        found.update(path.relative_to(folder).as_posix().encode() + b"\0")
        found.update(sha256(path.read_bytes()).digest())
    return found.hexdigest()[:12]


@cache
def version() -> str:
    """`0.1.0+3f2a9c0d11ee`."""
    return f"{__version__}+{digest(Path(__file__).parent)}"
