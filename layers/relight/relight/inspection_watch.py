"""Control targets, alarms, rules, schedules, dead letters and subscriptions of this Region, for readiness."""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from relight import views
from relight.readiness_facts import Alarm, Topic, Unseen, WatchFacts
from relight.signal import Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relight.inquiry import Inquiry
    from relight.settings import ReadinessSettings

NO_QUEUE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")
NO_TOPIC = ("NotFound", "NotFoundException")


def send(ask: Inquiry, s: ReadinessSettings, own: Mapping[str, Any], now: float) -> Callable[[], WatchFacts]:
    """Ask this Region; what comes back collects the answers."""
    prefix = f"relight-{s.application}-"
    account = s.topic_arn.split(":")[4]
    targets = {
        target: ask.send(partial(silence, target, s.sample_timeout_seconds, now)) for target in s.control_targets
    }
    alarms = ask.send(lambda: alarmed(own["cloudwatch"], prefix))
    rules = ask.send(lambda: ruled(own["events"], prefix))
    starting = ask.send(
        lambda: frozenset(own["events"].list_rule_names_by_target(TargetArn=s.failover_machine)["RuleNames"])
    )
    schedules = ask.send(lambda: scheduled(own["scheduler"], prefix))
    letters = ask.seek(lambda: waiting(own["sqs"], account, f"{prefix}dead-letters"), *NO_QUEUE)
    topic = ask.seek(lambda: subscribed(own["sns"], s.topic_arn), *NO_TOPIC)

    def control() -> dict[str, str | None]:
        told = {target: ask.told(answer) for target, answer in targets.items()}
        return {target: said.why if isinstance(said, Unseen) else said for target, said in told.items()}

    return lambda: WatchFacts(
        control=control(),
        alarms=ask.told(alarms),
        rules=ask.told(rules),
        starting=ask.told(starting),
        schedules=ask.told(schedules),
        dead_letters=ask.told(letters),
        topic=ask.told(topic),
        topic_arn=s.topic_arn,
    )


def silence(target: str, patience: float, at: float) -> str | None:
    """Why a control target does not answer; None where it does."""
    sample = views.control((target,), socket.gethostbyname, patience, at)
    return None if sample.seen is Seen.UP else sample.sentence


def alarmed(cloudwatch: Any, prefix: str) -> dict[str, Alarm]:
    """The alarms whose names begin so, composite ones included."""
    kinds = ["MetricAlarm", "CompositeAlarm"]
    answer = cloudwatch.describe_alarms(AlarmNamePrefix=prefix, AlarmTypes=kinds, MaxRecords=100)
    return {
        one["AlarmName"]: Alarm(one.get("ActionsEnabled", True), tuple(one.get("AlarmActions", [])))
        for one in (*answer["MetricAlarms"], *answer["CompositeAlarms"])
    }


def ruled(events: Any, prefix: str) -> dict[str, bool]:
    """The rules whose names begin so, and whether each is enabled."""
    return {one["Name"]: one["State"] != "DISABLED" for one in events.list_rules(NamePrefix=prefix)["Rules"]}


def scheduled(scheduler: Any, prefix: str) -> dict[str, bool]:
    """The schedules whose names begin so, and whether each is enabled."""
    answer = scheduler.list_schedules(NamePrefix=prefix, MaxResults=100)
    return {one["Name"]: one["State"] == "ENABLED" for one in answer["Schedules"]}


def waiting(sqs: Any, account: str, queue: str) -> int:
    """How many messages lie in a queue; its address is known, so it is not asked for."""
    address = f"{sqs.meta.endpoint_url}/{account}/{queue}"
    asked = "ApproximateNumberOfMessages"
    return int(sqs.get_queue_attributes(QueueUrl=address, AttributeNames=[asked])["Attributes"][asked])


def subscribed(sns: Any, topic: str) -> Topic:
    """How many have subscribed to a topic, and how many of them have still to confirm it; of the first hundred."""
    found = [one["SubscriptionArn"] for one in sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]]
    return Topic(sum(arn.startswith("arn:") for arn in found), found.count("PendingConfirmation"))
