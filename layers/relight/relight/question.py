"""What a run asks a person, and what the person answered. Pure; times are epoch seconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Urgency(StrEnum):
    """How pressing a question is: a subscription's filter policy can send the later ones to more people."""

    FIRST = "first"
    REPEATED = "repeated"
    ESCALATED = "escalated"
    LAST = "last"


def urgency_of(asked: int, *, another: bool) -> Urgency:
    """Of the `asked`-th question of a run; `another` is whether it will be asked once more if nobody answers."""
    if not another:
        return Urgency.LAST
    return {1: Urgency.FIRST, 2: Urgency.REPEATED}.get(asked, Urgency.ESCALATED)


@dataclass(frozen=True)
class Question:
    """The newest question of a run: only it can be answered, with its task token, until it expires."""

    asked: int
    token: str
    asked_at: float
    expires_at: float
    finding: str
    sentence: str
    mode: str
    urgency: Urgency


class Reply(StrEnum):
    """How a question ended."""

    APPROVED = "approved"
    DECLINED = "declined"
    UNANSWERED = "unanswered"
    STAY = "stay"  # to a failback alone: not home, and this for good

    @property
    def word(self) -> str:
        """What became of the run by it, as in `declined by ann`."""
        return "told to stay" if self is Reply.STAY else self.value


@dataclass(frozen=True)
class Answer:
    """Who answered what; `by` and `because` are as given, and say so where nothing was."""

    answer: Reply
    by: str
    because: str
    at: float
    finding: str
