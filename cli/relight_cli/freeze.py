"""`relight freeze` and `relight unfreeze`, as the command line understands them."""

import time
from typing import Annotated

import typer

from relight_cli.chosen import DEFAULT, Config
from relight_cli.deployed import App, Env, Json, OneRegion, PeerRegion, Whereabouts, reason
from relight_cli.moment import FORMS

Reason = Annotated[str, typer.Option("--reason", metavar="WHY", help="Kept in both ledgers, and read by others.")]
Until = Annotated[str, typer.Option("--until", metavar="WHEN", help=f"Its end: {FORMS}, counted from its beginning.")]
From = Annotated[str | None, typer.Option("--from", metavar="WHEN", help="Its beginning, in the same forms; else now.")]
Why = Annotated[str, typer.Option("--reason", metavar="WHY", help="What is said of it here; the freeze is gone.")]


def freeze(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    until: Until,
    because: Reason,
    begins: From = None,
    env: Env = None,
    config: Config = DEFAULT,
    app: App = None,
    region: OneRegion = None,
    peer_region: PeerRegion = None,
    json: Json = False,
) -> int:
    """Let no run begin for a while: a freeze now, or a maintenance window ahead. There is one at a time.

    It is written to the ledgers of both Regions. Without samconfig.toml, give --app, --region and --peer-region.
    """
    said, deployed = reason(because), Whereabouts(env, config, app, region, peer_region).of_both()
    from relight_cli.freezing import conduct, window  # noqa: PLC0415 - boto3 is heavy

    return conduct(deployed, window(begins, until, time.time()), said, as_json=json)


def unfreeze(
    because: Why,
    env: Env = None,
    config: Config = DEFAULT,
    app: App = None,
    region: OneRegion = None,
    peer_region: PeerRegion = None,
    json: Json = False,
) -> int:
    """Take a freeze back, in the ledgers of both Regions; also one that lies ahead."""
    said, deployed = reason(because), Whereabouts(env, config, app, region, peer_region).of_both()
    from relight_cli.freezing import conduct  # noqa: PLC0415 - boto3 is heavy

    return conduct(deployed, None, said, as_json=json)
