"""`relight retired`, as the command line understands it."""

from typing import Annotated

import typer

from relight_cli.chosen import DEFAULT, Config
from relight_cli.deployed import App, Env, Json, PeerRegion, Whereabouts, reason
from relight_cli.exit_code import Exit, Refused

Delete = Annotated[
    str | None, typer.Option("--delete", metavar="ID", help="Delete this one, with a last snapshot; needs --reason.")
]
Reason = Annotated[str | None, typer.Option("--reason", metavar="WHY", help="Why it is deleted; kept with it.")]
Region = Annotated[str | None, typer.Option("--region", metavar="REGION", help="The Region to look in, with --app.")]


def retired(
    delete: Delete = None,
    because: Reason = None,
    env: Env = None,
    config: Config = DEFAULT,
    app: App = None,
    region: Region = None,
    peer_region: PeerRegion = None,
    json: Json = False,
) -> int:
    """List the old databases that a failback has kept, or delete one of them for good.

    Both Regions are asked, as far as they answer. Without samconfig.toml, give --app and --region, or both Regions.
    """
    if (delete is None) != (because is None):
        raise Refused(
            "a reason is for a deletion, and a deletion needs one" if delete is None else "a deletion needs a reason",
            where="in the command line",
            do="give --delete ID and --reason WHY together",
            code=Exit.BAD_INPUT,
        )
    why = None if because is None else reason(because)
    where = Whereabouts(env, config, app, region, peer_region)
    deployed = where.of_both() if peer_region is not None else where.of_a_run("application this is")
    from relight_cli.retiring import Deletion, conduct, listing  # noqa: PLC0415 - boto3 is heavy

    if delete is None or why is None:
        return listing(deployed, as_json=json)
    return conduct(deployed, Deletion(delete.strip(), why), as_json=json)
