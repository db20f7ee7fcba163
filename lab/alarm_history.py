"""What CloudWatch remembers of alarms: each change of a state, and who asks for it by DescribeAlarmHistory.

moto does not know the call. Changes of an alarm's configuration, and actions, are not remembered.
"""

import json
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult

from lab.seam import Seams, require

_MOST = 100
_KEPT = 10_000

require(CloudWatchResponse, "_get_param")


@dataclass(frozen=True)
class Changed:
    """One change of one alarm's state."""

    region: str
    name: str
    kind: str
    """MetricAlarm or CompositeAlarm."""
    before: str
    after: str
    reason: str
    at: datetime

    def told(self) -> dict[str, Any]:
        """As DescribeAlarmHistory tells it."""
        data = {
            "version": "1.0",
            "oldState": {"stateValue": self.before},
            "newState": {"stateValue": self.after, "stateReason": self.reason},
        }
        return {
            "AlarmName": self.name,
            "AlarmType": self.kind,
            "Timestamp": self.at,
            "HistoryItemType": "StateUpdate",
            "HistorySummary": f"Alarm updated from {self.before} to {self.after}",
            "HistoryData": json.dumps(data),
        }


class AlarmHistory:
    """The changes of all Regions, the oldest forgotten first."""

    def __init__(self) -> None:
        self._changes: deque[Changed] = deque(maxlen=_KEPT)

    def install(self, seams: Seams) -> None:
        """Let moto's CloudWatch answer. MotoChangedError if it can do so itself now."""

        def describe_alarm_history(response: Any) -> ActionResult:
            """A function, which is what moto looks for."""
            return self._describe(response)

        seams.add(CloudWatchResponse, "describe_alarm_history", describe_alarm_history)

    def remember(self, region: str, alarm: Any, before: str, after: str, reason: str) -> None:
        """That alarm (moto's) has changed just now."""
        kind = "MetricAlarm" if alarm.rule is None else "CompositeAlarm"
        self._changes.append(Changed(region, str(alarm.name), kind, before, after, reason, datetime.now(UTC)))

    def _describe(self, response: Any) -> ActionResult:
        ask = response._get_param
        name, item = ask("AlarmName"), ask("HistoryItemType")
        kinds = set(ask("AlarmTypes", []) or ["MetricAlarm"])
        begin, end = _moment(ask("StartDate")), _moment(ask("EndDate"))
        found = [
            one
            for one in list(self._changes)
            if one.region == response.region
            and name in (None, one.name)
            and one.kind in kinds
            and (begin is None or one.at >= begin)
            and (end is None or one.at <= end)
            and item in (None, "StateUpdate")
        ]
        newest_first = ask("ScanBy") != "TimestampAscending"
        found.sort(key=lambda one: one.at, reverse=newest_first)
        return ActionResult({"AlarmHistoryItems": [one.told() for one in found[: int(ask("MaxRecords") or _MOST)]]})


def _moment(given: Any) -> datetime | None:
    """A moment of a call, as moto has parsed it or as it was written."""
    if given is None:
        return None
    moment = given if isinstance(given, datetime) else datetime.fromisoformat(str(given))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
