"""The shop beside a database that is a replica, is promoted, dies, comes back, or is silent. It is never restarted."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.postgres import Postgres
from tests.app.instance import Shop, StartShop


def ready(shop: Shop) -> tuple[int, str | None]:
    answer = shop.ask("GET", "/health/ready")
    return answer.status, answer.json.get("reason")


def orders(shop: Shop, name: str) -> set[int]:
    """What ten orders get, which is more than the shop has threads and connections."""
    return {shop.order(f"{name}-{number}").status for number in range(10)}


@pytest.fixture(scope="module")
def promoted(primary: Postgres, data_root: Path) -> Iterator[Postgres]:
    """A database that takes writes, for tests that stop and start it."""
    server = Postgres.copy_of(primary, data_root / "promoted", "127.0.2.21", 0, slot="promoted")
    server.start()
    server.promote()
    yield server
    server.destroy()


@pytest.fixture(scope="module")
def shop(promoted: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """An instance before it, which none of the tests restarts."""
    instance = Shop(promoted, "eu-central-1", tmp_path_factory.mktemp("shop") / "shop.log")
    try:
        instance.until(instance.lives)
        yield instance
    finally:
        instance.stop()


def test_it_starts_before_its_replica_and_takes_orders_once_that_is_promoted(
    start_shop: StartShop, primary: Postgres, replica: Postgres
) -> None:
    primary.sql("INSERT INTO shop_order (id, item, quantity, region) VALUES ('old', 'lamp', 1, 'eu-west-1')")
    replica.stop()
    shop = start_shop(replica)
    assert shop.ask("GET", "/health/ready").json == {"status": "not ready", "reason": "database is unreachable"}

    replica.start()
    shop.until(lambda: shop.ask("GET", "/orders/old").status == 200)
    assert shop.ask("GET", "/health/live").status == 200
    assert shop.ask("GET", "/health/ready").json == {"status": "not ready", "reason": "database is read-only"}
    refused = shop.order("new")
    assert refused.status == 503
    assert "error" in refused.json
    assert refused.headers["X-Relight-Region"] == "eu-central-1"
    assert orders(shop, "new") == {503}
    assert "old" in shop.ask("GET", "/").text

    replica.promote()

    # At once, from every one of its threads and connections.
    assert {ready(shop) for _ in range(10)} == {(200, None)}
    assert orders(shop, "new") == {201}
    assert shop.ask("GET", "/orders/new-0").json["region"] == "eu-central-1"


def test_a_database_made_read_only_is_not_ready_until_it_is_given_back(shop: Shop, promoted: Postgres) -> None:
    assert {ready(shop) for _ in range(10)} == {(200, None)}

    promoted.sql("ALTER DATABASE shop SET default_transaction_read_only = on")
    promoted.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (promoted.user,))
    assert {ready(shop) for _ in range(10)} == {(503, "database is read-only")}
    assert orders(shop, "fenced") == {503}

    promoted.sql("ALTER DATABASE shop SET default_transaction_read_only = off")
    assert {ready(shop) for _ in range(10)} == {(200, None)}
    assert orders(shop, "fenced") == {201}


def test_a_database_that_dies_and_returns(shop: Shop, promoted: Postgres) -> None:
    assert orders(shop, "before") == {201}

    promoted.kill()
    assert orders(shop, "during") == {503}
    assert ready(shop) == (503, "database is unreachable")
    page = shop.ask("GET", "/")
    assert page.status == 503
    assert "cannot be read" in page.text
    assert shop.ask("GET", "/orders/before-0").status == 503
    assert shop.ask("GET", "/health/live").status == 200

    promoted.start()
    assert orders(shop, "during") == {201}
    assert ready(shop) == (200, None)


def test_a_silent_database_is_given_up(shop: Shop, promoted: Postgres) -> None:
    assert orders(shop, "heard") == {201}

    # Stopped, not dead: connections are taken and nothing is ever said, as behind a network that swallows packets.
    pids = promoted.pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(2) as pool:
            order, health = pool.submit(shop.order, "silent"), pool.submit(ready, shop)
            assert shop.ask("GET", "/health/live").status == 200
            assert order.result().status == 503
            assert health.result() == (503, "database is unreachable")
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert shop.order("silent").status == 201
    assert ready(shop) == (200, None)


def test_each_refusal_is_one_line_of_json(shop: Shop, promoted: Postgres) -> None:
    known = len(shop.problems())
    promoted.kill()
    assert shop.order("logged").status == 503
    promoted.start()
    (line,) = shop.problems()[known:]
    assert line["level"] == "WARNING"
    assert line["message"].startswith("POST /orders: the database refused: ")
    assert line["time"].endswith("+00:00")
