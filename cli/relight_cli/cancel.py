"""`relight cancel`, as the command line understands it."""

from typing import Annotated

import typer

from relight_cli.answer import run_id
from relight_cli.chosen import DEFAULT, Config
from relight_cli.deployed import App, Env, Json, PeerRegion, Whereabouts, reason

Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or its execution's ARN.")]
Reason = Annotated[str, typer.Option("--reason", metavar="WHY", help="Kept as the cause, and read by others.")]
Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Wait until what it had begun is undone.")]
Region = Annotated[str | None, typer.Option("--region", metavar="REGION", help="The Region in which the run is.")]


def cancel(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    run: Run,
    because: Reason,
    follow: Follow = True,
    env: Env = None,
    config: Config = DEFAULT,
    app: App = None,
    region: Region = None,
    peer_region: PeerRegion = None,
    json: Json = False,
) -> int:
    """End a run before its one-way door, and wait until what it had begun is undone.

    A run that asks is declined. Behind the door there is only forward: it is refused then.
    """
    name, said = run_id(run), reason(because)
    where = Whereabouts(env, config, app, region, peer_region)
    deployed = where.of_both() if peer_region is not None else where.of_a_run()
    from relight_cli.cancelling import Wish, conduct  # noqa: PLC0415 - boto3 is heavy

    return conduct(deployed, Wish(name, said), follow=follow, as_json=json)
