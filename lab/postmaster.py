"""The processes of one PostgreSQL server: started, stopped, killed."""

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil

from lab.binaries import binaries, environment
from lab.child import spawn
from lab.datadir import status_lines

_STAMP = re.compile(r"^[0-9-]+ [0-9:.]+ \S+ \[\d+\] ")


class PostgresError(Exception):
    """A server did not do what it was told; the message is one line."""


class Postmaster:
    """The server on a data directory, which holds its configuration. Not thread-safe: its owner takes turns."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.log = data_dir.with_name(data_dir.name + ".log")
        """What the server says, beside its data directory."""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str, timeout: float = 30) -> None:
        """Run the server and wait until it takes connections. Raises PostgresError with the last line of its log."""
        with self.log.open("ab") as log:
            self._process = spawn(
                [str(binaries() / "bin" / "postgres"), "-D", str(self.data_dir), *arguments], environment(), log
            )
        deadline = time.monotonic() + timeout
        while not self._accepts(self._process.pid):
            if self._process.poll() is not None:
                raise PostgresError(f"PostgreSQL on {self.data_dir} did not start: {self.last_words()}")
            if time.monotonic() > deadline:
                self.kill()
                raise PostgresError(f"PostgreSQL on {self.data_dir} took no connection in {timeout:g} s")
            time.sleep(0.02)

    def stop(self, immediate: bool = False, timeout: float = 15) -> None:
        """Shut down, or `immediate`, without a checkpoint; killed if it has not stopped within `timeout` seconds."""
        if self._process is None or not self.is_running():
            return
        self._process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill all its processes at once."""
        if self._process is None or not self.is_running():
            return
        # Stopped first: it would otherwise fork more, or take the death of its children for a crash to repair.
        self._process.send_signal(signal.SIGSTOP)
        for pid in self.pids()[1:]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()

    def is_running(self) -> bool:
        """Whether its main process lives (it may still be starting)."""
        return self._process is not None and self._process.poll() is None

    def pids(self) -> list[int]:
        """Its processes, the main one first; empty where it does not run."""
        if self._process is None or not self.is_running():
            return []
        try:
            children = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [self._process.pid, *(child.pid for child in children)]

    def last_words(self) -> str:
        """What its log ends with, as one line."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "; ".join(_STAMP.sub("", line) for line in lines[-3:]) or "it said nothing"

    def _accepts(self, pid: int) -> bool:
        status = status_lines(self.data_dir)
        return len(status) > 7 and status[0] == str(pid) and status[7].strip() == "ready"
