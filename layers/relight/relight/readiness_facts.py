"""Everything that readiness looks at, gathered before it is judged and frozen. Times are epoch seconds.

A fact has three kinds of values: what was found, None where AWS answered that there is no such thing, and `Unseen`
with the reason where nobody could say. Unknown is not down, and not up (rule 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relight.drill import Drill
    from relight.head import Capacity, Head
    from relight.lag import Lag
    from relight.ledger import DatabaseProperties
    from relight.release import Release
    from relight.signal import Signal, View


@dataclass(frozen=True)
class Unseen:
    """What nobody could say, and why, in the words of whoever was asked."""

    why: str


class NotSeen(Exception):
    """A check needs a fact that could not be seen; the message says why."""


type Told[T] = T | Unseen | None


def known[T](told: T | Unseen) -> T:
    """The fact, or that there is none; NotSeen where nobody could say."""
    if isinstance(told, Unseen):
        raise NotSeen(told.why)
    return told


@dataclass(frozen=True)
class LedgerFacts:
    """What both ledgers say."""

    head: Head | Unseen
    peer_head: Head | Unseen
    signals: Mapping[View, Signal] | Unseen
    drills: tuple[Drill, ...] | Unseen
    capacity: Mapping[str, Capacity | None] | Unseen  # of each group that has a counterpart: what that one had
    database: Told[DatabaseProperties]  # of the other Region's database, as it was kept
    release: Told[Release]  # of the other Region, as it was kept
    peer_version: Told[str]  # of the orchestrator there, as it has said itself; None where it has said nothing yet


@dataclass(frozen=True)
class Database:
    """An RDS instance. `max_gib` is 0 where its disk does not grow by itself."""

    identifier: str
    status: str
    source: str | None  # identifier or ARN of what it replicates from
    engine: str
    engine_version: str
    instance_class: str
    gib: int
    max_gib: int
    storage_type: str
    retention_days: int
    backup_window: str | None  # "13:00-13:30", UTC
    deletion_protection: bool
    key: str | None  # the ARN of the KMS key; None where it is not encrypted
    parameter_group: str | None
    parameters_applied: str | None  # as RDS has it: in-sync, pending-reboot, ...


@dataclass(frozen=True)
class Stream:
    """What the database of this Region says of the replication into it; `receiver` is None where there is none."""

    in_recovery: bool
    receiver: str | None
    last_replayed_at: float | None
    heartbeat_at: float | None


@dataclass(frozen=True)
class DatabaseFacts:
    """The databases of both Regions. Parameters are those that somebody has set, by name."""

    here: Told[Database]
    there: Told[Database]
    parameters: Told[Mapping[str, str]]
    peer_parameters: Told[Mapping[str, str]]
    stream: Stream | Unseen
    lag: Told[Lag]  # CloudWatch's
    key_state: Told[str]  # of the replica's KMS key, as KMS has it; None where there is no such key
    busiest_hour: Told[int]  # of the last day, UTC, by the connections to the primary; None without data


@dataclass(frozen=True)
class Launch:
    """What a group launches. `types` in the order in which they are taken; `reservation` is EC2's preference."""

    image: str | None
    types: tuple[str, ...]
    reservation: str | None  # None where the template says nothing: EC2 then takes what is open


@dataclass(frozen=True)
class Group:
    """An Auto Scaling group of this Region."""

    name: str
    minimum: int
    desired: int
    maximum: int
    suspended: tuple[str, ...]
    health_check: str
    zones: tuple[str, ...]
    target_groups: tuple[str, ...]
    launch: Launch | Unseen


@dataclass(frozen=True)
class Image:
    """A machine image; `deprecated_at` None where its owner has set no such time."""

    state: str
    created_at: float | None
    deprecated_at: float | None


@dataclass(frozen=True)
class CapacityFacts:
    """Capacity of this Region. `groups` by the names that are configured; None for one that does not exist."""

    default: int  # instances to bring up where the other Region's capacity was never seen
    deep: bool  # the application's readiness says whether the database takes writes, so that no standby is healthy
    groups: Mapping[str, Group | None] | Unseen
    images: Mapping[str, Image | None] | Unseen
    offered: Mapping[str, frozenset[str]] | Unseen  # by type, the zones that have it
    vcpus: Mapping[str, int] | Unseen  # by type
    running_vcpus: int | Unseen  # of standard families, on demand, beside the groups' own
    quota: Told[float]  # vCPUs of standard families, on demand
    reserved: Mapping[str, int] | Unseen  # by type, free places in open reservations


@dataclass(frozen=True)
class Balancer:
    """The load balancer that this Region's records name."""

    state: str
    target_groups: tuple[str, ...]
    certificates: tuple[str, ...]


@dataclass(frozen=True)
class Certificate:
    """A certificate of ACM; `names` may begin with `*.`."""

    status: str
    expires_at: float | None
    names: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """One record set of the site's name. `ttl` None for an alias: its target's counts, 60 s for a balancer."""

    failover: str | None  # PRIMARY, SECONDARY, or None for a simple record
    health_check: str | None
    evaluates_target: bool | None  # None where it is no alias
    ttl: int | None


@dataclass(frozen=True)
class HealthCheck:
    """A health check of Route 53. `alarm` is (name, Region) where it watches one, `name` what it asks otherwise.

    One that is calculated is healthy while `threshold` of its `children`, by their ids, are.
    """

    id: str
    kind: str  # Route 53's Type
    disabled: bool
    inverted: bool
    alarm: tuple[str, str] | None
    without_data: str | None
    name: str | None
    children: frozenset[str] = frozenset()
    threshold: int | None = None


@dataclass(frozen=True)
class TrafficFacts:
    """The way of the traffic to this Region."""

    balancer: Told[Balancer]
    certificate: Told[Certificate]
    needs_certificate: bool | Unseen
    answers: Mapping[str, tuple[str, ...]] | Unseen  # addresses by name, as the zone's name servers give them
    records: Told[tuple[Record, ...]]  # of the site's name; None where the account has no zone for it
    health_checks: tuple[HealthCheck, ...] | Unseen
    switches: Mapping[str, tuple[float, float] | None] | Unseen  # by name: newest value, and when; None without data
    peer_switches: Mapping[str, tuple[float, float] | None] | Unseen


@dataclass(frozen=True)
class Secret:
    """A secret as Secrets Manager describes it; never its value. `version` is the current one's id."""

    version: str | None
    changed_at: float | None
    deleted: bool


@dataclass(frozen=True)
class ReplicationRule:
    """A rule of S3 replication; `destination` is the bucket's name."""

    name: str
    enabled: bool
    destination: str
    measured: bool


@dataclass(frozen=True)
class Backlog:
    """What S3's own metrics say of a rule: operations that are pending, and how far behind, in seconds."""

    operations: float
    seconds: float


@dataclass(frozen=True)
class StorageFacts:
    """Secret, release and buckets. What is not configured is None, and then its checks have nothing to look at."""

    secret_name: str | None
    secret: Told[Secret]
    peer_secret: Told[Secret]
    bucket: str | None
    peer_bucket: str | None
    release_key: str | None
    release: Told[Release]
    peer_release: Told[Release]
    rules: Told[tuple[ReplicationRule, ...]]  # this Region's bucket into the other one's
    peer_rules: Told[tuple[ReplicationRule, ...]]
    backlog: Told[Backlog]  # from the other Region's bucket into this one's; None where no rule is measured, or no data


@dataclass(frozen=True)
class Alarm:
    """An alarm of CloudWatch."""

    enabled: bool
    actions: tuple[str, ...]


@dataclass(frozen=True)
class Topic:
    """Who has subscribed to this Region's notifications."""

    confirmed: int
    pending: int


@dataclass(frozen=True)
class WatchFacts:
    """What watches, tells and calls."""

    control: Mapping[str, str | None]  # by target: why it did not answer, or None
    alarms: Mapping[str, Alarm] | Unseen
    rules: Mapping[str, bool] | Unseen  # by name: enabled
    starting: frozenset[str] | Unseen  # names of the rules that start the failover machine
    schedules: Mapping[str, bool] | Unseen
    dead_letters: Told[int]
    topic: Told[Topic]
    topic_arn: str


@dataclass(frozen=True)
class Machine:
    """The state machine of the failover; `role` is the ARN of the one that it works by."""

    status: str
    created_at: float
    role: str = ""


@dataclass(frozen=True)
class Function:
    """A function; `concurrency` is what is reserved for it, None where nothing is."""

    state: str
    concurrency: int | None


@dataclass(frozen=True)
class Permission:
    """What IAM's simulation says of one call on one resource: `allowed`, or how it is denied."""

    action: str
    decision: str


@dataclass(frozen=True)
class OrchestratorFacts:
    """The orchestrator of this Region. Functions and permissions by the function's short name, or the machine's."""

    version: str
    machine: Told[Machine]
    functions: Mapping[str, Told[Function]]
    permissions: Mapping[str, tuple[Permission, ...] | Unseen]


@dataclass(frozen=True)
class ReadinessFacts:
    """All of it, as seen from `here`; `home` is the Region that was home at deployment."""

    application: str
    domain: str
    here: str
    peer: str
    home: str
    replica_id: str
    peer_database_id: str
    max_data_loss_seconds: float
    drill_days: float
    ledger: LedgerFacts
    database: DatabaseFacts
    capacity: CapacityFacts
    traffic: TrafficFacts
    storage: StorageFacts
    watch: WatchFacts
    orchestrator: OrchestratorFacts

    @property
    def is_home(self) -> bool:
        """This Region was home at deployment: it publishes HOLD, and the other one STOP and GO."""
        return self.here == self.home

    def age(self, now: float) -> float:
        """Seconds since this Region's stack is there; NotSeen where nobody could say."""
        machine = known(self.orchestrator.machine)
        return 0.0 if machine is None else max(0.0, now - machine.created_at)
