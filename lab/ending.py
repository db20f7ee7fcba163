"""Whether a rehearsal ended as its fault should end: a sentence for each thing that did not."""

from collections.abc import Iterator, Mapping

from lab.drill_ending import drilled, nothing_left
from lab.home_ending import exchanged, gone_round, switched_over
from lab.options import Fault, Options, Reply, Step
from lab.report import Result, Status
from lab.score import PHASES, out_of_order

_GIVEN_WAY = frozenset({"FAILED", "ABORTED"})
"""How a drill may end, too, that a failover came upon."""
FINDINGS: Mapping[Fault, frozenset[str]] = {
    Fault.PRIMARY_LOST: frozenset({"region_lost"}),
    Fault.NETWORK_CUT: frozenset({"up_from_outside"}),
    Fault.FALSE_ALARM: frozenset({"primary_up", "one_view_only"}),
    Fault.NONE: frozenset(),
    Fault.APP_LOST: frozenset({"application_lost"}),
    Fault.DATABASE_LOST: frozenset({"database_lost"}),
    Fault.DATABASE_REBOOTING: frozenset({"primary_up", "one_view_only"}),
    Fault.DR_ISOLATED: frozenset({"dr_isolated"}),
    Fault.REVIVED_PRIMARY: frozenset({"region_lost"}),
    Fault.US_EAST_1_LOST: frozenset({"region_lost"}),
    Fault.DNS_FLAPPING: frozenset({"primary_up", "up_from_outside"}),
    Fault.DR_LOST_WHILE_ACTIVE: frozenset({"region_lost"}),
}
"""What the last run may find, where the orchestrator was not stopped: one that goes on says so instead.

Of a primary that is well again the DR Region knows at once, and Route 53's checkers three looks later."""


def expected(options: Options) -> Status:
    """The end that a rehearsal with these options should have."""
    if options.switchovers or options.drill:
        return Status.SUCCEEDED
    if options.fault is Fault.NONE:
        return Status.NO_RUN
    return Status.SUCCEEDED if options.fails_over else Status.STOOD_DOWN


def problems(result: Result) -> tuple[str, ...]:
    """All that is not as it should be; empty when the rehearsal ended as its fault should end."""
    return tuple(_problems(result))


def _problems(result: Result) -> Iterator[str]:
    if result.status != result.expected:
        yield f"the rehearsal ended {result.status}; --fault {result.fault} should end {result.expected}"
    yield from (f"what was waited for did not come: {what}" for what in result.waited_in_vain)
    if result.switchovers_asked:
        yield from switched_over(result)
    elif result.drills_asked:
        yield from drilled(result)
    elif result.expected is Status.SUCCEEDED:
        yield from _failed_over(result)
    else:
        yield from _left_alone(result)
    if result.circle:
        yield from gone_round(result)
    if result.fault == Fault.DR_LOST_WHILE_ACTIVE:
        yield from exchanged(result)
    if result.during_drill:
        yield from nothing_left(result)
    yield from _found(result)
    yield from _writes(result)
    yield from _both_sides(result)
    yield from _asked(result)
    yield from _executions(result)
    if result.pids_left:
        yield f"processes were left running: {' '.join(str(pid) for pid in result.pids_left)}"


def _found(result: Result) -> Iterator[str]:
    right = FINDINGS[Fault(result.fault)]
    if right and result.killed_orchestrator_at is None and result.finding not in right:
        yield f"the finding is {result.finding}; {' or '.join(sorted(right))} is right"
    waited = any(each.finding == "peer_database_busy" and each.action == "wait" for each in result.decisions)
    if result.fault == Fault.DATABASE_REBOOTING and not waited:
        yield "no run waited for the primary's database, which was rebooting"


def _asked(result: Result) -> Iterator[str]:
    if result.fault != Fault.APP_LOST:
        return
    if not any(each.action == "ask" for each in result.decisions):
        yield "no run asked a person"
    if result.answer != Reply.NONE and not any(each.code == 0 for each in result.answers):
        said = result.answers[-1].said if result.answers else "no question was found"
        yield f"no answer of the person was taken: {said}"
    if result.missing_writes and result.expected is Status.SUCCEEDED:
        yield f"{len(result.missing_writes)} acknowledged writes are missing; mode planned loses none"


def _failed_over(result: Result) -> Iterator[str]:
    right = 2 if result.circle or result.fault == Fault.DR_LOST_WHILE_ACTIVE else 1
    if result.promotions != right:
        yield f"replicas were promoted {result.promotions} times; {right} is right"
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


def _both_sides(result: Result) -> Iterator[str]:
    both = result.writes_on_both_sides
    # Whoever never asks DNS again may reach a primary that comes back, until it is fenced; nobody else may.
    forbidden = result.fault != Fault.REVIVED_PRIMARY or result.lease
    if both is None:
        yield "it is not known whether the old primary acknowledged writes after the promotion"
    elif both and forbidden:
        yield f"the old primary acknowledged {both} writes after the promotion"
    if result.old_side_commits and forbidden:
        yield f"the old primary's database committed {result.old_side_commits} writes after the promotion"
    if result.fault != Fault.REVIVED_PRIMARY:
        return
    if result.returned_at is not None:
        yield from _returned(result)
    else:
        yield "the primary was not brought back"


def _returned(result: Result) -> Iterator[str]:
    wrote, limit = result.old_side_wrote_seconds, result.old_side_wrote_limit_seconds
    if wrote is not None and limit is not None and wrote > limit:
        yield (
            f"the old primary acknowledged writes for {wrote:.1f} s after its return; it must be fenced within "
            f"{limit:.0f} s"
        )
    if not result.old_side_answers:
        yield "no client reached the old primary after its return, so that nothing is shown"
    if result.led_back:
        yield f"DNS led clients to the old primary {result.led_back} times after its return"


def _executions(result: Result) -> Iterator[str]:
    stopped = [each for each in result.executions if each.status == "ABORTED"]
    killed = (result.killed_orchestrator_at or "").split(",") if result.killed_orchestrator_at else []
    # A switchover is an execution of its own, which Step Functions may stop along with the one that waits for it.
    most = len(killed) + killed.count(Step.SWITCHOVER)
    if killed and not len(killed) <= len(stopped) <= most:
        where = " and at ".join(killed)
        yield f"the orchestrator was to be stopped once, at {where}; {len(stopped)} executions are ABORTED"
    allowed = {"SUCCEEDED", "ABORTED"} if killed else {"SUCCEEDED"}
    yield from (
        f"the execution {each.name} in {each.region} is {each.status}" + (f": {each.cause}" if each.cause else "")
        for each in result.executions
        if each.status not in (allowed | _GIVEN_WAY if result.during_drill and each.machine == "drill" else allowed)
    )
