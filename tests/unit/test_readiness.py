"""Every check of readiness at each of its levels, what is said of a look as a whole, and what a young Region is spared.

A level that a check has not is None in its row, and no case here may come to it.
"""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from relight import readiness_manual
from relight.checks.capacity import is_standard
from relight.checks.database import memory_gib
from relight.checks.traffic import covers
from relight.checks.watch import EVIDENCE, SCHEDULES, STARTING, TENDING, alarm_names
from relight.drill import Kind
from relight.evidence import End
from relight.head import Head, Promotion, State
from relight.lag import Lag
from relight.readiness import ROWS, Check, Level, Readiness, ReadinessFacts, blocking, judge, score
from relight.readiness_facts import (
    Alarm,
    Backlog,
    Certificate,
    Function,
    Image,
    Launch,
    Machine,
    Permission,
    Record,
    Secret,
    Stream,
    Topic,
    Unseen,
)
from relight.signal import Seen, Signal, View

from tests.template.region import region
from tests.unit.readied import (
    DAY,
    DENIED,
    DOMAIN,
    DRILL,
    GROUP,
    LOST,
    PRIMARY,
    READY,
    RELEASE,
    TARGETS,
    alarms,
    changed,
    database,
    group,
    health_checks,
    young,
)
from tests.unit.standby import HERE, HOME, NOW, execution

pytestmark = pytest.mark.readiness

PASS, WARN, FAIL = Level.PASS, Level.WARN, Level.FAIL
ROW = {row.name: row for row in ROWS}
DOOR = Head(True, 4, HOME, State.PROMOTING, promotion=Promotion("shop-dr", "failover-4-1", 4, NOW - 50))
STEADY = Head(True, 1, HOME, State.STEADY)


def head(**values: Any) -> ReadinessFacts:
    return changed(ledger={"head": replace(STEADY, **values)})


def stream(**values: Any) -> ReadinessFacts:
    return changed(database={"stream": replace(Stream(True, "streaming", NOW - 2, NOW - 30), **values)})


def signals(**values: Any) -> ReadinessFacts:
    """With another signal of the view from outside."""
    assert not isinstance(READY.ledger.signals, Unseen)
    other = replace(READY.ledger.signals[View.OUTSIDE], **values)
    return changed(ledger={"signals": {**READY.ledger.signals, View.OUTSIDE: other}})


def lost(facts: ReadinessFacts = READY, *, here: float = 700, outside: float = 640, seen: float = 20) -> ReadinessFacts:
    """The same where the active Region is down since so many seconds, seen from here and from outside."""
    assert not isinstance(READY.ledger.signals, Unseen)
    down = {
        view: replace(READY.ledger.signals[view], seen=Seen.DOWN, since=NOW - since, last_seen=NOW - seen)
        for view, since in ((View.FROM_DR, here), (View.OUTSIDE, outside))
    }
    return changed(facts, ledger={"signals": {**READY.ledger.signals, **down}})


def launch(*types: str, image: str | None = "ami-1", reservation: str | None = "none") -> ReadinessFacts:
    return group(launch=Launch(image, types or ("t4g.small",), reservation))


def image(**values: Any) -> ReadinessFacts:
    return changed(capacity={"images": {"ami-1": replace(Image("available", NOW - 10 * DAY, None), **values)}})


def reserved(preference: str | None, places: int) -> ReadinessFacts:
    return changed(launch(reservation=preference), capacity={"reserved": {"t4g.small": places}})


def certificate(**values: Any) -> ReadinessFacts:
    found = Certificate("ISSUED", NOW + 200 * DAY, (DOMAIN, f"*.{DOMAIN}"))
    return changed(traffic={"certificate": replace(found, **values)})


def records(*found: Record) -> ReadinessFacts:
    return changed(traffic={"records": found})


def balancer(**values: Any) -> ReadinessFacts:
    assert READY.traffic.balancer is not None
    assert not isinstance(READY.traffic.balancer, Unseen)
    return changed(traffic={"balancer": replace(READY.traffic.balancer, **values)})


def check(which: str, **values: Any) -> ReadinessFacts:
    """With another health check, by its id."""
    found = health_checks(f"primary.{DOMAIN}")
    return changed(
        traffic={"health_checks": tuple(replace(one, **values) if one.id == which else one for one in found)}
    )


def stop_check(**values: Any) -> ReadinessFacts:
    return check("stop", **values)


def switches(stop: tuple[float, float] | None, **more: Any) -> ReadinessFacts:
    return changed(traffic={"switches": {"STOP": stop, "GO": (0.0, NOW - 60)}, **more})


def alarm(name: str, found: Alarm | None) -> ReadinessFacts:
    kept = {key: value for key, value in alarms().items() if key != f"relight-shop-{name}"}
    return changed(watch={"alarms": kept | ({} if found is None else {f"relight-shop-{name}": found})})


def rule(name: str, *, enabled: bool) -> ReadinessFacts:
    assert not isinstance(READY.watch.rules, Unseen)
    return changed(watch={"rules": {**READY.watch.rules, f"relight-shop-{name}": enabled}})


def schedules(**others: bool) -> ReadinessFacts:
    """With others enabled or not; those of the templates are."""
    found = dict.fromkeys((*SCHEDULES, *TENDING), True) | others
    return changed(watch={"schedules": {f"relight-shop-{name}": enabled for name, enabled in found.items()}})


def function(name: str, found: Any) -> ReadinessFacts:
    return changed(orchestrator={"functions": {**READY.orchestrator.functions, name: found}})


def drills(*found: Any) -> ReadinessFacts:
    return changed(ledger={"drills": tuple(found)})


def storage(**values: Any) -> ReadinessFacts:
    return changed(storage=values)


OLDER = replace(RELEASE, etag='"older"', version="v0")
FAILED_DRILL = replace(DRILL, run="drill-2", began_at=NOW - DAY, ended_at=NOW - DAY + 300, status=End.FAILED.value)
HOME_ACTIVE = replace(STEADY, active=HERE)
NO_HEARTBEAT = stream(heartbeat_at=None)
NOT_KEPT = changed(ledger={"capacity": {"shop-dr": None}, "database": None, "release": None})
NEVER_WATCHED = changed(ledger={"signals": {view: Signal.unknown(view) for view in View}})
NOT_PUBLISHED = changed(traffic={"switches": {"STOP": None, "GO": None}})

# Check, level, facts, and a part of the sentence.
CASES: list[tuple[str, Level, ReadinessFacts, str]] = [
    ("ledger", PASS, READY, "both ledgers say so"),
    ("ledger", PASS, changed(ledger={"peer_head": LOST}), "no run, no freeze"),
    ("ledger", WARN, head(owner=execution("failover-2-1"), expires_at=NOW + 60), "failover-2-1"),
    ("ledger", WARN, head(frozen_until=NOW + 60, frozen_because="migration"), "migration"),
    ("ledger", WARN, changed(ledger={"head": replace(DOOR, promotion=None)}), "no run is at it"),
    ("ledger", WARN, changed(ledger={"peer_head": HOME_ACTIVE}), "takes"),
    ("ledger", WARN, changed(ledger={"head": DENIED}), "could not be seen"),
    ("ledger", FAIL, changed(ledger={"head": DOOR}), "not brought to its end"),
    ("kept", PASS, READY, "are kept here"),
    ("kept", PASS, storage(release_key=None), "are kept here"),
    ("kept", PASS, young(NOT_KEPT), "for 1 min only"),
    ("kept", WARN, NOT_KEPT, "capacity and database and release"),
    ("views", PASS, READY, "from outside and from here"),
    ("views", PASS, young(NEVER_WATCHED), "has not watched yet"),
    ("views", WARN, signals(last_seen=NOW - 400), "outside for 6 min"),
    ("views", WARN, signals(seen=Seen.DOWN, sentence="its checkers see nothing"), "its checkers see nothing"),
    ("views", FAIL, signals(last_seen=NOW - 700), "outside for 11 min"),
    ("views", FAIL, NEVER_WATCHED, "has kept nothing"),
    ("replica", PASS, READY, "is a replica of shop-primary"),
    ("replica", WARN, database(status="backing-up"), "backing-up"),
    ("replica", WARN, database(status="modifying"), "would wait"),
    ("replica", WARN, changed(database={"here": DENIED}), "AccessDenied"),
    ("replica", FAIL, database(status="failed"), "cannot be promoted"),
    ("replica", FAIL, database(source=None), "replicates from nothing"),
    ("replica", FAIL, database(source="another"), "and not from shop-primary"),
    ("replica", FAIL, changed(database={"here": None}), "knows no instance"),
    ("stream", PASS, READY, "streams"),
    ("stream", WARN, stream(receiver="catchup"), "catchup"),
    ("stream", WARN, lost(stream(receiver=None)), "nothing to receive: the active Region is down since"),
    ("stream", FAIL, lost(stream(receiver=None), seen=301), "no WAL receiver"),
    ("stream", FAIL, lost(stream(in_recovery=False)), "is no replica"),
    ("stream", FAIL, stream(receiver=None), "no WAL receiver"),
    ("stream", FAIL, stream(in_recovery=False), "is no replica"),
    ("lag", PASS, READY, "2 s ago"),
    ("lag", PASS, changed(database={"stream": DENIED, "lag": Lag(3, NOW - 60)}), "3 s ago"),
    ("lag", PASS, young(stream(last_replayed_at=None)), "for 1 min only"),
    ("lag", PASS, changed(stream(last_replayed_at=NOW - 149), max_data_loss_seconds=0.0), "2 min 29 s"),
    ("lag", PASS, lost(stream(last_replayed_at=NOW - 700)), "1 min before the active Region went down at"),
    ("lag", PASS, lost(stream(last_replayed_at=NOW - 600)), "of 0 s before"),
    ("lag", PASS, lost(changed(database={"stream": DENIED, "lag": Lag(200, NOW - 500)})), "1 min before"),
    ("lag", PASS, lost(changed(database={"stream": DENIED, "lag": Lag(3, NOW - 800)})), "3 s before"),
    ("lag", WARN, stream(last_replayed_at=NOW - 200), "3 min 20 s ago"),
    ("lag", WARN, lost(stream(last_replayed_at=NOW - 840)), "3 min 20 s before"),
    ("lag", WARN, stream(last_replayed_at=None), "nobody can say what would be lost"),
    ("lag", WARN, changed(database={"stream": DENIED, "lag": Lag(-1, NOW - 60)}), "could not be seen"),
    ("lag", FAIL, stream(last_replayed_at=NOW - 301), "may lose 5 min"),
    # The way between the Regions broke hours before: what has not come since then would be lost.
    ("lag", FAIL, lost(stream(last_replayed_at=NOW - 9000), here=9000), "2 h 19 min before"),
    ("lag", FAIL, changed(lost(stream(last_replayed_at=NOW - 700), seen=301)), "may lose 5 min"),
    ("heartbeat", PASS, READY, "30 s ago"),
    ("heartbeat", PASS, young(NO_HEARTBEAT), "yet"),
    ("heartbeat", PASS, lost(stream(heartbeat_at=NOW - 700)), "1 min before the active Region went down at"),
    ("heartbeat", WARN, stream(heartbeat_at=NOW - 200), "3 min 20 s ago"),
    ("heartbeat", FAIL, stream(heartbeat_at=NOW - 700), "11 min"),
    ("heartbeat", FAIL, NO_HEARTBEAT, "no heartbeat"),
    ("engine", PASS, READY, "postgres"),
    ("engine", WARN, changed(database={"here": None}), "could not be seen"),
    ("engine", FAIL, database(engine="mysql"), "mysql"),
    ("engine_version", PASS, database(engine_version="18.2"), "18.2 here, 18.1"),
    ("engine_version", WARN, database(engine_version="18.0"), "should not be older"),
    ("engine_version", WARN, changed(database={"there": LOST}), "could not be seen"),
    ("engine_version", FAIL, database(engine_version="17.5"), "17.5 here"),
    ("class", PASS, READY, "db.t4g.medium here"),
    ("class", PASS, database(instance_class="db.m7g.large"), "db.m7g.large"),
    ("class", WARN, database(instance_class="db.x2g.large"), "not known"),
    ("class", WARN, changed(database={"there": None}), "knows no instance shop-primary"),
    ("class", FAIL, database(instance_class="db.t4g.small"), "2 GiB of memory against 4"),
    ("storage", PASS, READY, "20 GiB of gp3"),
    ("storage", WARN, database(max_gib=50), "50 GiB here"),
    ("storage", WARN, database(storage_type="gp2"), "gp2 here"),
    ("storage", FAIL, database(gib=19), "19 GiB here"),
    ("parameters", PASS, READY, "smaller than the primary's"),
    ("parameters", PASS, changed(database={"parameters": {}, "peer_parameters": {}}), "smaller than the primary's"),
    ("parameters", WARN, changed(database={"parameters": {}}), "max_connections"),
    ("parameters", WARN, changed(database={"parameters": {"max_connections": "LEAST(1,2)"}}), "max_connections"),
    ("parameters", WARN, database(parameters_applied="pending-reboot"), "waits for a reboot"),
    ("parameters", WARN, changed(database={"peer_parameters": LOST}), "could not be seen"),
    ("parameters", WARN, changed(database={"parameters": None}), "no such parameter group"),
    ("parameters", FAIL, changed(database={"parameters": {"max_connections": "100"}}), "max_connections"),
    ("retention", PASS, READY, "7 days"),
    ("retention", PASS, changed(database={"there": LOST}), "as it was kept"),
    ("retention", WARN, changed(database={"there": LOST}, ledger={"database": None}), "could not be seen"),
    ("retention", FAIL, changed(database={"there": replace(PRIMARY, retention_days=0)}), "keeps no backups"),
    ("backup_window", PASS, READY, "makes no backups"),
    ("backup_window", PASS, database(retention_days=1, backup_window="03:00-03:30"), "off the primary's busiest hour"),
    ("backup_window", WARN, database(retention_days=1), "when the primary is busiest (13:00)"),
    ("backup_window", WARN, database(status="backing-up"), "backed up now"),
    (
        "backup_window",
        WARN,
        changed(
            database(retention_days=1), database={"busiest_hour": LOST, "here": replace(PRIMARY, identifier="shop-dr")}
        ),
        "could not be seen",
    ),
    ("deletion_protection", PASS, READY, "is protected"),
    ("deletion_protection", PASS, changed(database={"there": LOST}), "is protected"),
    ("deletion_protection", WARN, database(deletion_protection=False), "shop-dr can be deleted"),
    (
        "deletion_protection",
        WARN,
        changed(database={"there": replace(PRIMARY, deletion_protection=False)}),
        "shop-primary can be deleted",
    ),
    ("key", PASS, READY, "can be used"),
    ("key", PASS, database(key=None), "is not encrypted"),
    ("key", WARN, changed(database={"key_state": DENIED}), "AccessDenied"),
    ("key", WARN, changed(database={"key_state": "Updating"}), "Updating"),
    ("key", FAIL, changed(database={"key_state": "PendingDeletion"}), "PendingDeletion"),
    ("key", FAIL, changed(database={"key_state": None}), "knows no key"),
    ("groups", PASS, READY, "may grow to 4 for 2"),
    ("groups", WARN, group(maximum=1), "2 are needed"),
    ("groups", FAIL, changed(capacity={"groups": {"shop-dr": None}}), "no Auto Scaling group is called shop-dr"),
    ("processes", PASS, READY, "no process"),
    ("processes", PASS, group(suspended=("AlarmNotification",)), "no process"),
    ("processes", WARN, group(suspended=("Launch", "HealthCheck")), "Launch, HealthCheck of shop-dr"),
    ("health_check_type", PASS, READY, "not replaced"),
    ("health_check_type", WARN, changed(capacity={"groups": DENIED}), "could not be seen"),
    ("health_check_type", WARN, changed(capacity={"groups": {"shop-dr": None}}), "none of the Auto Scaling groups"),
    ("health_check_type", PASS, group(health_check="EC2,EBS"), "not replaced"),
    ("health_check_type", PASS, changed(group(health_check="EC2,ELB"), capacity={"deep": False}), "shallow"),
    ("health_check_type", FAIL, group(health_check="ELB"), "shop-dr replaces instances"),
    ("health_check_type", FAIL, group(health_check="EC2,ELB"), "shop-dr replaces instances"),
    ("health_check_type", FAIL, group(health_check="VPC_LATTICE"), "shop-dr replaces instances"),
    ("image", PASS, READY, "ami-1 is there, of"),
    ("image", WARN, image(created_at=NOW - 200 * DAY), "200 d ago"),
    ("image", WARN, image(deprecated_at=NOW - 1), "deprecated"),
    ("image", WARN, launch(image=None), "names no image"),
    ("image", FAIL, changed(capacity={"images": {"ami-1": None}}), "knows no image ami-1"),
    ("image", FAIL, image(state="deregistered"), "deregistered"),
    ("instance_types", PASS, READY, "t4g.medium, t4g.small is offered"),
    ("instance_types", WARN, changed(capacity={"offered": {"t4g.small": frozenset(GROUP.zones)}}), "t4g.medium in"),
    ("instance_types", WARN, group(launch=DENIED), "could not be seen"),
    ("instance_types", FAIL, changed(capacity={"offered": {}}), "no zone of shop-dr"),
    ("quota", PASS, READY, "8 vCPUs of 32"),
    ("quota", WARN, changed(capacity={"quota": 8.5}), "8 vCPUs of 8.5"),
    ("quota", WARN, changed(capacity={"quota": 9.0, "vcpus": {"t4g.small": 2, "t4g.medium": 4}}), "fall back on 12"),
    ("quota", WARN, launch("p4d.24xlarge"), "another quota"),
    ("quota", WARN, changed(capacity={"quota": None}), "does not tell"),
    ("quota", WARN, changed(capacity={"vcpus": {}}), "how many vCPUs"),
    ("quota", FAIL, changed(capacity={"quota": 7.0}), "8 vCPUs of 7"),
    ("reservation", PASS, READY, "no reservation"),
    ("reservation", PASS, launch(reservation=None), "no reservation"),
    ("reservation", PASS, reserved("open", 2), "as many places"),
    ("reservation", WARN, reserved("open", 1), "needs 2, and 1 places"),
    ("reservation", FAIL, reserved("capacity-reservations-only", 1), "needs 2, and 1 places"),
    ("target_group", PASS, READY, "one target group"),
    ("target_group", WARN, balancer(state="provisioning"), "provisioning"),
    ("target_group", WARN, balancer(state="active_impaired"), "cannot grow"),
    ("target_group", FAIL, balancer(target_groups=(TARGETS, "another")), "2 target groups"),
    ("target_group", FAIL, balancer(target_groups=("another",)), "is none that"),
    ("target_group", FAIL, changed(traffic={"balancer": None}), "no load balancer"),
    ("certificate", PASS, READY, f"for {DOMAIN} and dr.{DOMAIN}"),
    ("certificate", PASS, changed(traffic={"needs_certificate": False, "certificate": DENIED}), "plain HTTP"),
    ("certificate", WARN, certificate(expires_at=NOW + 20 * DAY), "expires in 20 d"),
    ("certificate", WARN, certificate(names=(DOMAIN,)), f"is not for dr.{DOMAIN}"),
    ("certificate", FAIL, certificate(names=("else.example",)), f"is not for {DOMAIN}"),
    ("certificate", FAIL, certificate(expires_at=NOW - 1), "expired on"),
    ("certificate", FAIL, certificate(status="FAILED"), "FAILED"),
    ("certificate", FAIL, changed(traffic={"certificate": None}), "knows no such"),
    ("answers", PASS, READY, f"know {DOMAIN}"),
    ("answers", WARN, changed(traffic={"answers": Unseen("NoAnswer: timeout")}), "NoAnswer"),
    ("answers", FAIL, changed(traffic={"answers": {DOMAIN: ("192.0.2.1",)}}), f"no address of dr.{DOMAIN}"),
    ("records", PASS, READY, "failover pair"),
    (
        "records",
        WARN,
        records(Record("PRIMARY", "stop", False, None), Record("SECONDARY", "both", True, None)),
        "PRIMARY",
    ),
    ("records", WARN, changed(traffic={"records": None}), "no public hosted zone"),
    ("records", FAIL, records(Record(None, None, None, 60)), "no PRIMARY and no SECONDARY"),
    (
        "records",
        FAIL,
        records(Record("PRIMARY", "stop", True, None), Record("SECONDARY", None, True, None)),
        "SECONDARY",
    ),
    ("records", WARN, changed(traffic={"health_checks": DENIED}), "could not be seen"),
    *(
        ("records", FAIL, records(Record("PRIMARY", one, True, None), Record("SECONDARY", two, True, None)), said)
        for one, two, said in (
            ("no-go", "both", "PRIMARY record of shop.example does not follow STOP"),
            ("of-another", "both", "does not follow STOP"),
            ("stop", "no-go", "SECONDARY record of shop.example does not follow GO and HOLD"),
            ("both", "stop", "does not follow STOP; the SECONDARY"),
        )
    ),
    ("records", FAIL, check("both", children=frozenset({"no-go", "stop"})), "does not follow GO and HOLD"),
    ("records", FAIL, check("both", kind="HTTPS"), "does not follow GO and HOLD"),
    ("records", FAIL, check("hold", alarm=("relight-shop-hold", HERE)), "does not follow GO and HOLD"),
    ("records", FAIL, check("both", threshold=1), "needs 1 of GO and HOLD"),
    ("records", FAIL, check("both", disabled=True), "SECONDARY record of shop.example is disabled"),
    ("records", FAIL, check("both", inverted=True), "inverted"),
    ("records", FAIL, stop_check(disabled=True), "PRIMARY record of shop.example is disabled"),
    ("ttl", PASS, READY, "60 s"),
    ("ttl", WARN, records(Record("PRIMARY", "stop", None, 300)), "300 s"),
    ("ttl", WARN, records(), "has no record"),
    ("health_checks", PASS, READY, "all are at work"),
    ("health_checks", WARN, stop_check(without_data="Healthy"), "stop"),
    ("health_checks", FAIL, stop_check(disabled=True), "stop"),
    ("health_checks", FAIL, stop_check(inverted=True), "stop"),
    ("health_checks", FAIL, stop_check(alarm=("relight-other-stop", HERE)), "no health check of stop"),
    (
        "health_checks",
        FAIL,
        stop_check(alarm=("relight-shop-stop", HOME)),
        "no health check of stop",
    ),
    ("switches", PASS, READY, "STOP, GO fresh"),
    ("switches", PASS, changed(traffic={"peer_switches": LOST}), f"those of {HOME} could not be seen (Connect"),
    ("switches", PASS, young(changed(traffic={"peer_switches": {"HOLD": None}})), "STOP, GO fresh"),
    ("switches", WARN, changed(traffic={"peer_switches": {"HOLD": None}}), f"no fresh data of HOLD in {HOME}"),
    ("switches", PASS, young(NOT_PUBLISHED), "has not published yet"),
    ("switches", WARN, switches((1.0, NOW - 60)), "STOP is 1"),
    ("switches", WARN, changed(traffic={"peer_switches": {"HOLD": (0.0, NOW - 400)}}), "HOLD"),
    ("switches", FAIL, switches((0.0, NOW - 400)), "no fresh data of STOP"),
    ("switches", FAIL, NOT_PUBLISHED, "no fresh data of STOP, GO"),
    ("secret", PASS, READY, "the same in both Regions"),
    ("secret", PASS, storage(secret_name=None), "no secret"),
    ("secret", WARN, storage(peer_secret=Secret("v2", NOW - 60, False)), "1 min ago"),
    ("secret", WARN, storage(peer_secret=None), "to compare"),
    ("secret", WARN, storage(peer_secret=LOST), "could not be seen"),
    ("secret", FAIL, storage(peer_secret=Secret("v2", NOW - DAY, False)), "another one here"),
    ("secret", FAIL, storage(secret=None), "has no secret"),
    ("secret", FAIL, storage(secret=Secret("v1", NOW - DAY, True)), "to be deleted"),
    ("release", PASS, READY, "the same in both Regions"),
    ("release", PASS, storage(release_key=None), "no release"),
    ("release", PASS, storage(peer_release=LOST), "as it was kept"),
    ("release", WARN, storage(release=OLDER, peer_release=replace(RELEASE, replication="PENDING")), "on its way"),
    ("release", WARN, storage(release=replace(OLDER, replication="PENDING")), f"of {HERE} is still on its way"),
    ("release", WARN, storage(peer_release=None), "to compare"),
    ("release", WARN, changed(storage={"peer_release": LOST}, ledger={"release": None}), "could not be seen"),
    ("release", FAIL, storage(release=OLDER), "another one here"),
    ("release", FAIL, storage(release=OLDER, peer_release=LOST), "as it was kept"),
    ("release", FAIL, storage(release=None), "nothing to run"),
    ("replication", PASS, READY, "replicates to the other's"),
    ("replication", PASS, storage(bucket=None), "no buckets"),
    ("replication", WARN, storage(rules=None), "the way home"),
    ("replication", WARN, storage(peer_rules=LOST), "could not be seen"),
    ("replication", FAIL, storage(peer_rules=None), "data-primary does not replicate"),
    ("backlog", PASS, READY, "only the release was looked at"),
    ("backlog", PASS, storage(bucket=None), "no buckets"),
    ("backlog", PASS, storage(peer_release=None), "no release to tell by"),
    ("backlog", PASS, storage(backlog=Backlog(3, 20)), "3 objects"),
    ("backlog", WARN, storage(backlog=Backlog(3, 1000)), "16 min 40 s behind"),
    ("backlog", WARN, storage(peer_release=replace(RELEASE, replication="PENDING")), "still on its way"),
    ("backlog", FAIL, storage(backlog=Backlog(9, 4000)), "1 h 6 min behind"),
    ("backlog", FAIL, storage(peer_release=replace(RELEASE, replication="FAILED")), "gave up"),
    ("control_targets", PASS, READY, "2 control targets answer"),
    ("control_targets", WARN, changed(watch={"control": {"https://a": None, "https://b": "timeout"}}), "timeout"),
    ("control_targets", FAIL, changed(watch={"control": {"https://a": "timeout"}}), "no control target"),
    ("control_targets", FAIL, changed(watch={"control": {f"https://x.{HOME}.example": None}}), "proves nothing"),
    ("alarms", PASS, READY, "12 alarms"),
    ("alarms", WARN, changed(watch={"alarms": DENIED}), "could not be seen"),
    ("alarms", FAIL, alarm("probe-silent", None), "no alarm probe-silent"),
    ("alarms", FAIL, alarm("probe-silent", Alarm(False, (READY.watch.topic_arn,))), "nobody is told"),
    ("alarms", FAIL, alarm("probe-silent", Alarm(True, ("another",))), "nobody is told"),
    ("rules", PASS, READY, "name the failover machine"),
    ("rules", PASS, changed(rule("primary-down", enabled=False), home=HERE), "rules are enabled"),
    ("rules", WARN, rule("health-forward", enabled=False), "health-forward"),
    ("rules", FAIL, rule("primary-down", enabled=False), "primary-down"),
    ("rules", FAIL, changed(watch={"starting": frozenset()}), "does not start"),
    ("schedules", PASS, READY, "each minute"),
    (
        "schedules",
        PASS,
        schedules(drill=False),
        "by choice: drill",
    ),
    *(("schedules", WARN, schedules(**{name: False}), f"schedule {name}, without") for name in TENDING),
    ("schedules", WARN, changed(watch={"schedules": DENIED}), "could not be seen"),
    ("schedules", FAIL, changed(watch={"schedules": {"relight-shop-probe": True}}), "guard, heartbeat"),
    ("dead_letters", PASS, READY, "is empty"),
    ("dead_letters", WARN, changed(watch={"dead_letters": 3}), "3 events"),
    ("dead_letters", FAIL, changed(watch={"dead_letters": None}), "no dead-letter queue"),
    ("topic", PASS, READY, "2 subscriptions"),
    ("topic", WARN, changed(watch={"topic": Topic(1, 1)}), "still wait"),
    ("topic", FAIL, changed(watch={"topic": Topic(0, 1)}), "nobody has subscribed"),
    ("topic", FAIL, changed(watch={"topic": None}), "knows no topic"),
    ("machinery", PASS, READY, "are active"),
    ("machinery", WARN, function("verify", Function("Inactive", None)), "verify is Inactive"),
    ("machinery", FAIL, function("verify", None), "no function verify"),
    ("machinery", FAIL, function("verify", Function("Active", 0)), "concurrency is 0"),
    ("machinery", FAIL, function("verify", Function("Failed", None)), "verify is Failed"),
    ("machinery", FAIL, changed(orchestrator={"machine": None}), "no failover machine"),
    ("machinery", FAIL, changed(orchestrator={"machine": Machine("DELETING", NOW)}), "DELETING"),
    ("permissions", PASS, READY, "may rds:PromoteReadReplica"),
    ("permissions", WARN, changed(orchestrator={"permissions": {"promote": DENIED}}), "could not be seen"),
    (
        "permissions",
        FAIL,
        changed(
            orchestrator={
                "permissions": {
                    "promote": tuple(Permission(f"rds:{what}", "explicitDeny") for what in ("Describe", "Promote")),
                    "scale": DENIED,
                }
            }
        ),
        "promote may not rds:Describe (explicitDeny), promote may not rds:Promote (explicitDeny)",
    ),
    ("version", PASS, READY, "in both Regions"),
    ("version", PASS, young(changed(ledger={"peer_version": None})), "every half hour"),
    ("version", WARN, changed(ledger={"peer_version": "0.1.0+def"}), "0.1.0+def"),
    ("version", WARN, changed(ledger={"peer_version": None}), "has not said"),
    ("version", FAIL, changed(ledger={"peer_version": "0.2.0+abc"}), "0.2.0+abc"),
    ("drill", PASS, READY, "succeeded 9 d"),
    ("drill", PASS, young(drills(), 30 * DAY), "no drill yet"),
    ("drill", WARN, drills(), "no drill that touched anything and came to its end, in the 100 d that"),
    ("drill", WARN, changed(drills(), orchestrator={"machine": DENIED}), "came to its end"),
    ("drill", WARN, drills(replace(DRILL, kind=Kind.PLAN)), "no drill that"),
    ("drill", WARN, drills(replace(DRILL, began_at=NOW - 50 * DAY, ended_at=NOW - 50 * DAY)), "50 d ago"),
    ("drill", WARN, drills(replace(DRILL, left=("shop-dr-drill-3",))), "shop-dr-drill-3"),
    ("drill", FAIL, drills(DRILL, FAILED_DRILL), "failed"),
]


@pytest.mark.parametrize(
    ("name", "level", "facts", "said"), CASES, ids=[f"{name}-{level}-{n}" for n, (name, level, *_) in enumerate(CASES)]
)
def test_each_check_says_what_it_is(name: str, level: Level, facts: ReadinessFacts, said: str) -> None:
    check = ROW[name].judge(facts, NOW)
    assert (check.level, check.name) == (level, name), check.sentence
    assert said in check.sentence
    assert bool(check.todo) == (level is not PASS)


def test_each_check_is_tried_at_each_level_that_it_has() -> None:
    tried: dict[str, set[Level]] = defaultdict(set)
    for name, level, *_ in CASES:
        tried[name].add(level)
    assert [row.name for row in ROWS] == list(dict.fromkeys(row.name for row in ROWS))
    for row in ROWS:
        # What could not be seen is a WARN of every check.
        assert tried[row.name] == {PASS, WARN} | ({FAIL} if row.when_fail else set()), row.name


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_level_that_a_check_has_not_never_comes(row: Any) -> None:
    """Over all the facts of all cases, its own and the others'."""
    seen = [row.judge(facts, NOW) for _, _, facts, _ in CASES]
    if row.when_fail is None:
        assert not [check for check in seen if check.level is FAIL]
    if row.when_warn is None:
        unseen = "could not be seen: "
        assert not [check for check in seen if check.level is WARN and not check.sentence.startswith(unseen)]


def test_a_ready_standby_scores_a_hundred() -> None:
    readiness = judge(READY, NOW)
    assert [check for check in readiness.checks if check.level is not PASS] == []
    assert (readiness.score, readiness.ready, readiness.region) == (100, True, HERE)
    assert readiness.sentence == f"{HERE} is ready for a failover"


def fresh(facts: ReadinessFacts) -> ReadinessFacts:
    """As two Regions are a minute after their deployment: nothing that takes its time has been done yet."""
    return young(
        changed(
            facts,
            ledger={
                "signals": {view: Signal.unknown(view) for view in View},
                "drills": (),
                "capacity": {"shop-dr": None},
                "database": None,
                "release": None,
                "peer_version": None,
                "head": Head(False, 0, HOME, State.STEADY),
                "peer_head": Head(False, 0, HOME, State.STEADY),
            },
            database={"stream": Stream(True, "streaming", None, None), "busiest_hour": None},
            traffic={"switches": {"STOP": None, "GO": None}, "peer_switches": {"HOLD": None}},
        )
    )


def test_nothing_is_missed_that_a_fresh_region_cannot_have_yet() -> None:
    readiness = judge(fresh(READY), NOW)
    assert [check for check in readiness.checks if check.level is not PASS] == []
    assert readiness.score == 100


def test_all_of_that_is_missed_later() -> None:
    readiness = judge(changed(fresh(READY), orchestrator={"machine": Machine("ACTIVE", NOW - 100 * DAY)}), NOW)
    missed = {check.name for check in readiness.checks if check.level is not PASS}
    assert missed == {"kept", "views", "lag", "heartbeat", "switches", "version", "drill"}


def test_without_the_other_region_this_one_is_judged_all_the_same() -> None:
    lost = changed(
        ledger={"peer_head": LOST, "peer_version": LOST},
        database={"there": LOST, "peer_parameters": LOST, "busiest_hour": LOST},
        traffic={"peer_switches": LOST},
        storage={"peer_secret": LOST, "peer_release": LOST, "peer_rules": LOST, "backlog": LOST},
    )
    readiness = judge(lost, NOW)
    unseen = {check.name for check in readiness.checks if check.level is not PASS}
    compared = {"engine_version", "class", "storage", "parameters", "secret", "replication", "backlog", "version"}
    assert unseen == compared
    assert all("does not answer" in check.sentence for check in readiness.of(WARN))
    assert readiness.ready


def test_a_standby_is_ready_while_the_primary_is_lost() -> None:
    """Which is what it is there for: for an hour, nothing has come."""
    readiness = judge(
        lost(stream(receiver=None, last_replayed_at=NOW - 3610, heartbeat_at=NOW - 3640), here=3600, outside=3570), NOW
    )
    assert [check for check in readiness.checks if check.level is FAIL] == []
    assert {check.name for check in readiness.of(WARN)} == {"stream", "views"}


def test_nothing_seen_is_neither_ready_to_the_full_nor_failed() -> None:
    def blank(part: Any) -> Any:
        kinds = {name: kind for name, kind in type(part).__annotations__.items() if "Unseen" in kind or "Told" in kind}
        return dict.fromkeys(kinds, LOST)

    parts = ("ledger", "database", "capacity", "traffic", "storage")
    facts = changed(**{name: blank(getattr(READY, name)) for name in parts})
    readiness = judge(changed(facts, capacity={"groups": LOST}), NOW)
    assert readiness.of(FAIL) == ()
    assert 50 <= readiness.score < 100
    assert {check.level for check in readiness.checks if check.area in {"database", "capacity", "traffic"}} == {WARN}


def test_the_active_region_judges_nothing() -> None:
    readiness = judge(changed(ledger={"head": HOME_ACTIVE}), NOW)
    assert not readiness.on_duty
    assert [check.level for check in readiness.checks] == [PASS]
    assert HOME in readiness.sentence


def test_while_it_is_being_activated_a_region_is_still_judged() -> None:
    assert judge(changed(ledger={"head": replace(HOME_ACTIVE, state=State.PROMOTING)}), NOW).on_duty


@pytest.mark.parametrize(
    ("levels", "low", "high"),
    [((PASS, PASS), 100, 100), ((PASS, WARN), 50, 99), ((WARN, WARN), 50, 50), ((PASS, FAIL), 1, 49), ((FAIL,), 0, 0)],
)
def test_the_score_tells_ready_from_not_ready(levels: tuple[Level, ...], low: int, high: int) -> None:
    checks = [Check("one", ROWS[0].area, level, "said", "") for level in levels]
    assert low <= score(checks) <= high


def test_one_failure_among_many_is_below_fifty_and_one_warning_is_below_a_hundred() -> None:
    warned, failed = judge(database(max_gib=50), NOW), judge(database(source=None), NOW)
    assert 50 <= warned.score < 100
    assert failed.score < 50
    assert warned.ready
    assert not failed.ready
    assert "1 of" in warned.sentence
    assert "replica: shop-dr replicates from nothing" in failed.sentence


def test_it_is_kept_and_read_as_it_was() -> None:
    for facts in (READY, database(source=None), changed(ledger={"head": HOME_ACTIVE})):
        readiness = judge(facts, NOW)
        assert Readiness.from_dict(readiness.to_dict()) == readiness


def test_what_holds_up_a_failover_is_short() -> None:
    everything_failing = changed(
        database(engine="mysql"), capacity={"quota": 0.0}, watch={"topic": None}, storage={"release": None}
    )
    assert {check.name for check in blocking(judge(everything_failing, NOW))} == {"engine"}
    assert {check.name for check in blocking(judge(database(status="failed"), NOW))} == {"replica"}
    assert blocking(judge(READY, NOW)) == ()


def test_in_the_home_region_hold_is_the_switch_and_alarms_start_nothing() -> None:
    home = changed(
        here=HOME,
        peer=HERE,
        ledger={
            "head": replace(STEADY, active=HERE, active_epoch=2),
            "peer_head": replace(STEADY, active=HERE, active_epoch=2),
        },
        traffic={
            "switches": {"HOLD": (0.0, NOW - 60)},
            "peer_switches": {"STOP": (1.0, NOW - 60), "GO": (1.0, NOW - 60)},
            "answers": {DOMAIN: ("192.0.2.1",), f"primary.{DOMAIN}": ("192.0.2.2",)},
            "health_checks": health_checks(f"dr.{DOMAIN}"),
        },
        watch={
            "alarms": alarms(is_home=True),
            "rules": {f"relight-shop-{end}": end in EVIDENCE for end in (*STARTING, *EVIDENCE)},
        },
    )
    assert [check for check in judge(home, NOW).checks if check.level is not PASS] == []


@pytest.mark.parametrize("role", ["primary", "dr"])
def test_what_is_looked_for_is_what_the_templates_make(role: str) -> None:
    resources = region(role)
    made = {
        str(found["AlarmName"]).removeprefix("relight-shop-")
        for kind in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
        for found in resources.of(kind).values()
    }
    telling, switching = alarm_names(is_home=role == "primary")
    assert {*telling, *switching} <= made
    found = resources.of("AWS::Scheduler::Schedule").values()
    assert {*SCHEDULES, *TENDING} <= {str(one["Name"]).removeprefix("relight-shop-") for one in found}
    rules = resources.of("AWS::Events::Rule").values()
    assert {*STARTING, *EVIDENCE} <= {str(one["Name"]).removeprefix("relight-shop-") for one in rules}


@pytest.mark.parametrize("role", ["primary", "dr"])
def test_every_alarm_that_tells_people_is_looked_for(role: str) -> None:
    kinds = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
    made = [found for kind in kinds for found in region(role).of(kind).values()]
    telling = {str(one["AlarmName"]).removeprefix("relight-shop-") for one in made if one.get("AlarmActions")}
    assert set(alarm_names(is_home=role == "primary")[0]) == telling


def test_the_list_in_the_docs_is_the_table() -> None:
    page = Path(__file__).parents[2] / "docs/readiness.md"
    assert page.read_text(encoding="utf-8") == readiness_manual.markdown(), (
        "python -m relight.readiness_manual > docs/readiness.md"
    )


@pytest.mark.parametrize(
    ("name", "gib"),
    [
        ("db.t4g.micro", 1.0),
        ("db.t4g.medium", 4.0),
        ("db.m7g.large", 8.0),
        ("db.r6i.2xlarge", 64.0),
        ("db.r5.12xlarge.tpc2.mem2x", None),
        ("db.x2g.large", None),
        ("", None),
    ],
)
def test_the_memory_of_a_class(name: str, gib: float | None) -> None:
    assert memory_gib(name) == gib


@pytest.mark.parametrize(
    ("name", "standard"),
    [
        ("t4g.small", True),
        ("im4gn.large", True),
        ("inf1.xlarge", False),
        ("p4d.24xlarge", False),
        ("mac2.metal", False),
        ("m7g.large", True),
        ("dl1.24xlarge", False),
        ("inf2.xlarge", False),
        ("x2gd.large", False),
        ("hpc7g.4xlarge", False),
        ("trn1.2xlarge", False),
        ("is4gen.medium", True),
        ("i4i.large", True),
    ],
)
def test_which_types_count_into_the_quota(name: str, standard: bool) -> None:
    assert is_standard(name) is standard


def test_a_wildcard_stands_for_one_label() -> None:
    wild = Certificate("ISSUED", None, ("*.shop.example",))
    assert covers(wild, "dr.shop.example")
    assert not covers(wild, "shop.example")
    assert not covers(wild, "a.dr.shop.example")
