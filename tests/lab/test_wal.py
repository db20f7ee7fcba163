"""What a lost primary had committed, against what its standby has."""

import itertools
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from lab.binaries import run
from lab.postgres import Postgres, PostgresError, parse_lsn
from lab.wal import LONG_HEADER, PAGE, SHORT_HEADER, commit_end, commit_lsns

SEGMENT = 16 * 1024 * 1024
TABLE = "CREATE TABLE shop_order (id text PRIMARY KEY)"


def until[T](look: Callable[[], T], seconds: float = 20) -> T:
    """What `look` returns as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return seen


def order(server: Postgres, name: str) -> None:
    server.sql("INSERT INTO shop_order VALUES (%s)", (name,))


def position(server: Postgres) -> int:
    return parse_lsn(server.sql("SELECT pg_current_wal_insert_lsn()::text")[0][0])


def test_an_lsn_is_a_number_of_bytes() -> None:
    assert parse_lsn("0/3000060") == 0x3000060
    assert parse_lsn("1F/A") == 0x1F_0000_000A
    with pytest.raises(ValueError, match="3000060"):
        parse_lsn("3000060")


def test_a_cut_standby_has_exactly_the_commits_at_or_before_what_it_received(
    primary: Postgres, data_root: Path
) -> None:
    primary.sql(TABLE)
    standby = Postgres.copy_of(primary, data_root / "standby", "127.0.2.20", 0, slot="dr")
    try:
        standby.start()
        for number in range(5):
            order(primary, f"streamed-{number}")
        with primary.session() as session, session.transaction(), session.transaction():
            session.execute("INSERT INTO shop_order VALUES ('streamed-in-a-subtransaction')")
        until(lambda: standby.received_lsn() >= position(primary))
        standby.kill()  # the cut: from here on nothing arrives
        for number in range(3):
            order(primary, f"lost-{number}")
        with pytest.raises(psycopg.OperationalError), primary.session() as session, session.transaction():
            session.execute("INSERT INTO shop_order VALUES ('never committed')")
            primary.kill()

        commits = commit_lsns(primary.data_dir)
        standby.start()
        received = standby.received_lsn()
        standby.promote()
        kept = {row[0] for row in standby.sql("SELECT id FROM shop_order")}
    finally:
        standby.destroy()

    assert len(commits) == 9
    assert {name for name, commit in commits.items() if commit <= received} == kept
    assert all(name.startswith("streamed") for name in kept)
    assert len(kept) == 6


def test_reading_the_commits_leaves_a_server_that_starts_as_before(primary: Postgres) -> None:
    primary.sql(TABLE)
    order(primary, "1")
    primary.kill()
    first = commit_lsns(primary.data_dir)
    assert commit_lsns(primary.data_dir) == first

    primary.start()
    assert not primary.is_in_recovery()
    order(primary, "2")
    assert primary.sql("SELECT id FROM shop_order ORDER BY id") == [("1",), ("2",)]


def test_a_running_server_is_refused(primary: Postgres) -> None:
    primary.sql(TABLE)
    with pytest.raises(PostgresError, match="did not start"):
        commit_lsns(primary.data_dir)
    order(primary, "unharmed")


def test_commits_of_before_and_after_a_promotion_are_found(primary: Postgres, data_root: Path) -> None:
    primary.sql(TABLE)
    standby = Postgres.copy_of(primary, data_root / "standby", "127.0.2.20", 0, slot="dr")
    try:
        standby.start()
        order(primary, "before")
        until(lambda: standby.received_lsn() >= position(primary))
        standby.promote()
        order(standby, "after")
        standby.kill()
        commits = commit_lsns(standby.data_dir)
    finally:
        standby.destroy()
    assert 0 < commits["before"] < commits["after"]


def test_a_commit_older_than_the_kept_wal_counts_as_0(primary: Postgres) -> None:
    primary.stop()
    primary.settings |= {"wal_keep_size": "0", "min_wal_size": "32MB", "max_wal_size": "32MB", "wal_recycle": "off"}
    primary.start()
    primary.sql(TABLE)
    order(primary, "old")
    for _ in range(3):
        primary.sql("SELECT pg_switch_wal()")
        primary.sql("CHECKPOINT")
    order(primary, "new")
    primary.kill()

    commits = commit_lsns(primary.data_dir)
    assert commits["old"] == 0
    assert commits["new"] > 0


def test_a_database_without_orders_has_no_commits(primary: Postgres) -> None:
    primary.kill()
    assert commit_lsns(primary.data_dir) == {}


def test_the_end_of_each_record_is_where_the_next_begins(primary: Postgres, data_root: Path) -> None:
    """On WAL that PostgreSQL has written, across pages and segments, with records of many lengths."""
    numbers = random.Random(2)
    primary.sql("CREATE TABLE filler (content text)")
    with primary.session() as session:
        for _ in range(300):
            session.execute("INSERT INTO filler VALUES (%s)", ("x" * numbers.randrange(1, 1500),))
        session.execute("SELECT pg_switch_wal()")
        session.execute("INSERT INTO filler VALUES ('next segment')")
    primary.stop()
    segments = sorted(path.name for path in (primary.data_dir / "pg_wal").iterdir() if len(path.name) == 24)
    printed = run("pg_waldump", "--path", primary.data_dir / "pg_wal", segments[0], segments[-1], ok=(0, 1))
    records = re.findall(r"len \(rec/tot\):\s*\d+/\s*(\d+), .* lsn: (\S+), prev (?:.*)desc: (\S+)", printed)
    assert len(records) > 300

    crossed = 0
    for (length, lsn, what), (_, following, _) in itertools.pairwise(records):
        if what == "SWITCH":
            continue
        end, begin = commit_end(parse_lsn(lsn), int(length), SEGMENT), parse_lsn(following)
        header = LONG_HEADER if end % SEGMENT == 0 else SHORT_HEADER
        assert begin == (end + header if end % PAGE == 0 else end), (lsn, length, following)
        crossed += parse_lsn(lsn) // PAGE != end // PAGE
    assert crossed > 10
