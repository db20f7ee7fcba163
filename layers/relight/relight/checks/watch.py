"""What has to tell, call and start: control targets, alarms, rules, schedules, lost events, people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relight.readiness_check import Area, Row, fails, passes, warns
from relight.readiness_facts import known

if TYPE_CHECKING:
    from relight.readiness_check import Judgement
    from relight.readiness_facts import ReadinessFacts

# Alarms that tell people by themselves, and those that Route 53 or a rule looks at.
TELLING = ("probe-silent", "guard-silent", "not-ready", "run-failed", "event-lost", "function-errors", "attention")
TELLING_OF_DR = ("primary-down", "unprotected", "not-practised")
SWITCHES_OF_DR, SWITCHES_OF_HOME = ("stop", "no-go"), ("hold",)
# Rules that make a run sooner: at work in the DR Region only, where the home Region's probe starts runs by itself.
STARTING = ("primary-down", "primary-unseen")
EVIDENCE = ("health", "health-forward")
SCHEDULES = ("probe", "guard", "heartbeat")
# What a failover does without: what tidies up after drills, looks at readiness, and minds retired databases.
TENDING = ("sweep", "readiness", "retired")


def alarm_names(*, is_home: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The alarms of a Region by the end of their names: those that tell people, and those that only switch."""
    return (TELLING, SWITCHES_OF_HOME) if is_home else ((*TELLING, *TELLING_OF_DR), SWITCHES_OF_DR)


def _control_targets(facts: ReadinessFacts, now: float) -> Judgement:
    targets = facts.watch.control
    near = [target for target in targets if any(region in target for region in (facts.here, facts.peer))]
    if near:
        return fails(f"{', '.join(near)} lies in one of the two Regions, so it proves nothing about the others")
    silent = {target: why for target, why in targets.items() if why is not None}
    if len(silent) == len(targets):
        return fails("no control target answers: this Region could not tell a lost primary from its own isolation")
    if silent:
        return warns("; ".join(f"{target} does not answer ({why})" for target, why in silent.items()))
    return passes(f"{len(targets)} control targets answer")


def _alarms(facts: ReadinessFacts, now: float) -> Judgement:
    found = known(facts.watch.alarms)
    telling, switching = alarm_names(is_home=facts.is_home)
    named = {end: found.get(f"relight-{facts.application}-{end}") for end in (*telling, *switching)}
    if missing := [end for end, alarm in named.items() if alarm is None]:
        return fails(f"CloudWatch has no alarm {', '.join(missing)}")
    there = {end: alarm for end, alarm in named.items() if alarm is not None}
    mute = [end for end in telling if not there[end].enabled or facts.watch.topic_arn not in there[end].actions]
    if mute:
        return fails(f"nobody is told by the alarm {', '.join(mute)}: its actions are off, or do not name the topic")
    return passes(f"{len(there)} alarms are there, and those that tell people do so")


def _rules(facts: ReadinessFacts, now: float) -> Judgement:
    found, starting = known(facts.watch.rules), known(facts.watch.starting)
    prefix = f"relight-{facts.application}-"
    needed = () if facts.is_home else STARTING
    if off := [end for end in needed if not found.get(prefix + end, False)]:
        return fails(f"missing or disabled: the rule {', '.join(off)}, by which an alarm starts a run")
    if aimless := [end for end in needed if prefix + end not in starting]:
        return fails(f"the rule {', '.join(aimless)} does not start the failover machine")
    if silent := [end for end in EVIDENCE if not found.get(prefix + end, False)]:
        return warns(
            f"missing or disabled: the rule {', '.join(silent)}; evidence would lack what AWS says of its health"
        )
    return passes("the rules are enabled, and those that start a run name the failover machine")


def _schedules(facts: ReadinessFacts, now: float) -> Judgement:
    found = known(facts.watch.schedules)
    prefix = f"relight-{facts.application}-"
    if off := [end for end in SCHEDULES if not found.get(prefix + end, False)]:
        return fails(f"missing or disabled: the schedule {', '.join(off)}")
    if unminded := [end for end in TENDING if not found.get(prefix + end, False)]:
        return warns(f"missing or disabled: the schedule {', '.join(unminded)}, without which a failover would work")
    idle = [name.removeprefix(prefix) for name, enabled in found.items() if not enabled and name.startswith(prefix)]
    said = f"{len(SCHEDULES)} schedules call each minute, {len(TENDING)} more seldom"
    return passes(f"{said}; switched off by choice: {', '.join(sorted(idle))}" if idle else said)


def _dead_letters(facts: ReadinessFacts, now: float) -> Judgement:
    count = known(facts.watch.dead_letters)
    if count is None:
        return fails("SQS knows no dead-letter queue here, so what fails unheard is lost")
    if count:
        return warns(f"{count} events were not delivered, or what they called failed")
    return passes("the dead-letter queue is empty")


def _topic(facts: ReadinessFacts, now: float) -> Judgement:
    topic = known(facts.watch.topic)
    if topic is None:
        return fails("SNS knows no topic here: nobody can be told")
    if topic.confirmed == 0:
        pending = f"; {topic.pending} subscriptions wait to be confirmed" if topic.pending else ""
        return fails(f"nobody has subscribed to this Region's notifications{pending}")
    if topic.pending:
        return warns(f"{topic.confirmed} subscriptions are confirmed, {topic.pending} still wait for it")
    return passes(f"{topic.confirmed} subscriptions are confirmed")


ROWS = (
    Row(
        "control_targets",
        Area.WATCH,
        _control_targets,
        "Every control target answers, and none lies in one of the two Regions.",
        "One of them does not answer.",
        "None answers, or one lies in one of the two Regions.",
        "Look at NAT gateways and routes, or give other ControlTargets.",
    ),
    Row(
        "alarms",
        Area.WATCH,
        _alarms,
        "Every alarm of Relight in this Region exists, and those that tell people name the topic.",
        None,
        "One is missing, its actions are off, or it does not name the topic.",
        "Deploy this Region's stack again, and enable the alarm's actions.",
    ),
    Row(
        "rules",
        Area.WATCH,
        _rules,
        "The rules are enabled; in the DR Region those of the alarms start the failover machine.",
        "A rule that brings AWS Health's news into the evidence is missing or disabled.",
        "A rule by which an alarm starts a run is missing, disabled, or starts something else.",
        "Enable the rule, or deploy this Region's stack again.",
    ),
    Row(
        "schedules",
        Area.WATCH,
        _schedules,
        "Probe, guard, heartbeat, sweeper, readiness and the look at retired databases are called by their schedules.",
        "The schedule of the sweeper, of readiness or of retired databases is missing or disabled.",
        "That of probe, guard or heartbeat is.",
        "Enable the schedule, or deploy this Region's stack again.",
    ),
    Row(
        "dead_letters",
        Area.WATCH,
        _dead_letters,
        "The dead-letter queue is empty.",
        "Events lie in it.",
        "There is no such queue.",
        "Read the messages, look at what they should have reached, and purge the queue; do not send them again.",
    ),
    Row(
        "topic",
        Area.WATCH,
        _topic,
        "Somebody has subscribed to this Region's topic, and every subscription is confirmed.",
        "A subscription is not confirmed yet.",
        "Nobody has a confirmed subscription: a question of a run would be put to nobody.",
        "Subscribe the people on call to the topic, and have them confirm.",
    ),
)
