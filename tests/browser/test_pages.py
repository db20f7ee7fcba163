"""The report and the trend in a real browser: nothing asked of anybody, nothing wrong for anybody's eyes or ears."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser
from relight import report, trend
from relight.telling import one_line

from tests.browser.conftest import BUILD, HIGH, WIDE, Open, Opens
from tests.browser.picture import Difference, difference, picture
from tests.browser.runs import RUNS, Kept

pytestmark = pytest.mark.browser
REVIEWED = Path(__file__).parent / "reviewed"
UNSEEN = "not seen"
SHOWN = """() => Array.from(document.querySelectorAll("[data-path]")).map((one) => ({
  path: one.dataset.path, tag: one.tagName, value: one.getAttribute("value"), text: one.textContent,
}))"""
READABLE = 4.5
"""The least contrast of WCAG 2.2, AA, for small letters."""
ON_BARS = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const paper = numbers(getComputedStyle(document.documentElement).backgroundColor);
  const light = (colour) => colour.map((one) => one / 255)
    .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
    .reduce((sum, one, index) => sum + one * [0.2126, 0.7152, 0.0722][index], 0);
  return Array.from(document.querySelectorAll("rect.bar + text")).flatMap((text) => {
    const bar = text.previousElementSibling, [box, below] = [text.getBBox(), bar.getBBox()];
    if (box.x < below.x || box.x + box.width > below.x + below.width) return [];
    const {fill, fillOpacity} = getComputedStyle(bar);
    const ground = numbers(fill).map((one, index) => one * fillOpacity + paper[index] * (1 - fillOpacity));
    const [less, more] = [light(ground), light(numbers(getComputedStyle(text).fill))].sort((a, b) => a - b);
    return [{text: text.textContent, contrast: (more + 0.05) / (less + 0.05)}];
  });
}"""
PAPER = "() => getComputedStyle(document.documentElement).backgroundColor"
HIDDEN = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def quiet(shown: Open) -> bool:
    """No word on the console, and nothing was asked of anybody."""
    assert shown.said == []
    assert shown.asked == [shown.address]
    return True


def violations(shown: Open) -> list[str]:
    """What axe finds."""
    found = Axe().run(shown.page).response["violations"]
    return [f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']]}" for one in found]


def at(document: Any, path: str) -> Any:
    """What a JSON pointer points to; None where there is nothing."""
    for name in path.split("/")[1:]:
        plain = name.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list):
            document = document[int(plain)]
        else:
            document = document.get(plain) if isinstance(document, dict) else None
    return document


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_asks_nobody_and_can_be_read_by_everybody(
    runs: dict[str, Kept], opens: Opens, name: str, scheme: str
) -> None:
    shown = opens(name, runs[name].page, scheme)
    assert violations(shown) == []
    assert quiet(shown)
    assert shown.page.evaluate(HIDDEN) == 0, "it is as wide as the window"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_written_on_a_bar_can_be_read(runs: dict[str, Kept], opens: Opens, scheme: str) -> None:
    """axe knows the paper of a text in a chart, and not its bar."""
    found = [one for name in RUNS for one in opens(name, runs[name].page, scheme).page.evaluate(ON_BARS)]
    assert {one["text"] for one in found} > {"no end seen"}
    assert [one for one in found if one["contrast"] < READABLE] == []


@pytest.mark.parametrize("name", RUNS)
def test_each_value_on_the_page_is_that_of_run_json(runs: dict[str, Kept], opens: Opens, name: str) -> None:
    document = runs[name].document
    found = opens(name, runs[name].page).page.evaluate(SHOWN)
    for one in found:
        value = at(document, one["path"])
        if one["text"] == UNSEEN:
            assert value is None, one
        elif one["tag"] == "DATA":
            assert json.loads(one["value"]) == value, one
        else:
            told = one_line(value, 3000)
            assert one["text"] == told or (one["text"].endswith("...") and told.startswith(one["text"][:-3])), one
    shown = {one["path"] for one in found}
    wanted = {"/rto_seconds", "/rpo_seconds", "/status", "/sentence", "/fence", "/who/reason", "/lag_seconds/before"}
    wanted |= {f"/phases/t{number}" for number in range(9)}
    wanted |= {f"/steps/{number}/sentence" for number in range(len(document["steps"]) - 1)}
    assert wanted <= shown


@pytest.mark.parametrize("name", RUNS)
def test_a_report_looks_as_it_was_reviewed(runs: dict[str, Kept], opens: Opens, browser: Browser, name: str) -> None:
    taken = picture(opens(name, runs[name].page).page)
    (BUILD / f"{name}.jpeg").write_bytes(taken)
    reviewed = REVIEWED / f"{name}.jpeg"
    do = f"look at build/reports/{name}.jpeg, and copy it to {reviewed.parent.name}/ where it is right"
    assert reviewed.is_file(), do
    apart = _apart(browser, reviewed.read_bytes(), taken)
    assert apart.small, f"{apart}: {do}"


@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param("svg { display: none !important; }", id="no chart"),
        pytest.param("table { visibility: hidden; }", id="no tables"),
        pytest.param(":root { --paper: #14181c !important; --ink: #e8ecef !important; }", id="dark"),
        pytest.param("section { display: inline-block; width: 45%; }", id="other layout"),
        pytest.param("svg rect { fill: none !important; }", id="no bars"),
        pytest.param("[aria-labelledby=views] table { visibility: hidden; }", id="one table less"),
    ],
)
def test_the_comparison_sees_what_a_person_would_see(
    runs: dict[str, Kept], opens: Opens, browser: Browser, spoilt: str
) -> None:
    shown = opens("spoilt", runs["succeeded"].page.replace("</style>", f"{spoilt}</style>"))
    taken = picture(shown.page)
    assert not _apart(browser, (REVIEWED / "succeeded.jpeg").read_bytes(), taken).small


@pytest.mark.parametrize(
    "other",
    [
        pytest.param("letter-spacing: -0.02em", id="narrower"),
        pytest.param("letter-spacing: 0.01em", id="wider"),
        pytest.param("font-weight: 500; opacity: 0.9", id="smoothed otherwise"),
    ],
)
def test_the_comparison_does_not_mind_another_machines_letters(
    runs: dict[str, Kept], opens: Opens, browser: Browser, other: str
) -> None:
    shown = opens("spoilt", runs["succeeded"].page.replace("</style>", f"html {{ {other}; }}</style>"))
    apart = _apart(browser, (REVIEWED / "succeeded.jpeg").read_bytes(), picture(shown.page))
    assert apart.small, apart


def _apart(browser: Browser, reviewed: bytes, taken: bytes) -> Difference:
    page = browser.new_page(viewport={"width": WIDE, "height": HIGH})
    try:
        return difference(page, reviewed, taken)
    finally:
        page.close()


def test_dark_is_dark_and_print_is_light(runs: dict[str, Kept], opens: Opens) -> None:
    markup = runs["succeeded"].page
    assert opens("succeeded", markup).page.evaluate(PAPER) == "rgb(255, 255, 255)"
    assert opens("succeeded", markup, "dark").page.evaluate(PAPER) == "rgb(20, 24, 28)"
    printed = opens("succeeded", markup, "dark", "print")
    assert printed.page.evaluate(PAPER) == "rgb(255, 255, 255)"
    assert violations(printed) == []


@pytest.mark.parametrize("name", RUNS)
def test_a_report_can_be_printed_and_nothing_is_cut_off(runs: dict[str, Kept], opens: Opens, name: str) -> None:
    shown = opens(name, runs[name].page, media="print")
    shown.page.set_viewport_size({"width": 680, "height": 960})  # A4 within its margins
    assert shown.page.evaluate(HIDDEN) == 0
    assert shown.page.pdf(format="A4", prefer_css_page_size=True).startswith(b"%PDF")


def test_a_damaged_record_is_told_as_such_and_is_as_readable(runs: dict[str, Kept], opens: Opens) -> None:
    document = deepcopy(runs["succeeded"].document)
    del document["phases"], document["who"]
    document["steps"][1] = {"name": "<script>alert(1)</script>"}
    document["rto_seconds"] = "quick"
    shown = opens("damaged", report.render(document))
    assert violations(shown) == []
    assert quiet(shown)
    missing = shown.page.locator("section.missing li").all_text_contents()
    assert missing == report.problems(document)
    assert any(said.startswith("phases is missing") for said in missing)
    assert shown.page.locator("script").count() == 0


def test_the_trend_asks_nobody_and_can_be_read_by_everybody(runs: dict[str, Kept], opens: Opens) -> None:
    documents = [kept.document for kept in runs.values()]
    for scheme in ("light", "dark"):
        shown = opens("trend", trend.render(documents), scheme)
        assert violations(shown) == []
        assert quiet(shown)
        assert shown.page.locator("tbody tr").count() == len(documents)
        assert shown.page.evaluate(HIDDEN) == 0
