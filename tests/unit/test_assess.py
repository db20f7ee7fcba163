"""`assess`: the verdict on the facts of now, and what it notes of them."""

from collections.abc import Callable
from typing import Any

import pytest
from relight.assess import assess
from relight.errors import InputInvalid, RunSuperseded
from relight.ledger import Ledger, State
from relight.policy import Approval
from relight.run import Run

from tests.unit.conftest import Clients
from tests.unit.loopback import NameServer, WebServer
from tests.unit.scene import Scene, make_scene
from tests.unit.standby import NOW, Clock, take_lock

type Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def scene(names: NameServer, web: WebServer, clock: Clock, clients: Clients) -> Scene:
    return make_scene(names, web, clock, clients)


@pytest.fixture
def ask(scene: Scene, ledger: Ledger, run: Run, clock: Clock) -> Ask:
    """`ask(event, as_run, **settings)`: one assessment."""

    def once(event: dict[str, Any] | None = None, as_run: Run = run, **changed: Any) -> dict[str, Any]:
        given = {"trigger": "automatic", "reason": "probe"} if event is None else event
        return assess(given, as_run, scene.lookout(ledger, scene.settings(**changed)), ledger, clock)

    return once


def test_a_lost_region_is_proceeded_with_and_its_times_are_noted(
    ask: Ask, scene: Scene, ledger: Ledger, run: Run
) -> None:
    scene.lose()
    scene.has_been_down(ledger, 70, stream=80, outside=65)
    verdict = ask()
    assert (verdict["action"], verdict["finding"]) == ("proceed", "region_lost")
    assert verdict["estimated_loss_seconds"] == 0
    assert verdict["views"]["outside"] == {
        "seen": "DOWN",
        "since": NOW - 65,
        "sentence": "Route 53's checkers do not reach the primary",
    }
    marks, (story,) = ledger.timeline(run.id)
    assert marks == {"t0": NOW - 80, "t1": NOW - 65, "t2": NOW}
    assert marks["t0"] <= marks["t1"] <= marks["t2"]
    assert (story.name, story.ended, story.sentence) == ("assess", NOW, verdict["sentence"])
    assert story.facts == verdict


def test_while_it_waits_nothing_is_noted_but_the_sentence(ask: Ask, scene: Scene, ledger: Ledger, run: Run) -> None:
    scene.lose()
    scene.has_been_down(ledger, 12)
    verdict = ask()
    assert (verdict["action"], verdict["look_again_seconds"]) == ("wait", 10)
    marks, (story,) = ledger.timeline(run.id)
    assert (marks, story.ended) == ({}, None)
    assert story.sentence == "down for 12 s of the 60 s that it must last"


def test_the_laps_of_a_hold_down_come_to_a_verdict_with_the_first_bad_sample(
    ask: Ask, scene: Scene, ledger: Ledger, run: Run, clock: Clock
) -> None:
    scene.lose()
    scene.has_been_down(ledger, 5)
    laps = 0
    while (verdict := ask())["action"] == "wait":
        clock.advance(verdict["look_again_seconds"])
        laps += 1
    assert (laps, clock() - NOW) == (6, 55)
    assert ledger.timeline(run.id)[0] == {"t0": NOW - 5, "t1": NOW - 5, "t2": NOW + 55}


def test_where_a_person_is_asked_the_times_are_noted_too(ask: Ask, scene: Scene, ledger: Ledger, run: Run) -> None:
    scene.lose()
    scene.has_been_down(ledger, 70)
    verdict = ask(policy=Approval.APPROVE)
    assert (verdict["action"], verdict["finding"]) == ("ask", "policy_approve")
    assert ledger.timeline(run.id)[0] == {"t0": NOW - 70, "t1": NOW - 70, "t2": NOW}


def test_a_false_alarm_stands_down_and_has_no_bad_sample(ask: Ask, ledger: Ledger, run: Run) -> None:
    assert (ask()["action"], ledger.timeline(run.id)[0]) == ("stand_down", {"t2": NOW})


def test_where_not_all_of_the_quorum_was_down_nothing_was_detected(
    ask: Ask, scene: Scene, ledger: Ledger, run: Run
) -> None:
    scene.names.records[("_seen.shop.example", "TXT")] = ["down"]
    assert ask()["finding"] == "one_view_only"
    assert ledger.timeline(run.id)[0] == {"t0": NOW, "t2": NOW}


def test_a_run_by_hand_against_a_healthy_primary_has_no_first_bad_sample(ask: Ask, ledger: Ledger, run: Run) -> None:
    verdict = ask({"trigger": "manual", "reason": "drill"})
    assert (verdict["action"], verdict["finding"]) == ("proceed", "by_hand")
    assert ledger.timeline(run.id)[0] == {"t2": NOW}


def test_the_runs_own_lock_does_not_stand_in_its_way(ask: Ask, scene: Scene, ledger: Ledger) -> None:
    scene.lose()
    scene.has_been_down(ledger, 70)
    assert ledger.head().owner is not None
    assert ask()["finding"] == "region_lost"


def test_a_run_that_goes_on_behind_the_door_keeps_the_times_of_the_one_before(
    ask: Ask, scene: Scene, ledger: Ledger, run: Run, clock: Clock
) -> None:
    scene.lose()
    scene.has_been_down(ledger, 70)
    ask()
    ledger.set_state(run, State.PROMOTING)
    ledger.mark(run, "t3", NOW + 4)
    ledger.open_door(run, "shop-dr", NOW + 5)
    clock.advance(600)
    second = take_lock(ledger, "run-2", clock())
    verdict = ask(None, second)
    assert (verdict["action"], verdict["finding"]) == ("proceed", "half_done")
    assert ledger.timeline("run-2")[0] == {"t0": NOW - 70, "t1": NOW - 70, "t2": NOW, "t3": NOW + 4}


@pytest.mark.parametrize(
    "event",
    [
        {"trigger": "manual", "force": True},
        {"trigger": "manual", "force": True, "reason": ""},
        {"trigger": "manual", "force": True, "reason": None},
    ],
)
def test_force_without_a_reason_is_refused(ask: Ask, event: dict[str, Any]) -> None:
    with pytest.raises(InputInvalid, match='"force": true needs a "reason"'):
        ask(event)


def test_force_with_a_reason_overrules_the_readiness(ask: Ask, scene: Scene) -> None:
    scene.rds.status["shop-dr"] = "storage-full"
    assert ask({"trigger": "manual", "reason": "test"})["finding"] == "dr_not_ready"
    assert ask({"trigger": "manual", "force": True, "reason": "test"})["sentence"] == "started by hand, forced"


@pytest.mark.parametrize(
    "event", [{"trigger": "alarm", "reason": "x"}, {"trigger": None, "reason": "x"}, {"force": "yes", "reason": "x"}]
)
def test_an_input_that_is_not_what_it_should_be_is_refused(ask: Ask, event: dict[str, Any]) -> None:
    with pytest.raises(InputInvalid):
        ask(event)


def test_a_superseded_run_is_not_answered_and_leaves_no_trace(ask: Ask, ledger: Ledger, run: Run, clock: Clock) -> None:
    take_lock(ledger, "run-2", clock())
    with pytest.raises(RunSuperseded):
        ask()
    assert ledger.timeline(run.id) == ({}, [])
