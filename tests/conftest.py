"""How the tests are dealt out to the workers: a file stays together, as its servers do; a rehearsal stands alone.

A scheduler, and no `xdist_group`: pytest-xdist 3.8 writes a group into an attribute that pytest 9.2 does not read.
"""

from functools import cache

import botocore.session
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# One for all sessions of a process: tests make clients of their own, and reading AWS's models takes longer than most.
botocore.session.create_loader = cache(botocore.session.create_loader)

REHEARSALS = "tests/rehearsal/"
ONE_FOR_ALL = frozenset({"tests/rehearsal/test_bring_your_own.py"})
"""Files whose tests look at one and the same rehearsal."""


TOGETHER = ("tests/permissions/",)
"""Folders whose files share what takes long to make."""


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist is untyped
    """What has one scope runs in one worker, in its order."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.startswith(TOGETHER):
            return next(folder for folder in TOGETHER if file.startswith(folder))
        return nodeid if file.startswith(REHEARSALS) and file not in ONE_FOR_ALL else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """In the order of the collection: else the files with the most tests would come before the longest ones."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Rehearsals first, because they take longest."""
    items.sort(key=lambda item: item.get_closest_marker("rehearsal") is None)
