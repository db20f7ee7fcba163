"""Publishes this Region's switches at the decision, or once writes are proven; takes them back, or lets HOLD go."""

import os
import time
from typing import Any

from aws_lambda_powertools import Logger
from relight.clients import client
from relight.ledger import Ledger
from relight.run import Run
from relight.settings import SwitchSettings
from relight.step import perform
from relight.steps.switch import Intent, Switch

logger = Logger()
settings = SwitchSettings.from_env(os.environ)
ledger = Ledger(client("dynamodb", settings.aws_region), settings.ledger_table, settings.home_region)
peer_cloudwatch = client(
    "cloudwatch",
    settings.peer_region,
    connect=settings.peer_connect_seconds,
    read=settings.peer_read_seconds,
    attempts=2,
)
switch = Switch(settings, ledger, client("cloudwatch", settings.aws_region), time.time, peer_cloudwatch)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{"run", "intent": "engage" | "go" | "clear" | "release"} -> the step's outcome."""
    run, intent = Run.from_event(event), Intent(event.get("intent", Intent.ENGAGE))
    name = "switch" if intent is Intent.ENGAGE else f"switch ({intent})"
    said = perform(name, run, ledger, time.time, lambda: switch.ensure(run, intent))
    logger.info("switched", extra={"run": run.id, "intent": intent, "outcome": said})
    return said
