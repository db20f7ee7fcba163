"""Keeps the old database under another name, watches it, and deletes it by a person's word."""

import os
import time
from typing import Any

from aws_lambda_powertools import Logger
from relight.clients import client
from relight.errors import InputInvalid
from relight.ledger import Ledger
from relight.run import Run
from relight.settings import RetireSettings
from relight.step import perform
from relight.steps.retained import Retained
from relight.steps.retire import Retire

logger = Logger()
settings = RetireSettings.from_env(os.environ)
here = settings.aws_region
ledger = Ledger(client("dynamodb", here), settings.ledger_table, settings.home_region)
rds, functions = client("rds", here), client("lambda", here)
retire = Retire(settings, ledger, rds, functions, time.time)
retained = Retained(settings, ledger, rds, functions, client("cloudwatch", here), client("sns", here), time.time)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{"run", "intent": "keep"}, {"intent": "watch"} or {"intent": "delete", "instance", "by", "because"}: what came of
    it; of `keep` and `delete` the step's outcome."""
    match event.get("intent"):
        case "keep":
            run = Run.from_event(event)
            said = perform("retire", run, ledger, time.time, lambda: retire.keep(run))
        case "watch":
            said = retained.watch()
        case "delete":
            instance, by, because = (str(event.get(name) or "") for name in ("instance", "by", "because"))
            said = retained.delete(instance, by, because).as_dict()
        case other:
            raise InputInvalid(f'"intent" is {other!r}; it is keep, watch or delete')
    logger.info("retired", extra={"intent": event["intent"], "outcome": said})
    return said
