"""`sam local start-lambda` as the lab's Lambda: the built functions, each warm in a container of its own.

One process and one network of the engine for each Region. SAM reads the variables of all functions once, when it
starts; so a Region whose functions have changed gets another process with the next invocation. A call that finds a
container busy waits for it: SAM has one for each function.
"""

import http.client
import json
import os
import shutil
import socket
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import psutil

from lab import engine
from lab.engine import Bridge
from lab.environment_file import command
from lab.gateway import Gateway
from lab.port import free_port
from lab.sam_functions import ROOT, Packaged, build, functions, sam, sam_environment
from lab.sandbox import Function, Host, InitError, start, token_of

_LOOPBACK = "127.0.0.1"
_START_SECONDS = 120.0
"""Until SAM listens, and until a container that is needed for the first time has answered: images are made first."""
_SETTLED_SECONDS = 2.0
"""For so long no function may have changed before SAM is started: a deployment changes many, one after the other."""
_REMEMBERED = 200
_LOGIN = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def require() -> None:
    """EngineMissing or NotBuilt, with what to do, where this machine cannot run `sam local`."""
    sam()
    engine.require_engine()
    engine.require_image()


class SamLocal:
    """The functions of all Regions. Safe in any thread; `stop` leaves neither process nor container."""

    def __init__(
        self, host: Host, environment_of: Callable[[str], Mapping[str, str]], on_line: Callable[[str, str], None]
    ) -> None:
        """`environment_of` gives what a Region's handlers need to reach its APIs; `on_line` gets (Region, line).

        Builds the functions first, which may take a minute. Raises what `require` does, and NotBuilt.
        """
        require()
        self._host = host
        self._environment_of = environment_of
        self._on_line = on_line
        self._exits = ExitStack()
        self._lock = threading.Lock()
        self._regions: dict[str, _Region] = {}
        self._template = build()
        self._known = functions()

    def define(self, function: Function) -> None:
        """Run it so from now on."""
        self._region(function.region).define(function)

    def sandbox(self, function: Function) -> "SamSandbox":
        """An environment of that function. Raises InitError where SAM does not start."""
        self._packaged(function)
        return SamSandbox(function, self._region(function.region))

    def warm_up(self) -> None:
        """Have SAM started in each Region, and a container for each function that is known there."""
        for region in list(self._regions.values()):
            region.warm_up()

    def lose(self, region: str) -> None:
        """Kill what runs there; the next invocation starts it again."""
        self._region(region).end()

    def stop(self) -> None:
        """End every process, container and network. Idempotent."""
        for region in list(self._regions.values()):
            region.end()
        self._exits.close()  # the networks wait for their containers to be gone

    def _packaged(self, function: Function) -> Packaged:
        name = function.name.rpartition("-")[2]
        if name not in self._known:
            raise InitError({"errorType": "Sandbox.Failure", "errorMessage": f"no template has {function.name}"})
        return self._known[name]

    def _spawn(
        self, region: str, words: Sequence[str], env_json: Path, bridge: Bridge, login: Mapping[str, str]
    ) -> int:
        """Start SAM with these words, for that Region; its process id."""
        spec = {
            # A folder of its own: SAM locks images there, and the lock of one that was killed would be waited for.
            "environment": sam_environment(os.environ) | dict(login) | {"TMPDIR": str(env_json.parent)},
            "directory": str(ROOT),
            "command": command(self._template, env_json, region, bridge, words),
        }
        ours, theirs = socket.socketpair()
        with ours, theirs:  # only a fork of the host itself talks through it
            said = Said(partial(self._on_line, region))
            return start(self._host, spec, theirs.fileno(), said.hear, f"sam {region}")

    def _region(self, name: str) -> "_Region":
        with self._lock:
            if name not in self._regions:
                bridge = self._exits.enter_context(engine.bridge())
                gateway = self._exits.enter_context(Gateway(bridge))
                folder = Path(tempfile.mkdtemp(prefix="relight-sam-"))
                self._exits.callback(shutil.rmtree, folder, ignore_errors=True)
                regional = self._environment_of(name)
                self._regions[name] = _Region(
                    name,
                    self._packaged,
                    (bridge, gateway),
                    regional,
                    folder,
                    partial(self._spawn, name),
                    self._host.kill,
                )
            return self._regions[name]


class _Region:
    """One process of SAM, and the containers that it has started."""

    def __init__(
        self,
        name: str,
        packaged: Callable[[Function], Packaged],
        way: tuple[Bridge, Gateway],
        regional: Mapping[str, str],
        folder: Path,
        spawn: Callable[[Sequence[str], Path, Bridge, Mapping[str, str]], int],
        kill: Callable[[int], None],
    ) -> None:
        self.name = name
        self.pid = 0
        """Of SAM, 0 while it does not run."""
        self._packaged = packaged
        self._bridge, self._gateway = way
        self._regional = regional
        self._folder = folder
        self._spawn = spawn
        self._kill = kill
        self._lock = threading.Lock()
        self._functions: dict[str, Function] = {}
        self._changed_at = self._started_at = time.monotonic()
        self._port = 0
        self._ending: threading.Thread | None = None

    def define(self, function: Function) -> None:
        """Run it so from now on."""
        before = self._functions.get(function.name)
        if before is None or before.environment != function.environment:
            self._changed_at = time.monotonic()
        self._functions[function.name] = function

    def call(self, function: Function, body: bytes, seconds: float) -> tuple[bytes, bool]:
        """The answer, and whether the function raised. OSError or EOFError where SAM gives none."""
        self.ensure()
        connection = http.client.HTTPConnection(_LOOPBACK, self._port, timeout=seconds)
        try:
            path = f"/2015-03-31/functions/{self._packaged(function).logical_id}/invocations"
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        except http.client.HTTPException as error:
            raise EOFError(str(error)) from error
        finally:
            connection.close()
        if response.status != HTTPStatus.OK:
            raise EOFError(answer.decode(errors="replace"))
        return answer, response.getheader("x-amz-function-error") is not None

    def ensure(self) -> None:
        """SAM listens, with the variables that the functions have now. InitError where it does not."""
        with self._lock:
            while (left := self._changed_at + _SETTLED_SECONDS - time.monotonic()) > 0:
                time.sleep(left)
            if not self.pid or self._started_at < self._changed_at:
                self.end()
                self._await_end()
                self._begin()

    def warm_up(self) -> None:
        """Any event brings up a function's container and its handler; what has no schedule refuses an empty one."""
        for function in list(self._functions.values()):
            with suppress(OSError, EOFError, InitError):
                self.call(function, b"{}", _START_SECONDS)

    def end(self) -> None:
        """Kill SAM, so that nothing is answered any more. Its containers go in the background: that takes seconds."""
        pid, self.pid = self.pid, 0
        if pid:
            self._kill(pid)
            self._ending = threading.Thread(target=engine.clear, args=(self._bridge.name,), name=f"end of {self.name}")
            self._ending.start()

    def _await_end(self) -> None:
        if self._ending is not None:
            self._ending.join()

    def _begin(self) -> None:
        self._started_at = time.monotonic()
        env_json = Path(tempfile.mkdtemp(dir=self._folder)) / "env.json"  # a new folder each time, see _spawn
        env_json.write_text(json.dumps(self._variables()))
        self._port = free_port([_LOOPBACK])
        serving = ["start-lambda", "--host", _LOOPBACK, "--port", str(self._port)]
        lasting = ["--warm-containers", "LAZY", "--no-watch"]
        login = {name: self._regional[name] for name in _LOGIN}
        self.pid = self._spawn([*serving, *lasting], env_json, self._bridge, login)
        self._await_listening(self.pid)

    def _variables(self) -> dict[str, dict[str, str]]:
        """env.json: by logical id, what each function's handler finds in its environment."""
        url = self._regional["AWS_ENDPOINT_URL"]
        return {
            self._packaged(function).logical_id: self._gateway.rewritten(
                {**function.environment, "AWS_ENDPOINT_URL": url}
            )
            | {"AWS_SESSION_TOKEN": token_of(function.region, function.name)}
            for function in list(self._functions.values())
        }

    def _await_listening(self, pid: int) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection((_LOOPBACK, self._port), 1).close()
            except OSError as error:
                if self.pid != pid or time.monotonic() > deadline or not psutil.pid_exists(pid):
                    self.end()
                    message = "sam local start-lambda does not listen"
                    raise InitError({"errorType": "Sandbox.Failure", "errorMessage": message}) from error
                time.sleep(0.1)
            else:
                return


class SamSandbox:
    """The container of a function, as far as the lab sees it: SAM starts it with the first invocation."""

    def __init__(self, function: Function, region: _Region) -> None:
        """Wait until SAM listens. Raises InitError."""
        self.function = function
        self._region = region
        region.ensure()
        self.pid = region.pid

    def invoke(self, request_id: str, payload: Any, seconds: float) -> tuple[Any, str | None]:
        """See Sandbox. The emulator in the container makes request ids of its own, and keeps the function's timeout."""
        del request_id
        answer, failed = self._region.call(self.function, json.dumps(payload).encode(), seconds + _START_SECONDS)
        return read_answer(answer, failed=failed)

    def kill(self) -> None:
        """See Sandbox. The container stays: it is SAM's, and serves the next call."""


class Said:
    """What the handlers of a Region say, out of SAM's one stream: lines run together, and some come twice."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        """`on_line` gets each document once, and each other line."""
        self._on_line = on_line
        self._recent: deque[str] = deque(maxlen=_REMEMBERED)

    def hear(self, line: str) -> None:
        """One line of the stream."""
        if not line.startswith("{"):
            self._on_line(line)
            return
        for said in documents(line):
            if said not in self._recent:
                self._recent.append(said)
                self._on_line(said)


def documents(line: str) -> Iterator[str]:
    """The JSON documents that stand in a line one after the other; what follows the last one goes with none. Pure."""
    decoder, place = json.JSONDecoder(), 0
    while place < len(line):
        try:
            _, end = decoder.raw_decode(line, place)
        except ValueError:
            return
        yield line[place:end]
        place = end + len(line[end:]) - len(line[end:].lstrip())


def read_answer(body: bytes, *, failed: bool) -> tuple[Any, str | None]:
    """The handler's answer and the function error, as Invoke gives them. TimeoutError or EOFError as of any Sandbox."""
    try:
        answer = json.loads(body)
    except ValueError:
        text = body.decode(errors="replace")
        if "timed out" in text:
            raise TimeoutError(text) from None
        raise EOFError(text) from None
    raised = isinstance(answer, dict) and {"errorMessage", "errorType"} <= answer.keys()
    if raised and answer["errorType"] == "Runtime.ExitError":
        raise EOFError(answer["errorMessage"])
    return answer, "Unhandled" if failed or raised else None
