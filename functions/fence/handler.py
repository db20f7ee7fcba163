"""Cuts the peer's application off from its database, lets it in again, empties the peer, or lets in this Region's."""

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
from relight.steps.fence import Fencing, Intent, Peer

logger = Logger()
settings = FenceSettings.from_env(os.environ)
ledger = Ledger(client("dynamodb", settings.aws_region), settings.ledger_table, settings.home_region)
bounds: dict[str, Any] = {
    "connect": settings.peer_connect_seconds,
    "read": settings.peer_read_seconds,
    "attempts": 2,
}
peer = Peer(
    fence_of(client("ec2", settings.peer_region, **bounds), settings.peer_network_acl_id, settings.peer_app_cidrs),
    client("lambda", settings.peer_region, **bounds),
    client("autoscaling", settings.peer_region, **bounds),
    # Both ledgers are called the same.
    Ledger(client("dynamodb", settings.peer_region, **bounds), settings.ledger_table, settings.home_region),
)
acl = fence_of(client("ec2", settings.aws_region), settings.network_acl_id, settings.app_cidrs)
fencing = Fencing(settings, ledger, peer, time.time, ThreadPoolExecutor(max_workers=4), acl)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{"run", "intent": "cut" | "lift" | "empty" | "open"} -> the step's outcome, which is always DONE."""
    run, intent = Run.from_event(event), Intent(event.get("intent", Intent.CUT))
    name = "fence" if intent is Intent.CUT else f"fence ({intent})"
    said = perform(name, run, ledger, time.time, lambda: fencing.ensure(run, intent))
    logger.info("fenced", extra={"run": run.id, "outcome": said})
    return said
