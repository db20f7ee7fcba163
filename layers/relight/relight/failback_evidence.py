"""The evidence of a failback: what it found, kept and built, beside what the evidence of each run holds. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relight import evidence
from relight.evidence import LONGEST_SENTENCE, UNDONE, End, seconds_of
from relight.failback_reports import STEPS, Reports, facts_of
from relight.telling import ENDED, FAILED, Notice, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relight.evidence import Kept
    from relight.run import Run
    from relight.settings import RecordSettings

KIND = "failback"  # as the input of `record` says it, and the evidence


def document(run: Run, settings: RecordSettings, event: Mapping[str, Any], kept: Kept, now: float) -> dict[str, Any]:
    """The evidence. What the input does not hand on is taken from the timeline; what was not seen is null."""
    accepted, child = event.get("accepted"), switchover_of(event)
    said = evidence.document(run, settings, event, kept, now)
    facts = {name: _facts(event, kept, name) for name in STEPS}
    went_home = child is not None and said["status"] == End.SUCCEEDED
    return said | {
        "kind": KIND,
        "to": event.get("to"),
        **facts,
        "accepted": accepted if isinstance(accepted, list) else None,
        "switchover": child and child.rpartition(":")[2],
        "read_only_seconds": seconds_of(event.get("read_only_seconds")),
        "rpo_seconds": 0.0 if went_home else said["rpo_seconds"],
        "lag_seconds": {**said["lag_seconds"], "after": seconds_of((facts["reprotect"] or {}).get("lag_seconds"))},
    }


def switchover_of(event: Mapping[str, Any]) -> str | None:
    """The execution that switched over, as the input of `record` names it; None where none was started."""
    found = (event.get("reports") or {}).get("switchover")
    return found if isinstance(found, str) and found else None


def _facts(event: Mapping[str, Any], kept: Kept, name: str) -> dict[str, Any] | None:
    given = facts_of((event.get("reports") or {}).get(name))
    if given is not None:
        return given
    return next((facts for step in STEPS[name] if (facts := kept.facts(step))), None)


def notification(kept: Mapping[str, Any], where: str, report: str | None = None) -> Notice:
    """What people are told of the end of a failback; `where` the evidence lies, and a line on its report."""
    status = kept["status"]
    subject = f"Relight {kept['application']}: failback {status} in {kept['region']}"
    lines = [*_lines(kept, where), *filter(None, [report])]
    return Notice.of(subject, lines, FAILED if status == End.FAILED else ENDED)


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
