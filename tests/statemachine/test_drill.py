"""Drills run from their definition: each end that each kind can have, and that nothing is left of any of them."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from botocore.exceptions import ClientError
from jsonschema import Draft202012Validator
from relight.signal import Seen, Signal, View

from tests.statemachine.drilling import (
    GAMEDAY,
    PLAN,
    PROMOTE,
    RESTORE,
    Drills,
    drilling,
    unheard,
)
from tests.statemachine.harness import Outcome, until
from tests.statemachine.homecoming import AWAY, FAILBACK, FAILOVER, HOME, VirtualTime, held_at
from tests.statemachine.standby import AUTOMATIC, DEFINITION, RAISED, StepBrokenError, client
from tests.unit.practice import STANDBY
from tests.unit.rds import error

pytestmark = pytest.mark.drill

BROKEN = StepBrokenError("the API said no")
IMPATIENT: dict[str, Any] = {"AskAgainSeconds": 1, "ApprovalSeconds": 0}
STEPS = ("plan", "database", "site", "writes", "teardown")


@pytest.fixture
def both() -> Iterator[Drills]:
    with drilling() as made:
        yield made


def status(execution: str) -> tuple[str, str | None]:
    """Of an execution, with its error."""
    found = client("stepfunctions", execution.split(":")[3]).describe_execution(executionArn=execution)
    return found["status"], found.get("error")


def steps(both: Drills) -> list[str]:
    """The steps of the drill, as it came to them first."""
    return list(dict.fromkeys(step.removeprefix("drill ") for step in both.away.looks))


@cache
def record() -> Draft202012Validator:
    """What evidence may say."""
    return Draft202012Validator(json.loads((DEFINITION.parents[1] / "docs/evidence.schema.json").read_text()))


def go(both: Drills, given: Any) -> tuple[Outcome, dict[str, Any]]:
    """A drill, from its start to its end, and its evidence, which is a whole record."""
    execution = both.start(given)
    ended = both.away.drill.outcome(execution)
    kept = both.away.evidence(execution)
    record().validate(kept)
    assert (kept["kind"], kept["who"]["reason"], kept["drill"]["kind"]) == (
        "drill",
        given["reason"],
        given.get("kind", "restore"),
    )
    return ended, kept


# Each kind comes to its end.


def test_a_plan_touches_nothing(both: Drills) -> None:
    ended, kept = go(both, PLAN)

    assert (ended.output["status"], ended.output["finding"]) == ("SUCCEEDED", "planned")
    assert ended.output["sentence"].startswith("a drill of the kind plan may begin: about ")
    assert steps(both) == ["plan", "record"]
    both.assert_nothing_made()
    assert kept["status"] == "SUCCEEDED"
    (noted,) = both.practised
    assert (noted.kind, noted.status, noted.left) == ("plan", "SUCCEEDED", ())


def test_a_restore_comes_from_a_backup_to_a_write_and_leaves_nothing(both: Drills) -> None:
    ended, kept = go(both, RESTORE)

    assert (ended.output["status"], ended.output["finding"]) == ("SUCCEEDED", "rehearsed")
    assert ended.output["sentence"].startswith("the drill has come to its end: order relight-")
    assert steps(both) == [*STEPS, "record"]
    both.assert_as_before()
    assert {"CopyDBSnapshot", "RestoreDBInstanceFromDBSnapshot", "CreateStack"} <= {*both.away.cloud.made}
    assert kept["drill"] | {"source": None, "restore_seconds": None} == {
        "kind": "restore",
        "database": f"{STANDBY}-drill-1",
        "promote_seconds": None,
        "restore_seconds": None,
        "source": None,
        "left_over": [],
    }
    assert kept["drill"]["restore_seconds"] >= 0
    assert kept["rpo_seconds"] is None
    (noted,) = both.practised
    assert (noted.kind, noted.epoch, noted.status, noted.left) == ("restore", 1, "SUCCEEDED", ())
    assert "Nothing is left of it." in both.away.messages()[-1]
    assert both.away.bus.of("drill") == ["Run Started", "Drill Ended"]


def test_a_restore_from_a_backup_of_this_region_needs_no_database_there(both: Drills) -> None:
    backup = f"arn:aws:rds:{AWAY}:123456789012:auto-backup:ab-1"
    until_then = {"LatestTime": datetime(2026, 11, 21, tzinfo=UTC)}
    both.away.cloud.rds.backups.append(
        {
            "DBInstanceAutomatedBackupsArn": backup,
            "DBInstanceIdentifier": "shop-primary",
            "Region": HOME,
            "Status": "replicating",
            "AllocatedStorage": 20,
            "RestoreWindow": until_then,
        }
    )
    unreachable(both)

    ended, kept = go(both, RESTORE)

    assert ended.output["finding"] == "rehearsed"
    assert both.away.cloud.rds.names == ["RestoreDBInstanceToPointInTime", "DeleteDBInstance"]
    assert kept["drill"]["source"] == f"replicated-backup {backup}"
    both.assert_as_before()


def test_without_a_site_a_write_is_proven_at_the_database(both: Drills) -> None:
    both.away.given(bucket=None)

    ended, kept = go(both, RESTORE)

    assert ended.output["sentence"] == f"the drill has come to its end: {STANDBY}-drill-1 took a write"
    assert (both.away.cloud.templates.calls, both.away.cloud.stacks.calls) == ([], [])
    assert kept["status"] == "SUCCEEDED"
    both.assert_as_before()


def test_a_promotion_is_asked_about_and_timed(both: Drills) -> None:
    both.away.answer = "approve"

    ended, kept = go(both, PROMOTE)

    assert (ended.output["status"], ended.output["finding"]) == ("SUCCEEDED", "rehearsed")
    asked = ["plan", "record ask", "record answer", "database", "promote", "site", "writes", "teardown", "record"]
    assert steps(both) == asked
    both.assert_as_before()
    assert both.away.cloud.rds.names.count("PromoteReadReplica") == 1
    assert (kept["drill"]["restore_seconds"], kept["drill"]["promote_seconds"] >= 0) == (None, True)
    assert kept["answer"]["by"] == "ann"
    question = both.away.messages()[0]
    assert "keeps a slot there until its end" in question
    assert f"{STANDBY} stays as it is" in question
    told = ["Run Started", "Question Asked", "Question Answered", "Drill Ended"]
    assert both.away.bus.of("drill") == told


@pytest.mark.parametrize("given", [PROMOTE, GAMEDAY], ids=["promote", "gameday"])
@pytest.mark.parametrize(
    ("answer", "finding", "sentence"),
    [
        ("decline", "Declined", "declined by ann: not today"),
        ("perhaps", "Declined", "declined by ann: it is quiet now"),
        (None, "Unanswered", "nobody answered in time"),
    ],
)
def test_without_an_approval_nothing_is_made(given: Any, answer: str | None, finding: str, sentence: str) -> None:
    with drilling(**({} if answer else IMPATIENT)) as both:
        both.away.answer = answer

        ended, kept = go(both, given)

        assert (ended.output["status"], ended.output["finding"]) == ("STOOD_DOWN", finding)
        assert ended.output["sentence"] == f"{sentence}; nothing was touched"
        both.assert_nothing_made()
        assert both.away.machine.executions() == []
        assert kept["status"] == "STOOD_DOWN"
        assert both.practised[0].status == "STOOD_DOWN"


@pytest.mark.parametrize("given", [PROMOTE, GAMEDAY], ids=["promote", "gameday"])
def test_what_was_asked_about_is_looked_at_once_more_after_the_answer(both: Drills, given: Any) -> None:
    """Hours may have passed, and the active Region may be lost by now."""
    both.away.answer = "approve"
    both.away.during = {"record answer": lambda: seen_down(both)}

    ended, kept = go(both, given)

    assert (ended.output["status"], ended.output["finding"]) == ("STOOD_DOWN", "DrillRefused")
    assert "eu-west-1 is seen to be down" in ended.output["sentence"]
    assert "Look once more" in ended.states
    assert steps(both) == ["plan", "record ask", "record answer", "record"]
    both.assert_nothing_made()
    assert both.away.machine.executions() == []
    assert kept["who"]["approved_by"] == "ann"
    assert both.practised[0].status == "STOOD_DOWN"


def test_who_does_not_answer_is_asked_again() -> None:
    with drilling(AskAgainSeconds=1, ApprovalSeconds=2) as both:
        execution = both.start(PROMOTE, "asking")
        second = until(lambda: (found := both.away.ledger.question("asking")) and found.asked == 2 and found, "asking")
        both.away.reply(second.token, "approve")

        assert both.away.drill.outcome(execution).output["finding"] == "rehearsed"

        both.assert_as_before()
        assert both.away.bus.of("drill").count("Question Asked") == 2


# A game day.


def test_a_game_day_fails_over_and_goes_home_again(both: Drills) -> None:
    """With the product's own failover and failback, each with its own lock and record."""
    both.away.answer = both.home.answer = "approve"
    execution = both.start(GAMEDAY)
    ended = both.away.drill.outcome(execution)

    assert (ended.output["status"], ended.output["finding"]) == ("SUCCEEDED", "rehearsed")
    assert ended.output["sentence"].startswith("the game day is over: gameday-home-1-")
    assert "ended SUCCEEDED: home: " in ended.output["sentence"]
    both.assert_home()
    (failover,) = both.away.machine.executions()
    (home,) = both.home.failback.executions()
    handed = next(payload["run"] for name, payload in ended.calls if name == "promote")
    assert (handed["owner"], handed["mode"], handed["epoch"]) == (failover, "planned", 2)
    assert "Take over the lock" in both.away.machine.states(failover)
    assert both.away.evidence(failover)["status"] == "SUCCEEDED"
    assert both.home.evidence(home)["to"] == "home"
    kept = both.away.evidence(execution)
    assert (kept["status"], kept["drill"]["kind"]) == ("SUCCEEDED", "gameday")
    assert ended.states.count("Fail over") == 1
    assert both.away.looks.count("drill home") > 1
    assert ended.states.count("Take lock") > 1, "the lock is taken once more for the record"
    assert both.away.cloud.made == []
    told = ["Run Started", "Question Asked", "Question Answered", "Drill Ended"]
    assert both.away.bus.of("drill") == told
    assert both.away.bus.of("failover").count("Run Started") == 1
    assert both.practised[0].status == "SUCCEEDED"


def test_whoever_wants_to_stay_ends_the_game_day_with_that(both: Drills) -> None:
    both.away.answer, both.home.answer = "approve", "stay"

    ended, _ = go(both, GAMEDAY)

    assert (ended.output["status"], ended.output["finding"]) == ("SUCCEEDED", "rehearsed")
    assert "the other Region is home from now on" in ended.output["sentence"]
    assert [side.ledger.head().active for side in both.sides] == [AWAY, AWAY]
    assert [side.ledger.head().owner for side in both.sides] == [None, None]


def assert_red(both: Drills, ended: Outcome, *sentences: str) -> None:
    """A red execution that says where, in people's ears too, and a free lock."""
    assert (ended.status, ended.error) == ("FAILED", "DrillFailed")
    assert ended.cause is not None
    assert all(sentence in ended.cause for sentence in sentences), ended.cause
    assert both.away.ledger.head().owner is None
    assert "ended FAILED" in both.away.messages()[-1]
    assert both.practised[-1].status == "FAILED"
    assert both.away.bus.of("drill")[-1] == "Drill Ended"


def test_nobody_goes_home_where_a_person_declines_to(both: Drills) -> None:
    both.away.answer, both.home.answer = "approve", "decline"

    ended, _ = go(both, GAMEDAY)

    assert_red(both, ended, "the game day is over: gameday-home-1-", "ended STOOD_DOWN: declined by ann")
    assert both.away.ledger.head().active == AWAY


def test_a_failover_that_stands_down_is_told_and_nobody_goes_home(both: Drills) -> None:
    both.away.answer = "approve"
    both.away.verdicts[0] = {"action": "stand_down", "finding": "frozen", "sentence": "changes are frozen"}

    ended, kept = go(both, GAMEDAY)

    assert (ended.output["status"], ended.output["finding"]) == ("STOOD_DOWN", "not_failed_over")
    assert "is SUCCEEDED: changes are frozen" in ended.output["sentence"]
    both.assert_nothing_made()
    assert both.home.failback.executions() == []
    assert kept["status"] == "STOOD_DOWN"


@pytest.mark.parametrize("step", ["quiesce stop", "promote"])
def test_a_failover_that_fails_before_the_door_is_told_and_has_undone_what_it_did(both: Drills, step: str) -> None:
    both.away.answer = "approve"
    both.away.breaks = {step: BROKEN}

    ended, _ = go(both, GAMEDAY)

    assert_red(both, ended, "the failover arn:aws:states:eu-central-1:", "is FAILED: ", "StepBrokenError")
    both.assert_nothing_made(tried=True)
    assert both.home.failback.executions() == []


def test_a_failover_that_fails_behind_the_door_leaves_it_open_for_the_next(both: Drills) -> None:
    both.away.answer = "approve"
    both.away.breaks = {"verify writes": BROKEN}

    ended, _ = go(both, GAMEDAY)

    assert_red(both, ended, "is FAILED: ", "behind the one-way door")
    assert both.away.ledger.head().door_opened
    assert both.home.failback.executions() == []
    both.away.breaks = {}
    both.away.verdicts[0] = {"action": "proceed", "finding": "half_done", "sentence": "half done"}
    assert both.away.run(AUTOMATIC).output["status"] == "SUCCEEDED"


def test_a_failover_that_nobody_can_see_is_waited_for_until_it_must_be_over() -> None:
    clock = VirtualTime()
    with drilling(clock, children=False) as both:
        both.away.answer = "approve"
        began = clock()
        both.away.drill.holds.fails["Follow the failover"] = unheard("DescribeExecution")

        ended, _ = go(both, GAMEDAY)

        assert_red(both, ended, "the failover arn:aws:states:eu-central-1:", "is UNSEEN: ")
        assert 5 * 60 <= clock() - began < 10 * 60
        assert both.home.failback.executions() == []


def test_a_failover_that_is_killed_is_told_and_the_next_one_finishes_it(both: Drills) -> None:
    both.away.answer = "approve"
    held = both.away.machine.holds.hold("Promote replica: promote", held_at(AWAY, FAILOVER))
    execution = both.start(GAMEDAY)
    both.away.machine.stop(held.wait())

    ended = both.away.drill.outcome(execution)

    assert_red(both, ended, "is ABORTED: the orchestrator is killed")
    assert both.away.ledger.head().door_opened
    held.see_off()
    both.away.verdicts[0] = {"action": "proceed", "finding": "half_done", "sentence": "half done"}
    assert both.away.run(AUTOMATIC).output["status"] == "SUCCEEDED"


def test_a_peer_that_does_not_answer_is_asked_again_for_the_way_home(both: Drills) -> None:
    both.away.answer = both.home.answer = "approve"
    far = both.away.drilling.peer_machines
    silent = {"left": 2}

    def describe(**given: Any) -> Any:
        silent["left"] -= 1
        if silent["left"] >= 0:
            raise error("InternalServerError", "try again", "DescribeExecution", 500)
        return far.describe_execution(**given)

    both.away.silence(describe)

    assert both.go(GAMEDAY).output["finding"] == "rehearsed"
    assert silent["left"] < 0
    both.assert_home()


def test_a_failover_that_step_functions_does_not_know_yet_is_looked_for_again(both: Drills) -> None:
    both.away.answer = both.home.answer = "approve"
    both.away.machines.left = 2

    ended = both.go(GAMEDAY)

    assert (ended.output["finding"], both.away.machines.left) == ("rehearsed", 0)
    both.assert_home()


def test_a_way_home_that_is_refused_for_good_is_told_at_once(both: Drills) -> None:
    both.away.answer = "approve"

    def describe(**_given: Any) -> Any:
        raise error("AccessDeniedException", "not authorized", "DescribeExecution", 400)

    both.away.silence(describe)

    ended, _ = go(both, GAMEDAY)

    assert_red(both, ended, "this Region serves, and the way home was not seen to its end: ClientError", "authorized")
    assert both.away.ledger.head().active == AWAY


def test_a_way_home_that_is_not_at_its_end_in_time_is_named_and_goes_on() -> None:
    with drilling(RunSeconds=0, HardenSeconds=0, ReprotectSeconds=0, ApprovalSeconds=1) as both:
        both.away.answer = both.home.answer = "approve"
        both.home.waits = {"reprotect": 100_000}
        held = both.away.drill.holds.hold("The way home could not be followed")
        execution = both.start(GAMEDAY)
        held.wait()
        both.home.waits = {}
        both.settle_but(execution)
        held.let_go()

        ended = both.away.drill.outcome(execution)

        sentences = ("this Region serves, and the way home was not seen to its end: DeadlinePassed", "gameday-home-1-")
        assert_red(both, ended, *sentences)
        both.assert_home()


def test_behind_a_game_day_the_lock_is_waited_for(both: Drills) -> None:
    """Whoever has it for a moment."""
    both.away.answer = both.home.answer = "approve"
    holds = both.away.drill.holds
    last = holds.hold("Is it home again", held_at(AWAY, "relight-shop-drill"))
    execution = both.start(GAMEDAY)
    last.wait()
    until(lambda: all(map(both.home.failback.has_ended, both.home.failback.executions())), "the way home")
    both.settle_but(execution)
    both.away.verdicts[0] = {"action": "stand_down", "finding": "primary_up", "sentence": "home is well"}
    probes = holds.hold("Warm up", held_at(AWAY, FAILOVER))
    other = both.away.machine.start(AUTOMATIC, name="probe")
    probes.wait()
    last.let_go()
    until(lambda: "Wait for the lock" in both.away.drill.states(execution), "the waiting")

    probes.let_go()

    assert both.away.drill.outcome(execution).output["finding"] == "rehearsed"
    assert both.away.machine.outcome(other).output["finding"] == "primary_up"
    assert both.away.ledger.head().owner is None


def test_a_lock_that_is_not_to_be_had_behind_a_game_day_is_told() -> None:
    """Its two runs have records of their own; the sweeper notes that it is over."""
    with drilling(VirtualTime(), children=False) as both:
        both.away.answer = "approve"
        held = both.away.drill.holds.hold("Go home again")
        execution = both.start(GAMEDAY, "game")
        held.wait()
        both.away.lock(both.home.arn("guest"))
        held.let_go()

        ended = both.away.drill.outcome(execution)

        assert (ended.status, ended.error) == ("FAILED", "LockUnavailable")
        assert "guest holds it (the game day is over; its two runs have records of their own)" in str(ended.cause)
        both.sweep()
        (noted,) = both.practised
        assert (noted.run, noted.status, noted.ended_at is not None) == ("game", None, True)


# Refused before anything is touched.


def active_here(both: Drills) -> None:
    both.make_active(both.away, 0)


def half_done(both: Drills) -> None:
    both.away.write_head("SET #state = :promoting", {":promoting": {"S": "promoting"}})


def half_done_there(both: Drills) -> None:
    both.home.write_head("SET #state = :promoting", {":promoting": {"S": "promoting"}})


def left_over(both: Drills) -> None:
    tags = [{"Key": "relight:drill", "Value": "earlier"}, {"Key": "relight:application", "Value": "shop"}]
    both.away.cloud.rds.add(DBInstanceIdentifier=f"{STANDBY}-drill-0", TagList=tags, DbiResourceId="db-0")


def unseen(both: Drills) -> None:
    both.away.cloud.stacks.describe_stacks = refuse  # type: ignore[method-assign]


def refuse(**_given: Any) -> Any:
    raise error("AccessDenied", "not authorized", "DescribeStacks", 403)


def seen_down(both: Drills) -> None:
    ledger, now = both.away.ledger, both.clock()
    down = Signal(View.OUTSIDE, Seen.DOWN, now - 30, now, "_seen.shop.example says down")
    assert ledger.move_signal(down, ledger.signals()[View.OUTSIDE])


def silent_ledger(both: Drills) -> None:
    both.away.reaches_the_peer = False


def too_long(both: Drills) -> None:
    both.away.given(drill_seconds=600.0)


def too_dear(both: Drills) -> None:
    both.away.given(max_usd=0.01)


def no_standby(both: Drills) -> None:
    del both.away.cloud.rds.instances[STANDBY]


def no_replica(both: Drills) -> None:
    del both.away.cloud.rds.instances[STANDBY]["ReadReplicaSourceDBInstanceIdentifier"]


def unreachable(both: Drills) -> None:
    both.away.cloud.peer.reached = False


def no_backup(both: Drills) -> None:
    both.away.cloud.peer.snapshots.clear()


def no_room(both: Drills) -> None:
    both.away.cloud.vcpus = 3.0


def too_large(both: Drills) -> None:
    both.away.cloud.peer.instances["shop-primary"]["AllocatedStorage"] = 101


def busy_primary(both: Drills) -> None:
    both.away.cloud.peer.instances["shop-primary"]["DBInstanceStatus"] = "modifying"


REFUSALS: dict[str, tuple[Callable[[Drills], None], Any, str, str]] = {
    "this Region is active": (active_here, PLAN, "DrillRefused", "eu-central-1 is active: drills run in the standby"),
    "a run here is half done": (half_done, RESTORE, "DrillRefused", "begun and not brought to its end"),
    "a run there is half done": (half_done_there, RESTORE, "DrillRefused", "activates eu-west-1 is under way"),
    "the active Region is seen down": (seen_down, PLAN, "DrillRefused", "(outside: _seen.shop.example says down)"),
    "the other ledger is silent": (silent_ledger, RESTORE, "PeerUnreachable", "the ledger of eu-west-1 does not"),
    "a throwaway is left over": (left_over, RESTORE, "DrillRefused", "has left something over: database shop-dr-dr"),
    "what is left cannot be seen": (unseen, RESTORE, "DrillRefused", "could not be seen: stacks"),
    "no standby": (no_standby, RESTORE, "DrillRefused", "there is no standby to practise with"),
    "a standby that is none": (no_replica, RESTORE, "DrillRefused", "rebuild the standby before you practise"),
    "the primary is unreachable": (unreachable, PROMOTE, "PeerUnreachable", "a drill of the kind promote needs it"),
    "nobody to play with": (unreachable, GAMEDAY, "PeerUnreachable", "a drill of the kind gameday needs it"),
    "a backup that is unreachable": (unreachable, RESTORE, "PeerUnreachable", "a drill of the kind restore needs it"),
    "no backup": (no_backup, RESTORE, "BackupNotFound", "a restore has nothing to begin with"),
    "no quota": (no_room, RESTORE, "DrillRefused", "vCPUs of standard EC2 instances: 0 of 3 are in use"),
    "too large": (too_large, PROMOTE, "DrillTooLarge", "has 101 GiB, and a drill copies 100 at most"),
    "too long": (too_long, PROMOTE, "DrillTooLarge", "until its write, and may take 10 min (parameter DrillSeconds)"),
    "too dear": (too_dear, RESTORE, "DrillTooLarge", "USD, and may cost 0.01 (parameter DrillMaxUsd)"),
    "a primary that is busy": (busy_primary, PROMOTE, "DrillRefused", "the database in eu-west-1 is modifying"),
}


@pytest.mark.parametrize(("prepare", "given", "finding", "sentence"), REFUSALS.values(), ids=REFUSALS)
def test_what_stands_in_the_way_is_refused_and_nothing_is_made(
    both: Drills, prepare: Callable[[Drills], None], given: Any, finding: str, sentence: str
) -> None:
    prepare(both)
    before = both.picture()

    ended, kept = go(both, given)

    assert (ended.output["status"], ended.output["finding"]) == ("STOOD_DOWN", finding)
    assert sentence in ended.output["sentence"]
    assert steps(both) == ["plan", "record"]
    assert both.away.cloud.made == []
    assert both.picture() == before
    assert both.away.ledger.head().owner is None
    assert both.practised == []
    assert (kept["status"], kept["finding"]) == ("STOOD_DOWN", finding)
    assert f"ended STOOD_DOWN: {ended.output['sentence'][:60]}" in both.away.messages()[-1]
    assert both.away.bus.of("drill") == ["Run Started", "Drill Ended"]


WRONG: list[dict[str, Any]] = [
    {},
    {"reason": "  "},
    {"reason": 5},
    {"kind": "restore"},
    {"reason": "real", "kind": "fire"},
    {"reason": "real", "kind": None},
    {"reason": "real", "keep_minutes": -1},
    {"reason": "real", "keep_minutes": 481},
    {"reason": "real", "keep_minutes": 1.5},
    {"reason": "real", "keep_minutes": "60"},
    {"reason": "real", "keep_minutes": True},
    {"reason": "real", "keep_minutes": None},
    {"reason": "real", "trigger": "automatic"},
]


def test_a_bad_request_is_refused_before_anything_is_touched(both: Drills) -> None:
    for given in WRONG:
        ended = both.go(given)

        assert (ended.status, ended.error) == ("FAILED", "InputInvalid"), given
        assert ended.cause, given  # which test_inputs.py reads
        assert ended.states == ["Read the request", "Refuse the request"], given
    assert both.away.ledger.head().epoch == 0
    both.assert_nothing_made()


# Others that hold the lock.


def in_progress(both: Drills, owner: str) -> None:
    """A drill that starts now names the owner and ends."""
    before = both.picture()
    ended = both.go(RESTORE)
    assert ended.output == {
        "status": "ALREADY_IN_PROGRESS",
        "finding": "in_progress",
        "sentence": f"already in progress: {owner}",
    }
    assert both.picture() == before
    assert both.away.cloud.made == []
    assert both.away.ledger.head().owner == owner
    assert both.away.bus.of("drill") == []


@pytest.mark.parametrize("state", ["Open the run", "Promote replica"])
def test_a_drill_does_not_begin_while_a_failover_is_at_work(both: Drills, state: str) -> None:
    held = both.away.machine.holds.hold(state, held_at(AWAY, FAILOVER))
    failover = both.away.machine.start(AUTOMATIC)
    held.wait()

    in_progress(both, failover)

    held.let_go()
    assert both.away.machine.outcome(failover).output["status"] == "SUCCEEDED"


def test_a_drill_does_not_begin_while_a_failback_is_at_work(both: Drills) -> None:
    held = both.away.failback.holds.hold("Open the run", held_at(AWAY, FAILBACK))
    failback = both.away.failback.start({"reason": "a standby", "to": "protected"})
    held.wait()
    in_progress(both, failback)


def test_a_drill_does_not_begin_while_a_failback_of_the_other_region_is_a_guest(both: Drills) -> None:
    """Whose execution cannot be asked about here."""
    both.make_active(both.away, 4)
    held = both.home.failback.holds.hold("Build the replica")
    failback = both.home.start({"reason": "a standby", "to": "protected"})
    held.wait()

    in_progress(both, failback)

    held.let_go()
    assert both.home.failback.outcome(failback).output["finding"] == "protected"


def test_a_second_drill_ends_quietly(both: Drills) -> None:
    held = both.away.drill.holds.hold("Build the site")
    first = both.start(RESTORE)
    held.wait()
    made = list(both.away.cloud.made)

    second = both.go(PROMOTE)

    assert second.output["status"] == "ALREADY_IN_PROGRESS"
    assert first in second.output["sentence"]
    assert both.away.cloud.made == made
    held.let_go()
    assert both.away.drill.outcome(first).output["finding"] == "rehearsed"
    both.assert_as_before()


def test_a_dead_owner_does_not_keep_the_lock(both: Drills) -> None:
    held = both.away.machine.holds.hold("Open the run", held_at(AWAY, FAILOVER))
    both.away.machine.start(AUTOMATIC)
    both.away.machine.stop(held.wait())
    held.see_off()

    ended = both.go(RESTORE)

    assert "Take over the lock" in ended.states
    assert ended.output["finding"] == "rehearsed"
    both.assert_as_before()


def test_a_lock_that_has_run_out_is_taken(both: Drills) -> None:
    both.away.lock(both.home.arn("long ago"))
    both.away.write_head("SET expires_at = :past", {":past": {"N": "1"}})

    assert both.go(RESTORE).output["finding"] == "rehearsed"

    both.assert_as_before()


# A ledger that does not answer, or whose answers are lost.


def test_a_lost_answer_to_the_lock_does_not_lock_the_drill_out(both: Drills) -> None:
    both.away.lose_answers(1)

    ended = both.go(RESTORE)

    assert ended.states[2:6] == ["Take lock", "Who holds the lock", "Is it this run", "Open the run"]
    assert (ended.output["finding"], both.away.ledger.head().epoch) == ("rehearsed", 1)
    both.assert_as_before()


@pytest.mark.parametrize(("code", "status"), [("AccessDeniedException", 400), ("InternalServerError", 500)])
def test_an_owner_of_whom_nothing_is_known_keeps_the_lock(both: Drills, code: str, status: int) -> None:
    owner = both.away.arn("somebody")
    both.away.lock(owner)
    both.away.drill.holds.fails["Is its owner alive"] = unheard("DescribeExecution", code, status)

    ended = both.go(RESTORE)

    assert (ended.status, ended.error) == ("FAILED", "LockUnavailable")
    assert both.away.ledger.head().owner == owner
    assert (both.away.cloud.made, both.away.looks) == ([], [])


def test_a_lock_that_could_not_be_given_back_is_given_back_by_the_sweeper(both: Drills) -> None:
    both.away.drill.holds.fails["Release lock"] = unheard("UpdateItem")

    ended = both.go(RESTORE)

    assert ended.output["finding"] == "rehearsed"
    assert both.away.ledger.head().owner is not None
    both.sweep()
    both.assert_as_before()


# Steps that fail.

STAGES = {
    "plan": "See what would be done",
    "database": "Make the throwaway database",
    "promote": "Promote the throwaway",
    "site": "Build the site",
    "writes": "Try a write",
}


@pytest.mark.parametrize("step", STAGES)
def test_a_failure_says_where_and_everything_is_taken_away(both: Drills, step: str) -> None:
    both.away.answer = "approve"
    both.away.breaks = {f"drill {step}": BROKEN}

    ended, kept = go(both, PROMOTE)

    assert (ended.status, ended.error) == ("FAILED", "DrillFailed")
    assert ended.cause == f"StepBrokenError: the API said no (in: {STAGES[step]})"
    assert steps(both)[-2:] == ["teardown", "record"]
    both.assert_as_before()
    assert kept["drill"]["left_over"] == []
    assert "ended FAILED" in both.away.messages()[-1]


def test_a_question_that_reaches_nobody_is_a_failure(both: Drills) -> None:
    both.away.breaks = {"record ask": BROKEN}

    ended, _ = go(both, PROMOTE)

    assert_red(both, ended, "StepBrokenError", "(in: Ask a person)")
    both.assert_nothing_made()


def test_an_answer_that_cannot_be_kept_is_an_answer_all_the_same(both: Drills) -> None:
    both.away.answer = "decline"
    both.away.breaks = {"record answer": BROKEN}

    ended, _ = go(both, PROMOTE)

    assert ended.output["sentence"] == (
        "declined (who answered could not be kept: StepBrokenError); nothing was touched"
    )


def rds_refuses(both: Drills) -> None:
    refusal = error("StorageQuotaExceeded", "no more", "RestoreDBInstanceFromDBSnapshot")
    both.away.cloud.rds.refusals = {"RestoreDBInstanceFromDBSnapshot": refusal}


def stack_gives_up(both: Drills) -> None:
    both.away.cloud.stacks.becomes = "ROLLBACK_COMPLETE"


def site_forgets(both: Drills) -> None:
    both.away.shop.change = lambda order: order | {"quantity": 2}


GIVEN_UP = {
    "RDS refuses": (rds_refuses, "ThrowawayNotBuilt: RDS refuses a throwaway database: no more", "database"),
    "a stack is rolled back": (stack_gives_up, "SiteNotBuilt: the stack relight-shop-drill-1 is ROLLBACK", "site"),
    "a write comes back different": (site_forgets, "WriteNotReadBack: order relight-", "writes"),
}


@pytest.mark.parametrize(("prepare", "sentence", "step"), GIVEN_UP.values(), ids=GIVEN_UP)
def test_what_aws_gives_up_is_told_and_everything_is_taken_away(
    both: Drills, prepare: Callable[[Drills], None], sentence: str, step: str
) -> None:
    prepare(both)
    ended, _ = go(both, RESTORE)
    assert_red(both, ended, sentence, f"(in: {STAGES[step]})")
    both.assert_as_before()


def database_hangs(both: Drills) -> None:
    both.away.cloud.rds.stuck = True


def promotion_hangs(both: Drills) -> None:
    both.away.cloud.ears.writable = False


def stack_hangs(both: Drills) -> None:
    both.away.cloud.stacks.becomes = None


def targets_are_ill(both: Drills) -> None:
    both.away.cloud.healthy = False


def site_is_ill(both: Drills) -> None:
    both.away.shop.write_status = 503


def come_round(both: Drills) -> None:
    both.away.cloud.rds.stuck = False


DEADLINES = {
    "a database that does not come": (database_hangs, "database", "is being copied"),
    "a promotion that does not end": (promotion_hangs, "promote", "does not take writes"),
    "a stack that does not come": (stack_hangs, "site", "is CREATE_IN_PROGRESS"),
    "targets that do not get healthy": (targets_are_ill, "site", "0 of 1 instances of the drill's site are healthy"),
    "a site that takes no write": (site_is_ill, "writes", "the write was answered 503"),
}


@pytest.mark.parametrize(("prepare", "step", "sentence"), DEADLINES.values(), ids=DEADLINES)
def test_a_deadline_names_the_stage_that_it_passed_in(
    prepare: Callable[[Drills], None], step: str, sentence: str
) -> None:
    clock = VirtualTime()
    with drilling(clock) as both:
        both.away.answer = "approve"
        prepare(both)
        both.away.during = {"drill teardown": lambda: come_round(both)}
        began = clock()

        ended, _ = go(both, PROMOTE if step == "promote" else RESTORE)

        where = STAGES[step]
        assert_red(both, ended, f"DeadlinePassed: {where} took too long: ", sentence, f"(in: {where})")
        both.assert_as_before()
        assert 60 <= clock() - began < 120


# Its end.


def test_what_aws_does_not_delete_yet_is_tried_again(both: Drills) -> None:
    cloud = both.away.cloud
    cloud.stacks.refusals = [error("ThrottlingException", "Rate exceeded", "DeleteStack")] * 3
    cloud.rds.refusals = {"DeleteDBInstance": error("InvalidDBInstanceState", "backing-up", "DeleteDBInstance")}

    def mend() -> None:
        if both.away.looks.count("drill teardown") > 4:
            cloud.rds.refusals = {}

    both.away.during = {"drill teardown": mend}

    ended, kept = go(both, RESTORE)

    assert ended.output["finding"] == "rehearsed"
    assert both.away.looks.count("drill teardown") > 4
    assert kept["drill"]["left_over"] == []
    both.assert_as_before()


def test_an_end_that_fails_itself_for_a_while_is_tried_again(both: Drills) -> None:
    def mend() -> None:
        if both.away.looks.count("drill teardown") > 2:
            both.away.breaks = {}

    both.away.breaks = {"drill teardown": BROKEN}
    both.away.during = {"drill teardown": mend}

    assert both.go(RESTORE).output["finding"] == "rehearsed"

    assert "Wait until it is gone" in both.away.drill.states(both.away.drill.executions()[0])
    both.assert_as_before()


@pytest.mark.parametrize("raises", [True, False], ids=["it fails", "RDS refuses"])
def test_what_is_left_over_makes_it_red_and_the_sweeper_goes_on(raises: bool) -> None:
    with drilling(VirtualTime()) as both:
        refusal = error("InvalidDBInstanceState", "backing-up", "DeleteDBInstance")
        both.away.cloud.rds.refusals = {"DeleteDBInstance": refusal}
        both.away.breaks = {"drill teardown": BROKEN} if raises else {}

        ended, kept = go(both, RESTORE)

        assert_red(both, ended, "the drill has come to its end: ", "and not all of it could be taken away: ")
        assert kept["finding"] == "left_over"
        database = f"database {STANDBY}-drill-1"
        if raises:
            assert "StepBrokenError (the sweeper goes on)" in str(ended.cause)
            assert "What is left of it is not known" in both.away.messages()[-1]
        else:
            assert kept["drill"]["left_over"] == [database]
            assert both.practised[0].left == (database,)
            assert f"Left of it: {database}" in both.away.messages()[-1]
        assert "has left something over" in both.go(RESTORE).output["sentence"]

        for _ in range(3):  # a stack goes before its template
            both.sweep()
        assert both.practised[0].left == (database,)
        both.away.cloud.rds.refusals, both.away.breaks = {}, {}
        both.sweep_up()

        both.assert_as_before()
        (noted,) = both.practised
        assert (noted.left, noted.status) == ((), "FAILED")
        assert both.go(RESTORE).output["finding"] == "rehearsed"


def test_a_failure_that_leaves_something_over_tells_both() -> None:
    with drilling(VirtualTime()) as both:
        both.away.cloud.rds.refusals = {"DeleteDBSnapshot": error("InvalidDBSnapshotState", "no", "DeleteDBSnapshot")}
        both.away.breaks = {"drill site": BROKEN}

        ended, _ = go(both, RESTORE)

        assert_red(both, ended, "(in: Build the site); and not all of it could be taken away: snapshot shop-dr-drill-1")


def test_a_site_is_kept_for_people_for_as_long_as_they_want() -> None:
    clock = VirtualTime()
    with drilling(clock) as both:
        began = clock()
        there: list[list[str]] = []
        both.away.during = {"drill teardown": lambda: there.append([f"{clock() - began:.0f}", *both.there])}

        ended = both.go({**RESTORE, "keep_minutes": 480})

        assert ended.output["finding"] == "rehearsed"
        (after, *kept), *_ = there
        assert 480 * 60 <= int(after) < 481 * 60
        assert [one.partition(" shop")[0] for one in kept][-2:] == ["database", "snapshot"]
        assert len(kept) == 4
        both.assert_as_before()


def test_a_game_day_serves_from_here_for_as_long_as_people_want() -> None:
    clock = VirtualTime()
    with drilling(clock, children=False) as both:
        both.away.answer = "approve"
        began = clock()

        ended = both.go({**GAMEDAY, "keep_minutes": 120})

        assert ended.output["finding"] == "rehearsed"
        assert clock() - began >= 120 * 60


def test_a_record_that_fails_makes_it_red(both: Drills) -> None:
    both.away.breaks = {"record": BROKEN}

    ended = both.go(RESTORE)

    assert (ended.status, ended.error) == ("FAILED", "DrillFailed")
    assert ended.cause == "the run is over, and its record failed: StepBrokenError"
    both.assert_as_before()


def test_a_failure_is_told_even_where_its_record_fails(both: Drills) -> None:
    both.away.breaks = {"record": BROKEN, "drill site": BROKEN}
    assert both.go(RESTORE).cause == "StepBrokenError: the API said no (in: Build the site)"
    both.assert_as_before()


@pytest.mark.parametrize("step", ["plan", "database", "site", "writes"])
def test_what_a_step_raises_for_a_moment_is_tried_again(both: Drills, step: str) -> None:
    def mend() -> None:
        if both.away.looks.count(f"drill {step}") > 1:
            both.away.breaks = {}

    throttled: Any = {"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}
    both.away.breaks = {f"drill {step}": ClientError(throttled, "DescribeDBInstances")}
    both.away.during = {f"drill {step}": mend}

    assert both.go(RESTORE).output["finding"] == "rehearsed"

    both.assert_as_before()


def test_nobody_who_listens_is_no_reason_to_fail(both: Drills) -> None:
    def refuse(**_given: Any) -> Any:
        raise error("InternalException", "no", "PutEvents", 500)

    both.away.bus.put_events = refuse  # type: ignore[method-assign]

    assert both.go(RESTORE).output["finding"] == "rehearsed"


# Beside a failover.


def test_a_failover_does_not_wait_for_what_a_drill_has_left(both: Drills) -> None:
    """The Region is lost in the middle: the failover is none the worse for it, and the sweeper needs no lock."""
    held = both.away.drill.holds.hold("Try a write")
    drill = both.start(RESTORE)
    held.wait()

    ended = both.away.run(AUTOMATIC)

    assert ended.output["status"] == "SUCCEEDED"
    assert status(drill) == ("ABORTED", "Preempted")
    assert (both.away.capacity, both.away.ledger.head().active) == (RAISED, AWAY)
    assert len(both.there) == 4
    held.see_off()
    head = both.away.ledger.head()
    both.sweep_up()
    both.assert_nothing_left()
    assert both.away.ledger.head() == head
    (noted,) = both.practised
    assert (noted.status, noted.left, noted.ended_at is not None) == (None, (), True)
    assert HOME not in both.writable()
