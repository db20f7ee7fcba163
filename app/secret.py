"""The database's user and password, from Secrets Manager in this Region."""

import json
import os
from collections.abc import MutableMapping

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError


class SecretUnavailableError(Exception):
    """The secret could not be read or is not what it should be; the message never holds its content."""


def add_database_login(variables: MutableMapping[str, str] = os.environ) -> None:
    """Set DATABASE_USER and DATABASE_PASSWORD from the secret that DATABASE_SECRET names.

    Nothing is done where both are set already, as on a developer's machine. Raises SecretUnavailableError.
    """
    if variables.get("DATABASE_USER") and variables.get("DATABASE_PASSWORD"):
        return
    name = variables.get("DATABASE_SECRET")
    if not name:
        raise SecretUnavailableError("set DATABASE_SECRET, or DATABASE_USER and DATABASE_PASSWORD")
    try:
        patience = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "max_attempts": 4})
        client = boto3.client("secretsmanager", region_name=variables.get("AWS_REGION"), config=patience)
        login = json.loads(client.get_secret_value(SecretId=name)["SecretString"])
        variables["DATABASE_USER"], variables["DATABASE_PASSWORD"] = login["username"], login["password"]
    except (BotoCoreError, ClientError) as error:
        raise SecretUnavailableError(f"secret {name} cannot be read: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        # Without the cause: a JSON error quotes the text.
        raise SecretUnavailableError(f'secret {name} is not JSON with "username" and "password"') from error
