"""The lease's store: one item of one ledger, read so that no later answer can be missed."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relight_lease.settings import LeaseSettings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_HEAD = {"pk": {"S": "region"}, "sk": {"S": "head"}}


class StoreUnreadable(Exception):
    """The store has answered, and nobody can tell what."""


@dataclass(frozen=True)
class Answer:
    """Whether the Region may write, and one sentence about why."""

    granted: bool
    sentence: str


def judge(head: Mapping[str, Any] | None, settings: LeaseSettings) -> Answer:
    """What the ledger's head means for this Region; None where nobody has written it yet.

    Raises StoreUnreadable for a head that is not one.
    """
    active = _text(head, "active") or settings.home_region
    promoting = _text(head, "state") == "promoting"
    where = f"by the ledger of {settings.ledger_region}"
    if active != settings.region:
        return Answer(False, f"{active} is active, {where}")
    # A Region's own ledger says `promoting` of itself, or by mirror of the other one's planned return.
    if promoting and settings.ledger_region != settings.region:
        return Answer(False, f"another Region is being activated, {where}")
    return Answer(True, f"{active} is active, {where}")


def _text(head: Mapping[str, Any] | None, name: str) -> str | None:
    if not head or name not in head:
        return None
    try:
        value = head[name]["S"]
    except (KeyError, TypeError):
        raise StoreUnreadable(f"{name} in the ledger's head is no text") from None
    return str(value)


class Store:
    """Asks the ledger. The client is made at the first question, in the thread and in the process that ask.

    Two processes on one TLS connection would read each other's answers.
    """

    def __init__(self, settings: LeaseSettings) -> None:
        self._settings = settings
        self._client: DynamoDBClient | None = None
        self._process: int | None = None

    def ask(self) -> Answer:
        """One attempt, given up well before the lease would run out. Raises boto3's errors, and StoreUnreadable."""
        if self._client is None or self._process != os.getpid():
            self._client, self._process = self._connect(), os.getpid()
        client = self._client
        answer = client.get_item(TableName=self._settings.ledger_table, Key=_HEAD, ConsistentRead=True)
        return judge(answer.get("Item"), self._settings)

    def _connect(self) -> "DynamoDBClient":
        # Here, because it is large: a process that never writes does not need it.
        import boto3  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415

        # Asked each third of a term: one question may be lost altogether, and the next still comes in time.
        once = Config(
            connect_timeout=self._settings.term_seconds / 6,
            read_timeout=self._settings.term_seconds / 3,
            retries={"total_max_attempts": 1},
            max_pool_connections=1,
            tcp_keepalive=True,
        )
        return boto3.session.Session().client("dynamodb", region_name=self._settings.ledger_region, config=once)
