"""The promoted database is given what the primary's had: never less than it has, and done only when it is in force."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from relight.errors import ReplicaNotFound
from relight.ledger import DatabaseProperties, Ledger
from relight.settings import HardenSettings
from relight.shape import shape_of
from relight.step import Outcome
from relight.steps.harden import Harden, missing, served, wanted

from tests.unit.conftest import Clients
from tests.unit.instances import ACTIVE, AS_THE_TEMPLATE_HAS_IT, OLD, Instances
from tests.unit.rds import PEER, REPLICA, Rds, error, make_rds
from tests.unit.standby import HERE, HOME, Clock

SETTINGS = HardenSettings(
    aws_region=HERE,
    home_region=HOME,
    peer_region=HOME,
    ledger_table="relight-shop",
    replica_id=REPLICA,
    peer_database_id=PEER,
    backup_retention_days=7,
    look_again_seconds=30.0,
)
BACKUP = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
PROPERTIES = st.builds(DatabaseProperties, st.booleans(), st.integers(0, 35), st.booleans())


@given(now=PROPERTIES, primary=st.none() | PROPERTIES, days=st.integers(1, 35))
def test_nothing_is_ever_lowered_and_one_change_is_enough(
    now: DatabaseProperties, primary: DatabaseProperties | None, days: int
) -> None:
    then = wanted(now, primary, days)
    least = primary or DatabaseProperties(False, days, True)
    for had in (now, least):
        assert then.multi_az >= had.multi_az
        assert then.backup_retention_days >= had.backup_retention_days
        assert then.deletion_protection >= had.deletion_protection
    changes = missing(now, then)
    after = DatabaseProperties(
        changes.get("MultiAZ", now.multi_az),
        changes.get("BackupRetentionPeriod", now.backup_retention_days),
        changes.get("DeletionProtection", now.deletion_protection),
    )
    assert after == then
    assert missing(after, then) == {}


@pytest.fixture
def rds(clients: Clients) -> Rds:
    """A promoted instance, whose first backup exists."""
    made = make_rds(clients)
    made.end()
    made.more[REPLICA] = {
        "MultiAZ": False,
        "BackupRetentionPeriod": 7,
        "DeletionProtection": False,
        "LatestRestorableTime": BACKUP,
        "PendingModifiedValues": {},
    }
    return made


@pytest.fixture
def look(rds: Rds, ledger: Ledger) -> Callable[[], Outcome]:
    return Harden(SETTINGS, ledger, rds).ensure  # type: ignore[arg-type]


def primary_had(ledger: Ledger, clock: Clock, *, multi_az: bool, days: int, protected: bool) -> None:
    ledger.keep_database(PEER, DatabaseProperties(multi_az, days, protected), clock())


def changes(rds: Rds) -> list[dict[str, Any]]:
    """What was asked for, without what is always the same."""
    same = {"DBInstanceIdentifier": REPLICA, "ApplyImmediately": True}
    assert all(modification.items() >= same.items() for modification in rds.modifications)
    return [{key: value for key, value in each.items() if key not in same} for each in rds.modifications]


def test_it_gets_what_the_primary_had_and_is_done_when_that_is_in_force(
    look: Callable[[], Outcome], rds: Rds, ledger: Ledger, clock: Clock
) -> None:
    primary_had(ledger, clock, multi_az=True, days=14, protected=True)
    del rds.more[REPLICA]["LatestRestorableTime"]
    outcome = look()
    assert (outcome.status, outcome.look_again_seconds) == ("WAIT", 30)
    assert changes(rds) == [{"BackupRetentionPeriod": 14, "DeletionProtection": True}, {"MultiAZ": True}]
    for status in ("modifying", "backing-up"):
        rds.status[REPLICA] = status
        assert look().status == "WAIT"
    assert len(rds.modifications) == 2, "what is pending is not asked for again"
    rds.apply()
    outcome = look()
    assert outcome.sentence == f"{REPLICA}: its first backup does not exist yet"
    rds.more[REPLICA]["LatestRestorableTime"] = BACKUP
    outcome = look()
    assert (outcome.status, outcome.facts) == (
        "DONE",
        {
            "multi_az": True,
            "backup_retention_days": 14,
            "deletion_protection": True,
            "wanted": {"multi_az": True, "backup_retention_days": 14, "deletion_protection": True},
            "latest_restorable_time": "2026-11-23T05:00:00+00:00",
        },
    )
    said = f"{REPLICA} is protected against deletion and with a standby; 14 days of backups, the first is there"
    assert outcome.sentence == said
    assert look().status == "DONE"
    assert len(rds.modifications) == 2


def test_what_it_has_already_is_never_lowered(
    look: Callable[[], Outcome], rds: Rds, ledger: Ledger, clock: Clock
) -> None:
    primary_had(ledger, clock, multi_az=False, days=1, protected=False)
    rds.more[REPLICA] |= {"MultiAZ": True, "BackupRetentionPeriod": 35, "DeletionProtection": True}
    assert look().status == "DONE"
    assert rds.modifications == []


def test_of_a_primary_that_was_never_seen_the_retention_is_the_configured_one_and_no_standby_is_guessed(
    look: Callable[[], Outcome], rds: Rds
) -> None:
    rds.more[REPLICA]["BackupRetentionPeriod"] = 1
    look()
    assert changes(rds) == [{"BackupRetentionPeriod": 7, "DeletionProtection": True}]
    rds.apply()
    assert look().status == "DONE"


@pytest.mark.parametrize("code", ["InvalidDBInstanceState", "InvalidDBInstanceStateFault"])
def test_while_rds_is_at_work_on_it_it_is_asked_again(
    look: Callable[[], Outcome], rds: Rds, ledger: Ledger, clock: Clock, code: str
) -> None:
    rds.refusal = error(code, "Database instance is not in available state.", "ModifyDBInstance")
    outcome = look()
    assert outcome.status == "WAIT"
    assert "RDS will not just now: Database instance is not in available state." in outcome.sentence
    rds.refusal = None
    look()
    assert changes(rds) == [{"DeletionProtection": True}]


def test_no_room_for_a_standby_just_now_keeps_nothing_else_from_being_had(
    look: Callable[[], Outcome], rds: Rds, ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary_had(ledger, clock, multi_az=True, days=7, protected=True)
    modify = rds.modify_db_instance

    def no_room(**given: Any) -> dict[str, Any]:
        if "MultiAZ" in given:
            raise error("InsufficientDBInstanceCapacity", "no capacity for db.t4g.small", "ModifyDBInstance")
        return modify(**given)

    monkeypatch.setattr(rds, "modify_db_instance", no_room)
    outcome = look()
    assert outcome.status == "WAIT"
    assert "no capacity for db.t4g.small" in outcome.sentence
    assert outcome.facts["deletion_protection"] is False, "as it was when we looked"
    assert rds.more[REPLICA]["DeletionProtection"]


def test_a_refusal_for_any_other_reason_is_raised(look: Callable[[], Outcome], rds: Rds) -> None:
    rds.refusal = error("AccessDenied", "not authorized to perform rds:ModifyDBInstance", "ModifyDBInstance")
    with pytest.raises(ClientError, match="not authorized"):
        look()


@pytest.mark.parametrize(("status", "done"), [("available", True), ("backing-up", True), ("modifying", False)])
def test_it_is_done_only_while_it_serves_and_nothing_is_pending(
    look: Callable[[], Outcome], rds: Rds, status: str, done: bool
) -> None:
    rds.more[REPLICA]["DeletionProtection"] = True
    rds.status[REPLICA] = status
    assert (look().status == "DONE") is done
    rds.more[REPLICA]["PendingModifiedValues"] = {"BackupRetentionPeriod": 7}
    outcome = look()
    assert outcome.status == "WAIT"
    assert "on their way: backup retention" in outcome.sentence
    rds.more[REPLICA]["PendingModifiedValues"] = {"CACertificateIdentifier": "rds-ca-rsa4096-g1"}
    assert (look().status == "DONE") is done, "what somebody else has asked for is not ours to wait for"


def test_an_instance_that_is_not_there_and_an_api_that_does_not_answer(look: Callable[[], Outcome], rds: Rds) -> None:
    rds.reached = False
    assert look().sentence == "RDS of this Region does not answer"
    rds.reached = True
    rds.status.clear()
    with pytest.raises(ReplicaNotFound):
        look()


def test_what_it_was_like_before_is_kept_for_the_replica_that_is_built_in_its_place(
    look: Callable[[], Outcome], rds: Rds, ledger: Ledger, clock: Clock
) -> None:
    primary_had(ledger, clock, multi_az=True, days=14, protected=True)
    rds.more[REPLICA]["DbiResourceId"] = "db-1"
    look()
    rds.apply()
    assert look().status == "DONE"
    kept = ledger.shape(REPLICA)
    assert kept is not None
    assert (kept["MultiAZ"], kept["BackupRetentionPeriod"], kept["DeletionProtection"]) == (False, 7, False)
    # Its successor, which is promoted and hardened in its turn.
    rds.more[REPLICA] |= {"DbiResourceId": "db-2", "DBInstanceClass": "db.t4g.large"}
    look()
    assert (ledger.shape(REPLICA) or {})["DBInstanceClass"] == "db.t4g.large"


class AtHome:
    """The home Region is active again; before it was lost, its database had what stacks/database.yaml gives it."""

    def __init__(self, clients: Clients, ledger: Ledger, clock: Clock) -> None:
        model = clients("rds", HOME).meta.service_model
        self.rds, self.peer, self.ledger = Instances(model, clock), Instances(model, clock, HERE), ledger
        self.rds.add(
            DbiResourceId="db-NEW",
            BackupRetentionPeriod=7,
            LatestRestorableTime=BACKUP,
            DBInstanceAutomatedBackupsReplications=[],
        )
        ledger.keep_shape(served(OLD), shape_of(AS_THE_TEMPLATE_HAS_IT), clock())
        self.clock = clock

    def look(self) -> Outcome:
        settings = replace(
            SETTINGS,
            aws_region=HOME,
            peer_region=HERE,
            replica_id=OLD,
            peer_database_id=ACTIVE,
            backup_retention_days=7,
        )
        here: Any = self.rds
        there: Any = self.peer
        return Harden(settings, self.ledger, here, self.clock, there).ensure()


@pytest.fixture
def at_home(clients: Clients, peer_ledger: Ledger, clock: Clock) -> AtHome:
    return AtHome(clients, peer_ledger, clock)


def test_at_home_it_gets_back_what_the_one_before_it_had_and_not_what_dr_had(at_home: AtHome) -> None:
    at_home.ledger.keep_database(ACTIVE, DatabaseProperties(True, 35, True), at_home.clock())
    at_home.look()
    assert at_home.rds.made("ModifyDBInstance") == [
        {"DBInstanceIdentifier": OLD, "ApplyImmediately": True, "BackupRetentionPeriod": 14}
    ]
    at_home.rds.instances[OLD]["PendingModifiedValues"] = {}
    done = at_home.look()
    assert (done.status, done.facts["backup_retention_days"]) == ("DONE", 14)
    assert at_home.peer.made("StartDBInstanceAutomatedBackupsReplication") == [
        {
            "SourceDBInstanceArn": AS_THE_TEMPLATE_HAS_IT["DBInstanceArn"],
            "BackupRetentionPeriod": 14,
            "SourceRegion": HOME,
            "KmsKeyId": "arn:key/dr",
        }
    ]
    assert at_home.ledger.shape(OLD) is None


def test_backups_that_are_replicated_already_are_left_alone(at_home: AtHome) -> None:
    at_home.rds.instances[OLD] |= {
        "BackupRetentionPeriod": 14,
        "DBInstanceAutomatedBackupsReplications": [{"DBInstanceAutomatedBackupsArn": "arn:new"}],
    }
    assert at_home.look().status == "DONE"
    assert at_home.peer.calls == []


def test_a_lost_peer_holds_nothing_up_and_what_is_missing_is_said(at_home: AtHome) -> None:
    at_home.rds.instances[OLD]["BackupRetentionPeriod"] = 14
    at_home.peer.reached = False
    done = at_home.look()
    assert done.status == "DONE"
    assert f"its backups are not replicated to {HERE} (EndpointConnectionError" in done.sentence
    assert "call start-db-instance-automated-backups-replication for arn:aws:rds" in done.facts["backup_replication"]
