"""A database under the lease, in this process; the lease's store and its clock are the test's."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import django
import pytest
from django.conf import settings
from django.db import connections
from relight_lease import keeper as keepers
from relight_lease.keeper import Keeper
from relight_lease.lease import Lease
from relight_lease.settings import configured
from relight_lease.store import Answer

from lab.binaries import folder
from lab.postgres import Postgres

TERM, LONGEST = 10.0, 5.0
YES = Answer(True, "eu-west-1 is active")


@dataclass
class Scene:
    """The lease of this process, and the table in which it writes."""

    database: Postgres
    keeper: Keeper
    lease: Lease
    clock: list[float] = field(default_factory=lambda: [1000.0])
    answer: Answer | Exception = field(default_factory=lambda: YES)

    @property
    def connection(self) -> Any:
        return connections["default"]

    def hold(self) -> None:
        """Ask now, and be granted."""
        self.answer = YES
        self.keeper.renew()

    def lose(self) -> None:
        """The term runs out, and the store cannot be asked."""
        self.clock[0] += TERM
        self.answer = ConnectionError("nobody there")
        self.keeper.renew()

    def rows(self) -> list[str]:
        """What is in the table, as another session sees it."""
        return [row[0] for row in self.database.sql("SELECT item FROM written ORDER BY item")]


TABLES = """
SET ROLE owner;
CREATE TABLE written (item text PRIMARY KEY, checked text); CREATE SEQUENCE numbers;
CREATE FUNCTION put(item text) RETURNS text LANGUAGE sql AS 'INSERT INTO written VALUES (item) RETURNING item';
CREATE PROCEDURE put_and_commit(item text) LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO written VALUES (item); COMMIT; INSERT INTO written VALUES (item || '+'); END $$;
CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
        PERFORM pg_sleep(coalesce(current_setting('written.pause', true), '0')::float);
        PERFORM set_config('written.done', 'yes', false);
        RETURN NULL;
    END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON written DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION at_commit();
"""


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """A database, and Django's settings for it."""
    made = folder("relight-test-")
    created = Postgres.create(made / "primary", "127.0.1.22", 0, "owner", "it's a secret", "shop")
    created.start()
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "relight_lease.postgresql",
                "HOST": created.host,
                "PORT": created.port,
                "NAME": created.database,
                "USER": created.user,
                "PASSWORD": created.password,
            }
        },
        INSTALLED_APPS=["relight_lease"],
        RELIGHT_LEASE={
            "REGION": "eu-west-1",
            "HOME_REGION": "eu-west-1",
            "LEDGER_REGION": "eu-central-1",
            "LEDGER_TABLE": "relight-shop",
            "TERM_SECONDS": TERM,
            "LONGEST_TRANSACTION_SECONDS": LONGEST,
        },
        USE_TZ=True,
    )
    django.setup()
    created.sql(TABLES)
    yield created
    connections.close_all()
    created.destroy()
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def scene(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A new connection, held lease, an empty table."""
    server.sql("TRUNCATE written; DROP TABLE IF EXISTS other")
    clock = [1000.0]
    lease = Lease(TERM, lambda: clock[0])

    def ask() -> Answer:
        if isinstance(made.answer, Exception):
            raise made.answer
        return made.answer

    made = Scene(server, Keeper(lease, ask, "eu-west-1", begin=lambda _: None), lease, clock)
    made.keeper.renew()
    monkeypatch.setitem(keepers._keepers, configured(), made.keeper)
    connections["default"].close()
    yield made
    connections["default"].close()
