"""What a lost primary had committed, and where in its write-ahead log: read from its data directory afterwards."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql as words

from lab.binaries import folder, run
from lab.datadir import SUPERUSER, give, status_lines, write
from lab.lsn import parse_lsn
from lab.postmaster import Postmaster

PAGE = 8192
SHORT_HEADER, LONG_HEADER = 24, 40
"""Bytes at the start of a page of WAL: the long one on the first page of a segment."""

_SEGMENT = re.compile(r"[0-9A-F]{24}")
_RECORD = re.compile(
    r"len \(rec/tot\):\s*\d+/\s*(?P<length>\d+), tx:\s*(?P<xid>\d+), lsn: (?P<lsn>[0-9A-F]+/[0-9A-F]+),"
    r" .*desc: COMMIT (?P<rest>.*)"
)
_SUBTRANSACTIONS = re.compile(r"subxacts:((?: \d+)+)")


def commit_lsns(data_dir: Path, table: str = "shop_order") -> dict[str, int]:
    """For each row of `table`: its `id`, and the LSN at which the record of its commit ends.

    A standby has the row's commit exactly if it has received at least so much WAL. A row that was committed
    before the WAL that is kept counts as 0. `data_dir` is that of a server that runs no more, however it
    ended; it is started alone, on a socket in a private folder, so that nothing else can reach it and it streams
    to nobody, and stopped again. Its WAL is repaired by that as by any start after a crash. Raises PostgresError
    when it runs already or does not start.
    """
    commits = _commits(data_dir)
    with _alone(data_dir) as connect:
        with connect("postgres") as connection:
            names = connection.execute("SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate")
            databases = [str(name) for (name,) in names]
        found: dict[str, int] = {}
        for database in databases:
            with connect(database) as connection:
                if connection.execute("SELECT to_regclass(%s)", (table,)).fetchone() == (None,):
                    continue
                rows = connection.execute(
                    words.SQL("SELECT id, xmin::text::bigint FROM {}").format(words.Identifier(table))
                )
                found |= {str(identifier): commits.get(xid, 0) for identifier, xid in rows}
        return found


def commit_end(lsn: int, length: int, segment_size: int) -> int:
    """Where a record ends that starts at `lsn` and has `length` bytes: it skips the headers of the pages it crosses."""
    left = (length + 7) // 8 * 8
    while left > (room := PAGE - lsn % PAGE):
        left -= room
        lsn += room
        lsn += SHORT_HEADER if lsn % segment_size else LONG_HEADER
    return lsn + left


def _commits(data_dir: Path) -> dict[int, int]:
    """Transaction and subtransaction ids (32 bits) to the end of their commit's record, for all WAL that is kept."""
    folder_of_wal = data_dir / "pg_wal"
    oldest: dict[str, Path] = {}
    for path in sorted(folder_of_wal.iterdir()):
        if _SEGMENT.fullmatch(path.name):
            oldest.setdefault(path.name[:8], path)
    commits: dict[int, int] = {}
    for timeline, first in sorted(oldest.items()):
        size = first.stat().st_size
        start = int(first.name[8:16], 16) << 32 | int(first.name[16:], 16) * size
        # It reads on to where the WAL breaks off and calls that an error (1).
        printed = run(
            "pg_waldump",
            *("--path", folder_of_wal, "--timeline", str(int(timeline, 16)), "--rmgr=Transaction"),
            *("--start", f"{start >> 32:X}/{start & 0xFFFFFFFF:X}"),
            ok=(0, 1),
        )
        for match in _RECORD.finditer(printed):
            end = commit_end(parse_lsn(match["lsn"]), int(match["length"]), size)
            below = _SUBTRANSACTIONS.search(match["rest"])
            for xid in (match["xid"], *(below[1].split() if below else ())):
                commits[int(xid)] = end
    return commits


@contextmanager
def _alone(data_dir: Path) -> Iterator[Callable[[str], psycopg.Connection[tuple[Any, ...]]]]:
    """The server on its own while the block lasts; what it gives connects to one of its databases, read-only."""
    private = folder("relight-alone-")
    postmaster = Postmaster(data_dir)
    try:
        private.chmod(0o700)
        give(private)
        write(private / "hba", f"local all {SUPERUSER} trust\n")
        alone = {
            "listen_addresses": "",
            "unix_socket_directories": str(private),
            "hba_file": str(private / "hba"),
            "primary_conninfo": "",
            "autovacuum": "off",
            "default_transaction_read_only": "on",
        }
        postmaster.start(*(word for name, value in alone.items() for word in ("-c", f"{name}={value}")))
        port = status_lines(data_dir)[3].strip()
        yield lambda database: psycopg.connect(
            host=str(private), port=port, user=SUPERUSER, dbname=database, connect_timeout=5
        )
    finally:
        postmaster.stop()
        shutil.rmtree(private, ignore_errors=True)
