"""Publishes STOP and GO at the decision, or GO once writes are proven; or takes them back."""

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
switch = Switch(settings, ledger, client("cloudwatch", settings.aws_region), time.time)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{"run", "intent": "engage" | "go" | "clear"} -> the step's outcome."""
    run, intent = Run.from_event(event), Intent(event.get("intent", Intent.ENGAGE))
    name = "switch" if intent is Intent.ENGAGE else f"switch ({intent})"
    said = perform(name, run, ledger, time.time, lambda: switch.ensure(run, intent))
    logger.info("switched", extra={"run": run.id, "intent": intent, "outcome": said})
    return said
