"""The command `relight`. This file alone has to be understood by older Pythons, so that they can say what they lack."""

import sys

if sys.version_info < (3, 13):  # noqa: UP036 - whoever runs this by hand may have an older one
    sys.stderr.write(
        "relight: Python %d.%d is too old, in %s, use Python 3.13 or newer\n"  # noqa: UP031
        % (sys.version_info[0], sys.version_info[1], sys.executable)
    )
    raise SystemExit(2)

from relight_cli.command import run


def main() -> None:
    """Run the command line, and exit with its code."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
