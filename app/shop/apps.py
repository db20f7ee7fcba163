"""The shop as Django knows it."""

from django.apps import AppConfig


class ShopConfig(AppConfig):  # type: ignore[misc]
    """Gives the tables the prefix `shop_`."""

    name = "app.shop"
    label = "shop"
