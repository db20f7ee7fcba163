"""How long a retired database is kept, what it costs meanwhile, and what people are told of it. Pure."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from relight.errors import RetiredTooYoung
from relight.moment import lasting, told

if TYPE_CHECKING:
    from relight.retired import Retired

DAY = 86400.0
HOURS_A_MONTH = 730
# US dollars, assumed: about what RDS for PostgreSQL costs on demand in one zone of us-east-1; a `large` an hour by kind
# of class, and a GiB a month by storage. Other Regions, generations and contracts differ: it is an order of magnitude.
LARGE_AN_HOUR = {"t": 0.13, "m": 0.17, "r": 0.24, "x": 0.70}
GIB_A_MONTH = {"gp2": 0.115, "gp3": 0.115, "io1": 0.125, "io2": 0.125, "standard": 0.10}
_CLASS = re.compile(r"db\.(?P<kind>[a-z])[0-9a-z]*\.(?P<times>\d*)(?P<size>micro|small|medium|large|xlarge)")
_SIZES = {"micro": 0.125, "small": 0.25, "medium": 0.5, "large": 1.0, "xlarge": 2.0}


def monthly_cost(instance_class: str, storage_type: str, gib: int, *, multi_az: bool) -> float | None:
    """US dollars a month, about; None for a class or storage of which no price is assumed."""
    found = _CLASS.fullmatch(instance_class)
    if found is None or found["kind"] not in LARGE_AN_HOUR or storage_type not in GIB_A_MONTH:
        return None
    size = _SIZES[found["size"]] * int(found["times"] or 1)
    one = LARGE_AN_HOUR[found["kind"]] * size * HOURS_A_MONTH + GIB_A_MONTH[storage_type] * gib
    return round(one * (2 if multi_az else 1), 2)


def due_at(retired: Retired, retained_days: float) -> float:
    """From when on a person may have it deleted."""
    return retired.retired_at + retained_days * DAY


def require_age(retired: Retired, retained_days: float, now: float) -> None:
    """RetiredTooYoung, with the time that is left, before its days are over."""
    due = due_at(retired, retained_days)
    if now < due:
        raise RetiredTooYoung(
            f"{retired.instance} was retired on {told(retired.retired_at)} and is kept for {retained_days:g} days: "
            f"until {told(due)}, for {lasting(due - now)} more"
        )


@dataclass(frozen=True)
class Seen:
    """One look at a retired database; None is what could not be learnt."""

    instance: str
    of: str
    retired_at: float
    due_at: float
    age_days: float
    status: str | None  # `missing` where RDS knows none of that name
    free_bytes: float | None
    gib: int | None
    slots: list[dict[str, Any]] | None  # as `dbcheck` tells them
    dollars_a_month: float | None
    due: bool

    def as_dict(self) -> dict[str, Any]:
        """For the answer and the log."""
        return asdict(self)

    @property
    def sentence(self) -> str:
        """How it is, for a person."""
        room = "unknown" if self.free_bytes is None else f"{self.free_bytes / 2**30:.1f} GiB"
        slots = "unknown" if self.slots is None else str(len(self.slots))
        cost = "unknown" if self.dollars_a_month is None else f"about {self.dollars_a_month:.0f} US dollars (assumed)"
        return (
            f"{self.instance} is {self.status or 'unknown'}; retired {lasting(self.age_days * DAY)} ago; "
            f"free of {self.gib or '?'} GiB: {room}; replication slots: {slots}; cost a month: {cost}"
        )


def word_of_due(seen: Seen, application: str, region: str) -> tuple[str, list[str]]:
    """Subject and lines of the one notice that its days are over."""
    lines = [
        seen.sentence + ".",
        f"Its days are over since {told(seen.due_at)}. It is never deleted by itself.",
        "Before that, `relight reconcile` shows what exists only there.",
        f"A person may then have it deleted in {region}, with a last snapshot: {final_snapshot(seen.instance)}.",
    ]
    return f"Relight {application}: {seen.instance} may be deleted", lines


def final_snapshot(instance: str) -> str:
    """The name of the snapshot that is taken as it is deleted."""
    return f"{instance}-final"
