"""What the clients outside saw: one attempt is one line of their log, and the log is read while it grows."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self


class Kind(StrEnum):
    """What an attempt asked for."""

    WRITE = "write"
    """POST /orders."""
    READ = "read"
    """GET of an order that was acknowledged before."""
    PAGE = "page"
    """GET /."""


class Failure(StrEnum):
    """Why there was no answer, or no whole one."""

    DNS_SILENT = "dns-silent"
    """The resolver did not answer in time."""
    DNS_EMPTY = "dns-empty"
    """The resolver answered, with no address."""
    REFUSED = "refused"
    TIMEOUT = "timeout"
    RESET = "reset"
    """The connection was opened and then broken off."""
    UNREACHABLE = "unreachable"
    MALFORMED = "malformed"
    """What came back is no HTTP."""


@dataclass(frozen=True)
class Attempt:
    """One attempt of one client. Times are epoch seconds by the client's clock."""

    kind: Kind
    id: str
    """The order's id; empty for the page."""
    client: int
    sent: float
    """When the attempt began: before the name was resolved."""
    got: float
    """When it ended: an answer, a failure, or the end of patience."""
    status: int | None = None
    """The HTTP status, if there was one."""
    error: Failure | None = None
    region: str | None = None
    """X-Relight-Region of the answer."""
    address: str | None = None
    """Where the client connected to."""
    answer: tuple[str, ...] = ()
    """All addresses that the resolver gave; empty on a connection kept open, for which nothing was resolved."""

    @property
    def acknowledged(self) -> bool:
        """The client saw 201, even when the rest of the answer did not arrive: it may rely on the order."""
        return self.kind is Kind.WRITE and self.status == 201

    @property
    def good(self) -> bool:
        """A whole answer, and the one that was hoped for."""
        return self.error is None and self.status == (201 if self.kind is Kind.WRITE else 200)

    def line(self) -> bytes:
        """The attempt as its line of the log."""
        return json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n"

    @classmethod
    def of(cls, line: bytes) -> Self | None:
        """The attempt of that line; None for a line that is none (cut short by a kill, or not written by a client)."""
        try:
            record: Any = json.loads(line)
            return cls._of(record) if isinstance(record, dict) else None
        except (ValueError, KeyError, TypeError):
            return None

    @classmethod
    def _of(cls, record: Mapping[str, Any]) -> Self:
        status, error = record.get("status"), record.get("error")
        region, address = record.get("region"), record.get("address")
        return cls(
            kind=Kind(record["kind"]),
            id=str(record["id"]),
            client=int(record["client"]),
            sent=float(record["sent"]),
            got=float(record["got"]),
            status=None if status is None else int(status),
            error=None if error is None else Failure(error),
            region=None if region is None else str(region),
            address=None if address is None else str(address),
            answer=tuple(str(each) for each in record.get("answer", ())),
        )


class AttemptLog:
    """A client log that may not exist yet, may still grow, and may end within a line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.unreadable = 0
        """Whole lines so far that are no attempts."""

    def new(self) -> tuple[Attempt, ...]:
        """The attempts of the whole lines written since the last look."""
        try:
            with self._path.open("rb") as log:
                log.seek(self._offset)
                data = log.read()
        except FileNotFoundError:
            return ()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        lines = [line for line in whole.splitlines() if line.strip()]
        attempts = tuple(attempt for line in lines if (attempt := Attempt.of(line)) is not None)
        self.unreadable += len(lines) - len(attempts)
        return attempts


def read(path: Path) -> tuple[Attempt, ...]:
    """All attempts of a log, in the order in which they ended; empty when there is no such log."""
    return tuple(sorted(AttemptLog(path).new(), key=lambda attempt: attempt.got))


@dataclass(frozen=True)
class Tally:
    """The attempts that ended within one second."""

    good: int = 0
    bad: int = 0


def per_second(attempts: Iterable[Attempt], now: float, seconds: int) -> tuple[Tally, ...]:
    """The tallies of the last whole `seconds` seconds before `now`, oldest first."""
    good, bad = [0] * seconds, [0] * seconds
    for attempt in attempts:
        ago = now - attempt.got
        if 0 <= ago < seconds:
            (good if attempt.good else bad)[seconds - 1 - int(ago)] += 1
    return tuple(Tally(*pair) for pair in zip(good, bad, strict=True))
