"""Whose credentials these are, and what the account has switched on."""

from relight_cli.aws import Aws, asking
from relight_cli.exit_code import Exit, Refused
from relight_cli.samconfig import REGIONAL, Environment, Slot

_NOT_ENABLED = "not-opted-in"


def check(environment: Environment, aws: Aws) -> str:
    """Refused unless the credentials are of the environment's account; otherwise a sentence."""
    with asking("ask whose credentials these are"):
        # Regional: the global endpoint is us-east-1.
        identity = aws.client("sts", environment.home_region).get_caller_identity()
    if identity["Account"] != environment.account:
        raise Refused(
            f"these credentials are of account {identity['Account']}, and {environment.name} is account "
            f"{environment.account}",
            where=f"{environment.file.name} [{environment.name}.relight.parameters]",
            do="sign in to the other account, or correct it there",
            code=Exit.WRONG_ACCOUNT,
        )
    return f"account {identity['Account']}, as {identity['Arn']}"


def check_regions(environment: Environment, aws: Aws) -> str:
    """Refused where a Region is not enabled, or one cannot replicate a database from the other."""
    primary, dr = (environment.stacks[slot].region for slot in REGIONAL)
    with asking("ask which Regions are enabled"):
        answer = aws.client("ec2", primary).describe_regions(AllRegions=True)
    states = {region["RegionName"]: region.get("OptInStatus", "opt-in-not-required") for region in answer["Regions"]}
    for region in (primary, dr):
        if states.get(region, _NOT_ENABLED) == _NOT_ENABLED:
            raise _unsupported(f"{region} is not enabled in this account", environment, f"enable {region} first")
    if environment.own_workload:
        _check_replication(environment, aws, primary, dr)
    return f"{primary} and {dr} are enabled, and RDS replicates between them"


def _check_replication(environment: Environment, aws: Aws, primary: str, dr: str) -> None:
    """Both ways: the failback builds a replica in the other direction."""
    for here, source in ((dr, primary), (primary, dr)):
        with asking(f"ask RDS in {here} where it can replicate from"):
            pages = aws.client("rds", here).get_paginator("describe_source_regions").paginate()
            sources = {region["RegionName"] for page in pages for region in page["SourceRegions"]}
        if source not in sources:
            raise _unsupported(f"RDS in {here} cannot replicate from {source}", environment, "choose another pair")


def _unsupported(what: str, environment: Environment, do: str) -> Refused:
    where = f"{environment.file.name} {environment.stacks[Slot.PRIMARY].config_env}"
    return Refused(what, where=where, do=do, code=Exit.REGIONS)
