"""Lambda in the lab: the product's own handlers, each invocation in a process that has only that function's variables.

An environment is started when an invocation finds none idle, kept warm for a while, and killed at the function's
timeout. What is not imitated: memory limits, throttling, provisioned concurrency, retries of asynchronous
invocations.
"""

import json
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from moto.awslambda.exceptions import LambdaClientError, UnknownFunctionException
from moto.awslambda.models import LambdaBackend

from lab.options import LambdaMode
from lab.rie import RieSandbox, runtime_emulator
from lab.sam_local import SamLocal
from lab.sam_local import require as require_sam_local
from lab.sandbox import ACCOUNT, Function, Host, InitError, ProcessSandbox, Sandbox
from lab.seam import Seams
from lab.workflow import function_name as bare_name

_LOG = logging.getLogger(__name__)
_IDLE_SECONDS = 90.0
_KEPT_LINES = 1000

type Key = tuple[str, str]


class FunctionNotFoundError(LookupError):
    """There is no function of that name in that Region."""


class _Elsewhere(LambdaClientError):  # type: ignore[misc]  # moto is untyped
    """The ARN is one of another Region than that which is called."""

    code = 404

    def __init__(self, named: str, called: str) -> None:
        message = f"Functions from '{named}' are not reachable in this region ('{called}')"
        super().__init__("ResourceNotFoundException", message)


class _Lost(LambdaClientError):  # type: ignore[misc]  # moto is untyped
    """What ran there does not run any more."""

    code = 500

    def __init__(self, message: str) -> None:
        super().__init__("ServiceException", message)


@dataclass(frozen=True)
class Callbacks:
    """Who hears of what handlers do. They are called in the invoking thread, `metric` in the one that reads output."""

    start: Callable[[str, str, Any], None] = lambda *_: None
    """(Region, function, payload) before the handler gets the event."""
    end: Callable[[str, str, Any, Any, str | None], None] = lambda *_: None
    """(Region, function, payload, answer, function error)"""
    metric: Callable[[str, Mapping[str, Any]], None] = lambda *_: None
    """(Region, document in CloudWatch's embedded metric format)"""


class Lambdas:
    """The functions of all Regions. Safe in any thread; `stop` leaves no process."""

    def __init__(
        self,
        environment_of: Callable[[str], Mapping[str, str]],
        mode: LambdaMode | str = LambdaMode.PROCESS,
        *,
        callbacks: Callbacks = Callbacks(),
        idle_seconds: float = _IDLE_SECONDS,
    ) -> None:
        """`environment_of` gives what a Region's handlers need to reach its APIs: credentials and AWS_ENDPOINT_URL.

        Raises RuntimeEmulatorMissing in mode `rie` when that is not installed, EngineMissing or NotBuilt in mode `sam`
        when there is no engine or no image, or the functions cannot be built: it never falls back.
        """
        self.mode = LambdaMode(mode)
        self.callbacks = callbacks
        self._environment_of = environment_of
        self._idle_seconds = idle_seconds
        self._emulator = runtime_emulator() if self.mode is LambdaMode.RIE else None
        if self.mode is LambdaMode.SAM:
            require_sam_local()
        self._seams = Seams()
        self._lock = threading.Lock()
        self._functions: dict[Key, Function] = {}
        self._lines: dict[Key, deque[str]] = {}
        self._idle: dict[Key, list[tuple[float, Sandbox]]] = {}
        self._alive: set[Sandbox] = set()
        self._started: list[int] = []
        self._lost: set[str] = set()
        self._stopped = False
        self._host = Host(bare=self.mode is not LambdaMode.PROCESS)
        self._sam: SamLocal | None = None
        if self.mode is LambdaMode.SAM:
            try:
                self._sam = SamLocal(self._host, environment_of, self._heard_of_sam)
            except BaseException:
                self._host.close()
                raise

    def install(self) -> None:
        """Take the place of moto's Invoke API; `stop` gives it back."""
        self._seams.replace(LambdaBackend, "invoke", self._api())

    def define_function(
        self,
        region: str,
        name: str,
        code_dir: Path,
        handler: str,
        environment: Mapping[str, str],
        timeout_seconds: float,
        layer_dirs: Sequence[Path],
        memory: int,
    ) -> None:
        """Know the function from now on; a second call replaces the first, and what is idle of that. Memory in MiB."""
        function = Function(
            region, name, code_dir.resolve(), handler, dict(environment), timeout_seconds, list(layer_dirs), memory
        )
        with self._lock:
            self._functions[region, name] = function
            self._lines.setdefault((region, name), deque(maxlen=_KEPT_LINES))
            outdated = [sandbox for _, sandbox in self._idle.pop((region, name), [])]
        self._kill(outdated)
        if self._sam is not None:
            self._sam.define(function)

    def warm_up(self) -> None:
        """Have everything there that would take long with the first invocation; with containers, that is half a minute.

        To be called when nothing is deployed any more.
        """
        if self._sam is not None:
            self._sam.warm_up()

    def invoke(
        self, region: str, name: str, payload: Any, invocation_type: str = "RequestResponse"
    ) -> tuple[Any, str | None]:
        """The handler's answer and the function error (`Unhandled` or None), as Invoke gives them.

        `Event` returns at once with (None, None). Raises FunctionNotFoundError, and ConnectionRefusedError when the
        Region is lost, or is lost meanwhile.
        """
        function = self._function(region, name)
        if invocation_type == "DryRun":
            return None, None
        if invocation_type == "Event":
            threading.Thread(
                target=self._run_event, args=(function, payload), name=f"event {name}", daemon=True
            ).start()
            return None, None
        return self._run(function, payload)

    def logs(self, region: str, name: str) -> list[str]:
        """The last lines that the function wrote, oldest first."""
        with self._lock:
            return list(self._lines.get((region, name), ()))

    def pids(self) -> list[int]:
        """The processes that there are now, that from which handlers are forked first. Not the emulator's children."""
        with self._lock:
            return [] if self._stopped else [self._host.pid, *sorted(sandbox.pid for sandbox in self._alive)]

    def facts(self) -> dict[str, Any]:
        """What ran the handlers: the mode, and the process ids of all environments there have been."""
        with self._lock:
            started = list(self._started)
        emulator = {"binary": self._emulator.name} if self._emulator else {}
        return {"mode": str(self.mode), **emulator, "pids": started}

    def lose(self, region: str) -> None:
        """The Region is gone: its handlers are killed, and invocations there are refused."""
        with self._lock:
            self._lost.add(region)
            dead = [sandbox for sandbox in self._alive if sandbox.function.region == region]
            for key in [key for key in self._idle if key[0] == region]:
                del self._idle[key]
        self._kill(dead)
        if self._sam is not None:
            self._sam.lose(region)

    def restore(self, region: str) -> None:
        """Handlers run there again."""
        with self._lock:
            self._lost.discard(region)

    def stop(self) -> None:
        """End every process and give moto its own API back. Idempotent."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            self._idle.clear()
            self._alive.clear()
        self._seams.undo()
        if self._sam is not None:
            self._sam.stop()
        self._host.close()

    def _function(self, region: str, name: str) -> Function:
        with self._lock:
            self._refuse_if_lost(region)
            function = self._functions.get((region, name))
        if function is None:
            raise FunctionNotFoundError(f"Function not found: arn:aws:lambda:{region}:{ACCOUNT}:function:{name}")
        return function

    def _refuse_if_lost(self, region: str) -> None:
        if region in self._lost or self._stopped:
            raise ConnectionRefusedError(f"the Region {region} is lost" if not self._stopped else "the lab ends")

    def _run_event(self, function: Function, payload: Any) -> None:
        with suppress(ConnectionRefusedError):  # nobody waits for the answer of a Region that is lost
            self._run(function, payload)

    def _run(self, function: Function, payload: Any) -> tuple[Any, str | None]:
        self.callbacks.start(function.region, function.name, payload)
        answer, error = self._attempt(function, payload)
        self.callbacks.end(function.region, function.name, payload, answer, error)
        self._reap()
        return answer, error

    def _attempt(self, function: Function, payload: Any) -> tuple[Any, str | None]:
        request = str(uuid.uuid4())
        seconds = function.timeout_seconds
        try:
            sandbox = self._take(function)
        except InitError as error:
            with self._lock:
                self._refuse_if_lost(function.region)
            return error.described, "Unhandled"
        except (OSError, EOFError) as error:  # the host is gone
            raise ConnectionRefusedError("the lab ends") from error
        try:
            answer = sandbox.invoke(request, payload, seconds)
        except TimeoutError:
            self._kill([sandbox])
            message = f"RequestId: {request} Error: Task timed out after {seconds:.2f} seconds"
            return {"errorType": "Sandbox.Timedout", "errorMessage": message}, "Unhandled"
        except (OSError, EOFError):
            self._kill([sandbox])
            with self._lock:
                self._refuse_if_lost(function.region)
            message = f"RequestId: {request} Error: Runtime exited without providing a reason"
            return {"errorType": "Runtime.ExitError", "errorMessage": message}, "Unhandled"
        self._give_back(sandbox)
        return answer

    def _take(self, function: Function) -> Sandbox:
        key = (function.region, function.name)
        with self._lock:
            self._refuse_if_lost(function.region)
            idle = self._idle.get(key)
            if idle:
                return idle.pop()[1]
        sandbox = self._start(function, partial(self._heard, key))
        with self._lock:
            self._started.append(sandbox.pid)
            late = self._stopped or function.region in self._lost
            if not late:
                self._alive.add(sandbox)
        if late:
            sandbox.kill()
            raise ConnectionRefusedError(f"the Region {function.region} is lost")
        return sandbox

    def _start(self, function: Function, on_line: Callable[[str], None]) -> Sandbox:
        if self._sam is not None:
            return self._sam.sandbox(function)
        regional = self._environment_of(function.region)
        if self._emulator is not None:
            return RieSandbox(self._host, self._emulator, function, regional, on_line)
        return ProcessSandbox(self._host, function, regional, on_line)

    def _give_back(self, sandbox: Sandbox) -> None:
        key = (sandbox.function.region, sandbox.function.name)
        with self._lock:
            current = sandbox in self._alive and self._functions.get(key) is sandbox.function
            if current:
                self._idle.setdefault(key, []).append((time.monotonic(), sandbox))
        if not current:
            self._kill([sandbox])

    def _reap(self) -> None:
        """End what has been idle for long. The lab's schedules invoke often enough to do this in passing."""
        before = time.monotonic() - self._idle_seconds
        with self._lock:
            dead = [sandbox for idle in self._idle.values() for since, sandbox in idle if since < before]
            for idle in self._idle.values():
                idle[:] = [entry for entry in idle if entry[0] >= before]
        self._kill(dead)

    def _kill(self, sandboxes: Sequence[Sandbox]) -> None:
        with self._lock:
            self._alive.difference_update(sandboxes)
        for sandbox in sandboxes:
            sandbox.kill()

    def _heard(self, key: Key, line: str) -> None:
        with self._lock:
            self._lines[key].append(line)
        if line.startswith("{") and '"_aws"' in line:
            try:
                self.callbacks.metric(key[0], json.loads(line))
            except Exception:  # a line that only looks like metrics must not end the reading of those that follow
                _LOG.warning("no metrics in what %s wrote: %s", key[1], line, exc_info=True)

    def _heard_of_sam(self, region: str, line: str) -> None:
        """SAM gives the lines of all functions of a Region in one stream; the handlers' own say whose they are."""
        try:
            said = json.loads(line) if line.startswith("{") else {}
        except ValueError:
            said = {}
        named = str(said.get("function_name", "")) if isinstance(said, dict) else ""
        with self._lock:
            named = next(
                (name for of, name in self._lines if of == region and name.endswith(f"-{named.lower()}")), named
            )
            self._lines.setdefault((region, named), deque(maxlen=_KEPT_LINES))
        self._heard((region, named), line)

    def _api(self) -> Callable[..., Any]:
        def invoke(
            backend: Any, function_name: str, qualifier: Any, body: Any, headers: Any, response_headers: Any
        ) -> Any:
            del qualifier  # there are no versions here, and an alias means the newest
            kind = headers.get("X-Amz-Invocation-Type") or "RequestResponse"
            name, region = bare_name(function_name), backend.region_name
            if function_name.startswith("arn:") and function_name.split(":")[3] != region:
                raise _Elsewhere(function_name.split(":")[3], region)
            try:
                answer, error = self.invoke(region, name, json.loads(body or b"{}"), kind)
            except FunctionNotFoundError as missing:
                raise UnknownFunctionException(function_name) from missing
            except ConnectionRefusedError as lost:  # the front lets no answer out of a lost Region
                raise _Lost(str(lost)) from lost
            if error:
                response_headers["x-amz-function-error"] = error
            return json.dumps(answer).encode() if kind == "RequestResponse" else b""

        return invoke
