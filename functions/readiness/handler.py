"""Scheduled in both Regions, and on demand: whether a failover to this one would work now."""

import os
import time
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from relight import news, release
from relight.clients import client
from relight.inspection import OWN, PEERS, Inspection
from relight.ledger import Ledger
from relight.readiness_gauges import gauges
from relight.settings import ReadinessSettings

logger = Logger()
metrics = Metrics()
settings = ReadinessSettings.from_env(os.environ)
# The peer once: a second attempt would come after the ten seconds that all of it may take.
bounds: dict[str, Any] = {"connect": settings.peer_connect_seconds, "read": settings.peer_read_seconds, "attempts": 1}
peer_dynamodb = client("dynamodb", settings.peer_region, **bounds)
own_dynamodb = client("dynamodb", settings.aws_region, read=5, attempts=2)
ledger = Ledger(own_dynamodb, settings.ledger_table, settings.home_region)
own = {service: client(service, settings.aws_region, read=5, attempts=2) for service in OWN}
peer = {service: client(service, settings.peer_region, **bounds) for service in PEERS}
peer_ledger = Ledger(peer_dynamodb, settings.peer_ledger_table, settings.home_region)
inspection = Inspection(settings, ledger, peer_ledger, own, peer, time.time)
origin = news.Origin(settings.application, settings.aws_region)


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{} or {"reason"} -> every check, which the ledger keeps, too."""
    readiness, facts = inspection.judged()
    said = readiness.to_dict()
    ledger.keep_readiness(said, readiness.at)
    if facts is not None:
        release.remember(ledger, facts.storage.peer_release, readiness.at)
    before = ledger.told()
    for name, value in gauges(before, readiness).items():
        metrics.add_metric(name, MetricUnit.Count, value)
    changed = news.readiness_changed(origin, before, said)
    unheard = news.put(own["events"], [changed]) if changed is not None else None
    # Last: what nobody has heard, for whatever reason, the next look tells again.
    if unheard is None:
        ledger.keep_told(news.heard(said), readiness.at)
    short = {key: said[key] for key in ("region", "on_duty", "ready", "score", "sentence")}
    logger.info("judged", extra={"readiness": short, "reason": event.get("reason"), "unheard": unheard})
    return said
