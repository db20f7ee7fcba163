"""`relight history`, as the command line understands it."""

from pathlib import Path
from typing import Annotated

import typer

from relight_cli.chosen import DEFAULT, Config
from relight_cli.deployed import App, Env, Json, PeerRegion, Whereabouts

Region = Annotated[str | None, typer.Option("--region", metavar="REGION", help="The Region to ask, with --app.")]
Page = Annotated[Path | None, typer.Option("--page", metavar="FILE", help="Write the trend over these runs there.")]
Newest = Annotated[int, typer.Option("--newest", metavar="N", min=1, max=2000, help="How many of them.")]


def history(
    page: Page = None,
    newest: Newest = 100,
    env: Env = None,
    config: Config = DEFAULT,
    app: App = None,
    region: Region = None,
    peer_region: PeerRegion = None,
    json: Json = False,
) -> int:
    """List the failovers, failbacks and drills of both Regions, newest first, with what was measured.

    Without samconfig.toml, give --app and --region, or both Regions. A Region that does not answer is named.
    """
    where = Whereabouts(env, config, app, region, peer_region)
    deployed = where.of_both() if peer_region is not None else where.of_a_run("application this is")
    from relight_cli.recounting import conduct  # noqa: PLC0415 - boto3 and rich are heavy

    return conduct(deployed, newest, page, as_json=json)
