"""`relight failback`, as the command line understands it."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from relight_cli.accepted import accepted
from relight_cli.chosen import DEFAULT, Config
from relight_cli.deployed import App, Env, Json, Whereabouts, reason
from relight_cli.exit_code import Exit, Refused


class To(StrEnum):
    """`home`: the Region becomes active again. `protected`: it becomes the standby of the active one, and no more."""

    HOME = "home"
    PROTECTED = "protected"


Reason = Annotated[str, typer.Option("--reason", metavar="WHY", help="Kept in the execution, and read by others.")]
Way = Annotated[
    str, typer.Option("--to", metavar="home|protected", help="Go home, or only make the old Region a standby again.")
]
Accept = Annotated[
    Path | None, typer.Option("--accept", metavar="FILE", help="Reviewed differences: one name a line, or a JSON list.")
]
Region = Annotated[
    str | None, typer.Option("--region", metavar="REGION", help="The Region that the run is to rebuild.")
]


def failback(
    because: Reason,
    to: Way = To.HOME.value,
    accept: Accept = None,
    env: Env = None,
    config: Config = DEFAULT,
    app: App = None,
    region: Region = None,
    json: Json = False,
) -> int:
    """Start the way home: it keeps the old database, builds a replica, compares, and asks before it switches over.

    It may take hours, and goes on in AWS. Without samconfig.toml, give --app and --region.
    """
    said, way = reason(because), _way(to)
    names = None if accept is None else accepted(accept)
    deployed = Whereabouts(env, config, app, region).of_a_run("application this is")
    from relight_cli.going_home import Wanted, conduct  # noqa: PLC0415 - boto3 is heavy

    return conduct(deployed, Wanted(way, said, names), as_json=json)


def _way(to: str) -> To:
    try:
        return To(to)
    except ValueError:
        do = f"one of: {' '.join(To)}"
        raise Refused(f"{to!r} is no way to go", where="in --to", do=do, code=Exit.BAD_INPUT) from None
