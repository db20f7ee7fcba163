"""`relight cut-over`, as the command line understands it."""

from typing import Annotated

import typer

from relight_cli.chosen import DEFAULT, Config, LookEvery, Name, chosen
from relight_cli.deployed import Json


def cut_over(
    env: Name,
    config: Config = DEFAULT,
    plan: Annotated[bool, typer.Option("--plan", help="Print the batch and its reverse, and send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    look_every: LookEvery = 5.0,
    json: Json = False,
) -> int:
    """Put the failover pair in the place of the domain's simple record, in one atomic batch."""
    environment = chosen(env, config)
    from relight_cli.cutting_over import Wishes, conduct  # noqa: PLC0415 - as in deploy

    return conduct(environment, Wishes(plan=plan, yes=yes, look_every=look_every, json=json))
