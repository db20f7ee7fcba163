"""Which orchestrator this is: the version of the package, and a digest of its sources.

Two Regions with the same text run the same orchestrator, whenever each was deployed and however it was packed.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

from relight import __version__

SUFFIXES = frozenset({".py", ".yaml", ".pem"})


def digest(folder: Path) -> str:
    """The first twelve hex digits of the SHA-256 over names and contents of a package's own files."""
    found = sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES):
        found.update(path.relative_to(folder).as_posix().encode() + b"\0")
        found.update(sha256(path.read_bytes()).digest())
    return found.hexdigest()[:12]


@cache
def version() -> str:
    """`0.1.0+3f2a9c0d11ee`."""
    return f"{__version__}+{digest(Path(__file__).parent)}"
