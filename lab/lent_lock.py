"""The lock of a Region's ledger, lent to the run of an event for as long as one function works on it.

A step of a run does nothing without the lock, and the run of an event that lies in a file has none. In a lab it may be
lent, where nobody holds it; nothing of that run is left in the ledger afterwards.
"""

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from lab.errors import LabError

_HEAD = {"pk": {"S": "region"}, "sk": {"S": "head"}}
_SECONDS = 300.0


class LockHeld(LabError):
    """A run is at work in that Region."""


@contextmanager
def lent(
    event: Mapping[str, Any], dynamodb: Any, table: str, clock: Callable[[], float] = time.time
) -> Iterator[Mapping[str, Any]]:
    """The event as its function can take it: its run holds the lock, at the ledger's own epoch, while the block lasts.

    An event without a run is left as it is. LockHeld where a run is at work.
    """
    run = event.get("run")
    if not isinstance(run, Mapping) or not run.get("owner") or not run.get("id"):
        yield event
        return
    epoch = _take(dynamodb, table, str(run["owner"]), clock())
    changed = copy.deepcopy(dict(event))
    changed["run"] |= {"epoch": epoch, "started_at": clock()}
    try:
        yield changed
    finally:
        _give_back(dynamodb, table, str(run["owner"]))
        _forget(dynamodb, table, f"run#{run['id']}")


def _take(dynamodb: Any, table: str, owner: str, now: float) -> int:
    try:
        answer = dynamodb.update_item(
            TableName=table,
            Key=_HEAD,
            UpdateExpression="SET #owner = :me, expires_at = :until, epoch = if_not_exists(epoch, :first)",
            ConditionExpression="attribute_not_exists(#owner) OR expires_at < :now",
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues={
                ":me": {"S": owner},
                ":until": {"N": str(int(now + _SECONDS))},
                ":now": {"N": str(int(now))},
                ":first": {"N": "0"},
            },
            ReturnValues="ALL_NEW",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        raise LockHeld(
            "a run is at work there, and the event's own cannot have the lock",
            where=table,
            do="wait until it has ended, and try again",
        ) from error
    return int(answer["Attributes"]["epoch"]["N"])


def _give_back(dynamodb: Any, table: str, owner: str) -> None:
    try:
        dynamodb.update_item(
            TableName=table,
            Key=_HEAD,
            UpdateExpression="REMOVE #owner, expires_at",
            ConditionExpression="#owner = :me",
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues={":me": {"S": owner}},
        )
    except ClientError as error:  # taken over meanwhile: then it is another's
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise


def _forget(dynamodb: Any, table: str, partition: str) -> None:
    found = dynamodb.query(
        TableName=table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": partition}},
        ProjectionExpression="pk, sk",
        ConsistentRead=True,
    )
    for item in found["Items"]:
        dynamodb.delete_item(TableName=table, Key={name: item[name] for name in ("pk", "sk")})
