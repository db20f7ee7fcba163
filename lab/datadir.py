"""A PostgreSQL data directory: who owns it, what is configured in it, what a dead server left in it."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lab.binaries import folder, reachable
from lab.child import unprivileged_user
from lab.errors import PostgresUnavailable

SUPERUSER = "postgres"
CHECK_ROLE = "relight_check"
REPLICATION_ROLE = "rdsrepladmin"

SETTINGS: Mapping[str, str] = {
    # Small: two servers and the whole lab share one machine.
    "shared_buffers": "16MB",
    "max_connections": "60",
    "huge_pages": "off",
    "jit": "off",
    "io_method": "sync",
    "max_worker_processes": "4",
    "max_parallel_workers": "0",
    "max_logical_replication_workers": "0",
    "autovacuum_max_workers": "1",
    "autovacuum_worker_slots": "1",
    # Files in the data directory instead of /dev/shm, so that a killed server leaves nothing elsewhere.
    "dynamic_shared_memory_type": "mmap",
    "unix_socket_directories": "",
    "fsync": "off",
    "wal_level": "replica",
    "hot_standby": "on",
    "hot_standby_feedback": "on",
    "track_commit_timestamp": "on",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    "wal_keep_size": "256MB",
    "max_slot_wal_keep_size": "512MB",
    "max_wal_size": "256MB",
    "wal_sender_timeout": "5s",
    "wal_receiver_timeout": "5s",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "500ms",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "password_encryption": "scram-sha-256",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

ACCESS = f"""\
# The servers listen on loopback only. RDS IAM authentication cannot be imitated: {CHECK_ROLE} needs no password.
host all {CHECK_ROLE} 127.0.0.0/8 trust
host replication {REPLICATION_ROLE} 127.0.0.0/8 scram-sha-256
host all all 127.0.0.0/8 scram-sha-256
"""


def claim(data_dir: Path) -> None:
    """Make the data directory and give it to the servers' user."""
    if not reachable(data_dir.parent):
        raise PostgresUnavailable(
            "PostgreSQL's user cannot enter the folder", where=str(data_dir.parent), do="put the data elsewhere"
        )
    data_dir.mkdir(mode=0o700)
    give(data_dir)


def give(path: Path) -> None:
    """Make the servers' user the owner, where that is another one."""
    user = unprivileged_user()
    if user is not None:
        os.chown(path, *user)


def copy(source: Path, target: Path) -> None:
    """Make `target` a copy of the data directory of a server that does not run, for the servers' user."""
    claim(target)
    for path in sorted(source.rglob("*")):
        made = target / path.relative_to(source)
        if path.is_dir():
            made.mkdir(mode=0o700)
        else:
            shutil.copyfile(path, made)
            made.chmod(0o600)
        give(made)


def share(source: Path, target: Path) -> None:
    """Make `target` name the same files as `source`, of which nobody ever writes to any: it costs neither time nor
    room, and either can be deleted."""
    claim(target)
    for path in sorted(source.rglob("*")):
        made = target / path.relative_to(source)
        if path.is_dir():
            made.mkdir(mode=0o700)
            give(made)
        else:
            made.hardlink_to(path)


def write(path: Path, text: str) -> None:
    """Write a file of the data directory, for the servers' user alone."""
    path.touch(mode=0o600)
    give(path)
    path.write_text(text)


@contextmanager
def private_file(text: str) -> Iterator[Path]:
    """A file that only the servers' user can read, for as long as the block lasts."""
    made = folder("relight-secret-")
    try:
        path = made / "secret"
        write(path, text)
        yield path
    finally:
        shutil.rmtree(made, ignore_errors=True)


def status_lines(data_dir: Path) -> list[str]:
    """The lines of postmaster.pid; empty where no server has run since the last clean stop."""
    try:
        return (data_dir / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def remove_shared_memory(data_dir: Path) -> None:
    """Remove the few bytes of System V shared memory that a killed server leaves in the kernel."""
    status = status_lines(data_dir)
    program = shutil.which("ipcrm")
    if program and len(status) > 6 and len(status[6].split()) == 2:
        subprocess.run([program, "-m", status[6].split()[1]], check=False, capture_output=True)
