"""The DR Region as the core finds it: its clock, its ledger, and the lock as the state machine takes it."""

from dataclasses import dataclass
from typing import Any

from relight.ledger import Head, Ledger, State
from relight.run import Run

HERE, HOME = "eu-central-1", "eu-west-1"
TABLE = "relight-shop"
NOW = 1_790_000_000.0
HEAD = {"pk": {"S": "region"}, "sk": {"S": "head"}}
MACHINE = f"arn:aws:states:{HERE}:123456789012:stateMachine:relight-shop-failover"


@dataclass
class Clock:
    """Epoch seconds that pass only when told to."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def make_ledger(dynamodb: Any) -> Ledger:
    """An empty table, keyed as template.yaml keys it."""
    dynamodb.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )
    return Ledger(dynamodb, TABLE, HOME)


def claims(epoch: int, active: str, state: State = State.STEADY) -> Head:
    """What a ledger says whose Region, or the other one, is active since that epoch."""
    return Head(True, epoch, active, state, active_epoch=epoch)


def execution(name: str) -> str:
    """The ARN of an execution: the owner of a lock."""
    return f"{MACHINE.replace(':stateMachine:', ':execution:')}:{name}"


def take_lock(ledger: Ledger, name: str, now: float, *, owner: str | None = None) -> Run:
    """Take the lock, or take it over, and grow the epoch by one, as the state machine does."""
    owner = owner or execution(name)
    answer = ledger.dynamodb.update_item(
        TableName=ledger.table,
        Key=HEAD,
        UpdateExpression="SET #owner = :me, expires_at = :expires, epoch = if_not_exists(epoch, :zero) + :one",
        ExpressionAttributeNames={"#owner": "owner"},
        ExpressionAttributeValues={
            ":me": {"S": owner},
            ":expires": {"N": str(int(now) + 90000)},
            ":zero": {"N": "0"},
            ":one": {"N": "1"},
        },
        ReturnValues="ALL_NEW",
    )
    return Run(name, owner, int(answer["Attributes"]["epoch"]["N"]), now)


def release_lock(ledger: Ledger) -> None:
    """As the state machine does at its end."""
    ledger.dynamodb.update_item(
        TableName=ledger.table,
        Key=HEAD,
        UpdateExpression="REMOVE #owner, expires_at",
        ExpressionAttributeNames={"#owner": "owner"},
    )


def head_item(ledger: Ledger) -> dict[str, Any]:
    """The head as it lies in the table; to be compared with itself later."""
    return dict(ledger.dynamodb.get_item(TableName=ledger.table, Key=HEAD).get("Item", {}))
