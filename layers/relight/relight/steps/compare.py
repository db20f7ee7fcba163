"""`compare`: whether the replica equals the active database, or what a retired one has that the active one lacks."""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight import database, reconciliation
from relight.errors import DatabaseCheckFailed, InputInvalid
from relight.failback_reports import left_out
from relight.step import Outcome
from relight.walk import Failed, Later, Walk, What, begin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client

    from relight.ledger import Ledger
    from relight.run import Run
    from relight.settings import CompareSettings
    from relight.walk import Ask

SHOWN = 50
"""Differences that the facts name; the report names all."""
UNCOMPARED = 20
"""Tables whose rows were not compared that the facts name; the report names all."""
PART_BYTES = 4_000_000
WORKING_SECONDS = 1.0
"""Between two slices while there is work that can be done."""
BEHIND_SECONDS = 0.5
"""Between two looks at a replica that has not come far enough: it follows by milliseconds, and the slice goes on."""
SILENT_LAPS = 20
"""After so many laps in which a retired database could not be asked nobody is kept waiting for it any longer."""
FRESH_SECONDS = 3 * 86400.0
"""What an earlier run has found out is gone on from for so long after it began; then it is looked at anew."""
READ_SECONDS = 30.0
"""How long a `dbcheck` may take to answer: it works for some seconds on a question, and no traffic waits for that."""


@dataclass(frozen=True)
class Retired:
    """Where the retired database answers."""

    instance: str
    host: str
    port: int

    @classmethod
    def from_event(cls, given: Mapping[str, Any] | None) -> Retired | None:
        """The step's input; None where there is none. InputInvalid for what is malformed."""
        if given is None:
            return None
        try:
            return cls(str(given["instance"]), str(given["host"]), int(given["port"]))
        except (KeyError, TypeError, ValueError) as wrong:
            raise InputInvalid(f'"retired" needs "instance", "host" and "port": {wrong!r}') from None

    @property
    def name(self) -> str:
        """In sentences."""
        return f"the retired {self.instance}"


@dataclass
class _Found:
    """What has been found since the last part was written, as lines of JSON."""

    lines: list[str] = field(default_factory=list)
    size: int = 0

    def add(self, entry: Mapping[str, Any]) -> None:
        line = json.dumps(entry, sort_keys=True)
        self.lines.append(line)
        self.size += len(line)


@dataclass(frozen=True)
class Comparing:
    """One slice of the comparison. What it has come to is kept at its end; a slice that dies is done again."""

    settings: CompareSettings
    ledger: Ledger
    functions: LambdaClient
    peer_functions: LambdaClient
    s3: S3Client
    clock: Callable[[], float]
    sleep: Callable[[float], None] = time.sleep

    def ensure(self, run: Run, what: What, retired: Retired | None) -> Outcome:
        """Go on with it; done when all is compared and the report lies in the evidence.

        Done, too, when a retired database could not be asked for too long: then `rows` is None, and `why` says why.
        """
        if what is What.LOST and retired is None:
            return Outcome.done("there is no retired database: nothing can be told of what was lost", rows=None)
        progress = self.ledger.progress(run.id, f"compare {what}") or {"version": 0, "facts": None, "sentence": ""}
        if progress["facts"] is not None:
            return Outcome.done(progress["sentence"], **progress["facts"])
        version = progress["version"]
        work = self._work(run, what, retired, version)
        before, later = work["steps"], self._go_on(run, what, retired, work)
        if not work["tasks"]:
            return self._report(run, what, retired, work, version)
        stuck = later if work["steps"] == before else None
        if stuck is None:
            work["silent"] = 0
        elif retired is not None and stuck.who == retired.name:
            work["silent"] += 1
        if work["silent"] >= SILENT_LAPS:
            work["unknown"] = f"it could not be asked, {work['silent']} times in a row: {stuck}"
            return self._report(run, what, retired, work, version)
        self._keep(run, what, retired, version + 1, work)
        return self._wait(work, stuck)

    def _go_on(self, run: Run, what: What, retired: Retired | None, work: dict[str, Any]) -> Later | None:
        """Do tasks until the time is up or none is left; or say why it cannot go on."""
        found = _Found()
        deadline = self.clock() + self.settings.slice_seconds
        lead, other = self._sides(retired, deadline)

        def told(entry: dict[str, Any]) -> None:
            found.add(entry)
            work["found"] += 1
            if what is What.DATABASE and len(work["first"]) < SHOWN:
                work["first"].append(entry)

        walk = Walk(what, lead, other, work, told)
        try:
            while work["tasks"] and self.clock() < deadline:
                walk.step()
                if found.size > PART_BYTES:
                    self._put_part(run, what, work, found)
        except Later as later:
            return later
        finally:
            self._put_part(run, what, work, found)
        return None

    def _sides(self, retired: Retired | None, deadline: float) -> tuple[Ask, Ask]:
        """The lead and the other."""

        def here(who: str, **always: Any) -> Ask:
            return self._asking(_Database(self.functions, self.settings.dbcheck_function, who, always), deadline)

        peer = _Database(self.peer_functions, self.settings.peer_dbcheck_function, "the active database")
        active = self._asking(peer, deadline)
        if retired is None:
            return active, here("the replica")
        return here(retired.name, endpoint={"host": retired.host, "port": retired.port}), active

    def _asking(self, asked: _Database, deadline: float) -> Ask:
        """Ask one database; one that has not come far enough is waited for until the deadline."""

        def ask(check: str, **event: Any) -> dict[str, Any]:
            while (answer := asked.answer(check, event)).get("behind"):
                if self.clock() >= deadline:
                    raise Later(asked.who, f"lags behind: {answer['sentence']}")
                self.sleep(BEHIND_SECONDS)
            return answer

        return ask

    # What is kept between slices.

    def _key(self, run: Run, what: What, name: str) -> str:
        return f"runs/{run.id}/compare-{what}/{name}"

    def _work(self, run: Run, what: What, retired: Retired | None, version: int) -> dict[str, Any]:
        if version:
            return dict(json.loads(self._get(self._key(run, what, f"work-{version % 2}.json"))))
        earlier = self._earlier(run, what, retired) if retired is not None else None
        if earlier is not None:
            return earlier
        kept = {"parts": [], "found": 0, "first": [], "silent": 0, "unknown": None, "runs": [run.id]}
        return {**begin(what), **kept, "began": self.clock()}

    def _earlier(self, run: Run, what: What, retired: Retired) -> dict[str, Any] | None:
        """What a run that came to no end has found out of the same retired database, which nobody changes any more."""
        known = self.ledger.progress(retired.instance, f"compare {what}")
        progress = known and self.ledger.progress(known["run"], f"compare {what}")
        if not known or not progress or not progress["version"]:
            return None
        if progress["facts"] is not None and progress["facts"]["rows"] is not None:
            return None  # that one was done: this run looks at what is so now
        key = self._key(replace(run, id=known["run"]), what, f"work-{progress['version'] % 2}.json")
        try:
            work = dict(json.loads(self._get(key)))
        except ClientError:  # not kept for so long
            return None
        if self.clock() - work["began"] > FRESH_SECONDS:
            return None
        return {**work, "silent": 0, "unknown": None, "runs": [*work["runs"], run.id]}

    def _keep(self, run: Run, what: What, retired: Retired | None, version: int, work: Mapping[str, Any]) -> None:
        """The work first, then where it lies: the version before stays until the next is known."""
        self._put(self._key(run, what, f"work-{version % 2}.json"), json.dumps(work).encode())
        self.ledger.keep_progress(run, f"compare {what}", {"version": version, "facts": None, "sentence": ""})
        if retired is not None and version == 1:
            # Under the name of the database: a run that comes later finds by it who has looked at it before.
            self.ledger.keep_progress(replace(run, id=retired.instance), f"compare {what}", {"run": run.id})

    def _put_part(self, run: Run, what: What, work: dict[str, Any], found: _Found) -> None:
        if found.lines:
            key = self._key(run, what, f"part-{len(work['parts']):05}.jsonl")
            self._put(key, "\n".join(found.lines).encode())
            work["parts"].append(key)
            found.lines, found.size = [], 0

    def _put(self, key: str, body: Any, kind: str = "application/json") -> None:
        self.s3.put_object(Bucket=self.settings.evidence_bucket, Key=key, Body=body, ContentType=kind)

    def _get(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=self.settings.evidence_bucket, Key=key)["Body"].read()

    def _entries(self, parts: Iterable[str]) -> Iterator[dict[str, Any]]:
        for key in parts:
            with closing(self.s3.get_object(Bucket=self.settings.evidence_bucket, Key=key)["Body"]) as body:
                for line in body.iter_lines(chunk_size=65536):
                    yield json.loads(line)

    # What is said.

    def _wait(self, work: Mapping[str, Any], why: Later | None) -> Outcome:
        tables, estimate = len(work["plan"]), sum(table["estimate"] for table in work["plan"])
        percent = min(99, round(100 * work["rows"] / estimate)) if estimate else None
        said = f"{work['tables']} of {tables} tables are compared, {work['rows']} rows so far"
        facts = {"tables_done": work["tables"], "tables": tables, "rows": work["rows"], "percent": percent}
        sentence = f"{said}; {why}" if why else said
        again = self.settings.look_again_seconds if why else WORKING_SECONDS
        return Outcome.wait(sentence, again, **facts, differences_total=work["found"])

    def _report(self, run: Run, what: What, retired: Retired | None, work: dict[str, Any], version: int) -> Outcome:
        """Write the report, and remember that it is written."""
        head = {"run": run.id, "what": what.value, "began": work["began"], "ended": self.clock(), "runs": work["runs"]}
        head |= {"compared_tables": work["tables"], "compared_rows": work["rows"], "not_compared": work["not_compared"]}
        if what is What.DATABASE:
            sentence, facts = self._report_database(run, work, head)
        else:
            head |= {"retired": {"instance": retired.instance if retired else None}, "unknown": work["unknown"]}
            sentence, facts = self._report_lost(run, work, head)
        self.ledger.keep_progress(run, f"compare {what}", {"version": version, "facts": facts, "sentence": sentence})
        return Outcome.done(sentence, **facts)

    def _report_database(
        self, run: Run, work: Mapping[str, Any], head: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        key, total = f"runs/{run.id}/consistency.json", work["found"]
        head = {**head, "differences_total": total, "follows": work["follows"], "replica": self.settings.replica_id}
        entries = self._entries(work["parts"])
        self._write(key, reconciliation.document(head, "differences", entries))
        facts = {
            "tables": work["tables"],
            "rows": work["rows"],
            "differences": work["first"],
            "differences_total": total,
            **_uncompared(work),
            "follows": work["follows"],
            "report": self._where(key),
        }
        said = f"{work['tables']} tables and {work['rows']} rows are compared"
        found = f"{total} differences" if total else "they are equal"
        follows = "" if work["follows"] else "; the replica does not follow any more"
        return f"{said}: {found}{_without(facts)}{follows}", facts

    def _report_lost(self, run: Run, work: Mapping[str, Any], head: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        key = f"runs/{run.id}/reconciliation"
        counts = {kind: sum(table[kind] for table in work["lost"].values()) for kind in ("only_retired", "differs")}
        rows = sum(counts.values())
        head = {
            **head,
            **counts,
            "rows": None if work["unknown"] else rows,
            "only_active": max(0, work["only_active"]),
            "only_active_is_at_least": work["at_least"],
            "truncated": work["told"] < rows,
            "schema": work["schema"],
            "undecided": work["undecided"],
        }

        def entries() -> Iterator[dict[str, Any]]:
            return self._entries(work["parts"])

        tables = [{"table": name, **table} for name, table in work["lost"].items()]
        self._write(f"{key}.json", reconciliation.report(head, tables, entries()))
        self._write(f"{key}.csv", reconciliation.as_csv(entries()), "text/csv")
        facts = {
            "rows": head["rows"],
            "why": work["unknown"],
            "tables": _largest(work["lost"]),
            **counts,
            "only_active": head["only_active"],
            "truncated": head["truncated"],
            "undecided": len(work["undecided"]),
            **_uncompared(work),
            "report": self._where(f"{key}.json"),
        }
        return _lost(facts), facts

    def _where(self, key: str) -> str:
        return f"s3://{self.settings.evidence_bucket}/{key}"

    def _write(self, key: str, pieces: Iterable[str], kind: str = "application/json") -> None:
        """Through a file: a report may be longer than the memory."""
        with tempfile.TemporaryFile() as file:
            for piece in pieces:
                file.write(piece.encode("utf-8", "surrogatepass"))
            file.seek(0)
            self._put(key, file, kind)


def _largest(lost: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Rows by table, of the tables that have lost most."""
    rows = {name: table["only_retired"] + table["differs"] for name, table in lost.items()}
    return dict(sorted(rows.items(), key=lambda each: (-each[1], each[0]))[:SHOWN])


def _uncompared(work: Mapping[str, Any]) -> dict[str, Any]:
    """Whose rows were not compared, and why: the first of them by name, and how many there are."""
    return {"not_compared": work["not_compared"][:UNCOMPARED], "not_compared_total": len(work["not_compared"])}


def _without(facts: Mapping[str, Any]) -> str:
    said = left_out(facts)
    return f"; {said}" if said else ""


def _lost(facts: Mapping[str, Any]) -> str:
    """What was lost, in one sentence that claims nothing of what was not compared."""
    rows, there, differ = facts["rows"], facts["only_retired"], facts["differs"]
    undecided = f"; {facts['undecided']} questions are undecided" if facts["undecided"] else ""
    beside = f"{undecided}{_without(facts)}"
    kinds = f"{there} are only in the retired database (never replicated, or deleted since), {differ} differ"
    if rows is None:
        return f"what was lost is not known: {facts['why']} (so far {kinds}){beside}"
    if rows:
        return f"{rows} rows of the retired database are not so in the active one: {kinds}{beside}"
    return f"nothing of what was compared is lost{beside}" if beside else "nothing is lost"


@dataclass(frozen=True)
class _Database:
    """One of the two, behind a `dbcheck`; `who` is its name in sentences."""

    functions: LambdaClient
    function: str
    who: str
    always: Mapping[str, Any] = field(default_factory=dict)

    def answer(self, check: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """What it says; Later where it cannot be asked, Failed where it refuses."""
        try:
            answer = database.ask(self.functions, self.function, check, **self.always, **event)
        except (DatabaseCheckFailed, BotoCoreError, ClientError) as error:
            raise Later(self.who, f"could not be asked: {type(error).__name__}: {error}") from error
        if not answer["reached"]:
            raise Later(self.who, f"cannot be reached: {answer['sentence']}")
        if "failed" in answer:
            raise Failed(self.who, answer["failed"], answer["sentence"])
        return answer
