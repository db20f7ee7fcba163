"""Retired databases afterwards: watched each day, and deleted when their days are over and a person says so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight import database
from relight.errors import AnotherRunInProgress, DatabaseNotKept, InputInvalid, RetiredNotFound
from relight.head import item
from relight.retention import DAY, Seen, due_at, final_snapshot, monthly_cost, require_age, word_of_due
from relight.step import Outcome
from relight.steps.retire import LATER, NOT_ASKED, code_of, snapshot_of
from relight.telling import TOLD, Notice, Teller, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_rds import RDSClient
    from mypy_boto3_rds.type_defs import DBInstanceTypeDef
    from mypy_boto3_sns import SNSClient

    from relight.ledger import Ledger
    from relight.retired import Retired
    from relight.settings import RetireSettings

NO_ANSWER: tuple[type[Exception], ...] = (BotoCoreError, ClientError)
# RDS deletes such a one only without a last snapshot.
NO_LAST_SNAPSHOT = frozenset({"failed", "incompatible-restore", "incompatible-network"})
LONGEST_REASON = 500


@dataclass(frozen=True)
class Retained:
    """The retired databases that this Region's ledger knows. Others are never touched."""

    settings: RetireSettings
    ledger: Ledger
    rds: RDSClient
    functions: LambdaClient
    cloudwatch: CloudWatchClient
    sns: SNSClient
    clock: Callable[[], float]

    def watch(self) -> dict[str, Any]:
        """Look at each, and tell people once of one whose days are over. Raises what SNS raises: then it is told next
        time."""
        seen = [self._look(retired) for retired in self.ledger.retired()]
        told = []
        for one in seen:
            if one.due and one.status != "missing" and not self._was_told(one.instance):
                subject, lines = word_of_due(one, self.settings.application, self.settings.aws_region)
                self._teller.tell("retire", Notice.of(subject, lines, TOLD))
                self._note_told(one.instance)
                told.append(one.instance)
        return {"retired": [{**one.as_dict(), "sentence": one.sentence} for one in seen], "told": told}

    def delete(self, instance: str, by: str, because: str) -> Outcome:
        """Delete a retired database with a last snapshot; done when it is gone and the snapshot is there.

        Until then each call does what is next: its protection is switched off first, and it is deleted by a later one.

        RetiredNotFound, RetiredTooYoung or InputInvalid (who, and why) before anything is done, and
        AnotherRunInProgress while a run holds the lock: it may be reading it. DatabaseNotKept where the last snapshot
        cannot be had.
        """
        who, why = one_line(by, LONGEST_REASON), one_line(because, LONGEST_REASON)
        if not who or not why:
            raise InputInvalid('a retired database is deleted by a person ("by") and for a reason ("because")')
        retired = next((one for one in self.ledger.retired() if one.instance == instance), None)
        if retired is None or instance == self.settings.replica_id:
            raise RetiredNotFound(f"no retired database of {self.settings.aws_region} is called {instance!r}")
        require_age(retired, self.settings.retained_days, self.clock())
        head = self.ledger.head()
        if head.owner is not None and head.expires_at > self.clock():
            raise AnotherRunInProgress(f"{head.owner} holds the lock, and may be reading {instance}")
        try:
            found = database.instance(self.rds, instance)
            return self._gone(retired, who, why) if found is None else self._delete(found, instance)
        except BotoCoreError as error:
            return self._wait(f"RDS of this Region does not answer ({type(error).__name__})")

    def _delete(self, found: DBInstanceTypeDef, instance: str) -> Outcome:
        status, last = found["DBInstanceStatus"], final_snapshot(instance)
        if status == "deleting":
            return self._wait(f"{instance} is being deleted; its last snapshot is {last}")
        if status in NO_LAST_SNAPSHOT:
            raise DatabaseNotKept(
                f"{instance} is {status}: RDS takes no last snapshot of it. If an earlier one is enough, delete it "
                f"yourself"
            )
        if snapshot_of(self.rds, last) is not None:
            raise DatabaseNotKept(
                f"there is a snapshot {last} already, and {instance} still exists: rename or delete that snapshot, so "
                f"that the last one can be taken"
            )
        try:
            if found.get("DeletionProtection"):  # RDS does that after its answer, and deletes nothing before
                self.rds.modify_db_instance(
                    DBInstanceIdentifier=instance, DeletionProtection=False, ApplyImmediately=True
                )
                return self._wait(
                    f"{instance} is not deleted yet: its protection against that is being switched off; ask again in a "
                    f"moment"
                )
            self.rds.delete_db_instance(
                DBInstanceIdentifier=instance, SkipFinalSnapshot=False, FinalDBSnapshotIdentifier=last
            )
        except ClientError as error:
            if code_of(error) not in LATER and not _still_protected(error):
                raise
            return self._wait(f"RDS will not delete {instance} just now: {error.response['Error']['Message']}")
        return self._wait(f"{instance} is being deleted; its last snapshot will be {last}")

    def _gone(self, retired: Retired, by: str, because: str) -> Outcome:
        """Told before it is forgotten: who comes after a lost answer tells it again rather than not at all."""
        last = final_snapshot(retired.instance)
        snapshot = snapshot_of(self.rds, last)
        if snapshot is not None and snapshot.get("Status") == "creating":
            return self._wait(f"{retired.instance} is gone; its last snapshot {last} is being taken")
        kept = f"its last snapshot is {last}" if snapshot else f"there is no last snapshot {last} of it"
        said = f"{retired.instance} is deleted; {kept}"
        lines = [f"{said}.", f"By {by}, because: {because}."]
        subject = f"Relight {self.settings.application}: {retired.instance} is deleted"
        self._teller.tell(retired.run, Notice.of(subject, lines, TOLD))
        self.ledger.forget_retired(retired.instance)
        return Outcome.done(
            said, instance=retired.instance, snapshot=last if snapshot else None, by=by, because=because
        )

    def _look(self, retired: Retired) -> Seen:
        now = self.clock()
        try:
            found = database.instance(self.rds, retired.instance)
            status = found["DBInstanceStatus"] if found else "missing"
        except NO_ANSWER:
            found, status = None, None
        gib = found.get("AllocatedStorage") if found else None
        due = due_at(retired, self.settings.retained_days)
        return Seen(
            instance=retired.instance,
            of=retired.of,
            retired_at=retired.retired_at,
            due_at=due,
            age_days=round((now - retired.retired_at) / DAY, 2),
            status=status,
            free_bytes=self._free(retired.instance, now) if found else None,
            gib=gib,
            slots=self._slots(found) if found else None,
            dollars_a_month=_cost(found) if found else None,
            due=now >= due,
        )

    def _free(self, instance: str, now: float) -> float | None:
        """The least free storage of the last hour; None where CloudWatch knows none."""
        end = datetime.fromtimestamp(now, UTC)
        try:
            answer = self.cloudwatch.get_metric_statistics(
                Namespace="AWS/RDS",
                MetricName="FreeStorageSpace",
                Dimensions=[{"Name": "DBInstanceIdentifier", "Value": instance}],
                StartTime=end - timedelta(hours=1),
                EndTime=end,
                Period=3600,
                Statistics=["Minimum"],
            )
        except NO_ANSWER:
            return None
        return min((float(point["Minimum"]) for point in answer["Datapoints"]), default=None)

    def _slots(self, found: DBInstanceTypeDef) -> list[dict[str, Any]] | None:
        endpoint = found.get("Endpoint", {})
        if "Address" not in endpoint:
            return None
        given: dict[str, Any] = {"endpoint": {"host": endpoint["Address"], "port": int(endpoint.get("Port", 5432))}}
        try:
            said = database.ask(self.functions, self.settings.dbcheck_function, "slots", **given)
        except NOT_ASKED:
            return None
        return list(said["slots"]) if "slots" in said else None

    # Beside what the ledger keeps of it: that its notice went out.

    def _was_told(self, instance: str) -> bool:
        answer = self.ledger.dynamodb.get_item(TableName=self.ledger.table, Key=_key(instance), ConsistentRead=True)
        return "told_at" in answer.get("Item", {})

    def _note_told(self, instance: str) -> None:
        self.ledger.dynamodb.update_item(
            TableName=self.ledger.table,
            Key=_key(instance),
            UpdateExpression="SET told_at = :now",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues=item({":now": self.clock()}),
        )

    @property
    def _teller(self) -> Teller:
        return Teller(self.sns, self.settings.topic_arn, self.settings.application)

    def _wait(self, sentence: str) -> Outcome:
        return Outcome.wait(sentence, self.settings.look_again_seconds)


def _still_protected(error: ClientError) -> bool:
    """RDS has no code of its own for that; its sentence is "Cannot delete protected DB Instance, please ..."."""
    said = error.response["Error"]["Message"].lower()
    return code_of(error) == "InvalidParameterCombination" and "cannot delete protected" in said


def _key(instance: str) -> dict[str, Any]:
    return item({"pk": "retired", "sk": instance})


def _cost(found: DBInstanceTypeDef) -> float | None:
    kind, storage, gib = found.get("DBInstanceClass"), found.get("StorageType"), found.get("AllocatedStorage")
    if kind is None or storage is None or gib is None:
        return None
    return monthly_cost(kind, storage, gib, multi_az=found.get("MultiAZ", False))
