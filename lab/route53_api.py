"""Route 53's API as moto has it, and what it lacks: the fields that it drops, refusals, what the checkers saw."""

from collections.abc import Callable, Mapping
from typing import Any

from moto.route53.exceptions import InvalidInput
from moto.route53.models import FakeZone, HealthCheck, RecordSet, Route53Backend
from moto.route53.responses import Route53

from lab.health_check import default_port, fault_of
from lab.seam import Seams, require

_DROPPED = {"AlarmIdentifier": "alarm_identifier", "InsufficientDataHealthStatus": "insufficient_data_health_status"}
_CHECK = (
    "id type_ fqdn ip_address port resource_path search_string request_interval failure_threshold health_threshold "
    "inverted disabled enable_sni children health_check_version"
)
_RECORD = "name type ttl records alias_target failover health_check_id weight region geo_location multi_value_answer"


def install(seams: Seams, found: Callable[[str], bool]) -> None:
    """Keep what moto drops of a health check, refuse what the lab does not imitate, report what was found.

    `found` says what the check of that id found, before it is inverted. MotoChangedError if moto is not as expected.
    """
    require(HealthCheck("id", "reference", {}), *_CHECK.split())
    require(RecordSet({}), *_RECORD.split())
    require(FakeZone("name.", "id", False, "reference"), "rrsets")
    require(Route53Backend("aws", "000000000000"), "zones", "health_checks")
    require(Route53, "_get_param")
    seams.wrap(HealthCheck, "health_check_config", _with_dropped)
    seams.wrap(Route53, "create_health_check", _keeping_at_creation)
    seams.wrap(Route53, "update_health_check", _keeping_at_update)
    seams.wrap(Route53, "get_health_check_status", lambda original: _reporting(original, found))


def _with_dropped(original: property) -> property:
    def health_check_config(check: Any) -> dict[str, Any]:
        config: dict[str, Any] = original.__get__(check)
        return config | {name: getattr(check, attribute, None) for name, attribute in _DROPPED.items()}

    return property(health_check_config)


def _keep(check: Any, given: Mapping[str, Any]) -> None:
    for name, attribute in _DROPPED.items():
        if given.get(name) is not None:
            setattr(check, attribute, given[name])


def _keeping_at_creation(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def create_health_check(response: Any) -> Any:
        config = response._get_param("HealthCheckConfig")
        fault = fault_of(config)
        if fault is not None:
            raise InvalidInput(fault)
        answer = original(response)
        check = answer.result["HealthCheck"]
        _keep(check, config)
        if config.get("Port") is None:
            check.port = default_port(config["Type"])
        return answer

    return create_health_check


def _keeping_at_update(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def update_health_check(response: Any) -> Any:
        answer = original(response)
        check = answer.result["HealthCheck"]
        _keep(check, {name: response._get_param(name) for name in _DROPPED})
        check.health_check_version += 1
        return answer

    return update_health_check


def _reporting(original: Callable[[Any], Any], found: Callable[[str], bool]) -> Callable[[Any], Any]:
    def get_health_check_status(response: Any) -> Any:
        answer = original(response)
        passed = found(response._get_param("HealthCheckId"))
        for observation in answer.result["HealthCheckObservations"]:
            observation["StatusReport"]["Status"] = "Success" if passed else "Failure"
        return answer

    return get_health_check_status
