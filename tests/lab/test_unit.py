"""The unit of the release, as the lab's instances run it."""

import subprocess
import sys
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.unit import command_of
from lab.world import ROOT


def unit(folder: Path, *lines: str) -> Path:
    path = folder / "some.service"
    path.write_text("\n".join(["[Service]", *lines, "[Install]"]), encoding="utf-8")
    return path


@pytest.mark.parametrize(("gate", "code", "said"), [(0, 5, "before\nafter\n"), (3, 3, "before\n")])
def test_what_comes_first_decides_whether_the_rest_comes(tmp_path: Path, gate: int, code: int, said: str) -> None:
    before = f"import sys; print('before'); sys.exit({gate})"
    command = command_of(
        unit(
            tmp_path,
            "ExecStart=/opt/venv/bin/python -c \"import sys; print('after'); sys.exit(5)\"",
            f'ExecStartPre=/opt/venv/bin/python -c "{before}"',
        ),
        sys.executable,
    )
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (code, said)


def test_a_unit_that_runs_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="exactly one ExecStart"):
        command_of(unit(tmp_path, "Restart=always"), sys.executable)


def test_the_instances_of_the_lab_ask_at_the_gate_before_they_serve() -> None:
    command = command_of(ROOT / "app/release/relight-app.service", sys.executable)
    gate, serve = command[-1].split(" && ")
    assert gate == f"{sys.executable} -m app.boot_gate"
    assert serve == f"exec {sys.executable} -m app.serve"
