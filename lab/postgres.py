"""One PostgreSQL server of the lab: real data, real streaming, real promotion; set up somewhat as RDS sets one up.

Of RDS it has the roles: a master user that is no superuser, `rds_superuser`, `rds_iam`, `rdsrepladmin`. It cannot
imitate IAM authentication: the role `relight_check` is trusted from loopback without a token. Its data survives
the death of its processes, not that of the machine (fsync is off).
"""

import secrets
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql as words

from lab.binaries import binaries, folder, run
from lab.datadir import (
    ACCESS,
    REPLICATION_ROLE,
    SETTINGS,
    SUPERUSER,
    claim,
    copy,
    private_file,
    remove_shared_memory,
    share,
    write,
)
from lab.errors import PostgresUnavailable
from lab.lsn import parse_lsn
from lab.port import free_port, require_free
from lab.postmaster import PostgresError, Postmaster

__all__ = ["Postgres", "PostgresError", "PostgresUnavailable", "binaries", "folder", "parse_lsn"]


@dataclass(frozen=True)
class Passwords:
    """Of the roles that are the lab's own; every copy of a database has the same."""

    superuser: str = field(repr=False)
    replication: str = field(repr=False)


@dataclass(frozen=True)
class Backup:
    """The data of a server as they were at one moment, and the logins that go with them."""

    data_dir: Path
    user: str
    password: str = field(repr=False)
    database: str
    passwords: Passwords

    def twin(self, data_dir: Path) -> "Backup":
        """Another backup of the same data, which either outlives the other. `data_dir` must not exist."""
        share(self.data_dir, data_dir)
        return replace(self, data_dir=data_dir)

    def destroy(self) -> None:
        """Delete the data."""
        shutil.rmtree(self.data_dir, ignore_errors=True)


class Postgres:
    """A server and its data directory. Made by `create`, `copy_of` or `restored`, which leave it stopped; `start` runs
    it.

    Methods may be called from any thread. psycopg's errors pass through `sql` and what is built on it.
    """

    def __init__(
        self,
        data_dir: Path,
        hosts: Sequence[str],
        port: int,
        *,
        user: str,
        password: str,
        database: str,
        passwords: Passwords,
        settings: Mapping[str, str],
    ) -> None:
        self.data_dir = data_dir
        self.hosts = tuple(hosts)
        self.port = port or free_port(self.hosts)
        self.user = user
        self.password = password
        self.database = database
        self.promotions = 0
        """How often pg_promote has been accepted here."""
        self.settings = dict(settings)
        """PostgreSQL settings beyond SETTINGS; what is changed here counts from the next start."""
        self.passwords = passwords
        self._postmaster = Postmaster(data_dir)
        self._lock = threading.RLock()

    @classmethod
    def create(
        cls,
        data_dir: Path,
        host: str | Sequence[str],
        port: int,
        user: str,
        password: str,
        database: str,
        *,
        settings: Mapping[str, str] | None = None,
    ) -> "Postgres":
        """A new, empty primary with `database` owned by the master user `user`; stopped.

        It listens on every address in `host`; `port` 0 takes a free one. `data_dir` must not exist yet, and its
        parent must be a folder that the servers' user can enter (see `folder`). Raises PostgresUnavailable, or
        PostgresError when it does not come up.
        """
        hosts = (host,) if isinstance(host, str) else tuple(host)
        passwords = Passwords(secrets.token_urlsafe(24), secrets.token_urlsafe(24))
        claim(data_dir)
        with private_file(passwords.superuser) as secret:
            run(
                "initdb",
                *("--pgdata", data_dir, "--username", SUPERUSER, "--pwfile", secret, "--auth=scram-sha-256"),
                *("--encoding=UTF8", "--locale-provider=builtin", "--locale=C", "--builtin-locale=C.UTF-8"),
                *("--no-sync", "--no-instructions"),
            )
        made = cls(
            data_dir,
            hosts,
            port,
            user=user,
            password=password,
            database=database,
            passwords=passwords,
            settings=settings or {},
        )
        write(data_dir / "pg_hba.conf", ACCESS)
        made.start()
        try:
            made._create_roles()
        finally:
            made.stop()
        return made

    @classmethod
    def copy_of(
        cls,
        source: "Postgres",
        data_dir: Path,
        host: str | Sequence[str],
        port: int,
        *,
        slot: str,
        link: tuple[str, int] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> "Postgres":
        """A standby of the running `source`, copied with pg_basebackup; stopped.

        It streams from `slot`, which is made if missing. Copy and stream go to `link` (host, port) where given, so
        that a relay can stand between the two Regions, else to the source itself. Raises PostgresUnavailable with
        pg_basebackup's complaint.
        """
        hosts = (host,) if isinstance(host, str) else tuple(host)
        upstream_host, upstream_port = link or (source.host, source.port)
        source.ensure_slot(slot)
        claim(data_dir)
        source._base_backup(upstream_host, upstream_port, data_dir, slot)
        made = cls(
            data_dir,
            hosts,
            port,
            user=source.user,
            password=source.password,
            database=source.database,
            passwords=source.passwords,
            settings=settings or {},
        )
        (data_dir / "postgresql.auto.conf").unlink(missing_ok=True)  # the source's own ALTER SYSTEM stays there
        write(data_dir / "standby.signal", "")
        made.follow(upstream_host, upstream_port, slot)
        return made

    @classmethod
    def restored(cls, backup: Backup, data_dir: Path, host: str, port: int) -> "Postgres":
        """A primary with the data of that backup, which stays; stopped."""
        copy(backup.data_dir, data_dir)
        for name in ("postgresql.auto.conf", "standby.signal", "postmaster.pid"):
            (data_dir / name).unlink(missing_ok=True)
        return cls(
            data_dir,
            (host,),
            port,
            user=backup.user,
            password=backup.password,
            database=backup.database,
            passwords=backup.passwords,
            settings={},
        )

    def back_up(self, data_dir: Path) -> Backup:
        """A consistent copy of the data as they are now, whether it runs or is stopped. `data_dir` must not exist.

        Raises PostgresUnavailable with pg_basebackup's complaint.
        """
        if self.is_running():
            claim(data_dir)
            self._base_backup(self.host, self.port, data_dir)
        else:
            copy(self.data_dir, data_dir)
        return Backup(data_dir, self.user, self.password, self.database, self.passwords)

    def _base_backup(self, host: str, port: int, data_dir: Path, slot: str | None = None) -> None:
        """Copy this server's data by way of that address."""
        held = ("--slot", slot) if slot else ()
        run(
            "pg_basebackup",
            *("--host", host, "--port", str(port), "--username", REPLICATION_ROLE, "--no-password"),
            *("--pgdata", data_dir, "--checkpoint=fast", "--wal-method=stream", *held),
            *("--no-sync", "--no-manifest"),
            extra={"PGPASSWORD": self.passwords.replication, "PGCONNECT_TIMEOUT": "5"},
        )

    @property
    def host(self) -> str:
        """The first address that it listens on."""
        return self.hosts[0]

    @property
    def log(self) -> Path:
        """What the server says, beside its data directory."""
        return self._postmaster.log

    def follow(self, host: str, port: int, slot: str) -> None:
        """Stream from that address and slot from the next start on (a standby only)."""
        self.settings["primary_conninfo"] = (
            f"host={host} port={port} user={REPLICATION_ROLE} password={self.passwords.replication} "
            f"application_name={slot} connect_timeout=2 keepalives_idle=2 keepalives_interval=1 keepalives_count=3"
        )
        self.settings["primary_slot_name"] = slot

    def ensure_slot(self, slot: str) -> None:
        """Make the physical replication slot if it is missing; it keeps WAL from now on."""
        self.sql(
            "SELECT pg_create_physical_replication_slot(%s, true)"
            " WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %s)",
            (slot, slot),
        )

    def drop_slot(self, slot: str) -> None:
        """Drop the slot if it is there, so that it keeps no WAL for a standby that is gone."""
        self.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", (slot,))

    def refuse_writes(self, refuse: bool) -> None:
        """Take no writes from now on, as a server whose disk is full, or take them again; through restarts as well.

        Sessions end, but the superuser's own, which are not bound by it.
        """
        with self._lock:
            if refuse:
                self.settings["default_transaction_read_only"] = "on"
            else:
                self.settings.pop("default_transaction_read_only", None)
            self._write_settings()
            if self.is_running():
                self.sql("SELECT pg_reload_conf()")
                self.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE backend_type = 'client backend' AND usename <> %s",
                    (SUPERUSER,),
                )

    def start(self, timeout: float = 30) -> None:
        """Run the server and wait until it takes connections; nothing to do where it runs.

        Raises PostgresError with the last line of its log, PortBusy when an address is taken.
        """
        with self._lock:
            if self.is_running():
                return
            for host in self.hosts:
                require_free(host, self.port)
            self._write_settings()
            self._postmaster.start(timeout=timeout)

    def stop(self, immediate: bool = False, timeout: float = 15) -> None:
        """Shut down: sessions end and the WAL is sent to standbys, or, `immediate`, like a crash that is heard.

        A server that has not stopped within `timeout` seconds (a standby that does not answer, for one) is killed.
        """
        with self._lock:
            self._postmaster.stop(immediate, timeout)

    def kill(self) -> None:
        """Kill every process of the server at once, as the loss of a Region does; the data directory stays."""
        with self._lock:
            self._postmaster.kill()

    def destroy(self) -> None:
        """Kill the server and delete its data directory and log."""
        with self._lock:
            self.kill()
            remove_shared_memory(self.data_dir)
            shutil.rmtree(self.data_dir, ignore_errors=True)
            self.log.unlink(missing_ok=True)

    def is_running(self) -> bool:
        """Whether its main process lives (it may still be starting)."""
        return self._postmaster.is_running()

    def pids(self) -> list[int]:
        """Its processes, the main one first; empty where it does not run."""
        return self._postmaster.pids()

    @contextmanager
    def session(
        self, database: str | None = None, timeout: float = 10
    ) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A connection of the superuser's own, in autocommit, that no statement holds longer than `timeout` s."""
        with psycopg.connect(
            host=self.host,
            port=self.port,
            user=SUPERUSER,
            password=self.passwords.superuser,
            dbname=database or self.database,
            connect_timeout=max(2, int(timeout)),
            options=f"-c statement_timeout={int(timeout * 1000)} -c default_transaction_read_only=off",
            autocommit=True,
        ) as connection:
            yield connection

    def sql(
        self,
        query: LiteralString | words.Composed,
        params: Sequence[object] | None = None,
        *,
        database: str | None = None,
        timeout: float = 10,
    ) -> list[tuple[Any, ...]]:
        """Run one statement as the superuser and return its rows (none for a statement that has none)."""
        with self.session(database, timeout) as connection:
            cursor = connection.execute(query if isinstance(query, words.Composed) else words.SQL(query), params)
            return cursor.fetchall() if cursor.description else []

    def is_in_recovery(self) -> bool:
        """Whether it is a standby still."""
        return bool(self.sql("SELECT pg_is_in_recovery()")[0][0])

    def received_lsn(self) -> int:
        """Up to where this standby has WAL, received or already replayed; keeps its value after a promotion."""
        query = "SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"
        return parse_lsn(self.sql(query)[0][0] or "0/0")

    def streams(self) -> bool:
        """Whether this standby is receiving from its primary now."""
        return bool(self.sql("SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'"))

    def lag(self, timeout: float = 2) -> float | None:
        """Seconds since the last transaction that this standby has replayed was committed, as RDS asks for them.

        -1 where no WAL receiver runs, None where nothing has been replayed yet.
        """
        query = (
            "SELECT extract(epoch from now() - pg_last_xact_replay_timestamp())::float8,"
            " EXISTS (SELECT FROM pg_stat_wal_receiver)"
        )
        ((seconds, receives),) = self.sql(query, timeout=timeout)
        return seconds if receives else -1.0

    def promote(self, timeout: float = 30) -> None:
        """Promote this standby and wait until it takes writes. Raises psycopg's ObjectNotInPrerequisiteState on a
        server that is none, PostgresError when it takes longer than `timeout` seconds."""
        done = self.sql("SELECT pg_promote(true, %s)", (max(1, int(timeout)),), timeout=timeout + 5)[0][0]
        self.promotions += 1
        # The next start must not follow a primary that this server has left.
        self.settings.pop("primary_conninfo", None)
        self.settings.pop("primary_slot_name", None)
        if not done:
            raise PostgresError(f"PostgreSQL on {self.host}:{self.port} was not promoted in {timeout:g} s")

    def _create_roles(self) -> None:
        master, name = words.Identifier(self.user), words.Identifier(self.database)
        with self.session("postgres") as connection:
            for statement in (
                words.SQL("CREATE ROLE {} LOGIN REPLICATION PASSWORD {}").format(
                    words.Identifier(REPLICATION_ROLE), words.Literal(self.passwords.replication)
                ),
                words.SQL("CREATE ROLE rds_iam"),
                words.SQL("CREATE ROLE rds_superuser"),
                words.SQL("GRANT pg_monitor, pg_signal_backend, rds_iam TO rds_superuser WITH ADMIN OPTION"),
                words.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE REPLICATION PASSWORD {}").format(
                    master, words.Literal(self.password)
                ),
                words.SQL("GRANT rds_superuser TO {}").format(master),
                # Without a name of its own there is the one database that is always there.
                words.SQL(
                    "ALTER DATABASE {} OWNER TO {}" if self.database == "postgres" else "CREATE DATABASE {} OWNER {}"
                ).format(name, master),
            ):
                connection.execute(statement)

    def _write_settings(self) -> None:
        chosen = {
            **SETTINGS,
            "listen_addresses": ",".join(self.hosts),
            "port": str(self.port),
            **self.settings,
        }
        lines = [f"{name} = '{value.replace("'", "''")}'\n" for name, value in chosen.items()]
        write(self.data_dir / "postgresql.conf", "".join(lines))
