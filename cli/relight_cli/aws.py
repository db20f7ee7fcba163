"""AWS as the command line asks it: clients that give up soon, and errors that say in one line what a person can do."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    CredentialRetrievalError,
    InvalidConfigError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.parsers import ResponseParserError

from relight_cli.exit_code import Exit, Refused

_CONFIG = Config(connect_timeout=3, read_timeout=20, retries={"total_max_attempts": 3, "mode": "standard"})
_NONE = (
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    CredentialRetrievalError,
    ConfigNotFound,
    ConfigParseError,
    InvalidConfigError,
)
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
NO_ANSWER = (BotoCoreError, ResponseParserError)
"""AWS was not reached; or something else has answered, such as a proxy's page."""
_DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})


class Aws:
    """One session, and a client for each service and Region."""

    def __init__(self) -> None:
        """Credentials are looked for as boto3 does: environment, profile, instance."""
        self._session: Any = None
        self._clients: dict[tuple[str, str], Any] = {}

    def client(self, service: str, region: str) -> Any:
        """The client of that service. Refused when the profile does not exist, or AWS's settings here are broken."""
        if (service, region) not in self._clients:
            with asking("look for credentials"):
                try:
                    self._session = self._session or _signed_in()
                    self._clients[service, region] = self._session.client(service, region_name=region, config=_CONFIG)
                except (ValueError, OSError) as error:
                    # botocore's own words for an endpoint that is no URL, and for a credential_process that does not
                    # exist or says no JSON.
                    what = "the settings of AWS on this machine cannot be used"
                    where = "AWS_... in the environment, and ~/.aws/config"
                    raise Refused(
                        what, where=where, do=f"mend this: {_line(error)}", code=Exit.NO_CREDENTIALS
                    ) from error
        return self._clients[service, region]


def _signed_in() -> Any:
    """A session that has looked for its credentials already, so that whatever is wrong with them shows here."""
    session = boto3.session.Session()
    session.get_credentials()
    return session


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


@contextmanager
def asking(what: str) -> Generator[None]:
    """Say in one line why AWS did not do what was asked: Refused."""
    try:
        yield
    except (*NO_ANSWER, ClientError) as error:
        raise refusal(error, what) from error


def refusal(error: BotoCoreError | ResponseParserError | ClientError, what: str) -> Refused:
    """The error as a sentence with an exit code."""
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    if isinstance(error, _NONE) or code in _INVALID_CODES:
        do = "sign in, for example with aws sso login and AWS_PROFILE"
        return Refused(_missing(error, code), where=what, do=do, code=Exit.NO_CREDENTIALS)
    if isinstance(error, _EXPIRED) or code in _EXPIRED_CODES:
        return Refused("the AWS credentials have expired", where=what, do="sign in again", code=Exit.EXPIRED)
    said = _line(error)
    if code in _DENIED_CODES:
        return Refused("AWS denies the call", where=what, do=said, code=Exit.AWS)
    if isinstance(error, ClientError):
        return Refused("AWS refuses", where=what, do=said, code=Exit.AWS)
    return Refused("AWS cannot be reached", where=what, do=said, code=Exit.AWS)


def _missing(error: Exception, code: str) -> str:
    if code:
        return f"AWS does not accept these credentials ({code})"
    return "there are no AWS credentials" + ("" if isinstance(error, NoCredentialsError) else f" ({_line(error)})")


def code_of(error: ClientError) -> str:
    """AWS's own code of an error."""
    return str(error.response["Error"]["Code"])
