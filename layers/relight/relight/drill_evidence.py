"""The evidence of a drill: what was rehearsed, how long it took, and what is left of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relight import evidence
from relight.evidence import LONGEST_SENTENCE, End, seconds_of, text_of
from relight.telling import ENDED, FAILED, Notice, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relight.evidence import Kept
    from relight.run import Run
    from relight.settings import RecordSettings

KIND = "drill"  # as the input of `record` says it, and the evidence
_STEP = "drill"  # and what begins with it: the steps whose facts are a drill's


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
    """What was rehearsed and measured."""
    given = event.get("drill")
    stories = [step for step in kept.steps if step.name.partition(" ")[0] == _STEP]
    facts: dict[str, Any] = {}
    for said in (*(step.facts for step in stories), given if isinstance(given, dict) else {}):
        facts |= {name: value for name, value in said.items() if value is not None}
    left = facts.get("left_over")
    return {
        "kind": text_of(facts.get("kind")),
        "database": text_of(facts.get("database")),
        "promote_seconds": seconds_of(facts.get("promote_seconds")),
        "restore_seconds": seconds_of(facts.get("restore_seconds")),
        "source": text_of(facts.get("source")),
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
