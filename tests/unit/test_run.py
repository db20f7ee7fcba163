"""A run, as its steps' input names it."""

from typing import Any

import pytest
from relight.errors import InputInvalid
from relight.run import Mode, Run

GIVEN = {"id": "failover-1", "owner": "arn:x", "epoch": 3, "started_at": 1790000000.25}


def test_a_run_is_read_from_a_steps_input() -> None:
    assert Run.from_event({"run": GIVEN, "intent": "warm"}) == Run("failover-1", "arn:x", 3, 1790000000.25)
    assert Run.from_event({"run": GIVEN | {"mode": "planned"}}).mode is Mode.PLANNED


def test_numbers_may_come_as_json_writes_them() -> None:
    assert Run.from_event({"run": GIVEN | {"epoch": 3.0, "started_at": 1790000000}}).epoch == 3


@pytest.mark.parametrize("event", [{}, {"run": None}, {"run": "failover-1"}, {"run": []}])
def test_an_input_without_a_run_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(InputInvalid, match='no "run"'):
        Run.from_event(event)


@pytest.mark.parametrize("name", GIVEN)
def test_what_a_run_lacks_is_named(name: str) -> None:
    with pytest.raises(InputInvalid, match=f"lacks '{name}'"):
        Run.from_event({"run": {key: value for key, value in GIVEN.items() if key != name}})


@pytest.mark.parametrize(
    "wrong", [{"epoch": "first"}, {"epoch": None}, {"started_at": "noon"}, {"mode": "hurried"}, {"epoch": []}]
)
def test_what_is_malformed_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputInvalid, match="malformed"):
        Run.from_event({"run": GIVEN | wrong})
