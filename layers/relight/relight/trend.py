"""The trend over many runs, one page of HTML from their run.json documents alone. Pure, but for reading its template.

Runs are compared with each other and with their objectives; what was not measured is no point of a chart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from relight import page
from relight.moment import told
from relight.part import Part
from relight.report import ENDS, TITLES, problems
from relight.telling import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TEMPLATE = "trend.html.jinja"
MOST_RUNS = 500
WIDTH, HEIGHT = 960, 220
LEFT, RIGHT, TOP, BOTTOM = 60, 948, 14, 190
LINES = 4
ROUND = (1, 2, 2.5, 5, 10)


def promote_seconds(run: Part) -> Part:
    """How long the promotion took: as a drill has measured it, else from when the step began until t4."""
    measured = run["drill.promote_seconds"]
    if measured.number is not None:
        return measured
    began = next((step["started"].moment for step in run["steps"].items() if step["name"].text == "promote"), None)
    promoted = run["phases.t4"].moment
    if promoted is None or began is None or promoted < began:
        return Part(None)
    return Part(round(promoted - began, 3))


@dataclass(frozen=True)
class Figure:
    """What is followed over time, in seconds; `objective` is the field that a run is held against."""

    name: str
    title: str
    of: Callable[[Part], Part]
    objective: str | None = None


FIGURES = (
    Figure("rto", "RTO: first bad sample to first good answer", lambda run: run["rto_seconds"], "rto_seconds"),
    Figure("rpo", "RPO: seconds of acknowledged writes lost", lambda run: run["rpo_seconds"], "rpo_seconds"),
    Figure("read-only", "Seconds in which no write was taken, of planned runs", lambda run: run["read_only_seconds"]),
    Figure("promote", "Seconds that the promotion took", promote_seconds),
)


@dataclass(frozen=True)
class Point:
    """One run in a chart."""

    at: float
    seconds: float
    kind: str
    name: str


def render(documents: Sequence[Any]) -> str:
    """The page, for any JSON values, in any order; what is no record of a run is counted, and left out."""
    parts = [Part(document) for document in documents]
    runs = sorted((run for run in parts if _dated(run)), key=lambda run: run["run.started"].moment or 0)
    return page.fill(TEMPLATE, trend=Trend(runs, len(parts) - len(runs)))


def _dated(run: Part) -> bool:
    return run["run.id"].text is not None and run["run.started"].moment is not None


@dataclass(frozen=True)
class Trend:
    """The runs as their page asks for them, oldest first; `unread` documents are no runs."""

    runs: list[Part]
    unread: int

    @property
    def title(self) -> str:
        """Whose runs."""
        names = dict.fromkeys(one_line(name, 80) for run in self.runs if (name := run["application"].text))
        return f"Runs of {', '.join(list(names)[:5]) or 'no application'}"

    @property
    def newest(self) -> list[Part]:
        """For the table, newest first."""
        return self.runs[::-1][:MOST_RUNS]

    @property
    def hidden(self) -> int:
        """How many runs the table leaves out."""
        return max(0, len(self.runs) - MOST_RUNS)

    @staticmethod
    def kind(run: Part) -> str:
        """Of which kind it was."""
        said = run["kind"].text or ""
        drill = run["drill.kind"].text
        return f"{TITLES.get(said, 'Run')}{f' ({one_line(drill, 20)})' if drill else ''}"

    @staticmethod
    def end(run: Part) -> str:
        """How it ended."""
        return ENDS.get(run["status"].text or "", "not known")

    @staticmethod
    def promote(run: Part) -> Part:
        """How long the promotion took."""
        return promote_seconds(run)

    @staticmethod
    def damaged(run: Part) -> bool:
        """Something of its document is missing."""
        return bool(problems(run.value))

    @property
    def charts(self) -> list[tuple[str, Markup, str]]:
        """Each figure: its title, the chart, and a sentence."""
        found = []
        for figure in FIGURES:
            points = [
                Point(at, seconds, _kind(run), one_line(run["run.id"].text or "", 60))
                for run in self.runs
                if (at := run["run.started"].moment) is not None and (seconds := figure.of(run).number) is not None
            ]
            goal = self._objective(figure)
            if points:
                drawn = Markup(chart(figure, points, goal))  # noqa: S704 - it escapes what it is told
                found.append((figure.title, drawn, _summary(points, goal)))
        return found

    def _objective(self, figure: Figure) -> float | None:
        """The newest one."""
        if figure.objective is None:
            return None
        set_ones = (run[f"objectives.{figure.objective}"].number for run in reversed(self.runs))
        return next((seconds for seconds in set_ones if seconds is not None), None)


def _kind(run: Part) -> str:
    said = run["kind"].text
    return said if said in TITLES else "failover"


def _summary(points: Sequence[Point], goal: float | None) -> str:
    ordered = sorted(point.seconds for point in points)
    middle = ordered[len(ordered) // 2] if len(ordered) % 2 else sum(ordered[len(ordered) // 2 - 1 :][:2]) / 2
    worst, newest = ordered[-1], points[-1].seconds
    said = f"{len(points)} measured: median {middle:,.1f} s, worst {worst:,.1f} s, newest {newest:,.1f} s"
    if goal is None:
        return f"{said}."
    missed = sum(point.seconds > goal for point in points)
    return f"{said}; {missed or 'none'} of them above the objective of {goal:,.0f} s."


def ceiling(seconds: float) -> float:
    """The round figure at the top of an axis that has to hold so many seconds."""
    size = 10.0 ** math.floor(math.log10(max(1.0, seconds)))
    return next((size * each for each in ROUND if size * each >= seconds), size * 10)


def chart(figure: Figure, points: Sequence[Point], goal: float | None) -> str:
    """One figure over time, as markup: a dot for each run, its shape by the kind of the run."""
    top = ceiling(max([*(point.seconds for point in points), goal or 0, 1]))
    first, last = points[0].at, max(points[-1].at, points[0].at + 1)

    def x(at: float) -> float:
        return round(LEFT + (at - first) / (last - first) * (RIGHT - LEFT - 20) + 10, 1)

    def y(seconds: float) -> float:
        return round(BOTTOM - min(1.0, max(0.0, seconds / top)) * (BOTTOM - TOP), 1)

    labels = f"{figure.name}-title {figure.name}-description"
    said = f"{figure.title}, from {told(first)} to {told(points[-1].at)}. The figures are in the table of runs."
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{labels}">',
        f'<title id="{figure.name}-title">{escape(figure.title)}</title>',
        f'<desc id="{figure.name}-description">{escape(said)}</desc>',
        *_grid(top, y),
        f'<text class="when" x="{LEFT}" y="{HEIGHT - 10}">{told(first)[:10]}</text>',
        f'<text class="when" x="{RIGHT}" y="{HEIGHT - 10}" text-anchor="end">{told(points[-1].at)[:10]}</text>',
    ]
    if goal is not None:
        parts.append(f'<line class="goal" x1="{LEFT}" y1="{y(goal)}" x2="{RIGHT}" y2="{y(goal)}"/>')
        parts.append(f'<text class="mark-name" x="{LEFT + 4}" y="{y(goal) - 4}">objective</text>')
    parts += [_dot(point, x(point.at), y(point.seconds)) for point in points]
    return "\n".join([*parts, "</svg>"])


def _grid(top: float, y: Callable[[float], float]) -> Iterator[str]:
    for line in range(LINES + 1):
        seconds = top * line / LINES
        yield f'<line class="tick" x1="{LEFT}" y1="{y(seconds)}" x2="{RIGHT}" y2="{y(seconds)}"/>'
        yield f'<text class="when" x="{LEFT - 8}" y="{y(seconds) + 4}" text-anchor="end">{seconds:g} s</text>'


def _dot(point: Point, x: float, y: float) -> str:
    name = f"<title>{escape(f'{point.name}: {point.seconds:,.1f} s, {told(point.at)}')}</title>"
    if point.kind == "failback":
        return f'<rect class="failback" x="{x - 5}" y="{y - 5}" width="10" height="10">{name}</rect>'
    if point.kind == "drill":
        return f'<path class="drill" d="M{x} {y - 6}L{x + 6} {y + 5}L{x - 6} {y + 5}Z">{name}</path>'
    return f'<circle class="failover" cx="{x}" cy="{y}" r="5">{name}</circle>'
