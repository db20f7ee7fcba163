"""What a drill would do, what refuses it, and about what it costs. Pure; times are epoch seconds, sizes GiB.

A drill copies a database and serves from the copy. So it is refused wherever that could be in the way of a failover, or
of the primary: the first rule that matches says why, and nothing has been touched then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from relight import estimate
from relight.drill import TAG, Kind
from relight.errors import BackupNotFound, DrillRefused, DrillTooLarge, PeerUnreachable
from relight.facts import ENGINE
from relight.head import State
from relight.moment import lasting, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from relight.errors import RelightError
    from relight.head import Head

APPLICATION_TAG = "relight:application"
# What lives for a drill, or was kept by a way home, is no backup of what serves.
_APART = re.compile(r"-(drill|retired)-\d+")
# Of an automated backup whose instance is gone, or is replicated here no longer: it grows no further.
_STILL = frozenset({"retained", "creating"})

# Assumed, not measured: CloudFormation's balancer and an instance that boots; RDS's promotion; all of it deleted.
SITE_MINUTES = 10.0
PROMOTION_MINUTES = 10.0
TEARDOWN_MINUTES = 15.0
# List prices of eu-central-1 in USD, as cli/relight_cli/prices.toml has them with date and source; other Regions differ
# by some percent. Of a class that is not here nothing is claimed.
DATABASE_HOUR = {"db.t4g.micro": 0.019, "db.t4g.small": 0.037, "db.t4g.medium": 0.0745}
INSTANCE_HOUR = {"t4g.small": 0.0192}
BALANCER_HOUR = 0.027 + 2 * 0.005  # and its two public addresses
STORAGE_GIB_HOUR = 0.137 / 730
SNAPSHOT_GIB_HOUR = 0.103 / 730
TRANSFER_GIB = 0.02


class Origin(StrEnum):
    """What a throwaway database is made from, in the order in which a `restore` takes them; the last is a `promote`'s.

    The first two lie in this Region, so that they serve with the primary lost; the other two are read from there.
    """

    BACKUP = "replicated-backup"
    SNAPSHOT = "snapshot"
    COPY = "copied-snapshot"
    REPLICA = "replica"


@dataclass(frozen=True)
class Source:
    """Where the data come from. `at` is the moment that they are of; None where they are as fresh as the primary's."""

    origin: Origin
    name: str  # an ARN; of a snapshot of this Region its identifier
    gib: int
    at: float | None = None
    encrypted: bool = False

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Source:
        """As `to_dict` gave it."""
        return cls(**{**given, "origin": Origin(given["origin"])})

    def to_dict(self) -> dict[str, Any]:
        """JSON."""
        return {**vars(self), "origin": self.origin.value}

    @property
    def crosses(self) -> bool:
        """Whether the data come from the other Region now."""
        return self.origin in {Origin.COPY, Origin.REPLICA}

    def told(self) -> str:
        """In sentences."""
        of = f" of {told(self.at)}" if self.at is not None else ""
        return {
            Origin.BACKUP: f"the replicated backup {self.name}{of}",
            Origin.SNAPSHOT: f"the snapshot {self.name}{of}",
            Origin.COPY: f"a copy of the other Region's snapshot {self.name}{of}",
            Origin.REPLICA: f"{self.name}, by replication",
        }[self.origin]


def _seconds(at: datetime | None) -> float:
    return 0.0 if at is None else at.timestamp()


def _newest(sources: Iterable[Source]) -> Source | None:
    return max(sources, key=lambda source: source.at or 0.0, default=None)


def replicated_backup(backups: Iterable[Mapping[str, Any]], peer_region: str, peer_id: str) -> Source | None:
    """The automated backup of the peer's database that RDS keeps in this Region; None where there is none to restore.

    As DescribeDBInstanceAutomatedBackups tells them.
    """
    return _newest(
        Source(
            Origin.BACKUP,
            backup["DBInstanceAutomatedBackupsArn"],
            int(backup.get("AllocatedStorage", 0)),
            _seconds(backup["RestoreWindow"]["LatestTime"]),
            bool(backup.get("Encrypted")),
        )
        for backup in backups
        if backup.get("Region") == peer_region
        and backup.get("DBInstanceIdentifier") == peer_id
        and backup.get("Status") not in _STILL
        and backup.get("RestoreWindow", {}).get("LatestTime") is not None
    )


def _snapshot(found: Mapping[str, Any], origin: Origin) -> Source:
    name = found["DBSnapshotIdentifier" if origin is Origin.SNAPSHOT else "DBSnapshotArn"]
    # A copy is as old as what it was copied from.
    taken = found.get("OriginalSnapshotCreateTime") or found.get("SnapshotCreateTime")
    return Source(origin, name, int(found.get("AllocatedStorage", 0)), _seconds(taken), bool(found.get("Encrypted")))


def _usable(snapshot: Mapping[str, Any]) -> bool:
    names = f"{snapshot['DBSnapshotIdentifier']} {snapshot.get('DBInstanceIdentifier', '')}"
    return (
        snapshot.get("Status") == "available"
        and snapshot.get("Engine", ENGINE) == ENGINE
        and TAG not in tags_of(snapshot)
        and not any(_APART.search(name) for name in names.split())
    )


def local_snapshot(snapshots: Iterable[Mapping[str, Any]], application: str) -> Source | None:
    """The newest snapshot of this Region that is tagged as the application's, and no drill's and no retired one's."""
    return _newest(
        _snapshot(found, Origin.SNAPSHOT)
        for found in snapshots
        if _usable(found) and tags_of(found).get(APPLICATION_TAG) == application
    )


def peer_snapshot(snapshots: Iterable[Mapping[str, Any]]) -> Source | None:
    """The newest of the snapshots of the peer's database, automated or not."""
    return _newest(_snapshot(found, Origin.COPY) for found in snapshots if _usable(found))


def tags_of(found: Mapping[str, Any]) -> dict[str, str]:
    """The tags of anything that RDS (`TagList`) or EC2, CloudFormation (`Tags`) describes."""
    tags = found.get("TagList", found.get("Tags", []))
    return {tag["Key"]: tag["Value"] for tag in tags}


def tags(run_id: str, application: str, name: str) -> list[dict[str, str]]:
    """What everything of a drill carries: teardown deletes nothing without the first two."""
    pairs = {TAG: run_id, APPLICATION_TAG: application, "Name": name}
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


# How RDS is asked for it.


@dataclass(frozen=True)
class Place:
    """Where a throwaway database is put: a network, whoever is let in, and the key of this Region."""

    subnet_group: str | None
    security_group: str | None
    key: str | None


def creation(
    source: Source, standby: Mapping[str, Any], place: Place, name: str, tagged: list[dict[str, str]]
) -> dict[str, Any]:
    """The parameters of the call that makes it: of the standby's class, in one zone, without backups and protection.

    Of RestoreDBInstanceToPointInTime, RestoreDBInstanceFromDBSnapshot or CreateDBInstanceReadReplica, as `source` is.
    Where no network is given it is the standby's own.
    """
    groups = [place.security_group] if place.security_group else _groups(standby)
    wanted: dict[str, Any] = {
        "DBInstanceClass": standby["DBInstanceClass"],
        "DBSubnetGroupName": place.subnet_group or standby["DBSubnetGroup"]["DBSubnetGroupName"],
        "VpcSecurityGroupIds": groups,
        "MultiAZ": False,
        "PubliclyAccessible": False,
        "DeletionProtection": False,
        "AutoMinorVersionUpgrade": False,
        "CopyTagsToSnapshot": False,
        "EnableIAMDatabaseAuthentication": True,  # `dbcheck` signs in by it
        "Tags": tagged,
    }
    if source.origin is Origin.REPLICA:
        key = {"KmsKeyId": place.key} if source.encrypted and place.key else {}
        region = source.name.split(":")[3]
        given = {"DBInstanceIdentifier": name, "SourceDBInstanceIdentifier": source.name, "SourceRegion": region}
        return wanted | key | given
    wanted |= {"BackupRetentionPeriod": 0} | _parameters(standby)
    if source.origin is Origin.BACKUP:
        return wanted | {
            "TargetDBInstanceIdentifier": name,
            "SourceDBInstanceAutomatedBackupsArn": source.name,
            "UseLatestRestorableTime": True,
        }
    snapshot = name if source.origin is Origin.COPY else source.name
    return wanted | {"DBInstanceIdentifier": name, "DBSnapshotIdentifier": snapshot}


def copying(source: Source, place: Place, name: str, tagged: list[dict[str, str]]) -> dict[str, Any]:
    """The parameters of CopyDBSnapshot, asked in this Region."""
    key = {"KmsKeyId": place.key} if source.encrypted and place.key else {}
    region = source.name.split(":")[3]
    given = {"SourceDBSnapshotIdentifier": source.name, "TargetDBSnapshotIdentifier": name, "SourceRegion": region}
    return given | key | {"CopyTags": False, "Tags": tagged}


def _groups(standby: Mapping[str, Any]) -> list[str]:
    return sorted(group["VpcSecurityGroupId"] for group in standby.get("VpcSecurityGroups", []))


def _parameters(standby: Mapping[str, Any]) -> dict[str, str]:
    """The parameter group of the standby, unless it is RDS's own: that one RDS finds without being told."""
    own = (group["DBParameterGroupName"] for group in standby.get("DBParameterGroups", []))
    given = next((name for name in own if not name.startswith("default.")), None)
    return {"DBParameterGroupName": given} if given else {}


# Whether it may begin.


@dataclass(frozen=True)
class Quota:
    """A limit of the account in this Region: what is used of it, what the drill (and a failover beside it) takes."""

    name: str
    used: float
    needed: float
    limit: float

    @property
    def short(self) -> bool:
        """Whether it does not suffice."""
        return self.used + self.needed > self.limit


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was found before a drill. What could not be seen is None, or named in `unseen`."""

    kind: Kind
    here: str
    peer: str
    head: Head
    peer_head: Head | None
    replica_id: str
    standby: Mapping[str, Any] | None  # as DescribeDBInstances tells it
    follows: bool  # the standby replicates from the peer's database
    source: Source | None
    peer_silent: str | None  # why the other Region's RDS did not answer, where it was asked
    primary_status: str | None = None  # of the peer's database, where it was asked
    primary_backups: int | None = None  # days of retention; RDS replicates nothing from an instance without
    key_known: bool = True
    left_over: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    quotas: tuple[Quota, ...] = ()
    down: tuple[str, ...] = ()  # the fresh views of the active Region that say DOWN
    failover_instances: int = 0  # that a failover brings up, as far as they are known
    readiness: Mapping[str, Any] | None = None  # the last look of `readiness`, as the ledger keeps it
    max_gib: int = 0
    max_usd: float = 0.0
    drill_seconds: float = 0.0
    site: str | None = None  # why there will be no site of its own; None where there will
    instances: int = 0
    instance_type: str | None = None
    keep_minutes: int = 0
    notes: tuple[str, ...] = field(default=())  # what could not be looked at, and refuses nothing

    @property
    def rehearses(self) -> Kind:
        """A `plan` is the plan of what a drill does by default."""
        return Kind.RESTORE if self.kind is Kind.PLAN else self.kind

    @property
    def copies(self) -> bool:
        """Whether it makes a database of its own."""
        return self.rehearses in {Kind.RESTORE, Kind.PROMOTE}

    @property
    def needs_peer(self) -> bool:
        """Whether it cannot do without the other Region; a restore can, with a backup here."""
        return self.rehearses is not Kind.RESTORE or self.source is None


@dataclass(frozen=True)
class Rule:
    """A reason not to begin: when, the error, and its sentence."""

    error: type[RelightError]
    when: Callable[[Facts], bool]
    because: Callable[[Facts], str]


def _half_done(head: Head | None) -> bool:
    return head is not None and (head.door_opened or head.quiesce is not None or head.state is State.PROMOTING)


RULES: tuple[Rule, ...] = (
    # What is at stake comes first.
    Rule(
        DrillRefused,
        lambda f: f.head.active == f.here,
        lambda f: f"{f.here} is active: drills run in the standby, {f.peer}",
    ),
    Rule(
        DrillRefused,
        lambda f: _half_done(f.head),
        lambda f: f"a run that activates {f.here} was begun and not brought to its end: that comes first",
    ),
    Rule(
        DrillRefused,
        lambda f: _half_done(f.peer_head),
        lambda f: f"a run that activates {f.peer} is under way, or was not brought to its end: that comes first",
    ),
    # Where the active Region may be lost, whatever is used here is missed.
    Rule(
        DrillRefused,
        lambda f: bool(f.down),
        lambda f: f"{f.peer} is seen to be down ({', '.join(f.down)}): this is no time to practise",
    ),
    Rule(
        PeerUnreachable,
        lambda f: f.peer_head is None,
        lambda f: f"the ledger of {f.peer} does not answer: whether it is being lost is not known",
    ),
    # Then what is here.
    Rule(
        DrillRefused,
        lambda f: bool(f.left_over),
        lambda f: (
            f"an earlier drill has left something over: {', '.join(f.left_over)}; the sweep removes it within the "
            f'hour, or at once: invoke the function drill with {{"intent": "sweep"}}'
        ),
    ),
    Rule(
        DrillRefused,
        lambda f: bool(f.unseen),
        lambda f: f"whether an earlier drill has left something over could not be seen: {', '.join(f.unseen)}",
    ),
    Rule(
        DrillRefused,
        lambda f: f.standby is None,
        lambda f: f"no database instance is called {f.replica_id} in {f.here}: there is no standby to practise with",
    ),
    Rule(
        DrillRefused,
        lambda f: not f.follows,
        lambda f: f"{f.replica_id} is no replica of {f.peer}'s database: rebuild the standby before you practise",
    ),
    # Then what the kind needs.
    Rule(
        PeerUnreachable,
        lambda f: f.needs_peer and f.peer_silent is not None,
        lambda f: f"{f.peer} does not answer, and a drill of the kind {f.rehearses} needs it: {f.peer_silent}",
    ),
    Rule(
        BackupNotFound,
        lambda f: f.rehearses is Kind.RESTORE and f.source is None,
        lambda f: (
            f"there is neither a replicated backup nor a snapshot of the application in {f.here}, nor a snapshot of "
            f"the database in {f.peer}: a restore has nothing to begin with"
        ),
    ),
    Rule(
        DrillRefused,
        lambda f: f.rehearses is not Kind.RESTORE and f.primary_status != "available",
        lambda f: f"the database in {f.peer} is {f.primary_status or 'not found'}: RDS copies what is available",
    ),
    Rule(
        DrillRefused,
        lambda f: f.rehearses is Kind.PROMOTE and not f.primary_backups,
        lambda f: f"the database in {f.peer} has no automated backups, and RDS replicates only from what has",
    ),
    Rule(
        DrillTooLarge,
        lambda f: f.copies and f.source is not None and f.source.gib > f.max_gib,
        lambda f: (
            f"the database has {f.source.gib if f.source else 0} GiB, and a drill copies {f.max_gib} at most "
            f"(parameter DrillMaxGib)"
        ),
    ),
    Rule(
        DrillTooLarge,
        lambda f: (until_proven(f) or 0.0) * 60 > f.drill_seconds,
        lambda f: (
            f"it would take about {lasting((until_proven(f) or 0.0) * 60)} until its write, and may take "
            f"{lasting(f.drill_seconds)} (parameter DrillSeconds)"
        ),
    ),
    Rule(
        DrillTooLarge,
        lambda f: (cost(f) or 0.0) > f.max_usd,
        lambda f: f"it would cost about {cost(f)} USD, and may cost {f.max_usd:g} (parameter DrillMaxUsd)",
    ),
    Rule(
        DrillRefused,
        lambda f: f.copies and f.source is not None and f.source.crosses and f.source.encrypted and not f.key_known,
        lambda f: f"the database in {f.peer} is encrypted, and no key of {f.here} is known for a copy (DATA_KEY_ARN)",
    ),
    Rule(
        DrillRefused,
        lambda f: any(quota.short for quota in f.quotas),
        lambda f: "the quota does not suffice: " + "; ".join(_short(quota) for quota in f.quotas if quota.short),
    ),
)


def _short(quota: Quota) -> str:
    return f"{quota.name}: {quota.used:g} of {quota.limit:g} are in use, {quota.needed:g} are needed"


def refusal(facts: Facts) -> RelightError | None:
    """Why a drill may not begin; None where it may."""
    return next((rule.error(rule.because(facts)) for rule in RULES if rule.when(facts)), None)


# What it would do.


def looked(readiness: Mapping[str, Any] | None, now: float) -> tuple[str, list[str]]:
    """What the last look of `readiness` said, in half a sentence, and the checks that did not pass, a line each."""
    if readiness is None or not readiness.get("on_duty", True):
        return "no look at its readiness is known", []
    failing = [check for check in readiness["checks"] if check["level"] != "PASS"]
    passed = len(readiness["checks"]) - len(failing)
    said = (
        f"{lasting(max(0.0, now - readiness['at']))} ago its readiness was {readiness['score']} of 100, "
        f"{passed} of {len(readiness['checks'])} checks passed"
    )
    return said, [f"{check['level']} {check['name']}: {check['sentence']}" for check in failing]


def would(facts: Facts) -> list[str]:
    """What it would do, in sentences, in the order in which it does it; of a `plan` what a failover would do, first."""
    if facts.kind is Kind.PLAN:
        many = f"{facts.failover_instances} instance{'' if facts.failover_instances == 1 else 's'}"
        first = f"a failover now would promote {facts.replica_id}, and bring up {many} in {facts.here}"
        return [first, *_rehearsal(facts)]
    return _rehearsal(facts)


def _rehearsal(facts: Facts) -> list[str]:
    if facts.rehearses is Kind.GAMEDAY:
        return [
            f"a failover to {facts.here} in planned mode: writes stop first, and none is lost",
            f"after a person has approved, the way home to {facts.peer}",
            *facts.notes,
        ]
    source, name = facts.source, f"{facts.replica_id}-drill-<epoch>"
    if source is None:
        return list(facts.notes)
    how = "follows" if source.origin is Origin.REPLICA else "is restored from"
    age = f"; data newer than that would be lost with {facts.peer} and its replica" if source.at is not None else ""
    said = [f"{name}, in one zone and without backups, {how} {source.told()}{age}"]
    if source.origin is Origin.REPLICA:
        said.append(f"for it RDS takes a snapshot of {facts.peer}'s database, and keeps a slot there until its end")
        said.append(f"{name} is promoted, and the time to its first write is taken; {facts.replica_id} stays as it is")
    if facts.site is None:
        kind = f" of {facts.instance_type}" if facts.instance_type else ""
        many = f"{facts.instances} instance{'' if facts.instances == 1 else 's'}{kind}"
        said.append(f"a balancer of its own serves from it, with {many} behind it: an order is written")
    else:
        said.append(f"no site is made, because {facts.site}: a write is proven at the database")
    kept = f"after {lasting(facts.keep_minutes * 60)}, " if facts.keep_minutes else ""
    return [*said, f"{kept}all of it is deleted", *facts.notes]


def minutes(facts: Facts) -> float | None:
    """About how long it takes, to the end of its teardown; None where nothing is known of that."""
    proven = until_proven(facts)
    return None if proven is None else round(proven + facts.keep_minutes + TEARDOWN_MINUTES, 1)


def until_proven(facts: Facts) -> float | None:
    """About how many minutes it takes until its write is proven; None where nothing is known of that."""
    source = facts.source
    if source is None or not facts.copies:
        return None
    # A restore within the Region gets its blocks when they are first read: it does not grow with the size.
    copied = estimate.AT_LEAST_SECONDS + (source.gib / estimate.GIB_PER_MINUTE * 60 if source.crosses else 0)
    site = SITE_MINUTES if facts.site is None else 0.0
    promotion = PROMOTION_MINUTES if source.origin is Origin.REPLICA else 0.0
    return copied / 60 + site + promotion


def cost(facts: Facts) -> float | None:
    """About what it costs in USD; None where the price of a class is not known here."""
    lasts, source = minutes(facts), facts.source
    if lasts is None or source is None or facts.standby is None:
        return None
    database, site = DATABASE_HOUR.get(str(facts.standby.get("DBInstanceClass"))), _site_hour(facts)
    if database is None or site is None:
        return None
    hours, gib = lasts / 60, source.gib
    rate = database + site + gib * STORAGE_GIB_HOUR
    rate += gib * SNAPSHOT_GIB_HOUR if source.origin is Origin.COPY else 0.0
    return round(hours * rate + (gib * TRANSFER_GIB if source.crosses else 0.0), 2)


def _site_hour(facts: Facts) -> float | None:
    if facts.site is not None:
        return 0.0
    instance = INSTANCE_HOUR.get(facts.instance_type or "")
    return None if instance is None else facts.instances * instance + BALANCER_HOUR
