"""What a person answered, as whatever was sent to the task says it. Pure; times are epoch seconds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from relight.errors import InputInvalid
from relight.question import Answer, Reply
from relight.telling import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST = 500
NO_NAME, NO_REASON = "somebody who gave no name", "no reason given"


def answer_of(event: Mapping[str, Any], now: float) -> Answer:
    """The answer in the input; InputInvalid where it is none of the replies.

    Name and reason are in `by` and `because`, or in `said`: an object that has them, its JSON, or the reason alone.
    Nobody made the plain AWS command name them, so they may be missing, blank, or anything.
    """
    try:
        reply = Reply(event["answer"])
    except (KeyError, ValueError):
        raise InputInvalid(f'the input needs an "answer": {", ".join(Reply)}') from None
    finding = _text(event.get("finding"), "unknown")
    if reply is Reply.UNANSWERED:
        return Answer(reply, "nobody", "no answer in time", now, finding)
    said = _said(event)
    return Answer(reply, _text(said.get("by"), NO_NAME), _text(said.get("because"), NO_REASON), now, finding)


def _said(event: Mapping[str, Any]) -> Mapping[str, Any]:
    said = event.get("said", {"by": event.get("by"), "because": event.get("because")})
    if isinstance(said, str):
        try:
            parsed = json.loads(said)
        except (ValueError, RecursionError):  # free text, or brackets without end
            parsed = None
        said = parsed if isinstance(parsed, dict) else {"because": said}
    return said if isinstance(said, dict) else {}


def _text(given: object, default: str) -> str:
    return (one_line(given, LONGEST) if isinstance(given, str) else "") or default


def sentence_of(answer: Answer) -> str:
    """For the person on call."""
    if answer.answer is Reply.UNANSWERED:
        return "nobody answered in time"
    return f"{answer.answer.word} by {answer.by}: {answer.because}"
