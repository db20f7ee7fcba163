"""GO after verify: traffic is let in once a write has been proven, and not before, whatever happens in between."""

import threading
from collections.abc import Iterator

import pytest
from relight.ledger import State
from relight.switches import switches

from tests.statemachine.harness import REGION
from tests.statemachine.standby import AUTOMATIC, PRIMARY, PROCEED, Standby, standby
from tests.statemachine.test_failover import BROKEN, assert_red, assert_untouched, until


@pytest.fixture
def region() -> Iterator[Standby]:
    with standby(GoAfter="verify") as made:
        yield made


def published_by_the_guard(region: Standby) -> dict[str, float]:
    """What `guard` would tell Route 53 in this minute."""
    return switches(region.ledger.head(), REGION, PRIMARY)


def test_go_comes_after_the_proven_write_and_traffic_after_go(region: Standby) -> None:
    seen: list[dict[str, float]] = []
    region.during = {step: lambda: seen.append(published_by_the_guard(region)) for step in ("promote", "verify writes")}

    ended = region.run()

    assert ended.output["status"] == "SUCCEEDED"
    assert seen == [{"STOP": 1.0, "GO": 0.0}] * 2
    order = [region.ended.index(step) for step in ("switch engage", "verify writes", "switch go")]
    assert order == sorted(order)
    last = len(region.ended) - 1 - region.ended[::-1].index("verify traffic")
    assert last > order[1], "the look that found the traffic here came after the proof"
    assert region.switches == published_by_the_guard(region) == {"STOP": 1.0, "GO": 1.0}
    head = region.ledger.head()
    assert (head.active, head.state, head.go_withheld) == (REGION, State.STEADY, False)


def test_by_the_decision_nothing_waits() -> None:
    with standby() as region:
        region.during = {"promote": lambda: region.switches["GO"] or pytest.fail("GO waits")}
        ended = region.run()
        assert ended.output["status"] == "SUCCEEDED"
        assert "switch go" not in region.looks
        assert "Did GO wait for this" in ended.states


def test_a_false_alarm_leaves_nothing_that_would_withhold_a_later_go(region: Standby) -> None:
    region.breaks = {"promote": BROKEN}
    region.during = {"promote": lambda: until(lambda: "scale serve" in region.gone, "the capacity")}
    ended = region.run()
    assert_red(region, ended, "StepBrokenError")
    assert_untouched(region)
    assert not region.ledger.head().go_withheld


@pytest.mark.parametrize("step", ["verify writes", "switch go"])
def test_without_proof_there_is_no_traffic_and_the_next_run_goes_on(region: Standby, step: str) -> None:
    region.breaks = {step: BROKEN}
    ended = region.run()

    assert_red(region, ended, "StepBrokenError: the API said no", "behind the one-way door")
    assert published_by_the_guard(region) == {"STOP": 1.0, "GO": 0.0}

    region.breaks = {}
    region.verdicts[0] = {**PROCEED, "finding": "half_done"}
    assert region.run().output["status"] == "SUCCEEDED"
    assert published_by_the_guard(region) == {"STOP": 1.0, "GO": 1.0}


@pytest.mark.parametrize("step", ["verify writes", "switch go"])
def test_a_run_that_is_killed_between_the_proof_and_go_is_continued(region: Standby, step: str) -> None:
    """Its late handler, refused, changes nothing any more."""
    go_on = threading.Event()
    region.during = dict.fromkeys((step, "verify traffic"), lambda: go_on.wait(10))
    first = region.machine.start(AUTOMATIC, name="first")
    until(lambda: {step, "verify traffic"} <= set(region.looks), step)
    region.machine.client.stop_execution(executionArn=first, cause="the orchestrator is killed")
    assert published_by_the_guard(region) == {"STOP": 1.0, "GO": 0.0}
    region.during = {}

    ended = region.machine.outcome(region.machine.start(AUTOMATIC, name="second"))

    assert ended.output["status"] == "SUCCEEDED"
    assert published_by_the_guard(region) == {"STOP": 1.0, "GO": 1.0}
    after = region.ledger.head()
    go_on.set()
    until(lambda: len(region.gone) == len(region.looks), "the late handler's end")
    assert region.ledger.head() == after


def test_a_run_that_is_killed_after_go_is_continued_without_taking_go_back(region: Standby) -> None:
    looking, go_on = threading.Event(), threading.Event()
    told: list[float] = []

    def traffic() -> None:
        until(lambda: region.switches["GO"], "GO")
        looking.set()
        go_on.wait(10)

    region.during = {"verify traffic": traffic}
    first = region.machine.start(AUTOMATIC, name="first")
    until(looking.is_set, "a look at the traffic after GO")
    region.machine.client.stop_execution(executionArn=first, cause="the orchestrator is killed")
    region.during = {}
    go_on.set()
    region.during = {
        step: lambda: told.append(published_by_the_guard(region)["GO"])
        for step in ("fence cut", "promote", "verify writes", "verify traffic", "record")
    }

    ended = region.machine.outcome(region.machine.start(AUTOMATIC, name="second"))

    assert ended.output["status"] == "SUCCEEDED"
    assert set(told) == {1.0}, "clients that have come are not sent away again"
