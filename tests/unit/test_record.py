"""The end of a run: the ledger is closed, evidence kept, people told and the peer too, each whatever the others do."""

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from relight import __version__
from relight.errors import InputInvalid, RecordIncomplete, RunSuperseded
from relight.ledger import Capacity, Ledger, State, StepStory
from relight.record import Recorder, notification
from relight.run import Run
from relight.settings import RecordSettings

from tests.unit.conftest import Clients
from tests.unit.loopback import closed_port
from tests.unit.standby import HERE, HOME, NOW, TABLE, Clock, head_item, take_lock

BUCKET = "relight-evidence"
SUCCEEDED = {"end": "SUCCEEDED", "finding": "region_lost", "sentence": "the primary Region is lost"}
STOOD_DOWN = {"end": "STOOD_DOWN", "finding": "primary_up", "sentence": "a false alarm"}
FAILED = {"end": "FAILED", "finding": "error", "sentence": "ReplicaNotFound: no database instance is called x"}
type MakeRecorder = Callable[..., Recorder]


class Mailbox:
    """Who subscribed to the topic."""

    def __init__(self, clients: Clients) -> None:
        sns, self._sqs = clients("sns", HERE), clients("sqs", HERE)
        self.topic: str = sns.create_topic(Name="relight-shop")["TopicArn"]
        self._queue = self._sqs.create_queue(QueueName="mailbox")["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn)

    def read(self) -> list[tuple[str, str]]:
        """Subject and text of what has come since."""
        found = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages", [])
        bodies = [json.loads(message["Body"]) for message in found]
        return [(body["Subject"], body["Message"]) for body in bodies]


@pytest.fixture
def mailbox(aws: None, clients: Clients) -> Mailbox:
    return Mailbox(clients)


@pytest.fixture
def recorder(ledger: Ledger, peer_ledger: Ledger, mailbox: Mailbox, clients: Clients, clock: Clock) -> MakeRecorder:
    """`recorder(peer=..., **settings)`."""
    clients("s3", HERE).create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": HERE})

    def make(peer: Ledger = peer_ledger, **changed: Any) -> Recorder:
        given: dict[str, Any] = {
            "aws_region": HERE,
            "home_region": HOME,
            "peer_region": HOME,
            "ledger_table": TABLE,
            "peer_connect_seconds": 2.0,
            "peer_read_seconds": 5.0,
            "peer_ledger_table": TABLE,
            "evidence_bucket": BUCKET,
            "topic_arn": mailbox.topic,
            "application": "shop",
        }
        settings = RecordSettings(**(given | changed))
        return Recorder(settings, ledger, peer, clients("s3", HERE), clients("sns", HERE), clock)

    return make


def own_story(ledger: Ledger, run: Run) -> StepStory:
    """What the timeline holds of the record itself."""
    return next(step for step in ledger.timeline(run.id)[1] if step.name == "record")


def evidence(clients: Clients, run: Run) -> dict[str, Any]:
    """What lies in S3 for a run."""
    found = clients("s3", HERE).get_object(Bucket=BUCKET, Key=f"runs/{run.id}/run.json")
    assert found["ContentType"] == "application/json"
    return dict(json.loads(found["Body"].read()))


def fail_over(ledger: Ledger, run: Run) -> None:
    """All that a failover writes before its end."""
    ledger.remember_capacity(run, {"shop-dr": Capacity(0, 0, 4)})
    ledger.set_state(run, State.PROMOTING)
    ledger.open_door(run, "shop-dr", NOW)
    ledger.activate(run, HERE)
    for number, at in enumerate((-70, -65, 0, 4, 40, 55, 56, 57, 58.5)):
        ledger.mark(run, f"t{number}", NOW + at)
    ledger.step_began(run, "promote", NOW + 5)
    ledger.step_says(run, "promote", NOW + 40, "shop-dr is promoted", done=True, facts={"instance": "shop-dr"})


def test_a_failover_that_succeeded_is_closed_kept_told_and_mirrored(
    recorder: MakeRecorder,
    ledger: Ledger,
    peer_ledger: Ledger,
    mailbox: Mailbox,
    clients: Clients,
    run: Run,
    clock: Clock,
) -> None:
    fail_over(ledger, run)
    clock.advance(60)
    where = f"s3://{BUCKET}/runs/run-1/run.json"
    assert recorder().record(run, SUCCEEDED) == {"status": "SUCCEEDED", "evidence": where, "rto_seconds": 128.5}

    head = ledger.head()
    assert (head.state, head.active, head.ended_at) == (State.STEADY, HERE, NOW + 60)
    assert (head.promotion, head.capacity_before) == (None, None)

    kept = evidence(clients, run)
    assert kept["schema"] == "relight/run/1"
    assert kept["relight"] == __version__
    assert (kept["application"], kept["region"]) == ("shop", HERE)
    assert kept["run"] == {"id": "run-1", "epoch": 1, "mode": "emergency", "started": NOW, "ended": NOW + 60}
    assert (kept["status"], kept["finding"], kept["sentence"]) == tuple(SUCCEEDED.values())
    assert kept["phases"]["t0"] == NOW - 70
    assert kept["phases"]["t8"] == NOW + 58.5
    assert kept["rto_seconds"] == 128.5
    assert [step["name"] for step in kept["steps"]] == ["promote", "record"]
    assert kept["steps"][0] == {
        "name": "promote",
        "started": NOW + 5,
        "ended": NOW + 40,
        "sentence": "shop-dr is promoted",
        "facts": {"instance": "shop-dr"},
    }

    ((subject, text),) = mailbox.read()
    assert subject == "Relight shop: SUCCEEDED in eu-central-1"
    assert "Run run-1 (epoch 1) ended SUCCEEDED: the primary Region is lost" in text
    assert "RTO, first bad sample to first good answer: 128 s" in text
    assert "  promote: shop-dr is promoted" in text
    assert f"Evidence: {where}" in text

    told = peer_ledger.head()
    assert (told.active, told.state, told.epoch) == (HERE, State.STEADY, 1)


def test_a_run_that_stood_down_is_steady_again_and_what_was_not_seen_is_null(
    recorder: MakeRecorder, ledger: Ledger, peer_ledger: Ledger, mailbox: Mailbox, clients: Clients, run: Run
) -> None:
    ledger.set_state(run, State.PROMOTING)
    ledger.mark(run, "t0", NOW - 5)
    assert recorder().record(run, STOOD_DOWN)["rto_seconds"] is None
    head = ledger.head()
    assert (head.state, head.active, head.ended_at) == (State.STEADY, HOME, None)
    kept = evidence(clients, run)
    assert kept["phases"] == {"t0": NOW - 5} | {f"t{number}": None for number in range(1, 9)}
    assert kept["rto_seconds"] is None
    ((_, text),) = mailbox.read()
    assert "RTO, first bad sample to first good answer: not measured" in text
    assert (peer_ledger.head().active, peer_ledger.head().state) == (HOME, State.STEADY)


def test_a_run_that_failed_before_the_door_is_steady_again(recorder: MakeRecorder, ledger: Ledger, run: Run) -> None:
    ledger.set_state(run, State.PROMOTING)
    recorder().record(run, FAILED)
    assert (ledger.head().state, ledger.head().ended_at) == (State.STEADY, None)


def test_a_run_that_failed_behind_the_door_leaves_the_door_open(
    recorder: MakeRecorder, ledger: Ledger, peer_ledger: Ledger, clients: Clients, run: Run
) -> None:
    fail_over(ledger, run)
    recorder().record(run, FAILED)
    head = ledger.head()
    assert head.door_opened
    assert (head.state, head.active, head.ended_at) == (State.PROMOTING, HERE, None)
    assert evidence(clients, run)["status"] == "FAILED"
    assert peer_ledger.head().active == HERE


def test_recording_twice_is_the_same_as_once(
    recorder: MakeRecorder, ledger: Ledger, clients: Clients, run: Run, clock: Clock
) -> None:
    fail_over(ledger, run)
    recorder().record(run, SUCCEEDED)
    clock.advance(5)
    recorder().record(run, SUCCEEDED)
    head = ledger.head()
    assert (head.state, head.active, head.promotion) == (State.STEADY, HERE, None)
    assert evidence(clients, run)["status"] == "SUCCEEDED"


def test_without_a_bucket_people_and_the_peer_are_told_all_the_same(
    recorder: MakeRecorder, ledger: Ledger, peer_ledger: Ledger, mailbox: Mailbox, run: Run
) -> None:
    fail_over(ledger, run)
    with pytest.raises(RecordIncomplete, match=r"^evidence: NoSuchBucket"):
        recorder(evidence_bucket="none").record(run, SUCCEEDED)
    assert len(mailbox.read()) == 1
    assert peer_ledger.head().active == HERE
    assert ledger.head().state is State.STEADY
    assert own_story(ledger, run).ended is None


def test_without_a_topic_the_evidence_is_kept_all_the_same(
    recorder: MakeRecorder, ledger: Ledger, peer_ledger: Ledger, clients: Clients, run: Run
) -> None:
    fail_over(ledger, run)
    missing = f"arn:aws:sns:{HERE}:123456789012:none"
    with pytest.raises(RecordIncomplete, match=r"^notification: NotFoundException"):
        recorder(topic_arn=missing).record(run, SUCCEEDED)
    assert evidence(clients, run)["status"] == "SUCCEEDED"
    assert peer_ledger.head().active == HERE


def test_each_delivery_that_failed_is_named(recorder: MakeRecorder, run: Run) -> None:
    missing = f"arn:aws:sns:{HERE}:123456789012:none"
    with pytest.raises(RecordIncomplete, match=r"^evidence: .*; notification: "):
        recorder(evidence_bucket="none", topic_arn=missing).record(run, STOOD_DOWN)


def test_a_peer_that_is_lost_is_no_failure_and_is_in_the_timeline(
    recorder: MakeRecorder, ledger: Ledger, mailbox: Mailbox, clients: Clients, run: Run
) -> None:
    config = Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1})
    lost = boto3.client("dynamodb", HOME, endpoint_url=f"http://127.0.0.1:{closed_port()}", config=config)
    fail_over(ledger, run)
    assert recorder(Ledger(lost, TABLE, HOME)).record(run, SUCCEEDED)["status"] == "SUCCEEDED"
    assert len(mailbox.read()) == 1
    story = own_story(ledger, run)
    assert story.ended is not None
    assert story.facts["mirror"].startswith("mirror: EndpointConnectionError")


def test_a_peer_that_knows_a_later_epoch_is_not_taken_back(
    recorder: MakeRecorder, peer_ledger: Ledger, run: Run
) -> None:
    peer_ledger.mirror(9, HERE, State.STEADY)
    recorder().record(run, STOOD_DOWN)
    assert (peer_ledger.head().epoch, peer_ledger.head().active) == (9, HERE)


def test_a_superseded_run_ends_nothing_and_tells_nobody(
    recorder: MakeRecorder, ledger: Ledger, peer_ledger: Ledger, mailbox: Mailbox, run: Run, clock: Clock
) -> None:
    ledger.set_state(take_lock(ledger, "run-2", clock()), State.PROMOTING)
    before = head_item(ledger)
    with pytest.raises(RunSuperseded):
        recorder().record(run, SUCCEEDED)
    assert head_item(ledger) == before
    assert mailbox.read() == []
    assert not peer_ledger.head().written


@pytest.mark.parametrize("event", [{}, {"end": "SUCCEEDED"}, {"end": "DONE", "sentence": "x"}, {"sentence": "x"}])
def test_an_input_without_an_end_is_refused_before_anything_is_touched(
    recorder: MakeRecorder, ledger: Ledger, run: Run, event: dict[str, Any]
) -> None:
    before = head_item(ledger)
    with pytest.raises(InputInvalid, match='the input needs "end"'):
        recorder().record(run, event)
    assert head_item(ledger) == before


def test_a_subject_is_short_enough_for_sns() -> None:
    told: dict[str, Any] = {
        "application": "a" * 200,
        "status": "FAILED",
        "region": HERE,
        "run": {"id": "run-1", "epoch": 1},
        "rto_seconds": None,
        "sentence": "x",
        "steps": [],
    }
    assert len(notification(told, "s3://x")[0]) < 100
