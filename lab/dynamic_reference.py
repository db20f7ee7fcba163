"""Dynamic references: `{{resolve:secretsmanager:...}}` and `{{resolve:ssm:...}}` in property values."""

import json
import re
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from lab.errors import StackRefused

_REFERENCE = re.compile(r"\{\{resolve:([a-z-]+):([^{}]+)\}\}")
_SECRET = re.compile(r"(arn:aws:secretsmanager:[^:]+:\d+:secret:[^:]+|[^:]+)(?::SecretString(?::([^:]*)(?:::?)?)?)?")


def resolve(value: Any, client: Callable[[str], Any], where: str) -> Any:
    """`value` with each dynamic reference in its texts replaced by what it stands for.

    `client` gives the boto3 client of a service. StackRefused when there is nothing behind a reference.
    """
    if isinstance(value, list):
        return [resolve(item, client, where) for item in value]
    if isinstance(value, dict):
        return {key: resolve(item, client, where) for key, item in value.items()}
    if not isinstance(value, str) or "{{resolve:" not in value:
        return value

    def replace(match: re.Match[str]) -> str:
        try:
            return _lookup(match[1], match[2], client)
        except (ClientError, KeyError, ValueError) as error:
            do = "create it before, or correct the reference"
            raise StackRefused(f"{match[0]} stands for nothing ({error})", where=where, do=do) from error

    return _REFERENCE.sub(replace, value)


def _lookup(service: str, reference: str, client: Callable[[str], Any]) -> str:
    if service in {"ssm", "ssm-secure"}:
        answer = client("ssm").get_parameter(Name=reference, WithDecryption=service == "ssm-secure")
        return str(answer["Parameter"]["Value"])
    found = _SECRET.fullmatch(reference)
    if service != "secretsmanager" or found is None:
        raise ValueError("the lab knows ssm, ssm-secure and secretsmanager")
    text = str(client("secretsmanager").get_secret_value(SecretId=found[1])["SecretString"])
    return str(json.loads(text)[found[2]]) if found[2] else text
