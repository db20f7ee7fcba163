"""Hosted zones: which records Route 53 answers with, given what is healthy.

Imitated: simple and failover routing of A, AAAA, CNAME, TXT and the like, aliases to a load balancer or to another
name of the zones, with and without EvaluateTargetHealth. Not imitated: every other routing policy, wildcards,
private zones, aliases to other services.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lab.dns import Record
from lab.region import Side, Vantage, alb_address

_DEEPEST_ALIAS = 8


@dataclass(frozen=True)
class RecordSet:
    """One record set as it is configured. Names are lower-case and have no trailing dot."""

    name: str
    rtype: str
    ttl: int = 0
    values: tuple[str, ...] = ()
    failover: str | None = None
    """PRIMARY, SECONDARY, or None for a simple record."""
    health_check_id: str | None = None
    alias: str | None = None
    """The DNS name that an alias stands for."""
    evaluate_target_health: bool = False

    @classmethod
    def of(cls, kept: Any) -> "RecordSet":
        """What moto keeps of a record set; ValueError for a routing policy that the lab does not imitate."""
        for policy in ("weight", "region", "geo_location", "multi_value_answer"):
            if getattr(kept, policy) is not None:
                raise ValueError(f"record {kept.name} {kept.type}: the lab does not imitate routing by {policy}")
        target = kept.alias_target or {}
        return cls(
            name=plain(kept.name),
            rtype=kept.type,
            ttl=int(kept.ttl or 0),
            values=tuple(value["Value"] if isinstance(value, dict) else value for value in kept.records or ()),
            failover=kept.failover,
            health_check_id=kept.health_check_id,
            alias=plain(target["DNSName"]).removeprefix("dualstack.") if target else None,
            evaluate_target_health=str(target.get("EvaluateTargetHealth")).lower() == "true",
        )


def plain(name: str) -> str:
    """A DNS name in lower case and without the trailing dot."""
    return name.rstrip(".").lower()


def choose(records: Sequence[RecordSet], healthy: Callable[[RecordSet], bool]) -> list[RecordSet]:
    """Which of the records of one name and type Route 53 answers with.

    A healthy primary always; else a healthy secondary; and the primary again when the secondary is unhealthy too.
    """
    primary = [record for record in records if record.failover == "PRIMARY"]
    secondary = [record for record in records if record.failover == "SECONDARY"]
    if not primary or not secondary:
        return list(records)
    if any(healthy(record) for record in primary) or not any(healthy(record) for record in secondary):
        return primary
    return secondary


class HostedZones:
    """The zones in moto's Route 53, answered from as Route 53 would. Reads moto anew for each question."""

    def __init__(
        self,
        backend: Any,
        check_status: Callable[[str], bool],
        healthy_targets: Callable[[str], bool],
        alb_address: Callable[[str, Vantage], str | None],
        alias_ttl: int,
    ) -> None:
        """`check_status` says whether the health check of that id is healthy, and KeyError for one that is not."""
        self._backend = backend
        self._check_status = check_status
        self._healthy_targets = healthy_targets
        self._alb_address = alb_address
        self._alias_ttl = alias_ttl

    def answer(self, name: str, rtype: str, vantage: Vantage) -> list[Record] | None:
        """The records of that type as seen from there, a CNAME followed within the zones; None for an unknown name."""
        here = self._at(name)
        if not here:
            return self._of_balancer(name, rtype, vantage) or ([] if self._is_parent(name) else None)
        answer = self._records(name, rtype, vantage, 0)
        if answer or rtype == "CNAME":
            return answer
        answer = self._records(name, "CNAME", vantage, 0)
        for _ in range(_DEEPEST_ALIAS):
            if not answer or answer[-1].rtype != "CNAME":
                break
            target = plain(answer[-1].value)
            following = (
                self._records(target, rtype, vantage, 0)
                or self._records(target, "CNAME", vantage, 0)
                or self._of_balancer(target, rtype, vantage)
            )
            answer += following
            if not following:
                break
        return answer

    def address_of(self, name: str, vantage: Vantage) -> str | None:
        """The first IPv4 address of that name, of a load balancer's own name too; None if there is none."""
        records = self.answer(plain(name), "A", vantage)
        if records is None:
            return self._alb_address(plain(name), vantage)
        return next((record.value for record in records if record.rtype == "A"), None)

    def answer_of(self, name: str, vantage: Vantage = Vantage.OUTSIDE) -> Side | None:
        """To which side that name leads from there now, TTLs aside; None if to neither."""
        address = self.address_of(name, vantage)
        return next((side for side in Side if alb_address(side, vantage) == address), None)

    def _of_balancer(self, name: str, rtype: str, vantage: Vantage) -> list[Record]:
        """What AWS's own zone has for the name of a load balancer."""
        address = self._alb_address(name, vantage) if rtype == "A" else None
        return [Record(name, "A", self._alias_ttl, address)] if address else []

    def _at(self, name: str) -> list[RecordSet]:
        return [
            RecordSet.of(kept)
            for zone in list(self._backend.zones.values())
            for kept in list(zone.rrsets)
            if plain(kept.name) == name
        ]

    def _is_parent(self, name: str) -> bool:
        """A name that has no records, but names below it that do, exists."""
        zones = list(self._backend.zones.values())
        return any(plain(kept.name).endswith(f".{name}") for zone in zones for kept in list(zone.rrsets))

    def _records(self, name: str, rtype: str, vantage: Vantage, depth: int) -> list[Record]:
        candidates = [record for record in self._at(name) if record.rtype == rtype]
        return [
            answered
            for record in choose(candidates, lambda one: self._is_healthy(one, depth))
            for answered in self._answered(record, vantage, depth)
        ]

    def _answered(self, record: RecordSet, vantage: Vantage, depth: int) -> list[Record]:
        if record.alias is None:
            return [Record(record.name, record.rtype, record.ttl, value) for value in record.values]
        _limit(record, depth)
        if self._at(record.alias):
            below = self._records(record.alias, record.rtype, vantage, depth + 1)
            return [Record(record.name, found.rtype, found.ttl, found.value) for found in below]
        address = self._alb_address(record.alias, vantage) if record.rtype == "A" else None
        return [Record(record.name, "A", self._alias_ttl, address)] if address else []

    def _is_healthy(self, record: RecordSet, depth: int) -> bool:
        """Its own health check, and for an alias that says so, its target: a record that would be answered, or a
        load balancer with a healthy target. What has neither is healthy.
        """
        if record.health_check_id is not None and not self._check_status(record.health_check_id):
            return False
        if record.alias is None or not record.evaluate_target_health:
            return True
        _limit(record, depth)
        below = [candidate for candidate in self._at(record.alias) if candidate.rtype == record.rtype]
        if below:
            return any(self._is_healthy(candidate, depth + 1) for candidate in below)
        return self._healthy_targets(record.alias)


def _limit(record: RecordSet, depth: int) -> None:
    if depth >= _DEEPEST_ALIAS:
        raise ValueError(f"record {record.name} {record.rtype}: its alias leads back to itself")
