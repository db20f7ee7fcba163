"""A drill on record: its question, its answers, its end, which changes nothing of who is active, and its news."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from relight.drill import Drill, Kind
from relight.errors import InputInvalid, RecordIncomplete, RunSuperseded
from relight.ledger import Ledger, State
from relight.news import News
from relight.question import Reply
from relight.record import Recorder
from relight.run import Run

from tests.unit.announcements import schema
from tests.unit.conftest import Clients
from tests.unit.mailbox import Mailbox
from tests.unit.notices import TOKEN, settings
from tests.unit.rds import error
from tests.unit.standby import HERE, NOW, Clock, claims, head_item, take_lock
from tests.unit.test_drill_question import SENTENCE, asks

BUCKET = "relight-evidence"
ENDED = {"kind": "drill", "end": "SUCCEEDED", "finding": "rehearsed", "sentence": "it took a write"}
RESTORED = {**ENDED, "drill": {"kind": "restore"}, "trigger": "schedule", "reason": "by schedule"}
REFUSED = {**RESTORED, "end": "STOOD_DOWN", "finding": "DrillRefused", "sentence": "eu-central-1 is active"}
FAILED = {**RESTORED, "end": "FAILED", "finding": "error", "sentence": "SiteNotBuilt: no room (in: Build the site)"}
BEGUN = Drill("run-1", Kind.RESTORE, 1, NOW - 600)
type Story = Callable[[str, dict[str, Any]], None]


class Bus:
    """EventBridge: what it was told, each held against its schema."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.refusal: Exception | None = None

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 (boto3's names)
        """As AWS."""
        if self.refusal is not None:
            raise self.refusal
        for entry in Entries:
            detail = json.loads(entry["Detail"])
            Draft202012Validator(schema(News(entry["DetailType"]).schema)).validate(detail)
            self.heard.append((entry["DetailType"], detail))
        return {"Entries": [{} for _ in Entries]}

    @property
    def kinds(self) -> list[str]:
        """In that order."""
        return [kind.removeprefix("Relight ") for kind, _ in self.heard]


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def mailbox(aws: None, clients: Clients) -> Mailbox:
    return Mailbox(clients)


@pytest.fixture
def recorder(
    ledger: Ledger, peer_ledger: Ledger, mailbox: Mailbox, clients: Clients, clock: Clock, bus: Bus
) -> Recorder:
    clients("s3", HERE).create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": HERE})
    given = settings(topic_arn=mailbox.topic, evidence_bucket=BUCKET)
    events: Any = bus
    made = Recorder(given, ledger, peer_ledger, clients("s3", HERE), clients("sns", HERE), clock)
    return replace(made, events=events)


@pytest.fixture
def story(ledger: Ledger, run: Run) -> Story:
    """What a step came to, as the timeline has it."""

    def says(name: str, facts: dict[str, Any]) -> None:
        ledger.step_began(run, f"drill ({name})", NOW)
        ledger.step_says(run, f"drill ({name})", NOW, "so it is", done=True, facts=facts)

    return says


def evidence(clients: Clients, run: Run) -> dict[str, Any]:
    found = clients("s3", HERE).get_object(Bucket=BUCKET, Key=f"runs/{run.id}/run.json")
    return dict(json.loads(found["Body"].read()))


# The question.


def test_the_question_goes_out_and_is_kept_with_its_token(
    recorder: Recorder, ledger: Ledger, mailbox: Mailbox, bus: Bus, run: Run
) -> None:
    said = recorder.record(run, asks())
    assert (said["asked"], said["urgency"]) == (1, "first")
    kept = ledger.question(run.id)
    assert kept is not None
    assert (kept.token, kept.finding, kept.sentence) == (TOKEN, "drill_promote", SENTENCE)
    (letter,) = mailbox.read()
    assert letter.subject == "Relight shop asks to begin a drill"
    assert letter.attributes == {"urgency": "first", "application": "shop", "run": "run-1"}
    ((kind, detail),) = bus.heard
    assert kind == "Relight Question Asked"
    assert detail["run"] == {"id": "run-1", "epoch": 1, "kind": "drill", "mode": None}
    assert TOKEN not in json.dumps(detail)


def test_a_question_that_reaches_nobody_is_an_error_and_tells_no_token(recorder: Recorder, run: Run) -> None:
    nowhere = replace(recorder, settings=replace(recorder.settings, topic_arn=f"arn:aws:sns:{HERE}:123456789012:none"))
    with pytest.raises(RecordIncomplete) as refused:
        nowhere.record(run, asks())
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("reply", ["approved", "declined", "unanswered"])
def test_no_answer_about_a_drill_quietens_the_day_on_which_the_other_region_is_lost(
    recorder: Recorder, ledger: Ledger, bus: Bus, run: Run, reply: str
) -> None:
    recorder.record(run, asks())
    said = recorder.record(run, {"what": "answer", "kind": "drill", "answer": reply, "said": {"by": "ann"}})
    answer = ledger.answer(run.id)
    assert answer is not None
    assert (answer.answer, said["answer"]) == (Reply(reply), reply)
    assert ledger.head().refused_at is None
    assert bus.kinds == ["Question Asked", "Question Answered"]
    assert bus.heard[-1][1]["run"]["kind"] == "drill"


# The end.


def test_the_evidence_holds_what_was_restored_and_what_is_left(
    recorder: Recorder, ledger: Ledger, clients: Clients, mailbox: Mailbox, bus: Bus, run: Run, story: Story
) -> None:
    ledger.keep_drill(BEGUN)
    source = {"origin": "snapshot", "name": "kept-here", "gib": 20, "at": NOW - 3600, "encrypted": True}
    story("plan", {"kind": "restore", "source": source})
    story("database", {"instance": "shop-dr-drill-1", "seconds": 840.5, "source": source})
    story("teardown", {"left_over": []})

    said = recorder.record(run, RESTORED)

    assert said == {"status": "SUCCEEDED", "evidence": f"s3://{BUCKET}/runs/run-1/run.json", "rto_seconds": None}
    kept = evidence(clients, run)
    assert (kept["kind"], kept["status"], kept["rpo_seconds"]) == ("drill", "SUCCEEDED", None)
    assert kept["drill"] == {
        "kind": "restore",
        "database": "shop-dr-drill-1",
        "promote_seconds": None,
        "restore_seconds": 840.5,
        "source": "snapshot kept-here",
        "left_over": [],
    }
    (letter,) = mailbox.read()
    assert letter.subject == f"Relight shop: drill SUCCEEDED in {HERE}"
    assert "Nothing is left of it." in letter.text
    assert ledger.drills() == [replace(BEGUN, ended_at=NOW, status="SUCCEEDED")]
    ((kind, detail),) = bus.heard
    assert kind == "Relight Drill Ended"
    assert (detail["status"], detail["drill"], detail["restore_seconds"], detail["left_over"]) == (
        ("SUCCEEDED", "restore", 840.5, [])
    )


def test_a_promotion_is_in_the_evidence_with_its_time(
    recorder: Recorder, clients: Clients, run: Run, story: Story, bus: Bus
) -> None:
    story("promote", {"promote_seconds": 312.25})
    recorder.record(run, {**ENDED, "drill": {"kind": "promote"}})
    assert evidence(clients, run)["drill"]["promote_seconds"] == 312.25
    assert bus.heard[-1][1]["promote_seconds"] == 312.25


def test_what_is_left_is_named_and_what_is_not_known_is_not_made_up(
    recorder: Recorder, clients: Clients, mailbox: Mailbox, run: Run, story: Story
) -> None:
    recorder.record(run, FAILED)
    assert evidence(clients, run)["drill"]["left_over"] is None
    (letter,) = mailbox.read()
    assert letter.attributes["urgency"] == "failed"
    story("teardown", {"left_over": ["database shop-dr-drill-1"]})
    recorder.record(run, FAILED)
    (letter,) = mailbox.read()
    assert "Left of it: database shop-dr-drill-1" in letter.text


@pytest.mark.parametrize("end", [RESTORED, REFUSED, FAILED], ids=["succeeded", "refused", "failed"])
def test_the_end_of_a_drill_is_no_end_of_a_failover(
    recorder: Recorder, ledger: Ledger, run: Run, end: dict[str, Any]
) -> None:
    """It begins no cooldown, keeps no run of the probe waiting, and changes nothing of the head."""
    before = head_item(ledger)
    recorder.record(run, end)
    assert head_item(ledger) == before


@pytest.mark.parametrize("door", [False, True], ids=["before the door", "behind it"])
def test_what_another_run_has_left_half_done_stays_for_the_next_one(
    recorder: Recorder, ledger: Ledger, run: Run, door: bool
) -> None:
    """A drill that is refused for it has taken the lock over from the dead run."""
    ledger.set_state(run, State.PROMOTING)
    ledger.stop_granting(run, NOW)
    if door:
        ledger.open_door(run, "shop-dr", NOW)
    drill = take_lock(ledger, "drill-1", NOW)
    before = head_item(ledger)
    recorder.record(drill, REFUSED)
    assert head_item(ledger) == before
    assert ledger.head().state is State.PROMOTING


def test_a_refused_drill_was_none(recorder: Recorder, ledger: Ledger, bus: Bus, run: Run) -> None:
    recorder.record(run, REFUSED)
    assert ledger.drills() == []
    assert bus.kinds == ["Drill Ended"]


def test_only_its_own_drill_is_closed_and_once(recorder: Recorder, ledger: Ledger, clock: Clock, run: Run) -> None:
    other = Drill("run-0", Kind.PLAN, 0, NOW - 9000)
    for drill in (BEGUN, other):
        ledger.keep_drill(drill)
    recorder.record(run, RESTORED)
    clock.advance(60)
    recorder.record(run, {**RESTORED, "end": "FAILED"})
    assert ledger.drills() == [other, replace(BEGUN, ended_at=NOW, status="SUCCEEDED")]


def test_who_has_lost_the_lock_records_nothing(
    recorder: Recorder, ledger: Ledger, mailbox: Mailbox, bus: Bus, run: Run
) -> None:
    ledger.keep_drill(BEGUN)
    take_lock(ledger, "failover-1", NOW)
    for event in (asks(), RESTORED, {"what": "news", "news": "started", "kind": "drill"}):
        with pytest.raises(RunSuperseded):
            recorder.record(run, event)
    assert (mailbox.read(), bus.heard, ledger.drills()) == ([], [], [BEGUN])


def test_evidence_that_cannot_be_kept_is_an_error_and_the_rest_is_done(
    recorder: Recorder, ledger: Ledger, mailbox: Mailbox, bus: Bus, run: Run
) -> None:
    ledger.keep_drill(BEGUN)
    with pytest.raises(RecordIncomplete):
        replace(recorder, settings=replace(recorder.settings, evidence_bucket="nowhere")).record(run, RESTORED)
    assert ledger.drills()[0].status == "SUCCEEDED"
    assert len(mailbox.read()) == 1
    assert bus.kinds == ["Drill Ended"]


def test_the_other_ledger_hears_nothing_of_a_drill_in_the_standby(
    recorder: Recorder, peer_ledger: Ledger, run: Run
) -> None:
    peer_ledger.mirror(claims(0, "eu-west-1"), NOW)
    before = head_item(peer_ledger)
    recorder.record(run, RESTORED)
    assert head_item(peer_ledger) == before


# News.


@pytest.mark.parametrize("trigger", ["manual", "schedule", None])
def test_its_beginning_is_told_to_the_bus_alone(
    recorder: Recorder, mailbox: Mailbox, bus: Bus, run: Run, trigger: str | None
) -> None:
    event = {"what": "news", "news": "started", "kind": "drill", "trigger": trigger, "reason": "the day has come"}
    assert recorder.record(run, event) == {"sentence": "the event bus was told"}
    ((kind, detail),) = bus.heard
    assert (kind, detail["trigger"], detail["reason"]) == (
        "Relight Run Started",
        trigger or "manual",
        "the day has come",
    )
    assert detail["run"] == {"id": "run-1", "epoch": 1, "kind": "drill", "mode": None}
    assert mailbox.read() == []


def test_news_that_nobody_hears_harm_nothing_and_are_said(
    recorder: Recorder, ledger: Ledger, bus: Bus, run: Run
) -> None:
    bus.refusal = error("InternalException", "no", "PutEvents", 500)
    said = recorder.record(run, {"what": "news", "news": "started", "kind": "drill"})
    assert said["sentence"].startswith("events: ClientError")
    assert recorder.record(run, RESTORED)["status"] == "SUCCEEDED"
    story = next(step for step in ledger.timeline(run.id)[1] if step.name == "record")
    assert str(story.facts["news"]).startswith("events: ClientError")


def test_news_that_there_are_not_are_no_input(recorder: Recorder, run: Run) -> None:
    with pytest.raises(InputInvalid, match='"news" is'):
        recorder.record(run, {"what": "news", "news": "over", "kind": "drill"})
