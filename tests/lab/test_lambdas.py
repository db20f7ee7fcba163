"""Lambda functions in the lab: real processes, each with only its own environment."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from lab.cloud import Cloud
from lab.errors import RuntimeEmulatorMissing
from lab.lambdas import Callbacks, FunctionNotFoundError, Lambdas
from lab.network import Network
from lab.network import Path as NetworkPath
from lab.region import Side, Vantage, side_of
from lab.rie import runtime_emulator

REGION = "eu-central-1"
OTHER = "eu-west-1"
REGIONAL = {
    "AWS_ACCESS_KEY_ID": "DRLAMBDA000000000000",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_ENDPOINT_URL": "http://x",
}

HANDLERS = """
import json, os, sys, time
from decimal import Decimal
import layered

seen = 0

def echo(event, context):
    return event

def environment(event, context):
    return {"environment": dict(os.environ), "path": sys.path, "cwd": os.getcwd()}

def context(event, context):
    left = context.get_remaining_time_in_millis()
    return {
        "id": len(context.aws_request_id), "name": context.function_name, "arn": context.invoked_function_arn,
        "left": 0 < left <= 5000, "memory": int(context.memory_limit_in_mb), "group": context.log_group_name,
    }

def count(event, context):
    global seen
    seen += 1
    return {"seen": seen, "pid": os.getpid()}

def slow(event, context):
    time.sleep(event.get("seconds", 30))
    return os.getpid()

class ReplicaTooFarBehind(Exception):
    pass

def refuse(event, context):
    raise ReplicaTooFarBehind("5 s is too much")

def leave(event, context):
    os._exit(3)

def odd(event, context):
    return {"number": Decimal("1.5"), "when": object()} if event else {"whole": Decimal(3)}

def speak(event, context):
    print("a line")
    print('{"_aws": {"CloudWatchMetrics": []}, "Lag": 3}')
    print('{"_aws": broken')
    print("to stderr", file=sys.stderr)

def layer(event, context):
    return layered.NAME

def ask(event, context):
    import boto3, botocore.config, botocore.exceptions
    config = botocore.config.Config(
        connect_timeout=2, read_timeout=event.get("patience", 20), retries={"total_max_attempts": 1}
    )
    peer = boto3.client("lambda", region_name=event["region"], config=config)
    try:
        answer = peer.invoke(FunctionName=event["function"], Payload=json.dumps(event.get("payload", {})))
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        return {"failed": type(error).__name__, "said": str(error)}
    return {"answer": json.loads(answer["Payload"].read()), "error": answer.get("FunctionError")}

def isolated(event, context):
    found = []
    for name in ("lab", "tests", "relight_cli"):
        try:
            __import__(name)
            found.append(name)
        except ImportError:
            pass
    import boto3
    return found
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    for name, text in {"code/handler.py": HANDLERS, "layer/layered.py": "NAME = 'from the layer'"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path / "code"


@pytest.fixture(scope="module")
def kept() -> Iterator[Lambdas]:
    lambdas = Lambdas(lambda _region: REGIONAL)
    yield lambdas
    lambdas.stop()


@pytest.fixture
def lambdas(kept: Lambdas) -> Lambdas:
    kept.callbacks = Callbacks()
    kept.restore(REGION)
    return kept


def define(
    lambdas: Lambdas, code: Path, function: str, *, region: str = REGION, timeout: float = 5
) -> Callable[..., Any]:
    """A function whose name is its handler's; what invokes it."""
    layers = [code.parent / "layer"]
    lambdas.define_function(region, function, code, f"handler.{function}", {"OWN": "yes"}, timeout, layers, 256)
    return lambda payload=MappingProxyType({}), kind="RequestResponse": lambdas.invoke(
        region, function, dict(payload), kind
    )


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def refused(invoke: Callable[..., Any]) -> None:
    with pytest.raises(ConnectionRefusedError):
        invoke()


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


def test_a_handler_gets_the_event_and_its_answer_comes_back(lambdas: Lambdas, code: Path) -> None:
    event = {"text": "ä \U0001f525", "list": [1, 2.5, None], "big": "x" * 200_000}
    assert define(lambdas, code, "echo")(event) == (event, None)


def test_a_handler_has_only_its_own_environment(lambdas: Lambdas, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAKED", "from the lab")
    answer, _ = define(lambdas, code, "environment")()
    environment = answer["environment"]
    assert "LEAKED" not in environment
    assert "VIRTUAL_ENV" not in environment
    assert environment["OWN"] == "yes"
    assert environment["AWS_REGION"] == REGION
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "environment"
    assert environment["AWS_ACCESS_KEY_ID"] == REGIONAL["AWS_ACCESS_KEY_ID"]
    assert answer["cwd"] == str(code)
    assert answer["path"][0] == str(code)


def test_a_handler_cannot_import_what_its_package_and_layers_do_not_bring(lambdas: Lambdas, code: Path) -> None:
    assert define(lambdas, code, "isolated")() == ([], None)


def test_a_layer_is_on_the_path(lambdas: Lambdas, code: Path) -> None:
    assert define(lambdas, code, "layer")() == ("from the layer", None)


def test_the_context_is_that_of_the_function(lambdas: Lambdas, code: Path) -> None:
    answer, _ = define(lambdas, code, "context")()
    assert answer == {
        "id": 36,
        "name": "context",
        "arn": "arn:aws:lambda:eu-central-1:123456789012:function:context",
        "left": True,
        "memory": 256,
        "group": "/aws/lambda/context",
    }


def test_an_environment_is_kept_warm(lambdas: Lambdas, code: Path) -> None:
    count = define(lambdas, code, "count")
    assert [count()[0]["seen"] for _ in range(3)] == [1, 2, 3]


def test_a_new_definition_starts_anew(lambdas: Lambdas, code: Path) -> None:
    old, _ = define(lambdas, code, "count")()
    new, _ = define(lambdas, code, "count")()
    assert new["seen"] == 1
    until(lambda: gone(old["pid"]))


def test_invocations_at_once_run_side_by_side(lambdas: Lambdas, code: Path) -> None:
    slow = define(lambdas, code, "slow")
    pids: list[int] = []
    threads = [threading.Thread(target=lambda: pids.append(slow({"seconds": 0.5})[0])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(pids)) == 4


def test_an_uncaught_exception_is_a_function_error(lambdas: Lambdas, code: Path) -> None:
    answer, error = define(lambdas, code, "refuse")()
    assert error == "Unhandled"
    assert (answer["errorType"], answer["errorMessage"]) == ("ReplicaTooFarBehind", "5 s is too much")
    assert "in refuse" in answer["stackTrace"][-1]


@pytest.mark.parametrize(("event", "expected"), [({}, {"whole": 3}), ({"odd": True}, "Runtime.MarshalError")])
def test_what_json_lacks(lambdas: Lambdas, code: Path, event: Any, expected: Any) -> None:
    answer, _ = define(lambdas, code, "odd")(event)
    assert answer == expected or answer["errorType"] == expected


def test_a_handler_is_killed_at_its_timeout_and_the_next_one_is_new(lambdas: Lambdas, code: Path) -> None:
    slow = define(lambdas, code, "slow", timeout=0.5)
    before = set(lambdas.pids())
    answer, error = slow()
    assert (answer["errorType"], error) == ("Sandbox.Timedout", "Unhandled")
    assert "Task timed out after 0.50 seconds" in answer["errorMessage"]
    until(lambda: set(lambdas.pids()) <= before)
    assert slow({"seconds": 0})[1] is None


def test_a_handler_that_ends_its_process_is_an_exit_error(lambdas: Lambdas, code: Path) -> None:
    answer, error = define(lambdas, code, "leave")()
    assert (answer["errorType"], error) == ("Runtime.ExitError", "Unhandled")


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("import none_such", "Runtime.ImportModuleError"),
        ("raise KeyError('TABLE')", "KeyError"),
        ("1 +", "SyntaxError"),
    ],
)
def test_a_module_that_does_not_import_is_a_function_error(
    lambdas: Lambdas, tmp_path: Path, source: str, kind: str
) -> None:
    (tmp_path / "broken.py").write_text(source)
    lambdas.define_function(REGION, "broken", tmp_path, "broken.handler", {}, 5, [], 128)
    for _ in range(2):
        answer, error = lambdas.invoke(REGION, "broken", {})
        assert (answer["errorType"], error) == (kind, "Unhandled")


def test_an_unknown_function_is_refused(lambdas: Lambdas) -> None:
    with pytest.raises(FunctionNotFoundError):
        lambdas.invoke(REGION, "none", {})


def test_output_is_kept_and_metrics_are_told(lambdas: Lambdas, code: Path) -> None:
    told: list[Any] = []

    def hear(region: str, document: Any) -> None:
        told.append((region, document))
        raise KeyError("Namespace")

    lambdas.callbacks = Callbacks(metric=hear)
    define(lambdas, code, "speak")()
    until(lambda: "to stderr" in lambdas.logs(REGION, "speak"))
    assert lambdas.logs(REGION, "speak")[0] == "a line"
    assert [(region, document["Lag"]) for region, document in told] == [(REGION, 3)]


def test_start_and_end_are_told(lambdas: Lambdas, code: Path) -> None:
    told: list[Any] = []
    lambdas.callbacks = Callbacks(start=lambda *what: told.append(what), end=lambda *what: told.append(what))
    define(lambdas, code, "echo")({"a": 1})
    assert told == [(REGION, "echo", {"a": 1}), (REGION, "echo", {"a": 1}, {"a": 1}, None)]


def test_an_event_invocation_returns_at_once_and_runs(lambdas: Lambdas, code: Path) -> None:
    ended = threading.Event()
    lambdas.callbacks = Callbacks(end=lambda *_: ended.set())
    assert define(lambdas, code, "echo")({}, "Event") == (None, None)
    assert ended.wait(10)


def test_a_lost_region_has_its_handlers_killed_and_refuses(lambdas: Lambdas, code: Path) -> None:
    elsewhere = define(lambdas, code, "count", region=OTHER)
    pid = elsewhere()[0]["pid"]
    idle = define(lambdas, code, "count")()[0]["pid"]
    slow = define(lambdas, code, "slow")
    failed: list[BaseException] = []

    def invoke() -> None:
        try:
            slow()
        except ConnectionRefusedError as error:
            failed.append(error)

    started = threading.Event()
    lambdas.callbacks = Callbacks(start=lambda *_: started.set())
    thread = threading.Thread(target=invoke)
    thread.start()
    assert started.wait(5)
    lambdas.lose(REGION)
    thread.join(10)
    assert len(failed) == 1
    with pytest.raises(ConnectionRefusedError):
        slow()
    until(lambda: gone(idle))
    assert elsewhere()[0] == {"seen": 2, "pid": pid}


def test_what_is_idle_for_long_is_ended(code: Path) -> None:
    lambdas = Lambdas(lambda _region: REGIONAL, idle_seconds=0.1)
    try:
        pid = define(lambdas, code, "count")()[0]["pid"]
        echo = define(lambdas, code, "echo")

        def ended() -> bool:
            echo()
            return gone(pid)

        until(ended)
    finally:
        lambdas.stop()


def test_nothing_is_left_after_stop_or_when_the_lab_dies(code: Path) -> None:
    lambdas = Lambdas(lambda _region: REGIONAL)
    slow = define(lambdas, code, "slow")
    threading.Thread(target=refused, args=(slow,), daemon=True).start()
    until(lambda: len(lambdas.pids()) == 2)
    pids = lambdas.pids()
    lambdas.stop()
    lambdas.stop()
    until(lambda: all(gone(pid) for pid in pids))
    assert lambdas.pids() == []
    with pytest.raises(ConnectionRefusedError):
        slow()

    lambdas = Lambdas(lambda _region: REGIONAL)
    child = define(lambdas, code, "count")()[0]["pid"]
    os.kill(lambdas.pids()[0], signal.SIGKILL)  # as if the kernel had closed the lab's end, only harder
    until(lambda: gone(child))
    lambdas.stop()


# The real runtime


@pytest.fixture(scope="module")
def emulated() -> Iterator[Lambdas]:
    try:
        runtime_emulator()
    except RuntimeEmulatorMissing as missing:
        pytest.skip(str(missing))
    lambdas = Lambdas(lambda _region: REGIONAL, "rie")
    yield lambdas
    pids = lambdas.facts()["pids"]
    lambdas.stop()
    until(lambda: all(gone(pid) for pid in pids))


@pytest.mark.linux
def test_the_real_runtime_runs_a_handler(emulated: Lambdas, code: Path) -> None:
    count = define(emulated, code, "count")
    (first, _), (second, _) = count(), count()
    assert (first["seen"], second["seen"]) == (1, 2)
    facts = emulated.facts()
    assert facts["mode"] == "rie"
    assert facts["binary"].startswith("samcli/local/rapid/aws-lambda-rie-")
    emulator = psutil.Process(facts["pids"][0])
    assert "aws-lambda-rie" in emulator.name()
    assert first["pid"] in {child.pid for child in emulator.children(recursive=True)}


@pytest.mark.linux
def test_the_real_runtime_tells_errors_and_ends_at_the_timeout(emulated: Lambdas, code: Path) -> None:
    answer, error = define(emulated, code, "refuse")()
    assert (answer["errorType"], answer["errorMessage"], error) == (
        "ReplicaTooFarBehind",
        "5 s is too much",
        "Unhandled",
    )
    answer, error = define(emulated, code, "slow", timeout=1)()
    assert (answer["errorType"], error) == ("Sandbox.Timedout", "Unhandled")


@pytest.mark.linux
def test_the_real_runtime_has_only_the_functions_environment_and_packages(
    emulated: Lambdas, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAKED", "from the lab")
    answer, _ = define(emulated, code, "environment")()
    assert "LEAKED" not in answer["environment"]
    assert answer["environment"]["AWS_ENDPOINT_URL"] == "http://x"
    assert define(emulated, code, "isolated")() == ([], None)
    assert define(emulated, code, "layer")() == ("from the layer", None)
    told: list[Any] = []
    emulated.callbacks = Callbacks(metric=lambda _region, document: told.append(document["Lag"]))
    define(emulated, code, "speak")()
    until(lambda: told == [3])


def test_a_missing_emulator_is_an_error_and_no_fallback(tmp_path: Path) -> None:
    with pytest.raises(RuntimeEmulatorMissing, match="make"):
        runtime_emulator(tmp_path)


# moto's Invoke API


def test_the_invoke_api_reaches_the_function(lambdas: Lambdas, code: Path) -> None:
    define(lambdas, code, "echo")
    define(lambdas, code, "refuse")
    lambdas.install()
    try:
        with mock_aws():
            client: Any = boto3.client("lambda", region_name=REGION)
            answer = client.invoke(FunctionName="echo", Payload=json.dumps({"a": "b"}))
            assert json.loads(answer["Payload"].read()) == {"a": "b"}
            refused = client.invoke(FunctionName=f"arn:aws:lambda:{REGION}:123456789012:function:refuse")
            assert refused["FunctionError"] == "Unhandled"
            assert client.invoke(FunctionName="echo", InvocationType="Event")["StatusCode"] == 202
            with pytest.raises(ClientError, match="ResourceNotFoundException"):
                client.invoke(FunctionName="none")
    finally:
        lambdas._seams.undo()


@pytest.mark.parametrize(("region", "reached"), [(REGION, True), (OTHER, False)])
def test_an_arn_is_of_the_region_that_is_called(lambdas: Lambdas, code: Path, region: str, reached: bool) -> None:
    define(lambdas, code, "echo")
    lambdas.install()
    try:
        with mock_aws():
            client: Any = boto3.client("lambda", region_name=REGION)
            arn = f"arn:aws:lambda:{region}:123456789012:function:echo"
            if reached:
                assert client.invoke(FunctionName=arn)["StatusCode"] == 200
            else:
                with pytest.raises(ClientError, match=f"Functions from '{OTHER}' are not reachable"):
                    client.invoke(FunctionName=arn)
    finally:
        lambdas._seams.undo()


# From one Region to the other


class Regions:
    """Functions in both Regions, which reach each other through the Regions' APIs."""

    def __init__(self) -> None:
        self.network = Network()
        self.cloud = Cloud(self.network)
        self.lambdas = Lambdas(lambda region: self.cloud.environment(Vantage.of(side_of(region)), region))
        self.lambdas.install()
        self.began = threading.Event()
        self.ran: list[tuple[str, str]] = []

    def note(self, region: str, name: str, _payload: Any) -> None:
        self.ran.append((region, name))
        if name != "ask":
            self.began.set()

    def open(self) -> None:
        """As if nothing had happened."""
        for side in Side:
            self.network.restore(side)
        self.lambdas.restore(OTHER)
        self.began.clear()
        self.ran.clear()
        self.lambdas.callbacks = Callbacks(start=self.note)

    def ask(self, function: str, **more: Any) -> dict[str, Any]:
        """What a function in DR gets when it invokes one in the primary."""
        answer, error = self.lambdas.invoke(REGION, "ask", {"region": OTHER, "function": function, **more})
        assert error is None, answer
        return dict(answer)


@pytest.fixture(scope="module")
def both() -> Iterator[Regions]:
    made = Regions()
    yield made
    made.lambdas.stop()
    made.cloud.stop()


@pytest.fixture
def regions(both: Regions, code: Path) -> Regions:
    define(both.lambdas, code, "ask", timeout=30)
    for name in ("echo", "refuse", "slow"):
        define(both.lambdas, code, name, region=OTHER, timeout=30)
    both.open()
    return both


def test_a_function_of_one_region_invokes_one_of_the_other(regions: Regions) -> None:
    assert regions.ask("echo", payload={"check": "state"}) == {"answer": {"check": "state"}, "error": None}
    assert regions.ran == [(REGION, "ask"), (OTHER, "echo")]


def test_errors_of_the_peers_function_and_of_its_absence_are_told(regions: Regions) -> None:
    refused = regions.ask("refuse")
    assert (refused["answer"]["errorType"], refused["error"]) == ("ReplicaTooFarBehind", "Unhandled")
    assert regions.ask("ask")["failed"] == "ResourceNotFoundException"  # it is there in DR only


def test_a_cut_between_the_regions_refuses_the_call(regions: Regions) -> None:
    regions.network.cut_between(NetworkPath.REFUSED)
    assert regions.ask("echo")["failed"] == "ConnectionClosedError"
    assert regions.ran == [(REGION, "ask")]
    regions.network.restore(Side.PRIMARY)
    assert "answer" in regions.ask("echo")


def test_a_black_hole_between_the_regions_swallows_the_call(regions: Regions) -> None:
    regions.network.cut_between(NetworkPath.BLACK_HOLED)
    assert regions.ask("echo", patience=0.3)["failed"] == "ReadTimeoutError"
    assert regions.ran == [(REGION, "ask")]


@pytest.mark.parametrize(
    ("how", "failed"), [(NetworkPath.REFUSED, "ConnectionClosedError"), (NetworkPath.BLACK_HOLED, "ReadTimeoutError")]
)
def test_a_lost_peer_is_not_invoked(regions: Regions, how: NetworkPath, failed: str) -> None:
    regions.network.lose(Side.PRIMARY, how)
    regions.lambdas.lose(OTHER)
    assert regions.ask("echo", patience=0.3)["failed"] == failed
    assert regions.ran == [(REGION, "ask")]


def test_no_answer_comes_from_a_peer_that_is_lost_meanwhile(regions: Regions) -> None:
    answers: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: answers.append(regions.ask("slow")))
    asking.start()
    assert regions.began.wait(10)
    regions.network.lose(Side.PRIMARY, NetworkPath.REFUSED)
    regions.lambdas.lose(OTHER)
    asking.join(20)
    assert [answer["failed"] for answer in answers] == ["ConnectionClosedError"]
