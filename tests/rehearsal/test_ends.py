"""Each fault has the end that it should have, and leaves nothing behind."""

import platform
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.sam_local import require
from lab.score import out_of_order
from tests.rehearsal.conftest import Rehearsed

pytestmark = pytest.mark.rehearsal
Rehearse = Callable[..., Rehearsed]
Altered = Callable[[Mapping[str, tuple[str, str]]], Path]


def _failed_over(done: Rehearsed, floor: float = 21) -> None:
    """What holds of every rehearsal in which the DR Region was brought up; its RTO may have a floor as high as that."""
    document = done.document
    # How well the two clocks agree is a matter of speed, which benchmarks/ looks at, not of what happened.
    slow = [problem for problem in document["problems"] if problem.startswith("the run's record of the RTO differs")]
    assert document["problems"] == slow, done.said
    assert (done.code, document["status"]) == (1 if slow else 0, "SUCCEEDED"), done.said
    assert document["promotions"] == 1
    assert all(document["phases"][f"t{number}"] is not None for number in range(9))
    assert out_of_order(document["phases"]) == ()
    assert document["acknowledged_writes"] > 0
    assert document["missing_streamed_writes"] == 0
    assert document["writes_on_both_sides"] == 0
    assert document["rto_floor_seconds"] <= floor
    _nothing_left(done)


def _left_alone(done: Rehearsed) -> None:
    """What holds of every rehearsal in which it was right not to fail over."""
    document = done.document
    assert (done.code, document["status"]) == (0, "STOOD_DOWN"), done.said
    assert document["promotions"] == 0
    assert document["asg"]["after"] == document["asg"]["before"]
    assert document["missing_writes"] == []
    _nothing_left(done)


def _nothing_left(done: Rehearsed) -> None:
    assert done.document["pids_left"] == []
    assert list(done.folder.iterdir()) == []


def test_a_lost_primary_is_failed_over_by_handlers_under_the_real_runtime_emulator(rehearse: Rehearse) -> None:
    done = rehearse("--seed-orders", "50", "--clients", "3", "--lambda", "rie")
    _failed_over(done)
    document = done.document
    assert document["finding"] == "region_lost"
    runtime = document["lambda"]
    assert runtime["mode"] == "rie"
    assert "aws-lambda-rie" in runtime["binary"]
    assert runtime["pids"]
    names = [step["name"] for step in document["steps"]]
    for name in ("scale (warm)", "assess", "switch", "fence", "promote", "scale (serve)", "verify", "record"):
        assert name in names, names
    assert all(step["ended"] is not None and step["sentence"] for step in document["steps"])


@pytest.mark.long
@pytest.mark.sam_local
@pytest.mark.timeout(500)
def test_a_lost_primary_is_failed_over_by_functions_in_their_containers(rehearse: Rehearse) -> None:
    try:
        require()
    except LabError as error:
        pytest.skip(f"NOT PROVEN, a failover by packaged functions: {error.sentence}")
    done = rehearse("--seed-orders", "50", "--clients", "3", "--lambda", "sam")
    _failed_over(done)
    assert (done.document["finding"], done.document["lambda"]["mode"]) == ("region_lost", "sam")


@pytest.mark.long
def test_a_silent_primary_is_failed_over_though_the_orchestrator_is_stopped_in_the_promotion(
    rehearse: Rehearse, altered: Altered
) -> None:
    """By checkers that look eight times and not three, because the template was told so: that moves the detection."""
    before = "  FailureThreshold:\n    Type: Number\n    Default: 3\n"
    template = altered({"stacks/global.yaml": (before, before.replace("Default: 3", "Default: 8"))})
    done = rehearse("--template", str(template), "--lost", "black-holed", "--kill-orchestrator-at", "promote")
    _failed_over(done, floor=25)
    assert done.document["lambda"]["mode"] == "process"
    assert done.document["peak_memory_mib"] < 1536
    fence = next(step for step in done.document["steps"] if step["name"] == "fence")
    assert "did not answer within" in fence["sentence"]
    # The alarms' events start executions too, which find the lock taken and end; one was stopped, one went on.
    assert [each["status"] for each in done.document["executions"]].count("ABORTED") == 1
    # Eight looks, a second apart, of which the first may come at once: seven seconds at the very least.
    assert done.document["phases"]["t1"] - done.document["lost_at"] >= 7
    assert done.document["rto_floor_seconds"] == 25


@pytest.mark.long
def test_regions_that_cannot_reach_each_other_are_left_alone(rehearse: Rehearse) -> None:
    done = rehearse("--fault", "network-cut")
    _left_alone(done)
    assert done.document["finding"] == "up_from_outside"


@pytest.mark.long
def test_a_false_alarm_warms_up_and_stands_down(rehearse: Rehearse) -> None:
    done = rehearse("--fault", "false-alarm")
    _left_alone(done)
    steps = {step["name"]: step["sentence"] for step in done.document["steps"]}
    assert "2 wanted" in steps["scale (warm)"]
    assert "back at min 0, desired 0" in steps["scale (restore)"]


@pytest.mark.long
def test_a_lost_application_is_asked_about_and_an_approval_loses_no_write(rehearse: Rehearse) -> None:
    done = rehearse("--fault", "app-lost")
    _failed_over(done)
    document = done.document
    assert document["finding"] == "application_lost"
    assert document["missing_writes"] == []
    assert any(each["action"] == "ask" for each in document["decisions"])
    assert {each["answer"] for each in document["answers"] if each["code"] == 0} == {"approve"}
    assert any(step["name"].startswith("quiesce") for step in document["steps"])


@pytest.mark.long
def test_a_dr_region_that_is_cut_off_itself_is_left_alone(rehearse: Rehearse) -> None:
    done = rehearse("--fault", "dr-isolated")
    _left_alone(done)
    assert done.document["finding"] == "dr_isolated"


def test_a_primary_that_comes_back_has_no_lease_and_takes_no_write(rehearse: Rehearse) -> None:
    done = rehearse("--fault", "revived-primary", "--lease")
    _failed_over(done)
    document = done.document
    assert (document["writes_on_both_sides"], document["writes_on_both_sides_ids"]) == (0, [])
    assert document["old_side_commits"] == 0
    assert document["old_side_answers"] > 0, "clients reached it, and it refused"
    assert document["led_back"] == 0


@pytest.mark.linux
@pytest.mark.skipif(platform.system() != "Linux", reason="the runtime emulator is a Linux program")
def test_ctrl_c_leaves_no_process_and_no_folder(
    interrupted: Callable[[str], tuple[int, list[int]]], folder: Path
) -> None:
    code, left = interrupted("let clients order")
    assert (code, left, list(folder.iterdir())) == (130, [], [])
