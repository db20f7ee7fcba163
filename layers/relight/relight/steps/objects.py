"""`objects`: the standby's bucket is compared with the active one's, and what S3 has not replicated is seen to.

All keys are listed once, in slices. Where the Regions disagree about a key, it is a candidate: kept in the evidence, in
parts, and looked at by itself in the laps that follow, until it has arrived or it is known that it will not.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from relight.batch_job import Job
from relight.bucket import NotRead
from relight.errors import PeerUnreachable
from relight.objects import Candidate, Counts, Kind, Next, State, decide, first, judge, merge
from relight.step import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mypy_boto3_s3 import S3Client

    from relight.batch_job import BatchJobs
    from relight.bucket import Bucket
    from relight.ledger import Ledger
    from relight.run import Run
    from relight.settings import ObjectsSettings

NAME = "objects"
SCHEMA = "relight/objects/1"
PART_CANDIDATES = 1000  # a part of the evidence holds at most so many: they fit in memory with room to spare
REPORT_CANDIDATES = 10_000  # named in the report itself; beyond that it says in which parts all of them are
AT_ONCE = 8


@dataclass(frozen=True)
class Progress:
    """How far the comparison has come; kept in the ledger after each slice."""

    listed: bool = False
    after: str | None = None  # the last key that has been compared
    objects: int = 0  # of the active Region
    by_version: int = 0  # equal though their ETags are not
    parts: int = 0
    at: int = 0  # the part at which the lap goes on
    counts: Counts = field(default_factory=Counts)  # of the lap so far
    left: int = 0  # after the lap before
    since: float = 0.0  # when something last arrived
    job: Job | None = None
    told: bool = False

    @property
    def differences(self) -> int:
        """What is left, but for what was lost."""
        return self.counts.left - self.counts.lost

    @classmethod
    def from_json(cls, kept: Mapping[str, Any] | None, now: float) -> Self:
        """As `asdict` gave it, or from the beginning."""
        if kept is None:
            return cls(since=now)
        job = None if kept["job"] is None else Job(**kept["job"])
        return cls(**{**kept, "counts": Counts(**kept["counts"]), "job": job})


def _facts(
    progress: Progress, differences: list[dict[str, Any]], lost: list[dict[str, Any]], report: str | None
) -> dict[str, Any]:
    return {
        "objects": progress.objects,
        "differences": differences,
        "differences_total": progress.differences,
        "pending": progress.counts.pending,
        "failed": progress.counts.failed,
        "never_replicated": progress.counts.never_replicated,
        "lost": lost,
        "lost_total": progress.counts.lost,
        "job": None if progress.job is None else progress.job.as_json(),
        "report": report,
    }


@dataclass(frozen=True)
class Objects:
    """One look, of one slice at most. `active` and `standby` are None where the workload has no buckets."""

    settings: ObjectsSettings
    ledger: Ledger
    active: Bucket | None
    standby: Bucket | None
    jobs: BatchJobs
    evidence: S3Client
    clock: Callable[[], float]

    def ensure(self, run: Run) -> Outcome:
        """Compare further. PeerUnreachable where the other Region refuses; where it does not answer, it is asked again.

        Raises RunSuperseded, and keeps nothing, where the run lost its lock meanwhile.
        """
        if self.active is None or self.standby is None:
            said = "no bucket is compared: this workload has none in both Regions"
            return Outcome.done(said, **_facts(Progress(), [], [], None))
        comparing = _Comparing(self, run, self.active, self.standby)
        try:
            return comparing.go_on(Progress.from_json(self.ledger.progress(run.id, NAME), self.clock()))
        except NotRead as error:
            if not error.refused:
                return Outcome.wait(f"asked again soon: {error}", self.settings.look_again_seconds)
            if error.region == self.settings.peer_region:
                raise PeerUnreachable(f"the other Region refuses, so the objects are not compared: {error}") from error
            raise error.error from error


@dataclass(frozen=True)
class _Comparing:
    """The comparison of two buckets for one run."""

    step: Objects
    run: Run
    active: Bucket
    standby: Bucket

    def go_on(self, progress: Progress) -> Outcome:
        """From where it was."""
        if progress.told:
            return self._done(progress)
        ends = self.step.clock() + self.step.settings.slice_seconds
        if not progress.listed:
            return self._list(progress, ends)
        if progress.job is not None and not progress.job.over:
            return self._follow(progress, progress.job)
        return self._lap(progress, ends)

    # The listings.

    def _list(self, progress: Progress, ends: float) -> Outcome:
        found: list[Candidate] = []
        reached = progress
        try:
            for pair in merge(self.active.latest(progress.after), self.standby.latest(progress.after)):
                kind = pair.kind
                if kind is not None:
                    found.append(Candidate.of(pair, kind))
                objects, by_version = reached.objects + pair.counts, reached.by_version + pair.by_version
                reached = replace(reached, after=pair.key, objects=objects, by_version=by_version)
                if len(found) == PART_CANDIDATES:
                    reached, found = self._keep(self._with(reached, found)), []
                if self.step.clock() >= ends:
                    break
            else:
                reached = replace(reached, listed=True)
        finally:
            reached = self._keep(self._with(reached, found))
        if not reached.listed:
            return self._wait(f"compared {reached.objects} objects, up to {reached.after!r}", reached)
        if reached.left == 0:
            return self._tell(reached)
        said = f"compared {reached.objects} objects; {reached.left} are not equal yet and are looked at again"
        return self._wait(said, reached)

    def _with(self, progress: Progress, found: Sequence[Candidate]) -> Progress:
        """The candidates that a slice has found become a part of the evidence."""
        if not found:
            return progress
        self._write(progress.parts, found)
        now = self.step.clock()
        return replace(progress, parts=progress.parts + 1, left=progress.left + len(found), since=now)

    # The laps over the candidates.

    def _lap(self, progress: Progress, ends: float) -> Outcome:
        while progress.at < progress.parts:
            left = self._again(self._read(progress.at))
            self._write(progress.at, left)
            progress = self._keep(replace(progress, at=progress.at + 1, counts=progress.counts.plus(left)))
            if progress.at < progress.parts and self.step.clock() >= ends:
                return self._wait(f"looked again at {progress.at} of {progress.parts} parts", progress)
        return self._decide(progress)

    def _again(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return [candidate for candidate in pool.map(self._look, candidates) if candidate is not None]

    def _look(self, candidate: Candidate) -> Candidate | None:
        # The standby first: what is written between the two looks is then on its way, and never an object too many.
        standby = self.standby.look(candidate.key)
        active = self.active.look(candidate.key)
        now = judge(candidate, active, standby)
        if now is not None and now.kind is Kind.DIFFERS and self._follows(candidate, now):
            return None
        return now

    def _follows(self, before: Candidate, now: Candidate) -> bool:
        """The key is written again and again, and the standby has a version at least as new as the one first seen."""
        if before.active is None or now.active is None or now.standby is None:
            return False
        if now.active.version == before.active.version or now.standby.modified < before.active.modified:
            return False
        return self.active.has(now.key, now.standby.version)

    def _decide(self, progress: Progress) -> Outcome:
        now, counts, role = self.step.clock(), progress.counts, self.step.settings.peer_batch_role_arn
        since = now if counts.left < progress.left else progress.since
        lapped = replace(progress, at=0, counts=Counts(), left=counts.left, since=since)
        decided = decide(counts, can_mend=role is not None and progress.job is None, waited=now - since)
        if decided is Next.TELL:
            return self._tell(replace(progress, since=since))
        if decided is Next.MEND and role is not None:
            job = self.step.jobs.create(self.run.id, self.active.name, role)
            self._keep(replace(lapped, job=job))
            said = f"{counts.failed} objects FAILED to replicate, {counts.never_replicated} were never replicated"
            return self._wait(f"{said}: job {job.id} replicates them", lapped, job=job.as_json())
        self._keep(lapped)
        said = f"{counts.left} objects are not equal yet, {counts.pending} are on their way"
        return self._wait(f"{said}; nothing has arrived for {now - since:.0f} s", lapped)

    def _follow(self, progress: Progress, job: Job) -> Outcome:
        told = self.step.jobs.describe(job.id)
        self._keep(replace(progress, job=told, since=self.step.clock()))
        return self._wait(told.sentence, progress, job=told.as_json())

    # What came of it.

    def _tell(self, progress: Progress) -> Outcome:
        progress = replace(progress, told=True)
        self._put(self._key("objects.json"), self._report(progress))
        return self._done(self._keep(progress))

    def _report(self, progress: Progress) -> dict[str, Any]:
        left = (self._left(progress, lost=lost) for lost in (False, True))
        differences, lost = ([one.as_json() for one in islice(some, REPORT_CANDIDATES)] for some in left)
        whole = progress.counts.left <= REPORT_CANDIDATES
        return {
            "schema": SCHEMA,
            "run": self.run.id,
            "active": {"region": self.active.region, "bucket": self.active.name},
            "standby": {"region": self.standby.region, "bucket": self.standby.name},
            "ended": self.step.clock(),
            "equal_by_version": progress.by_version,
            **_facts(progress, differences, lost, self._where),
            "settled": progress.counts.settled,
            "parts": [] if whole else [self._part(part) for part in range(progress.parts)],
        }

    def _done(self, progress: Progress) -> Outcome:
        differences, lost = progress.differences, progress.counts.lost
        named, gone = first(self._left(progress, lost=False)), first(self._left(progress, lost=True))
        said = f"{progress.objects} objects compared: "
        said += f"{differences} differ" if differences else "the standby has them all"
        said += f"; {lost} were only ever in the standby Region: to the active one they are lost" if lost else ""
        said += f"; {progress.job.sentence}" if progress.job else ""
        return Outcome.done(said, **_facts(progress, named, gone, self._where))

    def _left(self, progress: Progress, *, lost: bool) -> Iterator[Candidate]:
        for part in range(progress.parts if progress.counts.left else 0):
            yield from (one for one in self._read(part) if (one.state is State.LOST) is lost)

    # The evidence and the ledger.

    @property
    def _where(self) -> str:
        return f"s3://{self.step.settings.evidence_bucket}/{self._key('objects.json')}"

    def _key(self, name: str) -> str:
        return f"runs/{self.run.id}/{name}"

    def _part(self, part: int) -> str:
        return self._key(f"objects/{part:05}.json")

    def _write(self, part: int, candidates: Sequence[Candidate]) -> None:
        self._put(self._part(part), [candidate.as_json() for candidate in candidates])

    def _put(self, key: str, document: Any) -> None:
        body = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode()
        bucket = self.step.settings.evidence_bucket
        self.step.evidence.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json")

    def _read(self, part: int) -> list[Candidate]:
        told = self.step.evidence.get_object(Bucket=self.step.settings.evidence_bucket, Key=self._part(part))
        return [Candidate.from_json(kept) for kept in json.loads(told["Body"].read())]

    def _keep(self, progress: Progress) -> Progress:
        self.step.ledger.keep_progress(self.run, NAME, asdict(progress))
        return progress

    def _wait(self, sentence: str, progress: Progress, **facts: Any) -> Outcome:
        seconds = self.step.settings.look_again_seconds
        return Outcome.wait(sentence, seconds, objects=progress.objects, left=progress.left, **facts)
