"""Every API call of the functions and the state machines, written down as boto3 is asked for it.

A function's client belongs to who made it, so it does not matter in which thread it is used. The executor has one of
each service for all state machines of a Region: it is used in the thread of the task, which knows whose it is.
"""

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import StateTaskService
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)

from lab import workflow
from lab.permission import ACCOUNT, Call
from lab.seam import Seams
from lab.workflow import Workflows

# State machines, by what they are called here: the function of the drill has the name that its machine has.
MACHINES: Mapping[str, str] = {"failover": "failover", "failback": "failback", "drill machine": "drill"}
_TASKS = (StateTaskService, StateTaskServiceCallback)
_PREFIX = "relight-shop-"
_CALLED = {name: called for called, name in MACHINES.items()}
# The key of the backups that are replicated: of the Region that they go to, whichever that is.
BACKUP_KEY = "data"
# What moto does not answer, or not in another Region.
NOT_ON_MOTO: Mapping[tuple[str, str], Any] = {
    ("s3control", "CreateJob"): {"JobId": "0f0e0d0c-0000-4000-8000-000000000000"},
    ("s3control", "DescribeJob"): {"Job": {"Status": "Complete"}},
    ("rds", "DescribeDBInstanceAutomatedBackups"): {
        "DBInstanceAutomatedBackups": [{"BackupRetentionPeriod": 14, "KmsKeyId": BACKUP_KEY}]
    },
    ("rds", "StartDBInstanceAutomatedBackupsReplication"): {"DBInstanceAutomatedBackup": {}},
    ("cloudwatch", "DescribeAlarmHistory"): {"AlarmHistoryItems": []},
}
type Answer = Callable[[str, str, Any], Any]
"""(Region, function, payload) -> what the function answers."""
type StandIn = Callable[[str, Mapping[str, Any]], Any]
"""(Region, parameters) -> what AWS answers; or it raises what boto3 would."""


@dataclass(frozen=True)
class Caller:
    """Who calls: a function or a state machine, by the last part of its name; and the role of its Region."""

    side: str
    name: str


@dataclass(frozen=True)
class Recorded:
    """One call. Seconds and attempts (the first one too) are what its client is bounded by; None for the machine's."""

    scenario: str
    caller: Caller
    call: Call
    host: str
    connect: float | None
    read: float | None
    attempts: int | None


class Recorder:
    """Writes down what callers call while it is installed. `scenario` is noted with each call.

    `answer` is what stands behind a function's own call of Lambda; `stand_ins`, by service and operation, answer
    in the place of moto.
    """

    answer: Answer
    stand_ins: Mapping[tuple[str, str], StandIn]

    def __init__(self, sides: Mapping[str, str], black_holes: Mapping[str, int]) -> None:
        """`sides` are the roles by Region; `black_holes` are ports of this machine in the place of a Region's
        endpoints."""
        self.scenario = ""
        self.stand_ins = {}
        self.calls: list[Recorded] = []
        self._black_holes = black_holes
        self._sides = sides
        self._caller: ContextVar[Caller | None] = ContextVar("caller", default=None)
        self._machine: ContextVar[str] = ContextVar("machine", default="")
        self._seams = Seams()

    def install(self) -> None:
        self._seams.wrap(boto3.session.Session, "client", self._made_by_caller)
        self._seams.wrap(Workflows, "_make_client", self._made_by_machine)
        self._seams.wrap(workflow._Functions, "invoke", self._invoked_by_machine)
        for task in _TASKS:
            self._seams.wrap(task, "_eval_execution", self._in_its_machine)

    def uninstall(self) -> None:
        self._seams.undo()

    @contextmanager
    def acting(self, caller: Caller) -> Iterator[None]:
        """Clients that are made meanwhile are that caller's."""
        token = self._caller.set(caller)
        try:
            yield
        finally:
            self._caller.reset(token)

    def _made_by_caller(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def client(session: Any, *positional: Any, **named: Any) -> Any:
            caller = self._caller.get()
            region = str(named.get("region_name"))
            if caller is not None and region in self._black_holes:
                named["endpoint_url"] = f"http://127.0.0.1:{self._black_holes[region]}"
            made = original(session, *positional, **named)
            if caller is not None:
                self._watch(made, caller)
            return made

        return client

    def _in_its_machine(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def evaluate(task: Any, env: Any, *positional: Any, **named: Any) -> Any:
            name = env.states.context_object.context_object_data["StateMachine"]["Name"]
            token = self._machine.set(_CALLED[name.removeprefix(_PREFIX)])
            try:
                return original(task, env, *positional, **named)
            finally:
                self._machine.reset(token)

        return evaluate

    def _made_by_machine(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def make(workflows: Workflows, region: str, service: str) -> Any:
            with self.acting(Caller(self._sides[region], "")):
                return original(workflows, region, service)

        return make

    def _invoked_by_machine(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def invoke(functions: Any, **request: Any) -> Any:
            region = request["FunctionName"].split(":")[3]
            call = Call("lambda", "Invoke", {"FunctionName": request["FunctionName"]}, region)
            host = f"lambda.{region}.amazonaws.com"
            self._note(
                Recorded(self.scenario, Caller(self._sides[region], self._machine.get()), call, host, None, None, None)
            )
            return original(functions, **request)

        return invoke

    def _watch(self, client: Any, caller: Caller) -> None:
        config = client.meta.config
        bounds = (
            (None, None, None)
            if not caller.name
            else (config.connect_timeout, config.read_timeout, (config.retries or {}).get("total_max_attempts"))
        )
        host = str(urlsplit(client.meta.endpoint_url).hostname)

        def note(operation: str, parameters: dict[str, Any]) -> None:
            service, region = client.meta.service_model.service_name, client.meta.region_name
            call = Call(service, operation, _kept(parameters), region)
            who = caller if caller.name else Caller(caller.side, self._machine.get())
            self._note(Recorded(self.scenario, who, call, host, *bounds))

        def called(params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
            context["asked"] = params
            note(model.name, params)

        client.meta.events.register_first("before-parameter-build", called)
        client.meta.events.register("before-call", self._stand_in)
        if client.meta.service_model.service_name == "lambda":
            answer = partial(self._answer_invoke, client.meta.region_name)
            client.meta.events.register("before-call.lambda.Invoke", answer)
        if client.meta.service_model.service_name == "rds":
            sign = client.generate_db_auth_token

            def token(host: str, port: int, user: str, region: str | None = None) -> str:
                note("GenerateDBAuthToken", {"DBHostname": host, "Port": port, "DBUsername": user})
                return str(sign(host, port, user, region))

            client.generate_db_auth_token = token

    def _answer_invoke(
        self, region: str, params: dict[str, Any], **_: Any
    ) -> tuple[AWSResponse, dict[str, Any]] | None:
        if region in self._black_holes:
            return None  # it is really called, there
        function = params["url_path"].rpartition("/functions/")[2].partition("/")[0]
        body = json.dumps(self.answer(region, function, json.loads(params["body"]))).encode()
        return AWSResponse("", 200, HTTPHeaders(), None), {"StatusCode": 200, "Payload": _Payload(body)}

    def _stand_in(self, model: Any, context: Mapping[str, Any], **_: Any) -> tuple[AWSResponse, Any] | None:
        called, where = (model.service_model.service_name, model.name), context["client_region"]
        if called in self.stand_ins:
            said = self.stand_ins[called](where, context["asked"])
        elif called in NOT_ON_MOTO:
            said = _in_place_of_moto(called, where)
        else:
            return None
        return AWSResponse("", 200, HTTPHeaders(), None), said

    def _note(self, recorded: Recorded) -> None:
        if "drill-step" in str(recorded.call.parameters.get("FunctionName")):
            return  # what a state machine calls that only waits is nobody's here
        self.calls.append(recorded)  # one operation, so threads need no lock


def _kept(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """All that a policy can be about; a body may be an open file."""
    return copy.deepcopy({name: value for name, value in parameters.items() if name != "Body"})


def _in_place_of_moto(called: tuple[str, str], where: str) -> Any:
    said = copy.deepcopy(NOT_ON_MOTO[called])
    for backup in said.get("DBInstanceAutomatedBackups", []):
        backup["KmsKeyId"] = f"arn:aws:kms:{where}:{ACCOUNT}:key/{BACKUP_KEY}"
    return said


class _Payload:
    """The part of a streaming body that is used."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def read(self) -> bytes:
        return self._body
