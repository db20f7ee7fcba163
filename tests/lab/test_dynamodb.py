"""Conditional writes of the lab's DynamoDB: of any number at the same instant, one comes through."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.backends import get_backend

from lab.dynamodb import AtomicItems
from lab.seam import MotoChangedError
from lab.workflow import ACCOUNT

TABLE = "relight-shop"
KEY = {"pk": {"S": "region"}}
AT_ONCE = 8


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    items = AtomicItems()
    with mock_aws():
        items.install()
        client: Any = boto3.client("dynamodb", region_name="eu-central-1")
        client.create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        )
        yield client
        items.uninstall()


def take(client: Any, owner: str, together: threading.Barrier) -> bool:
    together.wait()
    try:
        client.update_item(
            TableName=TABLE,
            Key=KEY,
            UpdateExpression="SET #owner = :me, epoch = if_not_exists(epoch, :zero) + :one",
            ConditionExpression="attribute_not_exists(#owner)",
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues={":me": {"S": owner}, ":zero": {"N": "0"}, ":one": {"N": "1"}},
        )
    except ClientError as error:
        assert error.response["Error"]["Code"] == "ConditionalCheckFailedException"
        return False
    return True


def test_a_free_lock_is_taken_by_one(table: Any) -> None:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for _ in range(20):
            table.delete_item(TableName=TABLE, Key=KEY)
            together = threading.Barrier(AT_ONCE)
            taken = list(threads.map(lambda n, together=together: take(table, f"run-{n}", together), range(AT_ONCE)))
            item = table.get_item(TableName=TABLE, Key=KEY, ConsistentRead=True)["Item"]
            assert taken.count(True) == 1
            assert item["epoch"] == {"N": "1"}
            assert item["owner"] == {"S": f"run-{taken.index(True)}"}


def test_what_was_read_is_not_changed_by_who_writes_afterwards(table: Any) -> None:
    """moto writes an answer down after the call; an item that grows meanwhile cannot be iterated over."""
    table.put_item(TableName=TABLE, Item=KEY)
    said = get_backend("dynamodb")[ACCOUNT]["eu-central-1"].get_item(TABLE, KEY)
    table.update_item(
        TableName=TABLE, Key=KEY, UpdateExpression="SET epoch = :one", ExpressionAttributeValues={":one": {"N": "1"}}
    )
    assert said.to_json()["Attributes"] == KEY
    assert table.get_item(TableName=TABLE, Key=KEY)["Item"] == KEY | {"epoch": {"N": "1"}}


def test_a_moto_without_these_places_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.dynamodb._WRITES", ("update_item_of_another_name",))
    with pytest.raises(MotoChangedError, match="update_item_of_another_name"):
        AtomicItems().install()
