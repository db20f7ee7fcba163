"""The hosted zone of the domain: there, public, and holding the name; and what stands at the name now."""

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from relight_cli import records
from relight_cli.aws import Aws, asking, code_of
from relight_cli.configuration import GLOBAL_REGION
from relight_cli.exit_code import Exit, Refused
from relight_cli.records import Record
from relight_cli.samconfig import Environment, Slot


@dataclass(frozen=True)
class Zone:
    """A public hosted zone. Its name has no trailing dot."""

    id: str
    name: str
    name_servers: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """For the list of what was checked."""
        return f"zone {self.id} is {self.name}, asked at {', '.join(self.name_servers)}"


def find(environment: Environment, aws: Aws) -> Zone:
    """The zone that the environment names. Refused where there is none, it is private, or not the domain's."""
    zone_id = environment.given(Slot.GLOBAL, "HostedZoneId")
    route53 = aws.client("route53", GLOBAL_REGION)
    with asking("read the hosted zone"):
        try:
            answer = route53.get_hosted_zone(Id=zone_id)
        except ClientError as error:
            if code_of(error) not in {"NoSuchHostedZone", "InvalidInput"}:
                raise
            raise _refused(environment, f"there is no hosted zone {zone_id}", "correct HostedZoneId") from error
    zone = answer["HostedZone"]
    name = records.plain(zone["Name"])
    if zone.get("Config", {}).get("PrivateZone"):
        raise _refused(environment, f"the hosted zone {zone_id} ({name}) is private", "name the public one")
    domain = environment.domain.lower()
    if domain != name and not domain.endswith(f".{name}"):
        raise _refused(
            environment, f"the hosted zone {zone_id} is {name}, which does not hold {domain}", "name its own"
        )
    servers = answer.get("DelegationSet", {}).get("NameServers", [])
    return Zone(zone_id, name, tuple(records.plain(server) for server in servers))


def at_domain(environment: Environment, zone: Zone, aws: Aws) -> list[Record]:
    """The record sets of the domain's own name."""
    found: list[Record] = []
    start: dict[str, Any] = {"StartRecordName": environment.domain}
    route53 = aws.client("route53", GLOBAL_REGION)
    while start:
        with asking("list the records of the domain"):
            page = route53.list_resource_record_sets(HostedZoneId=zone.id, **start)
        here = [one for one in page["ResourceRecordSets"] if records.plain(one["Name"]) == environment.domain.lower()]
        found += here
        more = page.get("IsTruncated") and len(here) == len(page["ResourceRecordSets"])
        keys = ("Name", "Type", "Identifier")
        start = {f"StartRecord{key}": page[f"NextRecord{key}"] for key in keys if f"NextRecord{key}" in page}
        start = start if more else {}
    return found


def check_records(environment: Environment, zone: Zone, aws: Aws) -> str:
    """Refused where a record stands in the way of the pair that the global stack creates; otherwise a sentence."""
    if environment.given(Slot.GLOBAL, "SiteRecords", "true") != "true":
        return f"the global stack leaves the records of {environment.domain} alone"
    wrong = records.obstacle(at_domain(environment, zone, aws), environment.domain)
    if wrong:
        raise Refused(
            f"{wrong} stands in the way of the failover pair",
            where=f"zone {zone.id}",
            do=f"set SiteRecords=false and follow the cut-over plan in {records.CUT_OVER}",
            code=Exit.RECORD,
        )
    return f"nothing stands in the way of the failover pair at {environment.domain}"


def _refused(environment: Environment, what: str, do: str) -> Refused:
    where = f"{environment.file.name} [{environment.stacks[Slot.GLOBAL].config_env}.deploy.parameters]"
    return Refused(what, where=where, do=do, code=Exit.ZONE)
