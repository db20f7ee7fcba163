"""`relight watch`, as the command line understands it."""

from typing import Annotated

import typer

from relight_cli.chosen import DEFAULT, Config
from relight_cli.deployed import App, Env, OneRegion, PeerRegion, Whereabouts

Every = Annotated[float, typer.Option("--every", metavar="SECONDS", min=1, max=3600, help="Between two looks.")]
Run = Annotated[
    str | None, typer.Option("--run", metavar="RUN", help="Follow that run to its end, and end as it ends.")
]
Lines = Annotated[bool, typer.Option("--json", help="As JSON, a line for each change.")]


def watch(
    every: Every = 5.0,
    run: Run = None,
    env: Env = None,
    config: Config = DEFAULT,
    app: App = None,
    region: OneRegion = None,
    peer_region: PeerRegion = None,
    json: Lines = False,
) -> int:
    """Show what `relight status` shows, over and over, until Ctrl-C; into a pipe, a line for each change.

    A Region that falls silent is said to be so, and is looked for again. With --run: 0 where the run succeeded, else 1.
    """
    deployed = Whereabouts(env, config, app, region, peer_region).of_both()
    from relight_cli.answer import run_id  # noqa: PLC0415
    from relight_cli.watching import conduct  # noqa: PLC0415 - boto3 and rich are heavy

    return conduct(deployed, every, None if run is None else run_id(run), as_json=json)
