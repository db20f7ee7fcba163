"""What the operator has configured the decision to honour."""

from dataclasses import dataclass
from enum import StrEnum


class Approval(StrEnum):
    """What a triggered run may do without a person."""

    AUTO = "auto"
    APPROVE = "approve"
    MANUAL = "manual"


@dataclass(frozen=True)
class Policy:
    """Limits of the decision; all durations in seconds."""

    approval: Approval
    hold_down_seconds: float  # how long a whole Region must be down, unbroken
    database_hold_down_seconds: float  # the same where the application answers and only the database seems lost
    fresh_seconds: float  # a signal seen longer ago than this says nothing
    max_data_loss_seconds: float
    cooldown_seconds: float  # after a completed failover, nothing starts by itself for so long
    look_again_seconds: float
