"""What a refused write raises."""

from django.db import OperationalError


class LeaseLost(OperationalError):  # type: ignore[misc]
    """This Region holds no write lease, so the database was not written; the message says why.

    One case is open: where the answer to a COMMIT came too late, the message says so and the write may stand, as with
    any connection that is lost during a COMMIT.
    """
