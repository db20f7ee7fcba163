"""`relight destroy`, as the command line understands it."""

from typing import Annotated

import typer

from relight_cli.chosen import DEFAULT, Config, LookEvery, Name, chosen
from relight_cli.deployed import Json


def destroy(
    env: Name,
    config: Config = DEFAULT,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; not about data.")] = False,
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Delete databases, buckets, ledgers and secrets too.")
    ] = False,
    confirm: Annotated[
        str,
        typer.Option(
            metavar="APPLICATION", help="With --delete-data: the application's name, where nobody can type it."
        ),
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Also while the home primary is not active, or that is not known.")
    ] = False,
    look_every: LookEvery = 5.0,
    json: Json = False,
) -> int:
    """Delete an environment's stacks in reverse order. What holds data stays, unless --delete-data says otherwise."""
    environment = chosen(env, config)
    from relight_cli.destroying import Wishes, conduct  # noqa: PLC0415 - as in deploy

    wishes = Wishes(delete_data=delete_data, yes=yes, confirm=confirm, force=force, look_every=look_every, json=json)
    return conduct(environment, wishes)
