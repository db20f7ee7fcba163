"""The writes of a database: stopped so that it can be trusted, and let in again. Part of `dbcheck`.

Stopped means: the database is read-only by default, that is committed, and every session that began before is gone.
What begins later may read. A client that asks for a read-write transaction in so many words still gets one; so does a
role whose own setting says so, which is told.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pg8000.native

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS = 2.0
"""How long sessions may take to end before they are said to be left: the caller waits for the answer."""
LOOK_AGAIN_SECONDS = 0.05
NOT_ALLOWED = "42501"  # SQLSTATE: insufficient privilege
NO_TABLE = "42P01"

# A session that is still beginning is not listed as a session yet, and may have read the setting of before. It holds
# this lock on the database from before it reads the settings until after it is listed.
BEGINNING = """
SELECT pid FROM pg_locks
WHERE locktype = 'object' AND classid = 'pg_database'::regclass AND mode = 'RowExclusiveLock'
  AND objid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()
"""
# Not our own sessions that only look, stop or allow; and not those of rdsadmin, RDS's own agent. Where we may not see
# of what kind a session is, it counts.
SESSIONS = """
SELECT pid, backend_start::text FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND coalesce(backend_type, 'client backend') = 'client backend'
  AND usename IS DISTINCT FROM 'rdsadmin'
  AND (usename = current_user AND application_name ~ '^relight dbcheck (state|stop|allow)$') IS NOT TRUE
"""
PREPARED = "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"
EXEMPT = """
SELECT DISTINCT rolname::text
FROM pg_db_role_setting JOIN pg_roles ON pg_roles.oid = setrole CROSS JOIN unnest(setconfig) AS setting
WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
  AND rolname <> 'rdsadmin' -- has such a setting on every RDS instance, and is not counted above either
  AND NOT CASE split_part(setting, '=', 1)
          WHEN 'default_transaction_read_only' THEN split_part(setting, '=', 2)::boolean ELSE true END
"""


def stopped_at(connection: pg8000.native.Connection) -> str | None:
    """When Relight last stopped the writes (epoch seconds, exact); None where all of them are let in again."""
    try:
        rows = connection.run("SELECT extract(epoch FROM at)::text FROM relight_stop")
    except pg8000.DatabaseError as error:
        if _code(error) == NO_TABLE:  # an older bootstrap.sql: it could not have been stopped
            return None
        raise
    return str(rows[0][0]) if rows else None


def stop(connection: pg8000.native.Connection, clock: Callable[[], float] = time.monotonic) -> dict[str, Any]:
    """Stop the writes. `stopped` only where none can come any more; then `lsn` lies behind the last of them."""
    _change(connection, "SELECT public.relight_stop_writes()")
    sessions = _end_sessions(connection, clock)
    prepared = int(connection.run(PREPARED)[0][0])
    lsn = None
    if not sessions and not prepared:
        lsn = str(connection.run("SELECT pg_current_wal_insert_lsn()::text")[0][0])
        # One more record, so that a replica that has replayed everything stands behind that position and not before it.
        _change(connection, "SELECT pg_logical_emit_message(true, 'relight', 'stopped')")
    exempt = [row[0] for row in connection.run(EXEMPT)]
    why = [
        *([f"sessions that may write and have not ended: {sessions}"] if sessions else []),
        *([f"prepared transactions that may still be committed: {prepared}"] if prepared else []),
        *([f"roles that their own setting lets write: {', '.join(exempt)}"] if exempt else []),
        *([] if _read_only(connection) else ["writes have been let in again meanwhile"]),
    ]
    return {
        "stopped": not why,
        "sessions_left": sessions + prepared,
        "lsn": None if why else lsn,
        "sentence": "; ".join(why) or "no client can write: it is read-only, and every session of before has ended",
    }


def allow(
    connection: pg8000.native.Connection, seen: str | None = None, clock: Callable[[], float] = time.monotonic
) -> dict[str, Any]:
    """Let writes in again where Relight has stopped them, also for who came in between and would stay read-only.

    With `seen`, only the stop of that moment: one that has come since is relied on by somebody.
    """
    if stopped_at(connection):
        _change(connection, "SELECT public.relight_allow_writes(CAST(:seen AS text))", seen=seen)
        if not _read_only(connection):
            _end_sessions(connection, clock)
            _change(connection, "SELECT public.relight_forget_stop()")
    if not _read_only(connection):
        return {"allowed": True, "sentence": "writes are let in"}
    ours = stopped_at(connection)
    return {
        "allowed": False,
        "sentence": "it has been stopped again meanwhile" if ours else "somebody else has made it read-only",
    }


def _read_only(connection: pg8000.native.Connection) -> bool:
    return bool(connection.run("SELECT public.relight_is_read_only()")[0][0])


def _change(connection: pg8000.native.Connection, statement: str, **given: str | None) -> None:
    """Our own session, too, is read-only by default where writes are stopped."""
    connection.run("START TRANSACTION READ WRITE")
    connection.run(statement, **given)
    connection.run("COMMIT")


def _end_sessions(connection: pg8000.native.Connection, clock: Callable[[], float]) -> int:
    """End every client's session that began before now; how many have not ended in time, or may not be ended."""
    deadline = clock() + PATIENCE_SECONDS
    beginning = _left(lambda: _rows(connection, BEGINNING), deadline, clock)
    began = _rows(connection, SESSIONS)
    for pid, _ in began:
        try:
            connection.run("SELECT pg_terminate_backend(:pid)", pid=pid)
        except pg8000.DatabaseError as error:
            if _code(error) != NOT_ALLOWED:  # a superuser's
                raise
    return beginning + _left(lambda: began & _rows(connection, SESSIONS), deadline, clock)


def _left(look: Callable[[], set[Any]], deadline: float, clock: Callable[[], float]) -> int:
    """How many of those of the first look are still there when all are gone, or the time is up."""
    there = look()
    while there and clock() < deadline:
        time.sleep(LOOK_AGAIN_SECONDS)
        there &= look()
    return len(there)


def _rows(connection: pg8000.native.Connection, query: str) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in connection.run(query)}


def _code(error: pg8000.DatabaseError) -> str | None:
    """The SQLSTATE."""
    said = error.args[0] if error.args else None
    return said.get("C") if isinstance(said, dict) else None
