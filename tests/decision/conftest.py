"""The same core as in tests/unit: AWS as moto imitates it, time that stands still, and no way out of this machine."""

import pytest
from relight.ledger import Ledger

from tests.unit.conftest import Clients, aws, clients, clock, credentials, ledger, names, no_way_out, web
from tests.unit.loopback import NameServer, WebServer
from tests.unit.scene import Scene, make_scene
from tests.unit.standby import HERE, HOME, Clock
from tests.unit.watcher import Watcher, make_machine

__all__ = ["aws", "clients", "clock", "credentials", "ledger", "names", "no_way_out", "web"]


@pytest.fixture
def scene(names: NameServer, web: WebServer, clock: Clock, clients: Clients) -> Scene:
    return make_scene(names, web, clock, clients)


@pytest.fixture
def watcher(scene: Scene, ledger: Ledger, clients: Clients, clock: Clock) -> Watcher:
    machine = make_machine(clients("stepfunctions", HERE))
    return Watcher(scene, ledger, machine, clients("autoscaling", HOME), clock)
