"""`harden`: give this Region's database what kept the primary's safe, once the traffic is here."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight import database
from relight.errors import ReplicaNotFound
from relight.ledger import DatabaseProperties
from relight.shape import properties, same_life, shape_of
from relight.step import Outcome
from relight.steps.promote import SERVING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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


def served(identifier: str) -> str:
    """Under what the ledger keeps the shape of the instance that had this identifier and took the writes."""
    return f"{identifier} served"


def wanted(now: DatabaseProperties, primary: DatabaseProperties | None, retention_days: int) -> DatabaseProperties:
    """At least what the primary had, and nothing less than now; of a primary never seen, the settings' retention.

    Pure. Whether it had a standby is not guessed: it doubles what the database costs. In the home Region the primary
    is the instance that served there before.
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
    clock: Callable[[], float] = time.time
    peer_rds: RDSClient | None = None  # where this Region's backups are replicated to

    def ensure(self) -> Outcome:
        """Ask for what is missing; done when all of it is in force, and a first backup exists.

        What it is like before that is kept, for the replica that a failback builds in its place; in the home Region it
        gets back what the one before it had.
        """
        identifier = self.settings.replica_id
        try:
            found = database.instance(self.rds, identifier)
        except BotoCoreError:
            return Outcome.wait("RDS of this Region does not answer", self.settings.look_again_seconds)
        if found is None:
            raise ReplicaNotFound(f"no database instance is called {identifier} in {self.settings.aws_region}")
        before = self._before(found)
        now = database.properties_of(found)
        primary = properties(before) if before else self.ledger.database(self.settings.peer_database_id)
        then = wanted(now, primary, self.settings.backup_retention_days)
        lacking = missing(now, then)
        pending = {key for key in found.get("PendingModifiedValues", {}) if key in MEANS}
        refused = self._ask({key: value for key, value in lacking.items() if key not in pending})
        awaited = [MEANS[key] for key in MEANS if key in {*lacking, *pending}]
        return self._say(found, now, then, awaited, refused, lambda: self._replicate_backups(found, before))

    def _before(self, found: DBInstanceTypeDef) -> Mapping[str, Any] | None:
        """In the home Region, the shape of the one that served here before; elsewhere this one's is kept, once."""
        identifier = self.settings.replica_id
        if self.ledger.head().home_or(self.settings.home_region) == self.settings.aws_region:
            return self.ledger.shape(served(identifier))
        shape, kept = shape_of(found), self.ledger.shape(identifier)
        if kept is not None and not same_life(kept, shape):
            self.ledger.forget_shape(identifier)
        self.ledger.keep_shape(identifier, shape, self.clock())
        return None

    def _replicate_backups(self, found: DBInstanceTypeDef, before: Mapping[str, Any] | None) -> str | None:
        """Have the backups replicated as those of the one before were; why it cannot be had, if so.

        It belongs to an instance, not to its name. The other Region may be lost, and nothing is held up by it.
        """
        backups = (before or {}).get("Replicates", [])
        if not backups or found.get("DBInstanceAutomatedBackupsReplications") or self.peer_rds is None:
            return None
        arn = found["DBInstanceArn"]
        try:
            for backup in backups:
                old = self.peer_rds.describe_db_instance_automated_backups(DBInstanceAutomatedBackupsArn=backup)
                one = old["DBInstanceAutomatedBackups"][0]
                key: dict[str, Any] = {"KmsKeyId": one["KmsKeyId"]} if one.get("KmsKeyId") else {}
                self.peer_rds.start_db_instance_automated_backups_replication(
                    SourceDBInstanceArn=arn,
                    BackupRetentionPeriod=one["BackupRetentionPeriod"],
                    SourceRegion=self.settings.aws_region,
                    **key,
                )
        except (BotoCoreError, ClientError, IndexError) as error:
            return (
                f"its backups are not replicated to {self.settings.peer_region} ({type(error).__name__}: {error}): "
                f"there, call start-db-instance-automated-backups-replication for {arn}"
            )
        return None

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
        replicate_backups: Callable[[], str | None],
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
        said += f"; {now.backup_retention_days} days of backups, the first is there"
        if unreplicated := replicate_backups():
            return Outcome.done(f"{said}; {unreplicated}", **facts, backup_replication=unreplicated)
        return Outcome.done(said, **facts)
