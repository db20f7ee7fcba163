"""What `relight` understands, and how it ends.

Exit codes: those of `relight_cli.exit_code`, and 130 after Ctrl-C (143 after SIGTERM). Whatever a person can mend is
one line on stderr.
"""

import errno
from collections.abc import Sequence
from enum import StrEnum
from importlib.metadata import version
from itertools import pairwise
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
from relight_cli.cancel import cancel
from relight_cli.complaint import complain
from relight_cli.cost import cost
from relight_cli.cut_over import cut_over
from relight_cli.deploy import deploy
from relight_cli.destroy import destroy
from relight_cli.doctor import doctor
from relight_cli.drill import drill
from relight_cli.exit_code import Exit, Refused
from relight_cli.explain import explain
from relight_cli.failback import failback
from relight_cli.failover import failover
from relight_cli.freeze import freeze, unfreeze
from relight_cli.history import history
from relight_cli.may_deploy import may_deploy
from relight_cli.readiness import readiness
from relight_cli.reconcile import reconcile
from relight_cli.redrive import redrive
from relight_cli.report import report
from relight_cli.retired import retired
from relight_cli.status import status
from relight_cli.surroundings import VALUES, AwsProfile, EndpointUrl, Lab, hoisted, surround
from relight_cli.watch import watch

_INTERRUPTED = 130

app = typer.Typer(
    help="Light the pilot-light Region when the primary AWS Region goes dark.",
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
    lab: Lab = False,
    profile: AwsProfile = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Light the pilot-light Region when the primary AWS Region goes dark."""
    surround(lab=lab, profile=profile, endpoint_url=endpoint_url)
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


app.command("status", short_help="Both Regions at a glance: who is active, and what runs.")(status)
app.command("watch", short_help="The same, live; or one run to its end.")(watch)
app.command("failover", short_help="Start a failover by hand; --plan says what it would do.")(failover)
app.command("cancel", short_help="Stop a run that has not promoted yet, and see it undone.")(cancel)
app.command("redrive", short_help="Drive a stopped run on from where it stands.")(redrive)
app.command("doctor", short_help="What an operator needs here, with and without the primary.")(doctor)
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
    """Carry a command line out: its exit code. What a person can mend is one line on stderr, or with --json an object
    on stdout.
    """
    words = list(arguments)
    try:
        code = app(args=hoisted(words), prog_name="relight", standalone_mode=False)
    except LabError as error:
        code = error.code if isinstance(error, Refused) else Exit.BAD_INPUT
        return _refuse(words, error, code)
    except TyperException as error:
        message = " ".join(error.format_message().split()).rstrip(".")
        what = f"{message[:1].lower()}{message[1:]}"
        return _refuse(words, LabError(what, where="in the command line", do=f"see {_help(words)}"), Exit.BAD_INPUT)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            busy = PortBusy("an address is in use", where=str(error), do="stop what listens there, or choose --port 0")
            return _refuse(words, busy, Exit.BAD_INPUT)
        raise
    # typer makes this code of a KeyboardInterrupt, and says nothing; a rehearsal has said so itself, a watch is over.
    if code == _INTERRUPTED and _command(words) not in {"rehearse", "watch"}:
        complain("interrupted; what AWS has begun goes on there, and the next call goes on from it")
    return code if isinstance(code, int) else 0


def _refuse(words: Sequence[str], error: LabError, code: Exit) -> int:
    """Say it to people, or to the program that has asked for JSON; a rehearsal's --json is the name of a file."""
    if "--json" in words and _command(words) != "rehearse":
        from relight_cli.document import error_of, show  # noqa: PLC0415 - rich is heavy

        show({"error": error_of(error, code)})
    else:
        complain(error.sentence)
    return code


def _command(words: Sequence[str]) -> str:
    names = {one.name or getattr(one.callback, "__name__", "") for one in app.registered_commands}
    # A profile may be named as a command is.
    return next((word for before, word in pairwise(["", *words]) if word in names and before not in VALUES), "")


def _help(words: Sequence[str]) -> str:
    return f"relight {command} --help" if (command := _command(words)) else "relight --help"
