"""A rehearsal, recorded from the terminal that it was shown in: one SVG that plays by itself, for README.

    python -m lab.recording [FILE]

Exit code 0 where it was written, 1 where the rehearsal ended otherwise than it should, 2 and 130 as a rehearsal's.

What rich sends to a terminal is kept with its time and replayed on a screen; of the screens some are taken, and drawn
one below the other, as on a strip of film, by rich. The strip is moved behind a window by CSS alone: no script, no
font and no picture is fetched, so that it plays where a page shows it as an image. Where nothing moves, by the reader's
wish or for want of CSS, its last picture stands there, the closing table.
"""

import argparse
import io
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.segment import Segment, Segments
from rich.text import Text

from lab.errors import LabError
from lab.interrupts import Interrupts
from lab.options import Options
from lab.report import closing

PAGE = Path(__file__).resolve().parent.parent / "docs" / "rehearsal.svg"
WIDTH, HEIGHT = 100, 30
"""Of the terminal, in characters: the picture of a run and the closing table fit."""
FRAMES = 24
FASTER = 3
"""How much faster than it happened it is shown."""
_STANDS = 12.0
"""For so many seconds the last picture is shown."""

_CONTROL = re.compile(r"(\r|\n|\x1b\[2K|\x1b\[\d*A|\x1b\[\?25[lh])")
_UP = re.compile(r"\x1b\[(\d*)A")
_UNKNOWN = re.compile(r"\x1b(?!\[[\d;]*m)")
_SURPLUS = re.compile(r' clip-path="url\(#film-line-\d+\)"|<text [^>]*>\n</text>')
"""What rich's SVG holds for each line, and this one does without: a window of its own, and the end of the line."""
_BAR, _EDGE = 40, 10
_PARTS = "\0".join(("{line_height}", "{char_width}", "{styles}", "{backgrounds}", "{matrix}"))
"""What is taken of rich's own SVG, whose frame fetches a font; its letters are 20 px high."""
_FILM = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{title}">
<style>
.film-matrix {{ font: 20px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace }}
.film-title {{ font: bold 18px sans-serif; fill: #c5c8c6; text-anchor: middle }}
.film {{ animation: film {seconds:.1f}s step-end infinite }}
@keyframes film {{ {keyframes} }}
@media (prefers-reduced-motion: reduce) {{ .film {{ animation: none }} }}
{styles}
</style>
<clipPath id="window"><rect width="{across}" height="{window}"/></clipPath>
<rect x="1" y="1" width="{inner}" height="{outer}" rx="8" fill="#292929" stroke="#808080"/>
<text class="film-title" x="{middle}" y="27">{title}</text>
<g transform="translate({edge}, {bar})" clip-path="url(#window)"><g class="film" transform="translate(0, -{last})">
{backgrounds}
<g class="film-matrix">
{matrix}
</g></g></g>
</svg>
"""


class Tape(io.StringIO):
    """What a terminal is sent, each piece with the second at which it came."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds, from wherever."""
        super().__init__()
        self._clock = clock
        self.pieces: list[tuple[float, str]] = []

    def write(self, text: str) -> int:
        """Keep it."""
        if text:
            self.pieces.append((self._clock(), text))
        return len(text)


@dataclass(frozen=True)
class Frame:
    """A screen, and when it was first seen, in seconds."""

    at: float
    lines: tuple[str, ...]
    """Each with its own colours, as ANSI has them."""


def replayed(pieces: Iterable[tuple[float, str]], height: int = HEIGHT) -> list[Frame]:
    """The screen after each piece, `height` lines from the bottom, but for empty ones. Pure. ValueError for what rich's
    live views do not send, such as a cursor put somewhere: the screen would be another one.
    """
    lines, row = [""], 0
    frames: list[Frame] = []
    for at, piece in pieces:
        for part in _CONTROL.split(piece):
            if up := _UP.fullmatch(part):
                row = max(0, row - int(up[1] or 1))
            elif part == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif part == "\x1b[2K":
                lines[row] = ""
            elif _UNKNOWN.search(part) and not _CONTROL.fullmatch(part):
                raise ValueError(f"a terminal was sent what is not understood here: {part!r}")
            elif not _CONTROL.fullmatch(part):
                lines[row] += part
        shown = lines[:-1] if not lines[-1] else lines
        frames += [Frame(at, tuple(shown[-height:]))] if any(shown) else []
    return frames


def picked(frames: Sequence[Frame], most: int = FRAMES) -> list[Frame]:
    """At most so many of them, evenly over the time, the first and the last always. Pure."""
    chosen = [frames[0]]
    every = (frames[-1].at - frames[0].at) / max(1, most - 1)
    for frame in frames[1:-1]:
        if frame.at >= chosen[-1].at + every and len(chosen) < most - 1:
            chosen.append(frame)
    return [*chosen, frames[-1]] if len(frames) > 1 else chosen


def svg(frames: Sequence[Frame], title: str, width: int = WIDTH, height: int = HEIGHT) -> str:
    """The frames as one SVG that plays, `FASTER` than they happened."""
    console = Console(
        record=True, file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor", no_color=False
    )
    for frame in frames:
        rows = [Text.from_ansi(line) for line in frame.lines]
        for row in [*rows, *[Text()] * (height - len(rows))]:
            row.no_wrap, row.overflow = True, "crop"
            console.print(Segments(Segment.simplify(console.render(row))), end="")
    parts = console.export_svg(title="", code_format=_PARTS, unique_id="film").split("\0")
    line, character, styles, backgrounds, matrix = parts
    window, across = height * float(line), width * float(character)
    shares, seconds = _shares(frames)
    moves = (f"{share:.2%} {{ transform: translateY(-{n * window:g}px) }}" for n, share in enumerate(shares))
    matrix = _SURPLUS.sub("", matrix).replace("&#160;", "\N{NO-BREAK SPACE}").replace("</text>", "</text>\n")
    return _FILM.format(
        width=f"{across + 2 * _EDGE:g}",
        height=f"{window + _BAR + _EDGE:g}",
        inner=f"{across + 2 * _EDGE - 2:g}",
        outer=f"{window + _BAR + _EDGE - 2:g}",
        middle=f"{across / 2 + _EDGE:g}",
        across=f"{across:g}",
        window=f"{window:g}",
        title=title,
        seconds=seconds,
        keyframes=" ".join(moves),
        edge=_EDGE,
        bar=_BAR,
        last=f"{(len(frames) - 1) * window:g}",
        styles=styles,
        backgrounds=backgrounds,
        matrix=matrix,
    )


def _shares(frames: Sequence[Frame]) -> tuple[list[float], float]:
    """At which share of the film each frame begins, and how long it takes in seconds."""
    begins = [(frame.at - frames[0].at) / FASTER for frame in frames]
    seconds = begins[-1] + _STANDS
    return [begin / seconds for begin in begins], seconds


def record(options: Options) -> tuple[Sequence[Frame], tuple[str, ...]]:
    """Rehearse, and give what a terminal has shown of it, and the rehearsal's problems. LabError as of a rehearsal."""
    from lab.rehearsal import rehearse  # noqa: PLC0415 - it takes a second or two, and can be interrupted

    # The view looks at it: lines are no picture.
    os.environ["TERM"] = "xterm-256color"
    tape = Tape()
    console = Console(
        file=tape, width=WIDTH, height=HEIGHT, force_terminal=True, color_system="standard", no_color=False
    )
    result = rehearse(options, console)
    console.print(closing(result))
    return replayed(tape.pieces), result.problems


def main(words: Sequence[str] | None = None) -> int:
    """Record a rehearsal without options."""
    parser = argparse.ArgumentParser(prog="python -m lab.recording", description="Record a rehearsal as an SVG.")
    parser.add_argument("file", type=Path, nargs="?", default=PAGE, help="where it goes; else docs/rehearsal.svg")
    out: Path = parser.parse_args(words).file
    with Interrupts(_say) as interrupts:
        try:
            frames, problems = record(Options())
        except KeyboardInterrupt:
            return interrupts.exit_code
        except LabError as error:
            _say(error.sentence)
            return 2
    for problem in problems:
        _say(problem)
    if problems:
        return 1
    chosen = picked(frames)
    out.write_text(svg(chosen, f"$ make rehearse    ({FASTER} times as fast as it happened)"), encoding="utf-8")
    print(f"{len(chosen)} of {len(frames)} screens are in {out}")
    return 0


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


if __name__ == "__main__":
    sys.exit(main())
