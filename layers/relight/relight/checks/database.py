"""The replica of this Region, and what it must not have less of than the primary's database."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from relight.checks.ledger import lost_since
from relight.decision import Finding
from relight.facts import BUSY, ENGINE, PROMOTABLE
from relight.moment import lasting, told
from relight.readiness_check import Area, Row, fails, is_young, passes, warns
from relight.readiness_facts import NotSeen, Unseen, known

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relight.readiness_check import Judgement
    from relight.readiness_facts import Database, ReadinessFacts

# The heartbeat is written each minute.
HEARTBEAT_LATE_SECONDS = 180.0
HEARTBEAT_LOST_SECONDS = 600.0
# Least of what counts as behind: an idle primary's newest commit is its last heartbeat.
AT_REST_SECONDS = 150.0
# PostgreSQL replays no further on a standby that has less of these (hot_standby, PostgreSQL's manual, 26.4.3).
PARAMETERS = (
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_wal_senders",
    "max_worker_processes",
)
_CLASS = re.compile(r"db\.(?P<kind>[a-z])\d+[a-z]*\.(?P<times>\d*)(?P<size>micro|small|medium|large|xlarge)")
_LARGE = {"micro": 0.125, "small": 0.25, "medium": 0.5, "large": 1.0, "xlarge": 2.0}
# Of a `large`, by kind of class, as RDS publishes it for its current generations.
_GIB_OF_LARGE = {"t": 8.0, "m": 8.0, "r": 16.0}


def memory_gib(instance_class: str) -> float | None:
    """GiB of memory of a class; None for one of which no size is known here."""
    found = _CLASS.fullmatch(instance_class)
    if found is None or found["kind"] not in _GIB_OF_LARGE:
        return None
    return _GIB_OF_LARGE[found["kind"]] * _LARGE[found["size"]] * int(found["times"] or 1)


def _here(facts: ReadinessFacts) -> Database:
    """The database of this Region; NotSeen where there is none, which `replica` says."""
    found = known(facts.database.here)
    if found is None:
        raise NotSeen(f"RDS knows no instance {facts.replica_id} here")
    return found


def _there(facts: ReadinessFacts) -> Database:
    found = known(facts.database.there)
    if found is None:
        raise NotSeen(f"RDS of {facts.peer} knows no instance {facts.peer_database_id}")
    return found


def _replica(facts: ReadinessFacts, now: float) -> Judgement:
    found = known(facts.database.here)
    if found is None:
        return fails(f"RDS knows no instance {facts.replica_id} in {facts.here}")
    if found.source is None:
        return fails(f"{found.identifier} replicates from nothing")
    if found.source.rpartition(":")[2] != facts.peer_database_id:
        return fails(f"{found.identifier} replicates from {found.source}, and not from {facts.peer_database_id}")
    if found.status not in PROMOTABLE:
        return fails(f"{found.identifier} is {found.status}, from which it cannot be promoted")
    if found.status in BUSY or found.status == "backing-up":
        return warns(f"{found.identifier} is {found.status}: a promotion would wait until that is over")
    return passes(f"{found.identifier} is a replica of {facts.peer_database_id}, and {found.status}")


def _stream(facts: ReadinessFacts, now: float) -> Judgement:
    stream = known(facts.database.stream)
    if not stream.in_recovery:
        return fails("the database of this Region is no replica")
    lost = lost_since(facts, now)
    if lost is not None and stream.receiver != "streaming":
        return warns(f"nothing to receive: the active Region is down since {told(lost)}")
    if stream.receiver is None:
        return fails("the replica receives nothing: it has no WAL receiver")
    if stream.receiver != "streaming":
        return warns(f"the WAL receiver of the replica is {stream.receiver}")
    return passes("the replica streams")


def _lag(facts: ReadinessFacts, now: float) -> Judgement:
    stream = facts.database.stream
    if not isinstance(stream, Unseen) and stream.last_replayed_at is None and is_young(facts, now):
        return passes(f"nothing has been replayed yet; this Region has been there for {lasting(facts.age(now))} only")
    lost = lost_since(facts, now)
    behind = _behind(facts, now if lost is None else lost)
    limit = facts.max_data_loss_seconds
    before = "ago" if lost is None else f"before the active Region went down at {told(lost)}"
    said = f"the newest commit here is of {lasting(behind)} {before}; a failover may lose {lasting(limit)}"
    if behind > max(limit, AT_REST_SECONDS):
        return fails(said)
    return warns(said) if behind > max(limit / 2, AT_REST_SECONDS) else passes(said)


def _behind(facts: ReadinessFacts, at: float) -> float:
    """Seconds that the replica was behind at that time, by the database itself, or else by CloudWatch."""
    stream = facts.database.stream
    if not isinstance(stream, Unseen):
        if stream.last_replayed_at is None:
            raise NotSeen("nothing that carries a time has been replayed yet, so nobody can say what would be lost")
        return max(0.0, at - stream.last_replayed_at)
    lag = facts.database.lag
    if isinstance(lag, Unseen) or lag is None or lag.replayed_at is None:
        raise NotSeen(stream.why)
    return max(0.0, min(at, lag.at) - lag.replayed_at)


def _heartbeat(facts: ReadinessFacts, now: float) -> Judgement:
    at, lost = known(facts.database.stream).heartbeat_at, lost_since(facts, now)
    if at is None:
        said = "no heartbeat of the primary has arrived"
        if is_young(facts, now):
            return passes(f"{said} yet; this Region has been there for {lasting(facts.age(now))} only")
        return fails(said)
    late = max(0.0, (now if lost is None else lost) - at)
    before = "ago" if lost is None else f"before the active Region went down at {told(lost)}"
    said = f"the newest heartbeat of the primary that has arrived is of {lasting(late)} {before}"
    if late > HEARTBEAT_LOST_SECONDS:
        return fails(said)
    return warns(said) if late > HEARTBEAT_LATE_SECONDS else passes(said)


def _engine(facts: ReadinessFacts, now: float) -> Judgement:
    here = _here(facts)
    if here.engine != ENGINE:
        return fails(f"{here.identifier} is of engine {here.engine}, whose promotion Relight does not know")
    return passes(f"{here.identifier} is {here.engine}")


def _engine_version(facts: ReadinessFacts, now: float) -> Judgement:
    here, there = _here(facts), _there(facts)
    mine, theirs = _numbers(here.engine_version), _numbers(there.engine_version)
    said = f"{here.engine} {here.engine_version} here, {there.engine_version} in {facts.peer}"
    if here.engine != there.engine or mine[:1] != theirs[:1]:
        return fails(said)
    return warns(f"{said}: a standby should not be older") if mine < theirs else passes(said)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _class(facts: ReadinessFacts, now: float) -> Judgement:
    mine, theirs = _here(facts).instance_class, _there(facts).instance_class
    said = f"{mine} here, {theirs} in {facts.peer}"
    if mine == theirs:
        return passes(said)
    one, other = memory_gib(mine), memory_gib(theirs)
    if one is None or other is None:
        return warns(f"{said}: which of them is smaller is not known here")
    return fails(f"{said}: {one:g} GiB of memory against {other:g}") if one < other else passes(said)


def _storage(facts: ReadinessFacts, now: float) -> Judgement:
    here, there = _here(facts), _there(facts)
    if here.gib < there.gib:
        return fails(f"{here.gib} GiB here, {there.gib} GiB in {facts.peer}")
    limit, their_limit = max(here.max_gib, here.gib), max(there.max_gib, there.gib)
    if limit < their_limit:
        return warns(f"it may grow to {limit} GiB here, and to {their_limit} GiB in {facts.peer}")
    if here.storage_type != there.storage_type:
        return warns(f"its storage is {here.storage_type} here, and {there.storage_type} in {facts.peer}")
    return passes(f"{here.gib} GiB of {here.storage_type} here, as much as in {facts.peer} at least")


def _parameters(facts: ReadinessFacts, now: float) -> Judgement:
    here = _here(facts)
    mine, theirs = known(facts.database.parameters), known(facts.database.peer_parameters)
    if mine is None or theirs is None:
        raise NotSeen("RDS knows no such parameter group")
    smaller, unclear = _compared(mine, theirs)
    if smaller:
        return fails(f"smaller than in {facts.peer}: {', '.join(smaller)}")
    if unclear:
        return warns(f"set in one Region only, or by formulas of their own: {', '.join(unclear)}")
    if here.parameters_applied == "pending-reboot":
        return warns(f"{here.parameter_group} waits for a reboot of {here.identifier}")
    return passes("none of those that a standby needs is smaller than the primary's")


def _compared(mine: Mapping[str, str], theirs: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Which of the parameters are smaller here, and which cannot be compared."""
    smaller, unclear = [], []
    for name in PARAMETERS:
        one, other = mine.get(name), theirs.get(name)
        if one == other:
            continue
        if one is None or other is None or not (one.isdigit() and other.isdigit()):
            unclear.append(name)
        elif int(one) < int(other):
            smaller.append(name)
    return smaller, unclear


def _retention(facts: ReadinessFacts, now: float) -> Judgement:
    there, kept = facts.database.there, facts.ledger.database
    if isinstance(there, Unseen) and not isinstance(kept, Unseen) and kept is not None:
        days, how = kept.backup_retention_days, ", as it was kept"
    else:
        days, how = _there(facts).retention_days, ""
    if days == 0:
        return fails(
            f"{facts.peer_database_id} keeps no backups{how}: a drill has nothing to restore, and nor have you"
        )
    return passes(f"{facts.peer_database_id} keeps backups for {days} days{how}")


def _backup_window(facts: ReadinessFacts, now: float) -> Judgement:
    here = _here(facts)
    if here.status == "backing-up":
        return warns(f"{here.identifier} is being backed up now, which holds a promotion up")
    if here.retention_days == 0 or here.backup_window is None:
        return passes("the replica makes no backups before it is promoted, so none can hold a promotion up")
    busiest = known(facts.database.busiest_hour)
    if busiest is not None and _covers(here.backup_window, busiest):
        return warns(
            f"the replica is backed up at {here.backup_window} UTC, when the primary is busiest ({busiest:02}:00)"
        )
    return passes(f"the replica is backed up at {here.backup_window} UTC, off the primary's busiest hour")


def _covers(window: str, hour: int) -> bool:
    """Whether a window like `23:30-00:30` has a minute in that hour of the day."""
    begins, ends = (int(part[:2]) * 60 + int(part[3:5]) for part in window.split("-"))
    if ends <= begins:
        ends += 24 * 60
    return any(begins < (hour + 1 + 24 * day) * 60 and ends > (hour + 24 * day) * 60 for day in (0, 1))


def _deletion_protection(facts: ReadinessFacts, now: float) -> Judgement:
    here = _here(facts)
    if not here.deletion_protection:
        return warns(f"{here.identifier} can be deleted by one call")
    there, kept = facts.database.there, facts.ledger.database
    protected = there.deletion_protection if there is not None and not isinstance(there, Unseen) else True
    if isinstance(there, Unseen) and kept is not None and not isinstance(kept, Unseen):
        protected = kept.deletion_protection
    if not protected:
        return warns(f"{facts.peer_database_id} can be deleted by one call")
    return passes(f"{here.identifier} is protected against deletion")


def _key(facts: ReadinessFacts, now: float) -> Judgement:
    here = _here(facts)
    if here.key is None:
        return passes(f"{here.identifier} is not encrypted, so it needs no key")
    state = known(facts.database.key_state)
    if state is None:
        return fails(f"KMS knows no key {here.key}")
    if state == "Enabled":
        return passes(f"the key of {here.identifier} can be used")
    said = f"the key of {here.identifier} is {state}"
    return warns(said) if state in {"Creating", "Updating", "PendingImport"} else fails(said)


ROWS = (
    Row(
        "replica",
        Area.DATABASE,
        _replica,
        "RDS knows the replica, it replicates from the primary's database, and it can be promoted now.",
        "It is being changed, backed up or the like: a promotion would wait until that is over.",
        "It is missing, replicates from nothing or something else, or has a status from which it cannot be promoted.",
        "Look at the instance in RDS. One that is no replica has to be rebuilt (`relight failback`).",
        (Finding.DR_NOT_READY, Finding.NOT_A_REPLICA),
    ),
    Row(
        "stream",
        Area.DATABASE,
        _stream,
        "The replica streams, by its own word.",
        "Its WAL receiver is in another state than streaming; or the active Region is down, and there is nothing to "
        "receive.",
        "It is no replica, or receives nothing.",
        "Look whether the primary's database is up and reached from here: peering, security groups, slots.",
    ),
    Row(
        "lag",
        Area.DATABASE,
        _lag,
        "The newest commit here is younger than half of MaxDataLossSeconds, or than 150 s: now, or when the active "
        "Region went down.",
        "It is older than both.",
        "It is older than MaxDataLossSeconds and than 150 s: an automatic failover would ask a person.",
        "Look at the load of the replica, and at the log of dbcheck.",
    ),
    Row(
        "heartbeat",
        Area.DATABASE,
        _heartbeat,
        "A heartbeat of the primary has arrived in the last three minutes, or in those before it went down.",
        "The newest is older than three minutes.",
        "The newest is older than ten minutes, or none has ever come and this Region is older than 15 minutes.",
        "Look at the heartbeat's schedule and dbcheck's log in the active Region; bootstrap.sql must have been run.",
    ),
    Row(
        "engine",
        Area.DATABASE,
        _engine,
        "The replica is PostgreSQL.",
        None,
        "It is of another engine.",
        "Give Relight the identifier of an RDS for PostgreSQL instance.",
        (Finding.ENGINE_NOT_SUPPORTED,),
    ),
    Row(
        "engine_version",
        Area.DATABASE,
        _engine_version,
        "The replica is of the primary's major version, and not older than the primary.",
        "Its minor version is older than the primary's.",
        "Its engine or its major version is another one.",
        "Upgrade the replica first, then the primary.",
    ),
    Row(
        "class",
        Area.DATABASE,
        _class,
        "The replica's class has as much memory as the primary's at least.",
        "The classes differ, and which is smaller is not known.",
        "The replica's class has less memory than the primary's.",
        "Give the replica the primary's class (DatabaseClass in both stacks).",
    ),
    Row(
        "storage",
        Area.DATABASE,
        _storage,
        "The replica has as much storage of the same type as the primary at least, and may grow as far.",
        "It may not grow as far, or its storage is of another type.",
        "It has less storage.",
        "Give both stacks the same DatabaseStorage and DatabaseMaxStorage.",
    ),
    Row(
        "parameters",
        Area.DATABASE,
        _parameters,
        "What somebody has set of the parameters that a standby may not have less of is no smaller here.",
        "One of them is set in one Region only, or the parameter group waits for a reboot.",
        "One of them is smaller here: replay stops, or the replica does not start.",
        "Set max_connections, max_locks_per_transaction, max_prepared_transactions, max_wal_senders and "
        "max_worker_processes alike in both parameter groups; raise the replica's first.",
    ),
    Row(
        "retention",
        Area.DATABASE,
        _retention,
        "The primary's database keeps backups for a day at least.",
        None,
        "It keeps none.",
        "Set BackupRetentionDays of the primary's stack.",
    ),
    Row(
        "backup_window",
        Area.DATABASE,
        _backup_window,
        "The replica makes no backups before it is promoted, or makes them off the primary's busiest hour of a day.",
        "It is being backed up now, or is each day in the primary's busiest hour: `backing-up` holds a promotion up.",
        None,
        "Move the replica's backup window, or leave its backups to the promotion (retention 0).",
    ),
    Row(
        "deletion_protection",
        Area.DATABASE,
        _deletion_protection,
        "Both databases are protected against deletion, as far as they are seen.",
        "One of them is not.",
        None,
        "Turn DeletionProtection on.",
    ),
    Row(
        "key",
        Area.DATABASE,
        _key,
        "The KMS key of the replica can be used, or it is not encrypted.",
        "The key is being made or changed.",
        "The key does not exist, is disabled, or is to be deleted.",
        "Enable the key, or cancel its deletion, before RDS stops the instance for want of it.",
    ),
)
