"""A table of moto's with nothing between: neither boto3 nor a wire, which take four fifths of a run's time."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from botocore.exceptions import ClientError
from moto.dynamodb.exceptions import ConditionalCheckFailed
from moto.dynamodb.models import dynamodb_backends

from lab.workflow import ACCOUNT

type Item = dict[str, Any]


class Table:
    """What a ledger asks of DynamoDB, under boto3's names. `queries` is boto3's own client, for all that is seldom."""

    def __init__(self, region: str, queries: Any, before_update: Callable[[Item], None] = lambda key: None) -> None:
        self._region = region
        self._before_update = before_update
        self.query = queries.query
        self.get_paginator = queries.get_paginator

    @property
    def _backend(self) -> Any:
        return dynamodb_backends[ACCOUNT][self._region]

    def get_item(self, *, TableName: str, Key: Item, **_more: Any) -> dict[str, Any]:  # noqa: N803 (boto3's names)
        """As boto3 answers."""
        found = self._backend.get_item(TableName, Key)
        return {} if found is None else {"Item": attributes(found)}

    def put_item(self, *, TableName: str, Item: Item) -> dict[str, Any]:  # noqa: N803
        """As boto3 answers."""
        self._backend.put_item(TableName, Item)
        return {}

    def clear(self, table: str, key: Item) -> None:
        """As if that item had never been."""
        self._backend.delete_item(table, key)

    def update_item(self, *, TableName: str, Key: Item, **given: Any) -> dict[str, Any]:  # noqa: N803
        """As boto3 answers; its ClientError where the condition does not hold."""
        self._before_update(Key)
        return update(self._backend, TableName, Key, given)


def update(backend: Any, table: str, key: Item, given: Mapping[str, Any]) -> dict[str, Any]:
    """UpdateItem on one of moto's backends: the new attributes; ClientError where the condition does not hold."""
    try:
        item = backend.update_item(
            table,
            key,
            update_expression=given["UpdateExpression"],
            expression_attribute_names=given.get("ExpressionAttributeNames", {}),
            expression_attribute_values=given.get("ExpressionAttributeValues", {}),
            condition_expression=given.get("ConditionExpression"),
        )
    except ConditionalCheckFailed:
        refused: Any = {
            "Error": {"Code": "ConditionalCheckFailedException", "Message": "The conditional request failed"}
        }
        raise ClientError(refused, "UpdateItem") from None
    return {"Attributes": attributes(item)}


def attributes(item: Any) -> Item:
    """An item of moto's as DynamoDB writes it down."""
    written: Item = deepcopy(item.to_json()["Attributes"])
    return written
