"""Server processes that do not outlive the lab, and that do not run as root."""

import os
import pwd
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import cache
from typing import IO

# The launcher gives up root, asks the kernel to be killed when the lab dies, and becomes the server. It is run by
# this very interpreter because a server's own user may not be allowed to reach the folder that the interpreter
# lies in. The parent is looked at after prctl: it may have died before the kernel was told to watch it.
_LAUNCHER = """
import ctypes, os, sys
parent, uid, gid = (int(word) for word in sys.argv[1:4])
os.umask(0o077)
if uid >= 0:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
if os.getppid() != parent:
    sys.exit(1)
os.execv(sys.argv[4], sys.argv[4:])
"""

_requests: "queue.SimpleQueue[tuple[list[str], Mapping[str, str], IO[bytes], Future[subprocess.Popen[bytes]]]]" = (
    queue.SimpleQueue()
)


def unprivileged_user() -> tuple[int, int] | None:
    """User and group id that servers run as where the lab is root (PostgreSQL refuses root); None elsewhere."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return 65534, 65534
    return entry.pw_uid, entry.pw_gid


def spawn(argv: Sequence[str], environment: Mapping[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a server that the kernel kills (SIGKILL) when this process ends in whatever way.

    `argv[0]` is an absolute path. Where the lab is root the server is the unprivileged user. Elsewhere than on
    Linux nothing kills it but its owner here. Raises OSError if it cannot be started.
    """
    started: Future[subprocess.Popen[bytes]] = Future()
    _start_spawner()
    _requests.put((list(argv), environment, log, started))
    return started.result()


@cache
def _start_spawner() -> None:
    # Linux sends the signal when the *thread* that forked ends, so one thread, which never ends, forks them all.
    threading.Thread(target=_spawner, name="spawner", daemon=True).start()


def _spawner() -> None:
    while True:
        argv, environment, log, started = _requests.get()
        uid, gid = unprivileged_user() or (-1, -1)
        command = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(uid), str(gid), *argv]
        try:
            process = subprocess.Popen(
                command,
                env=dict(environment),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the lab, which stops its servers itself
            )
        except OSError as error:
            started.set_exception(error)
        else:
            started.set_result(process)
