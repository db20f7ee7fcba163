"""moto's records of RDS instances: what a call gives them, what they lack, and what they refuse in which state."""

from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from moto.rds.exceptions import DBInstanceNotFoundError, RDSClientError

from lab.database import Database

# What moto keeps nothing of: the parameter, and what DescribeDBInstances calls it.
_INSIGHTS = {
    "database_insights_mode": "database_insights_mode",
    "enable_performance_insights": "performance_insights_enabled",
    "performance_insights_kms_key_id": "performance_insights_kms_key_id",
    "performance_insights_retention_period": "performance_insights_retention_period",
}

IN_SYNC = "in-sync"


def given(db_kwargs: Any) -> dict[str, Any]:
    """moto's parameters in snake case, those that were left out left out."""
    return {name: value for name, value in dict(**db_kwargs).items() if value is not None and name != "backend"}


def existing(backend: Any, identifier: str) -> Any:
    """The record of that name, or the refusal that AWS has for want of one."""
    if identifier not in backend.databases:
        raise DBInstanceNotFoundError(identifier)
    return backend.databases[identifier]


def require_state(database: Database, *statuses: str) -> None:
    """Refuse what is asked for in any other state, or while something is under way."""
    status = database.record.status
    if status not in statuses or database.busy:
        doing = "has an operation under way" if status in statuses else f"is {status}"
        raise invalid_state(f"Instance {database.identifier} {doing}; it is not in {statuses[0]} state.")


def invalid_state(message: str) -> RDSClientError:
    """The refusal of what an instance cannot do as it is."""
    return RDSClientError("InvalidDBInstanceState", message)


def complete(record: Any, wanted: Mapping[str, Any]) -> None:
    """What moto leaves the same for every instance, or out."""
    record.dbi_resource_id = f"db-{token_hex(13).upper()}"
    record.pending_modified_values = {}
    record.status_infos = None
    record.database_insights_mode = "standard"
    record.performance_insights_enabled = False
    record.parameter_apply_status = IN_SYNC
    tell_insights(record, wanted)


def group_told(record: Any) -> list[dict[str, str]]:
    """The parameter group that it has, and whether its parameters count yet, as DescribeDBInstances tells."""
    status = getattr(record, "parameter_apply_status", IN_SYNC)
    return [
        {"DBParameterGroupName": group.name, "ParameterApplyStatus": status} for group in record.db_parameter_groups()
    ]


def apply_status(record: Any, changes: Mapping[str, Any]) -> str:
    """What becomes of that with a modification: the parameters of another group wait for the server's next start."""
    return "pending-reboot" if "db_parameter_group_name" in changes else str(record.parameter_apply_status)


def tell_insights(record: Any, wanted: Mapping[str, Any]) -> None:
    """Show those of the parameters that are of CloudWatch Database Insights."""
    for parameter, attribute in _INSIGHTS.items():
        if parameter in wanted:
            setattr(record, attribute, wanted[parameter])
