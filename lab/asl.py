"""Where moto's executor differs from Step Functions, put right. Each function here is one difference.

* JSONata has no evaluator, texts are quoted wrongly, and its errors end as States.Runtime.
* Assign takes effect before Output is evaluated; on AWS both see the variables as they were on entering the state.
* States.ALL catches States.Runtime and States.DataLimitExceeded; on AWS nothing does.
* An error that leaves a Parallel or Map with a reserved name (States.Timeout) breaks the executor.
* Seconds and TimeoutSeconds cut fractions off; on AWS they must be whole. Timestamp compares UTC with local time.
* A task that is scheduled while its run is stopped takes for its seconds what another state has left.
* AWS SDK integrations pass boto3's names through and have boto3's error names.
"""

import time
from collections.abc import Callable
from datetime import UTC
from importlib import import_module
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import ErrorEqualsDecl
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.common.string.string_expression import StringJSONata
from moto.stepfunctions.parser.asl.component.common.timeouts.heartbeat import (
    Heartbeat,
    HeartbeatSecondsJSONata,
)
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import Timeout, TimeoutSecondsJSONata
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (
    StateTaskServiceAwsSdk,
)
from moto.stepfunctions.parser.asl.component.state.state import CommonStateField
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.seconds import SecondsJSONata
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.timestamp import Timestamp
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.eval.states import States
from moto.stepfunctions.parser.asl.eval.variable_store import VariableStore

from lab.integration import arguments, boto_service, error_cause, error_name, result
from lab.query import QueryError, evaluate, timestamp
from lab.seam import Seams, require

_SDK = import_module("moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk")
_RETRIER = import_module("moto.stepfunctions.parser.asl.component.common.retry.retrier_decl")
_UNCATCHABLE = frozenset({"States.Runtime", "States.DataLimitExceeded"})
_LONGEST_WAIT_SECONDS = 1.0  # an executor's wake-up call can be missed between its look and its wait

require(StringJSONata, "_eval_body")
require(Timeout, "_eval_body")
require(Heartbeat, "_eval_body")
require(CommonStateField, "_eval_body", "_eval_state_output")
require(Environment, "is_running", "stack", "set_stop")
require(VariableStore(), "_outer_scope", "_inner_scope")
require(States, "get_input", "__init__")
require(StateTaskServiceAwsSdk, "_get_boto_service_action", "_get_task_failure_event", "_from_error")


def install(seams: Seams, pace: float) -> None:
    """Put all of it in place. `pace` is the factor on each Wait and each pause before a Retry; 0 does not wait."""
    seams.replace(StringJSONata, "_eval_body", _eval_jsonata)
    seams.replace(StateTaskServiceAwsSdk, "_eval_service_task", _call_sdk)
    seams.replace(StateTaskServiceAwsSdk, "_get_boto_service_name", _sdk_service_name)
    seams.replace(ErrorEqualsDecl, "_eval_body", _match_error)
    seams.replace(CustomErrorName, "__init__", _name_error)
    seams.replace(SecondsJSONata, "_get_wait_seconds", lambda wait, env: _whole(env, wait.string_jsonata, "Seconds"))
    for limit, name in ((TimeoutSecondsJSONata, "TimeoutSeconds"), (HeartbeatSecondsJSONata, "HeartbeatSeconds")):
        seams.replace(limit, "_eval_seconds", _limit(name))
    for kind in (Timeout, Heartbeat):
        seams.replace(kind, "eval", lambda limit, env: limit._eval_body(env))
    seams.replace(Timestamp, "_get_wait_seconds", _until)
    seams.replace(WaitFunction, "_wait_interval", _waiter(pace))
    seams.replace(_RETRIER, "time", _Pauses(pace))
    _freeze_variables_on_entry(seams)
    _name_sdk_errors(seams)


def failure(env: Any, name: str, cause: str) -> FailureEventException:
    """What ends a state with a reserved error name that a Catch may name."""
    details = {"error": name, "cause": cause}
    return FailureEventException(
        failure_event=FailureEvent(
            env=env,
            error_name=StatesErrorName.from_name(name),
            event_type=HistoryEventType.EvaluationFailed,
            event_details=EventDetails(evaluationFailedEventDetails=details),
        )
    )


def _eval_jsonata(expression: Any, env: Any) -> None:
    variables = _variables(env)
    states = {key: value for key, value in env.states._states_data.items() if key != "errorOutput" or value is not None}
    try:
        env.stack.append(evaluate(expression.expression, variables | {"states": _plain(states)}))
    except QueryError as error:
        raised = failure(env, "States.QueryEvaluationError", str(error))
        env.event_manager.add_event(
            context=env.event_history_context,
            event_type=HistoryEventType.EvaluationFailed,
            event_details=EventDetails(
                evaluationFailedEventDetails=raised.get_evaluation_failed_event_details(),
            ),
        )
        raise raised from error


def _plain(states: dict[str, Any]) -> dict[str, Any]:
    context = dict(states["context"])
    if context.get("State"):
        # moto writes an offset and microseconds
        context["State"] = {
            key: value.replace("+00:00", "")[:23] + "Z" if key == "EnteredTime" else value
            for key, value in context["State"].items()
        }
    execution = dict(context["Execution"])
    execution["StartTime"] = timestamp(execution["StartTime"])
    return states | {"context": context | {"Execution": execution}}


def _variables(env: Any) -> dict[str, Any]:
    store = env.variable_store
    on_entry: dict[str, Any] | None = getattr(store, "on_entry", None)
    return store._outer_scope | store._inner_scope if on_entry is None else on_entry


def _freeze_variables_on_entry(seams: Seams) -> None:
    run = CommonStateField._eval_body

    def enter(state: Any, env: Any) -> None:
        store = env.variable_store
        store.on_entry = store._outer_scope | store._inner_scope
        run(state, env)

    seams.replace(CommonStateField, "_eval_body", enter)


def _limit(name: str) -> Callable[[Any, Any], int]:
    return lambda limit, env: _whole(env, limit.string_jsonata, name)


def _whole(env: Any, expression: Any, field: str) -> int:
    # Not by its eval(), which leaves out what belongs to a run that was stopped just now.
    _eval_jsonata(expression, env)
    seconds = env.stack.pop()
    if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 0:
        raise failure(env, "States.QueryEvaluationError", f"{field} is {seconds!r}, not a whole number of seconds")
    return seconds


def _until(wait: Any, env: Any) -> float:
    wait.string.eval(env=env)
    text = env.stack.pop()
    moment = wait._from_timestamp_string(timestamp=text)
    if moment is None:
        raise FailureEventException(wait._create_failure_event(env, text))
    return max(0.0, float(moment.replace(tzinfo=UTC).timestamp() - time.time()))


def _waiter(pace: float) -> Any:
    def wait(_function: Any, env: Any, wait_seconds: float) -> None:
        end = time.monotonic() + wait_seconds * pace
        while env.is_running() and (left := end - time.monotonic()) > 0:
            env.program_state_event.wait(min(left, _LONGEST_WAIT_SECONDS))

    return wait


class _Pauses:
    """Stands for the module `time` where a Retry pauses."""

    def __init__(self, pace: float) -> None:
        self._pace = pace

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds * self._pace)


def _match_error(declaration: Any, env: Any) -> None:
    name = env.stack.pop().error_name or ""
    wanted = {error.error_name for error in declaration.error_names}
    reserved = name.startswith("States.")
    env.stack.append(
        name in wanted
        or ("States.ALL" in wanted and name not in _UNCATCHABLE)
        or ("States.TaskFailed" in wanted and not reserved)
    )


def _name_error(name: Any, error_name: str | None) -> None:
    if error_name is not None and error_name.startswith("States."):
        StatesErrorNameType.from_name(error_name)  # ValueError for a reserved name that there is not
    ErrorName.__init__(name, error_name=error_name)


def _sdk_service_name(task: Any, boto_service_name: str | None = None) -> str:
    return boto_service(boto_service_name or task.resource.api_name)


def _call_sdk(
    task: Any, env: Any, resource_runtime_part: Any, normalised_parameters: Any, state_credentials: Any
) -> None:
    client = _SDK.boto_client_for(
        service=task._get_boto_service_name(),
        region=resource_runtime_part.region,
        state_credentials=state_credentials,
    )
    method = task._get_boto_service_action()
    operation = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
    answer = getattr(client, method)(**arguments(operation.input_shape, normalised_parameters))
    env.stack.append(result(operation.output_shape, answer))


def _name_sdk_errors(seams: Seams) -> None:
    other = StateTaskServiceAwsSdk._from_error

    def from_error(task: Any, env: Any, ex: Exception) -> Any:
        if not isinstance(ex, (ClientError, BotoCoreError)):
            return other(task, env, ex)
        service = task.resource.api_name
        return task._get_task_failure_event(env=env, error=error_name(service, ex), cause=error_cause(service, ex))

    seams.replace(StateTaskServiceAwsSdk, "_from_error", from_error)
