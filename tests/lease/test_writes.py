"""Every way in which a Django application can write, before a real PostgreSQL: with the lease, and without."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from typing import Any

import psycopg
import pytest
from django.db import Error as DatabaseError
from django.db import InternalError, NotSupportedError, connections, transaction
from psycopg import sql
from relight_lease.errors import LeaseLost

from lab.postgres import Postgres
from tests.lease.conftest import Scene

INSERT = "INSERT INTO written (item) VALUES ('a')"


def execute(scene: Scene, query: Any, params: Any = None) -> Any:
    with scene.connection.cursor() as cursor:
        cursor.execute(query, params)
        return cursor.fetchall() if cursor.description else None


def executemany(scene: Scene) -> None:
    with scene.connection.cursor() as cursor:
        cursor.executemany("INSERT INTO written (item) VALUES (%s)", [("a",), ("b",)])


def copy(scene: Scene) -> None:
    with scene.connection.cursor() as cursor, cursor.copy("COPY written (item) FROM STDIN") as rows:
        rows.write_row(("a",))


def stream(scene: Scene) -> None:
    with scene.connection.cursor() as cursor:
        assert list(cursor.stream(f"{INSERT} RETURNING item")) == [("a",)]


def callproc(scene: Scene) -> None:
    with scene.connection.cursor() as cursor:
        cursor.callproc("put", ["a"])


def atomic(scene: Scene) -> None:
    with transaction.atomic():
        execute(scene, INSERT)


def savepoint(scene: Scene) -> None:
    with transaction.atomic(), transaction.atomic():
        execute(scene, INSERT)


def atomic_after_a_server_side_cursor(scene: Scene) -> None:
    with transaction.atomic():
        with scene.connection.chunked_cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchall() == [(1,)]
        execute(scene, INSERT)


def server_side_in_a_transaction(scene: Scene) -> None:
    with transaction.atomic(), scene.connection.chunked_cursor() as cursor:
        cursor.execute("SELECT put('a')")
        assert cursor.fetchall() == [("a",)]


def without_autocommit(scene: Scene) -> None:
    transaction.set_autocommit(False)
    try:
        execute(scene, INSERT)
        transaction.commit()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


def commit_by_text(scene: Scene) -> None:
    transaction.set_autocommit(False)
    try:
        execute(scene, INSERT)
        execute(scene, "COMMIT")
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


def committed_text(scene: Scene) -> None:
    transaction.set_autocommit(False)
    try:
        execute(scene, f"{INSERT}; COMMIT")
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


def psycopgs_connection(scene: Scene) -> None:
    scene.connection.ensure_connection()
    scene.connection.connection.execute(INSERT)


def psycopgs_transaction(scene: Scene) -> None:
    scene.connection.ensure_connection()
    raw = scene.connection.connection
    with raw.transaction():
        psycopg.Cursor(raw).execute(INSERT)


def psycopgs_with(scene: Scene) -> None:
    scene.connection.ensure_connection()
    raw = scene.connection.connection
    raw.autocommit = False
    try:
        with raw:
            raw.execute(INSERT)
    finally:
        scene.connection.close()


def pipeline_in_a_transaction(scene: Scene) -> None:
    with transaction.atomic():
        execute(scene, "SELECT 1")
        with scene.connection.connection.pipeline():
            execute(scene, INSERT)


WAYS: dict[str, Callable[[Scene], object]] = {
    "execute": lambda scene: execute(scene, INSERT),
    "parameters": lambda scene: execute(scene, "INSERT INTO written VALUES (%s)", ["a"]),
    "bytes": lambda scene: execute(scene, INSERT.encode()),
    "composed": lambda scene: execute(scene, sql.SQL("INSERT INTO written VALUES ({})").format("a")),
    "returning": lambda scene: execute(scene, f"{INSERT} RETURNING item"),
    "comment": lambda scene: execute(scene, f"-- select\n/* select */ {INSERT}"),
    "with": lambda scene: execute(scene, f"WITH new AS ({INSERT} RETURNING item) SELECT * FROM new"),
    "function": lambda scene: execute(scene, "SELECT put('a')"),
    "function in brackets": lambda scene: execute(scene, "(SELECT put('a')) UNION (SELECT 'b')"),
    "function in a values list": lambda scene: execute(scene, "VALUES (put('a'))"),
    "several": lambda scene: execute(scene, f"SELECT 1; {INSERT}"),
    "several with commit": lambda scene: execute(scene, f"{INSERT}; COMMIT; SELECT 1"),
    "do": lambda scene: execute(scene, f"DO $$ BEGIN {INSERT}; END $$"),
    "explain analyze": lambda scene: execute(scene, f"EXPLAIN ANALYZE {INSERT}"),
    "merge": lambda scene: execute(
        scene,
        "MERGE INTO written USING (VALUES ('a')) AS new (item) ON written.item = new.item"
        " WHEN NOT MATCHED THEN INSERT (item) VALUES (new.item)",
    ),
    "prepared": lambda scene: execute(scene, f"DEALLOCATE ALL; PREPARE insertion AS {INSERT}; EXECUTE insertion"),
    "executemany": executemany,
    "copy": copy,
    "stream": stream,
    "callproc": callproc,
    "atomic": atomic,
    "savepoint": savepoint,
    "after a server-side cursor": atomic_after_a_server_side_cursor,
    "server-side cursor in a transaction": server_side_in_a_transaction,
    "without autocommit": without_autocommit,
    "commit by text": commit_by_text,
    "committed text": committed_text,
    "psycopg's connection": psycopgs_connection,
    "psycopg's transaction": psycopgs_transaction,
    "psycopg's with": psycopgs_with,
    "pipeline in a transaction": pipeline_in_a_transaction,
}


def server_side(scene: Scene) -> None:
    with scene.connection.chunked_cursor() as cursor:
        cursor.execute("SELECT put('a')")


def plain_cursor(scene: Scene) -> None:
    scene.connection.ensure_connection()
    psycopg.Cursor(scene.connection.connection).execute(INSERT)


def libpq(scene: Scene) -> None:
    scene.connection.ensure_connection()
    result = scene.connection.connection.pgconn.exec_(INSERT.encode())
    assert b"read-only" in result.error_message
    raise DatabaseError(result.error_message)


def pipeline(scene: Scene) -> None:
    scene.connection.ensure_connection()
    with scene.connection.connection.pipeline():
        execute(scene, INSERT)


def pipeline_with_commit(scene: Scene) -> None:
    scene.connection.ensure_connection()
    raw = scene.connection.connection
    raw.autocommit = False
    try:
        with raw.pipeline():
            raw.execute(INSERT)
            raw.commit()
    finally:
        raw.close()


def pipeline_with_commit_by_text(scene: Scene) -> None:
    scene.connection.ensure_connection()
    raw = scene.connection.connection
    raw.autocommit = False
    try:
        with raw.pipeline():
            raw.execute(INSERT)
            raw.execute("COMMIT")
    finally:
        raw.close()


def two_phases(scene: Scene) -> None:
    scene.connection.ensure_connection()
    raw = scene.connection.connection
    raw.autocommit = False
    try:
        raw.tpc_begin("x")
        raw.execute(INSERT)
        raw.tpc_commit()
    finally:
        raw.close()


# What is refused with the lease as well, rather than let through unwatched.
REFUSED: dict[str, Callable[[Scene], object]] = {
    "server-side cursor": server_side,
    "plain cursor": plain_cursor,
    "libpq": libpq,
    "pipeline": pipeline,
    "pipeline with commit": pipeline_with_commit,
    "pipeline with commit by text": pipeline_with_commit_by_text,
    "two phases": two_phases,
    "begin by text": lambda scene: execute(scene, f"BEGIN; {INSERT}; COMMIT"),
    "begin and write": lambda scene: execute(scene, f"START TRANSACTION READ WRITE; {INSERT}; COMMIT"),
    "set and write": lambda scene: execute(scene, f"SET TRANSACTION READ WRITE; {INSERT}"),
    "commit, begin and write": lambda scene: execute(scene, f"COMMIT; BEGIN READ WRITE; {INSERT}; COMMIT"),
    "set the default": lambda scene: execute(scene, "SET default_transaction_read_only = off"),
    "reset the default": lambda scene: execute(scene, "RESET default_transaction_read_only"),
    "set_config": lambda scene: execute(scene, "SELECT set_config('transaction_timeout', '0', false)"),
    "no timeout": lambda scene: execute(scene, "SET LOCAL transaction_timeout TO 0"),
    "session": lambda scene: execute(scene, "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"),
    "discard": lambda scene: execute(scene, "DISCARD ALL"),
    "reset": lambda scene: execute(scene, "RESET ALL"),
    "chain": lambda scene: execute(scene, f"COMMIT AND CHAIN; {INSERT}"),
    "prepare transaction": lambda scene: execute(scene, f"{INSERT}; PREPARE TRANSACTION 'x'"),
    "call with a commit": lambda scene: execute(scene, "CALL put_and_commit('a')"),
    "concurrently": lambda scene: execute(scene, "CREATE INDEX CONCURRENTLY i ON written (checked)"),
}
# What is not in the table, and is a write all the same.
OTHERS = {
    "table": "CREATE TABLE other ()",
    "select into": "SELECT 1 AS one INTO other",
    "truncate": "TRUNCATE written",
    "sequence": "SELECT nextval('numbers')",
    "for update": "SELECT * FROM written FOR UPDATE",
    "for share": "SELECT * FROM written FOR KEY SHARE",
    "comment": "COMMENT ON TABLE written IS 'x'",
    "grant": "GRANT SELECT ON written TO public",
    "update of nothing": "UPDATE written SET checked = 'x' WHERE false",
}


@pytest.mark.parametrize("way", WAYS)
def test_it_writes_while_the_lease_is_held(scene: Scene, way: str) -> None:
    WAYS[way](scene)
    assert scene.rows()[0] == "a"


@pytest.mark.parametrize("way", WAYS)
def test_it_is_refused_where_the_lease_has_run_out(scene: Scene, way: str) -> None:
    scene.connection.ensure_connection()
    scene.lose()
    with pytest.raises((LeaseLost, InternalError, psycopg.errors.ReadOnlySqlTransaction)) as refusal:
        WAYS[way](scene)
    # Past the cursors of Django it is refused in psycopg's words.
    if not way.startswith(("psycopg's", "server-side", "pipeline")):
        assert refusal.type is LeaseLost
        assert "eu-west-1 holds no write lease: the store could not be asked" in str(refusal.value)
    assert scene.rows() == []


@pytest.mark.parametrize("way", WAYS)
def test_it_writes_again_on_the_same_connection_once_the_lease_is_back(scene: Scene, way: str) -> None:
    scene.connection.ensure_connection()
    scene.lose()
    with suppress(DatabaseError, psycopg.Error):
        WAYS[way](scene)
    scene.hold()
    WAYS[way](scene)
    assert scene.rows()[0] == "a"


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("way", REFUSED)
def test_what_would_go_past_the_lease_is_refused_with_it_and_without(scene: Scene, way: str, held: bool) -> None:
    scene.connection.ensure_connection()
    if not held:
        scene.lose()
    with pytest.raises((DatabaseError, psycopg.Error)):
        REFUSED[way](scene)
    assert scene.rows() == []
    scene.connection.close()
    scene.hold()
    execute(scene, INSERT)
    assert scene.rows() == ["a"]


@pytest.mark.parametrize("what", OTHERS)
def test_other_writes_are_no_exception(scene: Scene, what: str) -> None:
    with transaction.atomic():
        execute(scene, OTHERS[what])
        transaction.set_rollback(True)
    execute(scene, OTHERS[what])
    scene.lose()
    with pytest.raises(LeaseLost):
        execute(scene, OTHERS[what])
    with pytest.raises(LeaseLost), transaction.atomic():
        execute(scene, OTHERS[what])


@pytest.mark.parametrize(
    "query",
    [
        "SELECT item FROM written",
        "/* why */ SELECT item FROM written",
        "WITH found AS (SELECT item FROM written) SELECT * FROM found",
        "(SELECT 'a') UNION (SELECT item FROM written)",
        "TABLE written",
        "SELECT item FROM written; SELECT item FROM written",
        "EXPLAIN INSERT INTO written VALUES ('b')",
        "SHOW server_version",
    ],
)
def test_reads_go_on_without_the_lease(scene: Scene, query: str) -> None:
    execute(scene, INSERT)
    scene.lose()
    assert execute(scene, query)
    with transaction.atomic():
        assert execute(scene, query)
        assert execute(scene, query)
    with scene.connection.cursor() as cursor, cursor.copy("COPY written TO STDOUT") as rows:
        assert b"".join(bytes(row) for row in rows).startswith(b"a\t")
    with scene.connection.chunked_cursor() as cursor:
        cursor.execute("SELECT item FROM written")
        assert cursor.fetchall() == [("a",)]
    execute(scene, "SET statement_timeout = 3000")
    execute(scene, "VACUUM written")


def test_a_transaction_that_had_written_when_the_lease_was_lost_is_lost_with_it(scene: Scene) -> None:
    with pytest.raises(LeaseLost), transaction.atomic():
        execute(scene, INSERT)
        scene.lose()
    assert scene.rows() == []
    scene.hold()
    with pytest.raises(LeaseLost), transaction.atomic():
        execute(scene, INSERT)
        scene.lose()
        execute(scene, "SELECT 1")
    assert scene.rows() == []


def test_a_nested_block_that_survives_the_loss_does_not_hide_it(scene: Scene) -> None:
    """Django would roll back in silence what it could not release."""
    with pytest.raises(LeaseLost), transaction.atomic(), transaction.atomic():
        execute(scene, INSERT)
        scene.lose()
    assert scene.rows() == []


def test_a_transaction_that_had_not_written_goes_on_reading(scene: Scene) -> None:
    with transaction.atomic():
        assert execute(scene, "SELECT item FROM written") == []
        scene.lose()
        assert execute(scene, "SELECT item FROM written") == []
        with pytest.raises(LeaseLost), transaction.atomic():
            execute(scene, INSERT)
        assert execute(scene, "SELECT item FROM written") == []
    assert scene.rows() == []


def test_a_rollback_to_a_savepoint_does_not_open_the_transaction_again(scene: Scene) -> None:
    """The server takes back what was set after the savepoint."""
    transaction.set_autocommit(False)
    try:
        execute(scene, "SAVEPOINT s")
        scene.lose()
        execute(scene, "SELECT 1")
        execute(scene, "ROLLBACK TO SAVEPOINT s")
        with pytest.raises(LeaseLost):
            execute(scene, INSERT)
        execute(scene, "ROLLBACK TO SAVEPOINT s")
        psycopg.Cursor(scene.connection.connection).execute(INSERT)
        with pytest.raises(LeaseLost):
            execute(scene, "COMMIT")
        with pytest.raises(LeaseLost):
            execute(scene, "ROLLBACK TO SAVEPOINT s; COMMIT")
        with pytest.raises(LeaseLost):
            transaction.commit()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert scene.rows() == []


def test_what_was_done_before_a_savepoint_is_lost_as_well(scene: Scene) -> None:
    with pytest.raises(LeaseLost), transaction.atomic():
        execute(scene, INSERT)
        with suppress(LeaseLost), transaction.atomic():
            scene.lose()
            execute(scene, INSERT.replace("'a'", "'b'"))
    assert scene.rows() == []


@pytest.mark.parametrize("way", ["execute", "with", "several", "stream", "function", "psycopg's transaction"])
def test_the_lease_is_looked_at_again_after_the_statement(
    scene: Scene, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.connection.ensure_connection()
    raw = scene.connection.connection
    waits = raw.wait

    def lost_meanwhile(generator: Any, *given: Any) -> Any:
        answer = waits(generator, *given)
        within = raw.info.transaction_status is psycopg.pq.TransactionStatus.INTRANS
        if within and raw.pgconn.exec_(b"SELECT pg_current_xact_id_if_assigned()").get_value(0, 0):
            scene.lose()
        return answer

    monkeypatch.setattr(raw, "wait", lost_meanwhile)
    with pytest.raises(LeaseLost):
        WAYS[way](scene)
    assert scene.lease.end() is None
    assert scene.rows() == []


@pytest.mark.parametrize("in_autocommit", [True, False])
def test_the_lease_is_looked_at_again_after_many_rows(scene: Scene, in_autocommit: bool) -> None:
    def rows() -> Iterator[tuple[str]]:
        yield ("a",)
        scene.lose()
        yield ("b",)

    with scene.connection.cursor() as cursor:
        with pytest.raises(LeaseLost), nullcontext() if in_autocommit else transaction.atomic():
            cursor.executemany("INSERT INTO written (item) VALUES (%s)", rows())
        assert scene.rows() == []
        scene.hold()
        with (
            pytest.raises(LeaseLost),
            nullcontext() if in_autocommit else transaction.atomic(),
            cursor.copy("COPY written (item) FROM STDIN") as copied,
        ):
            for row in rows():
                copied.write_row(row)
    assert scene.rows() == []


def test_hooks_run_for_what_was_committed_only(scene: Scene) -> None:
    ran: list[str] = []
    with transaction.atomic():
        execute(scene, INSERT)
        transaction.on_commit(lambda: ran.append("first"))
    with suppress(LeaseLost), transaction.atomic():
        execute(scene, INSERT.replace("'a'", "'b'"))
        transaction.on_commit(lambda: ran.append("second"))
        scene.lose()
    assert (ran, scene.rows()) == (["first"], ["a"])


def test_an_answer_to_a_commit_that_comes_too_late_is_no_success(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.connection.ensure_connection()
    raw = scene.connection.connection
    commits = psycopg.Connection.commit

    def slowly(connection: Any) -> None:
        commits(connection)
        scene.clock[0] += 15

    monkeypatch.setattr(psycopg.Connection, "commit", slowly)
    with pytest.raises(LeaseLost, match="the write may stand"), transaction.atomic():
        execute(scene, INSERT)
    assert scene.rows() == ["a"]
    assert not raw.closed


def test_whoever_asks_whether_writes_are_taken_is_told_as_a_write_would_be(scene: Scene) -> None:
    question = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool"
    assert execute(scene, question) == [(False,)]
    assert execute(scene, "SHOW transaction_read_only") == [("off",)]
    scene.lose()
    assert execute(scene, question) == [(True,)]
    assert execute(scene, "SHOW transaction_read_only") == [("on",)]


def test_an_application_that_wants_to_read_only_is_told_in_the_servers_words(scene: Scene) -> None:
    with pytest.raises(InternalError, match="read-only"), transaction.atomic():
        execute(scene, "SET TRANSACTION READ ONLY")
        execute(scene, INSERT)


def test_a_database_that_relight_made_read_only_stays_so_under_the_lease(scene: Scene) -> None:
    """Fence and planned mode rest on a database's default, which a transaction could overrule."""
    scene.database.sql("ALTER DATABASE shop SET default_transaction_read_only = on")
    try:
        scene.connection.close()
        for way in ("execute", "atomic", "executemany", "copy", "function"):
            with pytest.raises((InternalError, psycopg.errors.ReadOnlySqlTransaction), match="read-only"):
                WAYS[way](scene)
        assert execute(scene, "SHOW transaction_read_only") == [("on",)]
    finally:
        scene.database.sql("ALTER DATABASE shop RESET default_transaction_read_only")
    assert scene.rows() == []
    scene.connection.close()
    execute(scene, INSERT)
    assert scene.rows() == ["a"]


def test_a_refusal_says_which_statement_it_means(scene: Scene) -> None:
    with pytest.raises(NotSupportedError, match="a change of transaction_timeout would take back"):
        execute(scene, "SET transaction_timeout = 0")
    with pytest.raises(NotSupportedError, match="begun by atomic"):
        execute(scene, "BEGIN")


def test_a_replica_is_read_and_takes_writes_once_it_is_promoted(scene: Scene) -> None:
    """As in the Region that is being activated, where the lease can be held before the promotion is done."""
    execute(scene, INSERT)
    replica = Postgres.copy_of(scene.database, scene.database.data_dir.with_name("replica"), "127.0.2.22", 0, slot="dr")
    connection = type(scene.connection)(
        {**scene.connection.settings_dict, "HOST": replica.host, "PORT": replica.port}, "replica"
    )
    connections["replica"] = connection
    try:
        replica.start()
        with connection.cursor() as cursor:
            cursor.execute("SELECT item FROM written")
            assert cursor.fetchall() == [("a",)]
            with transaction.atomic(using="replica"):
                cursor.execute("SELECT item FROM written")
            with pytest.raises(InternalError, match="read-only"):
                cursor.execute("INSERT INTO written VALUES ('b')")
            with pytest.raises(InternalError, match="read-only"), transaction.atomic(using="replica"):
                cursor.execute("INSERT INTO written VALUES ('b')")
            replica.promote()
            cursor.execute("SELECT 1")  # the connection hears of it with an answer, as from Django's health check
            with transaction.atomic(using="replica"):
                cursor.execute("INSERT INTO written VALUES ('b')")
            cursor.execute("INSERT INTO written VALUES ('c')")
            scene.lose()
            with pytest.raises(LeaseLost):
                cursor.execute("INSERT INTO written VALUES ('d')")
        assert replica.sql("SELECT count(*) FROM written") == [(3,)]
    finally:
        connection.close()
        del connections["replica"]
        replica.destroy()
        scene.database.drop_slot("dr")
