"""The replica is built like the one before it, through every death and however long it takes, and is seen to follow."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from relight.errors import AlreadyActive, EngineNotSupported, NotAReplicaOfThePeer, ReplicaNotBuilt, RunSuperseded
from relight.ledger import Ledger
from relight.run import Run
from relight.settings import ReprotectSettings
from relight.shape import lacking, shape_of
from relight.step import Outcome
from relight.steps.harden import served
from relight.steps.promote import CALL_AGAIN_SECONDS
from relight.steps.reprotect import LITTLE_SECONDS, Reprotect
from relight.steps.retire import BROKEN

from tests.unit.conftest import Clients
from tests.unit.instances import (
    ACTIVE,
    ACTIVE_ARN,
    AS_THE_TEMPLATE_HAS_IT,
    OLD,
    Died,
    DyingTable,
    Ears,
    Instances,
    Strikes,
)
from tests.unit.rds import error
from tests.unit.standby import HERE, HOME, TABLE, Clock, claims, take_lock

SETTINGS = ReprotectSettings(
    aws_region=HOME,
    home_region=HOME,
    peer_region=HERE,
    ledger_table=TABLE,
    peer_connect_seconds=2.0,
    peer_read_seconds=5.0,
    replica_id=OLD,
    peer_database_id=ACTIVE,
    dbcheck_function="relight-shop-dbcheck",
    look_again_seconds=60.0,
    subnet_group=None,
    parameter_group=None,
    security_group_ids=None,
    data_key_arn=None,
)
SHAPE = shape_of(AS_THE_TEMPLATE_HAS_IT)
MADE = ["CreateDBInstanceReadReplica", "ModifyDBInstance", "RebootDBInstance"]
GIVEN = "DBParameterGroupName, PreferredBackupWindow, PreferredMaintenanceWindow"


@dataclass
class Scene:
    """The old database is retired: its name is free, and what it was like is kept."""

    rds: Instances
    peer: Instances
    ears: Ears
    ledger: Ledger
    clock: Clock
    run: Run
    settings: ReprotectSettings = SETTINGS

    def look(self) -> Outcome:
        rds: Any = self.rds
        peer: Any = self.peer
        ears: Any = self.ears
        return Reprotect(self.settings, self.ledger, rds, peer, ears, self.clock).ensure(self.run)

    def until_done(self, laps: int = 15) -> Outcome:
        """Look, let RDS go on, look again: what the last look said."""
        for _ in range(laps):
            outcome = self.look()
            if outcome.status == "DONE":
                return outcome
            assert outcome.look_again_seconds == 60
            self.rds.tick()
            self.clock.advance(60)
        raise AssertionError(f"it is not done: {outcome.sentence}")

    def until(self, operation: str) -> None:
        """Up to where RDS has taken that."""
        for _ in range(15):
            if operation in self.names:
                return
            self.look()
            if operation not in self.names:
                self.rds.tick()
                self.clock.advance(60)
        raise AssertionError(f"{operation} was not asked for: {self.names}")

    @property
    def replica(self) -> dict[str, Any]:
        return self.rds.instances[OLD]

    @property
    def names(self) -> list[str]:
        """The operations that RDS has taken."""
        return [operation for operation, _ in self.rds.calls]


@pytest.fixture
def scene(peer_ledger: Ledger, clients: Clients, clock: Clock) -> Scene:
    peer_ledger.mirror(claims(7, HERE), 0)
    model = clients("rds", HOME).meta.service_model
    peer = Instances(model, clock, HERE)
    peer.add(DBInstanceIdentifier=ACTIVE, DBInstanceArn=ACTIVE_ARN, DbiResourceId="db-DR", AllocatedStorage=30)
    peer_ledger.keep_shape(OLD, SHAPE, clock())
    run = take_lock(peer_ledger, "failback-1", clock())
    return Scene(Instances(model, clock), peer, Ears(clock), peer_ledger, clock, run)


def test_it_is_made_like_the_one_before_it_and_done_when_it_follows(scene: Scene) -> None:
    called = scene.clock()
    assert scene.look().sentence == f"{OLD} is being built"
    (given,) = scene.rds.made("CreateDBInstanceReadReplica")
    assert (given["SourceDBInstanceIdentifier"], given["SourceRegion"], given["MultiAZ"]) == (ACTIVE_ARN, HERE, True)
    scene.clock.advance(600)
    said = scene.look()
    assert said.sentence == (f"{OLD} is creating: 10 min so far, about 40 min more (30 GiB, assumed at 1 GiB a minute)")
    assert said.facts == {"called_at": called, "gib": 30, "percent": None, "lag_seconds": None}
    scene.rds.tick()
    assert scene.look().sentence == f"{OLD} is built, and is given {GIVEN}"
    scene.replica["DBInstanceStatus"] = "modifying"
    assert "is modifying" in scene.look().sentence
    scene.rds.tick()
    assert scene.look().sentence == f"{OLD} is rebooted, so that its parameter group counts"
    assert "is rebooting" in scene.look().sentence
    scene.rds.tick()
    done = scene.look()
    assert (done.status, done.sentence) == ("DONE", f"{OLD} follows {ACTIVE}, 0 s behind")
    assert done.facts == {"called_at": called, "gib": 30, "percent": None, "lag_seconds": 0.4, "unlike": []}
    assert lacking(SHAPE, shape_of(scene.replica)) == {}
    assert scene.names == MADE
    assert "BackupRetentionPeriod" not in given, "they come with the promotion"
    assert scene.replica["DBParameterGroups"] == AS_THE_TEMPLATE_HAS_IT["DBParameterGroups"], "in force"
    assert scene.rds.made("RebootDBInstance") == [{"DBInstanceIdentifier": OLD}], "a failover would not apply it"
    assert (scene.ledger.shape(OLD), scene.ledger.shape(served(OLD))) == (None, SHAPE)
    assert scene.look().status == "DONE"
    assert scene.names == MADE


DEATHS = [(when, n) for when in ("before", "after") for n in range(1, 13)]


@pytest.mark.parametrize(("when", "n"), DEATHS)
def test_whoever_comes_after_a_death_brings_it_to_the_same_end(scene: Scene, when: str, n: int) -> None:
    strikes = Strikes(**{when: n})
    table = scene.ledger.dynamodb
    scene.ledger = replace(scene.ledger, dynamodb=DyingTable(table, strikes))  # type: ignore[arg-type]
    scene.rds.strikes = strikes
    try:
        scene.until_done()
    except Died:
        scene.ledger = replace(scene.ledger, dynamodb=table)
        scene.rds.strikes = Strikes()
        scene.run = take_lock(scene.ledger, "failback-2", scene.clock())
    assert scene.until_done().facts["unlike"] == []
    assert scene.rds.made("CreateDBInstanceReadReplica") == scene.rds.made("CreateDBInstanceReadReplica")[:1]
    assert lacking(SHAPE, shape_of(scene.replica)) == {}
    assert (scene.ledger.shape(OLD), scene.ledger.shape(served(OLD))) == (None, SHAPE)


def test_the_deaths_above_reach_the_last_write(scene: Scene) -> None:
    strikes = Strikes()
    scene.ledger = replace(scene.ledger, dynamodb=DyingTable(scene.ledger.dynamodb, strikes))  # type: ignore[arg-type]
    scene.rds.strikes = strikes
    scene.until_done()
    assert strikes.count == max(n for _, n in DEATHS)


def test_a_creation_whose_answer_is_lost_is_not_called_for_again(scene: Scene) -> None:
    scene.rds.refusals["CreateDBInstanceReadReplica"] = ReadTimeoutError(endpoint_url="https://rds")
    assert scene.look().sentence == f"RDS has not said whether it builds {OLD} (ReadTimeoutError): to be seen"
    scene.rds.refusals.clear()
    scene.until_done()
    assert scene.names == MADE


def test_a_build_of_six_hours_is_told_from_look_to_look_and_survives_a_new_run(scene: Scene) -> None:
    scene.look()
    began = scene.clock()
    for _ in range(360):
        scene.clock.advance(60)
        assert scene.look().status == "WAIT"
    assert "6 h so far, longer than 30 GiB were assumed to take" in scene.look().sentence
    scene.run = take_lock(scene.ledger, "failback-2", scene.clock())
    assert scene.look().facts["called_at"] == began, "as RDS tells when it was created"
    assert scene.until_done().facts["called_at"] == began
    assert scene.names == MADE


def test_how_far_the_snapshot_of_its_source_is_is_told(scene: Scene) -> None:
    scene.look()
    scene.peer.snapshots["rds:shop-dr-2026"] = {
        "DBSnapshotIdentifier": "rds:shop-dr-2026",
        "DBInstanceIdentifier": ACTIVE,
        "SnapshotType": "automated",
        "SnapshotCreateTime": datetime.fromtimestamp(scene.clock() + 30, UTC),
        "Status": "creating",
        "PercentProgress": 40,
    }
    scene.clock.advance(60)
    said = scene.look()
    assert said.sentence.endswith("; the snapshot of its source is 40 % done")
    assert said.facts["percent"] == 40
    scene.peer.reached = False
    assert scene.look().facts["percent"] is None


def test_of_one_that_nobody_has_seen_its_source_and_the_settings_tell(scene: Scene) -> None:
    scene.ledger.forget_shape(OLD)
    with pytest.raises(ReplicaNotBuilt, match=f"nobody has seen what {OLD} was like, and no subnet group"):
        scene.look()
    scene.settings = replace(SETTINGS, subnet_group="here", security_group_ids=("sg-9",), data_key_arn="arn:key/9")
    scene.look()
    (given,) = scene.rds.made("CreateDBInstanceReadReplica")
    assert (given["DBSubnetGroupName"], given["VpcSecurityGroupIds"], given["KmsKeyId"]) == (
        "here",
        ["sg-9"],
        "arn:key/9",
    )
    assert (given["DBInstanceClass"], given["DeletionProtection"]) == ("db.t4g.small", True)
    assert scene.until_done().facts["unlike"] == []


def test_one_that_a_person_has_deleted_is_made_like_the_last_one_that_served(scene: Scene) -> None:
    scene.until_done()
    scene.rds.instances.clear()
    scene.until_done()
    first, second = scene.rds.made("CreateDBInstanceReadReplica")
    assert first == second


def test_without_a_key_of_this_region_a_person_is_told(scene: Scene) -> None:
    scene.ledger.forget_shape(OLD)
    scene.ledger.keep_shape(OLD, {key: value for key, value in SHAPE.items() if key != "KmsKeyId"}, scene.clock())
    with pytest.raises(ReplicaNotBuilt, match=f"{ACTIVE} is encrypted, and no key of {HOME} is known"):
        scene.look()
    assert scene.rds.calls == []


@pytest.mark.parametrize(
    ("told", "raised", "said"),
    [
        ({"BackupRetentionPeriod": 0}, ReplicaNotBuilt, "has no automated backups"),
        ({"ReadReplicaSourceDBInstanceIdentifier": "x"}, ReplicaNotBuilt, "is a replica itself"),
        ({"Engine": "mysql"}, EngineNotSupported, "is of the engine mysql"),
    ],
)
def test_a_source_that_nothing_can_follow_is_refused(
    scene: Scene, told: dict[str, Any], raised: type[Exception], said: str
) -> None:
    scene.peer.instances[ACTIVE].update(told)
    with pytest.raises(raised, match=said):
        scene.look()
    assert scene.rds.calls == []


def test_a_source_that_is_gone_is_refused(scene: Scene) -> None:
    scene.peer.instances.clear()
    with pytest.raises(ReplicaNotBuilt, match=f"no database instance is called {ACTIVE} in {HERE}"):
        scene.look()


@pytest.mark.parametrize("which", ["rds", "peer"])
def test_an_rds_that_does_not_answer_is_asked_again(scene: Scene, which: str) -> None:
    getattr(scene, which).reached = False
    assert "does not answer (EndpointConnectionError): it is asked again" in scene.look().sentence
    getattr(scene, which).reached = True
    scene.until_done()


@pytest.mark.parametrize("code", ["InvalidDBInstanceState", "InsufficientDBInstanceCapacity", "Throttling"])
def test_what_rds_refuses_just_now_is_asked_for_again(scene: Scene, code: str) -> None:
    scene.rds.refusals["CreateDBInstanceReadReplica"] = error(code, "not now", "CreateDBInstanceReadReplica")
    assert scene.look().sentence == f"RDS will not build {OLD} just now: not now"
    scene.rds.refusals.clear()
    scene.clock.advance(3600)
    called = scene.clock()
    assert scene.until_done().facts["called_at"] == called


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "InstanceQuotaExceeded",
            "raise this Region's quota of instances: the retired one counts, too, and start again",
        ),
        ("KMSKeyNotAccessibleFault", "let RDS of this Region use the key"),
        ("InvalidParameterCombination", "put right what it names"),
        ("AccessDenied", "put right what it names"),
    ],
)
def test_what_rds_refuses_for_good_is_said_with_what_to_do(scene: Scene, code: str, said: str) -> None:
    scene.rds.refusals["CreateDBInstanceReadReplica"] = error(code, "never", "CreateDBInstanceReadReplica")
    with pytest.raises(ReplicaNotBuilt, match=f"RDS refuses to build {OLD}: never .*; {said}"):
        scene.look()


def test_an_error_of_rds_itself_is_raised(scene: Scene) -> None:
    scene.rds.refusals["CreateDBInstanceReadReplica"] = error(
        "InternalFailure", "oh", "CreateDBInstanceReadReplica", 500
    )
    with pytest.raises(Exception, match="InternalFailure"):
        scene.look()


@pytest.mark.parametrize("status", sorted(BROKEN))
def test_one_that_rds_has_given_up_is_said_to_be_so_and_nothing_is_deleted(scene: Scene, status: str) -> None:
    scene.look()
    scene.replica["DBInstanceStatus"] = status
    with pytest.raises(ReplicaNotBuilt, match=f"{OLD} is {status}, and comes no further. Relight deletes nothing"):
        scene.look()
    assert scene.names == MADE[:1]


@pytest.mark.parametrize("status", ["error", "terminated"])
def test_a_replication_that_has_ended_is_said_to_be_so(scene: Scene, status: str) -> None:
    scene.look()
    scene.rds.tick()
    scene.replica["StatusInfos"] = [
        {"StatusType": "read replication", "Normal": False, "Status": status, "Message": "the slot is gone"}
    ]
    with pytest.raises(ReplicaNotBuilt, match=f"the replication of {OLD} is {status}: the slot is gone"):
        scene.look()


def test_the_name_must_be_free_or_the_active_ones_replicas(scene: Scene) -> None:
    scene.rds.add()
    with pytest.raises(NotAReplicaOfThePeer, match=f"{OLD} is no replica: nothing can be built under its name"):
        scene.look()
    scene.rds.add(ReadReplicaSourceDBInstanceIdentifier="arn:aws:rds:us-east-1:1:db:x")
    with pytest.raises(NotAReplicaOfThePeer, match="replicates from arn:aws:rds:us-east-1:1:db:x"):
        scene.look()
    assert scene.rds.calls == []


def built(scene: Scene) -> None:
    """Up to where it has all that it is to have."""
    for _ in range(4):
        scene.look()
        scene.rds.tick()


@pytest.mark.parametrize(
    ("ears", "said"),
    [
        ({"reached": False}, "could not be asked whether it follows"),
        ({"receiver": "starting"}, "does not stream yet"),
        ({"receiver": None}, "does not stream yet"),
        ({"behind": LITTLE_SECONDS + 30}, "streams, and is 2 min behind"),
    ],
)
def test_available_is_not_following(scene: Scene, ears: dict[str, Any], said: str) -> None:
    built(scene)
    before = vars(scene.ears).copy()
    for name, value in ears.items():
        setattr(scene.ears, name, value)
    assert said in scene.look().sentence
    for name in ears:
        setattr(scene.ears, name, before[name])
    assert scene.look().status == "DONE"


def test_what_rds_will_not_give_it_is_named_and_holds_nothing_up(scene: Scene) -> None:
    scene.rds.refusals["ModifyDBInstance"] = error("InvalidParameterValue", "they overlap", "ModifyDBInstance")
    done = scene.until_done()
    assert done.facts["unlike"] == GIVEN.split(", ")
    assert f"unlike the one before it in {GIVEN}: they overlap" in done.sentence
    assert scene.look().facts == done.facts, "also to a run that did not hear it the first time"


def test_what_rds_will_not_give_it_just_now_is_asked_for_again(scene: Scene) -> None:
    scene.rds.refusals["ModifyDBInstance"] = error("InvalidDBInstanceState", "not now", "ModifyDBInstance")
    scene.look()
    scene.rds.tick()
    assert scene.look().sentence == f"RDS will not finish {OLD} just now: not now"
    scene.rds.refusals.clear()
    assert scene.until_done().facts["unlike"] == []


def test_a_refusal_that_is_no_answer_to_the_values_is_raised(scene: Scene) -> None:
    scene.rds.refusals["ModifyDBInstance"] = error("AccessDenied", "no", "ModifyDBInstance")
    scene.look()
    scene.rds.tick()
    with pytest.raises(Exception, match="AccessDenied"):
        scene.look()


def test_a_standby_that_is_on_its_way_is_waited_for(scene: Scene) -> None:
    scene.look()
    scene.rds.tick()
    scene.replica["MultiAZ"] = False
    scene.look()
    scene.clock.advance(3600)
    assert scene.look().sentence == f"{OLD} is being given MultiAZ"
    assert scene.until_done().facts["unlike"] == []
    assert scene.replica["MultiAZ"] is True


def test_what_a_person_changes_afterwards_is_not_changed_back(scene: Scene) -> None:
    scene.until_done()
    scene.replica["PreferredBackupWindow"] = "05:00-05:30"
    scene.run = take_lock(scene.ledger, "failback-2", scene.clock())
    assert scene.look().status == "DONE"
    assert scene.names == MADE


def rebooted(scene: Scene) -> None:
    """Up to where RDS has been asked to."""
    scene.until("RebootDBInstance")
    scene.rds.tick()


@pytest.mark.parametrize("status", ["error", "stopped"])
def test_a_replication_that_pauses_with_the_reboot_has_not_ended(scene: Scene, status: str) -> None:
    rebooted(scene)
    scene.ears.receiver = None
    scene.replica["StatusInfos"] = [{"StatusType": "read replication", "Normal": False, "Status": status}]
    assert scene.look().sentence == f"{OLD} is available, and does not stream yet"
    # To a run that comes after, too, as long as RDS says so.
    scene.replica["DBInstanceStatus"] = "rebooting"
    scene.run = take_lock(scene.ledger, "failback-2", scene.clock())
    assert "is rebooting" in scene.look().sentence
    scene.replica.update(DBInstanceStatus="available", StatusInfos=[])
    scene.ears.receiver = "streaming"
    assert scene.look().status == "DONE"


def test_one_that_does_not_come_back_from_its_reboot_is_said_to_be_so(scene: Scene) -> None:
    rebooted(scene)
    scene.ears.receiver = None
    scene.replica["StatusInfos"] = [{"StatusType": "read replication", "Normal": False, "Status": "error"}]
    scene.look()
    scene.clock.advance(CALL_AGAIN_SECONDS)
    with pytest.raises(ReplicaNotBuilt, match=f"the replication of {OLD} is error"):
        scene.look()


def test_a_reboot_that_rds_refuses_just_now_is_asked_for_again(scene: Scene) -> None:
    scene.rds.refusals["RebootDBInstance"] = error("InvalidDBInstanceState", "not now", "RebootDBInstance")
    scene.until("ModifyDBInstance")
    assert scene.look().sentence == f"the parameter group of {OLD} is applying"
    scene.rds.tick()
    assert scene.look().sentence == f"RDS will not reboot {OLD} just now: not now"
    scene.rds.refusals.clear()
    assert scene.until_done().facts["unlike"] == []
    assert scene.names == MADE


def test_a_reboot_whose_answer_is_lost_is_not_called_for_again(scene: Scene) -> None:
    scene.until("ModifyDBInstance")
    scene.rds.tick()
    scene.rds.refusals["RebootDBInstance"] = ReadTimeoutError(endpoint_url="https://rds")
    assert scene.look().sentence == f"RDS has not said whether it reboots {OLD} (ReadTimeoutError): to be seen"
    scene.rds.refusals.clear()
    assert scene.until_done().facts["unlike"] == []
    assert scene.names == MADE


def test_without_the_parameter_group_a_person_is_told_and_it_goes_on_from_there(scene: Scene) -> None:
    scene.rds.refusals["ModifyDBInstance"] = error("DBParameterGroupNotFound", "no such", "ModifyDBInstance")
    scene.look()
    scene.rds.tick()
    with pytest.raises(ReplicaNotBuilt, match=r"the parameter group shop-settings .*; bring the parameter group back"):
        scene.look()
    scene.rds.refusals.clear()
    scene.run = take_lock(scene.ledger, "failback-2", scene.clock())
    assert scene.until_done().facts["unlike"] == []
    assert scene.names == MADE


def test_a_group_that_could_not_be_applied_is_named(scene: Scene) -> None:
    rebooted(scene)
    scene.replica["DBParameterGroups"][0]["ParameterApplyStatus"] = "failed-to-apply"
    assert scene.until_done().facts["unlike"] == ["DBParameterGroupName"]


def test_what_a_person_has_changed_in_the_group_is_theirs_to_apply(scene: Scene) -> None:
    scene.until_done()
    scene.replica["DBParameterGroups"][0]["ParameterApplyStatus"] = "pending-reboot"
    assert scene.look().status == "DONE"
    assert scene.names == MADE


def test_enhanced_monitoring_is_named_with_what_a_person_has_to_do(scene: Scene) -> None:
    scene.ledger.forget_shape(OLD)
    watched = SHAPE | {"MonitoringInterval": 60, "MonitoringRoleArn": "arn:aws:iam::123456789012:role/watch"}
    scene.ledger.keep_shape(OLD, watched, scene.clock())
    done = scene.until_done()
    assert done.facts["unlike"] == ["MonitoringInterval"]
    assert "unlike the one before it in MonitoringInterval: Enhanced Monitoring every 60 s" in done.sentence
    assert "--monitoring-role-arn arn:aws:iam::123456789012:role/watch" in done.sentence
    (given,) = scene.rds.made("CreateDBInstanceReadReplica")
    assert not {"MonitoringInterval", "MonitoringRoleArn"} & given.keys()


def test_an_active_region_needs_no_replica(scene: Scene) -> None:
    scene.ledger.activate(scene.run, HOME)
    with pytest.raises(AlreadyActive):
        scene.look()
    assert scene.rds.calls == []


def test_a_run_that_lost_its_lock_changes_nothing(scene: Scene) -> None:
    take_lock(scene.ledger, "failback-2", scene.clock())
    with pytest.raises(RunSuperseded):
        scene.look()
    assert scene.rds.calls == []
