"""How the tests are dealt out to the workers: a file stays together, as its servers do; a rehearsal stands alone.

A scheduler, and no `xdist_group`: pytest-xdist 3.8 writes a group into an attribute that pytest 9.2 does not read.
"""

from functools import cache, partial

import botocore.session
import moto.core.models
import pytest
from botocore.hooks import EventAliaser, HierarchicalEmitter
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# One for all sessions of a process: tests make clients of their own, and reading AWS's models takes longer than most.
botocore.session.create_loader = cache(botocore.session.create_loader)
# The same words for the same name of an event, worked out anew for each handler of each client.
_aliased = cache(partial(EventAliaser._alias_event_name, EventAliaser(HierarchicalEmitter())))  # type: ignore[attr-defined]
EventAliaser._alias_event_name = lambda _, name: _aliased(name)  # type: ignore[attr-defined]
# moto would register each address of each service for `requests`, too, at each `mock_aws`: nobody here uses that.
moto.core.models.RESPONSES_METHODS = []

REHEARSALS = "tests/rehearsal/"
ONE_FOR_ALL = frozenset({"tests/rehearsal/test_bring_your_own.py"})
"""Files whose tests look at one and the same rehearsal."""
COMMANDS = "tests/cli/"
PERMISSIONS = "tests/permissions/"
"""A folder whose files share what takes long to make: the calls of all scenarios."""


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist is untyped
    """What has one scope runs in one worker, in its order."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.startswith(PERMISSIONS):
            return PERMISSIONS
        return nodeid if file.startswith(REHEARSALS) and file not in ONE_FOR_ALL else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """In the order of the collection: else the files with the most tests would come before the longest ones."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each command's tests have the mark of all commands. Rehearsals first, because they take longest."""
    for item in items:
        if item.nodeid.startswith(COMMANDS) and item.get_closest_marker("deploy") is None:
            item.add_marker(pytest.mark.cli)
    items.sort(key=lambda item: item.get_closest_marker("rehearsal") is None)
