"""What a drill asks of the lab's RDS: snapshots and backups of the other Region, and a replica beside the standing one.

One pair of databases for all tests of this file, which go from one state of it to the next.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.backends import get_backend

from lab.binaries import folder
from lab.cloud import ACCOUNT
from lab.drilling import StreamWatch
from lab.network import Network, Path
from lab.rds import Databases
from lab.region import REGION_NAME, Side
from lab.stack import Stacks
from lab.timings import LAB, promotion_of
from tests.lab.test_rds import PORT, Rds, client, code_of, until

HERE, THERE = Side.DR, Side.PRIMARY
SOURCE, STANDING = "shop-primary", "shop-dr"
THROWAWAY = "shop-dr-drill-7"
TIMINGS = replace(
    promotion_of(LAB, 1.0),
    rds_pending=0.2,
    rds_snapshotting=0.3,
    rds_restoring=0.0,
    rds_copying=0.6,
    rds_replicating=0.5,
)


class Pair(Rds):
    """A primary with an encrypted disk, and the replica that stands by for it."""

    def begin(self) -> None:
        self.keys = {side: client("kms", side).create_key()["KeyMetadata"]["Arn"] for side in Side}
        self.group = self.subnet_group(HERE)
        self.create(THERE, SOURCE, StorageEncrypted=True, KmsKeyId=self.keys[THERE], CopyTagsToSnapshot=True)
        self.databases.wait(THERE, SOURCE)
        self.arn = str(self.look(THERE, SOURCE)["DBInstanceArn"])
        self.replicate(STANDING)
        self.databases.wait(HERE, STANDING)
        self.sql(THERE, SOURCE, "CREATE TABLE orders (id int PRIMARY KEY)")
        self.slot = self.databases.database(HERE, STANDING).slot

    def replicate(self, identifier: str) -> None:
        self[HERE].create_db_instance_read_replica(
            DBInstanceIdentifier=identifier,
            SourceDBInstanceIdentifier=self.arn,
            SourceRegion=REGION_NAME[THERE],
            DBSubnetGroupName=self.group,
            KmsKeyId=self.keys[HERE],
        )

    def orders(self, side: Side, identifier: str) -> list[int]:
        return [int(row[0]) for row in self.sql(side, identifier, "SELECT id FROM orders ORDER BY id")]

    def order(self, number: int) -> None:
        self.sql(THERE, SOURCE, f"INSERT INTO orders VALUES ({number})")

    def server(self, side: Side, identifier: str) -> Any:
        found = self.databases.database(side, identifier).server
        assert found is not None
        return found

    def streams(self) -> list[tuple[str, str, int]]:
        """Who reads from the primary: the slot's name, its state, and the process, which another connection changes."""
        rows = self.server(THERE, SOURCE).sql("SELECT application_name, state, pid FROM pg_stat_replication ORDER BY 1")
        return [(str(name), str(state), int(pid)) for name, state, pid in rows]

    def slots(self) -> set[str]:
        return {str(row[0]) for row in self.server(THERE, SOURCE).sql("SELECT slot_name FROM pg_replication_slots")}

    def snapshot(self, side: Side, identifier: str) -> dict[str, Any]:
        found = self[side].describe_db_snapshots(DBSnapshotIdentifier=identifier)["DBSnapshots"][0]
        return dict(found)

    def nightly(self) -> dict[str, Any]:
        """The newest of the snapshots that RDS has made by itself."""
        made = self[THERE].describe_db_snapshots(DBInstanceIdentifier=SOURCE, SnapshotType="automated")["DBSnapshots"]
        return dict(max(made, key=lambda one: one["SnapshotCreateTime"]))

    def copy(self, source: str, **more: Any) -> dict[str, Any]:
        """Have RDS of the standby's Region copy a snapshot of the primary."""
        given = {"KmsKeyId": self.keys[HERE], "TargetDBSnapshotIdentifier": THROWAWAY, **more}
        made = self[HERE].copy_db_snapshot(
            SourceDBSnapshotIdentifier=self.snapshot(THERE, source)["DBSnapshotArn"],
            SourceRegion=REGION_NAME[THERE],
            **given,
        )
        return dict(made["DBSnapshot"])

    def restore(self, call: Callable[..., Any], **source: Any) -> None:
        call(DBSubnetGroupName=self.group, PubliclyAccessible=False, DeletionProtection=False, **source)
        self.databases.wait(HERE, THROWAWAY)

    def delete(self) -> None:
        self[HERE].delete_db_instance(DBInstanceIdentifier=THROWAWAY, SkipFinalSnapshot=True)
        until(lambda: self.names(HERE) == [STANDING])

    def names(self, side: Side) -> list[str]:
        return [each["DBInstanceIdentifier"] for each in self[side].describe_db_instances()["DBInstances"]]

    def folders(self) -> set[str]:
        """What is on disk."""
        return {path.name for path in self.databases.folder.iterdir()}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    data, network = folder("relight-test-"), Network()
    databases = Databases(network, TIMINGS, data)
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        databases.install()
        try:
            made = Pair(databases, network)
            made.begin()
            yield made
        finally:
            databases.stop()
            shutil.rmtree(data, ignore_errors=True)
    assert databases.pids() == []


def test_the_backup_window_leaves_a_snapshot_that_is_copied_and_restored_in_the_other_region(pair: Pair) -> None:
    pair.order(1)
    before = pair.streams()
    nightly = pair.databases.back_up(THERE, SOURCE)
    assert pair.status(THERE, SOURCE) == "backing-up"
    until(lambda: pair.snapshot(THERE, nightly)["Status"] == "available")
    assert pair.snapshot(THERE, nightly)["SnapshotType"] == "automated"
    pair.databases.wait(THERE, SOURCE)
    pair.order(2)

    told = pair.copy(nightly, Tags=[{"Key": "relight:drill", "Value": "run-7"}])
    assert (told["Status"], told["SourceRegion"], told["SnapshotType"]) == ("copying", REGION_NAME[THERE], "manual")
    assert told["KmsKeyId"] == pair.keys[HERE]
    from_it = {"DBInstanceIdentifier": THROWAWAY, "DBSnapshotIdentifier": THROWAWAY}
    assert code_of(pair[HERE].restore_db_instance_from_db_snapshot, **from_it) == "InvalidDBSnapshotState"
    until(lambda: pair.snapshot(HERE, THROWAWAY)["Status"] == "available")
    assert pair.snapshot(HERE, THROWAWAY)["TagList"] == [{"Key": "relight:drill", "Value": "run-7"}]

    pair.restore(pair[HERE].restore_db_instance_from_db_snapshot, **from_it)
    assert pair.orders(HERE, THROWAWAY) == [1], "what was written since is not in it"
    pair.sql(HERE, THROWAWAY, "INSERT INTO orders VALUES (99)")
    assert pair.look(HERE, THROWAWAY)["KmsKeyId"] == pair.keys[HERE]
    assert pair.orders(THERE, SOURCE) == [1, 2]
    assert pair.streams() == before, "the standing replica has had one connection all the while"


def test_what_was_restored_and_copied_can_be_deleted_with_all_that_it_has(pair: Pair) -> None:
    pair.delete()
    pair[HERE].delete_db_snapshot(DBSnapshotIdentifier=THROWAWAY)
    assert pair[HERE].describe_db_snapshots()["DBSnapshots"] == []
    assert [name for name in pair.folders() if name.startswith(("dr-backup", "dr-shop_dr_drill"))] == []
    nightly = pair.nightly()
    gone = {"DBSnapshotIdentifier": nightly["DBSnapshotIdentifier"]}
    assert code_of(pair[THERE].delete_db_snapshot, **gone) == "InvalidDBSnapshotState"


def test_a_copy_of_an_encrypted_snapshot_needs_a_key_of_its_region(pair: Pair) -> None:
    nightly = pair.nightly()
    source = {
        "SourceDBSnapshotIdentifier": nightly["DBSnapshotArn"],
        "TargetDBSnapshotIdentifier": THROWAWAY,
        "SourceRegion": REGION_NAME[THERE],
    }
    copy = pair[HERE].copy_db_snapshot
    assert code_of(copy, **source) == "InvalidParameterCombination"
    assert code_of(copy, **source, KmsKeyId=pair.keys[THERE]) == "KMSKeyNotAccessibleFault"
    missing = source | {"SourceDBSnapshotIdentifier": f"{nightly['DBSnapshotArn']}x", "KmsKeyId": pair.keys[HERE]}
    assert code_of(copy, **missing) == "DBSnapshotNotFound"
    assert pair[HERE].describe_db_snapshots()["DBSnapshots"] == []


def test_a_copy_that_is_deleted_on_its_way_is_given_up(pair: Pair) -> None:
    nightly = pair.nightly()
    before = pair.folders()
    pair.copy(nightly["DBSnapshotIdentifier"])
    twice = {
        "SourceDBSnapshotIdentifier": nightly["DBSnapshotArn"],
        "TargetDBSnapshotIdentifier": THROWAWAY,
        "KmsKeyId": pair.keys[HERE],
        "SourceRegion": REGION_NAME[THERE],
    }
    assert code_of(pair[HERE].copy_db_snapshot, **twice) == "DBSnapshotAlreadyExists"
    pair[HERE].delete_db_snapshot(DBSnapshotIdentifier=THROWAWAY)
    assert pair[HERE].describe_db_snapshots()["DBSnapshots"] == []
    pair.databases.settle()
    assert pair.folders() == before


def test_a_second_replica_streams_beside_the_standing_one_and_takes_its_slot_along(pair: Pair) -> None:
    standing = pair.streams()
    assert [(name, state) for name, state, _ in standing] == [(pair.slot, "streaming")]
    with StreamWatch(pair.server(THERE, SOURCE), pair.slot) as watch:
        _promote_a_throwaway(pair)
        until(lambda: watch.always is not None)
    assert (watch.always, watch.breaks) == (True, ())
    assert pair.streams() == standing, "the standing replica has had one connection all the while"
    assert [name for name, _ in pair.databases.promotions] == [THROWAWAY]
    pair.delete()
    assert [name for name in pair.folders() if name.startswith("dr-shop_dr_drill")] == []


def _promote_a_throwaway(pair: Pair) -> None:
    pair.replicate(THROWAWAY)
    gone = {"DBInstanceIdentifier": THROWAWAY, "SkipFinalSnapshot": True}
    assert pair.status(HERE, THROWAWAY) == "creating"
    assert code_of(pair[HERE].delete_db_instance, **gone) == "InvalidDBInstanceState"
    pair.databases.wait(HERE, THROWAWAY)
    own = pair.databases.database(HERE, THROWAWAY).slot
    assert pair.slots() == {pair.slot, own}
    pair.order(3)
    until(lambda: pair.orders(HERE, THROWAWAY) == [1, 2, 3])

    pair[HERE].promote_read_replica(DBInstanceIdentifier=THROWAWAY, BackupRetentionPeriod=0)
    until(lambda: "ReadReplicaSourceDBInstanceIdentifier" not in pair.look(HERE, THROWAWAY))
    until(lambda: pair.slots() == {pair.slot})
    pair.sql(HERE, THROWAWAY, "INSERT INTO orders VALUES (99)")
    pair.order(4)
    until(lambda: pair.orders(HERE, STANDING) == [1, 2, 3, 4])
    until(lambda: not pair.databases.database(HERE, THROWAWAY).busy)


def test_a_standing_replica_that_stops_streaming_for_a_moment_is_noticed(pair: Pair) -> None:
    with StreamWatch(pair.server(THERE, SOURCE), pair.slot) as watch:
        until(lambda: watch.always)
        pair.network.cut_databases(Path.REFUSED)
        until(lambda: watch.always is False)
        pair.network.restore(THERE)
        until(lambda: "streaming over another connection" in watch.breaks)
    assert watch.always is False


def test_an_instance_of_a_drill_reaches_the_throwaway_and_not_the_standing_replica(pair: Pair) -> None:
    ec2 = client("ec2", HERE)
    subnet = ec2.describe_subnets()["Subnets"][0]
    groups = {
        name: ec2.create_security_group(GroupName=name, Description=name, VpcId=subnet["VpcId"])["GroupId"]
        for name in ("app", "database", "drill-app", "drill-database")
    }
    for own, other in (("app", "database"), ("drill-app", "drill-database")):
        rule = {"IpProtocol": "tcp", "FromPort": PORT, "ToPort": PORT, "UserIdGroupPairs": [{"GroupId": groups[own]}]}
        ec2.authorize_security_group_ingress(GroupId=groups[other], IpPermissions=[rule])
    set_groups = pair[HERE].modify_db_instance
    set_groups(DBInstanceIdentifier=STANDING, VpcSecurityGroupIds=[groups["database"]], ApplyImmediately=True)
    pair.databases.wait(HERE, STANDING)
    nightly = pair.nightly()["DBSnapshotIdentifier"]
    pair.copy(nightly)
    until(lambda: pair.snapshot(HERE, THROWAWAY)["Status"] == "available")
    pair.restore(
        pair[HERE].restore_db_instance_from_db_snapshot,
        DBInstanceIdentifier=THROWAWAY,
        DBSnapshotIdentifier=THROWAWAY,
        VpcSecurityGroupIds=[groups["drill-database"]],
    )
    reached = {}
    for name in ("app", "drill-app"):
        (run,) = ec2.run_instances(
            ImageId="ami-12345678", MinCount=1, MaxCount=1, SubnetId=subnet["SubnetId"], SecurityGroupIds=[groups[name]]
        )["Instances"]
        instance = get_backend("ec2")[ACCOUNT][REGION_NAME[HERE]].get_instance(run["InstanceId"])
        reached[name] = [each for each in (STANDING, THROWAWAY) if pair.databases.admits(HERE, instance, each)]
    assert reached == {"app": [STANDING], "drill-app": [THROWAWAY]}
    pair.delete()
    pair[HERE].delete_db_snapshot(DBSnapshotIdentifier=THROWAWAY)


def test_a_second_replica_that_is_deleted_leaves_no_slot(pair: Pair) -> None:
    pair.replicate(THROWAWAY)
    pair.databases.wait(HERE, THROWAWAY)
    assert len(pair.slots()) == 2
    pair.delete()
    assert pair.slots() == {pair.slot}


def test_without_replication_of_backups_there_is_nothing_to_restore_from_here(pair: Pair) -> None:
    assert pair[HERE].describe_db_instance_automated_backups()["DBInstanceAutomatedBackups"] == []
    arn = f"arn:aws:rds:{REGION_NAME[HERE]}:123456789012:auto-backup:ab-never"
    ask = pair[HERE].describe_db_instance_automated_backups
    assert code_of(ask, DBInstanceAutomatedBackupsArn=arn) == "DBInstanceAutomatedBackupNotFound"
    restore = pair[HERE].restore_db_instance_to_point_in_time
    given = {"TargetDBInstanceIdentifier": THROWAWAY, "UseLatestRestorableTime": True}
    assert code_of(restore, SourceDBInstanceAutomatedBackupsArn=arn, **given) == "DBInstanceAutomatedBackupNotFound"
    assert code_of(restore, SourceDBInstanceIdentifier=STANDING, **given) == "PointInTimeRestoreNotEnabled"
    assert code_of(restore, SourceDBInstanceIdentifier="never", **given) == "DBInstanceNotFound"
    assert code_of(restore, TargetDBInstanceIdentifier=THROWAWAY) == "InvalidParameterCombination"
    assert pair.names(HERE) == [STANDING]


def test_replicated_backups_are_restored_though_the_primary_is_lost(pair: Pair) -> None:
    given = {"SourceDBInstanceArn": pair.arn, "SourceRegion": REGION_NAME[THERE]}
    start = pair[HERE].start_db_instance_automated_backups_replication
    assert code_of(start, **given) == "InvalidParameterCombination", "the key of its Region is missing"
    begun = start(**given, KmsKeyId=pair.keys[HERE], BackupRetentionPeriod=5)["DBInstanceAutomatedBackup"]
    assert begun["Status"] == "pending"
    (told,) = pair[HERE].describe_db_instance_automated_backups()["DBInstanceAutomatedBackups"]
    assert (told["Status"], told["DBInstanceIdentifier"]) == ("replicating", SOURCE)
    assert (told["Region"], told["KmsKeyId"]) == (REGION_NAME[THERE], pair.keys[HERE])
    assert told["RestoreWindow"]["EarliestTime"] < told["RestoreWindow"]["LatestTime"]
    arn = told["DBInstanceAutomatedBackupsArn"]
    shown = pair.look(THERE, SOURCE)["DBInstanceAutomatedBackupsReplications"]
    assert shown == [{"DBInstanceAutomatedBackupsArn": arn}]

    nightly = pair.nightly()
    pair.network.lose(THERE, Path.REFUSED)
    pair.databases.lose(THERE, Path.REFUSED)
    copy = {
        "SourceDBSnapshotIdentifier": nightly["DBSnapshotArn"],
        "TargetDBSnapshotIdentifier": THROWAWAY,
        "KmsKeyId": pair.keys[HERE],
        "SourceRegion": REGION_NAME[THERE],
    }
    assert code_of(pair[HERE].copy_db_snapshot, **copy) == "InternalFailure"
    pair.restore(
        pair[HERE].restore_db_instance_to_point_in_time,
        SourceDBInstanceAutomatedBackupsArn=arn,
        TargetDBInstanceIdentifier=THROWAWAY,
        UseLatestRestorableTime=True,
    )
    assert pair.orders(HERE, THROWAWAY) == [1, 2, 3, 4]
    assert pair.look(HERE, THROWAWAY)["KmsKeyId"] == pair.keys[HERE]
    pair.delete()
    pair.databases.revive(THERE)
    pair.network.restore(THERE)
    pair.databases.wait(THERE, SOURCE)
    pair[HERE].stop_db_instance_automated_backups_replication(SourceDBInstanceArn=pair.arn)
    assert pair[HERE].describe_db_instance_automated_backups()["DBInstanceAutomatedBackups"] == []


def test_a_snapshot_that_rds_made_with_the_instance_has_data_when_somebody_wants_them(pair: Pair) -> None:
    pair.create(THERE, "shop-other")
    pair.databases.wait(THERE, "shop-other")
    pair.sql(THERE, "shop-other", "CREATE TABLE orders (id int); INSERT INTO orders VALUES (5)")
    (made,) = pair[THERE].describe_db_snapshots(DBInstanceIdentifier="shop-other")["DBSnapshots"]
    pair[THERE].restore_db_instance_from_db_snapshot(
        DBInstanceIdentifier="shop-again", DBSnapshotIdentifier=made["DBSnapshotIdentifier"]
    )
    pair.databases.wait(THERE, "shop-again")
    assert pair.orders(THERE, "shop-again") == [5]
    assert pair.snapshot(THERE, made["DBSnapshotIdentifier"])["SnapshotCreateTime"] > made["SnapshotCreateTime"]


BACKED_UP = """
Parameters:
  Elsewhere: { Type: String, Default: "" }
Conditions:
  Replicated: !Not [!Equals [!Ref Elsewhere, ""]]
Resources:
  Database:
    Type: AWS::RDS::DBInstance
    DeletionPolicy: Delete
    Properties:
      { DBInstanceIdentifier: shop-stacked, Engine: postgres, DBInstanceClass: db.t4g.micro, AllocatedStorage: "20",
        MasterUsername: shopmaster, MasterUserPassword: not-a-secret, BackupRetentionPeriod: 7, Port: "%d",
        AutomaticBackupReplicationRegion: !If [Replicated, !Ref Elsewhere, !Ref "AWS::NoValue"],
        AutomaticBackupReplicationRetentionPeriod: !If [Replicated, 5, !Ref "AWS::NoValue"] }
"""


class Clients:
    """Where a stack gets its clients from."""

    def client(self, service: str, region: str) -> Any:
        return boto3.client(service, region_name=region)  # type: ignore[call-overload]


def test_a_template_has_backups_replicated_and_no_longer_so(pair: Pair, tmp_path: FilePath) -> None:
    def told() -> list[tuple[str, int]]:
        found = pair[HERE].describe_db_instance_automated_backups()["DBInstanceAutomatedBackups"]
        return [(each["DBInstanceIdentifier"], each["BackupRetentionPeriod"]) for each in found]

    template = tmp_path / "backed-up.yaml"
    template.write_text(BACKED_UP % PORT)
    stacks, region = Stacks(Clients()), REGION_NAME[THERE]
    stacks.create("stacked", region, template, {"Elsewhere": REGION_NAME[HERE]})
    assert told() == [("shop-stacked", 5)]
    stacks.update("stacked", region, template, {"Elsewhere": ""})
    assert told() == []
    stacks.update("stacked", region, template, {"Elsewhere": REGION_NAME[HERE]})
    assert told() == [("shop-stacked", 5)]
