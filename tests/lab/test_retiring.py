"""The steps that keep the old database and build its successor, over the lab's RDS: real servers, and a real circle.

`shop-home` was lost, and took orders that never reached `shop-away`, which was promoted. Then it came back.
"""

import io
import json
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from moto import mock_aws
from relight.ledger import Ledger
from relight.run import Run
from relight.settings import ReprotectSettings, RetireSettings
from relight.shape import shape_of
from relight.step import Outcome
from relight.steps.reprotect import Reprotect
from relight.steps.retire import Retire

from lab.binaries import folder
from lab.network import Network
from lab.rds import Databases
from lab.region import REGION_NAME
from tests.lab.test_rds import client, until
from tests.lab.test_rds_way_home import NEW, OLD, TIMINGS, Home
from tests.unit.standby import TABLE, claims, make_ledger, take_lock

HERE, THERE = REGION_NAME[OLD], REGION_NAME[NEW]
KEPT = "shop-home-retired-7"


class Ears:
    """What `dbcheck` says, asked of the servers themselves: its own way to them is tried elsewhere."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 (boto3's names)
        event = json.loads(Payload)
        said = self._drop(event) if event["check"] == "drop_slots" else self._state()
        return {"Payload": io.BytesIO(json.dumps(said).encode())}

    def _drop(self, event: dict[str, Any]) -> dict[str, Any]:
        identifier = KEPT if "endpoint" in event else "shop-home"
        unread = [name for name, active in self.home.slots(OLD, identifier) if not active]
        server = self.home.databases.database(OLD, identifier).server
        assert server is not None
        for name in unread:
            server.sql(f"SELECT pg_drop_replication_slot('{name}')")
        return {"reached": True, "dropped": unread}

    def _state(self) -> dict[str, Any]:
        query = "SELECT pg_is_in_recovery(), (SELECT status FROM pg_stat_wal_receiver)"
        ((in_recovery, status),) = self.home.sql(OLD, "shop-home", query)
        now = time.time()
        return {
            "reached": True,
            "in_recovery": in_recovery,
            "writable": not in_recovery,
            "last_replayed_at": now,
            "heartbeat_at": None,
            "receiver": status and {"status": status},
        }


class Returned:
    """The home Region, its ledger, and the two steps."""

    def __init__(self, home: Home, ledger: Ledger, run: Run) -> None:
        self.home, self.ledger, self.run = home, ledger, run
        ears: Any = Ears(home)
        same: dict[str, Any] = {
            "aws_region": HERE,
            "home_region": HERE,
            "peer_region": THERE,
            "ledger_table": TABLE,
            "replica_id": "shop-home",
            "peer_database_id": "shop-away",
            "dbcheck_function": "dbcheck",
            "look_again_seconds": 60.0,
        }
        keeping = RetireSettings(**same, retained_days=14.0, topic_arn="arn", application="shop")
        building = ReprotectSettings(
            **same,
            peer_connect_seconds=2.0,
            peer_read_seconds=5.0,
            subnet_group=None,
            parameter_group=None,
            security_group_ids=None,
            data_key_arn=None,
        )
        self.retire = Retire(keeping, ledger, home[OLD], ears, time.time)
        self.reprotect = Reprotect(building, ledger, home[OLD], home[NEW], ears, time.time)

    def follow(self, look: Callable[[], Outcome]) -> Outcome:
        """Look until it is done, as the state machine does."""

        def done() -> Outcome | None:
            outcome = look()
            return outcome if outcome.status == "DONE" else None

        found = until(done, 60)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def returned() -> Iterator[Returned]:
    data, network = folder("relight-test-"), Network()
    databases = Databases(network, TIMINGS, data)
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        databases.install()
        try:
            home = Home(databases, network)
            home.begin()
            windows = {"PreferredBackupWindow": "01:00-01:30", "PreferredMaintenanceWindow": "thu:02:00-thu:02:30"}
            home[OLD].modify_db_instance(DBInstanceIdentifier="shop-home", ApplyImmediately=True, **windows)
            databases.wait(OLD, "shop-home")
            home[NEW].promote_read_replica(DBInstanceIdentifier="shop-away", BackupRetentionPeriod=7)
            until(lambda: "ReadReplicaSourceDBInstanceIdentifier" not in home.look(NEW, "shop-away"))
            databases.wait(NEW, "shop-away")
            home.sql(OLD, "shop-home", "INSERT INTO orders VALUES (2)")
            home.sql(NEW, "shop-away", "INSERT INTO orders VALUES (3)")
            ledger = make_ledger(client("dynamodb", OLD))
            ledger.mirror(claims(7, THERE), 0)
            yield Returned(home, ledger, take_lock(ledger, "failback-1", time.time()))
        finally:
            databases.stop()
            shutil.rmtree(data, ignore_errors=True)
    assert databases.errors == []


def test_the_old_database_is_kept_with_what_only_it_has_and_its_successor_is_like_it(returned: Returned) -> None:
    home = returned.home
    was = shape_of(home.look(OLD, "shop-home"))
    assert [active for _, active in home.slots(OLD, "shop-home")] == [False]

    kept = returned.follow(lambda: returned.retire.keep(returned.run)).facts["retired"]
    assert (kept["instance"], kept["snapshot"]) == (KEPT, KEPT)
    assert (kept["host"], kept["port"]) == tuple(home.look(OLD, KEPT)["Endpoint"][name] for name in ("Address", "Port"))
    assert (home.orders(OLD, KEPT), home.slots(OLD, KEPT)) == ([1, 2], [])
    assert home.snapshot(KEPT)["Status"] == "available"
    assert shape_of(home.look(OLD, KEPT)) == was

    done = returned.follow(lambda: returned.reprotect.ensure(returned.run))
    assert done.facts["unlike"] == []
    assert until(lambda: home.orders(OLD, "shop-home") == [1, 3])
    now = shape_of(home.look(OLD, "shop-home"))
    # Of another life, and without backups until it is promoted.
    differs = {key for key in was.keys() | now.keys() if was.get(key) != now.get(key)}
    assert differs == {"DbiResourceId", "BackupRetentionPeriod"}
    assert home.orders(OLD, KEPT) == [1, 2]

    # A run that comes after finds all of it.
    run = take_lock(returned.ledger, "failback-2", time.time())
    assert returned.retire.keep(run).facts["retired"] == kept
    assert returned.reprotect.ensure(run).status == "DONE"
