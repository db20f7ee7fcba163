"""The person on call: starts what only people start, reads the question of a run where it is kept, and answers it with
the command of the product.

The command is a process of its own with nothing but its command line and credentials, as on somebody's laptop. What is
started is started by Step Functions' own API, as from its console.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from lab.cloud import ACCOUNT
from lab.environment import APPLICATION
from lab.options import Reply
from lab.region import REGION_NAME, Side, Vantage
from lab.report import Answered
from lab.world import ROOT, World

REASON = "the rehearsal's person on call says so"
_LOOK_SECONDS = 0.25
_PATIENCE_SECONDS = 30.0


class Person:
    """A context manager: while it is there, each run that asks is answered, as long as a run may ask again."""

    def __init__(
        self, world: World, reply: Reply, say: Callable[[str], object] = lambda _: None, side: Side = Side.DR
    ) -> None:
        """`say` hears what the person does, in a few words; `side` is whose runs are looked after."""
        self._world = world
        self._reply = reply
        self._say = say
        self._region = REGION_NAME[side]
        self._answered: list[Answered] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="person", daemon=True)

    @property
    def answered(self) -> tuple[Answered, ...]:
        """What was answered so far, refused attempts included."""
        return tuple(self._answered)

    def start(self, machine: str, **said: Any) -> str:
        """Start an execution of that machine (failover, failback) in the person's Region, with a reason; its ARN.

        botocore's errors where Step Functions does not take it.
        """
        self._say(f"the person on call starts a {machine} in {self._region}")
        arn = f"arn:aws:states:{self._region}:{ACCOUNT}:stateMachine:relight-{APPLICATION}-{machine}"
        states = self._world.cloud.client("stepfunctions", self._region)
        started = states.start_execution(stateMachineArn=arn, input=json.dumps({"reason": REASON, **said}))
        return str(started["executionArn"])

    def __enter__(self) -> Self:
        if self._reply is not Reply.NONE:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        settled: set[str] = set()
        while not self._stop.wait(_LOOK_SECONDS):
            for run in self._running():
                if run not in settled and self._asks(run) and self._answer(run):
                    settled.add(run)

    def _running(self) -> list[str]:
        executions = self._world.workflows.executions(self._region)
        return [each.name for each in executions if each.status == "RUNNING"]

    def _asks(self, run: str) -> bool:
        """Whether the ledger has a question of that run."""
        try:
            answer = self._world.cloud.client("dynamodb", self._region).get_item(
                TableName=f"relight-{APPLICATION}", Key={"pk": {"S": f"run#{run}"}, "sk": {"S": "question"}}
            )
        except (BotoCoreError, ClientError):
            return False
        return "Item" in answer

    def _answer(self, run: str) -> bool:
        """Whether the answer was taken. A question that was put again in this very moment wants another one."""
        self._say(f"the person on call answers: {self._reply}")
        words = [str(self._reply), run, "--reason", REASON, "--region", self._region, "--app", APPLICATION]
        at = time.time()
        try:
            done = subprocess.run(
                [sys.executable, "-m", "relight_cli.main", *words],
                cwd=self._world.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_PATIENCE_SECONDS,
                check=False,
            )
            code, said = done.returncode, done.stdout + done.stderr
        except subprocess.TimeoutExpired as error:
            code, said = -1, str(error)
        self._answered.append(Answered(run, self._reply, code, at, " ".join(said.split())))
        return code == 0

    def _environment(self) -> dict[str, str]:
        """No default Region: it may be the lost one."""
        own = self._world.cloud.environment(Vantage.OUTSIDE)
        return own | {"PATH": os.defpath, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
