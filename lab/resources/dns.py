"""Route 53."""

import secrets
from collections.abc import Sequence
from typing import Any

from lab.resources.kind import Kind, Made, Properties, Request

_RECORD = frozenset(
    [
        "AliasTarget",
        "Failover",
        "GeoLocation",
        "HealthCheckId",
        "MultiValueAnswer",
        "Name",
        "Region",
        "ResourceRecords",
        "SetIdentifier",
        "TTL",
        "Type",
        "Weight",
    ]
)
_ZONE = frozenset({"HostedZoneId", "HostedZoneName"})
_CHECK_FIXED = frozenset({"Type", "RequestInterval", "MeasureLatency", "RoutingControlArn"})
"""What of a health check cannot be changed."""


def _create_zone(request: Request) -> Made:
    own = request.properties
    networks = own.get("VPCs")
    answer = request.call(
        "route53",
        "create_hosted_zone",
        Name=own["Name"],
        CallerReference=secrets.token_hex(8),
        HostedZoneConfig=own.get("HostedZoneConfig"),
        VPC=networks[0] if networks else None,
    )
    zone = answer["HostedZone"]["Id"].removeprefix("/hostedzone/")
    return Made(zone, {"Id": zone, "NameServers": answer.get("DelegationSet", {}).get("NameServers", [])})


def _delete_zone(request: Request, made: Made) -> None:
    request.call("route53", "delete_hosted_zone", Id=made.physical_id)


def _create_check(request: Request) -> Made:
    own = request.properties
    answer = request.call(
        "route53",
        "create_health_check",
        CallerReference=secrets.token_hex(8),
        HealthCheckConfig=own["HealthCheckConfig"],
    )
    identity = answer["HealthCheck"]["Id"]
    if own.get("HealthCheckTags"):
        request.call(
            "route53",
            "change_tags_for_resource",
            ResourceType="healthcheck",
            ResourceId=identity,
            AddTags=own["HealthCheckTags"],
        )
    return Made(identity, {"HealthCheckId": identity})


def _update_check(request: Request, made: Made, changed: frozenset[str]) -> Made:
    if "HealthCheckConfig" in changed:
        config = dict(request.properties["HealthCheckConfig"])
        wanted = {key: value for key, value in config.items() if key not in _CHECK_FIXED}
        request.call("route53", "update_health_check", HealthCheckId=made.physical_id, **wanted)
    return made


def _delete_check(request: Request, made: Made) -> None:
    request.call("route53", "delete_health_check", HealthCheckId=made.physical_id)


def _record(request: Request, properties: Properties) -> Properties:
    unknown = sorted(properties.keys() - _RECORD - _ZONE - {"Comment"})
    if unknown:
        raise request.refusal(f"the lab does not know {unknown[0]} of a record")
    record = {key: value for key, value in properties.items() if key in _RECORD}
    if "ResourceRecords" in record:
        record["ResourceRecords"] = [{"Value": value} for value in record["ResourceRecords"]]
    if "AliasTarget" in record:
        record["AliasTarget"] = {"EvaluateTargetHealth": False} | record["AliasTarget"]
    return record


def _zone(request: Request) -> str:
    own = request.properties
    if request.one("HostedZoneId", "HostedZoneName") == "HostedZoneId":
        return str(own["HostedZoneId"])
    found = request.call("route53", "list_hosted_zones_by_name", DNSName=own["HostedZoneName"])["HostedZones"]
    zones = [zone["Id"] for zone in found if zone["Name"].rstrip(".") == own["HostedZoneName"].rstrip(".")]
    if len(zones) != 1:
        raise request.refusal(f"there are {len(zones)} hosted zones {own['HostedZoneName']}", "use HostedZoneId")
    return str(zones[0])


def _change(request: Request, action: str, records: Sequence[Any]) -> None:
    changes = [{"Action": action, "ResourceRecordSet": _record(request, record)} for record in records]
    batch = {"Changes": changes}
    request.call("route53", "change_resource_record_sets", HostedZoneId=_zone(request), ChangeBatch=batch)


def _records(request: Request) -> list[Properties]:
    return list(request.properties.get("RecordSets", [request.properties]))


def _create_records(request: Request) -> Made:
    _change(request, "CREATE", _records(request))
    names = {str(record["Name"]) for record in _records(request)}
    return Made(names.pop() if len(names) == 1 else request.name())


def _update_records(request: Request, made: Made, _: frozenset[str]) -> Made:
    _change(request, "UPSERT", _records(request))
    return made


def _delete_records(request: Request, _: Made) -> None:
    _change(request, "DELETE", _records(request))


KINDS = [
    Kind(
        type="AWS::Route53::HostedZone",
        properties=frozenset({"Name", "HostedZoneConfig", "VPCs"}),
        create=_create_zone,
        delete=_delete_zone,
        attributes=frozenset({"Id", "NameServers"}),
        harmless={"HostedZoneTags": "nothing reads them"},
        holds_data=True,
    ),
    Kind(
        type="AWS::Route53::HealthCheck",
        properties=frozenset({"HealthCheckConfig", "HealthCheckTags"}),
        create=_create_check,
        update=_update_check,
        delete=_delete_check,
        sometimes_fixed={
            "HealthCheckConfig": lambda before, after: any(before.get(name) != after.get(name) for name in _CHECK_FIXED)
        },
        attributes=frozenset({"HealthCheckId"}),
    ),
    Kind(
        type="AWS::Route53::RecordSet",
        properties=_RECORD | _ZONE,
        create=_create_records,
        update=_update_records,
        delete=_delete_records,
        fixed=frozenset({"Name", "Type", "SetIdentifier", *_ZONE}),
        harmless={"Comment": "it is a note"},
    ),
    Kind(
        type="AWS::Route53::RecordSetGroup",
        properties=frozenset({"RecordSets", *_ZONE}),
        create=_create_records,
        update=_update_records,
        delete=_delete_records,
        fixed=_ZONE,
        harmless={"Comment": "it is a note"},
    ),
]
