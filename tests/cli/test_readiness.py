"""`relight readiness`: what the standby's function finds or its ledger has, as a table, as JSON and as exit codes."""

from __future__ import annotations

import io
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from relight.head import Head, State
from relight.readiness import Area, Check, Level, Readiness, off_duty
from relight_cli import inspecting
from relight_cli.aws import Aws
from relight_cli.command import run
from relight_cli.exit_code import Exit
from relight_cli.inspecting import Look, rich_table
from relight_cli.standby import behind
from rich.console import Console

from tests.cli.on_call import document, strangers_credentials
from tests.unit.standby import HERE, HOME, NOW, claims, make_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relight.ledger import Ledger

ROOT = Path(__file__).parents[2]
THERE = ("--app", "shop", "--region", HERE)
BOTH = (*THERE, "--peer-region", HOME)
LAG = Check("replica_lag", Area.DATABASE, Level.PASS, "the replica is 1 s behind", "")
QUOTA = Check("vcpu_quota", Area.CAPACITY, Level.FAIL, "8 vCPUs are needed, 4 may be started", "ask for more of them")
AGE = Check("image_age", Area.CAPACITY, Level.WARN, "the AMI is \x1b[2J 200 days old", "build a new one")


def found(*checks: Check, at: float = NOW, score: int = 75) -> dict[str, Any]:
    """As the function answers, and as the ledger keeps it."""
    return Readiness(at, HERE, score, checks, "0.1.0").to_dict()


WELL, UNWELL = found(LAG, score=100), found(LAG, AGE, QUOTA)


@dataclass
class Functions:
    """`readiness` in both Regions, as Lambda answers for it."""

    answer: Any = field(default_factory=lambda: WELL)
    failed: bool = False
    missing: bool = False
    asked: list[str] = field(default_factory=list)

    def invoke(self, region: str, name: str) -> dict[str, Any]:
        self.asked.append(f"{name} in {region}")
        if self.missing:
            why = {"Code": "ResourceNotFoundException", "Message": "Function not found"}
            raise ClientError({"Error": why}, "Invoke")  # type: ignore[typeddict-item]
        body = io.BytesIO(json.dumps(self.answer).encode())
        return {"Payload": body} | ({"FunctionError": "Unhandled"} if self.failed else {})


@dataclass
class Lambda:
    """The client of one Region."""

    functions: Functions
    region: str

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 - as boto3 calls it
        assert json.loads(Payload)
        return self.functions.invoke(self.region, FunctionName)


class WithFunctions(Aws):
    """AWS as moto has it, but for the functions, which it would run in a container."""

    def __init__(self, functions: Functions) -> None:
        super().__init__()
        self._functions = functions

    def client(self, service: str, region: str) -> Any:
        return Lambda(self._functions, region) if service == "lambda" else super().client(service, region)


@pytest.fixture(autouse=True)
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    strangers_credentials(monkeypatch)


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Functions]:
    made = Functions()
    with mock_aws():
        monkeypatch.setattr(inspecting, "Aws", lambda: WithFunctions(made))
        yield made


@pytest.fixture
def ledgers(functions: Functions) -> dict[str, Ledger]:
    """Of both Regions, empty."""
    return {region: make_ledger(boto3.client("dynamodb", region_name=region)) for region in (HERE, HOME)}


def complaint(capfd: pytest.CaptureFixture[str]) -> str:
    said = capfd.readouterr().err
    assert said.startswith("relight: ")
    assert said.count("\n") == 1
    return said.removeprefix("relight: ").rstrip("\n")


# Looked at now.


def test_all_well_is_exit_code_0(functions: Functions, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["readiness", *THERE]) == Exit.DONE
    out, error = capfd.readouterr()
    assert error == ""
    assert out.startswith(f"{HERE} at 2026-09-21T14:13:20Z: ready, score 100 of 100 (1 PASS)\n")
    assert functions.asked == [f"relight-shop-readiness in {HERE}"]


def test_a_check_that_fails_is_exit_code_1(functions: Functions, capfd: pytest.CaptureFixture[str]) -> None:
    functions.answer = UNWELL
    assert run(["readiness", *THERE]) == Exit.OTHERWISE
    out, error = capfd.readouterr()
    assert error == ""
    assert "NOT READY, score 75 of 100 (1 FAIL, 1 WARN, 1 PASS)" in out
    assert "\x1b" not in out


def test_a_warning_alone_is_exit_code_0(functions: Functions) -> None:
    functions.answer = found(LAG, AGE)
    assert run(["readiness", *THERE]) == Exit.DONE


def test_what_is_not_well_comes_first_and_says_what_to_do() -> None:
    wide = Console(width=160, color_system=None)
    with wide.capture() as shown:
        wide.print(rich_table(Look(HERE, UNWELL).checks))
    failing, warning, passing = shown.get().splitlines()[2:]
    assert failing.split("  ")[0] == "FAIL"
    assert "vcpu_quota" in failing
    assert "ask for more of them" in failing
    assert "the AMI is [2J 200 days old" in warning
    assert "replica_lag" in passing


def test_where_nothing_is_judged_nothing_is_called_ready(
    functions: Functions, capfd: pytest.CaptureFixture[str]
) -> None:
    functions.answer = off_duty(HOME, HERE, "0.1.0", NOW).to_dict()
    assert run(["readiness", "--app", "shop", "--region", HOME]) == Exit.OTHERWISE
    out, error = capfd.readouterr()
    told = f"{HOME} is the active Region; the readiness of its standby is judged in {HERE}"
    assert (out, error) == (f"{HOME} at 2026-09-21T14:13:20Z: {told}\n", "")
    assert run(["readiness", "--app", "shop", "--region", HOME, "--json"]) == Exit.OTHERWISE
    said = document(capfd.readouterr().out)
    assert (said["on_duty"], said["ready"], said["sentence"]) == (False, False, told)


def test_as_json_it_is_the_document(functions: Functions, capfd: pytest.CaptureFixture[str]) -> None:
    functions.answer = UNWELL
    assert run(["readiness", *THERE, "--json"]) == Exit.OTHERWISE
    said = document(capfd.readouterr().out)
    assert (said["region"], said["ready"], said["score"]) == (HERE, False, 75)
    assert Readiness.from_dict(said).checks == (LAG, AGE, QUOTA)


# Which Region.


@pytest.mark.parametrize(
    ("heads", "region"),
    [
        ([], HERE),
        ([claims(0, HERE), claims(0, HOME)], HERE),
        ([claims(4, HERE)], HOME),
        ([claims(4, HERE), claims(6, HOME)], HERE),
        ([claims(6, HERE), claims(4, HOME)], HOME),
        # A run that took the lock and stood down has made nothing active.
        ([Head(True, 3, HOME, State.STEADY)], HERE),
    ],
)
def test_the_standby_is_what_the_latest_activation_has_left(heads: list[Head], region: str) -> None:
    assert behind((HERE, HOME), heads) == region


def test_by_both_regions_the_standby_is_looked_at(functions: Functions, ledgers: dict[str, Ledger]) -> None:
    for ledger in ledgers.values():
        ledger.mirror(claims(4, HERE), 0)
    assert run(["readiness", *BOTH]) == Exit.DONE
    assert functions.asked == [f"relight-shop-readiness in {HOME}"]


def test_by_samconfig_too(
    functions: Functions, ledgers: dict[str, Ledger], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "samconfig.toml").write_text((ROOT / "samconfig.toml").read_text())
    monkeypatch.chdir(tmp_path)
    assert run(["readiness", "--env", "prod"]) == Exit.DONE
    assert functions.asked == [f"relight-shop-readiness in {HERE}"]


def test_one_ledger_is_enough(functions: Functions) -> None:
    make_ledger(boto3.client("dynamodb", region_name=HERE)).mirror(claims(4, HERE), 0)
    assert run(["readiness", *BOTH]) == Exit.DONE
    assert functions.asked == [f"relight-shop-readiness in {HOME}"]


def test_without_any_ledger_nothing_is_known(functions: Functions, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["readiness", *BOTH]) == Exit.NO_LEDGER
    assert complaint(capfd).startswith(f"there is no ledger relight-shop in {HERE}")


# The last look.


def test_the_last_look_is_shown_without_a_new_one(
    functions: Functions, ledgers: dict[str, Ledger], capfd: pytest.CaptureFixture[str]
) -> None:
    now = time.time()
    ledgers[HERE].keep_readiness(found(QUOTA, at=now - 60), now - 60)
    assert run(["readiness", *THERE, "--last"]) == Exit.OTHERWISE
    out, error = capfd.readouterr()
    assert "NOT READY" in out
    assert (error, functions.asked) == ("", [])


def test_an_old_look_is_no_answer(ledgers: dict[str, Ledger], capfd: pytest.CaptureFixture[str]) -> None:
    now = time.time()
    ledgers[HERE].keep_readiness(found(LAG, at=now - 7200), now - 7200)
    assert run(["readiness", *THERE, "--last"]) == Exit.OTHERWISE
    assert complaint(capfd) == f"the last look at {HERE} is 2 h old, leave out --last to look now"


def test_before_the_first_look_it_is_not_ready_nor_well(
    ledgers: dict[str, Ledger], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["readiness", *THERE, "--last"]) == Exit.NO_LEDGER
    assert complaint(capfd) == f"readiness of {HERE} has not been looked at yet, leave out --last"


# What is foreseen.


def test_a_function_that_is_not_there(functions: Functions, capfd: pytest.CaptureFixture[str]) -> None:
    functions.missing = True
    assert run(["readiness", *THERE]) == Exit.CONFIGURATION
    said = complaint(capfd)
    assert said == f"there is no function relight-shop-readiness in {HERE}, deploy this version of Relight there first"


def test_a_function_that_fails_is_not_called_unready(functions: Functions, capfd: pytest.CaptureFixture[str]) -> None:
    functions.failed, functions.answer = True, {"errorType": "SettingsInvalid", "errorMessage": "missing:\nTOPIC_ARN"}
    assert run(["readiness", *THERE]) == Exit.AWS
    assert "did not get to the end (SettingsInvalid: missing: TOPIC_ARN)" in complaint(capfd)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"at": NOW},
        {**WELL, "checks": 3},
        {**WELL, "at": None},
        {**WELL, "checks": [{**WELL["checks"][0], "level": "FINE"}]},
        {**WELL, "checks": [{"level": "PASS"}]},
    ],
)
def test_an_answer_of_another_kind_is_one_line(
    functions: Functions, capfd: pytest.CaptureFixture[str], answer: Any
) -> None:
    functions.answer = answer
    assert run(["readiness", *THERE]) == Exit.CONFIGURATION
    assert "says something else than readiness" in complaint(capfd)


@pytest.mark.parametrize("words", [[], ["--app", "shop"], [*BOTH[:-1], HERE], ["--markdown", "--last"]])
def test_bad_input_is_one_line(capfd: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert run(["readiness", *words]) == Exit.BAD_INPUT
    assert complaint(capfd)


# The list.


def test_the_list_is_the_page(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["readiness", "--markdown"]) == Exit.DONE
    assert capfd.readouterr().out == (ROOT / "docs/readiness.md").read_text(encoding="utf-8")
