"""`probe`: the watcher in the standby Region. Samples, keeps the signals, and starts a run when the verdict says so.

It is called in both Regions, and watches where its own Region is not the active one.

Level-triggered (rule 3): it judges every sample, so a run that stood down comes again once what stood in its way has
gone, and an alarm's event only makes it sooner.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight.decision import Action, Finding, Verdict
from relight.facts import PROMOTABLE, Facts, Trigger
from relight.head import Capacity, Head, State
from relight.lookout import Asked, Look, policy_of
from relight.rules import decide, starts_a_run
from relight.signal import Seen, Signal, View

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_stepfunctions import SFNClient

    from relight.ledger import Ledger
    from relight.lookout import Lookout
    from relight.settings import ProbeSettings


# After a run that could not undo everything, the next one for that alone comes so many start windows later.
TIDY_AGAIN_WINDOWS = 5
# What asks a person although what is known of the quorum has been unbroken for the hold-down.
OUTLASTED = frozenset(
    {
        Finding.STREAM_UNKNOWN,
        Finding.OUTSIDE_UNKNOWN,
        Finding.DATA_LOSS_UNKNOWN,
        Finding.DATA_LOSS_TOO_LARGE,
        Finding.POLICY_APPROVE,
    }
)
# Published with each sample. A metric costs its 0.30 USD a month, by the hours in which there are data, and the log has
# every view: what is seen from outside is a metric only while it is DOWN.
MEASURED = (View.FROM_DR,)


def is_on_duty(head: Head, here: str) -> bool:
    """Whether this Region has another one to watch: not while it is active, and nothing is changing that."""
    return head.active != here or head.state is not State.STEADY


def left_over(head: Head, here: str) -> bool:
    """A run died before the one-way door and left something to undo: capacity raised, or the Region half switched.

    A state `promoting` of the very epoch that made the other Region active is that one's, as it was mirrored here.
    """
    own = head.owner is not None or head.promotion is not None or head.epoch > head.active_epoch
    switched = head.state is State.PROMOTING and own
    begun = switched or head.capacity_before is not None or head.quiesce is not None
    return head.active != here and begun


def serves(head: Head, peer: str) -> bool:
    """Whether the peer is the active Region and nothing is changing that: only then its sizes are those to restore."""
    return head.active == peer and head.state is State.STEADY


def ready(facts: Facts) -> bool | None:
    """Whether the standby could be promoted now, and its loss be told; None where this Region is no standby (any more).

    It could not where RDS does not answer, knows no instance that replicates and can be promoted now or after a wait,
    or where dbcheck cannot say what that instance holds.
    """
    if facts.head.active == facts.here or facts.head.state is State.PROMOTING:
        return None
    replica = facts.replica
    promotable = replica is not None and replica.source is not None and replica.status in PROMOTABLE
    return promotable and facts.last_replayed_at is not None


def is_news(signal: Signal, kept: Signal | None, patience: float) -> bool:
    """Whether a signal says something else than when it was last kept, or that was `patience` seconds ago."""
    if kept is None or signal.last_seen - kept.last_seen >= patience:
        return True
    # While something answers, when that was last seen is no news of its own.
    mute_since = signal.mute_since if signal.answered else kept.mute_since
    return signal != replace(kept, last_seen=signal.last_seen, sentence=signal.sentence, mute_since=mute_since)


def run_name(head: Head, now: float, window_seconds: float) -> str:
    """Deterministic, so that two starts for the same reason within a window are one; another window tries anew."""
    return f"failover-{head.epoch + 1}-{int(now // window_seconds)}"


@dataclass(frozen=True)
class Probe:
    """Everything that one invocation needs; `sleep` and `clock` are seconds.

    `called_back` are the task tokens of the questions that were called back: it outlives one invocation.
    """

    settings: ProbeSettings
    lookout: Lookout
    ledger: Ledger
    machines: SFNClient
    peer_groups: AutoScalingClient
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    metric: Callable[[str, float], None]
    called_back: set[str] = field(default_factory=set)

    def watch(self) -> dict[str, Any]:
        """Take the samples of one minute, judge after each, and say what was seen last.

        In a Region that is active, and steadily so, nothing is looked at but its own ledger.
        """
        if not is_on_duty(self.ledger.head(), self.settings.aws_region):
            return {"on_duty": False, "started": None}
        said: dict[str, Any] = {}
        kept: dict[View, Signal] = {}
        for number in range(self.settings.samples):
            began = self.clock()
            look, said = self._sample(kept)
            if number == 0 and said["from_dr"] == Seen.UP and serves(look.facts.head, self.settings.peer_region):
                self._keep_capacity()
                self._keep_database(look)
            if number + 1 < self.settings.samples:
                self.sleep(max(0.0, began + self.settings.sample_seconds - self.clock()))
        return said

    def _sample(self, kept: dict[View, Signal]) -> tuple[Look, dict[str, Any]]:
        owner = self.ledger.head().owner
        drill = owner if owner and self._is_of(owner, "drill") else None
        dead = owner if owner and not drill and not self._running(owner) else None
        home = owner if owner and not dead and self._is_of(owner, "failback") else None
        look = self.lookout.look(Asked(by=dead or drill or home))
        facts = self._keep_signals(look, kept)
        self._measure(facts)
        verdict = decide(facts, policy_of(self.settings))
        started = self._start(facts, verdict) if self._should_start(facts, verdict, dead) else None
        if facts.locked_by_another:
            self._call_back(facts)
        return look, {
            "on_duty": True,
            "verdict": verdict.as_dict(),
            "from_dr": facts.signals[View.FROM_DR].seen,
            "outside": facts.signals[View.OUTSIDE].seen,
            "started": started,
        }

    def _measure(self, facts: Facts) -> None:
        for view in MEASURED:
            self.metric(f"Down.{view.value}", float(facts.signals[view].seen is Seen.DOWN))
        if facts.signals[View.OUTSIDE].seen is Seen.DOWN:
            self.metric("Down.outside", 1.0)
        standby = ready(facts)
        if standby is not None:
            self.metric("Ready", float(standby))

    def _call_back(self, facts: Facts) -> None:
        """Wake a run that waits for a person, once its question has become needless: it then judges for itself.

        Needless is a question where the run could go on without an answer, or has nothing left to ask for. That it is
        only asked otherwise wakes nobody again.
        """
        owner = facts.head.owner or ""
        token = self._open_question(owner.rpartition(":")[2], facts.now)
        verdict = decide(replace(facts, asked_by=owner), policy_of(self.settings))
        if token is None or verdict.action not in {Action.PROCEED, Action.STAND_DOWN}:
            return
        gone = self.machines.exceptions
        try:
            self.machines.send_task_failure(taskToken=token, error="FactsChanged", cause=verdict.sentence)
        except (gone.InvalidToken, gone.TaskDoesNotExist, gone.TaskTimedOut):
            pass  # answered or expired meanwhile: the run has gone on already
        except (BotoCoreError, ClientError):  # tried again with the next sample
            self.metric("CallBackRefused", 1.0)
            return
        self.called_back.add(token)

    def _open_question(self, run: str, now: float) -> str | None:
        """The task token of what a run asks just now; None where it asks nothing that is still to be answered."""
        question = self.ledger.question(run)
        if question is None or question.expires_at <= now or question.token in self.called_back:
            return None
        answer = self.ledger.answer(run)  # perhaps to the question before
        return None if answer is not None and answer.at >= question.asked_at else question.token

    def _keep_signals(self, look: Look, kept: dict[View, Signal]) -> Facts:
        """Write what this run has not written yet: a change at once, and the same again well before it is stale."""
        patience = self.settings.fresh_seconds / 3
        news = [view for view, signal in look.facts.signals.items() if is_news(signal, kept.get(view), patience)]
        facts = self.lookout.keep(look, news)
        kept.update({view: facts.signals[view] for view in news})
        return facts

    def _should_start(self, facts: Facts, verdict: Verdict, dead: str | None) -> bool:
        if facts.locked_by_another:
            return False
        # What a drill has raised is its own for as long as its lock lasts, and nothing that was left behind.
        abandoned = facts.head.owner in {None, dead} or facts.head.expires_at <= facts.now
        wanted = starts_a_run(verdict, facts.head, facts.now, self.settings.quiet_seconds)
        if facts.head.owner not in {None, dead} and self._is_of(facts.head.owner or "", "failback"):
            # A way home may have taken hours so far: it gives way to a loss that has outlasted the hold-down, whoever
            # has to decide then, and to no suspicion. An application that is lost alone does not need this Region yet.
            wanted = wanted and (verdict.action is Action.PROCEED or verdict.finding in OUTLASTED)
        failed_at = facts.head.failed_at
        again = failed_at is None or facts.now >= failed_at + TIDY_AGAIN_WINDOWS * self.settings.start_window_seconds
        return wanted or (abandoned and again and left_over(facts.head, facts.here))

    def _is_of(self, owner: str, kind: str) -> bool:
        """Whether a drill, or a failback, holds the lock: a real run takes it, so it keeps nobody from starting one."""
        machine = self.settings.failover_machine.rpartition(":")[2].removesuffix("-failover")
        return f":execution:{machine}-{kind}:" in owner

    def _running(self, execution: str) -> bool:
        """Whether the owner of the lock is at work; one that Step Functions does not know is not.

        Where Step Functions does not say, it counts as at work: the watching goes on, and nothing is taken over.
        """
        try:
            return self.machines.describe_execution(executionArn=execution)["status"] == "RUNNING"
        except self.machines.exceptions.ExecutionDoesNotExist:
            return False
        except (BotoCoreError, ClientError):
            self.metric("OwnerUnknown", 1.0)
            return True

    def _start(self, facts: Facts, verdict: Verdict) -> str:
        """Start a run under a deterministic name; one that exists already under it is the one we wanted."""
        name = run_name(facts.head, facts.now, self.settings.start_window_seconds)
        given = {"trigger": Trigger.AUTOMATIC.value, "reason": f"probe: {verdict.finding.value}"}
        try:
            self.machines.start_execution(
                stateMachineArn=self.settings.failover_machine, name=name, input=json.dumps(given, sort_keys=True)
            )
        except self.machines.exceptions.ExecutionAlreadyExists:
            return f"{name} (already started)"
        return name

    def _keep_database(self, look: Look) -> None:
        """Remember how the active Region's database is protected, while that can still be asked."""
        if look.peer_properties is not None:
            identifier = self.settings.peer_database_id
            self.ledger.keep_database(identifier, look.peer_properties, look.facts.now)

    def _keep_capacity(self) -> None:
        """Remember how large the active Region is while it can still be asked; best effort, the peer may be slow."""
        names = list(self.settings.peer_group_names)
        try:
            groups = self.peer_groups.describe_auto_scaling_groups(AutoScalingGroupNames=names)["AutoScalingGroups"]
        except (BotoCoreError, ClientError):
            self.metric("PeerCapacityUnknown", 1.0)
            return
        for group in groups:
            sizes = Capacity(group["MinSize"], group["DesiredCapacity"], group["MaxSize"])
            self.ledger.keep_capacity(group["AutoScalingGroupName"], sizes, self.clock())
