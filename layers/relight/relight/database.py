"""The database of this Region, asked through `dbcheck` (in the VPC) and through RDS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight.errors import DatabaseCheckFailed
from relight.facts import Replica
from relight.ledger import DatabaseProperties

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_rds import RDSClient
    from mypy_boto3_rds.type_defs import DBInstanceTypeDef

MISSING = frozenset({"DBInstanceNotFound", "DBInstanceNotFoundFault"})


def ask(functions: LambdaClient, function: str, check: str, **given: str) -> dict[str, Any]:
    """Run `dbcheck`; DatabaseCheckFailed where the function itself fails (a refusing database is an answer)."""
    answer = functions.invoke(FunctionName=function, Payload=json.dumps({"check": check, **given}).encode())
    body = json.loads(answer["Payload"].read())
    if answer.get("FunctionError"):
        raise DatabaseCheckFailed(f"{function} failed: {body.get('errorType')}: {body.get('errorMessage')}")
    return dict(body)


def state(functions: LambdaClient, function: str) -> dict[str, Any] | None:
    """What `dbcheck` says of the database; None where it could not be asked."""
    try:
        answer = ask(functions, function, "state")
    except (DatabaseCheckFailed, BotoCoreError, ClientError):
        return None
    return answer if answer["reached"] else None


def let_in(functions: LambdaClient, function: str, still: Callable[[], bool]) -> dict[str, Any]:
    """Let writes in again where Relight has stopped them (`was_stopped`), as `dbcheck` answers; raises as `ask` does.

    `still` is asked once it is known which stop is meant, and only that one is taken back: so nobody who is late lets
    writes in behind the back of a run that has stopped them in between, and counts on it.
    """
    seen = ask(functions, function, "state")
    # A `dbcheck` of an older release, in the other Region, cannot have stopped anything.
    if not seen["reached"] or seen["in_recovery"] or not seen.get("writes_stopped"):
        known = {key: seen[key] for key in ("reached", "sentence")}
        return {**known, "allowed": seen["writable"], "was_stopped": False}
    if not still():
        why = "its writes are to stay stopped now"
        return {"reached": True, "allowed": False, "was_stopped": True, "sentence": why}
    return ask(functions, function, "allow", stopped_at=seen["stopped_at"]) | {"was_stopped": True}


def instance(rds: RDSClient, identifier: str) -> DBInstanceTypeDef | None:
    """The instance as RDS describes it, or None; BotoCoreError or ClientError where RDS does not say."""
    try:
        return rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] in MISSING:
            return None
        raise


def describe(rds: RDSClient, identifier: str) -> Replica:
    """What a promotion needs to know of the instance; BotoCoreError or ClientError where RDS does not say."""
    found = instance(rds, identifier)
    if found is None:
        return Replica(None, None)
    source = found.get("ReadReplicaSourceDBInstanceIdentifier") or None
    return Replica(found["DBInstanceStatus"], source, engine=found.get("Engine"))


def properties_of(found: DBInstanceTypeDef) -> DatabaseProperties:
    """What keeps an instance safe now; what is pending is not in force."""
    return DatabaseProperties(
        multi_az=found.get("MultiAZ", False),
        backup_retention_days=found.get("BackupRetentionPeriod", 0),
        deletion_protection=found.get("DeletionProtection", False),
    )


def properties(rds: RDSClient, identifier: str) -> tuple[str | None, DatabaseProperties | None]:
    """Status and properties of an instance in another Region; (None, None) where they cannot be learnt."""
    try:
        found = instance(rds, identifier)
    except (BotoCoreError, ClientError):
        return None, None
    return (found["DBInstanceStatus"], properties_of(found)) if found else (None, None)


def replica(rds: RDSClient, identifier: str) -> Replica | None:
    """The same for who only looks; None where RDS does not say."""
    try:
        return describe(rds, identifier)
    except (BotoCoreError, ClientError):
        return None


def status(rds: RDSClient, identifier: str) -> str | None:
    """The status of an instance in another Region; None where it cannot be learnt."""
    seen = replica(rds, identifier)
    return None if seen is None else seen.status
