"""What was lost, as a person reads it: the report as JSON and CSV, and as SQL to be reviewed. Pure.

All of them are made piece by piece, so that a long report needs no memory. A value is the text that PostgreSQL writes,
None is NULL.
"""

# ruff: noqa: S608 - names and values are quoted, and the script is for a person to read.
from __future__ import annotations

import csv
import io
import json
from itertools import groupby
from typing import TYPE_CHECKING, Any

from relight.quoting import literal, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

type Row = Mapping[str, Any]

COLUMNS = ("table", "key", "kind", "column", "retired", "active")


def document(head: Mapping[str, Any], name: str, entries: Iterable[Row]) -> Iterator[str]:
    """A JSON document: `head`, and `entries` as the list `name`, one on a line."""
    yield f'{_opened(head)},\n  "{name}": ['
    yield from _listed(entries, "    ")
    yield "\n  ]\n}\n"


def report(head: Mapping[str, Any], tables: Iterable[Mapping[str, Any]], rows: Iterable[Row]) -> Iterator[str]:
    """The JSON document of what was lost: `head`, and the tables with their `rows`, which come table by table."""
    yield f'{_opened(head)},\n  "tables": ['
    left = groupby(rows, lambda row: row["table"])
    group = next(left, None)
    for place, table in enumerate(tables):
        yield f"{',' if place else ''}\n    {json.dumps(dict(table), sort_keys=True)[:-1]}, "
        yield '"rows": ['
        if group is not None and group[0] == table["table"]:
            yield from _listed(group[1], "      ")
            group = next(left, None)
        yield "]}"
    yield "\n  ]\n}\n"


def _opened(head: Mapping[str, Any]) -> str:
    return json.dumps(dict(head), indent=2, sort_keys=True)[:-2]


def _listed(entries: Iterable[Row], indent: str) -> Iterator[str]:
    for place, entry in enumerate(entries):
        yield ("," if place else "") + "\n" + indent + json.dumps(dict(entry), sort_keys=True)


def as_csv(rows: Iterable[Row]) -> Iterator[str]:
    """One line for each value that the active database lacks. An empty field is NULL; an empty text has its quotes."""
    yield _line(COLUMNS)
    for row in rows:
        key = json.dumps(row["key"], ensure_ascii=False, sort_keys=True)
        active = row["active"] or {}
        for column, value in row["retired"].items():
            if row["active"] is None or column not in active or active[column] != value:
                yield _line((row["table"], key, row["kind"], column, value, active.get(column)))


def _line(fields: Iterable[str | None]) -> str:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_NOTNULL).writerow(fields)
    return out.getvalue()


def to_sql(report: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a script that puts the rows of a report back, once a person has read and changed it.

    As it is, it changes nothing: each statement is a comment, and it ends in ROLLBACK. `report` is the JSON document.
    """
    yield f"-- What the retired database {json.dumps(report['retired']['instance'])} had and the active one lacks.\n"
    yield "-- Nothing of this has been done, and as it is it changes nothing: each INSERT and each UPDATE is a\n"
    yield "-- comment, and it ends in ROLLBACK. A row of an INSERT is only in the retired database: never replicated,\n"
    yield "-- or deleted since. No database knows which; to insert the latter brings back what somebody has deleted.\n"
    yield "-- Read it, take the comment marks off what is wanted, and end it in COMMIT.\n"
    yield "-- The tables come by name: the rows of one that refers to another may have to be moved behind those.\n"
    if report["truncated"]:
        yield "-- NOT ALL: there are more rows than a report tells; its counts say how many.\n"
    if report.get("unknown"):
        yield f"-- NOT ALL: what was lost is not known: {json.dumps(report['unknown'])}\n"
    for one in report.get("not_compared") or []:
        yield f"-- NOT COMPARED: {json.dumps(one)}\n"
    yield "BEGIN;\nSET LOCAL standard_conforming_strings = on;\nSET LOCAL lc_monetary = 'C';\n"
    for table in report["tables"]:
        for row in table["rows"]:
            yield from (f"{line}\n" for line in _statement(table, row))
    yield "ROLLBACK;\n"


def _statement(table: Mapping[str, Any], row: Row) -> Iterator[str]:
    name = f"{one_line(table['schema'])}.{one_line(table['name'])}"
    values = {column: value for column, value in row["retired"].items() if column not in table["generated"]}
    if row["cut"]:
        columns = ", ".join(map(one_line, row["cut"]))
        yield f"-- {name} {_where(row)}: {columns} is longer than the report tells; take it from the retired database."
        return
    if row["active"] is None:
        columns, told = ", ".join(map(one_line, values)), ", ".join(map(literal, values.values()))
        insert = f"INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE VALUES ({told}) ON CONFLICT DO NOTHING;"
        yield f"-- {insert}" if table["is_there"] else f"-- the active database has no such table: {insert}"
        return
    active = row["active"]
    changed = {column: value for column, value in values.items() if column in active and active[column] != value}
    if not changed:
        return
    yield f"-- The active database has {_assigned({column: active[column] for column in changed})}:"
    yield f"-- UPDATE {name} SET {_assigned(changed)} WHERE {_where(row)};"


def _where(row: Row) -> str:
    key = row["key"] or {}
    return " AND ".join(f"{one_line(column)} = {literal(value)}" for column, value in key.items()) or "(no key)"


def _assigned(values: Mapping[str, str | None]) -> str:
    return ", ".join(f"{one_line(column)} = {literal(value)}" for column, value in values.items())
