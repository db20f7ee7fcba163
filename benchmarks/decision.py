"""How long a decision takes, over the whole space of facts: python benchmarks/decision.py [N].

One cell of every kind that the rules and laws of tests/decision tell apart, each decided N times (5 unless told), in
seconds of this thread's own work. Prints a table in Markdown, by finding and for all, and how often it fits in 1 s.
"""

import platform
import statistics
import sys
from collections import defaultdict
from time import thread_time

from relight.rules import decide

from tests.decision import judge
from tests.decision.plane import case_of
from tests.decision.space import SIZE

BUDGET_SECONDS = 1.0


def row(name: str, seconds: list[float]) -> str:
    """One line of the table."""
    ordered = sorted(seconds)
    figures = (statistics.median(ordered), ordered[int(len(ordered) * 0.99)], ordered[-1])
    return f"| {name} | {len(ordered)} | " + " | ".join(f"{figure * 1e6:.0f} µs" for figure in figures) + " |"


def main() -> int:
    """Decide, and say how long it took; exit code 1 where one decision took longer than it may."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    cases = [case_of(group.cell(hit)) for group in judge.groups() for _, hit in group.hits()]
    taken: dict[str, list[float]] = defaultdict(list)
    for case in cases * times:
        began = thread_time()
        verdict = decide(case.facts, case.policy)
        taken[verdict.finding.value].append(thread_time() - began)
    every = [seconds for some in taken.values() for seconds in some]
    print("| finding | decisions | median | 99 % below | worst |")
    print("|---|---|---|---|---|")
    for finding in sorted(taken, key=lambda name: -statistics.median(taken[name])):
        print(row(finding, taken[finding]))
    print(row("all", every))
    print(
        f"\n{len(cases):,} kinds of cells, which stand for {SIZE:,}. 1 s is "
        f"{BUDGET_SECONDS / statistics.median(every):,.0f} times the median decision and "
        f"{BUDGET_SECONDS / max(every):,.0f} times the slowest. "
        f"{platform.platform()}, Python {platform.python_version()}."
    )
    return 0 if max(every) < BUDGET_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
