"""Gives this Region's database what the primary's had: a standby, backups, deletion protection."""

import os
import time
from typing import Any

from aws_lambda_powertools import Logger
from relight.clients import client
from relight.ledger import Ledger
from relight.run import Run
from relight.settings import HardenSettings
from relight.step import perform
from relight.steps.harden import Harden

logger = Logger()
settings = HardenSettings.from_env(os.environ)
ledger = Ledger(client("dynamodb", settings.aws_region), settings.ledger_table, settings.home_region)
harden = Harden(
    settings,
    ledger,
    client("rds", settings.aws_region),
    time.time,
    client("rds", settings.peer_region, connect=2, read=5, attempts=2),  # best effort
)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{"run"} -> the step's outcome."""
    run = Run.from_event(event)
    said = perform("harden", run, ledger, time.time, harden.ensure)
    logger.info("hardened", extra={"run": run.id, "outcome": said})
    return said
