"""The command `relight`. This file alone has to be understood by older Pythons, so that they can say what they lack."""

import os
import sys

if sys.version_info < (3, 13):  # noqa: UP036 - whoever runs this by hand may have an older one
    sys.stderr.write(
        "relight: Python %d.%d is too old, in %s, use Python 3.13 or newer\n"  # noqa: UP031
        % (sys.version_info[0], sys.version_info[1], sys.executable)
    )
    raise SystemExit(2)

from relight_cli.command import run

SHELLS = ("bash", "zsh", "fish")


def completing(words: "list[str]") -> "list[str]":
    """The command line, of which `--show-completion SHELL` is told to typer in the way that guesses no shell."""
    if len(words) == 2 and words[0] == "--show-completion" and words[1] in SHELLS:
        os.environ["_RELIGHT_COMPLETE"] = "source_" + words[1]
        return []
    return words


def main() -> None:
    """Run the command line, and exit with its code. Where nobody reads on (`| head -1`), it ends quietly."""
    try:
        code = run(completing(sys.argv[1:]))
        sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer must not be written at the end of the process, either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    main()
