"""The setting RELIGHT_LEASE, read once and refused as a whole."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

_TEXTS = ("REGION", "HOME_REGION", "LEDGER_REGION", "LEDGER_TABLE")
_SECONDS = ("TERM_SECONDS", "LONGEST_TRANSACTION_SECONDS")
_SHORTEST = 0.1
_LONGEST = 3600.0


@dataclass(frozen=True)
class LeaseSettings:
    """Who asks whom for the lease, and how long it and a transaction may last."""

    region: str
    """Name of the AWS Region that this process runs in."""
    home_region: str
    """The Region that is active while the ledger says nothing else."""
    ledger_region: str
    """The DR Region, whose ledger grants the lease to both."""
    ledger_table: str
    term_seconds: float
    longest_transaction_seconds: float


def read(given: object) -> LeaseSettings:
    """Raises ImproperlyConfigured, with everything that is missing or makes no sense in one message."""
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured("RELIGHT_LEASE must be a dictionary; see docs/write-lease.md")
    wrong = [f"{name} is missing" for name in (*_TEXTS, *_SECONDS) if name not in given]
    wrong += [f"{name} is not known" for name in given if name not in (*_TEXTS, *_SECONDS)]
    wrong += [f"{name} must be a name" for name in _TEXTS if name in given and not _is_name(given[name])]
    wrong += [
        f"{name} must be a number of seconds from {_SHORTEST:g} to {_LONGEST:g}"
        for name in _SECONDS
        if name in given and not _is_span(given[name])
    ]
    if wrong:
        raise ImproperlyConfigured(f"RELIGHT_LEASE: {'; '.join(wrong)}")
    return LeaseSettings(
        *(given[name] for name in _TEXTS),
        *(float(given[name]) for name in _SECONDS),
    )


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_span(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and _SHORTEST <= value <= _LONGEST


def configured() -> LeaseSettings:
    """Those of this Django project. Raises ImproperlyConfigured."""
    return read(getattr(settings, "RELIGHT_LEASE", None))
