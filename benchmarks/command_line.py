"""How soon the command line answers: python benchmarks/command_line.py [N] [words of a status...].

N times (10 unless told) each: `relight --help`, and `relight --lab status` of a rehearsal that is kept, or `relight
status` with those words. Prints ratios to the budgets, 0.3 s and 2 s, with the seconds beside them, and exits with 1
where a median exceeds its own. Without a kept rehearsal and without words the status is left out, and said to be.
"""

import os
import platform
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

RELIGHT = Path(sysconfig.get_path("scripts")) / "relight"
HELP_SECONDS, STATUS_SECONDS = 0.3, 2.0
NONE_KEPT = 2


def seconds(words: list[str], times: int) -> list[float]:
    """How long each took, the first, with cold caches, left out; SystemExit with what it said where it failed."""
    taken: list[float] = []
    for _ in range(times + 1):
        began = time.perf_counter()
        done = subprocess.run([RELIGHT, *words], check=False, capture_output=True, text=True)
        taken.append(time.perf_counter() - began)
        if done.returncode:
            raise SystemExit(f"relight {' '.join(words)} ended with exit code {done.returncode}: {done.stderr}")
    return taken[1:]


def kept() -> bool:
    """Whether there is a rehearsal to ask."""
    return subprocess.run([RELIGHT, "--lab", "status"], check=False, capture_output=True).returncode != NONE_KEPT


def main() -> int:
    """Ask, and say how long it took."""
    given = sys.argv[1:]
    times = int(given.pop(0)) if given and given[0].isdecimal() else 10
    asked = [(["--help"], HELP_SECONDS)]
    if given or kept():
        asked.append((["status", *given] if given else ["--lab", "status"], STATUS_SECONDS))
    else:
        print('no rehearsal is kept (make rehearse ARGS="--keep"): status is left out\n')
    print(f"| command | budget ÷ median | budget ÷ worst | median of {times} | worst | budget |")
    print("|---|---|---|---|---|---|")
    within = True
    for words, budget in asked:
        taken = seconds(words, times)
        median, worst = statistics.median(taken), max(taken)
        within = within and median < budget
        ratios = f"{budget / median:.1f} | {budget / worst:.1f}"
        print(f"| relight {' '.join(words)} | {ratios} | {median:.2f} s | {worst:.2f} s | {budget} s |")
    print(f"\n{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}.")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
