"""What a failback would do, told before it: how the old database is found, what is built, and what a person is asked.

Pure, over what RDS and the ledger have said. A preview promises nothing: the run looks for itself, stage by stage.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from relight import estimate
from relight.moment import lasting
from relight.shape import grown, same_life, shape_of
from relight.steps.promote import replicates
from relight.steps.retire import BROKEN, READY

if TYPE_CHECKING:
    from collections.abc import Mapping

READ_ONLY_SECONDS = (180.0, 600.0)
"""For so long nobody can write while the way home switches over: AWS's documentation and others' experience."""
CHECK = "backlog"
"""The check of readiness that says what S3 has still to replicate."""


@dataclass(frozen=True)
class Places:
    """Whose database is called what: the one of this Region, and the active one that its successor follows."""

    here: str
    peer: str
    old_id: str
    peer_id: str
    retired_as: str


@dataclass(frozen=True)
class OldDatabase:
    """How the old database is found, in RDS's word for its status or in one of ours (gone, kept, replica, unknown).

    `obstacle` is the error with which the run would fail there, None where it would get past it; `build` is whether a
    replica has to be built then, None where that is not known.
    """

    finding: str
    sentence: str
    retired_as: str | None
    build: bool | None
    obstacle: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """As the function answers it."""
        return asdict(self)


def unknown(places: Places, why: str) -> OldDatabase:
    """RDS of this Region does not say."""
    return OldDatabase("unknown", f"how {places.old_id} is found could not be seen: {why}", places.retired_as, None)


def found(
    places: Places,
    old: Mapping[str, Any] | None,
    kept: Mapping[str, Any] | None,
    snapshot: Mapping[str, Any] | None,
) -> OldDatabase:
    """The old database by what is under its name, under that of its retirement, and the snapshot of that name."""
    if old is None:
        return _gone(places, kept, snapshot)
    source = old.get("ReadReplicaSourceDBInstanceIdentifier")
    if source:
        return _replica(places, str(source))
    if kept is not None:
        return _both(places, old, kept)
    return _standing(places, old)


def _gone(places: Places, kept: Mapping[str, Any] | None, snapshot: Mapping[str, Any] | None) -> OldDatabase:
    old, name = places.old_id, places.retired_as
    if kept is not None:
        said = f"{old} is kept already: it is {name} now, and {kept['DBInstanceStatus']}"
        return OldDatabase("kept", said, name, build=True)
    if snapshot is not None:
        said = f"{old} is gone; {name} is restored from the snapshot of that name, so that it can be told what was lost"
        return OldDatabase("gone", said, name, build=True)
    said = f"{old} is gone, and there is no snapshot {name}: nothing can be kept, and what was lost is not known"
    return OldDatabase("gone", said, None, build=True)


def _replica(places: Places, source: str) -> OldDatabase:
    if replicates(source, places.peer, places.peer_id):
        said = f"{places.old_id} follows {places.peer_id} already: nothing has to be retired or built"
        return OldDatabase("replica", said, None, build=False)
    said = f"{places.old_id} replicates from {source}, not from {places.peer_id} in {places.peer}: give it another name"
    return OldDatabase("replica", said, None, build=None, obstacle="NotAReplicaOfThePeer")


def _both(places: Places, old: Mapping[str, Any], kept: Mapping[str, Any]) -> OldDatabase:
    if same_life(shape_of(old), shape_of(kept)):
        said = f"{places.old_id} has just been renamed to {places.retired_as}"
        return OldDatabase("kept", said, places.retired_as, build=True)
    said = (
        f"there are both {places.old_id}, which is no replica, and {places.retired_as}: rename or delete the one that "
        f"is of no use"
    )
    return OldDatabase(str(old["DBInstanceStatus"]), said, None, build=None, obstacle="DatabaseNotKept")


def _standing(places: Places, old: Mapping[str, Any]) -> OldDatabase:
    name, status = places.old_id, str(old["DBInstanceStatus"])
    if status in BROKEN:
        said = f"{name} is {status}: RDS neither snapshots nor renames it; bring it back to life, or delete it yourself"
        return OldDatabase(status, said, None, build=None, obstacle="DatabaseNotKept")
    first = ""
    if status == "stopped":
        first = "it is started first, then "
    elif status == "storage-full":
        room = f"{grown(old)['AllocatedStorage']} GiB" if "AllocatedStorage" in old else "larger"
        first = f"its disk is made {room} first, then "
    elif status not in READY:
        first = "that is waited for, then "
    said = f"{name} is {status}: {first}a snapshot is taken, and it is renamed to {places.retired_as}, never deleted"
    return OldDatabase(status, said, places.retired_as, build=True)


@dataclass(frozen=True)
class Replica:
    """Whether a replica of the active database is built, how large that is, and about how long it takes."""

    build: bool | None
    sentence: str
    gib: int | None = None
    seconds: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """As the function answers it."""
        return asdict(self)


def replica(places: Places, old: OldDatabase, source: Mapping[str, Any] | None, silence: str | None) -> Replica:
    """From the active database as the peer's RDS describes it; `silence` is why it did not."""
    if old.build is None:
        return Replica(None, f"whether a replica has to be built is not known before {places.old_id} is seen to")
    if not old.build:
        return Replica(False, f"no replica has to be built: {places.old_id} is one")
    gib = None if source is None else source.get("AllocatedStorage")
    what = f"a replica of {places.peer_id} is built as {places.old_id}"
    if gib is None:
        why = silence or f"no database instance is called {places.peer_id} in {places.peer}"
        return Replica(True, f"{what}; how long that takes is not known: {why}")
    seconds = estimate.remaining(0.0, gib, None)
    assert seconds is not None, "nothing has passed yet"
    rate = f"{gib} GiB, assumed at {estimate.GIB_PER_MINUTE:g} GiB a minute"
    return Replica(True, f"{what}: about {lasting(seconds)} ({rate})", int(gib), seconds)


def objects(readiness: Mapping[str, Any] | None, now: float) -> dict[str, Any]:
    """What S3 has still to bring here, by the last look of readiness; it is listed key by key only during the run."""
    checks = () if readiness is None else readiness.get("checks", ())
    check = next((one for one in checks if one.get("name") == CHECK), None)
    if readiness is None or check is None:
        said = "what S3 has still to replicate is not known: readiness has not looked at it; the run compares all keys"
        return {"level": None, "sentence": said, "looked_at": None}
    age = lasting(max(0.0, now - readiness["at"]))
    said = f"{check['sentence']} (readiness looked {age} ago; the run compares all keys)"
    return {"level": str(check["level"]), "sentence": said, "looked_at": float(readiness["at"])}


def question(here: str, peer: str) -> dict[str, Any]:
    """What a person is asked before anything is switched."""
    least, most = (seconds / 60 for seconds in READ_ONLY_SECONDS)
    said = (
        f"a person is asked: home, stay, or not now. Approved, no write is taken from when {peer} stops until {here} "
        f"has been promoted: on AWS {least:.0f} to {most:.0f} minutes; no write is lost"
    )
    return {"sentence": said, "read_only_seconds": list(READ_ONLY_SECONDS)}


def would(
    places: Places, old: OldDatabase, built: Replica, bucket: Mapping[str, Any], left: list[str], *, home: bool
) -> list[str]:
    """What the run would do, in the order in which it does it; up to where it fails, where that is known."""
    stops = f"executions of {places.here} that were left over are stopped: {', '.join(left)}" if left else ""
    said = [f"both ledgers' locks are taken{'; ' if stops else ''}{stops}", old.sentence]
    if old.obstacle is not None:
        return [*said, f"there it would fail ({old.obstacle}), and nothing else is done"]
    said += [
        built.sentence,
        "both databases and both buckets are compared; a difference that nobody has accepted ends it",
        f"objects: {bucket['sentence']}",
    ]
    if not home:
        return [*said, f"it ends there: {places.here} stands by, and nothing is switched"]
    asked = question(places.here, places.peer)["sentence"]
    return [*said, asked, f"after the switchover {places.peer} retires its database in the same way, and stands by"]
