"""What the shop keeps."""

import datetime

from django.db import models
from django.db.models.functions import Now


class Order(models.Model):  # type: ignore[misc]
    """An order. Its id is the client's own, so that a client that got no answer can ask again."""

    id: str = models.TextField(primary_key=True)
    item: str = models.TextField()
    quantity: int = models.IntegerField()
    region: str = models.TextField()
    """The AWS Region whose instance took it."""
    created_at: datetime.datetime = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=models.Q(quantity__gte=1, quantity__lte=1000), name="shop_order_quantity_in_range"
            ),
        )
        indexes = (models.Index(fields=("-created_at",), name="shop_order_latest"),)

    def __str__(self) -> str:
        return f"{self.id}: {self.quantity} of {self.item}"
