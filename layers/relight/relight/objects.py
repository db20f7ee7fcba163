"""Two buckets compared: which objects the active Region's has and the standby's lacks, which differ, which are extra.

A listing is sorted by the bytes of its keys in UTF-8, and so is a Python `str` by its code points: the two orders are
one. Two objects are equal that have the same size and the same ETag, or the same size and the same version: S3 gives a
replica the version of its source, while the ETag of an object that KMS encrypts says nothing of its content and may
change with the key.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

UNVERSIONED = "null"  # what S3 calls the version of an object from before its bucket kept versions: no identity
NAMED, NAMED_BYTES = 50, 60_000  # of differences in an answer of a step, whose states are limited to 256 KiB
PATIENCE_SECONDS = 3600.0  # S3 replicates most objects within minutes and, without time control, promises nothing


class Kind(StrEnum):
    """How two Regions disagree about a key, as seen from the active one."""

    MISSING = "object_missing"
    DIFFERS = "object_differs"
    EXTRA = "object_extra"


class State(StrEnum):
    """What S3 means to do about it: it is on its way; it gave up; it never began; it has nothing left to do; or the
    object was only ever in the standby Region, and is what was lost."""

    PENDING = "pending"
    FAILED = "failed"
    NEVER = "never_replicated"
    SETTLED = "settled"
    LOST = "lost"


@dataclass(frozen=True)
class Entry:
    """The newest version of a key in one bucket, or the delete marker that lies on top. `modified` in epoch seconds."""

    key: str
    size: int
    etag: str
    version: str
    modified: float
    deleted: bool = False

    def same(self, other: Entry) -> bool:
        """Both hold the same content."""
        if self.size != other.size:
            return False
        return self.etag == other.etag or (self.version == other.version and self.version != UNVERSIONED)


@dataclass(frozen=True)
class Pair:
    """One key in both listings; None where a listing does not have it."""

    key: str
    active: Entry | None
    standby: Entry | None

    @property
    def kind(self) -> Kind | None:
        """How the two disagree, or None. A delete marker is no object."""
        active, standby = _object(self.active), _object(self.standby)
        if active is None:
            return None if standby is None else Kind.EXTRA
        if standby is None:
            return Kind.MISSING
        return None if active.same(standby) else Kind.DIFFERS

    @property
    def counts(self) -> bool:
        """The active Region has an object there."""
        return _object(self.active) is not None

    @property
    def by_version(self) -> bool:
        """Both have the same object, as its version says and its ETag does not."""
        active, standby = _object(self.active), _object(self.standby)
        return active is not None and standby is not None and active.same(standby) and active.etag != standby.etag


def _object(entry: Entry | None) -> Entry | None:
    return None if entry is None or entry.deleted else entry


class Unsorted(ValueError):
    """A listing did not come in the order of its keys, so nothing could be said about what it lacks."""


def merge(active: Iterable[Entry], standby: Iterable[Entry]) -> Iterator[Pair]:
    """Both listings, key by key; only one entry of each is held at a time."""
    ones, others = _rising(active), _rising(standby)
    one, other = next(ones, None), next(others, None)
    while one is not None or other is not None:
        key = min(entry.key for entry in (one, other) if entry is not None)
        mine = one if one is not None and one.key == key else None
        theirs = other if other is not None and other.key == key else None
        yield Pair(key, mine, theirs)
        one = next(ones, None) if mine is not None else one
        other = next(others, None) if theirs is not None else other


def _rising(entries: Iterable[Entry]) -> Iterator[Entry]:
    before: str | None = None
    for entry in entries:
        if before is not None and entry.key <= before:
            raise Unsorted(f"a listing has {entry.key!r} after {before!r}")
        before = entry.key
        yield entry


@dataclass(frozen=True)
class Looked:
    """What a bucket says of one key, and S3's word on its replication; None where S3 has none."""

    entry: Entry | None
    status: str | None = None


@dataclass(frozen=True)
class Candidate:
    """A key about which the Regions disagreed when it was last looked at. Without a state it has only been listed."""

    key: str
    kind: Kind
    active: Entry | None
    standby: Entry | None
    state: State | None = None
    detail: str = ""

    @classmethod
    def of(cls, pair: Pair, kind: Kind) -> Candidate:
        """As the listings have it."""
        return cls(pair.key, kind, pair.active, pair.standby)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Candidate:
        """As `as_json` wrote it."""
        sides = {side: None if kept[side] is None else Entry(**kept[side]) for side in ("active", "standby")}
        state = None if kept["state"] is None else State(kept["state"])
        return cls(kept["key"], Kind(kept["kind"]), **sides, state=state, detail=kept["detail"])

    def as_json(self) -> dict[str, Any]:
        """To be kept."""
        return asdict(self)

    @property
    def named(self) -> dict[str, str]:
        """How it is told; its name is what a person accepts it by."""
        name = f"{self.kind.value}:{self.key}"
        return {"name": name, "kind": self.kind.value, "key": self.key, "detail": self.detail}

    def stands(self, active: Looked, standby: Looked) -> bool:
        """Neither bucket has changed what it has since."""
        return (_version(self.active), _version(self.standby)) == (_version(active.entry), _version(standby.entry))


def _version(entry: Entry | None) -> str | None:
    return None if entry is None else entry.version


def judge(before: Candidate, active: Looked, standby: Looked) -> Candidate | None:
    """The key as it is now; None where the Regions agree.

    What looks as if it would stay so counts as on its way until it has been seen twice: the first look may have come
    between two writes.
    """
    pair = Pair(before.key, active.entry, standby.entry)
    kind = pair.kind
    if kind is None:
        return None
    state, detail = _extra(active, standby) if kind is Kind.EXTRA else _wanted(active, standby)
    if state in {State.SETTLED, State.LOST} and not before.stands(active, standby):
        state = State.PENDING
    return Candidate(before.key, kind, active.entry, standby.entry, state, detail)


def _wanted(active: Looked, standby: Looked) -> tuple[State, str]:
    """The standby lacks what the active Region has."""
    if active.status == "PENDING":
        return State.PENDING, "its replication is PENDING"
    if active.status == "FAILED":
        return State.FAILED, "its replication has FAILED"
    if active.status is None:
        return State.NEVER, "it was never replicated"
    if standby.status == "PENDING":
        return State.PENDING, "the standby's own is on its way to the active Region"
    there = _object(standby.entry)
    if there is None:
        return State.SETTLED, f"it has been in both Regions ({active.status}), and is gone in the standby"
    age = "newer" if active.entry is None or there.modified > active.entry.modified else "older"
    return State.SETTLED, f"the standby's is {age} and stays as it is ({standby.status or 'not replicated'})"


def _extra(active: Looked, standby: Looked) -> tuple[State, str]:
    """The standby has what the active Region lacks."""
    if active.entry is not None:
        return State.PENDING, "it was deleted in the active Region, and the delete marker has not arrived"
    if standby.status == "PENDING":
        return State.PENDING, "it is on its way to the active Region"
    if standby.status is None or standby.status == "FAILED":
        return State.LOST, "it was written in the standby Region and never came to the active one"
    return State.SETTLED, f"it has been in both Regions ({standby.status}), and its version was deleted in the active"


@dataclass(frozen=True)
class Counts:
    """How many keys are left in each state."""

    pending: int = 0
    failed: int = 0
    never_replicated: int = 0
    settled: int = 0
    lost: int = 0

    def plus(self, candidates: Sequence[Candidate]) -> Counts:
        """With those."""
        counts = asdict(self)
        for candidate in candidates:
            counts[candidate.state or State.PENDING] += 1
        return Counts(**counts)

    @property
    def left(self) -> int:
        """All of them."""
        return sum(asdict(self).values())

    @property
    def mendable(self) -> int:
        """What a job of S3 Batch Replication would take up."""
        return self.failed + self.never_replicated


class Next(StrEnum):
    """What follows a lap over all that was left."""

    MEND = "mend"
    WAIT = "wait"
    TELL = "tell"


def decide(counts: Counts, *, can_mend: bool, waited: float) -> Next:
    """First match wins. `waited` is for how many seconds nothing has arrived; `can_mend` where a job may be created."""
    if counts.mendable and can_mend:
        return Next.MEND
    if counts.pending and waited < PATIENCE_SECONDS:
        return Next.WAIT
    return Next.TELL


def first(candidates: Iterable[Candidate]) -> list[dict[str, Any]]:
    """The first of them, as many as an answer may hold."""
    named: list[dict[str, Any]] = []
    room = NAMED_BYTES
    for candidate in islice(candidates, NAMED):
        room -= len(json.dumps(candidate.named))
        if room < 0:
            break
        named.append(candidate.named)
    return named
