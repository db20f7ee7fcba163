"""The timeline of a run as a Gantt chart in SVG, for the report. Pure; times are epoch seconds.

Its colours are classes, which the page that holds it paints: so it is readable in light, in dark and in print. What it
shows stands in the page's tables too, which is what its description says to whoever cannot see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from html import escape
from typing import TYPE_CHECKING

from relight.moment import lasting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WIDTH = 960
LEFT, RIGHT = 220, 948  # of what time is drawn in
ROW, LANE, TICKS_HIGH = 20, 14, 22
LETTER = 6.6  # pixels that a character of these labels is wide, about
NARROWEST = 2.0
MOST_TICKS = 9
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400, 604800)
MOST_ROWS = 260
LONGEST_LABEL = 30


class Kind(StrEnum):
    """What a bar stands for, which is its class."""

    PHASE = "phase"
    STEP = "step"


@dataclass(frozen=True)
class Bar:
    """Something that took time; `ended` is None where nobody has seen its end."""

    label: str
    kind: Kind
    began: float
    ended: float | None


@dataclass(frozen=True)
class Mark:
    """Something that happened at a moment."""

    label: str
    at: float


@dataclass(frozen=True)
class Window:
    """What the chart shows; `origin` is where its axis says 0."""

    begins: float
    ends: float
    origin: float

    @property
    def seconds(self) -> float:
        """How much of it; at least one second, so that there is something to draw."""
        return max(1.0, self.ends - self.begins)

    def x(self, at: float) -> float:
        """Where a moment is; one outside of the window is at its edge."""
        share = (at - self.begins) / self.seconds
        return round(LEFT + min(1.0, max(0.0, share)) * (RIGHT - LEFT), 1)


def window_of(bars: Sequence[Bar], marks: Sequence[Mark], origin: float) -> Window:
    """All of it."""
    moments = [bar.began for bar in bars] + [bar.ended for bar in bars if bar.ended is not None]
    moments += [mark.at for mark in marks] + [origin]
    return Window(min(moments), max(moments), origin)


def chart(bars: Sequence[Bar], marks: Sequence[Mark], window: Window, name: str, title: str, description: str) -> str:
    """The chart as markup. `name` is unique in the page. A bar that is not in the window is left out."""
    rows = [bar for bar in bars if bar.began <= window.ends and (bar.ended is None or bar.ended >= window.begins)]
    rows = rows[:MOST_ROWS]
    inside = sorted((m for m in marks if window.begins <= m.at <= window.ends), key=lambda mark: mark.at)
    lanes = _lanes([window.x(mark.at) for mark in inside], [mark.label for mark in inside])
    head = TICKS_HIGH + LANE * (max(lanes, default=-1) + 1) + 4
    bottom = head + ROW * len(rows)
    labels = f"{escape(name)}-title {escape(name)}-description"
    parts = [
        f'<svg class="gantt" viewBox="0 0 {WIDTH} {bottom + 6}" role="img" aria-labelledby="{labels}">',
        f'<title id="{escape(name)}-title">{escape(title)}</title>',
        f'<desc id="{escape(name)}-description">{escape(description)}</desc>',
        *_axis(window, bottom),
        *_marks(inside, lanes, window, bottom),
        *(line for index, bar in enumerate(rows) for line in _bar(bar, window, head + ROW * index)),
        "</svg>",
    ]
    return "\n".join(parts)


def ticks(window: Window) -> list[float]:
    """Moments for the axis, at round distances from the origin."""
    step = next((step for step in STEPS if window.seconds / step <= MOST_TICKS), window.seconds / MOST_TICKS)
    first = -((window.origin - window.begins) // step)
    moments = (window.origin + (first + index) * step for index in range(MOST_TICKS + 2))
    return [at for at in moments if window.begins <= at <= window.ends]


def _lanes(places: Sequence[float], labels: Sequence[str]) -> list[int]:
    """In which line above the bars each label stands, so that none lies on another; places grow."""
    ends: list[float] = []
    lanes = []
    for place, label in zip(places, labels, strict=True):
        half = len(label) * LETTER / 2 + 2
        lane = next((index for index, end in enumerate(ends) if place - half >= end), len(ends))
        ends[lane : lane + 1] = [place + half]
        lanes.append(lane)
    return lanes


def _axis(window: Window, bottom: float) -> Iterator[str]:
    yield f'<line class="axis" x1="{LEFT}" y1="{TICKS_HIGH - 4}" x2="{RIGHT}" y2="{TICKS_HIGH - 4}"/>'
    for at in ticks(window):
        x, offset = window.x(at), at - window.origin
        said = "0" if not offset else f"{'+' if offset > 0 else '-'}{lasting(abs(offset))}"
        anchor = "end" if x > RIGHT - 30 else "middle"
        yield f'<line class="tick" x1="{x}" y1="{TICKS_HIGH - 8}" x2="{x}" y2="{bottom}"/>'
        yield f'<text class="when" x="{x}" y="{TICKS_HIGH - 11}" text-anchor="{anchor}">{said}</text>'


def _marks(marks: Sequence[Mark], lanes: Sequence[int], window: Window, bottom: float) -> Iterator[str]:
    for mark, lane in zip(marks, lanes, strict=True):
        x, y = window.x(mark.at), TICKS_HIGH + LANE * lane + 9
        yield f'<line class="mark" x1="{x}" y1="{y + 3}" x2="{x}" y2="{bottom}"/>'
        yield f'<text class="mark-name" x="{x}" y="{y}" text-anchor="middle">{escape(mark.label)}</text>'


def _bar(bar: Bar, window: Window, y: float) -> Iterator[str]:
    ends = window.ends if bar.ended is None else bar.ended
    left, right = window.x(bar.began), window.x(ends)
    width = round(max(NARROWEST, right - left), 1)
    opened = " open" if bar.ended is None else ""
    took = "no end seen" if bar.ended is None else duration(bar.ended - bar.began)
    label = bar.label if len(bar.label) <= LONGEST_LABEL else f"{bar.label[: LONGEST_LABEL - 3]}..."
    outside = left + width + 4 + len(took) * LETTER <= RIGHT
    beside = outside or left - 4 - len(took) * LETTER >= LEFT
    place, anchor = (left + width + 4, "start") if outside else (left - 4 if beside else right - 4, "end")
    # On the bar, where neither side has room: one without an end is hardly painted, and takes other letters.
    on = "" if beside else " faint" if opened else " on"
    yield f'<text class="row {bar.kind}" x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(label)}</text>'
    yield f'<rect class="bar {bar.kind}{opened}" x="{left}" y="{y + 4}" width="{width}" height="{ROW - 8}" rx="2"/>'
    yield f'<text class="took{on}" x="{round(place, 1)}" y="{y + 14}" text-anchor="{anchor}">{took}</text>'


def duration(seconds: float) -> str:
    """`0.4 s`, `12.5 s`, `2 min 5 s`."""
    return f"{max(0.0, seconds):.1f} s" if seconds < 60 else lasting(seconds)
