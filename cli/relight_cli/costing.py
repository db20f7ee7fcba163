"""A cost estimate as the command line conducts it: reckoned, shown, and turned into an exit code."""

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import groupby

from rich.console import Console
from rich.table import Table

from relight_cli.bill import (
    MOST_A_FAILOVER,
    MOST_A_MONTH,
    MOST_ALTOGETHER,
    RULE,
    Estimate,
    Line,
    as_document,
    estimate,
    total,
)
from relight_cli.exit_code import Exit
from relight_cli.prices import Price, load
from relight_cli.samconfig import Environment
from relight_cli.workings import ASSUMPTIONS


def conduct(environment: Environment, *, as_json: bool) -> int:
    """Reckon and show: whether both limits are kept."""
    found = estimate(environment, load())
    console = Console(soft_wrap=True)
    if as_json:
        console.out(json.dumps(as_document(found), indent=2), highlight=False)
    else:
        show(found, console)
    return Exit.DONE if found.within else Exit.OTHERWISE


def show(found: Estimate, console: Console) -> None:
    """Print the estimate for people."""
    console.print(f"Environment {found.environment}, USD, list prices without tax and free tiers, 730 hours a month.\n")
    console.print(_table("The orchestrator, a month, both Regions together", found.orchestrator))
    console.print(f"At most {MOST_A_MONTH} USD are allowed.\n")
    console.print(_table("What it brings along, a month: logs, keys, messages, evidence", found.beside))
    console.print(f"The orchestrator altogether: {found.altogether:,.2f} USD; at most {MOST_ALTOGETHER} are allowed.\n")
    console.print(_table("One failover", found.failover))
    console.print(f"At most {MOST_A_FAILOVER} USD are allowed; instances and database that it starts are not in it.\n")
    for kind, lines in found.drills.items():
        console.print(_table(f"One drill of the kind {kind}", lines))
    if found.drills:
        times = ", ".join(f"{number:.1f} {kind}" for kind, number in found.drills_a_month.items())
        console.print(f"Scheduled in a month: {times or 'none'}; {found.practice:,.2f} USD, without a limit.\n")
    console.print(_table("The pilot light, a month", found.pilot_light))
    managed = found.managed
    console.print(
        f"\nFor comparison: {managed.what}, {managed.usd:f} USD a plan and month (as of {managed.as_of}); it builds "
        "and keeps no pilot light.\n"
    )
    console.print(RULE)
    console.print("\nAssumed, because no template says it:")
    for name, assumption in ASSUMPTIONS.items():
        console.print(f"  {name} = {assumption.value} {assumption.unit}: {assumption.sentence}")
    console.print(
        f"\nPrices: relight_cli/prices.toml, {found.prices.looked_up}; --json shows the date and source of each. "
        "Those with a * are from general knowledge and were not looked up."
    )


def _table(title: str, lines: Iterable[Line]) -> Table:
    """A bill by what is paid for, dearest first."""
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    for heading in ("what", "Region", "quantity", "unit", "price", "USD"):
        table.add_column(heading, justify="left" if heading in {"what", "Region", "unit"} else "right")
    for price, quantity, usd in _by_price(lines):
        mark = "" if price.checked else " *"
        table.add_row(price.what, price.region, f"{quantity:,.2f}", price.unit, f"{price.usd:f}{mark}", f"{usd:,.4f}")
    table.add_section()
    table.add_row("together", "", "", "", "", f"{total(lines):,.2f}")
    return table


def _by_price(lines: Iterable[Line]) -> Iterator[tuple[Price, Decimal, Decimal]]:
    def key(line: Line) -> tuple[str, str]:
        return line.price.key, line.price.region

    groups = [list(group) for _, group in groupby(sorted(lines, key=key), key=key)]
    for group in sorted(groups, key=total, reverse=True):
        yield group[0].price, sum((line.quantity for line in group), Decimal(0)), total(group)
