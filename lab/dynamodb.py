"""DynamoDB's conditional writes, made what they are on AWS: one after the other.

moto checks a condition and then writes, and its server answers each request in a thread of its own, so that two runs
that take a free lock at the same instant would both be given it. What it hands out is the stored item itself, which
another request changes while the first one is written down: here it is a copy.
"""

import functools
import threading
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from moto.dynamodb.models import DynamoDBBackend

from lab.seam import Seams

_WRITES = ("update_item", "put_item", "delete_item", "transact_write_items")
_READS = ("get_item", "query", "scan")

ALONE = threading.RLock()
"""Held by who reads or writes items; a transaction, which calls the single writes, takes it more than once."""


class AtomicItems:
    """Installs itself over moto's DynamoDB: each call that reads or writes items has the tables for itself.

    Its answer stays what it was when it was given, whoever writes afterwards.
    """

    def __init__(self) -> None:
        self._seams = Seams()

    def install(self) -> None:
        """MotoChangedError if one of the places to be taken is not there."""
        for name in (*_WRITES, *_READS):
            self._seams.wrap(DynamoDBBackend, name, self._one_at_a_time)

    def uninstall(self) -> None:
        """Put moto's own back."""
        self._seams.undo()

    @staticmethod
    def _one_at_a_time(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def alone(*given: Any, **named: Any) -> Any:
            with ALONE:
                return deepcopy(original(*given, **named))

        return alone
