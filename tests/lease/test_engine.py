"""What the engine refuses to be put together with."""

import os
import subprocess
import sys
from typing import Any

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base
from relight_lease.connection import LeasedConnection
from relight_lease.database import LeasedDatabase
from relight_lease.errors import LeaseLost

from tests.lease.conftest import Scene


class WithItsOwnConnections(base.DatabaseWrapper):  # type: ignore[misc]
    """An engine that does not ask psycopg through `Database`."""

    made: psycopg.Connection[Any]

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        self.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        WithItsOwnConnections.made = psycopg.connect(**conn_params)
        return self.made


class Leased(LeasedDatabase, WithItsOwnConnections):
    """The lease before it."""


def test_an_engine_whose_connections_the_lease_does_not_cover_is_refused(scene: Scene) -> None:
    engine = Leased(scene.connection.settings_dict, "other")
    with pytest.raises(ImproperlyConfigured, match="the lease covers nothing"):
        engine.cursor()
    assert WithItsOwnConnections.made.closed


def test_a_pool_is_refused(scene: Scene) -> None:
    settings = {**scene.connection.settings_dict, "OPTIONS": {"pool": True}}
    with pytest.raises(ImproperlyConfigured, match="cannot have a pool"):
        type(scene.connection)(settings, "other").cursor()


def test_cursors_that_bind_on_the_server_are_covered(scene: Scene) -> None:
    engine = type(scene.connection)(
        {**scene.connection.settings_dict, "OPTIONS": {"server_side_binding": True}}, "other"
    )
    insert = "INSERT INTO written (item) VALUES (%s)"
    try:
        with engine.cursor() as cursor:
            cursor.execute(insert, ["a"])
            cursor.execute("SELECT put(%s)", ["b"])
        with engine.chunked_cursor() as cursor:
            cursor.execute("SELECT put(%s)", ["c"])  # made again under the lease, since psycopg's own cursor is covered
            assert cursor.fetchall() == [("c",)]
        assert isinstance(engine.connection, LeasedConnection)
        scene.lose()
        with pytest.raises(LeaseLost):
            engine.connection.execute(insert, ["d"])
    finally:
        engine.close()
    assert scene.rows() == ["a", "b", "c"]


SETUP = """
from django.conf import settings
settings.configure(INSTALLED_APPS=["relight_lease"], **{given})
import django
django.setup()
"""


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "RELIGHT_LEASE must be a dictionary; see docs/write-lease.md"),
        ({"RELIGHT_LEASE": {"REGION": "eu-west-1"}}, "RELIGHT_LEASE: HOME_REGION is missing; LEDGER_REGION is missing"),
    ],
)
def test_a_project_without_its_settings_does_not_start(given: dict[str, Any], sentence: str) -> None:
    script = SETUP.format(given=given)
    command, environment = [sys.executable, "-c", script], {"PATH": os.environ["PATH"]}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert f"ImproperlyConfigured: {sentence}" in ended.stderr
