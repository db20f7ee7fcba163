"""A job of S3 Batch Replication: S3 replicates what it has given up on, or never began with."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight.bucket import NotRead

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OVER = frozenset({"Complete", "Failed", "Cancelled"})
PRIORITY = 10  # among the account's other jobs in that Region


@dataclass(frozen=True)
class Job:
    """What S3 says of a job; `why` only where it failed."""

    id: str
    status: str = "New"
    tasks: int = 0
    succeeded: int = 0
    failed: int = 0
    why: str = ""

    @property
    def over(self) -> bool:
        """It does nothing any more."""
        return self.status in OVER

    @property
    def sentence(self) -> str:
        """What it has come to."""
        said = f"job {self.id} is {self.status}: {self.succeeded} of {self.tasks} objects replicated"
        said += f", {self.failed} failed" if self.failed else ""
        return f"{said} ({self.why})" if self.why else said

    def as_json(self) -> dict[str, Any]:
        """To be kept, and told."""
        return asdict(self)


@dataclass(frozen=True)
class BatchJobs:
    """The jobs of one Region."""

    s3control: Any  # there are no types for it here
    account: str
    region: str

    def create(self, run_id: str, bucket: str, role_arn: str) -> Job:
        """Have all of a bucket replicated that FAILED or never was. Asked again for the same run, it is the same job.

        S3 lists the bucket for it by itself and keeps no list and no report of it: what became of each object is
        looked at afterwards, in the bucket. NotRead.
        """
        partition = role_arn.split(":")[1]
        answer = self._ask(
            lambda: self.s3control.create_job(
                AccountId=self.account,
                ConfirmationRequired=False,
                Operation={"S3ReplicateObject": {}},
                Report={"Enabled": False},
                ClientRequestToken=hashlib.sha256(run_id.encode()).hexdigest(),
                Description=f"Relight, run {run_id}"[:256],
                Priority=PRIORITY,
                RoleArn=role_arn,
                ManifestGenerator={
                    "S3JobManifestGenerator": {
                        "ExpectedBucketOwner": self.account,
                        "SourceBucket": f"arn:{partition}:s3:::{bucket}",
                        "EnableManifestOutput": False,
                        "Filter": {
                            "EligibleForReplication": True,
                            "ObjectReplicationStatuses": ["FAILED", "NONE"],
                        },
                    }
                },
            )
        )
        return Job(answer["JobId"])

    def describe(self, job_id: str) -> Job:
        """How far it has come. NotRead."""
        told = self._ask(lambda: self.s3control.describe_job(AccountId=self.account, JobId=job_id))["Job"]
        progress: Mapping[str, int] = told.get("ProgressSummary") or {}
        reasons = [f"{one.get('FailureCode')}: {one.get('FailureReason')}" for one in told.get("FailureReasons") or []]
        return Job(
            job_id,
            told["Status"],
            progress.get("TotalNumberOfTasks", 0),
            progress.get("NumberOfTasksSucceeded", 0),
            progress.get("NumberOfTasksFailed", 0),
            "; ".join(reasons)[:500],
        )

    def _ask(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except (ClientError, BotoCoreError) as error:
            raise NotRead("S3 Batch Operations", self.region, error) from error
