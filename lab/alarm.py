"""How CloudWatch judges one metric alarm, missing data included: pure functions over points and the time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

_EXTRA_PERIODS = 2
"""How many periods more than EvaluationPeriods CloudWatch looks back for data; it was 2 in AWS's own tables."""
_STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Average": fmean,
    "Maximum": max,
    "Minimum": min,
    "Sum": sum,
    "SampleCount": lambda values: float(len(values)),
}
_BREACHES: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}

type Point = tuple[float, float]
"""When (epoch seconds) and what."""
type Key = tuple[str, str, frozenset[tuple[str, str]]]
"""Namespace, name and dimensions of a metric."""


@dataclass(frozen=True)
class Definition:
    """A metric alarm as it was put; `period` is in the lab's seconds."""

    metric: Key
    statistic: str
    period: float
    periods: int
    needed: int
    threshold: float
    comparison: str
    missing: str

    @classmethod
    def of(cls, alarm: Any, minute: float) -> "Definition":
        """From moto's alarm; `minute` is what 60 s of its period last here. KeyError for what is not imitated."""
        periods = int(alarm.evaluation_periods)
        if alarm.statistic not in _STATISTICS or alarm.comparison_operator not in _BREACHES:
            raise KeyError(f"{alarm.name}: the lab judges no {alarm.statistic} {alarm.comparison_operator}")
        return cls(
            metric=(
                alarm.namespace,
                alarm.metric_name,
                frozenset((dimension.name, dimension.value) for dimension in alarm.dimensions),
            ),
            statistic=alarm.statistic,
            period=float(alarm.period) / 60 * minute,
            periods=periods,
            needed=int(alarm.datapoints_to_alarm or periods),
            threshold=float(alarm.threshold),
            comparison=alarm.comparison_operator,
            missing=alarm.treat_missing_data or "missing",
        )

    @property
    def range(self) -> int:
        """How many periods are looked at."""
        return self.periods + _EXTRA_PERIODS


def evaluate(definition: Definition, points: Sequence[Point], now: float, before: str) -> str:
    """The state (OK, ALARM, INSUFFICIENT_DATA) at `now`, where it was `before`.

    The running period counts as soon as it has a point; while it has none, the one before it is the newest.
    """
    return judge(definition, _breaching(definition, points, now), before)


def judge(definition: Definition, breaching: Sequence[bool | None], before: str) -> str:
    """The state from the periods of the range, oldest first: breaching, not breaching, or None without data.

    Data decides where there is enough; only what it lacks is filled in as TreatMissingData says. This gives the
    tables of AWS's page on alarms and missing data.
    """
    real = [each for each in breaching if each is not None][-definition.periods :]
    lacking = definition.periods - len(real)
    if not lacking or definition.missing in ("breaching", "notBreaching"):
        filled = sum(real) + (lacking if definition.missing == "breaching" else 0)
        return "ALARM" if filled >= definition.needed else "OK"
    if not real:
        return before if definition.missing == "ignore" else "INSUFFICIENT_DATA"
    if sum(real) >= definition.needed:
        return "ALARM"
    if not all(real):
        return "OK"
    # All that there is breaches, and there is too little of it: no alarm before the oldest is old enough.
    oldest = len(breaching) - next(at for at, each in enumerate(breaching) if each is not None)
    return "ALARM" if definition.missing == "missing" and oldest >= definition.needed else before


def _breaching(definition: Definition, points: Sequence[Point], now: float) -> list[bool | None]:
    buckets: dict[int, list[float]] = {}
    for at, value in points:
        buckets.setdefault(int(at // definition.period), []).append(value)
    newest = int(now // definition.period)
    last = newest if newest in buckets else newest - 1
    statistic, breaches = _STATISTICS[definition.statistic], _BREACHES[definition.comparison]
    return [
        breaches(statistic(values), definition.threshold) if (values := buckets.get(number)) else None
        for number in range(last - definition.range + 1, last + 1)
    ]
