"""The question of a run, as a person reads it at 3 a.m.: what is asked, seen and lost, and how to answer it. Pure."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from relight.errors import InputInvalid
from relight.moment import lasting, told
from relight.question import Question, Urgency, urgency_of
from relight.run import Mode
from relight.signal import Seen, View
from relight.telling import Notice, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relight.run import Run
    from relight.settings import RecordSettings

LONGEST_SENTENCE = 1000
LATEST = 1e11  # epoch seconds: the year 5138
_SAID = '"by": "YOUR NAME", "because": "WHY"'


@dataclass(frozen=True)
class Request:
    """What the state machine asks with: the verdict, and how long this question, asking and warm capacity last.

    Moments are epoch seconds, `expires_in` and the estimated loss are seconds. Whoever has the token can answer, so it
    is in no representation.
    """

    asked: int
    token: str = field(repr=False)
    expires_in: float
    ask_until: float
    warm_until: float
    finding: str
    sentence: str
    mode: Mode
    estimated_loss_seconds: float | None
    views: Mapping[str, Mapping[str, Any]]

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Request:
        """The question in the input; InputInvalid says what it lacks, and never shows the token."""
        decision = event.get("decision")
        if not isinstance(decision, dict):
            raise InputInvalid('a question needs the "decision" that asks it')
        token = token_of(event)
        views = decision.get("views")
        try:
            return cls(
                asked=int(number(event, "asked", least=1)),
                token=token,
                expires_in=number(event, "expires_in"),
                ask_until=number(event, "ask_until"),
                warm_until=number(event, "warm_until"),
                finding=str(decision["finding"]),
                sentence=one_line(str(decision["sentence"]), LONGEST_SENTENCE),
                mode=Mode(decision.get("mode", Mode.EMERGENCY)),
                estimated_loss_seconds=loss_of(decision),
                views={name: view for name, view in views.items() if isinstance(view, dict)} if views else {},
            )
        except KeyError as missing:
            raise InputInvalid(f"a question's input lacks {missing}") from None
        except (AttributeError, TypeError, ValueError) as wrong:
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
            mode=self.mode.value,
            urgency=urgency_of(self.asked, another=expires_at <= self.ask_until),
        )

    def since(self, *views: View) -> float | None:
        """When the first of these views that are DOWN became so (epoch seconds); None where none is."""
        down = (self.views[view] for view in views if self.views.get(view, {}).get("seen") == Seen.DOWN)
        return min((at for at in map(_since, down) if at is not None), default=None)


def loss_of(verdict: Mapping[str, Any]) -> float | None:
    """Estimated seconds of lost writes that a verdict tells; None is unknown."""
    loss = verdict.get("estimated_loss_seconds")
    return float(loss) if isinstance(loss, int | float) and math.isfinite(loss) else None


def _is_moment(value: Any, least: float = 0) -> bool:
    """A number that stands for seconds, and for a time that can be told."""
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value < LATEST


def token_of(event: Mapping[str, Any]) -> str:
    """The task token that the answer is to be sent with; InputInvalid without one."""
    token = event.get("token")
    if not isinstance(token, str) or not token:
        raise InputInvalid('a question needs the "token" of the task that waits for the answer')
    return token


def number(event: Mapping[str, Any], name: str, least: float = 0) -> float:
    """Seconds, or a moment, that the input gives; KeyError or ValueError where it is none."""
    value = event[name]
    if not _is_moment(value, least):
        raise ValueError(f"{name} is {value!r}, and no such number")
    return float(value)


def _since(view: Mapping[str, Any]) -> float | None:
    """Since when a view is what it is; None where it does not say."""
    since = view.get("since")
    return float(since) if since and _is_moment(since) else None


@dataclass(frozen=True)
class Warm:
    """Capacity that was raised already: instances wanted, and there."""

    wanted: int
    present: int


@dataclass(frozen=True)
class Asking:
    """One question on its way to people."""

    settings: RecordSettings
    run: Run
    request: Request
    question: Question
    warm: Warm | None  # None: nothing is known of it

    @property
    def notice(self) -> Notice:
        """Subject and text of the question."""
        parts = (self._asked(), self._seen(), self._lost(), self._waiting(), self._answering(), self._unanswered())
        lines = [line for part in parts for line in (*part, "")]
        return Notice.of(self._subject(), lines[:-1], self.question.urgency.value)

    def _subject(self) -> str:
        return f"Relight {self.settings.application[:50]} asks for a decision{which(self.question)}"

    def _asked(self) -> Iterator[str]:
        here, there = self.settings.aws_region, self.settings.peer_region
        yield f"{self.settings.application}: may {here} take over from {there}, in mode {self.question.mode}?"
        yield f"{self.question.sentence} (finding {self.question.finding})"
        yield waits(self.settings, self.run, self.question)

    def _seen(self) -> Iterator[str]:
        yield "WHAT EACH VIEW SEES"
        names = {
            View.OUTSIDE: "outside, by Route 53's checkers",
            View.FROM_DR: f"from {self.settings.aws_region}",
            View.STREAM: "the replication stream",
            View.CONTROL: f"connectivity of {self.settings.aws_region} itself",
        }
        for view, name in names.items():
            seen = self.request.views.get(view)
            yield f"- {name}: {self._view(seen) if seen else 'nothing was handed on'}"

    def _view(self, view: Mapping[str, Any]) -> str:
        since = _since(view)
        at = "" if since is None else f" since {self._ago(since)}"
        seen = one_line(str(view.get("seen")), 20)
        return f"{seen}{at}: {one_line(str(view.get('sentence')), LONGEST_SENTENCE)}"

    def _ago(self, at: float) -> str:
        return f"{told(at)} ({lasting(self.question.asked_at - at)})"

    def _lost(self) -> Iterator[str]:
        yield "WHAT WOULD BE LOST"
        loss = self.request.estimated_loss_seconds
        if self.request.mode is Mode.PLANNED:
            there = self.settings.peer_region
            yield f"Nothing: writes in {there} are stopped first, and the last of them is waited for here. Where that"
            yield "cannot be confirmed, nothing is promoted, and writes are let in again."
        elif loss is None:
            yield "Unknown: neither a commit nor a heartbeat is known here. Approving accepts a loss that nobody can"
            yield "tell beforehand."
        else:
            much = f"About {loss:.0f} s" if loss >= 1 else "Less than 1 s"
            yield f"{much} of writes: those acknowledged after the newest one that has arrived here."

    def _waiting(self) -> Iterator[str]:
        yield "WHAT IT COSTS TO WAIT"
        here, there = self.settings.aws_region, self.settings.peer_region
        outside = self.request.since(View.OUTSIDE)
        here_since = self.request.since(View.FROM_DR, View.STREAM)
        if outside is not None:
            yield f"- Clients have had no service since {self._ago(outside)}."
        elif here_since is not None:
            yield f"- Seen from {here} it is down since {self._ago(here_since)}; what clients see is not known."
        else:
            yield "- Since when clients have had no service is not known."
        if self.request.mode is Mode.PLANNED:
            yield "- Nothing is lost by waiting while that database lives. If it dies, this mode is gone with it."
        else:
            yield f"- The loss does not grow by waiting while {there} takes no writes."
        yield f"- {self._warmth()}"

    def _warmth(self) -> str:
        until, now = self.request.warm_until, self.question.asked_at
        if until <= now:
            return (
                f"Capacity is not kept warm any more (since {told(until)}): an approval waits for instances to start."
            )
        many = f", {self.warm.wanted} instances of which {self.warm.present} are there" if self.warm else ""
        return f"Capacity is kept warm until {told(until)} ({lasting(until - now)} more){many}; then it is put back."

    def _answering(self) -> Iterator[str]:
        yield from how_to_answer(self.settings, self.run, self.question, (APPROVE, DECLINE))
        yield "Approved, the facts are looked at once more and the run goes on. Declined, it undoes what it has done."

    def _unanswered(self) -> Iterator[str]:
        question = self.question
        yield "IF NOBODY ANSWERS"
        if question.urgency is Urgency.LAST:
            yield f"At {told(question.expires_at)} that counts as a no: the run stands down and undoes what it has"
            yield "done. After a while another run asks again, if that Region stays dead."
        else:
            yield f"At {told(question.expires_at)} the facts are looked at again. If they still need a person, you are"
            yield f"asked once more, with a new token; until {told(self.request.ask_until)} there is time for that."
        yield "The question is called back by itself where the facts come to speak for themselves."


@dataclass(frozen=True)
class Choice:
    """One way to answer: Relight's own command, and the result or the error that the task is sent."""

    command: str
    answer: str | None  # None: an error that the state machine catches by its name; "": no word, which approves


APPROVE, DECLINE = Choice("approve", ""), Choice("decline", None)


def which(question: Question) -> str:
    """What a subject says of how often it has been asked."""
    asked = question.asked
    return {
        Urgency.FIRST: "",
        Urgency.REPEATED: f" ({nth(asked)} time)",
        Urgency.ESCALATED: f" ({nth(asked)} time, escalated)",
        Urgency.LAST: f" ({nth(asked)} and last time)",
    }[question.urgency]


def waits(settings: RecordSettings, run: Run, question: Question) -> str:
    """Which run it is that asks, and where."""
    account = run.owner.split(":")[4:5]
    where = f"{settings.aws_region} of account {account[0]}" if account else settings.aws_region
    return f"Run {run.id} in {where} waits for you; this is its question {question.asked}."


def how_to_answer(settings: RecordSettings, run: Run, question: Question, choices: tuple[Choice, ...]) -> Iterator[str]:
    """Each way to answer as commands that can be pasted."""
    region = settings.aws_region
    left = lasting(question.expires_at - question.asked_at)
    yield f"HOW TO ANSWER, until {told(question.expires_at)} ({left})"
    relight = f"{shlex.quote(run.id)} --app {shlex.quote(settings.application)} --region {region}"
    yield "1. With Relight, which shows the question as it stands and keeps your name:"
    for choice in choices:
        yield f"relight {choice.command} {relight} --reason 'WHY'"
    yield "2. With the AWS CLI alone (no apostrophe in WHY):"
    for choice in choices:
        yield _by_hand(region, question, choice)
    shell = f"https://{region}.console.aws.amazon.com/cloudshell/home?region={region}"
    yield f"3. From any browser: paste a command of 2 into AWS CloudShell, {shell}"
    yield "Only the newest question of a run can be answered; the token of an older one is refused."


def _by_hand(region: str, question: Question, choice: Choice) -> str:
    token, command = f"--task-token {shlex.quote(question.token)}", "aws stepfunctions send-task"
    if choice.answer is None:
        said = shlex.quote(f"{{{_SAID}}}")
        return f"{command}-failure --region {region} --error Declined --cause {said} {token}"
    word = f'"answer": "{choice.answer}", ' if choice.answer else ""
    return f"{command}-success --region {region} --task-output {shlex.quote(f'{{{word}{_SAID}}}')} {token}"


def nth(count: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    ending = "th" if count % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
    return f"{count}{ending}"
