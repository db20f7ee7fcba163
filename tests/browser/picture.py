"""Two screenshots compared at reduced resolution, in the browser itself: it can read a JPEG, and nothing else here can.

At 24 pixels to a cell a letter, or how a machine smooths one, is nothing. A picture is taken with DejaVu Sans where the
machine has it, as .ci/browser does. Other fonts make lines longer or shorter, and move what is below them: so a band of
the page is held against its fellow by how much ink is on it, not dot by dot. A chart, a table or a figure that is
missing, another layout, dark in the place of light are seen, with Liberation Sans, Noto Sans and Roboto too; a bar in
another colour is not.
"""

import base64
from dataclasses import dataclass
from itertools import pairwise

from playwright.sync_api import Page

COLUMNS, CELL, BANDS = 40, 24, 16
FONT = "html { font-family: 'DejaVu Sans', sans-serif !important; }"
HIGHER = 0.05
"""By how much the heights may differ, as a part of the reviewed one's: Liberation Sans makes 0.033 of it."""
MOST_ON_AVERAGE = 0.05
"""How much cells may differ on average; from black to white is 1. Liberation Sans makes 0.034 of it."""
MOST_INK = 0.63
"""How much more or less ink a band may have, as a part of the reviewed one's. Liberation Sans makes 0.61 of it, the
same font under another configuration of fontconfig 0.15; a chart without its bars 0.65, and no table 0.8."""
LEAST_INK = 0.01
"""So much counts as there in a band that has less: else a line in an empty one would be everything."""

READ = """async ([reviewed, taken, columns, cell]) => {
  const load = (data) => new Promise((done, failed) => {
    const image = new Image();
    image.onload = () => done(image);
    image.onerror = () => failed(new Error("no picture"));
    image.src = "data:image/jpeg;base64," + data;
  });
  const images = [await load(reviewed), await load(taken)];
  const rows = Math.max(1, Math.round(images[0].height / cell));
  return images.map((image) => {
    const canvas = document.createElement("canvas");
    canvas.width = columns;
    canvas.height = rows;
    const context = canvas.getContext("2d", {willReadFrequently: true});
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, columns, rows);
    const dots = context.getImageData(0, 0, columns, rows).data;
    return {height: image.height, dots: Array.from(dots)};
  });
}"""


type Cells = list[tuple[int, ...]]


@dataclass(frozen=True)
class Difference:
    """Between a reviewed screenshot and one that was taken now."""

    height: float
    average: float
    ink: float

    @property
    def small(self) -> bool:
        """They show the same."""
        return self.height <= HIGHER and self.average <= MOST_ON_AVERAGE and self.ink <= MOST_INK


def picture(page: Page) -> bytes:
    """The whole page as a JPEG, in letters as much like those of other machines as can be."""
    page.add_style_tag(content=FONT)
    return page.screenshot(full_page=True, type="jpeg", quality=60)


def difference(page: Page, reviewed: bytes, taken: bytes) -> Difference:
    """How far they are apart; `page` is any page of the browser."""
    pictures = [base64.b64encode(picture).decode() for picture in (reviewed, taken)]
    before, now = page.evaluate(READ, [*pictures, COLUMNS, CELL])
    cells, others = _cells(before["dots"]), _cells(now["dots"])
    return Difference(
        height=abs(now["height"] - before["height"]) / before["height"],
        average=sum(map(_apart, cells, others)) / len(cells),
        ink=max(abs(one - other) / max(one, LEAST_INK) for one, other in zip(_ink(cells), _ink(others), strict=True)),
    )


def _cells(dots: list[int]) -> Cells:
    return [tuple(dots[at : at + 3]) for at in range(0, len(dots), 4)]


def _apart(cell: tuple[int, ...], other: tuple[int, ...]) -> float:
    return max(abs(one - another) for one, another in zip(cell, other, strict=True)) / 255


def _ink(cells: Cells) -> list[float]:
    """How far each band is from bare paper, of which the first cell of a page is made."""
    rows = len(cells) // COLUMNS
    edges = [band * rows // BANDS * COLUMNS for band in range(BANDS + 1)]
    return [
        sum(_apart(cell, cells[0]) for cell in cells[first:last]) / (last - first) for first, last in pairwise(edges)
    ]
