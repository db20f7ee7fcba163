"""What two databases' answers mean: which chunks differ, what is to be looked at again, and what is a difference. Pure.

The *lead* is the database whose chunks lead: the active one, or a retired one. The *other* is compared with it: the
replica of the active one, or the active one itself. All is JSON: it comes from `dbcheck` and is kept between slices.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from relight.quoting import table_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

type Key = list[str]
type Version = list[str]
"""A row as one look saw it: its hash, and what changes with each update of it."""
type Table = Mapping[str, Any]

ROUNDS = 5
"""Looks at what differs, at most; two that agree decide."""
LONGEST_KEY = 200
LONGEST_DETAIL = 300
MOST_BUCKETED = 200_000
"""Rows of a table without a key that are looked at one by one."""


class Kind(StrEnum):
    """What differs; the last one: whether something does could not be found out."""

    MISSING_TABLE = "missing_table"
    EXTRA_TABLE = "extra_table"
    SCHEMA = "schema"
    MISSING_ROW = "missing_row"
    EXTRA_ROW = "extra_row"
    DIFFERING_ROW = "differing_row"
    SEQUENCE_BEHIND = "sequence_behind"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Difference:
    """One difference of the other database from the lead."""

    kind: Kind
    table: str
    key: str | None
    detail: str

    @property
    def name(self) -> str:
        """The same whenever the same is found again: what a person accepts."""
        return ":".join([self.kind, self.table, *([self.key] if self.key is not None else [])])

    def as_dict(self) -> dict[str, Any]:
        """As reports have it."""
        key = {} if self.key is None else {"key": self.key}
        detail = self.detail if len(self.detail) <= LONGEST_DETAIL else self.detail[: LONGEST_DETAIL - 1] + "…"
        return {"name": self.name, "kind": self.kind.value, "table": self.table, **key, "detail": detail}


def name_of(table: Table) -> str:
    """A table's name, as a person reads it."""
    return table_name(table["schema"], table["name"])


def key_text(key: Key) -> str:
    """A key as one text: of one column the value itself, of several a JSON list; a very long one is cut and hashed."""
    text = key[0] if len(key) == 1 else json.dumps(key, ensure_ascii=False)
    if len(text) <= LONGEST_KEY:
        return text
    return f"{text[: LONGEST_KEY // 2]}…{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


# Schemas.


class Schemas(NamedTuple):
    """What the lists of tables say: the differences, and what of the rows is to be compared or cannot be."""

    differences: list[Difference]
    plan: list[dict[str, Any]]
    not_compared: list[dict[str, str]]


def schemas(lead: Iterable[Table], other: Iterable[Table], *, both: bool) -> Schemas:
    """Compare the tables of two databases by name. `both`: what is only in the other one is a difference, too."""
    mine, theirs = {name_of(t): t for t in lead}, {name_of(t): t for t in other}
    differences: list[Difference] = []
    plan: list[dict[str, Any]] = []
    not_compared: list[dict[str, str]] = []
    for name in sorted({*mine, *theirs}):
        one, two = mine.get(name), theirs.get(name)
        differences += _schema(name, one, two) if both or one is not None else []
        if one is None:
            continue
        if _only_parts(one, two):
            continue
        why = _no_rows(one, two) or _unreadable(one, two) or _less(one, two)
        if why is not None:
            not_compared.append({"table": name, "why": why})
        if _no_rows(one, two) is not None:
            continue
        if (unreadable := _unreadable(one, two)) is not None:
            differences.append(Difference(Kind.UNDECIDED, name, None, unreadable))
        elif two is not None or not both:
            plan.append(_planned(one, two))
    return Schemas(differences, plan, not_compared)


def _schema(name: str, one: Table | None, two: Table | None) -> Iterator[Difference]:
    if two is None:
        yield Difference(Kind.MISSING_TABLE, name, None, "the table is not there")
    elif one is None:
        yield Difference(Kind.EXTRA_TABLE, name, None, "the table is only there")
    elif (said := _definition(one)) != (there := _definition(two)):
        lacks = [line for line in said if line not in there]
        more = [line for line in there if line not in said]
        parts = [("lacks", lacks), ("has", more)]
        detail = "; ".join(f"{word} {', '.join(lines)}" for word, lines in parts if lines) or "in another order"
        yield Difference(Kind.SCHEMA, name, None, detail)


def _definition(table: Table) -> list[str]:
    persistence = ["unlogged"] if table["unlogged"] else []
    return [table["kind"], *persistence, *table["definition"]]


def _only_parts(one: Table, two: Table | None) -> bool:
    """Whether its rows lie in its partitions, which are compared one by one."""
    return one["kind"] == "partitioned" and (two is None or two["kind"] == "partitioned")


def _no_rows(one: Table, two: Table | None) -> str | None:
    """Why its rows cannot be compared."""
    found = [one] if two is None else [one, two]
    if any(table["kind"] == "partitioned" for table in found):
        return "it is partitioned in one of the two databases, and not in the other"
    if any(table["kind"] == "foreign" for table in found):
        return "it is a foreign table: its rows lie elsewhere"
    if any(table["unlogged"] for table in found):
        return "it is unlogged: its rows are not replicated, and a replica cannot read them"
    return None


def _unreadable(one: Table, two: Table | None) -> str | None:
    """Why its rows cannot be read."""
    found = [one] if two is None else [one, two]
    if any(table["row_security"] for table in found):
        return "row security hides rows of it from relight_check"
    return None if all(table["readable"] for table in found) else "relight_check may not read it"


def _less(one: Table, two: Table | None) -> str | None:
    """Which of its columns only one of them has: they are not compared."""
    gone = [] if two is None else [column for column in one["columns"] if column not in two["columns"]]
    return f"of its columns {', '.join(gone)}: the other database has them no more" if gone else None


def _planned(one: Table, two: Table | None) -> dict[str, Any]:
    """How the rows of a table are compared: by its key, the columns that both have; as text where the types differ."""
    types = dict(zip(one["columns"], one["types"], strict=True))
    there = types if two is None else dict(zip(two["columns"], two["types"], strict=True))
    columns = [column for column in one["columns"] if column in there]
    return {
        "schema": one["schema"],
        "name": one["name"],
        "key": one["key"] if all(part in there for part in one["key"]) else [],
        "columns": columns,
        "as_text": [column for column in columns if types[column] != there[column]],
        "estimate": one["estimate"],
        "is_there": two is not None,
    }


def again(before: Sequence[Difference], now: Sequence[Difference]) -> tuple[list[Difference], list[Difference]]:
    """Those that two looks have in common, and those that came only with the second."""
    known = {(one.name, one.detail) for one in before}
    same = [one for one in now if (one.name, one.detail) in known]
    return same, [one for one in now if one not in same]


# Sequences.


def behind(lead: Iterable[Mapping[str, Any]], other: Iterable[Mapping[str, Any]]) -> list[Difference]:
    """The sequences of the other database that would give out again what the lead has given out."""
    there = {(one["schema"], one["name"]): one for one in other}
    found = []
    for one in lead:
        name, two = table_name(one["schema"], one["name"]), there.get((one["schema"], one["name"]))
        if two is None:
            found.append(Difference(Kind.SEQUENCE_BEHIND, name, None, "the sequence is not there"))
        elif not (one["readable"] and two["readable"]):
            found.append(Difference(Kind.UNDECIDED, name, None, "relight_check may not read the sequence"))
        elif _is_behind(one, two):
            detail = f"it stands at {two['last_value'] or 'its start'}, and the other at {one['last_value']}"
            found.append(Difference(Kind.SEQUENCE_BEHIND, name, None, detail))
    return found


def _is_behind(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    if one["last_value"] is None:
        return False
    if two["last_value"] is None:
        return True
    ahead = int(one["last_value"]) - int(two["last_value"])
    return ahead > 0 if int(one["increment"]) > 0 else ahead < 0


# Chunks.


class Range(NamedTuple):
    """The rows behind `after` (None: from the first) up to `upto` (None: to the last); `rows` as the lead counted."""

    after: Key | None
    upto: Key | None
    rows: int


def mismatched(after: Key | None, lead: Sequence[Sequence[Any]], other: Sequence[Sequence[Any]]) -> list[Range]:
    """The ranges whose digest or count differ, of as many chunks as the other one has answered."""
    found = []
    for mine, theirs in zip(lead, other, strict=False):
        bound, rows, digest = mine
        if [rows, digest] != list(theirs[1:]):
            found.append(Range(after, bound, rows))
        after = bound
    return found


def unequal(lead: Mapping[str, Any], other: Mapping[str, Any]) -> list[int]:
    """The buckets of a table without a key that differ."""
    return sorted(int(name) for name in {*lead, *other} if lead.get(name) != other.get(name))


def add_buckets(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, Any]:
    """The buckets of two parts of one table together."""
    both = dict(one)
    for name, (count, xor, total) in two.items():
        had = both.get(name, [0, "0", "0"])
        both[name] = [had[0] + count, str(int(had[1]) ^ int(xor)), str(int(had[2]) + int(total))]
    return both


def affordable(buckets: Sequence[int], lead: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[list[int], int]:
    """As many buckets as can be looked at row by row, and how many rows lie in the rest."""
    taken: list[int] = []
    rows = left = 0
    for bucket in buckets:
        size = max(side.get(str(bucket), [0])[0] for side in (lead, other))
        if rows + size <= MOST_BUCKETED:
            taken.append(bucket)
            rows += size
        else:
            left += size
    return taken, left


# Rows. Suspects are kept by their key as JSON: [the lead's version, the other's], None for a row that is not there.

type Suspects = dict[str, list[Version | None]]


def key_json(key: Key) -> str:
    """A key by which rows are found in this module's dictionaries."""
    return json.dumps(key, ensure_ascii=False)


def key_of(text: str) -> Key:
    """The key that `key_json` has written."""
    return list(json.loads(text))


def by_key(rows: Iterable[Mapping[str, Any]]) -> dict[str, Version]:
    """The versions of rows by key."""
    return {key_json(row["key"]): [row["hash"], row["version"]] for row in rows}


def by_hash(hashes: Mapping[str, int]) -> dict[str, Version]:
    """The same of a table without a key: what tells rows apart is their hash, and what may differ is their number."""
    return {key_json([one]): [str(count), ""] for one, count in hashes.items()}


def suspects(lead: Mapping[str, Version], other: Mapping[str, Version]) -> Suspects:
    """The rows that are not the same on both sides."""
    return {
        key: [lead.get(key), other.get(key)]
        for key in sorted({*lead, *other})
        if _hash(lead.get(key)) != _hash(other.get(key))
    }


def _hash(version: Version | None) -> str | None:
    return None if version is None else version[0]


def decided(before: Suspects, now: Suspects) -> tuple[Suspects, Suspects]:
    """Of what was suspected in one round and still is in the next: what is a difference, and what has changed between.

    A row is one where neither side has touched it from the first look to the second. The other has replayed past the
    first, so it has had everything that the lead had then; only a difference can stay like that. One that changes on
    the lead is never found equal by chance: it is looked at again.
    """
    same = {key: seen for key, seen in now.items() if before.get(key) == seen}
    return same, {key: seen for key, seen in now.items() if key not in same}


def row_difference(table: Table, key: str, seen: Sequence[Version | None]) -> Difference:
    """A decided difference by name."""
    mine, theirs = seen
    values = key_of(key)
    if not table["key"]:
        more = int(mine[0] if mine else 0), int(theirs[0] if theirs else 0)
        kind = Kind.MISSING_ROW if more[0] > more[1] else Kind.EXTRA_ROW
        return Difference(kind, name_of(table), f"hash {values[0]}", f"{more[1]} such rows, and {more[0]} in the other")
    if theirs is None:
        return Difference(Kind.MISSING_ROW, name_of(table), key_text(values), "the row is not there")
    if mine is None:
        return Difference(Kind.EXTRA_ROW, name_of(table), key_text(values), "the row is only there")
    return Difference(Kind.DIFFERING_ROW, name_of(table), key_text(values), "the row has other values")


def undecided(table: Table, key: str | None, detail: str) -> Difference:
    """What could not be found out."""
    if key is None:
        return Difference(Kind.UNDECIDED, name_of(table), None, detail)
    values = key_of(key)
    text = key_text(values) if table["key"] else f"hash {values[0]}"
    return Difference(Kind.UNDECIDED, name_of(table), text, detail)
