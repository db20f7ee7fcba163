"""The evidence of a drill: what was rehearsed, how long it took, and what is left of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relight import evidence
from relight.drill import Kind
from relight.evidence import LONGEST_SENTENCE, End, seconds_of, text_of
from relight.telling import ENDED, FAILED, Notice, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relight.evidence import Kept
    from relight.run import Run
    from relight.settings import RecordSettings

KIND = "drill"  # as the input of `record` says it, and the evidence


def document(run: Run, settings: RecordSettings, event: Mapping[str, Any], kept: Kept, now: float) -> dict[str, Any]:
    """The evidence. What the input does not hand on in `drill` is taken from the timeline; what was not seen is null.

    A drill of its own kind makes nothing active, so nothing of it counts as lost.
    """
    return evidence.document(run, settings, event, kept, now) | {
        "kind": KIND,
        "drill": drilled(event, kept),
        "rpo_seconds": None,
    }


def drilled(event: Mapping[str, Any], kept: Kept) -> dict[str, Any]:
    """What was rehearsed and measured, as the steps of the drill tell; the kind from the input, where it says so."""
    given = event.get("drill")
    told = given.get("kind") if isinstance(given, dict) else None
    facts = {name: kept.facts(f"drill ({name})") or {} for name in ("plan", "database", "promote", "teardown")}
    source = facts["database"].get("source") or facts["plan"].get("source")
    left = facts["teardown"].get("left_over")
    kind = text_of(told or facts["plan"].get("kind"))
    return {
        "kind": kind,
        "database": text_of(facts["database"].get("instance")),
        "promote_seconds": seconds_of(facts["promote"].get("promote_seconds")),
        # A replica is built, and not restored.
        "restore_seconds": None if kind == Kind.PROMOTE else seconds_of(facts["database"].get("seconds")),
        "source": f"{source['origin']} {source['name']}" if isinstance(source, dict) else text_of(source),
        "left_over": [str(one) for one in left] if isinstance(left, list | tuple) else None,
    }


def notification(kept: Mapping[str, Any], where: str, report: str | None = None) -> Notice:
    """What people are told of the end of a drill; `where` the evidence lies, and a line on its report."""
    status = kept["status"]
    subject = f"Relight {kept['application']}: drill {status} in {kept['region']}"
    lines = [*_lines(kept, where), *filter(None, [report])]
    return Notice.of(subject, lines, FAILED if status == End.FAILED else ENDED)


def _lines(kept: Mapping[str, Any], where: str) -> Iterator[str]:
    run, drill = kept["run"], kept["drill"]
    yield f"Drill {run['id']} (epoch {run['epoch']}) ended {kept['status']}: {_line(kept['sentence'])}"
    yield f"Kind: {_line(drill['kind'] or 'not known')}"
    if kept["question"] is not None or kept["answer"] is not None:
        yield evidence.decided(kept["question"], kept["answer"])
    for name, what in (("restore_seconds", "The restore took"), ("promote_seconds", "The promotion took")):
        if drill[name] is not None:
            yield f"{what} {drill[name]:.0f} s."
    yield from _left(drill["left_over"])
    yield "Steps:"
    yield from (f"  {step['name']}: {_line(step['sentence'])}" for step in kept["steps"])
    yield f"Evidence: {where}"


def _left(left: list[str] | None) -> Iterator[str]:
    if left is None:
        yield "What is left of it is not known; the sweeper looks every hour."
    else:
        yield f"Left of it: {', '.join(map(_line, left))}" if left else "Nothing is left of it."


def _line(text: object) -> str:
    return one_line(str(text), LONGEST_SENTENCE)
