"""The drawings of the docs are what would be drawn now, whole, and well-formed."""

import re
import xml.etree.ElementTree as Xml
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.asl_drawing import drawn
from lab.drawing import drawings, outdated
from lab.sketch import sketched
from tests.docs.pages import ROOT, pages

pytestmark = pytest.mark.docs

MACHINES = sorted((ROOT / "statemachine").glob("*.asl.yaml"))


def names(machine: dict[str, Any]) -> set[str]:
    found = set(machine["States"])
    for state in machine["States"].values():
        for branch in state.get("Branches", ()):
            found |= names(branch)
    return found


def texts(svg: str) -> list[str]:
    return ["".join(one.itertext()) for one in Xml.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_each_drawing_is_current() -> None:
    assert outdated() == [], "make diagrams"


@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.name)
def test_each_state_is_drawn_once(path: Path) -> None:
    machine = yaml.safe_load(path.read_text(encoding="utf-8"))
    said = texts(drawn("any", machine))
    assert {name: said.count(name) for name in names(machine)} == dict.fromkeys(names(machine), 1)


def test_each_way_out_is_drawn_or_said() -> None:
    machine = yaml.safe_load((ROOT / "statemachine/failover.asl.yaml").read_text(encoding="utf-8"))
    said = " ".join(texts(drawn("failover", machine)))
    for target in ("Stand down", "Explain the failure", "Already in progress"):
        assert re.search(rf"→ [^→]*{target}", said), target


def test_no_drawing_says_the_same_in_light_only() -> None:
    for path, svg in drawings().items():
        assert "prefers-color-scheme:dark" in svg, path.name
        assert Xml.fromstring(svg).get("aria-labelledby") == "t", path.name


def test_each_drawing_is_shown_somewhere() -> None:
    linked = {(ROOT / page.path).parent / link for page in pages() for _, link in page.links()}
    assert {path for path in drawings() if path not in {one.resolve() for one in linked}} == set()


def test_a_sketch_with_an_arrow_to_nowhere_is_refused() -> None:
    boxes = {"a": {"at": [0, 0, 10, 10], "text": "a"}}
    with pytest.raises(KeyError, match="b"):
        sketched({"title": "t", "size": [10, 10], "boxes": boxes, "arrows": [{"from": "a", "to": "b"}]})
