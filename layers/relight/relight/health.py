"""An event of AWS Health: kept beside the runs as evidence. It triggers nothing (it comes late, or not at all)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relight.errors import InputInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

KEPT_SECONDS = 90 * 86400
SOURCE = "aws.health"


@dataclass(frozen=True)
class HealthEvent:
    """What AWS said about a service in a Region. `time` is as EventBridge writes it, `2026-01-31T12:00:00Z`."""

    time: str
    arn: str
    service: str
    code: str
    category: str
    region: str
    description: str


def health_event(event: Mapping[str, Any]) -> HealthEvent:
    """What an EventBridge event of aws.health says; InputInvalid where it is none."""
    detail = event.get("detail")
    if event.get("source") != SOURCE or not isinstance(detail, dict) or not isinstance(event.get("time"), str):
        raise InputInvalid(f"this is no event of {SOURCE}: its source is {event.get('source')!r}")
    said = detail.get("eventDescription") or [{}]
    return HealthEvent(
        time=event["time"],
        arn=str(detail.get("eventArn", event.get("id", "unknown"))),
        service=str(detail.get("service", "unknown")),
        code=str(detail.get("eventTypeCode", "unknown")),
        category=str(detail.get("eventTypeCategory", "unknown")),
        region=str(detail.get("eventRegion", event.get("region", "unknown"))),
        description=str(said[0].get("latestDescription", ""))[:2000],
    )
