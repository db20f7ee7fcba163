"""A psycopg connection that gives up on a server that does not answer."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen

_patience: ContextVar[float] = ContextVar("patience", default=4.0)


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Wait at most so long for each answer of the database while the block lasts (4 s elsewhere)."""
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


class PatientConnection(psycopg.Connection[Any]):
    """Closes itself and raises OperationalError when the server leaves a statement unanswered for too long.

    Whether a COMMIT that got no answer has happened is unknown then; the client asks again with the same id.
    """

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        if timeout is not None:  # a limit of the caller's own, who knows what to do then
            return super().wait(gen, interval, timeout)
        limit = _patience.get()
        deadline = time.monotonic() + limit
        try:
            return super().wait(gen, interval, limit)
        except psycopg.OperationalError:
            if time.monotonic() < deadline:
                raise
            self.close()
            raise psycopg.OperationalError(f"the database did not answer within {limit:g} s") from None
