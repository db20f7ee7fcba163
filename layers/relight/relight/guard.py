"""`guard`: each minute, in either Region: publish this Region's switches from its ledger, and fence this Region where
the other one has superseded it.

It fences only on a strongly consistent read of the other ledger that says so at a higher epoch; an unreadable or an
empty ledger never fences. Lifting is as careful: only where the other ledger says, steadily, that this Region is
active. Instances it takes only where the other Region is active, not while it is about to become so. A Region whose
database replicates from the active one is its standby, whichever it is: there is nothing to fence.

In the home Region it also lets go of HOLD where no run is left to do it: after the loss of the DR Region.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight import database, fleet, gauges, hold, switches
from relight.errors import DatabaseCheckFailed
from relight.gauges import is_away, maintenance, unprotected
from relight.ledger import Head, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_stepfunctions import SFNClient

    from relight.head import Capacity
    from relight.ledger import Ledger
    from relight.network_acl import NetworkAcl
    from relight.offer import Offer
    from relight.settings import GuardSettings
    from relight.signal import Signal


# Longer than any function of the failover may take (stacks/failover.yaml): StopExecution does not stop a handler.
LATE_HANDLER_SECONDS = 60


class Standing(StrEnum):
    """This Region's standing against the other one."""

    SUPERSEDED = "superseded"
    CONFIRMED = "confirmed"  # the other ledger says, steadily, that this Region is active
    UNKNOWN = "unknown"  # it could not be read, has never been written, or says neither


def is_undecided(other: Head, peer: str) -> bool:
    """Whether the other Region is being activated and nothing is promoted yet: then its run has to be alive."""
    return other.state is State.PROMOTING and other.active != peer and not other.door_opened


def has_a_standby_to_be(own: Head, other: Head | None, peer: str) -> bool:
    """Whether both ledgers say that the other Region is active, since some run: then its standby belongs here."""
    return other is not None and other.active == peer == own.active and own.active_epoch > 0


def stands_by(own: Head, here: str, home: str, replica: bool | None) -> bool:
    """Whether this Region is the standby as it should be, by its own ledger and by its database.

    `replica` says whether its database replicates. Where nobody can say, the Region that is not home is a standby once
    it is not active any more, and the home Region is none.
    """
    if own.active == here:
        return False
    return here != own.home_or(home) if replica is None else replica


def standing(
    own: Head,
    other: Head | None,
    here: str,
    peer: str,
    home: str,
    *,
    running: bool | None = None,
    replica: bool | None = None,
) -> Standing:
    """What the other Region's ledger means for this one. Pure.

    `running` says whether the run that activates the other Region is at work, where that matters (`is_undecided`);
    None where it cannot be learnt. A run that was stopped before its promotion supersedes nothing: the Region that
    serves would be fenced for it until somebody tidies up. `replica` says whether this Region's database replicates,
    where that matters (`has_a_standby_to_be`); None likewise.
    """
    if other is None or not other.written:
        return Standing.UNKNOWN
    undecided = is_undecided(other, peer)
    claim = claim_of(other, peer, running=undecided and running is True)
    # That the other one is active supersedes no standby, and a fence here would keep the application from its database
    # after the next promotion.
    standby = stands_by(own, here, home, replica)
    if claim is not None and not standby and _outdone(own, here, claim):
        return Standing.SUPERSEDED
    settled = other.state is State.STEADY or (undecided and running is False)
    if settled and other.active == here and _agrees(own, other, here):
        return Standing.CONFIRMED
    return Standing.UNKNOWN


def claim_of(other: Head, peer: str, *, running: bool) -> int | None:
    """Since which epoch the other Region is the active one, or is to become it; None where it claims neither."""
    if other.active == peer:
        return other.active_epoch
    return other.epoch if other.door_opened or running else None


def _outdone(own: Head, here: str, claim: int) -> bool:
    """Whether that claim is later than this Region's own. A failover of its own that came after it is going home.

    So is one that died behind the one-way door, until the next one goes on. A failback is not: while it keeps the old
    database and builds the new one, the old one is to stay fenced; the switchover is a failover's. Runs that changed
    nothing make the epoch grow, and are no claim.
    """
    at_work = own.owner is not None and "-failback:" not in own.owner
    going_home = (at_work or own.door_opened) and own.epoch > claim
    return not going_home and claim > (own.active_epoch if own.active == here else -1)


def _agrees(own: Head, other: Head, here: str) -> bool:
    """Whether the other ledger, which says that this Region is active, knows all that this one knows."""
    if own.active == here:
        return other.active_epoch >= own.active_epoch
    return other.active_epoch > own.active_epoch


@dataclass(frozen=True)
class Hands:
    """What the guard can do in its Region; `acl` is None where the network ACL is not ours: then `dbcheck` fences."""

    acl: NetworkAcl | None
    functions: LambdaClient
    groups: AutoScalingClient
    peer_machines: SFNClient
    peer_cloudwatch: CloudWatchClient | None = None  # without it nobody lets go of HOLD


@dataclass(frozen=True)
class Guard:
    """One watch."""

    settings: GuardSettings
    ledger: Ledger
    peer_ledger: Ledger
    hands: Hands
    cloudwatch: CloudWatchClient
    clock: Callable[[], float] = time.time
    offer: Offer | None = None

    def watch(self) -> dict[str, Any]:
        """Publish, then look at the other ledger, then fence or lift. What could not be done is told as `lacking`.

        Raises what publishing raised, but only once everything else has been done.
        """
        s = self.settings
        own = self.ledger.head()
        values = switches.switches(own, s.aws_region, s.home_region)
        beside = maintenance(own, self.clock())
        unpublished: Exception | None = None
        try:
            switches.publish(self.cloudwatch, s.switch_namespace, values | beside)
        except (BotoCoreError, ClientError) as error:
            unpublished = error
        other = self._other()
        lacking: list[str] = []
        beside |= self._tell_unprotected(own, other, lacking)
        replica = None
        if has_a_standby_to_be(own, other, s.peer_region):
            replica = self._replicates()
            own = self.ledger.head()  # the question may have taken its time, and a run may have begun here
        found = self._judge(own, other, replica)
        done = {"fenced": False, "lifted": False, "emptied": False}
        if other is not None and found is Standing.SUPERSEDED:
            done |= self._fence(other, replica, lacking)
        elif found is Standing.CONFIRMED:
            done |= self._let_in(lacking)
        if hold.is_due(own, other, s.aws_region, self.clock()):
            self._try("HOLD could not be let go of", lambda: self._let_go(own), lacking)
        if unpublished is not None:
            raise unpublished
        offered = self._consider(own, other, well=not lacking)
        said = {"switches": values, "gauges": beside, "standing": found.value, **done}
        return said | offered | ({"lacking": lacking} if lacking else {})

    def _consider(self, own: Head, other: Head | None, *, well: bool) -> dict[str, str]:
        """Tell people once that they can go home, after all has worked for a while. What they were told, or why not.

        Nothing lacks where that fails: it is tried again with the next watch.
        """
        if self.offer is None or other is None:
            return {}
        try:
            told = self.offer.consider(own, other, well)
        except (BotoCoreError, ClientError) as error:
            return {"unoffered": f"{type(error).__name__}: {error}"}
        return {} if told is None else {"offered": told}

    def _tell_unprotected(self, own: Head, other: Head | None, lacking: list[str]) -> dict[str, float]:
        """Publish how long there has been no standby. After the switches: the other Region may be slow to answer."""
        s = self.settings
        stream = self._stream(other) if is_away(own, s.aws_region, s.home_region) else None
        told = unprotected(own, s.aws_region, s.home_region, self.clock(), stream)

        def publish() -> bool:
            switches.publish(self.cloudwatch, s.switch_namespace, told)
            return True

        if told:
            self._try("how long there has been no standby could not be published", publish, lacking)
        return told

    def _stream(self, other: Head | None) -> Signal | None:
        """What the other Region's probe sees of its replica; None is unknown."""
        if other is None:
            return None
        try:
            return gauges.stream(self.peer_ledger)
        except (BotoCoreError, ClientError):
            return None

    def _replicates(self) -> bool | None:
        """Whether this Region's database is a replica; None where it cannot be asked."""
        state = database.state(self.hands.functions, self.settings.dbcheck_function)
        return None if state is None else bool(state["in_recovery"])

    def _let_go(self, own: Head) -> bool:
        """Let go of HOLD, which is published with the next watch; False while the other Region's switches need it."""
        why = hold.in_the_way(self.hands.peer_cloudwatch, self.settings.ledger_table.removeprefix("relight-"))
        return why is None and hold.let_go(self.ledger, self.settings.aws_region, own, self.clock())

    def _fence(self, other: Head, replica: bool | None, lacking: list[str]) -> dict[str, bool]:
        """The quick things first. What the database is asked comes last: its function may hang."""
        fenced = emptied = False
        acl = self.hands.acl
        if acl is not None:
            fenced = self._try("the network ACL could not be changed", acl.deny, lacking)
        if other.active == self.settings.peer_region:
            emptied = self._try("the instances could not be taken", lambda: self._empty(replica, lacking), lacking)
            self._try("the ledger could not be told", lambda: self._mirror(other), lacking)
        if acl is None:
            fenced = self._try("the database could not be stopped", lambda: self._stop(lacking), lacking)
        return {"fenced": fenced, "emptied": emptied}

    def _let_in(self, lacking: list[str]) -> dict[str, bool]:
        acl = self.hands.acl
        lifted = acl is not None and self._try("the network ACL could not be changed", acl.lift, lacking)
        said = "whether the database's writes are stopped is not known"
        return {"lifted": self._try(said, lambda: self._allow(lacking), lacking) or lifted}

    def _mirror(self, other: Head) -> bool:
        self.ledger.mirror(other, self.clock())
        return True

    def _empty(self, replica: bool | None, lacking: list[str]) -> bool:
        names = self.settings.group_names

        def still() -> bool:
            return self._still_superseded(replica)

        def before(name: str) -> Capacity | None:
            return self.ledger.capacity(fleet.standing_by(name))

        why = fleet.empty(self.hands.groups, names, still, before) if names else "none of them is known"
        if why:
            lacking.append(f"the instances could not be taken: {why}")
        return not why

    def _stop(self, lacking: list[str]) -> bool:
        answer = database.ask(self.hands.functions, self.settings.dbcheck_function, "stop")
        # A replica takes no writes: there is nothing to be stopped.
        if not answer["stopped"] and not answer.get("in_recovery"):
            lacking.append(f"the database could not be stopped: {answer['sentence']}")
        return bool(answer["stopped"])

    def _allow(self, lacking: list[str]) -> bool:
        answer = database.let_in(self.hands.functions, self.settings.dbcheck_function, self._still_confirmed)
        if not answer["reached"]:
            lacking.append(f"whether the database's writes are stopped is not known: {answer['sentence']}")
        elif answer["was_stopped"] and not answer["allowed"]:
            lacking.append(f"the database's writes stay stopped: {answer['sentence']}")
        return bool(answer["was_stopped"] and answer["allowed"])

    def _still_superseded(self, replica: bool | None) -> bool:
        """Asked again before instances are taken: going home may just have begun."""
        other = self._other()
        active = other is not None and other.active == self.settings.peer_region
        return active and self._judge(self.ledger.head(), other, replica) is Standing.SUPERSEDED

    def _still_confirmed(self) -> bool:
        """Asked again before writes are let in: a planned run may just have stopped them, and count on it."""
        return self._judge(self.ledger.head(), self._other(), None) is Standing.CONFIRMED

    def _judge(self, own: Head, other: Head | None, replica: bool | None) -> Standing:
        s = self.settings
        undecided = other is not None and other.written and is_undecided(other, s.peer_region)
        running = self._is_running(other.owner) if other is not None and undecided else None
        return standing(own, other, s.aws_region, s.peer_region, s.home_region, running=running, replica=replica)

    def _is_running(self, owner: str | None) -> bool | None:
        """Whether the run that owns the other ledger's lock is at work; None where the other Region does not say.

        Nor is it known while a handler of a run that was stopped may still be under way: it could yet open the door.
        """
        if owner is None:
            return False
        machines = self.hands.peer_machines
        try:
            found = machines.describe_execution(executionArn=owner)
            if found["status"] == "RUNNING":
                return True
            over = "stopDate" in found and self.clock() - found["stopDate"].timestamp() > LATE_HANDLER_SECONDS
            return False if over else None
        except machines.exceptions.ExecutionDoesNotExist:
            return False
        except (BotoCoreError, ClientError):
            return None

    @staticmethod
    def _try(failing: str, act: Callable[[], bool], lacking: list[str]) -> bool:
        """Do it; what AWS refuses must not keep the rest from being done."""
        try:
            return act()
        except (BotoCoreError, ClientError, DatabaseCheckFailed) as error:
            lacking.append(f"{failing}: {type(error).__name__}: {error}")
            return False

    def _other(self) -> Head | None:
        try:
            return self.peer_ledger.head()
        except (BotoCoreError, ClientError):
            return None
