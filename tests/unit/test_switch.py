"""The switches: what the ledger's head calls for, and what CloudWatch is told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from relight.errors import RunSuperseded
from relight.ledger import Head, Ledger, Promotion, State
from relight.policy import GoAfter
from relight.run import Run
from relight.settings import SwitchSettings
from relight.steps.switch import Intent, Switch
from relight.switches import publish, switches

from tests.unit.conftest import Clients
from tests.unit.loopback import NameServer, closed_port
from tests.unit.standby import HERE, HOME, Clock, claims, head_item, take_lock

NAMESPACE = "Relight/Switches/shop"
DOMAIN = "shop.example"
SETTINGS = SwitchSettings(
    aws_region=HERE,
    home_region=HOME,
    peer_region=HOME,
    ledger_table="relight-shop",
    peer_connect_seconds=2.0,
    peer_read_seconds=5.0,
    application="shop",
    domain=DOMAIN,
    name_servers=(),
    self_url=f"https://dr.{DOMAIN}:443",
    sample_timeout_seconds=1.0,
    look_again_seconds=10.0,
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


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("active", [HERE, HOME])
def test_the_home_region_publishes_hold_only(active: str, state: State) -> None:
    assert switches(Head(True, 1, active, state), HOME, HOME) == {"HOLD": 0.0}


OWNER = "arn:aws:states:eu-west-1:123456789012:execution:relight-shop-failover:x"
DOOR = Promotion("shop-primary", "home-1", 2, 1.0)


@pytest.mark.parametrize(
    ("head", "hold"),
    [
        # Its own run activates it, and has died behind the door; it serves.
        (Head(True, 2, HERE, State.PROMOTING, owner=OWNER, held=True), 1.0),
        (Head(True, 2, HERE, State.PROMOTING, promotion=DOOR, held=True), 1.0),
        (Head(True, 2, HOME, State.PROMOTING, owner=OWNER, held=True), 1.0),
        (Head(True, 2, HOME, State.STEADY, held=True), 1.0),
        (Head(True, 2, HOME, State.STEADY), 0.0),
        (Head(True, 2, HOME, State.PROMOTING, owner=OWNER, held=True, go_withheld=True), 0.0),
        # Left behind by the last time: the other Region is active, or is being activated, and has its clients.
        (Head(True, 3, HERE, State.STEADY, held=True), 0.0),
        (Head(True, 3, HERE, State.PROMOTING, held=True), 0.0),
        (Head(True, 3, HERE, State.STEADY, owner=OWNER, held=True), 0.0),
    ],
)
def test_hold_draws_clients_to_a_home_region_that_serves_or_is_about_to(head: Head, hold: float) -> None:
    assert switches(head, HOME, HOME) == {"HOLD": hold}


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


# In the home Region: HOLD


@pytest.fixture
def at_home(names: NameServer, peer_ledger: Ledger, clients: Clients) -> Switch:
    """The step of the home Region while DR is active; DNS answers home already, and the switches of DR are not back."""
    peer_ledger.mirror(claims(1, HERE), 0)
    for name in (DOMAIN, f"primary.{DOMAIN}"):
        names.records[(name, "A")] = ["127.0.0.1"]
    settings = replace(
        SETTINGS,
        aws_region=HOME,
        peer_region=HERE,
        name_servers=(names.at,),
        self_url=f"https://primary.{DOMAIN}:443",
    )
    there = clients("cloudwatch", HERE)
    show(there, stop="ALARM", no_go="OK")
    return Switch(settings, peer_ledger, clients("cloudwatch", HOME), Clock(), there)


@pytest.fixture
def home_run(at_home: Switch, clock: Clock) -> Run:
    """A run of the home Region holds its lock."""
    return take_lock(at_home.ledger, "home-1", clock())


def show(cloudwatch: Any, **states: str) -> None:
    """The alarms behind Route 53 as they are in DR; `missing` is deleted."""
    for name, state in states.items():
        alarm = f"relight-shop-{name.replace('_', '-')}"
        if state == "missing":
            cloudwatch.delete_alarms(AlarmNames=[alarm])
            continue
        cloudwatch.put_metric_alarm(
            AlarmName=alarm,
            Namespace=NAMESPACE,
            MetricName=name,
            Statistic="Maximum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
        )
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue=state, StateReason="as Route 53 sees it")


def serves(switch: Switch, run: Run) -> None:
    """The home Region has been activated, and HOLD is 1."""
    switch.ensure(run, Intent.ENGAGE)
    switch.ledger.activate(run, HOME)


def test_engaging_at_home_holds_and_clearing_lets_go(at_home: Switch, home_run: Run) -> None:
    for _ in range(2):
        assert at_home.ensure(home_run, Intent.ENGAGE).sentence == "switched to this Region: HOLD 1"
        assert at_home.ledger.head().held
    for _ in range(2):
        assert at_home.ensure(home_run, Intent.CLEAR).sentence == "the switches are back: HOLD 0"
        assert not at_home.ledger.head().held


def test_hold_waits_for_verify_where_go_does(at_home: Switch, home_run: Run) -> None:
    switch = replace(at_home, settings=replace(at_home.settings, go_after=GoAfter.VERIFY))
    said = switch.ensure(home_run, Intent.ENGAGE).sentence
    assert said == "switched to this Region; HOLD waits for verify: HOLD 0"
    switch.ledger.activate(home_run, HOME)
    assert switch.ensure(home_run, Intent.GO).sentence == "traffic may come: HOLD 1"


def test_hold_outlasts_the_run_and_a_later_one_that_stands_down(at_home: Switch, home_run: Run, clock: Clock) -> None:
    serves(at_home, home_run)
    at_home.ledger.finish(home_run, succeeded=True, now=1.0)
    assert at_home.ledger.head().held
    later = take_lock(at_home.ledger, "by-hand", clock())
    assert at_home.ensure(later, Intent.CLEAR).sentence == "the switches are back: HOLD 1"


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ({}, "relight-shop-stop is ALARM, relight-shop-no-go is OK"),
        ({"stop": "OK"}, "relight-shop-no-go is OK"),
        ({"no_go": "ALARM"}, "relight-shop-stop is ALARM"),
        ({"stop": "OK", "no_go": "INSUFFICIENT_DATA"}, "relight-shop-no-go is INSUFFICIENT_DATA"),
        ({"stop": "OK", "no_go": "missing"}, "relight-shop-no-go is missing"),
    ],
)
def test_hold_stays_while_the_switches_of_dr_are_not_seen_to_be_back(
    at_home: Switch, home_run: Run, states: dict[str, str], said: str
) -> None:
    serves(at_home, home_run)
    show(at_home.peer_cloudwatch, **states)
    outcome = at_home.ensure(home_run, Intent.RELEASE)
    assert outcome.sentence == f"the other Region's switches are not back: {said}: HOLD 1"
    assert (outcome.status, outcome.look_again_seconds, at_home.ledger.head().held) == ("WAIT", 10, True)


def test_hold_stays_while_nobody_can_say(at_home: Switch, home_run: Run) -> None:
    serves(at_home, home_run)
    config = Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1})
    lost = boto3.client("cloudwatch", HERE, endpoint_url=f"http://127.0.0.1:{closed_port()}", config=config)
    for nobody, why in ((lost, "cannot be seen: EndpointConnectionError"), (None, "nobody can ask")):
        outcome = replace(at_home, peer_cloudwatch=nobody).ensure(home_run, Intent.RELEASE)
        assert (outcome.status, at_home.ledger.head().held) == ("WAIT", True)
        assert why in outcome.sentence


def test_hold_is_let_go_of_and_that_dns_stays_is_seen_before_it_is_done(
    at_home: Switch, home_run: Run, clients: Clients
) -> None:
    serves(at_home, home_run)
    show(at_home.peer_cloudwatch, stop="OK", no_go="ALARM")
    outcome = at_home.ensure(home_run, Intent.RELEASE)
    assert (outcome.status, outcome.look_again_seconds) == ("WAIT", 180), "a switch is behind DNS after minutes"
    assert not at_home.ledger.head().held
    assert outcome.facts == {"switches": {"HOLD": 0.0}}
    assert published(clients("cloudwatch", HOME), "HOLD")
    outcome = at_home.ensure(home_run, Intent.RELEASE)
    assert (outcome.status, outcome.sentence) == ("DONE", "clients come here without HOLD: HOLD 0")


def test_where_dns_leaves_without_hold_it_is_held_again(at_home: Switch, home_run: Run, names: NameServer) -> None:
    serves(at_home, home_run)
    show(at_home.peer_cloudwatch, stop="OK", no_go="ALARM")
    at_home.ensure(home_run, Intent.RELEASE)
    names.records[(DOMAIN, "A")] = ["127.0.0.2"]
    for _ in range(2):
        outcome = at_home.ensure(home_run, Intent.RELEASE)
        assert outcome.sentence == "DNS does not answer this Region: 127.0.0.2: HOLD 1"
        assert (outcome.status, at_home.ledger.head().held) == ("WAIT", True)
    names.records[(DOMAIN, "A")] = ["127.0.0.1"]
    assert [at_home.ensure(home_run, Intent.RELEASE).status for _ in range(2)] == ["WAIT", "DONE"]


def test_a_region_that_does_not_serve_is_not_held(at_home: Switch, home_run: Run, names: NameServer) -> None:
    names.records[(DOMAIN, "A")] = ["127.0.0.2"]
    assert at_home.ensure(home_run, Intent.RELEASE).status == "WAIT"
    assert not at_home.ledger.head().held


def test_dr_has_no_hold_to_let_go_of(
    names: NameServer, ledger: Ledger, run: Run, cloudwatch: Any, clients: Clients
) -> None:
    for name in (DOMAIN, f"dr.{DOMAIN}"):
        names.records[(name, "A")] = ["127.0.0.1"]
    settings = replace(SETTINGS, name_servers=(names.at,))
    outcome = Switch(settings, ledger, cloudwatch, Clock(), clients("cloudwatch", HOME)).ensure(run, Intent.RELEASE)
    assert (outcome.status, outcome.facts) == ("DONE", {"switches": {"STOP": 0.0, "GO": 0.0}})
    assert not ledger.head().held
