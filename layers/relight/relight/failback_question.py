"""The question of a failback, as a person reads it: home now, stay for good, or not now. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from relight.asking import DECLINE, LONGEST_SENTENCE, Choice, how_to_answer, number, token_of, waits, which
from relight.errors import InputInvalid
from relight.failback_reports import Reports
from relight.moment import told
from relight.question import Question, Reply, Urgency, urgency_of
from relight.run import Mode
from relight.telling import Notice, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relight.run import Run
    from relight.settings import RecordSettings

FINDING = "way_home_open"
_READY = "the replica is built and compared, and whether to go home is for a person to decide"
CHOICES = (Choice("approve", Reply.APPROVED), Choice("stay", Reply.STAY), DECLINE)


@dataclass(frozen=True)
class FailbackRequest:
    """What the state machine asks with. Moments are epoch seconds, `expires_in` is seconds; no token is ever shown."""

    asked: int
    token: str = field(repr=False)
    expires_in: float
    ask_until: float
    sentence: str
    finding: str
    reports: Reports

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> FailbackRequest:
        """The question in the input; InputInvalid says what it lacks, and never shows the token."""
        token, decision, reports = token_of(event), event.get("decision"), event.get("reports")
        decision = decision if isinstance(decision, dict) else {}
        reports = reports if isinstance(reports, dict) else {}
        try:
            return cls(
                asked=int(number(event, "asked", least=1)),
                token=token,
                expires_in=number(event, "expires_in"),
                ask_until=number(event, "ask_until"),
                sentence=one_line(str(decision.get("sentence") or _READY), LONGEST_SENTENCE),
                finding=one_line(str(decision.get("finding") or FINDING), LONGEST_SENTENCE),
                reports=Reports.of({**reports, "accepted": event.get("accepted")}),
            )
        except KeyError as missing:
            raise InputInvalid(f"a question's input lacks {missing}") from None
        except (TypeError, ValueError) as wrong:
            raise InputInvalid(f"a question's input is malformed: {wrong}") from None

    def question(self, now: float) -> Question:
        """As it is kept, asked now."""
        expires_at = now + self.expires_in
        return Question(
            asked=self.asked,
            token=self.token,
            asked_at=now,
            expires_at=expires_at,
            finding=self.finding,
            sentence=self.sentence,
            mode=Mode.PLANNED.value,
            urgency=urgency_of(self.asked, another=expires_at <= self.ask_until),
        )


@dataclass(frozen=True)
class FailbackAsking:
    """One question on its way to people."""

    settings: RecordSettings
    run: Run
    request: FailbackRequest
    question: Question

    @property
    def notice(self) -> Notice:
        """Subject and text of the question."""
        parts = (
            self._asked(),
            self._compared(),
            self._lost(),
            self._going(),
            self._staying(),
            self._answering(),
            self._unanswered(),
        )
        lines = [line for part in parts for line in (*part, "")]
        subject = f"Relight {self.settings.application[:50]} asks whether to go home{which(self.question)}"
        return Notice.of(subject, lines[:-1], self.question.urgency.value)

    def _asked(self) -> Iterator[str]:
        here, there = self.settings.aws_region, self.settings.peer_region
        yield f"{self.settings.application}: may {here} take over from {there} again (failback)?"
        yield f"{self.question.sentence} (finding {self.question.finding})"
        yield waits(self.settings, self.run, self.question)

    def _compared(self) -> Iterator[str]:
        yield "WHAT WAS COMPARED"
        yield from self.request.reports.compared()

    def _lost(self) -> Iterator[str]:
        yield "WHAT THE FAILOVER LOST"
        yield from self.request.reports.lost()
        if self.request.reports.lost_rows:
            where = f"--app {shlex.quote(self.settings.application)} --region {self.settings.aws_region}"
            yield "Row by row, and as CSV or SQL:"
            yield f"relight reconcile {shlex.quote(self.run.id)} {where}"

    def _going(self) -> Iterator[str]:
        here, there = self.settings.aws_region, self.settings.peer_region
        yield "WHAT GOING HOME COSTS"
        yield f"- No write is taken from when {there} stops until {here} has been promoted: on AWS 3 to 10 minutes. DNS"
        yield "  comes after that: another minute or two until most clients are here."
        yield f"- No write is lost: the last one in {there} is waited for. Up to the promotion everything is undone on"
        yield f"  failure, and {there} goes on serving. After it there is only forward."

    def _staying(self) -> Iterator[str]:
        here, there = self.settings.aws_region, self.settings.peer_region
        yield "WHAT STAYING COSTS"
        yield f"- No outage. {there} becomes home in both ledgers, and {here} stays its standby."
        yield "- The parameters of the two stacks have to follow: `relight stay` prints which ones."

    def _answering(self) -> Iterator[str]:
        yield from how_to_answer(self.settings, self.run, self.question, CHOICES)
        yield "Approved, it goes home. Told to stay, it makes the other Region home. Declined, it ends: not now."

    def _unanswered(self) -> Iterator[str]:
        there = self.settings.peer_region
        yield "IF NOBODY ANSWERS"
        if self.question.urgency is Urgency.LAST:
            yield f"At {told(self.question.expires_at)} that counts as not now: the run ends, {there} goes on serving,"
            yield "and this Region stays its standby. Start it again with `relight failback` when it suits."
        else:
            yield f"At {told(self.question.expires_at)} you are asked once more, with a new token; until"
            yield f"{told(self.request.ask_until)} there is time for that. {there} goes on serving meanwhile."
