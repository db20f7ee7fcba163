"""Both Regions, or one run, watched: drawn anew on a terminal; into a pipe, a line for each change.

Nothing that a Region does or does not do ends it, once one has answered: whoever watches wants to see it come back.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from relight.moment import lasting, told
from relight.telling import one_line
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from relight_cli.board import (
    Line,
    Section,
    Tone,
    answers,
    asks,
    console,
    drawn,
    is_live,
    sections,
    tone_of,
)
from relight_cli.chronicle import Chronicle, Facts, differences, followed_facts
from relight_cli.deployed import Deployed
from relight_cli.exit_code import Exit
from relight_cli.overview import looked, require_one
from relight_cli.pursuit import Followed, Pursuit
from relight_cli.sight import Hasty, Onlooker, at_once
from relight_cli.situation import LONGEST, Situation, as_document, question_document, steps_document
from relight_cli.surroundings import how_called

INTERRUPTED = 130
"""After Ctrl-C, as a shell has it."""
_TICK_SECONDS = 1.0
"""Between two drawings of the same look, so that ages are seen to grow."""


class Watched(Protocol):
    """What is looked at, over and over."""

    def look(self) -> list[str]:
        """Look: what has changed, a sentence each."""

    def drawn(self, width: int) -> RenderableType:
        """The last look, for a terminal."""

    def document(self) -> dict[str, Any]:
        """The last look, as JSON has it."""

    @property
    def code(self) -> Exit | None:
        """How the watching ends; None while it does not."""


@dataclass
class Regions:
    """Both Regions, until Ctrl-C."""

    onlooker: Onlooker
    called: tuple[str, ...]
    _chronicle: Chronicle = field(default_factory=Chronicle)
    _seen: Situation | None = None
    code: Exit | None = None

    def look(self) -> list[str]:
        """As Watched. Refused where the first look finds no Region that answers."""
        found = looked(self.onlooker)
        if self._seen is None:
            require_one(found)
        self._seen = found
        return self._chronicle.changes(found)

    def _last(self) -> Situation:
        assert self._seen is not None, "it was looked at first"
        return self._seen

    def drawn(self, width: int) -> RenderableType:
        """As Watched."""
        seen = self._last()
        shown = drawn(seen.sentence, tone_of(seen), sections(seen, self.called), width)
        ago = lasting(self.onlooker.clock() - seen.at)
        return Group(shown, Text(), Text(f"looked {ago} ago; Ctrl-C ends the watching, and nothing else", style="dim"))

    def document(self) -> dict[str, Any]:
        """As Watched."""
        return as_document(self._last())


@dataclass
class OneRun:
    """One run, until its end."""

    pursuit: Pursuit
    called: tuple[str, ...]
    _said: Facts = field(default_factory=dict)
    _hidden: bool = False
    _seen: Followed | None = None

    @property
    def code(self) -> Exit | None:
        """As Watched: how the run ended."""
        return None if self._seen is None or self._seen.end is None else self._seen.code

    def look(self) -> list[str]:
        """As Watched. Refused where the first look does not find the run."""
        if self._seen is None:
            self._seen = self.pursuit.find()
        else:
            found: list[Followed] = []
            at_once([lambda: found.append(self.pursuit.look())], self.pursuit.onlooker.seconds)
            self._seen = found[0] if found else self.pursuit.unheard(self.pursuit.onlooker.late)
        now = followed_facts(self._seen, self.pursuit.onlooker.clock())
        before, self._said = self._said, now
        return [*self._sight(self._seen), *differences(before, now)]

    def _sight(self, seen: Followed) -> list[str]:
        """Whether it has come into sight, or gone out of it."""
        before, self._hidden = self._hidden, seen.trouble is not None
        if before == self._hidden:
            return []
        why = "seen again" if seen.trouble is None else f"NOT SEEN: {seen.trouble.why}"
        return [f"{seen.run.run} in {seen.run.region}: {why}"]

    def _last(self) -> Followed:
        assert self._seen is not None, "it was looked at first"
        return self._seen

    def drawn(self, width: int) -> RenderableType:
        """As Watched."""
        seen, now = self._last(), self.pursuit.onlooker.clock()
        tone = Tone.LOOK if seen.end is None else Tone.GOOD if seen.code is Exit.DONE else Tone.BAD
        application = self.pursuit.onlooker.deployed.application
        return drawn(sentence_of(seen, now), tone, [Section("", lines_of(seen, now, self.called, application))], width)

    def document(self) -> dict[str, Any]:
        """As Watched."""
        seen = self._last()
        question = None if seen.end is not None else seen.story.asks(self.pursuit.onlooker.clock())
        return {
            "schema": "relight/watched-run/1",
            "at": self.pursuit.onlooker.clock(),
            "run": seen.run.run,
            "kind": seen.run.kind,
            "region": seen.run.region,
            "execution": seen.run.execution,
            "since": seen.run.since,
            "because": seen.run.because,
            "status": None if seen.end is None else seen.end.status,
            "sentence": None if seen.end is None else seen.end.sentence,
            "ended": seen.ended_at,
            "steps": steps_document(seen.story),
            "question": question_document(question),
            "unseen": None if seen.trouble is None else seen.trouble.why,
        }


def sentence_of(seen: Followed, now: float) -> str:
    """What a person needs first of a run. Pure."""
    run = seen.run
    if seen.end is not None:
        took = "" if seen.ended_at is None else f" after {lasting(seen.ended_at - run.since)}"
        return f"{run.run} in {run.region} ended {seen.end.status}{took}: {seen.end.sentence}"
    if seen.story.asks(now) is not None:
        return f"{run.run} in {run.region} asks a person, {lasting(now - run.since)} after its start."
    at = f", at {' and '.join(step.name for step in seen.story.under_way)}" if seen.story.under_way else ""
    return f"{run.run} runs in {run.region} for {lasting(now - run.since)}{at}."


def lines_of(seen: Followed, now: float, called: Iterable[str], application: str) -> tuple[Line, ...]:
    """Its steps, its question, and what could not be seen. Pure."""
    run = seen.run
    lines = [Line("because", run.because)] if run.because else []
    for step in seen.story.steps:
        took = lasting((now if step.ended is None else step.ended) - step.started)
        text = f"{step.name} ({took}): {one_line(step.sentence, LONGEST)}"
        lines.append(
            Line("step" if step.ended is None else "done", text, Tone.LOOK if step.ended is None else Tone.GOOD)
        )
    question = None if seen.end is not None else seen.story.asks(now)
    if question is not None:
        commands = answers(called, application, run.region, run.run, homeward=run.kind == "failback")
        lines += asks(question, now, commands)
    if seen.trouble is not None:
        lines.append(Line("NOT SEEN", seen.trouble.why, Tone.BAD))
    return tuple(lines)


def draw(watched: Watched, every: float, where: Console, clock: Callable[[], float] = time.monotonic) -> Exit:
    """On a terminal, until it ends, or Ctrl-C."""
    watched.look()
    with Live(watched.drawn(where.width), console=where, auto_refresh=False) as live:
        while True:
            if watched.code is not None:
                live.update(watched.drawn(where.width), refresh=True)
                return watched.code
            again = clock() + every
            while (left := again - clock()) > 0:
                live.update(watched.drawn(where.width), refresh=True)
                time.sleep(min(_TICK_SECONDS, left))
            watched.look()


def tell(watched: Watched, every: float, clock: Callable[[], float], *, as_json: bool) -> Exit:
    """Into a pipe, until it ends, or Ctrl-C."""
    while True:
        changes = watched.look()
        if as_json and changes:
            print(json.dumps({**watched.document(), "changes": changes}), flush=True)
        elif not as_json:
            for change in changes:
                print(f"{told(clock())} {change}", flush=True)
        if watched.code is not None:
            return watched.code
        time.sleep(every)


def conduct(deployed: Deployed, every: float, run: str | None, *, as_json: bool) -> int:
    """Watch: the exit code."""
    aws = Hasty()
    aws.ask_for_code()
    onlooker, called, where = Onlooker(deployed, aws), how_called(), console()
    watched: Watched = Regions(onlooker, called) if run is None else OneRun(Pursuit(onlooker, run), called)
    try:
        if is_live(where) and not as_json:
            return draw(watched, every, where)
        return tell(watched, every, onlooker.clock, as_json=as_json)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read it has seen enough. Nothing is to be written into that pipe at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
