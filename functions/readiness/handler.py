"""Scheduled in both Regions, and on demand: whether a failover to this one would work now."""

import os
import time
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from relight import news
from relight.clients import client
from relight.inspection import OWN, PEERS, Inspection
from relight.ledger import Ledger
from relight.settings import ReadinessSettings

logger = Logger()
metrics = Metrics()
settings = ReadinessSettings.from_env(os.environ)
# The peer once: a second attempt would come after the ten seconds that all of it may take.
bounds: dict[str, Any] = {"connect": settings.peer_connect_seconds, "read": settings.peer_read_seconds, "attempts": 1}
peer_dynamodb = client("dynamodb", settings.peer_region, **bounds)
ledger = Ledger(client("dynamodb", settings.aws_region), settings.ledger_table, settings.home_region)
own = {service: client(service, settings.aws_region, read=5, attempts=2) for service in OWN}
inspection = Inspection(
    settings,
    ledger,
    Ledger(peer_dynamodb, settings.peer_ledger_table, settings.home_region),
    own,
    {service: client(service, settings.peer_region, **bounds) for service in PEERS},
    time.time,
)
origin = news.Origin(settings.application, settings.aws_region)


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{} or {"reason"} -> every check, which the ledger keeps, too."""
    readiness = inspection.readiness()
    said = readiness.to_dict()
    changed = news.readiness_changed(origin, ledger.readiness(), said)
    ledger.keep_readiness(said, readiness.at)
    unheard = news.put(own["events"], [changed]) if changed is not None else None
    if readiness.on_duty:
        metrics.add_metric("ReadinessScore", MetricUnit.Count, readiness.score)
    short = {key: said[key] for key in ("region", "on_duty", "ready", "score", "sentence")}
    logger.info("judged", extra={"readiness": short, "reason": event.get("reason"), "unheard": unheard})
    return said
