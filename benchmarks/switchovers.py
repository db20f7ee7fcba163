"""Read-only time of planned switchovers, a promotion of a second each: python benchmarks/switchovers.py [N] [options].

N is even (20 without it), the options are those of relight rehearse. Prints a table in Markdown; exit code 1 where a
switchover was not as it should be: a write lost, or no writes taken for five seconds.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lab.rehearsals import CASES, SWITCHOVERS, switchover_table  # noqa: E402


def main() -> int:
    """One series in one lab."""
    words = sys.argv[1:]
    count = words.pop(0) if words and words[0].isdecimal() else "20"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        command = [sys.executable, "-m", "relight_cli.main", "rehearse", "--json", str(out), *CASES[SWITCHOVERS]]
        done = subprocess.run(
            [*command, "--switchovers", count, *words], cwd=ROOT, check=False, capture_output=True, text=True
        )
        if not out.exists():
            raise SystemExit(f"{done.stdout}\n{done.stderr}\nthe rehearsal ended with exit code {done.returncode}")
        document = json.loads(out.read_text(encoding="utf-8"))
    print(*switchover_table(document), sep="\n")
    seen = [row["read_only_seconds"] for row in document["switchovers"] if row["read_only_seconds"] is not None]
    if seen:
        print(f"\nRead-only: median {statistics.median(seen):.2f} s, longest {max(seen):.2f} s, of {len(seen)}.")
    machine = document["machine"]
    print(f"{machine['cores']} cores, {machine['platform']}, Python {machine['python']}.")
    print(*(f"! {problem}" for problem in document["problems"]), sep="\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
