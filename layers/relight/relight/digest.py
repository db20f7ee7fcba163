"""What a database holds, said in few words so that two of them can be compared. Part of `dbcheck`; it only reads.

A row is hashed by the server from its columns' binary form (a column of a type that the database itself defines: from
its text, by pinned settings), and rows are summed up without regard to their order. Each request looks at one snapshot,
one statement at a time, each of them short: chunks follow the primary key, or else the blocks of the file.
"""

# ruff: noqa: S608 - names are quoted, and values are parameters.
from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pg8000.native

from relight.errors import InputInvalid
from relight.lsn import position
from relight.quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

type Key = list[str]

STATEMENT_SECONDS = 8
"""After so long a statement gives up: something else matters more than this comparison."""
GOOD_SECONDS = (0.1, 0.6)
"""A chunk's statement that takes less makes the next chunk larger, one that takes more makes it smaller."""
SIZES = (256, 65536)
ANSWER_BYTES = 2_000_000
"""A function's answer may have 6 MB, and `dbcheck` has little memory; it goes beyond this by one statement at most."""
VALUE_CHARACTERS = 16384
ROW_CHARACTERS = 250_000
"""Of the values of a row, and of those of one statement; as JSON that is 3 MB at most."""
KEYS_AT_ONCE = 200
PLACES_AT_ONCE = 2000
OWN_TABLES = ("relight_heartbeat", "relight_stop")

# No value may depend on who asks. Row security that would hide rows becomes an error.
PINNED = f"""
SET search_path = pg_catalog; SET datestyle = 'ISO, YMD'; SET timezone = 'UTC'; SET intervalstyle = 'postgres';
SET extra_float_digits = 1; SET bytea_output = 'hex'; SET lc_monetary = 'C'; SET quote_all_identifiers = off;
SET standard_conforming_strings = on; SET row_security = off; SET max_parallel_workers_per_gather = 0; SET jit = off;
SET lock_timeout = '2s'; SET statement_timeout = '{STATEMENT_SECONDS}s'
"""
REPLAYED = "SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn()::text"
BEGIN = "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
# The snapshot is taken before the position is read, so no change that is seen lies behind it.
WRITTEN = "SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_insert_lsn()::text END"

TABLES = """
SELECT n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text, c.reltuples::bigint,
       has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
       row_security_active(c.oid),
       (SELECT array_agg(a.attname::text ORDER BY k.place)
        FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum WHERE k.place <= i.indnkeyatts),
       (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v'),
       (SELECT array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v'),
       array(SELECT 'column ' || quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
                    || coalesce(' COLLATE ' || (SELECT quote_ident(collname) FROM pg_collation l, pg_type t
                       WHERE l.oid = a.attcollation AND t.oid = a.atttypid AND t.typcollation <> l.oid), '')
                    || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
                    || CASE a.attidentity WHEN 'a' THEN ' IDENTITY ALWAYS' WHEN 'd' THEN ' IDENTITY' ELSE '' END
                    || CASE a.attgenerated WHEN '' THEN coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '')
                       ELSE ' GENERATED ' || a.attgenerated::text || ' ' || pg_get_expr(d.adbin, d.adrelid) END
             FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
       || array(SELECT 'constraint ' || quote_ident(conname) || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
                WHERE conrelid = c.oid AND contype <> 't' ORDER BY conname)
       || array(SELECT pg_get_indexdef(x.indexrelid) || CASE WHEN x.indisvalid THEN '' ELSE ' (invalid)' END
                FROM pg_index x JOIN pg_class xc ON xc.oid = x.indexrelid WHERE x.indrelid = c.oid ORDER BY xc.relname)
       || array(SELECT 'inherits ' || inhparent::regclass FROM pg_inherits WHERE inhrelid = c.oid ORDER BY inhseqno)
       || array(SELECT 'partitioned by ' || pg_get_partkeydef(c.oid) WHERE c.relkind = 'p')
       || array(SELECT 'partition ' || pg_get_expr(c.relpartbound, c.oid) WHERE c.relispartition)
       || array(SELECT 'view ' || pg_get_viewdef(c.oid) WHERE c.relkind = 'm')
       || array(SELECT 'server ' || quote_ident(srvname) FROM pg_foreign_table
                JOIN pg_foreign_server s ON s.oid = ftserver WHERE ftrelid = c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
    SELECT x.indkey, x.indnkeyatts FROM pg_index x
    JOIN pg_class xc ON xc.oid = x.indexrelid JOIN pg_am am ON am.oid = xc.relam AND am.amname = 'btree'
    WHERE x.indrelid = c.oid AND x.indisunique AND x.indisvalid AND x.indpred IS NULL AND x.indexprs IS NULL
      AND NOT EXISTS (
        SELECT FROM generate_series(0, x.indnkeyatts - 1) AS i
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = x.indkey[i]
        JOIN pg_opclass o ON o.oid = x.indclass[i]
        WHERE NOT a.attnotnull OR NOT o.opcdefault OR x.indoption[i] <> 0 OR x.indcollation[i] <> a.attcollation)
    ORDER BY NOT x.indisprimary, x.indnkeyatts, xc.relname LIMIT 1
) i ON true
WHERE c.relkind IN ('r', 'p', 'f', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT (n.nspname = 'public' AND c.relname = ANY (CAST(:own AS text[])))
  AND (n.nspname, c.relname) > (CAST(:schema AS name), CAST(:name AS name))
ORDER BY n.nspname, c.relname LIMIT :most
"""
UNREAD = """
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))
"""
# Those of the server's own types have a binary form that depends on no setting and on no name.
COLUMNS = """
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod),
       t.oid < 16384 AND t.typsend <> 0 AND t.typname !~ '^reg', a.attgenerated <> '', c.oid::bigint,
       a.attgenerated <> 'v'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
WHERE n.nspname = CAST(:schema AS name) AND c.relname = CAST(:name AS name) ORDER BY a.attnum
"""
SEQUENCES = """
SELECT s.schemaname::text, s.sequencename::text, s.last_value::text, s.increment_by::text, s.cycle,
       has_sequence_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')
FROM pg_sequences s JOIN pg_namespace n ON n.nspname = s.schemaname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.sequencename
WHERE s.schemaname !~ '^pg_' ORDER BY s.schemaname, s.sequencename
"""
SLOTS = """
SELECT slot_name::text, slot_type, active, wal_status,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                       restart_lsn)::bigint
FROM pg_replication_slots ORDER BY slot_name
"""
PAGES = "SELECT pg_relation_size(CAST(CAST(:oid AS bigint) AS oid)) / current_setting('block_size')::bigint"


class Gone(Exception):
    """The table, or a column of it, is not there (any more)."""


def look(
    connection: pg8000.native.Connection, event: Mapping[str, Any], clock: Callable[[], float] = time.monotonic
) -> dict[str, Any]:
    """Answer `tables`, `digest`, `rows` or `sequences` from one snapshot, with its position `lsn`.

    A replica that has not replayed `past` yet says `behind`, and reads nothing.
    """
    connection.run(PINNED)
    in_recovery, replayed = connection.run(REPLAYED)[0]
    where = {"reached": True, "in_recovery": in_recovery, "behind": False, "lsn": replayed}
    past = event.get("past")
    if in_recovery and past and (replayed is None or position(replayed) < position(past)):
        return {**where, "behind": True, "sentence": f"it has replayed {replayed}, and not {past} yet"}
    if event["check"] == "tables" and not in_recovery:
        _let_read(connection)
    connection.run(BEGIN)
    written = connection.run(WRITTEN)[0][0]
    reader = {"tables": _tables, "digest": _digest, "rows": _rows, "sequences": _sequences}[event["check"]]
    try:
        found = reader(connection, event, clock)
    except Gone as gone:
        found = {"failed": "42P01", "sentence": str(gone)}
    connection.run("COMMIT")
    return {**where, "lsn": replayed if in_recovery else written, "sentence": "it was read", **found}


def slots(connection: pg8000.native.Connection) -> dict[str, Any]:
    """The replication slots: who is read, and how many bytes of WAL each of them keeps."""
    names = ("name", "type", "active", "wal_status", "kept_bytes")
    found = [dict(zip(names, row, strict=True)) for row in connection.run(SLOTS)]
    idle = sum(not slot["active"] for slot in found)
    return {"reached": True, "slots": found, "sentence": f"{len(found)} replication slots, {idle} that nobody reads"}


def drop_slots(connection: pg8000.native.Connection) -> dict[str, Any]:
    """Drop the slots that nobody reads: the WAL that they keep fills the disk of a database that nobody follows."""
    before = {slot["name"] for slot in slots(connection)["slots"]}
    connection.run("SELECT public.relight_drop_slots()")
    left = slots(connection)["slots"]
    dropped = sorted(before - {slot["name"] for slot in left})
    idle = [slot["name"] for slot in left if not slot["active"]]
    said = f"dropped: {', '.join(dropped) or 'none'}"
    refused = f"; could not be dropped: {', '.join(idle)}" if idle else ""
    return {"reached": True, "dropped": dropped, "slots": left, "sentence": said + refused}


def _let_read(connection: pg8000.native.Connection) -> None:
    """Have the owner's function let this role read what it cannot yet: tables that have come since bootstrap.sql ran.

    What stays unread is said table by table.
    """
    try:
        if connection.run(UNREAD)[0][0]:
            connection.run("START TRANSACTION READ WRITE")
            connection.run("SELECT public.relight_let_read()")
            connection.run("COMMIT")
    except pg8000.DatabaseError:  # an older bootstrap.sql, or a disk that is full
        connection.run("ROLLBACK")


@dataclass(frozen=True)
class _Column:
    name: str
    type: str
    binary: bool
    generated: bool


def _of(name: str) -> str:
    """A column. It says of which table, because ORDER BY would take an output's name for it."""
    return f"t.{quoted(name)}"


class _Table:
    """One table as this server has it, and the words for it in SQL. Nothing of an event is in a statement unquoted."""

    def __init__(self, connection: pg8000.native.Connection, event: Mapping[str, Any]) -> None:
        self.connection = connection
        try:
            given = event["table"]
            schema, name, key = str(given["schema"]), str(given["name"]), [str(part) for part in given["key"]]
        except (KeyError, TypeError) as wrong:
            raise InputInvalid(f'"table" needs "schema", "name" and "key": {wrong!r}') from None
        rows = connection.run(COLUMNS, schema=schema, name=name)
        if not rows:
            raise Gone(f"there is no table {quoted(schema)}.{quoted(name)}")
        self.oid = int(rows[0][4])
        self.columns = {row[0]: _Column(*row[:4]) for row in rows if row[5]}
        wanted = given.get("columns") or list(self.columns)
        lacking = [column for column in (*key, *wanted) if column not in self.columns]
        if lacking:
            raise Gone(f"{quoted(schema)}.{quoted(name)} has no column {', '.join(lacking)}")
        self.key = [self.columns[part] for part in key]
        self.name = f"ONLY {quoted(schema)}.{quoted(name)} AS t"
        self.hash = self._hash([self.columns[part] for part in wanted], set(given.get("as_text") or ()))
        self.order = ", ".join(map(_of, key))
        self.key_text = ", ".join(f"CAST({_of(part)} AS text)" for part in key)

    @staticmethod
    def _hash(columns: Sequence[_Column], as_text: set[str]) -> str:
        """A 64-bit hash of all the bytes of the row."""
        parts = [
            _of(column.name)
            if column.binary and column.name not in as_text
            else f'CAST({_of(column.name)} AS text) COLLATE "C"'
            for column in columns
        ]
        return f"hash_record_extended(ROW(record_send(ROW({', '.join(parts)}))), 0)"

    def within(self, after: Key | None, upto: Key | None) -> tuple[str, dict[str, str]]:
        """The condition for the keys behind `after` and up to `upto`, and its parameters."""
        conditions = ["true"]
        given: dict[str, str] = {}
        for sign, name, bound in ((">", "a", after), ("<=", "u", upto)):
            if bound is not None:
                conditions.append(f"({self.order}) {sign} ({self.values(name, bound, given)})")
        return " AND ".join(conditions), given

    def values(self, name: str, key: Key, given: dict[str, str]) -> str:
        """The key as parameters, which are added to `given`."""
        if len(key) != len(self.key):
            raise InputInvalid(f"{key!r} is no key of {self.name}")
        given |= {f"{name}{place}": str(part) for place, part in enumerate(key)}
        return ", ".join(f"CAST(CAST(:{name}{place} AS text) AS {part.type})" for place, part in enumerate(self.key))

    def run(self, statement: str, **given: Any) -> list[list[Any]]:
        """Run one statement and return its rows."""
        return list(self.connection.run(statement, **given) or [])


def _tables(connection: pg8000.native.Connection, event: Mapping[str, Any], _: Callable[[], float]) -> dict[str, Any]:
    """The tables behind `after` ([schema, name]), by name: as many as one answer holds; `more` if that is not all."""
    schema, name = event.get("after") or ("", "")
    most = 500
    rows = connection.run(TABLES, schema=schema, name=name, own=list(OWN_TABLES), most=most)
    found: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        size += sum(map(len, row[10])) + 500
        if found and size > ANSWER_BYTES:
            break
        found.append(
            {
                "schema": row[0],
                "name": row[1],
                "kind": {"r": "table", "p": "partitioned", "f": "foreign", "m": "view"}[row[2]],
                "unlogged": row[3] != "p",
                "estimate": max(0, row[4]),
                "readable": row[5],
                "row_security": row[6],
                "key": row[7] or [],
                "columns": row[8] or [],
                "types": row[9] or [],
                "definition": row[10],
            }
        )
    return {"tables": found, "more": len(found) < len(rows) or len(rows) == most}


def _sequences(
    connection: pg8000.native.Connection, event: Mapping[str, Any], _: Callable[[], float]
) -> dict[str, Any]:
    names = ("schema", "name", "last_value", "increment", "cycle", "readable")
    return {"sequences": [dict(zip(names, row, strict=True)) for row in connection.run(SEQUENCES)]}


# Digests.


def next_size(size: int, seconds: float) -> int:
    """How many rows the next chunk has, after one of `size` rows took so long. Pure."""
    fast, slow = GOOD_SECONDS
    factor = 2.0 if seconds < fast else 0.5 if seconds > slow else 1.0
    return max(SIZES[0], min(SIZES[1], int(size * factor)))


def _digest(
    connection: pg8000.native.Connection, event: Mapping[str, Any], clock: Callable[[], float]
) -> dict[str, Any]:
    """Chunks of the table, each with the last key in it, its number of rows and their digest.

    For about `seconds`: of the rows behind `after`, up to `upto`, in chunks of about `rows`; or of the chunks that end
    where `bounds` say, none of them counted further than four times `rows`. Without a key: by `buckets` of the hash.
    """
    table = _Table(connection, event)
    deadline = clock() + float(event.get("seconds", 3))
    if not table.key:
        return _buckets(table, event, clock, deadline)
    if event.get("bounds") is not None:
        return _bounded(table, event, clock, deadline)
    after, upto, size = event.get("after"), event.get("upto"), int(event.get("rows", 16384))
    chunks: list[tuple[Key, int, str]] = []
    while True:
        began = clock()
        bound, is_last = _bound(table, after, upto, size)
        if bound is None:
            return {"chunks": chunks, "more": False, "rows": size}
        chunks.append((bound, *_sum(table, after, bound, None)))
        after = bound
        if not event.get("fixed"):
            size = next_size(size, clock() - began)
        if is_last or clock() >= deadline:
            return {"chunks": chunks, "more": not is_last, "rows": size}


def _bounded(table: _Table, event: Mapping[str, Any], clock: Callable[[], float], deadline: float) -> dict[str, Any]:
    after, most = event.get("after"), 4 * int(event.get("rows", 16384))
    chunks: list[tuple[Key, int, str]] = []
    for bound in event["bounds"]:
        if chunks and clock() >= deadline:
            return {"chunks": chunks, "more": True}
        chunks.append((bound, *_sum(table, after, bound, most)))
        after = bound
    return {"chunks": chunks, "more": False}


def _bound(table: _Table, after: Key | None, upto: Key | None, size: int) -> tuple[Key | None, bool]:
    """The key of the row so many rows behind `after`, and whether it is the last; None where there is no row at all."""
    where, given = table.within(after, upto)
    select = f"SELECT {table.key_text} FROM {table.name} WHERE {where} ORDER BY "
    rows = table.run(f"{select} {table.order} OFFSET {size - 1} LIMIT 1", **given)
    if rows:
        return list(rows[0]), list(rows[0]) == upto
    if upto is not None:
        return upto, True
    backwards = ", ".join(f"{_of(part.name)} DESC" for part in table.key)
    rows = table.run(f"{select} {backwards} LIMIT 1", **given)
    return (list(rows[0]), True) if rows else (None, True)


def _sum(table: _Table, after: Key | None, upto: Key | None, most: int | None) -> tuple[int, str]:
    """How many rows, and their digest; counted no further than `most`."""
    where, given = table.within(after, upto)
    limit = f"LIMIT {most}" if most else "OFFSET 0"  # or else the planner would hash each row twice
    inner = f"SELECT {table.hash} AS h FROM {table.name} WHERE {where} ORDER BY {table.order} {limit}"
    count, xor, total = table.run(f"SELECT count(*), bit_xor(h)::text, sum(h)::text FROM ({inner}) AS hashed", **given)[
        0
    ]
    return count, f"{xor}:{total}"


def _blocks(
    table: _Table, event: Mapping[str, Any], clock: Callable[[], float], deadline: float
) -> Iterator[tuple[int, int | None]]:
    """Ranges of blocks from `block` on until the time is up; the one behind, or None at the end."""
    pages = int(table.run(PAGES, oid=table.oid)[0][0])
    block, step = int(event.get("block", 0)), 64
    while block < pages:
        began = clock()
        end = min(pages, block + step)
        yield block, end if end < pages else None
        block, step = end, max(1, min(4096, next_size(step * 256, clock() - began) // 256))
        if clock() >= deadline:
            return


def _hashed(table: _Table, columns: str, block: int, end: int | None) -> tuple[str, dict[str, str]]:
    """The hashes of the rows in those blocks."""
    given = {"lo": f"({block},0)"} | ({"hi": f"({end},0)"} if end is not None else {})
    upto = "AND t.ctid < CAST(:hi AS tid)" if end is not None else ""
    inner = f"SELECT {columns} FROM {table.name} WHERE t.ctid >= CAST(:lo AS tid) {upto} OFFSET 0"
    return inner, given


def _buckets(table: _Table, event: Mapping[str, Any], clock: Callable[[], float], deadline: float) -> dict[str, Any]:
    """Of a table without a key: number and digest of the rows in each bucket, of the blocks from `block` on."""
    buckets: dict[int, list[int]] = {}
    block: int | None = None
    for start, block in _blocks(table, event, clock, deadline):
        inner, given = _hashed(table, f"{table.hash} AS h", start, block)
        query = (
            f"SELECT h & {int(event['buckets']) - 1}, count(*), bit_xor(h)::text, sum(h)::text FROM ({inner}) AS hashed"
        )
        for bucket, count, xor, total in table.run(f"{query} GROUP BY 1", **given):
            one = buckets.setdefault(bucket, [0, 0, 0])
            buckets[bucket] = [one[0] + count, one[1] ^ int(xor), one[2] + int(total)]
    said = {str(bucket): [one[0], str(one[1]), str(one[2])] for bucket, one in buckets.items()}
    return {"buckets": said, "block": block, "more": block is not None}


# Rows.


def _rows(connection: pg8000.native.Connection, event: Mapping[str, Any], clock: Callable[[], float]) -> dict[str, Any]:
    """Rows with key, hash and version (what changes with each update of the row), and all columns as text if `values`.

    Those of `keys`, as many of them as `done` says; or up to `limit` of those behind `after` and up to `upto`, then
    `more` says whether there are others. Without a key: by hash, as `_hashes` and `_copies` say.
    """
    table = _Table(connection, event)
    if not table.key:
        deadline = clock() + float(event.get("seconds", 3))
        read = _copies if event.get("hashes") is not None else _hashes
        return read(table, event, clock, deadline)
    values = (
        [f"left(CAST({_of(name)} AS text), {_most(table)})" for name in table.columns] if event.get("values") else []
    )
    select = f"SELECT {', '.join([table.key_text, f'CAST({table.hash} AS text)', 'CAST(t.xmin AS text)', *values])}"
    found, done, more = _read(table, event, f"{select} FROM {table.name} WHERE ")
    keys = len(table.key)
    rows = [
        {"key": row[:keys], "hash": row[keys], "version": row[keys + 1]}
        | (_told(table, row[keys + 2 :]) if values else {})
        for row in found
    ]
    return {"rows": rows, "done": done, "more": more, "generated": _generated(table)}


def _generated(table: _Table) -> list[str]:
    return [column.name for column in table.columns.values() if column.generated]


def _most(table: _Table) -> int:
    """How many characters of a value are told; one more is read, to know whether that is all."""
    return min(VALUE_CHARACTERS, ROW_CHARACTERS // len(table.columns)) + 1


def _told(table: _Table, texts: Sequence[str | None]) -> dict[str, Any]:
    """The values by column, and the names of those that are longer than what is told."""
    most = _most(table) - 1
    values = {name: text and text[:most] for name, text in zip(table.columns, texts, strict=True)}
    long = [name for name, text in zip(table.columns, texts, strict=True) if text and len(text) > most]
    return {"values": values, "cut": long}


def _read(table: _Table, event: Mapping[str, Any], select: str) -> tuple[list[list[Any]], int, bool]:
    """The rows, how many of the asked keys they answer, and whether there are more."""
    if event.get("keys") is None:
        where, given = table.within(event.get("after"), event.get("upto"))
        limit = int(event.get("limit", 1000))
        rows = table.run(f"{select} {where} ORDER BY {table.order} LIMIT {limit + 1}", **given)
        return rows[:limit], 0, len(rows) > limit
    keys, rows, done = event["keys"], [], 0
    step = _rows_at_once(table) if event.get("values") else KEYS_AT_ONCE
    size = 0
    while done < len(keys) and size < ANSWER_BYTES:
        given = {}
        wanted = [f"({table.values(f'k{n}_', key, given)})" for n, key in enumerate(keys[done : done + step])]
        some = table.run(f"{select} ({table.order}) IN ({', '.join(wanted)})", **given)
        rows += some
        size += _size(some)
        done += step
    return rows, min(done, len(keys)), done < len(keys)


def _rows_at_once(table: _Table) -> int:
    """Rows with their values that one statement reads, however long they are."""
    return max(1, min(20, ROW_CHARACTERS // (_most(table) * len(table.columns))))


def _size(rows: Sequence[Sequence[Any]]) -> int:
    """As JSON, which may have twelve bytes for one character."""
    return sum(len(json.dumps(part)) for row in rows for part in row)


def _hashes(table: _Table, event: Mapping[str, Any], clock: Callable[[], float], deadline: float) -> dict[str, Any]:
    """Of a table without a key: how many rows of each hash in the buckets `only`, of the blocks from `block` on."""
    found: dict[str, int] = {}
    block: int | None = None
    only = ", ".join(str(int(bucket)) for bucket in event["only"])
    for start, block in _blocks(table, event, clock, deadline):
        inner, given = _hashed(table, f"{table.hash} AS h", start, block)
        query = f"SELECT h::text, count(*) FROM ({inner}) AS hashed WHERE h & {int(event['buckets']) - 1} IN ({only})"
        for one, count in table.run(f"{query} GROUP BY h", **given):
            found[one] = found.get(one, 0) + count
        if len(found) > ANSWER_BYTES // 40:
            break
    return {"hashes": found, "block": block, "more": block is not None}


def _copies(table: _Table, event: Mapping[str, Any], clock: Callable[[], float], deadline: float) -> dict[str, Any]:
    """Of a table without a key: the rows with one of the `hashes`, of those behind `block`.

    `block` is a number of a block, or [block, row]: a block may have more rows of that kind than one answer holds.
    """
    begun = event.get("block", 0)
    begun = begun if isinstance(begun, list) else [begun, 0]
    found: list[list[Any]] = []
    next_block: Any = None
    size = 0
    for start, next_block in _blocks(table, {**event, "block": begun[0]}, clock, deadline):
        places = _places(table, event["hashes"], begun, start, next_block)
        for first in range(0, len(places), _rows_at_once(table)):
            some = places[first : first + _rows_at_once(table)]
            rows = _at(table, some)
            found += rows
            size += _size(rows)
            if size > ANSWER_BYTES:
                return _copied(table, found, _place(some[-1]))
        if len(places) == PLACES_AT_ONCE:
            return _copied(table, found, _place(places[-1]))
    return _copied(table, found, next_block)


def _places(table: _Table, hashes: Sequence[str], begun: Sequence[int], start: int, end: int | None) -> list[str]:
    """Where in those blocks, behind what has been told, the rows with one of the hashes lie."""
    wanted = ", ".join(str(int(one)) for one in hashes)
    inner, given = _hashed(table, f"{table.hash} AS h, t.ctid AS place", start, end)
    behind = f"place > CAST('({int(begun[0])},{int(begun[1])})' AS tid)"
    found = f"SELECT place::text FROM ({inner}) AS hashed WHERE h IN ({wanted}) AND {behind}"
    return [row[0] for row in table.run(f"{found} ORDER BY hashed.place LIMIT {PLACES_AT_ONCE}", **given)]


def _place(text: str) -> list[int]:
    return [int(part) for part in text.strip("()").split(",")]


def _at(table: _Table, places: Sequence[str]) -> list[list[Any]]:
    """The rows there, with hash and values; the snapshot is the one in which they were found."""
    texts = [f"left(CAST({_of(name)} AS text), {_most(table)})" for name in table.columns]
    select = f"SELECT {', '.join([f'CAST({table.hash} AS text)', *texts])} FROM {table.name}"
    literal = "{" + ",".join(f'"{place}"' for place in places) + "}"
    return table.run(f"{select} WHERE t.ctid = ANY (CAST(CAST(:places AS text) AS tid[]))", places=literal)


def _copied(table: _Table, found: Sequence[Sequence[Any]], block: Any) -> dict[str, Any]:
    rows = [{"hash": row[0], **_told(table, row[1:])} for row in found]
    return {"rows": rows, "block": block, "more": block is not None, "generated": _generated(table)}
