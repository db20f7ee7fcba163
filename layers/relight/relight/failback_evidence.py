"""The evidence of a failback: what it found, kept and built, beside what the evidence of each run holds. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from relight import evidence
from relight.evidence import LONGEST_SENTENCE, UNDONE, End
from relight.failback_reports import STEPS, Reports, facts_of
from relight.telling import ENDED, FAILED, Notice, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from relight.evidence import Kept
    from relight.ledger import StepStory
    from relight.run import Run
    from relight.settings import RecordSettings

KIND = "failback"  # as the input of `record` says it, and the evidence
_STOPS = ("quiesce (stop)", "fence")  # steps of a planned run that end the other Region's writes


def document(run: Run, settings: RecordSettings, event: Mapping[str, Any], kept: Kept, now: float) -> dict[str, Any]:
    """The evidence. What the input does not hand on is taken from the timeline; what was not seen is null."""
    accepted, child = event.get("accepted"), switchover_of(event)
    return evidence.document(run, settings, event, kept, now) | {
        "kind": KIND,
        "to": event.get("to"),
        **{name: _facts(event, kept, name) for name in STEPS},
        "accepted": accepted if isinstance(accepted, list) else None,
        "switchover": child and child.rpartition(":")[2],
        "read_only_seconds": _seconds(event.get("read_only_seconds")),
    }


def switchover_of(event: Mapping[str, Any]) -> str | None:
    """The execution that switched over, as the input of `record` names it; None where none was started."""
    found = (event.get("reports") or {}).get("switchover")
    return found if isinstance(found, str) and found else None


def read_only_seconds(marks: Mapping[str, float], steps: Sequence[StepStory]) -> float | None:
    """From when the switchover began to stop the other Region's writes until a client outside was served here (t8), or
    else a write was read back (t6); None where either was not seen."""
    stopped = min((step.started for step in steps if step.name in _STOPS), default=None)
    served = marks.get("t8", marks.get("t6"))
    return None if stopped is None or served is None else max(0.0, served - stopped)


def _facts(event: Mapping[str, Any], kept: Kept, name: str) -> dict[str, Any] | None:
    given = facts_of((event.get("reports") or {}).get(name))
    if given is not None:
        return given
    return next((facts for step in STEPS[name] if (facts := kept.facts(step))), None)


def _seconds(given: Any) -> float | None:
    measured = isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
    return float(given) if measured else None


def notification(kept: Mapping[str, Any], where: str) -> Notice:
    """What people are told of the end of a failback; `where` the evidence lies."""
    status = kept["status"]
    subject = f"Relight {kept['application']}: failback {status} in {kept['region']}"
    return Notice.of(subject, list(_lines(kept, where)), FAILED if status == End.FAILED else ENDED)


def _lines(kept: Mapping[str, Any], where: str) -> Iterator[str]:
    run = kept["run"]
    yield f"Failback {run['id']} (epoch {run['epoch']}) ended {kept['status']}: {_line(kept['sentence'])}"
    yield evidence.decided(kept["question"], kept["answer"])
    if kept["switchover"] is not None:
        yield f"Switchover: run {_line(kept['switchover'])}"
    window = kept["read_only_seconds"]
    if window is not None:
        none_lost = ", and none was lost" if kept["status"] == End.SUCCEEDED else ""
        yield f"No write was taken for {window:.1f} s{none_lost}."
    yield from _reported(Reports.of(kept))
    undone = kept["undone"] or {}
    if undone:
        yield "Undone:"
        yield from (f"  {name}: {_line(undone[key])}" for key, name in UNDONE.items() if key in undone)
    yield "Steps:"
    yield from (f"  {step['name']}: {_line(step['sentence'])}" for step in kept["steps"])
    yield f"Evidence: {where}"


def _reported(reports: Reports) -> Iterator[str]:
    if reports.old:
        yield f"The old database is kept as {reports.old}; `relight retired` says until when."
    if reports.comparison is not None:
        yield "Compared:"
        yield from reports.compared()
    if reports.reconciliation is not None:
        yield "Lost in the failover:"
        yield from reports.lost()


def _line(text: object) -> str:
    return one_line(str(text), LONGEST_SENTENCE)
