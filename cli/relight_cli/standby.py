"""Which Region stands by now: not the active one, by the word of the ledger that knows of the latest activation."""

from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from relight.head import Head

from relight_cli.aws import Aws
from relight_cli.deployed import Deployed
from relight_cli.exit_code import Exit, Refused
from relight_cli.reaching import reading
from relight_cli.surroundings import relight_here

SILENT = frozenset({Exit.NO_ANSWER, Exit.NO_LEDGER, Exit.DENIED, Exit.AWS})
"""Why a Region may say nothing, while the other one does."""


def standby(deployed: Deployed, aws: Aws) -> str:
    """The Region that stands by; where one alone was named, that one. Refused where no ledger answers."""
    if len(deployed.regions) == 1:
        return deployed.regions[0]
    for region in deployed.regions:
        aws.client("dynamodb", region)  # made here: a session makes its clients one at a time

    def ask(region: str) -> Head | Refused:
        try:
            with reading(deployed, region, aws) as ledger:
                return ledger.head()
        except Refused as refused:
            return refused

    # At once: one that is lost may swallow every call until its time is over.
    with ThreadPoolExecutor(len(deployed.regions)) as pool:
        said = list(pool.map(ask, deployed.regions))
    silent = [one for one in said if isinstance(one, Refused)]
    for refused in silent:
        if refused.code not in SILENT:
            raise refused
    heads = [one for one in said if isinstance(one, Head)]
    if not heads:
        raise silent[0]
    return behind(deployed.regions, heads)


@contextmanager
def acting(deployed: Deployed, aws: Aws) -> Generator[str]:
    """The Region that stands by, which has to act. Where it does not answer, what that means is said, too: Refused."""
    region = standby(deployed, aws)
    try:
        yield region
    except Refused as refused:
        if refused.code is not Exit.NO_ANSWER:
            raise
        lost = f"a failover to {region} is not possible while it does not answer"
        do = f"{lost}; {relight_here()} status says who is active; {refused.do}"
        raise Refused(refused.what, where=refused.where, do=do, code=refused.code) from refused.__cause__


def behind(regions: tuple[str, ...], heads: Iterable[Head]) -> str:
    """The standby, from what the ledgers say; before the first activation it is the DR Region, which is first. Pure."""
    # A ledger that knows of no activation names the Region that it was asked in.
    known = [head for head in heads if head.active_epoch > 0]
    if not known:
        return regions[0]
    active = max(known, key=lambda head: head.active_epoch).active
    return next((region for region in regions if region != active), regions[0])
