"""How CloudWatch judges one metric alarm, missing data included: pure functions over points and the time."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from lab.metric_math import Formula, formula

_EXTRA_PERIODS = 2
"""How many periods more than EvaluationPeriods CloudWatch looks back for data; it was 2 in AWS's own tables."""
_STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Average": fmean,
    "Maximum": max,
    "Minimum": min,
    "Sum": sum,
    "SampleCount": lambda values: float(len(values)),
}
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)")
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


type Operand = tuple[Key, str]
"""A metric and its statistic."""


@dataclass(frozen=True)
class Definition:
    """A metric alarm as it was put; `period` is in the lab's seconds."""

    operands: Mapping[str, Operand]
    """What it looks at, by the ids that `formula` knows."""
    formula: Formula
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
        if alarm.comparison_operator not in _BREACHES or alarm.threshold is None:
            raise KeyError(f"{alarm.name}: the lab judges no {alarm.comparison_operator}")
        if alarm.evaluate_low_sample_count_percentile == "ignore":
            raise KeyError(f"{alarm.name}: the lab does not count the samples of a percentile")
        try:
            operands, compute, period = _operands(alarm)
        except KeyError as error:
            raise KeyError(f"{alarm.name}: {error.args[0]}") from None
        return cls(
            operands=operands,
            formula=compute,
            period=period / 60 * minute,
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


def statistic_of(name: str) -> Callable[[Sequence[float]], float]:
    """What a statistic (Sum, p99, ...) makes of the values of a period; KeyError for what is not imitated."""
    if name in _STATISTICS:
        return _STATISTICS[name]
    percentile = _PERCENTILE.fullmatch(name or "")
    if percentile is None:
        raise KeyError(f"the lab has no statistic {name}")
    share = float(percentile[1]) / 100
    return lambda values: sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _operands(alarm: Any) -> tuple[dict[str, Operand], Formula, float]:
    """Of an alarm on one metric, or on metric math over several: these, the expression, the period in seconds."""
    if not alarm.metric_data_queries:
        name = str(alarm.statistic or alarm.extended_statistic)
        statistic_of(name)
        key = (alarm.namespace, alarm.metric_name, _dimensions(alarm.dimensions))
        return {"m": (key, name)}, formula("m", ["m"]), float(alarm.period)
    stats = {query.id: query.metric_stat for query in alarm.metric_data_queries if query.metric_stat}
    returned = [query for query in alarm.metric_data_queries if str(query.return_data).lower() != "false"]
    if len(returned) != 1 or not stats:
        raise KeyError("exactly one of the Metrics returns data, and at least one is a metric")
    if len({float(stat.period) for stat in stats.values()}) != 1:
        raise KeyError("the lab computes with metrics of one period only")
    for stat in stats.values():
        statistic_of(stat.stat)
    operands: dict[str, Operand] = {
        name: ((stat.metric.namespace, stat.metric.metric_name, _dimensions(stat.metric.dimensions)), stat.stat)
        for name, stat in stats.items()
    }
    compute = formula(returned[0].expression or returned[0].id, operands)
    return operands, compute, float(next(iter(stats.values())).period)


def _dimensions(dimensions: Sequence[Any]) -> frozenset[tuple[str, str]]:
    return frozenset((dimension.name, dimension.value) for dimension in dimensions)


def evaluate(definition: Definition, points: Mapping[Key, Sequence[Point]], now: float, before: str) -> str:
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


def _breaching(definition: Definition, points: Mapping[Key, Sequence[Point]], now: float) -> list[bool | None]:
    operands = {
        name: (statistic_of(statistic), _periods(points.get(key, ()), definition.period))
        for name, (key, statistic) in definition.operands.items()
    }
    newest = int(now // definition.period)
    last = newest if any(newest in found for _, found in operands.values()) else newest - 1
    breaches = _BREACHES[definition.comparison]
    breaching: list[bool | None] = []
    for number in range(last - definition.range + 1, last + 1):
        values = {
            name: statistic(found[number]) if number in found else None for name, (statistic, found) in operands.items()
        }
        value = definition.formula(values)
        breaching.append(None if value is None else breaches(value, definition.threshold))
    return breaching


def _periods(points: Sequence[Point], period: float) -> dict[int, list[float]]:
    """The values of each period that has some, by its number."""
    found: dict[int, list[float]] = {}
    for at, value in points:
        found.setdefault(int(at // period), []).append(value)
    return found
