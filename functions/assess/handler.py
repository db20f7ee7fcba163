"""Gathers the facts of this moment and decides on them."""

import os
import time
from typing import Any

from aws_lambda_powertools import Logger
from relight.assess import assess, is_preview, preview
from relight.clients import client
from relight.ledger import Ledger
from relight.lookout import Lookout
from relight.run import Run
from relight.settings import ViewSettings

logger = Logger()
settings = ViewSettings.from_env(os.environ)
ledger = Ledger(client("dynamodb", settings.aws_region), settings.ledger_table, settings.home_region)
lookout = Lookout(
    settings,
    ledger,
    client("lambda", settings.aws_region),
    client("rds", settings.aws_region),
    client(
        "rds", settings.peer_region, connect=settings.peer_connect_seconds, read=settings.peer_read_seconds, attempts=1
    ),
    client("cloudwatch", settings.aws_region, read=3, attempts=1),
    time.time,
)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{"run", "trigger", "force", "reason"}, or {"preview": true, "mode"?, "force"?, "reason"?} -> the verdict."""
    if is_preview(event):
        foreseen = preview(event, lookout)
        logger.info("foreseen", extra={"verdict": foreseen})
        return foreseen
    run = Run.from_event(event)
    verdict = assess(event, run, lookout, ledger, time.time)
    logger.info("decided", extra={"run": run.id, "verdict": verdict})
    return verdict
