"""The way of the traffic to this Region, for readiness: balancer, certificate, names, Route 53, switches."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from relight import names
from relight.readiness_facts import Balancer, Certificate, HealthCheck, NotSeen, Record, TrafficFacts, known

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relight.inquiry import Inquiry
    from relight.metrics import Metrics
    from relight.settings import ReadinessSettings

# Of zones and health checks, a hundred each; an account with more of them cannot be seen whole.
MOST_PAGES = 3


def send(ask: Inquiry, s: ReadinessSettings, own: Mapping[str, Any], metrics: Metrics) -> Callable[[], TrafficFacts]:
    """Ask this Region, Route 53 and the zone's name servers; what comes back collects the answers."""
    balancer = ask.send(lambda: balancing(own["elbv2"], s.balancer_name, listeners=s.certificate_arn is None))

    def certificates() -> tuple[str, ...]:
        if s.certificate_arn is not None:
            return (s.certificate_arn,)
        found = known(balancer.result())
        return () if found is None else found.certificates

    certificate = ask.seek(lambda: certified(own["acm"], certificates()), "ResourceNotFoundException")
    needs = ask.send(lambda: bool(certificates()))
    # The site's own name, and the one that always reaches this Region.
    wanted = (s.domain, f"{'primary' if s.aws_region == s.home_region else 'dr'}.{s.domain}")
    answers = ask.send(lambda: answered(wanted, s.name_servers, s.sample_timeout_seconds))
    records = ask.send(lambda: recorded(own["route53"], s.domain))
    checks = ask.send(lambda: checked(own["route53"]))
    return lambda: TrafficFacts(
        balancer=ask.told(balancer),
        certificate=ask.told(certificate),
        needs_certificate=ask.told(needs),
        answers=ask.told(answers),
        records=ask.told(records),
        health_checks=ask.told(checks),
        switches=metrics.switches(),
        peer_switches=metrics.peer_switches(),
    )


def balancing(elb: Any, name: str | None, *, listeners: bool) -> Balancer | None:
    """The load balancer of that DNS name, and what lies behind it; None where there is none.

    Its certificates are asked for where its `listeners` are: elsewhere the certificate is known already.
    """
    if name is None:
        raise NotSeen("no balancer is known to Relight")
    wanted = name.lower().removeprefix("dualstack.").rstrip(".")
    pages = elb.get_paginator("describe_load_balancers").paginate()
    found = next((one for page in pages for one in page["LoadBalancers"] if one["DNSName"].lower() == wanted), None)
    if found is None:
        return None
    arn = found["LoadBalancerArn"]
    groups = elb.describe_target_groups(LoadBalancerArn=arn)["TargetGroups"]
    listening = elb.describe_listeners(LoadBalancerArn=arn)["Listeners"] if listeners else []
    return Balancer(
        found["State"]["Code"],
        tuple(group["TargetGroupArn"] for group in groups),
        tuple(one["CertificateArn"] for listener in listening for one in listener.get("Certificates", [])),
    )


def certified(acm: Any, certificates: tuple[str, ...]) -> Certificate:
    """The first certificate as ACM describes it."""
    if not certificates:
        raise NotSeen("there is no certificate")
    if ":acm:" not in certificates[0]:
        raise NotSeen(f"{certificates[0]} is not ACM's")
    found = acm.describe_certificate(CertificateArn=certificates[0])["Certificate"]
    until = found.get("NotAfter")
    more = found.get("SubjectAlternativeNames", [])
    expires_at = None if until is None else until.timestamp()
    return Certificate(found["Status"], expires_at, tuple(dict.fromkeys((found["DomainName"], *more))))


def answered(wanted: tuple[str, ...], servers: tuple[str, ...], patience: float) -> dict[str, tuple[str, ...]]:
    """The addresses of each name, as the zone's name servers give them."""
    return {name: tuple(names.ask(name, "A", servers, patience / len(wanted))) for name in wanted}


def recorded(route53: Any, domain: str) -> tuple[Record, ...] | None:
    """The record sets of a name, in the zone of this account that lies nearest to it; None without such a zone."""
    found = _all(route53, "list_hosted_zones", "HostedZones", "hosted zones")
    zones = [zone for zone in found if not zone.get("Config", {}).get("PrivateZone")]
    above = [zone for zone in zones if f".{domain}.".endswith(f".{zone['Name']}")]
    if not above:
        return None
    zone = max(above, key=lambda one: len(one["Name"]))["Id"].rpartition("/")[2]
    answer = route53.list_resource_record_sets(
        HostedZoneId=zone, StartRecordName=domain, StartRecordType="A", MaxItems="10"
    )
    sets = [one for one in answer["ResourceRecordSets"] if one["Name"].rstrip(".") == domain and one["Type"] == "A"]
    return tuple(
        Record(
            failover=one.get("Failover"),
            health_check=one.get("HealthCheckId"),
            evaluates_target=one["AliasTarget"]["EvaluateTargetHealth"] if "AliasTarget" in one else None,
            ttl=one.get("TTL"),
        )
        for one in sets
    )


def _all(route53: Any, operation: str, key: str, what: str) -> list[Any]:
    """Everything of a list; NotSeen where it is longer than is read: what is not in it may lie behind."""
    found: list[Any] = []
    for number, page in enumerate(islice(route53.get_paginator(operation).paginate(), MOST_PAGES), start=1):
        found += page[key]
        if number == MOST_PAGES and page.get("IsTruncated"):
            raise NotSeen(f"this account has more than {len(found)} {what}")
    return found


def checked(route53: Any) -> tuple[HealthCheck, ...]:
    """The health checks of this account."""
    return tuple(_check(one) for one in _all(route53, "list_health_checks", "HealthChecks", "health checks"))


def _check(found: Any) -> HealthCheck:
    config = found["HealthCheckConfig"]
    alarm = config.get("AlarmIdentifier")
    return HealthCheck(
        id=found["Id"],
        kind=config["Type"],
        disabled=bool(config.get("Disabled", False)),
        inverted=bool(config.get("Inverted", False)),
        alarm=(alarm["Name"], alarm["Region"]) if alarm else None,
        without_data=config.get("InsufficientDataHealthStatus"),
        name=config.get("FullyQualifiedDomainName"),
        children=frozenset(config.get("ChildHealthChecks") or ()),
        threshold=config.get("HealthThreshold"),
    )
