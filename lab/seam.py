"""Where the lab takes the place of a part of moto: replacements of private names, undone together.

moto's private names may change with any version, so each one that is touched is asserted to exist, and the
error names it.
"""

from collections.abc import Callable
from typing import Any

_ABSENT = object()


class MotoChangedError(RuntimeError):
    """moto has no longer a private name that the lab builds on."""


def require(owner: Any, *names: str) -> None:
    """Assert that `owner` has these attributes; MotoChangedError with the first that it lacks."""
    for name in names:
        if not hasattr(owner, name):
            where = getattr(owner, "__name__", type(owner).__name__)
            raise MotoChangedError(f"moto's {where} has no {name!r}; the lab is written for moto 5.2.5")


class Seams:
    """Replacements of attributes of moto's classes. Not thread-safe: install and undo from one thread."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, str, Any]] = []

    def replace(self, owner: Any, name: str, replacement: Any) -> None:
        """Put `replacement` in the place of `owner.name`; MotoChangedError if there is nothing."""
        require(owner, name)
        original = owner.__dict__[name] if name in getattr(owner, "__dict__", {}) else getattr(owner, name)
        self._undo.append((owner, name, original))
        setattr(owner, name, replacement)

    def add(self, owner: Any, name: str, value: Any) -> None:
        """Give `owner` what moto lacks; MotoChangedError if it has it now. One world inside another finds it there."""
        if getattr(owner, name, None) is value:
            return
        if hasattr(owner, name):
            raise MotoChangedError(f"moto's {owner.__name__} has {name!r} now; the lab need not add it")
        self._undo.append((owner, name, _ABSENT))
        setattr(owner, name, value)

    def wrap(self, owner: Any, name: str, wrapper: Callable[[Any], Any]) -> None:
        """Replace `owner.name` by what `wrapper` makes of it."""
        require(owner, name)
        self.replace(owner, name, wrapper(getattr(owner, name)))

    def undo(self) -> None:
        """Put everything back, last first."""
        while self._undo:
            owner, name, original = self._undo.pop()
            if original is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, original)
