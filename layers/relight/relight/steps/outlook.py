"""`survey`, asked beforehand: would a failback begin, and what would it do? Nothing is written, no lock is taken."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight import database, way_home
from relight.errors import (
    AlreadyActive,
    AnotherRunInProgress,
    DrillInProgress,
    InputInvalid,
    LeaseInTheWay,
    NeverFailedOver,
    PeerUnreachable,
    RelightError,
)
from relight.head import State
from relight.retired import retired_name
from relight.steps.retire import snapshot_of
from relight.steps.survey import To, hears, superseded
from relight.way_home import Places

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_rds import RDSClient

    from relight.head import Head
    from relight.steps.survey import Survey

IN_PROGRESS = "in_progress"
"""The finding of a run that ends because another one is at work."""
# What the state machine ends with as a refusal; the finding is the name.
_REFUSALS = (
    AlreadyActive,
    NeverFailedOver,
    DrillInProgress,
    AnotherRunInProgress,
    PeerUnreachable,
    LeaseInTheWay,
    InputInvalid,
)


@dataclass(frozen=True)
class Judged:
    """Whether a run would begin; `error` says why not. `resume` is whether only the other one's standby is left."""

    own: Head
    other: Head | None = None
    resume: bool = False
    finding: str | None = None
    sentence: str = "nothing stands in the way"

    @classmethod
    def refused(cls, own: Head, other: Head | None, error: RelightError) -> Judged:
        """In the machine's own words."""
        return cls(own, other, finding=type(error).__name__, sentence=str(error))


def as_heard(own: Head, other: Head, peer_region: str) -> Head:
    """This ledger's head as the run would find it, once it has heard the other one and holds the lock. Pure."""
    heard = own
    if hears(own, other, peer_region):
        heard = replace(own, epoch=max(own.epoch, other.epoch))
        if own.active_epoch <= other.active_epoch:
            heard = replace(heard, active=other.active, active_epoch=other.active_epoch, state=other.state)
    elif superseded(own, other, peer_region):
        conceded = replace(heard, active=other.active, active_epoch=other.active_epoch, state=State.STEADY)
        heard = replace(conceded, promotion=None, quiesce=None, go_withheld=False, held=False)
    return replace(heard, epoch=heard.epoch + 1)


@dataclass(frozen=True)
class Outlook:
    """One look ahead, through the eyes of `survey`; `rds` is this Region's."""

    survey: Survey
    rds: RDSClient

    def preview(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """What a failback would do; `event` may hold "to", else it is what the machine takes by default.

        What could not be seen says so, in its own sentence. Raises InputInvalid for a "to" that there is not, and what
        boto3 raises where this Region's ledger does not answer.
        """
        s, to = self.survey.settings, self._to(event)
        judged = self._judge(to)
        said: dict[str, Any] = {
            "preview": True,
            "region": s.aws_region,
            "peer": s.peer_region,
            "to": to.value,
            "begins": judged.finding is None,
            "finding": judged.finding,
            "sentence": judged.sentence,
            "home": judged.own.home_or(s.home_region),
            "active": judged.own.active,
            "active_epoch": judged.own.active_epoch,
            "resume": judged.resume,
            "obstacle": None,
            "database": None,
            "replica": None,
            "objects": None,
            "question": None,
            "left_over": [],
            "would": [],
        }
        if judged.finding is not None or judged.other is None:
            return said
        return said | (self._resumed() if judged.resume else self._stages(judged.own, judged.other, to))

    def _to(self, event: Mapping[str, Any]) -> To:
        s, given = self.survey.settings, event.get("to")
        if given is None:
            return To.HOME if s.aws_region == s.home_region else To.PROTECTED
        try:
            return To(given)
        except ValueError:
            raise InputInvalid(f'"to" is {given!r}; it is one of {", ".join(To)}') from None

    # Would it begin?

    def _judge(self, to: To) -> Judged:
        survey = self.survey
        own, now = survey.ledger.head(), survey.clock()
        if own.owner is not None and own.expires_at >= now and not survey.is_dead(own.owner):
            return Judged(own, finding=IN_PROGRESS, sentence=f"already in progress: {own.owner}")
        other: Head | None = None
        try:
            other = survey.peer_head()
            own = as_heard(own, other, survey.settings.peer_region)
            if survey.is_active(own, other):
                survey.require_left(own, other, to)
                return Judged(own, other, resume=True, sentence=f"{survey.settings.aws_region} is active already")
            survey.require_way(own, other, to, own.epoch)
            survey.require_its_lock(other)
        except _REFUSALS as error:
            return Judged.refused(own, other, error)
        there, since = survey.settings.peer_region, other.active_epoch
        said = f"{there} is active since epoch {since}, and nothing stands in the way"
        return Judged(own, other, sentence=said)

    # What would it do?

    def _resumed(self) -> dict[str, Any]:
        there = self.survey.settings.peer_region
        said = f"only what is left is done: {there}'s own run retires its database, and makes it the standby again"
        return {"would": [said]}

    def _stages(self, own: Head, other: Head, to: To) -> dict[str, Any]:
        s = self.survey.settings
        name = retired_name(s.replica_id, own.active_epoch)
        places = Places(s.aws_region, s.peer_region, s.replica_id, s.peer_database_id, name)
        old = self._old(places)
        source, silence = self._source()
        built = way_home.replica(places, old, source, silence)
        bucket = way_home.objects(self.survey.ledger.readiness(), self.survey.clock())
        home = to is To.HOME
        left, unseen = self._left(other)
        return {
            "obstacle": old.obstacle,
            "database": old.as_dict(),
            "replica": built.as_dict(),
            "objects": bucket,
            "question": way_home.question(s.aws_region, s.peer_region) if home else None,
            "left_over": left,
            "would": [*unseen, *way_home.would(places, old, built, bucket, left, home=home)],
        }

    def _old(self, places: Places) -> way_home.OldDatabase:
        try:
            old, kept = (database.instance(self.rds, name) for name in (places.old_id, places.retired_as))
            snapshot = snapshot_of(self.rds, places.retired_as) if old is None and kept is None else None
        except (BotoCoreError, ClientError) as error:
            return way_home.unknown(places, _line(error))
        return way_home.found(places, old, kept, snapshot)

    def _source(self) -> tuple[Mapping[str, Any] | None, str | None]:
        """The active database, or why the other Region does not tell."""
        s = self.survey.settings
        try:
            return database.instance(self.survey.peer_rds, s.peer_database_id), None
        except (BotoCoreError, ClientError) as error:
            return None, f"RDS of {s.peer_region} does not answer: {_line(error)}"

    def _left(self, other: Head) -> tuple[list[str], list[str]]:
        """What was left over from before, by name; and a sentence where that could not be seen."""
        try:
            found = self.survey.left_over(other, self.survey.clock())
        except (BotoCoreError, ClientError) as error:
            return [], [f"which executions were left over could not be seen: {_line(error)}"]
        return [arn.rpartition(":")[2] for arn in found], []


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
