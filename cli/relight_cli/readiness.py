"""`relight readiness`, as the command line understands it."""

from typing import Annotated

import typer

from relight_cli.chosen import DEFAULT, Config
from relight_cli.deployed import App, Env, Json, PeerRegion, Whereabouts
from relight_cli.exit_code import Exit, Refused

Region = Annotated[
    str | None, typer.Option("--region", metavar="REGION", help="The Region to look at; else the one that stands by.")
]
Last = Annotated[bool, typer.Option("--last", help="What the ledger has of the last look; nothing is looked at.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="The list of the checks, as docs/readiness.md.")]


def readiness(
    last: Last = False,
    markdown: Markdown = False,
    env: Env = None,
    config: Config = DEFAULT,
    app: App = None,
    region: Region = None,
    peer_region: PeerRegion = None,
    json: Json = False,
) -> int:
    """Look at everything that a failover would need, and say what is not well: exit code 1 where a check fails.

    It is 1 as well in the active Region, where nothing is judged, and for a last look that is older than an hour.
    Without samconfig.toml, give --app and --region, or both Regions.
    """
    if markdown:
        return _listing(last or json)
    where = Whereabouts(env, config, app, region, peer_region)
    deployed = where.of_both() if peer_region is not None else where.of_a_run("application this is")
    from relight_cli.inspecting import conduct  # noqa: PLC0415 - boto3 and rich are heavy

    return conduct(deployed, last=last, as_json=json)


def _listing(more: bool) -> int:
    if more:
        do = "leave the other out"
        raise Refused("--markdown is the whole page", where="in the command line", do=do, code=Exit.BAD_INPUT)
    from relight.readiness_manual import markdown  # noqa: PLC0415 - the core is heavy

    print(markdown(), end="")
    return Exit.DONE
