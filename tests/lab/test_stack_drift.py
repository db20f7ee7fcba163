"""What there is, compared with what a stack's template says, by the APIs alone."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.binaries import folder
from lab.cloud import Cloud
from lab.deployment import Stack
from lab.network import Network
from lab.port import free_port
from lab.rds import Databases
from lab.region import REGION_NAME, Side
from lab.stack import Stacks
from lab.stack_drift import stack_drift
from lab.timings import LAB
from tests.lab.test_rds import until

REGION = REGION_NAME[Side.PRIMARY]
NAME = "drifting"
PORT = free_port(["127.0.1.20", "127.0.1.21"])
TEMPLATE = f"""
AWSTemplateFormatVersion: "2010-09-09"
Resources:
  Network: {{ Type: AWS::EC2::VPC, Properties: {{ CidrBlock: 10.7.0.0/16 }} }}
  SubnetA:
    Type: AWS::EC2::Subnet
    Properties: {{ VpcId: !Ref Network, CidrBlock: 10.7.1.0/24, AvailabilityZone: {REGION}a }}
  SubnetB:
    Type: AWS::EC2::Subnet
    Properties: {{ VpcId: !Ref Network, CidrBlock: 10.7.2.0/24, AvailabilityZone: {REGION}b }}
  Subnets:
    Type: AWS::RDS::DBSubnetGroup
    Properties: {{ DBSubnetGroupDescription: two, SubnetIds: [!Ref SubnetA, !Ref SubnetB] }}
  Database:
    Type: AWS::RDS::DBInstance
    DeletionPolicy: Delete
    Properties:
      DBInstanceIdentifier: drifting
      Engine: postgres
      DBInstanceClass: db.t4g.micro
      AllocatedStorage: "20"
      MaxAllocatedStorage: 100
      Port: "{PORT}"
      DBSubnetGroupName: !Ref Subnets
      MasterUsername: shop
      MasterUserPassword: not-a-secret
      BackupRetentionPeriod: "7"
      EnablePerformanceInsights: true
      EnableCloudwatchLogsExports: [postgresql]
  Template:
    Type: AWS::EC2::LaunchTemplate
    Properties: {{ LaunchTemplateData: {{ ImageId: ami-12345678, InstanceType: t4g.micro }} }}
  Group:
    Type: AWS::AutoScaling::AutoScalingGroup
    Properties:
      AutoScalingGroupName: drifting
      MinSize: "0"
      DesiredCapacity: "0"
      MaxSize: "4"
      VPCZoneIdentifier: [!Ref SubnetA]
      LaunchTemplate: {{ LaunchTemplateId: !Ref Template, Version: !GetAtt Template.LatestVersionNumber }}
  Zone: {{ Type: AWS::Route53::HostedZone, Properties: {{ Name: drifting.example }} }}
  Check:
    Type: AWS::Route53::HealthCheck
    Properties:
      HealthCheckConfig:
        {{ Type: HTTP, FullyQualifiedDomainName: a.example, ResourcePath: /, RequestInterval: 10, FailureThreshold: 3 }}
  Record:
    Type: AWS::Route53::RecordSet
    Properties:
      HostedZoneId: !Ref Zone
      Name: www.drifting.example
      Type: CNAME
      TTL: "10"
      SetIdentifier: one
      Failover: PRIMARY
      HealthCheckId: !Ref Check
      ResourceRecords: [!GetAtt Database.Endpoint.Address]
"""


class Scene:
    """One stack, and the databases behind it."""

    def __init__(self, cloud: Cloud, databases: Databases, path: Path) -> None:
        self.cloud = cloud
        self.databases = databases
        self.rds = cloud.client("rds", REGION)
        self.stacks = Stacks(cloud)
        self.path = path
        self.stack: Stack = self.stacks.create(NAME, REGION, path, {})

    def drift(self) -> list[str]:
        return stack_drift(self.stack, self.cloud.client)

    def modify(self, identifier: str, **more: Any) -> None:
        self.rds.modify_db_instance(DBInstanceIdentifier=identifier, ApplyImmediately=True, **more)
        self.databases.wait(Side.PRIMARY, identifier)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    network, data = Network(), folder("relight-test-")
    timings = replace(LAB, rds_pending=0.0, rds_renaming=0.0, rds_rebooting=0.9)
    cloud, databases = Cloud(network), Databases(network, timings, data)
    databases.install()
    path = tmp_path_factory.mktemp("templates") / "drifting.yaml"
    path.write_text(TEMPLATE, encoding="utf-8")
    try:
        yield Scene(cloud, databases, path)
    finally:
        databases.stop()
        cloud.stop()
        shutil.rmtree(data, ignore_errors=True)


def test_what_is_as_its_template_says_has_not_drifted(scene: Scene) -> None:
    assert scene.drift() == []


def test_a_name_is_owned_by_whoever_has_it(scene: Scene) -> None:
    database = scene.databases.database(Side.PRIMARY, "drifting")
    scene.rds.modify_db_instance(
        DBInstanceIdentifier="drifting", NewDBInstanceIdentifier="drifting-retired-1", ApplyImmediately=True
    )
    until(lambda: not database.busy)
    assert scene.drift() == [f"{NAME} Database: the database drifting is DBInstanceNotFound, the template says there"]

    # Another one under the name, with less than the template gave: the stack owns it, and says what is missing.
    scene.rds.create_db_snapshot(DBInstanceIdentifier="drifting-retired-1", DBSnapshotIdentifier="kept")
    scene.databases.wait(Side.PRIMARY, "drifting-retired-1")
    scene.rds.restore_db_instance_from_db_snapshot(
        DBInstanceIdentifier="drifting",
        DBSnapshotIdentifier="kept",
        DBSubnetGroupName=scene.stack.resources["Subnets"],
    )
    scene.databases.wait(Side.PRIMARY, "drifting")
    assert sorted(scene.drift()) == [
        f"{NAME} Database: EnableCloudwatchLogsExports is [], the template says ['postgresql']",
        f"{NAME} Database: EnablePerformanceInsights is False, the template says True",
        f"{NAME} Database: MaxAllocatedStorage is not there, the template says 100",
    ]
    scene.modify(
        "drifting",
        MaxAllocatedStorage=100,
        EnablePerformanceInsights=True,
        CloudwatchLogsExportConfiguration={"EnableLogTypes": ["postgresql"]},
    )
    assert scene.drift() == []
    # And an update has nothing to do.
    before = scene.rds.describe_db_instances()["DBInstances"]
    scene.stack = scene.stacks.update(NAME, REGION, scene.path, {})
    assert scene.rds.describe_db_instances()["DBInstances"] == before


def test_sizes_records_and_health_checks_are_compared(scene: Scene) -> None:
    scaling, route53 = scene.cloud.client("autoscaling", REGION), scene.cloud.client("route53", REGION)
    scaling.update_auto_scaling_group(AutoScalingGroupName="drifting", MaxSize=6)
    check = scene.stack.resources["Check"]
    route53.update_health_check(HealthCheckId=check, FailureThreshold=5)
    record = {
        "Name": "www.drifting.example",
        "Type": "CNAME",
        "TTL": 10,
        "SetIdentifier": "one",
        "Failover": "PRIMARY",
        "HealthCheckId": check,
        "ResourceRecords": [{"Value": "elsewhere.example"}],
    }
    change = {"Action": "UPSERT", "ResourceRecordSet": record}
    route53.change_resource_record_sets(HostedZoneId=scene.stack.resources["Zone"], ChangeBatch={"Changes": [change]})
    assert sorted(scene.drift()) == [
        f"{NAME} Check: FailureThreshold is 5, the template says 3",
        f"{NAME} Group: MaxSize is 6, the template says 4",
        f"{NAME} Record: ResourceRecords is ['elsewhere.example'], the template says ['127.0.1.20']",
    ]
