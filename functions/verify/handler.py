"""Proves, as a client outside would see it, that writes work and that the traffic has come."""

import os
import time
from typing import Any

from aws_lambda_powertools import Logger
from relight import names
from relight.clients import client
from relight.ledger import Ledger
from relight.run import Run
from relight.settings import VerifySettings
from relight.step import perform
from relight.steps.verify import Verify

logger = Logger()
settings = VerifySettings.from_env(os.environ)
ledger = Ledger(client("dynamodb", settings.aws_region), settings.ledger_table, settings.home_region)
verify = Verify(settings, ledger, time.time, names.resolver(settings.resolver, settings.sample_timeout_seconds))


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{"run", "what": "writes" | "traffic"} -> the step's outcome."""
    run = Run.from_event(event)
    if event.get("what", "writes") == "traffic":
        said = perform("confirm traffic", run, ledger, time.time, lambda: verify.traffic(run))
    else:
        said = perform("verify", run, ledger, time.time, lambda: verify.writes(run))
    logger.info("verified", extra={"run": run.id, "outcome": said})
    return said
