"""What `dbcheck` says of a database's contents: of real servers, whoever asks, and from one snapshot."""

import json
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from relight import digest
from relight.dbcheck import neighbours
from relight.digest import SIZES, next_size
from relight.errors import InputInvalid
from relight.lsn import position

from lab.binaries import folder
from lab.postgres import Postgres
from tests.lab.asking import connect, until
from tests.unit.twins import ACTIVE, BOTH, COPY, clean, dbcheck, start_server
from tests.unit.twins import run as run_in

type Ask = Callable[..., dict[str, Any]]
TABLE = {"schema": "public", "name": "t", "key": ["id"]}
MADE = """
CREATE TABLE t (id int PRIMARY KEY, word text);
INSERT INTO t SELECT n, 'word ' || n FROM generate_series(1, 1000) n
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    yield from start_server()


@pytest.fixture
def shop(server: Postgres) -> Postgres:
    """Both databases, empty."""
    clean(server)
    return server


@pytest.fixture
def ask(server: Postgres) -> Ask:
    """`ask(check, **event)` of the active database."""
    return lambda check, **event: dbcheck(server, ACTIVE).check({"check": check, **event})


def run(server: Postgres, statements: str, *databases: str) -> None:
    """Run them, and let dbcheck read what they have made, as the first question of a comparison does."""
    run_in(server, statements, *databases)
    for database in databases or BOTH:
        dbcheck(server, database).check({"check": "tables"})


def chunks(answer: dict[str, Any]) -> list[list[Any]]:
    assert "failed" not in answer, answer
    return [list(chunk) for chunk in answer["chunks"]]


# Tables


def test_tables_are_told_as_postgresql_writes_them(shop: Postgres, ask: Ask) -> None:
    run(
        shop,
        """
        CREATE TABLE t (id int PRIMARY KEY, word text COLLATE "C" NOT NULL DEFAULT 'a',
                        twice int GENERATED ALWAYS AS (id * 2) STORED, CHECK (id > 0));
        CREATE INDEX by_word ON t (lower(word)) WHERE id > 5;
        CREATE TABLE later (id int REFERENCES t)
        """,
    )
    answer = ask("tables")
    assert (answer["reached"], answer["in_recovery"], answer["more"]) == (True, False, False)
    assert [table["name"] for table in answer["tables"]] == ["later", "t"]
    table = answer["tables"][1]
    assert (table["kind"], table["key"], table["columns"]) == ("table", ["id"], ["id", "word", "twice"])
    lines = table["definition"]
    assert "column word text COLLATE \"C\" NOT NULL DEFAULT 'a'::text" in lines
    assert "column twice integer GENERATED s (id * 2)" in lines
    assert "constraint t_id_check CHECK ((id > 0))" in lines
    assert "CREATE INDEX by_word ON public.t USING btree (lower(word)) WHERE (id > 5)" in lines
    assert "constraint later_id_fkey FOREIGN KEY (id) REFERENCES public.t(id)" in answer["tables"][0]["definition"]


def test_tables_are_told_page_by_page(shop: Postgres, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    run(shop, ";".join(f"CREATE TABLE t{n} (id int)" for n in range(5)), ACTIVE)
    monkeypatch.setattr(digest, "ANSWER_BYTES", 1100)
    found: list[str] = []
    answer = ask("tables")
    while answer["more"]:
        found += [table["name"] for table in answer["tables"]]
        answer = ask("tables", after=["public", found[-1]])
    assert found + [table["name"] for table in answer["tables"]] == ["t0", "t1", "t2", "t3", "t4"]


@pytest.mark.parametrize(
    ("made", "key"),
    [
        ("(id int PRIMARY KEY, b int UNIQUE)", ["id"]),
        ("(a int NOT NULL, b int NOT NULL, UNIQUE (b, a))", ["b", "a"]),
        ("(a int UNIQUE)", []),
        ("(a int NOT NULL); CREATE UNIQUE INDEX ON t (a DESC)", []),
        ("(a int NOT NULL); CREATE UNIQUE INDEX ON t (a) WHERE a > 0", []),
        ("(a int NOT NULL); CREATE UNIQUE INDEX ON t ((a + 1))", []),
        ("(a text NOT NULL); CREATE UNIQUE INDEX ON t (a text_pattern_ops)", []),
        ("(a int NOT NULL, b int); CREATE UNIQUE INDEX ON t (a) INCLUDE (b)", ["a"]),
    ],
)
def test_a_key_is_what_tells_rows_apart(shop: Postgres, ask: Ask, made: str, key: list[str]) -> None:
    run(shop, f"CREATE TABLE t {made}", ACTIVE)
    assert ask("tables")["tables"][0]["key"] == key


# Digests


def test_chunks_follow_the_key_and_hold_each_row_once(shop: Postgres, ask: Ask) -> None:
    run(shop, MADE)
    answer = ask("digest", table=TABLE, rows=300, fixed=True)
    assert [(chunk[0], chunk[1]) for chunk in chunks(answer)] == [
        (["300"], 300),
        (["600"], 300),
        (["900"], 300),
        (["1000"], 100),
    ]
    assert not answer["more"]
    assert chunks(ask("digest", table=TABLE, after=["600"], rows=300, fixed=True)) == chunks(answer)[2:]
    assert chunks(ask("digest", table=TABLE, after=["1000"])) == []
    bounded = ask("digest", table=TABLE, bounds=[chunk[0] for chunk in chunks(answer)])
    assert chunks(bounded) == chunks(answer)
    part = ask("digest", table=TABLE, after=["100"], upto=["150"], rows=20, fixed=True)
    assert [(chunk[0], chunk[1]) for chunk in chunks(part)] == [(["120"], 20), (["140"], 20), (["150"], 10)]


def test_a_request_works_no_longer_than_it_may(shop: Postgres, ask: Ask) -> None:
    run(shop, MADE)
    answer = ask("digest", table=TABLE, rows=300, seconds=0)
    assert (len(answer["chunks"]), answer["more"]) == (1, True)
    answer = ask("digest", table=TABLE, bounds=[["10"], ["20"], ["30"]], seconds=0)
    assert (len(answer["chunks"]), answer["more"]) == (1, True)


def test_the_size_of_a_chunk_follows_the_time_that_it_takes() -> None:
    assert [next_size(1000, seconds) for seconds in (0.01, 0.3, 5.0)] == [2000, 1000, 500]
    assert (next_size(SIZES[1], 0.0), next_size(SIZES[0], 60.0)) == (SIZES[1], SIZES[0])


def test_the_order_of_rows_does_not_matter(shop: Postgres, ask: Ask) -> None:
    run(shop, "CREATE TABLE t (id int PRIMARY KEY, word text)")
    run(shop, "INSERT INTO t SELECT n, md5(n::text) FROM generate_series(1, 500) n", ACTIVE)
    run(shop, "INSERT INTO t SELECT n, '' FROM generate_series(500, 1, -1) n; UPDATE t SET word = md5(id::text)", COPY)
    for table in (TABLE, TABLE | {"key": []}):
        event = {"check": "digest", "table": table, "buckets": 16}
        one, other = (dbcheck(shop, database).check(event) for database in (ACTIVE, COPY))
        assert [one.get(part) for part in ("chunks", "buckets")] == [other.get(part) for part in ("chunks", "buckets")]


def test_values_do_not_depend_on_who_asks(shop: Postgres, ask: Ask) -> None:
    run(
        shop,
        """
        CREATE TYPE mood AS ENUM ('so');
        CREATE TABLE t (id int PRIMARY KEY, at timestamptz, day date, i interval, f float8, b bytea, m money,
                        r regclass, o mood, many timestamptz[]);
        INSERT INTO t VALUES (1, '2026-01-02 03:04:05+06', '2026-02-03', '1 mon 2 days 03:04:05', 0.1, '\\x00', 1, 't',
                              'so', '{2026-01-02 03:04:05+06}')
        """,
        ACTIVE,
    )
    events: list[dict[str, Any]] = [{"check": "digest"}, {"check": "rows", "values": True}, {"check": "tables"}]
    before = [ask(table=TABLE, **event) for event in events]
    others = {
        "datestyle": "'German, DMY'",
        "timezone": "'Pacific/Apia'",
        "intervalstyle": "'iso_8601'",
        "extra_float_digits": "'-10'",
        "bytea_output": "'escape'",
        "quote_all_identifiers": "on",
        "search_path": "'public'",
    }
    try:
        for name, value in others.items():
            shop.sql(f"ALTER ROLE relight_check SET {name} = {value}")
        after = [ask(table=TABLE, **event) for event in events]
    finally:
        shop.sql("ALTER ROLE relight_check RESET ALL")
    for one, other in zip(before, after, strict=True):
        assert {**one, "lsn": None} == {**other, "lsn": None}
    assert before[1]["rows"][0]["values"] == {
        "id": "1",
        "at": "2026-01-01 21:04:05+00",
        "day": "2026-02-03",
        "i": "1 mon 2 days 03:04:05",
        "f": "0.1",
        "b": "\\x00",
        "m": "$1.00",
        "r": "public.t",
        "o": "so",
        "many": '{"2026-01-01 21:04:05+00"}',
    }


def test_a_table_of_many_blocks_is_read_in_parts(shop: Postgres, ask: Ask) -> None:
    run(
        shop,
        "CREATE TABLE t (word text); INSERT INTO t SELECT repeat('x', 1800) || n % 7 FROM generate_series(1, 700) n",
    )
    table = {"schema": "public", "name": "t", "key": []}
    whole = ask("digest", table=table, buckets=4)
    assert (whole["more"], sum(one[0] for one in whole["buckets"].values())) == (False, 700)
    answer = ask("digest", table=table, buckets=4, seconds=0)
    rows, requests = 0, 1
    while answer["more"]:
        rows, requests = rows + sum(one[0] for one in answer["buckets"].values()), requests + 1
        answer = ask("digest", table=table, buckets=4, block=answer["block"], seconds=0)
    assert (rows + sum(one[0] for one in answer["buckets"].values()), requests > 1) == (700, True)
    hashes = ask("rows", table=table, buckets=4, only=[0, 1, 2, 3])["hashes"]
    assert sorted(hashes.values()) == [100] * 7
    one = next(iter(hashes))
    found = ask("rows", table=table, hashes=[one])["rows"]
    assert {row["hash"] for row in found} == {one}
    assert len(found) == 100


# Rows


def test_rows_are_told_by_key_and_by_range(shop: Postgres, ask: Ask) -> None:
    run(shop, MADE)
    answer = ask("rows", table=TABLE, after=["995"])
    assert [row["key"] for row in answer["rows"]] == [["996"], ["997"], ["998"], ["999"], ["1000"]]
    assert not answer["more"]
    assert ask("rows", table=TABLE, limit=3)["more"]
    by_key = ask("rows", table=TABLE, keys=[["998"], ["5000"], ["1000"]])
    assert (by_key["done"], by_key["more"]) == (3, False)
    assert sorted(row["key"] for row in by_key["rows"]) == [["1000"], ["998"]]
    known = {row["key"][0]: row["hash"] for row in answer["rows"]}
    assert all(row["hash"] == known[row["key"][0]] for row in by_key["rows"])


def test_the_version_of_a_row_changes_with_each_update(shop: Postgres, ask: Ask) -> None:
    run(shop, MADE)
    one = ask("rows", table=TABLE, keys=[["7"]])["rows"][0]
    assert ask("rows", table=TABLE, keys=[["7"]])["rows"][0] == one
    run(shop, "UPDATE t SET word = word WHERE id = 7", ACTIVE)
    again = ask("rows", table=TABLE, keys=[["7"]])["rows"][0]
    assert (again["hash"], again["version"] != one["version"]) == (one["hash"], True)


def test_an_answer_has_no_more_values_than_lambda_lets_through(
    shop: Postgres, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest, "ANSWER_BYTES", 100_000)
    run(shop, "CREATE TABLE t (id int PRIMARY KEY, word text)")
    run(shop, "INSERT INTO t SELECT n, repeat('x', 9000) FROM generate_series(1, 100) n", ACTIVE)
    keys = [[str(n)] for n in range(1, 101)]
    answer = ask("rows", table=TABLE, keys=keys, values=True)
    assert (answer["done"], len(answer["rows"]), answer["more"]) == (14, 14, True)


# A character of each length that JSON has for one: 1, 6 and 12 bytes.
@pytest.mark.parametrize("character", ["'x'", "chr(1)", "U&'\\+01F600'"])
def test_the_largest_rows_fit_into_answers_and_none_is_left_out(shop: Postgres, ask: Ask, character: str) -> None:
    columns = [f"c{n}" for n in range(70)]
    run(shop, f"CREATE TABLE t (id int PRIMARY KEY, {', '.join(f'{name} text' for name in columns)})", ACTIVE)
    long = ", ".join([f"repeat({character}, 17000)"] * len(columns))
    run(shop, f"INSERT INTO t SELECT n, {long} FROM generate_series(1, 6) n", ACTIVE)
    keys, told, table = [[str(n)] for n in range(1, 7)], [], TABLE | {"columns": ["id", *columns]}
    while keys:
        answer = ask("rows", table=table, keys=keys, values=True)
        assert len(json.dumps(answer)) < 6_000_000
        told += [row["key"] for row in answer["rows"]]
        assert all(len(row["cut"]) == len(columns) for row in answer["rows"])
        keys = keys[answer["done"] :]
    assert told == [[str(n)] for n in range(1, 7)]


@pytest.mark.parametrize("character", ["'x'", "U&'\\+01F600'"])
def test_rows_without_a_key_fit_into_answers_though_one_block_has_more(
    shop: Postgres, ask: Ask, character: str
) -> None:
    run(shop, "CREATE TABLE t (id int, word text)", ACTIVE)
    run(shop, f"INSERT INTO t SELECT n, repeat({character}, 17000) FROM generate_series(1, 150) n", ACTIVE)
    table = TABLE | {"key": []}
    hashes = list(ask("rows", table=table, buckets=1, only=[0], block=0)["hashes"])
    told: list[str] = []
    block: Any = 0
    answers = 0
    while block is not None:
        answer = ask("rows", table=table, hashes=hashes, block=block)
        assert len(json.dumps(answer)) < 6_000_000
        told += [row["values"]["id"] for row in answer["rows"]]
        block, answers = answer["block"], answers + 1
    assert told == [str(n) for n in range(1, 151)]
    assert answers > 1


# A replica


def test_a_replica_is_read_only_once_it_has_come_far_enough(shop: Postgres, ask: Ask) -> None:
    run(shop, MADE)
    made = folder("relight-test-")
    replica = Postgres.copy_of(shop, made / "replica", "127.0.0.1", 0, slot="dr")
    try:
        replica.start()
        until(replica.streams)
        there = dbcheck(replica, ACTIVE)
        replica.sql("SELECT pg_wal_replay_pause()")
        until(lambda: replica.sql("SELECT pg_get_wal_replay_pause_state()") == [("paused",)])
        run(shop, "UPDATE t SET word = 'new' WHERE id = 7", ACTIVE)
        active = ask("digest", table=TABLE)
        event = {"check": "digest", "table": TABLE, "past": active["lsn"]}
        behind = there.check(event)
        assert (behind["reached"], behind["behind"], "chunks" in behind) == (True, True, False)
        assert position(behind["lsn"]) < position(active["lsn"])
        replica.sql("SELECT pg_wal_replay_resume()")
        ask("write")
        until(lambda: not there.check(event)["behind"])
        answer = there.check(event)
        assert (answer["in_recovery"], chunks(answer)) == (True, chunks(active))
        assert there.check({"check": "tables"})["tables"] == ask("tables")["tables"]
        assert there.check({"check": "slots"})["slots"] == []
        (slot,) = ask("slots")["slots"]
        assert (slot["name"], slot["type"], slot["active"]) == ("dr", "physical", True)
    finally:
        replica.destroy()
        shutil.rmtree(made, ignore_errors=True)
        until(lambda: not shop.sql("SELECT 1 FROM pg_replication_slots WHERE active"))
        shop.drop_slot("dr")


# Rights


def test_slots_that_nobody_reads_are_dropped(shop: Postgres, ask: Ask) -> None:
    for slot in ("one", "two"):
        shop.ensure_slot(slot)
    try:
        shop.sql("ALTER ROLE shop_owner NOREPLICATION")  # an owner that is not the master user
        refused = ask("drop_slots")
        assert (refused["dropped"], refused["sentence"]) == ([], "dropped: none; could not be dropped: one, two")
        shop.sql("ALTER ROLE shop_owner REPLICATION")
        answer = ask("drop_slots")
        assert (answer["dropped"], answer["slots"]) == (["one", "two"], [])
        assert ask("drop_slots")["sentence"] == "dropped: none"
    finally:
        shop.sql("ALTER ROLE shop_owner REPLICATION")
        for slot in ("one", "two"):
            shop.drop_slot(slot)


def test_an_owner_who_may_not_grant_reading_all_lets_it_read_what_it_can(shop: Postgres, ask: Ask) -> None:
    assert shop.sql("SELECT pg_has_role('relight_check', 'pg_read_all_data', 'member')") == [(False,)]
    run_in(shop, "CREATE SCHEMA later; CREATE TABLE later.t (id int PRIMARY KEY); CREATE SEQUENCE later.s")
    (table,) = ask("tables")["tables"]
    assert table["readable"]
    assert [one["readable"] for one in ask("sequences")["sequences"]] == [True]


def test_it_may_read_and_not_write(shop: Postgres, ask: Ask) -> None:
    run(shop, MADE)
    ask("tables")
    with connect(shop, user="relight_check", password="", dbname=ACTIVE) as session:
        assert session.execute("SELECT count(*) FROM t").fetchone() == (1000,)
        for statement in (
            "INSERT INTO t VALUES (0)",
            "UPDATE t SET word = ''",
            "DELETE FROM t",
            "TRUNCATE t",
            "CREATE TABLE own (id int)",
            "SELECT id FROM t FOR UPDATE",
        ):
            with pytest.raises(Exception, match="permission denied"):
                session.execute(statement.encode())


def test_the_owner_of_all_may_grant_reading_all(shop: Postgres) -> None:
    """As on RDS."""
    shop.sql("GRANT pg_read_all_data TO rds_superuser WITH ADMIN OPTION")
    try:
        with connect(shop, dbname=ACTIVE) as session:
            session.execute(b"GRANT pg_read_all_data TO relight_check")
        shop.sql("CREATE TABLE others (id int PRIMARY KEY)", database=ACTIVE)
        (table,) = dbcheck(shop, ACTIVE).check({"check": "tables"})["tables"]
        assert table["readable"]
    finally:
        shop.sql("REVOKE pg_read_all_data FROM rds_superuser CASCADE")


# What is asked wrongly, or cannot be had


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"name": "nothing"}, "there is no table"),
        ({"columns": ["id", "more"]}, "has no column more"),
        ({"key": ["other"]}, "has no column other"),
        ({"name": 't"; DROP TABLE t; --'}, "there is no table"),
        ({"columns": ['word"), 0) FROM t; DROP TABLE t; --']}, "has no column"),
    ],
)
def test_a_table_or_column_that_is_not_there_is_an_answer(
    shop: Postgres, ask: Ask, table: dict[str, Any], said: str
) -> None:
    run(shop, MADE)
    answer = ask("digest", table=TABLE | table)
    assert (answer["reached"], answer["failed"]) == (True, "42P01")
    assert said in answer["sentence"]
    assert shop.sql("SELECT count(*) FROM t", database=ACTIVE) == [(1000,)]


def test_what_a_statement_ends_in_is_an_answer(shop: Postgres, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    run(shop, MADE)
    answer = ask("digest", table=TABLE, after=["seven"])
    assert (answer["reached"], answer["failed"]) == (True, "22P02")
    monkeypatch.setattr(digest, "PINNED", digest.PINNED.replace("statement_timeout = '8s'", "statement_timeout = 1"))
    run(shop, "INSERT INTO t SELECT n, n FROM generate_series(2000, 90000) n", ACTIVE)
    assert ask("digest", table=TABLE, rows=65536)["failed"] == "57014"


def test_a_lock_is_not_waited_for(shop: Postgres, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "PINNED", digest.PINNED.replace("lock_timeout = '2s'", "lock_timeout = 50"))
    run(shop, MADE)
    with connect(shop, dbname=ACTIVE) as session, session.transaction():
        session.execute("LOCK TABLE t")
        answer = ask("digest", table=TABLE)
    assert (answer["reached"], answer["sentence"].startswith("broke off")) == (False, True)


@pytest.mark.parametrize("table", [None, {}, {"schema": "public"}, "t", {"schema": "public", "name": "t", "key": None}])
def test_a_table_is_named_properly_or_refused(ask: Ask, table: Any) -> None:
    with pytest.raises(InputInvalid, match='"table" needs'):
        ask("digest", table=table)


def test_a_key_that_does_not_fit_is_refused(shop: Postgres, ask: Ask) -> None:
    run(shop, MADE)
    with pytest.raises(InputInvalid, match="is no key of"):
        ask("digest", table=TABLE, after=["1", "2"])


# Another endpoint


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("shop-retired-1.abc.eu-west-1.rds.amazonaws.com", "shop.abc.eu-west-1.rds.amazonaws.com", True),
        ("SHOP-retired-1.ABC.eu-west-1.rds.amazonaws.com", "shop.abc.eu-west-1.rds.amazonaws.com", True),
        ("shop.xyz.eu-west-1.rds.amazonaws.com", "shop.abc.eu-west-1.rds.amazonaws.com", False),
        ("shop.abc.eu-west-1.rds.amazonaws.com.example.com", "shop.abc.eu-west-1.rds.amazonaws.com", False),
        ("127.0.1.30", "127.0.0.1", True),
        ("localhost", "127.0.0.1", True),
        ("localhost", "shop.abc.eu-west-1.rds.amazonaws.com", False),
        ("169.254.169.254", "shop.abc.eu-west-1.rds.amazonaws.com", False),
        ("10.0.0.5", "9.0.0.5", False),
        ("other", "shop", False),
        ("", "127.0.0.1", False),
    ],
)
def test_only_an_endpoint_beside_this_regions_own_is_asked(one: str, other: str, expected: bool) -> None:
    assert neighbours(one, other) is expected


def test_another_endpoint_is_asked_and_at_most_written_to_once(shop: Postgres) -> None:
    """A drill proves that its throwaway database takes a write. Nobody keeps one alive there, nor ends its writes: what
    a schedule does each minute, and what a fence is, is of this Region's own database."""
    run(shop, MADE)
    elsewhere = dbcheck(shop, ACTIVE, database_port=1)
    endpoint = {"host": "localhost", "port": shop.port}
    assert elsewhere.check({"check": "digest", "table": TABLE, "endpoint": endpoint})["chunks"]
    before = elsewhere.check({"check": "state", "endpoint": endpoint})
    assert before["reached"]
    assert elsewhere.check({"check": "write", "endpoint": endpoint})["writable"]
    after = elsewhere.check({"check": "state", "endpoint": endpoint})
    assert after["heartbeat_at"] > (before["heartbeat_at"] or 0)
    for check in ("heartbeat", "stop", "allow"):
        with pytest.raises(InputInvalid, match="of no other endpoint"):
            elsewhere.check({"check": check, "endpoint": endpoint})
    for wrong in ({"host": "db.example.com", "port": 5432}, {"host": "localhost"}, {"host": "localhost", "port": "x"}):
        for check in ("tables", "write"):
            with pytest.raises(InputInvalid):
                elsewhere.check({"check": check, "endpoint": wrong})
