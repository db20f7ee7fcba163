"""The throwaway database: made from what there is, beside the standing replica, promoted and timed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from relight.drill import Kind
from relight.errors import BackupNotFound, InputInvalid, PeerUnreachable, RunSuperseded, ThrowawayNotBuilt
from relight.ledger import Ledger
from relight.run import Run
from relight.settings import DrillSettings
from relight.step import Outcome
from relight.steps.promote import CALL_AGAIN_SECONDS
from relight.steps.reprotect import LITTLE_SECONDS
from relight.steps.throwaway import Throwaway

from tests.unit.conftest import Clients
from tests.unit.instances import Died, DyingTable, Strikes
from tests.unit.practice import (
    KEY,
    PRIMARY,
    PRIMARY_ARN,
    SETTINGS,
    STANDBY,
    TAGGED,
    THROWAWAY,
    DrillRds,
    Listener,
)
from tests.unit.rds import error
from tests.unit.standby import HERE, HOME, Clock, take_lock

BACKUP = f"arn:aws:rds:{HERE}:123456789012:auto-backup:ab-1"
MADE_OF_IT = {"RestoreDBInstanceToPointInTime", "RestoreDBInstanceFromDBSnapshot", "CreateDBInstanceReadReplica"}


def day(number: int) -> datetime:
    return datetime(2026, 11, number, tzinfo=UTC)


@dataclass
class Scene:
    """A standby with its replica, and the primary with its database."""

    rds: DrillRds
    peer: DrillRds
    ears: Listener
    ledger: Ledger
    clock: Clock
    run: Run
    settings: DrillSettings = SETTINGS

    @property
    def step(self) -> Throwaway:
        rds: Any = self.rds
        peer: Any = self.peer
        ears: Any = self.ears
        return Throwaway(self.settings, self.ledger, rds, peer, ears, self.clock)

    def look(self, kind: Kind = Kind.RESTORE) -> Outcome:
        return self.step.ensure(self.run, kind)

    def until_done(self, kind: Kind = Kind.RESTORE) -> Outcome:
        for _ in range(10):
            outcome = self.look(kind)
            if outcome.status == "DONE":
                return outcome
            self.rds.tick()
            self.clock.advance(60)
        raise AssertionError(f"it is not done: {outcome.sentence}")

    def backup(self, **told: Any) -> None:
        """RDS keeps the primary's automated backups here."""
        self.rds.backups.append(
            {
                "DBInstanceAutomatedBackupsArn": BACKUP,
                "DBInstanceIdentifier": PRIMARY,
                "Region": HOME,
                "Status": "replicating",
                "AllocatedStorage": 25,
                "Encrypted": True,
                "RestoreWindow": {"LatestTime": day(20)},
            }
            | told
        )

    def replica(self) -> None:
        """A throwaway replica that follows."""
        self.ears.in_recovery = True
        self.until_done(Kind.PROMOTE)


@pytest.fixture
def scene(ledger: Ledger, clients: Clients, clock: Clock, run: Run) -> Scene:
    model = clients("rds", HERE).meta.service_model
    here, there = DrillRds(model, clock, HERE), DrillRds(model, clock, HOME)
    here.standby()
    there.primary()
    return Scene(here, there, Listener(clock), ledger, clock, run)


# Where the data come from.


def test_a_restore_takes_the_replicated_backup_first(scene: Scene) -> None:
    scene.backup()
    scene.rds.snapshot("kept-here", day(21))
    scene.until_done()
    (given,) = scene.rds.made("RestoreDBInstanceToPointInTime")
    assert (given["SourceDBInstanceAutomatedBackupsArn"], given["UseLatestRestorableTime"]) == (BACKUP, True)


@pytest.mark.parametrize(
    "told",
    [{"Region": HERE}, {"DBInstanceIdentifier": "another"}, {"Status": "retained"}, {"RestoreWindow": {}}],
    ids=lambda told: next(iter(told)),
)
def test_a_backup_of_something_else_or_without_a_time_is_none(scene: Scene, told: dict[str, Any]) -> None:
    scene.backup(**told)
    scene.rds.snapshot("kept-here", day(10))
    scene.until_done()
    (given,) = scene.rds.made("RestoreDBInstanceFromDBSnapshot")
    assert given["DBSnapshotIdentifier"] == "kept-here"


def test_then_the_newest_snapshot_here_that_is_the_applications_and_no_drills_and_no_retired_ones(scene: Scene) -> None:
    scene.rds.snapshot("older", day(10))
    scene.rds.snapshot("newer", day(11))
    scene.rds.snapshot("another-applications", day(12), TagList=[{"Key": "relight:application", "Value": "till"}])
    scene.rds.snapshot("nobodys", day(12), TagList=[])
    scene.rds.snapshot("shop-dr-retired-5", day(12))
    scene.rds.snapshot("shop-dr-drill-5", day(12))
    scene.rds.snapshot("of-a-drill", day(12), TagList=TAGGED)
    scene.rds.snapshot("not-yet", day(12), Status="creating")
    scene.rds.snapshot("copied-late", day(12), OriginalSnapshotCreateTime=day(1))
    done = scene.until_done()
    assert done.facts["source"]["name"] == "newer"
    assert scene.peer.calls == []


def test_else_the_primarys_newest_is_copied_here_first(scene: Scene) -> None:
    scene.peer.snapshot("rds:shop-primary-2026-11-20", day(20))
    scene.peer.snapshot("by-hand", day(19), TagList=[])
    assert scene.look().status == "WAIT"
    said = scene.look().sentence
    assert f"the snapshot {THROWAWAY} is being copied" in said
    assert "20 % done" in said
    scene.until_done()
    (copied,) = scene.rds.made("CopyDBSnapshot")
    source = f"arn:aws:rds:{HOME}:123456789012:snapshot:rds:shop-primary-2026-11-20"
    assert copied == {
        "SourceDBSnapshotIdentifier": source,
        "TargetDBSnapshotIdentifier": THROWAWAY,
        "SourceRegion": HOME,
        "KmsKeyId": KEY,
        "CopyTags": False,
        "Tags": TAGGED,
    }
    (given,) = scene.rds.made("RestoreDBInstanceFromDBSnapshot")
    assert given["DBSnapshotIdentifier"] == THROWAWAY


def test_without_any_backup_there_is_nothing_to_restore(scene: Scene) -> None:
    with pytest.raises(BackupNotFound, match=f"nothing that {THROWAWAY} could be made from"):
        scene.look()


def test_the_other_region_is_missed_only_where_it_is_needed(scene: Scene) -> None:
    scene.peer.reached = False
    with pytest.raises(PeerUnreachable, match=f"RDS of {HOME} does not answer"):
        scene.look()
    scene.backup()
    assert scene.until_done().facts["source"]["origin"] == "replicated-backup"


# How it is made.


@pytest.mark.parametrize("origin", ["backup", "snapshot", "replica"])
def test_it_is_like_the_standing_replica_but_alone_unprotected_and_apart(scene: Scene, origin: str) -> None:
    kind = Kind.PROMOTE if origin == "replica" else Kind.RESTORE
    if origin == "backup":
        scene.backup()
    scene.rds.snapshot("kept-here", day(10))
    scene.ears.in_recovery = kind is Kind.PROMOTE
    scene.until_done(kind)
    ((operation, given),) = scene.rds.calls
    assert operation in MADE_OF_IT
    assert given["DBInstanceClass"] == "db.t4g.small"
    assert (given["MultiAZ"], given["DeletionProtection"], given["PubliclyAccessible"]) == (False, False, False)
    assert (given["DBSubnetGroupName"], given["VpcSecurityGroupIds"]) == ("shop-drill", ["sg-drill-database"])
    assert (given["EnableIAMDatabaseAuthentication"], given["Tags"]) == (True, TAGGED)
    if kind is Kind.RESTORE:
        assert (given["BackupRetentionPeriod"], given["DBParameterGroupName"]) == (0, "shop-settings")
    else:
        assert (given["SourceDBInstanceIdentifier"], given["KmsKeyId"]) == (PRIMARY_ARN, KEY)
        assert "DBParameterGroupName" not in given, "RDS takes none for a replica"


def test_where_no_network_is_given_it_lies_where_the_standing_replica_does(scene: Scene) -> None:
    scene.settings = replace(SETTINGS, subnet_group=None, database_security_group=None)
    scene.backup()
    scene.until_done()
    ((_, given),) = scene.rds.calls
    assert (given["DBSubnetGroupName"], given["VpcSecurityGroupIds"]) == ("shop-subnets", ["sg-1"])


def test_the_standing_replica_is_never_touched(scene: Scene) -> None:
    before = dict(scene.rds.instances[STANDBY])
    scene.replica()
    for _ in range(5):
        scene.ears.in_recovery = "ReadReplicaSourceDBInstanceIdentifier" in scene.rds.instances[THROWAWAY]
        scene.step.promote(scene.run)
        scene.rds.tick()
        scene.clock.advance(60)
    assert scene.rds.instances[STANDBY] == before
    assert all(STANDBY not in given.values() for _, given in scene.rds.calls)


def test_it_is_done_when_it_answers_and_says_where_it_is_and_how_long_it_took(scene: Scene) -> None:
    scene.backup()
    called = scene.clock()
    assert scene.look().sentence.startswith(f"{THROWAWAY} is being made from the replicated backup")
    scene.clock.advance(300)
    assert scene.look().sentence == (
        f"{THROWAWAY} is creating: 5 min so far, about 40 min more (25 GiB, assumed at 1 GiB a minute)"
    )
    scene.rds.tick()
    scene.ears.reached = False
    waits = scene.look()
    assert (waits.status, waits.look_again_seconds) == ("WAIT", 2)
    assert "does not answer: unreachable" in waits.sentence
    scene.ears.reached = True
    scene.clock.advance(300)
    done = scene.look()
    assert done.facts == {
        "instance": THROWAWAY,
        "host": f"{THROWAWAY}.abc.{HERE}.rds.amazonaws.com",
        "port": 5432,
        "source": {
            "origin": "replicated-backup",
            "name": BACKUP,
            "gib": 25,
            "at": day(20).timestamp(),
            "encrypted": True,
        },
        "seconds": 600.0,
        "called_at": called,
    }
    scene.clock.advance(900)
    assert scene.look().facts["seconds"] == 600.0, "a later look does not make it longer"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"receiver": None}, "does not stream yet"),
        ({"behind": LITTLE_SECONDS + 30}, "is 2 min behind"),
        ({"failure": "Sandbox.Timedout"}, "could not be asked: DatabaseCheckFailed"),
    ],
)
def test_a_replica_is_waited_for_until_it_follows(scene: Scene, said: dict[str, Any], why: str) -> None:
    scene.replica()
    for name, value in said.items():
        setattr(scene.ears, name, value)
    outcome = scene.look(Kind.PROMOTE)
    assert outcome.status == "WAIT"
    assert why in outcome.sentence


def test_a_restored_one_that_takes_no_writes_is_not_done(scene: Scene) -> None:
    scene.backup()
    scene.until_done()
    scene.ears.writable = False
    assert "takes no writes" in scene.look().sentence


# What stands in the way.


def acts(scene: Scene) -> list[Callable[[], Outcome]]:
    """All that may be asked of it."""
    return [scene.look, lambda: scene.step.promote(scene.run), lambda: scene.step.write(scene.run)]


def test_one_of_that_name_that_is_not_this_drills_is_left_alone(scene: Scene) -> None:
    scene.rds.add(DBInstanceIdentifier=THROWAWAY, TagList=[])
    for act in acts(scene):
        with pytest.raises(ThrowawayNotBuilt, match="not this drill's: it is left alone"):
            act()
    assert scene.rds.calls == []


def test_what_rds_will_not_do_just_now_is_asked_for_again(scene: Scene) -> None:
    scene.rds.refusals["CreateDBInstanceReadReplica"] = error("InvalidDBInstanceState", "it is backing-up", "Create")
    outcome = scene.look(Kind.PROMOTE)
    assert (outcome.status, outcome.sentence) == ("WAIT", "RDS will not just now: it is backing-up")
    scene.rds.refusals.clear()
    scene.replica()


def test_what_rds_refuses_for_good_ends_the_drill(scene: Scene) -> None:
    scene.backup()
    scene.rds.refusals["RestoreDBInstanceToPointInTime"] = error("KMSKeyNotAccessible", "no such key", "Restore")
    with pytest.raises(ThrowawayNotBuilt, match=r"no such key \(KMSKeyNotAccessible\); let RDS of this Region use"):
        scene.look()


def test_one_that_rds_has_given_up_ends_the_drill(scene: Scene) -> None:
    scene.backup()
    scene.until_done()
    scene.rds.instances[THROWAWAY]["DBInstanceStatus"] = "restore-error"
    for act in acts(scene)[:2]:
        with pytest.raises(ThrowawayNotBuilt, match="is restore-error, and comes no further"):
            act()


def test_rds_that_does_not_answer_is_asked_again(scene: Scene) -> None:
    scene.backup()
    scene.until_done()
    scene.rds.reached = False
    for act in acts(scene):
        assert "RDS of this Region does not answer" in act().sentence


def test_a_handler_that_comes_late_makes_nothing(scene: Scene) -> None:
    scene.backup()
    take_lock(scene.ledger, "failover-1", scene.clock())
    with pytest.raises(RunSuperseded):
        scene.look()
    assert scene.rds.calls == []


@pytest.mark.parametrize("kind", [Kind.PLAN, Kind.GAMEDAY])
def test_the_other_kinds_have_none(scene: Scene, kind: Kind) -> None:
    with pytest.raises(InputInvalid, match=f"the kind {kind} has no database"):
        scene.look(kind)


@pytest.mark.parametrize(("when", "n"), [(when, n) for when in ("before", "after") for n in range(1, 6)])
def test_whoever_comes_after_a_death_makes_no_second_one(scene: Scene, when: str, n: int) -> None:
    scene.peer.snapshot("by-hand", day(19))
    strikes = Strikes(**{when: n})
    table = scene.ledger.dynamodb
    scene.ledger = replace(scene.ledger, dynamodb=DyingTable(table, strikes))  # type: ignore[arg-type]
    scene.rds.strikes = strikes
    try:
        scene.until_done()
    except Died:
        scene.ledger = replace(scene.ledger, dynamodb=table)
        scene.rds.strikes = Strikes()
    scene.until_done()
    assert len(scene.rds.made("CopyDBSnapshot")) == 1
    assert len(scene.rds.made("RestoreDBInstanceFromDBSnapshot")) == 1


# Its promotion.


def promote_until_done(scene: Scene) -> Outcome:
    for _ in range(10):
        scene.ears.in_recovery = "ReadReplicaSourceDBInstanceIdentifier" in scene.rds.instances[THROWAWAY]
        outcome = scene.step.promote(scene.run)
        if outcome.status == "DONE":
            return outcome
        scene.rds.tick()
        scene.clock.advance(60)
    raise AssertionError(f"it is not done: {outcome.sentence}")


def test_it_is_promoted_as_a_failover_promotes_and_the_time_runs_to_the_first_write(scene: Scene) -> None:
    scene.replica()
    called = scene.clock()
    done = promote_until_done(scene)
    assert scene.rds.made("PromoteReadReplica") == [{"DBInstanceIdentifier": THROWAWAY, "BackupRetentionPeriod": 7}]
    assert scene.ears.asked[-1]["check"] == "write"
    assert done.facts == {"instance": THROWAWAY, "called_at": called, "promote_seconds": scene.clock() - called}
    scene.clock.advance(600)
    assert scene.step.promote(scene.run).facts == done.facts
    assert scene.look(Kind.PROMOTE).status == "DONE", "the step before says the same as before"


def test_no_replica_any_more_is_not_promoted_and_available_is_not_either(scene: Scene) -> None:
    scene.replica()
    scene.rds.instances[THROWAWAY]["DBInstanceStatus"] = "modifying"
    assert "is modifying: RDS promotes only what is available" in scene.step.promote(scene.run).sentence
    scene.rds.instances[THROWAWAY]["DBInstanceStatus"] = "available"
    scene.step.promote(scene.run)
    assert "has not begun it yet" in scene.step.promote(scene.run).sentence
    instance = scene.rds.instances[THROWAWAY]
    instance["DBInstanceStatus"] = "modifying"
    assert "is modifying: it is being promoted" in scene.step.promote(scene.run).sentence
    del instance["ReadReplicaSourceDBInstanceIdentifier"]
    assert "is no replica any more and is modifying" in scene.step.promote(scene.run).sentence
    instance["DBInstanceStatus"] = "backing-up"
    waits = scene.step.promote(scene.run)
    assert (waits.status, waits.look_again_seconds) == ("WAIT", 2)
    assert "is backing-up, and does not take writes" in waits.sentence
    scene.ears.in_recovery = False
    assert scene.step.promote(scene.run).status == "DONE"


def test_a_call_that_is_made_again_does_not_make_the_time_shorter(scene: Scene) -> None:
    scene.replica()
    called = scene.clock()
    scene.step.promote(scene.run)
    scene.rds.promoting.clear()
    scene.clock.advance(CALL_AGAIN_SECONDS)
    scene.step.promote(scene.run)
    assert len(scene.rds.made("PromoteReadReplica")) == 2
    assert promote_until_done(scene).facts["called_at"] == called


def test_a_call_whose_answer_is_lost_counts(scene: Scene) -> None:
    scene.replica()
    called = scene.clock()
    scene.rds.refusals["PromoteReadReplica"] = ReadTimeoutError(endpoint_url="https://rds")
    assert "RDS has not said whether it promotes" in scene.step.promote(scene.run).sentence
    scene.rds.refusals.clear()
    assert promote_until_done(scene).facts["called_at"] == called
    assert len(scene.rds.made("PromoteReadReplica")) == 1


def test_a_call_that_rds_refuses_outright_does_not(scene: Scene) -> None:
    scene.replica()
    scene.rds.refusals["PromoteReadReplica"] = error("InvalidDBInstanceState", "it is busy", "PromoteReadReplica")
    assert scene.step.promote(scene.run).sentence == f"RDS will not promote {THROWAWAY} just now: it is busy"
    scene.rds.refusals.clear()
    scene.clock.advance(120)
    called = scene.clock()
    assert promote_until_done(scene).facts["called_at"] == called


def test_only_a_replica_that_is_there_can_be_promoted(scene: Scene) -> None:
    with pytest.raises(ThrowawayNotBuilt, match=f"there is no {THROWAWAY}"):
        scene.step.promote(scene.run)
    scene.backup()
    scene.until_done()
    with pytest.raises(ThrowawayNotBuilt, match="nothing can be timed"):
        scene.step.promote(scene.run)


# A write at it, where there is no site.


def test_a_write_at_the_database_itself_proves_it_and_is_noted(scene: Scene) -> None:
    with pytest.raises(ThrowawayNotBuilt, match="that could take a write"):
        scene.step.write(scene.run)
    scene.backup()
    scene.until_done()
    scene.ears.writable = False
    assert "does not take writes" in scene.step.write(scene.run).sentence
    scene.ears.failure = "Sandbox.Timedout"
    assert "could not be asked to write" in scene.step.write(scene.run).sentence
    scene.ears.failure, scene.ears.writable = None, True
    assert scene.step.write(scene.run).status == "DONE"
    assert scene.ledger.timeline(scene.run.id)[0] == {"t6": scene.clock()}
