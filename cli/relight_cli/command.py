"""What `relight` understands, and how it ends.

Exit codes: those of `relight_cli.exit_code`, and 130 after Ctrl-C (143 after SIGTERM). Whatever a person can mend is
one line on stderr.
"""

import errno
from collections.abc import Sequence
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from lab.errors import LabError, PortBusy
from lab.options import (
    DRILL_CLIENTS,
    DrillKind,
    Fault,
    LambdaMode,
    Lost,
    Options,
    Profile,
    Reply,
    Step,
    listed,
    option,
)
from relight_cli.answer import approve, decline, stay
from relight_cli.complaint import complain
from relight_cli.cost import cost
from relight_cli.cut_over import cut_over
from relight_cli.deploy import deploy
from relight_cli.destroy import destroy
from relight_cli.drill import drill
from relight_cli.exit_code import Exit, Refused
from relight_cli.explain import explain
from relight_cli.failback import failback
from relight_cli.freeze import freeze, unfreeze
from relight_cli.history import history
from relight_cli.may_deploy import may_deploy
from relight_cli.readiness import readiness
from relight_cli.reconcile import reconcile
from relight_cli.report import report
from relight_cli.retired import retired

_INTERRUPTED = 130

app = typer.Typer(
    help="Light the pilot-light Region when the primary AWS Region goes dark.",
    add_completion=False,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _words(words: type[StrEnum]) -> str:
    return "|".join(word.value for word in words)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"relight {version('relight')}")
        raise typer.Exit


@app.callback()
def relight(
    context: typer.Context,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Light the pilot-light Region when the primary AWS Region goes dark."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


@app.command(short_help="Lose a Region on this machine, and watch.")
def rehearse(  # noqa: PLR0913, PLR0917 - one parameter for each option of the command line
    fault: Annotated[
        str | None,
        typer.Option(metavar=_words(Fault), help=f"What is broken; {Options.fault.value} unless --drill is given."),
    ] = None,
    lost: Annotated[
        str, typer.Option(metavar=_words(Lost), help="How the lost Region looks from outside.")
    ] = Options.lost.value,
    timings: Annotated[
        str, typer.Option(metavar=_words(Profile), help="Scaled down, or with the intervals of AWS.")
    ] = Options.timings.value,
    seed_orders: Annotated[int, typer.Option(metavar="N", help="Orders in the database at first.")] = (
        Options.seed_orders
    ),
    clients: Annotated[
        int | None,
        typer.Option(metavar="N", help=f"Clients that order all the while, 1 to 50; {Options.clients}, drills 24."),
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the result there.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running at the end, until Ctrl-C.")] = False,
    kill_orchestrator_at: Annotated[
        str | None, typer.Option(metavar="STEP", help=f"Stop a run during a step: {' '.join(Step)}.")
    ] = None,
    circle: Annotated[bool, typer.Option("--circle", help="Bring the primary back, and let a person go home.")] = False,
    switchovers: Annotated[
        int, typer.Option(metavar="N", help="With --fault none: switch over so often, there and back in turn.")
    ] = Options.switchovers,
    drill: Annotated[
        str | None, typer.Option(metavar="KIND", help=f"Lose nothing, and let a person drill: {' '.join(DrillKind)}.")
    ] = None,
    during_drill: Annotated[
        str | None, typer.Option(metavar="KIND", help="Lose the primary in the middle of a drill of that kind.")
    ] = None,
    answer: Annotated[
        str, typer.Option(metavar=_words(Reply), help="What the person answers where a run asks (app-lost).")
    ] = Options.answer.value,
    lease: Annotated[bool, typer.Option("--lease", help="Deploy with the write lease.")] = False,
    lambda_: Annotated[
        str, typer.Option("--lambda", metavar=_words(LambdaMode), help="What the handlers run in.")
    ] = Options.lambda_mode.value,
    port: Annotated[int, typer.Option(metavar="N", help="Port of the Regions' API; 0 takes any free one.")] = (
        Options.port
    ),
    template: Annotated[Path, typer.Option(metavar="FILE", help="What both Regions are made from.")] = (
        Options.template
    ),
) -> int:
    """Lose a Region on this machine, and watch Relight bring the other one up. Needs no AWS account."""
    drills = () if drill is None else listed("--drill", DrillKind, drill)
    options = Options(
        fault=option("--fault", Fault, fault or (Fault.NONE if drills else Options.fault).value),
        lost=option("--lost", Lost, lost),
        timings=option("--timings", Profile, timings),
        seed_orders=seed_orders,
        clients=clients if clients is not None else DRILL_CLIENTS if drills else Options.clients,
        json=json,
        keep=keep,
        kill_orchestrator_at=(
            () if kill_orchestrator_at is None else listed("--kill-orchestrator-at", Step, kill_orchestrator_at)
        ),
        circle=circle,
        switchovers=switchovers,
        drill=drills,
        during_drill=None if during_drill is None else option("--during-drill", DrillKind, during_drill),
        answer=option("--answer", Reply, answer),
        lease=lease,
        lambda_mode=option("--lambda", LambdaMode, lambda_),
        port=port,
        template=template,
    )
    options.preflight()
    # The lab is heavy: nothing of it is imported for a command line that it does not get to see.
    from relight_cli.rehearsing import conduct  # noqa: PLC0415

    return conduct(options)


app.command("deploy", short_help="Deploy both Regions and DNS; --plan says how.")(deploy)
app.command("destroy", short_help="Delete the stacks; data stays unless told otherwise.")(destroy)
app.command("may-deploy", short_help="Exit 0 when a pipeline may deploy now.")(may_deploy)
app.command("cut-over", short_help="Replace a simple DNS record by the failover pair.")(cut_over)
app.command("cost", short_help="What it costs, by the templates and a dated price table.")(cost)
app.command("approve", short_help="Let a run that asks for a decision go on.")(approve)
app.command("decline", short_help="Let a run that asks for a decision stand down.")(decline)
app.command("failback", short_help="Start the way home; it asks before it switches over.")(failback)
app.command("stay", short_help="Tell a failback that asks that the other Region is home.")(stay)
app.command("reconcile", short_help="What the failover lost, row by row.")(reconcile)
app.command("retired", short_help="The old databases that are kept, and their deletion.")(retired)
app.command("readiness", short_help="Whether the standby could take over now, check by check.")(readiness)
app.command("drill", short_help="Rehearse a part of the failover in AWS, with a throwaway.")(drill)
app.command("report", short_help="The report of a run, checked against its manifest.")(report)
app.command("history", short_help="All runs of both Regions, with what was measured.")(history)
app.command("freeze", short_help="Let no run begin for a while.")(freeze)
app.command("unfreeze", short_help="Take a freeze back.")(unfreeze)
app.command("explain", short_help="The table by which a run is decided.")(explain)


def run(arguments: Sequence[str]) -> int:
    """Carry a command line out: its exit code."""
    try:
        code = app(args=list(arguments), prog_name="relight", standalone_mode=False)
    except LabError as error:
        complain(error.sentence)
        return error.code if isinstance(error, Refused) else Exit.BAD_INPUT
    except TyperException as error:
        message = " ".join(error.format_message().split()).rstrip(".")
        complain(f"{message[:1].lower()}{message[1:]}, in the command line, see {_help(arguments)}")
        return Exit.BAD_INPUT
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            busy = PortBusy("an address is in use", where=str(error), do="stop what listens there, or choose --port 0")
            complain(busy.sentence)
            return 2
        raise
    # typer makes this code of a KeyboardInterrupt, and says nothing; a rehearsal has said so itself.
    if code == _INTERRUPTED and _command(arguments) != "rehearse":
        complain("interrupted; what AWS has begun goes on there, and the next call goes on from it")
    return code if isinstance(code, int) else 0


def _command(arguments: Sequence[str]) -> str:
    return next((word for word in arguments if not word.startswith("-")), "")


def _help(arguments: Sequence[str]) -> str:
    command = _command(arguments)
    return f"relight {command} --help" if command in {one.name for one in app.registered_commands} else "relight --help"
