"""Names and values as words of SQL that mean just these, whatever is in them. Pure."""

from __future__ import annotations

import re

PLAIN = re.compile(r"[a-z_][a-z0-9_]*\Z")
CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


def quoted(name: str) -> str:
    """A name as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | None) -> str:
    """A value as a literal that PostgreSQL takes for any type, on one line; NULL for None."""
    if value is None:
        return "NULL"
    text = value.replace("'", "''")
    if "\\" in text or CONTROL.search(text):
        text = CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text.replace("\\", "\\\\"))
        return f"E'{text}'"
    return f"'{text}'"


def one_line(name: str) -> str:
    """A name as an identifier on one line."""
    if not CONTROL.search(name):
        return quoted(name)
    text = name.replace("\\", "\\\\").replace('"', '""')
    return 'U&"' + CONTROL.sub(lambda found: f"\\{ord(found[0]):04x}", text) + '"'


def table_name(schema: str, name: str) -> str:
    """As a person reads it: quoted only where it must be."""
    return ".".join(part if PLAIN.match(part) else one_line(part) for part in (schema, name))
