"""The list of differences that a person has reviewed and accepts: one name a line, or a JSON list of names."""

import json
import re
from pathlib import Path

from relight_cli.exit_code import Exit, Refused

MOST = 100
"""A run lets pass no more than 50 differences of the databases, and as many of the objects."""
_NAME = re.compile(r"[a-z][a-z0-9_]*:[^:].*", re.DOTALL)
_LONGEST = 1000
_LARGEST = 100_000
"""Bytes of the file; an execution's input has room for 256 KiB."""
_FORM = "write the names as the report has them: kind:table or kind:table:key"


def accepted(file: Path) -> list[str]:
    """The names, each once, in the file's order. Refused where the file is missing, or a line is no name, by its place.

    A comment is a line that begins with #, or what follows a space and #. A name that holds these, or ends with a
    space, takes a JSON list.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        what = f"the list of accepted differences cannot be read ({error.strerror})"
        raise _wrong(what, str(file), "name a file with --accept") from error
    if len(data) > _LARGEST:
        raise _wrong(f"it has {len(data):,} bytes", str(file), "accept less at once, or mend the replica")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong("it is no UTF-8 text", f"{file}, byte {error.start}", _FORM) from error
    names = list(dict.fromkeys(_from_json(text, file) if text.lstrip().startswith("[") else _from_lines(text, file)))
    if not names:
        raise _wrong("it names no difference", str(file), f"{_FORM}; or leave --accept out")
    if len(names) > MOST:
        raise _wrong(f"it names {len(names):,} differences", str(file), f"accept {MOST:,} at most, or mend the replica")
    return names


def _from_lines(text: str, file: Path) -> list[str]:
    lines = ((number, line.partition(" #")[0].strip()) for number, line in enumerate(text.splitlines(), start=1))
    return [_name(line, f"{file}, line {number}") for number, line in lines if line and not line.startswith("#")]


def _from_json(text: str, file: Path) -> list[str]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        what, where = f"the JSON does not parse: {error.msg}", f"{file}, line {error.lineno} column {error.colno}"
        raise _wrong(what, where, "mend it, or write one name a line") from error
    except RecursionError as error:
        raise _wrong("the JSON does not parse: brackets without end", str(file), "write a list of names") from error
    return [_name(item, f"{file}, item {number}") for number, item in enumerate(found, start=1)]


def _name(found: object, where: str) -> str:
    if not isinstance(found, str):
        raise _wrong(f"{json.dumps(found)[:80]} is no text", where, _FORM)
    if not _NAME.fullmatch(found) or len(found) > _LONGEST:
        raise _wrong(f"{found[:80]!r} is no name of a difference", where, _FORM)
    return found


def _wrong(what: str, where: str, do: str) -> Refused:
    return Refused(what, where=where, do=do, code=Exit.BAD_INPUT)
