"""Scheduled in either Region: publishes its switches, and fences it where the other one has superseded it."""

import os
import time
from typing import Any

from aws_lambda_powertools import Logger
from relight.clients import client
from relight.errors import NotFenced
from relight.guard import Guard, Hands, Standing
from relight.ledger import Ledger
from relight.network_acl import fence_of
from relight.offer import Offer
from relight.settings import GuardSettings

logger = Logger()
settings = GuardSettings.from_env(os.environ)
bounds: dict[str, Any] = {
    "connect": settings.peer_connect_seconds,
    "read": settings.peer_read_seconds,
    "attempts": 2,
}
hands = Hands(
    fence_of(client("ec2", settings.aws_region), settings.network_acl_id, settings.app_cidrs),
    # Once, and longer than it takes: nothing else waits for it.
    client("lambda", settings.aws_region, read=20, attempts=1),
    client("autoscaling", settings.aws_region),
    client("stepfunctions", settings.peer_region, **bounds),
    client("cloudwatch", settings.peer_region, **bounds),
)
ledger = Ledger(client("dynamodb", settings.aws_region), settings.ledger_table, settings.home_region)
guard = Guard(
    settings,
    ledger,
    Ledger(client("dynamodb", settings.peer_region, **bounds), settings.peer_ledger_table, settings.home_region),
    hands,
    client("cloudwatch", settings.aws_region),
    offer=Offer(settings, ledger, client("sns", settings.aws_region), time.time),
)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """One watch; the event says nothing that matters."""
    said = guard.watch()
    logger.info("guarded", extra=said)
    if "lacking" in said:
        logger.warning("not all of it could be done", extra={"standing": said["standing"], "lacking": said["lacking"]})
    if "lacking" in said and said["standing"] == Standing.SUPERSEDED:
        raise NotFenced("; ".join(said["lacking"]))  # so that an alarm tells of it: two Regions may be taking writes
    return said
