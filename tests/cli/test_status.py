"""`relight status`: both Regions at a glance, with one of them lost, and what is said when nothing can be seen."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws
from relight.drill import Drill, Kind
from relight.head import Head, Promotion, State
from relight.lag import Lag
from relight.ledger import StepStory
from relight.question import Question, Urgency
from relight.signal import Seen, Signal, View
from relight_cli.board import drawn, plain, sections, tone_of
from relight_cli.command import run
from relight_cli.exit_code import Exit
from relight_cli.inspecting import Look
from relight_cli.recounting import Past
from relight_cli.sight import Running, Sight, Story, Unseen
from relight_cli.situation import Situation, as_document
from relight_cli.surroundings import how_called
from rich.console import Console

from tests.cli.on_call import document, night, strangers_credentials
from tests.cli.onlookers import BOTH, LAG, QUOTA, SENTENCES, led, ready, well
from tests.unit.loopback import black_hole, closed_port
from tests.unit.standby import HERE, HOME, NOW, claims, execution, make_ledger, take_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relight.ledger import Ledger

ROOT = Path(__file__).parents[2]
FIRST = Head(False, 0, HOME, State.STEADY)
RUN = "failover-4-1"
NIGHT = "2026-09-21T14:13:20Z"
ASKED = Question(
    1, "a-secret", NOW - 30, NOW + 570, "application_lost", "nothing would be lost", "planned", Urgency.FIRST
)
LOST = Unseen("no answer within 3 s", Exit.NO_ANSWER)


@pytest.fixture(autouse=True)
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    strangers_credentials(monkeypatch)


# What both sights come to. Pure.


def signals(**seen: Seen) -> dict[View, Signal]:
    return {
        view: Signal(view, seen.get(view, Seen.UP), NOW - 7200 if view not in seen else NOW - 95, NOW - 12, sentence)
        for view, sentence in SENTENCES.items()
    }


def seen(region: str, head: Head | Unseen = FIRST, **parts: Any) -> Sight:
    """One Region as on most days, but for these parts."""
    is_dr = region == HERE
    usual: dict[str, Any] = {
        "signals": signals() if is_dr else {view: Signal.unknown(view) for view in View},
        "readiness": Look(HERE, ready(NOW - 600, LAG)) if is_dr else None,
        "drills": (Drill("drill-restore-5", Kind.RESTORE, 5, NOW - 87000, NOW - 86400, "SUCCEEDED"),) if is_dr else (),
        "switches": dict.fromkeys(("STOP", "GO") if is_dr else ("HOLD",), (0.0, NOW - 40)),
        "lag": Lag(2.0, NOW - 50) if is_dr else None,
        "runs": (),
        "runs_unseen": None,
        "stories": {},
        "last_run": Past(RUN, HERE, NOW - 9e5, "failover", "SUCCEEDED", 95.4, 2.0, {}, "ann", {}) if is_dr else None,
    }
    return Sight(region=region, head=head, **usual | parts)


def lost(region: str, why: Unseen = LOST) -> Sight:
    parts = ("signals", "readiness", "drills", "switches", "lag", "last_run")
    return seen(region, why, runs_unseen=why, **dict.fromkeys(parts, why))


def both(dr: Sight | None = None, home: Sight | None = None) -> Situation:
    return Situation("shop", NOW, 0.6, (dr or seen(HERE), home or seen(HOME)))


def on(story: Story = Story(), kind: str = "failover") -> dict[str, Any]:  # noqa: B008 - frozen
    """A run in the DR Region, with its lock."""
    running = Running(RUN, kind, HERE, execution(RUN), NOW - 125, "the Region is gone")
    return {"runs": (running,), "stories": {RUN: story}}


STEPS = (
    StepStory("assess", NOW - 120, NOW - 60, "the Region is lost", {}),
    StepStory("promote", NOW - 40, None, "the replica is modifying", {}),
)
HELD = Head(True, 4, HOME, State.PROMOTING, execution(RUN), NOW + 9000)
PROMOTED = Promotion("shop-dr", RUN, 4, NOW - 30)
ACTIVE = f"{HOME} is active and steady"
READY = f"{HERE} stands by, readiness 100 of 100, 2 s behind"
NOTHING = "nothing runs"
STEADY = f"{ACTIVE}; {READY}; {NOTHING}."
CALM = replace(HELD, state=State.STEADY)


@pytest.mark.parametrize(
    ("situation", "clauses"),
    [
        (both(), [ACTIVE, READY, NOTHING]),
        (
            both(home=lost(HOME)),
            [f"{ACTIVE}, by the ledger of {HERE} alone", READY, f"{HOME} could NOT be seen", f"{NOTHING} in {HERE}"],
        ),
        (
            both(dr=lost(HERE)),
            [f"{ACTIVE}, by the ledger of {HOME} alone", f"{HERE} could NOT be seen", f"{NOTHING} in {HOME}"],
        ),
        (
            both(dr=seen(HERE, signals=signals(outside=Seen.DOWN, from_dr=Seen.DOWN), lag=None)),
            [
                ACTIVE,
                f"{HERE} stands by, readiness 100 of 100, its replica streams",
                f"seen from {HERE}, outside and from_dr are DOWN for 1 min 35 s",
                NOTHING,
            ],
        ),
        (
            both(dr=seen(HERE, signals=signals(control=Seen.DOWN))),
            [ACTIVE, READY, f"{HERE} itself is CUT OFF for 1 min 35 s", NOTHING],
        ),
        (
            both(dr=seen(HERE, HELD, **on(Story(STEPS)))),
            [f"{HOME} is active, and {HERE} is being activated", f"{RUN} runs in {HERE} for 2 min 5 s, at promote"],
        ),
        (
            both(dr=seen(HERE, CALM, **on(Story(STEPS[:1], ASKED)))),
            [ACTIVE, READY, f"{RUN} in {HERE} ASKS A PERSON"],
        ),
        (
            both(dr=seen(HERE, replace(HELD, owner=None, promotion=PROMOTED))),
            [
                f"{HOME} is active, and {HERE} is being activated",
                f"a promotion was begun in {HERE}, and NO RUN brings it to its end",
                NOTHING,
            ],
        ),
        (
            both(dr=seen(HERE, claims(4, HERE)), home=seen(HOME, claims(2, HOME))),
            [
                f"{HERE} is active and steady, though the two ledgers differ",
                f"{HOME} stands by, readiness not judged yet",
                NOTHING,
            ],
        ),
        (
            both(dr=seen(HERE, readiness=Look(HERE, ready(NOW - 9000, LAG, QUOTA, score=24)), lag=Lag(-1, NOW - 50))),
            [
                ACTIVE,
                f"{HERE} stands by, NOT READY (24 of 100, 1 failing) 2 h 30 min ago, NOT REPLICATING",
                NOTHING,
            ],
        ),
        (
            both(dr=seen(HERE, replace(FIRST, frozen_until=NOW + 3600))),
            [ACTIVE, READY, NOTHING, f"FROZEN in {HERE} alone until 2026-09-21T15:13:20Z"],
        ),
        (
            both(dr=seen(HERE, CALM, runs_unseen=LOST)),
            [
                ACTIVE,
                READY,
                f"what runs in {HERE} could not be seen, its lock is held by {RUN}",
                f"{NOTHING} in {HOME}",
            ],
        ),
    ],
    ids=[
        "steady",
        "primary lost",
        "dr lost",
        "down",
        "cut off",
        "promoting",
        "asks",
        "abandoned",
        "differ",
        "not ready",
        "frozen",
        "runs unseen",
    ],
)
def test_the_sentence_that_is_needed_first(situation: Situation, clauses: list[str]) -> None:
    assert situation.sentence == f"{'; '.join(clauses)}."


def shown(situation: Situation, called: tuple[str, ...] = ("relight",)) -> str:
    return plain(situation.sentence, sections(situation, called))


def test_a_day_like_any_other_in_a_pipe() -> None:
    assert shown(both()) == "\n".join(
        [
            STEADY,
            "",
            "at         2026-09-21T14:13:20Z, shop, looked at in 0.6 s",
            "active     eu-west-1, as deployed; both ledgers say so",
            "state      steady",
            "runs       nothing",
            "freeze     none",
            "last run   failover-4-1 (failover) in eu-central-1: SUCCEEDED 10 d 10 h ago, RTO 95 s, RPO 2 s",
            "last drill drill-restore-5 (restore) in eu-central-1: SUCCEEDED 1 d ago",
            "",
            "eu-central-1 (dr) stands by",
            "  lock       free",
            "  outside    UP for 2 h, seen 12 s ago: Route 53's checkers reach the active Region",
            "  from_dr    UP for 2 h, seen 12 s ago: the peer says that it is ready",
            "  stream     UP for 2 h, seen 12 s ago: the replica streams",
            "  control    UP for 2 h, seen 12 s ago: https://sts.eu-north-1.amazonaws.com answers",
            "  lag        2 s by CloudWatch, 50 s ago",
            f"  lag        {LAG.sentence}, by readiness 2026-09-21T14:03:20Z",
            "  readiness  100 of 100, looked at 10 min ago",
            "  STOP       0, published 40 s ago",
            "  GO         0, published 40 s ago",
            "",
            "eu-west-1 (primary) is active",
            "  lock       free",
            "  HOLD       0, published 40 s ago",
        ]
    )


def test_what_a_person_acts_upon() -> None:
    """A question with its commands, what fails, what is silent, a dead run's lock, a switch that differs."""
    dr = seen(
        HERE,
        replace(HELD, state=State.STEADY, frozen_until=NOW + 60, frozen_because="works", frozen_by="ann"),
        readiness=Look(HERE, ready(NOW - 600, QUOTA, score=24)),
        signals={**signals(), View.STREAM: Signal(View.STREAM, Seen.UP, NOW - 7200, NOW - 500, "it\x1b[2J streams")},
        switches={"STOP": (1.0, NOW - 40), "GO": None},
        **on(Story(STEPS[:1], ASKED), "failback"),
    )
    home = seen(HOME, replace(FIRST, owner=execution("gone-1").replace(HERE, HOME), expires_at=NOW), lag=LOST)
    lines = shown(both(dr, home), ("relight", "--lab")).splitlines()
    for expected in (
        "runs       failover-4-1 (failback) in eu-central-1 for 2 min 5 s, because: the Region is gone",
        "step       assess is done: the Region is lost",
        "asks       nothing would be lost (application_lost; question 1, 9 min 30 s left)",
        f"answer     relight --lab approve {RUN} --app shop --region {HERE} --reason 'WHY'",
        f"answer     relight --lab decline {RUN} --app shop --region {HERE} --reason 'WHY'",
        f"answer     relight --lab stay {RUN} --app shop --region {HERE} --reason 'WHY'",
        "freeze     in force in eu-central-1, until 2026-09-21T14:14:20Z by ann, because: works",
        "NOT SEEN   of eu-west-1: its lag: no answer within 3 s",
        "  lock       held by failover-4-1 until 2026-09-21T16:43:20Z",
        "  stream     UNKNOWN: was UP for 2 h until it fell silent 8 min 20 s ago: it [2J streams",
        "  readiness  NOT READY (24 of 100, 1 failing), looked at 10 min ago",
        "  FAIL       vcpu_quota: 8 vCPUs are needed, 4 may be started; ask for more of them",
        "  STOP       1, published 40 s ago, and the ledger calls for 0",
        "  GO         was NOT published in the last 15 minutes: guard does not work",
        f"  lock       held by gone-1 until {NIGHT}, which does NOT run any more: the next run takes it over",
    ):
        assert expected in lines
    assert not any("a-secret" in line for line in lines)


@pytest.mark.parametrize("width", [80, 200])
def test_a_terminal_of_either_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cut off; the Regions stand beside one another where there is room; NO_COLOR is heeded."""
    situation = both(dr=seen(HERE, HELD, **on(Story(STEPS, ASKED))))
    texts = []
    for no_color in ("", "1"):
        monkeypatch.setenv("NO_COLOR", no_color)
        console = Console(force_terminal=True, width=width, color_system="standard", highlight=False)
        with console.capture() as capture:
            console.print(drawn(situation.sentence, tone_of(situation), sections(situation, ("relight",)), width))
        texts.append(capture.get())
    coloured, colourless = texts
    assert re.search(r"\x1b\[(1;)?3[123]m", coloured)
    assert not re.search(r"\x1b\[[0-9;]*3\d", colourless)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", colourless).splitlines()
    assert max(len(line) for line in lines) <= width
    assert [line.rstrip() for line in lines].count(
        f"relight approve {RUN} --app shop --region {HERE} --reason 'WHY'"
    ) == 1
    assert any(HERE in line and "(primary)" in line for line in lines) == (width == 200)
    words = re.sub(r"\s+", "", "".join(lines))
    assert (
        all(re.sub(r"\s+", "", sentence) in words for sentence in (situation.sentence, *SENTENCES.values()))
        or width == 200
    )


def test_where_to_ask_again() -> None:
    assert how_called({"AWS_ACCESS_KEY_ID": "lab", "AWS_ENDPOINT_URL": "http://x"}) == ("relight", "--lab")
    assert how_called({"AWS_PROFILE": "night"}) == ("relight", "--profile", "night")
    assert how_called({}) == ("relight",)


def test_the_document_has_the_same_keys_whatever_was_seen() -> None:
    found = [as_document(both()), as_document(both(home=lost(HOME))), as_document(both(dr=seen(HERE, HELD, **on())))]
    assert len({tuple(one) for one in found}) == 1
    assert len({tuple(region) for one in found for region in one["regions"]}) == 1
    assert found[1]["regions"][1]["ledger"] is None
    assert {one["what"] for one in found[1]["unseen"]} >= {"its ledger", "what runs there"}
    assert "a-secret" not in str(as_document(both(dr=seen(HERE, HELD, **on(Story(STEPS, ASKED))))))


# The command.


@pytest.fixture
def ledgers() -> Iterator[dict[str, Ledger]]:
    with mock_aws():
        yield well(time.time())


def complaint(capfd: pytest.CaptureFixture[str]) -> str:
    out, said = capfd.readouterr()
    assert out == ""
    assert said.count("\n") == 1
    return said.removeprefix("relight: ").rstrip("\n")


def test_both_regions(ledgers: dict[str, Ledger], capfd: pytest.CaptureFixture[str]) -> None:
    run_ = take_lock(ledgers[HERE], RUN, time.time())
    ledgers[HERE].step_began(run_, "assess", time.time())
    ledgers[HERE].keep_drill(Drill("drill-restore-5", Kind.RESTORE, 5, NOW, NOW + 9, "SUCCEEDED", ("shop-drill-5",)))
    assert run(["status", *BOTH, "--json"]) == Exit.DONE
    found = document(capfd.readouterr().out)
    assert (found["active"], found["standby"], found["ledgers_differ"]) == (HOME, HERE, False)
    dr, home = found["regions"]
    assert (dr["ledger"]["owner"], dr["readiness"]["score"], dr["lag"]["seconds"]) == (execution(RUN), 100, 2)
    assert {one["name"]: one["value"] for one in dr["switches"] + home["switches"]} == {"STOP": 0, "GO": 0, "HOLD": 0}
    assert {one["view"]: one["counts_as"] for one in dr["signals"]} == dict.fromkeys(View, "UP")
    assert found["last_drill"]["left"] == ["shop-drill-5"]
    # Only the evidence's buckets are not there.
    assert {(one["what"], one["exit"]) for one in found["unseen"]} == {("its last run", "NO_LEDGER")}


def test_a_run_that_asks_as_step_functions_and_the_ledger_have_it(capfd: pytest.CaptureFixture[str]) -> None:
    with night() as made:
        make_ledger(boto3.client("dynamodb", region_name=HOME))
        begun = made.begin()
        assert run(["status", *BOTH, "--json"]) == Exit.DONE
        (found,) = document(capfd.readouterr().out)["runs"]
    assert (found["run"], found["kind"], found["region"], found["execution"]) == (RUN, "failover", HERE, begun)
    assert [step["name"] for step in found["steps"]] == ["assess"]


def test_empty_ledgers_are_those_of_the_first_day(capfd: pytest.CaptureFixture[str]) -> None:
    with mock_aws():
        for region in (HERE, HOME):
            make_ledger(boto3.client("dynamodb", region_name=region))
        assert run(["status", *BOTH]) == Exit.DONE
    out = capfd.readouterr().out
    assert out.startswith(f"{HOME} is active and steady; {HERE} stands by, readiness not judged yet; nothing runs.\n")
    assert "outside    UNKNOWN: nothing has been seen yet" in out
    assert "\x1b" not in out


@pytest.mark.parametrize("region", [HERE, HOME])
def test_one_region_refused(region: str, ledgers: dict[str, Ledger], capfd: pytest.CaptureFixture[str]) -> None:
    with led({region: closed_port()}):
        assert run(["status", *BOTH]) == Exit.DONE
    out, error = capfd.readouterr()
    other = HERE if region == HOME else HOME
    assert f"by the ledger of {other} alone" in out
    assert f"NOT SEEN   anything of {region}: AWS cannot be reached" in out
    assert error == ""


def test_a_region_that_swallows_everything_keeps_nobody_waiting() -> None:
    """The process ends, although its questions to that Region would be open for minutes."""
    with black_hole() as port:
        done = child(str(port), "status")
    assert done.returncode == Exit.DONE, done.stderr
    assert f"by the ledger of {HERE} alone" in done.stdout
    assert f"NOT SEEN   anything of {HOME}: no answer within 3 s" in done.stdout
    assert done.stderr == ""


def child(*words: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "FORCE_COLOR"}}
    return subprocess.run(
        [sys.executable, "-m", "tests.cli.onlookers", *words],
        cwd=ROOT,
        env=own,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_both_regions_dead(ledgers: dict[str, Ledger], capfd: pytest.CaptureFixture[str]) -> None:
    with led(dict.fromkeys((HERE, HOME), closed_port())):
        assert run(["status", *BOTH]) == Exit.NO_ANSWER
    assert complaint(capfd).startswith(f"neither Region could be seen ({HERE}: AWS cannot be reached")
    with led(dict.fromkeys((HERE, HOME), closed_port())):
        assert run(["status", *BOTH, "--json"]) == Exit.NO_ANSWER
    assert document(capfd.readouterr().out)["error"]["exit"] == "NO_ANSWER"


@pytest.mark.parametrize(
    ("code", "exit_code", "said"),
    [
        ("AccessDeniedException", Exit.DENIED, "AWS denies the call"),
        ("ThrottlingException", Exit.AWS, "AWS throttles the call"),
    ],
)
def test_denied_or_throttled(
    code: str, exit_code: Exit, said: str, ledgers: dict[str, Ledger], capfd: pytest.CaptureFixture[str]
) -> None:
    with led(errors={HOME: code}):
        assert run(["status", *BOTH]) == Exit.DONE
    out = capfd.readouterr().out
    assert f"by the ledger of {HERE} alone" in out
    assert "NOT SEEN   " in out
    assert said in out
    with led(errors=dict.fromkeys((HERE, HOME), code)):
        assert run(["status", *BOTH]) == exit_code
    assert said in complaint(capfd)


def test_no_credentials(
    ledgers: dict[str, Ledger], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    assert run(["status", *BOTH]) == Exit.NO_CREDENTIALS
    assert complaint(capfd).startswith("there are no AWS credentials")


def test_an_application_that_is_not_there(capfd: pytest.CaptureFixture[str]) -> None:
    with mock_aws():
        assert run(["status", *BOTH]) == Exit.NO_LEDGER
    assert f"there is no ledger relight-shop in {HERE}" in complaint(capfd)


@pytest.mark.parametrize("words", [[], ["--app", "shop", "--region", HERE]])
def test_both_regions_have_to_be_named(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["status", *words]) == Exit.BAD_INPUT
    assert len(complaint(capfd)) > 0
