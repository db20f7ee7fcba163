"""A Lambda function's execution environment: a process with only its own variables, for one invocation at a time."""

import array
import json
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lab import lambda_host
from lab.lambda_host import receive_frame, send_frame

ACCOUNT = "123456789012"
INIT_SECONDS = 10.0
_STOP_SECONDS = 3.0


def token_of(region: str, function: str) -> str:
    """The session token of a function's credentials: by it the lab knows which function makes a call."""
    return f"{region}/{function}"


class InitError(Exception):
    """The environment did not come up. `described` is what the invocation that needed it is answered with."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        super().__init__(str(described.get("errorMessage", "")))
        self.described = dict(described)


@dataclass(frozen=True, eq=False)
class Function:
    """A Lambda function as its template defines it. Memory in MiB; it is told, not enforced."""

    region: str
    name: str
    code_dir: Path
    handler: str
    environment: Mapping[str, str]
    timeout_seconds: float
    layer_dirs: Sequence[Path]
    memory: int

    @property
    def arn(self) -> str:
        """Without version or alias."""
        return f"arn:aws:lambda:{self.region}:{ACCOUNT}:function:{self.name}"

    def path(self) -> list[str]:
        """What comes before the installed packages on the handler's sys.path: its code, then its layers."""
        layers = [place for layer in self.layer_dirs for place in (layer / "python", layer)]
        return [str(place) for place in (self.code_dir, *layers)]

    def variables(self, regional: Mapping[str, str]) -> dict[str, str]:
        """The whole environment of its handler: the runtime's variables, the Region's (`regional`), its own."""
        stream = f"{time.strftime('%Y/%m/%d')}/[$LATEST]{secrets.token_hex(16)}"
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            **self.environment,
            "_HANDLER": self.handler,
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": stream,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "LAMBDA_TASK_ROOT": str(self.code_dir),
            "AWS_SESSION_TOKEN": token_of(self.region, self.name),
            **regional,
        }


class Sandbox(Protocol):
    """One environment of a function."""

    function: Function
    pid: int

    def invoke(self, request_id: str, payload: Any, seconds: float) -> tuple[Any, str | None]:
        """The handler's answer and the function error. TimeoutError after `seconds`; OSError or EOFError if it died."""
        ...

    def kill(self) -> None:
        """End it at once, whatever it does."""
        ...


class Host:
    """The process from which sandboxes are forked (`lab.lambda_host`). Safe in any thread."""

    def __init__(self, *, bare: bool = False) -> None:
        """`bare` imports nothing ahead: for children that run another program."""
        self._control, theirs = socket.socketpair()
        self._lock = threading.Lock()
        number = str(theirs.fileno())
        self._process = subprocess.Popen(
            [sys.executable, "-I", lambda_host.__file__, number, *(["bare"] if bare else [])],
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C is for the lab, which stops its children itself
        )
        theirs.close()

    @property
    def pid(self) -> int:
        """Of the host itself."""
        return self._process.pid

    def start(self, spec: Mapping[str, Any], connection: int, output: int) -> int:
        """Fork a child that gets these two descriptors; its process id. OSError or EOFError if the host is gone."""
        body = json.dumps({"start": spec}).encode()
        descriptors = array.array("i", [connection, output])
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
        with self._lock:
            self._control.sendmsg([len(body).to_bytes(4, "big")], ancillary)
            self._control.sendall(body)
            return int(receive_frame(self._control)["pid"])

    def kill(self, pid: int) -> None:
        """Kill a child and all that it started. Nothing if it is gone."""
        with self._lock:
            try:
                send_frame(self._control, {"kill": pid})
            except OSError:
                return  # the host is gone, and its children with it

    def close(self) -> None:
        """End the host and all its children; returns when they are gone."""
        with self._lock:
            self._control.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class ProcessSandbox:
    """A fork of the host that has imported the handler."""

    def __init__(
        self, host: Host, function: Function, regional: Mapping[str, str], on_line: Callable[[str], None]
    ) -> None:
        """Start it and wait until the handler is imported. Raises InitError."""
        self.function = function
        self._host = host
        self._connection, theirs = socket.socketpair()
        spec = {
            "environment": function.variables(regional),
            "directory": str(function.code_dir),
            "path": function.path(),
            "handler": function.handler,
        }
        with theirs:
            self.pid = start(host, spec, theirs.fileno(), on_line, f"output of {function.name}")
        self._connection.settimeout(INIT_SECONDS)
        try:
            first = receive_frame(self._connection)
        except (TimeoutError, EOFError, OSError) as error:
            self.kill()
            slow = isinstance(error, TimeoutError)
            kind, how = ("Sandbox.Timedout", "timed out") if slow else ("Runtime.ExitError", "exited")
            raise InitError({"errorType": kind, "errorMessage": f"the runtime {how} during init"}) from error
        if "error" in first:
            self.kill()
            raise InitError(first["error"])

    def invoke(self, request_id: str, payload: Any, seconds: float) -> tuple[Any, str | None]:
        """See Sandbox."""
        self._connection.settimeout(seconds)
        request = {"id": request_id, "payload": payload, "arn": self.function.arn, "deadline": time.time() + seconds}
        send_frame(self._connection, request)
        answer = receive_frame(self._connection)
        return (answer["error"], "Unhandled") if "error" in answer else (answer["result"], None)

    def kill(self) -> None:
        """See Sandbox."""
        self._host.kill(self.pid)
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)  # wakes who waits for an answer, which close would not


def start(host: Host, spec: Mapping[str, Any], connection: int, on_line: Callable[[str], None], name: str) -> int:
    """Start a child of the host and read its output, line by line, until it ends; its process id."""
    ours, theirs = socket.socketpair()
    with theirs:
        pid = host.start(spec, connection, theirs.fileno())
    threading.Thread(target=_read, args=(ours, on_line), name=name, daemon=True).start()
    return pid


def _read(output: socket.socket, on_line: Callable[[str], None]) -> None:
    with output, output.makefile("r", encoding="utf-8", errors="replace") as lines:
        try:
            for line in lines:
                on_line(line.rstrip("\n"))
        except OSError:
            return
