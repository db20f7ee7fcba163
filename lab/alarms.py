"""CloudWatch's alarms: evaluated from the metrics that were really published, since moto only stores both.

An alarm is judged a few times in each (scaled) period, over periods aligned to the clock. That is kinder than AWS,
where a judgement may come up to a minute later. SetAlarmState lasts, as on AWS, until the alarm is judged next, and
Route 53 does not see it. What cannot be judged here (`lab.alarm`, `lab.metric_math`) is refused by PutMetricAlarm. Not
imitated: alarms on queries, anomaly bands, how many samples a percentile needs, and actions other than SNS.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from moto.backends import get_backend
from moto.cloudwatch.exceptions import ValidationError
from moto.cloudwatch.models import CloudWatchBackend

from lab import metric_data
from lab.alarm import Definition, evaluate
from lab.alarm_history import AlarmHistory
from lab.cloud import ACCOUNT
from lab.composite import Composites
from lab.region import region_names
from lab.seam import Seams
from lab.timings import Timings

_LOG = logging.getLogger(__name__)
_LOOKS_IN_A_MINUTE = 12


class Alarms:
    """Every Region's alarms. `start` and `stop`; `on_change` hears of each change as EventBridge would."""

    def __init__(self, timings: Timings, on_change: Callable[[str, dict[str, Any]], object]) -> None:
        """`on_change` gets the Region and the event of the change (source aws.cloudwatch)."""
        self._minute = timings.minute
        self._on_change = on_change
        self._states: dict[tuple[str, str], str] = {}
        self._composites = Composites(timings.minute)
        self._history = AlarmHistory()
        self._lost: set[str] = set()
        self._seams = Seams()
        self._stop = threading.Event()
        self._lock = threading.RLock()
        self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)

    def start(self) -> None:
        """Judge, tell of SetAlarmState, answer GetMetricData and DescribeAlarmHistory from now on. To be called before
        there are alarms."""
        self._seams.replace(CloudWatchBackend, "put_metric_alarm", self._put())
        self._seams.replace(CloudWatchBackend, "set_alarm_state", self._set())
        self._seams.replace(CloudWatchBackend, "get_metric_data", self._get_data())
        self._history.install(self._seams)
        self._thread.start()

    def stop(self) -> None:
        """Judge no more. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._seams.undo()

    def lose(self, region: str) -> None:
        """What stood there when the Region was lost stands; Route 53 keeps the last status that it knew."""
        self._lost.add(region)

    def restore(self, region: str) -> None:
        """Judge there again."""
        self._lost.discard(region)

    def state(self, region: str, name: str) -> str | None:
        """What the metrics say, whatever SetAlarmState was told; None for an alarm that was never judged."""
        return self._states.get((region, name))

    def put(self, region: str, namespace: str, name: str, value: float, dimensions: Mapping[str, str]) -> None:
        """Publish a metric that a service of AWS publishes by itself."""
        pairs = [{"Name": key, "Value": text} for key, text in dimensions.items()]
        datum = {"MetricName": name, "Value": value, "Dimensions": pairs}
        _cloudwatch(region).put_metric_data(namespace, [datum])

    def put_embedded(self, region: str, document: Mapping[str, Any]) -> None:
        """Publish what a log line in the embedded metric format says; KeyError for a line that is not in it."""
        at = datetime.fromtimestamp(document["_aws"]["Timestamp"] / 1000, UTC).replace(tzinfo=None)
        for directive in document["_aws"]["CloudWatchMetrics"]:
            for names in directive.get("Dimensions") or [[]]:
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
                _cloudwatch(region).put_metric_data(directive["Namespace"], data)

    def _run(self) -> None:
        minute = 0
        while not self._stop.wait(self._minute / _LOOKS_IN_A_MINUTE):
            now = int(time.time() // self._minute)
            for region in region_names():
                if region in self._lost:
                    continue
                try:
                    if now != minute:
                        self._put_queue_depths(region)
                    self._judge(region)
                except Exception:  # one Region's oddity must not end the judging of the others
                    _LOG.exception("the alarms of %s could not be judged", region)
            minute = now

    def _put_queue_depths(self, region: str) -> None:
        """What SQS publishes of its queues, once a minute."""
        for queue in list(get_backend("sqs")[ACCOUNT][region].queues.values()):
            depth = float(queue.approximate_number_of_messages)
            self.put(region, "AWS/SQS", "ApproximateNumberOfMessagesVisible", depth, {"QueueName": queue.name})

    def _judge(self, region: str) -> None:
        backend = _cloudwatch(region)
        alarms = [alarm for alarm in list(backend.alarms.values()) if alarm.rule is None]
        defined = [(alarm, Definition.of(alarm, self._minute)) for alarm in alarms]
        if not defined:
            return
        now = time.time()
        points = metric_data.published(backend, now - max(found.period * (found.range + 1) for _, found in defined))
        for alarm, found in defined:
            with self._lock:
                if backend.alarms.get(alarm.name) is not alarm:
                    continue  # it was put anew, or deleted, meanwhile
                state = evaluate(found, points, now, alarm.state_value)
                self._states[region, alarm.name] = state
                if state != alarm.state_value:
                    what = alarm.metric_name or alarm.name
                    reason = f"Threshold Crossed: {what} {alarm.comparison_operator} {alarm.threshold}"
                    self._change(region, alarm, state, reason, "{}")
                    self._act(region, alarm, state)
        self._judge_composites(region, now)

    def _judge_composites(self, region: str, now: float) -> None:
        with self._lock:
            for found in self._composites.judge(region, dict(_cloudwatch(region).alarms), now):
                self._states[region, found.alarm.name] = found.state
                if found.state != found.alarm.state_value:
                    self._change(region, found.alarm, found.state, f"{found.alarm.rule} is {found.state}", "{}")
                if found.act:
                    self._act(region, found.alarm, found.act)

    def _change(self, region: str, alarm: Any, state: str, reason: str, data: str) -> None:
        before = {"value": alarm.state_value, "reason": alarm.state_reason, "timestamp": _moment()}
        self._history.remember(region, alarm, str(alarm.state_value), state, reason)
        alarm.update_state(reason, data, state)
        event = {
            "source": "aws.cloudwatch",
            "detail-type": "CloudWatch Alarm State Change",
            "resources": [alarm.alarm_arn],
            "detail": {
                "alarmName": alarm.name,
                "state": {"value": state, "reason": reason, "timestamp": _moment()},
                "previousState": before,
                "configuration": {"description": alarm.description} | _configuration(alarm),
            },
        }
        self._on_change(region, event)

    def _act(self, region: str, alarm: Any, state: str) -> None:
        if not alarm.actions_enabled:
            return
        actions = {"ALARM": alarm.alarm_actions, "OK": alarm.ok_actions}.get(state, alarm.insufficient_data_actions)
        for topic in (action for action in actions or () if ":sns:" in action):
            with contextlib.suppress(Exception):  # a topic that is gone does not keep an alarm from changing
                get_backend("sns")[ACCOUNT][region].publish(
                    message=f"{alarm.name} is {state}: {alarm.description}", arn=topic, subject=f"{state}: {alarm.name}"
                )

    def _put(self) -> Callable[..., Any]:
        """moto lets an alarm begin with OK, one that is put anew forget its state, and anything be an alarm."""
        original = CloudWatchBackend.put_metric_alarm

        def put_metric_alarm(backend: Any, *positional: Any, **named: Any) -> Any:
            with self._lock:
                present = dict(backend.alarms)
                alarm: Any = original(backend, *positional, **named)
                before = present.get(alarm.name)
                try:
                    if alarm.rule is None:
                        Definition.of(alarm, self._minute)
                except KeyError as error:
                    backend.alarms.clear()
                    backend.alarms.update(present)
                    raise ValidationError(str(error.args[0])) from None
                alarm.state_value = before.state_value if before else "INSUFFICIENT_DATA"
                alarm.state_reason = before.state_reason if before else alarm.state_reason
            return alarm

        return put_metric_alarm

    def _get_data(self) -> Callable[..., Any]:
        def get_metric_data(
            backend: Any, queries: Any, start_time: Any, end_time: Any, scan_by: str = "TimestampAscending"
        ) -> Any:
            newest_first = scan_by == "TimestampDescending"
            clock = {"minute": self._minute, "now": time.time()}
            return metric_data.answer(backend, queries, start_time, end_time, newest_first=newest_first, **clock)

        return get_metric_data

    def _set(self) -> Callable[..., None]:
        original = CloudWatchBackend.set_alarm_state

        def set_alarm_state(
            backend: Any, alarm_name: str, reason: str, reason_data: str | None, state_value: str
        ) -> None:
            alarm = backend.alarms.get(alarm_name)
            with self._lock:
                known = alarm is not None and state_value in ("OK", "ALARM", "INSUFFICIENT_DATA")
                if known and alarm.state_value != state_value and backend.region_name not in self._lost:
                    self._change(backend.region_name, alarm, state_value, reason, reason_data or "{}")
                    if alarm.rule is None:
                        self._act(backend.region_name, alarm, state_value)
                else:
                    original(backend, alarm_name, reason, reason_data, state_value)

        return set_alarm_state


def _cloudwatch(region: str) -> Any:
    return get_backend("cloudwatch")[ACCOUNT][region]


def _moment() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


def _configuration(alarm: Any) -> dict[str, Any]:
    """What an event says of how the alarm is defined."""
    if alarm.rule is not None:
        return {"alarmRule": alarm.rule}
    metrics: list[dict[str, Any]] = []
    for query in alarm.metric_data_queries:
        told: dict[str, Any] = {"id": query.id, "returnData": str(query.return_data).lower() != "false"}
        stat = query.metric_stat
        told |= {"metricStat": _stat(stat.metric, stat.period, stat.stat)} if stat else {"expression": query.expression}
        metrics.append(told)
    if not metrics:
        stat = _stat(alarm, alarm.period, alarm.statistic or alarm.extended_statistic)
        metrics = [{"id": "m1", "metricStat": stat, "returnData": True}]
    return {"metrics": metrics}


def _stat(metric: Any, period: Any, stat: str) -> dict[str, Any]:
    dimensions = {dimension.name: dimension.value for dimension in metric.dimensions}
    told = {"namespace": metric.namespace, "name": metric.metric_name, "dimensions": dimensions}
    return {"metric": told, "period": int(period), "stat": stat}


def _values(found: Any) -> list[float]:
    return [float(value) for value in (found if isinstance(found, list) else [found])]
