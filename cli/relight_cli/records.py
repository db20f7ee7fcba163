"""The DNS records at the site's name, and the batch that puts the failover pair in the place of a simple one.

Route 53 refuses a failover record beside a simple one of the same name and type, and a template cannot delete a record
that it did not make. A change batch is atomic: either all of it is in force, or nothing. So one batch deletes the
simple record, exactly as it is, and creates the pair.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from relight_cli.exit_code import Exit, Refused

type Record = Mapping[str, Any]
"""A ResourceRecordSet as Route 53's API has it."""

_POLICIES = {
    "Weight": "weighted",
    "Region": "latency",
    "GeoLocation": "geolocation",
    "GeoProximityLocation": "geoproximity",
    "MultiValueAnswer": "multivalue",
    "CidrRoutingConfig": "IP-based",
    "Failover": "failover",
}
_PAIR = {"primary": "PRIMARY", "dr": "SECONDARY"}
CUT_OVER = "docs/bring-your-own.md"


@dataclass(frozen=True)
class Target:
    """Where one record of the pair leads."""

    balancer_name: str
    balancer_zone_id: str
    health_check_id: str


@dataclass(frozen=True)
class CutOver:
    """The batch, and the one that undoes it."""

    forward: dict[str, Any]
    back: dict[str, Any]


def plain(name: str) -> str:
    """A DNS name in lower case, without the trailing dot; Route 53 writes an asterisk as \\052."""
    return name.rstrip(".").lower().replace("\\052", "*")


def routing(record: Record) -> str:
    """The routing policy of a record by name."""
    return next((word for key, word in _POLICIES.items() if key in record), "simple")


def is_ours(record: Record) -> bool:
    """One of the pair that the global stack, or a cut-over, makes."""
    return record.get("Failover") is not None and record.get("SetIdentifier") in _PAIR


def obstacle(records: Iterable[Record], domain: str) -> str:
    """What at the site's name keeps the failover pair from being created; empty where nothing does. Pure."""
    for record in records:
        if plain(record["Name"]) != domain.lower() or record["Type"] not in {"A", "AAAA", "CNAME"}:
            continue
        if record["Type"] == "AAAA":
            return f"an AAAA record ({routing(record)}) of {domain}, which would lead IPv6 clients past every failover"
        if not is_ours(record):
            return f"a {routing(record)} record {record['Type']} of {domain}"
    return ""


def cut_over(records: Iterable[Record], domain: str, primary: Target, dr: Target) -> CutOver | None:
    """The batch that replaces the domain's simple record by the pair, and its reverse; None where it has been done.

    Refused, by name, for every record that is not simple, and where there is none. Pure.
    """
    here = [record for record in records if plain(record["Name"]) == domain.lower()]
    pair = [_failover(domain, identifier, target) for identifier, target in (("primary", primary), ("dr", dr))]
    found = [record for record in here if record["Type"] in {"A", "AAAA", "CNAME"}]
    if found and all(is_ours(record) and record["Type"] == "A" for record in found):
        return None
    for record in found:
        if routing(record) != "simple":
            name = f"{record['Type']} {plain(record['Name'])} ({record.get('SetIdentifier', '')})"
            raise _refused(f"the record {name} is a {routing(record)} record", "make it a simple one first")
        if record["Type"] == "AAAA":
            what = f"{domain} has an AAAA record, which would lead IPv6 clients past every failover"
            raise _refused(what, "delete it first")
    if not found:
        what = f"{domain} has no record that could be replaced"
        raise _refused(what, "deploy the global stack with SiteRecords=true instead")
    old = [dict(record) for record in found]
    return CutOver(
        forward=_batch("cut over to Relight's failover pair", old, pair),
        back=_batch("go back to the simple record", pair, old),
    )


def _failover(domain: str, identifier: str, target: Target) -> dict[str, Any]:
    return {
        "Name": f"{domain}.",
        "Type": "A",
        "SetIdentifier": identifier,
        "Failover": _PAIR[identifier],
        "HealthCheckId": target.health_check_id,
        "AliasTarget": {
            "HostedZoneId": target.balancer_zone_id,
            "DNSName": target.balancer_name,
            "EvaluateTargetHealth": True,
        },
    }


def _batch(comment: str, gone: Iterable[Record], made: Iterable[Record]) -> dict[str, Any]:
    changes = [{"Action": "DELETE", "ResourceRecordSet": dict(record)} for record in gone]
    changes += [{"Action": "CREATE", "ResourceRecordSet": dict(record)} for record in made]
    return {"Comment": comment, "Changes": changes}


def _refused(what: str, do: str) -> Refused:
    return Refused(what, where=CUT_OVER, do=do, code=Exit.RECORD)
