"""Facts of a standby that is ready for a failover, of which each test changes what it is about."""

from dataclasses import replace
from typing import Any

from relight.checks.watch import EVIDENCE, SCHEDULES, STARTING, TENDING, alarm_names
from relight.drill import Drill, Kind
from relight.evidence import End
from relight.head import Capacity, Head, State
from relight.inspection_orchestrator import FUNCTIONS
from relight.ledger import DatabaseProperties
from relight.readiness import ReadinessFacts
from relight.readiness_facts import (
    Alarm,
    Balancer,
    CapacityFacts,
    Certificate,
    Database,
    DatabaseFacts,
    Function,
    Group,
    HealthCheck,
    Image,
    Launch,
    LedgerFacts,
    Machine,
    OrchestratorFacts,
    Permission,
    Record,
    ReplicationRule,
    Secret,
    StorageFacts,
    Stream,
    Topic,
    TrafficFacts,
    Unseen,
    WatchFacts,
)
from relight.release import Release
from relight.signal import Seen, Signal, View

from tests.unit.standby import HERE, HOME, NOW

DAY = 86400.0
DOMAIN = "shop.example"
TOPIC = f"arn:aws:sns:{HERE}:123456789012:relight-shop"
TARGETS = f"arn:aws:elasticloadbalancing:{HERE}:123456789012:targetgroup/shop-dr/0123456789abcdef"
LOST = Unseen("ConnectTimeoutError: the other Region does not answer")
DENIED = Unseen("DescribeKey: AccessDeniedException: not authorized")

REPLICA = Database(
    identifier="shop-dr",
    status="available",
    source=f"arn:aws:rds:{HOME}:123456789012:db:shop-primary",
    engine="postgres",
    engine_version="18.1",
    instance_class="db.t4g.medium",
    gib=20,
    max_gib=100,
    storage_type="gp3",
    retention_days=0,
    backup_window="13:00-13:30",
    deletion_protection=True,
    key=f"arn:aws:kms:{HERE}:123456789012:key/1",
    parameter_group="shop-dr",
    parameters_applied="in-sync",
)
PRIMARY = replace(REPLICA, identifier="shop-primary", source=None, retention_days=7, backup_window="01:00-01:30")
GROUP = Group(
    name="shop-dr",
    minimum=0,
    desired=0,
    maximum=4,
    suspended=(),
    health_check="EC2",
    zones=("eu-central-1a", "eu-central-1b"),
    target_groups=(TARGETS,),
    launch=Launch("ami-1", ("t4g.small", "t4g.medium"), "none"),
)
RELEASE = Release("releases/current.tar.gz", '"abc"', "v1", 1000)
DRILL = Drill("drill-1", Kind.RESTORE, 3, NOW - 10 * DAY, NOW - 10 * DAY + 600, End.SUCCEEDED.value)


def alarms(*, is_home: bool = False) -> dict[str, Alarm]:
    """All alarms of a Region; those that only switch have no actions."""
    telling, switching = alarm_names(is_home=is_home)
    told = {f"relight-shop-{end}": Alarm(True, (TOPIC,)) for end in telling}
    return told | {f"relight-shop-{end}": Alarm(True, ()) for end in switching}


def switch_check(name: str, region: str) -> HealthCheck:
    """A health check behind which a switch stands; its id is the switch's name."""
    alarm = f"relight-shop-{name}", region
    return HealthCheck(name, "CLOUDWATCH_METRIC", False, False, alarm, "LastKnownStatus", None)


def health_checks(endpoint: str) -> tuple[HealthCheck, ...]:
    """All of a site: the switches, what is calculated from two of them, and the look at the primary's endpoint."""
    return (
        switch_check("stop", HERE),
        switch_check("no-go", HERE),
        switch_check("hold", HOME),
        HealthCheck(
            "both", "CALCULATED", False, False, None, None, None, children=frozenset({"no-go", "hold"}), threshold=2
        ),
        HealthCheck("endpoint", "HTTPS", False, False, None, None, endpoint),
    )


READY = ReadinessFacts(
    application="shop",
    domain=DOMAIN,
    here=HERE,
    peer=HOME,
    home=HOME,
    replica_id="shop-dr",
    peer_database_id="shop-primary",
    max_data_loss_seconds=300,
    drill_days=35,
    ledger=LedgerFacts(
        head=Head(True, 1, HOME, State.STEADY),
        peer_head=Head(True, 1, HOME, State.STEADY),
        signals={view: Signal(view, Seen.UP, NOW - DAY, NOW - 20, f"{view.value} is up") for view in View},
        drills=(DRILL,),
        capacity={"shop-dr": Capacity(1, 2, 8)},
        database=DatabaseProperties(multi_az=False, backup_retention_days=7, deletion_protection=True),
        release=RELEASE,
        peer_version="0.1.0+abc",
    ),
    database=DatabaseFacts(
        here=REPLICA,
        there=PRIMARY,
        parameters={"max_connections": "200", "rds.force_ssl": "1"},
        peer_parameters={"max_connections": "200", "rds.force_ssl": "1"},
        stream=Stream(True, "streaming", NOW - 2, NOW - 30),
        lag=None,
        key_state="Enabled",
        busiest_hour=13,
    ),
    capacity=CapacityFacts(
        default=2,
        deep=True,
        groups={"shop-dr": GROUP},
        images={"ami-1": Image("available", NOW - 10 * DAY, NOW + 80 * DAY)},
        offered={"t4g.small": frozenset(GROUP.zones), "t4g.medium": frozenset(GROUP.zones)},
        vcpus={"t4g.small": 2, "t4g.medium": 2},
        running_vcpus=4,
        quota=32,
        reserved={},
    ),
    traffic=TrafficFacts(
        balancer=Balancer("active", (TARGETS,), ("arn:aws:acm:eu-central-1:123456789012:certificate/1",)),
        certificate=Certificate("ISSUED", NOW + 200 * DAY, (DOMAIN, f"*.{DOMAIN}")),
        needs_certificate=True,
        answers={DOMAIN: ("192.0.2.1",), f"dr.{DOMAIN}": ("192.0.2.2",)},
        records=(Record("PRIMARY", "stop", True, None), Record("SECONDARY", "both", True, None)),
        health_checks=health_checks(f"primary.{DOMAIN}"),
        switches={"STOP": (0.0, NOW - 60), "GO": (0.0, NOW - 60)},
        peer_switches={"HOLD": (0.0, NOW - 60)},
    ),
    storage=StorageFacts(
        secret_name="relight/shop/database",
        secret=Secret("v1", NOW - 90 * DAY, False),
        peer_secret=Secret("v1", NOW - 90 * DAY, False),
        bucket="data-dr",
        peer_bucket="data-primary",
        release_key=RELEASE.key,
        release=RELEASE,
        peer_release=replace(RELEASE, etag='"other"', replication="COMPLETED"),
        rules=(ReplicationRule("from-dr", True, "data-primary", False),),
        peer_rules=(ReplicationRule("from-primary", True, "data-dr", False),),
        backlog=None,
    ),
    watch=WatchFacts(
        control={"https://dynamodb.us-west-2.amazonaws.com/ping": None, "https://example.net/ping": None},
        alarms=alarms(),
        rules={f"relight-shop-{end}": True for end in (*STARTING, *EVIDENCE)},
        starting=frozenset(f"relight-shop-{end}" for end in STARTING),
        schedules={f"relight-shop-{end}": True for end in (*SCHEDULES, *TENDING)},
        dead_letters=0,
        topic=Topic(2, 0),
        topic_arn=TOPIC,
    ),
    orchestrator=OrchestratorFacts(
        version="0.1.0+abc",
        machine=Machine("ACTIVE", NOW - 100 * DAY),
        functions={name: Function("Active", None) for name in FUNCTIONS},
        permissions={"promote": (Permission("rds:PromoteReadReplica", "allowed"),)},
    ),
)


def changed(facts: ReadinessFacts = READY, /, **parts: dict[str, Any] | Any) -> ReadinessFacts:
    """The same with some facts changed: `changed(database={"lag": ...}, drill_days=1)`."""
    given = {
        name: replace(getattr(facts, name), **value) if isinstance(value, dict) else value
        for name, value in parts.items()
    }
    return replace(facts, **given)


def database(**values: Any) -> ReadinessFacts:
    """With another replica."""
    return changed(database={"here": replace(REPLICA, **values)})


def group(**values: Any) -> ReadinessFacts:
    """With another Auto Scaling group."""
    return changed(capacity={"groups": {"shop-dr": replace(GROUP, **values)}})


def young(facts: ReadinessFacts, seconds: float = 60) -> ReadinessFacts:
    """The same in a Region whose stack is that old."""
    return changed(facts, orchestrator={"machine": Machine("ACTIVE", NOW - seconds)})
