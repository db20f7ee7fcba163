"""`assess`: the verdict on the facts of now, and what it notes of them."""

from collections.abc import Callable
from typing import Any

import pytest
from relight.assess import approved, assess
from relight.decision import Action, Finding, Verdict
from relight.errors import InputInvalid, RunSuperseded
from relight.ledger import Ledger, State
from relight.policy import Approval
from relight.run import Mode, Run
from relight.signal import Seen, Signal, View

from tests.unit.conftest import Clients
from tests.unit.loopback import NameServer, WebServer
from tests.unit.scene import Scene, make_scene
from tests.unit.situation import keep_signals
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
        "last_seen": NOW,
        "sentence": "Route 53's checkers do not reach the active Region",
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
    keep_signals(ledger, [Signal(View.OUTSIDE, Seen.DOWN, NOW - 60, NOW - 5, "down")])
    assert ask()["finding"] == "one_view_only"
    assert ledger.timeline(run.id)[0] == {"t0": NOW - 60, "t2": NOW}


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
    scene.lose()
    assert ask({"trigger": "manual", "force": True, "reason": "test"})["sentence"] == "started by hand, forced"


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        ({"trigger": "alarm", "reason": "x"}, '"trigger": .* it is automatic, manual'),
        ({"mode": "quick", "reason": "x"}, '"mode": .* it is emergency, planned'),
        ({"force": "yes", "reason": "x"}, "\"force\" is 'yes'; it is true or false"),
        ({"unseen_at": "noon", "reason": "x"}, "\"unseen_at\" is 'noon'"),
    ],
)
def test_an_input_that_is_not_what_it_should_be_is_refused(ask: Ask, event: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputInvalid, match=complaint):
        ask(event)


def test_what_is_left_out_is_what_the_machinery_means(ask: Ask, scene: Scene, ledger: Ledger) -> None:
    scene.lose()
    scene.has_been_down(ledger, 12)
    assert ask({"reason": "x", "trigger": None, "mode": None, "unseen_at": None})["finding"] == "down_too_short"


@pytest.mark.parametrize(
    ("mode", "action", "finding", "goes_on"),
    [
        (None, "proceed", "by_hand", "planned"),
        ("planned", "proceed", "by_hand", "planned"),
        ("emergency", "proceed", "by_hand", "emergency"),
    ],
)
def test_a_person_may_say_in_which_mode(ask: Ask, mode: str | None, action: str, finding: str, goes_on: str) -> None:
    verdict = ask({"trigger": "manual", "reason": "game day", "mode": mode})
    assert (verdict["action"], verdict["finding"], verdict["mode"]) == (action, finding, goes_on)


def test_planned_mode_without_a_stream_is_refused(ask: Ask, scene: Scene) -> None:
    scene.lose()
    verdict = ask({"trigger": "manual", "reason": "game day", "mode": "planned"})
    assert (verdict["action"], verdict["finding"]) == ("refuse", "planned_impossible")


def test_the_alarm_that_started_the_run_is_the_view_from_outside_where_dns_says_nothing(
    ask: Ask, scene: Scene, ledger: Ledger
) -> None:
    scene.lose()
    scene.names.records[("_seen.shop.example", "TXT")] = []
    keep_signals(ledger, [Signal(View.FROM_DR, Seen.DOWN, NOW - 70, NOW - 5, "down")])
    verdict = ask({"trigger": "automatic", "reason": "alarm", "unseen_at": NOW - 20})
    assert (verdict["finding"], verdict["views"]["outside"]["seen"]) == ("down_too_short", "DOWN")
    assert verdict["views"]["outside"]["since"] == NOW - 20


def test_what_a_run_has_seen_up_between_two_samples_of_the_probe_counts(
    ask: Ask, scene: Scene, ledger: Ledger, clock: Clock
) -> None:
    scene.up()
    scene.has_been_down(ledger, 300)
    assert ask()["finding"] == "primary_up"
    clock.advance(5)
    scene.lose()
    verdict = ask()
    assert (verdict["finding"], verdict["look_again_seconds"]) == ("down_too_short", 10)
    assert ledger.signals()[View.OUTSIDE].since == NOW + 5


def test_a_run_keeps_nothing_that_the_probe_has_kept_already(ask: Ask, scene: Scene, ledger: Ledger) -> None:
    scene.lose()
    scene.has_been_down(ledger, 12)
    ask()
    before = ledger.signals()
    ask()
    assert ledger.signals() == before


# A person has answered: the facts are gathered again, and what they ask for must still be what was approved.


ASKING = Verdict(Action.ASK, Finding.POLICY_APPROVE, "by policy", 0.0, 12.0, Mode.EMERGENCY)


def test_what_was_approved_goes_on_and_says_so() -> None:
    assert approved(ASKING, "policy_approve") == Verdict(
        Action.PROCEED, Finding.POLICY_APPROVE, "approved by a person: by policy", 0.0, 12.0, Mode.EMERGENCY
    )


@pytest.mark.parametrize("finding", [None, "data_loss_too_large", "", "anything"])
def test_an_approval_of_something_else_is_none(finding: str | None) -> None:
    assert approved(ASKING, finding) == ASKING


@pytest.mark.parametrize("action", [Action.WAIT, Action.STAND_DOWN, Action.REFUSE, Action.PROCEED])
def test_nobody_can_approve_what_is_not_asked(action: Action) -> None:
    verdict = Verdict(action, Finding.POLICY_APPROVE, "because")
    assert approved(verdict, "policy_approve") == verdict


def test_an_approved_run_goes_on_while_the_facts_still_ask_for_it(ask: Ask, scene: Scene, ledger: Ledger) -> None:
    scene.lose()
    scene.has_been_down(ledger, 70)
    event = {"trigger": "automatic", "reason": "probe", "approved": "policy_approve"}
    verdict = ask(event, policy=Approval.APPROVE)
    assert (verdict["action"], verdict["mode"]) == ("proceed", "emergency")


def test_an_approved_run_stands_down_where_the_primary_is_back(ask: Ask) -> None:
    event = {"trigger": "automatic", "reason": "probe", "approved": "policy_approve"}
    assert ask(event, policy=Approval.APPROVE)["action"] == "stand_down"


def test_who_approved_a_planned_run_has_not_approved_an_emergency(ask: Ask, scene: Scene, ledger: Ledger) -> None:
    scene.lose()
    scene.has_been_down(ledger, 70)
    event = {"trigger": "automatic", "reason": "probe", "approved": "application_lost"}
    assert (ask(event, policy=Approval.APPROVE)["action"], ask(event)["finding"]) == ("ask", "region_lost")


def test_a_superseded_run_is_not_answered_and_leaves_no_trace(ask: Ask, ledger: Ledger, run: Run, clock: Clock) -> None:
    take_lock(ledger, "run-2", clock())
    with pytest.raises(RunSuperseded):
        ask()
    assert ledger.timeline(run.id) == ({}, [])
