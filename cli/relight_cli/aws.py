"""AWS as the command line asks it: clients that give up soon, and errors that say in one line what a person can do."""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    CredentialRetrievalError,
    InvalidConfigError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.parsers import ResponseParserError
from botocore.utils import JSONFileCache

from relight_cli.exit_code import Exit, Refused

_CONFIG = Config(connect_timeout=3, read_timeout=20, retries={"total_max_attempts": 3, "mode": "standard"})
_NONE = (
    NoCredentialsError,
    ParamValidationError,
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
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "KmsAccessDeniedException", "UnauthorizedOperation"})
"""AWS's codes for a call that these credentials may not make."""
_CODE_REFUSED = DENIED | {"ValidationError"}
"""STS's codes for a second factor's code that is wrong, or cannot be one."""
_THROTTLED = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "ProvisionedThroughputExceededException",
        "BandwidthLimitExceeded",
        "SlowDown",
    }
)


class Aws:
    """One session, and a client for each service and Region."""

    def __init__(self) -> None:
        """Credentials are looked for as boto3 does: environment, profile, instance."""
        self._session: Any = None
        self._clients: dict[tuple[str, str], Any] = {}

    def client(self, service: str, region: str) -> Any:
        """The client of that service. Refused when the profile does not exist, or AWS's settings here are broken."""
        if (service, region) not in self._clients:
            self._clients[service, region] = self._make(service, region, _CONFIG)
        return self._clients[service, region]

    def _make(self, service: str, region: str, config: Config) -> Any:
        with asking("look for credentials"), _usable():
            self._session = self._session or _signed_in()
            return self._session.client(service, region_name=region, config=config)

    def ask_for_code(self) -> None:
        """Have a person type the code of a second factor now, where the profile wants one: threads that look at
        Regions wait for nobody. Refused where the code does not sign in: they would each ask for it again. What else is
        wrong with the credentials is for the first call to say.
        """
        try:
            with asking("look for credentials"), _usable():
                self._session = self._session or _signed_in()
        except _CodeRefused:
            raise
        except Refused:
            return


class _CodeRefused(Refused):
    """A code was asked for, and nobody is signed in by it."""


@contextmanager
def _usable() -> Generator[None]:
    try:
        yield
    except (ValueError, OSError) as error:
        # botocore's own words for an endpoint that is no URL, and for a credential_process that does not exist or
        # says no JSON.
        what = "the settings of AWS on this machine cannot be used"
        where = "AWS_... in the environment, and ~/.aws/config"
        raise Refused(what, where=where, do=f"mend this: {_line(error)}", code=Exit.NO_CREDENTIALS) from error


def _signed_in() -> Any:
    """A session that has looked for its credentials already, so that whatever is wrong with them shows here."""
    own = botocore.session.get_session()
    # For the client, too, by which the SDK itself assumes a role.
    own.set_default_client_config(_CONFIG)
    keep_roles(own)
    found = own.get_credentials()
    if found is not None and wants_a_code(own):
        _sign_in_by_code(found)
    return boto3.session.Session(botocore_session=own)


def _sign_in_by_code(found: Any) -> None:
    where = "sign in with a second factor"
    try:
        found.get_frozen_credentials()
    except EOFError as error:
        do = "call it in a terminal once: what the code is good for is kept until it expires"
        raise _CodeRefused("there is nobody to type the code", where=where, do=do, code=Exit.NO_CREDENTIALS) from error
    except (ClientError, ParamValidationError) as error:
        if isinstance(error, ClientError) and code_of(error) not in _CODE_REFUSED:
            raise _code_refused(refusal(error, where)) from error
        what = f"AWS does not accept the code, or does not let this user assume the role ({_line(error)})"
        do = "wait for the device's next code, as AWS takes each one once, and try again"
        raise _CodeRefused(what, where=where, do=do, code=Exit.NO_CREDENTIALS) from error
    except NO_ANSWER as error:
        raise _code_refused(refusal(error, where)) from error


def _code_refused(refused: Refused) -> _CodeRefused:
    return _CodeRefused(refused.what, where=refused.where, do=refused.do, code=refused.code)


class _Kept(JSONFileCache):
    """Keeps nothing in a home that cannot be written: signing in goes on without."""

    def __setitem__(self, cache_key: str, value: Any) -> None:
        with suppress(OSError):
            super().__setitem__(cache_key, value)


def keep_roles(session: Any) -> None:
    """Keep the roles that a botocore session assumes, until they expire, where the AWS CLI keeps those that it assumes:
    else each command would ask for the code of a second factor anew, and AWS takes a code once.
    """
    kept = _Kept(os.path.expanduser("~/.aws/cli/cache"))  # noqa: PTH111 - Path has no home where nobody says which
    session.get_component("credential_provider").get_provider("assume-role").cache = kept


def wants_a_code(session: Any) -> bool:
    """Whether the profile of a botocore session asks a person for the code of a second factor."""
    return "mfa_serial" in session.get_scoped_config()


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
    """The error as a sentence with an exit code: AWS's own words stand in parentheses, what to do next behind them."""
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    if isinstance(error, _NONE) or code in _INVALID_CODES:
        do = "sign in, for example with aws sso login and AWS_PROFILE"
        return Refused(_missing(error, code), where=what, do=do, code=Exit.NO_CREDENTIALS)
    if isinstance(error, _EXPIRED) or code in _EXPIRED_CODES:
        return Refused("the AWS credentials have expired", where=what, do="sign in again", code=Exit.EXPIRED)
    refuses, do = _refuses(error)
    return Refused(f"{refuses} ({_line(error)})", where=what, do=do, code=Exit.AWS)


def _refuses(error: BotoCoreError | ResponseParserError | ClientError) -> tuple[str, str]:
    """What AWS does instead of answering, and what a person can do next."""
    if not isinstance(error, ClientError):
        return "AWS cannot be reached", "look from another network; relight doctor says what is missing"
    if code_of(error) in DENIED:
        return "AWS denies the call", "use the operator's role; relight doctor lists what these credentials may not do"
    if throttled(error):
        return "AWS throttles the call", "try again in a few seconds"
    return "AWS refuses", "see what relight doctor says is missing"


def _missing(error: Exception, code: str) -> str:
    if code:
        return f"AWS does not accept these credentials ({code})"
    return "there are no AWS credentials" + ("" if isinstance(error, NoCredentialsError) else f" ({_line(error)})")


def code_of(error: ClientError) -> str:
    """AWS's own code of an error."""
    return str(error.response["Error"]["Code"])


def throttled(error: BaseException | None) -> bool:
    """Whether AWS only wants to be asked less often."""
    return isinstance(error, ClientError) and code_of(error) in _THROTTLED
