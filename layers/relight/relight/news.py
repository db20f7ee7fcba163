"""Events out: what runs, drills and readiness tell the event bus of their Region, for rules that others write.

Each entry is built by a pure function, and docs/events/ has a schema for each kind. `put` alone calls AWS, and whatever
becomes of it is a sentence: news that nobody heard must not harm a run. Times are epoch seconds.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import batched
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight.answering import sentence_of
from relight.decision import Action
from relight.errors import InputInvalid
from relight.moment import told
from relight.telling import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

    from relight.question import Answer, Question
    from relight.run import Run

SOURCE, VERSION = "relight", "1"
LONGEST_SENTENCE = 1000
MOST_CHECKS = 40  # an entry may have 256 kB
_MOST_ENTRIES = 10  # of one PutEvents
DRILL = "drill"
_NOT_PASSED = ("FAIL", "WARN")


class News(StrEnum):
    """The `detail-type` of each kind."""

    RUN_STARTED = "Relight Run Started"
    RUN_DECIDED = "Relight Run Decided"
    QUESTION_ASKED = "Relight Question Asked"
    QUESTION_ANSWERED = "Relight Question Answered"
    REGION_ACTIVE = "Relight Region Active"
    RUN_ENDED = "Relight Run Ended"
    DRILL_ENDED = "Relight Drill Ended"
    READINESS_CHANGED = "Relight Readiness Changed"

    @property
    def schema(self) -> str:
        """The name of its schema in docs/events/."""
        return f"{self.value.removeprefix('Relight ').lower().replace(' ', '-')}.json"


@dataclass(frozen=True)
class Origin:
    """Whose news they are: the application, and the Region whose bus they go to."""

    application: str
    region: str


@dataclass(frozen=True)
class Subject:
    """The run that news are of; `kind` is failover, failback or drill."""

    run: Run
    kind: str

    def as_dict(self) -> dict[str, Any]:
        """As each entry has it; a drill has no mode."""
        mode = None if self.kind == DRILL else self.run.mode.value
        return {"id": self.run.id, "epoch": self.run.epoch, "kind": self.kind, "mode": mode}


type Entry = PutEventsRequestEntryTypeDef


def run_started(origin: Origin, of: Subject, trigger: str, reason: str, at: float) -> Entry:
    """A run has taken the lock; `trigger` is automatic, manual or, of a drill, schedule."""
    said = f"{of.kind} {of.run.id} (epoch {of.run.epoch}) has begun in {origin.region}: {reason}"
    return _entry(origin, News.RUN_STARTED, of, at, said, trigger=trigger, reason=_line(reason))


def run_decided(origin: Origin, of: Subject, verdict: Mapping[str, Any], at: float) -> Entry:
    """The facts have been judged, and the run goes on; `verdict` is as the state machine has it."""
    own = {
        "action": Action.PROCEED.value,
        "finding": _word(verdict.get("finding")),
        "mode": _word(verdict.get("mode")),
        "estimated_loss_seconds": _number(verdict.get("estimated_loss_seconds")),
    }
    return _entry(origin, News.RUN_DECIDED, of, at, str(verdict.get("sentence") or "no sentence was given"), **own)


def question_asked(origin: Origin, of: Subject, question: Question) -> Entry:
    """A person is asked. Without the token: it is the right to answer, and whoever hears an event has none."""
    own = {
        "asked": question.asked,
        "urgency": question.urgency.value,
        "finding": question.finding,
        "mode": question.mode,
        "expires_at": question.expires_at,
    }
    return _entry(origin, News.QUESTION_ASKED, of, question.asked_at, question.sentence, **own)


def question_answered(origin: Origin, of: Subject, answer: Answer) -> Entry:
    """A person has answered, or nobody has in time."""
    own = {
        "answer": answer.answer.value,
        "by": _line(answer.by),
        "because": _line(answer.because),
        "finding": answer.finding,
    }
    return _entry(origin, News.QUESTION_ANSWERED, of, answer.at, sentence_of(answer), **own)


def region_active(origin: Origin, of: Subject, before: str, loss: float | None, at: float) -> Entry:
    """The origin's Region takes writes now, and the one of `before` no more; `loss` is the estimate in seconds."""
    said = f"{origin.region} is active now: it takes writes since {told(at)}; before that {before} did"
    own = {"active": origin.region, "before": before, "estimated_loss_seconds": _number(loss)}
    return _entry(origin, News.REGION_ACTIVE, of, at, said, **own)


def ended(origin: Origin, run: Run, evidence: Mapping[str, Any], where: str) -> Entry:
    """A run is over, as its evidence has it, which lies `where`. The end of a drill is news of a kind of its own."""
    of = Subject(run, str(evidence.get("kind") or "failover"))
    at = _number((evidence.get("run") or {}).get("ended"))
    own: dict[str, Any] = {
        "status": _word(evidence.get("status")),
        "finding": _word(evidence.get("finding")),
        "evidence": where,
    }
    said = str(evidence.get("sentence") or "no sentence was given")
    if of.kind == DRILL:
        drill = evidence.get("drill") or {}
        own["drill"] = _word(drill.get("kind"))
        own |= {name: _number(drill.get(name)) for name in ("restore_seconds", "promote_seconds")}
        own["left_over"] = [_line(name) for name in drill.get("left_over") or []]
    else:
        loss = evidence.get("rpo_seconds", evidence.get("estimated_loss_seconds"))
        own |= {"rto_seconds": _number(evidence.get("rto_seconds")), "rpo_seconds": _number(loss)}
    detail_type = News.DRILL_ENDED if of.kind == DRILL else News.RUN_ENDED
    return _entry(origin, detail_type, of, run.started_at if at is None else at, said, **own)


def readiness_changed(origin: Origin, before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> Entry | None:
    """What the last look has come to, where it differs in a check's level from what was `heard` before; else None.

    The first look of all is told, too; in the active Region nothing is, because nothing is judged there.
    """
    left, earlier = _left(now), None if before is None or not _judged(before) else _left(before)
    if not _judged(now) or (earlier is not None and earlier.keys() == left.keys()):
        return None
    failing, warning = ([name for level, name in left if level == wanted] for wanted in _NOT_PASSED)
    score = int(now["score"])
    own = {
        "score": score,
        "ready": not failing,
        "was": None if earlier is None else {"score": int((before or {}).get("score", 0)), "ready": _ready(earlier)},
        "failing": failing,
        "warning": warning,
        "checks": [
            {name: _line(check.get(name)) for name in ("name", "area", "level", "sentence", "todo")}
            for check in list(left.values())[:MOST_CHECKS]
        ],
    }
    return _entry(origin, News.READINESS_CHANGED, None, float(now["at"]), _told(origin, score, failing, warning), **own)


def heard(readiness: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be known of a look, as the ledger keeps it, to see later whether another says something else."""
    left = [{"level": level, "name": name} for level, name in _left(readiness)]
    return {"at": readiness["at"], "on_duty": _judged(readiness), "score": readiness["score"], "checks": left}


def _judged(readiness: Mapping[str, Any]) -> bool:
    return bool(readiness.get("on_duty", True))


def _left(readiness: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """The checks that did not pass, by level and name: those that fail come first."""
    checks = readiness.get("checks") or []
    return {(level, check["name"]): check for level in _NOT_PASSED for check in checks if check["level"] == level}


def _ready(left: Iterable[tuple[str, str]]) -> bool:
    return all(level != _NOT_PASSED[0] for level, _ in left)


def _told(origin: Origin, score: int, failing: list[str], warning: list[str]) -> str:
    """`eu-central-1 is NOT ready, score 80 of 100: failing quota; warned of lag`."""
    state = "is NOT ready" if failing else "is ready"
    why = [f"{word} {', '.join(names)}" for word, names in (("failing", failing), ("warned of", warning)) if names]
    return f"{origin.region} {state}, score {score} of 100" + (f": {'; '.join(why)}" if why else "")


def from_event(origin: Origin, run: Run, event: Mapping[str, Any], before: str, at: float) -> Entry:
    """What the state machine has to tell: `news` in the input of `record` is started, decided or active.

    `before` is the Region that was active before this run. InputInvalid for anything else.
    """
    of = Subject(run, str(event.get("kind") or "failover"))
    decision = event.get("decision")
    verdict = decision if isinstance(decision, dict) else {}
    match event.get("news"):
        case "started":
            trigger, reason = event.get("trigger"), event.get("reason")
            given = trigger if trigger in {"automatic", "schedule"} else "manual"
            return run_started(origin, of, given, str(reason or "no reason given"), at)
        case "decided" if verdict.get("action") == Action.PROCEED:
            return run_decided(origin, of, verdict, at)
        case "active":
            return region_active(origin, of, before, _number(verdict.get("estimated_loss_seconds")), at)
        case other:
            raise InputInvalid(f'"news" is {other!r}; it is started, decided (with a "decision" to proceed), active')


def put(events: EventBridgeClient, entries: Iterable[Entry]) -> str | None:
    """Put them on the default bus of the client's Region: None, or the sentence that says what did not get there."""
    given = list(entries)
    refused: list[str] = []
    try:
        for batch in batched(given, _MOST_ENTRIES, strict=False):
            answers = events.put_events(Entries=list(batch)).get("Entries", [])
            refused += [str(answer["ErrorCode"]) for answer in answers if answer.get("ErrorCode")]
    except (BotoCoreError, ClientError) as error:
        return f"events: {type(error).__name__}: {_line(error)}"
    if not refused:
        return None
    return f"events: {len(refused)} of {len(given)} were refused: {', '.join(sorted(set(refused)))}"


def _entry(origin: Origin, news: News, of: Subject | None, at: float, sentence: str, **own: Any) -> Entry:
    detail = {
        "version": VERSION,
        "application": origin.application,
        "region": origin.region,
        "run": None if of is None else of.as_dict(),
        "at": at,
        "sentence": _line(sentence),
    }
    return {
        "Source": SOURCE,
        "DetailType": news.value,
        "Time": datetime.fromtimestamp(at, UTC),
        "Resources": [] if of is None else [of.run.owner],
        "Detail": json.dumps(detail | own, sort_keys=True, allow_nan=False),
    }


def _line(text: object) -> str:
    return one_line(str(text), LONGEST_SENTENCE)


def _word(given: object) -> str | None:
    return _line(given) if isinstance(given, str) and given else None


def _number(given: object) -> float | None:
    """A measured number; None for whatever is none."""
    if not isinstance(given, int | float) or isinstance(given, bool) or not math.isfinite(given):
        return None
    return float(given)
