"""Tells whether the replica equals the active database, and what a retired one has that the active one lacks."""

import os
import time
from typing import Any

from aws_lambda_powertools import Logger
from relight.clients import client
from relight.ledger import Ledger
from relight.run import Run
from relight.settings import CompareSettings
from relight.step import perform
from relight.steps.compare import READ_SECONDS, Comparing, Retired
from relight.walk import What

logger = Logger()
settings = CompareSettings.from_env(os.environ)
ledger = Ledger(client("dynamodb", settings.aws_region), settings.ledger_table, settings.home_region)
here = client("lambda", settings.aws_region, read=READ_SECONDS, attempts=2)
peer = client("lambda", settings.peer_region, connect=settings.peer_connect_seconds, read=READ_SECONDS, attempts=2)
comparing = Comparing(settings, ledger, here, peer, client("s3", settings.aws_region), time.time)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{"run", "what": "database"} or {"run", "what": "lost", "retired"} -> the step's outcome."""
    run, what = Run.from_event(event), What(event["what"])
    retired = Retired.from_event(event.get("retired")) if what is What.LOST else None
    said = perform(f"compare ({what})", run, ledger, time.time, lambda: comparing.ensure(run, what, retired))
    logger.info("compared", extra={"run": run.id, "what": what, "outcome": said})
    return said
