"""A rehearsal as the command line conducts it: begun, interrupted or not, reported, and turned into an exit code."""

from rich.console import Console

from lab.interrupts import Interrupts
from lab.options import Options
from lab.report import Result, publish
from relight_cli.complaint import complain


def conduct(options: Options) -> int:
    """Rehearse and report. 0: the end that this fault should have; 1: another; 130 or 143: interrupted."""
    console = Console()
    with Interrupts(complain) as interrupts:
        try:
            # Importing the lab takes a second or two, and can be interrupted like all that follows.
            from lab.rehearsal import rehearse  # noqa: PLC0415

            result: Result = rehearse(options, console)
        except KeyboardInterrupt:
            complain("nothing is left of the lab")
            return interrupts.exit_code
        interrupts.shield()
        publish(result, options.json, console)
        return 1 if result.problems else 0
