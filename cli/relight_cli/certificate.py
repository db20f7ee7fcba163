"""The certificate of each Region: issued, in time, and for the three names under which the site is asked for."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from relight_cli.aws import Aws, asking, code_of
from relight_cli.exit_code import Exit, Refused
from relight_cli.samconfig import REGIONAL, Environment, Slot

_SOON = 30 * 86400


def needed(environment: Environment) -> bool:
    """Whether anything here listens with a certificate."""
    return environment.own_workload and environment.given(Slot.PRIMARY, "Scheme", "https") == "https"


def names(domain: str) -> list[str]:
    """Clients ask for the domain; probe and verify for the names of one Region."""
    return [domain, f"primary.{domain}", f"dr.{domain}"]


def covers(patterns: Iterable[str], name: str) -> bool:
    """Whether a certificate for these names is one for `name`; a wildcard stands for one label and no more."""
    label, _, rest = name.lower().partition(".")
    wanted = {name.lower(), f"*.{rest}"} if label and rest else {name.lower()}
    return any(pattern.lower().rstrip(".") in wanted for pattern in patterns)


def fault(described: Mapping[str, Any], domain: str, now: float) -> str:
    """What is wrong with a certificate as ACM describes it; empty where nothing is. Pure; `now` in epoch seconds."""
    status = str(described.get("Status", "unknown"))
    until = described.get("NotAfter")
    if status == "EXPIRED" or (until is not None and until.timestamp() <= now):
        return f"has expired{f' on {until:%Y-%m-%d}' if until else ''}"
    if status != "ISSUED":
        return f"is not issued, its status is {status}"
    held = [described.get("DomainName", ""), *described.get("SubjectAlternativeNames", [])]
    missing = [name for name in names(domain) if not covers(held, name)]
    return f"does not cover {', '.join(missing)}" if missing else ""


def check(environment: Environment, aws: Aws) -> str:
    """Refused where a Region's certificate cannot be used; otherwise a sentence."""
    now, said = time.time(), []
    for slot in REGIONAL:
        region, arn = environment.stacks[slot].region, environment.given(slot, "CertificateArn")
        described = _describe(environment, aws, slot, arn)
        wrong = fault(described, environment.domain, now)
        if wrong:
            raise _refused(environment, slot, f"the certificate {arn} {wrong}", f"request one in {region}")
        until = described.get("NotAfter")
        soon = until is not None and until.timestamp() < now + _SOON
        said.append(f"{region} until {until:%Y-%m-%d}{', which is soon' if soon else ''}" if until else region)
    return f"certificates for {', '.join(names(environment.domain))}: {'; '.join(said)}"


def _describe(environment: Environment, aws: Aws, slot: Slot, arn: str) -> Mapping[str, Any]:
    region = environment.stacks[slot].region
    if arn.split(":")[3:4] != [region]:
        raise _refused(environment, slot, f"the certificate {arn or '(none)'} is not of {region}", "name one of there")
    with asking(f"read the certificate of {region}"):
        try:
            answer = aws.client("acm", region).describe_certificate(CertificateArn=arn)
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            missing = f"there is no certificate {arn}"
            raise _refused(environment, slot, missing, "request it, or correct CertificateArn") from error
    described: Mapping[str, Any] = answer["Certificate"]
    return described


def _refused(environment: Environment, slot: Slot, what: str, do: str) -> Refused:
    where = f"{environment.file.name} [{environment.stacks[slot].config_env}.deploy.parameters]"
    return Refused(what, where=where, do=do, code=Exit.CERTIFICATE)
