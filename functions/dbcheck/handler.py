"""In the VPC: the only function that speaks to the database."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from relight.clients import client
from relight.dbcheck import LOOKS, Dbcheck
from relight.settings import DbcheckSettings

logger = Logger()
settings = DbcheckSettings.from_env(os.environ)
dbcheck = Dbcheck(settings, client("rds", settings.aws_region))


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{"check": one of relight.dbcheck.Check, ...} -> what the database says; without one it is `heartbeat`."""
    said = dbcheck.check(event)
    # Of a comparison only the sentence: its answers are long, and may hold what customers have written.
    logger.info("checked", extra={"answer": {"sentence": said["sentence"]} if event.get("check") in LOOKS else said})
    return said
