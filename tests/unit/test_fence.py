"""The fence: cut, failed, or unknown within its bound, whatever the peer's API does."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from relight.errors import RunSuperseded
from relight.fleet import standing_by
from relight.ledger import Capacity, Ledger, State
from relight.network_acl import NetworkAcl
from relight.run import Run
from relight.settings import FenceSettings
from relight.steps.fence import Fencing, Intent, Peer

from tests.unit.conftest import Clients
from tests.unit.firewall import CIDRS, make_acl, rules
from tests.unit.fleet import Fleet, make_fleet
from tests.unit.loopback import black_hole, closed_port
from tests.unit.rds import REPLICA, Dbcheck, error
from tests.unit.standby import HERE, HOME, Clock, take_lock

GROUPS = ("shop-primary", "shop-workers")
SETTINGS = FenceSettings(
    aws_region=HERE,
    home_region=HOME,
    peer_region=HOME,
    ledger_table="relight-shop",
    peer_connect_seconds=2,
    peer_read_seconds=5,
    network_acl_id="acl-87654321",
    app_cidrs=CIDRS,
    peer_network_acl_id="acl-12345678",
    peer_app_cidrs=CIDRS,
    peer_dbcheck_function="relight-shop-dbcheck",
    peer_group_names=GROUPS,
    fence_seconds=5.0,
)
type MakeFencing = Callable[..., Fencing]


@pytest.fixture
def acl(aws: None, clients: Clients) -> NetworkAcl:
    return make_acl(clients("ec2", HOME))


@pytest.fixture
def dbcheck() -> Dbcheck:
    """That of the peer, whose database takes writes."""
    return Dbcheck(in_recovery=False)


@pytest.fixture
def fencing(
    ledger: Ledger, peer_ledger: Ledger, clock: Clock, dbcheck: Dbcheck, clients: Clients
) -> Iterator[MakeFencing]:
    """`fencing(acl, seconds, groups, own)`: the step, with what the peer lets it do, and this Region's network ACL."""
    with ThreadPoolExecutor(max_workers=4) as threads:

        def make(
            acl: NetworkAcl | None, seconds: float = 5.0, groups: Any = None, own: NetworkAcl | None = None
        ) -> Fencing:
            peer = Peer(acl, dbcheck, groups or clients("autoscaling", HOME), peer_ledger)  # type: ignore[arg-type]
            return Fencing(replace(SETTINGS, fence_seconds=seconds), ledger, peer, clock, threads, own)

        yield make


def bounded(timeout: float) -> Config:
    return Config(connect_timeout=timeout, read_timeout=timeout, retries={"total_max_attempts": 1})


def lost(port: int, timeout: float) -> NetworkAcl:
    """The network ACL of a Region whose API is at that port, and lost."""
    ec2 = boto3.client("ec2", region_name=HOME, endpoint_url=f"http://127.0.0.1:{port}", config=bounded(timeout))
    return NetworkAcl(ec2, "acl-12345678", CIDRS)


def test_the_peer_is_fenced_and_the_time_is_noted(
    fencing: MakeFencing, acl: NetworkAcl, ledger: Ledger, run: Run, clock: Clock
) -> None:
    outcome = fencing(acl).cut(run)
    assert outcome.as_dict() == {
        "status": "DONE",
        "sentence": "the peer's application is cut off from its database",
        "look_again_seconds": 0,
        "facts": {"fence": "fenced"},
    }
    assert acl.denied() == set(CIDRS)
    assert ledger.timeline(run.id)[0] == {"t3": clock()}


def test_fencing_twice_is_the_same_as_once(
    fencing: MakeFencing, acl: NetworkAcl, ledger: Ledger, run: Run, clock: Clock
) -> None:
    first = clock()
    fencing(acl).cut(run)
    after = rules(acl)
    clock.advance(30)
    assert fencing(acl).cut(run).facts == {"fence": "fenced"}
    assert rules(acl) == after
    assert ledger.timeline(run.id)[0] == {"t3": first}


def test_a_fence_is_lifted_and_lifting_none_is_well(fencing: MakeFencing, acl: NetworkAcl, run: Run) -> None:
    before = rules(acl)
    fencing(acl).cut(run)
    for _ in range(2):
        outcome = fencing(acl).lift(run)
        assert (outcome.facts, outcome.sentence) == ({"fence": "lifted"}, "the peer is not fenced")
        assert rules(acl) == before


def test_a_refused_endpoint_is_failed_at_once_and_the_run_goes_on(
    fencing: MakeFencing, ledger: Ledger, run: Run, clock: Clock
) -> None:
    outcome = fencing(lost(closed_port(), 1)).cut(run)
    assert (outcome.status, outcome.facts) == ("DONE", {"fence": "failed"})
    assert outcome.sentence.startswith("the peer could not be fenced: EndpointConnectionError")
    assert ledger.timeline(run.id)[0] == {"t3": clock()}
    assert fencing(lost(closed_port(), 1)).lift(run).facts == {"fence": "failed"}


def test_a_black_holed_endpoint_is_unknown_when_the_bound_has_passed(
    fencing: MakeFencing, ledger: Ledger, run: Run, clock: Clock
) -> None:
    with black_hole() as port:
        outcome = fencing(lost(port, 0.8), 0.05).cut(run)
        assert (outcome.status, outcome.facts) == ("DONE", {"fence": "unknown"})
        assert outcome.sentence == "the fence was asked for, and the peer did not answer within 0.05 s"
        assert ledger.timeline(run.id)[0] == {"t3": clock()}
        lifted = fencing(lost(port, 0.8), 0.05).lift(run)
    assert lifted.sentence == "the peer did not answer within 0.05 s: its guard lifts a fence itself"


def test_a_black_holed_endpoint_that_times_out_within_the_bound_is_failed(fencing: MakeFencing, run: Run) -> None:
    with black_hole() as port:
        outcome = fencing(lost(port, 0.1), 5).cut(run)
    assert outcome.facts == {"fence": "failed"}
    assert "ReadTimeoutError" in outcome.sentence


def test_an_attempt_that_hangs_does_not_hold_up_the_next(fencing: MakeFencing, acl: NetworkAcl, run: Run) -> None:
    with hanging(acl) as held:
        assert fencing(held, 0.02).cut(run).facts == {"fence": "unknown"}
        assert fencing(acl).cut(run).facts == {"fence": "fenced"}
    assert acl.denied() == set(CIDRS)


@contextmanager
def hanging(acl: NetworkAcl) -> Iterator[NetworkAcl]:
    """The same network ACL behind an API that answers only at the end of the test."""
    answered = threading.Event()

    class Slow:
        def __getattr__(self, name: str) -> Any:
            answered.wait(10)
            return getattr(acl.ec2, name)

    try:
        yield NetworkAcl(Slow(), acl.acl_id, CIDRS)  # type: ignore[arg-type]
    finally:
        answered.set()


def test_an_api_that_refuses_is_failed_with_its_words(fencing: MakeFencing, acl: NetworkAcl, run: Run) -> None:
    outcome = fencing(NetworkAcl(acl.ec2, "acl-00000000", CIDRS)).cut(run)
    assert outcome.facts == {"fence": "failed"}
    assert "acl-00000000" in outcome.sentence


def test_the_fence_stays_while_this_region_is_active(
    fencing: MakeFencing, acl: NetworkAcl, ledger: Ledger, run: Run
) -> None:
    fencing(acl).cut(run)
    ledger.activate(run, HERE)
    assert fencing(acl).lift(run).facts == {"fence": "kept"}
    assert acl.denied()


def test_the_fence_stays_while_the_one_way_door_is_open(
    fencing: MakeFencing, acl: NetworkAcl, ledger: Ledger, run: Run
) -> None:
    fencing(acl).cut(run)
    ledger.set_state(run, State.PROMOTING)
    ledger.open_door(run, REPLICA, None)
    assert fencing(acl).lift(run).facts == {"fence": "kept"}
    assert acl.denied()


# Where the peer's network ACL is not ours, its `dbcheck` is the fence


def test_the_peers_database_is_the_fence_where_its_network_acl_is_not_ours(
    fencing: MakeFencing, dbcheck: Dbcheck, ledger: Ledger, run: Run, clock: Clock
) -> None:
    for _ in range(2):
        outcome = fencing(None).cut(run)
        assert outcome.facts == {"fence": "fenced"}
        assert not dbcheck.writable
    assert ledger.timeline(run.id)[0] == {"t3": clock()}
    for _ in range(2):
        outcome = fencing(None).lift(run)
        assert (outcome.facts, outcome.sentence) == ({"fence": "lifted"}, "the peer is not fenced")
        assert dbcheck.writable


def test_sessions_that_could_not_be_ended_are_no_fence(fencing: MakeFencing, dbcheck: Dbcheck, run: Run) -> None:
    dbcheck.sessions_left = 1
    outcome = fencing(None).cut(run)
    assert outcome.facts == {"fence": "failed"}
    assert outcome.sentence == "the peer could not be fenced: sessions have not ended: 1"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"reached": False}, "unreachable: it is not there"),
        ({"failure": "Sandbox.Timedout"}, "DatabaseCheckFailed: relight-shop-dbcheck failed: Sandbox.Timedout"),
        ({"refusal": error("AccessDeniedException", "not authorized", "Invoke", 403)}, "not authorized"),
    ],
)
def test_a_peer_whose_database_cannot_be_asked_is_not_fenced(
    fencing: MakeFencing, dbcheck: Dbcheck, run: Run, changed: dict[str, Any], sentence: str
) -> None:
    for name, value in changed.items():
        setattr(dbcheck, name, value)
    for outcome in (fencing(None).cut(run), fencing(None).lift(run)):
        assert (outcome.status, outcome.facts) == ("DONE", {"fence": "failed"})
        assert sentence in outcome.sentence


def test_a_peers_database_that_hangs_is_unknown_when_the_bound_has_passed(
    fencing: MakeFencing, dbcheck: Dbcheck, run: Run
) -> None:
    answered = threading.Event()
    dbcheck.before = lambda check: answered.wait(10)
    try:
        assert fencing(None, 0.05).cut(run).facts == {"fence": "unknown"}
        assert fencing(None, 0.05).lift(run).facts == {"fence": "unknown"}
    finally:
        answered.set()


def test_a_late_lift_does_not_let_writes_in_behind_the_next_runs_back(
    fencing: MakeFencing, dbcheck: Dbcheck, ledger: Ledger, run: Run, clock: Clock
) -> None:
    fencing(None).cut(run)
    dbcheck.before = lambda check: take_lock(ledger, "run-2", clock())
    with pytest.raises(RunSuperseded):
        fencing(None).lift(run)
    assert not dbcheck.writable


# The peer's instances, once this Region is active


@pytest.fixture
def fleet(aws: None, clients: Clients) -> Iterator[Fleet]:
    with make_fleet(clients, HOME) as made:
        made.add("shop-primary", Capacity(2, 3, 6))
        made.add("shop-workers", Capacity(1, 1, 1))
        yield made


def test_behind_the_promotion_the_peer_keeps_no_instances(
    fencing: MakeFencing, fleet: Fleet, ledger: Ledger, run: Run
) -> None:
    ledger.activate(run, HERE)
    for _ in range(2):
        outcome = fencing(None).ensure(run, Intent.EMPTY)
        assert (outcome.status, outcome.facts) == ("DONE", {"emptied": "done"})
        assert outcome.sentence == "the peer keeps no more instances than a standby: shop-primary, shop-workers"
        assert [fleet.sizes(name) for name in GROUPS] == [Capacity(0, 0, 6), Capacity(0, 0, 1)]


def test_before_the_promotion_the_peer_keeps_its_instances(
    fencing: MakeFencing, fleet: Fleet, ledger: Ledger, run: Run
) -> None:
    ledger.set_state(run, State.PROMOTING)
    ledger.open_door(run, REPLICA, 1.0)
    assert fencing(None).empty(run).facts == {"emptied": "failed"}
    assert [fleet.sizes(name) for name in GROUPS] == [Capacity(2, 3, 6), Capacity(1, 1, 1)]


def test_one_group_that_cannot_be_emptied_does_not_hold_up_the_others(
    fencing: MakeFencing, fleet: Fleet, ledger: Ledger, run: Run
) -> None:
    ledger.activate(run, HERE)
    fleet.groups.delete_auto_scaling_group(AutoScalingGroupName="shop-primary", ForceDelete=True)
    outcome = fencing(None).empty(run)
    assert outcome.facts == {"emptied": "failed"}
    assert "shop-primary: " in outcome.sentence
    assert outcome.sentence.endswith("its guard empties it")
    assert fleet.sizes("shop-workers") == Capacity(0, 0, 1)


def test_without_the_names_of_its_groups_the_peer_keeps_what_it_has(
    fencing: MakeFencing, ledger: Ledger, run: Run
) -> None:
    ledger.activate(run, HERE)
    made = fencing(None)
    outcome = replace(made, settings=replace(made.settings, peer_group_names=None)).empty(run)
    assert outcome.facts == {"emptied": "failed"}
    assert "are not configured here" in outcome.sentence


def test_a_lost_peer_is_not_emptied_and_holds_nothing_up(fencing: MakeFencing, ledger: Ledger, run: Run) -> None:
    ledger.activate(run, HERE)
    with black_hole() as port:
        silent = boto3.client("autoscaling", HOME, endpoint_url=f"http://127.0.0.1:{port}", config=bounded(0.8))
        assert fencing(None, 0.05, silent).empty(run).facts == {"emptied": "unknown"}
    refused = boto3.client("autoscaling", HOME, endpoint_url=f"http://127.0.0.1:{closed_port()}", config=bounded(1))
    outcome = fencing(None, 5, refused).empty(run)
    assert outcome.facts == {"emptied": "failed"}
    assert "EndpointConnectionError" in outcome.sentence


def test_a_late_handler_does_not_go_on_to_empty_a_peer_that_is_going_home(
    fencing: MakeFencing, fleet: Fleet, ledger: Ledger, run: Run, clock: Clock
) -> None:
    """One call took long: when the next group's turn comes, another run holds the lock."""
    ledger.activate(run, HERE)

    class Slow:
        def update_auto_scaling_group(self, **given: Any) -> None:
            fleet.groups.update_auto_scaling_group(**given)
            take_lock(ledger, "run-2", clock())

    with pytest.raises(RunSuperseded):
        fencing(None, 5, Slow()).empty(run)
    assert [fleet.sizes(name) for name in GROUPS] == [Capacity(0, 0, 6), Capacity(1, 1, 1)]


@pytest.mark.parametrize("known", [True, False])
def test_a_peer_that_stood_by_before_it_served_is_as_it_was_then(
    fencing: MakeFencing, fleet: Fleet, ledger: Ledger, peer_ledger: Ledger, run: Run, known: bool
) -> None:
    """Its own ledger has kept that; what the peer's groups had while they served is kept under their names."""
    peer_ledger.keep_capacity("shop-primary", Capacity(9, 9, 9), 1.0)
    if known:
        peer_ledger.keep_capacity(standing_by("shop-primary"), Capacity(0, 1, 4), 1.0)
    ledger.activate(run, HERE)
    assert fencing(None).empty(run).facts == {"emptied": "done"}
    assert fleet.sizes("shop-primary") == (Capacity(0, 1, 4) if known else Capacity(0, 0, 6))
    assert fleet.sizes("shop-workers") == Capacity(0, 0, 1)


def test_a_peer_whose_ledger_cannot_be_read_keeps_no_instances(
    fencing: MakeFencing, fleet: Fleet, ledger: Ledger, run: Run
) -> None:
    ledger.activate(run, HERE)
    config = bounded(0.2)
    lost = boto3.client("dynamodb", HOME, endpoint_url=f"http://127.0.0.1:{closed_port()}", config=config)
    made = fencing(None)
    silent = replace(made, peer=replace(made.peer, ledger=Ledger(lost, "relight-shop", HOME)))
    assert silent.empty(run).facts == {"emptied": "done"}
    assert fleet.sizes("shop-primary") == Capacity(0, 0, 6)


# This Region's own application, which was cut off while this Region was the old side


def test_this_regions_application_is_let_in_and_the_peers_stays_cut_off(
    fencing: MakeFencing, acl: NetworkAcl, run: Run, clients: Clients
) -> None:
    own = make_acl(clients("ec2", HERE))
    before = rules(own)
    own.deny()
    fencing(acl).cut(run)
    for _ in range(2):
        outcome = fencing(acl, own=own).ensure(run, Intent.OPEN)
        assert (outcome.status, outcome.facts) == ("DONE", {"fence": "open"})
        assert rules(own) == before
    assert acl.denied() == set(CIDRS)


def test_where_the_network_acl_is_not_ours_there_is_nothing_to_open(
    fencing: MakeFencing, acl: NetworkAcl, run: Run
) -> None:
    fencing(acl).cut(run)
    assert fencing(acl).ensure(run, Intent.OPEN).facts == {"fence": "open"}
    assert acl.denied() == set(CIDRS)


def test_what_ec2_refuses_or_does_not_answer_holds_nobody_up(fencing: MakeFencing, run: Run) -> None:
    outcome = fencing(None, own=lost(closed_port(), 1)).ensure(run, Intent.OPEN)
    assert (outcome.status, outcome.facts) == ("DONE", {"fence": "failed"})
    assert outcome.sentence.startswith("this Region's application is not let in: EndpointConnectionError")
    with black_hole() as port:
        outcome = fencing(None, 0.05, own=lost(port, 0.8)).ensure(run, Intent.OPEN)
    assert (outcome.status, outcome.facts) == ("DONE", {"fence": "unknown"})


def test_a_late_handler_of_a_superseded_run_lets_nobody_in(
    fencing: MakeFencing, acl: NetworkAcl, ledger: Ledger, run: Run, clock: Clock
) -> None:
    acl.deny()
    take_lock(ledger, "run-2", clock())
    with pytest.raises(RunSuperseded):
        fencing(None, own=acl).ensure(run, Intent.OPEN)
    assert acl.denied() == set(CIDRS)
