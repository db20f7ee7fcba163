"""A page of evidence: its templates, and how a value of a document is shown, so that the page can be held against it.

A value carries its JSON pointer and its JSON beside the words for people. Pure, but for reading the templates.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from relight.moment import lasting, told
from relight.telling import one_line

if TYPE_CHECKING:
    from relight.part import Part

LONGEST = 3000
UNSEEN, UNREAD = "not seen", "not readable"


def seconds(part: Part) -> str | None:
    """A duration."""
    number = part.number
    if number is None:
        return None
    short = f"{number:,.1f}".removesuffix(".0") + " s"
    return f"{short} ({lasting(number)})" if number >= 120 else short


def moment(part: Part) -> str | None:
    """A moment in UTC."""
    return None if part.moment is None else told(part.moment)


def count(part: Part) -> str | None:
    """A number as it is."""
    number = part.number
    if number is None:
        return None
    return f"{number:,.0f}" if number == int(number) else f"{number:,.2f}"


def usd(part: Part) -> str | None:
    """An amount of money."""
    return None if part.number is None else f"{part.number:,.4f} USD"


def words(part: Part, longest: int = LONGEST) -> str | None:
    """A text on one line."""
    return None if part.text is None else one_line(part.text, longest) or None


def brief(part: Part, longest: int) -> str:
    """Facts as `name value, name value`; empty where there are none."""
    said = [f"{name} {_plain(one.value, longest)}" for name, one in part.named() if one.seen]
    return one_line(", ".join(said), longest)


def _plain(value: Any, longest: int) -> str:
    if isinstance(value, str):
        return value[:longest]
    return json.dumps(value, sort_keys=True, ensure_ascii=False)[: 2 * longest]


KINDS = {"seconds": seconds, "moment": moment, "count": count, "usd": usd}


def show(part: Part, kind: str = "words", longest: int = LONGEST) -> Markup:
    """The value for people, with where it stands; what is null was not seen."""
    text = words(part, longest) if kind == "words" else KINDS[kind](part)
    if text is None:
        return Markup('<span class="unseen" data-path="{}">{}</span>').format(
            part.path, UNREAD if part.seen else UNSEEN
        )
    if kind == "words":
        return Markup('<span data-path="{}">{}</span>').format(part.path, text)
    return Markup('<data data-path="{}" value="{}">{}</data>').format(part.path, part.json, text)


@functools.cache
def templates() -> Environment:
    """The templates beside this module; everything that is put into them is escaped."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["show"] = show
    return made


def fill(template: str, **values: Any) -> str:
    """The page."""
    return templates().get_template(template).render(values)
