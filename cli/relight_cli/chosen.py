"""The options by which each command finds its environment."""

from pathlib import Path
from typing import Annotated

import typer

from relight_cli.samconfig import Environment, environment

# Not `type` statements: typer does not look behind them.
Name = Annotated[str, typer.Option("--env", metavar="NAME", help="The environment in samconfig.toml.")]
Config = Annotated[Path, typer.Option("--config", metavar="FILE", help="Where the environments are.")]
LookEvery = Annotated[
    float, typer.Option("--look-every", metavar="SECONDS", min=0.01, max=600, help="How often to look at AWS.")
]
DEFAULT = Path("samconfig.toml")


def chosen(env: str, config: Path) -> Environment:
    """The environment of these options. Refused where it is missing or malformed."""
    return environment(config, env)
