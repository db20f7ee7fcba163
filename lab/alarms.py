"""CloudWatch's alarms: evaluated from the metrics that were really published, since moto only stores both.

An alarm is judged a few times in each (scaled) period, over periods aligned to the clock. That is kinder than AWS,
where a judgement may come up to a minute later. Not imitated: percentiles, metric math, composite alarms.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean
from typing import Any

from moto.backends import get_backend

from lab.cloud import ACCOUNT
from lab.region import GLOBAL, REGION_NAME
from lab.timings import Timings

_LOG = logging.getLogger(__name__)
_LOOKS_IN_A_MINUTE = 12
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
        """From moto's alarm; `minute` is what 60 s of its period last here."""
        dimensions = frozenset((dimension.name, dimension.value) for dimension in alarm.dimensions)
        periods = int(alarm.evaluation_periods)
        return cls(
            metric=(alarm.namespace, alarm.metric_name, dimensions),
            statistic=alarm.statistic,
            period=float(alarm.period) / 60 * minute,
            periods=periods,
            needed=int(alarm.datapoints_to_alarm or periods),
            threshold=float(alarm.threshold),
            comparison=alarm.comparison_operator,
            missing=alarm.treat_missing_data or "missing",
        )


def evaluate(definition: Definition, points: Sequence[Point], now: float, before: str) -> str:
    """The state (OK, ALARM, INSUFFICIENT_DATA) at `now`. Pure.

    The running period counts as soon as it has a point; while it has none, the one before it is the newest.
    """
    buckets: dict[int, list[float]] = {}
    for at, value in points:
        buckets.setdefault(int(at // definition.period), []).append(value)
    newest = int(now // definition.period)
    last = newest if newest in buckets else newest - 1
    breaches = _BREACHES[definition.comparison]
    found: list[bool | None] = []
    for number in range(last - definition.periods + 1, last + 1):
        values = buckets.get(number)
        statistic = _STATISTICS[definition.statistic](values) if values else None
        if statistic is None and definition.statistic == "SampleCount" and definition.missing == "breaching":
            found.append(True)
        else:
            found.append(None if statistic is None else breaches(statistic, definition.threshold))
    if all(each is None for each in found):
        return {"breaching": "ALARM", "notBreaching": "OK", "ignore": before}.get(
            definition.missing, "INSUFFICIENT_DATA"
        )
    as_missing = definition.missing == "breaching"
    breaching = sum(as_missing if each is None else each for each in found)
    return "ALARM" if breaching >= definition.needed else "OK"


class Alarms:
    """Every Region's alarms. `start` and `stop`; `on_change` hears of each change as EventBridge would."""

    def __init__(self, timings: Timings, on_change: Callable[[str, dict[str, Any]], object]) -> None:
        """`on_change` gets the Region and the event of the change (source aws.cloudwatch)."""
        self._minute = timings.minute
        self._on_change = on_change
        self._states: dict[tuple[str, str], str] = {}
        self._lost: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)

    def start(self) -> None:
        """Judge from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Judge no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def lose(self, region: str) -> None:
        """What stood there when the Region was lost stands; Route 53 keeps the last status that it knew."""
        self._lost.add(region)

    def state(self, region: str, name: str) -> str | None:
        """What the metrics say, whatever SetAlarmState was told; None for an alarm that was never judged."""
        return self._states.get((region, name))

    def put(self, region: str, namespace: str, name: str, value: float, dimensions: Mapping[str, str]) -> None:
        """Publish a metric that a service of AWS publishes by itself."""
        pairs = [{"Name": key, "Value": text} for key, text in dimensions.items()]
        datum = {"MetricName": name, "Value": value, "Dimensions": pairs}
        get_backend("cloudwatch")[ACCOUNT][region].put_metric_data(namespace, [datum])

    def put_embedded(self, region: str, document: Mapping[str, Any]) -> None:
        """Publish what a log line in the embedded metric format says."""
        at = datetime.fromtimestamp(document["_aws"]["Timestamp"] / 1000, UTC).replace(tzinfo=None)
        for directive in document["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                pairs = [{"Name": name, "Value": str(document[name])} for name in names]
                data = [
                    {
                        "MetricName": metric["Name"],
                        "Values": _values(document[metric["Name"]]),
                        "Dimensions": pairs,
                        "Timestamp": at,
                    }
                    for metric in directive["Metrics"]
                ]
                get_backend("cloudwatch")[ACCOUNT][region].put_metric_data(directive["Namespace"], data)

    def _run(self) -> None:
        while not self._stop.wait(self._minute / _LOOKS_IN_A_MINUTE):
            for region in (*REGION_NAME.values(), GLOBAL):
                if region not in self._lost:
                    self._judge(region)

    def _judge(self, region: str) -> None:
        backend = get_backend("cloudwatch")[ACCOUNT][region]
        alarms = [alarm for alarm in list(backend.alarms.values()) if alarm.metric_name]
        if not alarms:
            return
        definitions = {alarm.name: Definition.of(alarm, self._minute) for alarm in alarms}
        now = time.time()
        oldest = now - max(d.period * (d.periods + 2) for d in definitions.values())
        points = _points(backend, oldest)
        for alarm in alarms:
            definition = definitions[alarm.name]
            before = self._states.get((region, alarm.name), "INSUFFICIENT_DATA")
            state = evaluate(definition, points.get(definition.metric, ()), now, before)
            self._states[region, alarm.name] = state
            if state != before:
                self._change(region, alarm, before, state)

    def _change(self, region: str, alarm: Any, before: str, state: str) -> None:
        reason = f"Threshold Crossed: {alarm.metric_name} against {alarm.threshold} ({alarm.comparison_operator})"
        alarm.update_state(reason, "{}", state)
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"
        event = {
            "source": "aws.cloudwatch",
            "detail-type": "CloudWatch Alarm State Change",
            "resources": [alarm.alarm_arn],
            "detail": {
                "alarmName": alarm.name,
                "state": {"value": state, "reason": reason, "timestamp": moment},
                "previousState": {"value": before, "timestamp": moment},
                "configuration": {"description": alarm.description, "metrics": [_metric(alarm)]},
            },
        }
        self._on_change(region, event)
        actions = {"ALARM": alarm.alarm_actions, "OK": alarm.ok_actions}.get(state) or []
        for topic in (action for action in actions if ":sns:" in action):
            with contextlib.suppress(Exception):
                get_backend("sns")[ACCOUNT][region].publish(
                    message=f"{alarm.name} is {state}: {alarm.description}", arn=topic, subject=f"{state}: {alarm.name}"
                )


def _metric(alarm: Any) -> dict[str, Any]:
    dimensions = {dimension.name: dimension.value for dimension in alarm.dimensions}
    metric = {"namespace": alarm.namespace, "name": alarm.metric_name, "dimensions": dimensions}
    stat = {"metric": metric, "period": int(alarm.period), "stat": alarm.statistic}
    return {"id": "m1", "metricStat": stat, "returnData": True}


def _values(found: Any) -> list[float]:
    return [float(value) for value in (found if isinstance(found, list) else [found])]


def _points(backend: Any, oldest: float) -> dict[Key, list[Point]]:
    """The newer points of each metric. They are stored in about the order in which they were published."""
    found: dict[Key, list[Point]] = {}
    for datum in reversed(list(backend.metric_data)):
        at = datum.timestamp.replace(tzinfo=UTC).timestamp()
        if at < oldest - 5:
            break
        key = (datum.namespace, datum.name, frozenset((d.name, d.value) for d in datum.dimensions))
        found.setdefault(key, []).append((at, datum.value))
    return found
