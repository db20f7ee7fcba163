"""What the way home asks of the lab's RDS: a database is kept, renamed, rebuilt, restored, mended and comes back.

One pair of databases for all tests of this file, which go from one state of it to the next.
"""

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from moto import mock_aws

from lab.binaries import folder
from lab.network import Network, Path
from lab.rds import Databases
from lab.region import REGION_NAME, Side
from lab.timings import LAB, promotion_of
from tests.lab.test_rds import PORT, Rds, client, code_of, until

TIMINGS = replace(
    promotion_of(LAB, 1.0),
    rds_pending=0.3,
    rds_renaming=0.6,
    rds_snapshotting=0.6,
    rds_restoring=0.0,
    rds_replicating=0.0,
)
OLD, NEW = Side.PRIMARY, Side.DR
GROUP = "DBParameterGroupName"
ORDERS = "SELECT id FROM orders ORDER BY id"
LIKE_THE_TEMPLATE: dict[str, Any] = {
    "DBInstanceClass": "db.t4g.small",
    "StorageType": "gp3",
    "MaxAllocatedStorage": 100,
    "MultiAZ": True,
    "Port": PORT,
    "PubliclyAccessible": False,
    "AutoMinorVersionUpgrade": True,
    "EnableIAMDatabaseAuthentication": True,
    "EnableCloudwatchLogsExports": ["postgresql"],
    "DatabaseInsightsMode": "standard",
    "EnablePerformanceInsights": True,
    "PerformanceInsightsRetentionPeriod": 7,
    "DeletionProtection": True,
    "CopyTagsToSnapshot": True,
    "Tags": [{"Key": "application", "Value": "shop"}],
}
"""What stacks/database.yaml gives both databases, and a call for a replica takes."""


def with_surroundings(rds: Rds, side: Side) -> dict[str, Any]:
    """LIKE_THE_TEMPLATE, and what the template makes beside the database."""
    ec2, name = client("ec2", side), f"shop-{side}"
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
    key = client("kms", side).create_key()["KeyMetadata"]["Arn"]
    rds[side].create_db_parameter_group(
        DBParameterGroupName=name, DBParameterGroupFamily="postgres18", Description="as in the other Region"
    )
    return LIKE_THE_TEMPLATE | {
        "DBSubnetGroupName": rds.subnet_group(side),
        "DBParameterGroupName": name,
        "VpcSecurityGroupIds": [group],
        "KmsKeyId": key,
        "PerformanceInsightsKMSKeyId": key,
    }


class Home(Rds):
    """`shop-home` in the primary Region, which has been lost and is back, and `shop-away` in the DR Region."""

    def __init__(self, databases: Databases, network: Network) -> None:
        super().__init__(databases, network)
        self.given = {side: with_surroundings(self, side) for side in Side}

    def begin(self) -> None:
        self.create(identifier="shop-home", StorageEncrypted=True, **self.given[OLD])
        self.databases.wait(OLD, "shop-home")
        self.replicate(NEW, "shop-away", self.arn(OLD, "shop-home"))
        self.databases.wait(NEW, "shop-away")
        self.sql(OLD, "shop-home", "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders VALUES (1)")
        until(lambda: self.orders(NEW, "shop-away") == [1])

    def arn(self, side: Side, identifier: str) -> str:
        return str(self.look(side, identifier)["DBInstanceArn"])

    def replicate(self, side: Side, identifier: str, source: str) -> None:
        self[side].create_db_instance_read_replica(
            DBInstanceIdentifier=identifier,
            SourceDBInstanceIdentifier=source,
            SourceRegion=REGION_NAME[side.other],
            **{name: value for name, value in self.given[side].items() if name != GROUP},
        )

    def give_its_group(self, side: Side, identifier: str) -> None:
        """What creation does not take; until it is rebooted the group has no effect."""
        self[side].modify_db_instance(DBInstanceIdentifier=identifier, **{GROUP: self.given[side][GROUP]})
        self.databases.wait(side, identifier)
        assert self.group(side, identifier) == (self.given[side][GROUP], "pending-reboot")
        self[side].reboot_db_instance(DBInstanceIdentifier=identifier)
        assert self.group(side, identifier)[1] == "pending-reboot"
        self.databases.wait(side, identifier)
        until(lambda: self.look(side, identifier)["StatusInfos"][0]["Status"] == "replicating")
        assert self.group(side, identifier)[1] == "in-sync"

    def group(self, side: Side, identifier: str) -> tuple[str, str]:
        """Its parameter group, and whether that counts."""
        (told,) = self.look(side, identifier)["DBParameterGroups"]
        return told[GROUP], told["ParameterApplyStatus"]

    def orders(self, side: Side, identifier: str) -> list[int]:
        try:
            return [int(row[0]) for row in self.sql(side, identifier, ORDERS)]
        except psycopg.Error:
            return []

    def slots(self, side: Side, identifier: str) -> list[tuple[str, bool]]:
        server = self.databases.database(side, identifier).server
        assert server is not None
        return [
            (str(name), bool(active))
            for name, active in server.sql("SELECT slot_name, active FROM pg_replication_slots")
        ]

    def snapshot(self, identifier: str) -> dict[str, Any]:
        found = self[OLD].describe_db_snapshots(DBSnapshotIdentifier=identifier)["DBSnapshots"][0]
        return dict(found)


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    data, network = folder("relight-test-"), Network()
    databases = Databases(network, TIMINGS, data)
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        databases.install()
        try:
            rds = Home(databases, network)
            rds.begin()
            yield rds
        finally:
            databases.stop()
            shutil.rmtree(data, ignore_errors=True)
    assert databases.pids() == []
    assert databases.errors == []


def assert_like_the_template(home: Home, side: Side, identifier: str) -> None:
    given, told = home.given[side], home.look(side, identifier)
    same = {*LIKE_THE_TEMPLATE, "KmsKeyId", "PerformanceInsightsKMSKeyId"} - {
        "EnableIAMDatabaseAuthentication",
        "EnableCloudwatchLogsExports",
        "EnablePerformanceInsights",
        "Tags",
        "Port",
    }
    assert {name: told[name] for name in same} == {name: given[name] for name in same}
    assert told["IAMDatabaseAuthenticationEnabled"] is True
    assert told["EnabledCloudwatchLogsExports"] == ["postgresql"]
    assert told["PerformanceInsightsEnabled"] is True
    assert told["TagList"] == given["Tags"]
    assert told["Endpoint"]["Port"] == PORT
    assert told["DBSubnetGroup"]["DBSubnetGroupName"] == given["DBSubnetGroupName"]
    assert [group["DBParameterGroupName"] for group in told["DBParameterGroups"]] == [given["DBParameterGroupName"]]
    assert [group["VpcSecurityGroupId"] for group in told["VpcSecurityGroups"]] == given["VpcSecurityGroupIds"]


def test_a_replica_of_postgres_is_given_its_parameter_group_afterwards(home: Home) -> None:
    at_once = {"DBInstanceIdentifier": "x", "SourceDBInstanceIdentifier": home.arn(OLD, "shop-home"), **home.given[NEW]}
    assert code_of(home[NEW].create_db_instance_read_replica, **at_once) == "InvalidParameterCombination"
    assert home.group(NEW, "shop-away") == ("default.postgres18", "in-sync"), "its Region's own"
    never = {"DBInstanceIdentifier": "shop-away", GROUP: "never"}
    assert code_of(home[NEW].modify_db_instance, **never) == "DBParameterGroupNotFound"
    home.give_its_group(NEW, "shop-away")


def test_a_replica_is_told_as_it_was_asked_for(home: Home) -> None:
    assert_like_the_template(home, NEW, "shop-away")
    assert_like_the_template(home, OLD, "shop-home")


def test_writes_after_a_cut_of_the_stream_stay_on_the_lost_side_and_come_back_with_it(home: Home) -> None:
    home.network.cut_databases(Path.REFUSED)
    until(lambda: home.look(NEW, "shop-away")["StatusInfos"][0]["Status"] == "error")
    home.sql(OLD, "shop-home", "INSERT INTO orders VALUES (2)")
    assert home.orders(NEW, "shop-away") == [1]

    home.network.lose(OLD, Path.REFUSED)
    home.databases.lose(OLD, Path.REFUSED)
    home[NEW].promote_read_replica(DBInstanceIdentifier="shop-away", BackupRetentionPeriod=1)
    until(lambda: "ReadReplicaSourceDBInstanceIdentifier" not in home.look(NEW, "shop-away"))
    home.sql(NEW, "shop-away", "INSERT INTO orders VALUES (3)")

    home.databases.revive(OLD)
    home.network.restore(OLD)
    home.databases.wait(OLD, "shop-home")
    until(lambda: home.orders(OLD, "shop-home") == [1, 2])
    assert home.orders(NEW, "shop-away") == [1, 3]
    # A slot that nobody reads any more, and nobody has dropped.
    slot = home.databases.database(NEW, "shop-away").slot
    assert slot.startswith(f"rds_{REGION_NAME[NEW].replace('-', '_')}_db_")
    assert home.slots(OLD, "shop-home") == [(slot, False)]
    until(lambda: not home.databases.database(NEW, "shop-away").busy)


def test_a_snapshot_takes_its_time_and_the_instance_is_backed_up_meanwhile(home: Home) -> None:
    old = home[OLD]
    assert (
        old.create_db_snapshot(DBInstanceIdentifier="shop-home", DBSnapshotIdentifier="kept")["DBSnapshot"]["Status"]
        == "creating"
    )
    assert home.status(OLD, "shop-home") == "backing-up"
    rename = {"DBInstanceIdentifier": "shop-home", "NewDBInstanceIdentifier": "x", "ApplyImmediately": True}
    assert code_of(old.modify_db_instance, **rename) == "InvalidDBInstanceState"
    assert code_of(old.delete_db_snapshot, DBSnapshotIdentifier="kept") == "InvalidDBSnapshotState"
    restore = {"DBInstanceIdentifier": "shop-restored", "DBSnapshotIdentifier": "kept"}
    assert code_of(old.restore_db_instance_from_db_snapshot, **restore) == "InvalidDBSnapshotState"
    progress = until(lambda: home.snapshot("kept")["PercentProgress"])
    assert 0 < progress <= 100
    until(lambda: home.snapshot("kept")["Status"] == "available")
    assert home.snapshot("kept")["PercentProgress"] == 100
    home.databases.wait(OLD, "shop-home")
    again = {"DBInstanceIdentifier": "shop-home", "DBSnapshotIdentifier": "kept"}
    assert code_of(old.create_db_snapshot, **again) == "DBSnapshotAlreadyExists"


def test_a_full_disk_takes_no_writes_before_it_is_larger(home: Home) -> None:
    old = home[OLD]
    home.databases.fill(OLD, "shop-home")
    assert home.status(OLD, "shop-home") == "storage-full"
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        home.sql(OLD, "shop-home", "INSERT INTO orders VALUES (4)")
    assert home.orders(OLD, "shop-home") == [1, 2]
    for call, more in (
        (old.create_db_snapshot, {"DBSnapshotIdentifier": "another"}),
        (old.reboot_db_instance, {}),
        (old.stop_db_instance, {}),
        (old.modify_db_instance, {"NewDBInstanceIdentifier": "x", "ApplyImmediately": True}),
    ):
        assert code_of(call, DBInstanceIdentifier="shop-home", **more) == "InvalidDBInstanceState"
    less = {"DBInstanceIdentifier": "shop-home", "AllocatedStorage": 10, "ApplyImmediately": True}
    assert code_of(old.modify_db_instance, **less) == "InvalidParameterCombination"

    old.modify_db_instance(DBInstanceIdentifier="shop-home", AllocatedStorage=30, ApplyImmediately=True)
    assert home.look(OLD, "shop-home")["PendingModifiedValues"] == {"AllocatedStorage": 30}
    home.databases.wait(OLD, "shop-home")
    assert home.look(OLD, "shop-home")["AllocatedStorage"] == 30
    home.sql(OLD, "shop-home", "INSERT INTO orders VALUES (4)")


def test_a_renamed_instance_frees_its_name_and_its_endpoint_for_a_replica_of_the_other(home: Home) -> None:
    old, endpoint = home[OLD], home.look(OLD, "shop-home")["Endpoint"]
    old.modify_db_instance(
        DBInstanceIdentifier="shop-home", NewDBInstanceIdentifier="shop-home-retired-2", ApplyImmediately=True
    )
    now = home.look(OLD, "shop-home")
    assert (now["DBInstanceStatus"], now["Endpoint"]) == ("renaming", endpoint)
    assert now["PendingModifiedValues"] == {"DBInstanceIdentifier": "shop-home-retired-2"}
    # Until the last moment it serves under its old name.
    assert home.orders(OLD, "shop-home") == [1, 2, 4]
    names: list[set[str]] = []

    def freed() -> bool:
        names.append({str(one["DBInstanceIdentifier"]) for one in old.describe_db_instances()["DBInstances"]})
        return "shop-home" not in names[-1]

    until(freed)
    assert all(len(seen) == 1 for seen in names), "it has one name at a time"
    home.replicate(OLD, "shop-home", home.arn(NEW, "shop-away"))
    home.databases.wait(OLD, "shop-home")
    home.databases.wait(OLD, "shop-home-retired-2")

    rebuilt, retired = home.look(OLD, "shop-home"), home.look(OLD, "shop-home-retired-2")
    assert rebuilt["Endpoint"] == endpoint
    assert retired["Endpoint"]["Address"] != endpoint["Address"]
    assert retired.get("PendingModifiedValues", {}) == {}
    assert rebuilt["ReadReplicaSourceDBInstanceIdentifier"] == home.arn(NEW, "shop-away")
    assert home.look(NEW, "shop-away")["ReadReplicaDBInstanceIdentifiers"] == [rebuilt["DBInstanceArn"]]
    home.give_its_group(OLD, "shop-home")
    assert_like_the_template(home, OLD, "shop-home")
    until(lambda: home.orders(OLD, "shop-home") == [1, 3])
    assert home.orders(OLD, "shop-home-retired-2") == [1, 2, 4]
    assert home.slots(NEW, "shop-away") == [(home.databases.database(OLD, "shop-home").slot, True)]


def test_a_replica_takes_as_long_as_one_says(home: Home) -> None:
    home.databases.replica_seconds = 2.0
    began = time.monotonic()
    home.replicate(OLD, "shop-second", home.arn(NEW, "shop-away"))
    try:
        assert home.status(OLD, "shop-second") == "creating"
        home.databases.wait(OLD, "shop-second")
        assert time.monotonic() - began >= 2.0
    finally:
        home.databases.replica_seconds = None
    assert len(home.slots(NEW, "shop-away")) == 2
    old = home[OLD]
    old.modify_db_instance(DBInstanceIdentifier="shop-second", DeletionProtection=False)
    home.databases.wait(OLD, "shop-second")
    last = {"DBInstanceIdentifier": "shop-second", "FinalDBSnapshotIdentifier": "none"}
    assert code_of(old.delete_db_instance, **last) == "InvalidParameterCombination", "a replica has no last snapshot"
    old.delete_db_instance(DBInstanceIdentifier="shop-second", SkipFinalSnapshot=True)
    until(lambda: len(old.describe_db_instances()["DBInstances"]) == 2)
    assert home.slots(NEW, "shop-away") == [(home.databases.database(OLD, "shop-home").slot, True)]


def test_what_is_restored_is_a_server_with_the_data_of_the_snapshot(home: Home) -> None:
    given = {name: home.given[OLD][name] for name in ("DBSubnetGroupName", "DBParameterGroupName")}
    home[OLD].restore_db_instance_from_db_snapshot(
        DBInstanceIdentifier="shop-restored", DBSnapshotIdentifier="kept", **given
    )
    assert "Endpoint" not in home.look(OLD, "shop-restored")
    home.databases.wait(OLD, "shop-restored")
    assert home.orders(OLD, "shop-restored") == [1, 2]
    home.sql(OLD, "shop-restored", "INSERT INTO orders VALUES (5)")
    told = home.look(OLD, "shop-restored")
    assert (told["KmsKeyId"], told["AllocatedStorage"]) == (home.given[OLD]["KmsKeyId"], 20)
    assert (told["MultiAZ"], told["DeletionProtection"]) == (False, False), "not inherited"
    assert told["DBSubnetGroup"]["DBSubnetGroupName"] == given["DBSubnetGroupName"]
    twice = {"DBInstanceIdentifier": "shop-restored", "DBSnapshotIdentifier": "kept"}
    assert code_of(home[OLD].restore_db_instance_from_db_snapshot, **twice) == "DBInstanceAlreadyExists"
    missing = {"DBInstanceIdentifier": "shop-other", "DBSnapshotIdentifier": "never"}
    assert code_of(home[OLD].restore_db_instance_from_db_snapshot, **missing) == "DBSnapshotNotFound"


def test_a_stopped_instance_can_be_started_and_nothing_else(home: Home) -> None:
    old, retired = home[OLD], {"DBInstanceIdentifier": "shop-home-retired-2"}
    assert code_of(old.stop_db_instance, DBInstanceIdentifier="shop-home") == "InvalidDBInstanceState", "a replica"
    old.stop_db_instance(**retired)
    home.databases.wait(OLD, "shop-home-retired-2", "stopped")
    assert code_of(old.create_db_snapshot, **retired, DBSnapshotIdentifier="x") == "InvalidDBInstanceState"
    assert code_of(old.modify_db_instance, **retired, DeletionProtection=False) == "InvalidDBInstanceState"
    assert code_of(old.reboot_db_instance, **retired) == "InvalidDBInstanceState"
    # A Region that is lost and comes back leaves it as it was.
    home.databases.lose(OLD, Path.REFUSED)
    home.databases.revive(OLD)
    home.databases.wait(OLD, "shop-home")
    assert home.status(OLD, "shop-home-retired-2") == "stopped"
    until(lambda: home.look(OLD, "shop-home")["StatusInfos"][0]["Status"] == "replicating")
    old.start_db_instance(**retired)
    home.databases.wait(OLD, "shop-home-retired-2")


def test_an_instance_goes_with_a_last_snapshot_of_its_data(home: Home) -> None:
    old, retired = home[OLD], "shop-home-retired-2"
    last = {"DBInstanceIdentifier": retired, "FinalDBSnapshotIdentifier": "shop-home-retired-2-final"}
    assert code_of(old.delete_db_instance, **last) == "InvalidParameterCombination", "it is protected"
    old.modify_db_instance(DBInstanceIdentifier=retired, DeletionProtection=False)
    assert code_of(old.delete_db_instance, **last) == "InvalidParameterCombination", "not in the same breath"
    home.databases.wait(OLD, retired)
    assert code_of(old.delete_db_instance, **last, SkipFinalSnapshot=True) == "InvalidParameterCombination"
    old.delete_db_instance(**last)
    assert home.status(OLD, retired) == "deleting"
    until(lambda: code_of_look(home, retired) == "DBInstanceNotFound")
    kept = home.snapshot("shop-home-retired-2-final")
    assert (kept["Status"], kept["TagList"]) == ("available", LIKE_THE_TEMPLATE["Tags"])
    old.restore_db_instance_from_db_snapshot(
        DBInstanceIdentifier="again", DBSnapshotIdentifier=last["FinalDBSnapshotIdentifier"]
    )
    home.databases.wait(OLD, "again")
    assert home.orders(OLD, "again") == [1, 2, 4]
    old.delete_db_snapshot(DBSnapshotIdentifier=last["FinalDBSnapshotIdentifier"])
    gone = {"DBInstanceIdentifier": "once-more", "DBSnapshotIdentifier": last["FinalDBSnapshotIdentifier"]}
    assert code_of(old.restore_db_instance_from_db_snapshot, **gone) == "DBSnapshotNotFound"


def code_of_look(home: Home, identifier: str) -> str:
    try:
        home.look(OLD, identifier)
    except home[OLD].exceptions.DBInstanceNotFoundFault as error:
        return str(error.response["Error"]["Code"])
    return ""
