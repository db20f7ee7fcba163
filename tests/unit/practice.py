"""RDS of both Regions as a drill asks it, and the `dbcheck` of the throwaway, in memory: phases that end when told to.

Beside what the way home asks of RDS: lists, replicated backups, copies of snapshots, restores, promotions, deletions.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from relight.settings import DrillSettings

from tests.unit.instances import AS_THE_TEMPLATE_HAS_IT, Instances
from tests.unit.rds import error
from tests.unit.standby import HERE, HOME, MACHINE, TABLE, Clock

STANDBY, PRIMARY = "shop-dr", "shop-primary"
PRIMARY_ARN = f"arn:aws:rds:{HOME}:123456789012:db:{PRIMARY}"
THROWAWAY = f"{STANDBY}-drill-1"
KEY = f"arn:aws:kms:{HERE}:123456789012:key/2"
TAGGED = [
    {"Key": "relight:drill", "Value": "run-1"},
    {"Key": "relight:application", "Value": "shop"},
    {"Key": "Name", "Value": THROWAWAY},
]
SETTINGS = DrillSettings(
    aws_region=HERE,
    home_region=HOME,
    peer_region=HOME,
    ledger_table=TABLE,
    domain="shop.example",
    name_servers=("127.0.0.1:1",),
    resolver=None,
    site_url="http://shop.example",
    self_url="http://dr.shop.example",
    readiness_path="/health/ready",
    transaction_path="/orders",
    sample_timeout_seconds=1.0,
    look_again_seconds=10.0,
    application="shop",
    peer_connect_seconds=2.0,
    peer_read_seconds=5.0,
    peer_ledger_table=TABLE,
    replica_id=STANDBY,
    peer_database_id=PRIMARY,
    dbcheck_function="relight-shop-dbcheck",
    group_arns=(f"arn:aws:autoscaling:{HERE}:123456789012:autoScalingGroup:1:autoScalingGroupName/shop-dr",),
    peer_group_names=("shop-primary",),
    default_capacity=1,
    healthy_percent=100,
    subnet_group="shop-drill",
    database_security_group="sg-drill-database",
    subnet_ids=("subnet-1", "subnet-2"),
    public_subnet_ids=("subnet-3", "subnet-4"),
    security_group="sg-drill",
    balancer_security_group="sg-drill-balancer",
    vpc_id="vpc-1",
    certificate_arn=None,
    site_port=80,
    instance_profile_arn="arn:aws:iam::123456789012:instance-profile/shop-drill",
    bucket="shop-drill",
    data_key_arn=KEY,
    site_role_arn="arn:aws:iam::123456789012:role/shop-drill-site",
    max_gib=100,
    max_usd=25.0,
    drill_seconds=14400.0,
    backup_retention_days=7,
    failover_machine=MACHINE,
    peer_failback_machine=f"arn:aws:states:{HOME}:123456789012:stateMachine:relight-shop-failback",
)


@dataclass
class Pages:
    """One page of everything."""

    answer: Any

    def paginate(self, **given: Any) -> Iterator[dict[str, Any]]:
        """As boto3's paginators."""
        yield self.answer(**given)


@dataclass
class DrillRds(Instances):
    """One Region's RDS."""

    backups: list[dict[str, Any]] = field(default_factory=list)
    promoting: set[str] = field(default_factory=set)
    attributes: list[dict[str, Any]] = field(default_factory=list)

    def standby(self) -> dict[str, Any]:
        """The standing replica, as the template has it."""
        return self.add(
            DBInstanceIdentifier=STANDBY,
            DBInstanceArn=f"arn:aws:rds:{HERE}:123456789012:db:{STANDBY}",
            DbiResourceId="db-STANDBY",
            ReadReplicaSourceDBInstanceIdentifier=PRIMARY_ARN,
            BackupRetentionPeriod=0,
            KmsKeyId=KEY,
        )

    def primary(self, **told: Any) -> dict[str, Any]:
        """The primary's database."""
        return self.add(DBInstanceArn=PRIMARY_ARN, AllocatedStorage=30, **told)

    def snapshot(self, name: str, at: Any, **told: Any) -> None:
        """One that is there already."""
        self.snapshots[name] = {
            "DBSnapshotIdentifier": name,
            "DBSnapshotArn": f"arn:aws:rds:{self.region}:123456789012:snapshot:{name}",
            "DBInstanceIdentifier": AS_THE_TEMPLATE_HAS_IT["DBInstanceIdentifier"],
            "DbiResourceId": "db-OLD",
            "Engine": "postgres",
            "AllocatedStorage": 25,
            "Encrypted": True,
            "Status": "available",
            "SnapshotCreateTime": at,
            "TagList": [{"Key": "relight:application", "Value": "shop"}],
        } | told

    def get_paginator(self, name: str) -> Pages:
        """Of any list."""
        return Pages(getattr(self, name))

    def describe_db_instances(self, **given: Any) -> dict[str, Any]:
        if given:
            return super().describe_db_instances(**given)
        self._take("DescribeDBInstances", given)
        return {"DBInstances": [dict(one) for one in self.instances.values()]}

    def describe_db_snapshots(self, **given: Any) -> dict[str, Any]:
        if "DBSnapshotIdentifier" in given:
            return super().describe_db_snapshots(**given)
        self._take("DescribeDBSnapshots", given)
        of = given.get("DBInstanceIdentifier")
        return {"DBSnapshots": [one for one in self.snapshots.values() if of in {None, one["DBInstanceIdentifier"]}]}

    def describe_db_instance_automated_backups(self, **given: Any) -> dict[str, Any]:
        self._take("DescribeDBInstanceAutomatedBackups", given)
        return {"DBInstanceAutomatedBackups": self.backups}

    def describe_account_attributes(self, **given: Any) -> dict[str, Any]:
        self._take("DescribeAccountAttributes", given)
        return {"AccountQuotas": self.attributes}

    def restore_db_instance_to_point_in_time(self, **given: Any) -> dict[str, Any]:
        def restore() -> None:
            told = dict(given)
            name = told.pop("TargetDBInstanceIdentifier")
            self._new(
                "RestoreDBInstanceToPointInTime", {"DBInstanceIdentifier": name, **told}, {"AllocatedStorage": 25}
            )

        return self._change("RestoreDBInstanceToPointInTime", given, restore)

    def copy_db_snapshot(self, **given: Any) -> dict[str, Any]:
        def copy() -> None:
            name = given["TargetDBSnapshotIdentifier"]
            if name in self.snapshots:
                raise error("DBSnapshotAlreadyExists", f"{name} exists", "CopyDBSnapshot")
            self.snapshot(name, None, Status="creating", PercentProgress=20, TagList=given["Tags"])

        return self._change("CopyDBSnapshot", given, copy)

    def promote_read_replica(self, **given: Any) -> dict[str, Any]:
        def promote() -> None:
            found = self._in("PromoteReadReplica", given, "available")
            assert "ReadReplicaSourceDBInstanceIdentifier" in found
            self.promoting.add(given["DBInstanceIdentifier"])

        return self._change("PromoteReadReplica", given, promote)

    def delete_db_instance(self, **given: Any) -> dict[str, Any]:
        def delete() -> None:
            found = self._instance(given["DBInstanceIdentifier"], "DeleteDBInstance")
            if found["DBInstanceStatus"] in {"creating", "deleting"}:
                raise error("InvalidDBInstanceState", f"it is {found['DBInstanceStatus']}", "DeleteDBInstance")
            found["DBInstanceStatus"] = "deleting"

        return self._change("DeleteDBInstance", given, delete)

    def delete_db_snapshot(self, **given: Any) -> dict[str, Any]:
        def delete() -> None:
            if self.snapshots[given["DBSnapshotIdentifier"]]["Status"] == "creating":
                raise error("InvalidDBSnapshotState", "it is being created", "DeleteDBSnapshot")
            del self.snapshots[given["DBSnapshotIdentifier"]]

        return self._change("DeleteDBSnapshot", given, delete)

    def tick(self) -> None:
        """A promotion begins with `modifying`, while it is a replica still, and ends as no replica and `available`."""
        beginning = [name for name in self.promoting if self.instances[name]["DBInstanceStatus"] == "available"]
        for name in self.promoting - set(beginning):
            del self.instances[name]["ReadReplicaSourceDBInstanceIdentifier"]
        self.promoting = set(beginning)
        super().tick()
        for name in beginning:
            self.instances[name]["DBInstanceStatus"] = "modifying"

    @property
    def names(self) -> list[str]:
        """The operations that RDS has taken."""
        return [operation for operation, _ in self.calls]


@dataclass
class Listener:
    """The function `dbcheck`: what it says of the throwaway. It is asked of no other place."""

    clock: Clock
    in_recovery: bool = False
    reached: bool = True
    receiver: str | None = "streaming"
    behind: float = 0.5
    writable: bool = True
    failure: str | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 (boto3's names)
        """Lambda's answer."""
        event = json.loads(Payload)
        self.asked.append(event)
        assert event["endpoint"]["host"].startswith(THROWAWAY), "nothing but the throwaway is asked"
        if self.failure is not None:
            failed = {"errorType": self.failure, "errorMessage": "it went wrong"}
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(failed).encode())}
        return {"Payload": io.BytesIO(json.dumps(self._say()).encode())}

    def _say(self) -> dict[str, Any]:
        if not self.reached:
            return {"reached": False, "writable": False, "sentence": "unreachable: timed out"}
        writable = self.writable and not self.in_recovery
        return {
            "reached": True,
            "in_recovery": self.in_recovery,
            "writable": writable,
            "receiver": self.receiver and {"status": self.receiver},
            "last_replayed_at": self.clock() - self.behind,
            "heartbeat_at": None,
            "sentence": "it takes writes" if writable else "it does not",
        }
