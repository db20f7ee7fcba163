"""The module that Django looks for in an engine."""

from relight_lease.connection import LeasedConnection
from relight_lease.database import LeasedDatabase

from app.database import base
from app.database.connection import PatientConnection


class LeasedPatientConnection(LeasedConnection, PatientConnection):
    """Gives up on a silent server, and writes under the lease only."""


class DatabaseWrapper(LeasedDatabase, base.DatabaseWrapper):
    """PostgreSQL, which takes orders while this Region holds the lease."""

    connection_class = LeasedPatientConnection
