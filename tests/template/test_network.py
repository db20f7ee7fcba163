"""stacks/network.yaml as the lab makes it: read back through EC2's own API, for each way out to the internet."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lab.cloud import Cloud
from lab.network import Network
from lab.stack import Stack, Stacks
from tests.template.reading import ROOT, as_list, of_type, text, written

REGION = "eu-west-1"
TEMPLATE = ROOT / "stacks" / "network.yaml"
GIVEN = {"NetworkPrefix": "10.10", "SitePort": "443"}
WAYS_OUT = ("none", "one", "one-per-az")
ANYWHERE = "0.0.0.0/0"


@pytest.fixture(scope="module")
def stacks() -> Iterator[Stacks]:
    cloud = Cloud(Network())
    yield Stacks(cloud)
    cloud.stop()


@dataclass(frozen=True)
class Made:
    """The network of one Region, and what EC2 says of it."""

    stack: Stack
    ec2: Any

    @property
    def ours(self) -> list[dict[str, Any]]:
        return [{"Name": "vpc-id", "Values": [self.stack.outputs["VpcId"]]}]

    def subnets(self, output: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ec2.describe_subnets(SubnetIds=self.stack.outputs[output].split(","))[
            "Subnets"
        ]
        return found

    def table(self, subnet: str) -> dict[str, Any]:
        """The route table that rules a subnet."""
        by_subnet = [{"Name": "association.subnet-id", "Values": [subnet]}]
        (found,) = self.ec2.describe_route_tables(Filters=by_subnet)["RouteTables"]
        return dict(found)

    def default_route(self, subnet: str) -> dict[str, Any] | None:
        routes = self.table(subnet)["Routes"]
        return next((route for route in routes if route.get("DestinationCidrBlock") == ANYWHERE), None)

    def zones_of_nat_gateways(self, subnets: str) -> list[str | None]:
        """For each of these subnets, the zone of the NAT gateway that it goes out through."""
        zones: list[str | None] = []
        for subnet in self.stack.outputs[subnets].split(","):
            route = self.default_route(subnet)
            if route is None:
                zones.append(None)
                continue
            (gateway,) = self.ec2.describe_nat_gateways(NatGatewayIds=[route["NatGatewayId"]])["NatGateways"]
            (public,) = self.ec2.describe_subnets(SubnetIds=[gateway["SubnetId"]])["Subnets"]
            assert public["SubnetId"] in self.stack.outputs["PublicSubnetIds"]
            zones.append(str(public["AvailabilityZone"]))
        return zones

    def group(self, name: str) -> dict[str, Any]:
        (found,) = self.ec2.describe_security_groups(GroupIds=[self.stack.resources[name]])["SecurityGroups"]
        return dict(found)

    def rules(self, name: str, direction: str) -> set[tuple[int | None, str]]:
        """(port, other end) of each rule of a group; the other end is a logical id or a range of addresses."""
        names = {identity: logical for logical, identity in self.stack.resources.items()}
        found: set[tuple[int | None, str]] = set()
        for rule in self.group(name)["IpPermissions" if direction == "in" else "IpPermissionsEgress"]:
            assert rule.get("FromPort") == rule.get("ToPort")
            ends = [names[pair["GroupId"]] for pair in rule["UserIdGroupPairs"]]
            ends += [block["CidrIp"] for block in rule["IpRanges"]]
            found |= {(rule.get("FromPort"), end) for end in ends}
        return found


@pytest.fixture(scope="module", params=WAYS_OUT)
def made(request: pytest.FixtureRequest, stacks: Stacks) -> Iterator[Made]:
    name = str(request.param)
    stack = stacks.create(name, REGION, TEMPLATE, GIVEN | {"Application": name, "NatGateways": name})
    yield Made(stack, stacks.place(stack, {}).client("ec2"))
    stacks.delete(name, REGION)


# Addresses and routes


def test_each_tier_has_two_subnets_in_two_zones_and_the_blocks_that_the_fence_knows(made: Made) -> None:
    blocks = {
        "PublicSubnetIds": {"10.10.0.0/24", "10.10.1.0/24"},
        "AppSubnetIds": {"10.10.16.0/20", "10.10.32.0/20"},
        "DatabaseSubnetIds": {"10.10.64.0/24", "10.10.65.0/24"},
    }
    for output, expected in blocks.items():
        subnets = made.subnets(output)
        assert {subnet["CidrBlock"] for subnet in subnets} == expected
        assert len({subnet["AvailabilityZone"] for subnet in subnets}) == 2
        assert not any(subnet["MapPublicIpOnLaunch"] for subnet in subnets)
    every = [ipaddress.ip_network(block) for group in blocks.values() for block in group]
    assert not [(a, b) for a in every for b in every if a is not b and a.overlaps(b)]


def test_the_public_subnets_go_out_through_the_internet_gateway(made: Made) -> None:
    for subnet in made.stack.outputs["PublicSubnetIds"].split(","):
        route = made.default_route(subnet)
        assert route and route["GatewayId"] == made.stack.resources["Gateway"]


def test_the_database_has_no_way_out(made: Made) -> None:
    for subnet in made.stack.outputs["DatabaseSubnetIds"].split(","):
        assert made.default_route(subnet) is None


def test_the_application_goes_out_through_as_many_nat_gateways_as_are_wanted(made: Made) -> None:
    expected = {
        "none": [None, None],
        "one": [f"{REGION}a", f"{REGION}a"],
        "one-per-az": [f"{REGION}a", f"{REGION}b"],
    }[made.stack.name]
    assert made.zones_of_nat_gateways("AppSubnetIds") == expected
    gateways = made.ec2.describe_nat_gateways(Filters=made.ours)["NatGateways"]
    assert len(gateways) == len({zone for zone in expected if zone})


def test_each_private_subnet_reaches_s3_and_dynamodb_without_a_nat_gateway(made: Made) -> None:
    endpoints = made.ec2.describe_vpc_endpoints(Filters=made.ours)["VpcEndpoints"]
    gateways = {endpoint["ServiceName"]: endpoint for endpoint in endpoints if endpoint["VpcEndpointType"] == "Gateway"}
    assert gateways.keys() == {f"com.amazonaws.{REGION}.s3", f"com.amazonaws.{REGION}.dynamodb"}
    for output in ("AppSubnetIds", "DatabaseSubnetIds"):
        for subnet in made.stack.outputs[output].split(","):
            table = made.table(subnet)
            through = {route.get("GatewayId") for route in table["Routes"]}
            for endpoint in gateways.values():
                assert table["RouteTableId"] in endpoint["RouteTableIds"]
                assert endpoint["VpcEndpointId"] in through


def test_the_way_out_can_be_changed_while_it_is_used(stacks: Stacks) -> None:
    """A route is pointed elsewhere; no subnet gets another table, which would cut what is open."""
    created = stacks.create("change", REGION, TEMPLATE, GIVEN | {"Application": "change"})
    made = Made(created, stacks.place(created, {}).client("ec2"))
    assert made.zones_of_nat_gateways("AppSubnetIds") == [f"{REGION}a", f"{REGION}a"]
    subnets = created.outputs["AppSubnetIds"].split(",")
    tables = [made.table(subnet)["RouteTableId"] for subnet in subnets]
    for wanted, zones in (
        ("one-per-az", [f"{REGION}a", f"{REGION}b"]),
        ("one", [f"{REGION}a", f"{REGION}a"]),
        ("none", [None, None]),
    ):
        updated = stacks.update("change", REGION, TEMPLATE, {"NatGateways": wanted})
        assert Made(updated, made.ec2).zones_of_nat_gateways("AppSubnetIds") == zones
        assert [made.table(subnet)["RouteTableId"] for subnet in subnets] == tables
    stacks.delete("change", REGION)


# Who may talk to whom


@pytest.mark.parametrize(
    ("group", "inwards", "outwards"),
    [
        ("BalancerSecurityGroup", {(443, ANYWHERE)}, {(8000, "AppSecurityGroup")}),
        (
            "AppSecurityGroup",
            {(8000, "BalancerSecurityGroup")},
            {(443, ANYWHERE), (5432, "DatabaseSecurityGroup")},
        ),
        ("CheckSecurityGroup", set(), {(5432, "DatabaseSecurityGroup")}),
        ("EndpointSecurityGroup", {(443, "AppSecurityGroup")}, {(None, "127.0.0.1/32")}),
        (
            "DatabaseSecurityGroup",
            {(5432, "AppSecurityGroup"), (5432, "CheckSecurityGroup")},
            {(None, "127.0.0.1/32")},
        ),
    ],
)
def test_each_tier_names_the_next_one_both_ways(
    made: Made, group: str, inwards: set[tuple[int, str]], outwards: set[tuple[int, str]]
) -> None:
    assert (made.rules(group, "in"), made.rules(group, "out")) == (inwards, outwards)


def test_only_the_port_of_the_site_is_open_to_the_world(made: Made) -> None:
    """Port 80 is not: no client is told to try there."""
    open_to_all = {
        (group, port)
        for group in of_type(written("network"), "AWS::EC2::SecurityGroup")
        for port, end in made.rules(group, "in")
        if end == ANYWHERE
    }
    assert open_to_all == {("BalancerSecurityGroup", 443)}


def test_the_network_acl_lets_the_vpc_in_and_leaves_the_first_numbers_to_the_fence(made: Made) -> None:
    (acl,) = made.ec2.describe_network_acls(NetworkAclIds=[made.stack.outputs["NetworkAclId"]])["NetworkAcls"]
    assert {association["SubnetId"] for association in acl["Associations"]} == set(
        made.stack.outputs["DatabaseSubnetIds"].split(",")
    )
    allowed = [entry for entry in acl["Entries"] if entry["RuleAction"] == "allow"]
    assert {(entry["Egress"], entry["CidrBlock"]) for entry in allowed} == {
        (False, "10.10.0.0/16"),
        (True, "10.10.0.0/16"),
    }
    assert all(entry["RuleNumber"] >= 100 for entry in acl["Entries"])


def test_an_endpoint_carries_this_accounts_calls_on_this_accounts_resources() -> None:
    """The one exception is the bucket with the packages of the operating system, for reading."""
    account = {"Ref": "AWS::AccountId"}
    bounded = {"StringEquals": {"aws:PrincipalAccount": account, "aws:ResourceAccount": account}}
    for endpoint in of_type(written("network"), "AWS::EC2::VPCEndpoint").values():
        statements = endpoint["PolicyDocument"]["Statement"]
        unbounded = [statement for statement in statements if statement.get("Condition") != bounded]
        assert len(unbounded) < len(statements)
        if text(endpoint["ServiceName"]).endswith(".s3"):
            (packages,) = unbounded
            assert packages["Action"] == "s3:GetObject"
            assert ":::al2023-repos-${AWS::Region}-" in text(packages["Resource"])
        else:
            assert unbounded == []


# Flow logs


def test_flow_logs_are_written_by_a_role_that_can_write_nothing_else(made: Made) -> None:
    (flows,) = made.ec2.describe_flow_logs(Filters=[{"Name": "resource-id", "Values": [made.stack.outputs["VpcId"]]}])[
        "FlowLogs"
    ]
    assert flows["DeliverLogsStatus"] == "SUCCESS"  # moto says FAILED where the log group is not there
    assert (flows["TrafficType"], flows["LogGroupName"]) == ("ALL", f"/relight/{made.stack.name}/flows")
    role = written("network").resources["FlowLogRole"]["Properties"]
    (policy,) = role["Policies"]
    allowed = [
        (action, text(statement["Resource"]))
        for statement in policy["PolicyDocument"]["Statement"]
        for action in as_list(statement["Action"])
    ]
    writing = [(action, resource) for action, resource in allowed if ":Describe" not in action]
    assert writing
    assert {resource for _, resource in writing} == {"FlowLogGroup.Arn"}


def test_without_flow_logs_there_is_neither_log_group_nor_role(stacks: Stacks) -> None:
    stack = stacks.create("quiet", REGION, TEMPLATE, GIVEN | {"Application": "quiet", "FlowLogs": "false"})
    assert not {"Flows", "FlowLogGroup", "FlowLogRole"} & stack.resources.keys()
    stacks.delete("quiet", REGION)
