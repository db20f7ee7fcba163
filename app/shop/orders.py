"""What an order may be, and how one is placed exactly once."""

import json
import re
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from app.shop.models import Order

_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class RequestRefusedError(Exception):
    """The client asks for something that is no order; the message is a sentence for it."""


class OrderConflictError(Exception):
    """There is another order with the same id."""


@dataclass(frozen=True)
class Request:
    """An order as a client asks for it, known to be well-formed."""

    id: str
    item: str
    quantity: int


def parse(body: bytes) -> Request:
    """The order in a request's JSON body. Raises RequestRefusedError."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestRefusedError("The body is not JSON.") from None
    if not isinstance(asked, dict) or asked.keys() != {"id", "item", "quantity"}:
        raise RequestRefusedError("The body must be an object of exactly id, item and quantity.")
    identifier, item, quantity = asked["id"], asked["item"], asked["quantity"]
    if not isinstance(identifier, str) or not _ID.fullmatch(identifier):
        raise RequestRefusedError("id must be 1 to 64 of the characters A-Z a-z 0-9 _ . : -")
    if not isinstance(item, str) or not 1 <= len(item) <= 100 or not _storable(item):
        raise RequestRefusedError("item must be a text of 1 to 100 characters.")
    if type(quantity) is not int or not 1 <= quantity <= 1000:
        raise RequestRefusedError("quantity must be a whole number from 1 to 1000.")
    return Request(identifier, item, quantity)


def place(request: Request) -> Order:
    """Commit the order, or find that this very order has been committed before; when it returns, it is kept.

    Raises OrderConflictError for a known id with another content, and django.db.Error where the database does
    not take it; then it may have been committed all the same, and asking again tells.
    """
    with transaction.atomic():
        wanted = Order(id=request.id, item=request.item, quantity=request.quantity, region=settings.REGION)
        Order.objects.bulk_create([wanted], ignore_conflicts=True)
        kept: Order = Order.objects.get(pk=request.id)
    if (kept.item, kept.quantity) != (request.item, request.quantity):
        raise OrderConflictError
    return kept


def _storable(text: str) -> bool:
    """Whether PostgreSQL can keep the text: neither NUL nor half of a surrogate pair."""
    return "\0" not in text and not any(0xD800 <= ord(character) <= 0xDFFF for character in text)
