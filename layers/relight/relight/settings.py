"""What a function is told through its environment: parsed once, typed, every problem in one message."""

from __future__ import annotations

import math
import types
import typing
from dataclasses import dataclass, fields
from enum import Enum, StrEnum
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Self, get_type_hints

from relight.errors import SettingsInvalid
from relight.policy import Approval, GoAfter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


# How far two clocks may run apart over a lease's term, with room to spare: AWS keeps its hosts within milliseconds by
# the Amazon Time Sync Service, and an instance that uses another source within a second or so.
CLOCK_DRIFT_SECONDS = 2.0


def _one(kind: Any, text: str) -> Any:
    """`text` as `kind`: str, int, float, bool, an Enum, a tuple of str (comma separated), or one of these or None."""
    if typing.get_origin(kind) is types.UnionType:
        return None if text == "" else _one(next(k for k in typing.get_args(kind) if k is not types.NoneType), text)
    if typing.get_origin(kind) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind is bool:
        return {"true": True, "false": False}[text.lower()]
    if kind is float and not math.isfinite(float(text)):
        raise ValueError(text)  # NaN would slip through every comparison with a limit
    if isinstance(kind, type) and issubclass(kind, Enum | int | float | str):
        return kind(text)
    raise TypeError(f"a setting cannot be a {kind}")


def _optional(kind: Any) -> bool:
    return typing.get_origin(kind) is types.UnionType


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base: a field `peer_region` is read from `PEER_REGION`. A field that may be None takes an empty value."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read all fields, or raise one SettingsInvalid that names every missing and every malformed one."""
        hints = get_type_hints(cls)
        values: dict[str, Any] = {}
        missing: list[str] = []
        malformed: list[str] = []
        for field in fields(cls):
            name, kind = field.name.upper(), hints[field.name]
            text = environ.get(name)
            if text is None or (text.strip(", ") == "" and not _optional(kind)):
                missing.append(name)
                continue
            try:
                values[field.name] = _one(kind, text)
            except (ValueError, KeyError):
                malformed.append(f"{name}={text!r} is no {getattr(kind, '__name__', kind)}")
        if missing or malformed:
            parts = [f"missing: {', '.join(missing)}"] if missing else []
            raise SettingsInvalid(f"environment of this function: {'; '.join(parts + malformed)}")
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class RegionSettings(Settings):
    """What every function knows: where it runs, and the ledger of this Region."""

    aws_region: str
    home_region: str  # the Region that is active when no ledger says otherwise: the primary's
    peer_region: str
    ledger_table: str


@dataclass(frozen=True, kw_only=True)
class PeerSettings(RegionSettings):
    """For functions that call the peer Region: how long they may wait for it (design rule 1: 2 s, 5 s, one retry)."""

    peer_connect_seconds: float
    peer_read_seconds: float


@dataclass(frozen=True, kw_only=True)
class ViewSettings(PeerSettings):
    """For functions that look at the primary: what to ask, how long, and the policy that judges the answers."""

    domain: str
    seen_name: str  # of the TXT pair that tells what Route 53's checkers see of the peer
    name_servers: tuple[str, ...]  # the zone's own, host or host:port
    peer_url: str  # the readiness page of the peer, by the name that always reaches that Region
    readiness_is_deep: bool  # it says, in its own words, whether the database takes writes
    control_targets: tuple[str, ...]  # in other Regions; any HTTP answer proves this Region's connectivity
    dbcheck_function: str
    replica_id: str
    peer_database_id: str
    sample_timeout_seconds: float
    fresh_seconds: float
    stream_silence_seconds: float
    hold_down_seconds: float
    database_hold_down_seconds: float
    max_data_loss_seconds: float
    cooldown_seconds: float
    look_again_seconds: float
    policy: Approval


@dataclass(frozen=True, kw_only=True)
class ProbeSettings(ViewSettings):
    """The scheduled watcher in the standby Region."""

    sample_seconds: float
    samples: int
    peer_group_names: tuple[str, ...]
    failover_machine: str
    start_window_seconds: float  # two starts within it share a name, so that one of them is refused
    quiet_seconds: float  # after a person has declined, or did not answer, the next question comes no sooner


def counterparts(group_arns: Sequence[str], peer_group_names: Sequence[str]) -> dict[str, str | None]:
    """Each group of this Region by name, with the name of the group in its place in the peer; None without one."""
    names = (arn.rpartition("autoScalingGroupName/")[2] for arn in group_arns)
    return dict(zip_longest(names, peer_group_names[: len(group_arns)]))


@dataclass(frozen=True, kw_only=True)
class ScaleSettings(RegionSettings):
    """Capacity of this Region: one Auto Scaling group or several, each beside its counterpart in the peer."""

    group_arns: tuple[str, ...]
    peer_group_names: tuple[str, ...]
    default_capacity: int
    healthy_percent: int
    look_again_seconds: float

    @property
    def counterparts(self) -> dict[str, str | None]:
        """As `counterparts` has them."""
        return counterparts(self.group_arns, self.peer_group_names)


@dataclass(frozen=True, kw_only=True)
class PromoteSettings(RegionSettings):
    """The one-way door."""

    replica_id: str
    peer_database_id: str
    backup_retention_days: int
    dbcheck_function: str
    look_again_seconds: float
    lease_term_seconds: float  # 0 where there is no write lease
    longest_transaction_seconds: float

    @property
    def lease_seconds(self) -> float:
        """How long after granting has stopped the old side may still commit; 0 where there is no lease."""
        term = self.lease_term_seconds
        return term + CLOCK_DRIFT_SECONDS + self.longest_transaction_seconds if term else 0.0


@dataclass(frozen=True, kw_only=True)
class QuiesceSettings(PeerSettings):
    """Stopping the peer's writes, and seeing that all of them have arrived here."""

    dbcheck_function: str
    peer_dbcheck_function: str
    look_again_seconds: float


@dataclass(frozen=True, kw_only=True)
class HardenSettings(RegionSettings):
    """Giving the promoted database what the primary's had."""

    replica_id: str
    peer_database_id: str
    backup_retention_days: int
    look_again_seconds: float


@dataclass(frozen=True, kw_only=True)
class FenceSettings(PeerSettings):
    """Cutting the peer's application off from the peer's database, and letting this Region's own to its."""

    network_acl_id: str | None  # this Region's; None where it is not ours
    app_cidrs: tuple[str, ...] | None
    peer_network_acl_id: str | None  # None until the peer's stack exists, and where its network ACL is not ours
    peer_app_cidrs: tuple[str, ...] | None
    peer_dbcheck_function: str  # the fence where the network ACL is not ours
    peer_group_names: tuple[str, ...] | None
    fence_seconds: float


@dataclass(frozen=True, kw_only=True)
class SwitchSettings(PeerSettings):
    """Publishing this Region's Route 53 switches, and letting go of HOLD once the peer's are back."""

    application: str
    domain: str
    name_servers: tuple[str, ...]
    self_url: str
    sample_timeout_seconds: float
    look_again_seconds: float
    switch_namespace: str
    go_after: GoAfter


@dataclass(frozen=True, kw_only=True)
class OfferSettings(Settings):
    """Offering the way home, once this Region has been well for a while."""

    application: str
    topic_arn: str
    offer_seconds: float


@dataclass(frozen=True, kw_only=True)
class GuardSettings(PeerSettings, OfferSettings):
    """The scheduled guard of either Region."""

    switch_namespace: str
    peer_ledger_table: str
    network_acl_id: str | None  # None where the network ACL is not ours: then dbcheck is the fence
    app_cidrs: tuple[str, ...] | None
    dbcheck_function: str
    group_names: tuple[str, ...] | None  # of this Region's Auto Scaling groups; an ARN becomes the name at its end

    def __post_init__(self) -> None:
        """Put names in the place of ARNs, which is what the template can give."""
        if self.group_names is not None:
            names = tuple(name.rpartition("autoScalingGroupName/")[2] for name in self.group_names)
            object.__setattr__(self, "group_names", names)


@dataclass(frozen=True, kw_only=True)
class VerifySettings(RegionSettings):
    """A synthetic transaction, and the way of the traffic, as a client outside sees them."""

    domain: str
    name_servers: tuple[str, ...]
    resolver: str | None  # host or host:port of a resolver to ask in place of the system's
    site_url: str  # https://<domain>, with a port where it is not the scheme's own
    self_url: str  # https://dr.<domain>, in the Region that dr names
    readiness_path: str
    transaction_path: str
    sample_timeout_seconds: float
    look_again_seconds: float


class Tls(StrEnum):
    """The connection to the database: the server proves who it is, is only encrypted, or neither (the lab's)."""

    VERIFY = "verify"
    ENCRYPT = "encrypt"
    OFF = "off"


@dataclass(frozen=True, kw_only=True)
class DbcheckSettings(Settings):
    """Asking the database of this Region."""

    aws_region: str
    database_host: str
    database_port: int
    database_name: str
    database_user: str
    database_tls: Tls
    database_timeout_seconds: float


@dataclass(frozen=True, kw_only=True)
class RecordSettings(PeerSettings):
    """Evidence and notification."""

    peer_ledger_table: str
    evidence_bucket: str
    topic_arn: str
    application: str
    rto_seconds: float  # the objectives that evidence measures against
    max_data_loss_seconds: float


@dataclass(frozen=True, kw_only=True)
class SurveySettings(PeerSettings):
    """Whether the way home is open: both ledgers, and the machines of both Regions."""

    peer_ledger_table: str
    replica_id: str
    peer_database_id: str
    failover_machine: str
    failback_machine: str
    peer_failback_machine: str
    look_again_seconds: float
    guest_seconds: float  # how long the peer's lock is held without being renewed
    lease_term_seconds: float  # 0 where there is no write lease


@dataclass(frozen=True, kw_only=True)
class RetireSettings(RegionSettings):
    """Keeping the old database under another name."""

    replica_id: str
    peer_database_id: str
    dbcheck_function: str
    look_again_seconds: float
    retained_days: float  # before a person may have it deleted
    topic_arn: str
    application: str


@dataclass(frozen=True, kw_only=True)
class ReprotectSettings(PeerSettings):
    """Building this Region's replica of the active database; what is None is taken from the instance before it."""

    replica_id: str
    peer_database_id: str
    dbcheck_function: str
    look_again_seconds: float
    subnet_group: str | None
    parameter_group: str | None
    security_group_ids: tuple[str, ...] | None
    data_key_arn: str | None


@dataclass(frozen=True, kw_only=True)
class CompareSettings(PeerSettings):
    """Comparing this Region's database, or a retired one, with the active one."""

    replica_id: str
    dbcheck_function: str
    peer_dbcheck_function: str
    evidence_bucket: str
    slice_seconds: float  # of work in one invocation
    look_again_seconds: float


@dataclass(frozen=True, kw_only=True)
class ObjectsSettings(PeerSettings):
    """Comparing this Region's bucket with the active one's; None where there are no buckets."""

    bucket: str | None
    peer_bucket: str | None
    evidence_bucket: str
    account_id: str
    peer_batch_role_arn: str | None  # may replicate the peer's bucket; IAM is global, so it is this stack's own
    slice_seconds: float
    look_again_seconds: float


@dataclass(frozen=True, kw_only=True)
class ReadinessSettings(PeerSettings):
    """The scheduled look at everything that a failover to this Region would need."""

    application: str
    peer_ledger_table: str
    domain: str
    name_servers: tuple[str, ...]
    control_targets: tuple[str, ...]
    readiness_is_deep: bool  # the application's page says whether the database takes writes
    sample_timeout_seconds: float
    replica_id: str
    peer_database_id: str
    dbcheck_function: str
    group_arns: tuple[str, ...]
    peer_group_names: tuple[str, ...]
    default_capacity: int
    balancer_name: str | None  # the DNS name of this Region's load balancer
    certificate_arn: str | None
    database_secret: str | None
    bucket: str | None
    peer_bucket: str | None
    release_key: str | None
    failover_machine: str
    probe_role: str  # the ARN of the role by which the probe works, which is the one that starts runs
    topic_arn: str
    switch_namespace: str
    max_data_loss_seconds: float
    drill_days: float  # a successful drill that is older than this is too long ago


@dataclass(frozen=True, kw_only=True)
class DrillSettings(VerifySettings):
    """A drill's throwaway database and site, in the Region that stands by."""

    application: str
    peer_connect_seconds: float
    peer_read_seconds: float
    peer_ledger_table: str
    replica_id: str
    peer_database_id: str
    dbcheck_function: str
    group_arns: tuple[str, ...]
    peer_group_names: tuple[str, ...]
    default_capacity: int
    healthy_percent: int
    subnet_group: str | None  # None, as all that follows, where the workload is not ours
    database_security_group: str | None  # lets the drill's instances and dbcheck in, and nobody else
    subnet_ids: tuple[str, ...] | None  # of the drill's instances: without a route to the internet
    public_subnet_ids: tuple[str, ...] | None
    security_group: str | None  # of the drill's instances
    balancer_security_group: str | None
    vpc_id: str | None
    certificate_arn: str | None
    site_port: int
    instance_profile_arn: str | None
    bucket: str | None  # of the drill's instances; it replicates nowhere
    data_key_arn: str | None
    site_role_arn: str | None  # by which CloudFormation makes the site
    max_gib: int  # a larger database is not copied for a drill
    max_usd: float  # nor is there a drill that would cost more
    drill_seconds: float  # which it may take until its write is proven
    backup_retention_days: int  # of the database that a failover promotes
    failover_machine: str
    peer_failback_machine: str
