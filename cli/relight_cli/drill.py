"""`relight drill`, as the command line understands it."""

from typing import Annotated

import typer
from relight.drill import Kind

from relight_cli.chosen import DEFAULT, Config
from relight_cli.deployed import App, Env, Json, PeerRegion, Whereabouts, reason
from relight_cli.exit_code import Exit, Refused

What = Annotated[
    str,
    typer.Option(
        "--kind",
        metavar="plan|restore|promote|gameday",
        help="What is rehearsed; docs/drills.md.",
        autocompletion=lambda: [kind.value for kind in Kind],
    ),
]
Plan = Annotated[
    bool, typer.Option("--plan", help="Say what it would do now, how long and for how much; nothing is changed.")
]
Reason = Annotated[str, typer.Option("--reason", metavar="WHY", help="Kept in the evidence.")]
Keep = Annotated[
    int | None,
    typer.Option("--keep-minutes", metavar="N", min=0, max=480, help="Leave the drill's site up for people so long."),
]
Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Show its steps until it has ended.")]
Region = Annotated[
    str | None, typer.Option("--region", metavar="REGION", help="The Region to run it in; else the one that stands by.")
]


def drill(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    kind: What = Kind.RESTORE.value,
    plan: Plan = False,
    because: Reason = "a drill by hand",
    keep_minutes: Keep = None,
    follow: Follow = True,
    env: Env = None,
    config: Config = DEFAULT,
    app: App = None,
    region: Region = None,
    peer_region: PeerRegion = None,
    json: Json = False,
) -> int:
    """Start a drill in the Region that stands by, show its steps, and end as it ends. Production is not touched.

    But for a gameday, which switches over and home again. promote and gameday ask first: `relight approve` answers.
    With --plan the exit code is 1 where it would be refused; --kind plan is a drill of its own, kept with its evidence.
    """
    wanted, said = _kind(kind), reason(because)
    where = Whereabouts(env, config, app, region, peer_region)
    deployed = where.of_both() if peer_region is not None else where.of_a_run("application this is")
    if plan:
        from relight_cli import previewing  # noqa: PLC0415 - boto3 is heavy
        from relight_cli.aws import Aws  # noqa: PLC0415

        made = previewing.of_drill(deployed, wanted.value, keep_minutes, Aws())
        return previewing.conduct(made, f"a drill of the kind {wanted}", as_json=json)
    from relight_cli.drilling import Wanted, conduct  # noqa: PLC0415 - boto3 is heavy

    return conduct(deployed, Wanted(wanted, said, keep_minutes), follow=follow, as_json=json)


def _kind(kind: str) -> Kind:
    try:
        return Kind(kind)
    except ValueError:
        do = f"one of: {' '.join(Kind)}"
        raise Refused(f"{kind!r} is no kind of drill", where="in --kind", do=do, code=Exit.BAD_INPUT) from None
