"""Which alarms of this application changed their state in this Region while a run went on, as CloudWatch remembers it.

Best effort, and bounded: the record of a run waits for nobody.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import AlarmHistoryItemTypeDef

    from relight.patience import Patience

MOST = 100  # alarms, and changes of one of them
BEFORE_SECONDS = 900  # an alarm may be what began it


@dataclass(frozen=True)
class AlarmChange:
    """A change of state; `was` and `now` are CloudWatch's words, `at` is in epoch seconds."""

    name: str
    was: str | None
    now: str | None
    at: float

    def as_dict(self) -> dict[str, str | float | None]:
        """As the evidence has it."""
        return {"name": self.name, "from": self.was, "to": self.now, "at": self.at}


def changes(
    cloudwatch: CloudWatchClient, application: str, since: float, until: float, patience: Patience
) -> list[AlarmChange]:
    """The changes between two moments (epoch seconds), oldest first. TooSlow, or what boto3 raises.

    The history of those alone that have changed since: an account may have thousands of alarms that are not ours.
    """
    kinds: list[str] = ["MetricAlarm", "CompositeAlarm"]
    answer = cloudwatch.describe_alarms(
        AlarmNamePrefix=f"relight-{application}-",
        AlarmTypes=kinds,  # type: ignore[arg-type]  # else metric alarms alone are told
        MaxRecords=MOST,
    )
    found: list[AlarmChange] = []
    for alarm in [*answer["MetricAlarms"], *answer.get("CompositeAlarms", [])]:
        changed = alarm.get("StateUpdatedTimestamp")
        if changed is None or changed.timestamp() < since:
            continue
        patience.check("CloudWatch")
        history = cloudwatch.describe_alarm_history(
            AlarmName=alarm["AlarmName"],
            AlarmTypes=kinds,  # type: ignore[arg-type]
            HistoryItemType="StateUpdate",
            StartDate=datetime.fromtimestamp(since, UTC),
            EndDate=datetime.fromtimestamp(until, UTC),
            MaxRecords=MOST,
            ScanBy="TimestampAscending",
        )
        found.extend(_changes(history["AlarmHistoryItems"]))
    return sorted(found, key=lambda change: (change.at, change.name))


def _changes(items: list[AlarmHistoryItemTypeDef]) -> Iterator[AlarmChange]:
    for item in items:
        states = json.loads(item.get("HistoryData", "{}"))
        was, now = ((states.get(name) or {}).get("stateValue") for name in ("oldState", "newState"))
        yield AlarmChange(item["AlarmName"], was, now, item["Timestamp"].timestamp())
