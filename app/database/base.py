"""The module that Django looks for in an engine."""

from typing import Any

import psycopg
from django.db.backends.postgresql import base

from app.database.connection import PatientConnection, patience


class DatabaseWrapper(base.DatabaseWrapper):  # type: ignore[misc]
    """PostgreSQL through PatientConnection; neither a pool nor another isolation level can be configured."""

    connection_class = PatientConnection

    def get_new_connection(self, conn_params: dict[str, Any]) -> PatientConnection:
        self.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        return self.connection_class.connect(**conn_params)

    def is_usable(self) -> bool:
        """Asked before each request about a kept connection. A second without an answer is a no: a new one is cheap."""
        with patience(1):
            return bool(super().is_usable())
