"""A situation as people read it: a sentence, what counts now, and each Region. Lines are pure; a terminal folds them.

Into a pipe each line stays whole, whatever its length, so that it can be searched for.
"""

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from relight.head import Head
from relight.moment import lasting, told
from relight.question import Question
from relight.readiness import Level
from relight.signal import Seen, Signal
from relight.telling import one_line
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from relight_cli.freezing import frozen
from relight_cli.recounting import Past
from relight_cli.sight import Sight, Story, Unseen
from relight_cli.situation import (
    LAG_SECONDS,
    LONGEST,
    PUBLISHED_SECONDS,
    Situation,
    counts,
    name_of,
    readiness_words,
    wanted,
)

SIDE_BY_SIDE = 160
"""Columns from which the two Regions stand beside one another."""
_LABEL = 10


class Tone(StrEnum):
    """How a line is to be taken; beside its words, never in their place. The values are rich's styles."""

    PLAIN = ""
    GOOD = "green"
    LOOK = "yellow"
    BAD = "bold red"


@dataclass(frozen=True)
class Line:
    """One fact. A command is one to be copied."""

    label: str
    text: str
    tone: Tone = Tone.PLAIN
    command: bool = False


@dataclass(frozen=True)
class Section:
    """Lines under a title; empty for what comes before the Regions."""

    title: str
    lines: tuple[Line, ...]


def answers(called: Iterable[str], application: str, region: str, run: str, *, homeward: bool) -> list[str]:
    """The commands that answer the question of a run."""
    replies = ("approve", "decline", "stay") if homeward else ("approve", "decline")
    there = ["--app", application, "--region", region]
    return [f"{shlex.join([*called, reply, run, *there])} --reason 'WHY'" for reply in replies]


def tone_of(s: Situation) -> Tone:
    """Of the sentence that comes first."""
    standby = None if s.standby is None else s.sight(s.standby)
    if s.differ or s.abandoned is not None or len(s.heads) < len(s.sights) or s.activating is not None:
        return Tone.BAD
    if s.runs or s.frozen or standby is None or any(line.tone is not Tone.GOOD for line in _readiness(s, standby)):
        return Tone.LOOK
    return Tone.GOOD


def sections(s: Situation, called: Iterable[str]) -> list[Section]:
    """Everything below the sentence."""
    top = (*_looked(s), *_active(s), *_runs(s, tuple(called)), *_freeze(s), *_last(s), *_unseen(s))
    return [Section("", top), *(region_section(s, one) for one in s.sights)]


def _looked(s: Situation) -> Iterator[Line]:
    yield Line("at", f"{told(s.at)}, {s.application}, looked at in {s.took:.1f} s")


def _active(s: Situation) -> Iterator[Line]:
    if s.differ:
        claims = (f"{region}'s says {since(head)}" for region, head in s.heads.items())
        yield Line("active", f"THE LEDGERS DIFFER: {'; '.join(claims)}; the later epoch counts", Tone.BAD)
    elif s.latest is not None:
        by = "both ledgers say so" if len(s.heads) == len(s.sights) else f"so says {next(iter(s.heads))}'s ledger alone"
        yield Line("active", f"{since(s.latest)}; {by}", Tone.PLAIN if len(s.heads) == len(s.sights) else Tone.LOOK)
    if s.abandoned is not None:
        head = s.heads[s.abandoned]
        begun = head.promotion
        run = "" if begun is None else f" by {begun.run}, of {begun.instance}"
        text = (
            f"a promotion was begun in {s.abandoned}{run}, and no run is there to bring it to its end: start a failover"
        )
        yield Line("state", text, Tone.BAD)
    elif s.activating is not None:
        yield Line("state", f"promoting: {s.activating} is being activated", Tone.LOOK)
    elif s.latest is not None:
        yield Line("state", "steady")


def since(head: Head) -> str:
    """Who is active by a ledger, and since which run."""
    return f"{head.active}, as deployed" if head.active_epoch == 0 else f"{head.active} since epoch {head.active_epoch}"


def _runs(s: Situation, called: tuple[str, ...]) -> Iterator[Line]:
    for run in s.runs:
        story = s.story(run)
        why = f", because: {run.because}" if run.because else ""
        yield Line("runs", f"{run.run} ({run.kind}) in {run.region} for {lasting(s.at - run.since)}{why}", Tone.LOOK)
        yield from _steps(story, s.at)
        question = story.asks(s.at)
        if question is not None:
            homeward = run.kind == "failback"
            commands = answers(called, s.application, run.region, run.run, homeward=homeward)
            yield from asks(question, s.at, commands)
    if not s.runs:
        hidden = [one.region for one in s.sights if one.runs_unseen is not None]
        yield Line("runs", f"nothing that could be seen; NOT SEEN: {' and '.join(hidden)}" if hidden else "nothing")


def _steps(story: Story, now: float) -> Iterator[Line]:
    for step in story.under_way:
        text = f"{step.name} for {lasting(now - step.started)}: {one_line(step.sentence, LONGEST)}"
        yield Line("step", text, Tone.LOOK)
    if story.steps and not story.under_way:
        last = max(story.steps, key=lambda step: step.ended or 0.0)
        yield Line("step", f"{last.name} is done: {one_line(last.sentence, LONGEST)}")


def asks(question: Question, now: float, commands: Iterable[str]) -> Iterator[Line]:
    """An open question, and how to answer it."""
    left = lasting(question.expires_at - now)
    said = one_line(question.sentence, LONGEST)
    yield Line("asks", f"{said} ({question.finding}; question {question.asked}, {left} left)", Tone.BAD)
    for command in commands:
        yield Line("answer", command, command=True)


def _freeze(s: Situation) -> Iterator[Line]:
    found = {region: freeze for region, head in s.heads.items() if (freeze := frozen(head)) and freeze.until > s.at}
    for region, freeze in found.items():
        if freeze.begins is not None and freeze.begins > s.at:
            yield Line("freeze", f"ahead in {region}, {one_line(freeze.sentence, LONGEST)}")
        else:
            yield Line("freeze", f"in force in {region}, {one_line(freeze.sentence, LONGEST)}", Tone.LOOK)
    if not found:
        yield Line("freeze", "none")


def _last(s: Situation) -> Iterator[Line]:
    seen = all(not isinstance(one.last_run, Unseen) for one in s.sights)
    if s.last_run is not None:
        yield Line("last run", ended(s.last_run, s.at))
    else:
        yield Line("last run", "none" if seen else "none that could be seen")
    if s.last_drill is None:
        yield Line("last drill", "none" if seen else "none that could be seen")
        return
    region, drill = s.last_drill
    left = f", LEFT OVER: {', '.join(drill.left)}" if drill.left else ""
    ago = lasting(s.at - (drill.ended_at or s.at))
    text = f"{drill.run} ({drill.kind}) in {region}: {drill.status or 'stopped'} {ago} ago{left}"
    yield Line("last drill", text, Tone.LOOK if left else Tone.PLAIN)


def ended(run: Past, now: float) -> str:
    """How a run ended, when, and what was measured."""
    measured = [
        f"{name} {seconds:.0f} s" for name, seconds in (("RTO", run.rto), ("RPO", run.rpo)) if seconds is not None
    ]
    said = f"{run.run} ({run.kind}) in {run.region}: {run.status} {lasting(now - run.at)} ago"
    return one_line(", ".join([said, *measured]), LONGEST)


def _unseen(s: Situation) -> Iterator[Line]:
    for one in s.sights:
        reasons: dict[str, list[str]] = {}
        for name, part in one.unseen:
            reasons.setdefault(part.why, []).append(name)
        silent = one.silent
        if silent is not None and len(one.unseen) >= 8:
            # Everything: the ledger's reason says most.
            yield Line("NOT SEEN", f"anything of {one.region}: {silent.why}", Tone.BAD)
            continue
        for why, names in reasons.items():
            yield Line("NOT SEEN", f"of {one.region}: {', '.join(names)}: {why}", Tone.BAD)


# One Region.


def region_section(s: Situation, sight: Sight) -> Section:
    """What a Region's ledger, its guard and its readiness say."""
    lines = () if sight.silent is not None and len(sight.unseen) >= 8 else tuple(_region(s, sight))
    return Section(f"{sight.region} ({s.role(sight.region)}) {_duty(s, sight.region)}", lines)


def _duty(s: Situation, region: str) -> str:
    if region == s.activating:
        return "is being activated" if region != s.active else "is active, its activation is not over"
    if s.sight(region).silent is not None:
        return "could not be seen"
    return "is active" if region == s.active else "stands by"


def _region(s: Situation, sight: Sight) -> Iterator[Line]:
    if isinstance(sight.head, Head):
        yield _lock(s, sight, sight.head)
    if s.watches(sight.region):
        if not isinstance(sight.signals, Unseen):
            for signal in sight.signals.values():
                yield _signal(signal, s.at)
        yield from _lag(s, sight)
        yield from _readiness(s, sight)
    yield from _switches(s, sight)


def _lock(s: Situation, sight: Sight, head: Head) -> Line:
    if head.owner is None:
        return Line("lock", "free")
    run = name_of(head.owner)
    held = f"held by {run} until {told(head.expires_at)}"
    if f":{sight.region}:" not in head.owner:
        return Line("lock", f"{held}, a run of the other Region", Tone.LOOK)
    if sight.runs_unseen is None and run not in {one.run for one in sight.runs}:
        return Line("lock", f"{held}, which does NOT run any more: the next run takes it over", Tone.BAD)
    return Line("lock", held, Tone.LOOK)


def _signal(signal: Signal, now: float) -> Line:
    said = one_line(signal.sentence, LONGEST)
    if signal.last_seen <= 0:
        return Line(signal.view, f"UNKNOWN: {said}", Tone.LOOK)
    for_ = f"{signal.seen} for {lasting(now - signal.since)}"
    ago = lasting(now - signal.last_seen)
    if counts(signal, now) is not signal.seen:
        return Line(signal.view, f"UNKNOWN: was {for_} until it fell silent {ago} ago: {said}", Tone.LOOK)
    tone = {Seen.UP: Tone.GOOD, Seen.DOWN: Tone.BAD}.get(signal.seen, Tone.LOOK)
    return Line(signal.view, f"{for_}, seen {ago} ago: {said}", tone)


def _lag(s: Situation, sight: Sight) -> Iterator[Line]:
    lag = sight.lag
    if lag is not None and not isinstance(lag, Unseen):
        old = s.at - lag.at > LAG_SECONDS
        text = f"{lag.seconds:.0f} s by CloudWatch, {lasting(s.at - lag.at)} ago"
        if lag.seconds < 0:
            text = f"replication is NOT ACTIVE by CloudWatch, {lasting(s.at - lag.at)} ago"
        yield Line("lag", text, Tone.LOOK if old else Tone.BAD if lag.seconds < 0 else Tone.PLAIN)
    look = sight.readiness
    if look is None or isinstance(look, Unseen):
        return
    for check in look.checks:
        if check["name"] in {"lag", "heartbeat"}:
            yield Line(check["name"], f"{one_line(check['sentence'], LONGEST)}, by readiness {told(look.at)}")


def _readiness(s: Situation, sight: Sight) -> Iterator[Line]:
    look = sight.readiness
    if look is None or isinstance(look, Unseen) or not look.on_duty:
        yield Line("readiness", readiness_words(look, s.at), Tone.LOOK)
        return
    many = {level: [check for check in look.checks if check["level"] == level] for level in (Level.FAIL, Level.WARN)}
    warnings = f", {len(many[Level.WARN])} warnings (relight readiness)" if many[Level.WARN] else ""
    words = readiness_words(look, s.at).removeprefix("readiness ")
    old = words.endswith("ago")
    tone = Tone.BAD if many[Level.FAIL] else Tone.LOOK if old else Tone.GOOD
    yield Line("readiness", f"{words}{'' if old else f', looked at {lasting(s.at - look.at)} ago'}{warnings}", tone)
    for check in many[Level.FAIL]:
        text = f"{check['name']}: {one_line(check['sentence'], LONGEST)}; {one_line(check['todo'], LONGEST)}"
        yield Line("FAIL", text, Tone.BAD)


def _switches(s: Situation, sight: Sight) -> Iterator[Line]:
    if isinstance(sight.switches, Unseen):
        return
    calls_for = wanted(s, sight.region)
    for name, found in sight.switches.items():
        if found is None:
            yield Line(name, "was NOT published in the last 15 minutes: guard does not work", Tone.BAD)
            continue
        value, at = found
        text = f"{value:.0f}, published {lasting(s.at - at)} ago"
        late = s.at - at > PUBLISHED_SECONDS
        asked = calls_for.get(name, value)
        if asked != value:
            yield Line(name, f"{text}, and the ledger calls for {asked:.0f}", Tone.LOOK)
        else:
            yield Line(name, f"{text}: SILENT since" if late else text, Tone.BAD if late else Tone.PLAIN)


# On a terminal, and in a pipe.


def plain(sentence: str, parts: Iterable[Section]) -> str:
    """For pipes: nothing is folded or coloured."""
    lines = [sentence]
    for part in parts:
        lines += ["", part.title] if part.title else [""]
        indent = "  " if part.title else ""
        lines += [f"{indent}{line.label:<{_LABEL}} {line.text}" for line in part.lines]
    return "\n".join(lines)


def drawn(sentence: str, tone: Tone, parts: list[Section], width: int) -> RenderableType:
    """For a terminal of so many columns."""
    top = [part for part in parts if not part.title]
    regions = [part for part in parts if part.title]
    shown: list[RenderableType] = [Text(sentence, style=tone.value or "bold"), Text(), *(_grid(part) for part in top)]
    if width >= SIDE_BY_SIDE and len(regions) == 2:
        beside = Table.grid(expand=True, padding=(0, 2))
        for _ in regions:
            beside.add_column(ratio=1)
        beside.add_row(*(Group(*_region_drawn(part)) for part in regions))
        shown += [Text(), beside]
    else:
        for part in regions:
            shown += [Text(), *_region_drawn(part)]
    return Group(*shown)


def _region_drawn(part: Section) -> Iterator[RenderableType]:
    yield Text(part.title, style="bold")
    if part.lines:
        yield Padding(_grid(part), (0, 0, 0, 2))


def _grid(part: Section) -> RenderableType:
    """Labels in a column of their own. A command begins at the left edge, so that it can be copied as it is."""
    shown: list[RenderableType] = []
    grid: Table | None = None
    for line in part.lines:
        if line.command:
            shown.append(Text(line.text, overflow="fold", style="bold"))
            grid = None
            continue
        if grid is None:
            grid = Table.grid(padding=(0, 1))
            grid.add_column(width=_LABEL, no_wrap=True)
            grid.add_column(overflow="fold")
            shown.append(grid)
        grid.add_row(Text(line.label, style="dim"), Text(line.text, style=line.tone.value))
    return Group(*shown)


def console() -> Console:
    """Of stdout. rich heeds NO_COLOR, and whether it is a terminal."""
    return Console(highlight=False)


def is_live(where: Console) -> bool:
    """Whether a person looks at it, on a terminal that can be drawn upon."""
    return where.is_terminal and not where.is_dumb_terminal
