"""What a person does to a run by the command line, against the product's own state machine on moto.

AWS is difficult where a test says so: a Region that does not answer, calls that are denied or throttled, and a function
`assess` that answers from facts of the test's choosing, by the product's own preview.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, EndpointConnectionError
from relight.assess import preview
from relight.errors import InputInvalid
from relight_cli.aws import Aws
from relight_cli.cancel import cancel
from relight_cli.command import app, run
from relight_cli.failover import failover
from relight_cli.redrive import redrive

from tests.unit.situation import LOST, POLICY
from tests.unit.standby import HERE, HOME

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from relight.facts import Facts
    from relight.ledger import Ledger

THERE = ("--app", "shop", "--region", HERE)
BOTH = (*THERE, "--peer-region", HOME)

for _name, _function in (("failover", failover), ("cancel", cancel), ("redrive", redrive)):
    if _name not in {one.name for one in app.registered_commands}:
        app.command(_name)(_function)

__all__ = ["BOTH", "THERE", "Difficult", "Foresight", "complaint", "run"]


@dataclass
class Foresight:
    """The function `assess`: the product's preview of these facts."""

    ledger: Ledger
    facts: Facts = LOST
    failure: str | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 - as boto3 calls it
        """Lambda's answer."""
        assert FunctionName == "relight-shop-assess"
        event = json.loads(Payload)
        self.asked.append(event)
        said: dict[str, Any] = {"errorType": self.failure, "errorMessage": "it went\nwrong"}
        failed = {"FunctionError": "Unhandled"} if self.failure else {}
        if not self.failure:
            try:
                said = self._foreseen(event)
            except InputInvalid as error:
                said, failed = {"errorType": "InputInvalid", "errorMessage": str(error)}, {"FunctionError": "Unhandled"}
        return {"Payload": io.BytesIO(json.dumps(said).encode()), **failed}

    def _foreseen(self, event: dict[str, Any]) -> dict[str, Any]:
        settings = SimpleNamespace(
            aws_region=HERE,
            policy=POLICY.approval,
            **{name: value for name, value in POLICY.__dict__.items() if name != "approval"},
        )
        lookout: Any = SimpleNamespace(settings=settings, ledger=self.ledger, look=self._look)
        return preview(event, lookout)

    def _look(self, asked: Any) -> Any:
        known = {"asked_by": asked.by, "trigger": asked.trigger, "forced": asked.forced, "mode": asked.mode}
        return SimpleNamespace(facts=type(self.facts)(**{**self.facts.__dict__, "head": self.ledger.head(), **known}))


class Difficult(Aws):
    """AWS as moto has it, but for what a test makes of it."""

    def __init__(self, foresight: Foresight | None = None) -> None:
        """`dead` are Regions that do not answer, `refuses` an AWS error code by operation, such as `GetItem`."""
        super().__init__()
        self.foresight = foresight
        self.dead: set[str] = set()
        self.refuses: dict[str, str] = {}
        self.before: dict[str, Callable[[], object]] = {}
        """Called just before that operation is."""

    def client(self, service: str, region: str) -> Any:
        if service == "lambda" and self.foresight is not None:
            self._consider(region, "Invoke")
            return self.foresight
        made = super().client(service, region)
        made.meta.events.register("before-call", lambda model, **_: self._consider(region, model.name), unique_id="way")
        return made

    def _consider(self, region: str, operation: str) -> None:
        self.before.get(operation, lambda: None)()
        if region in self.dead:
            raise EndpointConnectionError(endpoint_url=f"https://{region}")
        if (code := self.refuses.get(operation)) is not None:
            error: Any = {"Error": {"Code": code, "Message": "so it is"}}
            raise ClientError(error, operation)


def complaint(capfd: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr."""
    said = capfd.readouterr().err
    assert said.startswith("relight: ")
    assert said.count("\n") == 1, said
    return said.removeprefix("relight: ").rstrip("\n")
