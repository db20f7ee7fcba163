"""`relight redrive`, as the command line understands it."""

from typing import Annotated

import typer

from relight_cli.answer import run_id
from relight_cli.chosen import DEFAULT, Config
from relight_cli.deployed import App, Env, Json, PeerRegion, Whereabouts

Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or its execution's ARN.")]
Anew = Annotated[
    bool, typer.Option("--anew", help="Where it cannot be driven on: start a new run with the same input.")
]
Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Show its steps until it has ended.")]
Region = Annotated[str | None, typer.Option("--region", metavar="REGION", help="The Region in which the run is.")]


def redrive(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    run: Run,
    anew: Anew = False,
    follow: Follow = True,
    env: Env = None,
    config: Config = DEFAULT,
    app: App = None,
    region: Region = None,
    peer_region: PeerRegion = None,
    json: Json = False,
) -> int:
    """Drive a run on that was stopped or timed out, where it stopped, if that can still succeed.

    A run that failed is not: its last state would fail again. --anew starts another one, which goes on from what it
    finds.
    """
    name = run_id(run)
    where = Whereabouts(env, config, app, region, peer_region)
    deployed = where.of_both() if peer_region is not None else where.of_a_run()
    from relight_cli.redriving import conduct  # noqa: PLC0415 - boto3 is heavy

    return conduct(deployed, name, anew=anew, follow=follow, as_json=json)
