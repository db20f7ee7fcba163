"""Databases of the shop, and instances of it before them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from lab.binaries import folder
from lab.postgres import Postgres
from tests.app.instance import OWNER, PASSWORD, Shop, StartShop, bootstrap, migrate
from tests.app.ledgers import Ledgers


@pytest.fixture(scope="session")
def data_root() -> Iterator[Path]:
    """A folder for data directories that the servers' user can enter."""
    made = folder("relight-test-")
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def primary(data_root: Path) -> Iterator[Postgres]:
    """A database that has the shop's tables and Relight's, made by its owner."""
    server = Postgres.create(data_root / "primary", "127.0.1.20", 0, OWNER, PASSWORD, "shop")
    server.start()
    migrate(server)
    bootstrap(server)
    yield server
    server.destroy()


@pytest.fixture
def replica(primary: Postgres, data_root: Path) -> Iterator[Postgres]:
    """A streaming copy of the primary, for one test that may do with it what it likes."""
    server = Postgres.copy_of(primary, data_root / "replica", "127.0.2.20", 0, slot="dr")
    server.start()
    yield server
    server.destroy()


@pytest.fixture
def start_shop(tmp_path: Path) -> Iterator[StartShop]:
    """Starts instances and waits until they live; they are stopped after the test."""
    shops: list[Shop] = []

    def start(database: Postgres, region: str = "eu-central-1", **changed: str) -> Shop:
        shop = Shop(database, region, tmp_path / f"shop-{len(shops)}.log", **changed)
        shops.append(shop)
        shop.until(shop.lives)
        return shop

    yield start
    for shop in shops:
        shop.stop()


@pytest.fixture(scope="module")
def shop(primary: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """An instance before the primary, for all the tests of a module."""
    instance = Shop(primary, "eu-west-1", tmp_path_factory.mktemp("shop") / "shop.log")
    try:
        instance.until(instance.lives)
        yield instance
    finally:
        instance.stop()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Where AWS answers, in all Regions."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def ledgers(endpoint: str) -> Iterator[Ledgers]:
    """Both Regions' ledgers, empty."""
    made = Ledgers(endpoint)
    yield made
    made.delete()
