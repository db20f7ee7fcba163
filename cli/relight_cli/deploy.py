"""`relight deploy`, as the command line understands it."""

from pathlib import Path
from typing import Annotated

import typer

from relight_cli.chosen import DEFAULT, Config, LookEvery, Name, chosen
from relight_cli.deployed import Json


def deploy(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    env: Name,
    config: Config = DEFAULT,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would be done, and do nothing.")] = False,
    json: Json = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    release: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The application's release; build/release-<arch>.tar.gz if not given."),
    ] = None,
    skip_build: Annotated[bool, typer.Option("--skip-build", help="Take what sam build has built before.")] = False,
    delete_failed: Annotated[
        bool, typer.Option("--delete-failed", help="Delete a stack whose first creation failed, and create it anew.")
    ] = False,
    look_every: LookEvery = 5.0,
    switch_minutes: Annotated[
        float, typer.Option(metavar="N", min=0, help="How long to wait for the first data of the switches.")
    ] = 10.0,
) -> int:
    """Deploy an environment: keys, primary, dr, the primary again with its peer ready, DNS. Safe to repeat."""
    environment = chosen(env, config)
    # boto3 and the templates are read for a deployment only.
    from relight_cli.deploying import Wishes, conduct  # noqa: PLC0415

    wishes = Wishes(
        plan=plan,
        json=json,
        yes=yes,
        skip_build=skip_build,
        delete_failed=delete_failed,
        release=release,
        look_every=look_every,
        switch_minutes=switch_minutes,
    )
    return conduct(environment, wishes)
