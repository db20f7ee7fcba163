"""The rules of the decision, as an ordered table: the first that matches wins, and the last always matches.

The order is the argument: what forbids comes before what delays, what delays before what asks, what asks before what
may go on. Each row has a finding of its own, the sentence that the person on call will read, and two for the manual
(`relight explain`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relight.decision import Action, Case, Finding, Rule, verdict_of
from relight.facts import BUSY, ENGINE
from relight.policy import Approval
from relight.run import Mode
from relight.signal import Seen, View

if TYPE_CHECKING:
    from relight.decision import Verdict
    from relight.facts import Facts
    from relight.head import Head
    from relight.policy import Policy


def _frozen(case: Case) -> bool:
    """A freeze keeps runs from beginning; one that stood down behind the one-way door would undo what is open."""
    head = case.facts.head
    return head.frozen_at(case.facts.now) and not head.door_opened and not case.forced


def _cooling(case: Case) -> bool:
    ended = case.facts.head.ended_at
    return case.automatic and ended is not None and case.facts.now < ended + case.policy.cooldown_seconds


def _replica_status(case: Case) -> str:
    replica = case.facts.replica
    return "RDS did not answer" if replica is None else f"its status is {replica.status or 'not found'}"


def _planned_impossible(case: Case) -> bool:
    asked = not case.automatic and case.facts.mode is Mode.PLANNED
    return asked and case.seen(View.STREAM) is not Seen.UP


def _not_a_replica(case: Case) -> bool:
    replica = case.facts.replica
    return replica is not None and replica.status is not None and replica.source is None


def _mode_needed(case: Case) -> bool:
    """Unknown is not down: without a mode, an emergency by hand needs a peer that is down as far as can be seen."""
    if case.automatic or case.forced or case.facts.mode is not None or case.seen(View.STREAM) is Seen.UP:
        return False
    application = case.seen(View.OUTSIDE), case.seen(View.FROM_DR)
    both_down = application == (Seen.DOWN, Seen.DOWN)
    return not both_down and (Seen.UP in application or case.seen(View.STREAM) is not Seen.DOWN)


def _by_hand(case: Case) -> str:
    said = "started by hand" + (", forced" if case.forced else "")
    if case.facts.mode is None and case.mode_by_hand is Mode.PLANNED:
        return f"{said}; the database of the other Region is alive, so its writes are stopped first and none is lost"
    return said


def _not_two_views(case: Case) -> str:
    said = "only one view says so" if case.seen(View.OUTSIDE) is Seen.DOWN else "no view says that it is down"
    return f"{said}; from here: {case.view(View.FROM_DR).sentence}"


def _second_view_awaited(case: Case) -> bool:
    outside_only = case.seen(View.OUTSIDE) is Seen.DOWN and case.seen(View.FROM_DR) is not Seen.DOWN
    return outside_only and case.agreement_left > 0


RULES: tuple[Rule, ...] = (
    Rule(
        Finding.FROZEN,
        Action.STAND_DOWN,
        _frozen,
        lambda c: f"failover is frozen by an operator: {c.facts.head.frozen_because or 'no reason given'}",
        "A freeze or a maintenance window is in force, the run is not forced, and no promotion has begun.",
        "Nothing starts until it ends. `relight unfreeze` ends it now; a run by hand with `force` passes it.",
    ),
    Rule(
        Finding.ALREADY_ACTIVE,
        Action.STAND_DOWN,
        lambda c: c.facts.head.active == c.facts.here and not c.facts.head.door_opened,
        lambda c: f"{c.facts.here} is active already, there is nothing to fail over from",
        "The ledger says that this Region is the active one, and no promotion is open.",
        "A late or repeated trigger. Nothing is to be done.",
    ),
    Rule(
        Finding.IN_PROGRESS,
        Action.STAND_DOWN,
        lambda c: c.facts.locked_by_another,
        lambda c: f"another run is in progress: {c.facts.head.owner}",
        "Another run holds the lock.",
        "Follow the run that is named.",
    ),
    # Behind the one-way door there is only forward, whatever the views say now (rule 6).
    Rule(
        Finding.HALF_DONE,
        Action.PROCEED,
        lambda c: c.facts.head.door_opened,
        lambda c: (
            f"a promotion was begun (epoch {c.facts.head.promotion and c.facts.head.promotion.epoch}) and its run did "
            "not end: going on from there"
        ),
        "A promotion was begun, and its run did not come to an end.",
        "The run goes on from where the other one stopped; behind the promotion there is only forward.",
        mode=lambda c: c.mode_half_done,
    ),
    Rule(
        Finding.COOLDOWN,
        Action.STAND_DOWN,
        _cooling,
        lambda c: f"the last failover ended less than {c.policy.cooldown_seconds:.0f} s ago",
        "Nobody asked for the run, and a failover ended less than CooldownSeconds ago.",
        "Regions must not be swapped back and forth by machines. A person may start a run.",
    ),
    Rule(
        Finding.ENGINE_NOT_SUPPORTED,
        Action.REFUSE,
        lambda c: not c.engine_known,
        lambda c: (
            f"the replica's engine is {c.facts.replica and c.facts.replica.engine}; only {ENGINE} can be promoted here"
        ),
        "The replica of this Region is of another engine than PostgreSQL.",
        "Relight was given the wrong instance, or cannot help with this one. Force does not pass it.",
    ),
    # By hand in the wrong Region, for example: fencing the one that serves would be all that came of it.
    Rule(
        Finding.NOT_A_REPLICA,
        Action.REFUSE,
        _not_a_replica,
        lambda c: f"the database of {c.facts.here} replicates from nothing: there is nothing to promote here",
        "The database of this Region is no replica, and no promotion of it is open.",
        "Nothing would come of it. To go home, the other Region's database has to be rebuilt as a replica first.",
    ),
    Rule(
        Finding.DR_NOT_READY,
        Action.STAND_DOWN,
        lambda c: not c.replica_ready and not c.forced,
        lambda c: f"the replica of this Region cannot be promoted: {_replica_status(c)}",
        "RDS does not answer here, or the replica is missing or in a status from which it cannot be promoted.",
        "There is nothing to fail over to. Look at the replica in RDS; the run comes again once it is well.",
    ),
    Rule(
        Finding.PLANNED_IMPOSSIBLE,
        Action.REFUSE,
        _planned_impossible,
        lambda c: f"planned mode needs a live replication stream ({c.view(View.STREAM).sentence})",
        "A person asked for mode planned, and the replication stream is not known to be alive.",
        "What has not arrived here cannot be waited for. Mode emergency loses it; decide which you want.",
    ),
    Rule(
        Finding.MODE_NEEDED,
        Action.REFUSE,
        _mode_needed,
        lambda c: f"say which mode: the active Region may be alive (stream: {c.view(View.STREAM).sentence})",
        "A person gave no mode, the replication stream is not alive, and the active Region is not down for certain.",
        'Start it again with `"mode": "emergency"` if the active Region is lost, whatever the views say: what has not '
        "arrived here is lost then. With `planned`, mend dbcheck or the replica first.",
    ),
    # A person who starts a run has decided; the quorum is for the machinery.
    Rule(
        Finding.BY_HAND,
        Action.PROCEED,
        lambda c: not c.automatic,
        _by_hand,
        "A person started the run.",
        "The quorum is skipped; lock, epoch and a promotable replica are not. The mode is planned wherever the "
        "stream is alive, unless the person asked for another.",
        mode=lambda c: c.mode_by_hand,
    ),
    # What such a run fenced or stopped looks like a lost application now: it must not become the reason for another.
    Rule(
        Finding.ABANDONED,
        Action.STAND_DOWN,
        lambda c: c.abandoned and c.seen(View.STREAM) is Seen.UP,
        lambda c: "an earlier run ended before its promotion, and the database is alive: what it changed is undone",
        "An earlier run ended before its promotion without undoing its work, and the stream is alive.",
        "Capacity, switches, fence and stopped writes are put back. What is still wrong then is judged anew.",
    ),
    # A Region that is only being set up is not lost: whoever deploys would be woken by their own work.
    Rule(
        Finding.NEVER_UP,
        Action.STAND_DOWN,
        lambda c: not c.view(View.FROM_DR).ever_up,
        lambda c: "the active Region was never seen up from here, so there is nothing yet to fail over from",
        "The active Region was never seen up from this Region.",
        "It is being set up, or the probe never could reach it: look at its readiness page from here.",
    ),
    Rule(
        Finding.PRIMARY_UP,
        Action.STAND_DOWN,
        lambda c: c.seen(View.OUTSIDE) is Seen.UP and c.seen(View.FROM_DR) is Seen.UP,
        lambda c: "the active Region answers again, from outside and from here: a false alarm, or over by itself",
        "The active Region is up, seen from outside and from here.",
        "A false alarm, or it is over. Capacity is put back.",
    ),
    Rule(
        Finding.UP_FROM_OUTSIDE,
        Action.STAND_DOWN,
        lambda c: c.seen(View.OUTSIDE) is Seen.UP,
        lambda c: (
            f"clients outside reach the active Region, whatever is seen from here ({c.view(View.FROM_DR).sentence})"
        ),
        "Route 53's checkers reach the active Region, and their word is fresh.",
        "A veto: clients are served, so the way between the Regions is what is broken. Look at that.",
    ),
    Rule(
        Finding.DR_ISOLATED,
        Action.STAND_DOWN,
        lambda c: c.seen(View.CONTROL) is not Seen.UP,
        lambda c: (
            f"this Region cannot prove its own connectivity ({c.view(View.CONTROL).sentence}), so it does not count"
        ),
        "None of the control targets in other Regions answers, or nobody has asked them lately.",
        "This Region may be the one that is cut off. Look at its NAT gateways and routes, not at the active Region.",
    ),
    # Views come to the same conclusion some seconds apart: a run that an alarm started must not end over that.
    Rule(
        Finding.SECOND_VIEW_AWAITED,
        Action.WAIT,
        _second_view_awaited,
        lambda c: f"from outside the active Region is down; from here: {c.view(View.FROM_DR).sentence}",
        "It is down from outside for less than HoldDownSeconds, and not (yet) from here.",
        "The second view may follow. Capacity warms up meanwhile.",
        look_again=lambda c: min(c.policy.look_again_seconds, c.agreement_left),
    ),
    Rule(
        Finding.ONE_VIEW_ONLY,
        Action.STAND_DOWN,
        lambda c: c.seen(View.FROM_DR) is not Seen.DOWN,
        _not_two_views,
        "The active Region is not down as seen from this Region, or that is unknown.",
        "One view is no quorum. If clients do suffer, DNS or the way from the internet is broken; start a run by hand.",
    ),
    Rule(
        Finding.PEER_DATABASE_BUSY,
        Action.WAIT,
        lambda c: c.facts.peer_database in BUSY,
        lambda c: f"the active Region's database is {c.facts.peer_database}: it will answer again by itself",
        "RDS of the active Region says that its database is rebooting, modifying, upgrading or the like.",
        "Somebody is changing it on purpose. The run waits, at most DecideSeconds.",
    ),
    # A lost Region's stream falls silent some seconds after its application: until then it looks like this.
    Rule(
        Finding.APPLICATION_DOWN_TOO_SHORT,
        Action.WAIT,
        lambda c: c.seen(View.STREAM) is Seen.UP and c.agreement_left > 0,
        lambda c: (
            f"the application does not answer for {c.facts.now - c.unanswered_since:.0f} s of the "
            f"{c.policy.hold_down_seconds:.0f} s that it must last; its database still replicates"
        ),
        "The application does not answer for less than HoldDownSeconds, and the replication stream is alive.",
        "Too early to wake a person: it may be a restart, or the first seconds of a lost Region.",
        look_again=lambda c: min(c.policy.look_again_seconds, c.agreement_left),
    ),
    Rule(
        Finding.APPLICATION_LOST,
        Action.ASK,
        lambda c: c.seen(View.STREAM) is Seen.UP,
        lambda c: "the application is lost but its database is alive and replicates: mode `planned` would lose nothing",
        "The application does not answer, and the replication stream is alive.",
        "Never an automatic emergency. Approve: writes are stopped first and none is lost. Or mend the application.",
        mode=lambda _c: Mode.PLANNED,
    ),
    Rule(
        Finding.DOWN_TOO_SHORT,
        Action.WAIT,
        lambda c: c.hold_down_left > 0,
        lambda c: f"down for {c.facts.now - c.hold_down[0]:.0f} s of the {c.hold_down[1]:.0f} s that it must last",
        "All views that are DOWN have been so together for less than the hold-down: HoldDownSeconds for a Region, "
        "DatabaseHoldDownSeconds where the application still answers.",
        "Capacity warms up while it passes.",
        # The lap after the next one must not come late: sleep no longer than what is left.
        look_again=lambda c: min(c.policy.look_again_seconds, c.hold_down_left),
    ),
    Rule(
        Finding.STREAM_UNKNOWN,
        Action.ASK,
        lambda c: c.seen(View.STREAM) is not Seen.DOWN,
        lambda c: f"the replication stream cannot be judged ({c.view(View.STREAM).sentence})",
        "Neither dbcheck nor CloudWatch can say whether the replication stream is alive.",
        "Unknown is not down. Look at dbcheck's log and at the replica; approve if the active Region is lost for sure.",
    ),
    Rule(
        Finding.OUTSIDE_UNKNOWN,
        Action.ASK,
        lambda c: c.seen(View.OUTSIDE) is not Seen.DOWN,
        lambda c: f"nothing is known from outside ({c.view(View.OUTSIDE).sentence})",
        "The zone's name servers do not answer, or say nothing usable, and Route 53's alarm has not come.",
        "One view is missing. Try the site from elsewhere, for example from a phone; then approve or decline.",
    ),
    Rule(
        Finding.DATA_LOSS_UNKNOWN,
        Action.ASK,
        lambda c: c.loss is None,
        lambda c: "how much would be lost is unknown: neither a commit nor a heartbeat is known here",
        "Neither the newest replayed commit, nor a heartbeat, nor a figure of lag is known.",
        "Approving accepts a loss that nobody can tell beforehand.",
    ),
    Rule(
        Finding.DATA_LOSS_TOO_LARGE,
        Action.ASK,
        lambda c: c.loss is not None and c.loss > c.policy.max_data_loss_seconds,
        lambda c: f"about {c.loss:.0f} s of writes would be lost, the limit is {c.policy.max_data_loss_seconds:.0f} s",
        "From the newest commit here until both of the application's views were down it is more than "
        "MaxDataLossSeconds.",
        "Approving accepts that loss. It does not grow by waiting while the active Region is down.",
    ),
    # Its outage was our own doing, and may be all that the views see.
    Rule(
        Finding.STOPPED_BY_US,
        Action.ASK,
        lambda c: c.facts.head.quiesce is not None,
        lambda c: (
            "a planned run has stopped the active Region's writes and could not let them in again; it may be alive"
        ),
        "A planned run stopped the active Region's writes, and they could not be let in again.",
        "Look whether the active Region is there. If it is, let writes in by hand (docs/deciding.md) and decline.",
    ),
    Rule(
        Finding.POLICY_MANUAL,
        Action.REFUSE,
        lambda c: c.policy.approval is Approval.MANUAL,
        lambda c: "the active Region is lost, and by policy only a person starts a failover",
        "All speaks for a failover, and Policy is manual.",
        "Start a run by hand.",
    ),
    Rule(
        Finding.POLICY_APPROVE,
        Action.ASK,
        lambda c: c.policy.approval is Approval.APPROVE,
        lambda c: "the active Region is lost, and by policy a person approves a failover",
        "All speaks for a failover, and Policy is approve.",
        "Approve, unless you know better than the views.",
    ),
    Rule(
        Finding.DATABASE_LOST,
        Action.PROCEED,
        lambda c: c.database_only,
        lambda c: (
            f"the active Region's database is lost for {c.facts.now - c.down_since:.0f} s; "
            "its application still answers"
        ),
        "The quorum is unbroken for DatabaseHoldDownSeconds, and the application answers that it is not ready.",
        "The database of the active Region is lost, not the Region. The failover goes on.",
    ),
    Rule(
        Finding.REGION_LOST,
        Action.PROCEED,
        lambda c: True,
        lambda c: (
            "the active Region is lost, from outside, from here and on the replication stream, "
            f"unbroken for {c.facts.now - c.down_since:.0f} s"
        ),
        "The quorum is unbroken for HoldDownSeconds: outside, from here, and a dead stream; this Region's own "
        "connectivity is proven, the loss is within its limit, and Policy is auto.",
        "The active Region is lost. The failover goes on.",
    ),
)

# Beside these, whatever would proceed or ask: capacity warms up while the hold-down runs.
WARMING = frozenset({Finding.DOWN_TOO_SHORT, Finding.APPLICATION_DOWN_TOO_SHORT})


def decide(facts: Facts, policy: Policy) -> Verdict:
    """The first rule that matches. Total: the last rule matches whatever reaches it."""
    case = Case(facts, policy)
    return verdict_of(next(rule for rule in RULES if rule.when(case)), case)


def starts_a_run(verdict: Verdict, head: Head, now: float, quiet_seconds: float) -> bool:
    """Whether the probe starts a run on it.

    A question that was declined, or left unanswered, is put again after `quiet_seconds`, and no sooner, nor is what can
    only come to that; what has become plain meanwhile does not wait for it.
    """
    if verdict.action is Action.ASK or verdict.finding is Finding.APPLICATION_DOWN_TOO_SHORT:
        return head.refused_at is None or now >= head.refused_at + quiet_seconds
    return verdict.action is Action.PROCEED or verdict.finding in WARMING
