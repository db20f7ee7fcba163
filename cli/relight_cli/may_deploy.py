"""`relight may-deploy`, as the command line understands it."""

from relight_cli.chosen import DEFAULT, Config, Name, chosen
from relight_cli.deployed import Json


def may_deploy(env: Name, config: Config = DEFAULT, json: Json = False) -> int:
    """Say by the exit code whether a pipeline may deploy now: 0 yes, 1 no, 2 it cannot be known."""
    from relight_cli.permission import conduct  # noqa: PLC0415 - as in deploy

    return conduct(lambda: chosen(env, config), env, as_json=json)
