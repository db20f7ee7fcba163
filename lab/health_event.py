"""What AWS Health tells through EventBridge: the shape of its events.

https://docs.aws.amazon.com/health/latest/ug/aws-health-events-eventbridge-schema.html
"""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from lab.cloud import ACCOUNT


@dataclass(frozen=True)
class HealthEvent:
    """One event of AWS Health. Times are of an aware clock."""

    region: str
    """The Region that it is about."""
    service: str
    """As Health writes it: RDS, EC2."""
    code: str
    """Such as AWS_RDS_OPERATIONAL_ISSUE."""
    started: datetime
    description: str = "We are investigating increased error rates."
    category: str = "issue"
    """issue, accountNotification, scheduledChange or investigation."""
    status: str = "open"
    """open, closed or upcoming."""
    ended: datetime | None = None
    scope: str = "PUBLIC"
    """PUBLIC, or ACCOUNT_SPECIFIC."""
    entities: tuple[str, ...] = ()
    """ARNs of what is affected in the account."""
    number: str = field(default_factory=lambda: str(secrets.randbelow(10**17)))

    @property
    def arn(self) -> str:
        """It stays the same while the event is updated."""
        return f"arn:aws:health:{self.region}::event/{self.service}/{self.code}/{self.code}_{self.number}"

    def message(self) -> dict[str, Any]:
        """The event as EventBridge delivers it, but for what the bus adds (see Events.emit)."""
        updated = self.ended or self.started
        ended = {"endTime": _moment(self.ended)} if self.ended else {}
        return {
            "source": "aws.health",
            "detail-type": "AWS Health Event",
            "resources": list(self.entities),
            "detail": {
                "eventArn": self.arn,
                "service": self.service,
                "eventTypeCode": self.code,
                "eventTypeCategory": self.category,
                "eventScopeCode": self.scope,
                "communicationId": secrets.token_hex(32),
                "startTime": _moment(self.started),
                **ended,
                "lastUpdatedTime": _moment(updated),
                "statusCode": self.status,
                "eventRegion": self.region,
                "eventDescription": [{"language": "en_US", "latestDescription": self.description}],
                "affectedEntities": [{"entityValue": arn, "status": "IMPAIRED"} for arn in self.entities],
                "affectedAccount": ACCOUNT,
                "page": "1",
                "totalPages": "1",
            },
        }


def _moment(when: datetime) -> str:
    """As Health writes a time: Sun, 05 Jun 2016 05:01:10 GMT."""
    return format_datetime(when.astimezone(UTC).replace(microsecond=0), usegmt=True)
