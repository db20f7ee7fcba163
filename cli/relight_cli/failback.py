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


Reason = Annotated[
    str | None,
    typer.Option("--reason", metavar="WHY", help="Kept in the execution, and read by others; needed without --plan."),
]
Way = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="home|protected",
        help="Go home, or only make the old Region a standby again.",
        autocompletion=lambda: [way.value for way in To],
    ),
]
Plan = Annotated[bool, typer.Option("--plan", help="Say what would happen now, and change nothing.")]
Accept = Annotated[
    Path | None, typer.Option("--accept", metavar="FILE", help="Reviewed differences: one name a line, or a JSON list.")
]
Region = Annotated[
    str | None, typer.Option("--region", metavar="REGION", help="The Region that the run is to rebuild.")
]


def failback(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    because: Reason = None,
    plan: Plan = False,
    to: Way = To.HOME.value,
    accept: Accept = None,
    env: Env = None,
    config: Config = DEFAULT,
    app: App = None,
    region: Region = None,
    json: Json = False,
) -> int:
    """Start the way home: it keeps the old database, builds a replica, compares, and asks before it switches over.

    It may take hours, and goes on in AWS. Without samconfig.toml, give --app and --region. With --plan the exit code is
    1 where it would not begin, or where something that can be seen now would stop it.
    """
    way, said = _way(to), None if because is None else reason(because)
    names = None if accept is None else accepted(accept)
    deployed = Whereabouts(env, config, app, region).of_a_run("application this is")
    if plan:
        from relight_cli import previewing  # noqa: PLC0415 - boto3 is heavy
        from relight_cli.aws import Aws  # noqa: PLC0415

        made = previewing.of_failback(deployed, way, Aws())
        return previewing.conduct(made, f"a failback (--to {way})", as_json=json)
    if said is None:
        do = "give --reason WHY, or --plan to see what would happen"
        raise Refused("a failback needs a reason", where="in the command line", do=do, code=Exit.BAD_INPUT)
    from relight_cli.going_home import Wanted, conduct  # noqa: PLC0415 - boto3 is heavy

    return conduct(deployed, Wanted(way, said, names), as_json=json)


def _way(to: str) -> To:
    try:
        return To(to)
    except ValueError:
        do = f"one of: {' '.join(To)}"
        raise Refused(f"{to!r} is no way to go", where="in --to", do=do, code=Exit.BAD_INPUT) from None
