"""One RDS instance: moto's record of it, the PostgreSQL server behind it, and the phases between its states.

A phase is work in a thread of its own, as on AWS: the call that begins it returns at once, and the status tells how
far it is. While one is under way the instance refuses the next.
"""

import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg import sql as words

from lab.errors import LabError
from lab.network import Network, Relay
from lab.network import Path as NetworkPath
from lab.pipe import Address
from lab.postgres import Backup, Postgres, PostgresError
from lab.region import Side, Vantage, link_address
from lab.timings import Timings

_START_SECONDS = 0.8
"""What a restart of the server takes at its end, so that a reboot as a whole lasts what the timings say."""
_SOON_SECONDS = 0.1
_LOOK_SECONDS = 0.5
"""How long the answer to "does it stream?" is good."""
_FIRST_STREAM_SECONDS = 30.0
_SLOT_SECONDS = 10.0
"""How long the source is asked to drop a slot that it still counts as read."""
_CLOSING_SECONDS = 20.0
_RESTORABLE_MINUTES = 5.0
"""How old the newest moment to which RDS could restore an instance is, at most."""
_TROUBLE = (LabError, PostgresError, psycopg.Error, OSError)


class EndedError(Exception):
    """The lab stops, or the Region is lost: what was under way is not brought to an end."""


class BusyError(Exception):
    """Something is under way already."""


class House(Protocol):
    """What a database needs of the lab around it."""

    timings: Timings
    network: Network
    folder: Path
    reboot_seconds: float | None
    """How long a reboot that somebody asks for lasts; None: as the timings say."""
    replica_seconds: float | None
    """How long a new replica takes at least; None: as the timings say."""

    def new_folder(self, side: Side) -> Path:
        """The name of a folder that there is not yet, for the data of a backup."""
        ...

    def pause(self, side: Side, seconds: float) -> None:
        """Wait that long; EndedError if the lab stops or the Region is lost meanwhile."""
        ...

    def hold_promotion(self, side: Side) -> None:
        """Wait while promotions are paused."""
        ...

    def promoted(self, identifier: str) -> None: ...

    def gone(self, database: "Database") -> None: ...

    def renamed(self, database: "Database", old: str) -> None: ...

    def trouble(self, sentence: str) -> None: ...


class Database:
    """An instance of one side. `record` is moto's object, which answers for it."""

    def __init__(self, side: Side, record: Any, address: str, house: House) -> None:
        self.side = side
        self.record = record
        self.address = address
        self.server: Postgres | None = None
        """None until it is created."""
        self.source: Database | None = None
        """What it replicates, until its promotion is complete."""
        self.slot = re.sub(r"\W", "_", f"rds_{record.region}_{record.dbi_resource_id}".lower())
        """Its replication slot at its source. It is dropped when it is promoted or gone, if that is reached then."""
        self._folder_name = f"{side}-{re.sub(r'\W', '_', self.identifier)}_{secrets.token_hex(3)}"
        """Stays when it is renamed."""
        self._house = house
        self._link: Relay | None = None
        self._backed_up: float | None = None
        """When its first backup was done (epoch seconds)."""
        self._failed = False
        self._full = False
        self._busy = threading.Lock()
        self._starts = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._looked: tuple[float, bool] = (0.0, False)

    @property
    def identifier(self) -> str:
        return str(self.record.db_instance_identifier)

    @property
    def busy(self) -> bool:
        """Is something under way, even if the status still says `available`?"""
        return self._busy.locked()

    @property
    def full(self) -> bool:
        """Is its disk full, so that it takes no writes?"""
        return self._full

    @property
    def place(self) -> Address:
        """Where its endpoint listens."""
        return self.address, int(self.record.port)

    # -- what can be done to it: each returns at once ---------------------------------------------------------

    def create(self, password: str) -> None:
        """An empty server, with the master user and the database that the record names."""
        self._phase("creating", lambda: self._create(password))

    def replicate(self, source: "Database") -> None:
        """A copy of the source that streams from it, through the link if that is in the other Region."""
        self.source = source
        self._phase("creating", lambda: self._replicate(source))

    def restore(self, backup: Callable[[], Backup], *, once: bool = False) -> None:
        """A server of its own with the data of a snapshot, or of a moment; `backup` may take its time to give them.

        `once`: they are deleted when it has its own copy.
        """
        self._phase("creating", lambda: self._restore(backup, once))

    def snapshot(self, snapshot: Any) -> None:
        """`backing-up`, while its data are copied into moto's snapshot: `creating`, and then `available`."""
        self._phase("backing-up", lambda: self._snapshot(snapshot))

    def promote(self) -> None:
        """`available` for a while yet, `modifying`, `rebooting`, and then a primary of its own."""
        self._phase(None, self._promote)

    def modify(self, change: Callable[[], None], password: str | None, *, adds_a_zone: bool = False) -> None:
        """`modifying`, longer where a standby is made, then `change` is made to the record.

        A new master password counts at once. Backups that were switched on begin with the first. A disk that was
        full and is larger then takes writes again.
        """
        timings = self._house.timings
        seconds = timings.rds_modifying if adds_a_zone else timings.rds_pending
        self._phase("modifying", lambda: self._modify(change, password, seconds))

    def rename(self, identifier: str, address: str, change: Callable[[], None], password: str | None) -> None:
        """`renaming`, then `rebooting` under the new name and at the new address, with the change made.

        The old address is free before the old name is.
        """
        self._phase("renaming", lambda: self._rename(identifier, address, change, password))

    def reboot(self) -> None:
        """`rebooting`, the server down for as long as that takes."""
        self._phase("rebooting", lambda: self._restart(seconds=self._house.reboot_seconds))

    def stop_server(self) -> None:
        """`stopping`, `stopped`: what StopDBInstance does."""
        self._phase("stopping", lambda: self._server().stop(), then="stopped")

    def start_server(self) -> None:
        self._phase("starting", self._start_again)

    def delete(self, snapshot: Any = None) -> None:
        """`deleting`, and then it and its data are gone; what they were is in moto's snapshot, where one is given."""
        self._phase("deleting", lambda: self._delete(snapshot))

    def fill(self) -> None:
        """`storage-full`: the server takes no writes before the disk is larger. PostgresError where it does not run."""
        self._server().refuse_writes(True)
        self._full = True
        self._say("storage-full")

    def fail(self) -> None:
        """`failed`, and its server killed: RDS cannot mend it, and nothing but DeleteDBInstance is left."""
        self._failed = True
        self.record.status = "failed"
        with self._starts:  # what is just being started is killed as well
            self.lose()

    # -- what is looked at ------------------------------------------------------------------------------------

    def streams(self) -> bool:
        """Does its WAL receiver stream now? Asked of the server at most twice a second."""
        at, answer = self._looked
        if time.monotonic() - at > _LOOK_SECONDS:
            answer = self._ask_streams()
            self._looked = (time.monotonic(), answer)
        return answer

    @property
    def latest_restorable(self) -> float | None:
        """To when it could be restored (epoch seconds); None before its first backup."""
        if self._backed_up is None:
            return None
        return max(self._backed_up, time.time() - _RESTORABLE_MINUTES * self._house.timings.minute)

    def back_up(self) -> Backup:
        """Its data as they are now, in a folder of their own, whatever it does meanwhile and though it be dead.

        PostgresError where it has none yet.
        """
        return self._server().back_up(self._house.new_folder(self.side))

    def lag(self) -> float | None:
        """How many seconds the replica is behind, -1 where it receives nothing; None for what has no lag to tell.

        psycopg's errors where its server does not answer.
        """
        if self.source is None or self.server is None or not self.server.is_running():
            return None
        return self.server.lag()

    def refresh(self) -> None:
        """Put the state of the replication into the record, as DescribeDBInstances shows it."""
        if self.source is None or self.record.status == "creating":
            self.record.status_infos = None
            return
        streams = self.streams()
        self.record.status_infos = [
            {
                "StatusType": "read replication",
                "Normal": streams,
                "Status": "replicating" if streams else "error",
                "Message": "" if streams else "the replica receives nothing from its source",
            }
        ]

    def pids(self) -> list[int]:
        return self.server.pids() if self.server else []

    # -- its end, and its return --------------------------------------------------------------------------------

    def settle(self) -> None:
        """Wait until what was under way when the Region was lost has noticed."""
        for thread in self._threads:
            thread.join(_CLOSING_SECONDS)

    def revive(self) -> None:
        """Its host is back: the server starts again on its old data, and is as `available` as it was.

        What was under way when it was lost is not brought to an end. What had failed or was stopped stays so, and
        what was never created has failed.
        """
        if self.server is None:
            self._failed = True
            self.record.status = "failed"
        elif self.record.status not in ("failed", "stopped", "deleted") and not self.server.is_running():
            self.record.pending_modified_values = {}
            self._phase("starting", self._start_again)
            if self._keeps_backups and self._backed_up is None and self.source is None:
                self._spawn(self._begin_backups)

    def lose(self) -> None:
        """Every process of the server is killed; the data stay as they are."""
        if self.server is not None:
            self.server.kill()

    def close(self) -> None:
        """Wait for what is under way, then stop the server and the link. The data stay."""
        self.settle()
        if self._link is not None:
            self._link.stop()
            self._link = None
        if self.server is not None:
            self.server.kill()

    # -- the phases -------------------------------------------------------------------------------------------

    def _phase(self, status: str | None, work: Callable[[], None], then: str | None = None) -> None:
        if not self._busy.acquire(blocking=False):
            raise BusyError(f"{self.identifier} has something under way")
        if status:
            self._say(status)

        def run() -> None:
            try:
                work()
            except EndedError:
                return
            except _TROUBLE as error:
                self._say("failed")
                self._house.trouble(f"database {self.identifier}: {error}")
            else:
                if self.record.status != "deleted":
                    self._say(then or ("storage-full" if self._full else "available"))
            finally:
                self._busy.release()

        self._spawn(run)

    def _spawn(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name=f"rds-{self.identifier}", daemon=True)
        self._threads = [other for other in self._threads if other.is_alive()] + [thread]
        thread.start()

    def _say(self, status: str) -> None:
        """What has failed stays so until it is deleted."""
        if not self._failed or status in ("deleting", "deleted"):
            self.record.status = status

    def _pause(self, seconds: float) -> None:
        """EndedError also where the instance has failed meanwhile."""
        over = time.monotonic() + seconds
        while True:
            self._house.pause(self.side, max(0.0, min(_SOON_SECONDS, over - time.monotonic())))
            if self._failed:
                raise EndedError
            if time.monotonic() >= over:
                return

    def _start_again(self) -> None:
        self._start(self._server())
        self.record.parameter_apply_status = "in-sync"

    def _start(self, server: Postgres) -> None:
        with self._starts:
            if self._failed:
                raise EndedError
            server.start()

    def _create(self, password: str) -> None:
        host, port = self.place
        record = self.record
        server = Postgres.create(
            self._data_dir(), host, port, record.master_username, password, record.db_name or "postgres"
        )
        self._pause(0)
        self._start(server)
        self.server = server
        if self._keeps_backups:
            self._backed_up = time.time()  # the first one is a part of the creation

    def _restore(self, give: Callable[[], Backup], once: bool) -> None:
        host, port = self.place
        over = time.monotonic() + self._house.timings.rds_restoring
        backup = give()
        server = Postgres.restored(backup, self._data_dir(), host, port)
        if once:
            backup.destroy()
        self._pause(max(0.0, over - _START_SECONDS - time.monotonic()))
        self._start(server)
        self.server = server
        if self._keeps_backups:
            self._backed_up = time.time()

    def _snapshot(self, snapshot: Any) -> None:
        """The data are those of the beginning; the rest of the time is what AWS takes to put them away."""
        over = time.monotonic() + self._house.timings.rds_snapshotting
        try:
            backup = self.back_up()
            began = time.monotonic()
            while (left := over - time.monotonic()) > 0:
                self._pause(min(_SOON_SECONDS, left))
                share = (time.monotonic() - began) / max(over - began, _SOON_SECONDS)
                snapshot.percent_progress = min(99, int(100 * share))
        except EndedError:
            snapshot.status = "failed"
            raise
        except _TROUBLE as error:
            # The instance is none the worse for it.
            snapshot.status = "failed"
            self._house.trouble(f"snapshot {snapshot.db_snapshot_identifier} of {self.identifier}: {error}")
            return
        snapshot.backup = backup
        snapshot.percent_progress = 100
        snapshot.status = "available"

    def _replicate(self, source: "Database") -> None:
        host, port = self.place
        given = self._house.replica_seconds
        over = time.monotonic() + (self._house.timings.rds_replicating if given is None else given)
        upstream = source._server()
        self._link = Relay((link_address(self.side), 0), source.place, lambda: self._path_to(source))
        self._link.start()
        server = Postgres.copy_of(upstream, self._data_dir(), host, port, slot=self.slot, link=self._link.address)
        self._pause(max(0.0, over - _START_SECONDS - time.monotonic()))
        self._start(server)
        self.server = server
        deadline = time.monotonic() + _FIRST_STREAM_SECONDS
        while not server.streams():
            if time.monotonic() > deadline:
                raise PostgresError(f"it does not stream from {source.identifier}; see {server.log}")
            self._pause(0.05)
        self._pause(max(0.0, over - time.monotonic()))

    def _promote(self) -> None:
        timings = self._house.timings
        self._pause(timings.rds_pending)
        self._say("modifying")
        self._pause(timings.rds_modifying)
        self._house.hold_promotion(self.side)
        self._say("rebooting")
        source = self.source
        self._restart(self._pg_promote)
        # All at once: whoever sees the replica gone sees `available`, and the other way round.
        self.source = None
        if source is not None:
            source.record.replicas = [name for name in source.record.replicas if name not in self._names()]
        self._unlink()
        self.record.source_db_instance_identifier = None
        self.record.is_replica = False
        self.record.status_infos = None
        self._say("available")
        self._spawn(self._begin_backups)
        if source is not None:
            self._drop_slot(source)

    def _pg_promote(self, server: Postgres) -> None:
        self._house.promoted(self.identifier)
        server.promote()

    @property
    def _keeps_backups(self) -> bool:
        return bool(int(self.record.backup_retention_period or 0))

    def _begin_backups(self) -> None:
        """RDS makes the first backup by itself, soon after the promotion and when nothing else is under way."""
        with suppress(EndedError):
            self._pause(self._house.timings.rds_pending)
            while self._keeps_backups and self._backed_up is None and self.record.status != "deleted":
                if self.record.status == "available":
                    with suppress(BusyError):
                        self._phase("backing-up", self._back_up)
                        return
                self._pause(_SOON_SECONDS)

    def _back_up(self) -> None:
        """The instance serves meanwhile."""
        self._pause(self._house.timings.rds_modifying)
        self._backed_up = time.time()

    def _modify(self, change: Callable[[], None], password: str | None, seconds: float) -> None:
        self._change(change, password, seconds)
        if not self._keeps_backups:
            self._backed_up = None
        elif self._backed_up is None:
            self._say("backing-up")
            self._back_up()

    def _change(self, change: Callable[[], None], password: str | None, seconds: float) -> None:
        self._pause(seconds)
        before = int(self.record.allocated_storage)
        if password is not None:
            server = self._server()
            server.sql(
                words.SQL("ALTER ROLE {} PASSWORD {}").format(words.Identifier(server.user), words.Literal(password))
            )
            server.password = password
        change()
        if self._full and int(self.record.allocated_storage) > before:
            self._server().refuse_writes(False)
            self._full = False

    def _rename(self, identifier: str, address: str, change: Callable[[], None], password: str | None) -> None:
        self._change(change, password, self._house.timings.rds_renaming)

        def take_on() -> None:
            old = self.identifier
            self.record.db_instance_identifier = identifier
            self.address = address
            self._house.renamed(self, old)
            self._say("rebooting")

        self._restart(while_down=take_on)

    def _delete(self, snapshot: Any) -> None:
        self._house.pause(self.side, self._house.timings.rds_pending)
        if snapshot is not None:
            self._snapshot(snapshot)
            if snapshot.status != "available":
                raise PostgresError(f"its last snapshot is {snapshot.status}")
        if self.source is not None:
            record = self.source.record
            record.replicas = [name for name in record.replicas if name not in self._names()]
            self._unlink()
        if self.server is not None:
            self.server.destroy()
        # One that never got as far as to have a server may have some of its source's data.
        shutil.rmtree(self._data_dir(), ignore_errors=True)
        if self.source is not None:
            self._drop_slot(self.source)
        self._house.gone(self)
        self._say("deleted")

    def _restart(
        self,
        at_the_end: Callable[[Postgres], None] = lambda _: None,
        *,
        while_down: Callable[[], None] = lambda: None,
        seconds: float | None = None,
    ) -> None:
        """Stop the server, keep it down for the length of a reboot, start it where its address now is."""
        server = self._server()
        over = time.monotonic() + (self._house.timings.rds_rebooting if seconds is None else seconds)
        server.stop()
        while_down()
        self._pause(max(0.0, over - _START_SECONDS - time.monotonic()))
        server.hosts, server.port = (self.address,), int(self.record.port)
        self._start(server)
        self.record.parameter_apply_status = "in-sync"
        at_the_end(server)
        self._pause(max(0.0, over - time.monotonic()))

    def _unlink(self) -> None:
        """End the replication here."""
        if self._link is not None:
            self._link.stop()
            self._link = None

    def _drop_slot(self, source: "Database") -> None:
        """Drop the slot at the source as soon as nobody reads from it.

        Where the source cannot be reached it stays. The source keeps WAL for nobody then, up to max_slot_wal_keep_size,
        until somebody drops the slot.
        """
        over = time.monotonic() + _SLOT_SECONDS
        while source.server is not None and self._path_to(source) is NetworkPath.OPEN and time.monotonic() < over:
            try:
                source.server.drop_slot(self.slot)
            except psycopg.errors.ObjectInUse:
                self._house.pause(self.side, _SOON_SECONDS)
            except psycopg.Error:  # it is down, or just going down
                return
            else:
                return

    def follow(self, source_address: Address) -> None:
        """The source has moved there."""
        if self._link is not None:
            self._link.set_target(source_address)

    def _names(self) -> tuple[str, str]:
        return self.identifier, str(self.record.db_instance_arn)

    def _server(self) -> Postgres:
        if self.server is None:
            raise PostgresError(f"{self.identifier} has no server yet")
        return self.server

    def _data_dir(self) -> Path:
        return self._house.folder / self._folder_name

    def _path_to(self, source: "Database") -> NetworkPath:
        return self._house.network.database_state(Vantage.of(self.side), source.side)

    def _ask_streams(self) -> bool:
        if self.server is None or not self.server.is_running():
            return False
        try:
            return self.server.streams()
        except psycopg.Error:
            return False
