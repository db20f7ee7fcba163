"""One look in every direction, bounded in time."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from relight.facts import Facts, Trigger
from relight.ledger import DatabaseProperties, Ledger
from relight.lookout import Asked, Lookout, newest, policy_of
from relight.policy import Approval, Policy
from relight.run import Mode
from relight.signal import Seen, Signal, View

from tests.unit.conftest import Clients
from tests.unit.loopback import NameServer, WebServer, black_hole
from tests.unit.rds import PEER, SOURCE
from tests.unit.scene import Scene, make_scene
from tests.unit.situation import keep_signals
from tests.unit.standby import HERE, HOME, NOW, Clock


@pytest.fixture
def scene(names: NameServer, web: WebServer, clock: Clock, clients: Clients) -> Scene:
    return make_scene(names, web, clock, clients)


def look(lookout: Lookout, **asked: Any) -> Facts:
    return lookout.look(Asked(**asked)).facts


def test_a_primary_that_is_up_is_seen_so_from_everywhere(scene: Scene, ledger: Ledger) -> None:
    scene.dbcheck.heartbeat_at = NOW - 30
    facts = look(scene.lookout(ledger, scene.settings()))
    assert {view: signal.seen for view, signal in facts.signals.items()} == dict.fromkeys(View, Seen.UP)
    assert (facts.now, facts.here, facts.head) == (NOW, HERE, ledger.head())
    assert facts.replica is not None
    assert (facts.replica.status, facts.replica.source) == ("available", SOURCE)
    assert facts.peer_database == "available"
    assert facts.last_replayed_at == NOW - 2


def test_a_primary_that_is_lost_is_down_since_it_was_first_seen_so(scene: Scene, ledger: Ledger, clock: Clock) -> None:
    scene.lose()
    lookout = scene.lookout(ledger, scene.settings())
    first = look(lookout)
    keep_signals(ledger, first.signals.values())
    clock.advance(10)
    facts = look(lookout)
    quorum = [facts.signals[view] for view in (View.OUTSIDE, View.FROM_DR, View.STREAM)]
    assert {(signal.seen, signal.since, signal.last_seen) for signal in quorum} == {(Seen.DOWN, NOW, NOW + 10)}
    assert facts.signals[View.CONTROL].seen is Seen.UP
    assert facts.peer_database is None
    assert facts.first_bad == NOW


def test_who_asks_and_how_is_handed_on(scene: Scene, ledger: Ledger) -> None:
    facts = look(
        scene.lookout(ledger, scene.settings()), trigger=Trigger.MANUAL, forced=True, by="me", mode=Mode.PLANNED
    )
    assert (facts.trigger, facts.forced, facts.asked_by, facts.mode) == (Trigger.MANUAL, True, "me", Mode.PLANNED)


def test_what_keeps_the_peers_database_safe_is_looked_at_too(scene: Scene, ledger: Ledger, clients: Clients) -> None:
    primary = clients("rds", HOME)
    primary.create_db_instance(
        DBInstanceIdentifier=PEER,
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        MultiAZ=True,
        BackupRetentionPeriod=14,
        DeletionProtection=True,
    )
    lookout = replace(scene.lookout(ledger, scene.settings()), peer_rds=primary)
    assert lookout.look(Asked()).peer_properties == DatabaseProperties(True, 14, True)
    scene.lose()
    assert scene.lookout(ledger, scene.settings()).look(Asked()).peer_properties is None


# What was seen is kept, by whoever looks, and by two at once.


def test_two_who_look_at_once_keep_what_both_have_seen(scene: Scene, ledger: Ledger, clock: Clock) -> None:
    scene.lose()
    keep_signals(ledger, [Signal(View.OUTSIDE, Seen.DOWN, NOW - 300, NOW - 5, "down", mute_since=NOW - 300)])
    lookout = scene.lookout(ledger, scene.settings())
    scene.up()
    up = lookout.look(Asked())
    clock.advance(1)
    scene.lose()
    down = lookout.look(Asked())
    # Both have read the same, and the one that saw it up is the first to write.
    assert lookout.keep(up, up.changed).signals[View.OUTSIDE].seen is Seen.UP
    facts = lookout.keep(down, [View.OUTSIDE])
    assert (facts.signals[View.OUTSIDE].seen, facts.signals[View.OUTSIDE].since) == (Seen.DOWN, NOW + 1)
    assert ledger.signals()[View.OUTSIDE] == facts.signals[View.OUTSIDE]


def test_who_comes_late_breaks_what_was_unbroken(scene: Scene, ledger: Ledger, clock: Clock) -> None:
    scene.lose()
    keep_signals(ledger, [Signal(View.OUTSIDE, Seen.DOWN, NOW - 300, NOW - 5, "down", mute_since=NOW - 300)])
    lookout = scene.lookout(ledger, scene.settings())
    scene.up()
    up = lookout.look(Asked())
    clock.advance(1)
    scene.lose()
    down = lookout.look(Asked())
    lookout.keep(down, [View.OUTSIDE])
    facts = lookout.keep(up, [View.OUTSIDE])
    assert (facts.signals[View.OUTSIDE].seen, facts.signals[View.OUTSIDE].since) == (Seen.DOWN, NOW + 1)
    assert ledger.signals()[View.OUTSIDE].since == NOW + 1


def test_only_what_says_something_else_has_changed(scene: Scene, ledger: Ledger) -> None:
    lookout = scene.lookout(ledger, scene.settings())
    first = lookout.look(Asked())
    assert first.changed == set(View)
    lookout.keep(first, first.changed)
    assert lookout.look(Asked()).changed == set()
    scene.lose()
    assert lookout.look(Asked()).changed == {View.OUTSIDE, View.FROM_DR, View.STREAM}


# Route 53's alarm: the view from outside, later.


def unseen(scene: Scene, ledger: Ledger, texts: list[str], ago: float) -> Signal:
    scene.names.records[("_seen.shop.example", "TXT")] = texts
    lookout = scene.lookout(ledger, scene.settings())
    return look(lookout, unseen_at=NOW - ago).signals[View.OUTSIDE]


def test_where_dns_says_nothing_the_alarm_is_the_view_from_outside(scene: Scene, ledger: Ledger) -> None:
    signal = unseen(scene, ledger, [], 30)
    assert (signal.seen, signal.since, signal.last_seen) == (Seen.DOWN, NOW - 30, NOW - 30)


@pytest.mark.parametrize(("text", "seen"), [("up", Seen.UP), ("down", Seen.DOWN)])
def test_where_dns_speaks_the_alarm_says_nothing(scene: Scene, ledger: Ledger, text: str, seen: Seen) -> None:
    signal = unseen(scene, ledger, [text], 30)
    assert (signal.seen, signal.since) == (seen, NOW)


def test_an_alarm_that_is_stale_is_none(scene: Scene, ledger: Ledger) -> None:
    assert unseen(scene, ledger, [], 91).at(NOW, 90).seen is Seen.UNKNOWN


def test_an_alarm_says_nothing_against_what_was_seen_after_it(scene: Scene, ledger: Ledger) -> None:
    keep_signals(ledger, [Signal(View.OUTSIDE, Seen.UP, NOW - 500, NOW - 10, "up")])
    assert unseen(scene, ledger, [], 30).seen is Seen.UP


# The replication stream, where dbcheck cannot be asked.


def spoil_dbcheck(scene: Scene) -> None:
    scene.dbcheck.failure = "Sandbox.Timedout"


def close_the_database(scene: Scene) -> None:
    scene.dbcheck.reached = False


@pytest.mark.parametrize("spoil", [spoil_dbcheck, close_the_database])
@pytest.mark.parametrize(
    ("lag", "seen", "replayed"),
    [(4, Seen.UP, True), (-1, Seen.DOWN, False), (600, Seen.UNKNOWN, True), (None, Seen.UNKNOWN, False)],
)
def test_cloudwatchs_lag_stands_in_for_dbcheck(
    scene: Scene, ledger: Ledger, spoil: Callable[[Scene], None], lag: float | None, seen: Seen, replayed: bool
) -> None:
    spoil(scene)
    if lag is not None:
        scene.lag(lag)
    facts = look(scene.lookout(ledger, scene.settings()))
    assert facts.signals[View.STREAM].seen is seen
    assert (facts.last_replayed_at is not None) is replayed
    if lag is not None and replayed:
        assert facts.last_replayed_at is not None
        assert NOW - 120 - lag <= facts.last_replayed_at <= NOW - 60 - lag


def test_a_lag_is_not_asked_for_where_dbcheck_answers(scene: Scene, ledger: Ledger) -> None:
    scene.lag(-1)
    assert look(scene.lookout(ledger, scene.settings())).signals[View.STREAM].seen is Seen.UP


def test_looks_that_hang_leave_no_room_and_what_was_not_looked_at_is_unknown(scene: Scene, ledger: Ledger) -> None:
    released = threading.Event()
    lookout = replace(
        scene.lookout(ledger, scene.settings(sample_timeout_seconds=0.1)), threads=ThreadPoolExecutor(max_workers=1)
    )
    lookout.threads.submit(released.wait, 20)
    scene.clock.now = time.time()
    facts = look(replace(lookout, clock=time.time))
    released.set()
    assert {signal.seen for signal in facts.signals.values()} == {Seen.UNKNOWN}
    assert facts.replica is None


def test_what_was_silent_for_too_long_begins_anew(scene: Scene, ledger: Ledger) -> None:
    scene.lose()
    keep_signals(ledger, [Signal(View.OUTSIDE, Seen.DOWN, NOW - 500, NOW - 91, "down")])
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
            scene.lookout(ledger, settings),
            functions=hanging,
            rds=hanging,
            peer_rds=hanging,
            cloudwatch=hanging,
            clock=time.time,
        )
        found = lookout.look(Asked())
        facts = found.facts
        released.set()
    assert {view: signal.seen for view, signal in facts.signals.items()} == {
        View.OUTSIDE: Seen.UNKNOWN,
        View.FROM_DR: Seen.UNKNOWN,
        View.CONTROL: Seen.DOWN,
        View.STREAM: Seen.UNKNOWN,
    }
    assert (facts.replica, facts.peer_database, facts.last_replayed_at) == (None, None, None)
    assert found.peer_properties is None


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"last_replayed_at": None, "heartbeat_at": None}, None),
        ({"last_replayed_at": 5.0, "heartbeat_at": None}, 5.0),
        ({"last_replayed_at": None, "heartbeat_at": 6.0}, 6.0),
        ({"last_replayed_at": 5.0, "heartbeat_at": 6.0}, 6.0),
    ],
)
def test_the_newest_commit_or_heartbeat(state: dict[str, Any], expected: float | None) -> None:
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
