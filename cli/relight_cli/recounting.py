"""All runs of an application, from the evidence of both Regions: as a table, and as the page of their trend."""

import heapq
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relight.moment import told
from relight.telling import one_line
from rich.console import Console
from rich.table import Table
from rich.text import Text

from relight_cli.aws import Aws
from relight_cli.complaint import complain
from relight_cli.deployed import Deployed
from relight_cli.evidence import Shelf, shelves
from relight_cli.exit_code import Exit, Refused
from relight_cli.standby import SILENT

_AT_ONCE = 8
_LONGEST = 120
_LATEST = 1e11
_WIDEST = 10_000
"""Columns, in which every table fits."""
_HEADINGS = ("when", "region", "run", "kind", "status", "RTO", "RPO", "by")


@dataclass(frozen=True)
class Past:
    """A run that is over. Times are epoch seconds, durations seconds; what was not measured is None."""

    run: str
    region: str
    at: float
    kind: str
    status: str
    rto: float | None
    rpo: float | None
    objectives: Mapping[str, Any]
    by: str
    document: Mapping[str, Any]

    def as_document(self) -> dict[str, Any]:
        """As JSON has it."""
        names = ("run", "region", "at", "kind", "status", "by")
        measured = {"rto_seconds": self.rto, "rpo_seconds": self.rpo, "objectives": dict(self.objectives)}
        return {name: getattr(self, name) for name in names} | measured


def past(region: str, run: str, document: Mapping[str, Any], written: float) -> Past:
    """A run as its document has it, of whichever version; `written` is when the document was. Pure."""
    own = _part(document, "run")
    ended = _number(own.get("ended"))
    rpo = document.get("rpo_seconds", document.get("estimated_loss_seconds"))
    return Past(
        run=run,
        region=region,
        at=ended if ended is not None and 0 <= ended < _LATEST else written,
        kind=_kind(document),
        status=str(document.get("status") or "unknown"),
        rto=_number(document.get("rto_seconds")),
        rpo=_number(rpo),
        objectives=_part(document, "objectives"),
        by=_by(document),
        document=document,
    )


def _kind(document: Mapping[str, Any]) -> str:
    """`drill (restore)`, `failback`, or `failover (planned)`."""
    kind = str(document.get("kind") or "failover")
    more = _part(document, "drill").get("kind") if kind == "drill" else _part(document, "run").get("mode")
    return f"{kind} ({more})" if more and kind != "failback" else kind


def _by(document: Mapping[str, Any]) -> str:
    """Who let it begin: the person who approved, else whoever started it, as far as it is known."""
    who, answer = _part(document, "who"), _part(document, "answer")
    approved = who.get("approved_by") or (answer.get("by") if answer.get("answer") == "approved" else None)
    return str(approved or who.get("trigger") or "")


def _part(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _number(given: object) -> float | None:
    if not isinstance(given, int | float) or isinstance(given, bool) or not math.isfinite(given):
        return None
    return float(given)


@dataclass(frozen=True)
class Found:
    """The runs, newest first; how many there are altogether; and what could not be read: a sentence each."""

    runs: list[Past]
    altogether: int
    troubles: list[str]


def find(deployed: Deployed, newest: int, aws: Aws) -> Found:
    """The newest runs of the Regions that answer. Refused where none does."""
    listed: list[tuple[float, str, Shelf]] = []
    silent: dict[str, Refused] = {}
    for shelf in shelves(deployed, aws):
        try:
            listed += [(at, run, shelf) for at, run in shelf.runs()]
        except Refused as refused:
            if refused.code not in SILENT:
                raise
            silent[shelf.region] = refused
    if len(silent) == len(deployed.regions):
        raise next(iter(silent.values()))
    chosen = heapq.nlargest(newest, listed, key=lambda one: one[:2])
    for shelf in {shelf for _, _, shelf in chosen}:
        aws.client("s3", shelf.region)  # made here: a session makes its clients one at a time
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        read = list(pool.map(_read, chosen))
    runs = sorted((one for one in read if isinstance(one, Past)), key=lambda one: one.at, reverse=True)
    troubles = [f"what ran in {region} is not known; {refused.sentence}" for region, refused in silent.items()]
    return Found(runs, len(listed), [*troubles, *(one for one in read if isinstance(one, str))])


def _read(listed: tuple[float, str, Shelf]) -> Past | str:
    """The run, or why it cannot be told."""
    at, run, shelf = listed
    try:
        found = json.loads(shelf.read(run, "run.json") or b"")
    except (ValueError, RecursionError):
        found = None
    except Refused as refused:
        return f"run {run} in {shelf.region} cannot be read; {refused.sentence}"
    if not isinstance(found, dict):
        return f"the document of run {run} in {shelf.region} is damaged, {shelf.where(run, 'run.json')}"
    return past(shelf.region, run, found, at)


def show(runs: Iterable[Past], console: Console) -> None:
    """As a table where it fits into the width, else in blocks: an id that was folded could not be copied."""
    rows = [_cells(one) for one in runs]
    table = _table(rows)
    if console.measure(table, options=console.options.update_width(_WIDEST)).maximum <= console.width:
        console.print(table)
        return
    for line in _blocks(rows):
        console.print(Text(line), soft_wrap=True)


def _cells(one: Past) -> dict[str, str]:
    """By heading, each on one line."""
    rto = _measured(one.rto, one.objectives.get("rto_seconds"))
    rpo = _measured(one.rpo, one.objectives.get("rpo_seconds"))
    cells = (told(one.at), one.region, one.run, one.kind, one.status, rto, rpo, one.by)
    return {heading: one_line(cell, _LONGEST) for heading, cell in zip(_HEADINGS, cells, strict=True)}


def _table(rows: Iterable[Mapping[str, str]]) -> Table:
    shown = Table(show_edge=False, pad_edge=False)
    for heading in _HEADINGS:
        shown.add_column(heading, no_wrap=True, justify="right" if heading in {"RTO", "RPO"} else "left")
    for row in rows:
        shown.add_row(*(Text(row[heading]) for heading in _HEADINGS))
    return shown


def _blocks(rows: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """Two lines for each run, of which the second is its id alone. Pure."""
    for row in rows:
        said = {heading: f"{heading} {row[heading]}" if heading in {"RTO", "RPO"} else row[heading] for heading in row}
        yield "  ".join(said[heading] for heading in _HEADINGS if heading != "run" and row[heading])
        yield f"  {row['run']}"


def _measured(seconds: float | None, objective: object) -> str:
    """`95 s`, or `95 s > 60 s` where the objective was missed; nothing for what was not measured."""
    if seconds is None:
        return ""
    limit = _number(objective)
    return f"{seconds:.0f} s" if limit is None or seconds <= limit else f"{seconds:.0f} s > {limit:.0f} s"


def conduct(deployed: Deployed, newest: int, page: Path | None, *, as_json: bool) -> int:
    """Show them, and write the page: the exit code."""
    found = find(deployed, newest, Aws())
    if page is not None:
        from relight.trend import render  # noqa: PLC0415 - templates are heavy

        _write(page, render([one.document for one in found.runs]))
    if as_json:
        print(json.dumps([one.as_document() for one in found.runs], indent=2))
    elif not found.runs:
        print("there has been no run yet" if found.altogether == 0 else "no run can be told")
    else:
        show(found.runs, Console())
        hidden = found.altogether - newest
        if hidden > 0:
            print(f"{hidden} older ones are not shown: --newest N")
    for trouble in found.troubles:
        complain(trouble)
    if page is not None and not as_json:
        print(f"written: {page}")
    return Exit.DONE


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        what = f"the file cannot be written ({error.strerror})"
        raise Refused(what, where=str(file), do="name another one", code=Exit.BAD_INPUT) from error
