"""The shop's surroundings, read once from environment variables."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field


class EnvironmentIncompleteError(Exception):
    """Variables are missing or make no sense; the message names all of them."""


@dataclass(frozen=True)
class Lease:
    """How the shop holds the write lease."""

    home_region: str
    ledger_region: str
    """The DR Region: its ledger grants the lease to both."""
    ledger_table: str
    term_seconds: float
    longest_transaction_seconds: float


@dataclass(frozen=True)
class Environment:
    """Where this instance runs and which database it uses."""

    region: str
    database_host: str
    database_port: str
    database_name: str
    database_user: str
    database_password: str = field(repr=False)
    allowed_hosts: tuple[str, ...]
    secret_key: str | None = field(repr=False)
    lease: Lease | None = None
    """None where the shop writes without one."""
    drill: bool = False
    """Whether this instance belongs to a drill: its orders are a copy's, and nobody is served by it."""


def read(variables: Mapping[str, str] = os.environ) -> Environment:
    """Raises EnvironmentIncompleteError, with every missing name in one message."""
    needed = (
        "AWS_REGION",
        "DATABASE_HOST",
        "DATABASE_PORT",
        "DATABASE_NAME",
        "DATABASE_USER",
        "DATABASE_PASSWORD",
        "ALLOWED_HOSTS",
    )
    missing = [name for name in needed if not variables.get(name)]
    if missing:
        raise EnvironmentIncompleteError(f"the shop's environment lacks {', '.join(missing)}")
    if not variables["DATABASE_PORT"].isdigit():
        raise EnvironmentIncompleteError(f"DATABASE_PORT is no number: {variables['DATABASE_PORT']!r}")
    lease = _lease(variables)
    return Environment(
        region=variables["AWS_REGION"],
        database_host=variables["DATABASE_HOST"],
        database_port=variables["DATABASE_PORT"],
        database_name=variables["DATABASE_NAME"],
        database_user=variables["DATABASE_USER"],
        database_password=variables["DATABASE_PASSWORD"],
        allowed_hosts=tuple(host.strip() for host in variables["ALLOWED_HOSTS"].split(",") if host.strip()),
        secret_key=variables.get("SECRET_KEY"),
        lease=lease,
        drill=variables.get("RELIGHT_DRILL", "0") not in {"", "0"},
    )


def _lease(variables: Mapping[str, str]) -> Lease | None:
    """The lease is on where RELIGHT_LEASE_TERM_SECONDS is more than 0."""
    term = _seconds(variables, "RELIGHT_LEASE_TERM_SECONDS")
    if term == 0:
        return None
    needed = ("PEER_REGION", "HOME_REGION", "LEDGER_TABLE")
    missing = [name for name in needed if not variables.get(name)]
    longest = _seconds(variables, "RELIGHT_LONGEST_TRANSACTION_SECONDS")
    missing += [] if longest else ["RELIGHT_LONGEST_TRANSACTION_SECONDS"]
    if missing:
        raise EnvironmentIncompleteError(f"the shop's environment lacks {', '.join(missing)}, for the write lease")
    here, peer, home = (variables[name] for name in ("AWS_REGION", "PEER_REGION", "HOME_REGION"))
    return Lease(home, peer if here == home else here, variables["LEDGER_TABLE"], term, longest)


def _seconds(variables: Mapping[str, str], name: str) -> float:
    """0 where it is not given."""
    given = variables.get(name) or "0"
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1
    if not (math.isfinite(seconds) and seconds >= 0):
        raise EnvironmentIncompleteError(f"{name} is no number of seconds: {given!r}")
    return seconds
