"""The release that a Region serves: the archive in its bucket, by key, ETag, version and size.

Two are the same that have the same digest written beside them. Where one of them has none, those are that have the same
size and the same ETag, or the same size and the same version: S3 gives a replica
the version of its source, while the ETag of an object that KMS encrypts says nothing of its content.
"""

from __future__ import annotations

import re
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

DIGEST = "sha256"
"""Under this name of an object's metadata its content's digest is kept, in hexadecimal digits (`relight deploy`)."""
NO_DIGEST = "-"
# What an earlier version has kept ends with the size.
_KEPT = re.compile(r"(?P<etag>.*) (?P<version>\S+) (?P<size>\d+)(?: (?P<sha256>[0-9a-f]{64}|-))?")


@dataclass(frozen=True)
class Release:
    """One release; `replication` is what S3 says of its way to the other Region, None where it says nothing."""

    key: str
    etag: str
    version: str
    size: int
    replication: str | None = None
    sha256: str | None = None
    """Of its content, as who uploaded it has written beside it; None where nobody has."""

    def same(self, other: Release) -> bool:
        """Both hold the same content: by its digest where both have one."""
        if self.sha256 and other.sha256:
            return self.sha256 == other.sha256
        if self.size != other.size:
            return False
        return self.etag == other.etag or (self.version == other.version != UNVERSIONED)

    @property
    def kept(self) -> str:
        """What the ledger keeps as its `etag`: all that tells one release from another."""
        return f"{self.etag} {self.version} {self.size} {self.sha256 or NO_DIGEST}"


def of_kept(values: Mapping[str, Any]) -> Release:
    """A release as the ledger has kept it (`Ledger.release`)."""
    told = _KEPT.fullmatch(str(values["etag"]))
    assert told is not None
    digest = told["sha256"] if told["sha256"] not in {None, NO_DIGEST} else None
    return Release(str(values["key"]), told["etag"], told["version"], int(told["size"]), sha256=digest)


def look(s3: S3Client, bucket: str, key: str) -> Release | None:
    """The release in a bucket; None where S3 answers that there is none. Raises what boto3 raises."""
    try:
        told = s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] not in GONE:
            raise
        return None
    digest = told.get("Metadata", {}).get(DIGEST) or None
    version, replication = told.get("VersionId", UNVERSIONED), told.get("ReplicationStatus")
    return Release(key, told["ETag"], version, told["ContentLength"], replication, digest)


def remember(ledger: Ledger, seen: Told[Release], now: float) -> None:
    """Keep what the other Region was seen to serve, so that nobody has to ask it when it is lost.

    Where it serves nothing, or nobody could say, there is nothing to keep, and what was kept before stays.
    """
    if isinstance(seen, Release):
        ledger.keep_release(seen.key, seen.kept, now)
