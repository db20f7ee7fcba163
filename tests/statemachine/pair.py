"""Both Regions of a failover, to be interrupted and raced: as `standby`, with more of the product at work.

The decision, `scale`, `fence`, `quiesce`, `promote` and the primary's `guard` are the product's own. RDS, both
databases, the network ACL and the Auto Scaling groups are held in memory. Whatever changes one of them passes by a
place where a test can hold it: before a write to the ledger's head, and before a call that acts outside of the ledger.
"""

import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from time import time
from typing import Any

from relight import database
from relight.assess import approved
from relight.facts import Facts, Trigger
from relight.guard import Guard, Hands
from relight.ledger import Capacity
from relight.probe import left_over
from relight.rules import decide, starts_a_run
from relight.run import Mode, Run
from relight.settings import FenceSettings, GuardSettings, PromoteSettings, QuiesceSettings, ScaleSettings
from relight.signal import Seen, Signal, View
from relight.step import Outcome as Said
from relight.step import Status
from relight.steps import fence, quiesce, scale
from relight.steps.fence import Fencing, Peer
from relight.steps.promote import Promote
from relight.steps.quiesce import Quiescing
from relight.steps.scale import Scale

from tests.statemachine.harness import REGION, until
from tests.statemachine.standby import PRIMARY, STEADY, Standby, at_work, client, settings
from tests.unit.rds import PEER, REPLICA, Dbcheck, Rds
from tests.unit.situation import POLICY

HEAD = {"pk": {"S": "region"}, "sk": {"S": "head"}}
LSN = "0/3000060"
_QUIET_SECONDS = 900.0

SERVING = Capacity(minimum=2, desired=2, maximum=6)
EMPTY = Capacity(minimum=0, desired=0, maximum=6)


@dataclass(frozen=True)
class Outlook:
    """What each view says of the primary, and RDS there of its database."""

    outside: Seen = Seen.DOWN
    from_dr: Seen = Seen.DOWN
    stream: Seen = Seen.DOWN
    control: Seen = Seen.UP
    peer_database: str | None = None

    def signals(self, now: float) -> dict[View, Signal]:
        """As the ledger keeps them: each has been so for long."""
        said = {View(name): getattr(self, name) for name in ("outside", "from_dr", "stream", "control")}
        return {view: Signal(view, seen, now - 400, now, f"{view} says {seen}") for view, seen in said.items()}


LOST = Outlook()
WELL = Outlook(Seen.UP, Seen.UP, Seen.UP)
APPLICATION_LOST = Outlook(stream=Seen.UP)
REBOOTING = Outlook(peer_database="rebooting")


class Acl:
    """The primary's network ACL: whether it keeps the application from its database."""

    def __init__(self, act: Callable[[str], None]) -> None:
        self.cut = False
        self._act = act

    def deny(self) -> bool:
        """True where it was not so before."""
        self._act("cut")
        was, self.cut = self.cut, True
        return not was

    def lift(self) -> bool:
        """True where it was cut before."""
        self._act("lift")
        was, self.cut = self.cut, False
        return was


class Groups:
    """The Auto Scaling group of one Region, whose instances are in service as soon as they are wanted."""

    def __init__(self, name: str, sizes: Capacity, act: Callable[[str], None]) -> None:
        self.name = name
        self.sizes = sizes
        self._act = act

    def describe_auto_scaling_groups(self, **_given: Any) -> dict[str, Any]:
        """As AWS; behind no balancer, so that who is in service is healthy."""
        sizes = self.sizes
        there = [{"InstanceId": f"i-{number}", "LifecycleState": "InService"} for number in range(sizes.desired)]
        group = {"AutoScalingGroupName": self.name, "Instances": there, "SuspendedProcesses": [], "TargetGroupARNs": []}
        found = group | {
            "MinSize": sizes.minimum,
            "DesiredCapacity": sizes.desired,
            "MaxSize": sizes.maximum,
        }
        return {"AutoScalingGroups": [found]}

    def describe_scaling_activities(self, **_given: Any) -> dict[str, Any]:
        """Nothing has failed."""
        return {"Activities": []}

    def update_auto_scaling_group(self, **given: Any) -> None:
        """What is not given stays."""
        self._act("resize")
        self.sizes = Capacity(given["MinSize"], given["DesiredCapacity"], given.get("MaxSize", self.sizes.maximum))


class Replica(Rds):
    """RDS of the DR Region: a call to promote is accepted once."""

    act: Callable[[str], None]

    def promote_read_replica(self, **given: Any) -> dict[str, Any]:
        """As AWS; nothing of it has happened before."""
        self.act("promote")
        return super().promote_read_replica(**given)


class AtOnce:
    """In the place of a pool of threads: so that who is held keeps his caller waiting, and is known."""

    @staticmethod
    def submit(act: Callable[[], Any]) -> Future[Any]:
        """The result of `act`, done."""
        future: Future[Any] = Future()
        try:
            future.set_result(act())
        except Exception as error:
            future.set_exception(error)
        return future


@dataclass(frozen=True)
class Asker:
    """Who asks for a decision: a run, or `probe` where a dead run or nobody holds the lock."""

    owner: str | None
    trigger: Trigger = Trigger.AUTOMATIC
    mode: Mode | None = None


class Pair(Standby):
    """`Standby`, and the primary beside it."""

    def __init__(self, go_after: str = "decision") -> None:
        super().__init__(go_after)
        self.outlooks: deque[Outlook] = deque([LOST])
        """What the views say, one look after the other; the last one again and again."""
        self.policy = POLICY
        self.answer: str | None = None
        """What a person answers each question: `approve`, `decline`, or nothing."""
        self.writes: Counter[str] = Counter()
        """How often the task of each state has written to the ledger's head."""
        self.promoted_now = threading.Event()
        """Set once a run has noted that the DR Region is active."""
        self.acl = Acl(self._acts)
        self.own_acl = Acl(lambda what: self._acts(f"own {what}"))
        """The DR Region's, which was the old side once: its own application is cut off until somebody lets it in."""
        self.own_acl.cut = True
        self.groups = Groups(REPLICA, STEADY, self._acts)
        self.peer_groups = Groups(PEER, SERVING, self._acts)
        self.replica = Replica(client("rds").meta.service_model)
        self.replica.act = self._acts
        self.database = Dbcheck(in_recovery=True, replayed_lsn=LSN)
        self.peer_database = Dbcheck(in_recovery=False, lsn=LSN, before=self._before_check)
        rds: Any = self.replica
        own: Any = self.database
        peer: Any = self.peer_database
        groups: Any = self.groups
        hands = Peer(self.acl, peer, self.peer_groups)  # type: ignore[arg-type]
        self._scaling = Scale(settings(ScaleSettings, **_GROUPS), self.ledger, groups, groups, time)
        fencing: Any = (settings(FenceSettings, **_PEER), self.ledger, hands, time, AtOnce(), self.own_acl)
        self._fencing = Fencing(*fencing)
        self._quiescing = Quiescing(settings(QuiesceSettings, **_PEER), self.ledger, own, peer, time)
        self._promotion = Promote(settings(PromoteSettings, **_REPLICA), self.ledger, rds, own, time)

    # What can be held.

    def _acts(self, what: str) -> None:
        """A handler is about to change something outside of the ledger."""
        self.machine.holds.pass_by(what)

    def _before_check(self, check: str) -> None:
        if check in {"stop", "allow"}:
            self._acts(check)

    def _before_update(self, key: dict[str, Any]) -> None:
        task = self.machine.holds.inside
        if task is not None and key == HEAD:
            self.writes[task[1]] += 1
            self._acts(f"write {self.writes[task[1]]}")

    # The decision.

    def see(self, *outlooks: Outlook) -> None:
        """What the next looks see, in that order; the last one from then on."""
        self.outlooks = deque(outlooks)

    def _assess(self, run: Run, event: Mapping[str, Any]) -> dict[str, Any]:
        self.ledger.require(run)
        self._break("assess")
        with self._lock:
            outlook = self.outlooks.popleft() if len(self.outlooks) > 1 else self.outlooks[0]
        mode = Mode(event["mode"]) if event["mode"] else None
        facts = self.facts(outlook, Asker(run.owner, Trigger(event["trigger"]), mode))
        return approved(decide(facts, self.policy), event["approved"]).as_dict()

    def facts(self, outlook: Outlook, asker: Asker) -> Facts:
        """All that is known now; the views have been so for long enough."""
        now = time()
        rds: Any = self.replica
        return Facts(
            now=now,
            here=REGION,
            head=self.ledger.head(),
            asked_by=asker.owner,
            trigger=asker.trigger,
            forced=False,
            signals=outlook.signals(now),
            replica=database.describe(rds, REPLICA),
            peer_database=outlook.peer_database,
            last_replayed_at=now - 401,
            mode=asker.mode,
        )

    def probe_starts_a_run(self) -> bool:
        """Whether `probe` would, as things are now. The owner of the lock is dead, if there is one."""
        head = self.ledger.head()
        facts = self.facts(self.outlooks[-1], Asker(head.owner))
        return starts_a_run(decide(facts, self.policy), head, facts.now, _QUIET_SECONDS) or left_over(head, REGION)

    # People.

    def _handle(self, function: str, event: dict[str, Any]) -> Any:
        said = super()._handle(function, event)
        if event.get("what") == "ask" and self.answer:
            self.reply(event["token"], self.answer)
        return said

    def reply(self, token: str, answer: str) -> bool:
        """Answer a question; False where it is over."""
        machines = client("stepfunctions")
        by = json.dumps({"by": "ann", "because": "seen on the screen"})
        try:
            if answer == "approve":
                machines.send_task_success(taskToken=token, output=by)
            else:
                machines.send_task_failure(taskToken=token, error="Declined", cause=by)
        except machines.exceptions.TaskTimedOut:
            return False
        return True

    # The steps.

    def _look(self, step: str, run: Run) -> Said:
        function, _, intent = step.partition(" ")
        if function == "scale":
            return self._scaling.ensure(run, scale.Intent(intent))
        if function == "fence":
            return self._fencing.ensure(run, fence.Intent(intent))
        if function == "quiesce":
            return self._quiescing.ensure(run, quiesce.Intent(intent))
        return super()._look(step, run)

    def _promote(self, run: Run) -> Said:
        """As much of it as RDS lets happen; in one look where nothing has to wait."""
        said = self._promotion.ensure(run)
        self._break("promote (begun)")
        if said.status is Status.DONE:
            self.promoted_now.set()
            return said
        if self._must_wait("promote"):
            return said
        if REPLICA in self.replica.source:
            self.replica.end()
            # Replication brought the stop along, and nobody takes it back for it.
            self.database.stopped_at, self.database.in_recovery = self.peer_database.stopped_at, False
        done = self._promotion.ensure(run)
        self.promoted_now.set()
        return done

    # The primary's own.

    def guard(self) -> dict[str, Any]:
        """One watch of the guard in the primary Region."""
        peer: Any = self.peer_database
        hands = Hands(self.acl, peer, self.peer_groups, client("stepfunctions"))  # type: ignore[arg-type]
        watch = settings(GuardSettings, **_PRIMARY)
        return Guard(watch, self.peer_ledger, self.ledger, hands, client("cloudwatch", PRIMARY), time).watch()


_PEER = {
    "DBCHECK_FUNCTION": "dbcheck",
    "PEER_DBCHECK_FUNCTION": "dbcheck",
    "NETWORK_ACL_ID": "acl-2",
    "APP_CIDRS": "10.1.1.0/24",
    "PEER_NETWORK_ACL_ID": "acl-1",
    "PEER_APP_CIDRS": "10.0.1.0/24",
    "PEER_GROUP_NAMES": PEER,
    "FENCE_SECONDS": "20",
    "LOOK_AGAIN_SECONDS": "1",
}
_GROUPS = {
    "GROUP_ARNS": f"arn:aws:autoscaling:{REGION}:123456789012:autoScalingGroup:1:autoScalingGroupName/{REPLICA}",
    "PEER_GROUP_NAMES": PEER,
    "DEFAULT_CAPACITY": "2",
    "HEALTHY_PERCENT": "100",
    "LOOK_AGAIN_SECONDS": "1",
}
_REPLICA = {
    "REPLICA_ID": REPLICA,
    "PEER_DATABASE_ID": PEER,
    "BACKUP_RETENTION_DAYS": "7",
    "DBCHECK_FUNCTION": "dbcheck",
    "LOOK_AGAIN_SECONDS": "1",
    "LEASE_TERM_SECONDS": "0",
    "LONGEST_TRANSACTION_SECONDS": "10",
}
_PRIMARY = {
    "AWS_REGION": PRIMARY,
    "PEER_REGION": REGION,
    "NETWORK_ACL_ID": "acl-1",
    "APP_CIDRS": "10.0.1.0/24",
    "DBCHECK_FUNCTION": "dbcheck",
    "GROUP_NAMES": PEER,
    "OFFER_SECONDS": "3600",
}


@contextmanager
def pair(**changed: int | str) -> Iterator[Pair]:
    """Both Regions at work, waits and pauses cut to nothing. `changed` overrides substitutions."""
    made = Pair(str(changed.get("GoAfter", "decision")))
    with at_work(made, **changed) as both:
        try:
            yield both
        finally:
            both.machine.workflows.lose(REGION)
            both.machine.holds.see_all_off()
            # A handler that outlives this would call the real AWS.
            until(lambda: len(both.gone) == len(both.looks), "the end of each handler")
