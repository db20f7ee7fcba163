"""What the sights of both Regions come to: which is active, which stands by, what runs.

Pure; times are epoch seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from relight import switches
from relight.drill import Drill
from relight.head import Head, State
from relight.moment import lasting, told
from relight.question import Question
from relight.readiness import Level
from relight.signal import Seen, Signal, View
from relight.telling import one_line

from relight_cli.freezing import frozen
from relight_cli.inspecting import OLD_SECONDS, Look
from relight_cli.recounting import Past
from relight_cli.sight import Running, Sight, Story, Unseen

SCHEMA = "relight/status/1"
FRESH_SECONDS = 90.0
"""FreshSeconds, unless it was deployed otherwise: a signal that was seen longer ago counts as UNKNOWN."""
PUBLISHED_SECONDS = 240.0
"""A switch is published each minute, and CloudWatch gives the minute's beginning: what is older has fallen silent."""
LAG_SECONDS = 300.0
"""CloudWatch's lag says nothing of now when it is older."""
LONGEST = 300
"""Characters of what others have written."""


@dataclass(frozen=True)
class Situation:
    """An application at one moment."""

    application: str
    at: float
    took: float
    """Seconds that looking has taken."""
    sights: tuple[Sight, ...]
    """The DR Region first."""

    def sight(self, region: str) -> Sight:
        """That Region's."""
        return next(one for one in self.sights if one.region == region)

    def role(self, region: str) -> str:
        """What the Region was at deployment."""
        return "primary" if region == self.sights[-1].region else "dr"

    @property
    def heads(self) -> dict[str, Head]:
        """The ledgers that could be read."""
        return {one.region: one.head for one in self.sights if isinstance(one.head, Head)}

    @property
    def latest(self) -> Head | None:
        """The ledger that knows of the latest activation; None where none could be read."""
        return max(self.heads.values(), key=lambda head: head.active_epoch, default=None)

    @property
    def active(self) -> str | None:
        """The Region whose database takes writes now; None where no ledger could be read."""
        return None if self.latest is None else self.latest.active

    @property
    def standby(self) -> str | None:
        """The other one."""
        active = self.active
        return None if active is None else next((one.region for one in self.sights if one.region != active), None)

    @property
    def differ(self) -> bool:
        """Whether the ledgers say different things of who is active, and since which epoch."""
        return len({(head.active, head.active_epoch) for head in self.heads.values()}) > 1

    @property
    def activating(self) -> str | None:
        """The Region that is being activated. The other ledger says `promoting`, too, once it was mirrored there."""
        promoting = {region: head for region, head in self.heads.items() if head.state is State.PROMOTING}
        own = [region for region, head in promoting.items() if head.owner is not None or head.promotion is not None]
        return next(iter([*own, *promoting]), None)

    def watches(self, region: str) -> bool:
        """Whether the Region looks at the other one: not while it is active, and steadily so."""
        return region != self.active or region == self.activating

    @property
    def abandoned(self) -> str | None:
        """Where a promotion was begun, and no run brings it to its end; None where it is not seen what runs there."""
        for region, head in self.heads.items():
            sight = self.sight(region)
            if head.door_opened and not sight.runs and sight.runs_unseen is None:
                return region
        return None

    @property
    def runs(self) -> list[Running]:
        """All that runs, the oldest first."""
        return sorted((run for one in self.sights for run in one.runs), key=lambda run: run.since)

    def story(self, run: Running) -> Story:
        """How far it has come; empty where that could not be seen."""
        return self.sight(run.region).stories.get(run.run, Story())

    @property
    def frozen(self) -> list[tuple[str, Head]]:
        """Where no run may begin by itself now."""
        return [(region, head) for region, head in self.heads.items() if head.frozen_at(self.at)]

    @property
    def last_run(self) -> Past | None:
        """The newest failover or failback that is over, of those that could be seen."""
        found = [one.last_run for one in self.sights if isinstance(one.last_run, Past)]
        return max(found, key=lambda one: one.at, default=None)

    @property
    def last_drill(self) -> tuple[str, Drill] | None:
        """The newest drill that is over, and its Region."""
        found = [
            (one.region, drill)
            for one in self.sights
            if not isinstance(one.drills, Unseen)
            for drill in one.drills
            if drill.ended_at is not None
        ]
        return max(found, key=lambda one: one[1].ended_at or 0.0, default=None)

    @property
    def sentence(self) -> str:
        """What a person needs first."""
        clauses = (*_active(self), *_standby(self), *_silent(self), *_down(self), *_runs(self), *_freeze(self))
        return "; ".join(clauses) + "."


def _active(s: Situation) -> Iterator[str]:
    if s.active is None:
        yield "which Region is active cannot be seen"
        return
    target = s.activating
    if target is None:
        said = f"{s.active} is active and steady"
    elif target == s.active:
        said = f"{s.active} is active, and its activation is not over"
    else:
        said = f"{s.active} is active, and {target} is being activated"
    if s.differ:
        yield f"{said}, though the two ledgers differ"
    elif len(s.heads) < len(s.sights):
        yield f"{said}, by the ledger of {next(iter(s.heads))} alone"
    else:
        yield said
    if s.abandoned is not None:
        yield f"a promotion was begun in {s.abandoned}, and NO RUN brings it to its end"


def _standby(s: Situation) -> Iterator[str]:
    if s.standby is None or s.standby == s.activating:
        return
    sight = s.sight(s.standby)
    if sight.silent is None:
        yield ", ".join([f"{s.standby} stands by", readiness_words(sight.readiness, s.at), *_lag_words(s, sight)])


def readiness_words(found: Look | Unseen | None, now: float) -> str:
    """What readiness came to, with its age where that matters."""
    if isinstance(found, Unseen):
        return "readiness not seen"
    if found is None or not found.on_duty:
        return "readiness not judged yet"
    score = f"{found.found['score']} of 100"
    failing = sum(check["level"] == Level.FAIL for check in found.checks)
    said = f"readiness {score}" if found.ready else f"NOT READY ({score}, {failing} failing)"
    return said if now - found.at <= OLD_SECONDS else f"{said} {lasting(now - found.at)} ago"


def _lag_words(s: Situation, sight: Sight) -> list[str]:
    lag = sight.lag
    if lag is None or isinstance(lag, Unseen) or s.at - lag.at > LAG_SECONDS:
        stream = None if isinstance(sight.signals, Unseen) else sight.signals[View.STREAM]
        return ["its replica streams"] if stream is not None and counts(stream, s.at) is Seen.UP else []
    return [f"{lag.seconds:.0f} s behind" if lag.seconds >= 0 else "NOT REPLICATING"]


def _silent(s: Situation) -> Iterator[str]:
    for one in s.sights:
        if one.silent is not None:
            yield f"{one.region} could NOT be seen"


def counts(signal: Signal, now: float) -> Seen:
    """What a signal counts as now."""
    return signal.at(now, FRESH_SECONDS).seen


def _down(s: Situation) -> Iterator[str]:
    if s.standby is None:
        return
    signals = s.sight(s.standby).signals
    if isinstance(signals, Unseen):
        return
    down = {view: signal for view, signal in signals.items() if counts(signal, s.at) is Seen.DOWN}
    if View.CONTROL in down:
        yield f"{s.standby} itself is CUT OFF for {lasting(s.at - down.pop(View.CONTROL).since)}"
    if down:
        since = max(signal.since for signal in down.values())
        which = f"{' and '.join(down)} {'is' if len(down) == 1 else 'are'}"
        yield f"seen from {s.standby}, {which} DOWN for {lasting(s.at - since)}"


def _runs(s: Situation) -> Iterator[str]:
    for run in s.runs:
        story = s.story(run)
        if story.asks(s.at) is not None:
            yield f"{run.run} in {run.region} ASKS A PERSON"
        else:
            step = f", at {' and '.join(one.name for one in story.under_way)}" if story.under_way else ""
            yield f"{run.run} runs in {run.region} for {lasting(s.at - run.since)}{step}"
    for one in s.sights:
        if one.runs_unseen is not None and one.silent is None:
            owner = s.heads[one.region].owner
            holds = f", its lock is held by {name_of(owner)}" if owner is not None else ""
            yield f"what runs in {one.region} could not be seen{holds}"
    known = [one.region for one in s.sights if one.runs_unseen is None]
    if known and not s.runs:
        yield "nothing runs" if len(known) == len(s.sights) else f"nothing runs in {' and '.join(known)}"


def _freeze(s: Situation) -> Iterator[str]:
    until = max((head.frozen_until or 0.0 for _, head in s.frozen), default=None)
    if until is not None:
        where = "" if len(s.frozen) == len(s.sights) else f" in {s.frozen[0][0]} alone"
        yield f"FROZEN{where} until {told(until)}"


def name_of(execution: str) -> str:
    """The run's id, of its execution's ARN."""
    return execution.rpartition(":")[2]


def wanted(s: Situation, region: str) -> dict[str, float]:
    """The switches that the Region's ledger calls for; empty where it could not be read."""
    head = s.heads.get(region)
    return {} if head is None else switches.switches(head, region, s.sights[-1].region)


# As JSON has it; docs/status.md says what each key means.


def as_document(s: Situation) -> dict[str, Any]:
    """One document with the same keys always; what there is not, or could not be seen, is null."""
    latest = s.latest
    return {
        "schema": SCHEMA,
        "application": s.application,
        "at": s.at,
        "sentence": s.sentence,
        "active": s.active,
        "active_epoch": None if latest is None else latest.active_epoch,
        "ledgers_differ": s.differ,
        "activating": s.activating,
        "abandoned": s.abandoned,
        "standby": s.standby,
        "home": None if latest is None else latest.home_or(s.sights[-1].region),
        "runs": [_run(s, run) for run in s.runs],
        "regions": [_region(s, one) for one in s.sights],
        "last_run": None if s.last_run is None else s.last_run.as_document(),
        "last_drill": _drill(s.last_drill),
        "unseen": [
            {"region": one.region, "what": name, "why": part.why, "exit": part.code.name}
            for one in s.sights
            for name, part in one.unseen
        ],
    }


def _run(s: Situation, run: Running) -> dict[str, Any]:
    story = s.story(run)
    return {
        "run": run.run,
        "kind": run.kind,
        "region": run.region,
        "execution": run.execution,
        "since": run.since,
        "because": run.because,
        "steps": steps_document(story),
        "question": question_document(story.asks(s.at)),
    }


def steps_document(story: Story) -> list[dict[str, Any]]:
    """The steps of a run in the order in which they began; `ended` is null while one is not done."""
    return [
        {"name": step.name, "started": step.started, "ended": step.ended, "sentence": one_line(step.sentence, LONGEST)}
        for step in story.steps
    ]


def question_document(question: Question | None) -> dict[str, Any] | None:
    """A question without its token, which is a credential."""
    if question is None:
        return None
    names = ("asked", "asked_at", "expires_at", "finding", "sentence", "mode")
    return {name: getattr(question, name) for name in names} | {"urgency": question.urgency.value}


def _region(s: Situation, sight: Sight) -> dict[str, Any]:
    look = sight.readiness
    return {
        "region": sight.region,
        "role": s.role(sight.region),
        "seen": sight.silent is None,
        "ledger": _ledger(s, sight.head),
        "signals": None
        if isinstance(sight.signals, Unseen)
        else [_signal(one, s.at) for one in sight.signals.values()],
        "readiness": None if look is None or isinstance(look, Unseen) else _readiness(look, s.at),
        "lag": None
        if sight.lag is None or isinstance(sight.lag, Unseen)
        else {"seconds": sight.lag.seconds, "at": sight.lag.at},
        "switches": None if isinstance(sight.switches, Unseen) else _switches(s, sight),
    }


def _ledger(s: Situation, head: Head | Unseen) -> dict[str, Any] | None:
    if isinstance(head, Unseen):
        return None
    freeze = frozen(head)
    names = ("written", "epoch", "active", "active_epoch", "owner")
    return {name: getattr(head, name) for name in names} | {
        "state": head.state.value,
        "expires_at": head.expires_at if head.owner is not None else None,
        "door_opened": head.door_opened,
        "freeze": freeze and {**vars(freeze), "in_force": head.frozen_at(s.at)},
    }


def _signal(signal: Signal, now: float) -> dict[str, Any]:
    written = signal.last_seen > 0
    return {
        "view": signal.view.value,
        "seen": signal.seen.value,
        "counts_as": counts(signal, now).value,
        "since": signal.since if written else None,
        "last_seen": signal.last_seen if written else None,
        "sentence": signal.sentence,
    }


def _readiness(found: Look, now: float) -> dict[str, Any]:
    failing = [dict(check) for check in found.checks if check["level"] == Level.FAIL]
    return {
        "at": found.at,
        "age_seconds": now - found.at,
        "on_duty": found.on_duty,
        "ready": found.ready,
        "score": found.found["score"],
        "failing": failing,
        "warnings": sum(check["level"] == Level.WARN for check in found.checks),
    }


def _switches(s: Situation, sight: Sight) -> list[dict[str, Any]]:
    calls_for = wanted(s, sight.region)
    figures = {} if isinstance(sight.switches, Unseen) else sight.switches
    return [
        {
            "name": name,
            "value": None if one is None else one[0],
            "published_at": None if one is None else one[1],
            "ledger_calls_for": calls_for.get(name),
        }
        for name, one in figures.items()
    ]


def _drill(found: tuple[str, Drill] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    region, drill = found
    names = ("run", "began_at", "ended_at", "status")
    return (
        {"region": region, "kind": drill.kind.value}
        | {name: getattr(drill, name) for name in names}
        | {"left": list(drill.left)}
    )
