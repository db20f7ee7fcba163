"""`guard`: each minute, in either Region: publish this Region's switches from its ledger, and fence this Region where
the other one has superseded it.

It fences only on a strongly consistent read of the other ledger that says so at a higher epoch; an unreadable or an
empty ledger never fences. Lifting is as careful: only where the other ledger says, steadily, that this Region is
active.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight import switches
from relight.gauges import gauges
from relight.ledger import Head, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_cloudwatch import CloudWatchClient

    from relight.ledger import Ledger
    from relight.network_acl import NetworkAcl
    from relight.settings import GuardSettings


class Standing(StrEnum):
    """This Region's standing against the other one."""

    SUPERSEDED = "superseded"
    CONFIRMED = "confirmed"  # the other ledger says, steadily, that this Region is active
    UNKNOWN = "unknown"  # it could not be read, has never been written, or says neither


def standing(own: Head, other: Head | None, here: str, peer: str, home: str) -> Standing:
    """What the other Region's ledger means for this one. Pure."""
    if other is None or not other.written:
        return Standing.UNKNOWN
    activating = other.active == peer or other.state is State.PROMOTING
    # The standby as it should be: that the other one is active supersedes nothing, and a fence here would keep the
    # application from its database after the next promotion.
    standby = here not in {home, own.active}
    # At an equal epoch this ledger has been told already; `promoting` without a run of its own is the other one's word.
    told = own.active == peer or (own.state is State.PROMOTING and own.owner is None)
    if activating and not standby and (other.epoch > own.epoch or (other.epoch == own.epoch and told)):
        return Standing.SUPERSEDED
    if other.state is State.STEADY and other.active == here and other.epoch >= own.epoch:
        return Standing.CONFIRMED
    return Standing.UNKNOWN


@dataclass(frozen=True)
class Guard:
    """One watch."""

    settings: GuardSettings
    ledger: Ledger
    peer_ledger: Ledger
    acl: NetworkAcl | None  # None where this Region's network ACL is not ours
    cloudwatch: CloudWatchClient
    clock: Callable[[], float] = time.time

    def watch(self) -> dict[str, Any]:
        """Publish, then look at the other ledger, then fence or lift.

        Raises what publishing raised, but only once a superseded Region has been fenced.
        """
        s = self.settings
        own = self.ledger.head()
        values = switches.switches(own, s.aws_region, s.home_region)
        beside = gauges(own, s.aws_region, s.home_region, self.clock())
        unpublished: Exception | None = None
        try:
            switches.publish(self.cloudwatch, s.switch_namespace, values | beside)
        except (BotoCoreError, ClientError) as error:
            unpublished = error
        other = self._other()
        found = standing(own, other, s.aws_region, s.peer_region, s.home_region)
        lacking = "" if self.acl else "this Region's network ACL is not known: there is nothing to fence with"
        fenced = lifted = False
        if other is not None and found is Standing.SUPERSEDED:
            fenced = self.acl is not None and self.acl.deny()
            if other.active == s.peer_region:
                self.ledger.mirror(other.epoch, other.active, other.state)
        elif found is Standing.CONFIRMED:
            lifted = self.acl is not None and self.acl.lift()
        if unpublished is not None:
            raise unpublished
        said = {"switches": values, "gauges": beside, "standing": found.value, "fenced": fenced, "lifted": lifted}
        return said | ({"lacking": lacking} if lacking and found is Standing.SUPERSEDED else {})

    def _other(self) -> Head | None:
        try:
            return self.peer_ledger.head()
        except (BotoCoreError, ClientError):
            return None
