"""How long the report of a long run takes, and how large it is: python benchmarks/report.py [N].

A run of 200 steps, each with a sentence and facts as long as they get, rendered N times (20 unless told), in seconds of
this thread's own work; the first time, with the template read and compiled, apart. Prints ratios to the budgets, 1 s
and 300 kB, and exits with 1 where one is exceeded.
"""

import platform
import statistics
import sys
from time import thread_time

STEPS = 200
BUDGET_SECONDS, BUDGET_BYTES = 1.0, 300_000


def document() -> dict[str, object]:
    """The run."""
    steps = [
        {
            "name": f"scale (serve) {number}",
            "started": 1.79e9 + number,
            "ended": 1.79e9 + number + 0.7,
            "sentence": f"shop-dr-{number}: 2 of 3 instances are healthy, 3 needed; launches fail: no <capacity>",
            "facts": {"wanted": 3, "present": 2, "healthy": 2, "groups": {"shop-dr": {"wanted": 3, "present": 2}}},
        }
        for number in range(STEPS)
    ]
    return {
        "schema": "relight/run/3",
        "kind": "failover",
        "application": "shop",
        "run": {"id": "run", "started": 1.79e9, "ended": 1.79e9 + STEPS},
        "phases": {f"t{number}": 1.79e9 + 5 * number for number in range(9)},
        "steps": steps,
    }


def main() -> int:
    """Render, and say how long it took."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    began = thread_time()
    from relight.report import render  # noqa: PLC0415 - its imports are part of the first time

    given = document()
    page = render(given)
    taken = [thread_time() - began]
    for _ in range(times):
        began = thread_time()
        render(given)
        taken.append(thread_time() - began)
    first, *later = taken
    size = len(page.encode())
    print(f"| {STEPS} steps | first, with imports | median of {times} | worst | size |")
    print("|---|---|---|---|---|")
    print(
        f"| budget ÷ taken | {BUDGET_SECONDS / first:.0f} | {BUDGET_SECONDS / statistics.median(later):.0f} | "
        f"{BUDGET_SECONDS / max(later):.0f} | {BUDGET_BYTES / size:.1f} |"
    )
    print(
        f"\n{first * 1e3:.0f} ms, {statistics.median(later) * 1e3:.0f} ms, {max(later) * 1e3:.0f} ms, {size:,} bytes. "
        f"{platform.platform()}, Python {platform.python_version()}."
    )
    return 0 if max(taken) < BUDGET_SECONDS and size < BUDGET_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
