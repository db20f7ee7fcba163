"""Who subscribed to the topic: what is delivered to them, all of it or what their filter policy lets through."""

import json
from dataclasses import dataclass
from typing import Any

from tests.unit.conftest import Clients
from tests.unit.standby import HERE


@dataclass(frozen=True)
class Letter:
    """One notification as it was delivered."""

    subject: str
    text: str
    attributes: dict[str, str]

    @property
    def commands(self) -> list[str]:
        """The lines that are there to be pasted."""
        return [line for line in self.text.splitlines() if line.startswith(("relight ", "aws "))]


class Mailbox:
    """A subscription's queue, at the topic `relight-shop`."""

    def __init__(self, clients: Clients, name: str = "mailbox", policy: dict[str, Any] | None = None) -> None:
        sns, self._sqs = clients("sns", HERE), clients("sqs", HERE)
        self.topic: str = sns.create_topic(Name="relight-shop")["TopicArn"]
        self._queue = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        wanted = {"QueueUrl": self._queue, "AttributeNames": ["QueueArn"]}
        arn = self._sqs.get_queue_attributes(**wanted)["Attributes"]["QueueArn"]
        attributes = {} if policy is None else {"FilterPolicy": json.dumps(policy)}
        sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn, Attributes=attributes)

    def read(self) -> list[Letter]:
        """What has come since."""
        found = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages", [])
        for message in found:
            self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return [_letter(json.loads(message["Body"])) for message in found]


def _letter(body: dict[str, Any]) -> Letter:
    said = body.get("MessageAttributes", {})
    assert all(value["Type"] == "String" for value in said.values())
    return Letter(body["Subject"], body["Message"], {name: value["Value"] for name, value in said.items()})
