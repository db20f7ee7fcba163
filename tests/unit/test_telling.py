"""Notices: one line where one line is meant, subjects that SNS takes, and the page that shows them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relight.moment import lasting, told
from relight.telling import Notice, one_line, word_of

from tests.unit.notices import PAGE, RUN, ending, examples, page, settings
from tests.unit.standby import NOW

STOOD_DOWN = {"end": "STOOD_DOWN", "finding": "primary_up", "sentence": "a false alarm"}


def test_the_page_shows_the_notices_as_they_are() -> None:
    """`python -m tests.unit.notices` brings it up to date."""
    text = PAGE.read_text()
    assert page(text) == text


def test_the_page_names_each_urgency_with_its_subject() -> None:
    text = PAGE.read_text()
    for notice in examples().values():
        assert f"`{notice.urgency}`" in text


@given(st.text(st.characters()))
def test_any_subject_becomes_one_that_sns_takes(text: str) -> None:
    subject = Notice.of(f"Relight shop: {text}", [], "told").subject
    assert subject.startswith("Relight shop:")
    assert subject.isascii()
    assert subject.isprintable()
    assert len(subject) < 100


def test_a_subject_of_an_application_with_a_long_name_is_short_enough() -> None:
    assert len(word_of(RUN, settings(application="a" * 200), "x").subject) == 99


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb\r\n\tc", "a b c"),
        ("  a  ", "a"),
        ("\x1b[31mred", "[31mred"),
        ("a\u2028b\u202ec", "a b c"),
        ("Zürich ✓", "Zürich ✓"),
        ("\ud800", ""),
        ("abcdefghijk", "abcdefg..."),
    ],
)
def test_one_line(text: str, line: str) -> None:
    assert one_line(text, 10) == line


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (0.6, "1 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3605, "1 h"),
        (7500, "2 h 5 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert lasting(seconds) == said


def test_moments_are_told_in_utc() -> None:
    assert told(NOW + 0.9) == "2026-09-21T14:13:20Z"


# The end of a run.


def test_what_was_undone_is_told_one_by_one() -> None:
    undone = {"capacity": "back at 0", "switches": "both are 0", "fence": "the peer is not fenced", "writes": None}
    text = ending({**STOOD_DOWN, "undone": undone}).text
    assert "Undone:\n  capacity: back at 0\n  the switches: both are 0\n  the fence: the peer is not fenced\n" in text
    assert "  the writes of the other Region: not known\n" in text


def test_a_failure_that_undid_nothing_says_so() -> None:
    failed = {"end": "FAILED", "finding": "error", "sentence": 'x (the next run goes on from "Prove it")'}
    notice = ending(failed)
    assert notice.urgency == "failed"
    assert 'ended FAILED: x (the next run goes on from "Prove it")' in notice.text
    assert "Undone: nothing" in notice.text


@pytest.mark.parametrize(
    ("mode", "loss", "said"),
    [
        ("planned", 5.0, "Lost writes: none, the other Region's writes were stopped first"),
        ("emergency", 5.4, "Lost writes: about 5 s of them, estimated before the promotion"),
        ("emergency", None, "Lost writes: unknown"),
    ],
)
def test_a_success_tells_what_it_cost(mode: str, loss: float | None, said: str) -> None:
    end = {"end": "SUCCEEDED", "finding": "x", "sentence": "x", "verdict": {"estimated_loss_seconds": loss}}
    assert said in ending(end, replace(RUN, mode=type(RUN.mode)(mode))).text


def test_a_run_that_lost_nothing_does_not_speak_of_lost_writes() -> None:
    assert "Lost writes" not in ending(STOOD_DOWN).text


def test_a_question_that_was_open_at_the_end_is_told() -> None:
    assert "Question 1, asked at 2026-09-21T14:13:20Z, was not answered" in ending(STOOD_DOWN).text


def test_what_a_step_said_stays_on_its_line() -> None:
    text = ending({**STOOD_DOWN, "sentence": "a\nEvidence: s3://elsewhere"}).text
    assert sum(line.startswith("Evidence:") for line in text.splitlines()) == 1
