"""What `make local-env` prints, without a container; tests/sam_local runs it."""

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from lab import engine, environment_file, local_invoke
from lab.engine import Bridge
from lab.kept import Kept
from lab.sam_functions import ROOT, functions

KEPT = Kept("http://127.0.0.1:1", "shop", ("eu-central-1", "eu-west-1"), "", "", 1, 1.0)
BRIDGE = Bridge("relight-1-abc", "127.0.0.1", ("127.0.0.0/8",))


@contextmanager
def bridge() -> Iterator[Bridge]:
    yield BRIDGE


def interrupted() -> None:
    raise KeyboardInterrupt


@pytest.fixture
def arranged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A rehearsal that is kept, an engine and built functions, as far as the two modules see; the built template."""
    template = tmp_path / "built here" / "template.yaml"
    program = tmp_path / "sam"
    for module in (environment_file, local_invoke):
        monkeypatch.setattr(module, "build", lambda: template)
        monkeypatch.setattr(module, "kept_one", lambda: KEPT)
    monkeypatch.setattr(environment_file, "sam", lambda: program)
    monkeypatch.setattr(environment_file, "configured", lambda kept, region, wanted: {one: {} for one in wanted})
    monkeypatch.setattr(environment_file, "ENV_JSON", tmp_path / "env.json")
    monkeypatch.setattr(environment_file, "hold", interrupted)
    for name in ("require_engine", "require_image"):
        monkeypatch.setattr(engine, name, lambda: None)
    monkeypatch.setattr(engine, "bridge", bridge)
    return template


def printed(out: str) -> list[str]:
    """The words of the command, as a shell takes them."""
    sentence, _, typed = out.partition("\n")
    assert sentence.endswith("In another terminal:")
    return shlex.split(typed.replace("\\\n", ""))


def test_what_is_printed_can_be_typed(
    arranged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names this machine's architecture, the host that has no DNS, and the file, and pulls nothing."""
    to = tmp_path / "my env.json"
    monkeypatch.setattr(sys, "argv", ["make local-env", "--to", str(to)])
    assert environment_file.main() == 0
    words = printed(capsys.readouterr().out)
    login = environment_file.credentials(environment_file.vantage_of(KEPT, "eu-central-1"))
    assert words[:2] == [f"{name}={value}" for name, value in login.items()]
    assert words[2:6] == [str(tmp_path / "sam"), "local", "invoke", "Assess"]
    assert "--skip-pull-image" in words
    given = dict(pairwise(words))
    assert given["--parameter-overrides"] == f"Architecture={engine.architecture()}"
    assert given["--add-host"] == f"123456789012.{BRIDGE.address}:{BRIDGE.address}"
    assert (given["--docker-network"], given["--region"]) == (BRIDGE.name, "eu-central-1")
    assert (given["--template"], given["--env-vars"]) == (str(arranged), str(to))
    assert Path(given["--event"]).is_relative_to(ROOT)
    assert Path(given["--event"]).is_file()
    assert json.loads(to.read_text()).keys() == {one.logical_id for one in functions().values()}


def test_each_call_of_local_invoke_has_an_env_json_of_its_own(
    arranged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder that goes with it; that of an open `make local-env` stays as it is."""
    environment_file.ENV_JSON.write_text("held open")
    noted = tmp_path / "noted"
    program = tmp_path / "sam"
    program.write_text(
        '#!/bin/sh\nwhile [ "$1" != --env-vars ]; do shift; done\n'
        f'echo "$2" >> {shlex.quote(str(noted))}\ntest -s "$2" && echo "{{}}"\n'
    )
    program.chmod(0o755)
    asked = local_invoke.wanted("guard", {})
    answers = [local_invoke.invoke(KEPT, "eu-central-1", asked) for _ in range(2)]
    assert answers == [{}, {}]
    first, second = (Path(line) for line in noted.read_text().splitlines())
    assert first != second
    assert not first.exists()
    assert not second.exists()
    assert environment_file.ENV_JSON.read_text() == "held open"
