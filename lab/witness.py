"""Hears what each run decides, lap by lap: the ledger keeps a step's last sentence only."""

import threading
import time
from dataclasses import replace
from typing import Any, Self

from lab.region import REGION_NAME, Side
from lab.report import Decided
from lab.world import World


class Witness:
    """A context manager that listens to the answers of `assess` in one Region. Enter it before other listeners."""

    def __init__(self, world: World, side: Side = Side.DR) -> None:
        self._world = world
        self._before = world.lambdas.callbacks
        self._region = REGION_NAME[side]
        self._lock = threading.Lock()
        self._decided: list[Decided] = []

    def __enter__(self) -> Self:
        self._world.lambdas.callbacks = replace(self._before, end=self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        self._world.lambdas.callbacks = self._before

    @property
    def decided(self) -> tuple[Decided, ...]:
        """The verdicts of all runs in their order; laps in a row that said the same are one."""
        with self._lock:
            return tuple(self._decided)

    def _hear(self, region: str, name: str, payload: Any, answer: Any, error: str | None) -> None:
        self._before.end(region, name, payload, answer, error)
        if region == self._region and name.endswith("-assess") and error is None and isinstance(answer, dict):
            run = payload.get("run", {}).get("id", "") if isinstance(payload, dict) else ""
            self._note(str(run), str(answer.get("action")), str(answer.get("finding")), time.time())

    def _note(self, run: str, action: str, finding: str, now: float) -> None:
        with self._lock:
            # Two runs may decide at the same time, so the last of the same run is what counts.
            mine = next((n for n, d in reversed(list(enumerate(self._decided))) if d.run == run), None)
            last = None if mine is None else self._decided[mine]
            if mine is not None and last is not None and (last.action, last.finding) == (action, finding):
                self._decided[mine] = replace(last, last=now, times=last.times + 1)
            else:
                self._decided.append(Decided(run, action, finding, now, now, 1))
