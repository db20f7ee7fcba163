"""The package as Django knows it."""

from django.apps import AppConfig

from relight_lease.keeper import shared


class RelightLeaseConfig(AppConfig):  # type: ignore[misc]
    """Refuses to start where RELIGHT_LEASE makes no sense."""

    name = "relight_lease"
    verbose_name = "Relight's write lease"

    def ready(self) -> None:
        shared()
