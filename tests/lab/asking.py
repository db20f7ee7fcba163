"""A database made ready by its owner with bootstrap.sql, and `dbcheck` as it is asked about it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from relight.clients import client
from relight.dbcheck import AUTHORITIES, Dbcheck
from relight.settings import DbcheckSettings, Tls

from lab.postgres import Postgres

BOOTSTRAP = Path(__file__).parents[2] / "layers/relight/bootstrap.sql"
OWNER, PASSWORD = "shop_owner", "it's a secret"


def connect(server: Postgres, user: str = OWNER, password: str = PASSWORD, **given: Any) -> psycopg.Connection[Any]:
    """A session of the shop's, in autocommit."""
    where = {"host": server.host, "port": server.port, "dbname": "shop", **given}
    return psycopg.connect(user=user, password=password, autocommit=True, **where)


def bootstrap(server: Postgres) -> None:
    """As docs/bootstrap.md says."""
    with connect(server) as session:
        session.execute(BOOTSTRAP.read_bytes())


def ask(
    server: Postgres | None, event: dict[str, Any], authorities: Path = AUTHORITIES, **changed: Any
) -> dict[str, Any]:
    """One check of the function, in its Region; the credentials of AWS must be in the environment."""
    given: dict[str, Any] = {
        "aws_region": "eu-central-1",
        "database_host": server.host if server else "127.0.0.1",
        "database_port": server.port if server else 1,
        "database_name": "shop",
        "database_user": "relight_check",
        "database_tls": Tls.OFF,
        "database_timeout_seconds": 5.0,
    }
    settings = DbcheckSettings(**(given | changed))
    return Dbcheck(settings, client("rds", settings.aws_region), authorities).check(event)


def until(look: Callable[[], object], seconds: float = 20) -> None:
    """Wait until `look` is true."""
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
