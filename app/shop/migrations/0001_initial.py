"""The orders."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):  # type: ignore[misc]
    initial = True

    operations = (
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.TextField(primary_key=True, serialize=False)),
                ("item", models.TextField()),
                ("quantity", models.IntegerField()),
                ("region", models.TextField()),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "indexes": [models.Index(fields=["-created_at"], name="shop_order_latest")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("quantity__gte", 1), ("quantity__lte", 1000)),
                        name="shop_order_quantity_in_range",
                    )
                ],
            },
        ),
    )
