"""What bootstrap.sql lets the role of `dbcheck` do, and what not."""

import re
import shlex
import shutil
import subprocess
import time

import psycopg
import pytest

from lab.binaries import binaries, environment
from lab.postgres import Postgres
from tests.app.instance import OWNER, PASSWORD, ROOT, bootstrap


def as_check(database: Postgres) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        host=database.host, port=database.port, dbname=database.database, user="relight_check", autocommit=True
    )


def test_running_it_again_changes_nothing(primary: Postgres) -> None:
    with as_check(primary) as connection:
        connection.execute(
            "INSERT INTO relight_heartbeat (at, region) VALUES (now(), 'eu-west-1') ON CONFLICT DO NOTHING"
        )
        before = connection.execute("SELECT id, at, region FROM relight_heartbeat").fetchall()
    bootstrap(primary)
    with as_check(primary) as connection:
        assert connection.execute("SELECT id, at, region FROM relight_heartbeat").fetchall() == before


def test_the_heartbeat_is_one_row(primary: Postgres) -> None:
    write = """
        INSERT INTO relight_heartbeat (at, region) VALUES (now(), %s)
        ON CONFLICT (id) DO UPDATE SET at = excluded.at, region = excluded.region
    """
    with as_check(primary) as connection:
        for region in ("eu-west-1", "eu-central-1"):
            connection.execute(write, (region,))
        assert connection.execute("SELECT id, region FROM relight_heartbeat").fetchall() == [(1, "eu-central-1")]
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("INSERT INTO relight_heartbeat (id, at) VALUES (2, now())")


@pytest.mark.parametrize(
    "forbidden",
    [
        "INSERT INTO shop_order DEFAULT VALUES",
        "DELETE FROM shop_order",
        "TRUNCATE shop_order",
        "SELECT * FROM shop_order FOR UPDATE",
        "DELETE FROM relight_heartbeat",
        "DROP TABLE relight_heartbeat",
        "CREATE TABLE own (id int)",
        "CREATE ROLE other",
        "SELECT pg_promote()",
    ],
)
def test_it_may_do_nothing_else(primary: Postgres, forbidden: str) -> None:
    with as_check(primary) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(forbidden.encode())


def test_it_reads_the_shops_tables(primary: Postgres) -> None:
    with as_check(primary) as connection:
        assert connection.execute("SELECT count(*) >= 0 FROM shop_order").fetchone() == (True,)


def test_it_sees_replication_and_ends_the_shops_sessions(primary: Postgres, replica: Postgres) -> None:
    deadline = time.monotonic() + 20
    sender: object = None
    with as_check(replica) as connection:
        while sender is None and time.monotonic() < deadline:
            (sender,) = connection.execute("SELECT sender_host FROM pg_stat_wal_receiver").fetchone() or (None,)
    assert sender == primary.host
    with (
        psycopg.connect(host=primary.host, port=primary.port, dbname="shop", user=OWNER, password=PASSWORD) as session,
        as_check(primary) as connection,
    ):
        pid = session.info.backend_pid
        assert connection.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,)).fetchone() == (True,)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
        session.close()


def test_it_gets_iam_authentication_where_there_is_such_a_role(primary: Postgres) -> None:
    assert primary.sql("SELECT pg_has_role('relight_check', 'rds_iam', 'member')") == [(True,)]


def documented(language: str) -> list[str]:
    """The blocks of that language in docs/bootstrap.md."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs/bootstrap.md").read_text(encoding="utf-8"), re.DOTALL)


def psql(database: Postgres, arguments: list[str]) -> str:
    """What psql prints to the owner, run in the repository with what the page says in its environment."""
    program = shutil.which("psql", path=str(binaries() / "bin"))
    assert program
    login = {"PGHOST": database.host, "PGPORT": str(database.port), "PGDATABASE": database.database}
    told = {**environment(), **login, "PGUSER": OWNER, "PGPASSWORD": PASSWORD}
    return subprocess.run([program, *arguments], cwd=ROOT, env=told, check=True, capture_output=True, text=True).stdout


def test_the_documented_commands_do_it(primary: Postgres) -> None:
    (line,) = [line for block in documented("sh") for line in block.splitlines() if line.startswith("psql ")]
    psql(primary, shlex.split(line)[1:])
    check = documented("sql")[0]
    answers = psql(primary, ["--no-psqlrc", "--tuples-only", "--no-align", "--command", check]).splitlines()
    assert len(answers) == 12
    assert [answer for answer in answers if not answer.endswith("|t")] == []


def test_each_grant_is_explained() -> None:
    statements = (ROOT / "layers/relight/bootstrap.sql").read_text(encoding="utf-8")
    page = (ROOT / "docs/bootstrap.md").read_text(encoding="utf-8").partition("## What it makes")[2]
    granted = {word for grant in re.findall(r"GRANT ([\w, ]+?) (?:ON|TO)", statements) for word in grant.split(", ")}
    granted |= set(re.findall(r"'(pg_\w+)'", statements)) - {"pg_roles"}
    assert granted >= {"rds_iam", "CONNECT", "USAGE", "SELECT", "INSERT", "UPDATE", "pg_monitor", "pg_signal_backend"}
    assert "pg_read_all_data" in granted
    assert [word for word in granted if f"`{word}`" not in page] == []


def test_it_can_be_undone(primary: Postgres) -> None:
    psql(primary, ["--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--command", documented("sql")[1]])
    assert primary.sql("SELECT 1 FROM pg_roles WHERE rolname = 'relight_check'") == []
    assert primary.sql("SELECT to_regclass('public.relight_heartbeat')") == [(None,)]
    bootstrap(primary)
    with as_check(primary) as connection:
        assert connection.execute("SELECT count(*) FROM relight_heartbeat").fetchall() == [(0,)]
