"""Builds this Region's replica of the active database, under the identifier of the one before it."""

import os
import time
from typing import Any

from aws_lambda_powertools import Logger
from relight.clients import client
from relight.ledger import Ledger
from relight.run import Run
from relight.settings import ReprotectSettings
from relight.step import perform
from relight.steps.reprotect import Reprotect

logger = Logger()
settings = ReprotectSettings.from_env(os.environ)
bounds: dict[str, Any] = {"connect": settings.peer_connect_seconds, "read": settings.peer_read_seconds, "attempts": 2}
ledger = Ledger(client("dynamodb", settings.aws_region), settings.ledger_table, settings.home_region)
reprotect = Reprotect(
    settings,
    ledger,
    client("rds", settings.aws_region),
    client("rds", settings.peer_region, **bounds),
    client("lambda", settings.aws_region),
    time.time,
)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{"run"} -> the step's outcome."""
    run = Run.from_event(event)
    said = perform("reprotect", run, ledger, time.time, lambda: reprotect.ensure(run))
    logger.info("reprotected", extra={"run": run.id, "outcome": said})
    return said
