"""A state machine run in this process: moto's executor, handlers that are plain functions, no waiting.

The same seams as the lab's (`lab.workflow`), so that what passes here behaves so there.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import boto3
import yaml
from jsonata.parser import Parser
from moto import mock_aws
from moto.stepfunctions.parser.asl.component.common.path import result_path
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from lab.dynamodb import AtomicItems
from lab.query import QueryError, check
from lab.seam import Seams
from lab.workflow import ACCOUNT, Workflows
from tests.statemachine.hold import Holds

REGION = "eu-central-1"
_ROLE = "arn:aws:iam::123456789012:role/state-machine"
_SUBSTITUTION = re.compile(r"\$\{([A-Za-z0-9_:.]+)\}")
_ENDED = 60.0
_NESTED = ("Branches", "ItemProcessor")
_parsed: dict[str, tuple[Any, Any]] = {}
_session: Any = boto3.session.Session()

type Handler = Callable[[dict[str, Any]], Any]


@cache
def client(region: str) -> Any:
    """One client of Step Functions per Region: to make one takes longer than some of these runs."""
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return _session.client("stepfunctions", region_name=region, **keys)


@dataclass(frozen=True)
class Outcome:
    """How an execution ended. `output` is None unless `status` is SUCCEEDED; `states` are those entered, in order."""

    status: str
    output: Any
    error: str | None
    cause: str | None
    states: list[str]
    calls: list[tuple[str, Any]]
    """Function name and payload of each invocation, in the order in which they began."""

    def called(self, name: str) -> list[Any]:
        """The payloads with which the function of that name was invoked."""
        return [payload for function, payload in self.calls if function == name]


def until(condition: Callable[[], Any], what: str, seconds: float = _ENDED) -> Any:
    """The first true value of `condition`; AssertionError when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.005)
    return found


class Machine:
    """A state machine in moto and the functions it invokes. Made by `machine`."""

    def __init__(self, arn: str, workflows: Workflows, calls: list[tuple[str, Any]], holds: Holds) -> None:
        self.arn = arn
        self.workflows = workflows
        self.calls = calls
        self.holds = holds
        self.client: Any = client(arn.split(":")[3])

    def start(self, payload: Any, name: str | None = None) -> str:
        """StartExecution; the execution's ARN."""
        named = {"name": name} if name else {}
        started = self.client.start_execution(stateMachineArn=self.arn, input=json.dumps(payload), **named)
        return str(started["executionArn"])

    def outcome(self, execution: str, seconds: float = _ENDED) -> Outcome:
        """Wait until that execution has ended; AssertionError with the state it hangs in if it does not."""
        deadline = time.monotonic() + seconds
        while not (now := self._execution(execution)).exec_status or now.exec_status == "RUNNING":
            assert time.monotonic() < deadline, f"still running: {self.states(execution)[-1:]}"
            time.sleep(0.01)
        return Outcome(
            status=str(now.exec_status.value),
            output=json.loads(json.dumps(now.output)) if now.exec_status == "SUCCEEDED" else None,
            error=now.error,
            cause=now.cause,
            states=self.states(execution),
            calls=list(self.calls),
        )

    def executions(self) -> list[str]:
        """The ARNs of its executions, oldest first."""
        found = self.workflows.executions(self.arn.split(":")[3])
        return [record.arn for record in found if record.machine_arn == self.arn]

    def events(self, execution: str) -> int:
        """How many events its history has."""
        return len(self._execution(execution).to_history_output()["events"])

    def has_ended(self, execution: str) -> bool:
        """Whether it has come to its end, whichever."""
        return self._execution(execution).exec_status not in (None, "RUNNING")

    def running(self, *regions: str) -> int:
        """How many executions are at work in these Regions."""
        machines = [
            each for region in regions for each in stepfunctions_parser_backends[ACCOUNT][region].state_machines
        ]
        found = [execution for each in machines for execution in list(each.executions)]
        return sum(execution.exec_status in (None, "RUNNING") for execution in found)

    def environment(self, execution: str) -> Any:
        """What moto's executor evaluates that one with."""
        return self._execution(execution).exec_worker.env

    @staticmethod
    def _execution(execution: str) -> Any:
        # Not by DescribeExecution: asked a hundred times a second it takes longer than the run.
        return stepfunctions_parser_backends[ACCOUNT][execution.split(":")[3]].describe_execution(execution)

    def beside(self, definition: Mapping[str, Any], name: str, region: str | None = None) -> Self:
        """Another state machine, in the same Region unless another one is named."""
        machines = self.client if region is None else client(region)
        made = machines.create_state_machine(name=name, definition=json.dumps(definition), roleArn=_ROLE)
        return type(self)(made["stateMachineArn"], self.workflows, self.calls, self.holds)

    def stop(self, execution: str, cause: str = "the orchestrator is killed") -> None:
        """StopExecution. Handlers that are at work go on."""
        self.client.stop_execution(executionArn=execution, cause=cause)

    def states(self, execution: str) -> list[str]:
        """The states that were entered, in order."""
        # Not by GetExecutionHistory either: moto takes a fifth of a run's time to write it down.
        events = self._execution(execution).to_history_output()["events"]
        return [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]


@contextmanager
def machine(
    definition: Mapping[str, Any],
    handlers: Mapping[str, Handler],
    pace: float = 0.0,
    region: str = REGION,
    name: str = "machine",
    elsewhere: Mapping[str, Mapping[str, Handler]] | None = None,
) -> Iterator[Machine]:
    """A state machine with these functions, inside `mock_aws`. `pace` is a factor on waits and retry pauses.

    `elsewhere` are the functions of other Regions.
    """
    calls: list[tuple[str, Any]] = []
    door = _Door()

    def invoke(region: str, name: str, payload: Any) -> tuple[Any, str | None]:
        with door.passed():
            calls.append((name, payload))
            handler = (elsewhere or {}).get(region, handlers)[name]
            try:
                return json.loads(json.dumps(handler(payload))), None
            except Exception as error:  # what the Lambda runtime does with whatever a handler raises
                return {"errorType": type(error).__name__, "errorMessage": str(error)}, "Unhandled"

    with mock_aws():
        workflows = Workflows(invoke, pace=pace)
        workflows._session = _session  # what it has read of the services' models stays read
        workflows.install()
        items = AtomicItems()
        items.install()
        seams, holds = Seams(), Holds()
        seams.wrap(AmazonStateLanguageParser, "parse", _parse_once)
        # A third of a run's time: the same few paths and queries are parsed again in each state.
        seams.wrap(result_path, "parse", lambda _: _parse_path)
        seams.wrap(Parser, "parse", lambda _: _parse_query)
        try:
            made = client(region).create_state_machine(name=name, definition=json.dumps(definition), roleArn=_ROLE)
            with holds.installed():
                yield Machine(made["stateMachineArn"], workflows, calls, holds)
        finally:
            seams.undo()
            workflows.uninstall()
            door.close()
            items.uninstall()


class _Door:
    """Handlers at work: none is left behind in the tables of the next test, which have the same names."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = False

    @contextmanager
    def passed(self) -> Iterator[None]:
        """One handler is at work; nobody hears the RuntimeError of one that comes after `close`."""
        with self._changed:
            if self._closed:
                raise RuntimeError("its test is over")
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Let nobody in any more, and wait for those inside; AssertionError if they do not come out in time."""
        with self._changed:
            self._closed = True
            assert self._changed.wait_for(lambda: not self._inside, _ENDED), (
                f"{self._inside} handlers are still at work"
            )


_parse_path = cache(result_path.parse)
_parse_as_given = Parser.parse


def _parse_query(_parser: Parser, text: str, engine: Any) -> Any:
    """What was parsed is not changed by who evaluates it."""
    return _parse_text(text, engine)


@cache
def _parse_text(text: str, engine: Any) -> Any:
    return _parse_as_given(Parser(), text, engine)


def _parse_once(parse: Callable[[str], tuple[Any, Any]]) -> Any:
    """moto parses a definition when it is created and at each start: half of the time of a run in this process.

    What it has parsed keeps nothing of a run, but for a Map.
    """

    def remembered(definition: str) -> tuple[Any, Any]:
        if "ItemProcessor" in definition:
            return parse(definition)
        if definition not in _parsed:
            _parsed[definition] = parse(definition)
        return _parsed[definition]

    return staticmethod(remembered)


def run(
    definition_path: Path,
    substitutions: Mapping[str, str],
    handlers: Mapping[str, Handler],
    payload: Any,
    *,
    prepare: Callable[[], None] = lambda: None,
    pace: float = 0.0,
) -> Outcome:
    """Run a definition from its file to its end. `prepare` makes tables, topics and so on inside `mock_aws`.

    A handler is found by the name, or the last part of the ARN, that the Task's FunctionName has after substitution.
    """
    with machine(load(definition_path, substitutions), handlers, pace) as running:
        prepare()
        return running.outcome(running.start(payload))


def load(path: Path, substitutions: Mapping[str, str]) -> dict[str, Any]:
    """A definition with its DefinitionSubstitutions in place, as SAM puts them; KeyError for one that is missing."""
    text = _SUBSTITUTION.sub(lambda match: str(substitutions[match.group(1)]), path.read_text())
    definition: dict[str, Any] = yaml.load(text, yaml.CSafeLoader)
    return definition


def substitution_problems(text: str, substitutions: Mapping[str, Any]) -> list[str]:
    """Each `${X}` without a substitution and each substitution that nothing uses."""
    used, given = set(_SUBSTITUTION.findall(text)), set(substitutions)
    missing = [f"${{{name}}} has no substitution" for name in sorted(used - given)]
    return missing + [f"the substitution {name} is not used" for name in sorted(given - used)]


def definition_problems(definition: Mapping[str, Any]) -> list[str]:
    """What a state machine's definition has wrong that only a run, or a person, would find.

    Targets that do not exist, states that no transition reaches (a Catch is one), tasks and machines without
    TimeoutSeconds, choices without Default, Catch and Retry that wait for States.ALL before others, JSONata that does
    not parse, is not the whole of its text, or asks for a variable that nothing around it assigns.
    """
    endless = [] if "TimeoutSeconds" in definition else ["top level: no TimeoutSeconds"]
    blocks = block_problems(definition)
    return [*endless, *blocks, *_query_problems(definition), *_variable_problems(definition, frozenset())]


def block_problems(block: Mapping[str, Any], where: str = "top level") -> Iterator[str]:
    """The part of `definition_problems` that is about states and the ways between them."""
    states = block["States"]
    for name, state in states.items():
        targets = list(_targets(state))
        yield from (f"{name}: no such state {target}" for target in sorted(set(targets) - states.keys()))
        yield from _state_problems(name, state)
        for index, inner in enumerate(_inner(state), start=1):
            yield from block_problems(inner, f"{name}, branch {index}")
    if block["StartAt"] not in states:
        yield f"{where}: StartAt names no state {block['StartAt']}"
    yield from (f"{name}: unreachable" for name in sorted(states.keys() - _reachable(block)))


def _state_problems(name: str, state: Mapping[str, Any]) -> Iterator[str]:
    if state["Type"] == "Task" and "TimeoutSeconds" not in state:
        yield f"{name}: Task without TimeoutSeconds"
    if state["Type"] == "Choice" and "Default" not in state:
        yield f"{name}: Choice without Default"
    if state["Type"] not in ("Succeed", "Fail", "Choice") and not ("Next" in state or state.get("End")):
        yield f"{name}: neither Next nor End"
    for field in ("Retry", "Catch"):
        for clause in state.get(field, [])[:-1]:
            if "States.ALL" in clause["ErrorEquals"]:
                yield f"{name}: States.ALL is not the last {field}"


def _reachable(block: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    ahead = [block["StartAt"]]
    while ahead:
        name = ahead.pop()
        if name in block["States"] and name not in found:
            found.add(name)
            ahead.extend(_targets(block["States"][name]))
    return found


def _targets(state: Mapping[str, Any]) -> Iterator[str]:
    clauses = [state, *state.get("Choices", []), *state.get("Catch", [])]
    yield from (clause["Next"] for clause in clauses if "Next" in clause)
    if "Default" in state:
        yield state["Default"]


def _inner(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*state.get("Branches", []), *([state["ItemProcessor"]] if "ItemProcessor" in state else [])]


def _query_problems(node: Any) -> Iterator[str]:
    for text in _texts(node):
        if not re.fullmatch(r"\{%.*%\}", text, re.DOTALL):
            if "{%" in text or "%}" in text:
                yield f"{text}: Step Functions evaluates nothing here, because JSONata is not the whole of it"
            continue
        try:
            check(text.removeprefix("{%").removesuffix("%}"))
        except QueryError as error:
            yield f"{text}: {error}"


def _variable_problems(block: Mapping[str, Any], around: frozenset[str]) -> Iterator[str]:
    known = around | {name for state in block["States"].values() for name in _assigned(state)}
    for name, state in block["States"].items():
        own = {key: value for key, value in state.items() if key not in _NESTED}
        for text in _texts(own):
            yield from (f"{name}: nothing assigns ${variable}" for variable in sorted(_variables(text) - known))
        for inner in _inner(state):
            yield from _variable_problems(inner, known)


def _assigned(state: Mapping[str, Any]) -> set[str]:
    clauses = [state, *state.get("Choices", []), *state.get("Catch", [])]
    return {name for clause in clauses for name in clause.get("Assign", {})}


def _variables(text: str) -> set[str]:
    """The variables that a text of JSONata asks for and does not bind itself; what is called is a function."""
    if not text.startswith("{%"):
        return set()
    bound = set(re.findall(r"\$(\w+)\s*:=", text))
    for parameters in re.findall(r"function\s*\(([^)]*)\)", text):
        bound |= set(re.findall(r"\$(\w+)", parameters))
    return set(re.findall(r"\$([A-Za-z_]\w*)\b(?!\s*\()", text)) - bound - {"states"}


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for item in node.values():
            yield from _texts(item)
    elif isinstance(node, list):
        for item in node:
            yield from _texts(item)
