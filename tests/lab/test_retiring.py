"""The steps that keep the old database and build its successor, over the lab's RDS: real servers, and a real circle.

`shop-home` was lost, and took orders that never reached `shop-away`, which was promoted. Then it came back.
"""

import io
import json
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
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
from lab.network import Network, Path
from lab.rds import Databases
from lab.region import REGION_NAME
from tests.lab.asking import BOOTSTRAP, ask
from tests.lab.test_rds import PORT, client, until
from tests.lab.test_rds_way_home import NEW, OLD, TIMINGS, Home
from tests.unit.standby import TABLE, claims, make_ledger, take_lock

HERE, THERE = REGION_NAME[OLD], REGION_NAME[NEW]
KEPT = "shop-home-retired-7"


class Ears:
    """The function `dbcheck` itself, before those servers."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.host = str(home.look(OLD, "shop-home")["Endpoint"]["Address"])

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 (boto3's names)
        return {"Payload": io.BytesIO(json.dumps(self.ask(json.loads(Payload))).encode())}

    def ask(self, event: dict[str, Any]) -> dict[str, Any]:
        """One check, in the Region of `shop-home`."""
        return ask(None, event, database_host=self.host, database_port=PORT)


class Returned:
    """The home Region, its ledger, and the two steps."""

    def __init__(self, home: Home, ledger: Ledger, run: Run) -> None:
        self.home, self.ledger, self.run = home, ledger, run
        self.ears = Ears(home)
        ears: Any = self.ears
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
            with home.connect(OLD, "shop-home") as owner:
                owner.execute(BOOTSTRAP.read_bytes())
            until(lambda: home.sql(NEW, "shop-away", "SELECT to_regclass('relight_stop') IS NOT NULL")[0][0])
            windows = {"PreferredBackupWindow": "01:00-01:30", "PreferredMaintenanceWindow": "thu:02:00-thu:02:30"}
            home[OLD].modify_db_instance(DBInstanceIdentifier="shop-home", ApplyImmediately=True, **windows)
            databases.wait(OLD, "shop-home")
            # As in a failover, RDS cannot ask the old one for its slot.
            network.cut_databases(Path.REFUSED)
            home[NEW].promote_read_replica(DBInstanceIdentifier="shop-away", BackupRetentionPeriod=7)
            until(lambda: "ReadReplicaSourceDBInstanceIdentifier" not in home.look(NEW, "shop-away"))
            databases.wait(NEW, "shop-away")
            until(lambda: not databases.database(NEW, "shop-away").busy)
            network.restore(OLD)
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

    keeping = returned.follow(lambda: returned.retire.keep(returned.run))
    kept = keeping.facts["retired"]
    assert keeping.facts["writes_stopped"] is True
    assert (kept["instance"], kept["snapshot"]) == (KEPT, KEPT)
    assert (kept["host"], kept["port"]) == tuple(home.look(OLD, KEPT)["Endpoint"][name] for name in ("Address", "Port"))
    assert (home.orders(OLD, KEPT), home.slots(OLD, KEPT)) == ([1, 2], [])
    assert home.snapshot(KEPT)["Status"] == "available"
    assert shape_of(home.look(OLD, KEPT)) == was
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        home.sql(OLD, KEPT, "INSERT INTO orders VALUES (9)")

    # As each minute in the active Region.
    away = home.look(NEW, "shop-away")["Endpoint"]["Address"]
    assert ask(None, {"check": "heartbeat"}, database_host=away, database_port=PORT)["writable"]
    done = returned.follow(lambda: returned.reprotect.ensure(returned.run))
    assert done.facts["unlike"] == []
    assert until(lambda: home.orders(OLD, "shop-home") == [1, 3])
    now = shape_of(home.look(OLD, "shop-home"))
    # Of another life, and without backups until it is promoted.
    differs = {key for key in was.keys() | now.keys() if was.get(key) != now.get(key)}
    assert differs == {"DbiResourceId", "BackupRetentionPeriod"}
    assert home.orders(OLD, KEPT) == [1, 2]
    told = home.look(OLD, "shop-home")["DBParameterGroups"]
    assert told == [
        {"DBParameterGroupName": home.given[OLD]["DBParameterGroupName"], "ParameterApplyStatus": "in-sync"}
    ]

    # A run that comes after finds all of it.
    run = take_lock(returned.ledger, "failback-2", time.time())
    assert returned.retire.keep(run).facts["retired"] == kept
    assert returned.reprotect.ensure(run).status == "DONE"


def test_one_whose_writes_are_stopped_is_read_rid_of_its_slots_and_restored(returned: Returned) -> None:
    """Each database here is read-only by its own setting from then on, its snapshots' copies included."""
    home, ears = returned.home, returned.ears
    run = take_lock(returned.ledger, "failback-3", time.time())
    assert returned.follow(lambda: returned.retire.keep(run)).facts["writes_stopped"] is True
    where = home.look(OLD, KEPT)["Endpoint"]
    at = {"endpoint": {"host": where["Address"], "port": where["Port"]}}
    server = home.databases.database(OLD, KEPT).server
    assert server is not None
    server.ensure_slot("left_over")
    assert ears.ask({"check": "drop_slots", **at})["dropped"] == ["left_over"]
    # A table that has come since bootstrap.sql ran: its owner's function lets it be read.
    (orders,) = [each for each in ears.ask({"check": "tables", **at})["tables"] if each["name"] == "orders"]
    assert orders["readable"]

    home[OLD].restore_db_instance_from_db_snapshot(DBInstanceIdentifier="again", DBSnapshotIdentifier=KEPT)
    home.databases.wait(OLD, "again")
    assert home.orders(OLD, "again") == [1, 2]
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        home.sql(OLD, "again", "INSERT INTO orders VALUES (9)")
