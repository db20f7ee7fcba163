"""`--kill-orchestrator-at STEP`: stop the execution while that step's handler runs, once, as StopExecution does."""

import threading
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Self

from lab.evidence import FAILBACK
from lab.options import STEPS_HOME, Step
from lab.region import REGION_NAME, Side
from lab.world import World, until

_WAIT_SECONDS = 15.0
_UNDOING = frozenset({"clear", "lift", "restore", "resume"})
"""What a step is asked for by a run that stands down. It is not what that step is known for."""
_WHERE: Mapping[Step, tuple[str, str | None]] = {Step.SWITCHOVER: ("quiesce", "stop"), Step.LIGHT: ("survey", "light")}
"""The function and the intent by which a step is known, where it is not known by its own name. The switchover is a run
of its own, which the failback waits for: stopping writes is the first that it does for good."""


class Saboteur:
    """A context manager: while it is there, the first handler that does one of the steps for a run is the run's last.

    Steps of a failback are looked for in the home Region, those of a failover in the DR Region.
    """

    def __init__(self, world: World, steps: Collection[Step]) -> None:
        self._world = world
        self._before = world.lambdas.callbacks
        self._ahead = list(steps)
        self._unfinished = set(steps)
        self._lock = threading.Lock()

    @property
    def finished(self) -> bool:
        """Whether it has done what it was to do: each execution that was to be stopped is ABORTED."""
        return not self._unfinished

    def __enter__(self) -> Self:
        if self._ahead:
            self._world.lambdas.callbacks = replace(self._before, start=self._look)
        return self

    def __exit__(self, *_: object) -> None:
        self._world.lambdas.callbacks = self._before

    def _look(self, region: str, name: str, payload: Any) -> None:
        if not isinstance(payload, dict) or payload.get("intent") in _UNDOING:
            return
        owner = payload.get("run", {}).get("owner")
        with self._lock:
            step = next((each for each in self._ahead if owner and _is(each, region, name, payload)), None)
            if step is None:
                return
            self._ahead.remove(step)
        threading.Thread(target=self._strike, args=(step, region, owner), name=f"saboteur {step}", daemon=True).start()

    def _strike(self, step: Step, region: str, owner: str) -> None:
        machines = self._world.cloud.client("stepfunctions", region)
        # A switchover belongs to an execution of its own; the one that waits for it is stopped.
        execution = self._failback(region) if step is Step.SWITCHOVER else owner
        machines.stop_execution(executionArn=execution, cause="the rehearsal stops the orchestrator here")
        until(
            "the stopped execution is ABORTED",
            lambda: machines.describe_execution(executionArn=execution)["status"] == "ABORTED",
            _WAIT_SECONDS,
        )
        self._unfinished.discard(step)

    def _failback(self, region: str) -> str:
        executions = self._world.workflows.executions(region)
        return next(e.arn for e in executions if e.status == "RUNNING" and e.machine_arn.endswith(f"-{FAILBACK}"))


def _is(step: Step, region: str, name: str, payload: Mapping[str, Any]) -> bool:
    """Whether this invocation does that step."""
    function, intent = _WHERE.get(step, (step.value, None))
    there = region == REGION_NAME[Side.PRIMARY if step in STEPS_HOME else Side.DR]
    return there and name.endswith(f"-{function}") and intent in {None, payload.get("intent")}
