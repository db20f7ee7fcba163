"""Writes stopped and let in again, before real servers: who is ended, who is left, and what is proved by `stopped`."""

import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege, ReadOnlySqlTransaction

from lab.binaries import folder
from lab.datadir import SUPERUSER
from lab.lsn import parse_lsn
from lab.postgres import Postgres
from tests.lab.asking import BOOTSTRAP, OWNER, PASSWORD, ask, bootstrap, connect, until

PREPARED = {"max_prepared_transactions": "2"}
ORDER = "INSERT INTO shop_order (id) VALUES (%s)"


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    made = folder("relight-test-")
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[Postgres]:
    created = Postgres.create(data / "primary", "127.0.1.22", 0, OWNER, PASSWORD, "shop", settings=PREPARED)
    created.start()
    with connect(created) as session:
        session.execute("CREATE TABLE shop_order (id text PRIMARY KEY)")
    bootstrap(created)
    yield created
    created.destroy()


@pytest.fixture
def primary(server: Postgres) -> Iterator[Postgres]:
    """The primary, with the shop's table empty and writes let in."""
    yield server
    for prepared in server.sql("SELECT gid FROM pg_prepared_xacts"):
        with server.session() as session:
            session.execute(f"ROLLBACK PREPARED '{prepared[0]}'".encode())
    server.sql("ALTER DATABASE shop RESET default_transaction_read_only")
    server.sql("TRUNCATE relight_stop, shop_order")


@pytest.fixture
def replica(primary: Postgres, data: Path) -> Iterator[Postgres]:
    made = Postgres.copy_of(primary, data / "replica", "127.0.2.22", 0, slot="dr", settings=PREPARED)
    made.start()
    until(made.streams)
    yield made
    made.destroy()
    primary.drop_slot("dr")


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")


def stop(server: Postgres, **changed: Any) -> dict[str, Any]:
    return ask(server, {"check": "stop"}, **changed)


def allow(server: Postgres, **given: str) -> dict[str, Any]:
    return ask(server, {"check": "allow", **given})


def state(server: Postgres) -> dict[str, Any]:
    return ask(server, {"check": "state"})


def lives(session: psycopg.Connection[Any]) -> bool:
    try:
        session.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def orders(server: Postgres) -> set[str]:
    return {row[0] for row in server.sql("SELECT id FROM shop_order")}


@contextmanager
def sessions(server: Postgres, number: int) -> Iterator[list[psycopg.Connection[Any]]]:
    """Sessions of the shop, closed at the end whatever has become of them."""
    opened = [connect(server) for _ in range(number)]
    try:
        yield opened
    finally:
        for session in opened:
            session.close()


def test_sessions_that_write_are_ended_and_none_can_write_any_more(primary: Postgres) -> None:
    with sessions(primary, 2) as (writing, idle):
        writing.execute("BEGIN")
        writing.execute(ORDER, ("unfinished",))
        said = stop(primary)
        assert (said["reached"], said["stopped"], said["sessions_left"]) == (True, True, 0), said
        assert said["sentence"] == "no client can write: it is read-only, and every session of before has ended"
        assert not lives(writing)
        assert not lives(idle)
    with connect(primary) as session:
        assert session.execute("SELECT count(*) FROM shop_order").fetchone() == (0,), "reading is still well"
        with pytest.raises(ReadOnlySqlTransaction):
            session.execute(ORDER, ("late",))
    before = primary.sql("SELECT at FROM relight_heartbeat")
    for check in ("state", "write", "heartbeat"):
        answer = ask(primary, {"check": check})
        assert (answer["writable"], answer["writes_stopped"], answer["in_recovery"]) == (False, True, False)
    assert primary.sql("SELECT at FROM relight_heartbeat") == before


def test_stopping_twice_is_the_same_as_once(primary: Postgres) -> None:
    first, second = stop(primary), stop(primary)
    assert (first["stopped"], second["stopped"]) == (True, True)
    assert parse_lsn(second["lsn"]) > parse_lsn(first["lsn"]), "our own records"
    assert allow(primary)["allowed"]
    assert not state(primary)["writes_stopped"]


def test_whoever_comes_after_the_stop_may_read_and_is_not_in_its_way(primary: Postgres) -> None:
    """A pool that has lost its sessions opens new ones at once, again and again."""
    ended = threading.Event()

    def come_again() -> None:
        while not ended.is_set():
            with connect(primary) as session:
                while not ended.is_set() and lives(session):
                    pass

    with ThreadPoolExecutor(4) as threads:
        clients = [threads.submit(come_again) for _ in range(4)]
        try:
            until(lambda: len(primary.sql("SELECT 1 FROM pg_stat_activity WHERE usename = 'shop_owner'")) == 4)
            assert [stop(primary)["stopped"] for _ in range(3)] == [True] * 3
        finally:
            ended.set()
        for each in clients:
            each.result(20)


def test_writes_are_let_in_again_for_those_too_who_came_in_between(primary: Postgres) -> None:
    """A session keeps the default that it began with: a pool filled while writes were stopped would go on refusing."""
    stop(primary)
    with sessions(primary, 1) as (between,):
        said = allow(primary)
        assert said == {"reached": True, "in_recovery": False, "allowed": True, "sentence": "writes are let in"}
        assert not lives(between)
    with sessions(primary, 1) as (after,):
        after.execute(ORDER, ("after",))
        assert allow(primary)["allowed"], "twice is the same as once"
        assert lives(after), "and nobody is ended for nothing"
    assert orders(primary) == {"after"}
    assert (state(primary)["writable"], state(primary)["writes_stopped"]) == (True, False)


def test_allowing_what_was_begun_and_broke_off_is_gone_on_with(primary: Postgres) -> None:
    """The setting was taken back; those who came in between have not been ended."""
    stop(primary)
    with sessions(primary, 1) as (between,):
        primary.sql("ALTER DATABASE shop RESET default_transaction_read_only")
        assert state(primary)["writes_stopped"], "not all of it is taken back yet"
        assert allow(primary)["allowed"]
        assert not lives(between)
    assert not state(primary)["writes_stopped"]


def test_only_the_stop_that_was_seen_is_taken_back(primary: Postgres) -> None:
    """Whoever has looked, and is late, must not let writes in behind the back of a run that has just stopped them."""
    stop(primary)
    seen = state(primary)["stopped_at"]
    relied_on = stop(primary)
    assert relied_on["stopped"]
    said = allow(primary, stopped_at=seen)
    assert (said["allowed"], said["sentence"]) == (False, "it has been stopped again meanwhile")
    answer = state(primary)
    assert (answer["writable"], answer["writes_stopped"]) == (False, True)
    assert allow(primary, stopped_at=answer["stopped_at"])["allowed"]
    answer = state(primary)
    assert (answer["writable"], answer["writes_stopped"], answer["stopped_at"]) == (True, False, None)


def test_where_nothing_was_stopped_there_is_nothing_to_let_in(primary: Postgres) -> None:
    with sessions(primary, 1) as (session,):
        assert allow(primary)["allowed"]
        assert lives(session)


def test_what_somebody_else_has_made_read_only_is_not_taken_back(primary: Postgres) -> None:
    primary.sql("ALTER DATABASE shop SET default_transaction_read_only = true")
    assert stop(primary)["stopped"]
    answer = state(primary)
    assert (answer["writable"], answer["writes_stopped"]) == (False, False)
    said = allow(primary)
    assert (said["allowed"], said["sentence"]) == (False, "somebody else has made it read-only")
    assert not state(primary)["writable"]


def test_a_superusers_session_cannot_be_ended_and_is_left(primary: Postgres) -> None:
    with primary.session() as session:
        said = stop(primary)
        assert (said["stopped"], said["sessions_left"], said["lsn"]) == (False, 1, None)
        assert said["sentence"] == "sessions that may write and have not ended: 1"
        assert lives(session)
    assert stop(primary)["stopped"]


def test_rds_own_agent_and_other_databases_are_left_alone_and_do_not_count(primary: Postgres) -> None:
    primary.sql("CREATE ROLE rdsadmin LOGIN SUPERUSER PASSWORD 'x'")
    try:
        with connect(primary, "rdsadmin", "x") as agent, connect(primary, dbname="postgres") as elsewhere:
            assert stop(primary)["stopped"]
            assert lives(agent)
            assert lives(elsewhere)
    finally:
        primary.sql("DROP ROLE rdsadmin")


def test_a_prepared_transaction_can_still_be_committed_and_is_left(primary: Postgres) -> None:
    with sessions(primary, 1) as (session,):
        session.execute("BEGIN")
        session.execute(ORDER, ("prepared",))
        session.execute("PREPARE TRANSACTION 'late'")
    said = stop(primary)
    assert (said["stopped"], said["sessions_left"], said["lsn"]) == (False, 1, None)
    assert said["sentence"] == "prepared transactions that may still be committed: 1"
    with primary.session() as session:
        session.execute("COMMIT PREPARED 'late'")
    said = stop(primary)
    assert said["stopped"]
    assert orders(primary) == {"prepared"}


@pytest.mark.parametrize("where", ["", " IN DATABASE shop"])
def test_a_role_that_writes_by_its_own_setting_is_named(primary: Postgres, where: str) -> None:
    with primary.session() as session:
        session.execute(f"ALTER ROLE shop_owner{where} SET default_transaction_read_only = OFF".encode())
        try:
            said = stop(primary)
        finally:
            session.execute(f"ALTER ROLE shop_owner{where} RESET default_transaction_read_only".encode())
    assert (said["stopped"], said["lsn"]) == (False, None)
    assert "roles that their own setting lets write: shop_owner" in said["sentence"]


@pytest.mark.parametrize(("delay", "stopped"), [(1, True), (4, False)])
def test_a_session_that_is_just_beginning_is_waited_for(primary: Postgres, delay: int, stopped: bool) -> None:
    """It has read the setting of before, and is not listed yet: PostgreSQL can be told to stay in that moment."""
    ended = threading.Event()

    def begin() -> None:
        number = 0
        try:
            with connect(primary, options=f"-c post_auth_delay={delay}") as session:
                while not ended.is_set():
                    session.execute(ORDER, (f"slipped through {number}",))
                    number += 1
        except psycopg.OperationalError:
            pass

    with ThreadPoolExecutor(1) as threads:
        client = threads.submit(begin)
        try:
            until(lambda: primary.sql("SELECT 1 FROM pg_locks WHERE mode = 'RowExclusiveLock' AND locktype = 'object'"))
            said = stop(primary)
            assert (said["stopped"], said["sessions_left"]) == (stopped, 0 if stopped else 1), said
            if not stopped:
                until(lambda: orders(primary))  # it can write: rightly nobody has said otherwise
                assert stop(primary)["stopped"]
            written = orders(primary)
            client.result(20)
        finally:
            ended.set()
    assert orders(primary) == written


def test_the_position_lies_behind_the_last_write_and_a_replica_comes_past_it(
    primary: Postgres, replica: Postgres
) -> None:
    """Clients that write as fast as they can and come again when they are ended."""
    acknowledged: set[str] = set()
    ended = threading.Event()

    def write(name: int) -> None:
        number = 0
        while not ended.is_set():
            try:
                with connect(primary) as session:
                    while not ended.is_set():
                        order = f"{name}-{number}"
                        number += 1
                        session.execute(ORDER, (order,))
                        acknowledged.add(order)
            except (psycopg.OperationalError, ReadOnlySqlTransaction):
                pass

    with ThreadPoolExecutor(4) as threads:
        clients = [threads.submit(write, name) for name in range(4)]
        try:
            until(lambda: len(acknowledged) > 50)
            said = stop(primary)
            assert said["stopped"], said
            before = set(acknowledged)
            written = orders(primary)
            until(lambda: parse_lsn(state(replica)["replayed_lsn"]) >= parse_lsn(said["lsn"]))
            assert orders(replica) == orders(primary) == written
            assert written >= acknowledged >= before
        finally:
            ended.set()
        for each in clients:
            each.result(20)
    assert primary.sql("SELECT 1 FROM pg_stat_replication"), "the replica's own stream was not ended"


def test_the_stop_comes_to_the_replica_and_is_taken_back_there_after_its_promotion(
    primary: Postgres, replica: Postgres
) -> None:
    said = stop(primary)
    until(lambda: parse_lsn(state(replica)["replayed_lsn"]) >= parse_lsn(said["lsn"]))
    answer = state(replica)
    assert (answer["in_recovery"], answer["writable"], answer["writes_stopped"]) == (True, False, True)
    replied = {"reached": True, "in_recovery": True, "sentence": "it is a replica"}
    assert stop(replica) == {**replied, "stopped": False, "sessions_left": None, "lsn": None}
    assert allow(replica) == {**replied, "allowed": False}
    with sessions(replica, 1) as (early,):  # an instance that was started before the promotion
        replica.promote()
        answer = ask(replica, {"check": "write"})
        assert (answer["in_recovery"], answer["writable"], answer["writes_stopped"]) == (False, False, True)
        assert allow(replica)["allowed"]
        assert not lives(early)
    answer = ask(replica, {"check": "write"})
    assert (answer["writable"], answer["writes_stopped"]) == (True, False)
    with sessions(replica, 1) as (session,):
        session.execute(ORDER, ("here",))
    assert state(primary)["writes_stopped"], "the old one stays stopped"


def test_two_at_once_do_not_hinder_each_other(primary: Postgres) -> None:
    for check, key in (("stop", "stopped"), ("allow", "allowed")):
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda _: ask(primary, {"check": check}), range(4)))  # noqa: B023
        assert [answer.get(key) for answer in answers] == [True] * 4, answers


# With what bootstrap.sql grants, and with less


def test_only_relight_may_stop_and_allow(primary: Postgres) -> None:
    primary.sql("CREATE ROLE stranger LOGIN PASSWORD 'x'")
    try:
        with connect(primary, "stranger", "x") as session:
            for name in ("stop_writes()", "allow_writes(NULL)", "forget_stop()"):
                with pytest.raises(InsufficientPrivilege):
                    session.execute(f"SELECT public.relight_{name}".encode())
    finally:
        primary.sql("DROP ROLE stranger")
    with connect(primary, "relight_check") as session:
        for forbidden in (
            "ALTER DATABASE shop SET default_transaction_read_only = on",
            "INSERT INTO relight_stop (at) VALUES (now())",
            "DELETE FROM relight_stop",
        ):
            with pytest.raises(InsufficientPrivilege):
                session.execute(forbidden.encode())


def test_the_functions_have_the_owners_rights_whoever_runs_the_file(primary: Postgres) -> None:
    query = """
        SELECT proname::text, pg_get_userbyid(proowner)::text, proconfig FROM pg_proc
        WHERE proname LIKE 'relight%' ORDER BY 1
    """
    pinned = ["search_path=pg_catalog, pg_temp"]
    made = ("allow_writes", "drop_slots", "forget_stop", "is_read_only", "let_read", "stop_writes")
    names = [f"relight_{name}" for name in made]
    for _ in range(2):
        assert primary.sql(query) == [(name, OWNER, pinned) for name in names]
        with connect(primary, SUPERUSER, primary.passwords.superuser) as session:
            session.execute(BOOTSTRAP.read_bytes())
    assert stop(primary)["stopped"]
    assert allow(primary)["allowed"]


def test_without_the_right_to_end_sessions_they_are_left(primary: Postgres) -> None:
    for (grantor,) in primary.sql(
        "SELECT grantor::regrole::text FROM pg_auth_members"
        " WHERE roleid = 'pg_signal_backend'::regrole AND member = 'relight_check'::regrole"
    ):
        with primary.session() as session:
            session.execute(f"REVOKE pg_signal_backend FROM relight_check GRANTED BY {grantor}".encode())
    try:
        with sessions(primary, 1) as (shop,):
            said = stop(primary)
            assert (said["stopped"], said["sessions_left"]) == (False, 1)
            assert lives(shop)
        assert stop(primary)["stopped"]
    finally:
        assert allow(primary)["allowed"]
        bootstrap(primary)


def test_a_database_that_was_made_ready_by_an_older_file_is_looked_at_as_ever(primary: Postgres) -> None:
    primary.sql("DROP FUNCTION relight_stop_writes, relight_allow_writes, relight_forget_stop, relight_is_read_only")
    primary.sql("DROP TABLE relight_stop")
    try:
        answer = ask(primary, {"check": "write"})
        assert (answer["reached"], answer["writable"], answer["writes_stopped"]) == (True, True, False)
        with sessions(primary, 1) as (session,):
            said = stop(primary)
            assert (said["reached"], said["stopped"], said["lsn"]) == (False, False, None)
            assert said["sentence"].startswith("broke off: ")
            assert "relight_stop_writes" in said["sentence"]
            assert lives(session)
    finally:
        bootstrap(primary)


@pytest.mark.parametrize(
    ("check", "nothing"),
    [("stop", {"stopped": False, "sessions_left": None, "lsn": None}), ("allow", {"allowed": False})],
)
def test_a_database_that_cannot_be_reached_has_neither_stopped_nor_allowed(check: str, nothing: dict[str, Any]) -> None:
    said = ask(None, {"check": check})
    assert said.pop("sentence").startswith("unreachable: ")
    assert said == {"reached": False, "writable": False, **nothing}


def test_it_is_quick(primary: Postgres) -> None:
    """Within what the other Region waits for an answer, whoever is left."""
    with primary.session():
        began = time.monotonic()
        assert not stop(primary)["stopped"]
        assert time.monotonic() - began < 5
