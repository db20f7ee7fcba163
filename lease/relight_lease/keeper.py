"""Renews the lease in a thread of its own, once in each process that writes."""

import logging
import os
import threading
import weakref
from collections.abc import Callable

from relight_lease.lease import Lease
from relight_lease.settings import LeaseSettings, configured
from relight_lease.store import Answer, Store

_log = logging.getLogger("relight_lease")


def _in_thread(run: Callable[[], None]) -> None:
    threading.Thread(target=run, name="relight-lease", daemon=True).start()


class Keeper:
    """The lease of one process. Its methods may be called from any thread, and in a child after a fork.

    A child asks anew: the thread that renews is its parent's. Nothing is asked before somebody wants to write.
    """

    def __init__(
        self,
        lease: Lease,
        ask: Callable[[], Answer],
        region: str,
        begin: Callable[[Callable[[], None]], None] = _in_thread,
    ) -> None:
        """`ask` asks the store and raises where it cannot; `region` is for the messages. `begin` gets what renews for
        ever, to be run beside whoever holds the lease."""
        self._lease = lease
        self._ask = ask
        self._region = region
        self._begin = begin
        self.begin_anew()
        _all.add(self)

    def begin_anew(self) -> None:
        """As if it had just been made."""
        self._lease.take_away()
        self._starting = threading.Lock()
        self._started = False
        self._answered = threading.Event()
        self._held: bool | None = None
        self._because = "it has not been asked for"

    @property
    def because(self) -> str:
        """Whether the lease is held, and why; one sentence."""
        return f"{self._region} holds {'no' if self._lease.end() is None else 'the'} write lease: {self._because}"

    def now(self) -> float:
        """The clock by which `end` counts."""
        return self._lease.clock()

    def end(self) -> float | None:
        """When the lease runs out unless it is renewed; None where it is not held.

        The first call begins to renew and waits for the first answer, no longer than the term; no other call waits.
        """
        if not self._started:
            self._start()
        if not self._answered.is_set():
            self._answered.wait(self._lease.term)
            self._answered.set()  # or given up: a store that does not even refuse must not hold every call up
        return self._lease.end()

    def renew(self) -> None:
        """Ask once. Where the store cannot be asked, the lease that is held runs on to its end."""
        asked_at = self._lease.clock()
        try:
            answer = self._ask()
        except Exception as error:
            # Whatever it is: what keeps the store from being asked must not keep it from being asked again.
            self._because = f"the store could not be asked: {type(error).__name__}: {error}"
        else:
            self._because = answer.sentence
            if answer.granted:
                self._lease.grant(asked_at)
            else:
                self._lease.take_away()
        self._answered.set()
        self._tell()

    def _tell(self) -> None:
        held = self._lease.end() is not None
        if held != self._held:
            self._held = held
            _log.log(logging.INFO if held else logging.WARNING, "%s", self.because)

    def _start(self) -> None:
        with self._starting:
            if not self._started:
                self._begin(self._run)
                self._started = True

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            begun = self._lease.clock()
            self.renew()
            pause.wait(max(0.0, begun + self._lease.term / 3 - self._lease.clock()))


_all: weakref.WeakSet[Keeper] = weakref.WeakSet()


def _forked() -> None:
    for keeper in _all:
        keeper.begin_anew()


os.register_at_fork(after_in_child=_forked)


def keeper_of(settings: LeaseSettings) -> Keeper:
    """A keeper that asks the ledger that these settings name."""
    return Keeper(Lease(settings.term_seconds), Store(settings).ask, settings.region)


_keepers: dict[LeaseSettings, Keeper] = {}


def shared() -> Keeper:
    """The keeper of this process, by the project's settings. Raises ImproperlyConfigured."""
    settings = configured()
    if settings not in _keepers:
        _keepers.setdefault(settings, keeper_of(settings))
    return _keepers[settings]
