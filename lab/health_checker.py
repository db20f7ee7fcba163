"""The checkers of Route 53: threads that ask the endpoints, and what follows for the status of each health check."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from lab.endpoint_probe import EndpointProbe
from lab.health_check import HealthCheck, Streak, found_by_alarm, found_by_children

_LOG = logging.getLogger(__name__)
_LOOK_EVERY = 0.1


class _Watch:
    """The thread that asks one endpoint at every interval and keeps what came of it."""

    def __init__(
        self, read: Callable[[], HealthCheck | None], resolve: Callable[[str], str | None], scale: float, name: str
    ) -> None:
        self.streak = Streak()
        self._read = read
        self._resolve = resolve
        self._scale = scale
        self._probe = EndpointProbe(scale)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._probe.abandon()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            check = self._read()
            if check is None:
                return
            due = time.monotonic() + check.interval * self._scale
            passed = self._passes(check)
            if not self._stopped.is_set():
                self.streak.observe(passed, check.failure_threshold)

    def _passes(self, check: HealthCheck) -> bool:
        try:
            host = check.ip_address or self._resolve(check.fqdn or "")
        except (KeyError, ValueError):
            _LOG.exception("the zone has no address for the health check's name %s", check.fqdn)
            return False
        return host is not None and self._probe.passes(check, (host, check.port))


@dataclass(frozen=True)
class _Known:
    """The status of a check, what was found before it was inverted, and when it last changed (None: never)."""

    found: bool
    status: bool
    changed: float | None = None


class HealthChecker:
    """Keeps the status of each health check that is in moto's Route 53. Safe in any thread."""

    def __init__(
        self,
        backend: Any,
        resolve: Callable[[str], str | None],
        alarm_state: Callable[[str, str], str | None],
        scale: float,
        publish: Callable[[str, bool], object] = lambda _check, _healthy: None,
        minute: float = 60.0,
    ) -> None:
        """`resolve`: name to address as the world outside sees it; `alarm_state`: Region and alarm name to its state;
        `scale`: factor on each RequestInterval. `publish` is told the status of each check every `minute` (seconds),
        as CloudWatch is.
        """
        self._backend = backend
        self._resolve = resolve
        self._alarm_state = alarm_state
        self._scale = scale
        self._publish = publish
        self._minute = minute
        self._known: dict[str, _Known] = {}
        self._watches: dict[str, _Watch] = {}
        self._ending: list[_Watch] = []
        self._lock = threading.Lock()
        self._running = False
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look at alarms and children ten times a second, and at each endpoint at its interval."""
        self._running = True
        self._stopped.clear()
        self._thread = threading.Thread(target=self._run, name="health-checker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End every thread and connection. The last status of each check remains."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self._lock:
            self._running = False
            watches = list(self._watches.values())
            ending = [*self._ending, *watches]
            self._watches.clear()
            self._ending.clear()
        for watch in watches:
            watch.stop()
        for watch in ending:
            watch.join()

    def status(self, check_id: str) -> bool:
        """Does Route 53 call that check healthy? KeyError if there is no such check."""
        return self._get(check_id).status

    def found(self, check_id: str) -> bool:
        """What the check found, before it was inverted; KeyError if there is no such check."""
        return self._get(check_id).found

    def last_change(self, check_id: str) -> float | None:
        """When its status last changed, in seconds since the epoch; None if it never did. KeyError if unknown."""
        return self._get(check_id).changed

    def statuses(self) -> dict[str, bool]:
        """Check id to status, of all that have been looked at."""
        with self._lock:
            return {check_id: known.status for check_id, known in self._known.items()}

    def _get(self, check_id: str) -> _Known:
        with self._lock:
            known = self._known.get(check_id)
        if known is None and check_id in self._backend.health_checks:
            self._look()
            with self._lock:
                known = self._known.get(check_id)
        if known is None:
            raise KeyError(f"there is no health check {check_id}")
        return known

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopped.wait(_LOOK_EVERY):
            try:
                self._look()
                if time.monotonic() >= due:
                    due = time.monotonic() + self._minute
                    for check_id, healthy in self.statuses().items():
                        self._publish(check_id, healthy)
            except Exception:
                _LOG.exception("the health checks could not be looked at")

    def _look(self) -> None:
        checks = {kept.id: HealthCheck.of(kept) for kept in list(self._backend.health_checks.values())}
        # Whoever answers for the alarms may hold a lock and ask us at the same time: no lock of ours is held here.
        states = {check.check_id: self._alarm_state(*check.alarm) for check in checks.values() if check.alarm}
        with self._lock:
            self._match_watches(checks)
            found: dict[str, bool] = {}
            for check_id in checks:
                self._find(check_id, checks, states, found)
            known = {check_id: self._judge(checks[check_id], found[check_id]) for check_id in checks}
            self._known = known

    def _match_watches(self, checks: Mapping[str, HealthCheck]) -> None:
        wanted = {check.check_id for check in checks.values() if check.is_endpoint and not check.disabled}
        for check_id in self._watches.keys() - wanted:
            watch = self._watches.pop(check_id)
            watch.stop()
            self._ending.append(watch)
        for check_id in wanted - self._watches.keys() if self._running else ():
            read = partial(self._read, check_id)
            self._watches[check_id] = _Watch(read, self._resolve, self._scale, f"health-check-{check_id[:8]}")

    def _read(self, check_id: str) -> HealthCheck | None:
        kept = self._backend.health_checks.get(check_id)
        return None if kept is None else HealthCheck.of(kept)

    def _find(
        self, check_id: str, checks: Mapping[str, HealthCheck], states: Mapping[str, str | None], found: dict[str, bool]
    ) -> None:
        """Put what this check finds into `found`, its children's first. A child that is gone is not healthy."""
        if check_id in found:
            return
        check = checks[check_id]
        before = self._known.get(check_id)
        last = before.found if before else True
        found[check_id] = last  # also what a circle of calculated checks comes upon
        if check.type == "CLOUDWATCH_METRIC":
            found[check_id] = found_by_alarm(states.get(check_id), check.insufficient_data, last)
        elif check.type == "CALCULATED":
            children = [child for child in check.children if child in checks]
            for child in children:
                self._find(child, checks, states, found)
            healthy = [checks[child].status(found[child]) for child in children]
            found[check_id] = found_by_children(healthy, check.health_threshold)
        elif check_id in self._watches:
            found[check_id] = self._watches[check_id].streak.healthy

    def _judge(self, check: HealthCheck, found: bool) -> _Known:
        status = check.status(found)
        before = self._known.get(check.check_id)
        if before is None:
            return _Known(found, status)
        return _Known(found, status, before.changed if before.status is status else time.time())
