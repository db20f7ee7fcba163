"""`relight retired`: the old databases of both Regions, and the deletion of one by its own function."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws
from relight.retired import Retired
from relight_cli import retiring
from relight_cli.aws import Aws
from relight_cli.command import run
from relight_cli.deployed import Deployed
from relight_cli.exit_code import Exit, Refused
from relight_cli.retiring import Deleting, Deletion, Kept, lines

from tests.cli.on_call import ME, document, strangers_credentials
from tests.unit.standby import HERE, HOME, NOW, make_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
OLD = Retired("shop-primary-retired-4", "shop-primary", 4, "failback-5-1", NOW, "shop-primary-retired-4")
OLDER = Retired("shop-dr-retired-2", "shop-dr", 2, "light-1", NOW - 86400, None)
WAS = "  it was shop-primary, superseded at epoch 4; snapshot shop-primary-retired-4"
BOTH = ("--app", "shop", "--region", HERE, "--peer-region", HOME)
SHOP = Deployed("shop", (HERE, HOME))
DELETED = {"status": "DONE", "sentence": "it is deleted; its last snapshot is shop-primary-retired-4-final"}
WAITS = {"status": "WAIT", "sentence": "it is being deleted", "look_again_seconds": 7}


@dataclass
class Functions:
    """`retire` in one Region, as Lambda answers for it."""

    answers: list[tuple[dict[str, Any], bool]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 - as boto3 calls it
        assert FunctionName == "relight-shop-retire"
        self.asked.append(json.loads(Payload))
        body, failed = self.answers.pop(0)
        return {"Payload": io.BytesIO(json.dumps(body).encode())} | ({"FunctionError": "Unhandled"} if failed else {})

    def get_function_configuration(self, **_: str) -> dict[str, Any]:
        return {"Environment": {"Variables": {"RETAINED_DAYS": "30"}}}


class WithFunctions(Aws):
    """AWS as moto has it, but for the functions, which it would run in a container."""

    def __init__(self, functions: Functions) -> None:
        super().__init__()
        self._functions = functions

    def client(self, service: str, region: str) -> Any:
        return self._functions if service == "lambda" else super().client(service, region)


@pytest.fixture(autouse=True)
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    strangers_credentials(monkeypatch)


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Functions]:
    """Both Regions: the old primary is kept in the one, an older database in the other."""
    made = Functions()
    with mock_aws():
        make_ledger(boto3.client("dynamodb", region_name=HOME)).keep_retired(OLD)
        make_ledger(boto3.client("dynamodb", region_name=HERE)).keep_retired(OLDER)
        monkeypatch.setattr(retiring, "Aws", lambda: WithFunctions(made))
        yield made


def complaint(capfd: pytest.CaptureFixture[str]) -> str:
    said = capfd.readouterr().err
    assert said.startswith("relight: ")
    assert said.count("\n") == 1
    return said.removeprefix("relight: ").rstrip("\n")


def test_age_snapshot_and_when_it_may_be_deleted_are_told() -> None:
    later = NOW + 31 * 86400
    assert list(lines([Kept(HOME, OLD, 30), Kept(HERE, OLDER, None)], NOW + 7200)) == [
        f"shop-primary-retired-4 in {HOME}: kept for 2 h, since 2026-09-21T14:13:20Z by run failback-5-1",
        f"{WAS}; it may be deleted from 2026-10-21T14:13:20Z on, in 29 d 22 h",
        f"shop-dr-retired-2 in {HERE}: kept for 1 d 2 h, since 2026-09-20T14:13:20Z by run light-1",
        "  it was shop-dr, superseded at epoch 2; snapshot none; when it may be deleted is not known here",
    ]
    assert list(lines([Kept(HOME, OLD, 30)], later))[1].endswith("it may be deleted since 2026-10-21T14:13:20Z")
    assert list(lines([], NOW)) == ["no database is retired"]


def test_both_regions_are_listed_oldest_first(functions: Functions, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["retired", *BOTH, "--json"]) == Exit.DONE
    said = document(capfd.readouterr().out)
    assert [(one["instance"], one["region"]) for one in said] == [(OLDER.instance, HERE), (OLD.instance, HOME)]
    assert said[1]["deletable_at"] == NOW + 30 * 86400


def test_one_region_is_enough(functions: Functions, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["retired", "--app", "shop", "--region", HOME]) == Exit.DONE
    out = capfd.readouterr().out
    assert OLD.instance in out
    assert OLDER.instance not in out


def test_a_region_that_does_not_answer_is_named(functions: Functions, capfd: pytest.CaptureFixture[str]) -> None:
    boto3.client("dynamodb", region_name=HERE).delete_table(TableName="relight-shop")
    assert run(["retired", *BOTH]) == Exit.DONE
    out, error = capfd.readouterr()
    assert OLD.instance in out
    assert error.startswith(f"relight: what is retired in {HERE} is not known; there is no ledger relight-shop")
    assert run(["retired", "--app", "shop", "--region", HERE]) == Exit.NO_LEDGER


def test_one_is_deleted_by_its_region_s_function_with_who_and_why(
    functions: Functions, capfd: pytest.CaptureFixture[str]
) -> None:
    functions.answers = [(DELETED, False)]
    assert run(["retired", *BOTH, "--delete", OLD.instance, "--reason", "reconciled"]) == Exit.DONE
    assert capfd.readouterr().out == f"{DELETED['sentence']}\n"
    assert functions.asked == [{"intent": "delete", "instance": OLD.instance, "by": ME, "because": "reconciled"}]


def test_a_deletion_is_followed_until_it_is_done(functions: Functions) -> None:
    functions.answers = [(WAITS, False), (WAITS, False), (DELETED, False)]
    said: list[str] = []
    slept: list[float] = []
    Deleting(SHOP, WithFunctions(functions), said.append, lambda: 0.0, slept.append).delete(Deletion(OLD.instance, "x"))
    assert said == [WAITS["sentence"], DELETED["sentence"]]
    assert slept == [7.0, 7.0]


def test_one_that_takes_too_long_goes_on_by_itself(functions: Functions) -> None:
    functions.answers = [(WAITS, False)] * 3
    now = iter((0.0, 1.0, 899.0, 901.0))
    deleting = Deleting(SHOP, WithFunctions(functions), lambda _: None, lambda: next(now), lambda _: None)
    with pytest.raises(Refused, match=r"is not deleted yet: it is being deleted.*run this again") as refused:
        deleting.delete(Deletion(OLD.instance, "x"))
    assert refused.value.code is Exit.OTHERWISE


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("RetiredTooYoung", Exit.TOO_YOUNG),
        ("RetiredNotFound", Exit.UNKNOWN_RETIRED),
        ("AnotherRunInProgress", Exit.RUN_ON),
        ("InputInvalid", Exit.BAD_INPUT),
        ("DatabaseNotKept", Exit.OTHERWISE),
    ],
)
def test_what_the_function_refuses_is_told_in_its_words(
    functions: Functions, capfd: pytest.CaptureFixture[str], error: str, code: Exit
) -> None:
    functions.answers = [({"errorType": error, "errorMessage": "not before Tuesday"}, True)]
    assert run(["retired", *BOTH, "--delete", OLD.instance, "--reason", "x"]) == code
    assert complaint(capfd) == f"relight-shop-retire in {HOME} refuses: not before Tuesday"


def test_an_unknown_one_is_refused_and_those_that_are_known_named(
    functions: Functions, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["retired", *BOTH, "--delete", "shop-primary", "--reason", "x"]) == Exit.UNKNOWN_RETIRED
    said = complaint(capfd)
    assert said == f"no retired database is called 'shop-primary', those that are: {OLDER.instance} {OLD.instance}"
    assert functions.asked == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--delete", "x", *BOTH], "a deletion needs a reason"),
        (["--reason", "x", *BOTH], "a reason is for a deletion"),
        (["--delete", "x", "--reason", " ", *BOTH], "the reason is blank"),
        ([], "it is not said which application this is"),
    ],
)
def test_bad_input_is_one_line(capfd: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert run(["retired", *words]) == Exit.BAD_INPUT
    assert complaint(capfd).startswith(said)
