"""What a statement's text tells; the server has the last word, see test_writes."""

import pytest
from relight_lease.statement import begins, ends, harmless, reads, several, taken_back


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        " select 1 ;",
        "SELECT 1;\n",
        "-- INSERT\nSELECT 1",
        "/* INSERT */ (SELECT 1) UNION (SELECT 2)",
        "VALUES (1)",
        "TABLE written",
        "SHOW search_path",
        "EXPLAIN SELECT 1",
        "SET statement_timeout = 1000",
        "SELECT * FROM update_log",
        "COMMIT",
        "VACUUM",
    ],
)
def test_a_read_is_known(text: str) -> None:
    assert reads(text)


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t VALUES (1)",
        "/* SELECT */ DELETE FROM t",
        "-- SELECT",
        "/* SELECT",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "SELECT 1; DELETE FROM t",
        "SELECT 1; -- and",
        "/* why; */ SELECT 1",
        "SELECT * FROM t FOR UPDATE",
        "SELECT * FROM t FOR NO KEY UPDATE SKIP LOCKED",
        "select * from t\nfor key share",
        "SELECT nextval('s')",
        "SHOW transaction_read_only",
        "COPY t TO STDOUT",
        "CALL p()",
        "DO $$ BEGIN END $$",
        "selection",
        "",
        ";",
    ],
)
def test_what_may_be_more_is_taken_for_a_write(text: str) -> None:
    assert not reads(text)


@pytest.mark.parametrize(
    "text",
    [
        "BEGIN READ WRITE",
        "begin isolation level serializable, read\twrite",
        "START TRANSACTION READ WRITE",
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE",
        "SELECT 1; SET LOCAL transaction_read_only = off",
        "SET default_transaction_read_only TO DEFAULT",
        "RESET default_transaction_read_only",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "SET transaction_timeout = 0",
        "SELECT set_config('default_transaction_read_only', 'off', false)",
        "SELECT pg_catalog.set_config( 'transaction_timeout', '0', false)",
        "RESET ALL",
        "DISCARD ALL",
        "COMMIT AND CHAIN",
        "END WORK AND CHAIN",
        "ROLLBACK AND CHAIN",
        "PREPARE TRANSACTION 'x'",
        "COMMIT PREPARED 'x'",
    ],
)
def test_what_takes_the_arrangement_back_is_named(text: str) -> None:
    assert taken_back(text, ends_transactions=True)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT current_setting('transaction_read_only')",
        "INSERT INTO t VALUES ('begin to read write')",
        "INSERT INTO t VALUES ('it''s ', 'RESET ALL')",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN RETURN 1; END $f$; -- and chain",
        "SELECT * FROM discard WHERE reset = ALL (SELECT 1)",
        "SET statement_timeout = 1000",
        "BEGIN READ ONLY",
        "PREPARE p AS SELECT 1",
        "SELECT chain FROM commit_log",
        "COMMIT",
    ],
)
def test_nothing_else_is(text: str) -> None:
    assert taken_back(text, ends_transactions=True) is None


def test_many_comments_cost_no_more_than_few() -> None:
    comments = "/* a */ -- b\n" * 2000
    assert reads(f"{comments}SELECT 1")
    assert not reads(f"{comments}INSERT INTO t VALUES (1)")
    assert not reads("/* a" * 5000)


def test_older_servers_rest_on_other_timeouts() -> None:
    for text in ("SET idle_in_transaction_session_timeout TO 0", "COMMIT", "INSERT INTO t VALUES (1); COMMIT", "END"):
        assert taken_back(text, ends_transactions=False)
        assert taken_back(text, ends_transactions=True) is None


def test_the_rest() -> None:
    assert begins("/* x */ begin")
    assert begins("START TRANSACTION")
    assert not begins("CREATE FUNCTION f() AS $$ BEGIN END $$")
    assert ends("commit")
    assert ends("END WORK")
    assert not ends("ROLLBACK")
    assert harmless("ROLLBACK TO SAVEPOINT s")
    assert harmless("RELEASE SAVEPOINT s;")
    assert not harmless("ROLLBACK TO SAVEPOINT s; COMMIT")
    assert not several("SELECT 1; ;")
