"""What every answer has in common."""

import logging
from collections.abc import Callable

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse

_log = logging.getLogger("app.shop")


class RegionMiddleware:
    """Says on every answer, refusals included, which Region gave it, and that it is a drill's where it is."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._inner = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = self._inner(request)
        answer.headers["X-Relight-Region"] = settings.REGION
        if settings.DRILL:
            answer.headers["X-Relight-Drill"] = "1"
        return answer


class HostMiddleware:
    """Refuses requests for hosts that are not the shop's.

    Health checks are answered whatever the Host: a load balancer asks by address.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._inner = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith("/health/"):
            request.get_host()
        return self._inner(request)


class DatabaseMiddleware:
    """Turns every refusal of the database into a 503, and drops the connection, so that the next request gets a new
    one: the old one may lead to a server that is gone, or that has become read-only."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._inner = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._inner(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Called by Django with what a view raised."""
        if not isinstance(exception, DatabaseError):
            _log.error("%s %s failed", request.method, request.path, exc_info=exception)
            return None
        _log.warning("%s %s: the database refused: %s", request.method, request.path, str(exception).strip())
        connection.close()
        return JsonResponse({"error": "The database takes no orders at the moment. Ask again."}, status=503)
