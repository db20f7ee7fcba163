"""From the first bad sample to the verdict, without the hold-down: python benchmarks/detection.py [N] [options].

By the own record of rehearsals (`--timings aws` unless told otherwise), several at a time because they mostly wait.
Prints a table in Markdown, the median and the worst; exit code 1 where a rehearsal did not end as it should.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
AT_A_TIME = 3


def rehearse(options: list[str], out: Path) -> dict[str, Any]:
    """One rehearsal's result document; SystemExit, with all that it said, where there is none."""
    command = [sys.executable, "-m", "relight_cli.main", "rehearse", "--json", str(out), *options]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if not out.exists():
        raise SystemExit(f"{done.stdout}\n{done.stderr}\na rehearsal ended with exit code {done.returncode}")
    return dict(json.loads(out.read_text()))


def main() -> int:
    """Run them, and tell what came of it."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdecimal() else 6
    more = [word for word in sys.argv[1:] if not word.isdecimal()]
    options = more if "--timings" in more else [*more, "--timings", "aws"]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_A_TIME) as threads:
        outs = [Path(folder) / f"{number}.json" for number in range(count)]
        found = list(threads.map(lambda out: rehearse(options, out), outs))
    print("| run | detected after | decided after | without the hold-down |")
    print("|---|---|---|---|")
    left: list[float] = []
    for number, d in enumerate(found, start=1):
        t0, t1, t2 = (d["phases"][name] for name in ("t0", "t1", "t2"))
        left.append(t2 - t0 - d["rto_floor"]["hold_down"])
        print(f"| {number} | {t1 - t0:.1f} s | {t2 - t0:.1f} s | {left[-1]:.1f} s |")
    machine = found[0]["machine"]
    print(f"\nMedian of {count}: {statistics.median(left):.1f} s, worst {max(left):.1f} s.")
    print(
        f"Timings: {found[0]['timings']}. {machine['cores']} cores, {machine['platform']}, Python {machine['python']}."
    )
    return 0 if all(d["status"] == "SUCCEEDED" for d in found) else 1


if __name__ == "__main__":
    sys.exit(main())
