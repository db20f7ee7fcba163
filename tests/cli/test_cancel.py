"""`relight cancel`: a run ended before its one-way door, and what it had begun undone by the next one."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from relight.drill import Drill, Kind
from relight.head import Capacity, Head, Promotion, State
from relight.policy import Approval
from relight_cli import cancelling, following
from relight_cli.cancelling import Cancelling, Wish, behind_the_door, left_of_a_drill, left_of_a_run
from relight_cli.deployed import Deployed
from relight_cli.execution import Known
from relight_cli.exit_code import Exit, Refused

from tests.cli.by_hand import BOTH, THERE, Difficult, complaint, run
from tests.cli.on_call import ME, document, strangers_credentials
from tests.statemachine.harness import until
from tests.statemachine.pair import APPLICATION_LOST, WELL, Pair, pair
from tests.statemachine.standby import AUTOMATIC, STEADY
from tests.unit.standby import HERE, HOME, NOW, execution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUN = "failover-1-1"
WHY = ("--reason", "it was the wrong application")


@pytest.fixture(autouse=True)
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    strangers_credentials(monkeypatch)
    monkeypatch.setattr(following, "PAUSE_SECONDS", 0.02)


@pytest.fixture
def aws() -> Difficult:
    return Difficult()


@pytest.fixture
def both(aws: Difficult, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """The primary Region is lost, until a test says otherwise."""
    with pair() as made:
        monkeypatch.setattr(cancelling, "Aws", lambda: aws)
        yield made


def begin(both: Pair, place: str, given: dict[str, Any] = AUTOMATIC) -> Callable[[], None]:
    """A run that is at that place; how its handler is seen off."""
    held = both.machine.holds.hold(place)
    both.machine.start(given, name=RUN)
    held.wait()
    return held.see_off


def the_next_run(both: Pair, see_off: Callable[[], None]) -> threading.Thread:
    """What the probe starts within a minute, as soon as the lock's owner is dead; behind it a late handler ends."""

    def come() -> None:
        until(lambda: both.machine.has_ended(execution(RUN)), "the end of the run")
        both.run(AUTOMATIC)
        see_off()

    thread = threading.Thread(target=come)
    thread.start()
    return thread


def test_a_run_before_its_door_is_stopped_and_the_next_one_undoes_it(both: Pair, capfd: Any) -> None:
    see_off = begin(both, "Cut the old side off")
    both.see(WELL)
    assert both.groups.sizes != STEADY
    thread = the_next_run(both, see_off)
    assert run(["cancel", RUN, *WHY, *BOTH]) == Exit.DONE
    thread.join()
    out, error = capfd.readouterr()
    assert error == ""
    lines = out.splitlines()
    assert lines[0] == f"{RUN} in {HERE} is stopped by {ME}, because: it was the wrong application"
    assert lines[1] == (
        f"  what follows: the probe of {HERE} starts a run within a minute that puts back what it had begun"
    )
    assert any("relight freeze --until 2h" in line for line in lines)
    assert "  undone: nothing of it is left" in lines
    assert f"{RUN} in {HERE} is cancelled (stopped): undone: nothing of it is left" in lines
    described = both.machine.client.describe_execution(executionArn=execution(RUN))
    assert (described["status"], described["error"]) == ("ABORTED", "Cancelled")
    assert described["cause"] == f"it was the wrong application (by {ME})"
    assert both.groups.sizes == STEADY
    assert (both.ledger.head().active, both.replica.promotions) == (HOME, [])


def test_a_run_that_asks_is_declined_and_undoes_its_own_work(both: Pair, capfd: Any) -> None:
    both.policy = replace(both.policy, approval=Approval.APPROVE)
    both.see(APPLICATION_LOST)
    both.machine.start(AUTOMATIC, name=RUN)
    until(lambda: both.ledger.question(RUN), "its question")
    assert run(["cancel", RUN, *WHY, *THERE, "--json"]) == Exit.DONE
    said = document(capfd.readouterr().out)
    assert (said["how"], said["undone"], said["by"]) == ("declined", True, ME)
    assert "it was the wrong application" in said["sentence"]
    assert both.groups.sizes == STEADY
    # And once more: it has ended.
    assert run(["cancel", RUN, *WHY, *THERE]) == Exit.ENDED
    assert complaint(capfd).startswith(f"{RUN} in {HERE} has ended SUCCEEDED (it said last: ")


def test_behind_the_door_it_is_too_late_and_nothing_is_stopped(both: Pair, capfd: Any) -> None:
    both.waits = {"verify writes": 10_000}
    begin(both, "Verify writes")
    for words in ([RUN, *WHY, *THERE], [execution(RUN), *WHY, *BOTH, "--no-follow"]):
        assert run(["cancel", *words]) == Exit.TOO_LATE
        assert "behind the one-way door" in complaint(capfd)
    assert run(["cancel", RUN, *WHY, *THERE, "--json"]) == Exit.TOO_LATE
    assert document(capfd.readouterr().out)["error"]["exit"] == "TOO_LATE"
    assert not both.machine.has_ended(execution(RUN))


def test_a_door_that_opens_in_the_very_moment_is_told(both: Pair, aws: Difficult, capfd: Any) -> None:
    both.machine.holds.hold("Verify writes")
    see_off = begin(both, "Promote replica")
    # The handler is under way when the run is stopped, and opens the door before the ledger is asked again.
    aws.before = {"StopExecution": lambda: (see_off(), until(both.promoted_now.is_set, "the promotion"))}
    assert run(["cancel", RUN, *WHY, *THERE]) == Exit.TOO_LATE
    assert "opened the one-way door in the very moment in which it was stopped" in complaint(capfd)
    assert both.ledger.head().active == HERE


def test_without_following_nothing_is_waited_for(both: Pair, capfd: Any) -> None:
    begin(both, "Gather and decide")
    assert run(["cancel", RUN, *WHY, *THERE, "--no-follow", "--json"]) == Exit.DONE
    said = document(capfd.readouterr().out)
    assert (said["how"], said["undone"], said["kind"]) == ("stopped", None, "failover")
    assert said["sentence"].startswith(f"the probe of {HERE} starts a run within a minute")


def test_what_is_not_undone_in_time_is_said(both: Pair, aws: Difficult) -> None:
    begin(both, "Gather and decide")
    until(lambda: both.ledger.head().capacity_before, "the warm-up")
    impatient = Cancelling(Deployed("shop", (HERE,)), aws, lambda _: None, pause=0, patience=0)
    with pytest.raises(Refused) as refused:
        impatient.cancel(Wish(RUN, "why"), follow=True)
    assert refused.value.code is Exit.OTHERWISE
    assert refused.value.what == f"{RUN} in {HERE} is stopped, and not undone yet: capacity is raised"


def test_the_primary_region_may_be_dead(both: Pair, aws: Difficult, capfd: Any) -> None:
    begin(both, "Gather and decide")
    aws.dead = {HOME}
    assert run(["cancel", RUN, *WHY, *BOTH, "--no-follow"]) == Exit.DONE
    capfd.readouterr()
    assert run(["cancel", "failover-9-9", *WHY, *BOTH]) == Exit.NO_ANSWER
    assert complaint(capfd).startswith(f"there is no run failover-9-9 in {HERE}, and elsewhere: ")


REFUSALS = (
    ("GetItem", "AccessDeniedException", Exit.DENIED),
    ("GetItem", "ProvisionedThroughputExceededException", Exit.AWS),
    ("DescribeExecution", "ThrottlingException", Exit.AWS),
    ("StopExecution", "AccessDeniedException", Exit.DENIED),
    ("StopExecution", "ThrottlingException", Exit.AWS),
    ("GetCallerIdentity", "ExpiredToken", Exit.EXPIRED),
    ("GetItem", "ResourceNotFoundException", Exit.NO_LEDGER),
)


def test_what_is_refused_stops_nothing(both: Pair, aws: Difficult, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    begin(both, "Gather and decide")
    for operation, error, code in REFUSALS:
        aws.refuses = {operation: error}
        assert run(["cancel", RUN, *WHY, *THERE, "--json"]) == code, operation
        assert document(capfd.readouterr().out)["error"]["exit"] == code.name
    aws.refuses = {}
    assert run(["cancel", "failover-9-9", *WHY, *THERE]) == Exit.UNKNOWN_RUN
    assert f"the lock is held by {RUN} in {HERE}" in complaint(capfd)
    assert run(["cancel", "failover-9-9", *WHY, "--app", "shop", "--region", HOME]) == Exit.NO_LEDGER
    assert complaint(capfd).startswith(f"the ledger of {HOME} is empty")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setattr(cancelling, "Aws", Difficult)
    assert run(["cancel", RUN, *WHY, *THERE]) == Exit.NO_CREDENTIALS
    assert complaint(capfd)
    assert not both.machine.has_ended(execution(RUN))


@pytest.mark.parametrize("words", [[RUN, *THERE], [RUN, "--reason", "", *THERE], ["", *WHY, *THERE], [RUN, *WHY]])
def test_bad_input_is_one_line(capfd: Any, words: list[str]) -> None:
    assert run(["cancel", *words]) == Exit.BAD_INPUT
    assert complaint(capfd)


# Decided from facts. Pure.

STANDING = Head(True, 5, HOME, State.STEADY, active_epoch=4)
OPEN = replace(STANDING, state=State.PROMOTING, promotion=Promotion("shop-dr", RUN, 5, NOW))
DRILL = "arn:aws:states:eu-central-1:123456789012:execution:relight-shop-drill:drill-1"


def known(head: Head, arn: str = execution(RUN)) -> Known:
    return Known(HERE, arn.rpartition(":")[2], head, arn, {"status": "RUNNING"}, None, None, {}, ())


@pytest.mark.parametrize(
    ("found", "behind"),
    [
        (known(STANDING), False),
        (known(OPEN), True),
        (known(replace(STANDING, active=HERE)), True),
        (known(replace(STANDING, active=HERE, active_epoch=0)), False),
        (known(OPEN, DRILL), False),
        (known(replace(STANDING, active=HERE), DRILL), False),
    ],
)
def test_what_is_behind_the_door(found: Known, behind: bool) -> None:
    assert behind_the_door(found) is behind


@pytest.mark.parametrize(
    ("head", "passed", "left"),
    [
        (STANDING, 0, ""),
        (replace(STANDING, owner=execution(RUN)), 10, "a step of it may be at work for 60 s yet"),
        (replace(STANDING, owner=execution(RUN)), 61, ""),
        (replace(STANDING, capacity_before={"a": Capacity(0, 0, 4)}), 90, "capacity is raised"),
        # Before the first failover nothing says who is active.
        (Head(True, 1, HERE, State.STEADY, capacity_before={"a": Capacity(0, 0, 4)}), 90, "capacity is raised"),
        (
            replace(STANDING, owner="next", state=State.PROMOTING, capacity_before={"a": Capacity(0, 0, 4)}),
            90,
            "capacity is raised, the Region is half switched",
        ),
    ],
)
def test_what_is_left_of_a_run(head: Head, passed: float, left: str) -> None:
    assert left_of_a_run(execution(RUN), head, HERE, passed, 60) == left


@pytest.mark.parametrize(
    ("owner", "drills", "left"),
    [
        (DRILL, [], "the sweep has not come yet"),
        (None, [Drill("drill-1", Kind.RESTORE, 5, NOW)], "the sweep has not come yet"),
        (
            None,
            [Drill("drill-1", Kind.RESTORE, 5, NOW, NOW + 60, None, ("database shop-dr-drill-5",))],
            "database shop",
        ),
        (None, [Drill("drill-1", Kind.RESTORE, 5, NOW, NOW + 60)], ""),
        (None, [], ""),
    ],
)
def test_what_is_left_of_a_drill(owner: str | None, drills: list[Drill], left: str) -> None:
    assert left_of_a_drill("drill-1", DRILL, replace(STANDING, owner=owner), drills).startswith(left)
    assert bool(left_of_a_drill("drill-1", DRILL, replace(STANDING, owner=owner), drills)) is bool(left)


def test_of_a_drill_that_failed_over_the_failover_is_what_is_ended(both: Pair, aws: Difficult, capfd: Any) -> None:
    """The parent waits for its switchover, which has the lock: that is stopped, and the parent hears of it."""
    waiting = {"QueryLanguage": "JSONata", "StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 3600}}}
    waiting["States"]["Wait"]["End"] = True  # type: ignore[index]
    both.machine.holds.hold("Wait")
    parent = both.machine.beside(waiting, "relight-shop-failback").start({}, name="failback-1-1")
    both.see(WELL)
    see_off = begin(both, "Gather and decide", {"reason": "home", "mode": "planned", "parent": parent})
    assert run(["cancel", "failback-1-1", *WHY, *THERE, "--no-follow", "--json"]) == Exit.DONE
    said = document(capfd.readouterr().out)
    assert (said["run"], said["how"]) == (RUN, "stopped")
    until(lambda: both.machine.has_ended(execution(RUN)), "the end of the switchover")
    assert not both.machine.has_ended(parent)
    see_off()
