"""What the instances of this Region would start with: secret, release, objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relight.moment import lasting
from relight.readiness_check import Area, Row, fails, passes, warns
from relight.readiness_facts import Unseen, known

if TYPE_CHECKING:
    from relight.readiness_check import Judgement
    from relight.readiness_facts import ReadinessFacts, ReplicationRule
    from relight.release import Release

# Secrets Manager and S3 replicate within seconds and minutes; a change of that age may still be on its way.
ON_ITS_WAY_SECONDS = 900.0
# S3's own promise with Replication Time Control.
BEHIND_SECONDS = 900.0
FAR_BEHIND_SECONDS = 3600.0


def _secret(facts: ReadinessFacts, now: float) -> Judgement:
    name = facts.storage.secret_name
    if name is None:
        return passes("no secret of the application is known to Relight")
    here = known(facts.storage.secret)
    if here is None or here.deleted:
        return fails(f"{facts.here} has no secret {name}, or it is to be deleted")
    there = known(facts.storage.peer_secret)
    if there is None:
        return warns(f"{facts.peer} has no secret {name} to compare this Region's with")
    if here.version == there.version and here.version is not None:
        return passes(f"the secret {name} is the same in both Regions")
    changed = there.changed_at
    if changed is not None and now - changed < ON_ITS_WAY_SECONDS:
        return warns(f"the secret {name} was changed in {facts.peer} {lasting(now - changed)} ago, and has not arrived")
    return fails(f"the secret {name} is another one here than in {facts.peer}")


def _release(facts: ReadinessFacts, now: float) -> Judgement:
    s = facts.storage
    if s.release_key is None or s.bucket is None:
        return passes("no release is known to Relight: the instances bring theirs")
    here = known(s.release)
    if here is None:
        return fails(f"there is no s3://{s.bucket}/{s.release_key}: instances would have nothing to run")
    there, how = _other_release(facts)
    if there is None:
        return warns(f"{facts.peer} has no {s.release_key} to compare this Region's with")
    if here.same(there):
        return passes(f"{s.release_key} is the same in both Regions{how}")
    # Each Region's bucket replicates to the other's: as long as one of them waits, nobody knows which will be the last.
    if pending := [region for region, one in ((facts.peer, there), (facts.here, here)) if one.replication == "PENDING"]:
        return warns(f"{s.release_key} of {' and of '.join(pending)} is still on its way, and another one is here")
    return fails(f"{s.release_key} is another one here than in {facts.peer}{how}")


def _other_release(facts: ReadinessFacts) -> tuple[Release | None, str]:
    """The other Region's release, or what was kept of it where that Region does not say; NotSeen without either."""
    there, kept = facts.storage.peer_release, facts.ledger.release
    if isinstance(there, Unseen) and kept is not None and not isinstance(kept, Unseen):
        return kept, ", as it was kept"
    return known(there), ""


def _replication(facts: ReadinessFacts, now: float) -> Judgement:
    s = facts.storage
    if s.bucket is None or s.peer_bucket is None:
        return passes("no buckets are known to Relight")
    ours = _leads(known(s.rules), s.peer_bucket)
    if not ours:
        return warns(f"{s.bucket} does not replicate to {s.peer_bucket}: the way home would lack its objects")
    if not _leads(known(s.peer_rules), s.bucket):
        return fails(f"{s.peer_bucket} does not replicate to {s.bucket}")
    return passes("each Region's bucket replicates to the other's")


def _leads(rules: tuple[ReplicationRule, ...] | None, bucket: str) -> bool:
    return any(rule.enabled and rule.destination == bucket for rule in rules or ())


def _backlog(facts: ReadinessFacts, now: float) -> Judgement:
    s = facts.storage
    if s.bucket is None or s.peer_bucket is None:
        return passes("no buckets are known to Relight")
    there = s.peer_release
    if there is not None and not isinstance(there, Unseen) and there.replication == "FAILED":
        return fails(f"S3 gave up on replicating {there.key}")
    backlog = known(s.backlog)
    if backlog is None:
        return _by_sample(facts)
    said = f"{backlog.operations:g} objects are on their way here, {lasting(backlog.seconds)} behind at most"
    if backlog.seconds > FAR_BEHIND_SECONDS:
        return fails(said)
    return warns(said) if backlog.seconds > BEHIND_SECONDS else passes(said)


def _by_sample(facts: ReadinessFacts) -> Judgement:
    """Without S3's metrics, which cost extra, the release is the sample."""
    said = "S3 publishes no figures of this replication (ReplicationTimeControl), so only the release was looked at"
    there = facts.storage.peer_release
    if facts.storage.release_key is None or there is None:
        return passes("S3 publishes no figures of this replication, and there is no release to tell by")
    release = known(there)
    if release.replication == "PENDING":
        return warns(f"{said}: {release.key} is still on its way")
    return passes(f"{said}: {release.key} is not waiting")


ROWS = (
    Row(
        "secret",
        Area.STORAGE,
        _secret,
        "The application's secret has the same current version in both Regions. Its value is never read.",
        "It was changed in the last 15 minutes and has not arrived, or the other Region has none.",
        "It is missing here, to be deleted, or another one than in the primary.",
        "Look at the replication status of the secret in the primary, and replicate it again.",
    ),
    Row(
        "release",
        Area.STORAGE,
        _release,
        "The release in this Region's bucket is the primary's; while that is silent, the last one that it served.",
        "One is on its way, whichever Region it was put into, or the primary has none.",
        "It is missing here, or another one than the primary's.",
        "Look at the replication status of the object in the primary's bucket, or upload it to both.",
    ),
    Row(
        "replication",
        Area.STORAGE,
        _replication,
        "Each Region's bucket replicates to the other's.",
        "This Region's bucket does not replicate to the other's.",
        "The other Region's bucket does not replicate to this one's.",
        "Deploy both stacks with PeerReady true.",
    ),
    Row(
        "backlog",
        Area.STORAGE,
        _backlog,
        "What is on its way here is less than 15 minutes behind. Without S3's metrics only the release is looked at, "
        "and has come.",
        "It is more than 15 minutes behind, or the release is on its way.",
        "It is more than an hour behind, or S3 gave up on the release.",
        "Look at the replication metrics of the primary's bucket; what S3 gave up on, S3 Batch Replication repeats.",
    ),
)
