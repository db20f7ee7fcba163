"""What runs on one EC2 instance: the application, as a process with the environment that the user data writes."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

ENVIRONMENT_FILE = "/etc/relight/app.env"
STOP_SECONDS = 3.0
"""How long a process may take to end after SIGTERM before it is killed."""

_HEREDOC = re.compile(
    rf"^cat\s*>\s*{re.escape(ENVIRONMENT_FILE)}\s*<<-?\s*(['\"]?)(\w+)\1\s*\n(?P<body>.*?)^\s*\2\s*$",
    re.MULTILINE | re.DOTALL,
)
# As for PostgreSQL's servers: the kernel ends the process when the lab ends in whatever way. It keeps the lab's user,
# because the application lies where only that one may be allowed to read.
_LAUNCHER = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""
# What a process needs of this machine. Nothing of the lab's own AWS settings may leak into an instance.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")


def environment_of(user_data: str) -> dict[str, str]:
    """The KEY=VALUE lines that this user data writes to /etc/relight/app.env.

    ValueError if it writes no such file, or a line in it is not KEY=VALUE: the instance would start nothing.
    """
    found = _HEREDOC.search(user_data)
    if found is None:
        raise ValueError(f"the launch template's user data does not write {ENVIRONMENT_FILE} with cat and a heredoc")
    lines = [line.strip() for line in found["body"].splitlines()]
    pairs: dict[str, str] = {}
    for line in lines:
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise ValueError(f"{ENVIRONMENT_FILE} in the launch template's user data: {line!r} is not KEY=VALUE")
        pairs[name.strip()] = value.strip().strip("'\"")
    return pairs


class Instance:
    """The application's process on one instance, in a process group of its own.

    In the lab the process is the machine: what kills it takes the instance with it.
    """

    def __init__(self, instance_id: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.instance_id = instance_id
        self.log = folder / f"{instance_id}.log"
        self._command = list(command)
        self._environment = {name: os.environ[name] for name in _INHERITED if name in os.environ} | dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping_since: float | None = None

    @property
    def pid(self) -> int | None:
        """The process id, also after its end; None before the first start."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Is there a process that has not ended?"""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the process ended, if it did so without stop() or kill(); negative is the signal that ended it."""
        if self._process is None or self._stopping_since is not None:
            return None
        return self._process.poll()

    def start(self, cwd: Path) -> None:
        """Start the application there, its output to the log.

        To be called from a thread that lives as long as the process shall: Linux counts the end of the thread that
        started it as the end of its parent.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *self._command],
                env=self._environment,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self) -> bool:
        """Ask the process to end, kill it when it takes too long; True when it has ended. To be called again."""
        if self._process is None or self._process.poll() is not None:
            return True
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
            _signal_group(self._process.pid, signal.SIGTERM)
        elif time.monotonic() - self._stopping_since > STOP_SECONDS:
            self.kill()
        return not self.running

    def crash(self) -> None:
        """End it as a machine that loses power does, unasked: `exit_code` tells. Nothing where it does not run."""
        if self._process is not None and self._process.poll() is None:
            _signal_group(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def kill(self) -> None:
        """SIGKILL the process and its children, as power loss does, and wait for the end."""
        if self._process is None:
            return
        self._stopping_since = self._stopping_since or time.monotonic()
        _signal_group(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _signal_group(leader: int, number: signal.Signals) -> None:
    """The process leads its session, so that its workers hear the signal as well."""
    with suppress(ProcessLookupError):
        os.killpg(leader, number)
