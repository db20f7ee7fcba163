"""What the witness keeps of the verdicts of runs."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.lambdas import Callbacks
from lab.witness import Witness
from lab.world import World

DR = "eu-central-1"


@pytest.fixture
def heard() -> list[str]:
    """What those hear who listened before."""
    return []


@pytest.fixture
def world(heard: list[str]) -> World:
    """The part of the world that a witness knows."""
    before = Callbacks(end=lambda _region, name, *_: heard.append(name))
    return cast("World", SimpleNamespace(lambdas=SimpleNamespace(callbacks=before)))


def say(
    world: World, run: str, action: str, finding: str, *, region: str = DR, name: str = "assess", **more: Any
) -> None:
    """An answer of a function."""
    error = more.get("error")
    answer = {"action": action, "finding": finding}
    world.lambdas.callbacks.end(region, f"relight-shop-{name}", {"run": {"id": run}}, answer, error)


def test_laps_in_a_row_that_say_the_same_are_one(world: World) -> None:
    with Witness(world) as witness:
        for finding in ("busy", "busy", "busy"):
            say(world, "run-1", "wait", finding)
        say(world, "run-1", "stand_down", "primary_up")
        say(world, "run-2", "wait", "busy")
    seen = [(each.run, each.action, each.finding, each.times) for each in witness.decided]
    assert seen == [
        ("run-1", "wait", "busy", 3),
        ("run-1", "stand_down", "primary_up", 1),
        ("run-2", "wait", "busy", 1),
    ]
    assert all(each.first <= each.last for each in witness.decided)


def test_two_runs_that_decide_at_the_same_time_are_told_apart(world: World) -> None:
    with Witness(world) as witness:
        for _ in range(2):
            for run in ("run-1", "run-2"):
                say(world, run, "wait", "busy")
    assert [(each.run, each.times) for each in witness.decided] == [("run-1", 2), ("run-2", 2)]


def test_it_hears_assess_in_the_dr_region_and_nothing_else(world: World, heard: list[str]) -> None:
    with Witness(world) as witness:
        say(world, "run-1", "wait", "busy", region="eu-west-1")
        say(world, "run-1", "wait", "busy", name="scale")
        say(world, "run-1", "wait", "busy", error="Unhandled")
        world.lambdas.callbacks.end(DR, "relight-shop-assess", None, "no verdict", None)
    say(world, "run-1", "wait", "busy")
    assert witness.decided == ()
    assert len(heard) == 5, "whoever listened before hears all of it still"
