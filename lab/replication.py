"""S3's replication between buckets: what is put into a bucket whose rule says so arrives in the other one, a little
later, and only over an open path between the two Regions.

moto keeps a bucket's rules, shows few of their settings and copies nothing; here they are shown as they were put, and
followed: prefixes, delete markers, objects that KMS encrypts, later changes of tags. A copy starts no other copy, so
that two buckets may replicate to each other. Replication Time Control, metrics, the replication status of an object
and filters by tag are not imitated, and a version that is deleted for good stays in the other bucket, as on AWS.
"""

import copy
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from moto.core.responses import ActionResult
from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, S3Backend
from moto.s3.responses import S3Response

from lab.network import Network, Path
from lab.region import place_of, vantage_in
from lab.seam import Seams, require

require(FakeBucket, "is_versioned", "arn")
require(FakeKey, "set_metadata", "version_id")
require(S3Backend, "get_bucket", "get_bucket_replication", "get_object_tagging")

_LOOK_SECONDS = 0.1


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
        self._replicas: set[tuple[str, str]] = set()
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
        if rule is None or (
            (bucket, version.version_id) in self._replicas and not _enabled(rule, "ReplicaModifications")
        ):
            return
        with self._changed:
            due = time.monotonic() + self._delay
            self._waiting.append(_Change(backend, bucket, version, rule, tags_only, due))
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait(_LOOK_SECONDS if self._waiting else None)
                if self._stopped:
                    return
                now = time.monotonic()
                arriving = [change for change in self._waiting if change.due <= now and self._open(change)]
            for change in arriving:
                self._arrive(change)
            with self._changed:
                self._waiting = [change for change in self._waiting if change not in arriving]

    def _open(self, change: _Change) -> bool:
        """A change waits until its destination exists and can be reached from the Region of its source."""
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
        self._replicas.add((bucket.name, made.version_id))
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
