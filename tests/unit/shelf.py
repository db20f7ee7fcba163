"""A bucket held in memory, and S3's jobs of replication, as the core asks them: many keys cheaply, and an object's
replication status, of which moto knows nothing. Parameters are checked against boto3's own model of the API.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.validate import ParamValidator

from tests.unit.standby import NOW

ACCOUNT = "123456789012"


@dataclass
class Version:
    """One version, or a delete marker, which has no content."""

    id: str
    body: bytes | None
    at: float
    status: str | None = None
    etag: str | None = None

    @property
    def told(self) -> dict[str, Any]:
        return {"VersionId": self.id, "LastModified": datetime.fromtimestamp(self.at, UTC)}

    @property
    def told_etag(self) -> str:
        return self.etag or f'"{hash(self.body):x}"'


@dataclass
class Shelf:
    """Versions by key, newest last. `refusal` is raised in place of an answer, after the first `answers` of them."""

    model: Any
    versions: dict[str, list[Version]] = field(default_factory=dict)
    refusal: Exception | None = None
    answers: int | None = None
    pages: list[dict[str, Any]] = field(default_factory=list)
    ids: Iterator[int] = field(default_factory=count)

    def put(self, key: str, body: bytes = b"1", at: float = NOW - 3600, **more: Any) -> Version:
        """A new version of its own."""
        return self._add(key, Version(f"{id(self)}-{next(self.ids)}", body, at, **more))

    def delete(self, key: str, at: float = NOW - 3600) -> Version:
        return self._add(key, Version(f"{id(self)}-{next(self.ids)}", None, at))

    def replicate(self, key: str, other: "Shelf", **more: Any) -> None:
        """As S3 does: the replica has the source's version, whose status becomes COMPLETED."""
        source = self.versions[key][-1]
        if source.body is not None:
            source.status = "COMPLETED"
        status = None if source.body is None else "REPLICA"
        other._add(key, Version(source.id, source.body, source.at, **({"status": status} | more)))

    def _add(self, key: str, version: Version) -> Version:
        self.versions.setdefault(key, []).append(version)
        return version

    # What boto3's client of S3 has.

    def list_object_versions(self, **given: Any) -> dict[str, Any]:
        self._take("ListObjectVersions", given)
        self.pages.append(given)
        key, version = given.get("KeyMarker"), given.get("VersionIdMarker")
        rows = [
            (name, one, one is versions[-1])
            for name, versions in sorted(self.versions.items(), key=lambda item: item[0].encode())
            if key is None or name.encode() >= key.encode()
            for one in reversed(versions)
        ]
        if key is not None:
            behind = [at for at, row in enumerate(rows) if row[0] == key and version in {None, row[1].id}]
            rows = rows[behind[-1] + 1 :] if behind else rows
        page, more = rows[: given["MaxKeys"]], len(rows) > given["MaxKeys"]
        answer: dict[str, Any] = {"IsTruncated": more, "Versions": [], "DeleteMarkers": []}
        for name, one, latest in page:
            told = {"Key": name, "IsLatest": latest, **one.told}
            if one.body is None:
                answer["DeleteMarkers"].append(told)
            else:
                answer["Versions"].append({**told, "Size": len(one.body), "ETag": one.told_etag})
        return answer | ({"NextKeyMarker": page[-1][0], "NextVersionIdMarker": page[-1][1].id} if more else {})

    def head_object(self, **given: Any) -> dict[str, Any]:
        self._take("HeadObject", given)
        versions = self.versions.get(given["Key"], [])
        wanted = given.get("VersionId")
        found = next((one for one in reversed(versions) if wanted in {None, one.id}), None)
        if found is None:
            raise head_error(404)
        if found.body is None:
            marked = {"x-amz-delete-marker": "true", "x-amz-version-id": found.id}
            raise head_error(405 if wanted else 404, marked)
        status = {"ReplicationStatus": found.status} if found.status else {}
        return {"ContentLength": len(found.body), "ETag": found.told_etag, **found.told, **status}

    def _take(self, operation: str, given: dict[str, Any]) -> None:
        check(self.model, operation, given)
        assert given["ExpectedBucketOwner"] == ACCOUNT
        if self.answers:
            self.answers -= 1
        elif self.refusal is not None:
            raise self.refusal


@dataclass
class Batch:
    """S3's jobs in one Region. A job stays as it is until a test calls `end`."""

    model: Any
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: dict[str, dict[str, Any]] = field(default_factory=dict)
    refusal: Exception | None = None

    def create_job(self, **given: Any) -> dict[str, Any]:
        """The same token is the same job."""
        self._take("CreateJob", given)
        name = f"job-{given['ClientRequestToken'][:12]}"
        self.jobs.setdefault(name, {"JobId": name, "Status": "New"})
        self.asked[name] = given
        return {"JobId": name}

    def describe_job(self, **given: Any) -> dict[str, Any]:
        self._take("DescribeJob", given)
        return {"Job": self.jobs[given["JobId"]]}

    def end(self, status: str, **more: Any) -> None:
        """The only job changes to that status."""
        (job,) = self.jobs.values()
        job.update(Status=status, **more)

    def _take(self, operation: str, given: dict[str, Any]) -> None:
        check(self.model, operation, given)
        assert given["AccountId"] == ACCOUNT
        if self.refusal is not None:
            raise self.refusal


class Evidence:
    """The evidence bucket, in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_object(self, **given: Any) -> dict[str, Any]:
        self.objects[given["Key"]] = given["Body"]
        return {}

    def get_object(self, **given: Any) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.objects[given["Key"]])}


def check(model: Any, operation: str, given: dict[str, Any]) -> None:
    """As boto3 does before it asks."""
    report = ParamValidator().validate(given, model.operation_model(operation).input_shape)
    assert not report.has_errors(), report.generate_report()


def head_error(status: int, headers: dict[str, str] | None = None) -> ClientError:
    """A HEAD has no body: its error is a number."""
    told = {"HTTPStatusCode": status, "HTTPHeaders": headers or {}}
    return ClientError({"Error": {"Code": str(status), "Message": "-"}, "ResponseMetadata": told}, "HeadObject")  # type: ignore[typeddict-item]


def denied(operation: str = "ListObjectVersions") -> ClientError:
    said = {"Code": "AccessDenied", "Message": f"not authorized to perform: s3:{operation}"}
    return ClientError({"Error": said, "ResponseMetadata": {"HTTPStatusCode": 403}}, operation)  # type: ignore[typeddict-item]


def silent() -> ReadTimeoutError:
    return ReadTimeoutError(endpoint_url="https://s3.eu-west-1.amazonaws.com/")
