"""`relight redrive`: whether a run can be driven on where it stopped, and the new one in its place.

moto does not implement RedriveExecution: the call is answered by a Stubber. What Step Functions makes of it has run
nowhere.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from botocore.stub import Stubber
from relight.head import Head, State
from relight_cli import following, redriving
from relight_cli.deployed import Deployed
from relight_cli.execution import Known
from relight_cli.exit_code import Exit, Refused
from relight_cli.redriving import _DEADLINES, Place, Redriving, anew_name, no_use_anew, objection, place

from tests.cli.by_hand import BOTH, THERE, Difficult, complaint, run
from tests.cli.on_call import document, strangers_credentials
from tests.statemachine.harness import until
from tests.statemachine.pair import Pair, pair
from tests.statemachine.standby import AUTOMATIC
from tests.unit.standby import HERE, HOME, NOW, execution

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
RUN = "failover-1-1"
ARN = execution(RUN)


class Redrivable(Difficult):
    """Step Functions of this Region, of which the one call that moto lacks is a stub's."""

    def __init__(self) -> None:
        super().__init__()
        self.redriven: list[str] = []
        self.refusal: str | None = None

    def client(self, service: str, region: str) -> Any:
        made = super().client(service, region)
        return _Stubbed(made, self) if service == "stepfunctions" else made


class _Stubbed:
    """All of a client but for `redrive_execution`, which a Stubber answers once it has looked at its parameters."""

    def __init__(self, made: Any, owner: Redrivable) -> None:
        self._made, self._owner = made, owner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)

    def redrive_execution(self, **given: Any) -> Any:
        with Stubber(self._made) as stub:
            if self._owner.refusal is not None:
                stub.add_client_error("redrive_execution", self._owner.refusal, "so it is", expected_params=given)
            else:
                stub.add_response("redrive_execution", {"redriveDate": datetime.now(UTC)}, given)
            answer = self._made.redrive_execution(**given)
        self._owner.redriven.append(given["executionArn"])
        return answer


@pytest.fixture(autouse=True)
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    strangers_credentials(monkeypatch)
    monkeypatch.setattr(following, "PAUSE_SECONDS", 0.02)


@pytest.fixture
def halted() -> Iterator[Pair]:
    """A run that was stopped while it promoted, and still holds the lock."""
    with pair(RunSeconds=3600, DecideSeconds=900) as made:
        stopped(made, "Bring capacity up")
        yield made


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Redrivable:
    made = Redrivable()
    monkeypatch.setattr(redriving, "Aws", lambda: made)
    return made


def stopped(both: Pair, at: str) -> None:
    """A run that was stopped there; what it has left goes on to its end."""
    held = both.machine.holds.hold(at)
    both.machine.start(AUTOMATIC, name=RUN)
    held.wait()
    both.machine.stop(ARN)
    held.see_off()
    until(lambda: both.machine.has_ended(ARN), "its end")


def test_a_run_that_was_stopped_and_has_its_lock_is_driven_on(halted: Pair, aws: Redrivable, capfd: Any) -> None:
    assert halted.ledger.head().owner == ARN
    assert run(["redrive", RUN, *BOTH, "--no-follow"]) == Exit.DONE
    lines = capfd.readouterr().out.splitlines()
    assert lines == [
        f"{RUN} in {HERE} goes on from 'Promote and bring capacity up'",
        f"  the same by hand: aws stepfunctions redrive-execution --region {HERE} --execution-arn {ARN}",
    ]
    assert run(["redrive", ARN, *THERE, "--no-follow", "--json"]) == Exit.DONE
    said = document(capfd.readouterr().out)
    assert (said["run"], said["anew"], said["from_state"]) == (RUN, False, "Promote and bring capacity up")
    assert aws.redriven == [ARN, ARN]


def test_past_its_deadline_it_is_not(halted: Pair, aws: Redrivable) -> None:
    """The deadline is that which the run itself has assigned, an hour after its decision."""
    ended = halted.machine.client.describe_execution(executionArn=ARN)["stopDate"].timestamp()
    shop = Deployed("shop", (HERE,))
    late = Redriving(shop, aws, lambda _: None, clock=lambda: ended + 3601)
    with pytest.raises(Refused) as refused:
        late.drive(RUN, anew=False)
    assert refused.value.code is Exit.NOT_REDRIVEN
    assert "stopped in 'Promote and bring capacity up', whose time was over" in refused.value.what
    assert f"relight redrive {RUN} --app shop --region {HERE} --anew" in refused.value.do
    assert not aws.redriven
    in_time = Redriving(shop, aws, lambda _: None, clock=lambda: ended + 3500)
    assert in_time.drive(RUN, anew=False).execution == ARN


def test_what_step_functions_refuses_is_told_with_what_helps(halted: Pair, aws: Redrivable, capfd: Any) -> None:
    aws.refusal = "ExecutionNotRedrivable"
    assert run(["redrive", RUN, *THERE]) == Exit.NOT_REDRIVEN
    assert "--anew starts another one" in complaint(capfd)
    aws.refusal = "AccessDeniedException"
    assert run(["redrive", RUN, *THERE, "--json"]) == Exit.DENIED
    assert document(capfd.readouterr().out)["error"]["exit"] == "DENIED"
    assert halted.machine.executions() == [ARN]


REFUSALS: tuple[tuple[dict[str, str], set[str], Exit], ...] = (
    ({"GetItem": "AccessDeniedException"}, set(), Exit.DENIED),
    ({"GetExecutionHistory": "ThrottlingException"}, set(), Exit.AWS),
    ({"GetItem": "ResourceNotFoundException"}, set(), Exit.NO_LEDGER),
    ({}, {HOME}, Exit.DONE),
    ({}, {HERE, HOME}, Exit.NO_ANSWER),
)


@pytest.mark.usefixtures("halted")
def test_what_aws_does_not_answer(aws: Redrivable, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    for refuses, dead, code in REFUSALS:
        aws.refuses, aws.dead = refuses, dead
        assert run(["redrive", RUN, *BOTH, "--no-follow", "--json"]) == code
        said = document(capfd.readouterr().out)
        assert said.get("error", {}).get("exit", "DONE") == code.name
    aws.refuses, aws.dead = {}, set()
    assert run(["redrive", "failover-9-9", *THERE]) == Exit.UNKNOWN_RUN
    assert complaint(capfd).startswith(f"there is no run failover-9-9 in {HERE}")
    assert run(["redrive", RUN, "--app", "shop", "--region", HOME]) == Exit.NO_LEDGER
    assert complaint(capfd)
    assert run(["redrive", RUN]) == Exit.BAD_INPUT
    assert complaint(capfd)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setattr(redriving, "Aws", Redrivable)
    assert run(["redrive", RUN, *THERE]) == Exit.NO_CREDENTIALS
    assert complaint(capfd)


def test_one_that_failed_is_not_and_anew_it_goes_on_from_what_is_there(aws: Redrivable, capfd: Any) -> None:
    with pair() as both:
        both.breaks = {"verify writes": RuntimeError("no write came back")}
        assert both.machine.outcome(both.machine.start(AUTOMATIC, name=RUN)).status == "FAILED"
        assert run(["redrive", RUN, *THERE]) == Exit.NOT_REDRIVEN
        said = complaint(capfd)
        assert said.startswith(f"{RUN} in {HERE} failed, and its last state would only fail again: FailoverFailed: ")
        assert len(both.machine.executions()) == 1
        both.breaks = {}
        assert run(["redrive", RUN, *THERE, "--anew"]) == Exit.DONE
        out = capfd.readouterr().out
        new = anew_name(RUN, 0).rpartition("-")[0]
        assert f"{new}-" in out
        assert "ended SUCCEEDED: " in out
        assert both.ledger.head().active == HERE
        assert len(both.replica.promotions) == 1
        given = both.machine.client.describe_execution(executionArn=both.machine.executions()[1])["input"]
        assert json.loads(given) == AUTOMATIC
        assert aws.redriven == []


def test_anew_makes_way_for_the_run_that_is_on(aws: Redrivable, capfd: Any) -> None:
    with pair() as both:
        stopped(both, "Gather and decide")
        held = both.machine.holds.hold("Gather and decide")
        both.machine.start(AUTOMATIC, name="failover-2-1")
        held.wait()
        assert run(["redrive", RUN, *THERE]) == Exit.NOT_REDRIVEN
        assert "has lost its lock (failover-2-1 holds it)" in complaint(capfd)
        assert run(["redrive", RUN, *THERE, "--anew", "--json"]) == Exit.RUN_ON
        assert "failover-2-1 is on" in document(capfd.readouterr().out)["error"]["what"]
        assert run(["redrive", "failover-2-1", *THERE, "--anew"]) == Exit.NOT_REDRIVEN
        assert "at work" in complaint(capfd)


# Decided from facts. Pure.

HELD = Head(True, 1, HOME, State.PROMOTING, owner=ARN)
STOPPED = Known(HERE, RUN, HELD, ARN, {"status": "ABORTED", "input": json.dumps(AUTOMATIC)}, None, None, {}, ())


def of(**described: Any) -> Known:
    return replace(STOPPED, described={**STOPPED.described, **described})


@pytest.mark.parametrize(
    ("found", "until_then", "said"),
    [
        (STOPPED, NOW + 1, None),
        (of(status="TIMED_OUT"), None, None),
        (STOPPED, NOW, "whose time was over 0 s ago"),
        (of(status="FAILED", error="FailoverFailed", cause="x"), None, "would only fail again"),
        (of(status="SUCCEEDED"), None, "is SUCCEEDED: there is nothing to drive on"),
        (of(status="RUNNING"), None, "is at work"),
        (of(redriveStatus="NOT_REDRIVABLE", redriveStatusReason="period exceeded"), None, "period exceeded"),
        (replace(STOPPED, head=replace(HELD, owner=None)), None, "has lost its lock (it was given back)"),
        (replace(STOPPED, execution=ARN.replace("-failover:", "-drill:")), None, "was a drill"),
        (replace(STOPPED, execution=None), None, "Step Functions has forgotten it"),
    ],
)
def test_what_can_be_driven_on(found: Known, until_then: float | None, said: str | None) -> None:
    refused = objection(found, Place("Prove it", until_then), NOW)
    assert (refused is None) is (said is None)
    if refused is not None:
        assert said is not None
        assert said in refused.what
        assert refused.code is Exit.NOT_REDRIVEN


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (AUTOMATIC, None),
        ({"reason": "home", "parent": "arn:x:failback-1-1"}, "it was the switchover of failback-1-1"),
        ({"source": "aws.cloudwatch"}, "an alarm's event had started it"),
        ({"reason": "we know", "force": True}, "it was forced"),
    ],
)
def test_what_is_of_no_use_anew(given: dict[str, Any], said: str | None) -> None:
    found = no_use_anew(of(input=json.dumps(given)))
    assert found is None if said is None else (found or "").startswith(said)


def test_a_name_stays_short_and_is_not_stacked() -> None:
    assert anew_name(RUN, 120) == f"{RUN}-anew-2"
    assert anew_name(anew_name(RUN, 120), 180) == f"{RUN}-anew-3"
    assert len(anew_name("x" * 80, NOW)) == 80


def entered(number: int, name: str) -> dict[str, Any]:
    return {"id": number, "stateEnteredEventDetails": {"name": name}}


def exited(number: int, **assigned: str) -> dict[str, Any]:
    return {"id": number, "stateExitedEventDetails": {"name": "x", "assignedVariables": assigned}}


@pytest.mark.parametrize(
    ("kind", "events", "found"),
    [
        ("failover", [], Place(None, None)),
        (
            "failover",
            [
                entered(9, "Promote replica"),
                entered(8, "Prove it"),
                exited(7, deadline="2000"),
                exited(3, deadline="1"),
            ],
            Place("Prove it", 2.0),
        ),
        ("failover", [entered(9, "Record"), exited(7, deadline="2000")], Place("Record", None)),
        ("failover", [entered(9, "Stop writes"), exited(8, quiesce_by="x")], Place("Stop writes", None)),
        (
            "failback",
            [entered(9, "Build the replica"), exited(8, by="90000", at='"x"')],
            Place("Build the replica", 90),
        ),
        ("drill", [entered(9, "Try a write"), exited(8, by="90000")], Place(None, None)),
    ],
)
def test_where_a_run_stopped(kind: str, events: list[dict[str, Any]], found: Place) -> None:
    assert place(kind, events) == found


@pytest.mark.parametrize("kind", _DEADLINES)
def test_each_state_is_one_of_its_machine_and_each_deadline_is_asked_there(kind: str) -> None:
    text = (ROOT / f"statemachine/{kind}.asl.yaml").read_text()
    machine = yaml.safe_load(text)["States"]
    for state, variable in _DEADLINES[kind].items():
        assert state in machine
        assert variable is None or f"$millis() > ${variable}" in text
