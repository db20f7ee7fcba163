"""What makes a Django database engine for PostgreSQL one that writes under the lease only."""

from types import SimpleNamespace
from typing import Any

import psycopg
from django.core.exceptions import ImproperlyConfigured

from relight_lease.connection import LeasedConnection
from relight_lease.keeper import shared
from relight_lease.settings import configured


class LeasedDatabase:
    """Goes before a subclass of Django's `postgresql` DatabaseWrapper.

    A wrapper that makes its connections without `self.Database.connect` must make them of a LeasedConnection.
    """

    Database = SimpleNamespace(**{**vars(psycopg), "connect": LeasedConnection.connect})

    @property
    def pool(self) -> None:
        """None. Raises ImproperlyConfigured where psycopg's pool is asked for: it would make connections of its own."""
        if self.settings_dict["OPTIONS"].get("pool"):  # type: ignore[attr-defined]
            raise ImproperlyConfigured("a database under the write lease cannot have a pool")

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Raises ImproperlyConfigured where the settings make no sense, or the wrapper makes other connections."""
        settings, keeper = configured(), shared()
        connection = super().get_new_connection(conn_params)  # type: ignore[misc]
        if not isinstance(connection, LeasedConnection):
            connection.close()
            raise ImproperlyConfigured(f"{type(connection).__name__} is no LeasedConnection: the lease covers nothing")
        try:
            connection.arm(keeper, settings.longest_transaction_seconds)
        except BaseException:
            connection.close()
            raise
        return connection

    def create_cursor(self, name: str | None = None) -> Any:
        """A server-side cursor begins its transaction by itself, and soon."""
        if name:
            self.connection.look()  # type: ignore[attr-defined]
        return super().create_cursor(name)  # type: ignore[misc]
