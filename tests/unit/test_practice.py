"""How long ago a failover was last practised, as the dashboard shows it."""

import pytest
from relight.drill import Drill, Kind
from relight.practice import DAY, age_days

from tests.unit.standby import NOW


def drill(days_ago: float | None, kind: Kind = Kind.RESTORE, status: str | None = "SUCCEEDED") -> Drill:
    """One that ended so long ago; None: it has not."""
    return Drill("d", kind, 5, NOW - 40 * DAY, None if days_ago is None else NOW - days_ago * DAY, status)


@pytest.mark.parametrize(
    ("drills", "days"),
    [
        ([], None),
        ([drill(30), drill(2), drill(9, Kind.PROMOTE)], 2.0),
        ([drill(1, Kind.PLAN), drill(9, Kind.GAMEDAY)], 9.0),
        ([drill(1, status="FAILED"), drill(2, status="STOOD_DOWN"), drill(9)], 9.0),
        ([drill(None, status=None)], None),
        ([drill(-1)], 0.0),
    ],
)
def test_it_counts_from_the_last_that_succeeded_and_touched_something(drills: list[Drill], days: float | None) -> None:
    assert age_days(drills, NOW) == (None if days is None else pytest.approx(days))
