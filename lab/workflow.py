"""Step Functions in the lab: moto's executor on the product's own state machines, with AWS's behaviour around it.

What moto lacks and gets here, beside what `lab.asl` puts right inside a state machine: a task that invokes a Lambda
function reaches the lab's functions; an execution without a name gets one; StopExecution ends it at once, also while
a handler runs (the handler goes on, as on AWS), and carries its error and cause; an ended execution stays as it ended;
DescribeExecution tells an output that is JSON and the reason of an end; an input that is no JSON is refused by AWS's
code; RedriveExecution redrives nothing and says so; a lost Region runs nothing. Answers to task tokens are
`lab.task_token`'s affair.
"""

import io
import json
import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.core.config import default_user_config
from moto.core.models import botocore_stubber
from moto.core.responses import ActionResult
from moto.stepfunctions.parser.api import ExecutionNotRedrivable, ExecutionStatus, InvalidExecutionInput
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.parser.models import StepFunctionsParserBackend, stepfunctions_parser_backends
from moto.stepfunctions.responses import StepFunctionResponse

from lab import asl, task_token
from lab.seam import Seams, require

ACCOUNT = "123456789012"
_TASKS = "moto.stepfunctions.parser.asl.component.state.exec.state_task"
_CALLERS = (
    f"{_TASKS}.lambda_eval_utils",
    *(f"{_TASKS}.service.state_task_service_{name}" for name in ("aws_sdk", "dynamodb", "events", "sns", "sqs", "sfn")),
)
_START_SECONDS = 5.0

require(botocore_stubber, "enabled")
require(Execution, "start", "stop", "status")
require(StepFunctionsParserBackend, "start_execution", "describe_execution")
require(StepFunctionResponse, "describe_execution", "stop_execution", "stepfunction_backend", "_get_param")

type Invoke = Callable[[str, str, Any], tuple[Any, str | None]]
"""(Region, function, payload) -> (answer, function error). LookupError if there is no such function."""


@dataclass(frozen=True)
class ExecutionRecord:
    """An execution as DescribeExecution tells it. Times are UTC; `output` is JSON text, None unless it succeeded."""

    arn: str
    machine_arn: str
    name: str
    status: str
    started: datetime
    ended: datetime | None
    output: str | None
    error: str | None
    cause: str | None


class Workflows:
    """Every Region's executions. `install` puts it in moto's place, `uninstall` undoes that; safe in any thread."""

    def __init__(
        self,
        invoke: Invoke,
        *,
        endpoint: Callable[[str], tuple[str, str]] | None = None,
        on_status: Callable[[str, ExecutionRecord], None] | None = None,
        pace: float = 1.0,
    ) -> None:
        """`endpoint` gives a Region's API address and the access key id that tasks there sign with; without it, and
        always under `mock_aws`, tasks call moto as moto itself would. `on_status` hears of each start and end.
        `pace` is a factor on waits and on pauses before a Retry."""
        self._invoke = invoke
        self._endpoint = endpoint
        self._on_status = on_status
        self._pace = pace
        self._seams = Seams()
        self._lock = threading.RLock()
        self._session: Any = boto3.session.Session()
        self._clients: dict[tuple[str, str], Any] = {}
        self._lost: set[str] = set()

    def install(self) -> None:
        """Take the place of the executor's parts, and turn it on."""
        replace = self._seams.replace
        asl.install(self._seams, self._pace)
        task_token.install(self._seams)
        for name in _CALLERS:
            replace(import_module(name), "boto_client_for", self._client)
        self._begin: Any = StepFunctionsParserBackend.start_execution
        self._halt: Any = Execution.stop
        replace(StepFunctionsParserBackend, "start_execution", _method(self._start))
        replace(Execution, "stop", _method(self._stop))
        replace(BaseExecutionWorkerCommunication, "terminated", _method(self._terminated))
        replace(StepFunctionResponse, "stop_execution", _stop_execution)
        replace(StepFunctionResponse, "describe_execution", _describe_execution)
        self._seams.add(StepFunctionResponse, "redrive_execution", _redrive_execution)
        default_user_config["stepfunctions"]["execute_state_machine"] = True
        # It logs each caught error of a state machine as its own.
        logging.getLogger("moto.stepfunctions").setLevel(logging.CRITICAL)

    def uninstall(self) -> None:
        """Stop what runs and give moto its own parts back."""
        for region in list(stepfunctions_parser_backends[ACCOUNT]):
            self._stop_all(region, "the lab ends")
        default_user_config["stepfunctions"]["execute_state_machine"] = False
        self._seams.undo()

    def start(self, region: str, machine_arn: str, payload: Any, name: str | None = None) -> str:
        """Start an execution as a rule's or schedule's target does; its ARN.

        ConnectionRefusedError in a lost Region, else what StartExecution raises.
        """
        execution = self._backend(region).start_execution(machine_arn, name=name, execution_input=json.dumps(payload))
        return str(execution.execution_arn)

    def stop(self, region: str, execution_arn: str, cause: str) -> None:
        """StopExecution: ABORTED at once. Nothing if it has ended."""
        execution = self._backend(region).describe_execution(execution_arn)
        execution.stop(stop_date=datetime.now(UTC), error=None, cause=cause)

    def executions(self, region: str) -> list[ExecutionRecord]:
        """All executions of a Region, oldest first."""
        return [_record(execution) for execution in self._running_and_ended(region)]

    def lose(self, region: str) -> None:
        """The Region is gone: what runs there ends ABORTED, and nothing starts."""
        with self._lock:
            self._lost.add(region)
        self._stop_all(region, "the Region is lost")

    def restore(self, region: str) -> None:
        """Executions may start there again. Those that ended with the Region stay ended."""
        with self._lock:
            self._lost.discard(region)

    def _backend(self, region: str) -> Any:
        return stepfunctions_parser_backends[ACCOUNT][region]

    def _running_and_ended(self, region: str) -> list[Any]:
        machines = list(self._backend(region).state_machines)
        found = [execution for machine in machines for execution in list(machine.executions)]
        return sorted(found, key=lambda execution: execution.start_date)

    def _stop_all(self, region: str, cause: str) -> None:
        for execution in self._running_and_ended(region):
            execution.stop(stop_date=datetime.now(UTC), error=None, cause=cause)

    def _start(
        self,
        backend: Any,
        state_machine_arn: str,
        name: str | None = None,
        execution_input: str | None = None,
        trace_header: Any = None,
    ) -> Any:
        region = backend.region_name
        with self._lock:  # two starts of one name must not both pass moto's look for the name
            if region in self._lost:
                raise ConnectionRefusedError(f"the Region {region} is lost")
            before = {id(execution) for execution in self._running_and_ended(region)}
            try:
                execution = self._begin(
                    backend,
                    state_machine_arn,
                    name=name or str(uuid.uuid4()),
                    execution_input=execution_input or "{}",
                    trace_header=trace_header,
                )
            except InvalidExecutionInput as error:
                message = f"Invalid State Machine Execution Input: '{error.message}'"
                raise task_token.refusal(InvalidExecutionInput, message) from None
        if id(execution) not in before:
            self._tell(region, execution)
        return execution

    def _stop(self, execution: Any, stop_date: Any, error: str | None, cause: str | None) -> None:
        _await_environment(execution)
        with self._lock:
            if execution.exec_status != ExecutionStatus.RUNNING:
                return
            self._halt(execution, stop_date=stop_date, error=error, cause=cause)
            execution.exec_status = ExecutionStatus.ABORTED
            execution.stop_date = datetime.now(UTC)
            execution.error, execution.cause = error or None, cause or None
        task_token.release(execution)
        self._tell(execution.region_name, execution)

    def _terminated(self, worker: Any) -> None:
        execution = worker.execution
        with self._lock:
            if execution.exec_status != ExecutionStatus.RUNNING:
                return  # it was stopped, and a stopped execution stays stopped
            worker._reflect_execution_status()
        self._tell(execution.region_name, execution)

    def _tell(self, region: str, execution: Any) -> None:
        if self._on_status is not None:
            self._on_status(region, _record(execution))

    def _client(self, region: str, service: str, state_credentials: Any = None) -> Any:
        if service == "lambda":
            return _Functions(partial(self._invoke, region))
        with self._lock:  # boto3's default session is not thread-safe, and a client takes 50 ms to make
            key = (region, service)
            if key not in self._clients:
                self._clients[key] = self._make_client(region, service)
            return self._clients[key]

    def _make_client(self, region: str, service: str) -> Any:
        options: dict[str, Any] = {"aws_access_key_id": "ak", "aws_secret_access_key": "sk"}
        if not botocore_stubber.enabled:
            if self._endpoint is None:
                raise RuntimeError(f"a task calls {service}, and no endpoint was given")
            address, key = self._endpoint(region)
            options |= {"endpoint_url": address, "aws_access_key_id": key}
        config = Config(parameter_validation=False, retries={"total_max_attempts": 1}, read_timeout=60)
        return self._session.client(service, region_name=region, config=config, **options)


class _Functions:
    """The part of a Lambda client that the executor uses."""

    def __init__(self, invoke: Callable[[str, Any], tuple[Any, str | None]]) -> None:
        self._invoke = invoke

    def invoke(self, **request: Any) -> Mapping[str, Any]:
        name, payload = function_name(request["FunctionName"]), request.get("Payload") or b"{}"
        try:
            answer, error = self._invoke(name, json.loads(payload))
        except LookupError as lookup:
            metadata = {"HTTPStatusCode": 404, "RequestId": str(uuid.uuid4())}
            details = {"Code": "ResourceNotFoundException", "Message": f"Function not found: {name}"}
            raise ClientError({"Error": details, "ResponseMetadata": metadata}, "Invoke") from lookup  # type: ignore[typeddict-item]
        response: dict[str, Any] = {"StatusCode": 200, "ExecutedVersion": "$LATEST"}
        response["Payload"] = io.BytesIO(json.dumps(answer).encode())
        return response | ({"FunctionError": error} if error else {})


def function_name(reference: str) -> str:
    """The bare name in a function's name or ARN, with or without version or alias."""
    parts = reference.split(":")
    return parts[6] if reference.startswith("arn:") else parts[0]


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as a method of a class of moto's: called with the instance first."""

    def method(instance: Any, *positional: Any, **named: Any) -> Any:
        return function(instance, *positional, **named)

    return method


def _await_environment(execution: Any) -> None:
    """An execution that has just been started has no environment yet, and moto's stop needs it."""
    waited = threading.Event()
    for _ in range(int(_START_SECONDS / 0.01)):
        if execution.exec_worker is not None and execution.exec_worker.env is not None:
            return
        waited.wait(0.01)


def _record(execution: Any) -> ExecutionRecord:
    succeeded = execution.exec_status == ExecutionStatus.SUCCEEDED
    return ExecutionRecord(
        arn=execution.exec_arn,
        machine_arn=execution.state_machine_arn,
        name=execution.name,
        status=str(execution.exec_status.value),
        started=execution.start_date,
        ended=execution.stop_date,
        output=json.dumps(execution.output) if succeeded else None,
        error=execution.error,
        cause=execution.cause,
    )


def _stop_execution(response: Any) -> Any:
    """moto drops the error and the cause."""
    execution = response.stepfunction_backend.describe_execution(response._get_param("executionArn"))
    error, cause = response._get_param("error"), response._get_param("cause")
    execution.stop(stop_date=datetime.now(UTC), error=error, cause=cause)
    return ActionResult({"stopDate": execution.stop_date})


def _describe_execution(response: Any) -> Any:
    execution = response.stepfunction_backend.describe_execution(response._get_param("executionArn"))
    described = execution.to_describe_output()
    return ActionResult({key: value for key, value in described.items() if value is not None})


def _redrive_execution(response: Any) -> Any:
    """moto cannot; refused as AWS refuses what cannot be redriven, where there is such an execution."""
    execution = response.stepfunction_backend.describe_execution(response._get_param("executionArn"))
    message = f"{execution.name} is not redrivable: the lab redrives nothing; start a new run"
    raise task_token.refusal(ExecutionNotRedrivable, message)
