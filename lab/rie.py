"""The real runtime interface emulator around a handler: the program that `sam local` runs in its containers."""

import http.client
import json
import math
import os
import platform
import socket
import sysconfig
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import RuntimeEmulatorMissing
from lab.sandbox import INIT_SECONDS, Function, Host, InitError, start

_ROOT = Path(__file__).resolve().parent.parent
_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
_INVOCATIONS = "/2015-03-31/functions/function/invocations"
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Emulator:
    """The programs that run a handler: the emulator, and a Python that has awslambdaric."""

    binary: Path
    python: Path

    @property
    def name(self) -> str:
        """The emulator's path inside the tool environment of the SAM CLI."""
        return f"samcli/local/rapid/{self.binary.name}"


def runtime_emulator(tools: Path = _ROOT / ".tools") -> Emulator:
    """The emulator for this machine, as the make targets install it in `tools`. Raises RuntimeEmulatorMissing."""
    machine = _MACHINES.get(platform.machine().lower())
    if platform.system() != "Linux" or machine is None:
        raise RuntimeEmulatorMissing(
            f"there is no runtime emulator for {platform.system()} on {platform.machine()}",
            where="--lambda rie",
            do="use Linux on x86-64 or arm64, or leave --lambda out",
        )
    found = sorted(tools.glob(f"sam/lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"))
    if not found or not os.access(found[-1], os.X_OK):
        raise RuntimeEmulatorMissing(
            "the SAM CLI's runtime emulator is not installed",
            where=str(tools / "sam"),
            do="run make rehearse ARGS='--lambda rie'",
        )
    python = tools / "lambda-runtime" / "bin" / "python"
    if not python.exists() or not list(python.parent.parent.glob("lib/python3*/site-packages/awslambdaric")):
        raise RuntimeEmulatorMissing(
            "awslambdaric is not installed",
            where=str(tools / "lambda-runtime"),
            do="run make rehearse ARGS='--lambda rie'",
        )
    return Emulator(found[-1], python)


class RieSandbox:
    """An emulator and, as its child, the runtime with the handler. They are started together and die together."""

    def __init__(
        self,
        host: Host,
        emulator: Emulator,
        function: Function,
        regional: Mapping[str, str],
        on_line: Callable[[str], None],
    ) -> None:
        """Start it and wait until it listens; the handler is imported with the first invocation. Raises InitError."""
        self.function = function
        self._host = host
        self._port, api_port = _free_ports()
        packages = sysconfig.get_path("purelib")  # what a layer of the runtime would bring: boto3, Powertools
        spec = {
            "environment": function.variables(regional)
            | {
                "PYTHONPATH": os.pathsep.join([*function.path(), packages]),
                "AWS_LAMBDA_FUNCTION_TIMEOUT": str(math.ceil(function.timeout_seconds)),
            },
            "directory": str(function.code_dir),
            "command": [
                str(emulator.binary),
                "--runtime-interface-emulator-address",
                f"{_LOOPBACK}:{self._port}",
                "--runtime-api-address",
                f"{_LOOPBACK}:{api_port}",
                str(emulator.python),
                "-m",
                "awslambdaric",
                function.handler,
            ],
        }
        ours, theirs = socket.socketpair()
        with ours, theirs:  # only a fork of the host itself talks through it
            self.pid = start(host, spec, theirs.fileno(), on_line, f"output of {function.name}")
        self._await_listening()

    def invoke(self, request_id: str, payload: Any, seconds: float) -> tuple[Any, str | None]:
        """See Sandbox. The emulator makes request ids of its own."""
        del request_id
        connection = http.client.HTTPConnection(_LOOPBACK, self._port, timeout=seconds + INIT_SECONDS)
        try:
            connection.request("POST", _INVOCATIONS, json.dumps(payload), {"Content-Type": "application/json"})
            response = connection.getresponse()
            body = response.read()
        except http.client.HTTPException as error:
            raise EOFError(str(error)) from error
        finally:
            connection.close()
        return _answer(body)

    def kill(self) -> None:
        """See Sandbox."""
        self._host.kill(self.pid)

    def _await_listening(self) -> None:
        deadline = time.monotonic() + INIT_SECONDS
        while True:
            try:
                socket.create_connection((_LOOPBACK, self._port), 1).close()
            except OSError as error:
                if time.monotonic() > deadline:
                    self.kill()
                    message = "the runtime emulator does not listen"
                    raise InitError({"errorType": "Sandbox.Failure", "errorMessage": message}) from error
                time.sleep(0.02)
            else:
                return


def _answer(body: bytes) -> tuple[Any, str | None]:
    """The emulator answers 200 whatever happened: an error is told by its shape, a timeout by its text."""
    try:
        answer = json.loads(body)
    except ValueError:
        text = body.decode(errors="replace")
        if "Task timed out" in text:
            raise TimeoutError(text) from None
        raise EOFError(text) from None
    failed = isinstance(answer, dict) and {"errorMessage", "errorType"} <= answer.keys()
    if failed and answer["errorType"] == "Runtime.ExitError":
        raise EOFError(answer["errorMessage"])
    return answer, "Unhandled" if failed else None


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind((_LOOPBACK, 0))
        other.bind((_LOOPBACK, 0))
        return int(one.getsockname()[1]), int(other.getsockname()[1])
