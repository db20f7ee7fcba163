"""The switches: what the ledger's head calls for, and what CloudWatch is told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from relight.errors import RunSuperseded
from relight.ledger import Head, Ledger, State
from relight.policy import GoAfter
from relight.run import Run
from relight.settings import SwitchSettings
from relight.steps.switch import Intent, Switch
from relight.switches import publish, switches

from tests.unit.conftest import Clients
from tests.unit.standby import HERE, HOME, Clock, head_item, take_lock

NAMESPACE = "Relight/Switches/shop"
SETTINGS = SwitchSettings(
    aws_region=HERE,
    home_region=HOME,
    peer_region=HOME,
    ledger_table="relight-shop",
    switch_namespace=NAMESPACE,
    go_after=GoAfter.DECISION,
)
AFTER_VERIFY = replace(SETTINGS, go_after=GoAfter.VERIFY)


def published(cloudwatch: Any, name: str) -> list[float]:
    """All values of a switch, as CloudWatch has them."""
    now = datetime.now(UTC)
    points = cloudwatch.get_metric_statistics(
        Namespace=NAMESPACE,
        MetricName=name,
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=5),
        Period=1,
        Statistics=["Maximum"],
    )["Datapoints"]
    return [point["Maximum"] for point in points]


@pytest.fixture
def cloudwatch(aws: None, clients: Clients) -> Any:
    return clients("cloudwatch", HERE)


@pytest.mark.parametrize(
    ("active", "state", "value"),
    [
        (HOME, State.STEADY, 0.0),
        (HOME, State.PROMOTING, 1.0),
        (HERE, State.PROMOTING, 1.0),
        (HERE, State.STEADY, 1.0),
    ],
)
def test_stop_and_go_follow_the_ledger_in_dr(active: str, state: State, value: float) -> None:
    assert switches(Head(True, 1, active, state), HERE, HOME) == {"STOP": value, "GO": value}


@pytest.mark.parametrize(
    ("active", "state", "stop"),
    [(HOME, State.STEADY, 0.0), (HOME, State.PROMOTING, 1.0), (HERE, State.PROMOTING, 1.0)],
)
def test_a_go_that_waits_for_verify_keeps_nothing_but_itself_back(active: str, state: State, stop: float) -> None:
    head = Head(True, 1, active, state, go_withheld=True)
    assert switches(head, HERE, HOME) == {"STOP": stop, "GO": 0.0}
    assert switches(head, HOME, HOME) == {"HOLD": 0.0}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("active", [HERE, HOME])
def test_the_home_region_publishes_hold_only(active: str, state: State) -> None:
    assert switches(Head(True, 1, active, state), HOME, HOME) == {"HOLD": 0.0}


def test_what_is_published_is_what_cloudwatch_has(cloudwatch: Any) -> None:
    publish(cloudwatch, NAMESPACE, {"STOP": 1.0, "GO": 0.0})
    assert (published(cloudwatch, "STOP"), published(cloudwatch, "GO")) == ([1.0], [0.0])


def test_engaging_says_so_in_the_ledger_and_at_once_in_cloudwatch(cloudwatch: Any, ledger: Ledger, run: Run) -> None:
    for _ in range(2):
        outcome = Switch(SETTINGS, ledger, cloudwatch, Clock()).engage(run)
        assert (outcome.status, outcome.sentence) == ("DONE", "switched to this Region: STOP 1, GO 1")
        assert ledger.head().state is State.PROMOTING
    assert max(published(cloudwatch, "STOP")) == max(published(cloudwatch, "GO")) == 1.0


def test_with_go_after_verify_only_stop_comes_with_the_decision(cloudwatch: Any, ledger: Ledger, run: Run) -> None:
    switch = Switch(AFTER_VERIFY, ledger, cloudwatch, Clock())
    for _ in range(2):
        outcome = switch.ensure(run, Intent.ENGAGE)
        assert outcome.sentence == "switched to this Region; GO waits for verify: STOP 1, GO 0"
    assert (max(published(cloudwatch, "STOP")), max(published(cloudwatch, "GO"))) == (1.0, 0.0)

    with pytest.raises(RunSuperseded):
        switch.ensure(run, Intent.GO)
    assert max(published(cloudwatch, "GO")) == 0.0

    ledger.activate(run, HERE)
    for _ in range(2):
        outcome = switch.ensure(run, Intent.GO)
        assert (outcome.status, outcome.sentence) == ("DONE", "traffic may come: STOP 1, GO 1")
    assert max(published(cloudwatch, "GO")) == 1.0
    assert switch.ensure(run, Intent.ENGAGE).sentence == "switched to this Region: STOP 1, GO 1"


def test_a_go_that_never_came_is_taken_back_with_the_rest(cloudwatch: Any, ledger: Ledger, run: Run) -> None:
    switch = Switch(AFTER_VERIFY, ledger, cloudwatch, Clock())
    switch.ensure(run, Intent.ENGAGE)
    assert switch.ensure(run, Intent.CLEAR).sentence == "the switches are back: STOP 0, GO 0"
    assert not ledger.head().go_withheld


def test_clearing_takes_both_back(cloudwatch: Any, ledger: Ledger, run: Run) -> None:
    ledger.set_state(run, State.PROMOTING)
    outcome = Switch(SETTINGS, ledger, cloudwatch, Clock()).clear(run)
    assert outcome.sentence == "the switches are back: STOP 0, GO 0"
    assert ledger.head().state is State.STEADY
    assert published(cloudwatch, "GO") == [0.0]


def test_clearing_in_a_region_that_is_active_does_not_turn_its_traffic_away(
    cloudwatch: Any, ledger: Ledger, run: Run
) -> None:
    ledger.activate(run, HERE)
    Switch(SETTINGS, ledger, cloudwatch, Clock()).clear(run)
    assert published(cloudwatch, "GO") == [1.0]


@pytest.mark.parametrize("settings", [SETTINGS, AFTER_VERIFY])
@pytest.mark.parametrize("intent", Intent)
def test_a_superseded_run_neither_writes_nor_publishes(
    cloudwatch: Any, ledger: Ledger, run: Run, clock: Clock, intent: Intent, settings: SwitchSettings
) -> None:
    ledger.set_state(take_lock(ledger, "run-2", clock()), State.PROMOTING)
    before = head_item(ledger)
    with pytest.raises(RunSuperseded):
        Switch(settings, ledger, cloudwatch, Clock()).ensure(run, intent)
    assert head_item(ledger) == before
    assert published(cloudwatch, "GO") == []
