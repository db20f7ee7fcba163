"""The evidence of a run: its document, and the notice of its end. Pure; times are epoch seconds.

What was not seen is null (rule 10).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from relight import __version__
from relight.answering import sentence_of
from relight.asking import loss_of
from relight.moment import told
from relight.question import Answer, Reply
from relight.telling import ENDED, FAILED, Notice, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relight.health import HealthEvent
    from relight.ledger import StepStory
    from relight.question import Question
    from relight.run import Run
    from relight.settings import RecordSettings

PHASES = tuple(f"t{n}" for n in range(9))
SCHEMA = "relight/run/2"
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


@dataclass(frozen=True)
class Kept:
    """What the ledger holds of a run at its end. `health` is None where it could not be read."""

    marks: Mapping[str, float]
    steps: list[StepStory]
    question: Question | None
    answer: Answer | None
    health: list[HealthEvent] | None

    def facts(self, step: str) -> dict[str, Any] | None:
        """What a step came to last; None where it was never entered."""
        return next((story.facts for story in self.steps if story.name == step), None)


def document(run: Run, settings: RecordSettings, event: Mapping[str, Any], kept: Kept, now: float) -> dict[str, Any]:
    """The evidence. `event` is the input of `record`, which has seen that it holds an end and a sentence."""
    phases = {phase: kept.marks.get(phase) for phase in PHASES}
    first_bad, first_good = phases["t0"], phases["t8"]
    verdict = _dict(event.get("verdict"))
    return {
        "schema": SCHEMA,
        "relight": __version__,
        "application": settings.application,
        "region": settings.aws_region,
        "run": {"id": run.id, "epoch": run.epoch, "mode": run.mode.value, "started": run.started_at, "ended": now},
        "status": End(event["end"]).value,
        "finding": event.get("finding"),
        "sentence": event["sentence"],
        "phases": phases,
        "rto_seconds": None if first_bad is None or first_good is None else first_good - first_bad,
        "estimated_loss_seconds": None if verdict is None else loss_of(verdict),
        "verdict": verdict,
        "question": None if kept.question is None else _question(kept.question),
        "answer": None if kept.answer is None else {**asdict(kept.answer), "answer": kept.answer.answer.value},
        "fence": event.get("fence") or (kept.facts("fence") or {}).get("fence"),
        "emptied": (kept.facts("fence (empty)") or {}).get("emptied"),
        "lease": _lease(kept.facts("promote") or {}),
        "harden": kept.facts("harden"),
        "undone": _dict(event.get("undone")),
        "health": None if kept.health is None else [asdict(said) for said in kept.health],
        "steps": [asdict(step) for step in kept.steps],
    }


def _dict(given: Any) -> dict[str, Any] | None:
    return given if isinstance(given, dict) else None


def _question(question: Question) -> dict[str, Any]:
    """Without its token: evidence is read by people who may not answer."""
    told_of = {name: value for name, value in asdict(question).items() if name != "token"}
    return {**told_of, "urgency": question.urgency.value}


def _lease(promoted: Mapping[str, Any]) -> dict[str, Any] | None:
    waited = promoted.get("waited_seconds")
    return None if waited is None else {"waited_seconds": waited}


def notification(evidence: Mapping[str, Any], where: str) -> Notice:
    """What people are told of the end of a run; `where` the evidence lies."""
    status = evidence["status"]
    subject = f"Relight {evidence['application']}: {status} in {evidence['region']}"
    return Notice.of(subject, list(_lines(evidence, where)), FAILED if status == End.FAILED else ENDED)


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
