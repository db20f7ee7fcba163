"""RDS for PostgreSQL behind moto's API: instances and replicas are real servers, and nothing is instant.

moto keeps the records, subnet groups, parameter groups, snapshots and tags, and answers for them. What an instance
is and does comes from `lab.database`; which calls are refused, from `lab.rds_api`.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg
from moto.backends import get_backend

from lab.cloud import ACCOUNT
from lab.database import Database, EndedError
from lab.database_way import DatabaseWay
from lab.network import Network
from lab.network import Path as NetworkPath
from lab.rds_api import RdsApi
from lab.region import REGION_NAME, Side, database_address
from lab.seam import Seams
from lab.timings import Timings

_LOG = logging.getLogger(__name__)
_HOSTS = (*range(20, 30), *range(40, 100))
"""Of a side's loopback addresses, those that endpoints may have: the first, then what nothing else has."""

type Publish = Callable[[str, str, str, float, Mapping[str, str]], object]
"""Region, namespace, metric, value and dimensions: what a service of AWS publishes by itself."""


class Databases:
    """The instances of both Regions. `install`, then use RDS's API; `stop` leaves no process and undoes it."""

    def __init__(self, network: Network, timings: Timings, folder: Path) -> None:
        """The servers' data go into `folder`, which their user must be able to enter (see lab.binaries.folder)."""
        self.network = network
        self.timings = timings
        self.folder = folder
        self.reboot_seconds: float | None = None
        """How long RebootDBInstance keeps the server down from now on, in real seconds; None: as the timings say."""
        self.replica_seconds: float | None = None
        """How long CreateDBInstanceReadReplica takes from now on, in real seconds; None: as the timings say."""
        self.promotions: list[tuple[str, float]] = []
        """Identifier and Unix time, of each call of pg_promote."""
        self.errors: list[str] = []
        """What went wrong with a server, as sentences; empty in a lab that is as it should be."""
        self._databases: list[Database] = []
        self._addresses: dict[tuple[Side, str], str] = {}
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._promotions_run = threading.Event()
        self._promotions_run.set()
        self._lost: set[Side] = set()
        self._publisher: threading.Thread | None = None
        self._workers: list[threading.Thread] = []
        self._api = RdsApi(self)
        self._seams = Seams()

    def install(self) -> None:
        """Take the place of moto's instances. MotoChangedError if moto is not as expected."""
        self._api.install(self._seams)

    def start(self, publish: Publish) -> None:
        """Publish the lag of each replica from now on, once a minute, in its own Region."""
        self._publisher = threading.Thread(target=self._run, args=(publish,), name="rds-metrics", daemon=True)
        self._publisher.start()

    def stop(self) -> None:
        """Kill every server, close every way, take the seams out. The data stay in `folder`."""
        self._ended.set()
        if self._publisher is not None:
            self._publisher.join()
        self.settle()
        for database in self.all():
            database.close()
        self._seams.undo()

    def settle(self) -> None:
        """Wait until no snapshot is being copied any more."""
        for worker in list(self._workers):
            worker.join()

    def lose(self, side: Side, how: NetworkPath) -> None:
        """The Region of that side is gone: refused, its servers are killed; black-holed, they run on unseen."""
        if how is not NetworkPath.REFUSED:
            return
        self._lost.add(side)
        for database in self.all(side):
            database.lose()

    def revive(self, side: Side) -> None:
        """The Region of that side is back, as far as its databases go: the servers start on their old data.

        Each becomes `available` by itself; what had failed or was stopped before stays so. Nothing happens to what
        was black-holed: it has never stopped.
        """
        if side not in self._lost:
            return
        for database in self.all(side):
            database.settle()
        self._lost.discard(side)
        for database in self.all(side):
            database.revive()

    def all(self, side: Side | None = None) -> list[Database]:
        with self._lock:
            return [database for database in self._databases if side in (None, database.side)]

    def database(self, side: Side, identifier: str) -> Database:
        """The instance of that name; KeyError if that side has none."""
        for database in self.all(side):
            if database.identifier == identifier.lower():
                return database
        raise KeyError(f"{REGION_NAME[side]} has no database {identifier}")

    def wait(self, side: Side, identifier: str, status: str = "available", timeout: float = 60) -> Database:
        """Return the instance when it has that status; TimeoutError, with the trouble there was, if it never has."""
        deadline = time.monotonic() + timeout
        database = self.database(side, identifier)
        while database.record.status != status:
            if time.monotonic() > deadline or database.record.status == "failed":
                trouble = "; ".join(self.errors) or f"after {timeout:g} s"
                raise TimeoutError(f"database {identifier} is {database.record.status}, not {status}: {trouble}")
            time.sleep(0.02)
        return database

    def fail(self, side: Side, identifier: str) -> None:
        """Let that instance fail for good: `failed`, and its server killed. KeyError if there is none."""
        self.database(side, identifier).fail()

    def fill(self, side: Side, identifier: str) -> None:
        """Let the disk of that instance be full: `storage-full`, and no writes before it has more storage.

        KeyError if there is none.
        """
        self.database(side, identifier).fill()

    def back_up(self, side: Side, identifier: str) -> str:
        """Make an automated snapshot of that instance, as RDS does in its backup window: the snapshot's identifier.

        The instance says `backing-up` and serves meanwhile. KeyError if there is none, BusyError while something is
        under way.
        """
        database = self.database(side, identifier)
        backend = get_backend("rds")[ACCOUNT][REGION_NAME[side]]
        return str(self._api.snapshots.back_up(backend, database).db_snapshot_identifier)

    def admits(self, side: Side, instance: Any, identifier: str) -> bool:
        """Whether network ACLs and security groups let a new connection of that EC2 instance (moto's object) through
        to that database. KeyError if there is none."""
        database = self.database(side, identifier)
        return DatabaseWay(database.record, instance, listen=(database.address, 0), target=database.place).is_open()

    def set_status(self, identifier: str, status: str) -> None:
        """Let the instance of that name say so, as when AWS backs it up (`backing-up`) or its disk is full."""
        found = [database for database in self.all() if database.identifier == identifier.lower()]
        if not found:
            raise KeyError(f"there is no database {identifier}")
        for database in found:
            database.record.status = status

    @property
    def pause_promotion(self) -> bool:
        """While true, a promotion stays `modifying`, and pg_promote is not called."""
        return not self._promotions_run.is_set()

    @pause_promotion.setter
    def pause_promotion(self, paused: bool) -> None:
        if paused:
            self._promotions_run.clear()
        else:
            self._promotions_run.set()

    def pids(self) -> list[int]:
        """Every process of every server."""
        return [pid for database in self.all() for pid in database.pids()]

    def open_way(self, side: Side, instance: Any, host: str, environment: Mapping[str, str]) -> DatabaseWay | None:
        """The way from an EC2 instance of that side (moto's object) to the database that its environment names.

        It listens on `host`. None if DATABASE_HOST is no endpoint of that Region's databases; PortBusy if the
        address is taken.
        """
        wanted = environment.get("DATABASE_HOST"), environment.get("DATABASE_PORT")
        for database in self.all(side):
            address, port = database.place
            if (address, str(port)) == wanted:
                way = DatabaseWay(database.record, instance, listen=(host, port), target=database.place)
                way.start()
                return way
        return None

    def _run(self, publish: Publish) -> None:
        while not self._ended.wait(self.timings.minute):
            for database in self.all():
                if database.side in self._lost:
                    continue
                try:
                    lag = database.lag()
                    if lag is not None:
                        dimensions = {"DBInstanceIdentifier": database.identifier}
                        publish(REGION_NAME[database.side], "AWS/RDS", "ReplicaLag", lag, dimensions)
                except psycopg.Error as error:
                    # A server that is just going down or coming up has no figure, as on AWS.
                    _LOG.info("no lag of %s: %s", database.identifier, error)

    # -- what the API needs (see rds_api.RdsApi) --------------------------------------------------------------

    def add(self, record: Any) -> Database:
        """Give a new record of moto's its address, and remember it."""
        side = next(side for side, name in REGION_NAME.items() if name == record.region)
        with self._lock:
            database = Database(side, record, self.address(side, record.db_instance_identifier), self)
            self._databases.append(database)
        return database

    def of(self, record: Any) -> Database | None:
        """What stands behind a record of moto's."""
        return next((database for database in self.all() if database.record is record), None)

    def address(self, side: Side, identifier: str) -> str:
        """An endpoint belongs to its identifier: who takes the name over answers there."""
        key = side, identifier.lower()
        with self._lock:
            if key not in self._addresses:
                taken = {address for (of, _), address in self._addresses.items() if of is side}
                network, _, _ = database_address(side).rpartition(".")
                free = (f"{network}.{host}" for host in _HOSTS)
                self._addresses[key] = next(address for address in free if address not in taken)
            return self._addresses[key]

    def spawn(self, work: Callable[[], None]) -> None:
        """Do it in a thread of its own, which is waited for at the end."""
        worker = threading.Thread(target=work, name="rds-snapshots", daemon=True)
        with self._lock:
            self._workers = [other for other in self._workers if other.is_alive()] + [worker]
        worker.start()

    # -- what a database needs (see database.House) -----------------------------------------------------------

    def new_folder(self, side: Side) -> Path:
        return self.folder / f"{side}-backup-{secrets.token_hex(6)}"

    def pause(self, side: Side, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            if self._ended.wait(max(0.0, min(0.05, deadline - time.monotonic()))) or side in self._lost:
                raise EndedError
            if time.monotonic() >= deadline:
                return

    def hold_promotion(self, side: Side) -> None:
        while not self._promotions_run.is_set():
            self.pause(side, 0.02)

    def promoted(self, identifier: str) -> None:
        self.promotions.append((identifier, time.time()))

    def gone(self, database: Database) -> None:
        with self._lock:
            self._databases.remove(database)
        backend = get_backend("rds")[ACCOUNT][REGION_NAME[database.side]]
        backend.databases.pop(database.identifier, None)

    def renamed(self, database: Database, old: str) -> None:
        """Under its new name everybody knows it: moto, its source and its replicas."""
        backend = get_backend("rds")[ACCOUNT][REGION_NAME[database.side]]
        backend.databases.pop(old, None)
        backend.databases[database.identifier] = database.record
        new_arn = str(database.record.db_instance_arn)
        old_arn = new_arn.removesuffix(database.identifier) + old
        names = {old: database.identifier, old_arn: new_arn}
        for other in self.all():
            if other.source is database:
                source = other.record.source_db_instance_identifier
                other.record.source_db_instance_identifier = names.get(source, source)
                other.follow(database.place)
            if database.source is other:
                other.record.replicas = [names.get(name, name) for name in other.record.replicas]

    def trouble(self, sentence: str) -> None:
        self.errors.append(sentence)
