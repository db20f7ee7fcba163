"""When readiness tells its metrics: a change at once, the rest as seldom as it can be."""

from dataclasses import replace
from typing import Any

import pytest
from relight.readiness import Readiness
from relight.readiness_gauges import gauges

pytestmark = pytest.mark.readiness

HOUR = 3600.0
NOON = 1_790_000_000.0 // (24 * HOUR) * 24 * HOUR + 12 * HOUR
READY = Readiness(NOON, "eu-central-1", 100, (), "0.1.0", practised_days=3.0)


def before(**changed: Any) -> dict[str, Any]:
    """A look half an hour earlier."""
    return READY.to_dict() | {"at": NOON + HOUR} | changed


def test_the_first_look_tells_everything() -> None:
    assert gauges(None, READY) == {"ReadinessScore": 100.0, "DrillAgeDays": 3.0}


def test_what_has_not_changed_is_told_four_times_a_day() -> None:
    later = replace(READY, at=NOON + 1.5 * HOUR)
    assert gauges(before(), later) == {}
    told = [
        hour
        for hour in range(1, 25)
        if gauges(before(at=NOON + HOUR * (hour - 1)), replace(READY, at=NOON + HOUR * hour))
    ]
    assert told == [6, 12, 18, 24]


def test_a_change_is_told_at_once() -> None:
    assert gauges(before(), replace(READY, at=NOON + 1.5 * HOUR, score=40)) == {"ReadinessScore": 40.0}


def test_the_age_of_the_last_drill_is_told_once_a_day() -> None:
    told = gauges(before(at=NOON + 11 * HOUR), replace(READY, at=NOON + 12 * HOUR, practised_days=3.5))
    assert told["DrillAgeDays"] == 3.5
    assert "DrillAgeDays" not in gauges(before(), replace(READY, at=NOON + 11.9 * HOUR))


def test_an_age_that_nobody_knows_is_not_told() -> None:
    assert "DrillAgeDays" not in gauges(None, replace(READY, practised_days=None))


def test_who_comes_on_duty_tells_everything_and_who_is_off_nothing() -> None:
    assert gauges(before(on_duty=False), replace(READY, at=NOON + 1.5 * HOUR)) == {
        "ReadinessScore": 100.0,
        "DrillAgeDays": 3.0,
    }
    assert gauges(before(), replace(READY, on_duty=False)) == {}
