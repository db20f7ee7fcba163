"""Orders that are in the database before the clients start."""

from lab.region import Side
from lab.world import World


def seed(world: World, count: int) -> None:
    """Put `count` orders into the primary's database, as the application would have kept them."""
    with world.connect(Side.PRIMARY) as connection:
        connection.execute(
            "INSERT INTO shop_order (id, item, quantity, region, created_at)"
            " SELECT 'seed-' || n, 'item ' || n %% 97, n %% 9 + 1, 'seed', now() FROM generate_series(1, %s) AS n",
            (count,),
        )
