"""The probe: it keeps what it saw, and starts one run whenever the verdict, or what a dead run left, says so."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError
from relight.ledger import Capacity, DatabaseProperties, Head, Ledger, Promotion, State
from relight.policy import Approval
from relight.probe import is_news, is_on_duty, left_over, run_name
from relight.question import Question, Urgency
from relight.run import Run
from relight.signal import Seen, Signal, View

from tests.unit.conftest import Clients
from tests.unit.loopback import NameServer, WebServer, black_hole, closed_port
from tests.unit.rds import PEER, REPLICA
from tests.unit.scene import READY, Scene, make_scene
from tests.unit.situation import keep_signals
from tests.unit.standby import HERE, HOME, MACHINE, NOW, Clock, execution, release_lock, take_lock
from tests.unit.watcher import ENDS_AT_ONCE, Machine, Watcher, make_machine

WINDOW = int(NOW // 60)


class Silent:
    """An API that does not answer."""

    def __getattr__(self, name: str) -> Any:
        raise EndpointConnectionError(endpoint_url="https://rds.eu-west-1.amazonaws.com/")


@pytest.fixture
def scene(names: NameServer, web: WebServer, clock: Clock, clients: Clients) -> Scene:
    return make_scene(names, web, clock, clients)


@pytest.fixture
def machine(aws: None, clients: Clients) -> Machine:
    return make_machine(clients("stepfunctions", HERE))


@pytest.fixture
def watcher(scene: Scene, ledger: Ledger, machine: Machine, clients: Clients, clock: Clock) -> Watcher:
    found = Watcher(scene, ledger, machine, clients("autoscaling", HOME), clock)
    found.was_up(10_000)
    return found


def primary_group(clients: Clients, desired: int) -> None:
    """The primary's Auto Scaling group, at min 1 and max 6."""
    groups = clients("autoscaling", HOME)
    groups.create_launch_configuration(LaunchConfigurationName="shop", ImageId="ami-12c6146b", InstanceType="t4g.small")
    groups.create_auto_scaling_group(
        AutoScalingGroupName="shop-primary",
        LaunchConfigurationName="shop",
        MinSize=1,
        DesiredCapacity=desired,
        MaxSize=6,
        AvailabilityZones=[f"{HOME}a"],
    )


def test_it_keeps_what_it_saw_sample_by_sample(watcher: Watcher, ledger: Ledger) -> None:
    said = watcher.watch(samples=3)
    assert (said["outside"], said["from_dr"], said["started"]) == ("UP", "UP", None)
    assert said["verdict"]["finding"] == "primary_up"
    kept = ledger.signals()
    for view in View:
        assert (kept[view].seen, kept[view].since, kept[view].last_seen) == (Seen.UP, NOW, NOW), view
    assert watcher.clock() == NOW + 20, "no longer than it must be: the next invocation comes by schedule"
    assert watcher.machine.names() == []
    assert watcher.metrics.count(("Down.from_dr", 0.0)) == 3


def test_the_same_again_is_kept_well_before_it_is_stale(watcher: Watcher, ledger: Ledger) -> None:
    watcher.watch(samples=5, fresh_seconds=90.0)
    assert {signal.last_seen for signal in ledger.signals().values()} == {NOW + 30}


def test_a_change_is_kept_at_once(watcher: Watcher, ledger: Ledger, clock: Clock) -> None:
    watcher.scene.lose()
    watcher.watch(samples=1)
    clock.advance(10)
    watcher.watch(samples=1)
    down = ledger.signals()[View.FROM_DR]
    assert (down.seen, down.since, down.last_seen) == (Seen.DOWN, NOW, NOW + 10)


@pytest.mark.parametrize(
    ("change", "news"),
    [
        ({}, False),
        ({"last_seen": NOW + 29, "sentence": "said otherwise"}, False),
        ({"last_seen": NOW + 30}, True),
        ({"seen": Seen.DOWN}, True),
        ({"since": NOW + 1}, True),
        ({"answered": True}, True),
        ({"ever_up": False}, True),
        # It answers all the while, and when that was last seen is no news.
        ({"answered": True, "mute_since": NOW + 20}, True),
    ],
)
def test_what_is_news(change: dict[str, Any], news: bool) -> None:
    kept = Signal(View.FROM_DR, Seen.UP, NOW, NOW, "it is ready")
    assert is_news(replace(kept, **change), kept, 30.0) is news
    assert is_news(kept, None, 30.0)
    answers = replace(kept, answered=True)
    assert not is_news(replace(answers, mute_since=NOW + 20, last_seen=NOW + 20), answers, 30.0)
    assert is_news(replace(kept, mute_since=NOW + 20), kept, 30.0)


def test_a_sample_that_took_long_shortens_the_pause(watcher: Watcher) -> None:
    clock, began = watcher.clock, []

    class Slow:
        """Answers after eleven seconds, and remembers when it was asked."""

        def __init__(self, rds: Any) -> None:
            self.rds = rds

        def describe_db_instances(self, **given: Any) -> Any:
            began.append(clock())
            clock.advance(11)
            return self.rds.describe_db_instances(**given)

    watcher.scene.rds = Slow(watcher.scene.rds)  # type: ignore[assignment]
    watcher.watch(samples=3, sample_timeout_seconds=30.0)
    assert began == [NOW, NOW + 11, NOW + 22]


def test_the_first_suspicion_starts_one_run_and_keeps_on_watching(watcher: Watcher, ledger: Ledger) -> None:
    watcher.scene.lose()
    said = watcher.watch(samples=2)
    assert said["verdict"]["finding"] == "down_too_short"
    assert watcher.machine.names() == [f"failover-1-{WINDOW}"]
    assert ledger.signals()[View.STREAM].since == NOW
    assert ("Down.outside", 1.0) in watcher.metrics


def test_the_run_is_told_who_started_it_and_why(watcher: Watcher) -> None:
    watcher.scene.lose()
    watcher.watch(samples=1)
    found = watcher.machine.api.describe_execution(executionArn=execution(f"failover-1-{WINDOW}"))
    assert found["input"] == '{"reason": "probe: down_too_short", "trigger": "automatic"}'


def test_a_second_start_within_the_window_is_quiet_whatever_it_finds(watcher: Watcher, ledger: Ledger) -> None:
    watcher.scene.lose()
    watcher.watch(samples=1)
    watcher.scene.has_been_down(ledger, 70)
    said = watcher.watch(samples=1)
    assert said["verdict"]["finding"] == "region_lost"
    assert said["started"] == f"failover-1-{WINDOW} (already started)"
    watcher.machine.stop(f"failover-1-{WINDOW}")
    assert watcher.watch(samples=1)["started"] == f"failover-1-{WINDOW} (already started)"
    assert watcher.machine.names() == [f"failover-1-{WINDOW}"]


def test_in_the_next_window_it_tries_anew(watcher: Watcher, clock: Clock) -> None:
    watcher.scene.lose()
    watcher.watch(samples=1)
    watcher.machine.stop(f"failover-1-{WINDOW}")
    clock.advance(60)
    watcher.watch(samples=1)
    assert watcher.machine.names() == [f"failover-1-{WINDOW}", f"failover-1-{WINDOW + 1}"]


def test_a_run_that_stood_down_comes_again_at_the_next_epoch_at_once(
    watcher: Watcher, ledger: Ledger, clock: Clock
) -> None:
    watcher.scene.lose()
    watcher.watch(samples=1)
    take_lock(ledger, f"failover-1-{WINDOW}", clock())
    release_lock(ledger)
    watcher.watch(samples=1)
    assert watcher.machine.names() == [f"failover-1-{WINDOW}", f"failover-2-{WINDOW}"]


def test_the_name_of_a_run_depends_on_epoch_and_window_only(ledger: Ledger) -> None:
    head = ledger.head()
    assert run_name(head, 120.0, 60) == run_name(head, 179.9, 60) == "failover-1-2"
    assert run_name(head, 180.0, 60) == "failover-1-3"


def test_it_starts_nothing_while_a_run_is_at_work(watcher: Watcher, ledger: Ledger, clock: Clock) -> None:
    owner = watcher.machine.start("by-hand")
    run = take_lock(ledger, "by-hand", clock(), owner=owner)
    ledger.remember_capacity(run, {"shop-dr": Capacity(0, 0, 1)})
    watcher.scene.lose()
    watcher.scene.has_been_down(ledger, 70)
    said = watcher.watch()
    assert (said["verdict"]["finding"], said["started"]) == ("in_progress", None)
    assert watcher.machine.names() == ["by-hand"]
    assert watcher.metrics.count(("Down.outside", 1.0)) == 2, "it goes on watching"


def test_it_starts_a_run_when_the_owner_of_the_lock_is_dead(watcher: Watcher, ledger: Ledger, clock: Clock) -> None:
    owner = watcher.machine.start("by-hand")
    take_lock(ledger, "by-hand", clock(), owner=owner)
    watcher.machine.stop("by-hand")
    watcher.scene.lose()
    assert watcher.watch(samples=1)["started"] == f"failover-2-{WINDOW}"
    assert watcher.machine.names() == ["by-hand", f"failover-2-{WINDOW}"]


def test_an_owner_that_step_functions_does_not_know_is_dead(watcher: Watcher, ledger: Ledger, clock: Clock) -> None:
    take_lock(ledger, "long-forgotten", clock())
    watcher.scene.lose()
    watcher.watch(samples=1)
    assert watcher.machine.names() == [f"failover-2-{WINDOW}"]


def test_an_owner_that_cannot_be_asked_about_keeps_its_lock_and_the_watching_goes_on(
    watcher: Watcher, ledger: Ledger, clock: Clock
) -> None:
    take_lock(ledger, "busy", clock())
    watcher.scene.lose()
    config = Config(connect_timeout=0.3, read_timeout=0.3, retries={"total_max_attempts": 1})
    watcher.machine.api = boto3.client(
        "stepfunctions", region_name=HERE, endpoint_url=f"http://127.0.0.1:{closed_port()}", config=config
    )
    said = watcher.watch(samples=2)
    assert (said["verdict"]["finding"], said["started"]) == ("in_progress", None)
    assert watcher.metrics.count(("Down.from_dr", 1.0)) == 2, "the second sample was taken as well"
    assert watcher.metrics.count(("OwnerUnknown", 1.0)) == 2


@pytest.mark.parametrize("left", ["promoting", "capacity raised", "both, lock included", "writes still stopped"])
def test_it_starts_a_run_for_what_a_dead_run_left_although_the_primary_is_up(
    watcher: Watcher, ledger: Ledger, clock: Clock, left: str
) -> None:
    run = take_lock(ledger, "by-hand", clock(), owner=watcher.machine.start("by-hand"))
    if left != "capacity raised":
        ledger.set_state(run, State.PROMOTING)
    if left in {"capacity raised", "both, lock included"}:
        ledger.remember_capacity(run, {"shop-dr": Capacity(0, 0, 1)})
    if left == "writes still stopped":
        ledger.begin_quiesce(run, NOW)
        ledger.set_state(run, State.STEADY)
    watcher.machine.stop("by-hand")
    if left != "both, lock included":
        release_lock(ledger)
    said = watcher.watch(samples=1)
    assert said["verdict"]["finding"] == ("primary_up" if left == "capacity raised" else "abandoned")
    assert watcher.machine.names() == ["by-hand", f"failover-2-{WINDOW}"]


@pytest.mark.parametrize(("failed", "starts"), [(None, True), (10, False), (299, False), (300, True)])
def test_what_could_not_be_undone_is_not_tried_again_at_once(
    watcher: Watcher, ledger: Ledger, clock: Clock, failed: float | None, starts: bool
) -> None:
    run = take_lock(ledger, "run-1", clock())
    ledger.remember_capacity(run, {"shop-dr": Capacity(0, 0, 1)})
    if failed is not None:
        ledger.failed(run, NOW - failed)
    release_lock(ledger)
    assert (watcher.watch(samples=1)["started"] is not None) is starts


def test_a_real_loss_does_not_wait_for_what_could_not_be_undone(watcher: Watcher, ledger: Ledger, clock: Clock) -> None:
    run = take_lock(ledger, "run-1", clock())
    ledger.remember_capacity(run, {"shop-dr": Capacity(0, 0, 1)})
    ledger.failed(run, NOW - 10)
    release_lock(ledger)
    watcher.scene.lose()
    assert watcher.watch(samples=1)["started"] is not None


def drills(ledger: Ledger) -> Run:
    """A drill holds the lock; its executions are none that the probe may ask about."""
    return take_lock(ledger, "game-day", NOW, owner=execution("game-day").replace("-failover:", "-drill:"))


def test_a_drill_keeps_no_failover_from_starting(watcher: Watcher, ledger: Ledger) -> None:
    drills(ledger)
    watcher.scene.lose()
    said = watcher.watch(samples=1)
    assert (said["verdict"]["finding"], said["started"]) == ("down_too_short", f"failover-2-{WINDOW}")


def test_what_a_drill_has_raised_is_not_taken_for_left_behind(watcher: Watcher, ledger: Ledger) -> None:
    run = drills(ledger)
    ledger.remember_capacity(run, {"shop-dr": Capacity(0, 0, 1)})
    said = watcher.watch()
    assert (said["verdict"]["finding"], said["started"]) == ("primary_up", None)
    watcher.clock.now = ledger.head().expires_at
    watcher.scene.tick()
    assert watcher.watch(samples=1)["started"] is not None, "once its lock has expired it is"


def test_it_starts_a_run_behind_an_open_door_whatever_is_seen(watcher: Watcher, ledger: Ledger, clock: Clock) -> None:
    run = take_lock(ledger, "run-1", clock())
    ledger.set_state(run, State.PROMOTING)
    ledger.open_door(run, "shop-dr", NOW)
    ledger.activate(run, HERE)
    release_lock(ledger)
    said = watcher.watch(samples=1)
    assert (said["verdict"]["finding"], said["started"]) == ("half_done", f"failover-2-{WINDOW}")


def test_a_region_that_is_active_and_steady_is_left_alone(watcher: Watcher, ledger: Ledger, clock: Clock) -> None:
    run = take_lock(ledger, "run-1", clock())
    ledger.activate(run, HERE)
    ledger.finish(run, succeeded=True, now=NOW)
    release_lock(ledger)
    watcher.scene.lose()
    before = clock()
    assert watcher.watch() == {"on_duty": False, "started": None}
    assert clock() == before, "at once"
    assert (watcher.machine.names(), watcher.metrics) == ([], [])
    assert {signal.last_seen for signal in ledger.signals().values()} <= {0.0, NOW - 10_000}, "nothing was looked at"


@pytest.mark.parametrize(
    ("active", "state", "on_duty"),
    [
        (HOME, State.STEADY, False),
        (HOME, State.PROMOTING, True),
        (HERE, State.STEADY, True),
        (HERE, State.PROMOTING, True),
    ],
)
def test_either_region_watches_the_other_one_unless_it_serves_itself(active: str, state: State, on_duty: bool) -> None:
    assert is_on_duty(Head(True, 4, active, state), HOME) is on_duty
    assert is_on_duty(Head(False, 0, HOME, State.STEADY), HOME) is False, "from deployment on"
    assert is_on_duty(Head(False, 0, HOME, State.STEADY), HERE) is True


def test_what_the_other_region_is_doing_is_nothing_left_over_here() -> None:
    """Mirrored into the ledger of an old primary that has come back: the other one is promoting, and active already."""
    mirrored = Head(True, 3, HERE, State.PROMOTING, active_epoch=3)
    assert not left_over(mirrored, HOME)
    assert left_over(replace(mirrored, epoch=4), HOME), "a run of its own has begun since"
    assert left_over(replace(mirrored, owner="somebody"), HOME)
    assert left_over(replace(mirrored, promotion=Promotion("shop-primary", "home-1", 4, None)), HOME)
    assert left_over(replace(mirrored, capacity_before={"shop-primary": Capacity(0, 0, 4)}), HOME)


# A failback of this Region holds the lock for hours.


def goes_home(watcher: Watcher, ledger: Ledger) -> Run:
    """A failback is at work, and asks a person."""
    machine = MACHINE.replace("-failover", "-failback")
    role = "arn:aws:iam::123456789012:role/failback"
    watcher.machine.api.create_state_machine(name="relight-shop-failback", definition=ENDS_AT_ONCE, roleArn=role)
    started = watcher.machine.api.start_execution(stateMachineArn=machine, name="home-1", input="{}")
    run = take_lock(ledger, "home-1", NOW, owner=started["executionArn"])
    ledger.keep_question(run, Question(1, "AAAA", NOW, NOW + 900, "failback", "are you sure", "planned", Urgency.FIRST))
    return run


def test_the_question_of_a_failback_is_not_called_back_because_the_other_region_is_well(
    watcher: Watcher, ledger: Ledger
) -> None:
    goes_home(watcher, ledger)
    said = watcher.watch()
    assert (said["verdict"]["finding"], said["started"]) == ("primary_up", None)
    assert not watcher.called_back


def test_what_a_failback_has_raised_is_not_taken_for_left_behind(watcher: Watcher, ledger: Ledger) -> None:
    ledger.remember_capacity(goes_home(watcher, ledger), {"shop-dr": Capacity(0, 0, 1)})
    assert watcher.watch()["started"] is None


def test_a_failback_gives_way_to_a_loss_that_is_certain_and_to_no_suspicion(watcher: Watcher, ledger: Ledger) -> None:
    """Hours of work are not given up for a sample or two."""
    goes_home(watcher, ledger)
    watcher.scene.lose()
    said = watcher.watch(samples=1)
    assert (said["verdict"]["finding"], said["started"]) == ("down_too_short", None)
    watcher.scene.has_been_down(ledger, 70)
    said = watcher.watch(samples=1)
    assert (said["verdict"]["finding"], said["started"]) == ("region_lost", f"failover-2-{WINDOW}")


def test_a_failback_gives_way_to_the_question_that_policy_asks_for(watcher: Watcher, ledger: Ledger) -> None:
    goes_home(watcher, ledger)
    watcher.scene.lose()
    watcher.scene.has_been_down(ledger, 70)
    said = watcher.watch(samples=1, policy=Approval.APPROVE)
    assert (said["verdict"]["finding"], said["started"]) == ("policy_approve", f"failover-2-{WINDOW}")


def test_a_failback_that_is_dead_keeps_nobody_from_anything(watcher: Watcher, ledger: Ledger) -> None:
    run = goes_home(watcher, ledger)
    watcher.machine.api.stop_execution(executionArn=run.owner)
    watcher.scene.lose()
    assert watcher.watch(samples=1)["started"] == f"failover-2-{WINDOW}"


def clients_reach_it(scene: Scene) -> None:
    scene.names.records[("_seen.shop.example", "TXT")] = ["up"]


def its_database_lives(scene: Scene) -> None:
    scene.dbcheck.receiver = {"status": "streaming", "last_message_at": scene.clock()}


def it_answers_here(scene: Scene) -> None:
    scene.web.pages["/health/ready"] = READY


def its_database_reboots(scene: Scene) -> None:
    scene.peer_rds.reached, scene.peer_rds.status[PEER] = True, "rebooting"


def our_replica_is_gone(scene: Scene) -> None:
    scene.rds.status.clear()


@pytest.mark.parametrize(
    ("spoil", "finding"),
    [
        (clients_reach_it, "up_from_outside"),
        (it_answers_here, "one_view_only"),
        (its_database_reboots, "peer_database_busy"),
        (our_replica_is_gone, "dr_not_ready"),
    ],
)
def test_what_stands_in_the_way_keeps_it_from_starting(
    watcher: Watcher, ledger: Ledger, spoil: Callable[[Scene], None], finding: str
) -> None:
    watcher.scene.lose()
    watcher.scene.has_been_down(ledger, 70)
    spoil(watcher.scene)
    said = watcher.watch(samples=1)
    assert (said["verdict"]["finding"], said["started"]) == (finding, None)
    assert watcher.machine.names() == []


def test_a_lost_application_wakes_nobody_at_once_and_then_asks(watcher: Watcher, ledger: Ledger, clock: Clock) -> None:
    watcher.scene.lose_application()
    said = watcher.watch(samples=1)
    assert (said["verdict"]["finding"], said["started"]) == ("application_down_too_short", f"failover-1-{WINDOW}")
    watcher.scene.has_been_down(ledger, 70)
    its_database_lives(watcher.scene)
    assert watcher.watch(samples=1)["verdict"]["finding"] == "application_lost"


@pytest.mark.parametrize(("refused", "started"), [(10, False), (890, False), (901, True)])
def test_what_was_declined_is_not_asked_again_at_once(
    watcher: Watcher, ledger: Ledger, clock: Clock, refused: float, started: bool
) -> None:
    ledger.refuse(take_lock(ledger, "run-1", clock()), "kim", "we know", NOW - refused)
    release_lock(ledger)
    watcher.scene.lose_application()
    watcher.scene.has_been_down(ledger, 70)
    said = watcher.watch(samples=1)
    assert said["verdict"]["finding"] == "application_lost"
    assert (said["started"] is not None) is started


def test_a_region_that_cannot_prove_its_own_connectivity_starts_nothing(watcher: Watcher) -> None:
    watcher.scene.lose()
    said = watcher.watch(samples=1, control_targets=(f"http://127.0.0.1:{closed_port()}/ping",))
    assert (said["verdict"]["finding"], said["started"]) == ("dr_isolated", None)
    assert watcher.machine.names() == []


def test_it_remembers_what_keeps_the_primarys_database_safe_while_it_is_up(
    watcher: Watcher, ledger: Ledger, clients: Clients
) -> None:
    primary = clients("rds", HOME)
    primary.create_db_instance(
        DBInstanceIdentifier=PEER,
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        MultiAZ=True,
        BackupRetentionPeriod=14,
        DeletionProtection=True,
    )
    watcher.scene.peer_rds = primary
    watcher.watch(samples=1)
    assert ledger.database(PEER) == DatabaseProperties(True, 14, True)
    watcher.scene.peer_rds = Silent()  # type: ignore[assignment]
    watcher.watch(samples=1)
    assert ledger.database(PEER) == DatabaseProperties(True, 14, True), "it forgets nothing"


def test_it_remembers_the_primarys_capacity_while_it_is_up(watcher: Watcher, ledger: Ledger, clients: Clients) -> None:
    primary_group(clients, 2)
    watcher.watch()
    assert ledger.capacity("shop-primary") == Capacity(1, 2, 6)


# Readiness, as the alarm on it sees it.


def readiness(watcher: Watcher) -> set[float]:
    watcher.watch()
    return {value for name, value in watcher.metrics if name == "Ready"}


def rds_does_not_answer(scene: Scene) -> None:
    scene.rds.reached = False


def the_instance_is_no_replica(scene: Scene) -> None:
    scene.rds.end()


def the_replica_has_failed(scene: Scene) -> None:
    scene.rds.status[REPLICA] = "storage-full"


def dbcheck_knows_nothing(scene: Scene) -> None:
    scene.dbcheck.last_replayed_at = scene.dbcheck.heartbeat_at = None


@pytest.mark.parametrize(
    "spoil",
    [
        our_replica_is_gone,
        rds_does_not_answer,
        the_instance_is_no_replica,
        the_replica_has_failed,
        dbcheck_knows_nothing,
    ],
)
def test_a_standby_that_could_not_be_promoted_is_not_ready(watcher: Watcher, spoil: Callable[[Scene], None]) -> None:
    spoil(watcher.scene)
    assert readiness(watcher) == {0.0}


@pytest.mark.parametrize("status", ["available", "backing-up", "modifying"])
def test_a_standby_that_could_be_promoted_is_ready_whatever_the_primary_does(watcher: Watcher, status: str) -> None:
    watcher.scene.rds.status[REPLICA] = status
    assert readiness(watcher) == {1.0}
    watcher.scene.lose()
    assert readiness(watcher) == {1.0}


@pytest.mark.parametrize("active", [HERE, HOME])
def test_a_region_that_is_active_or_becomes_so_is_no_standby(
    watcher: Watcher, ledger: Ledger, clock: Clock, active: str
) -> None:
    run = take_lock(ledger, "run-1", clock(), owner=watcher.machine.start("run-1"))
    ledger.set_state(run, State.PROMOTING)
    ledger.activate(run, active)
    assert readiness(watcher) == set()


def test_only_the_views_that_vote_are_metrics(watcher: Watcher) -> None:
    watcher.watch()
    assert {name for name, _ in watcher.metrics} - {"PeerCapacityUnknown"} == {"Down.from_dr", "Ready"}
    watcher.scene.lose()
    watcher.watch()
    assert {name for name, _ in watcher.metrics} - {"PeerCapacityUnknown"} == {"Down.from_dr", "Down.outside", "Ready"}
    assert ("Down.outside", 0.0) not in watcher.metrics, "paid for only while it is down"


@pytest.mark.parametrize("of", ["a Region that is active here", "a Region that is being left"])
def test_the_sizes_of_a_region_that_does_not_serve_are_not_worth_remembering(
    watcher: Watcher, ledger: Ledger, clients: Clients, clock: Clock, of: str
) -> None:
    """An old primary that is back, with the instances that it was left, answers as well."""
    ledger.keep_capacity("shop-primary", Capacity(2, 3, 6), NOW - 60)
    primary_group(clients, 1)
    run = take_lock(ledger, "run-1", clock())
    if of == "a Region that is active here":
        ledger.activate(run, HERE)
    else:
        ledger.set_state(run, State.PROMOTING)
    watcher.watch()
    assert ledger.capacity("shop-primary") == Capacity(2, 3, 6)


def test_it_forgets_nothing_when_the_primary_is_lost(watcher: Watcher, ledger: Ledger, clients: Clients) -> None:
    ledger.keep_capacity("shop-primary", Capacity(2, 3, 6), NOW - 60)
    primary_group(clients, 1)
    watcher.scene.lose()
    watcher.watch()
    assert ledger.capacity("shop-primary") == Capacity(2, 3, 6)


@pytest.mark.parametrize("how", ["refused", "black-holed", "no such group"])
def test_a_peer_that_does_not_answer_is_no_failure(watcher: Watcher, ledger: Ledger, how: str) -> None:
    ledger.keep_capacity("shop-primary", Capacity(2, 3, 6), NOW - 60)
    with black_hole() as silent:
        if how != "no such group":
            port = silent if how == "black-holed" else closed_port()
            config = Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1})
            endpoint = f"http://127.0.0.1:{port}"
            watcher.peer_groups = boto3.client("autoscaling", HOME, endpoint_url=endpoint, config=config)
        said = watcher.watch()
    assert said["verdict"]["finding"] == "primary_up"
    assert ledger.capacity("shop-primary") == Capacity(2, 3, 6)
    assert (("PeerCapacityUnknown", 1.0) in watcher.metrics) == (how != "no such group")


def test_a_region_that_is_only_being_set_up_wakes_nobody(watcher: Watcher, ledger: Ledger) -> None:
    keep_signals(ledger, [Signal(View.FROM_DR, Seen.UNKNOWN, NOW - 20, NOW - 10, "no address", ever_up=False)])
    watcher.scene.lose()
    said = watcher.watch(samples=1)
    assert (said["verdict"]["finding"], said["started"]) == ("never_up", None)
