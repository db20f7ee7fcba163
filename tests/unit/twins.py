"""Two databases on one real server, as `dbcheck` sees them, and Lambda's Invoke before it."""

import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from relight.clients import client
from relight.dbcheck import Dbcheck
from relight.settings import DbcheckSettings, Tls

from lab.binaries import folder
from lab.postgres import Postgres
from tests.lab.asking import BOOTSTRAP, OWNER, PASSWORD, bootstrap, connect

ACTIVE, COPY = "shop", "copy"
BOTH = (ACTIVE, COPY)
REGION = "eu-central-1"


def start_server() -> Iterator[Postgres]:
    """A server with both databases, made ready by their owner with bootstrap.sql; for a whole module."""
    made = folder("relight-test-")
    server = Postgres.create(made / "server", "127.0.0.1", 0, OWNER, PASSWORD, ACTIVE)
    server.start()
    server.sql("CREATE DATABASE copy OWNER shop_owner")
    bootstrap(server)
    with connect(server, dbname=COPY) as session:
        session.execute(BOOTSTRAP.read_bytes())
    yield server
    server.destroy()
    shutil.rmtree(made, ignore_errors=True)


CLEAN = """
DO $$
DECLARE
    what record;
BEGIN
    FOR what IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|public$|information_schema$)' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', what.nspname);
    END LOOP;
    FOR what IN
        SELECT relname, CASE relkind WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind
        FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'm', 'S')
          AND relname !~ '^relight' ORDER BY relkind = 'S', relkind
    LOOP
        IF to_regclass(format('public.%I', what.relname)) IS NOT NULL THEN
            EXECUTE format('DROP %s public.%I CASCADE', what.kind, what.relname);
        END IF;
    END LOOP;
END
$$
"""


def clean(server: Postgres) -> None:
    """Nothing in either but Relight's own."""
    for database in BOTH:
        server.sql(CLEAN, database=database)


def run(server: Postgres, statements: str, *databases: str) -> None:
    """Run them as the shop's owner, in both databases where none is named."""
    for database in databases or BOTH:
        with connect(server, dbname=database) as session:
            session.execute(statements.encode())


def dbcheck(server: Postgres, database: str, **changed: Any) -> Dbcheck:
    """The function before one of them."""
    given: dict[str, Any] = {
        "aws_region": REGION,
        "database_host": server.host,
        "database_port": server.port,
        "database_name": database,
        "database_user": "relight_check",
        "database_tls": Tls.OFF,
        "database_timeout_seconds": 5.0,
    }
    return Dbcheck(DbcheckSettings(**(given | changed)), client("rds", REGION))


@dataclass
class Invoked:
    """Lambda, with one function behind it. `before` is told of each question, and may raise what the call ends in."""

    function: Dbcheck
    before: Callable[[dict[str, Any]], None] = lambda _: None
    asked: list[dict[str, Any]] = field(default_factory=list)

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 - as boto3 has it
        """What the function answers, through JSON."""
        event = json.loads(Payload)
        self.asked.append(event)
        self.before(event)
        body = json.dumps(self.function.check(event)).encode()
        assert len(body) < 6_000_000, "more than Lambda lets through"
        return {"Payload": io.BytesIO(body)}
