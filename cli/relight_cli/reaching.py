"""One Region asked while another may be lost: by its own endpoints, and an exit code for each reason of no answer."""

import json
import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError
from relight.ledger import Ledger

from relight_cli.aws import DENIED, NO_ANSWER, Aws, asking, code_of
from relight_cli.deployed import Deployed
from relight_cli.exit_code import Exit, Refused

_NO_TABLE = "ResourceNotFoundException"


@contextmanager
def reaching(region: str, what: str) -> Generator[None]:
    """As `asking`; and what it refuses with says whether the Region did not answer, or AWS denied the call."""
    try:
        with asking(f"{what} in {region}"):
            yield
    except Refused as refused:
        cause = refused.__cause__
        if refused.code is not Exit.AWS or cause is None:
            raise
        raise Refused(refused.what, where=refused.where, do=refused.do, code=_code(cause)) from cause


def _code(cause: BaseException) -> Exit:
    if isinstance(cause, NO_ANSWER):
        return Exit.NO_ANSWER
    return Exit.DENIED if isinstance(cause, ClientError) and code_of(cause) in DENIED else Exit.AWS


@contextmanager
def reading(deployed: Deployed, region: str, aws: Aws) -> Generator[Ledger]:
    """The ledger of a Region. Refused when it does not answer, denies the call, or is not there."""
    with reaching(region, "ask the ledger"):
        try:
            # The home Region is what a ledger that nobody has written would call active, and nobody asks that here.
            yield Ledger(aws.client("dynamodb", region), deployed.table, home_region=region)
        except ClientError as error:
            if code_of(error) != _NO_TABLE:
                raise
            what = f"there is no ledger {deployed.table} in {region}"
            raise Refused(what, do="check application, Region and account", code=Exit.NO_LEDGER) from error


def invoked(aws: Aws, region: str, name: str, question: Mapping[str, object]) -> tuple[dict[str, Any], bool]:
    """What a function answers, and whether that is an error. Refused where it does not answer, or is not there."""
    with reaching(region, f"ask {name}"):
        try:
            answer = aws.client("lambda", region).invoke(FunctionName=name, Payload=json.dumps(question).encode())
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            what = f"there is no function {name} in {region}"
            do = "check application and Region, or deploy this version of Relight there"
            raise Refused(what, do=do, code=Exit.CONFIGURATION) from error
        body = answer["Payload"].read()
    try:
        found = json.loads(body or b"null")
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}, "FunctionError" in answer


def identity(deployed: Deployed, aws: Aws, regions: Iterable[str]) -> str:
    """Whose credentials these are, as an ARN. The Regions are asked in turn until one answers.

    Refused when none does, and when they are of another account than the application.
    """
    # Else an old setting of this machine could lead the call to the global endpoint, which is us-east-1.
    os.environ["AWS_STS_REGIONAL_ENDPOINTS"] = "regional"
    silence: Refused | None = None
    for region in regions:
        try:
            with reaching(region, "ask whose credentials these are"):
                who = aws.client("sts", region).get_caller_identity()
        except Refused as refused:
            if refused.code is not Exit.NO_ANSWER:
                raise
            silence = silence or refused
            continue
        if deployed.account not in {None, who["Account"]}:
            what = f"these credentials are of account {who['Account']}, and not of {deployed.account}"
            raise Refused(what, do="sign in to the other account", code=Exit.WRONG_ACCOUNT)
        return str(who["Arn"])
    assert silence is not None, "a Region at least is asked"
    raise silence
