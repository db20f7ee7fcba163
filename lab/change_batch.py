"""Change batches of Route 53: all of it or nothing, at one moment; and which records may stand beside one another.

moto makes one change after the other where resolvers can look on, and puts a failover record beside a simple one.
"""

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from moto.route53.exceptions import InvalidChangeBatch
from moto.route53.models import FakeZone, Route53Backend

from lab.seam import Seams, require


def install(seams: Seams) -> None:
    """Let moto's zones change as AWS's do. MotoChangedError if moto is not as expected."""
    require(FakeZone, "add_rrset", "upsert_rrset", "delete_rrset", "delete_rrset_by_id")
    require(Route53Backend, "get_hosted_zone")
    seams.wrap(Route53Backend, "change_resource_record_sets", _at_once)


class _Shadowed:
    """A backend that knows one zone only, and that one as a copy."""

    def __init__(self, zone: Any) -> None:
        self._zone = zone

    def get_hosted_zone(self, _: str) -> Any:
        return self._zone


def _at_once(original: Callable[..., None]) -> Callable[..., None]:
    def change_resource_record_sets(backend: Any, zone_id: str, changes: list[dict[str, Any]]) -> None:
        zone = backend.get_hosted_zone(zone_id)
        shadow = copy.copy(zone)
        shadow.rrsets, shadow.rr_changes = list(zone.rrsets), copy.copy(zone.rr_changes)
        for change in changes:
            shadow.delete_rrset_by_id = _deleting(shadow, change["ResourceRecordSet"])
            original(_Shadowed(shadow), zone_id, [change])
        fault = conflict(shadow.rrsets)
        if fault:
            raise InvalidChangeBatch(fault)
        zone.rr_changes, zone.rrsets = shadow.rr_changes, shadow.rrsets

    return change_resource_record_sets


def _deleting(zone: Any, record: dict[str, Any]) -> Callable[[str], None]:
    """moto would delete whatever has that identifier, under any name."""

    def delete(identifier: str) -> None:
        zone.rrsets = [one for one in zone.rrsets if not same(one, record, identifier)]

    return delete


def same(kept: Any, record: dict[str, Any], identifier: str) -> bool:
    """Whether a record that moto keeps is that one."""
    wanted = (record["Name"].rstrip(".").lower(), record["Type"], identifier)
    return (kept.name.rstrip(".").lower(), kept.type, kept.set_identifier) == wanted


def conflict(records: Iterable[Any]) -> str:
    """Why these cannot stand in one zone, as Route 53 says it; no text where they can."""
    groups: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        groups[record.name.rstrip(".").lower()][record.type].append(record)
    for name, types in groups.items():
        if "CNAME" in types and len(types) > 1:
            return (
                f"[RRSet of type CNAME with DNS name {name}. is not permitted as it conflicts with other records with "
                "the same DNS name]"
            )
        for rtype, beside in types.items():
            simple = [record for record in beside if not record.set_identifier]
            if len(beside) > 1 and simple:
                other = next((record.set_identifier for record in beside if record.set_identifier), None)
                identified = f", SetIdentifier {other}" if other else ""
                return (
                    f"[RRSet with DNS name {name}., type {rtype}{identified} cannot be created as other RRSets exist "
                    "with the same name and type.]"
                )
    return ""
