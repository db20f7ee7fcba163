"""What an existing workload must be like, judged by what AWS says of it: facts in, sentences out.

What a parameter can tell, template.yaml refuses itself; what stands here only AWS knows. Each refusal says why.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from itertools import zip_longest
from typing import Any

from botocore.exceptions import ClientError

from relight_cli.aws import Aws, asking, code_of
from relight_cli.exit_code import Exit, Refused
from relight_cli.samconfig import REGIONAL, Environment, Slot

type Described = Mapping[str, Any]
_DEFAULT_READINESS = "/health/ready"
_UNKNOWN_CODES = frozenset(
    {"DBInstanceNotFound", "DBInstanceNotFoundFault", "LoadBalancerNotFound", "InvalidNetworkAclID.NotFound"}
)


@dataclass(frozen=True)
class Side:
    """One Region: the parameters it is given, and what AWS answers about what they name. None: there is no such thing.

    The answers are those of boto3: an item of DBInstances, AutoScalingGroups, LoadBalancers, TargetGroups, NetworkAcls.
    """

    region: str
    given: Mapping[str, str]
    database: Described | None = None
    groups: Sequence[Described] = ()
    balancer: Described | None = None
    target_groups: Sequence[Described] = ()
    """Those of the balancer."""
    acl: Described | None = None
    check_cidrs: Sequence[str] = ()
    """Of the subnets that dbcheck runs in."""

    @property
    def group_names(self) -> list[str]:
        """The Auto Scaling groups that ExistingGroupArns names, in its order."""
        return [arn.rpartition("autoScalingGroupName/")[2] for arn in _listed(self.given, "ExistingGroupArns")]


@dataclass(frozen=True)
class Record:
    """A record that the domain has now, and the name that it leads to; the cut-over takes its place."""

    name: str
    alias: str


def problems(primary: Side, dr: Side, leads: Record | None = None) -> list[str]:
    """Why this workload cannot be failed over as it is, in the order in which a person would mend it; empty if it can.

    Asked where the primary is active: after a failover the replica replicates from nothing, and rightly so.
    """
    found = [*_front(leads)]
    for side, peer in ((primary, dr), (dr, primary)):
        for sentence in (*_database(side), *_groups(side, peer), *_balancer(side), *_fence(side)):
            found.append(f"{side.region}: {sentence}")
    return [*found, *_replication(primary, dr)]


# In front.


def _front(leads: Record | None) -> Iterator[str]:
    alias = leads.alias.rstrip(".").lower() if leads else ""
    if leads and alias.endswith(".awsglobalaccelerator.com"):
        yield (
            f"{leads.name} leads to Global Accelerator, which follows its endpoints' health by itself: no switch could "
            "keep a primary that comes back from drawing traffic. Take it out of the way"
        )
    if leads and alias.endswith(".cloudfront.net"):
        yield (
            f"{leads.name} leads to CloudFront: give Domain the name of its origin, so that the failover takes place "
            "behind it"
        )


# The database.


def _database(side: Side) -> Iterator[str]:
    identifier, database = side.given.get("ExistingDatabaseId", ""), side.database
    if database is None:
        yield f"there is no DB instance {identifier}"
        return
    wrong = _kind(database)
    if wrong:
        yield f"{identifier} {wrong}"
        return
    if not database.get("IAMDatabaseAuthenticationEnabled"):
        yield f"{identifier} has no IAM authentication, and dbcheck knows no password"
    if "MasterUserSecret" in database:
        yield f"the master password of {identifier} is managed by RDS, which PostgreSQL cannot have beside replicas"
    endpoint = database.get("Endpoint", {})
    at = (endpoint.get("Address"), str(endpoint.get("Port", "")))
    given = (side.given.get("ExistingDatabaseHost"), side.given.get("ExistingDatabasePort", "5432"))
    if at != given:
        yield f"{identifier} is at {at[0]}:{at[1]}, and not at {given[0]}:{given[1]}; dbcheck's token names it"


def _kind(database: Described) -> str:
    """Why an instance of this kind cannot be promoted, or asked; empty where it can."""
    engine, cluster = str(database.get("Engine", "")), database.get("DBClusterIdentifier")
    if engine.startswith("aurora"):
        return (
            f"is Aurora ({engine}), whose instances are not promoted one by one. Use Aurora Global Database and its "
            "own failover-global-cluster"
        )
    if cluster:
        return f"belongs to the Multi-AZ DB cluster {cluster}, whose members are not promoted one by one"
    if engine != "postgres":
        return f"is {engine}: the replication and the writes are judged by what PostgreSQL says, and by nothing else"
    return ""


def _replication(primary: Side, dr: Side) -> Iterator[str]:
    if primary.database is None or dr.database is None or _kind(primary.database) or _kind(dr.database):
        return
    of, source = (
        "ReadReplicaSourceDBInstanceIdentifier",
        str(dr.database.get("ReadReplicaSourceDBInstanceIdentifier", "")),
    )
    name, home = dr.given["ExistingDatabaseId"], f"{primary.region}: {primary.given['ExistingDatabaseId']}"
    if primary.database.get(of):
        yield f"{home} is a replica itself"
    if not primary.database.get("BackupRetentionPeriod"):
        yield f"{home} has no automated backups, so it can have no replica"
    if not source:
        yield f"{dr.region}: {name} replicates from nothing"
    elif not source.startswith("arn:"):
        yield f"{dr.region}: {name} replicates within its own Region, and would be lost with it"
    elif source != primary.database.get("DBInstanceArn"):
        yield f"{dr.region}: {name} replicates from {source}, and not from {primary.database.get('DBInstanceArn')}"
    for side, peer in ((primary, dr), (dr, primary)):
        if side.given.get("PeerDatabaseId") != peer.given.get("ExistingDatabaseId"):
            yield f"{side.region}: PeerDatabaseId is not the ExistingDatabaseId of {peer.region}"


# Capacity.


def _groups(side: Side, peer: Side) -> Iterator[str]:
    found = {str(group["AutoScalingGroupName"]): group for group in side.groups}
    for name in side.group_names:
        if name not in found:
            yield f"there is no Auto Scaling group {name}"
        else:
            yield from (f"the Auto Scaling group {name} {wrong}" for wrong in _group(found[name], deep=_deep(side)))
    pairs = list(zip_longest(_listed(side.given, "PeerGroupNames"), peer.group_names))
    if any(named != there for named, there in pairs):
        yield f"PeerGroupNames are not the groups of ExistingGroupArns in {peer.region}, in the same order"
    serving = side.given.get("ExistingTargetGroupFullName", "")
    behind = [arn for group in side.groups for arn in group.get("TargetGroupARNs", [])]
    if side.groups and not any(arn.endswith(f":{serving}") for arn in behind):
        yield f"no Auto Scaling group is behind {serving}"


def _group(group: Described, *, deep: bool) -> Iterator[str]:
    if deep and "ELB" in str(group.get("HealthCheckType", "")):
        yield (
            "has the health check ELB, by which an instance that waits for the promotion is replaced, again and again. "
            "Make it EC2"
        )
    if group.get("LoadBalancerNames"):
        yield "is behind a Classic Load Balancer, whose instances nobody here asks after"


# The balancer.


def _balancer(side: Side) -> Iterator[str]:
    name, balancer = side.given.get("ExistingBalancerName", ""), side.balancer
    if balancer is None:
        yield f"there is no load balancer {name}"
        return
    if balancer.get("Type") != "application":
        yield f"{name} is of type {balancer.get('Type')}, and not an Application Load Balancer"
    if balancer.get("Scheme") != "internet-facing":
        yield f"{name} is internal: Route 53's checkers cannot reach it, so the view from outside would be missing"
    if balancer.get("CanonicalHostedZoneId") != side.given.get("ExistingBalancerZoneId"):
        yield f"the hosted zone of {name} is {balancer.get('CanonicalHostedZoneId')}"
    if not str(balancer.get("LoadBalancerArn", "")).endswith(
        f":loadbalancer/{side.given.get('ExistingBalancerFullName')}"
    ):
        yield f"ExistingBalancerFullName is not the end of {balancer.get('LoadBalancerArn')}"
    yield from _targets(side)


def _targets(side: Side) -> Iterator[str]:
    if len(side.target_groups) > 1:
        yield "the balancer has several target groups, and an empty one makes it unhealthy in Route 53's eyes"
    readiness = side.given.get("ReadinessPath", _DEFAULT_READINESS)
    for group in side.target_groups:
        asked = group.get("HealthCheckPath")
        if _deep(side) and asked != readiness:
            yield (
                f"the target group asks {asked} and not {readiness}, and so holds no traffic back until writes work. "
                "Let it ask there, or set ReadinessIsDeep to false and GoAfter to verify"
            )


# The fence.


def _fence(side: Side) -> Iterator[str]:
    identifier = side.given.get("ExistingNetworkAclId", "")
    if not identifier:
        return
    if side.acl is None:
        yield f"there is no network ACL {identifier}"
        return
    denied = _listed(side.given, "ExistingAppCidrs")
    ours = set(range(1, len(denied) + 1))
    taken = [
        entry["RuleNumber"]
        for entry in side.acl.get("Entries", [])
        if not entry.get("Egress") and entry["RuleNumber"] in ours
        if not (entry.get("RuleAction") == "deny" and entry.get("CidrBlock") in denied)
    ]
    if taken:
        yield f"the rules {', '.join(map(str, sorted(taken)))} of {identifier} are taken, and the fence needs them"
    subnets = (side.database or {}).get("DBSubnetGroup", {}).get("Subnets", [])
    covered = {association.get("SubnetId") for association in side.acl.get("Associations", [])}
    if open_ones := [s["SubnetIdentifier"] for s in subnets if s["SubnetIdentifier"] not in covered]:
        yield f"{identifier} does not cover {', '.join(open_ones)}, where the database may be: nothing would be fenced"
    networks = [ip_network(cidr) for cidr in denied]
    if any(ip_network(cidr).overlaps(network) for cidr in side.check_cidrs for network in networks):
        yield "dbcheck's subnets are among ExistingAppCidrs, so the fence would cut it off as well"


# Asking AWS.


def record(record_sets: Sequence[Described]) -> Record | None:
    """What the domain's record sets, as Route 53 lists them, lead to; None where they hold addresses only."""
    for each in record_sets:
        alias = each.get("AliasTarget", {}).get("DNSName")
        values = [value["Value"] for value in each.get("ResourceRecords", [])] if each.get("Type") == "CNAME" else []
        if alias or values:
            return Record(each["Name"].rstrip("."), alias or values[0])
    return None


def look(region: str, given: Mapping[str, str], client: Callable[[str], Any]) -> Side:
    """What AWS says of one Region's existing workload; `client` makes the boto3 client of a service there."""
    balancer = _balancer_at(client("elbv2"), given.get("ExistingBalancerName", ""))
    names = [arn.rpartition("autoScalingGroupName/")[2] for arn in _listed(given, "ExistingGroupArns")]
    arn = balancer["LoadBalancerArn"] if balancer else None
    return Side(
        region,
        given,
        _first(
            lambda: client("rds").describe_db_instances(DBInstanceIdentifier=given.get("ExistingDatabaseId"))[
                "DBInstances"
            ]
        ),
        client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=names)["AutoScalingGroups"],
        balancer,
        client("elbv2").describe_target_groups(LoadBalancerArn=arn)["TargetGroups"] if arn else (),
        _acl(client, given.get("ExistingNetworkAclId", "")),
        _check_cidrs(client, _listed(given, "ExistingCheckSubnetIds")),
    )


def check(environment: Environment, aws: Aws, leads: Record | None = None) -> str:
    """Refused with the first problem of an environment that brings its workload along; otherwise a sentence."""
    sides = {}
    for slot in REGIONAL:
        settings = environment.stacks[slot]

        def client(service: str, region: str = settings.region) -> Any:
            return aws.client(service, region)

        with asking(f"look at the workload of {settings.region}"):
            sides[slot] = look(settings.region, settings.overrides, client)
    found = problems(sides[Slot.PRIMARY], sides[Slot.DR], leads)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        where = f"{environment.file.name}, the existing workload{more}"
        raise Refused(found[0], where=where, do="docs/bring-your-own.md says what is needed", code=Exit.BAD_INPUT)
    return "the existing workload can be failed over"


def _first(ask: Callable[[], Sequence[Described]]) -> Described | None:
    """What AWS describes, or None where it knows no such thing."""
    try:
        return next(iter(ask()), None)
    except ClientError as error:
        if code_of(error) in _UNKNOWN_CODES:
            return None
        raise


def _balancer_at(balancing: Any, name: str) -> Described | None:
    """The balancer of that DNS name: it cannot be asked for by it."""
    wanted = name.lower().removeprefix("dualstack.")
    for page in balancing.get_paginator("describe_load_balancers").paginate():
        for balancer in page["LoadBalancers"]:
            if balancer["DNSName"].lower() == wanted:
                found: Described = balancer
                return found
    return None


def _acl(client: Callable[[str], Any], identifier: str) -> Described | None:
    if not identifier:
        return None
    return _first(lambda: client("ec2").describe_network_acls(NetworkAclIds=[identifier])["NetworkAcls"])


def _check_cidrs(client: Callable[[str], Any], subnets: Sequence[str]) -> list[str]:
    if not subnets:
        return []
    return [subnet["CidrBlock"] for subnet in client("ec2").describe_subnets(SubnetIds=subnets)["Subnets"]]


def _deep(side: Side) -> bool:
    return side.given.get("ReadinessIsDeep", "true") == "true"


def _listed(given: Mapping[str, str], name: str) -> list[str]:
    return [item.strip() for item in given.get(name, "").split(",") if item.strip()]
