"""The handler of `record`, as Lambda imports and calls it: what it does, and that its log can be read by anybody."""

import importlib.util
from dataclasses import dataclass, fields
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from relight.errors import InputInvalid
from relight.ledger import Ledger
from relight.run import Run

from tests.unit.conftest import Clients
from tests.unit.mailbox import Mailbox
from tests.unit.notices import PLANNED, TOKEN, asks, settings
from tests.unit.standby import HERE

HANDLER = Path(__file__).parents[2] / "functions/record/handler.py"


@dataclass(frozen=True)
class Context:
    """What Lambda tells a handler of its call."""

    function_name: str = "relight-shop-record"
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = f"arn:aws:lambda:{HERE}:123456789012:function:relight-shop-record"
    aws_request_id: str = "7bf73129-1428-4cd3-a780-95db273d1602"


@pytest.fixture
def mailbox(aws: None, clients: Clients) -> Mailbox:
    return Mailbox(clients)


@pytest.fixture
def log() -> StringIO:
    """What the function logs, as CloudWatch would get it."""
    return StringIO()


@pytest.fixture
def function(
    ledger: Ledger, peer_ledger: Ledger, mailbox: Mailbox, log: StringIO, monkeypatch: pytest.MonkeyPatch
) -> Any:
    given = settings(topic_arn=mailbox.topic)
    for field in fields(given):
        monkeypatch.setenv(field.name.upper(), str(getattr(given, field.name)))
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "shop")
    spec = importlib.util.spec_from_file_location("handler_of_record", HANDLER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # Powertools keeps loggers by their service, with the stdout of whatever test came first.
    monkeypatch.setattr(module.logger.registered_handler, "stream", log)
    return module.handler


@pytest.fixture
def state_machine_says(run: Run) -> dict[str, Any]:
    """The run as it is handed on."""
    return {"run": {"id": run.id, "owner": run.owner, "epoch": run.epoch, "started_at": run.started_at}}


def test_a_question_is_asked_and_its_token_is_not_in_the_log(
    function: Any, state_machine_says: dict[str, Any], ledger: Ledger, mailbox: Mailbox, log: StringIO
) -> None:
    said = function({**state_machine_says, **asks(PLANNED)}, Context())
    assert TOKEN in mailbox.read()[0].text
    assert ledger.question("run-1") is not None
    assert said["asked"] == 1
    assert '"run":"run-1"' in log.getvalue()
    assert TOKEN not in log.getvalue()


def test_an_event_of_aws_health_needs_no_run(function: Any, ledger: Ledger) -> None:
    detail = {"eventArn": "arn:1", "service": "RDS", "eventTypeCode": "AWS_RDS_OPERATIONAL_ISSUE"}
    function({"source": "aws.health", "time": "2026-09-21T14:00:00Z", "detail": detail}, Context())
    assert [kept.service for kept in ledger.health(0, 2e9)] == ["RDS"]


def test_what_is_neither_is_refused(function: Any) -> None:
    with pytest.raises(InputInvalid, match='no "run"'):
        function({"source": "aws.ec2", "detail": {}}, Context())
