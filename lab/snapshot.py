"""The state of a rehearsal at one moment, as the view shows it, and what changed from one moment to the next."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lab.attempts import Tally


@dataclass(frozen=True)
class RegionState:
    """One Region. The words are AWS's where AWS has one."""

    side: str
    """Its home role, primary or dr."""
    region: str
    reach: str = "reachable"
    """From outside: `reachable`, or what became of it."""
    instances: Mapping[str, str] = field(default_factory=dict)
    """State of each instance by its id, as the target group or the Auto Scaling group calls it."""
    wanted: int = 0
    """Desired capacity."""
    database_role: str = "none"
    database_status: str = ""
    lag_seconds: float | None = None
    """How far the replica is behind; None where there is no replica or it is not known."""
    switches: Mapping[str, int | None] = field(default_factory=dict)
    """The switches that this Region publishes (STOP, GO, HOLD): 0, 1, or None without data."""

    @property
    def healthy(self) -> int:
        """How many instances the target group calls healthy."""
        return sum(state == "healthy" for state in self.instances.values())


@dataclass(frozen=True)
class StepState:
    """One step of the run. Times are epoch seconds."""

    name: str
    started: float | None = None
    ended: float | None = None
    sentence: str = ""


@dataclass(frozen=True)
class Snapshot:
    """Everything that the view shows, at one moment."""

    now: float
    started: float
    doing: str
    """What the rehearsal does now, in a few words."""
    fault: str
    timings: str
    lost_at: float | None = None
    regions: tuple[RegionState, ...] = ()
    dns: str = ""
    """What the site's name is answered with outside, as `primary 127.0.1.10`; empty for no answer."""
    run: str = ""
    """The run's status and finding; empty while there is none."""
    steps: tuple[StepState, ...] = ()
    tallies: tuple[Tally, ...] = ()
    """The clients' attempts per second, oldest first; the last is the last whole second."""
    acknowledged: int = 0

    @property
    def served(self) -> bool | None:
        """Whether clients had good answers in the last second; None while they do not ask."""
        last = self.tallies[-1] if self.tallies else Tally()
        return None if last == Tally() else last.good > 0

    @property
    def stamp(self) -> str:
        """The time since the loss, or since the start while nothing is lost."""
        if self.lost_at is None:
            return f"start +{self.now - self.started:.1f} s"
        return f"loss +{self.now - self.lost_at:.1f} s"


def changes(before: Snapshot | None, after: Snapshot) -> Iterator[str]:
    """A line for each thing that is not as it was; from None, a line for each thing that there is."""
    if before is None or before.doing != after.doing:
        yield after.doing
    old = {} if before is None else {state.side: state for state in before.regions}
    for state in after.regions:
        yield from (f"{state.side}: {words}" for words in _region_changes(old.get(state.side), state))
    if (before.dns if before else "") != after.dns:
        yield f"DNS outside answers: {after.dns or 'nothing'}"
    if (before.run if before else "") != after.run and after.run:
        yield f"run: {after.run}"
    yield from _step_changes({} if before is None else {step.name: step for step in before.steps}, after)
    if (before.served if before else None) is not after.served and after.served is not None:
        last = after.tallies[-1]
        yield f"clients: {last.good} good and {last.bad} bad answers in a second, {after.acknowledged} acknowledged"


def _region_changes(before: RegionState | None, after: RegionState) -> Iterator[str]:
    shown = _shown(before) if before is not None else {}
    for what, words in _shown(after).items():
        if shown.get(what) != words:
            yield f"{what} {words}"


def _shown(state: RegionState) -> dict[str, str]:
    return {
        f"{state.region} is": state.reach,
        "instances": f"{state.healthy} healthy of {state.wanted} wanted, {len(state.instances)} there",
        "database": f"{state.database_role} {state.database_status}".strip(),
    } | {name: "no data" if value is None else str(value) for name, value in state.switches.items()}


def _step_changes(before: Mapping[str, StepState], after: Snapshot) -> Iterator[str]:
    for step in after.steps:
        old = before.get(step.name, StepState(step.name))
        if step == old:
            continue
        if step.ended is not None and old.ended is None:
            took = f" after {step.ended - step.started:.1f} s" if step.started is not None else ""
            yield f"step {step.name}: done{took}: {step.sentence}".removesuffix(": ")
        else:
            yield f"step {step.name}: {step.sentence or 'begun'}"
