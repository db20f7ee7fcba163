"""Which Region stands by now: not the active one, by the word of the ledger that knows of the latest activation."""

from collections.abc import Iterable

from relight.head import Head

from relight_cli.aws import Aws
from relight_cli.deployed import Deployed
from relight_cli.exit_code import Exit, Refused
from relight_cli.reaching import reading

SILENT = frozenset({Exit.NO_ANSWER, Exit.NO_LEDGER, Exit.DENIED, Exit.AWS})
"""Why a Region may say nothing, while the other one does."""


def standby(deployed: Deployed, aws: Aws) -> str:
    """The Region that stands by; where one alone was named, that one. Refused where no ledger answers."""
    if len(deployed.regions) == 1:
        return deployed.regions[0]
    heads: list[Head] = []
    silent: list[Refused] = []
    for region in deployed.regions:
        try:
            with reading(deployed, region, aws) as ledger:
                heads.append(ledger.head())
        except Refused as refused:
            if refused.code not in SILENT:
                raise
            silent.append(refused)
    if not heads:
        raise silent[0]
    return behind(deployed.regions, heads)


def behind(regions: tuple[str, ...], heads: Iterable[Head]) -> str:
    """The standby, from what the ledgers say; before the first activation it is the DR Region, which is first. Pure."""
    # A ledger that knows of no activation names the Region that it was asked in.
    known = [head for head in heads if head.active_epoch > 0]
    if not known:
        return regions[0]
    active = max(known, key=lambda head: head.active_epoch).active
    return next((region for region in regions if region != active), regions[0])
