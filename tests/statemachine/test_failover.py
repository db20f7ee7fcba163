"""The emergency failover run from its definition: each end that it can have, and what it leaves behind."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from relight.errors import NotAReplicaOfThePeer
from relight.ledger import State
from relight.question import Question

from lab.workflow import Workflows
from tests.statemachine.harness import REGION, Outcome
from tests.statemachine.standby import (
    AUTOMATIC,
    PRIMARY,
    PROCEED,
    RAISED,
    STEADY,
    TABLE,
    TOPIC,
    WAIT,
    Standby,
    StepBrokenError,
    client,
    standby,
)

BROKEN = StepBrokenError("the API said no")
ASK = {"action": "ask", "finding": "policy_approve", "sentence": "by policy a person approves a failover"}
# What `assess` finds when it does not let a run go on, by what it wants of the run.
STANDING_DOWN = [
    *(
        ("stand_down", finding)
        for finding in (
            "frozen",
            "already_active",
            "in_progress",
            "cooldown",
            "dr_not_ready",
            "primary_up",
            "up_from_outside",
            "dr_isolated",
            "one_view_only",
        )
    ),
    ("refuse", "policy_manual"),
]
BEFORE_THE_DOOR = ["assess", "switch engage", "promote"]
BEHIND_THE_DOOR = ["promote (begun)", "verify writes", "verify traffic"]


@pytest.fixture
def region() -> Iterator[Standby]:
    with standby() as made:
        yield made


def until(condition: Callable[[], Any], what: str, seconds: float = 10.0) -> Any:
    """The first true value of `condition`; AssertionError when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.005)
    return found


def assert_untouched(region: Standby) -> None:
    """As before the run: nothing raised, switched, fenced or promoted, and the lock is free."""
    head = region.ledger.head()
    assert (head.owner, head.state, head.promotion, head.capacity_before) == (None, State.STEADY, None, None)
    assert head.active == PRIMARY
    assert region.capacity == STEADY
    assert region.switches == {"STOP": 0.0, "GO": 0.0}
    assert (region.fenced, region.promoted) == (False, False)


def assert_red(region: Standby, ended: Outcome, *sentence: str) -> None:
    """A red execution with its sentence, told to people, and a free lock."""
    assert (ended.status, ended.error) == ("FAILED", "FailoverFailed")
    assert ended.cause is not None
    assert all(part in ended.cause for part in sentence), ended.cause
    assert region.ledger.head().owner is None
    assert ended.states[-1] == "Failed"


def assert_only_forward(region: Standby, ended: Outcome) -> None:
    """Behind the one-way door: nothing undone, and the next run finds the door open."""
    head = region.ledger.head()
    assert head.door_opened
    assert region.capacity == RAISED
    assert region.switches == {"STOP": 1.0, "GO": 1.0}
    assert region.fenced
    assert not {"scale restore", "switch clear", "fence lift"} & set(region.looks)
    assert ended.cause is not None
    assert "behind the one-way door" in ended.cause


# The way through.


def test_a_lost_region_is_failed_over(region: Standby) -> None:
    ended = region.run()

    assert ended.status == "SUCCEEDED"
    assert ended.output == {"status": "SUCCEEDED", "finding": "region_lost", "sentence": PROCEED["sentence"]}
    assert set(region.looks[:2]) == {"scale warm", "assess"}
    assert set(region.looks[2:5]) == {"switch engage", "fence cut", "fence open"}
    assert set(region.looks[5:7]) == {"promote", "scale serve"}
    assert set(region.looks[7:9]) == {"verify writes", "verify traffic"}
    assert region.looks[9] == "record tell"
    assert set(region.looks[10:12]) == {"harden", "fence empty"}
    assert region.looks[12:] == ["record"]
    assert (region.hardened, region.emptied, region.let_in) == (True, True, True)
    head = region.ledger.head()
    assert (head.active, head.state, head.owner, head.epoch) == (REGION, State.STEADY, None, 1)
    assert (head.promotion, head.capacity_before) == (None, None)
    assert region.switches == {"STOP": 1.0, "GO": 1.0}


def test_every_step_is_told_which_run_asks(region: Standby) -> None:
    execution = region.machine.start(AUTOMATIC, name="failover-1")
    ended = region.machine.outcome(execution)

    runs = [payload["run"] for _, payload in ended.calls]
    assert all(run == runs[0] for run in runs)
    assert runs[0] | {"started_at": 0} == {
        "id": "failover-1",
        "owner": execution,
        "epoch": 1,
        "started_at": 0,
        "mode": "emergency",
    }
    assert abs(runs[0]["started_at"] - time.time()) < 60


def test_the_end_is_recorded_told_and_mirrored_to_the_peer(region: Standby) -> None:
    region.machine.outcome(region.machine.start(AUTOMATIC, name="failover-1"))

    evidence = region.evidence("failover-1")
    assert (evidence["status"], evidence["finding"]) == ("SUCCEEDED", "region_lost")
    assert {"switch engage", "promote", "verify writes"} <= {step["name"] for step in evidence["steps"]}
    assert "ended SUCCEEDED: the primary Region is lost" in region.messages()[-1]
    peer = region.peer_ledger.head()
    assert (peer.active, peer.state, peer.epoch) == (REGION, State.STEADY, 1)


@pytest.mark.parametrize(
    ("one", "other"), [("promote", "scale serve"), ("scale warm", "assess"), ("verify writes", "verify traffic")]
)
def test_long_steps_run_side_by_side(region: Standby, one: str, other: str) -> None:
    both = threading.Barrier(2, timeout=10)
    region.during = {one: both.wait, other: both.wait}

    assert region.run().status == "SUCCEEDED"


def test_the_warm_up_does_not_wait_for_the_hold_down(region: Standby) -> None:
    region.verdicts.extendleft([WAIT, WAIT])
    region.during = {"assess": lambda: until(lambda: "scale warm" in region.ended, "the warm-up")}

    ended = region.run()

    assert ended.status == "SUCCEEDED"
    assert region.looks.count("assess") == 3
    assert region.looks.count("scale warm") == 1


def test_a_step_that_waits_is_looked_at_again(region: Standby) -> None:
    region.waits = {"promote": 2, "scale serve": 1, "verify writes": 1, "verify traffic": 2}

    ended = region.run()

    assert ended.status == "SUCCEEDED"
    assert [region.looks.count(step) for step in ("promote", "scale serve")] == [3, 2]
    assert [region.looks.count(step) for step in ("verify writes", "verify traffic")] == [2, 3]


def test_a_person_needs_to_give_no_more_than_a_reason(region: Standby) -> None:
    ended = region.run({"reason": "the primary's data centre is on fire"})

    assert ended.status == "SUCCEEDED"
    given = ended.called("assess")[0]
    assert (given["trigger"], given["force"]) == ("manual", False)
    assert given["reason"] == "the primary's data centre is on fire"


def test_a_person_may_force(region: Standby) -> None:
    ended = region.run({"reason": "RDS says nothing, but we know", "force": True})

    assert ended.called("assess")[0]["force"] is True


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"reason": ""},
        {"reason": "  "},
        {"reason": 5},
        {"reason": ["a", "b"]},
        {"reason": "real", "force": "yes"},
        {"reason": "real", "trigger": "by hand"},
        {"trigger": "automatic"},
        [],
        "failover",
        None,
    ],
)
def test_a_bad_request_is_refused_before_anything_is_touched(region: Standby, given: Any) -> None:
    ended = region.run(given)

    assert (ended.status, ended.error) == ("FAILED", "InputInvalid")
    assert ended.cause  # which test_inputs.py reads
    assert ended.states == ["Read the request", "Refuse the request"]
    assert "Item" not in client("dynamodb").get_item(TableName=TABLE, Key={"pk": {"S": "region"}, "sk": {"S": "head"}})


# Standing down.


@pytest.mark.parametrize(("action", "finding"), STANDING_DOWN)
def test_a_run_that_may_not_go_on_stands_down_and_undoes(region: Standby, action: str, finding: str) -> None:
    region.verdicts[0] = {"action": action, "finding": finding, "sentence": f"because of {finding}"}

    ended = region.run()

    assert ended.output == {"status": "STOOD_DOWN", "finding": finding, "sentence": f"because of {finding}"}
    assert "scale warm" in region.looks
    assert "promote" not in region.looks
    assert_untouched(region)
    assert f"ended STOOD_DOWN: because of {finding}" in region.messages()[-1]


def test_a_verdict_that_nobody_knows_stands_down(region: Standby) -> None:
    region.verdicts[0] = {"action": "perhaps", "finding": "unheard_of", "sentence": "hm"}

    assert region.run().output["status"] == "STOOD_DOWN"
    assert_untouched(region)


def test_what_never_becomes_certain_stands_down() -> None:
    with standby(DecideSeconds=0) as region:
        region.verdicts[0] = WAIT
        ended = region.run()

        assert ended.output == {
            "status": "STOOD_DOWN",
            "finding": "down_too_short",
            "sentence": "nothing could be decided in time: down for 3 s of 60 s",
        }
        assert_untouched(region)


def test_a_run_that_stood_down_comes_again(region: Standby) -> None:
    region.verdicts = type(region.verdicts)([{**PROCEED, "action": "stand_down", "finding": "dr_isolated"}, PROCEED])

    assert region.run().output["status"] == "STOOD_DOWN"
    assert region.run().output["status"] == "SUCCEEDED"
    assert region.ledger.head().epoch == 2


# Asking a person.


def token(region: Standby, execution: str, asked: int = 1) -> str:
    """The token of a run's question, which is in the message that asks, too; AssertionError if none comes."""
    run = execution.rpartition(":")[2]

    def question() -> Question | None:
        found = region.ledger.question(run)
        return found if found is not None and found.asked == asked else None

    found: Question = until(question, "the question")
    message = until(lambda: [m for m in region.messages() if found.token in m], "the message")[0]
    assert found.sentence in message
    assert f"relight approve {run}" in message
    return found.token


def test_a_person_who_approves_is_followed(region: Standby) -> None:
    region.verdicts[0] = ASK
    execution = region.machine.start(AUTOMATIC)
    given = token(region, execution)
    assert region.capacity == RAISED
    assert region.ledger.head().owner == execution

    region.machine.client.send_task_success(taskToken=given, output='{"by": "ann", "because": "the console is dark"}')

    ended = region.machine.outcome(execution)
    assert ended.output == {"status": "SUCCEEDED", "finding": "policy_approve", "sentence": ASK["sentence"]}
    answer = region.ledger.answer(execution.rpartition(":")[2])
    assert answer is not None
    assert (answer.answer, answer.by, answer.because) == ("approved", "ann", "the console is dark")


def test_an_approval_is_for_what_was_asked_and_the_facts_are_gathered_once_more(region: Standby) -> None:
    up = {"action": "stand_down", "finding": "primary_up", "sentence": "the primary answers again"}
    region.verdicts = deque([ASK, up])
    execution = region.machine.start(AUTOMATIC)

    region.machine.client.send_task_success(taskToken=token(region, execution), output="{}")

    ended = region.machine.outcome(execution)
    assert (ended.output["status"], ended.output["finding"]) == ("STOOD_DOWN", "primary_up")
    assert_untouched(region)


def test_another_question_is_not_answered_by_the_first_approval(region: Standby) -> None:
    other = ASK | {"finding": "data_loss_too_large", "sentence": "about 900 s of writes would be lost"}
    region.verdicts = deque([ASK, other])
    execution = region.machine.start(AUTOMATIC)
    region.machine.client.send_task_success(taskToken=token(region, execution), output="{}")

    second = token(region, execution, asked=2)
    assert not region.promoted
    region.machine.client.send_task_success(taskToken=second, output="{}")

    assert region.machine.outcome(execution).output["finding"] == "data_loss_too_large"


def test_a_question_that_has_become_needless_is_called_back(region: Standby) -> None:
    region.verdicts = deque([ASK, PROCEED])
    execution = region.machine.start(AUTOMATIC)

    client("stepfunctions").send_task_failure(
        taskToken=token(region, execution), error="FactsChanged", cause="the primary Region is lost"
    )

    assert region.machine.outcome(execution).output["finding"] == PROCEED["finding"]


def test_capacity_is_put_back_while_a_question_stays_open_for_too_long() -> None:
    with standby(WarmSeconds=0, AskAgainSeconds=1) as region:
        region.verdicts[0] = ASK
        execution = region.machine.start(AUTOMATIC)
        second = token(region, execution, asked=2)
        assert region.capacity == STEADY

        region.machine.client.send_task_success(taskToken=second, output="{}")

        assert region.machine.outcome(execution).status == "SUCCEEDED"
        assert region.capacity == RAISED


def test_a_person_who_declines_is_heeded(region: Standby) -> None:
    region.verdicts[0] = ASK
    execution = region.machine.start(AUTOMATIC)

    given = token(region, execution)
    region.machine.client.send_task_failure(taskToken=given, error="Declined", cause="we mend it ourselves")

    ended = region.machine.outcome(execution)
    assert (ended.output["status"], ended.output["finding"]) == ("STOOD_DOWN", "policy_approve")
    assert "declined" in ended.output["sentence"]
    assert "we mend it ourselves" in ended.output["sentence"]
    assert region.ledger.head().refused_at is not None
    assert_untouched(region)


def test_no_answer_is_a_no() -> None:
    with standby(AskAgainSeconds=1, ApprovalSeconds=1) as region:
        region.verdicts[0] = ASK
        ended = region.run()

        assert ended.output["status"] == "STOOD_DOWN"
        assert "nobody answered" in ended.output["sentence"]
        assert region.ledger.head().refused_at is not None
        assert_untouched(region)


def test_a_question_does_not_stand_in_the_way_of_what_becomes_plain_meanwhile() -> None:
    with standby(AskAgainSeconds=1) as region:
        region.verdicts.appendleft(ASK)
        ended = region.run()
    assert ended.output["status"] == "SUCCEEDED"
    assert ended.output["finding"] == PROCEED["finding"]


def test_a_question_that_cannot_be_asked_is_a_failure(region: Standby) -> None:
    region.verdicts[0] = ASK
    client("sns").delete_topic(TopicArn=TOPIC)

    ended = region.run()

    assert_red(region, ended, "FAILED (RecordIncomplete", "and then the record failed: RecordIncomplete")
    assert_untouched(region)


# Planned: no write is lost, or nothing is promoted.

PLANNED = PROCEED | {"finding": "by_hand", "mode": "planned", "sentence": "started by hand"}
MANUAL = {"reason": "game day"}


def test_a_planned_run_promotes_only_when_the_last_write_is_here(region: Standby) -> None:
    region.verdicts[0] = PLANNED
    ended = region.run(MANUAL)

    assert ended.status == "SUCCEEDED"
    steps = ("scale ready", "fence cut", "quiesce stop", "quiesce replayed", "promote")
    order = [region.looks.index(step) for step in steps]
    assert order == sorted(order)
    assert ended.called("promote")[0]["run"]["mode"] == "planned"
    assert ended.called("quiesce")[1]["lsn"] == "0/1000"
    assert region.stopped
    assert region.ledger.head().quiesce is None


@pytest.mark.parametrize("step", ["quiesce stop", "quiesce replayed"])
def test_what_is_not_confirmed_is_not_promoted_and_writes_are_let_in_again(step: str) -> None:
    with standby(QuiesceSeconds=0) as region:
        region.verdicts[0] = PLANNED
        region.waits[step] = 10_000
        ended = region.run(MANUAL)

        assert_red(region, ended, "DeadlinePassed", f"{step} is under way", "the fence: not fenced")
        assert_untouched(region)
        assert not region.stopped
        assert region.ledger.head().quiesce is None


def test_a_planned_run_disturbs_nobody_while_its_instances_are_not_in_service() -> None:
    """Nor does it promote for a capacity that is not to be had: the old side goes on serving."""
    with standby(RunSeconds=0) as region:
        region.verdicts[0] = PLANNED
        region.waits["scale ready"] = 10_000
        ended = region.run(MANUAL)

        assert_red(region, ended, "DeadlinePassed", "instances took too long to come into service")
        assert not {"fence cut", "switch engage", "quiesce stop", "promote"} & set(region.looks)
        assert_untouched(region)


def test_where_nobody_serves_a_planned_run_waits_for_no_instance(region: Standby) -> None:
    region.verdicts[0] = PLANNED | {"finding": "application_lost"}
    region.waits["scale ready"] = 10_000
    assert region.run().status == "SUCCEEDED"
    assert region.stopped


@pytest.mark.parametrize("step", ["quiesce stop", "quiesce replayed"])
def test_a_stop_of_writes_that_fails_is_undone(region: Standby, step: str) -> None:
    region.verdicts[0] = PLANNED
    region.breaks = {step: BROKEN}
    ended = region.run(MANUAL)

    assert_red(region, ended, str(BROKEN))
    assert_untouched(region)
    assert not region.stopped


def test_an_emergency_stops_no_writes_by_asking(region: Standby) -> None:
    region.run()
    assert not {"quiesce stop", "quiesce replayed"} & set(region.looks)


def test_what_a_person_asks_for_reaches_the_decision(region: Standby) -> None:
    ended = region.run({"reason": "game day", "mode": "emergency"})
    asked = ended.called("assess")[0]
    assert (asked["trigger"], asked["mode"], asked["reason"]) == ("manual", "emergency", "game day")


# The hardening cannot spoil what is done.


@pytest.mark.parametrize("step", ["harden", "fence empty", "record tell"])
def test_what_comes_after_the_proof_cannot_fail_the_run(region: Standby, step: str) -> None:
    region.breaks = {step: BROKEN}
    assert region.run().status == "SUCCEEDED"


def test_a_hardening_that_takes_too_long_is_told() -> None:
    with standby(HardenSeconds=0) as region:
        region.waits["harden"] = 10_000
        ended = region.run()
    assert ended.status == "SUCCEEDED"
    assert "not hardened in time: harden is under way" in ended.output["sentence"]


# Events.


def alarm(**changed: Any) -> dict[str, Any]:
    """What EventBridge delivers of an alarm of ours, now."""
    event: dict[str, Any] = {
        "version": "0",
        "id": "e0000000-0000-0000-0000-000000000001",
        "source": "aws.cloudwatch",
        "detail-type": "CloudWatch Alarm State Change",
        "account": "123456789012",
        "region": REGION,
        "time": ago(0),
        "resources": [],
        "detail": {"alarmName": "relight-shop-primary-down", "state": {"value": "ALARM"}},
    }
    return event | changed


def ago(seconds: float) -> str:
    """A moment as EventBridge writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds))


def test_the_event_of_an_alarm_starts_a_run(region: Standby) -> None:
    ended = region.run(alarm())
    assert ended.status == "SUCCEEDED"
    asked = ended.called("assess")[0]
    assert (asked["trigger"], asked["unseen_at"]) == ("automatic", None)


def test_the_forwarded_alarm_of_route_53_is_heard_as_the_view_from_outside(region: Standby) -> None:
    detail = {"alarmName": "relight-shop-endpoint", "state": {"value": "ALARM"}}
    ended = region.run(alarm(region="us-east-1", detail=detail, time=ago(30)))
    assert ended.output["status"] == "SUCCEEDED"
    assert abs(ended.called("assess")[0]["unseen_at"] - (time.time() - 30)) < 20


STRANGE: dict[str, dict[str, Any]] = {
    "another source": {"source": "shop.orders"},
    "no source": {"source": None},
    "another kind": {"detail-type": "AWS API Call via CloudTrail"},
    "another account": {"account": "999999999999"},
    "another Region": {"region": "us-east-1"},
    "another alarm": {"detail": {"alarmName": "relight-shop-stop", "state": {"value": "ALARM"}}},
    "another application's": {"detail": {"alarmName": "relight-other-primary-down", "state": {"value": "ALARM"}}},
    "an alarm that is over": {"detail": {"alarmName": "relight-shop-primary-down", "state": {"value": "OK"}}},
    "without data": {"detail": {"alarmName": "relight-shop-primary-down", "state": {"value": "INSUFFICIENT_DATA"}}},
    "no detail": {"detail": None},
    "a detail that is a list": {"detail": ["ALARM"]},
    "a state that is a text": {"detail": {"alarmName": "relight-shop-primary-down", "state": "ALARM"}},
    "no time": {"time": None},
    "a time that is none": {"time": "soon"},
    "a time that is a number": {"time": 1_790_000_000},
    "an old one": {"time": "2026-01-01T00:00:00Z"},
    "six minutes old": {"time": ago(360)},
    "from the future": {"time": ago(-3600)},
}


@pytest.mark.parametrize("changed", STRANGE.values(), ids=STRANGE)
def test_an_event_that_is_strange_or_old_starts_nothing_and_is_counted(
    region: Standby, changed: dict[str, Any]
) -> None:
    ended = region.run(alarm(**changed))

    assert (ended.status, ended.output["status"]) == ("SUCCEEDED", "IGNORED")
    assert ended.output["sentence"]
    assert (region.looks, region.ledger.head().written) == ([], False)
    counted = client("cloudwatch").list_metrics(Namespace="Relight", MetricName="IgnoredEvents")["Metrics"]
    assert len(counted) == 1


def test_an_event_delivered_twice_is_one_run(region: Standby) -> None:
    go_on = threading.Event()
    region.during = {"promote": lambda: go_on.wait(10)}
    first = region.machine.start(alarm())
    until(lambda: "promote" in region.looks, "the promotion")

    second = region.machine.outcome(region.machine.start(alarm()))

    assert second.output["status"] == "ALREADY_IN_PROGRESS"
    assert first in second.output["sentence"]
    go_on.set()
    assert region.machine.outcome(first).output["status"] == "SUCCEEDED"
    assert region.looks.count("promote") == 1


# One run at a time.


def test_a_second_run_ends_quietly_while_the_first_is_at_work(region: Standby) -> None:
    go_on = threading.Event()
    region.during = {"promote": lambda: go_on.wait(10)}
    first = region.machine.start(AUTOMATIC, name="first")
    until(lambda: "promote" in region.looks, "the promotion")
    before, looks = region.ledger.head(), list(region.looks)

    second = region.machine.outcome(region.machine.start(AUTOMATIC, name="second"))

    assert second.output == {
        "status": "ALREADY_IN_PROGRESS",
        "finding": "in_progress",
        "sentence": f"already in progress: {first}",
    }
    assert region.ledger.head() == before
    assert [look for look in region.looks if look not in looks] in ([], ["scale serve"])
    go_on.set()
    assert region.machine.outcome(first).output["status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("step", "beside"), [("assess", "scale warm"), ("promote", "scale serve"), ("verify writes", "verify traffic")]
)
def test_a_run_that_was_stopped_is_taken_over_and_its_late_writes_harm_nothing(
    region: Standby, step: str, beside: str
) -> None:
    go_on = threading.Event()
    region.during = {step: lambda: go_on.wait(10)}
    first = region.machine.start(AUTOMATIC, name="first")
    until(lambda: step in region.looks and beside in region.gone, step)
    region.machine.client.stop_execution(executionArn=first, cause="the orchestrator is killed")
    assert region.ledger.head().owner == first
    region.during = {}

    second = region.machine.start(AUTOMATIC, name="second")
    ended = region.machine.outcome(second)
    assert ended.output["status"] == "SUCCEEDED"
    assert {"Is its owner alive", "Take over the lock"} <= set(ended.states)

    after, answered = region.ledger.head(), len(region.ended)
    assert after.epoch == 2
    go_on.set()
    until(lambda: len(region.gone) == len(region.looks), "the late handler's end")
    assert region.ledger.head() == after
    assert len(region.ended) == answered  # it was refused


def hold_lock(owner: str, expires_in: float) -> None:
    """Somebody's lock, at epoch 7."""
    client("dynamodb").put_item(
        TableName=TABLE,
        Item={
            "pk": {"S": "region"},
            "sk": {"S": "head"},
            "owner": {"S": owner},
            "epoch": {"N": "7"},
            "expires_at": {"N": str(int(time.time() + expires_in))},
        },
    )


def unknown_execution(region: Standby) -> str:
    return region.machine.arn.replace(":stateMachine:", ":execution:") + ":nobody-knows"


def test_an_owner_that_step_functions_does_not_know_is_dead(region: Standby) -> None:
    hold_lock(unknown_execution(region), expires_in=3600)

    ended = region.run()

    assert ended.output["status"] == "SUCCEEDED"
    assert "Take over the lock" in ended.states
    assert region.ledger.head().epoch == 8


def test_an_expired_lock_is_free(region: Standby) -> None:
    hold_lock(unknown_execution(region), expires_in=-60)

    ended = region.run()

    assert ended.output["status"] == "SUCCEEDED"
    assert "Who holds the lock" not in ended.states
    assert region.ledger.head().epoch == 8


# Answers that are lost.


class Unreliable:
    """The state machine's own DynamoDB: answers to `operation` are lost, the first `times` of them."""

    def __init__(self, patch: pytest.MonkeyPatch, operation: str, times: int, *, before: bool = False) -> None:
        self.left = times
        make = Workflows._make_client

        def unreliable(workflows: Workflows, region: str, service: str) -> Any:
            made = make(workflows, region, service)
            if service == "dynamodb":
                kind = "before-call" if before else "after-call"
                made.meta.events.register(f"{kind}.dynamodb.{operation}", self._lose)
            return made

        patch.setattr(Workflows, "_make_client", unreliable)

    def _lose(self, **_given: Any) -> None:
        if self.left:
            self.left -= 1
            error: Any = {"Error": {"Code": "InternalServerError", "Message": "Internal server error"}}
            raise ClientError(error | {"ResponseMetadata": {"HTTPStatusCode": 500, "RequestId": "lost"}}, "UpdateItem")


def test_a_lost_answer_to_the_lock_does_not_lock_the_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Unreliable(monkeypatch, "UpdateItem", times=1)
    with standby() as region:
        ended = region.run()

        assert lost.left == 0
        assert ended.output["status"] == "SUCCEEDED"
        assert ended.states[:6] == [
            "Read the request",
            "Begin",
            "Take lock",
            "Who holds the lock",
            "Is it this run",
            "Open the run",
        ]
        assert region.ledger.head().epoch == 1


def test_a_lost_answer_to_the_takeover_does_not_lock_the_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Unreliable(monkeypatch, "UpdateItem", times=0)
    with standby() as region:
        hold_lock(unknown_execution(region), expires_in=3600)
        lost.left = 1  # `Take lock` is refused, and a refusal has no answer to lose
        ended = region.run()

        assert lost.left == 0
        assert ended.output["status"] == "SUCCEEDED"
        assert region.ledger.head().epoch == 8


def test_without_a_ledger_nothing_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    Unreliable(monkeypatch, "*", times=1000, before=True)
    with standby() as region:
        ended = region.run()

        assert (ended.status, ended.error) == ("FAILED", "LockUnavailable")
        assert ended.cause is not None
        assert "DynamoDB.InternalServerError: Internal server error" in ended.cause
        assert region.looks == []


def test_a_lost_answer_to_the_release_ends_the_run_all_the_same(region: Standby) -> None:
    def lose_lock() -> None:
        client("dynamodb").update_item(
            TableName=TABLE,
            Key={"pk": {"S": "region"}, "sk": {"S": "head"}},
            UpdateExpression="SET #owner = :other",
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues={":other": {"S": "another run"}},
        )

    region.during = {"verify traffic": lose_lock}

    ended = region.run()

    assert ended.status == "FAILED"
    assert ended.states[-1] == "Failed"
    assert region.ledger.head().owner == "another run"


# Steps that fail.


@pytest.mark.parametrize("step", BEFORE_THE_DOOR)
def test_a_failure_before_the_door_is_undone(region: Standby, step: str) -> None:
    region.breaks = {step: BROKEN}
    region.during = {"promote": lambda: until(lambda: "scale serve" in region.gone, "the capacity")}

    ended = region.run()

    assert_red(region, ended, "StepBrokenError: the API said no")
    assert_untouched(region)
    assert {"scale restore", "switch clear", "fence lift"} <= set(region.looks)
    assert "ended FAILED: StepBrokenError: the API said no" in region.messages()[-1]


def test_a_fence_that_is_slow_is_not_lifted_before_it_is_cut(region: Standby) -> None:
    region.breaks = {"switch engage": BROKEN}
    region.during = {"fence cut": lambda: until(lambda: "switch engage" in region.gone, "the switch")}

    ended = region.run()

    assert_red(region, ended, "StepBrokenError: the API said no")
    assert region.ended.index("fence cut") < region.ended.index("fence lift")
    assert_untouched(region)


@pytest.mark.parametrize("step", BEHIND_THE_DOOR)
def test_a_failure_behind_the_door_is_not_undone(region: Standby, step: str) -> None:
    region.breaks = {step: BROKEN}
    ended = region.run()

    assert_red(region, ended, "StepBrokenError: the API said no")
    assert_only_forward(region, ended)


def test_capacity_that_fails_while_the_promotion_runs_is_not_undone(region: Standby) -> None:
    begun = threading.Event()
    region.waits = {"promote": 10_000}
    region.breaks = {"scale serve": BROKEN}
    region.during = {
        "scale serve": lambda: begun.wait(10),
        "promote": lambda: begun.set() if region.ledger.head().promotion else None,
    }

    ended = region.run()

    assert_red(region, ended, "StepBrokenError")
    assert_only_forward(region, ended)


def test_capacity_that_fails_before_the_door_is_undone_and_the_door_stays_shut(region: Standby) -> None:
    region.breaks = {"scale serve": BROKEN}
    # The handler of the promotion comes to the door when the run is being recorded, and still holds its lock.
    region.during = {
        "promote": lambda: until(lambda: "record" in region.looks, "the record"),
        "record": lambda: until(lambda: "promote" in region.gone, "the late handler's end"),
    }

    ended = region.run()

    assert "promote" not in region.ended

    assert_red(region, ended, "StepBrokenError")
    assert_untouched(region)


def test_the_next_run_goes_on_behind_the_door(region: Standby) -> None:
    region.breaks = {"verify writes": BROKEN}
    assert region.run().status == "FAILED"
    region.breaks = {}
    region.verdicts[0] = {**PROCEED, "finding": "half_done"}

    assert region.run().output["status"] == "SUCCEEDED"
    head = region.ledger.head()
    assert (head.active, head.state, head.promotion, head.epoch) == (REGION, State.STEADY, None, 2)


def test_a_run_that_stands_down_behind_the_door_undoes_nothing_and_is_red(region: Standby) -> None:
    region.breaks = {"verify writes": BROKEN}
    region.run()
    region.looks.clear()
    region.verdicts[0] = {"action": "stand_down", "finding": "frozen", "sentence": "failover is frozen"}

    ended = region.run()

    assert_red(region, ended, "failover is frozen")
    assert_only_forward(region, ended)


@pytest.mark.parametrize(
    ("step", "state"), [("scale warm", "Not warm"), ("fence cut", "Not fenced"), ("fence open", "Not let in here")]
)
def test_what_is_best_effort_does_not_stop_a_failover(region: Standby, step: str, state: str) -> None:
    region.breaks = {step: BROKEN}

    ended = region.run()

    assert ended.output["status"] == "SUCCEEDED"
    assert state in ended.states


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        ("promote", "promotion took too long"),
        ("scale serve", "capacity took too long"),
        ("verify writes", "writes did not work in time"),
        ("verify traffic", "traffic did not come in time"),
    ],
)
def test_a_deadline_names_the_step_that_it_passed_in(step: str, sentence: str) -> None:
    with standby(RunSeconds=0) as region:
        region.waits = {step: 10_000}
        ended = region.run()

        assert_red(region, ended, sentence, f"{step} is under way")
        if step != "scale serve":
            assert_only_forward(region, ended)


def test_an_answer_outside_the_step_contract_is_a_failure(region: Standby) -> None:
    region.verdicts[0] = {"action": "wait", "finding": "down_too_short", "sentence": "no time given"}

    ended = region.run()

    assert_red(region, ended, "States.QueryEvaluationError")
    assert_untouched(region)


@pytest.mark.parametrize("step", ["scale restore", "switch clear", "fence lift"])
def test_what_cannot_be_undone_is_told_and_the_rest_is_undone(region: Standby, step: str) -> None:
    region.verdicts[0] = {"action": "stand_down", "finding": "primary_up", "sentence": "a false alarm"}
    region.breaks = {step: BROKEN}

    ended = region.run()

    assert_red(region, ended, "a false alarm; not undone: ", "StepBrokenError")
    assert {"scale restore", "switch clear", "fence lift"} - {step} <= set(region.ended)
    assert region.ledger.head().state is State.STEADY


def test_a_record_that_fails_makes_the_run_red(region: Standby) -> None:
    region.breaks = {"record": BROKEN}

    ended = region.run()

    assert_red(
        region,
        ended,
        "SUCCEEDED (the primary Region is lost), and then the record failed: StepBrokenError: the API said no",
    )
    assert region.ledger.head().active == REGION


def test_an_error_that_passes_is_tried_again(region: Standby) -> None:
    def mend() -> None:
        if region.looks.count("promote") > 1:
            region.breaks.clear()

    error: Any = {"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}
    region.breaks = {"promote": ClientError(error, "PromoteReadReplica")}
    region.during = {"promote": mend}

    assert region.run().output["status"] == "SUCCEEDED"
    assert region.looks.count("promote") == 2


def test_a_refusal_is_not_tried_again(region: Standby) -> None:
    region.breaks = {"promote": NotAReplicaOfThePeer('shop-dr replicates from "another",\nnot from shop-primary')}

    ended = region.run()

    assert region.looks.count("promote") == 1
    assert_red(region, ended)
    refused = 'NotAReplicaOfThePeer: shop-dr replicates from "another",\nnot from shop-primary'
    assert ended.cause == f"{refused}; the fence: not fenced"
