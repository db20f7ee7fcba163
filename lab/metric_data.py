"""What has been published of metrics, and GetMetricData's view of it: periods aligned to the clock, the lab's minutes
for real ones.

moto begins its periods where a query begins, and knows the minutes of the real clock only. In the lab, where a minute
may last seconds, a query for the last five minutes looks at as many of its minutes. Times in answers are real ones.
Not imitated: metric math in a query, and more data than fits into one answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moto.cloudwatch.exceptions import ValidationError
from moto.cloudwatch.models import CloudWatchBackend, MetricAggregatedDatum

from lab.alarm import Key, Point, statistic_of
from lab.seam import require

_OLD_IN_A_ROW = 50
"""So many outdated points in a row mean that no newer one comes: some are published with a time of their own."""

require(CloudWatchBackend("eu-central-1", "123456789012"), "metric_data")


def published(backend: Any, oldest: float) -> dict[Key, list[Point]]:
    """The points of each metric that are not older. They are stored in about the order in which they were published."""
    found: dict[Key, list[Point]] = {}
    outdated = 0
    for datum in reversed(list(backend.metric_data)):
        at = _epoch(datum.timestamp)
        if at < oldest:
            outdated += 1
            if outdated > _OLD_IN_A_ROW:
                break
            continue
        outdated = 0
        key = (datum.namespace, datum.name, frozenset((d.name, d.value) for d in datum.dimensions))
        found.setdefault(key, []).extend((at, value) for value in _samples(datum))
    return found


def _epoch(when: datetime) -> float:
    return when.timestamp() if when.tzinfo else when.replace(tzinfo=UTC).timestamp()


def _samples(datum: Any) -> list[float]:
    """The values of a datum; for a set of statistics, some that have the same sum, extremes and count."""
    if not isinstance(datum, MetricAggregatedDatum):
        return [datum.value]
    count = int(datum.sample_count)
    if count < 3:
        return [datum.min, datum.max][:count]
    return [datum.min, datum.max, *[(datum.sum - datum.min - datum.max) / (count - 2)] * (count - 2)]


@dataclass(frozen=True)
class Query:
    """One statistic of one metric; `period` is in the lab's seconds."""

    name: str
    """By which its answer is known."""
    label: str
    key: Key
    statistic: str
    period: float

    @classmethod
    def of(cls, query: Mapping[str, Any], minute: float) -> "Query":
        """As GetMetricData is given it; `minute` is what 60 s of its period last here. KeyError for what is not
        imitated."""
        if "MetricStat" not in query:
            raise KeyError("the lab's GetMetricData computes no metric math")
        stat = query["MetricStat"]
        metric, statistic = stat["Metric"], str(stat["Stat"])
        statistic_of(statistic)
        dimensions = frozenset((each["Name"], each["Value"]) for each in metric.get("Dimensions") or [])
        key = (metric["Namespace"], metric["MetricName"], dimensions)
        label = str(query.get("Label") or f"{metric['MetricName']} {statistic}")
        return cls(str(query["Id"]), label, key, statistic, float(stat["Period"]) / 60 * minute)

    def series(self, points: Mapping[Key, Sequence[Point]], start: float, end: float) -> list[Point]:
        """When each period began and its value, oldest first, of those that have data and begin before `end`.

        The first is the one in which `start` lies.
        """
        found: dict[int, list[float]] = {}
        for at, value in points.get(self.key, ()):
            found.setdefault(int(at // self.period), []).append(value)
        first = int(start // self.period)
        wanted = sorted(number for number in found if first <= number and number * self.period < end)
        compute = statistic_of(self.statistic)
        return [(number * self.period, compute(found[number])) for number in wanted]


def answer(
    backend: Any,
    queries: Sequence[Mapping[str, Any]],
    start: datetime,
    end: datetime,
    *,
    newest_first: bool,
    minute: float,
    now: float,
) -> list[dict[str, Any]]:
    """GetMetricData's results, as moto's responses write them; ValidationError for what is refused."""
    if not start < end:
        raise ValidationError("The parameter EndTime must be greater than StartTime.")
    try:
        asked = [Query.of(query, minute) for query in queries if query.get("ReturnData", True)]
    except KeyError as error:
        raise ValidationError(str(error.args[0])) from None
    since, until = (now - (now - _epoch(moment)) / 60 * minute for moment in (start, end))
    points = published(backend, since - max([query.period for query in asked], default=0.0))
    results = []
    for query in asked:
        series = query.series(points, since, until)
        if newest_first:
            series.reverse()
        results.append(
            {
                "id": query.name,
                "label": query.label,
                "values": [value for _, value in series],
                "timestamps": [datetime.fromtimestamp(at, UTC) for at, _ in series],
                "status_code": "Complete",
            }
        )
    return results
