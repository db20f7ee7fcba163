"""What systemd would run on an instance: read from the unit that a release brings along."""

import shlex
from pathlib import Path

from lab.errors import LabError

_RUNS = ("ExecStartPre", "ExecStart")


def command_of(unit: Path, python: str) -> list[str]:
    """The commands of that unit in their order, as one; the first that fails is the last.

    `python` takes the place of the Python that the unit names. LabError when the unit runs nothing.
    """
    lines = [line.partition("=") for line in unit.read_text(encoding="utf-8").splitlines()]
    commands = {name: [shlex.split(value) for key, _, value in lines if key == name] for name in _RUNS}
    if len(commands["ExecStart"]) != 1:
        raise LabError("the unit has not exactly one ExecStart", where=str(unit), do="say what it runs")
    *before, last = (
        shlex.join([python if Path(words[0]).name == "python" else words[0], *words[1:]])
        for name in _RUNS
        for words in commands[name]
    )
    return ["/bin/sh", "-c", " && ".join([*before, f"exec {last}"])]
