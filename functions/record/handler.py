"""Says what a run has to say: to people, to the ledger, to the evidence and to the peer."""

import os
import time
from typing import Any

from aws_lambda_powertools import Logger
from relight.clients import client
from relight.evidence import Objectives
from relight.ledger import Ledger
from relight.record import Recorder
from relight.settings import RecordSettings

logger = Logger()
settings = RecordSettings.from_env(os.environ)
peer_dynamodb = client(
    "dynamodb",
    settings.peer_region,
    connect=settings.peer_connect_seconds,
    read=settings.peer_read_seconds,
    attempts=2,
)
recorder = Recorder(
    settings,
    Ledger(client("dynamodb", settings.aws_region), settings.ledger_table, settings.home_region),
    Ledger(peer_dynamodb, settings.peer_ledger_table, settings.home_region),
    client("s3", settings.aws_region),
    client("sns", settings.aws_region),
    time.time,
    Objectives(settings.rto_seconds, settings.max_data_loss_seconds),
    # What is good to have: nobody waits long for it.
    client("cloudwatch", settings.aws_region, read=3, attempts=1),
    client("stepfunctions", settings.aws_region, read=3, attempts=1),
    client("events", settings.aws_region, connect=1, read=2, attempts=2),
)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{"run", "what": "end" | "ask" | "tell" | "answer" | "news"}, or an event of AWS Health -> what came of it."""
    said = recorder.handle(event)
    # Never the event itself: a question's token would lie in the log, and whoever has it can answer.
    logger.info("recorded", extra={"run": (event.get("run") or {}).get("id"), "record": said})
    return said
