"""The options by which each command finds its environment."""

from pathlib import Path
from typing import Annotated

import typer

from relight_cli.samconfig import Environment, environment

# Not `type` statements: typer does not look behind them.
Name = Annotated[str, typer.Option("--env", metavar="NAME", help="The environment in samconfig.toml.")]
Config = Annotated[Path, typer.Option("--config", metavar="FILE", help="Where the environments are.")]
DEFAULT = Path("samconfig.toml")


def chosen(env: str, config: Path) -> Environment:
    """The environment of these options. Refused where it is missing or malformed."""
    return environment(config, env)
