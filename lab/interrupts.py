"""Ctrl-C and SIGTERM turned into one way out: KeyboardInterrupt once, then the lab is taken down in peace."""

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """A context manager for the main thread.

    The first SIGINT, SIGTERM or SIGHUP raises KeyboardInterrupt where the program happens to be; from then on, and
    after `shield`, each further one is answered with a sentence and otherwise ignored. What was set before is set
    again on exit.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        """`say` prints a sentence; it is called from within a signal handler, so it had better be short."""
        self._say = say
        self._before: dict[signal.Signals, object] = {}
        self._shielded = False
        self.received: signal.Signals | None = None
        """The signal that ended it all; None when there was none."""

    @property
    def exit_code(self) -> int:
        """128 and the signal's number: 130 for Ctrl-C."""
        return 128 + (self.received or signal.SIGINT)

    def shield(self) -> None:
        """From now on nothing interrupts: the lab is being taken down."""
        self._shielded = True

    def __enter__(self) -> Self:
        """Take the signals over."""
        self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            # None stands for a handler that was not set from Python: there is no way to set it again.
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)  # type: ignore[arg-type]

    def _handle(self, number: int, _: FrameType | None) -> None:
        first = self.received is None
        if first:
            self.received = signal.Signals(number)
        if self._shielded:
            self._say("the lab is being taken down; it takes a few seconds")
            return
        self._shielded = True
        self._say("interrupted: the lab is being taken down")
        raise KeyboardInterrupt


def shield() -> None:
    """Shield whatever has taken the signals over, if anything has: the first thing to call when taking the lab down."""
    owner = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
    if isinstance(owner, Interrupts):
        owner.shield()
