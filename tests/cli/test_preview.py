"""`failback --plan` and `drill --plan`: which function is asked, what of it is shown, and that nothing begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
import relight_cli.aws
from moto import mock_aws
from relight_cli.command import run
from relight_cli.exit_code import Exit

from tests.cli.functions import Functions, WithFunctions
from tests.cli.on_call import document, strangers_credentials
from tests.unit.standby import HERE, HOME, claims, make_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

BOTH = ("--app", "shop", "--region", HERE, "--peer-region", HOME)
THERE = ("--app", "shop", "--region", HOME)
SURVEY, DRILL = "relight-shop-survey", "relight-shop-drill"
OPEN: dict[str, Any] = {
    "preview": True,
    "region": HOME,
    "begins": True,
    "finding": None,
    "obstacle": None,
    "sentence": f"{HERE} is active since epoch 4, and nothing stands in the way",
    "home": HOME,
    "active": HERE,
    "would": ["both ledgers' locks are taken", "shop-primary is \x1b[2J available"],
}
REHEARSED: dict[str, Any] = {
    "preview": True,
    "region": HERE,
    "kind": "promote",
    "asks": True,
    "may_begin": True,
    "finding": None,
    "sentence": "a drill of the kind promote may begin: about 70 minutes, 0.4 USD",
    "would": ["shop-dr-drill-<epoch> follows shop-primary"],
    "not_passing": ["WARN image_age: the AMI is 200 days old"],
    "cost_usd": 0.4,
    "minutes": 70.0,
}


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Functions]:
    """DR is active since epoch 4."""
    strangers_credentials(monkeypatch)
    made = Functions({SURVEY: dict(OPEN), DRILL: dict(REHEARSED)})
    with mock_aws():
        monkeypatch.setattr(relight_cli.aws, "Aws", lambda: WithFunctions(made))
        for region in (HERE, HOME):
            make_ledger(boto3.client("dynamodb", region_name=region)).mirror(claims(4, HERE), 0)
        yield made


def test_a_failback_is_asked_for_in_the_region_that_it_is_for(
    functions: Functions, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["failback", "--plan", *THERE]) == Exit.DONE
    out, complaint = capfd.readouterr()
    assert complaint == ""
    assert functions.asked == [(HOME, SURVEY, {"intent": "preview", "to": "home"})]
    head, verdict, home, *stages, start, by_hand = out.splitlines()
    assert head == f"a failback (--to home) in {HOME}, as things are now; nothing was changed"
    assert verdict == f"it would begin: {HERE} is active since epoch 4, and nothing stands in the way"
    assert home == f"  home is {HOME}, and {HERE} is active"
    assert stages == ["  1. both ledgers' locks are taken", "  2. shop-primary is [2J available"]
    assert start == f"start it with: relight failback --app shop --region {HOME} --to home --reason WHY"
    arn = f"arn:aws:states:{HOME}:123456789012:stateMachine:relight-shop-failback"
    assert f"aws stepfunctions start-execution --region {HOME} --state-machine-arn {arn} --input '{{" in by_hand


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"begins": False, "finding": "NeverFailedOver", "sentence": "no run ever", "would": []},
            "it would NOT begin (NeverFailedOver): no run ever",
        ),
        ({"obstacle": "DatabaseNotKept"}, "it would begin, and FAIL at once (DatabaseNotKept)"),
    ],
)
def test_a_failback_that_would_come_to_nothing_is_exit_code_1(
    functions: Functions, capfd: pytest.CaptureFixture[str], more: dict[str, Any], said: str
) -> None:
    functions.answers[SURVEY] |= more
    assert run(["failback", "--plan", *THERE]) == Exit.OTHERWISE
    out = capfd.readouterr().out
    assert said in out.splitlines()
    assert "start it with" not in out
    assert run(["failback", "--plan", *THERE, "--json"]) == Exit.OTHERWISE
    told = document(capfd.readouterr().out)
    assert (told["goes_ahead"], told["sentence"]) == (False, functions.answers[SURVEY]["sentence"])


def test_without_a_plan_a_failback_needs_a_reason(functions: Functions, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["failback", *THERE]) == Exit.BAD_INPUT
    assert capfd.readouterr().err.startswith("relight: a failback needs a reason, in the command line, give --reason")
    assert functions.asked == []


def test_a_drill_is_asked_for_where_the_standby_is(functions: Functions, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["drill", "--plan", "--kind", "promote", "--keep-minutes", "30", *BOTH]
    assert run(words) == Exit.DONE
    lines = capfd.readouterr().out.splitlines()
    assert functions.asked == [(HOME, DRILL, {"intent": "preview", "kind": "promote", "keep_minutes": 30})]
    assert lines[1:5] == [
        "it would begin: a drill of the kind promote may begin: about 70 minutes, 0.4 USD",
        "  it asks a person first",
        "  1. shop-dr-drill-<epoch> follows shop-primary",
        "  readiness: WARN image_age: the AMI is 200 days old",
    ]
    assert run([*words, "--json"]) == Exit.DONE
    told = document(capfd.readouterr().out)
    assert (told["goes_ahead"], told["minutes"], told["cost_usd"], told["asks"]) == (True, 70.0, 0.4, True)
    assert '"keep_minutes": 30' in told["start"]


def test_a_drill_that_is_refused_is_exit_code_1(functions: Functions, capfd: pytest.CaptureFixture[str]) -> None:
    functions.answers[DRILL] |= {"may_begin": False, "finding": "DrillTooLarge", "sentence": "too large", "would": []}
    assert run(["drill", "--plan", *THERE]) == Exit.OTHERWISE
    assert "it would NOT begin (DrillTooLarge): too large" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("answer", "failed", "code"),
    [
        (None, False, Exit.CONFIGURATION),
        ({"status": "DONE"}, False, Exit.CONFIGURATION),
        ({"errorType": "ValueError", "errorMessage": "'preview' is not a valid Intent"}, True, Exit.CONFIGURATION),
        ({"errorType": "InputInvalid", "errorMessage": "no"}, True, Exit.BAD_INPUT),
        ({"errorType": "Sandbox.Timedout", "errorMessage": "timed out"}, True, Exit.AWS),
    ],
)
def test_a_function_without_a_preview_is_one_line(
    functions: Functions, capfd: pytest.CaptureFixture[str], answer: dict[str, Any] | None, failed: bool, code: Exit
) -> None:
    del functions.answers[SURVEY]
    if answer is not None:
        functions.answers[SURVEY] = answer
    functions.failed = {SURVEY} if failed else set()
    assert run(["failback", "--plan", *THERE]) == code
    out, complaint = capfd.readouterr()
    assert (out, complaint.count("\n")) == ("", 1)
