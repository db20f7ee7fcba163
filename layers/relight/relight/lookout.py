"""Gathering the facts: every view at once, each bounded in time, merged with what the ledger remembers."""

from __future__ import annotations

import socket
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as LookTimeout
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from relight import database, views
from relight.facts import Facts, Trigger
from relight.policy import Policy
from relight.signal import Sample, Seen, View, observe

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_rds import RDSClient

    from relight.ledger import Ledger
    from relight.settings import ViewSettings


def policy_of(settings: ViewSettings) -> Policy:
    """The limits of the decision, as the function was configured."""
    return Policy(
        settings.policy,
        settings.hold_down_seconds,
        settings.database_hold_down_seconds,
        settings.fresh_seconds,
        settings.max_data_loss_seconds,
        settings.cooldown_seconds,
        settings.look_again_seconds,
    )


@dataclass(frozen=True)
class Lookout:
    """Looks at the primary from this Region. The threads outlive one look: a Lambda environment is used again."""

    settings: ViewSettings
    ledger: Ledger
    functions: LambdaClient
    rds: RDSClient
    peer_rds: RDSClient
    clock: Callable[[], float]
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(max_workers=12))

    def look(self, trigger: Trigger, *, forced: bool, asked_by: str | None) -> Facts:
        """One look in every direction; what does not answer in time is UNKNOWN or None, never guessed."""
        s, at = self.settings, self.clock()
        patience = s.sample_timeout_seconds
        outside = self.threads.submit(views.outside, s.domain, s.name_servers, patience, at)
        here = self.threads.submit(views.from_dr, s.peer_url, s.name_servers, patience, at, deep=s.readiness_is_deep)
        control = self.threads.submit(views.control, s.control_targets, socket.gethostbyname, patience, at)
        state = self.threads.submit(database.state, self.functions, s.dbcheck_function)
        replica = self.threads.submit(database.replica, self.rds, s.replica_id)
        peer_database = self.threads.submit(database.status, self.peer_rds, s.peer_database_id)

        head, before = self.ledger.head(), self.ledger.signals()
        known = self._within(state, at, None)
        samples = {
            View.OUTSIDE: self._within(outside, at, Sample(at, Seen.UNKNOWN, "the look took too long")),
            View.FROM_DR: self._within(here, at, Sample(at, Seen.DOWN, "no answer from here in time")),
            View.CONTROL: self._within(control, at, Sample(at, Seen.DOWN, "no control target answers in time")),
            View.STREAM: views.stream(known, s.stream_silence_seconds, self.clock()),
        }
        return Facts(
            now=self.clock(),
            here=s.aws_region,
            head=head,
            asked_by=asked_by,
            trigger=trigger,
            forced=forced,
            signals={view: observe(before[view], view, sample, s.fresh_seconds) for view, sample in samples.items()},
            replica=self._within(replica, at, None),
            peer_database=self._within(peer_database, at, None),
            last_replayed_at=newest(known),
        )

    def _within[T](self, look: Future[T], began: float, otherwise: T) -> T:
        """What a look came to, or `otherwise` once twice its patience has passed since all of them began."""
        left = began + 2 * self.settings.sample_timeout_seconds - self.clock()
        try:
            return look.result(timeout=max(0.0, left))
        except LookTimeout:
            return otherwise


def newest(state: dict[str, Any] | None) -> float | None:
    """The newest commit or heartbeat that this Region's database is known to hold, in epoch seconds."""
    if state is None:
        return None
    return max((state[key] for key in ("last_replayed_at", "heartbeat_at") if state[key] is not None), default=None)
