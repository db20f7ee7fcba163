"""Retired databases are watched, told of once, and deleted by a person's word only, with a last snapshot."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from relight.errors import AnotherRunInProgress, DatabaseNotKept, InputInvalid, RetiredNotFound, RetiredTooYoung
from relight.ledger import Ledger
from relight.retention import DAY, due_at, monthly_cost, require_age
from relight.retired import Retired
from relight.settings import RetireSettings
from relight.step import Outcome
from relight.steps.retained import Retained

from tests.unit.conftest import Clients
from tests.unit.instances import KEPT, OLD, PROTECTED, Ears, Instances
from tests.unit.mailbox import Mailbox
from tests.unit.rds import error
from tests.unit.standby import HERE, HOME, TABLE, Clock, take_lock

FINAL = f"{KEPT}-final"
WHO, WHY = "arn:aws:iam::123456789012:user/ada", "nothing of it is missed"


@dataclass
class Scene:
    """A database was retired in this Region just now."""

    rds: Instances
    ears: Ears
    ledger: Ledger
    mailbox: Mailbox
    cloudwatch: Any
    sns: Any
    clock: Clock

    @property
    def step(self) -> Retained:
        settings = RetireSettings(
            aws_region=HERE,
            home_region=HOME,
            peer_region=HOME,
            ledger_table=TABLE,
            replica_id=OLD,
            peer_database_id="shop-home",
            dbcheck_function="relight-shop-dbcheck",
            look_again_seconds=60.0,
            retained_days=14.0,
            topic_arn=self.mailbox.topic,
            application="shop",
        )
        ears: Any = self.ears
        rds: Any = self.rds
        return Retained(settings, self.ledger, rds, ears, self.cloudwatch, self.sns, self.clock)

    def delete(self, instance: str = KEPT, by: str = WHO, because: str = WHY) -> Outcome:
        return self.step.delete(instance, by, because)

    def pass_days(self, days: float) -> None:
        self.clock.advance(days * DAY)


@pytest.fixture
def scene(ledger: Ledger, clients: Clients, clock: Clock) -> Scene:
    rds = Instances(clients("rds", HERE).meta.service_model, clock, HERE)
    rds.add(DBInstanceIdentifier=KEPT)
    ledger.keep_retired(Retired(KEPT, OLD, 7, "failback-1", clock(), KEPT))
    mailbox = Mailbox(clients)
    return Scene(rds, Ears(clock), ledger, mailbox, clients("cloudwatch", HERE), clients("sns", HERE), clock)


def test_each_is_looked_at_and_told_of_once_when_its_days_are_over(scene: Scene) -> None:
    scene.cloudwatch.put_metric_data(
        Namespace="AWS/RDS",
        MetricData=[
            {
                "MetricName": "FreeStorageSpace",
                "Dimensions": [{"Name": "DBInstanceIdentifier", "Value": KEPT}],
                "Timestamp": datetime.fromtimestamp(scene.clock() - 600, UTC),
                "Value": 7.5 * 2**30,
            }
        ],
    )
    said = scene.step.watch()
    (seen,) = said["retired"]
    assert (seen["status"], seen["free_bytes"], seen["gib"], seen["due"]) == ("available", 7.5 * 2**30, 20, False)
    assert seen["slots"] == [{"name": "rds_dr", "active": False}]
    assert seen["dollars_a_month"] == monthly_cost("db.t4g.small", "gp3", 20, multi_az=True)
    assert (said["told"], scene.mailbox.read()) == ([], [])
    scene.pass_days(13.9)
    assert scene.step.watch()["told"] == []
    scene.pass_days(0.1)
    assert scene.step.watch()["told"] == [KEPT]
    (letter,) = scene.mailbox.read()
    assert letter.subject == f"Relight shop: {KEPT} may be deleted"
    assert f"{KEPT} is available; retired 14 d ago; free of 20 GiB: unknown; replication slots: 1" in letter.text
    assert FINAL in letter.text
    assert letter.attributes["urgency"] == "told"
    for _ in range(3):
        scene.pass_days(1)
        assert scene.step.watch()["told"] == []
    assert scene.mailbox.read() == []
    assert scene.rds.calls == []


def test_what_cannot_be_learnt_is_said_to_be_unknown(scene: Scene) -> None:
    scene.rds.reached = False
    (seen,) = scene.step.watch()["retired"]
    assert (seen["status"], seen["free_bytes"], seen["slots"], seen["dollars_a_month"]) == (None, None, None, None)
    scene.rds.reached, scene.ears.reached = True, False
    scene.rds.instances[KEPT]["DBInstanceClass"] = "db.z9.huge"
    (seen,) = scene.step.watch()["retired"]
    assert (seen["status"], seen["slots"], seen["dollars_a_month"]) == ("available", None, None)
    assert "cost a month: unknown" in seen["sentence"]


def test_one_that_somebody_has_deleted_is_named_and_nobody_is_told_to_delete_it(scene: Scene) -> None:
    scene.rds.instances.clear()
    scene.pass_days(20)
    said = scene.step.watch()
    assert (said["retired"][0]["status"], said["told"]) == ("missing", [])


def test_a_notice_that_could_not_go_out_goes_out_the_next_day(scene: Scene, clients: Clients) -> None:
    scene.pass_days(15)
    topic = scene.mailbox.topic
    scene.mailbox.topic = topic.replace("relight-shop", "nowhere")
    with pytest.raises(Exception, match="NotFound"):
        scene.step.watch()
    scene.mailbox.topic = topic
    assert scene.step.watch()["told"] == [KEPT]


def test_a_person_has_it_deleted_with_a_last_snapshot(scene: Scene) -> None:
    scene.pass_days(14)
    said = scene.delete()
    assert (said.status, said.sentence) == (
        "WAIT",
        f"{KEPT} is not deleted yet: its protection against that is being switched off; ask again in a moment",
    )
    scene.rds.tick()
    assert scene.delete().sentence == f"{KEPT} is being deleted; its last snapshot will be {FINAL}"
    assert [operation for operation, _ in scene.rds.calls] == ["ModifyDBInstance", "DeleteDBInstance"]
    assert scene.rds.made("DeleteDBInstance") == [
        {"DBInstanceIdentifier": KEPT, "SkipFinalSnapshot": False, "FinalDBSnapshotIdentifier": FINAL}
    ]
    assert scene.delete().sentence == f"{KEPT} is being deleted; its last snapshot is {FINAL}"
    assert scene.ledger.retired() != []
    scene.rds.tick()
    done = scene.delete()
    assert (done.status, done.facts["snapshot"], done.facts["by"]) == ("DONE", FINAL, WHO)
    assert scene.ledger.retired() == []
    (letter,) = scene.mailbox.read()
    assert letter.subject == f"Relight shop: {KEPT} is deleted"
    assert f"By {WHO}, because: {WHY}." in letter.text
    with pytest.raises(RetiredNotFound):
        scene.delete()


def test_while_its_protection_is_still_on_it_is_asked_again(scene: Scene) -> None:
    """RDS says that it is off before it is, or somebody has switched it on again."""
    scene.pass_days(14)
    scene.rds.instances[KEPT]["DeletionProtection"] = False
    scene.rds.refusals["DeleteDBInstance"] = error("InvalidParameterCombination", PROTECTED, "DeleteDBInstance")
    assert scene.delete().sentence == f"RDS will not delete {KEPT} just now: {PROTECTED}"
    scene.rds.refusals["DeleteDBInstance"] = error("InvalidParameterCombination", "another", "DeleteDBInstance")
    with pytest.raises(ClientError, match="another"):
        scene.delete()
    scene.rds.refusals.clear()
    assert scene.delete().sentence == f"{KEPT} is being deleted; its last snapshot will be {FINAL}"


@pytest.mark.parametrize(("by", "because"), [("", WHY), (WHO, ""), (WHO, "  \n ")])
def test_without_a_person_or_a_reason_nothing_is_deleted(scene: Scene, by: str, because: str) -> None:
    scene.pass_days(14)
    with pytest.raises(InputInvalid):
        scene.delete(by=by, because=because)
    assert scene.rds.calls == []


def test_before_its_days_are_over_nothing_is_deleted(scene: Scene) -> None:
    scene.pass_days(13.5)
    with pytest.raises(RetiredTooYoung, match=r"is kept for 14 days: until .*, for 12 h more"):
        scene.delete()
    assert scene.rds.calls == []


@pytest.mark.parametrize("name", [OLD, "shop-home", "another", "", f"{KEPT} "])
def test_what_the_ledger_does_not_know_as_retired_is_never_deleted(scene: Scene, name: str) -> None:
    scene.rds.add(DBInstanceIdentifier=OLD)
    scene.pass_days(20)
    with pytest.raises(RetiredNotFound):
        scene.delete(name)
    assert scene.rds.calls == []


def test_while_a_run_may_be_reading_it_nothing_is_deleted(scene: Scene) -> None:
    scene.pass_days(14)
    take_lock(scene.ledger, "failback-2", scene.clock())
    with pytest.raises(AnotherRunInProgress, match="may be reading"):
        scene.delete()


@pytest.mark.parametrize("status", ["failed", "incompatible-restore", "incompatible-network"])
def test_without_a_last_snapshot_nothing_is_deleted(scene: Scene, status: str) -> None:
    scene.pass_days(14)
    scene.rds.instances[KEPT]["DBInstanceStatus"] = status
    with pytest.raises(DatabaseNotKept, match="RDS takes no last snapshot of it"):
        scene.delete()
    assert scene.rds.calls == []


def test_a_snapshot_of_that_name_from_before_is_not_taken_for_the_last_one(scene: Scene) -> None:
    scene.pass_days(14)
    scene.rds._snapshot(FINAL, scene.rds.instances[KEPT])
    with pytest.raises(DatabaseNotKept, match=f"there is a snapshot {FINAL} already"):
        scene.delete()


@pytest.mark.parametrize("operation", ["ModifyDBInstance", "DeleteDBInstance"])
def test_while_rds_is_at_work_on_it_it_is_asked_again(scene: Scene, operation: str) -> None:
    scene.pass_days(14)
    scene.rds.instances[KEPT]["DeletionProtection"] = operation == "ModifyDBInstance"
    scene.rds.refusals[operation] = error("InvalidDBInstanceState", "it is backing up", operation)
    assert scene.delete().sentence == f"RDS will not delete {KEPT} just now: it is backing up"
    scene.rds.refusals.clear()
    for _ in range(1 if operation == "DeleteDBInstance" else 2):
        assert scene.delete().status == "WAIT"
        scene.rds.tick()
    assert scene.delete().status == "DONE"


def test_one_that_a_person_has_deleted_without_a_snapshot_is_said_to_be_so(scene: Scene) -> None:
    scene.pass_days(14)
    scene.rds.instances.clear()
    done = scene.delete()
    assert (done.status, done.facts["snapshot"]) == ("DONE", None)
    assert f"there is no last snapshot {FINAL} of it" in done.sentence


@given(days=st.floats(0, 400), age=st.floats(0, 500))
def test_it_is_old_enough_from_the_moment_on_that_is_told(days: float, age: float) -> None:
    retired = Retired(KEPT, OLD, 7, "run", 1000.0, None)
    now = 1000.0 + age * DAY
    if now >= due_at(retired, days):
        require_age(retired, days, now)
    else:
        with pytest.raises(RetiredTooYoung):
            require_age(retired, days, now)
    assert due_at(replace(retired, retired_at=2000.0), days) > due_at(retired, days)


@pytest.mark.parametrize(
    ("kind", "gib", "multi_az", "dollars"),
    [
        ("db.t4g.micro", 20, False, 14.16),
        ("db.t4g.micro", 20, True, 28.33),
        ("db.m7g.2xlarge", 100, False, 507.9),
        ("db.r6g.large", 0, False, 175.2),
    ],
)
def test_a_cost_is_of_the_right_order(kind: str, gib: int, multi_az: bool, dollars: float) -> None:
    assert monthly_cost(kind, "gp3", gib, multi_az=multi_az) == dollars


@pytest.mark.parametrize("kind", ["db.z1.large", "db.serverless", "m7g.large", "", "db.t4g.gigantic"])
def test_a_price_that_is_not_known_is_not_guessed(kind: str) -> None:
    assert monthly_cost(kind, "gp3", 20, multi_az=False) is None


def test_the_days_count_from_the_first_time_that_it_was_retired(scene: Scene) -> None:
    scene.ledger.keep_retired(Retired(KEPT, OLD, 7, "failback-9", scene.clock() + DAY, KEPT))
    scene.pass_days(14)
    assert scene.step.watch()["told"] == [KEPT]
