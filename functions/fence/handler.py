"""Cuts the peer's application off from the peer's database, or lets it in again."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aws_lambda_powertools import Logger
from relight.clients import client
from relight.ledger import Ledger
from relight.network_acl import fence_of
from relight.run import Run
from relight.settings import FenceSettings
from relight.step import perform
from relight.steps.fence import Fencing

logger = Logger()
settings = FenceSettings.from_env(os.environ)
ledger = Ledger(client("dynamodb", settings.aws_region), settings.ledger_table, settings.home_region)
ec2 = client(
    "ec2",
    settings.peer_region,
    connect=settings.peer_connect_seconds,
    read=settings.peer_read_seconds,
    attempts=2,
)
acl = fence_of(ec2, settings.peer_network_acl_id, settings.peer_app_cidrs)
threads = ThreadPoolExecutor(max_workers=4)
fencing = Fencing(acl, ledger, settings.fence_seconds, time.time, threads, settings.aws_region)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{"run", "intent": "cut" | "lift"} -> the step's outcome, which is always DONE."""
    run = Run.from_event(event)
    if event.get("intent", "cut") == "lift":
        said = perform("fence (lift)", run, ledger, time.time, fencing.lift)
    else:
        said = perform("fence", run, ledger, time.time, lambda: fencing.cut(run))
    logger.info("fenced", extra={"run": run.id, "outcome": said})
    return said
