"""What the operator has configured the decision to honour."""

from dataclasses import dataclass
from enum import StrEnum


class Approval(StrEnum):
    """What a triggered run may do without a person."""

    AUTO = "auto"
    APPROVE = "approve"
    MANUAL = "manual"


class GoAfter(StrEnum):
    """When the switch GO may be 1. STOP is 1 from the decision on, either way.

    `decision`: at once; the target group's readiness holds traffic back until writes work (rule 5). `verify`: once a
    write from outside has been read back, which an application needs whose readiness does not tell that.
    """

    DECISION = "decision"
    VERIFY = "verify"


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
