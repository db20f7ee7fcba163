"""A night on call: a ledger, and a run that asks a person by a task token of its own, in this process.

The state machine is real, if short: it asks, hears the answer or the silence, notes it in the ledger as `record` does,
and goes on until the test lets go of it.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
from relight.question import Answer, Question, Reply, Urgency

from tests.statemachine.harness import Machine, machine
from tests.unit.standby import HERE, NOW, make_ledger, release_lock, take_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from relight.ledger import Ledger
    from relight.run import Run

ME = "arn:aws:sts::123456789012:user/moto"
SENTENCE = "the application is lost but its database is alive and replicates: mode `planned` would lose nothing"
PATIENCE = 10.0
_CATCH = [
    {"ErrorEquals": [error], "Output": f"{{% {said} %}}", "Next": where}
    for error, said, where in (
        ("Declined", '$merge([{"answer": "declined"}, $parse($states.errorOutput.Cause)])', "Keep the answer"),
        ("States.Timeout", "{}", "Ask again"),
    )
]


def _invoke(what: str, **more: Any) -> dict[str, Any]:
    payload = {
        "what": what,
        "me": "{% $states.context.Execution.Id %}",
        "name": "{% $states.context.Execution.Name %}",
        "answer": "{% $states.input %}",
    }
    arguments = {"FunctionName": "record", "Payload": payload}
    return {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Arguments": arguments, **more}


def _definition(answered_within: int) -> dict[str, Any]:
    ask = _invoke(
        "ask", TimeoutSeconds=answered_within, Output="{% $states.result %}", Catch=_CATCH, Next="Keep the answer"
    )
    ask["Resource"] += ".waitForTaskToken"
    ask["Arguments"]["Payload"]["token"] = "{% $states.context.Task.Token %}"
    states = {
        "Ask a person": ask,
        "Ask again": {"Type": "Pass", "Next": "Ask a person"},
        "Keep the answer": _invoke("answer", Output="{% $states.input %}", Next="Go on"),
        "Go on": _invoke("go on", Output="{% $states.input %}", End=True),
    }
    return {"QueryLanguage": "JSONata", "StartAt": "Ask a person", "TimeoutSeconds": 60, "States": states}


class Night:
    """The DR Region while a run asks. `keeps` is whether `record` writes an answer into the ledger."""

    def __init__(self) -> None:
        self.ledger: Ledger
        self.made: Machine
        self.keeps = threading.Event()
        self.keeps.set()
        self.let_go = threading.Event()
        self.tokens: list[str] = []
        self._asked = threading.Semaphore(0)
        self._run: Run | None = None

    def handle(self, event: dict[str, Any]) -> None:
        """What the function `record` does, and whatever comes after the answer."""
        if event["what"] == "ask":
            self._ask(event)
        elif event["what"] == "answer":
            self.keeps.wait(PATIENCE)
            self._keep(event["answer"])
        else:
            self.let_go.wait(PATIENCE)

    def _ask(self, event: dict[str, Any]) -> None:
        run = self._run or take_lock(self.ledger, event["name"], NOW - 60, owner=event["me"])
        self._run = run
        self.tokens.append(event["token"])
        self.ledger.step_began(run, "assess", NOW - 50)
        verdict = {"estimated_loss_seconds": 12.4}
        self.ledger.step_says(run, "assess", NOW - 40, "the application is lost", done=True, facts=verdict)
        asked = len(self.tokens)
        at = NOW + 10 * (asked - 1)
        urgency = Urgency.FIRST if asked == 1 else Urgency.REPEATED
        question = Question(asked, event["token"], at, at + 600, "application_lost", SENTENCE, "planned", urgency)
        self.ledger.keep_question(run, question)
        self._asked.release()

    def _keep(self, answer: dict[str, str]) -> None:
        assert self._run is not None
        self.ledger.keep_answer(
            self._run, Answer(Reply(answer["answer"]), answer["by"], answer["because"], NOW + 90, "application_lost")
        )

    def begin(self, name: str = "failover-4-1") -> str:
        """Start a run, and wait until it has asked."""
        execution = self.made.start({}, name)
        self.wait()
        return execution

    def wait(self) -> None:
        """Until it has asked (once more)."""
        assert self._asked.acquire(timeout=PATIENCE)

    def settled(self, run: str = "failover-4-1") -> Answer:
        """The answer, once it is in the ledger."""
        deadline = time.monotonic() + PATIENCE
        while (answer := self.ledger.answer(run)) is None:
            assert time.monotonic() < deadline, "no answer reached the ledger"
            time.sleep(0.01)
        return answer

    def end(self, execution: str) -> Any:
        """Let the run end and give its lock back: its output."""
        self.let_go.set()
        outcome = self.made.outcome(execution)
        release_lock(self.ledger)
        return outcome.output


@contextmanager
def night(answered_within: int = 30, machine_name: str = "relight-shop-failover") -> Iterator[Night]:
    """Inside `mock_aws`, with credentials that AWS would not take."""
    made, asking = Night(), _definition(answered_within)
    with machine(asking, {"record": made.handle}, region=HERE, name=machine_name) as running:
        made.ledger, made.made = make_ledger(boto3.client("dynamodb", region_name=HERE)), running
        try:
            yield made
        finally:
            made.keeps.set()
            made.let_go.set()


def strangers_credentials(patch: pytest.MonkeyPatch) -> None:
    """No credentials of the developer's own, and none that AWS would take."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_REGION"):
        patch.delenv(name, raising=False)
    patch.setenv("AWS_ACCESS_KEY_ID", "testing")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def document(out: str) -> Any:
    """What `--json` printed."""
    return json.loads(out)
