"""What the terminal shows: a picture where it can be drawn, a line per change where it cannot."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from lab.attempts import Tally
from lab.snapshot import RegionState, Snapshot, StepState, changes
from lab.view import View, is_plain, picture, sparkline

STEADY = Snapshot(
    now=960.0,
    started=950.0,
    doing="both Regions are steady",
    fault="primary-lost",
    timings="lab",
    regions=(
        RegionState(
            "primary",
            "eu-west-1",
            instances={"i-1": "healthy", "i-2": "healthy"},
            wanted=2,
            database_role="primary",
            database_status="available",
            switches={"HOLD": 0},
        ),
        RegionState(
            "dr",
            "eu-central-1",
            database_role="replica",
            database_status="available",
            lag_seconds=0.25,
            switches={"STOP": 0, "GO": 0},
        ),
    ),
    dns="primary 127.0.1.10",
    tallies=tuple(Tally(20 + n % 5, 0) for n in range(30)),
    acknowledged=600,
)
LOST = replace(
    STEADY,
    now=1012.34,
    lost_at=1000.0,
    doing="the primary is lost",
    regions=(
        replace(STEADY.regions[0], reach="lost (refused)", instances={"i-1": "unhealthy", "i-2": "unhealthy"}),
        replace(
            STEADY.regions[1],
            instances={"i-3": "initial"},
            wanted=2,
            database_status="modifying",
            switches={"STOP": 1, "GO": None},
        ),
    ),
    run="RUNNING region lost",
    steps=(
        StepState("assess", 1001.0, 1006.0, "two views are DOWN"),
        StepState("promote", 1006.0, None, "modifying"),
        StepState("verify"),
    ),
    tallies=(Tally(20, 0), Tally(10, 3), Tally(0, 22), Tally(), Tally(0, 21)),
    acknowledged=612,
)


def drawn(snapshot: Snapshot, width: int) -> str:
    console = Console(width=width, color_system=None, force_terminal=True)
    with console.capture() as capture:
        console.print(picture(snapshot, width))
    return capture.get()


@pytest.mark.parametrize("width", [80, 200])
def test_the_picture_shows_both_regions_the_steps_and_the_clients(width: int) -> None:
    text = drawn(LOST, width)
    for words in ("loss +12.3 s", "primary eu-west-1 lost (refused)", "dr eu-central-1 reachable", "replica modifying"):
        assert words in text
    for words in ("0 healthy of 2", "STOP 1", "GO ?", "HOLD 0", "lag", "0.2 s", "0/s good", "21/s bad", "612"):
        assert words in text
    for words in ("✓ assess", "5.0 s", "→ promote", "6.3 s", "· verify", "DNS answers primary 127.0.1.10"):
        assert words in text
    side_by_side = next(line for line in text.splitlines() if "eu-west-1" in line)
    assert "eu-central-1" in side_by_side
    assert all(len(line) <= width for line in text.splitlines())


def test_the_picture_of_a_lab_in_which_nothing_is_there_yet() -> None:
    text = drawn(Snapshot(now=1.0, started=0.5, doing="creating", fault="none", timings="lab"), 80)
    for words in ("start +0.5 s", "creating", "no run has begun", "DNS answers nothing"):
        assert words in text


def test_the_sparkline_is_as_high_as_the_good_answers() -> None:
    line = sparkline([Tally(8, 0), Tally(4, 0), Tally(1, 0), Tally(0, 5), Tally(), Tally(8, 1)])
    assert line.plain == "█▄▁x █"
    assert sparkline([]).plain == ""


def test_a_line_for_each_change_and_none_without() -> None:
    assert list(changes(LOST, replace(LOST, now=1013.0))) == []
    assert list(changes(STEADY, LOST)) == [
        "the primary is lost",
        "primary: eu-west-1 is lost (refused)",
        "primary: instances 0 healthy of 2 wanted, 2 there",
        "dr: instances 0 healthy of 2 wanted, 1 there",
        "dr: database replica modifying",
        "dr: STOP 1",
        "dr: GO no data",
        "run: RUNNING region lost",
        "step assess: done after 5.0 s: two views are DOWN",
        "step promote: modifying",
        "clients: 0 good and 21 bad answers in a second, 612 acknowledged",
    ]
    assert "dr: database replica available" in list(changes(None, STEADY))


def test_without_a_terminal_there_are_lines_with_the_time_since_the_loss() -> None:
    out = io.StringIO()
    with View(Console(file=out, width=40)) as view:
        assert view.plain
        view.say("before anything is known")
        view.update(STEADY)
        view.update(STEADY)
        view.update(LOST)
        view.say("a sentence that is longer than the forty columns of this console, and is not broken")
    lines = out.getvalue().splitlines()
    assert lines[0] == "         start  before anything is known"
    assert lines.count(" start +10.0 s  both Regions are steady") == 1
    assert "  loss +12.3 s  the primary is lost" in lines
    assert lines[-1].endswith("and is not broken")
    assert "\x1b" not in out.getvalue()


def test_on_a_terminal_there_is_one_picture_that_is_kept_up_to_date() -> None:
    out = io.StringIO()
    with View(Console(file=out, width=80, force_terminal=True, color_system=None), plain=False) as view:
        view.update(STEADY)
        view.update(LOST)
        view.say("the lab is being taken down")
    text = out.getvalue()
    assert text.count("both Regions are steady") == 1
    assert "the lab is being taken down" in text
    assert text.rindex("✓ assess") > text.rindex("the lab is being taken down"), "the picture stays below"
    assert text.rstrip().endswith("\x1b[?25h"), "the cursor is given back"


@pytest.mark.parametrize(
    ("terminal", "environment", "plain"),
    [
        (True, {"TERM": "xterm"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, True),
        (False, {"TERM": "xterm"}, True),
    ],
)
def test_where_lines_are_all_that_can_be_shown(terminal: bool, environment: dict[str, str], plain: bool) -> None:
    assert is_plain(Console(force_terminal=terminal), environment) is plain
