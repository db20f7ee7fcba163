"""The process from which each handler process is forked. A script that `lab.sandbox` runs; it imports nothing of ours.

One thread, a clean environment, and what every handler imports already imported: a fork shares that memory and
starts in a few milliseconds. It serves a control socket (see `serve`) and ends with it, taking its children along.
"""

import ctypes
import gc
import importlib
import io
import json
import logging
import os
import select
import signal
import site
import socket
import struct
import sys
import sysconfig
import time
import traceback
from contextlib import suppress
from decimal import Decimal
from typing import Any

PRELOADED = ("boto3", "botocore.client", "botocore.httpsession", "aws_lambda_powertools", "dns.resolver", "pg8000")
_POWERTOOLS = ("aws_lambda_powertools.metrics", "aws_lambda_powertools.logging")
_LENGTH = struct.Struct(">I")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LAST_SECONDS = 2


# Frames: a length in four bytes, then JSON. Both ends use these two functions.


def send_frame(to: socket.socket, message: Any) -> None:
    """Send one JSON document. OSError if the other end is gone."""
    body = json.dumps(message, default=_number).encode()
    to.sendall(_LENGTH.pack(len(body)) + body)


def receive_frame(source: socket.socket) -> Any:
    """The next JSON document; EOFError if the other end is gone, TimeoutError if the socket has a timeout."""
    (length,) = _LENGTH.unpack(_exactly(source, _LENGTH.size))
    return json.loads(_exactly(source, length))


def _exactly(source: socket.socket, count: int) -> bytes:
    parts = []
    while count:
        part = source.recv(min(count, 1 << 20))
        if not part:
            raise EOFError("the other end is gone")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _number(value: Any) -> Any:
    """What the Lambda runtime makes of what JSON lacks: numbers of Decimal, a TypeError of the rest."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


# The control side.


def serve(control: socket.socket) -> None:
    """Fork and kill as told, until the lab is gone.

    `{"start": {...}}` comes with two descriptors, the handler's socket and where its output goes, and is answered
    with `{"pid": n}`. `{"kill": pid}` kills a child and all it started.
    """
    children: set[int] = set()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    if sys.platform == "linux":  # the emulator's child becomes the host's, and is waited for here
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        while True:
            watched: list[Any] = [control, woken]
            ready = select.select(watched, [], [])[0]
            if woken in ready:
                os.read(woken, 512)
                _reap(children)
            if control in ready:
                message, descriptors = _receive_with_descriptors(control)
                if "kill" in message:
                    _kill(children, message["kill"])
                else:
                    pid = _fork(message["start"], descriptors, (control.fileno(), woken, wake))
                    children.add(pid)
                    send_frame(control, {"pid": pid})
    except (EOFError, ConnectionError):
        pass
    finally:
        for pid in list(children):
            _kill(children, pid)
        signal.alarm(_LAST_SECONDS)
        with suppress(ChildProcessError):
            while True:  # leave no zombie to an init that may not look after it
                os.waitpid(-1, 0)


def _receive_with_descriptors(control: socket.socket) -> tuple[Any, list[int]]:
    head, descriptors, _, _ = socket.recv_fds(control, _LENGTH.size, 2)
    if not head:
        raise EOFError("the lab is gone")
    (length,) = _LENGTH.unpack(head + _exactly(control, _LENGTH.size - len(head)))
    return json.loads(_exactly(control, length)), descriptors


def _reap(children: set[int]) -> None:
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        children.discard(pid)


def _kill(children: set[int], pid: int) -> None:
    """Nothing for a child that has been reaped: its number may belong to someone else."""
    if pid in children:
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            os.kill(pid, signal.SIGKILL)  # it has not got as far as a group of its own


def _fork(start: dict[str, Any], descriptors: list[int], inherited: tuple[int, ...]) -> int:
    connection, output = descriptors
    host = os.getpid()
    pid = os.fork()
    if pid:
        os.close(connection)
        os.close(output)
        return pid
    try:
        _become(host, start, connection, output, inherited)
    except BaseException:  # a child must never get back into the loop above
        traceback.print_exc()
    finally:
        os._exit(1)


def _become(host: int, start: dict[str, Any], connection: int, output: int, inherited: tuple[int, ...]) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setpgid(0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != host:  # it died before the kernel was told to watch it
        return
    for descriptor in inherited:
        os.close(descriptor)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.environ.clear()
    os.environ.update(start["environment"])
    os.chdir(start["directory"])
    if "command" in start:
        os.close(connection)
        os.execv(start["command"][0], start["command"])  # noqa: S606 - no shell is wanted
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", 0), write_through=True)
    sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", 0), write_through=True)
    time.tzset()
    sys.path[:0] = start["path"]
    _handle(socket.socket(fileno=connection), start)
    os._exit(0)


# The handler's side.


class Context:
    """The second argument of a handler."""

    function_version = "$LATEST"
    client_context = None
    identity = None
    tenant_id = None

    def __init__(self, request: dict[str, Any]) -> None:
        self.aws_request_id: str = request["id"]
        self.invoked_function_arn: str = request["arn"]
        self._deadline: float = request["deadline"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]

    def get_remaining_time_in_millis(self) -> int:
        """Until the function's timeout."""
        return max(0, int((self._deadline - time.time()) * 1000))


def _handle(connection: socket.socket, start: dict[str, Any]) -> None:
    """Import the handler, say so, then answer invocations one by one until the lab hangs up."""
    _set_up_logging()
    try:
        handler = _load(start["handler"])
    except BaseException as error:  # a handler's module may raise anything, SystemExit included
        send_frame(connection, {"error": _described(error, "Runtime.ImportModuleError")})
        return
    send_frame(connection, {"ready": True})
    while True:
        try:
            request = receive_frame(connection)
        except EOFError:
            return
        send_frame(connection, _answer(handler, request))


def _load(name: str) -> Any:
    module, _, function = name.rpartition(".")
    return getattr(importlib.import_module(module.replace("/", ".")), function)


def _answer(handler: Any, request: dict[str, Any]) -> dict[str, Any]:
    try:
        result = handler(request["payload"], Context(request))
    except Exception as error:  # as the Lambda runtime does with whatever a handler raises
        return {"error": _described(error)}
    try:
        return {"result": json.loads(json.dumps(result, default=_number))}
    except (TypeError, ValueError) as error:
        message = f"Unable to marshal response: {error}"
        return {"error": {"errorType": "Runtime.MarshalError", "errorMessage": message, "stackTrace": []}}


def _described(error: BaseException, kind: str | None = None) -> dict[str, Any]:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    missing = kind is not None and isinstance(error, ImportError)
    message = f"Unable to import module: {error}" if missing else str(error)
    return {
        "errorMessage": message,
        "errorType": kind if kind and missing else type(error).__name__,
        "stackTrace": traceback.format_list(frames),
    }


def _set_up_logging() -> None:
    """The root logger as the runtime has it, so that a library's warnings are seen."""
    stream = logging.StreamHandler(sys.stdout)
    stream.setFormatter(logging.Formatter("[%(levelname)s]\t%(asctime)s\t%(name)s\t%(message)s"))
    logging.getLogger().addHandler(stream)


def main() -> None:
    """`lambda_host.py FD [bare]`: serve the socket FD. `bare` imports nothing ahead."""
    control = socket.socket(fileno=int(sys.argv[1]))
    # Editable installs put Relight's own folders on the path; a function has what its package and layers bring.
    standard = sysconfig.get_path("stdlib")
    packages = site.getsitepackages()
    sys.path[:] = [part for part in sys.path if part in packages or part.startswith(standard) or part.endswith(".zip")]
    if len(sys.argv) == 2:
        for name in (*PRELOADED, *_POWERTOOLS):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # so that collections in the children do not copy what they share
    serve(control)
    os._exit(0)  # nothing here is worth taking down in order


if __name__ == "__main__":
    main()
