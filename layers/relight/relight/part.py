"""A part of a JSON document that may be damaged: whatever is asked of it is of the kind that it should be, or None.

Pure. `path` is the part's JSON pointer, `/steps/3/name`, so that whoever shows a value can say where it stands.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

LATEST = 253402300799.0  # epoch seconds: the last second of the year 9999, and the last that can be told


def _pointed(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


@dataclass(frozen=True)
class Part:
    """A value where it stands in its document; `value` is None where there is nothing."""

    value: Any
    path: str = ""

    def __getitem__(self, names: str) -> Part:
        """What is below it under `a.b`; a part without a value where there is nothing of that name."""
        found = self
        for name in names.split("."):
            value = found.value.get(name) if isinstance(found.value, dict) else None
            found = Part(value, f"{found.path}/{_pointed(name)}")
        return found

    @property
    def seen(self) -> bool:
        """There is a value."""
        return self.value is not None

    def items(self) -> Iterator[Part]:
        """The entries of a list; nothing where it is none."""
        if isinstance(self.value, list):
            yield from (Part(value, f"{self.path}/{index}") for index, value in enumerate(self.value))

    def named(self) -> Iterator[tuple[str, Part]]:
        """The entries of an object by name; nothing where it is none."""
        if isinstance(self.value, dict):
            for name, value in self.value.items():
                yield str(name), Part(value, f"{self.path}/{_pointed(str(name))}")

    @property
    def text(self) -> str | None:
        """A text that says something."""
        return self.value if isinstance(self.value, str) and self.value.strip() else None

    @property
    def number(self) -> float | None:
        """A finite number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            return None
        try:
            number = float(self.value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None

    @property
    def moment(self) -> float | None:
        """Epoch seconds that a calendar knows."""
        number = self.number
        return number if number is not None and 0 <= number <= LATEST else None

    @property
    def json(self) -> str:
        """The value as JSON."""
        return json.dumps(self.value, sort_keys=True)

    @property
    def kind(self) -> str:
        """What it is, for people."""
        if isinstance(self.value, bool):
            return "true or false"
        kinds: dict[type, str] = {str: "a text", int: "a number", float: "a number", list: "a list", dict: "an object"}
        return kinds.get(type(self.value), "nothing")
