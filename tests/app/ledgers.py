"""The ledgers of both Regions, behind moto's API, as Relight writes them."""

from typing import Any

import boto3
from relight.ledger import Head, Ledger, State

HOME, DR = "eu-west-1", "eu-central-1"
TABLE = "relight-shop"
AWS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true"}


class Ledgers:
    """The tables of both Regions; each of them empty."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.clients: dict[str, Any] = {
            region: boto3.client(
                "dynamodb",
                region_name=region,
                endpoint_url=endpoint,
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
            )
            for region in (HOME, DR)
        }
        self.create()

    def create(self) -> None:
        """Make the tables, as template.yaml keys them."""
        for client in self.clients.values():
            client.create_table(
                TableName=TABLE,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
                KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            )

    def say(self, region: str, epoch: int, active: str, state: State = State.STEADY, since: int | None = None) -> None:
        """Write a head as relight writes it; `active` since that epoch, or else since an earlier one."""
        Ledger(self.clients[region], TABLE, HOME).mirror(
            Head(True, epoch, active, state, active_epoch=epoch if since is None else since), 0
        )

    def open_door(self, region: str) -> None:
        """A promotion has begun there."""
        self.clients[region].update_item(
            TableName=TABLE,
            Key={"pk": {"S": "region"}, "sk": {"S": "head"}},
            UpdateExpression="SET promotion = :promotion",
            ExpressionAttributeValues={
                ":promotion": {"M": {"instance": {"S": "shop-dr"}, "run": {"S": "failover-2"}, "epoch": {"N": "2"}}}
            },
        )

    def delete(self) -> None:
        """As if they had never been."""
        for client in self.clients.values():
            if TABLE in client.list_tables()["TableNames"]:
                client.delete_table(TableName=TABLE)
