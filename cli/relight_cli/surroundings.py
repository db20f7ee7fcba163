"""Where AWS is, for every command alike: a profile, an endpoint, or a rehearsal that was kept in their place.

They are options of `relight` itself, and understood behind the command as well, as people type them. What they say is
put into the environment, as the AWS CLI's variables: what a command starts, SAM CLI for one, is told the same.
"""

import os
import shlex
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Annotated
from urllib.parse import urlsplit

import typer

from relight_cli.deployed import APP, ENV, REGIONS
from relight_cli.exit_code import Exit, Refused

# Not `type` statements: typer does not look behind them.
Lab = Annotated[bool, typer.Option("--lab", help="Ask the rehearsal that was kept, and not AWS.")]
AwsProfile = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="The profile, as the AWS CLI takes it.")
]
EndpointUrl = Annotated[
    str | None, typer.Option("--endpoint-url", metavar="URL", help="Where AWS's APIs are, as the AWS CLI takes it.")
]

VALUES = frozenset({"--profile", "--endpoint-url"})
"""Those that take the next word."""
_FLAGS = frozenset({"--lab"})
_LAB = "lab"
"""The access key that stands for the rehearsal that was kept."""
_INSTEAD_OF_A_PROFILE = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_DEFAULT_PROFILE",
)
_INSTEAD_OF_AN_ENDPOINT = ("AWS_ENDPOINT_URL_", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
"""How the names of those begin."""


def hoisted(arguments: Sequence[str]) -> list[str]:
    """The command line with these options in front, wherever they were written. What follows `--` stays. Pure.

    One that lacks its value becomes the last word: typer says so then, and takes no other word for it.
    """
    front: list[str] = []
    rest: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word == "--":
            return [*front, *rest, word, *words]
        name, given, _ = word.partition("=")
        if word in _FLAGS or (name in VALUES and given):
            front.append(word)
        elif word in VALUES:
            if not words or words[0].startswith("-"):
                return [*front, word]
            front += [word, words.pop(0)]
        else:
            rest.append(word)
    return [*front, *rest]


def surround(
    *, lab: bool, profile: str | None, endpoint_url: str | None, environment: MutableMapping[str, str] = os.environ
) -> None:
    """Let what this process asks of AWS go there. Refused where that contradicts itself, or no lab is kept."""
    if lab:
        if profile is not None or endpoint_url is not None:
            raise _wrong("--lab says where AWS is already", "leave out --profile and --endpoint-url")
        _enter_lab(environment)
    if profile is not None:
        if not profile.strip():
            raise _wrong("the profile is blank", "give its name, as in ~/.aws/config")
        _forget(environment, _INSTEAD_OF_A_PROFILE)
        environment["AWS_PROFILE"] = profile
    if endpoint_url is not None:
        if not _is_endpoint(endpoint_url):
            raise _wrong(f"{endpoint_url!r} is no endpoint's URL", "give one such as http://127.0.0.1:5000")
        _forget(environment, _INSTEAD_OF_AN_ENDPOINT)
        environment["AWS_ENDPOINT_URL"] = endpoint_url


def how_called(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """What `relight` has to be told to reach the same AWS again, by what this process was told. Pure."""
    return ("relight", "--lab") if _in_lab(environment) else ("relight", *_chosen(environment))


def relight_here() -> str:
    """`relight`, with what leads it to the same AWS: the beginning of each command of it that a person is to copy."""
    return shlex.join(how_called())


def aws_here() -> str:
    """`aws`, likewise. It knows no --lab, and is led to the rehearsal's endpoint instead."""
    return shlex.join(("aws", *_chosen(os.environ)))


def _chosen(environment: Mapping[str, str]) -> tuple[str, ...]:
    given = (("--profile", environment.get("AWS_PROFILE")), ("--endpoint-url", environment.get("AWS_ENDPOINT_URL")))
    return tuple(word for option, value in given if value for word in (option, value))


def _in_lab(environment: Mapping[str, str]) -> bool:
    return environment.get("AWS_ACCESS_KEY_ID") == _LAB


def _is_endpoint(url: str) -> bool:
    try:
        where = urlsplit(url)
        return where.scheme in {"http", "https"} and bool(where.hostname) and where.port != 0
    except ValueError:  # a port that is no number, half an IPv6 address
        return False


def _forget(environment: MutableMapping[str, str], beginnings: tuple[str, ...]) -> None:
    """Let nothing count before what was asked for: boto3 would take it first."""
    for name in [name for name in environment if name.startswith(beginnings)]:
        del environment[name]


def _enter_lab(environment: MutableMapping[str, str]) -> None:
    from lab.kept import find, notes  # noqa: PLC0415 - psutil takes a while, and few ask for it

    where = notes(environment)
    kept = find(where)
    if kept is None:
        do = 'start one with make rehearse ARGS="--keep", and leave it running'
        raise Refused("no rehearsal is kept", where=str(where), do=do, code=Exit.BAD_INPUT)
    _forget(environment, ("AWS_", ENV))  # nothing of a real account, nor of what is deployed there
    # A proxy of the person's network does not lead to this machine.
    spared = environment.get("no_proxy") or environment.get("NO_PROXY")
    here = urlsplit(kept.endpoint_url).hostname
    environment.update(
        {
            "AWS_ACCESS_KEY_ID": _LAB,
            "AWS_SECRET_ACCESS_KEY": _LAB,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": kept.endpoint_url,
            APP: kept.application,
            REGIONS: " ".join(kept.regions),
            "no_proxy": ",".join(host for host in (spared, here) if host),
        }
    )


def _wrong(what: str, do: str) -> Refused:
    return Refused(what, where="in the command line", do=do, code=Exit.BAD_INPUT)
