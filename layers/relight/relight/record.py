"""`record`: what a run has to say. It asks people, tells them, keeps their answers, and ends the run.

Its end closes it in the ledger, keeps the evidence, and tells people and the peer, each whatever the others do. Events
of AWS Health are kept beside the runs, for the evidence of whichever comes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight import evidence, failback_evidence
from relight.answering import answer_of, sentence_of
from relight.asking import LONGEST_SENTENCE, Asking, Request, Warm
from relight.errors import InputInvalid, RecordIncomplete, RunSuperseded
from relight.evidence import End, Kept
from relight.failback_question import FailbackAsking, FailbackRequest
from relight.health import SOURCE, health_event
from relight.moment import told
from relight.question import Reply
from relight.run import Run
from relight.telling import Notice, Teller, one_line, word_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient

    from relight.health import HealthEvent
    from relight.ledger import Ledger, StepStory
    from relight.question import Answer, Question
    from relight.settings import RecordSettings

NO_ANSWER: tuple[type[Exception], ...] = (BotoCoreError, ClientError)
HEALTH_BEFORE_SECONDS = 3600  # AWS may have said first that something is wrong


@dataclass(frozen=True)
class Recorder:
    """Speaks for one run; a repeated call says and writes the same again."""

    settings: RecordSettings
    ledger: Ledger
    peer_ledger: Ledger
    s3: S3Client
    sns: SNSClient
    clock: Callable[[], float]

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Keep an event of AWS Health, or do for a run `what` its input says."""
        if event.get("source") == SOURCE:
            return self.keep_health(event)
        return self.record(Run.from_event(event), event)

    def keep_health(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Keep what AWS said of its health. It starts nothing."""
        try:
            said = health_event(event)
            self.ledger.keep_health(said)
        except (AttributeError, KeyError, TypeError, ValueError) as wrong:
            raise InputInvalid(f"this event of {SOURCE} is malformed: {wrong}") from None
        return {"kept": said.arn, "sentence": f"AWS Health: {said.service} {said.code} in {said.region}, {said.time}"}

    def record(self, run: Run, event: Mapping[str, Any]) -> dict[str, Any]:
        """What the input says in `what`; InputInvalid for anything else. RunSuperseded, and nothing is done, for a run
        that has lost its lock."""
        acts = {"end": self._end, "ask": self._ask, "tell": self._tell, "answer": self._answer}
        what = event.get("what", "end")
        if not isinstance(what, str) or what not in acts:
            raise InputInvalid(f'"what" is {what!r}; it is {", ".join(acts)}')
        return acts[what](run, event)

    # The end of a run.

    def _end(self, run: Run, event: Mapping[str, Any]) -> dict[str, Any]:
        """Close the run in the ledger first; RecordIncomplete says which delivery failed after that."""
        try:
            end, sentence = End(event["end"]), str(event["sentence"])
        except (KeyError, ValueError) as error:
            raise InputInvalid(f'the input needs "end" ({", ".join(End)}) and "sentence": {error}') from None
        self.ledger.require(run)
        now = self.clock()
        self._close(run, end, now, is_failback=_is_failback(event))
        self.ledger.step_began(run, "record", now)
        kept, unread = self._kept(run, now)
        way = failback_evidence if _is_failback(event) else evidence
        given = {"read_only_seconds": self._read_only(event), **event, "sentence": sentence}
        said = way.document(run, self.settings, given, kept, now)
        key = f"runs/{run.id}/run.json"
        where = f"s3://{self.settings.evidence_bucket}/{key}"
        failed = [
            problem
            for problem in (
                _try("evidence", lambda: self._keep(key, said)),
                _try("notification", lambda: self._teller.tell(run.id, way.notification(said, where))),
            )
            if problem
        ]
        facts = {"mirror": _try("mirror", self._mirror) or "done", "health": unread or "read"}
        self.ledger.step_says(run, "record", self.clock(), f"{end.value}: {sentence}", done=not failed, facts=facts)
        if failed:
            raise RecordIncomplete("; ".join(failed))
        return {"status": end.value, "evidence": where, "rto_seconds": said["rto_seconds"]}

    def _close(self, run: Run, end: End, now: float, *, is_failback: bool) -> None:
        """A run that failed behind the one-way door leaves the door open: the next one goes on from there.

        A failback itself promotes nothing, the run that it starts does: no cooldown begins with its end, and it keeps
        no run of the probe waiting.
        """
        try:
            self.ledger.finish(run, succeeded=end is End.SUCCEEDED and not is_failback, now=now)
        except RunSuperseded:
            if not self.ledger.require(run).door_opened:
                raise
            return
        if end is End.FAILED and not is_failback:
            self.ledger.failed(run, now)

    def _kept(self, run: Run, now: float) -> tuple[Kept, str | None]:
        """What the ledger holds of the run, and why the events of AWS Health could not be read."""
        marks, steps = self.ledger.timeline(run.id)
        began = min(run.started_at, marks.get("t0", run.started_at))
        health: list[HealthEvent] = []

        def read() -> None:
            health.extend(self.ledger.health(began - HEALTH_BEFORE_SECONDS, now))

        unread = _try("health", read, (*NO_ANSWER, KeyError))
        question, answer = self.ledger.question(run.id), self.ledger.answer(run.id)
        return Kept(marks, steps, question, answer, None if unread else health), unread

    def _read_only(self, event: Mapping[str, Any]) -> float | None:
        """As the switchover's own timeline has it; None without one."""
        switchover = failback_evidence.switchover_of(event) if _is_failback(event) else None
        if switchover is None:
            return None
        return failback_evidence.read_only_seconds(*self.ledger.timeline(switchover.rpartition(":")[2]))

    def _keep(self, key: str, said: Mapping[str, Any]) -> None:
        body = json.dumps(said, indent=2, sort_keys=True).encode()
        self.s3.put_object(Bucket=self.settings.evidence_bucket, Key=key, Body=body, ContentType="application/json")

    def _mirror(self) -> None:
        """Only what a run has changed: one that found nothing to do knows nothing that the peer should believe."""
        head = self.ledger.head()
        if head.active == self.settings.aws_region or head.door_opened:
            self.peer_ledger.mirror(head, self.clock())

    # While it goes on.

    def _ask(self, run: Run, event: Mapping[str, Any]) -> dict[str, Any]:
        """Keep a question, then put it to people. RecordIncomplete where nobody could be asked: then nobody answers."""
        request = FailbackRequest.from_event(event) if _is_failback(event) else Request.from_event(event)
        self.ledger.require(run)
        now = self.clock()
        kept = self.ledger.question(run.id)
        question = request.question(now)
        if kept is not None and kept.token == request.token:
            question = kept  # the same call again: what was asked first stays
        # From a handler that comes late: asking now would take the newer question, or the answer, from the run.
        if kept is not None and (kept.asked > question.asked or (kept is question and self._is_answered(run, kept))):
            return {"asked": request.asked, "sentence": f"question {request.asked} is over: it is not asked again"}
        self.ledger.step_began(run, "ask", now)
        self.ledger.keep_question(run, question)
        notice = self._question(run, request, question)
        until = told(question.expires_at)
        said = f"question {question.asked} ({question.urgency}), open until {until}: {question.sentence}"
        facts = {
            "asked": question.asked,
            "urgency": question.urgency.value,
            "finding": question.finding,
            "mode": question.mode,
            "expires_at": question.expires_at,
        }
        self._deliver(run, "ask", notice, said, facts, secret=question.token)
        return {"asked": question.asked, "urgency": question.urgency.value, "sentence": said}

    def _question(self, run: Run, request: Request | FailbackRequest, question: Question) -> Notice:
        if isinstance(request, FailbackRequest):
            return FailbackAsking(self.settings, run, request, question).notice
        warm = _warm(self.ledger.timeline(run.id)[1])
        return Asking(self.settings, run, request, question, warm).notice

    def _is_answered(self, run: Run, question: Question) -> bool:
        answer = self.ledger.answer(run.id)
        return answer is not None and answer.at >= question.asked_at

    def _tell(self, run: Run, event: Mapping[str, Any]) -> dict[str, Any]:
        """Tell people something while the run goes on. RecordIncomplete where they could not be told."""
        sentence = event.get("sentence")
        if not isinstance(sentence, str) or not (sentence := one_line(sentence, LONGEST_SENTENCE)):
            raise InputInvalid('the input needs a "sentence" to tell')
        self.ledger.require(run)
        self.ledger.step_began(run, "tell", self.clock())
        self._deliver(run, "tell", word_of(run, self.settings, sentence), sentence, {})
        return {"sentence": sentence}

    def _deliver(self, run: Run, step: str, notice: Notice, said: str, facts: dict[str, Any], secret: str = "") -> None:
        problem = _try("notification", lambda: self._teller.tell(run.id, notice))
        if problem is None:
            self.ledger.step_says(run, step, self.clock(), said, done=True, facts=facts)
            return
        if secret:
            problem = problem.replace(secret, "(the token)")
        self.ledger.step_says(run, step, self.clock(), f"{said}; {problem}", done=False, facts=facts)
        raise RecordIncomplete(problem)

    def _answer(self, run: Run, event: Mapping[str, Any]) -> dict[str, Any]:
        """Keep who answered what; after a no, the next question is not asked at once.

        A no to going home says nothing of the day on which the Region that serves is lost.
        """
        answer = answer_of(event, self.clock())
        self.ledger.require(run)
        answer = self._as_first_kept(run, answer)
        self.ledger.step_began(run, "answer", answer.at)
        self.ledger.keep_answer(run, answer)
        if answer.answer is not Reply.APPROVED and not _is_failback(event):
            self.ledger.refuse(run, answer.by, answer.because, answer.at)
        said = sentence_of(answer)
        facts = {"answer": answer.answer.value, "finding": answer.finding}
        self.ledger.step_says(run, "answer", answer.at, said, done=True, facts=facts)
        return {"answer": answer.answer.value, "sentence": said}

    def _as_first_kept(self, run: Run, answer: Answer) -> Answer:
        """With the time at which it was first kept, where it was: a repeated call makes no later answer of it."""
        kept, question = self.ledger.answer(run.id), self.ledger.question(run.id)
        of_this_question = kept is not None and (question is None or kept.at >= question.asked_at)
        return kept if kept and of_this_question and replace(kept, at=answer.at) == answer else answer

    @property
    def _teller(self) -> Teller:
        return Teller(self.sns, self.settings.topic_arn, self.settings.application)


def _is_failback(event: Mapping[str, Any]) -> bool:
    return event.get("kind") == failback_evidence.KIND


def _warm(steps: list[StepStory]) -> Warm | None:
    facts = next((story.facts for story in steps if story.name == "scale (warm)"), {})
    return Warm(int(facts["wanted"]), int(facts["present"])) if {"wanted", "present"} <= facts.keys() else None


def _try(what: str, act: Callable[[], None], foreseen: tuple[type[Exception], ...] = NO_ANSWER) -> str | None:
    """What went wrong, for something that must not keep the rest from being tried."""
    try:
        act()
    except foreseen as error:
        return f"{what}: {type(error).__name__}: {error}"
    return None
