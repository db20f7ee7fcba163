"""The head of a ledger: what one Region is, who works on it, and what is open. Pure; times are epoch seconds."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from relight.run import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping

_pack = TypeSerializer().serialize
_unpack = TypeDeserializer().deserialize


def item(values: Mapping[str, Any]) -> dict[str, Any]:
    """Python values as DynamoDB takes them: floats become exact decimals."""
    return {key: _pack(_dynamo(value)) for key, value in values.items()}


def values_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """What DynamoDB answered, as Python values."""
    return {key: _unpack(value) for key, value in item.items()}


def _dynamo(value: Any) -> Any:
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, dict):
        return {key: _dynamo(item) for key, item in value.items()}
    return value


class State(StrEnum):
    """`steady`: nothing is on its way. `promoting`: a run has decided to activate this Region."""

    STEADY = "steady"
    PROMOTING = "promoting"


@dataclass(frozen=True)
class Capacity:
    """The sizes of an Auto Scaling group."""

    minimum: int
    desired: int
    maximum: int


@dataclass(frozen=True)
class Promotion:
    """The one-way door was opened for this instance, by this run; the call was made at `called_at`, if it was."""

    instance: str
    run: str
    epoch: int
    called_at: float | None
    mode: Mode = Mode.EMERGENCY


@dataclass(frozen=True)
class Quiesce:
    """A planned run has begun to stop the peer's writes; `lsn` lies behind the last of them, once that is confirmed."""

    began: float
    lsn: str | None


@dataclass(frozen=True)
class Head:
    """What the ledger says about its Region. `written` is False where nobody has written anything yet."""

    written: bool
    epoch: int
    active: str
    state: State
    owner: str | None = None
    expires_at: float = 0.0
    promotion: Promotion | None = None
    go_withheld: bool = False  # GO waits for `verify`; never written where it does not, so that nothing takes GO away
    capacity_before: Mapping[str, Capacity] | None = None  # of each Auto Scaling group, by name
    ended_at: float | None = None
    frozen_until: float | None = None
    frozen_because: str | None = None
    frozen_from: float | None = None  # None: from when it was written
    frozen_by: str | None = None
    granting_stopped_at: float | None = None  # since then the other Region's application gets no write lease from here
    quiesce: Quiesce | None = None
    refused_at: float | None = None  # when a person last declined, or left a question unanswered
    failed_at: float | None = None  # when a run last failed before the one-way door, and could not undo all of it
    active_epoch: int = 0  # of the run that made `active` what it is; runs that changed nothing do not count
    held: bool = False  # the secondary record is held unhealthy (HOLD); only the home Region's ledger says so
    home: str | None = None  # the Region that a person has made home instead of the deployed one
    well_since: float | None = None  # since when this Region could be gone home to
    offered_epoch: int = 0  # of the activation for which the way home has been offered

    @property
    def door_opened(self) -> bool:
        """A promotion was begun and its run has not been brought to its end: only forward from here (rule 6)."""
        return self.promotion is not None and self.state is State.PROMOTING

    def home_or(self, deployed: str) -> str:
        """The home Region: where a person has decided to stay, or else the one fixed at deployment."""
        return self.home or deployed

    def frozen_at(self, now: float) -> bool:
        """An operator's freeze, or maintenance window, is in force."""
        begun = self.frozen_from is None or self.frozen_from <= now
        return self.frozen_until is not None and begun and now < self.frozen_until


def capacity_of(values: Mapping[str, Any]) -> Capacity:
    """The sizes as they were kept."""
    return Capacity(*(int(values[key]) for key in ("minimum", "desired", "maximum")))


def head_of(written: Mapping[str, Any] | None, home_region: str) -> Head:
    """The head as written, or the one of a Region whose ledger is still empty: home is active, epoch 0."""
    if not written:
        return Head(False, 0, home_region, State.STEADY)
    values = values_of(written)

    def moment(name: str) -> float | None:
        return float(values[name]) if values.get(name) is not None else None

    before = values.get("capacity_before")
    return Head(
        written="active" in values or "epoch" in values,
        epoch=int(values.get("epoch", 0)),
        active=str(values.get("active", home_region)),
        state=State(values.get("state", State.STEADY)),
        owner=values.get("owner"),
        expires_at=float(values.get("expires_at", 0)),
        promotion=_promotion(values.get("promotion")),
        go_withheld=bool(values.get("go_withheld", False)),
        capacity_before=before and {group: capacity_of(sizes) for group, sizes in before.items()},
        ended_at=moment("ended_at"),
        frozen_until=moment("frozen_until"),
        frozen_because=values.get("frozen_because"),
        frozen_from=moment("frozen_from"),
        frozen_by=values.get("frozen_by"),
        granting_stopped_at=moment("granting_stopped_at"),
        quiesce=_quiesce(values.get("quiesce")),
        refused_at=moment("refused_at"),
        failed_at=moment("failed_at"),
        active_epoch=int(values.get("active_epoch", 0)),
        held=bool(values.get("held", False)),
        home=values.get("home"),
        well_since=moment("well_since"),
        offered_epoch=int(values.get("offered_epoch", 0)),
    )


def _promotion(values: Mapping[str, Any] | None) -> Promotion | None:
    if not values:
        return None
    called_at = values.get("called_at")
    called = None if called_at is None else float(called_at)
    mode = Mode(values.get("mode", Mode.EMERGENCY))
    return Promotion(values["instance"], values["run"], int(values["epoch"]), called, mode)


def _quiesce(values: Mapping[str, Any] | None) -> Quiesce | None:
    return Quiesce(float(values["began"]), values.get("lsn")) if values else None
