"""Looks whether the way home is open, holds the other ledger's lock meanwhile, and has the pilot lit again."""

import os
import time
from typing import Any

from aws_lambda_powertools import Logger
from relight.clients import client
from relight.ledger import Ledger
from relight.run import Run
from relight.settings import SurveySettings
from relight.step import perform
from relight.steps.outlook import Outlook
from relight.steps.survey import Intent, Survey

logger = Logger()
settings = SurveySettings.from_env(os.environ)
bounds: dict[str, Any] = {"connect": settings.peer_connect_seconds, "read": settings.peer_read_seconds, "attempts": 2}
peer_dynamodb = client("dynamodb", settings.peer_region, **bounds)
ledger = Ledger(client("dynamodb", settings.aws_region), settings.ledger_table, settings.home_region)
survey = Survey(
    settings,
    ledger,
    Ledger(peer_dynamodb, settings.peer_ledger_table, settings.home_region),
    client("stepfunctions", settings.aws_region),
    client("stepfunctions", settings.peer_region, **bounds),
    client("rds", settings.peer_region, **bounds),
    time.time,
)
outlook = Outlook(survey, client("rds", settings.aws_region))


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{"intent": "hear"} or {"run", "intent", "to"?, "parent"?} -> the step's outcome; {"intent": "preview", "to"?} ->
    what a failback would do, changing nothing."""
    intent = Intent(event["intent"])
    if intent is Intent.PREVIEW:
        return outlook.preview(event)
    if intent is Intent.HEAR:
        return survey.hear().as_dict()
    run = Run.from_event(event)
    said = perform(f"survey ({intent})", run, ledger, time.time, lambda: survey.ensure(run, intent, event))
    logger.info("surveyed", extra={"run": run.id, "intent": intent, "outcome": said})
    return said
