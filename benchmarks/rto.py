"""RTO against its floor over several rehearsals: python benchmarks/rto.py [N] [options of relight rehearse].

Prints a table in Markdown and the medians; exit code 1 where a rehearsal did not end as it should.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def rehearse(options: list[str], out: Path) -> dict[str, Any]:
    """One rehearsal's result document; SystemExit, with all that it said, where it did not end as it should."""
    command = [sys.executable, "-m", "relight_cli.main", "rehearse", "--json", str(out), *options]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{done.stdout}\n{done.stderr}\na rehearsal ended with exit code {done.returncode}")
    return dict(json.loads(out.read_text()))


def main() -> int:
    """Run them one after the other."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdecimal() else 5
    options = sys.argv[2:] if len(sys.argv) > 1 and sys.argv[1].isdecimal() else sys.argv[1:]
    print("| run | RTO | floor | RTO - floor | RTO / floor | own record | missing | peak memory | whole |")
    print("|---|---|---|---|---|---|---|---|---|")
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1, count + 1):
            d = rehearse(options, Path(folder) / "out.json")
            found.append(d)
            rto, floor = d["rto_seconds"], d["rto_floor_seconds"]
            print(
                f"| {number} | {rto:.2f} s | {floor:.1f} s | {rto - floor:+.2f} s | {rto / floor:.2f} "
                f"| {d['record_rto_seconds']:.2f} s | {len(d['missing_writes'])} of {d['acknowledged_writes']} "
                f"| {d['peak_memory_mib']:.0f} MiB | {d['ended'] - d['started']:.0f} s |",
                flush=True,
            )
    over = statistics.median(d["rto_seconds"] - d["rto_floor_seconds"] for d in found)
    ratio = statistics.median(d["rto_seconds"] / d["rto_floor_seconds"] for d in found)
    machine = found[0]["machine"]
    print(f"\nMedian of {count}: RTO - floor {over:+.2f} s, RTO / floor {ratio:.2f}.")
    print(
        f"Timings: {found[0]['timings']}. {machine['cores']} cores, {machine['platform']}, Python {machine['python']}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
