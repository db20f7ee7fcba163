"""What a Route 53 health check is and how its status follows from what was seen. Pure: no clock, no socket."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ENDPOINT_TYPES = frozenset({"HTTP", "HTTPS", "HTTP_STR_MATCH", "HTTPS_STR_MATCH", "TCP"})
TYPES = ENDPOINT_TYPES | {"CLOUDWATCH_METRIC", "CALCULATED"}
_HTTP_PORT = 80
_HTTPS_PORT = 443


@dataclass(frozen=True)
class HealthCheck:
    """The configuration of one health check."""

    check_id: str
    type: str
    fqdn: str | None = None
    ip_address: str | None = None
    port: int = _HTTP_PORT
    path: str = "/"
    search_string: str | None = None
    interval: int = 30
    """Seconds from one request to the next, unscaled."""
    failure_threshold: int = 3
    """How many equal results in a row change the status, in either direction."""
    inverted: bool = False
    disabled: bool = False
    enable_sni: bool = False
    children: tuple[str, ...] = ()
    health_threshold: int = 0
    alarm: tuple[str, str] | None = None
    """Region and name of the CloudWatch alarm."""
    insufficient_data: str = "LastKnownStatus"

    @classmethod
    def of(cls, check: Any) -> "HealthCheck":
        """What moto keeps of a health check, with the attributes that `lab.route53` adds to it."""
        children = tuple(check.children or ())
        alarm: Mapping[str, str] | None = getattr(check, "alarm_identifier", None)
        threshold = check.health_threshold
        return cls(
            check_id=check.id,
            type=check.type_,
            fqdn=check.fqdn,
            ip_address=check.ip_address,
            port=int(check.port),
            path=check.resource_path or "/",
            search_string=check.search_string,
            interval=int(check.request_interval),
            failure_threshold=int(check.failure_threshold),
            inverted=bool(check.inverted),
            disabled=bool(check.disabled),
            enable_sni=bool(check.enable_sni),
            children=children,
            health_threshold=len(children) if threshold is None else int(threshold),
            alarm=(alarm["Region"], alarm["Name"]) if alarm else None,
            insufficient_data=getattr(check, "insufficient_data_health_status", None) or "LastKnownStatus",
        )

    @property
    def is_endpoint(self) -> bool:
        return self.type in ENDPOINT_TYPES

    @property
    def is_tls(self) -> bool:
        return self.type.startswith("HTTPS")

    def status(self, found: bool) -> bool:
        """Whether Route 53 calls it healthy: a disabled check counts as found healthy, and then it may be inverted."""
        return (self.disabled or found) is not self.inverted


def fault_of(config: Mapping[str, Any]) -> str | None:
    """Why Route 53, or the lab, would not take this HealthCheckConfig; None if it would."""
    kind = config.get("Type")
    if kind not in TYPES:
        return f"the lab does not imitate health checks of type {kind}"
    if kind == "CLOUDWATCH_METRIC" and not config.get("AlarmIdentifier"):
        return "a CLOUDWATCH_METRIC health check needs an AlarmIdentifier"
    if kind == "CALCULATED" and "HealthThreshold" not in config:
        return "a CALCULATED health check needs a HealthThreshold"
    if kind in ENDPOINT_TYPES and not (config.get("IPAddress") or config.get("FullyQualifiedDomainName")):
        return f"a {kind} health check needs an IPAddress or a FullyQualifiedDomainName"
    if kind in ENDPOINT_TYPES and int(config.get("RequestInterval", 30)) not in (10, 30):
        return "RequestInterval is 10 or 30 seconds"
    return None


def default_port(kind: str) -> int:
    """The port of an endpoint check that states none."""
    return _HTTPS_PORT if kind.startswith("HTTPS") else _HTTP_PORT


class Streak:
    """What an endpoint has been found to be. A new one is healthy; so many contrary results in a row change it."""

    def __init__(self) -> None:
        self.healthy = True
        self._contrary = 0

    def observe(self, passed: bool, threshold: int) -> None:
        """Take in one result."""
        self._contrary = 0 if passed is self.healthy else self._contrary + 1
        if self._contrary >= threshold:
            self.healthy = passed
            self._contrary = 0


def found_by_alarm(state: str | None, insufficient_data: str, last_known: bool) -> bool:
    """What an alarm's state says. No state, as of an alarm that nobody can read, is insufficient data."""
    if state in ("OK", "ALARM"):
        return state == "OK"
    return {"Healthy": True, "Unhealthy": False}.get(insufficient_data, last_known)


def found_by_children(children: Sequence[bool], threshold: int) -> bool:
    """Are at least so many children healthy? A threshold of 0 always is, one above their number never."""
    return sum(children) >= threshold
