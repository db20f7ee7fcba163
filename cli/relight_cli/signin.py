"""Where credentials come from, how long they last, and which Region has to be there for getting them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.credentials import SSOProvider
from botocore.exceptions import BotoCoreError, NoCredentialsError
from botocore.utils import JSONFileCache, SSOTokenLoader
from relight.moment import lasting, told

from relight_cli.blockade import Blockade, region_of
from relight_cli.check import Check, failed, passed, warned

SOON_SECONDS = 3600.0
"""A failover with its questions, and what follows it, is over in less."""
_CREDENTIALS, _DEPENDS = "credentials", "sign-in depends on"
_SOURCES = {
    "env": "the environment",
    "shared-credentials-file": "keys in the profile {profile}",
    "config-file": "keys in the profile {profile}",
    "assume-role": "the role that the profile {profile} assumes",
    "assume-role-with-web-identity": "the role that is assumed by a web identity",
    "sso": "IAM Identity Center, by the profile {profile}",
    "login": "aws login, by the profile {profile}",
    "custom-process": "the credential_process of the profile {profile}",
    "container-role": "the role of this container",
    "iam-role": "the role of this instance",
}
_RENEWED = frozenset({"assume-role", "assume-role-with-web-identity", "container-role", "iam-role"})
"""What gets new ones without a person."""
_MANY = 8
_NAMES_REGION = re.compile(r"\b[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}\b")


@dataclass(frozen=True)
class SignedIn:
    """The credentials as they were got; `method` is botocore's word for the source."""

    method: str
    profile: str
    temporary: bool
    expires_at: float | None = None
    """Epoch seconds; None where nothing says it."""

    @property
    def source(self) -> str:
        """For people."""
        return _SOURCES.get(self.method, self.method).format(profile=self.profile)


@dataclass(frozen=True)
class Dependence:
    """Something in a Region that is asked for credentials; None where nobody can say which Region it is in."""

    what: str
    region: str | None
    todo: str


def signed_in(session: Any) -> SignedIn:
    """Get the credentials of a botocore session. Raises what botocore raises, NoCredentialsError for none."""
    profile = str(session.get_config_variable("profile") or "default")
    found = session.get_credentials()
    if found is None:
        raise NoCredentialsError
    keys = found.get_frozen_credentials()  # what only promises credentials gets them here
    expiry = getattr(found, "_expiry_time", None)
    ends = expiry.timestamp() if isinstance(expiry, datetime) else None
    if found.method == "sso":
        ends = _token_ends(session, profile) or ends
    return SignedIn(str(found.method), profile, bool(keys.token), ends)


def _token_ends(session: Any, profile: str) -> float | None:
    """Until when IAM Identity Center gives out credentials without a person; None where that is not written down."""
    given = _effective(session.full_config, profile)
    kept: str = SSOProvider._SSO_TOKEN_CACHE_DIR  # type: ignore[attr-defined]  # botocore-stubs leave it out
    loader = SSOTokenLoader(cache=JSONFileCache(kept))
    try:
        token = loader(given["sso_start_url"], session_name=given.get("sso_session"))
        return datetime.fromisoformat(str(token["expiresAt"]).replace("UTC", "Z")).timestamp()
    except (BotoCoreError, KeyError, ValueError):
        return None


def credentials(found: SignedIn, now: float) -> Check:
    """The check of what was got. Pure."""
    whence = f"they come from {found.source}"
    if found.expires_at is None:
        if found.temporary:
            do = "set AWS_CREDENTIAL_EXPIRATION beside them, or sign in by a profile"
            return warned(_CREDENTIALS, f"{whence}, are temporary, and nothing says until when they last", do)
        return passed(_CREDENTIALS, f"{whence}, and do not expire")
    left = found.expires_at - now
    if found.method in _RENEWED:
        return passed(_CREDENTIALS, f"{whence}, last until {told(found.expires_at)} and are renewed by themselves")
    if left <= 0:
        return failed(_CREDENTIALS, f"{whence}, and expired at {told(found.expires_at)}", "sign in again")
    until = f"{whence}, and last until {told(found.expires_at)}, for {lasting(left)}"
    if left < SOON_SECONDS:
        return warned(_CREDENTIALS, until, "sign in again before you begin")
    return passed(_CREDENTIALS, until)


def _effective(config: Mapping[str, Any], profile: str) -> dict[str, Any]:
    """A profile with what its sso-session says."""
    given = dict(config.get("profiles", {}).get(profile, {}))
    return {**config.get("sso_sessions", {}).get(given.get("sso_session"), {}), **given}


def dependences(
    config: Mapping[str, Any], found: SignedIn | None, profile: str, sts_region: str | None
) -> list[Dependence]:
    """What is asked for the credentials, as ~/.aws/config says it. Pure.

    `config` is botocore's `full_config`; `found` is None where the sign-in has failed; `sts_region` is where roles are
    assumed, us-east-1 for the global endpoint, None where no Region is set.
    """
    if found is not None and found.method == "env":
        return []
    return list(_of_profile(config, profile, sts_region))


def _of_profile(config: Mapping[str, Any], profile: str, sts_region: str | None) -> Iterator[Dependence]:
    """Of the profile, and of those that it names as its source; a circle of them ends somewhere."""
    for _ in range(_MANY):
        given = _effective(config, profile)
        yield from _asked_of(given, profile, sts_region)
        source = given.get("source_profile")
        if source is None or source == profile:
            return
        profile = source


def _asked_of(given: Mapping[str, Any], profile: str, sts_region: str | None) -> Iterator[Dependence]:
    if "sso_region" in given:
        todo = "keep the operator's profile at hand, which needs no identity provider (docs/break-glass.md)"
        yield Dependence(f"IAM Identity Center (profile {profile})", given["sso_region"], todo)
    if "role_arn" in given:
        todo = f"set region in the profile {profile} to the DR Region, and leave sts_regional_endpoints out"
        yield Dependence(f"STS, which assumes {given['role_arn']}", sts_region, todo)
    if "login_session" in given:
        todo = f"set region in the profile {profile} to the DR Region"
        yield Dependence(f"AWS Sign-In (profile {profile})", given.get("region"), todo)
    if given.get("credential_source") == "Ec2InstanceMetadata":
        yield Dependence("the instance that this is", None, "make sure that it is not in the Region that may be lost")
    if "credential_process" in given:
        command = str(given["credential_process"])
        named = _NAMES_REGION.search(command)
        todo = "find out what it asks, and have a profile at hand that does not need it"
        yield Dependence(f"the credential_process {command!r}", named[0] if named else None, todo)


def depends(found: list[Dependence], blockade: Blockade) -> Iterator[Check]:
    """A check for each of them. Pure."""
    if not found:
        yield passed(_DEPENDS, "no Region: the credentials are on this machine")
    for one in found:
        if one.region == blockade.lost:
            yield failed(_DEPENDS, f"{one.what} is in {one.region}: nobody signs in so while it is lost", one.todo)
        elif one.region is None:
            yield warned(_DEPENDS, f"{one.what}, and nobody can say in which Region that is", one.todo)
        elif blockade.why(one.region):
            yield warned(_DEPENDS, f"{one.what} in {one.region}, where AWS's global control planes are", one.todo)
        else:
            yield passed(_DEPENDS, f"{one.what} in {one.region}")


def misled(environment: Mapping[str, str], default_region: str | None, blockade: Blockade) -> Iterator[Check]:
    """What would lead calls into the lost Region: endpoints in the environment, and a default Region. Pure."""
    for name, url in sorted(environment.items()):
        if name.startswith("AWS_ENDPOINT_URL") and (why := blockade.why(region_of(url))):
            yield failed("endpoint", f"{name} leads every call to {url}: {why}", f"take {name} out of the environment")
    set_by = next((name for name in ("AWS_REGION", "AWS_DEFAULT_REGION") if environment.get(name)), "the profile")
    region = environment.get(set_by) or default_region
    if region is not None and (why := blockade.why(region)):
        sentence = f"{set_by} makes {region} the default: {why}, and aws commands without --region ask there"
        yield warned("default Region", sentence, f"let it be {blockade.left}, or give --region each time")
