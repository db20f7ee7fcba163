"""How much memory the lab takes: the sum of PSS over its process tree, sampled while it runs.

PSS (proportional set size) counts a page that several processes share once in all, so that PostgreSQL's shared
buffers and what forked processes have in common are not counted again and again.
"""

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

import psutil

_KIB = 1024
_MIB = 1024 * 1024


def tree(roots: Iterable[int]) -> frozenset[int]:
    """These processes and all that descend from them, as far as they are there."""
    found: set[int] = set()
    for root in roots:
        try:
            process = psutil.Process(root)
            found.add(root)
            found.update(child.pid for child in process.children(recursive=True))
        except psutil.Error:
            continue
    return frozenset(found)


def pss(pid: int) -> int:
    """Bytes of PSS of one process; 0 when it is gone or may not be looked at. Elsewhere than on Linux, its RSS."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * _KIB
        return 0
    except FileNotFoundError:
        return _resident(pid)
    except (OSError, ValueError):
        return 0


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


class MemoryWatch:
    """Samples in a thread of its own from entry to exit, and keeps the highest sum."""

    def __init__(self, also: Callable[[], Iterable[int]] = tuple, every: float = 3.0) -> None:
        """`also` names processes that belong to the lab and are no descendants of this one (a daemon is not)."""
        self._also = also
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        self._peak = 0
        self.samples = 0

    @property
    def peak_mib(self) -> float | None:
        """The highest sum so far, in MiB; None before the first sample."""
        return self._peak / _MIB if self.samples else None

    def sample(self) -> None:
        """Take one sample now."""
        self._peak = max(self._peak, sum(pss(pid) for pid in tree([os.getpid(), *self._also()])))
        self.samples += 1

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        self.sample()
        while not self._stop.wait(self._every):
            self.sample()
