"""Orders over HTTP, and a page that shows them."""

import logging
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_safe

from app.shop import orders
from app.shop.models import Order

_log = logging.getLogger("app.shop")
SHOWN = 50
"""How many orders the page shows."""


@require_http_methods(["POST"])  # type: ignore[untyped-decorator]
def place(request: HttpRequest) -> HttpResponse:
    """POST /orders: 201 once the order is committed, also when asked again; 409 for the same id with another body."""
    try:
        wanted = orders.parse(request.body)
    except RequestDataTooBig:
        return JsonResponse({"error": "The body is too long."}, status=400)
    except orders.RequestRefusedError as refusal:
        return JsonResponse({"error": str(refusal)}, status=400)
    try:
        kept = orders.place(wanted)
    except orders.OrderConflictError:
        return JsonResponse({"error": f"There is another order with the id {wanted.id}."}, status=409)
    return JsonResponse(_as_json(kept), status=201)


@require_safe  # type: ignore[untyped-decorator]
def show(_request: HttpRequest, order_id: str) -> HttpResponse:
    """GET /orders/<id>."""
    order = None if "\0" in order_id else Order.objects.filter(pk=order_id).first()
    if order is None:
        return JsonResponse({"error": "There is no order with this id."}, status=404)
    return JsonResponse(_as_json(order))


@require_safe  # type: ignore[untyped-decorator]
def page(request: HttpRequest) -> HttpResponse:
    """GET /: the latest orders and the Region that serves them; 503 and a sentence where they cannot be read."""
    content: dict[str, Any] = {"region": settings.REGION, "drill": settings.DRILL, "orders": [], "readable": True}
    try:
        content["orders"] = list(Order.objects.order_by("-created_at")[:SHOWN])
    except DatabaseError as error:
        _log.warning("the page cannot show the orders: %s", error)
        connection.close()
        content["readable"] = False
    return render(request, "shop/page.html", content, status=200 if content["readable"] else 503)


def _as_json(order: Order) -> dict[str, Any]:
    return {
        "id": order.id,
        "item": order.item,
        "quantity": order.quantity,
        "region": order.region,
        "created_at": order.created_at.isoformat(),
    }
