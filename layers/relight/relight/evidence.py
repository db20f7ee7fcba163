"""The evidence of a run: its document, and the notice of its end. Pure; times are epoch seconds.

What was not seen is null (rule 10).
"""

from __future__ import annotations

import math
import platform
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from relight import __version__
from relight.answering import sentence_of
from relight.asking import loss_of
from relight.moment import lasting, told
from relight.question import Answer, Reply
from relight.run import Mode
from relight.signal import Seen
from relight.telling import ENDED, FAILED, Notice, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from relight.alarm_history import AlarmChange
    from relight.calls import Calls
    from relight.health import HealthEvent
    from relight.ledger import Capacity, StepStory
    from relight.question import Question
    from relight.run import Run
    from relight.settings import RecordSettings
    from relight.signal import Signal

PHASES = tuple(f"t{n}" for n in range(9))
SCHEMA = "relight/run/3"
KIND = "failover"
LONGEST_SENTENCE = 3000  # the failure of a run names the cause of what was not undone as well
UNDONE = {
    "capacity": "capacity",
    "switches": "the switches",
    "fence": "the fence",
    "writes": "the writes of the other Region",
}


class End(StrEnum):
    """How a run ended."""

    SUCCEEDED = "SUCCEEDED"
    STOOD_DOWN = "STOOD_DOWN"
    FAILED = "FAILED"


STOPS = ("quiesce (stop)", "fence")  # steps of a planned run that end the other Region's writes


@dataclass(frozen=True)
class Objectives:
    """What a run is held against, in seconds; None where nobody has set it."""

    rto_seconds: float | None = None
    rpo_seconds: float | None = None


NO_OBJECTIVES = Objectives()


@dataclass(frozen=True)
class Kept:
    """What is known of a run at its end, most of it from the ledger. None is what could not be read."""

    marks: Mapping[str, float]
    steps: list[StepStory]
    question: Question | None
    answer: Answer | None
    health: list[HealthEvent] | None
    objectives: Objectives = NO_OBJECTIVES
    signals: Sequence[Signal] | None = None
    alarms: Sequence[AlarmChange] | None = None
    capacity_before: Mapping[str, Capacity] | None = None
    calls: Calls | None = None

    def facts(self, step: str) -> dict[str, Any] | None:
        """What a step came to last; None where it was never entered."""
        return next((story.facts for story in self.steps if story.name == step), None)


def document(run: Run, settings: RecordSettings, event: Mapping[str, Any], kept: Kept, now: float) -> dict[str, Any]:
    """The evidence. `event` is the input of `record`, which has seen that it holds an end and a sentence."""
    phases = {phase: kept.marks.get(phase) for phase in PHASES}
    first_bad, first_good = phases["t0"], phases["t8"]
    verdict = _dict(event.get("verdict"))
    loss = None if verdict is None else loss_of(verdict)
    return {
        "schema": SCHEMA,
        "relight": __version__,
        "versions": {"relight": __version__, "python": platform.python_version()},
        "kind": KIND,
        "application": settings.application,
        "region": settings.aws_region,
        "run": {"id": run.id, "epoch": run.epoch, "mode": run.mode.value, "started": run.started_at, "ended": now},
        "status": End(event["end"]).value,
        "finding": event.get("finding"),
        "sentence": event["sentence"],
        "who": _who(event, kept.answer),
        "phases": phases,
        "objectives": asdict(kept.objectives),
        "rto_seconds": None if first_bad is None or first_good is None else first_good - first_bad,
        "rpo_seconds": _rpo(run.mode, phases, loss),
        "estimated_loss_seconds": loss,
        "read_only_seconds": read_only_seconds(kept.marks, kept.steps) if run.mode is Mode.PLANNED else None,
        "verdict": verdict,
        "views": _views_decided_on(verdict),
        "views_after": None if kept.signals is None else [_view(signal) for signal in kept.signals],
        "lag_seconds": {"before": seconds_of((verdict or {}).get("lag_seconds")), "after": None},
        "question": None if kept.question is None else _question(kept.question),
        "answer": None if kept.answer is None else {**asdict(kept.answer), "answer": kept.answer.answer.value},
        "fence": event.get("fence") or (kept.facts("fence") or {}).get("fence"),
        "emptied": (kept.facts("fence (empty)") or {}).get("emptied"),
        "capacity": _capacity(kept),
        "lease": _lease(kept.facts("promote") or {}),
        "harden": kept.facts("harden"),
        "undone": _dict(event.get("undone")),
        "alarms": None if kept.alarms is None else [change.as_dict() for change in kept.alarms],
        "health": None if kept.health is None else [asdict(said) for said in kept.health],
        "steps": [asdict(step) for step in kept.steps],
        "calls": None if kept.calls is None else asdict(kept.calls),
        "cost_usd": None if kept.calls is None else kept.calls.cost_usd,
        "drill": None,
    }


def _who(event: Mapping[str, Any], answer: Answer | None) -> dict[str, str | None]:
    """Who or what started the run, why, and who approved it."""
    trigger, reason = (text_of(event.get(name)) for name in ("trigger", "reason"))
    approved = answer is not None and answer.answer is Reply.APPROVED
    return {"trigger": trigger, "reason": reason, "approved_by": answer.by if answer and approved else None}


def text_of(given: Any) -> str | None:
    """A text that says something, as what was handed on may hold anything."""
    return given if isinstance(given, str) and given.strip() else None


def _rpo(mode: Mode, phases: Mapping[str, float | None], estimated: float | None) -> float | None:
    """Seconds of acknowledged writes lost: none of a planned run, as estimated of another, where it has promoted."""
    if phases["t4"] is None:
        return None
    return 0.0 if mode is Mode.PLANNED else estimated


def read_only_seconds(marks: Mapping[str, float], steps: Iterable[StepStory]) -> float | None:
    """From when a planned run began to stop the other Region's writes until a client outside was served here (t8), or
    else a write was read back (t6); None where either was not seen."""
    stopped = min((step.started for step in steps if step.name in STOPS), default=None)
    served = marks.get("t8", marks.get("t6"))
    return None if stopped is None or served is None else max(0.0, served - stopped)


def seconds_of(given: Any) -> float | None:
    """A finite number, as what was handed on may hold anything."""
    measured = isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
    return float(given) if measured else None


def _views_decided_on(verdict: Mapping[str, Any] | None) -> list[dict[str, Any]] | None:
    """What each view said when it was decided."""
    views = (verdict or {}).get("views")
    if not isinstance(views, dict):
        return None
    told = {name: said if isinstance(said, dict) else {} for name, said in views.items()}
    return [
        {
            "view": name,
            "seen": said.get("seen"),
            "since": said.get("since") or None,  # of what was never seen it is 0
            "last_seen": said.get("last_seen") or None,
            "sentence": said.get("sentence"),
        }
        for name, said in told.items()
    ]


def _view(signal: Signal) -> dict[str, Any]:
    """What a view said last. Nobody looks at the other Region any more once this one is active: it may be old."""
    never = signal.seen is Seen.UNKNOWN and not signal.last_seen
    return {
        "view": signal.view.value,
        "seen": signal.seen.value,
        "since": None if never else signal.since,
        "last_seen": None if never else signal.last_seen,
        "sentence": signal.sentence,
    }


def _capacity(kept: Kept) -> dict[str, Any] | None:
    """The sizes of each group before it was raised, and what was there when the run last looked."""
    sizes = {
        name: {"min": size.minimum, "desired": size.desired, "max": size.maximum}
        for name, size in (kept.capacity_before or {}).items()
    }
    steps = ("scale (settle)", "scale (serve)", "scale (ready)", "scale (warm)")
    after = next((groups for step in steps if (groups := (kept.facts(step) or {}).get("groups"))), None)
    return {"before": sizes or None, "after": after} if sizes or after else None


def _dict(given: Any) -> dict[str, Any] | None:
    return given if isinstance(given, dict) else None


def _question(question: Question) -> dict[str, Any]:
    """Without its token: evidence is read by people who may not answer."""
    told_of = {name: value for name, value in asdict(question).items() if name != "token"}
    return {**told_of, "urgency": question.urgency.value}


def _lease(promoted: Mapping[str, Any]) -> dict[str, Any] | None:
    waited = promoted.get("waited_seconds")
    return None if waited is None else {"waited_seconds": waited}


def notification(evidence: Mapping[str, Any], where: str, report: str | None = None) -> Notice:
    """What people are told of the end of a run; `where` the evidence lies, and a line on its report."""
    status = evidence["status"]
    subject = f"Relight {evidence['application']}: {status} in {evidence['region']}"
    lines = [*_lines(evidence, where), *filter(None, [report])]
    return Notice.of(subject, lines, FAILED if status == End.FAILED else ENDED)


def _lines(evidence: Mapping[str, Any], where: str) -> Iterator[str]:
    run, rto = evidence["run"], evidence["rto_seconds"]
    sentence = one_line(evidence["sentence"], LONGEST_SENTENCE)
    yield f"Run {run['id']} (epoch {run['epoch']}) ended {evidence['status']}: {sentence}"
    yield f"Mode: {run['mode']}"
    yield decided(evidence["question"], evidence["answer"])
    if evidence["status"] == End.SUCCEEDED:
        yield f"Lost writes: {_loss(run['mode'], evidence['estimated_loss_seconds'])}"
    yield f"RTO, first bad sample to first good answer: {'not measured' if rto is None else f'{rto:.0f} s'}"
    yield from _fence(evidence)
    yield from _undone(evidence)
    yield "Steps:"
    yield from (f"  {step['name']}: {one_line(step['sentence'], LONGEST_SENTENCE)}" for step in evidence["steps"])
    yield f"Evidence: {where}"


def reported(run_id: str, link: str | None, why_not: str | None, seconds: float) -> str:
    """The line on the report: the link, or why there is none."""
    command = f"`relight report {run_id}` shows it at any time"
    if link is None:
        return f"Report: {command}." if why_not is None else f"No report: {one_line(why_not, LONGEST_SENTENCE)}"
    lasts = f"for {lasting(seconds)} at most, and less where the credentials of the function end sooner"
    said = f"Report ({lasts}; {command}): {link}"
    return said if why_not is None else f"{said}\nNot with it: {one_line(why_not, LONGEST_SENTENCE)}"


def decided(question: Mapping[str, Any] | None, answer: Mapping[str, Any] | None) -> str:
    """Who was asked, and what was answered, for people."""
    if question is None and answer is None:
        return "Nobody was asked."
    said = ""
    if answer is not None:
        sentence = sentence_of(Answer(**{**answer, "answer": Reply(answer["answer"])}))
        said = f"{sentence[0].upper()}{sentence[1:]} (at {told(answer['at'])})"
    if question is None or (answer is not None and answer["at"] >= question["asked_at"]):
        return said
    opened = f"Question {question['asked']}, asked at {told(question['asked_at'])}, was not answered"
    return f"{said}. {opened}" if said else opened


def _loss(mode: str, estimated: float | None) -> str:
    if mode == "planned":
        return "none, the other Region's writes were stopped first and all of them have arrived"
    return "unknown" if estimated is None else f"about {estimated:.0f} s of them, estimated before the promotion"


def _fence(evidence: Mapping[str, Any]) -> Iterator[str]:
    if evidence["fence"] is not None:
        yield f"Fence around the other Region's database: {evidence['fence']}"
    if evidence["emptied"] is not None:
        yield f"The other Region's capacity to 0: {evidence['emptied']}"


def _undone(evidence: Mapping[str, Any]) -> Iterator[str]:
    put_back = evidence["undone"]
    if put_back is None:
        if evidence["status"] == End.FAILED:
            yield "Undone: nothing"
        return
    yield "Undone:"
    yield from (
        f"  {name}: {one_line(str(put_back.get(key) or 'not known'), LONGEST_SENTENCE)}" for key, name in UNDONE.items()
    )
