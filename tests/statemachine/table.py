"""A table of moto's with nothing between: neither boto3 nor a wire, which take four fifths of a run's time."""

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from botocore.exceptions import ClientError
from moto.dynamodb.exceptions import ConditionalCheckFailed
from moto.dynamodb.models import dynamodb_backends

from lab.dynamodb import ALONE
from lab.workflow import ACCOUNT

type Item = dict[str, Any]
_CLAUSE = re.compile(r"(\w+) = (?:(if_not_exists)\(\w+, )?(:\w+)\)?")
_PLAIN = re.compile(rf"SET {_CLAUSE.pattern}(?:, {_CLAUSE.pattern})*")


class Table:
    """What a ledger asks of DynamoDB, under boto3's names. `seldom` is boto3's own client, for the rest."""

    def __init__(self, region: str, seldom: Any, before_update: Callable[[Item], None] = lambda key: None) -> None:
        self._region = region
        self._before_update = before_update
        self._seldom = seldom
        self.delete_item = seldom.delete_item

    @property
    def _backend(self) -> Any:
        return dynamodb_backends[ACCOUNT][self._region]

    def get_item(self, *, TableName: str, Key: Item, **_more: Any) -> dict[str, Any]:  # noqa: N803 (boto3's names)
        """As boto3 answers."""
        found = self._backend.get_item(TableName, Key)
        return {} if found is None else {"Item": attributes(found)}

    def query(self, *, TableName: str, KeyConditionExpression: str, **given: Any) -> dict[str, Any]:  # noqa: N803
        """As boto3 answers."""
        if KeyConditionExpression != "pk = :pk":
            answer: dict[str, Any] = self._seldom.query(
                TableName=TableName, KeyConditionExpression=KeyConditionExpression, **given
            )
            return answer
        key = given["ExpressionAttributeValues"][":pk"]
        with ALONE:  # moto's own items, which a handler of another branch changes
            found = self._backend.get_table(TableName).items
            items: dict[Any, Any] = next((each for name, each in found.items() if name.to_json() == key), {})
            return {"Items": [attributes(item) for _, item in sorted(items.items(), key=lambda each: each[0].value)]}

    def get_paginator(self, _operation: str) -> Any:
        """Of `query`, in one page."""
        return self

    def paginate(self, **given: Any) -> list[dict[str, Any]]:
        """As boto3's paginator answers."""
        return [self.query(**given)]

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
        plain = "ConditionExpression" not in given and _PLAIN.fullmatch(given["UpdateExpression"])
        if plain and Key["pk"]["S"].startswith("run#"):
            return self._set(TableName, Key, given)
        return update(self._backend, TableName, Key, given)

    def _set(self, table: str, key: Item, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the timeline asks for: moto takes five times as long to come to the same."""
        values = given["ExpressionAttributeValues"]
        with ALONE:
            item = self.get_item(TableName=table, Key=key).get("Item", dict(key))
            new = {name: values[value] for name, first, value in _CLAUSE.findall(given["UpdateExpression"])}
            stays = {name for name, first, _ in _CLAUSE.findall(given["UpdateExpression"]) if first and name in item}
            self._backend.put_item(table, item | {name: value for name, value in new.items() if name not in stays})
        return {}


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
            "Error": {"Code": "ConditionalCheckFailedException", "Message": "The conditional request failed"},
            "ResponseMetadata": {"HTTPStatusCode": 400, "RequestId": "refused"},
        }
        raise ClientError(refused, "UpdateItem") from None
    return {"Attributes": attributes(item)}


def attributes(item: Any) -> Item:
    """An item of moto's as DynamoDB writes it down."""
    written: Item = deepcopy(item.to_json()["Attributes"])
    return written
