"""What a drill uses beside its run: a throwaway database and a site for as long as it takes, and what is copied."""

from collections.abc import Mapping
from decimal import Decimal

from relight import drill_plan, estimate
from relight.drill import Kind

from relight_cli.rates import Use
from relight_cli.samconfig import Slot
from relight_cli.workings import HOURS, Workings

KINDS = (Kind.PLAN.value, Kind.RESTORE.value, Kind.PROMOTE.value)
"""A game day makes nothing of its own: it costs a failover and a way home."""


def minutes(kind: str, gib: Decimal) -> Decimal:
    """About how long a drill of that kind takes, to the end of its teardown; a `restore` from a backup in the standby.

    What the drill itself says of it (`relight drill --kind plan`), by the same assumptions.
    """
    lasts = Decimal(estimate.AT_LEAST_SECONDS) / 60 + _of(drill_plan.SITE_MINUTES) + _of(drill_plan.TEARDOWN_MINUTES)
    if kind == Kind.PROMOTE:
        lasts += gib / _of(estimate.GIB_PER_MINUTE) + _of(drill_plan.PROMOTION_MINUTES)
    return lasts


def drill(kind: str, workings: Workings) -> list[Use] | None:
    """What it makes, by price; None where the workload is not Relight's own, so that nobody knows how large it is.

    A `plan` makes nothing.
    """
    replica = workings.replica
    function = workings.function(Slot.DR, "drill")
    if replica is None or function is None:
        return None
    if kind == Kind.PLAN:
        return []
    gib = workings.database_gb
    hours = minutes(kind, gib) / 60
    instances = workings.variable(function, "DEFAULT_CAPACITY") * hours
    crosses = gib if kind == Kind.PROMOTE else Decimal(0)
    return [
        Use(f"database {replica.value('DBInstanceClass')}", hours, "as the standby, in one zone"),
        Use("database-storage", gib * hours / HOURS, f"{gib:f} GB"),
        Use("transfer-between", crosses, "the data, once"),
        Use("alb", hours, "the balancer of its site"),
        Use("public-ipv4", 2 * hours, "in two zones"),
        Use(f"instance {workings.instance_type(Slot.DR)}", instances, "as many as a failover brings up by default"),
    ]


def monthly(workings: Workings) -> Mapping[str, Decimal]:
    """How often each kind is scheduled in a month."""
    found: dict[str, Decimal] = {}
    for schedule in workings.schedules(Slot.DR, "drill"):
        kind = workings.input_of(schedule).get("kind")
        if kind is not None:
            found[str(kind)] = found.get(str(kind), Decimal(0)) + workings.firings(schedule)
    return found


def _of(number: float) -> Decimal:
    return Decimal(str(number))
