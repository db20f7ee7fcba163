"""What guard tells beside the switches: a freeze that lasts, and the time without a standby."""

from dataclasses import replace

import pytest
from relight.gauges import OVER_SECONDS, STREAM_SECONDS, gauges, unprotected
from relight.ledger import Head, Promotion, State
from relight.signal import Seen, Signal, View

from tests.unit.standby import HERE, HOME

NOW = 10_000.0
STEADY = Head(True, 1, HOME, State.STEADY)
ACTIVE = Head(True, 1, HERE, State.STEADY, ended_at=NOW - 100)
PROMOTED = Promotion("shop-dr", "failover-1-1", 1, NOW - 300)


@pytest.mark.parametrize(
    ("until", "maintenance"),
    [
        # Nothing is paid for where there is nothing to tell; the end of a freeze is told for a while.
        (None, None),
        (NOW - OVER_SECONDS, None),
        (NOW - OVER_SECONDS + 1, 0.0),
        (NOW, 0.0),
        (NOW + 1, 1.0),
        (NOW + 86_400, 1.0),
    ],
)
@pytest.mark.parametrize("here", [HERE, HOME])
def test_maintenance_lasts_as_long_as_the_freeze(until: float | None, maintenance: float | None, here: str) -> None:
    assert gauges(replace(STEADY, frozen_until=until), here, HOME, NOW).get("MAINTENANCE") == maintenance


def test_a_maintenance_window_that_is_still_to_come_keeps_nothing_quiet() -> None:
    window = replace(STEADY, frozen_from=NOW + 1, frozen_until=NOW + 3600)
    assert gauges(window, HERE, HOME, NOW)["MAINTENANCE"] == 0.0
    assert gauges(window, HERE, HOME, NOW + 1)["MAINTENANCE"] == 1.0


@pytest.mark.parametrize(
    ("head", "seconds"),
    [
        (STEADY, None),
        (replace(STEADY, state=State.PROMOTING), None),
        # While the run goes on, and after it failed behind the door: from the call itself.
        (replace(ACTIVE, promotion=PROMOTED, ended_at=None, state=State.PROMOTING), 300.0),
        (replace(ACTIVE, promotion=PROMOTED, ended_at=NOW - 5000), 300.0),
        (ACTIVE, 100.0),
        (replace(ACTIVE, ended_at=NOW + 1), 0.0),
        # Active, and nobody knows since when: no data, and never a reassuring 0.
        (replace(ACTIVE, ended_at=None), None),
        (replace(ACTIVE, ended_at=None, promotion=replace(PROMOTED, called_at=None)), None),
    ],
)
def test_a_region_away_from_home_is_unprotected_from_its_promotion_on(head: Head, seconds: float | None) -> None:
    assert gauges(head, HERE, HOME, NOW).get("UnprotectedSeconds") == seconds


@pytest.mark.parametrize("head", [STEADY, replace(STEADY, active=HERE), replace(STEADY, promotion=PROMOTED)])
def test_at_home_nothing_is_said_of_it(head: Head) -> None:
    assert "UnprotectedSeconds" not in gauges(head, HOME, HOME, NOW)


@pytest.mark.parametrize(
    ("seen", "silent", "seconds"),
    [
        (Seen.UP, 1, 0.0),
        (Seen.UP, STREAM_SECONDS, 0.0),
        # What was seen long ago, not at all, or broken, reassures nobody.
        (Seen.UP, STREAM_SECONDS + 1, 100.0),
        (Seen.DOWN, 1, 100.0),
        (Seen.UNKNOWN, 1, 100.0),
    ],
)
def test_a_replica_that_streams_into_the_other_region_protects_this_one(
    seen: Seen, silent: float, seconds: float
) -> None:
    stream = Signal(View.STREAM, seen, NOW - 900, NOW - silent, "the replica streams")
    assert unprotected(ACTIVE, HERE, HOME, NOW, stream) == {"UnprotectedSeconds": seconds}
    assert unprotected(STEADY, HERE, HOME, NOW, stream) == {}
