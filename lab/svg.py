"""Drawings for people, as SVG text: light and dark by the reader's own setting, without fonts and scripts of their own.

Lengths are in SVG's user units, one for each pixel at the drawing's own size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from textwrap import wrap

FONT = 14
SMALL = 12
_WIDE = 0.56
"""How wide a letter is, in font sizes: an upper bound for the usual fonts, because nothing here can measure one."""

_STYLE = """<style>
.bg{fill:#fff}.box{fill:#f6f8fa;stroke:#57606a}.part{fill:#fff;stroke:#57606a}.relight{fill:#fff4e0;stroke:#b35900}
.good{fill:#e6f4ea;stroke:#1a7f37}.bad{fill:#ffebe9;stroke:#cf222e}.pale{fill:#fff;stroke:#afb8c1}
.t{fill:#1f2328}.s{fill:#57606a;font-size:12px}.p{fill:#818b98}.b{font-weight:600}
.l{stroke:#57606a;stroke-width:1.6;fill:none;marker-end:url(#a)}.d{stroke-dasharray:6 5}.r{stroke:#b35900}
.f{stroke:#afb8c1}.n{marker-end:none}.m{fill:#8b949e}
@media (prefers-color-scheme:dark){.bg{fill:#0d1117}.box{fill:#161b22;stroke:#8b949e}.part{fill:#0d1117;stroke:#8b949e}
.relight{fill:#3a2a10;stroke:#f0a050}.good{fill:#12261a;stroke:#3fb950}.bad{fill:#2d1214;stroke:#f85149}
.pale{fill:#0d1117;stroke:#484f58}.t{fill:#e6edf3}.s{fill:#9ea7b0}.p{fill:#848d97}.l{stroke:#8b949e}.r{stroke:#f0a050}
.f{stroke:#484f58}}
</style>
<defs><marker id="a" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">\
<path class="m" d="M0 0 10 5 0 10z"/></marker></defs>"""


def width(text: str, size: float = FONT) -> float:
    """How wide a text is at most."""
    return len(text) * size * _WIDE


def lines(text: str, room: float, size: float = SMALL) -> list[str]:
    """The text broken into lines that fit into that width."""
    return wrap(text, max(8, int(room / (size * _WIDE))), break_long_words=False, break_on_hyphens=False)


@dataclass(frozen=True)
class Box:
    """A rectangle that arrows can begin and end at."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Its right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return self.y + self.height

    @property
    def middle(self) -> tuple[float, float]:
        """Its centre."""
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass
class Drawing:
    """What is drawn so far, from back to front."""

    title: str
    parts: list[str] = field(default_factory=list)

    def box(self, box: Box, kind: str, *, round_by: float = 6, dashed: bool = False) -> None:
        """A rectangle; the kind is a class of the style."""
        dash = ' stroke-dasharray="6 4"' if dashed else ""
        self.parts.append(
            f'<rect class="{kind}" x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}"'
            f' rx="{round_by:g}"{dash}/>'
        )

    def shape(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """A polygon."""
        corners = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.parts.append(f'<polygon class="{kind}" points="{corners}"/>')

    def text(self, x: float, y: float, text: str, kind: str = "t", *, centred: bool = False) -> None:
        """One line; y is its base line."""
        anchor = ' text-anchor="middle"' if centred else ""
        self.parts.append(f'<text class="{kind}" x="{x:g}" y="{y:g}"{anchor}>{escape(text, quote=False)}</text>')

    def arrow(self, points: Sequence[tuple[float, float]], kind: str = "l") -> None:
        """A line through these points, with its head at the last one."""
        way = " ".join(f"{x:g} {y:g}" for x, y in points)
        self.parts.append(f'<path class="{kind}" d="M{way}"/>')

    def rule(self, left: float, right: float, y: float) -> None:
        """A pale line across."""
        self.parts.append(f'<path class="l f d n" d="M{left:g} {y:g} {right:g} {y:g}"/>')

    def svg(self, wide: float, high: float) -> str:
        """The whole file."""
        size = f'viewBox="0 0 {wide:g} {high:g}" width="{wide:g}" height="{high:g}"'
        font = f'font-family="system-ui, sans-serif" font-size="{FONT}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font} role="img" aria-labelledby="t">',
                f'<title id="t">{escape(self.title, quote=False)}</title>',
                _STYLE,
                f'<rect class="bg" width="{wide:g}" height="{high:g}"/>',
                *self.parts,
                "</svg>\n",
            ]
        )
