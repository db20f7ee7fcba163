"""A sketch of boxes and arrows, from a few lines of YAML: what a person can change in a review.

    title: what it shows
    size: [960, 300]
    boxes:   NAME: {at: [x, y, width, height], text: ..., below: [...], kind: part | box | relight | good | bad}
    arrows:  [{from: NAME, to: NAME, text: ..., kind: dashed | relight, at: 0.5}]

An arrow leads from edge to edge, on the straight line between the two centres; `via` names points between them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lab.svg import Box, Drawing

_KINDS = {"": "l", "dashed": "l d", "relight": "l r", "relight dashed": "l r d"}


def _edge(box: Box, towards: tuple[float, float]) -> tuple[float, float]:
    """Where the line from the centre of a box to that point leaves it."""
    x, y = box.middle
    dx, dy = towards[0] - x, towards[1] - y
    reach = [abs(half / delta) for half, delta in ((box.width / 2, dx), (box.height / 2, dy)) if delta]
    share = min(reach, default=0.0)
    return round(x + dx * share, 1), round(y + dy * share, 1)


def _box(drawing: Drawing, box: Box, said: Mapping[str, Any]) -> None:
    kind = said.get("kind", "part")
    drawing.box(box, kind, round_by=10 if kind == "box" else 6, dashed=bool(said.get("dashed")))
    more: Sequence[str] = said.get("below", ())
    if kind == "box":
        drawing.text(box.x + 16, box.y + 24, said["text"], "t b")
        for at, line in enumerate(more, 1):
            drawing.text(box.x + 16, box.y + 24 + 17 * at, line, "s")
        return
    x, y = box.middle
    first = y + 5 - 8.5 * len(more)
    drawing.text(x, first, said["text"], "t", centred=True)
    for at, line in enumerate(more, 1):
        drawing.text(x, first + 17 * at, line, "s", centred=True)


def _arrow(drawing: Drawing, boxes: Mapping[str, Box], said: Mapping[str, Any]) -> None:
    start, end = boxes[said["from"]], boxes[said["to"]]
    between = [(float(x), float(y)) for x, y in said.get("via", ())]
    first = _edge(start, between[0] if between else end.middle)
    last = _edge(end, between[-1] if between else start.middle)
    points = [first, *between, last]
    drawing.arrow(points, _KINDS[said.get("kind", "")])
    if text := said.get("text"):
        share = float(said.get("at", 0.5))
        a, b = (points[0], points[-1]) if not between else (points[0], points[1])
        x, y = a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share
        drawing.text(round(x, 1), round(y - 6, 1), text, "s", centred=True)


def sketched(said: Mapping[str, Any]) -> str:
    """The text of an SVG file; KeyError for an arrow from or to a box that there is not."""
    drawing = Drawing(said["title"])
    boxes = {name: Box(*map(float, one["at"])) for name, one in said["boxes"].items()}
    for name, one in said["boxes"].items():
        _box(drawing, boxes[name], one)
    for arrow in said.get("arrows", ()):
        _arrow(drawing, boxes, arrow)
    wide, high = said["size"]
    return drawing.svg(wide, high)
