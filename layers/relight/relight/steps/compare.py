"""`compare`: whether the replica equals the active database, or what a retired one has that the active one lacks."""

from __future__ import annotations

import json
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight import database, reconciliation
from relight.errors import DatabaseCheckFailed, InputInvalid
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
PART_BYTES = 4_000_000
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

    def ensure(self, run: Run, what: What, retired: Retired | None) -> Outcome:
        """Go on with it; done when all is compared and the report lies in the evidence."""
        if what is What.LOST and retired is None:
            return Outcome.done("there is no retired database: nothing can be told of what was lost", rows=None)
        progress = self.ledger.progress(run.id, f"compare {what}") or {"version": 0, "facts": None, "sentence": ""}
        if progress["facts"] is not None:
            return Outcome.done(progress["sentence"], **progress["facts"])
        work = self._work(run, what, progress["version"])
        deadline = self.clock() + self.settings.slice_seconds
        why = None
        try:
            self._go_on(run, what, retired, work, deadline)
        except Later as later:
            why = str(later)
        if work["tasks"]:
            self._keep(run, what, progress["version"] + 1, work)
            return self._wait(work, why)
        return self._report(run, what, retired, work, progress["version"] + 1)

    def _go_on(self, run: Run, what: What, retired: Retired | None, work: dict[str, Any], deadline: float) -> None:
        """Do tasks until the time is up or none is left. Later says why it cannot go on."""
        found = _Found()
        lead, other = self._sides(what, retired)

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
        finally:
            self._put_part(run, what, work, found)

    def _sides(self, what: What, retired: Retired | None) -> tuple[Ask, Ask]:
        """The lead and the other."""
        s = self.settings
        if retired is None:
            return (
                _asking(self.peer_functions, s.peer_dbcheck_function, "the active database"),
                _asking(self.functions, s.dbcheck_function, "the replica"),
            )
        endpoint = {"host": retired.host, "port": retired.port}
        return (
            _asking(self.functions, s.dbcheck_function, f"the retired {retired.instance}", endpoint=endpoint),
            _asking(self.peer_functions, s.peer_dbcheck_function, "the active database"),
        )

    # What is kept between slices.

    def _key(self, run: Run, what: What, name: str) -> str:
        return f"runs/{run.id}/compare-{what}/{name}"

    def _work(self, run: Run, what: What, version: int) -> dict[str, Any]:
        if version == 0:
            return {**begin(what), "began": self.clock(), "parts": 0, "found": 0, "first": []}
        return dict(json.loads(self._get(self._key(run, what, f"work-{version % 2}.json"))))

    def _keep(self, run: Run, what: What, version: int, work: Mapping[str, Any]) -> None:
        """The work first, then where it lies: the version before stays until the next is known."""
        self._put(self._key(run, what, f"work-{version % 2}.json"), json.dumps(work).encode())
        self.ledger.keep_progress(run, f"compare {what}", {"version": version, "facts": None, "sentence": ""})

    def _put_part(self, run: Run, what: What, work: dict[str, Any], found: _Found) -> None:
        if found.lines:
            key = self._key(run, what, f"part-{work['parts']:05}.jsonl")
            self._put(key, "\n".join(found.lines).encode())
            work["parts"] += 1
            found.lines, found.size = [], 0

    def _put(self, key: str, body: Any, kind: str = "application/json") -> None:
        self.s3.put_object(Bucket=self.settings.evidence_bucket, Key=key, Body=body, ContentType=kind)

    def _get(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=self.settings.evidence_bucket, Key=key)["Body"].read()

    def _entries(self, run: Run, what: What, parts: int) -> Iterator[dict[str, Any]]:
        for part in range(parts):
            key = self._key(run, what, f"part-{part:05}.jsonl")
            with closing(self.s3.get_object(Bucket=self.settings.evidence_bucket, Key=key)["Body"]) as body:
                for line in body.iter_lines(chunk_size=65536):
                    yield json.loads(line)

    # What is said.

    def _wait(self, work: Mapping[str, Any], why: str | None) -> Outcome:
        tables, estimate = len(work["plan"]), sum(table["estimate"] for table in work["plan"])
        percent = min(99, round(100 * work["rows"] / estimate)) if estimate else None
        said = f"{work['tables']} of {tables} tables are compared, {work['rows']} rows so far"
        facts = {"tables_done": work["tables"], "tables": tables, "rows": work["rows"], "percent": percent}
        sentence = f"{said}; {why}" if why else said
        return Outcome.wait(sentence, self.settings.look_again_seconds, **facts, differences_total=work["found"])

    def _report(self, run: Run, what: What, retired: Retired | None, work: dict[str, Any], version: int) -> Outcome:
        """Write the report, and remember that it is written."""
        head = {"run": run.id, "what": what.value, "began": work["began"], "ended": self.clock()}
        head |= {"compared_tables": work["tables"], "compared_rows": work["rows"], "not_compared": work["not_compared"]}
        if what is What.DATABASE:
            sentence, facts = self._report_database(run, work, head)
        else:
            head["retired"] = {"instance": retired.instance if retired else None}
            sentence, facts = self._report_lost(run, work, head)
        self.ledger.keep_progress(run, f"compare {what}", {"version": version, "facts": facts, "sentence": sentence})
        return Outcome.done(sentence, **facts)

    def _report_database(
        self, run: Run, work: Mapping[str, Any], head: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        key, total = f"runs/{run.id}/consistency.json", work["found"]
        head = {**head, "differences_total": total, "follows": work["follows"], "replica": self.settings.replica_id}
        entries = self._entries(run, What.DATABASE, work["parts"])
        self._write(key, reconciliation.document(head, "differences", entries))
        facts = {
            "tables": work["tables"],
            "rows": work["rows"],
            "differences": work["first"],
            "differences_total": total,
            "not_compared": len(work["not_compared"]),
            "follows": work["follows"],
            "report": self._where(key),
        }
        said = f"{work['tables']} tables and {work['rows']} rows are compared"
        found = f"{total} differences" if total else "they are equal"
        return f"{said}: {found}{'' if work['follows'] else '; the replica does not follow any more'}", facts

    def _report_lost(self, run: Run, work: Mapping[str, Any], head: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        key = f"runs/{run.id}/reconciliation"
        counts = {kind: sum(table[kind] for table in work["lost"].values()) for kind in ("only_retired", "differs")}
        rows = sum(counts.values())
        head = {
            **head,
            **counts,
            "rows": rows,
            "only_active": max(0, work["only_active"]),
            "only_active_is_at_least": work["at_least"],
            "truncated": work["told"] < rows,
            "schema": work["schema"],
            "undecided": work["undecided"],
        }

        def entries() -> Iterator[dict[str, Any]]:
            return self._entries(run, What.LOST, work["parts"])

        tables = [{"table": name, **table} for name, table in work["lost"].items()]
        self._write(f"{key}.json", reconciliation.report(head, tables, entries()))
        self._write(f"{key}.csv", reconciliation.as_csv(entries()), "text/csv")
        facts = {
            "rows": rows,
            "tables": _largest(work["lost"]),
            **counts,
            "only_active": head["only_active"],
            "truncated": head["truncated"],
            "undecided": len(work["undecided"]),
            "report": self._where(f"{key}.json"),
        }
        kinds = f"{counts['only_retired']} are only there, {counts['differs']} differ"
        said = f"{rows} rows of the retired database are not in the active one: {kinds}"
        unknown = f"; {len(work['undecided'])} questions are undecided" if work["undecided"] else ""
        return f"{said if rows else 'nothing is lost'}{unknown}", facts

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


def _asking(functions: LambdaClient, function: str, name: str, **always: Any) -> Ask:
    """Ask one database through `dbcheck`."""

    def ask(check: str, **event: Any) -> dict[str, Any]:
        try:
            answer = database.ask(functions, function, check, **always, **event)
        except (DatabaseCheckFailed, BotoCoreError, ClientError) as error:
            raise Later(f"{name} could not be asked: {type(error).__name__}: {error}") from error
        if not answer["reached"]:
            raise Later(f"{name} cannot be reached: {answer['sentence']}")
        if answer.get("behind"):
            raise Later(f"{name}: {answer['sentence']}")
        if "failed" in answer:
            raise Failed(answer["failed"], f"{name}: {answer['sentence']}")
        return answer

    return ask
