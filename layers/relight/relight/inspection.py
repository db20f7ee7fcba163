"""Gathering what readiness is judged by: both Regions at once, in under 60 API calls and under 10 seconds.

The peer may be lost: it is asked beside this Region, and what it does not say in time is unseen. Nothing is changed.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from relight import (
    inspection_capacity,
    inspection_database,
    inspection_ledger,
    inspection_orchestrator,
    inspection_storage,
    inspection_traffic,
    inspection_watch,
)
from relight.inquiry import Inquiry, attempt
from relight.metrics import Metrics
from relight.readiness import Readiness, judge, off_duty, serves
from relight.readiness_facts import ReadinessFacts
from relight.settings import counterparts
from relight.version import version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relight.head import Head
    from relight.ledger import Ledger
    from relight.readiness_facts import Unseen
    from relight.settings import ReadinessSettings

# The whole look. Judging and keeping it take what is left of ten seconds.
PATIENCE_SECONDS = 9.0
OWN = (
    "acm",
    "autoscaling",
    "cloudwatch",
    "ec2",
    "elbv2",
    "events",
    "iam",
    "kms",
    "lambda",
    "rds",
    "route53",
    "s3",
    "scheduler",
    "secretsmanager",
    "service-quotas",
    "sns",
    "sqs",
    "stepfunctions",
)
"""The services that are asked in this Region; iam and route53 answer from wherever AWS keeps them."""
PEERS = ("cloudwatch", "rds", "s3", "secretsmanager")
"""The services that are asked in the other one."""


@dataclass(frozen=True)
class Inspection:
    """One look at everything. Clients by the name of their service; the threads outlive one look."""

    settings: ReadinessSettings
    ledger: Ledger
    peer_ledger: Ledger
    own: Mapping[str, Any]
    peer: Mapping[str, Any]
    clock: Callable[[], float]
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(max_workers=40))

    def readiness(self) -> Readiness:
        """Whether a failover to this Region would work; in the active Region only that it is the active one."""
        return self.judged()[0]

    def judged(self) -> tuple[Readiness, ReadinessFacts | None]:
        """That, and the facts that it was judged by; in the active Region none are looked at."""
        s = self.settings
        head = attempt(self.ledger.head)
        if serves(head, s.aws_region):
            return off_duty(s.aws_region, s.peer_region, version(), self.clock()), None
        facts = self.look(head)
        return judge(facts, self.clock()), facts

    def look(self, head: Head | Unseen | None = None) -> ReadinessFacts:
        """The facts; each is an answer, or why there is none. `head` is this ledger's, where it was asked already."""
        s, now = self.settings, self.clock()
        head = attempt(self.ledger.head) if head is None else head
        ask = Inquiry(self.threads, self.clock, now + PATIENCE_SECONDS)
        groups = counterparts(s.group_arns, s.peer_group_names)
        metrics = Metrics.send(ask, s, self.own["cloudwatch"], self.peer["cloudwatch"], now)
        ledger = inspection_ledger.send(ask, head, self.ledger, self.peer_ledger, groups, s.peer_database_id)
        database = inspection_database.send(ask, s, self.own, self.peer["rds"], metrics)
        capacity = inspection_capacity.send(ask, s, self.own, tuple(groups))
        traffic = inspection_traffic.send(ask, s, self.own, metrics)
        storage = inspection_storage.send(ask, s, self.own, self.peer, now)
        watch = inspection_watch.send(ask, s, self.own, now)
        orchestrator = inspection_orchestrator.send(ask, s, self.own)
        return ReadinessFacts(
            application=s.application,
            domain=s.domain,
            here=s.aws_region,
            peer=s.peer_region,
            home=s.home_region,
            replica_id=s.replica_id,
            peer_database_id=s.peer_database_id,
            max_data_loss_seconds=s.max_data_loss_seconds,
            drill_days=s.drill_days,
            ledger=ledger(),
            database=database(),
            capacity=capacity(),
            traffic=traffic(),
            storage=storage(),
            watch=watch(),
            orchestrator=orchestrator(),
        )
