"""`dbcheck`: the one that speaks to the database, inside the VPC, by IAM authentication: it knows no secret.

Checks: `state` (read only), `write` (a heartbeat, to prove that the database takes one), `heartbeat` (the same, each
minute by schedule, only where this Region's database is no replica), `stop` (no client writes any more) and `allow`
(they may again); to compare two databases, reading only: `tables`, `digest`, `rows` and `sequences` (`digest.py`); of
replication slots: `slots`, and `drop_slots` for those that nobody reads. A database that refuses or cannot be reached
is an answer, not an error.
"""

from __future__ import annotations

import ipaddress
import ssl
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pg8000.native

from relight import digest, writes
from relight.errors import InputInvalid
from relight.settings import Tls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_rds import RDSClient

    from relight.settings import DbcheckSettings

AUTHORITIES = Path(__file__).with_name("rds_ca.pem")
"""Whom RDS's certificates are signed by."""
STATE = """
SELECT pg_is_in_recovery(),
       current_setting('transaction_read_only') = 'on',
       extract(epoch FROM pg_last_xact_replay_timestamp()),
       (SELECT extract(epoch FROM at) FROM relight_heartbeat),
       pg_last_wal_receive_lsn()::text,
       pg_last_wal_replay_lsn()::text,
       (SELECT status FROM pg_stat_wal_receiver),
       (SELECT extract(epoch FROM last_msg_receipt_time) FROM pg_stat_wal_receiver)
"""
HEARTBEAT = """
INSERT INTO relight_heartbeat (id, at, region) VALUES (1, clock_timestamp(), :region)
ON CONFLICT (id) DO UPDATE SET at = excluded.at, region = excluded.region
"""


class Check(StrEnum):
    """What can be asked of it."""

    STATE = "state"
    WRITE = "write"
    HEARTBEAT = "heartbeat"
    STOP = "stop"
    ALLOW = "allow"
    TABLES = "tables"
    DIGEST = "digest"
    ROWS = "rows"
    SEQUENCES = "sequences"
    SLOTS = "slots"
    DROP_SLOTS = "drop_slots"


LOOKS = frozenset({Check.TABLES, Check.DIGEST, Check.ROWS, Check.SEQUENCES})
# These may be asked of a retired database, too; a write only of a drill's.
ELSEWHERE = LOOKS | {Check.STATE, Check.SLOTS, Check.DROP_SLOTS, Check.WRITE}
LOOK_SECONDS = 12.0
"""How long the server may be silent over one of their statements: longer than a statement may take."""
# Of what a statement can end in, these are none of its own doing: it is asked again.
PASSING = ("08", "40", "53", "55", "57P", "58")

# What is said, beside the sentence, where nothing else can be: nothing is claimed.
NOTHING: dict[Check, dict[str, Any]] = {
    Check.STOP: {"stopped": False, "sessions_left": None, "lsn": None},
    Check.ALLOW: {"allowed": False},
}


def neighbours(one: str, other: str) -> bool:
    """Whether two endpoints belong to the same account's instances of one Region, or both to this machine. Pure."""
    if _is_loopback(one) or _is_loopback(other):
        return _is_loopback(one) and _is_loopback(other)
    place, here = one.lower().partition(".")[2], other.lower().partition(".")[2]
    return "." in place and place == here and not _is_address(one)


def _is_address(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _seconds(value: Any) -> float | None:
    return None if value is None else float(value)


@dataclass(frozen=True)
class Dbcheck:
    """One connection per check: a kept one would not survive the failover that it is there to watch."""

    settings: DbcheckSettings
    rds: RDSClient
    authorities: Path = AUTHORITIES

    def check(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the check that `event` names; a schedule's event without one means `heartbeat`.

        `allow` takes back only the stop that it names, where it names one: `{"stopped_at": ...}` as `state` said it.
        """
        try:
            wanted = Check(event.get("check", Check.HEARTBEAT))
        except ValueError:
            raise InputInvalid(f'"check" is {event["check"]!r}; it is one of {", ".join(Check)}') from None
        nothing = {"reached": False, "writable": False, **NOTHING.get(wanted, {})}
        place = self._place(wanted, event.get("endpoint"))
        try:
            connection = self._connect(wanted, *place)
        except (pg8000.Error, OSError) as error:
            return {**nothing, "sentence": f"unreachable: {type(error).__name__}: {error}"}
        try:
            if wanted in ELSEWHERE - {Check.STATE, Check.WRITE}:
                return self._look(connection, wanted, event)
            return self._answer(connection, wanted, event.get("stopped_at"))
        except (pg8000.Error, OSError) as error:
            return {**nothing, "sentence": f"broke off: {type(error).__name__}: {error}"}
        finally:
            # Of a connection that has broken off there is nothing left to close properly.
            with suppress(pg8000.Error, OSError):
                connection.close()

    def _answer(self, connection: pg8000.native.Connection, wanted: Check, seen: str | None) -> dict[str, Any]:
        row = connection.run(STATE)[0]
        in_recovery, read_only, replayed, heartbeat, received, replayed_lsn, status, heard = row
        if in_recovery and wanted in NOTHING:  # it takes none, and is told by replication what its source was told
            return {"reached": True, "in_recovery": True, **NOTHING[wanted], "sentence": "it is a replica"}
        if wanted is Check.STOP:
            return {"reached": True, "in_recovery": False, **writes.stop(connection)}
        if wanted is Check.ALLOW:
            return {"reached": True, "in_recovery": False, **writes.allow(connection, seen)}
        writable = not in_recovery and not read_only
        if wanted is not Check.STATE and writable:
            connection.run(HEARTBEAT, region=self.settings.aws_region)
        stopped_at = writes.stopped_at(connection)
        return {
            "reached": True,
            "in_recovery": in_recovery,
            "writable": writable,
            "writes_stopped": stopped_at is not None,
            "stopped_at": stopped_at,
            "last_replayed_at": _seconds(replayed),
            "heartbeat_at": _seconds(heartbeat),
            "received_lsn": received,
            "replayed_lsn": replayed_lsn,
            "receiver": None if status is None else {"status": status, "last_message_at": _seconds(heard)},
            "sentence": "it takes writes" if writable else "it is a replica" if in_recovery else "it is read-only",
        }

    def _look(self, connection: pg8000.native.Connection, wanted: Check, event: Mapping[str, Any]) -> dict[str, Any]:
        """What a statement ended in is an answer: `failed` is the SQLSTATE."""
        try:
            match wanted:
                case Check.SLOTS:
                    return digest.slots(connection)
                case Check.DROP_SLOTS:
                    return digest.drop_slots(connection)
                case _:
                    return digest.look(connection, event)
        except UnicodeDecodeError as error:
            return {"reached": True, "failed": "22021", "sentence": f"it holds text that is no UTF-8: {error}"}
        except pg8000.DatabaseError as error:
            said = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
            code = str(said.get("C", ""))
            if not code or code.startswith(PASSING):
                raise
            return {"reached": True, "failed": code, "sentence": f"{code}: {said.get('M')}"}

    def _place(self, wanted: Check, endpoint: Mapping[str, Any] | None) -> tuple[str, int]:
        """Where to ask; InputInvalid for an endpoint that this check, or this function, has no business with."""
        here = self.settings.database_host, self.settings.database_port
        if endpoint is None:
            return here
        try:
            host, port = str(endpoint["host"]), int(endpoint["port"])
        except (KeyError, TypeError, ValueError) as wrong:
            raise InputInvalid(f'"endpoint" needs "host" and "port": {wrong!r}') from None
        if wanted not in ELSEWHERE:
            raise InputInvalid(f'"{wanted}" is asked of this Region\'s database only, and of no other endpoint')
        if not neighbours(host, here[0]):
            raise InputInvalid(f"{host} does not lie where {here[0]} does")
        return host, port

    def _connect(self, wanted: Check, host: str, port: int) -> pg8000.native.Connection:
        s = self.settings
        patience = s.database_timeout_seconds
        return pg8000.native.Connection(
            s.database_user,
            host=host,
            port=port,
            database=s.database_name,
            password=self.rds.generate_db_auth_token(host, port, s.database_user, s.aws_region),
            timeout=max(LOOK_SECONDS, patience) if wanted in LOOKS else patience,
            ssl_context=self._tls(),
            application_name=f"relight dbcheck {wanted}",
        )

    def _tls(self) -> ssl.SSLContext | bool:
        """How to encrypt; False for not at all (None would try TLS first).

        RDS's authorities are not in Python's trust store, so they are packed: `rds_ca.pem`.
        """
        match self.settings.database_tls:
            case Tls.OFF:
                return False
            case Tls.ENCRYPT:
                context = ssl.create_default_context()
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                return context
            case Tls.VERIFY:
                context = ssl.create_default_context(cafile=self.authorities)
                # Who signed it and whom it names are proved. Whether AWS keeps to the letter of RFC 5280 as well, which
                # Python asks for since 3.13, must not stand in a failover's way.
                context.verify_flags &= ~ssl.VERIFY_X509_STRICT
                return context
