"""A run: one execution of a state machine, as its steps know it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from relight.errors import InputInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping


class Mode(StrEnum):
    """`emergency`: the peer is lost, writes may be lost. `planned`: writes are stopped first, none is lost."""

    EMERGENCY = "emergency"
    PLANNED = "planned"


@dataclass(frozen=True)
class Run:
    """Who asks: the execution's name, its ARN (the owner of the lock), and the epoch it was given with the lock."""

    id: str
    owner: str
    epoch: int
    started_at: float
    mode: Mode = Mode.EMERGENCY

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Run:
        """The `run` of a step's input; InputInvalid says what it lacks."""
        given = event.get("run")
        if not isinstance(given, dict):
            raise InputInvalid('the step\'s input has no "run": {"id", "owner", "epoch", "started_at"}')
        try:
            return cls(
                id=str(given["id"]),
                owner=str(given["owner"]),
                epoch=int(given["epoch"]),
                started_at=float(given["started_at"]),
                mode=Mode(given.get("mode", Mode.EMERGENCY)),
            )
        except KeyError as missing:
            raise InputInvalid(f'"run" in the step\'s input lacks {missing}') from None
        except (TypeError, ValueError) as wrong:
            raise InputInvalid(f'"run" in the step\'s input is malformed: {wrong}') from None
