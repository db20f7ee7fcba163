"""The guard: it fences on proof that this Region has been superseded, and on nothing less."""

import itertools
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from relight.guard import Guard, Standing, standing
from relight.ledger import HEAD, Head, Ledger, State
from relight.network_acl import NetworkAcl, fence_of
from relight.run import Run
from relight.settings import GuardSettings

from tests.unit.conftest import Clients
from tests.unit.firewall import CIDRS, make_acl
from tests.unit.loopback import black_hole, closed_port
from tests.unit.standby import HERE, HOME, Clock, take_lock
from tests.unit.test_switch import NAMESPACE, published

OWNER = "arn:aws:states:eu-west-1:123456789012:execution:relight-shop-failback:x"


def meant(own: Head, other: Head | None) -> Standing:
    """What the design says, told apart from the code: `own` is the home Region's ledger, `other` that of DR."""
    if other is None or not other.written:
        return Standing.UNKNOWN  # unreadable or empty: never fence, never lift
    says_other = other.active == HERE or other.state is State.PROMOTING
    if says_other and other.epoch > own.epoch:
        return Standing.SUPERSEDED
    # The same epoch, known here already from the other one and not from a run of its own.
    promoting_by_hearsay = own.state is State.PROMOTING and own.owner is None
    if says_other and other.epoch == own.epoch and (own.active == HERE or promoting_by_hearsay):
        return Standing.SUPERSEDED
    if not says_other and other.epoch >= own.epoch:
        return Standing.CONFIRMED
    return Standing.UNKNOWN


def test_the_standing_in_every_combination() -> None:
    owns = [
        Head(epoch > 0, epoch, active, state, owner)
        for epoch, active, state, owner in itertools.product(range(3), (HOME, HERE), State, (None, OWNER))
    ]
    others = [None, Head(False, 0, HOME, State.STEADY)] + [
        Head(True, epoch, active, state) for epoch, active, state in itertools.product(range(4), (HOME, HERE), State)
    ]
    seen = set()
    for own, other in itertools.product(owns, others):
        found = standing(own, other, HOME, HERE, HOME)
        assert found is meant(own, other), (own, other)
        seen.add(found)
        if found is Standing.SUPERSEDED:
            assert other is not None
            assert other.written
            assert other.epoch >= own.epoch
            assert (other.active, other.state) != (HOME, State.STEADY)
    assert seen == set(Standing)


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        # From deployment on, until the first run: nobody has written anything.
        (Head(False, 0, HOME, State.STEADY), Head(False, 0, HOME, State.STEADY), Standing.UNKNOWN),
        # A run in DR gathers, decides, promotes, is done.
        (Head(False, 0, HOME, State.STEADY), Head(True, 1, HOME, State.STEADY), Standing.CONFIRMED),
        (Head(False, 0, HOME, State.STEADY), Head(True, 1, HOME, State.PROMOTING), Standing.SUPERSEDED),
        (Head(False, 0, HOME, State.STEADY), Head(True, 1, HERE, State.PROMOTING), Standing.SUPERSEDED),
        (Head(False, 0, HOME, State.STEADY), Head(True, 1, HERE, State.STEADY), Standing.SUPERSEDED),
        # This Region comes back after it was told, and must not be let in again.
        (Head(True, 1, HERE, State.STEADY), Head(True, 1, HERE, State.STEADY), Standing.SUPERSEDED),
        # A run that failed behind the door has told this Region that it is promoting.
        (Head(True, 1, HOME, State.PROMOTING), Head(True, 1, HOME, State.PROMOTING), Standing.SUPERSEDED),
        # A run that stood down has written `steady`.
        (Head(True, 1, HOME, State.STEADY), Head(True, 2, HOME, State.STEADY), Standing.CONFIRMED),
        # Going home: this Region's own run has the higher epoch.
        (Head(True, 2, HOME, State.PROMOTING, OWNER), Head(True, 1, HERE, State.STEADY), Standing.UNKNOWN),
        (Head(True, 2, HOME, State.STEADY), Head(True, 2, HOME, State.STEADY), Standing.CONFIRMED),
    ],
)
def test_the_standing_over_the_life_of_two_regions(own: Head, other: Head, expected: Standing) -> None:
    assert standing(own, other, HOME, HERE, HOME) is expected


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        # A run stood down and told the primary so: both say the same, and the standby is what it should be.
        (Head(True, 1, HOME, State.STEADY), Head(True, 1, HOME, State.STEADY), Standing.UNKNOWN),
        # A run in the primary that stood down, and whose word did not come through.
        (Head(True, 1, HOME, State.STEADY), Head(True, 2, HOME, State.STEADY), Standing.UNKNOWN),
        # A run of this Region's own that is under way, whatever the other side says.
        (Head(True, 2, HOME, State.PROMOTING, OWNER), Head(True, 2, HOME, State.STEADY), Standing.UNKNOWN),
        # It was active, and the primary has become so again at a higher epoch.
        (Head(True, 1, HERE, State.STEADY), Head(True, 2, HOME, State.STEADY), Standing.SUPERSEDED),
        (Head(True, 1, HERE, State.STEADY), Head(True, 1, HERE, State.STEADY), Standing.CONFIRMED),
    ],
)
def test_the_standing_of_dr(own: Head, other: Head, expected: Standing) -> None:
    assert standing(own, other, HERE, HOME, HOME) is expected


@pytest.fixture
def acl(aws: None, clients: Clients) -> NetworkAcl:
    return make_acl(clients("ec2", HOME))


@pytest.fixture
def guard(acl: NetworkAcl, ledger: Ledger, peer_ledger: Ledger, clients: Clients) -> Guard:
    """That of the home Region: its own ledger is `peer_ledger`, the other one is that of DR."""
    settings = GuardSettings(
        aws_region=HOME,
        home_region=HOME,
        peer_region=HERE,
        ledger_table="relight-shop",
        peer_connect_seconds=2,
        peer_read_seconds=5,
        switch_namespace=NAMESPACE,
        peer_ledger_table="relight-shop",
        network_acl_id=acl.acl_id,
        app_cidrs=CIDRS,
    )
    return Guard(settings, peer_ledger, ledger, acl, clients("cloudwatch", HOME))


def test_it_publishes_its_switches_and_leaves_a_steady_region_alone(guard: Guard, acl: NetworkAcl) -> None:
    assert guard.watch() == {
        "switches": {"HOLD": 0.0},
        "gauges": {"MAINTENANCE": 0.0},
        "standing": "unknown",
        "fenced": False,
        "lifted": False,
    }
    assert published(guard.cloudwatch, "HOLD") == published(guard.cloudwatch, "MAINTENANCE") == [0.0]
    assert not acl.denied()


def test_it_fences_a_superseded_region_once_and_keeps_it_fenced(
    guard: Guard, acl: NetworkAcl, ledger: Ledger, run: Run
) -> None:
    ledger.set_state(run, State.PROMOTING)
    said = guard.watch()
    assert (said["standing"], said["fenced"]) == ("superseded", True)
    assert acl.denied() == set(CIDRS)
    assert guard.ledger.head().active == HOME, "promoting is not yet active"
    ledger.activate(run, HERE)
    ledger.finish(run, succeeded=True, now=1.0)
    for _ in range(2):
        said = guard.watch()
        assert (said["standing"], said["fenced"], said["lifted"]) == ("superseded", False, False)
        assert acl.denied() == set(CIDRS)
        own = guard.ledger.head()
        assert (own.active, own.epoch) == (HERE, 1), "what it has seen it remembers"
    assert published(guard.cloudwatch, "HOLD")[-1] == 0.0


def test_it_lifts_the_fence_when_the_run_has_stood_down(
    guard: Guard, acl: NetworkAcl, ledger: Ledger, run: Run
) -> None:
    ledger.set_state(run, State.PROMOTING)
    guard.watch()
    ledger.finish(run, succeeded=False, now=1.0)
    said = guard.watch()
    assert (said["standing"], said["lifted"]) == ("confirmed", True)
    assert not acl.denied()
    assert not guard.watch()["lifted"]


@pytest.mark.parametrize("fenced", [True, False])
def test_an_empty_ledger_neither_fences_nor_lifts(guard: Guard, acl: NetworkAcl, fenced: bool) -> None:
    if fenced:
        acl.deny()
    said = guard.watch()
    assert (said["standing"], said["fenced"], said["lifted"]) == ("unknown", False, False)
    assert acl.denied() == (set(CIDRS) if fenced else set())


@pytest.mark.parametrize("how", ["refused", "black-holed", "no such table"])
@pytest.mark.parametrize("fenced", [True, False])
def test_an_unreadable_ledger_neither_fences_nor_lifts(
    guard: Guard, acl: NetworkAcl, peer_ledger: Ledger, how: str, fenced: bool
) -> None:
    if fenced:
        acl.deny()
    with black_hole() as silent:
        port = silent if how == "black-holed" else closed_port()
        config = Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1})
        lost = boto3.client("dynamodb", HERE, endpoint_url=f"http://127.0.0.1:{port}", config=config)
        gone: Any = Ledger(lost, "relight-shop", HOME)
        if how == "no such table":
            gone = Ledger(guard.peer_ledger.dynamodb, "another", HOME)
        said = Guard(guard.settings, peer_ledger, gone, acl, guard.cloudwatch).watch()
    assert (said["standing"], said["fenced"], said["lifted"]) == ("unknown", False, False)
    assert acl.denied() == (set(CIDRS) if fenced else set())
    assert published(guard.cloudwatch, "HOLD") == [0.0], "its switches it publishes all the same"


def test_a_superseded_region_whose_network_acl_is_not_known_says_that_it_is_not_fenced(
    guard: Guard, acl: NetworkAcl, ledger: Ledger, run: Run
) -> None:
    powerless = replace(guard, acl=None)
    assert "lacking" not in powerless.watch()
    ledger.activate(run, HERE)
    ledger.finish(run, succeeded=True, now=1.0)
    said = powerless.watch()
    assert (said["standing"], said["fenced"]) == ("superseded", False)
    assert said["lacking"].endswith("there is nothing to fence with")
    assert not acl.denied()
    assert guard.ledger.head().active == HERE, "what it has seen it remembers"


@pytest.mark.parametrize(("acl_id", "cidrs"), [(None, CIDRS), ("acl-1", None), ("acl-1", ()), (None, None)])
def test_a_fence_needs_a_network_acl_and_what_it_denies(
    clients: Clients, acl_id: str | None, cidrs: tuple[str, ...] | None
) -> None:
    assert fence_of(clients("ec2", HOME), acl_id, cidrs) is None
    assert fence_of(clients("ec2", HOME), "acl-1", CIDRS) is not None


def test_in_dr_it_publishes_stop_and_go_from_the_ledger(
    acl: NetworkAcl, ledger: Ledger, peer_ledger: Ledger, run: Run, clients: Clients
) -> None:
    settings = GuardSettings(
        aws_region=HERE,
        home_region=HOME,
        peer_region=HOME,
        ledger_table="relight-shop",
        peer_connect_seconds=2,
        peer_read_seconds=5,
        switch_namespace=NAMESPACE,
        peer_ledger_table="relight-shop",
        network_acl_id=acl.acl_id,
        app_cidrs=CIDRS,
    )
    guard = Guard(settings, ledger, peer_ledger, acl, clients("cloudwatch", HERE))
    assert guard.watch()["switches"] == {"STOP": 0.0, "GO": 0.0}
    # A run that stood down has told the primary so; fenced, DR could not serve after the next promotion.
    peer_ledger.mirror(1, HOME, State.STEADY)
    assert guard.watch()["fenced"] is False
    assert not acl.denied()
    ledger.set_state(run, State.PROMOTING)
    assert guard.watch()["switches"] == {"STOP": 1.0, "GO": 1.0}
    ledger.activate(run, HERE)
    ledger.finish(run, succeeded=True, now=1.0)
    peer_ledger.mirror(1, HERE, State.STEADY)
    said = guard.watch()
    assert (said["switches"], said["standing"]) == ({"STOP": 1.0, "GO": 1.0}, "confirmed")
    assert not acl.denied()


def test_beside_the_switches_it_tells_of_a_freeze_and_of_a_missing_standby_in_one_call(
    guard: Guard, ledger: Ledger, peer_ledger: Ledger, run: Run
) -> None:
    ledger.activate(run, HERE)
    ledger.finish(run, succeeded=True, now=1000.0)
    key = {name: {"S": value} for name, value in HEAD.items()}
    frozen = {":until": {"N": "5000"}}
    ledger.dynamodb.update_item(
        TableName=ledger.table, Key=key, UpdateExpression="SET frozen_until = :until", ExpressionAttributeValues=frozen
    )
    sent: list[Any] = []

    class Recorder:
        def put_metric_data(self, **given: Any) -> None:
            sent.append(given)

    recorder: Any = Recorder()
    settings = replace(guard.settings, aws_region=HERE, peer_region=HOME)
    said = Guard(settings, ledger, peer_ledger, guard.acl, recorder, lambda: 1600.0).watch()
    assert said["gauges"] == {"MAINTENANCE": 1.0, "UnprotectedSeconds": 600.0}
    (call,) = sent
    assert call["Namespace"] == NAMESPACE
    assert [(datum["MetricName"], datum["Value"], datum["Unit"]) for datum in call["MetricData"]] == [
        ("STOP", 1.0, "None"),
        ("GO", 1.0, "None"),
        ("MAINTENANCE", 1.0, "None"),
        ("UnprotectedSeconds", 600.0, "Seconds"),
    ]


def test_a_region_that_has_just_lost_its_data_is_not_fenced_for_an_older_epoch(
    guard: Guard, acl: NetworkAcl, ledger: Ledger, clock: Clock
) -> None:
    """Going home has begun here, at a higher epoch than the other Region knows of."""
    first = take_lock(ledger, "run-1", clock())
    ledger.activate(first, HERE)
    for name in ("home-1", "home-2"):
        take_lock(guard.ledger, name, clock())
    said = guard.watch()
    assert (said["standing"], said["fenced"]) == ("unknown", False)
    assert not acl.denied()
