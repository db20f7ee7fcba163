"""The report of what was lost: as JSON, as CSV, and as SQL that a real server takes."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from relight import reconciliation
from relight.quoting import literal, one_line, quoted, table_name

from lab.postgres import Postgres
from tests.lab.asking import connect
from tests.unit.twins import ACTIVE, clean, run, start_server

TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
# What the first line of a psql script, or a comment, could be broken out of with.
EVIL = [
    "'; DROP TABLE t; --",
    "a\nDROP TABLE t;",
    "a\rDROP TABLE t;",
    "\\'; DROP TABLE t; --",
    "\u2028x",
    'a"b',
    "",
    "$$",
    ":x",
    "\\",
]


def row(**changed: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "table": "public.t",
        "key": {"id": "1"},
        "kind": "only_retired",
        "retired": {"id": "1", "word": "a", "made": "A"},
        "active": None,
        "cut": [],
    }
    return made | changed


def document(*rows: dict[str, Any], **changed: Any) -> dict[str, Any]:
    table = {
        "table": "public.t",
        "schema": "public",
        "name": "t",
        "key": ["id"],
        "is_there": True,
        "generated": ["made"],
    }
    head = {"retired": {"instance": "shop-retired-1"}, "truncated": False, "rows": len(rows)}
    text = "".join(reconciliation.report(head, [table | changed], rows))
    return dict(json.loads(text))


def wanted(script: str) -> str:
    """With the comment marks taken off the INSERTs, and ended in COMMIT."""
    return script.replace("\n-- INSERT ", "\nINSERT ").replace("\nROLLBACK;", "\nCOMMIT;")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    yield from start_server()


@pytest.fixture
def session(server: Postgres) -> Iterator[psycopg.Connection[Any]]:
    """The active database, with a table that lacks a row and has another one otherwise."""
    clean(server)
    run(
        server,
        "CREATE TABLE t (id int PRIMARY KEY, word text, made text GENERATED ALWAYS AS (upper(word)) STORED)",
        ACTIVE,
    )
    with connect(server, dbname=ACTIVE) as session:
        yield session


# JSON and CSV


def test_a_report_has_its_rows_table_by_table() -> None:
    tables = [{"table": "a"}, {"table": "b"}, {"table": "c"}]
    rows = [row(table="a"), row(table="a", key=None), row(table="c")]
    found = json.loads("".join(reconciliation.report({"run": "r"}, tables, rows)))
    assert (found["run"], [len(table["rows"]) for table in found["tables"]]) == ("r", [2, 0, 1])
    assert found["tables"][0]["rows"][0] == rows[0]
    assert json.loads("".join(reconciliation.report({"run": "r"}, [], [])))["tables"] == []


def test_a_document_is_made_piece_by_piece() -> None:
    taken = []

    def entries() -> Iterator[dict[str, Any]]:
        for number in range(3):
            taken.append(number)
            yield {"n": number}

    pieces = reconciliation.document({"run": "r"}, "differences", entries())
    next(pieces)
    assert taken == []
    text = "".join(pieces)
    assert text.count("\n") > 3
    empty = json.loads("".join(reconciliation.document({"run": "r"}, "differences", [])))
    assert empty == {"run": "r", "differences": []}


def test_csv_has_a_line_for_each_value_that_is_missing() -> None:
    rows = [
        row(retired={"id": "1", "word": None, "empty": ""}),
        row(kind="differs", retired={"id": "2", "word": 'a,\n"b"'}, active={"id": "2", "word": None}, key={"id": "2"}),
    ]
    text = "".join(reconciliation.as_csv(rows))
    assert '"public.t","{""id"": ""1""}","only_retired","word",,\r\n' in text, "NULL is no text"
    assert '"public.t","{""id"": ""1""}","only_retired","empty","",\r\n' in text
    found = list(csv.reader(io.StringIO(text)))
    assert found[0] == ["table", "key", "kind", "column", "retired", "active"]
    assert [line[3] for line in found[1:]] == ["id", "word", "empty", "word"]
    assert found[-1][4] == 'a,\n"b"'


# SQL


def test_the_script_changes_nothing_as_it_is(session: psycopg.Connection[Any]) -> None:
    session.execute("INSERT INTO t (id, word) VALUES (2, 'active')")
    script = "".join(
        reconciliation.to_sql(
            document(
                row(),
                row(
                    kind="differs",
                    key={"id": "2"},
                    retired={"id": "2", "word": "old"},
                    active={"id": "2", "word": "active"},
                ),
            )
        )
    )
    session.execute(script.encode())
    assert session.execute("SELECT id, word FROM t").fetchall() == [(2, "active")]
    assert script.rstrip().splitlines()[-1] == "ROLLBACK;"
    session.execute(script.replace("ROLLBACK;", "COMMIT;").encode())
    assert session.execute("SELECT id, word FROM t").fetchall() == [(2, "active")], "nor does whoever runs it blindly"
    session.execute(wanted(script).encode())
    assert session.execute("SELECT id, word, made FROM t ORDER BY id").fetchall() == [
        (1, "a", "A"),
        (2, "active", "ACTIVE"),
    ]
    (update,) = [line for line in script.splitlines() if line.startswith("-- UPDATE")]
    session.execute(update.removeprefix("-- ").encode())
    assert session.execute("SELECT word FROM t WHERE id = 2").fetchall() == [("old",)]
    session.execute(wanted(script).encode())
    assert session.execute("SELECT count(*) FROM t").fetchall() == [(2,)], "what is there is left alone"


@pytest.mark.parametrize("evil", EVIL)
def test_no_value_gets_out_of_its_place(session: psycopg.Connection[Any], evil: str) -> None:
    session.execute("INSERT INTO t (id, word) VALUES (2, 'active')")
    rows = [
        row(retired={"id": "1", "word": evil, "made": "x"}),
        row(kind="differs", key={"id": "2"}, retired={"id": "2", "word": evil}, active={"id": "2", "word": "active"}),
        row(kind="differs", key={"id": evil}, retired={"id": "3", evil: "b"}, active={"id": "3", evil: evil}),
        row(cut=[evil], key={evil: evil}),
    ]
    left = {"unknown": evil, "not_compared": [{"table": evil, "why": evil}]}
    found = document(*rows) | {"retired": {"instance": evil}} | left
    script = "".join(reconciliation.to_sql(found))
    assert all(line.startswith(("--", "BEGIN;", "SET LOCAL ", "ROLLBACK;")) for line in script.split("\n") if line)
    session.execute(wanted(script).encode())
    assert session.execute("SELECT id, word FROM t ORDER BY id").fetchall() == [(1, evil), (2, "active")]


def test_what_cannot_be_put_back_is_a_comment() -> None:
    there = "".join(reconciliation.to_sql(document(row(cut=["word"]))))
    assert "is longer than the report tells" in there
    gone = "".join(reconciliation.to_sql(document(row(), is_there=False)))
    for script in (there, gone):
        assert not [line for line in script.splitlines() if line.startswith(("-- INSERT", "-- UPDATE"))]
    assert "NOT ALL" not in there
    assert "NOT ALL" in "".join(reconciliation.to_sql(document(row()) | {"truncated": True}))


def test_its_head_says_what_it_is_and_what_it_lacks() -> None:
    left = {"unknown": "it is gone", "not_compared": [{"table": "public.scratch", "why": "it is unlogged"}]}
    head = " ".join(
        line.removeprefix("-- ") for line in "".join(reconciliation.to_sql(document(row()) | left)).splitlines()[:9]
    )
    assert "each INSERT and each UPDATE is a comment, and it ends in ROLLBACK" in head
    assert "only in the retired database: never replicated, or deleted since" in head
    assert 'NOT ALL: what was lost is not known: "it is gone"' in head
    assert 'NOT COMPARED: {"table": "public.scratch", "why": "it is unlogged"}' in head


def test_a_row_without_a_key_is_put_back_too(session: psycopg.Connection[Any]) -> None:
    script = "".join(reconciliation.to_sql(document(row(key=None), key=[])))
    session.execute(wanted(script).encode())
    assert session.execute("SELECT word FROM t").fetchall() == [("a",)]


@given(TEXTS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_words_mean_what_they_say(session: psycopg.Connection[Any], text: str) -> None:
    said = f"SELECT {literal(text)} AS {one_line((text or 'x').encode()[:40].decode(errors='ignore'))}"
    assert len(said.splitlines()) == 1
    found = session.execute(said.encode())
    assert found.fetchone() == (text,)
    assert found.description is not None
    assert found.description[0].name == (text or "x").encode()[:40].decode(errors="ignore")


def test_names_are_quoted_where_they_must_be() -> None:
    assert (table_name("public", "orders"), table_name("public", "Orders")) == ("public.orders", 'public."Orders"')
    assert (quoted('a"b'), literal(None), literal("it's")) == ('"a""b"', "NULL", "'it''s'")
