"""S3's replication between buckets: what is put into a bucket whose rule says so arrives in the other one, a little
later, and only over an open path between the two Regions.

moto keeps a bucket's rules, shows few of their settings and copies nothing; here they are shown as they were put, and
followed: prefixes, delete markers, objects that KMS encrypts, later changes of tags. A copy starts no other copy, so
that two buckets may replicate to each other. HeadObject and GetObject tell an object's replication status. Replication
Time Control, metrics and filters by tag are not imitated, and a version that is deleted for good stays in the other
bucket, as on AWS.
"""

import copy
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from moto.core.responses import ActionResult
from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, S3Backend
from moto.s3.responses import S3Response

from lab.network import Network, Path
from lab.region import place_of, vantage_in
from lab.seam import Seams, require

require(FakeBucket, "is_versioned", "arn")
require(FakeKey, "set_metadata", "version_id", "response_dict")
require(S3Backend, "get_bucket", "get_bucket_replication", "get_object_tagging")

_LOOK_SECONDS = 0.1
_STATUS = "x-amz-replication-status"


class Status(StrEnum):
    """What S3 says of the replication of an object; of one that no rule covered when it was put, nothing."""

    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    REPLICA = "REPLICA"


@dataclass(frozen=True)
class _Change:
    """One version that is new, or newly tagged, in a bucket with a rule for it."""

    backend: Any
    bucket: str
    version: Any
    """moto's key or delete marker."""
    rule: Mapping[str, Any]
    tags_only: bool
    due: float
    """When the copy arrives, by the monotonic clock."""


class Replication:
    """Follows the replication rules of all buckets. `start` and `stop` bound its thread."""

    def __init__(self, network: Network, delay: float = 0.2) -> None:
        """`delay` is how many seconds a copy takes over an open path."""
        self._network = network
        self._delay = delay
        self._seams = Seams()
        self._waiting: list[_Change] = []
        self._statuses: dict[tuple[str, str], Status] = {}
        """By bucket and version."""
        self._paused: set[str] = set()
        self._failing: set[tuple[str, str]] = set()
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="replication", daemon=True)

    def install(self) -> None:
        """Follow what is put into moto's buckets from now on; `stop` lets go again."""
        self._seams.wrap(S3Response, "get_bucket_replication", _shown)
        self._put = S3Backend.put_object
        self._tag = S3Backend.put_object_tagging
        self._seams.wrap(S3Backend, "put_object", self._after_put)
        self._seams.wrap(S3Backend, "_set_delete_marker", self._after_put)
        self._seams.wrap(S3Backend, "put_object_tagging", self._after_tagging)
        self._seams.replace(FakeKey, "response_dict", self._telling(FakeKey.response_dict))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Forget what has not arrived."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        self._seams.undo()

    @property
    def pending(self) -> int:
        """How many changes have not arrived."""
        with self._changed:
            return len(self._waiting)

    def pause(self, bucket: str) -> None:
        """Let nothing leave that bucket: what is put stays PENDING until `resume`."""
        self._paused.add(bucket)

    def resume(self, bucket: str) -> None:
        """What was put meanwhile leaves now."""
        self._paused.discard(bucket)

    def fail(self, bucket: str, key: str) -> None:
        """Let every replication of that object fail until `mend`, as for want of a permission: FAILED for good."""
        self._failing.add((bucket, key))

    def mend(self, bucket: str, key: str) -> None:
        """It would succeed now. What has FAILED stays so: S3 does not try it again by itself."""
        self._failing.discard((bucket, key))

    def status(self, bucket: str, version: Any) -> Status | None:
        """What S3 says of that version (moto's key)."""
        return self._statuses.get((bucket, str(version.version_id)))

    def again(self, backend: Any, bucket: str, version: Any) -> bool:
        """Replicate that version whatever its status is, as a batch job does; False where no rule covers it."""
        rule = _rule_for(backend.get_bucket_replication(bucket), version)
        if rule is not None:
            self._wait(_Change(backend, bucket, version, rule, tags_only=False, due=time.monotonic() + self._delay))
        return rule is not None

    def _telling(self, original: property) -> property:
        def told(version: Any) -> dict[str, Any]:
            headers: dict[str, Any] = original.fget(version)  # type: ignore[misc]
            status = self.status(version.bucket_name, version)
            return headers if status is None else headers | {_STATUS: status.value}

        return property(told)

    def _after_put(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def put(backend: Any, bucket_name: str, *args: Any, **kwargs: Any) -> Any:
            version = original(backend, bucket_name, *args, **kwargs)
            self._note(backend, bucket_name, version, tags_only=False)
            return version

        return put

    def _after_tagging(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def tag(backend: Any, key: Any, tags: Any) -> Any:
            tagged = original(backend, key, tags)
            self._note(backend, key.bucket_name, key, tags_only=True)
            return tagged

        return tag

    def _note(self, backend: Any, bucket: str, version: Any, *, tags_only: bool) -> None:
        rule = _rule_for(backend.get_bucket_replication(bucket), version)
        replica = self.status(bucket, version) is Status.REPLICA
        if rule is None or (replica and not _enabled(rule, "ReplicaModifications")):
            return
        self._wait(_Change(backend, bucket, version, rule, tags_only, due=time.monotonic() + self._delay))

    def _wait(self, change: _Change) -> None:
        with self._changed:
            self._say(change, Status.PENDING)
            self._waiting.append(change)
            self._changed.notify_all()

    def _say(self, change: _Change, status: Status) -> None:
        """A replica stays one, whatever becomes of its later changes."""
        key = change.bucket, str(change.version.version_id)
        if self._statuses.get(key) is not Status.REPLICA:
            self._statuses[key] = status

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait(_LOOK_SECONDS if self._waiting else None)
                if self._stopped:
                    return
                now = time.monotonic()
                arriving = [change for change in self._waiting if change.due <= now and self._open(change)]
            for change in arriving:
                self._end(change)
            with self._changed:
                self._waiting = [change for change in self._waiting if change not in arriving]

    def _end(self, change: _Change) -> None:
        if (change.bucket, change.version.name) in self._failing:
            self._say(change, Status.FAILED)
        else:
            self._arrive(change)
            self._say(change, Status.COMPLETED)

    def _open(self, change: _Change) -> bool:
        """A change waits until its destination exists and can be reached from the Region of its source."""
        if change.bucket in self._paused:
            return False
        destination = change.backend.buckets.get(_destination(change.rule))
        if destination is None or not destination.is_versioned:
            return False
        source = change.backend.get_bucket(change.bucket)
        here, there = vantage_in(source.region_name), place_of(destination.region_name)
        return self._network.state(here, there) is Path.OPEN

    def _arrive(self, change: _Change) -> None:
        bucket = change.backend.get_bucket(_destination(change.rule))
        versions = bucket.keys.getlist(change.version.name, [])
        arrived = next((v for v in versions if v.version_id == change.version.version_id), None)
        if arrived is None and not change.tags_only:
            arrived = self._copy(change, bucket)
        if isinstance(arrived, FakeKey):
            tags = change.backend.get_object_tagging(change.version)["Tags"]
            self._tag(change.backend, arrived, {tag["Key"]: tag["Value"] for tag in tags})

    def _copy(self, change: _Change, bucket: Any) -> Any:
        source = change.version
        if isinstance(source, FakeDeleteMarker):
            made: Any = copy.copy(source)
        else:
            key = (change.rule["Destination"].get("EncryptionConfiguration") or {}).get("ReplicaKmsKeyID")
            made = self._put(
                change.backend,
                bucket.name,
                source.name,
                source.value,
                etag=source.etag.strip('"'),
                encryption=source.encryption,
                kms_key_id=key,
                disable_notification=True,
            )
            made.set_metadata(source.metadata)
            # The version has the same name and age in both buckets.
            made._version_id, made.last_modified = source.version_id, source.last_modified
        others = [v for v in bucket.keys.getlist(source.name, []) if v is not made]
        bucket.keys.setlist(source.name, sorted([*others, made], key=lambda v: v.last_modified))
        self._statuses[bucket.name, str(made.version_id)] = Status.REPLICA
        return made


def _rule_for(configuration: Mapping[str, Any] | None, version: Any) -> Mapping[str, Any] | None:
    """The rule of highest priority that covers this version."""
    rules = (configuration or {}).get("Rule", [])
    for rule in sorted(rules, key=lambda rule: -int(rule["Priority"])):
        if rule["Status"] == "Enabled" and version.name.startswith(_prefix(rule)):
            return rule if _covers(rule, version) else None
    return None


def _covers(rule: Mapping[str, Any], version: Any) -> bool:
    if isinstance(version, FakeDeleteMarker):
        return _status(rule.get("DeleteMarkerReplication"))
    return version.encryption != "aws:kms" or _enabled(rule, "SseKmsEncryptedObjects")


def _prefix(rule: Mapping[str, Any]) -> str:
    own = rule.get("Filter") or {}
    return str(own.get("Prefix") or rule.get("Prefix") or "")


def _enabled(rule: Mapping[str, Any], criterion: str) -> bool:
    return _status((rule.get("SourceSelectionCriteria") or {}).get(criterion))


def _status(setting: Mapping[str, Any] | None) -> bool:
    return (setting or {}).get("Status") == "Enabled"


def _destination(rule: Mapping[str, Any]) -> str:
    return str(rule["Destination"]["Bucket"]).rpartition(":")[2]


def _shown(original: Callable[..., Any]) -> Callable[..., Any]:
    """GetBucketReplication's answer: the rules as they were put."""

    def show(response: Any) -> Any:
        kept = response.backend.get_bucket_replication(response.bucket_name)
        if not kept:
            return original(response)
        response.data["Action"] = "GetBucketReplication"
        rules = [
            {**rule, "Filter": _shown_filter(rule["Filter"])} if "Filter" in rule else rule for rule in kept["Rule"]
        ]
        return response.serialized(ActionResult({"ReplicationConfiguration": {"Role": kept["Role"], "Rules": rules}}))

    return show


def _shown_filter(kept: Mapping[str, Any] | None) -> dict[str, str]:
    """An empty prefix, of which XML leaves nothing, is one."""
    return {"Prefix": str((kept or {}).get("Prefix") or "")}
