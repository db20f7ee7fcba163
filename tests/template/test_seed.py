"""The architecture that the user described, line by line, found in the templates as both Regions get them."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.template.region import ACCOUNT, REGIONS, Region, global_stack, region


def primary() -> Region:
    return region("primary")


def dr() -> Region:
    return region("dr")


def both() -> tuple[Region, Region]:
    return primary(), dr()


def one(of: Region, kind: str) -> Mapping[str, Any]:
    """The properties of the only resource of that type."""
    (properties,) = of.of(kind).values()
    return properties


def subnets(of: Region, tier: str) -> dict[str, Mapping[str, Any]]:
    return {path: each for path, each in of.of("AWS::EC2::Subnet").items() if f"/{tier}Subnet" in path}


def way_out(of: Region, subnet: str) -> set[str]:
    """What the default routes of a subnet lead to: `gateway`, `nat`; empty where there is none."""
    tables = [
        each["RouteTableId"]
        for each in of.of("AWS::EC2::SubnetRouteTableAssociation").values()
        if each["SubnetId"] == subnet
    ]
    assert len(tables) == 1, f"{subnet} has {len(tables)} route tables"
    routes = [route for route in of.of("AWS::EC2::Route").values() if route["RouteTableId"] == tables[0]]
    kinds = {"GatewayId": "gateway", "NatGatewayId": "nat"}
    return {kinds[key] for route in routes for key in route if key in kinds}


# Network


def vpc_in_both_regions() -> None:
    networks = [one(each, "AWS::EC2::VPC")["CidrBlock"] for each in both()]
    assert networks == ["10.10.0.0/16", "10.20.0.0/16"]
    assert all(each.of("AWS::EC2::InternetGateway") for each in both())


def public_and_private_subnets() -> None:
    for each in both():
        for tier, out in (("Public", {"gateway"}), ("App", {"nat"}), ("Database", set())):
            found = subnets(each, tier)
            assert len({subnet["AvailabilityZone"] for subnet in found.values()}) >= 2, tier
            assert [way_out(each, path) for path in found] == [out] * len(found), tier
            assert not any(subnet.get("MapPublicIpOnLaunch") for subnet in found.values()), tier


def security_groups_for_tiers() -> None:
    for each in both():
        named = {
            (rule.get("GroupId"), rule["FromPort"], rule["SourceSecurityGroupId"])
            for rule in each.of("AWS::EC2::SecurityGroupIngress").values()
            if "SourceSecurityGroupId" in rule
        } | {
            (path, rule["FromPort"], rule["SourceSecurityGroupId"])
            for path, group in each.of("AWS::EC2::SecurityGroup").items()
            for rule in group.get("SecurityGroupIngress", [])
            if "SourceSecurityGroupId" in rule
        }
        ways = {(str(to).split("/")[-1], port, str(source).split("/")[-1]) for to, port, source in named}
        assert {
            ("AppSecurityGroup.GroupId", 8000, "BalancerSecurityGroup.GroupId"),
            ("DatabaseSecurityGroup.GroupId", 5432, "AppSecurityGroup.GroupId"),
        } <= {(to if "." in to else f"{to}.GroupId", port, s if "." in s else f"{s}.GroupId") for to, port, s in ways}


# Compute


def instances_in_auto_scaling_groups() -> None:
    for each in both():
        group = one(each, "AWS::AutoScaling::AutoScalingGroup")
        assert (group["HealthCheckType"], set(group["VPCZoneIdentifier"])) == ("EC2", {*subnets(each, "App")})
        data = one(each, "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
        assert (data["MetadataOptions"]["HttpTokens"], data["ImageId"]) == ("required", data["ImageId"])
        assert all(device["Ebs"]["Encrypted"] for device in data["BlockDeviceMappings"])
        assert not any(interface["AssociatePublicIpAddress"] for interface in data["NetworkInterfaces"])


def sizes(of: Region) -> tuple[int, int]:
    group = one(of, "AWS::AutoScaling::AutoScalingGroup")
    return int(group["MinSize"]), int(group["DesiredCapacity"])


def primary_min_1_desired_2() -> None:
    assert sizes(primary()) == (1, 2)


def dr_min_0_desired_0_and_scales_up() -> None:
    assert sizes(dr()) == (0, 0)
    assert int(one(dr(), "AWS::AutoScaling::AutoScalingGroup")["MaxSize"]) >= sizes(primary())[1]
    (path,) = (path for path in dr().of("AWS::AutoScaling::AutoScalingGroup"))
    policy = dr().resources[path].whole["UpdatePolicy"]["AutoScalingScheduledAction"]
    assert policy["IgnoreUnmodifiedGroupSizeProperties"] is True


# Database


def database_in_the_primary() -> None:
    database = one(primary(), "AWS::RDS::DBInstance")
    assert (database["Engine"], database["DBInstanceIdentifier"]) == ("postgres", "shop-primary")
    assert "SourceDBInstanceIdentifier" not in database
    assert database["StorageEncrypted"]
    assert database["DeletionProtection"]
    assert database["EnableIAMDatabaseAuthentication"]
    assert int(database["BackupRetentionPeriod"]) >= 1
    assert one(primary(), "AWS::RDS::DBParameterGroup")["Parameters"]["rds.force_ssl"] == "1"


def read_replica_in_dr() -> None:
    replica = one(dr(), "AWS::RDS::DBInstance")
    assert replica["SourceDBInstanceIdentifier"] == f"arn:aws:rds:{REGIONS['primary']}:{ACCOUNT}:db:shop-primary"
    assert replica["SourceRegion"] == REGIONS["primary"]
    assert REGIONS["dr"] in replica["KmsKeyId"], "a key of its own Region"
    assert (
        one(dr(), "AWS::RDS::DBParameterGroup")["Parameters"]
        == one(primary(), "AWS::RDS::DBParameterGroup")["Parameters"]
    )


def the_password_is_in_both_regions() -> None:
    (replica,) = one(primary(), "AWS::SecretsManager::Secret")["ReplicaRegions"]
    assert replica["Region"] == REGIONS["dr"]
    assert REGIONS["dr"] in replica["KmsKeyId"]


# Storage


def bucket(of: Region) -> Mapping[str, Any]:
    name = f"relight-data-shop-{ACCOUNT}-{of.name}"
    (found,) = (each for each in of.of("AWS::S3::Bucket").values() if each["BucketName"] == name)
    return found


def bucket_for_assets_and_state() -> None:
    for each in both():
        found = bucket(each)
        assert found["VersioningConfiguration"] == {"Status": "Enabled"}
        assert found["PublicAccessBlockConfiguration"].keys() >= {"BlockPublicAcls", "RestrictPublicBuckets"}
        (rule,) = found["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"


def replication_in_both_directions() -> None:
    for here, there in ((primary(), dr()), (dr(), primary())):
        (rule,) = bucket(here)["ReplicationConfiguration"]["Rules"]
        assert rule["Destination"]["Bucket"] == f"arn:aws:s3:::{bucket(there)['BucketName']}"
        assert rule["DeleteMarkerReplication"] == {"Status": "Enabled"}
        assert rule["SourceSelectionCriteria"]["ReplicaModifications"] == {"Status": "Enabled"}


def the_evidence_does_not_replicate() -> None:
    for each in both():
        assert "ReplicationConfiguration" not in each["Ledger/Evidence"]


# Load balancing


def balancer_with_health_checks_in_both_regions() -> None:
    for each in both():
        balancer = one(each, "AWS::ElasticLoadBalancingV2::LoadBalancer")
        assert (balancer["Type"], set(balancer["Subnets"])) == ("application", {*subnets(each, "Public")})
        targets = one(each, "AWS::ElasticLoadBalancingV2::TargetGroup")
        assert (targets["HealthCheckPath"], targets["Matcher"]) == ("/health/ready", {"HttpCode": "200"})
        listener = one(each, "AWS::ElasticLoadBalancingV2::Listener")
        assert (listener["Protocol"], listener["Port"]) == ("HTTPS", "443")
        attributes = {each["Key"]: each["Value"] for each in balancer["LoadBalancerAttributes"]}
        assert attributes["client_keep_alive.seconds"] == "60"


# DNS


def record(failover: str) -> Mapping[str, Any]:
    records = global_stack().of("AWS::Route53::RecordSet").values()
    (found,) = (each for each in records if each["Type"] == "A" and each.get("Failover") == failover)
    return found


def failover_routing() -> None:
    for failover, role in (("PRIMARY", "primary"), ("SECONDARY", "dr")):
        found = record(failover)
        assert (found["Name"], found["AliasTarget"]["EvaluateTargetHealth"]) == ("shop.example.com", True)
        assert found["AliasTarget"]["DNSName"] == {"primary": primary(), "dr": dr()}[role].outputs["BalancerName"]
        assert found["HealthCheckId"]


def health_checks_on_the_primary() -> None:
    (check,) = (
        each["HealthCheckConfig"]
        for each in global_stack().of("AWS::Route53::HealthCheck").values()
        if each["HealthCheckConfig"]["Type"] == "HTTPS_STR_MATCH"
    )
    assert check["FullyQualifiedDomainName"] == "primary.shop.example.com"
    assert (str(check["RequestInterval"]), str(check["FailureThreshold"]), check["EnableSNI"]) == ("10", "3", True)
    assert len(check["Regions"]) >= 3


def dr_reached_by_its_own_name() -> None:
    names = {each["Name"]: each for each in global_stack().of("AWS::Route53::RecordSet").values()}
    for role, of in (("dr", dr()), ("primary", primary())):
        found = names[f"{role}.shop.example.com"]
        assert (found["AliasTarget"]["DNSName"], "Failover" in found) == (of.outputs["BalancerName"], False)


def automatic_failover() -> None:
    """The probe starts runs, and so do both alarms' events."""
    assert dr()["Watch/ProbeEachMinute"].get("State", "ENABLED") == "ENABLED"
    machine = dr().outputs["FailoverMachine"]
    rules = [each for each in dr().of("AWS::Events::Rule").values() if each["Targets"][0]["Arn"] == machine]
    assert {rule.get("State", "ENABLED") for rule in rules} == {"ENABLED"}
    alarms = {name for rule in rules for name in rule["EventPattern"]["detail"]["alarmName"]}
    assert alarms == {"relight-shop-primary-down", "relight-shop-endpoint"}


# Monitoring


def alarms_for_critical_metrics() -> None:
    watched = {
        (metric["Namespace"], metric["MetricName"])
        for each in (*both(), global_stack())
        for alarm in each.of("AWS::CloudWatch::Alarm").values()
        for metric in [alarm, *(query.get("MetricStat", {}).get("Metric", {}) for query in alarm.get("Metrics", []))]
        if "MetricName" in metric
    }
    assert watched >= {
        ("AWS/Route53", "HealthCheckStatus"),
        ("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count"),
        ("AWS/ApplicationELB", "TargetResponseTime"),
        ("AWS/ApplicationELB", "HealthyHostCount"),
        ("AWS/AutoScaling", "GroupInServiceInstances"),
        ("AWS/AutoScaling", "GroupDesiredCapacity"),
        ("AWS/RDS", "ReplicaLag"),
        ("AWS/RDS", "OldestReplicationSlotLag"),
        ("AWS/RDS", "FreeStorageSpace"),
        ("AWS/RDS", "CPUSurplusCreditsCharged"),
        ("AWS/States", "ExecutionsFailed"),
        ("AWS/States", "ExecutionsTimedOut"),
        ("AWS/Lambda", "Errors"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
        ("Relight", "Ready"),
        ("Relight", "Down.from_dr"),
        ("Relight/Switches/shop", "UnprotectedSeconds"),
    }


def a_dashboard_and_encrypted_notifications() -> None:
    assert one(dr(), "AWS::CloudWatch::Dashboard")["DashboardBody"]
    assert all(one(each, "AWS::SNS::Topic")["KmsMasterKeyId"] for each in both())


SEED: list[tuple[str, Callable[[], None]]] = [
    ("Network: VPC in both primary and DR regions", vpc_in_both_regions),
    ("Network: Public and private subnets", public_and_private_subnets),
    ("Network: Security groups for application tiers", security_groups_for_tiers),
    ("Compute: EC2 instances in Auto Scaling Groups", instances_in_auto_scaling_groups),
    ("Compute: Primary region: Normal capacity (min size: 1, desired: 2)", primary_min_1_desired_2),
    ("Compute: DR region: Minimal capacity (min size: 0, desired: 0)", dr_min_0_desired_0_and_scales_up),
    ("Database: RDS database in primary region", database_in_the_primary),
    ("Database: RDS read replica in DR region (can be promoted during failover)", read_replica_in_dr),
    ("Database: its password", the_password_is_in_both_regions),
    ("Storage: S3 bucket for static assets and application state", bucket_for_assets_and_state),
    ("Storage: Cross-region replication enabled", replication_in_both_directions),
    ("Storage: the evidence stays where it was made", the_evidence_does_not_replicate),
    ("Load Balancing: ALB in both regions, health checks configured", balancer_with_health_checks_in_both_regions),
    ("DNS: Route 53 with failover routing policy", failover_routing),
    ("DNS: Health checks on primary region", health_checks_on_the_primary),
    ("DNS: Automatic failover to DR region when primary is unhealthy", automatic_failover),
    ("Testing: Accessing the DR region directly using the dr.[domain] URL", dr_reached_by_its_own_name),
    ("Monitoring: CloudWatch alarms for critical metrics", alarms_for_critical_metrics),
    ("Monitoring: what people see", a_dashboard_and_encrypted_notifications),
]


@pytest.mark.parametrize("holds", [pytest.param(check, id=line) for line, check in SEED])
def test_the_seed_table(holds: Callable[[], None]) -> None:
    holds()
