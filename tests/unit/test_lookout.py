"""One look in every direction, bounded in time."""

import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from relight.facts import Replica, Trigger
from relight.ledger import Ledger
from relight.lookout import Lookout, newest, policy_of
from relight.policy import Approval, Policy
from relight.signal import Seen, Signal, View

from tests.unit.conftest import Clients
from tests.unit.loopback import NameServer, WebServer, black_hole
from tests.unit.rds import SOURCE
from tests.unit.scene import Scene, make_scene
from tests.unit.standby import HERE, NOW, Clock


@pytest.fixture
def scene(names: NameServer, web: WebServer, clock: Clock, clients: Clients) -> Scene:
    return make_scene(names, web, clock, clients)


def look(lookout: Lookout) -> Any:
    return lookout.look(Trigger.AUTOMATIC, forced=False, asked_by=None)


def test_a_primary_that_is_up_is_seen_so_from_everywhere(scene: Scene, ledger: Ledger) -> None:
    scene.dbcheck.heartbeat_at = NOW - 30
    facts = look(scene.lookout(ledger, scene.settings()))
    assert {view: signal.seen for view, signal in facts.signals.items()} == dict.fromkeys(View, Seen.UP)
    assert (facts.now, facts.here, facts.head) == (NOW, HERE, ledger.head())
    assert facts.replica == Replica("available", SOURCE)
    assert facts.peer_database == "available"
    assert facts.last_replayed_at == NOW - 2


def test_a_primary_that_is_lost_is_down_since_it_was_first_seen_so(scene: Scene, ledger: Ledger, clock: Clock) -> None:
    scene.lose()
    lookout = scene.lookout(ledger, scene.settings())
    first = look(lookout)
    ledger.keep_signals(first.signals.values())
    clock.advance(10)
    facts = look(lookout)
    quorum = [facts.signals[view] for view in (View.OUTSIDE, View.FROM_DR, View.STREAM)]
    assert {(signal.seen, signal.since, signal.last_seen) for signal in quorum} == {(Seen.DOWN, NOW, NOW + 10)}
    assert facts.signals[View.CONTROL].seen is Seen.UP
    assert facts.peer_database is None
    assert facts.first_bad == NOW


def test_what_was_silent_for_too_long_begins_anew(scene: Scene, ledger: Ledger) -> None:
    scene.lose()
    ledger.keep_signals([Signal(View.OUTSIDE, Seen.DOWN, NOW - 500, NOW - 91, "down")])
    assert look(scene.lookout(ledger, scene.settings())).signals[View.OUTSIDE].since == NOW


def test_nothing_answers_and_the_look_is_over_in_time(scene: Scene, ledger: Ledger) -> None:
    released = threading.Event()

    class Hangs:
        def __getattr__(self, name: str) -> Any:
            released.wait(20)
            raise TimeoutError

    hanging: Any = Hangs()
    scene.clock.now = time.time()
    with black_hole() as port:
        settings = scene.settings(
            sample_timeout_seconds=0.2,
            name_servers=(f"127.0.0.1:{port}",),
            control_targets=(f"http://127.0.0.1:{port}/ping",) * 5,
        )
        lookout = replace(
            scene.lookout(ledger, settings), functions=hanging, rds=hanging, peer_rds=hanging, clock=time.time
        )
        facts = look(lookout)
        released.set()
    assert {view: signal.seen for view, signal in facts.signals.items()} == {
        View.OUTSIDE: Seen.UNKNOWN,
        View.FROM_DR: Seen.UNKNOWN,
        View.CONTROL: Seen.DOWN,
        View.STREAM: Seen.UNKNOWN,
    }
    assert (facts.replica, facts.peer_database, facts.last_replayed_at) == (None, None, None)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (None, None),
        ({"last_replayed_at": None, "heartbeat_at": None}, None),
        ({"last_replayed_at": 5.0, "heartbeat_at": None}, 5.0),
        ({"last_replayed_at": None, "heartbeat_at": 6.0}, 6.0),
        ({"last_replayed_at": 5.0, "heartbeat_at": 6.0}, 6.0),
    ],
)
def test_the_newest_commit_or_heartbeat(state: dict[str, Any] | None, expected: float | None) -> None:
    assert newest(state) == expected


def test_the_policy_is_as_configured(scene: Scene) -> None:
    settings = scene.settings(
        policy=Approval.MANUAL,
        hold_down_seconds=1.0,
        database_hold_down_seconds=2.0,
        fresh_seconds=3.0,
        max_data_loss_seconds=4.0,
        cooldown_seconds=5.0,
        look_again_seconds=6.0,
    )
    assert policy_of(settings) == Policy(Approval.MANUAL, 1, 2, 3, 4, 5, 6)
