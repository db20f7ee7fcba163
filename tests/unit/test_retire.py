"""The old database is kept: from each state it may be found in, through each death of a handler, and never deleted."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from relight.errors import AlreadyActive, DatabaseNotKept, NotAReplicaOfThePeer, RunSuperseded
from relight.ledger import Ledger
from relight.run import Run
from relight.settings import RetireSettings
from relight.shape import shape_of
from relight.step import Outcome
from relight.steps.retire import BROKEN, RENAMING_SECONDS, Retire

from tests.unit.conftest import Clients
from tests.unit.instances import ACTIVE, ACTIVE_ARN, KEPT, LIFE, OLD, Died, DyingTable, Ears, Instances, Strikes
from tests.unit.rds import error
from tests.unit.standby import HERE, HOME, TABLE, Clock, claims, take_lock

SETTINGS = RetireSettings(
    aws_region=HOME,
    home_region=HOME,
    peer_region=HERE,
    ledger_table=TABLE,
    replica_id=OLD,
    peer_database_id=ACTIVE,
    dbcheck_function="relight-shop-dbcheck",
    look_again_seconds=60.0,
    retained_days=14.0,
    topic_arn="arn:aws:sns:eu-west-1:123456789012:relight-shop",
    application="shop",
)
WHERE = {"instance": KEPT, "host": f"{KEPT}.abc.{HOME}.rds.amazonaws.com", "port": 5432, "snapshot": KEPT}
TAKEN = ["CreateDBSnapshot", "ModifyDBInstance"]


@dataclass
class Scene:
    """The home Region, back after its loss: the other one is active since epoch 7."""

    rds: Instances
    ears: Ears
    ledger: Ledger
    clock: Clock
    run: Run

    @property
    def step(self) -> Retire:
        return Retire(SETTINGS, self.ledger, self.rds, self.ears, self.clock)  # type: ignore[arg-type]

    def look(self) -> Outcome:
        return self.step.keep(self.run)

    def until_done(self, laps: int = 12) -> Outcome:
        """Look, let RDS go on, look again: what the last look said."""
        for _ in range(laps):
            outcome = self.look()
            if outcome.status == "DONE":
                return outcome
            assert outcome.look_again_seconds == 60
            self.rds.tick()
            self.clock.advance(60)
        raise AssertionError(f"it is not done: {outcome.sentence}")

    def take_over(self, name: str) -> None:
        """As the next run does."""
        self.run = take_lock(self.ledger, name, self.clock())


@pytest.fixture
def scene(peer_ledger: Ledger, clients: Clients, clock: Clock) -> Scene:
    peer_ledger.mirror(claims(7, HERE), 0)
    rds = Instances(clients("rds", HOME).meta.service_model, clock)
    rds.add()
    return Scene(rds, Ears(clock), peer_ledger, clock, take_lock(peer_ledger, "failback-1", clock()))


def names(rds: Instances) -> list[str]:
    return [operation for operation, _ in rds.calls]


def test_a_snapshot_first_then_the_rename_and_nothing_is_deleted(scene: Scene) -> None:
    said = scene.look()
    assert said.sentence == f"the snapshot {KEPT} is being taken before anything else; its writes are stopped"
    assert said.facts["writes_stopped"] is True
    assert scene.ears.asked == [{"check": "stop"}], "before the snapshot"
    shape = scene.ledger.shape(OLD)
    assert shape is not None
    assert (shape["MultiAZ"], shape["DbiResourceId"]) == (True, LIFE)
    assert scene.ledger.retired() == []
    scene.rds.snapshots[KEPT]["PercentProgress"] = 25
    scene.clock.advance(300)
    assert scene.look().sentence == f"the snapshot {KEPT} is being taken: 5 min so far, 25 % done, so about 15 min more"
    scene.rds.tick()
    said = scene.look()
    assert said.sentence.startswith(f"{OLD} is being renamed to {KEPT}, which takes about ten minutes; dropped slots")
    assert scene.rds.made("ModifyDBInstance") == [
        {
            "DBInstanceIdentifier": OLD,
            "NewDBInstanceIdentifier": KEPT,
            "DeletionProtection": True,
            "ApplyImmediately": True,
        }
    ]
    assert scene.ears.asked[-2:] == [{"check": "stop"}, {"check": "drop_slots"}], "and before the rename"
    for expected in ("is available, and is being renamed", "is renaming, and", f"{KEPT} is rebooting"):
        assert expected in scene.look().sentence
        scene.rds.tick()
    done = scene.look()
    assert (done.status, done.facts["retired"]) == ("DONE", WHERE)
    assert done.facts["why"] == f"{OLD} is kept as {KEPT}"
    assert (done.facts["writes_stopped"], done.sentence.endswith("; its writes are stopped")) == (True, True)
    (noted,) = scene.ledger.retired()
    assert (noted.instance, noted.of, noted.epoch, noted.run, noted.snapshot) == (KEPT, OLD, 7, "failback-1", KEPT)
    assert names(scene.rds) == TAKEN
    assert scene.look().facts == done.facts | {"slots_dropped": []}


DEATHS = [(when, n) for when in ("before", "after") for n in range(1, 11)]


@pytest.mark.parametrize(("when", "n"), DEATHS)
def test_whoever_comes_after_a_death_brings_it_to_the_same_end(scene: Scene, when: str, n: int) -> None:
    """At each write to the ledger and each call to RDS, just before and just after it."""
    strikes = Strikes(**{when: n})
    table = scene.ledger.dynamodb
    scene.ledger = replace(scene.ledger, dynamodb=DyingTable(table, strikes))  # type: ignore[arg-type]
    scene.rds.strikes = strikes
    try:
        scene.until_done()
    except Died:
        scene.ledger = replace(scene.ledger, dynamodb=table)
        scene.rds.strikes = Strikes()
        scene.take_over("failback-2")
    done = scene.until_done()
    assert done.facts["retired"] == WHERE
    assert names(scene.rds) == TAKEN
    assert (set(scene.rds.instances), set(scene.rds.snapshots)) == ({KEPT}, {KEPT})
    assert (scene.ledger.shape(OLD) or {})["DbiResourceId"] == LIFE
    assert [one.instance for one in scene.ledger.retired()] == [KEPT]


def test_the_deaths_above_reach_the_last_write(scene: Scene) -> None:
    strikes = Strikes()
    scene.ledger = replace(scene.ledger, dynamodb=DyingTable(scene.ledger.dynamodb, strikes))  # type: ignore[arg-type]
    scene.rds.strikes = strikes
    scene.until_done()
    assert strikes.count == max(n for _, n in DEATHS)


@pytest.mark.parametrize("operation", TAKEN)
def test_a_call_whose_answer_is_lost_is_not_made_again(scene: Scene, operation: str) -> None:
    scene.rds.refusals[operation] = ReadTimeoutError(endpoint_url="https://rds")
    if operation == "ModifyDBInstance":
        scene.look()
        scene.rds.tick()
    assert "RDS of this Region does not answer (ReadTimeoutError)" in scene.look().sentence
    scene.rds.refusals.clear()
    assert scene.until_done().facts["retired"] == WHERE
    assert names(scene.rds) == TAKEN


@pytest.mark.parametrize(
    "busy", ["modifying", "backing-up", "rebooting", "upgrading", "starting", "stopping", "maintenance"]
)
def test_while_rds_is_at_work_on_it_it_is_waited_for(scene: Scene, busy: str) -> None:
    scene.rds.instances[OLD]["DBInstanceStatus"] = busy
    assert scene.look().sentence == f"{OLD} is {busy}: RDS neither snapshots nor renames it just now"
    assert scene.rds.calls == []
    scene.rds.instances[OLD]["DBInstanceStatus"] = "available"
    assert scene.until_done().facts["retired"] == WHERE


@pytest.mark.parametrize("operation", TAKEN)
def test_what_rds_refuses_just_now_is_asked_for_again(scene: Scene, operation: str) -> None:
    scene.rds.refusals[operation] = error("InvalidDBInstanceState", "it is backing up", operation)
    said = [scene.look().sentence]
    scene.rds.tick()
    said.append(scene.look().sentence)
    assert any("RDS will not just now: it is backing up" in each for each in said)
    scene.rds.refusals.clear()
    assert scene.until_done().facts["retired"] == WHERE


def test_a_stopped_one_is_started_and_stays_fenced(scene: Scene) -> None:
    scene.rds.instances[OLD]["DBInstanceStatus"] = "stopped"
    assert scene.look().sentence == f"{OLD} was stopped, and is being started; it stays fenced"
    assert scene.until_done().facts["retired"] == WHERE
    assert names(scene.rds) == ["StartDBInstance", *TAKEN]


def test_one_that_is_stopped_after_it_was_renamed_is_started(scene: Scene) -> None:
    scene.until_done()
    scene.rds.instances[KEPT]["DBInstanceStatus"] = "stopped"
    assert scene.look().sentence == f"{KEPT} was stopped, and is being started; it stays fenced"
    assert scene.until_done().facts["retired"] == WHERE


def test_a_full_one_is_given_room_once_before_anything_else(scene: Scene) -> None:
    scene.rds.instances[OLD]["DBInstanceStatus"] = "storage-full"
    assert scene.look().sentence == f"{OLD} was full: its disk is made 25 GiB large"
    assert scene.look().sentence == f"{OLD} is storage-full, and its disk is being made larger"
    assert scene.until_done().facts["retired"] == WHERE
    assert names(scene.rds) == ["ModifyDBInstance", *TAKEN]
    assert (scene.ledger.shape(OLD) or {})["AllocatedStorage"] == 20, "as the template gave it"


def test_one_that_is_full_again_is_left_to_a_person(scene: Scene) -> None:
    scene.rds.instances[OLD]["DBInstanceStatus"] = "storage-full"
    scene.look()
    scene.rds.tick()
    scene.rds.tick()
    scene.rds.instances[OLD]["DBInstanceStatus"] = "storage-full"
    with pytest.raises(DatabaseNotKept, match=f"{OLD} is full again at 25 GiB, after it was made larger"):
        scene.look()


def test_a_disk_that_rds_will_not_make_larger_just_now_is_asked_for_again(scene: Scene) -> None:
    scene.rds.instances[OLD]["DBInstanceStatus"] = "storage-full"
    scene.rds.refusals["ModifyDBInstance"] = error("InvalidDBInstanceState", "being optimized", "ModifyDBInstance")
    assert scene.look().sentence == "RDS will not just now: being optimized"
    scene.rds.refusals.clear()
    assert scene.until_done().facts["retired"] == WHERE


@pytest.mark.parametrize("status", sorted(BROKEN))
def test_a_broken_one_is_left_to_a_person_who_is_told_what_to_do(scene: Scene, status: str) -> None:
    scene.rds.instances[OLD]["DBInstanceStatus"] = status
    with pytest.raises(DatabaseNotKept, match=f"{OLD} is {status}: RDS neither snapshots nor renames it. There is no"):
        scene.look()
    assert scene.rds.calls == []
    # Restored to its latest time by that person, and the broken one deleted.
    scene.rds.add(
        DBInstanceIdentifier=KEPT, DbiResourceId="db-RESTORED", Endpoint={"Address": WHERE["host"], "Port": 5432}
    )
    del scene.rds.instances[OLD]
    assert scene.until_done().facts["retired"] == WHERE | {"snapshot": None}


def test_of_a_broken_one_with_a_snapshot_it_is_said_that_it_is_kept(scene: Scene) -> None:
    scene.look()
    scene.rds.tick()
    scene.rds.instances[OLD]["DBInstanceStatus"] = "failed"
    with pytest.raises(DatabaseNotKept, match=f"Its snapshot {KEPT} is kept"):
        scene.look()
    del scene.rds.instances[OLD]
    assert scene.until_done().facts["retired"] == WHERE, "from its snapshot"


def test_one_that_breaks_after_the_rename_is_restored_once_a_person_has_put_it_aside(scene: Scene) -> None:
    scene.until_done()
    scene.rds.instances[KEPT]["DBInstanceStatus"] = "incompatible-network"
    with pytest.raises(DatabaseNotKept, match=f"{KEPT} is incompatible-network, and cannot be read"):
        scene.look()
    del scene.rds.instances[KEPT]
    scene.clock.advance(RENAMING_SECONDS)
    assert scene.until_done().facts["retired"] == WHERE
    assert names(scene.rds)[-1] == "RestoreDBInstanceFromDBSnapshot"


def test_one_that_is_gone_without_a_trace_is_passed_over(scene: Scene) -> None:
    scene.rds.instances.clear()
    done = scene.look()
    assert (done.status, done.facts["retired"]) == ("DONE", None)
    assert done.facts["why"] == f"{OLD} is gone, and there is no snapshot {KEPT}: nothing can be kept"


def test_of_one_that_is_gone_its_snapshot_is_restored_in_its_old_place(scene: Scene) -> None:
    scene.look()
    scene.rds.tick()
    scene.rds.instances.clear()
    assert scene.look().sentence == f"{OLD} is gone: {KEPT} is being restored from its snapshot"
    assert scene.until_done().facts["retired"] == WHERE
    (given,) = scene.rds.made("RestoreDBInstanceFromDBSnapshot")
    assert (given["DBSubnetGroupName"], given["VpcSecurityGroupIds"], given["MultiAZ"]) == (
        "shop-subnets",
        ["sg-1"],
        False,
    )


def test_a_snapshot_whose_instance_nobody_has_seen_is_left_to_a_person(scene: Scene) -> None:
    scene.rds._snapshot(KEPT, scene.rds.instances[OLD])
    scene.rds.tick()
    scene.rds.instances.clear()
    with pytest.raises(DatabaseNotKept, match="what it was like is not known: restore the snapshot"):
        scene.look()


def test_while_rds_knows_neither_name_nothing_is_restored(scene: Scene) -> None:
    scene.look()
    scene.rds.tick()
    scene.look()
    renaming = scene.rds.instances.pop(OLD)
    assert scene.look().sentence == f"RDS knows neither {OLD} nor {KEPT}: it is being renamed"
    scene.rds.instances[OLD] = renaming
    assert scene.until_done().facts["retired"] == WHERE
    assert names(scene.rds) == TAKEN


def test_one_that_is_the_active_ones_replica_already_is_left_alone(scene: Scene) -> None:
    scene.rds.add(ReadReplicaSourceDBInstanceIdentifier=ACTIVE_ARN)
    done = scene.look()
    assert (done.status, done.facts["retired"]) == ("DONE", None)
    assert done.facts["why"] == f"{OLD} is {ACTIVE}'s replica, and nothing was retired before"
    assert (scene.rds.calls, scene.ledger.shape(OLD)) == ([], None)


def test_behind_its_successor_the_retired_one_is_still_found(scene: Scene) -> None:
    scene.until_done()
    scene.rds.add(ReadReplicaSourceDBInstanceIdentifier=ACTIVE_ARN)
    assert scene.look().facts["retired"] == WHERE
    del scene.rds.instances[KEPT]
    done = scene.look()
    assert (done.facts["retired"], done.facts["why"]) == (None, f"{OLD} is {ACTIVE}'s replica, and {KEPT} is gone")


def test_somebody_elses_replica_is_refused(scene: Scene) -> None:
    scene.rds.add(ReadReplicaSourceDBInstanceIdentifier=ACTIVE_ARN.replace(ACTIVE, "another"))
    with pytest.raises(NotAReplicaOfThePeer, match=f"not from {ACTIVE} in {HERE}: give it another name"):
        scene.look()


def test_two_that_may_both_be_the_old_one_are_left_to_a_person(scene: Scene) -> None:
    scene.rds.add(DBInstanceIdentifier=KEPT, DbiResourceId="db-ANOTHER")
    with pytest.raises(DatabaseNotKept, match=f"there are both {OLD}, which is no replica, and {KEPT}"):
        scene.look()


def test_one_that_gets_its_name_while_both_are_asked_for_is_not_taken_for_two(scene: Scene) -> None:
    scene.look()
    scene.rds.tick()
    scene.look()
    while scene.rds.instances[OLD]["DBInstanceStatus"] != "renaming":
        scene.rds.tick()
    asked = scene.rds.describe_db_instances

    def rename_after(**given: Any) -> dict[str, Any]:
        answer = asked(**given)
        if OLD in scene.rds.instances:
            scene.rds.tick()
        return answer

    scene.rds.describe_db_instances = rename_after  # type: ignore[method-assign]
    assert scene.look().sentence == f"{OLD} has just been renamed to {KEPT}"
    assert scene.until_done().facts["retired"] == WHERE


def test_a_snapshot_that_is_there_is_used_if_it_is_of_this_instance(scene: Scene) -> None:
    scene.rds._snapshot(KEPT, scene.rds.instances[OLD])
    scene.rds.tick()
    assert scene.until_done().facts["retired"] == WHERE
    assert names(scene.rds) == ["ModifyDBInstance"]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"DbiResourceId": "db-ANOTHER", "Status": "available"}, f"is of another instance than {OLD}"),
        ({"DbiResourceId": None, "DBInstanceIdentifier": "x", "Status": "available"}, "is of another instance"),
        ({"Status": "failed"}, f"the snapshot {KEPT} is failed: delete it, and start again"),
    ],
)
def test_a_snapshot_that_is_of_no_use_is_left_to_a_person(scene: Scene, told: dict[str, Any], said: str) -> None:
    scene.rds._snapshot(KEPT, scene.rds.instances[OLD])
    scene.rds.snapshots[KEPT].update(told)
    with pytest.raises(DatabaseNotKept, match=said):
        scene.look()
    assert scene.rds.calls == []


def test_without_room_for_a_snapshot_a_person_is_told(scene: Scene) -> None:
    scene.rds.refusals["CreateDBSnapshot"] = error("SnapshotQuotaExceeded", "100 of 100", "CreateDBSnapshot")
    with pytest.raises(DatabaseNotKept, match=r"100 of 100 \(SnapshotQuotaExceeded\)\. Raise the quota"):
        scene.look()


def test_a_stopped_one_is_fenced_at_the_database_as_soon_as_it_answers(scene: Scene) -> None:
    scene.rds.instances[OLD]["DBInstanceStatus"] = "stopped"
    scene.look()
    assert scene.ears.asked == [], "no server runs"
    assert scene.rds.instances[OLD]["DBInstanceStatus"] == "starting"
    scene.look()
    assert scene.ears.asked == [{"check": "stop"}], "whatever RDS calls it by then"
    scene.rds.tick()
    assert scene.until_done().facts["writes_stopped"] is True


def test_writes_of_which_it_is_not_confirmed_that_they_are_stopped_hold_nothing_up(scene: Scene) -> None:
    scene.ears.stopped = False
    said = "that its writes are stopped is not confirmed (sessions that may write and have not ended: 1)"
    begun = scene.look()
    assert (begun.facts["writes_stopped"], begun.sentence.endswith(f"; {said}")) == (False, True)
    done = scene.until_done()
    assert (done.facts["retired"], done.facts["writes_stopped"]) == (WHERE, False)
    assert done.sentence.endswith(f"; {said}")
    # A run that comes after asks it itself, at its new place.
    scene.take_over("failback-2")
    later = scene.look()
    assert (later.facts["writes_stopped"], later.sentence.endswith("; its writes have not been stopped")) == (
        False,
        True,
    )
    assert scene.ears.asked[-1] == {"check": "state", "endpoint": {"host": WHERE["host"], "port": 5432}}


def test_writes_that_were_stopped_later_than_first_asked_are_said_to_be(scene: Scene) -> None:
    scene.ears.reached = False
    scene.look()
    scene.ears.reached = True
    assert scene.until_done().facts["writes_stopped"] is True


def test_the_active_ones_replica_is_not_stopped(scene: Scene) -> None:
    scene.until_done()
    scene.rds.add(ReadReplicaSourceDBInstanceIdentifier=ACTIVE_ARN)
    scene.ears.asked.clear()
    scene.look()
    assert {"check": "stop"} not in scene.ears.asked


def test_a_database_that_dbcheck_cannot_reach_is_kept_all_the_same(scene: Scene) -> None:
    scene.ears.reached = False
    done = scene.until_done()
    assert done.facts["writes_stopped"] is False
    assert "that its writes are stopped is not confirmed (unreachable: timed out)" in done.sentence
    assert (done.facts["retired"], done.facts["slots_dropped"]) == (WHERE, None)
    assert "its replication slots could not be looked at" in done.sentence


def test_slots_that_could_not_be_dropped_before_are_dropped_under_the_new_name(scene: Scene) -> None:
    scene.look()
    scene.rds.tick()
    scene.ears.reached = False
    scene.look()
    scene.ears.reached = True
    done = scene.until_done()
    assert done.facts["slots_dropped"] == ["rds_dr"]
    assert scene.ears.asked[-1] == {"check": "drop_slots", "endpoint": {"host": WHERE["host"], "port": 5432}}


def test_the_shape_from_before_hardening_stays_and_one_of_a_predecessor_does_not(scene: Scene) -> None:
    scene.ledger.make_home(scene.run, HERE)
    before = shape_of(scene.rds.instances[OLD]) | {"MultiAZ": False, "BackupRetentionPeriod": 7}
    scene.ledger.keep_shape(OLD, before, scene.clock())
    scene.look()
    assert scene.ledger.shape(OLD) == before
    scene.rds.instances[OLD]["DbiResourceId"] = "db-LATER"
    scene.rds.snapshots.clear()
    scene.rds.tick()
    scene.look()
    assert (scene.ledger.shape(OLD) or {})["MultiAZ"] is True


def test_what_was_made_home_by_staying_is_kept_as_it_is_now(scene: Scene) -> None:
    now = shape_of(scene.rds.instances[OLD])
    scene.ledger.keep_shape(OLD, now | {"MultiAZ": False, "BackupRetentionPeriod": 7}, scene.clock())
    scene.until_done()
    assert scene.ledger.shape(OLD) == now


def test_an_unreachable_rds_is_asked_again(scene: Scene) -> None:
    scene.rds.reached = False
    assert scene.look().sentence == "RDS of this Region does not answer (EndpointConnectionError): it is asked again"
    scene.rds.reached = True
    assert scene.until_done().facts["retired"] == WHERE


def test_an_active_database_is_never_touched(scene: Scene) -> None:
    scene.ledger.activate(scene.run, HOME)
    with pytest.raises(AlreadyActive):
        scene.look()
    assert scene.rds.calls == []


def test_a_run_that_lost_its_lock_changes_nothing(scene: Scene) -> None:
    take_lock(scene.ledger, "failback-2", scene.clock())
    with pytest.raises(RunSuperseded):
        scene.look()
    assert scene.rds.calls == []


@pytest.fixture
def raised(scene: Scene) -> Callable[[str], None]:
    def raise_(code: str) -> None:
        scene.rds.refusals["CreateDBSnapshot"] = error(code, "no", "CreateDBSnapshot")
        scene.look()

    return raise_


def test_a_refusal_that_nobody_foresaw_is_raised(raised: Callable[[str], None]) -> None:
    with pytest.raises(Exception, match="AccessDenied"):
        raised("AccessDenied")
