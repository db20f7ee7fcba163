"""`--kill-orchestrator-at STEP`: stop the execution while that step's handler runs, once, as StopExecution does."""

import threading
from dataclasses import replace
from typing import Any, Self

from lab.options import Step
from lab.region import REGION_NAME, Side
from lab.world import World, until

_WAIT_SECONDS = 15.0
_UNDOING = frozenset({"clear", "lift", "restore", "resume"})
"""What a step is asked for by a run that stands down. It is not what that step is known for."""


class Saboteur:
    """A context manager: while it is there, the first handler that does that step for a run is the run's last."""

    def __init__(self, world: World, step: Step | None) -> None:
        self._world = world
        self._step = step
        self._before = world.lambdas.callbacks
        self._region = REGION_NAME[Side.DR]
        self._struck = threading.Event()
        self.finished = step is None
        """Whether it has done what it was to do: the execution is ABORTED."""

    def __enter__(self) -> Self:
        if self._step is not None:
            self._world.lambdas.callbacks = replace(self._before, start=self._look)
        return self

    def __exit__(self, *_: object) -> None:
        self._world.lambdas.callbacks = self._before

    def _look(self, region: str, name: str, payload: Any) -> None:
        if region != self._region or not name.endswith(f"-{self._step}") or not isinstance(payload, dict):
            return
        owner = payload.get("run", {}).get("owner")
        if owner is None or payload.get("intent") in _UNDOING or self._struck.is_set():
            return
        self._struck.set()
        threading.Thread(target=self._strike, args=(owner,), name="saboteur", daemon=True).start()

    def _strike(self, execution: str) -> None:
        machines = self._world.cloud.client("stepfunctions", self._region)
        machines.stop_execution(executionArn=execution, cause="the rehearsal stops the orchestrator here")
        until(
            "the stopped execution is ABORTED",
            lambda: machines.describe_execution(executionArn=execution)["status"] == "ABORTED",
            _WAIT_SECONDS,
        )
        self.finished = True
