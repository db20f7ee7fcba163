"""Compares the bucket of this Region, the standby, with the active one's, and has S3 replicate what it has not."""

import os
import time
from typing import Any

from aws_lambda_powertools import Logger
from relight.batch_job import BatchJobs
from relight.bucket import Bucket
from relight.clients import client
from relight.ledger import Ledger
from relight.run import Run
from relight.settings import ObjectsSettings
from relight.step import perform
from relight.steps.objects import Objects

logger = Logger()
settings = ObjectsSettings.from_env(os.environ)
here, there = settings.aws_region, settings.peer_region
ledger = Ledger(client("dynamodb", here), settings.ledger_table, settings.home_region)
bounds: dict[str, Any] = {"connect": settings.peer_connect_seconds, "read": settings.peer_read_seconds, "attempts": 2}
s3, peer_s3 = client("s3", here), client("s3", there, **bounds)
objects = Objects(
    settings,
    ledger,
    Bucket(peer_s3, settings.peer_bucket, there, settings.account_id) if settings.peer_bucket else None,
    Bucket(s3, settings.bucket, here, settings.account_id) if settings.bucket else None,
    BatchJobs(client("s3control", there, **bounds), settings.account_id, there),
    s3,
    time.time,
)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{"run"} -> the step's outcome."""
    run = Run.from_event(event)
    said = perform("objects", run, ledger, time.time, lambda: objects.ensure(run))
    logger.info("compared the objects", extra={"run": run.id, "outcome": said})
    return said
