"""What ModifyDBInstance changes now and what it leaves pending: a pure decision over the instance and the wish."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moto.rds.exceptions import InvalidParameterCombination

# Changed at once whatever ApplyImmediately says; the rest waits for it, as on AWS.
_AT_ONCE = frozenset(
    {
        "deletion_protection",
        "backup_retention_period",
        "preferred_backup_window",
        "preferred_maintenance_window",
        "copy_tags_to_snapshot",
        "auto_minor_version_upgrade",
        "publicly_accessible",
        "vpc_security_group_ids",
        "db_parameter_group_name",
        "cloudwatch_logs_export_configuration",
        "monitoring_interval",
        "monitoring_role_arn",
        "max_allocated_storage",
        "ca_certificate_identifier",
        "database_insights_mode",
        "enable_performance_insights",
        "performance_insights_kms_key_id",
        "performance_insights_retention_period",
        "enable_iam_database_authentication",
    }
)
_NO_CHANGE = frozenset({"db_instance_identifier", "apply_immediately", "allow_major_version_upgrade"})
# What PendingModifiedValues has a place for.
_SHOWN = frozenset(
    {
        "allocated_storage",
        "backup_retention_period",
        "db_instance_class",
        "db_instance_identifier",
        "db_subnet_group_name",
        "engine_version",
        "iops",
        "license_model",
        "multi_az",
        "port",
        "storage_throughput",
        "storage_type",
    }
)
# Asked for again, these are no change; of the rest the record may hold another form than a call gives.
_COMPARED = frozenset({"backup_retention_period", "deletion_protection", "multi_az"})
_NAME = "db_instance_identifier"


@dataclass(frozen=True)
class Modification:
    """Attributes in snake case, as moto has them."""

    now: Mapping[str, Any] = field(default_factory=dict)
    later: Mapping[str, Any] = field(default_factory=dict)
    """Pending until somebody says ApplyImmediately; the lab has no maintenance windows."""
    new_name: str | None = None
    password: str | None = None

    @property
    def nothing(self) -> bool:
        """Whether nothing is done now."""
        return not (self.now or self.new_name or self.password)

    @property
    def adds_a_zone(self) -> bool:
        """Whether a standby is made, which takes long."""
        return _true(self.now.get("multi_az", False))

    @property
    def shown(self) -> dict[str, Any]:
        """What PendingModifiedValues tells while it is under way."""
        renamed = {_NAME: self.new_name} if self.new_name else {}
        return {name: value for name, value in self.now.items() if name in _SHOWN} | renamed


def modification(record: Any, wanted: Mapping[str, Any]) -> Modification:
    """What becomes of a call's parameters; InvalidParameterCombination for what RDS refuses.

    ApplyImmediately applies what was pending, too.
    """
    if int(wanted.get("backup_retention_period", 1)) == 0 and record.replicas:
        raise InvalidParameterCombination("Backups cannot be disabled while the instance has read replicas.")
    if int(wanted.get("allocated_storage", record.allocated_storage)) < int(record.allocated_storage):
        raise InvalidParameterCombination("The allocated storage of an instance cannot be decreased.")
    changes = {name: value for name, value in wanted.items() if name not in _NO_CHANGE}
    password, new_name = changes.pop("master_user_password", None), changes.pop("new_db_instance_identifier", None)
    if new_name:
        changes[_NAME] = new_name
    immediately = _true(wanted.get("apply_immediately", False))
    if immediately:
        changes = dict(record.pending_modified_values) | changes
    new = {name: value for name, value in changes.items() if not _is_so(record, name, value)}
    now = new if immediately else {name: value for name, value in new.items() if _at_once(record, name, value)}
    later = {name: value for name, value in new.items() if name not in now}
    now = dict(now)
    return Modification(new_name=now.pop(_NAME, None), now=now, later=later, password=password)


def _is_so(record: Any, name: str, value: Any) -> bool:
    if name not in _COMPARED:
        return False
    return _number(getattr(record, name)) == _number(value)


def _at_once(record: Any, name: str, value: Any) -> bool:
    """Backups are switched on or off like any other change; another number of days counts at once."""
    if name == "backup_retention_period" and 0 in (_number(value), _number(record.backup_retention_period)):
        return False
    return name in _AT_ONCE


def _number(value: Any) -> int:
    """Templates give numbers and truths as text."""
    return int(value) if str(value).isdecimal() else int(_true(value))


def _true(value: Any) -> bool:
    return value is True or str(value).lower() == "true"
