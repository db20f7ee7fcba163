"""`relight failover`: what would happen, and the run itself, on the product's own state machine."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import yaml
from moto import mock_aws
from relight.head import Capacity
from relight.policy import Approval
from relight.signal import Seen, View
from relight_cli import failing_over, following
from relight_cli.ahead import ahead, costs, needs_a_person
from relight_cli.deployed import Deployed
from relight_cli.exit_code import Exit, Refused
from relight_cli.failing_over import FailingOver, Wanted
from relight_cli.failover import Mode
from relight_cli.following import Ended, ended

from tests.cli.by_hand import BOTH, THERE, Difficult, Foresight, complaint, run
from tests.cli.on_call import ME, document, strangers_credentials
from tests.statemachine.pair import APPLICATION_LOST, LOST, WELL, Pair, pair
from tests.statemachine.standby import AUTOMATIC
from tests.unit import situation
from tests.unit.standby import HERE, HOME, NOW, claims, execution, make_ledger, take_lock
from tests.unit.test_assess_preview import items

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relight.ledger import Ledger

ROOT = Path(__file__).parents[2]
WHY = ("--reason", "the Region is dark")
DRILL = f"arn:aws:states:{HERE}:123456789012:execution:relight-shop-drill:drill-restore-1"


@pytest.fixture(autouse=True)
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    strangers_credentials(monkeypatch)
    monkeypatch.setattr(following, "PAUSE_SECONDS", 0.02)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """Of the DR Region; the primary one has its own, which is empty."""
    with mock_aws():
        made = make_ledger(boto3.client("dynamodb", region_name=HERE))
        make_ledger(boto3.client("dynamodb", region_name=HOME))
        yield made


@pytest.fixture
def aws(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Difficult:
    made = Difficult(Foresight(ledger))
    monkeypatch.setattr(failing_over, "Aws", lambda: made)
    return made


@pytest.fixture
def foresight(aws: Difficult) -> Foresight:
    assert aws.foresight is not None
    return aws.foresight


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """The primary Region is lost, and a person is at the command line."""
    with pair() as made:
        monkeypatch.setattr(failing_over, "Aws", Difficult)
        yield made


# What would happen.


def test_a_plan_says_all_of_it_and_changes_nothing(ledger: Ledger, aws: Difficult, capfd: Any) -> None:
    ledger.keep_capacity("shop-primary", Capacity(2, 3, 6), NOW - 60)
    ledger.keep_capacity("shop-dr, standing by", Capacity(0, 0, 4), NOW - 60)
    ledger.keep_readiness({"at": NOW - 600, "ready": True, "score": 92, "sentence": "eu-central-1 is ready"}, NOW)
    before = items(ledger)
    assert run(["failover", "--plan", *BOTH]) == Exit.DONE
    assert items(ledger) == before
    out, error = capfd.readouterr()
    assert error == ""
    assert out.splitlines() == [
        f"a failover to {HERE} would go ahead, by the facts of 2026-09-21T14:13:20Z; nothing was changed",
        "  verdict: proceed, by_hand, mode emergency: started by hand",
        f"  active: {HOME} (epoch 0, steady); policy auto",
        (
            "  left alone: proceed, region_lost: the active Region is lost, from outside, from here and on the "
            "replication stream, unbroken for 70 s"
        ),
        "  outside: DOWN for 1 min 10 s, seen 1 s ago: outside says DOWN",
        "  from_dr: DOWN for 1 min 10 s, seen 1 s ago: from_dr says DOWN",
        "  stream: DOWN for 1 min 10 s, seen 1 s ago: stream says DOWN",
        "  control: UP for 1 min 10 s, seen 1 s ago: control says UP",
        "  newest write known here: 1 min 15 s ago",
        "  costs in data: about 5 s of writes",
        f"  readiness: {HERE} is ready (looked at 10 min ago, score 92)",
        "step by step:",
        f"  1. Take lock: epoch 1 begins in {HERE}",
        f"  2. Warm up: as many instances as {HOME} had last (shop-primary has 3); never fewer than now",
        "  3. Gather and decide: proceed (by_hand): started by hand",
        (
            f"  4. Switch and fence: DNS is switched; the target group holds traffic back until writes work; {HOME} is "
            "cut off"
        ),
        (
            f"  5. Promote and bring capacity up: {HERE}: THE ONE-WAY DOOR: behind it there is only forward, and no "
            "way back but a failback"
        ),
        "  6. Prove it: a write from outside is read back, and clients are answered from here",
        "  7. Harden: backups, deletion protection, Multi-AZ as they were; the old side's instances go",
        "  8. Record: evidence, notification; the lock is given back",
        "needs a person: nothing until it has ended; then the way home, whenever it suits (relight failback)",
        f"start it: relight failover --app shop --region {HERE} --reason 'WHY'",
    ]


def test_a_plan_as_json_is_one_document(foresight: Foresight, ledger: Ledger, capfd: Any) -> None:
    foresight.facts = situation.facts(signals=situation.signals(stream=situation.signal(View.STREAM, Seen.UP)))
    assert run(["failover", "--plan", *BOTH, "--mode", "planned", "--json"]) == Exit.DONE
    said = document(capfd.readouterr().out)
    assert (said["goes_on"], said["verdict"]["mode"], said["readiness"]) == (True, "planned", None)
    assert said["costs"].startswith("no write is lost")
    assert [one["state"] for one in said["steps"]][3:7] == [
        "Bring instances into service",
        "Switch and fence",
        "Stop writes",
        "See the last write arrive",
    ]
    assert foresight.asked == [{"preview": True, "reason": "a preview", "mode": "planned"}]
    assert items(ledger) == []


def test_a_plan_that_would_not_go_ahead_ends_with_1(foresight: Foresight, ledger: Ledger, capfd: Any) -> None:
    ledger.freeze(0, NOW + 60, "works", "ann")
    assert run(["failover", "--plan", *THERE, "--json"]) == Exit.OTHERWISE
    said = document(capfd.readouterr().out)
    assert (said["goes_on"], said["verdict"]["finding"]) == (False, "frozen")
    assert said["steps"][-1]["state"] == "Stand down"
    assert run(["failover", "--plan", *THERE, "--force", *WHY]) == Exit.DONE
    assert foresight.asked[-1]["force"] is True


def test_a_plan_looks_past_a_run_that_is_dead_and_a_drill_that_makes_room(
    foresight: Foresight, ledger: Ledger, capfd: Any
) -> None:
    take_lock(ledger, "failover-1-1", NOW)
    assert run(["failover", "--plan", *THERE]) == Exit.DONE
    assert "1. Take lock: epoch 2 begins in eu-central-1; failover-1-1 is over" in capfd.readouterr().out
    assert [event.get("instead_of") for event in foresight.asked] == [None, execution("failover-1-1")]
    take_lock(ledger, "drill-restore-1", NOW, owner=DRILL)
    assert run(["failover", "--plan", *THERE]) == Exit.DONE
    assert "drill-restore-1 is stopped, it makes room" in capfd.readouterr().out


def test_a_plan_with_the_primary_region_dead_is_one_all_the_same(aws: Difficult, capfd: Any) -> None:
    aws.dead = {HOME}
    assert run(["failover", "--plan", *BOTH]) == Exit.DONE
    assert "would go ahead" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("refuses", "dead", "code"),
    [
        ({}, {HERE, HOME}, Exit.NO_ANSWER),
        ({}, {HERE}, Exit.NO_ANSWER),
        ({"GetItem": "AccessDeniedException"}, set(), Exit.DENIED),
        ({"Invoke": "AccessDeniedException"}, set(), Exit.DENIED),
        ({"Invoke": "TooManyRequestsException"}, set(), Exit.AWS),
        ({"GetItem": "ThrottlingException"}, set(), Exit.AWS),
        ({"Invoke": "ResourceNotFoundException"}, set(), Exit.CONFIGURATION),
        ({"GetItem": "ExpiredTokenException"}, set(), Exit.EXPIRED),
        ({"GetItem": "ResourceNotFoundException"}, set(), Exit.NO_LEDGER),
    ],
)
def test_what_keeps_a_plan_from_being_told(
    aws: Difficult, capfd: Any, refuses: dict[str, str], dead: set[str], code: Exit
) -> None:
    aws.refuses, aws.dead = refuses, dead
    words = BOTH if len(dead) != 1 else THERE
    assert run(["failover", "--plan", *words]) == code
    told = complaint(capfd)
    not_possible = f"a failover to {HERE} is not possible while it does not answer; relight status says who is active"
    assert (not_possible in told) == (dead == {HERE})
    assert run(["failover", "--plan", *words, "--json"]) == code
    assert document(capfd.readouterr().out)["error"]["exit"] == code.name


@pytest.mark.parametrize(
    ("failure", "code"), [("InputInvalid", Exit.BAD_INPUT), ("KeyError", Exit.AWS), (None, Exit.CONFIGURATION)]
)
def test_a_function_that_fails_or_knows_no_preview_is_told(
    aws: Difficult, foresight: Foresight, monkeypatch: pytest.MonkeyPatch, capfd: Any, failure: str | None, code: Exit
) -> None:
    """And never with the code that says that a run would not go ahead."""
    foresight.failure = failure
    if failure is None:
        monkeypatch.setattr(foresight, "_foreseen", lambda _event: {"action": "proceed"})
    assert run(["failover", "--plan", *THERE]) == code
    assert ("it went wrong" if failure else "knows no preview") in complaint(capfd)


def test_without_credentials_it_says_so(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    for words in (["failover", "--plan", *THERE], ["failover", *WHY, *THERE]):
        assert run(words) == Exit.NO_CREDENTIALS
        assert "there are no AWS credentials" in complaint(capfd)


# Step by step. Pure.

FORESEEN: dict[str, Any] = {
    "region": HERE,
    "active": HOME,
    "epoch": 4,
    "action": "proceed",
    "finding": "by_hand",
    "sentence": "started by hand",
    "mode": "planned",
    "look_again_seconds": 10,
    "estimated_loss_seconds": 12.0,
    "max_data_loss_seconds": 10.0,
}


def test_each_state_is_one_of_the_machine_and_in_its_order() -> None:
    machine = yaml.safe_load((ROOT / "statemachine/failover.asl.yaml").read_text())["States"]
    inner = [name for state in machine["Warm up and decide"]["Branches"] for name in state["States"]]
    order = [name for top in machine for name in ([*inner] if top == "Warm up and decide" else [top])]
    for changed in ({}, {"action": "ask"}, {"action": "stand_down"}, {"finding": "half_done"}, {"action": "wait"}):
        states = [one.state for one in ahead(FORESEEN | changed, {})]
        assert states == sorted(states, key=order.index)


@pytest.mark.parametrize(
    ("changed", "cost", "person"),
    [
        ({}, "no write is lost", "nothing until"),
        ({"mode": "emergency"}, "about 12 s of writes, more than MaxDataLossSeconds (10)", "nothing until"),
        ({"mode": "emergency", "estimated_loss_seconds": None}, "UNKNOWN", "nothing until"),
        ({"action": "ask", "mode": "emergency", "estimated_loss_seconds": 3.0}, "about 3 s of writes", "its question"),
        ({"action": "wait"}, "nothing: nothing would be promoted", "nothing yet"),
        ({"action": "refuse", "finding": "mode_needed"}, "nothing: nothing", "whoever starts it"),
    ],
)
def test_what_it_costs_and_needs(changed: dict[str, Any], cost: str, person: str) -> None:
    assert costs(FORESEEN | changed).startswith(cost)
    assert needs_a_person(FORESEEN | changed).startswith(person)


# The run.


def test_it_is_started_and_followed_to_its_end(both: Pair, capfd: Any) -> None:
    assert run(["failover", *WHY, "--mode", "emergency", *BOTH]) == Exit.DONE
    out, error = capfd.readouterr()
    assert error == ""
    first, hand, watch, cancel, *rest = out.splitlines()
    name = first.split()[0]
    assert first == f"{name} in {HERE} has been started, mode emergency, because: the Region is dark"
    assert name.startswith("failover-1-by-hand-")
    assert hand.startswith(f"  the same by hand: aws stepfunctions start-execution --region {HERE} ")
    assert f"--name {name} --input '" in hand
    assert watch == f"  watch it:  relight watch --run {name} --app shop --region {HERE} --peer-region {HOME}"
    assert cancel == f"  cancel it: relight cancel {name} --app shop --region {HERE} --reason 'WHY'"
    assert any(line.startswith("  promote: ") for line in rest)
    assert rest[-2].startswith(f"{name} in {HERE} ended SUCCEEDED: ")
    assert both.ledger.head().active == HERE
    (started,) = both.machine.executions()
    given = json.loads(both.machine.client.describe_execution(executionArn=started)["input"])
    assert given == {"reason": f"the Region is dark (by {ME})", "mode": "emergency"}


def test_one_that_stands_down_is_one_line_and_with_json_one_document(both: Pair, capfd: Any) -> None:
    both.see(APPLICATION_LOST)
    both.ledger.freeze(0, time.time() + 600, "works", "ann")
    assert run(["failover", *WHY, *THERE]) == Exit.OTHERWISE
    _out, error = capfd.readouterr()
    assert error.startswith("relight: failover-1-by-hand-")
    assert "ended STOOD_DOWN: failover is frozen by an operator: works" in error
    assert error.endswith("relight explain --finding frozen\n")
    # Within the same minute: the epoch has grown, so it is another run.
    assert run(["failover", *WHY, *THERE, "--json"]) == Exit.OTHERWISE
    said = document(capfd.readouterr().out)
    assert (said["status"], said["finding"], said["started"]) == ("STOOD_DOWN", "frozen", True)
    assert said["run"].startswith("failover-2-by-hand-")


def test_with_the_primary_region_dead_it_goes_on(both: Pair, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    aws = Difficult()
    aws.dead = {HOME}
    monkeypatch.setattr(failing_over, "Aws", lambda: aws)
    assert run(["failover", *WHY, *BOTH, "--json"]) == Exit.DONE
    assert document(capfd.readouterr().out)["status"] == "SUCCEEDED"


def test_another_failover_that_is_on_is_named_with_what_to_do(both: Pair, capfd: Any) -> None:
    both.policy = replace(both.policy, approval=Approval.APPROVE)
    both.see(APPLICATION_LOST)
    held = both.machine.holds.hold("Gather and decide")
    both.machine.start(AUTOMATIC, name="failover-1-1")
    held.wait()
    assert run(["failover", *WHY, *THERE]) == Exit.RUN_ON
    assert "a failover is on in eu-central-1 already: failover-1-1 (because: probe: region_lost)" in (
        said := complaint(capfd)
    )
    assert "relight watch --run failover-1-1" in said
    held.let_go()
    following_asks = time.monotonic() + 20
    while both.ledger.question("failover-1-1") is None:
        assert time.monotonic() < following_asks
        time.sleep(0.01)
    assert run(["failover", *WHY, *THERE, "--json"]) == Exit.RUN_ON
    assert "it asks, so answer it: relight approve failover-1-1" in document(capfd.readouterr().out)["error"]["do"]


def test_the_same_wish_again_finds_the_run_that_is_on(both: Pair, capfd: Any) -> None:
    held = both.machine.holds.hold("Gather and decide")
    assert run(["failover", *WHY, *THERE, "--no-follow", "--json"]) == Exit.DONE
    first = document(capfd.readouterr().out)
    held.wait()
    assert run(["failover", *WHY, *THERE, "--no-follow", "--json"]) == Exit.DONE
    again = document(capfd.readouterr().out)
    assert (first["started"], again["started"], again["execution"]) == (True, False, first["execution"])
    assert (first["status"], len(both.machine.executions())) == (None, 1)


def test_ctrl_c_leaves_it_to_go_on_and_says_how_to_see_it_through(
    both: Pair, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    held = both.machine.holds.hold("Gather and decide")

    def interrupted(_following: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(following.Following, "tell", interrupted)
    assert run(["failover", *WHY, *THERE]) == 130
    out, error = capfd.readouterr()
    assert "goes on in AWS\n  watch it:  relight watch --run failover-1-by-hand-" in out
    assert error.startswith("relight: interrupted; what AWS has begun goes on there")
    execution = held.wait()
    assert not both.machine.has_ended(execution)


# Forced.


def force(answer: str | None, *, yes: str | None = None) -> list[str]:
    asked: list[str] = []

    def confirm(question: str) -> str | None:
        asked.append(question)
        return answer

    failing = FailingOver(Deployed("shop", (HERE,)), Difficult(), asked.append, confirm=confirm)
    failing.begin(Wanted("we know", Mode.EMERGENCY, force=True), yes)
    return asked


def test_what_is_forced_is_started_once_the_region_s_name_was_typed(both: Pair) -> None:
    asked = force(f" {HERE} ")
    assert any("this overrides every finding; type eu-central-1 to activate it" in line for line in asked)
    (started,) = both.machine.executions()
    given = json.loads(both.machine.client.describe_execution(executionArn=started)["input"])
    assert (given["force"], given["mode"]) == (True, "emergency")


@pytest.mark.parametrize(("answer", "yes"), [(None, None), ("yes", None), ("", None), (HERE, HOME)])
def test_without_it_nothing_is_started(both: Pair, answer: str | None, yes: str | None) -> None:
    with pytest.raises(Refused) as refused:
        force(answer, yes=yes)
    assert refused.value.code is Exit.NO_CONSENT
    assert both.machine.executions() == []


def test_where_nobody_can_be_asked_the_command_line_says_it(both: Pair, capfd: Any) -> None:
    forced = ["failover", *WHY, "--force", *THERE]
    assert run([*forced, "--json"]) == Exit.NO_CONSENT
    assert document(capfd.readouterr().out)["error"]["do"].startswith("type its name, or give --yes-activate eu-")
    both.see(WELL)
    assert run([*forced, "--yes-activate", HERE, "--json"]) == Exit.DONE
    assert document(capfd.readouterr().out)["force"] is True


# What is foreseen.


def test_an_empty_ledger_is_no_obstacle_and_none_is_one(both: Pair, capfd: Any) -> None:
    assert not both.ledger.head().written
    elsewhere = ("--app", "shop", "--region", "us-east-2")
    assert run(["failover", *WHY, *elsewhere]) == Exit.NO_LEDGER
    assert complaint(capfd).startswith("there is no ledger relight-shop in us-east-2")
    both.see(LOST)
    assert run(["failover", *WHY, *THERE, "--no-follow", "--json"]) == Exit.DONE
    capfd.readouterr()


@pytest.mark.parametrize(
    ("operation", "error", "code"),
    [
        ("StartExecution", "AccessDeniedException", Exit.DENIED),
        ("StartExecution", "ThrottlingException", Exit.AWS),
        ("StartExecution", "StateMachineDoesNotExist", Exit.CONFIGURATION),
        ("GetCallerIdentity", "InvalidClientTokenId", Exit.NO_CREDENTIALS),
    ],
)
def test_what_aws_refuses(ledger: Ledger, aws: Difficult, capfd: Any, operation: str, error: str, code: Exit) -> None:
    aws.refuses = {operation: error}
    assert run(["failover", *WHY, *THERE]) == code
    assert complaint(capfd)
    assert items(ledger) == []


@pytest.mark.parametrize(
    "words",
    [
        [*THERE],
        [*THERE, "--reason", " "],
        [*THERE, "--plan", "--force"],
        [*THERE, *WHY, "--mode", "quick"],
        [*WHY],
    ],
)
def test_bad_input_is_one_line(capfd: Any, words: list[str]) -> None:
    assert run(["failover", *words]) == Exit.BAD_INPUT
    assert complaint(capfd)


@pytest.mark.parametrize(
    ("found", "end"),
    [
        (
            {"status": "SUCCEEDED", "output": '{"status": "ALREADY_IN_PROGRESS", "sentence": "x is on"}'},
            Ended("ALREADY_IN_PROGRESS", "", "x is on", Exit.RUN_ON),
        ),
        (
            {"status": "FAILED", "error": "InputInvalid", "cause": "say why"},
            Ended("FAILED", "InputInvalid", "InputInvalid: say why", Exit.BAD_INPUT),
        ),
        ({"status": "TIMED_OUT"}, Ended("TIMED_OUT", "TIMED_OUT", "no cause was given", Exit.OTHERWISE)),
    ],
)
def test_how_a_run_ended(found: dict[str, Any], end: Ended) -> None:
    assert ended(found) == end


def test_the_standby_is_the_region_that_is_not_active(aws: Difficult, ledger: Ledger, capfd: Any) -> None:
    home = replace(ledger, dynamodb=boto3.client("dynamodb", region_name=HOME))
    for one in (ledger, home):
        one.mirror(claims(4, HERE), 0)
    assert run(["failover", *WHY, *BOTH]) == Exit.CONFIGURATION
    assert complaint(capfd).startswith(f"there is no state machine relight-shop-failover in {HOME}")
