"""What an update of the stacks leaves alone: whatever holds data, the sizes and the fence of a failover, and the roles.

Both Regions are made by the lab from template.yaml, with PostgreSQL behind RDS. Nothing runs in them: there are no
instances and no functions. The tests of this file share them and go from one update to the next.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lab import environment, region
from lab.autoscaling import Autoscaling
from lab.binaries import folder
from lab.cloud import ACCOUNT, HOST, Cloud
from lab.deployment import Stack
from lab.errors import StackRefused
from lab.loadbalancing import LoadBalancers
from lab.network import Network
from lab.port import free_port
from lab.rds import Databases
from lab.region import REGION_NAME, Side, claim
from lab.stack import Stacks
from lab.timings import LAB
from tests.template.reading import ROOT, mentions, of_type, written

pytestmark = pytest.mark.deploy

NAME = environment.stack_name()
TEMPLATE = ROOT / "template.yaml"
TIMINGS = replace(LAB, rds_pending=0.0, rds_modifying=0.0, rds_rebooting=0.9, rds_renaming=0.0, rds_replicating=0.0)
ANOTHER = "another of this Region"

CHANGES: Mapping[str, str] = {
    "AccessLogs": "true",
    "ApprovalSeconds": "7200",
    "Architecture": "x86_64",
    "AskAgainSeconds": "120",
    "BackupReplication": "true",
    "BackupRetentionDays": "14",
    "BalancerProtection": "false",
    "CapacityReservation": "open-first",
    "CertificateArn": ANOTHER,
    "CompareSeconds": "7200",
    "ControlTargets": "https://dynamodb.us-west-2.amazonaws.com/ping",
    "CooldownSeconds": "1800",
    "DatabaseClass": "db.t4g.large",
    "DatabaseHoldDownSeconds": "240",
    "DatabaseMaxStorage": "200",
    "DatabaseStorage": "40",
    "DatabaseTls": "encrypt",
    "DecideSeconds": "600",
    "DesiredCapacity": "4",
    "Domain": "shop.example.org",
    "DrillDays": "30",
    "DrillMaxGib": "500",
    "DrillMaxUsd": "50",
    "DrillPlanSchedule": "rate(1 day)",
    "DrillRestoreSchedule": "none",
    "DrillSeconds": "7200",
    "FailoverCapacity": "3",
    "FenceSeconds": "4",
    "FlowLogs": "true",
    "FreshSeconds": "60",
    "GoAfter": "verify",
    "HardenSeconds": "3600",
    "HealthyPercent": "50",
    "HoldDownSeconds": "90",
    "ImageId": "ami-0123456789abcdef0",
    "InstanceArchitecture": "x86_64",
    "InstanceType": "m7g.large",
    "LeaseTermSeconds": "15",
    "LongestTransactionSeconds": "20",
    "LookAgainSeconds": "5",
    "MaxDataLossSeconds": "30",
    "MaxSize": "6",
    "MinSize": "2",
    "MoreInstanceTypes": "t4g.medium",
    "MultiAz": "true",
    "NameServers": "ns-2.awsdns-02.org",
    "NatGateways": "one-per-az",
    "OfferSeconds": "1800",
    "PeerConnectSeconds": "1",
    "PeerDataKeyArn": ANOTHER,
    "PeerNetworkAclId": "acl-0123456789abcdef0",
    "PeerNetworkPrefix": "10.30",
    "PeerReadSeconds": "3",
    "PeerReady": "false",
    "Policy": "manual",
    "QuiesceSeconds": "240",
    "QuietSeconds": "600",
    "ReadinessIsDeep": "false",
    "ReadinessPath": "/ready",
    "RebuildAgainSeconds": "30",
    "ReleaseKey": "releases/another.tar.gz",
    "ReplicationTimeControl": "true",
    "ReprotectSeconds": "43200",
    "Resolver": "192.0.2.1:53",
    "RetainedDays": "7",
    "RtoSeconds": "600",
    "RunSeconds": "1800",
    "SampleSeconds": "5",
    "SampleTimeoutSeconds": "3",
    "Samples": "3",
    "Scheme": "http",
    "SitePort": "8443",
    "SliceSeconds": "30",
    "StartWindowSeconds": "30",
    "StreamSilenceSeconds": "30",
    "TeardownSeconds": "1800",
    "TopicKeyArn": ANOTHER,
    "TransactionPath": "/baskets",
    "WarmPoolSize": "1",
    "WarmSeconds": "900",
}
"""Each parameter of template.yaml that may change after creation, and another value."""
BROUGHT: Mapping[str, str] = {
    "ExistingAppCidrs": "10.9.1.0/24",
    "ExistingBalancerFullName": "app/shop/0123456789abcdef",
    "ExistingBalancerName": "shop-1.eu-west-1.elb.amazonaws.com",
    "ExistingBalancerZoneId": "Z32O12XQLNTSW2",
    "ExistingCheckSecurityGroupId": "sg-0123456789abcdef0",
    "ExistingCheckSubnetIds": "subnet-0123456789abcdef0",
    "ExistingDatabaseHost": "shop.example.eu-west-1.rds.amazonaws.com",
    "ExistingDatabaseId": "store",
    "ExistingDatabaseName": "store",
    "ExistingDatabasePort": "5433",
    "ExistingGroupArns": f"arn:aws:autoscaling:eu-west-1:{ACCOUNT}:autoScalingGroup:*:autoScalingGroupName/store",
    "ExistingNetworkAclId": "acl-0123456789abcdef0",
    "ExistingTargetGroupFullName": "targetgroup/shop/0123456789abcdef",
    "PeerAppCidrs": "10.9.2.0/24",
    "PeerDatabaseId": "store-peer",
    "PeerGroupNames": "store-peer",
}
"""What names a workload that exists already: no update gives it to stacks that have made their own."""
TOGETHER: Mapping[str, Mapping[str, str]] = {
    "InstanceArchitecture": {"InstanceType": "m7i.large", "MoreInstanceTypes": ""},
}
"""What has to change with it, by the rules of the template."""

NEVER: Mapping[str, str] = {
    "Application": "it is in the name of everything",
    "CreateWorkload": "the workload is the stacks' own, or it is not",
    "DataKeyArn": "the key of a database can never be changed",
    "NetworkPrefix": "a VPC keeps its addresses, and the database its subnets",
    "PeerRegion": "names, the secret's replica and the replica's source are in the other Region",
    "Role": "the home role of a Region is fixed at deployment",
    "SourceDatabaseArn": "no replica gets another source; without one it is promoted",
}
REFUSED: Mapping[str, tuple[Side, Mapping[str, str], str]] = {
    "DataKeyArn": (
        Side.PRIMARY,
        {"DataKeyArn": ANOTHER},
        r"Update:Replace\] for resource \[LogicalResourceId/Primary\]",
    ),
    "SourceDatabaseArn": (
        Side.DR,
        {"SourceDatabaseArn": f"arn:aws:rds:eu-west-1:{ACCOUNT}:db:another"},
        r"Update:Replace\] for resource \[LogicalResourceId/Replica\]",
    ),
    "NetworkPrefix": (Side.DR, {"NetworkPrefix": "10.40"}, r"Update:Replace\] for resource \[LogicalResourceId/Vpc\]"),
    "Application": (Side.DR, {"Application": "store"}, r"Update:Replace\] for resource"),
    "Role": (Side.PRIMARY, {"Role": "dr"}, "Role dr needs SourceDatabaseArn"),
    "CreateWorkload": (
        Side.PRIMARY,
        {"CreateWorkload": "false", **BROUGHT, "SourceDatabaseArn": "", "CertificateArn": ""},
        r"Update:Delete\] for resource",
    ),
    "Existing...": (Side.DR, BROUGHT, "An existing workload is given by an Existing... parameter"),
}
"""What the template or its stack policy refuses."""


class World:
    """Both Regions, deployed from the templates and protected by the stack policy."""

    def __init__(self, cloud: Cloud, databases: Databases) -> None:
        self.cloud = cloud
        self.databases = databases
        self.stacks = Stacks(cloud, None, environment.IMAGE)
        keys = {side: self.keys("relight-shop-keys", side, environment.APPLICATION) for side in Side}
        self.other_keys = {side: self.keys("other-keys", side, "other") for side in Side}
        around = environment.Surroundings(
            443, dict.fromkeys(Side, "192.0.2.53:53"), "192.0.2.53:53", "http://192.0.2.1"
        )
        more = {side: self.given(side) for side in Side}
        for side in Side:
            parameters = environment.regional(side, around, TIMINGS, keys, more[side])
            outputs = self.stacks.create(NAME, REGION_NAME[side], TEMPLATE, parameters).outputs
            more[side.other] |= {
                "SourceDatabaseArn": outputs["DatabaseArn"],
                "PeerNetworkAclId": outputs["NetworkAclId"],
            }
        more[Side.PRIMARY].pop("SourceDatabaseArn")
        for side in Side:
            self.update(side, more[side] | {"PeerReady": "true"})
            self.stacks.protect(NAME, REGION_NAME[side], (ROOT / "stacks/policy.json").read_text(encoding="utf-8"))
            self.fail_over(side)

    def given(self, side: Side) -> dict[str, str]:
        return {"Scheme": "https", "CertificateArn": self.certificate(side), "Architecture": "arm64"}

    def certificate(self, side: Side) -> str:
        made = self.client("acm", side).request_certificate(DomainName="shop.example.com", ValidationMethod="DNS")
        return str(made["CertificateArn"])

    def another(self, side: Side, parameter: str) -> str:
        """Another value for a parameter that names something of that Region."""
        match parameter:
            case "CertificateArn":
                return self.certificate(side)
            case "TopicKeyArn":
                return self.other_keys[side]["TopicKeyArn"]
            case "PeerDataKeyArn":
                return self.other_keys[side.other]["DataKeyArn"]
        return self.other_keys[side]["DataKeyArn"]

    def keys(self, name: str, side: Side, application: str) -> Mapping[str, str]:
        path = ROOT / "stacks/keys.yaml"
        return self.stacks.create(name, REGION_NAME[side], path, {"Application": application}).outputs

    def fail_over(self, side: Side) -> None:
        """What a failover changes beside the stack: more capacity here, and a fence before the database."""
        self.scale(side)
        self.client("ec2", side).create_network_acl_entry(
            NetworkAclId=self.stack(side).outputs["NetworkAclId"],
            RuleNumber=1,
            Protocol="6",
            RuleAction="deny",
            Egress=False,
            CidrBlock="10.10.16.0/20",
            PortRange={"From": 5432, "To": 5432},
        )

    def scale(self, side: Side) -> None:
        groups = self.client("autoscaling", side)
        groups.update_auto_scaling_group(AutoScalingGroupName=f"shop-{side}", MinSize=3, MaxSize=5, DesiredCapacity=3)

    def client(self, service: str, side: Side) -> Any:
        return self.cloud.client(service, REGION_NAME[side])

    def stack(self, side: Side) -> Stack:
        stack = self.stacks.get(NAME, REGION_NAME[side])
        assert stack is not None
        return stack

    def update(self, side: Side, parameters: Mapping[str, str]) -> None:
        self.stacks.update(NAME, REGION_NAME[side], TEMPLATE, parameters)

    def sizes(self, side: Side) -> dict[str, int]:
        (group,) = self.client("autoscaling", side).describe_auto_scaling_groups(
            AutoScalingGroupNames=[f"shop-{side}"]
        )["AutoScalingGroups"]
        return {name: group[name] for name in ("MinSize", "DesiredCapacity", "MaxSize")}

    def fence(self, side: Side) -> list[dict[str, Any]]:
        identifier = self.stack(side).outputs["NetworkAclId"]
        (acl,) = self.client("ec2", side).describe_network_acls(NetworkAclIds=[identifier])["NetworkAcls"]
        return [entry for entry in acl["Entries"] if entry["RuleNumber"] == 1 and entry["RuleAction"] == "deny"]

    def look(self, side: Side, identifier: str) -> dict[str, Any]:
        found = self.client("rds", side).describe_db_instances(DBInstanceIdentifier=identifier)
        return dict(found["DBInstances"][0])

    def sql(self, side: Side, query: str) -> list[tuple[Any, ...]]:
        """What the database of that side answers to its owner."""
        secret = self.client("secretsmanager", Side.PRIMARY).get_secret_value(SecretId="relight/shop/database")
        login = json.loads(secret["SecretString"])
        endpoint = self.look(side, f"shop-{side}")["Endpoint"]
        with psycopg.connect(
            host=endpoint["Address"],
            port=endpoint["Port"],
            user=login["username"],
            password=login["password"],
            dbname="shop",
            connect_timeout=5,
            autocommit=True,
        ) as connection:
            cursor = connection.execute(query.encode())
            return list(cursor.fetchall()) if cursor.description else []


def physical_ids(stack: Stack, path: str = "") -> Iterator[tuple[str, str]]:
    """Physical id of whatever holds data, sizes or a fence, by its path through the nested stacks."""
    guarded = {"AWS::AutoScaling::AutoScalingGroup", "AWS::EC2::NetworkAcl"}
    for name, record in stack.records.items():
        if record.nested is not None:
            yield f"{path}{name}", record.made.physical_id
            yield from physical_ids(record.nested, f"{path}{name}/")
        elif record.kind is not None and (record.kind.holds_data or record.kind.type in guarded):
            yield f"{path}{name}", record.made.physical_id


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    network, data = Network(), folder("relight-test-")
    with ExitStack() as exits:
        exits.callback(shutil.rmtree, data, ignore_errors=True)
        exits.callback(setattr, region, "_block", region._block)  # the addresses of other tests in this process
        exits.enter_context(claim())
        cloud = Cloud(network)
        exits.callback(cloud.stop)
        databases = Databases(network, TIMINGS, data)
        databases.install()
        exits.callback(databases.stop)
        balancers = LoadBalancers(network, TIMINGS, free_port([HOST]))
        # Not started: it takes the groups' numbers, and launches nothing.
        groups = Autoscaling(TIMINGS, balancers, data, command=(), cwd=data, environment=lambda *_: {})
        groups.install()
        exits.callback(groups.stop)
        yield World(cloud, databases)


def test_each_parameter_may_change_or_not() -> None:
    assert not CHANGES.keys() & NEVER.keys()
    assert CHANGES.keys() | BROUGHT.keys() | NEVER.keys() == written().body["Parameters"].keys()


def of_the_workload() -> set[str]:
    """The parameters that reach a stack with data, sizes or a fence in it. All others are for functions and alarms."""
    stacks = list(of_type(written(), "AWS::CloudFormation::Stack").values())
    urls = {f"stacks/{name}.yaml" for name in ("network", "storage", "database", "compute", "ledger")}
    given = [properties["Parameters"] for properties in stacks if properties["TemplateURL"] in urls]
    assert len(given) == len(urls)
    conditions = written().body["Conditions"]
    through = {name for name in conditions if f"'{name}'" in str(given)}
    return {
        name
        for name in written().body["Parameters"]
        if mentions(given, name) or any(mentions(conditions[condition], name) for condition in through)
    }


def groups_of_changes() -> Iterator[Any]:
    """Each parameter of the workload by itself; what is for functions and alarms only, all at once."""
    apart = sorted(of_the_workload() & CHANGES.keys())
    for name in apart:
        yield pytest.param({name: CHANGES[name]} | dict(TOGETHER.get(name, {})), id=name)
    others = {name: value for name, value in CHANGES.items() if name not in apart}
    yield pytest.param(others, id="functions-and-alarms")


@pytest.mark.parametrize("changes", list(groups_of_changes()))
@pytest.mark.parametrize("side", Side)
def test_a_change_replaces_no_data_and_leaves_sizes_and_fence(
    world: World, side: Side, changes: dict[str, str]
) -> None:
    stack = world.stack(side)
    ids, sizes, fence = dict(physical_ids(stack)), world.sizes(side), world.fence(side)
    database = "Database/" + ("Primary" if side is Side.PRIMARY else "Replica")
    assert {database, "Storage/Data", "Ledger/Table", "Compute/Group", "Network/DatabaseAcl"} <= ids.keys()
    assert fence
    before = dict(stack.parameters)
    wanted = {name: world.another(side, name) if value == ANOTHER else value for name, value in changes.items()}
    assert any(before.get(name) != value for name, value in wanted.items())
    back = {name: before[name] if name in before else default(name) for name in wanted}
    sized = wanted.keys() & sizes
    stays = bool(sized) or "DatabaseStorage" in wanted  # RDS takes no storage back
    try:
        for parameters in [wanted] if stays else [wanted, back]:
            world.update(side, parameters)
            now = dict(physical_ids(world.stack(side)))
            assert {path: now.get(path) for path in ids} == ids
            assert world.fence(side) == fence
            assert world.sizes(side) == sizes | {name: int(wanted[name]) for name in sized}
    finally:
        world.scale(side)
        if not stays:
            world.stack(side).parameters = before  # also where it failed: each test begins with the same


def default(name: str) -> str:
    return str(written().body["Parameters"][name]["Default"])


# --- What a failover has done -----------------------------------------------------------------------------------------

HARMLESS = ("db.t4g.large", "db.t4g.medium")
"""Two classes: a change between them modifies each instance."""


def roles(world: World) -> dict[Side, tuple[str, str]]:
    """Of each side's instance: what it replicates as the API says, and whether PostgreSQL takes writes."""
    return {
        side: (
            world.look(side, f"shop-{side}").get("ReadReplicaSourceDBInstanceIdentifier", "nothing"),
            "reads" if world.sql(side, "SELECT pg_is_in_recovery()") == [(True,)] else "writes",
        )
        for side in Side
    }


def orders(world: World, side: Side) -> list[int]:
    return [row[0] for row in world.sql(side, "SELECT id FROM orders ORDER BY id")]


def until(look: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not look():
        assert time.monotonic() < deadline, f"not within 30 s: {what}"
        time.sleep(0.05)


def promote(world: World, side: Side) -> None:
    identifier = f"shop-{side}"
    world.client("rds", side).promote_read_replica(DBInstanceIdentifier=identifier, BackupRetentionPeriod=7)
    until(lambda: "ReadReplicaSourceDBInstanceIdentifier" not in world.look(side, identifier), "promoted")
    world.databases.wait(side, identifier)


def rebuild(world: World, side: Side) -> None:
    """The instance of that side anew, as a replica of the other one, under its old name and with its old settings."""
    rds, identifier = world.client("rds", side), f"shop-{side}"
    old = world.look(side, identifier)
    rds.modify_db_instance(
        DBInstanceIdentifier=identifier, NewDBInstanceIdentifier=f"{identifier}-old", ApplyImmediately=True
    )
    until(lambda: identifier not in {database.identifier for database in world.databases.all(side)}, "renamed")
    rds.create_db_instance_read_replica(
        DBInstanceIdentifier=identifier,
        SourceDBInstanceIdentifier=world.look(side.other, f"shop-{side.other}")["DBInstanceArn"],
        SourceRegion=REGION_NAME[side.other],
        KmsKeyId=old["KmsKeyId"],
        DBSubnetGroupName=old["DBSubnetGroup"]["DBSubnetGroupName"],
        DBInstanceClass=old["DBInstanceClass"],
        DeletionProtection=True,
        Port=old["Endpoint"]["Port"],
    )
    world.databases.wait(side, identifier)


def update_both(world: World, database_class: str) -> None:
    for side in Side:
        world.update(side, {"DatabaseClass": database_class})
        assert world.look(side, f"shop-{side}")["DBInstanceClass"] == database_class


def test_an_update_after_a_failover_changes_neither_role(world: World) -> None:
    primary, dr = Side
    world.sql(primary, "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders VALUES (1)")
    until(lambda: world.sql(dr, "SELECT to_regclass('orders')") == [("orders",)], "the table in dr")
    source = world.look(primary, "shop-primary")["DBInstanceArn"]
    assert roles(world) == {primary: ("nothing", "writes"), dr: (source, "reads")}
    promote(world, dr)
    world.sql(dr, "INSERT INTO orders VALUES (2)")
    ids = {side: dict(physical_ids(world.stack(side))) for side in Side}
    sizes, fences = [world.sizes(side) for side in Side], [world.fence(side) for side in Side]

    update_both(world, HARMLESS[0])
    # The template still says what dr replicates, and did when it was created.
    assert world.stack(dr).parameters["SourceDatabaseArn"] == source
    assert roles(world) == {primary: ("nothing", "writes"), dr: ("nothing", "writes")}
    assert (orders(world, primary), orders(world, dr)) == ([1], [1, 2])
    assert {side: dict(physical_ids(world.stack(side))) for side in Side} == ids
    assert [world.sizes(side) for side in Side] == sizes
    assert [world.fence(side) for side in Side] == fences


def test_after_a_circle_the_stacks_still_own_what_they_own(world: World) -> None:
    """Failover, as the test before this one leaves it, and home again."""
    primary, dr = Side
    ids = {side: dict(physical_ids(world.stack(side))) for side in Side}
    numbers = {side: world.look(side, f"shop-{side}")["DbiResourceId"] for side in Side}
    hosts = {side: world.stack(side).nested("Database").outputs["Host"] for side in Side}
    rebuild(world, primary)
    promote(world, primary)
    rebuild(world, dr)
    source = world.look(primary, "shop-primary")["DBInstanceArn"]
    home = {primary: ("nothing", "writes"), dr: (source, "reads")}
    assert roles(world) == home

    update_both(world, HARMLESS[1])
    assert roles(world) == home
    assert (orders(world, primary), orders(world, dr)) == ([1, 2], [1, 2])
    assert {side: dict(physical_ids(world.stack(side))) for side in Side} == ids
    # An endpoint belongs to the name. The resource id does not: hence `dbuser:*` in the policy of dbcheck.
    assert {side: world.look(side, f"shop-{side}")["Endpoint"]["Address"] for side in Side} == hosts
    for side in Side:
        assert world.look(side, f"shop-{side}")["DbiResourceId"] != numbers[side]


REPLICA = """
Parameters:
  Source: { Type: String, Default: "" }
  Subnets: { Type: String }
  KeyArn: { Type: String }
Conditions:
  HasSource: !Not [!Equals [!Ref Source, ""]]
Resources:
  Replica:
    Type: AWS::RDS::DBInstance
    Properties:
      DBInstanceIdentifier: reports
      SourceDBInstanceIdentifier: !If [HasSource, !Ref Source, !Ref AWS::NoValue]
      DBInstanceClass: db.t4g.medium
      DBSubnetGroupName: !Ref Subnets
      KmsKeyId: !Ref KeyArn
"""


def test_a_template_that_forgets_the_source_promotes_the_replica(world: World, tmp_path: Path) -> None:
    """Why no parameter and no condition takes SourceDBInstanceIdentifier away."""
    template, region = tmp_path / "replica.yaml", REGION_NAME[Side.DR]
    template.write_text(REPLICA, encoding="utf-8")
    source = world.look(Side.PRIMARY, "shop-primary")["DBInstanceArn"]
    subnets = world.look(Side.DR, "shop-dr")["DBSubnetGroup"]["DBSubnetGroupName"]
    given = {"Subnets": subnets, "KeyArn": world.another(Side.DR, "DataKeyArn")}
    world.stacks.create("reports", region, template, given | {"Source": source})
    world.stacks.update("reports", region, template, {"Source": ""})
    assert "ReadReplicaSourceDBInstanceIdentifier" not in world.look(Side.DR, "reports")
    assert [identifier for identifier, _ in world.databases.promotions][-1] == "reports"
    with pytest.raises(StackRefused, match="a change of SourceDBInstanceIdentifier would replace it and its data"):
        world.stacks.update("reports", region, template, {"Source": source})


# --- What cannot change -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_change_is_refused(world: World, name: str) -> None:
    """The last tests of this file: the lab does not undo what an update had changed before it was refused."""
    side, parameters, said = REFUSED[name]
    ids, before = dict(physical_ids(world.stack(side))), dict(world.stack(side).parameters)
    wanted = {key: world.another(side, key) if value == ANOTHER else value for key, value in parameters.items()}
    try:
        with pytest.raises(StackRefused, match=said):
            world.update(side, wanted)
    finally:
        world.stack(side).parameters = before
    now = dict(physical_ids(world.stack(side)))
    assert {path: now.get(path) for path in ids} == ids
