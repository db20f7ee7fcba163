"""The recorded rehearsal: what a terminal was sent becomes screens, and some of them an SVG that fetches nothing."""

import re
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from rich.console import Console

from lab.recording import FRAMES, HEIGHT, PAGE, Frame, Tape, picked, replayed, svg
from lab.view import View
from tests.lab.test_view import LOST, STEADY, drawn

SVG = "{http://www.w3.org/2000/svg}"


def plain(frame: Frame) -> list[str]:
    return [re.sub(r"\x1b\[[\d;]*m", "", line).rstrip() for line in frame.lines]


def shown(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def fetched(text: str) -> list[str]:
    """Whatever a page that shows this SVG would ask the network for, or would not run."""
    words = re.sub(r">[^<]*</text>", "></text>", text).replace('xmlns="http://www.w3.org/2000/svg"', "")
    return re.findall(r"https?:|@import|@font-face|<script|<image|<foreignObject|url\((?!#)", words)


def test_the_screen_of_a_live_view_is_its_newest_picture() -> None:
    tape = Tape(iter(range(100)).__next__)
    console = Console(file=tape, width=80, height=60, force_terminal=True, color_system="standard")
    with View(console, plain=False) as view:
        view.update(STEADY)
        view.update(LOST)
        view.say("a sentence that stays")
        view.update(replace(LOST, steps=()))
    console.print("and the table")
    frames = replayed(tape.pieces, height=60)
    assert shown(drawn(STEADY, 80)) in [plain(frame) for frame in frames]
    assert shown(drawn(LOST, 80)) in [plain(frame) for frame in frames]
    last = plain(frames[-1])
    assert last[0].endswith("a sentence that stays")
    assert last[1:-1] == shown(drawn(replace(LOST, steps=()), 80))
    assert last[-1] == "and the table"
    assert [frame.at for frame in frames] == sorted(frame.at for frame in frames)


def test_what_scrolls_out_is_gone() -> None:
    frames = replayed([(0.0, "".join(f"{n}\n" for n in range(9)))], height=3)
    assert frames == [Frame(0.0, ("6", "7", "8"))]


def test_what_the_screen_does_not_understand_is_refused() -> None:
    with pytest.raises(ValueError, match="not understood"):
        replayed([(0.0, "\x1b[3;4Hsomewhere")])


def test_of_many_screens_some_are_taken_with_the_first_and_the_last() -> None:
    frames = [Frame(n * 0.25, (str(n),)) for n in range(400)]
    chosen = picked(frames)
    assert len(chosen) == FRAMES
    assert (chosen[0], chosen[-1]) == (frames[0], frames[-1])
    gaps = {round(after.at - before.at, 2) for before, after in pairwise(chosen[:-1])}
    assert max(gaps) - min(gaps) <= 0.25
    assert picked(frames[:1]) == frames[:1]


def test_the_strip_stands_at_its_last_screen_and_fetches_nothing() -> None:
    frames = [Frame(0.0, ("\x1b[1;31mlost\x1b[0m <&>",)), Frame(6.0, ("\x1b[32mup\x1b[0m",))]
    text = svg(frames, "a title", width=20, height=4)
    root = ElementTree.fromstring(text)
    _, _, width, height = (float(word) for word in root.attrib["viewBox"].split())
    assert width > 20 * 10
    window = root.find(f"{SVG}clipPath/{SVG}rect")
    assert window is not None
    assert height > float(window.attrib["height"])
    film = root.find(f".//{SVG}g[@class='film']")
    assert film is not None
    assert film.attrib["transform"] == f"translate(0, -{window.attrib['height']})"
    words = [each.text for each in film.iter(f"{SVG}text")]
    assert words == ["lost", "\N{NO-BREAK SPACE}<&>", "up"]
    # Six seconds at three times their pace, and then it stands.
    assert "animation: film 14.0s step-end infinite" in text
    assert "14.29% { transform: translateY(-" in text
    assert fetched(text) == []


def test_the_recorded_rehearsal_is_whole_and_fetches_nothing() -> None:
    text = PAGE.read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert fetched(text) == []
    assert len(text) < 600_000
    words = " ".join(each.text or "" for each in root.iter(f"{SVG}text")).replace("\N{NO-BREAK SPACE}", " ")
    for sentence in (
        "first bad sample",
        "first good answer outside",
        "SUCCEEDED (region_lost)",
        "the end that --fault",
    ):
        assert sentence in words
    height = float(root.attrib["viewBox"].split()[3])
    assert height > HEIGHT * 20
