"""Secret, release and replication of both Regions, for readiness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relight import metrics, release
from relight.readiness_facts import Backlog, NotSeen, ReplicationRule, Secret, StorageFacts, known

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relight.inquiry import Inquiry
    from relight.settings import ReadinessSettings

NO_SECRET = ("ResourceNotFoundException",)
NO_RULES = ("ReplicationConfigurationNotFoundError", "NoSuchBucket")
PENDING = {"operations": "OperationsPendingReplication", "seconds": "ReplicationLatency"}


def send(
    ask: Inquiry, s: ReadinessSettings, own: Mapping[str, Any], peer: Mapping[str, Any], now: float
) -> Callable[[], StorageFacts]:
    """Ask both Regions; what comes back collects the answers."""
    secret = ask.seek(lambda: described(own["secretsmanager"], s.database_secret), *NO_SECRET)
    peer_secret = ask.seek(lambda: described(peer["secretsmanager"], s.database_secret), *NO_SECRET)
    mine = ask.send(lambda: released(own["s3"], s.bucket, s.release_key))
    theirs = ask.send(lambda: released(peer["s3"], s.peer_bucket, s.release_key))
    rules = ask.seek(lambda: ruled(own["s3"], s.bucket), *NO_RULES)
    peer_rules = ask.seek(lambda: ruled(peer["s3"], s.peer_bucket), *NO_RULES)
    backlog = ask.send(lambda: waiting(own["cloudwatch"], s, known(peer_rules.result()), now))
    return lambda: StorageFacts(
        secret_name=s.database_secret,
        secret=ask.told(secret),
        peer_secret=ask.told(peer_secret),
        bucket=s.bucket,
        peer_bucket=s.peer_bucket,
        release_key=s.release_key,
        release=ask.told(mine),
        peer_release=ask.told(theirs),
        rules=ask.told(rules),
        peer_rules=ask.told(peer_rules),
        backlog=ask.told(backlog),
    )


def described(secrets: Any, name: str | None) -> Secret:
    """A secret as it is described: its value is neither asked for nor needed."""
    if name is None:
        raise NotSeen("no secret is known to Relight")
    found = secrets.describe_secret(SecretId=name)
    versions = found.get("VersionIdsToStages", {})
    current = next((version for version, stages in versions.items() if "AWSCURRENT" in stages), None)
    changed = found.get("LastChangedDate")
    return Secret(current, None if changed is None else changed.timestamp(), found.get("DeletedDate") is not None)


def released(s3: Any, bucket: str | None, key: str | None) -> release.Release | None:
    """The release in a bucket; None where S3 answers that there is none."""
    if bucket is None or key is None:
        raise NotSeen("no release is known to Relight")
    return release.look(s3, bucket, key)


def ruled(s3: Any, bucket: str | None) -> tuple[ReplicationRule, ...]:
    """The rules by which a bucket replicates."""
    if bucket is None:
        raise NotSeen("no bucket is known to Relight")
    found = s3.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]["Rules"]
    return tuple(
        ReplicationRule(
            name=rule.get("ID", ""),
            enabled=rule["Status"] == "Enabled",
            destination=rule["Destination"]["Bucket"].rpartition(":")[2],
            measured=rule["Destination"].get("Metrics", {}).get("Status") == "Enabled",
        )
        for rule in found
    )


def waiting(
    cloudwatch: Any, s: ReadinessSettings, rules: tuple[ReplicationRule, ...] | None, now: float
) -> Backlog | None:
    """What is on its way here. S3 publishes that in the destination's Region, so the other one need not answer twice.

    None where no rule is measured, which costs extra, or where there are no figures yet.
    """
    rule = next((rule for rule in rules or () if rule.enabled and rule.measured and rule.destination == s.bucket), None)
    if rule is None or s.peer_bucket is None:
        return None
    where = {"SourceBucket": s.peer_bucket, "DestinationBucket": rule.destination, "RuleId": rule.name}
    queries = [metrics.query(name, "AWS/S3", metric, where, 60, "Maximum") for name, metric in PENDING.items()]
    found = metrics.ask(cloudwatch, queries, now, metrics.RECENT_SECONDS)
    newest = {name: found[name][0][1] for name in PENDING if found.get(name)}
    return Backlog(newest.get("operations", 0.0), newest.get("seconds", 0.0)) if newest else None
