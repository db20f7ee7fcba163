"""Task tokens as Step Functions treats them: one answer each, and none once the task has ended.

moto lets a second answer overwrite the first, takes answers that come after the timeout, tells no ended task from an
unknown token, and gives each attempt of a Retry the token of the first, which nothing answers any more.
"""

import copy
import json
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

from moto.core.exceptions import AWSError
from moto.core.responses import EmptyResult
from moto.stepfunctions.parser.api import ExecutionStatus, InvalidOutput, InvalidToken, TaskTimedOut
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import TimeoutSeconds
from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.eval.callback.callback import (
    CallbackEndpoint,
    CallbackOutcomeFailure,
    CallbackOutcomeFailureError,
    CallbackOutcomeSuccess,
    CallbackPoolManager,
)
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.responses import StepFunctionResponse

from lab.seam import Seams, require

_CALLBACK = import_module("moto.stepfunctions.parser.asl.eval.callback.callback")
_GONE = "Task Timed Out: 'Provided task does not exist anymore'"
_LARGEST_OUTPUT = 262_144

require(CallbackEndpoint("token"), "_outcome", "_notify_event", "interrupt_all", "notify")
require(CallbackPoolManager({}), "_pool", "get", "add")
require(StepFunctionsParserBackend, "_get_executions")
require(TimeoutSeconds, "DEFAULT_TIMEOUT_SECONDS")


class Endpoint(CallbackEndpoint):  # type: ignore[misc]  # moto is untyped
    """What waits for the answer to one token. Safe in any thread."""

    def __init__(self, callback_id: str) -> None:
        super().__init__(callback_id)
        self._ended = False
        self._lock = threading.Lock()

    def answer(self, outcome: Any) -> bool:
        """False if the task has ended, or has its answer already."""
        with self._lock:
            if self._ended or self._outcome is not None:
                return False
            self.notify(outcome)
            return True

    def end(self) -> Any:
        """Take no answer any more; the one that was taken, or None."""
        with self._lock:
            self._ended = True
            return self._outcome


def install(seams: Seams) -> None:
    """Put all of it in place."""
    seams.replace(_CALLBACK, "CallbackEndpoint", Endpoint)
    seams.wrap(ExecutionState, "_evaluate_with_timeout", _evaluate)
    seams.replace(StepFunctionsParserBackend, "send_task_success", _send_success)
    seams.replace(StepFunctionsParserBackend, "send_task_failure", _send_failure)
    seams.replace(StepFunctionResponse, "send_task_failure", _respond_to_failure)


def release(execution: Any) -> None:
    """Let an execution that was stopped wait for no answer."""
    for endpoint in _endpoints(execution):
        endpoint.interrupt_all()


def _evaluate(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def evaluate(state: Any, env: Any) -> None:
        if not (isinstance(state, StateTaskServiceCallback) and _waits(state)):
            original(state, env)
            return
        endpoint = _endpoint(env)
        try:
            original(state, env)
        except TimeoutError:
            # Whoever was told that the answer was taken relies on it, though it came in the last moment.
            outcome = endpoint.end()
            if outcome is None:
                raise
            _take(original, state, env, outcome)
        finally:
            endpoint.end()

    return evaluate


def _waits(state: Any) -> bool:
    return bool(state.resource.condition == ResourceCondition.WaitForTaskToken)


def _endpoint(env: Any) -> Any:
    """That of this attempt: the first one's token was made on entering the state, each Retry gets its own."""
    context = env.states.context_object
    if context.context_object_data["State"]["RetryCount"]:
        return env.callback_pool_manager.add(context.update_task_token())
    return env.callback_pool_manager.get(context.context_object_data["Task"]["Token"])


def _take(original: Callable[[Any, Any], None], state: Any, env: Any, outcome: Any) -> None:
    if isinstance(outcome, CallbackOutcomeFailure):
        raise CallbackOutcomeFailureError(callback_outcome_failure=outcome)
    answered = copy.copy(state)
    answered.timeout = TimeoutSeconds(TimeoutSeconds.DEFAULT_TIMEOUT_SECONDS)
    answered._eval_execution = lambda frame: frame.stack.append(json.loads(outcome.output))
    original(answered, env)


def _endpoints(execution: Any, token: str | None = None) -> list[Any]:
    worker = execution.exec_worker
    if worker is None or worker.env is None:  # it has only just been started
        return []
    pool = dict(worker.env.callback_pool_manager._pool)
    return [endpoint for key, endpoint in pool.items() if token in (None, key)]


def _send(backend: Any, token: str, outcome: Any) -> None:
    for execution in backend._get_executions():
        for endpoint in _endpoints(execution, token):
            running = execution.exec_status == ExecutionStatus.RUNNING
            if not (running and endpoint.answer(outcome)):
                raise refusal(TaskTimedOut, _GONE)
            return
    raise InvalidToken


def _send_success(backend: Any, task_token: str, outcome: str) -> None:
    try:
        json.loads(outcome)
    except ValueError as error:
        raise refusal(InvalidOutput, f"Invalid Output: '{error}'") from None
    if len(outcome.encode()) > _LARGEST_OUTPUT:
        raise refusal(InvalidOutput, f"Invalid Output: 'more than {_LARGEST_OUTPUT} bytes'")
    _send(backend, task_token, CallbackOutcomeSuccess(callback_id=task_token, output=outcome))


def _send_failure(backend: Any, task_token: str, error: str | None = None, cause: str | None = None) -> None:
    _send(backend, task_token, CallbackOutcomeFailure(callback_id=task_token, error=error, cause=cause))


def _respond_to_failure(response: Any) -> Any:
    """moto drops the cause."""
    response.stepfunction_backend.send_task_failure(
        response._get_param("taskToken"), error=response._get_param("error"), cause=response._get_param("cause")
    )
    return EmptyResult()


def refusal(kind: Any, message: str) -> AWSError:
    """An error of that class of moto's as AWS answers it: moto's own say neither their code nor their status."""
    return AWSError(message, kind.code, kind.status_code)
