"""`relight doctor`, as the command line understands it."""

from typing import Annotated

import typer

from relight_cli.chosen import DEFAULT, Config
from relight_cli.deployed import App, Env, Json, OneRegion, PeerRegion, Whereabouts
from relight_cli.exit_code import Exit, Refused

Without = Annotated[
    str | None,
    typer.Option(
        "--without", metavar="REGION", help="The Region that is refused in the second part; else the primary."
    ),
]


def doctor(
    env: Env = None,
    config: Config = DEFAULT,
    app: App = None,
    region: OneRegion = None,
    peer_region: PeerRegion = None,
    without: Without = None,
    json: Json = False,
) -> int:
    """Look at all that a person needs who is to operate a failover from this machine: exit code 47 where some is
    missing.

    The second part signs in anew and asks again while every address of the primary Region, of us-east-1 and of AWS's
    global endpoints is refused: as on the night that counts. Nothing is changed, here or in AWS.
    """
    deployed = Whereabouts(env, config, app, region, peer_region).of_both()
    lost = deployed.regions[1] if without is None else without
    if lost not in deployed.regions:
        what = f"{lost} is no Region of {deployed.application}"
        do = f"choose one of: {' '.join(deployed.regions)}"
        raise Refused(what, where="in --without", do=do, code=Exit.BAD_INPUT)
    from relight_cli.doctoring import conduct  # noqa: PLC0415 - botocore and rich are heavy

    return conduct(deployed, lost, as_json=json)
