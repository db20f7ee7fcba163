"""The module that Django looks for in an engine."""

from django.db.backends.postgresql import base

from relight_lease.database import LeasedDatabase


class DatabaseWrapper(LeasedDatabase, base.DatabaseWrapper):  # type: ignore[misc]
    """PostgreSQL, which takes writes while this Region holds the lease."""
