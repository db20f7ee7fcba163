"""The question of a drill that loads the primary or moves the application: may it begin? Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from relight.asking import APPROVE, DECLINE, LONGEST_SENTENCE, how_to_answer, number, token_of, waits, which
from relight.drill import Kind
from relight.errors import InputInvalid
from relight.moment import told
from relight.question import Question, Urgency, urgency_of
from relight.run import Mode
from relight.telling import Notice, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relight.run import Run
    from relight.settings import RecordSettings

_WHAT = {
    Kind.PROMOTE: "copy the primary's database into a replica of its own, and see how long its promotion takes",
    Kind.GAMEDAY: "really fail over in mode planned, and go home again afterwards",
}


@dataclass(frozen=True)
class DrillRequest:
    """What the state machine asks with. Moments are epoch seconds, `expires_in` is seconds; no token is ever shown."""

    kind: Kind
    asked: int
    token: str = field(repr=False)
    expires_in: float
    ask_until: float
    sentence: str
    would: tuple[str, ...]

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> DrillRequest:
        """The question in the input; InputInvalid says what it lacks, and never shows the token."""
        token, decision = token_of(event), event.get("decision")
        decision = decision if isinstance(decision, dict) else {}
        would = decision.get("would")
        try:
            return cls(
                kind=Kind(event["drill"]),
                asked=int(number(event, "asked", least=1)),
                token=token,
                expires_in=number(event, "expires_in"),
                ask_until=number(event, "ask_until"),
                sentence=one_line(str(decision.get("sentence") or "a drill waits for a person"), LONGEST_SENTENCE),
                would=tuple(one_line(str(line), LONGEST_SENTENCE) for line in would) if isinstance(would, list) else (),
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
            finding=f"drill_{self.kind}",
            sentence=self.sentence,
            mode=Mode.PLANNED.value,
            urgency=urgency_of(self.asked, another=expires_at <= self.ask_until),
        )


@dataclass(frozen=True)
class DrillAsking:
    """One question on its way to people."""

    settings: RecordSettings
    run: Run
    request: DrillRequest
    question: Question

    @property
    def notice(self) -> Notice:
        """Subject and text of the question."""
        parts = (self._asked(), self._would(), self._answering(), self._unanswered())
        lines = [line for part in parts for line in (*part, "")]
        subject = f"Relight {self.settings.application[:50]} asks to begin a drill{which(self.question)}"
        return Notice.of(subject, lines[:-1], self.question.urgency.value)

    def _asked(self) -> Iterator[str]:
        here = self.settings.aws_region
        yield f"{self.settings.application}: may a drill in {here} {_WHAT.get(self.request.kind, 'begin')}?"
        yield f"{self.question.sentence} (finding {self.question.finding})"
        yield waits(self.settings, self.run, self.question)

    def _would(self) -> Iterator[str]:
        yield "WHAT IT WOULD DO"
        yield from (f"- {line}" for line in self.request.would or ("nothing was told of it",))

    def _answering(self) -> Iterator[str]:
        yield from how_to_answer(self.settings, self.run, self.question, (APPROVE, DECLINE))
        yield "Approved, it begins. Declined, it ends, and nothing was touched."

    def _unanswered(self) -> Iterator[str]:
        yield "IF NOBODY ANSWERS"
        if self.question.urgency is Urgency.LAST:
            yield f"At {told(self.question.expires_at)} that counts as a no: the drill ends, and nothing was touched."
        else:
            yield f"At {told(self.question.expires_at)} you are asked once more, with a new token; until"
            yield f"{told(self.request.ask_until)} there is time for that."
