"""The person on call answers what a run asks, by the command of the product, and once."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab import person
from lab.options import Reply
from lab.person import REASON, Person
from lab.workflow import ExecutionRecord
from lab.world import World

PATIENCE = 20.0


class Ledger:
    """The questions of the runs."""

    def __init__(self) -> None:
        self.asking: set[str] = set()

    def get_item(self, Key: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's name
        run = Key["pk"]["S"].removeprefix("run#")
        return {"Item": {"token": {"S": "t"}}} if run in self.asking else {}


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def world(ledger: Ledger, tmp_path: Path) -> World:
    """The part of the world that a person knows; a run counts as RUNNING."""
    running = [
        ExecutionRecord(name, "machine", name, status, datetime.now(UTC), None, None, None, None)
        for name, status in (("run-1", "RUNNING"), ("run-2", "RUNNING"), ("over", "SUCCEEDED"))
    ]
    cloud = SimpleNamespace(client=lambda *_: ledger, environment=lambda *_: {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    made = SimpleNamespace(workflows=SimpleNamespace(executions=lambda _: running), cloud=cloud, folder=tmp_path)
    return cast("World", made)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command in the product's place: it writes down how it was called, and fails the first time."""
    package = tmp_path / "stand_in"
    (package / "relight_cli").mkdir(parents=True)
    (package / "relight_cli" / "__init__.py").touch()
    (package / "relight_cli" / "main.py").write_text(
        "import os, pathlib, sys\n"
        "log = pathlib.Path('calls')\n"
        "calls = log.read_text().splitlines() if log.exists() else []\n"
        "words = sys.argv[1:] + [os.environ['AWS_ENDPOINT_URL'], str('AWS_REGION' in os.environ)]\n"
        "log.write_text('\\n'.join([*calls, '|'.join(words)]))\n"
        "print('said so')\n"
        "sys.exit(0 if calls else 7)\n"
    )
    monkeypatch.setattr(person, "ROOT", package)
    return tmp_path / "calls"


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.mark.parametrize("reply", [Reply.APPROVE, Reply.DECLINE])
def test_a_question_is_answered_until_the_answer_is_taken_and_no_longer(
    world: World, ledger: Ledger, command: Path, reply: Reply
) -> None:
    said: list[str] = []
    with Person(world, reply, said.append) as on_call:
        assert not command.exists()
        ledger.asking = {"run-1", "over"}
        until(lambda: len(on_call.answered) >= 2, "a second attempt, as the first one failed")
        ledger.asking |= {"run-2"}
        until(lambda: len(on_call.answered) >= 3, "an answer to the other run")
    assert [(each.run, each.answer, each.code) for each in on_call.answered] == [
        ("run-1", reply, 7),
        ("run-1", reply, 0),
        ("run-2", reply, 0),
    ]
    words = [str(reply), "run-1", "--reason", REASON, "--region", "eu-central-1", "--app", "shop"]
    assert command.read_text().splitlines()[0] == "|".join([*words, "http://127.0.0.1:1", "False"])
    assert said
    assert on_call.answered[0].said == "said so"


def test_nobody_answers_where_nobody_is_to(world: World, ledger: Ledger, command: Path) -> None:
    ledger.asking = {"run-1"}
    with Person(world, Reply.NONE) as on_call:
        pass
    assert on_call.answered == ()
    assert not command.exists()
