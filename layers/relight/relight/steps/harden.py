"""`harden`: give this Region's database what kept the primary's safe, once the traffic is here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight import database
from relight.errors import ReplicaNotFound
from relight.ledger import DatabaseProperties
from relight.step import Outcome
from relight.steps.promote import SERVING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_rds import RDSClient
    from mypy_boto3_rds.type_defs import DBInstanceTypeDef

    from relight.ledger import Ledger
    from relight.settings import HardenSettings

# RDS is at work on the instance, or has nowhere to put a standby just now: many come to a Region that was not lost.
LATER = frozenset({"InvalidDBInstanceState", "InvalidDBInstanceStateFault", "InsufficientDBInstanceCapacity"})
MEANS = {
    "BackupRetentionPeriod": "backup retention",
    "DeletionProtection": "deletion protection",
    "MultiAZ": "a standby in another zone",
}


def wanted(now: DatabaseProperties, primary: DatabaseProperties | None, retention_days: int) -> DatabaseProperties:
    """At least what the primary had, and nothing less than now; of a primary never seen, the settings' retention.

    Pure. Whether it had a standby is not guessed: it doubles what the database costs.
    """
    least = primary or DatabaseProperties(False, retention_days, True)
    return DatabaseProperties(
        multi_az=now.multi_az or least.multi_az,
        backup_retention_days=max(now.backup_retention_days, least.backup_retention_days),
        deletion_protection=now.deletion_protection or least.deletion_protection,
    )


def missing(now: DatabaseProperties, then: DatabaseProperties) -> dict[str, Any]:
    """What ModifyDBInstance has to be told. Pure."""
    found: dict[str, Any] = {}
    if now.backup_retention_days < then.backup_retention_days:
        found["BackupRetentionPeriod"] = then.backup_retention_days
    if then.deletion_protection and not now.deletion_protection:
        found["DeletionProtection"] = True
    if then.multi_az and not now.multi_az:
        found["MultiAZ"] = True
    return found


@dataclass(frozen=True)
class Harden:
    """One look at the database. It serves all the while; nothing of this waits in the way of traffic."""

    settings: HardenSettings
    ledger: Ledger
    rds: RDSClient

    def ensure(self) -> Outcome:
        """Ask for what is missing; done when all of it is in force, and a first backup exists."""
        identifier = self.settings.replica_id
        try:
            found = database.instance(self.rds, identifier)
        except BotoCoreError:
            return Outcome.wait("RDS of this Region does not answer", self.settings.look_again_seconds)
        if found is None:
            raise ReplicaNotFound(f"no database instance is called {identifier} in {self.settings.aws_region}")
        now = database.properties_of(found)
        primary = self.ledger.database(self.settings.peer_database_id)
        then = wanted(now, primary, self.settings.backup_retention_days)
        lacking = missing(now, then)
        pending = {key for key in found.get("PendingModifiedValues", {}) if key in MEANS}
        refused = self._ask({key: value for key, value in lacking.items() if key not in pending})
        return self._say(found, now, then, [MEANS[key] for key in MEANS if key in {*lacking, *pending}], refused)

    def _ask(self, lacking: Mapping[str, Any]) -> str | None:
        """Ask for all of it; why it cannot be had just now, if so. What costs no instance is not held up by one."""
        cheap = {key: value for key, value in lacking.items() if key != "MultiAZ"}
        costly = {key: value for key, value in lacking.items() if key == "MultiAZ"}
        for changes in (cheap, costly):
            if not changes:
                continue
            try:
                self.rds.modify_db_instance(
                    DBInstanceIdentifier=self.settings.replica_id, ApplyImmediately=True, **changes
                )
            except ClientError as error:
                if error.response["Error"]["Code"] not in LATER:
                    raise
                return str(error.response["Error"]["Message"])
        return None

    def _say(
        self,
        found: DBInstanceTypeDef,
        now: DatabaseProperties,
        then: DatabaseProperties,
        awaited: list[str],
        refused: str | None,
    ) -> Outcome:
        identifier, status = self.settings.replica_id, found["DBInstanceStatus"]
        restorable = found.get("LatestRestorableTime")
        facts = {
            **asdict(now),
            "wanted": asdict(then),
            "latest_restorable_time": restorable.isoformat() if restorable else None,
        }
        why = [
            *([f"on their way: {', '.join(awaited)}"] if awaited else []),
            *([f"RDS will not just now: {refused}"] if refused else []),
            *([f"it is {status}"] if status not in SERVING else []),
            *(["its first backup does not exist yet"] if then.backup_retention_days and not restorable else []),
        ]
        if why:
            return Outcome.wait(f"{identifier}: {'; '.join(why)}", self.settings.look_again_seconds, **facts)
        standby = "with a standby" if now.multi_az else "without a standby"
        protected = "protected" if now.deletion_protection else "not protected"
        said = f"{identifier} is {protected} against deletion and {standby}"
        if not restorable:
            return Outcome.done(f"{said}; nobody wanted backups", **facts)
        return Outcome.done(f"{said}; {now.backup_retention_days} days of backups, the first is there", **facts)
