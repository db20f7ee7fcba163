"""RTO of a Region that is lost in the middle of a drill, against one without: python benchmarks/drill_loss.py [N].

N pairs (3 without it) are rehearsed in turn, so that both kinds see the same machine. Prints a table in Markdown and
the ratio of the medians; exit code 1 where a drill has cost more than a tenth, or a rehearsal did not end as it should.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MOST = 1.10
KINDS = {"without": (), "in a drill": ("--during-drill", "restore")}


def rehearse(options: tuple[str, ...], out: Path) -> dict[str, Any]:
    """One rehearsal's result document; SystemExit, with all that it said, where it wrote none."""
    out.unlink(missing_ok=True)
    command = [sys.executable, "-m", "relight_cli.main", "rehearse", "--json", str(out), *options]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if not out.exists():
        raise SystemExit(f"{done.stdout}\n{done.stderr}\na rehearsal ended with exit code {done.returncode}")
    return dict(json.loads(out.read_text(encoding="utf-8")))


def main() -> int:
    """Pair by pair."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    print("| pair | lost | RTO | floor | detected | decided | promoted | missing | left over |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1, count + 1):
            for kind, options in KINDS.items():
                document = rehearse(options, Path(folder) / "out.json")
                found[kind].append(document)
                print(row(number, kind, document), flush=True)
    problems = [problem for each in found.values() for document in each for problem in document["problems"]]
    print(*(f"! {problem}" for problem in problems), sep="\n")
    machine = found["without"][0]["machine"]
    print(f"Timings: {found['without'][0]['timings']}. {machine['cores']} cores, Python {machine['python']}.")
    times = {kind: [one["rto_seconds"] for one in each if one["rto_seconds"]] for kind, each in found.items()}
    if not all(times.values()):
        print("There is no RTO to compare.")
        return 1
    without, within = (statistics.median(times[kind]) for kind in KINDS)
    print(f"Medians of {count}: {without:.2f} s without, {within:.2f} s in a drill; ratio {within / without:.3f}.")
    return 1 if problems or within / without > MOST else 0


def row(number: int, kind: str, document: dict[str, Any]) -> str:
    """One rehearsal; the phases in seconds after the loss."""
    lost, phases = document["lost_at"], document["phases"]
    after = ["" if phases[name] is None else f"{phases[name] - lost:.2f} s" for name in ("t1", "t2", "t4")]
    rto = "none" if document["rto_seconds"] is None else f"{document['rto_seconds']:.2f} s"
    left = "" if document["left_over"] is None else str(len(document["left_over"]))
    missing = f"{len(document['missing_writes'] or ())} of {document['acknowledged_writes']}"
    cells = [str(number), kind, rto, f"{document['rto_floor_seconds']:.1f} s", *after, missing, left]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
