"""The rehearsal in the terminal: one picture that is kept up to date, or, without a terminal, a line per change."""

import os
import threading
from collections.abc import Iterable, Mapping
from typing import Self

from rich.box import ROUNDED
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from lab.attempts import Tally
from lab.snapshot import RegionState, Snapshot, StepState, changes

_BARS = "▁▂▃▄▅▆▇█"
_REACH_STYLE = {"reachable": "green"}
_MOST_STEPS = 12


def is_plain(console: Console, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether lines are all that can be shown: no terminal, or one that cannot move its cursor.

    NO_COLOR does not make it plain; rich then leaves the colours out.
    """
    return not console.is_terminal or environment.get("TERM", "") in ("dumb", "unknown")


class View:
    """A context manager around the rehearsal. `update` and `say` may be called from any thread."""

    def __init__(self, console: Console, *, plain: bool | None = None) -> None:
        """`plain` overrules what the console looks like."""
        self._console = console
        self.plain = is_plain(console) if plain is None else plain
        self._lock = threading.RLock()
        self._last: Snapshot | None = None
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Begin; the picture comes with the first snapshot."""
        if not self.plain:
            # Snapshots come often enough: no thread of rich's own is needed to draw them.
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last picture standing, and the cursor as it was."""
        with self._lock:
            if self._live is not None:
                self._live.stop()
                self._live = None

    def update(self, snapshot: Snapshot) -> None:
        """Show the state of this moment."""
        with self._lock:
            before, self._last = self._last, snapshot
            if self._live is not None:
                self._live.update(picture(snapshot, self._console.width), refresh=True)
            elif self.plain:
                for line in changes(before, snapshot):
                    self._line(snapshot.stamp, line)

    def say(self, sentence: str) -> None:
        """A sentence that stays: above the picture, or as a line."""
        with self._lock:
            self._line(self._last.stamp if self._last is not None else "start", sentence)

    def _line(self, stamp: str, sentence: str) -> None:
        self._console.print(f"{stamp:>14}  {sentence}", soft_wrap=True, markup=False, highlight=False)


def picture(snapshot: Snapshot, width: int) -> RenderableType:
    """Both Regions side by side, the steps, and how the clients fare, for a terminal of `width` columns."""
    regions = Table.grid(expand=True)
    for _ in snapshot.regions:
        regions.add_column(ratio=1)
    regions.add_row(*(_region(state) for state in snapshot.regions))
    return Group(_headline(snapshot), regions, _steps(snapshot), _clients(snapshot, width))


def _headline(snapshot: Snapshot) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f" {snapshot.stamp} ", style="bold reverse" if snapshot.lost_at is not None else "bold")
    line.append(f" {snapshot.doing}  ")
    line.append(f"fault {snapshot.fault}, timings {snapshot.timings}", style="dim")
    return line


def _region(state: RegionState) -> Panel:
    table = Table.grid(padding=(0, 1))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="ellipsis", no_wrap=True)
    table.add_row("instances", _instances(state))
    table.add_row("database", Text(f"{state.database_role} {state.database_status}".strip(), style="bold"))
    table.add_row("lag", "-" if state.lag_seconds is None else f"{state.lag_seconds:.1f} s")
    table.add_row("switches", _switches(state.switches))
    title = Text.assemble(
        (state.side, "bold"), f" {state.region} ", (state.reach, _REACH_STYLE.get(state.reach, "bold red"))
    )
    return Panel(table, title=title, title_align="left", box=ROUNDED)


def _instances(state: RegionState) -> Text:
    text = Text(f"{state.healthy} healthy of {state.wanted} ", style="bold")
    for condition in state.instances.values():
        text.append("●" if condition == "healthy" else "○", style="green" if condition == "healthy" else "yellow")
    others = sorted({condition for condition in state.instances.values() if condition != "healthy"})
    return text.append(f" {', '.join(others)}", style="dim") if others else text


def _switches(switches: Mapping[str, int | None]) -> Text:
    text = Text()
    for name, value in switches.items():
        text.append(f"{name} ")
        text.append(f"{'?' if value is None else value}  ", style="bold yellow" if value else "bold")
    return text if switches else Text("-")


def _steps(snapshot: Snapshot) -> Panel:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for step in snapshot.steps[-_MOST_STEPS:]:
        table.add_row(*_step(step, snapshot.now))
    if not snapshot.steps:
        table.add_row(Text("no run has begun", style="dim"), "", "")
    return Panel(table, title=f"run {snapshot.run}".strip(), title_align="left", box=ROUNDED)


def _step(step: StepState, now: float) -> tuple[Text, str, Text]:
    if step.started is None:
        return Text(f"· {step.name}", style="dim"), "", Text(step.sentence, style="dim")
    elapsed = f"{(step.ended if step.ended is not None else now) - step.started:.1f} s"
    if step.ended is None:
        return Text(f"→ {step.name}", style="bold yellow"), elapsed, Text(step.sentence)
    return Text(f"✓ {step.name}", style="green"), elapsed, Text(step.sentence, style="dim")


def _clients(snapshot: Snapshot, width: int) -> Panel:
    last = snapshot.tallies[-1] if snapshot.tallies else Tally()
    numbers = Text.assemble(
        (f"{last.good}/s good", "green" if last.good else "dim"),
        "  ",
        (f"{last.bad}/s bad", "red" if last.bad else "dim"),
        f"  {snapshot.acknowledged} acknowledged  DNS answers {snapshot.dns or 'nothing'}",
    )
    numbers.no_wrap, numbers.overflow = True, "ellipsis"
    room = max(1, width - 4)
    return Panel(
        Group(sparkline(snapshot.tallies[-room:]), numbers),
        title="clients outside, good answers per second",
        title_align="left",
        box=ROUNDED,
    )


def sparkline(tallies: Iterable[Tally]) -> Text:
    """A bar per second: as high as its good answers, red where some were bad, `x` where none was good."""
    seconds = tuple(tallies)
    most = max((tally.good for tally in seconds), default=0)
    line = Text(no_wrap=True)
    for tally in seconds:
        if tally == Tally():
            line.append(" ")
        elif not tally.good:
            line.append("x", style="bold red")
        else:
            bar = _BARS[min(len(_BARS) - 1, (tally.good * len(_BARS) - 1) // max(1, most))]
            line.append(bar, style="red" if tally.bad else "green")
    return line
