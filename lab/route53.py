"""Route 53 behind moto's API: health checkers that really look, and hosted zones that answer by what they find."""

from collections.abc import Callable
from typing import Any

from moto.backends import get_backend

from lab import change_batch, route53_api
from lab.health_checker import HealthChecker
from lab.hosted_zone import HostedZones
from lab.region import Side, Vantage
from lab.seam import Seams


def moto_backend(account: str) -> Any:
    """The state of moto's Route 53, one for all Regions."""
    return get_backend("route53")[account]["aws"]


class Route53:
    """The data plane of Route 53: health checks and hosted zones, each knowing of the other."""

    def __init__(
        self,
        backend: Any,
        *,
        alarm_state: Callable[[str, str], str | None],
        healthy_targets: Callable[[str], bool],
        alb_address: Callable[[str, Vantage], str | None],
        health_check_scale: float,
        alias_ttl: int,
        publish: Callable[[str, bool], object] = lambda _check, _healthy: None,
        minute: float = 60.0,
    ) -> None:
        """`backend` is moto's, as `moto_backend` gives it; `health_check_scale` the factor on each RequestInterval;
        `alias_ttl` the TTL of an alias's answer in seconds; `publish` is told each check's id and status every
        `minute` (seconds).
        """
        self.checker = HealthChecker(backend, self._resolve, alarm_state, health_check_scale, publish, minute)
        self.zones = HostedZones(backend, self.checker.status, healthy_targets, alb_address, alias_ttl)
        self._seams = Seams()

    def install(self) -> None:
        """Let moto's API keep what it drops of a health check, and tell what the checkers found."""
        route53_api.install(self._seams, self.checker.found)
        change_batch.install(self._seams)

    def start(self) -> None:
        """Begin to check."""
        self.checker.start()

    def stop(self) -> None:
        """End every check and undo `install`."""
        self.checker.stop()
        self._seams.undo()

    def status(self, check_id: str) -> bool:
        return self.checker.status(check_id)

    def statuses(self) -> dict[str, bool]:
        return self.checker.statuses()

    def last_change(self, check_id: str) -> float | None:
        return self.checker.last_change(check_id)

    def answer_of(self, name: str, vantage: Vantage = Vantage.OUTSIDE) -> Side | None:
        return self.zones.answer_of(name, vantage)

    def _resolve(self, name: str) -> str | None:
        return self.zones.address_of(name, Vantage.OUTSIDE)
