"""The reconciliation report of a run: shown by table and key, and exported. It is in the evidence of the Region that
ran it, and nothing here changes any database."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from relight.telling import one_line
from rich.console import Console
from rich.table import Table

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


@dataclass(frozen=True)
class Row:
    """A row that only the old database has, or has otherwise; values are as JSON has them."""

    table: str
    key: str
    kind: str
    retired: Any
    active: Any


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
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        what = f"the report of run {run} is damaged"
        raise Refused(what, where=f"s3://{bucket}/{key_of(run)}", do="look at it by hand", code=Exit.NO_REPORT)
    return document


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


def rows(document: Mapping[str, Any]) -> Iterator[Row]:
    """The rows of a report, in its order. Pure; what is no row is passed over."""
    tables = document.get("tables")
    named = tables.items() if isinstance(tables, dict) else ((None, each) for each in tables or [])
    for name, table in named:
        found = table.get("rows") if isinstance(table, dict) else table
        title = name or (table.get("table") if isinstance(table, dict) else None) or ""
        for row in found if isinstance(found, list) else []:
            if isinstance(row, dict):
                yield Row(
                    str(title), _text(row.get("key")), str(row.get("kind", "")), row.get("retired"), row.get("active")
                )


def _text(value: Any) -> str:
    """A value on one line: whatever is in a customer's row, it cannot steer a terminal."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{one_line(str(name), 40)}={_text(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return one_line(value if isinstance(value, str) else json.dumps(value), _LONGEST)


def rich_table(found: Iterable[Row]) -> Table:
    """For a terminal and for a pipe."""
    shown = Table(show_edge=False, pad_edge=False)
    for heading in ("table", "key", "what", "in the old database", "in the active one"):
        shown.add_column(heading, overflow="fold")
    for row in found:
        shown.add_row(one_line(row.table, _LONGEST), row.key, row.kind, _text(row.retired), _text(row.active))
    return shown


def as_csv(found: Iterable[Row]) -> Iterator[str]:
    """All rows, a line each, with a heading; values are JSON."""
    for line in (("table", "key", "kind", "retired", "active"), *map(_csv_row, found)):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(line)
        yield text.getvalue()


def _csv_row(row: Row) -> tuple[str, ...]:
    return row.table, row.key, row.kind, json.dumps(row.retired), json.dumps(row.active)


def _write(file: Path, lines: Iterable[str]) -> None:
    try:
        with file.open("w", encoding="utf-8") as out:
            out.writelines(lines)
    except OSError as error:
        what = f"the file cannot be written ({error.strerror})"
        raise Refused(what, where=str(file), do="name another one", code=Exit.BAD_INPUT) from error


def conduct(deployed: Deployed, run: str, export: Export, *, as_json: bool) -> int:
    """Show it, and write what is asked for: the exit code."""
    report = find(deployed, run, Aws())
    found = list(rows(report.document))
    if export.csv:
        _write(export.csv, as_csv(found))
    if export.sql:
        from relight.reconciliation import to_sql  # noqa: PLC0415 - only where it is asked for

        _write(export.sql, to_sql(report.document))
    if as_json:
        print(json.dumps(report.document, indent=2))
        return Exit.DONE
    _show(run, report, found)
    for file in (export.csv, export.sql):
        if file:
            print(f"written: {file}")
    return Exit.DONE


def _show(run: str, report: Report, found: list[Row]) -> None:
    print(f"run {run} in {report.region}: {report.where}")
    if not found:
        print("nothing was lost: each row of the old database is in the active one")
        return
    Console().print(rich_table(found[:SHOWN]))
    more = len(found) - SHOWN
    print(
        f"{len(found):,} rows" + (f", {more:,} of them not shown: --csv FILE or --sql FILE has all" if more > 0 else "")
    )
    print("Nothing is merged by itself. The statements of --sql are for a person to review, and to run where they fit.")
