"""How the tests are dealt out to the workers: a file stays together, as its servers do; a rehearsal stands alone."""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Rehearsals first, because they take longest; the rest by file."""
    rehearsals = [item for item in items if item.get_closest_marker("rehearsal")]
    others = [item for item in items if not item.get_closest_marker("rehearsal")]
    for item in others:
        item.add_marker(pytest.mark.xdist_group(Path(item.path).name + item.path.parent.name))
    items[:] = rehearsals + others
