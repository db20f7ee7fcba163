"""What a run has called until its record was written, and what that costs, by the history of its execution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mypy_boto3_stepfunctions import SFNClient
    from mypy_boto3_stepfunctions.type_defs import HistoryEventTypeDef

    from relight.patience import Patience

PAGE = 1000  # events: as many as Step Functions tells at once
TRANSITION_USD = 0.000025
"""List price in eu-west-1 as of 2026-09-18 (AWS's price list); a test holds it against `relight cost`."""
CALL_USD = 0.0000002 + 2 * 0.25 * 0.0000133334
"""A call of a function: the request, and two seconds of 256 MB on arm64, which is what `relight cost` assumes too."""


@dataclass(frozen=True)
class Calls:
    """Calls of functions, and transitions of the state machine as they are charged: a retry is one more."""

    functions: int
    transitions: int

    @property
    def cost_usd(self) -> float:
        """At list prices, an estimate: functions and transitions only, no instances, no database, no log."""
        return round(self.transitions * TRANSITION_USD + self.functions * CALL_USD, 4)


def counted(events: Iterable[HistoryEventTypeDef]) -> Calls:
    """Of the events of one execution."""
    entered = tasks = scheduled = functions = 0
    for event in events:
        kind = event["type"]
        entered += kind.endswith("StateEntered")
        tasks += kind == "TaskStateEntered"
        scheduled += kind in {"TaskScheduled", "LambdaFunctionScheduled"}
        detail = event.get("taskScheduledEventDetails")
        functions += kind == "LambdaFunctionScheduled" or (detail is not None and detail["resourceType"] == "lambda")
    return Calls(functions, entered + max(0, scheduled - tasks))


def count(stepfunctions: SFNClient, execution: str, patience: Patience) -> Calls:
    """Of an execution that may still go on, by its ARN. TooSlow, or what boto3 raises."""
    pages = stepfunctions.get_paginator("get_execution_history").paginate(
        executionArn=execution, includeExecutionData=False, PaginationConfig={"PageSize": PAGE}
    )
    events: list[HistoryEventTypeDef] = []
    for page in pages:
        events.extend(page["events"])
        patience.check("Step Functions")
    return counted(events)
