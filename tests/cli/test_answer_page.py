"""docs/deciding.md: its plain `aws` commands, run by a shell as they stand, do what the commands of Relight do."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from relight_cli.exit_code import Exit

from lab.cloud import Cloud
from lab.network import Network
from lab.region import Vantage
from tests.cli.on_call import ME, SENTENCE, Night, night
from tests.unit.standby import HERE, head_item

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/deciding.md").read_text(encoding="utf-8")
PATIENCE = 60.0

AWS = f"""#!{sys.executable}
# What of the AWS CLI the page needs: an operation's options are the API's members, in JSON where they are structures.
import json, re, sys
import boto3, jmespath
from botocore.exceptions import ClientError
service, operation, *words = sys.argv[1:]
RENAMED = {{"task-output": "output"}}  # as the AWS CLI does it, whose own --output is another one
given, own = {{}}, {{"region": None, "query": None, "output": "json"}}
while words:
    name = words.pop(0).removeprefix("--")
    value = words.pop(0) if words and not words[0].startswith("--") else True
    if name in own:
        own[name] = value
    else:
        given[RENAMED.get(name, name)] = value
client = boto3.client(service, region_name=own["region"])
method = operation.replace("-", "_")
members = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method]).input_shape.members
def key(name):
    return re.sub(r"[^a-z]", "", name.lower())
arguments = {{}}
for name, value in given.items():
    (member,) = [one for one in members if key(one) == key(name)]
    structured = members[member].type_name in ("map", "structure", "list")
    arguments[member] = json.loads(value) if structured else value
try:
    answer = getattr(client, method)(**arguments)
except ClientError as error:
    sys.exit(f"aws: {{error}}")
if own["query"]:
    found = jmespath.search(own["query"], answer)
    print(found if own["output"] == "text" else json.dumps(found))
"""


def blocks(heading: str) -> list[str]:
    """The shell's blocks under that heading of the page."""
    part = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", part, re.DOTALL)


class Terminal:
    """A person's shell, with a stand-in for the AWS CLI, on a machine without Relight's project."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        programs = folder / "bin"
        programs.mkdir()
        (programs / "aws").write_text(AWS)
        (programs / "aws").chmod(0o755)
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), own.get("PATH", "")])
        self._environment = own | dict(environment) | {"PATH": path}
        self._folder = folder

    def run(self, *commands: str) -> "subprocess.CompletedProcess[str]":
        """Commands, one after the other, until one fails."""
        words = ["bash", "-euo", "pipefail", "-c", "\n".join(commands)]
        return subprocess.run(
            words,
            check=False,
            capture_output=True,
            text=True,
            cwd=self._folder,
            env=self._environment,
            timeout=PATIENCE,
        )

    def say(self, *commands: str) -> str:
        """The same, and all of them succeed: what was printed."""
        ended = self.run(*commands)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@pytest.fixture
def on_call() -> Iterator[Night]:
    with night() as made:
        yield made


@pytest.fixture
def terminal(on_call: Night, tmp_path: Path) -> Iterator[Terminal]:
    cloud = Cloud(Network())
    yield Terminal(tmp_path, cloud.environment(Vantage.OUTSIDE))
    cloud.stop()


def test_a_run_is_approved_by_hand_and_the_first_answer_counts(on_call: Night, terminal: Terminal) -> None:
    execution = on_call.begin()
    ask, approve, decline = blocks("A run asks")
    said = terminal.run(ask, approve, decline)
    assert said.stdout == f"{SENTENCE}\n"
    assert said.returncode != 0
    assert "TaskTimedOut" in said.stderr
    assert on_call.end(execution) == {"answer": "approved", "by": "YOUR NAME", "because": "WHY"}


def test_a_run_is_declined_by_hand(on_call: Night, terminal: Terminal) -> None:
    execution = on_call.begin()
    ask, _, decline = blocks("A run asks")
    terminal.say(ask, decline)
    assert on_call.end(execution) == {"answer": "declined", "by": "YOUR NAME", "because": "WHY"}


def test_the_command_answers_the_lab_as_a_process(on_call: Night, terminal: Terminal) -> None:
    execution = on_call.begin()
    answer = f"relight decline failover-4-1 --app shop --region {HERE} --reason 'we restart the application'"
    out = terminal.say(answer)
    assert f"declined by {ME}, because: we restart the application" in out
    on_call.settled()
    again = terminal.run(answer)
    assert again.returncode == Exit.ANSWERED
    assert again.stderr.count("\n") == 1
    assert on_call.end(execution)["answer"] == "declined"


def test_a_freeze_by_hand_is_the_commands(on_call: Night, terminal: Terminal) -> None:
    freeze, unfreeze = blocks("Freeze, and maintenance windows")
    before = time.time()
    terminal.say(freeze)
    head = on_call.ledger.head()
    assert head.frozen_from is not None
    assert before - 1 <= head.frozen_from <= time.time()
    assert head.frozen_until == head.frozen_from + 7200
    by_hand = head_item(on_call.ledger)
    on_call.ledger.freeze(head.frozen_from, head.frozen_until, "WHY", "YOUR NAME")
    assert head_item(on_call.ledger).keys() == by_hand.keys()
    assert on_call.ledger.head() == head
    terminal.say(f"APP=shop REGION={HERE}", unfreeze)
    assert on_call.ledger.head().frozen_until is None


def test_the_page_names_each_end_of_an_answer() -> None:
    table = PAGE.partition("| it says |")[2].partition("\n\n")[0]
    codes = {int(code) for code in re.findall(r"\| (\d+) \|", table)}
    assert codes == {
        Exit.UNKNOWN_RUN,
        Exit.NOTHING_ASKED,
        Exit.ANSWERED,
        Exit.TOKEN,
        Exit.ENDED,
        Exit.NO_LEDGER,
        Exit.NO_ANSWER,
        Exit.DENIED,
    }
    assert f"the exit code is {Exit.ONE_LEDGER:d}" in " ".join(PAGE.replace("\n", " ").split())
