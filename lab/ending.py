"""Whether a rehearsal ended as its fault should end: a sentence for each thing that did not."""

from collections.abc import Iterator

from lab.options import Fault
from lab.report import Result, Status
from lab.score import PHASES, out_of_order

EXPECTED = {
    Fault.PRIMARY_LOST: Status.SUCCEEDED,
    Fault.NETWORK_CUT: Status.STOOD_DOWN,
    Fault.FALSE_ALARM: Status.STOOD_DOWN,
    Fault.NONE: Status.NO_RUN,
}


def problems(result: Result) -> tuple[str, ...]:
    """All that is not as it should be; empty when the rehearsal ended as its fault should end."""
    return tuple(_problems(result))


def _problems(result: Result) -> Iterator[str]:
    if result.status != result.expected:
        yield f"the rehearsal ended {result.status}; --fault {result.fault} should end {result.expected}"
    if result.expected is Status.SUCCEEDED:
        yield from _failed_over(result)
    else:
        yield from _left_alone(result)
    yield from _writes(result)
    yield from _executions(result)
    if result.pids_left:
        yield f"processes were left running: {' '.join(str(pid) for pid in result.pids_left)}"


def _failed_over(result: Result) -> Iterator[str]:
    if result.promotions != 1:
        yield f"the replica was promoted {result.promotions} times; once is right"
    unseen = [name for name in PHASES if result.phases.get(name) is None]
    if unseen:
        yield f"phases were not seen: {' '.join(unseen)}"
    yield from (f"the phases are out of order: {sentence}" for sentence in out_of_order(result.phases))
    if result.rto_seconds is None:
        yield "the clients outside saw no outage with an end, so that there is no RTO"
    elif result.record_rto_seconds is not None:
        difference = abs(result.record_rto_seconds - result.rto_seconds)
        if difference > result.record_may_differ_seconds:
            yield f"the run's record of the RTO differs by {difference:.2f} s from what the clients saw"


def _left_alone(result: Result) -> Iterator[str]:
    if result.promotions:
        yield f"the replica was promoted {result.promotions} times; never is right"
    if result.asg.before != result.asg.after:
        yield f"the Auto Scaling group is at {result.asg.after}; it was at {result.asg.before}"
    if result.missing_writes:
        yield f"{len(result.missing_writes)} acknowledged writes are missing, and no Region was lost"


def _writes(result: Result) -> Iterator[str]:
    if not result.acknowledged_writes:
        yield "no write was acknowledged, so that the figures show nothing"
    if result.missing_writes is None:
        yield "the active database could not be read, so that it is not known whether writes are missing"
    elif result.missing_streamed_writes is None:
        yield "for some missing writes it is not known whether they had been streamed"
    if result.missing_streamed_writes:
        yield f"{result.missing_streamed_writes} missing writes had been streamed to the replica before the loss"
    if result.writes_on_both_sides is None:
        yield "it is not known whether the old primary acknowledged writes after the promotion"
    elif result.writes_on_both_sides:
        yield f"the old primary acknowledged {result.writes_on_both_sides} writes after the promotion"


def _executions(result: Result) -> Iterator[str]:
    stopped = [each for each in result.executions if each.status == "ABORTED"]
    killed = result.killed_orchestrator_at
    if killed is not None and len(stopped) != 1:
        yield f"the orchestrator was to be stopped once, at {killed}; {len(stopped)} executions are ABORTED"
    allowed = {"SUCCEEDED"} if killed is None else {"SUCCEEDED", "ABORTED"}
    yield from (
        f"the execution {each.name} in {each.region} is {each.status}" + (f": {each.cause}" if each.cause else "")
        for each in result.executions
        if each.status not in allowed
    )
