"""A real Chromium, and the pages of three runs in it. Where there is none, these tests are skipped; in CI they fail.

The pages are left under build/reports, with their screenshots, for whoever wants to look.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.runs import RUNS, Kept, kept

NAMES = ("chromium", "chromium-browser", "google-chrome")
BUILD = Path(__file__).parents[2] / "build/reports"
WIDE, HIGH = 1000, 800
# On every machine the same colours, and letters as wide as their font says: a line breaks where it breaks elsewhere.
ALIKE = ["--force-color-profile=srgb", "--font-render-hinting=none"]


@dataclass
class Open:
    """A page in the browser, and what it has done: messages on the console, errors, requests but for itself."""

    page: Page
    address: str
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


type Opens = Callable[..., Open]


def chromium() -> str | None:
    """Where one is."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless. No longer than its tests: Playwright's loop runs in this thread, and others want none there."""
    found = chromium()
    if found is None and os.environ.get("CI"):
        pytest.fail("no Chromium in CI: .ci/browser installs one, and the pages are not proven without it")
    if found is None:
        pytest.skip("NOT PROVEN HERE: no Chromium; .ci/browser installs Debian's")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=ALIKE)
        yield running
        running.close()


@pytest.fixture(scope="module")
def runs() -> dict[str, Kept]:
    """What each run has left."""
    return {name: kept(name) for name in RUNS}


@pytest.fixture
def opens(browser: Browser) -> Iterator[Opens]:
    """`opens(name, markup, scheme="light", media="screen")`: the page as a person opens it from a file."""
    made = []

    def opened(name: str, markup: str, scheme: str = "light", media: str = "screen") -> Open:
        BUILD.mkdir(parents=True, exist_ok=True)
        file = BUILD / f"{name}.html"
        file.write_text(markup)
        context = browser.new_context(viewport={"width": WIDE, "height": HIGH}, device_scale_factor=1)
        made.append(context)
        page = context.new_page()
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", media=media)  # type: ignore[arg-type]
        shown = Open(page, file.as_uri())
        page.on("console", lambda message: shown.said.append(message.text))
        page.on("pageerror", lambda error: shown.said.append(str(error)))
        page.on("request", lambda request: shown.asked.append(request.url))
        page.goto(shown.address)
        return shown

    yield opened
    for context in made:
        context.close()
