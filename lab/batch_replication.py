"""S3 Batch Replication: a job that lists a bucket and has those of its objects replicated that were not.

moto knows no jobs of S3 Batch Operations. Of their kinds the lab has the one operation `S3ReplicateObject`, with a
manifest that S3 makes by itself (`S3JobManifestGenerator`) from the objects' replication statuses; it keeps no manifest
and writes no report. A client finds the endpoint with the rules in MODELS: AWS's own put the account into the name of
the host.
"""

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moto.backends import get_backend
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.s3.models import FakeKey
from moto.s3control import urls
from moto.s3control.responses import S3ControlResponse

from lab.cloud import ACCOUNT
from lab.replication import Replication, Status
from lab.seam import Seams, require

MODELS = Path(__file__).parent / "api_models"
"""For AWS_DATA_PATH."""

_LOOK_SECONDS = 0.05
_NONE = "NONE"
_KNOWN = frozenset({"EligibleForReplication", "ObjectReplicationStatuses"})

require(S3ControlResponse, "dispatch", "_get_param")
require(urls, "url_paths")


class _Refused(ServiceException):  # type: ignore[misc]  # moto is untyped
    """The refusal of S3 Control."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Job:
    """One job. Its manifest is what the filter finds when it begins."""

    region: str
    asked: Mapping[str, Any]
    """The parameters of CreateJob."""
    id: str
    status: str = "New"
    total: int = 0
    succeeded: int = 0
    failed: int = 0
    reason: str = ""
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: datetime | None = None

    @property
    def generator(self) -> Mapping[str, Any]:
        """What makes the manifest."""
        found: Mapping[str, Any] = self.asked["ManifestGenerator"]["S3JobManifestGenerator"]
        return found

    @property
    def bucket(self) -> str:
        """The name of the bucket that is listed."""
        return str(self.generator["SourceBucket"]).rpartition(":")[2]

    @property
    def statuses(self) -> frozenset[str]:
        """Which objects are meant."""
        return frozenset((self.generator.get("Filter") or {}).get("ObjectReplicationStatuses") or [])

    def described(self) -> dict[str, Any]:
        """As DescribeJob tells it."""
        failures = [{"FailureCode": "ManifestGenerationFailed", "FailureReason": self.reason}] if self.reason else []
        told = {name: self.asked[name] for name in ("Operation", "Priority", "RoleArn", "Report", "ManifestGenerator")}
        return told | {
            "JobId": self.id,
            "JobArn": f"arn:aws:s3:{self.region}:{ACCOUNT}:job/{self.id}",
            "ConfirmationRequired": False,
            "Description": self.asked.get("Description"),
            "Status": self.status,
            "ProgressSummary": {
                "TotalNumberOfTasks": self.total,
                "NumberOfTasksSucceeded": self.succeeded,
                "NumberOfTasksFailed": self.failed,
            },
            "FailureReasons": failures,
            "CreationTime": self.created,
            "TerminationDate": self.ended,
        }


class BatchReplication:
    """The jobs of all Regions. `install` before the first call of S3 Control; `stop` ends what is under way."""

    def __init__(self, replication: Replication) -> None:
        self._replication = replication
        self._jobs: dict[tuple[str, str], Job] = {}
        """By Region and client token."""
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._seams = Seams()

    def install(self) -> None:
        """Let moto's S3 Control answer CreateJob and DescribeJob. MotoChangedError if it can do so itself now."""
        self._seams.add(S3ControlResponse, "create_job", self._answering(self._create))
        self._seams.add(S3ControlResponse, "describe_job", self._answering(self._describe))
        paths = {f"/v20180820/jobs{more}": S3ControlResponse.dispatch for more in ("", "/<job_id>")}
        self._seams.replace(urls, "url_paths", {**urls.url_paths, **paths})

    def stop(self) -> None:
        """Give up what has not been replicated, and let go of moto."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self._seams.undo()

    @staticmethod
    def _answering(action: Callable[[Any], dict[str, Any]]) -> Callable[[Any], ActionResult]:
        return lambda response: ActionResult(action(response))

    def _create(self, response: Any) -> dict[str, Any]:
        names = (
            "Operation",
            "Priority",
            "RoleArn",
            "Report",
            "ManifestGenerator",
            "Description",
            "ConfirmationRequired",
        )
        asked = {name: response._get_param(name) for name in names}
        _refuse_the_unknown(asked)
        token = response.region, str(response._get_param("ClientRequestToken"))
        with self._lock:
            if token in self._jobs:
                if self._jobs[token].asked != asked:
                    raise _Refused("IdempotencyException", "The token was given with another request.")
                return {"JobId": self._jobs[token].id}
            job = self._jobs[token] = Job(response.region, asked, secrets.token_hex(16))
            thread = threading.Thread(target=self._run, args=(job,), name=f"batch-{job.id[:6]}", daemon=True)
            self._threads.append(thread)
        thread.start()
        return {"JobId": job.id}

    def _describe(self, response: Any) -> dict[str, Any]:
        wanted = str(response._get_param("JobId"))
        with self._lock:
            for job in self._jobs.values():
                if job.id == wanted and job.region == response.region:
                    return {"Job": job.described()}
        raise _Refused("NotFoundException", "The specified job does not exist.")

    def _run(self, job: Job) -> None:
        job.status = "Preparing"
        backend = get_backend("s3")[ACCOUNT]["aws"]
        bucket = backend.buckets.get(job.bucket)
        if bucket is None or bucket.region_name != job.region:
            self._close(job, f"There is no bucket {job.bucket} in {job.region}.")
            return
        meant = [version for version in self._versions(bucket) if self._meant(job, version)]
        begun = [version for version in meant if self._replication.again(backend, job.bucket, version)]
        if not begun:
            self._close(job, "Manifest generation found no keys matching the filter criteria.")
            return
        job.total, job.status = len(begun), "Active"
        while job.succeeded + job.failed < job.total:
            if self._stopped.wait(_LOOK_SECONDS):
                return
            ends = [self._replication.status(job.bucket, version) for version in begun]
            job.succeeded, job.failed = ends.count(Status.COMPLETED), ends.count(Status.FAILED)
        self._close(job)

    @staticmethod
    def _versions(bucket: Any) -> Iterator[Any]:
        for name in list(bucket.keys):
            yield from (version for version in bucket.keys.getlist(name, []) if isinstance(version, FakeKey))

    def _meant(self, job: Job, version: Any) -> bool:
        status = self._replication.status(job.bucket, version)
        if status is Status.REPLICA:
            return False
        return not job.statuses or (status.value if status else _NONE) in job.statuses

    @staticmethod
    def _close(job: Job, reason: str = "") -> None:
        job.reason, job.ended = reason, datetime.now(UTC)
        job.status = "Failed" if reason else "Complete"


def _refuse_the_unknown(asked: Mapping[str, Any]) -> None:
    operation = asked["Operation"] or {}
    generator = (asked["ManifestGenerator"] or {}).get("S3JobManifestGenerator")
    if list(operation) != ["S3ReplicateObject"] or generator is None:
        raise _Refused("BadRequestException", "The lab imitates S3ReplicateObject with a manifest generator only.")
    if generator.get("EnableManifestOutput") or (asked["Report"] or {}).get("Enabled"):
        raise _Refused("BadRequestException", "The lab writes neither manifests nor reports of jobs.")
    if asked["ConfirmationRequired"]:
        raise _Refused("BadRequestException", "The lab's jobs cannot be confirmed.")
    unknown = sorted(set(generator.get("Filter") or {}) - _KNOWN)
    if unknown:
        raise _Refused("BadRequestException", f"The lab's manifests are not filtered by {unknown[0]}.")
