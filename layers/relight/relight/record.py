"""`record`: what a run has to say. It asks people, tells them, keeps their answers, and ends the run.

Its end closes it in the ledger, keeps the evidence, and tells people and the peer, each whatever the others do. Events
of AWS Health are kept beside the runs, for the evidence of whichever comes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight import alarm_history, calls, drill_evidence, evidence, failback_evidence, news
from relight.answering import answer_of, sentence_of
from relight.asking import LONGEST_SENTENCE, Asking, Request, Warm
from relight.delivery import LINK_SECONDS, Delivery
from relight.drill_question import DrillAsking, DrillRequest
from relight.errors import InputInvalid, RecordIncomplete, RunSuperseded
from relight.evidence import NO_OBJECTIVES, End, Kept, Objectives
from relight.failback_question import FailbackAsking, FailbackRequest
from relight.head import Capacity
from relight.health import SOURCE, health_event
from relight.moment import told
from relight.patience import Patience, TooSlow
from relight.question import Reply
from relight.run import Run
from relight.telling import Notice, Teller, one_line, word_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_stepfunctions import SFNClient

    from relight.alarm_history import AlarmChange
    from relight.calls import Calls
    from relight.head import Head
    from relight.ledger import Ledger, StepStory
    from relight.news import Entry
    from relight.question import Answer, Question
    from relight.settings import RecordSettings

NO_ANSWER: tuple[type[Exception], ...] = (BotoCoreError, ClientError)
UNREAD: tuple[type[Exception], ...] = (*NO_ANSWER, KeyError, TypeError, ValueError, TooSlow)  # or not as expected
HEALTH_BEFORE_SECONDS = 3600  # AWS may have said first that something is wrong
PATIENCE_SECONDS = 8.0  # for what is good to have; of the function's time, most is for what must go out


@dataclass(frozen=True)
class Recorder:
    """Speaks for one run; a repeated call says and writes the same again."""

    settings: RecordSettings
    ledger: Ledger
    peer_ledger: Ledger
    s3: S3Client
    sns: SNSClient
    clock: Callable[[], float]
    objectives: Objectives = NO_OBJECTIVES
    cloudwatch: CloudWatchClient | None = None  # without it the evidence has no history of the alarms
    stepfunctions: SFNClient | None = None  # without it the evidence does not count calls
    events: EventBridgeClient | None = None  # without it no event bus hears of the run

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
        acts = {"end": self._end, "ask": self._ask, "tell": self._tell, "answer": self._answer, "news": self._news}
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
        head = self.ledger.require(run)
        now = self.clock()
        self._keep_sizes(run, head, now)
        self._close(run, end, now, _kind(event))
        self.ledger.step_began(run, "record", now)
        kept, facts = self._kept(run, head, now)
        way = WAYS[_kind(event)]
        given = {"read_only_seconds": self._read_only(event), **event, "sentence": sentence}
        said = way.document(run, self.settings, given, kept, now)
        put = Delivery(self.s3, self.settings.evidence_bucket, self.settings.aws_region).deliver(said)
        report = None
        if put.not_kept is None:
            report = evidence.reported(run.id, put.link, put.not_reported, LINK_SECONDS)
        notice = way.notification(said, put.where, report)
        told = _try("notification", lambda: self._teller.tell(run.id, notice))
        failed = [problem for problem in (put.not_kept, told) if problem]
        self._close_drill(run, end, now)
        facts |= {"mirror": _try("mirror", self._mirror) or "done", "report": put.not_reported or "done"}
        facts |= {"news": self._put(news.ended(self._origin, run, said, put.where))}
        facts |= {"capacity_before": _sizes(kept.capacity_before)}
        self.ledger.step_says(run, "record", self.clock(), f"{end.value}: {sentence}", done=not failed, facts=facts)
        if failed:
            raise RecordIncomplete("; ".join(failed))
        return {"status": end.value, "evidence": put.where, "rto_seconds": said["rto_seconds"]}

    def _keep_sizes(self, run: Run, head: Head, now: float) -> None:
        """The sizes of before the run, which its end forgets: kept first, for when it is recorded once more."""
        if head.capacity_before is not None:
            self.ledger.step_began(run, "record", now)
            facts = {"capacity_before": _sizes(head.capacity_before)}
            self.ledger.step_says(run, "record", now, "the run is being closed", done=False, facts=facts)

    def _close(self, run: Run, end: End, now: float, kind: str) -> None:
        """A run that failed behind the one-way door leaves the door open: the next one goes on from there.

        A failback itself promotes nothing, the run that it starts does: it is not its own end. No cooldown begins with
        it, and it keeps no run of the probe waiting. A drill closes nothing at all: it activates nothing, and what it
        found half done is for another run to finish.
        """
        if kind == drill_evidence.KIND:
            return
        own_end = kind == evidence.KIND
        try:
            self.ledger.finish(run, succeeded=end is End.SUCCEEDED and own_end, now=now)
        except RunSuperseded:
            if not self.ledger.require(run).door_opened:
                raise
            return
        if end is End.FAILED and own_end:
            self.ledger.failed(run, now)

    def _close_drill(self, run: Run, end: End, now: float) -> None:
        """What the ledger remembers of a drill is how it ended, too; of a run that is none there is nothing."""
        for drill in self.ledger.drills():
            if drill.run == run.id and drill.ended_at is None:
                self.ledger.keep_drill(replace(drill, ended_at=now, status=end.value))

    def _kept(self, run: Run, head: Head, now: float) -> tuple[Kept, dict[str, Any]]:
        """What is known of the run, and by name what could not be read and why."""
        marks, steps = self.ledger.timeline(run.id)
        began = min(run.started_at, marks.get("t0", run.started_at))
        patience = Patience(self.clock, self.clock() + PATIENCE_SECONDS)
        health, no_health = _read("health", lambda: self.ledger.health(began - HEALTH_BEFORE_SECONDS, now))
        signals, no_signals = _read("signals", lambda: list(self.ledger.signals().values()))
        alarms, no_alarms = _read("alarms", lambda: self._alarms(began, now, patience))
        counted, no_calls = _read("calls", lambda: self._calls(run, patience))
        kept = Kept(
            marks=marks,
            steps=steps,
            question=self.ledger.question(run.id),
            answer=self.ledger.answer(run.id),
            health=health,
            objectives=self.objectives,
            signals=signals,
            alarms=alarms,
            capacity_before=head.capacity_before or _sizes_kept(steps),
            calls=counted,
        )
        reasons = {"health": no_health, "signals": no_signals, "alarms": no_alarms, "calls": no_calls}
        return kept, {name: why or "read" for name, why in reasons.items()}

    def _alarms(self, began: float, now: float, patience: Patience) -> list[AlarmChange] | None:
        if self.cloudwatch is None:
            return None
        since = began - alarm_history.BEFORE_SECONDS
        return alarm_history.changes(self.cloudwatch, self.settings.application, since, now, patience)

    def _calls(self, run: Run, patience: Patience) -> Calls | None:
        return None if self.stepfunctions is None else calls.count(self.stepfunctions, run.owner, patience)

    def _read_only(self, event: Mapping[str, Any]) -> float | None:
        """As the switchover's own timeline has it; None without one."""
        switchover = failback_evidence.switchover_of(event) if _is_failback(event) else None
        if switchover is None:
            return None
        return evidence.read_only_seconds(*self.ledger.timeline(switchover.rpartition(":")[2]))

    def _mirror(self) -> None:
        """Only what a run has changed: one that found nothing to do knows nothing that the peer should believe."""
        head = self.ledger.head()
        if head.active == self.settings.aws_region or head.door_opened:
            self.peer_ledger.mirror(head, self.clock())

    # While it goes on.

    def _ask(self, run: Run, event: Mapping[str, Any]) -> dict[str, Any]:
        """Keep a question, then put it to people. RecordIncomplete where nobody could be asked: then nobody answers."""
        request = _REQUESTS.get(_kind(event), Request).from_event(event)
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
        facts["news"] = self._put(news.question_asked(self._origin, news.Subject(run, _kind(event)), question))
        self._deliver(run, "ask", notice, said, facts, secret=question.token)
        return {"asked": question.asked, "urgency": question.urgency.value, "sentence": said}

    def _question(self, run: Run, request: Request | FailbackRequest | DrillRequest, question: Question) -> Notice:
        if isinstance(request, FailbackRequest):
            return FailbackAsking(self.settings, run, request, question).notice
        if isinstance(request, DrillRequest):
            return DrillAsking(self.settings, run, request, question).notice
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
        facts = {"news": self._put(self._told(run, event))} if "news" in event else {}
        self._deliver(run, "tell", word_of(run, self.settings, sentence), sentence, facts)
        return {"sentence": sentence}

    def _news(self, run: Run, event: Mapping[str, Any]) -> dict[str, Any]:
        """Tell the event bus something while the run goes on; that nobody could be told is said, and harms nothing."""
        self.ledger.require(run)
        unheard = self._put(self._told(run, event))
        return {"sentence": unheard if unheard != "done" else "the event bus was told"}

    def _told(self, run: Run, event: Mapping[str, Any]) -> Entry:
        return news.from_event(self._origin, run, event, self.settings.peer_region, self.clock())

    def _put(self, entry: Entry) -> str:
        """Put it on the event bus; "done", or why nobody heard."""
        return "done" if self.events is None else news.put(self.events, [entry]) or "done"

    @property
    def _origin(self) -> news.Origin:
        return news.Origin(self.settings.application, self.settings.aws_region)

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

        A no to going home, or to a drill, says nothing of the day on which the Region that serves is lost.
        """
        answer = answer_of(event, self.clock())
        self.ledger.require(run)
        answer = self._as_first_kept(run, answer)
        self.ledger.step_began(run, "answer", answer.at)
        self.ledger.keep_answer(run, answer)
        if answer.answer is not Reply.APPROVED and _kind(event) == evidence.KIND:
            self.ledger.refuse(run, answer.by, answer.because, answer.at)
        said = sentence_of(answer)
        entry = news.question_answered(self._origin, news.Subject(run, _kind(event)), answer)
        facts = {"answer": answer.answer.value, "finding": answer.finding, "news": self._put(entry)}
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


WAYS = {evidence.KIND: evidence, failback_evidence.KIND: failback_evidence, drill_evidence.KIND: drill_evidence}
"""What writes the evidence of each kind of run, by what the input says in `kind`."""


_REQUESTS: Mapping[str, type[FailbackRequest | DrillRequest]] = {
    failback_evidence.KIND: FailbackRequest,
    drill_evidence.KIND: DrillRequest,
}


def _kind(event: Mapping[str, Any]) -> str:
    given = event.get("kind")
    return given if isinstance(given, str) and given in WAYS else evidence.KIND


def _sizes(capacity: Mapping[str, Capacity] | None) -> dict[str, dict[str, int]] | None:
    return None if capacity is None else {name: asdict(size) for name, size in capacity.items()}


def _sizes_kept(steps: list[StepStory]) -> dict[str, Capacity] | None:
    """What an earlier attempt at the record has kept of them."""
    told = next((story.facts.get("capacity_before") for story in steps if story.name == "record"), None)
    return {name: Capacity(**sizes) for name, sizes in told.items()} if told else None


def _is_failback(event: Mapping[str, Any]) -> bool:
    return event.get("kind") == failback_evidence.KIND


def _warm(steps: list[StepStory]) -> Warm | None:
    facts = next((story.facts for story in steps if story.name == "scale (warm)"), {})
    return Warm(int(facts["wanted"]), int(facts["present"])) if {"wanted", "present"} <= facts.keys() else None


def _read[Found](what: str, look: Callable[[], Found]) -> tuple[Found | None, str | None]:
    """What was found, or why it was not: good to have, and nothing that the end of a run waits for or fails of."""
    try:
        return look(), None
    except UNREAD as error:
        return None, f"{what}: {type(error).__name__}: {error}"


def _try(what: str, act: Callable[[], None]) -> str | None:
    """What went wrong, for something that must not keep the rest from being tried."""
    try:
        act()
    except NO_ANSWER as error:
        return f"{what}: {type(error).__name__}: {error}"
    return None
