"""The fence: cut, failed, or unknown within its bound, whatever the peer's API does."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.config import Config
from relight.ledger import Ledger
from relight.network_acl import NetworkAcl
from relight.run import Run
from relight.steps.fence import Fencing

from tests.unit.conftest import Clients
from tests.unit.firewall import CIDRS, make_acl, rules
from tests.unit.loopback import black_hole, closed_port
from tests.unit.standby import HERE, HOME, Clock

type MakeFencing = Callable[..., Fencing]


@pytest.fixture
def acl(aws: None, clients: Clients) -> NetworkAcl:
    return make_acl(clients("ec2", HOME))


@pytest.fixture
def fencing(ledger: Ledger, clock: Clock) -> Iterator[MakeFencing]:
    with ThreadPoolExecutor(max_workers=4) as threads:
        yield lambda acl, seconds=5.0: Fencing(acl, ledger, seconds, clock, threads, HERE)


def lost(port: int, timeout: float) -> NetworkAcl:
    """The network ACL of a Region whose API is at that port, and lost."""
    config = Config(connect_timeout=timeout, read_timeout=timeout, retries={"total_max_attempts": 1})
    ec2 = boto3.client("ec2", region_name=HOME, endpoint_url=f"http://127.0.0.1:{port}", config=config)
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
        outcome = fencing(acl).lift()
        assert (outcome.facts, outcome.sentence) == ({"fence": "lifted"}, "the peer is not fenced")
        assert rules(acl) == before


def test_a_refused_endpoint_is_failed_at_once_and_the_run_goes_on(
    fencing: MakeFencing, ledger: Ledger, run: Run, clock: Clock
) -> None:
    outcome = fencing(lost(closed_port(), 1)).cut(run)
    assert (outcome.status, outcome.facts) == ("DONE", {"fence": "failed"})
    assert outcome.sentence.startswith("the peer could not be fenced: EndpointConnectionError")
    assert ledger.timeline(run.id)[0] == {"t3": clock()}
    assert fencing(lost(closed_port(), 1)).lift().facts == {"fence": "failed"}


def test_a_black_holed_endpoint_is_unknown_when_the_bound_has_passed(
    fencing: MakeFencing, ledger: Ledger, run: Run, clock: Clock
) -> None:
    with black_hole() as port:
        outcome = fencing(lost(port, 0.8), 0.05).cut(run)
        assert (outcome.status, outcome.facts) == ("DONE", {"fence": "unknown"})
        assert outcome.sentence == "the fence was asked for, and the peer did not answer within 0.05 s"
        assert ledger.timeline(run.id)[0] == {"t3": clock()}
        lifted = fencing(lost(port, 0.8), 0.05).lift()
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


def test_where_the_peers_network_acl_is_not_known_nothing_is_fenced(fencing: MakeFencing, run: Run) -> None:
    outcome = fencing(None).cut(run)
    assert outcome.facts == {"fence": "failed"}
    assert outcome.sentence == "the peer could not be fenced: its network ACL is not configured here"


def test_the_fence_stays_while_this_region_is_active(
    fencing: MakeFencing, acl: NetworkAcl, ledger: Ledger, run: Run
) -> None:
    fencing(acl).cut(run)
    ledger.activate(run, HERE)
    assert fencing(acl).lift().facts == {"fence": "kept"}
    assert acl.denied()
