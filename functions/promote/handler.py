"""Promotes the replica of this Region: the one-way door."""

import os
import time
from typing import Any

from aws_lambda_powertools import Logger
from relight.clients import client
from relight.ledger import Ledger
from relight.run import Run
from relight.settings import PromoteSettings
from relight.step import perform
from relight.steps.promote import Promote

logger = Logger()
settings = PromoteSettings.from_env(os.environ)
ledger = Ledger(client("dynamodb", settings.aws_region), settings.ledger_table, settings.home_region)
promote = Promote(
    settings,
    ledger,
    client("rds", settings.aws_region, attempts=1),  # a promotion that was asked for twice looks refused
    client("lambda", settings.aws_region),
    time.time,
)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{"run"} -> the step's outcome."""
    run = Run.from_event(event)
    said = perform("promote", run, ledger, time.time, lambda: promote.ensure(run))
    logger.info("promoted", extra={"run": run.id, "outcome": said})
    return said
