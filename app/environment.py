"""The shop's surroundings, read once from environment variables."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field


class EnvironmentIncompleteError(Exception):
    """Variables are missing or make no sense; the message names all of them."""


@dataclass(frozen=True)
class Environment:
    """Where this instance runs and which database it uses."""

    region: str
    database_host: str
    database_port: str
    database_name: str
    database_user: str
    database_password: str = field(repr=False)
    allowed_hosts: tuple[str, ...]
    secret_key: str | None = field(repr=False)


def read(variables: Mapping[str, str] = os.environ) -> Environment:
    """Raises EnvironmentIncompleteError, with every missing name in one message."""
    needed = (
        "AWS_REGION",
        "DATABASE_HOST",
        "DATABASE_PORT",
        "DATABASE_NAME",
        "DATABASE_USER",
        "DATABASE_PASSWORD",
        "ALLOWED_HOSTS",
    )
    missing = [name for name in needed if not variables.get(name)]
    if missing:
        raise EnvironmentIncompleteError(f"the shop's environment lacks {', '.join(missing)}")
    if not variables["DATABASE_PORT"].isdigit():
        raise EnvironmentIncompleteError(f"DATABASE_PORT is no number: {variables['DATABASE_PORT']!r}")
    return Environment(
        region=variables["AWS_REGION"],
        database_host=variables["DATABASE_HOST"],
        database_port=variables["DATABASE_PORT"],
        database_name=variables["DATABASE_NAME"],
        database_user=variables["DATABASE_USER"],
        database_password=variables["DATABASE_PASSWORD"],
        allowed_hosts=tuple(host.strip() for host in variables["ALLOWED_HOSTS"].split(",") if host.strip()),
        secret_key=variables.get("SECRET_KEY"),
    )
