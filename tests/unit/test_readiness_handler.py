"""The handler of `readiness`, as Lambda imports and calls it: what it answers, keeps and publishes."""

import importlib.util
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from relight.ledger import Ledger
from relight.readiness import Readiness
from relight.release import of_kept

from tests.unit.conftest import Clients
from tests.unit.deployed import KEY, PEER_BUCKET, Deployed
from tests.unit.loopback import NameServer, WebServer
from tests.unit.standby import HERE, HOME, Clock, make_ledger

pytestmark = pytest.mark.readiness

HANDLER = Path(__file__).parents[2] / "functions/readiness/handler.py"


@dataclass(frozen=True)
class Context:
    """What Lambda tells a handler of its call."""

    function_name: str = "relight-shop-readiness"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = f"arn:aws:lambda:{HERE}:123456789012:function:relight-shop-readiness"
    aws_request_id: str = "7bf73129-1428-4cd3-a780-95db273d1602"


@pytest.fixture
def ledgers(aws: None, clients: Clients) -> tuple[Ledger, Ledger]:
    return make_ledger(clients("dynamodb", HERE)), make_ledger(clients("dynamodb", HOME))


@pytest.fixture
def function(
    ledgers: Any, clients: Clients, names: NameServer, web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """In the DR Region, where nothing but the ledgers exists; clients are those that the tests have made already."""
    given = Deployed(
        clients, Clock(), names, web, topic="arn:aws:sns:eu-central-1:123456789012:relight-shop"
    ).settings()
    for field in fields(given):
        value = getattr(given, field.name)
        text = ",".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
        monkeypatch.setenv(field.name.upper(), text or ("none" if isinstance(value, tuple) else text))
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "shop")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Relight")
    # moto has no simulation of IAM.
    answer: tuple[Any, Any] = SimpleNamespace(status_code=200), {"EvaluationResults": []}
    simulation = "before-call.iam.SimulatePrincipalPolicy"
    clients("iam", HERE).meta.events.register(simulation, lambda **_: answer, unique_id=simulation)
    monkeypatch.setattr("relight.clients.client", lambda service, region, **_: clients(service, region))
    spec = importlib.util.spec_from_file_location("handler_of_readiness", HANDLER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module.handler
    clients("iam", HERE).meta.events.unregister(simulation, unique_id=simulation)


def published(out: str) -> list[float]:
    found = [json.loads(line) for line in out.splitlines() if '"ReadinessScore"' in line and "_aws" in line]
    return [one["ReadinessScore"][0] for one in found if one["service"] == "shop"]


def pager(clients: Clients) -> Callable[[], list[dict[str, Any]]]:
    """A rule of somebody else's on the event bus; what it has brought since it was last read."""
    sqs, events = clients("sqs", HERE), clients("events", HERE)
    queue = sqs.create_queue(QueueName="pager")["QueueUrl"]
    events.put_rule(Name="pager", EventPattern='{"source": ["relight"]}', State="ENABLED")
    arn = f"arn:aws:sqs:{HERE}:123456789012:pager"
    events.put_targets(Rule="pager", Targets=[{"Id": "queue", "Arn": arn}])

    def read() -> list[dict[str, Any]]:
        heard = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        for one in heard:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=one["ReceiptHandle"])
        return [json.loads(one["Body"]) for one in heard]

    return read


@contextmanager
def answering(client: Any, event: str, answer: Any) -> Iterator[None]:
    """What AWS answers to a call, meanwhile."""
    client.meta.events.register_first(event, lambda **_: answer, "stand-in")
    try:
        yield
    finally:
        client.meta.events.unregister(event, unique_id="stand-in")


def test_what_it_answers_is_kept_and_its_score_published(
    function: Any, ledgers: tuple[Ledger, Ledger], capsys: pytest.CaptureFixture[str]
) -> None:
    said = function({"reason": "a person asks"}, Context())
    assert json.loads(json.dumps(said)) == ledgers[0].readiness() == said
    assert not said["ready"]
    assert said["score"] < 50
    assert Readiness.from_dict(said).to_dict() == said
    assert published(capsys.readouterr().out) == [said["score"]]
    assert ledgers[1].readiness() is None


def test_a_change_is_told_to_the_event_bus_once(function: Any, clients: Clients) -> None:
    read = pager(clients)
    said = function({}, Context())
    function({}, Context())
    (event,) = read()
    assert event["detail-type"] == "Relight Readiness Changed"
    assert (event["detail"]["score"], event["detail"]["ready"]) == (said["score"], False)


def test_a_change_that_the_event_bus_did_not_take_is_told_at_the_next_look(
    function: Any, clients: Clients, ledgers: tuple[Ledger, Ledger], capsys: pytest.CaptureFixture[str]
) -> None:
    events, read = clients("events", HERE), pager(clients)
    refusal = {"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}
    with answering(events, "before-call.events.PutEvents", (SimpleNamespace(status_code=400), refusal)):
        said = function({}, Context())
    kept = ledgers[0].readiness()
    assert kept is not None
    assert (kept["at"], read()) == (said["at"], [])
    again = function({}, Context())
    (event,) = read()
    assert (event["detail"]["was"], event["detail"]["at"]) == (None, again["at"])
    function({}, Context())
    assert read() == []
    # The score was told with the first two looks: nobody knows whether the first has come to an end.
    assert published(capsys.readouterr().out) == [said["score"], again["score"]]


def test_the_other_region_is_asked_for_its_release_once(
    function: Any, clients: Clients, ledgers: tuple[Ledger, Ledger]
) -> None:
    s3 = clients("s3", HOME)
    s3.create_bucket(Bucket=PEER_BUCKET, CreateBucketConfiguration={"LocationConstraint": HOME})
    s3.put_object(Bucket=PEER_BUCKET, Key=KEY, Body=b"release")
    asked: list[str] = []
    heads = "before-call.s3.HeadObject"
    s3.meta.events.register_first(heads, lambda model, **_: asked.append(model.name), "counted")
    try:
        said = function({}, Context())
    finally:
        s3.meta.events.unregister(heads, unique_id="counted")
    assert asked == ["HeadObject"]
    kept = ledgers[0].release()
    assert kept is not None
    assert (of_kept(kept).size, kept["seen"]) == (len(b"release"), said["at"])


def test_in_the_active_region_it_keeps_its_version_and_publishes_nothing(
    function: Any, ledgers: tuple[Ledger, Ledger], clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    clients("dynamodb", HERE).put_item(
        TableName="relight-shop",
        Item={"pk": {"S": "region"}, "sk": {"S": "head"}, "active": {"S": HERE}, "epoch": {"N": "2"}},
    )
    said = function({}, Context())
    assert (said["on_duty"], said["ready"]) == (False, True)
    kept = ledgers[0].readiness()
    assert kept is not None
    assert kept["version"] == said["version"]
    assert published(capsys.readouterr().out) == []
