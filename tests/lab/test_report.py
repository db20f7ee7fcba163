"""The result document, the closing table, and the judgement whether the end is the one that the fault should have."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lab.ending import FINDINGS, expected, problems
from lab.options import Fault, LambdaMode, Options, Reply
from lab.report import (
    Answered,
    Capacity,
    Decided,
    Execution,
    LambdaRuntime,
    Machine,
    Result,
    ScalingGroup,
    Status,
    StepRecord,
    closing,
    publish,
)
from lab.score import PHASES, Floor

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "rehearsal.md"
MACHINE = Machine(2, "Linux", "3.13.0", "A model", 8192)
TIMES = (100.0, 104.0, 105.0, 106.0, 113.0, 114.0, 115.0, 116.0, 116.5)


def succeeded(**changes: Any) -> Result:
    """A rehearsal as --fault primary-lost should end."""
    result = Result(
        status=Status.SUCCEEDED,
        expected=expected(Options()),
        finding="region_lost",
        fault="primary-lost",
        lost="refused",
        timings="lab",
        started=90.0,
        ended=140.0,
        lost_at=99.9,
        rto_seconds=16.3,
        rto_floor_seconds=15.0,
        rto_floor=Floor(1, 3, 3, 1, 7, 3, 1),
        record_rto_seconds=16.5,
        outage_seconds=16.6,
        rpo_seconds=0.0,
        phases=dict(zip(PHASES, TIMES, strict=True)),
        attempts=1000,
        acknowledged_writes=700,
        missing_writes=(),
        missing_streamed_writes=0,
        writes_on_both_sides=0,
        promotions=1,
        executions=(Execution("run-1", "SUCCEEDED", "eu-central-1"),),
        steps=(StepRecord("promote", 106.0, 113.0, "promoted"),),
        peak_memory_mib=900.0,
        machine=MACHINE,
        relight_version="0.1.0",
    )
    return replace(result, **changes)


def stood_down(**changes: Any) -> Result:
    """A rehearsal as --fault network-cut should end."""
    capacity = Capacity(0, 0, 4)
    result = succeeded(
        status=Status.STOOD_DOWN,
        expected=expected(Options(fault=Fault.NETWORK_CUT)),
        finding="up_from_outside",
        fault="network-cut",
        promotions=0,
        phases={"t1": 104.0, "t2": 105.0},
        rto_seconds=None,
        asg=ScalingGroup(capacity, capacity),
    )
    return replace(result, **changes)


def asked(**changes: Any) -> Result:
    """A rehearsal as --fault app-lost should end."""
    result = succeeded(
        fault="app-lost",
        finding="application_lost",
        answer="approve",
        decisions=(Decided("run-1", "ask", "application_lost", 105.0, 105.0, 1),),
        answers=(Answered("run-1", "approve", 0, 106.0, "approved"),),
    )
    return replace(result, **changes)


def revived(**changes: Any) -> Result:
    """A rehearsal as --fault revived-primary should end without the lease."""
    result = succeeded(
        fault="revived-primary",
        returned_at=130.0,
        writes_on_both_sides=2,
        writes_on_both_sides_ids=("a", "b"),
        missing_writes=("a", "b"),
        old_side_commits=3,
        old_side_wrote_seconds=3.5,
        old_side_wrote_limit_seconds=6.0,
        old_side_answers=10,
        led_back=0,
    )
    return replace(result, **changes)


def printed(result: Result, width: int = 80) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(closing(result))
    return capture.get()


def test_the_document_has_every_field_by_the_name_it_is_known_by(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    runtime = LambdaRuntime(LambdaMode.RIE, "/opt/rie", (1, 2))
    succeeded(lambda_=runtime, phases={"t0": 1.0}).write(path)
    document = json.loads(path.read_text())
    assert document["status"] == "SUCCEEDED"
    assert document["lambda"] == {"mode": "rie", "binary": "/opt/rie", "pids": [1, 2]}
    assert document["phases"] == {"t0": 1.0} | {f"t{n}": None for n in range(1, 9)}
    run = {"name": "run-1", "status": "SUCCEEDED", "region": "eu-central-1", "cause": None, "machine": "failover"}
    assert document["executions"] == [run]
    assert document["steps"] == [{"name": "promote", "started": 106.0, "ended": 113.0, "sentence": "promoted"}]
    assert document["machine"] == {
        "cores": 2,
        "platform": "Linux",
        "python": "3.13.0",
        "cpu": "A model",
        "memory_mib": 8192,
    }
    assert (document["missing_writes"], document["pids_left"]) == ([], [])
    assert set(document) == {field.name.rstrip("_") for field in fields(Result)} | {"schema"}


def test_each_field_is_explained() -> None:
    text = DOCUMENTATION.read_text()
    names = [field.name.rstrip("_") for field in fields(Result)]
    assert [name for name in ["schema", *names] if f"`{name}`" not in text] == []


def test_a_document_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")
    with pytest.raises(TypeError):
        succeeded(finding=object()).write(path)
    assert [each.name for each in tmp_path.iterdir()] == ["out.json"]
    assert path.read_text() == "old"
    succeeded().write(path)
    assert json.loads(path.read_text())["fault"] == "primary-lost"


def test_the_last_reports_and_the_document_are_named_at_the_end(tmp_path: Path) -> None:
    reports = tuple(f"build/rehearsal/run-{number}/report.html" for number in range(5))
    console = Console(width=30, color_system=None)
    with console.capture() as capture:
        publish(succeeded(reports=reports), tmp_path / "out.json", console)
    *others, last = capture.get().splitlines()
    assert last == f" The result is in {tmp_path / 'out.json'}"
    assert others[-3:] == [f" A run's report is in {report}" for report in reports[2:]]
    assert json.loads((tmp_path / "out.json").read_text())["reports"] == list(reports)


@pytest.mark.parametrize("width", [80, 200])
def test_the_closing_table_says_what_was_measured(width: int) -> None:
    text = printed(succeeded(missing_writes=("r1-0-7", "r1-1-9"), missing_streamed_writes=0), width)
    for words in (
        "16.30 s",
        "floor is 15.0 s",
        "+1.3 s",
        "r1-0-7",
        "r1-1-9",
        "SUCCEEDED",
        "+16.50 s",
        "700",
        "900 MiB",
    ):
        assert words in text
    assert all(len(line) <= width for line in text.splitlines())


def test_the_closing_table_of_a_rehearsal_that_saw_nothing() -> None:
    bare = Result(
        status=Status.UNFINISHED,
        expected=Status.SUCCEEDED,
        problems=("it did not end",),
        fault="primary-lost",
        lost="refused",
        timings="lab",
        started=0.0,
        ended=1.0,
        machine=MACHINE,
        relight_version="0.1.0",
    )
    text = printed(bare)
    for words in ("not seen", "none seen", "unknown", "! it did not end", "UNFINISHED"):
        assert words in text


def test_the_ends_that_faults_should_have_have_no_problems() -> None:
    assert problems(succeeded()) == ()
    assert problems(stood_down()) == ()
    nothing = stood_down(fault="none", status=Status.NO_RUN, expected=Status.NO_RUN, executions=(), finding=None)
    assert problems(nothing) == ()
    assert problems(asked()) == ()
    assert problems(revived()) == ()
    assert problems(revived(lease=True, writes_on_both_sides=0, old_side_commits=0, old_side_wrote_seconds=0.0)) == ()


def test_each_fault_has_an_end_and_a_finding() -> None:
    ends = {fault: expected(Options(fault=fault)) for fault in Fault}
    assert {fault for fault, end in ends.items() if end is Status.SUCCEEDED} == {
        Fault.PRIMARY_LOST,
        Fault.APP_LOST,
        Fault.DATABASE_LOST,
        Fault.REVIVED_PRIMARY,
        Fault.US_EAST_1_LOST,
        Fault.DR_LOST_WHILE_ACTIVE,
    }
    assert {fault for fault, end in ends.items() if end is Status.NO_RUN} == {Fault.NONE}
    assert FINDINGS.keys() == set(Fault)
    for reply in (Reply.DECLINE, Reply.NONE):
        assert expected(Options(fault=Fault.APP_LOST, answer=reply)) is Status.STOOD_DOWN


def test_losing_writes_that_were_not_streamed_is_no_problem_of_an_emergency() -> None:
    assert problems(succeeded(missing_writes=("a",), missing_streamed_writes=0)) == ()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"status": Status.STOOD_DOWN}, "should end SUCCEEDED"),
        ({"finding": "database_lost"}, "the finding is database_lost; region_lost is right"),
        ({"promotions": 2}, "promoted 2 times"),
        ({"promotions": 0}, "promoted 0 times"),
        ({"phases": dict(zip(PHASES, TIMES, strict=True)) | {"t6": None}}, "not seen: t6"),
        ({"phases": dict(zip(PHASES, TIMES, strict=True)) | {"t4": 103.0}}, "t4 is 2.000 s before t2"),
        ({"rto_seconds": None}, "no RTO"),
        ({"record_rto_seconds": 15.2}, "differs by 1.10 s"),
        ({"missing_writes": ("a",), "missing_streamed_writes": 1}, "1 missing writes had been streamed"),
        ({"missing_writes": ("a",), "missing_streamed_writes": None}, "not known whether they had been streamed"),
        ({"missing_writes": None}, "could not be read"),
        ({"writes_on_both_sides": 3}, "acknowledged 3 writes after"),
        ({"writes_on_both_sides": None}, "not known whether the old primary"),
        ({"old_side_commits": 2}, "database committed 2 writes after"),
        ({"acknowledged_writes": 0}, "no write was acknowledged"),
        ({"executions": (Execution("run-1", "FAILED", "x"),)}, "run-1 in x is FAILED"),
        ({"executions": (Execution("run-1", "ABORTED", "x"),)}, "run-1 in x is ABORTED"),
        ({"killed_orchestrator_at": "promote"}, "0 executions are ABORTED"),
        ({"pids_left": (42,)}, "left running: 42"),
    ],
)
def test_each_thing_that_is_wrong_is_said(changes: dict[str, Any], sentence: str) -> None:
    found = problems(succeeded(**changes))
    assert len(found) == 1
    assert sentence in found[0]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"old_side_wrote_seconds": 6.1}, "for 6.1 s after its return; it must be fenced within 6 s"),
        ({"old_side_answers": 0}, "no client reached the old primary"),
        ({"led_back": 3}, "to the old primary 3 times"),
        ({"returned_at": None, "writes_on_both_sides": 0, "old_side_commits": None}, "was not brought back"),
        ({"lease": True, "old_side_commits": 0}, "acknowledged 2 writes after"),
        ({"lease": True, "writes_on_both_sides": 0}, "committed 3 writes after"),
    ],
)
def test_what_a_primary_that_came_back_must_not_do(changes: dict[str, Any], sentence: str) -> None:
    found = problems(revived(**changes))
    assert len(found) == 1
    assert sentence in found[0]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"decisions": ()}, "no run asked a person"),
        ({"answers": ()}, "no answer of the person was taken: no question was found"),
        (
            {"answers": (Answered("run-1", "approve", 2, 106.0, "relight: it asks nothing now"),)},
            "no answer of the person was taken: relight: it asks nothing now",
        ),
        ({"missing_writes": ("a",)}, "mode planned loses none"),
    ],
)
def test_a_planned_failover_is_asked_for_and_loses_nothing(changes: dict[str, Any], sentence: str) -> None:
    found = problems(asked(**changes))
    assert len(found) == 1
    assert sentence in found[0]


def test_a_rehearsal_in_which_nobody_was_to_answer_needs_no_answer() -> None:
    declined = {"finding": "application_lost", "fault": "app-lost", "decisions": asked().decisions}
    assert problems(stood_down(**declined, answer="none")) == ()
    assert "no answer" in problems(stood_down(**declined, answer="decline"))[0]


def test_a_rebooting_database_is_waited_for() -> None:
    waited = (Decided("run-1", "wait", "peer_database_busy", 100.0, 110.0, 9),)
    rebooting = {"fault": "database-rebooting", "finding": "primary_up"}
    assert problems(stood_down(**rebooting, decisions=waited)) == ()
    assert "no run waited" in problems(stood_down(**rebooting))[0]


def test_a_run_that_goes_on_where_another_was_stopped_finds_that() -> None:
    executions = (Execution("run-1", "ABORTED", "x"), Execution("run-2", "SUCCEEDED", "x"))
    went_on = succeeded(killed_orchestrator_at="promote", executions=executions, finding="half_done")
    assert problems(went_on) == ()


def test_what_the_old_primary_acknowledged_is_listed() -> None:
    text = printed(revived(writes_on_both_sides_ids=("r1-0-7", "r1-1-9")))
    for words in ("r1-0-7", "r1-1-9", "3.50 s", "at most 6.00 s is right"):
        assert words in text


def test_an_execution_that_was_stopped_on_purpose_is_no_problem() -> None:
    executions = (Execution("run-1", "ABORTED", "x"), Execution("run-2", "SUCCEEDED", "x"))
    assert problems(succeeded(killed_orchestrator_at="promote", executions=executions)) == ()


def test_standing_down_leaves_everything_as_it_was() -> None:
    before, after = Capacity(0, 0, 4), Capacity(0, 2, 4)
    assert "promoted 1 times; never" in problems(stood_down(promotions=1))[0]
    assert "Auto Scaling group" in problems(stood_down(asg=ScalingGroup(before, after)))[0]
    assert "no Region was lost" in problems(stood_down(missing_writes=("a",)))[0]
