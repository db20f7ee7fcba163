"""A failback on record: its question, its answers, and its end, which closes nothing that a failover left open."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from relight.errors import RunSuperseded
from relight.ledger import Ledger, State
from relight.question import Reply
from relight.record import Recorder
from relight.run import Run

from tests.unit.conftest import Clients
from tests.unit.mailbox import Mailbox
from tests.unit.notices import REPORTS, TOKEN, asks_home, settings
from tests.unit.standby import HERE, NOW, Clock, execution, take_lock

BUCKET = "relight-evidence"
SUCCEEDED = {"kind": "failback", "end": "SUCCEEDED", "sentence": "home again", "to": "home"}
FAILED = {"kind": "failback", "end": "FAILED", "finding": "error", "sentence": "ReplicaNotBuilt: RDS gave up"}
type Story = Callable[[str, dict[str, Any]], None]


@pytest.fixture
def mailbox(aws: None, clients: Clients) -> Mailbox:
    return Mailbox(clients)


@pytest.fixture
def recorder(ledger: Ledger, peer_ledger: Ledger, mailbox: Mailbox, clients: Clients, clock: Clock) -> Recorder:
    clients("s3", HERE).create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": HERE})
    given = settings(topic_arn=mailbox.topic, evidence_bucket=BUCKET)
    return Recorder(given, ledger, peer_ledger, clients("s3", HERE), clients("sns", HERE), clock)


@pytest.fixture
def story(ledger: Ledger, run: Run) -> Story:
    """What a step came to, as the timeline has it."""

    def says(name: str, facts: dict[str, Any]) -> None:
        ledger.step_began(run, name, NOW)
        ledger.step_says(run, name, NOW, "so it is", done=True, facts=facts)

    return says


def evidence(clients: Clients, run: Run) -> dict[str, Any]:
    found = clients("s3", HERE).get_object(Bucket=BUCKET, Key=f"runs/{run.id}/run.json")
    return dict(json.loads(found["Body"].read()))


def test_the_question_goes_out_and_is_kept_with_its_token(
    recorder: Recorder, ledger: Ledger, mailbox: Mailbox, run: Run
) -> None:
    said = recorder.record(run, asks_home())
    assert (said["asked"], said["urgency"]) == (1, "first")
    kept = ledger.question(run.id)
    assert kept is not None
    assert (kept.token, kept.mode, kept.finding) == (TOKEN, "planned", "way_home_open")
    (letter,) = mailbox.read()
    assert letter.subject == "Relight shop asks whether to go home"
    assert letter.attributes == {"urgency": "first", "application": "shop", "run": "run-1"}
    assert [line.split()[1] for line in letter.commands if line.startswith("relight ")] == (
        ["reconcile", "approve", "stay", "decline"]
    )


@pytest.mark.parametrize("reply", ["declined", "stay", "unanswered"])
def test_no_answer_about_going_home_quietens_the_day_on_which_the_other_region_is_lost(
    recorder: Recorder, ledger: Ledger, run: Run, reply: str
) -> None:
    recorder.record(run, asks_home())
    recorder.record(run, {"what": "answer", "kind": "failback", "answer": reply, "said": {"by": "ann"}})
    answer = ledger.answer(run.id)
    assert answer is not None
    assert answer.answer is Reply(reply)
    assert ledger.head().refused_at is None


def test_to_stay_is_told_as_such(recorder: Recorder, run: Run) -> None:
    said = {"by": "ann", "because": "no second outage"}
    answered = recorder.record(run, {"what": "answer", "kind": "failback", "answer": "stay", "said": said})
    assert answered == {"answer": "stay", "sentence": "told to stay by ann: no second outage"}


def test_the_evidence_holds_what_was_kept_built_compared_lost_and_switched(
    recorder: Recorder, clients: Clients, mailbox: Mailbox, run: Run
) -> None:
    recorder.record(run, asks_home(accepted=["missing:t:1"]))
    recorder.record(run, {"what": "answer", "kind": "failback", "answer": "approved", "said": {"by": "ann"}})
    mailbox.read()
    end = {
        **SUCCEEDED,
        "accepted": ["missing:t:1"],
        "reports": {
            **{name: {"status": "DONE", "sentence": "so", "facts": facts} for name, facts in REPORTS.items()},
            "switchover": execution("switchover-run-1"),
            "light": {"execution": "light-eu-west-1-7"},
        },
        "read_only_seconds": 4.25,
    }
    assert recorder.record(run, end)["rto_seconds"] is None
    kept = evidence(clients, run)
    assert (kept["kind"], kept["to"], kept["status"]) == ("failback", "home", "SUCCEEDED")
    assert {name: kept[name] for name in REPORTS} == REPORTS
    assert kept["accepted"] == ["missing:t:1"]
    assert (kept["switchover"], kept["read_only_seconds"]) == ("switchover-run-1", 4.25)
    assert kept["light"] == {"execution": "light-eu-west-1-7"}
    assert kept["answer"]["answer"] == "approved"
    assert TOKEN not in json.dumps(kept)
    (letter,) = mailbox.read()
    assert letter.subject == f"Relight shop: failback SUCCEEDED in {HERE}"
    assert letter.attributes["urgency"] == "ended"
    assert "No write was taken for 4.2 s, and none was lost." in letter.text
    assert "Switchover: run switchover-run-1" in letter.text


def test_what_the_input_does_not_hand_on_is_taken_from_the_timeline(
    recorder: Recorder, clients: Clients, run: Run, story: Story
) -> None:
    story("retire", {"retired": {"instance": "old"}, "why": "kept"})
    story("compare (database)", {"differences_total": 2, "tables": 3, "rows": 4})
    story("compare (lost)", {"rows": 5, "tables": {"t": 5}})
    story("survey (light)", {"execution": "light-1"})
    recorder.record(run, FAILED)
    kept = evidence(clients, run)
    assert kept["retired"]["retired"] == {"instance": "old"}
    assert (kept["comparison"]["differences_total"], kept["reconciliation"]["rows"]) == (2, 5)
    assert kept["light"] == {"execution": "light-1"}


@pytest.mark.parametrize(
    ("marks", "seconds"), [({"t6": 40, "t8": 52.5}, 50.0), ({"t6": 40}, 37.5), ({"t4": 30}, None), ({}, None)]
)
def test_how_long_no_write_was_taken_is_the_switchover_s_own_timeline(
    recorder: Recorder, ledger: Ledger, clients: Clients, run: Run, marks: dict[str, float], seconds: float | None
) -> None:
    child = Run("switchover-1", execution("switchover-1"), run.epoch, NOW)
    ledger.step_began(child, "scale (warm)", NOW - 60)
    ledger.step_began(child, "quiesce (stop)", NOW + 2.5)
    for name, at in marks.items():
        ledger.mark(child, name, NOW + at)
    recorder.record(run, {**SUCCEEDED, "reports": {"switchover": child.owner}})
    assert evidence(clients, run)["read_only_seconds"] == seconds


def test_what_was_put_back_is_told_and_nothing_else(recorder: Recorder, mailbox: Mailbox, run: Run) -> None:
    recorder.record(run, {**FAILED, "undone": {"capacity": "capacity is back at min 0, desired 0, max 4"}})
    (letter,) = mailbox.read()
    assert "Undone:\n  capacity: capacity is back at min 0, desired 0, max 4\nSteps:" in letter.text


def test_what_did_not_happen_is_null(recorder: Recorder, clients: Clients, mailbox: Mailbox, run: Run) -> None:
    recorder.record(run, {**FAILED, "read_only_seconds": float("nan"), "reports": {"switchover": None}})
    kept = evidence(clients, run)
    names = ("retired", "reprotect", "comparison", "reconciliation", "objects", "light", "accepted")
    assert {name: kept[name] for name in names} == dict.fromkeys(names)
    assert (kept["switchover"], kept["read_only_seconds"]) == (None, None)
    (letter,) = mailbox.read()
    assert letter.attributes["urgency"] == "failed"
    assert "none was lost" not in letter.text


@pytest.mark.parametrize("end", [SUCCEEDED, FAILED])
def test_its_end_begins_no_cooldown_and_keeps_no_run_of_the_probe_waiting(
    recorder: Recorder, ledger: Ledger, run: Run, end: dict[str, Any]
) -> None:
    recorder.record(run, end)
    head = ledger.head()
    assert (head.state, head.ended_at, head.failed_at) == (State.STEADY, None, None)


def test_a_door_that_the_switchover_has_opened_stays_open(recorder: Recorder, ledger: Ledger, run: Run) -> None:
    ledger.set_state(run, State.PROMOTING)
    ledger.open_door(run, "shop-primary", NOW)
    recorder.record(run, FAILED)
    assert ledger.head().door_opened


def test_a_superseded_failback_asks_and_ends_nothing(
    recorder: Recorder, ledger: Ledger, mailbox: Mailbox, run: Run, clock: Clock
) -> None:
    take_lock(ledger, "run-2", clock())
    for event in (asks_home(), SUCCEEDED):
        with pytest.raises(RunSuperseded):
            recorder.record(run, event)
    assert mailbox.read() == []
