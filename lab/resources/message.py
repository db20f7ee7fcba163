"""SNS and SQS."""

import json
from collections.abc import Mapping
from typing import Any

from lab.expression import as_text
from lab.resources.argument import tag_argument
from lab.resources.kind import Kind, Made, Request

_TOPIC_ATTRIBUTES = ("DisplayName", "KmsMasterKeyId", "SignatureVersion", "TracingConfig")
_SUBSCRIPTION_ATTRIBUTES = (
    "DeliveryPolicy",
    "FilterPolicy",
    "FilterPolicyScope",
    "RawMessageDelivery",
    "RedrivePolicy",
    "SubscriptionRoleArn",
)
_QUEUE_ATTRIBUTES = (
    "ContentBasedDeduplication",
    "DelaySeconds",
    "FifoQueue",
    "KmsDataKeyReusePeriodSeconds",
    "KmsMasterKeyId",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds",
    "RedriveAllowPolicy",
    "RedrivePolicy",
    "SqsManagedSseEnabled",
    "VisibilityTimeout",
)


def _texts(properties: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    """Attributes are text in these APIs: JSON for a policy."""
    given = {name: properties[name] for name in names if name in properties}
    return {name: json.dumps(value) if isinstance(value, dict) else as_text(value) for name, value in given.items()}


def _create_topic(request: Request) -> Made:
    own = request.properties
    name = str(own.get("TopicName") or request.name(256))
    attributes = _texts(own, _TOPIC_ATTRIBUTES)
    arn = request.call("sns", "create_topic", Name=name, Attributes=attributes, Tags=own.get("Tags"))["TopicArn"]
    for subscription in own.get("Subscription", []):
        request.call("sns", "subscribe", TopicArn=arn, **subscription)
    return Made(arn, {"TopicArn": arn, "TopicName": name})


def _update_topic(request: Request, made: Made, changed: frozenset[str]) -> Made:
    for name, value in _texts(request.properties, _TOPIC_ATTRIBUTES).items():
        if name in changed:
            request.call(
                "sns", "set_topic_attributes", TopicArn=made.physical_id, AttributeName=name, AttributeValue=value
            )
    return made


def _delete_topic(request: Request, made: Made) -> None:
    request.call("sns", "delete_topic", TopicArn=made.physical_id)


def _put_topic_policy(request: Request) -> Made:
    own = request.properties
    for topic in own["Topics"]:
        request.call(
            "sns",
            "set_topic_attributes",
            TopicArn=topic,
            AttributeName="Policy",
            AttributeValue=json.dumps(own["PolicyDocument"]),
        )
    return Made(request.name())


def _update_topic_policy(request: Request, made: Made, _: frozenset[str]) -> Made:
    _put_topic_policy(request)
    return made


def _subscribe(request: Request) -> Made:
    own = request.properties
    arn = request.call(
        "sns",
        "subscribe",
        TopicArn=own["TopicArn"],
        Protocol=own["Protocol"],
        Endpoint=own.get("Endpoint"),
        Attributes=_texts(own, _SUBSCRIPTION_ATTRIBUTES),
        ReturnSubscriptionArn=True,
    )["SubscriptionArn"]
    return Made(arn, {"Arn": arn})


def _unsubscribe(request: Request, made: Made) -> None:
    request.call("sns", "unsubscribe", SubscriptionArn=made.physical_id)


def _create_queue(request: Request) -> Made:
    own = request.properties
    name = str(own.get("QueueName") or request.name(80))
    tags = tag_argument("map", own.get("Tags", []))["Tags"]
    attributes = _texts(own, _QUEUE_ATTRIBUTES)
    url = request.call("sqs", "create_queue", QueueName=name, Attributes=attributes, tags=tags)["QueueUrl"]
    return Made(url, {"Arn": request.arn("sqs", name), "QueueName": name, "QueueUrl": url})


def _update_queue(request: Request, made: Made, _: frozenset[str]) -> Made:
    attributes = _texts(request.properties, _QUEUE_ATTRIBUTES)
    request.call("sqs", "set_queue_attributes", QueueUrl=made.physical_id, Attributes=attributes)
    return made


def _delete_queue(request: Request, made: Made) -> None:
    request.call("sqs", "delete_queue", QueueUrl=made.physical_id)


def _put_queue_policy(request: Request) -> Made:
    own = request.properties
    for queue in own["Queues"]:
        policy = {"Policy": json.dumps(own["PolicyDocument"])}
        request.call("sqs", "set_queue_attributes", QueueUrl=queue, Attributes=policy)
    return Made(request.name())


def _update_queue_policy(request: Request, made: Made, _: frozenset[str]) -> Made:
    _put_queue_policy(request)
    return made


def _forget_topic_policy(request: Request, _: Made) -> None:
    """A topic is never without a policy: SNS has no call that takes one away."""


def _delete_queue_policy(request: Request, _: Made) -> None:
    for queue in request.properties["Queues"]:
        request.call("sqs", "set_queue_attributes", QueueUrl=queue, Attributes={"Policy": ""})


KINDS = [
    Kind(
        type="AWS::SNS::Topic",
        properties=frozenset({"TopicName", "Subscription", "Tags", *_TOPIC_ATTRIBUTES}),
        create=_create_topic,
        update=_update_topic,
        delete=_delete_topic,
        fixed=frozenset({"TopicName", "Subscription"}),
        attributes=frozenset({"TopicArn", "TopicName"}),
    ),
    Kind(
        type="AWS::SNS::TopicPolicy",
        properties=frozenset({"Topics", "PolicyDocument"}),
        create=_put_topic_policy,
        update=_update_topic_policy,
        delete=_forget_topic_policy,
    ),
    Kind(
        type="AWS::SNS::Subscription",
        properties=frozenset({"TopicArn", "Protocol", "Endpoint", *_SUBSCRIPTION_ATTRIBUTES}),
        create=_subscribe,
        delete=_unsubscribe,
        attributes=frozenset({"Arn"}),
    ),
    Kind(
        type="AWS::SQS::Queue",
        properties=frozenset({"QueueName", "Tags", *_QUEUE_ATTRIBUTES}),
        create=_create_queue,
        update=_update_queue,
        delete=_delete_queue,
        fixed=frozenset({"QueueName", "FifoQueue"}),
        attributes=frozenset({"Arn", "QueueName", "QueueUrl"}),
        holds_data=True,
    ),
    Kind(
        type="AWS::SQS::QueuePolicy",
        properties=frozenset({"Queues", "PolicyDocument"}),
        create=_put_queue_policy,
        update=_update_queue_policy,
        delete=_delete_queue_policy,
    ),
]
