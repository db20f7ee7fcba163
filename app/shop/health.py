"""What load balancers and health checks ask."""

import logging

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache

from app.database.connection import patience

_log = logging.getLogger("app.health")
_reported: dict[str, str | None] = {"reason": None}


@never_cache  # type: ignore[untyped-decorator]
def live(_request: HttpRequest) -> HttpResponse:
    """GET /health/live: the process answers. The database has no say."""
    return JsonResponse({"status": "alive"})


@never_cache  # type: ignore[untyped-decorator]
def ready(_request: HttpRequest) -> HttpResponse:
    """GET /health/ready: 200 only where the database takes writes now."""
    reason = _why_not()
    if reason != _reported["reason"]:  # asked every few seconds: only a change is news
        _reported["reason"] = reason
        _log.warning("ready" if reason is None else "not ready: %s", *([] if reason is None else [reason]))
    if reason is None:
        return JsonResponse({"status": "ready", "region": settings.REGION})
    return JsonResponse({"status": "not ready", "reason": reason}, status=503)


def _why_not() -> str | None:
    """Why the database takes no writes; None where it does."""
    try:
        with patience(2), connection.cursor() as cursor:
            cursor.execute("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool")
            (read_only,) = cursor.fetchone()
    except DatabaseError:
        connection.close()
        return "database is unreachable"
    if read_only:
        # A session that began read-only stays so: the next question goes to a new one.
        connection.close()
        return "database is read-only"
    return None
