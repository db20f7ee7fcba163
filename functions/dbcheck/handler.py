"""In the VPC: the only function that speaks to the database."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from relight.clients import client
from relight.dbcheck import Dbcheck
from relight.settings import DbcheckSettings

logger = Logger()
settings = DbcheckSettings.from_env(os.environ)
dbcheck = Dbcheck(settings, client("rds", settings.aws_region))


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{"check": "state" | "write" | "heartbeat" | "stop" | "allow"} -> what the database says; else `heartbeat`."""
    said = dbcheck.check(event)
    logger.info("checked", extra={"answer": said})
    return said
