"""A drill: what would be done and what refuses it, a database of its own, its promotion, a site, a write, and the end.

It never touches the standing replica, the standby's group and balancer, a record, a switch or who is active. What it
makes carries its tag, and goes by it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight import database, drill_plan, names
from relight.drill import Drill, Kind
from relight.drill_plan import Facts
from relight.errors import BackupNotFound, DrillRefused, DrillTooLarge, InputInvalid, PeerUnreachable
from relight.settings import counterparts
from relight.signal import Seen, View
from relight.step import Outcome, perform
from relight.steps.drill_site import Blueprint
from relight.steps.promote import replicates
from relight.steps.remains import Thing
from relight.steps.verify import Verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mypy_boto3_rds.type_defs import DBInstanceTypeDef
    from mypy_boto3_stepfunctions import SFNClient

    from relight.drill_plan import Source
    from relight.head import Head
    from relight.ledger import Ledger
    from relight.run import Run
    from relight.settings import DrillSettings
    from relight.steps.drill_site import DrillSite
    from relight.steps.remains import Found, Remains
    from relight.steps.room import Room
    from relight.steps.throwaway import Throwaway

LONGEST_KEEP_MINUTES = 480
ASKS = frozenset({Kind.PROMOTE, Kind.GAMEDAY})
"""What loads the primary, or moves the application, asks a person first, as the state machine has it."""
IN_PROGRESS = "in_progress"
"""The finding of a drill that ends because a run is at work."""
_REFUSALS = (DrillRefused, DrillTooLarge, BackupNotFound, PeerUnreachable)
FRESH_SECONDS = 120.0
"""An older look of the probe, which looks each minute at least, says nothing of now."""
_AGAIN = frozenset({"ThrottlingException", "TooManyRequestsException", "ExecutionLimitExceeded"})


class Intent(StrEnum):
    """`plan`: may it begin, and what would it do? `database`, `promote`, `site`, `writes`: its steps. `teardown`: its
    end, whatever has become of it. `home`: the way home of a game day. `sweep`, of no run: what dead drills have left.
    `preview`, of no run: what `plan` would say now; nothing is written, and no lock taken.
    """

    PLAN = "plan"
    DATABASE = "database"
    PROMOTE = "promote"
    SITE = "site"
    WRITES = "writes"
    TEARDOWN = "teardown"
    HOME = "home"
    SWEEP = "sweep"
    PREVIEW = "preview"


@dataclass(frozen=True)
class Drilling:
    """One look at a drill, or at all that are over."""

    settings: DrillSettings
    ledger: Ledger
    peer_ledger: Ledger
    throwaway: Throwaway
    site: DrillSite
    remains: Remains
    room: Room
    machines: SFNClient
    peer_machines: SFNClient
    clock: Callable[[], float]

    def ensure(self, run: Run, intent: Intent, event: Mapping[str, Any]) -> dict[str, Any]:
        """What the intent asks for, as a step; `event` holds "kind", and for `plan` may hold "keep_minutes".

        Everything but the end needs the lock: a real run takes it, and what is left is taken away all the same; and a
        game day's two runs need it themselves.
        """
        acts: dict[Intent, Callable[[], Outcome]] = {
            Intent.PLAN: lambda: self.plan(run, _kind(event), _keep_minutes(event)),
            Intent.DATABASE: lambda: self.throwaway.ensure(run, _kind(event)),
            Intent.PROMOTE: lambda: self.throwaway.promote(run),
            Intent.SITE: lambda: self.build_site(run),
            Intent.WRITES: lambda: self.writes(run),
        }
        if intent is Intent.TEARDOWN:
            return self.teardown(run).as_dict()
        if intent is Intent.HOME:
            return self.home(run).as_dict()
        return perform(f"drill ({intent})", run, self.ledger, self.clock, acts[intent])

    # May it begin?

    def plan(self, run: Run, kind: Kind, keep_minutes: int) -> Outcome:
        """What the drill would do, and about how long and for how much. Nothing is touched.

        DrillRefused, PeerUnreachable, BackupNotFound or DrillTooLarge says why it may not begin.
        """
        facts = self._facts(self.ledger.require(run), kind, keep_minutes, run.id)
        refusal = drill_plan.refusal(facts)
        if refusal is not None:
            raise refusal
        self.ledger.keep_drill(Drill(run.id, kind, run.epoch, run.started_at))
        return self._planned(facts)

    def preview(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """What `plan` would say of the drill that the event asks for, with "kind"? and "keep_minutes"?, or its refusal.

        Raises InputInvalid, and what boto3 raises where this Region's ledger does not answer.
        """
        kind, keep_minutes = _kind(event), _keep_minutes(event)
        said = {"preview": True, "region": self.settings.aws_region, "kind": kind.value, "asks": kind in ASKS}
        head = self.ledger.head()
        if self._is_held(head):
            sentence = f"already in progress: {head.owner}"
            return said | {"may_begin": False, "finding": IN_PROGRESS, "sentence": sentence, "would": []}
        try:
            facts = self._facts(head, kind, keep_minutes)
            refusal = drill_plan.refusal(facts)
        except _REFUSALS as found:
            refusal = found
        if refusal is not None:
            finding = type(refusal).__name__
            return said | {"may_begin": False, "finding": finding, "sentence": str(refusal), "would": []}
        planned = self._planned(facts)
        return said | {"may_begin": True, "finding": None, "sentence": planned.sentence, **planned.facts}

    def _is_held(self, head: Head) -> bool:
        """Whether a run holds the lock: not one that is over. One that cannot be asked about is at work."""
        if head.owner is None or head.expires_at < self.clock():
            return False
        here = (head.owner.split(":") + [""] * 4)[3] == self.settings.aws_region
        return not (here and self._has_ended(head.owner))

    def _planned(self, facts: Facts) -> Outcome:
        lasts, usd, source = drill_plan.minutes(facts), drill_plan.cost(facts), facts.source
        kind = facts.kind
        looked, unfit = drill_plan.looked(facts.readiness, self.clock())
        told = [] if lasts is None else [f"about {lasts:g} minutes", "cost unknown" if usd is None else f"{usd} USD"]
        copied = source if facts.copies else None
        return Outcome.done(
            f"a drill of the kind {kind} may begin{': ' if told else ''}{', '.join(told)}; {looked}",
            kind=kind.value,
            would=drill_plan.would(facts),
            not_passing=unfit,
            source=None if copied is None else copied.to_dict(),
            gib=None if copied is None else copied.gib,
            cost_usd=usd,
            minutes=lasts,
            quotas=[vars(quota) for quota in facts.quotas],
        )

    def _facts(self, head: Head, kind: Kind, keep_minutes: int, run_id: str | None = None) -> Facts:
        """What is found now; of a run, what is its own is not left over."""
        s = self.settings
        sight = self.remains.look()
        rehearsed = Kind.RESTORE if kind is Kind.PLAN else kind
        source, silent, primary = self._source(rehearsed)
        standby = self._standby()
        blueprint = self._blueprint() if rehearsed is not Kind.GAMEDAY else "a real failover has the Region's own"
        instance_type = blueprint.instance_type if isinstance(blueprint, Blueprint) else None
        failover = self._failover_instances()
        quotas, notes = (
            ((), ())
            if rehearsed is Kind.GAMEDAY
            else self.room.look(source, instance_type, self.site.capacity, failover)
        )
        return Facts(
            kind=kind,
            here=s.aws_region,
            peer=s.peer_region,
            head=head,
            peer_head=self._peer_head(),
            replica_id=s.replica_id,
            standby=standby,
            follows=standby is not None and self._follows(standby),
            source=source,
            peer_silent=silent,
            primary_status=primary["DBInstanceStatus"] if primary else None,
            primary_backups=primary.get("BackupRetentionPeriod", 0) if primary else None,
            key_known=s.data_key_arn is not None,
            left_over=tuple(str(one) for one in sight.found if one.run != run_id),
            unseen=sight.unseen,
            quotas=quotas,
            down=self._down(),
            failover_instances=failover,
            readiness=self.ledger.readiness(),
            max_gib=s.max_gib,
            max_usd=s.max_usd,
            drill_seconds=s.drill_seconds,
            site=blueprint if isinstance(blueprint, str) else None,
            instances=self.site.capacity,
            instance_type=instance_type,
            keep_minutes=keep_minutes,
            notes=notes,
        )

    def _source(self, kind: Kind) -> tuple[Source | None, str | None, DBInstanceTypeDef | None]:
        """What it begins with, why the other Region did not answer, and the peer's database, where it was asked for."""
        try:
            if kind is Kind.RESTORE:
                return self.throwaway.source(kind), None, None
            primary = self.throwaway.primary()
            return (self.throwaway.source(kind) if kind is Kind.PROMOTE else None), None, primary
        except PeerUnreachable as silent:
            return None, str(silent), None
        except BackupNotFound as unknown:
            raise DrillRefused(str(unknown)) from None

    def _standby(self) -> DBInstanceTypeDef | None:
        try:
            return database.instance(self.throwaway.rds, self.settings.replica_id)
        except (BotoCoreError, ClientError) as error:
            raise DrillRefused(f"RDS of {self.settings.aws_region} does not answer: {error}") from None

    def _follows(self, standby: DBInstanceTypeDef) -> bool:
        source = standby.get("ReadReplicaSourceDBInstanceIdentifier", "")
        return replicates(source, self.settings.peer_region, self.settings.peer_database_id)

    def _blueprint(self) -> Blueprint | str:
        try:
            return self.site.blueprint()
        except (BotoCoreError, ClientError) as error:
            raise DrillRefused(f"what the standby's instances are made from is not told: {error}") from None

    def _failover_instances(self) -> int:
        """What a failover brings up: what each group's counterpart had last, or the default."""
        groups = counterparts(self.settings.group_arns, self.settings.peer_group_names)
        served = (self.ledger.capacity(name) if name else None for name in groups.values())
        return sum(had.desired if had and had.desired > 0 else self.settings.default_capacity for had in served)

    def _down(self) -> tuple[str, ...]:
        """The views that see the active Region down, just now."""
        signals, now = self.ledger.signals(), self.clock()
        seen = (signals[view].at(now, FRESH_SECONDS) for view in (View.OUTSIDE, View.FROM_DR))
        return tuple(f"{one.view}: {one.sentence}" for one in seen if one.seen is Seen.DOWN and one.ever_up)

    def _peer_head(self) -> Head | None:
        try:
            return self.peer_ledger.head()
        except (BotoCoreError, ClientError):
            return None

    # Its steps.

    def build_site(self, run: Run) -> Outcome:
        """A site that serves from the throwaway database, or why there is none."""
        try:
            return self.site.ensure(run, self.throwaway.endpoint(run))
        except BotoCoreError as error:
            return self._wait(f"this Region does not answer ({type(error).__name__}): it is asked again")

    def writes(self, run: Run) -> Outcome:
        """An order through the drill's balancer, read back; without a site, a write at the database itself.

        The Region's own name is asked, and resolved to the drill's balancer: so its certificate is the right one.
        WriteNotReadBack as `verify` has it.
        """
        if self.site.left_out(run):
            return self.throwaway.write(run)
        s, balancer = self.settings, self.site.balancer(run)
        resolve = names.resolver(s.resolver, s.sample_timeout_seconds)
        said = Verify(s, self.ledger, self.clock, lambda _: resolve(balancer)).writes(run)
        # The URL names the Region, which production has, too: whoever reads it must see that the drill was asked.
        return replace(said, sentence=f"{said.sentence}, through the drill's own balancer {balancer}")

    # Its end.

    def teardown(self, run: Run) -> Outcome:
        """Delete what there is of this drill; done when all of it is known to be gone.

        Of a drill that has lost its lock, too: what it deletes is its own, and nobody else's.
        """
        name, began = f"drill ({Intent.TEARDOWN})", self.clock()
        outcome = self._teardown(run.id)  # first of all: a ledger that does not answer keeps nothing alive
        done = outcome.status == "DONE"
        try:
            self.ledger.step_began(run, name, began)
            self.ledger.step_says(run, name, self.clock(), outcome.sentence, done=done, facts=outcome.facts)
            self._note(run.id, outcome.facts["left_over"])
        except (BotoCoreError, ClientError) as silent:
            return replace(outcome, sentence=f"{outcome.sentence}; the ledger does not know: {silent}")
        return outcome

    def home(self, run: Run) -> Outcome:
        """Start the other Region's failback once, and look how far it is; done with whatever end it came to.

        It asks a person itself, and they may stay: how it ended is in the facts.
        """
        name = f"drill ({Intent.HOME})"
        self.ledger.step_began(run, name, self.clock())
        outcome = self._home(run)
        done = outcome.status == "DONE"
        self.ledger.step_says(run, name, self.clock(), outcome.sentence, done=done, facts=outcome.facts)
        return outcome

    def _home(self, run: Run) -> Outcome:
        machine, there = self.settings.peer_failback_machine, self.settings.peer_region
        started = f"gameday-home-{run.epoch}-{int(run.started_at)}"
        execution = f"{machine.replace(':stateMachine:', ':execution:', 1)}:{started}"
        told = {"reason": f"the way home of a game day, run {run.id}", "to": "home"}
        try:
            found = self.peer_machines.describe_execution(executionArn=execution)
        except self.peer_machines.exceptions.ExecutionDoesNotExist:
            return self._go_home(machine, started, json.dumps(told))
        except (BotoCoreError, ClientError) as silent:
            return self._once_more(f"{there} does not answer", silent)
        if found["status"] == "RUNNING":
            return self._wait(f"{started} is at work in {there}")
        said = json.loads(found["output"]) if found["status"] == "SUCCEEDED" else {}
        ended = said.get("status", found["status"])
        sentence = said.get("sentence") or found.get("cause") or "it does not say why"
        return Outcome.done(f"{started} ended {ended}: {sentence}", execution=execution, ended=ended)

    def _go_home(self, machine: str, name: str, told: str) -> Outcome:
        try:
            self.peer_machines.start_execution(stateMachineArn=machine, name=name, input=told)
        except (BotoCoreError, ClientError) as refused:
            return self._once_more(f"{name} could not be started", refused)
        return self._wait(f"{name} has been started in {self.settings.peer_region}")

    def _once_more(self, said: str, error: BotoCoreError | ClientError) -> Outcome:
        """What passes is waited for; what does not is raised at once, so that people hear of it."""
        if isinstance(error, ClientError):
            answer = error.response
            if answer["ResponseMetadata"]["HTTPStatusCode"] < 500 and answer["Error"]["Code"] not in _AGAIN:
                raise error
        return self._wait(f"{said} ({type(error).__name__}: {error}): it is tried again")

    def _teardown(self, run_id: str) -> Outcome:
        sight = self.remains.look()
        mine = sight.of(run_id)
        refused = self.remains.delete(mine, stacks_seen=sight.sees(Thing.STACK))
        left = [*(str(one) for one in mine), *sight.unseen]
        if not left:
            return Outcome.done("nothing is left of the drill", left_over=[])
        said = [f"{one} {_told(one, refused)}" for one in mine]
        said += [f"what there is of {unseen} could not be seen" for unseen in sight.unseen]
        return self._wait("; ".join(said), left_over=left)

    def sweep(self) -> dict[str, Any]:
        """Take away what drills have left that are not at work any more, and give back a lock that such a one holds.

        A drill of which Step Functions does not say whether it is at work is left alone until it does.
        """
        sight = self.remains.look()
        dead = {run_id for run_id in {one.run for one in sight.found} if self._is_over(run_id)}
        over = [one for one in sight.found if one.run in dead]
        refused = self.remains.delete(over, stacks_seen=sight.sees(Thing.STACK))
        left = [f"{one} {_told(one, refused)}" for one in over]
        left += [f"what there is of {unseen} could not be seen" for unseen in sight.unseen]
        try:
            self._unlock()
            self._note_all(sight.found, seen=not sight.unseen)
        except (BotoCoreError, ClientError) as silent:
            left.append(f"the ledger does not know: {silent}")
        at_work = [str(one) for one in sight.found if one.run not in dead]
        said = "; ".join(left) if left else "nothing is left of a drill that is over"
        return {"swept": sorted(dead), "left": [str(one) for one in over], "at_work": at_work, "sentence": said}

    def _unlock(self) -> None:
        """A lock that nobody gives back keeps this ledger from hearing who is active."""
        owner = self.ledger.head().owner
        prefix = self._execution("")
        if owner is not None and owner.startswith(prefix) and self._is_over(owner.removeprefix(prefix)):
            self.ledger.unlock_as_guest(owner)

    def _execution(self, run_id: str) -> str:
        machine = self.settings.failover_machine.replace(":stateMachine:", ":execution:", 1)
        return f"{machine.removesuffix('-failover')}-drill:{run_id}"

    def _is_over(self, run_id: str) -> bool:
        """Whether its execution is known not to be at work; one that Step Functions does not know is not."""
        return self._has_ended(self._execution(run_id))

    def _has_ended(self, execution: str) -> bool:
        try:
            return self.machines.describe_execution(executionArn=execution)["status"] != "RUNNING"
        except self.machines.exceptions.ExecutionDoesNotExist:
            return True
        except (BotoCoreError, ClientError):
            return False

    # What the ledger remembers.

    def _note(self, run_id: str, left: Iterable[str]) -> None:
        for drill in self.ledger.drills():
            if drill.run == run_id and drill.left != tuple(left):
                self.ledger.keep_drill(replace(drill, left=tuple(left)))

    def _note_all(self, found: tuple[Found, ...], *, seen: bool) -> None:
        """What is still there of each that is over; and of those that were stopped, that they are over.

        One that is at work notes its own end, and how it came to it: that must not be written over.
        """
        over = {drill.run for drill in self.ledger.drills() if drill.ended_at is not None or self._is_over(drill.run)}
        for drill in self.ledger.drills():  # once more: who has ended just now has noted how
            if drill.run not in over:
                continue
            there = tuple(str(one) for one in found if one.run == drill.run)
            now = replace(drill, left=there) if seen or there else drill
            if drill.ended_at is None:
                now = replace(now, ended_at=self.clock())
            if now != drill:
                self.ledger.keep_drill(now)

    def _wait(self, sentence: str, **facts: Any) -> Outcome:
        return Outcome.wait(sentence, self.settings.look_again_seconds, **facts)


def _told(one: Found, refused: Mapping[Found, str]) -> str:
    return f"is not deleted yet: {refused[one]}" if one in refused else "is being deleted"


def _kind(event: Mapping[str, Any]) -> Kind:
    try:
        return Kind(event.get("kind") or Kind.RESTORE)
    except ValueError:
        raise InputInvalid(f'"kind" is {event["kind"]!r}; it is one of {", ".join(Kind)}') from None


def _keep_minutes(event: Mapping[str, Any]) -> int:
    given = event.get("keep_minutes") or 0
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= LONGEST_KEEP_MINUTES:
        raise InputInvalid(f'"keep_minutes" is {given!r}; it is a whole number from 0 to {LONGEST_KEEP_MINUTES}')
    return given
