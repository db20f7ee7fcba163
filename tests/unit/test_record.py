"""The end of a run: the ledger is closed, evidence kept, people told and the peer too, each whatever the others do."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from relight import __version__
from relight.asking import Request
from relight.errors import InputInvalid, RecordIncomplete, RunSuperseded
from relight.health import HealthEvent
from relight.ledger import Capacity, Ledger, State, StepStory
from relight.question import Answer, Question, Reply, Urgency
from relight.record import Recorder
from relight.run import Run

from tests.unit.conftest import Clients
from tests.unit.loopback import WebServer, closed_port
from tests.unit.mailbox import Letter, Mailbox
from tests.unit.notices import EMERGENCY, PAGE, PLANNED, TOKEN, VIEWS, asks, settings
from tests.unit.standby import HERE, HOME, NOW, TABLE, Clock, claims, head_item, take_lock

BUCKET = "relight-evidence"
SUCCEEDED = {"end": "SUCCEEDED", "finding": "region_lost", "sentence": "the primary Region is lost"}
STOOD_DOWN = {"end": "STOOD_DOWN", "finding": "primary_up", "sentence": "a false alarm"}
FAILED = {"end": "FAILED", "finding": "error", "sentence": "ReplicaNotFound: no database instance is called x"}
type MakeRecorder = Callable[..., Recorder]


@pytest.fixture
def mailbox(aws: None, clients: Clients) -> Mailbox:
    return Mailbox(clients)


@pytest.fixture
def recorder(ledger: Ledger, peer_ledger: Ledger, mailbox: Mailbox, clients: Clients, clock: Clock) -> MakeRecorder:
    """`recorder(peer=..., own=..., **settings)`."""
    clients("s3", HERE).create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": HERE})

    def make(peer: Ledger = peer_ledger, own: Ledger = ledger, **changed: Any) -> Recorder:
        given = settings(**({"topic_arn": mailbox.topic, "evidence_bucket": BUCKET} | changed))
        return Recorder(given, own, peer, clients("s3", HERE), clients("sns", HERE), clock)

    return make


def as_input(run: Run) -> dict[str, Any]:
    """The run as the state machine hands it on."""
    return {"id": run.id, "owner": run.owner, "epoch": run.epoch, "started_at": run.started_at}


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
    assert kept["schema"] == "relight/run/3"
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

    (letter,) = mailbox.read()
    assert letter.subject == "Relight shop: SUCCEEDED in eu-central-1"
    assert "Run run-1 (epoch 1) ended SUCCEEDED: the primary Region is lost" in letter.text
    assert "RTO, first bad sample to first good answer: 128 s" in letter.text
    assert "  promote: shop-dr is promoted" in letter.text
    assert f"Evidence: {where}" in letter.text
    assert letter.attributes == {"urgency": "ended", "application": "shop", "run": "run-1"}

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
    assert "RTO, first bad sample to first good answer: not measured" in mailbox.read()[0].text
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
    peer_ledger.mirror(claims(9, HERE, State.STEADY), 0)
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


# What the evidence holds beside the phases and the steps.

VERDICT = {
    "action": "ask",
    "finding": "region_lost",
    "mode": "emergency",
    "estimated_loss_seconds": 3.5,
    "views": VIEWS,
}
UNDONE = {"capacity": "back at 0", "switches": "STOP and GO are 0", "fence": "the peer is not fenced", "writes": None}


def health_said(at: float, code: str) -> HealthEvent:
    """Something that AWS says at that moment."""
    time = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return HealthEvent(time, f"arn:aws:health:global::event/{code}", "EC2", code, "issue", HOME, "it is looked at")


def test_the_evidence_holds_verdict_answer_fence_hardening_lease_and_what_was_undone(
    recorder: MakeRecorder, ledger: Ledger, clients: Clients, run: Run, clock: Clock
) -> None:
    for name, facts in (
        ("fence", {"fence": "unknown"}),
        ("promote", {"waited_seconds": 71.5}),
        ("fence (empty)", {"emptied": "done"}),
        ("harden", {"multi_az": True, "restorable": "2026-09-21T14:00:00Z"}),
    ):
        ledger.step_began(run, name, clock())
        ledger.step_says(run, name, clock(), "so it is", done=True, facts=facts)
    recorder().record(run, asks(PLANNED, asked=2))
    clock.advance(30)
    recorder().record(run, {"what": "answer", "answer": "approved", "by": "ann", "because": "it burns"})
    recorder().record(run, {**STOOD_DOWN, "verdict": VERDICT, "undone": UNDONE})

    kept = evidence(clients, run)
    assert kept["verdict"] == VERDICT
    assert kept["estimated_loss_seconds"] == 3.5
    assert kept["answer"] == {
        "answer": "approved",
        "by": "ann",
        "because": "it burns",
        "at": NOW + 30,
        "finding": "unknown",
    }
    assert kept["question"] == {
        "asked": 2,
        "asked_at": NOW,
        "expires_at": NOW + 900,
        "finding": "application_lost",
        "sentence": PLANNED["sentence"],
        "mode": "planned",
        "urgency": "repeated",
    }
    assert (kept["fence"], kept["emptied"], kept["undone"]) == ("unknown", "done", UNDONE)
    assert kept["harden"] == {"multi_az": True, "restorable": "2026-09-21T14:00:00Z"}
    assert kept["lease"] == {"waited_seconds": 71.5}
    assert TOKEN not in json.dumps(kept)


def test_what_did_not_happen_is_null(recorder: MakeRecorder, clients: Clients, run: Run) -> None:
    recorder().record(run, {**FAILED, "verdict": None, "undone": None, "fence": None})
    kept = evidence(clients, run)
    names = ("verdict", "estimated_loss_seconds", "question", "answer", "fence", "emptied", "lease", "harden", "undone")
    assert {name: kept[name] for name in names} == dict.fromkeys(names)
    assert kept["health"] == []


def test_the_fence_of_the_input_counts_more_than_what_the_step_said_last(
    recorder: MakeRecorder, ledger: Ledger, clients: Clients, run: Run
) -> None:
    ledger.step_began(run, "fence", NOW)
    ledger.step_says(run, "fence", NOW, "...", done=True, facts={"fence": "unknown"})
    recorder().record(run, {**STOOD_DOWN, "fence": "failed"})
    assert evidence(clients, run)["fence"] == "failed"


def test_what_aws_said_of_its_health_from_an_hour_before_is_in_the_evidence(
    recorder: MakeRecorder, ledger: Ledger, clients: Clients, run: Run, clock: Clock
) -> None:
    first_bad = NOW - 100
    for at, code in (
        (first_bad - 3601, "EARLIER"),
        (first_bad - 3599, "BEFORE"),
        (NOW + 5, "DURING"),
        (NOW + 99, "NOT_YET"),
    ):
        ledger.keep_health(health_said(at, code))
    ledger.mark(run, "t0", first_bad)
    clock.advance(10)
    recorder().record(run, STOOD_DOWN)
    kept = evidence(clients, run)["health"]
    assert [said["code"] for said in kept] == ["BEFORE", "DURING"]
    assert kept[0] == asdict(health_said(first_bad - 3599, "BEFORE"))


def test_without_a_first_bad_sample_the_hour_is_before_the_start_of_the_run(
    recorder: MakeRecorder, ledger: Ledger, clients: Clients, run: Run
) -> None:
    ledger.keep_health(health_said(NOW - 3601, "EARLIER"))
    ledger.keep_health(health_said(NOW - 3599, "BEFORE"))
    recorder().record(run, STOOD_DOWN)
    assert [said["code"] for said in evidence(clients, run)["health"]] == ["BEFORE"]


@dataclass(frozen=True)
class Deaf(Ledger):
    """A ledger of which DynamoDB answers everything but what was said of AWS's health."""

    def health(self, since: float, until: float) -> list[HealthEvent]:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slowly"}}, "Query")


def test_health_that_cannot_be_read_does_not_lose_the_evidence(
    recorder: MakeRecorder, ledger: Ledger, clients: Clients, mailbox: Mailbox, run: Run
) -> None:
    deaf = Deaf(ledger.dynamodb, ledger.table, ledger.home_region)
    recorder(own=deaf).record(run, STOOD_DOWN)
    assert evidence(clients, run)["health"] is None
    assert len(mailbox.read()) == 1
    story = own_story(ledger, run)
    assert story.ended is not None
    assert story.facts["health"].startswith("health: ClientError")


def test_a_health_item_that_lacks_something_does_not_lose_the_evidence(
    recorder: MakeRecorder, ledger: Ledger, clients: Clients, run: Run
) -> None:
    time = datetime.fromtimestamp(NOW - 5, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ledger.dynamodb.put_item(TableName=TABLE, Item={"pk": {"S": "health"}, "sk": {"S": f"{time}#x"}})
    recorder().record(run, STOOD_DOWN)
    assert evidence(clients, run)["health"] is None


# Asking.


def asking_story(ledger: Ledger, run: Run, name: str = "ask") -> StepStory:
    """What the timeline holds of a question, an answer or a word."""
    return next(step for step in ledger.timeline(run.id)[1] if step.name == name)


def test_a_question_is_kept_and_put_to_people(
    recorder: MakeRecorder, ledger: Ledger, mailbox: Mailbox, run: Run
) -> None:
    recorder().handle({"run": as_input(run), **asks(PLANNED)})
    assert ledger.question(run.id) == Question(
        asked=1,
        token=TOKEN,
        asked_at=NOW,
        expires_at=NOW + 900,
        finding="application_lost",
        sentence=PLANNED["sentence"],
        mode="planned",
        urgency=Urgency.FIRST,
    )
    (letter,) = mailbox.read()
    assert letter.subject == "Relight shop asks for a decision"
    assert letter.attributes == {"urgency": "first", "application": "shop", "run": "run-1"}
    assert all(run.id in line or TOKEN in line for line in letter.commands)
    story = asking_story(ledger, run)
    assert story.ended == NOW
    assert story.facts["urgency"] == "first"


def test_the_token_is_in_the_question_and_nowhere_else(
    recorder: MakeRecorder, ledger: Ledger, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    said = recorder().record(run, asks(PLANNED))
    recorder().record(run, {"what": "answer", "answer": "declined"})
    assert TOKEN not in json.dumps(said)
    assert TOKEN not in repr(Request.from_event(asks(PLANNED)))
    assert TOKEN not in repr(ledger.timeline(run.id))
    assert TOKEN not in caplog.text


def test_capacity_that_is_warm_is_told(
    recorder: MakeRecorder, ledger: Ledger, mailbox: Mailbox, run: Run, clock: Clock
) -> None:
    ledger.step_began(run, "scale (warm)", clock())
    ledger.step_says(run, "scale (warm)", clock(), "...", done=True, facts={"wanted": 3, "present": 2, "healthy": 0})
    recorder().record(run, asks(PLANNED))
    assert ", 3 instances of which 2 are there; then it is put back." in mailbox.read()[0].text


def test_a_later_question_replaces_the_one_before_and_says_how_pressing_it_is(
    recorder: MakeRecorder, ledger: Ledger, mailbox: Mailbox, run: Run, clock: Clock
) -> None:
    subjects = []
    for asked in (1, 2, 3, 4):
        until = NOW + 2700 if asked < 4 else NOW
        recorder().record(run, asks(PLANNED, asked=asked, token=f"token-{asked}", ask_until=until))
        (letter,) = mailbox.read()
        subjects.append((letter.subject.removeprefix("Relight shop asks for a decision"), letter.attributes["urgency"]))
        kept = ledger.question(run.id)
        assert kept is not None
        assert (kept.token, kept.asked_at) == (f"token-{asked}", clock())
        clock.advance(900)
    assert subjects == [
        ("", "first"),
        (" (2nd time)", "repeated"),
        (" (3rd time, escalated)", "escalated"),
        (" (4th and last time)", "last"),
    ]


def test_the_filter_policy_of_the_page_sends_the_second_line_what_presses(
    recorder: MakeRecorder, mailbox: Mailbox, clients: Clients, run: Run
) -> None:
    found = re.search(r"<!-- filter policy -->\n```json\n(.*?)\n```", PAGE.read_text(), re.DOTALL)
    assert found
    second_line = Mailbox(clients, "second-line", json.loads(found[1]))
    for asked in (1, 2, 3):
        recorder().record(run, asks(PLANNED, asked=asked, token=f"token-{asked}"))
    recorder().record(run, asks(PLANNED, asked=4, token="token-4", ask_until=NOW))
    recorder().record(run, {"what": "tell", "sentence": "this Region serves"})
    recorder().record(run, STOOD_DOWN)
    recorder().record(run, FAILED)
    assert len(mailbox.read()) == 7
    assert [letter.attributes["urgency"] for letter in second_line.read()] == ["escalated", "last", "failed"]


def test_asking_twice_with_the_same_token_keeps_the_first_times(
    recorder: MakeRecorder, ledger: Ledger, mailbox: Mailbox, run: Run, clock: Clock
) -> None:
    recorder().record(run, asks(PLANNED))
    first = ledger.question(run.id)
    clock.advance(20)
    recorder().record(run, asks(PLANNED))
    assert ledger.question(run.id) == first
    one, other = mailbox.read()
    assert one == other


def test_a_question_put_again_with_a_new_token_is_the_one_that_can_be_answered(
    recorder: MakeRecorder, ledger: Ledger, mailbox: Mailbox, run: Run, clock: Clock
) -> None:
    recorder().record(run, asks(PLANNED, token="lost"))
    clock.advance(20)
    recorder().record(run, asks(PLANNED, token="tried-again"))
    kept = ledger.question(run.id)
    assert kept is not None
    assert (kept.token, kept.asked_at) == ("tried-again", NOW + 20)
    assert "--task-token tried-again" in mailbox.read()[-1].text


def test_a_late_question_neither_replaces_a_newer_one_nor_wakes_anybody(
    recorder: MakeRecorder, ledger: Ledger, mailbox: Mailbox, run: Run
) -> None:
    recorder().record(run, asks(PLANNED, asked=2, token="newer"))
    mailbox.read()
    said = recorder().record(run, asks(PLANNED, asked=1, token="older"))
    kept = ledger.question(run.id)
    assert kept is not None
    assert kept.token == "newer"
    assert mailbox.read() == []
    assert said["sentence"] == "question 1 is over: it is not asked again"


def test_a_late_repetition_of_an_answered_question_wakes_nobody(
    recorder: MakeRecorder, ledger: Ledger, mailbox: Mailbox, run: Run, clock: Clock
) -> None:
    recorder().record(run, asks(PLANNED))
    clock.advance(5)
    recorder().record(run, {"what": "answer", "answer": "approved", "by": "ann", "because": "it burns"})
    mailbox.read()
    clock.advance(5)
    recorder().record(run, asks(PLANNED))
    assert mailbox.read() == []
    kept, answer = ledger.question(run.id), ledger.answer(run.id)
    assert kept is not None
    assert answer is not None
    assert answer.at > kept.asked_at


def test_an_earlier_answer_stays_and_is_not_the_new_question_s(
    recorder: MakeRecorder, ledger: Ledger, mailbox: Mailbox, run: Run, clock: Clock
) -> None:
    recorder().record(run, asks(PLANNED))
    recorder().record(run, {"what": "answer", "answer": "approved", "by": "ann", "because": "it burns"})
    clock.advance(60)
    recorder().record(run, asks(EMERGENCY, asked=2, token="second"))
    kept, answer = ledger.question(run.id), ledger.answer(run.id)
    assert kept is not None
    assert answer is not None
    assert answer.by == "ann"
    assert answer.at < kept.asked_at
    mailbox.read()
    recorder().record(run, FAILED)
    text = mailbox.read()[0].text
    assert "Approved by ann: it burns (at 2026-09-21T14:13:20Z). Question 2, asked at 2026-09-21T14:14:20Z, was" in text


def test_a_question_that_cannot_be_delivered_is_kept_and_raised(
    recorder: MakeRecorder, ledger: Ledger, run: Run
) -> None:
    missing = f"arn:aws:sns:{HERE}:123456789012:none"
    with pytest.raises(RecordIncomplete, match=r"^notification: NotFoundException"):
        recorder(topic_arn=missing).record(run, asks(PLANNED))
    assert ledger.question(run.id) is not None
    story = asking_story(ledger, run)
    assert story.ended is None
    assert "NotFoundException" in story.sentence


def test_an_error_that_quotes_the_token_is_told_without_it(
    recorder: MakeRecorder, ledger: Ledger, web: WebServer, run: Run
) -> None:
    web.pages["/"] = (
        400,
        f"<ErrorResponse><Error><Code>InvalidParameter</Code><Message>{TOKEN}</Message></Error></ErrorResponse>",
    )
    sns = boto3.client("sns", HERE, endpoint_url=f"http://127.0.0.1:{web.port}")
    with pytest.raises(RecordIncomplete, match=r"InvalidParameter.*: \(the token\)$"):
        replace(recorder(), sns=sns).record(run, asks(PLANNED))
    assert TOKEN not in repr(ledger.timeline(run.id))


@pytest.mark.parametrize(
    "event", [asks(PLANNED), {"what": "tell", "sentence": "x"}, {"what": "answer", "answer": "declined"}]
)
def test_a_superseded_run_asks_tells_and_answers_nothing(
    recorder: MakeRecorder, ledger: Ledger, mailbox: Mailbox, run: Run, clock: Clock, event: dict[str, Any]
) -> None:
    take_lock(ledger, "run-2", clock())
    before = head_item(ledger)
    with pytest.raises(RunSuperseded):
        recorder().record(run, event)
    assert mailbox.read() == []
    assert (ledger.question(run.id), ledger.answer(run.id)) == (None, None)
    assert ledger.timeline(run.id) == ({}, [])
    assert head_item(ledger) == before


# Telling.


def test_people_are_told_while_the_run_goes_on(
    recorder: MakeRecorder, ledger: Ledger, mailbox: Mailbox, run: Run
) -> None:
    said = recorder().handle(
        {"run": as_input(run), "what": "tell", "sentence": "this Region serves; hardening goes on"}
    )
    assert said == {"sentence": "this Region serves; hardening goes on"}
    assert mailbox.read() == [
        Letter(
            "Relight shop: this Region serves; hardening goes on",
            "this Region serves; hardening goes on\nRun run-1 (epoch 1) in eu-central-1 goes on.",
            {"urgency": "told", "application": "shop", "run": "run-1"},
        )
    ]
    assert asking_story(ledger, run, "tell").ended == NOW


def test_what_cannot_be_told_is_raised(recorder: MakeRecorder, ledger: Ledger, run: Run) -> None:
    missing = f"arn:aws:sns:{HERE}:123456789012:none"
    with pytest.raises(RecordIncomplete, match=r"^notification: NotFoundException"):
        recorder(topic_arn=missing).record(run, {"what": "tell", "sentence": "x"})
    assert asking_story(ledger, run, "tell").ended is None


@pytest.mark.parametrize("sentence", [None, "", " \n", 3])
def test_there_is_nothing_to_tell_without_a_sentence(
    recorder: MakeRecorder, mailbox: Mailbox, run: Run, sentence: Any
) -> None:
    with pytest.raises(InputInvalid, match='needs a "sentence"'):
        recorder().record(run, {"what": "tell", "sentence": sentence})
    assert mailbox.read() == []


# Answers.


def test_an_approval_is_kept_and_refuses_nothing(
    recorder: MakeRecorder, ledger: Ledger, run: Run, clock: Clock
) -> None:
    recorder().record(run, asks(PLANNED))
    clock.advance(60)
    answered = {
        "what": "answer",
        "answer": "approved",
        "by": "ann",
        "because": "it burns",
        "finding": "application_lost",
    }
    said = recorder().handle({"run": as_input(run), **answered})
    assert said == {"answer": "approved", "sentence": "approved by ann: it burns"}
    assert ledger.answer(run.id) == Answer(Reply.APPROVED, "ann", "it burns", NOW + 60, "application_lost")
    assert ledger.head().refused_at is None
    assert asking_story(ledger, run, "answer").sentence == "approved by ann: it burns"


@pytest.mark.parametrize(
    ("reply", "by", "because"), [("declined", "ann", "we mend it"), ("unanswered", "nobody", "no answer in time")]
)
def test_a_no_is_kept_and_remembered_for_the_next_question(
    recorder: MakeRecorder, ledger: Ledger, run: Run, reply: str, by: str, because: str
) -> None:
    given = {} if reply == "unanswered" else {"by": by, "because": because}
    recorder().record(run, {"what": "answer", "answer": reply, "finding": "region_lost", **given})
    assert ledger.answer(run.id) == Answer(Reply(reply), by, because, NOW, "region_lost")
    assert ledger.head().refused_at == NOW
    head = head_item(ledger)
    assert (head["refused_by"]["S"], head["refused_because"]["S"]) == (by, because)


def test_an_answer_kept_twice_is_as_old_as_at_first(
    recorder: MakeRecorder, ledger: Ledger, run: Run, clock: Clock
) -> None:
    recorder().record(run, asks(PLANNED))
    declined = {"what": "answer", "answer": "declined", "by": "ann", "because": "we mend it"}
    clock.advance(5)
    recorder().record(run, declined)
    before, answer = head_item(ledger), ledger.answer(run.id)
    clock.advance(5)
    recorder().record(run, declined)
    assert (head_item(ledger), ledger.answer(run.id)) == (before, answer)


def test_the_same_answer_to_another_question_is_an_answer_of_its_own(
    recorder: MakeRecorder, ledger: Ledger, run: Run, clock: Clock
) -> None:
    approved = {"what": "answer", "answer": "approved", "by": "ann", "because": "it burns"}
    recorder().record(run, asks(PLANNED))
    recorder().record(run, approved)
    clock.advance(60)
    recorder().record(run, asks(PLANNED, asked=2, token="second"))
    clock.advance(5)
    recorder().record(run, approved)
    answer = ledger.answer(run.id)
    assert answer is not None
    assert answer.at == NOW + 65


# The way in.


@pytest.mark.parametrize("what", ["close", "", None, ["end"], {"what": "end"}])
def test_anything_else_is_refused(recorder: MakeRecorder, ledger: Ledger, run: Run, what: Any) -> None:
    before = head_item(ledger)
    with pytest.raises(InputInvalid, match=r'"what" is .*; it is end, ask, tell, answer'):
        recorder().handle({"run": as_input(run), "what": what, **STOOD_DOWN})
    assert head_item(ledger) == before


def test_an_input_without_a_run_is_refused(recorder: MakeRecorder) -> None:
    with pytest.raises(InputInvalid, match='no "run"'):
        recorder().handle({"what": "tell", "sentence": "x"})


HEALTH: dict[str, Any] = {
    "version": "0",
    "id": "7bf73129-1428-4cd3-a780-95db273d1602",
    "detail-type": "AWS Health Event",
    "source": "aws.health",
    "account": "123456789012",
    "time": "2026-09-21T14:00:00Z",
    "region": HOME,
    "resources": [],
    "detail": {
        "eventArn": "arn:aws:health:eu-west-1::event/EC2/AWS_EC2_OPERATIONAL_ISSUE/1",
        "service": "EC2",
        "eventTypeCode": "AWS_EC2_OPERATIONAL_ISSUE",
        "eventTypeCategory": "issue",
        "eventRegion": HOME,
        "eventDescription": [{"language": "en_US", "latestDescription": "increased error rates"}],
    },
}


def test_an_event_of_aws_health_is_kept_and_starts_nothing(
    recorder: MakeRecorder, ledger: Ledger, mailbox: Mailbox
) -> None:
    said = recorder().handle(HEALTH)
    assert recorder().handle(HEALTH) == said
    assert said["kept"] == HEALTH["detail"]["eventArn"]
    (kept,) = ledger.health(NOW - 3600, NOW)
    assert (kept.service, kept.region, kept.description) == ("EC2", HOME, "increased error rates")
    assert mailbox.read() == []
    assert not ledger.head().written


@pytest.mark.parametrize(
    "wrong",
    [
        {"time": "yesterday"},
        {"time": None},
        {"detail": "none"},
        {"detail": {"eventDescription": "words"}},
        {"detail": {"eventDescription": {"en": "words"}}},
    ],
)
def test_a_malformed_event_of_aws_health_is_refused(
    recorder: MakeRecorder, ledger: Ledger, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InputInvalid, match=r"aws\.health"):
        recorder().handle({**HEALTH, **wrong})
    assert ledger.health(0, NOW + 86400) == []
