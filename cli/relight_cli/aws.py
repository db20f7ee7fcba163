"""AWS as the command line asks it: clients that give up soon, and errors that say in one line what a person can do."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from relight_cli.exit_code import Exit, Refused

_CONFIG = Config(connect_timeout=3, read_timeout=20, retries={"total_max_attempts": 3, "mode": "standard"})
_NONE = (NoCredentialsError, PartialCredentialsError, ProfileNotFound, CredentialRetrievalError)
_EXPIRED = (TokenRetrievalError, UnauthorizedSSOTokenError, SSOError)
_EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_INVALID_CODES = frozenset(
    {
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "SignatureDoesNotMatch",
        "AuthFailure",
        "InvalidAccessKeyId",
    }
)
_DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})


class Aws:
    """One session, and a client for each service and Region."""

    def __init__(self) -> None:
        """Credentials are looked for as boto3 does: environment, profile, instance."""
        self._session: Any = None
        self._clients: dict[tuple[str, str], Any] = {}

    def client(self, service: str, region: str) -> Any:
        """The client of that service. Refused when the profile does not exist."""
        if (service, region) not in self._clients:
            with asking("sign in"):
                self._session = self._session or boto3.session.Session()
                self._clients[service, region] = self._session.client(service, region_name=region, config=_CONFIG)
        return self._clients[service, region]


@contextmanager
def asking(what: str) -> Generator[None]:
    """Say in one line why AWS did not do what was asked: Refused."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise refusal(error, what) from error


def refusal(error: BotoCoreError | ClientError, what: str) -> Refused:
    """The error as a sentence with an exit code."""
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    if isinstance(error, _NONE) or code in _INVALID_CODES:
        found = "there are no AWS credentials" if not code else f"AWS does not accept these credentials ({code})"
        return Refused(
            found, where=what, do="sign in, for example with aws sso login and AWS_PROFILE", code=Exit.NO_CREDENTIALS
        )
    if isinstance(error, _EXPIRED) or code in _EXPIRED_CODES:
        return Refused("the AWS credentials have expired", where=what, do="sign in again", code=Exit.EXPIRED)
    said = " ".join(str(error).split())
    if code in _DENIED_CODES:
        return Refused("AWS denies the call", where=what, do=said, code=Exit.AWS)
    if isinstance(error, ClientError):
        return Refused("AWS refuses", where=what, do=said, code=Exit.AWS)
    return Refused("AWS cannot be reached", where=what, do=said, code=Exit.AWS)


def code_of(error: ClientError) -> str:
    """AWS's own code of an error."""
    return str(error.response["Error"]["Code"])
