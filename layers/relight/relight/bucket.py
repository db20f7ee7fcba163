"""A bucket as it is compared: the newest version of each key in order, and one key looked at by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight.objects import Entry, Looked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

AGAIN = frozenset(
    {"RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException", "429"}
)
# HeadObject has no body, so that its errors have no other name than their number.
GONE = frozenset({"404", "NoSuchKey", "NoSuchVersion", "405", "MethodNotAllowed"})


class NotRead(Exception):
    """S3 did not answer, or refused: `refused` says which, for asking again helps only in the first case."""

    def __init__(self, what: str, region: str, error: ClientError | BotoCoreError) -> None:
        super().__init__(f"{what} in {region}: {type(error).__name__}: {error}")
        self.region = region
        self.error = error
        self.refused = isinstance(error, ClientError) and _refused(error)


def _refused(error: ClientError) -> bool:
    status = error.response["ResponseMetadata"].get("HTTPStatusCode", 400)
    return 400 <= status < 500 and error.response["Error"]["Code"] not in AGAIN


@dataclass(frozen=True)
class Bucket:
    """One bucket of the account `owner`, which S3 is told, so that no other account's of that name is ever read."""

    s3: S3Client
    name: str
    region: str
    owner: str
    page_keys: int = 1000

    def latest(self, after: str | None = None) -> Iterator[Entry]:
        """The newest version or delete marker of each key behind `after`, page by page. NotRead."""
        mark: dict[str, Any] = {} if after is None else {"KeyMarker": after}
        while True:
            page = self._page(mark)
            found = [_object(one) for one in page.get("Versions", []) if one["IsLatest"]]
            found += [_marker(one) for one in page.get("DeleteMarkers", []) if one["IsLatest"]]
            for entry in sorted(found, key=lambda one: one.key):
                if after is None or entry.key > after:
                    yield entry
            if not page["IsTruncated"]:
                return
            mark = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}

    def look(self, key: str) -> Looked:
        """What lies under a key, and whether it has been replicated. NotRead."""
        try:
            told = self.s3.head_object(Bucket=self.name, Key=key, ExpectedBucketOwner=self.owner)
        except ClientError as error:
            if error.response["Error"]["Code"] not in GONE:
                raise self._not_read(error) from error
            return Looked(_deleted(key, error))
        except BotoCoreError as error:
            raise self._not_read(error) from error
        entry = Entry(
            key, told["ContentLength"], told["ETag"], told.get("VersionId", "null"), told["LastModified"].timestamp()
        )
        return Looked(entry, _status(told.get("ReplicationStatus")))

    def has(self, key: str, version: str) -> bool:
        """That version of the key is there. NotRead."""
        try:
            self.s3.head_object(Bucket=self.name, Key=key, VersionId=version, ExpectedBucketOwner=self.owner)
        except ClientError as error:
            # A version that this bucket could not have made is a bad request, and not there either.
            if error.response["Error"]["Code"] not in GONE | {"400"}:
                raise self._not_read(error) from error
            return False
        except BotoCoreError as error:
            raise self._not_read(error) from error
        return True

    def _page(self, mark: dict[str, Any]) -> Any:
        try:
            return self.s3.list_object_versions(
                Bucket=self.name, ExpectedBucketOwner=self.owner, MaxKeys=self.page_keys, **mark
            )
        except (ClientError, BotoCoreError) as error:
            raise self._not_read(error) from error

    def _not_read(self, error: ClientError | BotoCoreError) -> NotRead:
        return NotRead(f"the bucket {self.name}", self.region, error)


def _object(one: Any) -> Entry:
    return Entry(one["Key"], one["Size"], one["ETag"], one["VersionId"], one["LastModified"].timestamp())


def _marker(one: Any) -> Entry:
    return Entry(one["Key"], 0, "", one["VersionId"], one["LastModified"].timestamp(), deleted=True)


def _deleted(key: str, error: ClientError) -> Entry | None:
    """The delete marker that hides a key, as a HEAD of it says; None where there is nothing."""
    headers = error.response["ResponseMetadata"]["HTTPHeaders"]
    if headers.get("x-amz-delete-marker") != "true":
        return None
    return Entry(key, 0, "", headers.get("x-amz-version-id", "null"), 0.0, deleted=True)


def _status(said: str | None) -> str | None:
    """S3's API has two spellings for the same."""
    return "COMPLETED" if said == "COMPLETE" else said
