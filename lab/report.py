"""The result document of a rehearsal and the table that closes it. Each field is explained in docs/rehearsal.md."""

import json
import os
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import psutil
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from lab.options import LambdaMode
from lab.score import PHASES, Floor, Outage

SCHEMA = 1
"""Grows when a field changes its meaning or goes away."""

_REPORTS_TOLD = 3
"""The reports of so many runs are named at the end: the last ones."""
_PHASE_SENTENCES = {
    "t0": "first bad sample",
    "t1": "detected",
    "t2": "decided",
    "t3": "fenced, or given up",
    "t4": "promoted",
    "t5": "capacity healthy",
    "t6": "verified by a write",
    "t7": "DNS answers DR",
    "t8": "first good answer outside",
}


class Status(StrEnum):
    """How a rehearsal ended."""

    SUCCEEDED = "SUCCEEDED"
    """A run brought the DR Region up, and a client outside has written there."""
    STOOD_DOWN = "STOOD_DOWN"
    """Runs were started, and each refused and undid what it had prepared."""
    NO_RUN = "NO_RUN"
    """No run was started."""
    FAILED = "FAILED"
    """A run failed red."""
    UNFINISHED = "UNFINISHED"
    """The rehearsal's deadline passed before an end was seen."""


@dataclass(frozen=True)
class Execution:
    """One execution of the state machine; `status` is the word of Step Functions."""

    name: str
    status: str
    region: str
    cause: str | None = None
    """Why it ended red, in its own words."""
    machine: str = "failover"
    """Of which state machine: failover, failback or drill."""


@dataclass(frozen=True)
class StepRecord:
    """One step of a run as its timeline has it. Times are epoch seconds."""

    name: str
    started: float | None
    ended: float | None
    sentence: str


@dataclass(frozen=True)
class Decided:
    """A verdict of a run, and for how long and how often in a row it was the same. Times are epoch seconds."""

    run: str
    action: str
    finding: str
    first: float
    last: float
    times: int


@dataclass(frozen=True)
class Answered:
    """What a person answered a run that asked, by a command whose exit code is 0 where the answer was taken."""

    run: str
    answer: str
    code: int
    at: float
    said: str
    """All that the command said, on one line."""


@dataclass(frozen=True)
class Switchover:
    """One planned change of the active Region. Seconds; None was not seen."""

    number: int
    active: str
    """The Region that was promoted."""
    started: float
    """When a person started the run that led to it (epoch seconds)."""
    read_only_seconds: float | None
    outage_seconds: float | None
    """What clients outside saw of it."""
    promotion_seconds: float | None
    """From the decision to the promoted database."""
    seconds: float
    """From its start to that of the next one, or to the last that clients saw."""
    acknowledged_writes: int
    """Within these seconds."""
    missing_writes: tuple[str, ...] | None
    """Those of them that are not in the active database at the end of all."""


@dataclass(frozen=True)
class Drilled:
    """One drill that a person has started. Seconds; None was not seen."""

    kind: str
    run: str | None
    status: Status
    started: float
    """When the person started it (epoch seconds)."""
    ended: float
    promote_seconds: float | None
    restore_seconds: float | None
    """As the run has measured them."""
    instances: int
    """How many instances it had."""
    marked: bool | None
    """Whether each was told that it is a drill's."""
    reached_standing: bool | None
    """Whether network ACLs and security groups let one through to the standing replica."""
    ways_out: tuple[str, ...]
    """Where a subnet of theirs sends what is for the internet."""


@dataclass(frozen=True)
class Readied:
    """What a Region's own function said of how ready it is."""

    score: int | None
    """0 to 100; None where it did not get to its end."""
    seconds: float
    """How long the call took."""
    calls: int
    """API calls that it made."""
    checks: int
    not_passed: tuple[str, ...]
    """Name, level and sentence of each check that does not pass."""
    earlier: tuple[str, ...] = ()
    """What the looks before this one said, where there was one."""


@dataclass(frozen=True)
class Capacity:
    """The sizes of an Auto Scaling group."""

    min: int
    desired: int
    max: int


@dataclass(frozen=True)
class ScalingGroup:
    """The Auto Scaling group of the DR Region before the fault and at the end; None where it was not looked at."""

    before: Capacity | None = None
    after: Capacity | None = None


@dataclass(frozen=True)
class LambdaRuntime:
    """What the handlers ran in; the emulator's binary and process ids where it was one."""

    mode: LambdaMode = LambdaMode.PROCESS
    binary: str | None = None
    pids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Machine:
    """What the figures were taken on."""

    cores: int
    platform: str
    python: str
    cpu: str = ""
    """The processor's model; empty where the system does not tell."""
    memory_mib: int | None = None

    @classmethod
    def this(cls) -> Self:
        """The machine that this runs on, with the cores that this process may use."""
        return cls(
            os.process_cpu_count() or 1,
            platform.platform(),
            platform.python_version(),
            _processor(),
            psutil.virtual_memory().total // 2**20,
        )


def _processor() -> str:
    """Linux's name of the processor, or what Python knows of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor())


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a rehearsal. Times are epoch seconds, durations seconds; None means that it was not seen."""

    status: Status
    expected: Status
    """The status with which this fault should end."""
    problems: tuple[str, ...] = ()
    """A sentence for each thing that is not as this fault should end; empty is what exit code 0 means."""
    finding: str | None = None
    fault: str
    lost: str
    timings: str
    seed_orders: int = 0
    clients: int = 0
    killed_orchestrator_at: str | None = None
    answer: str | None = None
    """What the person was to answer; None where nobody was there to be asked."""
    lease: bool = False
    circle: bool = False
    lambda_: LambdaRuntime = field(default_factory=LambdaRuntime)
    started: float
    ended: float
    lost_at: float | None = None
    returned_at: float | None = None
    rto_seconds: float | None = None
    rto_floor_seconds: float | None = None
    rto_floor: Floor | None = None
    record_rto_seconds: float | None = None
    record_may_differ_seconds: float = 1.0
    outage_seconds: float | None = None
    outages: tuple[Outage, ...] = ()
    rpo_seconds: float | None = None
    phases: dict[str, float | None] = field(default_factory=dict)
    attempts: int = 0
    acknowledged_writes: int = 0
    unacknowledged_writes: int = 0
    missing_writes: tuple[str, ...] | None = None
    missing_streamed_writes: int | None = None
    writes_on_both_sides: int | None = None
    writes_on_both_sides_ids: tuple[str, ...] | None = None
    old_side_commits: int | None = None
    old_side_wrote_seconds: float | None = None
    old_side_wrote_limit_seconds: float | None = None
    old_side_answers: int | None = None
    led_back: int | None = None
    circle_drift: tuple[str, ...] | None = None
    lost_in_failover: tuple[str, ...] | None = None
    reconciled: tuple[str, ...] | None = None
    home_started_at: float | None = None
    home_phases: dict[str, float | None] = field(default_factory=dict)
    read_only_seconds: float | None = None
    home_outage_seconds: float | None = None
    held: bool | None = None
    switchovers_asked: int = 0
    switchovers: tuple[Switchover, ...] = ()
    drills_asked: tuple[str, ...] = ()
    during_drill: str | None = None
    readiness: Readied | None = None
    """Before the first drill."""
    readiness_active: Readied | None = None
    """The active Region's own word then."""
    readiness_after: Readied | None = None
    """After the last one."""
    drills: tuple[Drilled, ...] = ()
    client_failures: int | None = None
    standby_streaming_always: bool | None = None
    standby_seen: tuple[str, ...] = ()
    left_over: tuple[str, ...] | None = None
    promote_seconds: float | None = None
    restore_seconds: float | None = None
    reports: tuple[str, ...] = ()
    """Where the runs' reports have been copied to, oldest run first."""
    waited_in_vain: tuple[str, ...] = ()
    promotions: int = 0
    executions: tuple[Execution, ...] = ()
    steps: tuple[StepRecord, ...] = ()
    decisions: tuple[Decided, ...] = ()
    answers: tuple[Answered, ...] = ()
    asg: ScalingGroup = field(default_factory=ScalingGroup)
    peak_memory_mib: float | None = None
    pids_left: tuple[int, ...] = ()
    machine: Machine = field(default_factory=Machine.this)
    relight_version: str = field(default_factory=lambda: version("relight"))

    def document(self) -> dict[str, Any]:
        """The result as the JSON document has it: every phase is there, seen or not."""
        document = {"schema": SCHEMA} | asdict(self)
        document["lambda"] = document.pop("lambda_")
        document["phases"] = {name: self.phases.get(name) for name in PHASES}
        document["home_phases"] = {name: self.home_phases.get(name) for name in PHASES} if self.home_phases else {}
        return document

    def write(self, path: Path) -> None:
        """Put the document there in one go: whoever reads the path sees the old document or the whole new one."""
        text = json.dumps(self.document(), indent=2, ensure_ascii=False) + "\n"
        handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp leaves it readable to the owner only; a result is for whoever may read the folder.
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def publish(result: Result, path: Path | None, console: Console) -> None:
    """Write the document, if a path is given for it, and print the closing table. A later result replaces it."""
    if path is not None:
        result.write(path)
    console.print(closing(result))
    told = [f"A run's report is in {report}" for report in result.reports[-_REPORTS_TOLD:]]
    for line in told if path is None else [*told, f"The result is in {path}"]:
        console.print(f" {line}", soft_wrap=True, markup=False, highlight=False)


def closing(result: Result) -> RenderableType:
    """What the terminal shows at the end: the phases, the figures, and all that is missing or wrong."""
    phases = () if result.drills_asked else (_phases(result),)
    return Group(*phases, _figures(result), *_missing(result), *_verdict(result))


def _phases(result: Result) -> Table:
    table = Table(box=SIMPLE_HEAD, title=f"Phases, as the run recorded them (timings: {result.timings})")
    table.title_justify = "left"
    table.add_column("phase")
    table.add_column("what")
    table.add_column("after the first bad sample", justify="right")
    table.add_column("at (UTC)")
    first = result.phases.get("t0")
    for name in PHASES:
        moment = result.phases.get(name)
        after = "" if first is None or moment is None else f"{moment - first:+.2f} s"
        table.add_row(name, _PHASE_SENTENCES[name], after, "not seen" if moment is None else _clock(moment))
    return table


def _figures(result: Result) -> Table:
    table = Table(box=None, show_header=False, pad_edge=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for row in _rows(result):
        table.add_row(*row)
    return table


def _rows(result: Result) -> Iterator[tuple[str, str, str]]:
    if result.drills_asked:
        yield from _drills(result)
    else:
        yield "RTO", _seconds(result.rto_seconds), _against_floor(result)
        yield "RTO, own record", _seconds(result.record_rto_seconds), "as the run recorded it"
        yield "outage", _seconds(result.outage_seconds), "from the last good answer to the next"
    yield "RPO", _seconds(result.rpo_seconds, "unknown"), "of acknowledged writes lost"
    yield "acknowledged", str(result.acknowledged_writes), "writes that a client saw 201 for"
    absent = None if result.missing_writes is None else len(result.missing_writes)
    yield "missing", _count(absent), f"of them; streamed before the loss: {_count(result.missing_streamed_writes)}"
    yield "on both sides", _count(result.writes_on_both_sides), "writes that the old primary acknowledged after t4"
    if result.old_side_wrote_limit_seconds is not None:
        limit = _seconds(result.old_side_wrote_limit_seconds, "nothing")
        yield "last of these", _seconds(result.old_side_wrote_seconds), f"after its return; at most {limit} is right"
    yield from _home(result)
    yield "promotions", str(result.promotions), "counted where PostgreSQL promotes"
    memory = "unknown" if result.peak_memory_mib is None else f"{result.peak_memory_mib:.0f} MiB"
    yield "peak memory", memory, f"on {result.machine.cores} cores, {result.ended - result.started:.0f} s in all"


def _drills(result: Result) -> Iterator[tuple[str, str, str]]:
    """What the drills came to, and what they left alone."""
    for when, look in (("before", result.readiness), ("after", result.readiness_after)):
        if look is not None:
            score = "unknown" if look.score is None else f"{look.score} of 100"
            yield f"readiness {when}", score, f"{look.checks} checks by {look.calls} API calls in {look.seconds:.2f} s"
    for one in result.drills:
        yield f"drill: {one.kind}", f"{one.ended - one.started:.2f} s", f"{one.status}, from its start to its end"
    yield "promotion", _seconds(result.promote_seconds, "not measured"), "of a throwaway replica"
    yield "restore", _seconds(result.restore_seconds, "not measured"), "of a throwaway database from a backup"
    yield "clients' failures", _count(result.client_failures), "while the drills ran"
    streamed = {True: "all the while", False: "not always", None: "unknown"}[result.standby_streaming_always]
    yield "streaming", streamed, "the standing replica, by the primary's own word"
    yield "left over", _count(None if result.left_over is None else len(result.left_over)), "of the drills"


def _home(result: Result) -> Iterator[tuple[str, str, str]]:
    """What the way home came to, where there was one."""
    if result.home_started_at is None:
        return
    named = None if result.reconciled is None else len(result.reconciled)
    lost = None if result.lost_in_failover is None else len(result.lost_in_failover)
    if result.lost_in_failover is not None:
        yield "reconciled", _count(named), f"named as lost; the failover has lost {_count(lost)}"
    for one in result.switchovers:
        where = f"until {one.active} took writes; clients had none for {_seconds(one.outage_seconds)}"
        yield f"read-only {one.number}", _seconds(one.read_only_seconds), where


def _missing(result: Result) -> Iterator[Text]:
    if result.missing_writes:
        yield Text("\n Acknowledged, and not in the active database:", style="bold")
        yield from (Text(f"   {order}") for order in result.missing_writes)
    if result.writes_on_both_sides_ids:
        yield Text("\n Acknowledged by the old primary after the promotion:", style="bold")
        yield from (Text(f"   {order}") for order in result.writes_on_both_sides_ids)


def _verdict(result: Result) -> Iterator[Text]:
    finding = f" ({result.finding})" if result.finding else ""
    yield Text(f"\n {result.status}{finding}", style="bold green" if not result.problems else "bold red")
    if not result.problems:
        drills = f"--drill {','.join(result.drills_asked)}" if result.drills_asked else ""
        what = "--circle" if result.circle else drills or f"--fault {result.fault}"
        yield Text(f" That is the end that {what} should have.")
    yield from (Text(f" ! {problem}", style="red") for problem in result.problems)


def _against_floor(result: Result) -> str:
    floor, measured = result.rto_floor_seconds, result.rto_seconds
    if floor is None:
        return "to clients outside"
    if measured is None:
        return f"to clients outside; the floor is {floor:.1f} s"
    return f"to clients outside; the floor is {floor:.1f} s, so {measured - floor:+.1f} s"


def _seconds(value: float | None, otherwise: str = "none seen") -> str:
    return otherwise if value is None else f"{value:.2f} s"


def _count(value: int | None) -> str:
    return "unknown" if value is None else str(value)


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%S.%f")[:-4]
