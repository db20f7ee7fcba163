"""The database of this Region, asked through `dbcheck` (in the VPC) and through RDS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight.errors import DatabaseCheckFailed
from relight.facts import Replica

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_rds import RDSClient


def ask(functions: LambdaClient, function: str, check: str) -> dict[str, Any]:
    """Run `dbcheck`; DatabaseCheckFailed where the function itself fails (a refusing database is an answer)."""
    answer = functions.invoke(FunctionName=function, Payload=json.dumps({"check": check}).encode())
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


def describe(rds: RDSClient, identifier: str) -> Replica:
    """The instance as RDS describes it; BotoCoreError or ClientError where RDS does not say."""
    try:
        found = rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] in {"DBInstanceNotFound", "DBInstanceNotFoundFault"}:
            return Replica(None, None)
        raise
    return Replica(found["DBInstanceStatus"], found.get("ReadReplicaSourceDBInstanceIdentifier") or None)


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
