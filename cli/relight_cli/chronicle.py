"""What has changed from one look to the next, a sentence for each change. Ages are no change. Pure.

What cannot be seen has not changed: it is said that it cannot be seen, once, and what it was is kept until it is seen
again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from relight.head import Head
from relight.moment import told
from relight.telling import one_line

from relight_cli.board import ended, since
from relight_cli.freezing import frozen
from relight_cli.inspecting import Look
from relight_cli.pursuit import Followed
from relight_cli.sight import Sight, Story, Unseen
from relight_cli.situation import LONGEST, Situation, counts, name_of, readiness_words

type Facts = Mapping[str, str]
"""By subject; a subject that is gone is over."""

_SHORT = 30
"""Characters up to which it helps to say what something was."""
LEDGER, SIGNALS, READINESS, SWITCHES, RUNS, LAST = "ledger", "signals", "readiness", "switches", "runs", "last run"


def facts(s: Situation) -> dict[tuple[str, str], Facts | Unseen]:
    """What there is to be said, by Region and part."""
    found: dict[tuple[str, str], Facts | Unseen] = {}
    for one in s.sights:
        found[one.region, LEDGER] = one.head if isinstance(one.head, Unseen) else _ledger(one.head, s.at)
        found[one.region, SIGNALS] = _signals(s, one)
        found[one.region, READINESS] = _readiness(one.readiness)
        found[one.region, SWITCHES] = _switches(one)
        found[one.region, RUNS] = one.runs_unseen or _runs(one, s.at)
        found[one.region, LAST] = _last(one, s.at)
    return found


def _ledger(head: Head, now: float) -> Facts:
    freeze = frozen(head)
    lasts = freeze is not None and freeze.until > now
    return {
        "active": since(head),
        "state": head.state.value,
        "lock": "free" if head.owner is None else f"held by {name_of(head.owner)}",
        "freeze": one_line(freeze.sentence, LONGEST) if freeze is not None and lasts else "none",
    }


def _signals(s: Situation, sight: Sight) -> Facts | Unseen:
    if isinstance(sight.signals, Unseen):
        return sight.signals
    if not s.watches(sight.region):
        return {}
    return {f"signal {view}": counts(signal, s.at).value for view, signal in sight.signals.items()}


def _readiness(look: Look | Unseen | None) -> Facts | Unseen:
    if isinstance(look, Unseen):
        return look
    if look is None:
        return {}
    failing = [check["name"] for check in look.checks if check["level"] == "FAIL"]
    words = readiness_words(look, look.at).removeprefix("readiness ")
    return {"readiness": f"{words}{': ' if failing else ''}{', '.join(failing)}"}


def _switches(sight: Sight) -> Facts | Unseen:
    if isinstance(sight.switches, Unseen):
        return sight.switches
    return {name: "not published" if one is None else f"{one[0]:.0f}" for name, one in sight.switches.items()}


def _runs(sight: Sight, now: float) -> Facts:
    found: dict[str, str] = {}
    for run in sight.runs:
        found[run.run] = f"runs ({run.kind}){f', because: {run.because}' if run.because else ''}"
        found |= {f"{run.run} {name}": said for name, said in story_facts(sight.stories.get(run.run, Story()), now)}
    return found


def story_facts(story: Story, now: float) -> Iterator[tuple[str, str]]:
    """Each step with what it said last, and the question."""
    for step in story.steps:
        said = one_line(step.sentence, LONGEST)
        yield step.name, said if step.ended is None else f"done: {said}"
    question = story.asks(now)
    if question is not None:
        yield "asks", f"{one_line(question.sentence, LONGEST)} (until {told(question.expires_at)})"


def _last(sight: Sight, now: float) -> Facts | Unseen:
    last = sight.last_run
    if isinstance(last, Unseen):
        return last
    return {} if last is None else {"last run": ended(last, last.at).replace(" 0 s ago", "")}


@dataclass
class Chronicle:
    """Remembers what was said last."""

    _known: dict[tuple[str, str], Facts] = field(default_factory=dict)
    _hidden: dict[tuple[str, str], Unseen] = field(default_factory=dict)

    def changes(self, s: Situation) -> list[str]:
        """What is to be said of this look; of the first one its sentence, and what could not be seen."""
        found = facts(s)
        first = not self._known and not self._hidden
        said = [s.sentence] if first else []
        for one in s.sights:
            said += self._of(one.region, {part: told for (region, part), told in found.items() if region == one.region})
        return said if not first else [said[0], *(line for line in said[1:] if "NOT SEEN" in line)]

    def _of(self, region: str, found: Mapping[str, Facts | Unseen]) -> Iterator[str]:
        yield from self._visibility(region, found)
        for part, told_now in found.items():
            if isinstance(told_now, Unseen):
                self._hidden[region, part] = told_now
                continue
            self._hidden.pop((region, part), None)
            before = self._known.get((region, part), {})
            self._known[region, part] = told_now
            yield from (f"{region}: {line}" for line in differences(before, told_now))

    def _visibility(self, region: str, found: Mapping[str, Facts | Unseen]) -> Iterator[str]:
        """What has come into sight, or gone out of it: a Region as a whole where that is so."""
        hidden = {part: told_now for part, told_now in found.items() if isinstance(told_now, Unseen)}
        before = {part for of, part in self._hidden if of == region}
        gone, back = [part for part in hidden if part not in before], [part for part in before if part not in hidden]
        if gone:
            what = "all of it" if len(hidden) == len(found) else ", ".join(gone)
            yield f"{region}: NOT SEEN: {what}: {hidden[gone[0]].why}"
        if back:
            yield f"{region}: seen again: {'all of it' if not hidden else ', '.join(sorted(back))}"


def differences(before: Facts, now: Facts) -> Iterator[str]:
    """What is new, other, or over."""
    for subject, said in now.items():
        if subject not in before:
            yield f"{subject}: {said}"
        elif before[subject] != said:
            was = f" (was {before[subject]})" if max(len(before[subject]), len(said)) <= _SHORT else ""
            yield f"{subject}: {said}{was}"
    over = [subject for subject in before if subject not in now]
    for subject in over:
        if not any(subject.startswith(f"{other} ") for other in over):
            yield f"{subject}: over"


def followed_facts(followed: Followed, now: float) -> Facts:
    """What there is to be said of a run that is followed."""
    run = followed.run
    named = {"": f"runs in {run.region} ({run.kind}){f', because: {run.because}' if run.because else ''}"}
    steps = dict(story_facts(followed.story, now))
    if followed.end is not None:
        steps.pop("asks", None)
        named = {"": f"ended {followed.end.status}: {followed.end.sentence}"}
        return {f"{run.run} {name}".strip(): said for name, said in (steps | named).items()}
    return {f"{run.run} {name}".strip(): said for name, said in (named | steps).items()}
