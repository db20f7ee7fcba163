"""RDS of the lab through boto3: real servers, real streaming, and AWS's phases and refusals."""

import shutil
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import psycopg
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.backends import get_backend

from lab.alarms import Alarms
from lab.binaries import folder
from lab.network import Network, Path
from lab.port import free_port
from lab.rds import Databases
from lab.region import REGION_NAME, Side
from lab.timings import LAB

TIMINGS = replace(LAB, minute=0.6, rds_pending=0.3, rds_modifying=0.3, rds_rebooting=0.9)
PORT = free_port(["127.0.1.20", "127.0.1.21", "127.0.2.20", "127.0.1.140"])


def until[T](look: Callable[[], T], seconds: float = 20) -> T:
    """What `look` returns as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return seen


def client(service: Any, side: Side) -> Any:
    return boto3.client(service, region_name=REGION_NAME[side])


class Rds:
    """A client of each Region's RDS, and the databases behind both."""

    def __init__(self, databases: Databases, network: Network) -> None:
        self.databases = databases
        self.network = network
        self.clients = {side: client("rds", side) for side in Side}

    def __getitem__(self, side: Side) -> Any:
        return self.clients[side]

    def look(self, side: Side, identifier: str) -> dict[str, Any]:
        found: dict[str, Any] = self[side].describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
        return found

    def status(self, side: Side, identifier: str) -> str:
        return str(self.look(side, identifier)["DBInstanceStatus"])

    def subnet_group(self, side: Side) -> str:
        ec2 = client("ec2", side)
        subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]][:2]
        name = f"shop-{side}"
        self[side].create_db_subnet_group(DBSubnetGroupName=name, DBSubnetGroupDescription="shop", SubnetIds=subnets)
        return name

    def create(self, side: Side = Side.PRIMARY, identifier: str = "shop", **more: Any) -> None:
        self[side].create_db_instance(
            **{
                "DBInstanceIdentifier": identifier,
                "Engine": "postgres",
                "DBInstanceClass": "db.t4g.micro",
                "AllocatedStorage": 20,
                "MasterUsername": "shopmaster",
                "MasterUserPassword": "not-a-secret",
                "DBName": "shop",
                "Port": PORT,
                "BackupRetentionPeriod": 7,
                **more,
            }
        )

    def create_pair(self) -> None:
        """`shop` in the primary Region, its replica `shop-dr` in the DR Region."""
        self.create()
        self.databases.wait(Side.PRIMARY, "shop")
        group = self.subnet_group(Side.DR)
        self[Side.DR].create_db_instance_read_replica(
            DBInstanceIdentifier="shop-dr",
            SourceDBInstanceIdentifier=self.look(Side.PRIMARY, "shop")["DBInstanceArn"],
            DBSubnetGroupName=group,
            SourceRegion=REGION_NAME[Side.PRIMARY],
        )
        self.databases.wait(Side.DR, "shop-dr")

    def connect(self, side: Side, identifier: str, password: str = "not-a-secret") -> Any:
        endpoint = self.look(side, identifier)["Endpoint"]
        return psycopg.connect(
            host=endpoint["Address"],
            port=endpoint["Port"],
            user="shopmaster",
            password=password,
            dbname="shop",
            connect_timeout=2,
            autocommit=True,
        )

    def sql(self, side: Side, identifier: str, query: str) -> list[tuple[Any, ...]]:
        with self.connect(side, identifier) as connection:
            cursor = connection.execute(query)
            return list(cursor.fetchall()) if cursor.description else []


@pytest.fixture
def rds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rds]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    network, data = Network(), folder("relight-test-")
    databases = Databases(network, TIMINGS, data)
    with mock_aws():
        databases.install()
        try:
            yield Rds(databases, network)
        finally:
            databases.stop()
            shutil.rmtree(data, ignore_errors=True)
    assert databases.pids() == []


def code_of(call: Callable[..., Any], **parameters: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    return str(refused.value.response["Error"]["Code"])


def test_a_replica_streams_from_the_other_region_and_is_promoted_in_phases(rds: Rds) -> None:
    rds.create_pair()
    source = rds.look(Side.PRIMARY, "shop")
    replica = rds.look(Side.DR, "shop-dr")
    assert (source["Endpoint"]["Address"], source["Endpoint"]["Port"]) == ("127.0.1.20", PORT)
    assert source["ReadReplicaDBInstanceIdentifiers"] == [replica["DBInstanceArn"]]
    assert replica["ReadReplicaSourceDBInstanceIdentifier"] == source["DBInstanceArn"]
    assert replica["DBSubnetGroup"]["DBSubnetGroupName"] == "shop-dr"
    assert [info["Status"] for info in replica["StatusInfos"]] == ["replicating"]
    assert replica["BackupRetentionPeriod"] == 0

    rds.sql(Side.PRIMARY, "shop", "CREATE TABLE orders (id int); INSERT INTO orders VALUES (1)")
    until(lambda: rds.sql(Side.DR, "shop-dr", "SELECT to_regclass('orders')") == [("orders",)])
    until(lambda: rds.sql(Side.DR, "shop-dr", "SELECT id FROM orders") == [(1,)])
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        rds.sql(Side.DR, "shop-dr", "INSERT INTO orders VALUES (2)")

    rds[Side.DR].promote_read_replica(DBInstanceIdentifier="shop-dr", BackupRetentionPeriod=7)
    seen: list[tuple[str, bool]] = []

    def promoted() -> bool:
        now = rds.look(Side.DR, "shop-dr")
        state = now["DBInstanceStatus"], "ReadReplicaSourceDBInstanceIdentifier" in now
        if state not in seen:
            seen.append(state)
        return state == ("available", False)

    until(promoted)
    assert [status for status, _ in seen] == ["available", "modifying", "rebooting", "available"]
    assert [is_replica for _, is_replica in seen] == [True, True, True, False]
    assert [identifier for identifier, _ in rds.databases.promotions] == ["shop-dr"]
    rds.sql(Side.DR, "shop-dr", "INSERT INTO orders VALUES (2)")
    assert rds.look(Side.DR, "shop-dr")["BackupRetentionPeriod"] == 7
    assert rds.look(Side.PRIMARY, "shop").get("ReadReplicaDBInstanceIdentifiers", []) == []
    assert code_of(rds[Side.DR].promote_read_replica, DBInstanceIdentifier="shop-dr") == "InvalidDBInstanceState"
    assert rds.databases.errors == []


def lags(side: Side, identifier: str) -> list[float]:
    """What CloudWatch of that Region knows of a replica's lag, newest first."""
    dimensions = [{"Name": "DBInstanceIdentifier", "Value": identifier}]
    metric = {"Namespace": "AWS/RDS", "MetricName": "ReplicaLag", "Dimensions": dimensions}
    now = datetime.now(UTC)
    answer = client("cloudwatch", side).get_metric_data(
        MetricDataQueries=[{"Id": "lag", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Maximum"}}],
        StartTime=now - timedelta(minutes=5),
        EndTime=now,
        ScanBy="TimestampDescending",
    )
    return list(answer["MetricDataResults"][0]["Values"])


def test_the_lag_of_a_replica_is_a_metric_of_its_own_region(rds: Rds) -> None:
    alarms = Alarms(TIMINGS, lambda *_: None)
    alarms.start()
    try:
        rds.databases.start(alarms.put)
        rds.create_pair()
        rds.sql(Side.PRIMARY, "shop", "CREATE TABLE orders (id int)")
        until(lambda: lags(Side.DR, "shop-dr"))
        behind = lags(Side.DR, "shop-dr")[0]
        assert behind >= 0
        until(lambda: lags(Side.DR, "shop-dr")[0] > behind, seconds=10)  # nothing is written, and nothing else is known
        rds.sql(Side.PRIMARY, "shop", "INSERT INTO orders VALUES (1)")
        until(lambda: 0 <= lags(Side.DR, "shop-dr")[0] < behind + 2 * TIMINGS.minute)
        assert lags(Side.PRIMARY, "shop") == lags(Side.PRIMARY, "shop-dr") == []

        rds.network.lose(Side.PRIMARY, Path.REFUSED)
        rds.databases.lose(Side.PRIMARY, Path.REFUSED)
        until(lambda: lags(Side.DR, "shop-dr")[0] == -1)

        rds[Side.DR].promote_read_replica(DBInstanceIdentifier="shop-dr")
        until(lambda: "ReadReplicaSourceDBInstanceIdentifier" not in rds.look(Side.DR, "shop-dr"))
        until(lambda: lags(Side.DR, "shop-dr") == [])  # five minutes later
    finally:
        alarms.stop()
    assert rds.databases.errors == []


def test_a_promotion_is_refused_where_aws_refuses_it(rds: Rds) -> None:
    rds.create_pair()
    promote = rds[Side.DR].promote_read_replica
    assert code_of(promote, DBInstanceIdentifier="shop") == "DBInstanceNotFound"
    assert code_of(rds[Side.PRIMARY].promote_read_replica, DBInstanceIdentifier="shop") == "InvalidDBInstanceState"
    rds.databases.set_status("shop-dr", "backing-up")
    assert code_of(promote, DBInstanceIdentifier="shop-dr") == "InvalidDBInstanceState"
    rds.databases.set_status("shop-dr", "available")

    # The primary Region is lost: the stream ends, and the promotion is as long as a person says.
    rds.network.lose(Side.PRIMARY, Path.REFUSED)
    rds.databases.lose(Side.PRIMARY, Path.REFUSED)
    assert rds.databases.database(Side.PRIMARY, "shop").pids() == []
    until(lambda: rds.look(Side.DR, "shop-dr")["StatusInfos"][0]["Status"] == "error")
    rds.databases.pause_promotion = True
    promote(DBInstanceIdentifier="shop-dr")
    assert code_of(promote, DBInstanceIdentifier="shop-dr") == "InvalidDBInstanceState"
    until(lambda: rds.status(Side.DR, "shop-dr") == "modifying")
    held = time.monotonic() + TIMINGS.promotion
    until(lambda: time.monotonic() > held)
    assert rds.status(Side.DR, "shop-dr") == "modifying"
    assert rds.databases.promotions == []
    rds.databases.pause_promotion = False
    until(lambda: "ReadReplicaSourceDBInstanceIdentifier" not in rds.look(Side.DR, "shop-dr"))
    rds.databases.wait(Side.DR, "shop-dr")
    assert len(rds.databases.promotions) == 1
    assert rds.look(Side.DR, "shop-dr")["BackupRetentionPeriod"] == 1
    assert rds.sql(Side.DR, "shop-dr", "SELECT pg_is_in_recovery()") == [(False,)]
    assert rds.databases.errors == []


def test_an_encrypted_instance_has_a_replica_elsewhere_only_with_a_key_of_there(rds: Rds) -> None:
    keys = {side: client("kms", side).create_key()["KeyMetadata"]["Arn"] for side in Side}
    rds.create(StorageEncrypted=True, KmsKeyId=keys[Side.PRIMARY], MultiAZ=True, PreferredBackupWindow="01:00-01:30")
    rds.databases.wait(Side.PRIMARY, "shop")
    wanted = {
        "DBInstanceIdentifier": "shop-dr",
        "SourceDBInstanceIdentifier": rds.look(Side.PRIMARY, "shop")["DBInstanceArn"],
        "DBSubnetGroupName": rds.subnet_group(Side.DR),
    }
    replicate = rds[Side.DR].create_db_instance_read_replica
    assert code_of(replicate, **wanted) == "InvalidParameterCombination"
    assert code_of(replicate, **wanted, KmsKeyId=keys[Side.PRIMARY]) == "KMSKeyNotAccessibleFault"
    windows = {"PreferredBackupWindow": "13:00-13:30", "PreferredMaintenanceWindow": "tue:02:00-tue:02:30"}
    replicate(**wanted, KmsKeyId=keys[Side.DR])
    rds.databases.wait(Side.DR, "shop-dr")
    rds[Side.DR].modify_db_instance(DBInstanceIdentifier="shop-dr", **windows)
    rds.databases.wait(Side.DR, "shop-dr")
    replica = rds.look(Side.DR, "shop-dr")
    assert (replica["KmsKeyId"], replica["StorageEncrypted"]) == (keys[Side.DR], True)
    assert {name: replica[name] for name in windows} == windows
    source = rds.look(Side.PRIMARY, "shop")
    assert (source["MultiAZ"], replica["MultiAZ"]) == (True, False), "a second zone is not inherited"
    assert source["PreferredBackupWindow"] == "01:00-01:30"


def test_an_instance_is_modified_renamed_and_deleted(rds: Rds) -> None:
    primary = rds[Side.PRIMARY]
    rds.create(DeletionProtection=True)
    assert rds.status(Side.PRIMARY, "shop") == "creating"
    assert "Endpoint" not in rds.look(Side.PRIMARY, "shop")
    assert code_of(primary.modify_db_instance, DBInstanceIdentifier="shop", MultiAZ=True) == "InvalidDBInstanceState"
    assert code_of(rds.create) == "DBInstanceAlreadyExists"
    assert code_of(rds.create, identifier="other", Engine="mysql") == "InvalidParameterValue"
    rds.databases.wait(Side.PRIMARY, "shop")

    primary.modify_db_instance(DBInstanceIdentifier="shop", BackupRetentionPeriod=3, MultiAZ=True)
    assert rds.status(Side.PRIMARY, "shop") == "modifying"
    rds.databases.wait(Side.PRIMARY, "shop")
    now = rds.look(Side.PRIMARY, "shop")
    assert (now["BackupRetentionPeriod"], now["MultiAZ"]) == (3, False)
    assert now["PendingModifiedValues"] == {"MultiAZ": True}, "what ApplyImmediately does not ask for is pending"

    primary.modify_db_instance(
        DBInstanceIdentifier="shop",
        NewDBInstanceIdentifier="shop-old",
        MasterUserPassword="another",
        MultiAZ=True,
        ApplyImmediately=True,
    )
    until(lambda: code_of_look(rds, "shop") == "DBInstanceNotFound")
    rds.databases.wait(Side.PRIMARY, "shop-old")
    now = rds.look(Side.PRIMARY, "shop-old")
    assert now["MultiAZ"] is True
    assert now["Endpoint"]["Address"] == "127.0.1.21", "an endpoint belongs to the name"
    with rds.connect(Side.PRIMARY, "shop-old", password="another") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)

    primary.reboot_db_instance(DBInstanceIdentifier="shop-old")
    assert rds.status(Side.PRIMARY, "shop-old") == "rebooting"
    rds.databases.wait(Side.PRIMARY, "shop-old")

    delete = primary.delete_db_instance
    protected = code_of(delete, DBInstanceIdentifier="shop-old", SkipFinalSnapshot=True)
    assert protected == "InvalidParameterCombination"
    primary.modify_db_instance(DBInstanceIdentifier="shop-old", DeletionProtection=False)
    rds.databases.wait(Side.PRIMARY, "shop-old")
    assert code_of(delete, DBInstanceIdentifier="shop-old") == "InvalidParameterCombination"
    delete(DBInstanceIdentifier="shop-old", FinalDBSnapshotIdentifier="last")
    assert rds.status(Side.PRIMARY, "shop-old") == "deleting"
    until(lambda: code_of_look(rds, "shop-old") == "DBInstanceNotFound")
    snapshots = primary.describe_db_snapshots(DBSnapshotIdentifier="last")["DBSnapshots"]
    assert [snapshot["DBInstanceIdentifier"] for snapshot in snapshots] == ["shop-old"]
    assert rds.databases.pids() == []
    assert rds.databases.errors == []


def code_of_look(rds: Rds, identifier: str) -> str:
    try:
        rds.look(Side.PRIMARY, identifier)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


class Shop:
    """An instance that may talk to the database, and what may forbid it."""

    def __init__(self, rds: Rds) -> None:
        self.ec2 = client("ec2", Side.PRIMARY)
        vpc = self.ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
        zone = f"{REGION_NAME[Side.PRIMARY]}a"
        app, data = (
            self.ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.1.{n}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
            for n in (1, 2)
        )
        self.app_group, self.group = (
            self.ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
            for name in ("app", "database")
        )
        self.rule = {
            "IpProtocol": "tcp",
            "FromPort": PORT,
            "ToPort": PORT,
            "UserIdGroupPairs": [{"GroupId": self.app_group}],
        }
        self.ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=[self.rule])
        acls = self.ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [data]}])
        self.acl = acls["NetworkAcls"][0]["NetworkAclId"]
        rds[Side.PRIMARY].create_db_subnet_group(
            DBSubnetGroupName="data", DBSubnetGroupDescription="data", SubnetIds=[data]
        )
        instance = self.ec2.run_instances(
            ImageId="ami-12345678", MinCount=1, MaxCount=1, SubnetId=app, SecurityGroupIds=[self.app_group]
        )["Instances"][0]
        self.instance = get_backend("ec2")["123456789012"][REGION_NAME[Side.PRIMARY]].get_instance(
            instance["InstanceId"]
        )

    def hold_in(self) -> None:
        """Take away the rule for going out that each new group has."""
        everywhere = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        self.ec2.revoke_security_group_egress(GroupId=self.app_group, IpPermissions=[everywhere])

    def let_out(self) -> None:
        """To the group of the database only."""
        rule = self.rule | {"UserIdGroupPairs": [{"GroupId": self.group}]}
        self.ec2.authorize_security_group_egress(GroupId=self.app_group, IpPermissions=[rule])

    def deny(self) -> None:
        """What a fence does: no more of the application's subnet to the database."""
        self.ec2.create_network_acl_entry(
            NetworkAclId=self.acl,
            RuleNumber=1,
            Protocol="6",
            RuleAction="deny",
            Egress=False,
            CidrBlock="10.1.1.0/24",
            PortRange={"From": PORT, "To": PORT},
        )

    def admit(self) -> None:
        self.ec2.delete_network_acl_entry(NetworkAclId=self.acl, RuleNumber=1, Egress=False)


def test_a_network_acl_silences_what_lives_and_a_security_group_only_what_is_new(rds: Rds) -> None:
    shop = Shop(rds)
    rds.create(DBSubnetGroupName="data", VpcSecurityGroupIds=[shop.group])
    rds.databases.wait(Side.PRIMARY, "shop")
    host = "127.0.1.140"
    nowhere = {"DATABASE_HOST": "db.example", "DATABASE_PORT": str(PORT)}
    assert rds.databases.open_way(Side.PRIMARY, shop.instance, host, nowhere) is None
    environment = {"DATABASE_HOST": "127.0.1.20", "DATABASE_PORT": str(PORT)}
    way = rds.databases.open_way(Side.PRIMARY, shop.instance, host, environment)
    assert way is not None

    def answers() -> bool:
        """Does the server answer a new connection's first question (may it be encrypted?) at once?"""
        try:
            with socket.create_connection((host, PORT), timeout=0.5) as connection:
                connection.sendall(struct.pack("!ii", 8, 80877103))
                return connection.recv(1) in (b"N", b"S")
        except OSError:
            return False

    until(answers)
    login = f"host={host} port={PORT} user=shopmaster password=not-a-secret dbname=shop"
    with psycopg.connect(login, autocommit=True) as live:
        assert live.execute("SELECT 1").fetchone() == (1,)
        shop.ec2.revoke_security_group_ingress(GroupId=shop.group, IpPermissions=[shop.rule])
        way.poke()
        until(lambda: not answers())
        assert live.execute("SELECT 2").fetchone() == (2,), "a connection that stands is tracked"

        shop.ec2.authorize_security_group_ingress(GroupId=shop.group, IpPermissions=[shop.rule])
        way.poke()
        until(answers)
        shop.hold_in()
        until(lambda: not answers())
        assert live.execute("SELECT 2").fetchone() == (2,)
        shop.let_out()
        until(answers)
        shop.deny()
        way.poke()
        answered = threading.Event()

        def ask() -> None:
            live.execute("SELECT 3")
            answered.set()

        asker = threading.Thread(target=ask, daemon=True)
        asker.start()
        assert not answered.wait(0.5)
        assert not answers()
        shop.admit()
        way.poke()
        assert answered.wait(10), "the way is open again, and nothing was lost"
        asker.join()
    until(answers)
    way.close()
    assert not answers()


@pytest.fixture
def promoted(rds: Rds) -> Rds:
    """`shop-dr`, promoted with seven days of backups."""
    rds.create_pair()
    rds[Side.DR].promote_read_replica(DBInstanceIdentifier="shop-dr", BackupRetentionPeriod=7)
    until(lambda: "ReadReplicaSourceDBInstanceIdentifier" not in rds.look(Side.DR, "shop-dr"))
    return rds


def test_the_first_backup_after_a_promotion_begins_by_itself(promoted: Rds) -> None:
    rds = promoted
    assert "LatestRestorableTime" in rds.look(Side.PRIMARY, "shop")
    assert "LatestRestorableTime" not in rds.look(Side.DR, "shop-dr")
    until(lambda: rds.status(Side.DR, "shop-dr") == "backing-up")
    rds.sql(Side.DR, "shop-dr", "CREATE TABLE orders (id int)")  # it serves meanwhile
    modify = rds[Side.DR].modify_db_instance
    wanted = {"DBInstanceIdentifier": "shop-dr", "MultiAZ": True, "ApplyImmediately": True}
    assert code_of(modify, **wanted) == "InvalidDBInstanceState"
    rds.databases.wait(Side.DR, "shop-dr")
    now = rds.look(Side.DR, "shop-dr")
    age = datetime.now(UTC) - now["LatestRestorableTime"]
    assert timedelta() <= age < timedelta(minutes=5)
    assert (now["Engine"], now["BackupRetentionPeriod"], now["MultiAZ"]) == ("postgres", 7, False)


def test_a_promoted_instance_becomes_what_the_primary_was(promoted: Rds) -> None:
    rds = promoted
    until(lambda: "LatestRestorableTime" in rds.look(Side.DR, "shop-dr"))
    rds.databases.wait(Side.DR, "shop-dr")
    rds[Side.DR].modify_db_instance(
        DBInstanceIdentifier="shop-dr",
        MultiAZ=True,
        BackupRetentionPeriod=14,
        DeletionProtection=True,
        ApplyImmediately=True,
    )
    now = rds.look(Side.DR, "shop-dr")
    assert (now["DBInstanceStatus"], now["MultiAZ"]) == ("modifying", False)
    assert now["PendingModifiedValues"] == {"MultiAZ": True, "BackupRetentionPeriod": 14}
    rds.sql(Side.DR, "shop-dr", "CREATE TABLE orders (id int)")  # it serves meanwhile
    rds.databases.wait(Side.DR, "shop-dr")
    now = rds.look(Side.DR, "shop-dr")
    assert (now["MultiAZ"], now["BackupRetentionPeriod"], now["DeletionProtection"]) == (True, 14, True)
    assert now.get("PendingModifiedValues", {}) == {}
    rds[Side.DR].modify_db_instance(DBInstanceIdentifier="shop-dr", MultiAZ=True, ApplyImmediately=True)
    assert rds.status(Side.DR, "shop-dr") == "available", "nothing is to be changed"


def test_backups_are_switched_on_like_any_change_and_begin_with_the_first(rds: Rds) -> None:
    primary = rds[Side.PRIMARY]
    rds.create(BackupRetentionPeriod=0)
    rds.databases.wait(Side.PRIMARY, "shop")
    assert "LatestRestorableTime" not in rds.look(Side.PRIMARY, "shop")
    primary.modify_db_instance(DBInstanceIdentifier="shop", BackupRetentionPeriod=7)
    now = rds.look(Side.PRIMARY, "shop")
    assert (now["DBInstanceStatus"], now["BackupRetentionPeriod"]) == ("available", 0)
    assert now["PendingModifiedValues"] == {"BackupRetentionPeriod": 7}
    primary.modify_db_instance(DBInstanceIdentifier="shop", CopyTagsToSnapshot=True, ApplyImmediately=True)
    until(lambda: rds.status(Side.PRIMARY, "shop") == "backing-up")
    rds.databases.wait(Side.PRIMARY, "shop")
    now = rds.look(Side.PRIMARY, "shop")
    assert (now["BackupRetentionPeriod"], now.get("PendingModifiedValues", {})) == (7, {})
    assert "LatestRestorableTime" in now
    primary.modify_db_instance(DBInstanceIdentifier="shop", BackupRetentionPeriod=0, ApplyImmediately=True)
    until(lambda: "LatestRestorableTime" not in rds.look(Side.PRIMARY, "shop"))


def test_an_instance_that_fails_is_dead_and_can_only_be_deleted(rds: Rds) -> None:
    rds.create_pair()
    primary = rds[Side.PRIMARY]
    primary.reboot_db_instance(DBInstanceIdentifier="shop")  # whatever is under way does not bring it back
    rds.databases.fail(Side.PRIMARY, "shop")
    database = rds.databases.database(Side.PRIMARY, "shop")
    until(lambda: not database.busy)
    assert (rds.status(Side.PRIMARY, "shop"), database.pids()) == ("failed", [])
    with pytest.raises(psycopg.OperationalError):
        rds.connect(Side.PRIMARY, "shop")
    until(lambda: rds.look(Side.DR, "shop-dr")["StatusInfos"][0]["Status"] == "error")
    for refused in (primary.reboot_db_instance, primary.modify_db_instance):
        assert code_of(refused, DBInstanceIdentifier="shop") == "InvalidDBInstanceState"
    with pytest.raises(KeyError):
        rds.databases.fail(Side.DR, "shop")
    primary.delete_db_instance(DBInstanceIdentifier="shop", SkipFinalSnapshot=True)
    until(lambda: code_of_look(rds, "shop") == "DBInstanceNotFound")
    assert rds.databases.errors == []


def test_a_reboot_takes_the_server_down_for_as_long_as_one_says(rds: Rds) -> None:
    rds.create_pair()
    server = rds.databases.database(Side.PRIMARY, "shop").server
    assert server is not None
    rds.databases.reboot_seconds = 4.0
    began = time.monotonic()
    rds[Side.PRIMARY].reboot_db_instance(DBInstanceIdentifier="shop")
    until(lambda: not server.is_running())
    assert rds.status(Side.PRIMARY, "shop") == "rebooting"
    until(lambda: rds.look(Side.DR, "shop-dr")["StatusInfos"][0]["Status"] == "error")
    rds.databases.wait(Side.PRIMARY, "shop")
    assert time.monotonic() - began >= 4.0
    assert rds.sql(Side.PRIMARY, "shop", "SELECT 1") == [(1,)]
    until(lambda: rds.look(Side.DR, "shop-dr")["StatusInfos"][0]["Status"] == "replicating")
