"""What an Auto Scaling Group did and why: the records that DescribeScalingActivities answers with."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

INSUFFICIENT_CAPACITY = (
    "We currently do not have sufficient {type} capacity in the Availability Zone you requested ({zone}). Our system "
    "will be working on provisioning additional capacity. Launching EC2 instance failed. (InsufficientInstanceCapacity)"
)
"""What AWS says when it has no machine left; `{type}` and `{zone}` are filled in by the launch that fails."""


def _now() -> datetime:
    return datetime.now(UTC)


def stamp() -> str:
    """The present second as the sentences of activities write it."""
    return _now().strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Activity:
    """One launch or termination. The attributes are AWS's members in snake case; moto's serialiser reads them."""

    auto_scaling_group_name: str
    auto_scaling_group_arn: str
    description: str
    cause: str
    activity_id: str = field(default_factory=lambda: str(uuid4()))
    start_time: datetime = field(default_factory=_now)
    end_time: datetime | None = None
    status_code: str = "InProgress"
    status_message: str | None = None
    progress: int = 30
    details: str = "{}"

    def succeed(self) -> None:
        self._end("Successful")

    def fail(self, message: str) -> None:
        """End it as AWS ends a launch that found no machine: the reason is in the description as well."""
        self.status_message = message
        self.description = f"{self.description}.  Status Reason: {message}"
        self._end("Failed")

    def cancel(self, message: str) -> None:
        self.status_message = message
        self._end("Cancelled")

    @property
    def ended(self) -> bool:
        return self.end_time is not None

    def _end(self, status: str) -> None:
        self.status_code = status
        self.progress = 100
        self.end_time = _now()
