"""The price table, prices.toml: what AWS asks for a unit, in which Region, as of when, and whether that was checked."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from relight_cli.exit_code import Exit, Refused

FILE = Path(__file__).with_name("prices.toml")
EVERYWHERE = "global"


@dataclass(frozen=True)
class Price:
    """What one unit of something costs in one Region. Before tax, on demand, no free tier."""

    key: str
    what: str
    unit: str
    region: str
    usd: Decimal
    as_of: date
    checked: bool
    """The figure was seen in a copy of the price list, or in a public document that quotes it with its date."""
    source: str


@dataclass(frozen=True)
class Prices:
    """The table."""

    looked_up: date
    table: Mapping[str, Mapping[str, Any]]

    def of(self, key: str, region: str) -> Price:
        """The price of that thing in that Region. Refused where the table has none."""
        entry = self.table.get(key)
        if entry is None:
            raise _missing(f"there is no price of {key!r}")
        where = region if region in entry else EVERYWHERE
        if where not in entry:
            raise _missing(f"there is no price of {key!r} in {region}")
        return _price(key, where, entry)

    def __iter__(self) -> Iterator[Price]:
        """Each price of the table."""
        for key, entry in self.table.items():
            for region, value in entry.items():
                if isinstance(value, dict):
                    yield _price(key, region, entry)


def _price(key: str, region: str, entry: Mapping[str, Any]) -> Price:
    found = entry[region]
    return Price(
        key=key,
        what=entry["what"],
        unit=entry["unit"],
        region=region,
        usd=Decimal(found["usd"]),
        as_of=found["as_of"],
        checked=found["checked"],
        source=found["source"],
    )


def load(file: Path = FILE) -> Prices:
    """The table of that file."""
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    looked_up = content.pop("looked_up")
    return Prices(looked_up, content)


def _missing(what: str) -> Refused:
    return Refused(what, where=str(FILE), do="add it there, with its date and source", code=Exit.CONFIGURATION)
