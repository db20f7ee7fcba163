"""`survey`: is the way home open? Both ledgers, the runs of both Regions, and the other ledger's lock.

It takes that lock as a guest, because a run in the other Region must not change who is active while this Region is made
its standby; and it gives it back before the other Region's own run, which lights the pilot there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight import database
from relight.errors import (
    AlreadyActive,
    AnotherRunInProgress,
    DrillInProgress,
    InputInvalid,
    LeaseInTheWay,
    NeverFailedOver,
    PeerUnreachable,
    PilotNotLit,
    RunSuperseded,
)
from relight.ledger import State
from relight.step import Outcome
from relight.steps.promote import replicates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mypy_boto3_rds import RDSClient
    from mypy_boto3_stepfunctions import SFNClient

    from relight.ledger import Head, Ledger
    from relight.run import Run
    from relight.settings import SurveySettings


class Intent(StrEnum):
    """`hear`: take over who is active. `look`: is the way open, and may this run go it? `renew`: is it still so?

    `stay`: the other Region is home from now on. `leave`: the other ledger's lock is given back. `light`: the other
    Region rebuilds its standby. `preview`, of no run: what would happen now; it changes nothing.
    """

    HEAR = "hear"
    LOOK = "look"
    RENEW = "renew"
    STAY = "stay"
    LEAVE = "leave"
    LIGHT = "light"
    PREVIEW = "preview"


class To(StrEnum):
    """`home`: this Region becomes active again. `protected`: it becomes the standby of the active one, and no more."""

    HOME = "home"
    PROTECTED = "protected"


def superseded(own: Head, peer: Head, peer_region: str) -> bool:
    """Whether the other Region has been made active later than this ledger knows of. Pure."""
    return peer.active == peer_region and peer.active_epoch > own.active_epoch


def hears(own: Head, peer: Head, peer_region: str) -> bool:
    """Whether this ledger takes over who is active from the other; a promotion that was begun keeps its door. Pure."""
    return (superseded(own, peer, peer_region) or own.active == peer.active) and not own.door_opened


@dataclass(frozen=True)
class Survey:
    """One look at both Regions."""

    settings: SurveySettings
    ledger: Ledger
    peer_ledger: Ledger
    machines: SFNClient
    peer_machines: SFNClient
    peer_rds: RDSClient
    clock: Callable[[], float]

    def ensure(self, run: Run, intent: Intent, event: Mapping[str, Any]) -> Outcome:
        """What the intent asks for; `event` may hold "to" and "parent" (the execution that had this one started)."""
        parent = event.get("parent")
        acts: dict[Intent, Callable[[], Outcome]] = {
            Intent.HEAR: self.hear,
            Intent.LOOK: lambda: self.look(run, To(event.get("to", To.HOME)), parent),
            Intent.RENEW: lambda: self.renew(run, parent),
            Intent.STAY: lambda: self.stay(run),
            Intent.LEAVE: lambda: self.leave(run),
            Intent.LIGHT: lambda: self.light(run, event.get("accept") or []),
        }
        return acts[intent]()

    def hear(self) -> Outcome:
        """Take over who is active, and the epoch, from the other ledger: before the lock, so that this run is later."""
        other = self.peer_head()
        own = self.ledger.head()
        if own.owner is not None and self.is_dead(own.owner):  # a guest, too: nobody else would give its lock back
            self.ledger.unlock_as_guest(own.owner)
            own = self.ledger.head()
        # A run that is at work would lose its lock with an epoch that grows.
        if hears(own, other, self.settings.peer_region) and own.owner is None:
            self.ledger.mirror(other, self.clock())
        return Outcome.done(f"the other ledger says that {other.active} is active, at epoch {other.epoch}")

    def look(self, run: Run, to: To, parent: str | None) -> Outcome:
        """Whether this Region may be made a standby, and active again where that is wanted; then the lock is taken.

        AlreadyActive, NeverFailedOver, DrillInProgress, AnotherRunInProgress, PeerUnreachable or InputInvalid says why
        it may not.
        """
        s = self.settings
        own, other = self.ledger.require(run), self.peer_head()
        if superseded(own, other, s.peer_region):
            self.ledger.concede(run, other)
            own = self.ledger.require(run)
        if self.is_active(own, other):
            return self._resume(run, own, other, to)
        self.require_way(own, other, to, run.epoch)
        self._take_its_lock(run, other, parent)
        stopped = self._stop_left_over(run, other, parent)
        said = f"{s.peer_region} is active since epoch {other.active_epoch}, and nothing stands in the way"
        if stopped:
            said += f"; stopped what was left over from before: {', '.join(stopped)}"
        since = other.active_epoch
        return Outcome.done(said, active=s.peer_region, active_epoch=since, stopped=stopped, resume=False)

    def is_active(self, own: Head, other: Head) -> bool:
        """Whether this Region is active by the word of either ledger. AnotherRunInProgress where a run is half done."""
        self._require_nothing_open(own)
        return self.settings.aws_region in (own.active, other.active)

    def require_way(self, own: Head, other: Head, to: To, epoch: int) -> None:
        """What forbids a run of that epoch to go, as far as the ledgers tell: LeaseInTheWay, InputInvalid or
        AnotherRunInProgress.
        """
        s = self.settings
        home = own.home_or(s.home_region)
        if s.lease_term_seconds > 0 and s.aws_region == s.home_region:
            raise LeaseInTheWay(
                f"with a write lease the application of {s.aws_region} writes by leave of {s.peer_region}'s ledger, so "
                f"it could not take over from it: set LeaseTermSeconds to 0 in both Regions until you are home again"
            )
        if to is To.HOME and s.aws_region not in {home, s.home_region}:
            raise InputInvalid(f'"to": "home" is for {home}; here, "protected" rebuilds the standby')
        if other.state is State.PROMOTING:
            raise AnotherRunInProgress(f"{s.peer_region} is being activated by {other.owner or 'a run that died'}")
        if epoch <= other.epoch:  # what was done in its name would not count
            raise AnotherRunInProgress(f"{s.peer_region} has come to epoch {other.epoch} meanwhile: start again")

    def _require_nothing_open(self, own: Head) -> None:
        """AnotherRunInProgress where a failover run of this Region has died in the middle: the next one goes on."""
        here, there = self.settings.aws_region, self.settings.peer_region
        if own.door_opened:
            raise AnotherRunInProgress(
                f"a promotion of {here} was begun and not brought to its end: a failover run goes on from there"
            )
        if own.quiesce is not None:
            raise AnotherRunInProgress(
                f"a switchover to {here} has stopped the writes of {there} and let nobody in again: "
                f"the next failover run undoes that"
            )

    def _resume(self, run: Run, own: Head, other: Head, to: To) -> Outcome:
        """This Region is active: what is left to do is the other one's standby, where it has none."""
        if self.require_left(own, other, to):
            self._lock_it(run, other.owner)
        here, there, since = self.settings.aws_region, self.settings.peer_region, own.active_epoch
        said = f"{here} is active since epoch {since}, and {there} is no standby of it: going on"
        return Outcome.done(said, active=here, resume=True)

    def require_left(self, own: Head, other: Head, to: To) -> bool:
        """Whether a run that died has left the other ledger's lock, of this Region that is active.

        NeverFailedOver or AlreadyActive where nothing is left to be done, PeerUnreachable where that cannot be seen.
        """
        s = self.settings
        if max(own.active_epoch, other.active_epoch) == 0:
            raise NeverFailedOver(f"no run has ever made {s.peer_region} active: there is no way home to go")
        standby = self._try(lambda: database.describe(self.peer_rds, s.peer_database_id))
        follows = standby.source is not None and replicates(standby.source, s.aws_region, s.replica_id)
        # Left behind by a run that died: it would keep the other ledger from hearing who is active, and what that run
        # had still to do would not be done.
        left = other.owner is not None and (other.expires_at < self.clock() or self.is_dead(other.owner))
        if (follows and not left) or to is not To.HOME:
            raise AlreadyActive(
                f"{s.aws_region} is active already, since epoch {own.active_epoch}; "
                f'to rebuild the standby, run it in {s.peer_region} with "to": "protected"'
            )
        return left

    def renew(self, run: Run, parent: str | None) -> Outcome:
        """Keep the other ledger's lock. AnotherRunInProgress or AlreadyActive where the other Region has changed."""
        own, other = self.ledger.require(run), self.peer_head()
        if other.active != own.active or other.active_epoch != own.active_epoch:
            raise AnotherRunInProgress(
                f"the other ledger says now that {other.active} is active, since epoch {other.active_epoch}"
            )
        self._take_its_lock(run, other, parent)
        return Outcome.done(f"{other.active} is active as before")

    def stay(self, run: Run) -> Outcome:
        """Make the other Region home in both ledgers; nothing moves."""
        home = self.settings.peer_region
        with_lock = self._try(lambda: self.peer_ledger.make_home_as_guest(run.owner, home))
        if not with_lock:
            raise AnotherRunInProgress(f"the lock of {home}'s ledger is lost: its home stays as it was")
        self.ledger.make_home(run, home)
        return Outcome.done(f"{home} is home from now on", home=home)

    def leave(self, run: Run) -> Outcome:
        """Give the other ledger's lock back, and tell it that this Region is active, where it is.

        PeerUnreachable where that cannot be done just now: the lock runs out by itself, but not soon.
        """
        own, here = self.ledger.head(), self.settings.aws_region
        if own.active == here and own.home not in {None, here}:  # gone home after all: the decision to stay is over
            self._try(lambda: self.peer_ledger.make_home_as_guest(run.owner, here))
            self.ledger.make_home(run, here)
        self._try(lambda: self.peer_ledger.unlock_as_guest(run.owner))
        # A run that is at work there would lose its lock with an epoch that grows.
        if own.active == here:
            self._try(lambda: self.peer_ledger.mirror(own, self.clock()))
        return Outcome.done("the other ledger's lock is given back")

    def light(self, run: Run, accept: Sequence[str]) -> Outcome:
        """Have the other Region's own run rebuild its standby, and follow it. PilotNotLit where that failed.

        What a person has accepted of differences is accepted there, too.
        """
        s = self.settings
        name = f"light-{s.aws_region}-{run.epoch}"
        arn = f"{s.peer_failback_machine.replace(':stateMachine:', ':execution:', 1)}:{name}"
        found = self._try(lambda: self._describe(self.peer_machines, arn))
        if found is None:
            at_work = self._lights_already()
            if at_work is not None:
                return self._wait(f"{at_work} is at work in {s.peer_region}", execution=at_work)
            self._start_light(run, name, accept)
            return self._wait(f"{name} has been started in {s.peer_region}", execution=arn)
        if found["status"] == "RUNNING":
            return self._wait(f"{name} is at work in {s.peer_region}", execution=arn)
        end = json.loads(found.get("output") or "{}")
        if found["status"] != "SUCCEEDED" or end.get("status") != "SUCCEEDED":
            why = end.get("sentence") or found.get("cause") or found["status"]
            raise PilotNotLit(f"{name} in {s.peer_region} ended {end.get('status') or found['status']}: {why}")
        return Outcome.done(f"{s.peer_region} stands by again: {end.get('sentence', '')}", execution=arn)

    def _lights_already(self) -> str | None:
        """A failback of the other Region that is at work, as one that died has left it; None where there is none."""
        owner = self.peer_head().owner
        machine = self.settings.peer_failback_machine.replace(":stateMachine:", ":execution:", 1)
        if owner is None or not owner.startswith(f"{machine}:"):
            return None
        found = self._try(lambda: self._describe(self.peer_machines, owner))
        return owner if found is not None and found["status"] == "RUNNING" else None

    # What both Regions are asked.

    def peer_head(self) -> Head:
        """What the other ledger says. PeerUnreachable."""
        return self._try(self.peer_ledger.head)

    def _try[T](self, act: Callable[[], T]) -> T:
        try:
            return act()
        except (BotoCoreError, ClientError) as error:
            raise PeerUnreachable(
                f"{self.settings.peer_region} does not answer: {type(error).__name__}: {error}"
            ) from error

    def _take_its_lock(self, run: Run, other: Head, parent: str | None) -> None:
        """Take or keep the other ledger's lock; not where the run that had this one started holds it."""
        if parent is not None and other.owner == parent:
            return
        holder = other.owner or "somebody"
        if self._lock_it(run) or (self.is_dead(holder) and self._lock_it(run, holder)):
            return
        raise self._held_by(holder)

    def require_its_lock(self, other: Head) -> None:
        """DrillInProgress or AnotherRunInProgress where somebody holds the other ledger's lock; nothing is taken."""
        if other.owner is not None and other.expires_at >= self.clock() and not self.is_dead(other.owner):
            raise self._held_by(other.owner)

    def _held_by(self, holder: str) -> DrillInProgress | AnotherRunInProgress:
        there = self.settings.peer_region
        if "-drill:" in holder:
            return DrillInProgress(f"a drill is under way in {there}: {holder}")
        return AnotherRunInProgress(f"the lock of {there}'s ledger is held by {holder}")

    def _lock_it(self, run: Run, instead_of: str | None = None) -> bool:
        """Whether the other ledger's lock is taken, or kept.

        RunSuperseded, and it is given back, where this run has lost its own: from a handler that comes late nobody else
        would take it away before it runs out.
        """
        s, now = self.settings, self.clock()
        taken = self._try(
            lambda: self.peer_ledger.lock_as_guest(run.owner, now, s.guest_seconds, instead_of=instead_of)
        )
        try:
            self.ledger.require(run)
        except RunSuperseded:
            self._try(lambda: self.peer_ledger.unlock_as_guest(run.owner))
            raise
        return taken

    def is_dead(self, owner: str) -> bool:
        """Whether the owner is an execution that is not at work, in either Region; unknown is not dead."""
        of = {self.settings.peer_region: self.peer_machines, self.settings.aws_region: self.machines}
        machines = of.get((owner.split(":") + [""] * 4)[3])
        if machines is None:
            return False
        try:
            found = self._describe(machines, owner)
        except (BotoCoreError, ClientError):
            return False
        return found is None or found["status"] != "RUNNING"

    @staticmethod
    def _describe(machines: SFNClient, execution: str) -> Any:
        try:
            return machines.describe_execution(executionArn=execution)
        except machines.exceptions.ExecutionDoesNotExist:
            return None

    def _stop_left_over(self, run: Run, other: Head, parent: str | None) -> list[str]:
        """Stop the executions of this Region that began before the other one became active; their names.

        One that wakes up with its Region and goes on where it stood would be a second split brain.
        """
        stopped: list[str] = []
        for arn in self.left_over(other, run.started_at):
            if arn not in {run.owner, parent}:
                cause = f"{other.active} became active meanwhile ({run.id})"
                self.machines.stop_execution(executionArn=arn, error="LeftOver", cause=cause)
                stopped.append(arn.rpartition(":")[2])
        return stopped

    def left_over(self, other: Head, now: float) -> list[str]:
        """The executions of this Region that began before the other one became active, where it says when, or `now`."""
        before = other.ended_at or now
        return [
            execution["executionArn"]
            for machine in (self.settings.failover_machine, self.settings.failback_machine)
            for execution in self._running(machine)
            if execution["startDate"].timestamp() < before
        ]

    def _running(self, machine: str) -> Iterator[Any]:
        for page in self.machines.get_paginator("list_executions").paginate(
            stateMachineArn=machine, statusFilter="RUNNING"
        ):
            yield from page["executions"]

    def _start_light(self, run: Run, name: str, accept: Sequence[str]) -> None:
        given: dict[str, Any] = {"reason": f"light the pilot again after {run.id}", "to": To.PROTECTED.value}
        given |= {"parent": run.owner, "accept": list(accept)}
        self._try(
            lambda: self.peer_machines.start_execution(
                stateMachineArn=self.settings.peer_failback_machine, name=name, input=json.dumps(given, sort_keys=True)
            )
        )

    def _wait(self, sentence: str, **facts: Any) -> Outcome:
        return Outcome.wait(sentence, self.settings.look_again_seconds, **facts)
