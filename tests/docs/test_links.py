"""Each link of the docs leads somewhere: to a file, and to a heading where it names one."""

import re

import pytest

from tests.docs.pages import ROOT, Page, pages

pytestmark = pytest.mark.docs


def wrong(page: Page) -> list[str]:
    """Its links that lead nowhere."""
    found = []
    for number, link in page.links():
        path, _, anchor = link.partition("#")
        target = ((ROOT / page.path).parent / path).resolve()
        inside = target.is_relative_to(ROOT) and target.exists()
        if not inside:
            found.append(f"{page.path}:{number}: {link}")
        elif anchor and (not path or target.suffix == ".md"):
            other = Page(str(target.relative_to(ROOT))) if path else page
            if anchor not in other.anchors():
                found.append(f"{page.path}:{number}: {link}: no such heading")
    return found


def test_each_link_leads_somewhere() -> None:
    assert [one for page in pages() for one in wrong(page)] == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    page = Page("docs/none.md", ("# A b, c", "[x](nothing.md) [y](#a-b-c) [z](limits.md#none)", "[w](#b)"))
    assert [one.split(": ", 1)[1] for one in wrong(page)] == [
        "nothing.md",
        "limits.md#none: no such heading",
        "#b: no such heading",
    ]


def test_each_page_can_be_found_from_the_readme() -> None:
    by_path = {page.path: page for page in pages()}
    reached, todo = set(), ["README.md"]
    while todo:
        path = todo.pop()
        if path in reached:
            continue
        reached.add(path)
        for _, link in by_path[path].links():
            target = ((ROOT / path).parent / link.partition("#")[0]).resolve()
            name = str(target.relative_to(ROOT)) if target.is_relative_to(ROOT) else ""
            if name in by_path:
                todo.append(name)
            elif target.is_dir():
                todo += [one for one in by_path if re.fullmatch(rf"{re.escape(name)}/[^/]+", one)]
    assert sorted(by_path.keys() - reached) == []
