"""PostgreSQL servers for the tests of the lab."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.binaries import folder
from lab.postgres import Postgres


@pytest.fixture
def data_root() -> Iterator[Path]:
    """A folder for data directories: unlike tmp_path, the servers' user can enter it."""
    made = folder("relight-test-")
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """The one primary of these tests, for `primary` only: initdb takes longer than they do."""
    made = folder("relight-test-")
    created = Postgres.create(made / "primary", ["127.0.1.20", "127.0.1.21"], 0, "owner", "it's a secret", "shop")
    yield created
    created.destroy()
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def primary(server: Postgres) -> Iterator[Postgres]:
    """A running primary on two addresses, with the database `shop` of the user `owner` and nothing in it.

    A test may stop or kill it and change its settings and its port; the next test finds none of that.
    """
    port, settings = server.port, dict(server.settings)
    server.start()
    yield server
    server.stop()
    server.port, server.settings = port, settings
    server.start()
    server.sql("DROP OWNED BY owner; DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION pg_database_owner")
    server.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
