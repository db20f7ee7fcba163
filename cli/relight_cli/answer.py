"""`relight approve`, `decline` and `stay`, as the command line understands them."""

from typing import Annotated

import typer

from relight_cli.chosen import DEFAULT, Config
from relight_cli.deployed import App, Env, Json, Region, Whereabouts, reason
from relight_cli.exit_code import Exit, Refused

Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, as the notification has it.")]
Reason = Annotated[str, typer.Option("--reason", metavar="WHY", help="Kept in the ledger and in the evidence.")]
Token = Annotated[
    str | None, typer.Option("--token", metavar="TOKEN", help="The notification's task token; else the ledger's.")
]


def approve(
    run: Run,
    because: Reason,
    env: Env = None,
    config: Config = DEFAULT,
    app: App = None,
    region: Region = None,
    token: Token = None,
    json: Json = False,
) -> int:
    """Let a run that asks for a decision go on. There is no second question: this cannot be taken back.

    Where samconfig.toml is not at hand, --app and --region are enough.
    """
    return _answer("approved", run, because, Whereabouts(env, config, app, region), token, json)


def decline(
    run: Run,
    because: Reason,
    env: Env = None,
    config: Config = DEFAULT,
    app: App = None,
    region: Region = None,
    token: Token = None,
    json: Json = False,
) -> int:
    """Let a run that asks for a decision stand down; it undoes what it has done.

    Where samconfig.toml is not at hand, --app and --region are enough.
    """
    return _answer("declined", run, because, Whereabouts(env, config, app, region), token, json)


def stay(
    run: Run,
    because: Reason,
    env: Env = None,
    config: Config = DEFAULT,
    app: App = None,
    region: Region = None,
    token: Token = None,
    json: Json = False,
) -> int:
    """Tell a failback that asks that the other Region is home from now on. Nothing moves; there is no outage.

    With --env, the parameters of the two stacks that have to follow are printed with their values.
    """
    where = Whereabouts(env, config, app, region)
    name, said, deployed = run_id(run), reason(because), where.of_a_run()
    from relight.question import Reply  # noqa: PLC0415 - as above

    from relight_cli.answering import Wish, conduct  # noqa: PLC0415
    from relight_cli.staying import after  # noqa: PLC0415

    return conduct(deployed, Wish(name, Reply.STAY, said, token), as_json=json, after=after(where))


def _answer(reply: str, run: str, because: str, where: Whereabouts, token: str | None, as_json: bool) -> int:
    name, said, deployed = run_id(run), reason(because), where.of_a_run()
    # boto3 is heavy, and what the command line has wrong shows without it.
    from relight.question import Reply  # noqa: PLC0415

    from relight_cli.answering import Wish, conduct  # noqa: PLC0415

    return conduct(deployed, Wish(name, Reply(reply), said, token), as_json=as_json)


def run_id(run: str) -> str:
    """The run's id, also where its execution's whole ARN was pasted. Refused where it is none."""
    name = run.strip().rpartition(":")[2]
    if not name:
        do = "take it from the notification"
        raise Refused(f"{run!r} is no run's id", where="in the command line", do=do, code=Exit.BAD_INPUT)
    return name
