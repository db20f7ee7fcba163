"""The databases of both Regions, for readiness: by RDS, by dbcheck, by KMS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relight import database
from relight.readiness_facts import Database, DatabaseFacts, NotSeen, Stream, known

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relight.inquiry import Inquiry
    from relight.metrics import Metrics
    from relight.settings import ReadinessSettings

NO_PARAMETERS = ("DBParameterGroupNotFound", "DBParameterGroupNotFoundFault")


def send(
    ask: Inquiry, s: ReadinessSettings, own: Mapping[str, Any], peer_rds: Any, metrics: Metrics
) -> Callable[[], DatabaseFacts]:
    """Ask both Regions; what comes back collects the answers."""
    here = ask.send(lambda: described(own["rds"], s.replica_id))
    there = ask.send(lambda: described(peer_rds, s.peer_database_id))
    stream = ask.send(lambda: streaming(own["lambda"], s.dbcheck_function))
    mine = ask.seek(lambda: parameters(own["rds"], known(here.result())), *NO_PARAMETERS)
    theirs = ask.seek(lambda: parameters(peer_rds, known(there.result())), *NO_PARAMETERS)
    key = ask.seek(lambda: key_state(own["kms"], known(here.result())), "NotFoundException")
    return lambda: DatabaseFacts(
        here=ask.told(here),
        there=ask.told(there),
        parameters=ask.told(mine),
        peer_parameters=ask.told(theirs),
        stream=ask.told(stream),
        lag=metrics.lag(),
        key_state=ask.told(key),
        busiest_hour=metrics.busiest_hour(),
    )


def described(rds: Any, identifier: str) -> Database | None:
    """An instance as RDS describes it; None where it knows none of that name."""
    found: Any = database.instance(rds, identifier)
    if found is None:
        return None
    group: Any = next(iter(found.get("DBParameterGroups", [])), {})
    return Database(
        identifier=identifier,
        status=found["DBInstanceStatus"],
        source=found.get("ReadReplicaSourceDBInstanceIdentifier") or None,
        engine=found.get("Engine", "unknown"),
        engine_version=found.get("EngineVersion", ""),
        instance_class=found.get("DBInstanceClass", "unknown"),
        gib=int(found.get("AllocatedStorage", 0)),
        max_gib=int(found.get("MaxAllocatedStorage") or 0),
        storage_type=found.get("StorageType", "unknown"),
        retention_days=int(found.get("BackupRetentionPeriod", 0)),
        backup_window=found.get("PreferredBackupWindow"),
        deletion_protection=bool(found.get("DeletionProtection", False)),
        key=found.get("KmsKeyId") if found.get("StorageEncrypted") else None,
        parameter_group=group.get("DBParameterGroupName"),
        parameters_applied=group.get("ParameterApplyStatus"),
    )


def parameters(rds: Any, found: Database | None) -> dict[str, str]:
    """What somebody has set in an instance's parameter group, by name."""
    if found is None or found.parameter_group is None:
        raise NotSeen("there is no instance, or it has no parameter group")
    pages = rds.get_paginator("describe_db_parameters").paginate(
        DBParameterGroupName=found.parameter_group, Source="user"
    )
    told = [one for page in pages for one in page["Parameters"]]
    return {one["ParameterName"]: str(one["ParameterValue"]) for one in told if one.get("ParameterValue") is not None}


def streaming(functions: Any, dbcheck: str) -> Stream:
    """What the database of this Region says of itself."""
    said = database.ask(functions, dbcheck, "state")
    if not said["reached"]:
        raise NotSeen(f"dbcheck did not reach the database: {said['sentence']}")
    receiver = said.get("receiver")
    return Stream(
        in_recovery=said["in_recovery"],
        receiver=None if receiver is None else str(receiver["status"]),
        last_replayed_at=said.get("last_replayed_at"),
        heartbeat_at=said.get("heartbeat_at"),
    )


def key_state(kms: Any, found: Database | None) -> str:
    """What KMS says of the key that an instance is encrypted with."""
    if found is None or found.key is None:
        raise NotSeen("there is no instance, or it is not encrypted")
    return str(kms.describe_key(KeyId=found.key)["KeyMetadata"]["KeyState"])
