"""Executions held at a state, so that a test decides what happens in which order.

A state is held as soon as it has been entered and before it has done anything: of a task, before its handler begins.
What a handler does in the middle is held by `pass_by`, which its part of the test calls.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from moto.stepfunctions.parser.asl.component.state.exec.state_parallel.branch_worker import BranchWorker
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import StateTaskService
from moto.stepfunctions.parser.asl.component.state.exec.state_task.state_task import StateTask
from moto.stepfunctions.parser.asl.component.state.state import CommonStateField
from moto.stepfunctions.parser.asl.eval.program_state import ProgramStopped

from lab.seam import Seams, require

_PATIENCE = 60.0

require(CommonStateField, "_eval_body")
require(StateTaskService, "_eval_execution")
require(BranchWorker, "_thread_routine")


class Hold:
    """Keeps the first execution that comes to a place there, until `let_go`."""

    def __init__(self, place: str, execution: str | None) -> None:
        self.place = place
        self.wanted = execution
        self.execution = ""
        """The ARN of the execution that is, or was, held."""
        self._reached, self._free, self._left = threading.Event(), threading.Event(), threading.Event()

    def wait(self) -> str:
        """The ARN of the execution that has come; AssertionError if none does in time."""
        assert self._reached.wait(_PATIENCE), f"no execution has come to {self.place!r}"
        return self.execution

    def wait_unless(self, over: Callable[[], bool]) -> None:
        """Wait until an execution has come, or it is `over`; AssertionError if neither happens in time."""
        deadline = time.monotonic() + _PATIENCE
        while not (self._reached.wait(0.01) or over()):
            assert time.monotonic() < deadline, f"no execution has come to {self.place!r}"

    def expect_nobody(self) -> None:
        """Hold nobody who has not come yet."""
        if not self._reached.is_set():
            self._free.set()

    def let_go(self) -> None:
        """Let it go on, if it is there, and hold nobody any more."""
        self._free.set()

    def see_off(self) -> None:
        """Let it go on, and wait until what was held has come to its end; AssertionError if it does not in time."""
        self.let_go()
        if self._reached.is_set():
            assert self._left.wait(_PATIENCE), f"it does not come to an end: {self.place!r}"

    def take(self, place: str, execution: str) -> bool:
        """Whether it holds that execution there: the first one only, and nobody once it was let go."""
        if place != self.place or self.wanted not in (None, execution, machine_of(execution)):
            return False
        if self._reached.is_set() or self._free.is_set():
            return False
        self.execution = execution
        self._reached.set()
        return True

    def keep(self) -> None:
        """Hold the thread that calls it."""
        assert self._free.wait(_PATIENCE), f"nobody let go of {self.place!r}"

    def left(self) -> None:
        """What was held has come to its end."""
        self._left.set()


class Holds:
    """All holds of one test, and the errors that tasks meet by its will. Safe in any thread."""

    def __init__(self) -> None:
        self.fails: dict[str, Exception] = {}
        """Tasks that fail with that error, whenever an execution comes to them, before anything is called."""
        self.passed: list[str] = []
        """The places that handlers have passed by, in that order."""
        self._lock = threading.Lock()
        self._holds: list[Hold] = []
        self._inside = threading.local()

    def hold(self, place: str, execution: str | None = None) -> Hold:
        """Hold the first execution that comes to a state (or a place that `pass_by` names).

        Or that one, by its ARN, or the first of that state machine, by Region and name.
        """
        made = Hold(place, execution)
        with self._lock:
            self._holds.append(made)
        return made

    def expect_nobody_more(self) -> None:
        """Whoever is held stays held; nobody else will be."""
        for held in self._holds:
            held.expect_nobody()

    def see_all_off(self) -> None:
        """At the end of a test: nobody is held any more, and what was held has come to its end."""
        for held in self._holds:
            held.let_go()
        for held in self._holds:
            held.see_off()

    @property
    def inside(self) -> tuple[str, str] | None:
        """Execution and state of the task that this thread works for."""
        return getattr(self._inside, "task", None)

    def pass_by(self, what: str) -> None:
        """Where a handler does `what` in the middle: the place is called "<state>: <what>"."""
        if self.inside is not None:
            execution, state = self.inside
            place = f"{state}: {what}"
            self.passed.append(place)
            if (held := self._take(place, execution)) is not None:
                self._inside.held.append(held)
                held.keep()

    def _take(self, place: str, execution: str) -> Hold | None:
        with self._lock:
            return next((each for each in self._holds if each.take(place, execution)), None)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """At work on moto's executor."""
        seams = Seams()
        seams.wrap(CommonStateField, "_eval_body", self._at_states)
        seams.wrap(StateTaskService, "_eval_execution", self._at_tasks)
        seams.wrap(BranchWorker, "_thread_routine", _unless_stopped)
        try:
            yield
        finally:
            self.see_all_off()
            seams.undo()

    def _at_states(self, original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        def enter(state: Any, env: Any) -> None:
            if isinstance(state, StateTask):
                original(state, env)
                return
            self._hold_at(state.name, _execution(env), lambda: original(state, env))

        return enter

    def _at_tasks(self, original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        def work(task: Any, env: Any) -> None:
            execution = _execution(env)

            def do() -> None:
                if task.name in self.fails:
                    raise self.fails[task.name]
                original(task, env)

            self._inside.task, self._inside.held = (execution, task.name), []
            try:
                self._hold_at(task.name, execution, do)
            finally:
                self._inside.task = None
                for held in self._inside.held:
                    held.left()

        return work

    def _hold_at(self, place: str, execution: str, do: Callable[[], None]) -> None:
        held = self._take(place, execution)
        if held is None:
            do()
            return
        try:
            held.keep()
            do()
        finally:
            held.left()


def _unless_stopped(original: Callable[[Any], None]) -> Callable[[Any], None]:
    """moto's thread of a branch dies of an execution that is stopped before the branch has begun."""

    def begin(worker: Any) -> None:
        if not isinstance(worker.env.program_state(), ProgramStopped):
            original(worker)

    return begin


def machine_of(execution: str) -> str:
    """Region and name of the state machine of an execution: "eu-west-1:relight-shop-failback"."""
    parts = execution.split(":")
    return f"{parts[3]}:{parts[6]}"


def _execution(env: Any) -> str:
    return str(env.states.context_object.context_object_data["Execution"]["Id"])
