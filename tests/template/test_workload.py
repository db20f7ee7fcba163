"""stacks/: the workload of a Region, where the failover relies on it."""

import ipaddress
from typing import Any

import pytest

from tests.template.reading import of_type, text, written
from tests.template.region import region


def properties(stack: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = written(stack).resources[name]["Properties"]
    return found


# Capacity waits for the promotion, and is not replaced for it (rule 5).


def test_the_balancer_has_one_target_group_and_it_asks_for_readiness() -> None:
    (group,) = of_type(written("compute"), "AWS::ElasticLoadBalancingV2::TargetGroup").values()
    assert (group["HealthCheckPath"], group["Matcher"]) == ("/health/ready", {"HttpCode": "200"})
    (listener,) = of_type(written("compute"), "AWS::ElasticLoadBalancingV2::Listener").values()
    assert listener["DefaultActions"] == [{"Type": "forward", "TargetGroupArn": {"Ref": "Targets"}}]


def test_an_instance_that_waits_for_the_promotion_is_not_replaced() -> None:
    group = properties("compute", "Group")
    assert group["HealthCheckType"] == "EC2"
    assert group["TargetGroupARNs"] == [{"Ref": "Targets"}]


def test_the_sizes_are_the_parameters_and_an_update_does_not_reset_them() -> None:
    group = properties("compute", "Group")
    assert {key: text(group[key]) for key in ("MinSize", "DesiredCapacity", "MaxSize")} == {
        key: f"${{{key}}}" for key in ("MinSize", "DesiredCapacity", "MaxSize")
    }
    policy = written("compute").resources["Group"]["UpdatePolicy"]
    assert policy == {"AutoScalingScheduledAction": {"IgnoreUnmodifiedGroupSizeProperties": True}}
    parameters = written().body["Parameters"]
    sizes = [parameters[key]["Default"] for key in ("MinSize", "DesiredCapacity", "FailoverCapacity", "MaxSize")]
    assert sizes == sorted(sizes)


def test_clients_do_not_hold_on_to_a_region_for_long() -> None:
    attributes = {each["Key"]: each["Value"] for each in region("dr")["Compute/Balancer"]["LoadBalancerAttributes"]}
    assert int(attributes["client_keep_alive.seconds"]) <= 60


def test_instances_read_their_metadata_by_token_and_keep_it_encrypted() -> None:
    data = properties("compute", "Template")["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert all(device["Ebs"]["Encrypted"] for device in data["BlockDeviceMappings"])


# The database.


def test_the_replica_is_made_of_the_primary_in_dr_only() -> None:
    databases = {n: r for n, r in written("database").resources.items() if r["Type"] == "AWS::RDS::DBInstance"}
    assert {name: resource["Condition"] for name, resource in databases.items()} == {
        "Primary": "IsPrimary",
        "Replica": "IsDr",
    }
    assert databases["Replica"]["Properties"]["SourceDBInstanceIdentifier"] == {"Ref": "SourceDatabaseArn"}
    for resource in databases.values():
        assert resource["Properties"]["DeletionProtection"]
        assert resource["Properties"]["EnableIAMDatabaseAuthentication"]
        assert resource["Properties"]["KmsKeyId"] == {"Ref": "DataKeyArn"}


def test_the_databases_are_called_what_the_functions_call_them() -> None:
    primary, dr = (region(role)["Failover/Assess"]["Environment"]["Variables"] for role in ("primary", "dr"))
    assert (
        primary["REPLICA_ID"] == dr["PEER_DATABASE_ID"] == region("primary")["Database/Primary"]["DBInstanceIdentifier"]
    )
    assert dr["REPLICA_ID"] == primary["PEER_DATABASE_ID"] == region("dr")["Database/Replica"]["DBInstanceIdentifier"]


def test_the_secret_is_in_both_regions_before_anything_happens() -> None:
    (replica,) = properties("database", "Secret")["ReplicaRegions"]
    assert replica["Region"] == {"Ref": "PeerRegion"}


def test_a_replica_that_is_gone_does_not_fill_the_smallest_disk_of_the_primary() -> None:
    kept_mib = int(properties("database", "Settings")["Parameters"]["max_slot_wal_keep_size"])
    assert kept_mib <= written().body["Parameters"]["DatabaseStorage"]["MinValue"] * 1024 / 2


def test_an_instance_reaches_its_release_and_its_secret_without_the_internet() -> None:
    """What an instance asks for while it boots has an endpoint in its subnets, and needs no NAT gateway."""
    by_service = {text(e["ServiceName"]): e for e in of_type(written("network"), "AWS::EC2::VPCEndpoint").values()}
    release = by_service["com.amazonaws.${AWS::Region}.s3"]
    assert {"AppRouteTableA", "AppRouteTableB"} <= {text(table) for table in release["RouteTableIds"]}
    secrets = by_service["com.amazonaws.${AWS::Region}.secretsmanager"]
    assert [text(subnet) for subnet in secrets["SubnetIds"]] == ["AppSubnetA", "AppSubnetB"]
    assert secrets["PrivateDnsEnabled"]
    (group,) = [properties("network", text(group)) for group in secrets["SecurityGroupIds"]]
    (rule,) = group["SecurityGroupIngress"]
    assert (rule["FromPort"], text(rule["SourceSecurityGroupId"])) == (443, "AppSecurityGroup")


# The fence.


def app_subnets(role: str) -> list[str]:
    return [region(role)[f"Network/AppSubnet{zone}"]["CidrBlock"] for zone in "AB"]


@pytest.mark.parametrize("role", ["primary", "dr"])
def test_the_fence_denies_the_subnets_of_the_application(role: str) -> None:
    own = region(role)["Watch/Guard"]["Environment"]["Variables"]["APP_CIDRS"]
    other = region(role)["Failover/Fence"]["Environment"]["Variables"]["PEER_APP_CIDRS"]
    assert own.split(",") == app_subnets(role)
    assert other.split(",") == app_subnets("dr" if role == "primary" else "primary")


def test_the_fence_spares_what_asks_the_database() -> None:
    asking = region("dr")["Watch/Dbcheck"]["VpcConfig"]["SubnetIds"]
    checked = [ipaddress.ip_network(region("dr")[subnet]["CidrBlock"]) for subnet in asking]
    denied = [ipaddress.ip_network(cidr) for cidr in app_subnets("dr")]
    assert len(checked) == 2
    assert not [subnet for subnet in checked for app in denied if subnet.overlaps(app)]


def test_the_numbers_of_the_fence_come_before_all_rules_of_the_network_acl() -> None:
    entries = of_type(written("network"), "AWS::EC2::NetworkAclEntry").values()
    assert {entry["Egress"] for entry in entries} == {True, False}
    assert all(entry["RuleNumber"] >= 100 for entry in entries)


def test_the_fence_is_on_the_subnets_of_the_database() -> None:
    associations = of_type(written("network"), "AWS::EC2::SubnetNetworkAclAssociation").values()
    assert {text(a["SubnetId"]) for a in associations} == {"DatabaseSubnetA", "DatabaseSubnetB"}
    assert {text(a["NetworkAclId"]) for a in associations} == {"DatabaseAcl"}
    assert text(written("network").body["Outputs"]["NetworkAclId"]["Value"]) == "DatabaseAcl"
