"""`assess` asked beforehand: the verdict on the facts of now, and a ledger that is as it was."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from relight.assess import is_preview, makes_room, preview
from relight.errors import InputInvalid
from relight.ledger import Capacity, Ledger, State
from relight.policy import Approval
from relight.settings import ViewSettings

from tests.unit.conftest import Clients
from tests.unit.loopback import NameServer, WebServer
from tests.unit.scene import Scene, make_scene
from tests.unit.standby import HERE, HOME, NOW, Clock, execution, take_lock
from tests.unit.test_readiness_handler import Context

HANDLER = Path(__file__).parents[2] / "functions/assess/handler.py"
DRILL = f"arn:aws:states:{HERE}:123456789012:execution:relight-shop-drill:drill-restore-1"

type Foresee = Callable[..., dict[str, Any]]


@pytest.fixture
def scene(names: NameServer, web: WebServer, clock: Clock, clients: Clients) -> Scene:
    return make_scene(names, web, clock, clients)


@pytest.fixture
def foresee(scene: Scene, ledger: Ledger) -> Foresee:
    """`foresee(event, **settings)`: one preview, after which each item of the table must be what it was."""

    def once(event: dict[str, Any] | None = None, **changed: Any) -> dict[str, Any]:
        before = items(ledger)
        said = preview({"preview": True, **(event or {})}, scene.lookout(ledger, scene.settings(**changed)))
        assert items(ledger) == before
        return said

    return once


def items(ledger: Ledger) -> list[dict[str, Any]]:
    """The whole table, as it lies there."""
    found = ledger.dynamodb.scan(TableName=ledger.table, ConsistentRead=True)["Items"]
    return sorted((dict(one) for one in found), key=lambda one: (one["pk"]["S"], one["sk"]["S"]))


def test_it_changes_nothing_of_a_ledger_that_is_full_and_answers_in_json(
    foresee: Foresee, scene: Scene, ledger: Ledger
) -> None:
    run = take_lock(ledger, "failover-1-1", NOW - 600)
    ledger.step_began(run, "assess", NOW - 500)
    ledger.mark(run, "t0", NOW - 600)
    ledger.keep_capacity("shop-primary", Capacity(2, 3, 6), NOW - 60)
    ledger.keep_readiness({"ready": True}, NOW - 60)
    scene.lose()
    scene.has_been_down(ledger, 70, stream=80, outside=65)
    assert len(items(ledger)) == 8
    said = foresee({"reason": "the Region is gone", "instead_of": execution("failover-1-1")})
    assert (said["action"], said["finding"], said["mode"]) == ("proceed", "by_hand", "emergency")
    assert said["by_itself"]["finding"] == "region_lost"
    assert said["takes_over_from"] == said["owner"] == execution("failover-1-1")
    assert said["views"]["outside"] == {
        "seen": "DOWN",
        "since": NOW - 65,
        "last_seen": NOW,
        "sentence": "Route 53's checkers do not reach the active Region",
    }
    assert (said["preview"], said["region"], said["active"], said["at"]) == (True, HERE, HOME, NOW)
    assert json.loads(json.dumps(said)) == said


def test_of_a_primary_that_is_well_it_says_planned_and_that_the_machinery_does_nothing(foresee: Foresee) -> None:
    said = foresee()
    assert (said["finding"], said["mode"], said["estimated_loss_seconds"]) == ("by_hand", "planned", 2)
    assert said["by_itself"]["action"] == "stand_down"
    assert (said["lag_seconds"], said["replica"]["status"], said["policy"]) == (2, "available", "auto")


def test_an_empty_ledger_stays_empty(foresee: Foresee, ledger: Ledger, scene: Scene) -> None:
    scene.lose()
    assert foresee({"trigger": "automatic"})["finding"] == "never_up"
    assert items(ledger) == []


@pytest.mark.parametrize(
    ("event", "finding"),
    [
        ({"mode": "planned"}, "planned_impossible"),
        ({"mode": "emergency"}, "by_hand"),
        ({"force": True, "reason": "the phone says so"}, "by_hand"),
        ({}, "mode_needed"),
    ],
)
def test_what_a_person_asks_for_counts_as_in_a_run(
    foresee: Foresee, scene: Scene, event: dict[str, Any], finding: str
) -> None:
    scene.lose()
    scene.names.records[("_seen.shop.example", "TXT")] = ["up"]
    assert foresee(event)["finding"] == finding


def test_where_a_person_would_be_asked_without_anybody_s_start_it_says_so(
    foresee: Foresee, scene: Scene, ledger: Ledger
) -> None:
    scene.lose()
    scene.has_been_down(ledger, 70)
    said = foresee(policy=Approval.APPROVE)
    assert (said["action"], said["by_itself"]["action"], said["by_itself"]["finding"]) == (
        "proceed",
        "ask",
        "policy_approve",
    )


def test_a_run_that_is_on_is_in_the_way_and_a_drill_is_not(foresee: Foresee, ledger: Ledger) -> None:
    take_lock(ledger, "failover-1-1", NOW)
    assert foresee()["finding"] == "in_progress"
    assert foresee({"instead_of": execution("another")})["finding"] == "in_progress"
    take_lock(ledger, "drill-restore-1", NOW, owner=DRILL)
    assert (foresee()["finding"], foresee()["takes_over_from"]) == ("by_hand", DRILL)


def test_behind_the_one_way_door_there_is_only_forward(foresee: Foresee, ledger: Ledger) -> None:
    run = take_lock(ledger, "failover-1-1", NOW)
    ledger.set_state(run, State.PROMOTING)
    ledger.open_door(run, "shop-dr", NOW)
    said = foresee({"instead_of": execution("failover-1-1")})
    assert (said["finding"], said["door_opened"], said["state"]) == ("half_done", True, "promoting")


@pytest.mark.parametrize(
    ("owner", "room"),
    [
        (DRILL, True),
        (DRILL.replace("-drill:", "-failback:"), True),
        (DRILL.replace(HERE, HOME), False),
        (execution("drill"), False),
        ("somebody", False),
    ],
)
def test_who_makes_room(owner: str, room: bool) -> None:
    assert makes_room(owner, HERE) is room


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        ({"force": True}, 'needs a "reason"'),
        ({"mode": "quick"}, '"mode"'),
        ({"trigger": "me"}, '"trigger"'),
    ],
)
def test_a_wrong_input_is_refused_with_a_sentence(foresee: Foresee, event: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputInvalid, match=complaint):
        foresee(event)


def test_whether_it_is_a_preview_is_said_in_full() -> None:
    assert not is_preview({"run": {}})
    with pytest.raises(InputInvalid, match="\"preview\" is 'yes'; it is true or false"):
        is_preview({"preview": "yes"})


def test_the_function_answers_without_a_run(
    scene: Scene, ledger: Ledger, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Lambda imports and calls it; dbcheck is not there, so the stream is told by CloudWatch, which has nothing."""
    given = scene.settings(sample_timeout_seconds=0.5)
    for field in fields(ViewSettings):
        value = getattr(given, field.name)
        text = ",".join(value) if isinstance(value, tuple) else str(value)
        monkeypatch.setenv(field.name.upper(), text.lower() if isinstance(value, bool) else text)
    monkeypatch.setattr("relight.clients.client", lambda service, region, **_: clients(service, region))
    spec = importlib.util.spec_from_file_location("handler_of_assess", HANDLER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    before = items(ledger)
    said = module.handler({"preview": True, "reason": "what if"}, Context("relight-shop-assess"))
    assert (said["finding"], said["views"]["outside"]["seen"]) == ("dr_not_ready", "UP")
    assert items(ledger) == before
