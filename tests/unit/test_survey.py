"""`survey`: is the way home open, whose lock is it, and who lights the pilot; of both ledgers and Regions."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto.stepfunctions.models import stepfunctions_backends
from relight.errors import (
    AlreadyActive,
    AnotherRunInProgress,
    DrillInProgress,
    InputInvalid,
    LeaseInTheWay,
    NeverFailedOver,
    PeerUnreachable,
    PilotNotLit,
    RunSuperseded,
)
from relight.head import State
from relight.ledger import Ledger
from relight.run import Run
from relight.settings import SurveySettings
from relight.step import Status
from relight.steps.survey import Intent, Survey, To, superseded

from tests.unit.conftest import Clients
from tests.unit.rds import Rds
from tests.unit.standby import HERE, HOME, NOW, Clock, claims, head_item, release_lock, take_lock

ACCOUNT = "123456789012"
FAILOVER, FAILBACK, DRILL = "relight-shop-failover", "relight-shop-failback", "relight-shop-drill"
EPOCH = 4
"""At which DR has become active."""
GUEST_SECONDS = 2700


def machine(region: str, name: str) -> str:
    return f"arn:aws:states:{region}:{ACCOUNT}:stateMachine:{name}"


def execution(region: str, name: str, run: str) -> str:
    return f"{machine(region, name).replace(':stateMachine:', ':execution:')}:{run}"


SETTINGS = SurveySettings.from_env(
    {
        "AWS_REGION": HOME,
        "HOME_REGION": HOME,
        "PEER_REGION": HERE,
        "LEDGER_TABLE": "relight-shop",
        "PEER_LEDGER_TABLE": "relight-shop",
        "PEER_CONNECT_SECONDS": "2",
        "PEER_READ_SECONDS": "5",
        "REPLICA_ID": "shop-primary",
        "PEER_DATABASE_ID": "shop-dr",
        "FAILOVER_MACHINE": machine(HOME, FAILOVER),
        "FAILBACK_MACHINE": machine(HOME, FAILBACK),
        "PEER_FAILBACK_MACHINE": machine(HERE, FAILBACK),
        "LOOK_AGAIN_SECONDS": "60",
        "GUEST_SECONDS": str(GUEST_SECONDS),
        "LEASE_TERM_SECONDS": "0",
    }
)


class World:
    """Home, where `survey` works, and DR, which is active since a failover."""

    def __init__(self, home: Ledger, away: Ledger, clients: Clients, clock: Clock) -> None:
        self.home, self.away, self.clock = home, away, clock
        self.machines = {region: clients("stepfunctions", region) for region in (HOME, HERE)}
        for sfn in self.machines.values():
            for name in (FAILOVER, FAILBACK, DRILL):
                role = f"arn:aws:iam::{ACCOUNT}:role/machine"
                sfn.create_state_machine(name=name, definition='{"StartAt": "A", "States": {}}', roleArn=role)
        self.rds = Rds(clients("rds", HERE).meta.service_model, status={"shop-dr": "available"}, source={})
        for ledger in (home, away):
            ledger.mirror(claims(EPOCH, HERE), NOW)
        rds: Any = self.rds
        self.survey = Survey(SETTINGS, home, away, self.machines[HOME], self.machines[HERE], rds, clock)

    def start(self, region: str, name: str, run: str) -> str:
        """An execution that is at work."""
        given = {"stateMachineArn": machine(region, name), "name": run, "input": "{}"}
        return str(self.machines[region].start_execution(**given)["executionArn"])

    def end(self, arn: str, status: str, output: object = None, began: float | None = None) -> None:
        """As it ended, or when it began."""
        found = stepfunctions_backends[ACCOUNT][arn.split(":")[3]].describe_execution(arn)
        found.status, found.output = status, None if output is None else json.dumps(output)
        if began is not None:
            found.start_date = datetime.fromtimestamp(began, UTC)

    def status(self, arn: str) -> str:
        return str(self.machines[arn.split(":")[3]].describe_execution(executionArn=arn)["status"])

    def failback(self, name: str = "run-1") -> Run:
        """A failback of home that has heard of the other ledger, and holds its own lock."""
        self.survey.hear()
        return take_lock(self.home, name, self.clock(), owner=self.start(HOME, FAILBACK, name))

    def hold(self, ledger: Ledger, owner: str, until: float = NOW + 90_000) -> None:
        """Have somebody hold a lock."""
        assert ledger.lock_as_guest(owner, NOW, until - NOW)


@pytest.fixture
def world(peer_ledger: Ledger, ledger: Ledger, clients: Clients, clock: Clock) -> World:
    return World(peer_ledger, ledger, clients, clock)


@pytest.fixture
def run(world: World) -> Run:
    return world.failback()


@pytest.mark.parametrize(
    ("own", "peer", "later"),
    [
        (claims(0, HOME), claims(4, HERE), True),
        (claims(3, HERE), claims(4, HERE), True),
        (claims(4, HERE), claims(4, HERE), False),
        (claims(5, HOME), claims(4, HERE), False),
        (claims(0, HOME), claims(4, HOME), False),
    ],
)
def test_who_became_active_later_is_told_by_the_epoch(own: Any, peer: Any, later: bool) -> None:
    assert superseded(own, peer, HERE) is later


# Before the lock.


def test_a_region_that_was_lost_hears_who_is_active_and_at_which_epoch(world: World) -> None:
    world.home.dynamodb.delete_item(TableName=world.home.table, Key={"pk": {"S": "region"}, "sk": {"S": "head"}})
    said = world.survey.hear()
    assert said.sentence == f"the other ledger says that {HERE} is active, at epoch {EPOCH}"
    head = world.home.head()
    assert (head.active, head.active_epoch, head.epoch) == (HERE, EPOCH, EPOCH)


def test_what_is_heard_takes_no_run_its_lock(world: World) -> None:
    living = take_lock(world.home, "living", NOW, owner=world.start(HOME, FAILOVER, "living"))
    world.away.mirror(claims(9, HERE), NOW)
    world.survey.hear()
    assert world.home.require(living).epoch == living.epoch


@pytest.mark.parametrize("known", [True, False], ids=["stopped", "unknown"])
def test_the_lock_of_a_run_that_died_is_given_back(world: World, known: bool) -> None:
    dead = world.start(HOME, FAILOVER, "dead") if known else execution(HOME, FAILOVER, "nobody")
    if known:
        world.machines[HOME].stop_execution(executionArn=dead)
    world.hold(world.home, dead)
    world.away.mirror(claims(9, HERE), NOW)
    world.survey.hear()
    head = world.home.head()
    assert (head.owner, head.epoch, head.active_epoch) == (None, 9, 9)


def test_what_is_heard_shuts_no_door(world: World) -> None:
    dead = take_lock(world.home, "dead", NOW)
    world.home.begin_promoting(dead, HOME, withhold_go=False)
    world.home.open_door(dead, "shop-primary", NOW)
    release_lock(world.home)
    before = head_item(world.home)
    world.survey.hear()
    assert head_item(world.home) == before


# The look.


def test_an_open_way_home_is_told_and_the_other_lock_is_taken_for_a_while(world: World, run: Run) -> None:
    said = world.survey.look(run, To.HOME, None)
    assert said.status is Status.DONE
    assert said.facts == {"active": HERE, "active_epoch": EPOCH, "stopped": [], "resume": False}
    theirs = world.away.head()
    assert (theirs.owner, theirs.expires_at, theirs.epoch) == (run.owner, NOW + GUEST_SECONDS, EPOCH)
    assert world.survey.look(run, To.HOME, None) == said, "a look that is repeated"


def test_who_is_active_is_conceded_with_the_lock(world: World) -> None:
    run = world.failback()
    world.away.mirror(claims(EPOCH, HERE, State.STEADY), NOW)
    values = {":active": {"S": HOME}, ":none": {"N": "0"}}
    said = "SET active = :active, active_epoch = :none"
    key = {"pk": {"S": "region"}, "sk": {"S": "head"}}
    world.home.dynamodb.update_item(
        TableName=world.home.table, Key=key, UpdateExpression=said, ExpressionAttributeValues=values
    )
    world.survey.look(run, To.HOME, None)
    assert (world.home.head().active, world.home.head().active_epoch) == (HERE, EPOCH)


def test_a_run_that_would_come_before_the_other_ledger_is_refused(world: World, run: Run) -> None:
    world.away.mirror(claims(9, HERE), NOW)
    with pytest.raises(AnotherRunInProgress, match="has come to epoch 9 meanwhile: start again"):
        world.survey.look(run, To.HOME, None)
    assert world.away.head().owner is None


def test_a_run_without_its_lock_looks_at_nothing(world: World, run: Run) -> None:
    take_lock(world.home, "run-2", NOW)
    with pytest.raises(RunSuperseded):
        world.survey.look(run, To.HOME, None)
    assert world.away.head().owner is None


@pytest.mark.parametrize(
    ("name", "error"), [(FAILOVER, AnotherRunInProgress), (FAILBACK, AnotherRunInProgress), (DRILL, DrillInProgress)]
)
def test_who_is_at_work_in_the_other_region_is_left_alone(
    world: World, run: Run, name: str, error: type[Exception]
) -> None:
    living = world.start(HERE, name, "living")
    world.hold(world.away, living)
    with pytest.raises(error, match=living):
        world.survey.look(run, To.HOME, None)
    assert world.away.head().owner == living


@pytest.mark.parametrize("name", [FAILOVER, FAILBACK, DRILL])
@pytest.mark.parametrize("region", [HERE, HOME])
def test_a_lock_whose_owner_died_is_taken(world: World, run: Run, region: str, name: str) -> None:
    dead = world.start(region, name, "dead")
    world.machines[region].stop_execution(executionArn=dead)
    world.hold(world.away, dead)
    world.survey.look(run, To.HOME, None)
    assert world.away.head().owner == run.owner


def test_a_lock_past_its_expiry_is_taken(world: World, run: Run) -> None:
    world.hold(world.away, world.start(HERE, FAILOVER, "living"), until=NOW - 1)
    world.survey.look(run, To.HOME, None)
    assert world.away.head().owner == run.owner


def test_an_owner_that_cannot_be_asked_about_is_alive(world: World, run: Run) -> None:
    world.hold(world.away, f"arn:aws:states:ap-south-1:{ACCOUNT}:execution:{FAILOVER}:far")
    with pytest.raises(AnotherRunInProgress, match="ap-south-1"):
        world.survey.look(run, To.HOME, None)


def test_the_lock_of_who_had_this_run_started_stays_his(world: World, run: Run) -> None:
    parent = world.start(HERE, FAILBACK, "parent")
    world.hold(world.away, parent)
    world.survey.look(run, To.PROTECTED, parent)
    world.survey.renew(run, parent)
    assert world.away.head().owner == parent
    world.survey.leave(run)
    assert world.away.head().owner == parent


def test_an_activation_that_is_under_way_there_is_waited_for(world: World, run: Run) -> None:
    world.away.mirror(claims(EPOCH, HERE, State.PROMOTING), NOW)
    with pytest.raises(AnotherRunInProgress, match="is being activated by a run that died"):
        world.survey.look(run, To.HOME, None)


def open_door(world: World, run: Run) -> None:
    world.home.begin_promoting(run, HOME, withhold_go=False)
    world.home.open_door(run, "shop-primary", NOW)


def stop_writes(world: World, run: Run) -> None:
    world.home.begin_promoting(run, HOME, withhold_go=False)
    world.home.begin_quiesce(run, NOW)
    world.home.set_state(run, State.STEADY)


@pytest.mark.parametrize(
    ("leave", "sentence"), [(open_door, "a failover run goes on from there"), (stop_writes, "let nobody in again")]
)
def test_what_a_failover_run_has_left_open_is_its_successors(
    world: World, run: Run, leave: Callable[[World, Run], None], sentence: str
) -> None:
    leave(world, run)
    with pytest.raises(AnotherRunInProgress, match=sentence):
        world.survey.look(run, To.HOME, None)
    assert world.away.head().owner is None


def test_a_write_lease_stands_in_the_way_of_home(world: World, run: Run) -> None:
    leased = replace(world.survey, settings=replace(SETTINGS, lease_term_seconds=8.0))
    with pytest.raises(LeaseInTheWay, match="set LeaseTermSeconds to 0 in both Regions"):
        leased.look(run, To.HOME, None)


def test_home_is_one_region(world: World, run: Run) -> None:
    elsewhere = replace(world.survey, settings=replace(SETTINGS, home_region="eu-north-1"))
    with pytest.raises(InputInvalid, match='"protected" rebuilds the standby'):
        elsewhere.look(run, To.HOME, None)
    assert elsewhere.look(run, To.PROTECTED, None).status is Status.DONE


def test_where_a_person_has_stayed_is_home(world: World, run: Run) -> None:
    moved = replace(world.survey, settings=replace(SETTINGS, home_region="eu-north-1"))
    world.home.make_home(run, HOME)
    assert moved.look(run, To.HOME, None).facts["resume"] is False


def test_what_was_left_over_from_before_the_other_region_became_active_is_stopped(world: World, run: Run) -> None:
    key = {"pk": {"S": "region"}, "sk": {"S": "head"}}
    world.away.dynamodb.update_item(
        TableName=world.away.table,
        Key=key,
        UpdateExpression="SET ended_at = :at",
        ExpressionAttributeValues={":at": {"N": str(NOW - 100)}},
    )
    old = {name: world.start(HOME, name, "old") for name in (FAILOVER, FAILBACK, DRILL)}
    new, parent = world.start(HOME, FAILOVER, "new"), world.start(HOME, FAILBACK, "parent")
    for arn in (*old.values(), parent, run.owner):
        world.end(arn, "RUNNING", began=NOW - 200)
    world.end(new, "RUNNING", began=NOW - 50)

    said = world.survey.look(run, To.HOME, parent)

    assert said.facts["stopped"] == ["old", "old"]
    assert said.sentence.endswith("stopped what was left over from before: old, old")
    statuses = {arn: world.status(arn) for arn in (*old.values(), new, parent, run.owner)}
    assert statuses == {old[FAILOVER]: "ABORTED", old[FAILBACK]: "ABORTED"} | dict.fromkeys(
        (old[DRILL], new, parent, run.owner), "RUNNING"
    )


# This Region is active already.


@pytest.fixture
def home_again(world: World) -> Run:
    """A failback that finds home active, since the switchover of a run that came to no end."""
    for ledger in (world.home, world.away):
        ledger.mirror(claims(7, HOME), NOW)
    return world.failback("run-2")


def standby(world: World) -> None:
    world.rds.source["shop-dr"] = f"arn:aws:rds:{HOME}:{ACCOUNT}:db:shop-primary"


@pytest.mark.parametrize("to", To)
def test_home_that_is_active_and_has_a_standby_needs_no_way_home(world: World, home_again: Run, to: To) -> None:
    standby(world)
    with pytest.raises(AlreadyActive, match=rf"{HOME} is active already, since epoch 7; .* run it in {HERE}"):
        world.survey.look(home_again, to, None)
    assert world.away.head().owner is None


def test_home_that_is_active_without_a_standby_goes_on_from_there(world: World, home_again: Run) -> None:
    said = world.survey.look(home_again, To.HOME, None)
    assert said.facts == {"active": HOME, "resume": True}
    with pytest.raises(AlreadyActive):
        world.survey.look(home_again, To.PROTECTED, None)


def test_what_a_dead_run_has_left_there_is_tidied_up(world: World, home_again: Run) -> None:
    standby(world)
    world.hold(world.away, execution(HOME, FAILBACK, "nobody"))
    assert world.survey.look(home_again, To.HOME, None).facts["resume"] is True
    assert world.away.head().owner == home_again.owner


def test_who_lights_the_pilot_there_is_left_alone(world: World, home_again: Run) -> None:
    lights = world.start(HERE, FAILBACK, "light")
    world.hold(world.away, lights)
    assert world.survey.look(home_again, To.HOME, None).facts["resume"] is True
    assert world.away.head().owner == lights


def test_where_nothing_ever_happened_there_is_no_way_home(world: World) -> None:
    key = {"pk": {"S": "region"}, "sk": {"S": "head"}}
    for ledger in (world.home, world.away):
        ledger.dynamodb.delete_item(TableName=ledger.table, Key=key)
    run = world.failback()
    with pytest.raises(NeverFailedOver, match=f"no run has ever made {HERE} active"):
        world.survey.look(run, To.HOME, None)


# While it goes on.


def test_the_other_lock_is_kept_for_longer(world: World, run: Run) -> None:
    world.survey.look(run, To.HOME, None)
    world.clock.advance(900)
    assert world.survey.renew(run, None).sentence == f"{HERE} is active as before"
    assert world.away.head().expires_at == NOW + 900 + GUEST_SECONDS


@pytest.mark.parametrize("change", [claims(9, HERE), claims(9, HOME)], ids=["again", "home"])
def test_another_activation_meanwhile_ends_it(world: World, run: Run, change: Any) -> None:
    world.survey.look(run, To.HOME, None)
    world.survey.leave(run)
    world.away.mirror(change, NOW)
    with pytest.raises(AnotherRunInProgress, match="since epoch 9"):
        world.survey.renew(run, None)
    assert world.away.head().owner is None


class Slow:
    """The other ledger, whose answer comes when this run has lost its own lock."""

    def __init__(self, ledger: Ledger, lose: Callable[[], object]) -> None:
        self._ledger, self._lose = ledger, lose

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def lock_as_guest(self, *given: Any, **named: Any) -> bool:
        self._lose()
        return self._ledger.lock_as_guest(*given, **named)


@pytest.mark.parametrize("intent", [Intent.LOOK, Intent.RENEW])
def test_a_handler_that_comes_late_gives_the_other_lock_back(world: World, run: Run, intent: Intent) -> None:
    peer: Any = Slow(world.away, lambda: release_lock(world.home))
    late = replace(world.survey, peer_ledger=peer)
    with pytest.raises(RunSuperseded):
        late.ensure(run, intent, {})
    assert world.away.head().owner is None


# Staying, and leaving.


def test_to_stay_is_written_into_both_ledgers(world: World, run: Run) -> None:
    world.survey.look(run, To.HOME, None)
    assert world.survey.stay(run).facts == {"home": HERE}
    assert [ledger.head().home for ledger in (world.home, world.away)] == [HERE, HERE]
    assert [ledger.head().active for ledger in (world.home, world.away)] == [HERE, HERE]


def test_without_the_other_lock_nobody_stays(world: World, run: Run) -> None:
    with pytest.raises(AnotherRunInProgress, match="its home stays as it was"):
        world.survey.stay(run)
    assert [ledger.head().home for ledger in (world.home, world.away)] == [None, None]


def test_the_other_lock_is_given_back_and_nothing_told_while_the_other_region_is_active(world: World, run: Run) -> None:
    before = head_item(world.away)
    world.survey.look(run, To.HOME, None)
    world.survey.leave(run)
    assert head_item(world.away) == before


def test_who_goes_home_tells_the_other_ledger(world: World, run: Run) -> None:
    world.survey.look(run, To.HOME, None)
    world.home.activate(run, HOME)
    world.survey.leave(run)
    head = world.away.head()
    assert (head.owner, head.active, head.active_epoch, head.epoch) == (None, HOME, run.epoch, run.epoch)


def test_who_goes_home_after_all_takes_the_decision_to_stay_back(world: World, run: Run) -> None:
    world.survey.look(run, To.HOME, None)
    world.survey.stay(run)
    world.home.activate(run, HOME)
    world.survey.leave(run)
    assert [ledger.head().home for ledger in (world.home, world.away)] == [HOME, HOME]


def test_a_run_that_is_at_work_there_hears_nothing(world: World, run: Run) -> None:
    living = take_lock(world.away, "living", NOW, owner=world.start(HERE, FAILOVER, "living"))
    world.home.activate(run, HOME)
    before = head_item(world.away)
    world.survey.leave(run)
    assert head_item(world.away) == before
    assert world.away.require(living)


class Away:
    """The other ledger, out of reach."""

    def __getattr__(self, name: str) -> Any:
        def call(*_given: Any, **_named: Any) -> None:
            raise EndpointConnectionError(endpoint_url=f"https://dynamodb.{HERE}.amazonaws.com/")

        return call


@pytest.mark.parametrize("intent", [Intent.HEAR, Intent.LOOK, Intent.RENEW, Intent.STAY, Intent.LEAVE])
def test_a_region_that_does_not_answer_is_told_as_that(world: World, run: Run, intent: Intent) -> None:
    peer: Any = Away()
    before = head_item(world.home)
    with pytest.raises(PeerUnreachable, match=rf"{HERE} does not answer: EndpointConnectionError"):
        replace(world.survey, peer_ledger=peer).ensure(run, intent, {})
    assert head_item(world.home) == before


# The pilot.


def test_the_other_region_s_own_run_lights_the_pilot(world: World, run: Run) -> None:
    light = execution(HERE, FAILBACK, f"light-{HOME}-{run.epoch}")
    accept = ["missing:shop_order:1"]
    for _ in range(2):
        said = world.survey.ensure(run, Intent.LIGHT, {"accept": accept})
        assert (said.status, said.look_again_seconds, said.facts) == (Status.WAIT, 60, {"execution": light})
    found = world.machines[HERE].describe_execution(executionArn=light)
    given = json.loads(found["input"])
    assert given == {
        "reason": "light the pilot again after run-1",
        "to": "protected",
        "parent": run.owner,
        "accept": accept,
    }
    world.end(light, "SUCCEEDED", {"status": "SUCCEEDED", "sentence": "it follows"})
    done = world.survey.light(run, [])
    assert (done.status, done.sentence) == (Status.DONE, f"{HERE} stands by again: it follows")


@pytest.mark.parametrize(
    ("status", "output", "sentence"),
    [
        ("SUCCEEDED", {"status": "STOOD_DOWN", "sentence": "they differ"}, "ended STOOD_DOWN: they differ"),
        ("SUCCEEDED", {"status": "ALREADY_IN_PROGRESS", "sentence": "a drill"}, "ended ALREADY_IN_PROGRESS: a drill"),
        ("FAILED", None, "ended FAILED: FAILED"),
        ("ABORTED", None, "ended ABORTED: ABORTED"),
    ],
)
def test_a_pilot_that_is_not_lit_is_told(world: World, run: Run, status: str, output: object, sentence: str) -> None:
    world.survey.light(run, [])
    world.end(execution(HERE, FAILBACK, f"light-{HOME}-{run.epoch}"), status, output)
    with pytest.raises(PilotNotLit, match=sentence):
        world.survey.light(run, [])


def test_who_lights_it_already_is_followed_and_another_is_started_behind_that(world: World, run: Run) -> None:
    earlier = world.start(HERE, FAILBACK, f"light-{HOME}-4")
    world.hold(world.away, earlier)
    said = world.survey.light(run, [])
    assert (said.status, said.facts) == (Status.WAIT, {"execution": earlier})
    world.machines[HERE].stop_execution(executionArn=earlier)
    mine = execution(HERE, FAILBACK, f"light-{HOME}-{run.epoch}")
    assert world.survey.light(run, []).facts == {"execution": mine}
    assert world.status(mine) == "RUNNING"


def test_a_failover_that_holds_the_lock_there_lights_nothing(world: World, run: Run) -> None:
    world.hold(world.away, world.start(HERE, FAILOVER, "living"))
    mine = execution(HERE, FAILBACK, f"light-{HOME}-{run.epoch}")
    assert world.survey.light(run, []).facts == {"execution": mine}


def test_an_error_of_the_own_region_is_not_taken_for_one_of_the_other(world: World, run: Run) -> None:
    broken = replace(world.survey, ledger=replace(world.home, table="another"))
    with pytest.raises(ClientError, match="ResourceNotFound"):
        broken.look(run, To.HOME, None)
