"""Rehearsals as a person starts them: the command, in a process and with a temporary folder of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from lab import binaries

ROOT = Path(__file__).resolve().parents[2]
_PARTS = ("app", "functions", "lab", "layers", "statemachine")
_DEADLINE = 200.0
_DEADLINE_OF_SLOW = 400.0
"""Of a rehearsal that goes home: two promotions, and three replicas."""


@dataclass(frozen=True)
class Rehearsed:
    """What a rehearsal came to: its exit code, its result document (empty if none), all that it said."""

    code: int
    document: dict[str, Any]
    said: str
    folder: Path
    """The temporary folder that it was given."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A temporary folder that servers which run as another user can enter too."""
    made = binaries.folder("relight-test-")
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def rehearse(folder: Path) -> Callable[..., Rehearsed]:
    """Run `relight rehearse` with these words."""

    def run(*words: str) -> Rehearsed:
        out = folder.parent / f"{folder.name}.json"
        slow = {"--circle", "--switchovers", "dr-lost-while-active", "sam"} & set(words)
        environment = os.environ | {"TMPDIR": str(folder)}
        try:
            done = subprocess.run(
                [sys.executable, "-m", "relight_cli.main", "rehearse", "--json", str(out), *words],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=_DEADLINE_OF_SLOW if slow else _DEADLINE,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            said = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout
            pytest.fail(f"it did not end within {late.timeout:.0f} s: {said}")
        document = json.loads(out.read_text()) if out.exists() else {}
        out.unlink(missing_ok=True)
        return Rehearsed(done.returncode, document, done.stdout + done.stderr, folder)

    return run


@pytest.fixture
def interrupted(folder: Path) -> Callable[[str], tuple[int, list[int]]]:
    """Run a rehearsal, and send Ctrl-C once it says a sentence: its exit code, and which processes are left."""

    def run(sentence: str) -> tuple[int, list[int]]:
        started = subprocess.Popen(
            [sys.executable, "-m", "relight_cli.main", "rehearse"],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert started.stdout is not None
        for line in started.stdout:
            if sentence in line:
                break
        children = psutil.Process(started.pid).children(recursive=True)
        started.send_signal(signal.SIGINT)
        started.stdout.read()
        code = started.wait(_DEADLINE)
        deadline = time.monotonic() + 10
        while (left := [child.pid for child in children if child.is_running()]) and time.monotonic() < deadline:
            time.sleep(0.05)
        return code, left

    return run


@pytest.fixture
def altered(tmp_path: Path) -> Callable[[Mapping[str, tuple[str, str]]], Path]:
    """A template.yaml beside all that it names, in which some texts have been replaced; each must have been there."""

    def make(changes: Mapping[str, tuple[str, str]]) -> Path:
        for part in _PARTS:
            (tmp_path / part).symlink_to(ROOT / part)
        (tmp_path / "stacks").mkdir()
        for source in [ROOT / "template.yaml", *sorted((ROOT / "stacks").iterdir())]:
            name = str(source.relative_to(ROOT))
            text = source.read_text()
            if name in changes:
                before, after = changes[name]
                assert before in text, f"{name} does not hold {before!r}"
                text = text.replace(before, after)
            (tmp_path / name).write_text(text)
        return tmp_path / "template.yaml"

    return make
