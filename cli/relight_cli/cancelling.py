"""A run ended by a person before its one-way door, and what it had begun undone.

A run that asks is declined: then it undoes its own work, and records it. Another one is stopped, and undoes nothing
itself: the probe of its Region starts the next run within a minute, which puts back what the ledger says was begun; a
drill is swept at once. The door may be opened in the very moment of the stop: so the ledger is asked again behind it.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import ClientError
from relight.guard import LATE_HANDLER_SECONDS
from relight.head import Head
from relight.probe import left_over
from relight.question import Reply
from relight.telling import one_line

from relight_cli import answering, following
from relight_cli.answering import Answering
from relight_cli.aws import Aws, code_of
from relight_cli.deployed import Deployed
from relight_cli.execution import Known, find, kind_of, name_of
from relight_cli.exit_code import Exit, Refused
from relight_cli.following import LONGEST, Ended, Following, described_by, ended, printed, silent, there, watching
from relight_cli.reaching import identity, reaching, reading
from relight_cli.surroundings import aws_here, relight_here

CANCELLED = "Cancelled"
"""The error with which a run is stopped."""
PATIENCE_SECONDS = 420.0
"""For so long it is waited for: a minute until the probe looks, and a run that stands down takes two or three."""
_CLOSED_MEANWHILE = frozenset({Exit.NOTHING_ASKED, Exit.ANSWERED, Exit.TOKEN})
_FAILOVER, _DRILL = "failover", "drill"


@dataclass(frozen=True)
class Wish:
    """Which run, and why."""

    run: str
    because: str


@dataclass(frozen=True)
class Cancelled:
    """What was done. `undone` is None where it was not waited for, or the ledger did not say so in time."""

    region: str
    execution: str
    kind: str
    how: str
    """`declined` or `stopped`."""
    by: str
    because: str
    undone: bool | None
    sentence: str


def objection(found: Known) -> Refused | None:
    """Why this run cannot be cancelled, or None. Pure."""
    run = f"{found.run} in {found.region}"
    if found.execution is None or found.status != "RUNNING":
        said = "" if found.execution is None else f" {found.status}"
        last = one_line(found.last_words, LONGEST)
        do = "nothing is to be done; relight status says whether something of it is left"
        return Refused(f"{run} has ended{said}" + (f" (it said last: {last})" if last else ""), do=do, code=Exit.ENDED)
    if behind_the_door(found):
        return too_late(found.run, found.region)
    return None


def behind_the_door(found: Known) -> bool:
    """Whether a promotion has begun in its Region, or has made it the active one. Pure.

    A drill opens no door: of a game day, the failover that it has started does.
    """
    head = found.head
    return found.kind != _DRILL and (head.door_opened or is_active(head, found.region))


def is_active(head: Head, region: str) -> bool:
    """Whether the Region has become the active one. Pure.

    A ledger that knows of no activation would name whichever Region it was asked in.
    """
    return head.active == region and head.active_epoch > 0


def too_late(run: str, region: str) -> Refused:
    """Of a run behind the door."""
    what = f"{run} in {region} is behind the one-way door: it goes forward only, and nothing was stopped"
    return Refused(what, do="let it end; then relight failback is the way back", code=Exit.TOO_LATE)


def aftermath(kind: str, deployed: Deployed, region: str) -> str:
    """What undoes a run of that kind that was stopped, in a sentence. Pure."""
    if kind == _DRILL:
        return "the sweep takes what it has made, at once and again within the hour, and gives its lock back"
    again = "start it again whenever it suits, it goes on from what it finds" if kind == "failback" else ""
    probe = f"the probe of {region} starts a run within a minute that puts back what it had begun"
    return "; ".join(part for part in (probe, again) if part)


@dataclass(frozen=True)
class Cancelling:
    """One cancellation on its way. What is said goes to `show`, a line each; the rest is in seconds."""

    deployed: Deployed
    aws: Aws
    show: Callable[[str], None]
    clock: Callable[[], float] = time.time
    pause: float = 2.0
    patience: float = PATIENCE_SECONDS
    late: float = LATE_HANDLER_SECONDS
    """How long a handler of a run that was stopped may still be at work."""

    def cancel(self, wish: Wish, *, follow: bool) -> Cancelled:
        """Decline it or stop it, and wait until it is undone. Refused where it cannot be, or that takes too long."""
        by = identity(self.deployed, self.aws, self.deployed.regions)
        found = self._its_switchover(find(self.deployed, wish.run, self.aws, by), by)
        refused = objection(found)
        if refused is not None:
            raise refused
        assert found.execution is not None, "a run without an execution was objected to"
        done = Cancelled(found.region, found.execution, found.kind, "stopped", by, wish.because, None, "")
        if found.asks and self._decline(replace(wish, run=found.run), found.region):
            return self._declined(done, follow=follow)
        self._stop(done)
        after = aftermath(found.kind, self.deployed, found.region)
        self.show(f"{found.run} in {found.region} is stopped by {by}, because: {wish.because}")
        self.show(f"  what follows: {after}")
        self._warn(found)
        if not follow:
            return replace(done, sentence=after)
        return self._undone(done)

    def _its_switchover(self, found: Known, by: str) -> Known:
        """The run that moves the application on behalf of this one, where one is on: that is what has to be ended.

        The failback, or the drill, hears of its end, undoes its own, and records it.
        """
        owner = found.head.owner or ""
        if found.status != "RUNNING" or found.holds or kind_of(owner) != _FAILOVER:
            return found
        try:
            child = find(Deployed(self.deployed.application, (found.region,)), name_of(owner), self.aws, by)
        except Refused as refused:
            if refused.code is not Exit.UNKNOWN_RUN:
                raise
            return found
        if child.input.get("parent") != found.execution or child.status != "RUNNING":
            return found
        self.show(f"{found.run} waits for its switchover {child.run}: that is ended, and {found.run} ends by itself")
        return child

    def _decline(self, wish: Wish, region: str) -> bool:
        """Whether its question was declined; False where it is closed by now."""
        there = Deployed(self.deployed.application, (region,), self.deployed.account)
        try:
            Answering(there, self.aws, self.show, self.clock).give(
                answering.Wish(wish.run, Reply.DECLINED, wish.because)
            )
        except Refused as refused:
            if refused.code not in _CLOSED_MEANWHILE:
                raise
            self.show(f"its question is closed by now ({refused.what}): it is stopped")
            return False
        return True

    def _declined(self, done: Cancelled, *, follow: bool) -> Cancelled:
        """It undoes its own work, and says what came of that."""
        how = replace(done, how="declined")
        if not follow:
            return replace(how, sentence="it stands down, and undoes what it has done")
        end = self._its_end(done)
        if end.status != "STOOD_DOWN":
            what = f"{name_of(done.execution)} in {done.region} ended {end.status}: {end.sentence}"
            raise Refused(what, do="relight status says what is left of it", code=Exit.OTHERWISE)
        return replace(how, undone=True, sentence=end.sentence)

    def _its_end(self, done: Cancelled) -> Ended:
        run = Following(self.deployed, self.aws, done.region, done.execution, self.show, self.clock, self.pause)
        return run.to_its_end()

    def _stop(self, done: Cancelled) -> None:
        """Refused where it has opened the door meanwhile, or has ended by itself."""
        run = name_of(done.execution)
        with reading(self.deployed, done.region, self.aws) as ledger:  # once more: declining may have taken a while
            head = ledger.head()
        if head.door_opened and head.owner == done.execution:
            raise too_late(run, done.region)
        cause = f"{done.because} (by {done.by})"
        with reaching(done.region, "stop the run"):
            states = self.aws.client("stepfunctions", done.region)
            try:
                states.stop_execution(executionArn=done.execution, error=CANCELLED, cause=cause)
            except ClientError as error:
                if code_of(error) not in {"ExecutionDoesNotExist", "ValidationException"}:
                    raise
                what = f"{run} in {done.region} has ended by itself meanwhile"
                raise Refused(what, do=described_by(done.region, done.execution), code=Exit.ENDED) from error
        with reaching(done.region, "ask for the run"):
            found = dict(self.aws.client("stepfunctions", done.region).describe_execution(executionArn=done.execution))
        if found["status"] not in {"ABORTED", "RUNNING"}:  # it may say RUNNING for a moment yet
            end = ended(found)
            what = f"{run} in {done.region} has ended by itself meanwhile, {end.status}: {end.sentence}"
            raise Refused(what, do="nothing was stopped", code=Exit.ENDED)

    def _warn(self, found: Known) -> None:
        """Whoever cancels an automatic run may believe that no other one comes."""
        automatic = found.input.get("trigger") == "automatic" or "source" in found.input
        if automatic and found.kind == _FAILOVER:
            options = there(self.deployed, found.region)
            self.show(
                "  while the facts speak for a failover the probe starts another one; to keep runs from beginning:"
            )
            self.show(f"  {relight_here()} freeze --until 2h {options} --peer-region PEER-REGION --reason 'WHY'")

    def _undone(self, done: Cancelled) -> Cancelled:
        """Wait until the ledger says that nothing is left. Refused where it takes too long, or the door was opened."""
        deadline, stopped = time.monotonic() + self.patience, self.clock()
        said = ""
        while True:
            left = self._left_as_far_as_known(done, stopped)
            if not left:
                sentence = "undone: nothing of it is left"
                self.show(f"  {sentence}")
                return replace(done, undone=True, sentence=sentence)
            if left != said:
                self.show(f"  not yet: {left}")
            said = left
            if time.monotonic() >= deadline:
                run = name_of(done.execution)
                what = f"{run} in {done.region} is stopped, and not undone yet: {left}"
                raise Refused(what, do=f"it goes on; {watching(self.deployed, run)}", code=Exit.OTHERWISE)
            time.sleep(self.pause)

    def _left_as_far_as_known(self, done: Cancelled, stopped: float) -> str:
        """As `_left`; AWS may be silent for a while, and the run is stopped all the same."""
        try:
            return self._left(done, stopped)
        except Refused as refused:
            if refused.code not in {Exit.NO_ANSWER, Exit.AWS}:
                raise
            return f"it is not known: {refused.what}"

    def _left(self, done: Cancelled, stopped: float) -> str:
        """What is still to be undone, as a sentence; empty where nothing is. Refused where the door was opened."""
        run = name_of(done.execution)
        with reading(self.deployed, done.region, self.aws) as ledger:
            head = ledger.head()
            drills = ledger.drills() if done.kind == _DRILL else []
        if done.kind == _DRILL:
            return left_of_a_drill(run, done.execution, head, drills)
        if head.door_opened or is_active(head, done.region):
            raise self._forward(run, done, head)
        return left_of_a_run(done.execution, head, done.region, self.clock() - stopped, self.late)

    def _forward(self, run: str, done: Cancelled, head: Head) -> Refused:
        """Of a promotion that has begun after all: by a step of this run that came late, or by the next run."""
        if head.promotion is not None and head.promotion.run == run:
            what = f"{run} in {done.region} opened the one-way door in the very moment in which it was stopped"
            return Refused(what, do=f"the next run goes forward from there: {self._watch()}", code=Exit.TOO_LATE)
        next_run = name_of(head.owner) or "another run"
        what = f"{run} in {done.region} was stopped, but the facts spoke for a failover: {next_run} has gone forward"
        return Refused(what, do=f"follow that: {self._watch()}", code=Exit.TOO_LATE)

    def _watch(self) -> str:
        region, peer = (*self.deployed.regions, "PEER-REGION")[:2]
        return f"{relight_here()} watch {there(self.deployed, region)} --peer-region {peer}"


def left_of_a_run(execution: str, head: Head, here: str, passed: float, late: float) -> str:
    """What is left of a failover or failback that was stopped `passed` seconds ago; empty where nothing is. Pure."""
    standing = head if head.active_epoch else replace(head, active="")
    if left_over(standing, here):
        begun = {
            "capacity is raised": head.capacity_before is not None,
            "writes are stopped": head.quiesce is not None,
            "the Region is half switched": head.state != "steady",
        }
        return ", ".join(name for name, is_so in begun.items() if is_so) or "a run is at work on it"
    if head.owner == execution and passed < late:
        return f"a step of it may be at work for {late:.0f} s yet"
    return ""


def left_of_a_drill(run: str, execution: str, head: Head, drills: list[Any]) -> str:
    """What is left of a drill that was stopped; empty where nothing is. Pure."""
    mine = next((drill for drill in drills if drill.run == run), None)
    if mine is not None and mine.left:
        return ", ".join(one_line(str(name), 200) for name in mine.left)
    return "the sweep has not come yet" if head.owner == execution or (mine and mine.ended_at is None) else ""


def as_document(done: Cancelled) -> dict[str, object]:
    """As JSON has it."""
    return {
        "run": name_of(done.execution),
        "region": done.region,
        "execution": done.execution,
        "kind": done.kind,
        "how": done.how,
        "by": done.by,
        "because": done.because,
        "undone": done.undone,
        "sentence": done.sentence,
    }


def closing(done: Cancelled) -> Iterator[str]:
    """What it came to, for people."""
    run = name_of(done.execution)
    yield f"{run} in {done.region} is cancelled ({done.how}): {done.sentence}"
    if done.how == "stopped":
        cause = f"--error {CANCELLED} --cause 'WHY'"
        yield f"  the same by hand: {aws_here()} stepfunctions stop-execution --region {done.region} \\"
        yield f"    --execution-arn {done.execution} {cause}"


def conduct(deployed: Deployed, wish: Wish, *, follow: bool, as_json: bool) -> int:
    """Cancel it, and say so: the exit code."""
    show = silent if as_json else printed
    cancelling = Cancelling(deployed, Aws(), show, pause=following.PAUSE_SECONDS)
    done = cancelling.cancel(wish, follow=follow)
    if as_json:
        following.as_json(as_document(done))
    else:
        for line in closing(done):
            printed(line)
    return Exit.DONE
