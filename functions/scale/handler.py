"""Brings this Region's capacity up, or back to what it was."""

import os
import time
from typing import Any

from aws_lambda_powertools import Logger
from relight.clients import client
from relight.ledger import Ledger
from relight.run import Run
from relight.settings import ScaleSettings
from relight.step import perform
from relight.steps.scale import Intent, Scale

logger = Logger()
settings = ScaleSettings.from_env(os.environ)
ledger = Ledger(client("dynamodb", settings.aws_region), settings.ledger_table, settings.home_region)
# Both ledgers are called the same. Best effort: it is asked for sizes of long ago.
peer_dynamodb = client("dynamodb", settings.peer_region, connect=2, read=5, attempts=2)
scale = Scale(
    settings,
    ledger,
    client("autoscaling", settings.aws_region),
    client("elbv2", settings.aws_region),
    time.time,
    Ledger(peer_dynamodb, settings.ledger_table, settings.home_region),
)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{"run", "intent": "warm" | "serve" | "restore" | "ready" | "settle"} -> the step's outcome."""
    run, intent = Run.from_event(event), Intent(event.get("intent", Intent.SERVE))
    said = perform(f"scale ({intent})", run, ledger, time.time, lambda: scale.ensure(run, intent))
    logger.info("scaled", extra={"run": run.id, "intent": intent, "outcome": said})
    return said
