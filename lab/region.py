"""Where things are in the lab: two Regions and the world outside, each with its loopback addresses.

Linux answers on the whole of 127.0.0.0/8, so that each part has an address of its own without being configured: the
primary Region is 127.b.1.x, the DR Region 127.b.2.x. The block b is 0 until `claim` takes another one, so that several
labs on one machine do not meet.
"""

import errno
import re
import socket
from collections.abc import Iterator, Mapping
from enum import StrEnum


class Side(StrEnum):
    """The home role of a Region."""

    PRIMARY = "primary"
    DR = "dr"

    @property
    def other(self) -> "Side":
        return Side.DR if self is Side.PRIMARY else Side.PRIMARY


class Shared(StrEnum):
    """What belongs to neither side: the control planes that AWS runs for all Regions in us-east-1 (see `site_of`)."""

    GLOBAL = "global"


type Place = Side | Shared
"""Where a connection ends."""


class Vantage(StrEnum):
    """From where a connection is made."""

    OUTSIDE = "outside"
    PRIMARY = "primary"
    DR = "dr"

    @classmethod
    def of(cls, side: Side) -> "Vantage":
        """The vantage of whoever is inside that Region."""
        return cls(side.value)

    @property
    def side(self) -> Side | None:
        """The Region that one is inside of, None for the world outside."""
        return None if self is Vantage.OUTSIDE else Side(self.value)


class _RegionNames(Mapping[Side, str]):
    """What the Regions are called now; the modules that know this object see a change of it."""

    def __init__(self, names: Mapping[Side, str]) -> None:
        self._names = dict(names)

    def __getitem__(self, side: Side) -> str:
        return self._names[side]

    def __iter__(self) -> Iterator[Side]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def call_primary(self, name: str) -> None:
        self._names[Side.PRIMARY] = name


GLOBAL = "us-east-1"
PRIMARY_NAME = "eu-west-1"
"""What the primary Region is called unless `set_primary` is told otherwise."""
REGION_NAME = _RegionNames({Side.PRIMARY: PRIMARY_NAME, Side.DR: "eu-central-1"})

_NAME = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_NET = {Side.PRIMARY: 1, Side.DR: 2}
_CLAIM_PORT = 4509
_BLOCKS = range(1, 200)
_block = 0
_ALB_HOST = {Vantage.OUTSIDE: 10, Vantage.PRIMARY: 11, Vantage.DR: 12}
BALANCERS = 3
"""How many load balancers a side has addresses for."""
_ACCESS_KEY = {
    Vantage.OUTSIDE: "OUTSIDE0000000000000",
    Vantage.PRIMARY: "PRIMARYLAMBDA0000000",
    Vantage.DR: "DRLAMBDA000000000000",
}
_FIRST_INSTANCE = 100
_INSTANCES = 150


class NoBlockFree(Exception):
    """Every block of loopback addresses is taken, or this system answers on 127.0.0.1 only."""


def claim() -> socket.socket:
    """Take a block of addresses for this process: it is ours as long as the socket that is returned stays open."""
    global _block  # noqa: PLW0603 - one lab in a process, and every address follows from it
    for block in _BLOCKS:
        holder = socket.socket()
        try:
            holder.bind((f"127.{block}.0.1", _CLAIM_PORT))
            holder.listen()
        except OSError as error:
            holder.close()
            if error.errno != errno.EADDRINUSE:
                raise NoBlockFree(f"127.{block}.0.1 cannot be used: {error}") from error
            continue
        _block = block
        return holder
    raise NoBlockFree(f"all {len(_BLOCKS)} blocks of loopback addresses are taken")


def _network(side: Side) -> str:
    return f"127.{_block}.{_NET[side]}"


def set_primary(name: str) -> None:
    """Call the primary Region that from now on, before a lab begins in this process.

    In us-east-1 it has AWS's global control planes in it: who loses the one loses the other. ValueError for the DR
    Region's own name, and for what is no name of a Region.
    """
    if name == REGION_NAME[Side.DR]:
        raise ValueError(f"{name} is the DR Region already")
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a Region")
    REGION_NAME.call_primary(name)


def region_names() -> tuple[str, ...]:
    """Every Region that the lab has, us-east-1 included, each once."""
    return tuple(dict.fromkeys((*REGION_NAME.values(), GLOBAL)))


def site_of(place: Place) -> Place:
    """Where a place really lies: AWS's global control planes are in the primary Region where that is us-east-1."""
    return Side.PRIMARY if place is Shared.GLOBAL and REGION_NAME[Side.PRIMARY] == GLOBAL else place


def place_of(region_name: str) -> Place:
    """Whose API a Region's name means, us-east-1 included; ValueError for a Region that the lab does not have."""
    if region_name == GLOBAL:
        return site_of(Shared.GLOBAL)
    return side_of(region_name)


def vantage_in(region_name: str) -> Vantage:
    """The vantage of whoever is inside the Region of that name: us-east-1 is the world outside, unless it is a side."""
    place = place_of(region_name)
    return Vantage.of(place) if isinstance(place, Side) else Vantage.OUTSIDE


def side_of(region_name: str) -> Side:
    """The home role of the Region of that name; ValueError for any other."""
    for side, name in REGION_NAME.items():
        if name == region_name:
            return side
    raise ValueError(f"the lab has no Region {region_name!r}: it has {', '.join(REGION_NAME.values())}")


def access_key(vantage: Vantage) -> str:
    """The access key id by which the lab recognises from where an API call is made."""
    return _ACCESS_KEY[vantage]


def vantage_of(key: str) -> Vantage:
    """From where the owner of that access key id calls. A key that the lab did not hand out belongs to the outside."""
    return next((vantage for vantage, known in _ACCESS_KEY.items() if known == key), Vantage.OUTSIDE)


def alb_address(side: Side, vantage: Vantage, place: int = 0) -> str:
    """Where a load balancer of that side listens for those who come from `vantage`: the first, or another."""
    if not 0 <= place < BALANCERS:
        raise ValueError(f"balancer {place} of {side}: a side has addresses for 0 to {BALANCERS - 1}")
    return f"{_network(side)}.{_ALB_HOST[vantage] + place * len(_ALB_HOST)}"


def database_address(side: Side) -> str:
    """The address of the database's endpoint, for all but the application's instances."""
    return f"{_network(side)}.20"


def link_address(side: Side) -> str:
    """Where a replica on that side finds the way to its source in the other Region."""
    return f"{_network(side)}.30"


def instance_address(side: Side, k: int) -> str:
    """The address of the k-th instance (0 to 149), where its own way to the database begins."""
    if not 0 <= k < _INSTANCES:
        raise ValueError(f"instance {k} of {side}: a side has addresses for 0 to {_INSTANCES - 1}")
    return f"{_network(side)}.{_FIRST_INSTANCE + k}"
