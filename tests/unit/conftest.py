"""The core in this process: AWS as moto imitates it, time that stands still, and no way out of this machine."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from moto import mock_aws
from pytest_socket import socket_allow_hosts
from relight.clients import client
from relight.ledger import Ledger
from relight.run import Run

from tests.unit.loopback import NameServer, WebServer
from tests.unit.standby import HERE, HOME, Clock, make_ledger, take_lock

type Clients = Callable[..., Any]


@pytest.fixture(autouse=True)
def no_way_out() -> None:
    """A connection to anywhere but this machine is an error."""
    socket_allow_hosts(["127.0.0.1"], allow_unix_socket=True)


@pytest.fixture(scope="package", autouse=True)
def credentials() -> Iterator[None]:
    """None that AWS would take, whatever the developer's own environment holds."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture(scope="package")
def clients(credentials: None) -> Clients:
    """`clients(service, region)`: made once, because making one takes longer than most tests."""
    return functools.cache(client)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Empty accounts."""
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # reading its list of images takes longer than a test
    with mock_aws():
        yield


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(aws: None, clients: Clients) -> Ledger:
    """The ledger of the DR Region, empty."""
    return make_ledger(clients("dynamodb", HERE))


@pytest.fixture
def peer_ledger(aws: None, clients: Clients) -> Ledger:
    """The ledger of the primary Region, empty."""
    return make_ledger(clients("dynamodb", HOME))


@pytest.fixture
def run(ledger: Ledger, clock: Clock) -> Run:
    """A run that holds the lock of the DR Region at epoch 1."""
    return take_lock(ledger, "run-1", clock())


@pytest.fixture
def names() -> Iterator[NameServer]:
    with NameServer() as server:
        yield server


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server
