"""Every fault once, the ways home and the drills, one rehearsal after the other, each in a process of its own, and a
table of how they ended.

    python -m lab.rehearsals [--only app-lost,dr-isolated] [--timings lab] [--out docs/rehearsals.md] [--results FOLDER]

What an earlier call has left in FOLDER has its row too, so that the whole can be taken in several sittings. Exit code 0
where each ended as it should, 1 where one did not, 2 for bad input.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.options import DrillKind, Fault, Profile

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "rehearsals.md"
SWITCHOVERS, DRILLS = "switchovers", "drills"
CASES: Mapping[str, tuple[str, ...]] = {fault.value: ("--fault", fault.value) for fault in Fault} | {
    "revived-primary-leased": ("--fault", Fault.REVIVED_PRIMARY.value, "--lease"),
    "silent-stopped": ("--lost", "black-holed", "--kill-orchestrator-at", "promote"),
    "circle": ("--circle",),
    "circle-stopped": ("--circle", "--kill-orchestrator-at", "retire,reprotect,compare,objects,switchover,light"),
    SWITCHOVERS: ("--fault", Fault.NONE.value, "--switchovers", "20", "--clients", "24"),
    DRILLS: ("--drill", f"{DrillKind.PROMOTE},{DrillKind.RESTORE}"),
    "lost-during-drill": ("--during-drill", DrillKind.RESTORE.value),
}
"""The options of each rehearsal, by the name that --only takes."""

_COLUMNS = (
    "rehearsal",
    "should end",
    "ended",
    "finding",
    "RTO",
    "floor",
    "lost writes",
    "RPO",
    "on both sides",
    "whole",
)


@dataclass(frozen=True)
class Rehearsed:
    """What one rehearsal came to."""

    name: str
    code: int
    document: Mapping[str, Any] = field(default_factory=dict)
    """Its result document; empty where it wrote none."""
    said: str = ""

    @property
    def problems(self) -> tuple[str, ...]:
        """All that was not as it should be."""
        if not self.document:
            lines = [line for line in self.said.splitlines() if line.strip()]
            return (f"exit code {self.code}: {lines[-1] if lines else 'it said nothing'}",)
        return tuple(self.document["problems"])


def chosen(only: str | None) -> tuple[str, ...]:
    """The names of the rehearsals that are asked for; ValueError for one that there is not."""
    if only is None:
        return tuple(CASES)
    names = tuple(dict.fromkeys(name.strip() for name in only.split(",") if name.strip()))
    unknown = [name for name in names if name not in CASES]
    if unknown or not names:
        raise ValueError(f"unknown {' '.join(unknown) or 'nothing'}: choose from {' '.join(CASES)}")
    return names


def rehearse(name: str, more: Sequence[str], folder: Path) -> Rehearsed:
    """Rehearse once; the result document goes into the folder."""
    out = folder / f"{name}.json"
    out.unlink(missing_ok=True)
    command = [sys.executable, "-m", "relight_cli.main", "rehearse", *CASES[name], *more, "--json", str(out)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    document = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    return Rehearsed(name, done.returncode, document, done.stdout + done.stderr)


def kept(folder: Path, names: Sequence[str]) -> dict[str, Rehearsed]:
    """What the folder holds of other rehearsals than these."""
    found: dict[str, Rehearsed] = {}
    for name in CASES:
        path = folder / f"{name}.json"
        if name not in names and path.exists():
            document = json.loads(path.read_text(encoding="utf-8"))
            found[name] = Rehearsed(name, int(bool(document["problems"])), document)
    return found


def table(rehearsed: Iterable[Rehearsed]) -> Iterator[str]:
    """The table in Markdown, line by line."""
    yield f"| {' | '.join(_COLUMNS)} |"
    yield "|" + "---|" * len(_COLUMNS)
    for one in rehearsed:
        yield f"| {' | '.join(_row(one))} |"


def _row(one: Rehearsed) -> tuple[str, ...]:
    name, d = f"`{one.name}`", one.document
    if not d:
        return (name, "", "no result", *[""] * (len(_COLUMNS) - 3))
    failed_over = d["rto_seconds"] is not None and d["promotions"] > 0
    missing = d["missing_writes"]
    return (
        name,
        d["expected"],
        d["status"] + (" (!)" if one.problems else ""),
        d["finding"] or "",
        _seconds(d["rto_seconds"], 2) if failed_over else "",
        _seconds(d["rto_floor_seconds"], 1) if failed_over else "",
        "unknown" if missing is None else f"{len(missing)} of {d['acknowledged_writes']}",
        _seconds(d["rpo_seconds"], 2),
        _both(d),
        f"{d['ended'] - d['started']:.0f} s",
    )


def _both(d: Mapping[str, Any]) -> str:
    count, wrote = d["writes_on_both_sides"], d["old_side_wrote_seconds"]
    said = "unknown" if count is None else str(count)
    return f"{said}, the last {wrote:.1f} s after its return" if count and wrote else said


def _seconds(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f} s"


def page(rehearsed: Sequence[Rehearsed], now: datetime) -> str:
    """The page that is kept: the table, what was wrong, when it was taken and on what."""
    document = next((one.document for one in rehearsed if one.document), {})
    first = min((one.document["started"] for one in rehearsed if one.document), default=now.timestamp())
    days = dict.fromkeys(f"{day:%Y-%m-%d}" for day in (datetime.fromtimestamp(first, UTC), now))
    lines = [
        "# How each fault ends",
        "",
        "Written by `make rehearse-all`, which rehearses every fault once, each way home and the drills, and fails",
        "where one ends otherwise than it should. **Not on AWS**: all of it in the lab, on one machine",
        "([what that imitates](limits.md)). What the faults and the columns mean is in [the rehearsal](rehearsal.md).",
        "",
        f"{' to '.join(days)}, timings `{document.get('timings', '')}`. {_machine(document.get('machine', {}))}",
        "",
        *table(rehearsed),
        "",
        *_wrong(rehearsed),
        *_homes(rehearsed),
        *_switchovers(rehearsed),
        *_drills(rehearsed),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _wrong(rehearsed: Iterable[Rehearsed]) -> Iterator[str]:
    found = [f"- `{one.name}`: {problem}" for one in rehearsed for problem in one.problems]
    if found:
        yield from ("What was not as it should be:", "", *found)
    else:
        yield "Each ended as it should."


def _homes(rehearsed: Iterable[Rehearsed]) -> Iterator[str]:
    """What the ways home came to that followed a loss."""
    found = [one for one in rehearsed if one.document.get("lost_in_failover") is not None]
    if not found:
        return
    yield from ("", "## The way home", "")
    yield "Writes that the failover lost, those that the reconciliation report names, those that are missing in the"
    yield "end, and how long nobody took writes in the switchover home, with a promotion of seven seconds."
    yield from (
        "",
        "| rehearsal | lost in the failover | named by the report | missing | read-only | clients' outage | drift |",
    )
    yield "|---|---|---|---|---|---|---|"
    for one in found:
        d = one.document
        counts = (_counted(d[name]) for name in ("lost_in_failover", "reconciled", "missing_writes"))
        seconds = (_seconds(d[name], 2) for name in ("read_only_seconds", "home_outage_seconds"))
        drift = "" if d["circle_drift"] is None else str(len(d["circle_drift"]))
        yield f"| `{one.name}` | {' | '.join([*counts, *seconds, drift])} |"


def _counted(orders: Sequence[str] | None) -> str:
    return "unknown" if orders is None else str(len(orders))


def _switchovers(rehearsed: Iterable[Rehearsed]) -> Iterator[str]:
    """Each switchover of a series without a loss."""
    document = next((one.document for one in rehearsed if one.document.get("switchovers_asked")), None)
    if document is not None:
        yield from ("", "## Switchovers without a loss", "")
        yield "Planned by a person, to the DR Region and home again in turn, in one lab; a promotion takes one second."
        yield ""
        yield from switchover_table(document)


def switchover_table(document: Mapping[str, Any]) -> Iterator[str]:
    """The switchovers of a result document in Markdown, line by line."""
    yield "| switchover | active then | read-only | clients' outage | t2 to t4 | writes | per second | missing |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in document["switchovers"]:
        figures = [_seconds(row[f"{name}_seconds"], 2) for name in ("read_only", "outage", "promotion")]
        writes = row["acknowledged_writes"]
        rate = f"{writes / row['seconds']:.0f}"
        cells = [str(row["number"]), row["active"], *figures, str(writes), rate, _counted(row["missing_writes"])]
        yield f"| {' | '.join(cells)} |"


def _drills(rehearsed: Iterable[Rehearsed]) -> Iterator[str]:
    """What drills took, and what they left alone."""
    document = next((one.document for one in rehearsed if one.document.get("drills_asked")), None)
    if document is None:
        return
    yield from ("", "## Drills", "")
    yield f"Both in one lab, while {document['clients']} clients order. Readiness, as the standby's own function says"
    yield f"it, was {_readied(document['readiness'])} before them and {_readied(document['readiness_after'])}"
    yield f"after them. Attempts of clients that failed meanwhile: {document['client_failures']}. Left over of the"
    yield f"drills: {_counted(document['left_over'])}. The standing replica streamed {_streamed(document)}."
    yield from ("", "| drill | ended | promotion | restore | instances | whole |", "|---|---|---|---|---|---|")
    for row in document["drills"]:
        figures = [_seconds(row[f"{name}_seconds"], 2) for name in ("promote", "restore")]
        cells = [row["kind"], row["status"], *figures, str(row["instances"]), f"{row['ended'] - row['started']:.0f} s"]
        yield f"| {' | '.join(cells)} |"


def _readied(readied: Mapping[str, Any] | None) -> str:
    if readied is None:
        return "unknown"
    return f"{readied['score']} of 100 ({readied['calls']} API calls, {readied['seconds']:.1f} s)"


def _streamed(document: Mapping[str, Any]) -> str:
    return "all the while" if document["standby_streaming_always"] else "not always, as far as anybody looked"


def _machine(machine: Mapping[str, Any]) -> str:
    if not machine:
        return "No rehearsal came to a result."
    memory = machine["memory_mib"]
    parts = [
        machine["cpu"] or "unknown processor",
        f"{machine['cores']} cores",
        "unknown memory" if memory is None else f"{memory / 1024:.1f} GiB",
        machine["platform"],
        f"Python {machine['python']}",
    ]
    return ", ".join(parts) + "."


def main(words: Sequence[str] | None = None) -> int:
    """Run them, print the table, and write the page where every fault was rehearsed, or where --out says so."""
    parser = argparse.ArgumentParser(prog="python -m lab.rehearsals", description="Rehearse every fault once.")
    parser.add_argument("--only", metavar="NAMES", help="some of them, separated by commas")
    parser.add_argument("--timings", choices=[profile.value for profile in Profile], default=Profile.LAB.value)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where the page goes; else docs/, unless --only is given"
    )
    parser.add_argument(
        "--results", type=Path, metavar="FOLDER", help="keep the result documents there; what it holds has its row"
    )
    given = parser.parse_args(words)
    try:
        names = chosen(given.only)
    except ValueError as error:
        parser.error(f"--only: {error}")
    out = given.out or (PAGE if given.only is None else None)
    done: list[Rehearsed] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.results or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        before = kept(folder, names)
        for number, name in enumerate(names, 1):
            one = rehearse(name, ["--timings", given.timings], folder)
            done.append(one)
            status = one.document.get("status", "no result")
            print(f"{number} of {len(names)}  {name}: {status}", *(f"\n    ! {p}" for p in one.problems), flush=True)
    every = before | {one.name: one for one in done}
    done = [every[name] for name in CASES if name in every]
    print("", *table(done), sep="\n")
    if out is not None:
        out.write_text(page(done, datetime.now(UTC)), encoding="utf-8")
        print(f"\nThe page is {out}")
    return 1 if any(one.code or one.problems for one in done) else 0


if __name__ == "__main__":
    sys.exit(main())
