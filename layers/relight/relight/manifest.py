"""The manifest of a run's evidence: the SHA-256 of each of its files, so that a copy can be told from a change. Pure.

It says that the files belong together as they were put down. Who can write the bucket can write a manifest too: the
bucket's versions, and who may write it, are what speaks against that.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "manifest.json"


def digest(body: bytes) -> str:
    """The SHA-256, as `sha256sum` prints it."""
    return hashlib.sha256(body).hexdigest()


def manifest(files: Mapping[str, bytes]) -> bytes:
    """{"files": {name: sha256}} of these."""
    said = {"files": {name: digest(body) for name, body in files.items()}}
    return (json.dumps(said, indent=2, sort_keys=True) + "\n").encode()


def problems(said: Any, files: Mapping[str, bytes]) -> list[str]:
    """What speaks against these files being those of the manifest, one sentence each. `said` is its document."""
    listed = said.get("files") if isinstance(said, dict) else None
    if not isinstance(listed, dict):
        return ["the manifest names no files"]
    missing = [f"{name} is in the manifest, and is not there" for name in listed if name not in files]
    more = [f"{name} is not in the manifest" for name in files if name not in listed]
    changed = [
        f"{name} is not what the manifest says: its SHA-256 is {digest(body)}, and should be {listed[name]}"
        for name, body in files.items()
        if name in listed and listed[name] != digest(body)
    ]
    return missing + more + changed
