"""`relight failover`, as the command line understands it."""

from enum import StrEnum
from typing import Annotated

import typer

from relight_cli.chosen import DEFAULT, Config
from relight_cli.deployed import App, Env, Json, PeerRegion, Whereabouts, reason
from relight_cli.exit_code import Exit, Refused


class Mode(StrEnum):
    """As `relight.run.Mode`, without what that imports: the command line is read before anything heavy is."""

    PLANNED = "planned"
    EMERGENCY = "emergency"


Plan = Annotated[bool, typer.Option("--plan", help="Say what would happen with the facts of now; change nothing.")]
Reason = Annotated[
    str | None, typer.Option("--reason", metavar="WHY", help="Kept in the execution, the ledger and the evidence.")
]
In = Annotated[
    str | None,
    typer.Option("--mode", metavar="planned|emergency", help="Else planned wherever the replication stream is alive."),
]
Force = Annotated[bool, typer.Option("--force", help="Go on whatever is found, but for the lock; asks once more.")]
Activate = Annotated[
    str | None, typer.Option("--yes-activate", metavar="REGION", help="With --force: the answer to that question.")
]
Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Show its steps until it has ended.")]
Region = Annotated[
    str | None, typer.Option("--region", metavar="REGION", help="The Region to activate; else the one that stands by.")
]


def failover(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    plan: Plan = False,
    because: Reason = None,
    mode: In = None,
    force: Force = False,
    yes_activate: Activate = None,
    follow: Follow = True,
    env: Env = None,
    config: Config = DEFAULT,
    app: App = None,
    region: Region = None,
    peer_region: PeerRegion = None,
    json: Json = False,
) -> int:
    """Activate the Region that stands by: start a failover by hand, show its steps, and end as it ends.

    --plan asks the Region's own function what a run would do with the facts of now. Ctrl-C leaves a run to go on.
    """
    chosen = None if mode is None else _mode(mode)
    said = None if because is None else reason(because)
    if said is None and (force or not plan):
        do = "say why with --reason: others will read it"
        raise Refused("a failover needs a reason", where="in the command line", do=do, code=Exit.BAD_INPUT)
    where = Whereabouts(env, config, app, region, peer_region)
    deployed = where.of_both() if peer_region is not None else where.of_a_run("application this is")
    from relight_cli.failing_over import Wanted, conduct, foresee  # noqa: PLC0415 - boto3 is heavy

    wanted = Wanted(said or "", chosen, force)
    if plan:
        return foresee(deployed, wanted, as_json=json)
    return conduct(deployed, wanted, yes_activate, follow=follow, as_json=json)


def _mode(mode: str) -> Mode:
    try:
        return Mode(mode)
    except ValueError:
        do = f"one of: {' '.join(Mode)}"
        raise Refused(f"{mode!r} is no mode", where="in --mode", do=do, code=Exit.BAD_INPUT) from None
