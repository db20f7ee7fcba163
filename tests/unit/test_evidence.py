"""The record of a run: what is in it, that it keeps its schema, and its files in the bucket whatever goes wrong."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.exceptions import ClientError
from jsonschema import Draft202012Validator
from relight import alarm_history, calls, drill_evidence, evidence, failback_evidence, manifest, report
from relight.calls import Calls
from relight.delivery import LINK_SECONDS, Delivery
from relight.evidence import Kept, Objectives
from relight.ledger import Capacity, Ledger, State, StepStory
from relight.patience import Patience, TooSlow
from relight.question import Answer, Reply
from relight.record import Recorder
from relight.run import Mode, Run
from relight.signal import Signal, View
from relight_cli.prices import load

from tests.unit.conftest import Clients
from tests.unit.mailbox import Mailbox
from tests.unit.notices import EMERGENCY, HOMEWARD, PLANNED, REPORTS, RUN, SWITCHOVER, asks, settings
from tests.unit.standby import HERE, NOW, Clock

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/evidence.schema.json").read_text())
BUCKET = "relight-evidence"
ENDED = {"end": "SUCCEEDED", "finding": "region_lost", "sentence": "the primary Region is lost"}
NOTHING = Kept({}, [], None, None, None)
PATIENT = Patience(lambda: 0.0, 1.0)


def wrong(document: Any) -> list[str]:
    """What the schema says against a document."""
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(document)]


def failover(said: Mapping[str, Any] = ENDED, kept: Kept = NOTHING, run: Run = RUN) -> dict[str, Any]:
    """The document as it comes out of the bucket."""
    document = evidence.document(run, settings(), said, kept, NOW + 300)
    return dict(json.loads(json.dumps(document)))


def test_the_schema_is_one_and_it_is_of_the_version_that_is_written() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["schema"]["const"] == evidence.SCHEMA


def test_a_run_of_which_nothing_is_known_is_a_whole_record() -> None:
    document = failover()
    assert wrong(document) == []
    assert report.problems(document) == []


def test_a_run_of_which_all_is_known_is_a_whole_record() -> None:
    kept = Kept(
        marks={f"t{number}": NOW + number for number in range(9)},
        steps=[
            StepStory("scale (serve)", NOW, NOW + 1, "...", {"groups": {"dr": {"wanted": 2, "healthy": 2}}}),
            StepStory("promote", NOW, NOW + 1, "promoted", {"waited_seconds": 1.5}),
            StepStory("fence", NOW, None, "...", {"fence": "unknown"}),
        ],
        question=None,
        answer=Answer(Reply.APPROVED, "ann", "it burns", NOW, "region_lost"),
        health=[],
        objectives=Objectives(300.0, 60.0),
        signals=[Signal.unknown(view) for view in View],
        alarms=[alarm_history.AlarmChange("relight-shop-stop", "OK", "ALARM", NOW)],
        capacity_before={"dr": Capacity(0, 0, 4)},
        calls=Calls(330, 1000),
    )
    said = {**ENDED, "verdict": EMERGENCY, "trigger": "manual", "reason": "it burns", "undone": {"fence": "lifted"}}
    document = failover(said, kept, replace(RUN, mode=Mode.EMERGENCY))
    assert wrong(document) == []
    assert report.problems(document) == []
    assert document["who"] == {"trigger": "manual", "reason": "it burns", "approved_by": "ann"}
    assert document["capacity"] == {
        "before": {"dr": {"min": 0, "desired": 0, "max": 4}},
        "after": {"dr": {"wanted": 2, "healthy": 2}},
    }
    assert (document["rto_seconds"], document["rpo_seconds"]) == (8.0, 400.4)
    assert document["objectives"] == {"rto_seconds": 300.0, "rpo_seconds": 60.0}
    assert [view["view"] for view in document["views"]] == ["outside", "from_dr", "stream", "control"]
    assert {view["last_seen"] for view in document["views_after"]} == {None}
    assert document["alarms"] == [{"name": "relight-shop-stop", "from": "OK", "to": "ALARM", "at": NOW}]
    assert document["calls"] == {"functions": 330, "transitions": 1000}
    assert 0.025 < document["cost_usd"] < 0.03


def test_a_failback_and_a_drill_keep_the_schema_too() -> None:
    here, end = settings(), {"end": "SUCCEEDED", "sentence": "home", "to": "home"}
    home = failback_evidence.document(
        HOMEWARD, here, {**end, "reports": REPORTS | {"switchover": SWITCHOVER}}, NOTHING, NOW
    )
    drill = drill_evidence.document(HOMEWARD, here, end, NOTHING, NOW)
    for document in (home, drill):
        assert wrong(json.loads(json.dumps(document))) == []
    assert (home["rpo_seconds"], home["lag_seconds"]) == (0.0, {"before": None, "after": 0.4})
    assert wrong({**drill, "to": "home"}) != []
    assert wrong({name: value for name, value in home.items() if name != "to"}) != []


@pytest.mark.parametrize(
    ("mode", "marks", "loss"),
    [
        (Mode.PLANNED, {"t4": NOW}, 0.0),
        (Mode.EMERGENCY, {"t4": NOW}, 400.4),
        (Mode.EMERGENCY, {"t2": NOW}, None),
        (Mode.PLANNED, {}, None),
    ],
)
def test_what_was_lost_is_known_only_where_something_was_promoted(
    mode: Mode, marks: dict[str, float], loss: float | None
) -> None:
    said = {**ENDED, "verdict": EMERGENCY}
    assert failover(said, replace(NOTHING, marks=marks), replace(RUN, mode=mode))["rpo_seconds"] == loss


@pytest.mark.parametrize(("mode", "seconds"), [(Mode.PLANNED, 50.0), (Mode.EMERGENCY, None)])
def test_how_long_no_write_was_taken_is_measured_of_a_planned_run(mode: Mode, seconds: float | None) -> None:
    kept = replace(NOTHING, marks={"t8": NOW + 52}, steps=[StepStory("quiesce (stop)", NOW + 2, None, "...", {})])
    assert failover(ENDED, kept, replace(RUN, mode=mode))["read_only_seconds"] == seconds


@pytest.mark.parametrize("handed_on", [{"trigger": None, "reason": " "}, {"trigger": 4, "reason": ["x"]}, {}])
def test_who_is_null_where_it_was_not_handed_on(handed_on: dict[str, Any]) -> None:
    assert failover({**ENDED, **handed_on})["who"] == {"trigger": None, "reason": None, "approved_by": None}


def test_who_declined_has_approved_nothing() -> None:
    declined = replace(NOTHING, answer=Answer(Reply.DECLINED, "ann", "no", NOW, "x"))
    assert failover(kept=declined)["who"]["approved_by"] is None


def test_a_drill_is_told_by_its_steps() -> None:
    source = {"origin": "snapshot", "name": "nightly", "gib": 20, "at": NOW, "encrypted": True}
    steps = [
        StepStory("drill (plan)", NOW, NOW, "...", {"kind": "restore", "source": source}),
        StepStory("drill (database)", NOW, NOW, "...", {"instance": "shop-drill-4", "source": None, "seconds": 14.5}),
        StepStory("drill (teardown)", NOW, NOW, "...", {"left_over": []}),
    ]
    said = {**ENDED, "drill": {"kind": "restore"}}
    document = drill_evidence.document(RUN, settings(), said, replace(NOTHING, steps=steps), NOW)
    assert document["drill"] == {
        "kind": "restore",
        "database": "shop-drill-4",
        "promote_seconds": None,
        "restore_seconds": 14.5,
        "source": "snapshot nightly",
        "left_over": [],
    }
    text = drill_evidence.notification(document, "s3://there", "Report: here").text
    assert "The restore took 14 s." in text
    assert "Nothing is left of it." in text
    assert text.endswith("Evidence: s3://there\nReport: here")


def test_a_promotion_tells_of_no_restore() -> None:
    steps = [
        StepStory("drill (database)", NOW, NOW, "...", {"instance": "shop-drill-4", "source": None, "seconds": 14.5}),
        StepStory("drill (promote)", NOW, NOW, "...", {"instance": "shop-drill-4", "promote_seconds": 61.5}),
    ]
    said = {**ENDED, "drill": {"kind": "promote"}}
    document = drill_evidence.document(RUN, settings(), said, replace(NOTHING, steps=steps), NOW)
    assert (document["drill"]["promote_seconds"], document["drill"]["restore_seconds"]) == (61.5, None)


# What AWS remembers of the run.


class Alarms:
    """CloudWatch as it would answer: moto knows no history of alarms."""

    def __init__(self) -> None:
        changed = datetime.fromtimestamp(NOW, UTC)
        self.alarms: list[dict[str, Any]] = [
            {"AlarmName": "relight-shop-stop", "StateUpdatedTimestamp": changed},
            {"AlarmName": "relight-shop-hold", "StateUpdatedTimestamp": changed - timedelta(days=2)},
            {"AlarmName": "relight-shop-new"},
        ]

    def describe_alarms(self, **asked: Any) -> dict[str, Any]:
        ours = [alarm for alarm in self.alarms if str(alarm["AlarmName"]).startswith(asked["AlarmNamePrefix"])]
        return {"MetricAlarms": ours}

    def describe_alarm_history(self, **asked: Any) -> dict[str, Any]:
        data = {"oldState": {"stateValue": "OK"}, "newState": {"stateValue": "ALARM"}}
        at = datetime.fromtimestamp(NOW, UTC)
        return {
            "AlarmHistoryItems": [
                {"AlarmName": asked["AlarmName"], "Timestamp": at, "HistoryData": json.dumps(data)},
                {"AlarmName": asked["AlarmName"], "Timestamp": at - timedelta(seconds=5)},
            ]
        }


def test_the_history_is_that_of_our_alarms_that_have_changed() -> None:
    found = alarm_history.changes(cast("Any", Alarms()), "shop", NOW - 900, NOW, PATIENT)
    assert [(change.name, change.was, change.now, change.at) for change in found] == [
        ("relight-shop-stop", None, None, NOW - 5),
        ("relight-shop-stop", "OK", "ALARM", NOW),
    ]


def test_nobody_waits_for_a_slow_history() -> None:
    with pytest.raises(TooSlow):
        alarm_history.changes(cast("Any", Alarms()), "shop", NOW - 900, NOW, Patience(lambda: 2.0, 1.0))


def test_calls_and_transitions_are_counted_and_a_retry_is_one_more() -> None:
    def task(number: int, resource: str) -> dict[str, Any]:
        return {"id": number, "type": "TaskScheduled", "taskScheduledEventDetails": {"resourceType": resource}}

    events: list[Any] = [
        {"id": 1, "type": "ExecutionStarted"},
        {"id": 2, "type": "ChoiceStateEntered"},
        {"id": 3, "type": "TaskStateEntered"},
        task(4, "lambda"),
        {"id": 5, "type": "TaskFailed"},
        task(6, "lambda"),
        {"id": 7, "type": "TaskStateEntered"},
        task(8, "dynamodb"),
        {"id": 9, "type": "TaskStateExited"},
    ]
    assert calls.counted(events) == Calls(functions=2, transitions=4)


def test_the_prices_are_those_of_relight_cost() -> None:
    prices = load()
    price = {key: float(prices.of(key, "eu-west-1").usd) for key in ("transition", "lambda-request", "lambda-arm64")}
    assert price["transition"] == calls.TRANSITION_USD
    assert pytest.approx(price["lambda-request"] + 0.5 * price["lambda-arm64"]) == calls.CALL_USD


# What lies in the bucket.


@pytest.fixture
def mailbox(aws: None, clients: Clients) -> Mailbox:
    return Mailbox(clients)


@pytest.fixture
def recorder(ledger: Ledger, peer_ledger: Ledger, mailbox: Mailbox, clients: Clients, clock: Clock) -> Recorder:
    clients("s3", HERE).create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": HERE})
    given = settings(topic_arn=mailbox.topic, evidence_bucket=BUCKET)
    return Recorder(given, ledger, peer_ledger, clients("s3", HERE), clients("sns", HERE), clock)


def files(clients: Clients, run: Run) -> dict[str, bytes]:
    """What lies in the bucket of a run."""
    s3 = clients("s3", HERE)
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"runs/{run.id}/").get("Contents", [])
    return {
        one["Key"].rpartition("/")[2]: s3.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read() for one in listed
    }


def test_record_report_and_manifest_lie_together_and_belong_together(
    recorder: Recorder, clients: Clients, mailbox: Mailbox, run: Run
) -> None:
    recorder.record(run, ENDED)
    found = files(clients, run)
    assert set(found) == {"run.json", "report.html", "manifest.json"}
    said = json.loads(found.pop("manifest.json"))
    assert manifest.problems(said, found) == []
    found["run.json"] += b" "
    assert [each.partition(":")[0] for each in manifest.problems(said, found)] == [
        "run.json is not what the manifest says"
    ]
    assert wrong(json.loads(found["run.json"])) == []
    page = clients("s3", HERE).head_object(Bucket=BUCKET, Key=f"runs/{run.id}/report.html")
    assert page["ContentType"] == "text/html; charset=utf-8"


def test_people_get_a_link_to_the_report_that_works_for_a_while(recorder: Recorder, mailbox: Mailbox, run: Run) -> None:
    recorder.record(run, ENDED)
    (letter,) = mailbox.read()
    line = next(line for line in letter.text.splitlines() if line.startswith("Report ("))
    assert "`relight report run-1` shows it at any time" in line
    assert "for 12 h at most, and less where the credentials of the function end sooner" in line
    address = urlsplit(line.rpartition(" ")[2])
    assert (address.scheme, address.netloc) == ("https", f"{BUCKET}.s3.{HERE}.amazonaws.com")
    assert address.path == "/runs/run-1/report.html"
    asked = parse_qs(address.query)
    assert asked["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"], "in the older Regions botocore's own choice is another"
    assert asked["X-Amz-Expires"] == [str(LINK_SECONDS)]


def test_a_report_that_cannot_be_rendered_keeps_nothing_from_going_out(
    recorder: Recorder,
    clients: Clients,
    mailbox: Mailbox,
    ledger: Ledger,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report, "TEMPLATE", "there is no such template")
    assert recorder.record(run, ENDED)["status"] == "SUCCEEDED"
    found = files(clients, run)
    assert set(found) == {"run.json", "manifest.json"}
    said = json.loads(found.pop("manifest.json"))
    assert manifest.problems(said, found) == []
    (letter,) = mailbox.read()
    assert "No report: report: TemplateNotFound" in letter.text
    story = next(step for step in ledger.timeline(run.id)[1] if step.name == "record")
    assert story.ended is not None
    assert story.facts["report"].startswith("report: TemplateNotFound")


class Full:
    """A bucket that takes run.json and nothing else."""

    def __init__(self, s3: Any) -> None:
        self.s3 = s3

    def put_object(self, **given: Any) -> Any:
        if not given["Key"].endswith("run.json"):
            raise ClientError({"Error": {"Code": "SlowDown", "Message": "slowly"}}, "PutObject")
        return self.s3.put_object(**given)


def test_a_report_that_cannot_be_put_down_is_told(
    recorder: Recorder, mailbox: Mailbox, clients: Clients, run: Run
) -> None:
    full = replace(recorder, s3=cast("Any", Full(recorder.s3)))
    full.record(run, ENDED)
    assert set(files(clients, run)) == {"run.json"}
    assert "No report: report: ClientError" in mailbox.read()[0].text


def test_without_credentials_there_is_a_report_and_no_link(
    clients: Clients, aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = clients("s3", HERE)
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": HERE})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    put = Delivery(s3, BUCKET, HERE).deliver(failover())
    assert (put.not_kept, put.not_reported, put.link) == (None, None, None)
    line = evidence.reported("run-1", put.link, put.not_reported, LINK_SECONDS)
    assert line == "Report: `relight report run-1` shows it at any time."


def test_the_sizes_of_before_are_in_the_evidence_of_a_second_attempt_too(
    recorder: Recorder, clients: Clients, ledger: Ledger, run: Run
) -> None:
    ledger.remember_capacity(run, {"shop-dr": Capacity(0, 1, 4)})
    ledger.set_state(run, State.PROMOTING)
    for _ in range(2):
        recorder.record(run, ENDED)
        kept = json.loads(files(clients, run)["run.json"])
        assert kept["capacity"]["before"] == {"shop-dr": {"min": 0, "desired": 1, "max": 4}}


def test_what_cannot_be_read_of_aws_is_null_and_the_reason_is_in_the_timeline(
    recorder: Recorder, clients: Clients, ledger: Ledger, run: Run
) -> None:
    class Silent:
        """An API that does not answer."""

        def __getattr__(self, name: str) -> Any:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slowly"}}, name)

    silent: Any = Silent()
    replace(recorder, cloudwatch=silent, stepfunctions=silent).record(run, ENDED)
    kept = json.loads(files(clients, run)["run.json"])
    assert (kept["alarms"], kept["calls"], kept["cost_usd"]) == (None, None, None)
    story = next(step for step in ledger.timeline(run.id)[1] if step.name == "record")
    assert story.facts["alarms"].startswith("alarms: ClientError")
    assert story.facts["calls"].startswith("calls: ClientError")


def test_the_end_of_a_drill_begins_no_cooldown(
    recorder: Recorder, clients: Clients, mailbox: Mailbox, ledger: Ledger, run: Run
) -> None:
    for end in ("SUCCEEDED", "FAILED"):
        recorder.record(run, {"kind": "drill", "end": end, "sentence": "so it was", "drill": {"kind": "restore"}})
        head = ledger.head()
        assert (head.state, head.ended_at, head.failed_at) == (State.STEADY, None, None)
        kept = json.loads(files(clients, run)["run.json"])
        assert (kept["kind"], kept["drill"]["kind"], kept["status"]) == ("drill", "restore", end)
        assert wrong(kept) == []
    assert [letter.subject for letter in mailbox.read()][-1] == f"Relight shop: drill FAILED in {HERE}"


def test_a_planned_question_and_its_answer_keep_the_schema(recorder: Recorder, clients: Clients, run: Run) -> None:
    recorder.record(run, asks(PLANNED))
    recorder.record(run, {"what": "answer", "answer": "approved", "by": "ann"})
    recorder.record(run, {**ENDED, "verdict": PLANNED, "fence": "fenced"})
    kept = json.loads(files(clients, run)["run.json"])
    assert wrong(kept) == []
    assert kept["who"]["approved_by"] == "ann"
