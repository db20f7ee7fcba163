"""docs/readiness.md, made from the table: `python -m relight.readiness_manual > docs/readiness.md`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from relight.readiness import ROWS, Area, Level
from relight.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relight.readiness import Row

ABOUT = {
    Area.LEDGER: "The ledgers",
    Area.DATABASE: "The database",
    Area.CAPACITY: "Capacity",
    Area.TRAFFIC: "The way of the traffic",
    Area.STORAGE: "Secret, release, objects",
    Area.WATCH: "What watches, tells and calls",
    Area.ORCHESTRATOR: "Relight itself",
    Area.DRILL: "Practice",
}
HEAD = """\
<!-- Made from the table by `python -m relight.readiness_manual`. Do not edit. -->

# Readiness

Could the standby be failed over to, now? The function `readiness` of each Region asks it every half hour and on demand
(`relight readiness`), of everything that a failover to that Region would need. In the active Region it says only that
this is the active one, and which version of Relight runs there.

| level | what it means |
|---|---|
| PASS | It is as it should be. |
| WARN | A failover would work, perhaps later or with less; or it **could not be seen**, and the sentence says why. |
| FAIL | A failover would fail, be refused, or lose more than it may. `relight readiness` exits with 1. |

Unknown is not down, and not up: what nobody could say is a WARN, whatever it is. Only where AWS answers that a thing
does not exist, which a failover needs in this Region, is that a FAIL. While the primary does not answer, everything
that needs this Region alone is judged all the same; of the primary's capacity, release and backups what the ledger has
kept counts then, and what would have to be compared with the primary could not be seen.

What is only a matter of time is no WARN in a Region that is young: a drill need not have been run before DrillDays are
over, and what is written each minute need not be there for the first 15 minutes. The sentence says so.

**The score** (metric `Relight` `ReadinessScore`, dimension `service`): 100 where everything passes, 50 to 99 where
nothing fails, below 50 where something does; within these, by the share of checks that pass.

One look takes fewer than 60 API calls and less than 10 seconds. It changes nothing, reads no secret's value, and calls
IAM's simulation and Route 53's API, which a failover itself never does.
"""
HELD_UP = """\
## What holds up an automatic failover

The score does not, and no check does by itself. A readiness is up to half an hour old, and what it found is judged by a
run from facts of that moment, or is not worth waiting for. A failover is held up where proceeding would be worse than
waiting, and that list is short:

{list}

Everything else fails towards going on. Too small a quota, a missing image or an old release cost capacity or a
feature, and the alternative is no service at all; a promotion does not make any of them worse. Stale switches, missing
records or an expired certificate keep clients away, but the database that has been promoted meanwhile is what the
person on call needs first. A denied permission stops the run by itself, before the one-way door or at it. Two more ask
a person and do not refuse: a loss that is larger than MaxDataLossSeconds (`data_loss_too_large`), or unknown
(`data_loss_unknown`).
"""


def markdown() -> str:
    """docs/readiness.md as a whole."""
    return "\n".join([HEAD, *(line for area in Area for line in _area(area)), HELD_UP.format(list=_held_up())])


def _area(area: Area) -> Iterator[str]:
    yield f"## {ABOUT[area]}\n"
    yield f"| check | {' | '.join(Level)} | what to do |\n|---|---|---|---|---|"
    yield from (_line(row) for row in ROWS if row.area is area)
    yield ""


def _line(row: Row) -> str:
    warn = row.when_warn or "Only where it could not be seen."
    return f"| `{row.name}` | {row.when_pass} | {warn} | {row.when_fail or 'Never.'} | {row.todo} |"


def _held_up() -> str:
    conditions = {rule.finding: rule.condition for rule in RULES}
    return "\n".join(
        f"- `{row.name}`, which the decision calls `{finding}`. {conditions[finding]}"
        for row in ROWS
        for finding in row.held_up_by
    )


if __name__ == "__main__":
    sys.stdout.write(markdown())
