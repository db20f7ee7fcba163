"""Whether clients would be led here: balancer, certificate, records, health checks, switches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relight.moment import lasting, told
from relight.readiness_check import Area, Row, fails, is_young, passes, warns
from relight.readiness_facts import NotSeen, Unseen, known
from relight.switches import switches

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relight.readiness_check import Judgement
    from relight.readiness_facts import Certificate, HealthCheck, ReadinessFacts, Record

DAY = 86400.0
# ACM renews 60 days before the end where it can; what has not been renewed by then needs a person.
EXPIRES_SOON_SECONDS = 30 * DAY
# An alias to a balancer has 60 s; AWS calls 60 to 120 s common for failover records.
LONG_TTL = 120
ALIAS_TTL = 60
# The guard publishes each minute, and CloudWatch shows a minute once it is over.
STALE_SWITCH_SECONDS = 300.0


def _target_group(facts: ReadinessFacts, now: float) -> Judgement:
    balancer = known(facts.traffic.balancer)
    if balancer is None:
        return fails(f"no load balancer of {facts.here} has the name that the site's records point to")
    if len(balancer.target_groups) != 1:
        said = f"the balancer has {len(balancer.target_groups)} target groups"
        return fails(f"{said}: Route 53 calls it healthy only where each of them has a healthy target")
    groups = facts.capacity.groups
    found = [] if isinstance(groups, Unseen) else [group for group in groups.values() if group is not None]
    if found and not any(balancer.target_groups[0] in group.target_groups for group in found):
        return fails("the balancer's target group is none that an Auto Scaling group of this Region fills")
    if balancer.state not in {"active", "active_impaired"}:
        return warns(f"the balancer is {balancer.state}")
    if balancer.state == "active_impaired":
        return warns("the balancer routes traffic, and cannot grow (active_impaired)")
    return passes("the balancer is active, and one target group lies behind it")


def site_names(facts: ReadinessFacts) -> tuple[str, str]:
    """The site's name, and the one that always reaches this Region."""
    return facts.domain, f"{'primary' if facts.is_home else 'dr'}.{facts.domain}"


def _certificate(facts: ReadinessFacts, now: float) -> Judgement:
    if not known(facts.traffic.needs_certificate):
        return passes("the balancer speaks plain HTTP, so there is no certificate")
    found = known(facts.traffic.certificate)
    if unusable := _unusable(found, now):
        return fails(unusable)
    assert found is not None
    return _in_use(facts, found, now)


def _unusable(found: Certificate | None, now: float) -> str | None:
    """Why a certificate serves nobody; None where it does."""
    if found is None:
        return "ACM knows no such certificate"
    if found.status != "ISSUED":
        return f"the certificate is {found.status}"
    over = found.expires_at is not None and found.expires_at <= now
    return f"the certificate expired on {told(found.expires_at or 0)}" if over else None


def _in_use(facts: ReadinessFacts, found: Certificate, now: float) -> Judgement:
    """Whom a certificate is for, and for how long."""
    lacking = [name for name in site_names(facts) if not covers(found, name)]
    if facts.domain in lacking:
        return fails(f"the certificate is not for {facts.domain}")
    if lacking:
        return warns(f"the certificate is not for {', '.join(lacking)}, by which the other Region and `verify` ask")
    if found.expires_at is not None and found.expires_at - now < EXPIRES_SOON_SECONDS:
        return warns(f"the certificate expires in {lasting(found.expires_at - now)}")
    until = f" until {told(found.expires_at)}" if found.expires_at is not None else ""
    return passes(f"the certificate is valid{until}, for {' and '.join(site_names(facts))}")


def covers(certificate: Certificate, name: str) -> bool:
    """Whether a certificate is for a name; `*.` stands for one label."""
    above = f"*.{name.partition('.')[2]}"
    return any(one.lower() in {name.lower(), above.lower()} for one in certificate.names)


def _answers(facts: ReadinessFacts, now: float) -> Judgement:
    answers = known(facts.traffic.answers)
    lacking = [name for name in site_names(facts) if not answers.get(name)]
    if lacking:
        return fails(f"the zone's name servers know no address of {' or '.join(lacking)}")
    return passes(f"the zone's name servers know {' and '.join(site_names(facts))}")


def _site_records(facts: ReadinessFacts) -> tuple[Record, ...]:
    found = known(facts.traffic.records)
    if found is None:
        raise NotSeen(f"this account has no public hosted zone for {facts.domain}")
    return found


def _records(facts: ReadinessFacts, now: float) -> Judgement:
    found = {record.failover: record for record in _site_records(facts)}
    lacking = [side for side in ("PRIMARY", "SECONDARY") if side not in found]
    if lacking:
        return fails(f"{facts.domain} has no {' and no '.join(lacking)} failover record: no traffic would follow")
    pair = {side: found[side] for side in ("PRIMARY", "SECONDARY")}
    if blind := [side for side, record in pair.items() if record.health_check is None]:
        return fails(f"no switch is behind the {' and the '.join(blind)} record of {facts.domain}")
    by_id = {check.id: check for check in known(facts.traffic.health_checks)}
    behind = {side: by_id.get(record.health_check or "") for side, record in pair.items()}
    if wrong := [*_not_stop(facts, behind["PRIMARY"]), *_not_go(facts, behind["SECONDARY"])]:
        return fails("; ".join(wrong))
    if loose := [side for side, record in pair.items() if record.evaluates_target is not True]:
        return warns(f"the {' and the '.join(loose)} record of {facts.domain} does not evaluate its target's health")
    return passes(f"{facts.domain} has a failover pair with a switch behind each record")


def _not_stop(facts: ReadinessFacts, check: HealthCheck | None) -> Iterator[str]:
    """Why the health check of the primary record is not STOP's."""
    if check is None or check.alarm != _switch_alarms(facts)["stop"]:
        yield f"the PRIMARY record of {facts.domain} does not follow STOP"
    elif _is_off(check):
        yield f"the switch of the PRIMARY record of {facts.domain} is disabled or inverted"


def _not_go(facts: ReadinessFacts, check: HealthCheck | None) -> Iterator[str]:
    """Why the health check of the secondary record is not the one that GO and HOLD decide together."""
    alarms = _switch_alarms(facts)
    both = {alarms["no-go"], alarms["hold"]}
    found = known(facts.traffic.health_checks)
    children = {one.id for one in found if one.alarm in both}
    if check is None or check.kind != "CALCULATED" or check.children != children or len(children) != len(both):
        yield f"the SECONDARY record of {facts.domain} does not follow GO and HOLD"
    elif check.threshold != len(both):
        yield f"the SECONDARY record of {facts.domain} needs {check.threshold} of GO and HOLD, and not both"
    elif _is_off(check):
        yield f"the switch of the SECONDARY record of {facts.domain} is disabled or inverted"


def _switch_alarms(facts: ReadinessFacts) -> dict[str, tuple[str, str]]:
    """The alarms behind the switches: name and Region of each."""
    dr, home = (facts.peer, facts.here) if facts.is_home else (facts.here, facts.peer)
    where = {"stop": dr, "no-go": dr, "hold": home}
    return {name: (f"relight-{facts.application}-{name}", region) for name, region in where.items()}


def _is_off(check: HealthCheck) -> bool:
    return check.disabled or check.inverted


def _ttl(facts: ReadinessFacts, now: float) -> Judgement:
    longest = max((ALIAS_TTL if one.ttl is None else one.ttl for one in _site_records(facts)), default=None)
    if longest is None:
        raise NotSeen(f"{facts.domain} has no record")
    said = f"resolvers keep {facts.domain} for {longest} s"
    return warns(said) if longest > LONG_TTL else passes(said)


def _health_checks(facts: ReadinessFacts, now: float) -> Judgement:
    found = known(facts.traffic.health_checks)
    by_alarm = {one.alarm: one for one in found if one.alarm is not None}
    wanted = {name: by_alarm.get(alarm) for name, alarm in _switch_alarms(facts).items()}
    endpoint = f"{'dr' if facts.is_home else 'primary'}.{facts.domain}"
    wanted[endpoint] = next((one for one in found if one.name == endpoint), None)
    if missing := [name for name, one in wanted.items() if one is None]:
        return fails(f"Route 53 has no health check of {', '.join(missing)}")
    return _sound({name: one for name, one in wanted.items() if one is not None})


def _sound(checks: Mapping[str, HealthCheck]) -> Judgement:
    """Whether health checks that exist say what they are meant to say."""
    if wrong := [name for name, one in checks.items() if _is_off(one)]:
        return fails(f"disabled (which Route 53 takes for healthy) or inverted: the health check of {', '.join(wrong)}")
    loose = [name for name, one in checks.items() if one.alarm is not None and one.without_data != "LastKnownStatus"]
    if loose:
        return warns(f"without data it does not keep its last state: the health check of {', '.join(loose)}")
    return passes("the switches and the endpoint have their health checks, and all are at work")


def _switches(facts: ReadinessFacts, now: float) -> Judgement:
    values = known(facts.traffic.switches)
    silent = [name for name, seen in values.items() if seen is None or now - seen[1] > STALE_SWITCH_SECONDS]
    if silent:
        if is_young(facts, now) and all(seen is None for seen in values.values()):
            return passes("the guard has not published yet; it does so each minute")
        return fails(f"no fresh data of {', '.join(silent)}: Route 53 keeps the last state, whatever the ledger says")
    meant = switches(known(facts.ledger.head), facts.here, facts.home)
    wrong = [f"{name} is {seen[0]:g}" for name, seen in values.items() if seen and seen[0] != meant.get(name, seen[0])]
    if wrong:
        return warns(f"{', '.join(wrong)}, and the ledger means otherwise")
    return _with_theirs(facts, now, f"{', '.join(values)} fresh, and as the ledger means")


def _with_theirs(facts: ReadinessFacts, now: float, ours: str) -> Judgement:
    """What is said of this Region's switches, with the other Region's: those do not hold a failover up."""
    theirs = facts.traffic.peer_switches
    if isinstance(theirs, Unseen):
        return passes(f"{ours}; those of {facts.peer} could not be seen ({theirs.why})")
    never = [name for name, seen in theirs.items() if seen is None and not is_young(facts, now)]
    late = [name for name, seen in theirs.items() if seen is not None and now - seen[1] > STALE_SWITCH_SECONDS]
    if never or late:
        return warns(f"no fresh data of {', '.join([*never, *late])} in {facts.peer}")
    return passes(ours)


ROWS = (
    Row(
        "target_group",
        Area.TRAFFIC,
        _target_group,
        "The balancer is active, and exactly one target group lies behind it, which a group of this Region fills.",
        "The balancer is not active, or cannot grow.",
        "There is no balancer, or not exactly one target group that is filled: DNS would not answer with it.",
        "Take the other target groups off the balancer, also those of rules; they need one of their own.",
    ),
    Row(
        "certificate",
        Area.TRAFFIC,
        _certificate,
        "It is issued, for the site's name and this Region's own, and valid for 30 days at least; or HTTP is spoken.",
        "It expires within 30 days, or is not for this Region's own name.",
        "It is missing, not issued, expired, or not for the site's name.",
        "Look at the certificate in ACM: its renewal needs the validation record.",
    ),
    Row(
        "answers",
        Area.TRAFFIC,
        _answers,
        "The zone's name servers know the site's name and the one that always reaches this Region.",
        None,
        "They know one of them not.",
        "Deploy the global stack (`relight deploy`).",
    ),
    Row(
        "records",
        Area.TRAFFIC,
        _records,
        "The site has a failover pair, whose targets are evaluated: STOP is behind the first record, GO and HOLD are "
        "behind the second.",
        "A record does not evaluate its target's health; or the zone lies in another account, which cannot be seen.",
        "A record of the pair is missing, has no health check or another one, or its switch is disabled or inverted.",
        "Deploy the global stack; a simple record is replaced by a cut-over (`relight cut-over`).",
    ),
    Row(
        "ttl",
        Area.TRAFFIC,
        _ttl,
        "Resolvers keep the site's address for two minutes at most.",
        "They may keep it longer, and clients come so much later.",
        None,
        "Lower the TTL of the site's records.",
    ),
    Row(
        "health_checks",
        Area.TRAFFIC,
        _health_checks,
        "STOP, GO, HOLD and the primary's endpoint have their health checks; none is disabled or inverted.",
        "One would not keep its last state without data.",
        "One is missing, disabled or inverted: DNS would not follow the switches, or the view from outside is blind.",
        "Deploy the global stack again.",
    ),
    Row(
        "switches",
        Area.TRAFFIC,
        _switches,
        "The switches have fresh data, and the values that the ledger means.",
        "A value is another than the ledger means, or the other Region's are not fresh.",
        "This Region's switch data are older than five minutes: DNS would not follow a failover.",
        "Look at the log of the guard, and at its schedule.",
    ),
)
