"""How late a transaction can be committed whose look at the lease has passed: what PostgreSQL really ends, and when."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from relight_lease import connection as leased_connection
from relight_lease.connection import LeasedConnection
from relight_lease.keeper import Keeper
from relight_lease.lease import Lease

from lab.postgres import Postgres
from tests.lease.conftest import YES, Scene


@contextmanager
def session(database: Postgres, longest: float, **options: str) -> Iterator[LeasedConnection]:
    """A session of its own, which always holds the lease."""
    keeper = Keeper(Lease(3600.0), lambda: YES, "eu-west-1", begin=lambda _: None)
    keeper.renew()
    with LeasedConnection.connect(
        host=database.host,
        port=database.port,
        dbname=database.database,
        user=database.user,
        password=database.password,
        options=" ".join(f"-c {name}={value}" for name, value in options.items()),
    ) as connection:
        connection.arm(keeper, longest)
        yield connection


def until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(database: Postgres, pid: int) -> bool:
    return not database.sql("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,))


def show(connection: Any, name: str) -> str:
    (value,) = psycopg.Cursor(connection).execute(f"SHOW {name}").fetchone()  # type: ignore[misc]
    return str(value)


def test_the_server_ends_a_transaction_that_lasts_too_long(scene: Scene) -> None:
    with session(scene.database, 0.3) as connection:
        connection.execute("INSERT INTO written VALUES ('a')")
        until(lambda: ended(scene.database, connection.info.backend_pid))
        with pytest.raises(psycopg.Error):
            connection.commit()
    assert scene.rows() == []


def test_and_one_whose_statements_follow_each_other_without_a_pause(scene: Scene) -> None:
    with session(scene.database, 0.3) as connection:
        connection.execute("INSERT INTO written VALUES ('a')")
        with pytest.raises(psycopg.Error):
            for _ in range(10_000):
                connection.execute("SELECT pg_sleep(0.01)")
    assert scene.rows() == []


def test_and_one_whose_commit_takes_too_long(scene: Scene) -> None:
    with session(scene.database, 0.3) as connection:
        connection.execute("SET written.pause = 60")  # what a deferred trigger leaves for the COMMIT to do
        connection.execute("INSERT INTO written VALUES ('a')")
        with pytest.raises(psycopg.Error):
            connection.commit()
    assert scene.rows() == []


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a server that has no transaction_timeout; what is used instead exists on the newest one, too."""
    monkeypatch.setattr(leased_connection, "_ENDS_TRANSACTIONS", 10**6)


@pytest.mark.usefixtures("older")
def test_an_older_server_ends_the_wait_for_the_commit(scene: Scene) -> None:
    with session(scene.database, 0.3) as connection:
        connection.execute("INSERT INTO written VALUES ('a')")
        assert show(connection, "transaction_timeout") == "0"
        assert show(connection, "idle_in_transaction_session_timeout") == "300ms"
        until(lambda: ended(scene.database, connection.info.backend_pid))
        with pytest.raises(psycopg.Error):
            connection.commit()
    assert scene.rows() == []


@pytest.mark.usefixtures("older")
def test_before_an_older_server_the_look_comes_after_all_work(scene: Scene) -> None:
    """There a COMMIT may take any time: neither of its timeouts ends it."""
    with session(scene.database, 20) as connection:
        connection.execute("SET written.pause = 0.2")
        connection.execute("INSERT INTO written VALUES ('a')")
        assert not done(connection)
        end = connection._look_before_commit()
        assert done(connection)
        assert end is not None
        connection.commit()
        with pytest.raises(psycopg.NotSupportedError, match="a COMMIT by its text, on a server older than 17, would"):
            connection.execute("COMMIT")
    assert scene.rows() == ["a"]


def done(connection: LeasedConnection) -> bool:
    """Whether the deferred work is done: it leaves word."""
    (word,) = psycopg.Cursor(connection).execute("SELECT current_setting('written.done', true)").fetchone()  # type: ignore[misc]
    return bool(word == "yes")


def test_timeouts_that_are_shorter_already_stay(scene: Scene) -> None:
    with session(scene.database, 2.5, transaction_timeout="700", statement_timeout="60000") as connection:
        assert show(connection, "transaction_timeout") == "700ms"
        assert show(connection, "statement_timeout") == "1min"
    with session(scene.database, 2.5, transaction_timeout="9000") as connection:
        assert show(connection, "transaction_timeout") == "2500ms"
        assert show(connection, "default_transaction_read_only") == "on"
        assert not connection.autocommit


# A process that stands still for a long time between its last look at the lease and the sending of what it looked for.
STOPPED = """
import os, signal, sys
import psycopg
from psycopg.transaction import Transaction
from relight_lease.connection import LeasedConnection
from relight_lease.keeper import Keeper
from relight_lease.lease import Lease
from relight_lease.store import Answer

way, conninfo = sys.argv[1:]
def stop():
    os.kill(os.getpid(), signal.SIGSTOP)

def stopping(class_, name):
    goes_on = getattr(class_, name)
    def stopped(self, *given):
        stop()
        return goes_on(self, *given)
    setattr(class_, name, stopped)

keeper = Keeper(Lease(3600.0), lambda: Answer(True, "x"), "X", begin=lambda _: None)
keeper.renew()
plain = way == "without the lease"
connection = (psycopg.Connection if plain else LeasedConnection).connect(conninfo, autocommit=True)
if not plain:
    connection.arm(keeper, 0.5)
stopping(psycopg.Connection, "commit")
stopping(Transaction, "__exit__")
print(connection.info.backend_pid, flush=True)
said = "committed"
try:
    if way == "transaction":
        connection.autocommit = False
        connection.execute("INSERT INTO written VALUES ('a')")
        connection.commit()
    elif plain:
        stop()  # where the lease's check would have been
        connection.execute("INSERT INTO written VALUES ('a')")
    else:
        connection.execute("INSERT INTO written VALUES ('a')")
except psycopg.Error:
    said = "refused"
print(said, flush=True)
os._exit(0)
"""


@pytest.mark.linux
@pytest.mark.parametrize(
    ("way", "said", "rows"),
    [
        ("transaction", "refused", []),
        ("autocommit", "refused", []),
        # What the arrangement is for: such a write comes however late it likes.
        ("without the lease", "committed", ["a"]),
    ],
)
def test_a_process_that_stood_still_before_its_commit_does_not_commit(
    scene: Scene, way: str, said: str, rows: list[str]
) -> None:
    database = scene.database
    conninfo = (
        f"host={database.host} port={database.port} dbname={database.database} user={database.user}"
        f" password='{database.password.replace("'", "\\'")}'"
    )
    child = subprocess.Popen([sys.executable, "-c", STOPPED, way, conninfo], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        backend = int(child.stdout.readline())
        _, status = os.waitpid(child.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        if way == "without the lease":
            assert not ended(database, backend)
        else:
            until(lambda: ended(database, backend))
        os.kill(child.pid, signal.SIGCONT)
        assert child.stdout.readline().strip() == said
    finally:
        child.kill()
        child.wait()
    assert scene.rows() == rows
