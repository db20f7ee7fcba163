"""Whether drills ended as they should: a sentence for each thing that did not."""

from collections.abc import Iterator

from lab.options import DrillKind
from lab.report import Drilled, Readied, Result, Status

MOST_CALLS = 60
"""One look at the standby's readiness takes fewer API calls, whatever it finds. How long it takes is told, and depends
on what else the machine does: 10 s is the bound that the function keeps by itself."""


def drilled(result: Result) -> Iterator[str]:
    """What is wrong with drills during which nothing may have happened to anybody else."""
    yield from _ready("the active Region before the drills", result.readiness_active)
    yield from _ready("the standby before the drills", result.readiness)
    yield from _ready("the standby after the drills", result.readiness_after)
    made = {one.kind: one for one in result.drills}
    for kind in result.drills_asked:
        yield from _one(made[kind]) if kind in made else (f"no drill ({kind}) was made",)
    if DrillKind.PROMOTE in result.drills_asked and not any(each.code == 0 for each in result.answers):
        yield "the drill that promotes asked nobody"
    yield from nothing_left(result)
    yield from _untouched(result)


def _ready(whose: str, readied: Readied | None) -> Iterator[str]:
    """Whether a Region was ready by its own word, and had it cheaply."""
    if readied is None:
        yield f"nobody asked about the readiness of {whose}"
        return
    if readied.score != 100:
        yield f"the readiness of {whose} was {readied.score} of 100: {'; '.join(readied.not_passed)}"
    if readied.calls >= MOST_CALLS:
        yield f"the readiness of {whose} took {readied.calls} API calls; fewer than {MOST_CALLS} is right"


def _untouched(result: Result) -> Iterator[str]:
    """Clients, the standing replica and the standing capacity have noticed nothing."""
    if result.client_failures is None:
        yield "it is not known how clients fared"
    elif result.client_failures:
        yield f"{result.client_failures} attempts of clients failed during the drills; none is right"
    if not result.standby_streaming_always:
        yield f"the standing replica did not stream all the while: {', '.join(result.standby_seen) or 'nobody looked'}"
    if result.promotions:
        yield f"a standing replica was promoted {result.promotions} times; never is right"
    if result.asg.before != result.asg.after:
        yield f"the Auto Scaling group is at {result.asg.after}; it was at {result.asg.before}"
    if result.missing_writes:
        yield f"{len(result.missing_writes)} acknowledged writes are missing, and no Region was lost"


def nothing_left(result: Result) -> Iterator[str]:
    """What is still there of a drill that has ended, however it did."""
    if result.left_over is None:
        yield "nobody looked whether anything of a drill is left"
    else:
        yield from (f"left over from a drill: {each}" for each in result.left_over)


def _one(one: Drilled) -> Iterator[str]:
    if one.status is not Status.SUCCEEDED:
        yield f"the drill ({one.kind}) ended {one.status}"
    yield from _times(one)
    if one.kind == DrillKind.PLAN:
        return
    if not one.instances:
        yield f"the drill ({one.kind}) had no instance, so that nothing was verified"
        return
    if not one.marked:
        yield f"an instance of the drill ({one.kind}) was not told by RELIGHT_DRILL=1 that it is one"
    if one.reached_standing:
        yield f"an instance of the drill ({one.kind}) could have reached the standing replica"
    if one.ways_out:
        yield f"an instance of the drill ({one.kind}) had a way out, by {', '.join(one.ways_out)}"


def _times(one: Drilled) -> Iterator[str]:
    """A drill tells how long that took which it does, and nothing else."""
    for kind, word, seconds in (
        (DrillKind.PROMOTE, "promotion", one.promote_seconds),
        (DrillKind.RESTORE, "restore", one.restore_seconds),
    ):
        if one.kind == kind and seconds is None:
            yield f"the drill ({one.kind}) has not told how long its {word} took"
        if one.kind != kind and seconds is not None:
            yield f"the drill ({one.kind}) tells how long a {word} took, and made none"
