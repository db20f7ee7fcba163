"""Which handler the saboteur takes for the step that it is to stop."""

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.lambdas import Callbacks
from lab.options import Step
from lab.saboteur import Saboteur
from lab.world import World

HOME, DR = "eu-west-1", "eu-central-1"


class Machines:
    """Step Functions: what was stopped."""

    def __init__(self) -> None:
        self.stopped: list[str] = []

    def stop_execution(self, executionArn: str, cause: str) -> None:  # noqa: N803 - boto3's name
        assert cause
        self.stopped.append(executionArn)

    def describe_execution(self, **_: Any) -> dict[str, str]:
        return {"status": "ABORTED"}


def hear(region: str, name: str, payload: Any, steps: tuple[Step, ...] = (Step.QUIESCE,)) -> list[str]:
    """What was stopped when these steps were to be, once the saboteur had done it."""
    machines, lambdas = Machines(), SimpleNamespace(callbacks=Callbacks())
    executions = [
        SimpleNamespace(arn="old", status="ABORTED", machine_arn="relight-shop-failback"),
        SimpleNamespace(arn="child", status="RUNNING", machine_arn="relight-shop-failover"),
        SimpleNamespace(arn="parent", status="RUNNING", machine_arn="relight-shop-failback"),
    ]
    world = cast(
        "World",
        SimpleNamespace(
            lambdas=lambdas,
            cloud=SimpleNamespace(client=lambda *_: machines),
            workflows=SimpleNamespace(executions=lambda _: executions),
        ),
    )
    with Saboteur(world, steps) as saboteur:
        lambdas.callbacks.start(region, name, payload)
        lambdas.callbacks.start(region, name, payload)
        deadline = time.monotonic() + 10
        while not saboteur._ahead and not saboteur.finished and time.monotonic() < deadline:
            time.sleep(0.01)
    return machines.stopped


def test_a_handler_of_the_step_that_belongs_to_a_run_is_stopped_once() -> None:
    assert hear(DR, "relight-shop-quiesce", {"run": {"owner": "run-1"}, "intent": "stop"}) == ["run-1"]


def test_a_switchover_is_stopped_where_it_is_waited_for() -> None:
    stop = {"run": {"owner": "child"}, "intent": "stop"}
    assert hear(HOME, "relight-shop-quiesce", stop, (Step.SWITCHOVER,)) == ["parent"]
    assert hear(DR, "relight-shop-quiesce", stop, (Step.SWITCHOVER,)) == []


def test_the_pilot_is_lit_by_one_intent_of_survey() -> None:
    asked = {"run": {"owner": "parent"}, "intent": "light"}
    assert hear(HOME, "relight-shop-survey", asked, (Step.LIGHT,)) == ["parent"]
    assert hear(HOME, "relight-shop-survey", asked | {"intent": "look"}, (Step.LIGHT,)) == []


@pytest.mark.parametrize(
    ("region", "name", "payload"),
    [
        ("eu-west-1", "relight-shop-quiesce", {"run": {"owner": "run-1"}, "intent": "stop"}),
        (DR, "relight-shop-scale", {"run": {"owner": "run-1"}, "intent": "warm"}),
        (DR, "relight-shop-quiesce", {"run": {"owner": "run-1"}, "intent": "resume"}),
        (DR, "relight-shop-quiesce", {"check": "state"}),
        (DR, "relight-shop-quiesce", None),
    ],
)
def test_nothing_else_is_stopped(region: str, name: str, payload: Any) -> None:
    assert hear(region, name, payload) == []
