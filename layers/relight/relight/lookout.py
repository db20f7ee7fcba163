"""Gathering the facts: every view at once, each bounded in time, merged with what the ledger remembers."""

from __future__ import annotations

import socket
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as LookTimeout
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from relight import database, lag, views
from relight.facts import Facts, Trigger
from relight.policy import Policy
from relight.signal import Sample, Seen, View, observe

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_rds import RDSClient

    from relight.ledger import DatabaseProperties, Ledger
    from relight.run import Mode
    from relight.settings import ViewSettings
    from relight.signal import Signal

# Two who keep a view at the same moment settle it at the second attempt; the next sample comes soon.
KEEP_ATTEMPTS = 4


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
class Asked:
    """Who wants to know, and what they know already."""

    trigger: Trigger = Trigger.AUTOMATIC
    forced: bool = False
    by: str | None = None  # owner of the run that asks
    mode: Mode | None = None
    unseen_at: float | None = None  # when Route 53's alarm said so, where that is what started the run (epoch seconds)


@dataclass(frozen=True)
class Look:
    """What one look in every direction came to; `peer_properties` are None where the peer's RDS did not answer.

    `before` are the signals as the ledger had them.
    """

    facts: Facts
    peer_properties: DatabaseProperties | None
    before: Mapping[View, Signal]

    @property
    def changed(self) -> frozenset[View]:
        """The views that say something else than the ledger does."""
        return frozenset(
            view for view, signal in self.facts.signals.items() if signal.seen is not self.before[view].seen
        )


@dataclass(frozen=True)
class Lookout:
    """Looks at the active Region from this one. The threads outlive one look: a Lambda environment is used again."""

    settings: ViewSettings
    ledger: Ledger
    functions: LambdaClient
    rds: RDSClient
    peer_rds: RDSClient
    cloudwatch: CloudWatchClient
    clock: Callable[[], float]
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(max_workers=12))

    def look(self, asked: Asked) -> Look:
        """One look in every direction; what does not answer in time is UNKNOWN or None, never guessed."""
        s, at = self.settings, self.clock()
        patience = s.sample_timeout_seconds
        outside = self.threads.submit(views.outside, s.seen_name, s.name_servers, patience, at)
        here = self.threads.submit(views.from_dr, s.peer_url, s.name_servers, patience, at, deep=s.readiness_is_deep)
        control = self.threads.submit(views.control, s.control_targets, socket.gethostbyname, patience, at)
        stream = self.threads.submit(self._stream, at)
        replica = self.threads.submit(database.replica, self.rds, s.replica_id)
        peer = self.threads.submit(database.properties, self.peer_rds, s.peer_database_id)

        head, before = self.ledger.head(), self.ledger.signals()
        streamed, replayed_at = self._within(
            stream, at, (_late("the database of this Region did not answer", at), None)
        )
        samples = {
            View.OUTSIDE: views.told_by_alarm(self._sample(outside, at, Seen.UNKNOWN), asked.unseen_at),
            View.FROM_DR: self._sample(here, at, Seen.DOWN),
            View.CONTROL: self._sample(control, at, Seen.DOWN),
            View.STREAM: streamed,
        }
        silent: tuple[str | None, DatabaseProperties | None] = None, None
        peer_status, peer_properties = self._within(peer, at, silent)
        facts = Facts(
            now=self.clock(),
            here=s.aws_region,
            head=head,
            asked_by=asked.by,
            trigger=asked.trigger,
            forced=asked.forced,
            signals={view: observe(before[view], view, sample, s.fresh_seconds) for view, sample in samples.items()},
            replica=self._within(replica, at, None),
            peer_database=peer_status,
            last_replayed_at=replayed_at,
            mode=asked.mode,
        )
        return Look(facts, peer_properties, before)

    def keep(self, look: Look, views: Collection[View]) -> Facts:
        """Keep what some views say in the ledger; the facts with what is kept there now.

        Where somebody else has looked meanwhile, both looks count, each when it was taken.
        """
        kept = {view: self._keep(look.facts.signals[view], look.before[view]) for view in views}
        return replace(look.facts, signals={**look.facts.signals, **kept})

    def _keep(self, signal: Signal, read: Signal) -> Signal:
        sample = Sample(signal.last_seen, signal.seen, signal.sentence, signal.answered)
        for _ in range(KEEP_ATTEMPTS):
            if signal == read or self.ledger.move_signal(signal, read):
                break
            read = self.ledger.signals()[signal.view]
            signal = observe(read, signal.view, sample, self.settings.fresh_seconds)
        return signal

    def _stream(self, at: float) -> tuple[Sample, float | None]:
        """The replication stream, and the newest commit or heartbeat here: by dbcheck, or else by CloudWatch's lag."""
        s = self.settings
        known = database.state(self.functions, s.dbcheck_function)
        if known is not None:
            return views.stream(known, s.stream_silence_seconds, self.clock()), newest(known)
        figure = lag.newest(self.cloudwatch, s.replica_id, at)
        # The heartbeat is written each minute, so a stream that is alive is hardly further behind than that.
        sample = lag.sample(figure, s.fresh_seconds, self.clock())
        return sample, None if figure is None else figure.replayed_at

    def _sample(self, look: Future[Sample], began: float, late: Seen) -> Sample:
        """What a look saw; one that takes too long has seen `late`, and one that never began has seen nothing."""
        seen = self._within(look, began, Sample(began, late, "no answer in time"))
        if look.cancel():
            return _late("there was no room to look: earlier looks hang", began)
        return seen

    def _within[T](self, look: Future[T], began: float, otherwise: T) -> T:
        """What a look came to, or `otherwise` once twice its patience has passed since all of them began."""
        left = began + 2 * self.settings.sample_timeout_seconds - self.clock()
        try:
            return look.result(timeout=max(0.0, left))
        except LookTimeout:
            return otherwise


def _late(sentence: str, at: float) -> Sample:
    return Sample(at, Seen.UNKNOWN, sentence)


def newest(state: dict[str, Any]) -> float | None:
    """The newest commit or heartbeat that this Region's database is known to hold, in epoch seconds."""
    return max((state[key] for key in ("last_replayed_at", "heartbeat_at") if state[key] is not None), default=None)
