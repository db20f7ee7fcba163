"""The shop as it really runs: gunicorn in a process of its own, before a real PostgreSQL; and a client of it."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from lab.port import free_port
from lab.postgres import Postgres

ROOT = Path(__file__).parents[2]
OWNER, PASSWORD = "shop_owner", "it's a secret"


@dataclass(frozen=True)
class Answer:
    """What the shop said."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Shop:
    """One instance of the application, and a client of it."""

    def __init__(
        self,
        database: Postgres,
        region: str,
        log: Path,
        *,
        python: str = sys.executable,
        cwd: Path | str = ROOT,
        **changed: str,
    ) -> None:
        """`python` runs what lies in `cwd`; `changed` are environment variables."""
        self.port = free_port(("127.0.0.1",))
        self.log = log
        environment = {
            **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
            "HOME": "/nonexistent",
            "AWS_REGION": region,
            # A name that does not exist: the address comes from PGHOSTADDR, as in the lab.
            "DATABASE_HOST": "database.invalid",
            "PGHOSTADDR": database.host,
            "DATABASE_PORT": str(database.port),
            "DATABASE_NAME": database.database,
            "DATABASE_USER": database.user,
            "DATABASE_PASSWORD": database.password,
            "ALLOWED_HOSTS": "shop.example, .relight.test",
            "BIND": f"127.0.0.1:{self.port}",
            **changed,
        }
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [python, "-m", "app.serve"], cwd=cwd, env=environment, stdout=output, stderr=output
            )

    def ask(self, method: str, path: str, body: object = None, host: str = "shop.example") -> Answer:
        """`body` is sent as JSON, or as it is where it is bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            data = body if isinstance(body, bytes) or body is None else json.dumps(body)
            connection.request(method, path, data, {"Host": host, "Content-Type": "application/json"})
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read().decode())
        finally:
            connection.close()

    def order(self, identifier: str, item: str = "lamp", quantity: int = 1) -> Answer:
        return self.ask("POST", "/orders", {"id": identifier, "item": item, "quantity": quantity})

    def lives(self) -> bool:
        """Whether it answers; fails where it has ended."""
        assert self.process.poll() is None, self.log.read_text()
        with suppress(OSError):
            return self.ask("GET", "/health/live").status == 200
        return False

    def until(self, look: Callable[[], bool], seconds: float = 20) -> None:
        """Wait until `look` is true."""
        deadline = time.monotonic() + seconds
        while not look():
            assert time.monotonic() < deadline, f"it did not happen in time: {self.log.read_text()}"
            time.sleep(0.02)

    def problems(self) -> list[dict[str, str]]:
        """What it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


type StartShop = Callable[..., Shop]


def migrate(database: Postgres) -> None:
    """As its owner runs it by hand."""
    environment = {
        **os.environ,
        "AWS_REGION": "eu-west-1",
        "DATABASE_HOST": database.host,
        "DATABASE_PORT": str(database.port),
        "DATABASE_NAME": database.database,
        "DATABASE_USER": database.user,
        "DATABASE_PASSWORD": database.password,
        "ALLOWED_HOSTS": "shop.example",
    }
    command = [sys.executable, "-m", "app.manage", "migrate", "--no-input", "--verbosity=0"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=60)


def bootstrap(database: Postgres) -> None:
    """Run bootstrap.sql as the owner does."""
    statements = (ROOT / "layers/relight/bootstrap.sql").read_bytes()
    with psycopg.connect(
        host=database.host, port=database.port, dbname=database.database, user=OWNER, password=PASSWORD, autocommit=True
    ) as connection:
        connection.execute(statements)
