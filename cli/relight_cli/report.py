"""`relight report`, as the command line understands it."""

from typing import Annotated

import typer

from relight_cli.answer import Run, run_id
from relight_cli.chosen import DEFAULT, Config
from relight_cli.deployed import App, Env, Json, PeerRegion, Whereabouts

Region = Annotated[str | None, typer.Option("--region", metavar="REGION", help="The Region in which the run was.")]
Open = Annotated[bool, typer.Option("--open", help="Open it in the browser.")]


def report(
    run: Run,
    env: Env = None,
    config: Config = DEFAULT,
    app: App = None,
    region: Region = None,
    peer_region: PeerRegion = None,
    open_: Open = False,
    json: Json = False,
) -> int:
    """Fetch the evidence of a run into build/reports/, and check it against its manifest.

    Both Regions are asked, as far as they are named. What is missing or damaged is said, and the rest is rendered.
    """
    where = Whereabouts(env, config, app, region, peer_region)
    name, deployed = run_id(run), where.of_both() if peer_region is not None else where.of_a_run()
    from relight_cli.reporting import conduct  # noqa: PLC0415 - boto3 is heavy

    return conduct(deployed, name, open_=open_, as_json=json)
