"""What the functions and the state machines do on the way home, done once: DR is called home here, so that its roles,
which are the primary's seen from there, are the ones that go it.
"""

import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from unittest.mock import PropertyMock, patch

from moto.backends import get_backend
from moto.rds.models import DBInstance

from lab.permission import ACCOUNT
from tests.permissions.estate import (
    ACL,
    DOMAIN,
    HERE,
    HOME,
    MACHINE_NAME,
    OTHER,
    Estate,
    client,
)
from tests.template.region import REGIONS

EPOCH, FAR, LONG_AGO = 5, 2**31, 1_700_000_000
KEPT = f"shop-dr-retired-{EPOCH}"
WAY_HOME = "relight-shop-failback"
DONE: dict[str, Any] = {"status": "DONE", "sentence": "played", "look_again_seconds": 0}


def execution(machine: str, name: str, where: str = HERE) -> str:
    """The ARN of one."""
    return f"arn:aws:states:{where}:{ACCOUNT}:execution:{machine}:{name}"


def begun(estate: Estate, side: str = "dr", **head: Any) -> dict[str, Any]:
    """A run of the way home that holds the lock of a Region while the other one is active."""
    owner = execution(WAY_HOME, "home-1", REGIONS[side])
    away = {"active": REGIONS[OTHER[side]], "active_epoch": EPOCH, "epoch": 9, "expires_at": FAR, "state": "steady"}
    estate.head(side, **{**away, "owner": owner, **head})
    estate.head(OTHER[side], **{**away, "epoch": EPOCH})
    return {"id": "home-1", "owner": owner, "epoch": 9, "started_at": time.time(), "mode": "planned"}


def until_done(estate: Estate, function: str, event: Mapping[str, Any], looks: int = 12) -> dict[str, Any]:
    """Look until the step is done."""
    said: dict[str, Any] = {}
    for _ in range(looks):
        said = estate.call(function, event)
        if said["status"] == "DONE":
            return said
    raise AssertionError(f"{function} comes to no end: {said}")


def delete(identifier: str) -> None:
    """As somebody does by hand."""
    rds = client("rds", HERE)
    rds.modify_db_instance(DBInstanceIdentifier=identifier, DeletionProtection=False)
    rds.delete_db_instance(DBInstanceIdentifier=identifier, SkipFinalSnapshot=True)


def serving() -> None:
    """The database of DR is one that took writes."""
    client("rds", HERE).promote_read_replica(DBInstanceIdentifier="shop-dr")


def the_old_database_is_kept(estate: Estate) -> None:
    """It had been stopped, before and behind the rename; what its predecessor was like is forgotten."""
    serving()
    rds, run = client("rds", HERE), begun(estate)
    estate.put("dr", "shape", "shop-dr", shape=json.dumps({"DbiResourceId": "db-BEFORE"}), seen=1)
    rds.stop_db_instance(DBInstanceIdentifier="shop-dr")
    event = {"run": run, "intent": "keep"}
    for _ in range(12):
        said = estate.call("retire", event)
        if "is being renamed" in said["sentence"]:
            rds.stop_db_instance(DBInstanceIdentifier=KEPT)
            break
    said = until_done(estate, "retire", event)
    assert (said["facts"]["retired"]["instance"], said["facts"]["retired"]["snapshot"]) == (KEPT, KEPT)
    assert [one["DBInstanceIdentifier"] for one in rds.describe_db_instances()["DBInstances"]] == [KEPT]


def the_old_database_comes_back_from_its_snapshot(estate: Estate) -> None:
    """It is gone, and was tagged."""
    serving()
    rds, run = client("rds", HERE), begun(estate)
    rds.create_db_snapshot(DBSnapshotIdentifier=KEPT, DBInstanceIdentifier="shop-dr")
    delete("shop-dr")
    shape = {"DBInstanceClass": "db.t4g.medium", "Tags": [{"Key": "team", "Value": "shop"}]}
    estate.put("dr", "shape", "shop-dr", shape=json.dumps(shape), seen=1)
    said = until_done(estate, "retire", {"run": run, "intent": "keep"})
    assert said["facts"]["retired"]["instance"] == KEPT


def retained(estate: Estate) -> None:
    """A database that was retired long ago."""
    serving()
    rds = client("rds", HERE)
    rds.modify_db_instance(DBInstanceIdentifier="shop-dr", NewDBInstanceIdentifier=KEPT, DeletionProtection=True)
    told = {"instance": KEPT, "of": "shop-dr", "epoch": EPOCH, "run": "home-1", "retired_at": LONG_AGO}
    estate.put("dr", "retired", KEPT, **told, snapshot=KEPT)


def a_retired_database_is_watched(estate: Estate) -> None:
    retained(estate)
    estate.told["slots"] = {"reached": True, "slots": []}
    said = estate.call("retire", {"intent": "watch"})
    assert said["told"] == [KEPT]


def a_retired_database_is_deleted(estate: Estate) -> None:
    retained(estate)
    event = {"intent": "delete", "instance": KEPT, "by": "ada", "because": "its days are over"}
    said = until_done(estate, "retire", event)
    assert said["facts"]["snapshot"] == f"{KEPT}-final"


def the_replica_is_built(estate: Estate) -> None:
    """With the key, the tags and the parameter group of the one before it, for which it is rebooted."""
    rds, run = client("rds", HERE), begun(estate)
    serving()
    delete("shop-dr")
    family = {"DBParameterGroupFamily": "postgres18", "Description": "as it had it"}
    rds.create_db_parameter_group(DBParameterGroupName="shop-settings", **family)
    shape = {
        "DBInstanceClass": "db.t4g.medium",
        "DBParameterGroupName": "shop-settings",
        "DeletionProtection": True,
        "KmsKeyId": f"arn:aws:kms:{HERE}:{ACCOUNT}:key/data",
        "Tags": [{"Key": "team", "Value": "shop"}],
    }
    estate.put("dr", "shape", "shop-dr", shape=json.dumps(shape), seen=1)
    estate.call("reprotect", {"run": run})
    made = get_backend("rds")[ACCOUNT][HERE].databases["shop-dr"]
    made.status = "modifying"
    assert "modifying" in estate.call("reprotect", {"run": run})["sentence"]
    made.status = "available"
    estate.call("reprotect", {"run": run})  # which gives it its parameter group
    groups = [{"DBParameterGroupName": "shop-settings", "ParameterApplyStatus": "pending-reboot"}]
    with patch.object(DBInstance, "db_parameter_group_status_list", PropertyMock(return_value=groups)):
        for _ in range(5):
            said = estate.call("reprotect", {"run": run})
            if "rebooted" in said["sentence"]:
                break
        assert "rebooted" in said["sentence"], said
    estate.stream()
    said = until_done(estate, "reprotect", {"run": run})
    assert "follows" in said["sentence"]


def the_databases_are_compared(estate: Estate) -> None:
    """With each other, once they answer; and the retired one with the active one."""
    run = begun(estate)
    estate.told["tables"] = {"reached": False, "sentence": "unreachable: it is restarting"}
    assert estate.call("compare", {"run": run, "what": "database"})["status"] == "WAIT"
    known = {"reached": True, "in_recovery": False, "lsn": "0/4000000"}
    estate.told |= {"sequences": known | {"sequences": []}, "tables": known | {"tables": [], "more": False}}
    said = until_done(estate, "compare", {"run": run, "what": "database"})
    assert said["facts"]["differences_total"] == 0
    retired = {"instance": KEPT, "host": f"{KEPT}.abc.{HERE}.rds.amazonaws.com", "port": 5432}
    said = until_done(estate, "compare", {"run": run, "what": "lost", "retired": retired})
    assert said["facts"]["rows"] == 0


def the_objects_are_compared(estate: Estate) -> None:
    """A job is to replicate what never was; one of the two is written again and again."""
    run, keys = begun(estate), {HERE: "standby", HOME: "active"}
    stores = {where: client("s3", where) for where in keys}
    for where, store in stores.items():
        bucket = f"relight-data-shop-{ACCOUNT}-{where}"
        store.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": where})
        store.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        store.put_object(Bucket=bucket, Key="state/often", Body=f"1 {where}".encode())
    stores[HOME].put_object(Bucket=f"relight-data-shop-{ACCOUNT}-{HOME}", Key="state/never", Body=b"1")
    estate.call("objects", {"run": run})
    for where, store in stores.items():
        bucket = f"relight-data-shop-{ACCOUNT}-{where}"
        store.put_object(Bucket=bucket, Key="state/often", Body=f"2 {where}".encode())
    said = until_done(estate, "objects", {"run": run})
    assert said["facts"]["job"]["status"] == "Complete"
    assert said["facts"]["never_replicated"] == 2


def what_was_left_over_is_stopped(estate: Estate) -> None:
    """Of both state machines; then the other Region's lock is kept, and given back."""
    estate.call("probe", {})
    estate.lose()
    del estate.names.records[f"_seen.{DOMAIN}", "TXT"]
    left = [estate.machine.start({"trigger": "automatic", "reason": "probe: region_lost"})]
    estate.question()
    left.append(estate.at_work(WAY_HOME, HERE))
    run = begun(estate, home=HERE)
    estate.head("primary", active=HOME, active_epoch=EPOCH, epoch=EPOCH, state="steady", ended_at=FAR)
    said = estate.call("survey", {"run": run, "intent": "look", "to": "home"})
    assert len(said["facts"]["stopped"]) == 2, said
    machines = client("stepfunctions", HERE)
    assert {machines.describe_execution(executionArn=arn)["status"] for arn in left} == {"ABORTED"}
    for intent in ("renew", "stay", "leave"):
        assert estate.call("survey", {"run": run, "intent": intent})["status"] == "DONE"


def the_owners_of_both_locks_are_dead(estate: Estate) -> None:
    """Whoever they were: each is heard of, and none stands in the way."""
    for owner in (*(execution(f"relight-shop-{kind}", "dead") for kind in ("failover", "failback", "drill")),):
        begun(estate, owner=owner)
        assert estate.call("survey", {"intent": "hear"})["status"] == "DONE"
    for kind in ("failover", "failback", "drill"):
        run = begun(estate)
        owner = execution(f"relight-shop-{kind}", "dead", HOME)
        head = {"active": HOME, "active_epoch": EPOCH, "epoch": EPOCH, "state": "steady"}
        estate.head("primary", **head, owner=owner, expires_at=FAR)
        assert estate.call("survey", {"run": run, "intent": "renew"})["status"] == "DONE"


def the_way_home_is_foreseen(estate: Estate) -> None:
    """By a person who asks beforehand: the old database is gone, and no snapshot was left of it."""
    serving()
    delete("shop-dr")
    begun(estate, owner=execution(WAY_HOME, "dead"), home=HERE)
    said = estate.call("survey", {"intent": "preview", "to": "home"})
    assert said["begins"], said
    assert said["database"]["finding"] == "gone", said


def the_pilot_is_lit(estate: Estate) -> None:
    """This Region is active again, and the other one is no standby of it yet."""
    run = begun(estate, active=HERE, home=HERE)
    said = estate.call("survey", {"run": run, "intent": "look", "to": "home"})
    assert said["facts"]["resume"] is True, said
    estate.waiting(WAY_HOME, HOME)
    said = estate.call("survey", {"run": run, "intent": "light"})
    assert "has been started" in said["sentence"], said
    said = estate.call("survey", {"run": run, "intent": "light"})
    assert "is at work" in said["sentence"], said


def played(estate: Estate) -> None:
    """The steps that have scenarios of their own say at once that they are done."""
    equal = {"differences": [], "differences_total": 0, "report": "s3://there"}
    databases = equal | {"tables": 0, "rows": 0, "follows": True}
    said: dict[str, Any] = {
        "survey": {"resume": False, "active": HOME, "active_epoch": EPOCH, "stopped": []},
        "retire": {"retired": None, "why": "nothing was retired"},
        "reprotect": {"called_at": 0, "gib": 20, "percent": None, "lag_seconds": 0},
        "compare": databases,
        "objects": equal | {"objects": 0, "pending": 0, "failed": 0, "job": None},
    }
    for name, facts in said.items():
        estate.scripted[name] = partial(_said, DONE | {"facts": facts})


def _said(answer: dict[str, Any], _event: dict[str, Any]) -> dict[str, Any]:
    return answer


def the_way_home_is_gone(estate: Estate) -> None:
    """Asked, switched over, settled, and lit."""
    played(estate)
    estate.head("dr", active=HOME, active_epoch=EPOCH, epoch=EPOCH, home=HERE)
    estate.stream()
    way = estate.another("failback")
    execution = way.start({"reason": "home", "to": "home"})
    way.client.send_task_success(taskToken=estate.question(), output=json.dumps({"by": "ada"}))
    ended = way.outcome(execution)
    assert ended.output["status"] == "SUCCEEDED", ended
    assert {"Switch over", "Settle", "Let go of HOLD", "Light the pilot again"} <= set(ended.states)


def a_standby_is_rebuilt(estate: Estate) -> None:
    """And its application let in; whoever had the lock before was dead."""
    played(estate)
    estate.fence("dr", ACL)
    way = estate.another("failback")
    for dead in (WAY_HOME, "relight-shop-drill", MACHINE_NAME):
        estate.head("dr", active=HOME, active_epoch=EPOCH, epoch=EPOCH, owner=execution(dead, "dead"), expires_at=FAR)
        ended = way.outcome(way.start({"reason": "there must be a standby", "to": "protected"}))
        assert ended.output["status"] == "SUCCEEDED", ended
        assert "Take over the lock" in ended.states
    assert estate.fenced("dr", ACL) == set()


def a_way_home_gives_way(estate: Estate) -> None:
    """It holds the lock and is at work when the Region that serves is lost."""
    estate.call("probe", {})
    at_work = estate.at_work(WAY_HOME, HERE)
    estate.head("dr", active=HOME, owner=at_work, epoch=7, expires_at=FAR)
    estate.lose()
    started = estate.call("probe", {})["started"]
    assert started is not None
    ended = estate.machine.outcome(execution(MACHINE_NAME, started))
    assert ended.output["status"] == "SUCCEEDED", ended
    stopped = estate.machine.client.describe_execution(executionArn=at_work)
    assert (stopped["status"], stopped["error"]) == ("ABORTED", "Preempted")


def switches_seen_to_be_back(side: str) -> None:
    """The alarms of the other Region on STOP and GO."""
    alarms = client("cloudwatch", REGIONS[OTHER[side]])
    for name, state in (("stop", "OK"), ("no-go", "ALARM")):
        alarms.put_metric_alarm(
            AlarmName=f"relight-shop-{name}",
            Namespace="Relight/Switches/shop",
            MetricName=name,
            Statistic="Maximum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
        )
        alarms.set_alarm_state(AlarmName=f"relight-shop-{name}", StateValue=state, StateReason="seen")


def hold_is_let_go(estate: Estate) -> None:
    """By a run, and by the guard; HOLD is the primary's."""
    switches_seen_to_be_back("primary")
    estate.names.records[f"primary.{DOMAIN}", "A"] = estate.names.records[DOMAIN, "A"]
    run = begun(estate, "primary", active=HOME, held=True)
    event = {"run": run, "intent": "release"}
    assert "HOLD is let go of" in estate.call("switch", event, "primary")["sentence"]
    assert estate.call("switch", event, "primary")["status"] == "DONE"
    active = {"active": HOME, "active_epoch": EPOCH, "epoch": EPOCH, "state": "steady"}
    estate.head("primary", **active, held=True)
    estate.head("dr", **active)
    estate.call("guard", {}, "primary")
    assert estate.call("guard", {}, "primary")["switches"]["HOLD"] == 0.0


def switches_of_the_primary(estate: Estate) -> None:
    """Taken, and given back."""
    run = begun(estate, "primary")
    for intent in ("engage", "clear"):
        assert estate.call("switch", {"run": run, "intent": intent}, "primary")["status"] == "DONE"


def the_way_home_is_offered(estate: Estate, side: str) -> None:
    """The Region has been well for long."""
    here, there = REGIONS[side], REGIONS[OTHER[side]]
    away = {"active": there, "active_epoch": EPOCH, "epoch": EPOCH, "state": "steady"}
    estate.head(side, **away, home=here, well_since=LONG_AGO)
    estate.head(OTHER[side], **away)
    estate.databases[here].in_recovery = True
    assert "you can go home" in estate.call("guard", {}, side)["offered"]


def guard_sees_a_way_home_die(estate: Estate, side: str) -> None:
    """It had the other ledger's lock while that Region was being activated."""
    here, there = REGIONS[side], REGIONS[OTHER[side]]
    estate.head(side, active=here, active_epoch=1, epoch=1)
    dead = execution(WAY_HOME, "dead", there)
    estate.head(OTHER[side], active=here, active_epoch=1, epoch=2, state="promoting", owner=dead, expires_at=FAR)
    assert estate.call("guard", {}, side)["standing"] == "confirmed"


def hardened_as_the_one_before(estate: Estate, side: str) -> None:
    """At home, with its backups replicated; and elsewhere, where what it is like is kept anew."""
    here, there = REGIONS[side], REGIONS[OTHER[side]]
    if side == "dr":
        serving()
    backups = f"arn:aws:rds:{there}:{ACCOUNT}:auto-backup:ab-1"
    before = {"BackupRetentionPeriod": 21, "DeletionProtection": True, "Replicates": [backups]}
    estate.put(side, "shape", f"shop-{side} served", shape=json.dumps(before), seen=1)
    run = begun(estate, side, active=here, home=here)
    for _ in range(3):
        said = estate.call("harden", {"run": run}, side)
    assert said["status"] == "DONE", said
    assert "not replicated" not in said["sentence"], said
    estate.put(side, "shape", f"shop-{side}", shape=json.dumps({"DbiResourceId": "db-BEFORE"}), seen=1)
    run = begun(estate, side, active=here, home=there)
    assert estate.call("harden", {"run": run}, side)["status"] == "DONE"


SCENARIOS: dict[str, Callable[[Estate], None]] = {
    **{
        play.__name__.replace("_", " "): play
        for play in (
            the_old_database_is_kept,
            the_old_database_comes_back_from_its_snapshot,
            a_retired_database_is_watched,
            a_retired_database_is_deleted,
            the_replica_is_built,
            the_databases_are_compared,
            the_objects_are_compared,
            what_was_left_over_is_stopped,
            the_owners_of_both_locks_are_dead,
            the_way_home_is_foreseen,
            the_pilot_is_lit,
            the_way_home_is_gone,
            a_standby_is_rebuilt,
            a_way_home_gives_way,
            hold_is_let_go,
            switches_of_the_primary,
        )
    },
    **{
        f"{play.__name__.replace('_', ' ')}, {side}": lambda estate, play=play, side=side: play(estate, side)  # type: ignore[misc]
        for play in (the_way_home_is_offered, guard_sees_a_way_home_die, hardened_as_the_one_before)
        for side in REGIONS
    },
}
