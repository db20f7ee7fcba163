"""Everything that the functions and the state machine may do, done once.

Each scenario asserts that it has come to the end that it is there for: a scenario that goes another way records
other calls.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from relight.ledger import Capacity

from lab.health_event import HealthEvent
from lab.permission import ACCOUNT
from tests.permissions import drills, way_home
from tests.permissions.estate import (
    ACL,
    DOMAIN,
    EMPTY,
    GROUPS,
    HERE,
    HOME,
    MACHINE_NAME,
    OTHER,
    PEER_ACL,
    PEER_GROUPS,
    TABLE,
    Estate,
    client,
)
from tests.template.region import REGIONS

AUTOMATIC = {"trigger": "automatic", "reason": "probe: region_lost"}
SERVING = Capacity(1, 2, 4)


def a_lost_region_is_failed_over(estate: Estate) -> None:
    """The probe sees it up, sees it lost, and starts the run; processes of the group are suspended."""
    estate.call("probe", {})
    estate.fleet.groups.suspend_processes(AutoScalingGroupName="shop-dr", ScalingProcesses=["Launch"])
    estate.lose()
    started = estate.call("probe", {})["started"]
    assert started is not None
    arn = f"arn:aws:states:{HERE}:{ACCOUNT}:execution:{MACHINE_NAME}:{started}"
    ended = estate.machine.outcome(arn)
    assert (ended.status, ended.output["status"]) == ("SUCCEEDED", "SUCCEEDED"), ended
    assert estate.fleet.suspended() == set()


def what_a_lost_region_had_is_given_back(estate: Estate) -> None:
    """A failover whose peer is there for it: its instances go, and the promoted database is what the old one was."""
    client("autoscaling", HOME).update_auto_scaling_group(
        AutoScalingGroupName="shop-primary", MinSize=1, DesiredCapacity=2
    )
    a_lost_region_is_failed_over(estate)
    assert estate.sizes("shop-primary", HOME) == EMPTY
    found = client("rds", HERE).describe_db_instances(DBInstanceIdentifier="shop-dr")["DBInstances"][0]
    assert (found["MultiAZ"], found["DeletionProtection"], found["BackupRetentionPeriod"]) == (True, True, 14)


def a_false_alarm_is_undone(estate: Estate) -> None:
    """A run takes over from a dead one, finds the primary up, and undoes what was done before it."""
    estate.hold_lock()
    estate.fence("primary", PEER_ACL)
    estate.call("probe", {})
    ended = estate.run(AUTOMATIC)
    assert ended.output["status"] == "STOOD_DOWN", ended
    assert {"Who holds the lock", "Is its owner alive", "Take over the lock", "Undo"} <= set(ended.states)
    assert estate.fleet.sizes().desired == 0
    assert estate.fenced("primary", PEER_ACL) == set()


def a_person_is_asked(estate: Estate) -> None:
    """Nothing is known from outside, and the database of this Region cannot be asked."""
    estate.databases[HERE].reached = False
    estate.call("probe", {})
    estate.lose()
    del estate.names.records[f"_seen.{DOMAIN}", "TXT"]
    execution = estate.machine.start(AUTOMATIC)
    token = estate.question()
    estate.machine.client.send_task_failure(taskToken=token, error="Declined", cause="we mend it ourselves")
    ended = estate.machine.outcome(execution)
    assert ended.output["status"] == "STOOD_DOWN"
    assert "declined" in ended.output["sentence"], ended
    assert "we mend it ourselves" in ended.output["sentence"], ended


def a_question_is_called_back(estate: Estate) -> None:
    """The primary is there again before anybody has answered."""
    estate.call("probe", {})
    estate.lose()
    del estate.names.records[f"_seen.{DOMAIN}", "TXT"]
    execution = estate.machine.start(AUTOMATIC)
    estate.question()
    estate.up()
    estate.call("probe", {})
    ended = estate.machine.outcome(execution)
    assert ended.output["status"] == "STOOD_DOWN", ended
    assert ended.states.count("Gather and decide") == 2


def a_planned_run_moves_every_write(estate: Estate) -> None:
    """The primary serves; its writes are stopped, arrive here, and are let in here."""
    estate.stream()
    estate.call("probe", {})
    ended = estate.run({"reason": "game day", "mode": "planned"})
    assert ended.output["status"] == "SUCCEEDED", ended
    assert {"Stop writes", "See the last write arrive"} <= set(ended.states)
    assert (estate.writable(HERE), estate.writable(HOME)) == (True, False)


def a_drill_gives_way(estate: Estate) -> None:
    """It holds the lock, and is at work."""
    drill = estate.drill()
    estate.hold_lock(drill)
    estate.call("probe", {})
    ended = estate.run(AUTOMATIC)
    assert ended.output["status"] == "STOOD_DOWN", ended
    assert {"Stop what makes room", "Take over the lock"} <= set(ended.states)
    stopped = estate.machine.client.describe_execution(executionArn=drill)
    assert (stopped["status"], stopped["error"]) == ("ABORTED", "Preempted")


def an_old_event_is_counted(estate: Estate) -> None:
    """And starts nothing."""
    sent = datetime.now(UTC) - timedelta(minutes=6)
    event = {
        "source": "aws.cloudwatch",
        "detail-type": "CloudWatch Alarm State Change",
        "account": ACCOUNT,
        "region": HERE,
        "time": sent.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "detail": {"alarmName": "relight-shop-primary-down", "state": {"value": "ALARM"}},
    }
    ended = estate.run(event)
    assert ended.output["status"] == "IGNORED", ended
    counted = client("cloudwatch", HERE).list_metrics(Namespace="Relight")["Metrics"]
    assert [metric["MetricName"] for metric in counted] == ["IgnoredEvents"]


def what_aws_says_of_its_health_is_kept(estate: Estate) -> None:
    """For the evidence of whichever run comes."""
    said = HealthEvent(HOME, "RDS", "AWS_RDS_OPERATIONAL_ISSUE", datetime.now(UTC))
    event = {**said.message(), "account": ACCOUNT, "region": HOME, "time": "2026-01-31T12:00:00Z"}
    assert estate.call("record", event)["kept"] == said.arn
    assert client("dynamodb", HERE).scan(TableName=TABLE)["Count"] == 1


def activated_by_a_dead_run(estate: Estate, side: str) -> None:
    """The ledger of that Region says so, and Step Functions knows nothing of the run; the other Region is active."""
    dead = f"arn:aws:states:{REGIONS[side]}:{ACCOUNT}:execution:{MACHINE_NAME}:dead"
    active = {"active": REGIONS[OTHER[side]], "active_epoch": 5}
    estate.head(side, **active, epoch=6, state="promoting", owner=dead, expires_at=2**31)


def guard_of_a_superseded_region(estate: Estate, side: str) -> None:
    """The other ledger says, at a higher epoch, that the other Region is active."""
    estate.head(side, active=REGIONS[side], active_epoch=1, epoch=1)
    estate.head(OTHER[side], active=REGIONS[OTHER[side]], active_epoch=2, epoch=2)
    said = estate.call("guard", {}, side)
    assert (said["standing"], said["fenced"], said["emptied"]) == ("superseded", True, True), said
    assert len(estate.fenced(side, ACL)) == 2


def guard_of_a_confirmed_region(estate: Estate, side: str) -> None:
    """The other ledger says that this one is active, its run was stopped, and what fences a Region is left over."""
    estate.databases[REGIONS[side]].in_recovery = False
    estate.databases[REGIONS[side]].stopped_at = "1"
    estate.fence(side, ACL)
    estate.head(side, active=REGIONS[side], active_epoch=2, epoch=2)
    activated_by_a_dead_run(estate, OTHER[side])
    said = estate.call("guard", {}, side)
    assert (said["standing"], said["lifted"]) == ("confirmed", True), said
    assert estate.fenced(side, ACL) == set()
    assert estate.writable(REGIONS[side])


def checks_of_the_database(estate: Estate, side: str) -> None:
    """It cannot be reached where nothing is deployed, but each check has asked for its token by then."""
    for check in ("state", "write", "heartbeat", "stop", "allow"):
        assert estate.call("dbcheck", {"check": check}, side)["reached"] is False


SCENARIOS: dict[str, Callable[[Estate], None]] = {
    "failover": a_lost_region_is_failed_over,
    "hardening": what_a_lost_region_had_is_given_back,
    "stand down": a_false_alarm_is_undone,
    "question": a_person_is_asked,
    "call back": a_question_is_called_back,
    "planned": a_planned_run_moves_every_write,
    "drill": a_drill_gives_way,
    "old event": an_old_event_is_counted,
    "health": what_aws_says_of_its_health_is_kept,
    **{
        f"{play.__name__.replace('_', ' ')}, {side}": lambda estate, play=play, side=side: play(estate, side)  # type: ignore[misc]
        for play in (guard_of_a_superseded_region, guard_of_a_confirmed_region, checks_of_the_database)
        for side in REGIONS
    },
}


def play_all(estate: Estate) -> None:
    """Every scenario, each in an estate of its own."""
    for name, play in (SCENARIOS | way_home.SCENARIOS | drills.SCENARIOS).items():
        with estate.staged(name):
            play(estate)


# Where no network ACL is ours: `dbcheck` is the fence.

RUN = {"id": "r", "owner": f"arn:aws:states:{HERE}:{ACCOUNT}:execution:{MACHINE_NAME}:r", "epoch": 3}


def fence_of_a_peer_without_a_network_acl(estate: Estate) -> None:
    """Cut, behind the promotion emptied; and lifted where this Region was not activated after all."""
    run: dict[str, Any] = {**RUN, "started_at": time.time(), "mode": "emergency"}
    head = {"owner": RUN["owner"], "epoch": 3, "active_epoch": 3, "expires_at": 2**31}
    estate.head("dr", **head, active=HOME, state="promoting")
    assert estate.call("fence", {"run": run, "intent": "cut"})["facts"] == {"fence": "fenced"}
    assert not estate.writable(HOME)
    estate.head("dr", **head, active=HOME, state="steady")
    assert estate.call("fence", {"run": run, "intent": "lift"})["facts"] == {"fence": "lifted"}
    assert estate.writable(HOME)
    estate.head("dr", **head, active=HERE, state="promoting")
    for group in PEER_GROUPS:
        estate.make_group(group, HOME, SERVING)
    assert estate.call("fence", {"run": run, "intent": "empty"})["facts"] == {"emptied": "done"}
    assert {estate.sizes(group, HOME) for group in PEER_GROUPS} == {EMPTY}


def guard_without_a_network_acl(estate: Estate, side: str) -> None:
    """Superseded, and later confirmed."""
    here, there = REGIONS[side], REGIONS[OTHER[side]]
    estate.databases[here].in_recovery = False
    for group in GROUPS:
        estate.make_group(group, here, SERVING)
    estate.head(side, active=here, active_epoch=1, epoch=1)
    estate.head(OTHER[side], active=there, active_epoch=2, epoch=2)
    said = estate.call("guard", {}, side)
    assert (said["standing"], said["fenced"], said["emptied"]) == ("superseded", True, True), said
    assert {estate.sizes(group, here) for group in GROUPS} == {EMPTY}
    assert not estate.writable(here)
    activated_by_a_dead_run(estate, OTHER[side])
    said = estate.call("guard", {}, side)
    assert (said["standing"], said["lifted"]) == ("confirmed", True), said
    assert estate.writable(here)


def play_without_a_network_acl(estate: Estate) -> None:
    """What fences and is fenced; all else is as it is with one."""
    with estate.staged("fence through dbcheck"):
        fence_of_a_peer_without_a_network_acl(estate)
    for side in REGIONS:
        with estate.staged(f"guard through dbcheck, {side}"):
            guard_without_a_network_acl(estate, side)
        for play in (way_home.the_way_home_is_offered, way_home.guard_sees_a_way_home_die):
            with estate.staged(f"{play.__name__.replace('_', ' ')}, {side}"):
                play(estate, side)
    with estate.staged("hold is let go"):
        way_home.hold_is_let_go(estate)
