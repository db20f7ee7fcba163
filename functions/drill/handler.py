"""Rehearses in the standby: a throwaway database, a site of its own, a write, and nothing left of them."""

import os
import time
from typing import Any

from aws_lambda_powertools import Logger
from relight.clients import client
from relight.ledger import Ledger
from relight.run import Run
from relight.settings import DrillSettings
from relight.steps.drill import Drilling, Intent
from relight.steps.drill_site import DrillSite
from relight.steps.remains import Remains
from relight.steps.room import Room
from relight.steps.throwaway import Throwaway

logger = Logger()
settings = DrillSettings.from_env(os.environ)
here, there = settings.aws_region, settings.peer_region
bounds: dict[str, Any] = {"connect": settings.peer_connect_seconds, "read": settings.peer_read_seconds, "attempts": 2}
ledger = Ledger(client("dynamodb", here), settings.ledger_table, settings.home_region)
peer_ledger = Ledger(client("dynamodb", there, **bounds), settings.peer_ledger_table, settings.home_region)
rds, ec2, stacks = client("rds", here), client("ec2", here), client("cloudformation", here)
drilling = Drilling(
    settings,
    ledger,
    peer_ledger,
    Throwaway(settings, ledger, rds, client("rds", there, **bounds), client("lambda", here), time.time),
    DrillSite(settings, ledger, ec2, client("autoscaling", here), stacks, client("elbv2", here), time.time),
    Remains(settings, rds, ec2, stacks),
    Room(rds, ec2, client("service-quotas", here)),
    client("stepfunctions", here),
    client("stepfunctions", there, **bounds),
    time.time,
)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{"intent": "sweep"}, or {"run", "intent", "kind"?, "keep_minutes"?} -> what came of it; of a run, the step's.

    {"intent": "preview", "kind"?, "keep_minutes"?} -> what a drill would do now, changing nothing.
    """
    intent = Intent(event["intent"])
    match intent:
        case Intent.SWEEP:
            said = drilling.sweep()
        case Intent.PREVIEW:
            said = drilling.preview(event)
        case _:
            said = drilling.ensure(Run.from_event(event), intent, event)
    logger.info("drilled", extra={"intent": intent, "outcome": said})
    return said
