"""`relight cost`, as the command line understands it."""

from typing import Annotated

import typer

from relight_cli.chosen import DEFAULT, Config, chosen


def cost(
    env: Annotated[str, typer.Option(metavar="NAME", help="The environment of samconfig.toml.")] = "prod",
    config: Config = DEFAULT,
    json: Annotated[bool, typer.Option("--json", help="As JSON, with each price's date and source.")] = False,
) -> int:
    """Reckon what the orchestrator, one failover and the pilot light cost. 0: within the limits, 1: above one."""
    environment = chosen(env, config)
    # The templates are read for an estimate only.
    from relight_cli.costing import conduct  # noqa: PLC0415

    return conduct(environment, as_json=json)
