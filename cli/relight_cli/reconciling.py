"""The reconciliation report of a run: shown by table and key, and exported. It is in the evidence of the Region that
ran it, and nothing here changes any database."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from relight.failback_reports import left_out
from relight.reconciliation import as_csv, to_sql
from relight.telling import one_line
from rich.console import Console
from rich.table import Table
from rich.text import Text

from relight_cli.aws import Aws, code_of
from relight_cli.deployed import Deployed
from relight_cli.exit_code import Exit, Refused
from relight_cli.reaching import identity, reaching, reading

SHOWN = 50
"""Rows in the table; the files have all of them."""
_SILENT = frozenset({Exit.NO_ANSWER, Exit.NO_LEDGER, Exit.DENIED, Exit.AWS})
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_LONGEST = 200


@dataclass(frozen=True)
class Export:
    """Files to write."""

    csv: Path | None = None
    sql: Path | None = None


@dataclass(frozen=True)
class Report:
    """The report as it was kept, and where."""

    region: str
    where: str
    document: Mapping[str, Any]


def key_of(run: str) -> str:
    """Where the report of a run lies in its bucket."""
    return f"runs/{run}/reconciliation.json"


def find(deployed: Deployed, run: str, aws: Aws) -> Report:
    """The report, from whichever Region has it. Refused where none has, and by which of the reasons."""
    by = identity(deployed, aws, deployed.regions)
    reasons: list[Refused] = []
    for region in deployed.regions:
        bucket = f"relight-evidence-{deployed.application}-{by.split(':')[4]}-{region}"
        try:
            found = _read(deployed, region, bucket, run, aws)
        except Refused as refused:
            if refused.code not in _SILENT | {Exit.UNKNOWN_RUN}:
                raise
            reasons.append(refused)
            continue
        return Report(region, f"s3://{bucket}/{key_of(run)}", found)
    # What could not be asked weighs more than what is unknown where it could.
    raise next((one for one in reasons if one.code is not Exit.UNKNOWN_RUN), reasons[0])


def _read(deployed: Deployed, region: str, bucket: str, run: str, aws: Aws) -> Mapping[str, Any]:
    with reaching(region, f"read the report from {bucket}"):
        try:
            body = aws.client("s3", region).get_object(Bucket=bucket, Key=key_of(run))["Body"].read()
        except ClientError as error:
            if code_of(error) == "NoSuchBucket":
                what = f"there is no evidence bucket {bucket} in {region}"
                do = "check application, Region and account"
                raise Refused(what, do=do, code=Exit.NO_LEDGER) from error
            if code_of(error) not in _MISSING:
                raise
            raise _without(deployed, region, run, aws) from error
    return _document(body, f"s3://{bucket}/{key_of(run)}", run)


def _document(body: bytes, where: str, run: str) -> Mapping[str, Any]:
    """The report. Refused where it is none: what reads it counts on its shape."""
    try:
        document = json.loads(body)
        for table in document["tables"]:
            for row in table["rows"]:
                row["table"], row["kind"], row["key"], row["active"], row["retired"].items()
        document["truncated"], document["retired"]["instance"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"the report of run {run} is damaged"
        raise Refused(what, where=where, do="look at it by hand", code=Exit.NO_REPORT) from error
    return dict(document)


def _without(deployed: Deployed, region: str, run: str, aws: Aws) -> Refused:
    """Why there is no such report in a Region that answers."""
    with reading(deployed, region, aws) as ledger:
        marks, steps = ledger.timeline(run)
    if not marks and not steps:
        do = "take it from the notification, or try the other Region"
        return Refused(f"there is no run {run} in {region}", do=do, code=Exit.UNKNOWN_RUN)
    said = f" (it said last: {one_line(steps[-1].sentence, _LONGEST)})" if steps else ""
    what = f"run {run} in {region} has kept no reconciliation report{said}"
    do = "only a failback that has compared the old database keeps one"
    return Refused(what, do=do, code=Exit.NO_REPORT)


def rows(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The rows of a report, table by table. Pure."""
    return (row for table in document["tables"] for row in table["rows"])


def rich_table(found: Iterable[Mapping[str, Any]]) -> Table:
    """For a terminal and for a pipe: of a row that both databases have, what differs."""
    shown = Table(show_edge=False, pad_edge=False)
    for heading in ("table", "key", "what", "in the old database", "in the active one"):
        shown.add_column(heading, overflow="fold")
    for row in found:
        old, active = row["retired"], row["active"]
        if active is not None:
            old = {name: value for name, value in old.items() if active.get(name) != value}
        new = None if active is None else {name: active.get(name) for name in old}
        shown.add_row(*map(Text, (_line(row["table"]), _text(row["key"]), _line(row["kind"]), _text(old), _text(new))))
    return shown


def _text(values: Mapping[str, Any] | None) -> str:
    """A row on one line: whatever a client has put into it, it cannot steer a terminal."""
    return ", ".join(
        f"{_line(name)}={'NULL' if value is None else _line(value)}" for name, value in (values or {}).items()
    )


def _line(text: object) -> str:
    return one_line(str(text), _LONGEST)


def _write(file: Path, lines: Iterable[str]) -> None:
    try:
        with file.open("w", encoding="utf-8", errors="surrogatepass", newline="") as out:
            out.writelines(lines)
    except OSError as error:
        what = f"the file cannot be written ({error.strerror})"
        raise Refused(what, where=str(file), do="name another one", code=Exit.BAD_INPUT) from error


def conduct(deployed: Deployed, run: str, export: Export, *, as_json: bool) -> int:
    """Show it, and write what is asked for: the exit code."""
    report = find(deployed, run, Aws())
    if export.csv:
        _write(export.csv, as_csv(rows(report.document)))
    if export.sql:
        _write(export.sql, to_sql(report.document))
    if as_json:
        print(json.dumps(report.document, indent=2))
        return Exit.DONE
    _show(run, report)
    for file in (export.csv, export.sql):
        if file:
            print(f"written: {file}")
    return Exit.DONE


def _show(run: str, report: Report) -> None:
    document = report.document
    print(f"run {run} in {report.region}: {report.where}")
    for line in _beside(document):
        print(line)
    found = list(rows(document))
    total = max(int(document.get("rows") or 0), len(found))
    if not total:
        if not document.get("unknown"):
            print(_nothing(document))
        return
    Console().print(rich_table(found[:SHOWN]))
    hidden = len(found) - SHOWN
    print(
        f"{total:,} rows" + (f", {hidden:,} of them not shown: --csv FILE or --sql FILE has them" if hidden > 0 else "")
    )
    print(
        "What is only in the retired database was never replicated, or has been deleted since: nobody but you can say."
    )
    print("Nothing is merged by itself. What --sql writes is for a person to review, and changes nothing as it is.")


def _nothing(document: Mapping[str, Any]) -> str:
    """That nothing was lost, as far as that was looked at."""
    old = _line(document["retired"]["instance"])
    if document.get("undecided") or left_out(document):
        return f"beside that nothing was lost: each row of {old} that was compared is in the active database"
    return f"nothing was lost: each row of {old} is in the active database"


def _beside(document: Mapping[str, Any]) -> Iterator[str]:
    """What the rows alone do not say."""
    if document.get("unknown"):
        yield f"NOT KNOWN what was lost: {_line(document['unknown'])}"
    if document["truncated"]:
        yield "NOT ALL: there are more rows than the report holds"
    undecided = document.get("undecided") or []
    if undecided:
        yield f"UNDECIDED: {len(undecided):,} questions; the report names them (--json)"
    without = left_out(document)
    if without:
        yield f"{without.upper()[:12]}{without[12:]}; the report names all (--json)"
