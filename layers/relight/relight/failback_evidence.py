"""The evidence of a failback: what it found, kept and built, beside what the evidence of each run holds. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from relight import evidence
from relight.evidence import LONGEST_SENTENCE, End
from relight.failback_reports import STEPS, Reports
from relight.telling import ENDED, FAILED, Notice, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relight.evidence import Kept
    from relight.run import Run
    from relight.settings import RecordSettings

KIND = "failback"  # as the input of `record` says it, and the evidence


def document(run: Run, settings: RecordSettings, event: Mapping[str, Any], kept: Kept, now: float) -> dict[str, Any]:
    """The evidence. What the input does not hand on is taken from the timeline; what was not seen is null."""
    accepted, child = event.get("accepted"), event.get("child")
    return evidence.document(run, settings, event, kept, now) | {
        "kind": KIND,
        "to": event.get("to"),
        **{name: _facts(event, kept, name) for name in STEPS},
        "accepted": accepted if isinstance(accepted, list) else [],
        "child": child if isinstance(child, str) else None,
        "read_only_seconds": _seconds(event.get("read_only_seconds")),
    }


def _facts(event: Mapping[str, Any], kept: Kept, name: str) -> dict[str, Any] | None:
    given = event.get(name)
    if isinstance(given, dict):
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
    run, reports = kept["run"], Reports.of(kept)
    sentence = one_line(kept["sentence"], LONGEST_SENTENCE)
    yield f"Failback {run['id']} (epoch {run['epoch']}) ended {kept['status']}: {sentence}"
    yield evidence.decided(kept["question"], kept["answer"])
    if kept["child"] is not None:
        yield f"Switchover: run {one_line(kept['child'], LONGEST_SENTENCE)}"
    window = kept["read_only_seconds"]
    if window is not None:
        none_lost = ", and none was lost" if kept["status"] == End.SUCCEEDED else ""
        yield f"No write was taken for {window:.1f} s{none_lost}."
    if reports.old:
        yield f"The old database is kept as {reports.old}; `relight retired` says until when."
    if reports.comparison is not None:
        yield "Compared:"
        yield from reports.compared()
    if reports.reconciliation is not None:
        yield "Lost in the failover:"
        yield from reports.lost()
    yield from evidence.undone(kept)
    yield "Steps:"
    yield from (f"  {step['name']}: {one_line(step['sentence'], LONGEST_SENTENCE)}" for step in kept["steps"])
    yield f"Evidence: {where}"
