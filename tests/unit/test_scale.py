"""Capacity: raised and never lowered, remembered and restored, and done only when enough of it serves."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from relight.errors import CapacityGroupNotFound, RunSuperseded
from relight.fleet import standing_by
from relight.ledger import Capacity, Ledger
from relight.run import Run
from relight.settings import ScaleSettings
from relight.step import Outcome, perform
from relight.steps.scale import Intent, Scale, enough, raised, settled

from tests.unit.conftest import Clients
from tests.unit.fleet import NAME, SHORT, Fleet, make_fleet
from tests.unit.loopback import closed_port
from tests.unit.standby import HERE, HOME, NOW, Clock, head_item, take_lock


def arn_of(name: str) -> str:
    """As template.yaml names its own group, whose id it does not know."""
    return f"arn:aws:autoscaling:{HERE}:123456789012:autoScalingGroup:*:autoScalingGroupName/{name}"


SETTINGS = ScaleSettings(
    aws_region=HERE,
    home_region=HOME,
    peer_region=HOME,
    ledger_table="relight-shop",
    group_arns=(arn_of(NAME),),
    peer_group_names=("shop-primary",),
    default_capacity=2,
    healthy_percent=100,
    look_again_seconds=10.0,
)
type Look = Callable[..., Outcome]
sizes_in_order = st.tuples(*[st.integers(0, 20)] * 3).map(lambda found: Capacity(*sorted(found)))


@pytest.fixture
def fleet(aws: None, clients: Clients) -> Iterator[Fleet]:
    with make_fleet(clients) as made:
        yield made


@pytest.fixture
def look(fleet: Fleet, ledger: Ledger, peer_ledger: Ledger, run: Run, clock: Clock) -> Look:
    """`look(intent, **settings)`: one look of the step."""

    def once(intent: Intent, as_run: Run = run, **changed: Any) -> Outcome:
        settings = replace(SETTINGS, **changed)
        return Scale(settings, ledger, fleet.groups, fleet.balancing, clock, peer_ledger).ensure(as_run, intent)

    return once


def test_warming_raises_all_three_sizes_and_does_not_wait(look: Look, fleet: Fleet, ledger: Ledger) -> None:
    outcome = look(Intent.WARM)
    assert (outcome.status, outcome.sentence) == ("DONE", "capacity is on its way: 2 wanted")
    assert fleet.sizes() == Capacity(2, 2, 2)
    assert ledger.head().capacity_before == {NAME: Capacity(0, 0, 1)}


def test_the_target_is_what_the_primary_had(look: Look, fleet: Fleet, ledger: Ledger) -> None:
    ledger.keep_capacity("shop-primary", Capacity(1, 3, 9), NOW)
    look(Intent.WARM)
    assert fleet.sizes() == Capacity(3, 3, 3)


def test_a_primary_that_was_seen_at_zero_says_nothing_about_what_is_needed(
    look: Look, fleet: Fleet, ledger: Ledger
) -> None:
    ledger.keep_capacity("shop-primary", Capacity(0, 0, 4), NOW)
    look(Intent.WARM)
    assert fleet.sizes() == Capacity(2, 2, 2)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Capacity(0, 0, 4), Capacity(2, 2, 4)),
        (Capacity(0, 3, 4), Capacity(2, 3, 4)),
        (Capacity(3, 3, 3), Capacity(3, 3, 3)),
        (Capacity(1, 2, 8), Capacity(2, 2, 8)),
    ],
)
def test_nothing_is_ever_lowered(look: Look, fleet: Fleet, before: Capacity, after: Capacity) -> None:
    fleet.resize(before)
    look(Intent.WARM)
    look(Intent.SERVE)
    assert fleet.sizes() == after


@given(sizes_in_order, st.integers(1, 20))
def test_raised_sizes_hold_the_target_and_are_valid(now: Capacity, target: int) -> None:
    after = raised(now, target)
    assert after.minimum <= after.desired <= after.maximum
    assert after.desired >= target
    assert (after.minimum, after.desired, after.maximum) >= (now.minimum, now.desired, now.maximum)
    assert raised(after, target) == after


@pytest.mark.parametrize(
    ("wanted", "percent", "needed"), [(2, 100, 2), (3, 50, 2), (4, 75, 3), (1, 1, 1), (10, 1, 1), (0, 100, 0)]
)
def test_how_many_are_enough(wanted: int, percent: int, needed: int) -> None:
    assert enough(wanted, percent) == needed


def test_suspended_processes_that_would_keep_it_from_serving_are_resumed(look: Look, fleet: Fleet) -> None:
    names = ["Launch", "AddToLoadBalancer", "AZRebalance"]
    fleet.groups.suspend_processes(AutoScalingGroupName=NAME, ScalingProcesses=names)
    look(Intent.WARM)
    assert fleet.suspended() == {"AZRebalance"}


def test_twice_is_the_same_as_once_and_the_sizes_of_before_stay(look: Look, fleet: Fleet, ledger: Ledger) -> None:
    for intent in (Intent.WARM, Intent.WARM, Intent.SERVE, Intent.SERVE):
        look(intent)
    assert fleet.sizes() == Capacity(2, 2, 2)
    assert ledger.head().capacity_before == {NAME: Capacity(0, 0, 1)}


def test_where_everything_is_there_already_nothing_is_remembered(look: Look, fleet: Fleet, ledger: Ledger) -> None:
    fleet.resize(Capacity(2, 2, 4))
    look(Intent.SERVE)
    assert ledger.head().capacity_before is None
    assert look(Intent.RESTORE).sentence == "nothing was raised, nothing to restore"
    assert fleet.sizes() == Capacity(2, 2, 4)


def test_restoring_puts_back_what_was_there_once(look: Look, fleet: Fleet, ledger: Ledger) -> None:
    look(Intent.WARM)
    outcome = look(Intent.RESTORE)
    assert (outcome.status, outcome.sentence) == ("DONE", "capacity is back at min 0, desired 0, max 1")
    assert fleet.sizes() == Capacity(0, 0, 1)
    assert ledger.head().capacity_before is None
    fleet.resize(Capacity(0, 1, 1))
    assert look(Intent.RESTORE).facts == {"restored": None}
    assert fleet.sizes() == Capacity(0, 1, 1)


def test_serving_waits_for_the_promotion_although_all_are_healthy(look: Look, fleet: Fleet) -> None:
    for _ in range(2):
        fleet.launch()
    outcome = look(Intent.SERVE)
    assert (outcome.status, outcome.look_again_seconds) == ("WAIT", 10)
    assert outcome.sentence == "2 of 2 instances are healthy, 2 needed; the database is not promoted yet"


def test_serving_is_done_with_enough_healthy_targets_after_the_promotion(
    look: Look, fleet: Fleet, ledger: Ledger, run: Run, clock: Clock
) -> None:
    ledger.activate(run, HERE)
    assert look(Intent.SERVE).sentence == "0 of 2 instances are healthy, 2 needed"
    one, two = fleet.launch(), fleet.launch("unhealthy")
    outcome = look(Intent.SERVE)
    assert (outcome.status, outcome.sentence) == ("WAIT", "1 of 2 instances are healthy, 2 needed")
    assert outcome.facts["reasons"] == {two: "Target.FailedHealthChecks"}
    assert outcome.look_again_seconds == 2, "only the balancer has to notice, so the next lap is short"
    assert "t5" not in ledger.timeline(run.id)[0]

    fleet.health[two] = "healthy"
    outcome = look(Intent.SERVE)
    assert (outcome.status, outcome.facts["healthy"], outcome.facts["present"]) == ("DONE", 2, 2)
    assert ledger.timeline(run.id)[0] == {"t5": clock()}
    first = clock()
    clock.advance(30)
    fleet.health[one] = "healthy"
    assert look(Intent.SERVE).status == "DONE"
    assert ledger.timeline(run.id)[0] == {"t5": first}


def test_a_share_of_the_wanted_may_be_enough(look: Look, fleet: Fleet, ledger: Ledger, run: Run) -> None:
    ledger.activate(run, HERE)
    fleet.launch()
    fleet.launch("unhealthy")
    assert look(Intent.SERVE, healthy_percent=50).status == "DONE"
    assert look(Intent.SERVE, healthy_percent=51).status == "WAIT"


def test_a_healthy_target_counts_only_where_every_target_group_says_so(
    look: Look, fleet: Fleet, ledger: Ledger, run: Run
) -> None:
    ledger.activate(run, HERE)
    vpc = fleet.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    other = fleet.balancing.create_target_group(Name="other", Protocol="HTTP", Port=8001, VpcId=vpc)
    arn = other["TargetGroups"][0]["TargetGroupArn"]
    fleet.groups.attach_load_balancer_target_groups(AutoScalingGroupName=NAME, TargetGroupARNs=[arn])
    fleet.launch()
    fleet.launch()
    assert look(Intent.SERVE).facts["healthy"] == 0


def test_a_shortage_is_reported_in_the_words_of_aws(look: Look, fleet: Fleet, ledger: Ledger, run: Run) -> None:
    ledger.activate(run, HERE)
    look(Intent.WARM)
    fleet.fail("The security group 'sg-1' does not exist. Launching EC2 instance failed.", NOW + 1)
    fleet.fail(SHORT, NOW + 2)
    outcome = look(Intent.SERVE)
    assert outcome.status == "WAIT"
    assert outcome.facts["shortage"] == SHORT
    assert outcome.sentence.endswith(f"; launches fail for lack of capacity: {SHORT}")
    assert look(Intent.WARM).facts["shortage"] == SHORT


def test_a_shortage_that_is_over_is_not_reported(look: Look, fleet: Fleet, ledger: Ledger, run: Run) -> None:
    ledger.activate(run, HERE)
    fleet.fail(SHORT, NOW + 2)
    fleet.launch()
    fleet.launch()
    assert look(Intent.SERVE).facts["shortage"] is None


def test_a_shortage_of_an_earlier_run_is_not_reported(look: Look, fleet: Fleet) -> None:
    fleet.fail(SHORT, NOW - 86400)
    assert look(Intent.SERVE).facts["shortage"] is None


def test_a_group_that_does_not_exist_is_named(look: Look) -> None:
    with pytest.raises(CapacityGroupNotFound, match="no Auto Scaling group is called nothing, nobody in eu-central-1"):
        look(Intent.WARM, group_arns=(arn_of(NAME), arn_of("nothing"), arn_of("nobody")))


@pytest.mark.parametrize("intent", [Intent.WARM, Intent.SERVE])
def test_a_late_handler_of_a_superseded_run_raises_nothing(
    look: Look, fleet: Fleet, ledger: Ledger, clock: Clock, intent: Intent
) -> None:
    """Also where it was let through and lost its lock only then."""
    take_lock(ledger, "run-2", clock())
    before = head_item(ledger)
    with pytest.raises(RunSuperseded):
        look(intent)
    assert (fleet.sizes(), head_item(ledger)) == (Capacity(0, 0, 1), before)


def test_a_late_handler_of_a_superseded_run_does_not_take_away_what_the_next_one_raised(
    look: Look, fleet: Fleet, ledger: Ledger, clock: Clock
) -> None:
    look(Intent.WARM)
    second = take_lock(ledger, "run-2", clock())
    look(Intent.WARM, second)
    with pytest.raises(RunSuperseded):
        look(Intent.RESTORE)
    assert fleet.sizes() == Capacity(2, 2, 2)
    assert ledger.head().capacity_before == {NAME: Capacity(0, 0, 1)}


def test_what_the_step_answers_and_remembers_is_json(fleet: Fleet, ledger: Ledger, run: Run, clock: Clock) -> None:
    scale = Scale(SETTINGS, ledger, fleet.groups, fleet.balancing, clock)
    said = perform("scale (serve)", run, ledger, clock, lambda: scale.ensure(run, Intent.SERVE))
    assert said["facts"] == {
        "wanted": 2,
        "present": 0,
        "shortage": None,
        "healthy": 0,
        "reasons": {},
        "groups": {NAME: {"wanted": 2, "present": 0, "healthy": 0}},
    }
    assert ledger.timeline(run.id)[1][0].facts == said["facts"]


# Several groups.

WORKERS = "shop-workers"
BOTH = {"group_arns": (arn_of(NAME), arn_of(WORKERS)), "peer_group_names": ("shop-primary", "shop-primary-workers")}


@pytest.fixture
def workers(fleet: Fleet) -> str:
    """A second group, behind no balancer."""
    fleet.add(WORKERS, Capacity(0, 0, 2))
    return WORKERS


def test_each_group_is_raised_to_what_its_counterpart_had(
    look: Look, fleet: Fleet, ledger: Ledger, workers: str
) -> None:
    ledger.keep_capacity("shop-primary", Capacity(1, 3, 9), NOW)
    ledger.keep_capacity("shop-primary-workers", Capacity(0, 1, 1), NOW)
    outcome = look(Intent.WARM, **BOTH)
    assert outcome.sentence == "capacity is on its way: 4 wanted"
    assert (fleet.sizes(), fleet.sizes(workers)) == (Capacity(3, 3, 3), Capacity(1, 1, 2))
    assert ledger.head().capacity_before == {NAME: Capacity(0, 0, 1), workers: Capacity(0, 0, 2)}


@pytest.mark.parametrize("peers", [("shop-primary",), ("shop-primary", "shop-primary-workers", "one-too-many")])
def test_a_group_without_a_counterpart_that_was_seen_gets_the_default(
    look: Look, fleet: Fleet, ledger: Ledger, workers: str, peers: tuple[str, ...]
) -> None:
    ledger.keep_capacity("shop-primary", Capacity(1, 3, 9), NOW)
    look(Intent.WARM, **BOTH | {"peer_group_names": peers})
    assert (fleet.sizes(), fleet.sizes(workers)) == (Capacity(3, 3, 3), Capacity(2, 2, 2))


def test_all_groups_must_be_healthy_one_behind_no_balancer_by_what_is_in_service(
    look: Look, fleet: Fleet, ledger: Ledger, run: Run, workers: str
) -> None:
    ledger.activate(run, HERE)
    for _ in range(2):
        fleet.launch()
    outcome = look(Intent.SERVE, **BOTH)
    assert outcome.status == "WAIT"
    assert outcome.sentence == (
        f"{NAME}: 2 of 2 instances are healthy, 2 needed; {WORKERS}: 0 of 2 instances are healthy, 2 needed"
    )
    for _ in range(2):
        fleet.launch(name=workers)
    outcome = look(Intent.SERVE, **BOTH)
    assert (outcome.status, outcome.facts["healthy"], outcome.facts["wanted"]) == ("DONE", 4, 4)
    assert "t5" in ledger.timeline(run.id)[0]


def test_a_group_does_not_count_the_instances_of_another_in_the_same_target_group(
    look: Look, fleet: Fleet, ledger: Ledger, run: Run
) -> None:
    fleet.add(WORKERS, Capacity(0, 0, 2), fleet.target_group)
    ledger.activate(run, HERE)
    for _ in range(4):
        fleet.launch()
    outcome = look(Intent.SERVE, **BOTH)
    assert (outcome.status, outcome.facts["groups"][WORKERS]["healthy"]) == ("WAIT", 0)


def test_all_that_was_raised_is_restored(look: Look, fleet: Fleet, ledger: Ledger, workers: str) -> None:
    look(Intent.WARM, **BOTH)
    outcome = look(Intent.RESTORE, **BOTH)
    assert outcome.sentence == (
        f"capacity is back at {NAME}: min 0, desired 0, max 1; {WORKERS}: min 0, desired 0, max 2"
    )
    assert (fleet.sizes(), fleet.sizes(workers)) == (Capacity(0, 0, 1), Capacity(0, 0, 2))
    assert ledger.head().capacity_before is None


def test_a_group_that_aws_refuses_to_change_does_not_hold_up_the_others(
    look: Look, fleet: Fleet, workers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    error: Any = {"Error": {"Code": "ScalingActivityInProgressFault", "Message": "it is being scaled"}}
    update = fleet.groups.update_auto_scaling_group

    def refuse(**given: Any) -> Any:
        if given["AutoScalingGroupName"] == NAME:
            raise ClientError(error, "UpdateAutoScalingGroup")
        return update(**given)

    monkeypatch.setattr(fleet.groups, "update_auto_scaling_group", refuse)
    with pytest.raises(ClientError, match="it is being scaled"):
        look(Intent.WARM, **BOTH)
    assert (fleet.sizes(), fleet.sizes(workers)) == (Capacity(0, 0, 1), Capacity(2, 2, 2))
    monkeypatch.undo()
    look(Intent.WARM, **BOTH)
    assert fleet.sizes() == Capacity(2, 2, 2)


# The way home, and back: what stood by, and what served.


def test_ready_raises_and_waits_for_instances_in_service_not_for_healthy_ones(
    look: Look, fleet: Fleet, ledger: Ledger, run: Run
) -> None:
    """Before the promotion none can be healthy."""
    outcome = look(Intent.READY)
    assert fleet.sizes() == Capacity(2, 2, 2)
    assert (outcome.status, outcome.sentence) == ("WAIT", "0 of 2 instances are in service, 2 needed")
    fleet.launch("unhealthy")
    assert look(Intent.READY).status == "WAIT"
    assert look(Intent.READY, healthy_percent=50).status == "DONE"
    fleet.launch("unhealthy")
    outcome = look(Intent.READY)
    assert (outcome.status, outcome.facts["in_service"], outcome.facts["healthy"]) == ("DONE", 2, 0)
    assert "t5" not in ledger.timeline(run.id)[0], "nothing serves yet"


def test_ready_says_what_is_short_and_waits_for_each_group(look: Look, fleet: Fleet, workers: str) -> None:
    look(Intent.READY, **BOTH)
    fleet.fail(SHORT, NOW + 2)
    assert look(Intent.READY, **BOTH).sentence.endswith(f"; launches fail for lack of capacity: {SHORT}")
    for _ in range(4):
        fleet.launch()
    assert look(Intent.READY, **BOTH).status == "WAIT", "none of the workers is there"
    for _ in range(2):
        fleet.launch(name=workers)
    assert look(Intent.READY, **BOTH).status == "DONE"


def test_what_a_standby_was_before_the_first_raise_is_kept_beyond_the_run(
    look: Look, fleet: Fleet, ledger: Ledger, run: Run
) -> None:
    look(Intent.WARM)
    fleet.resize(Capacity(0, 1, 2))
    look(Intent.WARM)
    assert ledger.capacity(standing_by(NAME)) == Capacity(0, 0, 1)
    ledger.activate(run, HERE)
    ledger.finish(run, succeeded=True, now=NOW)
    assert ledger.capacity(standing_by(NAME)) == Capacity(0, 0, 1)
    assert ledger.capacity(NAME) is None, "what it had while it served is for the other Region to keep"


def test_what_a_region_that_serves_is_raised_from_is_no_standby(look: Look, ledger: Ledger, run: Run) -> None:
    ledger.activate(run, HERE)
    look(Intent.SERVE)
    assert ledger.capacity(standing_by(NAME)) is None


@pytest.mark.parametrize(
    ("now", "served", "stood_by", "then"),
    [
        # As it was: what was raised to is no minimum, and no maximum.
        (Capacity(3, 3, 4), Capacity(1, 3, 8), Capacity(0, 0, 4), Capacity(1, 3, 8)),
        (Capacity(3, 3, 3), Capacity(2, 2, 8), None, Capacity(2, 3, 8)),
        # Nothing that runs is taken, and nothing that ran is forgotten.
        (Capacity(3, 9, 9), Capacity(1, 3, 8), None, Capacity(1, 9, 9)),
        (Capacity(0, 1, 4), Capacity(1, 3, 8), None, Capacity(1, 3, 8)),
        # Nobody knows how it was: as now, with room to grow.
        (Capacity(2, 2, 2), None, Capacity(0, 0, 6), Capacity(2, 2, 6)),
        (Capacity(2, 2, 8), None, Capacity(0, 0, 6), Capacity(2, 2, 8)),
        (Capacity(2, 2, 2), None, None, Capacity(2, 2, 2)),
    ],
)
def test_sizes_settle_at_what_they_were(
    now: Capacity, served: Capacity | None, stood_by: Capacity | None, then: Capacity
) -> None:
    assert settled(now, served, stood_by) == then


@given(now=sizes_in_order, served=st.none() | sizes_in_order, stood_by=st.none() | sizes_in_order)
def test_settled_sizes_are_in_order_and_take_nothing(
    now: Capacity, served: Capacity | None, stood_by: Capacity | None
) -> None:
    then = settled(now, served, stood_by)
    assert then.minimum <= then.desired <= then.maximum
    assert then.desired >= now.desired


def test_a_region_that_serves_again_gets_what_the_other_one_has_kept_of_it(
    look: Look, fleet: Fleet, ledger: Ledger, peer_ledger: Ledger, run: Run
) -> None:
    peer_ledger.keep_capacity(NAME, Capacity(1, 2, 9), NOW)
    look(Intent.WARM)
    ledger.activate(run, HERE)
    for _ in range(2):
        outcome = look(Intent.SETTLE)
        assert outcome.sentence == f"capacity is settled at {NAME}: min 1, desired 2, max 9"
        assert (outcome.status, fleet.sizes()) == ("DONE", Capacity(1, 2, 9))


def test_without_the_other_region_it_keeps_what_it_has(
    fleet: Fleet, look: Look, ledger: Ledger, run: Run, clock: Clock
) -> None:
    look(Intent.WARM)
    ledger.activate(run, HERE)
    ledger.keep_capacity(standing_by(NAME), Capacity(0, 0, 7), NOW)
    config = Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1})
    lost = boto3.client("dynamodb", HOME, endpoint_url=f"http://127.0.0.1:{closed_port()}", config=config)
    peer_ledger = Ledger(lost, "relight-shop", HOME)
    outcome = Scale(SETTINGS, ledger, fleet.groups, fleet.balancing, clock, peer_ledger).ensure(run, Intent.SETTLE)
    assert (outcome.status, fleet.sizes()) == ("DONE", Capacity(2, 2, 7))


def test_a_region_that_does_not_serve_does_not_settle(look: Look, fleet: Fleet, peer_ledger: Ledger) -> None:
    peer_ledger.keep_capacity(NAME, Capacity(1, 2, 9), NOW)
    assert look(Intent.SETTLE).status == "WAIT"
    assert fleet.sizes() == Capacity(0, 0, 1)
