"""Publishes STOP and GO at the decision, or takes them back."""

import os
import time
from typing import Any

from aws_lambda_powertools import Logger
from relight.clients import client
from relight.ledger import Ledger
from relight.run import Run
from relight.settings import SwitchSettings
from relight.step import perform
from relight.steps.switch import Switch

logger = Logger()
settings = SwitchSettings.from_env(os.environ)
ledger = Ledger(client("dynamodb", settings.aws_region), settings.ledger_table, settings.home_region)
switch = Switch(settings, ledger, client("cloudwatch", settings.aws_region))


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{"run", "intent": "engage" | "clear"} -> the step's outcome."""
    run = Run.from_event(event)
    if event.get("intent", "engage") == "clear":
        said = perform("switch (clear)", run, ledger, time.time, lambda: switch.clear(run))
    else:
        said = perform("switch", run, ledger, time.time, lambda: switch.engage(run))
    logger.info("switched", extra={"run": run.id, "outcome": said})
    return said
