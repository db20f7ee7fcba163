"""A question that has become needless is called back: the run that waits for a person wakes, and judges for itself.

The run is real: moto executes a machine that waits for its task token, as the failover's does while it asks.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws
from relight.ledger import Ledger
from relight.policy import Approval
from relight.question import Answer, Question, Reply, Urgency
from relight.run import Run

from tests.unit.conftest import Clients
from tests.unit.loopback import closed_port
from tests.unit.scene import Scene
from tests.unit.standby import HERE, HOME, NOW, Clock, take_lock
from tests.unit.watcher import ROLE, Machine, Watcher

pytestmark = pytest.mark.decision

QUEUE = f"https://sqs.{HERE}.amazonaws.com/123456789012/questions"
ASKS = {
    "StartAt": "Ask a person",
    "States": {
        "Ask a person": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "Parameters": {"QueueUrl": QUEUE, "MessageBody": {"token.$": "$$.Task.Token"}},
            "Catch": [{"ErrorEquals": ["FactsChanged"], "ResultPath": "$.why", "Next": "Judge again"}],
            "Next": "Answered",
        },
        "Judge again": {"Type": "Succeed"},
        "Answered": {"Type": "Succeed"},
    },
}
PATIENCE = 10.0


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Empty accounts, in which state machines are executed."""
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        yield


class Asking:
    """A run that asks, and the probe that watches meanwhile."""

    def __init__(self, watcher: Watcher, sqs: Any) -> None:
        self.watcher, self.sqs = watcher, sqs
        self.owner = watcher.machine.start("asks")
        self.run = take_lock(watcher.ledger, "asks", watcher.clock(), owner=self.owner)

    @property
    def ledger(self) -> Ledger:
        return self.watcher.ledger

    def ask(self, asked: int = 1, expires_in: float = 300) -> str:
        """The state machine's question, kept in the ledger as `record` does; its token."""
        message = until(lambda: self.sqs.receive_message(QueueUrl=QUEUE).get("Messages"))[0]
        token = str(json.loads(message["Body"])["token"])
        self.keep(token, asked, expires_in)
        return token

    def keep(self, token: str, asked: int = 1, expires_in: float = 300) -> None:
        now = self.watcher.clock()
        question = Question(asked, token, now, now + expires_in, "policy_approve", "lost", "emergency", Urgency.FIRST)
        self.ledger.keep_question(self.run, question)

    def watch(self, **settings: Any) -> dict[str, Any]:
        return self.watcher.watch(samples=1, **{"policy": Approval.APPROVE, **settings})

    def state(self) -> dict[str, Any]:
        return dict(self.watcher.machine.api.describe_execution(executionArn=self.owner))

    def ends(self) -> Any:
        """What the run was told when it was woken."""
        until(lambda: self.state()["status"] != "RUNNING")
        return json.loads(self.state()["output"])

    def still_asks(self) -> bool:
        return bool(self.state()["status"] == "RUNNING")


def until[Found](look: Callable[[], Found]) -> Found:
    """What a look comes to once it comes to something, within a deadline."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come to anything"
        time.sleep(0.02)
    return found


@pytest.fixture
def asking(scene: Scene, ledger: Ledger, clients: Clients, clock: Clock) -> Asking:
    """A primary that is lost beyond doubt, a policy that asks, and a run that does."""
    sqs, machines = clients("sqs", HERE), clients("stepfunctions", HERE)
    sqs.create_queue(QueueName="questions")
    machines.create_state_machine(name="relight-shop-failover", definition=json.dumps(ASKS), roleArn=ROLE)
    watcher = Watcher(scene, ledger, Machine(machines), clients("autoscaling", HOME), clock)
    watcher.was_up(500)
    scene.lose()
    scene.has_been_down(ledger, 70)
    return Asking(watcher, sqs)


def primary_is_back(asking: Asking) -> dict[str, Any]:
    asking.watcher.scene.up()
    return {}


def all_speaks_for_it(asking: Asking) -> dict[str, Any]:
    return {"policy": Approval.AUTO}


def it_is_frozen(asking: Asking) -> dict[str, Any]:
    asking.ledger.freeze(NOW - 1, NOW + 9000, "we know", "kim")
    return {}


@pytest.mark.parametrize("change", [primary_is_back, all_speaks_for_it, it_is_frozen])
def test_a_question_that_has_become_needless_is_called_back(
    asking: Asking, change: Callable[[Asking], dict[str, Any]]
) -> None:
    asking.ask()
    asking.watch()
    assert asking.still_asks(), "nothing has changed"
    asking.watch(**change(asking))
    assert asking.ends()["why"]["Error"] == "FactsChanged"  # moto drops the cause, which is the verdict's sentence


def the_stream_is_unknown(asking: Asking) -> dict[str, Any]:
    asking.watcher.scene.dbcheck.failure = "Sandbox.Timedout"
    return {}


def it_is_not_so_plain_any_more(asking: Asking) -> dict[str, Any]:
    asking.watcher.scene.names.records.clear()
    asking.watcher.scene.names.records[("primary.shop.example", "A")] = ["127.0.0.1"]
    return {}


def its_database_reboots(asking: Asking) -> dict[str, Any]:
    peer = asking.watcher.scene.peer_rds
    peer.reached, peer.status["shop-primary"] = True, "rebooting"
    return {}


@pytest.mark.parametrize("change", [the_stream_is_unknown, it_is_not_so_plain_any_more, its_database_reboots])
def test_who_is_only_asked_something_else_or_has_to_wait_is_not_woken(
    asking: Asking, change: Callable[[Asking], dict[str, Any]]
) -> None:
    asking.ask()
    said = asking.watch(**change(asking))
    assert said["verdict"]["finding"] == "in_progress"
    asking.watch(**change(asking))
    assert asking.still_asks()
    assert asking.watcher.called_back == set()


def test_once_called_back_it_is_not_called_again(asking: Asking) -> None:
    token = asking.ask()
    primary_is_back(asking)
    for _ in range(3):
        asking.watch()
    asking.ends()
    assert asking.watcher.called_back == {token}
    # A probe that has forgotten it finds the question gone, and that is no failure.
    asking.watcher.called_back.clear()
    asking.keep(token)
    take_lock(asking.ledger, "asks", NOW, owner=asking.watcher.machine.start("another"))
    assert asking.watch()["verdict"]["finding"] == "in_progress"
    assert ("CallBackRefused", 1.0) not in asking.watcher.metrics


def answered(asking: Asking, at: float) -> None:
    asking.ledger.keep_answer(asking.run, Answer(Reply.UNANSWERED, "nobody", "nobody answered", at, "policy_approve"))


def test_a_question_that_is_answered_or_over_is_left_alone(asking: Asking) -> None:
    token = asking.ask()
    primary_is_back(asking)
    answered(asking, NOW + 5)
    asking.watch()
    asking.keep(token, expires_in=0)
    asking.watch()
    assert asking.still_asks()
    assert asking.watcher.called_back == set()


def test_the_answer_to_the_question_before_is_none_to_this_one(asking: Asking) -> None:
    answered(asking, NOW - 1)
    asking.ask(asked=2)
    primary_is_back(asking)
    asking.watch()
    assert asking.ends()["why"]["Error"] == "FactsChanged"


def test_a_run_that_asks_nothing_is_left_alone(asking: Asking) -> None:
    until(lambda: asking.sqs.receive_message(QueueUrl=QUEUE).get("Messages"))
    primary_is_back(asking)
    assert asking.watch()["started"] is None
    assert asking.still_asks()


def test_a_call_back_that_is_refused_does_not_stop_the_watching_and_is_tried_again(asking: Asking) -> None:
    asking.ask()
    primary_is_back(asking)
    machines = asking.watcher.machine.api

    class Deaf:
        """Step Functions, of which one call does not get through."""

        exceptions = machines.exceptions
        describe_execution = machines.describe_execution

        def __getattr__(self, name: str) -> Any:
            config = Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1})
            endpoint = f"http://127.0.0.1:{closed_port()}"
            return getattr(boto3.client("stepfunctions", HERE, endpoint_url=endpoint, config=config), name)

    asking.watcher.machine.api = Deaf()
    asking.watcher.watch(samples=2, policy=Approval.APPROVE)
    assert asking.watcher.metrics.count(("CallBackRefused", 1.0)) == 2
    assert asking.watcher.metrics.count(("Down.from_dr", 0.0)) == 2, "it went on watching"
    assert asking.still_asks()
    asking.watcher.machine.api = machines
    asking.watch()
    assert asking.ends()["why"]["Error"] == "FactsChanged"


def test_the_run_itself_is_named_by_its_execution(asking: Asking) -> None:
    """The question is found by the name at the end of the owner's ARN."""
    assert asking.owner.rpartition(":")[2] == asking.run.id == Run("asks", asking.owner, 1, NOW).id
