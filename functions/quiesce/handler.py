"""Stops the peer's writes and sees the last of them arrive here, or lets them in again."""

import os
import time
from typing import Any

from aws_lambda_powertools import Logger
from relight.clients import client
from relight.ledger import Ledger
from relight.run import Run
from relight.settings import QuiesceSettings
from relight.step import perform
from relight.steps.quiesce import Intent, Quiescing

logger = Logger()
settings = QuiesceSettings.from_env(os.environ)
ledger = Ledger(client("dynamodb", settings.aws_region), settings.ledger_table, settings.home_region)
peer_functions = client(
    "lambda",
    settings.peer_region,
    connect=settings.peer_connect_seconds,
    read=settings.peer_read_seconds,
    attempts=2,
)
quiescing = Quiescing(settings, ledger, client("lambda", settings.aws_region), peer_functions, time.time)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{"run", "intent": "stop" | "replayed" | "resume", "lsn"?} -> the step's outcome."""
    run, intent, lsn = Run.from_event(event), Intent(event["intent"]), event.get("lsn")
    said = perform(f"quiesce ({intent})", run, ledger, time.time, lambda: quiescing.ensure(run, intent, lsn))
    logger.info("quiesced", extra={"run": run.id, "intent": intent, "outcome": said})
    return said
