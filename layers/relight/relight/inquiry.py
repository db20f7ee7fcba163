"""Asking many things at once, each bounded in time: every answer, or why there is none."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as AnswerLate
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from relight.errors import RelightError
from relight.names import NoAnswer
from relight.readiness_facts import NotSeen, Unseen

if TYPE_CHECKING:
    from collections.abc import Callable


class Answer[T](Protocol):
    """Something that was asked."""

    def result(self, timeout: float | None = None) -> T:
        """The answer, once it is there."""


def why(error: Exception) -> str:
    """An error as people read it: what was asked, the code, and the message."""
    if isinstance(error, ClientError):
        said = error.response["Error"]
        return f"{error.operation_name}: {said.get('Code')}: {said.get('Message')}"
    return str(error) if isinstance(error, NotSeen) else f"{type(error).__name__}: {error}"


def attempt[T](call: Callable[[], T]) -> T | Unseen:
    """What the call returns, or why it could not be learnt."""
    try:
        return call()
    except (ClientError, BotoCoreError, RelightError, NoAnswer, NotSeen, OSError) as error:
        return Unseen(why(error))


def seek[T](call: Callable[[], T], *gone: str) -> T | Unseen | None:
    """The same of what may not exist: None where AWS answers with one of these codes."""

    def found() -> T | None:
        try:
            return call()
        except ClientError as error:
            if error.response["Error"]["Code"] in gone:
                return None
            raise

    return attempt(found)


@dataclass(frozen=True)
class Inquiry:
    """Questions that are under way until `until` (by the clock, epoch seconds).

    A question may wait for the answer to an earlier one: threads take them in their order, so an earlier one is always
    under way.
    """

    threads: ThreadPoolExecutor
    clock: Callable[[], float]
    until: float

    def send[T](self, call: Callable[[], T]) -> Future[T | Unseen]:
        """Ask; an answer that AWS refuses or does not give is Unseen."""
        return self.threads.submit(attempt, call)

    def seek[T](self, call: Callable[[], T], *gone: str) -> Future[T | Unseen | None]:
        """Ask for what may not exist."""
        return self.threads.submit(seek, call, *gone)

    def told[T](self, answer: Answer[T]) -> T | Unseen:
        """The answer, waited for no longer than until the end of the inquiry."""
        try:
            return answer.result(timeout=max(0.0, self.until - self.clock()))
        except AnswerLate:
            return Unseen("it did not answer in time")
