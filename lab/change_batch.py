"""Change batches of Route 53: all of it or nothing, at one moment; and which records may stand beside one another.

moto makes one change after the other where resolvers can look on, puts a failover record beside a simple one, and
deletes whatever has the same identifier.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from moto.route53.exceptions import DnsNameInvalidForZone, InvalidActionValue, Route53ClientError
from moto.route53.models import FakeZone, RecordSet, Route53Backend

from lab.seam import Seams, require

_FIELDS = ["ttl", "records", "health_check_id", "failover", "weight", "region", "geo_location", "multi_value_answer"]


class BatchRefused(Route53ClientError):  # type: ignore[misc]  # moto is untyped
    """Nothing of the batch is done, and why."""

    code = "InvalidChangeBatch"


def install(seams: Seams) -> None:
    """Let moto's zones change as AWS's do. MotoChangedError if moto is not as expected."""
    require(FakeZone("name.", "id", False, "reference"), "rrsets", "name")
    require(RecordSet({}), "name", "type", "set_identifier", "alias_target", *_FIELDS)
    require(Route53Backend, "get_hosted_zone")
    seams.replace(Route53Backend, "change_resource_record_sets", _change_resource_record_sets)


def _change_resource_record_sets(backend: Any, zone_id: str, changes: list[dict[str, Any]]) -> None:
    zone = backend.get_hosted_zone(zone_id)
    records = list(zone.rrsets)
    for change in changes:
        record = _record(change["ResourceRecordSet"], zone.name)
        _apply(records, change["Action"], record)
    fault = conflict(records)
    if fault:
        raise BatchRefused(fault)
    zone.rrsets = records


def _record(given: dict[str, Any], zone_name: str) -> Any:
    """A record as moto keeps it."""
    name = str(given["Name"])
    if not f".{name.strip('.').lower()}".endswith(f".{zone_name.strip('.').lower()}"):
        raise DnsNameInvalidForZone(name=name, zone_name=zone_name)
    values = [one["Value"] for one in given.get("ResourceRecords") or []]
    return RecordSet(given | {"Name": name if name.endswith(".") else f"{name}.", "ResourceRecords": values})


def _apply(records: list[Any], action: str, record: Any) -> None:
    there = next((index for index, kept in enumerate(records) if _key(kept) == _key(record)), None)
    told = f"resource record set [name='{record.name}', type='{record.type}'"
    told += f", set-identifier='{record.set_identifier}']" if record.set_identifier else "]"
    match action, there:
        case "CREATE", None:
            records.append(record)
        case "CREATE", _:
            raise BatchRefused(f"[Tried to create {told} but it already exists]")
        case "UPSERT", None:
            records.append(record)
        case "UPSERT", int(index):
            records[index] = record
        case "DELETE", None:
            raise BatchRefused(f"[Tried to delete {told} but it was not found]")
        case "DELETE", int(index) if _content(records[index]) != _content(record):
            raise BatchRefused(f"[Tried to delete {told} but the values provided do not match the current values]")
        case "DELETE", int(index):
            del records[index]
        case _:
            raise InvalidActionValue(action)


def _plain(name: str) -> str:
    return name.rstrip(".").lower()


def _key(record: Any) -> tuple[str, str, str]:
    return _plain(record.name), record.type, record.set_identifier or ""


def _content(record: Any) -> list[str]:
    """What a deletion has to name exactly."""
    target = record.alias_target or {}
    alias = [target.get("HostedZoneId"), _plain(str(target.get("DNSName", "")))]
    alias.append(str(target.get("EvaluateTargetHealth", "")).lower())
    values = [getattr(record, field) for field in _FIELDS if field != "records"]
    return [str(value or "") for value in [*values, *alias]] + sorted(record.records or [])


def conflict(records: Iterable[Any]) -> str:
    """Why these cannot stand in one zone, as Route 53 says it; no text where they can."""
    groups: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        groups[_plain(record.name)][record.type].append(record)
    for name, types in groups.items():
        if "CNAME" in types and len(types) > 1:
            return (
                f"[RRSet of type CNAME with DNS name {name}. is not permitted as it conflicts with other records with "
                "the same DNS name]"
            )
        for rtype, beside in types.items():
            other = next((record.set_identifier for record in beside if record.set_identifier), None)
            if other and any(not record.set_identifier for record in beside):
                return (
                    f"[RRSet with DNS name {name}., type {rtype}, SetIdentifier {other} cannot be created as other "
                    "RRSets exist with the same name and type.]"
                )
    return ""
