"""What a command told, as its snapshot keeps it: all of it but for what is of that moment and of that machine."""

import re

from relight_cli.exit_code import Exit

_OF_THE_MOMENT = (
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"(127\.0\.0\.1|localhost):\d+"), r"\1:PORT"),
    (re.compile(r"/\S*/(project|pytest-[^/\s]*)[^/\s]*"), "FOLDER"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00:00)?"), "WHEN"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\b1[67]\d{8}(\.\d+)?\b"), "EPOCH"),
    (re.compile(r"-2\d{7}\b"), "-MINUTE"),  # a run's id: the minute of the epoch in which it was begun
    (re.compile(r"\b\d+(\.\d+)? (s|min|h|d)\b( \d+ (s|min|h)\b)*"), "SOME TIME"),
    (re.compile(r'("[a-z_]*(seconds|_at|since|age)": )-?\d+(\.\d+)?'), r"\1NUMBER"),
)


def told(words: tuple[str, ...] | list[str], code: int, out: str, error: str) -> str:
    """The command, how it ended, and both of its streams. Pure."""
    text = f"$ relight {' '.join(words)}\n{out}"
    text += "".join(f"2> {line}\n" for line in error.splitlines())
    for pattern, instead in _OF_THE_MOMENT:
        text = pattern.sub(instead, text)
    lines = (line.rstrip() for line in text.splitlines())
    return "\n".join([*lines, f"exit {Exit(code).value} {Exit(code).name}"])
