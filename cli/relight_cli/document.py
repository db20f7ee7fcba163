"""What a command prints with `--json`: one document on stdout, and nothing else there.

Where it ends with another code than 0 or 1, the document has the key `error`. 1 alone is an answer, too: no.
"""

import json
from collections.abc import Mapping

from rich.console import Console

from lab.errors import LabError
from relight_cli.exit_code import Exit


def error_of(error: LabError, code: Exit) -> dict[str, object]:
    """What a command ends with, as the document's `error` has it."""
    parts = {"what": error.what, "where": error.where or None, "do": error.do or None}
    return {**parts, "sentence": error.sentence, "exit_code": int(code), "exit": code.name}


def show(document: object) -> None:
    """Print it."""
    print(json.dumps(document, indent=2))


def show_with(document: Mapping[str, object], refused: LabError, code: Exit) -> Exit:
    """Print it with what went wrong beside it: the exit code."""
    show({**document, "error": error_of(refused, code)})
    return code


def progress(*, as_json: bool) -> Console:
    """Where a command says what it is doing: not on stdout where that is a document's."""
    return Console(soft_wrap=True, emoji=False, stderr=as_json)


def say(line: str) -> None:
    """A line of progress on stdout, at once: whoever reads it through a pipe is waiting for it."""
    print(line, flush=True)
