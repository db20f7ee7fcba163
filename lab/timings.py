"""How long the lab's AWS takes for what real AWS takes long for: two profiles, all durations in seconds.

`lab` is scaled down and every figure it leads to is labelled so. `aws` keeps the intervals that AWS documents
(minutes, health-check intervals, the alias TTL); its phases of a promotion and of an instance's boot are
illustrative, not measured on AWS.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

_SHORTEST_REBOOT = 0.9


@dataclass(frozen=True)
class Timings:
    """One profile. Scales multiply an interval that the template states; the rest are seconds."""

    name: str
    minute: float
    """What a minute of a schedule, an alarm period or a metric lasts."""
    health_check_scale: float
    """Factor on the RequestInterval of a Route 53 health check."""
    target_check_scale: float
    """Factor on the interval and timeout of a target group's health check."""
    alias_ttl: int
    """TTL of an alias record's answer; 60 on AWS."""
    rds_pending: float
    """From PromoteReadReplica until the status says `modifying`."""
    rds_modifying: float
    rds_rebooting: float
    rds_renaming: float
    """From a change of the identifier until the server is restarted under the new one."""
    rds_snapshotting: float
    """What a manual snapshot takes; the instance says `backing-up` meanwhile."""
    rds_restoring: float
    """From RestoreDBInstanceFromDBSnapshot until the instance is `available`, at least."""
    rds_copying: float
    """From CopyDBSnapshot until the copy is `available`; the first copy of a snapshot in a Region is a full one."""
    rds_replicating: float
    """From CreateDBInstanceReadReplica until the replica is `available`, at least."""
    instance_boot: float
    """From the launch of an instance until its application starts."""
    event_delay: float
    """From a state change until the rule's target is called."""
    parameters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Template parameters that this profile overrides."""
    lease: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Those that switch the write lease on."""

    @property
    def promotion(self) -> float:
        """From PromoteReadReplica until the instance is `available` and no replica any more."""
        return self.rds_pending + self.rds_modifying + self.rds_rebooting


LAB = Timings(
    name="lab",
    minute=3.0,
    health_check_scale=0.1,
    target_check_scale=0.1,
    alias_ttl=3,
    rds_pending=0.5,
    rds_modifying=4.0,
    rds_rebooting=2.5,
    rds_renaming=1.0,
    rds_snapshotting=1.0,
    rds_restoring=1.0,
    rds_copying=1.0,
    rds_replicating=1.5,
    instance_boot=3.0,
    event_delay=0.1,
    parameters=MappingProxyType(
        {
            "SampleSeconds": "0.5",
            "SampleTimeoutSeconds": "0.8",
            "FreshSeconds": "5",
            "StreamSilenceSeconds": "4",
            "HoldDownSeconds": "5",
            "DatabaseHoldDownSeconds": "10",
            "MaxDataLossSeconds": "60",
            "CooldownSeconds": "60",
            "LookAgainSeconds": "1",
            "FenceSeconds": "2",
            "DecideSeconds": "60",
            "RunSeconds": "120",
            "AskAgainSeconds": "20",
            "ApprovalSeconds": "60",
            "WarmSeconds": "30",
            "QuietSeconds": "6",
            "QuiesceSeconds": "20",
            "HardenSeconds": "60",
            "StartWindowSeconds": "3",
            "PeerConnectSeconds": "0.5",
            "PeerReadSeconds": "1",
            "RebuildAgainSeconds": "1",
            "ReprotectSeconds": "180",
            "CompareSeconds": "120",
            "SliceSeconds": "10",
            "OfferSeconds": "30",
            "DrillSeconds": "7200",  # not shortened: a drill that would take longer, by AWS's figures, is refused
            "TeardownSeconds": "60",
        }
    ),
    lease=MappingProxyType({"LeaseTermSeconds": "2", "LongestTransactionSeconds": "1"}),
)

AWS = Timings(
    name="aws",
    minute=60.0,
    health_check_scale=1.0,
    target_check_scale=1.0,
    alias_ttl=60,
    rds_pending=30.0,
    rds_modifying=150.0,
    rds_rebooting=40.0,
    # Of a rename AWS says ten minutes with its reboot; the others grow with the database, up to hours.
    rds_renaming=560.0,
    rds_snapshotting=300.0,
    rds_restoring=900.0,
    rds_copying=600.0,
    rds_replicating=3600.0,
    instance_boot=120.0,
    event_delay=1.0,
    lease=MappingProxyType({"LeaseTermSeconds": "15", "LongestTransactionSeconds": "10"}),
)


def leased(profile: Timings) -> Timings:
    """The profile with the write lease switched on."""
    return replace(profile, parameters=MappingProxyType({**profile.parameters, **profile.lease}))


def promotion_of(profile: Timings, seconds: float) -> Timings:
    """The profile with promotions that take so long, each of their phases in proportion as far as that can be.

    A real server is stopped, started and promoted within `rds_rebooting`: it is no shorter than that takes, and
    ValueError for a promotion that would be.
    """
    if seconds < _SHORTEST_REBOOT:
        raise ValueError(f"no promotion takes {seconds:g} s: a server needs {_SHORTEST_REBOOT:g} s to be restarted")
    rebooting = max(_SHORTEST_REBOOT, seconds * profile.rds_rebooting / profile.promotion)
    share = (seconds - rebooting) / (profile.rds_pending + profile.rds_modifying)
    return replace(
        profile,
        rds_pending=profile.rds_pending * share,
        rds_modifying=profile.rds_modifying * share,
        rds_rebooting=rebooting,
    )


def timings(name: str) -> Timings:
    """The profile of that name; ValueError, with the names there are, for any other."""
    profiles = {profile.name: profile for profile in (LAB, AWS)}
    if name not in profiles:
        raise ValueError(f"unknown timings {name!r}: choose one of {', '.join(profiles)}")
    return profiles[name]
