"""What the shop answers to."""

from django.urls import path

from app.shop import health, views

urlpatterns = [
    path("", views.page),
    path("orders", views.place),
    path("orders/<str:order_id>", views.show),
    path("health/live", health.live),
    path("health/ready", health.ready),
]
