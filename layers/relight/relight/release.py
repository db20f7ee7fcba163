"""The release that a Region serves: the archive in its bucket, by key, ETag, version and size.

Two are the same that have the same size and the same ETag, or the same size and the same version: S3 gives a replica
the version of its source, while the ETag of an object that KMS encrypts says nothing of its content.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from relight.bucket import GONE
from relight.objects import UNVERSIONED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

    from relight.ledger import Ledger
    from relight.readiness_facts import Told


@dataclass(frozen=True)
class Release:
    """One release; `replication` is what S3 says of its way to the other Region, None where it says nothing."""

    key: str
    etag: str
    version: str
    size: int
    replication: str | None = None

    def same(self, other: Release) -> bool:
        """Both hold the same content."""
        if self.size != other.size:
            return False
        return self.etag == other.etag or (self.version == other.version != UNVERSIONED)

    @property
    def kept(self) -> str:
        """What the ledger keeps as its `etag`: all that tells one release from another."""
        return f"{self.etag} {self.version} {self.size}"


def of_kept(values: Mapping[str, Any]) -> Release:
    """A release as the ledger has kept it (`Ledger.release`)."""
    etag, version, size = str(values["etag"]).rsplit(" ", 2)
    return Release(str(values["key"]), etag, version, int(size))


def look(s3: S3Client, bucket: str, key: str) -> Release | None:
    """The release in a bucket; None where S3 answers that there is none. Raises what boto3 raises."""
    try:
        told = s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] not in GONE:
            raise
        return None
    replication = told.get("ReplicationStatus")
    return Release(key, told["ETag"], told.get("VersionId", UNVERSIONED), told["ContentLength"], replication)


def remember(ledger: Ledger, seen: Told[Release], now: float) -> None:
    """Keep what the other Region was seen to serve, so that nobody has to ask it when it is lost.

    Where it serves nothing, or nobody could say, there is nothing to keep, and what was kept before stays.
    """
    if isinstance(seen, Release):
        ledger.keep_release(seen.key, seen.kept, now)
