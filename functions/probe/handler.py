"""Scheduled in both Regions, at work in the standby: samples the active one, keeps the signals, starts a run."""

import os
import time
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from relight.clients import client
from relight.ledger import Ledger
from relight.lookout import Lookout
from relight.probe import Probe
from relight.settings import ProbeSettings

logger = Logger()
metrics = Metrics()
settings = ProbeSettings.from_env(os.environ)
ledger = Ledger(client("dynamodb", settings.aws_region), settings.ledger_table, settings.home_region)
lookout = Lookout(
    settings,
    ledger,
    client("lambda", settings.aws_region),
    client("rds", settings.aws_region),
    client(
        "rds", settings.peer_region, connect=settings.peer_connect_seconds, read=settings.peer_read_seconds, attempts=1
    ),
    client("cloudwatch", settings.aws_region, read=3, attempts=1),
    time.time,
)
probe = Probe(
    settings,
    lookout,
    ledger,
    client("stepfunctions", settings.aws_region),
    client(
        "autoscaling",
        settings.peer_region,
        connect=settings.peer_connect_seconds,
        read=settings.peer_read_seconds,
        attempts=1,
    ),
    time.time,
    time.sleep,
    lambda name, value: metrics.add_metric(name, MetricUnit.Count, value),
)


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """One minute of watching; the event says nothing that matters."""
    said = probe.watch()
    logger.info("watched", extra=said)
    return said
