"""The table of the decision for people: on a terminal, as plain text, as JSON, and as docs/verdict.md."""

import json
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from relight.decision import Action, Finding
from relight.rules import RULES
from rich.console import Console
from rich.table import Table

from relight_cli.exit_code import Exit, Refused

_HEADINGS = ("#", "finding", "action", "when")
_FIRST = "The first row that matches decides."
ACTIONS = {
    Action.PROCEED: "the run goes on by itself",
    Action.ASK: "the run asks a person; see [deciding.md](deciding.md)",
    Action.WAIT: "the run looks again soon; what it waits for has a bound",
    Action.STAND_DOWN: "the run undoes what it has done, and ends; another one may come",
    Action.REFUSE: "the same, and what stands in the way does not go away by itself",
}


@dataclass(frozen=True)
class Row:
    """One rule as people read it; rows are numbered from 1."""

    number: int
    finding: Finding
    action: Action
    condition: str
    means: str


def rows() -> list[Row]:
    """The decision, in its order."""
    return [
        Row(number, rule.finding, rule.action, rule.condition, rule.means) for number, rule in enumerate(RULES, start=1)
    ]


def of(finding: str, table: Iterable[Row]) -> list[Row]:
    """The rows with that finding. Refused where there is no such finding."""
    wanted = finding.strip().lower().replace("-", "_")
    found = [row for row in table if row.finding.value == wanted]
    if not found:
        names = " ".join(one.value for one in Finding)
        raise Refused(
            f"there is no finding {finding!r}", where="in --finding", do=f"one of: {names}", code=Exit.BAD_INPUT
        )
    return found


def plain(table: list[Row]) -> str:
    """Aligned columns, a line each, for pipes."""
    texts = [_HEADINGS, *((str(row.number), row.finding.value, row.action.value, row.condition) for row in table)]
    widths = [max(len(line[column]) for line in texts) for column in range(3)]
    aligned = (
        "  ".join([*(text.ljust(width) for text, width in zip(line, widths, strict=False)), line[3]]) for line in texts
    )
    return "\n".join(aligned)


def rich_table(table: list[Row]) -> Table:
    """For a terminal, with what each row means."""
    shown = Table(show_edge=False, pad_edge=False, show_lines=True)
    for heading in (*_HEADINGS, "what it means"):
        shown.add_column(heading, justify="right" if heading == "#" else "left", no_wrap=heading in _HEADINGS[:3])
    for row in table:
        shown.add_row(str(row.number), row.finding.value, row.action.value, row.condition, row.means)
    return shown


def in_full(row: Row, table: list[Row]) -> str:
    """One row, and which rows come before it, because none of them may match."""
    before = ", ".join(one.finding.value for one in table if one.number < row.number)
    order = f"Only if none of these matches: {before}." if before else "Nothing comes before it."
    return "\n".join(
        [
            f"{row.finding.value} ({row.number} of {len(table)})",
            *_paragraph("action", f"{row.action.value}: {ACTIONS[row.action].partition(';')[0]}"),
            *_paragraph("when", row.condition),
            *_paragraph("means", row.means),
            *_paragraph("order", order),
        ]
    )


def _paragraph(name: str, text: str) -> Iterator[str]:
    yield from textwrap.wrap(
        text, 100, initial_indent=f"  {name:<8}", subsequent_indent=" " * 10, break_on_hyphens=False
    )


def as_document(table: Iterable[Row]) -> list[dict[str, object]]:
    """The rows as JSON has them."""
    return [
        {
            "number": row.number,
            "finding": row.finding.value,
            "action": row.action.value,
            "condition": row.condition,
            "means": row.means,
        }
        for row in table
    ]


def markdown(table: Iterable[Row]) -> str:
    """docs/verdict.md as a whole."""
    lines = [
        "<!-- Made from the rules by `relight explain --markdown`. Do not edit. -->",
        "",
        "# The verdict",
        "",
        f"{_FIRST} What forbids comes before what delays, what delays before what asks, what asks before what goes on.",
        "A view that is silent or stale is UNKNOWN, and UNKNOWN is neither DOWN nor UP. One row in full:",
        "`relight explain --finding NAME`.",
        "",
        "| action | what the run does |",
        "|---|---|",
        *(f"| {action.value} | {ACTIONS[action]} |" for action in Action),
        "",
        "| # | finding | action | when | what it means |",
        "|---|---|---|---|---|",
        *map(_line, table),
        "",
    ]
    return "\n".join(lines)


def _line(row: Row) -> str:
    cells = str(row.number), f"`{row.finding.value}`", row.action.value, row.condition, row.means
    return f"| {' | '.join(cell.replace('|', '\\|') for cell in cells)} |"


def conduct(finding: str | None, *, as_json: bool, as_markdown: bool) -> int:
    """Print it: the exit code."""
    table = rows()
    if as_markdown and (as_json or finding is not None):
        raise Refused(
            "--markdown is the whole page", where="in the command line", do="leave the other out", code=Exit.BAD_INPUT
        )
    wanted = table if finding is None else of(finding, table)
    if as_markdown:
        print(markdown(table), end="")
    elif as_json:
        print(json.dumps(as_document(wanted), indent=2))
    elif finding is not None:
        print("\n".join(in_full(row, table) for row in wanted))
    else:
        _show(table)
    return Exit.DONE


def _show(table: list[Row]) -> None:
    console = Console()
    if console.is_terminal:
        console.print(rich_table(table))
        console.print(f"\n{_FIRST} One in full: relight explain --finding NAME", highlight=False)
    else:
        print(plain(table))
