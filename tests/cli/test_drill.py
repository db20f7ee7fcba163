"""`relight drill`: started in the standby, followed by what its steps say, and ended as it ends."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from relight.drill import Kind
from relight.question import Question, Urgency
from relight_cli import drilling
from relight_cli.aws import Aws
from relight_cli.command import run
from relight_cli.deployed import Deployed
from relight_cli.drilling import Begun, Drilling, Ended, Wanted, ended, measured
from relight_cli.exit_code import Exit, Refused

from tests.cli.on_call import ME, PATIENCE, document, strangers_credentials
from tests.statemachine.harness import Machine, machine, until
from tests.unit.standby import HERE, HOME, NOW, claims, make_ledger, take_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relight.ledger import Ledger

THERE = ("--app", "shop", "--region", HERE)
BUCKET = f"relight-evidence-shop-123456789012-{HERE}"
SHOP = Deployed("shop", (HERE,))
DEFINITION = {
    "QueryLanguage": "JSONata",
    "StartAt": "Drill",
    "TimeoutSeconds": 60,
    "States": {
        "Drill": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Arguments": {
                "FunctionName": "drill",
                "Payload": {
                    "me": "{% $states.context.Execution.Id %}",
                    "name": "{% $states.context.Execution.Name %}",
                    "started": "{% $states.input %}",
                },
            },
            "Output": "{% $states.result.Payload %}",
            "End": True,
        }
    },
}


class Site:
    """The DR Region while a drill is on."""

    def __init__(self) -> None:
        self.ledger: Ledger
        self.machine: Machine
        self.s3: Any
        self.inputs: list[dict[str, Any]] = []
        self.error: Exception | None = None
        self.end: dict[str, Any] = {"status": "SUCCEEDED", "sentence": "restored, and gone again"}
        self.drill: dict[str, Any] | None = None
        self.let_go = threading.Event()
        self.let_go.set()

    def handle(self, event: dict[str, Any]) -> dict[str, Any]:
        """What the state machine does, from its first step to its last."""
        self.inputs.append(event["started"])
        if self.error is not None:
            raise self.error
        at_work = take_lock(self.ledger, event["name"], NOW, owner=event["me"])
        self.ledger.step_began(at_work, "drill (database)", NOW)
        said = "shop-dr-drill-1 took a write"
        self.ledger.step_says(at_work, "drill (database)", NOW + 840, said, done=True)
        if event["started"]["kind"] == "promote":
            sentence = "it costs about 3 USD, and snapshots the primary"
            question = Question(1, "token", NOW, NOW + 600, "costs", sentence, "planned", Urgency.FIRST)
            self.ledger.keep_question(at_work, question)
        if self.drill is not None:
            body = json.dumps({"drill": self.drill, "sentence": "as the evidence says"}).encode()
            self.s3.put_object(Bucket=BUCKET, Key=f"runs/{event['name']}/run.json", Body=body)
        assert self.let_go.wait(PATIENCE)
        return self.end


@pytest.fixture(autouse=True)
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    strangers_credentials(monkeypatch)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(drilling, "PAUSE_SECONDS", 0.02)
    made = Site()
    with machine(DEFINITION, {"drill": made.handle}, region=HERE, name="relight-shop-drill") as at:
        made.machine, made.ledger = at, make_ledger(boto3.client("dynamodb", region_name=HERE))
        made.s3 = boto3.client("s3", region_name=HERE)
        made.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": HERE})
        try:
            yield made
        finally:
            made.let_go.set()


def complaint(capfd: pytest.CaptureFixture[str]) -> str:
    said = capfd.readouterr().err
    assert said.startswith("relight: ")
    assert said.count("\n") == 1
    return said.removeprefix("relight: ").rstrip("\n")


# Begun and followed.


def test_it_is_started_and_its_steps_are_shown_to_its_end(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.drill = {"kind": "restore", "restore_seconds": 840.4, "promote_seconds": None, "left_over": []}
    assert run(["drill", *THERE, "--reason", "the monthly one"]) == Exit.DONE
    out, error = capfd.readouterr()
    assert error == ""
    first, where, *rest = out.splitlines()
    name = first.split()[0]
    assert name.startswith("drill-restore-")
    assert first == f"{name} in {HERE} has been started (restore), because: the monthly one"
    assert where.endswith(f":execution:relight-shop-drill:{name}")
    assert rest == [
        "  drill (database): shop-dr-drill-1 took a write (14 min)",
        f"{name} in {HERE} ended SUCCEEDED: restored, and gone again",
        "  restored in 840 s",
        "  left over: nothing",
        f"  all of it: relight report {name} --app shop --region {HERE}",
    ]
    assert site.inputs == [{"kind": "restore", "reason": f"the monthly one (by {ME})"}]


def test_it_says_that_it_will_ask_and_what_it_asks(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["drill", *THERE, "--kind", "promote", "--keep-minutes", "30"]) == Exit.DONE
    lines = capfd.readouterr().out.splitlines()
    name = lines[0].split()[0]
    answer = f"relight approve {name} --app shop --region {HERE} --reason 'WHY'"
    assert lines[1] == f"  it asks before it goes on; the answer: {answer}"
    assert "  it asks: it costs about 3 USD, and snapshots the primary" in lines
    assert lines.count(f"  the answer: {answer}") == 1
    assert site.inputs[0]["keep_minutes"] == 30
    assert site.inputs[0]["kind"] == "promote"


def test_as_json_it_is_one_document(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.drill = {"kind": "plan", "left_over": []}
    assert run(["drill", *THERE, "--kind", "plan", "--json"]) == Exit.DONE
    said = document(capfd.readouterr().out)
    assert (said["kind"], said["region"], said["status"], said["started"]) == ("plan", HERE, "SUCCEEDED", True)
    assert said["drill"] == {"kind": "plan", "left_over": []}


def test_without_following_it_goes_on_by_itself(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.let_go.clear()
    assert run(["drill", *THERE, "--no-follow", "--json"]) == Exit.DONE
    said = document(capfd.readouterr().out)
    assert (said["status"], said["drill"]) == (None, None)
    until(lambda: site.inputs, "the drill begins")
    assert not site.machine.has_ended(said["execution"])


def test_it_runs_in_the_region_that_stands_by(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.machine.beside(DEFINITION, "relight-shop-drill", HOME)
    home = make_ledger(boto3.client("dynamodb", region_name=HOME))
    both = ("--app", "shop", "--region", HERE, "--peer-region", HOME)
    for epoch, active, standby in ((4, HERE, HOME), (6, HOME, HERE)):
        for ledger in (home, site.ledger):
            ledger.mirror(claims(epoch, active), 0)
        assert run(["drill", *both, "--no-follow", "--json"]) == Exit.DONE
        assert document(capfd.readouterr().out)["region"] == standby


def test_two_starts_in_one_minute_are_one_or_the_second_is_refused(site: Site) -> None:
    site.let_go.clear()
    said: list[str] = []
    at_work = Drilling(SHOP, Aws(), said.append, clock=lambda: NOW)
    first = at_work.begin(Wanted(Kind.RESTORE, "a"))
    assert at_work.begin(Wanted(Kind.RESTORE, "a")).execution == first.execution
    with pytest.raises(Refused) as refused:
        at_work.begin(Wanted(Kind.RESTORE, "b"))
    assert refused.value.code is Exit.RUN_ON
    assert len(site.machine.executions()) == 1


# How it ends.


def test_a_refused_one_is_one_line_with_its_reason(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.end = {"status": "STOOD_DOWN", "finding": "DrillRefused", "sentence": "too few vCPUs: 2 of 4"}
    assert run(["drill", *THERE]) == Exit.DRILL_REFUSED
    said = complaint(capfd)
    assert said.endswith("ended STOOD_DOWN: too few vCPUs: 2 of 4")


def test_a_failed_one_is_one_line_too_and_json_has_it(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.error = RuntimeError("no answer")
    assert run(["drill", *THERE, "--json"]) == Exit.DRILL_FAILED
    out, error = capfd.readouterr()
    said = document(out)
    assert said["sentence"] == "RuntimeError: no answer"
    assert (said["error"]["exit_code"], said["error"]["exit"]) == (Exit.DRILL_FAILED, "DRILL_FAILED")
    assert error == ""


def test_the_sentence_is_that_of_the_evidence_where_the_machine_says_none(
    site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
    site.end, site.drill = {"status": "SUCCEEDED", "rto_seconds": None}, {"kind": "plan"}
    assert run(["drill", *THERE, "--kind", "plan"]) == Exit.DONE
    assert f"in {HERE} ended SUCCEEDED: as the evidence says\n" in capfd.readouterr().out


def test_what_is_left_over_is_named(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.end = {"status": "FAILED", "sentence": "the site did not come up"}
    site.drill = {"kind": "restore", "restore_seconds": None, "left_over": ["shop-dr-drill-1"]}
    assert run(["drill", *THERE]) == Exit.DRILL_FAILED
    out, error = capfd.readouterr()
    assert "  left over: shop-dr-drill-1\n" in out
    assert "ended FAILED: the site did not come up" in error


def test_one_that_is_stopped_has_failed(site: Site) -> None:
    site.let_go.clear()
    at_work = Drilling(SHOP, Aws(), lambda _: None, pause=0.02)
    begun = at_work.begin(Wanted(Kind.RESTORE, "a"))
    until(lambda: site.ledger.timeline(begun.run)[1], "it is at work")
    site.machine.stop(begun.execution, "a failover takes its place")
    end = at_work.follow(begun)
    assert (end.code, end.sentence) == (Exit.DRILL_FAILED, "a failover takes its place")


@pytest.mark.parametrize(
    ("found", "end"),
    [
        (
            {"status": "SUCCEEDED", "output": '{"status": "STOOD_DOWN", "sentence": "declined by ann"}'},
            Ended("STOOD_DOWN", "declined by ann", Exit.DRILL_REFUSED),
        ),
        ({"status": "SUCCEEDED", "output": "3"}, Ended("SUCCEEDED", "SUCCEEDED", Exit.DONE)),
        (
            {"status": "SUCCEEDED", "output": '{"status": "ALREADY_IN_PROGRESS", "sentence": "it is on: x"}'},
            Ended("ALREADY_IN_PROGRESS", "it is on: x", Exit.DRILL_REFUSED),
        ),
        (
            {"status": "FAILED", "error": "LockUnavailable", "cause": "The lock could not be taken"},
            Ended("FAILED", "LockUnavailable: The lock could not be taken", Exit.DRILL_REFUSED),
        ),
        (
            {"status": "FAILED", "error": "DrillFailed", "cause": "the site did\nnot come up"},
            Ended("FAILED", "DrillFailed: the site did not come up", Exit.DRILL_FAILED),
        ),
        (
            {"status": "FAILED", "error": "States.Timeout"},
            Ended("FAILED", "States.Timeout: no cause was given", Exit.DRILL_FAILED),
        ),
        ({"status": "TIMED_OUT"}, Ended("TIMED_OUT", "no cause was given", Exit.DRILL_FAILED)),
        (
            {"status": "ABORTED", "error": "InputInvalid", "cause": "by hand"},
            Ended("ABORTED", "InputInvalid: by hand", Exit.DRILL_FAILED),
        ),
    ],
)
def test_how_an_execution_ended(found: dict[str, Any], end: Ended) -> None:
    assert ended(found) == end


@pytest.mark.parametrize(
    ("drill", "lines"),
    [
        ({}, []),
        ({"promote_seconds": 61.2, "left_over": ["a", "b\x1b"]}, ["  promoted in 61 s", "  left over: a, b"]),
        ({"restore_seconds": "soon", "left_over": None}, []),
    ],
)
def test_what_its_evidence_measured(drill: dict[str, Any], lines: list[str]) -> None:
    assert list(measured(drill)) == lines


# AWS that is silent.


class Silent(Drilling):
    """A Region that does not answer for a while."""

    silences = 0

    def _describe(self, region: str, execution: str) -> dict[str, Any]:
        if self.silences:
            self.silences -= 1
            raise Refused("AWS cannot be reached", code=Exit.NO_ANSWER)
        return super()._describe(region, execution)


def test_a_short_silence_ends_no_following(site: Site) -> None:
    at_work = Silent(SHOP, Aws(), lambda _: None, pause=0.01)
    begun = at_work.begin(Wanted(Kind.RESTORE, "a"))
    at_work.silences = 3
    assert at_work.follow(begun).code is Exit.DONE


def test_a_long_silence_does() -> None:
    seconds = iter(range(0, 10_000, 200))
    at_work = Silent(SHOP, Aws(), lambda _: None, clock=lambda: next(seconds), pause=0.0)
    at_work.silences = 1000
    execution = f"arn:aws:states:{HERE}:123456789012:execution:relight-shop-drill:d"
    with pytest.raises(Refused) as refused:
        at_work.follow(Begun(HERE, execution, Wanted(Kind.RESTORE, "a"), new=True))
    assert refused.value.code is Exit.NO_ANSWER


# What is foreseen.


def test_without_the_machine_it_is_to_be_deployed(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    make_ledger(boto3.client("dynamodb", region_name=HOME))
    assert run(["drill", "--app", "shop", "--region", HOME]) == Exit.CONFIGURATION
    assert complaint(capfd).startswith(f"there is no state machine relight-shop-drill in {HOME}")


@pytest.mark.parametrize(
    "words",
    [
        [],
        [*THERE, "--kind", "everything"],
        [*THERE, "--reason", " "],
        [*THERE, "--keep-minutes", "481"],
        [*THERE, "--keep-minutes", "-1"],
    ],
)
def test_bad_input_is_one_line(capfd: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert run(["drill", *words]) == Exit.BAD_INPUT
    assert complaint(capfd)
